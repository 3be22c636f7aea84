/* Where the shares of a PIN's key meet: guarded memory of the one process that logs in with it. */
#include "config.h"

#include "server/quorum/sealedpin.h"

#include <string.h>

struct kmn_activation {
	uint8_t public[KMN_SHARE_KEY_BYTES], secret[crypto_box_SECRETKEYBYTES];
	struct kmn_sealed_pin *pin;
	unsigned count; /* of those below */
	uint8_t x[KMN_SEALED_PIN_CUSTODIANS_MAX];
	uint8_t y[KMN_SEALED_PIN_CUSTODIANS_MAX * SEALED_KEY_BYTES];
	uint8_t share[KMN_SHARE_BYTES]; /* the one that is being taken */
};

kmn_err
kmn_activation_new(const char *text, size_t len, struct kmn_activation **activation_out)
{
	struct kmn_activation *a;
	kmn_err e;

	*activation_out = NULL;
	if (sodium_init() < 0 || (a = sodium_malloc(sizeof(*a))) == NULL)
		return KMN_E_NO_MEMORY;
	memset(a, 0, sizeof(*a));
	if ((e = kmn_sealed_pin_parse(text, len, &a->pin)) != KMN_OK) {
		sodium_free(a);
		return e;
	}
	crypto_box_keypair(a->public, a->secret);
	*activation_out = a;
	return KMN_OK;
}

void
kmn_activation_free(struct kmn_activation *activation)
{
	if (activation == NULL)
		return;
	kmn_sealed_pin_free(activation->pin);
	sodium_free(activation); /* wipes */
}

const uint8_t *
kmn_activation_key(const struct kmn_activation *activation)
{
	return activation->public;
}

/* Adds the share that was opened, unless it is there. */
static void
add(struct kmn_activation *a)
{
	uint8_t x = a->share[KMN_HASH_BYTES];

	for (unsigned i = 0; i < a->count; i++)
		if (a->x[i] == x)
			return;
	memcpy(a->y + a->count * SEALED_KEY_BYTES, a->share + KMN_HASH_BYTES + 1, SEALED_KEY_BYTES);
	a->x[a->count++] = x;
}

kmn_err
kmn_activation_take(struct kmn_activation *activation, const uint8_t *box, size_t len, unsigned *count_out)
{
	kmn_err e = KMN_OK;

	if (len != KMN_SHARE_BOX_BYTES ||
	    crypto_box_seal_open(activation->share, box, len, activation->public, activation->secret) != 0)
		e = KMN_E_PASSPHRASE;
	else if (sealed_share_of(activation->pin, activation->share) == NULL)
		e = KMN_E_CORRUPT;
	else
		add(activation);
	sodium_memzero(activation->share, sizeof(activation->share));
	*count_out = activation->count;
	return e;
}

/* Keys while the PIN is opened. */
struct opening {
	uint8_t key[SEALED_KEY_BYTES], seal[SEALED_KEY_BYTES], commitment[KMN_HASH_BYTES];
	uint8_t room[SEALED_ROOM_BYTES];
};

static kmn_err
unseal(const struct kmn_activation *a, struct opening *o)
{
	const struct kmn_sealed_pin *pin = a->pin;

	if (kmn_shamir_combine(a->x, a->y, pin->least, SEALED_KEY_BYTES, o->key) != KMN_OK)
		return KMN_E_CORRUPT;
	sealed_keys(o->key, o->seal, o->commitment);
	if (sodium_memcmp(o->commitment, pin->commitment, sizeof(o->commitment)) != 0 ||
	    crypto_aead_xchacha20poly1305_ietf_decrypt(o->room, NULL, NULL, pin->sealed, sizeof(pin->sealed),
		(const uint8_t *)pin->text, pin->head_len, pin->nonce, o->seal) != 0 ||
	    o->room[0] == 0)
		return KMN_E_CORRUPT;
	return KMN_OK;
}

kmn_err
kmn_activation_open(const struct kmn_activation *activation, uint8_t **pin_out, size_t *len_out)
{
	struct opening *o = NULL;
	uint8_t *pin = NULL;
	kmn_err e;

	*pin_out = NULL;
	*len_out = 0;
	if (activation->count < activation->pin->least)
		return KMN_E_AGAIN;
	o = sodium_malloc(sizeof(*o));
	pin = sodium_malloc(KMN_SEALABLE_MAX_BYTES);
	e = o == NULL || pin == NULL ? KMN_E_NO_MEMORY : unseal(activation, o);
	if (e == KMN_OK) {
		memcpy(pin, o->room + 1, KMN_SEALABLE_MAX_BYTES);
		*len_out = o->room[0];
		*pin_out = pin;
		pin = NULL;
	}
	sodium_free(o);
	sodium_free(pin);
	return e;
}
