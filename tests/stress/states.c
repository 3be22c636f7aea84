/*
 * Applications at once, with opposite login states: what one of them is allowed, sees or made is nothing to another.
 */
#include "config.h"

#include "tests/stress/stress.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/base.h"
#include "tests/stress/app.h"

#define OWN_LABEL "mine" /* the same in every application */

struct state {
	struct app app;
	CK_SESSION_HANDLE session;
	EVP_PKEY *verifier;
};

static CK_RV
login(struct state *s, CK_USER_TYPE user, const char *variable)
{
	const char *pin = getenv(variable);

	return s->app.p11->C_Login(s->session, user, (CK_UTF8CHAR *)(uintptr_t)pin, pin == NULL ? 0 : strlen(pin));
}

static CK_RV
make_own(struct state *s, CK_BBOOL private, CK_OBJECT_HANDLE *own_out)
{
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BBOOL no = CK_FALSE;
	long pid = (long)getpid();
	CK_UTF8CHAR label[] = OWN_LABEL;
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &no, sizeof(no)},
	    {CKA_PRIVATE, &private, sizeof(private)}, {CKA_LABEL, label, sizeof(label) - 1},
	    {CKA_VALUE, &pid, sizeof(pid)}};

	return s->app.p11->C_CreateObject(s->session, template, KMN_COUNT_OF(template), own_out);
}

/* One object with the label that all use, and it is this application's. */
static bool
sees_own_only(struct state *s, CK_OBJECT_HANDLE own)
{
	CK_OBJECT_HANDLE found = 0;
	long pid = 0;
	CK_ATTRIBUTE value = {CKA_VALUE, &pid, sizeof(pid)};

	return app_holds(app_count(&s->app, s->session, CKO_DATA, OWN_LABEL, &found) == 1 && found == own,
		   "sees another application's object, or not its own") &&
	       app_is(s->app.p11->C_GetAttributeValue(s->session, own, &value, 1), CKR_OK, "C_GetAttributeValue") &&
	       app_holds(pid == (long)getpid(), "reads another application's object");
}

static bool
is_public(struct state *s)
{
	return app_holds(app_state(&s->app, s->session) == CKS_RW_PUBLIC_SESSION, "is logged in, and did not log in") &&
	       app_holds(app_count(&s->app, s->session, CKO_PRIVATE_KEY, KEY_LABEL, NULL) == 0,
		   "sees a private key without a login");
}

static bool
user_round(struct state *s, unsigned long round)
{
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	CK_OBJECT_HANDLE key = 0, own = 0;
	CK_ULONG len;
	char text[64];

	snprintf(text, sizeof(text), "process %ld, round %lu", (long)getpid(), round);
	return app_is(login(s, CKU_USER, "PIN"), CKR_OK, "C_Login") &&
	       app_holds(
		   app_state(&s->app, s->session) == CKS_RW_USER_FUNCTIONS, "another application logged it out") &&
	       app_holds(
		   app_count(&s->app, s->session, CKO_PRIVATE_KEY, KEY_LABEL, &key) == 1, "does not see its key") &&
	       app_is(make_own(s, CK_TRUE, &own), CKR_OK, "C_CreateObject") && sees_own_only(s, own) &&
	       app_is(app_sign(&s->app, s->session, key, text, signature, &len), CKR_OK, "C_Sign") &&
	       app_verifies(s->verifier, text, signature, len) &&
	       app_is(s->app.p11->C_Logout(s->session), CKR_OK, "C_Logout") && is_public(s) &&
	       app_holds(
		   app_sign(&s->app, s->session, key, text, signature, &len) != CKR_OK, "signs without a login") &&
	       app_holds(app_count(&s->app, s->session, CKO_DATA, OWN_LABEL, NULL) == 0,
		   "sees a private object without a login");
}

static bool
public_round(struct state *s, unsigned long round)
{
	CK_OBJECT_HANDLE own = 0, refused = 0;

	(void)round;
	return is_public(s) && app_is(make_own(s, CK_FALSE, &own), CKR_OK, "C_CreateObject") && sees_own_only(s, own) &&
	       app_is(make_own(s, CK_TRUE, &refused), CKR_USER_NOT_LOGGED_IN, "C_CreateObject of a private object") &&
	       app_is(s->app.p11->C_DestroyObject(s->session, own), CKR_OK, "C_DestroyObject") && is_public(s);
}

static bool
officer_round(struct state *s, unsigned long round)
{
	(void)round;
	return app_is(login(s, CKU_SO, "SO_PIN"), CKR_OK, "C_Login of the SO") &&
	       app_holds(app_state(&s->app, s->session) == CKS_RW_SO_FUNCTIONS, "is not SO, and logged in so") &&
	       app_holds(
		   app_count(&s->app, s->session, CKO_PRIVATE_KEY, KEY_LABEL, NULL) == 0, "SO sees a private key") &&
	       app_is(login(s, CKU_USER, "PIN"), CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "C_Login beside the SO") &&
	       app_is(s->app.p11->C_Logout(s->session), CKR_OK, "C_Logout of the SO") && is_public(s);
}

static bool (*const roles[])(struct state *s, unsigned long round) = {
    user_round, public_round, user_round, public_round, user_round, public_round, user_round, officer_round};

void
stress_state(const unsigned long *arg)
{
	struct state s = {.verifier = NULL};
	char none;

	if (!app_load(&s.app))
		return;
	while (read(STDIN_FILENO, &none, 1) > 0) /* its end is the word to begin */
		;
	if (app_begin(&s.app)) {
		if (app_open(&s.app, &s.session) && (s.verifier = app_public_key(&s.app, s.session)) != NULL)
			for (unsigned long round = 0; round < arg[1]; round++)
				if (!roles[arg[0] % KMN_COUNT_OF(roles)](&s, round))
					break;
		EVP_PKEY_free(s.verifier);
		(void)app_end(&s.app);
	}
	app_unload(&s.app);
}

static pid_t
spawn(unsigned long role, unsigned long rounds, int begin)
{
	char role_text[24], rounds_text[24];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	snprintf(role_text, sizeof(role_text), "%lu", role);
	snprintf(rounds_text, sizeof(rounds_text), "%lu", rounds);
	if (dup2(begin, STDIN_FILENO) == STDIN_FILENO)
		execl(stress_program, stress_program, "state", role_text, rounds_text, (char *)NULL);
	_exit(127);
}

void
stress_states(const unsigned long *arg)
{
	unsigned long started = 0, well = 0;
	int begin[2], status;

	if (!app_holds(pipe(begin) == 0, "no pipe"))
		return;
	(void)fflush(NULL);
	/* Each child would keep the writing end open. */
	(void)app_holds(fcntl(begin[1], F_SETFD, FD_CLOEXEC) == 0, "no close-on-exec");
	while (started < arg[0] && spawn(started, arg[1], begin[0]) > 0)
		started++;
	(void)close(begin[0]);
	(void)close(begin[1]);
	for (unsigned long i = 0; i < started; i++)
		if (app_holds(wait(&status) > 0, "wait") &&
		    app_holds(WIFEXITED(status) && WEXITSTATUS(status) == 0, "an application failed"))
			well++;
	printf("%lu applications, %lu did well\n", arg[0], well);
}
