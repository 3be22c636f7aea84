/* Finding records by their number without reading what is before them. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/chain.h"
#include "server/ledger/tiles.h"

#define PROBE_BYTES (8u << 10)
/* Any window of this size that is not the end of a file holds a whole record line. */
#define WINDOW_BYTES (4u * (KMN_LINE_MAX_BYTES + KMN_FRAMING_MAX_BYTES))
#define NEAR_BYTES (64u << 10)

/* One segment while it is searched. */
struct search {
	struct kmn_store *store;
	char name[KMN_SEGMENT_NAME_BYTES];
	uint64_t first, size;
	int fd;
	char *window;
	uint64_t base;    /* offset of the window in the file */
	size_t have, pos; /* bytes in it, and those that next_line() gave */
};

/* The index that a canonical record line says: behind the body, where only numbers, base64 and a name follow. */
static bool
says_index(const char *line, size_t len, uint64_t *index_out)
{
	static const char name[] = ",\"i\":";
	const size_t name_len = sizeof(name) - 1;
	uint64_t index = 0;
	const char *at = line + len, *digits;

	if (len < name_len || line[0] != '{')
		return false;
	for (at -= name_len; at > line && memcmp(at, name, name_len) != 0;)
		at--;
	for (digits = at += name_len; at < line + len && *at >= '0' && *at <= '9' && at - digits < 16; at++)
		index = index * 10 + (uint64_t)(*at - '0');
	*index_out = index;
	return at > digits && at < line + len && *at == ',';
}

void
kmn_lines_init(struct kmn_lines *lines, struct kmn_store *store)
{
	*lines = (struct kmn_lines){.store = store};
}

void
kmn_lines_clear(struct kmn_lines *lines)
{
	free(lines->first);
	free(lines->window);
	kmn_lines_init(lines, lines->store);
}

static kmn_err
list_again(struct kmn_lines *lines)
{
	free(lines->first);
	lines->first = NULL;
	lines->count = 0;
	return kmn_segments(lines->store, &lines->first, &lines->count, NULL);
}

static kmn_err
search_begin(struct search *s, struct kmn_lines *lines, uint64_t first)
{
	struct kmn_store *store = lines->store;
	int64_t size;

	*s = (struct search){.store = store, .first = first, .fd = -1};
	(void)snprintf(s->name, sizeof(s->name), KMN_SEGMENT_NAME, first);
	if (lines->window == NULL && (lines->window = malloc(WINDOW_BYTES)) == NULL)
		return KMN_E_NO_MEMORY;
	s->window = lines->window;
	if ((s->fd = store->open(store, s->name, O_RDONLY)) < 0)
		return s->fd == -ENOENT ? KMN_E_NOT_FOUND : KMN_E_IO;
	if ((size = store->size(store, s->fd)) < 0)
		return KMN_E_IO;
	s->size = (uint64_t)size;
	return KMN_OK;
}

static void
search_end(struct search *s)
{
	if (s->fd >= 0)
		(void)s->store->close(s->store, s->fd);
}

static void
seek(struct search *s, uint64_t offset)
{
	s->base = offset;
	s->have = s->pos = 0;
}

/* More bytes behind those that are left; false: there are none, or no room. */
static bool
read_on(struct search *s, size_t window)
{
	ssize_t got;

	memmove(s->window, s->window + s->pos, s->have - s->pos);
	s->base += s->pos;
	s->have -= s->pos;
	s->pos = 0;
	if (s->have >= window)
		return false;
	got = s->store->pread(s->store, s->fd, s->window + s->have, window - s->have, s->base + s->have);
	if (got > 0)
		s->have += (size_t)got;
	return got > 0;
}

/* The next line, which lives until the next call, without its LF; reads at most `window` bytes ahead. */
static const char *
next_line(struct search *s, size_t window, size_t *len_out, uint64_t *offset_out)
{
	const char *line, *lf;

	do {
		line = s->window + s->pos;
		if ((lf = memchr(line, '\n', s->have - s->pos)) == NULL)
			continue;
		*len_out = (size_t)(lf - line);
		*offset_out = s->base + s->pos;
		s->pos += *len_out + 1;
		return line;
	} while (read_on(s, window));
	return NULL;
}

/* The first record line that begins behind the LF that `at` or a later byte is, if it ends within the window. */
static bool
record_behind(struct search *s, uint64_t at, size_t window, uint64_t *offset_out, uint64_t *index_out)
{
	const char *line;
	size_t len;

	seek(s, at);
	if (next_line(s, window, &len, offset_out) == NULL)
		return false;
	while ((line = next_line(s, window, &len, offset_out)) != NULL)
		if (says_index(line, len, index_out))
			return true;
	return false;
}

static bool
probe(struct search *s, uint64_t at, uint64_t *offset_out, uint64_t *index_out)
{
	return record_behind(s, at, PROBE_BYTES, offset_out, index_out) ||
	       record_behind(s, at, WINDOW_BYTES, offset_out, index_out);
}

static bool
by_offsets(struct search *s, uint64_t index, uint64_t *offset_out)
{
	char name[KMN_SEGMENT_NAME_BYTES + 4];
	uint64_t offset, at, found;
	uint8_t bytes[4];
	ssize_t got;
	int fd;

	(void)snprintf(name, sizeof(name), "%s.off", s->name);
	if ((fd = s->store->open(s->store, name, O_RDONLY)) < 0)
		return false;
	got = s->store->pread(s->store, fd, bytes, sizeof(bytes), (index - s->first) * sizeof(bytes));
	(void)s->store->close(s->store, fd);
	offset = (uint64_t)bytes[0] << 24 | (uint64_t)bytes[1] << 16 | (uint64_t)bytes[2] << 8 | bytes[3];
	*offset_out = offset;
	return got == sizeof(bytes) && offset > 0 && probe(s, offset - 1, &at, &found) && at == offset &&
	       found == index;
}

/*
 * The record begins in [low, high], and a line begins at low. Numbers ascend
 * with offsets, so each probe halves that; what is left is read line by line.
 */
static bool
by_halving(struct search *s, uint64_t index, uint64_t *offset_out)
{
	uint64_t low = 0, high = s->size, at, found = 0;
	const char *line;
	size_t len;

	while (high - low > NEAR_BYTES) {
		uint64_t middle = low + (high - low) / 2;

		if (!probe(s, middle, &at, &found) || found > index || at > high)
			high = middle;
		else
			low = at;
	}
	seek(s, low);
	while ((line = next_line(s, WINDOW_BYTES, &len, offset_out)) != NULL && *offset_out <= high)
		if (says_index(line, len, &found) && found >= index)
			return found == index;
	return false;
}

/* Hands on the records of one segment from `from` to `end`, at most: *next_out says how far it came. */
static kmn_err
each_in_segment(struct search *s, uint64_t from, uint64_t end, kmn_line_fn *each, void *cookie, uint64_t *next_out)
{
	uint64_t offset, found;
	const char *line;
	size_t len;
	kmn_err e;

	if (!by_offsets(s, from, &offset) && !by_halving(s, from, &offset))
		return KMN_E_NOT_FOUND;
	seek(s, offset);
	while (from < end && (line = next_line(s, WINDOW_BYTES, &len, &offset)) != NULL) {
		if (line[0] == '#')
			continue;
		if (!says_index(line, len, &found) || found != from)
			return KMN_E_NOT_FOUND;
		if ((e = each(cookie, from, line, len)) != KMN_OK)
			return e;
		*next_out = ++from;
	}
	return KMN_OK;
}

/* The segment that record `index` would be in, by the list of names as it is; lines->count: none. */
static size_t
segment_of(const struct kmn_lines *lines, uint64_t index)
{
	size_t low = 0, high = lines->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (lines->first[middle] <= index)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? lines->count : low - 1;
}

static kmn_err
each_from(struct kmn_lines *lines, uint64_t *next, uint64_t end, kmn_line_fn *each, void *cookie)
{
	size_t n = segment_of(lines, *next);
	uint64_t stop = end, began = *next;
	struct search s;
	kmn_err e;

	if (n == lines->count)
		return KMN_E_NOT_FOUND;
	if (n + 1 < lines->count && lines->first[n + 1] < stop)
		stop = lines->first[n + 1];
	if ((e = search_begin(&s, lines, lines->first[n])) == KMN_OK)
		e = each_in_segment(&s, *next, stop, each, cookie, next);
	search_end(&s);
	return e == KMN_OK && *next == began ? KMN_E_NOT_FOUND : e;
}

kmn_err
kmn_lines_each(struct kmn_lines *lines, uint64_t from, uint64_t count, kmn_line_fn *each, void *cookie)
{
	uint64_t next = from, end = from + count, listed = UINT64_MAX;
	kmn_err e = KMN_OK;

	while (next < end) {
		if (lines->count > 0 && (e = each_from(lines, &next, end, each, cookie)) == KMN_OK)
			continue;
		if (lines->count > 0 && e != KMN_E_NOT_FOUND)
			return e;
		if (listed == next) /* nothing new under a fresh list */
			return KMN_E_NOT_FOUND;
		listed = next;
		if ((e = list_again(lines)) != KMN_OK) /* a segment may have begun since */
			return e;
	}
	return KMN_OK;
}

kmn_err
kmn_line_copy(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct kmn_line_copy *copy = cookie;

	(void)index;
	copy->len = len;
	return (copy->line = strndup(line, len)) == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

kmn_err
kmn_store_line(struct kmn_store *store, uint64_t index, char **line_out, size_t *len_out)
{
	struct kmn_lines lines;
	struct kmn_line_copy one = {NULL, 0};
	kmn_err e;

	kmn_lines_init(&lines, store);
	e = kmn_lines_each(&lines, index, 1, kmn_line_copy, &one);
	kmn_lines_clear(&lines);
	*line_out = one.line;
	*len_out = one.len;
	return e;
}
