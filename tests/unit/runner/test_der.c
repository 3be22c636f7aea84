/* What is signed and its signature as one whole; public halves. OpenSSL, which made the parts, reads the whole again. */
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

/* The part of a SEQUENCE { tbs, algorithm, signature } that is signed. */
static const uint8_t *
first_part(const uint8_t *whole, size_t *len_out)
{
	const uint8_t *at = whole;
	long len;
	int tag, class;

	CU_ASSERT_FATAL((ASN1_get_object(&at, &len, &tag, &class, 1 << 20) & 0x80) == 0);
	whole = at;
	CU_ASSERT_FATAL((ASN1_get_object(&at, &len, &tag, &class, 1 << 20) & 0x80) == 0);
	*len_out = (size_t)(at - whole) + (size_t)len;
	return whole;
}

/* As PKCS#11 gives it: of ECDSA r and s, each as long as the curve's order. */
static size_t
sign(EVP_PKEY *key, const uint8_t *data, size_t len, uint8_t out[RUNNER_SIGNATURE_MAX_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[512];
	const uint8_t *at = der;
	size_t der_len = sizeof(der);
	ECDSA_SIG *pair;

	CU_ASSERT_EQUAL_FATAL(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_DigestSign(ctx, der, &der_len, data, len), 1);
	EVP_MD_CTX_free(ctx);
	if (key != ec) {
		memcpy(out, der, der_len);
		return der_len;
	}
	pair = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
	CU_ASSERT_EQUAL(BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32), 32);
	CU_ASSERT_EQUAL(BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32), 32);
	ECDSA_SIG_free(pair);
	return 64;
}

static void
assemble(EVP_PKEY *key, const uint8_t *tbs, size_t len, struct runner_outcome *outcome)
{
	uint8_t signature[RUNNER_SIGNATURE_MAX_BYTES];
	size_t signature_len = sign(key, tbs, len, signature);

	*outcome = (struct runner_outcome){.why = ""};
	CU_ASSERT_EQUAL_FATAL(
	    runner_assemble(runner_signer_named(key == ec ? "CKM_ECDSA_SHA256" : "CKM_SHA256_RSA_PKCS"), tbs, len,
		signature, signature_len, outcome),
	    KMN_OK);
}

static void
test_certificate(void)
{
	EVP_PKEY *keys[] = {ec, rsa};

	for (size_t n = 0; n < KMN_COUNT_OF(keys); n++) {
		X509 *made = X509_new(), *read;
		struct runner_outcome outcome;
		const uint8_t *tbs, *at;
		uint8_t *der = NULL;
		size_t len;

		CU_ASSERT_EQUAL_FATAL(X509_set_version(made, 2) == 1 && X509_set_pubkey(made, keys[n]) == 1, 1);
		(void)ASN1_INTEGER_set(X509_get_serialNumber(made), 7);
		(void)X509_gmtime_adj(X509_getm_notBefore(made), 0);
		(void)X509_gmtime_adj(X509_getm_notAfter(made), 3600);
		CU_ASSERT_FATAL(X509_sign(made, keys[n], EVP_sha256()) > 0);
		CU_ASSERT_FATAL(i2d_X509(made, &der) > 0);
		tbs = first_part(der, &len);
		for (unsigned k = 0; k < 20; k++) { /* signatures whose numbers begin with 0, and with a high bit */
			assemble(keys[n], tbs, len, &outcome);
			at = outcome.result;
			CU_ASSERT_STRING_EQUAL(outcome.form, "certificate");
			read = d2i_X509(NULL, &at, (long)outcome.result_len);
			CU_ASSERT_PTR_NOT_NULL_FATAL(read);
			CU_ASSERT_EQUAL(X509_verify(read, keys[n]), 1);
			X509_free(read);
			free(outcome.result);
		}
		OPENSSL_free(der);
		X509_free(made);
	}
}

static void
test_crl(void)
{
	X509_CRL *made = X509_CRL_new(), *read;
	ASN1_TIME *now = ASN1_TIME_set(NULL, 1800000000);
	struct runner_outcome outcome;
	const uint8_t *tbs, *at;
	uint8_t *der = NULL;
	size_t len;

	CU_ASSERT_FATAL(X509_CRL_set_version(made, 1) == 1 && X509_CRL_set1_lastUpdate(made, now) == 1);
	CU_ASSERT_FATAL(X509_CRL_sign(made, ec, EVP_sha256()) > 0 && i2d_X509_CRL(made, &der) > 0);
	tbs = first_part(der, &len);
	assemble(ec, tbs, len, &outcome);
	CU_ASSERT_STRING_EQUAL(outcome.form, "crl");
	at = outcome.result;
	read = d2i_X509_CRL(NULL, &at, (long)outcome.result_len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(read);
	CU_ASSERT_EQUAL(X509_CRL_verify(read, ec), 1);
	X509_CRL_free(read);
	free(outcome.result);
	OPENSSL_free(der);
	ASN1_TIME_free(now);
	X509_CRL_free(made);
}

static void
test_request(void)
{
	X509_REQ *made = X509_REQ_new(), *read;
	struct runner_outcome outcome;
	const uint8_t *info, *at;
	uint8_t *der = NULL;
	size_t len;

	CU_ASSERT_FATAL(X509_REQ_set_version(made, 0) == 1 && X509_REQ_set_pubkey(made, rsa) == 1);
	CU_ASSERT_FATAL(X509_REQ_sign(made, rsa, EVP_sha256()) > 0 && i2d_X509_REQ(made, &der) > 0);
	info = first_part(der, &len);
	assemble(rsa, info, len, &outcome);
	CU_ASSERT_STRING_EQUAL(outcome.form, "certificate-request");
	at = outcome.result;
	read = d2i_X509_REQ(NULL, &at, (long)outcome.result_len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(read);
	CU_ASSERT_EQUAL(X509_REQ_verify(read, rsa), 1);
	X509_REQ_free(read);
	free(outcome.result);
	OPENSSL_free(der);
	X509_REQ_free(made);
}

/* What is none of these is signed all the same, and the result is the signature. Cut-off and absurd lengths too. */
static void
test_other(void)
{
	static const uint8_t odd[][8] = {"a text.", {0x30, 0x80, 0, 0}, {0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1, 2},
	    {0x30, 0x06, 0x02, 0x7f, 1, 2, 3, 4}, {0x30, 0x06, 0x30, 0x04, 0x30, 0x02, 0x05, 0x00}, {0x30, 0x85}};
	struct runner_outcome outcome;

	for (size_t n = 0; n < KMN_COUNT_OF(odd); n++) {
		for (size_t len = 1; len <= sizeof(odd[n]); len++) {
			assemble(ec, odd[n], len, &outcome);
			CU_ASSERT_STRING_EQUAL(outcome.form, "signature");
			CU_ASSERT_EQUAL(outcome.result_len, 64);
			free(outcome.result);
		}
	}
}

static void
expect_public(EVP_PKEY *key, const struct runner_outcome *outcome)
{
	const uint8_t *at = outcome->result;
	EVP_PKEY *read = d2i_PUBKEY(NULL, &at, (long)outcome->result_len);

	CU_ASSERT_STRING_EQUAL(outcome->form, "public-key");
	CU_ASSERT_PTR_NOT_NULL_FATAL(read);
	CU_ASSERT_EQUAL(EVP_PKEY_eq(read, key), 1);
	EVP_PKEY_free(read);
	free(outcome->result);
}

static void
test_public(void)
{
	const struct runner_maker *maker = runner_maker_named("CKM_EC_KEY_PAIR_GEN", "P-256");
	struct runner_outcome outcome = {.why = ""};
	uint8_t modulus[256], exponent[3], point[67] = {0x04, 0x41};
	BIGNUM *n = NULL, *e = NULL;
	size_t len = 0;

	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_PUB_KEY, point + 2, 65, &len), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(maker);
	CU_ASSERT_EQUAL(runner_spki(RUNNER_EC, maker->curve, maker->curve_len, point, 67, &outcome), KMN_OK);
	expect_public(ec, &outcome);
	CU_ASSERT_EQUAL(runner_spki(RUNNER_EC, maker->curve, maker->curve_len, point + 2, 65, &outcome), KMN_OK);
	expect_public(ec, &outcome);
	CU_ASSERT_EQUAL(
	    runner_spki(RUNNER_EC, maker->curve, maker->curve_len, point + 2, 64, &outcome), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, &e), 1);
	CU_ASSERT_EQUAL(BN_bn2binpad(n, modulus, 256), 256);
	CU_ASSERT_EQUAL(BN_bn2binpad(e, exponent, 3), 3);
	CU_ASSERT_EQUAL(runner_spki(RUNNER_RSA, modulus, 256, exponent, 3, &outcome), KMN_OK);
	expect_public(rsa, &outcome);
	BN_free(n);
	BN_free(e);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a certificate verifies, with RSA and ECDSA", test_certificate},
	    {"so does a CRL", test_crl},
	    {"and a certificate request", test_request},
	    {"of anything else the result is the signature", test_other},
	    {"the public half of a key, as a token tells it", test_public},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
	    {"runner/der", make_keys, free_keys, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
