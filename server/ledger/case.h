/*
 * V8: every call has its story, whole. An intent is decided, given up by a
 * recovery or still open; a decision that allowed has exactly one result, or a
 * recovery that says nobody knows; every reference points at an earlier record
 * of the right kind, by index and by leaf hash.
 */
#ifndef KANMON_LEDGER_CASE_H
#define KANMON_LEDGER_CASE_H

#include "kanmon/verify.h"

struct kmn_cases;

struct kmn_cases *kmn_cases_new(void);
void kmn_cases_free(struct kmn_cases *cases);

/* Takes the next record, which is in `tree` already. */
kmn_err kmn_cases_record(struct kmn_cases *cases, const struct kmn_record *record, const struct kmn_place *place,
    const struct kmn_tree *tree, const struct kmn_verify_sink *sink) KMN_MUST_CHECK;

/* After the last record: says what is left undone, counts what is merely open. */
void kmn_cases_end(const struct kmn_cases *cases, const struct kmn_verify_sink *sink, uint64_t *open_out);

#endif
