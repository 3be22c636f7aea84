/* Persons' keys of every type, made for a test: a card and a security key in software. */
#ifndef KANMON_TESTS_UNIT_QUORUM_SIGNER_H
#define KANMON_TESTS_UNIT_QUORUM_SIGNER_H

#include <openssl/evp.h>

#include "kanmon/evidence.h"

#define SIGNER_ORIGIN "https://approve.example"
#define SIGNER_RP "approve.example"

struct signer {
	EVP_PKEY *secret;
	struct kmn_evidence_key key;
	char vkey[KMN_EVIDENCE_VKEY_MAX_BYTES];
};

/* What an authenticator says, to be bent; signer_says() has it as an honest one would. */
struct signer_says {
	const char *rp_id, *type, *origin, *cross, *rest; /* cross: after "crossOrigin":, rest: after that */
	const char *client;                               /* not NULL: the client data as a whole */
	const char *challenge_of;                         /* not NULL: the text that the challenge is made of */
	uint8_t flags;
	uint32_t count;
	const uint8_t *more; /* behind the count */
	size_t more_len;
};
extern const struct signer_says signer_honest;

/* A new key; of RSA with so many bits, and always the same one in a process. */
void signer_init(struct signer *signer, const char *name, enum kmn_evidence_kind kind, unsigned bits);
/* The same key under another name or in another type. */
void signer_wrap(struct signer *signer, const struct signer *of, const char *name, enum kmn_evidence_kind kind);
void signer_clear(struct signer *signer);

/* The bytes behind the key id in a signature line. */
size_t signer_sign(
    const struct signer *signer, const char *text, const struct signer_says *says, uint8_t out[KMN_NOTE_SIG_MAX_BYTES]);
/* `note` (a text, or a note) with that signature; free(). */
char *signer_note(const struct signer *signer, const char *note, const struct signer_says *says);

#endif
