/*
 * The ledger as the console's pages read it: records, proofs, the checkpoint, blobs that records name, versions of the
 * policy. Only what is durable, and of each question no more than a bound.
 */
#include "config.h"

#include "server/keeper/admin.h"
#include "server/keeper/console.h"

#include <stdlib.h>
#include <string.h>

#define RECORDS_MAX_BYTES (512u << 10)
#define VERSIONS_MAX 200u

static json_t *
path_json(const struct kmn_path *path)
{
	json_t *list = json_array();

	for (size_t n = 0; n < path->count; n++)
		(void)json_array_append_new(list, kmn_json_b64(path->hash[n], KMN_HASH_BYTES));
	return list;
}

/* The size that a proof goes to; 0: the newest checkpoint's. False: it was refused. */
static bool
head_of(const struct kmn_ui_ask *ask, uint64_t size, struct kmn_head *head)
{
	struct kmn_head durable;
	kmn_err e = KMN_OK;

	kmn_log_durable(ask->keeper->log, &durable);
	*head = durable;
	if (size > durable.size)
		e = KMN_E_NOT_FOUND;
	else if (size != 0 && size != durable.size)
		e = kmn_log_head_at(ask->keeper->log, size, head);
	if (e != KMN_OK)
		kmn_ui_refuse(ask, e, "the ledger is not so long");
	return e == KMN_OK;
}

void
kmn_ui_checkpoint(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_head head;
	size_t len;
	char *note;

	if (!kmn_ui_read_all(ask, r))
		return;
	if (kmn_log_checkpoint(ask->keeper->log, &head, &note, &len) != KMN_OK) {
		kmn_ui_refuse(ask, KMN_E_LEDGER, "there is no checkpoint");
		return;
	}
	kmn_ui_answer(ask, json_pack("{s:s%, s:o}", "note", note, len, "vkey", kmn_ui_log_vkey(ask->keeper)));
	free(note);
}

json_t *
kmn_ui_log_vkey(const struct kmn_keeper *k)
{
	char vkey[KMN_VKEY_MAX_BYTES];

	kmn_vkey_format(kmn_log_vkey(k->log), vkey);
	return json_string(vkey);
}

void
kmn_ui_records(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_log *log = ask->keeper->log;
	uint64_t from = kmn_reader_u64(r);
	uint32_t count = kmn_reader_u32(r);
	struct kmn_head head;
	size_t len, bytes = 0;
	json_t *lines;
	char *line;

	if (!kmn_ui_read_all(ask, r))
		return;
	kmn_log_durable(log, &head);
	if (count > KMN_UI_RECORDS_MAX)
		count = KMN_UI_RECORDS_MAX;
	lines = json_array();
	for (uint64_t i = from; i < head.size && i - from < count && bytes < RECORDS_MAX_BYTES; i++) {
		if (kmn_log_line(log, i, &line, &len) != KMN_OK)
			break;
		(void)json_array_append_new(lines, json_stringn(line, len));
		bytes += len;
		free(line);
	}
	kmn_ui_answer(ask,
	    json_pack("{s:I, s:I, s:o}", "from", (json_int_t)from, "size", (json_int_t)head.size, "records", lines));
}

void
kmn_ui_proof(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	uint64_t index = kmn_reader_u64(r), size = kmn_reader_u64(r);
	struct kmn_head head;
	struct kmn_path path;

	if (!kmn_ui_read_all(ask, r) || !head_of(ask, size, &head))
		return;
	if (index >= head.size || kmn_log_inclusion(ask->keeper->log, index, head.size, &path) != KMN_OK)
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "that record is not in a tree of that size");
	else
		kmn_ui_answer(
		    ask, json_pack("{s:I, s:I, s:o, s:o}", "index", (json_int_t)index, "size", (json_int_t)head.size,
			     "root", kmn_json_b64(head.root, KMN_HASH_BYTES), "path", path_json(&path)));
}

void
kmn_ui_consistency(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	uint64_t from = kmn_reader_u64(r), to = kmn_reader_u64(r);
	struct kmn_head head;
	struct kmn_path path;

	if (!kmn_ui_read_all(ask, r) || !head_of(ask, to, &head))
		return;
	if (from == 0 || from > head.size || kmn_log_consistency(ask->keeper->log, from, head.size, &path) != KMN_OK)
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "there is no proof between trees of these sizes");
	else
		kmn_ui_answer(ask, json_pack("{s:I, s:I, s:o}", "from", (json_int_t)from, "to", (json_int_t)head.size,
				       "path", path_json(&path)));
}

/* ---- blobs ------------------------------------------------------------------------------------------------------- */

/* Does the record say this hash anywhere? Base64 of 32 bytes stands in a line for nothing else. */
static bool
names_hash(struct kmn_log *log, uint64_t i, const uint8_t sha256[KMN_HASH_BYTES])
{
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1], *line;
	struct kmn_head head;
	bool named;
	size_t len;

	kmn_log_durable(log, &head);
	if (i >= head.size || kmn_log_line(log, i, &line, &len) != KMN_OK)
		return false;
	kmn_b64(sha256, KMN_HASH_BYTES, b64);
	named = memmem(line, len, b64, strlen(b64)) != NULL;
	free(line);
	return named;
}

void
kmn_ui_blob(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_log *log = ask->keeper->log;
	uint8_t sha256[KMN_HASH_BYTES], *bytes;
	uint64_t record;
	size_t len;

	kmn_reader_raw(r, sha256, sizeof(sha256));
	record = kmn_reader_u64(r);
	if (!kmn_ui_read_all(ask, r))
		return;
	if (!names_hash(log, record, sha256) || kmn_log_blob_get(log, sha256, &bytes, &len) != KMN_OK) {
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "that record names no such bytes, or they were not kept");
		return;
	}
	kmn_ui_answer(ask,
	    json_pack("{s:o, s:o}", "sha256", kmn_json_b64(sha256, sizeof(sha256)), "bytes", kmn_json_b64(bytes, len)));
	free(bytes);
}

/* ---- versions of the policy ------------------------------------------------------------------------------------- */

static json_t *
versions_json(struct kmn_keeper *k)
{
	uint64_t last = kmn_policy_version(kmn_keeper_policy(k)), i;
	uint64_t first = last > VERSIONS_MAX ? last - VERSIONS_MAX + 1 : 1;
	json_t *versions = json_array();

	for (uint64_t version = first; version <= last; version++)
		if (kmn_quorum_policy_record(k->quorum, version, &i))
			(void)json_array_append_new(
			    versions, json_pack("{s:I, s:I}", "version", (json_int_t)version, "record", (json_int_t)i));
	return versions;
}

void
kmn_ui_policy(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	uint64_t version = kmn_reader_u64(r);
	json_t *note, *answer;

	if (!kmn_ui_read_all(ask, r))
		return;
	if (version == 0) {
		answer = kmn_policy_notes(k);
	} else if ((note = kmn_admin_policy_note(k, version)) != NULL) {
		answer = json_pack("{s:o}", "note", note);
	} else {
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "no such version of the policy");
		return;
	}
	(void)json_object_set_new(answer, "versions", versions_json(k));
	kmn_ui_answer(ask, answer);
}
