/*
 * The kanmon tool's questions, in the files admin*.c. What an answer tells of requests and policies is durable before it
 * is sent.
 */
#ifndef KANMON_KEEPER_ADMIN_H
#define KANMON_KEEPER_ADMIN_H

#include "server/keeper/state.h"

#include "kanmon/admin.h"

struct kmn_ahead;

/* A question that cannot be answered at once. */
struct kmn_admin_wait {
	TAILQ_ENTRY(kmn_admin_wait) link;
	struct kmn_keeper *keeper;
	struct kmn_conn *conn;   /* NULL: it went away */
	size_t waits_for;        /* ledger size, 0: something else */
	json_t *answer;          /* to be sent then; owned */
	struct kmn_ahead *ahead; /* the request that it makes; owned, or NULL */
};

struct kmn_admin_wait *kmn_admin_wait_new(struct kmn_keeper *k, struct kmn_conn *conn);
void kmn_admin_wait_free(struct kmn_admin_wait *wait);
/* Takes `value`: it is sent, and `wait` freed, when all that was appended so far is durable. */
void kmn_admin_wait_for_ledger(struct kmn_admin_wait *wait, json_t *value);
void kmn_ahead_free(struct kmn_ahead *ahead);

/* ---- as JSON: a new reference, of what the gateway has in mind, durable or not --------------------------------- */

/* One of the words of `state` in a request; NULL: a request that ended long ago. */
const char *kmn_admin_state(struct kmn_keeper *k, const struct kmn_request *r);
json_t *kmn_admin_request_json(struct kmn_keeper *k, const struct kmn_request *r);
json_t *kmn_admin_status_json(struct kmn_keeper *k);
/* NULL: there is no such version. */
json_t *kmn_admin_policy_note(struct kmn_keeper *k, uint64_t version);
/* One request in full, as KMN_ADMIN_REQUEST_SHOW answers it. */
json_t *kmn_admin_request_full_json(struct kmn_keeper *k, const struct kmn_request *request);

/* Has nothing come of it yet that cannot be taken back? */
bool kmn_admin_may_withdraw(const struct kmn_request *request);

/* ---- questions: `r` stands behind the question's number -------------------------------------------------------- */

void kmn_admin_status(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_list(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_show(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_checkpoint(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_policy(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_vote(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_attach(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_attach_next(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_withdraw(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_cosign(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_hsm_log(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_request_new(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_admin_window_new(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);

#endif
