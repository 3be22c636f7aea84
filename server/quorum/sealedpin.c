#include "config.h"

#include "server/quorum/sealedpin.h"

#include "kanmon/note.h"
#include "kanmon/policy.h"
#include "kanmon/statement.h"
#include "server/quorum/text.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_LINE "kanmon/sealed-pin/v1"
#define USER "CKU_USER"
#define KDF_CONTEXT "kmn-pin_"
#define SHARE_LABEL "kanmon/share/v1\n"
#define NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

_Static_assert(
    KMN_DEAL_RANDOM_BYTES == KMN_SEALED_PIN_CUSTODIANS_MAX * SEALED_KEY_BYTES + KMN_HASH_BYTES + SEALED_NONCE_BYTES,
    "key, coefficients, id and nonce");
_Static_assert(KMN_SEALED_NAME_MAX_BYTES == KMN_POLICY_NAME_MAX_BYTES, "names");
_Static_assert(KMN_SHARE_BOX_BYTES == KMN_SHARE_BYTES + crypto_box_SEALBYTES, "a sealed share");
_Static_assert(KMN_SHARE_BYTES == KMN_HASH_BYTES + 1 + SEALED_KEY_BYTES, "a share");
_Static_assert(SEALED_KEY_BYTES == crypto_kdf_KEYBYTES &&
		   SEALED_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES &&
		   KMN_SHARE_KEY_BYTES == crypto_box_PUBLICKEYBYTES,
    "keys");

void
sealed_keys(
    const uint8_t key[SEALED_KEY_BYTES], uint8_t seal_out[SEALED_KEY_BYTES], uint8_t commitment_out[KMN_HASH_BYTES])
{
	crypto_kdf_derive_from_key(seal_out, SEALED_KEY_BYTES, 1, KDF_CONTEXT, key);
	crypto_kdf_derive_from_key(commitment_out, KMN_HASH_BYTES, 2, KDF_CONTEXT, key);
}

void
sealed_share_commitment(const uint8_t share[KMN_SHARE_BYTES], uint8_t out[KMN_HASH_BYTES])
{
	crypto_hash_sha256_state sha;

	crypto_hash_sha256_init(&sha);
	crypto_hash_sha256_update(&sha, (const uint8_t *)SHARE_LABEL, sizeof(SHARE_LABEL) - 1);
	crypto_hash_sha256_update(&sha, share, KMN_SHARE_BYTES);
	crypto_hash_sha256_final(&sha, out);
	sodium_memzero(&sha, sizeof(sha));
}

const struct kmn_sealed_share *
sealed_share_of(const struct kmn_sealed_pin *pin, const uint8_t share[KMN_SHARE_BYTES])
{
	uint8_t commitment[KMN_HASH_BYTES];

	if (memcmp(share, pin->deal, sizeof(pin->deal)) != 0)
		return NULL;
	sealed_share_commitment(share, commitment);
	for (unsigned i = 0; i < pin->count; i++)
		if (pin->share[i].x == share[KMN_HASH_BYTES] &&
		    sodium_memcmp(pin->share[i].commitment, commitment, sizeof(commitment)) == 0)
			return &pin->share[i];
	return NULL;
}

/* ---- dealing ------------------------------------------------------------------------------------------------------- */

/* All that is secret while it is dealt, in one piece of guarded memory. */
struct dealing {
	uint8_t key[SEALED_KEY_BYTES], seal[SEALED_KEY_BYTES];
	uint8_t coefficients[(KMN_SEALED_PIN_CUSTODIANS_MAX - 1) * SEALED_KEY_BYTES];
	uint8_t nonce[SEALED_NONCE_BYTES];
	uint8_t y[KMN_SEALED_PIN_CUSTODIANS_MAX * SEALED_KEY_BYTES];
	uint8_t share[KMN_SHARE_BYTES];
	uint8_t room[SEALED_ROOM_BYTES];
};

static bool
is_name(const char *name)
{
	size_t n = strspn(name, NAME_BYTES);

	return n > 0 && n <= KMN_SEALED_NAME_MAX_BYTES && name[n] == '\0';
}

static bool
is_deal(const struct kmn_deal *deal)
{
	size_t origin = strlen(deal->origin);

	if (deal->least == 0 || deal->least > deal->count || deal->count > KMN_SEALED_PIN_CUSTODIANS_MAX ||
	    deal->pin_len == 0 || deal->pin_len > KMN_SEALABLE_MAX_BYTES || !is_name(deal->token) ||
	    !text_is_value(deal->origin, origin, sizeof(((struct kmn_sealed_pin *)NULL)->origin) - 1))
		return false;
	for (unsigned i = 0; i < deal->count; i++) {
		if (!is_name(deal->name[i]))
			return false;
		for (unsigned j = 0; j < i; j++)
			if (strcmp(deal->name[i], deal->name[j]) == 0)
				return false;
	}
	return true;
}

/* One `share` line: the share is made, sealed to its custodian, and wiped with the rest. */
static kmn_err
put_share(struct text *t, const struct kmn_deal *deal, unsigned i, const uint8_t id[KMN_HASH_BYTES], struct dealing *d)
{
	uint8_t commitment[KMN_HASH_BYTES], box[KMN_SHARE_BOX_BYTES];

	memcpy(d->share, id, KMN_HASH_BYTES);
	d->share[KMN_HASH_BYTES] = (uint8_t)(i + 1);
	memcpy(d->share + KMN_HASH_BYTES + 1, d->y + i * SEALED_KEY_BYTES, SEALED_KEY_BYTES);
	if (crypto_box_seal(box, d->share, KMN_SHARE_BYTES, deal->share_key[i]) != 0)
		return KMN_E_ARGUMENTS;
	sealed_share_commitment(d->share, commitment);
	text_printf(t, "share %s %u ", deal->name[i], i + 1);
	text_b64(t, commitment, sizeof(commitment));
	text_put(t, " ");
	text_b64(t, box, sizeof(box));
	text_put(t, "\n");
	return t->err;
}

static void
put_head(struct text *t, const struct kmn_deal *deal, const uint8_t id[KMN_HASH_BYTES],
    const uint8_t commitment[KMN_HASH_BYTES])
{
	char made[KMN_TIME_TEXT_BYTES];

	kmn_time_text(deal->made_ms, made);
	text_printf(
	    t, FIRST_LINE "\norigin %s\ntoken %s\nuser " USER "\nmade %s\ndeal ", deal->origin, deal->token, made);
	text_b64(t, id, KMN_HASH_BYTES);
	text_printf(t, "\nleast %u\ncommitment ", deal->least);
	text_b64(t, commitment, KMN_HASH_BYTES);
	text_put(t, "\n");
}

static kmn_err
seal(struct text *t, const struct kmn_deal *deal, struct dealing *d)
{
	uint8_t sealed[SEALED_BYTES];

	d->room[0] = (uint8_t)deal->pin_len;
	memcpy(d->room + 1, deal->pin, deal->pin_len);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
	    sealed, NULL, d->room, SEALED_ROOM_BYTES, (const uint8_t *)t->bytes, t->len, NULL, d->nonce, d->seal);
	text_put(t, "nonce ");
	text_b64(t, d->nonce, sizeof(d->nonce));
	text_put(t, "\npin ");
	text_b64(t, sealed, sizeof(sealed));
	text_put(t, "\n");
	return t->err;
}

kmn_err
kmn_sealed_pin_deal(const struct kmn_deal *deal, uint8_t random[KMN_DEAL_RANDOM_BYTES], char **text_out)
{
	uint8_t id[KMN_HASH_BYTES], commitment[KMN_HASH_BYTES];
	struct dealing *d = NULL;
	struct text t;
	kmn_err e;

	*text_out = NULL;
	if (!is_deal(deal))
		return KMN_E_ARGUMENTS;
	if (sodium_init() < 0 || (d = sodium_malloc(sizeof(*d))) == NULL)
		return KMN_E_NO_MEMORY;
	text_init(&t, KMN_SEALED_PIN_MAX_BYTES);
	memset(d, 0, sizeof(*d));
	memcpy(d->key, random, sizeof(d->key));
	memcpy(d->coefficients, random + sizeof(d->key), sizeof(d->coefficients));
	memcpy(id, random + KMN_DEAL_RANDOM_BYTES - SEALED_NONCE_BYTES - sizeof(id), sizeof(id));
	memcpy(d->nonce, random + KMN_DEAL_RANDOM_BYTES - SEALED_NONCE_BYTES, SEALED_NONCE_BYTES);
	sodium_memzero(random, KMN_DEAL_RANDOM_BYTES);
	sealed_keys(d->key, d->seal, commitment);
	put_head(&t, deal, id, commitment);
	e = kmn_shamir_split(d->key, SEALED_KEY_BYTES, deal->least, deal->count, d->coefficients, d->y);
	for (unsigned i = 0; e == KMN_OK && i < deal->count; i++)
		e = put_share(&t, deal, i, id, d);
	if (e == KMN_OK && (e = t.err) == KMN_OK && (e = seal(&t, deal, d)) == KMN_OK)
		e = text_take(&t, text_out);
	text_clear(&t);
	sodium_free(d);
	return e;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static bool
next_bytes(char **at, const char *key, uint8_t *out, size_t want)
{
	const char *value = text_next_value(at, key);
	size_t n = 0;

	return value != NULL && kmn_b64_parse(value, strlen(value), out, want, &n) == KMN_OK && n == want;
}

/* The next word of a line; NULL: there is none. */
static char *
word(char **at)
{
	char *begin = *at, *end;

	if (begin == NULL || *begin == '\0')
		return NULL;
	end = strchr(begin, ' ');
	*at = end != NULL ? end + 1 : NULL;
	if (end != NULL)
		*end = '\0';
	return begin;
}

static bool
word_bytes(char **at, uint8_t *out, size_t want)
{
	const char *value = word(at);
	size_t n = 0;

	return value != NULL && kmn_b64_parse(value, strlen(value), out, want, &n) == KMN_OK && n == want;
}

/* A number from 1 to `most`, written in one way. */
static unsigned
number(const char *text, unsigned most)
{
	unsigned long n;
	char again[12];

	if (text == NULL || strlen(text) > 3 || strspn(text, "0123456789") != strlen(text))
		return 0;
	n = strtoul(text, NULL, 10);
	snprintf(again, sizeof(again), "%lu", n);
	return n <= most && strcmp(again, text) == 0 ? (unsigned)n : 0;
}

/* Shares are numbered from 1, each name once. */
static bool
read_share(struct kmn_sealed_pin *pin, char *value)
{
	struct kmn_sealed_share *share = &pin->share[pin->count];
	char *rest = value;
	const char *name = word(&rest), *x = word(&rest);

	if (pin->count == KMN_SEALED_PIN_CUSTODIANS_MAX || name == NULL || !is_name(name) ||
	    number(x, KMN_SHAMIR_SHARES_MAX) != pin->count + 1 ||
	    !word_bytes(&rest, share->commitment, sizeof(share->commitment)) ||
	    !word_bytes(&rest, share->box, sizeof(share->box)) || rest != NULL)
		return false;
	for (unsigned i = 0; i < pin->count; i++)
		if (strcmp(pin->share[i].name, name) == 0)
			return false;
	strcpy(share->name, name);
	share->x = (uint8_t)++pin->count;
	return true;
}

static bool
read_head(struct kmn_sealed_pin *pin, char **at)
{
	const char *value;
	int64_t made;
	char *lf = strchr(*at, '\n');

	if (lf == NULL || (size_t)(lf - *at) != strlen(FIRST_LINE) || strncmp(*at, FIRST_LINE, strlen(FIRST_LINE)) != 0)
		return false;
	*at = lf + 1;
	if ((value = text_next_value(at, "origin")) == NULL || !text_is_value(value, strlen(value), sizeof(pin->origin) - 1))
		return false;
	strcpy(pin->origin, value);
	if ((value = text_next_value(at, "token")) == NULL || !is_name(value))
		return false;
	strcpy(pin->token, value);
	if ((value = text_next_value(at, "user")) == NULL || strcmp(value, USER) != 0)
		return false;
	if ((value = text_next_value(at, "made")) == NULL || kmn_time_parse(value, strlen(value), &made) != KMN_OK)
		return false;
	return next_bytes(at, "deal", pin->deal, sizeof(pin->deal)) &&
	       (pin->least = number(text_next_value(at, "least"), KMN_SEALED_PIN_CUSTODIANS_MAX)) != 0 &&
	       next_bytes(at, "commitment", pin->commitment, sizeof(pin->commitment));
}

static bool
read_all(struct kmn_sealed_pin *pin, char *copy)
{
	char *at = copy, *value;

	if (!read_head(pin, &at))
		return false;
	while ((value = text_next_value(&at, "share")) != NULL)
		if (!read_share(pin, value))
			return false;
	pin->head_len = (size_t)(at - copy);
	return pin->count >= pin->least && next_bytes(&at, "nonce", pin->nonce, sizeof(pin->nonce)) &&
	       next_bytes(&at, "pin", pin->sealed, sizeof(pin->sealed)) && *at == '\0';
}

kmn_err
kmn_sealed_pin_parse(const char *text, size_t len, struct kmn_sealed_pin **pin_out)
{
	struct kmn_sealed_pin *pin = NULL;
	char *copy = NULL;
	kmn_err e = KMN_E_NO_MEMORY;

	*pin_out = NULL;
	if (len > KMN_SEALED_PIN_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if ((pin = calloc(1, sizeof(*pin) + len + 1)) == NULL || (copy = malloc(len + 1)) == NULL)
		goto done;
	memcpy(pin->text, text, len);
	memcpy(copy, text, len);
	copy[len] = '\0';
	kmn_sha256(text, len, pin->sha256);
	e = KMN_E_MALFORMED;
	if (strlen(copy) != len || !read_all(pin, copy))
		goto done;
	*pin_out = pin;
	pin = NULL;
	e = KMN_OK;
done:
	free(copy);
	free(pin);
	return e;
}

void
kmn_sealed_pin_free(struct kmn_sealed_pin *pin)
{
	free(pin);
}

const char *
kmn_sealed_pin_origin(const struct kmn_sealed_pin *pin)
{
	return pin->origin;
}

const char *
kmn_sealed_pin_token(const struct kmn_sealed_pin *pin)
{
	return pin->token;
}

unsigned
kmn_sealed_pin_least(const struct kmn_sealed_pin *pin)
{
	return pin->least;
}

const uint8_t *
kmn_sealed_pin_sha256(const struct kmn_sealed_pin *pin)
{
	return pin->sha256;
}

const struct kmn_sealed_share *
kmn_sealed_pin_share_at(const struct kmn_sealed_pin *pin, size_t n)
{
	return n < pin->count ? &pin->share[n] : NULL;
}

/* ---- a share on its way -------------------------------------------------------------------------------------------- */

kmn_err
kmn_sealed_pin_pass_on(const struct kmn_sealed_pin *pin, const char *name, const uint8_t public[KMN_SHARE_KEY_BYTES],
    const uint8_t *secret, const uint8_t to[KMN_SHARE_KEY_BYTES], uint8_t box_out[KMN_SHARE_BOX_BYTES])
{
	const struct kmn_sealed_share *mine = NULL;
	uint8_t *share = NULL;
	kmn_err e;

	for (unsigned i = 0; i < pin->count; i++)
		if (strcmp(pin->share[i].name, name) == 0)
			mine = &pin->share[i];
	if (mine == NULL)
		return KMN_E_NOT_FOUND;
	if (sodium_init() < 0 || (share = sodium_malloc(KMN_SHARE_BYTES)) == NULL)
		return KMN_E_NO_MEMORY;
	if (crypto_box_seal_open(share, mine->box, sizeof(mine->box), public, secret) != 0)
		e = KMN_E_PASSPHRASE;
	else if (sealed_share_of(pin, share) != mine)
		e = KMN_E_CORRUPT;
	else
		e = crypto_box_seal(box_out, share, KMN_SHARE_BYTES, to) == 0 ? KMN_OK : KMN_E_ARGUMENTS;
	sodium_free(share);
	return e;
}
