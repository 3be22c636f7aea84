/*
 * RFC 3161 time stamps: requests, and what a token is worth. Pure: bytes in,
 * bytes out; roots and the time of judgement are handed in (docs/ledger.md 9).
 *
 * A token counts if it is signed by a certificate that is for time stamping
 * alone (extended key usage, critical), chains to a pinned root at the time of
 * judgement, and says the imprint, nonce and policy that were asked for.
 */
#ifndef KANMON_STAMP_H
#define KANMON_STAMP_H

#include "kanmon/json.h"

#define KMN_STAMP_TOKEN_MAX_BYTES 16384    /* DER; with its base64 an anchor still fits a line */
#define KMN_STAMP_RESPONSE_MAX_BYTES 20480 /* what a TSA may answer */
#define KMN_STAMP_ROOTS_MAX_BYTES 262144   /* PEM */
#define KMN_STAMP_CHAIN_MAX_BYTES 65536    /* PEM */
#define KMN_STAMP_CHAIN_MAX 8              /* certificates, leaf to root */
#define KMN_STAMP_ROOTS_MAX 64
#define KMN_STAMP_OID_MAX_BYTES 128
#define KMN_STAMP_IMPRINT_MAX_BYTES 64
#define KMN_STAMP_TYPE_REQUEST "application/timestamp-query"
#define KMN_STAMP_TYPE_RESPONSE "application/timestamp-reply"

/* What is to be stamped, and what the token must say. */
struct kmn_stamp_want {
	const char *alg;                              /* "sha256" or "sha512" */
	uint8_t imprint[KMN_STAMP_IMPRINT_MAX_BYTES]; /* as many bytes as `alg` makes */
	uint64_t nonce;                               /* not 0 */
	const char *policy;                           /* dotted OID; NULL or "": any */
};

/* Hashes `bytes` by `alg` into want->imprint; false: an algorithm that is not known. */
bool kmn_stamp_imprint(struct kmn_stamp_want *want, const char *alg, const void *bytes, size_t len) KMN_MUST_CHECK;

/* Nonces as records have them: 16 lower-case hex digits. */
#define KMN_STAMP_NONCE_TEXT_BYTES 16
void kmn_stamp_nonce_text(uint64_t nonce, char out[KMN_STAMP_NONCE_TEXT_BYTES + 1]);
bool kmn_stamp_nonce_parse(const char *text, uint64_t *out) KMN_MUST_CHECK;

/* A TimeStampReq, DER: version 1, certReq. The caller's to free(). */
kmn_err kmn_stamp_request(const struct kmn_stamp_want *want, uint8_t **der_out, size_t *len_out) KMN_MUST_CHECK;

/* The token of a TimeStampResp that granted one; the caller's to free(). KMN_E_DENIED: the TSA refused, `why` says. */
kmn_err kmn_stamp_token(const uint8_t *response, size_t len, uint8_t **token_out, size_t *token_len_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* Roots that are trusted, and certificates that may stand between them and a signer. */
struct kmn_stamp_roots;
/* Of a PEM file: who signed itself is a root, others stand between. KMN_E_CONFIG: no root, or no PEM. */
kmn_err kmn_stamp_roots_load(
    const char *pem, size_t len, struct kmn_stamp_roots **roots_out, struct kmn_why *why) KMN_MUST_CHECK;
/* The same of a recorded chain, where a root is a certificate whose SHA-256 (of its DER) is one of `count` pins.
 * KMN_E_NOT_FOUND: none is. KMN_E_MALFORMED: not the form of a chain. */
kmn_err kmn_stamp_roots_pinned(const char *pem, size_t len, uint8_t (*pins)[KMN_HASH_BYTES], size_t count,
    struct kmn_stamp_roots **roots_out, struct kmn_why *why) KMN_MUST_CHECK;
void kmn_stamp_roots_free(struct kmn_stamp_roots *roots); /* NULL is fine */

/* What a token says, as far as it could be read: times are ms since the epoch. */
struct kmn_stamp {
	uint64_t gen_time;
	char policy[KMN_STAMP_OID_MAX_BYTES]; /* dotted */
	uint64_t not_after;                   /* the earliest end of a certificate of its chain */
	uint8_t root_sha256[KMN_HASH_BYTES];  /* of the DER of the root */
	char *chain;                          /* PEM, signer first, root last; kmn_stamp_clear() frees it */
	size_t chain_len;
};
void kmn_stamp_clear(struct kmn_stamp *stamp);

/*
 * Judges a token. `at`: the time (ms) at which its certificates must be valid:
 * now for a fresh one; for an old one the time when the next one covered it; 0:
 * its own gen_time. KMN_E_SIGNATURE: it is not worth anything, `why` says for
 * what reason; KMN_E_MALFORMED: no token; else *stamp_out is filled.
 */
kmn_err kmn_stamp_verify(const uint8_t *token, size_t len, const struct kmn_stamp_want *want,
    const struct kmn_stamp_roots *roots, uint64_t at, struct kmn_stamp *stamp_out, struct kmn_why *why) KMN_MUST_CHECK;

#endif
