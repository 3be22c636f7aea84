/* The asynchronous sessions there are: one thread at a time is in each. */
#include "config.h"

#include "provider/async_parts.h"

#include <stdlib.h>

#include "provider/application.h"
#include "provider/debug.h"

void
kmn_pending_free(struct kmn_pending *p)
{
	if (p != NULL)
		kmn_parked_free(p->parked);
	free(p);
}

static void
session_free(struct kmn_async_session *s)
{
	kmn_pending_free(s->pending);
	kmn_steps_clear(s);
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

void
kmn_async_free(struct kmn_async *async)
{
	if (async == NULL)
		return;
	for (struct kmn_async_session *s = async->sessions, *next; s != NULL; s = next) {
		next = s->next;
		session_free(s);
	}
	kmn_async_drop_all(async);
	kmn_heads_free(async->heads);
	(void)pthread_cond_destroy(&async->idle);
	(void)pthread_mutex_destroy(&async->lock);
	free(async);
}

/* The lock is taken. */
static struct kmn_async_session *
find(struct kmn_async *async, CK_SESSION_HANDLE handle)
{
	struct kmn_async_session *s = async->sessions;

	while (s != NULL && s->handle != handle)
		s = s->next;
	return s;
}

struct kmn_async_session *
kmn_async_take(struct kmn_async *async, CK_SESSION_HANDLE handle, bool waits, bool *busy_out)
{
	struct kmn_async_session *s;

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

void
kmn_async_put(struct kmn_async *async, struct kmn_async_session *s)
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

void
kmn_async_forget(struct kmn_async *async, struct kmn_async_session *gone)
{
	struct kmn_async_session **at = &async->sessions;

	(void)pthread_mutex_lock(&async->lock);
	while (*at != NULL && *at != gone)
		at = &(*at)->next;
	if (*at != NULL) {
		*at = gone->next;
		atomic_fetch_sub(&async->count, 1);
	}
	gone->closed = true;
	(void)pthread_mutex_unlock(&async->lock);
}

bool
kmn_async_has(struct kmn_async *async, CK_SESSION_HANDLE handle)
{
	bool ours;

	if (atomic_load(&async->count) == 0)
		return false;
	(void)pthread_mutex_lock(&async->lock);
	ours = find(async, handle) != NULL;
	(void)pthread_mutex_unlock(&async->lock);
	return ours;
}

CK_SESSION_HANDLE
kmn_async_any(struct kmn_async *async, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE handle = 0;

	(void)pthread_mutex_lock(&async->lock);
	for (const struct kmn_async_session *s = async->sessions; s != NULL && handle == 0; s = s->next)
		if (s->slot == slot && !s->closed)
			handle = s->handle;
	(void)pthread_mutex_unlock(&async->lock);
	return handle;
}

CK_RV
kmn_async_open(struct kmn_async *async, struct kmn_application *app, struct kmn_arg *arg)
{
	CK_TOKEN_INFO info;
	struct kmn_arg ask[] = {{.u = arg[0].u}, {.p = &info}};
	struct kmn_async_session *s;
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
