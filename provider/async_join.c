/* C_AsyncGetID and C_AsyncJoin: a call is left to a recipe, and made again by it. */
#include "config.h"

#include "provider/async_parts.h"

#include <stdlib.h>
#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"
#include "provider/recipe.h"
#include "provider/wake.h"
#include "provider/wire.h"

/* ---- C_AsyncGetID ------------------------------------------------------------------------------------------------ */

/* Who the key of the operation is. */
static bool
ask_key(struct kmn_application *app, const struct kmn_async_session *s, struct kmn_identity *key_out)
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
store(struct kmn_application *app, const struct kmn_async_session *s)
{
	const struct kmn_pending *p = s->pending;
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
	return kmn_recipe_store(kmn_async_folder(app->async), &recipe);
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
	kmn_recipe_forget(kmn_async_folder(app->async), request);
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

/* Begins the operation again, with the key that it was begun with and no other. */
static CK_RV
begin(struct kmn_application *app, struct kmn_async_session *s, struct kmn_recipe *recipe)
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
call_again(struct kmn_application *app, struct kmn_async_session *s, struct kmn_recipe *recipe, CK_BYTE *data,
    CK_ULONG *len, struct kmn_pending *p)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX] = {{.u = s->handle}};
	const struct kmn_call *row = kmn_call_row(recipe->id);
	struct kmn_call_view v;
	CK_RV rv;

	if (kmn_recipe_address(recipe->call, recipe->call_len, s->handle, 0) != KMN_OK ||
	    kmn_call_view_decode(recipe->call, recipe->call_len, &v) != KMN_OK)
		return CKR_SAVED_STATE_INVALID;
	if (kmn_async_room(row, arg) != NULL) { /* C_Sign */
		arg[1].p = (void *)(uintptr_t)v.value[1].bytes;
		arg[1].u = (CK_ULONG)v.value[1].len;
		arg[2].p = data;
		arg[2].n = len;
		if (data == NULL)
			return CKR_BUFFER_TOO_SMALL;
		if ((rv = kmn_async_check_room(app, recipe->id, arg, row->param_count)) != CKR_OK)
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
join(struct kmn_application *app, struct kmn_async_session *s, struct kmn_recipe *recipe, CK_BYTE *data, CK_ULONG len)
{
	struct kmn_pending *p = calloc(1, sizeof(*p));
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
	kmn_async_withdraw(s);
	kmn_recipe_forget(kmn_async_folder(app->async), recipe->request);
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
	else if (kmn_recipe_load(kmn_async_folder(app->async), id, &recipe) != KMN_OK ||
		 strcmp((const char *)function, kmn_call_row(recipe.id)->name) != 0)
		rv = CKR_SAVED_STATE_INVALID;
	else
		rv = join(app, s, &recipe, data, len);
	kmn_recipe_clear(&recipe);
	kmn_async_put(app->async, s);
	return rv;
}
