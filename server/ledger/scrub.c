/*
 * Reads sealed segments again, a little at a time, and compares each record's
 * leaf hash with the one that the tree was made of: what rots on the disk is
 * noticed before an auditor comes. Owner's thread.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/inner.h"

/* The sealed segment after that which begins at `first`, or the first of all; false: there is none. */
static kmn_err
next_sealed(struct kmn_log *log, bool *found_out)
{
	uint64_t *first, wanted = log->scrub.index;
	size_t count, n = 0;
	kmn_err e = kmn_segments(log->store, &first, &count, NULL);

	*found_out = false;
	if (e != KMN_OK)
		return e;
	while (n < count && first[n] != wanted)
		n++;
	if (n + 1 < count) { /* the last one is not sealed */
		log->scrub.segment = wanted;
		log->scrub.end = first[n + 1];
		log->scrub.offset = 0;
		*found_out = true;
	} else {
		log->scrub.index = 0; /* from the beginning, at the next time */
	}
	free(first);
	return KMN_OK;
}

/* Whole lines of the bytes; *used_out is where the last one ends. */
static kmn_err
compare_lines(struct kmn_log *log, const char *bytes, size_t len, size_t *used_out)
{
	uint8_t here[KMN_HASH_BYTES], there[KMN_HASH_BYTES];
	const char *lf;
	kmn_err e = KMN_OK;

	*used_out = 0;
	while (e == KMN_OK && (lf = memchr(bytes + *used_out, '\n', len - *used_out)) != NULL) {
		size_t line = (size_t)(lf - bytes) - *used_out;

		if (bytes[*used_out] != '#') {
			kmn_leaf_hash(bytes + *used_out, line, here);
			e = log->scrub.index >= log->scrub.end ? KMN_E_CORRUPT
							       : kmn_tiles_leaf(log->tiles, log->scrub.index, there);
			if (e == KMN_OK && memcmp(here, there, sizeof(here)) != 0)
				e = KMN_E_CORRUPT;
			log->scrub.index += e == KMN_OK;
		}
		*used_out += line + 1;
	}
	return e;
}

static kmn_err
read_on(struct kmn_log *log, char *bytes, bool *done_out)
{
	char name[KMN_SEGMENT_NAME_BYTES];
	ssize_t n;
	size_t used = 0;
	int fd;
	kmn_err e;

	*done_out = false;
	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, log->scrub.segment);
	if ((fd = log->store->open(log->store, name, O_RDONLY)) < 0)
		return KMN_E_CORRUPT;
	n = log->store->pread(log->store, fd, bytes, KMN_SCRUB_BYTES, log->scrub.offset);
	(void)log->store->close(log->store, fd);
	if (n < 0)
		return KMN_E_CORRUPT; /* a sealed segment that the disk does not give is as good as lost */
	if ((e = compare_lines(log, bytes, (size_t)n, &used)) != KMN_OK)
		return e;
	log->scrub.offset += used;
	*done_out = used == 0 || (size_t)n < KMN_SCRUB_BYTES;
	if (*done_out && (used != (size_t)n || log->scrub.index != log->scrub.end))
		return KMN_E_CORRUPT;
	return KMN_OK;
}

kmn_err
kmn_log_scrub(struct kmn_log *log, bool *between_out, uint64_t *index_out)
{
	char *bytes;
	bool found = log->scrub.running;
	kmn_err e = KMN_OK;

	*between_out = true;
	if (!found)
		e = next_sealed(log, &found);
	if (e != KMN_OK || !found)
		return e;
	if ((bytes = malloc(KMN_SCRUB_BYTES)) == NULL)
		return KMN_E_NO_MEMORY;
	e = read_on(log, bytes, between_out);
	free(bytes);
	log->scrub.running = e == KMN_OK && !*between_out;
	*index_out = log->scrub.index;
	return e;
}
