/*
 * What many threads, applications and forks do to a PKCS#11 module.
 *
 *	MODULE=... TOKEN=... PIN=... SO_PIN=... stress COMMAND NUMBER...
 *
 * Ends with 0 if everything was as it must be; says so in one line.
 */
#include "config.h"

#include "tests/stress/stress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/base.h"
#include "tests/stress/app.h"

#define ARGS_MAX 2

static const struct {
	const char *name;
	int args;
	void (*run)(const unsigned long *arg);
} commands[] = {
    {"prepare", 0, stress_prepare},
    {"threads", 2, stress_threads},
    {"states", 2, stress_states},
    {"state", 2, stress_state},
    {"forks", 2, stress_forks},
    {"inherits", 2, stress_inherits},
    {"lives", 1, stress_lives},
    {"finals", 2, stress_finals},
};

const char *stress_program;

void
stress_prepare(const unsigned long *arg)
{
	struct app a;
	CK_SESSION_HANDLE session;

	(void)arg;
	if (!app_load(&a) || !app_begin(&a))
		return;
	if (app_open(&a, &session) && app_login(&a, session) && app_make_key(&a, session))
		puts("made a key");
	(void)app_end(&a);
	app_unload(&a);
}

int
main(int argc, char **argv)
{
	unsigned long arg[ARGS_MAX] = {0};

	stress_program = argv[0];
	for (size_t i = 0; i < KMN_COUNT_OF(commands); i++) {
		if (argc != 2 + commands[i].args || strcmp(argv[1], commands[i].name) != 0)
			continue;
		for (int n = 0; n < commands[i].args; n++)
			arg[n] = strtoul(argv[2 + n], NULL, 10);
		commands[i].run(arg);
		if (app_failures() > 0)
			fprintf(stderr, "%s: %u failures\n", argv[1], app_failures());
		return app_failures() > 0;
	}
	fprintf(stderr, "usage: stress COMMAND NUMBER... (tests/stress/stress.h)\n");
	return 2;
}
