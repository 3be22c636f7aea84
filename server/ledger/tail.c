/*
 * Where opening begins that does not read everything: at the last mark, or at
 * the header of a segment that has none yet. Both say a frontier, which is a
 * hint: the commits behind it are made again from it, and the tiles must give
 * the root it stands for.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/inner.h"

#define WINDOW_BYTES (512u << 10) /* some 256 records and a batch; doubled until there is a mark in it */

/* The end of a file, in memory. */
struct window {
	char *bytes;
	size_t len;
	uint64_t offset; /* of bytes[0] in the file */
};

static kmn_err
read_end(struct kmn_store *store, int fd, uint64_t size, size_t len, struct window *window)
{
	size_t at = 0;

	free(window->bytes);
	window->len = size < len ? (size_t)size : len;
	window->offset = size - window->len;
	if ((window->bytes = malloc(window->len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	while (at < window->len) {
		ssize_t got = store->pread(store, fd, window->bytes + at, window->len - at, window->offset + at);

		if (got <= 0)
			return KMN_E_IO;
		at += (size_t)got;
	}
	return KMN_OK;
}

/* The line that ends before `end`, with its LF; false: none begins in the window. */
static bool
line_before(const struct window *window, size_t end, size_t *at_out)
{
	const char *lf = end < 2 ? NULL : memrchr(window->bytes, '\n', end - 1);

	*at_out = lf == NULL ? 0 : (size_t)(lf - window->bytes) + 1;
	return end > 0 && (lf != NULL || window->offset == 0);
}

static uint64_t
number(const char **at, const char *end)
{
	uint64_t n = 0;

	for (; *at < end && **at >= '0' && **at <= '9' && n <= KMN_JSON_INT_MAX; (*at)++)
		n = n * 10 + (uint64_t)(**at - '0');
	return n;
}

/* SP b64 of a hash. */
static bool
hash(const char **at, const char *end, uint8_t out[KMN_HASH_BYTES])
{
	size_t len;

	if ((size_t)(end - *at) < 1 + KMN_B64_LEN(KMN_HASH_BYTES) || **at != ' ' ||
	    kmn_b64_parse(*at + 1, KMN_B64_LEN(KMN_HASH_BYTES), out, KMN_HASH_BYTES, &len) != KMN_OK)
		return false;
	*at += 1 + KMN_B64_LEN(KMN_HASH_BYTES);
	return true;
}

static kmn_err
frontier(uint64_t size, const char *at, const char *end, struct kmn_frontier *front)
{
	uint8_t list[KMN_TREE_LEVELS][KMN_HASH_BYTES];
	size_t count = 0;

	while (at < end && count < KMN_TREE_LEVELS && hash(&at, end, list[count]))
		count++;
	return at == end ? kmn_frontier_load(front, size, list, count) : KMN_E_CORRUPT;
}

/* What a frontier does not say, the record before it does. */
static kmn_err
take_record(struct kmn_chain *chain, const char *line, size_t len)
{
	struct kmn_record record;
	kmn_err e = kmn_record_parse(line, len, &record, NULL);

	if (e != KMN_OK)
		return e;
	chain->t = record.t;
	chain->m = record.m;
	chain->last = record.kind;
	memcpy(chain->prev, record.leaf, KMN_HASH_BYTES);
	e = record.i + 1 == chain->front.size ? KMN_OK : KMN_E_CORRUPT;
	kmn_record_clear(&record);
	return e;
}

/* The mark at `at`, which ends at `behind`: the record before it, the commit after it. */
static kmn_err
start_at_mark(const struct window *window, size_t at, size_t behind, struct kmn_chain *chain, uint64_t *offset_out)
{
	const char *mark = window->bytes + at + 6, *end = window->bytes + behind - 1;
	const char *commit = memchr(window->bytes + behind, '\n', window->len - behind);
	char want[KMN_FRAMING_MAX_BYTES];
	uint64_t size = number(&mark, end);
	size_t record, len;
	kmn_err e;

	if (commit == NULL || !line_before(window, at, &record))
		return KMN_E_NOT_FOUND;
	if ((e = frontier(size, mark, end, &chain->front)) != KMN_OK ||
	    (e = take_record(chain, window->bytes + record, at - record - 1)) != KMN_OK)
		return e;
	chain->commit = size;
	chain->header = true;
	len = kmn_chain_commit(chain, want);
	if (len != (size_t)(commit + 1 - window->bytes) - behind || memcmp(want, window->bytes + behind, len) != 0)
		return KMN_E_CORRUPT;
	*offset_out = chain->bytes = window->offset + behind + len;
	return KMN_OK;
}

/* The last mark in the window that holds; a torn batch may end in one that does not. */
static kmn_err
last_mark(const struct window *window, struct kmn_chain *chain, uint64_t *offset_out)
{
	const struct kmn_chain fresh = *chain;

	for (size_t end = window->len, at; line_before(window, end, &at); end = at) {
		if (end - at < 8 || memcmp(window->bytes + at, "#mark ", 6) != 0 || window->bytes[end - 1] != '\n')
			continue;
		*chain = fresh;
		if (start_at_mark(window, at, end, chain, offset_out) == KMN_OK)
			return KMN_OK;
	}
	*chain = fresh;
	return KMN_E_NOT_FOUND;
}

static kmn_err
search_back(struct kmn_store *store, int fd, uint64_t size, struct kmn_chain *chain, uint64_t *offset_out)
{
	struct window window = {.bytes = NULL};
	kmn_err e = KMN_E_NOT_FOUND;

	for (size_t len = WINDOW_BYTES; e == KMN_E_NOT_FOUND; len *= 2) {
		if ((e = read_end(store, fd, size, len, &window)) == KMN_OK)
			e = last_mark(&window, chain, offset_out);
		if (window.offset == 0)
			break;
	}
	free(window.bytes);
	return e;
}

/* The last record of the segment that ends where this one begins. */
static kmn_err
take_last_of(struct kmn_store *store, uint64_t segment, struct kmn_chain *chain)
{
	struct window window = {.bytes = NULL};
	char name[KMN_SEGMENT_NAME_BYTES];
	int64_t size;
	kmn_err e;
	int fd;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, segment);
	if ((fd = store->open(store, name, O_RDONLY)) < 0)
		return KMN_E_IO;
	size = store->size(store, fd);
	e = size < 0 ? KMN_E_IO
		     : read_end(store, fd, (uint64_t)size, KMN_LINE_MAX_BYTES + 3 * KMN_FRAMING_MAX_BYTES, &window);
	(void)store->close(store, fd);
	for (size_t end = window.len, at; e == KMN_OK; end = at)
		if (!line_before(&window, end, &at)) {
			e = KMN_E_CORRUPT;
		} else if (window.bytes[at] != '#') {
			e = take_record(chain, window.bytes + at, end - at - 1);
			break;
		}
	free(window.bytes);
	return e;
}

/* The header says frontier and prev of what comes before; the walk that follows reads and checks it again. */
static kmn_err
start_at_header(struct kmn_store *store, int fd, uint64_t before, struct kmn_chain *chain)
{
	char header[KMN_FRAMING_MAX_BYTES + 1];
	ssize_t got = store->pread(store, fd, header, sizeof(header) - 1, 0);
	const char *at = header, *end;
	uint8_t prev[KMN_HASH_BYTES];
	kmn_err e;

	if (got <= 0 || (end = memchr(header, '\n', (size_t)got)) == NULL)
		return KMN_E_NOT_FOUND;
	for (unsigned spaces = 0; at < end && spaces < 3; at++) /* "#kanmon-ledger v1 origin " */
		spaces += *at == ' ';
	if (number(&at, end) != chain->segment || !hash(&at, end, prev) ||
	    (e = frontier(chain->segment, at, end, &chain->front)) != KMN_OK ||
	    (e = take_last_of(store, before, chain)) != KMN_OK || memcmp(prev, chain->prev, sizeof(prev)) != 0)
		return KMN_E_NOT_FOUND;
	chain->commit = chain->segment;
	return KMN_OK;
}

kmn_err
kmn_tail_find(
    struct kmn_store *store, const uint64_t *first, size_t count, struct kmn_chain *chain, uint64_t *offset_out)
{
	char name[KMN_SEGMENT_NAME_BYTES];
	int64_t size;
	kmn_err e;
	int fd;

	*offset_out = 0;
	chain->segment = first[count - 1];
	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, chain->segment);
	if ((fd = store->open(store, name, O_RDONLY)) < 0)
		return KMN_E_IO;
	size = store->size(store, fd);
	e = size < 0 ? KMN_E_IO : search_back(store, fd, (uint64_t)size, chain, offset_out);
	if (e == KMN_E_NOT_FOUND && count > 1)
		e = start_at_header(store, fd, first[count - 2], chain);
	(void)store->close(store, fd);
	return e;
}
