/* Jobs for runners: given when they are recorded, one to each, told of when they end. The test plays the runner. */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "tests/unit/keeper/desk.h"
#include "tests/unit/run.h"

#define RULES \
	"rule never\n  client ca\n  object pkcs11:token=mock-1;object=banned\n  calls key-management\n  need deny\n" \
	"rule held\n  client ca\n  object pkcs11:token=mock-1;object=held\n  calls key-management\n  need keepers\n  " \
	"per operation\n  expires 1h\n" \
	"rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  need " \
	"none\n"
#define FILE_TEXT "to be signed"
#define PIN "7654321"

static struct kmn_ipc *
bring_runner(struct rig *rig, uint8_t place)
{
	struct kmn_ipc *runner = NULL;
	struct kmn_writer w;
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &runner), KMN_OK);
	kmn_writer_init(&w, 64);
	kmn_writer_text(&w, "start");
	kmn_writer_u8(&w, place);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_send(rig->supervisor, KMN_S_RUNNER, w.bytes, w.len, pair[1]), KMN_OK);
	kmn_writer_clear(&w);
	(void)close(pair[1]);
	rig_pump(rig, 50);
	return runner;
}

/* The record; 0: refused. */
static uint64_t
instruct(struct desk *desk, struct rig_asked *who, const char *what, const char *label)
{
	uint8_t sha256[KMN_HASH_BYTES] = {0};
	bool sign = strcmp(what, "sign") == 0;
	struct kmn_writer w;
	json_t *text, *value;
	uint64_t record;

	if (sign)
		kmn_sha256(FILE_TEXT, strlen(FILE_TEXT), sha256);
	kmn_writer_init(&w, 65536);
	kmn_writer_text(&w, SIGNER_ORIGIN);
	kmn_writer_text(&w, what);
	kmn_writer_text(&w, "mock-1");
	kmn_writer_text(&w, "");
	kmn_writer_text(&w, label);
	kmn_writer_text(&w, strcmp(what, "generate") == 0 ? "" : "0aff");
	kmn_writer_text(&w, sign ? "CKM_SHA256_RSA_PKCS" : "");
	kmn_writer_text(&w, "");
	kmn_writer_u64(&w, sign ? strlen(FILE_TEXT) : 0);
	kmn_writer_raw(&w, sha256, sizeof(sha256));
	kmn_writer_text(&w, "A purpose");
	text = desk_ask(desk, who, KMN_UI_INSTRUCTION_TEXT, &w, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	kmn_writer_init(&w, 65536);
	desk_put_assertion(&w, &desk->tanaka, desk_text(text, "text"), &signer_honest);
	kmn_writer_text(&w, sign ? FILE_TEXT : "");
	kmn_writer_text(&w, PIN);
	json_decref(text);
	value = desk_ask(desk, who, KMN_UI_INSTRUCT, &w, NULL);
	record = value != NULL ? desk_number(value, "record") : 0;
	json_decref(value);
	return record;
}

struct order {
	uint64_t record;
	char what[32], token[64], serial[64], rule[64], label[64], mechanism[64], parameters[64], purpose[64], pin[64],
	    file[64];
	uint8_t id[16];
	size_t id_len;
};

static void
get_bytes(struct kmn_reader *r, char *out, size_t room)
{
	const uint8_t *view;
	size_t len = kmn_reader_bytes(r, room - 1, &view);

	if (len > 0)
		memcpy(out, view, len);
	out[len] = '\0';
}

/* What the runner is told within a second; false: nothing. */
static bool
hear(struct rig *rig, struct kmn_ipc *runner, struct order *order)
{
	struct kmn_ipc_message m;
	const uint8_t *id;
	struct kmn_reader r;
	kmn_err e = KMN_E_AGAIN;

	memset(order, 0, sizeof(*order));
	for (unsigned n = 0; n < 50 && (e = kmn_ipc_poll(runner, &m)) == KMN_E_AGAIN; n++)
		rig_pump(rig, 10);
	if (e != KMN_OK)
		return false;
	CU_ASSERT_EQUAL(m.kind, KMN_RUNNER_DO);
	kmn_reader_init(&r, m.body, m.len_bytes);
	order->record = kmn_reader_u64(&r);
	kmn_reader_text(&r, order->what, sizeof(order->what));
	kmn_reader_text(&r, order->token, sizeof(order->token));
	kmn_reader_text(&r, order->serial, sizeof(order->serial));
	kmn_reader_text(&r, order->rule, sizeof(order->rule));
	kmn_reader_text(&r, order->label, sizeof(order->label));
	order->id_len = kmn_reader_bytes(&r, sizeof(order->id), &id);
	if (order->id_len > 0)
		memcpy(order->id, id, order->id_len);
	kmn_reader_text(&r, order->mechanism, sizeof(order->mechanism));
	kmn_reader_text(&r, order->parameters, sizeof(order->parameters));
	kmn_reader_text(&r, order->purpose, sizeof(order->purpose));
	CU_ASSERT_TRUE(kmn_reader_u32(&r) > 3600);
	get_bytes(&r, order->file, sizeof(order->file));
	get_bytes(&r, order->pin, sizeof(order->pin));
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	return true;
}

static void
tell_done(struct rig *rig, struct kmn_ipc *runner, uint64_t record, const char *why)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 4096);
	kmn_writer_u64(&w, record);
	kmn_writer_text(&w, why);
	kmn_writer_u64(&w, 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_send(runner, KMN_RUNNER_DONE, w.bytes, w.len, -1), KMN_OK);
	kmn_writer_clear(&w);
	rig_pump(rig, 50);
}

static void
expect_state(struct desk *desk, struct rig_asked *who, uint64_t record, const char *state, const char *why)
{
	struct kmn_writer w = desk_u64(record);
	json_t *value = desk_ask(desk, who, KMN_UI_INSTRUCTION, &w, NULL);

	CU_ASSERT_STRING_EQUAL(desk_text(value, "state"), state);
	CU_ASSERT_PTR_NOT_NULL(strstr(desk_text(value, "why"), why));
	json_decref(value);
}

static void
begin(struct desk *desk, struct rig_asked *tanaka)
{
	memset(tanaka, 0, sizeof(*tanaka));
	desk_start(desk, RULES);
	CU_ASSERT_EQUAL_FATAL(desk_sign_in(desk, tanaka, &desk->tanaka), KMN_OK);
}

static void
test_job(void)
{
	struct rig_asked tanaka;
	struct kmn_ipc *runner;
	struct order order;
	struct desk desk;
	uint64_t record;

	begin(&desk, &tanaka);
	runner = bring_runner(&desk.rig, 0);
	record = instruct(&desk, &tanaka, "sign", "a \\ key");
	CU_ASSERT_TRUE_FATAL(hear(&desk.rig, runner, &order));
	CU_ASSERT_EQUAL(order.record, record);
	CU_ASSERT_STRING_EQUAL(order.what, "sign");
	CU_ASSERT_STRING_EQUAL(order.token, "mock-1");
	CU_ASSERT_STRING_EQUAL(order.label, "a \\ key");
	CU_ASSERT_TRUE(order.id_len == 2 && order.id[0] == 0x0a && order.id[1] == 0xff);
	CU_ASSERT_STRING_EQUAL(order.mechanism, "CKM_SHA256_RSA_PKCS");
	CU_ASSERT_STRING_EQUAL(order.purpose, "A purpose");
	CU_ASSERT_STRING_EQUAL(order.file, FILE_TEXT);
	CU_ASSERT_STRING_EQUAL(order.pin, PIN);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"instruct\""), 1);
	expect_state(&desk, &tanaka, record, "running", "");
	tell_done(&desk.rig, runner, record, ""); /* nobody called */
	expect_state(&desk, &tanaka, record, "failed", "the ledger has no such call");
	kmn_ipc_free(runner);
	free(tanaka.text);
	desk_end(&desk);
}

static void
test_turns(void)
{
	struct kmn_ipc *runner, *second;
	struct rig_asked tanaka;
	struct order order;
	struct desk desk;
	uint64_t record[3];

	begin(&desk, &tanaka);
	runner = bring_runner(&desk.rig, 0);
	for (unsigned n = 0; n < 3; n++)
		record[n] = instruct(&desk, &tanaka, "destroy", "key");
	CU_ASSERT_TRUE(hear(&desk.rig, runner, &order) && order.record == record[0]);
	CU_ASSERT_FALSE(hear(&desk.rig, runner, &order));
	expect_state(&desk, &tanaka, record[1], "waiting", "");
	second = bring_runner(&desk.rig, 3);
	CU_ASSERT_TRUE(hear(&desk.rig, second, &order) && order.record == record[1]);
	tell_done(&desk.rig, runner, record[0], "C_DestroyObject: CKR_FUNCTION_REJECTED");
	CU_ASSERT_TRUE(hear(&desk.rig, runner, &order) && order.record == record[2]);
	expect_state(&desk, &tanaka, record[0], "failed", "CKR_FUNCTION_REJECTED");
	kmn_ipc_free(runner);
	kmn_ipc_free(second);
	free(tanaka.text);
	desk_end(&desk);
}

static void
test_lost(void)
{
	struct rig_asked tanaka;
	struct kmn_ipc *runner;
	struct kmn_writer w;
	struct order order;
	struct desk desk;
	uint64_t record;
	uint32_t error;

	begin(&desk, &tanaka);
	runner = bring_runner(&desk.rig, 1);
	record = instruct(&desk, &tanaka, "destroy", "key");
	CU_ASSERT_TRUE(hear(&desk.rig, runner, &order));
	kmn_ipc_free(runner);
	rig_pump(&desk.rig, 50);
	expect_state(&desk, &tanaka, record, "lost", "nothing was done. Sign it again");
	runner = bring_runner(&desk.rig, 1);
	CU_ASSERT_FALSE(hear(&desk.rig, runner, &order)); /* never twice */
	record = instruct(&desk, &tanaka, "destroy", "key");
	CU_ASSERT_TRUE(hear(&desk.rig, runner, &order));
	tell_done(&desk.rig, runner, record + 1, "");
	expect_state(&desk, &tanaka, record, "lost", "nothing was done. Sign it again");
	w = desk_u64(1);
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &tanaka, KMN_UI_INSTRUCTION, &w, &error));
	CU_ASSERT_EQUAL(error, KMN_E_NOT_FOUND);
	kmn_ipc_free(runner);
	free(tanaka.text);
	desk_end(&desk);
}

/* ---- what records say -------------------------------------------------------------------------------------------- */

/* The test is the runner's application too: makes a key for that instruction. */
static CK_RV
make_for(struct desk *desk, struct rig_app *app, uint64_t record, const char *label)
{
	CK_OBJECT_HANDLE key;
	struct kmn_writer w;
	char id[40];

	(void)snprintf(id, sizeof(id), "action %llu", (unsigned long long)record);
	kmn_writer_init(&w, 8192);
	kmn_writer_u16(&w, KMN_ADMIN_ATTACH_NEXT);
	kmn_writer_raw(&w, app->id, sizeof(app->id));
	kmn_writer_u64(&w, app->session);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_text(&w, id);
	kmn_writer_bytes(&w, NULL, 0);
	CU_ASSERT_EQUAL(rig_admin(&desk->rig, 1, &w, NULL, 0), KMN_OK);
	return rig_generate(&desk->rig, app, label, &key);
}

static void
begin_calls(struct desk *desk, struct rig_asked *tanaka, struct rig_app *app)
{
	begin(desk, tanaka);
	memset(app, 0, sizeof(*app));
	rig_attach(&desk->rig, app, 1, &desk->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk->rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk->rig, app), CKR_OK);
}

static json_t *
ask_of(struct desk *desk, struct rig_asked *who, uint64_t record)
{
	struct kmn_writer w = desk_u64(record);

	return desk_ask(desk, who, KMN_UI_INSTRUCTION, &w, NULL);
}

/* Result, its form, its record and the proof of that; the same whoever asks, and whenever. */
static void
expect_made(const json_t *value)
{
	CU_ASSERT_STRING_EQUAL(desk_text(value, "state"), "done");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "operator"), "tanaka");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "what"), "generate");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "token"), "mock-1");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "key"), "other");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "purpose"), "A purpose");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "form"), "public-key");
	CU_ASSERT_TRUE(strlen(desk_text(value, "result")) > 300);
	CU_ASSERT_EQUAL(strncmp(desk_text(value, "pem"), "-----BEGIN PUBLIC KEY-----\n", 27), 0);
	CU_ASSERT_TRUE(desk_number(value, "operation") > desk_number(value, "request"));
	CU_ASSERT_EQUAL(strncmp(desk_text(value, "proof"), "c2sp.org/tlog-proof@v1\nextra ", 29), 0);
	CU_ASSERT_PTR_NULL(json_object_get(value, "complete"));
}

static void
test_records(void)
{
	struct rig_asked tanaka, sato = {.text = NULL};
	struct kmn_ipc *runner;
	json_t *first, *again;
	struct order order;
	struct rig_app app;
	struct desk desk;
	uint64_t record;

	begin_calls(&desk, &tanaka, &app);
	runner = bring_runner(&desk.rig, 0);
	record = instruct(&desk, &tanaka, "generate", "other");
	CU_ASSERT_TRUE_FATAL(hear(&desk.rig, runner, &order));
	CU_ASSERT_EQUAL(make_for(&desk, &app, record, "other"), CKR_OK);
	kmn_ipc_free(runner); /* the answer of a runner is lost: what it did is not */
	rig_pump(&desk.rig, 50);
	expect_made(first = ask_of(&desk, &tanaka, record));
	CU_ASSERT_EQUAL(rig_stop(&desk.rig), 0);
	rig_restart(&desk.rig);
	CU_ASSERT_EQUAL_FATAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	expect_made(again = ask_of(&desk, &sato, record));
	(void)json_object_del(first, "proof"); /* each under the checkpoint of its time */
	(void)json_object_del(again, "proof");
	CU_ASSERT_TRUE(json_equal(first, again));
	json_decref(first);
	json_decref(again);
	free(tanaka.text);
	free(sato.text);
	desk_end(&desk);
}

/* Used up by the refusal: it says which rule, and what to do; the instruction is for no other call. */
static void
test_refused(void)
{
	struct rig_asked tanaka;
	struct kmn_ipc *runner;
	struct order order;
	struct rig_app app;
	struct desk desk;
	uint64_t record;

	begin_calls(&desk, &tanaka, &app);
	runner = bring_runner(&desk.rig, 0);
	record = instruct(&desk, &tanaka, "generate", "banned");
	CU_ASSERT_TRUE_FATAL(hear(&desk.rig, runner, &order));
	CU_ASSERT_NOT_EQUAL(make_for(&desk, &app, record, "banned"), CKR_OK);
	tell_done(&desk.rig, runner, record, "C_GenerateKeyPair: CKR_TEMPLATE_INCONSISTENT");
	expect_state(
	    &desk, &tanaka, record, "failed", "a rule refuses it (rule never). The instruction is used up: ask for");
	CU_ASSERT_NOT_EQUAL(make_for(&desk, &app, record, "banned"), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "intent", "\"application\":{\"id\":\"action "), 1);
	CU_ASSERT_EQUAL(rig_stop(&desk.rig), 0);
	rig_restart(&desk.rig);
	free(tanaka.text);
	memset(&tanaka, 0, sizeof(tanaka));
	CU_ASSERT_EQUAL_FATAL(desk_sign_in(&desk, &tanaka, &desk.tanaka), KMN_OK);
	expect_state(&desk, &tanaka, record, "failed", "a rule refuses it (rule never)");
	kmn_ipc_free(runner);
	free(tanaka.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"what was signed for is told to a runner, with file and PIN, and what came of it to who asks", test_job},
	    {"each runner has one job, the others wait for their turn", test_turns},
	    {"a job that a runner took with it, or lied about, is lost and told as such", test_lost},
	    {"what came of it is in the records: a lost answer is there, after a restart and for others too",
		test_records},
	    {"a refusal uses it up, and says the rule and what to do", test_refused},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/runner", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
