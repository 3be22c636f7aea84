/*
 * C_AsyncGetID and C_AsyncJoin: a call is left to a recipe, and made again by it.
 *
 * A recipe holds requests whose handles are those of the process that left it. Here they get the handles of now: those
 * that find_keys() gives are in the order in which the requests name keys, steps first, and `handle` walks along them
 * from request to request. Whether what was made again is the same request, the gateway says: by its number.
 */
#include "config.h"

#include "provider/async_parts.h"

#include <stdlib.h>
#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"
#include "provider/identity.h"
#include "provider/wake.h"
#include "provider/wire.h"

/* ---- C_AsyncGetID ------------------------------------------------------------------------------------------------ */

/* Who the keys of a request are, behind those that are known. */
static kmn_err
ask_keys(struct kmn_application *app, const struct kmn_async_session *s, const struct kmn_recipe_part *request,
    struct kmn_recipe *recipe)
{
	struct kmn_desk desk = {.app = app, .slot = s->slot, .flags = s->flags};
	uint64_t handle[KMN_RECIPE_KEYS_MAX];
	size_t n = kmn_recipe_handles(request->bytes, request->len, handle, KMN_RECIPE_KEYS_MAX);
	kmn_err e = KMN_OK;

	if (n > KMN_RECIPE_KEYS_MAX - recipe->keys)
		return KMN_E_LIMIT;
	if (n > 0 && (desk.link = kmn_links_take(&app->links)) == NULL)
		return KMN_E_INSTANCE;
	for (size_t i = 0; e == KMN_OK && i < n; i++) {
		struct kmn_identity *key = &recipe->key[recipe->keys++];

		e = kmn_identity_ask(&desk, s->handle, (CK_OBJECT_HANDLE)handle[i], key);
		if (e == KMN_OK && !key->proven)
			e = KMN_E_DENIED;
	}
	kmn_links_put(&app->links, desk.link);
	return e;
}

/* What is borrowed of the session and of the call is theirs: the recipe is not cleared. */
static kmn_err
store(struct kmn_application *app, const struct kmn_async_session *s)
{
	const struct kmn_pending *p = s->pending;
	const struct kmn_call *row = kmn_call_row(p->id);
	struct kmn_recipe recipe = {.request = kmn_parked_request(p->parked), .id = p->id};
	kmn_err e = KMN_OK;

	recipe.call.bytes = (uint8_t *)(uintptr_t)kmn_parked_bytes(p->parked, &recipe.call.len);
	if (!kmn_recipe_is_open(recipe.call.bytes, recipe.call.len))
		return KMN_E_DENIED;
	if (row->effect == KMN_EFFECT_ANSWERS) {
		if (s->operation != row->operations)
			return KMN_E_DENIED; /* it was begun otherwise, or nobody could begin it again */
		recipe.steps = s->steps;
		memcpy(recipe.step, s->step, s->steps * sizeof(s->step[0]));
	} else if (row->effect != KMN_EFFECT_NONE) {
		return KMN_E_DENIED; /* of a message: the caller's memory has its state */
	}
	for (size_t i = 0; e == KMN_OK && i < recipe.steps; i++)
		e = ask_keys(app, s, &recipe.step[i], &recipe);
	if (e == KMN_OK)
		e = ask_keys(app, s, &recipe.call, &recipe);
	return e != KMN_OK ? e : kmn_async_keep(app->async, &recipe);
}

static CK_RV
detach(struct kmn_application *app, struct kmn_async_session *s, CK_ULONG *id)
{
	struct kmn_pending *p = s->pending;
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
		kmn_pending_free(p);
		s->pending = NULL;
		return CKR_OK;
	}
	/* It ended a moment ago: there is nothing to wait for, only an outcome to be taken. */
	kmn_async_drop(app->async, request);
	p->over = true;
	p->rv = rv;
	kmn_parked_outputs(p->parked, &p->out);
	return CKR_STATE_UNSAVEABLE;
}

CK_RV
kmn_async_get_id(struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ULONG *id)
{
	struct kmn_async_session *s;
	bool busy;
	CK_RV rv;

	if (function == NULL || id == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((s = kmn_async_take(app->async, session, true, &busy)) == NULL)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (!kmn_async_is_pending(s, function))
		rv = CKR_OPERATION_NOT_INITIALIZED;
	else if (s->pending->over)
		rv = CKR_STATE_UNSAVEABLE;
	else
		rv = detach(app, s, id);
	kmn_async_put(app->async, s);
	return rv;
}

/* ---- C_AsyncJoin ------------------------------------------------------------------------------------------------- */

/* The handles that the keys have here and now; each is there once, and proves to be it. */
static CK_RV
find_keys(struct kmn_application *app, const struct kmn_async_session *s, const struct kmn_recipe *recipe,
    uint64_t handle_out[KMN_RECIPE_KEYS_MAX])
{
	struct kmn_desk desk = {.app = app, .slot = s->slot, .flags = s->flags};
	CK_RV rv = CKR_OK;

	if (recipe->keys > 0 && (desk.link = kmn_links_take(&app->links)) == NULL)
		return CKR_DEVICE_ERROR;
	for (size_t i = 0; rv == CKR_OK && i < recipe->keys; i++) {
		CK_OBJECT_HANDLE handle = 0;
		kmn_err e = kmn_identity_find(&desk, &recipe->key[i], &handle);

		rv = e != KMN_OK ? kmn_err_ckr(e) : handle == 0 ? CKR_SAVED_STATE_INVALID : CKR_OK;
		handle_out[i] = handle;
	}
	kmn_links_put(&app->links, desk.link);
	return rv;
}

/* One request of the recipe, with the handles from *handle on, which moves behind them. */
static CK_RV
make_step(struct kmn_application *app, const struct kmn_async_session *s, struct kmn_recipe_part *step,
    const uint64_t **handle)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX] = {{.u = s->handle}};
	struct kmn_parked *parked;
	struct kmn_call_view v;
	CK_RV rv = CKR_HOST_MEMORY;

	if (kmn_recipe_address(step, s->handle, *handle, 0) != KMN_OK ||
	    kmn_call_view_decode(step->bytes, step->len, &v) != KMN_OK)
		return CKR_SAVED_STATE_INVALID;
	for (size_t i = 1; i < v.call->param_count; i++)
		if (v.value[i].param->kind == KMN_KIND_KEY)
			arg[i].u = (CK_ULONG)v.value[i].number;
	*handle += kmn_recipe_handles(step->bytes, step->len, NULL, 0);
	if ((parked = kmn_parked_new(app, v.id, arg, v.call->param_count)) != NULL) {
		kmn_parked_encoded(parked, step->bytes, step->len);
		rv = kmn_parked_start(parked);
	}
	kmn_parked_free(parked);
	return rv;
}

/* Begins the operation again, with the key that it was begun with and no other. */
static CK_RV
begin(struct kmn_application *app, struct kmn_async_session *s, struct kmn_recipe *recipe, const uint64_t **handle)
{
	size_t begun = 0;
	CK_RV rv = CKR_OK;

	if (recipe->steps > 0 && s->begun == recipe->request) { /* by a join that came to nothing else */
		for (size_t i = 0; i < recipe->steps; i++)
			*handle += kmn_recipe_handles(recipe->step[i].bytes, recipe->step[i].len, NULL, 0);
		return CKR_OK;
	}
	for (; rv == CKR_OK && begun < recipe->steps; begun++)
		rv = make_step(app, s, &recipe->step[begun], handle);
	if (rv != CKR_OK || recipe->steps == 0)
		return rv;
	kmn_steps_clear(s);
	memcpy(s->step, recipe->step, recipe->steps * sizeof(s->step[0]));
	s->steps = recipe->steps;
	s->operation = kmn_call_row(recipe->id)->operations;
	s->begun = recipe->request;
	recipe->steps = 0; /* they are the session's now */
	return CKR_OK;
}

/* The call as it was, with the caller's buffer. */
static CK_RV
call_again(struct kmn_application *app, struct kmn_async_session *s, struct kmn_recipe *recipe, const uint64_t *handle,
    CK_BYTE *data, CK_ULONG *len, struct kmn_pending *p)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX] = {{.u = s->handle}};
	const struct kmn_call *row = kmn_call_row(recipe->id);
	const struct kmn_arg *room;
	struct kmn_call_view v;
	CK_RV rv;

	if (kmn_recipe_address(&recipe->call, s->handle, handle, *len) != KMN_OK ||
	    kmn_call_view_decode(recipe->call.bytes, recipe->call.len, &v) != KMN_OK)
		return CKR_SAVED_STATE_INVALID;
	for (size_t i = 1, made = 0; i < row->param_count; i++) {
		if (row->param[i].kind == KMN_KIND_ROOM)
			arg[i] = (struct kmn_arg){.p = p->out.buffer = data, .n = len};
		else if (row->param[i].kind == KMN_KIND_NEW_OBJECT ||
			 (row->param[i].kind == KMN_KIND_MAYBE_OBJECT && !v.value[i].null))
			arg[i].p = &p->out.made[made++];
		else if (row->param[i].kind == KMN_KIND_DATA)
			arg[i] =
			    (struct kmn_arg){.p = (void *)(uintptr_t)v.value[i].bytes, .u = (CK_ULONG)v.value[i].len};
		else if (row->param[i].kind == KMN_KIND_KEY || row->param[i].kind == KMN_KIND_OBJECT)
			arg[i].u = (CK_ULONG)v.value[i].number;
	}
	if ((room = kmn_async_room(row, arg)) != NULL && data == NULL)
		return CKR_BUFFER_TOO_SMALL;
	if (room != NULL && (rv = kmn_async_check_room(app, recipe->id, arg, row->param_count)) != CKR_OK)
		return rv;
	if ((p->parked = kmn_parked_new(app, recipe->id, arg, row->param_count)) == NULL)
		return CKR_HOST_MEMORY;
	kmn_parked_encoded(p->parked, recipe->call.bytes, recipe->call.len);
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
join(struct kmn_application *app, struct kmn_async_session *s, struct kmn_recipe *recipe, CK_BYTE *data, CK_ULONG len)
{
	struct kmn_pending *p = calloc(1, sizeof(*p));
	uint64_t key[KMN_RECIPE_KEYS_MAX];
	const uint64_t *handle = key;
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
	if ((rv = find_keys(app, s, recipe, key)) == CKR_OK && (rv = begin(app, s, recipe, &handle)) == CKR_OK)
		rv = call_again(app, s, recipe, handle, data, &len, p);
	if (p->parked == NULL) {
		free(p);
		return rv;
	}
	s->pending = p;
	if (rv != CKR_PENDING) {
		p->over = true;
		p->rv = rv;
		p->out.length = p->out.buffer != NULL ? len : 0;
		return CKR_OK;
	}
	if (kmn_parked_request(p->parked) == recipe->request)
		return CKR_OK;
	kmn_debug(KMN_TOPIC_WAIT, "request %llu is not open any more", (unsigned long long)recipe->request);
	kmn_async_withdraw(s);
	kmn_async_drop(app->async, recipe->request);
	return CKR_SAVED_STATE_INVALID;
}

CK_RV
kmn_async_join(struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ULONG id,
    CK_BYTE *data, CK_ULONG len)
{
	struct kmn_recipe recipe = {0};
	struct kmn_async_session *s;
	bool busy;
	CK_RV rv;

	if (function == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((s = kmn_async_take(app->async, session, true, &busy)) == NULL)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (s->pending != NULL)
		rv = CKR_OPERATION_ACTIVE;
	else if (kmn_async_recall(app->async, id, &recipe) != KMN_OK ||
		 strcmp((const char *)function, kmn_call_row(recipe.id)->name) != 0)
		rv = CKR_SAVED_STATE_INVALID;
	else
		rv = join(app, s, &recipe, data, len);
	kmn_recipe_clear(&recipe);
	kmn_async_put(app->async, s);
	return rv;
}
