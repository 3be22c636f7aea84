/*
 * What a person signs with here: their sealed key file, or their card. Which, is said on the command line or in
 * NAME.conf; all that sign (votes, policies, recoveries, attestations) go through it.
 */
#ifndef KANMON_TOOLS_SIGNER_H
#define KANMON_TOOLS_SIGNER_H

#include "kanmon/evidence.h"
#include "tools/kanmon/options.h"

struct kmn_keyfile;
struct kmn_policy;
struct kmn_signer;

/* Whose key: NULL members are not said. */
struct kmn_signer_place {
	const char *as;              /* DIR/NAME: NAME.key, or the card of NAME.conf */
	const char *key;             /* path of a key file; with a card the key's label on it */
	const char *card, *token;    /* the card's module and label */
	const char *passphrase_file; /* of the key file, or the PIN */
};

/* clang-format off */
#define KMN_SIGNER_OPTIONS(place) \
	KMN_OPTION_TEXT("key", "FILE|LABEL", "the sealed key (NAME.key); with --card the key's label on the card", &(place)->key), \
	KMN_OPTION_TEXT("card", "MODULE", "PKCS#11 module of a card to sign with", &(place)->card), \
	KMN_OPTION_TEXT("token", "LABEL", "label of that card", &(place)->token), \
	KMN_OPTION_TEXT("passphrase-file", "FILE", "file with the key's passphrase or the card's PIN, instead of asking", \
	    &(place)->passphrase_file)
/* clang-format on */

/* Is enough said? NULL, or what is missing, for the usage line. */
const char *kmn_signer_missing(const struct kmn_signer_place *place);

/*
 * Opens it, asking for passphrase or PIN. `policy` says under which name and type a card's key signs; NULL: NAME.vkey
 * beside NAME.conf does. A key that neither it nor `before` (the version before it, may be NULL) has is refused.
 * Failures are said on stderr.
 */
kmn_err kmn_signer_open(const struct kmn_signer_place *place, const struct kmn_policy *policy,
    const struct kmn_policy *before, struct kmn_signer **signer_out) KMN_MUST_CHECK;
void kmn_signer_free(struct kmn_signer *signer);
/* The key file that is open; NULL: it is a card. */
const struct kmn_keyfile *kmn_signer_keyfile(const struct kmn_signer *signer);
/* The key, as the policy has it. */
const struct kmn_evidence_key *kmn_signer_key(const struct kmn_signer *signer);

/*
 * A note over the text with this signature at its end; `bytes` may be a note already. The signature is verified before
 * it is given out, so a card with another key, or one that computes wrongly, signs nothing. *note_out: free().
 */
kmn_err kmn_signer_sign(struct kmn_signer *signer, const char *bytes, size_t len, char **note_out) KMN_MUST_CHECK;
/* The same, and the note takes the place of the file; what fails is said on stderr. */
bool kmn_signer_sign_file(struct kmn_signer *signer, const char *path, const char *bytes, size_t len) KMN_MUST_CHECK;

#endif
