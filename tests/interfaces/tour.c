/*
 * A tour through what PKCS#11 3.0 and 3.2 add, of whatever module it is given:
 * it says what each call answered and what it left in memory. Said of a module
 * directly and of the same through a gateway, both must be the same.
 *
 *   tour MODULE TOKEN-LABEL [INITIALISATION-STRING]
 */
#include "config.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

#define CANARY 0xa5
#define ROOM 64u

static CK_FUNCTION_LIST *old;     /* by C_GetFunctionList */
static CK_FUNCTION_LIST_3_0 *now; /* the newest that there is, NULL when that is 2.40 */
static CK_FUNCTION_LIST_3_2 *newest;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE aes;

/* ---- saying ------------------------------------------------------------------------------------------------------ */

static void __attribute__((format(printf, 2, 3))) says(CK_RV rv, const char *format, ...)
{
	va_list list;

	printf("0x%03lx  ", rv);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	printf("\n");
}

static void
dump(const char *name, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	printf("       %s ", name);
	for (size_t i = 0; i < n; i++)
		printf("%02x", at[i]);
	printf("\n");
}

static CK_UTF8CHAR *
text(const char *s)
{
	return (CK_UTF8CHAR *)(uintptr_t)s;
}

/* ---- interfaces -------------------------------------------------------------------------------------------------- */

static CK_RV (*get_list)(CK_INTERFACE_PTR, CK_ULONG_PTR);
static CK_RV (*get_one)(CK_UTF8CHAR_PTR, CK_VERSION_PTR, CK_INTERFACE_PTR_PTR, CK_FLAGS);

static bool
is_ours(const CK_INTERFACE *i)
{
	return strcmp((const char *)i->pInterfaceName, "PKCS 11") == 0;
}

/* A vendor's own interfaces are not counted: a gateway does not offer them. */
static void
list_interfaces(void)
{
	CK_INTERFACE all[16];
	CK_ULONG n = 0, room, ours = 0;
	CK_RV rv;

	says(get_list(NULL, &n), "C_GetInterfaceList(NULL)");
	room = n - 1;
	rv = get_list(all, &room);
	says(rv, "C_GetInterfaceList with room for one less: the count is %s", room == n ? "told" : "not told");
	room = KMN_COUNT_OF(all);
	rv = get_list(all, &room);
	says(rv, "C_GetInterfaceList");
	for (CK_ULONG i = 0; rv == CKR_OK && i < room; i++) {
		CK_VERSION v;

		if (!is_ours(&all[i]))
			continue;
		memcpy(&v, all[i].pFunctionList, sizeof(v));
		printf("       %lu: %u.%u\n", ours++, v.major, v.minor);
	}
}

static void
ask_interface(const char *name, int major, int minor, CK_FLAGS flags)
{
	CK_VERSION v = {(CK_BYTE)major, (CK_BYTE)minor};
	CK_INTERFACE *found = NULL;
	CK_RV rv = get_one(name == NULL ? NULL : text(name), major < 0 ? NULL : &v, &found, flags);

	says(rv, "C_GetInterface(%s, %d.%d, 0x%lx)", name == NULL ? "NULL" : name, major, minor, flags);
	if (rv != CKR_OK)
		return;
	memcpy(&v, found->pFunctionList, sizeof(v));
	printf("       %s %u.%u\n", (const char *)found->pInterfaceName, v.major, v.minor);
	if (v.major >= 3 && (now == NULL || (v.minor >= 2 && newest == NULL)))
		now = found->pFunctionList;
	if (v.major >= 3 && v.minor >= 2)
		newest = found->pFunctionList;
}

static void
tour_interfaces(void *library)
{
	*(void **)&get_list = dlsym(library, "C_GetInterfaceList");
	*(void **)&get_one = dlsym(library, "C_GetInterface");
	if (get_list == NULL || get_one == NULL)
		return;
	list_interfaces();
	ask_interface(NULL, -1, 0, 0);
	ask_interface("PKCS 11", -1, 0, 0);
	ask_interface("PKCS 11", 2, 40, 0);
	ask_interface("PKCS 11", 3, 0, 0);
	ask_interface("PKCS 11", 3, 2, 0);
	ask_interface("PKCS 11", 4, 0, 0);
	ask_interface("PKCS 12", -1, 0, 0);
}

/* ---- a session and a key ----------------------------------------------------------------------------------------- */

static bool
find_slot(const char *label)
{
	CK_SLOT_ID slots[16];
	CK_ULONG n = KMN_COUNT_OF(slots);
	CK_TOKEN_INFO info;

	if (old->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
		return false;
	for (CK_ULONG i = 0; i < n; i++) {
		slot = slots[i];
		if (old->C_GetTokenInfo(slot, &info) == CKR_OK && memcmp(info.label, label, strlen(label)) == 0)
			return true;
	}
	return false;
}

static CK_RV
make_aes(void)
{
	static CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	static CK_KEY_TYPE type = CKK_AES;
	static CK_BYTE value[32] = "a key that everybody knows 1234";
	static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE t[] = {
	    {CKA_CLASS, &class, sizeof(class)},
	    {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_TOKEN, &no, 1},
	    {CKA_ENCRYPT, &yes, 1},
	    {CKA_DECRYPT, &yes, 1},
	    {CKA_WRAP, &yes, 1},
	    {CKA_UNWRAP, &yes, 1},
	    {CKA_SENSITIVE, &no, 1},
	    {CKA_EXTRACTABLE, &yes, 1},
	    {CKA_VALUE, value, sizeof(value)},
	};

	return old->C_CreateObject(session, t, KMN_COUNT_OF(t), &aes);
}

/* The same question through both lists: a module may answer it in two ways. */
static void
tour_old_and_new(void)
{
	CK_MECHANISM_INFO mechanism;
	CK_INFO info;
	CK_RV rv;

	memset(&info, 0, sizeof(info));
	rv = old->C_GetInfo(&info);
	says(rv, "C_GetInfo of 2.40: %u.%u", info.cryptokiVersion.major, info.cryptokiVersion.minor);
	rv = old->C_GetMechanismInfo(slot, CKM_AES_GCM, &mechanism);
	says(rv, "C_GetMechanismInfo of 2.40: flags 0x%lx", rv == CKR_OK ? mechanism.flags : 0);
	if (now == NULL)
		return;
	rv = now->C_GetInfo(&info);
	says(rv, "C_GetInfo of 3.x: %u.%u", info.cryptokiVersion.major, info.cryptokiVersion.minor);
	rv = now->C_GetMechanismInfo(slot, CKM_AES_GCM, &mechanism);
	says(rv, "C_GetMechanismInfo of 3.x: flags 0x%lx", rv == CKR_OK ? mechanism.flags : 0);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* All that one message touches, in one piece, so that whatever is written is seen. */
static struct {
	uint8_t before[8], iv[16], gap1[8], tag[16], gap2[8], out[ROOM], after[8];
	CK_ULONG n;
	CK_GCM_MESSAGE_PARAMS gcm;
} m;

static void
message_begin(CK_GENERATOR_FUNCTION generator)
{
	memset(&m, CANARY, sizeof(m));
	memcpy(m.iv, "a fixed iv!!", 12);
	m.n = ROOM;
	m.gcm = (CK_GCM_MESSAGE_PARAMS){m.iv, 12, generator == CKG_NO_GENERATE ? 0 : 32, generator, m.tag, 128};
}

/* What a generator made is random: of it only whether it is there. */
static void
message_end(bool random)
{
	printf("       length %lu\n", m.n);
	if (random) {
		printf("       fixed part of the iv %s, rest %s\n", memcmp(m.iv, "a fi", 4) == 0 ? "stays" : "is gone",
		    memcmp(m.iv + 4, "xed iv!!", 8) == 0 ? "stays" : "is new");
		dump("after the iv", m.iv + 12, 12);
		return;
	}
	dump("memory", &m, offsetof(__typeof__(m), n));
}

static uint8_t plain[] = "twenty bytes of text";
static uint8_t aad[] = "header";
static uint8_t document[] = "a document of no use";

static CK_RV
encrypt(void *out, CK_ULONG *n)
{
	return now->C_EncryptMessage(session, &m.gcm, sizeof(m.gcm), aad, 6, plain, 20, out, n);
}

static void
tour_encrypt(void)
{
	CK_RV rv;

	message_begin(CKG_NO_GENERATE);
	rv = encrypt(NULL, &m.n);
	says(rv, "C_EncryptMessage: how long?");
	message_end(false);
	message_begin(CKG_NO_GENERATE);
	m.n = 3;
	rv = encrypt(m.out, &m.n);
	says(rv, "C_EncryptMessage: too little room");
	message_end(false);
	message_begin(CKG_NO_GENERATE);
	rv = encrypt(m.out, &m.n);
	says(rv, "C_EncryptMessage");
	message_end(false);
	message_begin(CKG_GENERATE_RANDOM);
	rv = encrypt(m.out, &m.n);
	says(rv, "C_EncryptMessage with a generated iv");
	message_end(true);
	message_begin(CKG_NO_GENERATE);
	memcpy(m.out, plain, 20);
	rv = now->C_EncryptMessage(session, &m.gcm, sizeof(m.gcm), aad, 6, m.out, 20, m.out, &m.n);
	says(rv, "C_EncryptMessage in place");
	message_end(false);
	message_begin(CKG_NO_GENERATE);
	rv = now->C_EncryptMessage(session, &m.gcm, sizeof(m.gcm), NULL, 0, NULL, 0, m.out, &m.n);
	says(rv, "C_EncryptMessage of nothing");
	message_end(false);
}

/* Arguments that a module refuses, and how it does. */
static void
tour_bad_parameters(void)
{
	CK_RV rv;

	message_begin(CKG_NO_GENERATE);
	m.gcm.ulTagBits = 7;
	rv = encrypt(m.out, &m.n);
	says(rv, "C_EncryptMessage with a tag of seven bits");
	message_end(false);
	message_begin(99);
	rv = encrypt(m.out, &m.n);
	says(rv, "C_EncryptMessage with an unknown generator");
}

static void
tour_decrypt(void)
{
	uint8_t sealed[20];
	CK_RV rv;

	message_begin(CKG_NO_GENERATE);
	if (encrypt(m.out, &m.n) != CKR_OK)
		return;
	memcpy(sealed, m.out, 20);
	m.n = ROOM;
	rv = now->C_DecryptMessage(session, &m.gcm, sizeof(m.gcm), aad, 6, sealed, 20, m.out, &m.n);
	says(rv, "C_DecryptMessage");
	message_end(false);
	m.n = ROOM;
	rv = now->C_DecryptMessage(session, &m.gcm, sizeof(m.gcm), aad, 6, sealed, 20, NULL, &m.n);
	says(rv, "C_DecryptMessage: how long? %lu", m.n);
	m.tag[0] ^= 1;
	m.n = ROOM;
	rv = now->C_DecryptMessage(session, &m.gcm, sizeof(m.gcm), aad, 6, sealed, 20, m.out, &m.n);
	says(rv, "C_DecryptMessage with another tag");
	m.tag[0] ^= 1;
	m.n = ROOM;
	rv = now->C_DecryptMessage(session, &m.gcm, sizeof(m.gcm), aad, 5, sealed, 20, m.out, &m.n);
	says(rv, "C_DecryptMessage with another header");
	m.n = ROOM;
	rv = now->C_DecryptMessage(session, &m.gcm, sizeof(m.gcm), aad, 6, sealed, 20, m.out, &m.n);
	says(rv, "C_DecryptMessage after that");
	dump("text", m.out, 20);
}

/* A message in parts. */
static void
tour_parts(void)
{
	CK_RV rv;

	message_begin(CKG_NO_GENERATE);
	rv = now->C_EncryptMessageBegin(session, &m.gcm, sizeof(m.gcm), aad, 6);
	says(rv, "C_EncryptMessageBegin");
	rv = now->C_EncryptMessageNext(session, &m.gcm, sizeof(m.gcm), plain, 10, m.out, &m.n, 0);
	says(rv, "C_EncryptMessageNext");
	message_end(false);
	m.n = ROOM - 10;
	rv = now->C_EncryptMessageNext(
	    session, &m.gcm, sizeof(m.gcm), plain + 10, 10, m.out + 10, &m.n, CKF_END_OF_MESSAGE);
	says(rv, "C_EncryptMessageNext, the last");
	message_end(false);
	message_begin(CKG_NO_GENERATE);
	rv = now->C_DecryptMessageBegin(session, &m.gcm, sizeof(m.gcm), aad, 6);
	says(rv, "C_DecryptMessageBegin");
	rv = now->C_DecryptMessageNext(session, &m.gcm, sizeof(m.gcm), plain, 20, m.out, &m.n, CKF_END_OF_MESSAGE);
	says(rv, "C_DecryptMessageNext of what is no such message");
}

static void
tour_messages(void)
{
	CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0}, nonsense = {0x7123, NULL, 0};

	message_begin(CKG_NO_GENERATE);
	says(encrypt(m.out, &m.n), "C_EncryptMessage, and nothing was begun");
	says(now->C_MessageEncryptInit(session, &nonsense, aes), "C_MessageEncryptInit with a mechanism of nobody");
	says(now->C_MessageEncryptInit(session, &gcm, 0x7fffffff), "C_MessageEncryptInit with a key of nobody");
	says(now->C_MessageEncryptInit(session, &gcm, aes), "C_MessageEncryptInit");
	tour_encrypt();
	tour_bad_parameters();
	says(now->C_MessageDecryptInit(session, &gcm, aes), "C_MessageDecryptInit");
	tour_decrypt();
	tour_parts();
	says(now->C_MessageDecryptFinal(session), "C_MessageDecryptFinal");
	says(now->C_MessageDecryptFinal(session), "C_MessageDecryptFinal once more");
	says(now->C_MessageEncryptFinal(session), "C_MessageEncryptFinal");
	message_begin(CKG_NO_GENERATE);
	says(encrypt(m.out, &m.n), "C_EncryptMessage after the end");
}

/* ---- signatures of messages -------------------------------------------------------------------------------------- */

static CK_OBJECT_HANDLE public_key, private_key;

static CK_RV
make_pair(void)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public[] = {
	    {CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1}, {CKA_DERIVE, &yes, 1}};
	CK_ATTRIBUTE private[] = {
	    {CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &no, 1}, {CKA_SIGN, &yes, 1}, {CKA_DERIVE, &yes, 1}};

	return old->C_GenerateKeyPair(session, &generate, public, KMN_COUNT_OF(public), private, KMN_COUNT_OF(private),
	    &public_key, &private_key);
}

static void
tour_signatures(void)
{
	CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0};
	uint8_t signature[200] = {0};
	CK_ULONG n = sizeof(signature);
	CK_RV rv;

	says(now->C_SignMessage(session, NULL, 0, document, 20, signature, &n), "C_SignMessage, and nothing was begun");
	says(now->C_MessageSignInit(session, &ecdsa, private_key), "C_MessageSignInit");
	rv = now->C_SignMessage(session, NULL, 0, document, 20, NULL, &n);
	says(rv, "C_SignMessage: how long? %lu", n);
	n = sizeof(signature);
	rv = now->C_SignMessage(session, NULL, 0, document, 20, signature, &n);
	says(rv, "C_SignMessage: %lu", n);
	says(now->C_MessageVerifyInit(session, &ecdsa, public_key), "C_MessageVerifyInit");
	says(now->C_VerifyMessage(session, NULL, 0, document, 20, signature, n), "C_VerifyMessage");
	says(now->C_VerifyMessage(session, NULL, 0, document, 19, signature, n), "C_VerifyMessage of another text");
	says(now->C_SignMessageBegin(session, NULL, 0), "C_SignMessageBegin");
	says(now->C_SignMessageNext(session, NULL, 0, document, 10, NULL, NULL), "C_SignMessageNext, no signature yet");
	n = sizeof(signature);
	rv = now->C_SignMessageNext(session, NULL, 0, document + 10, 10, signature, &n);
	says(rv, "C_SignMessageNext: %lu", n);
	says(now->C_VerifyMessageBegin(session, NULL, 0), "C_VerifyMessageBegin");
	says(
	    now->C_VerifyMessageNext(session, NULL, 0, document, 10, NULL, 0), "C_VerifyMessageNext, no signature yet");
	says(now->C_VerifyMessageNext(session, NULL, 0, document + 10, 10, signature, n), "C_VerifyMessageNext");
	says(now->C_MessageVerifyFinal(session), "C_MessageVerifyFinal");
	says(now->C_MessageSignFinal(session), "C_MessageSignFinal");
}

/* ---- cancelling, logging in -------------------------------------------------------------------------------------- */

static void
tour_cancel(void)
{
	CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0}, ecdsa = {CKM_ECDSA, NULL, 0};
	uint8_t out[200];
	CK_ULONG n = sizeof(out);

	says(now->C_SessionCancel(session, 0), "C_SessionCancel of nothing");
	says(now->C_SessionCancel(session, CKF_SIGN), "C_SessionCancel of what is not active");
	says(old->C_FindObjectsInit(session, NULL, 0), "C_FindObjectsInit");
	says(now->C_SessionCancel(session, CKF_FIND_OBJECTS), "C_SessionCancel of it");
	says(old->C_FindObjectsFinal(session), "C_FindObjectsFinal");
	says(old->C_SignInit(session, &ecdsa, private_key), "C_SignInit");
	says(now->C_SessionCancel(session, CKF_SIGN | CKF_VERIFY), "C_SessionCancel of it");
	says(old->C_Sign(session, document, 20, out, &n), "C_Sign");
	says(now->C_MessageEncryptInit(session, &gcm, aes), "C_MessageEncryptInit");
	says(now->C_SessionCancel(session, CKF_MESSAGE_ENCRYPT), "C_SessionCancel of it");
	message_begin(CKG_NO_GENERATE);
	says(encrypt(m.out, &m.n), "C_EncryptMessage");
	says(now->C_SessionCancel(0x7ffffffe, CKF_SIGN), "C_SessionCancel of a session of nobody");
	says(now->C_LoginUser(session, 99, text("1"), 1, text("somebody"), 8), "C_LoginUser of no such kind");
	says(now->C_LoginUser(session, CKU_USER, NULL, 0, NULL, 0), "C_LoginUser without anything");
}

/* ---- 3.2 --------------------------------------------------------------------------------------------------------- */

static void
tour_verify_signature(void)
{
	CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0};
	uint8_t signature[200] = {0};
	CK_ULONG n = sizeof(signature);

	says(old->C_SignInit(session, &ecdsa, private_key), "C_SignInit");
	says(old->C_Sign(session, document, 20, signature, &n), "C_Sign: %lu", n);
	says(newest->C_VerifySignature(session, document, 20), "C_VerifySignature, and nothing was begun");
	says(newest->C_VerifySignatureInit(session, &ecdsa, public_key, signature, n), "C_VerifySignatureInit");
	says(newest->C_VerifySignature(session, document, 20), "C_VerifySignature");
	says(newest->C_VerifySignatureInit(session, &ecdsa, public_key, signature, n), "C_VerifySignatureInit");
	says(newest->C_VerifySignatureUpdate(session, document, 10), "C_VerifySignatureUpdate");
	says(newest->C_VerifySignatureUpdate(session, document + 10, 10), "C_VerifySignatureUpdate");
	says(newest->C_VerifySignatureFinal(session), "C_VerifySignatureFinal");
	says(newest->C_VerifySignatureFinal(session), "C_VerifySignatureFinal once more");
}

static CK_ATTRIBUTE *
secret_template(CK_ULONG *n_out)
{
	static CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	static CK_KEY_TYPE type = CKK_AES;
	static CK_ULONG len = 32;
	static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	static CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_TOKEN, &no, 1}, {CKA_ENCRYPT, &yes, 1}, {CKA_SENSITIVE, &no, 1}, {CKA_EXTRACTABLE, &yes, 1},
	    {CKA_VALUE_LEN, &len, sizeof(len)}};

	*n_out = KMN_COUNT_OF(t);
	return t;
}

static void
say_made(const char *what, CK_RV rv, CK_OBJECT_HANDLE key)
{
	says(rv, "%s: the handle is %s", what, key == 0x5a5a5a ? "as it was" : key == 0 ? "0" : "new");
}

static void
tour_encapsulate(CK_MECHANISM_TYPE type)
{
	CK_MECHANISM kem = {type, NULL, 0};
	CK_OBJECT_HANDLE key = 0x5a5a5a, other = 0x5a5a5a;
	CK_ULONG count, n = 3;
	CK_ATTRIBUTE *t = secret_template(&count);
	uint8_t sealed[2000] = {0};
	CK_RV rv;

	rv = newest->C_EncapsulateKey(session, &kem, public_key, t, count, NULL, &n, &key);
	say_made("C_EncapsulateKey: how long?", rv, key);
	printf("       %lu\n", n);
	n = 3;
	key = 0x5a5a5a;
	rv = newest->C_EncapsulateKey(session, &kem, public_key, t, count, sealed, &n, &key);
	say_made("C_EncapsulateKey: too little room", rv, key);
	printf("       %lu\n", n);
	n = sizeof(sealed);
	key = 0x5a5a5a;
	rv = newest->C_EncapsulateKey(session, &kem, public_key, t, count, sealed, &n, &key);
	say_made("C_EncapsulateKey", rv, key);
	printf("       %lu\n", n);
	rv = newest->C_DecapsulateKey(session, &kem, private_key, t, count, sealed, rv == CKR_OK ? n : 10, &other);
	say_made("C_DecapsulateKey", rv, other);
	rv = newest->C_DecapsulateKey(session, &kem, private_key, t, count, sealed, 5, &other);
	say_made("C_DecapsulateKey of rubbish", rv, rv == CKR_OK ? other : 0);
}

static void
tour_authenticated(void)
{
	uint8_t iv[12] = "a fixed iv!", sealed[100] = {0}, tag[16];
	CK_GCM_WRAP_PARAMS wrap = {iv, 12, 0, CKG_NO_GENERATE, NULL, 0, 128};
	CK_GCM_PARAMS plain_gcm = {iv, 12, 96, NULL, 0, 128};
	CK_MECHANISM gcm = {CKM_AES_GCM, &wrap, sizeof(wrap)}, other = {CKM_AES_GCM, &plain_gcm, sizeof(plain_gcm)};
	CK_OBJECT_HANDLE key = 0x5a5a5a;
	CK_ULONG count, n = 1;
	CK_ATTRIBUTE *t = secret_template(&count);
	CK_RV rv;

	memset(tag, CANARY, sizeof(tag));
	rv = newest->C_WrapKeyAuthenticated(session, &gcm, aes, aes, aad, 6, NULL, &n);
	says(rv, "C_WrapKeyAuthenticated: how long? %lu", n);
	n = sizeof(sealed);
	rv = newest->C_WrapKeyAuthenticated(session, &gcm, aes, aes, aad, 6, sealed, &n);
	says(rv, "C_WrapKeyAuthenticated: %lu", n);
	if (rv == CKR_OK)
		dump("wrapped", sealed, n);
	rv = newest->C_UnwrapKeyAuthenticated(
	    session, &gcm, aes, sealed, rv == CKR_OK ? n : 10, t, count - 1, aad, 6, &key);
	say_made("C_UnwrapKeyAuthenticated", rv, key);
	key = 0x5a5a5a;
	rv = newest->C_UnwrapKeyAuthenticated(session, &gcm, aes, sealed, n, t, count - 1, aad, 5, &key);
	say_made("C_UnwrapKeyAuthenticated with another header", rv, rv == CKR_OK ? key : 0);
	n = sizeof(sealed);
	rv = newest->C_WrapKeyAuthenticated(session, &other, aes, aes, NULL, 0, sealed, &n);
	says(rv, "C_WrapKeyAuthenticated with CK_GCM_PARAMS");
}

static void
tour_3_2(void)
{
	CK_FLAGS flags = 0x5a5a5a;
	CK_ULONG id = 0x5a5a5a;
	CK_RV rv;

	tour_verify_signature();
	tour_encapsulate(CKM_ECDH1_DERIVE);
	tour_encapsulate(CKM_ML_KEM);
	tour_authenticated();
	rv = newest->C_GetSessionValidationFlags(session, CKS_LAST_VALIDATION_OK, &flags);
	says(rv, "C_GetSessionValidationFlags: 0x%lx", flags);
	flags = 0x5a5a5a;
	rv = newest->C_GetSessionValidationFlags(session, 99, &flags);
	says(rv, "C_GetSessionValidationFlags of no such kind: 0x%lx", flags);
	rv = newest->C_AsyncGetID(session, text("C_Sign"), &id);
	says(rv, "C_AsyncGetID: 0x%lx", id);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static CK_RV
initialise(char *string)
{
	struct {
		CK_C_INITIALIZE_ARGS args;
		void *word_after; /* NSS reads it */
	} with = {.args = {.flags = CKF_OS_LOCKING_OK, .pReserved = string}};

	return old->C_Initialize(&with);
}

int
main(int argc, char **argv)
{
	CK_RV (*get)(CK_FUNCTION_LIST **);
	void *library;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3 || (library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL)) == NULL)
		return 2;
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (get == NULL || get(&old) != CKR_OK)
		return 2;
	printf("C_GetFunctionList: %u.%u\n", old->version.major, old->version.minor);
	tour_interfaces(library);
	if (initialise(argc > 3 ? argv[3] : NULL) != CKR_OK || !find_slot(argv[2]) ||
	    old->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) != CKR_OK)
		return 3;
	if (getenv("PIN") != NULL)
		says(old->C_Login(session, CKU_USER, text(getenv("PIN")), strlen(getenv("PIN"))), "C_Login");
	tour_old_and_new();
	says(make_aes(), "C_CreateObject");
	says(make_pair(), "C_GenerateKeyPair");
	if (now != NULL) {
		tour_messages();
		tour_signatures();
		tour_cancel();
	}
	if (newest != NULL)
		tour_3_2();
	says(old->C_Finalize(NULL), "C_Finalize");
	return 0;
}
