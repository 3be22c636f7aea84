/*
 * A PKCS#11 application that prints what it gets as values and never as sizes,
 * so that each ABI prints the same lines: $MODULE, the token $TOKEN, its $PIN.
 *
 *   client make LABEL    makes objects with that label and uses them; nothing random is printed
 *   client look LABEL    prints what the token holds under that label, to the byte
 *   client vendor        a vendor's mechanism with a parameter
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE session;
static const char *label;

#define ROW(type, value) \
	{ \
		type, &(value), sizeof(value) \
	}

static void
die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(EXIT_FAILURE);
}

/* Prints the result; true for CKR_OK. */
static bool
says(const char *what, CK_RV rv)
{
	printf("%s: 0x%lx\n", what, rv);
	return rv == CKR_OK;
}

static void
number(const char *name, CK_ULONG value)
{
	if (value == CK_UNAVAILABLE_INFORMATION)
		printf(" %s=unavailable", name);
	else
		printf(" %s=%lu", name, value);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool
is_ulongs(CK_ATTRIBUTE_TYPE type)
{
	static const CK_ATTRIBUTE_TYPE ulongs[] = {CKA_CLASS, CKA_KEY_TYPE, CKA_VALUE_LEN, CKA_MODULUS_BITS,
	    CKA_KEY_GEN_MECHANISM, CKA_ALLOWED_MECHANISMS, CKA_CERTIFICATE_TYPE};

	for (size_t i = 0; i < KMN_COUNT_OF(ulongs); i++)
		if (ulongs[i] == type)
			return true;
	return false;
}

static size_t
unit_of(const CK_ATTRIBUTE *a)
{
	if (a->type == CKA_WRAP_TEMPLATE || a->type == CKA_UNWRAP_TEMPLATE)
		return sizeof(CK_ATTRIBUTE);
	return is_ulongs(a->type) ? sizeof(CK_ULONG) : 1;
}

/* Type, length in units, and the values if `values`. */
static void
print_attribute(const CK_ATTRIBUTE *a, bool values)
{
	size_t unit = unit_of(a);
	CK_ULONG n = a->ulValueLen / unit;

	printf("  0x%lx:", a->type);
	if (a->ulValueLen == CK_UNAVAILABLE_INFORMATION) {
		printf(" unavailable\n");
		return;
	}
	printf(" %lu%s", n, a->ulValueLen % unit != 0 ? " and a part" : "");
	for (CK_ULONG i = 0; values && a->pValue != NULL && i < n; i++) {
		if (unit == sizeof(CK_ATTRIBUTE)) {
			printf(i == 0 ? " of\n" : "");
			print_attribute((CK_ATTRIBUTE *)a->pValue + i, true);
		} else if (unit == sizeof(CK_ULONG)) {
			number("", ((CK_ULONG *)a->pValue)[i]);
		} else
			printf(" %02x", ((CK_BYTE *)a->pValue)[i]);
	}
	printf("\n");
}

static void
get(const char *what, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *rows, CK_ULONG n, bool values)
{
	says(what, p11->C_GetAttributeValue(session, object, rows, n));
	for (CK_ULONG i = 0; i < n; i++)
		print_attribute(&rows[i], values);
}

/* ---- slot, token, session ---------------------------------------------------------------------------------------- */

static void
find_slot(void)
{
	const char *token = getenv("TOKEN");
	CK_SLOT_ID slots[16];
	CK_ULONG n = KMN_COUNT_OF(slots);
	CK_TOKEN_INFO info;
	char padded[33];

	snprintf(padded, sizeof(padded), "%-32s", token != NULL ? token : "");
	if (p11->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
		die("C_GetSlotList");
	for (CK_ULONG i = 0; i < n; i++) {
		if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, padded, 32) == 0) {
			slot = slots[i];
			return;
		}
	}
	die("no such token");
}

static void
print_token(void)
{
	CK_MECHANISM_INFO mechanism;
	CK_MECHANISM_TYPE types[512];
	CK_ULONG n = KMN_COUNT_OF(types), sum = 0;
	CK_TOKEN_INFO info;

	says("token", p11->C_GetTokenInfo(slot, &info));
	printf("  %.16s", (const char *)info.model);
	number("flags", info.flags);
	number("max-sessions", info.ulMaxSessionCount);
	number("max-rw", info.ulMaxRwSessionCount);
	number("max-pin", info.ulMaxPinLen);
	number("min-pin", info.ulMinPinLen);
	number("public", info.ulTotalPublicMemory);
	number("free", info.ulFreePrivateMemory);
	printf("\n");
	says("mechanisms", p11->C_GetMechanismList(slot, types, &n));
	for (CK_ULONG i = 0; i < n; i++)
		sum += types[i] * (i + 1) % 65521;
	number("count", n);
	number("sum", sum);
	printf("\n");
	says("RSA info", p11->C_GetMechanismInfo(slot, CKM_RSA_PKCS_KEY_PAIR_GEN, &mechanism));
	number("least", mechanism.ulMinKeySize);
	number("most", mechanism.ulMaxKeySize);
	number("flags", mechanism.flags);
	printf("\n");
	n = 2;
	says("mechanisms, room for 2", p11->C_GetMechanismList(slot, types, &n));
}

static void
print_session(void)
{
	CK_SESSION_INFO info;

	says("session", p11->C_GetSessionInfo(session, &info));
	number("state", info.state);
	number("flags", info.flags);
	number("error", info.ulDeviceError);
	number("same-slot", info.slotID == slot);
	printf("\n");
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_DATE start = {{'2', '0', '2', '6'}, {'0', '1'}, {'0', '2'}},
	       end = {{'2', '0', '3', '9'}, {'1', '2'}, {'3', '1'}};
static CK_KEY_TYPE aes = CKK_AES;
static CK_OBJECT_CLASS secret = CKO_SECRET_KEY;

static CK_OBJECT_HANDLE
make_aes(void)
{
	CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
	CK_MECHANISM_TYPE allowed[] = {CKM_AES_GCM, CKM_AES_CTR, CKM_AES_CBC_PAD};
	CK_ATTRIBUTE inner[] = {ROW(CKA_CLASS, secret), ROW(CKA_KEY_TYPE, aes), ROW(CKA_EXTRACTABLE, yes)};
	CK_ULONG len = 32, wrong = 31;
	CK_BYTE id[] = {1, 2, 3};
	CK_OBJECT_HANDLE key = 0;
	CK_ATTRIBUTE rows[] = {ROW(CKA_VALUE_LEN, len), ROW(CKA_TOKEN, yes), ROW(CKA_ENCRYPT, yes),
	    ROW(CKA_DECRYPT, yes), ROW(CKA_WRAP, yes), ROW(CKA_START_DATE, start), ROW(CKA_END_DATE, end),
	    ROW(CKA_ALLOWED_MECHANISMS, allowed), ROW(CKA_WRAP_TEMPLATE, inner),
	    {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}, ROW(CKA_ID, id)};

	says("AES key", p11->C_GenerateKey(session, &m, rows, KMN_COUNT_OF(rows), &key));
	rows[0].pValue = &wrong;
	says("AES key of 31 bytes", p11->C_GenerateKey(session, &m, rows, KMN_COUNT_OF(rows), &(CK_OBJECT_HANDLE){0}));
	rows[0].ulValueLen = 2;
	says("AES key, length of 2 bytes",
	    p11->C_GenerateKey(session, &m, rows, KMN_COUNT_OF(rows), &(CK_OBJECT_HANDLE){0}));
	return key;
}

static void
read_aes(CK_OBJECT_HANDLE key)
{
	CK_ULONG class = 0, len = 0, two[2] = {0}, list[8];
	CK_BYTE short_one = 0, bytes[64] = {0};
	CK_DATE date = {{0}, {0}, {0}};
	CK_ATTRIBUTE inner[4] = {{0}};
	CK_ULONG inner_value[4];
	CK_ATTRIBUTE rows[] = {ROW(CKA_CLASS, class), ROW(CKA_VALUE_LEN, len), ROW(CKA_START_DATE, date),
	    {CKA_END_DATE, NULL, 0}, ROW(CKA_VALUE, bytes), {CKA_ALLOWED_MECHANISMS, NULL, 0},
	    ROW(CKA_KEY_TYPE, short_one), ROW(CKA_KEY_GEN_MECHANISM, two), ROW(CKA_MODULUS, bytes),
	    {CKA_WRAP_TEMPLATE, NULL, 0}};
	CK_ATTRIBUTE array = ROW(CKA_ALLOWED_MECHANISMS, list),
		     nested = {CKA_WRAP_TEMPLATE, inner, 3 * sizeof(inner[0])};

	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		get("one row", key, &rows[i], 1, true);
	get("numbers", key, &array, 1, true);
	array.ulValueLen = sizeof(CK_ULONG);
	get("room for one number", key, &array, 1, false);
	get("nested, sizes", key, &nested, 1, true);
	for (size_t i = 0; i < 3; i++)
		inner[i].pValue = &inner_value[i];
	get("nested, values", key, &nested, 1, true);
	for (size_t i = 0; i < 2; i++)
		rows[i].pValue = i == 0 ? &class : &len, rows[i].ulValueLen = sizeof(CK_ULONG);
	rows[4] = (CK_ATTRIBUTE)ROW(CKA_VALUE, bytes);
	get("many rows at once", key, rows, 5, true);
}

static void
import_and_change(void)
{
	CK_BYTE value[16] = {1, 2, 3}, read[16] = {0}, changed[] = {'c', 'h', 'a', 'n', 'g', 'e', 'd'};
	CK_ULONG mechanism = 0;
	CK_BBOOL local;
	CK_OBJECT_HANDLE key = 0, copy = 0;
	CK_ULONG size;
	CK_ATTRIBUTE rows[] = {ROW(CKA_CLASS, secret), ROW(CKA_KEY_TYPE, aes), ROW(CKA_VALUE, value),
	    ROW(CKA_TOKEN, no), ROW(CKA_SENSITIVE, no), ROW(CKA_EXTRACTABLE, yes)};
	CK_ATTRIBUTE back[] = {ROW(CKA_KEY_GEN_MECHANISM, mechanism), ROW(CKA_LOCAL, local), ROW(CKA_VALUE, read)};
	CK_ATTRIBUTE change[] = {ROW(CKA_LABEL, changed), ROW(CKA_START_DATE, start)}, date = ROW(CKA_START_DATE, read);

	says("import", p11->C_CreateObject(session, rows, KMN_COUNT_OF(rows), &key));
	get("what no mechanism made", key, back, KMN_COUNT_OF(back), true);
	says("change", p11->C_SetAttributeValue(session, key, change, KMN_COUNT_OF(change)));
	get("changed", key, &date, 1, true);
	says("copy", p11->C_CopyObject(session, key, change, 1, &copy));
	says("size", p11->C_GetObjectSize(session, copy, &size));
	says("destroy", p11->C_DestroyObject(session, copy));
	says("destroy again", p11->C_DestroyObject(session, copy));
	rows[1].ulValueLen = 3;
	says("a key type of 3 bytes", p11->C_CreateObject(session, rows, KMN_COUNT_OF(rows), &key));
}

static CK_ULONG
find(const CK_ATTRIBUTE *rows, CK_ULONG n, CK_ULONG at_once, CK_OBJECT_HANDLE *out, CK_ULONG max)
{
	CK_ULONG found = 0, got = 0;

	if (p11->C_FindObjectsInit(session, (CK_ATTRIBUTE *)(uintptr_t)rows, n) != CKR_OK)
		die("C_FindObjectsInit");
	do {
		if (p11->C_FindObjects(session, out + found, at_once < max - found ? at_once : max - found, &got) !=
		    CKR_OK)
			die("C_FindObjects");
		found += got;
	} while (got > 0 && found < max);
	if (p11->C_FindObjectsFinal(session) != CKR_OK)
		die("C_FindObjectsFinal");
	return found;
}

static void
find_them(void)
{
	CK_ATTRIBUTE rows[] = {
	    {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}, ROW(CKA_CLASS, secret), ROW(CKA_KEY_TYPE, aes)};
	CK_OBJECT_HANDLE found[8];

	printf("found");
	number("with-label", find(rows, 1, 1, found, 8));
	number("secret", find(rows, 2, 8, found, 8));
	number("aes", find(rows, 3, 2, found, 8));
	printf("\n");
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

static CK_BYTE data[40] = "what is signed or encrypted";

static void
rsa(void)
{
	CK_MECHANISM make = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_ULONG bits = 2048, bits_back = 0, n;
	CK_ATTRIBUTE public_rows[] = {ROW(CKA_MODULUS_BITS, bits), ROW(CKA_TOKEN, yes), ROW(CKA_ENCRYPT, yes),
	    {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_ATTRIBUTE private_rows[] = {ROW(CKA_TOKEN, yes), ROW(CKA_SIGN, yes), ROW(CKA_DECRYPT, yes),
	    {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_ATTRIBUTE read = ROW(CKA_MODULUS_BITS, bits_back);
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
	CK_MECHANISM sign = {CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof(pss)},
		     encrypt = {CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep)};
	CK_OBJECT_HANDLE public_key = 0, private_key = 0;
	CK_BYTE out[512], back[512];

	says("RSA pair", p11->C_GenerateKeyPair(session, &make, public_rows, KMN_COUNT_OF(public_rows), private_rows,
			     KMN_COUNT_OF(private_rows), &public_key, &private_key));
	get("bits", public_key, &read, 1, true);
	says("PSS", p11->C_SignInit(session, &sign, private_key));
	says("  how long", p11->C_Sign(session, data, sizeof(data), NULL, &n));
	number("length", n);
	n = 5;
	says("  room for 5", p11->C_Sign(session, data, sizeof(data), out, &n));
	number("length", n);
	n = sizeof(out);
	says("  signed", p11->C_Sign(session, data, sizeof(data), out, &n));
	says("PSS verify", p11->C_VerifyInit(session, &sign, public_key));
	says("  verified", p11->C_Verify(session, data, sizeof(data), out, n));
	pss.sLen = 1000;
	says("PSS with too long a salt", p11->C_SignInit(session, &sign, private_key));
	says("OAEP", p11->C_EncryptInit(session, &encrypt, public_key));
	n = sizeof(out);
	says("  encrypted", p11->C_Encrypt(session, data, sizeof(data), out, &n));
	says("OAEP back", p11->C_DecryptInit(session, &encrypt, private_key));
	bits = sizeof(back);
	says("  decrypted", p11->C_Decrypt(session, out, n, back, &bits));
	printf("  %s\n", bits == sizeof(data) && memcmp(back, data, bits) == 0 ? "the same" : "something else");
}

static void
both_ways(const char *what, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
	CK_BYTE out[128], back[128];
	CK_ULONG n = sizeof(out), back_n = sizeof(back);

	says(what, p11->C_EncryptInit(session, m, key));
	says("  encrypted", p11->C_Encrypt(session, data, sizeof(data), out, &n));
	number("length", n);
	says("  init", p11->C_DecryptInit(session, m, key));
	says("  decrypted", p11->C_Decrypt(session, out, n, back, &back_n));
	printf("  %s\n", back_n == sizeof(data) && memcmp(back, data, back_n) == 0 ? "the same" : "something else");
}

static void
ciphers(CK_OBJECT_HANDLE key)
{
	CK_BYTE iv[16] = {9};
	CK_GCM_PARAMS gcm = {iv, 12, 96, data, 7, 128};
	CK_AES_CTR_PARAMS ctr = {32, {5}};
	CK_MECHANISM by_gcm = {CKM_AES_GCM, &gcm, sizeof(gcm)}, by_ctr = {CKM_AES_CTR, &ctr, sizeof(ctr)},
		     by_cbc = {CKM_AES_CBC_PAD, iv, sizeof(iv)}, by_ecb = {CKM_AES_ECB, NULL, 0};

	both_ways("GCM", &by_gcm, key);
	both_ways("CTR", &by_ctr, key);
	both_ways("CBC", &by_cbc, key);
	says("what the key does not allow", p11->C_EncryptInit(session, &by_ecb, key));
}

static void
make_ec(CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
	CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
	CK_MECHANISM make = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public_rows[] = {ROW(CKA_EC_PARAMS, p256)},
		     private_rows[] = {ROW(CKA_DERIVE, yes), ROW(CKA_SIGN, yes)};

	says("EC pair",
	    p11->C_GenerateKeyPair(session, &make, public_rows, 1, private_rows, 2, public_key, private_key));
}

static void
derive(void)
{
	CK_OBJECT_HANDLE mine[2], theirs[2], key = 0;
	CK_BYTE point[128];
	CK_ATTRIBUTE read = ROW(CKA_EC_POINT, point);
	CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
	CK_ULONG len = 24, len_back = 0;
	CK_ATTRIBUTE rows[] = {ROW(CKA_CLASS, secret), ROW(CKA_KEY_TYPE, generic), ROW(CKA_VALUE_LEN, len)};
	CK_ATTRIBUTE back = ROW(CKA_VALUE_LEN, len_back);
	CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, 0, point};
	CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof(params)}, sign = {CKM_ECDSA, NULL, 0};
	CK_BYTE out[128];
	CK_ULONG n = sizeof(out);

	make_ec(&mine[0], &mine[1]);
	make_ec(&theirs[0], &theirs[1]);
	get("point", theirs[0], &read, 1, false);
	params.ulPublicDataLen = read.ulValueLen;
	says("ECDH", p11->C_DeriveKey(session, &m, mine[1], rows, KMN_COUNT_OF(rows), &key));
	get("derived", key, &back, 1, true);
	says("ECDSA", p11->C_SignInit(session, &sign, mine[1]));
	says("  signed", p11->C_Sign(session, data, 32, out, &n));
	number("length", n);
	printf("\n");
}

/* ---- the three programs ------------------------------------------------------------------------------------------ */

static void
make(void)
{
	CK_OBJECT_HANDLE key;
	CK_ULONG n;

	print_token();
	print_session();
	key = make_aes();
	read_aes(key);
	import_and_change();
	find_them();
	rsa();
	ciphers(key);
	derive();
	says("operation state", p11->C_GetOperationState(session, NULL, &n));
	says("a session that is not there", p11->C_Logout(0xfffffffe));
	says("an object that is not there", p11->C_DestroyObject(session, 0xffffffff));
	says("logout", p11->C_Logout(session));
	print_session();
}

static void
look(void)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_CLASS, CKA_KEY_TYPE, CKA_ID, CKA_LABEL, CKA_VALUE_LEN,
	    CKA_MODULUS_BITS, CKA_MODULUS, CKA_KEY_GEN_MECHANISM, CKA_ALLOWED_MECHANISMS, CKA_START_DATE, CKA_END_DATE,
	    CKA_WRAP};
	CK_ATTRIBUTE rows[] = {{CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_OBJECT_HANDLE found[8];
	CK_ULONG n = find(rows, 1, 8, found, 8), numbers[512 / sizeof(CK_ULONG)];

	number("objects", n);
	printf("\n");
	for (CK_ULONG i = 0; i < n; i++) {
		for (size_t k = 0; k < KMN_COUNT_OF(types); k++) {
			CK_ATTRIBUTE row = {types[k], numbers, sizeof(numbers)};

			/* SoftHSM leaves an empty date as it finds it. */
			memset(numbers, 0, sizeof(numbers));
			get("row", found[i], &row, 1, true);
		}
	}
}

static void
vendor(void)
{
	CK_MECHANISM m = {CKM_VENDOR_DEFINED | 0x123, data, 16}, bare = {CKM_VENDOR_DEFINED | 0x123, NULL, 0};
	CK_ATTRIBUTE row = {CKA_VENDOR_DEFINED | 0x77, data, 8};
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_ATTRIBUTE rows[] = {ROW(CKA_CLASS, class), row};
	CK_OBJECT_HANDLE object;

	says("vendor's mechanism with a parameter", p11->C_DigestInit(session, &m));
	says("vendor's mechanism without", p11->C_DigestInit(session, &bare));
	says("vendor's attribute", p11->C_CreateObject(session, rows, 2, &object));
}

static void
begin(void)
{
	const char *path = getenv("MODULE"), *pin = getenv("PIN");
	void *module = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	if (module != NULL)
		*(void **)&get_list = dlsym(module, "C_GetFunctionList");
	if (get_list == NULL || get_list(&p11) != CKR_OK || pin == NULL)
		die(module == NULL && path != NULL ? dlerror() : "no module, or no PIN");
	if (p11->C_Initialize(&args) != CKR_OK)
		die("C_Initialize");
	find_slot();
	if (p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) != CKR_OK)
		die("C_OpenSession");
	print_session();
	if (!says("login", p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin))))
		die("C_Login");
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} programs[] = {{"make", make}, {"look", look}, {"vendor", vendor}};

	label = argc > 2 ? argv[2] : "";
	for (size_t i = 0; i < KMN_COUNT_OF(programs); i++) {
		if (argc < 2 || strcmp(argv[1], programs[i].name) != 0)
			continue;
		begin();
		programs[i].run();
		return says("finalize", p11->C_Finalize(NULL)) ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	die("usage: client make|look|vendor [LABEL]");
}
