#include "config.h"

#include "server/quorum/content.h"

#include "kanmon/json.h"
#include "kanmon/statement.h"
#include "kanmon/tree.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *oid, *name;
} name_parts[] = {
    {"2.5.4.3", "CN"},
    {"2.5.4.4", "SN"},
    {"2.5.4.5", "serialNumber"},
    {"2.5.4.6", "C"},
    {"2.5.4.7", "L"},
    {"2.5.4.8", "ST"},
    {"2.5.4.9", "STREET"},
    {"2.5.4.10", "O"},
    {"2.5.4.11", "OU"},
    {"2.5.4.12", "title"},
    {"2.5.4.42", "GN"},
    {"2.5.4.97", "organizationIdentifier"},
    {"0.9.2342.19200300.100.1.1", "UID"},
    {"0.9.2342.19200300.100.1.25", "DC"},
    {"1.2.840.113549.1.9.1", "emailAddress"},
};

static const struct {
	const char *oid, *name;
} algorithms[] = {
    {"1.2.840.113549.1.1.5", "sha1WithRSAEncryption"},
    {"1.2.840.113549.1.1.10", "RSASSA-PSS"},
    {"1.2.840.113549.1.1.11", "sha256WithRSAEncryption"},
    {"1.2.840.113549.1.1.12", "sha384WithRSAEncryption"},
    {"1.2.840.113549.1.1.13", "sha512WithRSAEncryption"},
    {"1.2.840.113549.1.1.14", "sha224WithRSAEncryption"},
    {"1.2.840.10045.4.1", "ecdsa-with-SHA1"},
    {"1.2.840.10045.4.3.1", "ecdsa-with-SHA224"},
    {"1.2.840.10045.4.3.2", "ecdsa-with-SHA256"},
    {"1.2.840.10045.4.3.3", "ecdsa-with-SHA384"},
    {"1.2.840.10045.4.3.4", "ecdsa-with-SHA512"},
    {"1.3.101.112", "Ed25519"},
    {"1.3.101.113", "Ed448"},
};

static const struct {
	const char *group, *name;
} curves[] = {
    {"prime256v1", "P-256"},
    {"secp384r1", "P-384"},
    {"secp521r1", "P-521"},
};

static const struct {
	const char *policy, *input;
} kinds[] = {
    [KMN_CONTENT_TBS_CERTIFICATE] = {"tbs-certificate", "x509-tbscertificate"},
    [KMN_CONTENT_TBS_CRL] = {"tbs-crl", "x509-tbscertlist"},
    [KMN_CONTENT_CSR] = {"csr", "pkcs10-certificationrequestinfo"},
};

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

void
content_line(struct text *lines, const char *field, struct text *value)
{
	if (lines->err == KMN_OK)
		lines->err = value->err != KMN_OK                        ? value->err
			     : value->len > CONTENT_VALUE_MAX_BYTES - 64 ? KMN_E_TOO_BIG
									 : KMN_OK;
	text_printf(lines, "input %s %s\n", field, value->len == 0 ? "none" : value->bytes);
	text_clear(value);
	text_init(value, CONTENT_LINES_MAX_BYTES);
}

void
content_oid(struct text *t, const ASN1_OBJECT *object)
{
	char oid[256];
	int n = OBJ_obj2txt(oid, sizeof(oid), object, 1);

	if (n <= 0 || n >= (int)sizeof(oid))
		t->err = t->err == KMN_OK ? KMN_E_MALFORMED : t->err;
	else
		text_add(t, oid, (size_t)n);
}

static void
put_der_hex(struct text *t, const ASN1_TYPE *value)
{
	uint8_t *der = NULL;
	int n = i2d_ASN1_TYPE(value, &der);

	if (n > 0)
		text_hex(t, der, (size_t)n);
	OPENSSL_free(der);
}

/* The value of one part of a name: as text if it is some string of characters, else its DER as "#hex". */
static void
put_name_value(struct text *t, const ASN1_STRING *value)
{
	unsigned char *utf8 = NULL;
	int type = ASN1_STRING_type(value);
	int n = (ASN1_tag2bit(type) & (B_ASN1_DIRECTORYSTRING | B_ASN1_IA5STRING | B_ASN1_NUMERICSTRING)) != 0
		    ? ASN1_STRING_to_UTF8(&utf8, value)
		    : -1;
	ASN1_TYPE raw = {.type = type, .value = {NULL}};

	if (n >= 0) {
		if (n > 0 && utf8[0] == '#')
			text_put(t, "\\");
		text_escaped(t, (const char *)utf8, (size_t)n, ",+\"<>;=");
		OPENSSL_free(utf8);
		return;
	}
	raw.value.asn1_string = ASN1_STRING_dup(value);
	text_put(t, "#");
	put_der_hex(t, &raw);
	ASN1_STRING_free(raw.value.asn1_string);
}

void
content_name(struct text *t, const X509_NAME *name)
{
	int n = X509_NAME_entry_count(name);

	for (int i = n - 1; i >= 0; i--) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
		const char *known = NULL;
		char oid[256] = "";

		if (i != n - 1) {
			const X509_NAME_ENTRY *before = X509_NAME_get_entry(name, i + 1);

			text_put(t, X509_NAME_ENTRY_set(entry) == X509_NAME_ENTRY_set(before) ? "+" : ",");
		}
		OBJ_obj2txt(oid, sizeof(oid), X509_NAME_ENTRY_get_object(entry), 1);
		for (size_t k = 0; k < KMN_COUNT_OF(name_parts) && known == NULL; k++)
			if (strcmp(name_parts[k].oid, oid) == 0)
				known = name_parts[k].name;
		if (known != NULL)
			text_put(t, known);
		else
			content_oid(t, X509_NAME_ENTRY_get_object(entry));
		text_put(t, "=");
		put_name_value(t, X509_NAME_ENTRY_get_data(entry));
	}
}

void
content_integer(struct text *t, const ASN1_INTEGER *integer)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(integer, NULL);
	uint8_t bytes[64];
	int len = n == NULL ? -1 : BN_num_bytes(n);

	if (len < 0 || len > (int)sizeof(bytes)) {
		t->err = t->err == KMN_OK ? KMN_E_MALFORMED : t->err;
	} else {
		if (BN_is_negative(n))
			text_put(t, "-");
		if (len == 0)
			text_put(t, "00");
		BN_bn2bin(n, bytes);
		text_hex(t, bytes, (size_t)len);
	}
	BN_free(n);
}

/* Times of RFC 5280 and no other: UTCTime with seconds and Z, or GeneralizedTime without fraction. */
static int64_t
put_time(struct text *t, const ASN1_TIME *time)
{
	char out[KMN_TIME_TEXT_BYTES];
	struct tm tm;
	int len = ASN1_STRING_length(time), want = ASN1_STRING_type(time) == V_ASN1_UTCTIME ? 13 : 15;
	int64_t ms;

	if (len != want || ASN1_STRING_get0_data(time)[len - 1] != 'Z' || !ASN1_TIME_to_tm(time, &tm)) {
		t->err = t->err == KMN_OK ? KMN_E_MALFORMED : t->err;
		return -1;
	}
	ms = (int64_t)timegm(&tm) * 1000;
	kmn_time_text(ms, out);
	text_put(t, out);
	return ms;
}

static void
put_algorithm(struct text *t, const X509_ALGOR *algorithm)
{
	const ASN1_OBJECT *object;
	const void *value;
	const char *known = NULL;
	uint8_t *der = NULL;
	char oid[256] = "";
	int type, n;

	X509_ALGOR_get0(&object, &type, &value, algorithm);
	OBJ_obj2txt(oid, sizeof(oid), object, 1);
	for (size_t i = 0; i < KMN_COUNT_OF(algorithms) && known == NULL; i++)
		if (strcmp(algorithms[i].oid, oid) == 0)
			known = algorithms[i].name;
	if (known != NULL)
		text_put(t, known);
	else
		content_oid(t, object);
	if (type == V_ASN1_UNDEF || type == V_ASN1_NULL)
		return;
	n = i2d_X509_ALGOR(algorithm, &der);
	text_put(t, " hex ");
	if (n > 0)
		text_hex(t, der, (size_t)n);
	OPENSSL_free(der);
}

static void
put_key(struct text *lines, struct text *v, X509_PUBKEY *pubkey)
{
	EVP_PKEY *key = X509_PUBKEY_get0(pubkey);
	ASN1_OBJECT *object = NULL;
	uint8_t sha256[KMN_HASH_BYTES], *der = NULL;
	const char *curve = NULL;
	char group[80];
	size_t group_len = 0;
	int n = i2d_X509_PUBKEY(pubkey, &der);

	X509_PUBKEY_get0_param(&object, NULL, NULL, NULL, pubkey);
	if (key != NULL && EVP_PKEY_is_a(key, "RSA")) {
		BIGNUM *e = NULL;

		text_printf(v, "RSA %d", EVP_PKEY_get_bits(key));
		if (EVP_PKEY_get_bn_param(key, "e", &e) && BN_num_bits(e) <= 64)
			text_printf(v, " exponent %llu", (unsigned long long)BN_get_word(e));
		BN_free(e);
	} else if (key != NULL && EVP_PKEY_is_a(key, "EC") &&
		   EVP_PKEY_get_group_name(key, group, sizeof(group), &group_len)) {
		for (size_t i = 0; i < KMN_COUNT_OF(curves); i++)
			if (strcmp(curves[i].group, group) == 0)
				curve = curves[i].name;
		text_printf(v, "EC %s", curve != NULL ? curve : group);
	} else if (key != NULL && EVP_PKEY_is_a(key, "ED25519")) {
		text_put(v, "Ed25519");
	} else {
		content_oid(v, object);
	}
	content_line(lines, "key-algorithm", v);
	if (n > 0) {
		kmn_sha256(der, (size_t)n, sha256);
		text_b64(v, sha256, sizeof(sha256));
	}
	content_line(lines, "key-spki-sha256", v);
	OPENSSL_free(der);
}

static void
put_name_line(struct text *lines, struct text *v, const char *field, const X509_NAME *name, char **keep)
{
	content_name(v, name);
	if (v->err == KMN_OK)
		*keep = strdup(v->len == 0 ? "" : v->bytes);
	content_line(lines, field, v);
}

static int64_t
put_time_line(struct text *lines, struct text *v, const char *field, const ASN1_TIME *time)
{
	int64_t ms = put_time(v, time);

	content_line(lines, field, v);
	return ms;
}

/* Extensions in their order; one that stands twice makes the whole thing unreadable (RFC 5280 4.2). */
static void
put_extensions(struct text *lines, const STACK_OF(X509_EXTENSION) * extensions, struct kmn_content_facts *facts)
{
	int n = sk_X509_EXTENSION_num(extensions);

	for (int i = 0; i < n; i++) {
		X509_EXTENSION *extension = sk_X509_EXTENSION_value(extensions, i);

		for (int k = 0; k < i; k++)
			if (OBJ_cmp(X509_EXTENSION_get_object(extension),
				X509_EXTENSION_get_object(sk_X509_EXTENSION_value(extensions, k))) == 0)
				lines->err = lines->err == KMN_OK ? KMN_E_MALFORMED : lines->err;
		content_extension(lines, extension, facts);
	}
}

/* One TLV of DER: the whole of it and its content. False where there is none of definite length. */
struct tlv {
	const uint8_t *whole, *inner;
	size_t whole_len, inner_len;
	int tag, class;
};

static bool
take_tlv(const uint8_t **at, const uint8_t *end, struct tlv *out)
{
	const uint8_t *p = *at;
	long len = 0;
	int flags;

	if (p >= end)
		return false;
	flags = ASN1_get_object(&p, &len, &out->tag, &out->class, end - p);
	if ((flags & 0x80) != 0 || (flags & 1) != 0 || len < 0 || len > end - p)
		return false;
	out->whole = *at;
	out->inner = p;
	out->inner_len = (size_t)len;
	out->whole_len = (size_t)(p - *at) + (size_t)len;
	*at += out->whole_len;
	return true;
}

/*
 * What is signed, completed with an empty signature to what OpenSSL parses: SEQUENCE { signed, AlgorithmIdentifier,
 * BIT STRING }. The outer algorithm is any.
 */
static uint8_t *
wrap(const uint8_t *der, size_t len, size_t *wrapped_len)
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

/* Nothing may be in the bytes that is not in what was read. */
static bool
is_same(int again_len, uint8_t *const *again, const uint8_t *der, size_t len)
{
	return again_len > 0 && (size_t)again_len == len && memcmp(*again, der, len) == 0;
}

static kmn_err
decode_certificate(const uint8_t *wrapped, size_t wrapped_len, const uint8_t *der, size_t len, struct kmn_content *c,
    struct text *lines)
{
	const uint8_t *at = wrapped;
	X509 *x = d2i_X509(NULL, &at, (long)wrapped_len);
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (x == NULL || at != wrapped + wrapped_len || !is_same(i2d_re_X509_tbs(x, &again), &again, der, len))
		goto done;
	text_printf(&v, "%ld", X509_get_version(x) + 1);
	content_line(lines, "version", &v);
	content_integer(&v, X509_get0_serialNumber(x));
	content_line(lines, "serial", &v);
	put_algorithm(&v, X509_get0_tbs_sigalg(x));
	content_line(lines, "signature-algorithm", &v);
	put_name_line(lines, &v, "issuer", X509_get_issuer_name(x), &c->issuer);
	c->facts.not_before = put_time_line(lines, &v, "not-before", X509_get0_notBefore(x));
	c->facts.not_after = put_time_line(lines, &v, "not-after", X509_get0_notAfter(x));
	put_name_line(lines, &v, "subject", X509_get_subject_name(x), &c->subject);
	put_key(lines, &v, X509_get_X509_PUBKEY(x));
	put_extensions(lines, X509_get0_extensions(x), &c->facts);
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
	put_time(v, X509_REVOKED_get0_revocationDate(revoked));
	content_line(lines, "revoked", v);
	put_extensions(lines, extensions, NULL);
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
static X509_ALGOR *
crl_algorithm(const uint8_t *der, size_t len)
{
	const uint8_t *at = der, *end = der + len, *p;
	struct tlv t;

	if (!take_tlv(&at, end, &t))
		return NULL;
	at = t.inner;
	end = t.inner + t.inner_len;
	if (!take_tlv(&at, end, &t) || (t.tag == V_ASN1_INTEGER && !take_tlv(&at, end, &t)))
		return NULL;
	p = t.whole;
	return d2i_X509_ALGOR(NULL, &p, (long)t.whole_len);
}

static kmn_err
decode_crl(const uint8_t *wrapped, size_t wrapped_len, const uint8_t *der, size_t len, struct kmn_content *c,
    struct text *lines)
{
	const uint8_t *at = wrapped;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)wrapped_len);
	X509_ALGOR *algorithm = NULL;
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (crl == NULL || at != wrapped + wrapped_len ||
	    !is_same(i2d_re_X509_CRL_tbs(crl, &again), &again, der, len) ||
	    (algorithm = crl_algorithm(der, len)) == NULL)
		goto done;
	text_printf(&v, "%ld", X509_CRL_get_version(crl) + 1);
	content_line(lines, "version", &v);
	put_algorithm(&v, algorithm);
	content_line(lines, "signature-algorithm", &v);
	put_name_line(lines, &v, "issuer", X509_CRL_get_issuer(crl), &c->issuer);
	c->facts.this_update = put_time_line(lines, &v, "this-update", X509_CRL_get0_lastUpdate(crl));
	if (X509_CRL_get0_nextUpdate(crl) != NULL)
		c->facts.next_update = put_time_line(lines, &v, "next-update", X509_CRL_get0_nextUpdate(crl));
	else
		content_line(lines, "next-update", &v);
	put_extensions(lines, X509_CRL_get0_extensions(crl), &c->facts);
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
	plain = extensions != NULL && is_same(i2d_X509_EXTENSIONS(extensions, &again), &again, der, len);
	if (plain)
		put_extensions(lines, extensions, facts);
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
			put_der_hex(v, X509_ATTRIBUTE_get0_type(attribute, k));
		content_line(lines, "attribute", v);
	}
}

static kmn_err
decode_csr(const uint8_t *wrapped, size_t wrapped_len, const uint8_t *der, size_t len, struct kmn_content *c,
    struct text *lines)
{
	const uint8_t *at = wrapped;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)wrapped_len);
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (req == NULL || at != wrapped + wrapped_len || !is_same(i2d_re_X509_REQ_tbs(req, &again), &again, der, len))
		goto done;
	text_printf(&v, "%ld", X509_REQ_get_version(req) + 1);
	content_line(lines, "version", &v);
	put_name_line(lines, &v, "subject", X509_REQ_get_subject_name(req), &c->subject);
	put_key(lines, &v, X509_REQ_get_X509_PUBKEY(req));
	put_attributes(lines, &v, req, &c->facts);
	e = KMN_OK;
done:
	text_clear(&v);
	OPENSSL_free(again);
	X509_REQ_free(req);
	return e;
}

kmn_err
kmn_content_decode(const uint8_t *der, size_t len, struct kmn_content **content_out)
{
	static kmn_err (*const decoders[])(
	    const uint8_t *, size_t, const uint8_t *, size_t, struct kmn_content *, struct text *) = {
	    [KMN_CONTENT_TBS_CERTIFICATE] = decode_certificate,
	    [KMN_CONTENT_TBS_CRL] = decode_crl,
	    [KMN_CONTENT_CSR] = decode_csr,
	};
	struct kmn_content *c = NULL;
	uint8_t *wrapped = NULL;
	size_t wrapped_len = 0;
	kmn_err e = KMN_E_MALFORMED;

	*content_out = NULL;
	if (len > KMN_CONTENT_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if (len < 2 || der[0] != 0x30)
		return KMN_E_MALFORMED;
	if ((wrapped = wrap(der, len, &wrapped_len)) == NULL)
		return KMN_E_NO_MEMORY;
	for (size_t i = 0; i < KMN_COUNT_OF(decoders) && e == KMN_E_MALFORMED; i++) {
		struct text lines;

		kmn_content_free(c);
		if ((c = calloc(1, sizeof(*c))) == NULL) {
			e = KMN_E_NO_MEMORY;
			break;
		}
		c->facts = (struct kmn_content_facts){.kind = (enum kmn_content_kind)i,
		    .not_before = -1,
		    .not_after = -1,
		    .this_update = -1,
		    .next_update = -1,
		    .pathlen = -1};
		text_init(&lines, CONTENT_LINES_MAX_BYTES);
		if ((e = decoders[i](wrapped, wrapped_len, der, len, c, &lines)) == KMN_OK)
			e = text_take(&lines, &c->lines);
		text_clear(&lines);
	}
	free(wrapped);
	if (e == KMN_OK) {
		c->facts.issuer = c->issuer != NULL ? c->issuer : "";
		c->facts.subject = c->subject != NULL ? c->subject : "";
		*content_out = c;
		c = NULL;
	}
	kmn_content_free(c);
	return e;
}

void
kmn_content_free(struct kmn_content *c)
{
	if (c == NULL)
		return;
	free(c->issuer);
	free(c->subject);
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

/* DER of the first PEM block with one of the two names, or the bytes themselves. */
static kmn_err
to_der(const uint8_t *bytes, size_t len, const char *name, const char *old_name, uint8_t **der_out, long *der_len_out)
{
	BIO *bio;
	char *found = NULL, *header = NULL;
	kmn_err e = KMN_E_MALFORMED;

	*der_out = NULL;
	if (len == 0 || len > KMN_CONTENT_MAX_BYTES)
		return len == 0 ? KMN_E_TRUNCATED : KMN_E_TOO_BIG;
	if (bytes[0] == 0x30) {
		*der_out = OPENSSL_memdup(bytes, len);
		*der_len_out = (long)len;
		return *der_out == NULL ? KMN_E_NO_MEMORY : KMN_OK;
	}
	if ((bio = BIO_new_mem_buf(bytes, (int)len)) == NULL)
		return KMN_E_NO_MEMORY;
	while (e != KMN_OK && PEM_read_bio(bio, &found, &header, der_out, der_len_out)) {
		if (strcmp(found, name) == 0 || strcmp(found, old_name) == 0)
			e = KMN_OK;
		OPENSSL_free(found);
		OPENSSL_free(header);
		if (e != KMN_OK) {
			OPENSSL_free(*der_out);
			*der_out = NULL;
		}
	}
	BIO_free(bio);
	return e;
}

/* The first element of the outer SEQUENCE, if it decodes as the kind that is wanted. */
static kmn_err
signed_part(const uint8_t *bytes, size_t len, const char *name, const char *old_name, enum kmn_content_kind kind,
    uint8_t **der_out, size_t *der_len_out)
{
	struct kmn_content *content = NULL;
	const uint8_t *at, *end;
	uint8_t *der = NULL;
	long der_len = 0;
	struct tlv t;
	kmn_err e;

	*der_out = NULL;
	*der_len_out = 0;
	if ((e = to_der(bytes, len, name, old_name, &der, &der_len)) != KMN_OK)
		return e;
	at = der;
	end = der + der_len;
	e = KMN_E_MALFORMED;
	if (!take_tlv(&at, end, &t) || at != end || t.tag != V_ASN1_SEQUENCE)
		goto done;
	at = t.inner;
	if (!take_tlv(&at, t.inner + t.inner_len, &t))
		goto done;
	if ((e = kmn_content_decode(t.whole, t.whole_len, &content)) != KMN_OK)
		goto done;
	if (content->facts.kind != kind) {
		e = KMN_E_MALFORMED;
	} else if ((*der_out = malloc(t.whole_len)) == NULL) {
		e = KMN_E_NO_MEMORY;
	} else {
		memcpy(*der_out, t.whole, t.whole_len);
		*der_len_out = t.whole_len;
	}
done:
	kmn_content_free(content);
	OPENSSL_free(der);
	return e;
}

kmn_err
kmn_content_tbs_of(const uint8_t *certificate, size_t len, uint8_t **der_out, size_t *der_len_out)
{
	return signed_part(
	    certificate, len, PEM_STRING_X509, PEM_STRING_X509_OLD, KMN_CONTENT_TBS_CERTIFICATE, der_out, der_len_out);
}

kmn_err
kmn_content_info_of(const uint8_t *csr, size_t len, uint8_t **der_out, size_t *der_len_out)
{
	return signed_part(
	    csr, len, PEM_STRING_X509_REQ, PEM_STRING_X509_REQ_OLD, KMN_CONTENT_CSR, der_out, der_len_out);
}
