#include "config.h"

#include "server/hsm/dispatch_parts.h"

#include <pthread.h>
#include <stdlib.h>

#include "kanmon/messages.h"

kmn_err
kmn_dispatch_new(
    const struct kmn_dispatch_settings *settings, struct kmn_spki_maker *maker, struct kmn_dispatch **dispatch_out)
{
	CK_FUNCTION_LIST *module;
	struct kmn_dispatch *d = calloc(1, sizeof(*d));
	kmn_err e;

	*dispatch_out = NULL;
	if (d == NULL)
		return KMN_E_NO_MEMORY;
	d->functions = settings->vendor->newest;
	d->v2_40 = settings->vendor->v2_40;
	d->module = module = &d->functions.v2_40;
	d->maker = maker;
	pthread_rwlock_init(&d->slot_wide, NULL);
	pthread_rwlock_init(&d->visits, NULL);
	pthread_mutex_init(&d->lock, NULL);
	if ((e = kmn_virtual_new(settings->first_handle, settings->handle_step, &d->handles)) != KMN_OK ||
	    (e = kmn_operations_new(module, &d->operations)) != KMN_OK) {
		kmn_dispatch_free(d);
		return e;
	}
	*dispatch_out = d;
	return KMN_OK;
}

void
kmn_dispatch_free(struct kmn_dispatch *d)
{
	if (d == NULL)
		return;
	kmn_operations_free(d->operations);
	kmn_virtual_free(d->handles);
	while (d->spares > 0)
		kmn_arena_free(d->spare[--d->spares]);
	pthread_mutex_destroy(&d->lock);
	pthread_rwlock_destroy(&d->visits);
	pthread_rwlock_destroy(&d->slot_wide);
	free(d);
}

/* ---- where a call goes ---- */

/* Takes the operations that this call belongs to; where it belongs to one with a side session, it goes there. */
static void
hold_operations(struct kmn_run *r)
{
	unsigned kinds = r->view->call->operations;
	size_t n = 0;

	if (kmn_run_is_context_login(r->view))
		r->held[n++] = kmn_operations_get_side(r->d->operations, r->session);
	for (unsigned bit = 1; bit != 0 && bit <= kinds && n < KMN_COUNT_OF(r->held); bit <<= 1)
		if ((kinds & bit) != 0)
			r->held[n++] = kmn_operations_get(r->d->operations, r->session, bit);
	if (n == 1 && r->held[0] != NULL && r->held[0]->side) {
		r->target.vendor = r->held[0]->vendor;
		r->side = true;
	}
}

static void
release_operations(struct kmn_run *r)
{
	for (size_t i = 0; i < KMN_COUNT_OF(r->held); i++)
		kmn_operation_unref(r->d->operations, r->held[i]);
}

/* ---- the call ---- */

/* Calls that close every session of a slot, and calls that open one, keep out of each other's way. */
static void
lock_slot(const struct kmn_run *r, bool opens)
{
	if (r->view->id == KMN_C_CloseAllSessions || r->view->id == KMN_C_InitToken)
		pthread_rwlock_wrlock(&r->d->slot_wide);
	else if (opens || r->view->id == KMN_C_OpenSession)
		pthread_rwlock_rdlock(&r->d->slot_wide);
	if (r->view->id == KMN_C_CloseSession)
		pthread_rwlock_wrlock(&r->d->visits);
}

static void
unlock_slot(const struct kmn_run *r, bool opens)
{
	if (r->view->id == KMN_C_CloseSession)
		pthread_rwlock_unlock(&r->d->visits);
	if (opens || r->view->id == KMN_C_OpenSession || r->view->id == KMN_C_CloseAllSessions ||
	    r->view->id == KMN_C_InitToken)
		pthread_rwlock_unlock(&r->d->slot_wide);
}

/*
 * Whether a message's parameter is built for another mechanism than the one
 * that its operation was begun with: the module would take it for what it is not.
 */
static bool
is_of_another_mechanism(const struct kmn_run *r)
{
	const struct kmn_mech_view *m = kmn_view_message_param(r->view);

	return m != NULL && m->type != KMN_UNAVAILABLE && r->held[0] != NULL && r->held[0]->mechanism != m->type;
}

/* Any call that goes to one session as a whole. */
static void
run_whole(struct kmn_run *r, bool opens, struct kmn_writer *w)
{
	size_t from = w->len;
	CK_RV rv;

	lock_slot(r, opens);
	if (is_of_another_mechanism(r)) {
		kmn_run_put_error(r, w->len, CKR_ARGUMENTS_BAD, w);
	} else if (opens && (rv = kmn_run_start_side(r)) != CKR_OK) {
		kmn_run_put_error(r, w->len, rv, w);
	} else {
		if (r->view->id == KMN_C_CloseSession)
			kmn_operations_end_side(r->d->operations, r->session, KMN_OP_EVERY);
		rv = kmn_run_invoke(r, w);
		if (r->side && !r->fresh && kmn_run_is_gone(rv) && kmn_run_begin_again(r)) {
			w->len = from;
			(void)kmn_run_invoke(r, w);
		}
	}
	unlock_slot(r, opens);
}

void
kmn_dispatch_call(struct kmn_dispatch *d, const struct kmn_dispatch_request *request, struct kmn_writer *w)
{
	const struct kmn_call_view *view = request->view;
	struct kmn_run r = {.d = d, .request = request, .view = view, .mark = kmn_virtual_mark(d->handles)};
	const struct kmn_dual *dual;
	bool known = false;
	uint64_t slot;

	if (kmn_view_session(view, &r.session)) {
		if ((known = kmn_virtual_session(d->handles, r.session, &r.target)))
			r.session = r.target.number;
		hold_operations(&r);
	} else if (kmn_view_slot(view, &slot)) {
		r.target.slot = (CK_SLOT_ID)slot;
	}
	if ((dual = kmn_run_dual_of(&r)) != NULL)
		kmn_run_dual(&r, dual, w);
	else if (view->id == KMN_C_SessionCancel)
		kmn_run_cancel(&r, w);
	else
		run_whole(
		    &r, known && !r.side && (request->flags & KMN_WF_SIDE) != 0 && kmn_run_starts_something(view), w);
	release_operations(&r);
}

/* ---- between calls ---- */

void
kmn_dispatch_drop(struct kmn_dispatch *d, uint64_t session, unsigned kind)
{
	kmn_operations_end_side(d->operations, kmn_virtual_session_number(d->handles, session), kind);
}

size_t
kmn_dispatch_waiting(struct kmn_dispatch *d, uint64_t *sessions_out, size_t max)
{
	return kmn_operations_with_sides(d->operations, sessions_out, max);
}

void
kmn_dispatch_keep_warm(struct kmn_dispatch *d, uint64_t session)
{
	const struct kmn_operation *op;
	CK_SESSION_INFO info;

	for (unsigned bit = 1; bit <= KMN_OP_LAST; bit <<= 1) {
		op = kmn_operations_get(d->operations, session, bit);
		if (op != NULL && op->side && kmn_run_is_gone(d->module->C_GetSessionInfo(op->vendor, &info)))
			kmn_operations_lost(d->operations, op->vendor);
		kmn_operation_unref(d->operations, op);
	}
}

CK_RV
kmn_dispatch_alias(struct kmn_dispatch *d, uint64_t old, uint64_t now)
{
	switch (kmn_virtual_alias(d->handles, old, now)) {
	case KMN_OK:
		return CKR_OK;
	case KMN_E_NOT_FOUND:
		return CKR_OBJECT_HANDLE_INVALID;
	case KMN_E_EXISTS:
		return CKR_ARGUMENTS_BAD;
	default:
		return CKR_HOST_MEMORY;
	}
}

uint64_t
kmn_dispatch_lane(struct kmn_dispatch *d, uint64_t session)
{
	return kmn_virtual_session_number(d->handles, session);
}
