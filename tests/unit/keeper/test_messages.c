/*
 * Functions of 3.0 and 3.2 under rules: what they do to a key is judged, held
 * and recorded as what 2.40 does; C_SessionCancel and C_LoginUser.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

static const char rules[] =
    "rule root\n  client ca\n  object pkcs11:token=mock-1;object=root pkcs11:token=mock-1;object=secret-1\n"
    "  calls key-use\n  mechanisms CKM_SHA256_RSA_PKCS CKM_AES_GCM\n  allow import\n  need keepers\n"
    "  expires 1h\n"
    "rule named\n  client other\n  calls login\n  need deny\n"
    "rule rest\n  client ca other\n  calls login session query key-use key-management random\n  mechanisms any\n"
    "  allow import\n  need none\n";

static const struct rig_module mock_3_2 = {
    .name = "mock", .environment = {"KMN_MOCK_INTERFACES=3.2", "KMN_MOCK_SECRETS=2"}};
static const struct rig_plan plan = {
    .modules = &mock_3_2, .module_count = 1, .tokens = "mock-1", .token_lines = "token mock-1\n"};

struct scene {
	struct rig rig;
	struct rig_app app;
	CK_OBJECT_HANDLE root;
};

static void
begin(struct scene *s)
{
	rig_start_with(&s->rig, &plan, rules);
	rig_attach(&s->rig, &s->app, 1, &s->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&s->rig, &s->app, "root", &s->root), CKR_OK);
	CU_ASSERT_TRUE_FATAL(rig_join(&s->rig, &s->app, 2, &s->rig.ca));
	rig_open(&s->rig, 3, &s->rig.terminal);
}

static void
end(struct scene *s)
{
	CU_ASSERT_EQUAL(rig_stop(&s->rig), 0);
	rig_end(&s->rig);
}

static CK_RV
call(struct scene *s, enum kmn_call_id id, struct kmn_arg *arg, size_t n)
{
	arg[0].u = s->app.session;
	return rig_call(&s->rig, &s->app, id, arg, n);
}

/* Sends a call and keeps its bytes, to send them again when it is ready. */
struct sent {
	uint64_t number, request;
	uint8_t *payload;
	size_t len;
};

static void
send_call(struct scene *s, enum kmn_call_id id, struct kmn_arg *arg, size_t n, struct sent *sent)
{
	arg[0].u = s->app.session;
	rig_payload(id, arg, n, &sent->payload, &sent->len);
	sent->number = ++s->app.number;
	rig_call_raw(&s->rig, 1, sent->number, s->app.acknowledged, sent->payload, sent->len);
}

static uint64_t
expect_held(struct scene *s, struct sent *sent)
{
	struct rig_frame f = {0};
	struct kmn_reader r;

	CU_ASSERT_TRUE(rig_expect(&s->rig, 1, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), sent->number);
	sent->request = kmn_reader_u64(&r);
	return sent->request;
}

/* What became of a held call: its CK_RV, with the response in arg if it has outputs. */
static CK_RV
outcome(struct scene *s, enum kmn_call_id id, struct kmn_arg *arg, size_t n, struct sent *sent)
{
	CK_RV rv = CKR_VENDOR_DEFINED;
	struct rig_frame f;

	for (int i = 0; i < 20; i++)
		rig_pump(&s->rig, 20);
	rig_call_raw(&s->rig, 1, sent->number, s->app.acknowledged, sent->payload, sent->len);
	if (rig_expect(&s->rig, 1, KMN_F_REPLY, &f))
		CU_ASSERT_EQUAL(kmn_response_decode(id, arg, n, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv), KMN_OK);
	free(sent->payload);
	return rv;
}

static void
vote(struct scene *s, uint64_t request, const char *how)
{
	CU_ASSERT_EQUAL(rig_vote(&s->rig, 3, request, "sato", how), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s->rig, 3, request, "suzuki", how), KMN_OK);
}

static CK_RV
message_init(struct scene *s, enum kmn_call_id id, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {type, NULL, 0};
	struct kmn_arg arg[] = {{.u = 0}, {.p = &mechanism}, {.u = key}};

	return call(s, id, arg, 3);
}

/* C_SignMessage and C_SignMessageNext without a parameter of the message. */
#define SIGN_ARGS(bytes, out, out_len) \
	{ \
		{.u = 0}, {.p = NULL, .u = 0, .type = CKM_SHA256_RSA_PKCS}, {.p = (bytes), .u = strlen(bytes)}, \
		{ \
			.p = (out), .n = (out_len) \
		} \
	}

/* ---- signatures of messages --------------------------------------------------------------------------------------- */

static void
test_sign_message(void)
{
	struct scene s;
	char data[] = "message";
	uint8_t signature[512];
	CK_ULONG len = 0;
	struct kmn_arg arg[] = SIGN_ARGS(data, NULL, &len);
	struct sent sent;
	uint64_t first;

	begin(&s);
	CU_ASSERT_EQUAL(message_init(&s, KMN_C_MessageSignInit, CKM_SHA256_RSA_PKCS, s.root), CKR_OK);
	CU_ASSERT_EQUAL(call(&s, KMN_C_SignMessage, arg, 4), CKR_OK); /* how long? nobody is asked */
	CU_ASSERT_EQUAL(len, 256);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "C_SignMessage"), 0);
	len = sizeof(signature);
	arg[3].p = signature;
	send_call(&s, KMN_C_SignMessage, arg, 4, &sent);
	first = expect_held(&s, &sent);
	vote(&s, first, "approve");
	CU_ASSERT_EQUAL(outcome(&s, KMN_C_SignMessage, arg, 4, &sent), CKR_OK);
	CU_ASSERT_EQUAL(len, 256);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "result", "sig-verified"), 1);
	/* the operation is there for the next message, which is another request */
	data[0] = 'M';
	len = sizeof(signature);
	send_call(&s, KMN_C_SignMessage, arg, 4, &sent);
	CU_ASSERT_NOT_EQUAL(expect_held(&s, &sent), first);
	vote(&s, sent.request, "reject");
	CU_ASSERT_EQUAL(outcome(&s, KMN_C_SignMessage, arg, 4, &sent), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_SignMessage"), 2);
	/* the module had seen nothing of the one that was refused */
	len = 0;
	arg[3].p = NULL;
	CU_ASSERT_EQUAL(call(&s, KMN_C_SignMessage, arg, 4), CKR_OK);
	end(&s);
}

/* What people approved as C_Sign is what a C_SignMessage of the same key, mechanism and data asks for. */
static void
test_same_operation(void)
{
	struct scene s;
	char data[] = "data";
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[] = SIGN_ARGS(data, signature, &len), one[3];
	struct sent sent, second;

	begin(&s);
	CU_ASSERT_EQUAL(rig_sign_init(&s.rig, &s.app, s.root), CKR_OK);
	one[1] = arg[2];
	one[2] = arg[3];
	send_call(&s, KMN_C_Sign, one, 3, &sent);
	(void)expect_held(&s, &sent);
	CU_ASSERT_EQUAL(message_init(&s, KMN_C_MessageSignInit, CKM_SHA256_RSA_PKCS, s.root), CKR_OK);
	send_call(&s, KMN_C_SignMessage, arg, 4, &second);
	CU_ASSERT_EQUAL(expect_held(&s, &second), sent.request);
	free(sent.payload);
	free(second.payload);
	end(&s);
}

static void
test_parts(void)
{
	struct scene s;
	char part[] = "par", last[] = "ts", whole[] = "parts";
	uint8_t signature[512], again[512];
	CK_ULONG len = sizeof(signature), again_len = sizeof(again);
	struct kmn_arg begins[] = {{.u = 0}, {.p = NULL, .u = 0, .type = CKM_SHA256_RSA_PKCS}};
	struct kmn_arg more[] = SIGN_ARGS(part, NULL, NULL), ends[] = SIGN_ARGS(last, NULL, &len);
	struct kmn_arg one[] = SIGN_ARGS(whole, again, &again_len);
	struct sent sent;

	begin(&s);
	CU_ASSERT_EQUAL(message_init(&s, KMN_C_MessageSignInit, CKM_SHA256_RSA_PKCS, s.root), CKR_OK);
	for (int round = 0; round < 2; round++) {
		len = 0;
		ends[3].p = NULL;
		CU_ASSERT_EQUAL(call(&s, KMN_C_SignMessageBegin, begins, 2), CKR_OK);
		CU_ASSERT_EQUAL(call(&s, KMN_C_SignMessageNext, more, 4), CKR_OK);
		CU_ASSERT_EQUAL(call(&s, KMN_C_SignMessageNext, ends, 4), CKR_OK);
		CU_ASSERT_EQUAL(len, 256);
		len = sizeof(signature);
		ends[3].p = signature;
		send_call(&s, KMN_C_SignMessageNext, ends, 4, &sent);
		vote(&s, expect_held(&s, &sent), round == 0 ? "approve" : "reject");
		CU_ASSERT_EQUAL(
		    outcome(&s, KMN_C_SignMessageNext, ends, 4, &sent), round == 0 ? CKR_OK : CKR_FUNCTION_REJECTED);
		part[0] = 'P'; /* another message for the second round */
	}
	CU_ASSERT_EQUAL(rig_records(&s.rig, "result", "sig-verified"), 1);
	/* what was refused is not left half signed: the whole operation went with it */
	CU_ASSERT_EQUAL(call(&s, KMN_C_SignMessage, one, 4), CKR_OPERATION_NOT_INITIALIZED);
	/* in one piece it is the operation that was approved, and its signature is there already */
	CU_ASSERT_EQUAL(message_init(&s, KMN_C_MessageSignInit, CKM_SHA256_RSA_PKCS, s.root), CKR_OK);
	CU_ASSERT_EQUAL(call(&s, KMN_C_SignMessage, one, 4), CKR_OK);
	CU_ASSERT_EQUAL(again_len, 256);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "redelivery", NULL), 1);
	end(&s);
}

/* ---- other uses of a guarded key ----------------------------------------------------------------------------------- */

static CK_OBJECT_HANDLE
find_labelled(struct scene *s, const char *label)
{
	char copy[32];
	CK_ATTRIBUTE t[] = {{CKA_LABEL, copy, strlen(label)}};
	CK_OBJECT_HANDLE found = 0;
	CK_ULONG n = 0;
	struct kmn_arg init[] = {{.u = 0}, {.p = t, .u = 1}}, next[] = {{.u = 0}, {.p = &found, .u = 1, .n = &n}};
	struct kmn_arg final[] = {{.u = 0}};

	snprintf(copy, sizeof(copy), "%s", label);
	CU_ASSERT_EQUAL(call(s, KMN_C_FindObjectsInit, init, 2), CKR_OK);
	CU_ASSERT_EQUAL(call(s, KMN_C_FindObjects, next, 2), CKR_OK);
	CU_ASSERT_EQUAL(call(s, KMN_C_FindObjectsFinal, final, 1), CKR_OK);
	CU_ASSERT_EQUAL(n, 1);
	return found;
}

static void
test_decrypt_message(void)
{
	struct scene s;
	uint8_t iv[12] = {1}, tag[16] = {0}, in[16] = {2}, out[64];
	char aad[] = "header";
	CK_GCM_MESSAGE_PARAMS gcm = {
	    .pIv = iv, .ulIvLen = sizeof(iv), .pTag = tag, .ulTagBits = 128, .ivGenerator = CKG_NO_GENERATE};
	CK_ULONG len = sizeof(out);
	struct kmn_arg arg[] = {{.u = 0}, {.p = &gcm, .u = sizeof(gcm), .type = CKM_AES_GCM},
	    {.p = aad, .u = strlen(aad)}, {.p = in, .u = sizeof(in)}, {.p = out, .n = &len}};
	struct sent first, second;

	begin(&s);
	CU_ASSERT_EQUAL(message_init(&s, KMN_C_MessageDecryptInit, CKM_AES_GCM, find_labelled(&s, "secret-1")), CKR_OK);
	send_call(&s, KMN_C_DecryptMessage, arg, 5, &first);
	(void)expect_held(&s, &first);
	aad[0] = 'H'; /* other associated data is another request */
	send_call(&s, KMN_C_DecryptMessage, arg, 5, &second);
	CU_ASSERT_NOT_EQUAL(expect_held(&s, &second), first.request);
	free(second.payload);
	aad[0] = 'h';
	iv[0] = 9; /* and so is another IV */
	send_call(&s, KMN_C_DecryptMessage, arg, 5, &second);
	CU_ASSERT_NOT_EQUAL(expect_held(&s, &second), first.request);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_DecryptMessage"), 0);
	free(first.payload);
	free(second.payload);
	end(&s);
}

/* A rule on signatures is not gone round by what 3.2 has beside them. */
static void
test_equivalents(void)
{
	struct scene s;
	CK_MECHANISM raw = {CKM_RSA_X_509, NULL, 0}, wrap = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}};
	uint8_t in[256] = {1}, out[512];
	CK_OBJECT_HANDLE made, other;
	CK_ULONG len = sizeof(out);
	struct sent sent[4];
	struct kmn_arg unwrap[] = {
	    {.u = 0}, {.p = &raw}, {.u = 0}, {.p = in, .u = sizeof(in)}, {.p = t, .u = 1}, {.p = &made}};
	struct kmn_arg decapsulate[] = {
	    {.u = 0}, {.p = &raw}, {.u = 0}, {.p = t, .u = 1}, {.p = in, .u = sizeof(in)}, {.p = &made}};
	struct kmn_arg wrapped[] = {
	    {.u = 0}, {.p = &wrap}, {.u = 0}, {.u = 0}, {.p = in, .u = 4}, {.p = out, .n = &len}};
	struct kmn_arg unwrapped[] = {{.u = 0}, {.p = &raw}, {.u = 0}, {.p = in, .u = sizeof(in)}, {.p = t, .u = 1},
	    {.p = in, .u = 4}, {.p = &made}};

	begin(&s);
	other = find_labelled(&s, "secret-2");
	unwrap[2].u = decapsulate[2].u = unwrapped[2].u = wrapped[3].u = s.root;
	wrapped[2].u = other;
	send_call(&s, KMN_C_UnwrapKey, unwrap, 6, &sent[0]);
	(void)expect_held(&s, &sent[0]);
	send_call(&s, KMN_C_DecapsulateKey, decapsulate, 6, &sent[1]);
	(void)expect_held(&s, &sent[1]);
	send_call(&s, KMN_C_WrapKeyAuthenticated, wrapped, 6, &sent[2]);
	(void)expect_held(&s, &sent[2]);
	send_call(&s, KMN_C_UnwrapKeyAuthenticated, unwrapped, 7, &sent[3]);
	(void)expect_held(&s, &sent[3]);
	for (size_t i = 0; i < KMN_COUNT_OF(sent); i++)
		free(sent[i].payload);
	end(&s);
}

/* ---- C_SessionCancel, C_LoginUser ---------------------------------------------------------------------------------- */

static CK_RV
cancel(struct scene *s, CK_FLAGS flags)
{
	struct kmn_arg arg[] = {{.u = s->app.session}, {.u = flags}};
	CK_RV rv = CKR_VENDOR_DEFINED;
	struct rig_frame f;
	uint8_t *payload;
	size_t len;

	rig_payload(KMN_C_SessionCancel, arg, 2, &payload, &len);
	rig_call_raw(&s->rig, 2, ++s->app.number, s->app.acknowledged, payload, len);
	free(payload);
	if (rig_expect(&s->rig, 2, KMN_F_REPLY, &f))
		CU_ASSERT_EQUAL(
		    kmn_response_decode(KMN_C_SessionCancel, arg, 2, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv),
		    KMN_OK);
	return rv;
}

static void
test_cancel(void)
{
	struct scene s;
	char data[] = "data";
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[] = {{.u = 0}, {.p = data, .u = 4}, {.p = signature, .n = &len}};
	struct sent sent;

	begin(&s);
	CU_ASSERT_EQUAL(rig_sign_init(&s.rig, &s.app, s.root), CKR_OK);
	send_call(&s, KMN_C_Sign, arg, 3, &sent);
	(void)expect_held(&s, &sent);
	CU_ASSERT_EQUAL(cancel(&s, CKF_DECRYPT), CKR_OK); /* of another kind */
	CU_ASSERT_EQUAL(rig_records(&s.rig, "decision", "withdrawn"), 0);
	CU_ASSERT_EQUAL(cancel(&s, CKF_SIGN), CKR_OK);
	CU_ASSERT_EQUAL(outcome(&s, KMN_C_Sign, arg, 3, &sent), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "decision", "withdrawn"), 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "session", "\"event\":\"cancel\""), 2);
	CU_ASSERT_NOT_EQUAL(rig_vote(&s.rig, 3, sent.request, "sato", "approve"), UINT32_MAX);
	CU_ASSERT_EQUAL(call(&s, KMN_C_Sign, arg, 3), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Sign"), 1); /* that one, which says so */
	end(&s);
}

/* The approved call is with the module when the cancel comes: the module does not end what it works on, nor do we. */
static void
test_cancel_overtakes(void)
{
	struct scene s;
	CK_OBJECT_HANDLE free_key;
	char data[] = "data";
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[] = {{.u = 0}, {.p = data, .u = 4}, {.p = signature, .n = &len}};
	struct sent sent;
	struct rig_frame f;

	begin(&s);
	CU_ASSERT_EQUAL(rig_generate(&s.rig, &s.app, "free", &free_key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&s.rig, &s.app, free_key), CKR_OK);
	send_call(&s, KMN_C_Sign, arg, 3, &sent);
	CU_ASSERT_NOT_EQUAL(cancel(&s, CKF_DIGEST), CKR_VENDOR_DEFINED); /* answered while C_Sign is not */
	CU_ASSERT_TRUE(rig_expect(&s.rig, 1, KMN_F_REPLY, &f));
	free(sent.payload);
	end(&s);
}

static void
test_login_user(void)
{
	struct scene s;
	struct rig_app other;
	char pin[] = "1234", name[] = "operator";
	struct kmn_arg logout[] = {{.u = 0}};
	struct kmn_arg arg[] = {{.u = 0}, {.u = CKU_USER}, {.p = pin, .u = 4}, {.p = name, .u = strlen(name)}};

	begin(&s);
	CU_ASSERT_EQUAL(call(&s, KMN_C_Logout, logout, 1), CKR_OK);
	CU_ASSERT_EQUAL(call(&s, KMN_C_LoginUser, arg, 4), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "session", "\"username\":\"operator\""), 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "session", "1234\""), 0);
	rig_attach(&s.rig, &other, 4, &s.rig.other);
	CU_ASSERT_EQUAL(rig_open_session(&s.rig, &other), CKR_OK);
	arg[0].u = other.session;
	CU_ASSERT_EQUAL(rig_call(&s.rig, &other, KMN_C_LoginUser, arg, 4), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_LoginUser"), 1);
	end(&s);
}

static CU_TestInfo tests[] = {
    {"each message of a guarded key is a request, and the operation goes on", test_sign_message},
    {"C_SignMessage and C_Sign of one thing are one operation", test_same_operation},
    {"parts of a message are signed as what they are together", test_parts},
    {"parameter and associated data make a message another one", test_decrypt_message},
    {"keys made with a guarded key need its quorum", test_equivalents},
    {"C_SessionCancel withdraws the request of the call that waits", test_cancel},
    {"C_SessionCancel does not wait for its session", test_cancel_overtakes},
    {"C_LoginUser is a login, and names who", test_login_user},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"keeper/messages", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
