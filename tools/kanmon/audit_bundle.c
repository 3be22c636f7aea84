/* kanmon audit bundle: one request's evidence in one file, and what such a file is worth. */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/bundle.h"
#include "kanmon/log.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_bundle_judge.h"
#include "tools/kanmon/audit_proof.h"
#include "tools/kanmon/options.h"

#define PARTS_MAX KMN_BUNDLE_RECORDS_MAX
#define NO_RECORD UINT64_MAX

/* What of a ledger belongs to one request. */
struct gathering {
	struct kmn_store *store;
	uint64_t request;
	uint64_t window;   /* the request of the window that let it run; NO_RECORD: none did */
	uint64_t decision; /* that says so: of the window, only what came before belongs here */
	uint64_t part[PARTS_MAX];
	size_t count;
	uint64_t last;   /* of what is about the request */
	uint64_t anchor; /* the first one that covers all of it; NO_RECORD: none */
	json_t *cosigns; /* bodies of `cosign` records that may be of the checkpoint's size */
	uint64_t size;   /* of the checkpoint */
};

/* Which record a record is about: *to_out, or itself if it is an intent. */
static kmn_err
subject_of(struct kmn_store *store, uint64_t index, uint64_t *to_out, struct kmn_why *why)
{
	static const char *const members[] = {"request", "subject", "result"};
	struct kmn_record record = {0};
	struct kmn_ref ref;
	bool found = false;
	char *line;
	size_t len;
	kmn_err e = kmn_store_line(store, index, &line, &len);

	if (e == KMN_OK)
		e = kmn_record_parse(line, len, &record, why);
	*to_out = index;
	if (e == KMN_OK && record.kind != KMN_R_INTENT) {
		for (size_t n = 0; !found && n < KMN_COUNT_OF(members); n++)
			found = kmn_ref_get(record.body, members[n], &ref);
		if (found)
			*to_out = ref.i;
		else
			e = KMN_E_NOT_FOUND;
	}
	kmn_record_clear(&record);
	free(line);
	return e;
}

/* An answer given twice is about a result, and that about a request. */
static kmn_err
request_of(struct kmn_store *store, uint64_t index, uint64_t *request_out, struct kmn_why *why)
{
	uint64_t at = index, to;
	kmn_err e;

	for (unsigned steps = 0; steps < 4; steps++, at = to) {
		if ((e = subject_of(store, at, &to, why)) != KMN_OK) {
			if (e == KMN_E_NOT_FOUND)
				kmn_why_set(why, "record %" PRIu64 " is not there, or about no request", index);
			return e;
		}
		*request_out = to;
		if (to == at)
			return KMN_OK;
	}
	kmn_why_set(why, "record %" PRIu64 " is about no request", index);
	return KMN_E_NOT_FOUND;
}

static bool
is_part(const struct gathering *g, uint64_t index)
{
	for (size_t n = 0; n < g->count; n++)
		if (g->part[n] == index)
			return true;
	return false;
}

static bool
is_about(const struct gathering *g, const struct kmn_record *record)
{
	uint64_t window = g->window != NO_RECORD && record->i < g->decision ? g->window : g->request;
	struct kmn_ref ref;

	switch (record->kind) {
	case KMN_R_INTENT:
		return record->i == g->request || record->i == window;
	case KMN_R_REDELIVER:
	case KMN_R_REDELIVERY:
		return kmn_ref_get(record->body, "result", &ref) && is_part(g, ref.i);
	case KMN_R_ACTION:
		return kmn_ref_get(record->body, "subject", &ref) && (ref.i == g->request || ref.i == window);
	default:
		return kmn_ref_get(record->body, "request", &ref) && (ref.i == g->request || ref.i == window);
	}
}

/* Which window a decision about the request names. */
static kmn_err
find_window(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct gathering *g = cookie;
	struct kmn_ref ref;

	(void)place;
	if (record->kind == KMN_R_DECISION && kmn_ref_get(record->body, "request", &ref) && ref.i == g->request &&
	    kmn_ref_get(record->body, "window", &ref)) {
		g->window = ref.i;
		g->decision = record->i;
	}
	return KMN_OK;
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct gathering *g = cookie;
	uint64_t size = 0;
	bool about = is_about(g, record);

	(void)place;
	if (record->kind == KMN_R_COSIGN && kmn_json_get_number(record->body, "size", &size) && size == g->size)
		return json_array_append(g->cosigns, (json_t *)(uintptr_t)record->body) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
	if (record->i >= g->size)
		return KMN_OK;
	if (record->kind == KMN_R_ANCHOR && kmn_json_get_number(record->body, "size", &size) &&
	    g->anchor == NO_RECORD && g->last != NO_RECORD && size > g->last)
		g->anchor = record->i;
	if (!about && record->kind != KMN_R_GENESIS && record->kind != KMN_R_POLICY)
		return KMN_OK;
	if (g->count == PARTS_MAX - 1)
		return KMN_E_TOO_BIG;
	g->part[g->count++] = record->i;
	if (about) {
		g->last = record->i;
		g->anchor = NO_RECORD; /* one that covers this one too */
	}
	return KMN_OK;
}

/* A blob that a record names, if it is kept: what is not is for the verifier to say. */
static kmn_err
put_blob(struct kmn_bundle *bundle, struct kmn_store *store, const json_t *object, const char *name)
{
	uint8_t sha256[KMN_HASH_BYTES], *bytes;
	size_t len;
	kmn_err e;

	if (!kmn_json_get_b64(object, name, sha256, sizeof(sha256)))
		return KMN_OK;
	if ((e = kmn_blob_read(store, sha256, &bytes, &len)) != KMN_OK)
		return e == KMN_E_NOT_FOUND ? KMN_OK : e;
	e = kmn_bundle_put_blob(bundle, bytes, len);
	free(bytes);
	return e;
}

static kmn_err
put_consistency(struct kmn_bundle *bundle, const struct kmn_audit_proof *proof, uint64_t size)
{
	struct kmn_path path;
	kmn_err e;

	if (size == 0 || size > proof->head.size)
		return KMN_OK;
	e = kmn_tiles_consistency(proof->tiles, size, proof->head.size, &path);
	return e == KMN_OK ? kmn_bundle_put_consistency(bundle, size, &path) : e;
}

/* What a record needs beside it: bytes that it names, proof of heads that it states. */
static kmn_err
put_beside(struct kmn_bundle *bundle, struct kmn_store *store, const struct kmn_audit_proof *proof,
    const struct kmn_record *record)
{
	struct kmn_head head;
	uint64_t size;
	kmn_err e = KMN_OK;

	if ((record->kind == KMN_R_INTENT || record->kind == KMN_R_ATTACHMENT) &&
	    (e = put_blob(bundle, store, json_object_get(record->body, "in"), "sha256")) == KMN_OK &&
	    (e = put_blob(bundle, store, json_object_get(record->body, "econtent"), "sha256")) == KMN_OK)
		e = put_blob(bundle, store, json_object_get(record->body, "key"), "spki_sha256");
	else if (record->kind == KMN_R_STATEMENT && kmn_head_get(record->body, "head", &head))
		e = put_consistency(bundle, proof, head.size);
	else if (record->kind == KMN_R_ANCHOR && kmn_json_get_number(record->body, "size", &size) &&
		 (e = put_consistency(bundle, proof, size)) == KMN_OK)
		e = put_blob(bundle, store, record->body, "chain_sha256");
	return e;
}

static kmn_err
put_record(struct kmn_bundle *bundle, struct kmn_store *store, const struct kmn_audit_proof *proof, uint64_t index)
{
	struct kmn_record record = {0};
	struct kmn_path path;
	char *line = NULL;
	size_t len;
	kmn_err e;

	if ((e = kmn_tiles_line(proof->tiles, index, &line, &len)) == KMN_OK &&
	    (e = kmn_tiles_inclusion(proof->tiles, index, proof->head.size, &path)) == KMN_OK &&
	    (e = kmn_bundle_put_record(bundle, index, line, len, &path)) == KMN_OK &&
	    (e = kmn_record_parse(line, len, &record, NULL)) == KMN_OK)
		e = put_beside(bundle, store, proof, &record);
	kmn_record_clear(&record);
	free(line);
	return e;
}

/* The checkpoint with every cosignature that the ledger holds of it. */
static kmn_err
put_note(struct kmn_bundle *bundle, const struct kmn_audit_proof *proof, const json_t *cosigns)
{
	FILE *out = open_memstream(&bundle->note, &bundle->note_len);
	unsigned lines = 0;

	if (out == NULL)
		return KMN_E_NO_MEMORY;
	(void)fputs(proof->note, out);
	for (size_t n = 0; n < json_array_size(cosigns); n++) {
		const json_t *list = json_object_get(json_array_get(cosigns, n), "lines");

		for (size_t m = 0; m < json_array_size(list); m++) {
			const char *line = json_string_value(json_array_get(list, m));

			if (line == NULL || strstr(proof->note, line) != NULL || ++lines > KMN_NOTE_LINES_MAX / 2)
				continue;
			(void)fprintf(out, "%s\n", line);
		}
	}
	return fclose(out) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

static kmn_err
make(struct gathering *g, uint64_t index, struct kmn_bundle *bundle, struct kmn_why *why)
{
	struct kmn_audit_proof proof;
	kmn_err e;

	if ((e = request_of(g->store, index, &g->request, why)) != KMN_OK ||
	    (e = kmn_audit_proof_open(g->store, index, &proof, why)) != KMN_OK)
		return e;
	g->size = proof.head.size;
	(void)snprintf(bundle->origin, sizeof(bundle->origin), "%s", proof.origin);
	bundle->request = g->request;
	g->window = NO_RECORD;
	if ((e = kmn_ledger_read(g->store, find_window, g, why)) == KMN_OK)
		e = kmn_ledger_read(g->store, each_record, g, why);
	if (e == KMN_OK && g->anchor != NO_RECORD)
		g->part[g->count++] = g->anchor;
	for (size_t n = 0; e == KMN_OK && n < g->count; n++)
		e = put_record(bundle, g->store, &proof, g->part[n]);
	if (e == KMN_OK)
		e = put_note(bundle, &proof, g->cosigns);
	kmn_audit_proof_clear(&proof);
	return e;
}

static int
complain(const char *path, kmn_err e, const struct kmn_why *why)
{
	if (e == KMN_OK)
		return KMN_AUDIT_VERIFIED;
	(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, why->text[0] == '\0' ? kmn_err_text(e) : why->text);
	return e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
}

int
kmn_cmd_audit_bundle(int argc, char **argv)
{
	struct gathering *g = calloc(1, sizeof(*g));
	struct kmn_bundle *bundle = kmn_bundle_new();
	struct kmn_why why = {""};
	const char *words[2];
	char *end, *text = NULL;
	uint64_t index;
	size_t len = 0;
	int parsed = kmn_options_parse(argc, argv, "audit bundle", NULL, 0, words, 2, 2);
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e = KMN_E_NO_MEMORY;

	if (parsed != KMN_GO_ON) {
		exit_code = parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
		goto done;
	}
	index = strtoull(words[1], &end, 10);
	if (words[1][0] < '0' || words[1][0] > '9' || *end != '\0') {
		(void)kmn_usage("audit bundle", "%s is not the index of a record", words[1]);
		goto done;
	}
	if (sodium_init() < 0 || g == NULL || bundle == NULL || kmn_audit_open(words[0], &g->store) != KMN_OK)
		goto done;
	g->last = g->anchor = NO_RECORD;
	if ((g->cosigns = json_array()) != NULL && (e = make(g, index, bundle, &why)) == KMN_OK &&
	    (e = kmn_bundle_format(bundle, &text, &len)) == KMN_OK && fwrite(text, 1, len, stdout) != len)
		e = KMN_E_IO;
	exit_code = complain(words[0], e, &why);
done:
	free(text);
	kmn_bundle_free(bundle);
	if (g != NULL) {
		json_decref(g->cosigns);
		kmn_store_files_free(g->store);
	}
	free(g);
	return exit_code;
}

int
kmn_cmd_audit_bundle_verify(int argc, char **argv)
{
	const char *trust_path = NULL, *words[1];
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("trust", "FILE", "what to hold the bundle against", &trust_path),
	    KMN_OPTION_JSON(&json),
	};
	struct kmn_bundle *bundle = NULL;
	struct kmn_trust *trust = calloc(1, sizeof(*trust));
	struct kmn_why why = {""};
	char *text = NULL, *file = NULL;
	size_t len, file_len;
	int parsed = kmn_options_parse(argc, argv, "audit bundle verify", options, KMN_COUNT_OF(options), words, 1, 1);
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e;

	if (parsed != KMN_GO_ON) {
		exit_code = parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
		goto done;
	}
	if (trust_path == NULL) {
		(void)kmn_usage(
		    "audit bundle verify", "bundle verify needs --trust FILE: without it nothing is proven");
		goto done;
	}
	if (trust == NULL || sodium_init() < 0 ||
	    kmn_audit_file(trust_path, KMN_TRUST_MAX_BYTES, &text, &len) != KMN_OK ||
	    kmn_audit_file(words[0], KMN_BUNDLE_MAX_BYTES, &file, &file_len) != KMN_OK)
		goto done;
	if ((e = kmn_trust_parse(text, len, trust, &why)) != KMN_OK) {
		exit_code = complain(trust_path, e, &why);
		goto done;
	}
	e = kmn_bundle_parse(file, file_len, &bundle, &why);
	if (e == KMN_OK)
		exit_code = kmn_bundle_judge(bundle, trust, stdout, json);
	else
		exit_code = complain(words[0], e == KMN_E_MALFORMED || e == KMN_E_TOO_BIG ? KMN_E_CORRUPT : e, &why);
done:
	kmn_bundle_free(bundle);
	free(trust);
	free(file);
	free(text);
	return exit_code;
}
