/*
 * One call, from its frame to its answer. The steps are drawn in state.h.
 *
 * Three ways through, chosen by the row of the call and the policy:
 *   counted   queries, sessions, and the parts of an operation that give nothing away: forwarded, counted (class C)
 *   once      one record after the fact, durable before the answer (class B, logins)
 *   fully     intent and decision durable before the module sees the call, result before the answer (class A)
 */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define NO_SESSION (KMN_FIRST_HANDLE_MAX - 1) /* a number that no worker gives to anything */

/* ---- making and freeing ---------------------------------------------------------------------------------------- */

struct kmn_call_state *
kmn_call_new(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, const uint8_t *payload, size_t len)
{
	struct kmn_call_state *call = calloc(1, sizeof(*call));
	uint8_t be[8];
	EVP_MD_CTX *md;

	if (call == NULL || (call->bytes = malloc(len > 0 ? len : 1)) == NULL) {
		free(call);
		return NULL;
	}
	call->keeper = k;
	call->told_by = KMN_R_UNKNOWN;
	call->instance = conn->instance;
	call->conn = conn;
	call->chan = conn->chan;
	call->number = number;
	memcpy(call->bytes, payload, len);
	call->len = len;
	call->received_us = (int64_t)kmn_keeper_now_us();
	kmn_sha256(payload, len, call->payload_sha256);
	for (size_t i = 0; i < sizeof(be); i++)
		be[i] = (uint8_t)(number >> (56 - 8 * i));
	if ((md = EVP_MD_CTX_new()) == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(md, be, sizeof(be)) != 1 || EVP_DigestUpdate(md, payload, len) != 1 ||
	    EVP_DigestFinal_ex(md, call->req_sha256, NULL) != 1)
		KMN_BUG("SHA-256 fails");
	EVP_MD_CTX_free(md);
	return call;
}

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

void
kmn_call_free(struct kmn_call_state *call)
{
	if (call == NULL)
		return;
	if (call->waits_for > 0)
		TAILQ_REMOVE(&call->keeper->durable, call, durable);
	kmn_hold_forget(call);
	kmn_turn_forget(call);
	kmn_slots_forget_call(call);
	kmn_objects_forget_call(call);
	kmn_branch_forget(call->instance, call);
	kmn_call_leave_turn(call);
	kmn_salts_forget(call);
	json_decref(call->intent);
	free(call->sealed_text);
	kmn_attached_clear(&call->attached);
	if (call->joined != NULL)
		OPENSSL_clear_free(call->joined, KMN_KEEPER_SPOOL_MAX);
	if (call->reply != NULL)
		OPENSSL_cleanse(call->reply, call->reply_len);
	free(call->reply);
	OPENSSL_cleanse(call->bytes, call->len);
	free(call->bytes);
	OPENSSL_cleanse(call, sizeof(*call));
	free(call);
}

void
kmn_call_add_undecided(const struct kmn_call_state *call, json_t *open)
{
	json_t *ref = kmn_ref_json(&call->request);

	(void)json_object_set_new(ref, "state", json_string("unknown"));
	(void)json_array_append_new(open, ref);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

/* A caller that sees CKR_DEVICE_ERROR must be able to find out what closed the token, and the way out. */
static void
refuse_closed(struct kmn_call_state *call)
{
	bool denied = call->durability == 'A' && call->intent != NULL && call->told_by == KMN_R_UNKNOWN;

	kmn_gatelink_refuse(call->keeper, call->conn, call->number, call->why, denied ? call->request.i : UINT64_MAX,
	    call->verdict.reason);
	call->conn = NULL;
}

/* K2: the only way of a reply to the gate. */
void
kmn_call_answer(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	struct kmn_writer w;

	if (call->step != KMN_STEP_DONE)
		KMN_BUG("an answer before its record");
	if (call->conn == NULL) {
		if (call->parked)
			kmn_hold_ready(call);
		return;
	}
	if (call->why == KMN_E_STALE) {
		refuse_closed(call);
		return;
	}
	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u64(&w, call->number);
	if (kmn_receipts_put_answer(call, &w) != KMN_OK) {
		/* Without its proof the answer would be refused, and for another reason than the true one. */
		kmn_writer_clear(&w);
		kmn_gatelink_refuse(k, call->conn, call->number, KMN_E_LEDGER, UINT64_MAX, "no receipt can be made");
		call->conn = NULL;
		return;
	}
	kmn_writer_raw(&w, call->reply, call->reply_len);
	kmn_gatelink_send(k, call->conn, KMN_F_REPLY, &w);
	call->conn = NULL;
}

static void
release(struct kmn_call_state *call)
{
	call->step = KMN_STEP_DONE;
	/* The request may have carried a PIN: from here on only its outcome is needed. */
	OPENSSL_cleanse(call->bytes, call->len);
	if (call->instance->receipts == KMN_RECEIPTS_OFF)
		kmn_salts_forget(call); /* nobody will ask for them */
	kmn_call_answer(call);
	kmn_call_leave_turn(call);
}

void
kmn_call_finish(struct kmn_call_state *call, uint8_t *reply, size_t len)
{
	kmn_turn_leave(call);
	if (call->keeper->unrecorded && call->durability != 'C') {
		/* What it is cannot be written down, so it is not told (K2). */
		OPENSSL_cleanse(reply, len);
		free(reply);
		call->durability = 'C';
		call->told_by = KMN_R_UNKNOWN;
		if (kmn_call_reply_error(call, kmn_reason_end(call, KMN_E_LEDGER), &reply, &len) != KMN_OK)
			KMN_BUG("out of memory");
	}
	call->reply = reply;
	call->reply_len = len;
	call->step = KMN_STEP_RELEASE;
	if (call->durability == 'C')
		release(call);
	else
		kmn_keeper_when_durable(call, release);
}

void
kmn_call_lost(struct kmn_call_state *call, kmn_err reason)
{
	if (call->waits_for > 0)
		TAILQ_REMOVE(&call->keeper->durable, call, durable);
	call->waits_for = 0;
	call->told_by = KMN_R_UNKNOWN;
	kmn_objects_forget_call(call);
	kmn_turn_forget(call);
	if (call->reply != NULL)
		OPENSSL_cleanse(call->reply, call->reply_len);
	free(call->reply);
	call->reply = NULL;
	call->operation = NULL;
	call->data = NULL; /* may be a view into the spool */
	call->data_len = 0;
	kmn_call_finish_rv(call, kmn_reason_end(call, reason));
}

kmn_err
kmn_call_reply_error(const struct kmn_call_state *call, CK_RV rv, uint8_t **reply_out, size_t *len_out)
{
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_response_put_error(call->view.id, rv, &w);
	e = kmn_writer_take(&w, reply_out, len_out);
	kmn_writer_clear(&w);
	return e;
}

void
kmn_call_finish_rv(struct kmn_call_state *call, CK_RV rv)
{
	uint8_t *reply;
	size_t len;

	if (kmn_call_reply_error(call, rv, &reply, &len) != KMN_OK)
		KMN_BUG("out of memory");
	kmn_call_finish(call, reply, len);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

CK_RV
kmn_call_refusal_rv(struct kmn_call_state *call)
{
	return kmn_reason_end(call, call->why != KMN_OK ? call->why : KMN_E_DENIED);
}

bool
kmn_call_lost_operation(const struct kmn_call_state *call)
{
	return call->operation_serial != 0 &&
	       (call->operation == NULL || call->operation->serial != call->operation_serial);
}

/* The error of a data call ends its operation in the vendor's module too: its own session is closed. */
void
kmn_call_drop_side(struct kmn_call_state *call)
{
	struct kmn_operation *op = kmn_call_lost_operation(call) ? NULL : call->operation;
	struct kmn_writer w;

	call->operation = NULL;
	call->data = NULL; /* may be a view into the operation's spool */
	call->data_len = 0;
	/* A message that the module has seen nothing of leaves its operation as it was. */
	if (op == NULL || !op->active || !op->side ||
	    (call->view.call->effect == KMN_EFFECT_BELONGS && !op->in_message))
		return;
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, call->session_handle);
	kmn_writer_u32(&w, op->kind);
	if (call->branch->worker != NULL &&
	    kmn_branch_ask(call->keeper, call->branch, KMN_W_DROP, &w, NULL, NULL) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "a denied operation could not be dropped");
	kmn_writer_clear(&w);
	kmn_operation_end(op);
}

static void
say_refused(const struct kmn_call_state *call)
{
	kmn_say(KMN_SAY_WARNING, "%s of %s refused: %s", call->view.call->name, call->peer_name, call->verdict.reason);
}

/* A refusal of a call that has no intent: one `op` record. */
void
kmn_call_refuse_op(struct kmn_call_state *call, CK_RV rv)
{
	uint8_t *reply;
	struct kmn_response_view response;
	size_t len;
	json_t *body;

	say_refused(call);
	call->durability = 'B';
	if (kmn_call_reply_error(call, rv, &reply, &len) != KMN_OK ||
	    kmn_response_view_decode(reply, len, &response) != KMN_OK)
		KMN_BUG("a refusal cannot be written");
	kmn_sha256(reply, len, call->resp_sha256);
	if (kmn_record_op(call, &response, &body) != KMN_OK ||
	    kmn_keeper_append(call->keeper, KMN_R_OP, body, &call->outcome) != KMN_OK) {
		free(reply);
		return;
	}
	call->told_by = KMN_R_OP;
	kmn_call_drop_side(call);
	kmn_call_finish(call, reply, len);
}

/* The intent is written, and nothing will come of it. */
void
kmn_call_deny(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *request = kmn_quorum_request(k->quorum, call->request.i);
	json_t *body;

	if (request == NULL || kmn_quorum_decision_body(k->quorum, request, "deny", &body) != KMN_OK ||
	    json_object_set_new(
		body, "reason", json_string(kmn_quorum_deny_reason(k->quorum, request, kmn_clock_record_ms(k)))) != 0)
		KMN_BUG("a refusal cannot be recorded");
	if (kmn_keeper_append(k, KMN_R_DECISION, body, NULL) != KMN_OK)
		return;
	kmn_call_drop_side(call);
	kmn_call_finish_rv(call, kmn_call_refusal_rv(call));
}

/* A refusal of a class A call: intent and decision `deny`. */
void
kmn_call_refuse(struct kmn_call_state *call)
{
	int64_t now = kmn_clock_record_ms(call->keeper), lifetime = 1000 * (int64_t)call->verdict.lifetime_s;
	const json_t *expires = json_object_get(call->intent, "expires");

	(void)kmn_attach_is_instructed(call); /* it is refused: by an instruction only if that still wants it */
	say_refused(call);
	call->durability = 'A';
	/* A rule that could have held it bounds how long its intent may stand. */
	if (lifetime > 0 && json_integer_value(expires) > now + lifetime &&
	    json_object_set_new(call->intent, "expires", json_integer(now + lifetime)) != 0)
		KMN_BUG("out of memory");
	if (kmn_keeper_append(call->keeper, KMN_R_INTENT, json_incref(call->intent), &call->request) == KMN_OK)
		kmn_call_deny(call);
}

/* ---- the module's answer ---------------------------------------------------------------------------------------- */

void
kmn_call_count(struct kmn_call_state *call)
{
	if (call->conn != NULL)
		call->conn->counts[call->view.id]++;
}

void
kmn_call_copy_reply(struct kmn_reader *r, uint8_t **reply_out, size_t *len_out)
{
	const uint8_t *payload;

	*len_out = kmn_reader_rest(r, &payload);
	if ((*reply_out = malloc(*len_out > 0 ? *len_out : 1)) == NULL)
		KMN_BUG("out of memory");
	memcpy(*reply_out, payload, *len_out);
}

/* Record what came back, then answer when that is durable. */
static void
finish_recorded(struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply, size_t len)
{
	enum kmn_record_kind kind = call->durability == 'A'                       ? KMN_R_RESULT
				    : call->view.call->policy == KMN_POLICY_LOGIN ? KMN_R_SESSION
										  : KMN_R_OP;
	const char *selfcheck = NULL;
	json_t *body = NULL;
	kmn_err e;

	if (kmn_check_signature(call, response, &selfcheck) != KMN_OK) {
		/* A signature that the public key does not confirm is never released (R2, docs/threat-model.md). */
		kmn_say(KMN_SAY_ERROR, "%s: the HSM's signature does not verify: not released", call->view.call->name);
		kmn_anomaly_signature(call);
		OPENSSL_cleanse(reply, len);
		free(reply);
		if (kmn_call_reply_error(call, kmn_reason_end(call, KMN_E_SIGNATURE), &reply, &len) != KMN_OK ||
		    kmn_response_view_decode(reply, len, &call->own_response) != KMN_OK)
			KMN_BUG("out of memory");
		response = &call->own_response;
	}
	call->selfcheck = selfcheck;
	kmn_sha256(reply, len, call->resp_sha256);
	e = kind == KMN_R_RESULT ? kmn_record_result(call, response, selfcheck, &body)
	    : kind == KMN_R_OP   ? kmn_record_op(call, response, &body)
				 : kmn_record_session(call, response, &body);
	if (e != KMN_OK)
		kmn_keeper_fail(call->keeper, "a result cannot be put into words");
	if (e != KMN_OK || kmn_keeper_append(call->keeper, kind, body, &call->outcome) != KMN_OK) {
		free(reply);
		return;
	}
	call->told_by = kind;
	call->decided = false;
	kmn_activation_ran(call, response);
	kmn_track_operation(call, response);
	kmn_call_finish(call, reply, len);
	kmn_hold_ran(call);
}

/* A key that the call made is described before its record is written. */
static void
made_described(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_response_view response;
	uint8_t *reply = call->reply;
	size_t len = call->reply_len;

	if (r == NULL)
		return; /* the worker died: its instance ends */
	if (kmn_reader_u64(r) == CKR_OK) {
		kmn_key_facts_get(r, &call->made);
		call->has_made = r->err == KMN_OK;
	}
	if (call->has_made && kmn_record_keep_spki(k, &call->made) != KMN_OK)
		return;
	call->reply = NULL;
	call->reply_len = 0;
	if (kmn_response_view_decode(reply, len, &response) != KMN_OK)
		KMN_BUG("an answer that was read cannot be read again");
	finish_recorded(call, &response, reply, len);
}

/* Asks about the key a call made: the private half of a pair, for the last handle is the one that matters. */
static bool
describe_made(struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply, size_t len)
{
	struct kmn_writer w;
	uint64_t object;
	kmn_err e;

	if (response->rv != CKR_OK || call->view.call->policy != KMN_POLICY_KEY_MANAGEMENT ||
	    (!kmn_response_object(response, 1, &object) && !kmn_response_object(response, 0, &object)))
		return false;
	call->reply = reply;
	call->reply_len = len;
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, call->session_handle);
	kmn_writer_u64(&w, object);
	e = kmn_branch_ask(call->keeper, call->branch, KMN_W_DESCRIBE, &w, made_described, call);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		call->reply = NULL;
	return e == KMN_OK;
}

static void
put_u64(uint8_t *at, uint64_t value)
{
	for (size_t i = 0; i < sizeof(value); i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* CK_SESSION_INFO: the slot by the client's number, and ulDeviceError where the gateway has a reason to tell. */
static void
translate(const struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply)
{
	const struct kmn_result *info = kmn_response_nth(response, KMN_KIND_SESSION_INFO, 0);
	uint8_t *fields;

	if (info == NULL || info->len < 4 * sizeof(uint64_t) || call->session == NULL)
		return;
	fields = reply + (info->bytes - reply);
	put_u64(fields, call->slot);
	if (call->session->device_error != 0)
		put_u64(fields + 3 * sizeof(uint64_t), call->session->device_error);
}

void
kmn_call_take_reply(struct kmn_call_state *call, uint8_t *reply, size_t len)
{
	struct kmn_response_view response;

	if (kmn_response_view_decode(reply, len, &response) != KMN_OK || response.id != call->view.id) {
		free(reply);
		kmn_branch_lost(call->keeper, call->branch, "its worker answers in a shape that cannot be");
		return;
	}
	if (kmn_objects_look_through(call, &response)) {
		free(reply);
		return;
	}
	translate(call, &response, reply);
	kmn_activation_mark(call, &response, reply);
	kmn_async_mark(call, &response, reply);
	call->took_us = kmn_keeper_now_us() - call->started_us;
	kmn_track_session(call, &response);
	kmn_event_given(call, &response);
	if (call->durability == 'C') {
		kmn_call_count(call);
		kmn_track_operation(call, &response);
		kmn_call_finish(call, reply, len);
	} else if (!describe_made(call, &response, reply, len)) {
		finish_recorded(call, &response, reply, len);
	}
}

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

/* ---- to the module ---------------------------------------------------------------------------------------------- */

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
	reason = kmn_quorum_is_stale(k->quorum, 'A', k->clock.now, &stale) ? stale.reason
		 : kmn_quorum_token_stops(k->quorum, request->intent, 'A', call->window != 0, INT64_MAX, &anomaly)
		     ? anomaly.reason
		     : NULL;
	if (reason != NULL) {
		(void)snprintf(call->verdict.reason, sizeof(call->verdict.reason), "%s", reason);
		say_refused(call);
		call->why = KMN_E_STALE;
		kmn_call_deny(call);
		return;
	}
	request = kmn_quorum_request(k->quorum, call->request.i);
	if (request != NULL && call->window != 0) {
		e = kmn_window_use_body(call, request, &body);
	} else {
		e = request == NULL ? KMN_E_NOT_FOUND : kmn_quorum_decision_body(k->quorum, request, "allow", &body);
		call->use = request == NULL ? 0 : request->used + 1;
	}
	if (e == KMN_E_DENIED) { /* its window ended a moment ago */
		call->why = KMN_E_EXPIRED;
		kmn_call_deny(call);
		return;
	}
	if (e != KMN_OK)
		KMN_BUG("a decision cannot be recorded");
	call->step = KMN_STEP_START;
	k->clock.held = true;
	e = kmn_keeper_append(k, KMN_R_DECISION, body, &call->decision);
	k->clock.held = false;
	if (e != KMN_OK)
		return;
	call->decided = true;
	kmn_keeper_when_durable(call, run);
}
