#include "config.h"

#include "kanmon/keyfile.h"

#include "kanmon/note.h"
#include "server/quorum/text.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LINE "kanmon/key/v1\n"
#define SEED_BYTES crypto_sign_SEEDBYTES
#define SALT_BYTES crypto_pwhash_argon2id_SALTBYTES
#define NONCE_BYTES crypto_secretbox_NONCEBYTES
#define PLAIN_BYTES (SEED_BYTES + KMN_HASH_BYTES) /* the seed, and the hash of the lines before: nobody renames a key */
#define SEALED_BYTES (PLAIN_BYTES + crypto_secretbox_MACBYTES)
#define SHARE_CONTEXT "kmn-shr_"
#define COST_OPS_MAX 16u
#define COST_MEM_MAX (1u << 30)

_Static_assert(SEED_BYTES == crypto_kdf_KEYBYTES && crypto_box_PUBLICKEYBYTES == 32 && crypto_box_SECRETKEYBYTES == 32,
    "the share key");
_Static_assert(SEED_BYTES + SALT_BYTES + NONCE_BYTES == KMN_KEYFILE_RANDOM_BYTES, "the random of a key file");

struct kmn_keyfile {
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_vkey key;
	char vkey[KMN_VKEY_MAX_BYTES];
};

/* The file, read. */
struct fields {
	char vkey[KMN_VKEY_MAX_BYTES];
	uint64_t ops, mem;
	uint8_t salt[SALT_BYTES], nonce[NONCE_BYTES], sealed[SEALED_BYTES];
	uint8_t head_sha256[KMN_HASH_BYTES]; /* of all lines before `sealed` */
};

/* The key that seals: in memory that is wiped. */
static kmn_err
derive(const char *passphrase, size_t len, const struct fields *f, uint8_t **key_out)
{
	uint8_t *key = sodium_malloc(crypto_secretbox_KEYBYTES);

	*key_out = NULL;
	if (key == NULL)
		return KMN_E_NO_MEMORY;
	if (crypto_pwhash(key, crypto_secretbox_KEYBYTES, passphrase, len, f->salt, f->ops, (size_t)f->mem,
		crypto_pwhash_ALG_ARGON2ID13) != 0) {
		sodium_free(key);
		return KMN_E_NO_MEMORY;
	}
	*key_out = key;
	return KMN_OK;
}

static kmn_err
put_head(struct text *t, const struct fields *f)
{
	text_printf(t, FIRST_LINE "vkey %s\nkdf argon2id %llu %llu\nsalt ", f->vkey, (unsigned long long)f->ops,
	    (unsigned long long)f->mem);
	text_b64(t, f->salt, sizeof(f->salt));
	text_put(t, "\nnonce ");
	text_b64(t, f->nonce, sizeof(f->nonce));
	text_put(t, "\n");
	return t->err;
}

kmn_err
kmn_keyfile_seal(const char *name, uint8_t random[KMN_KEYFILE_RANDOM_BYTES], const char *passphrase,
    size_t passphrase_len, enum kmn_keyfile_cost cost, char **text_out)
{
	struct fields f = {.ops = crypto_pwhash_OPSLIMIT_MODERATE, .mem = crypto_pwhash_MEMLIMIT_MODERATE};
	uint8_t public[KMN_ED25519_PUBLIC_BYTES], *plain = NULL, *secret = NULL, *key = NULL;
	struct kmn_vkey vkey;
	struct text t;
	kmn_err e = KMN_E_NO_MEMORY;

	*text_out = NULL;
	text_init(&t, KMN_KEYFILE_MAX_BYTES);
	if (sodium_init() < 0 || (plain = sodium_malloc(PLAIN_BYTES)) == NULL ||
	    (secret = sodium_malloc(KMN_ED25519_SECRET_BYTES)) == NULL)
		goto done;
	if (cost == KMN_KEYFILE_TESTING) {
		f.ops = crypto_pwhash_OPSLIMIT_MIN;
		f.mem = crypto_pwhash_MEMLIMIT_MIN;
	}
	memcpy(plain, random, SEED_BYTES);
	memcpy(f.salt, random + SEED_BYTES, SALT_BYTES);
	memcpy(f.nonce, random + SEED_BYTES + SALT_BYTES, NONCE_BYTES);
	crypto_sign_seed_keypair(public, secret, plain);
	if (passphrase_len == 0 || passphrase_len > KMN_KEYFILE_PASSPHRASE_MAX_BYTES ||
	    kmn_vkey_make(name, public, &vkey) != KMN_OK) {
		e = KMN_E_ARGUMENTS;
		goto done;
	}
	kmn_vkey_format(&vkey, f.vkey);
	if ((e = put_head(&t, &f)) != KMN_OK || (e = derive(passphrase, passphrase_len, &f, &key)) != KMN_OK)
		goto done;
	kmn_sha256(t.bytes, t.len, plain + SEED_BYTES);
	crypto_secretbox_easy(f.sealed, plain, PLAIN_BYTES, f.nonce, key);
	text_put(&t, "sealed ");
	text_b64(&t, f.sealed, sizeof(f.sealed));
	text_put(&t, "\n");
	e = text_take(&t, text_out);
done:
	sodium_memzero(random, KMN_KEYFILE_RANDOM_BYTES);
	sodium_free(plain);
	sodium_free(secret);
	sodium_free(key);
	text_clear(&t);
	return e;
}

static bool
read_bytes(const char *b64, uint8_t *out, size_t want)
{
	size_t n = 0;

	return b64 != NULL && kmn_b64_parse(b64, strlen(b64), out, want, &n) == KMN_OK && n == want;
}

static kmn_err
read_fields(const char *text, size_t len, struct fields *f)
{
	char copy[KMN_KEYFILE_MAX_BYTES + 1], *at, *value, *end = NULL;
	struct kmn_vkey vkey;
	struct text again;
	kmn_err e = KMN_E_MALFORMED;

	memset(f, 0, sizeof(*f));
	if (len > KMN_KEYFILE_MAX_BYTES)
		return KMN_E_TOO_BIG;
	memcpy(copy, text, len);
	copy[len] = 0;
	if (strlen(copy) != len || strncmp(copy, FIRST_LINE, sizeof(FIRST_LINE) - 1) != 0)
		return KMN_E_MALFORMED;
	at = copy + sizeof(FIRST_LINE) - 1;
	if ((value = text_next_value(&at, "vkey")) == NULL || kmn_vkey_parse(value, strlen(value), &vkey) != KMN_OK ||
	    vkey.type != KMN_NOTE_ED25519)
		return KMN_E_MALFORMED;
	strcpy(f->vkey, value);
	if ((value = text_next_value(&at, "kdf")) == NULL || strncmp(value, "argon2id ", 9) != 0)
		return KMN_E_MALFORMED;
	f->ops = strtoull(value + 9, &end, 10);
	f->mem = *end == ' ' ? strtoull(end + 1, &end, 10) : 0;
	if (*end != 0 || f->ops < crypto_pwhash_OPSLIMIT_MIN || f->ops > COST_OPS_MAX ||
	    f->mem < crypto_pwhash_MEMLIMIT_MIN || f->mem > COST_MEM_MAX)
		return KMN_E_MALFORMED;
	if (!read_bytes(text_next_value(&at, "salt"), f->salt, sizeof(f->salt)) ||
	    !read_bytes(text_next_value(&at, "nonce"), f->nonce, sizeof(f->nonce)) ||
	    !read_bytes(text_next_value(&at, "sealed"), f->sealed, sizeof(f->sealed)) || *at != 0)
		return KMN_E_MALFORMED;
	text_init(&again, KMN_KEYFILE_MAX_BYTES);
	if (put_head(&again, f) == KMN_OK && strncmp(text, again.bytes, again.len) == 0) {
		kmn_sha256(again.bytes, again.len, f->head_sha256);
		e = KMN_OK;
	}
	text_clear(&again);
	return e;
}

kmn_err
kmn_keyfile_public(const char *text, size_t len, char **vkey_out)
{
	struct fields f;
	kmn_err e = read_fields(text, len, &f);

	*vkey_out = NULL;
	if (e == KMN_OK && (*vkey_out = strdup(f.vkey)) == NULL)
		e = KMN_E_NO_MEMORY;
	return e;
}

kmn_err
kmn_keyfile_open(
    const char *text, size_t len, const char *passphrase, size_t passphrase_len, struct kmn_keyfile **key_out)
{
	uint8_t *plain = NULL, *key = NULL, public[KMN_ED25519_PUBLIC_BYTES];
	struct kmn_keyfile *opened = NULL;
	struct fields f;
	kmn_err e;

	*key_out = NULL;
	if ((e = read_fields(text, len, &f)) != KMN_OK)
		return e;
	if (passphrase_len > KMN_KEYFILE_PASSPHRASE_MAX_BYTES)
		return KMN_E_PASSPHRASE;
	if (sodium_init() < 0)
		return KMN_E_NO_MEMORY;
	plain = sodium_malloc(PLAIN_BYTES);
	opened = sodium_malloc(sizeof(*opened));
	e = plain == NULL || opened == NULL ? KMN_E_NO_MEMORY : derive(passphrase, passphrase_len, &f, &key);
	if (e != KMN_OK)
		goto done;
	e = KMN_E_PASSPHRASE;
	if (crypto_secretbox_open_easy(plain, f.sealed, sizeof(f.sealed), f.nonce, key) != 0)
		goto done;
	crypto_sign_seed_keypair(public, opened->secret, plain);
	if (sodium_memcmp(plain + SEED_BYTES, f.head_sha256, KMN_HASH_BYTES) != 0 ||
	    kmn_vkey_parse(f.vkey, strlen(f.vkey), &opened->key) != KMN_OK ||
	    memcmp(public, opened->key.pub, sizeof(public)) != 0)
		goto done;
	strcpy(opened->vkey, f.vkey);
	*key_out = opened;
	opened = NULL;
	e = KMN_OK;
done:
	sodium_free(plain);
	sodium_free(key);
	kmn_keyfile_free(opened);
	return e;
}

void
kmn_keyfile_free(struct kmn_keyfile *key)
{
	sodium_free(key); /* wipes */
}

const char *
kmn_keyfile_name(const struct kmn_keyfile *key)
{
	return key->key.name;
}

const char *
kmn_keyfile_vkey(const struct kmn_keyfile *key)
{
	return key->vkey;
}

kmn_err
kmn_keyfile_sign(const struct kmn_keyfile *key, const char *text, size_t len, char **note_out)
{
	struct kmn_note note;
	size_t note_len;

	if (kmn_note_parse(text, len, &note, NULL) == KMN_OK)
		return kmn_note_countersign(text, len, &key->key, key->secret, note_out, &note_len);
	return kmn_note_sign(text, len, &key->key, key->secret, note_out, &note_len);
}

/* What the seed signs with is derived by another function (SHA-512, in Ed25519): neither key tells of the other. */
void
kmn_keyfile_seed_share_key(const uint8_t seed[32], uint8_t public_out[32], uint8_t *secret_out)
{
	uint8_t *pair = sodium_malloc(crypto_box_SEEDBYTES + crypto_box_SECRETKEYBYTES);

	if (pair == NULL)
		KMN_BUG("out of memory");
	crypto_kdf_derive_from_key(pair, crypto_box_SEEDBYTES, 1, SHARE_CONTEXT, seed);
	crypto_box_seed_keypair(public_out, pair + crypto_box_SEEDBYTES, pair);
	if (secret_out != NULL)
		memcpy(secret_out, pair + crypto_box_SEEDBYTES, crypto_box_SECRETKEYBYTES);
	sodium_free(pair);
}

void
kmn_keyfile_share_key(const struct kmn_keyfile *key, uint8_t public_out[32], uint8_t *secret_out)
{
	kmn_keyfile_seed_share_key(key->secret, public_out, secret_out); /* its first half is the seed */
}
