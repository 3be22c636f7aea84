/* What a console, a browser or the clock could do to a keeper, and does not. */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/keeper/desk.h"
#include "tests/unit/run.h"

#define RULES \
	"rule everything\n  client ca other\n  calls session query login random key-management key-use\n  need none\n"
#define GUARDED \
	"rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n  per " \
	"operation\n  expires 1h\n" \
	"rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  need " \
	"none\n"
#define HOUR INT64_C(3600000)

/* The machine slept for longer than the ledger remembers a session: that ends, and the keeper goes on. */
static void
test_slept(void)
{
	struct rig_asked sato = {.text = NULL}, again = {.text = NULL};
	struct desk desk;
	uint32_t error;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	desk_pass(&desk, 9 * HOUR);
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, &error));
	CU_ASSERT_EQUAL(error, KMN_E_PEER);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &again, &desk.sato), KMN_OK);
	free(sato.text);
	free(again.text);
	desk_end(&desk);
}

/* The same, and it is the clock that was wrong. */
static void
test_set_forward(void)
{
	struct rig_asked sato = {.text = NULL}, again = {.text = NULL};
	struct desk desk;
	uint32_t error;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	desk.clock->wall += 9 * HOUR;
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_SESSION, NULL, &error));
	CU_ASSERT_EQUAL(error, KMN_E_PEER);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &again, &desk.sato), KMN_OK);
	free(sato.text);
	free(again.text);
	desk_end(&desk);
}

/* ---- too much ---------------------------------------------------------------------------------------------------- */

/* Questions without an end: a process that asks, and one that takes each answer. */
static void
flood(int fd, pid_t child[2])
{
	uint8_t ask[5 + 4 + 1 + 32] = {0, 0, 0, 1 + 4 + 1 + 32, KMN_CONSOLE_ASK};
	static uint8_t asks[1000 * sizeof(ask)], answers[65536];

	ask[9] = KMN_UI_SESSION;
	for (size_t n = 0; n < 1000; n++)
		memcpy(asks + n * sizeof(ask), ask, sizeof(ask));
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	if ((child[0] = fork()) == 0)
		for (size_t at = 0;;) {
			ssize_t n = send(fd, asks + at, sizeof(asks) - at, MSG_NOSIGNAL);

			if (n < 0)
				_exit(0);
			at = (at + (size_t)n) % sizeof(asks);
		}
	if ((child[1] = fork()) == 0) {
		while (recv(fd, answers, sizeof(answers), 0) > 0) {
		}
		_exit(0);
	}
}

static void
test_flood(void)
{
	struct rig_app app;
	struct kmn_ipc *console;
	struct desk desk;
	pid_t child[2];

	desk_start(&desk, RULES);
	memset(&app, 0, sizeof(app));
	rig_attach(&desk.rig, &app, 1, &desk.rig.ca);
	console = desk.rig.console;
	desk.rig.console = NULL; /* the child's, for now */
	flood(kmn_ipc_fd(console), child);
	CU_ASSERT_FATAL(child[0] > 0 && child[1] > 0);
	for (unsigned n = 0; n < 3; n++)
		CU_ASSERT_EQUAL(rig_open_session(&desk.rig, &app), CKR_OK);
	for (unsigned n = 0; n < 2; n++) {
		CU_ASSERT_EQUAL(kill(child[n], SIGKILL), 0);
		CU_ASSERT_EQUAL(waitpid(child[n], NULL, 0), child[n]);
	}
	desk.rig.console = console;
	rig_console_again(&desk.rig);
	desk_end(&desk);
}

static json_t *
text_to_sign_in(struct desk *desk, struct rig_asked *asked)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, SIGNER_ORIGIN);
	return desk_ask(desk, asked, KMN_UI_SIGN_IN_TEXT, &w, NULL);
}

/* Between the moment that a person was given a text and the one that the key was touched, the world asks for texts. */
static void
test_texts(void)
{
	struct rig_asked sato = {.text = NULL}, world = {.text = NULL};
	struct kmn_writer w;
	struct desk desk;
	json_t *text;

	desk_start(&desk, RULES);
	text = text_to_sign_in(&desk, &sato);
	for (unsigned n = 0; n < 300; n++)
		json_decref(text_to_sign_in(&desk, &world));
	kmn_writer_init(&w, 65536);
	desk_put_peer(&w, "192.0.2.7");
	desk_put_assertion(&w, &desk.sato, desk_text(text, "text"), &signer_honest);
	json_decref(desk_ask(&desk, &sato, KMN_UI_SIGN_IN, &w, NULL));
	json_decref(text);
	free(sato.text);
	free(world.text);
	desk_end(&desk);
}

/* ---- what is said again and again ---------------------------------------------------------------------------------- */

static uint64_t
hold(struct desk *desk, struct rig_app *app)
{
	static uint8_t signature[512];
	static CK_ULONG len = sizeof(signature);
	static struct kmn_arg arg[3];
	struct rig_frame f;
	struct kmn_reader r;
	CK_OBJECT_HANDLE key;

	memset(app, 0, sizeof(*app));
	rig_attach(&desk->rig, app, 1, &desk->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk->rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk->rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk->rig, app, "root", &key), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_sign_init(&desk->rig, app, key), CKR_OK);
	(void)rig_send_sign(&desk->rig, app, "to be signed", arg, signature, &len);
	CU_ASSERT_TRUE_FATAL(rig_expect(&desk->rig, 1, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u64(&r);
}

static uint64_t
say_shown(struct desk *desk, struct rig_asked *asked, uint64_t request, const uint8_t sha256[KMN_HASH_BYTES])
{
	struct kmn_writer w = desk_u64(request);
	json_t *value;
	uint64_t record;

	kmn_writer_raw(&w, sha256, KMN_HASH_BYTES);
	value = desk_ask(desk, asked, KMN_UI_SHOWN, &w, NULL);
	record = desk_number(value, "record");
	json_decref(value);
	return record;
}

/* A page that reports the same screen again and again makes no ledger longer, and no bundle too long. */
static void
test_shown_again(void)
{
	struct rig_asked sato = {.text = NULL}, suzuki = {.text = NULL};
	uint8_t sha256[KMN_HASH_BYTES];
	struct rig_app app;
	struct kmn_writer w;
	struct desk desk;
	uint64_t request, first;
	json_t *value;

	desk_start(&desk, GUARDED);
	request = hold(&desk, &app);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &suzuki, &desk.suzuki), KMN_OK);
	w = desk_u64(request);
	value = desk_ask(&desk, &sato, KMN_UI_REQUEST_SHOW, &w, NULL);
	kmn_sha256(desk_text(value, "statement"), strlen(desk_text(value, "statement")), sha256);
	json_decref(value);
	first = say_shown(&desk, &sato, request, sha256);
	for (unsigned n = 0; n < 20; n++)
		CU_ASSERT_EQUAL(say_shown(&desk, &sato, request, sha256), first);
	CU_ASSERT_NOT_EQUAL(say_shown(&desk, &suzuki, request, sha256), first);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"show\""), 2);
	free(sato.text);
	free(suzuki.text);
	desk_end(&desk);
}

/* An end that a person made names the person, and why. */
static void
test_withdrawn(void)
{
	struct rig_asked tanaka = {.text = NULL}, sato = {.text = NULL};
	struct rig_app app;
	struct kmn_writer w;
	struct desk desk;
	uint64_t request;
	uint32_t error;

	desk_start(&desk, GUARDED);
	request = hold(&desk, &app);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &tanaka, &desk.tanaka), KMN_OK);
	w = desk_u64(request);
	kmn_writer_text(&w, "not mine");
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_WITHDRAW, &w, &error));
	w = desk_u64(request);
	kmn_writer_text(&w, "the wrong list");
	json_decref(desk_ask(&desk, &tanaka, KMN_UI_WITHDRAW, &w, NULL));
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"withdraw\""), 1);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"reason\":\"the wrong list\""), 1);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "decision", "withdrawn"), 1);
	w = desk_u64(request);
	kmn_writer_text(&w, "again");
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &tanaka, KMN_UI_WITHDRAW, &w, &error)); /* once */
	free(sato.text);
	free(tanaka.text);
	desk_end(&desk);
}

/* The text of an instruction says how long its file is: another length is another file, as another hash is. */
static void
test_file_length(void)
{
	static const char file[] = "a list";
	struct rig_asked tanaka = {.text = NULL};
	uint8_t sha256[KMN_HASH_BYTES];
	struct kmn_writer w;
	struct desk desk;
	uint32_t error;
	json_t *text;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &tanaka, &desk.tanaka), KMN_OK);
	kmn_sha256(file, strlen(file), sha256);
	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, SIGNER_ORIGIN);
	for (size_t n = 0; n < 7; n++) {
		static const char *const fields[] = {"sign", "mock-1", "", "root", "", "CKM_SHA256_RSA_PKCS", ""};

		kmn_writer_text(&w, fields[n]);
	}
	kmn_writer_u64(&w, strlen(file) + 1);
	kmn_writer_raw(&w, sha256, sizeof(sha256));
	kmn_writer_text(&w, "Monthly list");
	text = desk_ask(&desk, &tanaka, KMN_UI_INSTRUCTION_TEXT, &w, NULL);
	kmn_writer_init(&w, 65536);
	desk_put_assertion(&w, &desk.tanaka, desk_text(text, "text"), &signer_honest);
	kmn_writer_bytes(&w, file, strlen(file));
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &tanaka, KMN_UI_INSTRUCT, &w, &error));
	CU_ASSERT_EQUAL(error, KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(rig_records(&desk.rig, "action", "\"what\":\"instruct\""), 0);
	json_decref(text);
	free(tanaka.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a session that the machine slept through is over, and the keeper goes on", test_slept},
	    {"so is one that the clock was set past", test_set_forward},
	    {"a console that asks without end keeps no application waiting", test_flood},
	    {"who asks for texts without end keeps nobody from signing in", test_texts},
	    {"a page that reports one screen again and again makes one record", test_shown_again},
	    {"a request that is taken back at the console says by whom, and why", test_withdrawn},
	    {"an instruction over a file of another length than it says is none", test_file_length},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console_attacks", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
