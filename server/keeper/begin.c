/*
 * How a call begins: what it is about is asked of the worker, the policy is asked about that, and the way is chosen.
 * The steps are drawn in state.h, the three ways told in call.c.
 */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALE_SOON_MS 60000

/* ---- judging ---------------------------------------------------------------------------------------------------- */

/* Whatever its rule says: past a limit of the policy, or with a clock that lags, calls of its class are refused. */
static void
judge_fresh(struct kmn_call_state *call, char durability)
{
	struct kmn_anomaly anomaly;
	struct kmn_stale stale;

	if (kmn_stance_of(call, &anomaly) == KMN_STANCE_SEAL) {
		call->verdict.answer = KMN_ANSWER_REFUSED;
		call->why = KMN_E_STALE;
		memcpy(call->verdict.reason, anomaly.reason, sizeof(anomaly.reason));
		return;
	}

	kmn_clock_tick(call->keeper);
	if (!kmn_quorum_is_stale(call->keeper->quorum, durability, kmn_keeper_now_ms(), &stale))
		return;
	call->verdict.answer = KMN_ANSWER_REFUSED;
	call->why = KMN_E_STALE;
	memcpy(call->verdict.reason, stale.reason, sizeof(stale.reason));
}

/* What it asks, as the ledger would have it, with the keys and data that this names. False: it is refused, or all ends. */
static bool
put_into_words(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;

	if (kmn_record_intent(call, &call->intent) != KMN_OK) {
		kmn_say(KMN_SAY_WARNING, "%s: what it asks cannot be put into a record", call->view.call->name);
		snprintf(
		    call->verdict.reason, sizeof(call->verdict.reason), "its arguments cannot be put into a record");
		call->verdict.rule = "none";
		kmn_call_refuse_op(call, CKR_ARGUMENTS_BAD);
		return false;
	}
	for (unsigned i = 0; i < call->keys; i++)
		if (kmn_record_keep_spki(k, &call->key[i]) != KMN_OK)
			return false;
	if (call->operation != NULL && call->operation->known &&
	    kmn_record_keep_spki(k, &call->operation->key) != KMN_OK)
		return false;
	if (!kmn_attach_take(call)) {
		kmn_call_refuse(call);
		return false;
	}
	return true;
}

/* What the policy says of the intent, and what else speaks against it. */
static void
judge_intent(struct kmn_call_state *call)
{
	struct kmn_verdict *v = &call->verdict;

	call->judged_by = kmn_keeper_policy(call->keeper);
	if (kmn_policy_judge_intent(call->judged_by, call->intent, &call->material, kmn_keeper_now_ms(), v) != KMN_OK)
		KMN_BUG("an intent that cannot be judged");
	if (call->operation != NULL && !call->operation->known) {
		v->answer = KMN_ANSWER_REFUSED;
		snprintf(v->reason, sizeof(v->reason),
		    "nobody knows the key of an operation that C_SetOperationState brought back");
	}
	/* A bare digest may be that of content which was shown and approved ahead, or will be attached while it waits. */
	else if (v->content_missing)
		v->answer = KMN_ANSWER_HELD;
	if (v->answer != KMN_ANSWER_REFUSED)
		kmn_judge_others(call);
	if (v->answer == KMN_ANSWER_HELD && call->view.call->hold == KMN_HOLD_NEVER) {
		v->answer = KMN_ANSWER_REFUSED;
		snprintf(v->reason, sizeof(v->reason), "rule %s: a quorum cannot hold %s; use the one-part call",
		    v->rule, call->view.call->name);
	}
	kmn_stance_degrade(call);
	if (v->answer == KMN_ANSWER_FREE)
		judge_fresh(call, call->view.call->policy == KMN_POLICY_KEY_USE && v->durability == 'B' ? 'B' : 'A');
}

static void
judge_recorded(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;

	call->durability = 'A';
	if (!put_into_words(call))
		return;
	judge_intent(call);
	if (call->verdict.answer == KMN_ANSWER_REFUSED) {
		if (call->why == KMN_OK)
			call->why = kmn_mechanisms_hide(call) ? KMN_E_MECHANISM : KMN_E_DENIED;
		kmn_call_refuse(call);
	} else if (call->verdict.answer == KMN_ANSWER_HELD) {
		kmn_hold_start(call);
	} else if (call->verdict.durability == 'B' && call->view.call->policy == KMN_POLICY_KEY_USE &&
		   kmn_attached_is_empty(&call->attached)) { /* an `op` has no place for what was attached */
		call->durability = 'B';
		kmn_call_send_in_turn(call);
	} else if (call->verdict.content_seen && kmn_hold_keep_data(call) != KMN_OK) {
		kmn_keeper_ledger_lost(k, "what a rule was decided on cannot be kept");
	} else if (!kmn_attach_is_instructed(call)) {
		kmn_call_refuse(call);
	} else if (kmn_keeper_append(k, KMN_R_INTENT, json_incref(call->intent), &call->request) == KMN_OK) {
		kmn_call_decide_and_run(call);
	}
}

/* The operation of which this call carries a part of what is signed; NULL: of none. */
static struct kmn_operation *
operation_fed(const struct kmn_call_state *call)
{
	const struct kmn_call *row = call->view.call;
	unsigned kind = row->operations & (KMN_OP_SIGN | KMN_OP_MESSAGE_SIGN);
	struct kmn_operation *op;

	if (call->session == NULL || kind == 0 ||
	    (row->effect != KMN_EFFECT_CONTINUES &&
		(row->effect != KMN_EFFECT_BELONGS || !kmn_view_is_part(&call->view))))
		return NULL;
	op = kmn_session_operation(call->session, kind);
	return op->active ? op : NULL;
}

/* Parts of a signature go into its digests, so that the record of its end covers them. */
static kmn_err
feed_part(struct kmn_call_state *call)
{
	const struct kmn_value *data = kmn_view_data(&call->view, 0);
	struct kmn_operation *op = operation_fed(call);

	if (op == NULL)
		return KMN_OK;
	if (call->view.id == KMN_C_SignMessageBegin)
		kmn_operation_next_message(op, call->keeper);
	op->in_message = call->view.call->effect == KMN_EFFECT_BELONGS;
	/* A C_SignFinal that waits for its quorum was about the parts until now. */
	op->serial = ++call->keeper->operations;
	if (call->operation == op)
		call->operation_serial = op->serial;
	return data != NULL ? kmn_operation_feed(op, data->bytes, data->len) : KMN_OK;
}

static void
refuse_use(struct kmn_call_state *call)
{
	if (call->why == KMN_OK)
		call->why = kmn_mechanisms_hide(call) ? KMN_E_MECHANISM : KMN_E_DENIED;
	kmn_call_refuse_op(call, kmn_call_refusal_rv(call));
}

/* An operation that must not end now does not begin; one that may come too late begins where it can be stopped. */
static void
judge_start(struct kmn_call_state *call)
{
	char durability = call->verdict.durability;
	struct kmn_stale soon;

	if (call->verdict.answer == KMN_ANSWER_FREE)
		judge_fresh(call, durability);
	if (call->verdict.answer == KMN_ANSWER_FREE &&
	    kmn_quorum_is_stale(call->keeper->quorum, durability, kmn_keeper_now_ms() + STALE_SOON_MS, &soon))
		call->starts_side = true;
}

/* What gives nothing away is counted, not recorded singly; the policy is asked all the same. */
static void
judge_counted(struct kmn_call_state *call)
{
	struct kmn_verdict *v = &call->verdict;

	if (call->view.id == KMN_C_GetMechanismInfo && kmn_mechanisms_hide(call)) {
		kmn_call_count(call);
		kmn_call_finish_rv(call, CKR_MECHANISM_INVALID);
		return;
	}
	kmn_judge_question(call, v);
	kmn_judge_reading(call);
	if (call->view.call->effect == KMN_EFFECT_STARTS && call->view.call->policy == KMN_POLICY_KEY_USE) {
		/*
		 * Content is seen at the data call, and by then a limit of the policy may be past: an Init that may come
		 * to nothing starts where it can be stopped.
		 */
		call->starts_side =
		    v->answer == KMN_ANSWER_HELD || v->content_missing || kmn_quorum_has_limits(call->keeper->quorum);
		if (v->content_missing)
			v->answer = KMN_ANSWER_HELD;
		judge_start(call);
		if (v->answer != KMN_ANSWER_REFUSED && kmn_record_intent(call, &call->intent) != KMN_OK)
			v->answer = KMN_ANSWER_REFUSED;
	} else if (v->answer == KMN_ANSWER_HELD && call->operation == NULL && !kmn_view_is_length_query(&call->view)) {
		v->answer = KMN_ANSWER_REFUSED;
		snprintf(v->reason, sizeof(v->reason),
		    "rule %s: a quorum cannot hold %s; let a rule before it say need none", v->rule,
		    call->view.call->name);
	}
	if (v->answer == KMN_ANSWER_REFUSED) {
		refuse_use(call);
		return;
	}
	call->durability = 'C';
	kmn_call_send_in_turn(call);
}

static void
judge_once(struct kmn_call_state *call)
{
	kmn_judge_question(call, &call->verdict);
	call->durability = 'B';
	if (call->verdict.answer == KMN_ANSWER_HELD && call->view.id == KMN_C_Logout)
		call->verdict.answer = KMN_ANSWER_FREE; /* nobody needs leave to go */
	if (call->verdict.answer == KMN_ANSWER_HELD) {
		kmn_activation_start(call);
		return;
	}
	if (call->verdict.answer == KMN_ANSWER_FREE && call->view.id != KMN_C_Logout)
		judge_fresh(call, 'B');
	if (call->verdict.answer == KMN_ANSWER_REFUSED)
		kmn_call_refuse_op(call, kmn_call_refusal_rv(call));
	else
		kmn_call_send_in_turn(call);
}

/*
 * A data call without an operation: the module says so itself. Should it give something away all the same, nothing of
 * it leaves.
 */
static void
unstarted_replied(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_response_view response;
	uint8_t *reply;
	size_t len;

	if (r == NULL)
		return;
	kmn_call_copy_reply(r, &reply, &len);
	if (kmn_response_view_decode(reply, len, &response) != KMN_OK || response.id != call->view.id ||
	    response.rv == CKR_OK) {
		OPENSSL_cleanse(reply, len);
		free(reply);
		kmn_branch_lost(k, call->branch, "its module ran an operation that nobody started");
		return;
	}
	kmn_call_count(call);
	kmn_call_finish(call, reply, len);
}

static void
send_unstarted(struct kmn_call_state *call)
{
	struct kmn_writer w;

	call->durability = 'C';
	call->step = KMN_STEP_RUNNING;
	if (call->branch == NULL) { /* nor is there a session */
		kmn_call_finish_rv(call, call->local_rv);
		return;
	}
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_call_put_flags(call, 0, &w);
	kmn_call_put_request(call, &w);
	if (kmn_branch_ask(call->keeper, call->branch, KMN_W_CALL, &w, unstarted_replied, call) != KMN_OK)
		kmn_call_finish_rv(call, CKR_DEVICE_ERROR);
	kmn_writer_clear(&w);
}

/* A vendor's parameter that no table describes is bytes of the client's machine: here they mean something else. */
static void
refuse_foreign(struct kmn_call_state *call)
{
	call->verdict.answer = KMN_ANSWER_REFUSED;
	call->verdict.rule = "none";
	snprintf(call->verdict.reason, sizeof(call->verdict.reason),
	    "a vendor's parameter that is not described comes from another ABI");
	kmn_call_refuse_op(call, CKR_MECHANISM_PARAM_INVALID);
}

/* A parameter that could not be sent, or that the two ends read differently: recorded, and never before the module. */
static void
refuse_uncarried(struct kmn_call_state *call, const struct kmn_mech_view *m)
{
	const char *name = kmn_mechanism_name(m->type);
	char number[24];

	snprintf(number, sizeof(number), "0x%llx", (unsigned long long)m->type);
	call->verdict.answer = KMN_ANSWER_REFUSED;
	call->verdict.rule = "none";
	snprintf(call->verdict.reason, sizeof(call->verdict.reason),
	    m->disagreed ? "the client's types file and this module's describe the parameter of %s differently"
			 : "the parameter of %s cannot be carried: it has no known form, or pointers without lengths",
	    name != NULL ? name : number);
	kmn_call_refuse_op(call, CKR_MECHANISM_PARAM_INVALID);
}

/* For the client there is no such object. */
static void
refuse_hidden(struct kmn_call_state *call)
{
	call->why = KMN_E_HIDDEN;
	call->verdict.rule = "none";
	snprintf(call->verdict.reason, sizeof(call->verdict.reason), "it may not even ask about that object");
	kmn_call_refuse_op(call, kmn_call_refusal_rv(call));
}

/* Which way: by the row, and by whether anything leaves the module. */
static void
judge(struct kmn_call_state *call)
{
	const struct kmn_call *row = call->view.call;
	bool key_use = row->policy == KMN_POLICY_KEY_USE, starts = row->effect == KMN_EFFECT_STARTS;

	const struct kmn_mech_view *uncarried = kmn_view_uncarried(&call->view);

	if (kmn_unrecorded_refuses(call))
		return;
	if (uncarried != NULL) {
		refuse_uncarried(call, uncarried);
		return;
	}
	if (call->view.abi_bound && !call->instance->same_abi) {
		refuse_foreign(call);
		return;
	}
	if (kmn_objects_hide(call)) {
		refuse_hidden(call);
		return;
	}
	if (feed_part(call) != KMN_OK) {
		kmn_call_finish_rv(call, CKR_HOST_MEMORY);
		return;
	}
	if (key_use && !starts && row->effect != KMN_EFFECT_NONE && call->view.id != KMN_C_DigestKey &&
	    call->operation == NULL)
		send_unstarted(call);
	else if (kmn_view_is_counted(&call->view))
		judge_counted(call);
	else if (row->durability == KMN_DURABILITY_B)
		judge_once(call);
	else
		judge_recorded(call);
}

/* ---- facts ------------------------------------------------------------------------------------------------------ */

static void ask_facts(struct kmn_call_state *call);

static void
token_told(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;

	(void)k;
	if (r == NULL)
		return;
	kmn_call_leave_turn(call);
	call->token = kmn_token_take(call->branch, call->slot, r);
	call->token_asked = true;
	ask_facts(call);
}

static void
key_told(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	uint64_t rv;

	(void)k;
	if (r == NULL)
		return;
	rv = kmn_reader_u64(r);
	if (rv == CKR_OK) {
		kmn_key_facts_get(r, &call->key[call->keys]);
		if (kmn_reader_end(r) == KMN_OK)
			call->keys++;
	} else {
		call->nobody[call->nobodies++] = call->key_handle[call->keys_asked];
		if (call->keys_asked < call->keys_needed) {
			call->key_missing = true;
			call->key_rv = rv;
		}
	}
	call->keys_asked++;
	ask_facts(call);
}

static void
ask(struct kmn_call_state *call, uint8_t kind, const struct kmn_writer *w,
    void (*told)(struct kmn_keeper *, void *, struct kmn_reader *))
{
	if (kmn_branch_ask(call->keeper, call->branch, kind, w, told, call) != KMN_OK)
		kmn_branch_lost(call->keeper, call->branch, "its worker does not listen");
}

/*
 * A handle of nothing. The module says what is wrong in its own words, and gives nothing away: it is told a handle
 * that it cannot know, even if the client's has come to mean something meanwhile.
 */
static void
unknown_key(struct kmn_call_state *call)
{
	if (call->view.call->effect == KMN_EFFECT_STARTS || call->key_rv == CKR_OBJECT_HANDLE_INVALID ||
	    call->key_rv == CKR_KEY_HANDLE_INVALID || call->key_rv == CKR_SESSION_HANDLE_INVALID)
		send_unstarted(call);
	else
		kmn_call_finish_rv(call, (CK_RV)call->key_rv);
}

/* In its turn: the token's information is not read while another application logs in (decision 0005). */
static void
ask_token(struct kmn_call_state *call)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, call->vendor_slot);
	ask(call, KMN_W_TOKEN, &w, token_told);
	kmn_writer_clear(&w);
}

/* Asks the worker for what is not known yet, one thing after the other, then judges. */
static void
ask_facts(struct kmn_call_state *call)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	if (call->has_slot && call->token == NULL)
		call->token = kmn_token_get(call->instance, call->slot);
	if (call->branch == NULL) { /* a slot or session that is not there has neither token nor keys */
		judge(call);
	} else if (call->has_slot && call->token == NULL && !call->token_asked) {
		kmn_call_take_turn(call, ask_token);
	} else if (call->keys_asked < call->key_count) {
		kmn_writer_u64(&w, call->session_handle);
		kmn_writer_u64(&w, call->key_handle[call->keys_asked]);
		ask(call, KMN_W_DESCRIBE, &w, key_told);
	} else if (call->key_missing) {
		unknown_key(call);
	} else if (call->keys + call->nobodies < call->key_count) { /* a description that cannot be read */
		kmn_call_finish_rv(call, CKR_DEVICE_ERROR);
	} else {
		judge(call);
	}
	kmn_writer_clear(&w);
}

static void
want_key(struct kmn_call_state *call, uint64_t handle)
{
	if (handle != 0 && call->key_count < KMN_KEEPER_KEYS_MAX)
		call->key_handle[call->key_count++] = handle;
}

/* Whether a C_GetAttributeValue asks for what may be secret of a key. */
static bool
asks_secrets(const struct kmn_call_view *view)
{
	const struct kmn_value *values = kmn_view_nth(view, KMN_KIND_VALUES, 0);
	struct kmn_attribute_view row;
	size_t at = 0;

	while (values != NULL && kmn_template_next(&values->template, &at, &row)) {
		const struct kmn_attribute *known = kmn_attribute_row(row.type);

		if (known == NULL || !known->public)
			return true;
	}
	return false;
}

/* The handles that this call must be judged by, the one that its record names first. */
static void
find_keys(struct kmn_call_state *call)
{
	enum kmn_policy_class class = call->view.call->policy;
	const struct kmn_mech_view *mech = kmn_view_mechanism(&call->view);
	uint64_t handle, inside[KMN_KEEPER_KEYS_MAX];
	bool wraps;
	size_t n;

	call->reads_secrets = call->view.id == KMN_C_GetAttributeValue && asks_secrets(&call->view);
	if (call->reads_secrets && kmn_view_object(&call->view, 0, &handle))
		want_key(call, handle);
	call->keys_needed = call->key_count;
	if (class != KMN_POLICY_KEY_USE && class != KMN_POLICY_KEY_MANAGEMENT &&
	    (class != KMN_POLICY_QUERY || !kmn_objects_are_limited(call)))
		return;
	/* Where a key leaves, it is the one that matters most: the second. */
	wraps = call->view.id == KMN_C_WrapKey || call->view.id == KMN_C_WrapKeyAuthenticated;
	if (wraps && kmn_view_key(&call->view, 1, &handle))
		want_key(call, handle);
	if (kmn_view_key(&call->view, 0, &handle))
		want_key(call, handle);
	if (!wraps && kmn_view_key(&call->view, 1, &handle))
		want_key(call, handle);
	if (kmn_view_object(&call->view, 0, &handle))
		want_key(call, handle);
	/* A state may need no key, and a parameter's handle may not be looked at: there nobody is one like 0. */
	if (call->view.id != KMN_C_SetOperationState && class != KMN_POLICY_QUERY)
		call->keys_needed = call->key_count;
	n = mech != NULL ? kmn_mech_handles(mech, inside, KMN_COUNT_OF(inside)) : 0;
	for (size_t i = 0; i < n && i < KMN_COUNT_OF(inside); i++)
		want_key(call, inside[i]);
}

static void
find_operation(struct kmn_call_state *call)
{
	const struct kmn_call *row = call->view.call;

	if (call->session == NULL || row->effect == KMN_EFFECT_STARTS || row->effect == KMN_EFFECT_NONE)
		return;
	for (size_t i = KMN_OPERATION_KINDS; i-- > 0;) {
		struct kmn_operation *op = &call->session->operation[i];

		if ((row->operations & op->kind & KMN_KEY_OPERATIONS) != 0 && op->active) {
			call->operation = op;
			call->operation_serial = op->serial;
		}
	}
}

/* Where it goes: to the module of its session or slot. False: that is being found out (slots.c). */
static bool
route(struct kmn_call_state *call)
{
	struct kmn_instance *instance = call->instance;

	if (call->session != NULL) {
		call->branch = call->session->branch;
		call->has_slot = true;
		call->slot = call->session->slot;
		call->vendor_slot = call->session->vendor_slot;
	} else if (kmn_view_session(&call->view, &call->session_handle)) {
		call->branch = kmn_branch_of_handle(instance, call->session_handle);
		if (call->branch->worker == NULL) {
			call->branch = NULL;
			call->local_rv = call->view.id == KMN_C_CloseSession ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
		}
	} else if (kmn_view_slot(&call->view, &call->slot)) {
		call->has_slot = true;
		return kmn_slots_route(call);
	} else if (call->view.id == KMN_C_GetSlotList) {
		return kmn_slots_route(call);
	} else if (instance->branches == 1) {
		call->branch = &instance->branch[0];
	}
	return true;
}

void
kmn_call_begin(struct kmn_call_state *call)
{
	find_operation(call);
	ask_facts(call);
}

void
kmn_call_ready(struct kmn_call_state *call)
{
	kmn_turn_make_ready(call->keeper, call);
}

void
kmn_call_start(struct kmn_keeper *k, struct kmn_call_state *call)
{
	kmn_err e = kmn_call_view_decode(call->bytes, call->len, &call->view);

	call->durability = 'C';
	call->peer_name = call->conn->peer->name;
	if (e != KMN_OK) {
		call->step = KMN_STEP_DONE;
		kmn_gatelink_reject(k, call->conn, "a call that is none");
		return;
	}
	call->step = KMN_STEP_FACTS;
	if (kmn_view_session(&call->view, &call->session_handle))
		call->session = kmn_session_get(call->instance, call->session_handle);
	find_keys(call);
	if (route(call) && (call->view.id == KMN_C_SessionCancel || kmn_turn_take(call)))
		kmn_call_begin(call);
}
