/*
 * Side sessions: where operations run that a quorum may hold, apart from the application's own session. One that the
 * device dropped is opened again, and its operation begun again.
 */
#include "config.h"

#include "server/hsm/dispatch_parts.h"

#include <stdlib.h>

#include "kanmon/messages.h"
#include "kanmon/say.h"

/*
 * Whether the application's own session refuses another operation now. It is
 * asked with a key that does not exist, so that nothing can begin there.
 */
static bool
own_session_is_busy(const struct kmn_run *r)
{
	CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
	const CK_FUNCTION_LIST_3_2 *m = &r->d->functions.v3_2;
	CK_RV (*init)(CK_SESSION_HANDLE, CK_MECHANISM_PTR, CK_OBJECT_HANDLE) = NULL;

	if (!kmn_operations_any_own(r->d->operations, r->session))
		return false;
	switch (r->view->call->operations) {
	case KMN_OP_SIGN:
		init = m->C_SignInit;
		break;
	case KMN_OP_SIGN_RECOVER:
		init = m->C_SignRecoverInit;
		break;
	case KMN_OP_ENCRYPT:
		init = m->C_EncryptInit;
		break;
	case KMN_OP_DECRYPT:
		init = m->C_DecryptInit;
		break;
	case KMN_OP_MESSAGE_SIGN:
		init = m->C_MessageSignInit;
		break;
	case KMN_OP_MESSAGE_ENCRYPT:
		init = m->C_MessageEncryptInit;
		break;
	case KMN_OP_MESSAGE_DECRYPT:
		init = m->C_MessageDecryptInit;
		break;
	default:
		break;
	}
	return init != NULL && init(r->target.vendor, &mechanism, ~(CK_OBJECT_HANDLE)0) == CKR_OPERATION_ACTIVE;
}

static CK_RV
open_side(struct kmn_run *r)
{
	CK_SESSION_HANDLE side;
	CK_RV rv = r->d->module->C_OpenSession(
	    r->target.slot, (r->target.flags & CKF_RW_SESSION) | CKF_SERIAL_SESSION, NULL, NULL, &side);

	if (rv == CKR_OK) {
		kmn_operations_lost(r->d->operations, side);
		r->target.vendor = side;
		r->side = r->fresh = true;
	}
	return rv;
}

CK_RV
kmn_run_start_side(struct kmn_run *r)
{
	return own_session_is_busy(r) ? CKR_OPERATION_ACTIVE : open_side(r);
}

bool
kmn_run_is_context_login(const struct kmn_call_view *view)
{
	const struct kmn_value *user = kmn_view_nth(view, KMN_KIND_ULONG, 0);

	return (view->id == KMN_C_Login || view->id == KMN_C_LoginUser) && user != NULL &&
	       user->number == CKU_CONTEXT_SPECIFIC;
}

bool
kmn_run_starts_something(const struct kmn_call_view *view)
{
	const struct kmn_mech_view *mechanism = kmn_view_mechanism(view);

	return view->call->effect == KMN_EFFECT_STARTS && (mechanism == NULL || mechanism->form != KMN_MECH_NULL);
}

/* ---- requests that can be made again ---- */

struct kmn_writer *
kmn_run_new_history(const struct kmn_run *r)
{
	struct kmn_writer *history = r->side && r->request->payload != NULL ? malloc(sizeof(*history)) : NULL;

	if (history != NULL) {
		kmn_writer_init(history, KMN_HISTORY_MAX_BYTES);
		kmn_writer_bytes(history, r->request->payload, r->request->len);
	}
	return history;
}

static bool
gave_bytes(const struct kmn_writer *w, size_t from)
{
	struct kmn_response_view v;
	const struct kmn_result *bytes;

	if (kmn_response_view_decode(w->bytes + from, w->len - from, &v) != KMN_OK)
		return true;
	return (bytes = kmn_response_bytes(&v)) != NULL && bytes->len > 0;
}

void
kmn_run_remember(const struct kmn_run *r, CK_RV rv, const struct kmn_writer *w, size_t from)
{
	struct kmn_writer *history = r->side && r->held[0] != NULL ? r->held[0]->history : NULL;
	enum kmn_effect effect = r->view->call->effect;
	bool whole = r->view->id == KMN_C_SignMessage || r->view->id == KMN_C_EncryptMessage ||
		     r->view->id == KMN_C_DecryptMessage;

	if (history == NULL || rv != CKR_OK || (effect == KMN_EFFECT_BELONGS && whole) ||
	    (effect != KMN_EFFECT_BELONGS && effect != KMN_EFFECT_CONTINUES && !kmn_run_is_context_login(r->view)))
		return;
	if (effect == KMN_EFFECT_CONTINUES && r->request->payload != NULL && !gave_bytes(w, from))
		kmn_writer_bytes(history, r->request->payload, r->request->len);
	else
		history->err = KMN_E_AGAIN;
}

/* One request of the operation's history; true if the module took it. */
static bool
repeat(struct kmn_run *again, const uint8_t *payload, size_t len)
{
	struct kmn_call_view view;
	const struct kmn_dispatch_request request = {.view = &view, .payload = payload, .len = len};
	struct kmn_writer answer;
	bool taken = false;

	if (kmn_call_view_decode(payload, len, &view) != KMN_OK)
		return false;
	kmn_writer_init(&answer, KMN_RUN_ANSWER_MAX_BYTES);
	again->request = &request;
	again->view = &view;
	taken = kmn_run_invoke(again, &answer) == CKR_OK && again->failed == KMN_OK;
	kmn_writer_clear(&answer);
	if (taken && again->fresh) {
		again->fresh = false;
		again->held[0] = kmn_operations_get(again->d->operations, again->session, view.call->operations);
		taken = again->held[0] != NULL;
	}
	return taken;
}

bool
kmn_run_begin_again(struct kmn_run *r)
{
	struct kmn_run again = {.d = r->d, .session = r->session, .target = r->target, .mark = r->mark};
	const struct kmn_operation *lost = r->held[0];
	struct kmn_reader reader;
	const uint8_t *payload;
	size_t n;
	bool ok;

	if (lost == NULL || lost->history == NULL || lost->history->err != KMN_OK)
		return false;
	pthread_rwlock_rdlock(&r->d->slot_wide);
	ok = open_side(&again) == CKR_OK;
	kmn_reader_init(&reader, lost->history->bytes, lost->history->len);
	while (ok && reader.at != reader.end) {
		n = kmn_reader_bytes(&reader, KMN_HISTORY_MAX_BYTES, &payload);
		ok = repeat(&again, payload, n);
	}
	pthread_rwlock_unlock(&r->d->slot_wide);
	if (ok) {
		kmn_operation_unref(r->d->operations, lost);
		r->held[0] = again.held[0];
		r->target.vendor = again.target.vendor;
		kmn_say(KMN_SAY_INFO, "a waiting session was dropped by the module; its operation was begun again");
	} else {
		kmn_operation_unref(r->d->operations, again.held[0]);
	}
	return ok;
}
