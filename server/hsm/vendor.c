#include "config.h"

#include "server/hsm/vendor.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/hsm/facts.h"

#define TRIES 5u
#define PAUSE_MS 50u /* before the second try; each further one waits as long again */

/* CK_C_INITIALIZE_ARGS with the word after it that NSS reads. */
struct init_args {
	CK_C_INITIALIZE_ARGS args;
	void *word_after;
};

static void
why(struct kmn_vendor *v, const char *text)
{
	v->rv = CKR_GENERAL_ERROR;
	kmn_facts_text(text, strlen(text), v->description, sizeof(v->description));
}

static void
load(const char *path, struct kmn_vendor *v)
{
	union {
		void *symbol;
		CK_RV (*call)(CK_FUNCTION_LIST **);
	} get;
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *error;

	if (library == NULL) {
		error = dlerror();
		why(v, error == NULL ? "dlopen failed" : error);
		return;
	}
	if ((get.symbol = dlsym(library, "C_GetFunctionList")) == NULL) {
		why(v, "the module has no C_GetFunctionList");
		return;
	}
	if ((v->rv = get.call(&v->module)) != CKR_OK || v->module == NULL) {
		why(v, "C_GetFunctionList failed");
		v->module = NULL;
	}
}

static void
pause_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};

	(void)nanosleep(&t, NULL);
}

/* Once with locking by the system, and once without arguments for modules that want none. */
static CK_RV
initialise_once(CK_FUNCTION_LIST *m, char *reserved)
{
	struct init_args with = {.args = {.flags = CKF_OS_LOCKING_OK, .pReserved = reserved}};
	CK_RV rv = m->C_Initialize(&with);

	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED && reserved == NULL)
		rv = m->C_Initialize(NULL);
	return rv;
}

static void
initialise(struct kmn_vendor *v, const char *init_args)
{
	if (init_args != NULL && init_args[0] != '\0' && (v->reserved = strdup(init_args)) == NULL) {
		why(v, "out of memory");
		v->module = NULL;
		return;
	}
	for (unsigned i = 0; i < TRIES; i++) {
		pause_ms(i * PAUSE_MS);
		v->rv = initialise_once(v->module, v->reserved);
		if (v->rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) /* a library under it did: the process is ours alone */
			v->rv = CKR_OK;
		if (v->rv == CKR_OK || v->rv == CKR_ARGUMENTS_BAD)
			break;
	}
	if (v->rv == CKR_OK)
		return;
	v->module = NULL;
	snprintf(v->description, sizeof(v->description), "C_Initialize failed");
}

static uint16_t
version_of(CK_VERSION v)
{
	return (uint16_t)(v.major << 8 | v.minor);
}

void
kmn_vendor_open(const char *path, const char *init_args, struct kmn_vendor *v)
{
	CK_INFO info;

	memset(v, 0, sizeof(*v));
	memset(&info, 0, sizeof(info));
	load(path, v);
	if (v->module != NULL)
		initialise(v, init_args);
	if (v->module == NULL || v->module->C_GetInfo(&info) != CKR_OK)
		return;
	v->cryptoki = version_of(info.cryptokiVersion);
	v->library = version_of(info.libraryVersion);
	kmn_facts_text(info.manufacturerID, sizeof(info.manufacturerID), v->manufacturer, sizeof(v->manufacturer));
	kmn_facts_text(
	    info.libraryDescription, sizeof(info.libraryDescription), v->description, sizeof(v->description));
}

void
kmn_vendor_close(struct kmn_vendor *v)
{
	if (v->module != NULL)
		(void)v->module->C_Finalize(NULL);
	v->module = NULL;
	free(v->reserved);
	v->reserved = NULL;
}

void
kmn_vendor_put_ready(const struct kmn_vendor *v, struct kmn_writer *w)
{
	kmn_writer_u64(w, v->rv);
	kmn_writer_u16(w, v->cryptoki);
	kmn_writer_text(w, v->manufacturer);
	kmn_writer_text(w, v->description);
	kmn_writer_u16(w, v->library);
}
