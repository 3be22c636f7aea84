/* Opening: what is on disk, how much of it stands, and what is moved aside. */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/verify.h"
#include "server/ledger/inner.h"

/* One opening, while it lasts. */
struct opening {
	struct kmn_log *log;
	kmn_log_replay *replay;
	void *cookie;
	struct kmn_recovery *recovery;
	struct kmn_why *why;
	struct kmn_walk walk;
	uint64_t *first; /* segments */
	size_t count;
	bool whole; /* every record is read and replayed */
};

/* The log may only go on with the key and the name that its genesis says. */
static kmn_err
check_genesis(struct kmn_log *log, const struct kmn_record *record, struct kmn_why *why)
{
	char vkey[KMN_VKEY_MAX_BYTES];
	const char *written;
	kmn_err e;

	if ((e = kmn_vkey_make(log->ahead.origin, log->vkey.pub, &log->vkey)) != KMN_OK)
		return e;
	kmn_vkey_format(&log->vkey, vkey);
	if (!kmn_json_get_text(record->body, "vkey", &written) || strcmp(written, vkey) != 0) {
		kmn_why_set(why, "the log key is not the one in genesis");
		return KMN_E_CONFIG;
	}
	return KMN_OK;
}

/* Who reads all leaves has all tiles: files that are missing or wrong are written again. */
static kmn_err
mend_tiles(struct kmn_log *log)
{
	kmn_err e = KMN_OK;

	for (const struct kmn_tile *tile = kmn_tiles_edge(log->tiles)->whole; e == KMN_OK && tile != NULL;
	     tile = tile->next)
		e = kmn_tile_mend(log->store, tile);
	kmn_tiles_written(log->tiles, kmn_tiles_size(log->tiles));
	return e;
}

static kmn_err
each_record(
    void *cookie, const struct kmn_record *record, kmn_err body, uint64_t line, uint64_t offset, struct kmn_why *why)
{
	struct opening *opening = cookie;
	struct kmn_log *log = opening->log;
	kmn_err e = KMN_OK;

	(void)line;
	(void)offset;
	if (body != KMN_OK) /* another build's record: this one cannot know what it means for the state */
		return KMN_E_CORRUPT;
	if (record->i == 0) {
		memcpy(log->ahead.origin, opening->walk.chain.origin, sizeof(log->ahead.origin));
		e = check_genesis(log, record, why);
	}
	if (e == KMN_OK && (e = kmn_tiles_add(log->tiles, record->leaf)) == KMN_OK && opening->whole)
		e = mend_tiles(log);
	if (e == KMN_OK && opening->whole && opening->replay != NULL)
		e = opening->replay(opening->cookie, record);
	return e;
}

/* A commit line by its form alone: what stands before it is broken, so its root cannot be judged. */
static bool
looks_like_commit(const char *line, size_t len)
{
	char text[128], b64[45];
	uint8_t root[KMN_HASH_BYTES];
	uint64_t size;
	size_t root_len;
	int used = 0;

	if (len >= sizeof(text) || len < 9 || memcmp(line, "#commit ", 8) != 0)
		return false;
	memcpy(text, line, len);
	text[len] = '\0';
	return sscanf(text, "#commit %16" SCNu64 " %44s%n", &size, b64, &used) == 2 && (size_t)used == len &&
	       kmn_b64_parse(b64, strlen(b64), root, sizeof(root), &root_len) == KMN_OK && root_len == sizeof(root);
}

/*
 * Only one batch is ever in flight (L1), so what a crash can leave after the
 * last good commit is at most one batch, in part: its beginning, or all of it
 * with sectors that were not written and read as zero, which no line holds.
 * Anything else was durable once and has been changed since.
 */
static bool
tail_is_torn(const struct kmn_walk *walk, const char *tail, size_t len)
{
	if (walk->end == KMN_WALK_TAIL)
		return true;
	if (memchr(tail, '\0', len) == NULL)
		return false;
	for (size_t at = 0; at < len;) {
		const char *lf = memchr(tail + at, '\n', len - at);
		size_t end = lf == NULL ? len : (size_t)(lf - tail);

		if (end + 1 < len && looks_like_commit(tail + at, end - at)) /* others follow: it was not the last */
			return false;
		at = end + 1;
	}
	return true;
}

static kmn_err
cut_segment(struct kmn_store *store, const char *name, uint64_t offset)
{
	int fd = store->open(store, name, O_WRONLY);
	kmn_err e = KMN_OK;

	if (fd < 0)
		return KMN_E_IO;
	if (store->truncate(store, fd, offset) < 0 || store->sync(store, fd) < 0)
		e = KMN_E_IO;
	if (store->close(store, fd) < 0)
		e = KMN_E_IO;
	return e;
}

/* What was published, if the file is there: it is derived, and written again. */
static kmn_err
read_published(struct opening *opening, struct kmn_head *head_out)
{
	struct kmn_log *log = opening->log;
	struct kmn_note note;
	char *bytes;
	size_t len, count;
	bool verified;
	kmn_err e = kmn_store_read(log->store, "checkpoint", KMN_NOTE_MAX_BYTES, &bytes, &len);

	memset(head_out, 0, sizeof(*head_out));
	if (e == KMN_E_NOT_FOUND)
		return KMN_OK;
	if (e != KMN_OK)
		return e;
	if (kmn_note_parse(bytes, len, &note, NULL) != KMN_OK ||
	    kmn_note_verify(&note, &log->vkey, 1, &verified, &count, NULL) != KMN_OK || count != 1 ||
	    kmn_checkpoint_parse(&note, log->ahead.origin, head_out, NULL) != KMN_OK) {
		kmn_why_set(opening->why, "checkpoint is not one that this ledger signed");
		e = KMN_E_CORRUPT;
	}
	free(bytes);
	return e;
}

/* Less than was published is a ledger that was rolled back or damaged; nothing of it may be moved. */
static kmn_err
check_size(struct opening *opening, uint64_t size, struct kmn_head *published_out)
{
	kmn_err e = read_published(opening, published_out);

	if (e == KMN_OK && published_out->size > size) {
		kmn_why_set(opening->why, "the ledger has %" PRIu64 " whole records, its checkpoint says %" PRIu64,
		    size, published_out->size);
		e = KMN_E_CORRUPT;
	}
	return e;
}

/* Moves the bytes from `offset` on into quarantine/: first the copy is durable, then they go. */
static kmn_err
quarantine(struct opening *opening, const char *segment, const char *tail, size_t len, uint64_t offset)
{
	struct kmn_recovery *recovery = opening->recovery;
	struct kmn_store *store = opening->log->store;
	const char *name;
	kmn_err e;

	kmn_sha256(tail, len, recovery->sha256);
	(void)snprintf(recovery->segment, sizeof(recovery->segment), "%s", segment);
	(void)snprintf(recovery->quarantine, sizeof(recovery->quarantine),
	    "quarantine/%020" PRIu64 ".%" PRIu64 ".%02x%02x%02x%02x", opening->walk.chain.segment, offset,
	    recovery->sha256[0], recovery->sha256[1], recovery->sha256[2], recovery->sha256[3]);
	name = strchr(recovery->quarantine, '/') + 1;
	if ((e = kmn_store_replace(store, "quarantine", name, tail, len)) != KMN_OK ||
	    (e = cut_segment(store, segment, offset)) != KMN_OK)
		return e;
	recovery->torn = true;
	recovery->offset = offset;
	recovery->bytes = len;
	return KMN_OK;
}

/* Looks for a file in quarantine/ that was cut off exactly here. */
struct last_cut {
	char prefix[48], name[64];
};

static int
each_quarantined(void *cookie, const char *name)
{
	struct last_cut *cut = cookie;
	size_t len = strlen(name);

	if (strncmp(name, cut->prefix, strlen(cut->prefix)) != 0 || len >= sizeof(cut->name) ||
	    len != strlen(cut->prefix) + 8)
		return 0;
	memcpy(cut->name, name, len + 1);
	return 1;
}

/*
 * A crash between the cut and the `recovery` record that tells of it: nothing
 * was written since, so the ledger still ends where it was cut off. What was
 * moved aside is then reported again, or nobody would ever say it.
 */
static kmn_err
find_untold_cut(struct opening *opening, uint64_t segment, uint64_t end)
{
	struct kmn_recovery *recovery = opening->recovery;
	struct kmn_store *store = opening->log->store;
	struct last_cut cut = {.name = ""};
	char *bytes;
	size_t len;
	kmn_err e;

	(void)snprintf(cut.prefix, sizeof(cut.prefix), "%020" PRIu64 ".%" PRIu64 ".", segment, end);
	if (recovery->torn || store->list(store, "quarantine", each_quarantined, &cut) <= 0)
		return KMN_OK;
	(void)snprintf(recovery->quarantine, sizeof(recovery->quarantine), "quarantine/%s", cut.name);
	if ((e = kmn_store_read(store, recovery->quarantine, SIZE_MAX / 2, &bytes, &len)) != KMN_OK)
		return e;
	kmn_sha256(bytes, len, recovery->sha256);
	free(bytes);
	(void)snprintf(recovery->segment, sizeof(recovery->segment), KMN_SEGMENT_NAME, segment);
	recovery->torn = true;
	recovery->offset = end;
	recovery->bytes = len;
	return KMN_OK;
}

/* The last segment did not end at a commit: torn tail or damage. */
static kmn_err
recover_tail(struct opening *opening)
{
	struct kmn_walk *walk = &opening->walk;
	char name[KMN_SEGMENT_NAME_BYTES], *bytes = NULL;
	uint64_t offset = walk->good.bytes;
	struct kmn_head published;
	size_t len;
	kmn_err e;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, walk->chain.segment);
	if ((e = kmn_store_read(opening->log->store, name, walk->size, &bytes, &len)) != KMN_OK)
		return e;
	if (!tail_is_torn(walk, bytes + offset, len - offset)) {
		kmn_why_set(opening->why, "%s line %" PRIu64 ": damaged before the last commit", name, walk->line);
		e = KMN_E_CORRUPT;
	} else if (walk->good.front.size == 0) {
		kmn_why_set(opening->why, "%s: genesis was never committed; create the ledger again", name);
		e = KMN_E_CORRUPT;
	} else if ((e = check_size(opening, walk->good.front.size, &published)) == KMN_OK && len > offset) {
		e = quarantine(opening, name, bytes + offset, len - offset, offset);
	}
	free(bytes);
	walk->chain = walk->good;
	return e;
}

static kmn_err
walk_segment(struct opening *opening, size_t n)
{
	struct kmn_walk *walk = &opening->walk;
	char name[KMN_SEGMENT_NAME_BYTES];
	bool last = n + 1 == opening->count;
	kmn_err e;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, opening->first[n]);
	if (opening->first[n] != walk->chain.front.size || (n > 0 && !kmn_chain_full(&walk->chain))) {
		kmn_why_set(opening->why, "%s does not follow the segment before it", name);
		return KMN_E_CORRUPT;
	}
	kmn_chain_turn(&walk->chain);
	if ((e = kmn_walk_file(walk, opening->first[n], 0)) != KMN_OK)
		return e;
	if (walk->end == KMN_WALK_CLEAN)
		return KMN_OK;
	if (walk->end == KMN_WALK_STOPPED) {
		kmn_why_set(opening->why, "%s line %" PRIu64 ": %.160s", name, walk->line, walk->why.text);
		return walk->error;
	}
	if (last)
		return recover_tail(opening);
	kmn_why_set(opening->why, "%s line %" PRIu64 ": %.160s", name, walk->line, walk->why.text);
	return KMN_E_CORRUPT;
}

static kmn_err
walk_all(struct opening *opening)
{
	kmn_err e = KMN_OK;

	for (size_t n = 0; e == KMN_OK && n < opening->count; n++)
		e = walk_segment(opening, n);
	return e;
}

/* The last segment from its last mark on; KMN_E_NOT_FOUND: there is none, or it does not hold. */
static kmn_err
walk_tail(struct opening *opening)
{
	struct kmn_walk *walk = &opening->walk;
	struct kmn_log *log = opening->log;
	struct kmn_head head;
	uint64_t offset;
	kmn_err e;

	e = kmn_tail_find(log->store, opening->first, opening->count, &walk->chain, &offset);
	if (e != KMN_OK && (e != KMN_E_NOT_FOUND || opening->count > 1))
		return e;
	kmn_frontier_head(&walk->chain.front, &head);
	e = kmn_tiles_open(log->store, &head, &log->tiles, opening->why);
	if (e == KMN_E_CORRUPT) /* reading all of it says where */
		return KMN_E_NOT_FOUND;
	if (e != KMN_OK)
		return e;
	if ((e = kmn_walk_file(walk, walk->chain.segment, offset)) != KMN_OK || walk->end == KMN_WALK_CLEAN)
		return e;
	return walk->end == KMN_WALK_STOPPED ? walk->error : recover_tail(opening);
}

/* Genesis alone, for the name and the key, when the rest is not read. */
static kmn_err
read_genesis(struct opening *opening)
{
	struct kmn_log *log = opening->log;
	struct kmn_record record;
	char name[KMN_SEGMENT_NAME_BYTES], head[2 * KMN_LINE_MAX_BYTES];
	const char *line, *end;
	struct kmn_chain chain = log->ahead;
	enum kmn_line kind;
	kmn_err e = KMN_E_CORRUPT, body;
	ssize_t len;
	int fd;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, UINT64_C(0));
	if ((fd = log->store->open(log->store, name, O_RDONLY)) < 0) {
		kmn_why_set(opening->why, "%s: %s", name, strerror(-fd));
		return KMN_E_IO;
	}
	len = log->store->pread(log->store, fd, head, sizeof(head), 0);
	(void)log->store->close(log->store, fd);
	if (len <= 0 || (line = memchr(head, '\n', (size_t)len)) == NULL)
		return KMN_E_CORRUPT;
	line++;
	if ((end = memchr(line, '\n', (size_t)(head + len - line))) == NULL ||
	    kmn_chain_feed(&chain, head, (size_t)(line - 1 - head), &kind, &record, &body, opening->why) != KMN_OK ||
	    kmn_chain_feed(&chain, line, (size_t)(end - line), &kind, &record, &body, opening->why) != KMN_OK)
		return e;
	memcpy(log->ahead.origin, chain.origin, sizeof(chain.origin));
	memcpy(opening->walk.chain.origin, chain.origin, sizeof(chain.origin));
	e = check_genesis(log, &record, opening->why);
	kmn_record_clear(&record);
	return e;
}

static kmn_err
check_published(struct opening *opening)
{
	struct kmn_log *log = opening->log;
	struct kmn_head head, here;
	kmn_err e = check_size(opening, log->ahead.front.size, &head);

	if (e != KMN_OK || head.size == 0)
		return e;
	if ((e = kmn_tiles_head(log->tiles, head.size, &here)) != KMN_OK)
		return e;
	if (memcmp(here.root, head.root, KMN_HASH_BYTES) != 0) {
		kmn_why_set(opening->why, "the checkpoint has another root at size %" PRIu64, head.size);
		return KMN_E_CORRUPT;
	}
	log->published = head.size;
	return KMN_OK;
}

/* From the first record on; with it go all tiles. */
static kmn_err
read_whole(struct opening *opening)
{
	struct kmn_log *log = opening->log;
	struct kmn_head nothing;
	kmn_err e;

	opening->whole = true;
	kmn_tiles_free(log->tiles);
	log->tiles = NULL;
	kmn_chain_init(&opening->walk.chain, log->ahead.origin, log->ahead.max_records, log->ahead.max_bytes);
	kmn_frontier_head(&opening->walk.chain.front, &nothing);
	if ((e = kmn_tiles_open(log->store, &nothing, &log->tiles, opening->why)) != KMN_OK)
		return e;
	return walk_all(opening);
}

/* From the last mark on, if that is enough; else all of it, which also says where damage is. */
static kmn_err
read_ledger(struct opening *opening)
{
	kmn_err e = KMN_E_NOT_FOUND;

	if (!opening->whole && (e = read_genesis(opening)) == KMN_OK)
		e = walk_tail(opening);
	if (e == KMN_E_NOT_FOUND)
		e = read_whole(opening);
	return e;
}

/* What was read is what the log goes on from; held against what it published. */
static kmn_err
settle(struct opening *opening)
{
	struct kmn_log *log = opening->log;
	kmn_err e;

	log->ahead = log->disk = opening->walk.chain;
	log->disk_offset = opening->walk.chain.bytes;
	if ((e = check_published(opening)) != KMN_OK ||
	    (e = kmn_tiles_mend(log->tiles, opening->first[opening->count - 1])) != KMN_OK)
		return e;
	kmn_frontier_head(&log->disk.front, &log->durable);
	log->tiled = log->durable.size;
	kmn_tiles_written(log->tiles, log->tiled);
	return KMN_OK;
}

static kmn_err
replay_line(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct opening *opening = cookie;
	struct kmn_record record;
	kmn_err e = kmn_record_parse(line, len, &record, opening->why);

	(void)index;
	if (e == KMN_OK) {
		e = kmn_record_check(record.kind, record.body, opening->why) == KMN_OK
			? opening->replay(opening->cookie, &record)
			: KMN_E_CORRUPT;
		kmn_record_clear(&record);
	}
	return e;
}

/* The records that a snapshot names, and all that came after: each held against the tree. */
static kmn_err
replay_chosen(
    struct opening *opening, const struct kmn_snapshot *snapshot, kmn_err (*resume)(void *cookie, uint64_t size))
{
	struct kmn_tiles *tiles = opening->log->tiles;
	kmn_err e = resume(opening->cookie, snapshot->head.size);

	for (size_t n = 0; e == KMN_OK && n < snapshot->count; n++)
		e = kmn_tiles_each(tiles, snapshot->index[n], 1, replay_line, opening);
	if (e == KMN_OK)
		e = kmn_tiles_each(
		    tiles, snapshot->head.size, kmn_tiles_size(tiles) - snapshot->head.size, replay_line, opening);
	return e;
}

/* Is it about this ledger? */
static bool
lies_on(const struct kmn_snapshot *snapshot, struct kmn_tiles *tiles)
{
	struct kmn_head here;

	return kmn_tiles_head(tiles, snapshot->head.size, &here) == KMN_OK &&
	       memcmp(here.root, snapshot->head.root, KMN_HASH_BYTES) == 0;
}

/* Reads what must be read, and replays what makes up the state. */
static kmn_err
read_and_replay(struct opening *opening, const struct kmn_log_settings *settings)
{
	struct kmn_log *log = opening->log;
	struct kmn_snapshot snapshot = {.index = NULL};
	bool chosen = false;
	kmn_err e;

	if (opening->replay != NULL && settings->resume != NULL && (e = read_genesis(opening)) != KMN_OK)
		return e;
	if (opening->replay != NULL && settings->resume != NULL)
		chosen = kmn_snapshot_load(log, settings->snapshot_by, &snapshot);
	opening->whole = opening->replay != NULL && !chosen;
	if ((e = read_ledger(opening)) == KMN_OK && (e = settle(opening)) == KMN_OK && chosen && !opening->whole) {
		if (lies_on(&snapshot, log->tiles))
			e = replay_chosen(opening, &snapshot, settings->resume);
		else if ((e = read_whole(opening)) == KMN_OK)
			e = settle(opening);
	}
	kmn_snapshot_clear(&snapshot);
	return e;
}

kmn_err
kmn_log_recover(struct kmn_log *log, const struct kmn_log_settings *settings, kmn_log_replay *replay, void *cookie,
    struct kmn_recovery *recovery, struct kmn_why *why)
{
	struct opening opening = {.log = log, .replay = replay, .cookie = cookie, .recovery = recovery, .why = why};
	char last[KMN_SEGMENT_NAME_BYTES];
	kmn_err e;

	memset(recovery, 0, sizeof(*recovery));
	kmn_chain_init(&log->ahead, settings->origin, settings->segment_records, settings->segment_bytes);
	opening.walk =
	    (struct kmn_walk){.store = log->store, .chain = log->ahead, .record = each_record, .cookie = &opening};
	if ((e = kmn_segments(log->store, &opening.first, &opening.count, why)) != KMN_OK)
		goto done;
	(void)snprintf(last, sizeof(last), KMN_SEGMENT_NAME, opening.first[opening.count - 1]);
	if ((e = kmn_segment_from_disk(log->store, last, &recovery->distrusted)) != KMN_OK) {
		kmn_why_set(why, "%s: the disk does not give it", last);
		goto done;
	}
	if ((e = read_and_replay(&opening, settings)) != KMN_OK)
		goto done;
	if ((e = find_untold_cut(&opening, log->disk.segment, log->disk_offset)) != KMN_OK)
		goto done;
	if ((e = kmn_edge_copy(&log->disk_edge, kmn_tiles_edge(log->tiles))) != KMN_OK)
		goto done;
	recovery->last_commit = log->durable;
	recovery->clean = log->disk.last == KMN_R_GATEWAY_STOP && !recovery->torn && !recovery->distrusted;
done:
	kmn_walk_clear(&opening.walk);
	free(opening.first);
	return e;
}
