/*
 * The ledger's writer. One owner thread appends; one committer thread, inside,
 * makes batches durable and publishes checkpoints.
 *
 *	ref = append(...) append(...) flush()	-> records get numbers at once
 *	eventfd readable -> durable(&head)	-> everything with i < head.size is on disk
 *
 * Nothing may leave the gateway before the record it stands on is below
 * head.size (I1). Any I/O error poisons the log: it never syncs again, refuses
 * every call, and what was not durable then stays unreleased (ledger.md 2.5).
 * Every function is the owner thread's.
 */
#ifndef KANMON_LOG_H
#define KANMON_LOG_H

#include "kanmon/note.h"
#include "kanmon/record.h"
#include "kanmon/store.h"

#define KMN_LOG_BATCH_MAX_RECORDS 1024
#define KMN_LOG_BATCH_MAX_BYTES (4u << 20)
#define KMN_LOG_SEGMENT_RECORDS 65536
#define KMN_LOG_SEGMENT_BYTES (64u << 20)
#define KMN_LOG_MARK_RECORDS 256
#define KMN_BLOB_MAX_BYTES (16u << 20)

struct kmn_log;

/* Time and chance are handed in, so that tests own them; kmn_log_sources_system() gives the real ones. */
struct kmn_log_sources {
	uint64_t (*now_ms)(void *cookie);  /* CLOCK_REALTIME; the log never lets `t` go backwards */
	uint64_t (*boot_ms)(void *cookie); /* CLOCK_BOOTTIME */
	void (*random)(void *cookie, void *out, size_t len);
	void *cookie;
};
void kmn_log_sources_system(struct kmn_log_sources *out);

struct kmn_log_settings {
	struct kmn_store *store; /* borrowed, outlives the log */
	const char *origin;      /* NULL: as genesis says. Otherwise genesis must say the same */
	const uint8_t *secret;   /* KMN_ED25519_SECRET_BYTES; copied into guarded memory */
	struct kmn_log_sources sources;
	uint64_t segment_records, segment_bytes; /* 0: the format's; tests make segments small */
	uint32_t publish_ms;                     /* 0: 1000; at most this long until `checkpoint` follows the ledger */
	uint64_t reserve_bytes; /* disk space taken ahead, in the open segment and for the next; 0: none */
	/*
	 * Called once, before anything is replayed, where state/snapshot holds (kmn_log_snapshot): the records replayed
	 * are then those that it names, all below `size`, and every one from `size` on. NULL: all are replayed, always.
	 */
	kmn_err (*resume)(void *cookie, uint64_t size);
	uint8_t snapshot_by[KMN_HASH_BYTES]; /* who chose: a snapshot of another build is not used */
	/*
	 * Committer's thread: a head that is durable, and its signed note, before it becomes `checkpoint`; NULL: nobody
	 * wants it. KMN_E_AGAIN: not now, it is asked again; any other failure poisons the log.
	 */
	kmn_err (*publish)(void *cookie, const struct kmn_head *head, const char *note, size_t len);
	void *publish_cookie;
};

/* What opening found (KMN_E_... otherwise). */
struct kmn_recovery {
	struct kmn_head last_commit; /* what stands */
	bool clean;                  /* the last record is gateway.stop */
	bool distrusted;             /* the disk held other bytes than the kernel remembered: the disk's count */
	bool torn;                   /* bytes after the last commit were moved aside; the rest is about them */
	char segment[40];            /* file they were in */
	uint64_t offset, bytes;
	uint8_t sha256[KMN_HASH_BYTES];
	char quarantine[80]; /* file they are in now */
};

/* The member `dropped` of a `recovery` record, NULL if nothing was. The keeper writes that record: it alone knows
 * which requests were open. */
json_t *kmn_recovery_dropped(const struct kmn_recovery *recovery);

/* Called for each record in order while a log opens; a result other than KMN_OK ends opening with it. */
typedef kmn_err kmn_log_replay(void *cookie, const struct kmn_record *record);

/*
 * The only way a ledger comes to be: in an empty folder, with its genesis
 * record (body stolen) durable and `checkpoint` written. KMN_E_EXISTS if there
 * is one.
 */
kmn_err kmn_log_create(const struct kmn_log_settings *settings, json_t *genesis, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * Takes the writer's lock (KMN_E_BUSY), recovers a torn tail, replays every
 * record (or, with `replay` NULL, reads from the last mark only), starts the
 * committer. KMN_E_CORRUPT: a bad line before the last commit, or less than
 * `checkpoint` says; KMN_E_NOT_FOUND: no ledger was created here.
 */
kmn_err kmn_log_open(const struct kmn_log_settings *settings, kmn_log_replay *replay, void *cookie,
    struct kmn_recovery *recovery_out, struct kmn_log **log_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Flushes, waits, publishes `checkpoint`, ends the thread, frees. A last batch whose last record is gateway.stop
 * carries a mark. The result says whether all of it is durable. */
kmn_err kmn_log_close(struct kmn_log *log);

/*
 * Gives a record its number and queues it. The body is stolen, also on
 * failure. *ref_out (may be NULL) and *record_out (may be NULL; views, the
 * caller clears it) are what kmn_quorum_apply() wants. KMN_E_MALFORMED: body
 * against the table; KMN_E_TOO_BIG; KMN_E_LEDGER: poisoned or far behind.
 */
kmn_err kmn_log_append(struct kmn_log *log, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref_out,
    struct kmn_record *record_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Lets the committer take what is queued: now if it is idle, else as its next batch. Never waits. */
void kmn_log_flush(struct kmn_log *log);
/* For start-up and tests: flushes and waits until all is durable or the log is poisoned. */
kmn_err kmn_log_wait(struct kmn_log *log) KMN_MUST_CHECK;

/* Readable when the durable size grew or the log was poisoned; read 8 bytes to reset it. Borrowed. */
int kmn_log_eventfd(const struct kmn_log *log);
void kmn_log_durable(struct kmn_log *log, struct kmn_head *head_out);
bool kmn_log_poisoned(struct kmn_log *log);
/* It was poisoned by a full disk: nothing on it is doubted, and a new start helps when there is space. */
bool kmn_log_starved(struct kmn_log *log);
/* There is no space for what is to be taken ahead. */
bool kmn_log_is_short(struct kmn_log *log);
/* A file that holds disk space for the last records of a run on a full disk: made, or given up. */
#define KMN_LOG_EMERGENCY_BYTES (8u << 20)
void kmn_log_emergency(struct kmn_store *store, bool keep);
/* Records numbered so far, durable or not. */
uint64_t kmn_log_size(const struct kmn_log *log);
const char *kmn_log_origin(const struct kmn_log *log);
/* The key that signs its checkpoints. */
const struct kmn_vkey *kmn_log_vkey(const struct kmn_log *log);

/* The signed note of the durable head; the caller's to free(). */
kmn_err kmn_log_checkpoint(
    struct kmn_log *log, struct kmn_head *head_out, char **note_out, size_t *len_out) KMN_MUST_CHECK;
/* Proofs in the tree of the first `size` records, which must be durable. */
kmn_err kmn_log_head_at(struct kmn_log *log, uint64_t size, struct kmn_head *head_out) KMN_MUST_CHECK;
kmn_err kmn_log_inclusion(struct kmn_log *log, uint64_t index, uint64_t size, struct kmn_path *path_out) KMN_MUST_CHECK;
kmn_err kmn_log_consistency(struct kmn_log *log, uint64_t from, uint64_t to, struct kmn_path *path_out) KMN_MUST_CHECK;
/* Calls `each` with `count` durable records from `from` on, each held against the tree; what it returns ends it. */
kmn_err kmn_log_each(
    struct kmn_log *log, uint64_t from, uint64_t count, kmn_line_fn *each, void *cookie) KMN_MUST_CHECK;
/* The raw line of a durable record; the caller's to free(). */
kmn_err kmn_log_line(struct kmn_log *log, uint64_t index, char **line_out, size_t *len_out) KMN_MUST_CHECK;

/*
 * The records, in ascending order, that make up the owner's state at the size the log has now: what its next opening
 * replays instead of all. Written once these are durable, authenticated with the log key; a hint all the same.
 */
kmn_err kmn_log_snapshot(struct kmn_log *log, const uint64_t *index, size_t count) KMN_MUST_CHECK;
/*
 * Reads on in the sealed segments, at most KMN_SCRUB_BYTES, and begins again behind the last. KMN_E_CORRUPT: from record
 * *index_out on a segment is not what the tree was made of. *between_out: the next call begins a segment.
 */
#define KMN_SCRUB_BYTES (1u << 20)
kmn_err kmn_log_scrub(struct kmn_log *log, bool *between_out, uint64_t *index_out) KMN_MUST_CHECK;

/* A small derived file in state/, durable before this returns. */
kmn_err kmn_log_keep_state(struct kmn_log *log, const char *name, const void *bytes, size_t len) KMN_MUST_CHECK;
/* What was kept, a hint: at most `max` bytes, NUL-terminated, to free(). KMN_E_NOT_FOUND: nothing was. */
kmn_err kmn_log_kept_state(
    struct kmn_log *log, const char *name, size_t max, char **bytes_out, size_t *len_out) KMN_MUST_CHECK;

/* Blobs: files named by their SHA-256, durable before put returns, checked at get. */
kmn_err kmn_log_blob_put(
    struct kmn_log *log, const void *bytes, size_t len, uint8_t sha256_out[KMN_HASH_BYTES]) KMN_MUST_CHECK;
/* The same from a store without a log: for replaying, and for auditors. */
kmn_err kmn_blob_read(
    struct kmn_store *store, const uint8_t sha256[KMN_HASH_BYTES], uint8_t **bytes_out, size_t *len_out) KMN_MUST_CHECK;
kmn_err kmn_log_blob_get(
    struct kmn_log *log, const uint8_t sha256[KMN_HASH_BYTES], uint8_t **bytes_out, size_t *len_out) KMN_MUST_CHECK;

#endif
