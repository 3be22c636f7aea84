/* One ledger after another: what `closed` and genesis say of each other. */
#include "config.h"

#include <string.h>

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
kmn_predecessor_body(const char *origin, const struct kmn_head *head, const char *note)
{
	return json_pack("{s:s, s:I, s:o, s:s}", "origin", origin, "size", (json_int_t)head->size, "root",
	    kmn_json_b64(head->root, KMN_HASH_BYTES), "note", note);
}

void
kmn_trust_succeed(struct kmn_trust *trust, const struct kmn_successor *successor)
{
	memcpy(trust->origin, successor->origin, sizeof(trust->origin));
	memcpy(trust->policy_sha256, successor->policy_sha256, sizeof(trust->policy_sha256));
	trust->log = successor->log;
}
