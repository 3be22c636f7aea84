#include "config.h"

#include "kanmon/lint.h"

#include "kanmon/json.h"
#include "server/quorum/content.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RSA_LEAST_BITS 2048
#define RSA_LEAST_EXPONENT 65537u
#define CURVE_LEAST_BITS 256
#define SERIAL_LEAST_BITS 64
#define SERIAL_MOST_BYTES 20
#define DAY_MS INT64_C(86400000)
#define TLS_MOST_MS (398 * DAY_MS)
#define CRL_MOST_MS (366 * DAY_MS)
#define OCSP_MOST_MS (10 * DAY_MS)

/* What is looked at: of certificate, CRL and request one, and what the decoder found. */
struct subject {
	const struct kmn_content_facts *facts;
	int64_t now;
	X509 *x;
	X509_CRL *crl;
	X509_REQ *req;
	X509 *issuer; /* NULL: not known */
	X509_ALGOR *crl_algorithm;
	EVP_PKEY *key;
	STACK_OF(X509_EXTENSION) * extensions; /* borrowed, or of the request: owned */
};

static int
find(const struct subject *s, int nid)
{
	return X509v3_get_ext_by_NID(s->extensions, nid, -1);
}

static bool
has(const struct subject *s, int nid)
{
	return find(s, nid) >= 0;
}

static bool
is_critical(const struct subject *s, int nid)
{
	int at = find(s, nid);

	return at >= 0 && X509_EXTENSION_get_critical(X509v3_get_ext(s->extensions, at)) != 0;
}

static bool
has_key_usage(const struct subject *s, int bit)
{
	ASN1_BIT_STRING *usage = X509V3_get_d2i(s->extensions, NID_key_usage, NULL, NULL);
	bool set = usage != NULL && ASN1_BIT_STRING_get_bit(usage, bit) != 0;

	ASN1_BIT_STRING_free(usage);
	return set;
}

static bool
is_tls_server(const struct subject *s)
{
	EXTENDED_KEY_USAGE *uses = X509V3_get_d2i(s->extensions, NID_ext_key_usage, NULL, NULL);
	bool is = false;

	for (int i = 0; i < sk_ASN1_OBJECT_num(uses); i++)
		is = is || OBJ_obj2nid(sk_ASN1_OBJECT_value(uses, i)) == NID_server_auth;
	EXTENDED_KEY_USAGE_free(uses);
	return is && !s->facts->ca;
}

static bool
is_self_issued(const struct subject *s)
{
	return s->x != NULL && X509_NAME_cmp(X509_get_subject_name(s->x), X509_get_issuer_name(s->x)) == 0;
}

static int64_t
time_of(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) * 1000 : -1;
}

/* ---- certificates ----------------------------------------------------------------------------------------------- */

#define CA_BIT_CERT_SIGN 5

static bool
ca_key_usage(const struct subject *s)
{
	return s->x != NULL && s->facts->ca && !has_key_usage(s, CA_BIT_CERT_SIGN);
}

static bool
key_usage_ca(const struct subject *s)
{
	return s->x != NULL && !s->facts->ca && has_key_usage(s, CA_BIT_CERT_SIGN);
}

static bool
ca_not_critical(const struct subject *s)
{
	return s->x != NULL && s->facts->ca && !is_critical(s, NID_basic_constraints);
}

static bool
pathlen_no_ca(const struct subject *s)
{
	return s->x != NULL && !s->facts->ca && s->facts->pathlen >= 0;
}

static bool
pathlen_none(const struct subject *s)
{
	return s->x != NULL && s->facts->ca && s->facts->pathlen < 0 && !is_self_issued(s);
}

static bool
pathlen_issuer(const struct subject *s)
{
	long most = s->issuer == NULL ? -1 : X509_get_pathlen(s->issuer);

	return s->x != NULL && s->facts->ca && most >= 0 && !is_self_issued(s) &&
	       (most == 0 || s->facts->pathlen < 0 || s->facts->pathlen >= most);
}

static bool
issuer_no_ca(const struct subject *s)
{
	return s->issuer != NULL && s->req == NULL && (X509_get_extension_flags(s->issuer) & EXFLAG_CA) == 0;
}

static bool
issuer_name(const struct subject *s)
{
	const X509_NAME *said = s->x != NULL     ? X509_get_issuer_name(s->x)
				: s->crl != NULL ? X509_CRL_get_issuer(s->crl)
						 : NULL;

	return s->issuer != NULL && said != NULL && X509_NAME_cmp(said, X509_get_subject_name(s->issuer)) != 0;
}

static bool
issuer_key_id(const struct subject *s)
{
	AUTHORITY_KEYID *said = X509V3_get_d2i(s->extensions, NID_authority_key_identifier, NULL, NULL);
	const ASN1_OCTET_STRING *is = s->issuer == NULL ? NULL : X509_get0_subject_key_id(s->issuer);
	bool differs = said != NULL && said->keyid != NULL && is != NULL && ASN1_STRING_cmp(said->keyid, is) != 0;

	AUTHORITY_KEYID_free(said);
	return differs && s->req == NULL;
}

static bool
outlives_issuer(const struct subject *s)
{
	return s->x != NULL && s->issuer != NULL && s->facts->not_after > time_of(X509_get0_notAfter(s->issuer));
}

static bool
before_issuer(const struct subject *s)
{
	return s->x != NULL && s->issuer != NULL && s->facts->not_before < time_of(X509_get0_notBefore(s->issuer));
}

static bool
never_valid(const struct subject *s)
{
	return s->x != NULL && s->facts->not_after < s->facts->not_before;
}

static bool
expired(const struct subject *s)
{
	return s->x != NULL && s->now > 0 && s->facts->not_after < s->now;
}

static bool
no_key_id(const struct subject *s)
{
	return s->x != NULL && s->facts->ca && !has(s, NID_subject_key_identifier);
}

static bool
no_issuer_key_id(const struct subject *s)
{
	return (s->x != NULL || s->crl != NULL) && !is_self_issued(s) && !has(s, NID_authority_key_identifier);
}

/* The bits of the absolute value, and whether it is above 0. */
static int
serial_bits(const struct subject *s, bool *positive)
{
	BIGNUM *n = s->x == NULL ? NULL : ASN1_INTEGER_to_BN(X509_get0_serialNumber(s->x), NULL);
	int bits = n == NULL ? -1 : BN_num_bits(n);

	*positive = n != NULL && !BN_is_negative(n) && !BN_is_zero(n);
	BN_free(n);
	return bits;
}

/* A random number of 64 bits begins with zeros now and then; with a whole byte of them, seldom. */
static bool
serial_short(const struct subject *s)
{
	bool positive;
	int bits = serial_bits(s, &positive);

	return bits >= 0 && positive && bits <= SERIAL_LEAST_BITS - 8 && !is_self_issued(s);
}

static bool
serial_long(const struct subject *s)
{
	bool positive;

	return serial_bits(s, &positive) > SERIAL_MOST_BYTES * 8 - 1;
}

static bool
serial_sign(const struct subject *s)
{
	bool positive;

	return serial_bits(s, &positive) >= 0 && !positive;
}

static bool
tls_validity(const struct subject *s)
{
	return s->x != NULL && is_tls_server(s) && s->facts->not_after - s->facts->not_before > TLS_MOST_MS;
}

static bool
tls_no_name(const struct subject *s)
{
	return s->x != NULL && is_tls_server(s) && !has(s, NID_subject_alt_name);
}

static bool
empty_subject(const struct subject *s)
{
	return s->x != NULL && X509_NAME_entry_count(X509_get_subject_name(s->x)) == 0 &&
	       (s->facts->ca || !is_critical(s, NID_subject_alt_name));
}

static bool
old_version(const struct subject *s)
{
	return s->x != NULL && X509_get_version(s->x) != X509_VERSION_3;
}

/* ---- keys and hashes -------------------------------------------------------------------------------------------- */

static bool
weak_rsa(const struct subject *s)
{
	return s->key != NULL && EVP_PKEY_is_a(s->key, "RSA") && EVP_PKEY_get_bits(s->key) < RSA_LEAST_BITS;
}

static bool
small_exponent(const struct subject *s)
{
	BIGNUM *e = NULL, *least = BN_new();
	bool small = s->key != NULL && EVP_PKEY_is_a(s->key, "RSA") && EVP_PKEY_get_bn_param(s->key, "e", &e) &&
		     least != NULL && BN_set_word(least, RSA_LEAST_EXPONENT) && (BN_cmp(e, least) < 0 || !BN_is_odd(e));

	BN_free(e);
	BN_free(least);
	return small;
}

static bool
weak_curve(const struct subject *s)
{
	return s->key != NULL && EVP_PKEY_is_a(s->key, "EC") && EVP_PKEY_get_bits(s->key) < CURVE_LEAST_BITS;
}

/* As the content says it, not as the outer algorithm does: that one is not there yet. */
static bool
weak_hash(const struct subject *s)
{
	const X509_ALGOR *algorithm = s->x != NULL ? X509_get0_tbs_sigalg(s->x) : s->crl_algorithm;
	const ASN1_OBJECT *object = NULL;
	int hash = NID_undef;

	if (algorithm == NULL)
		return false;
	X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	return OBJ_find_sigid_algs(OBJ_obj2nid(object), &hash, NULL) &&
	       (hash == NID_sha1 || hash == NID_md5 || hash == NID_md5_sha1);
}

static bool
unknown_critical(const struct subject *s)
{
	for (int i = 0; i < sk_X509_EXTENSION_num(s->extensions); i++) {
		X509_EXTENSION *e = sk_X509_EXTENSION_value(s->extensions, i);

		if (X509_EXTENSION_get_critical(e) && !X509_supported_extension(e))
			return true;
	}
	return false;
}

/* ---- CRLs and OCSP responses ------------------------------------------------------------------------------------ */

static bool
is_updated(const struct subject *s)
{
	return s->facts->kind == KMN_CONTENT_TBS_CRL || s->facts->kind == KMN_CONTENT_OCSP_RESPONSE;
}

static bool
no_next_update(const struct subject *s)
{
	return is_updated(s) && s->facts->next_update < 0;
}

static bool
far_next_update(const struct subject *s)
{
	int64_t from = s->crl != NULL ? s->facts->this_update : s->now;

	return is_updated(s) && s->facts->next_update >= 0 && from > 0 &&
	       s->facts->next_update - from > (s->crl != NULL ? CRL_MOST_MS : OCSP_MOST_MS);
}

static bool
no_crl_number(const struct subject *s)
{
	return s->crl != NULL && !has(s, NID_crl_number);
}

static bool
late_update(const struct subject *s)
{
	return is_updated(s) && s->now > 0 && s->facts->next_update >= 0 && s->facts->next_update < s->now;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static bool (*const judges[KMN_LINT_COUNT])(const struct subject *) = {
    [KMN_LINT_CA_KEY_USAGE] = ca_key_usage,
    [KMN_LINT_KEY_USAGE_CA] = key_usage_ca,
    [KMN_LINT_CA_NOT_CRITICAL] = ca_not_critical,
    [KMN_LINT_PATHLEN_NO_CA] = pathlen_no_ca,
    [KMN_LINT_PATHLEN_NONE] = pathlen_none,
    [KMN_LINT_PATHLEN_ISSUER] = pathlen_issuer,
    [KMN_LINT_ISSUER_NO_CA] = issuer_no_ca,
    [KMN_LINT_ISSUER_NAME] = issuer_name,
    [KMN_LINT_ISSUER_KEY_ID] = issuer_key_id,
    [KMN_LINT_OUTLIVES_ISSUER] = outlives_issuer,
    [KMN_LINT_BEFORE_ISSUER] = before_issuer,
    [KMN_LINT_NEVER_VALID] = never_valid,
    [KMN_LINT_EXPIRED] = expired,
    [KMN_LINT_WEAK_RSA] = weak_rsa,
    [KMN_LINT_SMALL_EXPONENT] = small_exponent,
    [KMN_LINT_WEAK_CURVE] = weak_curve,
    [KMN_LINT_WEAK_HASH] = weak_hash,
    [KMN_LINT_NO_KEY_ID] = no_key_id,
    [KMN_LINT_NO_ISSUER_KEY_ID] = no_issuer_key_id,
    [KMN_LINT_SERIAL_SHORT] = serial_short,
    [KMN_LINT_SERIAL_LONG] = serial_long,
    [KMN_LINT_SERIAL_SIGN] = serial_sign,
    [KMN_LINT_TLS_VALIDITY] = tls_validity,
    [KMN_LINT_TLS_NO_NAME] = tls_no_name,
    [KMN_LINT_UNKNOWN_CRITICAL] = unknown_critical,
    [KMN_LINT_EMPTY_SUBJECT] = empty_subject,
    [KMN_LINT_OLD_VERSION] = old_version,
    [KMN_LINT_NO_NEXT_UPDATE] = no_next_update,
    [KMN_LINT_FAR_NEXT_UPDATE] = far_next_update,
    [KMN_LINT_NO_CRL_NUMBER] = no_crl_number,
    [KMN_LINT_LATE_UPDATE] = late_update,
};

#define KMN_LINT_WORDS(id, name, en, ja) {name, en, ja},
static const struct {
	const char *name, *text, *japanese;
} words[KMN_LINT_COUNT] = {KMN_LINT_ROWS(KMN_LINT_WORDS)};

const char *
kmn_lint_japanese(enum kmn_lint lint)
{
	return words[lint].japanese;
}

static void
open_subject(struct subject *s, const struct kmn_lint_input *in, const uint8_t *wrapped, size_t len)
{
	const uint8_t *at = wrapped;

	if (s->facts->kind == KMN_CONTENT_TBS_CERTIFICATE && (s->x = d2i_X509(NULL, &at, (long)len)) != NULL) {
		s->extensions = (STACK_OF(X509_EXTENSION) *)(uintptr_t)X509_get0_extensions(s->x);
		s->key = X509_get0_pubkey(s->x);
	} else if (s->facts->kind == KMN_CONTENT_TBS_CRL && (s->crl = d2i_X509_CRL(NULL, &at, (long)len)) != NULL) {
		s->extensions = (STACK_OF(X509_EXTENSION) *)(uintptr_t)X509_CRL_get0_extensions(s->crl);
		s->crl_algorithm = content_crl_algorithm(in->material->data, in->material->len);
	} else if (s->facts->kind == KMN_CONTENT_CSR && (s->req = d2i_X509_REQ(NULL, &at, (long)len)) != NULL) {
		s->extensions = X509_REQ_get_extensions(s->req);
		s->key = X509_REQ_get0_pubkey(s->req);
	}
	at = in->issuer;
	if (at != NULL)
		s->issuer = d2i_X509(NULL, &at, (long)in->issuer_len);
}

static void
close_subject(struct subject *s)
{
	if (s->req != NULL)
		sk_X509_EXTENSION_pop_free(s->extensions, X509_EXTENSION_free);
	X509_free(s->x);
	X509_CRL_free(s->crl);
	X509_ALGOR_free(s->crl_algorithm);
	X509_REQ_free(s->req);
	X509_free(s->issuer);
}

size_t
kmn_lint(const struct kmn_lint_input *in, kmn_lint_fn fn, void *cookie)
{
	struct kmn_content *content;
	struct subject s = {.now = in->now};
	uint8_t *wrapped;
	size_t len, count = 0;

	if (kmn_content_decode(in->material, &content) != KMN_OK)
		return 0;
	s.facts = kmn_content_facts(content);
	if ((wrapped = content_wrap(in->material->data, in->material->len, &len)) != NULL) {
		open_subject(&s, in, wrapped, len);
		for (size_t i = 0; i < KMN_LINT_COUNT; i++)
			if (judges[i](&s)) {
				fn(cookie, (enum kmn_lint)i, words[i].name, words[i].text);
				count++;
			}
		close_subject(&s);
	}
	free(wrapped);
	kmn_content_free(content);
	return count;
}
