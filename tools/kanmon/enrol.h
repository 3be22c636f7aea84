/* The public key that a new custodian brings: of a card that has one already, or of a security key. */
#ifndef KANMON_TOOLS_ENROL_H
#define KANMON_TOOLS_ENROL_H

#include "kanmon/evidence.h"
#include "tools/kanmon/card.h"

/* Asks for the PIN and lets the card sign once, so that nobody is enrolled with a key that cannot. Says failures. */
kmn_err kmn_enrol_card(const char *name, const struct kmn_card_place *card, const char *pin_file, bool pkcs1,
    struct kmn_evidence_key *key_out) KMN_MUST_CHECK;

/*
 * From the registration of a credential, as a browser writes it (RegistrationResponseJSON of WebAuthn: members
 * response.authenticatorData and response.clientDataJSON), made at that origin for that RP id. Says failures.
 */
kmn_err kmn_enrol_webauthn(const char *name, const char *file, const char *origin, const char *rp_id,
    struct kmn_evidence_key *key_out) KMN_MUST_CHECK;

#endif
