/* One ledger after another: what `closed` and genesis say of each other. */
#include "config.h"

#include <string.h>

#include "kanmon/succession.h"
#include "kanmon/verify.h"

json_t *
kmn_successor_body(const struct kmn_successor *successor)
{
	char vkey[KMN_VKEY_MAX_BYTES];

	kmn_vkey_format(&successor->log, vkey);
	return json_pack("{s:{s:s, s:s, s:o}}", "successor", "origin", successor->origin, "vkey", vkey, "policy_sha256",
	    kmn_json_b64(successor->policy_sha256, KMN_HASH_BYTES));
}

bool
kmn_successor_read(const json_t *object, struct kmn_successor *out)
{
	const char *origin, *vkey;

	*out = (struct kmn_successor){0};
	if (!kmn_json_get_text(object, "origin", &origin) || strlen(origin) > KMN_ORIGIN_MAX_BYTES ||
	    !kmn_json_get_text(object, "vkey", &vkey) || kmn_vkey_parse(vkey, strlen(vkey), &out->log) != KMN_OK ||
	    out->log.type != KMN_NOTE_ED25519 || strcmp(out->log.name, origin) != 0 ||
	    !kmn_json_get_b64(object, "policy_sha256", out->policy_sha256, KMN_HASH_BYTES)) {
		*out = (struct kmn_successor){0};
		return false;
	}
	memcpy(out->origin, origin, strlen(origin) + 1);
	out->there = true;
	return true;
}

json_t *
kmn_predecessor_body(const struct kmn_predecessor *predecessor, const char *note)
{
	char vkey[KMN_VKEY_MAX_BYTES];

	kmn_vkey_format(&predecessor->log, vkey);
	return json_pack("{s:s, s:I, s:o, s:s, s:s}", "origin", predecessor->origin, "size",
	    (json_int_t)predecessor->head.size, "root", kmn_json_b64(predecessor->head.root, KMN_HASH_BYTES), "note",
	    note, "vkey", vkey);
}

bool
kmn_predecessor_signed(const struct kmn_predecessor *predecessor, const char *text)
{
	struct kmn_note note;
	struct kmn_head head;
	size_t count;
	bool verified;

	return kmn_note_parse(text, strlen(text), &note, NULL) == KMN_OK &&
	       kmn_note_verify(&note, &predecessor->log, 1, &verified, &count, NULL) == KMN_OK && count == 1 &&
	       kmn_checkpoint_parse(&note, predecessor->origin, &head, NULL) == KMN_OK &&
	       head.size == predecessor->head.size && memcmp(head.root, predecessor->head.root, KMN_HASH_BYTES) == 0;
}

bool
kmn_predecessor_read(const json_t *object, struct kmn_predecessor *out)
{
	const char *origin, *vkey, *note;

	*out = (struct kmn_predecessor){0};
	if (!kmn_json_get_text(object, "origin", &origin) || strlen(origin) > KMN_ORIGIN_MAX_BYTES ||
	    !kmn_json_get_number(object, "size", &out->head.size) ||
	    !kmn_json_get_b64(object, "root", out->head.root, KMN_HASH_BYTES) ||
	    !kmn_json_get_text(object, "note", &note))
		return false;
	memcpy(out->origin, origin, strlen(origin) + 1);
	if (json_object_get(object, "vkey") == NULL) /* written before there was such a member */
		return true;
	return kmn_json_get_text(object, "vkey", &vkey) && kmn_vkey_parse(vkey, strlen(vkey), &out->log) == KMN_OK &&
	       out->log.type == KMN_NOTE_ED25519 && kmn_predecessor_signed(out, note);
}

void
kmn_trust_succeed(struct kmn_trust *trust, const struct kmn_successor *successor)
{
	memcpy(trust->origin, successor->origin, sizeof(trust->origin));
	memcpy(trust->policy_sha256, successor->policy_sha256, sizeof(trust->policy_sha256));
	trust->log = successor->log;
}
