/* The vendor's function: handles on their way in and out, and what the outcome changes. */
#include "config.h"

#include "server/hsm/dispatch_parts.h"

#include <stdlib.h>

#include "server/hsm/invoke.h"

#define OPERATION_ARENA_BYTES (4u << 20) /* an *Init carries a mechanism and a handle */

static struct kmn_arena *
borrow_arena(struct kmn_dispatch *d)
{
	struct kmn_arena *a = NULL;

	pthread_mutex_lock(&d->lock);
	if (d->spares > 0)
		a = d->spare[--d->spares];
	pthread_mutex_unlock(&d->lock);
	return a != NULL ? a : kmn_arena_new(KMN_ARENA_BYTES);
}

static void
return_arena(struct kmn_dispatch *d, struct kmn_arena *a)
{
	kmn_arena_reset(a); /* wipes: it may have held a PIN */
	pthread_mutex_lock(&d->lock);
	if (d->spares < KMN_SPARE_ARENAS) {
		d->spare[d->spares++] = a;
		a = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	kmn_arena_free(a);
}

/* ---- handles, as the thunks ask for them ---- */

static CK_SESSION_HANDLE
session_in(void *cookie, uint64_t session)
{
	struct kmn_run *r = cookie;

	(void)session; /* a call names one session, and where it goes was decided */
	return r->target.vendor;
}

static CK_OBJECT_HANDLE
object_in(void *cookie, uint64_t object)
{
	struct kmn_run *r = cookie;

	for (size_t i = 0; r->request->nobody != NULL && i < r->request->nobody->count; i++)
		if (r->request->nobody->handle[i] == object)
			object = UINT64_MAX;
	return kmn_virtual_object(r->d->handles, r->target.slot, object);
}

static uint64_t
session_out(void *cookie, const struct kmn_call_view *view, CK_SESSION_HANDLE session)
{
	struct kmn_run *r = cookie;
	const struct kmn_value *flags = kmn_view_nth(view, KMN_KIND_FLAGS, 0);
	struct kmn_session s = {
	    .vendor = session, .slot = r->target.slot, .flags = flags == NULL ? 0 : (CK_FLAGS)flags->number};
	uint64_t virtual;

	kmn_operations_lost(r->d->operations, session);
	if ((r->failed = kmn_virtual_session_add(r->d->handles, &s, &virtual)) != KMN_OK)
		(void)r->d->module->C_CloseSession(session);
	return virtual;
}

/* Whether the object number `nth` that this call makes is to be a session object. */
static bool
makes_session_object(const struct kmn_run *r, size_t nth)
{
	const struct kmn_template_view *t = kmn_view_template(r->view, nth);
	struct kmn_attribute_view row;
	uint64_t origin;
	bool token = false;

	if (t == NULL)
		t = kmn_view_template(r->view, 0);
	if (t != NULL && kmn_template_find(t, CKA_TOKEN, &row) && kmn_attribute_bool(&row, &token))
		return !token;
	/* A copy is what its origin is, everything else a session object. */
	if (r->view->id == KMN_C_CopyObject && kmn_view_object(r->view, 0, &origin))
		return kmn_virtual_object_session(r->d->handles, r->target.slot, origin) != 0;
	return true;
}

static bool
makes_objects(const struct kmn_call_view *view)
{
	return kmn_view_nth(view, KMN_KIND_NEW_OBJECT, 0) != NULL ||
	       kmn_view_nth(view, KMN_KIND_MAYBE_OBJECT, 0) != NULL;
}

static uint64_t
object_out(void *cookie, const struct kmn_call_view *view, CK_OBJECT_HANDLE object)
{
	struct kmn_run *r = cookie;
	uint64_t virtual;
	kmn_err e;

	if (makes_objects(view)) {
		uint64_t owner = makes_session_object(r, r->made++) ? r->session : 0;

		e = kmn_virtual_object_made(r->d->handles, r->target.slot, object, r->mark, owner, &virtual);
		/* Nobody could ever name it: it must not stay behind. */
		if (e != KMN_OK)
			(void)r->d->module->C_DestroyObject(r->target.vendor, object);
	} else {
		e = kmn_virtual_object_found(r->d->handles, r->target.slot, object, &virtual);
	}
	if (e != KMN_OK)
		r->failed = e;
	return virtual;
}

/* ---- what the outcome does ---- */

static uint64_t
mechanism_of(const struct kmn_call_view *view)
{
	const struct kmn_mech_view *m = kmn_view_mechanism(view);

	return m != NULL && m->form != KMN_MECH_NULL ? m->type : KMN_UNAVAILABLE;
}

static void
after_start(struct kmn_run *r, struct kmn_arena **arena, struct kmn_param_native *param, CK_RV rv)
{
	struct kmn_operation op = {.session = r->session,
	    .kind = r->view->call->operations,
	    .mechanism = mechanism_of(r->view),
	    .slot = r->target.slot,
	    .side = r->side,
	    .vendor = r->target.vendor,
	    .arena = *arena,
	    .param = param};

	if (rv != CKR_OK && r->fresh)
		(void)r->d->module->C_CloseSession(r->target.vendor);
	if (rv != CKR_OK)
		return;
	if (!kmn_run_starts_something(r->view)) { /* *Init with a NULL mechanism cancels */
		kmn_operations_end(r->d->operations, r->session, op.kind);
		return;
	}
	op.history = kmn_run_new_history(r);
	if ((r->failed = kmn_operations_add(r->d->operations, &op)) == KMN_OK) {
		*arena = NULL;
		return;
	}
	if (op.history != NULL)
		kmn_writer_clear(op.history);
	free(op.history);
	if (r->fresh)
		(void)r->d->module->C_CloseSession(r->target.vendor);
}

/*
 * In a side session an operation ends as PKCS#11 says, and the session with
 * it. In the application's own session a module may keep one that failed, and
 * may still look at its parameter: then it ends with the next one's start.
 */
static void
after_operation(struct kmn_run *r, CK_RV rv)
{
	if (!kmn_view_ends_operation(r->view, rv))
		return;
	if (r->side || rv == CKR_OK)
		kmn_operations_end(r->d->operations, r->session, r->view->call->operations);
}

static void
after_call(struct kmn_run *r, struct kmn_arena **arena, struct kmn_param_native *param, CK_RV rv)
{
	uint64_t object;

	if (r->view->call->effect == KMN_EFFECT_STARTS)
		after_start(r, arena, param, rv);
	else if (r->view->call->operations != KMN_OP_NONE)
		after_operation(r, rv);
	if (r->view->id == KMN_C_CloseSession && (rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID)) {
		kmn_virtual_session_drop(r->d->handles, r->session);
		kmn_operations_end(r->d->operations, r->session, KMN_OP_EVERY);
	}
	if (rv != CKR_OK)
		return;
	if (r->view->id == KMN_C_SessionCancel)
		kmn_operations_end(r->d->operations, r->session, kmn_view_cancels(r->view));
	if (r->view->id == KMN_C_DestroyObject && kmn_view_object(r->view, 0, &object))
		kmn_virtual_object_drop(r->d->handles, r->target.slot, object);
	if (r->view->id == KMN_C_CloseAllSessions || r->view->id == KMN_C_InitToken) {
		kmn_virtual_slot_drop(r->d->handles, r->target.slot, r->view->id == KMN_C_CloseAllSessions);
		if (r->view->id == KMN_C_CloseAllSessions)
			kmn_operations_forget(r->d->operations, r->target.slot);
	}
}

/* ---- the call ---- */

void
kmn_run_put_error(struct kmn_run *r, size_t from, CK_RV rv, struct kmn_writer *w)
{
	if (w->err == KMN_OK || w->len > from) {
		w->len = from;
		w->err = KMN_OK;
	}
	kmn_response_put_error(r->view->id, rv, w);
}

bool
kmn_run_is_gone(CK_RV rv)
{
	return rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED;
}

/* Of the operations that the call belongs to, those with a parameter that the module may write to. */
static void
keep_parameters(const struct kmn_run *r, struct kmn_kept *kept)
{
	for (size_t i = 0; r->view->call->effect != KMN_EFFECT_STARTS && i < KMN_COUNT_OF(r->held); i++) {
		if (r->held[i] == NULL || r->held[i]->param == NULL)
			continue;
		kept->active[kept->count].operation = r->held[i]->kind;
		kept->active[kept->count++].param = r->held[i]->param;
	}
}

CK_RV
kmn_run_invoke(struct kmn_run *r, struct kmn_writer *w)
{
	const struct kmn_handles handles = {r, session_in, object_in, session_out, object_out};
	bool keeps_arena = r->view->call->effect == KMN_EFFECT_STARTS && kmn_view_mechanism(r->view) != NULL;
	struct kmn_arena *arena = keeps_arena ? kmn_arena_new(OPERATION_ARENA_BYTES) : borrow_arena(r->d);
	const union kmn_functions *functions = r->view->v2_40 ? &r->d->v2_40 : &r->d->functions;
	size_t from = w->len;
	struct kmn_kept kept = {.count = 0};
	CK_RV rv = CKR_HOST_MEMORY;

	keep_parameters(r, &kept);
	if (arena == NULL || kmn_invoke(r->view, &functions->v3_2, &handles, arena, &kept, w, &rv) != KMN_OK)
		kmn_run_put_error(r, from, CKR_HOST_MEMORY, w);
	if (r->side && !r->fresh && kmn_run_is_gone(rv))
		kmn_operations_lost(r->d->operations, r->target.vendor);
	kmn_run_remember(r, rv, w, from);
	after_call(r, &arena, kept.made, rv);
	if (r->failed != KMN_OK)
		kmn_run_put_error(r, from, CKR_HOST_MEMORY, w);
	if (keeps_arena || arena == NULL)
		kmn_arena_free(arena);
	else
		return_arena(r->d, arena);
	return rv;
}
