/* The console's questions to a real keeper: who may ask, and what a session is. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/keeper/desk.h"
#include "tests/unit/run.h"

#define RULES \
	"rule everything\n  client ca other\n  calls session query login random key-management key-use\n  need none\n"

static void
test_sign_in(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	uint32_t error;
	json_t *value;

	desk_start(&desk, RULES);
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, &error));
	CU_ASSERT_EQUAL(error, KMN_E_PEER);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	value = desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(value, "name"), "sato");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "person"), "000");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "roles")), 1);
	json_decref(value);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"sign-in\""), 1);
	value = desk_ask(&desk, &sato, KMN_UI_HEALTH, NULL, NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(value, "origin"), "kanmon.example/gw1/2026");
	json_decref(value);
	json_decref(desk_ask(&desk, &sato, KMN_UI_SIGN_OUT, NULL, NULL));
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"sign-out\""), 1);
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, &error));
	CU_ASSERT_EQUAL(error, KMN_E_PEER);
	free(sato.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a person of the policy signs in with a security key, is that person, and signs out", test_sign_in},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
