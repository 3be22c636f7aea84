/*
 * The checks that the offline verifier makes of records (docs/ledger.md 8), as
 * a table: it reads a ledger once, in order, and hands each checker the
 * records that it asks for. One checker, one file; it may look back at every
 * leaf and head before the record it is given, and at blobs, and says what it
 * finds to one sink. Nothing that it sees was looked up anywhere else.
 *
 *	begin    before the first record; the checkpoint of a gateway that writes now is read here
 *	record   each record of `kinds`, whose commit was right; in order, one at a time
 *	end      after the last, only if nothing FATAL was found; sets report->done[] of what it checked
 *	free     always, if begin gave a state
 *
 * A checker that was not asked for anything (no `tsa` line in the trust file)
 * leaves done[] as it is and sets report->not_asked[].
 * A result other than KMN_OK (no memory, no disk) ends the verification.
 */
#ifndef KANMON_CHECKER_H
#define KANMON_CHECKER_H

#include "kanmon/crew.h"
#include "kanmon/verify.h"

/* The records read so far, as hashes: those before the one that a checker is given, and that one. */
struct kmn_past;
uint64_t kmn_past_size(const struct kmn_past *past);
/* The leaf hash of record `index`; KMN_E_NOT_FOUND past the end. */
kmn_err kmn_past_leaf(struct kmn_past *past, uint64_t index, uint8_t out[KMN_HASH_BYTES]) KMN_MUST_CHECK;
/* The head of the first `size` records; KMN_E_NOT_FOUND beyond the end. */
kmn_err kmn_past_head(struct kmn_past *past, uint64_t size, struct kmn_head *head_out) KMN_MUST_CHECK;
/* Whether this is a head of this ledger, as far as it was read. */
bool kmn_past_is_head(struct kmn_past *past, const struct kmn_head *head);

/* What every checker is handed; lives from begin to free. */
struct kmn_checking {
	const struct kmn_verify_settings *settings; /* store, trust, head */
	struct kmn_past *past;
	struct kmn_verify_report *report;
	struct kmn_verify_sink sink; /* counts, then tells the caller's */
	struct kmn_telling *telling; /* what is to be said, in order */
};

/* A finding (docs/ledger.md 8), counted and told; `place`: the record that it is about. At most 511 bytes of text. */
void kmn_checker_say(const struct kmn_checking *checking, enum kmn_check check, enum kmn_severity severity,
    const struct kmn_place *place, const char *format, ...) KMN_PRINTF(5, 6);

/*
 * A checkpoint note by the pinned log key and of the pinned origin; false (and said, as a finding of `check`) if it is
 * none.
 */
bool kmn_checker_checkpoint(const struct kmn_checking *checking, enum kmn_check check, const struct kmn_place *place,
    const char *note, size_t len, struct kmn_head *head_out);
/* A head that somebody signed, or that a record states, against the records (V3); false if it was said. */
bool kmn_checker_head(const struct kmn_checking *checking, const struct kmn_place *place, const struct kmn_head *head);

/*
 * Work on another thread whose findings are told as if it had been done here: in the order of the ledger, whatever
 * the number of threads. `run` touches nothing but its own struct; `tell` is called once, on the verifier's thread,
 * after everything that was said before; it says what was found and frees the work.
 */
struct kmn_deferred {
	struct kmn_task task; /* first: the two are one address; the verifier's */
	void (*run)(struct kmn_deferred *work);
	void (*tell)(struct kmn_deferred *work);
};
void kmn_checker_defer(const struct kmn_checking *checking, struct kmn_deferred *work);

#define KMN_KIND(id) (UINT64_C(1) << KMN_R_##id)
#define KMN_KINDS_ALL (~UINT64_C(0))

struct kmn_checker {
	const char *name;
	uint64_t kinds;  /* record() is called for these: KMN_KIND(..) | .., or KMN_KINDS_ALL */
	uint64_t bodies; /* of these record->body is there; of others it may be NULL. record->scan always is */
	kmn_err (*begin)(const struct kmn_checking *checking, void **state_out);
	kmn_err (*record)(void *state, const struct kmn_record *record, const struct kmn_place *place);
	kmn_err (*end)(void *state);
	void (*free)(void *state);
};

/* What bytes, hashes and the log key's signatures can say: always checked. The table ends with NULL. */
extern const struct kmn_checker *const kmn_ledger_checkers[];

/* V8 of channels: who asked is whom the channel's certificate names. For ledgers of a whole gateway. */
extern const struct kmn_checker kmn_channels_checker;

#endif
