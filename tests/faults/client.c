#include "config.h"

#include "tests/faults/client.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/base.h"

#define SLOTS_MAX 32

int
client_load(struct client *c)
{
	const char *path = getenv("MODULE");
	void *module = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;

	if (module != NULL)
		*(void **)&get = dlsym(module, "C_GetFunctionList");
	if (get != NULL && get(&c->p11) == CKR_OK)
		return 0;
	fprintf(stderr, "MODULE: %s\n", module == NULL && path != NULL ? dlerror() : "no module");
	return -1;
}

/* Labels are padded with blanks to 32 bytes, and not ended. */
static CK_RV
find_slot(struct client *c, CK_SLOT_ID *slot_out)
{
	const char *label = getenv("TOKEN");
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;
	CK_TOKEN_INFO info;
	char padded[33];
	CK_RV rv = c->p11->C_GetSlotList(CK_TRUE, slots, &n);

	snprintf(padded, sizeof(padded), "%-32s", label != NULL ? label : "");
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
		rv = c->p11->C_GetTokenInfo(slots[i], &info);
		if (rv == CKR_OK && memcmp(info.label, padded, sizeof(info.label)) == 0) {
			*slot_out = slots[i];
			return CKR_OK;
		}
	}
	return rv != CKR_OK ? rv : CKR_TOKEN_NOT_PRESENT;
}

static CK_RV
find_key(struct client *c, const char *label)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template[] = {
	    {CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_ULONG n = 0;
	CK_RV rv = c->p11->C_FindObjectsInit(c->session, template, KMN_COUNT_OF(template));

	if (rv == CKR_OK)
		rv = c->p11->C_FindObjects(c->session, &c->key, 1, &n);
	if (rv == CKR_OK)
		rv = c->p11->C_FindObjectsFinal(c->session);
	return rv == CKR_OK && n == 0 ? CKR_KEY_HANDLE_INVALID : rv;
}

CK_RV
client_open(struct client *c, const char *label, const char **where_out)
{
	const char *pin = getenv("PIN");
	CK_SLOT_ID slot;
	CK_RV rv;

	*where_out = "C_GetSlotList";
	if ((rv = find_slot(c, &slot)) != CKR_OK)
		return rv;
	*where_out = "C_OpenSession";
	if ((rv = c->p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &c->session)) != CKR_OK)
		return rv;
	*where_out = "C_Login";
	rv = c->p11->C_Login(c->session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin));
	if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
		return rv;
	*where_out = "C_FindObjects";
	if ((rv = find_key(c, label)) != CKR_OK)
		return rv;
	*where_out = "";
	return CKR_OK;
}

CK_RV
client_begin(struct client *c, const char *profile, const char *label, const char **where_out)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = (void *)(uintptr_t)profile};
	CK_RV rv;

	*where_out = "C_Initialize";
	if ((rv = c->p11->C_Initialize(&args)) != CKR_OK)
		return rv;
	if ((rv = client_open(c, label, where_out)) != CKR_OK)
		(void)c->p11->C_Finalize(NULL);
	return rv;
}

CK_RV
client_sign(struct client *c, const void *data, CK_ULONG len, CK_BYTE out[SIGNATURE_MAX_BYTES], CK_ULONG *len_out)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	CK_RV rv = c->p11->C_SignInit(c->session, &mechanism, c->key);

	*len_out = SIGNATURE_MAX_BYTES;
	if (rv == CKR_OK)
		rv = c->p11->C_Sign(c->session, (CK_BYTE *)(uintptr_t)data, len, out, len_out);
	if (rv != CKR_OK)
		*len_out = 0;
	return rv;
}

CK_RV
client_end(struct client *c)
{
	return c->p11->C_Finalize(NULL);
}
