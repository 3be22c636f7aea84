/*
 * The writer from inside. Two threads: the owner (whoever opened the log) and
 * the committer. Each field says whose it is.
 *
 *	        append            flush             commit ok
 *	(none) -------> queued --------> in flight ----------> durable
 *	                   \                |  any I/O error
 *	                    `---------------+--------> poisoned: for good, nothing moves any more
 *
 *	L1  a batch is written only after the one before it is durable
 *	L2  a batch's bytes are hashed twice, by owner and committer, and must agree
 *	L3  durable grows only after fdatasync said yes, and is the only thing signed
 *	L4  after the first I/O error there is no second write, sync or signature
 */
#ifndef KANMON_LEDGER_INNER_H
#define KANMON_LEDGER_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/ledger/chain.h"
#include "server/ledger/tiles.h"

/* Records on their way to the disk; the owner's while it is the last of the queue, then the committer's. */
struct kmn_batch {
	struct kmn_batch *next;
	char *bytes;
	size_t len, room;
	uint64_t begin, end;    /* size of the ledger before and after it */
	struct kmn_chain after; /* owner's chain after its last record */
};

struct kmn_log {
	struct kmn_store *store;     /* set once */
	struct kmn_log_sources from; /* owner */
	struct kmn_vkey vkey;        /* set once */
	uint8_t *secret;             /* set once; sodium_malloc, read-only */
	uint32_t publish_ms;         /* set once */
	kmn_err (*publish)(void *cookie, const struct kmn_head *head, const char *note, size_t len); /* set once */
	void *publish_cookie;                                                                        /* set once */
	int lock_fd, event_fd;                                                                       /* set once */
	pthread_t thread;
	bool running; /* owner: the thread is there */

	struct kmn_chain ahead;              /* owner: after the last record that was numbered */
	struct kmn_tiles *tiles;             /* owner: the tree of all records that were numbered */
	uint8_t snapshot_by[KMN_HASH_BYTES]; /* set once */

	pthread_mutex_t mutex; /* guards from here ... */
	pthread_cond_t work, done;
	struct kmn_batch *first, *last;
	size_t queued;     /* batches */
	uint64_t flush_to; /* the committer may take batches that begin below this size */
	struct kmn_head durable;
	bool poisoned, closing;
	uint64_t tiled; /* whole tiles of the first so many records are in files */
	bool starved;   /* poisoned by a full disk */
	char *snapshot; /* waits until snapshot_size is durable; NULL: none */
	size_t snapshot_len;
	uint64_t snapshot_size; /* ... to here */

	struct kmn_chain disk;     /* committer: what is on disk */
	struct kmn_edge disk_edge; /* committer: its tree, and tiles that are not in files yet */
	uint64_t disk_offset;      /* committer: end of the open segment */
	int segment_fd;            /* committer; -1: none is open */
	uint64_t published;        /* committer: size in `checkpoint` */

	struct { /* owner, scrub.c */
		bool running;
		uint64_t segment, end, offset, index; /* first record and end of the segment; where it is read on */
	} scrub;

	uint64_t reserve_bytes;    /* set once */
	uint64_t reserved_to;      /* committer: the open segment has disk space up to here */
	bool reserve_off;          /* committer: this file system cannot */
	bool next_ready;           /* committer: seg/next.tmp is there */
	atomic_bool reserve_short; /* any */
};

#define KMN_LOG_QUEUE_MAX_BATCHES 64

/* recover.c: fills in ahead, tiles, disk, disk_edge, disk_offset, published, durable. */
kmn_err kmn_log_recover(struct kmn_log *log, const struct kmn_log_settings *settings, kmn_log_replay *replay,
    void *cookie, struct kmn_recovery *recovery, struct kmn_why *why) KMN_MUST_CHECK;

/* tail.c: sets the chain as it was at the last mark, or before the header, of the last segment, and where to read on.
 * KMN_E_NOT_FOUND: at neither; the chain is then as it was, and offset 0. */
kmn_err kmn_tail_find(struct kmn_store *store, const uint64_t *first, size_t count, struct kmn_chain *chain,
    uint64_t *offset_out) KMN_MUST_CHECK;

/* snapshot.c */
struct kmn_snapshot {
	uint8_t by[KMN_HASH_BYTES];
	struct kmn_head head;
	uint64_t *index;
	size_t count;
};
#define KMN_SNAPSHOT_MAX_BYTES (16u << 20)
kmn_err kmn_snapshot_write(const struct kmn_snapshot *snapshot, const char *origin, const uint8_t *secret,
    char **bytes_out, size_t *len_out) KMN_MUST_CHECK;
kmn_err kmn_snapshot_read(const char *bytes, size_t len, const char *origin, const uint8_t *secret,
    struct kmn_snapshot *snapshot) KMN_MUST_CHECK;
/* The lines before the MAC. */
kmn_err kmn_snapshot_parse(
    const char *at, size_t len, const char *origin, struct kmn_snapshot *snapshot) KMN_MUST_CHECK;
void kmn_snapshot_clear(struct kmn_snapshot *snapshot);
/* The one in the ledger's folder, if it is this log's and was chosen by `by`. */
bool kmn_snapshot_load(struct kmn_log *log, const uint8_t by[KMN_HASH_BYTES], struct kmn_snapshot *snapshot);

/* derived.c: the committer's. */
kmn_err kmn_log_write_tree(struct kmn_log *log) KMN_MUST_CHECK;
bool kmn_log_snapshot_is_due(const struct kmn_log *log);
kmn_err kmn_log_write_snapshot(struct kmn_log *log) KMN_MUST_CHECK;

/* distrust.c: a segment as the disk has it, not as the kernel remembers it, and all of it synced. */
kmn_err kmn_segment_from_disk(struct kmn_store *store, const char *name, bool *differed_out) KMN_MUST_CHECK;

/* reserve.c, committer: before a batch is written; the next segment's file; a segment is sealed. */
void kmn_reserve_ahead(struct kmn_log *log, size_t len);
void kmn_reserve_next(struct kmn_log *log);
bool kmn_reserve_take_next(struct kmn_log *log, const char *name);
void kmn_reserve_give_back(struct kmn_log *log);

/* commit.c */
void *kmn_log_committer(void *log);
kmn_err kmn_log_publish(struct kmn_log *log, const struct kmn_head *head) KMN_MUST_CHECK;
kmn_err kmn_log_commit(struct kmn_log *log, struct kmn_batch *batch) KMN_MUST_CHECK;
void kmn_batch_free(struct kmn_batch *batch);

#endif
