/*
 * The module of tests/mock, called as the worker calls it: through the function
 * list that kmn_vendor_open takes. What other tests believe of it is shown here.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/hsm/vendor.h"
#include "tests/mock/mechanisms.h"
#include "tests/unit/run.h"

#define SLOT 11u
#define OTHER_SLOT 22u

static struct kmn_vendor vendor;
static const CK_FUNCTION_LIST_3_2 *p11;
static CK_SESSION_HANDLE session;

static void
begin(const char *interfaces)
{
	CK_UTF8CHAR pin[] = "1234";
	const struct kmn_module module = {.path = KMN_TEST_BUILD_DIR "/tests/mock/.libs/kanmon-mock.so"};

	setenv("KMN_MOCK_INTERFACES", interfaces, 1);
	setenv("KMN_MOCK_SECRETS", "2", 1);
	setenv("KMN_MOCK_SLOTS", "2", 1);
	kmn_vendor_open(&module, &vendor);
	CU_ASSERT_TRUE_FATAL(vendor.ready);
	p11 = &vendor.newest.v3_2;
	CU_ASSERT_EQUAL(p11->C_OpenSession(SLOT, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Login(session, CKU_USER, pin, 4), CKR_OK);
}

static void
end(void)
{
	kmn_vendor_close(&vendor);
}

static CK_OBJECT_HANDLE
secret(const char *label)
{
	CK_ATTRIBUTE t = {CKA_LABEL, NULL, strlen(label)};
	CK_OBJECT_HANDLE found = 0;
	char copy[32];
	CK_ULONG n = 0;

	snprintf(copy, sizeof(copy), "%s", label);
	t.pValue = copy;
	CU_ASSERT_EQUAL(p11->C_FindObjectsInit(session, &t, 1), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_FindObjects(session, &found, 1, &n), CKR_OK);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_EQUAL(p11->C_FindObjectsFinal(session), CKR_OK);
	return found;
}

static void
pair(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE *public, CK_OBJECT_HANDLE *private)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_MECHANISM m = {type, NULL, 0};
	CK_ULONG bits = 1024, set = CKP_ML_KEM_768;
	CK_ATTRIBUTE t[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_MODULUS_BITS, &bits, sizeof(bits)},
	    {CKA_PARAMETER_SET, &set, sizeof(set)}};

	CU_ASSERT_EQUAL(p11->C_GenerateKeyPair(session, &m, t, 3, NULL, 0, public, private), CKR_OK);
}

static void
test_lists(void)
{
	static const struct {
		const char *says;
		uint16_t version;
		size_t lists;
		bool message, kem;
	} cases[] = {
	    {"2.40", 0x0228, 1, false, false}, {"3.0", 0x0300, 2, true, false}, {"3.2", 0x0302, 3, true, true}};
	CK_INFO info;

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		begin(cases[i].says);
		CU_ASSERT_EQUAL(vendor.lists, cases[i].lists);
		CU_ASSERT_EQUAL(vendor.list[0].version, cases[i].version);
		CU_ASSERT_EQUAL(vendor.cryptoki, cases[i].version);
		CU_ASSERT_EQUAL(vendor.list[0].flags, i == 0 ? 0 : CKF_INTERFACE_FORK_SAFE);
		CU_ASSERT_EQUAL(p11->C_MessageEncryptInit != NULL, cases[i].message);
		CU_ASSERT_EQUAL(p11->C_EncapsulateKey != NULL, cases[i].kem);
		CU_ASSERT_PTR_NULL(vendor.v2_40.v3_2.C_LoginUser);
		CU_ASSERT_EQUAL(vendor.v2_40.v2_40.C_GetInfo(&info), CKR_OK);
		CU_ASSERT_EQUAL(info.cryptokiVersion.major, 2);
		end();
	}
}

static void
test_cipher(void)
{
	static const CK_MECHANISM_TYPE types[] = {CKM_AES_CBC_PAD, CKM_AES_GCM};
	CK_BYTE iv[16] = {1}, aad[] = "aad", text[40], box[128], back[128];
	CK_GCM_PARAMS gcm = {iv, 12, 96, aad, 3, 128};
	CK_MECHANISM m[] = {{types[0], iv, sizeof(iv)}, {types[1], &gcm, sizeof(gcm)}};
	CK_OBJECT_HANDLE key;
	CK_ULONG n, more;

	begin("3.2");
	memset(text, 't', sizeof(text));
	key = secret("secret-1");
	for (size_t i = 0; i < KMN_COUNT_OF(m); i++) {
		CK_ULONG whole = types[i] == CKM_AES_GCM ? sizeof(text) + 16 : 48;

		CU_ASSERT_EQUAL(p11->C_EncryptInit(session, &m[i], key), CKR_OK);
		CU_ASSERT_EQUAL(p11->C_EncryptInit(session, &m[i], key), CKR_OPERATION_ACTIVE);
		CU_ASSERT_EQUAL(p11->C_Encrypt(session, text, sizeof(text), NULL, &n), CKR_OK);
		CU_ASSERT_EQUAL(n, whole);
		n = whole - 1;
		CU_ASSERT_EQUAL(p11->C_Encrypt(session, text, sizeof(text), box, &n), CKR_BUFFER_TOO_SMALL);
		n = sizeof(box);
		CU_ASSERT_EQUAL(p11->C_Encrypt(session, text, sizeof(text), box, &n), CKR_OK);
		CU_ASSERT_EQUAL(n, whole);
		CU_ASSERT_EQUAL(p11->C_Encrypt(session, text, sizeof(text), box, &n), CKR_OPERATION_NOT_INITIALIZED);
		/* The same in parts, back again. */
		CU_ASSERT_EQUAL(p11->C_DecryptInit(session, &m[i], key), CKR_OK);
		n = sizeof(back);
		CU_ASSERT_EQUAL(p11->C_DecryptUpdate(session, box, 17, back, &n), CKR_OK);
		more = sizeof(back) - n;
		CU_ASSERT_EQUAL(p11->C_DecryptUpdate(session, box + 17, whole - 17, back + n, &more), CKR_OK);
		n += more;
		more = sizeof(back) - n;
		CU_ASSERT_EQUAL(p11->C_DecryptFinal(session, back + n, &more), CKR_OK);
		CU_ASSERT_EQUAL(n + more, sizeof(text));
		CU_ASSERT_EQUAL(memcmp(back, text, sizeof(text)), 0);
	}
	box[3] ^= 1;
	n = sizeof(back);
	CU_ASSERT_EQUAL(p11->C_DecryptInit(session, &m[1], key), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Decrypt(session, box, sizeof(text) + 16, back, &n), CKR_ENCRYPTED_DATA_INVALID);
	end();
}

static void
test_late(void)
{
	CK_BYTE iv[12] = {0}, out[64], text[4] = "text";
	CK_GCM_PARAMS gcm = {iv, sizeof(iv), 96, NULL, 0, 128};
	CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
	CK_ULONG n = sizeof(out);

	setenv("KMN_MOCK_LATE", "1", 1);
	begin("2.40");
	CU_ASSERT_EQUAL(p11->C_EncryptInit(session, &m, secret("secret-1")), CKR_OK);
	CU_ASSERT_EQUAL(iv[0], 0);
	CU_ASSERT_EQUAL(p11->C_Encrypt(session, text, sizeof(text), out, &n), CKR_OK);
	CU_ASSERT_EQUAL(iv[0], 0xc3);
	CU_ASSERT_EQUAL(iv[11], 0xc3);
	end();
	unsetenv("KMN_MOCK_LATE");
}

static void
test_message_cipher(void)
{
	CK_BYTE iv[12] = {7, 7}, tag[16], aad[] = "aad", text[] = "0123456789", box[32], back[32];
	CK_GCM_MESSAGE_PARAMS p = {iv, sizeof(iv), 16, CKG_GENERATE_COUNTER, tag, 128};
	CK_MECHANISM m = {CKM_AES_GCM, NULL, 0};
	CK_OBJECT_HANDLE key;
	CK_ULONG n, more;

	begin("3.0");
	key = secret("secret-1");
	CU_ASSERT_EQUAL(p11->C_MessageEncryptInit(session, &m, key), CKR_OK);
	for (unsigned i = 1; i < 3; i++) {
		n = sizeof(box);
		CU_ASSERT_EQUAL(p11->C_EncryptMessage(session, &p, sizeof(p), aad, 3, text, 10, NULL, &n), CKR_OK);
		CU_ASSERT_EQUAL(n, 10);
		CU_ASSERT_EQUAL(p11->C_EncryptMessage(session, &p, sizeof(p), aad, 3, text, 10, box, &n), CKR_OK);
		CU_ASSERT_EQUAL(iv[0], 7);
		CU_ASSERT_EQUAL(iv[11], i);
	}
	CU_ASSERT_EQUAL(p11->C_EncryptMessageBegin(session, &p, sizeof(p), aad, 3), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_MessageEncryptFinal(session), CKR_OPERATION_ACTIVE);
	n = more = sizeof(box) / 2;
	CU_ASSERT_EQUAL(p11->C_EncryptMessageNext(session, &p, sizeof(p), text, 4, box, &n, 0), CKR_OK);
	CU_ASSERT_EQUAL(
	    p11->C_EncryptMessageNext(session, &p, sizeof(p), text + 4, 6, box + 4, &more, CKF_END_OF_MESSAGE), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_MessageEncryptFinal(session), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_MessageEncryptFinal(session), CKR_OPERATION_NOT_INITIALIZED);

	CU_ASSERT_EQUAL(p11->C_MessageDecryptInit(session, &m, key), CKR_OK);
	n = sizeof(back);
	CU_ASSERT_EQUAL(p11->C_DecryptMessage(session, &p, sizeof(p), aad, 3, box, 10, back, &n), CKR_OK);
	CU_ASSERT_EQUAL(memcmp(back, text, 10), 0);
	tag[0] ^= 1;
	CU_ASSERT_EQUAL(
	    p11->C_DecryptMessage(session, &p, sizeof(p), aad, 3, box, 10, back, &n), CKR_AEAD_DECRYPT_FAILED);
	CU_ASSERT_EQUAL(p11->C_MessageDecryptFinal(session), CKR_OK);
	end();
}

/* Each way to sign against each way to verify. */
static void
test_signatures(void)
{
	static const CK_MECHANISM_TYPE types[] = {CKM_ECDSA_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_HMAC};
	CK_OBJECT_HANDLE public = 0, private = 0;
	CK_BYTE text[] = "0123456789", signature[256];
	CK_ULONG n;

	begin("3.2");
	for (size_t i = 0; i < KMN_COUNT_OF(types); i++) {
		CK_MECHANISM m = {types[i], NULL, 0};

		if (i == 0)
			pair(CKM_EC_KEY_PAIR_GEN, &public, &private);
		else if (i == 1)
			pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &private);
		else
		public = private = secret("secret-1");
		for (unsigned way = 0; way < 3; way++) {
			n = sizeof(signature);
			if (way == 0) {
				CU_ASSERT_EQUAL(p11->C_SignInit(session, &m, private), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_SignUpdate(session, text, 3), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_SignUpdate(session, text + 3, 7), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_SignFinal(session, signature, &n), CKR_OK);
			} else if (way == 1) {
				CU_ASSERT_EQUAL(p11->C_MessageSignInit(session, &m, private), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_SignMessage(session, NULL, 0, text, 10, signature, &n), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_MessageSignFinal(session), CKR_OK);
			} else {
				CU_ASSERT_EQUAL(p11->C_MessageSignInit(session, &m, private), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_SignMessageBegin(session, NULL, 0), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_SignMessageNext(session, NULL, 0, text, 4, NULL, NULL), CKR_OK);
				CU_ASSERT_EQUAL(
				    p11->C_SignMessageNext(session, NULL, 0, text + 4, 6, signature, &n), CKR_OK);
				CU_ASSERT_EQUAL(p11->C_MessageSignFinal(session), CKR_OK);
			}
			CU_ASSERT_EQUAL(p11->C_VerifyInit(session, &m, public), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifyUpdate(session, text, 10), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifyFinal(session, signature, n), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifySignatureInit(session, &m, public, signature, n), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifySignatureUpdate(session, text, 4), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifySignatureUpdate(session, text + 4, 6), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifySignatureFinal(session), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_MessageVerifyInit(session, &m, public), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifyMessage(session, NULL, 0, text, 10, signature, n), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifyMessageBegin(session, NULL, 0), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifyMessageNext(session, NULL, 0, text, 4, NULL, 0), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifyMessageNext(session, NULL, 0, text + 4, 6, signature, n), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_MessageVerifyFinal(session), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_VerifyInit(session, &m, public), CKR_OK);
			CU_ASSERT_EQUAL(p11->C_Verify(session, text, 9, signature, n), CKR_SIGNATURE_INVALID);
		}
	}
	end();
}

static void
test_recover(void)
{
	CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
	CK_OBJECT_HANDLE public, private;
	CK_BYTE text[] = "0123456789", signature[256], back[256];
	CK_ULONG n = sizeof(signature), more = sizeof(back);

	begin("2.40");
	pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &private);
	CU_ASSERT_EQUAL(p11->C_SignRecoverInit(session, &m, private), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_SignRecover(session, text, 10, signature, &n), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_VerifyRecoverInit(session, &m, public), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_VerifyRecover(session, signature, n, back, &more), CKR_OK);
	CU_ASSERT_EQUAL(more, 10);
	CU_ASSERT_EQUAL(memcmp(back, text, 10), 0);
	end();
}

/* A vendor's parameter: pointers in, a handle, and bytes that come out when the signature is made. */
static void
test_vendor_parameter(void)
{
	CK_BYTE context[] = "context", nonce[8] = {0}, text[] = "text", signature[64];
	struct mock_sign_params p = {0x5a, context, 7, 0, nonce, sizeof(nonce)};
	CK_MECHANISM m = {CKM_MOCK_SIGN, &p, sizeof(p)};
	CK_ULONG n = sizeof(signature);
	CK_OBJECT_HANDLE key;

	begin("3.2");
	key = secret("secret-1");
	p.hOther = secret("secret-2");
	CU_ASSERT_EQUAL(p11->C_SignInit(session, &m, key), CKR_OK);
	CU_ASSERT_EQUAL(nonce[0], 0);
	CU_ASSERT_EQUAL(p11->C_Sign(session, text, 4, signature, &n), CKR_OK);
	CU_ASSERT_EQUAL(nonce[0], 0x5a);
	CU_ASSERT_EQUAL(nonce[7], 0x5a);
	CU_ASSERT_EQUAL(p11->C_VerifyInit(session, &m, key), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Verify(session, text, 4, signature, n), CKR_OK);
	p.hOther = key;
	CU_ASSERT_EQUAL(p11->C_VerifyInit(session, &m, key), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Verify(session, text, 4, signature, n), CKR_SIGNATURE_INVALID);
	p.hOther = 4095;
	CU_ASSERT_EQUAL(p11->C_SignInit(session, &m, key), CKR_KEY_HANDLE_INVALID);
	end();
}

/* A generic secret that can be read, by its bytes. */
static void
value_of(CK_OBJECT_HANDLE key, CK_BYTE out[64], CK_ULONG *n)
{
	CK_ATTRIBUTE a = {CKA_VALUE, out, 64};

	CU_ASSERT_EQUAL(p11->C_GetAttributeValue(session, key, &a, 1), CKR_OK);
	*n = a.ulValueLen;
}

static void
test_keys_from_keys(void)
{
	CK_MECHANISM generate = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0}, kem = {CKM_ML_KEM, NULL, 0};
	CK_BYTE iv[12] = {0}, aad[] = "aad", a[64], b[64], box[256];
	CK_GCM_WRAP_PARAMS p = {iv, sizeof(iv), 0, CKG_GENERATE, NULL, 0, 128};
	CK_MECHANISM wrap = {CKM_AES_GCM, &p, sizeof(p)}, plain = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_OBJECT_HANDLE public, private, wrapping, one, two = 0;
	CK_ULONG len = 24, n, m;
	CK_ATTRIBUTE t = {CKA_VALUE_LEN, &len, sizeof(len)};

	begin("3.2");
	wrapping = secret("secret-1");
	CU_ASSERT_EQUAL(p11->C_GenerateKey(session, &generate, &t, 1, &one), CKR_OK);
	n = sizeof(box);
	CU_ASSERT_EQUAL(p11->C_WrapKey(session, &plain, wrapping, one, box, &n), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_UnwrapKey(session, &plain, wrapping, box, n, NULL, 0, &two), CKR_OK);
	value_of(one, a, &len);
	value_of(two, b, &m);
	CU_ASSERT_TRUE(len == 24 && m == 24 && memcmp(a, b, m) == 0);

	n = sizeof(box);
	CU_ASSERT_EQUAL(p11->C_WrapKeyAuthenticated(session, &wrap, wrapping, one, aad, 3, NULL, &n), CKR_OK);
	CU_ASSERT_TRUE(n == 40 && iv[0] == 0);
	CU_ASSERT_EQUAL(p11->C_WrapKeyAuthenticated(session, &wrap, wrapping, one, aad, 3, box, &n), CKR_OK);
	CU_ASSERT_EQUAL(iv[0], 0xa5);
	CU_ASSERT_EQUAL(p11->C_UnwrapKeyAuthenticated(session, &wrap, wrapping, box, n, NULL, 0, aad, 2, &two),
	    CKR_WRAPPED_KEY_INVALID);
	CU_ASSERT_EQUAL(p11->C_UnwrapKeyAuthenticated(session, &wrap, wrapping, box, n, NULL, 0, aad, 3, &two), CKR_OK);
	value_of(two, b, &m);
	CU_ASSERT_TRUE(m == 24 && memcmp(a, b, m) == 0);

	pair(CKM_ML_KEM_KEY_PAIR_GEN, &public, &private);
	CU_ASSERT_EQUAL(p11->C_EncapsulateKey(session, &kem, public, NULL, 0, NULL, &n, &one), CKR_OK);
	CU_ASSERT_EQUAL(n, 48);
	CU_ASSERT_EQUAL(p11->C_EncapsulateKey(session, &kem, public, NULL, 0, box, &n, &one), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DecapsulateKey(session, &kem, private, NULL, 0, box, n, &two), CKR_OK);
	value_of(one, a, &n);
	value_of(two, b, &m);
	CU_ASSERT_TRUE(n == m && memcmp(a, b, m) == 0);
	end();
}

static void
test_templates(void)
{
	CK_BBOOL yes = CK_TRUE, got[2] = {9, 9};
	CK_ULONG class = CKO_SECRET_KEY;
	CK_ATTRIBUTE inner[] = {{CKA_ENCRYPT, &yes, 1}, {CKA_SIGN, &yes, 1}},
		     t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_ENCAPSULATE_TEMPLATE, inner, sizeof(inner)}},
		     back[3] = {{0}}, outer = {CKA_ENCAPSULATE_TEMPLATE, NULL, 0};
	CK_OBJECT_HANDLE object;

	begin("3.2");
	CU_ASSERT_EQUAL(p11->C_CreateObject(session, t, 2, &object), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_GetAttributeValue(session, object, &outer, 1), CKR_OK);
	CU_ASSERT_EQUAL(outer.ulValueLen, sizeof(inner));
	outer.pValue = back;
	CU_ASSERT_EQUAL(p11->C_GetAttributeValue(session, object, &outer, 1), CKR_OK);
	CU_ASSERT_TRUE(back[0].type == CKA_ENCRYPT && back[0].ulValueLen == 1 && back[1].type == CKA_SIGN);
	back[0].pValue = &got[0];
	back[1].pValue = &got[1];
	CU_ASSERT_EQUAL(p11->C_GetAttributeValue(session, object, &outer, 1), CKR_OK);
	CU_ASSERT_TRUE(got[0] == CK_TRUE && got[1] == CK_TRUE);
	end();
}

static void
test_cancel_and_state(void)
{
	CK_MECHANISM m = {CKM_SHA256, NULL, 0};
	CK_BYTE text[] = "0123456789", state[256], one[32], two[32];
	CK_ULONG n = sizeof(state), len = sizeof(one);

	begin("3.0");
	CU_ASSERT_EQUAL(p11->C_DigestInit(session, &m), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DigestUpdate(session, text, 5), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_GetOperationState(session, state, &n), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DigestUpdate(session, text + 5, 5), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DigestFinal(session, one, &len), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_SetOperationState(session, state, n, 0, 0), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DigestUpdate(session, text + 5, 5), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DigestFinal(session, two, &len), CKR_OK);
	CU_ASSERT_EQUAL(memcmp(one, two, 32), 0);
	CU_ASSERT_EQUAL(p11->C_DigestInit(session, &m), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_SessionCancel(session, CKF_SIGN), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DigestInit(session, &m), CKR_OPERATION_ACTIVE);
	CU_ASSERT_EQUAL(p11->C_SessionCancel(session, CKF_DIGEST), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DigestInit(session, &m), CKR_OK);
	end();
}

static void
test_users(void)
{
	CK_UTF8CHAR pin[] = "1234", name[] = "operator";
	CK_FLAGS flags;

	begin("3.2");
	CU_ASSERT_EQUAL(p11->C_Logout(session), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_LoginUser(session, CKU_USER, pin, 4, name, 3), CKR_USER_TYPE_INVALID);
	CU_ASSERT_EQUAL(p11->C_LoginUser(session, CKU_USER, pin, 3, name, 8), CKR_PIN_INCORRECT);
	CU_ASSERT_EQUAL(p11->C_LoginUser(session, CKU_USER, pin, 4, name, 8), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_GetSessionValidationFlags(session, CKS_LAST_VALIDATION_OK, &flags), CKR_OK);
	CU_ASSERT_EQUAL(flags, 0x80000005);
	end();
}

static void
append(const char *path, const char *line)
{
	FILE *f = fopen(path, "a");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fprintf(f, "%s\n", line);
	fclose(f);
}

static void
test_events(void)
{
	char path[] = "/tmp/kanmon-events-XXXXXX";
	CK_SLOT_ID slot = 0, slots[4];
	CK_ULONG n = 4;
	CK_SESSION_HANDLE other;
	int fd = mkstemp(path);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	close(fd);
	setenv("KMN_MOCK_EVENTS", path, 1);
	begin("3.2");
	CU_ASSERT_EQUAL(p11->C_OpenSession(OTHER_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &other), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	append(path, "22 out");
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
	CU_ASSERT_EQUAL(slot, OTHER_SLOT);
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	CU_ASSERT_EQUAL(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_EQUAL(p11->C_CloseSession(other), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(p11->C_OpenSession(OTHER_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &other), CKR_TOKEN_NOT_PRESENT);
	append(path, "22 in");
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_OpenSession(OTHER_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &other), CKR_OK);
	end();
	unsetenv("KMN_MOCK_EVENTS");
	unlink(path);
}

static CU_TestInfo tests[] = {
    {"the newest list is taken, and the one of 2.40 beside it", test_lists},
    {"what is encrypted at once is decrypted in parts", test_cipher},
    {"an IV that is written at C_Encrypt", test_late},
    {"messages with an IV that the module counts", test_message_cipher},
    {"three ways to sign, four to verify", test_signatures},
    {"recovery", test_recover},
    {"a vendor's parameter with pointers", test_vendor_parameter},
    {"wrapped, authenticated, encapsulated keys are the same keys", test_keys_from_keys},
    {"a template in an attribute", test_templates},
    {"cancelled operations and saved ones", test_cancel_and_state},
    {"users with names, validation flags", test_users},
    {"tokens come and go", test_events},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{.pName = "hsm/mock", .pTests = tests}, CU_SUITE_INFO_NULL};

	alarm(120);
	return kmn_test_main(argc, argv, suites);
}
