/* What the console shows of HSMs that no application uses: tokens, and keys that no record tells of. */
#include "config.h"

#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/keeper/desk.h"
#include "tests/unit/run.h"

#define RULES \
	"rule everything\n  client ca other\n  calls session query login random key-management key-use\n  need none\n"

/* The answer to KEYS from that key on. */
static json_t *
keys_from(struct desk *desk, struct rig_asked *asked, uint64_t from)
{
	struct kmn_writer w = desk_u64(from);

	return desk_ask(desk, asked, KMN_UI_KEYS, &w, NULL);
}

/* As soon as a token was looked at, and the ledger was read. */
static json_t *
keys(struct desk *desk, struct rig_asked *asked)
{
	json_t *value = keys_from(desk, asked, 0);

	for (unsigned n = 0; n < 1500 && (json_array_size(json_object_get(value, "looked")) == 0 ||
					     !json_is_true(json_object_get(value, "complete")));
	     n++) {
		json_decref(value);
		rig_pump(&desk->rig, 2);
		desk_pass(desk, 1000);
		desk_settle(desk);
		value = keys_from(desk, asked, 0);
	}
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "looked")), 1);
	return value;
}

static const json_t *
labelled(const json_t *answer, const char *label)
{
	const json_t *list = json_object_get(answer, "keys"), *one;
	size_t n;

	json_array_foreach(list, n, one)
	{
		if (strcmp(desk_text(one, "label"), label) == 0)
			return one;
	}
	return NULL;
}

static const json_t *
the_token(const json_t *answer)
{
	return json_array_get(json_object_get(answer, "tokens"), 0);
}

static void
test_unused(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	const json_t *one;
	json_t *value;

	desk_start_in(&desk, "KMN_MOCK_SECRETS=2", "token mock-1 serial 999\n", RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	value = keys(&desk, &sato);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "keys")), 2);
	one = labelled(value, "secret-2");
	CU_ASSERT_TRUE(json_is_false(json_object_get(one, "known")));
	CU_ASSERT_TRUE(json_is_true(json_object_get(one, "held")));
	CU_ASSERT_STRING_EQUAL(desk_text(one, "class"), "secret-key");
	CU_ASSERT_EQUAL(desk_number(one, "uses"), 0);
	json_decref(value);
	value = desk_ask(&desk, &sato, KMN_UI_TOKENS, NULL, NULL);
	one = json_object_get(the_token(value), "shown");
	CU_ASSERT_STRING_NOT_EQUAL(desk_text(one, "serial"), "");
	CU_ASSERT_STRING_NOT_EQUAL(desk_text(one, "model"), "");
	CU_ASSERT_TRUE(json_is_false(json_object_get(the_token(value), "fits"))); /* its line says 999 */
	json_decref(value);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "channel.open", "\"role\":\"client\""), 0); /* nobody came */
	CU_ASSERT_EQUAL(rig_mock_calls(&desk.rig, "C_OpenSession"), rig_mock_calls(&desk.rig, "C_CloseSession"));
	free(sato.text);
	desk_end(&desk);
}

/* Of a pair that the ledger knows the public half is there; a key of another worker's memory is not. */
static void
test_known(void)
{
	struct rig_asked sato = {.text = NULL};
	struct rig_app app = {.conn = 0};
	CK_OBJECT_HANDLE key;
	struct desk desk;
	const json_t *one;
	json_t *value;

	desk_start_in(&desk, "KMN_MOCK_SECRETS=1", "token mock-1\n", RULES);
	rig_attach(&desk.rig, &app, 1, &desk.rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "made", &key), CKR_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	value = keys(&desk, &sato);
	one = labelled(value, "made");
	CU_ASSERT_TRUE(json_is_true(json_object_get(one, "known")));
	CU_ASSERT_PTR_NULL(json_object_get(one, "held"));
	CU_ASSERT_TRUE(json_is_false(json_object_get(labelled(value, "secret-1"), "known")));
	CU_ASSERT_STRING_EQUAL(desk_text(json_array_get(json_object_get(value, "keys"), 0), "label"), "made");
	json_decref(value);
	value = keys_from(&desk, &sato, 1); /* what stands behind the first */
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "keys")), 1);
	CU_ASSERT_PTR_NULL(json_object_get(value, "next"));
	json_decref(value);
	free(sato.text);
	desk_end(&desk);
}

/* More keys than an answer has go on in the next. */
static void
test_many(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	json_t *value, *rest;

	desk_start_in(&desk, "KMN_MOCK_SECRETS=260", "token mock-1\n", RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	value = keys(&desk, &sato);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "keys")), KMN_UI_KEYS_MAX);
	CU_ASSERT_EQUAL(desk_number(value, "next"), KMN_UI_KEYS_MAX);
	rest = keys_from(&desk, &sato, desk_number(value, "next"));
	CU_ASSERT_EQUAL(json_array_size(json_object_get(rest, "keys")), 260 - KMN_UI_KEYS_MAX);
	CU_ASSERT_PTR_NULL(json_object_get(rest, "next"));
	json_decref(rest);
	json_decref(value);
	free(sato.text);
	desk_end(&desk);
}

/* A module that dies under the question costs nobody anything; when pages ask later, another worker is asked. */
static void
test_dies(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	json_t *value;

	desk_start_in(&desk, "KMN_MOCK_SECRETS=1", "token mock-1\n", RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	json_decref(keys(&desk, &sato));
	for (unsigned n = 0; n < RIG_WORKERS; n++)
		if (desk.rig.worker[n].pid > 0)
			CU_ASSERT_EQUAL(kill(desk.rig.worker[n].pid, SIGKILL), 0);
	for (unsigned n = 0; n < 200 && !rig_said(&desk.rig, "its socket is closed"); n++)
		rig_pump(&desk.rig, 10);
	json_decref(keys(&desk, &sato)); /* what was seen last */
	CU_ASSERT_EQUAL(rig_mock_calls(&desk.rig, "C_Initialize"), 1);
	desk_pass(&desk, 61000);
	desk_settle(&desk);
	for (unsigned n = 0; n < 300 && rig_mock_calls(&desk.rig, "C_FindObjectsFinal") < 6; n++) {
		rig_pump(&desk.rig, 10);
		desk_pass(&desk, 1000);
		desk_settle(&desk);
	}
	CU_ASSERT_EQUAL(rig_mock_calls(&desk.rig, "C_Initialize"), 2);
	value = keys(&desk, &sato);
	CU_ASSERT_PTR_NOT_NULL(labelled(value, "secret-1"));
	json_decref(value);
	free(sato.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a token that no application uses is shown as the HSM shows it, with keys that no record tells of",
		test_unused},
	    {"a key of the ledger and one beside it are told apart", test_known},
	    {"many keys come in several answers", test_many},
	    {"a worker that dies is followed by another, when pages ask again", test_dies},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console_hsm", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
