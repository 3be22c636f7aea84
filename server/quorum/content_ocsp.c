/* What an OCSP responder says of certificates (RFC 6960 ResponseData), before it is signed. */
#include "config.h"

#include "server/quorum/content.h"

#include "kanmon/tree.h"

#include <openssl/ocsp.h>
#include <stdlib.h>
#include <string.h>

/* The extensions of something that OpenSSL hands out one by one: borrowed from it, the stack itself is the caller's. */
static STACK_OF(X509_EXTENSION) * gather(int count, X509_EXTENSION *(*get)(const void *from, int i), const void *from)
{
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();

	for (int i = 0; all != NULL && i < count; i++)
		if (sk_X509_EXTENSION_push(all, get(from, i)) == 0) {
			sk_X509_EXTENSION_free(all);
			all = NULL;
		}
	return all;
}

static void
put_gathered(struct text *lines, STACK_OF(X509_EXTENSION) * all, struct kmn_content_facts *facts)
{
	if (all == NULL && lines->err == KMN_OK)
		lines->err = KMN_E_NO_MEMORY;
	else if (all != NULL)
		content_extensions(lines, all, facts);
	sk_X509_EXTENSION_free(all);
}

static X509_EXTENSION *
of_single(const void *from, int i)
{
	return OCSP_SINGLERESP_get_ext((OCSP_SINGLERESP *)(uintptr_t)from, i);
}

static X509_EXTENSION *
of_response(const void *from, int i)
{
	return OCSP_BASICRESP_get_ext((OCSP_BASICRESP *)(uintptr_t)from, i);
}

/* Which certificate: whose it is, by hashes; OpenSSL hands out the algorithm without its parameters. */
static void
put_id(struct text *lines, struct text *v, const OCSP_CERTID *id)
{
	ASN1_OCTET_STRING *name = NULL, *key = NULL;
	ASN1_OBJECT *object = NULL;
	ASN1_INTEGER *serial = NULL;
	uint8_t *der = NULL;
	const uint8_t *at;
	struct content_tlv whole, algorithm;
	X509_ALGOR *parsed = NULL;
	int n = i2d_OCSP_CERTID(id, &der);

	OCSP_id_get0_info(&name, &object, &key, &serial, (OCSP_CERTID *)(uintptr_t)id);
	at = der;
	if (n > 0 && content_take(&at, der + n, &whole) &&
	    (at = whole.inner, content_take(&at, whole.inner + whole.inner_len, &algorithm))) {
		at = algorithm.whole;
		parsed = d2i_X509_ALGOR(NULL, &at, (long)algorithm.whole_len);
	}
	if (parsed == NULL) {
		v->err = v->err == KMN_OK ? KMN_E_MALFORMED : v->err;
	} else {
		content_algorithm(v, parsed);
		text_put(v, " name ");
		text_hex(v, ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name));
		text_put(v, " key ");
		text_hex(v, ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key));
	}
	content_line(lines, "response-issuer", v);
	X509_ALGOR_free(parsed);
	OPENSSL_free(der);
}

/* "0a1b good", "0a1b revoked 2026-.. keyCompromise", "0a1b unknown" */
static void
put_status(struct text *v, int status, int reason, const ASN1_GENERALIZEDTIME *revoked)
{
	switch (status) {
	case V_OCSP_CERTSTATUS_GOOD:
		text_put(v, " good");
		return;
	case V_OCSP_CERTSTATUS_REVOKED:
		text_put(v, " revoked ");
		content_time(v, revoked);
		if (reason >= 0) {
			text_put(v, " ");
			content_reason(v, reason);
		}
		return;
	case V_OCSP_CERTSTATUS_UNKNOWN:
		text_put(v, " unknown");
		return;
	default:
		v->err = v->err == KMN_OK ? KMN_E_MALFORMED : v->err;
	}
}

/* Gives the time of the next update, -1: none is said. */
static int64_t
put_single(struct text *lines, struct text *v, OCSP_SINGLERESP *single)
{
	const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
	ASN1_GENERALIZEDTIME *revoked = NULL, *this_update = NULL, *next_update = NULL;
	ASN1_INTEGER *serial = NULL;
	int reason = -1, status = OCSP_single_get0_status(single, &reason, &revoked, &this_update, &next_update);
	int64_t next = -1;

	OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)(uintptr_t)id);
	content_integer(v, serial);
	put_status(v, status, reason, revoked);
	content_line(lines, "response", v);
	put_id(lines, v, id);
	content_time_line(lines, v, "this-update", this_update);
	if (next_update != NULL)
		next = content_time_line(lines, v, "next-update", next_update);
	else
		content_line(lines, "next-update", v);
	put_gathered(lines, gather(OCSP_SINGLERESP_get_ext_count(single), of_single, single), NULL);
	return next;
}

/* The version stands in [0] where it is not the first one. */
static void
put_version(struct text *lines, struct text *v, const struct content_source *src)
{
	const uint8_t *at = src->der, *end = src->der + src->len;
	struct content_tlv t;
	ASN1_INTEGER *version = NULL;
	int64_t n = 0;

	if (content_take(&at, end, &t)) {
		at = t.inner;
		if (content_take(&at, t.inner + t.inner_len, &t) && t.class == V_ASN1_CONTEXT_SPECIFIC && t.tag == 0) {
			at = t.inner;
			version = d2i_ASN1_INTEGER(NULL, &at, (long)t.inner_len);
			if (version == NULL || !ASN1_INTEGER_get_int64(&n, version) || n < 0 || n > INT32_MAX)
				v->err = KMN_E_MALFORMED;
			ASN1_INTEGER_free(version);
		}
	}
	text_printf(v, "%lld", (long long)n + 1);
	content_line(lines, "version", v);
}

static void
put_responder(struct text *lines, struct text *v, const OCSP_BASICRESP *basic, struct kmn_content *c)
{
	const ASN1_OCTET_STRING *key = NULL;
	const X509_NAME *name = NULL;

	if (!OCSP_resp_get0_id(basic, &key, &name) || (key == NULL && name == NULL)) {
		v->err = v->err == KMN_OK ? KMN_E_MALFORMED : v->err;
	} else if (name != NULL) {
		content_name(v, name);
	} else {
		text_put(v, "key:");
		text_hex(v, ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key));
	}
	content_line_kept(lines, "responder", v, &c->text[CONTENT_RESPONDER]);
}

/* All of them: the latest next update is what a bound is about, and one without any is later than all. */
static void
put_singles(struct text *lines, struct text *v, OCSP_BASICRESP *basic, struct kmn_content_facts *facts)
{
	int n = OCSP_resp_count(basic);
	int64_t latest = -1;
	bool endless = n <= 0;

	text_printf(v, "%d", n < 0 ? 0 : n);
	content_line(lines, "responses", v);
	for (int i = 0; i < n; i++) {
		int64_t next = put_single(lines, v, OCSP_resp_get0(basic, i));

		endless = endless || next < 0;
		latest = next > latest ? next : latest;
	}
	facts->next_update = endless ? -1 : latest;
}

kmn_err
content_ocsp_response(const struct content_source *src, struct kmn_content *c, struct text *lines)
{
	const uint8_t *at = src->wrapped;
	OCSP_BASICRESP *basic = d2i_OCSP_BASICRESP(NULL, &at, (long)src->wrapped_len);
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (basic == NULL || at != src->wrapped + src->wrapped_len ||
	    !content_is_same(i2d_OCSP_RESPDATA((OCSP_RESPDATA *)(uintptr_t)OCSP_resp_get0_respdata(basic), &again),
		&again, src->der, src->len))
		goto done;
	put_version(lines, &v, src);
	put_responder(lines, &v, basic, c);
	content_time_line(lines, &v, "produced-at", OCSP_resp_get0_produced_at(basic));
	put_gathered(lines, gather(OCSP_BASICRESP_get_ext_count(basic), of_response, basic), NULL);
	put_singles(lines, &v, basic, &c->facts);
	e = KMN_OK;
done:
	text_clear(&v);
	OPENSSL_free(again);
	OCSP_BASICRESP_free(basic);
	return e;
}
