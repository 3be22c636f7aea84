#include "config.h"

#include "server/quorum/content.h"

#include "kanmon/json.h"
#include "kanmon/tree.h"

#include <stdlib.h>
#include <string.h>

/*
 * What a key may be asked to sign, and how it is told from the rest. A rule names it by the first word, a statement by
 * the second. Tried in this order; the first that takes every byte is it, so a time stamp stands before the attributes
 * that it is signed by.
 */
static const struct {
	const char *policy, *input;
	uint8_t first; /* byte of the DER */
	kmn_err (*decode)(const struct content_source *src, struct kmn_content *c, struct text *lines);
} kinds[KMN_CONTENT_COUNT] = {
    [KMN_CONTENT_TBS_CERTIFICATE] = {"tbs-certificate", "x509-tbscertificate", 0x30, content_certificate},
    [KMN_CONTENT_TBS_CRL] = {"tbs-crl", "x509-tbscertlist", 0x30, content_crl},
    [KMN_CONTENT_CSR] = {"csr", "pkcs10-certificationrequestinfo", 0x30, content_csr},
    [KMN_CONTENT_OCSP_RESPONSE] = {"ocsp-response", "ocsp-responsedata", 0x30, content_ocsp_response},
    [KMN_CONTENT_TST_INFO] = {"tst-info", "rfc3161-tstinfo", 0x31, content_time_stamp},
    [KMN_CONTENT_CMS_SIGNED_ATTRIBUTES] = {"cms-signed-attributes", "cms-signedattributes", 0x31,
	content_signed_attributes},
};

/*
 * What is signed, completed with an empty signature to what OpenSSL parses: SEQUENCE { signed, AlgorithmIdentifier,
 * BIT STRING }. The outer algorithm is any.
 */
uint8_t *
content_wrap(const uint8_t *der, size_t len, size_t *wrapped_len)
{
	static const uint8_t tail[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x01, 0x00};
	int total = ASN1_object_size(1, (int)(len + sizeof(tail)), V_ASN1_SEQUENCE);
	uint8_t *out = malloc((size_t)total), *at = out;

	if (out == NULL)
		return NULL;
	ASN1_put_object(&at, 1, (int)(len + sizeof(tail)), V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	memcpy(at, der, len);
	memcpy(at + len, tail, sizeof(tail));
	*wrapped_len = (size_t)total;
	return out;
}

const char *
kmn_content_kind_name(enum kmn_content_kind kind)
{
	return kinds[kind].policy;
}

const char *
kmn_content_input_kind(enum kmn_content_kind kind)
{
	return kinds[kind].input;
}

char *
kmn_content_escape(const char *bytes, size_t len)
{
	static const char cut[] = "... sha256 ";
	uint8_t sha256[KMN_HASH_BYTES];
	struct text t;
	char *out = NULL;

	text_init(&t, len * 8 + 64);
	text_escaped(&t, bytes, len, "");
	if (t.err == KMN_OK && t.len == 0)
		text_put(&t, "none");
	if (t.err == KMN_OK && t.len > CONTENT_VALUE_MAX_BYTES) {
		t.len = CONTENT_VALUE_MAX_BYTES - (sizeof(cut) - 1) - KMN_B64_LEN(KMN_HASH_BYTES);
		while (t.len > 0 && ((uint8_t)t.bytes[t.len] & 0xc0) == 0x80)
			t.len--;
		kmn_sha256(bytes, len, sha256);
		text_put(&t, cut);
		text_b64(&t, sha256, sizeof(sha256));
	}
	return text_take(&t, &out) == KMN_OK ? out : NULL;
}

static struct kmn_content *
content_new(enum kmn_content_kind kind)
{
	struct kmn_content *c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->facts = (struct kmn_content_facts){.kind = kind,
		    .not_before = -1,
		    .not_after = -1,
		    .this_update = -1,
		    .next_update = -1,
		    .gen_time = -1,
		    .pathlen = -1};
	return c;
}

static void
tell_texts(struct kmn_content *c)
{
	const char **const told[CONTENT_TEXTS] = {
	    [CONTENT_ISSUER] = &c->facts.issuer,
	    [CONTENT_SUBJECT] = &c->facts.subject,
	    [CONTENT_RESPONDER] = &c->facts.responder,
	    [CONTENT_TST_POLICY] = &c->facts.tst_policy,
	    [CONTENT_TYPE] = &c->facts.content_type,
	};

	for (size_t i = 0; i < CONTENT_TEXTS; i++)
		*told[i] = c->text[i] != NULL ? c->text[i] : "";
}

static kmn_err
decode_as(enum kmn_content_kind kind, const struct content_source *src, struct kmn_content **content_out)
{
	struct kmn_content *c = content_new(kind);
	struct text lines;
	kmn_err e;

	if (c == NULL)
		return KMN_E_NO_MEMORY;
	text_init(&lines, CONTENT_LINES_MAX_BYTES);
	if ((e = kinds[kind].decode(src, c, &lines)) == KMN_OK)
		e = text_take(&lines, &c->lines);
	text_clear(&lines);
	if (e == KMN_OK) {
		tell_texts(c);
		*content_out = c;
		c = NULL;
	}
	kmn_content_free(c);
	return e;
}

kmn_err
kmn_content_decode(const struct kmn_material *m, struct kmn_content **content_out)
{
	struct content_source src = {
	    .der = m->data, .len = m->len, .econtent = m->econtent, .econtent_len = m->econtent_len};
	uint8_t *wrapped;
	kmn_err e = KMN_E_MALFORMED;

	*content_out = NULL;
	if (m->len > KMN_CONTENT_MAX_BYTES || m->econtent_len > KMN_CONTENT_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if (m->data == NULL || m->len < 2)
		return KMN_E_MALFORMED;
	if ((wrapped = content_wrap(m->data, m->len, &src.wrapped_len)) == NULL)
		return KMN_E_NO_MEMORY;
	src.wrapped = wrapped;
	for (int i = 0; i < KMN_CONTENT_COUNT && e == KMN_E_MALFORMED; i++)
		if (kinds[i].first == m->data[0])
			e = decode_as((enum kmn_content_kind)i, &src, content_out);
	free(wrapped);
	return e;
}

void
kmn_content_free(struct kmn_content *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < CONTENT_TEXTS; i++)
		free(c->text[i]);
	free(c->lines);
	free(c);
}

const struct kmn_content_facts *
kmn_content_facts(const struct kmn_content *content)
{
	return &content->facts;
}

const char *
kmn_content_lines(const struct kmn_content *content)
{
	return content->lines;
}
