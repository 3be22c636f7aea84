/*
 * One record being taken into the state: apply.c has the table of what is done for each kind of record, the files apply_*.c
 * do it. What is found wrong is said once, the first of it.
 */
#ifndef KANMON_SERVER_QUORUM_APPLY_H
#define KANMON_SERVER_QUORUM_APPLY_H

#include "server/quorum/quorum.h"

/*
 * One record being taken in: what is found wrong first is kept. For the auditor, decisions, results and class B calls,
 * and intents like one before, have no tree (body NULL): what is read of them is read by quorum_get_..() and listed
 * in plain.c.
 */
struct step {
	struct kmn_quorum *q;
	const struct kmn_record *record;
	const struct kmn_record *bare;      /* the record as it came, perhaps without a body */
	const struct quorum_judged *judged; /* of an intent without one */
	struct kmn_finding *finding;
	kmn_err err; /* KMN_E_CORRUPT: a finding; anything else: could not be judged */
};

/* ---- apply.c: what all need ---- */

/* A finding about the record, under a row of the auditor's table; the first is kept. */
void apply_found(struct step *s, const char *check, const char *format, ...) KMN_PRINTF(3, 4);
/* It could not be judged. */
void apply_trouble(struct step *s, kmn_err e);
/* The latest moment at which the record was decided upon, seen generously. */
int64_t apply_judged_at(const struct step *s);
/* The policy that the record names; NULL, and a finding, where it may not decide here. */
const struct kmn_policy *apply_policy_named(struct step *s);
/* Whether calls of this class went on when they must not; `grace`: from the judgement to the record. */
void apply_check_fresh(struct step *s, char durability, int64_t t, int64_t grace);
/* A token that an anomaly sealed or degraded, and a call on it all the same; `since`: it had to be known by then. */
void apply_check_stance(struct step *s, const json_t *body, char durability, bool windowed, int64_t since);

/* ---- apply_request.c ---- */

/* The request that member `name` of the body points to, by index and leaf. */
struct request *apply_request_of(struct step *s, const char *name);
void apply_end_request(struct step *s, struct request *r, enum kmn_request_state state);
/* The oldest of those that ended and were held, or were not. */
void apply_forget_oldest(struct kmn_quorum *q, bool held);
void apply_read_signing(const json_t *intent, struct quorum_signing *out);
void apply_intent(struct step *s);
void apply_attachment(struct step *s);

/* ---- apply_vote.c ---- */

void apply_statement(struct step *s);
void apply_vote(struct step *s);

/* ---- apply_decision.c ---- */

void apply_decision(struct step *s);

/* ---- apply_signature.c ---- */

/* What a signature was asked for by. */
struct quorum_asked {
	uint64_t i;         /* index of the intent, or of the op */
	const json_t *body; /* of it; NULL: of a form that was judged before, whose data is not kept */
	const struct quorum_signing *signing;
};

/* V7: what came back verifies under the key that the intent or op names, over what that says was signed. */
void apply_check_signature(struct step *s, const struct quorum_asked *asked);

/* ---- apply_result.c ---- */

void apply_result(struct step *s);
/* A class B call has no intent: at least its rule must have let it run at once, in that class. */
void apply_op(struct step *s);
/* Who was let in by a quorum was let in by that request: its result says the same. */
void apply_session(struct step *s);

/* ---- apply_recovery.c ---- */

/* What a crash left open is said once, at the next start. */
void apply_recovery(struct step *s);

#endif
