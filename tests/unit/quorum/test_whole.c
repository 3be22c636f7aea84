/* What is signed and its signature as one whole. OpenSSL, which made the parts, reads the whole again. */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/whole.h"
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
sign(EVP_PKEY *key, const uint8_t *data, size_t len, uint8_t out[KMN_WHOLE_SIGNATURE_MAX_BYTES])
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

static const char *
mechanism_of(EVP_PKEY *key)
{
	return key == ec ? "CKM_ECDSA_SHA256" : "CKM_SHA256_RSA_PKCS";
}

static void
assemble(EVP_PKEY *key, const uint8_t *tbs, size_t len, struct kmn_whole *outcome)
{
	uint8_t signature[KMN_WHOLE_SIGNATURE_MAX_BYTES];
	size_t signature_len = sign(key, tbs, len, signature);

	CU_ASSERT_EQUAL_FATAL(kmn_whole_make(mechanism_of(key), tbs, len, signature, signature_len, outcome), KMN_OK);
}

static void
test_certificate(void)
{
	EVP_PKEY *keys[] = {ec, rsa};

	for (size_t n = 0; n < KMN_COUNT_OF(keys); n++) {
		X509 *made = X509_new(), *read;
		struct kmn_whole outcome;
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
			at = outcome.bytes;
			CU_ASSERT_STRING_EQUAL(outcome.form, "certificate");
			read = d2i_X509(NULL, &at, (long)outcome.len);
			CU_ASSERT_PTR_NOT_NULL_FATAL(read);
			CU_ASSERT_EQUAL(X509_verify(read, keys[n]), 1);
			X509_free(read);
			free(outcome.bytes);
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
	struct kmn_whole outcome;
	const uint8_t *tbs, *at;
	uint8_t *der = NULL;
	size_t len;

	CU_ASSERT_FATAL(X509_CRL_set_version(made, 1) == 1 && X509_CRL_set1_lastUpdate(made, now) == 1);
	CU_ASSERT_FATAL(X509_CRL_sign(made, ec, EVP_sha256()) > 0 && i2d_X509_CRL(made, &der) > 0);
	tbs = first_part(der, &len);
	assemble(ec, tbs, len, &outcome);
	CU_ASSERT_STRING_EQUAL(outcome.form, "crl");
	at = outcome.bytes;
	read = d2i_X509_CRL(NULL, &at, (long)outcome.len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(read);
	CU_ASSERT_EQUAL(X509_CRL_verify(read, ec), 1);
	X509_CRL_free(read);
	free(outcome.bytes);
	OPENSSL_free(der);
	ASN1_TIME_free(now);
	X509_CRL_free(made);
}

static void
test_request(void)
{
	X509_REQ *made = X509_REQ_new(), *read;
	EVP_PKEY *asked;
	struct kmn_whole outcome;
	const uint8_t *info, *at;
	uint8_t *der = NULL;
	size_t len;

	CU_ASSERT_FATAL(X509_REQ_set_version(made, 0) == 1 && X509_REQ_set_pubkey(made, rsa) == 1);
	CU_ASSERT_FATAL(X509_REQ_sign(made, rsa, EVP_sha256()) > 0 && i2d_X509_REQ(made, &der) > 0);
	info = first_part(der, &len);
	assemble(rsa, info, len, &outcome);
	CU_ASSERT_STRING_EQUAL(outcome.form, "certificate-request");
	at = outcome.bytes;
	read = d2i_X509_REQ(NULL, &at, (long)outcome.len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(read);
	CU_ASSERT_EQUAL(X509_REQ_verify(read, rsa), 1);
	X509_REQ_free(read);
	free(outcome.bytes);
	assemble(ec, info, len, &outcome);
	CU_ASSERT_STRING_EQUAL(outcome.form, "signature"); /* another key's: no request */
	free(outcome.bytes);
	CU_ASSERT_TRUE_FATAL(kmn_whole_request_key(info, len, &outcome.bytes, &outcome.len));
	at = outcome.bytes;
	asked = d2i_PUBKEY(NULL, &at, (long)outcome.len);
	CU_ASSERT_EQUAL(EVP_PKEY_eq(asked, rsa), 1);
	EVP_PKEY_free(asked);
	free(outcome.bytes);
	CU_ASSERT_FALSE(kmn_whole_request_key(der, len, &outcome.bytes, &outcome.len));
	OPENSSL_free(der);
	X509_REQ_free(made);
}

/* What is none of these is signed all the same, and the result is the signature. Cut-off and absurd lengths too. */
static void
test_other(void)
{
	static const uint8_t odd[][8] = {"a text.", {0x30, 0x80, 0, 0}, {0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1, 2},
	    {0x30, 0x06, 0x02, 0x7f, 1, 2, 3, 4}, {0x30, 0x06, 0x30, 0x04, 0x30, 0x02, 0x05, 0x00}, {0x30, 0x85}};
	struct kmn_whole outcome;

	for (size_t n = 0; n < KMN_COUNT_OF(odd); n++) {
		for (size_t len = 1; len <= sizeof(odd[n]); len++) {
			assemble(ec, odd[n], len, &outcome);
			CU_ASSERT_STRING_EQUAL(outcome.form, "signature");
			CU_ASSERT_EQUAL(outcome.len, 64);
			free(outcome.bytes);
		}
	}
}

static void
expect_check(const char *mechanism, const uint8_t *bytes, size_t len, const char *says)
{
	struct kmn_why why = {""};
	kmn_err e = kmn_whole_check(mechanism, bytes, len, &why);

	CU_ASSERT_EQUAL(e, says == NULL ? KMN_OK : KMN_E_ARGUMENTS);
	if (says != NULL && strstr(why.text, says) == NULL)
		printf("# %s\n", why.text);
	CU_ASSERT_TRUE(says == NULL || strstr(why.text, says) != NULL);
}

/* A certificate with PSS parameters, and what may sign it. */
static void
expect_pss(const uint8_t *tbs, size_t len)
{
	expect_check("CKM_SHA384_RSA_PKCS_PSS", tbs, len, NULL);
	expect_check("CKM_SHA256_RSA_PKCS_PSS", tbs, len, "another signature algorithm than CKM_SHA256_RSA_PKCS_PSS");
	expect_check("CKM_SHA384_RSA_PKCS", tbs, len, "another signature algorithm than CKM_SHA384_RSA_PKCS");
}

static void
sign_pss(X509 *made)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;

	CU_ASSERT_EQUAL_FATAL(EVP_DigestSignInit(ctx, &how, EVP_sha384(), NULL, rsa), 1);
	CU_ASSERT_TRUE(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(how, 48) > 0);
	CU_ASSERT_TRUE(X509_sign_ctx(made, ctx) > 0);
	EVP_MD_CTX_free(ctx);
}

static void
test_check(void)
{
	X509 *made = X509_new();
	uint8_t *der = NULL;
	const uint8_t *tbs;
	size_t len, whole;
	int n;

	(void)X509_gmtime_adj(X509_getm_notBefore(made), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(made), 3600);
	CU_ASSERT_TRUE_FATAL(X509_set_pubkey(made, rsa) == 1 && X509_sign(made, rsa, EVP_sha256()) > 0);
	CU_ASSERT_TRUE_FATAL((n = i2d_X509(made, &der)) > 0);
	whole = (size_t)n;
	tbs = first_part(der, &len);
	expect_check("CKM_SHA256_RSA_PKCS", tbs, len, NULL);
	expect_check("CKM_SHA256_RSA_PKCS", der, whole, "a whole certificate, which has its signature");
	expect_check("CKM_SHA512_RSA_PKCS", tbs, len, "the certificate to be signed names another signature algorithm");
	expect_check("CKM_ECDSA_SHA256", tbs, len, "another signature algorithm than CKM_ECDSA_SHA256");
	expect_check("CKM_RSA_PKCS", tbs, len, "CKM_RSA_PKCS is none of the mechanisms");
	expect_check("CKM_ECDSA_SHA256", (const uint8_t *)"a text", 6, NULL);
	expect_check("CKM_ECDSA_SHA256", (const uint8_t *)"", 0, NULL);
	OPENSSL_free(der);
	der = NULL;
	sign_pss(made);
	CU_ASSERT_TRUE_FATAL(i2d_X509(made, &der) > 0);
	tbs = first_part(der, &len);
	expect_pss(tbs, len);
	OPENSSL_free(der);
	X509_free(made);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a certificate verifies, with RSA and ECDSA", test_certificate},
	    {"so does a CRL", test_crl},
	    {"and a certificate request, where the key is its own", test_request},
	    {"of anything else the result is the signature", test_other},
	    {"a file that is whole already, or names another algorithm, is told before anything is signed", test_check},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
	    {"quorum/whole", make_keys, free_keys, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
