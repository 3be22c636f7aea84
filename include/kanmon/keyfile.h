/*
 * A custodian's signing key as a file: Ed25519, sealed by a passphrase
 * (Argon2id and XSalsa20-Poly1305 of libsodium). The text is printable and
 * versioned; the public half stands beside the sealed one in clear.
 */
#ifndef KANMON_KEYFILE_H
#define KANMON_KEYFILE_H

#include "kanmon/err.h"

#define KMN_KEYFILE_RANDOM_BYTES 72 /* seed 32, salt 16, nonce 24: handed in, for this library has no random */
#define KMN_KEYFILE_MAX_BYTES 4096
#define KMN_KEYFILE_PASSPHRASE_MAX_BYTES 1024

struct kmn_keyfile; /* an open key: in sodium_malloc memory, wiped when freed */

enum kmn_keyfile_cost {
	KMN_KEYFILE_MODERATE, /* about a second and 256 MiB: what people get */
	KMN_KEYFILE_TESTING,  /* the least that libsodium allows: for tests, and it says so in the file */
};

/*
 * Seal a new key under a name ("kanmon.example/sato"; no space, no '+'). `random` is wiped.
 * *text_out: free(). Errors: KMN_E_ARGUMENTS (name, empty passphrase), KMN_E_NO_MEMORY.
 */
kmn_err kmn_keyfile_seal(const char *name, uint8_t random[KMN_KEYFILE_RANDOM_BYTES], const char *passphrase,
    size_t passphrase_len, enum kmn_keyfile_cost cost, char **text_out) KMN_MUST_CHECK;

/* The public half (a vkey), without the passphrase; unauthenticated until opened. *vkey_out: free(). */
kmn_err kmn_keyfile_public(const char *text, size_t len, char **vkey_out) KMN_MUST_CHECK;

/* Errors: KMN_E_MALFORMED, KMN_E_PASSPHRASE (or altered bytes: they cannot be told apart). */
kmn_err kmn_keyfile_open(const char *text, size_t len, const char *passphrase, size_t passphrase_len,
    struct kmn_keyfile **key_out) KMN_MUST_CHECK;
void kmn_keyfile_free(struct kmn_keyfile *key);

/* The name it was sealed under, and its vkey; both live as long as the key. */
const char *kmn_keyfile_name(const struct kmn_keyfile *key);
const char *kmn_keyfile_vkey(const struct kmn_keyfile *key);

/*
 * Sign a text as a C2SP note: `text` ends with LF; *note_out (free()) is the text, an empty line and a signature
 * line. A complete note as `text` gets one more line (`kanmon policy sign`).
 */
kmn_err kmn_keyfile_sign(const struct kmn_keyfile *key, const char *text, size_t len, char **note_out) KMN_MUST_CHECK;

/*
 * The person's share key (X25519), to which shares of a sealed PIN are dealt: made of the same seed, and no other use
 * of it. `secret_out`: 32 bytes of the caller's guarded memory, or NULL.
 */
void kmn_keyfile_share_key(const struct kmn_keyfile *key, uint8_t public_out[32], uint8_t *secret_out);
/* The same of a seed: the first 32 bytes of the random that a file is sealed with. */
void kmn_keyfile_seed_share_key(const uint8_t seed[32], uint8_t public_out[32], uint8_t *secret_out);

#endif
