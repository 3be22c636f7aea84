/* What belongs into a bundle, and putting it there. */
#include "config.h"

#include "kanmon/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATER 3u /* the anchor and two instructions, which are told last */

struct kmn_gather *
kmn_gather_new(uint64_t size)
{
	struct kmn_gather *g = calloc(1, sizeof(*g));

	if (g == NULL || (g->cosigns = json_array()) == NULL) {
		free(g);
		return NULL;
	}
	g->size = size;
	g->window = g->last = g->anchor = KMN_GATHER_NONE;
	return g;
}

void
kmn_gather_free(struct kmn_gather *g)
{
	if (g != NULL)
		json_decref(g->cosigns);
	free(g);
}

/* ---- which records ---------------------------------------------------------------------------------------------- */

bool
kmn_gather_takes(enum kmn_record_kind kind)
{
	switch (kind) {
	case KMN_R_GENESIS:
	case KMN_R_POLICY:
	case KMN_R_INTENT:
	case KMN_R_ATTACHMENT:
	case KMN_R_STATEMENT:
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
	case KMN_R_DECISION:
	case KMN_R_RESULT:
	case KMN_R_OP:
	case KMN_R_REDELIVER:
	case KMN_R_REDELIVERY:
	case KMN_R_ACTION:
	case KMN_R_ANCHOR:
	case KMN_R_SESSION: /* of a login that the request let in */
		return true;
	default:
		return false;
	}
}

kmn_err
kmn_gather_subject(const struct kmn_record *record, uint64_t *next_out)
{
	static const char *const members[] = {"request", "subject", "result"};
	struct kmn_ref ref;

	*next_out = record->i;
	if (record->kind == KMN_R_INTENT || record->kind == KMN_R_OP)
		return KMN_OK;
	for (size_t n = 0; n < KMN_COUNT_OF(members); n++)
		if (kmn_ref_get(record->body, members[n], &ref) && ref.i < record->i) {
			*next_out = ref.i;
			return KMN_OK;
		}
	return KMN_E_NOT_FOUND;
}

static bool
is_part(const struct kmn_gather *g, uint64_t index)
{
	for (size_t n = 0; n < g->count; n++)
		if (g->part[n] == index)
			return true;
	return false;
}

static bool
is_about(const struct kmn_gather *g, const struct kmn_record *record)
{
	uint64_t window = g->window != KMN_GATHER_NONE && record->i < g->decision ? g->window : g->request;
	struct kmn_ref ref;

	switch (record->kind) {
	case KMN_R_INTENT:
	case KMN_R_OP:
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

void
kmn_gather_window(struct kmn_gather *g, const struct kmn_record *record)
{
	struct kmn_ref ref;

	if (record->kind == KMN_R_DECISION && kmn_ref_get(record->body, "request", &ref) && ref.i == g->request &&
	    kmn_ref_get(record->body, "window", &ref)) {
		g->window = ref.i;
		g->decision = record->i;
	}
}

/* Where it is counted of what clients, pages and terminals can say again and again; NULL: it says what decides. */
static size_t *
count_of(struct kmn_gather *g, const struct kmn_record *record)
{
	const char *check;

	switch (record->kind) {
	case KMN_R_REDELIVER:
	case KMN_R_REDELIVERY:
		return &g->said[0];
	case KMN_R_ACTION:
		return &g->said[1];
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
		return kmn_json_get_text(record->body, "check", &check) && strcmp(check, "ok") == 0 ? NULL
												    : &g->said[2];
	default:
		return NULL;
	}
}

kmn_err
kmn_gather_record(struct kmn_gather *g, const struct kmn_record *record)
{
	bool about = is_about(g, record);
	size_t *said = about ? count_of(g, record) : NULL;
	uint64_t size = 0, named;

	if (record->kind == KMN_R_COSIGN && kmn_json_get_number(record->body, "size", &size) && size == g->size)
		return json_array_append(g->cosigns, (json_t *)(uintptr_t)record->body) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
	if (record->i >= g->size)
		return KMN_OK;
	if (record->kind == KMN_R_ANCHOR && kmn_json_get_number(record->body, "size", &size) &&
	    g->anchor == KMN_GATHER_NONE && g->last != KMN_GATHER_NONE && size > g->last)
		g->anchor = record->i;
	if (!about && record->kind != KMN_R_GENESIS && record->kind != KMN_R_POLICY)
		return KMN_OK;
	if (said != NULL && ++*said > KMN_GATHER_SAID_MAX)
		return KMN_OK;
	if (g->count == KMN_BUNDLE_RECORDS_MAX - LATER)
		return KMN_E_TOO_BIG;
	if (record->kind == KMN_R_INTENT && kmn_instruction_named(record->body, &named) &&
	    g->instructions < KMN_COUNT_OF(g->instruction))
		g->instruction[g->instructions++] = named;
	g->part[g->count++] = record->i;
	if (about) {
		g->last = record->i;
		g->anchor = KMN_GATHER_NONE; /* one that covers this one too */
	}
	return KMN_OK;
}

/* ---- putting them together -------------------------------------------------------------------------------------- */

/* A blob that a record names, if it is kept: what is not is for the verifier to say. */
static kmn_err
put_blob(struct kmn_bundle *bundle, const struct kmn_gather_source *s, const json_t *object, const char *name)
{
	uint8_t sha256[KMN_HASH_BYTES], *bytes;
	size_t len;
	kmn_err e;

	if (!kmn_json_get_b64(object, name, sha256, sizeof(sha256)))
		return KMN_OK;
	if ((e = s->blob(s->cookie, sha256, &bytes, &len)) != KMN_OK)
		return e == KMN_E_NOT_FOUND ? KMN_OK : e;
	e = kmn_bundle_put_blob(bundle, bytes, len);
	free(bytes);
	return e;
}

static kmn_err
put_consistency(struct kmn_bundle *bundle, const struct kmn_gather_source *s, uint64_t from, uint64_t to)
{
	struct kmn_path path;
	kmn_err e;

	if (from == 0 || from > to)
		return KMN_OK;
	e = s->consistency(s->cookie, from, to, &path);
	return e == KMN_OK ? kmn_bundle_put_consistency(bundle, from, &path) : e;
}

/* What a record needs beside it: bytes that it names, proof of heads that it states. */
static kmn_err
put_beside(struct kmn_bundle *bundle, const struct kmn_gather_source *s, const struct kmn_record *record, uint64_t size)
{
	const json_t *body = record->body;
	struct kmn_head head;
	uint64_t covered;
	kmn_err e = KMN_OK;

	if (record->kind == KMN_R_OP && json_object_get(body, "norm") == NULL)
		return KMN_OK; /* nothing of it can be verified again */
	switch (record->kind) {
	case KMN_R_INTENT:
	case KMN_R_OP:
	case KMN_R_ATTACHMENT:
		if ((e = put_blob(bundle, s, json_object_get(body, "in"), "sha256")) == KMN_OK &&
		    (e = put_blob(bundle, s, json_object_get(body, "econtent"), "sha256")) == KMN_OK)
			e = put_blob(bundle, s, json_object_get(body, "key"), "spki_sha256");
		return e;
	case KMN_R_STATEMENT:
		return kmn_head_get(body, "head", &head) ? put_consistency(bundle, s, head.size, size) : KMN_OK;
	case KMN_R_ANCHOR:
		if (kmn_json_get_number(body, "size", &covered) &&
		    (e = put_consistency(bundle, s, covered, size)) == KMN_OK)
			e = put_blob(bundle, s, body, "chain_sha256");
		return e;
	default:
		return KMN_OK;
	}
}

static kmn_err
put_record(struct kmn_bundle *bundle, const struct kmn_gather_source *s, uint64_t index, uint64_t size)
{
	struct kmn_record record = {0};
	struct kmn_path path;
	char *line = NULL;
	size_t len;
	kmn_err e;

	if ((e = s->line(s->cookie, index, &line, &len)) == KMN_OK &&
	    (e = s->inclusion(s->cookie, index, size, &path)) == KMN_OK &&
	    (e = kmn_bundle_put_record(bundle, index, line, len, &path)) == KMN_OK &&
	    (e = kmn_record_parse(line, len, &record, NULL)) == KMN_OK)
		e = put_beside(bundle, s, &record, size);
	kmn_record_clear(&record);
	free(line);
	return e;
}

/* The checkpoint with every cosignature that the ledger holds of it. */
static kmn_err
put_note(struct kmn_bundle *bundle, const char *note, const json_t *cosigns)
{
	FILE *out = open_memstream(&bundle->note, &bundle->note_len);
	unsigned lines = 0;

	if (out == NULL)
		return KMN_E_NO_MEMORY;
	(void)fputs(note, out);
	for (size_t n = 0; n < json_array_size(cosigns); n++) {
		const json_t *list = json_object_get(json_array_get(cosigns, n), "lines");

		for (size_t m = 0; m < json_array_size(list); m++) {
			const char *line = json_string_value(json_array_get(list, m));

			if (line == NULL || strstr(note, line) != NULL || ++lines > KMN_NOTE_LINES_MAX / 2)
				continue;
			(void)fprintf(out, "%s\n", line);
		}
	}
	return fclose(out) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

/* Stands before the call that names it; what is no instruction does not belong here, whatever the call says. */
static kmn_err
add_instruction(struct kmn_gather *g, const struct kmn_gather_source *s, uint64_t index)
{
	struct kmn_record record = {0};
	const char *what = "";
	char *line = NULL;
	size_t len;
	kmn_err e;

	if (index >= g->request || is_part(g, index))
		return KMN_OK;
	if ((e = s->line(s->cookie, index, &line, &len)) == KMN_OK)
		e = kmn_record_parse(line, len, &record, NULL);
	if (e == KMN_OK && record.kind == KMN_R_ACTION && kmn_json_get_text(record.body, "what", &what) &&
	    strcmp(what, "instruct") == 0)
		g->part[g->count++] = index;
	kmn_record_clear(&record);
	free(line);
	return e;
}

static int
by_index(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

kmn_err
kmn_gather_bundle(struct kmn_gather *g, const struct kmn_gather_source *source, struct kmn_bundle **bundle_out)
{
	struct kmn_bundle *bundle = kmn_bundle_new();
	kmn_err e = KMN_OK;

	*bundle_out = NULL;
	if (bundle == NULL)
		return KMN_E_NO_MEMORY;
	(void)snprintf(bundle->origin, sizeof(bundle->origin), "%s", source->origin);
	bundle->request = g->request;
	if (g->anchor != KMN_GATHER_NONE)
		g->part[g->count++] = g->anchor;
	for (size_t n = 0; e == KMN_OK && n < g->instructions; n++)
		e = add_instruction(g, source, g->instruction[n]);
	qsort(g->part, g->count, sizeof(*g->part), by_index);
	for (size_t n = 0; e == KMN_OK && n < g->count; n++)
		e = put_record(bundle, source, g->part[n], g->size);
	if (e == KMN_OK)
		e = put_note(bundle, source->note, g->cosigns);
	if (e == KMN_OK)
		*bundle_out = bundle;
	else
		kmn_bundle_free(bundle);
	return e;
}
