#include "config.h"

#include "tools/kanmon/enrol.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/files.h"
#include "tools/kanmon/terminal.h"

#define REGISTRATION_MAX_BYTES 65536

/* A text that is nothing else: no approval, no policy, no login. */
static const char probe[] = "kanmon/possession/v1\nThe key of this card signs for a custodian.\n";

kmn_err
kmn_enrol_card(const char *name, const struct kmn_card_place *place, const char *pin_file, bool pkcs1,
    struct kmn_evidence_key *key_out)
{
	uint8_t sig[KMN_NOTE_SIG_MAX_BYTES];
	struct kmn_evidence_said said;
	struct kmn_card *card = NULL;
	struct kmn_why why = {""};
	enum kmn_evidence_kind kind;
	const uint8_t *spki;
	size_t len;
	kmn_err e;

	if ((e = kmn_card_open(place, pin_file, &card)) != KMN_OK || (e = kmn_card_kind(card, pkcs1, &kind)) != KMN_OK)
		goto done;
	spki = kmn_card_spki(card, &len);
	if ((e = kmn_evidence_key_make(name, kind, spki, len, key_out, &why)) != KMN_OK) {
		kmn_fail("the card's key: %s", why.text);
		goto done;
	}
	if ((e = kmn_card_sign(card, kind, probe, sizeof(probe) - 1, sig, &len)) == KMN_OK &&
	    (e = kmn_evidence_verify(probe, sizeof(probe) - 1, sig, len, key_out, NULL, 0, &said, &why)) != KMN_OK)
		kmn_fail("the card's key signs, and what it signs does not verify: %s", why.text);
done:
	kmn_card_close(card);
	return e;
}

/* base64url of a member of "response"; free(). */
static kmn_err
read_member(const json_t *registration, const char *name, uint8_t **bytes_out, size_t *len_out)
{
	const char *text = json_string_value(json_object_get(json_object_get(registration, "response"), name));
	size_t room = text == NULL ? 0 : strlen(text);

	*bytes_out = NULL;
	if (text == NULL || (*bytes_out = malloc(room + 1)) == NULL)
		return text == NULL ? KMN_E_MALFORMED : KMN_E_NO_MEMORY;
	if (sodium_base642bin(
		*bytes_out, room, text, room, NULL, len_out, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0)
		return KMN_OK;
	free(*bytes_out);
	*bytes_out = NULL;
	return KMN_E_MALFORMED;
}

/* The registration was made there: what the browser wrote begins so, but for its challenge. */
static bool
is_made_at(const uint8_t *client, size_t len, const char *origin)
{
	static const char head[] = "{\"type\":\"webauthn.create\",\"challenge\":\"";
	char after[512];
	int n = snprintf(after, sizeof(after), "\",\"origin\":\"%s\",\"crossOrigin\":false", origin);
	size_t at = sizeof(head) - 1;

	if (n < 0 || (size_t)n >= sizeof(after) || len < at || memcmp(client, head, at) != 0)
		return false;
	while (at < len && client[at] != '"')
		at++;
	return len - at > (size_t)n && memcmp(client + at, after, (size_t)n) == 0 &&
	       (client[at + (size_t)n] == '}' || client[at + (size_t)n] == ',');
}

static kmn_err
take_registration(const json_t *registration, const char *name, const char *origin, const char *rp_id,
    struct kmn_evidence_key *key_out, struct kmn_why *why)
{
	uint8_t *data = NULL, *client = NULL;
	size_t data_len = 0, client_len = 0;
	kmn_err e;

	kmn_why_set(why, "it has no response.authenticatorData and response.clientDataJSON in base64url");
	if ((e = read_member(registration, "authenticatorData", &data, &data_len)) != KMN_OK ||
	    (e = read_member(registration, "clientDataJSON", &client, &client_len)) != KMN_OK)
		goto done;
	if (!is_made_at(client, client_len, origin)) {
		kmn_why_set(why, "it was not made at %s", origin);
		e = KMN_E_MALFORMED;
	} else {
		e = kmn_evidence_registration(name, rp_id, data, data_len, key_out, why);
	}
done:
	free(data);
	free(client);
	return e;
}

kmn_err
kmn_enrol_webauthn(
    const char *name, const char *file, const char *origin, const char *rp_id, struct kmn_evidence_key *key_out)
{
	struct kmn_why why = {"it is no JSON"};
	json_t *registration = NULL;
	char *text = NULL;
	size_t len;
	kmn_err e;

	if ((e = kmn_file_read_or_say(file, REGISTRATION_MAX_BYTES, &text, &len)) != KMN_OK)
		return e;
	registration = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	e = registration == NULL ? KMN_E_MALFORMED
				 : take_registration(registration, name, origin, rp_id, key_out, &why);
	if (e != KMN_OK)
		kmn_fail("%s: %s", file, why.text);
	json_decref(registration);
	free(text);
	return e;
}
