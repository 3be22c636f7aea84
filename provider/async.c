#include "config.h"

#include "provider/async.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"
#include "provider/recipe.h"
#include "provider/wake.h"
#include "provider/wire.h"

/* A call that has no answer yet, or whose answer was not asked for yet. */
struct pending {
	enum kmn_call_id id;
	struct kmn_parked *parked; /* NULL: it was over at once, when it was joined */
	bool over;                 /* `rv` and `out` are what it came to */
	CK_RV rv;
	struct kmn_parked_outputs out;
	uint64_t recipe; /* that it was joined by; 0: none */
};

struct session {
	CK_SESSION_HANDLE handle;
	CK_SLOT_ID slot;
	CK_FLAGS flags;
	unsigned users; /* inside; the last frees it once it is closed */
	bool closed, busy;
	/* what is below belongs to who made it busy */
	struct pending *pending;
	uint8_t *init; /* the request that began the operation of C_Sign */
	size_t init_len;
	uint64_t begun; /* the recipe by which an operation was begun that still waits for its call */
	struct session *next;
};

struct kmn_async {
	pthread_mutex_t lock; /* guards the list, and users, closed and busy of its sessions */
	pthread_cond_t idle;
	struct session *sessions;
	atomic_uint count;
	const struct kmn_client_settings *settings;
	struct kmn_heads *heads; /* the folder, once somebody needs it; NULL with `state = none` */
};

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static void
pending_free(struct pending *p)
{
	if (p != NULL)
		kmn_parked_free(p->parked);
	free(p);
}

static void
session_free(struct session *s)
{
	pending_free(s->pending);
	free(s->init);
	free(s);
}

kmn_err
kmn_async_new(const struct kmn_client_settings *settings, struct kmn_async **async_out)
{
	struct kmn_async *async = calloc(1, sizeof(*async));

	if ((*async_out = async) == NULL)
		return KMN_E_NO_MEMORY;
	(void)pthread_mutex_init(&async->lock, NULL);
	(void)pthread_cond_init(&async->idle, NULL);
	async->settings = settings;
	return KMN_OK;
}

/* Where recipes are. Without it calls are pending all the same: they have no id that another process could use. */
static struct kmn_heads *
folder(struct kmn_async *async)
{
	struct kmn_heads *heads;

	(void)pthread_mutex_lock(&async->lock);
	if (async->heads == NULL && kmn_heads_new(async->settings, &async->heads) != KMN_OK)
		kmn_debug(KMN_TOPIC_CONFIG, "state: nothing that is pending can be joined by another process");
	heads = async->heads;
	(void)pthread_mutex_unlock(&async->lock);
	return heads;
}

void
kmn_async_free(struct kmn_async *async)
{
	if (async == NULL)
		return;
	for (struct session *s = async->sessions, *next; s != NULL; s = next) {
		next = s->next;
		session_free(s);
	}
	kmn_heads_free(async->heads);
	(void)pthread_cond_destroy(&async->idle);
	(void)pthread_mutex_destroy(&async->lock);
	free(async);
}

/* The lock is taken. */
static struct session *
find(struct kmn_async *async, CK_SESSION_HANDLE handle)
{
	struct session *s = async->sessions;

	while (s != NULL && s->handle != handle)
		s = s->next;
	return s;
}

/* NULL: it is none of ours. Waits for who is busy with it, unless that is not worth it. */
static struct session *
take(struct kmn_async *async, CK_SESSION_HANDLE handle, bool waits, bool *busy_out)
{
	struct session *s;

	*busy_out = false;
	(void)pthread_mutex_lock(&async->lock);
	if ((s = find(async, handle)) != NULL) {
		s->users++;
		while (s->busy && waits)
			(void)pthread_cond_wait(&async->idle, &async->lock);
		if ((*busy_out = s->busy)) {
			s->users--;
			s = NULL;
		} else {
			s->busy = true;
		}
	}
	(void)pthread_mutex_unlock(&async->lock);
	return s;
}

static void
put(struct kmn_async *async, struct session *s)
{
	bool last;

	(void)pthread_mutex_lock(&async->lock);
	s->busy = false;
	last = --s->users == 0 && s->closed;
	(void)pthread_cond_broadcast(&async->idle);
	(void)pthread_mutex_unlock(&async->lock);
	if (last)
		session_free(s);
}

/* The session is gone; it is freed when it is put. */
static void
forget(struct kmn_async *async, struct session *gone)
{
	struct session **at = &async->sessions;

	(void)pthread_mutex_lock(&async->lock);
	while (*at != NULL && *at != gone)
		at = &(*at)->next;
	if (*at == gone) {
		*at = gone->next;
		atomic_fetch_sub(&async->count, 1);
	}
	gone->closed = true;
	(void)pthread_mutex_unlock(&async->lock);
}

bool
kmn_async_takes(struct kmn_async *async, enum kmn_call_id id, enum kmn_list list, const struct kmn_arg *arg)
{
	bool ours;

	if (id == KMN_C_OpenSession)
		return list == KMN_LIST_NEWEST && (arg[1].u & CKF_ASYNC_SESSION) != 0;
	if (atomic_load(&async->count) == 0)
		return false;
	if (id == KMN_C_CloseAllSessions || id == KMN_C_InitToken)
		return true;
	if (kmn_call_row(id)->param[0].kind != KMN_KIND_SESSION)
		return false;
	(void)pthread_mutex_lock(&async->lock);
	ours = find(async, arg[0].u) != NULL;
	(void)pthread_mutex_unlock(&async->lock);
	return ours;
}

static CK_RV
open_session(struct kmn_async *async, struct kmn_application *app, struct kmn_arg *arg)
{
	CK_TOKEN_INFO info;
	struct kmn_arg ask[] = {{.u = arg[0].u}, {.p = &info}};
	struct session *s;
	CK_RV rv = kmn_call_whole(app, KMN_LIST_NEWEST, KMN_C_GetTokenInfo, ask, KMN_COUNT_OF(ask));

	if (rv != CKR_OK)
		return rv;
	if ((info.flags & CKF_ASYNC_SESSION_SUPPORTED) == 0)
		return CKR_SESSION_ASYNC_NOT_SUPPORTED;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return CKR_HOST_MEMORY;
	arg[1].u &= ~(CK_FLAGS)CKF_ASYNC_SESSION; /* the module need not know */
	rv = kmn_call_whole(app, KMN_LIST_NEWEST, KMN_C_OpenSession, arg, 4);
	if (rv != CKR_OK) {
		free(s);
		return rv;
	}
	s->handle = *(CK_SESSION_HANDLE *)arg[3].p;
	s->slot = arg[0].u;
	s->flags = arg[1].u;
	(void)pthread_mutex_lock(&async->lock);
	s->next = async->sessions;
	async->sessions = s;
	atomic_fetch_add(&async->count, 1);
	(void)pthread_mutex_unlock(&async->lock);
	return CKR_OK;
}

/* ---- a call in one of them --------------------------------------------------------------------------------------- */

/* Logins and PINs are not left pending: what they carry is not kept. */
static bool
may_pend(const struct kmn_call *row)
{
	return row->hold == KMN_HOLD_MAY &&
	       (row->policy == KMN_POLICY_KEY_USE || row->policy == KMN_POLICY_KEY_MANAGEMENT);
}

static const struct kmn_arg *
room_of(const struct kmn_call *row, const struct kmn_arg *arg)
{
	for (size_t i = 0; i < row->param_count; i++)
		if (row->param[i].kind == KMN_KIND_ROOM)
			return &arg[i];
	return NULL;
}

/* A buffer that is too small is said at once, never when people have approved: CKR_OK, it is large enough. */
static CK_RV
check_room(struct kmn_application *app, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count)
{
	const struct kmn_call *row = kmn_call_row(id);
	const struct kmn_arg *room = room_of(row, arg);
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
pend(struct kmn_application *app, struct session *s, enum kmn_call_id id, struct kmn_arg *arg, size_t arg_count)
{
	const struct kmn_arg *room = room_of(kmn_call_row(id), arg);
	struct pending *p;
	CK_RV rv;

	if (room != NULL && room->p == NULL) /* how long is it? */
		return kmn_call_whole(app, KMN_LIST_NEWEST, id, arg, arg_count);
	if ((rv = check_room(app, id, arg, arg_count)) != CKR_OK)
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
		pending_free(p);
	return rv;
}

/* What began the operation is kept: who joins begins it again. Without memory the call has no id later. */
static void
keep_init(struct session *s, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count)
{
	struct kmn_writer w;

	free(s->init);
	s->init = NULL;
	s->begun = 0;
	kmn_writer_init(&w, KMN_RECIPE_MAX_BYTES);
	if (kmn_request_encode(id, arg, arg_count, &w) != KMN_OK || !kmn_recipe_is_open(w.bytes, w.len) ||
	    kmn_writer_take(&w, &s->init, &s->init_len) != KMN_OK)
		s->init = NULL;
	kmn_writer_clear(&w);
}

static void
withdraw(struct session *s)
{
	struct pending *p = s->pending;

	if (p != NULL && !p->over && kmn_parked_leave(p->parked, true) != CKR_FUNCTION_CANCELED)
		kmn_debug(KMN_TOPIC_WAIT, "request %llu: it cannot be withdrawn any more",
		    (unsigned long long)kmn_parked_request(p->parked));
	pending_free(p);
	s->pending = NULL;
}

static CK_RV
close_session(struct kmn_async *async, struct kmn_application *app, struct session *s, struct kmn_arg *arg)
{
	CK_RV rv;

	withdraw(s);
	if ((rv = kmn_call_whole(app, KMN_LIST_NEWEST, KMN_C_CloseSession, arg, 1)) == CKR_OK)
		forget(async, s);
	return rv;
}

static CK_RV
close_all(struct kmn_async *async, struct kmn_application *app, enum kmn_call_id id, struct kmn_arg *arg, size_t count)
{
	CK_SESSION_HANDLE handle;
	CK_RV rv;
	bool busy;

	do {
		struct session *s;

		handle = 0;
		(void)pthread_mutex_lock(&async->lock);
		for (s = async->sessions; s != NULL && (s->slot != arg[0].u || s->closed); s = s->next)
			;
		if (s != NULL)
			handle = s->handle;
		(void)pthread_mutex_unlock(&async->lock);
		if (handle != 0 && id == KMN_C_CloseAllSessions && (s = take(async, handle, true, &busy)) != NULL) {
			withdraw(s);
			forget(async, s);
			put(async, s);
		}
	} while (handle != 0 && id == KMN_C_CloseAllSessions);
	rv = kmn_call_whole(app, KMN_LIST_NEWEST, id, arg, count);
	return rv;
}

static CK_RV
in_session(struct kmn_async *async, struct kmn_application *app, struct session *s, enum kmn_call_id id,
    struct kmn_arg *arg, size_t arg_count)
{
	const struct kmn_call *row = kmn_call_row(id);
	CK_RV rv;

	if (id == KMN_C_CloseSession)
		return close_session(async, app, s, arg);
	if (id == KMN_C_SessionCancel && s->pending != NULL &&
	    (kmn_cancelled_operations(arg[1].u) & kmn_call_row(s->pending->id)->operations) != 0)
		withdraw(s);
	else if (s->pending != NULL && row->policy != KMN_POLICY_QUERY && id != KMN_C_SessionCancel)
		return CKR_OPERATION_ACTIVE;
	if (may_pend(row))
		return pend(app, s, id, arg, arg_count);
	rv = kmn_call_whole(app, KMN_LIST_NEWEST, id, arg, arg_count);
	if (rv == CKR_OK && id == KMN_C_SignInit)
		keep_init(s, id, arg, arg_count);
	else if (rv == CKR_OK && id == KMN_C_GetSessionInfo)
		((CK_SESSION_INFO *)arg[1].p)->flags |= CKF_ASYNC_SESSION;
	return rv;
}

CK_RV
kmn_async_call(
    struct kmn_async *async, struct kmn_application *app, enum kmn_call_id id, struct kmn_arg *arg, size_t arg_count)
{
	struct session *s;
	bool busy;
	CK_RV rv;

	if (id == KMN_C_OpenSession)
		return open_session(async, app, arg);
	if (id == KMN_C_CloseAllSessions || id == KMN_C_InitToken)
		return close_all(async, app, id, arg, arg_count);
	if ((s = take(async, arg[0].u, true, &busy)) == NULL)
		return CKR_SESSION_HANDLE_INVALID; /* closed a moment ago */
	rv = in_session(async, app, s, id, arg, arg_count);
	put(async, s);
	return rv;
}

/* ---- C_AsyncComplete --------------------------------------------------------------------------------------------- */

static bool
is_pending(const struct session *s, const CK_UTF8CHAR *function)
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
end(struct kmn_async *async, struct session *s)
{
	struct pending *p = s->pending;

	if (p->recipe != 0 && p->rv != CKR_BUFFER_TOO_SMALL && (p->parked == NULL || !kmn_parked_is_lost(p->parked)))
		kmn_recipe_forget(folder(async), p->recipe);
	pending_free(p);
	s->pending = NULL;
}

static CK_RV
complete(struct kmn_async *async, struct session *s, CK_ASYNC_DATA *result)
{
	struct pending *p = s->pending;
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
	struct session *s;
	bool busy;
	CK_RV rv;

	if (function == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((s = take(app->async, session, false, &busy)) == NULL)
		return busy ? CKR_PENDING : CKR_FUNCTION_NOT_SUPPORTED;
	if (!is_pending(s, function))
		rv = CKR_OPERATION_NOT_INITIALIZED;
	else if (result == NULL && has_outputs(s->pending->id))
		rv = CKR_ARGUMENTS_BAD;
	else
		rv = complete(app->async, s, result);
	put(app->async, s);
	return rv;
}

/* ---- C_AsyncGetID ------------------------------------------------------------------------------------------------ */

/* Who the key of the operation is. */
static bool
ask_key(struct kmn_application *app, const struct session *s, struct kmn_identity *key_out)
{
	struct kmn_call_view v;
	struct kmn_desk desk = {.app = app, .slot = s->slot, .flags = s->flags};
	uint64_t key;
	bool known;

	if (s->init == NULL || kmn_call_view_decode(s->init, s->init_len, &v) != KMN_OK || !kmn_view_key(&v, 0, &key) ||
	    (desk.link = kmn_links_take(&app->links)) == NULL)
		return false;
	known = kmn_identity_ask(&desk, s->handle, (CK_OBJECT_HANDLE)key, key_out) == KMN_OK && key_out->proven;
	kmn_links_put(&app->links, desk.link);
	return known;
}

static kmn_err
store(struct kmn_application *app, const struct session *s)
{
	const struct pending *p = s->pending;
	struct kmn_recipe recipe = {.request = kmn_parked_request(p->parked), .id = p->id};
	enum kmn_call_id init;
	const uint8_t *call = kmn_parked_bytes(p->parked, &recipe.call_len);

	if (!kmn_recipe_begins(p->id, &init) || !kmn_recipe_is_open(call, recipe.call_len))
		return KMN_E_DENIED;
	if (init != p->id && !ask_key(app, s, &recipe.key))
		return KMN_E_DENIED;
	recipe.init = s->init;
	recipe.init_len = s->init_len;
	recipe.call = (uint8_t *)(uintptr_t)call;
	return kmn_recipe_store(folder(app->async), &recipe);
}

static CK_RV
detach(struct kmn_application *app, struct session *s, CK_ULONG *id)
{
	struct pending *p = s->pending;
	uint64_t request = kmn_parked_request(p->parked);
	CK_RV rv;
	kmn_err e;

	if ((e = store(app, s)) != KMN_OK) {
		kmn_debug(
		    KMN_TOPIC_WAIT, "request %llu cannot be kept: %s", (unsigned long long)request, kmn_err_text(e));
		return CKR_STATE_UNSAVEABLE;
	}
	if ((rv = kmn_parked_leave(p->parked, false)) != CKR_OK && kmn_parked_is_unanswered(p->parked)) {
		*id = (CK_ULONG)request;
		pending_free(p);
		s->pending = NULL;
		return CKR_OK;
	}
	/* It ended a moment ago: there is nothing to wait for, only an outcome to be taken. */
	kmn_recipe_forget(folder(app->async), request);
	p->over = true;
	p->rv = rv;
	kmn_parked_outputs(p->parked, &p->out);
	return CKR_STATE_UNSAVEABLE;
}

CK_RV
kmn_async_get_id(struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ULONG *id)
{
	struct session *s;
	bool busy;
	CK_RV rv;

	if (function == NULL || id == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((s = take(app->async, session, true, &busy)) == NULL)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (!is_pending(s, function))
		rv = CKR_OPERATION_NOT_INITIALIZED;
	else if (s->pending->over)
		rv = CKR_STATE_UNSAVEABLE;
	else
		rv = detach(app, s, id);
	put(app->async, s);
	return rv;
}

/* ---- C_AsyncJoin ------------------------------------------------------------------------------------------------- */

/* Begins the operation again, with the key that it was begun with and no other. */
static CK_RV
begin(struct kmn_application *app, struct session *s, struct kmn_recipe *recipe)
{
	struct kmn_desk desk = {.app = app, .slot = s->slot, .flags = s->flags};
	struct kmn_arg arg[] = {{.u = s->handle}, {0}, {0}};
	CK_OBJECT_HANDLE key = 0;
	struct kmn_parked *parked;
	CK_RV rv = CKR_HOST_MEMORY;
	kmn_err e;

	if (!recipe->key.proven || s->begun == recipe->request)
		return CKR_OK;
	if ((desk.link = kmn_links_take(&app->links)) == NULL)
		return CKR_DEVICE_ERROR;
	e = kmn_identity_find(&desk, &recipe->key, &key);
	kmn_links_put(&app->links, desk.link);
	if (e != KMN_OK)
		return kmn_err_ckr(e);
	if (key == 0 || kmn_recipe_address(recipe->init, recipe->init_len, s->handle, key) != KMN_OK)
		return CKR_SAVED_STATE_INVALID;
	arg[2].u = key;
	if ((parked = kmn_parked_new(app, KMN_C_SignInit, arg, KMN_COUNT_OF(arg))) != NULL) {
		kmn_parked_encoded(parked, recipe->init, recipe->init_len);
		rv = kmn_parked_start(parked);
	}
	kmn_parked_free(parked);
	if (rv != CKR_OK)
		return rv;
	free(s->init);
	s->init = recipe->init;
	s->init_len = recipe->init_len;
	recipe->init = NULL;
	s->begun = recipe->request;
	return CKR_OK;
}

/* The call as it was, with the caller's buffer; *count_out arguments. */
static CK_RV
call_again(struct kmn_application *app, struct session *s, struct kmn_recipe *recipe, CK_BYTE *data, CK_ULONG *len,
    struct pending *p)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX] = {{.u = s->handle}};
	const struct kmn_call *row = kmn_call_row(recipe->id);
	struct kmn_call_view v;
	CK_RV rv;

	if (kmn_recipe_address(recipe->call, recipe->call_len, s->handle, 0) != KMN_OK ||
	    kmn_call_view_decode(recipe->call, recipe->call_len, &v) != KMN_OK)
		return CKR_SAVED_STATE_INVALID;
	if (room_of(row, arg) != NULL) { /* C_Sign */
		arg[1].p = (void *)(uintptr_t)v.value[1].bytes;
		arg[1].u = (CK_ULONG)v.value[1].len;
		arg[2].p = data;
		arg[2].n = len;
		if (data == NULL)
			return CKR_BUFFER_TOO_SMALL;
		if ((rv = check_room(app, recipe->id, arg, row->param_count)) != CKR_OK)
			return rv;
	}
	for (size_t i = 0, made = 0; i < row->param_count; i++)
		if (row->param[i].kind == KMN_KIND_NEW_OBJECT)
			arg[i].p = &p->out.made[made++];
	if ((p->parked = kmn_parked_new(app, recipe->id, arg, row->param_count)) == NULL)
		return CKR_HOST_MEMORY;
	if (arg[2].n == NULL)
		kmn_parked_encoded(p->parked, recipe->call, recipe->call_len);
	s->begun = 0;
	return kmn_parked_start(p->parked);
}

/* What became of a request that ended without its call having run: to ask again would be a request of its own. */
static kmn_err
how_it_ended(struct kmn_application *app, uint64_t request)
{
	static const struct {
		const char *state;
		kmn_err e;
	} ends[] = {{"rejected", KMN_E_REJECTED}, {"vetoed", KMN_E_REJECTED}, {"denied", KMN_E_DENIED},
	    {"expired", KMN_E_EXPIRED}, {"withdrawn", KMN_E_WITHDRAWN}};
	char state[KMN_WIRE_STATE_BYTES];
	struct kmn_link *link = kmn_links_take(&app->links);
	kmn_err e;

	if (link == NULL)
		return KMN_OK; /* the call itself says what is wrong */
	e = kmn_wire_request_state(link->pool, kmn_wake_fd(&app->quitting), request, state);
	kmn_links_put(&app->links, link);
	for (size_t i = 0; e == KMN_OK && i < KMN_COUNT_OF(ends); i++)
		if (strcmp(state, ends[i].state) == 0)
			return ends[i].e;
	return KMN_OK;
}

static CK_RV
join(struct kmn_application *app, struct session *s, struct kmn_recipe *recipe, CK_BYTE *data, CK_ULONG len)
{
	struct pending *p = calloc(1, sizeof(*p));
	kmn_err ended;
	CK_RV rv;

	if (p == NULL)
		return CKR_HOST_MEMORY;
	p->id = recipe->id;
	p->recipe = recipe->request;
	if ((ended = how_it_ended(app, recipe->request)) != KMN_OK) {
		p->over = true;
		p->rv = kmn_err_ckr(ended);
		s->pending = p;
		return CKR_OK;
	}
	if ((rv = begin(app, s, recipe)) == CKR_OK)
		rv = call_again(app, s, recipe, data, &len, p);
	if (p->parked == NULL) {
		free(p);
		return rv;
	}
	s->pending = p;
	if (rv != CKR_PENDING) {
		p->over = true;
		p->rv = rv;
		p->out.buffer = data;
		p->out.length = len;
		return CKR_OK;
	}
	if (kmn_parked_request(p->parked) == recipe->request)
		return CKR_OK;
	kmn_debug(KMN_TOPIC_WAIT, "request %llu is not open any more", (unsigned long long)recipe->request);
	withdraw(s);
	kmn_recipe_forget(folder(app->async), recipe->request);
	return CKR_SAVED_STATE_INVALID;
}

CK_RV
kmn_async_join(struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ULONG id,
    CK_BYTE *data, CK_ULONG len)
{
	struct kmn_recipe recipe = {0};
	struct session *s;
	bool busy;
	CK_RV rv;

	if (function == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((s = take(app->async, session, true, &busy)) == NULL)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (s->pending != NULL)
		rv = CKR_OPERATION_ACTIVE;
	else if (kmn_recipe_load(folder(app->async), id, &recipe) != KMN_OK ||
		 strcmp((const char *)function, kmn_call_row(recipe.id)->name) != 0)
		rv = CKR_SAVED_STATE_INVALID;
	else
		rv = join(app, s, &recipe, data, len);
	kmn_recipe_clear(&recipe);
	put(app->async, s);
	return rv;
}
