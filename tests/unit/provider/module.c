#include "config.h"

#include "tests/unit/provider/module.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/run.h"

CK_FUNCTION_LIST *p11;
static void *handle;

bool
module_load(void)
{
	const char *path = getenv("KMN_TEST_MODULE");
	CK_RV (*get)(CK_FUNCTION_LIST **);

	if ((handle = dlopen(path != NULL ? path : "./.libs/kanmon-pkcs11.so", RTLD_NOW | RTLD_LOCAL)) == NULL) {
		(void)fprintf(stderr, "%s\n", dlerror());
		return false;
	}
	*(void **)&get = dlsym(handle, "C_GetFunctionList");
	return get != NULL && get(&p11) == CKR_OK && p11 != NULL;
}

void *
module_symbol(const char *name)
{
	return dlsym(handle, name);
}

void
module_unload(void)
{
	if (handle != NULL)
		CU_ASSERT_EQUAL(dlclose(handle), 0);
	handle = NULL;
	p11 = NULL;
}

CK_RV
module_init(void)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	return p11->C_Initialize(&args);
}

struct gateway *
begin(const char *more)
{
	struct gateway *g = gateway_new();

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure(g, more));
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL_FATAL(module_init(), CKR_OK);
	return g;
}

void
end_module(void)
{
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	module_unload();
}

void
end(struct gateway *g)
{
	end_module();
	CU_ASSERT_EQUAL(atomic_load(&g->wrong), 0);
	gateway_free(g);
}

CK_RV
plain_call(CK_SESSION_HANDLE session, CK_ULONG salt)
{
	return p11->C_DigestUpdate(session, (CK_BYTE *)&salt, sizeof(salt));
}

CK_RV
held_call(CK_SESSION_HANDLE session, CK_ULONG salt)
{
	return p11->C_SignUpdate(session, (CK_BYTE *)&salt, sizeof(salt));
}

uint64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

void
pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	(void)nanosleep(&t, NULL);
}
