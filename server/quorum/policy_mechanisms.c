/*
 * Approved mechanisms (R6): what a rule admits that names none. Signatures with SHA-2, SHA-3, EdDSA and the post-quantum
 * schemes; AES, Camellia and ChaCha20-Poly1305; key derivation as in SP 800-56C, 800-108 and RFC 5869. Not there: MD5 and
 * SHA-1 signatures, DES and its kin, RC4, raw RSA, RSA encryption of PKCS#1 v1.5, and derivations that tell the secret
 * they begin with piece by piece (XOR, concatenation, extraction, encryption of data).
 */
#include "config.h"

#include "server/quorum/policy.h"

#include <string.h>

/* clang-format off */
#define ROW(name) "CKM_" #name,
static const char *const approved[] = {
	ROW(RSA_PKCS_KEY_PAIR_GEN) ROW(RSA_X9_31_KEY_PAIR_GEN) ROW(RSA_PKCS_OAEP) ROW(RSA_AES_KEY_WRAP)
	ROW(SHA224_RSA_PKCS) ROW(SHA256_RSA_PKCS) ROW(SHA384_RSA_PKCS) ROW(SHA512_RSA_PKCS)
	ROW(SHA3_224_RSA_PKCS) ROW(SHA3_256_RSA_PKCS) ROW(SHA3_384_RSA_PKCS) ROW(SHA3_512_RSA_PKCS)
	ROW(SHA224_RSA_PKCS_PSS) ROW(SHA256_RSA_PKCS_PSS) ROW(SHA384_RSA_PKCS_PSS)
	ROW(SHA512_RSA_PKCS_PSS) ROW(SHA3_224_RSA_PKCS_PSS) ROW(SHA3_256_RSA_PKCS_PSS)
	ROW(SHA3_384_RSA_PKCS_PSS) ROW(SHA3_512_RSA_PKCS_PSS) ROW(EC_KEY_PAIR_GEN)
	ROW(EC_KEY_PAIR_GEN_W_EXTRA_BITS) ROW(EC_EDWARDS_KEY_PAIR_GEN) ROW(EC_MONTGOMERY_KEY_PAIR_GEN)
	ROW(EDDSA) ROW(ECDSA_SHA224) ROW(ECDSA_SHA256) ROW(ECDSA_SHA384) ROW(ECDSA_SHA512)
	ROW(ECDSA_SHA3_224) ROW(ECDSA_SHA3_256) ROW(ECDSA_SHA3_384) ROW(ECDSA_SHA3_512) ROW(ECDH1_DERIVE)
	ROW(ECDH1_COFACTOR_DERIVE) ROW(ECDH_AES_KEY_WRAP) ROW(ECDH_X_AES_KEY_WRAP)
	ROW(ECDH_COF_AES_KEY_WRAP) ROW(ML_KEM_KEY_PAIR_GEN) ROW(ML_KEM) ROW(ML_DSA_KEY_PAIR_GEN)
	ROW(ML_DSA) ROW(HASH_ML_DSA) ROW(HASH_ML_DSA_SHA224) ROW(HASH_ML_DSA_SHA256)
	ROW(HASH_ML_DSA_SHA384) ROW(HASH_ML_DSA_SHA512) ROW(HASH_ML_DSA_SHA3_224)
	ROW(HASH_ML_DSA_SHA3_256) ROW(HASH_ML_DSA_SHA3_384) ROW(HASH_ML_DSA_SHA3_512)
	ROW(HASH_ML_DSA_SHAKE128) ROW(HASH_ML_DSA_SHAKE256) ROW(SLH_DSA_KEY_PAIR_GEN) ROW(SLH_DSA)
	ROW(HASH_SLH_DSA) ROW(HASH_SLH_DSA_SHA224) ROW(HASH_SLH_DSA_SHA256) ROW(HASH_SLH_DSA_SHA384)
	ROW(HASH_SLH_DSA_SHA512) ROW(HASH_SLH_DSA_SHA3_224) ROW(HASH_SLH_DSA_SHA3_256)
	ROW(HASH_SLH_DSA_SHA3_384) ROW(HASH_SLH_DSA_SHA3_512) ROW(HASH_SLH_DSA_SHAKE128)
	ROW(HASH_SLH_DSA_SHAKE256) ROW(HSS_KEY_PAIR_GEN) ROW(HSS) ROW(XMSS_KEY_PAIR_GEN) ROW(XMSS)
	ROW(XMSSMT_KEY_PAIR_GEN) ROW(XMSSMT) ROW(AES_KEY_GEN) ROW(AES_XTS_KEY_GEN) ROW(AES_ECB)
	ROW(AES_CBC) ROW(AES_CBC_PAD) ROW(AES_CTR) ROW(AES_CTS) ROW(AES_GCM) ROW(AES_CCM) ROW(AES_GMAC)
	ROW(AES_XTS) ROW(AES_CMAC) ROW(AES_CMAC_GENERAL) ROW(AES_OFB) ROW(AES_CFB8) ROW(AES_CFB64)
	ROW(AES_CFB128) ROW(AES_KEY_WRAP) ROW(AES_KEY_WRAP_PAD) ROW(AES_KEY_WRAP_KWP)
	ROW(CAMELLIA_KEY_GEN) ROW(CAMELLIA_CBC) ROW(CAMELLIA_CBC_PAD) ROW(CAMELLIA_CTR)
	ROW(CHACHA20_KEY_GEN) ROW(CHACHA20_POLY1305) ROW(GENERIC_SECRET_KEY_GEN) ROW(SHA_1_KEY_GEN)
	ROW(SHA224_KEY_GEN) ROW(SHA256_KEY_GEN) ROW(SHA384_KEY_GEN) ROW(SHA512_KEY_GEN)
	ROW(SHA512_224_KEY_GEN) ROW(SHA512_256_KEY_GEN) ROW(SHA3_224_KEY_GEN) ROW(SHA3_256_KEY_GEN)
	ROW(SHA3_384_KEY_GEN) ROW(SHA3_512_KEY_GEN) ROW(SHA_1_HMAC) ROW(SHA_1_HMAC_GENERAL)
	ROW(SHA224_HMAC) ROW(SHA224_HMAC_GENERAL) ROW(SHA256_HMAC) ROW(SHA256_HMAC_GENERAL)
	ROW(SHA384_HMAC) ROW(SHA384_HMAC_GENERAL) ROW(SHA512_HMAC) ROW(SHA512_HMAC_GENERAL)
	ROW(SHA512_224_HMAC) ROW(SHA512_224_HMAC_GENERAL) ROW(SHA512_256_HMAC)
	ROW(SHA512_256_HMAC_GENERAL) ROW(SHA3_224_HMAC) ROW(SHA3_224_HMAC_GENERAL) ROW(SHA3_256_HMAC)
	ROW(SHA3_256_HMAC_GENERAL) ROW(SHA3_384_HMAC) ROW(SHA3_384_HMAC_GENERAL) ROW(SHA3_512_HMAC)
	ROW(SHA3_512_HMAC_GENERAL) ROW(HKDF_KEY_GEN) ROW(HKDF_DERIVE) ROW(HKDF_DATA)
	ROW(SP800_108_COUNTER_KDF) ROW(SP800_108_FEEDBACK_KDF) ROW(SP800_108_DOUBLE_PIPELINE_KDF)
	ROW(PKCS5_PBKD2) ROW(TLS12_EXTENDED_MASTER_KEY_DERIVE) ROW(TLS12_EXTENDED_MASTER_KEY_DERIVE_DH)
	ROW(TLS12_KEY_AND_MAC_DERIVE) ROW(TLS12_MAC) ROW(IKE2_PRF_PLUS_DERIVE) ROW(IKE_PRF_DERIVE)
	ROW(PUB_KEY_FROM_PRIV_KEY)
};

/* The caller hashed: approved where what they signed by is. */
static const char *const hashed[] = {ROW(RSA_PKCS) ROW(RSA_PKCS_PSS) ROW(ECDSA)};
#undef ROW
/* clang-format on */

#define DIGEST_LEAST_BYTES 28 /* of a bare digest, which names no hash: SHA-224 */

static bool
has(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

const char *
policy_approved_at(size_t n)
{
	if (n < KMN_COUNT_OF(approved))
		return approved[n];
	n -= KMN_COUNT_OF(approved);
	return n < KMN_COUNT_OF(hashed) ? hashed[n] : NULL;
}

bool
policy_mechanism_is_approved(const char *mechanism)
{
	return has(approved, KMN_COUNT_OF(approved), mechanism) || has(hashed, KMN_COUNT_OF(hashed), mechanism);
}

/* A use or the making of a key by something that is not approved. What only hashes, or verifies, uses no secret. */
bool
policy_use_is_approved(const struct kmn_question *q, const struct kmn_call *call)
{
	const unsigned signs = KMN_OP_SIGN | KMN_OP_MESSAGE_SIGN;

	if (q->mechanism == NULL || (call->policy != KMN_POLICY_KEY_USE && call->policy != KMN_POLICY_KEY_MANAGEMENT))
		return true;
	if (!has(hashed, KMN_COUNT_OF(hashed), q->mechanism))
		return has(approved, KMN_COUNT_OF(approved), q->mechanism);
	if (q->norm != NULL)
		return q->norm->hash[0] != 0 ? strcmp(q->norm->hash, "sha1") != 0
					     : q->norm->digest_len >= DIGEST_LEAST_BYTES;
	/* At C_SignInit and with parts the digest is still to come. */
	return (call->operations & signs) != 0 && call->hold == KMN_HOLD_NEVER;
}
