#include "config.h"

#include "server/hsm/dispatch.h"

#include <pthread.h>
#include <stdlib.h>

#include "kanmon/messages.h"
#include "kanmon/say.h"
#include "server/hsm/invoke.h"
#include "server/hsm/operations.h"

#define ANSWER_MAX_BYTES 1024u /* without outputs */
#define SPARE_ARENAS 16u
#define OPERATION_ARENA_BYTES (4u << 20) /* an *Init carries a mechanism and a handle */

struct kmn_dispatch {
	union kmn_functions functions; /* set once, as all but the spare arenas */
	union kmn_functions v2_40;     /* as they are in the module's list of 2.40 */
	CK_FUNCTION_LIST *module;      /* in it */
	struct kmn_virtual *handles;
	struct kmn_operations *operations;
	struct kmn_spki_maker *maker;
	/* Written by calls that close every session of a slot, read by those that open one of ours or the caller's. */
	pthread_rwlock_t slot_wide;
	/* Read while a session of our own looks around, which keeps a login alive; written by C_CloseSession. */
	pthread_rwlock_t visits;
	pthread_mutex_t lock; /* guards the spare arenas */
	struct kmn_arena *spare[SPARE_ARENAS];
	unsigned spares;
};

/* One request while it runs. */
struct run {
	struct kmn_dispatch *d;
	const struct kmn_dispatch_request *request;
	const struct kmn_call_view *view;    /* of the request, or a part of it */
	uint64_t session;                    /* virtual */
	struct kmn_session target;           /* where the call goes */
	bool side;                           /* target is a side session, found or opened for this call */
	bool fresh;                          /* ... opened for this call */
	const struct kmn_operation *held[2]; /* that the call belongs to: stay whole while it runs */
	uint64_t mark;                       /* from before the vendor was called */
	size_t made;                         /* objects that the vendor made in this call */
	kmn_err failed;                      /* a handle could not be given */
};

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
	if (d->spares < SPARE_ARENAS) {
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
	struct run *r = cookie;

	(void)session; /* a call names one session, and where it goes was decided */
	return r->target.vendor;
}

static CK_OBJECT_HANDLE
object_in(void *cookie, uint64_t object)
{
	struct run *r = cookie;

	for (size_t i = 0; r->request->nobody != NULL && i < r->request->nobody->count; i++)
		if (r->request->nobody->handle[i] == object)
			object = UINT64_MAX;
	return kmn_virtual_object(r->d->handles, r->target.slot, object);
}

static uint64_t
session_out(void *cookie, const struct kmn_call_view *view, CK_SESSION_HANDLE session)
{
	struct run *r = cookie;
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
makes_session_object(const struct run *r, size_t nth)
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
	struct run *r = cookie;
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

/* ---- where a call goes ---- */

/*
 * Whether the application's own session refuses another operation now. It is
 * asked with a key that does not exist, so that nothing can begin there.
 */
static bool
own_session_is_busy(const struct run *r)
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
open_side(struct run *r)
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

/* Opens a side session for the operation that this call starts. */
static CK_RV
start_side(struct run *r)
{
	return own_session_is_busy(r) ? CKR_OPERATION_ACTIVE : open_side(r);
}

static bool
is_context_login(const struct kmn_call_view *view)
{
	const struct kmn_value *user = kmn_view_nth(view, KMN_KIND_ULONG, 0);

	return (view->id == KMN_C_Login || view->id == KMN_C_LoginUser) && user != NULL &&
	       user->number == CKU_CONTEXT_SPECIFIC;
}

static bool
starts_something(const struct kmn_call_view *view)
{
	const struct kmn_mech_view *mechanism = kmn_view_mechanism(view);

	return view->call->effect == KMN_EFFECT_STARTS && (mechanism == NULL || mechanism->form != KMN_MECH_NULL);
}

/* Takes the operations that this call belongs to; where it belongs to one with a side session, it goes there. */
static void
hold_operations(struct run *r)
{
	unsigned kinds = r->view->call->operations;
	size_t n = 0;

	if (is_context_login(r->view))
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
release_operations(struct run *r)
{
	for (size_t i = 0; i < KMN_COUNT_OF(r->held); i++)
		kmn_operation_unref(r->d->operations, r->held[i]);
}

/* ---- what the outcome does ---- */

static uint64_t
mechanism_of(const struct kmn_call_view *view)
{
	const struct kmn_mech_view *m = kmn_view_mechanism(view);

	return m != NULL && m->form != KMN_MECH_NULL ? m->type : KMN_UNAVAILABLE;
}

/* The requests of an operation in a side session, from its first one. */
static struct kmn_writer *
new_history(const struct run *r)
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

/*
 * A request of an operation in a side session is kept while it can be made
 * again: nothing came out so far, and no PIN was needed. Whole messages leave
 * no trace; the parts of one are not kept.
 */
static void
remember(const struct run *r, CK_RV rv, const struct kmn_writer *w, size_t from)
{
	struct kmn_writer *history = r->side && r->held[0] != NULL ? r->held[0]->history : NULL;
	enum kmn_effect effect = r->view->call->effect;
	bool whole = r->view->id == KMN_C_SignMessage || r->view->id == KMN_C_EncryptMessage ||
		     r->view->id == KMN_C_DecryptMessage;

	if (history == NULL || rv != CKR_OK || (effect == KMN_EFFECT_BELONGS && whole) ||
	    (effect != KMN_EFFECT_BELONGS && effect != KMN_EFFECT_CONTINUES && !is_context_login(r->view)))
		return;
	if (effect == KMN_EFFECT_CONTINUES && r->request->payload != NULL && !gave_bytes(w, from))
		kmn_writer_bytes(history, r->request->payload, r->request->len);
	else
		history->err = KMN_E_AGAIN;
}

static void
after_start(struct run *r, struct kmn_arena **arena, struct kmn_param_native *param, CK_RV rv)
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
	if (!starts_something(r->view)) { /* *Init with a NULL mechanism cancels */
		kmn_operations_end(r->d->operations, r->session, op.kind);
		return;
	}
	op.history = new_history(r);
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
after_operation(struct run *r, CK_RV rv)
{
	if (!kmn_view_ends_operation(r->view, rv))
		return;
	if (r->side || rv == CKR_OK)
		kmn_operations_end(r->d->operations, r->session, r->view->call->operations);
}

static void
after_call(struct run *r, struct kmn_arena **arena, struct kmn_param_native *param, CK_RV rv)
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

static void
put_error(struct run *r, size_t from, CK_RV rv, struct kmn_writer *w)
{
	if (w->err == KMN_OK || w->len > from) {
		w->len = from;
		w->err = KMN_OK;
	}
	kmn_response_put_error(r->view->id, rv, w);
}

/* The module's word that a session is not there any more. */
static bool
is_gone(CK_RV rv)
{
	return rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED;
}

/* Of the operations that the call belongs to, those with a parameter that the module may write to. */
static void
keep_parameters(const struct run *r, struct kmn_kept *kept)
{
	for (size_t i = 0; r->view->call->effect != KMN_EFFECT_STARTS && i < KMN_COUNT_OF(r->held); i++) {
		if (r->held[i] == NULL || r->held[i]->param == NULL)
			continue;
		kept->active[kept->count].operation = r->held[i]->kind;
		kept->active[kept->count++].param = r->held[i]->param;
	}
}

static CK_RV
invoke(struct run *r, struct kmn_writer *w)
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
		put_error(r, from, CKR_HOST_MEMORY, w);
	if (r->side && !r->fresh && is_gone(rv))
		kmn_operations_lost(r->d->operations, r->target.vendor);
	remember(r, rv, w, from);
	after_call(r, &arena, kept.made, rv);
	if (r->failed != KMN_OK)
		put_error(r, from, CKR_HOST_MEMORY, w);
	if (keeps_arena || arena == NULL)
		kmn_arena_free(arena);
	else
		return_arena(r->d, arena);
	return rv;
}

/* ---- a side session that the device dropped ---- */

/* One request of the operation's history; true if the module took it. */
static bool
repeat(struct run *again, const uint8_t *payload, size_t len)
{
	struct kmn_call_view view;
	const struct kmn_dispatch_request request = {.view = &view, .payload = payload, .len = len};
	struct kmn_writer answer;
	bool taken = false;

	if (kmn_call_view_decode(payload, len, &view) != KMN_OK)
		return false;
	kmn_writer_init(&answer, ANSWER_MAX_BYTES);
	again->request = &request;
	again->view = &view;
	taken = invoke(again, &answer) == CKR_OK && again->failed == KMN_OK;
	kmn_writer_clear(&answer);
	if (taken && again->fresh) {
		again->fresh = false;
		again->held[0] = kmn_operations_get(again->d->operations, again->session, view.call->operations);
		taken = again->held[0] != NULL;
	}
	return taken;
}

/* Begins the operation again in a new side session; the call goes there then. Once for a call. */
static bool
begin_again(struct run *r)
{
	struct run again = {.d = r->d, .session = r->session, .target = r->target, .mark = r->mark};
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

/* Calls that close every session of a slot, and calls that open one, keep out of each other's way. */
static void
lock_slot(const struct run *r, bool opens)
{
	if (r->view->id == KMN_C_CloseAllSessions || r->view->id == KMN_C_InitToken)
		pthread_rwlock_wrlock(&r->d->slot_wide);
	else if (opens || r->view->id == KMN_C_OpenSession)
		pthread_rwlock_rdlock(&r->d->slot_wide);
	if (r->view->id == KMN_C_CloseSession)
		pthread_rwlock_wrlock(&r->d->visits);
}

static void
unlock_slot(const struct run *r, bool opens)
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
is_of_another_mechanism(const struct run *r)
{
	const struct kmn_mech_view *m = kmn_view_message_param(r->view);

	return m != NULL && m->type != KMN_UNAVAILABLE && r->held[0] != NULL && r->held[0]->mechanism != m->type;
}

/* Any call that goes to one session as a whole. */
static void
run_whole(struct run *r, bool opens, struct kmn_writer *w)
{
	size_t from = w->len;
	CK_RV rv;

	lock_slot(r, opens);
	if (is_of_another_mechanism(r)) {
		put_error(r, w->len, CKR_ARGUMENTS_BAD, w);
	} else if (opens && (rv = start_side(r)) != CKR_OK) {
		put_error(r, w->len, rv, w);
	} else {
		if (r->view->id == KMN_C_CloseSession)
			kmn_operations_end_side(r->d->operations, r->session, KMN_OP_EVERY);
		rv = invoke(r, w);
		if (r->side && !r->fresh && is_gone(rv) && begin_again(r)) {
			w->len = from;
			(void)invoke(r, w);
		}
	}
	unlock_slot(r, opens);
}

/* ---- calls of two operations, one of them in a side session ---- */

/*
 * A dual function wants both operations in one session. Where one of them may
 * be held they are not, and the call is made in two halves: the cipher, and
 * the other operation with the plain text.
 */
static const struct dual {
	enum kmn_call_id call, cipher, other;
	bool decrypts;
} duals[] = {
    {KMN_C_DigestEncryptUpdate, KMN_C_EncryptUpdate, KMN_C_DigestUpdate, false},
    {KMN_C_SignEncryptUpdate, KMN_C_EncryptUpdate, KMN_C_SignUpdate, false},
    {KMN_C_DecryptDigestUpdate, KMN_C_DecryptUpdate, KMN_C_DigestUpdate, true},
    {KMN_C_DecryptVerifyUpdate, KMN_C_DecryptUpdate, KMN_C_VerifyUpdate, true},
};

static const struct dual *
dual_of(const struct run *r)
{
	if (r->held[1] == NULL || r->held[0] == NULL || !(r->held[0]->side || r->held[1]->side))
		return NULL;
	for (size_t i = 0; i < KMN_COUNT_OF(duals); i++)
		if (duals[i].call == r->view->id)
			return &duals[i];
	return NULL;
}

/* The arguments of the halves are the first ones of the whole, and of the same kinds. */
static void
half_of(const struct kmn_call_view *whole, enum kmn_call_id id, struct kmn_call_view *half_out)
{
	*half_out = *whole;
	half_out->id = id;
	half_out->call = kmn_call_row(id);
	for (size_t i = 0; i < half_out->call->param_count; i++)
		half_out->value[i].param = &half_out->call->param[i];
}

static void
run_dual(struct run *r, const struct dual *dual, struct kmn_writer *w)
{
	struct kmn_call_view cipher, other;
	struct kmn_response_view response;
	const struct kmn_result *plain;
	struct kmn_writer answer;
	size_t from = w->len;
	CK_RV rv = CKR_OK;

	half_of(r->view, dual->cipher, &cipher);
	half_of(r->view, dual->other, &other);
	kmn_dispatch_call(r->d, &(const struct kmn_dispatch_request){.view = &cipher, .nobody = r->request->nobody}, w);
	if (w->err != KMN_OK || kmn_response_view_decode(w->bytes + from, w->len - from, &response) != KMN_OK) {
		put_error(r, from, CKR_HOST_MEMORY, w);
		return;
	}
	w->bytes[from] = (uint8_t)(r->view->id >> 8);
	w->bytes[from + 1] = (uint8_t)r->view->id;
	if (response.rv != CKR_OK || kmn_view_is_length_query(r->view))
		return;
	if (dual->decrypts && (plain = kmn_response_bytes(&response)) != NULL) {
		other.value[1] = (struct kmn_value){
		    .param = other.value[1].param, .number = plain->len, .bytes = plain->bytes, .len = plain->len};
	}
	kmn_writer_init(&answer, ANSWER_MAX_BYTES);
	kmn_dispatch_call(
	    r->d, &(const struct kmn_dispatch_request){.view = &other, .nobody = r->request->nobody}, &answer);
	if (answer.err != KMN_OK || kmn_response_view_decode(answer.bytes, answer.len, &response) != KMN_OK)
		rv = CKR_HOST_MEMORY;
	else
		rv = (CK_RV)response.rv;
	kmn_writer_clear(&answer);
	if (rv != CKR_OK)
		put_error(r, from, rv, w);
}

/* ---- C_SessionCancel ---- */

/* Cancels what is in a side session there, and nowhere else; the module's word decides whether it is gone. */
static CK_RV
cancel_side(struct run *r, const struct kmn_operation *op)
{
	const CK_FUNCTION_LIST_3_2 *m = &r->d->functions.v3_2;
	const struct kmn_value *flags = kmn_view_nth(r->view, KMN_KIND_FLAGS, 0);
	CK_RV rv = m->C_SessionCancel == NULL ? CKR_FUNCTION_NOT_SUPPORTED
					      : m->C_SessionCancel(op->vendor, (CK_FLAGS)flags->number);

	if (rv == CKR_OK)
		kmn_operations_end_side(r->d->operations, r->session, op->kind);
	return rv;
}

/* The flags of C_SessionCancel without those that name an operation of `kinds`. */
static uint64_t
flags_without(uint64_t flags, unsigned kinds)
{
	for (uint64_t bit = 1; bit != 0; bit <<= 1)
		if ((kmn_cancelled_operations(flags & bit) & kinds) != 0)
			flags &= ~bit;
	return flags;
}

static void
run_cancel(struct run *r, struct kmn_writer *w)
{
	unsigned kinds = kmn_view_cancels(r->view), sides = 0;
	struct kmn_call_view own = *r->view;
	const struct kmn_operation *op;
	size_t from = w->len;
	CK_RV rv = CKR_OK, side_rv;

	for (unsigned bit = 1; bit != 0 && bit <= kinds; bit <<= 1) {
		op = (kinds & bit) != 0 ? kmn_operations_get(r->d->operations, r->session, bit) : NULL;
		if (op != NULL && op->side) {
			sides |= bit;
			if ((side_rv = cancel_side(r, op)) != CKR_OK)
				rv = side_rv;
		}
		kmn_operation_unref(r->d->operations, op);
	}
	own.value[1].number = flags_without(own.value[1].number, sides);
	r->view = &own;
	if (sides == 0 || own.value[1].number != 0)
		(void)invoke(r, w);
	else
		put_error(r, from, rv, w);
	if (rv != CKR_OK)
		put_error(r, from, rv, w);
}

void
kmn_dispatch_call(struct kmn_dispatch *d, const struct kmn_dispatch_request *request, struct kmn_writer *w)
{
	const struct kmn_call_view *view = request->view;
	struct run r = {.d = d, .request = request, .view = view, .mark = kmn_virtual_mark(d->handles)};
	const struct dual *dual;
	bool known = false;
	uint64_t slot;

	if (kmn_view_session(view, &r.session)) {
		if ((known = kmn_virtual_session(d->handles, r.session, &r.target)))
			r.session = r.target.number;
		hold_operations(&r);
	} else if (kmn_view_slot(view, &slot)) {
		r.target.slot = (CK_SLOT_ID)slot;
	}
	if ((dual = dual_of(&r)) != NULL)
		run_dual(&r, dual, w);
	else if (view->id == KMN_C_SessionCancel)
		run_cancel(&r, w);
	else
		run_whole(&r, known && !r.side && (request->flags & KMN_WF_SIDE) != 0 && starts_something(view), w);
	release_operations(&r);
}

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
		if (op != NULL && op->side && is_gone(d->module->C_GetSessionInfo(op->vendor, &info)))
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

CK_RV
kmn_dispatch_describe(struct kmn_dispatch *d, uint64_t session, uint64_t object, struct kmn_key_facts *facts)
{
	const struct kmn_facts_source source = {d->module, d->handles, d->maker};
	CK_RV rv;

	pthread_rwlock_rdlock(&d->slot_wide);
	pthread_rwlock_rdlock(&d->visits);
	rv = kmn_facts_describe(&source, session, object, facts);
	pthread_rwlock_unlock(&d->visits);
	pthread_rwlock_unlock(&d->slot_wide);
	return rv;
}

CK_RV
kmn_dispatch_find_key(struct kmn_dispatch *d, const char *token_label, const char *key_label, const void *id,
    size_t id_len, struct kmn_key_facts *facts)
{
	const struct kmn_facts_source source = {d->module, d->handles, d->maker};
	CK_RV rv;

	pthread_rwlock_rdlock(&d->slot_wide);
	pthread_rwlock_rdlock(&d->visits);
	rv = kmn_facts_find(&source, token_label, key_label, id, id_len, facts);
	pthread_rwlock_unlock(&d->visits);
	pthread_rwlock_unlock(&d->slot_wide);
	return rv;
}

CK_RV
kmn_dispatch_guard(struct kmn_dispatch *d, const struct kmn_guard_object *object, uint8_t *value, size_t *len_out)
{
	CK_RV rv;

	pthread_rwlock_rdlock(&d->slot_wide);
	pthread_rwlock_rdlock(&d->visits);
	rv = kmn_guard_object(d->module, object, value, len_out);
	pthread_rwlock_unlock(&d->visits);
	pthread_rwlock_unlock(&d->slot_wide);
	return rv;
}

CK_RV
kmn_dispatch_token(struct kmn_dispatch *d, uint64_t slot, struct kmn_token_facts *facts)
{
	const CK_VERSION version = d->functions.any.version;
	CK_RV rv = kmn_facts_token(d->module, (CK_SLOT_ID)slot, facts);

	if (rv == CKR_OK && (version.major > 3 || (version.major == 3 && version.minor >= 2))) {
		pthread_rwlock_rdlock(&d->slot_wide);
		pthread_rwlock_rdlock(&d->visits);
		kmn_facts_level(d->module, (CK_SLOT_ID)slot, facts);
		pthread_rwlock_unlock(&d->visits);
		pthread_rwlock_unlock(&d->slot_wide);
	}
	return rv;
}
