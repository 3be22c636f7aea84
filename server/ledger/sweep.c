#include "config.h"

#include "server/ledger/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/scan.h"

#define CHUNK_BYTES (256u << 10)

struct line {
	size_t at, len; /* in the chunk, without LF */
	uint64_t number, offset;
	bool scanned, delivered;
	kmn_err e, body; /* e: of reading it (no memory); body: as kmn_record_check() */
	struct kmn_why why;
	struct kmn_record record;
	struct kmn_scan scan;
};

struct kmn_sweep_chunk {
	struct kmn_task task; /* first: the two are one address */
	struct kmn_sweep_chunk *next;
	uint64_t bodies;
	char *bytes;
	size_t len; /* whole lines */
	struct line *line;
	size_t count, room, taken; /* taken: of its lines, handed on */
	kmn_err e;
};

/* ---- any thread: one chunk --------------------------------------------------------------------------------------- */

/* That the line is canonical is known: only the tree of its body is wanted. */
static kmn_err
load_body(struct line *line)
{
	json_error_t error;

	if (line->scan.kind == KMN_R_UNKNOWN) /* for its type's name too */
		return kmn_record_parse(line->scan.line, line->scan.len, &line->record, NULL);
	line->record.owner = json_loadb(line->scan.body, line->scan.body_len, 0, &error);
	line->record.body = line->record.owner;
	return line->record.owner == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

static void
read_line(const struct kmn_sweep_chunk *chunk, struct line *line)
{
	const char *bytes = chunk->bytes + line->at;

	line->scanned = line->len > 0 && bytes[0] == '{' && kmn_scan_line(bytes, line->len, &line->scan);
	if (!line->scanned)
		return;
	line->body = kmn_scan_check(&line->scan, &line->why);
	line->record = (struct kmn_record){.i = line->scan.i,
	    .t = line->scan.t,
	    .m = line->scan.m,
	    .kind = line->scan.kind,
	    .type = kmn_record_name(line->scan.kind)};
	memcpy(line->record.prev, line->scan.prev, KMN_HASH_BYTES);
	memcpy(line->record.nonce, line->scan.nonce, KMN_NONCE_BYTES);
	kmn_leaf_hash(bytes, line->len, line->record.leaf);
	if ((chunk->bodies & UINT64_C(1) << line->scan.kind) != 0)
		line->e = load_body(line);
	line->record.scan = &line->scan;
}

static void
run_chunk(struct kmn_task *task)
{
	struct kmn_sweep_chunk *chunk = (struct kmn_sweep_chunk *)task;
	size_t at = 0;

	while (at < chunk->len) {
		const char *lf = memchr(chunk->bytes + at, '\n', chunk->len - at);
		struct line *grown, *line;

		if (chunk->count == chunk->room) {
			chunk->room = chunk->room * 2 + 256;
			if ((grown = realloc(chunk->line, chunk->room * sizeof(*grown))) == NULL) {
				chunk->e = KMN_E_NO_MEMORY;
				return;
			}
			chunk->line = grown;
		}
		line = &chunk->line[chunk->count++];
		memset(line, 0, offsetof(struct line, scan));
		line->at = at;
		line->len = (size_t)(lf - chunk->bytes) - at;
		at += line->len + 1;
	}
	/* in a second pass: records point into the lines, which no longer move */
	for (size_t n = 0; n < chunk->count; n++)
		read_line(chunk, &chunk->line[n]);
}

/* ---- the owner's thread ------------------------------------------------------------------------------------------ */

static void
free_chunk(struct kmn_sweep_chunk *chunk)
{
	for (size_t n = 0; n < chunk->count; n++)
		kmn_record_clear(&chunk->line[n].record);
	free(chunk->line);
	free(chunk->bytes);
	free(chunk);
}

/* Reads the next whole lines; *chunk_out NULL: the file has no more. */
static kmn_err
read_chunk(struct kmn_sweep *sweep, int fd, struct kmn_sweep_chunk **chunk_out)
{
	struct kmn_sweep_chunk *chunk = calloc(1, sizeof(*chunk));
	size_t have = sweep->rest_len, used;

	*chunk_out = NULL;
	if (chunk == NULL || (chunk->bytes = malloc(have + CHUNK_BYTES)) == NULL) {
		free(chunk);
		return KMN_E_NO_MEMORY;
	}
	memcpy(chunk->bytes, sweep->rest, have);
	while (have < sweep->rest_len + CHUNK_BYTES && sweep->read < sweep->size) {
		ssize_t n = sweep->store->pread(
		    sweep->store, fd, chunk->bytes + have, sweep->rest_len + CHUNK_BYTES - have, sweep->read);

		if (n <= 0) {
			free_chunk(chunk);
			return KMN_E_IO;
		}
		have += (size_t)n;
		sweep->read += (uint64_t)n;
	}
	for (used = have; used > 0 && chunk->bytes[used - 1] != '\n';)
		used--;
	sweep->rest_len = have - used;
	if (sweep->rest_len > KMN_LINE_MAX_BYTES) {
		sweep->read = sweep->size; /* a line longer than any can be: nothing behind it is read */
		sweep->rest_len = KMN_LINE_MAX_BYTES + 1;
	}
	memcpy(sweep->rest, chunk->bytes + used, sweep->rest_len);
	chunk->len = used;
	chunk->bodies = sweep->bodies;
	chunk->task.run = run_chunk;
	*chunk_out = chunk;
	return KMN_OK;
}

static kmn_err
read_ahead(struct kmn_sweep *sweep, int fd)
{
	struct kmn_sweep_chunk *chunk;
	kmn_err e;

	while (sweep->given < sweep->ahead && sweep->read < sweep->size) {
		if ((e = read_chunk(sweep, fd, &chunk)) != KMN_OK)
			return e;
		if (sweep->last == NULL)
			sweep->first = chunk;
		else
			sweep->last->next = chunk;
		sweep->last = chunk;
		if (sweep->next == NULL)
			sweep->next = chunk;
		sweep->given++;
		kmn_crew_give(sweep->crew, &chunk->task);
	}
	return KMN_OK;
}

/* The batch is committed: its records are handed on, and chunks before `last` are no longer needed. */
static kmn_err
deliver(struct kmn_sweep *sweep, struct kmn_sweep_chunk *last, size_t count, uint64_t offset)
{
	struct kmn_head head;
	kmn_err e;

	for (struct kmn_sweep_chunk *chunk = sweep->first;; chunk = chunk->next) {
		size_t end = chunk == last ? count : chunk->count;

		for (; chunk->taken < end; chunk->taken++) {
			struct line *line = &chunk->line[chunk->taken];

			if (line->scanned && (e = sweep->record(sweep->cookie, &line->record, line->body, line->number,
						  line->offset, &line->why)) != KMN_OK)
				return e;
		}
		if (chunk == last)
			break;
	}
	while (sweep->first != last) {
		struct kmn_sweep_chunk *next = sweep->first->next;

		free_chunk(sweep->first);
		sweep->first = next;
	}
	kmn_frontier_head(&sweep->chain.front, &head);
	sweep->commit(sweep->cookie, &head, offset);
	return KMN_OK;
}

static kmn_err
feed(struct kmn_sweep *sweep, struct kmn_sweep_chunk *chunk, struct line *line, enum kmn_line *kind)
{
	struct kmn_record record = {0};
	kmn_err body, e;

	if (line->e != KMN_OK)
		return line->e;
	if (line->scanned)
		return kmn_chain_take(&sweep->chain, &line->record, line->len, kind, &sweep->why);
	e = kmn_chain_feed(&sweep->chain, chunk->bytes + line->at, line->len, kind, &record, &body, &sweep->why);
	if (e == KMN_OK && *kind == KMN_LINE_RECORD) {
		kmn_record_clear(&record);
		KMN_BUG("the scanner refused a line that the parser takes");
	}
	return e;
}

/* False: the sweep ends here. */
static bool
take_line(struct kmn_sweep *sweep, struct kmn_sweep_chunk *chunk, size_t n)
{
	struct line *line = &chunk->line[n];
	enum kmn_line kind = KMN_LINE_RECORD;
	kmn_err e;

	line->number = ++sweep->line;
	line->offset = sweep->offset;
	if ((e = feed(sweep, chunk, line, &kind)) != KMN_OK) {
		sweep->kind = kind;
		sweep->error = e;
		sweep->end = e == KMN_E_NO_MEMORY ? KMN_WALK_STOPPED : KMN_WALK_BAD;
		return false;
	}
	if (kind == KMN_LINE_COMMIT && (e = deliver(sweep, chunk, n, sweep->offset + line->len + 1)) != KMN_OK) {
		sweep->error = e;
		sweep->end = KMN_WALK_STOPPED;
		return false;
	}
	sweep->offset += line->len + 1;
	if (kind == KMN_LINE_COMMIT || kind == KMN_LINE_HEADER)
		sweep->good = sweep->chain;
	return true;
}

static void
end_of_file(struct kmn_sweep *sweep)
{
	if (sweep->rest_len > KMN_LINE_MAX_BYTES) {
		sweep->line++;
		kmn_why_set(&sweep->why, "a line of more than %d bytes", KMN_LINE_MAX_BYTES);
		sweep->kind = KMN_LINE_RECORD;
		sweep->end = KMN_WALK_BAD;
	} else if (sweep->rest_len > 0 || kmn_chain_in_batch(&sweep->chain) || !sweep->chain.header) {
		kmn_why_set(&sweep->why, "bytes after the last commit");
		sweep->end = KMN_WALK_TAIL;
	} else {
		sweep->end = KMN_WALK_CLEAN;
	}
}

static kmn_err
sweep_chunks(struct kmn_sweep *sweep, int fd)
{
	kmn_err e;

	for (;;) {
		struct kmn_sweep_chunk *chunk;

		if ((e = read_ahead(sweep, fd)) != KMN_OK)
			return e;
		if ((chunk = sweep->next) == NULL)
			break;
		kmn_crew_wait(sweep->crew, &chunk->task);
		sweep->next = chunk->next;
		sweep->given--;
		if (chunk->e != KMN_OK)
			return chunk->e;
		for (size_t n = 0; n < chunk->count; n++)
			if (!take_line(sweep, chunk, n))
				return KMN_OK;
		if (sweep->progress != NULL)
			sweep->progress(sweep->cookie, sweep->offset);
	}
	end_of_file(sweep);
	return KMN_OK;
}

static void
clear(struct kmn_sweep *sweep)
{
	for (; sweep->next != NULL; sweep->next = sweep->next->next)
		kmn_crew_wait(sweep->crew, &sweep->next->task);
	while (sweep->first != NULL) {
		struct kmn_sweep_chunk *next = sweep->first->next;

		free_chunk(sweep->first);
		sweep->first = next;
	}
	sweep->last = NULL;
	sweep->given = 0;
	free(sweep->rest);
	sweep->rest = NULL;
	sweep->rest_len = 0;
}

kmn_err
kmn_sweep_file(struct kmn_sweep *sweep, uint64_t first)
{
	struct kmn_store *store = sweep->store;
	char name[KMN_SEGMENT_NAME_BYTES];
	kmn_err e = KMN_E_IO;
	int64_t size;
	int fd;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, first);
	if ((fd = store->open(store, name, O_RDONLY)) < 0)
		return fd == -ENOENT ? KMN_E_NOT_FOUND : KMN_E_IO;
	sweep->line = sweep->offset = sweep->read = 0;
	sweep->good = sweep->chain;
	if ((size = store->size(store, fd)) >= 0) {
		sweep->size = (uint64_t)size;
		sweep->rest = malloc(KMN_LINE_MAX_BYTES + 1);
		e = sweep->rest == NULL ? KMN_E_NO_MEMORY : sweep_chunks(sweep, fd);
	}
	clear(sweep);
	(void)store->close(store, fd);
	return e;
}
