/* The small parts that contents are made of: names, numbers, times, algorithms, keys. */
#include "config.h"

#include "server/quorum/content.h"

#include "kanmon/statement.h"
#include "kanmon/tree.h"

#include <openssl/evp.h>
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
    {"1.3.14.3.2.26", "sha1"},
    {"2.16.840.1.101.3.4.2.1", "sha256"},
    {"2.16.840.1.101.3.4.2.2", "sha384"},
    {"2.16.840.1.101.3.4.2.3", "sha512"},
    {"2.16.840.1.101.3.4.2.4", "sha224"},
};

static const struct {
	const char *group, *name;
} curves[] = {
    {"prime256v1", "P-256"},
    {"secp384r1", "P-384"},
    {"secp521r1", "P-521"},
};

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
content_line_kept(struct text *lines, const char *field, struct text *value, char **keep)
{
	if (value->err == KMN_OK && *keep == NULL && (*keep = strdup(value->len == 0 ? "" : value->bytes)) == NULL)
		value->err = KMN_E_NO_MEMORY;
	content_line(lines, field, value);
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

void
content_der_hex(struct text *t, const ASN1_TYPE *value)
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
	content_der_hex(t, &raw);
	ASN1_STRING_free(raw.value.asn1_string);
}

/* OpenSSL keeps a name's bytes as they came and hands these out again: made anew from its parts, are they the same? */
static bool
is_der_name(const X509_NAME *name)
{
	X509_NAME *anew = X509_NAME_new();
	uint8_t *der = NULL, *again = NULL;
	int n = i2d_X509_NAME(name, &der), before = -1;
	bool same = anew != NULL && n > 0;

	for (int i = 0; i < X509_NAME_entry_count(name) && same; i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
		int set = X509_NAME_ENTRY_set(entry);

		same = X509_NAME_add_entry(anew, entry, -1, set == before ? -1 : 0) == 1;
		before = set;
	}
	same = same && content_is_same(i2d_X509_NAME(anew, &again), &again, der, (size_t)n);
	OPENSSL_free(der);
	OPENSSL_free(again);
	X509_NAME_free(anew);
	return same;
}

void
content_name(struct text *t, const X509_NAME *name)
{
	int n = X509_NAME_entry_count(name);

	if (!is_der_name(name)) {
		t->err = t->err == KMN_OK ? KMN_E_MALFORMED : t->err;
		return;
	}
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

/* UTCTime with seconds and Z, or GeneralizedTime without fraction. */
int64_t
content_time(struct text *t, const ASN1_TIME *time)
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

void
content_algorithm(struct text *t, const X509_ALGOR *algorithm)
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

void
content_key(struct text *lines, struct text *v, X509_PUBKEY *pubkey, struct kmn_content_facts *facts)
{
	EVP_PKEY *key = X509_PUBKEY_get0(pubkey);
	ASN1_OBJECT *object = NULL;
	uint8_t *der = NULL;
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
		kmn_sha256(der, (size_t)n, facts->key_spki_sha256);
		facts->has_key = true;
		text_b64(v, facts->key_spki_sha256, KMN_HASH_BYTES);
	}
	content_line(lines, "key-spki-sha256", v);
	OPENSSL_free(der);
}

void
content_name_line(struct text *lines, struct text *v, const char *field, const X509_NAME *name, char **keep)
{
	content_name(v, name);
	content_line_kept(lines, field, v, keep);
}

int64_t
content_time_line(struct text *lines, struct text *v, const char *field, const ASN1_TIME *time)
{
	int64_t ms = content_time(v, time);

	content_line(lines, field, v);
	return ms;
}

void
content_extensions(struct text *lines, const STACK_OF(X509_EXTENSION) * extensions, struct kmn_content_facts *facts)
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

bool
content_take(const uint8_t **at, const uint8_t *end, struct content_tlv *out)
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

bool
content_is_same(int again_len, uint8_t *const *again, const uint8_t *der, size_t len)
{
	return again_len > 0 && (size_t)again_len == len && memcmp(*again, der, len) == 0;
}
