#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/chain.h"

/* Room for the longest line there can be, a few times over. */
#define CHUNK_BYTES (256u << 10)

struct kmn_walk_record {
	struct kmn_record record;
	kmn_err body;
	struct kmn_why why;
	uint64_t line, offset;
};

struct names {
	uint64_t *first;
	size_t count, room;
	kmn_err e;
	struct kmn_why *why;
};

/* "00000000000000000000.kl"; what is derived (.off) is passed over. */
static bool
segment_number(const char *name, uint64_t *first_out)
{
	char again[KMN_SEGMENT_NAME_BYTES], path[KMN_SEGMENT_NAME_BYTES];

	return strlen(name) == 23 && sscanf(name, "%20" SCNu64 ".kl", first_out) == 1 &&
	       snprintf(again, sizeof(again), KMN_SEGMENT_NAME, *first_out) > 0 &&
	       snprintf(path, sizeof(path), "seg/%s", name) > 0 && strcmp(again, path) == 0;
}

static int
each_name(void *cookie, const char *name)
{
	struct names *names = cookie;
	size_t len = strlen(name);
	uint64_t first, *grown;

	if ((len > 4 && strcmp(name + len - 4, ".off") == 0) || (len > 4 && strcmp(name + len - 4, ".tmp") == 0))
		return 0;
	if (!segment_number(name, &first)) {
		kmn_why_set(names->why, "seg/%.100s is not a segment's name", name);
		names->e = KMN_E_CORRUPT;
		return 1;
	}
	if (names->count == names->room) {
		names->room = names->room * 2 + 16;
		if ((grown = realloc(names->first, names->room * sizeof(*grown))) == NULL) {
			names->e = KMN_E_NO_MEMORY;
			return 1;
		}
		names->first = grown;
	}
	names->first[names->count++] = first;
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

kmn_err
kmn_segments(struct kmn_store *store, uint64_t **first_out, size_t *count_out, struct kmn_why *why)
{
	struct names names = {.why = why};
	int failed = store->list(store, "seg", each_name, &names);

	*first_out = NULL;
	*count_out = 0;
	if (failed == -ENOENT || (failed == 0 && names.count == 0))
		names.e = KMN_E_NOT_FOUND;
	else if (failed < 0)
		names.e = KMN_E_IO;
	if (failed < 0 && names.e != KMN_OK)
		kmn_why_set(why, "seg: %s", strerror(-failed));
	if (names.e != KMN_OK) {
		free(names.first);
		return names.e;
	}
	qsort(names.first, names.count, sizeof(*names.first), by_number);
	*first_out = names.first;
	*count_out = names.count;
	return KMN_OK;
}

static void
drop_batch(struct kmn_walk *walk)
{
	while (walk->batch_count > 0)
		kmn_record_clear(&walk->batch[--walk->batch_count].record);
}

/* A commit was right: its records are facts now. */
static kmn_err
deliver(struct kmn_walk *walk, uint64_t end)
{
	struct kmn_head head;
	kmn_err e = KMN_OK;

	for (size_t n = 0; e == KMN_OK && walk->record != NULL && n < walk->batch_count; n++) {
		struct kmn_walk_record *at = &walk->batch[n];

		e = walk->record(walk->cookie, &at->record, at->body, at->line, at->offset, &at->why);
		if (e != KMN_OK)
			walk->why = at->why;
	}
	drop_batch(walk);
	if (e == KMN_OK && walk->commit != NULL) {
		kmn_frontier_head(&walk->chain.front, &head);
		walk->commit(walk->cookie, &head, end);
	}
	return e;
}

/* One whole line at walk->offset; false ends the walk. */
static bool
take_line(struct kmn_walk *walk, const char *line, size_t len)
{
	struct kmn_walk_record *slot = &walk->batch[walk->batch_count];
	enum kmn_line kind;
	kmn_err e;

	walk->line++;
	slot->why.text[0] = '\0';
	e = kmn_chain_feed(&walk->chain, line, len, &kind, &slot->record, &slot->body, &slot->why);
	if (e != KMN_OK) {
		walk->why = slot->why;
		walk->kind = kind;
		walk->end = KMN_WALK_BAD;
		return false;
	}
	if (kind == KMN_LINE_RECORD) {
		slot->line = walk->line;
		slot->offset = walk->offset;
		walk->batch_count++;
	}
	if (kind == KMN_LINE_COMMIT && (e = deliver(walk, walk->offset + len + 1)) != KMN_OK) {
		walk->error = e;
		walk->end = KMN_WALK_STOPPED;
		return false;
	}
	walk->offset += len + 1;
	if (kind == KMN_LINE_COMMIT || kind == KMN_LINE_HEADER)
		walk->good = walk->chain;
	return true;
}

/* Takes the whole lines out of buf[0..have) and gives the bytes used; a line longer than any can be is bad. */
static bool
take_lines(struct kmn_walk *walk, const char *buf, size_t have, size_t *used_out)
{
	size_t used = 0;
	const char *lf;

	*used_out = 0;
	while ((lf = memchr(buf + used, '\n', have - used)) != NULL) {
		if (!take_line(walk, buf + used, (size_t)(lf - buf) - used))
			return false;
		used = (size_t)(lf - buf) + 1;
	}
	*used_out = used;
	if (have - used > KMN_LINE_MAX_BYTES) {
		walk->line++;
		kmn_why_set(&walk->why, "a line of more than %d bytes", KMN_LINE_MAX_BYTES);
		walk->kind = KMN_LINE_RECORD;
		walk->end = KMN_WALK_BAD;
		return false;
	}
	return true;
}

static kmn_err
walk_bytes(struct kmn_walk *walk, int fd, char *buf)
{
	size_t have = 0, used;
	uint64_t at = walk->offset;

	while (at < walk->size) {
		ssize_t n = walk->store->pread(walk->store, fd, buf + have, CHUNK_BYTES - have, at);

		if (n <= 0)
			return KMN_E_IO;
		at += (uint64_t)n;
		have += (size_t)n;
		if (!take_lines(walk, buf, have, &used))
			return KMN_OK;
		memmove(buf, buf + used, have - used);
		have -= used;
	}
	walk->end =
	    have > 0 || kmn_chain_in_batch(&walk->chain) || !walk->chain.header ? KMN_WALK_TAIL : KMN_WALK_CLEAN;
	if (walk->end == KMN_WALK_TAIL)
		kmn_why_set(&walk->why, "bytes after the last commit");
	return KMN_OK;
}

kmn_err
kmn_walk_file(struct kmn_walk *walk, uint64_t first, uint64_t from)
{
	struct kmn_store *store = walk->store;
	char name[KMN_SEGMENT_NAME_BYTES], *buf = NULL;
	int64_t size;
	kmn_err e = KMN_E_IO;
	int fd;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, first);
	if ((fd = store->open(store, name, O_RDONLY)) < 0)
		return fd == -ENOENT ? KMN_E_NOT_FOUND : KMN_E_IO;
	if ((size = store->size(store, fd)) < 0)
		goto done;
	if (walk->batch == NULL &&
	    (walk->batch = calloc(KMN_LOG_BATCH_MAX_RECORDS + 1, sizeof(*walk->batch))) == NULL) {
		e = KMN_E_NO_MEMORY;
		goto done;
	}
	if ((buf = malloc(CHUNK_BYTES)) == NULL) {
		e = KMN_E_NO_MEMORY;
		goto done;
	}
	walk->size = (uint64_t)size;
	walk->offset = from;
	walk->line = 0;
	walk->good = walk->chain;
	e = walk_bytes(walk, fd, buf);
	drop_batch(walk);
done:
	free(buf);
	(void)store->close(store, fd);
	return e;
}

void
kmn_walk_clear(struct kmn_walk *walk)
{
	if (walk->batch != NULL)
		drop_batch(walk);
	free(walk->batch);
	walk->batch = NULL;
}

kmn_err
kmn_store_write(struct kmn_store *store, int fd, const void *bytes, size_t len, uint64_t offset)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		ssize_t n = store->pwrite(store, fd, at, len, offset);

		if (n <= 0)
			return n == -ENOSPC || n == -EDQUOT ? KMN_E_SPACE : KMN_E_IO;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return KMN_OK;
}

kmn_err
kmn_store_sync_folder(struct kmn_store *store, const char *folder)
{
	int fd = store->open(store, folder, O_RDONLY | O_DIRECTORY), failed;

	if (fd < 0)
		return KMN_E_IO;
	failed = store->sync(store, fd);
	(void)store->close(store, fd);
	return failed < 0 ? KMN_E_IO : KMN_OK;
}

/* `path`.tmp, written, synced and closed, becomes `path`. */
static kmn_err
replace(struct kmn_store *store, const char *path, const void *bytes, size_t len)
{
	char tmp[170];
	int fd, failed;
	kmn_err e;

	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	if ((fd = store->open(store, tmp, O_WRONLY | O_CREAT | O_TRUNC)) < 0)
		return fd == -ENOENT ? KMN_E_NOT_FOUND : fd == -ENOSPC || fd == -EDQUOT ? KMN_E_SPACE : KMN_E_IO;
	e = kmn_store_write(store, fd, bytes, len, 0);
	if (e == KMN_OK && store->sync(store, fd) < 0)
		e = KMN_E_IO;
	failed = store->close(store, fd);
	return e == KMN_OK && (failed < 0 || store->rename(store, tmp, path) < 0) ? KMN_E_IO : e;
}

kmn_err
kmn_store_replace(struct kmn_store *store, const char *folder, const char *name, const void *bytes, size_t len)
{
	char path[160];
	kmn_err e;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	e = replace(store, path, bytes, len);
	if (e == KMN_E_NOT_FOUND)
		e = KMN_E_IO;
	return e == KMN_OK ? kmn_store_sync_folder(store, folder) : e;
}

kmn_err
kmn_store_put(struct kmn_store *store, const char *name, const void *bytes, size_t len)
{
	return replace(store, name, bytes, len);
}
