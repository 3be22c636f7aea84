/* Approved mechanisms, and where keys come from (R6, R7), with a real keeper and a module behind it. */
#include "config.h"

#include <string.h>

#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

static const char rules[] =
    "rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n"
    "rule proud\n  client ca\n  object pkcs11:token=mock-1;object=proud\n  calls key-use\n  origin local\n  need none\n"
    "rule open\n  client ca\n  object pkcs11:token=mock-1;object=guest\n  calls C_CreateObject\n  allow import\n  need "
    "none\n"
    "rule rest\n  client ca\n  calls login session query key-use key-management random\n  need none\n";

static const struct rig_module mock = {
    .name = "mock", .environment = {"KMN_MOCK_INTERFACES=3.2", "KMN_MOCK_SECRETS=2"}};
static const struct rig_plan plan = {
    .modules = &mock, .module_count = 1, .tokens = "mock-1", .token_lines = "token mock-1\n"};

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;
static CK_ULONG length = 16;

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
	CU_ASSERT_EQUAL(rig_stop(&s->rig), 0); /* the auditor's judge agrees */
	rig_end(&s->rig);
}

static CK_RV
call(struct scene *s, enum kmn_call_id id, struct kmn_arg *arg, size_t n)
{
	arg[0].u = s->app.session;
	return rig_call(&s->rig, &s->app, id, arg, n);
}

/* With which code is a matter of the function's list (docs/calls.md). */
static bool
is_refused(CK_RV rv)
{
	return rv == CKR_FUNCTION_REJECTED || rv == CKR_ACTION_PROHIBITED || rv == CKR_TEMPLATE_INCONSISTENT;
}

static CK_RV
create(struct scene *s, const char *label)
{
	char value[16] = "0123456789abcde", copy[16];
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &secret, sizeof(secret)}, {CKA_KEY_TYPE, &aes, sizeof(aes)},
	    {CKA_LABEL, strcpy(copy, label), strlen(label)}, {CKA_VALUE, value, sizeof(value)}};
	CK_OBJECT_HANDLE made;
	struct kmn_arg arg[] = {{.u = 0}, {.p = t, .u = KMN_COUNT_OF(t)}, {.p = &made}};

	return call(s, KMN_C_CreateObject, arg, 3);
}

static CK_RV
generate(struct scene *s, CK_ATTRIBUTE_TYPE type, CK_BBOOL *value, CK_OBJECT_HANDLE *made)
{
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &secret, sizeof(secret)}, {CKA_KEY_TYPE, &aes, sizeof(aes)},
	    {CKA_VALUE_LEN, &length, sizeof(length)}, {type, value, sizeof(*value)}};
	struct kmn_arg arg[] = {{.u = 0}, {.p = &mechanism}, {.p = t, .u = KMN_COUNT_OF(t)}, {.p = made}};

	return call(s, KMN_C_GenerateKey, arg, 4);
}

static CK_RV
change(struct scene *s, enum kmn_call_id id, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, CK_BBOOL *value)
{
	CK_ATTRIBUTE t[] = {{type, value, sizeof(*value)}};
	CK_OBJECT_HANDLE made;
	struct kmn_arg arg[] = {{.u = 0}, {.u = key}, {.p = t, .u = 1}, {.p = &made}};

	return call(s, id, arg, id == KMN_C_CopyObject ? 4 : 3);
}

static void
test_import(void)
{
	struct scene s;

	begin(&s);
	CU_ASSERT_TRUE(is_refused(create(&s, "x")));
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_CreateObject"), 0);
	CU_ASSERT_EQUAL(create(&s, "guest"), CKR_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_CreateObject"), 1);
	end(&s);
}

static void
test_extractable(void)
{
	CK_OBJECT_HANDLE key;
	struct scene s;

	begin(&s);
	CU_ASSERT_TRUE(is_refused(generate(&s, CKA_EXTRACTABLE, &yes, &key)));
	CU_ASSERT_TRUE(is_refused(generate(&s, CKA_SENSITIVE, &no, &key)));
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_GenerateKey"), 0);
	CU_ASSERT_EQUAL_FATAL(generate(&s, CKA_EXTRACTABLE, &no, &key), CKR_OK);
	CU_ASSERT_TRUE(is_refused(change(&s, KMN_C_CopyObject, key, CKA_EXTRACTABLE, &yes)));
	CU_ASSERT_TRUE(is_refused(change(&s, KMN_C_SetAttributeValue, key, CKA_SENSITIVE, &no)));
	CU_ASSERT_TRUE(is_refused(change(&s, KMN_C_SetAttributeValue, key, CKA_WRAP_WITH_TRUSTED, &no)));
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_CopyObject") + rig_mock_calls(&s.rig, "C_SetAttributeValue"), 0);
	end(&s);
}

/* The second key of SP 800-108 parameters is judged as the first: what it is to be, and to be called. */
static void
test_extra_keys(void)
{
	CK_OBJECT_HANDLE key, made, more[2];
	struct scene s;
	CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
	char label[] = "x";
	CK_ATTRIBUTE plain[] = {{CKA_CLASS, &secret, sizeof(secret)}, {CKA_KEY_TYPE, &generic, sizeof(generic)},
	    {CKA_VALUE_LEN, &length, sizeof(length)}};
	CK_ATTRIBUTE leaks[] = {{CKA_CLASS, &secret, sizeof(secret)}, {CKA_KEY_TYPE, &generic, sizeof(generic)},
	    {CKA_VALUE_LEN, &length, sizeof(length)}, {CKA_LABEL, label, 1}, {CKA_EXTRACTABLE, &yes, sizeof(yes)}};
	CK_SP800_108_COUNTER_FORMAT counter = {CK_FALSE, 32};
	CK_PRF_DATA_PARAM data[] = {{CK_SP800_108_ITERATION_VARIABLE, &counter, sizeof(counter)}};
	CK_DERIVED_KEY extra[] = {{plain, 3, &more[0]}, {leaks, 5, &more[1]}};
	CK_SP800_108_KDF_PARAMS params = {CKM_SHA256_HMAC, 1, data, 1, extra};
	CK_MECHANISM mechanism = {CKM_SP800_108_COUNTER_KDF, &params, sizeof(params)};
	struct kmn_arg arg[] = {{.u = 0}, {.p = &mechanism}, {.u = 0}, {.p = plain, .u = 3}, {.p = &made}};

	begin(&s);
	CU_ASSERT_EQUAL_FATAL(generate(&s, CKA_DERIVE, &yes, &key), CKR_OK);
	arg[2].u = key;
	(void)call(&s, KMN_C_DeriveKey, arg, 5);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_DeriveKey"), 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "\"prf\":\"CKM_SHA256_HMAC\",\"template\":{\"CKA_CLASS\":4"), 1);
	params.ulAdditionalDerivedKeys = 2;
	CU_ASSERT_TRUE(is_refused(call(&s, KMN_C_DeriveKey, arg, 5)));
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_DeriveKey"), 1);
	end(&s);
}

/* `origin local`: by the module's word about the key, which the intent has. */
static void
test_local(void)
{
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	CK_OBJECT_HANDLE key;
	struct scene s;

	begin(&s);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&s.rig, &s.app, "proud", &key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&s.rig, &s.app, key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign(&s.rig, &s.app, "hello", signature, &len), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "\"local\":true,"), 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "\"never_extractable\":true"), 1);
	end(&s);
}

static void
test_unapproved(void)
{
	CK_MECHANISM md5 = {CKM_MD5_RSA_PKCS, NULL, 0}, des = {CKM_DES3_KEY_GEN, NULL, 0};
	CK_OBJECT_HANDLE key, made;
	struct kmn_arg init[] = {{.u = 0}, {.p = &md5}, {.u = 0}};
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &secret, sizeof(secret)}};
	struct kmn_arg gen[] = {{.u = 0}, {.p = &des}, {.p = t, .u = 1}, {.p = &made}};
	struct scene s;

	begin(&s);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&s.rig, &s.app, "free", &key), CKR_OK);
	init[2].u = key;
	CU_ASSERT_EQUAL(call(&s, KMN_C_SignInit, init, 3), CKR_MECHANISM_INVALID);
	CU_ASSERT_EQUAL(call(&s, KMN_C_GenerateKey, gen, 4), CKR_MECHANISM_INVALID);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_SignInit") + rig_mock_calls(&s.rig, "C_GenerateKey"), 0);
	end(&s);
}

/* An operation is not brought back onto a guarded key. */
static void
test_operation_state(void)
{
	uint8_t state[32] = {1};
	CK_OBJECT_HANDLE root;
	struct kmn_arg arg[] = {{.u = 0}, {.p = state, .u = sizeof(state)}, {.u = 0}, {.u = 0}};
	struct scene s;

	begin(&s);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&s.rig, &s.app, "root", &root), CKR_OK);
	arg[3].u = root;
	CU_ASSERT_TRUE(is_refused(call(&s, KMN_C_SetOperationState, arg, 4)));
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_SetOperationState"), 0);
	end(&s);
}

/* A token that says itself that it is certified lower than its line asks is none of the policy's (R6). */
static void
test_level(void)
{
	static const struct {
		const char *level, *line;
		CK_RV want;
	} cases[] = {
	    {"KMN_MOCK_LEVEL=3", "token mock-1 level 3\n", CKR_OK},
	    {"KMN_MOCK_LEVEL=2", "token mock-1 level 3\n", CKR_FUNCTION_REJECTED},
	    {"KMN_MOCK_LEVEL=0", "token mock-1 level 3\n", CKR_OK}, /* it says nothing: the signers do */
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		const struct rig_module module = {
		    .name = "mock", .environment = {"KMN_MOCK_INTERFACES=3.2", cases[i].level}};
		const struct rig_plan levels = {
		    .modules = &module, .module_count = 1, .tokens = "mock-1", .token_lines = cases[i].line};
		struct scene s;

		rig_start_with(&s.rig, &levels, rules);
		rig_attach(&s.rig, &s.app, 1, &s.rig.ca);
		CU_ASSERT_EQUAL(rig_open_session(&s.rig, &s.app), cases[i].want);
		end(&s);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a key is brought in only where a rule allows it", test_import},
	    {"no key is made, copied or changed so that it may leave", test_extractable},
	    {"keys that SP 800-108 parameters make besides are judged", test_extra_keys},
	    {"a rule for keys made inside knows them by the module's word", test_local},
	    {"mechanisms that are not approved are none here", test_unapproved},
	    {"a token certified lower than its line asks is refused", test_level},
	    {"C_SetOperationState brings nothing back onto a guarded key", test_operation_state},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/origin", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
