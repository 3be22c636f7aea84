/*
 * The verifier's way through a segment: chunks of whole lines are read in
 * order, and each is hashed, scanned and, where a checker wants bodies, parsed
 * by any thread; their lines are then taken in order, as kmn_walk takes them.
 * What it says of a file is what the walk says, byte for byte.
 */
#ifndef KANMON_LEDGER_SWEEP_H
#define KANMON_LEDGER_SWEEP_H

#include "server/ledger/chain.h"
#include "kanmon/crew.h"

struct kmn_sweep_chunk;

struct kmn_sweep {
	struct kmn_store *store;
	struct kmn_crew *crew;
	unsigned ahead;         /* chunks that may be read before they are taken */
	uint64_t bodies;        /* kinds whose body is to be parsed (KMN_KIND) */
	struct kmn_chain chain; /* after the last line that was right */
	struct kmn_chain good;  /* after the last commit, or header */
	/* One call per record of a committed batch; not KMN_OK ends the sweep. */
	kmn_err (*record)(void *cookie, const struct kmn_record *record, kmn_err body, uint64_t line, uint64_t offset,
	    struct kmn_why *why);
	/* One call per commit with the offset behind it. */
	void (*commit)(void *cookie, const struct kmn_head *head, uint64_t offset);
	/* After each chunk: bytes taken of this file. */
	void (*progress)(void *cookie, uint64_t offset);
	void *cookie;
	/* Set by kmn_sweep_file. */
	enum kmn_walk_end end;
	enum kmn_line kind;    /* of the line that was bad */
	uint64_t line, offset; /* of the line it ended at, or the file's end */
	uint64_t size;         /* of the file */
	kmn_err error;         /* what `record` said */
	struct kmn_why why;
	/* Its own. */
	struct kmn_sweep_chunk *first, *last, *next; /* kept: until their batch is committed; next: to be taken */
	unsigned given;                              /* chunks read and not taken */
	uint64_t read;                               /* bytes of the file so far */
	char *rest;                                  /* of them, the beginning of a line */
	size_t rest_len;
};

/* Sweeps the segment that begins with record `first`. KMN_E_IO, KMN_E_NO_MEMORY; all else is in sweep->end. */
kmn_err kmn_sweep_file(struct kmn_sweep *sweep, uint64_t first) KMN_MUST_CHECK;

#endif
