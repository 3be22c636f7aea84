/* Jobs for runners: given when they are recorded, one to each, told of when they end. The test plays the runner. */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/keeper/desk.h"
#include "tests/unit/run.h"

#define RULES \
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
	kmn_writer_text(&w, "0aff");
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
tell_done(struct rig *rig, struct kmn_ipc *runner, uint64_t record, const char *why, const char *result)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 4096);
	kmn_writer_u64(&w, record);
	kmn_writer_text(&w, why);
	kmn_writer_u64(&w, 0);
	kmn_writer_text(&w, result[0] != '\0' ? "signature" : "");
	kmn_writer_text(&w, result);
	kmn_writer_text(&w, result[0] != '\0' ? "a proof" : "");
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
	struct kmn_writer w;
	struct order order;
	struct desk desk;
	uint64_t record;
	json_t *value;

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
	tell_done(&desk.rig, runner, record, "", "made");
	w = desk_u64(record);
	value = desk_ask(&desk, &tanaka, KMN_UI_INSTRUCTION, &w, NULL);
	CU_ASSERT_STRING_EQUAL(desk_text(value, "state"), "done");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "operator"), "tanaka");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "form"), "signature");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "result"), "bWFkZQ==");
	CU_ASSERT_STRING_EQUAL(desk_text(value, "proof"), "a proof");
	json_decref(value);
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
	tell_done(&desk.rig, runner, record[0], "C_DestroyObject: CKR_FUNCTION_REJECTED", "");
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
	expect_state(&desk, &tanaka, record, "lost", "signed again");
	runner = bring_runner(&desk.rig, 1);
	CU_ASSERT_FALSE(hear(&desk.rig, runner, &order)); /* never twice */
	record = instruct(&desk, &tanaka, "destroy", "key");
	CU_ASSERT_TRUE(hear(&desk.rig, runner, &order));
	tell_done(&desk.rig, runner, record + 1, "", "");
	expect_state(&desk, &tanaka, record, "lost", "signed again");
	w = desk_u64(1);
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &tanaka, KMN_UI_INSTRUCTION, &w, &error));
	CU_ASSERT_EQUAL(error, KMN_E_NOT_FOUND);
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
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/runner", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
