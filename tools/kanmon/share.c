#include "config.h"

#include "tools/kanmon/share.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/keyfile.h"
#include "kanmon/note.h"
#include "kanmon/sealedpin.h"
#include "kanmon/statement.h"
#include "tools/kanmon/signing_key.h"
#include "tools/kanmon/terminal.h"

/* 32 bytes at the end of a line of the statement. */
static bool
bytes_of(const char *statement, const char *key, uint8_t out[KMN_HASH_BYTES])
{
	size_t len, n = 0;
	const char *value = kmn_statement_value(statement, key, &len), *last = value;

	for (const char *at = value; value != NULL && at < value + len; at++)
		if (*at == ' ')
			last = at + 1;
	return value != NULL && kmn_b64_parse(last, len - (size_t)(last - value), out, KMN_HASH_BYTES, &n) == KMN_OK &&
	       n == KMN_HASH_BYTES;
}

/* By what name the policy knows who signs. */
static const char *
name_of(const struct kmn_policy *policy, const struct kmn_signer *signer)
{
	const struct kmn_policy_custodian *at;

	for (size_t i = 0; (at = kmn_policy_custodian_at(policy, i)) != NULL; i++)
		if (memcmp(at->key->spki_sha256, kmn_signer_key(signer)->spki_sha256, KMN_HASH_BYTES) == 0)
			return at->name;
	return kmn_signer_key(signer)->name;
}

/* The file that the gateway sent, which must be the one that the statement names. */
static kmn_err
read_sealed(const json_t *shown, const struct kmn_examined *examined, struct kmn_sealed_pin **pin_out)
{
	const char *text = json_string_value(json_object_get(shown, "sealed_pin"));
	uint8_t named[KMN_HASH_BYTES];

	*pin_out = NULL;
	if (text == NULL) {
		kmn_fail("the gateway does not send the sealed PIN: the process that asked may be gone");
		return KMN_E_NOT_FOUND;
	}
	if (!bytes_of(examined->statement, "pin", named) ||
	    kmn_sealed_pin_parse(text, strlen(text), pin_out) != KMN_OK ||
	    memcmp(kmn_sealed_pin_sha256(*pin_out), named, sizeof(named)) != 0) {
		kmn_sealed_pin_free(*pin_out);
		*pin_out = NULL;
		return kmn_contradiction(examined->language, KMN_W_LIE_SEALED_PIN, NULL);
	}
	return KMN_OK;
}

static kmn_err
seal(const struct kmn_sealed_pin *pin, const char *name, const struct kmn_keyfile *key,
    const uint8_t to[KMN_SHARE_KEY_BYTES], uint8_t box_out[KMN_SHARE_BOX_BYTES])
{
	uint8_t public[KMN_SHARE_KEY_BYTES], *secret = sodium_malloc(crypto_box_SECRETKEYBYTES);
	kmn_err e;

	if (secret == NULL)
		return KMN_E_NO_MEMORY;
	kmn_keyfile_share_key(key, public, secret);
	e = kmn_sealed_pin_pass_on(pin, name, public, secret, to, box_out);
	sodium_free(secret);
	if (e == KMN_E_PASSPHRASE)
		kmn_fail("the share of %s was dealt to another share key than this one's", name);
	else if (e != KMN_OK && e != KMN_E_NOT_FOUND)
		kmn_fail("the share of %s is not what the sealed PIN says: %s", name, kmn_err_text(e));
	return e;
}

/* With a card the share key is that of a key file. KMN_E_NOT_FOUND: there is none. */
static kmn_err
seal_with(const struct kmn_sealed_pin *pin, const char *name, const struct kmn_signer *signer, const char *share_key,
    const uint8_t to[KMN_SHARE_KEY_BYTES], uint8_t box_out[KMN_SHARE_BOX_BYTES])
{
	struct kmn_keyfile *own = NULL;
	kmn_err e;

	if (kmn_signer_keyfile(signer) != NULL)
		return seal(pin, name, kmn_signer_keyfile(signer), to, box_out);
	if (share_key == NULL)
		return KMN_E_NOT_FOUND;
	if ((e = kmn_signing_key_open(share_key, NULL, &own)) == KMN_OK)
		e = seal(pin, name, own, to, box_out);
	kmn_keyfile_free(own);
	return e;
}

static kmn_err
send(struct kmn_gateway *gateway, uint64_t id, const uint8_t box[KMN_SHARE_BOX_BYTES])
{
	struct kmn_writer fields;
	json_t *answer = NULL;
	kmn_err e;

	kmn_writer_init(&fields, 512);
	kmn_writer_u64(&fields, id);
	kmn_writer_bytes(&fields, box, KMN_SHARE_BOX_BYTES);
	e = kmn_gateway_ask(gateway, KMN_ADMIN_SHARE, &fields, &answer);
	kmn_writer_clear(&fields);
	json_decref(answer);
	return e;
}

kmn_err
kmn_share_send(struct kmn_gateway *gateway, uint64_t id, const json_t *shown, const struct kmn_examined *examined,
    const struct kmn_signer *signer, const char *share_key)
{
	uint8_t to[KMN_SHARE_KEY_BYTES], box[KMN_SHARE_BOX_BYTES];
	const char *name = name_of(examined->policy, signer);
	struct kmn_sealed_pin *pin;
	kmn_err e;

	if (!bytes_of(examined->statement, "activation-key", to))
		return KMN_OK; /* no login, or one for which no PIN is sealed */
	if ((e = read_sealed(shown, examined, &pin)) != KMN_OK)
		return e;
	if ((e = seal_with(pin, name, signer, share_key, to, box)) == KMN_OK)
		e = send(gateway, id, box);
	else if (e == KMN_E_NOT_FOUND) {
		fprintf(stderr,
		    "kanmon: there is no share of this PIN for %s here: the approval counts, and opens nothing\n",
		    name);
		e = KMN_OK;
	}
	kmn_sealed_pin_free(pin);
	return e;
}
