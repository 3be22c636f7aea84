#include "config.h"

#include "kanmon/client_settings.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIN "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define WHOLE \
	"gateway = \"127.0.0.1:7443\"\ngateway-spki = \"" PIN "\"\norigin = \"kanmon.example/gw1\"\n" \
	"certificate = \"client.crt\"\nkey = \"/else/client.key\"\n"

static char folder[] = "/tmp/kmn-settings-XXXXXX";
static char path[64];

static void
put(const char *text)
{
	FILE *f = fopen(path, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT(fputs(text, f) >= 0);
	CU_ASSERT_EQUAL(fclose(f), 0);
}

static const struct {
	const char *says, *text, *profile, *why; /* why: part of the sentence; NULL for success */
	kmn_err want;
} cases[] = {
    {"the least that must be there", WHOLE, NULL, NULL, KMN_OK},
    {"an empty profile changes nothing", WHOLE, "", NULL, KMN_OK},
    {"gaps are not pairs", WHOLE, " ; ", NULL, KMN_OK},
    {"an unknown name has file and line", WHOLE "colour = \"red\"\n", NULL, "kanmon.conf:6: no such option",
	KMN_E_CONFIG},
    {"a broken line has file and line", WHOLE "init-wait 7\n", NULL, "kanmon.conf:6:", KMN_E_CONFIG},
    {"no gateway", "origin = \"o\"\n", NULL, "gateway is missing", KMN_E_CONFIG},
    {"a gateway without port", "gateway = \"host\"\n", NULL, "host:port", KMN_E_CONFIG},
    {"a gateway with port 0", "gateway = \"host:0\"\n", NULL, "host:port", KMN_E_CONFIG},
    {"an address with colons stands in []", "gateway = \"::1:7443\"\n", NULL, "host:port", KMN_E_CONFIG},
    {"a pin that is too short", WHOLE "gateway-spki = \"AAAA\"\n", NULL, "32 bytes", KMN_E_CONFIG},
    {"a number over its limit", WHOLE "connections = 65\n", NULL, "1 to 64", KMN_E_CONFIG},
    {"a number under its limit", WHOLE "connections = 0\n", NULL, "1 to 64", KMN_E_CONFIG},
    {"a number with a sign", WHOLE "init-wait = -1\n", NULL, "0 to 3600", KMN_E_CONFIG},
    {"a number that overflows", WHOLE "init-wait = 99999999999999999999\n", NULL, "0 to 3600", KMN_E_CONFIG},
    {"a third way to tell errors", WHOLE "errors = \"none\"\n", NULL, "standard or device", KMN_E_CONFIG},
    {"a fourth way to treat receipts", WHOLE "receipts = some\n", NULL, "each, batch or off", KMN_E_CONFIG},
    {"a ledger key that is none", WHOLE "log-key = AAAA\n", NULL, "vkey", KMN_E_CONFIG},
    {"a ledger key without its key", WHOLE "log-key = \"a+00112233+\"\n", NULL, "vkey", KMN_E_CONFIG},
    {"a ledger key with an id in capitals", WHOLE "log-key = \"a+AABBCCDD+AQ==\"\n", NULL, "vkey", KMN_E_CONFIG},
    {"an empty state", WHOLE "state = \"\"\n", NULL, "1 to 4095", KMN_E_CONFIG},
    {"a profile that is no pair", WHOLE, "hello", "name=value", KMN_E_ARGUMENTS},
    {"a profile with an unknown name", WHOLE, "configdir='/etc'", "name=value", KMN_E_ARGUMENTS},
    {"a profile with an open quote", WHOLE, "origin='a", "name=value", KMN_E_ARGUMENTS},
    {"a profile with a control character", WHOLE, "origin=\"a\nb\"", "name=value", KMN_E_ARGUMENTS},
    {"a profile with a value out of range", WHOLE, "connections=65", "1 to 64", KMN_E_ARGUMENTS},
};

static void
test_cases(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct kmn_client_settings *s;
		char why[KMN_CLIENT_WHY_BYTES];
		kmn_err e;

		put(cases[i].text);
		e = kmn_client_settings_load(path, cases[i].profile, why, &s);
		if (e != cases[i].want || (cases[i].why != NULL ? strstr(why, cases[i].why) == NULL : why[0] != '\0')) {
			printf("# %s: %s, \"%s\"\n", cases[i].says, kmn_err_name(e), why);
			CU_FAIL("see the line above");
		}
		CU_ASSERT_EQUAL(s != NULL, e == KMN_OK);
		kmn_client_settings_free(s);
	}
}

static void
test_values(void)
{
	struct kmn_client_settings *s;
	char want[96];

	put("gateway = { \"a.example:1\", \"[::1]:2\" }\n" WHOLE "quorum-wait = 3\n");
	CU_ASSERT_EQUAL(kmn_client_settings_load(path, NULL, NULL, &s), KMN_OK);
	kmn_client_settings_free(s);
	put(WHOLE "gateway = { \"a.example:1\", \"[::1]:2\" }\nquorum-wait = 3\nerrors = device\n");
	CU_ASSERT_EQUAL_FATAL(kmn_client_settings_load(path, "init-wait=0;connections=\"2\"", NULL, &s), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(s->gateway_count, 2);
	CU_ASSERT_STRING_EQUAL(s->gateways[1], "[::1]:2");
	CU_ASSERT_EQUAL(s->gateway_spki[31], 31);
	CU_ASSERT_STRING_EQUAL(s->origin, "kanmon.example/gw1");
	(void)snprintf(want, sizeof(want), "%s/client.crt", folder);
	CU_ASSERT_STRING_EQUAL(s->certificate, want);
	CU_ASSERT_STRING_EQUAL(s->key, "/else/client.key");
	CU_ASSERT_EQUAL(s->quorum_wait_s, 3);
	CU_ASSERT_EQUAL(s->init_wait_s, 0);
	CU_ASSERT_EQUAL(s->connections, 2);
	CU_ASSERT_EQUAL(s->errors, KMN_CLIENT_ERRORS_DEVICE);
	CU_ASSERT_EQUAL(s->receipts, KMN_CLIENT_RECEIPTS_EACH);
	CU_ASSERT_EQUAL(s->log_key_count, 0);
	CU_ASSERT_PTR_NULL(s->state);
	CU_ASSERT_FALSE(s->stateless);
	kmn_client_settings_free(s);
}

static void
test_receipt_settings(void)
{
	struct kmn_client_settings *s;
	char want[96];

	put(WHOLE "log-key = {\"a+00112233+AQ==\", \"b+44556677+AQ==\"}\nreceipts = batch\nstate = heads\n");
	CU_ASSERT_EQUAL_FATAL(kmn_client_settings_load(path, NULL, NULL, &s), KMN_OK);
	CU_ASSERT_EQUAL(s->receipts, KMN_CLIENT_RECEIPTS_BATCH);
	CU_ASSERT_EQUAL_FATAL(s->log_key_count, 2);
	CU_ASSERT_STRING_EQUAL(s->log_keys[1], "b+44556677+AQ==");
	(void)snprintf(want, sizeof(want), "%s/heads", folder);
	CU_ASSERT_STRING_EQUAL(s->state, want);
	kmn_client_settings_free(s);
	CU_ASSERT_EQUAL_FATAL(
	    kmn_client_settings_load(path, "state=none log-key=c+00112233+AQ== receipts=off", NULL, &s), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(s->log_key_count, 1);
	CU_ASSERT_STRING_EQUAL(s->log_keys[0], "c+00112233+AQ==");
	CU_ASSERT_PTR_NULL(s->state);
	CU_ASSERT_TRUE(s->stateless);
	CU_ASSERT_EQUAL(s->receipts, KMN_CLIENT_RECEIPTS_OFF);
	kmn_client_settings_free(s);
}

static void
test_profile_replaces_the_list(void)
{
	struct kmn_client_settings *s;

	put(WHOLE);
	CU_ASSERT_EQUAL_FATAL(kmn_client_settings_load(path, "gateway=b:1 gateway=c:2", NULL, &s), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(s->gateway_count, 2);
	CU_ASSERT_STRING_EQUAL(s->gateways[0], "b:1");
	kmn_client_settings_free(s);
}

static void
test_where_the_file_is(void)
{
	struct kmn_client_settings *s;
	char why[KMN_CLIENT_WHY_BYTES], profile[256];

	put(WHOLE);
	(void)snprintf(profile, sizeof(profile), "config='%s'", path);
	CU_ASSERT_EQUAL(setenv("KANMON_CONFIG", "/nonexistent/kanmon.conf", 1), 0);
	CU_ASSERT_EQUAL(kmn_client_settings_load(NULL, NULL, why, &s), KMN_E_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "/nonexistent/kanmon.conf"));
	CU_ASSERT_EQUAL(kmn_client_settings_load(NULL, profile, why, &s), KMN_OK);
	kmn_client_settings_free(s);
	CU_ASSERT_EQUAL(setenv("KANMON_CONFIG", path, 1), 0);
	CU_ASSERT_EQUAL(kmn_client_settings_load(NULL, NULL, why, &s), KMN_OK);
	kmn_client_settings_free(s);
	CU_ASSERT_EQUAL(unsetenv("KANMON_CONFIG"), 0);
	CU_ASSERT_EQUAL(setenv("HOME", folder, 1), 0);
	(void)snprintf(profile, sizeof(profile), "mkdir -p '%s/.config/kanmon' && cp '%s' '%s/.config/kanmon/'", folder,
	    path, folder);
	CU_ASSERT_EQUAL_FATAL(system(profile), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_client_settings_load(NULL, NULL, why, &s), KMN_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(s->path, "/.config/kanmon/kanmon.conf"));
	kmn_client_settings_free(s);
}

/* The manual has a paragraph for each row, with the row's default. */
static void
test_manual(void)
{
	static const struct {
		const char *name, *standard;
	} row[] = {
#define ROW(name, field, type, least, most, standard, text) {name, standard},
	    KMN_CLIENT_SETTING_ROWS(ROW)
#undef ROW
	};
	static char manual[16384];
	char file[512], want[64];
	const char *top = getenv("srcdir"), *at;
	FILE *f;

	(void)snprintf(file, sizeof(file), "%s/docs/man/kanmon.conf.5", top != NULL ? top : ".");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f = fopen(file, "r"));
	CU_ASSERT(fread(manual, 1, sizeof(manual) - 1, f) > 0);
	(void)fclose(f);
	for (size_t i = 0; i < KMN_COUNT_OF(row); i++) {
		(void)snprintf(
		    want, sizeof(want), strcmp(row[i].name, "key") == 0 ? ", \" %s \"" : ".BR %s", row[i].name);
		if ((at = strstr(manual, want)) == NULL) {
			printf("# %s is not in the manual\n", row[i].name);
			CU_FAIL("see the line above");
		} else if (row[i].standard != NULL) {
			(void)snprintf(want, sizeof(want), "default %s)", row[i].standard);
			CU_ASSERT_PTR_NOT_NULL(strstr(at, want));
			CU_ASSERT(strstr(at, want) < strchr(at, ')') + 1);
		}
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"each wrong file or profile is told by name", test_cases},
	    {"values arrive, and paths are beside the file", test_values},
	    {"what is said of receipts arrives, and state may be none", test_receipt_settings},
	    {"a list in the profile replaces the file's", test_profile_replaces_the_list},
	    {"the file is found in the documented order", test_where_the_file_is},
	    {"the manual has every setting and its default", test_manual},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"provider/settings", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	char command[96];
	int failed;

	if (mkdtemp(folder) == NULL)
		return 1;
	(void)snprintf(path, sizeof(path), "%s/kanmon.conf", folder);
	failed = kmn_test_main(argc, argv, suites);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command) != 0 ? 1 : failed;
}
