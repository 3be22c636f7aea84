/*
 * The HTTP server and its TLS are in the console's process and in no other:
 * the program that all roles share is not linked with them (decision 0043).
 */
#include "config.h"

#include "server/console/libraries.h"

#include <dlfcn.h>

#include "kanmon/say.h"

struct kmn_mhd kmn_mhd;
struct kmn_gnutls kmn_gnutls;

struct function {
	const char *name;
	size_t offset;
};

#define MHD_ROW(name) {"MHD_" #name, offsetof(struct kmn_mhd, name)},
#define GNUTLS_ROW(name) {"gnutls_" #name, offsetof(struct kmn_gnutls, name)},
static const struct function mhd_functions[] = {KMN_MHD_ROWS(MHD_ROW)};
static const struct function gnutls_functions[] = {KMN_GNUTLS_ROWS(GNUTLS_ROW)};
#undef MHD_ROW
#undef GNUTLS_ROW

static bool
open_one(const char *name, const struct function *functions, size_t count, void *into)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; library != NULL && i < count; i++) {
		void **at = (void **)(void *)((char *)into + functions[i].offset);

		if ((*at = dlsym(library, functions[i].name)) == NULL)
			library = NULL;
	}
	if (library == NULL)
		kmn_say(KMN_SAY_ERROR, "no console without %s: %s", name, dlerror());
	return library != NULL;
}

bool
kmn_libraries_open(void)
{
	return open_one("libgnutls.so.30", gnutls_functions, KMN_COUNT_OF(gnutls_functions), &kmn_gnutls) &&
	       open_one("libmicrohttpd.so.12", mhd_functions, KMN_COUNT_OF(mhd_functions), &kmn_mhd);
}
