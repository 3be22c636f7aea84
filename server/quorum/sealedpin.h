/* A sealed PIN as it was read; for sealedpin.c and activation.c. */
#ifndef KANMON_SERVER_QUORUM_SEALEDPIN_H
#define KANMON_SERVER_QUORUM_SEALEDPIN_H

#include <sodium.h>

#include "kanmon/sealedpin.h"

#define SEALED_KEY_BYTES 32u                            /* what is split */
#define SEALED_ROOM_BYTES (KMN_SEALABLE_MAX_BYTES + 1u) /* its length, the PIN, zeros: nobody sees how long it is */
#define SEALED_BYTES (SEALED_ROOM_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES)
#define SEALED_NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

struct kmn_sealed_pin {
	char origin[256], token[KMN_SEALED_NAME_MAX_BYTES + 1];
	unsigned least, count;
	uint8_t sha256[KMN_HASH_BYTES];
	uint8_t deal[KMN_HASH_BYTES];       /* random: tells this deal from every other */
	uint8_t commitment[KMN_HASH_BYTES]; /* to the key: XChaCha20-Poly1305 alone binds none */
	struct kmn_sealed_share share[KMN_SEALED_PIN_CUSTODIANS_MAX];
	size_t head_len; /* bytes before `nonce`, sealed as associated data */
	uint8_t nonce[SEALED_NONCE_BYTES], sealed[SEALED_BYTES];
	char text[]; /* NUL at the end */
};

/* The key that seals, and what commits to it, of the one that is split. */
void sealed_keys(
    const uint8_t key[SEALED_KEY_BYTES], uint8_t seal_out[SEALED_KEY_BYTES], uint8_t commitment_out[KMN_HASH_BYTES]);
/* SHA-256 of a label and the share. */
void sealed_share_commitment(const uint8_t share[KMN_SHARE_BYTES], uint8_t out[KMN_HASH_BYTES]);
/* The file's line with this share; NULL: it is of no share of the file. */
const struct kmn_sealed_share *sealed_share_of(const struct kmn_sealed_pin *pin, const uint8_t share[KMN_SHARE_BYTES]);

#endif
