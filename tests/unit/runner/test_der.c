/* The public half of a key, as a token tells it: OpenSSL, which made the key, reads it again. */
#include "config.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "server/runner/runner.h"
#include "tests/unit/run.h"

static EVP_PKEY *ec, *rsa;

static int
make_keys(void)
{
	ec = EVP_EC_gen("P-256");
	rsa = EVP_RSA_gen(2048);
	return ec == NULL || rsa == NULL;
}

static int
free_keys(void)
{
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	return 0;
}

static void
expect_public(EVP_PKEY *key, uint8_t *spki, size_t len)
{
	const uint8_t *at = spki;
	EVP_PKEY *read = d2i_PUBKEY(NULL, &at, (long)len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(read);
	CU_ASSERT_EQUAL(EVP_PKEY_eq(read, key), 1);
	EVP_PKEY_free(read);
	free(spki);
}

static void
test_public(void)
{
	const struct runner_maker *maker = runner_maker_named("CKM_EC_KEY_PAIR_GEN", "P-256");
	uint8_t *spki, modulus[256], exponent[3], point[67] = {0x04, 0x41};
	BIGNUM *n = NULL, *e = NULL;
	size_t len = 0, spki_len;

	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_PUB_KEY, point + 2, 65, &len), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(maker);
	CU_ASSERT_EQUAL(runner_spki(RUNNER_EC, maker->curve, maker->curve_len, point, 67, &spki, &spki_len), KMN_OK);
	expect_public(ec, spki, spki_len);
	CU_ASSERT_EQUAL(
	    runner_spki(RUNNER_EC, maker->curve, maker->curve_len, point + 2, 65, &spki, &spki_len), KMN_OK);
	expect_public(ec, spki, spki_len);
	CU_ASSERT_EQUAL(
	    runner_spki(RUNNER_EC, maker->curve, maker->curve_len, point + 2, 64, &spki, &spki_len), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, &e), 1);
	CU_ASSERT_EQUAL(BN_bn2binpad(n, modulus, 256), 256);
	CU_ASSERT_EQUAL(BN_bn2binpad(e, exponent, 3), 3);
	CU_ASSERT_EQUAL(runner_spki(RUNNER_RSA, modulus, 256, exponent, 3, &spki, &spki_len), KMN_OK);
	expect_public(rsa, spki, spki_len);
	BN_free(n);
	BN_free(e);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"the public half of a key, as a token tells it", test_public},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
	    {"runner/der", make_keys, free_keys, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
