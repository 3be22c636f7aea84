/* V3 and V4: heads that records state, and heads that the log key signed, against the records. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

struct heads {
	const struct kmn_checking *checking;
	char *checkpoint; /* read before the segments: those may grow meanwhile, it may not */
	size_t len;
	kmn_err e; /* of reading it */
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct heads *heads = calloc(1, sizeof(*heads));

	if ((*state_out = heads) == NULL)
		return KMN_E_NO_MEMORY;
	heads->checking = checking;
	heads->e = kmn_store_read(
	    checking->settings->store, "checkpoint", KMN_NOTE_MAX_BYTES, &heads->checkpoint, &heads->len);
	return KMN_OK;
}

static void
check_genesis(struct heads *heads, const struct kmn_record *record, const struct kmn_place *place)
{
	char vkey[KMN_VKEY_MAX_BYTES];
	const char *text;

	kmn_vkey_format(&heads->checking->settings->trust->log, vkey);
	if (!kmn_json_get_text(record->body, "vkey", &text) || strcmp(text, vkey) != 0)
		kmn_checker_say(
		    heads->checking, KMN_V4, KMN_FINDING, place, "genesis names another log key than the trust file");
	if (!kmn_json_get_text(record->body, "suite", &text) || strcmp(text, "K1") != 0)
		kmn_checker_say(heads->checking, KMN_V2, KMN_FINDING, place, "genesis names a suite other than K1");
}

/* What a recovery moved aside, where it is still kept: the bytes that it describes. */
static void
check_dropped(struct heads *heads, const struct kmn_record *record, const struct kmn_place *place)
{
	const json_t *dropped = json_object_get(record->body, "dropped");
	uint8_t said[KMN_HASH_BYTES], is[KMN_HASH_BYTES];
	const char *name;
	char *bytes;
	size_t len;
	kmn_err e;

	if (dropped == NULL)
		return;
	if (!kmn_json_get_text(dropped, "quarantine", &name) || strncmp(name, "quarantine/", 11) != 0 ||
	    strchr(name + 11, '/') != NULL || !kmn_json_get_b64(dropped, "sha256", said, sizeof(said))) {
		kmn_checker_say(
		    heads->checking, KMN_V2, KMN_FINDING, place, "dropped does not say which bytes are where");
		return;
	}
	e = kmn_store_read(heads->checking->settings->store, name, SIZE_MAX / 2, &bytes, &len);
	if (e == KMN_E_NOT_FOUND)
		return;
	if (e == KMN_OK)
		kmn_sha256(bytes, len, is);
	if (e != KMN_OK || memcmp(said, is, sizeof(is)) != 0) {
		struct kmn_place kept = {name, 0, record->i};

		kmn_checker_say(
		    heads->checking, KMN_V1, KMN_FINDING, &kept, "not the bytes that the recovery describes");
	}
	free(bytes);
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct heads *heads = state;
	struct kmn_head head = {0};
	const char *note;

	switch (record->kind) {
	case KMN_R_GENESIS:
		check_genesis(heads, record, place);
		return KMN_OK;
	case KMN_R_CHECKPOINT:
	case KMN_R_ANCHOR:
		if (!kmn_json_get_text(record->body, "note", &note) ||
		    !kmn_checker_checkpoint(heads->checking, KMN_V3, place, note, strlen(note), &head))
			return KMN_OK;
		break;
	case KMN_R_COSIGN:
		if (!kmn_json_get_number(record->body, "size", &head.size) ||
		    !kmn_json_get_b64(record->body, "root", head.root, KMN_HASH_BYTES))
			return KMN_OK;
		break;
	default: /* recovery */
		check_dropped(heads, record, place);
		if (!kmn_head_get(record->body, "last_commit", &head)) {
			kmn_checker_say(
			    heads->checking, KMN_V3, KMN_FINDING, place, "last_commit is not a size and a root");
			return KMN_OK;
		}
		break;
	}
	(void)kmn_checker_head(heads->checking, place, &head);
	return KMN_OK;
}

static void
check_signed(struct heads *heads, const char *name, const char *note, size_t len)
{
	struct kmn_place whole = {name, 0, UINT64_MAX}, root = {name, 2, UINT64_MAX};
	struct kmn_verify_report *report = heads->checking->report;
	struct kmn_head head;

	if (!kmn_checker_checkpoint(heads->checking, KMN_V4, &whole, note, len, &head))
		return;
	(void)kmn_checker_head(heads->checking, &root, &head);
	if (head.size > report->signed_size)
		report->signed_size = head.size;
}

/* A signed head that the segments must reach. Without any, nobody can say that nothing was cut off. */
static kmn_err
end(void *state)
{
	struct heads *heads = state;
	const struct kmn_checking *checking = heads->checking;
	const struct kmn_verify_settings *settings = checking->settings;
	struct kmn_place checkpoint = {"checkpoint", 0, UINT64_MAX};

	if (heads->e == KMN_OK)
		check_signed(heads, "checkpoint", heads->checkpoint, heads->len);
	else if (heads->e != KMN_E_NOT_FOUND)
		kmn_checker_say(checking, KMN_V4, KMN_FINDING, &checkpoint, "%s", kmn_err_text(heads->e));
	if (settings->head != NULL)
		check_signed(heads, "--head", settings->head, settings->head_len);
	else if (heads->e == KMN_E_NOT_FOUND)
		kmn_checker_say(checking, KMN_V4, KMN_MISSING, &checkpoint,
		    "not there, and no --head NOTE was given: nothing says how long the ledger must be");
	checking->report->done[KMN_V4] = true;
	return KMN_OK;
}

static void
clear(void *state)
{
	struct heads *heads = state;

	free(heads->checkpoint);
	free(heads);
}

#define KINDS (KMN_KIND(GENESIS) | KMN_KIND(CHECKPOINT) | KMN_KIND(ANCHOR) | KMN_KIND(COSIGN) | KMN_KIND(RECOVERY))

const struct kmn_checker kmn_heads_checker = {"heads", KINDS, KINDS, begin, take_record, end, clear};
