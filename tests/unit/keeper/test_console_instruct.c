/* An operator at the console: what is instructed is what is called, once, and nobody who instructs approves. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/attach.h"
#include "tests/unit/keeper/desk.h"
#include "tests/unit/keeper/next_policy.h"
#include "tests/unit/run.h"

#define RULES \
	"rule make\n  client ca\n  object pkcs11:token=mock-1;object=new\n  calls key-management\n  need keepers\n  " \
	"per " \
	"operation\n  expires 1h\n" \
	"rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  need " \
	"none\n"
#define FILE_TEXT "to be signed"

struct ordered {
	const char *what, *label, *mechanism, *file, *rule;
};

static json_t *
offer(struct desk *desk, struct rig_asked *who, const struct ordered *ordered, uint32_t *error)
{
	uint8_t sha256[KMN_HASH_BYTES] = {0};
	struct kmn_writer w;

	if (ordered->file != NULL)
		kmn_sha256(ordered->file, strlen(ordered->file), sha256);
	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, SIGNER_ORIGIN);
	kmn_writer_text(&w, ordered->what);
	kmn_writer_text(&w, "mock-1");
	kmn_writer_text(&w, ordered->rule != NULL ? ordered->rule : "");
	kmn_writer_text(&w, ordered->label);
	kmn_writer_text(&w, "");
	kmn_writer_text(&w, ordered->mechanism);
	kmn_writer_text(&w, "");
	kmn_writer_u64(&w, ordered->file != NULL ? strlen(ordered->file) : 0);
	kmn_writer_raw(&w, sha256, sizeof(sha256));
	kmn_writer_text(&w, "New key");
	return desk_ask(desk, who, KMN_UI_INSTRUCTION_TEXT, &w, error);
}

/* The kmn_err; *application is "action N". */
static uint32_t
instruct(struct desk *desk, struct rig_asked *who, const struct signer *key, const struct ordered *ordered,
    const char *file, char application[40])
{
	struct kmn_writer w;
	uint32_t error;
	json_t *text = offer(desk, who, ordered, &error), *value;

	application[0] = '\0';
	if (text == NULL)
		return error;
	kmn_writer_init(&w, 65536);
	desk_put_assertion(&w, key, desk_text(text, "text"), &signer_honest);
	kmn_writer_bytes(&w, file, strlen(file));
	json_decref(text);
	value = desk_ask(desk, who, KMN_UI_INSTRUCT, &w, &error);
	snprintf(application, 40, "%s", desk_text(value, "application"));
	json_decref(value);
	return error;
}

static uint32_t
attach_next(struct desk *desk, struct rig_app *app, const char *application)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 8192);
	kmn_writer_u16(&w, KMN_ADMIN_ATTACH_NEXT);
	kmn_writer_raw(&w, app->id, sizeof(app->id));
	kmn_writer_u64(&w, app->session);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_text(&w, application);
	kmn_writer_bytes(&w, NULL, 0);
	return rig_admin(&desk->rig, 1, &w, NULL, 0);
}

static void
begin(struct desk *desk, struct rig_app *app, struct rig_asked *tanaka)
{
	memset(app, 0, sizeof(*app));
	memset(tanaka, 0, sizeof(*tanaka));
	desk_start(desk, RULES);
	CU_ASSERT_EQUAL_FATAL(desk_sign_in(desk, tanaka, &desk->tanaka), KMN_OK);
	rig_attach(&desk->rig, app, 1, &desk->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk->rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk->rig, app), CKR_OK);
}

static const struct ordered new_key = {"generate", "new", "CKM_RSA_PKCS_KEY_PAIR_GEN", NULL, NULL};

/* C_GenerateKeyPair that a quorum holds: the request. */
static uint64_t
send_generate(struct desk *desk, struct rig_app *app)
{
	CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE public, private;
	CK_ULONG bits = 2048;
	char name[] = "new";
	CK_ATTRIBUTE pub[] = {{CKA_LABEL, name, 3}, {CKA_ID, name, 3}, {CKA_MODULUS_BITS, &bits, sizeof(bits)}};
	CK_ATTRIBUTE priv[] = {{CKA_LABEL, name, 3}, {CKA_ID, name, 3}};
	struct kmn_arg arg[] = {{.u = app->session}, {.p = &mechanism}, {.p = pub, .u = 3}, {.p = priv, .u = 2},
	    {.p = &public}, {.p = &private}};
	struct rig_frame f;
	struct kmn_reader r;
	uint8_t *payload;
	size_t len;

	rig_payload(KMN_C_GenerateKeyPair, arg, KMN_COUNT_OF(arg), &payload, &len);
	rig_call_raw(&desk->rig, app->conn, ++app->number, app->acknowledged, payload, len);
	free(payload);
	if (!rig_expect(&desk->rig, 1, KMN_F_HELD, &f))
		return 0;
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u64(&r);
}

static void
approve(struct desk *desk, const struct signer *who, uint64_t request, const char *check)
{
	struct rig_asked asked = {.text = NULL};
	struct kmn_writer w = desk_u64(request);
	json_t *value, *vote;

	CU_ASSERT_EQUAL_FATAL(desk_sign_in(desk, &asked, who), KMN_OK);
	value = desk_ask(desk, &asked, KMN_UI_REQUEST_SHOW, &w, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(desk_text(value, "statement"), "\napplication action "));
	kmn_writer_init(&w, 65536);
	desk_put_assertion(&w, who, desk_text(value, "statement"), &signer_honest);
	vote = desk_ask(desk, &asked, KMN_UI_NOTE, &w, NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(vote, "check"), check);
	json_decref(vote);
	json_decref(value);
	free(asked.text);
}

static void
test_generate(void)
{
	struct rig_asked tanaka;
	char application[40];
	struct rig_app app;
	struct desk desk;
	uint64_t request;

	begin(&desk, &app, &tanaka);
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &new_key, "", application), KMN_OK);
	CU_ASSERT_EQUAL(attach_next(&desk, &app, application), KMN_OK);
	request = send_generate(&desk, &app);
	CU_ASSERT_NOT_EQUAL_FATAL(request, 0);
	approve(&desk, &desk.tanaka, request, "tanaka operates the client that asks");
	approve(&desk, &desk.sato, request, "ok");
	CU_ASSERT_EQUAL(rig_mock_calls(&desk.rig, "C_GenerateKeyPair"), 0);
	approve(&desk, &desk.suzuki, request, "ok");
	for (unsigned n = 0; n < 500 && rig_records(&desk.rig, "result", NULL) == 0; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_EQUAL(rig_mock_calls(&desk.rig, "C_GenerateKeyPair"), 1);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "intent", "\"application\":{\"id\":\"action "), 1);
	free(tanaka.text);
	desk_end(&desk);
}

/* Refused: no request comes of it, and the record of the call names no instruction. */
static void
expect_refused(struct desk *desk, struct rig_app *app, const char *application, const char *label)
{
	CK_OBJECT_HANDLE key;
	CK_RV rv;

	CU_ASSERT_EQUAL(attach_next(desk, app, application), KMN_OK);
	rv = rig_generate(&desk->rig, app, label, &key);
	if (rv == CKR_OK)
		printf("# a key %s was made for %s\n", label, application);
	CU_ASSERT_NOT_EQUAL(rv, CKR_OK);
}

static void
test_another(void)
{
	struct ordered free_key = {"generate", "other", "CKM_RSA_PKCS_KEY_PAIR_GEN", NULL, NULL};
	struct rig_asked tanaka;
	char application[40];
	CK_OBJECT_HANDLE key;
	struct rig_app app;
	struct desk desk;

	begin(&desk, &app, &tanaka);
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &free_key, "", application), KMN_OK);
	expect_refused(&desk, &app, application, "third");
	expect_refused(&desk, &app, "action 1", "other");
	CU_ASSERT_EQUAL(attach_next(&desk, &app, "Action 1"), KMN_E_ARGUMENTS); /* to be read as if it were one */
	CU_ASSERT_EQUAL(attach_next(&desk, &app, "action 01"), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(attach_next(&desk, &app, " action"), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(attach_next(&desk, &app, "actionable 1"), KMN_OK);
	CU_ASSERT_EQUAL(attach_next(&desk, &app, application), KMN_OK);
	CU_ASSERT_EQUAL(rig_generate(&desk.rig, &app, "other", &key), CKR_OK);
	expect_refused(&desk, &app, application, "other"); /* once */
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "intent", "\"application\":{\"id\":\"action "), 1);
	free(tanaka.text);
	desk_end(&desk);
}

/* What was wanted under one version is not done under the next, which may have other operators. */
static void
test_new_version(void)
{
	struct ordered free_key = {"generate", "other", "CKM_RSA_PKCS_KEY_PAIR_GEN", NULL, NULL};
	char application[40], answer[512], *before, *after;
	const char *pairs[3] = {NULL};
	struct rig_asked tanaka;
	struct rig_app app;
	struct desk desk;

	begin(&desk, &app, &tanaka);
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &free_key, "", application), KMN_OK);
	rig_open(&desk.rig, 3, &desk.rig.terminal);
	before = rig_policy(&desk.rig);
	pairs[0] = desk.suzuki.vkey;
	pairs[1] = desk.stranger.vkey;
	after = next_policy(before, pairs);
	CU_ASSERT_EQUAL(submit_policy(&desk.rig, 3, after, "sato suzuki", answer, sizeof(answer)), KMN_OK);
	expect_refused(&desk, &app, application, "other");
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &free_key, "", application), KMN_OK);
	CU_ASSERT_EQUAL(attach_next(&desk, &app, application), KMN_OK);
	CU_ASSERT_EQUAL(rig_generate(&desk.rig, &app, "other", &(CK_OBJECT_HANDLE){0}), CKR_OK);
	free(before);
	free(after);
	free(tanaka.text);
	desk_end(&desk);
}

static void
test_who(void)
{
	static const struct ordered sign = {"sign", "root", "CKM_SHA256_RSA_PKCS", FILE_TEXT, NULL};
	struct rig_asked tanaka, sato = {.text = NULL};
	struct ordered wrong = new_key;
	char application[40];
	struct rig_app app;
	struct desk desk;

	begin(&desk, &app, &tanaka);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(instruct(&desk, &sato, &desk.sato, &new_key, "", application), KMN_E_DENIED);
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.sato, &new_key, "", application), KMN_E_DENIED);
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.stranger, &new_key, "", application), KMN_E_SIGNATURE);
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &sign, "another file", application), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &sign, FILE_TEXT, application), KMN_OK);
	wrong.rule = "no-such-rule";
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &wrong, "", application), KMN_E_DENIED);
	wrong.rule = NULL;
	wrong.what = "wipe";
	CU_ASSERT_EQUAL(instruct(&desk, &tanaka, &desk.tanaka, &wrong, "", application), KMN_E_DENIED);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"instruct\""), 1);
	free(tanaka.text);
	free(sato.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a key that an operator wants is made when others approve, and the statement says who wanted it",
		test_generate},
	    {"an instruction is of one call, the one that it describes", test_another},
	    {"an instruction ends with the version of the policy that it was signed under", test_new_version},
	    {"who is no operator, or signs for another, another file, or names no rule of the policy, instructs nothing",
		test_who},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console_instruct", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
