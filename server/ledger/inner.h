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

#include "server/ledger/chain.h"

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
	int lock_fd, event_fd;       /* set once */
	pthread_t thread;
	bool running; /* owner: the thread is there */

	struct kmn_chain ahead; /* owner: after the last record that was numbered */
	struct kmn_tree *tree;  /* owner: leaves of all records, NULL until needed if the log was opened at its tail */

	pthread_mutex_t mutex; /* guards from here ... */
	pthread_cond_t work, done;
	struct kmn_batch *first, *last;
	size_t queued;     /* batches */
	uint64_t flush_to; /* the committer may take batches that begin below this size */
	struct kmn_head durable;
	bool poisoned, closing; /* ... to here */

	struct kmn_chain disk; /* committer: what is on disk */
	uint64_t disk_offset;  /* committer: end of the open segment */
	int segment_fd;        /* committer; -1: none is open */
	uint64_t published;    /* committer: size in `checkpoint` */
};

#define KMN_LOG_QUEUE_MAX_BATCHES 64

/* recover.c: fills in ahead, tree, disk, disk_offset, published, durable. */
kmn_err kmn_log_recover(struct kmn_log *log, const struct kmn_log_settings *settings, kmn_log_replay *replay,
    void *cookie, struct kmn_recovery *recovery, struct kmn_why *why) KMN_MUST_CHECK;
/* recover.c: all leaves, for proofs of a log that was opened at its tail. */
kmn_err kmn_log_load_tree(struct kmn_log *log) KMN_MUST_CHECK;

/* commit.c */
void *kmn_log_committer(void *log);
kmn_err kmn_log_publish(struct kmn_log *log, const struct kmn_head *head) KMN_MUST_CHECK;
kmn_err kmn_log_commit(struct kmn_log *log, struct kmn_batch *batch) KMN_MUST_CHECK;
void kmn_batch_free(struct kmn_batch *batch);

#endif
