/*
 * When are two calls the same operation (docs/statements.md, "Operation digest")?
 *
 * A signature over data, over its DigestInfo and over its bare digest is one
 * operation; approvals are given on it and met by it, and nowhere else in the
 * gateway is that comparison made.
 */
#ifndef KANMON_OPERATION_H
#define KANMON_OPERATION_H

#include <jansson.h>

#include "kanmon/err.h"

/* A signature in its normal form. */
struct kmn_norm {
	char scheme[12];    /* "rsa-pkcs1", "rsa-pss", "ecdsa", "eddsa" */
	char hash[12];      /* "sha1" "sha224" "sha256" "sha384" "sha512" "sha3-256".. ; "" for a bare CKM_ECDSA */
	uint8_t digest[64]; /* of the data; EdDSA: its SHA-256 (hash "sha256"), for EdDSA signs the data itself */
	size_t digest_len;
};

/* Parameters of a PSS signature, as CK_RSA_PKCS_PSS_PARAMS. */
struct kmn_pss {
	uint64_t hash; /* CKM_SHA256.. */
	uint64_t mgf;  /* CKG_MGF1_SHA256.. */
	uint64_t salt_len;
};

/*
 * The normal form of a signature by `mechanism` over data as C_Sign gets it. `pss` for CKM_*RSA_PKCS_PSS, else NULL.
 * Errors: KMN_E_NOT_FOUND when there is none: another mechanism (HMAC, CKM_RSA_X_509), or data that is no DigestInfo
 * or no digest of the right length. Then policy goes by the mechanism's name, and the operation by its data.
 */
kmn_err kmn_operation_normalise(uint64_t mechanism, const struct kmn_pss *pss, const uint8_t *data, size_t len,
    struct kmn_norm *norm_out) KMN_MUST_CHECK;

/* Member `norm` of an intent: {"digest":b64,"hash":"sha256","scheme":"ecdsa"}. NULL: out of memory. */
json_t *kmn_norm_json(const struct kmn_norm *norm);
kmn_err kmn_norm_from_json(const json_t *json, struct kmn_norm *norm_out) KMN_MUST_CHECK;

/* Is this the digest of the data, under the hash that it names? A digest without a name is of nothing. */
bool kmn_norm_is_of(const struct kmn_norm *norm, const uint8_t *data, size_t len);

/* Member `mech.params` of a PSS signature: {"hash":"CKM_SHA256","mgf":"CKG_MGF1_SHA256","salt_len":32}. */
json_t *kmn_pss_json(const struct kmn_pss *pss);
kmn_err kmn_pss_from_json(const json_t *json, struct kmn_pss *pss_out) KMN_MUST_CHECK;

/*
 * Does a rule that names `wanted` admit a call by `used` (names, "CKM_..") whose normal form is `norm` (NULL: none)?
 * By name, or by scheme and hash; a bare CKM_ECDSA digest fits where its length does.
 */
bool kmn_operation_mechanism_fits(const char *wanted, const char *used, const struct kmn_norm *norm);

/* Could a rule that names `wanted` admit some call by the mechanism `shown` (for lists of mechanisms)? */
bool kmn_operation_mechanism_related(const char *wanted, const char *shown);

/*
 * The digest of an intent's body (docs/statements.md): client, function family, token, key, normal form or mechanism
 * with parameters and data, template. A call meets a request if and only if the digests are equal.
 * Errors: KMN_E_MALFORMED.
 */
kmn_err kmn_operation_digest(const json_t *intent_body, uint8_t digest_out[32]) KMN_MUST_CHECK;

/* Are these (member `key` of intents) one key, as the digest has it: by the public half, or by what names it? */
bool kmn_operation_same_key(const json_t *a, const json_t *b);

/*
 * Does `signature`, as PKCS#11 returns it, verify under the public key? `data` may be NULL where the normal form
 * has the digest of what is signed; EdDSA needs it (KMN_E_NOT_FOUND without: cannot be checked).
 * Errors: KMN_E_SIGNATURE: it does not; KMN_E_MALFORMED: no such key; KMN_E_NOT_FOUND: not checkable.
 */
kmn_err kmn_operation_verify_signature(const uint8_t *spki, size_t spki_len, const struct kmn_norm *norm,
    const struct kmn_pss *pss, const uint8_t *data, size_t data_len, const uint8_t *signature,
    size_t signature_len) KMN_MUST_CHECK;
/* The same with a key that was read before: who verifies many reads each key once. Any number of threads may use it. */
struct kmn_public_key;
kmn_err kmn_operation_read_key(const uint8_t *spki, size_t spki_len, struct kmn_public_key **key_out) KMN_MUST_CHECK;
void kmn_operation_free_key(struct kmn_public_key *key);
kmn_err kmn_operation_verify_with(struct kmn_public_key *key, const struct kmn_norm *norm, const struct kmn_pss *pss,
    const uint8_t *data, size_t data_len, const uint8_t *signature, size_t signature_len) KMN_MUST_CHECK;

#endif
