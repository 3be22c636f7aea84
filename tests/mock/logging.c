/*
 * An HSM that keeps a log, for tests: a PKCS#11 module in front of the one that KMN_LOGGED_MODULE names. Each use of a
 * key is a line in KMN_LOGGED_FILE, whoever made it: the gateway, or somebody behind its back.
 *
 *	2026-11-23T18:13:33.123Z hsm serial=0123abcd op=C_Sign key=root-ca id=01 rv=0x00000000
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#define OPERATIONS 64

static CK_FUNCTION_LIST functions, *below;

/* Which key a session signs with. */
static struct {
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
} signing[OPERATIONS];

static CK_OBJECT_HANDLE
key_of(CK_SESSION_HANDLE session)
{
	for (size_t n = 0; n < OPERATIONS; n++)
		if (signing[n].session == session)
			return signing[n].key;
	return 0;
}

static void
put_time(FILE *file)
{
	struct timespec now;
	struct tm utc;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &utc));
	fprintf(file, "%s.%03ldZ hsm ", text, now.tv_nsec / 1000000);
}

static void
put_serial(FILE *file, CK_SESSION_HANDLE session)
{
	CK_SESSION_INFO info;
	CK_TOKEN_INFO token;
	int len = 16;

	if (below->C_GetSessionInfo(session, &info) != CKR_OK || below->C_GetTokenInfo(info.slotID, &token) != CKR_OK)
		len = 0;
	while (len > 0 && token.serialNumber[len - 1] == ' ')
		len--;
	fprintf(file, "serial=%.*s ", len, (const char *)token.serialNumber);
}

static void
write_line(CK_SESSION_HANDLE session, const char *function, CK_OBJECT_HANDLE key, CK_RV rv)
{
	char label[128] = "", id[64] = "";
	CK_ATTRIBUTE wanted[] = {{CKA_LABEL, label, sizeof(label) - 1}, {CKA_ID, id, sizeof(id)}};
	const char *path = getenv("KMN_LOGGED_FILE");
	FILE *file = path == NULL ? NULL : fopen(path, "a");

	if (file == NULL)
		return;
	if (below->C_GetAttributeValue(session, key, wanted, 2) != CKR_OK)
		wanted[0].ulValueLen = wanted[1].ulValueLen = 0;
	put_time(file);
	put_serial(file, session);
	fprintf(file, "op=%s key=%.*s id=", function, (int)wanted[0].ulValueLen, label);
	for (CK_ULONG n = 0; n < wanted[1].ulValueLen; n++)
		fprintf(file, "%02x", (unsigned char)id[n]);
	fprintf(file, " rv=0x%08lx\n", rv);
	fclose(file);
}

static CK_RV
sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	CK_RV rv = below->C_SignInit(session, mechanism, key);
	size_t at = session % OPERATIONS;

	if (rv == CKR_OK) {
		signing[at].session = session;
		signing[at].key = key;
	}
	return rv;
}

static CK_RV
sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *signature, CK_ULONG *signature_len)
{
	CK_RV rv = below->C_Sign(session, data, len, signature, signature_len);

	if (signature != NULL && rv != CKR_BUFFER_TOO_SMALL)
		write_line(session, "C_Sign", key_of(session), rv);
	return rv;
}

static CK_RV
sign_final(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *signature_len)
{
	CK_RV rv = below->C_SignFinal(session, signature, signature_len);

	if (signature != NULL && rv != CKR_BUFFER_TOO_SMALL)
		write_line(session, "C_SignFinal", key_of(session), rv);
	return rv;
}

static CK_RV
generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_template, CK_ULONG public_count,
    CK_ATTRIBUTE *private_template, CK_ULONG private_count, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
	CK_RV rv = below->C_GenerateKeyPair(session, mechanism, public_template, public_count, private_template,
	    private_count, public_key, private_key);

	write_line(session, "C_GenerateKeyPair", rv == CKR_OK ? *private_key : 0, rv);
	return rv;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
	const char *path = getenv("KMN_LOGGED_MODULE");
	void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = NULL;

	if (module != NULL)
		*(void **)&get = dlsym(module, "C_GetFunctionList");
	if (get == NULL || get(&below) != CKR_OK)
		return CKR_GENERAL_ERROR;
	functions = *below;
	functions.C_GetFunctionList = C_GetFunctionList;
	functions.C_SignInit = sign_init;
	functions.C_Sign = sign;
	functions.C_SignFinal = sign_final;
	functions.C_GenerateKeyPair = generate_pair;
	*list = &functions;
	return CKR_OK;
}
