/* Between the files of the verifier: reading (verify.c), files beside the segments (verify_files.c), checkers. */
#ifndef KANMON_LEDGER_VERIFY_H
#define KANMON_LEDGER_VERIFY_H

#include "kanmon/checker.h"
#include "server/ledger/sweep.h"

extern const struct kmn_checker kmn_heads_checker;      /* check_heads.c: V3 of records, V4 */
extern const struct kmn_checker kmn_guards_checker;     /* check_guards.c: V3 of guards */
extern const struct kmn_checker kmn_views_checker;      /* check_views.c: V10 of channel heads */
extern const struct kmn_checker kmn_cases_checker;      /* case.c: V8 */
extern const struct kmn_checker kmn_witness_checker;    /* check_witness.c: V4, cosignatures */
extern const struct kmn_checker kmn_anchors_checker;    /* check_anchors.c: V9 */
extern const struct kmn_checker kmn_clock_checker;      /* check_clock.c: V10, clocks */
extern const struct kmn_checker kmn_nonces_checker;     /* check_nonces.c: V2, nonces */
extern const struct kmn_checker kmn_openings_checker;   /* check_openings.c: V12 */
extern const struct kmn_checker kmn_tiles_checker;      /* check_tiles.c: V1 of tiles and state/tree */
extern const struct kmn_checker kmn_succession_checker; /* check_succession.c: V4, the ledger before */

/* The hashes of what was read: past.c. */
kmn_err kmn_past_new(struct kmn_past **past_out) KMN_MUST_CHECK;
void kmn_past_free(struct kmn_past *past);
kmn_err kmn_past_add(struct kmn_past *past, const uint8_t leaf[KMN_HASH_BYTES]) KMN_MUST_CHECK;

/*
 * telling.c: findings on their way to the caller's sink. What was found behind work that another thread has not
 * finished waits for it, so that the order is that of the ledger.
 */
kmn_err kmn_telling_new(
    const struct kmn_verify_sink *sink, struct kmn_crew *crew, struct kmn_telling **telling_out) KMN_MUST_CHECK;
/* Waits for what is not finished and tells nothing more. */
void kmn_telling_free(struct kmn_telling *telling);
void kmn_telling_say(struct kmn_telling *telling, enum kmn_check check, enum kmn_severity severity,
    const struct kmn_place *place, const char *text);
void kmn_telling_defer(struct kmn_telling *telling, struct kmn_deferred *work);
/* Waits for all work and tells all. */
void kmn_telling_flush(struct kmn_telling *telling);

/* What is derived from the segments and must agree with them, while these are read. */
struct kmn_verify_files {
	const struct kmn_checking *checking;
	struct {
		bool there, met;
		char segment[KMN_SEGMENT_NAME_BYTES];
		uint64_t offset;
		struct kmn_head head;
	} state;      /* state/head: where a commit must have ended */
	uint8_t *off; /* the .off of the segment being read, as it should be */
	size_t off_len, off_room;
};

void kmn_files_begin(struct kmn_verify_files *files, const struct kmn_checking *checking);
/* A record's line begins at this offset of the segment being read. */
kmn_err kmn_files_record(struct kmn_verify_files *files, uint64_t offset) KMN_MUST_CHECK;
void kmn_files_commit(
    struct kmn_verify_files *files, const char *segment, const struct kmn_head *head, uint64_t offset);
/* The segment ended; `full`: so its offsets may be there and must be right. */
void kmn_files_segment(struct kmn_verify_files *files, const char *segment, bool full);
/* All segments were read: state/head, blobs. */
void kmn_files_end(struct kmn_verify_files *files);
void kmn_files_clear(struct kmn_verify_files *files);

#endif
