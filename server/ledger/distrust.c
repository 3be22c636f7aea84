/*
 * After a failed fsync the kernel keeps what was to be written as clean pages:
 * a reader sees bytes that the disk never got, and no later fsync brings them
 * there. So what the last segment holds is asked of the disk itself (O_DIRECT),
 * and where that differs, what is on the disk is copied into a new file, which
 * takes the segment's place. Advising the kernel to drop the pages is not
 * enough: it may keep them.
 *
 * Only the end can differ: after an error nothing more was written. A file
 * system that has no O_DIRECT (EINVAL) is read as it is.
 *
 * A writer that was killed between its write and its sync left a whole batch in
 * memory, which the disk may not have yet: it is synced before anybody counts
 * it as durable, with the name of the file.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/inner.h"

#define ALIGN 4096u
#define PART_BYTES (1u << 20)
#define END_BYTES (KMN_LOG_BATCH_MAX_BYTES + PART_BYTES) /* a batch, with its framing lines */

/* Up to `len` bytes at `offset`, fewer at the end of the file; a read of whole blocks may stop at any block. */
static kmn_err
read_part(struct kmn_store *store, int fd, uint8_t *out, size_t len, uint64_t offset, size_t *got_out)
{
	ssize_t n = 1;

	*got_out = 0;
	while (*got_out < len && n > 0 && *got_out % ALIGN == 0) {
		n = store->pread(store, fd, out + *got_out, len - *got_out, offset + *got_out);
		*got_out += n > 0 ? (size_t)n : 0;
	}
	return n < 0 ? KMN_E_IO : KMN_OK;
}

static kmn_err
compare_end(struct kmn_store *store, int direct, int cached, uint8_t *buffer, bool *differs_out)
{
	int64_t size = store->size(store, direct);
	uint64_t at = 0;
	size_t a, b;
	kmn_err e = size < 0 ? KMN_E_IO : KMN_OK;

	*differs_out = false;
	if (size > (int64_t)END_BYTES)
		at = ((uint64_t)size - END_BYTES) / ALIGN * ALIGN;
	for (; e == KMN_OK && !*differs_out && at < (uint64_t)size; at += PART_BYTES) {
		if ((e = read_part(store, direct, buffer, PART_BYTES, at, &a)) == KMN_OK &&
		    (e = read_part(store, cached, buffer + PART_BYTES, PART_BYTES, at, &b)) == KMN_OK)
			*differs_out = a != b || memcmp(buffer, buffer + PART_BYTES, a) != 0;
	}
	return e;
}

/* The bytes of the disk in the place of the file. */
static kmn_err
carry_over(struct kmn_store *store, int direct, const char *name)
{
	int64_t size = store->size(store, direct);
	size_t room = size < 0 ? 0 : ((size_t)size / PART_BYTES + 1) * PART_BYTES, len = 0, got = PART_BYTES;
	uint8_t *bytes = size < 0 ? NULL : aligned_alloc(ALIGN, room);
	kmn_err e = bytes == NULL ? KMN_E_NO_MEMORY : KMN_OK;

	while (e == KMN_OK && got == PART_BYTES && len < room) {
		e = read_part(store, direct, bytes + len, PART_BYTES, len, &got);
		len += got;
	}
	if (e == KMN_OK)
		e = kmn_store_replace(store, "seg", strchr(name, '/') + 1, bytes, len);
	free(bytes);
	return e;
}

static kmn_err
sync_segment(struct kmn_store *store, const char *name)
{
	int fd = store->open(store, name, O_WRONLY), failed;

	if (fd < 0)
		return KMN_E_IO;
	failed = store->datasync(store, fd);
	(void)store->close(store, fd);
	return failed < 0 ? KMN_E_IO : kmn_store_sync_folder(store, "seg");
}

static kmn_err
compare_with_disk(struct kmn_store *store, const char *name, bool *differed_out)
{
	int direct = store->open(store, name, O_RDONLY | O_DIRECT), cached = -1;
	uint8_t *buffer = NULL;
	kmn_err e = KMN_E_IO;

	*differed_out = false;
	if (direct < 0)
		return direct == -EINVAL || direct == -EOPNOTSUPP ? KMN_OK : KMN_E_IO;
	if ((cached = store->open(store, name, O_RDONLY)) < 0)
		goto done;
	if ((buffer = aligned_alloc(ALIGN, (size_t)2 * PART_BYTES)) == NULL) {
		e = KMN_E_NO_MEMORY;
		goto done;
	}
	if ((e = compare_end(store, direct, cached, buffer, differed_out)) == KMN_OK && *differed_out)
		e = carry_over(store, direct, name);
done:
	free(buffer);
	(void)store->close(store, direct);
	if (cached >= 0)
		(void)store->close(store, cached);
	return e;
}

kmn_err
kmn_segment_from_disk(struct kmn_store *store, const char *name, bool *differed_out)
{
	kmn_err e = compare_with_disk(store, name, differed_out);

	return e == KMN_OK ? sync_segment(store, name) : e;
}
