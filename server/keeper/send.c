/*
 * A call's way to the module: at once, in its turn, or when its decision is durable; what is about to run is compared with
 * what was decided here and nowhere else (K1).
 */
#include "config.h"

#include "server/keeper/state.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define NO_SESSION (KMN_FIRST_HANDLE_MAX - 1) /* a number that no worker gives to anything */

/* ---- what the module is to see ---------------------------------------------------------------------------------- */

/* The handle or slot that the module is to see in the place of the client's; false: as it is. */
static bool
first_argument(const struct kmn_call_state *call, uint64_t *number_out)
{
	uint64_t said;

	if (kmn_view_slot(&call->view, &said)) {
		*number_out = call->vendor_slot;
		return call->vendor_slot != said;
	}
	/* A session that is none here is none there, whatever the worker may know by that number (K5). */
	*number_out = NO_SESSION;
	return call->session == NULL && kmn_view_session(&call->view, &said);
}

void
kmn_call_put_request(const struct kmn_call_state *call, struct kmn_writer *w)
{
	const size_t at = sizeof(uint16_t) + KMN_SALT_BYTES; /* the first argument */
	uint64_t number;

	if (!first_argument(call, &number)) {
		kmn_writer_raw(w, call->bytes, call->len);
		return;
	}
	if (call->view.call->param[0].kind != KMN_KIND_SLOT && call->view.call->param[0].kind != KMN_KIND_SESSION)
		KMN_BUG("a slot or session that is not the first argument");
	kmn_writer_raw(w, call->bytes, at);
	kmn_writer_u64(w, number);
	kmn_writer_raw(w, call->bytes + at + sizeof(uint64_t), call->len - at - sizeof(uint64_t));
}

void
kmn_call_put_flags(const struct kmn_call_state *call, uint8_t flags, struct kmn_writer *w)
{
	if (call->nobodies > 0)
		flags |= KMN_WF_NOBODY;
	if (call->has_login)
		flags |= KMN_WF_SHARES;
	kmn_writer_u8(w, flags);
	if (call->nobodies > 0)
		kmn_writer_u8(w, (uint8_t)call->nobodies);
	for (unsigned i = 0; i < call->nobodies; i++)
		kmn_writer_u64(w, call->nobody[i]);
	if (call->has_login)
		kmn_writer_raw(w, call->login, sizeof(call->login));
}

/* ---- sent ------------------------------------------------------------------------------------------------------- */

static void
replied(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	uint8_t *reply;
	size_t len;

	(void)k;
	if (r == NULL)
		return; /* the worker died: its branch ends, and with it this call */
	kmn_call_copy_reply(r, &reply, &len);
	kmn_call_take_reply(call, reply, len);
}

static void
answer_here(struct kmn_call_state *call)
{
	struct kmn_writer w;
	uint8_t *reply;
	size_t len;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_local_answer(call, &w);
	if (kmn_writer_take(&w, &reply, &len) != KMN_OK)
		KMN_BUG("out of memory");
	kmn_writer_clear(&w);
	kmn_call_take_reply(call, reply, len);
}

/* While it waited for its turn the policy changed: its one record would come too late to be judged by the old one. */
static void
refuse_overtaken(struct kmn_call_state *call)
{
	call->judged_by = kmn_keeper_policy(call->keeper);
	call->verdict.rule = "none";
	call->why = KMN_E_WITHDRAWN;
	snprintf(call->verdict.reason, sizeof(call->verdict.reason), "the policy changed while it waited for its turn");
	kmn_call_refuse_op(call, kmn_call_refusal_rv(call));
}

void
kmn_call_send(struct kmn_call_state *call)
{
	struct kmn_writer w;
	kmn_err e;

	if (call->durability == 'B' && call->judged_by != kmn_keeper_policy(call->keeper)) {
		refuse_overtaken(call);
		return;
	}
	call->step = KMN_STEP_RUNNING;
	call->started_us = kmn_keeper_now_us();
	if (call->view.id == KMN_C_WaitForSlotEvent && kmn_event_wait(call))
		return;
	if (call->branch == NULL) {
		answer_here(call);
		return;
	}
	if (call->view.id == KMN_C_GetMechanismList && kmn_mechanisms_are_limited(call)) {
		kmn_mechanisms_list(call);
		return;
	}
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_call_put_flags(call, call->starts_side ? KMN_WF_SIDE : 0, &w);
	kmn_call_put_request(call, &w);
	e = kmn_branch_ask(call->keeper, call->branch, KMN_W_CALL, &w, replied, call);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		kmn_branch_lost(call->keeper, call->branch, "its worker does not listen");
}

/* ---- one at a time over all workers ----------------------------------------------------------------------------- */

bool
kmn_call_login_runs(const struct kmn_keeper *k)
{
	const struct kmn_call_state *call = TAILQ_FIRST(&k->logins);

	return call != NULL && call->turn_us != 0 && kmn_keeper_now_us() - call->turn_us < KMN_TURN_MAX_MS * 1000;
}

/* The next in the queue has its turn; from the loop, for its worker may not listen, and its application end. */
void
kmn_call_next_login(struct kmn_keeper *k)
{
	struct kmn_call_state *call = TAILQ_FIRST(&k->logins);

	k->login_due = false;
	if (call == NULL || kmn_call_login_runs(k) || kmn_worker_starts(k))
		return;
	if (call->turn_us != 0) { /* a person at a PIN pad keeps nobody away */
		kmn_call_leave_turn(call);
		return;
	}
	call->turn_us = kmn_keeper_now_us();
	call->in_turn(call);
}

void
kmn_call_take_turn(struct kmn_call_state *call, void (*in_turn)(struct kmn_call_state *call))
{
	call->in_logins = true;
	call->in_turn = in_turn;
	call->turn_us = 0;
	TAILQ_INSERT_TAIL(&call->keeper->logins, call, turn);
	kmn_call_next_login(call->keeper);
}

void
kmn_call_leave_turn(struct kmn_call_state *call)
{
	if (!call->in_logins)
		return;
	call->in_logins = false;
	TAILQ_REMOVE(&call->keeper->logins, call, turn);
	call->keeper->login_due = call->keeper->start_due = true;
}

/*
 * What reads or writes the token's own state: one at a time over all workers. SoftHSM processes that log in at the same
 * moment fail at random, and so does one that reads the token's information while another logs in.
 */
static bool
takes_turns(const struct kmn_call_view *view)
{
	return kmn_view_nth(view, KMN_KIND_PIN, 0) != NULL || view->id == KMN_C_GetTokenInfo;
}

void
kmn_call_send_in_turn(struct kmn_call_state *call)
{
	if (!takes_turns(&call->view)) {
		kmn_call_send(call);
		return;
	}
	call->step = KMN_STEP_START;
	kmn_call_take_turn(call, kmn_call_send);
}

/* ---- sent as it was decided ------------------------------------------------------------------------------------- */

/*
 * K1, and R2's comparison: what is about to run is what was recorded and, where a quorum decided, approved. The only
 * place where the digests are compared.
 */
static bool
is_what_was_decided(struct kmn_call_state *call)
{
	const struct kmn_request *request = kmn_quorum_request(call->keeper->quorum, call->request.i);
	uint8_t digest[KMN_HASH_BYTES];

	return request != NULL && request->state == KMN_REQUEST_RUNNING &&
	       kmn_operation_digest(call->intent, digest) == KMN_OK &&
	       CRYPTO_memcmp(digest, request->operation, sizeof(digest)) == 0 &&
	       memcmp(request->client_spki_sha256, call->instance->spki_sha256, KMN_HASH_BYTES) == 0;
}

static void
run(struct kmn_call_state *call)
{
	if (!is_what_was_decided(call))
		KMN_BUG("the call is not the one that was decided");
	kmn_call_send_in_turn(call);
}

/* What keeps it from running now: proofs of the ledger that are too old, or what its token did. NULL: nothing. */
static const char *
stopped_by(const struct kmn_call_state *call, const struct kmn_request *request, struct kmn_stale *stale,
    struct kmn_anomaly *anomaly)
{
	const struct kmn_keeper *k = call->keeper;

	if (kmn_quorum_is_stale(k->quorum, 'A', k->clock.now, stale))
		return stale->reason;
	if (kmn_quorum_token_stops(k->quorum, request->intent, 'A', call->window != 0, INT64_MAX, anomaly))
		return anomaly->reason;
	return NULL;
}

/* The body of its decision `allow`. KMN_E_DENIED: the window that it uses ended a moment ago. */
static kmn_err
allow_body(struct kmn_call_state *call, json_t **body_out)
{
	const struct kmn_request *request = kmn_quorum_request(call->keeper->quorum, call->request.i);
	kmn_err e;

	if (request != NULL && call->window != 0)
		return kmn_window_use_body(call, request, body_out);
	call->use = request == NULL ? 0 : request->used + 1;
	if (request == NULL)
		return KMN_E_NOT_FOUND;
	if ((e = kmn_quorum_decision_body(call->keeper->quorum, request, "allow", body_out)) == KMN_OK)
		kmn_attach_say_met(call, request, *body_out);
	return e;
}

static void
record_allow(struct kmn_call_state *call, json_t *body)
{
	struct kmn_keeper *k = call->keeper;
	kmn_err e;

	call->step = KMN_STEP_START;
	k->clock.held = true;
	e = kmn_keeper_append(k, KMN_R_DECISION, body, &call->decision);
	k->clock.held = false;
	if (e != KMN_OK)
		return;
	call->decided = true;
	kmn_keeper_when_durable(call, run);
}

void
kmn_call_decide_and_run(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *request = kmn_quorum_request(k->quorum, call->request.i);
	struct kmn_anomaly anomaly;
	struct kmn_stale stale;
	const char *reason;
	json_t *body;
	kmn_err e;

	if (request != NULL && (request->verdict.answer == KMN_ANSWER_REFUSED || (request->held && !call->parked))) {
		kmn_call_deny(call); /* a bound of content in time was passed between judging and writing */
		return;
	}
	if (request == NULL)
		KMN_BUG("a decision without its request");
	/* From here to the record it is one moment: a clock that is set back in between allows nothing. */
	kmn_clock_tick(k);
	if ((reason = stopped_by(call, request, &stale, &anomaly)) != NULL) {
		(void)snprintf(call->verdict.reason, sizeof(call->verdict.reason), "%s", reason);
		kmn_call_say_refused(call);
		call->why = KMN_E_STALE;
		kmn_call_deny(call);
		return;
	}
	if ((e = allow_body(call, &body)) == KMN_E_DENIED) {
		call->why = KMN_E_EXPIRED;
		kmn_call_deny(call);
		return;
	}
	if (e != KMN_OK)
		KMN_BUG("a decision cannot be recorded");
	record_allow(call, body);
}
