#include "config.h"

#include "kanmon/json.h"
#include "kanmon/operation.h"
#include "kanmon/tree.h"
#include "tests/unit/run.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t data[] = "what is to be signed";
#define DATA_LEN (sizeof(data) - 1)

static const struct {
	const char *name; /* of OpenSSL */
	uint64_t rsa, pss, ecdsa, hash, mgf;
} hashes[] = {
    {"SHA1", 0x6, 0xe, 0x1042, 0x220, 1},
    {"SHA224", 0x46, 0x47, 0x1043, 0x255, 5},
    {"SHA256", 0x40, 0x43, 0x1044, 0x250, 2},
    {"SHA384", 0x41, 0x44, 0x1045, 0x260, 3},
    {"SHA512", 0x42, 0x45, 0x1046, 0x270, 4},
    {"SHA3-256", 0x60, 0x63, 0x1048, 0x2b0, 7},
    {"SHA3-512", 0x62, 0x65, 0x104a, 0x2d0, 9},
};

static size_t
digest_of(const char *name, uint8_t out[64])
{
	size_t n = 0;

	CU_ASSERT_EQUAL(EVP_Q_digest(NULL, name, NULL, data, DATA_LEN, out, &n), 1);
	return n;
}

/* The DigestInfo as OpenSSL writes it. */
static uint8_t *
digest_info(const char *name, size_t *len_out)
{
	X509_SIG *sig = X509_SIG_new();
	X509_ALGOR *algorithm;
	ASN1_OCTET_STRING *digest;
	uint8_t bytes[64], *der = NULL;
	size_t n = digest_of(name, bytes);

	X509_SIG_getm(sig, &algorithm, &digest);
	X509_ALGOR_set0(algorithm, OBJ_nid2obj(OBJ_txt2nid(name)), V_ASN1_NULL, NULL);
	ASN1_OCTET_STRING_set(digest, bytes, (int)n);
	*len_out = (size_t)i2d_X509_SIG(sig, &der);
	X509_SIG_free(sig);
	return der;
}

static void
test_three_ways_are_one(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++) {
		struct kmn_norm whole, info, digest, again;
		struct kmn_pss pss = {hashes[i].hash, hashes[i].mgf, 20};
		uint8_t bytes[64], *der;
		size_t n = digest_of(hashes[i].name, bytes), len;
		json_t *json;

		der = digest_info(hashes[i].name, &len);
		CU_ASSERT_EQUAL(kmn_operation_normalise(hashes[i].rsa, NULL, data, DATA_LEN, &whole), KMN_OK);
		CU_ASSERT_EQUAL(kmn_operation_normalise(1, NULL, der, len, &info), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(&whole, &info, sizeof(whole)), 0);
		CU_ASSERT_TRUE(kmn_norm_is_of(&info, data, DATA_LEN));
		CU_ASSERT_FALSE(kmn_norm_is_of(&info, data, DATA_LEN - 1));
		CU_ASSERT_EQUAL(kmn_operation_normalise(1, NULL, der, len - 1, &info), KMN_E_NOT_FOUND);
		der[len - n - 3] = 0x04; /* the parameters are no NULL any more */
		CU_ASSERT_EQUAL(kmn_operation_normalise(1, NULL, der, len, &info), KMN_E_NOT_FOUND);

		CU_ASSERT_EQUAL(kmn_operation_normalise(hashes[i].pss, &pss, data, DATA_LEN, &whole), KMN_OK);
		CU_ASSERT_EQUAL(kmn_operation_normalise(0xd, &pss, bytes, n, &digest), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(&whole, &digest, sizeof(whole)), 0);
		CU_ASSERT_EQUAL(kmn_operation_normalise(0xd, &pss, bytes, n - 1, &digest), KMN_E_NOT_FOUND);
		CU_ASSERT_EQUAL(kmn_operation_normalise(0xd, NULL, bytes, n, &digest), KMN_E_NOT_FOUND);

		CU_ASSERT_EQUAL(kmn_operation_normalise(hashes[i].ecdsa, NULL, data, DATA_LEN, &whole), KMN_OK);
		CU_ASSERT_EQUAL(kmn_operation_normalise(0x1041, NULL, bytes, n, &digest), KMN_OK);
		CU_ASSERT_STRING_EQUAL(digest.hash, "");
		CU_ASSERT_EQUAL(memcmp(whole.digest, digest.digest, sizeof(whole.digest)), 0);

		json = kmn_norm_json(&whole);
		CU_ASSERT_EQUAL(kmn_norm_from_json(json, &again), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(&whole, &again, sizeof(whole)), 0);
		json_decref(json);
		OPENSSL_free(der);
	}
}

static void
test_without_normal_form(void)
{
	struct kmn_norm norm;

	CU_ASSERT_EQUAL(kmn_operation_normalise(0x3, NULL, data, DATA_LEN, &norm), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_operation_normalise(0x251, NULL, data, DATA_LEN, &norm), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_operation_normalise(0x1, NULL, data, DATA_LEN, &norm), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_operation_normalise(0x1041, NULL, data, 0, &norm), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(norm.digest_len, 0);
}

/* ---- the operation digest ---------------------------------------------------------------------------------------- */

static const char body_text[] =
    "{\"op\":\"C_Sign\",\"chan\":1,\"mech\":{\"name\":\"CKM_SHA256_RSA_PKCS\"},"
    "\"key\":{\"class\":\"private-key\",\"label\":\"a\",\"id\":\"01\",\"spki_sha256\":\"S\",\"token\":\"T\",\"serial\":"
    "\"1\"},"
    "\"in\":{\"sha256\":\"I\",\"len\":3},\"norm\":{\"scheme\":\"rsa-pkcs1\",\"hash\":\"sha256\","
    "\"digest\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"},"
    "\"requester\":{\"spki_sha256\":\"C\",\"name\":\"ca\"},\"nonce_req\":\"N\",\"expires\":5}";

static const struct {
	const char *says, *from, *to;
	bool same;
} digest_cases[] = {
    {"the data as DigestInfo", "CKM_SHA256_RSA_PKCS", "CKM_RSA_PKCS", true},
    {"its bytes are other bytes", "\"I\"", "\"J\"", true},
    {"another nonce, channel and expiry are the same operation", "\"N\"", "\"M\"", true},
    {"C_SignFinal", "C_Sign", "C_SignFinal", true},
    {"a key's label may change", "\"a\"", "\"b\"", true},
    {"another digest", "AAEC", "AAED", false},
    {"another hash", ":\"sha256\"", ":\"sha3-256\"", false},
    {"another scheme", "rsa-pkcs1", "rsa-pss", false},
    {"another key", "\"S\"", "\"R\"", false},
    {"another class of object", "private-key", "public-key", false},
    {"another client", "\"C\"", "\"D\"", false},
    {"another token", "\"T\"", "\"U\"", false},
    {"another function", "C_Sign", "C_Decrypt", false},
};

static void
digest_text(const char *text, uint8_t out[KMN_HASH_BYTES])
{
	json_t *body = json_loads(text, 0, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	CU_ASSERT_EQUAL(kmn_operation_digest(body, out), KMN_OK);
	json_decref(body);
}

static void
test_digest(void)
{
	uint8_t want[KMN_HASH_BYTES], got[KMN_HASH_BYTES];

	digest_text(body_text, want);
	for (size_t i = 0; i < KMN_COUNT_OF(digest_cases); i++) {
		const char *at = strstr(body_text, digest_cases[i].from);
		char text[2048];
		bool same;

		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - body_text), body_text, digest_cases[i].to,
		    at + strlen(digest_cases[i].from));
		digest_text(text, got);
		same = memcmp(want, got, sizeof(want)) == 0;
		CU_ASSERT_EQUAL(same, digest_cases[i].same);
		if (same != digest_cases[i].same)
			printf("# %s\n", digest_cases[i].says);
	}
}

static void
test_bare_ecdsa_meets_its_hash(void)
{
	static const char form[] =
	    "{\"op\":\"C_Sign\",\"mech\":{\"name\":\"%s\"},\"key\":{\"class\":\"private-key\","
	    "\"spki_sha256\":\"S\"},\"norm\":{\"scheme\":\"ecdsa\",\"hash\":\"%s\",\"digest\":"
	    "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"},\"requester\":{\"spki_sha256\":\"C\"}}";
	uint8_t a[KMN_HASH_BYTES], b[KMN_HASH_BYTES];
	char text[1024];

	snprintf(text, sizeof(text), form, "CKM_ECDSA_SHA256", "sha256");
	digest_text(text, a);
	snprintf(text, sizeof(text), form, "CKM_ECDSA", "");
	digest_text(text, b);
	CU_ASSERT_EQUAL(memcmp(a, b, sizeof(a)), 0);
}

static void
test_templates_and_data(void)
{
	static const char form[] =
	    "{\"op\":\"C_GenerateKeyPair\",\"mech\":{\"name\":\"CKM_EC_KEY_PAIR_GEN\"},\"key\":{},"
	    "\"template\":{\"CKA_LABEL\":\"%s\"},\"requester\":{\"spki_sha256\":\"C\"}}";
	uint8_t a[KMN_HASH_BYTES], b[KMN_HASH_BYTES];
	json_t *none = json_object();
	char text[1024];

	snprintf(text, sizeof(text), form, "x");
	digest_text(text, a);
	snprintf(text, sizeof(text), form, "y");
	digest_text(text, b);
	CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
	CU_ASSERT_EQUAL(kmn_operation_digest(none, a), KMN_E_MALFORMED);
	json_decref(none);
}

/* ---- signatures -------------------------------------------------------------------------------------------------- */

static uint8_t *
sign_with(EVP_PKEY *key, const char *md, int padding, size_t *len_out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;
	uint8_t *sig = malloc(1024);

	*len_out = 1024;
	CU_ASSERT_EQUAL(EVP_DigestSignInit_ex(ctx, &p, md, NULL, NULL, key, NULL), 1);
	if (padding == RSA_PKCS1_PSS_PADDING) {
		EVP_PKEY_CTX_set_rsa_padding(p, padding);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(p, 20);
	}
	CU_ASSERT_EQUAL(EVP_DigestSign(ctx, sig, len_out, data, DATA_LEN), 1);
	EVP_MD_CTX_free(ctx);
	return sig;
}

/* r || s as PKCS#11 wants it. */
static size_t
raw_ecdsa(const uint8_t *der, size_t len, uint8_t *out, int half)
{
	const uint8_t *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);

	BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, half);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, half);
	ECDSA_SIG_free(sig);
	return (size_t)half * 2;
}

static void
assert_verifies(EVP_PKEY *key, uint64_t mechanism, const struct kmn_pss *pss, const uint8_t *in, size_t in_len,
    uint8_t *sig, size_t sig_len)
{
	struct kmn_norm norm;
	uint8_t *spki = NULL;
	size_t n = (size_t)i2d_PUBKEY(key, &spki);

	CU_ASSERT_EQUAL_FATAL(kmn_operation_normalise(mechanism, pss, in, in_len, &norm), KMN_OK);
	CU_ASSERT_EQUAL(kmn_operation_verify_signature(spki, n, &norm, pss, data, DATA_LEN, sig, sig_len), KMN_OK);
	sig[sig_len / 2] ^= 1;
	CU_ASSERT_EQUAL(
	    kmn_operation_verify_signature(spki, n, &norm, pss, data, DATA_LEN, sig, sig_len), KMN_E_SIGNATURE);
	sig[sig_len / 2] ^= 1;
	norm.digest[0] ^= 1;
	CU_ASSERT_EQUAL(
	    kmn_operation_verify_signature(spki, n, &norm, pss, data, DATA_LEN, sig, sig_len), KMN_E_SIGNATURE);
	CU_ASSERT_EQUAL(
	    kmn_operation_verify_signature(spki, n - 1, &norm, pss, data, DATA_LEN, sig, sig_len), KMN_E_MALFORMED);
	OPENSSL_free(spki);
}

static void
test_signatures(void)
{
	struct kmn_pss pss = {0x250, 2, 20};
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	uint8_t raw[128], bytes[64], *sig, *info;
	size_t len, n = digest_of("SHA256", bytes), info_len;

	sig = sign_with(rsa, "SHA256", 0, &len);
	info = digest_info("SHA256", &info_len);
	assert_verifies(rsa, 0x40, NULL, data, DATA_LEN, sig, len);
	assert_verifies(rsa, 1, NULL, info, info_len, sig, len);
	free(sig);
	sig = sign_with(rsa, "SHA256", RSA_PKCS1_PSS_PADDING, &len);
	assert_verifies(rsa, 0x43, &pss, data, DATA_LEN, sig, len);
	assert_verifies(rsa, 0xd, &pss, bytes, n, sig, len);
	free(sig);
	sig = sign_with(ec, "SHA256", 0, &len);
	len = raw_ecdsa(sig, len, raw, 32);
	assert_verifies(ec, 0x1044, NULL, data, DATA_LEN, raw, len);
	assert_verifies(ec, 0x1041, NULL, bytes, n, raw, len);
	free(sig);
	sig = sign_with(ed, NULL, 0, &len);
	assert_verifies(ed, 0x1057, NULL, data, DATA_LEN, sig, len);
	free(sig);
	OPENSSL_free(info);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(ed);
}

static void
test_signature_of_another_kind(void)
{
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct kmn_norm norm;
	uint8_t *spki = NULL, sig[64] = {0};
	size_t n = (size_t)i2d_PUBKEY(ec, &spki);

	CU_ASSERT_EQUAL(kmn_operation_normalise(0x40, NULL, data, DATA_LEN, &norm), KMN_OK);
	CU_ASSERT_EQUAL(
	    kmn_operation_verify_signature(spki, n, &norm, NULL, NULL, 0, sig, sizeof(sig)), KMN_E_SIGNATURE);
	OPENSSL_free(spki);
	spki = NULL;
	n = (size_t)i2d_PUBKEY(ed, &spki);
	CU_ASSERT_EQUAL(kmn_operation_normalise(0x1057, NULL, data, DATA_LEN, &norm), KMN_OK);
	CU_ASSERT_EQUAL(
	    kmn_operation_verify_signature(spki, n, &norm, NULL, NULL, 0, sig, sizeof(sig)), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(
	    kmn_operation_verify_signature(spki, n, &norm, NULL, data, DATA_LEN - 1, sig, 64), KMN_E_SIGNATURE);
	OPENSSL_free(spki);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(ed);
}

static void
test_pss_json(void)
{
	struct kmn_pss pss = {0x260, 3, 48}, again;
	json_t *json = kmn_pss_json(&pss);
	char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

	CU_ASSERT_STRING_EQUAL(text, "{\"hash\":\"CKM_SHA384\",\"mgf\":\"CKG_MGF1_SHA384\",\"salt_len\":48}");
	CU_ASSERT_EQUAL(kmn_pss_from_json(json, &again), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(&pss, &again, sizeof(pss)), 0);
	pss.hash = 1;
	CU_ASSERT_PTR_NULL(kmn_pss_json(&pss));
	json_decref(json);
	free(text);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"data, DigestInfo and bare digest are one operation", test_three_ways_are_one},
	    {"what has no normal form", test_without_normal_form},
	    {"the digest changes with what matters and with nothing else", test_digest},
	    {"a bare ECDSA digest meets the approved content", test_bare_ecdsa_meets_its_hash},
	    {"templates count, and a body that is none is refused", test_templates_and_data},
	    {"signatures verify as PKCS#11 returns them", test_signatures},
	    {"a signature of another kind does not", test_signature_of_another_kind},
	    {"PSS parameters have one form in records", test_pss_json},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/operation", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
