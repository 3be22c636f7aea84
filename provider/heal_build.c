/* Before a call: what it names and a link before this one had is built up, by one thread at a time, without the lock. */
#include "config.h"

#include "provider/heal_parts.h"

#include "provider/debug.h"

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
build_session(const struct builder *b, const struct kmn_heal_session *old, bool *ok_out)
{
	CK_SESSION_HANDLE fresh = 0;
	struct kmn_arg arg[] = {{.u = old->slot}, {.u = old->flags}, {0}, {.p = &fresh}};
	struct kmn_heal_session *now;
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
	if ((now = kmn_heal_session_of(b->heal, old->handle)) != NULL)
		now->era = b->link->era;
	(void)pthread_mutex_unlock(&b->heal->lock);
	kmn_debug(KMN_TOPIC_HEAL, "session %lu is built up", old->handle);
	*ok_out = true;
	return KMN_OK;
}

/* Logs in again. Whatever refuses the PIN, it is not tried again. */
static kmn_err
build_login(const struct builder *b, CK_SESSION_HANDLE session, const struct kmn_heal_login *old)
{
	struct kmn_arg arg[] = {{.u = session}, {.u = old->type}, {.p = old->pin.bytes, .u = old->pin.len},
	    {.p = old->user.bytes, .u = old->user.len}};
	struct kmn_heal_login *now;
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e = kmn_call_on(b->app, b->link, old->by, arg, kmn_call_row(old->by)->param_count, &rv);

	if (e != KMN_OK)
		return e;
	kmn_debug(KMN_TOPIC_HEAL, "slot %lu: %s: 0x%lx", old->slot, kmn_call_row(old->by)->name, rv);
	(void)pthread_mutex_lock(&b->heal->lock);
	if ((now = kmn_heal_login_of(b->heal, old->slot)) != NULL) {
		if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
			now->era = b->link->era;
		else
			kmn_heal_login_clear(now);
	}
	(void)pthread_mutex_unlock(&b->heal->lock);
	return KMN_OK;
}

/* Finds the key again and gives it its old handle, or forgets it. */
static kmn_err
build_key(const struct builder *b, CK_FLAGS flags, const struct kmn_heal_key *old)
{
	struct kmn_desk desk = {b->app, b->link, old->slot, flags};
	CK_OBJECT_HANDLE fresh;
	struct kmn_heal_key *now;
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
		kmn_heal_key_forget(b->heal, old->handle);
	else if ((now = kmn_heal_key_of(b->heal, old->handle)) != NULL)
		now->era = b->link->era;
	(void)pthread_mutex_unlock(&b->heal->lock);
	return KMN_OK;
}

/* What is to be built up next for a call. */
enum due { NOTHING, SESSION, LOGIN, KEY, GONE };

struct task {
	enum due due;
	struct kmn_heal_session session;
	struct kmn_heal_login login; /* with a PIN of its own */
	struct kmn_heal_key key;
};

/* Looks for the next task; the lock is taken. */
static void
look(struct kmn_heal *heal, uint32_t era, const struct kmn_call_view *call, struct task *task)
{
	const struct kmn_heal_session *session;
	const struct kmn_heal_login *login;
	CK_OBJECT_HANDLE object[KMN_HEAL_HANDLES_MAX];
	uint64_t handle;

	task->due = NOTHING;
	if (!kmn_view_session(call, &handle) ||
	    (session = kmn_heal_session_of(heal, (CK_SESSION_HANDLE)handle)) == NULL)
		return;
	task->session = *session;
	if (session->era != era)
		task->due = kmn_heal_may_build(heal, era) && call->id != KMN_C_CloseSession ? SESSION : GONE;
	if (session->era != era || !kmn_heal_may_build(heal, era))
		return;
	login = kmn_heal_login_of(heal, session->slot);
	if (login != NULL && login->era != era) {
		task->due = kmn_heal_login_copy(login, &task->login) ? LOGIN : NOTHING;
		return;
	}
	for (size_t i = 0, n = kmn_heal_objects_of(call, false, object); i < n; i++) {
		const struct kmn_heal_key *key = kmn_heal_key_of(heal, object[i]);

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
		kmn_heal_login_clear(&task->login);
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
				kmn_heal_login_clear(&task.login);
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
