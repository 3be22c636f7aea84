/* Parts of evidence: evidence.c has keys and bare signatures, evidence_webauthn.c what an authenticator signs. */
#ifndef KANMON_SERVER_QUORUM_EVIDENCE_H
#define KANMON_SERVER_QUORUM_EVIDENCE_H

#include "kanmon/evidence.h"

/* Is `sig`, in the form of the key's type, one over exactly these bytes? */
bool evidence_signature_ok(
    const struct kmn_evidence_key *key, const uint8_t *message, size_t len, const uint8_t *sig, size_t sig_len);

/* NULL, or what the head of authenticator data (37 bytes at least) says that must not be; `made`: of a registration. */
const char *evidence_data_wrong(const uint8_t *data, size_t len, const char *rp_id, bool made);

/* kmn_evidence_verify() of the WebAuthn types. */
kmn_err evidence_webauthn_verify(const char *text, size_t len, const uint8_t *sig, size_t sig_len,
    const struct kmn_evidence_key *key, const struct kmn_evidence_place *places, size_t place_count,
    struct kmn_evidence_said *said, struct kmn_why *why) KMN_MUST_CHECK;

#endif
