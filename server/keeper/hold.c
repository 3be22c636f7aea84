/*
 * Calls that a quorum holds. The request lives in the ledger and in the quorum
 * state, and outlives the call, its process and this one; a call only waits
 * for it, runs when it is met, or gives up waiting.
 */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_REQUEST UINT64_MAX

void
kmn_hold_forget(struct kmn_call_state *call)
{
	if (!call->in_held)
		return;
	call->in_held = false;
	LIST_REMOVE(call, held);
}

/* Tells the client that its call waits, and for which request; the connection is free again. */
void
kmn_hold_tell(struct kmn_call_state *call)
{
	struct kmn_writer w;

	call->parked = true;
	if (call->conn == NULL)
		return;
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, call->number);
	kmn_writer_u64(&w, call->request.i);
	kmn_gatelink_send(call->keeper, call->conn, KMN_F_HELD, &w);
	call->conn = NULL;
}

/* Its outcome is there: the client is told on the connections that watch, and asks for it. */
void
kmn_hold_ready(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	struct kmn_conn *conn;

	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++)
		LIST_FOREACH(conn, &k->conns[i], link)
		{
			struct kmn_writer w;

			if (conn->instance != call->instance || !conn->watching)
				continue;
			kmn_writer_init(&w, 64);
			kmn_writer_u64(&w, call->number);
			kmn_gatelink_send(k, conn, KMN_F_READY, &w);
		}
}

static void
hold(struct kmn_call_state *call)
{
	kmn_turn_leave(call);
	call->step = KMN_STEP_HELD;
	call->in_held = true;
	LIST_INSERT_HEAD(&call->keeper->held, call, held);
}

static void start_over(struct kmn_call_state *call);
static void end_waiting(struct kmn_keeper *k, uint64_t request, kmn_err reason);

static void
parked(struct kmn_call_state *call)
{
	uint64_t request = call->request.i;
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *r;

	hold(call);
	kmn_hold_tell(call);
	/* It may have ended before the call came to wait: by a new policy, or because another ran it. */
	r = kmn_quorum_request(k->quorum, request);
	if (r == NULL || r->state <= KMN_REQUEST_RUNNING)
		kmn_hold_advance(k, request);
	else if (r->state == KMN_REQUEST_DONE || r->state == KMN_REQUEST_FAILED)
		start_over(call);
	else
		end_waiting(k, request, KMN_E_WITHDRAWN);
}

void
kmn_hold_park(struct kmn_call_state *call)
{
	kmn_keeper_when_durable(call, parked);
}

/* Data is kept where a person will read it: what the statement says of it must be derivable for ever. */
kmn_err
kmn_hold_keep_data(struct kmn_call_state *call)
{
	uint8_t sha256[KMN_HASH_BYTES];
	kmn_err e;

	if (!call->has_data || call->data_len > KMN_CONTENT_MAX_BYTES)
		return KMN_OK;
	if ((e = kmn_log_blob_put(call->keeper->log, call->data, call->data_len, sha256)) != KMN_OK)
		return e;
	return kmn_attach_keep(call->keeper, &call->attached);
}

static unsigned
open_requests(const struct kmn_keeper *k, const uint8_t *client_spki_sha256)
{
	const struct kmn_request *r = NULL;
	unsigned n = 0;

	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL)
		n += r->held && r->state != KMN_REQUEST_WINDOW &&
		     (client_spki_sha256 == NULL ||
			 memcmp(r->client_spki_sha256, client_spki_sha256, KMN_HASH_BYTES) == 0);
	return n;
}

bool
kmn_hold_has_room(const struct kmn_keeper *k, const uint8_t client_spki_sha256[KMN_HASH_BYTES])
{
	return open_requests(k, NULL) < k->setup->limits.requests &&
	       open_requests(k, client_spki_sha256) < k->setup->limits.requests_per_client;
}

/* ---- a result that ran and whose answer was lost ----------------------------------------------------------------- */

static bool
was_delivered(const struct kmn_keeper *k, uint64_t request)
{
	for (size_t i = 0; i < KMN_COUNT_OF(k->delivered); i++)
		if (k->delivered[i] == request + 1)
			return true;
	return false;
}

/* The client has acknowledged the answer of this call: the same call made again is a new one. */
void
kmn_hold_delivered(struct kmn_keeper *k, const struct kmn_call_state *call)
{
	if (call->parked || call->handed)
		k->delivered[k->delivered_next++ % KMN_COUNT_OF(k->delivered)] = call->request.i + 1;
}

static const struct kmn_request *
find_undelivered(struct kmn_call_state *call, const uint8_t operation[KMN_HASH_BYTES])
{
	const struct kmn_request *r = NULL;

	if ((call->view.call->operations & KMN_SIGN_OPERATIONS) == 0)
		return NULL; /* handles and plaintexts belong to the process that got them */
	while ((r = kmn_quorum_next(call->keeper->quorum, r, true)) != NULL)
		if (r->state == KMN_REQUEST_DONE && r->held && kmn_keeper_now_ms() < r->not_after &&
		    memcmp(r->operation, operation, KMN_HASH_BYTES) == 0 &&
		    memcmp(r->client_spki_sha256, call->instance->spki_sha256, KMN_HASH_BYTES) == 0 &&
		    !was_delivered(call->keeper, r->i))
			return r;
	return NULL;
}

/* The signature that a result record holds. */
static kmn_err
recorded_signature(struct kmn_keeper *k, const struct kmn_request *request, struct kmn_ref *ref, uint8_t *out,
    size_t max, size_t *len_out)
{
	struct kmn_record record;
	const char *b64;
	char *line;
	size_t len;
	kmn_err e;

	if ((e = kmn_log_line(k->log, request->result_i, &line, &len)) != KMN_OK)
		return e;
	if ((e = kmn_record_parse(line, len, &record, NULL)) != KMN_OK) {
		free(line);
		return e;
	}
	*ref = (struct kmn_ref){.i = record.i};
	memcpy(ref->leaf, record.leaf, sizeof(ref->leaf));
	if (!kmn_json_get_text(json_object_get(record.body, "out"), "b64", &b64))
		e = KMN_E_NOT_FOUND;
	else
		e = kmn_b64_parse(b64, strlen(b64), out, max, len_out);
	kmn_record_clear(&record);
	free(line);
	return e;
}

static kmn_err
append_redelivery(
    struct kmn_call_state *call, const struct kmn_ref *result, CK_RV rv, const uint8_t *reply, size_t reply_len)
{
	char storage[32];

	kmn_sha256(reply, reply_len, call->resp_sha256);
	call->again = *result;
	call->told_by = KMN_R_REDELIVERY;
	return kmn_keeper_append(call->keeper, KMN_R_REDELIVERY,
	    json_pack("{s:o, s:I, s:I, s:I, s:o, s:I, s:s, s:o}", "result", kmn_ref_json(result), "chan",
		(json_int_t)call->chan, "sess", kmn_record_number(call->session_handle), "seq",
		(json_int_t)call->number, "req_sha256", kmn_json_b64(call->req_sha256, KMN_HASH_BYTES), "rv",
		(json_int_t)rv, "rv_name", kmn_record_rv_name(rv, storage), "resp_sha256",
		kmn_json_b64(call->resp_sha256, KMN_HASH_BYTES)),
	    &call->outcome);
}

/* Hands out the recorded bytes again; the HSM is not asked. False: they cannot be, and the call is a new request. */
static bool
redeliver(struct kmn_call_state *call, const struct kmn_request *request)
{
	const struct kmn_value *room = kmn_view_room(&call->view);
	uint8_t signature[KMN_KEY_SPKI_MAX_BYTES], *reply;
	struct kmn_writer w;
	struct kmn_ref ref;
	size_t len, reply_len;
	kmn_err e;

	if (recorded_signature(call->keeper, request, &ref, signature, sizeof(signature), &len) != KMN_OK)
		return false;
	call->request.i = request->i;
	memcpy(call->request.leaf, request->leaf, sizeof(call->request.leaf));
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES + sizeof(signature));
	kmn_response_put_bytes(call->view.id, signature, len, room->number, &w);
	e = kmn_writer_take(&w, &reply, &reply_len);
	kmn_writer_clear(&w);
	if (e == KMN_OK)
		e = append_redelivery(
		    call, &ref, len <= room->number ? CKR_OK : CKR_BUFFER_TOO_SMALL, reply, reply_len);
	if (e != KMN_OK) {
		free(reply);
		return true;
	}
	call->handed = len <= room->number;
	if (call->handed)
		kmn_call_drop_side(call);
	kmn_call_finish(call, reply, reply_len);
	return true;
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

void
kmn_hold_refuse(struct kmn_call_state *call, const char *reason)
{
	call->verdict.answer = KMN_ANSWER_REFUSED;
	snprintf(call->verdict.reason, sizeof(call->verdict.reason), "rule %.60s: %s", call->verdict.rule, reason);
	kmn_call_refuse(call);
}

/* A signature that cannot be checked against a public key must not be made under a quorum (fail closed). */
static bool
checkable(const struct kmn_call_state *call)
{
	const struct kmn_operation *op = call->operation;

	return op == NULL || !op->known || op->key.class != CKO_PRIVATE_KEY || (op->kind & KMN_SIGN_OPERATIONS) == 0 ||
	       (op->key.spki_len > 0 && call->has_norm);
}

static void
new_request(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *request;
	int64_t expires =
	    kmn_clock_record_ms(k) +
	    1000 * (int64_t)(call->verdict.lifetime_s > 0 ? call->verdict.lifetime_s : k->setup->request_lifetime_s);

	if (!kmn_hold_has_room(k, call->instance->spki_sha256)) {
		call->why = KMN_E_TOO_MANY;
		kmn_hold_refuse(call, "too many open requests: let some be decided or withdraw them");
		return;
	}
	if (kmn_hold_keep_data(call) != KMN_OK) {
		kmn_keeper_ledger_lost(k, "what is to be approved cannot be kept");
		return;
	}
	if (json_object_set_new(call->intent, "expires", json_integer((json_int_t)expires)) != 0)
		KMN_BUG("out of memory");
	if (!kmn_attach_is_instructed(call)) {
		kmn_call_refuse(call);
		return;
	}
	if (kmn_keeper_append(k, KMN_R_INTENT, json_incref(call->intent), &call->request) != KMN_OK)
		return;
	if ((request = kmn_quorum_request(k->quorum, call->request.i)) == NULL || !request->held) {
		kmn_call_deny(call); /* a bound of content in time was passed between judging and writing */
		return;
	}
	k->statements_due += !request->awaits;
	kmn_say(KMN_SAY_INFO, "request %llu: %s of %s waits for %s under rule %s", (unsigned long long)call->request.i,
	    call->view.call->name, call->peer_name, request->awaits ? "its content (kanmon attach)" : "approval",
	    call->verdict.rule);
	kmn_hold_park(call);
}

/*
 * A call that brings a digest only, and a request made ahead that showed the content: with this content the rule that
 * holds the call's own key must be the one that the request was approved under. The request's key was found by the
 * names of a public key object, which anybody may make.
 */
static bool
decided_alike(struct kmn_call_state *call, const struct kmn_request *r)
{
	struct kmn_keeper *k = call->keeper;
	struct kmn_attached shown;
	struct kmn_material material;
	struct kmn_verdict verdict;
	bool alike;

	if (r->awaits) /* both wait for it */
		return strcmp(call->verdict.rule, r->verdict.rule) == 0;
	kmn_attach_load(k, r->intent, &shown);
	material = (struct kmn_material){shown.data, shown.data_len, shown.econtent, shown.econtent_len};
	alike = shown.data != NULL &&
		kmn_policy_judge_intent(kmn_keeper_policy(k), call->intent, &material, kmn_keeper_now_ms(), &verdict) ==
		    KMN_OK &&
		verdict.answer == r->verdict.answer && strcmp(verdict.rule, r->verdict.rule) == 0;
	kmn_attached_clear(&shown);
	return alike;
}

/* Also what is committed to: a salt makes it another value each time. */
static bool
has_redacted(json_t *value)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_object_get(value, "redacted") != NULL || json_object_get(value, "commit") != NULL)
		return true;
	json_object_foreach(value, name, member) if (has_redacted(member)) return true;
	json_array_foreach(value, i, member) if (has_redacted(member)) return true;
	return false;
}

/*
 * Does the call carry what no record may hold, not even as a hash: a PIN, a key value? Then its digest does not bind
 * all of it, and people approve this very call: no other may meet the approval, and the request ends with its wait.
 */
static bool
is_blind(const struct kmn_call_state *call)
{
	const struct kmn_value *pin = kmn_view_nth(&call->view, KMN_KIND_PIN, 0);

	/* A login's PIN goes nowhere where the gateway has its own, and where there is none all is said. */
	if (call->view.id == KMN_C_Login && (call->has_login || pin->null))
		return false;
	return pin != NULL || has_redacted(call->intent);
}

void
kmn_hold_start(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	uint8_t operation[KMN_HASH_BYTES];
	const struct kmn_request *r;

	if (!checkable(call)) {
		kmn_hold_refuse(call, "no public key is known that its signature could be checked with");
		return;
	}
	if (call->verdict.per == KMN_PER_WINDOW && !call->verdict.content_missing) {
		kmn_window_start(call);
		return;
	}
	if (call->verdict.content_missing && (!call->has_norm || call->verdict.per == KMN_PER_LOGIN)) {
		kmn_hold_refuse(call, "what this call works on cannot be shown as content");
		return;
	}
	if (kmn_operation_digest(call->intent, operation) != KMN_OK)
		KMN_BUG("an intent without an operation digest");
	if ((call->blind = is_blind(call))) {
		new_request(call);
		return;
	}
	r = kmn_quorum_find(k->quorum, call->instance->spki_sha256, operation,
	    call->verdict.content_missing ? NULL : call->verdict.rule, kmn_keeper_now_ms());
	if (r != NULL && call->verdict.content_missing && !decided_alike(call, r))
		r = NULL;
	if (r != NULL && r->state != KMN_REQUEST_RUNNING) {
		call->request.i = r->i;
		memcpy(call->request.leaf, r->leaf, sizeof(call->request.leaf));
		kmn_hold_park(call);
		return;
	}
	if ((r = find_undelivered(call, operation)) != NULL && redeliver(call, r))
		return;
	new_request(call);
}

/* ---- what becomes of it ----------------------------------------------------------------------------------------- */

static struct kmn_call_state *
waiting_for(struct kmn_keeper *k, uint64_t request)
{
	struct kmn_call_state *call;

	LIST_FOREACH(call, &k->held, held)
	if (call->request.i == request)
		return call;
	return NULL;
}

/* Everybody who waits for a request that ended without running. */
static void
end_waiting(struct kmn_keeper *k, uint64_t request, kmn_err reason)
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
		end_waiting(k, request, reason_of(verdict));
	return KMN_OK;
}

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

/* A request ran: others that waited for it start over, and find its result or ask anew. */
static void
start_over(struct kmn_call_state *call)
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
		 (r = find_undelivered(call, operation)) == NULL || !redeliver(call, r))
		end_wait(call, CKR_OPERATION_NOT_INITIALIZED);
}

static void
start_all_over(struct kmn_keeper *k, uint64_t request)
{
	struct kmn_call_state *call;

	while ((call = waiting_for(k, request)) != NULL)
		start_over(call);
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
