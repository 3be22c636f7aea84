/* Sessions and texts of the console by a clock that the test moves, and what is counted of sign-ins that are refused. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/action.h"
#include "tests/unit/keeper/desk.h"
#include "tests/unit/run.h"

#define RULES \
	"rule everything\n  client ca other\n  calls session query login random key-management key-use\n  need none\n"
#define MINUTE_MS 60000

static void
pass(struct desk *desk, int64_t ms)
{
	desk_pass(desk, ms);
	desk_settle(desk);
}

/* Whether the session is one; asking keeps it from being idle. */
static bool
is_signed_in(struct desk *desk, struct rig_asked *asked)
{
	uint32_t error;
	json_t *value = desk_ask(desk, asked, KMN_UI_SESSION, NULL, &error);
	bool is = value != NULL;

	CU_ASSERT_TRUE(is || error == KMN_E_PEER);
	json_decref(value);
	return is;
}

static bool
was_told(struct desk *desk, const struct rig_asked *asked)
{
	for (unsigned n = 0; n < 200 && memcmp(desk->rig.signed_out, asked->session, sizeof(asked->session)) != 0; n++)
		rig_pump(&desk->rig, 10);
	return memcmp(desk->rig.signed_out, asked->session, sizeof(asked->session)) == 0;
}

static void
test_idle(void)
{
	struct rig_asked sato = {.text = NULL}, suzuki = {.text = NULL};
	struct desk desk;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &suzuki, &desk.suzuki), KMN_OK);
	pass(&desk, KMN_UI_IDLE_MS - MINUTE_MS);
	CU_ASSERT_TRUE(is_signed_in(&desk, &sato)); /* who asks is not idle */
	pass(&desk, 2 * MINUTE_MS);
	CU_ASSERT_TRUE(was_told(&desk, &suzuki)); /* and who does not is signed out, without a question */
	CU_ASSERT_FALSE(is_signed_in(&desk, &suzuki));
	for (unsigned n = 0; n < 200 && rig_records(&desk.rig, "action", "\"reason\":\"idle\"") == 0; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"reason\":\"idle\""), 1);
	CU_ASSERT_TRUE(is_signed_in(&desk, &sato));
	free(sato.text);
	free(suzuki.text);
	desk_end(&desk);
}

static void
test_over(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	int64_t passed = 0;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	for (; passed < KMN_ACTION_SESSION_MS - KMN_UI_IDLE_MS; passed += KMN_UI_IDLE_MS / 2) {
		pass(&desk, KMN_UI_IDLE_MS / 2);
		CU_ASSERT_TRUE_FATAL(is_signed_in(&desk, &sato));
	}
	pass(&desk, KMN_ACTION_SESSION_MS - passed - MINUTE_MS);
	CU_ASSERT_TRUE(is_signed_in(&desk, &sato));
	pass(&desk, 2 * MINUTE_MS); /* however busy: a day's work is over */
	CU_ASSERT_TRUE(was_told(&desk, &sato));
	CU_ASSERT_FALSE(is_signed_in(&desk, &sato));
	for (unsigned n = 0; n < 200 && rig_records(&desk.rig, "action", "\"reason\":\"over\"") == 0; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"reason\":\"over\""), 1);
	free(sato.text);
	desk_end(&desk);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static char *
offered(struct desk *desk, struct rig_asked *asked)
{
	struct kmn_writer w;
	json_t *value;
	char *text;

	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, SIGNER_ORIGIN);
	value = desk_ask(desk, asked, KMN_UI_SIGN_IN_TEXT, &w, NULL);
	text = strdup(desk_text(value, "text"));
	json_decref(value);
	return text;
}

static uint32_t
sign_in_from(
    struct desk *desk, struct rig_asked *asked, const struct signer *who, const char *text, const char *address)
{
	struct kmn_writer w;
	uint32_t error;

	memset(asked->session, 0, sizeof(asked->session));
	kmn_writer_init(&w, 65536);
	desk_put_peer(&w, address);
	desk_put_assertion(&w, who, text, &signer_honest);
	json_decref(desk_ask(desk, asked, KMN_UI_SIGN_IN, &w, &error));
	return error;
}

static void
test_text(void)
{
	struct rig_asked asked = {.text = NULL};
	struct desk desk;
	char *early, *late;

	desk_start(&desk, RULES);
	early = offered(&desk, &asked);
	pass(&desk, KMN_ACTION_TEXT_LIFE_MS - 2000);
	late = offered(&desk, &asked);
	pass(&desk, 4000);
	CU_ASSERT_EQUAL(sign_in_from(&desk, &asked, &desk.sato, early, "192.0.2.7"), KMN_E_EXPIRED);
	CU_ASSERT_EQUAL(sign_in_from(&desk, &asked, &desk.sato, late, "192.0.2.7"), KMN_OK);
	free(early);
	free(late);
	free(asked.text);
	desk_end(&desk);
}

/* ---- refused ----------------------------------------------------------------------------------------------------- */

/* Each minute one record for each of a few addresses, and one for all others: a flood costs no more. */
static void
test_counted(void)
{
	struct rig_asked asked = {.text = NULL};
	struct desk desk;
	char address[32];

	desk_start(&desk, RULES);
	pass(&desk, MINUTE_MS);
	for (unsigned n = 0; n < 40; n++) {
		(void)snprintf(address, sizeof(address), "192.0.2.%u", n % 20);
		CU_ASSERT_NOT_EQUAL(sign_in_from(&desk, &asked, &desk.stranger, "no text of ours", address), KMN_OK);
	}
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"refused\""), 0);
	pass(&desk, MINUTE_MS);
	for (unsigned n = 0; n < 200 && rig_records(&desk.rig, "action", "\"what\":\"refused\"") < 9; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"refused\""), 9);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"count\":2,"), 8);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"address\":\"others\""), 1);
	pass(&desk, MINUTE_MS);
	rig_pump(&desk.rig, 50);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"refused\""), 9); /* they are told once */
	free(asked.text);
	desk_end(&desk);
}

static uint32_t
report_lockout(struct desk *desk, struct rig_asked *asked)
{
	struct kmn_writer w;
	uint32_t error;

	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, "192.0.2.9");
	kmn_writer_text(&w, "refused sign-ins");
	kmn_writer_u32(&w, 5);
	json_decref(desk_ask(desk, asked, KMN_UI_FAILED, &w, &error));
	return error;
}

/* A console that tells of lockouts without end fills no ledger. */
static void
test_lockouts(void)
{
	struct rig_asked asked = {.text = NULL};
	struct desk desk;

	desk_start(&desk, RULES);
	pass(&desk, MINUTE_MS);
	for (unsigned n = 0; n < 30; n++)
		CU_ASSERT_EQUAL(report_lockout(&desk, &asked), KMN_OK);
	CU_ASSERT_EQUAL(report_lockout(&desk, &asked), KMN_E_TOO_MANY);
	pass(&desk, MINUTE_MS);
	CU_ASSERT_EQUAL(report_lockout(&desk, &asked), KMN_OK);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"lockout\""), 31);
	free(asked.text);
	desk_end(&desk);
}

/* Nine sessions of one person are eight: the one that asked nothing for the longest time goes. */
static void
test_elsewhere(void)
{
	struct rig_asked asked[9] = {{.text = NULL}};
	struct desk desk;

	desk_start(&desk, RULES);
	for (unsigned n = 0; n < KMN_COUNT_OF(asked); n++) {
		CU_ASSERT_EQUAL(desk_sign_in(&desk, &asked[n], &desk.sato), KMN_OK);
		pass(&desk, 2000);
		CU_ASSERT_TRUE(is_signed_in(&desk, &asked[0])); /* the first is in use */
	}
	CU_ASSERT_FALSE(is_signed_in(&desk, &asked[1]));
	CU_ASSERT_TRUE(is_signed_in(&desk, &asked[2]));
	for (unsigned n = 0; n < KMN_COUNT_OF(asked); n++)
		free(asked[n].text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a session that asks nothing for a quarter of an hour ends by itself, and no other", test_idle},
	    {"however busy, a session ends when its time is over", test_over},
	    {"a text to sign in with is good for minutes", test_text},
	    {"refused sign-ins are counted into one record a minute, of few addresses", test_counted},
	    {"lockouts are recorded at a bounded rate", test_lockouts},
	    {"a person has eight sessions; the one longest unused gives way", test_elsewhere},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console_time", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
