/* V12: values and salts that a client brings, against the commitments of a ledger. */
#include "config.h"

#include "kanmon/openings.h"
#include "kanmon/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/stories.h"
#include "tests/unit/run.h"

#define SALT "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=" /* 32 times 1 */
#define OTHER "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define PLAIN "cGxhaW4=" /* "plain" */

static struct fixture f;

static json_t *
commitment(const char *field, const char *text)
{
	uint8_t salt[KMN_OPENING_SALT_BYTES], hash[KMN_HASH_BYTES];

	memset(salt, 1, sizeof(salt));
	kmn_commitment(field, salt, text, strlen(text), hash);
	return json_pack("{s:o, s:I}", "commit", kmn_json_b64(hash, sizeof(hash)), "len", (json_int_t)strlen(text));
}

/* A ledger with one request, input and output committed to: the index of its result. */
static uint64_t
make_ledger(void)
{
	json_t *intent = story_intent(UINT64_C(1) << 50), *result;
	struct kmn_ref request, decision, outcome;
	struct kmn_log *log;

	fixture_up(&f);
	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	(void)story_append(log, KMN_R_GATEWAY_START, story_start());
	(void)json_object_set_new(intent, "in", commitment("in", "plain"));
	request = story_append(log, KMN_R_INTENT, intent);
	decision = story_append(log, KMN_R_DECISION, story_decision(&request, "allow"));
	result = story_result(&request, &decision);
	(void)json_object_set_new(result, "out", commitment("out", "made"));
	outcome = story_append(log, KMN_R_RESULT, result);
	(void)story_append(log, KMN_R_GATEWAY_STOP, story_stop());
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	return outcome.i;
}

static void
hear(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	(void)cookie;
	(void)place;
	if (severity != KMN_INFO && check != KMN_V12)
		printf("# V%d: %s\n", (int)check, text);
}

static struct kmn_verify_report
verify(const struct kmn_openings *openings)
{
	struct kmn_trust trust = {.origin = FIXTURE_ORIGIN, .log = f.vkey};
	struct kmn_verify_settings settings = {
	    .store = f.disk.real, .trust = &trust, .openings = openings, .sink = {hear, NULL}};
	struct kmn_verify_report report;

	CU_ASSERT_EQUAL(kmn_verify(&settings, &report), KMN_OK);
	return report;
}

static const struct {
	const char *says;
	uint64_t more; /* than the result's index */
	const char *rest;
	unsigned opened;
} lines[] = {
    {"the input of a result, under its intent", 0, "in " SALT " " PLAIN, 1},
    {"the output", 0, "out " SALT " bWFkZQ==", 1},
    {"another salt", 0, "in " OTHER " " PLAIN, 0},
    {"another value", 0, "in " SALT " cGxhaW0=", 0},
    {"the input for the output", 0, "out " SALT " " PLAIN, 0},
    {"a member that commits to nothing", 0, "rv " SALT " " PLAIN, 0},
    {"a record that opens nothing", 1, "in " SALT " " PLAIN, 0},
    {"a record that is not there", 1000, "in " SALT " " PLAIN, 0},
};

static void
test_openings(void)
{
	uint64_t result = make_ledger();
	struct kmn_verify_report report = verify(NULL);

	CU_ASSERT_TRUE(report.not_asked[KMN_V12] && !report.done[KMN_V12]);
	for (size_t i = 0; i < KMN_COUNT_OF(lines); i++) {
		struct kmn_openings openings;
		struct kmn_why why = {""};
		char text[512];

		snprintf(text, sizeof(text), "kanmon/openings/v1\nopening %llu %s\n",
		    (unsigned long long)(result + lines[i].more), lines[i].rest);
		CU_ASSERT_EQUAL_FATAL(kmn_openings_parse(text, strlen(text), &openings, &why), KMN_OK);
		report = verify(&openings);
		if (report.openings != lines[i].opened)
			printf("# %s\n", lines[i].says);
		CU_ASSERT_EQUAL(report.openings, lines[i].opened);
		CU_ASSERT_EQUAL(report.count[KMN_V12], 1 - lines[i].opened);
		CU_ASSERT_EQUAL(report.failed, lines[i].opened == 0);
		CU_ASSERT_TRUE(report.done[KMN_V12]);
		kmn_openings_clear(&openings);
	}
	fixture_down(&f);
}

static const struct {
	const char *says, *text;
	size_t count;
	bool ok;
} forms[] = {
    {"none", "kanmon/openings/v1\n", 0, true},
    {"two, in any order", "kanmon/openings/v1\nopening 7 in " SALT " " PLAIN "\nopening 5 out " SALT " \n", 2, true},
    {"an empty file", "", 0, false},
    {"another first line", "kanmon/openings/v2\n", 0, false},
    {"no last LF", "kanmon/openings/v1\nopening 7 in " SALT " " PLAIN, 0, false},
    {"another word", "kanmon/openings/v1\nopens 7 in " SALT " " PLAIN "\n", 0, false},
    {"an index with a zero before it", "kanmon/openings/v1\nopening 07 in " SALT " " PLAIN "\n", 0, false},
    {"no index", "kanmon/openings/v1\nopening x in " SALT " " PLAIN "\n", 0, false},
    {"no field", "kanmon/openings/v1\nopening 7  " SALT " " PLAIN "\n", 0, false},
    {"a short salt", "kanmon/openings/v1\nopening 7 in AQEB " PLAIN "\n", 0, false},
    {"no value", "kanmon/openings/v1\nopening 7 in " SALT "\n", 0, false},
    {"one word more", "kanmon/openings/v1\nopening 7 in " SALT " " PLAIN " x\n", 0, false},
    {"a value that is not base64", "kanmon/openings/v1\nopening 7 in " SALT " pl*in\n", 0, false},
};

static void
test_forms(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(forms); i++) {
		struct kmn_openings openings;
		kmn_err e = kmn_openings_parse(forms[i].text, strlen(forms[i].text), &openings, NULL);

		if ((e == KMN_OK) != forms[i].ok)
			printf("# %s: %s\n", forms[i].says, kmn_err_name(e));
		CU_ASSERT_EQUAL(e == KMN_OK, forms[i].ok);
		if (e == KMN_OK) {
			CU_ASSERT_EQUAL(openings.count, forms[i].count);
			for (size_t n = 1; n < openings.count; n++)
				CU_ASSERT_TRUE(openings.opened[n - 1].index <= openings.opened[n].index);
		}
		kmn_openings_clear(&openings);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"what opens a commitment, and what does not", test_openings},
	    {"a file of openings has one form", test_forms},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"ledger/openings", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
