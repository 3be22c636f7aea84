/*
 * An application with an asynchronous session: it does what its arguments say,
 * one after the other, each with a line "WORD 0xRV [what came]".
 *
 *	asker WORD[:VALUE]...
 *	list                    which interfaces there are
 *	open | open-plain       a session with CKF_ASYNC_SESSION or without, and the login; info: its flags
 *	find:LABEL init         the private key; C_SignInit by CKM_SHA256_RSA_PKCS
 *	sign:FILE | sign-into:BYTES:FILE | how-long:FILE     C_Sign
 *	update:FILE final       C_SignUpdate, C_SignFinal
 *	keypair:LABEL           C_GenerateKeyPair; destroy  C_DestroyObject of what was found
 *	find-secret:LABEL       the secret key; find-other:LABEL  one more
 *	wrap                    C_WrapKey of the other key under the key, by CKM_AES_KEY_WRAP
 *	unwrap:FILE:LABEL       C_UnwrapKey
 *	derive:FILE:LABEL       C_DeriveKey by CKM_ECDH1_DERIVE; derive-by-data:FILE:LABEL  by CKM_AES_ECB_ENCRYPT_DATA
 *	create:LABEL            C_CreateObject of a public key; create-secret:LABEL  of a secret one
 *	init-decrypt decrypt:FILE   C_DecryptInit by CKM_RSA_PKCS, C_Decrypt
 *	ask:FUNCTION            C_AsyncComplete once; await:FUNCTION:FILE until it is over, and what came goes to FILE
 *	id:FUNCTION             C_AsyncGetID; join:FUNCTION:ID  C_AsyncJoin, `last` for ID: what id said
 *	cancel close close-all finalize
 *	until:FILE              waits for a file
 */
#include "config.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/pkcs11.h"

#define DEADLINE_S 60
#define ROOM 1024

static CK_FUNCTION_LIST_3_2 *f;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE key, other;
static CK_ULONG last_id;
static CK_BYTE data[4096], signature[ROOM];

static void
rest(void)
{
	(void)nanosleep(&(struct timespec){0, 20000000}, NULL);
}

static CK_ULONG
read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	if (file == NULL)
		exit(3);
	n = fread(data, 1, sizeof(data), file);
	(void)fclose(file);
	return n;
}

static void
write_file(const char *path, const void *bytes, CK_ULONG len)
{
	FILE *file = fopen(path, "wb");

	if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
		exit(3);
}

static bool
find_slot(void)
{
	const char *token = getenv("TOKEN");
	CK_SLOT_ID all[16];
	CK_TOKEN_INFO info;
	CK_ULONG n = 16;

	if (token == NULL || f->C_GetSlotList(CK_TRUE, all, &n) != CKR_OK)
		return false;
	for (CK_ULONG i = 0; i < n; i++) {
		slot = all[i];
		if (f->C_GetTokenInfo(slot, &info) == CKR_OK && memcmp(info.label, token, strlen(token)) == 0)
			return true;
	}
	return false;
}

static CK_RV
open_session(CK_FLAGS more)
{
	const char *pin = getenv("PIN");
	CK_RV rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION | more, NULL, NULL, &session);

	if (rv == CKR_OK && pin != NULL)
		rv = f->C_Login(session, CKU_USER, (CK_BYTE *)(uintptr_t)pin, strlen(pin));
	return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static CK_RV
find(CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE *found)
{
	CK_ATTRIBUTE row[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_ULONG n = 0;
	CK_RV rv = f->C_FindObjectsInit(session, row, 2);

	if (rv == CKR_OK)
		rv = f->C_FindObjects(session, found, 1, &n);
	(void)f->C_FindObjectsFinal(session);
	return rv == CKR_OK && n != 1 ? CKR_KEY_HANDLE_INVALID : rv;
}

static CK_RV
make_pair(const char *label)
{
	CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_ULONG bits = 2048;
	CK_BBOOL yes = CK_TRUE;
	CK_BYTE id[] = {2};
	CK_ATTRIBUTE public[] = {{CKA_TOKEN, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof(bits)}, {CKA_ID, id, 1},
	    {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1},
	    {CKA_SIGN, &yes, 1}, {CKA_ID, id, 1}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_OBJECT_HANDLE a, b;

	return f->C_GenerateKeyPair(session, &m, public, 4, private, 6, &a, &b);
}

static CK_RV
sign(const char *path, CK_BYTE *out, CK_ULONG room)
{
	CK_ULONG len = room;
	CK_RV rv = f->C_Sign(session, data, read_file(path), out, &len);

	printf("(%lu) ", len);
	return rv;
}

static CK_RV
sign_final(void)
{
	CK_ULONG len = sizeof(signature);
	CK_RV rv = f->C_SignFinal(session, signature, &len);

	printf("(%lu) ", len);
	return rv;
}

static CK_RV
complete(const char *function, const char *path)
{
	CK_ASYNC_DATA got = {0};
	CK_RV rv;

	do {
		if (path != NULL)
			rest();
		rv = f->C_AsyncComplete(session, (CK_UTF8CHAR *)(uintptr_t)function, &got);
	} while (rv == CKR_PENDING && path != NULL);
	if (rv == CKR_OK && path != NULL && got.pValue != NULL)
		write_file(path, got.pValue, got.ulValue);
	if (rv != CKR_PENDING)
		printf("(%s %lu %s%s) ",
		    got.pValue == signature ? "ours"
		    : got.pValue == NULL    ? "none"
					    : "other",
		    got.ulValue, got.hObject != 0 ? "object" : "", got.hAdditionalObject != 0 ? " object" : "");
	return rv;
}

static CK_RV
say_id(const char *function)
{
	CK_RV rv;

	last_id = 0;
	rv = f->C_AsyncGetID(session, (CK_UTF8CHAR *)(uintptr_t)function, &last_id);
	printf("(%lu) ", last_id);
	return rv;
}

static CK_RV
info(void)
{
	CK_SESSION_INFO i;
	CK_RV rv = f->C_GetSessionInfo(session, &i);

	printf("(%s) ", rv == CKR_OK && (i.flags & CKF_ASYNC_SESSION) != 0 ? "async" : "plain");
	return rv;
}

static CK_RV
list(CK_RV (*of)(CK_INTERFACE *, CK_ULONG *))
{
	CK_INTERFACE all[16];
	CK_ULONG n = 16;
	CK_RV rv = of(all, &n);

	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++)
		printf(
		    "%u.%u ", ((CK_VERSION *)all[i].pFunctionList)->major, ((CK_VERSION *)all[i].pFunctionList)->minor);
	return rv;
}

static CK_RV
until(const char *path)
{
	while (access(path, F_OK) != 0)
		rest();
	return CKR_OK;
}

/* ---- making keys, and what goes in and out of them ---------------------------------------------------------------- */

static CK_RV
find_private(char *label)
{
	return find(CKO_PRIVATE_KEY, label, &key);
}

static CK_RV
find_secret(char *label)
{
	return find(CKO_SECRET_KEY, label, &key);
}

static CK_RV
find_other(char *label)
{
	return find(CKO_SECRET_KEY, label, &other);
}

static CK_RV
wrap(char *unused)
{
	CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_ULONG len = sizeof(signature);

	(void)unused;
	return f->C_WrapKey(session, &m, key, other, signature, &len);
}

#define SECRET_ROWS 6u /* and CKA_VALUE_LEN, CKA_VALUE */

/* Of an AES key of 16 bytes in the token, whose value a test may read. What it points to lives as long as the process. */
static void
secret_rows(const char *label, CK_ATTRIBUTE row[SECRET_ROWS])
{
	static CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	static CK_KEY_TYPE type = CKK_AES;
	static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

	row[0] = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof(class)};
	row[1] = (CK_ATTRIBUTE){CKA_KEY_TYPE, &type, sizeof(type)};
	row[2] = (CK_ATTRIBUTE){CKA_TOKEN, &yes, sizeof(yes)};
	row[3] = (CK_ATTRIBUTE){CKA_SENSITIVE, &no, sizeof(no)};
	row[4] = (CK_ATTRIBUTE){CKA_EXTRACTABLE, &yes, sizeof(yes)};
	row[5] = (CK_ATTRIBUTE){CKA_LABEL, (void *)(uintptr_t)label, strlen(label)};
}

/* VALUE is FILE:LABEL. */
static char *
label_of(char *value)
{
	char *label = strchr(value, ':');

	if (label == NULL)
		exit(2);
	*label++ = '\0';
	return label;
}

static CK_RV
unwrap(char *value)
{
	CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_ATTRIBUTE row[SECRET_ROWS];
	CK_OBJECT_HANDLE made;

	secret_rows(label_of(value), row);
	return f->C_UnwrapKey(session, &m, key, data, read_file(value), row, SECRET_ROWS, &made);
}

static CK_RV
make_by(CK_MECHANISM *m, const char *label)
{
	CK_ATTRIBUTE row[SECRET_ROWS + 1];
	CK_ULONG length = 16;
	CK_OBJECT_HANDLE made;

	secret_rows(label, row);
	row[SECRET_ROWS] = (CK_ATTRIBUTE){CKA_VALUE_LEN, &length, sizeof(length)};
	return f->C_DeriveKey(session, m, key, row, SECRET_ROWS + 1, &made);
}

static CK_RV
derive(char *value)
{
	CK_ECDH1_DERIVE_PARAMS with = {.kdf = CKD_NULL, .pPublicData = data};
	CK_MECHANISM m = {CKM_ECDH1_DERIVE, &with, sizeof(with)};
	const char *label = label_of(value);

	with.ulPublicDataLen = read_file(value);
	return make_by(&m, label);
}

static CK_RV
derive_by_data(char *value)
{
	CK_KEY_DERIVATION_STRING_DATA with = {data, 0};
	CK_MECHANISM m = {CKM_AES_ECB_ENCRYPT_DATA, &with, sizeof(with)};
	const char *label = label_of(value);

	with.ulLen = read_file(value);
	return make_by(&m, label);
}

static CK_RV
create(char *label)
{
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_KEY_TYPE type = CKK_RSA;
	CK_BBOOL yes = CK_TRUE;
	CK_BYTE modulus[128], exponent[] = {1, 0, 1};
	CK_ATTRIBUTE row[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_TOKEN, &yes, 1}, {CKA_MODULUS, modulus, sizeof(modulus)}, {CKA_PUBLIC_EXPONENT, exponent, 3},
	    {CKA_LABEL, label, strlen(label)}};
	CK_OBJECT_HANDLE made;

	memset(modulus, 0xc5, sizeof(modulus));
	return f->C_CreateObject(session, row, 6, &made);
}

static CK_RV
create_secret(char *label)
{
	CK_BYTE value[16] = "not for anybody";
	CK_ATTRIBUTE row[SECRET_ROWS + 1];
	CK_OBJECT_HANDLE made;

	secret_rows(label, row);
	row[SECRET_ROWS] = (CK_ATTRIBUTE){CKA_VALUE, value, sizeof(value)};
	return f->C_CreateObject(session, row, SECRET_ROWS + 1, &made);
}

static CK_RV
init_decrypt(char *unused)
{
	CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};

	(void)unused;
	return f->C_DecryptInit(session, &m, key);
}

static CK_RV
decrypt(char *path)
{
	CK_ULONG len = sizeof(signature);

	return f->C_Decrypt(session, data, read_file(path), signature, &len);
}

static const struct word {
	const char *name;
	bool has_value;
	CK_RV (*act)(char *value);
} words[] = {
    {"find", true, find_private},
    {"find-secret", true, find_secret},
    {"find-other", true, find_other},
    {"wrap", false, wrap},
    {"unwrap", true, unwrap},
    {"derive", true, derive},
    {"derive-by-data", true, derive_by_data},
    {"create", true, create},
    {"create-secret", true, create_secret},
    {"init-decrypt", false, init_decrypt},
    {"decrypt", true, decrypt},
};

static const struct word *
find_word(const char *name)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

/* ---- words -------------------------------------------------------------------------------------------------------- */

/* VALUE is a function's name and, after a colon, something else. */
static CK_RV
with_function(const char *word, char *value)
{
	char *more = strchr(value, ':');

	if (more != NULL)
		*more++ = '\0';
	if (strcmp(word, "ask") == 0)
		return complete(value, NULL);
	if (strcmp(word, "await") == 0)
		return complete(value, more != NULL ? more : "/dev/null");
	if (strcmp(word, "id") == 0)
		return say_id(value);
	if (strcmp(word, "join") == 0 && more != NULL)
		return f->C_AsyncJoin(session, (CK_UTF8CHAR *)value,
		    strcmp(more, "last") == 0 ? last_id : strtoul(more, NULL, 10), signature, sizeof(signature));
	if (strcmp(word, "sign-into") == 0 && more != NULL)
		return sign(more, signature, strtoul(value, NULL, 10));
	exit(2);
}

static CK_RV
act(const char *word, char *value)
{
	CK_MECHANISM m = {CKM_SHA256_RSA_PKCS, NULL, 0};
	const struct word *known = find_word(word);

	if (known != NULL && (value != NULL) == known->has_value)
		return known->act(value);
	if (strcmp(word, "open") == 0)
		return open_session(CKF_ASYNC_SESSION);
	if (strcmp(word, "open-plain") == 0)
		return open_session(0);
	if (strcmp(word, "info") == 0)
		return info();
	if (strcmp(word, "init") == 0)
		return f->C_SignInit(session, &m, key);
	if (strcmp(word, "final") == 0)
		return sign_final();
	if (strcmp(word, "destroy") == 0)
		return f->C_DestroyObject(session, key);
	if (strcmp(word, "cancel") == 0)
		return f->C_SessionCancel(session, CKF_SIGN);
	if (strcmp(word, "close") == 0)
		return f->C_CloseSession(session);
	if (strcmp(word, "close-all") == 0)
		return f->C_CloseAllSessions(slot);
	if (strcmp(word, "finalize") == 0)
		return f->C_Finalize(NULL);
	if (value == NULL)
		exit(2);
	if (strcmp(word, "sign") == 0)
		return sign(value, signature, sizeof(signature));
	if (strcmp(word, "update") == 0)
		return f->C_SignUpdate(session, data, read_file(value));
	if (strcmp(word, "how-long") == 0)
		return sign(value, NULL, 0);
	if (strcmp(word, "keypair") == 0)
		return make_pair(value);
	if (strcmp(word, "until") == 0)
		return until(value);
	return with_function(word, value);
}

/* Ends the process: without its first steps there is nothing to act on. */
static void
fail(const char *what)
{
	(void)fprintf(stderr, "asker: %s\n", what);
	exit(2);
}

int
main(int argc, char **argv)
{
	CK_INTERFACE *interface = NULL;
	CK_VERSION version = {3, 2};
	void *module = dlopen(getenv("MODULE"), RTLD_NOW);
	CK_RV (*get)(CK_UTF8CHAR *, CK_VERSION *, CK_INTERFACE **, CK_FLAGS);
	CK_RV (*lists)(CK_INTERFACE *, CK_ULONG *);

	(void)alarm(DEADLINE_S);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (module == NULL)
		fail(dlerror());
	*(void **)&get = dlsym(module, "C_GetInterface");
	*(void **)&lists = dlsym(module, "C_GetInterfaceList");
	if (get == NULL || lists == NULL || get(NULL, &version, &interface, 0) != CKR_OK)
		fail("there is no interface of 3.2");
	f = interface->pFunctionList;
	if (f->C_Initialize(NULL) != CKR_OK)
		fail("C_Initialize: the configuration, KMN_DEBUG=all tells");
	if (!find_slot())
		fail("no slot has the token TOKEN");
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], ':');
		CK_RV rv;

		if (value != NULL)
			*value++ = '\0';
		printf("%s ", argv[i]);
		rv = strcmp(argv[i], "list") == 0 ? list(lists) : act(argv[i], value);
		printf("0x%lx\n", rv);
	}
	return 0;
}
