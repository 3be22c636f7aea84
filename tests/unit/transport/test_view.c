#include "tests/unit/run.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/json.h"
#include "kanmon/receipt.h"
#include "kanmon/view.h"

static struct kmn_writer request;

static struct kmn_call_view
view_of(enum kmn_call_id id, const struct kmn_arg *arg, size_t n)
{
	struct kmn_call_view v;

	kmn_writer_clear(&request);
	kmn_writer_init(&request, 1u << 20);
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(id, arg, n, &request), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	return v;
}

/* The canonical line of a value, which it must have: the ledger takes no other. */
static void
check_line(json_t *value, const char *want)
{
	struct kmn_why why = {""};
	char *line = NULL;
	size_t len;

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	CU_ASSERT_EQUAL(kmn_json_emit(value, &line, &len, &why), KMN_OK);
	if (line == NULL || strcmp(line, want) != 0)
		printf("# got  %s %s\n# want %s\n", line != NULL ? line : "nothing", why.text, want);
	CU_ASSERT_TRUE(line != NULL && strcmp(line, want) == 0);
	free(line);
	json_decref(value);
}

static json_t *
mechanism(CK_MECHANISM_TYPE type, void *parameter, CK_ULONG len)
{
	CK_MECHANISM m = {type, parameter, len};
	struct kmn_arg init[] = {{.u = 9}, {.p = &m}, {.u = 3}};
	struct kmn_call_view v = view_of(KMN_C_SignInit, init, 3);

	return kmn_ledger_mechanism(kmn_view_mechanism(&v));
}

/* PKCS#11 takes its inputs by pointers to what could be written. */
#define IN(text) (void *)(uintptr_t)(text)

#define EMPTY_SHA256 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static void
test_mechanisms(void)
{
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
	json_t *shown;

	check_line(kmn_ledger_mechanism(NULL), "{\"name\":\"\",\"params\":{},\"params_sha256\":\"" EMPTY_SHA256 "\"}");
	check_line(mechanism(CKM_ECDSA, NULL, 0),
	    "{\"name\":\"CKM_ECDSA\",\"params\":{},\"params_sha256\":\"" EMPTY_SHA256 "\"}");
	check_line(mechanism(CKM_VENDOR_DEFINED | 0x10, NULL, 0),
	    "{\"name\":\"0x80000010\",\"params\":{},\"params_sha256\":\"" EMPTY_SHA256 "\"}");
	shown = mechanism(CKM_RSA_PKCS_PSS, &pss, sizeof(pss));
	check_line(json_incref(json_object_get(shown, "params")),
	    "{\"hash\":\"CKM_SHA256\",\"mgf\":\"CKG_MGF1_SHA256\",\"salt_len\":32}");
	CU_ASSERT_STRING_NOT_EQUAL(json_string_value(json_object_get(shown, "params_sha256")), EMPTY_SHA256);
	json_decref(shown);
}

/* A password in a parameter is in no member, and changes no hash. */
static void
test_passwords_stay_out(void)
{
	CK_BYTE iv[8] = {0}, salt[] = {1, 2, 3, 4};
	CK_UTF8CHAR password[] = "hunter2";
	CK_PBE_PARAMS pbe = {iv, password, 7, salt, sizeof(salt), 1000};
	json_t *one = mechanism(CKM_PBE_SHA1_DES3_EDE_CBC, &pbe, sizeof(pbe)), *other;

	password[6] = '3';
	other = mechanism(CKM_PBE_SHA1_DES3_EDE_CBC, &pbe, sizeof(pbe));
	CU_ASSERT_TRUE(json_equal(one, other));
	salt[0] = 9;
	json_decref(other);
	other = mechanism(CKM_PBE_SHA1_DES3_EDE_CBC, &pbe, sizeof(pbe));
	CU_ASSERT_FALSE(json_equal(one, other));
	check_line(json_incref(json_object_get(json_object_get(one, "params"), "pPassword")),
	    "{\"len\":7,\"redacted\":\"pPassword\"}");
	json_decref(one);
	json_decref(other);
}

static void
test_templates(void)
{
	CK_ULONG class = CKO_SECRET_KEY, mechanisms[] = {CKM_AES_GCM, 0x99999};
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE inner[] = {{CKA_LABEL, IN("in"), 2}};
	CK_ATTRIBUTE rows[] = {
	    {CKA_CLASS, &class, sizeof(class)},
	    {CKA_TOKEN, &yes, 1},
	    {CKA_LABEL, IN("root \xe9\x8d\xb5"), 8},
	    {CKA_ID, IN("\x01\x02"), 2},
	    {CKA_VALUE, IN("0123456789abcdef"), 16},
	    {CKA_ALLOWED_MECHANISMS, mechanisms, sizeof(mechanisms)},
	    {CKA_WRAP_TEMPLATE, inner, sizeof(inner)},
	    {CKA_VENDOR_DEFINED | 7, IN("secret"), 6},
	    {CKA_LABEL, IN("again\n"), 6},
	};
	CK_ULONG made;
	struct kmn_arg create[] = {{.u = 9}, {.p = rows, .u = KMN_COUNT_OF(rows)}, {.p = &made}};
	struct kmn_call_view v = view_of(KMN_C_CreateObject, create, 3);
	bool has;

	check_line(kmn_ledger_templates(&v, &has),
	    "{\"CKA_0x80000007\":{\"len\":6,\"redacted\":\"CKA_0x80000007\"},"
	    "\"CKA_ALLOWED_MECHANISMS\":[\"CKM_AES_GCM\",\"0x99999\"],\"CKA_CLASS\":4,\"CKA_ID\":{\"b64\":\"AQI=\"},"
	    "\"CKA_LABEL\":\"root \xe9\x8d\xb5\",\"CKA_LABEL_2\":{\"b64\":\"YWdhaW4K\"},\"CKA_TOKEN\":true,"
	    "\"CKA_VALUE\":{\"len\":16,\"redacted\":\"CKA_VALUE\"},\"CKA_WRAP_TEMPLATE\":{\"CKA_LABEL\":\"in\"}}");
	CU_ASSERT_TRUE(has);
}

static void
test_two_templates(void)
{
	CK_ULONG bits = 2048, made[2];
	CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public[] = {{CKA_MODULUS_BITS, &bits, sizeof(bits)}};
	struct kmn_arg generate[] = {
	    {.u = 9}, {.p = &m}, {.p = public, .u = 1}, {.p = NULL, .u = 0}, {.p = &made[0]}, {.p = &made[1]}};
	struct kmn_call_view v = view_of(KMN_C_GenerateKeyPair, generate, 6);
	bool has;

	check_line(kmn_ledger_templates(&v, &has),
	    "{\"pPrivateKeyTemplate\":{},\"pPublicKeyTemplate\":{\"CKA_MODULUS_BITS\":2048}}");
	CU_ASSERT_PTR_NULL(kmn_ledger_in(&v, NULL, &has));
	CU_ASSERT_FALSE(has);
}

static const uint8_t salt[KMN_OPENING_SALT_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
    19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

static void
test_data_and_pins(void)
{
	CK_BYTE out[8];
	CK_ULONG n = sizeof(out);
	struct kmn_arg sign[] = {{.u = 9}, {.p = IN("abc"), .u = 3}, {.p = out, .n = &n}};
	struct kmn_arg login[] = {{.u = 9}, {.u = CKU_USER}, {.p = IN("1234"), .u = 4}};
	struct kmn_arg state[] = {{.u = 9}, {.p = IN("abc"), .u = 3}, {.u = 0}, {.u = 0}};
	struct kmn_call_view v = view_of(KMN_C_Sign, sign, 3);
	bool has;

	check_line(
	    kmn_ledger_in(&v, NULL, &has), "{\"len\":3,\"sha256\":\"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\"}");
	v = view_of(KMN_C_Encrypt, sign, 3);
	check_line(kmn_ledger_in(&v, NULL, &has), "{\"len\":3,\"redacted\":\"pData\"}");
	check_line(
	    kmn_ledger_in(&v, salt, &has), "{\"commit\":\"FxOw/7xRuFiVd45oUS/Kh9zjSbjZEYI1/1fcgpkJBXw=\",\"len\":3}");
	v = view_of(KMN_C_SetOperationState, state, 4);
	CU_ASSERT_PTR_NULL(kmn_ledger_in(&v, salt, &has));
	v = view_of(KMN_C_Login, login, 3);
	check_line(kmn_ledger_arguments(&v), "{\"hSession\":9,\"pPin\":\"given\",\"userType\":1}");
	CU_ASSERT_PTR_NULL(kmn_ledger_in(&v, NULL, &has));
}

/* Of a message: the parameter and what it is bound to are shown, what it says is not. */
static void
test_messages(void)
{
	CK_BYTE iv[12] = "an iv 12345", tag[16], out[8];
	CK_GCM_MESSAGE_PARAMS gcm = {iv, sizeof(iv), 0, CKG_NO_GENERATE, tag, 128};
	CK_ULONG n = sizeof(out);
	struct kmn_arg encrypt[] = {{.u = 9}, {.p = &gcm, .u = sizeof(gcm), .type = CKM_AES_GCM},
	    {.p = IN("abc"), .u = 3}, {.p = IN("secret"), .u = 6}, {.p = out, .n = &n}};
	struct kmn_arg login[] = {{.u = 9}, {.u = CKU_USER}, {.p = IN("1234"), .u = 4}, {.p = IN("sato"), .u = 4}};
	struct kmn_call_view v = view_of(KMN_C_EncryptMessage, encrypt, 5);
	json_t *arguments = kmn_ledger_arguments(&v);
	char *text = json_dumps(arguments, JSON_COMPACT);
	bool has;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"name\":\"CKM_AES_GCM\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"iv\":{"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"pPlaintext\":{\"redacted\":\"pPlaintext\",\"len\":6}"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"sha256\":\"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\""));
	free(text);
	json_decref(arguments);
	check_line(kmn_ledger_in(&v, NULL, &has), "{\"len\":6,\"redacted\":\"pPlaintext\"}");
	v = view_of(KMN_C_DecryptMessage, encrypt, 5);
	check_line(
	    kmn_ledger_in(&v, NULL, &has), "{\"len\":6,\"sha256\":\"K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=\"}");
	v = view_of(KMN_C_LoginUser, login, 4);
	check_line(
	    kmn_ledger_arguments(&v), "{\"hSession\":9,\"pPin\":\"given\",\"pUsername\":\"sato\",\"userType\":1}");
	CU_ASSERT_PTR_NULL(kmn_ledger_in(&v, NULL, &has));
}

static json_t *
out_of(enum kmn_call_id id, const char *bytes, const uint8_t *out_salt, bool *has_out)
{
	struct kmn_response_view v;
	struct kmn_writer w;
	json_t *out;

	kmn_writer_init(&w, 4096);
	kmn_response_put_bytes(id, bytes, strlen(bytes), 64, &w);
	CU_ASSERT_EQUAL_FATAL(kmn_response_view_decode(w.bytes, w.len, &v), KMN_OK);
	out = kmn_ledger_out(&v, out_salt, has_out);
	kmn_writer_clear(&w);
	return out;
}

static void
test_results(void)
{
	struct kmn_response_view v;
	struct kmn_writer w;
	bool has;

	check_line(out_of(KMN_C_Sign, "abc", NULL, &has), "{\"b64\":\"YWJj\"}");
	check_line(out_of(KMN_C_Decrypt, "abc", NULL, &has), "{\"len\":3,\"redacted\":\"pData\"}");
	check_line(out_of(KMN_C_Decrypt, "abc", salt, &has),
	    "{\"commit\":\"j2w6gpTdq3HRkjwLj4RJ40IiYlBe6/2R0GILy3zwSDs=\",\"len\":3}");
	check_line(out_of(KMN_C_GetOperationState, "abc", salt, &has), "{\"len\":3,\"redacted\":\"pOperationState\"}");
	check_line(out_of(KMN_C_SignMessageNext, "abc", NULL, &has), "{\"b64\":\"YWJj\"}");
	check_line(out_of(KMN_C_DecryptMessage, "abc", NULL, &has), "{\"len\":3,\"redacted\":\"pPlaintext\"}");
	check_line(out_of(KMN_C_WrapKey, "abc", NULL, &has),
	    "{\"len\":3,\"sha256\":\"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\"}");
	kmn_writer_init(&w, 4096);
	kmn_response_put_error(KMN_C_Sign, CKR_DEVICE_ERROR, &w);
	CU_ASSERT_EQUAL_FATAL(kmn_response_view_decode(w.bytes, w.len, &v), KMN_OK);
	CU_ASSERT_PTR_NULL(kmn_ledger_out(&v, NULL, &has));
	CU_ASSERT_FALSE(has);
	kmn_writer_clear(&w);
	check_line(json_pack("{s:o}", "rv", kmn_ledger_rv_name(CKR_OK)), "{\"rv\":\"CKR_OK\"}");
	check_line(json_pack("{s:o}", "rv", kmn_ledger_rv_name(0x80000001)), "{\"rv\":\"CKR_0x80000001\"}");
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"mechanisms by name, parameters as the table allows", test_mechanisms},
	    {"a password in a parameter is in no member and no hash", test_passwords_stay_out},
	    {"templates: an allow-list, nothing shown twice, nothing hidden", test_templates},
	    {"two templates stand under their names", test_two_templates},
	    {"data as the row says, and no PIN", test_data_and_pins},
	    {"a message's parameter and header, and not its text", test_messages},
	    {"results as the row says", test_results},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"transport/view", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	int failed = kmn_test_main(argc, argv, suites);

	kmn_writer_clear(&request);
	return failed;
}
