/* V1 beside the segments: what is derived from them, and blobs. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/log.h"
#include "server/ledger/verify.h"

static void
say(struct kmn_verify_files *files, enum kmn_severity severity, const char *file, uint64_t line, const char *text)
{
	struct kmn_place place = {file, line, UINT64_MAX};

	kmn_checker_say(files->checking, KMN_V1, severity, &place, "%s", text);
}

/* "segment offset size root": read, written again and compared, as all that is derived. */
void
kmn_files_begin(struct kmn_verify_files *files, const struct kmn_checking *checking)
{
	char *bytes, again[160], b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_head *head = &files->state.head;
	size_t len, root_len;
	bool ok;
	kmn_err e = kmn_store_read(checking->settings->store, "state/head", sizeof(again), &bytes, &len);

	files->checking = checking;
	if (e == KMN_E_NOT_FOUND)
		return;
	ok = e == KMN_OK &&
	     sscanf(bytes, "%27s %20" SCNu64 " %20" SCNu64 " %44s\n", files->state.segment, &files->state.offset,
		 &head->size, b64) == 4 &&
	     kmn_b64_parse(b64, strlen(b64), head->root, KMN_HASH_BYTES, &root_len) == KMN_OK &&
	     root_len == KMN_HASH_BYTES &&
	     snprintf(again, sizeof(again), "%s %" PRIu64 " %" PRIu64 " %s\n", files->state.segment,
		 files->state.offset, head->size, b64) == (int)len &&
	     memcmp(again, bytes, len) == 0;
	free(bytes);
	files->state.there = ok;
	if (!ok)
		say(files, KMN_FINDING, "state/head", 1, "not the form of state/head");
}

kmn_err
kmn_files_record(struct kmn_verify_files *files, uint64_t offset)
{
	uint8_t *grown;

	if (files->off_len == files->off_room) {
		files->off_room = files->off_room * 2 + 4096;
		if ((grown = realloc(files->off, files->off_room)) == NULL)
			return KMN_E_NO_MEMORY;
		files->off = grown;
	}
	for (unsigned n = 0; n < 4; n++)
		files->off[files->off_len++] = (uint8_t)(offset >> (24 - 8 * n));
	return KMN_OK;
}

void
kmn_files_commit(struct kmn_verify_files *files, const char *segment, const struct kmn_head *head, uint64_t offset)
{
	if (files->state.there && files->state.head.size == head->size)
		files->state.met = strcmp(files->state.segment, segment) == 0 && files->state.offset == offset &&
				   memcmp(files->state.head.root, head->root, KMN_HASH_BYTES) == 0;
}

/* Only a full segment has offsets; one that fills while it is read may get them meanwhile. */
void
kmn_files_segment(struct kmn_verify_files *files, const char *segment, bool full)
{
	char name[KMN_SEGMENT_NAME_BYTES + 4], *bytes;
	size_t len, want = files->off_len;
	kmn_err e;

	files->off_len = 0;
	if (!full)
		return;
	(void)snprintf(name, sizeof(name), "%s.off", segment);
	e = kmn_store_read(files->checking->settings->store, name, 1u << 30, &bytes, &len);
	if (e == KMN_E_NOT_FOUND)
		return;
	if (e != KMN_OK || len != want || memcmp(bytes, files->off, len) != 0)
		say(files, KMN_FINDING, name, 0,
		    "the derived offsets are not those of the segment's records: one of the two was changed");
	free(bytes);
}

static int
each_blob(void *cookie, const char *name)
{
	struct kmn_verify_files *files = cookie;
	char path[6 + 2 * KMN_HASH_BYTES + 1], is[2 * KMN_HASH_BYTES + 1], *bytes;
	uint8_t hash[KMN_HASH_BYTES];
	size_t len, name_len = strlen(name);
	kmn_err e;

	if (name_len > 4 && strcmp(name + name_len - 4, ".tmp") == 0) /* a crash while it was written */
		return 0;
	if (name_len != 2 * KMN_HASH_BYTES) {
		struct kmn_place place = {"blobs", 0, UINT64_MAX};

		kmn_checker_say(files->checking, KMN_V1, KMN_FINDING, &place, "%.100s is not the name of a blob", name);
		return 0;
	}
	(void)snprintf(path, sizeof(path), "blobs/%s", name);
	e = kmn_store_read(files->checking->settings->store, path, KMN_BLOB_MAX_BYTES, &bytes, &len);
	if (e != KMN_OK) {
		say(files, KMN_FINDING, path, 0, kmn_err_text(e));
		return 0;
	}
	kmn_sha256(bytes, len, hash);
	free(bytes);
	(void)sodium_bin2hex(is, sizeof(is), hash, sizeof(hash));
	if (strcmp(is, name) != 0)
		say(files, KMN_FINDING, path, 0, "its bytes do not have the hash that is its name");
	files->checking->report->blobs++;
	return 0;
}

void
kmn_files_end(struct kmn_verify_files *files)
{
	struct kmn_store *store = files->checking->settings->store;
	struct kmn_place place = {"state/head", 1, UINT64_MAX};
	int failed;

	if (files->state.there && !files->state.met)
		kmn_checker_say(files->checking, KMN_V1, KMN_FINDING, &place,
		    "no commit of size %" PRIu64 " ends at offset %" PRIu64
		    " of %s: lines were dropped, or this file changed",
		    files->state.head.size, files->state.offset, files->state.segment);
	failed = store->list(store, "blobs", each_blob, files);
	if (failed != 0 && failed != -ENOENT)
		say(files, KMN_MISSING, "blobs", 0, "cannot be read");
}

void
kmn_files_clear(struct kmn_verify_files *files)
{
	free(files->off);
	memset(files, 0, sizeof(*files));
}
