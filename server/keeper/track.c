/*
 * What the outcome of a call changes: sessions that are there, operations that
 * run in them, and what is noted of both.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

/* Opened and closed sessions are named singly, but nobody waits for it. */
static void
note_session(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	json_t *body;

	if (kmn_record_session(call, response, &body) != KMN_OK ||
	    kmn_keeper_append(call->keeper, KMN_R_SESSION, body, NULL) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "a session has no record");
}

void
kmn_track_session(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	struct kmn_instance *instance = call->instance;
	const struct kmn_value *flags;
	uint64_t handle;

	if (call->view.call->policy == KMN_POLICY_SESSION)
		note_session(call, response);
	if (response->rv != CKR_OK)
		return;
	switch (call->view.id) {
	case KMN_C_OpenSession:
		flags = kmn_view_nth(&call->view, KMN_KIND_FLAGS, 0);
		if (kmn_response_session(response, &handle) &&
		    kmn_session_add(call, handle, flags != NULL ? flags->number : 0) != KMN_OK)
			KMN_BUG("out of memory");
		break;
	case KMN_C_CloseSession:
		kmn_session_remove(instance, call->session_handle);
		break;
	case KMN_C_CloseAllSessions:
		kmn_session_remove_slot(instance, call->slot);
		break;
	case KMN_C_InitToken:
		kmn_token_forget(instance, call->slot);
		kmn_slots_changed(instance); /* it has another name now */
		break;
	default:
		break;
	}
}

/* The operations that C_SetOperationState may have brought back: nobody said by what mechanism. */
static void
track_restored(struct kmn_call_state *call)
{
	static const unsigned kinds[] = {KMN_OP_ENCRYPT, KMN_OP_DECRYPT, KMN_OP_SIGN, KMN_OP_SIGN_RECOVER};

	for (size_t i = 0; i < KMN_COUNT_OF(kinds); i++) {
		struct kmn_operation *op = kmn_session_operation(call->session, kinds[i]);

		kmn_operation_end(op);
		op->active = true;
		op->serial = ++call->keeper->operations;
	}
}

/* An Init that succeeded: with a mechanism the operation begins, with NULL in its place it ended. */
static void
track_start(struct kmn_call_state *call, struct kmn_operation *op)
{
	const struct kmn_mech_view *mech = kmn_view_mechanism(&call->view);

	if (mech != NULL && mech->form == KMN_MECH_NULL)
		kmn_operation_end(op);
	else
		kmn_operation_begin(op, call);
}

/* A message ends with its last part, and with a failure; what follows in the operation is another one. */
static void
track_message(struct kmn_call_state *call, struct kmn_operation *op, uint64_t rv)
{
	if (call->view.id == KMN_C_SignMessageNext && !kmn_view_is_part(&call->view) && rv != CKR_BUFFER_TOO_SMALL &&
	    !kmn_view_is_length_query(&call->view))
		kmn_operation_next_message(op, call->keeper);
}

/* Operations that C_SessionCancel ended, and the requests of calls that wait in them. */
static void
track_cancel(struct kmn_call_state *call)
{
	unsigned cancelled = kmn_view_cancels(&call->view);
	const struct kmn_call_state *at_work = call->session->turn;

	kmn_hold_cancel(call->session, cancelled);
	for (size_t i = 0; i < KMN_OPERATION_KINDS; i++) {
		struct kmn_operation *op = &call->session->operation[i];

		/* Of one that the module works on its own answer says what became of it. */
		if ((op->kind & cancelled) != 0 && (at_work == NULL || at_work->operation != op))
			kmn_operation_end(op);
	}
}

void
kmn_track_operation(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	const struct kmn_call *row = call->view.call;

	if (call->session == NULL)
		return;
	if (call->view.id == KMN_C_SetOperationState && response->rv == CKR_OK)
		track_restored(call);
	if (call->view.id == KMN_C_SessionCancel && response->rv == CKR_OK)
		track_cancel(call);
	for (size_t i = 0; i < KMN_OPERATION_KINDS; i++) {
		struct kmn_operation *op = &call->session->operation[i];

		if ((row->operations & op->kind & KMN_KEY_OPERATIONS) == 0)
			continue;
		if (row->effect == KMN_EFFECT_STARTS && response->rv == CKR_OK)
			track_start(call, op);
		if (row->effect == KMN_EFFECT_BELONGS)
			track_message(call, op, response->rv);
		if (kmn_view_ends_operation(&call->view, response->rv) &&
		    /* Modules keep many that failed, even where they say "not initialised": what is still known of one that
		     * is over does no harm, and of one that is not over nobody else knows. */
		    (response->rv == CKR_OK || op->side)) {
			if (call->operation == op)
				call->operation = NULL;
			kmn_operation_end(op);
		}
	}
}
