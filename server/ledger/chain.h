/*
 * The pure core under writer, recovery and verifier: lines of a segment in,
 * the state they lead to out. Framing lines are never believed: they are made
 * again from the leaves and compared.
 *
 *	segment = header *batch     header: first, leaf before, frontier
 *	batch   = 1*record [mark] commit
 *
 * A mark stands in a batch that reaches or passes a multiple of 256 records or
 * whose last record is gateway.stop, and nowhere else. A segment ends at the
 * first commit at which it is full, and nowhere else. Both make what could be
 * left out or put in without harm a thing that a verifier sees.
 */
#ifndef KANMON_LEDGER_CHAIN_H
#define KANMON_LEDGER_CHAIN_H

#include "kanmon/log.h"

#define KMN_FRAMING_MAX_BYTES 4096 /* a header: origin, two numbers, prev and 53 hashes */
#define KMN_SEGMENT_NAME "seg/%020" PRIu64 ".kl"
#define KMN_SEGMENT_NAME_BYTES (4 + 20 + 3 + 1)

enum kmn_line { KMN_LINE_HEADER, KMN_LINE_RECORD, KMN_LINE_MARK, KMN_LINE_COMMIT };

/* Where a ledger stands after some line. A plain value: copied to go back to. */
struct kmn_chain {
	char origin[KMN_NOTE_NAME_MAX_BYTES + 1]; /* empty until the first header, if none was asked for */
	uint64_t max_records, max_bytes;          /* at which a segment is full */
	struct kmn_frontier front;                /* of all records so far */
	uint8_t prev[KMN_HASH_BYTES];             /* leaf of the last one, zero before the first */
	uint64_t t, m;                            /* of the last one */
	enum kmn_record_kind last;                /* kind of the last one */
	uint64_t commit;                          /* size at the last commit */
	uint64_t segment;                         /* first record of the segment */
	uint64_t bytes;                           /* of the segment so far */
	bool header;                              /* the segment's header was read */
	bool marked;                              /* this batch has its mark */
};

/* `origin` NULL: what the first header says. 0 for a limit: the format's. */
void kmn_chain_init(struct kmn_chain *chain, const char *origin, uint64_t max_records, uint64_t max_bytes);

/*
 * Takes the next line (without LF). KMN_LINE_RECORD fills *record_out, which
 * the caller clears. KMN_E_CORRUPT: the line is not what must stand here; the
 * chain is then unchanged. A record of an unknown type or with members of
 * another one is chained all the same: *body_out says KMN_E_NOT_FOUND or
 * KMN_E_MALFORMED, which writer and replay refuse and the verifier reports.
 */
kmn_err kmn_chain_feed(struct kmn_chain *chain, const char *line, size_t len, enum kmn_line *kind_out,
    struct kmn_record *record_out, kmn_err *body_out, struct kmn_why *why) KMN_MUST_CHECK;

/* The same of a record's line that was read already (`len` without LF); of a genesis the body must be there. */
kmn_err kmn_chain_take(struct kmn_chain *chain, const struct kmn_record *record, size_t len, enum kmn_line *kind_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* After a commit: the segment is full. */
bool kmn_chain_full(const struct kmn_chain *chain);
/* The next line is the header of a new segment. */
void kmn_chain_turn(struct kmn_chain *chain);
bool kmn_chain_in_batch(const struct kmn_chain *chain);

/* What the framing lines must say here, LF included; the length. */
size_t kmn_chain_header(const struct kmn_chain *chain, char out[KMN_FRAMING_MAX_BYTES]);
size_t kmn_chain_mark(const struct kmn_chain *chain, char out[KMN_FRAMING_MAX_BYTES]);
size_t kmn_chain_commit(const struct kmn_chain *chain, char out[KMN_FRAMING_MAX_BYTES]);
bool kmn_chain_needs_mark(const struct kmn_chain *chain);

/* The writer's half: the state moves on without the line being read again. `len` with LF. */
void kmn_chain_wrote_header(struct kmn_chain *chain, size_t len);
void kmn_chain_wrote_record(struct kmn_chain *chain, const struct kmn_record *record, size_t len);
void kmn_chain_wrote_commit(struct kmn_chain *chain, size_t len);

/* Names of segments, in order of their numbers; free() the list. KMN_E_CORRUPT and the name in `why`: a file in seg/
 * that is none. */
kmn_err kmn_segments(
    struct kmn_store *store, uint64_t **first_out, size_t *count_out, struct kmn_why *why) KMN_MUST_CHECK;

/* How the walk over one file ended. */
enum kmn_walk_end {
	KMN_WALK_CLEAN,   /* after a commit, or after the header */
	KMN_WALK_TAIL,    /* bytes after the last commit, all of them possible */
	KMN_WALK_BAD,     /* a line that cannot stand where it is */
	KMN_WALK_STOPPED, /* `record` said so */
};

/* Reads segments batch by batch: records are handed on when their commit was right. */
struct kmn_walk {
	struct kmn_store *store;
	struct kmn_chain chain; /* after the last line that was right */
	struct kmn_chain good;  /* after the last commit, or header */
	/* One call per record of a committed batch; not KMN_OK ends the walk. May be NULL. */
	kmn_err (*record)(void *cookie, const struct kmn_record *record, kmn_err body, uint64_t line, uint64_t offset,
	    struct kmn_why *why);
	/* One call per commit with the offset behind it. May be NULL. */
	void (*commit)(void *cookie, const struct kmn_head *head, uint64_t offset);
	void *cookie;
	/* Set by kmn_walk_file. */
	enum kmn_walk_end end;
	enum kmn_line kind;    /* of the line that was bad */
	uint64_t line, offset; /* of the line the walk ended at, or the file's end */
	uint64_t size;         /* of the file */
	kmn_err error;         /* what `record` said */
	struct kmn_why why;
	struct kmn_walk_record *batch;
	size_t batch_count;
};

/* Walks the segment that begins with record `first`, from byte `from`. KMN_E_IO, KMN_E_NO_MEMORY; all else is in
 * walk->end. */
kmn_err kmn_walk_file(struct kmn_walk *walk, uint64_t first, uint64_t from) KMN_MUST_CHECK;
void kmn_walk_clear(struct kmn_walk *walk);

/* kmn_store_replace() without the folder's sync, for what is made again when it is missing; bytes that a power cut took
 * out of it would be a finding. KMN_E_NOT_FOUND: there is no such folder. */
kmn_err kmn_store_put(struct kmn_store *store, const char *name, const void *bytes, size_t len) KMN_MUST_CHECK;
kmn_err kmn_store_write(struct kmn_store *store, int fd, const void *bytes, size_t len, uint64_t offset) KMN_MUST_CHECK;
kmn_err kmn_store_sync_folder(struct kmn_store *store, const char *folder) KMN_MUST_CHECK;

#endif
