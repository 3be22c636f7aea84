/* Calls in asynchronous sessions, and C_AsyncComplete. */
#include "config.h"

#include "provider/async_parts.h"

#include <stdlib.h>
#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"
#include "provider/recipe.h"

bool
kmn_async_takes(struct kmn_async *async, enum kmn_call_id id, enum kmn_list list, const struct kmn_arg *arg)
{
	if (id == KMN_C_OpenSession)
		return list == KMN_LIST_NEWEST && (arg[1].u & CKF_ASYNC_SESSION) != 0;
	if (id == KMN_C_CloseAllSessions || id == KMN_C_InitToken)
		return atomic_load(&async->count) > 0;
	return kmn_call_row(id)->param[0].kind == KMN_KIND_SESSION && kmn_async_has(async, arg[0].u);
}

/* ---- a call in one of them --------------------------------------------------------------------------------------- */

/* Logins and PINs are not left pending: what they carry is not kept. */
static bool
may_pend(const struct kmn_call *row)
{
	return row->hold == KMN_HOLD_MAY &&
	       (row->policy == KMN_POLICY_KEY_USE || row->policy == KMN_POLICY_KEY_MANAGEMENT);
}

const struct kmn_arg *
kmn_async_room(const struct kmn_call *row, const struct kmn_arg *arg)
{
	for (size_t i = 0; i < row->param_count; i++)
		if (row->param[i].kind == KMN_KIND_ROOM)
			return &arg[i];
	return NULL;
}

CK_RV
kmn_async_check_room(struct kmn_application *app, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count)
{
	const struct kmn_call *row = kmn_call_row(id);
	const struct kmn_arg *room = kmn_async_room(row, arg);
	struct kmn_arg question[KMN_CALL_ARGS_MAX];
	CK_ULONG length = 0;
	CK_RV rv;

	if (room == NULL || room->n == NULL || row->effect != KMN_EFFECT_ANSWERS)
		return CKR_OK;
	memcpy(question, arg, arg_count * sizeof(arg[0]));
	question[room - arg].p = NULL;
	question[room - arg].n = &length;
	rv = kmn_call_whole(app, KMN_LIST_NEWEST, id, question, arg_count);
	if (rv != CKR_OK || length <= *room->n)
		return rv;
	*room->n = length;
	return CKR_BUFFER_TOO_SMALL;
}

static CK_RV
pend(struct kmn_application *app, struct kmn_async_session *s, enum kmn_call_id id, struct kmn_arg *arg,
    size_t arg_count)
{
	const struct kmn_arg *room = kmn_async_room(kmn_call_row(id), arg);
	struct kmn_pending *p;
	CK_RV rv;

	if (room != NULL && room->p == NULL) /* how long is it? */
		return kmn_call_whole(app, KMN_LIST_NEWEST, id, arg, arg_count);
	if ((rv = kmn_async_check_room(app, id, arg, arg_count)) != CKR_OK)
		return rv;
	if ((p = calloc(1, sizeof(*p))) == NULL || (p->parked = kmn_parked_new(app, id, arg, arg_count)) == NULL) {
		free(p);
		return CKR_HOST_MEMORY;
	}
	p->id = id;
	rv = kmn_parked_start(p->parked);
	if (rv == CKR_PENDING)
		s->pending = p;
	else
		kmn_pending_free(p);
	return rv;
}

void
kmn_async_withdraw(struct kmn_async_session *s)
{
	struct kmn_pending *p = s->pending;

	if (p != NULL && !p->over && kmn_parked_leave(p->parked, true) != CKR_FUNCTION_CANCELED)
		kmn_debug(KMN_TOPIC_WAIT, "request %llu: it cannot be withdrawn any more",
		    (unsigned long long)kmn_parked_request(p->parked));
	kmn_pending_free(p);
	s->pending = NULL;
}

static CK_RV
close_session(struct kmn_async *async, struct kmn_application *app, struct kmn_async_session *s, struct kmn_arg *arg)
{
	CK_RV rv;

	kmn_async_withdraw(s);
	if ((rv = kmn_call_whole(app, KMN_LIST_NEWEST, KMN_C_CloseSession, arg, 1)) == CKR_OK)
		kmn_async_forget(async, s);
	return rv;
}

static CK_RV
close_all(struct kmn_async *async, struct kmn_application *app, enum kmn_call_id id, struct kmn_arg *arg, size_t count)
{
	struct kmn_async_session *s;
	CK_SESSION_HANDLE handle;
	bool busy;

	while (id == KMN_C_CloseAllSessions && (handle = kmn_async_any(async, arg[0].u)) != 0)
		if ((s = kmn_async_take(async, handle, true, &busy)) != NULL) {
			kmn_async_withdraw(s);
			kmn_async_forget(async, s);
			kmn_async_put(async, s);
		}
	return kmn_call_whole(app, KMN_LIST_NEWEST, id, arg, count);
}

static CK_RV
in_session(struct kmn_async *async, struct kmn_application *app, struct kmn_async_session *s, enum kmn_call_id id,
    struct kmn_arg *arg, size_t arg_count)
{
	const struct kmn_call *row = kmn_call_row(id);
	CK_RV rv;

	if (id == KMN_C_CloseSession)
		return close_session(async, app, s, arg);
	if (id == KMN_C_SessionCancel && s->pending != NULL &&
	    (kmn_cancelled_operations(arg[1].u) & kmn_call_row(s->pending->id)->operations) != 0)
		kmn_async_withdraw(s);
	else if (s->pending != NULL && row->policy != KMN_POLICY_QUERY && id != KMN_C_SessionCancel)
		return CKR_OPERATION_ACTIVE;
	if (may_pend(row))
		return pend(app, s, id, arg, arg_count);
	rv = kmn_call_whole(app, KMN_LIST_NEWEST, id, arg, arg_count);
	if (rv == CKR_OK)
		kmn_steps_note(s, id, arg, arg_count);
	if (rv == CKR_OK && id == KMN_C_GetSessionInfo)
		((CK_SESSION_INFO *)arg[1].p)->flags |= CKF_ASYNC_SESSION;
	return rv;
}

CK_RV
kmn_async_call(
    struct kmn_async *async, struct kmn_application *app, enum kmn_call_id id, struct kmn_arg *arg, size_t arg_count)
{
	struct kmn_async_session *s;
	bool busy;
	CK_RV rv;

	if (id == KMN_C_OpenSession)
		return kmn_async_open(async, app, arg);
	if (id == KMN_C_CloseAllSessions || id == KMN_C_InitToken)
		return close_all(async, app, id, arg, arg_count);
	if ((s = kmn_async_take(async, arg[0].u, true, &busy)) == NULL)
		return CKR_SESSION_HANDLE_INVALID; /* closed a moment ago */
	rv = in_session(async, app, s, id, arg, arg_count);
	kmn_async_put(async, s);
	return rv;
}

/* ---- C_AsyncComplete --------------------------------------------------------------------------------------------- */

bool
kmn_async_is_pending(const struct kmn_async_session *s, const CK_UTF8CHAR *function)
{
	return s->pending != NULL && strcmp((const char *)function, kmn_call_row(s->pending->id)->name) == 0;
}

static bool
has_outputs(enum kmn_call_id id)
{
	const struct kmn_call *row = kmn_call_row(id);

	for (size_t i = 0; i < row->param_count; i++)
		if (kmn_kind_is_out(row->param[i].kind))
			return true;
	return false;
}

static void
end(struct kmn_async *async, struct kmn_async_session *s)
{
	struct kmn_pending *p = s->pending;

	if (p->recipe != 0 && p->rv != CKR_BUFFER_TOO_SMALL && (p->parked == NULL || !kmn_parked_is_lost(p->parked)))
		kmn_async_drop(async, p->recipe);
	kmn_pending_free(p);
	s->pending = NULL;
}

static CK_RV
complete(struct kmn_async *async, struct kmn_async_session *s, CK_ASYNC_DATA *result)
{
	struct kmn_pending *p = s->pending;
	CK_RV rv;

	if (!p->over) {
		if ((rv = kmn_parked_ask(p->parked)) == CKR_PENDING)
			return rv;
		p->over = true;
		p->rv = rv;
		kmn_parked_outputs(p->parked, &p->out);
	}
	rv = p->rv;
	if (result != NULL) {
		result->pValue = p->out.buffer;
		result->ulValue = rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL ? p->out.length : 0;
		result->hObject = rv == CKR_OK ? p->out.made[0] : CK_INVALID_HANDLE;
		result->hAdditionalObject = rv == CKR_OK ? p->out.made[1] : CK_INVALID_HANDLE;
	}
	end(async, s);
	return rv;
}

CK_RV
kmn_async_complete(
    struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ASYNC_DATA *result)
{
	struct kmn_async_session *s;
	bool busy;
	CK_RV rv;

	if (function == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((s = kmn_async_take(app->async, session, false, &busy)) == NULL)
		return busy ? CKR_PENDING : CKR_FUNCTION_NOT_SUPPORTED;
	if (!kmn_async_is_pending(s, function))
		rv = CKR_OPERATION_NOT_INITIALIZED;
	else if (result == NULL && has_outputs(s->pending->id))
		rv = CKR_ARGUMENTS_BAD;
	else
		rv = complete(app->async, s, result);
	kmn_async_put(app->async, s);
	return rv;
}
