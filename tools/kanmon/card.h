/*
 * A person's PKCS#11 card or token, as far as signing goes: one session, one
 * key, logged in with the PIN of the one who sits there. The PIN is tried
 * once; a card that is taken out ends what is done. Failures are said on
 * stderr.
 */
#ifndef KANMON_TOOLS_CARD_H
#define KANMON_TOOLS_CARD_H

#include "kanmon/evidence.h"

struct kmn_card;

/* Which key: the module's path, the token's label, the key's label. Relative paths are refused. */
struct kmn_card_place {
	const char *module, *token, *key;
};

/*
 * Loads the module, finds token and key, logs in. `pin_file`: as for kmn_passphrase_get; a card with a PIN pad of its
 * own is asked there. Two tokens or two keys of that label are none.
 */
kmn_err kmn_card_open(
    const struct kmn_card_place *place, const char *pin_file, struct kmn_card **card_out) KMN_MUST_CHECK;
void kmn_card_close(struct kmn_card *card);

/* The key's SubjectPublicKeyInfo in its one form; KMN_EVIDENCE_PUB_MAX_BYTES of room. */
const uint8_t *kmn_card_spki(const struct kmn_card *card, size_t *len_out);

/* The type of evidence that this card can give with this key; `pkcs1`: RSA PKCS#1 v1.5 though it can PSS. */
kmn_err kmn_card_kind(const struct kmn_card *card, bool pkcs1, enum kmn_evidence_kind *kind_out) KMN_MUST_CHECK;

/* A signature over the text as a line of that kind holds it; KMN_NOTE_SIG_MAX_BYTES of room. */
kmn_err kmn_card_sign(struct kmn_card *card, enum kmn_evidence_kind kind, const char *text, size_t len,
    uint8_t sig_out[KMN_NOTE_SIG_MAX_BYTES], size_t *len_out) KMN_MUST_CHECK;

#endif
