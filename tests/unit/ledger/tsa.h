/* A time-stamping authority of the test's own: right, and wrong in every way that a token can be. */
#ifndef KANMON_TESTS_LEDGER_TSA_H
#define KANMON_TESTS_LEDGER_TSA_H

#include "kanmon/stamp.h"

enum tsa_flaw {
	TSA_RIGHT,
	TSA_NO_EKU,           /* the signer's certificate has no extended key usage */
	TSA_EKU_NOT_CRITICAL, /* it has the right one, not critical */
	TSA_EKU_OTHER,        /* for TLS servers */
	TSA_EKU_TOO,          /* for time stamping, and something else too */
	TSA_FLAW_COUNT
};

struct tsa;

/* A root, and one signer for each flaw; certificates are valid from `from` for `years`. */
struct tsa *tsa_new(uint64_t from_ms, unsigned years);
void tsa_free(struct tsa *tsa);
/* Of its root: PEM (the TSA's), and the SHA-256 of the DER. */
const char *tsa_root(const struct tsa *tsa);
void tsa_root_sha256(const struct tsa *tsa, uint8_t out[KMN_HASH_BYTES]);

/* A token that says what is wanted, at that time; with `name`, the TSA names itself in it. The caller's to free(). */
uint8_t *tsa_token(const struct tsa *tsa, enum tsa_flaw flaw, const struct kmn_stamp_want *want, uint64_t gen_time,
    bool name, size_t *len_out);
/* A TimeStampResp that grants this token (NULL: refuses). The caller's to free(). */
uint8_t *tsa_response(const uint8_t *token, size_t token_len, size_t *len_out);

#endif
