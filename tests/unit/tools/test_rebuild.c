/* Certificates taken apart and made whole again, and matched with the signatures of a ledger. */
#include "config.h"

#include "tools/kanmon/match.h"
#include "tools/kanmon/rebuild.h"

#include "tests/unit/run.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum scheme { RSA_PKCS1, RSA_PSS, ECDSA, EDDSA, SCHEMES };

static const struct {
	const char *scheme, *hash;
} schemes[SCHEMES] = {{"rsa-pkcs1", "sha384"}, {"rsa-pss", "sha256"}, {"ecdsa", "sha256"}, {"eddsa", "sha256"}};

static EVP_PKEY *keys[SCHEMES];

/* A certificate or CRL of that name by that key; the caller's. */
static uint8_t *
issue(enum scheme scheme, bool crl, long serial, size_t *len_out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	uint8_t *der = NULL;
	X509 *x = X509_new();
	X509_CRL *list = X509_CRL_new();
	X509_NAME *name = X509_NAME_new();
	ASN1_TIME *now = ASN1_TIME_set(NULL, 1790000000);

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"Example CA", -1, -1, 0);
	EVP_DigestSignInit(
	    ctx, &pctx, scheme == EDDSA ? NULL : EVP_get_digestbyname(schemes[scheme].hash), NULL, keys[scheme]);
	if (scheme == RSA_PSS)
		EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_set_issuer_name(x, name);
	X509_set_subject_name(x, name);
	X509_set1_notBefore(x, now);
	X509_set1_notAfter(x, now);
	X509_set_pubkey(x, keys[scheme]);
	X509_CRL_set_version(list, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(list, name);
	X509_CRL_set1_lastUpdate(list, now);
	X509_CRL_set1_nextUpdate(list, now);
	CU_ASSERT_FATAL((crl ? X509_CRL_sign_ctx(list, ctx) : X509_sign_ctx(x, ctx)) > 0);
	*len_out = (size_t)(crl ? i2d_X509_CRL(list, &der) : i2d_X509(x, &der));
	ASN1_TIME_free(now);
	X509_NAME_free(name);
	X509_free(x);
	X509_CRL_free(list);
	EVP_MD_CTX_free(ctx);
	return der;
}

/* What PKCS#11 would have returned. */
static size_t
raw(enum scheme scheme, const struct kmn_issued *issued, uint8_t out[KMN_SIGNATURE_MAX_BYTES])
{
	const unsigned char *at = issued->signature;
	ECDSA_SIG *sig;

	if (scheme != ECDSA) {
		memcpy(out, issued->signature, issued->signature_len);
		return issued->signature_len;
	}
	sig = d2i_ECDSA_SIG(NULL, &at, (long)issued->signature_len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(sig);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32);
	ECDSA_SIG_free(sig);
	return 64;
}

static int
set_up(void)
{
	keys[RSA_PKCS1] = EVP_RSA_gen(2048);
	keys[RSA_PSS] = EVP_RSA_gen(2048);
	keys[ECDSA] = EVP_EC_gen("P-256");
	keys[EDDSA] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return keys[0] == NULL || keys[1] == NULL || keys[2] == NULL || keys[3] == NULL;
}

static int
tear_down(void)
{
	for (size_t n = 0; n < SCHEMES; n++)
		EVP_PKEY_free(keys[n]);
	return 0;
}

static void
test_rebuild(void)
{
	for (enum scheme scheme = 0; scheme < SCHEMES; scheme++) {
		for (int crl = 0; crl < 2; crl++) {
			uint8_t signature[KMN_SIGNATURE_MAX_BYTES], *made, *der;
			struct kmn_norm norm = {.digest_len = 32};
			enum kmn_finished_kind kind;
			struct kmn_issued issued;
			size_t len, made_len, signature_len;

			der = issue(scheme, crl == 1, 7, &len);
			strcpy(norm.scheme, schemes[scheme].scheme);
			CU_ASSERT_EQUAL_FATAL(kmn_issued_read(der, len, &issued), KMN_OK);
			CU_ASSERT_EQUAL_FATAL(kmn_finished_kind_of(issued.tbs, issued.tbs_len, &kind), KMN_OK);
			CU_ASSERT_EQUAL(kind, crl == 1 ? KMN_FINISHED_CRL : KMN_FINISHED_CERTIFICATE);
			signature_len = raw(scheme, &issued, signature);
			CU_ASSERT(kmn_issued_has_signature(&issued, signature, signature_len));
			CU_ASSERT_EQUAL_FATAL(kmn_finished_make(kind, issued.tbs, issued.tbs_len, &norm, signature,
						  signature_len, &made, &made_len),
			    KMN_OK);
			CU_ASSERT_EQUAL(made_len, len);
			CU_ASSERT(made_len == len && memcmp(made, der, len) == 0);
			signature[0] ^= 1;
			CU_ASSERT_FALSE(kmn_issued_has_signature(&issued, signature, signature_len));
			free(made);
			OPENSSL_free(der);
		}
	}
}

static void
test_is_by(void)
{
	for (enum scheme scheme = 0; scheme < SCHEMES; scheme++) {
		struct kmn_issued issued;
		size_t len;
		uint8_t *der = issue(scheme, false, 7, &len);

		CU_ASSERT_EQUAL_FATAL(kmn_issued_read(der, len, &issued), KMN_OK);
		for (enum scheme other = 0; other < SCHEMES; other++) {
			uint8_t *spki = NULL;
			int spki_len = i2d_PUBKEY(keys[other], &spki);

			CU_ASSERT_EQUAL(kmn_issued_is_by(&issued, spki, (size_t)spki_len), other == scheme);
			OPENSSL_free(spki);
		}
		OPENSSL_free(der);
	}
}

static void
test_not_der(void)
{
	struct kmn_issued issued;
	size_t len;
	uint8_t *der = issue(RSA_PKCS1, false, 7, &len);

	for (size_t cut = 0; cut < len; cut++)
		CU_ASSERT_NOT_EQUAL(kmn_issued_read(der, cut, &issued), KMN_OK);
	CU_ASSERT_EQUAL(kmn_issued_read(der, len, &issued), KMN_OK);
	OPENSSL_free(der);
}

/* ---- matching ---------------------------------------------------------------------------------------------------- */

/* In which form the HSM got it. */
enum form { WHOLE, DIGEST, WITHOUT_NORM, BARE_WITHOUT_NORM };

static void
record(struct kmn_match *match, uint64_t i, enum scheme scheme, const uint8_t *der, size_t len, enum form form)
{
	static struct kmn_signed_certificate made;
	struct kmn_issued issued;
	uint8_t digest[64], *spki = NULL;
	char hash[12];
	size_t digest_len;
	int spki_len = i2d_PUBKEY(keys[scheme], &spki);

	memset(&made, 0, sizeof(made));
	CU_ASSERT_EQUAL_FATAL(kmn_issued_read(der, len, &issued), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_issued_digest(&issued, hash, digest, &digest_len), KMN_OK);
	made.record = i;
	made.has_in = made.has_key = true;
	kmn_sha256(spki, (size_t)spki_len, made.spki_sha256);
	made.has_norm = form == WHOLE || form == DIGEST;
	strcpy(made.norm.scheme, schemes[scheme].scheme);
	memcpy(made.norm.digest, digest, made.norm.digest_len = digest_len);
	if (form == WHOLE || form == WITHOUT_NORM)
		kmn_sha256(issued.tbs, issued.tbs_len, made.in_sha256);
	else
		kmn_sha256(digest, digest_len, made.in_sha256);
	made.signature_len = raw(scheme, &issued, made.signature);
	CU_ASSERT_EQUAL(kmn_match_key(match, made.spki_sha256), KMN_OK);
	CU_ASSERT_EQUAL(kmn_match_public(match, spki, (size_t)spki_len), KMN_OK);
	CU_ASSERT_EQUAL(kmn_match_signed(match, &made, "certificate"), KMN_OK);
	OPENSSL_free(spki);
}

static enum kmn_match_verdict
judge(struct kmn_match *match, const uint8_t *der, size_t len, uint64_t *record_out)
{
	struct kmn_issued issued;

	CU_ASSERT_EQUAL_FATAL(kmn_issued_read(der, len, &issued), KMN_OK);
	return kmn_match_issued(match, &issued, record_out);
}

static void
count(void *cookie, uint64_t i, const char *kind)
{
	(void)kind;
	*(uint64_t *)cookie = *(uint64_t *)cookie * 100 + i;
}

static void
test_match(void)
{
	struct kmn_match *match;
	uint64_t i, missing = 0;
	size_t len[7];
	uint8_t *der[7];

	CU_ASSERT_EQUAL_FATAL(kmn_match_new(&match), KMN_OK);
	der[0] = issue(RSA_PKCS1, false, 1, &len[0]);
	der[1] = issue(ECDSA, false, 2, &len[1]);
	der[2] = issue(ECDSA, false, 3, &len[2]);
	der[3] = issue(RSA_PKCS1, true, 0, &len[3]);
	der[4] = issue(ECDSA, false, 2, &len[4]); /* the same content as 1, signed once more */
	der[5] = issue(RSA_PKCS1, false, 99, &len[5]);
	der[6] = issue(EDDSA, false, 1, &len[6]);
	record(match, 10, RSA_PKCS1, der[0], len[0], WHOLE);
	record(match, 11, ECDSA, der[1], len[1], DIGEST);
	record(match, 12, ECDSA, der[2], len[2], BARE_WITHOUT_NORM);
	record(match, 13, RSA_PKCS1, der[3], len[3], WITHOUT_NORM);
	CU_ASSERT_EQUAL(judge(match, der[0], len[0], &i), KMN_MATCHED);
	CU_ASSERT_EQUAL(i, 10);
	CU_ASSERT_EQUAL(judge(match, der[1], len[1], &i), KMN_MATCHED);
	CU_ASSERT_EQUAL(i, 11);
	CU_ASSERT_EQUAL(judge(match, der[2], len[2], &i), KMN_MATCHED);
	CU_ASSERT_EQUAL(i, 12);
	kmn_match_missing(match, count, &missing);
	CU_ASSERT_EQUAL(missing, 13);
	CU_ASSERT_EQUAL(judge(match, der[3], len[3], &i), KMN_MATCHED);
	CU_ASSERT_EQUAL(judge(match, der[4], len[4], &i), KMN_ROGUE_TWICE);
	CU_ASSERT_EQUAL(i, 11);
	CU_ASSERT_EQUAL(judge(match, der[5], len[5], &i), KMN_ROGUE);
	CU_ASSERT_EQUAL(i, UINT64_MAX);
	CU_ASSERT_EQUAL(judge(match, der[6], len[6], &i), KMN_FOREIGN);
	for (size_t n = 0; n < KMN_COUNT_OF(der); n++)
		OPENSSL_free(der[n]);
	kmn_match_free(match);
}

static void
test_unused_key(void)
{
	struct kmn_match *match;
	uint8_t sha256[KMN_HASH_BYTES], *spki = NULL, *der;
	int spki_len = i2d_PUBKEY(keys[EDDSA], &spki);
	size_t len;
	uint64_t i;

	CU_ASSERT_EQUAL_FATAL(kmn_match_new(&match), KMN_OK);
	kmn_sha256(spki, (size_t)spki_len, sha256);
	CU_ASSERT_EQUAL(kmn_match_key(match, sha256), KMN_OK);
	CU_ASSERT_EQUAL(kmn_match_keyless(match), 1);
	der = issue(EDDSA, false, 1, &len);
	CU_ASSERT_EQUAL(judge(match, der, len, &i), KMN_FOREIGN);
	CU_ASSERT_EQUAL(kmn_match_public(match, spki, (size_t)spki_len), KMN_OK);
	CU_ASSERT_EQUAL(kmn_match_keyless(match), 0);
	CU_ASSERT_EQUAL(judge(match, der, len, &i), KMN_ROGUE);
	OPENSSL_free(der);
	OPENSSL_free(spki);
	kmn_match_free(match);
}

static CU_TestInfo tests[] = {
    {"a certificate and a CRL are rebuilt byte for byte, by each algorithm", test_rebuild},
    {"a certificate is by the key that signed it and no other", test_is_by},
    {"DER that was cut is none", test_not_der},
    {"what was issued meets its record in each form in which the HSM got it; the others are rogue or foreign",
	test_match},
    {"a certificate by a key that never signed for the ledger is a rogue once the key is known", test_unused_key},
    CU_TEST_INFO_NULL,
};
static CU_SuiteInfo suites[] = {{"tools/rebuild", set_up, tear_down, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

int
main(int argc, char **argv)
{
	return kmn_test_main(argc, argv, suites);
}
