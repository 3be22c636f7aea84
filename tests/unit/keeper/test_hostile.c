/*
 * Clients that own their key and their process and mean ill: ways around a quorum, and input that would end the
 * keeper for everybody. Each of these once worked.
 */
#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define REST \
	"rule rest\n  client ca\n  calls login session query key-use key-management token-management random\n" \
	"  need none\n"
#define ROOT \
	"rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n" \
	"  per operation\n  expires 1h\n"

static const char guarded_rules[] = ROOT REST;
static const char two_keys_rules[] =
    "group three 3 sato suzuki tanaka\n" ROOT "rule top\n  client ca\n  object pkcs11:token=mock-1;object=top\n"
    "  calls key-use\n  need three\n  expires 1h\n" REST;
static const char short_rules[] = "rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n"
				  "  calls key-use\n  need keepers\n  expires 5s\n" REST;
static const char generation_rules[] =
    "rule ceremony\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-management\n  allow import\n"
    "  need keepers\n  expires 1h\n" REST;

static const char fast_rules[] =
    ROOT "rule curves\n  client ca\n  calls key-use\n  mechanisms CKM_ECDSA\n  need keepers\n"
	 "rule fast\n  client ca\n  calls key-use\n  need none\n  class B\n" REST;

static void
prepare(struct rig *rig, const char *rules, struct rig_app *app)
{
	rig_start(rig, rules);
	rig_attach(rig, app, 1, &rig->ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(rig, app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(rig, app), CKR_OK);
}

/* Joins with one more connection: the same application, to have several calls in flight. */
static void
join(struct rig *rig, const struct rig_app *app, uint32_t conn)
{
	CU_ASSERT_TRUE_FATAL(rig_join(rig, app, conn, &rig->ca));
}

/* Sends a call and does not wait. */
static void
send_call(
    struct rig *rig, struct rig_app *app, uint32_t conn, enum kmn_call_id id, const struct kmn_arg *arg, size_t count)
{
	uint8_t *payload;
	size_t len;

	rig_payload(id, arg, count, &payload, &len);
	rig_call_raw(rig, conn, ++app->number, app->acknowledged, payload, len);
	free(payload);
}

static void
send_sign(struct rig *rig, struct rig_app *app, uint32_t conn, const char *data)
{
	static uint8_t room[512];
	CK_ULONG len = sizeof(room);
	char copy[64];
	struct kmn_arg arg[3] = {{.u = app->session}, {.p = copy, .u = strlen(data)}, {.p = room, .n = &len}};

	memcpy(copy, data, strlen(data));
	send_call(rig, app, conn, KMN_C_Sign, arg, 3);
}

static void
send_sign_init(struct rig *rig, struct rig_app *app, uint32_t conn, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	const struct kmn_arg arg[] = {{.u = app->session}, {.p = &mechanism}, {.u = key}};

	send_call(rig, app, conn, KMN_C_SignInit, arg, 3);
}

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

static CK_RV
reply_rv(struct rig *rig, uint32_t conn)
{
	struct kmn_response_view view;
	struct rig_frame f;

	if (!rig_expect(rig, conn, KMN_F_REPLY, &f) ||
	    kmn_response_view_decode(f.body + RIG_REPLY, f.len - RIG_REPLY, &view) != KMN_OK)
		return CKR_VENDOR_DEFINED;
	return (CK_RV)view.rv;
}

/* The keeper lives, and serves somebody else. */
static void
still_serves(struct rig *rig)
{
	struct rig_app app;

	rig_attach(rig, &app, 9, &rig->ca);
	CU_ASSERT_EQUAL(rig_open_session(rig, &app), CKR_OK);
}

static void
end(struct rig *rig)
{
	rig->spy = NULL;
	CU_ASSERT_EQUAL(rig_stop(rig), 0);
	rig_end(rig);
}

/* ---- an approval of one key, and another key in its place --------------------------------------------------------- */

/* Two calls wait with one operation; it ends with the first, and another key's begins before the second is approved. */
static void
test_approved_for_another_key(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE root, top;
	struct kmn_writer w;
	uint64_t second, number;

	prepare(&rig, two_keys_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &root), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "top", &top), CKR_OK);
	rig_open(&rig, 3, &rig.terminal);
	join(&rig, &app, 4);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, root), CKR_OK);
	send_sign(&rig, &app, 1, "first");
	number = app.number;
	(void)held_request(&rig, 1);
	send_sign(&rig, &app, 4, "second");
	second = held_request(&rig, 4);
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, number);
	rig_send(&rig, 1, KMN_F_END_WAIT, &w);
	CU_ASSERT_EQUAL(reply_rv(&rig, 1), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, top), CKR_OK);

	CU_ASSERT_EQUAL(rig_vote(&rig, 3, second, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, second, "suzuki", "approve"), KMN_OK);
	rig_pump(&rig, 300);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0); /* two persons approved root, none approved top */
	end(&rig);
}

/* What workers answer to calls, held back so that the keeper hears it late. */
static struct late {
	struct rig_worker *worker;
	uint8_t kind, *bytes;
	size_t len;
} late[16];
static size_t late_count;

static bool
hold_back(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	(void)rig;
	if (to_worker || m->kind != KMN_W_REPLY || late_count == KMN_COUNT_OF(late))
		return true;
	late[late_count] = (struct late){worker, m->kind, malloc(m->len_bytes), m->len_bytes};
	memcpy(late[late_count++].bytes, m->body, m->len_bytes);
	return false;
}

static void
let_go(struct rig *rig)
{
	rig->spy = NULL;
	for (size_t i = 0; i < late_count; i++) {
		CU_ASSERT_EQUAL(
		    kmn_ipc_send(late[i].worker->keeper, late[i].kind, late[i].bytes, late[i].len, -1), KMN_OK);
		free(late[i].bytes);
	}
	late_count = 0;
}

/* C_Sign is judged while the operation of a free key is active, and runs when a guarded one took its place. */
static void
test_init_between(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE root, free_key;

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &root), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "free", &free_key), CKR_OK);
	for (uint32_t conn = 2; conn <= 4; conn++)
		join(&rig, &app, conn);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, free_key), CKR_OK);
	rig.spy = hold_back;
	send_sign(&rig, &app, 2, "one");
	for (int i = 0; i < 20; i++)
		rig_pump(&rig, 20);
	send_sign_init(&rig, &app, 3, root);
	for (int i = 0; i < 20; i++)
		rig_pump(&rig, 20);
	send_sign(&rig, &app, 4, "two");
	for (int i = 0; i < 20; i++)
		rig_pump(&rig, 20);
	let_go(&rig);
	CU_ASSERT_EQUAL(reply_rv(&rig, 2), CKR_OK);
	CU_ASSERT_EQUAL(reply_rv(&rig, 3), CKR_OK);
	(void)held_request(&rig, 4);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	end(&rig);
}

/* C_Sign follows C_SignInit without waiting for it: not "an operation that nobody started". */
static void
test_sign_behind_init(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE root;

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &root), CKR_OK);
	join(&rig, &app, 2);
	rig.spy = hold_back;
	send_sign_init(&rig, &app, 1, root);
	for (int i = 0; i < 20; i++)
		rig_pump(&rig, 20);
	send_sign(&rig, &app, 2, "data");
	for (int i = 0; i < 20; i++)
		rig_pump(&rig, 20);
	let_go(&rig);
	CU_ASSERT_EQUAL(reply_rv(&rig, 1), CKR_OK);
	(void)held_request(&rig, 2);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0);
	end(&rig);
}

/* ---- another name for the same key -------------------------------------------------------------------------------- */

static CK_RV
rename_key(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key, const char *name)
{
	char label[64];
	CK_ATTRIBUTE t[] = {{CKA_LABEL, label, (CK_ULONG)strlen(name)}};
	struct kmn_arg arg[] = {{.u = app->session}, {.u = key}, {.p = t, .u = 1}};

	memcpy(label, name, strlen(name));
	return rig_call(rig, app, KMN_C_SetAttributeValue, arg, KMN_COUNT_OF(arg));
}

static void
test_renamed(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE root, other;

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &root), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "k", &other), CKR_OK);
	CU_ASSERT_EQUAL(rename_key(&rig, &app, root, "free"), CKR_ACTION_PROHIBITED);
	CU_ASSERT_EQUAL(rename_key(&rig, &app, root, "root"), CKR_OK);
	CU_ASSERT_EQUAL(rename_key(&rig, &app, other, "l"), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, root), CKR_OK);
	send_sign(&rig, &app, 1, "data");
	(void)held_request(&rig, 1);
	end(&rig);
}

/* docs/policy.md: a call that makes an object is judged by the label of its template. */
static void
test_generation_is_guarded(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE pub[] = {{CKA_MODULUS_BITS, &bits, sizeof(bits)}};
	CK_ATTRIBUTE priv[] = {{CKA_LABEL, (char[]){"root"}, 4}};
	const struct kmn_arg arg[] = {
	    {.u = 0}, {.p = &mechanism}, {.p = pub, .u = 1}, {.p = priv, .u = 1}, {.p = &key}, {.p = &key}};
	struct kmn_arg own[6];

	prepare(&rig, generation_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	memcpy(own, arg, sizeof(own));
	own[0].u = app.session;
	send_call(&rig, &app, 1, KMN_C_GenerateKeyPair, own, 6);
	(void)held_request(&rig, 1);
	join(&rig, &app, 2);
	app.conn = 2;
	{ /* nor does a key come to the name behind the persons' backs */
		CK_ATTRIBUTE t[] = {{CKA_LABEL, (char[]){"root"}, 4}};
		const struct kmn_arg set[] = {{.u = app.session}, {.u = key}, {.p = t, .u = 1}};

		send_call(&rig, &app, 2, KMN_C_SetAttributeValue, set, 3);
		(void)held_request(&rig, 2);
	}
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_GenerateKeyPair"), 1);
	end(&rig);
}

static CK_RV
read_attribute(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type)
{
	uint8_t room[512];
	CK_ATTRIBUTE t[] = {{type, room, sizeof(room)}};
	struct kmn_arg arg[] = {{.u = app->session}, {.u = key}, {.p = t, .u = 1}};

	return rig_call(rig, app, KMN_C_GetAttributeValue, arg, KMN_COUNT_OF(arg));
}

/* A query is free and counted; the private half of a guarded key is no query. */
static void
test_read_out(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE root, other;

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &root), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "k", &other), CKR_OK);
	CU_ASSERT_EQUAL(read_attribute(&rig, &app, root, CKA_PRIVATE_EXPONENT), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(read_attribute(&rig, &app, root, CKA_LABEL), CKR_OK);
	CU_ASSERT_NOT_EQUAL(read_attribute(&rig, &app, other, CKA_PRIVATE_EXPONENT), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "C_GetAttributeValue"), 1);
	end(&rig);
}

/* Class B has no intent: the auditor judges the record of the outcome, and agrees with what the keeper let run. */
static void
test_class_b(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE root, key;
	uint8_t signature[512], state[64];
	CK_ULONG len = sizeof(signature), state_len = sizeof(state);
	struct kmn_arg arg[] = {{.u = 0}, {.p = state, .n = &state_len}};

	prepare(&rig, fast_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &root), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", signature, &len), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "\"norm\":{\"digest\":"), 1);
	arg[0].u = app.session;
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GetOperationState, arg, 2), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_GetOperationState"), 1);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, root), CKR_OK);
	send_sign(&rig, &app, 1, "data");
	(void)held_request(&rig, 1);
	end(&rig);
}

/* ---- input that ended the keeper ------------------------------------------------------------------------------------ */

static void
test_session_number(void)
{
	struct rig rig;
	struct rig_app app;
	char pin[] = "1234";
	struct kmn_arg arg[] = {{.u = ~(CK_ULONG)0}, {.u = CKU_USER}, {.p = pin, .u = 4}};

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_Login, arg, 3), CKR_SESSION_HANDLE_INVALID);
	still_serves(&rig);
	end(&rig);
}

static void
test_pss_parameters(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	CK_RSA_PKCS_PSS_PARAMS pss[] = {{0x999, 2, 32}, {CKM_SHA256, 77, 32}, {CKM_SHA256, 2, ~(CK_ULONG)0}};

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &key), CKR_OK);
	for (size_t i = 0; i < KMN_COUNT_OF(pss); i++) {
		CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS_PSS, &pss[i], sizeof(pss[i])};
		struct kmn_arg arg[] = {{.u = app.session}, {.p = &mechanism}, {.u = key}};

		CU_ASSERT_NOT_EQUAL(rig_call(&rig, &app, KMN_C_SignInit, arg, 3), CKR_VENDOR_DEFINED);
	}
	still_serves(&rig);
	end(&rig);
}

#define LABELS 40
/* More text in a template than a line of the ledger holds. */
static CK_RV
create(struct rig *rig, struct rig_app *app, char fill, size_t labels, size_t each, bool wait)
{
	static char text[LABELS][1024];
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_OBJECT_HANDLE object;
	CK_ATTRIBUTE t[LABELS + 2] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (char[]){"root"}, 4}};
	struct kmn_arg arg[] = {{.u = app->session}, {.p = t, .u = 2 + labels}, {.p = &object}};

	for (size_t i = 0; i < labels; i++) {
		memset(text[i], fill, each);
		t[2 + i] = (CK_ATTRIBUTE){CKA_APPLICATION, text[i], each};
	}
	if (wait)
		return rig_call(rig, app, KMN_C_CreateObject, arg, 3);
	send_call(rig, app, app->conn, KMN_C_CreateObject, arg, 3);
	return CKR_OK;
}

static void
test_long_template(void)
{
	struct rig rig;
	struct rig_app app;

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL(create(&rig, &app, 'a', LABELS, 1024, true), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(create(&rig, &app, '"', 16, 1000, true), CKR_ARGUMENTS_BAD);
	still_serves(&rig);
	end(&rig);
}

/* The intent fits a line, and the statement of it does not: it cannot be approved, and nobody else is harmed. */
static void
test_long_statement(void)
{
	struct rig rig;
	struct rig_app app;

	prepare(&rig, generation_rules, &app);
	(void)create(&rig, &app, '\\', 9, 1000, false);
	for (int i = 0; i < 100 && rig_records(&rig, "decision", "\"deny\"") == 0; i++)
		rig_pump(&rig, 50);
	still_serves(&rig);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "\"deny\""), 1);
	end(&rig);
}

/* A refusal under a rule whose requests live shorter than an intent does by itself. */
static void
test_short_lifetime(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
	struct kmn_arg init[] = {{.u = 0}, {.p = &mechanism}, {.u = 0}};
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);

	prepare(&rig, short_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &key), CKR_OK);
	init[0].u = app.session;
	init[2].u = key;
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_SignInit, init, 3), CKR_OK);
	/* No DigestInfo: without a normal form nobody could check the signature. */
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", signature, &len), CKR_FUNCTION_REJECTED);
	still_serves(&rig);
	end(&rig);
}

/* Loses what a worker answers to C_Sign. */
static bool
lose_signatures(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	struct kmn_response_view view;

	(void)rig;
	(void)worker;
	return to_worker || m->kind != KMN_W_REPLY || m->len_bytes < 8 ||
	       kmn_response_view_decode(m->body + 8, m->len_bytes - 8, &view) != KMN_OK || view.id != KMN_C_Sign;
}

/* More calls without an outcome than a line of the ledger can name. */
static void
test_many_undecided(void)
{
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE key;
	CK_SESSION_HANDLE session[420];

	prepare(&rig, guarded_rules, &app);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	for (size_t i = 0; i < KMN_COUNT_OF(session); i++) {
		CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
		CU_ASSERT_EQUAL_FATAL(rig_sign_init(&rig, &app, key), CKR_OK);
		session[i] = app.session;
	}
	rig.spy = lose_signatures;
	for (size_t i = 0; i < KMN_COUNT_OF(session); i++) {
		app.session = session[i];
		send_sign(&rig, &app, 1, "data");
	}
	for (int i = 0; i < 200 && rig_mock_calls(&rig, "C_Sign") < 420; i++)
		rig_pump(&rig, 50);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 420);
	kill(rig.worker[1].pid, SIGKILL);
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 1));
	rig.spy = NULL;
	still_serves(&rig);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0); /* nobody waits for these records: durable at the stop at the latest */
	CU_ASSERT_EQUAL(rig_records(&rig, "recovery", NULL), 3);
	rig_end(&rig);
}

/* A gate that has gone mad is answered by the end of service, not by the end of memory. */
static void
test_gate_opens_for_ever(void)
{
	struct rig rig;

	rig_start(&rig, guarded_rules);
	for (uint32_t conn = 1; conn <= 65; conn++)
		rig_open(&rig, conn, &rig.ca);
	CU_ASSERT_EQUAL(rig_wait(&rig), 1);
	rig_end(&rig);
}

/* ---- what no record holds ---------------------------------------------------------------------------------------- */

/* C_CreateObject of a secret key with that value: the request that holds it. */
static uint64_t
import_key(struct rig *rig, struct rig_app *app, uint32_t conn, const char *value)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_OBJECT_HANDLE made;
	CK_BBOOL yes = CK_TRUE;
	char label[] = "root", copy[17];
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_LABEL, label, sizeof(label) - 1}, {CKA_TOKEN, &yes, sizeof(yes)}, {CKA_VALUE, copy, 16}};
	struct kmn_arg arg[] = {{.u = app->session}, {.p = t, .u = KMN_COUNT_OF(t)}, {.p = &made}};
	struct rig_frame f;
	struct kmn_reader r;

	memcpy(copy, value, sizeof(copy));
	send_call(rig, app, conn, KMN_C_CreateObject, arg, KMN_COUNT_OF(arg));
	CU_ASSERT_TRUE_FATAL(rig_expect(rig, conn, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u64(&r);
}

/* The value of a key is in no record: an approval of one import must not be met by another with the same template. */
static void
test_other_key_value(void)
{
	struct rig rig;
	struct rig_app app;
	struct kmn_writer w;
	uint64_t first, second;

	prepare(&rig, generation_rules, &app);
	rig_open(&rig, 3, &rig.terminal);
	first = import_key(&rig, &app, 1, "0123456789abcdef");
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, app.number);
	rig_send(&rig, 1, KMN_F_END_WAIT, &w);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_REPLY, NULL));
	second = import_key(&rig, &app, 1, "fedcba9876543210");
	CU_ASSERT_NOT_EQUAL(first, second);
	(void)rig_vote(&rig, 3, first, "sato", "approve");
	(void)rig_vote(&rig, 3, first, "suzuki", "approve");
	rig_pump(&rig, 200);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_CreateObject"), 0);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, second, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, second, "suzuki", "approve"), KMN_OK);
	for (int i = 0; i < 100 && rig_mock_calls(&rig, "C_CreateObject") == 0; i++)
		rig_pump(&rig, 50);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_CreateObject"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "withdrawn"), 1);
	rig_end(&rig);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo keys[] = {
	    {"an approval for one key does not run with another in its place", test_approved_for_another_key},
	    {"a C_Sign judged for a free key does not run with a guarded one", test_init_between},
	    {"a C_Sign right behind its C_SignInit waits for it", test_sign_behind_init},
	    {"a key does not leave its rule by another label", test_renamed},
	    {"class B runs without an intent, for keys that no quorum guards", test_class_b},
	    {"what a guarded key is made of is not read out", test_read_out},
	    {"generating, or renaming to, a guarded name is guarded", test_generation_is_guarded},
	    {"an approved import is met by no other key value", test_other_key_value},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo input[] = {
	    {"a session number beyond what JSON holds", test_session_number},
	    {"PSS parameters that no table has", test_pss_parameters},
	    {"a template longer than a line", test_long_template},
	    {"a statement longer than a line", test_long_statement},
	    {"a refusal under a rule with a short lifetime", test_short_lifetime},
	    {"more undecided calls than a line holds", test_many_undecided},
	    {"a gate that opens connections for ever", test_gate_opens_for_ever},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/hostile/keys", NULL, NULL, NULL, NULL, keys},
	    {"keeper/hostile/input", NULL, NULL, NULL, NULL, input},
	    CU_SUITE_INFO_NULL,
	};

	signal(SIGPIPE, SIG_IGN);
	return kmn_test_main(argc, argv, suites);
}
