#include "config.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "server/hsm/spki.h"
#include "tests/unit/run.h"

#define VIEW(array, n) ((struct kmn_bytes_view){(array), (n)})
#define CKK_EC_EDWARDS_V3 0x40u

static struct kmn_spki_maker *maker;

static int
suite_begin(void)
{
	return kmn_spki_maker_new(&maker) == KMN_OK ? 0 : 1;
}

static int
suite_end(void)
{
	kmn_spki_maker_free(maker);
	return 0;
}

/* The answer is what OpenSSL writes for the same key. */
static void
assert_spki(const struct kmn_spki *spki, EVP_PKEY *key)
{
	uint8_t *der = NULL;
	int n = i2d_PUBKEY(key, &der);

	CU_ASSERT_EQUAL(spki->len, (size_t)n);
	CU_ASSERT_TRUE(n > 0 && spki->len == (size_t)n && memcmp(spki->der, der, (size_t)n) == 0);
	OPENSSL_free(der);
}

static size_t
number(EVP_PKEY *key, const char *name, uint8_t *out)
{
	BIGNUM *n = NULL;
	int len = 0;

	CU_ASSERT_EQUAL(EVP_PKEY_get_bn_param(key, name, &n), 1);
	len = BN_bn2bin(n, out);
	BN_free(n);
	return (size_t)len;
}

static void
test_rsa(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	uint8_t n[512], e[16], n2[512], zeros[4] = {0};
	size_t n_len = number(key, OSSL_PKEY_PARAM_RSA_N, n), e_len = number(key, OSSL_PKEY_PARAM_RSA_E, e);
	size_t n2_len = number(other, OSSL_PKEY_PARAM_RSA_N, n2);
	struct kmn_spki spki;

	kmn_spki_of_rsa(maker, VIEW(n, n_len), VIEW(e, e_len), &spki);
	assert_spki(&spki, key);
	CU_ASSERT_TRUE(kmn_spki_fits(maker, &spki, CKK_RSA, VIEW(n, n_len), VIEW(NULL, 0)));
	CU_ASSERT_FALSE(kmn_spki_fits(maker, &spki, CKK_RSA, VIEW(n2, n2_len), VIEW(NULL, 0)));
	CU_ASSERT_FALSE(kmn_spki_fits(maker, &spki, CKK_RSA, VIEW(NULL, 0), VIEW(NULL, 0)));
	CU_ASSERT_FALSE(kmn_spki_fits(maker, &spki, CKK_EC, VIEW(n, n_len), VIEW(NULL, 0)));
	kmn_spki_of_rsa(maker, VIEW(n, n_len), VIEW(NULL, 0), &spki);
	CU_ASSERT_EQUAL(spki.len, 0);
	kmn_spki_of_rsa(maker, VIEW(zeros, 4), VIEW(e, e_len), &spki);
	CU_ASSERT_EQUAL(spki.len, 0);
	EVP_PKEY_free(other);
	EVP_PKEY_free(key);
}

static size_t
params_of(const char *curve, uint8_t *out)
{
	ASN1_OBJECT *oid = OBJ_txt2obj(curve, 0);
	int n = i2d_ASN1_OBJECT(oid, &out);

	ASN1_OBJECT_free(oid);
	return (size_t)n;
}

static size_t
wrapped(const uint8_t *point, size_t len, uint8_t *out)
{
	ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
	int n;

	ASN1_OCTET_STRING_set(s, point, (int)len);
	n = i2d_ASN1_OCTET_STRING(s, &out);
	ASN1_OCTET_STRING_free(s);
	return (size_t)n;
}

static void
test_ec(void)
{
	static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1"};
	uint8_t params[32], other[32], point[200], octets[220];
	size_t other_len = params_of("brainpoolP256r1", other);

	for (size_t i = 0; i < KMN_COUNT_OF(curves); i++) {
		EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[i]);
		size_t params_len = params_of(curves[i], params), point_len = 0, octets_len;
		struct kmn_spki spki;

		CU_ASSERT_EQUAL(
		    EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &point_len), 1);
		octets_len = wrapped(point, point_len, octets);
		kmn_spki_of_ec(maker, VIEW(params, params_len), VIEW(octets, octets_len), &spki);
		assert_spki(&spki, key);
		kmn_spki_of_ec(maker, VIEW(params, params_len), VIEW(point, point_len), &spki);
		assert_spki(&spki, key);
		CU_ASSERT_TRUE(kmn_spki_fits(maker, &spki, CKK_EC, VIEW(NULL, 0), VIEW(params, params_len)));
		CU_ASSERT_FALSE(kmn_spki_fits(maker, &spki, CKK_EC, VIEW(NULL, 0), VIEW(other, other_len)));
		point[point_len - 1] ^= 1; /* off the curve */
		kmn_spki_of_ec(maker, VIEW(params, params_len), VIEW(point, point_len), &spki);
		CU_ASSERT_EQUAL(spki.len, 0);
		EVP_PKEY_free(key);
	}
}

static void
test_edwards(void)
{
	static const char *const kinds[] = {"ED25519", "ED448"};
	uint8_t raw[64], octets[80];

	for (size_t i = 0; i < KMN_COUNT_OF(kinds); i++) {
		EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, kinds[i]);
		size_t len = sizeof(raw), octets_len;
		struct kmn_spki spki;

		CU_ASSERT_EQUAL(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
		octets_len = wrapped(raw, len, octets);
		kmn_spki_of_edwards(maker, VIEW(raw, len), &spki);
		assert_spki(&spki, key);
		kmn_spki_of_edwards(maker, VIEW(octets, octets_len), &spki);
		assert_spki(&spki, key);
		CU_ASSERT_TRUE(kmn_spki_fits(maker, &spki, CKK_EC_EDWARDS_V3, VIEW(NULL, 0), VIEW(NULL, 0)));
		kmn_spki_of_edwards(maker, VIEW(raw, len - 1), &spki);
		CU_ASSERT_EQUAL(spki.len, 0);
		EVP_PKEY_free(key);
	}
}

static void
test_certificate(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "prime256v1");
	X509 *x = X509_new();
	struct kmn_spki spki;
	uint8_t *der = NULL;
	int n;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	n = i2d_X509(x, &der);
	CU_ASSERT_TRUE_FATAL(n > 0);
	kmn_spki_of_certificate(maker, VIEW(der, (size_t)n), &spki);
	assert_spki(&spki, key);
	kmn_spki_of_info(maker, VIEW(spki.der, spki.len), &spki);
	assert_spki(&spki, key);
	kmn_spki_of_certificate(maker, VIEW(der, (size_t)n / 2), &spki);
	CU_ASSERT_EQUAL(spki.len, 0);
	OPENSSL_free(der);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* Whatever a module says, the answer is a public key that OpenSSL reads, or none. */
static void
test_hostile(void)
{
	uint8_t params[64], point[160], boolean[] = {0x01, 0x01, 0xff}, null[] = {0x05, 0x00};
	size_t params_len = params_of("prime256v1", params);
	struct kmn_spki spki;
	unsigned seed = 1;

	kmn_spki_of_ec(maker, VIEW(boolean, sizeof(boolean)), VIEW(point, 0), &spki);
	CU_ASSERT_EQUAL(spki.len, 0);
	for (unsigned round = 0; round < 300; round++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(point);

		for (size_t i = 0; i < len; i++)
			point[i] = (uint8_t)rand_r(&seed);
		if (len > 2 && round % 2 == 0) {
			point[0] = 0x04;
			point[1] = (uint8_t)(len - 2);
		}
		kmn_spki_of_ec(maker, VIEW(params, params_len), VIEW(point, len), &spki);
		CU_ASSERT_EQUAL(spki.len, 0);
		kmn_spki_of_ec(maker, VIEW(boolean, sizeof(boolean)), VIEW(point, len), &spki);
		kmn_spki_of_ec(maker, VIEW(null, sizeof(null)), VIEW(point, len), &spki);
		kmn_spki_of_ec(maker, VIEW(point, len), VIEW(point, len), &spki);
		CU_ASSERT_EQUAL(spki.len, 0);
		kmn_spki_of_info(maker, VIEW(point, len), &spki);
		kmn_spki_of_certificate(maker, VIEW(point, len), &spki);
		CU_ASSERT_EQUAL(spki.len, 0);
	}
}

static CU_TestInfo tests[] = {
    {"RSA: modulus and exponent make what OpenSSL writes", test_rsa},
    {"EC: a point as it is or wrapped, on three curves; off the curve is none", test_ec},
    {"Ed25519 and Ed448: a point as it is or wrapped", test_edwards},
    {"a certificate gives its key, half a one gives none", test_certificate},
    {"random answers of a module make no key and do no harm", test_hostile},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {.pName = "hsm/spki", .pInitFunc = suite_begin, .pCleanupFunc = suite_end, .pTests = tests},
	    CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
