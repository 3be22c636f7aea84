/*
 * Children of a process that has a session and a thread that signs: each begins on its own, and its parent does not
 * notice.
 */
#include "config.h"

#include "tests/stress/stress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/stress/app.h"

struct parent {
	struct app app;
	void (*child)(struct parent *parent, unsigned long n); /* never returns */
	CK_SESSION_HANDLE session, other;                      /* of the main thread, of the thread that signs */
	CK_OBJECT_HANDLE key;
	EVP_PKEY *verifier;
	atomic_bool stop;
	unsigned long signatures;
};

static bool
signs(struct app *a, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, EVP_PKEY *verifier, unsigned long n)
{
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	CK_ULONG len;
	char text[64];

	snprintf(text, sizeof(text), "process %ld, number %lu", (long)getpid(), n);
	return app_is(app_sign(a, session, key, text, signature, &len), CKR_OK, "C_Sign") &&
	       app_verifies(verifier, text, signature, len);
}

static void *
sign_on(void *p)
{
	struct parent *parent = p;

	while (!atomic_load(&parent->stop) &&
	       signs(&parent->app, parent->other, parent->key, parent->verifier, parent->signatures))
		parent->signatures++;
	return NULL;
}

static bool
begins_anew(struct parent *parent)
{
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;

	return app_begin(&parent->app) && app_open(&parent->app, &session) &&
	       app_holds(app_state(&parent->app, session) == CKS_RW_PUBLIC_SESSION, "a child has its parent's login") &&
	       app_login(&parent->app, session) &&
	       app_holds(
		   app_count(&parent->app, session, CKO_PRIVATE_KEY, KEY_LABEL, &key) == 1, "no key in a child") &&
	       signs(&parent->app, session, key, parent->verifier, 0);
}

/* What one of a few kinds of children does; the number is its kind. */
static void
child_begins(struct parent *parent, unsigned long n)
{
	CK_INFO info;

	if (n % 7 == 6) /* uses nothing */
		_exit(0);
	(void)app_is(parent->app.p11->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED, "C_GetInfo in a child");
	if (n % 3 == 2)
		(void)app_is(parent->app.p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED, "C_Finalize in a child");
	if (begins_anew(parent) && n % 5 != 4) /* every fifth dies without C_Finalize */
		(void)app_end(&parent->app);
	_exit(app_failures() == 0 ? 0 : 1);
}

/* With fork = inherit: its parent's handles are its own, for as long as it likes. */
static void
child_inherits(struct parent *parent, unsigned long n)
{
	CK_SESSION_HANDLE more;

	if (n % 7 == 6) /* uses nothing */
		_exit(0);
	(void)app_holds(
	    app_state(&parent->app, parent->session) == CKS_RW_USER_FUNCTIONS, "a child has not its parent's login");
	for (unsigned long i = 0; i <= n % 3; i++)
		(void)signs(&parent->app, parent->session, parent->key, parent->verifier, i);
	if (app_open(&parent->app, &more))
		(void)signs(&parent->app, more, parent->key, parent->verifier, n);
	if (n % 2 == 0)
		(void)app_is(parent->app.p11->C_CloseSession(parent->session), CKR_OK, "C_CloseSession in a child");
	if (n % 5 != 4)
		(void)app_end(&parent->app);
	_exit(app_failures() == 0 ? 0 : 1);
}

static void
await(unsigned long *running, unsigned long *well)
{
	int status;

	if (!app_holds(wait(&status) > 0, "wait"))
		return;
	--*running;
	if (app_holds(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child failed"))
		++*well;
}

static unsigned long
fork_all(struct parent *parent, unsigned long count, unsigned long at_once)
{
	unsigned long running = 0, well = 0;

	for (unsigned long n = 0; n < count && app_failures() == 0; n++) {
		pid_t pid = fork();

		if (pid == 0)
			parent->child(parent, n);
		if (!app_holds(pid > 0, "fork"))
			break;
		running++;
		if (n % 10 == 0)
			(void)signs(&parent->app, parent->session, parent->key, parent->verifier, n);
		while (running >= (at_once > 0 ? at_once : 1))
			await(&running, &well);
	}
	while (running > 0)
		await(&running, &well);
	return well;
}

static bool
begin(struct parent *parent)
{
	return app_begin(&parent->app) && app_open(&parent->app, &parent->session) &&
	       app_open(&parent->app, &parent->other) && app_login(&parent->app, parent->session) &&
	       app_holds(app_count(&parent->app, parent->session, CKO_PRIVATE_KEY, KEY_LABEL, &parent->key) == 1,
		   "the key is not found") &&
	       (parent->verifier = app_public_key(&parent->app, parent->session)) != NULL;
}

static void
run(const unsigned long *arg, void (*child)(struct parent *parent, unsigned long n))
{
	struct parent parent = {.child = child, .verifier = NULL};
	unsigned long well = 0;
	pthread_t thread;

	(void)fflush(NULL);
	if (!app_load(&parent.app))
		return;
	if (begin(&parent)) {
		bool beside = arg[1] > 0 && app_holds(pthread_create(&thread, NULL, sign_on, &parent) == 0,
						"a thread cannot be started");

		well = fork_all(&parent, arg[0], arg[1]);
		atomic_store(&parent.stop, true);
		if (beside) {
			(void)pthread_join(thread, NULL);
			(void)app_holds(parent.signatures > 0, "the parent could not sign meanwhile");
		}
		(void)app_holds(app_state(&parent.app, parent.session) == CKS_RW_USER_FUNCTIONS,
		    "the parent is not logged in any more");
		(void)signs(&parent.app, parent.session, parent.key, parent.verifier, arg[0]);
	}
	printf("%lu forks, %lu did well\n", arg[0], well);
	(void)app_end(&parent.app);
	EVP_PKEY_free(parent.verifier);
	app_unload(&parent.app);
}

void
stress_forks(const unsigned long *arg)
{
	run(arg, child_begins);
}

void
stress_inherits(const unsigned long *arg)
{
	run(arg, child_inherits);
}
