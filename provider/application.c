#include "config.h"

#include "provider/application.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/types.h"
#include "provider/async.h"
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
static struct kmn_application *parent;      /* one of these, whose state this process inherits when it first asks */
static unsigned calls;                      /* inside */

/* ---- fork -------------------------------------------------------------------------------------------------------- */

/*
 * With fork=inherit what the child goes on with must be whole, so these locks
 * are taken around the fork. All are held only for moments, and nothing is
 * called meanwhile that could fork. Without it nobody waits.
 */
static atomic_bool inheriting;
static _Thread_local bool is_whole; /* the locks are this thread's, which forks */

static void
before_fork(void)
{
	if (!atomic_load(&inheriting))
		return;
	(void)pthread_mutex_lock(&lock);
	is_whole = true;
	if (application != NULL) {
		kmn_heal_lock(application->heal);
		kmn_receipts_lock(application->receipts);
	}
}

static void
after_fork_in_parent(void)
{
	if (!is_whole)
		return;
	if (application != NULL) {
		kmn_receipts_unlock(application->receipts);
		kmn_heal_unlock(application->heal);
	}
	is_whole = false;
	(void)pthread_mutex_unlock(&lock);
}

/* In the child, which has one thread: no lock that was copied may be taken, so they are made anew. */
static void
forget_parent(void)
{
	struct kmn_application *app = application;
	bool inherits = is_whole && phase == RUNNING;

	if (is_whole && app != NULL) {
		kmn_receipts_unlock(app->receipts);
		kmn_heal_unlock(app->heal);
	}
	(void)pthread_mutex_init(&lock, NULL);
	is_prepared = kmn_cond_init(&changed) == KMN_OK;
	kmn_client_settings_after_fork();
	atomic_store(&owner, 0);
	application = NULL;
	phase = NONE;
	calls = 0;
	is_whole = false;
	if (app == NULL)
		return;
	kmn_links_abandon(&app->links);
	kmn_receipts_abandon(app->receipts);
	kmn_types_drop(app->types);
	kmn_wake_clear(&app->ending);
	kmn_wake_clear(&app->quitting);
	app->forgotten = forgotten;
	forgotten = app;
	parent = inherits ? app : NULL;
	if (!inherits)
		kmn_heal_wipe(app->heal);
}

static void
prepare(void)
{
	/* glibc takes the hook away again when the library is unloaded */
	is_prepared =
	    kmn_cond_init(&changed) == KMN_OK && pthread_atfork(before_fork, after_fork_in_parent, forget_parent) == 0;
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

/* ---- start ------------------------------------------------------------------------------------------------------- */

static void
application_free(struct kmn_application *app)
{
	if (app == NULL)
		return;
	kmn_async_free(app->async);
	kmn_links_clear(&app->links);
	kmn_heal_free(app->heal);
	kmn_receipts_free(app->receipts);
	kmn_channel_identity_free(app->identity);
	kmn_client_settings_free(app->settings);
	kmn_types_drop(app->types);
	kmn_types_free(app->types);
	kmn_wake_clear(&app->ending);
	kmn_wake_clear(&app->quitting);
	kmn_sessions_clear(&app->sessions);
	kmn_cache_free(app->cache);
	(void)pthread_mutex_destroy(&app->slots_lock);
	free(app);
}

kmn_err
kmn_identity_load(const struct kmn_client_settings *settings, struct kmn_channel_identity **identity_out)
{
	struct kmn_channel_settings c = {
	    .certificate_path = settings->certificate,
	    .key_path = settings->key,
	    .certificate_pem = settings->certificate_pem,
	    .key_pem = settings->key_pem,
	    .gateways = (const char *const *)settings->gateways,
	    .gateway_count = settings->gateway_count,
	};
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	kmn_err e;

	memcpy(c.gateway_spki_sha256, settings->gateway_spki, sizeof(c.gateway_spki_sha256));
	if ((e = kmn_channel_identity_load(&c, why, identity_out)) != KMN_OK)
		kmn_debug(KMN_TOPIC_CONFIG, "%s: %s", kmn_err_text(e), why);
	return e;
}

/* What the settings say of a vendor's mechanisms and attributes. */
static kmn_err
load_types(struct kmn_application *app)
{
	char why[KMN_TYPES_WHY_BYTES];
	kmn_err e;

	if (app->settings->types == NULL)
		return KMN_OK;
	if ((e = kmn_types_load(app->settings->types, why, &app->types)) != KMN_OK)
		kmn_debug(KMN_TOPIC_CONFIG, "types: %s", why);
	else if (!kmn_types_use(app->types))
		e = KMN_E_LIMIT;
	return e;
}

/* An application with these settings, which it takes in any case; not attached yet. */
static kmn_err
application_new(struct kmn_client_settings *settings, struct kmn_application **app_out)
{
	struct kmn_application *app = calloc(1, sizeof(*app));
	struct kmn_pool_parts parts;
	kmn_err e = KMN_E_NO_MEMORY;

	*app_out = NULL;
	if (app == NULL) {
		kmn_client_settings_free(settings);
		return e;
	}
	app->settings = settings;
	app->ending = app->quitting = (struct kmn_wake){.fd = {-1, -1}};
	(void)pthread_mutex_init(&app->slots_lock, NULL);
	kmn_sessions_init(&app->sessions);
	if ((e = kmn_wake_init(&app->ending)) != KMN_OK || (e = kmn_wake_init(&app->quitting)) != KMN_OK ||
	    (e = load_types(app)) != KMN_OK || (e = kmn_identity_load(app->settings, &app->identity)) != KMN_OK ||
	    (e = kmn_cache_new(app->settings->savings, &app->cache)) != KMN_OK ||
	    (e = kmn_async_new(app->settings, &app->async)) != KMN_OK ||
	    (e = kmn_receipts_new(app->settings, &app->receipts)) != KMN_OK)
		goto done;
	parts = (struct kmn_pool_parts){
	    .settings = app->settings, .identity = app->identity, .receipts = app->receipts, .ending = &app->ending};
	if ((e = kmn_links_init(&app->links, &parts)) != KMN_OK)
		goto done;
	*app_out = app;
	app = NULL;
done:
	application_free(app);
	return e;
}

static kmn_err
application_load(const char *profile, struct kmn_application **app_out)
{
	struct kmn_client_settings *settings;
	char why[KMN_CLIENT_WHY_BYTES];
	kmn_err e;

	*app_out = NULL;
	if ((e = kmn_client_settings_load(NULL, profile, why, &settings)) != KMN_OK) {
		kmn_debug(KMN_TOPIC_CONFIG, "%s", why);
		return e;
	}
	kmn_debug(KMN_TOPIC_CONFIG, "read %s", settings->path);
	if ((e = application_new(settings, app_out)) != KMN_OK)
		return e;
	if ((settings->heal == KMN_CLIENT_HEAL_ON || settings->fork == KMN_CLIENT_FORK_INHERIT) &&
	    (e = kmn_heal_new(settings->heal == KMN_CLIENT_HEAL_ON, &(*app_out)->heal)) != KMN_OK) {
		application_free(*app_out);
		*app_out = NULL;
	}
	return e;
}

/* Waits out another thread's C_Initialize; true when it is this thread's turn to start. */
static bool
begin_start(void)
{
	bool mine;

	while (phase == STARTING || phase == ENDING)
		(void)pthread_cond_wait(&changed, &lock);
	mine = phase == NONE && parent == NULL;
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
	atomic_store(&inheriting, app != NULL && app->settings->fork == KMN_CLIENT_FORK_INHERIT);
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
	if ((e = application_load(profile, &app)) == KMN_OK) {
		set(app, STARTING);
		e = kmn_links_renew(&app->links, NULL);
	}
	if (e != KMN_OK) {
		kmn_debug(KMN_TOPIC_CONFIG, "C_Initialize: %s", kmn_err_text(e));
		set(NULL, NONE);
		application_free(app);
		return e == KMN_E_NO_MEMORY || e == KMN_E_ARGUMENTS || e == KMN_E_RECEIPT ? kmn_err_ckr(e)
											  : CKR_FUNCTION_FAILED;
	}
	set(app, RUNNING);
	return CKR_OK;
}

/* ---- fork=inherit ------------------------------------------------------------------------------------------------ */

/* The parent's settings and state, and everything else made anew; attached when the first call asks for it. */
static kmn_err
application_inherit(struct kmn_application *from, struct kmn_application **app_out)
{
	struct kmn_client_settings *settings = from->settings;
	kmn_err e;

	from->settings = NULL;
	if ((e = application_new(settings, app_out)) != KMN_OK) {
		kmn_heal_wipe(from->heal);
		return e;
	}
	kmn_links_inherit(&(*app_out)->links, &from->links);
	kmn_receipts_inherit((*app_out)->receipts, from->receipts);
	(*app_out)->heal = from->heal;
	from->heal = NULL;
	kmn_heal_after_fork((*app_out)->heal, (*app_out)->links.era + 1);
	return KMN_OK;
}

/* The first call of a child. The lock is taken, and is again at the end. */
static void
inherit(void)
{
	struct kmn_application *app;
	kmn_err e;

	while (phase == STARTING || phase == ENDING)
		(void)pthread_cond_wait(&changed, &lock);
	if (phase != NONE || parent == NULL)
		return;
	phase = STARTING;
	atomic_store(&owner, getpid());
	unlock();
	e = application_inherit(parent, &app);
	if (e != KMN_OK)
		kmn_debug(KMN_TOPIC_CONFIG, "the parent's state cannot be inherited: %s", kmn_err_text(e));
	parent = NULL; /* there is one attempt: a child that may not read the key is told to C_Initialize */
	set(app, e == KMN_OK ? RUNNING : NONE);
	(void)pthread_mutex_lock(&lock);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

struct kmn_application *
kmn_application_enter(void)
{
	struct kmn_application *app = NULL;

	if (!lock_own())
		return NULL;
	if (phase != RUNNING && parent != NULL)
		inherit();
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

bool
kmn_visit_begin(struct kmn_visit *visit)
{
	kmn_host_errors_take(&visit->errors);
	if ((visit->app = kmn_application_enter()) == NULL)
		kmn_host_errors_return(&visit->errors);
	return visit->app != NULL;
}

void
kmn_visit_end(struct kmn_visit *visit)
{
	kmn_host_errors_return(&visit->errors);
	kmn_application_leave(visit->app);
}

/* ---- finish ------------------------------------------------------------------------------------------------------ */

/* No call may enter any more; those inside are told, and waited for. */
static void
drain(struct kmn_application *app)
{
	uint64_t patience_ms = kmn_now_ms() + KMN_GRACE_MS;

	kmn_wake_raise(&app->ending);
	kmn_links_end(&app->links);
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
	CK_RV rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	kmn_err e;

	if (!lock_own())
		return rv;
	if (phase == RUNNING) {
		app = application;
		phase = ENDING;
		(void)pthread_cond_broadcast(&changed);
	} else if (phase == NONE && parent != NULL) { /* inherited, and never used */
		kmn_heal_wipe(parent->heal);
		parent = NULL;
		rv = CKR_OK;
	}
	unlock();
	if (app == NULL)
		return rv;
	drain(app);
	e = kmn_links_detach(&app->links);
	set(NULL, NONE);
	application_free(app);
	return e == KMN_E_RECEIPT ? kmn_err_ckr(e) : CKR_OK;
}
