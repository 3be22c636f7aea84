#include "config.h"

#include "server/hsm/vendor.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/hsm/facts.h"

#define INTERFACES_MAX 64u
#define TRIES 5u
#define PAUSE_MS 50u /* before the second try; each further one waits as long again */

/* CK_INTERFACE */
struct interface {
	const char *name;
	const void *list;
	CK_FLAGS flags;
};

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

/* A symbol of the library as a function of that type; NULL if it is not there. */
#define FIND(library, name, type) \
	((union { \
		void *symbol; \
		type call; \
	}){.symbol = dlsym(library, name)} \
		.call)

typedef CK_RV (*get_function_list)(CK_FUNCTION_LIST **);
typedef CK_RV (*get_interface_list)(struct interface *, CK_ULONG *);
typedef CK_RV (*get_interface)(CK_UTF8CHAR *, CK_VERSION *, struct interface **, CK_FLAGS);

static uint16_t
version_of(CK_VERSION v)
{
	return (uint16_t)(v.major << 8 | v.minor);
}

/* Lists only grow, but for what a next major version may do. */
static size_t
functions_in(uint16_t version)
{
	if (version >= 0x0400)
		return 0;
	if (version >= 0x0302)
		return 104;
	return version >= 0x0300 ? 92 : 68;
}

static void
take_list(const void *list, uint16_t version, union kmn_functions *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out, list, offsetof(union kmn_functions, any.at) + functions_in(version) * sizeof(out->any.at[0]));
}

/* Takes one interface of the module, if it is a list of ours. */
static void
take_interface(const struct interface *i, struct kmn_vendor *v)
{
	CK_VERSION version;
	uint16_t number;

	if (i->name == NULL || i->list == NULL || strcmp(i->name, "PKCS 11") != 0 || v->lists == KMN_VENDOR_LISTS_MAX)
		return;
	memcpy(&version, i->list, sizeof(version));
	number = version_of(version);
	if (functions_in(number) == 0)
		return;
	v->list[v->lists++] = (struct kmn_vendor_list){number, i->flags};
	if (number > version_of(v->newest.any.version))
		take_list(i->list, number, &v->newest);
}

static void
take_interfaces(void *library, struct kmn_vendor *v)
{
	static const CK_VERSION versions[] = {{3, 2}, {3, 0}, {2, 40}};
	get_interface_list list = FIND(library, "C_GetInterfaceList", get_interface_list);
	get_interface one = FIND(library, "C_GetInterface", get_interface);
	struct interface interfaces[INTERFACES_MAX], *found;
	CK_ULONG n = KMN_COUNT_OF(interfaces);
	char name[] = "PKCS 11";

	if (list != NULL && list(NULL, &n) == CKR_OK && n <= KMN_COUNT_OF(interfaces) && list(interfaces, &n) == CKR_OK)
		for (CK_ULONG i = 0; i < n && i < KMN_COUNT_OF(interfaces); i++)
			take_interface(&interfaces[i], v);
	for (size_t i = 0; v->lists == 0 && one != NULL && i < KMN_COUNT_OF(versions); i++) {
		CK_VERSION version = versions[i];

		found = NULL;
		if (one((CK_UTF8CHAR *)name, &version, &found, 0) == CKR_OK && found != NULL)
			take_interface(found, v);
	}
}

/* The list of 2.40 comes from C_GetFunctionList, which every module has; its interface of that version is the same. */
static const char *
take_functions(void *library, struct kmn_vendor *v)
{
	get_function_list get = FIND(library, "C_GetFunctionList", get_function_list);
	CK_FUNCTION_LIST *list = NULL;

	take_interfaces(library, v);
	if (get == NULL && v->lists == 0)
		return "the module has no C_GetFunctionList";
	if (get != NULL && ((v->rv = get(&list)) != CKR_OK || list == NULL))
		return "C_GetFunctionList failed";
	if (list == NULL) {
		v->v2_40 = v->newest;
		return NULL;
	}
	take_list(list, 0x0228, &v->v2_40);
	if (v->lists == 0) {
		v->list[v->lists++] = (struct kmn_vendor_list){version_of(list->version), 0};
		v->newest = v->v2_40;
	}
	return NULL;
}

static void
load(const char *path, struct kmn_vendor *v)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *error;

	if (library == NULL)
		error = dlerror();
	else if ((error = take_functions(library, v)) == NULL && v->newest.v2_40.C_Initialize == NULL)
		error = "the module has no C_Initialize";
	if (library == NULL || error != NULL)
		why(v, error == NULL ? "dlopen failed" : error);
	else
		v->ready = true;
}

static void
pause_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};

	(void)nanosleep(&t, NULL);
}

/*
 * Once with locking by the system, and once without arguments for modules that
 * want none. A module that is called from one thread is told nothing of locks.
 */
static CK_RV
initialise_once(const CK_FUNCTION_LIST *f, char *reserved, bool serial)
{
	struct init_args with = {.args = {.flags = serial ? 0 : CKF_OS_LOCKING_OK, .pReserved = reserved}};
	CK_RV rv = f->C_Initialize(&with);

	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED && reserved == NULL)
		rv = f->C_Initialize(NULL);
	return rv;
}

static void
initialise(struct kmn_vendor *v, const struct kmn_module *module)
{
	const char *init_args = module->init_args;

	if (init_args != NULL && init_args[0] != '\0' && (v->reserved = strdup(init_args)) == NULL) {
		why(v, "out of memory");
		v->ready = false;
		return;
	}
	for (unsigned i = 0; i < TRIES; i++) {
		pause_ms(i * PAUSE_MS);
		v->rv = initialise_once(&v->newest.v2_40, v->reserved, module->serial);
		if (v->rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) /* a library under it did: the process is ours alone */
			v->rv = CKR_OK;
		if (v->rv == CKR_OK || v->rv == CKR_ARGUMENTS_BAD)
			break;
	}
	if (v->rv == CKR_OK)
		return;
	v->ready = false;
	snprintf(v->description, sizeof(v->description), "C_Initialize failed");
}

void
kmn_vendor_open(const struct kmn_module *module, struct kmn_vendor *v)
{
	CK_INFO info;

	memset(v, 0, sizeof(*v));
	memset(&info, 0, sizeof(info));
	load(module->path, v);
	if (v->ready)
		initialise(v, module);
	if (!v->ready || v->newest.v2_40.C_GetInfo == NULL || v->newest.v2_40.C_GetInfo(&info) != CKR_OK)
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
	if (v->ready && v->newest.v2_40.C_Finalize != NULL)
		(void)v->newest.v2_40.C_Finalize(NULL);
	v->ready = false;
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
	kmn_writer_u8(w, (uint8_t)v->lists);
	for (size_t i = 0; i < v->lists; i++) {
		kmn_writer_u16(w, v->list[i].version);
		kmn_writer_u64(w, v->list[i].flags);
	}
}
