/* Functions of 2.40 that do not cross the channel by themselves. */
#include "config.h"

#include "provider/provider.h"

#include <ctype.h>
#include <string.h>

#include "provider/application.h"
#include "provider/host.h"

#define EXPORT __attribute__((visibility("default")))

/*
 * pReserved is NULL or a profile string. A caller that means something else by
 * it gave bytes that are no such text; kmn_client_settings_load() judges the rest.
 */
static bool
is_profile(const char *reserved)
{
	for (size_t i = 0; i < KMN_CLIENT_PROFILE_MAX_BYTES; i++) {
		if (reserved[i] == '\0')
			return true;
		if (!isprint((unsigned char)reserved[i]) && !isspace((unsigned char)reserved[i]))
			return false;
	}
	return false;
}

/* The rules on mutexes: we use the system's own, and say so to who insists on others. */
static CK_RV
check_arguments(const CK_C_INITIALIZE_ARGS *args)
{
	int given = (args->CreateMutex != NULL) + (args->DestroyMutex != NULL) + (args->LockMutex != NULL) +
		    (args->UnlockMutex != NULL);

	if (given != 0 && given != 4)
		return CKR_ARGUMENTS_BAD;
	if (args->pReserved != NULL && !is_profile(args->pReserved))
		return CKR_ARGUMENTS_BAD;
	if (given == 4 && (args->flags & CKF_OS_LOCKING_OK) == 0)
		return CKR_CANT_LOCK;
	return CKR_OK;
}

EXPORT CK_RV
C_Initialize(void *init_args)
{
	const CK_C_INITIALIZE_ARGS *args = init_args;
	CK_RV rv = args != NULL ? check_arguments(args) : CKR_OK;
	struct kmn_host_errors errors;

	if (rv != CKR_OK)
		return rv;
	kmn_host_errors_take(&errors);
	rv = kmn_application_start(args != NULL ? args->pReserved : NULL);
	kmn_host_errors_return(&errors);
	return rv;
}

EXPORT CK_RV
C_Finalize(void *reserved)
{
	struct kmn_host_errors errors;
	CK_RV rv;

	if (reserved != NULL)
		return CKR_ARGUMENTS_BAD;
	kmn_host_errors_take(&errors);
	rv = kmn_application_finish();
	kmn_host_errors_return(&errors);
	return rv;
}

EXPORT CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
	if (list == NULL)
		return CKR_ARGUMENTS_BAD;
	*list = &kmn_function_list;
	return CKR_OK;
}
