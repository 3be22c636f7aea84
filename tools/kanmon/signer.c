#include "config.h"

#include "tools/kanmon/signer.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/client_settings.h"
#include "kanmon/keyfile.h"
#include "kanmon/policy.h"
#include "tools/kanmon/card.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/signing_key.h"
#include "tools/kanmon/terminal.h"

#define VKEY_FILE_MAX_BYTES (KMN_EVIDENCE_VKEY_MAX_BYTES + 2)

/* Who the custodians are; `policy` NULL: not known here. */
struct policies {
	const struct kmn_policy *policy, *before;
};

struct kmn_signer {
	struct kmn_keyfile *file; /* or */
	struct kmn_card *card;
	struct kmn_evidence_key key;
};

const char *
kmn_signer_missing(const struct kmn_signer_place *place)
{
	if (place->card != NULL && (place->token == NULL || place->key == NULL))
		return "--card asks for --token and --key, the labels of card and key";
	if (place->card == NULL && place->token != NULL)
		return "--token asks for --card, the card's module";
	if (place->key == NULL && place->as == NULL)
		return "whose key? --key FILE, or --card, or --as DIR/NAME (KANMON_CUSTODIAN) says it";
	return NULL;
}

/* ---- which key it is --------------------------------------------------------------------------------------------- */

static const struct kmn_evidence_key *
find_in(const struct kmn_policy *policy, const uint8_t spki_sha256[KMN_HASH_BYTES])
{
	const struct kmn_policy_custodian *c;

	for (size_t i = 0; policy != NULL && (c = kmn_policy_custodian_at(policy, i)) != NULL; i++)
		if (memcmp(c->key->spki_sha256, spki_sha256, KMN_HASH_BYTES) == 0)
			return c->key;
	return NULL;
}

/* The key of one of these policies that has this public half. */
static kmn_err
key_in_policy(const struct policies *in, const uint8_t spki_sha256[KMN_HASH_BYTES], struct kmn_evidence_key *out)
{
	const struct kmn_evidence_key *key = find_in(in->policy, spki_sha256);

	if (key == NULL)
		key = find_in(in->before, spki_sha256);
	if (key != NULL) {
		*out = *key;
		return KMN_OK;
	}
	kmn_fail("the policy has no custodian with this key, so the signature would not count");
	return KMN_E_NOT_FOUND;
}

/* The key of NAME.vkey, if it is the card's. */
static kmn_err
key_in_file(const char *as, const uint8_t spki_sha256[KMN_HASH_BYTES], struct kmn_evidence_key *out)
{
	char path[KMN_PATH_MAX_BYTES], *text;
	struct kmn_why why = {""};
	size_t len;
	kmn_err e;

	if (as == NULL) {
		kmn_fail("--as DIR/NAME is needed: NAME.vkey says under which name the card signs");
		return KMN_E_CONFIG;
	}
	if ((e = kmn_path(path, NULL, as, ".vkey")) != KMN_OK ||
	    (e = kmn_file_read_or_say(path, VKEY_FILE_MAX_BYTES, &text, &len)) != KMN_OK)
		return e;
	if ((e = kmn_evidence_key_parse(text, strcspn(text, "\r\n"), out, &why)) != KMN_OK)
		kmn_fail("%s: %s", path, why.text);
	else if (memcmp(out->spki_sha256, spki_sha256, KMN_HASH_BYTES) != 0)
		e = (kmn_fail("the card's key is not the one in %s", path), KMN_E_NOT_FOUND);
	free(text);
	return e;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* NAME.conf may name a card; *settings_out holds the words that `card` then points to. */
static kmn_err
card_of_settings(const char *as, struct kmn_client_settings **settings_out, struct kmn_card_place *card)
{
	char path[KMN_PATH_MAX_BYTES], why[KMN_CLIENT_WHY_BYTES] = "", *text = NULL;
	size_t len;
	kmn_err e;

	if ((e = kmn_path(path, NULL, as, ".conf")) != KMN_OK)
		return e;
	e = kmn_file_read(path, KMN_CLIENT_PROFILE_MAX_BYTES * 4, &text, &len);
	free(text);
	if (e == KMN_E_NOT_FOUND)
		return KMN_OK; /* not configured yet: then there is NAME.key */
	if ((e = kmn_client_settings_load(path, NULL, why, settings_out)) != KMN_OK) {
		kmn_fail("%s", why);
		return e;
	}
	*card = (struct kmn_card_place){(*settings_out)->card, (*settings_out)->card_token, (*settings_out)->card_key};
	if (card->module == NULL || (card->token != NULL && card->key != NULL))
		return KMN_OK;
	kmn_fail("%s: card asks for card-token and card-key", path);
	return KMN_E_CONFIG;
}

static kmn_err
open_card(struct kmn_signer *s, const struct kmn_card_place *card, const struct kmn_signer_place *place,
    const struct policies *in)
{
	uint8_t sha256[KMN_HASH_BYTES];
	const uint8_t *spki;
	size_t len;
	kmn_err e;

	if ((e = kmn_card_open(card, place->passphrase_file, &s->card)) != KMN_OK)
		return e;
	spki = kmn_card_spki(s->card, &len);
	kmn_sha256(spki, len, sha256);
	return in->policy != NULL ? key_in_policy(in, sha256, &s->key) : key_in_file(place->as, sha256, &s->key);
}

static kmn_err
open_file(struct kmn_signer *s, const struct kmn_signer_place *place, const struct policies *in)
{
	char path[KMN_PATH_MAX_BYTES];
	struct kmn_evidence_key key;
	const char *vkey;
	kmn_err e;

	if (place->key == NULL && (e = kmn_path(path, NULL, place->as, ".key")) != KMN_OK)
		return e;
	if ((e = kmn_signing_key_open(place->key != NULL ? place->key : path, place->passphrase_file, &s->file)) !=
	    KMN_OK)
		return e;
	vkey = kmn_keyfile_vkey(s->file);
	if ((e = kmn_evidence_key_parse(vkey, strlen(vkey), &s->key, NULL)) != KMN_OK)
		return e;
	if (in->policy == NULL || (e = key_in_policy(in, s->key.spki_sha256, &key)) != KMN_OK)
		return e;
	if (strcmp(key.name, s->key.name) == 0 && key.kind == s->key.kind)
		return KMN_OK;
	kmn_fail("the policy has this key under another name or as another type, so the signature would not count");
	return KMN_E_NOT_FOUND;
}

kmn_err
kmn_signer_open(const struct kmn_signer_place *place, const struct kmn_policy *policy, const struct kmn_policy *before,
    struct kmn_signer **signer_out)
{
	const struct policies in = {policy, before};
	struct kmn_card_place card = {place->card, place->token, place->key};
	struct kmn_client_settings *settings = NULL;
	struct kmn_signer *s = calloc(1, sizeof(*s));
	kmn_err e = s == NULL ? KMN_E_NO_MEMORY : KMN_OK;

	*signer_out = NULL;
	if (e == KMN_OK && place->card == NULL && place->key == NULL)
		e = card_of_settings(place->as, &settings, &card);
	if (e == KMN_OK)
		e = card.module != NULL ? open_card(s, &card, place, &in) : open_file(s, place, &in);
	kmn_client_settings_free(settings);
	if (e == KMN_OK)
		*signer_out = s;
	else
		kmn_signer_free(s);
	return e;
}

void
kmn_signer_free(struct kmn_signer *s)
{
	if (s == NULL)
		return;
	kmn_keyfile_free(s->file);
	kmn_card_close(s->card);
	free(s);
}

const struct kmn_evidence_key *
kmn_signer_key(const struct kmn_signer *s)
{
	return &s->key;
}

/* ---- signing ----------------------------------------------------------------------------------------------------- */

static kmn_err
sign_by_card(struct kmn_signer *s, const char *bytes, size_t len, char **note_out)
{
	uint8_t sig[KMN_NOTE_SIG_MAX_BYTES];
	struct kmn_evidence_said said;
	struct kmn_note note;
	size_t text_len = kmn_note_parse(bytes, len, &note, NULL) == KMN_OK ? note.text_len : len, sig_len, note_len;
	char *line = NULL;
	kmn_err e;

	if ((e = kmn_card_sign(s->card, s->key.kind, bytes, text_len, sig, &sig_len)) != KMN_OK)
		return e;
	if ((e = kmn_evidence_verify(bytes, text_len, sig, sig_len, &s->key, NULL, 0, &said, NULL)) != KMN_OK) {
		kmn_fail("what the card made is no signature of its key: nothing was signed");
		return e;
	}
	if ((e = kmn_note_line_make(s->key.name, s->key.id, sig, sig_len, &line)) == KMN_OK)
		e = kmn_note_add_line(bytes, len, line, note_out, &note_len);
	free(line);
	return e;
}

kmn_err
kmn_signer_sign(struct kmn_signer *s, const char *bytes, size_t len, char **note_out)
{
	*note_out = NULL;
	return s->card != NULL ? sign_by_card(s, bytes, len, note_out)
			       : kmn_keyfile_sign(s->file, bytes, len, note_out);
}

const struct kmn_keyfile *
kmn_signer_keyfile(const struct kmn_signer *signer)
{
	return signer->file;
}

bool
kmn_signer_sign_file(struct kmn_signer *signer, const char *path, const char *bytes, size_t len)
{
	char *note = NULL;
	kmn_err e = kmn_signer_sign(signer, bytes, len, &note);

	if (e == KMN_OK)
		e = kmn_file_replace(path, note, strlen(note), 0644);
	if (e != KMN_OK)
		kmn_fail("%s was not signed: %s", path, kmn_err_text(e));
	free(note);
	return e == KMN_OK;
}
