#include "config.h"

#include "provider/application.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "provider/debug.h"

enum phase { NONE, STARTING, RUNNING, ENDING };

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static bool is_prepared; /* written by prepare() and forget_parent() */

/* Of which process the rest is; read before the lock is taken, which in a child may be held by nobody. */
static _Atomic pid_t owner;                              /* 0: of none */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what is below */
static pthread_cond_t changed;                           /* phase or calls, made by prepare() */
static enum phase phase;
static struct kmn_application *application; /* NULL in phase NONE */
static struct kmn_application *forgotten;   /* kept reachable, never touched again */
static unsigned calls;                      /* inside */

/* ---- fork -------------------------------------------------------------------------------------------------------- */

/* In the child, which has one thread: no lock that was copied may be taken, so they are made anew. */
static void
forget_parent(void)
{
	struct kmn_application *app = application;

	(void)pthread_mutex_init(&lock, NULL);
	is_prepared = kmn_cond_init(&changed) == KMN_OK;
	kmn_client_settings_after_fork();
	atomic_store(&owner, 0);
	application = NULL;
	phase = NONE;
	calls = 0;
	if (app == NULL)
		return;
	if (app->pool != NULL)
		kmn_pool_abandon(app->pool);
	kmn_wake_clear(&app->ending);
	kmn_wake_clear(&app->quitting);
	app->forgotten = forgotten;
	forgotten = app;
}

static void
prepare(void)
{
	/* glibc takes the hook away again when the library is unloaded */
	is_prepared = kmn_cond_init(&changed) == KMN_OK && pthread_atfork(NULL, NULL, forget_parent) == 0;
}

/* Takes the lock, of this process and not of a parent. */
static bool
lock_own(void)
{
	pid_t whose = atomic_load(&owner);

	(void)pthread_once(&prepared, prepare);
	if (!is_prepared)
		return false;
	if (whose != 0 && whose != getpid()) /* _Fork(), clone(): the hook did not run */
		forget_parent();
	(void)pthread_mutex_lock(&lock);
	return true;
}

static void
unlock(void)
{
	(void)pthread_mutex_unlock(&lock);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

struct kmn_application *
kmn_application_enter(void)
{
	struct kmn_application *app = NULL;

	if (!lock_own())
		return NULL;
	if (phase == RUNNING) {
		app = application;
		calls++;
	}
	unlock();
	return app;
}

void
kmn_application_leave(struct kmn_application *app)
{
	(void)pthread_mutex_lock(&lock);
	if (app == application && --calls == 0 && phase == ENDING)
		(void)pthread_cond_broadcast(&changed);
	unlock();
}

void
kmn_application_wait_for_end(const struct kmn_application *app)
{
	(void)pthread_mutex_lock(&lock);
	while (app == application && phase == RUNNING)
		(void)pthread_cond_wait(&changed, &lock);
	unlock();
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

static void
application_free(struct kmn_application *app)
{
	if (app == NULL)
		return;
	if (app->pool != NULL)
		kmn_flights_clear(&app->flights, app->pool);
	kmn_pool_free(app->pool);
	kmn_client_settings_free(app->settings);
	kmn_wake_clear(&app->ending);
	kmn_wake_clear(&app->quitting);
	kmn_sessions_clear(&app->sessions);
	(void)pthread_mutex_destroy(&app->slots_lock);
	free(app);
}

static kmn_err
application_new(const char *profile, struct kmn_application **app_out)
{
	struct kmn_application *app = calloc(1, sizeof(*app));
	char why[KMN_CLIENT_WHY_BYTES];
	kmn_err e = KMN_E_NO_MEMORY;

	*app_out = NULL;
	if (app == NULL)
		return e;
	app->ending = app->quitting = (struct kmn_wake){.fd = {-1, -1}};
	(void)pthread_mutex_init(&app->slots_lock, NULL);
	kmn_sessions_init(&app->sessions);
	if ((e = kmn_client_settings_load(NULL, profile, why, &app->settings)) != KMN_OK) {
		kmn_debug(KMN_TOPIC_CONFIG, "%s", why);
		goto done;
	}
	kmn_debug(KMN_TOPIC_CONFIG, "read %s", app->settings->path);
	if ((e = kmn_wake_init(&app->ending)) != KMN_OK || (e = kmn_wake_init(&app->quitting)) != KMN_OK ||
	    (e = kmn_flights_init(&app->flights)) != KMN_OK ||
	    (e = kmn_pool_new(app->settings, &app->ending, &app->pool)) != KMN_OK)
		goto done;
	*app_out = app;
	app = NULL;
done:
	application_free(app);
	return e;
}

/* Waits out another thread's C_Initialize; true when it is this thread's turn to start. */
static bool
begin_start(void)
{
	bool mine;

	while (phase == STARTING || phase == ENDING)
		(void)pthread_cond_wait(&changed, &lock);
	mine = phase == NONE;
	if (mine) {
		phase = STARTING;
		atomic_store(&owner, getpid());
	}
	return mine;
}

/* The application is known to forget_parent() before it has its first descriptor at work. */
static void
set(struct kmn_application *app, enum phase next)
{
	(void)pthread_mutex_lock(&lock);
	application = app;
	phase = next;
	(void)pthread_cond_broadcast(&changed);
	unlock();
}

CK_RV
kmn_application_start(const char *profile)
{
	struct kmn_application *app;
	bool mine;
	kmn_err e;

	if (!lock_own())
		return CKR_HOST_MEMORY;
	mine = begin_start();
	unlock();
	if (!mine)
		return CKR_CRYPTOKI_ALREADY_INITIALIZED;
	kmn_debug_init();
	if ((e = application_new(profile, &app)) == KMN_OK) {
		set(app, STARTING);
		e = kmn_pool_attach(app->pool);
	}
	if (e != KMN_OK) {
		kmn_debug(KMN_TOPIC_CONFIG, "C_Initialize: %s", kmn_err_text(e));
		set(NULL, NONE);
		application_free(app);
		return e == KMN_E_NO_MEMORY || e == KMN_E_ARGUMENTS ? kmn_err_ckr(e) : CKR_FUNCTION_FAILED;
	}
	set(app, RUNNING);
	return CKR_OK;
}

/* ---- finish ------------------------------------------------------------------------------------------------------ */

/* No call may enter any more; those inside are told, and waited for. */
static void
drain(struct kmn_application *app)
{
	uint64_t patience_ms = kmn_now_ms() + KMN_GRACE_MS;

	kmn_wake_raise(&app->ending);
	kmn_flights_end(&app->flights);
	kmn_pool_end(app->pool);
	(void)pthread_mutex_lock(&lock);
	while (calls > 0 && kmn_now_ms() < patience_ms)
		kmn_cond_wait_until(&changed, &lock, patience_ms);
	if (calls > 0)
		kmn_wake_raise(&app->quitting);
	while (calls > 0)
		(void)pthread_cond_wait(&changed, &lock);
	unlock();
}

CK_RV
kmn_application_finish(void)
{
	struct kmn_application *app = NULL;

	if (!lock_own())
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (phase == RUNNING) {
		app = application;
		phase = ENDING;
		(void)pthread_cond_broadcast(&changed);
	}
	unlock();
	if (app == NULL)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	drain(app);
	kmn_pool_detach(app->pool);
	set(NULL, NONE);
	application_free(app);
	return CKR_OK;
}
