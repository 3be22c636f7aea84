/*
 * C_SessionCancel from another thread while a signature of the same session
 * waits for its quorum. It makes its key, `root-ca`, and then, for a message
 * and for plain data: asks for a signature in a thread of its own, reads a line,
 * and cancels when that is "cancel".
 *
 *   cancel MODULE TOKEN-LABEL        lines "FUNCTION 0xRV"
 */
#include "config.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

static CK_FUNCTION_LIST_3_0 *p11;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE public_key, private_key;
static CK_BYTE text[] = "pay one yen";
static CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0};

static bool
load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_RV (*get)(CK_UTF8CHAR_PTR, CK_VERSION_PTR, CK_INTERFACE_PTR_PTR, CK_FLAGS);
	CK_VERSION version = {3, 0};
	CK_INTERFACE *interface;

	if (library == NULL)
		return false;
	*(void **)&get = dlsym(library, "C_GetInterface");
	if (get == NULL || get(NULL, &version, &interface, 0) != CKR_OK)
		return false;
	p11 = interface->pFunctionList;
	return true;
}

static bool
open_session(const char *label)
{
	CK_SLOT_ID slot[8];
	CK_ULONG n = KMN_COUNT_OF(slot);
	CK_TOKEN_INFO info;
	char *pin = getenv("PIN");

	if (p11->C_GetSlotList(CK_TRUE, slot, &n) != CKR_OK)
		return false;
	for (CK_ULONG i = 0; i < n; i++)
		if (p11->C_GetTokenInfo(slot[i], &info) == CKR_OK && memcmp(info.label, label, strlen(label)) == 0)
			return p11->C_OpenSession(slot[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) ==
				   CKR_OK &&
			       p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)) == CKR_OK;
	return false;
}

static CK_RV
make_key(void)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	static CK_UTF8CHAR label[] = "root-ca";
	static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1},
	    {CKA_LABEL, label, 7}, {CKA_ID, label, 7}};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1},
	    {CKA_LABEL, label, 7}, {CKA_ID, label, 7}};

	return p11->C_GenerateKeyPair(session, &generate, public, KMN_COUNT_OF(public), private, KMN_COUNT_OF(private),
	    &public_key, &private_key);
}

/* ---- two ways to sign -------------------------------------------------------------------------------------------- */

static CK_RV
begin_message(void)
{
	return p11->C_MessageSignInit(session, &ecdsa, private_key);
}

static CK_RV
sign_message(CK_BYTE *out, CK_ULONG *n)
{
	return p11->C_SignMessage(session, NULL, 0, text, sizeof(text), out, n);
}

static CK_RV
begin_plain(void)
{
	return p11->C_SignInit(session, &ecdsa, private_key);
}

static CK_RV
sign_plain(CK_BYTE *out, CK_ULONG *n)
{
	return p11->C_Sign(session, text, sizeof(text), out, n);
}

static const struct way {
	const char *name;
	CK_FLAGS flag;
	CK_RV (*begin)(void);
	CK_RV (*sign)(CK_BYTE *out, CK_ULONG *n);
} ways[] = {
    {"C_SignMessage", CKF_MESSAGE_SIGN, begin_message, sign_message},
    {"C_Sign", CKF_SIGN, begin_plain, sign_plain},
};

/* ---- what happens at the same time ------------------------------------------------------------------------------- */

struct asked {
	const struct way *way;
	CK_RV rv;
	CK_BYTE signature[200];
	CK_ULONG len;
};

static void *
ask(void *asked)
{
	struct asked *a = asked;

	a->len = sizeof(a->signature);
	a->rv = a->way->sign(a->signature, &a->len);
	return NULL;
}

static bool
told(const char *word)
{
	char line[32];

	return fgets(line, sizeof(line), stdin) != NULL && strncmp(line, word, strlen(word)) == 0;
}

/* Begins, asks, cancels if it is told to. */
static bool
run(const struct way *way)
{
	struct asked a = {.way = way};
	CK_RV rv = way->begin();
	pthread_t thread;

	printf("begin 0x%lx\n", rv);
	if (pthread_create(&thread, NULL, ask, &a) != 0)
		return false;
	if (told("cancel"))
		printf("C_SessionCancel 0x%lx\n", p11->C_SessionCancel(session, way->flag));
	if (pthread_join(thread, NULL) != 0)
		return false;
	printf("%s 0x%lx\n", way->name, a.rv);
	if (a.rv != CKR_OK) {
		a.len = sizeof(a.signature);
		rv = way->sign(a.signature, &a.len);
		printf("%s again 0x%lx\n", way->name, rv);
	} else {
		(void)p11->C_VerifyInit(session, &ecdsa, public_key);
		rv = p11->C_Verify(session, text, sizeof(text), a.signature, a.len);
		printf("C_Verify 0x%lx\n", rv);
	}
	return true;
}

int
main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 || getenv("PIN") == NULL || !load(argv[1]) || p11->C_Initialize(NULL) != CKR_OK)
		return 2;
	if (!open_session(argv[2]))
		return 3;
	printf("C_GenerateKeyPair 0x%lx\n", make_key());
	for (size_t i = 0; i < KMN_COUNT_OF(ways); i++)
		if (!run(&ways[i]) || !run(&ways[i]))
			return 4;
	printf("C_Finalize 0x%lx\n", p11->C_Finalize(NULL));
	return 0;
}
