#include "config.h"

#include "provider/heal.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"
#include "provider/identity.h"

#define LOGINS 64u      /* slots with a login */
#define KEYS_MAX 1024u  /* keys that are known; then the oldest is forgotten */
#define HANDLES_MAX 16u /* objects that one call names */

struct session {
	CK_SESSION_HANDLE handle;
	CK_SLOT_ID slot;
	CK_FLAGS flags;
	uint32_t era;
	bool searches_keys;
};

/* sodium_malloc, without access while nobody reads it; NULL and stated as the caller gave it. */
struct secret {
	CK_BYTE *bytes;
	CK_ULONG len;
};

struct login {
	bool used;
	CK_SLOT_ID slot;
	uint32_t era;
	CK_USER_TYPE type;
	enum kmn_call_id by; /* C_Login or C_LoginUser */
	struct secret pin, user;
};

struct key {
	CK_OBJECT_HANDLE handle;
	CK_SLOT_ID slot;
	uint32_t era;
	struct kmn_identity who;
};

struct kmn_heal {
	bool always;            /* set once */
	uint32_t inherited_era; /* set once: of a child's first link; 0: none */
	pthread_mutex_t lock;   /* guards what is below */
	pthread_cond_t done;
	bool building;
	struct session *session;
	size_t session_count, session_room;
	struct login login[LOGINS];
	struct key *key;
	size_t key_count, key_room, key_oldest;
};

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

kmn_err
kmn_heal_new(bool always, struct kmn_heal **heal_out)
{
	struct kmn_heal *heal = calloc(1, sizeof(*heal));

	*heal_out = heal;
	if (heal == NULL)
		return KMN_E_NO_MEMORY;
	heal->always = always;
	(void)pthread_mutex_init(&heal->lock, NULL);
	(void)pthread_cond_init(&heal->done, NULL);
	return KMN_OK;
}

static void
login_clear(struct login *login)
{
	sodium_free(login->pin.bytes); /* wipes */
	sodium_free(login->user.bytes);
	*login = (struct login){0};
}

void
kmn_heal_free(struct kmn_heal *heal)
{
	if (heal == NULL)
		return;
	for (size_t i = 0; i < LOGINS; i++)
		login_clear(&heal->login[i]);
	free(heal->session);
	free(heal->key);
	(void)pthread_cond_destroy(&heal->done);
	(void)pthread_mutex_destroy(&heal->lock);
	free(heal);
}

void
kmn_heal_lock(struct kmn_heal *heal)
{
	if (heal != NULL)
		(void)pthread_mutex_lock(&heal->lock);
}

void
kmn_heal_unlock(struct kmn_heal *heal)
{
	if (heal != NULL)
		(void)pthread_mutex_unlock(&heal->lock);
}

void
kmn_heal_after_fork(struct kmn_heal *heal, uint32_t era)
{
	(void)pthread_cond_init(&heal->done, NULL); /* threads that waited here are no more */
	heal->building = false;
	heal->inherited_era = era;
}

void
kmn_heal_wipe(struct kmn_heal *heal)
{
	if (heal == NULL)
		return;
	for (size_t i = 0; i < LOGINS; i++) {
		struct secret *pin = &heal->login[i].pin;

		if (pin->bytes != NULL && sodium_mprotect_readwrite(pin->bytes) == 0)
			sodium_memzero(pin->bytes, pin->len);
	}
}

/* ---- the tables; the lock is taken ------------------------------------------------------------------------------- */

static bool
may_build(const struct kmn_heal *heal, uint32_t era)
{
	return heal->always || era == heal->inherited_era;
}

bool
kmn_heal_may(const struct kmn_heal *heal, const struct kmn_link *lost)
{
	return heal != NULL && (heal->always || (heal->inherited_era != 0 && lost == NULL));
}

static struct session *
session_of(struct kmn_heal *heal, CK_SESSION_HANDLE handle)
{
	for (size_t i = 0; i < heal->session_count; i++) {
		if (heal->session[i].handle == handle)
			return &heal->session[i];
	}
	return NULL;
}

static void
session_add(struct kmn_heal *heal, const struct session *session)
{
	if (heal->session_count == heal->session_room) {
		size_t room = heal->session_room == 0 ? 16 : heal->session_room * 2;
		struct session *grown = realloc(heal->session, room * sizeof(*grown));

		if (grown == NULL) /* this one is not built up again */
			return;
		heal->session = grown;
		heal->session_room = room;
	}
	heal->session[heal->session_count++] = *session;
}

static struct login *
login_of(struct kmn_heal *heal, CK_SLOT_ID slot)
{
	for (size_t i = 0; i < LOGINS; i++) {
		if (heal->login[i].used && heal->login[i].slot == slot)
			return &heal->login[i];
	}
	return NULL;
}

static void
login_drop(struct kmn_heal *heal, CK_SLOT_ID slot)
{
	struct login *login = login_of(heal, slot);

	if (login != NULL)
		login_clear(login);
}

/* Closing the last session of a slot logs out. */
static void
session_remove(struct kmn_heal *heal, struct session *session)
{
	CK_SLOT_ID slot = session->slot;

	*session = heal->session[--heal->session_count];
	for (size_t i = 0; i < heal->session_count; i++) {
		if (heal->session[i].slot == slot)
			return;
	}
	login_drop(heal, slot);
}

static void
session_remove_all(struct kmn_heal *heal, CK_SLOT_ID slot)
{
	for (size_t i = heal->session_count; i > 0; i--) {
		if (heal->session[i - 1].slot == slot)
			heal->session[i - 1] = heal->session[--heal->session_count];
	}
	login_drop(heal, slot);
}

static struct key *
key_of(struct kmn_heal *heal, CK_OBJECT_HANDLE handle)
{
	for (size_t i = 0; i < heal->key_count; i++) {
		if (heal->key[i].handle == handle)
			return &heal->key[i];
	}
	return NULL;
}

static void
key_add(struct kmn_heal *heal, const struct key *key)
{
	if (heal->key_count == heal->key_room && heal->key_room < KEYS_MAX) {
		size_t room = heal->key_room == 0 ? 16 : heal->key_room * 2;
		struct key *grown = realloc(heal->key, room * sizeof(*grown));

		if (grown != NULL) {
			heal->key = grown;
			heal->key_room = room;
		}
	}
	if (heal->key_count < heal->key_room)
		heal->key[heal->key_count++] = *key;
	else if (heal->key_room > 0)
		heal->key[heal->key_oldest++ % heal->key_room] = *key;
}

static void
key_forget(struct kmn_heal *heal, CK_OBJECT_HANDLE handle)
{
	struct key *key = key_of(heal, handle);

	if (key != NULL)
		*key = heal->key[--heal->key_count];
}

/* ---- PINs -------------------------------------------------------------------------------------------------------- */

static bool
secret_set(struct secret *secret, const struct kmn_value *value)
{
	CK_ULONG len = value->null ? (CK_ULONG)value->number : value->len;

	sodium_free(secret->bytes);
	*secret = (struct secret){.len = len};
	if (value->null) /* the login by another path: NULL again */
		return true;
	if ((secret->bytes = sodium_malloc(len > 0 ? len : 1)) == NULL)
		return false;
	if (len > 0)
		memcpy(secret->bytes, value->bytes, len);
	(void)sodium_mprotect_noaccess(secret->bytes);
	return true;
}

static void
login_keep(struct kmn_heal *heal, CK_SLOT_ID slot, uint32_t era, const struct kmn_call_view *call)
{
	struct login *login = login_of(heal, slot);

	if (call->value[1].number == CKU_CONTEXT_SPECIFIC)
		return;

	for (size_t i = 0; login == NULL && i < LOGINS; i++) {
		if (!heal->login[i].used)
			login = &heal->login[i];
	}
	if (login == NULL)
		return;
	login->used = true;
	login->slot = slot;
	login->era = era;
	login->type = (CK_USER_TYPE)call->value[1].number;
	login->by = call->id;
	if (!secret_set(&login->pin, &call->value[2]) ||
	    (call->id == KMN_C_LoginUser && !secret_set(&login->user, &call->value[3])))
		login_clear(login);
}

static bool
secret_copy(const struct secret *secret, struct secret *copy_out)
{
	*copy_out = (struct secret){.len = secret->len};
	if (secret->bytes == NULL)
		return true;
	if ((copy_out->bytes = sodium_malloc(secret->len > 0 ? secret->len : 1)) == NULL)
		return false;
	(void)sodium_mprotect_readonly(secret->bytes);
	memcpy(copy_out->bytes, secret->bytes, secret->len);
	(void)sodium_mprotect_noaccess(secret->bytes);
	return true;
}

/* A copy for one call, to be cleared. */
static bool
login_copy(const struct login *login, struct login *copy_out)
{
	*copy_out = *login;
	copy_out->pin.bytes = copy_out->user.bytes = NULL;
	if (secret_copy(&login->pin, &copy_out->pin) && secret_copy(&login->user, &copy_out->user))
		return true;
	login_clear(copy_out);
	return false;
}

/* ---- what a call names ------------------------------------------------------------------------------------------- */

/* Objects that the call names: as keys, as objects, and inside its mechanism's parameter. */
static size_t
objects_of(const struct kmn_call_view *call, bool only_keys, CK_OBJECT_HANDLE out[HANDLES_MAX])
{
	const struct kmn_mech_view *mech = kmn_view_mechanism(call);
	uint64_t inside[HANDLES_MAX];
	size_t n = 0, more;

	for (size_t i = 0; i < call->call->param_count && n < HANDLES_MAX; i++) {
		enum kmn_kind kind = call->call->param[i].kind;

		if (kind == KMN_KIND_KEY || (kind == KMN_KIND_OBJECT && !only_keys))
			out[n++] = (CK_OBJECT_HANDLE)call->value[i].number;
	}
	more = mech != NULL ? kmn_mech_handles(mech, inside, HANDLES_MAX) : 0;
	for (size_t i = 0; i < more && i < HANDLES_MAX && n < HANDLES_MAX; i++)
		out[n++] = (CK_OBJECT_HANDLE)inside[i];
	return n;
}

/* ---- building up; one thread at a time, without the lock --------------------------------------------------------- */

struct builder {
	struct kmn_heal *heal;
	struct kmn_application *app;
	struct kmn_link *link;
};

/* Of an alias. */
static bool
is_refusal(kmn_err e)
{
	return e == KMN_E_NOT_FOUND || e == KMN_E_EXISTS || e == KMN_E_ARGUMENTS;
}

/* Opens a session like the old one and gives it the old handle. *ok_out: it is there. */
static kmn_err
build_session(const struct builder *b, const struct session *old, bool *ok_out)
{
	CK_SESSION_HANDLE fresh = 0;
	struct kmn_arg arg[] = {{.u = old->slot}, {.u = old->flags}, {0}, {.p = &fresh}};
	struct session *now;
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e;

	*ok_out = false;
	e = kmn_call_on(b->app, b->link, KMN_C_OpenSession, arg, KMN_COUNT_OF(arg), &rv);
	if (e != KMN_OK || rv != CKR_OK) {
		kmn_debug(KMN_TOPIC_HEAL, "session %lu: C_OpenSession: 0x%lx", old->handle, rv);
		return e;
	}
	e = kmn_alias_on(b->app, b->link, old->handle, fresh);
	if (is_refusal(e)) {
		kmn_debug(KMN_TOPIC_HEAL, "session %lu: %s", old->handle, kmn_err_text(e));
		return kmn_call_on(b->app, b->link, KMN_C_CloseSession, &(struct kmn_arg){.u = fresh}, 1, &rv);
	}
	if (e != KMN_OK)
		return e;
	(void)pthread_mutex_lock(&b->heal->lock);
	if ((now = session_of(b->heal, old->handle)) != NULL)
		now->era = b->link->era;
	(void)pthread_mutex_unlock(&b->heal->lock);
	kmn_debug(KMN_TOPIC_HEAL, "session %lu is built up", old->handle);
	*ok_out = true;
	return KMN_OK;
}

/* Logs in again. Whatever refuses the PIN, it is not tried again. */
static kmn_err
build_login(const struct builder *b, CK_SESSION_HANDLE session, const struct login *old)
{
	struct kmn_arg arg[] = {{.u = session}, {.u = old->type}, {.p = old->pin.bytes, .u = old->pin.len},
	    {.p = old->user.bytes, .u = old->user.len}};
	struct login *now;
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e = kmn_call_on(b->app, b->link, old->by, arg, kmn_call_row(old->by)->param_count, &rv);

	if (e != KMN_OK)
		return e;
	kmn_debug(KMN_TOPIC_HEAL, "slot %lu: %s: 0x%lx", old->slot, kmn_call_row(old->by)->name, rv);
	(void)pthread_mutex_lock(&b->heal->lock);
	if ((now = login_of(b->heal, old->slot)) != NULL) {
		if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
			now->era = b->link->era;
		else
			login_clear(now);
	}
	(void)pthread_mutex_unlock(&b->heal->lock);
	return KMN_OK;
}

/* Finds the key again and gives it its old handle, or forgets it. */
static kmn_err
build_key(const struct builder *b, CK_FLAGS flags, const struct key *old)
{
	struct kmn_desk desk = {b->app, b->link, old->slot, flags};
	CK_OBJECT_HANDLE fresh;
	struct key *now;
	kmn_err e = kmn_identity_find(&desk, &old->who, &fresh);

	if (e != KMN_OK)
		return e;
	if (fresh != 0 && fresh != old->handle)
		e = kmn_alias_on(b->app, b->link, old->handle, fresh);
	if (e != KMN_OK && !is_refusal(e))
		return e;
	kmn_debug(KMN_TOPIC_HEAL, "key %lu: %s", old->handle, fresh != 0 && e == KMN_OK ? "found again" : "gone");
	(void)pthread_mutex_lock(&b->heal->lock);
	if (fresh == 0 || e != KMN_OK)
		key_forget(b->heal, old->handle);
	else if ((now = key_of(b->heal, old->handle)) != NULL)
		now->era = b->link->era;
	(void)pthread_mutex_unlock(&b->heal->lock);
	return KMN_OK;
}

/* ---- before a call ----------------------------------------------------------------------------------------------- */

/* What is to be built up next for a call. */
enum due { NOTHING, SESSION, LOGIN, KEY, GONE };

struct task {
	enum due due;
	struct session session;
	struct login login; /* with a PIN of its own */
	struct key key;
};

/* Looks for the next task; the lock is taken. */
static void
look(struct kmn_heal *heal, uint32_t era, const struct kmn_call_view *call, struct task *task)
{
	const struct session *session;
	const struct login *login;
	CK_OBJECT_HANDLE object[HANDLES_MAX];
	uint64_t handle;

	task->due = NOTHING;
	if (!kmn_view_session(call, &handle) || (session = session_of(heal, (CK_SESSION_HANDLE)handle)) == NULL)
		return;
	task->session = *session;
	if (session->era != era)
		task->due = may_build(heal, era) && call->id != KMN_C_CloseSession ? SESSION : GONE;
	if (session->era != era || !may_build(heal, era))
		return;
	login = login_of(heal, session->slot);
	if (login != NULL && login->era != era) {
		task->due = login_copy(login, &task->login) ? LOGIN : NOTHING;
		return;
	}
	for (size_t i = 0, n = objects_of(call, false, object); i < n; i++) {
		const struct key *key = key_of(heal, object[i]);

		if (key == NULL || key->era == era || key->slot != session->slot)
			continue;
		task->key = *key;
		task->due = KEY;
		return;
	}
}

/* Does it. *stale_out: the session stays gone. */
static kmn_err
build(const struct builder *b, struct task *task, bool *stale_out)
{
	bool ok = true;
	kmn_err e = KMN_OK;

	switch (task->due) {
	case SESSION:
		e = build_session(b, &task->session, &ok);
		*stale_out = e == KMN_OK && !ok;
		break;
	case LOGIN:
		e = build_login(b, task->session.handle, &task->login);
		login_clear(&task->login);
		break;
	case KEY:
		e = build_key(b, task->session.flags, &task->key);
		break;
	case GONE:
	case NOTHING:
		break;
	}
	return e;
}

kmn_err
kmn_heal_prepare(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link,
    const struct kmn_call_view *call, bool *stale_out)
{
	const struct builder b = {heal, app, link};
	struct task task;
	kmn_err e = KMN_OK;

	*stale_out = false;
	(void)pthread_mutex_lock(&heal->lock);
	while (e == KMN_OK && !*stale_out) {
		look(heal, link->era, call, &task);
		*stale_out = task.due == GONE;
		if (task.due == NOTHING || task.due == GONE)
			break;
		if (heal->building) { /* perhaps the very thing */
			if (task.due == LOGIN)
				login_clear(&task.login);
			(void)pthread_cond_wait(&heal->done, &heal->lock);
			continue;
		}
		heal->building = true;
		(void)pthread_mutex_unlock(&heal->lock);
		e = build(&b, &task, stale_out);
		(void)pthread_mutex_lock(&heal->lock);
		heal->building = false;
		(void)pthread_cond_broadcast(&heal->done);
	}
	(void)pthread_mutex_unlock(&heal->lock);
	return e;
}

/* ---- after a call ------------------------------------------------------------------------------------------------ */

static void
note_session(struct kmn_heal *heal, const struct kmn_link *link, const struct kmn_call_view *call,
    const struct kmn_arg *arg, const struct session *session)
{
	switch (call->id) {
	case KMN_C_OpenSession:
		session_add(heal, &(struct session){.handle = *(CK_SESSION_HANDLE *)arg[3].p,
				      .slot = (CK_SLOT_ID)call->value[0].number,
				      .flags = (CK_FLAGS)call->value[1].number,
				      .era = link->era});
		break;
	case KMN_C_CloseAllSessions:
		session_remove_all(heal, (CK_SLOT_ID)call->value[0].number);
		break;
	case KMN_C_Login:
	case KMN_C_LoginUser:
		if (session != NULL)
			login_keep(heal, session->slot, link->era, call);
		break;
	case KMN_C_Logout:
		if (session != NULL)
			login_drop(heal, session->slot);
		break;
	default:
		break;
	}
}

/* The PIN that C_SetPIN changed is that of who is logged in, if somebody is. */
static void
note_pin(struct kmn_heal *heal, const struct kmn_call_view *call, const struct session *session)
{
	struct login *login = session != NULL ? login_of(heal, session->slot) : NULL;

	if (login != NULL && !secret_set(&login->pin, &call->value[2]))
		login_clear(login);
}

/* Asks who a key is that was used for the first time; the lock is not taken. */
static void
note_key(struct kmn_heal *heal, const struct kmn_desk *desk, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle)
{
	struct key key = {.handle = handle, .slot = desk->slot, .era = desk->link->era};

	if (kmn_identity_ask(desk, session, handle, &key.who) != KMN_OK)
		return;
	kmn_debug(KMN_TOPIC_HEAL, "key %lu: %s", handle, key.who.proven ? "known" : "cannot be told from others");
	(void)pthread_mutex_lock(&heal->lock);
	if (key_of(heal, handle) == NULL)
		key_add(heal, &key);
	(void)pthread_mutex_unlock(&heal->lock);
}

/* Keys of a successful call that are not known yet; the lock is taken. */
static size_t
unknown_keys(struct kmn_heal *heal, const struct kmn_call_view *call, CK_OBJECT_HANDLE out[HANDLES_MAX])
{
	CK_OBJECT_HANDLE named[HANDLES_MAX];
	size_t n = 0;

	for (size_t i = 0, count = objects_of(call, true, named); i < count; i++) {
		if (named[i] != CK_INVALID_HANDLE && key_of(heal, named[i]) == NULL)
			out[n++] = named[i];
	}
	return n;
}

static void
note_success(struct kmn_heal *heal, struct kmn_link *link, const struct kmn_call_view *call, const struct kmn_arg *arg,
    struct session *session)
{
	if (call->id == KMN_C_CloseSession && session != NULL)
		session_remove(heal, session);
	else if (call->id == KMN_C_SetPIN)
		note_pin(heal, call, session);
	else if (call->id == KMN_C_DestroyObject || call->id == KMN_C_SetAttributeValue)
		key_forget(heal, (CK_OBJECT_HANDLE)call->value[1].number);
	else
		note_session(heal, link, call, arg, session);
}

void
kmn_heal_note(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link,
    const struct kmn_call_view *call, const struct kmn_arg *arg, CK_RV rv)
{
	CK_OBJECT_HANDLE key[HANDLES_MAX];
	struct session *session, copy = {0};
	size_t keys = 0;
	uint64_t handle = 0;

	(void)pthread_mutex_lock(&heal->lock);
	session = kmn_view_session(call, &handle) ? session_of(heal, (CK_SESSION_HANDLE)handle) : NULL;
	if (session != NULL)
		copy = *session;
	if (rv == CKR_OK && session != NULL)
		keys = unknown_keys(heal, call, key);
	if (rv == CKR_OK)
		note_success(heal, link, call, arg, session);
	else if ((rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED) && session != NULL &&
		 session->era == link->era)
		session_remove(heal, session); /* it died at the module, as it would have without us */
	(void)pthread_mutex_unlock(&heal->lock);
	for (size_t i = 0; i < keys; i++)
		note_key(heal, &(struct kmn_desk){app, link, copy.slot, copy.flags}, copy.handle, key[i]);
}

void
kmn_heal_searches(struct kmn_heal *heal, CK_SESSION_HANDLE handle, const CK_ATTRIBUTE *row, CK_ULONG rows)
{
	struct session *session;
	CK_OBJECT_CLASS class = CKO_DATA;

	for (CK_ULONG i = 0; i < rows; i++) {
		if (row[i].type == CKA_CLASS && row[i].pValue != NULL && row[i].ulValueLen == sizeof(class))
			memcpy(&class, row[i].pValue, sizeof(class));
	}
	(void)pthread_mutex_lock(&heal->lock);
	if ((session = session_of(heal, handle)) != NULL)
		session->searches_keys = class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
	(void)pthread_mutex_unlock(&heal->lock);
}

void
kmn_heal_found(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link, CK_SESSION_HANDLE handle,
    const CK_OBJECT_HANDLE *found, CK_ULONG count)
{
	CK_OBJECT_HANDLE key[HANDLES_MAX];
	const struct session *session;
	struct session copy = {0};
	size_t keys = 0;

	(void)pthread_mutex_lock(&heal->lock);
	if ((session = session_of(heal, handle)) != NULL && session->searches_keys) {
		copy = *session;
		for (CK_ULONG i = 0; i < count && keys < HANDLES_MAX; i++)
			if (key_of(heal, found[i]) == NULL)
				key[keys++] = found[i];
	}
	(void)pthread_mutex_unlock(&heal->lock);
	for (size_t i = 0; i < keys; i++)
		note_key(heal, &(struct kmn_desk){app, link, copy.slot, copy.flags}, handle, key[i]);
}

void
kmn_heal_forget(struct kmn_heal *heal, const struct kmn_call_view *call)
{
	struct session *session;

	(void)pthread_mutex_lock(&heal->lock);
	if (call->id == KMN_C_CloseAllSessions)
		session_remove_all(heal, (CK_SLOT_ID)call->value[0].number);
	else if (call->id == KMN_C_CloseSession &&
		 (session = session_of(heal, (CK_SESSION_HANDLE)call->value[0].number)) != NULL)
		session_remove(heal, session);
	(void)pthread_mutex_unlock(&heal->lock);
}
