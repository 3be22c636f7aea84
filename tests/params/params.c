/*
 * Parameters that a module writes to long after *Init, and a vendor's
 * mechanism with pointers. Every result and what is in the memory of the
 * parameters is printed, so that a run through a gateway can be compared with
 * one without.
 *
 *   params MODULE TOKEN-LABEL late     an IV that the module makes when it encrypts
 *   params MODULE TOKEN-LABEL freed    parameters whose memory is gone after *Init; nothing is written to them
 *   params MODULE TOKEN-LABEL gone     the same before a module that writes to them: only a gateway survives it
 *   params MODULE TOKEN-LABEL vendor   CKM_MOCK_SIGN and CKM_MOCK_FLAT
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "config.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kanmon/base.h"
#include "tests/mock/mechanisms.h"

#define IV_BYTES 12u
#define PAGE_BYTES 4096u

static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;

static void
say(const char *what, CK_RV rv)
{
	printf("0x%03lx %s\n", rv, what);
}

static void
say_bytes(const char *what, const CK_BYTE *bytes, CK_ULONG n)
{
	printf("      %s ", what);
	for (CK_ULONG i = 0; i < n; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

static bool
begin(const char *path, const char *label)
{
	CK_RV (*get)(CK_FUNCTION_LIST * *list);
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_ULONG n = 8;
	CK_SLOT_ID slot[8];
	CK_TOKEN_INFO info;
	char *pin = getenv("PIN");
	CK_RV rv;

	if (library == NULL || pin == NULL)
		return false;
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (get == NULL || get(&p11) != CKR_OK)
		return false;
	rv = p11->C_Initialize(NULL);
	say("C_Initialize", rv);
	if (rv != CKR_OK || p11->C_GetSlotList(CK_TRUE, slot, &n) != CKR_OK)
		return false;
	for (CK_ULONG i = 0; i < n; i++)
		if (p11->C_GetTokenInfo(slot[i], &info) == CKR_OK && memcmp(info.label, label, strlen(label)) == 0)
			return p11->C_OpenSession(slot[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) ==
				   CKR_OK &&
			       p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)) == CKR_OK;
	return false;
}

static CK_OBJECT_HANDLE
make_key(CK_KEY_TYPE type, CK_BYTE fill)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_OBJECT_HANDLE key = 0;
	CK_BYTE value[32], yes = CK_TRUE;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_VALUE, value, sizeof(value)}, {CKA_SIGN, &yes, 1}, {CKA_ENCRYPT, &yes, 1}};

	memset(value, fill, sizeof(value));
	say("C_CreateObject", p11->C_CreateObject(session, t, KMN_COUNT_OF(t), &key));
	return key;
}

static void
late(void)
{
	CK_BYTE iv[IV_BYTES + 4] = {0}, aad[] = "header", out[64];
	CK_GCM_PARAMS gcm = {iv, IV_BYTES, IV_BYTES * 8, aad, sizeof(aad), 128};
	CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
	CK_OBJECT_HANDLE key = make_key(CKK_AES, 7);
	CK_ULONG n = sizeof(out);

	say("C_EncryptInit", p11->C_EncryptInit(session, &m, key));
	say_bytes("iv", iv, sizeof(iv));
	say("C_Encrypt: how long?", p11->C_Encrypt(session, aad, 5, NULL, &n));
	say_bytes("iv", iv, sizeof(iv));
	n = sizeof(out);
	say("C_Encrypt", p11->C_Encrypt(session, aad, 5, out, &n));
	say_bytes("iv", iv, sizeof(iv));
	say_bytes("out", out, n);
	memset(iv, 0x11, sizeof(iv));
	say("C_EncryptInit", p11->C_EncryptInit(session, &m, key));
	n = sizeof(out);
	say("C_EncryptUpdate", p11->C_EncryptUpdate(session, aad, 5, out, &n));
	say_bytes("iv", iv, sizeof(iv));
	n = sizeof(out);
	say("C_EncryptFinal", p11->C_EncryptFinal(session, out, &n));
	say_bytes("iv", iv, sizeof(iv));
	say_bytes("out", out, n);
}

/* Mechanism, parameter and IV in a page of their own that goes away after C_EncryptInit. */
static void
freed(void)
{
	uint8_t *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CK_GCM_PARAMS gcm = {page, IV_BYTES, IV_BYTES * 8, NULL, 0, 128};
	CK_MECHANISM m = {CKM_AES_GCM, page + 64, sizeof(gcm)};
	CK_OBJECT_HANDLE key = make_key(CKK_AES, 7);
	CK_BYTE data[] = "data", out[64];
	CK_ULONG n = sizeof(out);

	if (page == MAP_FAILED)
		return;
	memcpy(page + 64, &gcm, sizeof(gcm));
	memcpy(page + 256, &m, sizeof(m));
	say("C_EncryptInit", p11->C_EncryptInit(session, (CK_MECHANISM *)(void *)(page + 256), key));
	(void)munmap(page, PAGE_BYTES);
	say("C_Encrypt", p11->C_Encrypt(session, data, sizeof(data), out, &n));
	say_bytes("out", out, n);
}

static void
sign(CK_MECHANISM *m, CK_OBJECT_HANDLE key, const struct mock_sign_params *p)
{
	CK_BYTE data[] = "to be signed", out[64];
	CK_ULONG n = sizeof(out);
	CK_RV rv = p11->C_SignInit(session, m, key);

	say("C_SignInit", rv);
	if (rv != CKR_OK)
		return;
	if (p != NULL)
		say_bytes("nonce", p->pNonce, 8);
	say("C_Sign", p11->C_Sign(session, data, sizeof(data), out, &n));
	say_bytes("signature", out, n);
	if (p != NULL)
		say_bytes("nonce", p->pNonce, 8);
}

static void
vendor(void)
{
	CK_BYTE context[] = "context", nonce[8] = {0}, flat[] = {1, 2, 3, 4, 5};
	CK_OBJECT_HANDLE key = make_key(CKK_GENERIC_SECRET, 1), other = make_key(CKK_GENERIC_SECRET, 2);
	struct mock_sign_params p = {3, context, sizeof(context), other, nonce, 6};
	CK_MECHANISM m = {CKM_MOCK_SIGN, &p, sizeof(p)};

	sign(&m, key, &p);
	p.hOther = 0;
	p.ulMode = 4;
	sign(&m, key, &p);
	p.hOther = 0x7fffffff;
	sign(&m, key, &p);
	m.ulParameterLen = 3;
	sign(&m, key, &p);
	m = (CK_MECHANISM){CKM_MOCK_FLAT, flat, sizeof(flat)};
	sign(&m, key, NULL);
	m = (CK_MECHANISM){CKM_MOCK_FLAT, NULL, 0};
	sign(&m, key, NULL);
}

int
main(int argc, char **argv)
{
	if (argc != 4 || !begin(argv[1], argv[2]))
		return EXIT_FAILURE;
	if (strcmp(argv[3], "late") == 0)
		late();
	else if (strcmp(argv[3], "vendor") == 0)
		vendor();
	else
		freed();
	say("C_Finalize", p11->C_Finalize(NULL));
	return EXIT_SUCCESS;
}
