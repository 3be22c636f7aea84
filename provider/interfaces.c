/* Interfaces (3.0): which function lists an application may have, and asking for one. */
#include "config.h"

#include "provider/provider.h"

#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static CK_UTF8CHAR name[] = "PKCS 11";
static CK_INTERFACE interfaces[] = {{name, &kmn_function_list, 0}};

EXPORT CK_RV
C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	CK_ULONG room;

	if (count == NULL)
		return CKR_ARGUMENTS_BAD;
	room = *count;
	*count = KMN_COUNT_OF(interfaces);
	if (list == NULL)
		return CKR_OK;
	if (room < KMN_COUNT_OF(interfaces))
		return CKR_BUFFER_TOO_SMALL;
	memcpy(list, interfaces, sizeof(interfaces));
	return CKR_OK;
}

/* Every list begins with its version. */
static bool
fits(const CK_INTERFACE *i, const CK_UTF8CHAR *wanted, const CK_VERSION *version, CK_FLAGS flags)
{
	CK_VERSION has;

	memcpy(&has, i->pFunctionList, sizeof(has));
	return (wanted == NULL || strcmp((const char *)wanted, (const char *)i->pInterfaceName) == 0) &&
	       (version == NULL || (version->major == has.major && version->minor == has.minor)) &&
	       (flags & ~i->flags) == 0;
}

EXPORT CK_RV
C_GetInterface(CK_UTF8CHAR_PTR wanted, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR found, CK_FLAGS flags)
{
	if (found == NULL)
		return CKR_ARGUMENTS_BAD;
	for (size_t i = 0; i < KMN_COUNT_OF(interfaces); i++) {
		if (!fits(&interfaces[i], wanted, version, flags))
			continue;
		*found = &interfaces[i];
		return CKR_OK;
	}
	return CKR_ARGUMENTS_BAD;
}

/* Nothing of ours is pending: sessions are not asynchronous. */
static CK_RV
nothing_pending(void)
{
	return CKR_FUNCTION_NOT_SUPPORTED;
}

EXPORT CK_RV
C_AsyncComplete(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ASYNC_DATA_PTR result)
{
	(void)session;
	(void)function;
	(void)result;
	return nothing_pending();
}

EXPORT CK_RV
C_AsyncGetID(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG_PTR id)
{
	(void)session;
	(void)function;
	(void)id;
	return nothing_pending();
}

EXPORT CK_RV
C_AsyncJoin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG id, CK_BYTE_PTR data, CK_ULONG len)
{
	(void)session;
	(void)function;
	(void)id;
	(void)data;
	(void)len;
	return nothing_pending();
}
