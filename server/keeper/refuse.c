/* Refusals: what is recorded of them, and what of the call's operation is left. */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>
#include <string.h>

CK_RV
kmn_call_refusal_rv(struct kmn_call_state *call)
{
	return kmn_reason_end(call, call->why != KMN_OK ? call->why : KMN_E_DENIED);
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

void
kmn_call_say_refused(const struct kmn_call_state *call)
{
	kmn_say(KMN_SAY_WARNING, "%s of %s refused: %s", call->view.call->name, call->peer_name, call->verdict.reason);
	kmn_job_refused(call);
}

/* One `op` record, with the reason as the log has it. */
static kmn_err
append_refusal(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	const char *reason = call->verdict.reason;
	json_t *body;
	kmn_err e;

	if ((e = kmn_record_op(call, response, &body)) != KMN_OK)
		return e;
	if (reason[0] != '\0' && json_object_set_new(body, "reason", kmn_json_label(reason, strlen(reason))) != 0)
		KMN_BUG("out of memory");
	return kmn_keeper_append(call->keeper, KMN_R_OP, body, &call->outcome);
}

/* A refusal of a call that has no intent. */
void
kmn_call_refuse_op(struct kmn_call_state *call, CK_RV rv)
{
	uint8_t *reply;
	struct kmn_response_view response;
	size_t len;

	kmn_call_say_refused(call);
	call->durability = 'B';
	if (kmn_call_reply_error(call, rv, &reply, &len) != KMN_OK ||
	    kmn_response_view_decode(reply, len, &response) != KMN_OK)
		KMN_BUG("a refusal cannot be written");
	kmn_sha256(reply, len, call->resp_sha256);
	if (append_refusal(call, &response) != KMN_OK) {
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
	kmn_call_say_refused(call);
	call->durability = 'A';
	/* A rule that could have held it bounds how long its intent may stand. */
	if (lifetime > 0 && json_integer_value(expires) > now + lifetime &&
	    json_object_set_new(call->intent, "expires", json_integer(now + lifetime)) != 0)
		KMN_BUG("out of memory");
	if (kmn_keeper_append(call->keeper, KMN_R_INTENT, json_incref(call->intent), &call->request) == KMN_OK)
		kmn_call_deny(call);
}
