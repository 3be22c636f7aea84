/* Texts that several people sign at the console, each at their own screen: the keeper collects the signatures. */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/keeper/desk.h"
#include "tests/unit/keeper/next_policy.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define RULES \
	"rule everything\n  client ca other\n  calls session query login random key-management key-use\n  need none\n"
#define BARE "rule everything\n"

/* ---- what pages ask ---------------------------------------------------------------------------------------------- */

/* Fields of DRAFT or NOTE: the text with an assertion of that key. */
static struct kmn_writer
asserted(const struct signer *who, const char *text)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 1 << 17);
	desk_put_assertion(&w, who, text, &signer_honest);
	return w;
}

static struct kmn_writer
noted(const char *note)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 1 << 17);
	kmn_writer_u8(&w, 0);
	kmn_writer_text(&w, note);
	return w;
}

/* What that many bytes of SIGNED come to: the answer, NULL: refused. */
static json_t *
draft(struct desk *desk, struct rig_asked *asked, struct kmn_writer w, uint32_t *error)
{
	return desk_ask(desk, asked, KMN_UI_DRAFT, &w, error);
}

static size_t
count_drafts(struct desk *desk, struct rig_asked *asked)
{
	json_t *value = desk_ask(desk, asked, KMN_UI_DRAFTS, NULL, NULL);
	size_t n = json_array_size(json_object_get(value, "drafts"));

	json_decref(value);
	return n;
}

/* The names that the only draft carries, and what it lacks. */
static void
expect_draft(struct desk *desk, struct rig_asked *asked, const char *names, const char *lacks)
{
	json_t *value = desk_ask(desk, asked, KMN_UI_DRAFTS, NULL, NULL), *name;
	const json_t *one = json_array_get(json_object_get(value, "drafts"), 0);
	char all[128] = "";
	size_t n;

	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "drafts")), 1);
	json_array_foreach(json_object_get(one, "signed_by"), n, name)
	{
		(void)snprintf(
		    all + strlen(all), sizeof(all) - strlen(all), "%s%s", n > 0 ? " " : "", json_string_value(name));
	}
	CU_ASSERT_STRING_EQUAL(all, names);
	CU_ASSERT_PTR_NOT_NULL(strstr(desk_text(one, "lacks"), lacks));
	json_decref(value);
}

/* The text of a reopening or a veto; free(). NULL: refused. */
static char *
ask_text(struct desk *desk, struct rig_asked *asked, const char *what, const char *token, const char *reason)
{
	struct kmn_writer w;
	uint32_t error;
	json_t *value;
	char *text;

	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, SIGNER_ORIGIN);
	kmn_writer_text(&w, what);
	kmn_writer_text(&w, token);
	kmn_writer_text(&w, reason);
	if ((value = desk_ask(desk, asked, KMN_UI_TEXT, &w, &error)) == NULL)
		return NULL;
	CU_ASSERT_STRING_EQUAL(desk_text(value, "rp_id"), SIGNER_RP);
	text = strdup(desk_text(value, "text"));
	json_decref(value);
	return text;
}

/* ---- a version of the policy ------------------------------------------------------------------------------------- */

static char *
next_of(struct desk *desk, const char *const pairs[])
{
	char *before = rig_policy(&desk->rig), *after = next_policy(before, pairs);

	free(before);
	return after;
}

static void
test_policy(void)
{
	struct rig_asked sato = {.text = NULL}, suzuki = {.text = NULL};
	struct kmn_writer w;
	struct desk desk;
	uint32_t error;
	json_t *value;
	char *text;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	text = next_of(&desk, NULL);
	CU_ASSERT_PTR_NULL(draft(&desk, &sato, noted(text), &error)); /* a text that nobody signed */
	CU_ASSERT_PTR_NULL(draft(&desk, &sato, asserted(&desk.stranger, text), &error));
	CU_ASSERT_EQUAL(error, KMN_E_SIGNATURE);
	w = asserted(&desk.sato, text);
	value = desk_ask(&desk, &sato, KMN_UI_LINE, &w, NULL); /* the note to keep in a file; nothing is collected */
	CU_ASSERT_PTR_NOT_NULL(strstr(desk_text(value, "note"), "\n\n\xe2\x80\x94 sato"));
	json_decref(value);
	CU_ASSERT_EQUAL(count_drafts(&desk, &sato), 0);
	value = draft(&desk, &sato, asserted(&desk.sato, text), NULL);
	CU_ASSERT_EQUAL(desk_number(value, "version"), 2);
	json_decref(value);
	expect_draft(&desk, &sato, "sato", "signed by 1 of the 2 persons");
	json_decref(draft(&desk, &sato, asserted(&desk.sato, text), NULL)); /* once more is no more */
	expect_draft(&desk, &sato, "sato", "signed by 1 of the 2 persons");

	CU_ASSERT_EQUAL(rig_stop(&desk.rig), 0); /* it waits over a restart of the gateway */
	rig_restart(&desk.rig);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &suzuki, &desk.suzuki), KMN_OK);
	expect_draft(&desk, &suzuki, "sato", "signed by 1 of the 2 persons");
	value = draft(&desk, &suzuki, asserted(&desk.suzuki, text), NULL);
	CU_ASSERT_EQUAL(desk_number(value, "version"), 2);
	CU_ASSERT_TRUE(desk_number(value, "record") > 0);
	json_decref(value);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "policy", "\"version\":2"), 1);
	CU_ASSERT_EQUAL(count_drafts(&desk, &suzuki), 0);
	CU_ASSERT_PTR_NULL(draft(&desk, &suzuki, asserted(&desk.suzuki, text), &error)); /* it is in force already */
	CU_ASSERT_EQUAL(error, KMN_E_MALFORMED);
	free(text);
	free(sato.text);
	free(suzuki.text);
	desk_end(&desk);
}

/* Who comes with the next version signs it as well, at the screen of a colleague; lines that nobody knows are left out. */
static void
test_new_person(void)
{
	struct rig_asked sato = {.text = NULL};
	char line[KMN_EVIDENCE_VKEY_MAX_BYTES + 64], *text, *with, *note;
	struct desk desk;
	json_t *value;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	(void)snprintf(line, sizeof(line), "custodian stranger person:009 %s\nwebauthn ", desk.stranger.vkey);
	text = next_of(&desk, (const char *const[]){"role policy 2 sato suzuki tanaka",
				  "role policy 2 sato suzuki tanaka stranger", "webauthn ", line, NULL});
	json_decref(draft(&desk, &sato, asserted(&desk.stranger, text), NULL));
	expect_draft(&desk, &sato, "stranger", "signed by 1 of the 2 persons that role policy of version 2");
	with = world_sign(text, "sato nobody");
	value = draft(&desk, &sato, noted(with), NULL);
	note = strdup(desk_text(value, "note"));
	CU_ASSERT_PTR_NULL(strstr(note, "nobody"));
	json_decref(value);
	expect_draft(&desk, &sato, "sato stranger", "signed by 1 of the 2 persons that role policy of version 1");
	json_decref(draft(&desk, &sato, asserted(&desk.suzuki, text), NULL));
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "policy", "\"version\":2"), 1);
	free(note);
	free(with);
	free(text);
	free(sato.text);
	desk_end(&desk);
}

/* What one person begins is bounded, is taken back by who signed it, and ends with the version that it follows. */
static void
test_ends(void)
{
	struct rig_asked sato = {.text = NULL}, suzuki = {.text = NULL}, tanaka = {.text = NULL};
	struct kmn_writer w;
	struct desk desk;
	uint8_t sha256[KMN_HASH_BYTES];
	uint32_t error;
	char rule[64], *text;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &suzuki, &desk.suzuki), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &tanaka, &desk.tanaka), KMN_OK);
	for (unsigned n = 0; n <= KMN_UI_DRAFTS_OF_ONE_MAX; n++) {
		(void)snprintf(rule, sizeof(rule), "rule everything%u\n", n);
		text = next_of(&desk, (const char *const[]){BARE, rule, NULL});
		json_decref(draft(&desk, &sato, asserted(&desk.sato, text), &error));
		CU_ASSERT_EQUAL(error, n < KMN_UI_DRAFTS_OF_ONE_MAX ? KMN_OK : KMN_E_TOO_MANY);
		kmn_sha256(text, strlen(text), sha256);
		free(text);
		if (n > 0)
			continue;
		kmn_writer_init(&w, 64);
		kmn_writer_raw(&w, sha256, sizeof(sha256));
		CU_ASSERT_PTR_NULL(desk_ask(&desk, &tanaka, KMN_UI_DRAFT_DROP, &w, &error));
		CU_ASSERT_EQUAL(error, KMN_E_DENIED);
	}
	CU_ASSERT_EQUAL(count_drafts(&desk, &sato), KMN_UI_DRAFTS_OF_ONE_MAX);
	text = next_of(&desk, (const char *const[]){BARE, "rule everything0\n", NULL});
	kmn_sha256(text, strlen(text), sha256);
	kmn_writer_init(&w, 64);
	kmn_writer_raw(&w, sha256, sizeof(sha256));
	json_decref(desk_ask(&desk, &sato, KMN_UI_DRAFT_DROP, &w, NULL));
	CU_ASSERT_EQUAL(count_drafts(&desk, &sato), KMN_UI_DRAFTS_OF_ONE_MAX - 1);
	free(text);
	text = next_of(&desk, NULL);
	json_decref(draft(&desk, &suzuki, asserted(&desk.suzuki, text), NULL));
	json_decref(draft(&desk, &tanaka, asserted(&desk.tanaka, text), NULL));
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "policy", "\"version\":2"), 1);
	for (unsigned n = 0; n < 500 && count_drafts(&desk, &sato) > 0; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_EQUAL(count_drafts(&desk, &sato), 0);
	free(text);
	free(sato.text);
	free(suzuki.text);
	free(tanaka.text);
	desk_end(&desk);
}

/* ---- the recovery role, and a veto ------------------------------------------------------------------------------- */

static void
test_veto(void)
{
	struct rig_asked tanaka = {.text = NULL};
	struct kmn_writer w;
	struct desk desk;
	json_t *value;
	char *text;

	desk_start(&desk, "role recovery 1 tanaka delay 1h\n" RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &tanaka, &desk.tanaka), KMN_OK);
	CU_ASSERT_PTR_NULL(ask_text(&desk, &tanaka, "veto", "", "nothing waits"));
	text = next_of(&desk, (const char *const[]){"role policy 2 sato suzuki tanaka", "role policy 1 tanaka", NULL});
	json_decref(draft(&desk, &tanaka, asserted(&desk.tanaka, text), NULL));
	expect_draft(&desk, &tanaka, "tanaka", "of version 1"); /* enough for the recovery role: not taken by itself */
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "policy.proposal", NULL), 0);
	w = asserted(&desk.tanaka, text);
	json_decref(desk_ask(&desk, &tanaka, KMN_UI_NOTE, &w, NULL)); /* brought as it is, it waits for its delay */
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "policy.proposal", NULL), 1);
	free(text);
	text = ask_text(&desk, &tanaka, "veto", "", "not by us");
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "kanmon/veto/v1\n"));
	value = draft(&desk, &tanaka, asserted(&desk.tanaka, text), NULL);
	CU_ASSERT_TRUE(desk_number(value, "record") > 0);
	json_decref(value);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "policy.veto", NULL), 1);
	value = desk_ask(&desk, &tanaka, KMN_UI_HEALTH, NULL, NULL);
	CU_ASSERT_PTR_NULL(json_object_get(json_object_get(value, "policy"), "waiting"));
	json_decref(value);
	free(text);
	free(tanaka.text);
	desk_end(&desk);
}

/* ---- a token that is closed -------------------------------------------------------------------------------------- */

/* The HSM shows another serial number than its line: the token is sealed, until two persons say that it is well. */
static void
test_reopen(void)
{
	struct rig_asked sato = {.text = NULL}, suzuki = {.text = NULL};
	struct rig_app app = {.conn = 0};
	struct desk desk;
	json_t *value;
	char *text;

	desk_start_on(&desk, "token mock-1 serial 999\nstance mock-1 seal\n", RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &suzuki, &desk.suzuki), KMN_OK);
	CU_ASSERT_PTR_NULL(ask_text(&desk, &sato, "reopen", "mock-1", "nothing is wrong"));
	rig_attach(&desk.rig, &app, 1, &desk.rig.ca);
	CU_ASSERT_NOT_EQUAL(rig_open_session(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "anomaly", "\"token\":\"mock-1\""), 1);
	CU_ASSERT_PTR_NULL(ask_text(&desk, &sato, "reopen", "mock-1", "")); /* without a reason */
	CU_ASSERT_PTR_NULL(ask_text(&desk, &sato, "close", "mock-1", "no such thing"));
	text = ask_text(&desk, &sato, "reopen", "mock-1", "the new serial is that of the spare");
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "token mock-1\n"));
	json_decref(draft(&desk, &sato, asserted(&desk.sato, text), NULL));
	expect_draft(&desk, &sato, "sato", "signed by 1 of the 2 persons that role policy asks for");
	value = draft(&desk, &suzuki, asserted(&desk.suzuki, text), NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(value, "kind"), "kanmon/reopen/v1");
	json_decref(value);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "reopen", NULL), 1);
	CU_ASSERT_EQUAL(count_drafts(&desk, &sato), 0);
	value = desk_ask(&desk, &sato, KMN_UI_HEALTH, NULL, NULL);
	CU_ASSERT_EQUAL(json_object_size(json_object_get(value, "stances")), 0);
	json_decref(value);
	free(text);
	free(sato.text);
	free(suzuki.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a version of the policy waits for its signatures, over a restart, and is in force with the last",
		test_policy},
	    {"a new custodian signs the version that brings him; an unknown line is left out", test_new_person},
	    {"what waits is bounded, is taken back by who signed it, and ends with the version before it", test_ends},
	    {"what the recovery role alone signed is not taken by itself; a veto takes one", test_veto},
	    {"a sealed token is open again when two have signed at their screens", test_reopen},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console_draft", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
