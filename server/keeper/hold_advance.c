/* What becomes of a request and of those who wait for it: it is met, it ends, it ran, or somebody stops waiting. */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>
#include <string.h>

static struct kmn_call_state *
waiting_for(struct kmn_keeper *k, uint64_t request)
{
	struct kmn_call_state *call;

	LIST_FOREACH(call, &k->held, held)
	if (call->request.i == request)
		return call;
	return NULL;
}

void
kmn_hold_end_waiting(struct kmn_keeper *k, uint64_t request, kmn_err reason)
{
	struct kmn_call_state *call;

	while ((call = waiting_for(k, request)) != NULL) {
		kmn_hold_forget(call);
		kmn_call_drop_side(call);
		call->durability = 'A';
		kmn_call_finish_rv(call, kmn_reason_end(call, reason));
	}
}

static kmn_err
reason_of(const char *verdict)
{
	return strcmp(verdict, "expired") == 0     ? KMN_E_EXPIRED
	       : strcmp(verdict, "withdrawn") == 0 ? KMN_E_WITHDRAWN
						   : KMN_E_REJECTED;
}

static void start_all_over(struct kmn_keeper *k, uint64_t request);

/* Writes the decision that ends a request, and lets its callers go. */
kmn_err
kmn_hold_end(struct kmn_keeper *k, uint64_t request, const char *verdict)
{
	const struct kmn_request *r = kmn_quorum_request(k->quorum, request);
	json_t *body;
	kmn_err e;

	if (r == NULL)
		return KMN_E_NOT_FOUND;
	e = kmn_quorum_decision_body(k->quorum, r, verdict, &body);
	if (e == KMN_OK && strcmp(verdict, "deny") == 0 &&
	    json_object_set_new(
		body, "reason", json_string(kmn_quorum_deny_reason(k->quorum, r, kmn_clock_record_ms(k)))) != 0)
		KMN_BUG("out of memory");
	if (e != KMN_OK || (e = kmn_keeper_append(k, KMN_R_DECISION, body, NULL)) != KMN_OK)
		return e;
	kmn_say(KMN_SAY_INFO, "request %llu: %s", (unsigned long long)request, verdict);
	k->held_due = true; /* it may be the window that a use waits for */
	if (strcmp(verdict, "spent") == 0)
		start_all_over(k, request);
	else
		kmn_hold_end_waiting(k, request, reason_of(verdict));
	return KMN_OK;
}

/* ---- a wait ends ------------------------------------------------------------------------------------------------ */

/* The request of a call that nobody else can make ends with it. */
void
kmn_hold_withdraw_blind(struct kmn_call_state *call)
{
	const struct kmn_request *r = kmn_quorum_request(call->keeper->quorum, call->request.i);

	if (!call->blind || call->step != KMN_STEP_HELD || r == NULL ||
	    (r->state != KMN_REQUEST_OPEN && r->state != KMN_REQUEST_OFFERED))
		return;
	kmn_hold_forget(call);
	if (kmn_hold_end(call->keeper, r->i, "withdrawn") != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "a request whose call is gone stays open until it expires");
}

static void
note_wait_over(struct kmn_call_state *call, CK_RV rv)
{
	struct kmn_response_view response;
	uint8_t *reply;
	json_t *body;
	size_t len;

	if (kmn_call_reply_error(call, rv, &reply, &len) != KMN_OK ||
	    kmn_response_view_decode(reply, len, &response) != KMN_OK ||
	    kmn_record_session(call, &response, &body) != KMN_OK)
		KMN_BUG("the end of a wait cannot be put into words");
	free(reply);
	if (kmn_keeper_append(call->keeper, KMN_R_SESSION, body, NULL) != KMN_OK)
		return;
}

/* The call ends without its request. */
static void
end_wait(struct kmn_call_state *call, CK_RV rv)
{
	kmn_hold_forget(call);
	note_wait_over(call, rv);
	kmn_hold_withdraw_blind(call);
	kmn_call_drop_side(call);
	call->durability = 'A';
	kmn_call_finish_rv(call, rv);
}

/* Whether anybody but this call waits for its request. */
static bool
others_wait(const struct kmn_call_state *call)
{
	const struct kmn_call_state *other;

	LIST_FOREACH(other, &call->keeper->held, held)
	if (other != call && other->request.i == call->request.i)
		return true;
	return false;
}

void
kmn_hold_withdraw(struct kmn_call_state *call)
{
	const struct kmn_request *r = kmn_quorum_request(call->keeper->quorum, call->request.i);

	if (r == NULL || !r->held || others_wait(call) ||
	    (r->state != KMN_REQUEST_OPEN && r->state != KMN_REQUEST_OFFERED))
		end_wait(call, kmn_reason_end(call, KMN_E_CANCELED));
	else if (kmn_hold_end(call->keeper, r->i, "withdrawn") != KMN_OK)
		kmn_keeper_ledger_lost(call->keeper, "a decision cannot be recorded");
}

void
kmn_hold_cancel(struct kmn_session *session, unsigned kinds)
{
	struct kmn_instance *instance = session->branch->instance;

	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		struct kmn_call_state *call = instance->call[i];

		if (call != NULL && call->in_held && call->session == session && call->operation != NULL &&
		    (call->operation->kind & kinds) != 0)
			kmn_hold_withdraw(call);
	}
}

void
kmn_hold_lost(struct kmn_call_state *call)
{
	end_wait(call, kmn_reason_end(call, KMN_E_WORKER));
}

void
kmn_hold_end_wait(struct kmn_call_state *call)
{
	end_wait(call, kmn_reason_end(call, KMN_E_CANCELED));
}

/*
 * Calls whose operation is not there any more: it ended with another call, or began anew with another key. An approval
 * is for the operation that people saw, never for what took its place in the session.
 */
static void
end_lost(struct kmn_keeper *k, uint64_t request)
{
	struct kmn_call_state *call, *next;

	for (call = LIST_FIRST(&k->held); call != NULL; call = next) {
		next = LIST_NEXT(call, held);
		if (call->request.i == request && kmn_call_lost_operation(call))
			end_wait(call, CKR_OPERATION_NOT_INITIALIZED);
	}
}

/* ---- it runs, or others did ------------------------------------------------------------------------------------- */

static struct kmn_call_state *
can_run(struct kmn_keeper *k, uint64_t request)
{
	struct kmn_call_state *call;

	LIST_FOREACH(call, &k->held, held)
	if (call->request.i == request && kmn_turn_is_free(call))
		return call;
	return NULL;
}

static bool
open_window(struct kmn_keeper *k, const struct kmn_request *request)
{
	return kmn_keeper_holds_back(k) == KMN_OK && kmn_window_open(k, request) == KMN_OK;
}

/* Everybody who waited for it; a session that is busy now comes back with held_due. */
static void
run_in_window(struct kmn_keeper *k, uint64_t request)
{
	struct kmn_call_state *call;

	end_lost(k, request);
	while ((call = can_run(k, request)) != NULL && kmn_turn_take(call)) {
		kmn_hold_forget(call);
		kmn_window_start(call);
	}
}

void
kmn_hold_advance(struct kmn_keeper *k, uint64_t request)
{
	const struct kmn_request *r;
	int64_t now;
	struct kmn_call_state *call;
	const char *verdict;

	kmn_clock_tick(k);
	r = kmn_quorum_request(k->quorum, request);
	now = kmn_keeper_now_ms();

	if (r == NULL || !r->held ||
	    (r->state != KMN_REQUEST_OPEN && r->state != KMN_REQUEST_OFFERED && r->state != KMN_REQUEST_WINDOW))
		return;
	verdict = kmn_quorum_ends(k->quorum, r, now);
	if (verdict == NULL && kmn_activation_is_orphan(k, r))
		verdict = "withdrawn";
	if (verdict != NULL) {
		if (kmn_hold_end(k, request, verdict) != KMN_OK)
			kmn_keeper_ledger_lost(k, "a decision cannot be recorded");
		return;
	}
	if (r->window) {
		if (r->state == KMN_REQUEST_WINDOW || (kmn_quorum_is_met(k->quorum, r, now) && open_window(k, r)))
			run_in_window(k, request);
		return;
	}
	if (kmn_quorum_needs_window(r)) {
		end_lost(k, request);
		if ((call = can_run(k, request)) != NULL)
			kmn_window_advance(call);
		return;
	}
	if (!kmn_quorum_is_met(k->quorum, r, now) || !kmn_activation_is_ready(k, r) ||
	    kmn_keeper_holds_back(k) != KMN_OK)
		return;
	end_lost(k, request);
	if ((call = can_run(k, request)) == NULL || !kmn_turn_take(call))
		return; /* a session that is busy now comes back with held_due */
	kmn_hold_forget(call);
	kmn_call_decide_and_run(call);
}

void
kmn_hold_start_over(struct kmn_call_state *call)
{
	uint8_t operation[KMN_HASH_BYTES];
	const struct kmn_request *r;

	kmn_hold_forget(call);
	if (call->instance->connections == 0)
		end_wait(call, kmn_reason_end(call, KMN_E_CANCELED)); /* nobody is there to ask people once more */
	else if (call->view.id == KMN_C_Login)
		kmn_activation_again(call);
	else if (!kmn_call_lost_operation(call))
		kmn_hold_start(call);
	else if (kmn_operation_digest(call->intent, operation) != KMN_OK ||
		 (r = kmn_hold_find_undelivered(call, operation)) == NULL || !kmn_hold_redeliver(call, r))
		end_wait(call, CKR_OPERATION_NOT_INITIALIZED);
}

static void
start_all_over(struct kmn_keeper *k, uint64_t request)
{
	struct kmn_call_state *call;

	while ((call = waiting_for(k, request)) != NULL)
		kmn_hold_start_over(call);
}

void
kmn_hold_ran(struct kmn_call_state *ran)
{
	struct kmn_keeper *k = ran->keeper;
	const struct kmn_request *r = kmn_quorum_request(k->quorum, ran->request.i);

	kmn_window_ran(ran);
	if (ran->durability != 'A' || r == NULL || !r->held)
		return;
	if (r->state == KMN_REQUEST_OFFERED ||
	    r->state == KMN_REQUEST_OPEN) { /* CKR_BUFFER_TOO_SMALL gave the use back */
		kmn_hold_advance(k, r->i);
		return;
	}
	start_all_over(k, ran->request.i);
}

/* ---- statements and time ---------------------------------------------------------------------------------------- */

void
kmn_hold_statements(struct kmn_keeper *k)
{
	const struct kmn_request *r = NULL;
	struct kmn_head head;
	json_t *body;

	if (k->statements_due == 0)
		return;
	kmn_log_durable(k->log, &head);
	k->statements_due = 0;
	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL) {
		uint64_t i = r->i;

		if (r->verdict.answer != KMN_ANSWER_HELD || kmn_quorum_needs_window(r) || r->statement != NULL ||
		    r->state != KMN_REQUEST_OPEN)
			continue;
		if (i >= head.size || r->attachment_i >= head.size) {
			k->statements_due++;
			continue;
		}
		if (kmn_quorum_statement_body(k->quorum, r, &head, &body) != KMN_OK) {
			kmn_say(KMN_SAY_ERROR, "request %llu has no statement: it cannot be approved",
			    (unsigned long long)i);
			if (kmn_hold_end(k, i, "deny") != KMN_OK)
				kmn_keeper_ledger_lost(k, "a decision cannot be recorded");
		} else if (kmn_keeper_append(k, KMN_R_STATEMENT, body, NULL) != KMN_OK) {
			return;
		}
		r = kmn_quorum_request(k->quorum, i); /* what was borrowed before the append is stale */
		if (r == NULL)
			return;
	}
}

void
kmn_hold_tick(struct kmn_keeper *k)
{
	const struct kmn_request *r = NULL;

	k->held_due = false;
	while (!k->failed && (r = kmn_quorum_next(k->quorum, r, false)) != NULL) {
		uint64_t i = r->i;

		if (!r->held)
			continue;
		kmn_hold_advance(k, i);
		if ((r = kmn_quorum_request(k->quorum, i)) == NULL)
			return; /* the rest comes with the next tick */
	}
}
