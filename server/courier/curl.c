/*
 * libcurl and what it brings along (some twenty libraries) are in the
 * courier's process and in no other: the program that all roles share is not
 * linked with it.
 */
#include "config.h"

#include "server/courier/curl.h"

#include <dlfcn.h>
#include <openssl/ssl.h>

#include "kanmon/roles.h"
#include "kanmon/say.h"

#define LIBRARY "libcurl.so.4"

struct kmn_curl kmn_curl;

#define ROW(name) {"curl_" #name, offsetof(struct kmn_curl, name)},
static const struct {
	const char *name;
	size_t offset;
} functions[] = {KMN_CURL_ROWS(ROW)};
#undef ROW

bool
kmn_courier_prepare(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; library != NULL && i < KMN_COUNT_OF(functions); i++) {
		void **at = (void **)(void *)((char *)&kmn_curl + functions[i].offset);

		if ((*at = dlsym(library, functions[i].name)) == NULL)
			library = NULL;
	}
	if (library == NULL) {
		kmn_say(KMN_SAY_ERROR, "nothing can be asked over the network: %s", dlerror());
		return false;
	}
	/* First of all who use it, so that no openssl.cnf is read (decision 0016). */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1 ||
	    kmn_curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		kmn_say(KMN_SAY_ERROR, "libcurl does not start");
		return false;
	}
	return true;
}
