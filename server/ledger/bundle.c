#include "config.h"

#include "kanmon/bundle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_B64_BYTES KMN_B64_LEN(KMN_HASH_BYTES)

struct kmn_bundle *
kmn_bundle_new(void)
{
	return calloc(1, sizeof(struct kmn_bundle));
}

void
kmn_bundle_free(struct kmn_bundle *bundle)
{
	if (bundle == NULL)
		return;
	for (size_t n = 0; n < bundle->records; n++)
		free(bundle->record[n].line);
	for (size_t n = 0; n < bundle->blobs; n++)
		free(bundle->blob[n].bytes);
	free(bundle->note);
	free(bundle->record);
	free(bundle->consistency);
	free(bundle->blob);
	free(bundle);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/* Room for one more of `size` bytes at `at` of a list of `count`; the list moves up. */
static kmn_err
make_room(void **list, size_t *count, size_t size, size_t at, size_t max)
{
	char *grown;

	if (*count == max)
		return KMN_E_TOO_BIG;
	if ((grown = realloc(*list, (*count + 1) * size)) == NULL)
		return KMN_E_NO_MEMORY;
	memmove(grown + (at + 1) * size, grown + at * size, (*count - at) * size);
	memset(grown + at * size, 0, size);
	*list = grown;
	++*count;
	return KMN_OK;
}

kmn_err
kmn_bundle_put_record(
    struct kmn_bundle *bundle, uint64_t index, const char *line, size_t len, const struct kmn_path *path)
{
	void *list = bundle->record;
	size_t at = bundle->records;
	char *copy;
	kmn_err e;

	while (at > 0 && bundle->record[at - 1].index >= index)
		at--;
	if (at < bundle->records && bundle->record[at].index == index)
		return KMN_OK;
	if ((copy = malloc(len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	if ((e = make_room(&list, &bundle->records, sizeof(*bundle->record), at, KMN_BUNDLE_RECORDS_MAX)) != KMN_OK) {
		free(copy);
		return e;
	}
	bundle->record = list;
	memcpy(copy, line, len);
	copy[len] = '\0';
	bundle->record[at] = (struct kmn_bundle_record){.index = index, .line = copy, .len = len, .path = *path};
	return KMN_OK;
}

kmn_err
kmn_bundle_put_consistency(struct kmn_bundle *bundle, uint64_t size, const struct kmn_path *path)
{
	void *list = bundle->consistency;
	size_t at = bundle->consistencies;
	kmn_err e;

	while (at > 0 && bundle->consistency[at - 1].size >= size)
		at--;
	if (at < bundle->consistencies && bundle->consistency[at].size == size)
		return KMN_OK;
	e = make_room(&list, &bundle->consistencies, sizeof(*bundle->consistency), at, KMN_BUNDLE_CONSISTENCY_MAX);
	if (e != KMN_OK)
		return e;
	bundle->consistency = list;
	bundle->consistency[at] = (struct kmn_bundle_consistency){.size = size, .path = *path};
	return KMN_OK;
}

kmn_err
kmn_bundle_put_blob(struct kmn_bundle *bundle, const void *bytes, size_t len)
{
	struct kmn_bundle_blob blob = {.len = len};
	void *list = bundle->blob;
	size_t at = bundle->blobs;
	kmn_err e;

	kmn_sha256(bytes, len, blob.sha256);
	while (at > 0 && memcmp(bundle->blob[at - 1].sha256, blob.sha256, KMN_HASH_BYTES) >= 0)
		at--;
	if (at < bundle->blobs && memcmp(bundle->blob[at].sha256, blob.sha256, KMN_HASH_BYTES) == 0)
		return KMN_OK;
	if ((blob.bytes = malloc(len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	if ((e = make_room(&list, &bundle->blobs, sizeof(blob), at, KMN_BUNDLE_BLOBS_MAX)) != KMN_OK) {
		free(blob.bytes);
		return e;
	}
	memcpy(blob.bytes, bytes, len);
	bundle->blob = list;
	bundle->blob[at] = blob;
	return KMN_OK;
}

const struct kmn_bundle_record *
kmn_bundle_record(const struct kmn_bundle *bundle, uint64_t index)
{
	for (size_t n = 0; n < bundle->records; n++)
		if (bundle->record[n].index == index)
			return &bundle->record[n];
	return NULL;
}

const struct kmn_bundle_blob *
kmn_bundle_blob(const struct kmn_bundle *bundle, const uint8_t sha256[KMN_HASH_BYTES])
{
	for (size_t n = 0; n < bundle->blobs; n++)
		if (memcmp(bundle->blob[n].sha256, sha256, KMN_HASH_BYTES) == 0)
			return &bundle->blob[n];
	return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void
put_path(FILE *out, const struct kmn_path *path)
{
	char b64[HASH_B64_BYTES + 1];

	for (size_t n = 0; n < path->count; n++) {
		kmn_b64(path->hash[n], KMN_HASH_BYTES, b64);
		(void)fprintf(out, "%s\n", b64);
	}
}

static kmn_err
put_blob(FILE *out, const struct kmn_bundle_blob *blob)
{
	char *b64 = malloc(KMN_B64_LEN(blob->len) + 1);

	if (b64 == NULL)
		return KMN_E_NO_MEMORY;
	kmn_b64(blob->bytes, blob->len, b64);
	(void)fprintf(out, "blob %s\n", b64);
	free(b64);
	return KMN_OK;
}

kmn_err
kmn_bundle_format(const struct kmn_bundle *bundle, char **text_out, size_t *len_out)
{
	FILE *out = open_memstream(text_out, len_out);
	unsigned lines = 0;
	kmn_err e = KMN_OK;

	*text_out = NULL;
	if (out == NULL)
		return KMN_E_NO_MEMORY;
	for (size_t n = 0; n < bundle->note_len; n++)
		lines += bundle->note[n] == '\n';
	(void)fprintf(out, "kanmon/bundle/v1\norigin %s\nrequest %" PRIu64 "\ncheckpoint %u\n%s", bundle->origin,
	    bundle->request, lines, bundle->note);
	for (size_t n = 0; n < bundle->records; n++) {
		(void)fprintf(out, "record %" PRIu64 " %zu\n%s\n", bundle->record[n].index,
		    bundle->record[n].path.count, bundle->record[n].line);
		put_path(out, &bundle->record[n].path);
	}
	for (size_t n = 0; n < bundle->consistencies; n++) {
		(void)fprintf(out, "consistency %" PRIu64 " %zu\n", bundle->consistency[n].size,
		    bundle->consistency[n].path.count);
		put_path(out, &bundle->consistency[n].path);
	}
	for (size_t n = 0; e == KMN_OK && n < bundle->blobs; n++)
		e = put_blob(out, &bundle->blob[n]);
	(void)fprintf(out, "end\n");
	if (ferror(out) && e == KMN_OK)
		e = KMN_E_NO_MEMORY;
	if (fclose(out) != 0 && e == KMN_OK)
		e = KMN_E_NO_MEMORY;
	if (e != KMN_OK) {
		free(*text_out);
		*text_out = NULL;
		*len_out = 0;
	}
	return e;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
	const char *at, *end;
	unsigned number; /* of the line taken last */
	const char *line;
	size_t len;
};

static bool
next(struct reading *r)
{
	const char *lf = r->at < r->end ? memchr(r->at, '\n', (size_t)(r->end - r->at)) : NULL;

	if (lf == NULL)
		return false;
	r->line = r->at;
	r->len = (size_t)(lf - r->at);
	r->at = lf + 1;
	r->number++;
	return memchr(r->line, '\0', r->len) == NULL;
}

/* Whether the line taken is `word SP ..`; *rest_out is behind the space. */
static bool
is_word(const struct reading *r, const char *word, const char **rest_out, size_t *len_out)
{
	size_t len = strlen(word);

	if (r->len < len + 2 || memcmp(r->line, word, len) != 0 || r->line[len] != ' ')
		return false;
	*rest_out = r->line + len + 1;
	*len_out = r->len - len - 1;
	return true;
}

/* A number at the start of `text`, at most 2^53-1; what follows it. Leading zeros fail when it is written again. */
static const char *
number(const char *text, const char *end, uint64_t *out)
{
	const char *at = text;

	for (*out = 0; at < end && at - text < 16 && *at >= '0' && *at <= '9'; at++)
		*out = *out * 10 + (unsigned)(*at - '0');
	return at == text || *out > KMN_JSON_INT_MAX ? NULL : at;
}

/* `NUMBER` or `NUMBER SP COUNT`, and nothing more. */
static bool
numbers(const char *text, size_t len, uint64_t *first, uint64_t *second)
{
	const char *end = text + len, *at = number(text, end, first);

	if (second == NULL)
		return at == end;
	return at != NULL && at < end && *at == ' ' && number(at + 1, end, second) == end;
}

static bool
read_path(struct reading *r, uint64_t count, struct kmn_path *path)
{
	size_t got;

	if (count > KMN_PATH_MAX_HASHES)
		return false;
	for (path->count = 0; path->count < count; path->count++)
		if (!next(r) || r->len != HASH_B64_BYTES ||
		    kmn_b64_parse(r->line, r->len, path->hash[path->count], KMN_HASH_BYTES, &got) != KMN_OK ||
		    got != KMN_HASH_BYTES)
			return false;
	return true;
}

static kmn_err
read_head(struct reading *r, struct kmn_bundle *bundle)
{
	const char *rest, *from;
	uint64_t lines;
	size_t len;

	if (!next(r) || r->len != 16 || memcmp(r->line, "kanmon/bundle/v1", 16) != 0 || !next(r) ||
	    !is_word(r, "origin", &rest, &len) || len > KMN_NOTE_NAME_MAX_BYTES)
		return KMN_E_MALFORMED;
	memcpy(bundle->origin, rest, len);
	if (!next(r) || !is_word(r, "request", &rest, &len) || !numbers(rest, len, &bundle->request, NULL) ||
	    !next(r) || !is_word(r, "checkpoint", &rest, &len) || !numbers(rest, len, &lines, NULL) ||
	    lines > KMN_NOTE_LINES_MAX + 8)
		return KMN_E_MALFORMED;
	for (from = r->at; lines > 0; lines--)
		if (!next(r))
			return KMN_E_MALFORMED;
	bundle->note_len = (size_t)(r->at - from);
	if (bundle->note_len > KMN_NOTE_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if ((bundle->note = malloc(bundle->note_len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(bundle->note, from, bundle->note_len);
	bundle->note[bundle->note_len] = '\0';
	return KMN_OK;
}

static kmn_err
read_record(struct reading *r, struct kmn_bundle *bundle, const char *rest, size_t len)
{
	struct kmn_path path;
	uint64_t index, count;
	const char *line;

	if (!numbers(rest, len, &index, &count) || !next(r) || r->len > KMN_LINE_MAX_BYTES)
		return KMN_E_MALFORMED;
	line = r->line;
	len = r->len;
	return read_path(r, count, &path) ? kmn_bundle_put_record(bundle, index, line, len, &path) : KMN_E_MALFORMED;
}

static kmn_err
read_blob(struct kmn_bundle *bundle, const char *rest, size_t len)
{
	uint8_t *bytes = malloc(len / 4 * 3 + 1);
	size_t got;
	kmn_err e;

	if (bytes == NULL)
		return KMN_E_NO_MEMORY;
	if ((e = kmn_b64_parse(rest, len, bytes, len / 4 * 3, &got)) == KMN_OK)
		e = kmn_bundle_put_blob(bundle, bytes, got);
	free(bytes);
	return e;
}

static kmn_err
read_part(struct reading *r, struct kmn_bundle *bundle)
{
	struct kmn_path path;
	uint64_t size, count;
	const char *rest;
	size_t len;

	if (is_word(r, "record", &rest, &len))
		return read_record(r, bundle, rest, len);
	if (is_word(r, "blob", &rest, &len))
		return read_blob(bundle, rest, len);
	if (is_word(r, "consistency", &rest, &len) && numbers(rest, len, &size, &count) && read_path(r, count, &path))
		return kmn_bundle_put_consistency(bundle, size, &path);
	return KMN_E_MALFORMED;
}

static kmn_err
read_all(struct reading *r, struct kmn_bundle *bundle)
{
	kmn_err e = read_head(r, bundle);

	while (e == KMN_OK) {
		if (!next(r))
			return KMN_E_MALFORMED;
		if (r->len == 3 && memcmp(r->line, "end", 3) == 0)
			return r->at == r->end ? KMN_OK : KMN_E_MALFORMED;
		e = read_part(r, bundle);
	}
	return e;
}

kmn_err
kmn_bundle_parse(const char *text, size_t len, struct kmn_bundle **bundle_out, struct kmn_why *why)
{
	struct reading r = {.at = text, .end = text + len};
	struct kmn_bundle *bundle = NULL;
	char *again = NULL;
	size_t again_len;
	kmn_err e;

	*bundle_out = NULL;
	if (len > KMN_BUNDLE_MAX_BYTES) {
		kmn_why_set(why, "more than %u bytes", KMN_BUNDLE_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if ((bundle = kmn_bundle_new()) == NULL)
		return KMN_E_NO_MEMORY;
	if ((e = read_all(&r, bundle)) != KMN_OK) {
		kmn_why_set(why, "line %u: not what stands there in a kanmon/bundle/v1", r.number);
		goto done;
	}
	/* order, repetition and every form of a number: there is one way to write a bundle */
	if ((e = kmn_bundle_format(bundle, &again, &again_len)) != KMN_OK)
		goto done;
	if (again_len != len || memcmp(again, text, len) != 0) {
		kmn_why_set(why, "its parts are not in order, or not in the form that they must have");
		e = KMN_E_MALFORMED;
		goto done;
	}
	*bundle_out = bundle;
	bundle = NULL;
done:
	free(again);
	kmn_bundle_free(bundle);
	return e;
}
