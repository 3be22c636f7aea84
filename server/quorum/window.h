/*
 * Windows: one approval for many calls by one rule, for a time and so many uses (docs/statements.md 9).
 *
 *   intent with `window` ──statement, votes──▶ offered ──decision open──▶ window ──decision vetoed, withdrawn,
 *                                                                          │        expired, spent──▶ ended
 *                          each use: intent ──decision allow, use k──▶ result
 *
 * A use is a request of its own that nobody votes on: its decision names the window and the votes that opened it. One
 * that brought a digest only is held, without a statement, until its content is attached and a window is open.
 */
#ifndef KANMON_SERVER_QUORUM_WINDOW_H
#define KANMON_SERVER_QUORUM_WINDOW_H

#include "server/quorum/quorum.h"
#include "server/quorum/text.h"

/* ---- opening.c: the request for one, judged and in words ---------------------------------------------------------- */

/* Of an intent with `window`: may this rule be asked for a window of this key, and whom does it ask? */
kmn_err policy_judge_opening(
    const struct kmn_policy *policy, const json_t *intent, int64_t now, struct kmn_verdict *v) KMN_MUST_CHECK;
/* The line `per window 90d uses 400`. */
void window_put_per(struct text *t, const struct kmn_verdict *v);
/* A `constraint` line for each line of the rule that bounds what is done, as it stands in the policy. */
void window_put_constraints(struct text *t, const struct kmn_policy *policy, const struct rule *rule);

/* ---- window.c: the state ------------------------------------------------------------------------------------------ */

/* Does the request ask for a window? */
bool quorum_is_opening(const struct request *r);
/* Is it a call that a window's rule holds, so that no votes but a window's let it run? */
bool quorum_needs_window(const struct request *r);
/* Do people vote on it? A request whose content fell under a window's rule is held, and only a window lets it run. */
bool quorum_asks_votes(const struct request *r);
/* The window that the record's decision uses: NULL where it names none that is known. */
struct request *quorum_window_named(const struct kmn_quorum *q, const struct kmn_record *record);
/* Decision `open`; KMN_E_CORRUPT with `why`. */
kmn_err quorum_window_open(
    struct kmn_quorum *q, struct request *r, const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;
/* Decision `allow` of a use; KMN_E_CORRUPT with `why`. The use counts in any case. */
kmn_err quorum_window_use(const struct kmn_quorum *q, const struct request *r, struct request *window,
    const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;
/* Among chosen records: a use whose request is forgotten, and that only counts. True: it was one. */
bool quorum_window_recall(const struct kmn_quorum *q, const struct kmn_record *record);
/* kmn_quorum_ends() of an open window. */
const char *quorum_window_ends(const struct kmn_quorum *q, const struct request *r, int64_t now);
/* Until when votes are taken: of an open window, vetoes until its end. */
int64_t quorum_deadline(const struct request *r);

#endif
