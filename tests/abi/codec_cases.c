/*
 * The codec as one ABI has it, in lines that every ABI must give alike: calls
 * as bytes on the wire, and answers as values in the caller's memory. The same
 * file is compiled for this machine, with gcc -m32, and with the types of
 * 64-bit Windows (CK_ULONG of 4 bytes, structures packed, pointers of 8).
 *
 *   request NAME HEX     without the salt
 *   answer NAME VALUES
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/codec.h"

#define SALT_AT 2u

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void
print_hex(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
}

static void
request(const char *name, enum kmn_call_id id, const struct kmn_arg *arg, size_t n)
{
	struct kmn_call_view view;
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, 1 << 16);
	printf("request %s ", name);
	if ((e = kmn_request_encode(id, arg, n, &w)) != KMN_OK) {
		printf("%s\n", kmn_err_name(e));
	} else {
		print_hex(w.bytes, SALT_AT);
		print_hex(w.bytes + SALT_AT + KMN_SALT_BYTES, w.len - SALT_AT - KMN_SALT_BYTES);
		printf("%s\n", kmn_call_view_decode(w.bytes, w.len, &view) == KMN_OK ? "" : " cannot be read back");
	}
	kmn_writer_clear(&w);
}
#define REQUEST(name, id, ...) \
	do { \
		struct kmn_arg arg[] = {__VA_ARGS__}; \
		request(name, KMN_##id, arg, KMN_COUNT_OF(arg)); \
	} while (0)

static CK_BYTE bytes[] = {
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};

static void
scalars(void)
{
	CK_ULONG none = 0, four = 4, unknown = CK_UNAVAILABLE_INFORMATION;
	CK_ULONG list[4];

	REQUEST("slots-how-many", C_GetSlotList, {.u = CK_TRUE}, {.n = &none});
	REQUEST("slots-room-for-4", C_GetSlotList, {.u = 2}, {.p = list, .n = &four});
	REQUEST("slots-room-unavailable", C_GetSlotList, {.u = CK_FALSE}, {.p = list, .n = &unknown});
	REQUEST("session-all-ones", C_CloseSession, {.u = (CK_ULONG)0xffffffffu});
	REQUEST("find-next", C_FindObjects, {.u = 7}, {.p = list, .u = 4, .n = &none});
	REQUEST("pin-null-with-length", C_Login, {.u = 7}, {.u = CKU_USER}, {.u = 5});
	REQUEST("flags", C_OpenSession, {.u = 0x40000000}, {.u = CKF_SERIAL_SESSION | CKF_RW_SESSION}, {.u = 0},
	    {.p = list});
}

static void
templates(void)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE key_type = CKK_AES;
	CK_ULONG value_len = 32, unavailable = CK_UNAVAILABLE_INFORMATION;
	CK_BBOOL yes = CK_TRUE, odd = 7;
	CK_DATE date = {{'2', '0', '2', '6'}, {'0', '1'}, {'3', '1'}};
	CK_MECHANISM_TYPE allowed[] = {CKM_AES_GCM, CKM_AES_CBC_PAD, CKM_VENDOR_DEFINED | 1};
	CK_ATTRIBUTE inner[] = {{CKA_KEY_TYPE, &key_type, sizeof(key_type)}, {CKA_ENCRYPT, &yes, sizeof(yes)}};
	CK_ATTRIBUTE outer[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_UNWRAP_TEMPLATE, inner, sizeof(inner)}};
	CK_ATTRIBUTE rows[] = {
	    {CKA_CLASS, &class, sizeof(class)},
	    {CKA_VALUE_LEN, &value_len, sizeof(value_len)},
	    {CKA_KEY_TYPE, bytes, 2}, /* no CK_ULONG of any ABI: the module may say so itself */
	    {CKA_TOKEN, &yes, sizeof(yes)},
	    {CKA_PRIVATE, &odd, sizeof(odd)},
	    {CKA_START_DATE, &date, sizeof(date)},
	    {CKA_END_DATE, NULL, 0},
	    {CKA_LABEL, bytes, 5},
	    {CKA_ID, bytes, 0},
	    {CKA_ALLOWED_MECHANISMS, allowed, sizeof(allowed)},
	    {CKA_ALLOWED_MECHANISMS, allowed, 0},
	    {CKA_WRAP_TEMPLATE, outer, sizeof(outer)},
	    {CKA_VENDOR_DEFINED | 9, bytes, sizeof(bytes)},
	    {CKA_KEY_GEN_MECHANISM, &unavailable, sizeof(unavailable)},
	    {CKA_MODULUS_BITS, &unavailable, sizeof(unavailable)},
	};
	CK_OBJECT_HANDLE made;

	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		char name[64];

		snprintf(name, sizeof(name), "create-row-%zu", i);
		REQUEST(name, C_CreateObject, {.u = 7}, {.p = &rows[i], .u = 1}, {.p = &made});
	}
	REQUEST("create-all", C_CreateObject, {.u = 7}, {.p = rows, .u = KMN_COUNT_OF(rows)}, {.p = &made});
	REQUEST("create-null-template", C_CreateObject, {.u = 7}, {.u = 3}, {.p = &made});
}

static void
rooms(void)
{
	CK_ULONG numbers[4];
	CK_ATTRIBUTE inner[] = {{0, numbers, sizeof(CK_ULONG)}, {0, bytes, 1}};
	CK_ATTRIBUTE rows[] = {
	    {CKA_CLASS, numbers, sizeof(CK_ULONG)},
	    {CKA_CLASS, numbers, 2 * sizeof(CK_ULONG)},
	    {CKA_CLASS, numbers, 3},
	    {CKA_VALUE_LEN, NULL, 0},
	    {CKA_VALUE, NULL, CK_UNAVAILABLE_INFORMATION},
	    {CKA_MODULUS, bytes, sizeof(bytes)},
	    {CKA_ALLOWED_MECHANISMS, numbers, sizeof(numbers)},
	    {CKA_WRAP_TEMPLATE, inner, sizeof(inner)},
	    {CKA_VENDOR_DEFINED | 9, numbers, 16},
	};

	REQUEST("get-attributes", C_GetAttributeValue, {.u = 7}, {.u = 9}, {.p = rows, .u = KMN_COUNT_OF(rows)});
}

static void
with_mechanism(const char *name, CK_MECHANISM_TYPE type, void *parameter, CK_ULONG len)
{
	CK_MECHANISM m = {type, parameter, len};

	REQUEST(name, C_EncryptInit, {.u = 7}, {.p = &m}, {.u = 9});
}

static void
parameters(void)
{
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, bytes, 4};
	CK_GCM_PARAMS gcm = {bytes, 12, 96, bytes, sizeof(bytes), 128};
	CK_AES_CTR_PARAMS ctr = {128, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
	CK_ECDH1_DERIVE_PARAMS ecdh = {CKD_NULL, 3, bytes, sizeof(bytes), bytes};
	CK_SSL3_KEY_MAT_OUT out = {1, 2, 3, 4, bytes, bytes};
	CK_TLS12_KEY_MAT_PARAMS keys = {160, 128, 64, CK_TRUE, {bytes, 4, bytes, 5}, &out, CKM_SHA256};
	CK_ULONG password_len = 6;
	CK_PKCS5_PBKD2_PARAMS by_pointer = {1, bytes, 8, 1000, 2, NULL, 0, bytes, &password_len};
	CK_PKCS5_PBKD2_PARAMS2 by_value = {1, bytes, 8, 1000, 2, NULL, 0, bytes, 6};
	CK_RSA_AES_KEY_WRAP_PARAMS wrap = {256, &oaep};
	CK_MECHANISM digest = {CKM_SHA256, NULL, 0};
	CK_UTF8CHAR content[] = "1.2.3";
	CK_CMS_SIG_PARAMS cms = {5, &digest, NULL, content, bytes, 3, NULL, 0};
	kmn_handle_params handle = {9};
	kmn_ulong_params mac = {12};
	CK_RC2_CBC_PARAMS rc2 = {128, {1, 2, 3, 4, 5, 6, 7, 8}};
	CK_EDDSA_PARAMS eddsa = {CK_TRUE, 3, bytes};

	with_mechanism("pss", CKM_RSA_PKCS_PSS, &pss, sizeof(pss));
	with_mechanism("oaep", CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep));
	with_mechanism("gcm", CKM_AES_GCM, &gcm, sizeof(gcm));
	with_mechanism("ctr", CKM_AES_CTR, &ctr, sizeof(ctr));
	with_mechanism("ecdh", CKM_ECDH1_DERIVE, &ecdh, sizeof(ecdh));
	with_mechanism("tls12-keys", CKM_TLS12_KEY_AND_MAC_DERIVE, &keys, sizeof(keys));
	with_mechanism("pbkd2-by-pointer", CKM_PKCS5_PBKD2, &by_pointer, sizeof(by_pointer));
	with_mechanism("pbkd2-by-value", CKM_PKCS5_PBKD2, &by_value, sizeof(by_value));
	with_mechanism("rsa-aes-wrap", CKM_RSA_AES_KEY_WRAP, &wrap, sizeof(wrap));
	with_mechanism("cms", CKM_CMS_SIG, &cms, sizeof(cms));
	with_mechanism("base-and-key", CKM_CONCATENATE_BASE_AND_KEY, &handle, sizeof(handle));
	with_mechanism("mac-general", CKM_AES_MAC_GENERAL, &mac, sizeof(mac));
	with_mechanism("rc2-cbc", CKM_RC2_CBC, &rc2, sizeof(rc2));
	with_mechanism("eddsa", CKM_EDDSA, &eddsa, sizeof(eddsa));
	with_mechanism("iv", CKM_AES_CBC, bytes, sizeof(bytes));
	with_mechanism("bare", CKM_SHA256_RSA_PKCS, NULL, 0);
	with_mechanism("stray", CKM_ECDSA, bytes, 16);
	with_mechanism("pss-of-another-size", CKM_RSA_PKCS_PSS, &pss, sizeof(pss) - 1);
	with_mechanism("vendor", CKM_VENDOR_DEFINED | 5, bytes, sizeof(bytes));
	with_mechanism("unknown-with-parameter", 0x7123, bytes, sizeof(bytes));
}

/* Structures of 3.0: flags of one byte before numbers, arrays of structures, what another field chooses. */
static void
parameters_3(void)
{
	CK_GCM_MESSAGE_PARAMS message = {bytes, 12, 32, 1, bytes, 128};
	CK_HKDF_PARAMS hkdf = {CK_TRUE, CK_FALSE, CKM_SHA256, CKF_HKDF_SALT_DATA, bytes, 5, 7, bytes, 3};
	CK_SP800_108_COUNTER_FORMAT counter = {CK_TRUE, 32};
	CK_SP800_108_DKM_LENGTH_FORMAT length = {CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, CK_FALSE, 16};
	CK_OBJECT_HANDLE handle = 9, more = 0;
	CK_PRF_DATA_PARAM data[] = {{CK_SP800_108_ITERATION_VARIABLE, &counter, sizeof(counter)},
	    {CK_SP800_108_DKM_LENGTH, &length, sizeof(length)}, {CK_SP800_108_BYTE_ARRAY, bytes, 4},
	    {CK_SP800_108_KEY_HANDLE, &handle, sizeof(handle)}};
	CK_ULONG value_len = 16;
	CK_ATTRIBUTE row = {CKA_VALUE_LEN, &value_len, sizeof(value_len)};
	CK_DERIVED_KEY derived = {&row, 1, &more};
	CK_SP800_108_KDF_PARAMS kdf = {CKM_SHA256_HMAC, KMN_COUNT_OF(data), data, 1, &derived};
	CK_ULONG room = 64;

	with_mechanism("hkdf", CKM_HKDF_DERIVE, &hkdf, sizeof(hkdf));
	with_mechanism("sp800-108", CKM_SP800_108_COUNTER_KDF, &kdf, sizeof(kdf));
	REQUEST("gcm-message", C_EncryptMessage, {.u = 7}, {.p = &message, .u = sizeof(message), .type = CKM_AES_GCM},
	    {.p = bytes, .u = 3}, {.p = bytes, .u = 8}, {.p = bytes, .n = &room});
	REQUEST("login-user", C_LoginUser, {.u = 7}, {.u = CKU_USER}, {.p = bytes, .u = 4}, {.p = bytes, .u = 6});
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

struct answer {
	struct kmn_writer w;
};

static void
begin(struct answer *a, enum kmn_call_id id, uint64_t rv)
{
	kmn_writer_init(&a->w, 1 << 16);
	kmn_message_begin(&a->w, id);
	kmn_writer_u64(&a->w, rv);
}

/* The name and CK_RV; false if the answer was refused. */
static bool
take(struct answer *a, const char *name, enum kmn_call_id id, const struct kmn_arg *arg, size_t n)
{
	CK_RV rv;
	kmn_err e = kmn_response_decode(id, arg, n, a->w.bytes, a->w.len, &rv);

	kmn_writer_clear(&a->w);
	printf("answer %s ", name);
	if (e != KMN_OK)
		printf("%s\n", kmn_err_name(e));
	else
		printf("0x%llx", (unsigned long long)rv);
	return e == KMN_OK;
}

static void
print_number(const char *name, CK_ULONG value)
{
	if (value == CK_UNAVAILABLE_INFORMATION)
		printf(" %s=unavailable", name);
	else
		printf(" %s=%llu", name, (unsigned long long)value);
}

static void
answer_token_info(void)
{
	CK_TOKEN_INFO info;
	struct kmn_arg arg[] = {{.u = 1}, {.p = &info}};
	struct answer a;

	memset(&info, 0, sizeof(info));
	begin(&a, KMN_C_GetTokenInfo, CKR_OK);
	kmn_writer_u8(&a.w, KMN_OUTPUT_WHOLE);
	for (unsigned i = 0; i < 96; i++)
		kmn_writer_u8(&a.w, (uint8_t)('a' + i % 26));
	kmn_writer_u64(&a.w, CKF_RNG | CKF_LOGIN_REQUIRED | 0x80000000u);
	for (unsigned i = 0; i < 10; i++)
		kmn_writer_u64(&a.w, i % 3 == 0 ? KMN_UNAVAILABLE : 1000 + i);
	for (unsigned i = 0; i < 4 + 16; i++)
		kmn_writer_u8(&a.w, (uint8_t)(0x30 + i));
	if (!take(&a, "token-info", KMN_C_GetTokenInfo, arg, KMN_COUNT_OF(arg)))
		return;
	printf(" %.32s %.16s", (const char *)info.label, (const char *)info.serialNumber);
	print_number("flags", info.flags);
	print_number("max-sessions", info.ulMaxSessionCount);
	print_number("sessions", info.ulSessionCount);
	print_number("max-rw", info.ulMaxRwSessionCount);
	print_number("max-pin", info.ulMaxPinLen);
	print_number("free-private", info.ulFreePrivateMemory);
	printf(" %u.%u %.16s\n", info.hardwareVersion.major, info.firmwareVersion.minor, (const char *)info.utcTime);
}

static void
put_value(struct kmn_writer *w, uint64_t type, enum kmn_values_form form)
{
	kmn_writer_u64(w, type);
	kmn_writer_u8(w, (uint8_t)form);
}

static void
print_row(const CK_ATTRIBUTE *row, size_t unit)
{
	CK_ULONG value = 0;

	printf(" [0x%llx", (unsigned long long)row->type);
	if (row->ulValueLen == CK_UNAVAILABLE_INFORMATION)
		printf(" unavailable");
	else
		printf(" %llu of %s%s", (unsigned long long)(row->ulValueLen / unit), unit == 1 ? "bytes" : "numbers",
		    row->ulValueLen % unit != 0 ? " and a part" : "");
	for (size_t i = 0;
	     row->pValue != NULL && row->ulValueLen != CK_UNAVAILABLE_INFORMATION && i < row->ulValueLen / unit; i++) {
		memcpy(&value, (const uint8_t *)row->pValue + i * unit, unit == 1 ? 1 : sizeof(value));
		if (unit == 1)
			value = ((const uint8_t *)row->pValue)[i];
		print_number("", value);
	}
	printf("]");
}

static void
answer_attributes(void)
{
	CK_ULONG class = 0, mechanism = 0, list[4] = {0}, inner_class = 0;
	CK_BYTE id[8] = {0}, flag = 0;
	CK_ATTRIBUTE inner[] = {{0, &inner_class, sizeof(inner_class)}, {0, &flag, sizeof(flag)}};
	CK_ATTRIBUTE rows[] = {
	    {CKA_CLASS, &class, sizeof(class)},
	    {CKA_KEY_GEN_MECHANISM, &mechanism, sizeof(mechanism)},
	    {CKA_ALLOWED_MECHANISMS, list, sizeof(list)},
	    {CKA_ID, id, sizeof(id)},
	    {CKA_VALUE, NULL, 0},
	    {CKA_ALLOWED_MECHANISMS, NULL, 0},
	    {CKA_MODULUS, NULL, 0},
	    {CKA_WRAP_TEMPLATE, inner, sizeof(inner)},
	    {CKA_WRAP_TEMPLATE, NULL, 0},
	};
	struct kmn_arg arg[] = {{.u = 7}, {.u = 9}, {.p = rows, .u = KMN_COUNT_OF(rows)}};
	struct answer a;

	begin(&a, KMN_C_GetAttributeValue, CKR_ATTRIBUTE_SENSITIVE);
	kmn_writer_u8(&a.w, KMN_OUTPUT_WHOLE);
	kmn_writer_u32(&a.w, KMN_COUNT_OF(rows));
	put_value(&a.w, CKA_CLASS, KMN_GOT_ULONGS), kmn_writer_u32(&a.w, 1), kmn_writer_u64(&a.w, CKO_PRIVATE_KEY);
	put_value(&a.w, CKA_KEY_GEN_MECHANISM, KMN_GOT_ULONGS), kmn_writer_u32(&a.w, 1),
	    kmn_writer_u64(&a.w, KMN_UNAVAILABLE);
	put_value(&a.w, CKA_ALLOWED_MECHANISMS, KMN_GOT_ULONGS), kmn_writer_u32(&a.w, 2),
	    kmn_writer_u64(&a.w, CKM_AES_GCM), kmn_writer_u64(&a.w, 0xffffffffu - 1);
	put_value(&a.w, CKA_ID, KMN_GOT_BYTES), kmn_writer_bytes(&a.w, bytes, 3);
	put_value(&a.w, CKA_VALUE, KMN_GOT_UNAVAILABLE);
	put_value(&a.w, CKA_ALLOWED_MECHANISMS, KMN_GOT_LENGTH_ULONGS), kmn_writer_u64(&a.w, 2);
	put_value(&a.w, CKA_MODULUS, KMN_GOT_LENGTH_BYTES), kmn_writer_u64(&a.w, 256);
	put_value(&a.w, CKA_WRAP_TEMPLATE, KMN_GOT_ROWS), kmn_writer_u32(&a.w, 2);
	put_value(&a.w, CKA_CLASS, KMN_GOT_ULONGS), kmn_writer_u32(&a.w, 1), kmn_writer_u64(&a.w, CKO_SECRET_KEY);
	put_value(&a.w, CKA_ENCRYPT, KMN_GOT_BYTES), kmn_writer_bytes(&a.w, "\1", 1);
	put_value(&a.w, CKA_WRAP_TEMPLATE, KMN_GOT_LENGTH_ROWS), kmn_writer_u64(&a.w, 2);
	if (!take(&a, "attributes", KMN_C_GetAttributeValue, arg, KMN_COUNT_OF(arg)))
		return;
	for (size_t i = 0; i < 7; i++)
		print_row(&rows[i], i < 3 || i == 5 ? sizeof(CK_ULONG) : 1);
	print_number(" templates", rows[7].ulValueLen / sizeof(CK_ATTRIBUTE));
	print_row(&inner[0], sizeof(CK_ULONG));
	print_row(&inner[1], 1);
	print_number(" to-come", rows[8].ulValueLen / sizeof(CK_ATTRIBUTE));
	printf("\n");
}

/* A number that only one of the ABIs can hold is refused there, and not cut. */
static void
answer_list(void)
{
	CK_ULONG types[4] = {0}, n = 4;
	struct kmn_arg arg[] = {{.u = 1}, {.p = types, .n = &n}};
	struct answer a;

	begin(&a, KMN_C_GetMechanismList, CKR_OK);
	kmn_writer_u8(&a.w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(&a.w, 2);
	kmn_writer_u64(&a.w, CKM_RSA_PKCS);
	kmn_writer_u64(&a.w, 0xffffffffu);
	if (!take(&a, "mechanisms", KMN_C_GetMechanismList, arg, KMN_COUNT_OF(arg)))
		return;
	print_number("n", n);
	printf(" 0x%llx 0x%llx\n", (unsigned long long)types[0], (unsigned long long)types[1]);
	begin(&a, KMN_C_GetMechanismList, 0x80000001u);
	kmn_writer_u8(&a.w, KMN_OUTPUT_NONE);
	if (take(&a, "vendor-error", KMN_C_GetMechanismList, arg, KMN_COUNT_OF(arg)))
		printf("\n");
	begin(&a, KMN_C_GetMechanismList, CKR_BUFFER_TOO_SMALL);
	kmn_writer_u8(&a.w, KMN_OUTPUT_NUMBER);
	kmn_writer_u64(&a.w, KMN_UNAVAILABLE);
	if (take(&a, "too-small", KMN_C_GetMechanismList, arg, KMN_COUNT_OF(arg)))
		print_number("n", n), printf("\n");
}

/* What the module wrote into a parameter lands in the members, wherever this ABI has them. */
static void
answer_write_back(void)
{
	CK_BYTE iv[2][8] = {{0}};
	CK_SSL3_KEY_MAT_OUT out = {1, 2, 3, 4, iv[0], iv[1]};
	CK_TLS12_KEY_MAT_PARAMS keys = {160, 128, 64, CK_TRUE, {bytes, 4, bytes, 5}, &out, CKM_SHA256};
	CK_MECHANISM m = {CKM_TLS12_KEY_AND_MAC_DERIVE, &keys, sizeof(keys)};
	CK_OBJECT_HANDLE key = 77;
	CK_ATTRIBUTE row = {CKA_LABEL, bytes, 2};
	struct kmn_arg arg[] = {{.u = 7}, {.p = &m}, {.u = 9}, {.p = &row, .u = 1}, {.p = &key}};
	struct answer a;

	begin(&a, KMN_C_DeriveKey, CKR_OK);
	kmn_writer_u8(&a.w, KMN_OUTPUT_WHOLE);
	kmn_writer_u16(&a.w, 3);
	kmn_writer_u16(&a.w, 8), kmn_writer_u64(&a.w, 501), kmn_writer_u32(&a.w, 0), kmn_writer_bytes(&a.w, NULL, 0);
	kmn_writer_u16(&a.w, 11), kmn_writer_u64(&a.w, 504), kmn_writer_u32(&a.w, 0), kmn_writer_bytes(&a.w, NULL, 0);
	kmn_writer_u16(&a.w, 12), kmn_writer_u64(&a.w, 8), kmn_writer_u32(&a.w, 0), kmn_writer_bytes(&a.w, bytes, 8);
	kmn_writer_u8(&a.w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(&a.w, 500);
	if (!take(&a, "write-back", KMN_C_DeriveKey, arg, KMN_COUNT_OF(arg)))
		return;
	print_number("key", key);
	print_number("client-mac", out.hClientMacSecret);
	print_number("server-mac", out.hServerMacSecret);
	print_number("server-key", out.hServerKey);
	printf(" iv=");
	print_hex(iv[0], 8);
	print_hex(iv[1], 8);
	print_number(" prf", keys.prfHashMechanism);
	printf("\n");
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--abi") == 0) {
		printf("CK_ULONG %zu, pointer %zu, CK_ATTRIBUTE %zu, CK_MECHANISM %zu, CK_TLS12_KEY_MAT_PARAMS %zu\n",
		    sizeof(CK_ULONG), sizeof(void *), sizeof(CK_ATTRIBUTE), sizeof(CK_MECHANISM),
		    sizeof(CK_TLS12_KEY_MAT_PARAMS));
		return EXIT_SUCCESS;
	}
	scalars();
	templates();
	rooms();
	parameters();
	parameters_3();
	answer_token_info();
	answer_attributes();
	answer_list();
	answer_write_back();
	return EXIT_SUCCESS;
}
