/* Certificates, CRLs and requests for certificates, before they are signed. */
#include "config.h"

#include "server/quorum/content.h"

#include "kanmon/tree.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

kmn_err
content_certificate(const struct content_source *src, struct kmn_content *c, struct text *lines)
{
	const uint8_t *at = src->wrapped;
	X509 *x = d2i_X509(NULL, &at, (long)src->wrapped_len);
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (x == NULL || at != src->wrapped + src->wrapped_len ||
	    !content_is_same(i2d_re_X509_tbs(x, &again), &again, src->der, src->len))
		goto done;
	text_printf(&v, "%ld", X509_get_version(x) + 1);
	content_line(lines, "version", &v);
	content_integer(&v, X509_get0_serialNumber(x));
	content_line(lines, "serial", &v);
	content_algorithm(&v, X509_get0_tbs_sigalg(x));
	content_line(lines, "signature-algorithm", &v);
	content_name_line(lines, &v, "issuer", X509_get_issuer_name(x), &c->text[CONTENT_ISSUER]);
	c->facts.not_before = content_time_line(lines, &v, "not-before", X509_get0_notBefore(x));
	c->facts.not_after = content_time_line(lines, &v, "not-after", X509_get0_notAfter(x));
	content_name_line(lines, &v, "subject", X509_get_subject_name(x), &c->text[CONTENT_SUBJECT]);
	content_key(lines, &v, X509_get_X509_PUBKEY(x), &c->facts);
	content_extensions(lines, X509_get0_extensions(x), &c->facts);
	e = KMN_OK;
done:
	text_clear(&v);
	OPENSSL_free(again);
	X509_free(x);
	return e;
}

static void
put_revoked(struct text *lines, struct text *v, X509_REVOKED *revoked)
{
	const STACK_OF(X509_EXTENSION) *extensions = X509_REVOKED_get0_extensions(revoked);

	content_integer(v, X509_REVOKED_get0_serialNumber(revoked));
	text_put(v, " ");
	content_time(v, X509_REVOKED_get0_revocationDate(revoked));
	content_line(lines, "revoked", v);
	content_extensions(lines, extensions, NULL);
}

/* How many, the first ones, and the hash of all the rest. */
static void
put_revoked_list(struct text *lines, struct text *v, X509_CRL *crl)
{
	STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crl);
	int n = list == NULL ? 0 : sk_X509_REVOKED_num(list);
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	uint8_t sha256[KMN_HASH_BYTES];

	text_printf(v, "%d", n);
	content_line(lines, "revoked-entries", v);
	for (int i = 0; i < n && i < CONTENT_REVOKED_SHOWN; i++)
		put_revoked(lines, v, sk_X509_REVOKED_value(list, i));
	if (n <= CONTENT_REVOKED_SHOWN)
		goto done;
	if (sha == NULL || !EVP_DigestInit_ex(sha, EVP_sha256(), NULL))
		lines->err = KMN_E_NO_MEMORY;
	for (int i = CONTENT_REVOKED_SHOWN; i < n && lines->err == KMN_OK; i++) {
		uint8_t *der = NULL;
		int der_len = i2d_X509_REVOKED(sk_X509_REVOKED_value(list, i), &der);

		if (der_len <= 0 || !EVP_DigestUpdate(sha, der, (size_t)der_len))
			lines->err = KMN_E_NO_MEMORY;
		OPENSSL_free(der);
	}
	if (lines->err == KMN_OK && EVP_DigestFinal_ex(sha, sha256, NULL)) {
		text_printf(v, "%d more, sha256 ", n - CONTENT_REVOKED_SHOWN);
		text_b64(v, sha256, sizeof(sha256));
		content_line(lines, "revoked-rest", v);
	}
done:
	EVP_MD_CTX_free(sha);
}

/* TBSCertList.signature has no accessor in OpenSSL 3.0: it stands after the version, which is the one INTEGER. */
X509_ALGOR *
content_crl_algorithm(const uint8_t *der, size_t len)
{
	const uint8_t *at = der, *end = der + len, *p;
	struct content_tlv t;

	if (!content_take(&at, end, &t))
		return NULL;
	at = t.inner;
	end = t.inner + t.inner_len;
	if (!content_take(&at, end, &t) || (t.tag == V_ASN1_INTEGER && !content_take(&at, end, &t)))
		return NULL;
	p = t.whole;
	return d2i_X509_ALGOR(NULL, &p, (long)t.whole_len);
}

kmn_err
content_crl(const struct content_source *src, struct kmn_content *c, struct text *lines)
{
	const uint8_t *at = src->wrapped;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)src->wrapped_len);
	X509_ALGOR *algorithm = NULL;
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (crl == NULL || at != src->wrapped + src->wrapped_len ||
	    !content_is_same(i2d_re_X509_CRL_tbs(crl, &again), &again, src->der, src->len) ||
	    (algorithm = content_crl_algorithm(src->der, src->len)) == NULL)
		goto done;
	text_printf(&v, "%ld", X509_CRL_get_version(crl) + 1);
	content_line(lines, "version", &v);
	content_algorithm(&v, algorithm);
	content_line(lines, "signature-algorithm", &v);
	content_name_line(lines, &v, "issuer", X509_CRL_get_issuer(crl), &c->text[CONTENT_ISSUER]);
	c->facts.this_update = content_time_line(lines, &v, "this-update", X509_CRL_get0_lastUpdate(crl));
	if (X509_CRL_get0_nextUpdate(crl) != NULL)
		c->facts.next_update = content_time_line(lines, &v, "next-update", X509_CRL_get0_nextUpdate(crl));
	else
		content_line(lines, "next-update", &v);
	content_extensions(lines, X509_CRL_get0_extensions(crl), &c->facts);
	put_revoked_list(lines, &v, crl);
	e = KMN_OK;
done:
	text_clear(&v);
	OPENSSL_free(again);
	X509_ALGOR_free(algorithm);
	X509_CRL_free(crl);
	return e;
}

/* The extensions that a CSR asks for, if the attribute holds them in DER, once, and nothing else. */
static bool
put_requested(struct text *lines, X509_ATTRIBUTE *attribute, struct kmn_content_facts *facts)
{
	const ASN1_TYPE *value = X509_ATTRIBUTE_count(attribute) == 1 ? X509_ATTRIBUTE_get0_type(attribute, 0) : NULL;
	STACK_OF(X509_EXTENSION) *extensions = NULL;
	const uint8_t *der, *at;
	uint8_t *again = NULL;
	size_t len;
	bool plain;

	if (OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attribute)) != NID_ext_req || value == NULL ||
	    value->type != V_ASN1_SEQUENCE)
		return false;
	at = der = ASN1_STRING_get0_data(value->value.sequence);
	len = (size_t)ASN1_STRING_length(value->value.sequence);
	extensions = d2i_X509_EXTENSIONS(NULL, &at, (long)len);
	plain = extensions != NULL && content_is_same(i2d_X509_EXTENSIONS(extensions, &again), &again, der, len);
	if (plain)
		content_extensions(lines, extensions, facts);
	OPENSSL_free(again);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	return plain;
}

static void
put_attributes(struct text *lines, struct text *v, X509_REQ *req, struct kmn_content_facts *facts)
{
	bool requested = false;

	for (int i = 0; i < X509_REQ_get_attr_count(req); i++) {
		X509_ATTRIBUTE *attribute = X509_REQ_get_attr(req, i);

		if (!requested && put_requested(lines, attribute, facts)) {
			requested = true;
			continue;
		}
		content_oid(v, X509_ATTRIBUTE_get0_object(attribute));
		text_put(v, " hex ");
		for (int k = 0; k < X509_ATTRIBUTE_count(attribute); k++)
			content_der_hex(v, X509_ATTRIBUTE_get0_type(attribute, k));
		content_line(lines, "attribute", v);
	}
}

kmn_err
content_csr(const struct content_source *src, struct kmn_content *c, struct text *lines)
{
	const uint8_t *at = src->wrapped;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)src->wrapped_len);
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (req == NULL || at != src->wrapped + src->wrapped_len ||
	    !content_is_same(i2d_re_X509_REQ_tbs(req, &again), &again, src->der, src->len))
		goto done;
	text_printf(&v, "%ld", X509_REQ_get_version(req) + 1);
	content_line(lines, "version", &v);
	content_name_line(lines, &v, "subject", X509_REQ_get_subject_name(req), &c->text[CONTENT_SUBJECT]);
	content_key(lines, &v, X509_REQ_get_X509_PUBKEY(req), &c->facts);
	put_attributes(lines, &v, req, &c->facts);
	e = KMN_OK;
done:
	text_clear(&v);
	OPENSSL_free(again);
	X509_REQ_free(req);
	return e;
}
