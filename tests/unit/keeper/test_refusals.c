/*
 * What PKCS#11 says of each thing that the gateway itself refuses or loses:
 * one case per row of docs/channel.md, Return values.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

static const struct rig_module mock_3_2 = {
    .name = "mock", .environment = {"KMN_MOCK_INTERFACES=3.2", "KMN_MOCK_SECRETS=3"}};
static const struct rig_plan plan = {
    .modules = &mock_3_2, .module_count = 1, .tokens = "mock-1", .token_lines = "token mock-1\n"};

#define ALL "  client ca other\n"
static const char rules[] =
    "rule hidden\n" ALL "  object pkcs11:object=secret-2\n  calls query\n  need deny\n"
    "rule fixed\n" ALL "  object pkcs11:object=secret-1\n  calls key-use key-management\n  need deny\n"
    "rule made\n" ALL
    "  object pkcs11:object=never\n  calls C_GenerateKey C_GenerateKeyPair C_CreateObject\n  need deny\n"
    "rule admin\n" ALL "  calls token-management\n  need deny\n"
    "rule login\n  client other\n  calls login\n  need deny\n"
    "rule root\n" ALL "  object pkcs11:object=root\n  calls key-use\n  mechanisms CKM_SHA256_RSA_PKCS\n  need keepers\n"
    "rule pairs\n" ALL "  calls C_GenerateKeyPair\n  mechanisms CKM_RSA_PKCS_KEY_PAIR_GEN\n  need none\n"
    "rule objects\n" ALL "  calls C_CreateObject C_CopyObject C_DestroyObject C_SetAttributeValue\n  need none\n"
    "rule uses\n" ALL "  calls key-use\n  mechanisms CKM_SHA256_RSA_PKCS CKM_AES_CBC\n  need none\n"
    "rule look\n" ALL "  calls login session query random\n  need none\n";

struct scene {
	struct rig rig;
	struct rig_app app;
};

static void
begin(struct scene *s)
{
	rig_start_with(&s->rig, &plan, rules);
	rig_attach(&s->rig, &s->app, 1, &s->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&s->rig, &s->app), CKR_OK);
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
	return rig_call(&s->rig, &s->app, id, arg, n);
}

static CK_ULONG
device_error(struct scene *s)
{
	CK_SESSION_INFO info = {.ulDeviceError = 999};
	struct kmn_arg arg[] = {{.u = s->app.session}, {.p = &info}};

	CU_ASSERT_EQUAL(call(s, KMN_C_GetSessionInfo, arg, 2), CKR_OK);
	return info.ulDeviceError;
}

/* Handles of what has that label: how many, at most max of them in found. */
static CK_ULONG
find(struct scene *s, const char *label, CK_OBJECT_HANDLE *found, CK_ULONG max)
{
	char copy[32];
	CK_ATTRIBUTE t[] = {{CKA_LABEL, copy, 0}};
	CK_ULONG n = 0;
	struct kmn_arg init[] = {{.u = s->app.session}, {.p = t, .u = label != NULL}};
	struct kmn_arg next[] = {{.u = s->app.session}, {.p = found, .u = max, .n = &n}};
	struct kmn_arg final[] = {{.u = s->app.session}};

	if (label != NULL)
		t[0].ulValueLen = (CK_ULONG)snprintf(copy, sizeof(copy), "%s", label);
	CU_ASSERT_EQUAL(call(s, KMN_C_FindObjectsInit, init, 2), CKR_OK);
	CU_ASSERT_EQUAL(call(s, KMN_C_FindObjects, next, 2), CKR_OK);
	CU_ASSERT_EQUAL(call(s, KMN_C_FindObjectsFinal, final, 1), CKR_OK);
	return n;
}

/* ---- policy ------------------------------------------------------------------------------------------------------- */

static void
test_mechanisms(void)
{
	struct scene s;
	CK_MECHANISM_TYPE list[16];
	CK_MECHANISM_INFO info;
	CK_MECHANISM hidden = {CKM_ECDSA_SHA256, NULL, 0}, pairs = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE key, public, private;
	CK_ULONG n = 0, all;
	struct kmn_arg types[] = {{.u = 11}, {.p = NULL, .n = &n}};
	struct kmn_arg one[] = {{.u = 11}, {.u = CKM_ECDSA_SHA256}, {.p = &info}};
	struct kmn_arg init[] = {{.u = 0}, {.p = &hidden}, {.u = 0}};
	struct kmn_arg make[] = {
	    {.u = 0}, {.p = &pairs}, {.p = NULL, .u = 0}, {.p = NULL, .u = 0}, {.p = &public}, {.p = &private}};

	begin(&s);
	CU_ASSERT_EQUAL(call(&s, KMN_C_GetMechanismList, types, 2), CKR_OK);
	all = n;
	CU_ASSERT_TRUE(all > 2 && all < 16);
	types[1].p = list;
	n = all - 1;
	CU_ASSERT_EQUAL(call(&s, KMN_C_GetMechanismList, types, 2), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(n, all);
	n = 16;
	CU_ASSERT_EQUAL(call(&s, KMN_C_GetMechanismList, types, 2), CKR_OK);
	CU_ASSERT_EQUAL(n, all);
	for (CK_ULONG i = 0; i < n; i++) {
		CU_ASSERT_TRUE(list[i] != CKM_ECDSA_SHA256 && list[i] != CKM_EC_KEY_PAIR_GEN);
		one[1].u = list[i];
		CU_ASSERT_EQUAL(call(&s, KMN_C_GetMechanismInfo, one, 3), CKR_OK);
	}
	one[1].u = CKM_ECDSA_SHA256;
	CU_ASSERT_EQUAL(call(&s, KMN_C_GetMechanismInfo, one, 3), CKR_MECHANISM_INVALID);
	CU_ASSERT_EQUAL(find(&s, "secret-3", &key, 1), 1);
	init[0].u = make[0].u = s.app.session;
	init[2].u = key;
	CU_ASSERT_EQUAL(call(&s, KMN_C_SignInit, init, 3), CKR_MECHANISM_INVALID);
	CU_ASSERT_EQUAL(device_error(&s), KMN_E_MECHANISM);
	CU_ASSERT_EQUAL(call(&s, KMN_C_GenerateKeyPair, make, 6), CKR_MECHANISM_INVALID);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_SignInit") + rig_mock_calls(&s.rig, "C_GenerateKeyPair"), 0);
	end(&s);
}

static void
test_hidden(void)
{
	struct scene s;
	CK_OBJECT_HANDLE found[8], one[8];
	CK_MECHANISM aes = {CKM_AES_CBC, (char[16]){0}, 16};
	CK_ULONG n, size = 0;
	struct kmn_arg init[] = {{.u = 0}, {.p = &aes}, {.u = 0}};
	struct kmn_arg sized[] = {{.u = 0}, {.u = 0}, {.p = &size}};

	begin(&s);
	CU_ASSERT_EQUAL(find(&s, "secret-2", found, 8), 0);
	n = find(&s, NULL, found, 8);
	CU_ASSERT_EQUAL(n, 2);
	/* asked for one at a time, none comes short before the end */
	CU_ASSERT_EQUAL(find(&s, NULL, one, 2), 2);
	CU_ASSERT_TRUE(one[0] == found[0] && one[1] == found[1]);
	/* its handle is guessed: between its neighbours' */
	init[0].u = sized[0].u = s.app.session;
	for (CK_OBJECT_HANDLE h = 1; h < 8; h++) {
		if (h == found[0] || h == found[1])
			continue;
		init[2].u = sized[1].u = h;
		CU_ASSERT_EQUAL(call(&s, KMN_C_EncryptInit, init, 3), CKR_KEY_HANDLE_INVALID);
		CU_ASSERT_EQUAL(call(&s, KMN_C_GetObjectSize, sized, 3), CKR_OBJECT_HANDLE_INVALID);
	}
	init[2].u = sized[1].u = found[1];
	CU_ASSERT_EQUAL(call(&s, KMN_C_EncryptInit, init, 3), CKR_OK);
	CU_ASSERT_EQUAL(call(&s, KMN_C_GetObjectSize, sized, 3), CKR_OK);
	CU_ASSERT_TRUE(rig_records(&s.rig, "op", "C_GetObjectSize") >= 1);
	/* who was refused is told a code, the ledger in words why; what was let through has no reason */
	CU_ASSERT_TRUE(rig_records(&s.rig, "op", "\"reason\":\"it may not even ask about that object\"") >= 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "op", "\"dur_us\":0,"), rig_records(&s.rig, "op", "\"reason\":\""));
	end(&s);
}

static void
test_changes(void)
{
	struct scene s;
	CK_OBJECT_HANDLE key, made;
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_ATTRIBUTE t[] = {{CKA_LABEL, (char[]){"never"}, 5}, {CKA_CLASS, &class, sizeof(class)}};
	struct kmn_arg set[] = {{.u = 0}, {.u = 0}, {.p = t, .u = 1}};
	struct kmn_arg copy[] = {{.u = 0}, {.u = 0}, {.p = NULL, .u = 0}, {.p = &made}};
	struct kmn_arg destroy[] = {{.u = 0}, {.u = 0}};
	struct kmn_arg create[] = {{.u = 0}, {.p = t, .u = 2}, {.p = &made}};

	begin(&s);
	CU_ASSERT_EQUAL(find(&s, "secret-1", &key, 1), 1);
	set[0].u = copy[0].u = destroy[0].u = create[0].u = s.app.session;
	set[1].u = copy[1].u = destroy[1].u = key;
	CU_ASSERT_EQUAL(call(&s, KMN_C_SetAttributeValue, set, 3), CKR_ACTION_PROHIBITED);
	CU_ASSERT_EQUAL(call(&s, KMN_C_CopyObject, copy, 4), CKR_ACTION_PROHIBITED);
	CU_ASSERT_EQUAL(call(&s, KMN_C_DestroyObject, destroy, 2), CKR_ACTION_PROHIBITED);
	CU_ASSERT_EQUAL(device_error(&s), KMN_E_DENIED);
	CU_ASSERT_EQUAL(call(&s, KMN_C_CreateObject, create, 3), CKR_TEMPLATE_INCONSISTENT);
	CU_ASSERT_EQUAL(rig_generate(&s.rig, &s.app, "never", &made), CKR_TEMPLATE_INCONSISTENT);
	end(&s);
}

/* Denied where it is certain: at the Init; nothing that makes a caller try another function with the key. */
static void
test_denied(void)
{
	struct scene s;
	CK_OBJECT_HANDLE key;
	CK_MECHANISM aes = {CKM_AES_CBC, (char[16]){0}, 16};
	char pin[] = "1234", label[32] = "new";
	struct kmn_arg init[] = {{.u = 0}, {.p = &aes}, {.u = 0}};
	struct kmn_arg token[] = {{.u = 11}, {.p = pin, .u = 4}, {.p = label}};
	struct kmn_arg user[] = {{.u = 0}, {.p = pin, .u = 4}};

	begin(&s);
	CU_ASSERT_EQUAL(device_error(&s), 0);
	CU_ASSERT_EQUAL(find(&s, "secret-1", &key, 1), 1);
	init[0].u = user[0].u = s.app.session;
	init[2].u = key;
	CU_ASSERT_EQUAL(call(&s, KMN_C_EncryptInit, init, 3), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(call(&s, KMN_C_DecryptInit, init, 3), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(call(&s, KMN_C_InitToken, token, 3), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(call(&s, KMN_C_InitPIN, user, 2), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_EncryptInit") + rig_mock_calls(&s.rig, "C_InitToken") +
			    rig_mock_calls(&s.rig, "C_InitPIN"),
	    0);
	end(&s);
}

static void
test_login(void)
{
	struct scene s;
	struct rig_app other;

	begin(&s);
	rig_attach(&s.rig, &other, 2, &s.rig.other);
	CU_ASSERT_EQUAL(rig_open_session(&s.rig, &other), CKR_OK);
	CU_ASSERT_EQUAL(rig_login(&s.rig, &other), CKR_FUNCTION_CANCELED);
	end(&s);
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

/* One C_SignInit and C_Sign of the guarded key in a session of its own. CKR_OK: it is held, as the request. */
static CK_RV
ask(struct scene *s, CK_OBJECT_HANDLE key, unsigned n, bool v2_40, uint64_t *request)
{
	char data[32];
	uint8_t signature[512], *payload;
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[] = {{.u = 0}, {.p = data, .u = 0}, {.p = signature, .n = &len}};
	struct kmn_response_view view;
	struct kmn_writer w;
	struct kmn_reader r;
	CK_RV rv = CKR_VENDOR_DEFINED;
	size_t payload_len;

	CU_ASSERT_EQUAL(rig_open_session(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&s->rig, &s->app, key), CKR_OK);
	arg[0].u = s->app.session;
	arg[1].u = (CK_ULONG)snprintf(data, sizeof(data), "data %u", n);
	kmn_writer_init(&w, 4096);
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_Sign, arg, 3, &w), KMN_OK);
	if (v2_40)
		kmn_request_mark_2_40(&w, 0);
	CU_ASSERT_EQUAL(kmn_writer_take(&w, &payload, &payload_len), KMN_OK);
	rig_call_raw(&s->rig, 1, ++s->app.number, s->app.acknowledged, payload, payload_len);
	free(payload);
	for (int i = 0; i < 200; i++) {
		struct rig_frame f;

		rig_pump(&s->rig, 20);
		for (size_t k = 0; k < s->rig.frames; k++) {
			uint8_t type = s->rig.frame[k].type;

			if (s->rig.frame[k].conn != 1 || (type != KMN_F_HELD && type != KMN_F_REPLY))
				continue;
			CU_ASSERT_TRUE_FATAL(rig_expect(&s->rig, 1, type, &f));
			kmn_reader_init(&r, f.body, f.len);
			(void)kmn_reader_u64(&r);
			*request = kmn_reader_u64(&r);
			if (type == KMN_F_HELD)
				return CKR_OK;
			if (kmn_response_view_decode(f.body + RIG_REPLY, f.len - RIG_REPLY, &view) == KMN_OK)
				rv = (CK_RV)view.rv;
			return rv;
		}
	}
	return rv;
}

static void
test_too_many(void)
{
	struct scene s;
	CK_OBJECT_HANDLE key;
	uint64_t request;

	begin(&s);
	CU_ASSERT_EQUAL(rig_generate(&s.rig, &s.app, "root", &key), CKR_OK);
	for (unsigned n = 0; n < 4; n++)
		CU_ASSERT_EQUAL(ask(&s, key, n, true, &request), CKR_OK);
	CU_ASSERT_EQUAL(ask(&s, key, 4, true, &request), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(device_error(&s), KMN_E_TOO_MANY);
	CU_ASSERT_EQUAL(ask(&s, key, 5, false, &request), CKR_TOKEN_RESOURCE_EXCEEDED);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Sign"), 0);
	end(&s);
}

static void
test_why_it_ended(void)
{
	struct scene s;
	CK_OBJECT_HANDLE key;
	uint64_t request;

	begin(&s);
	CU_ASSERT_EQUAL(rig_generate(&s.rig, &s.app, "root", &key), CKR_OK);
	rig_open(&s.rig, 3, &s.rig.terminal);
	CU_ASSERT_EQUAL(ask(&s, key, 0, true, &request), CKR_OK);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, 3, request, "sato", "reject"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, 3, request, "suzuki", "reject"), KMN_OK);
	CU_ASSERT_EQUAL(device_error(&s), KMN_E_REJECTED);
	end(&s);
}

static CU_TestInfo policy_tests[] = {
    {"a mechanism that no rule admits is absent everywhere", test_mechanisms},
    {"a hidden object is not found, and its handle is none", test_hidden},
    {"changing and making objects", test_changes},
    {"uses and administration", test_denied},
    {"login", test_login},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo request_tests[] = {
    {"too many requests", test_too_many},
    {"why a request ended is told by the session", test_why_it_ended},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"keeper/refusals/policy", NULL, NULL, NULL, NULL, policy_tests},
	    {"keeper/refusals/requests", NULL, NULL, NULL, NULL, request_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
