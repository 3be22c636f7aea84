#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

static const char open_rules[] =
    "rule everything\n  client ca other\n  calls login session query key-use key-management "
    "token-management random\n  mechanisms any\n  allow import extractable\n  need none\n";
static const char guarded_rules[] =
    "rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n  per "
    "operation\n"
    "  expires 1h\n"
    "rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  allow "
    "import extractable\n  need none\n";

/* An application with a session and a key. */
static void
prepare(struct rig *rig, const char *rules, const char *label, struct rig_app *app, CK_OBJECT_HANDLE *key)
{
	rig_start(rig, rules);
	rig_attach(rig, app, 1, &rig->ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(rig, app, label, key), CKR_OK);
}

static uint32_t
refused_with(struct rig *rig, uint32_t conn)
{
	struct rig_frame f;
	struct kmn_reader r;

	if (!rig_expect(rig, conn, KMN_F_REFUSED, &f))
		return UINT32_MAX;
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u32(&r);
}

/* ---- order of records and effects (K1, K2) ----------------------------------------------------------------------- */

/* Counts durable decisions and results at the moment a C_Sign goes to the worker. */
struct order {
	unsigned seen, early;
};

static bool
watch_order(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	struct order *order = rig->spy_cookie;
	struct kmn_call_view view;

	(void)worker;
	if (!to_worker || m->kind != KMN_W_CALL || m->len_bytes < 9 ||
	    kmn_call_view_decode(m->body + 9, m->len_bytes - 9, &view) != KMN_OK || view.id != KMN_C_Sign)
		return true;
	order->seen++;
	if (rig_records(rig, "intent", "\"op\":\"C_Sign\"") != order->seen ||
	    rig_records(rig, "decision", "allow") <= order->seen)
		order->early++; /* one decision more: that of the key's generation */
	return true;
}

static void
test_order(void)
{
	struct rig rig;
	struct rig_app app;
	struct order order = {0};
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];

	prepare(&rig, open_rules, "k", &app, &key);
	rig.spy = watch_order;
	rig.spy_cookie = &order;
	for (unsigned i = 0; i < 5; i++) {
		CK_ULONG len = sizeof(signature);

		CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
		CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", signature, &len), CKR_OK);
		CU_ASSERT_EQUAL(len, 256);
		/* The answer is here: its record is on disk. */
		CU_ASSERT_EQUAL(rig_records(&rig, "result", "sig-verified"), i + 1);
	}
	CU_ASSERT_EQUAL(order.seen, 5);
	CU_ASSERT_EQUAL(order.early, 0);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static void
test_numbers(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	CK_ULONG len = 512;
	uint8_t signature[512], *payload;
	struct rig_frame first, again;
	struct kmn_arg arg[3];
	size_t payload_len;

	prepare(&rig, open_rules, "k", &app, &key);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	arg[0] = (struct kmn_arg){.u = app.session};
	arg[1] = (struct kmn_arg){.p = (char[]){"data"}, .u = 4};
	arg[2] = (struct kmn_arg){.p = signature, .n = &len};
	rig_payload(KMN_C_Sign, arg, 3, &payload, &payload_len);
	app.number++;
	rig_call_raw(&rig, 1, app.number, app.acknowledged, payload, payload_len);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_REPLY, &first));

	rig_call_raw(&rig, 1, app.number, app.acknowledged, payload, payload_len);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_REPLY, &again));
	CU_ASSERT_EQUAL(first.len, again.len);
	CU_ASSERT_EQUAL(memcmp(first.body, again.body, first.len), 0);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);

	payload[payload_len - 1] ^= 1;
	rig_call_raw(&rig, 1, app.number, app.acknowledged, payload, payload_len);
	CU_ASSERT_EQUAL(refused_with(&rig, 1), KMN_E_REPLAY);
	payload[payload_len - 1] ^= 1;
	rig_call_raw(&rig, 1, 0, app.acknowledged, payload, payload_len);
	CU_ASSERT_EQUAL(refused_with(&rig, 1), KMN_E_REPLAY);
	rig_call_raw(&rig, 1, app.number + 5000, app.acknowledged, payload, payload_len);
	CU_ASSERT_EQUAL(refused_with(&rig, 1), KMN_E_REPLAY);

	app.acknowledged = app.number + 1; /* the client says it has the answer: it is not kept any more */
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	rig_call_raw(&rig, 1, app.number - 1, app.acknowledged, payload, payload_len);
	CU_ASSERT_EQUAL(refused_with(&rig, 1), KMN_E_REPLAY);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.reject", NULL), 4);
	free(payload);
	rig_end(&rig);
}

static void
test_another_connection(void)
{
	struct rig rig;
	struct rig_app app, thief;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct rig_frame f;
	struct kmn_arg arg[3];
	uint8_t *payload;
	size_t payload_len;

	prepare(&rig, open_rules, "k", &app, &key);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	arg[0] = (struct kmn_arg){.u = app.session};
	arg[1] = (struct kmn_arg){.p = (char[]){"data"}, .u = 4};
	arg[2] = (struct kmn_arg){.p = signature, .n = &len};
	rig_payload(KMN_C_Sign, arg, 3, &payload, &payload_len);
	rig_call_raw(&rig, 1, ++app.number, app.acknowledged, payload, payload_len);
	rig_close(&rig, 1); /* the answer has nowhere to go */

	thief = app;
	thief.secret[0] ^= 1;
	CU_ASSERT_FALSE(rig_join(&rig, &thief, 2, &rig.ca));
	CU_ASSERT_FALSE(rig_join(&rig, &app, 3, &rig.other)); /* knows the secret, but is another client */
	CU_ASSERT_TRUE(rig_join(&rig, &app, 4, &rig.ca));
	rig_call_raw(&rig, 4, app.number, app.acknowledged, payload, payload_len);
	CU_ASSERT_TRUE(rig_expect(&rig, 4, KMN_F_REPLY, &f));
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.reject", "secret"), 1);
	free(payload);
	rig_end(&rig);
}

/* The rig's keeper has four places for one client. */
static void
test_places(void)
{
	struct rig rig;
	struct rig_app app[6];
	CK_OBJECT_HANDLE key;

	prepare(&rig, open_rules, "k", &app[0], &key);
	for (uint32_t i = 1; i < 4; i++)
		rig_attach(&rig, &app[i], 1 + i, &rig.ca);
	rig_close(&rig, 3); /* application 2, alone for longest */
	rig_pump(&rig, 20);
	rig_close(&rig, 2); /* application 1 */
	rig_pump(&rig, 20);
	rig_attach(&rig, &app[4], 11, &rig.ca);
	CU_ASSERT_FALSE(rig_join(&rig, &app[2], 12, &rig.ca));
	CU_ASSERT_TRUE(rig_join(&rig, &app[1], 13, &rig.ca));
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app[0], key), CKR_OK); /* who has a connection keeps all it had */
	CU_ASSERT_TRUE(rig_attach_refused(&rig, 14, &rig.ca, KMN_E_BUSY));
	rig_attach(&rig, &app[5], 15, &rig.other); /* another client has places of its own */
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

static void
test_lease(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;

	prepare(&rig, open_rules, "k", &app, &key);
	rig_close(&rig, 1);
	for (int i = 0; i < 45; i++)
		rig_pump(&rig, 100); /* the lease is 2 s */
	sleep(2);
	rig_pump(&rig, 2000);
	CU_ASSERT_FALSE(rig_join(&rig, &app, 2, &rig.ca));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

/* ---- what the module says ---------------------------------------------------------------------------------------- */

/* Turns one bit of each signature that comes back. */
static bool
spoil(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	struct kmn_response_view view;
	const struct kmn_result *signature;
	uint8_t copy[4096];

	(void)rig;
	if (to_worker || m->kind != KMN_W_REPLY || m->len_bytes > sizeof(copy) || m->len_bytes < 8)
		return true;
	memcpy(copy, m->body, m->len_bytes);
	if (kmn_response_view_decode(copy + 8, m->len_bytes - 8, &view) != KMN_OK || view.id != KMN_C_Sign ||
	    (signature = kmn_response_bytes(&view)) == NULL)
		return true;
	copy[signature->bytes - copy] ^= 1;
	CU_ASSERT_EQUAL(kmn_ipc_send(worker->keeper, m->kind, copy, m->len_bytes, -1), KMN_OK);
	return false;
}

static void
test_wrong_signature(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512] = {0};
	CK_ULONG len = sizeof(signature);

	prepare(&rig, open_rules, "k", &app, &key);
	rig.spy = spoil;
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", signature, &len), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(signature[0] | signature[255], 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "result", "\"selfcheck\":\"failed\""), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

static void
test_data_call_without_init(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);

	prepare(&rig, open_rules, "k", &app, &key);
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", signature, &len), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", NULL, &len), CKR_OPERATION_NOT_INITIALIZED); /* a length query */
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, 4711), CKR_KEY_HANDLE_INVALID);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "intent", "C_Sign"), 0);
	rig_end(&rig);
}

/* Kills the worker when a C_Sign is on its way to it. */
static bool
kill_at_sign(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	struct kmn_call_view view;

	(void)rig;
	if (to_worker && m->kind == KMN_W_CALL && m->len_bytes > 9 &&
	    kmn_call_view_decode(m->body + 9, m->len_bytes - 9, &view) == KMN_OK && view.id == KMN_C_Sign)
		kill(worker->pid, SIGKILL);
	return true;
}

static void
test_worker_dies(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[3];

	prepare(&rig, open_rules, "k", &app, &key);
	rig.spy = kill_at_sign;
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	(void)rig_send_sign(&rig, &app, "data", arg, signature, &len);
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 1));
	CU_ASSERT_FALSE(rig_join(&rig, &app, 2, &rig.ca));
	rig.spy = NULL;
	rig_attach(&rig, &app, 3, &rig.ca); /* nobody else is harmed */
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "recovery", "\"unknown\""), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "result", "C_Sign"), 0);
	rig_end(&rig);
}

/* ---- quorum ------------------------------------------------------------------------------------------------------ */

static uint64_t
held_request(struct rig *rig, uint32_t conn)
{
	struct rig_frame f = {0};
	struct kmn_reader r;

	CU_ASSERT_TRUE_FATAL(rig_expect(rig, conn, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u64(&r);
}

static void
watch(struct rig *rig, const struct rig_app *app, uint32_t conn)
{
	struct kmn_writer w;

	CU_ASSERT_TRUE_FATAL(rig_join(rig, app, conn, &rig->ca));
	kmn_writer_init(&w, 16);
	rig_send(rig, conn, KMN_F_WATCH, &w);
}

/* Asks for the outcome as the provider does: the same call once more. */
static CK_RV
ask_again(struct rig *rig, struct rig_app *app, const char *data, struct kmn_arg arg[3])
{
	struct rig_frame f;
	uint8_t *payload = rig->spy_cookie; /* kept by hold() */
	CK_RV rv = CKR_VENDOR_DEFINED;

	(void)data;
	rig_call_raw(
	    rig, app->conn, app->number, app->acknowledged, payload + sizeof(size_t), *(size_t *)(void *)payload);
	if (rig_expect(rig, app->conn, KMN_F_REPLY, &f))
		CU_ASSERT_EQUAL(
		    kmn_response_decode(KMN_C_Sign, arg, 3, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv), KMN_OK);
	return rv;
}

/* C_SignInit and C_Sign with the guarded key; keeps the payload, for a call asked for again has the same bytes. */
static uint64_t
hold(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key, struct kmn_arg arg[3], uint8_t *signature,
    CK_ULONG *len)
{
	uint8_t *payload, *kept;
	size_t payload_len;

	CU_ASSERT_EQUAL(rig_sign_init(rig, app, key), CKR_OK);
	*len = 512;
	arg[0] = (struct kmn_arg){.u = app->session};
	arg[1] = (struct kmn_arg){.p = (char[]){"data"}, .u = 4};
	arg[2] = (struct kmn_arg){.p = signature, .n = len};
	rig_payload(KMN_C_Sign, arg, 3, &payload, &payload_len);
	arg[1].p = NULL; /* the compound literal ends here; decoding needs it no more */
	rig_call_raw(rig, app->conn, ++app->number, app->acknowledged, payload, payload_len);
	kept = malloc(sizeof(size_t) + payload_len);
	memcpy(kept, &payload_len, sizeof(size_t));
	memcpy(kept + sizeof(size_t), payload, payload_len);
	free(payload);
	free(rig->spy_cookie);
	rig->spy_cookie = kept;
	return held_request(rig, app->conn);
}

static void
test_quorum(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	uint64_t request;

	prepare(&rig, guarded_rules, "root", &app, &key);
	watch(&rig, &app, 2);
	rig_open(&rig, 3, &rig.terminal);
	request = hold(&rig, &app, key, arg, signature, &len);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato2", "approve"), KMN_OK);  /* recorded; the same person */
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "nobody", "approve"), KMN_OK); /* recorded; of no custodian */
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "suzuki", "approve"), KMN_OK);
	CU_ASSERT_TRUE(rig_expect(&rig, 2, KMN_F_READY, NULL));
	CU_ASSERT_EQUAL(ask_again(&rig, &app, "data", arg), CKR_OK);
	CU_ASSERT_EQUAL(len, 256);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "result", "sig-verified"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	free(rig.spy_cookie);
	rig_end(&rig);
}

static void
test_rejected(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	uint64_t request;

	prepare(&rig, guarded_rules, "root", &app, &key);
	watch(&rig, &app, 2);
	rig_open(&rig, 3, &rig.terminal);
	request = hold(&rig, &app, key, arg, signature, &len);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "reject"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "suzuki", "reject"), KMN_OK);
	CU_ASSERT_TRUE(rig_expect(&rig, 2, KMN_F_READY, NULL));
	CU_ASSERT_EQUAL(ask_again(&rig, &app, "data", arg), CKR_FUNCTION_REJECTED);
	/* Its operation ended in the module too. */
	app.acknowledged = app.number + 1;
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", signature, &(CK_ULONG){512}), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "\"rejected\""), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	free(rig.spy_cookie);
	rig_end(&rig);
}

static void
test_vetoed(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	uint64_t request;

	prepare(&rig, guarded_rules, "root", &app, &key);
	rig_open(&rig, 3, &rig.terminal);
	request = hold(&rig, &app, key, arg, signature, &len);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "tanaka", "veto"), KMN_OK);
	CU_ASSERT_EQUAL(ask_again(&rig, &app, "data", arg), CKR_FUNCTION_REJECTED);
	CU_ASSERT_NOT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), UINT32_MAX);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	free(rig.spy_cookie);
	rig_end(&rig);
}

/* The wait ends, the request does not: the same call made again meets the approval given meanwhile. */
static void
test_wait_over(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len = 512;
	struct kmn_arg arg[3];
	struct kmn_writer w;
	struct rig_frame f;
	uint64_t request;
	CK_RV rv;

	prepare(&rig, guarded_rules, "root", &app, &key);
	rig_open(&rig, 3, &rig.terminal);
	request = hold(&rig, &app, key, arg, signature, &len);
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, app.number);
	rig_send(&rig, 1, KMN_F_END_WAIT, &w);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_REPLY, &f));
	CU_ASSERT_EQUAL(kmn_response_decode(KMN_C_Sign, arg, 3, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_FUNCTION_CANCELED);
	app.acknowledged = app.number + 1;
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "tanaka", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0); /* nobody is there to take it */
	CU_ASSERT_EQUAL(hold(&rig, &app, key, arg, signature, &len), request);
	CU_ASSERT_EQUAL(ask_again(&rig, &app, "data", arg), CKR_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	/* Other data is another operation: the approval is not for it. */
	app.acknowledged = app.number + 1;
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	(void)rig_send_sign(&rig, &app, "datb", arg, signature, &len);
	CU_ASSERT_NOT_EQUAL(held_request(&rig, 1), request);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "session", "wait-over"), 1);
	free(rig.spy_cookie);
	rig_end(&rig);
}

/* The application dies after its signature was made and before it said that it has it. */
static void
test_lost_answer(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512], second[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	uint64_t request;

	prepare(&rig, guarded_rules, "root", &app, &key);
	rig_open(&rig, 3, &rig.terminal);
	request = hold(&rig, &app, key, arg, signature, &len);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "tanaka", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(ask_again(&rig, &app, "data", arg), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	app.acknowledged = 1; /* it never says that it has the first answer */
	len = sizeof(second);
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", second, &len), CKR_OK);
	CU_ASSERT_EQUAL(memcmp(signature, second, 256), 0);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "redelivery", NULL), 1);
	free(rig.spy_cookie);
	rig_end(&rig);
}

/* Ended by a signal it reads all records again; stopped, those that its snapshot names. */
static void
restart_keeps_requests(bool stopped)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	char text[4096];
	struct kmn_writer w;
	uint64_t request;

	prepare(&rig, guarded_rules, "root", &app, &key);
	rig_open(&rig, 3, &rig.terminal);
	request = hold(&rig, &app, key, arg, signature, &len);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), KMN_OK);
	if (stopped) {
		CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	} else {
		rig_kill(&rig);
	}
	rig_restart(&rig);
	CU_ASSERT_EQUAL(rig_said(&rig, "by its snapshot"), stopped);
	rig_open(&rig, 3, &rig.terminal);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "suzuki", "approve"), KMN_OK);
	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_LIST);
	kmn_writer_bool(&w, false);
	CU_ASSERT_EQUAL(rig_admin(&rig, 3, &w, text, sizeof(text)), KMN_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"state\":\"approved\""));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "recovery", NULL), stopped ? 0 : 1);
	free(rig.spy_cookie);
	rig_end(&rig);
}

static void
test_restart_keeps_requests(void)
{
	restart_keeps_requests(false);
}

static void
test_start_by_snapshot(void)
{
	restart_keeps_requests(true);
}

/* Holds back what a worker answers to C_Sign. */
static bool
swallow(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	struct kmn_response_view view;

	(void)rig;
	(void)worker;
	return to_worker || m->kind != KMN_W_REPLY || m->len_bytes < 8 ||
	       kmn_response_view_decode(m->body + 8, m->len_bytes - 8, &view) != KMN_OK || view.id != KMN_C_Sign;
}

/* The HSM has signed, the keeper dies: the approval stays used, and the ledger says that the outcome is unknown. */
static void
test_killed_while_running(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	uint64_t request;

	prepare(&rig, guarded_rules, "root", &app, &key);
	rig_open(&rig, 3, &rig.terminal);
	request = hold(&rig, &app, key, arg, signature, &len);
	rig.spy = swallow;
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "suzuki", "approve"), KMN_OK);
	for (int i = 0; i < 100 && rig_mock_calls(&rig, "C_Sign") == 0; i++)
		rig_pump(&rig, 50);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	rig_kill(&rig);
	rig.spy = NULL;
	rig_restart(&rig);
	CU_ASSERT_EQUAL(rig_records(&rig, "recovery", "\"unknown\""), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "result", "sig-verified"), 0);
	rig_open(&rig, 3, &rig.terminal);
	/* The approvals are used up: another vote for the request does not run it. */
	(void)rig_vote(&rig, 3, request, "tanaka", "approve");
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	free(rig.spy_cookie);
	rig_end(&rig);
}

/* ---- who may what ------------------------------------------------------------------------------------------------ */

static void
test_refusals_are_recorded(void)
{
	struct rig rig;
	struct rig_app app, other;
	CK_OBJECT_HANDLE key;
	struct kmn_writer w;
	char text[4096];

	prepare(&rig, guarded_rules, "k", &app, &key);
	/* A client that no rule names. */
	rig_attach(&rig, &other, 5, &rig.other);
	CU_ASSERT_EQUAL(rig_open_session(&rig, &other), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "C_OpenSession"), 1);
	/* A terminal makes no calls; a client casts no votes and sees only its own requests. */
	rig_open(&rig, 6, &rig.terminal);
	kmn_writer_init(&w, 256);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, app.id, sizeof(app.id));
	kmn_writer_raw(&w, app.secret, sizeof(app.secret));
	kmn_writer_text(&w, "");
	rig_send(&rig, 6, KMN_F_JOIN, &w);
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 6));
	rig_open(&rig, 7, &rig.other);
	kmn_writer_init(&w, 256);
	kmn_writer_u16(&w, KMN_ADMIN_NOTE_SUBMIT);
	kmn_writer_text(&w, "note");
	CU_ASSERT_EQUAL(rig_admin(&rig, 7, &w, text, sizeof(text)), KMN_E_DENIED);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.reject", "terminal"), 1);
	rig_end(&rig);
}

static void
test_others_requests(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	struct kmn_writer w;
	char text[4096];
	uint64_t request;

	prepare(&rig, guarded_rules, "root", &app, &key);
	request = hold(&rig, &app, key, arg, signature, &len);
	rig_open(&rig, 7, &rig.other);
	kmn_writer_init(&w, 256);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_SHOW);
	kmn_writer_u64(&w, request);
	CU_ASSERT_EQUAL(rig_admin(&rig, 7, &w, text, sizeof(text)), KMN_E_NOT_FOUND);
	kmn_writer_init(&w, 256);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_WITHDRAW);
	kmn_writer_u64(&w, request);
	kmn_writer_text(&w, "not mine");
	CU_ASSERT_EQUAL(rig_admin(&rig, 7, &w, text, sizeof(text)), KMN_E_NOT_FOUND);
	rig_open(&rig, 8, &rig.ca);
	kmn_writer_init(&w, 256);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_WITHDRAW);
	kmn_writer_u64(&w, request);
	kmn_writer_text(&w, "mine");
	CU_ASSERT_EQUAL(rig_admin(&rig, 8, &w, text, sizeof(text)), KMN_OK);
	CU_ASSERT_EQUAL(ask_again(&rig, &app, "data", arg), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "withdrawn"), 1);
	free(rig.spy_cookie);
	rig_end(&rig);
}

/* ---- the ledger cannot be written -------------------------------------------------------------------------------- */

static void
test_disk_full(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	uint8_t signature[512] = {0};
	CK_ULONG len = sizeof(signature);
	struct rlimit now = {0, 0};
	CK_SLOT_INFO info = {.flags = 0};
	CK_SESSION_INFO state = {.ulDeviceError = 0};
	CK_SESSION_HANDLE none;
	struct kmn_arg arg[3], slot[] = {{.u = 11}, {.p = &info}}, session[] = {{.u = 0}, {.p = &state}};
	struct kmn_arg open[] = {{.u = 11}, {.u = CKF_SERIAL_SESSION}, {.p = NULL}, {.p = &none}};
	struct kmn_response_view view;
	struct rig_frame f;
	unsigned calls;

	prepare(&rig, open_rules, "k", &app, &key);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	calls = rig_mock_calls(&rig, "C_Sign");
	CU_ASSERT_EQUAL_FATAL(prlimit(rig.keeper, RLIMIT_FSIZE, &(struct rlimit){16, 16}, &now), 0);
	(void)rig_send_sign(&rig, &app, "data", arg, signature, &len);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, 1, KMN_F_REPLY, &f));
	CU_ASSERT_EQUAL(kmn_response_view_decode(f.body + RIG_REPLY, f.len - RIG_REPLY, &view), KMN_OK);
	CU_ASSERT_EQUAL(view.rv, CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), calls); /* the module was never asked */
	/* reads go on, and say why; what would need a record does not */
	slot[0].u = 11;
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GetSlotInfo, slot, 2), CKR_OK);
	CU_ASSERT_EQUAL(info.flags & CKF_TOKEN_PRESENT, CKF_TOKEN_PRESENT);
	session[0].u = app.session;
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GetSessionInfo, session, 2), CKR_OK);
	CU_ASSERT_EQUAL(state.ulDeviceError, KMN_E_LEDGER);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_Logout, session, 1), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_OpenSession, open, 4), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_CloseSession, session, 1), CKR_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Logout"), 0);
	/* it ends as a failure, and the next one goes on where the ledger was */
	CU_ASSERT_NOT_EQUAL(rig_stop(&rig), 0);
	rig_restart(&rig);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo records[] = {
	    {"a decision is durable before the module is asked, a result before the answer", test_order},
	    {"a signature that its public key does not confirm is not released", test_wrong_signature},
	    {"a data call that nobody started is the module's to refuse, and needs no record",
		test_data_call_without_init},
	    {"a worker that dies leaves an undecided call in the ledger, and harms nobody else", test_worker_dies},
	    {"a disk that takes no byte: the module is not asked, reads go on", test_disk_full},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo numbers[] = {
	    {"a number runs once, its answer is kept, other bytes and old numbers are refused", test_numbers},
	    {"an answer follows its application to another connection, and no stranger's", test_another_connection},
	    {"an application without a connection ends with its lease", test_lease},
	    {"when all places are taken the application longest without a connection makes room", test_places},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo quorum[] = {
	    {"two persons approve, not one twice: then it runs, once", test_quorum},
	    {"rejected: CKR_FUNCTION_REJECTED, and the operation is gone", test_rejected},
	    {"vetoed by one", test_vetoed},
	    {"the wait ends and the same call meets the approval given meanwhile, another does not", test_wait_over},
	    {"an answer that was lost is handed out again, the HSM is not asked twice", test_lost_answer},
	    {"requests and votes outlive the keeper", test_restart_keeps_requests},
	    {"a keeper that stopped starts by its snapshot, and knows requests and votes", test_start_by_snapshot},
	    {"killed while the HSM works: unknown in the ledger, approvals used up", test_killed_while_running},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo rights[] = {
	    {"refusals are recorded; terminals make no calls, clients cast no votes", test_refusals_are_recorded},
	    {"a client sees and withdraws its own requests only", test_others_requests},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/records", NULL, NULL, NULL, NULL, records},
	    {"keeper/numbers", NULL, NULL, NULL, NULL, numbers},
	    {"keeper/quorum", NULL, NULL, NULL, NULL, quorum},
	    {"keeper/rights", NULL, NULL, NULL, NULL, rights},
	    CU_SUITE_INFO_NULL,
	};

	signal(SIGPIPE, SIG_IGN);
	return kmn_test_main(argc, argv, suites);
}
