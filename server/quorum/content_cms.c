/*
 * The attributes that a CMS signature is over (RFC 5652 5.3, 5.4): a key signs their SET, which holds the hash of the
 * content proper. That content is known only where the CA side gave it.
 */
#include "config.h"

#include "server/quorum/content.h"

#include "kanmon/tree.h"

#include <openssl/ess.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define ATTRIBUTES_MAX 64
#define HEX_SHOWN_MAX_BYTES 384 /* of an attribute without words; a longer one is shown by its hash */

#define OID_CONTENT_TYPE "1.2.840.113549.1.9.3"
#define OID_MESSAGE_DIGEST "1.2.840.113549.1.9.4"
#define OID_TST_INFO "1.2.840.113549.1.9.16.1.4"

struct attributes {
	X509_ATTRIBUTE *item[ATTRIBUTES_MAX];
	char oid[ATTRIBUTES_MAX][128];
	size_t count;
};

static void
free_attributes(struct attributes *a)
{
	for (size_t i = 0; i < a->count; i++)
		X509_ATTRIBUTE_free(a->item[i]);
	a->count = 0;
}

/* DER's order of a SET OF: as if the shorter one went on with zeros. */
static bool
is_before(const struct content_tlv *a, const struct content_tlv *b)
{
	size_t n = a->whole_len < b->whole_len ? a->whole_len : b->whole_len;
	int order = memcmp(a->whole, b->whole, n);

	return order < 0 || (order == 0 && a->whole_len < b->whole_len);
}

static bool
take_attribute(struct attributes *a, const struct content_tlv *t)
{
	const uint8_t *at = t->whole;
	X509_ATTRIBUTE *item;
	uint8_t *again = NULL;
	bool same;
	int n;

	if (a->count == ATTRIBUTES_MAX || (item = d2i_X509_ATTRIBUTE(NULL, &at, (long)t->whole_len)) == NULL)
		return false;
	same = content_is_same(i2d_X509_ATTRIBUTE(item, &again), &again, t->whole, t->whole_len);
	OPENSSL_free(again);
	n = OBJ_obj2txt(a->oid[a->count], sizeof(a->oid[0]), X509_ATTRIBUTE_get0_object(item), 1);
	a->item[a->count++] = item;
	return same && n > 0 && n < (int)sizeof(a->oid[0]);
}

/* The whole SET, in DER's order, each kind of attribute once. */
static bool
read_attributes(const struct content_source *src, struct attributes *a)
{
	const uint8_t *at = src->der, *end = src->der + src->len;
	struct content_tlv set, t, before = {.whole = NULL};

	if (!content_take(&at, end, &set) || at != end || set.tag != V_ASN1_SET || set.class != V_ASN1_UNIVERSAL)
		return false;
	at = set.inner;
	end = set.inner + set.inner_len;
	while (at < end) {
		if (!content_take(&at, end, &t) || (before.whole != NULL && !is_before(&before, &t)) ||
		    !take_attribute(a, &t))
			return false;
		for (size_t i = 0; i + 1 < a->count; i++)
			if (strcmp(a->oid[i], a->oid[a->count - 1]) == 0)
				return false;
		before = t;
	}
	return true;
}

/* The one value of an attribute, if it is of that type. */
static const ASN1_TYPE *
value_of(const X509_ATTRIBUTE *attribute, int type)
{
	const ASN1_TYPE *value = X509_ATTRIBUTE_count(attribute) == 1
				     ? X509_ATTRIBUTE_get0_type((X509_ATTRIBUTE *)(uintptr_t)attribute, 0)
				     : NULL;

	return value != NULL && ASN1_TYPE_get(value) == type ? value : NULL;
}

static const ASN1_TYPE *
find_value(const struct attributes *a, const char *oid, int type)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->oid[i], oid) == 0)
			return value_of(a->item[i], type);
	return NULL;
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

static const char *
type_name(const char *oid)
{
	static const char *const names[][2] = {
	    {"1.2.840.113549.1.7.1", "data"},
	    {"1.2.840.113549.1.7.2", "signed-data"},
	    {OID_TST_INFO, "tst-info"},
	    {"1.3.6.1.4.1.311.2.1.4", "authenticode"},
	    {"2.23.136.1.1.1", "lds-security-object"},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
		if (strcmp(names[i][0], oid) == 0)
			return names[i][1];
	return oid;
}

static bool
say_content_type(struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, struct kmn_content *c)
{
	const ASN1_TYPE *value = value_of(attribute, V_ASN1_OBJECT);
	char oid[128];
	int n = value == NULL ? -1 : OBJ_obj2txt(oid, sizeof(oid), value->value.object, 1);

	if (n <= 0 || n >= (int)sizeof(oid))
		return false;
	text_put(v, type_name(oid));
	content_line_kept(lines, "content-type", v, &c->text[CONTENT_TYPE]);
	return true;
}

static bool
say_digest(struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, struct kmn_content *c)
{
	const ASN1_TYPE *value = value_of(attribute, V_ASN1_OCTET_STRING);

	(void)c;
	if (value == NULL)
		return false;
	text_hex(
	    v, ASN1_STRING_get0_data(value->value.octet_string), (size_t)ASN1_STRING_length(value->value.octet_string));
	content_line(lines, "message-digest", v);
	return true;
}

static bool
say_time(struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, struct kmn_content *c)
{
	const ASN1_TYPE *value = value_of(attribute, V_ASN1_UTCTIME);

	(void)c;
	if (value == NULL && (value = value_of(attribute, V_ASN1_GENERALIZEDTIME)) == NULL)
		return false;
	content_time_line(lines, v, "signing-time", value->value.asn1_string);
	return true;
}

/* IssuerSerial: SEQUENCE { GeneralNames, INTEGER } */
static bool
put_issuer_serial(struct text *v, const struct content_tlv *t)
{
	const uint8_t *at = t->inner, *end = t->inner + t->inner_len, *p;
	struct content_tlv names, serial;
	GENERAL_NAMES *issuer = NULL;
	ASN1_INTEGER *number = NULL;
	bool good = false;

	if (!content_take(&at, end, &names) || !content_take(&at, end, &serial) || at != end)
		return false;
	p = names.whole;
	issuer = d2i_GENERAL_NAMES(NULL, &p, (long)names.whole_len);
	p = serial.whole;
	number = d2i_ASN1_INTEGER(NULL, &p, (long)serial.whole_len);
	if ((good = issuer != NULL && number != NULL)) {
		for (int i = 0; i < sk_GENERAL_NAME_num(issuer); i++) {
			text_put(v, " issuer=");
			content_general_name(v, sk_GENERAL_NAME_value(issuer, i));
		}
		text_put(v, " serial=");
		content_integer(v, number);
	}
	GENERAL_NAMES_free(issuer);
	ASN1_INTEGER_free(number);
	return good;
}

/* One ESSCertID or ESSCertIDv2: [AlgorithmIdentifier,] OCTET STRING [, IssuerSerial] */
static bool
put_certificate_id(struct text *v, const struct content_tlv *id, const char *hash)
{
	const uint8_t *at = id->inner, *end = id->inner + id->inner_len, *p;
	struct content_tlv t;

	if (!content_take(&at, end, &t))
		return false;
	if (t.tag == V_ASN1_SEQUENCE) {
		X509_ALGOR *algorithm;

		p = t.whole;
		if ((algorithm = d2i_X509_ALGOR(NULL, &p, (long)t.whole_len)) == NULL)
			return false;
		content_algorithm(v, algorithm);
		X509_ALGOR_free(algorithm);
		if (!content_take(&at, end, &t))
			return false;
	} else {
		text_put(v, hash);
	}
	if (t.tag != V_ASN1_OCTET_STRING)
		return false;
	text_put(v, " ");
	text_hex(v, t.inner, t.inner_len);
	return at == end || (content_take(&at, end, &t) && at == end && put_issuer_serial(v, &t));
}

/* SigningCertificate(V2): SEQUENCE { SEQUENCE OF id, [policies] }, a line for each certificate; policies have no words. */
static bool
say_certificates(
    struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, const char *hash, const ASN1_STRING *again)
{
	const ASN1_TYPE *value = value_of(attribute, V_ASN1_SEQUENCE);
	const uint8_t *at, *end;
	struct content_tlv whole, list, id;

	at = ASN1_STRING_get0_data(value->value.sequence);
	end = at + ASN1_STRING_length(value->value.sequence);
	if (ASN1_STRING_cmp(value->value.sequence, again) != 0 || !content_take(&at, end, &whole))
		return false;
	at = whole.inner;
	if (!content_take(&at, whole.inner + whole.inner_len, &list) || at != whole.inner + whole.inner_len)
		return false;
	for (at = list.inner; at < list.inner + list.inner_len;) {
		if (!content_take(&at, list.inner + list.inner_len, &id) || !put_certificate_id(v, &id, hash))
			return false;
		content_line(lines, "signing-certificate", v);
	}
	return list.inner_len > 0;
}

static bool
say_signing_certificate(
    struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, struct kmn_content *c, bool second)
{
	const ASN1_TYPE *value = value_of(attribute, V_ASN1_SEQUENCE);
	const uint8_t *at = value == NULL ? NULL : ASN1_STRING_get0_data(value->value.sequence);
	long len = value == NULL ? 0 : ASN1_STRING_length(value->value.sequence);
	ASN1_STRING *again = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
	ESS_SIGNING_CERT_V2 *v2 = at != NULL && second ? d2i_ESS_SIGNING_CERT_V2(NULL, &at, len) : NULL;
	ESS_SIGNING_CERT *v1 = at != NULL && !second ? d2i_ESS_SIGNING_CERT(NULL, &at, len) : NULL;
	uint8_t *der = NULL;
	int n = v2 != NULL ? i2d_ESS_SIGNING_CERT_V2(v2, &der) : v1 != NULL ? i2d_ESS_SIGNING_CERT(v1, &der) : -1;
	bool said = n > 0 && again != NULL && ASN1_STRING_set(again, der, n) &&
		    say_certificates(lines, v, attribute, second ? "sha256" : "sha1", again);

	(void)c;
	OPENSSL_free(der);
	ESS_SIGNING_CERT_V2_free(v2);
	ESS_SIGNING_CERT_free(v1);
	ASN1_STRING_free(again);
	return said;
}

static bool
say_certificate_v1(struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, struct kmn_content *c)
{
	return say_signing_certificate(lines, v, attribute, c, false);
}

static bool
say_certificate_v2(struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, struct kmn_content *c)
{
	return say_signing_certificate(lines, v, attribute, c, true);
}

static void
say_hex(struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, const char *oid)
{
	struct text all;

	text_init(&all, KMN_CONTENT_MAX_BYTES);
	for (int k = 0; k < X509_ATTRIBUTE_count(attribute); k++)
		content_der_hex(&all, X509_ATTRIBUTE_get0_type((X509_ATTRIBUTE *)(uintptr_t)attribute, k));
	text_printf(v, "%s ", oid);
	if (all.err != KMN_OK) {
		v->err = all.err;
	} else if (all.len <= HEX_SHOWN_MAX_BYTES * 2) {
		text_printf(v, "hex %s", all.len == 0 ? "" : all.bytes);
	} else {
		uint8_t sha256[KMN_HASH_BYTES];
		uint8_t *der = NULL;
		int n = i2d_X509_ATTRIBUTE((X509_ATTRIBUTE *)(uintptr_t)attribute, &der);

		kmn_sha256(der, n > 0 ? (size_t)n : 0, sha256);
		text_printf(v, "%d bytes, sha256 ", n);
		text_b64(v, sha256, sizeof(sha256));
		OPENSSL_free(der);
	}
	content_line(lines, "attribute", v);
	text_clear(&all);
}

/* The attributes that have words. */
static const struct {
	const char *oid;
	bool (*say)(struct text *lines, struct text *v, const X509_ATTRIBUTE *attribute, struct kmn_content *c);
} rows[] = {
    {OID_CONTENT_TYPE, say_content_type},
    {OID_MESSAGE_DIGEST, say_digest},
    {"1.2.840.113549.1.9.5", say_time},
    {"1.2.840.113549.1.9.16.2.12", say_certificate_v1},
    {"1.2.840.113549.1.9.16.2.47", say_certificate_v2},
};

static void
say_attribute(struct text *lines, const X509_ATTRIBUTE *attribute, const char *oid, struct kmn_content *c)
{
	size_t before = lines->len;
	bool said = false;
	struct text v;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (strcmp(rows[i].oid, oid) == 0)
			said = rows[i].say(lines, &v, attribute, c);
	if (!said && lines->err == KMN_OK) {
		lines->len = before;
		text_clear(&v);
		text_init(&v, CONTENT_LINES_MAX_BYTES);
		say_hex(lines, &v, attribute, oid);
	}
	text_clear(&v);
}

/* ---- what they are over ----------------------------------------------------------------------------------------- */

/* The attributes name no hash: one of those with the digest's length must give it. */
static bool
is_over(const ASN1_OCTET_STRING *digest, const uint8_t *econtent, size_t len)
{
	static const char *const hashes[] = {
	    "SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512"};

	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++) {
		uint8_t out[EVP_MAX_MD_SIZE];
		size_t n = 0;

		if (EVP_Q_digest(NULL, hashes[i], NULL, econtent, len, out, &n) &&
		    (size_t)ASN1_STRING_length(digest) == n && memcmp(ASN1_STRING_get0_data(digest), out, n) == 0)
			return true;
	}
	return false;
}

static void
put_econtent(struct text *lines, const struct content_source *src)
{
	uint8_t sha256[KMN_HASH_BYTES];
	struct text v;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	text_printf(&v, "%zu", src->econtent_len);
	content_line(lines, "econtent-len", &v);
	kmn_sha256(src->econtent, src->econtent_len, sha256);
	text_b64(&v, sha256, sizeof(sha256));
	content_line(lines, "econtent-sha256", &v);
	text_clear(&v);
}

kmn_err
content_signed_attributes(const struct content_source *src, struct kmn_content *c, struct text *lines)
{
	struct attributes a = {.count = 0};
	const ASN1_TYPE *digest;
	kmn_err e = KMN_E_MALFORMED;

	if (!read_attributes(src, &a) || find_value(&a, OID_CONTENT_TYPE, V_ASN1_OBJECT) == NULL ||
	    (digest = find_value(&a, OID_MESSAGE_DIGEST, V_ASN1_OCTET_STRING)) == NULL)
		goto done;
	if (src->econtent != NULL && !is_over(digest->value.octet_string, src->econtent, src->econtent_len))
		goto done;
	for (size_t i = 0; i < a.count; i++)
		say_attribute(lines, a.item[i], a.oid[i], c);
	c->facts.has_econtent = src->econtent != NULL;
	if (src->econtent != NULL)
		put_econtent(lines, src);
	e = KMN_OK;
done:
	free_attributes(&a);
	return e;
}

kmn_err
content_time_stamp(const struct content_source *src, struct kmn_content *c, struct text *lines)
{
	kmn_err e;

	if (src->econtent == NULL)
		return KMN_E_MALFORMED;
	if ((e = content_signed_attributes(src, c, lines)) != KMN_OK)
		return e;
	if (c->text[CONTENT_TYPE] == NULL || strcmp(c->text[CONTENT_TYPE], "tst-info") != 0)
		return KMN_E_MALFORMED;
	return content_tst_info(src->econtent, src->econtent_len, c, lines);
}
