/*
 * What the interface "Vendor kanmon" says through a whole gateway, before and after a signature.
 *
 *	vendor KEY FILE     the proof goes to FILE; to FILE.request the request before it, which is the login, and its own
 */
#include "config.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/pkcs11.h"
#include "kanmon/vendor.h"
#include "tests/faults/client.h"

static KMN_FUNCTION_LIST_1_0 *
find_interface(void)
{
	void *module = dlopen(getenv("MODULE"), RTLD_NOW | RTLD_LOCAL);
	CK_RV (*get)(CK_BYTE *, CK_VERSION *, CK_INTERFACE **, CK_FLAGS) = NULL;
	CK_VERSION version = {1, 0};
	CK_BYTE name[] = KMN_INTERFACE_NAME;
	CK_INTERFACE *interface = NULL;

	if (module != NULL)
		*(void **)&get = dlsym(module, "C_GetInterface");
	if (get == NULL || get(name, &version, &interface, 0) != CKR_OK)
		return NULL;
	return interface->pFunctionList;
}

static CK_RV
sign(const struct client *c)
{
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_BYTE hash[32] = {7}, signature[SIGNATURE_MAX_BYTES];
	CK_ULONG len = sizeof(signature);
	CK_RV rv = c->p11->C_SignInit(c->session, &mechanism, c->key);

	return rv == CKR_OK ? c->p11->C_Sign(c->session, hash, sizeof(hash), signature, &len) : rv;
}

static int
write_file(const char *path, const char *more, const void *bytes, size_t len)
{
	char name[4096];
	FILE *file;

	(void)snprintf(name, sizeof(name), "%s%s", path, more);
	if ((file = fopen(name, "w")) == NULL)
		return -1;
	(void)fwrite(bytes, 1, len, file);
	return fclose(file);
}

int
main(int argc, char **argv)
{
	struct client c;
	KMN_FUNCTION_LIST_1_0 *kanmon;
	CK_BYTE proof[65536];
	CK_ULONG len = 0, room = 1;
	uint64_t request = 0, before = 0;
	const char *where = "";
	char text[80];
	CK_RV rv;
	int n;

	if (argc != 3 || client_load(&c) != 0 || (kanmon = find_interface()) == NULL)
		return 2;
	if ((rv = client_begin(&c, NULL, argv[1], &where)) != CKR_OK)
		return fprintf(stderr, "%s: 0x%lx\n", where, rv), 1;
	if ((rv = kanmon->GetLastRequest(c.session, &before)) != CKR_OK || (rv = sign(&c)) != CKR_OK ||
	    (rv = kanmon->GetLastReceipt(c.session, NULL, &len)) != CKR_OK ||
	    kanmon->GetLastReceipt(c.session, proof, &room) != CKR_BUFFER_TOO_SMALL || room != len ||
	    len > sizeof(proof) || (rv = kanmon->GetLastReceipt(c.session, proof, &len)) != CKR_OK ||
	    (rv = kanmon->GetLastRequest(c.session, &request)) != CKR_OK)
		return fprintf(stderr, "0x%lx, %lu and %lu bytes\n", rv, len, room), 1;
	n = snprintf(text, sizeof(text), "%llu\n%llu\n", (unsigned long long)before, (unsigned long long)request);
	return client_end(&c) == CKR_OK && write_file(argv[2], "", proof, len) == 0 &&
		       write_file(argv[2], ".request", text, (size_t)n) == 0
		   ? 0
		   : 1;
}
