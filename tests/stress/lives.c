/* Modules that are loaded and unloaded, initialised and finalised, also while threads call. */
#include "config.h"

#include "tests/stress/stress.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kanmon/base.h"
#include "tests/stress/app.h"

#define THREADS_MAX 64

static unsigned
entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		(void)closedir(dir);
	return n;
}

static bool
works(struct app *a)
{
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	CK_ULONG len;

	return app_open(a, &session) && app_login(a, session) &&
	       app_holds(app_count(a, session, CKO_PRIVATE_KEY, KEY_LABEL, &key) == 1, "the key is not found") &&
	       app_is(app_sign(a, session, key, "again", signature, &len), CKR_OK, "C_Sign");
}

/* One life; some begin twice in it, some leave their sessions open. */
static bool
life(unsigned long n)
{
	struct app a;
	bool well = app_load(&a);

	for (unsigned long again = 0; well && again <= n % 2; again++)
		well = app_begin(&a) && (n % 3 == 2 || works(&a)) &&
		       app_is(a.p11->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED, "a second C_Initialize") &&
		       app_end(&a) &&
		       app_is(a.p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED, "a second C_Finalize");
	app_unload(&a);
	return well;
}

void
stress_lives(const unsigned long *arg)
{
	unsigned fds, tasks;
	unsigned long n = 0;

	(void)life(1); /* what a library makes once per process is there now */
	fds = entries("/proc/self/fd");
	tasks = entries("/proc/self/task");
	while (n < arg[0] && life(n))
		n++;
	(void)app_holds(entries("/proc/self/fd") == fds, "a file is left open");
	(void)app_holds(entries("/proc/self/task") == tasks, "a thread is left");
	printf("%lu lives, %lu went well\n", arg[0], n);
}

/* ---- C_Finalize while threads call ------------------------------------------------------------------------------ */

struct caller {
	struct app *app;
	pthread_t id;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	atomic_ulong *calls;
};

static void *
call_on(void *p)
{
	struct caller *c = p;
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	CK_SESSION_INFO info;
	CK_ULONG len;
	CK_RV rv;

	do {
		rv = app_sign(c->app, c->session, c->key, "until the end", signature, &len);
		if (rv == CKR_OK)
			rv = c->app->p11->C_GetSessionInfo(c->session, &info);
		atomic_fetch_add(c->calls, 1);
	} while (rv == CKR_OK);
	(void)app_is(rv, CKR_CRYPTOKI_NOT_INITIALIZED, "a call when C_Finalize came");
	return NULL;
}

static bool
prepare(struct app *a, struct caller *caller, unsigned long count)
{
	CK_SESSION_HANDLE first;

	if (!app_begin(a) || !app_open(a, &first) || !app_login(a, first))
		return false;
	for (unsigned long i = 0; i < count; i++) {
		caller[i].app = a;
		if (!app_open(a, &caller[i].session) ||
		    !app_holds(app_count(a, first, CKO_PRIVATE_KEY, KEY_LABEL, &caller[i].key) == 1, "no key"))
			return false;
	}
	return true;
}

static bool
final(struct app *a, struct caller *caller, unsigned long count, unsigned long round)
{
	struct timespec pause = {0, (long)(round % 20 + 1) * 3000000};
	CK_SESSION_INFO info;
	unsigned long started = 0;

	if (!prepare(a, caller, count))
		return false;
	while (started < count && pthread_create(&caller[started].id, NULL, call_on, &caller[started]) == 0)
		started++;
	(void)nanosleep(&pause, NULL);
	(void)app_end(a);
	for (unsigned long i = 0; i < started; i++)
		(void)pthread_join(caller[i].id, NULL);
	/* Handles of the life before mean nothing in the next. */
	if (!app_begin(a))
		return false;
	(void)app_is(a->p11->C_GetSessionInfo(caller[0].session, &info), CKR_SESSION_HANDLE_INVALID,
	    "a session of the life before");
	return app_end(a) && app_failures() == 0;
}

void
stress_finals(const unsigned long *arg)
{
	struct caller caller[THREADS_MAX];
	atomic_ulong calls = 0;
	unsigned long n = 0;
	struct app a;

	for (size_t i = 0; i < THREADS_MAX; i++)
		caller[i].calls = &calls;
	if (!app_load(&a))
		return;
	while (n < arg[0] && final(&a, caller, arg[1] < THREADS_MAX ? arg[1] : THREADS_MAX, n))
		n++;
	app_unload(&a);
	(void)app_holds(calls > n, "nobody could call");
	printf("%lu times finalised in the midst of calls, %lu went well\n", arg[0], n);
}
