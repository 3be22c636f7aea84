/*
 * Several modules behind one keeper: the mock twice, and, where they are
 * installed, SoftHSM2 and NSS' softokn beside it. What a client sees is what
 * its line of the policy says, whatever the modules do.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"
#define SOFTOKN "/usr/lib/x86_64-linux-gnu/libsoftokn3.so"
#define SOFTOKN_ARGS \
	"configdir='' certPrefix='' keyPrefix='' secmod='' flags=readOnly,noCertDB,noModDB,forceOpen,optimizeSpace"

static const char rules[] =
    "rule guarded\n  client ca\n  object pkcs11:object=guarded\n  calls key-use\n  need keepers\n"
    "rule everything\n  client ca other\n  calls login session query key-use key-management "
    "token-management random\n  mechanisms any\n  allow import extractable\n  need none\n";

/* Two mocks: b has a second slot. `gone` is a token that no module has. */
static const struct rig_module two_mocks[] = {{.name = "a"}, {.name = "b", .environment = {"KMN_MOCK_SLOTS=2"}}};
static const struct rig_plan plan = {.modules = two_mocks,
    .module_count = 2,
    .tokens = "second=9 root=3 gone=7 issuing=1",
    .token_lines = "token root label mock-1 module a\ntoken issuing label mock-1 module b\n"
		   "token second label mock-2 module b\ntoken gone label lost module b\n"};

static CK_RV
open_on(struct rig *rig, struct rig_app *app, CK_SLOT_ID slot, CK_SESSION_HANDLE *session)
{
	struct kmn_arg arg[] = {{.u = slot}, {.u = CKF_SERIAL_SESSION | CKF_RW_SESSION}, {.p = NULL}, {.p = session}};

	return rig_call(rig, app, KMN_C_OpenSession, arg, KMN_COUNT_OF(arg));
}

static CK_RV
slot_list(struct rig *rig, struct rig_app *app, CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n)
{
	struct kmn_arg arg[] = {{.u = present}, {.p = list, .n = n}};

	return rig_call(rig, app, KMN_C_GetSlotList, arg, KMN_COUNT_OF(arg));
}

static CK_RV
slot_info(struct rig *rig, struct rig_app *app, CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
	struct kmn_arg arg[] = {{.u = slot}, {.p = info}};

	return rig_call(rig, app, KMN_C_GetSlotInfo, arg, KMN_COUNT_OF(arg));
}

static CK_RV
token_info(struct rig *rig, struct rig_app *app, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	struct kmn_arg arg[] = {{.u = slot}, {.p = info}};

	return rig_call(rig, app, KMN_C_GetTokenInfo, arg, KMN_COUNT_OF(arg));
}

static CK_RV
session_info(struct rig *rig, struct rig_app *app, CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
	struct kmn_arg arg[] = {{.u = session}, {.p = info}};

	return rig_call(rig, app, KMN_C_GetSessionInfo, arg, KMN_COUNT_OF(arg));
}

static CK_RV
close_session(struct rig *rig, struct rig_app *app, CK_SESSION_HANDLE session)
{
	struct kmn_arg arg[] = {{.u = session}};

	return rig_call(rig, app, KMN_C_CloseSession, arg, KMN_COUNT_OF(arg));
}

static void
end(struct rig *rig)
{
	CU_ASSERT_EQUAL(rig_stop(rig), 0);
	rig_end(rig);
}

/* ---- what is seen ------------------------------------------------------------------------------------------------ */

static void
test_list(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SLOT_ID list[5] = {99, 99, 99, 99, 99};
	CK_ULONG n = 0;

	rig_start_with(&rig, &plan, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_FALSE, NULL, &n), CKR_OK);
	CU_ASSERT_EQUAL(n, 4);
	n = 3;
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_FALSE, list, &n), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(n, 4);
	CU_ASSERT_EQUAL(list[0], 99);
	n = 0; /* room for nothing is not "how many are there?" */
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_FALSE, list, &n), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(n, 4);
	n = 5;
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_FALSE, list, &n), CKR_OK);
	CU_ASSERT_EQUAL(n, 4);
	CU_ASSERT_TRUE(list[0] == 1 && list[1] == 3 && list[2] == 7 && list[3] == 9 && list[4] == 99);
	n = 5;
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_TRUE, list, &n), CKR_OK);
	CU_ASSERT_EQUAL(n, 3);
	CU_ASSERT_TRUE(list[0] == 1 && list[1] == 3 && list[2] == 9);
	end(&rig);
}

static void
test_slots(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SESSION_HANDLE session;
	CK_SLOT_INFO slot;
	CK_TOKEN_INFO token;
	CK_INFO info;
	struct kmn_arg arg[] = {{.p = &info}};

	rig_start_with(&rig, &plan, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL(token_info(&rig, &app, 9, &token), CKR_OK);
	CU_ASSERT_EQUAL(memcmp(token.label, "mock-2 ", 7), 0);
	CU_ASSERT_EQUAL(slot_info(&rig, &app, 1, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot.flags & CKF_TOKEN_PRESENT, CKF_TOKEN_PRESENT);
	CU_ASSERT_EQUAL(slot_info(&rig, &app, 7, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot.flags, 0);
	CU_ASSERT_EQUAL(memcmp(slot.slotDescription, "token gone ", 11), 0);
	CU_ASSERT_EQUAL(token_info(&rig, &app, 7, &token), CKR_TOKEN_NOT_PRESENT);
	CU_ASSERT_EQUAL(open_on(&rig, &app, 7, &session), CKR_TOKEN_NOT_PRESENT);
	CU_ASSERT_EQUAL(slot_info(&rig, &app, 11, &slot), CKR_SLOT_ID_INVALID); /* the module's own number */
	CU_ASSERT_EQUAL(open_on(&rig, &app, 22, &session), CKR_SLOT_ID_INVALID);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GetInfo, arg, 1), CKR_OK);
	CU_ASSERT_EQUAL(memcmp(info.manufacturerID, "kanmon ", 7), 0);
	CU_ASSERT_EQUAL(info.cryptokiVersion.major, 2);
	end(&rig);
}

/* A client whose tokens are all of one module, and whose line gives no numbers, sees that module as it is. */
static void
test_one_of_two(void)
{
	static const struct rig_plan one = {.modules = two_mocks,
	    .module_count = 2,
	    .tokens = "issuing second",
	    .token_lines = "token issuing label mock-1 module b\ntoken second label mock-2 module b\n"};
	struct rig rig;
	struct rig_app app;
	CK_SLOT_ID list[4];
	CK_ULONG n = 4;

	rig_start_with(&rig, &one, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_FALSE, list, &n), CKR_OK);
	CU_ASSERT_TRUE(n == 2 && list[0] == 11 && list[1] == 22);
	CU_ASSERT_PTR_NOT_NULL(rig_worker_of(&rig, 1));
	CU_ASSERT_EQUAL(rig_worker_of(&rig, 0)->id, 0); /* the keeper's own alone */
	end(&rig);
}

static void
test_positions(void)
{
	static const struct rig_plan positions = {.modules = two_mocks,
	    .module_count = 2,
	    .tokens = "second root",
	    .token_lines = "token root label mock-1 module a\ntoken second label mock-2\n"};
	struct rig rig;
	struct rig_app app;
	CK_TOKEN_INFO token;
	CK_SLOT_ID list[4];
	CK_ULONG n = 4;

	rig_start_with(&rig, &positions, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_TRUE, list, &n), CKR_OK);
	CU_ASSERT_TRUE(n == 2 && list[0] == 1 && list[1] == 2);
	CU_ASSERT_EQUAL(token_info(&rig, &app, 1, &token), CKR_OK);
	CU_ASSERT_EQUAL(memcmp(token.label, "mock-2 ", 7), 0);
	end(&rig);
}

/* ---- what is done ------------------------------------------------------------------------------------------------ */

static void
sign_with(struct rig *rig, struct rig_app *app, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);

	app->session = session;
	CU_ASSERT_EQUAL(rig_sign_init(rig, app, key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign(rig, app, "data", signature, &len), CKR_OK);
}

/* Each call goes to the module of its session; login, handles and records are apart. */
static void
test_apart(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SESSION_HANDLE in_a, in_b;
	CK_OBJECT_HANDLE key_a, key_b;
	CK_SESSION_INFO info;

	rig_start_with(&rig, &plan, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 3, &in_a), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 1, &in_b), CKR_OK);
	CU_ASSERT_NOT_EQUAL(in_a % 2, in_b % 2); /* two branches: odd numbers and even ones */
	app.session = in_a;
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(session_info(&rig, &app, in_a, &info), CKR_OK);
	CU_ASSERT_EQUAL(info.slotID, 3);
	CU_ASSERT_EQUAL(info.state, CKS_RW_USER_FUNCTIONS);
	CU_ASSERT_EQUAL(session_info(&rig, &app, in_b, &info), CKR_OK);
	CU_ASSERT_EQUAL(info.slotID, 1);
	CU_ASSERT_EQUAL(info.state, CKS_RW_PUBLIC_SESSION);
	app.session = in_b;
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "kb", &key_b), CKR_OK);
	app.session = in_a;
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "ka", &key_a), CKR_OK);
	sign_with(&rig, &app, in_a, key_a);
	sign_with(&rig, &app, in_b, key_b);
	/* a key of one module is no key in the other */
	app.session = in_a;
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key_b), CKR_KEY_HANDLE_INVALID);
	CU_ASSERT_EQUAL(rig_records(&rig, "intent", "\"module\":\"b\""), 2);
	CU_ASSERT_EQUAL(rig_records(&rig, "intent", "\"module\":\"a\""), 2);
	CU_ASSERT_EQUAL(rig_records(&rig, "result", "sig-verified"), 2);
	end(&rig);
}

/* ---- what dies --------------------------------------------------------------------------------------------------- */

static bool
noticed(struct rig *rig, uint32_t conn, enum kmn_notice kind, uint64_t slot)
{
	struct rig_frame f;
	struct kmn_reader r;

	while (rig_expect(rig, conn, KMN_F_NOTICE, &f)) {
		kmn_reader_init(&r, f.body, f.len);
		if (kmn_reader_u8(&r) == kind && kmn_reader_u64(&r) == slot && kmn_reader_end(&r) == KMN_OK)
			return true;
	}
	return false;
}

static void
test_one_dies(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SESSION_HANDLE in_a, in_b;
	CK_OBJECT_HANDLE key, held;
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature), n = 4;
	CK_SESSION_INFO info;
	CK_SLOT_INFO slot;
	CK_SLOT_ID list[4];
	struct kmn_arg arg[3];

	rig_start_with(&rig, &plan, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 3, &in_a), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 1, &in_b), CKR_OK);
	app.session = in_a;
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	app.session = in_b;
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "guarded", &held), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, held), CKR_OK);
	(void)rig_send_sign(&rig, &app, "data", arg, signature, &len);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_HELD, NULL));

	kill(rig_worker_of(&rig, 1)->pid, SIGKILL);
	CU_ASSERT_TRUE(noticed(&rig, 1, KMN_NOTICE_STATE, 1));
	CU_ASSERT_TRUE(noticed(&rig, 1, KMN_NOTICE_SLOT, 1));
	CU_ASSERT_EQUAL(session_info(&rig, &app, in_b, &info), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(close_session(&rig, &app, in_b), CKR_OK);
	CU_ASSERT_EQUAL(open_on(&rig, &app, 1, &in_b), CKR_TOKEN_NOT_PRESENT);
	CU_ASSERT_EQUAL(slot_info(&rig, &app, 9, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot.flags & CKF_TOKEN_PRESENT, 0);
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_TRUE, list, &n), CKR_OK);
	CU_ASSERT_TRUE(n == 1 && list[0] == 3);
	/* the others go on, still logged in */
	sign_with(&rig, &app, in_a, key);
	end(&rig);
}

/* Stops the answer of a module on its way, so that the call is in flight when the module dies. */
static bool
stop_answers(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	const unsigned *stopped = rig->spy_cookie;

	return to_worker || worker->module != *stopped || m->kind != KMN_W_REPLY;
}

static void
test_dies_in_flight(void)
{
	static const unsigned stopped = 1;
	struct rig rig;
	struct rig_app app;
	CK_SESSION_HANDLE in_a;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct kmn_response_view view;
	struct rig_frame f;
	struct kmn_arg arg[3];
	union {
		const void *read_only;
		void *p;
	} cookie = {&stopped};

	rig_start_with(&rig, &plan, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 3, &in_a), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 1, &app.session), CKR_OK);
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	rig.spy = stop_answers;
	rig.spy_cookie = cookie.p;
	(void)rig_send_sign(&rig, &app, "data", arg, signature, &len);
	for (int i = 0; i < 100 && rig_mock_calls(&rig, "C_Sign") == 0; i++)
		rig_pump(&rig, 50);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	kill(rig_worker_of(&rig, 1)->pid, SIGKILL);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, 1, KMN_F_REPLY, &f));
	CU_ASSERT_EQUAL(kmn_response_view_decode(f.body + RIG_REPLY, f.len - RIG_REPLY, &view), KMN_OK);
	CU_ASSERT_EQUAL(view.rv, CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_records(&rig, "recovery", "\"state\":\"unknown\""), 1);
	rig.spy = NULL;
	CU_ASSERT_EQUAL(close_session(&rig, &app, in_a), CKR_OK);
	end(&rig);
}

static void
test_one_does_not_start(void)
{
	static const struct rig_module modules[] = {{.name = "a"}, {.name = "b", .path = "/nowhere/module.so"}};
	static const struct rig_plan broken = {.modules = modules,
	    .module_count = 2,
	    .tokens = "root=3 issuing=1",
	    .token_lines = "token root label mock-1 module a\ntoken issuing label mock-1 module b\n"};
	struct rig rig;
	struct rig_app app;
	CK_SESSION_HANDLE session;
	CK_SLOT_ID list[4];
	CK_ULONG n = 4;

	rig_start_with(&rig, &broken, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_FALSE, list, &n), CKR_OK);
	CU_ASSERT_TRUE(n == 2 && list[0] == 1 && list[1] == 3);
	CU_ASSERT_EQUAL(open_on(&rig, &app, 1, &session), CKR_TOKEN_NOT_PRESENT);
	CU_ASSERT_EQUAL(open_on(&rig, &app, 3, &session), CKR_OK);
	end(&rig);
}

/* ---- what goes by an older name ----------------------------------------------------------------------------------- */

/* ALIAS: KMN_OK, or the error of REFUSED. */
static uint32_t
alias(struct rig *rig, uint32_t conn, uint64_t old, uint64_t new)
{
	struct kmn_writer w;
	struct kmn_reader r;
	struct rig_frame f;

	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, old);
	kmn_writer_u64(&w, new);
	rig_send(rig, conn, KMN_F_ALIAS, &w);
	for (int i = 0; i < 200; i++) {
		rig_pump(rig, 20);
		for (size_t k = 0; k < rig->frames; k++) {
			if (rig->frame[k].conn != conn)
				continue;
			CU_ASSERT_TRUE(rig_expect(rig, conn, rig->frame[k].type, &f));
			kmn_reader_init(&r, f.body, f.len);
			CU_ASSERT_EQUAL(kmn_reader_u64(&r), f.type == KMN_F_ALIASED ? old : 0);
			return f.type == KMN_F_ALIASED ? (uint32_t)KMN_OK : kmn_reader_u32(&r);
		}
	}
	return UINT32_MAX;
}

/* A session and a key of an instance before, built up again: they go by their old numbers, and by no others. */
static void
test_aliases(void)
{
	static const struct rig_module secret_mock = {.name = "mock", .environment = {"KMN_MOCK_SECRETS=1"}};
	static const struct rig_plan secrets = {
	    .modules = &secret_mock, .module_count = 1, .tokens = "mock-1", .token_lines = "token mock-1\n"};
	const CK_SESSION_HANDLE old = 7;
	const CK_OBJECT_HANDLE old_key = 8;
	CK_ATTRIBUTE t[] = {{CKA_LABEL, (char[]){"secret-1"}, 8}};
	CK_OBJECT_HANDLE key = 0;
	CK_SESSION_HANDLE session;
	CK_ULONG n = 0, size;
	struct rig rig;
	struct rig_app app;
	CK_SESSION_INFO info;
	struct kmn_arg init[] = {{.u = old}, {.p = t, .u = 1}}, next[] = {{.u = old}, {.p = &key, .u = 1, .n = &n}};
	struct kmn_arg sized[] = {{.u = old}, {.u = old_key}, {.p = &size}};

	rig_start_with(&rig, &secrets, rules);
	rig_attach_from(&rig, &app, 1, &rig.ca, 1000);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 11, &session), CKR_OK);
	CU_ASSERT_TRUE(session >= 1000);
	CU_ASSERT_EQUAL(session_info(&rig, &app, old, &info), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(alias(&rig, 1, 1000, session), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(alias(&rig, 1, 0, session), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(alias(&rig, 1, old, session + 500), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(alias(&rig, 1, old, 3), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(alias(&rig, 1, old, session), KMN_OK);
	CU_ASSERT_EQUAL(session_info(&rig, &app, old, &info), CKR_OK);
	CU_ASSERT_EQUAL(session_info(&rig, &app, session, &info), CKR_SESSION_HANDLE_INVALID);
	app.session = old;
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_FindObjectsInit, init, 2), CKR_OK);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_FindObjects, next, 2), CKR_OK);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_TRUE(key >= 1000);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GetObjectSize, sized, 3), CKR_OBJECT_HANDLE_INVALID);
	CU_ASSERT_EQUAL(alias(&rig, 1, old, key), KMN_E_EXISTS);
	CU_ASSERT_EQUAL(alias(&rig, 1, old_key, key), KMN_OK);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GetObjectSize, sized, 3), CKR_OK);
	CU_ASSERT_EQUAL(
	    rig_records(&rig, "session", "\"sess\":7"), 1); /* the login; the opening was the new number's */
	end(&rig);
}

/* ---- other people's modules --------------------------------------------------------------------------------------- */

/* A SoftHSM2 of its own with one token, "soft"; false: it is not installed. */
static bool
make_softhsm(char dir[32], char row[64])
{
	char command[512];

	snprintf(dir, 32, "/tmp/kanmon-soft-XXXXXX");
	if (access(SOFTHSM, R_OK) != 0 || mkdtemp(dir) == NULL)
		return false;
	snprintf(row, 64, "SOFTHSM2_CONF=%s/conf", dir);
	snprintf(command, sizeof(command),
	    "mkdir %s/tokens && echo 'directories.tokendir = %s/tokens' >%s/conf && %s softhsm2-util --module " SOFTHSM
	    " --init-token --free --label soft --pin 1234 --so-pin 12345678 >/dev/null 2>&1",
	    dir, dir, dir, row);
	return system(command) == 0; /* NOLINT(cert-env33-c): a test's own words */
}

static void
remove_softhsm(const char *dir)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CU_ASSERT_EQUAL(system(command), 0); /* NOLINT(cert-env33-c): as above */
}

static void
test_three_vendors(void)
{
	char dir[32], row[64];
	struct rig_module modules[] = {{.name = "mock"}, {.name = "softhsm", .path = SOFTHSM, .environment = {row}},
	    {.name = "nss", .path = SOFTOKN, .init_args = SOFTOKN_ARGS}};
	const struct rig_plan three = {.modules = modules,
	    .module_count = access(SOFTOKN, R_OK) == 0 ? 3 : 2,
	    .tokens = "soft=5 root=3 crypto=4",
	    .token_lines = "token root label mock-1 module mock\ntoken soft module softhsm\n"
			   "token crypto label \"NSS Generic Crypto Services\" module nss\n"};
	struct rig rig;
	struct rig_app app;
	CK_SESSION_HANDLE in_mock, in_soft, in_nss;
	CK_OBJECT_HANDLE key;
	uint8_t random[16] = {0};
	CK_SLOT_ID list[4];
	CK_ULONG n = 4;

	if (!make_softhsm(dir, row)) {
		printf("# SoftHSM2 is not installed\n");
		return;
	}
	rig_start_with(&rig, &three, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL(slot_list(&rig, &app, CK_TRUE, list, &n), CKR_OK);
	CU_ASSERT_EQUAL(n, three.module_count);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 3, &in_mock), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 5, &in_soft), CKR_OK);
	app.session = in_soft;
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	sign_with(&rig, &app, in_soft, key);
	if (three.module_count == 3) {
		struct kmn_arg arg[] = {{.u = 0}, {.p = random, .u = sizeof(random)}};

		CU_ASSERT_EQUAL_FATAL(open_on(&rig, &app, 4, &in_nss), CKR_OK);
		arg[0].u = in_nss;
		CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GenerateRandom, arg, 2), CKR_OK);
		CU_ASSERT_EQUAL(close_session(&rig, &app, in_nss), CKR_OK);
	}
	CU_ASSERT_EQUAL(close_session(&rig, &app, in_mock), CKR_OK);
	end(&rig);
	remove_softhsm(dir);
}

/* ---- function lists ---------------------------------------------------------------------------------------------- */

/* Asks for the interfaces until the modules are started: how many versions came, and which. */
static unsigned
offered(struct rig *rig, uint32_t conn, uint16_t versions[8])
{
	struct rig_frame f = {.type = KMN_F_REFUSED};
	struct kmn_reader r;
	unsigned n = 0;

	rig_open(rig, conn, &rig->ca);
	for (unsigned tries = 0; tries < 100; tries++) {
		struct kmn_writer w;

		kmn_writer_init(&w, 8);
		kmn_writer_u16(&w, KMN_FRAME_VERSION);
		rig_send(rig, conn, KMN_F_INTERFACES, &w);
		for (unsigned i = 0; i < 100 && rig->frames == 0; i++)
			rig_pump(rig, 50);
		CU_ASSERT_TRUE_FATAL(rig->frames == 1 && rig->frame[0].conn == conn);
		f = rig->frame[--rig->frames];
		if (f.type == KMN_F_OFFERED)
			break;
		CU_ASSERT_EQUAL(f.type, KMN_F_REFUSED);
		rig_pump(rig, 50);
	}
	CU_ASSERT_EQUAL_FATAL(f.type, KMN_F_OFFERED);
	kmn_reader_init(&r, f.body, f.len);
	n = kmn_reader_u8(&r);
	for (unsigned i = 0; i < n && i < 8; i++) {
		versions[i] = kmn_reader_u16(&r);
		(void)kmn_reader_u64(&r);
	}
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	return n;
}

/* Of several modules what all have that the client may see, in the order of the first. */
static void
test_interfaces(void)
{
	static const struct rig_module modules[] = {
	    {.name = "a", .environment = {"KMN_MOCK_INTERFACES=3.2"}},
	    {.name = "b", .environment = {"KMN_MOCK_INTERFACES=3.0"}},
	    {.name = "c", .path = "/nonexistent.so"},
	};
	static const struct {
		const char *tokens;
		bool held; /* a rule may hold the client's calls: 3.2 is there for asynchronous sessions, as the last */
		unsigned count;
		uint16_t versions[3];
	} cases[] = {
	    {"root", false, 3, {0x0302, 0x0300, 0x0228}}, {"root", true, 3, {0x0302, 0x0300, 0x0228}},
	    {"root issuing", false, 2, {0x0300, 0x0228}}, {"root issuing", true, 3, {0x0300, 0x0228, 0x0302}},
	    {"issuing lost", false, 2, {0x0300, 0x0228}}, /* one that does not start has no say */
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		const struct rig_plan several = {.modules = modules,
		    .module_count = 3,
		    .tokens = cases[i].tokens,
		    .token_lines = "token root label mock-1 module a\ntoken issuing label mock-1 module b\n"
				   "token lost label lost module c\n"};
		struct rig rig;
		uint16_t versions[8] = {0};

		rig_start_with(&rig, &several, cases[i].held ? rules : strstr(rules, "rule everything"));
		CU_ASSERT_EQUAL(offered(&rig, 1, versions), cases[i].count);
		for (unsigned v = 0; v < cases[i].count; v++)
			CU_ASSERT_EQUAL(versions[v], cases[i].versions[v]);
		end(&rig);
	}
}

static CU_TestInfo seen[] = {
    {"the list has the policy's numbers, in order, by the two-call convention", test_list},
    {"an empty slot keeps its number, other numbers are none", test_slots},
    {"tokens of one module without numbers: that module as it is", test_one_of_two},
    {"tokens of several without numbers: positions in the line", test_positions},
    {"function lists: those that all its modules have, and 3.2 for who may have to wait", test_interfaces},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo done[] = {
    {"sessions, logins, keys and records are each of their module", test_apart},
    {"mock, SoftHSM2 and softokn side by side", test_three_vendors},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo renamed[] = {
    {"what is built up again goes by its old numbers", test_aliases},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo died[] = {
    {"a module that dies takes its sessions, and no other's", test_one_dies},
    {"a call in a module that dies is undecided", test_dies_in_flight},
    {"a module that does not start leaves empty slots", test_one_does_not_start},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"keeper/modules/seen", NULL, NULL, NULL, NULL, seen},
	    {"keeper/modules/done", NULL, NULL, NULL, NULL, done},
	    {"keeper/modules/renamed", NULL, NULL, NULL, NULL, renamed},
	    {"keeper/modules/died", NULL, NULL, NULL, NULL, died},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
