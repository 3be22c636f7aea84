#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/settings.h"
#include "tests/unit/run.h"

#define NEEDED \
	"origin = \"kanmon.example/gw1\"\nlisten = { \"127.0.0.1:7443\" }\ncertificate = \"c.crt\"\nkey = \"c.key\"\n" \
	"ledger = \"ledger\"\nlog-key = \"log.key\"\n"
#define MODULE "module \"m\" {\n\tpath = \"/m.so\"\n}\n"
#define WHOLE NEEDED MODULE
#define CONSOLE_FILES "certificate = c.crt key = c.key "
#define L65 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define CLIENT "client = ca client-certificate = c client-key = k "
#define CONSOLE "console { listen = \"[::1]:8443\" origin = \"https://c.example\" " CONSOLE_FILES

static char folder[] = "/tmp/kmn-settings-XXXXXX";
static char file[64];

static int
start_folder(void)
{
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(file, sizeof(file), "%s/kanmond.conf", folder);
	return 0;
}

static int
end_folder(void)
{
	return unlink(file) != 0 || rmdir(folder) != 0;
}

static kmn_err
load(const char *text, char *why, struct kmn_settings **out)
{
	FILE *f = fopen(file, "w");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		return KMN_E_IO;
	return kmn_settings_load(file, why, out);
}

/* clang-format off */
static const struct { const char *text, *says; } refused[] = {
	{ WHOLE "colour = \"blue\"\n",                                   ":10: " },
	{ NEEDED "module \"m\" {\npath = \"/m\"\nname = \"x\"\n}\n",     ":9: " },
	{ WHOLE "lease = 0\n",                                           ":10: lease is a number from 1 to 3600" },
	{ WHOLE "lease = 3601\n",                                        ":10: lease is a number from 1 to 3600" },
	{ WHOLE "lease = -1\n",                                          ":10: lease is a number" },
	{ WHOLE "lease = 1x\n",                                          ":10: lease is a number" },
	{ WHOLE "lease = 99999999999999999999\n",                        ":10: lease is a number" },
	{ WHOLE "limits {\n\n\tinstances = 4097\n}\n",                   ":12: instances is a number from 1 to 4096" },
	{ WHOLE "low-water = -1\n",                                       "low-water is a number from 0" },
	{ WHOLE "guard \"g\" { }\n",                                      "guard \"g\" has either path, or module and token" },
	{ WHOLE "guard \"g\" { path = a token = t }\n",                   "guard \"g\" has either path, or module and token" },
	{ WHOLE "guard \"g\" { module = nowhere token = t }\n",           "there is no module \"nowhere\"" },
	{ WHOLE "limits { wishes = 3 }\n",                               ":10: " },
	{ WHOLE "log-level = loud\n",                                    ":10: log-level is one of: error" },
	{ WHOLE "log-level = \"error warning\"\n",                       ":10: log-level is one of" },
	{ WHOLE "confinement = none\n",                                  ":10: confinement is one of: full" },
	{ "origin = \"a b\"\n",                                          ":1: origin holds a blank" },
	{ "origin = \"\"\n",                                             ":1: origin has 1 to 255 bytes" },
	{ "listen = { \"localhost:7443\" }\n",                           ":1: listen is not a numeric address" },
	{ "listen = { \"127.0.0.1\" }\n",                                ":1: listen is not a numeric address" },
	{ "listen = { \"127.0.0.1:1\", \"[::1:7443\" }\n",               ":1: listen is not a numeric address" },
	{ "listen = { \"::1:7443\" }\n",                                 ":1: listen is not a numeric address" },
	{ "listen = { \"127.0.0.1:65536\" }\n",                          ":1: listen is not a numeric address" },
	{ NEEDED "module \"m\" { environment = { \"NAME\" } }\n",        ":7: environment is not NAME=VALUE" },
	{ NEEDED "module \"m\" { environment = { \"LD_PRELOAD=x\" } }\n", ":7: environment is not NAME=VALUE" },
	{ NEEDED,                                                        "1 to 16 sections module" },
	{ WHOLE "module \"n\" { }\n",                                    "module path is missing" },
	{ WHOLE "module \"m\" { path = \"/n\" }\n",                      ": " },
	{ NEEDED "module \"m\" { }\n",                                   "module path is missing" },
	{ MODULE,                                                        "origin is missing" },
	{ WHOLE "users { gate = 7001 }\n",                               "are given together" },
	{ WHOLE "users { gate=7001 keeper=7002 worker=7002 }\n",         "keeper and worker are different users" },
	{ WHOLE "users { courier = 7004 }\n",                            "are given together" },
	{ WHOLE "users { gate=7001 keeper=7002 worker=7003 courier=7001 }\n", "gate and courier are different users" },
	{ WHOLE "users { gate=7001 keeper=7002 worker=7003 }\nwitness \"w\" { url = \"http://w/\" }\n", "users: courier is missing" },
	{ WHOLE "time-stamp \"t\" { url = \"http://t/\" }\n",            "time-stamp roots is missing" },
	{ WHOLE "time-stamp \"t\" { roots = \"r.pem\" }\n",             "time-stamp url is missing" },
	{ WHOLE "time-stamp \"t\" { url = \"ftp://t/\" roots = \"r\" }\n", "url is not http://" },
	{ WHOLE "time-stamp \"t\" { url = \"http://t/\" roots = \"r\" policy = \"1.2.x\" }\n", "policy is not an OID" },
	{ WHOLE "time-stamp-every = 0\n",                              "time-stamp-every is a number from 1 to 86400" },
	{ WHOLE "witness \"w\" { }\n",                                   "witness url is missing" },
	{ WHOLE "witness \"w\" { url = \"ftp://w/\" }\n",                "url is not http://" },
	{ WHOLE "witness \"w\" { url = \"http://w/ x\" }\n",             "url is not http://" },
	{ WHOLE "witness \"w\" { url=\"http://w/\" }\nwitness \"w\" { url=\"http://v/\" }\n", "w" },
	{ WHOLE "users { gate=7001 keeper=root worker=7002 }\n",         "the keeper may not be root" },
	{ WHOLE "users { gate=0 keeper=7003 worker=7002 }\n",            "there is no user \"0\"" },
	{ WHOLE "users { gate=\"no such user\" keeper=1 worker=2 }\n",   "there is no user \"no such user\" for the gate" },
	{ WHOLE "console { origin = \"https://c.example\" " CONSOLE_FILES "}\n", "console listen is missing" },
	{ WHOLE "console { listen = \"[::1]:8443\" " CONSOLE_FILES "}\n", "console origin is missing" },
	{ WHOLE "console { origin = \"http://c.example\" }\n",            ":10: origin is not what browsers call an origin" },
	{ WHOLE "console { origin = \"https://c.example/\" }\n",          ":10: origin is not what browsers call an origin" },
	{ WHOLE "console { origin = \"https://c.example:443\" }\n",       ":10: origin is not what browsers call an origin" },
	{ WHOLE "console { origin = \"https://C.example\" }\n",           ":10: origin is not what browsers call an origin" },
	{ WHOLE "console { origin = \"https://:8443\" }\n",               ":10: origin is not what browsers call an origin" },
	{ WHOLE "console { listen = \"c.example:8443\" }\n",              ":10: listen is not a numeric address" },
	{ WHOLE CONSOLE "attempts = 0 }\n",                                 ":10: attempts is a number from 1 to 1000" },
	{ WHOLE CONSOLE "colour = blue }\n",                                ":10: " },
	{ WHOLE CONSOLE "}\nusers { gate=7001 keeper=7002 worker=7003 }\n", "console user is missing" },
	{ WHOLE CONSOLE "client = ca client-key = k }\n",                 "client-certificate and client-key are given together" },
	{ WHOLE CONSOLE "client = ca client-certificate = c }\n",         "client-certificate and client-key are given together" },
	{ WHOLE CONSOLE "client-certificate = c client-key = k }\n",      "and with client, the name of its line" },
	{ WHOLE CONSOLE "client = \"" L65 "\" }\n",                       ":10: client" },
	{ WHOLE CONSOLE "client-keys = k }\n",                            ":10: no such option 'client-keys'" },
	{ WHOLE CONSOLE CLIENT "user = 7004 }\nusers { gate=7001 keeper=7002 worker=7003 }\n", "console client-user is missing" },
	{ WHOLE CONSOLE CLIENT "user = 7004 client-user = 7002 }\nusers { gate=7001 keeper=7002 worker=7003 }\n", "keeper and runner are different users" },
	{ WHOLE CONSOLE "user = 7002 }\nusers { gate=7001 keeper=7002 worker=7003 }\n", "keeper and console are different users" },
	{ WHOLE CONSOLE "user = 7002 }\n",                                  "are given together" },
	{ "origin = {\n",                                                ":1: " },
	{ "",                                                            "1 to 16 sections module" },
};
/* clang-format on */

static void
test_refused(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(refused); i++) {
		struct kmn_settings *s;
		char why[KMN_SETTINGS_WHY_BYTES];
		kmn_err e = load(refused[i].text, why, &s);
		bool named = strncmp(why, file, strlen(file)) == 0;

		if (e != KMN_E_CONFIG || s != NULL || !named || strstr(why, refused[i].says) == NULL)
			printf("# case %zu: %s, wanted %s\n", i, why, refused[i].says);
		CU_ASSERT(e == KMN_E_CONFIG && s == NULL);
		CU_ASSERT(named); /* the file, and with the case its line */
		CU_ASSERT_PTR_NOT_NULL(strstr(why, refused[i].says));
		kmn_settings_free(s);
	}
}

static void
test_defaults(void)
{
	struct kmn_settings *s;
	char why[KMN_SETTINGS_WHY_BYTES];

	CU_ASSERT_FATAL(load(WHOLE, why, &s) == KMN_OK);
	CU_ASSERT_STRING_EQUAL(why, "");
	CU_ASSERT_EQUAL(s->lease_ms, 60000);
	CU_ASSERT_EQUAL(s->request_lifetime_s, 14400);
	CU_ASSERT_EQUAL(s->log_level, KMN_SAY_INFO);
	CU_ASSERT_EQUAL(s->confinement, KMN_CONFINEMENT_FULL);
	CU_ASSERT_PTR_NULL(s->log);
	CU_ASSERT_PTR_NULL(s->modules[0].init_args);
	CU_ASSERT_PTR_NULL(s->users[KMN_ROLE_GATE].text);
	CU_ASSERT_EQUAL(s->limits.handshake_ms, 10000);
	kmn_settings_free(s);
}

static void
test_paths(void)
{
	struct kmn_settings *s;
	char why[KMN_SETTINGS_WHY_BYTES], want[128];

	CU_ASSERT_FATAL(load(WHOLE "log = \"gateway.log\"\n", why, &s) == KMN_OK);
	snprintf(want, sizeof(want), "%s/log.key", folder);
	CU_ASSERT_STRING_EQUAL(s->log_key, want);
	snprintf(want, sizeof(want), "%s/gateway.log", folder);
	CU_ASSERT_STRING_EQUAL(s->log, want);
	CU_ASSERT_STRING_EQUAL(s->modules[0].path, "/m.so");
	kmn_settings_free(s);
}

static void
test_users(void)
{
	struct kmn_settings *s;
	char why[KMN_SETTINGS_WHY_BYTES];

	CU_ASSERT_FATAL(load(WHOLE "users { gate=daemon keeper=61002 worker=61003 }\n", why, &s) == KMN_OK);
	CU_ASSERT_EQUAL(s->users[KMN_ROLE_GATE].uid, 1);
	CU_ASSERT_EQUAL(s->users[KMN_ROLE_KEEPER].uid, 61002);
	CU_ASSERT_EQUAL(s->users[KMN_ROLE_KEEPER].gid, 61002);
	kmn_settings_free(s);
}

/* What is printed is a configuration, and the same one. */
static void
test_print(void)
{
	static const char text[] =
	    WHOLE "lease = 61\nlog = \"x.log\"\nlog-level = debug\nlimits { instances = 7 }\nusers { gate=61001 "
		  "keeper=61002 worker=61003 }\n";
	static const char odd[] = NEEDED
	    "module \"q\\\"\" { path = m.so init-args = \"a \\\"b\\\" \\\\ c\" environment = { \"A=1\", \"B=\" } }\n";
	static const char two[] = WHOLE "module \"n\" { path = \"/n.so\" environment = { \"A=1\" } }\n";
	static const char guards[] = WHOLE
	    "low-water = 7\nguard \"disk\" { path = a every = 2 }\nguard \"token\" { module = m token = \"t t\" }\n";
	static const char console[] = WHOLE CONSOLE "user = 7004 }\nusers { gate=7001 keeper=7002 worker=7003 }\n";
	const char *const cases[] = {WHOLE, text, odd, two, guards, console};
	struct kmn_settings *s;
	char why[KMN_SETTINGS_WHY_BYTES];

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		char *first = NULL, *second = NULL;
		size_t len;
		FILE *to;

		CU_ASSERT_FATAL(load(cases[i], why, &s) == KMN_OK);
		CU_ASSERT_PTR_NOT_NULL_FATAL(to = open_memstream(&first, &len));
		kmn_settings_print(s, to);
		(void)fclose(to);
		kmn_settings_free(s);
		if (load(first, why, &s) != KMN_OK)
			printf("# %s\n%s\n", why, first);
		CU_ASSERT_PTR_NOT_NULL_FATAL(s);
		CU_ASSERT_PTR_NOT_NULL_FATAL(to = open_memstream(&second, &len));
		kmn_settings_print(s, to);
		(void)fclose(to);
		CU_ASSERT_STRING_EQUAL(first, second);
		kmn_settings_free(s);
		free(first);
		free(second);
	}
}

static void
test_console(void)
{
	static const char *const origins[] = {
	    "https://c.example:8443", "https://localhost:1", "https://192.0.2.1", "https://[::1]:8443"};
	struct kmn_settings *s;
	char text[1024], why[KMN_SETTINGS_WHY_BYTES];

	CU_ASSERT_FATAL(load(WHOLE, why, &s) == KMN_OK);
	CU_ASSERT_PTR_NULL(s->console.listen);
	CU_ASSERT_PTR_NULL(s->console.pages);
	kmn_settings_free(s);
	for (size_t i = 0; i < KMN_COUNT_OF(origins); i++) {
		(void)snprintf(text, sizeof(text),
		    WHOLE "console { listen = \"127.0.0.1:0\" origin = \"%s\" " CONSOLE_FILES "}\n", origins[i]);
		CU_ASSERT_FATAL(load(text, why, &s) == KMN_OK);
		CU_ASSERT_STRING_EQUAL(s->console.origin, origins[i]);
		CU_ASSERT_EQUAL(s->console.limits.lockout_ms, 300000);
		CU_ASSERT_PTR_NOT_NULL(s->console.pages);
		kmn_settings_free(s);
	}
}

static void
test_example(void)
{
	const char *top = getenv("srcdir");
	struct kmn_settings *s;
	char path[512], why[KMN_SETTINGS_WHY_BYTES];

	snprintf(path, sizeof(path), "%s/docs/examples/kanmond.conf", top != NULL ? top : ".");
	if (kmn_settings_load(path, why, &s) != KMN_OK)
		printf("# %s\n", why);
	CU_ASSERT_PTR_NOT_NULL(s);
	kmn_settings_free(s);
}

static void
test_no_file(void)
{
	struct kmn_settings *s;
	char why[KMN_SETTINGS_WHY_BYTES];

	CU_ASSERT_EQUAL(kmn_settings_load("/nowhere/kanmond.conf", why, &s), KMN_E_CONFIG);
	CU_ASSERT_PTR_NULL(s);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "/nowhere/kanmond.conf"));
	CU_ASSERT_EQUAL(kmn_settings_load("/tmp", why, &s), KMN_E_CONFIG);
}

static CU_TestInfo settings_tests[] = {
    {"what is wrong is refused with file and line", test_refused},
    {"what is not given has its default", test_defaults},
    {"relative paths begin at the file's folder", test_paths},
    {"users are names or numbers", test_users},
    {"a console is there whole or not at all", test_console},
    {"what is printed is read back as the same", test_print},
    {"the example in docs is right", test_example},
    {"a file that is not there is refused", test_no_file},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"server/settings", start_folder, end_folder, NULL, NULL, settings_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
