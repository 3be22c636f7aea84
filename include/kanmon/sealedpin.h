/*
 * A token's PIN, sealed under a key that is dealt to custodians in shares
 * (docs/activation.md). The text holds no secret that fewer than `least` of
 * them could open: it lies on the gateway, and a copy anywhere does no harm
 * by itself.
 *
 * Boxes (crypto_box_seal) and key pairs draw random of libsodium's own; secrets
 * stand in sodium_malloc memory only.
 */
#ifndef KANMON_SEALEDPIN_H
#define KANMON_SEALEDPIN_H

#include "kanmon/err.h"
#include "kanmon/shamir.h"

#define KMN_SEALED_PIN_MAX_BYTES 32768u
#define KMN_SEALED_NAME_MAX_BYTES 64 /* of a person or token, as in the policy */
#define KMN_SEALED_PIN_CUSTODIANS_MAX 64u
#define KMN_SEALABLE_MAX_BYTES 255u
#define KMN_SHARE_KEY_BYTES 32u /* X25519 */
#define KMN_SHARE_BYTES 65u     /* deal[32], x, y[32] */
#define KMN_SHARE_BOX_BYTES (KMN_SHARE_BYTES + 48u)

struct kmn_sealed_pin;

/* One custodian's part of the file. */
struct kmn_sealed_share {
	char name[KMN_SEALED_NAME_MAX_BYTES + 1];
	uint8_t x;
	uint8_t commitment[KMN_HASH_BYTES]; /* tells this share from every other */
	uint8_t box[KMN_SHARE_BOX_BYTES];   /* sealed to the custodian's share key */
};

/* Who gets a share, of what. */
struct kmn_deal {
	const char *origin, *token; /* of the policy; the token line's name */
	int64_t made_ms;
	unsigned least, count;
	const char *const *name;                         /* of each custodian */
	const uint8_t (*share_key)[KMN_SHARE_KEY_BYTES]; /* of each custodian */
	const char *pin;
	size_t pin_len;
};

#define KMN_DEAL_RANDOM_BYTES (KMN_SEALED_PIN_CUSTODIANS_MAX * 32u + 32u + 24u)

/*
 * Seals. `random` is the caller's, in guarded memory, and is wiped. *text_out: free().
 * Errors: KMN_E_ARGUMENTS (a size, a name, a key that is none), KMN_E_NO_MEMORY.
 */
kmn_err kmn_sealed_pin_deal(
    const struct kmn_deal *deal, uint8_t random[KMN_DEAL_RANDOM_BYTES], char **text_out) KMN_MUST_CHECK;

/* Reads the file. What it says of itself is proven only when it is opened. Errors: KMN_E_MALFORMED, KMN_E_TOO_BIG. */
kmn_err kmn_sealed_pin_parse(const char *text, size_t len, struct kmn_sealed_pin **pin_out) KMN_MUST_CHECK;
void kmn_sealed_pin_free(struct kmn_sealed_pin *pin);

/* What the file says: of which gateway, which token line, and how many shares open it. Live as long as `pin`. */
const char *kmn_sealed_pin_origin(const struct kmn_sealed_pin *pin);
const char *kmn_sealed_pin_token(const struct kmn_sealed_pin *pin);
unsigned kmn_sealed_pin_least(const struct kmn_sealed_pin *pin);
const uint8_t *kmn_sealed_pin_sha256(const struct kmn_sealed_pin *pin); /* of the whole text */
/* Walks the shares from 0; NULL after the last. */
const struct kmn_sealed_share *kmn_sealed_pin_share_at(const struct kmn_sealed_pin *pin, size_t n);

/*
 * A custodian's share, opened by their share key and sealed again to another (the worker's, from the statement).
 * Errors: KMN_E_NOT_FOUND (no share for that name), KMN_E_PASSPHRASE (the key does not open it: dealt to another key),
 * KMN_E_CORRUPT (what is inside is not the share of this file).
 */
kmn_err kmn_sealed_pin_pass_on(const struct kmn_sealed_pin *pin, const char *name,
    const uint8_t public[KMN_SHARE_KEY_BYTES], const uint8_t *secret, const uint8_t to[KMN_SHARE_KEY_BYTES],
    uint8_t box_out[KMN_SHARE_BOX_BYTES]) KMN_MUST_CHECK;

/* ---- where shares meet --------------------------------------------------------------------------------------------- */

struct kmn_activation; /* in sodium_malloc memory: a key pair for one login, and the shares that came */

/* A fresh key pair for the PIN in this file. Errors: those of kmn_sealed_pin_parse(), KMN_E_NO_MEMORY. */
kmn_err kmn_activation_new(const char *text, size_t len, struct kmn_activation **activation_out) KMN_MUST_CHECK;
void kmn_activation_free(struct kmn_activation *activation); /* wipes */
const uint8_t *kmn_activation_key(const struct kmn_activation *activation);

/*
 * Takes a share that was sealed to the key; *count_out is how many are there, each once.
 * Errors: KMN_E_PASSPHRASE (sealed to another key), KMN_E_CORRUPT (no share of this file); nothing changes then.
 */
kmn_err kmn_activation_take(
    struct kmn_activation *activation, const uint8_t *box, size_t len, unsigned *count_out) KMN_MUST_CHECK;

/*
 * Combines and opens. *pin_out: sodium_malloc memory of KMN_SEALABLE_MAX_BYTES, sodium_free() at once after use.
 * Errors: KMN_E_AGAIN (too few shares), KMN_E_CORRUPT (they make another key, or the file was changed), KMN_E_NO_MEMORY.
 */
kmn_err kmn_activation_open(const struct kmn_activation *activation, uint8_t **pin_out, size_t *len_out) KMN_MUST_CHECK;

#endif
