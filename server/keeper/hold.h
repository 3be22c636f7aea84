/*
 * Calls that wait for people: for the quorum of a request, or for a window that one approval opens.
 */
#ifndef KANMON_KEEPER_HOLD_H
#define KANMON_KEEPER_HOLD_H

#include <jansson.h>

#include "kanmon/base.h"
#include "kanmon/err.h"

struct kmn_call_state;
struct kmn_keeper;
struct kmn_request;
struct kmn_session;

/* ---- hold.c, hold_advance.c: calls that wait for a quorum ------------------------------------------------------- */

/* Find or create the request of a call that a rule holds, and park the call. */
void kmn_hold_start(struct kmn_call_state *call);
kmn_err kmn_hold_keep_data(struct kmn_call_state *call) KMN_MUST_CHECK;
void kmn_hold_tell(struct kmn_call_state *call);
void kmn_hold_ready(struct kmn_call_state *call);
/* After a vote, a statement or a tick: run or end what waits for this request. */
void kmn_hold_advance(struct kmn_keeper *k, uint64_t request);
/* Write the decision that ends a request, and let its callers go. */
kmn_err kmn_hold_end(struct kmn_keeper *k, uint64_t request, const char *verdict) KMN_MUST_CHECK;
/* A held call whose module is gone. */
void kmn_hold_lost(struct kmn_call_state *call);
/* A held call's result is recorded. */
void kmn_hold_ran(struct kmn_call_state *call);
/* The client has the answer of this call. */
void kmn_hold_delivered(struct kmn_keeper *k, const struct kmn_call_state *call);
/* A call goes away that alone could meet its approval: its request is withdrawn. Nothing for others. */
void kmn_hold_withdraw_blind(struct kmn_call_state *call);
/* C_SessionCancel: calls that wait in operations of these kinds end, and with the last that waits for it the request. */
void kmn_hold_cancel(struct kmn_session *session, unsigned kinds);
/* The client ends its wait. */
void kmn_hold_end_wait(struct kmn_call_state *call);
/* The same, and with the last that waits for it the request ends. */
void kmn_hold_withdraw(struct kmn_call_state *call);
void kmn_hold_forget(struct kmn_call_state *call);
bool kmn_hold_has_room(const struct kmn_keeper *k, const uint8_t client_spki_sha256[KMN_HASH_BYTES]);
/* Writes the statements that are due, now that their intents are durable. */
void kmn_hold_statements(struct kmn_keeper *k);
void kmn_hold_tick(struct kmn_keeper *k);

/* The call waits for call->request. */
void kmn_hold_park(struct kmn_call_state *call);
/* Refused, for a reason that the rule is named with. */
void kmn_hold_refuse(struct kmn_call_state *call, const char *reason);

/* Those who wait for a request that ended without running. */
void kmn_hold_end_waiting(struct kmn_keeper *k, uint64_t request, kmn_err reason);
/* What it waited for ran: it finds the result or asks anew. */
void kmn_hold_start_over(struct kmn_call_state *call);

/* ---- redeliver.c: a result that ran and whose answer was lost --------------------------------------------------- */

/* The client's request by that digest that ran, and whose answer it does not have; NULL: none. */
const struct kmn_request *kmn_hold_find_undelivered(
    struct kmn_call_state *call, const uint8_t operation[KMN_HASH_BYTES]);
/* Hands out the recorded bytes again; the HSM is not asked. False: they cannot be, and the call is a new request. */
bool kmn_hold_redeliver(struct kmn_call_state *call, const struct kmn_request *request);

/* ---- window.c: one approval for many calls ---------------------------------------------------------------------- */

/* Uses the window of the call's rule and key, or waits for it, or asks for one. */
void kmn_window_start(struct kmn_call_state *call);
/*
 * Of a call whose request is a use (kmn_quorum_needs_window): runs it, waits on, asks for a window, or ends it with the
 * request for one that came to nothing.
 */
void kmn_window_advance(struct kmn_call_state *call);
/* The decision `allow` of a call that uses a window; KMN_E_DENIED: it ended. */
kmn_err kmn_window_use_body(
    struct kmn_call_state *call, const struct kmn_request *request, json_t **body_out) KMN_MUST_CHECK;
/* A call's result is recorded: the window that it used may be used up. */
void kmn_window_ran(const struct kmn_call_state *call);
/* The intent that asks for a window of that rule, from `body` with who asks and about which key. */
void kmn_window_put(const struct kmn_keeper *k, const char *rule, json_t *body);
/* `window` of a request in answers: NULL where it is none. */
json_t *kmn_window_answer(const struct kmn_request *request);
/* The quorum is met: from here on calls use it. */
kmn_err kmn_window_open(struct kmn_keeper *k, const struct kmn_request *request) KMN_MUST_CHECK;

#endif
