/* The console's questions to a real keeper: who may ask, and what a session is. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/statement.h"
#include "tests/unit/keeper/desk.h"
#include "tests/unit/keeper/next_policy.h"
#include "tests/unit/run.h"

#define GUARDED \
	"rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n  per " \
	"operation\n  expires 1h\n" \
	"rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  need " \
	"none\n"
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

/* ---- a request -------------------------------------------------------------------------------------------------- */

/* An application that waits with C_Sign for a quorum: the request's index. */
static uint64_t
hold(struct desk *desk, struct rig_app *app, struct kmn_arg arg[3], uint8_t *signature, CK_ULONG *len)
{
	struct rig_frame f;
	struct kmn_reader r;
	CK_OBJECT_HANDLE key;
	uint64_t number;

	memset(app, 0, sizeof(*app));
	rig_attach(&desk->rig, app, 1, &desk->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk->rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk->rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk->rig, app, "root", &key), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_sign_init(&desk->rig, app, key), CKR_OK);
	number = rig_send_sign(&desk->rig, app, "to be signed", arg, signature, len);
	CU_ASSERT_TRUE_FATAL(rig_expect(&desk->rig, 1, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), number);
	return kmn_reader_u64(&r);
}

static json_t *
show(struct desk *desk, struct rig_asked *asked, uint64_t request)
{
	struct kmn_writer w = desk_u64(request);

	return desk_ask(desk, asked, KMN_UI_REQUEST_SHOW, &w, NULL);
}

static bool
report_shown(struct desk *desk, struct rig_asked *asked, uint64_t request, const char *text)
{
	struct kmn_writer w = desk_u64(request);
	uint8_t sha256[KMN_HASH_BYTES];
	json_t *value;
	bool agrees;

	kmn_sha256(text, strlen(text), sha256);
	kmn_writer_raw(&w, sha256, sizeof(sha256));
	value = desk_ask(desk, asked, KMN_UI_SHOWN, &w, NULL);
	agrees = json_is_true(json_object_get(value, "agrees"));
	json_decref(value);
	return agrees;
}

static void
vote(struct desk *desk, struct rig_asked *asked, const struct signer *who, const char *text, const char *check)
{
	struct kmn_writer w;
	json_t *value;

	kmn_writer_init(&w, 65536);
	desk_put_assertion(&w, who, text, &signer_honest);
	value = desk_ask(desk, asked, KMN_UI_NOTE, &w, NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(value, "check"), check);
	json_decref(value);
}

static void
test_vote(void)
{
	struct rig_asked sato = {.text = NULL}, suzuki = {.text = NULL};
	struct desk desk;
	struct rig_app app;
	struct kmn_arg arg[3];
	CK_ULONG len = 512;
	uint8_t signature[512];
	uint64_t request;
	json_t *value;
	char *text;

	desk_start(&desk, GUARDED);
	request = hold(&desk, &app, arg, signature, &len);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &suzuki, &desk.suzuki), KMN_OK);
	value = show(&desk, &sato, request);
	text = strdup(desk_text(value, "statement"));
	CU_ASSERT_EQUAL(strlen(desk_text(value, "code")), KMN_DISPLAY_CODE_BYTES - 1);
	json_decref(value);
	CU_ASSERT_TRUE(report_shown(&desk, &sato, request, text));
	vote(&desk, &sato, &desk.sato, text, "ok");
	CU_ASSERT_TRUE(report_shown(&desk, &suzuki, request, text));
	vote(&desk, &suzuki, &desk.suzuki, text, "ok");
	for (unsigned n = 0; n < 500 && rig_records(&desk.rig, "result", "sig-verified") == 0; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_EQUAL(rig_mock_calls(&desk.rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"show\""), 2);
	value = desk_ask(&desk, &suzuki, KMN_UI_REQUEST_LIST, desk_flag(true), NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(json_array_get(json_object_get(value, "requests"), 0), "state"), "done");
	json_decref(value);
	free(text);
	free(sato.text);
	free(suzuki.text);
	desk_end(&desk);
}

/* A page that shows text A while B is signed: recorded as it was, and the auditor names it. */
static void
test_lying_screen(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	struct rig_app app;
	struct kmn_arg arg[3];
	CK_ULONG len = 512;
	uint8_t signature[512];
	uint64_t request;

	desk_start(&desk, GUARDED);
	request = hold(&desk, &app, arg, signature, &len);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_FALSE(report_shown(&desk, &sato, request, "something else"));
	CU_ASSERT_TRUE(rig_said(&desk.rig, "showed something else than the statement"));
	free(sato.text);
	desk_end_refused(&desk);
}

static uint32_t
sign_in_with(struct desk *desk, struct rig_asked *asked, const struct signer *who, const char *text,
    const struct signer_says *says)
{
	struct kmn_writer w;
	uint32_t error;

	kmn_writer_init(&w, 65536);
	desk_put_peer(&w, "192.0.2.66");
	desk_put_assertion(&w, who, text, says);
	json_decref(desk_ask(desk, asked, KMN_UI_SIGN_IN, &w, &error));
	return error;
}

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

/* Who is nobody, at another page, with a text of their own, or twice with one. */
static void
test_refused(void)
{
	struct signer_says elsewhere = signer_honest, unseen = signer_honest;
	struct rig_asked asked = {.text = NULL};
	struct kmn_writer w;
	struct desk desk;
	uint32_t error;
	char *text;

	elsewhere.origin = "https://evil.example";
	unseen.flags = 0x01; /* there, and not verified */
	desk_start(&desk, RULES);
	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, "https://evil.example");
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &asked, KMN_UI_SIGN_IN_TEXT, &w, &error));
	CU_ASSERT_EQUAL(error, KMN_E_DENIED);
	text = offered(&desk, &asked);
	CU_ASSERT_EQUAL(sign_in_with(&desk, &asked, &desk.stranger, text, &signer_honest), KMN_E_SIGNATURE);
	CU_ASSERT_EQUAL(sign_in_with(&desk, &asked, &desk.sato, text, &signer_honest), KMN_OK);
	CU_ASSERT_EQUAL(sign_in_with(&desk, &asked, &desk.sato, text, &signer_honest), KMN_E_EXPIRED);
	free(text);
	text = offered(&desk, &asked);
	CU_ASSERT_EQUAL(sign_in_with(&desk, &asked, &desk.sato, text, &elsewhere), KMN_E_SIGNATURE);
	CU_ASSERT_EQUAL(sign_in_with(&desk, &asked, &desk.sato, text, &unseen), KMN_E_SIGNATURE);
	free(text);
	CU_ASSERT_EQUAL(sign_in_with(&desk, &asked, &desk.sato, "kanmon/sign-in/v1\n", &signer_honest), KMN_E_EXPIRED);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"sign-in\""), 1);
	free(asked.text);
	desk_end(&desk);
}

/* A session's bytes alone change nothing: the page must bring what it was given. */
static void
test_csrf(void)
{
	struct rig_asked sato = {.text = NULL};
	struct kmn_writer w;
	struct desk desk;
	uint32_t error;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	sato.csrf[0] ^= 1;
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_SIGN_OUT, NULL, &error));
	CU_ASSERT_EQUAL(error, KMN_E_DENIED);
	sato.csrf[0] ^= 1;
	w = desk_u64(3);
	kmn_writer_text(&w, "no reason");
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_WITHDRAW, &w, &error)); /* an operator's */
	CU_ASSERT_EQUAL(error, KMN_E_DENIED);
	rig_console_again(&desk.rig); /* the console dies: the session stands */
	json_decref(desk_ask(&desk, &sato, KMN_UI_SIGN_OUT, NULL, NULL));
	CU_ASSERT_EQUAL(memcmp(desk.rig.signed_out, sato.session, sizeof(sato.session)), 0);
	free(sato.text);
	desk_end(&desk);
}

static void
test_certificate(void)
{
	struct rig_asked desk_terminal = {.text = NULL};
	struct kmn_writer w;
	struct desk desk;
	uint32_t error;
	json_t *value;

	desk_start(&desk, RULES);
	kmn_writer_init(&w, 4096);
	desk_put_peer(&w, "192.0.2.8");
	kmn_writer_raw(&w, desk.rig.terminal.spki, KMN_HASH_BYTES);
	value = desk_ask(&desk, &desk_terminal, KMN_UI_SIGN_IN_TLS, &w, NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(value, "name"), "sato");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "by"), "certificate");
	CU_ASSERT_EQUAL(
	    rig_records(&desk.rig, "action", "\"tls\":{\"suite\":\"TLS_AES_256_GCM_SHA384\",\"ver\":\"TLS1.3\"}"),
	    1); /* how the browser's way is protected */
	json_decref(value);
	kmn_writer_init(&w, 4096);
	desk_put_peer(&w, "192.0.2.8");
	kmn_writer_raw(&w, desk.rig.ca.spki, KMN_HASH_BYTES); /* a client's, no person's */
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &desk_terminal, KMN_UI_SIGN_IN_TLS, &w, &error));
	CU_ASSERT_EQUAL(error, KMN_E_DENIED);
	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, "192.0.2.9");
	kmn_writer_text(&w, "too many attempts");
	kmn_writer_u32(&w, 20);
	json_decref(desk_ask(&desk, &desk_terminal, KMN_UI_FAILED, &w, NULL));
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"lockout\""), 1);
	free(desk_terminal.text);
	desk_end(&desk);
}

/* The version in force decides who is at the console, from one question to the next. */
static void
test_dropped(void)
{
	struct rig_asked sato = {.text = NULL}, suzuki = {.text = NULL};
	const char *pairs[3] = {NULL};
	struct desk desk;
	char *before, *after, answer[512];
	uint32_t error;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &suzuki, &desk.suzuki), KMN_OK);
	rig_open(&desk.rig, 3, &desk.rig.terminal);
	before = rig_policy(&desk.rig);
	pairs[0] = desk.suzuki.vkey;
	pairs[1] = desk.stranger.vkey;
	after = next_policy(before, pairs);
	CU_ASSERT_EQUAL(submit_policy(&desk.rig, 3, after, "sato suzuki", answer, sizeof(answer)), KMN_OK);
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &suzuki, KMN_UI_SESSION, NULL, &error));
	CU_ASSERT_EQUAL(error, KMN_E_PEER);
	for (unsigned n = 0; n < 500 && rig_records(&desk.rig, "action", "\"reason\":\"policy\"") == 0; n++)
		rig_pump(&desk.rig, 10); /* the refusal did not wait for it */
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"reason\":\"policy\""), 1);
	json_decref(desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, NULL));
	free(before);
	free(after);
	free(sato.text);
	free(suzuki.text);
	desk_end(&desk);
}

/* ---- bytes of a console that is somebody else's ------------------------------------------------------------------ */

static uint32_t
next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Any question with any fields is answered, or refused by an error of the table; the keeper goes on. */
static void
test_any_bytes(void)
{
	unsigned count = getenv("KMN_TEST_LONG") != NULL ? 50000 : 600;
	struct rig_asked sato = {.text = NULL};
	uint32_t state = 0x6b616e6d;
	struct desk desk;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	for (unsigned n = 0; n < count; n++) {
		uint8_t op = (uint8_t)(next_random(&state) % 64), bytes[200];
		size_t len = next_random(&state) % sizeof(bytes);
		uint32_t error;
		struct kmn_writer w;

		if (op == KMN_UI_SIGN_OUT || op == KMN_UI_SIGN_IN || op == KMN_UI_SIGN_IN_TLS)
			continue;                /* they end, or would take, the session that asks */
		for (size_t i = 0; i < len; i++) /* lengths are small numbers, and mostly zeros */
			bytes[i] = next_random(&state) % 4 == 0 ? (uint8_t)next_random(&state) : 0;
		kmn_writer_init(&w, sizeof(bytes));
		kmn_writer_raw(&w, bytes, len);
		error = rig_ask(&desk.rig, &sato, op, &w);
		if (error >= KMN_ERR_COUNT)
			printf("# op %u with %zu bytes: %u\n", op, len, error);
		CU_ASSERT_FATAL(error < KMN_ERR_COUNT);
	}
	json_decref(desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, NULL));
	free(sato.text);
	desk_end(&desk);
}

/* A console that does not speak the language is let go; the next one finds the session as it was. */
static void
test_no_question(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(kmn_ipc_send(desk.rig.console, KMN_CONSOLE_ASK, "short", 5, -1), KMN_OK);
	for (unsigned n = 0; n < 500 && desk.rig.console != NULL; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_PTR_NULL(desk.rig.console);
	rig_console_again(&desk.rig);
	json_decref(desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, NULL));
	free(sato.text);
	desk_end(&desk);
}

/* ---- the ledger -------------------------------------------------------------------------------------------------- */

static bool
path_of(const json_t *list, struct kmn_path *path)
{
	size_t len;

	memset(path, 0, sizeof(*path));
	for (path->count = 0; path->count < json_array_size(list); path->count++) {
		const char *b64 = json_string_value(json_array_get(list, path->count));

		if (kmn_b64_parse(b64, strlen(b64), path->hash[path->count], KMN_HASH_BYTES, &len) != KMN_OK)
			return false;
	}
	return true;
}

static void
test_proofs(void)
{
	struct rig_asked sato = {.text = NULL};
	struct kmn_head head = {.size = 0};
	struct kmn_record record;
	struct kmn_path path;
	struct kmn_writer w;
	struct desk desk;
	const char *line;
	uint32_t error;
	json_t *value, *proof;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	w = desk_u64(1);
	kmn_writer_u32(&w, 1000);
	value = desk_ask(&desk, &sato, KMN_UI_RECORDS, &w, NULL);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "records")), desk_number(value, "size") - 1);
	line = json_string_value(json_array_get(json_object_get(value, "records"), 0));
	CU_ASSERT_EQUAL_FATAL(kmn_record_parse(line, strlen(line), &record, NULL), KMN_OK);
	w = desk_u64(1);
	kmn_writer_u64(&w, 0);
	proof = desk_ask(&desk, &sato, KMN_UI_PROOF, &w, NULL);
	head.size = desk_number(proof, "size");
	CU_ASSERT_TRUE(kmn_json_get_b64(proof, "root", head.root, sizeof(head.root)));
	CU_ASSERT_TRUE(path_of(json_object_get(proof, "path"), &path));
	CU_ASSERT_EQUAL(kmn_inclusion_verify(record.leaf, 1, &head, &path), KMN_OK);
	json_decref(proof);
	json_decref(value);
	kmn_record_clear(&record);
	w = desk_u64(1000000);
	kmn_writer_u64(&w, 0);
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_PROOF, &w, &error));
	CU_ASSERT_EQUAL(error, KMN_E_NOT_FOUND);
	w = desk_u64(2);
	kmn_writer_u64(&w, 0);
	json_decref(desk_ask(&desk, &sato, KMN_UI_CONSISTENCY, &w, NULL));
	value = desk_ask(&desk, &sato, KMN_UI_CHECKPOINT, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(desk_text(value, "note"), "kanmon.example/gw1/2026\n"));
	json_decref(value);
	w = desk_u64(0);
	value = desk_ask(&desk, &sato, KMN_UI_POLICY, &w, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(desk_text(value, "note"), "kanmon/policy/v1"));
	json_decref(value);
	free(sato.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a person of the policy signs in with a security key, is that person, and signs out", test_sign_in},
	    {"two persons see a statement and approve it, and the call goes on", test_vote},
	    {"a screen that showed something else than the statement is a finding of the auditor's", test_lying_screen},
	    {"a stranger, another page, a text that was used: nobody signs in", test_refused},
	    {"who has the cookie and not the page's value changes nothing", test_csrf},
	    {"a terminal's certificate signs in its person, a client's nobody; who is shut out is recorded",
		test_certificate},
	    {"a policy that drops a key ends the session that began with it, and no other", test_dropped},
	    {"any question with any bytes is answered or refused", test_any_bytes},
	    {"what is no question ends the link, and no session", test_no_question},
	    {"records, proofs, checkpoint and policy are those of the ledger", test_proofs},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
