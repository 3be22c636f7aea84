#include "config.h"

#include "server/hsm/guard.h"

#include <string.h>

#include "server/hsm/facts.h"

/* Nobody logs in: a public session may read, make and change public objects of the token. */
static CK_RV
open_session(CK_FUNCTION_LIST *m, const char *token, CK_SESSION_HANDLE *session_out)
{
	CK_SLOT_ID slot;
	CK_RV rv = kmn_facts_find_token(m, token, &slot);

	return rv != CKR_OK ? rv : m->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session_out);
}

/* CK_INVALID_HANDLE: there is none. */
static CK_RV
find(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, const char *label, CK_OBJECT_HANDLE *object_out)
{
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, sizeof(yes)},
	    {CKA_LABEL, (void *)(uintptr_t)label, (CK_ULONG)strlen(label)}};
	CK_OBJECT_HANDLE found[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
	CK_ULONG n = 0;
	CK_RV rv = m->C_FindObjectsInit(session, t, KMN_COUNT_OF(t));

	*object_out = CK_INVALID_HANDLE;
	if (rv != CKR_OK)
		return rv;
	rv = m->C_FindObjects(session, found, 1, &n);
	(void)m->C_FindObjectsFinal(session);
	if (rv == CKR_OK && n > 0)
		*object_out = found[0];
	return rv;
}

static CK_RV
read_value(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, uint8_t *value, size_t *len_out)
{
	CK_ATTRIBUTE t = {CKA_VALUE, value, KMN_GUARD_VALUE_MAX_BYTES};
	CK_RV rv = m->C_GetAttributeValue(session, object, &t, 1);

	*len_out = 0;
	if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && t.ulValueLen > KMN_GUARD_VALUE_MAX_BYTES))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (rv == CKR_OK)
		*len_out = (size_t)t.ulValueLen;
	return rv;
}

static CK_RV
make(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, const struct kmn_guard_object *o)
{
	static const char application[] = "kanmon";
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, sizeof(yes)},
	    {CKA_PRIVATE, &no, sizeof(no)}, {CKA_MODIFIABLE, &yes, sizeof(yes)},
	    {CKA_APPLICATION, (void *)(uintptr_t)application, sizeof(application) - 1},
	    {CKA_LABEL, (void *)(uintptr_t)o->label, (CK_ULONG)strlen(o->label)},
	    {CKA_VALUE, (void *)(uintptr_t)o->next, (CK_ULONG)o->next_len}};
	CK_OBJECT_HANDLE made;

	return m->C_CreateObject(session, t, KMN_COUNT_OF(t), &made);
}

static CK_RV
change(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, const struct kmn_guard_object *o)
{
	CK_ATTRIBUTE t = {CKA_VALUE, (void *)(uintptr_t)o->next, (CK_ULONG)o->next_len};

	return object == CK_INVALID_HANDLE ? make(m, session, o) : m->C_SetAttributeValue(session, object, &t, 1);
}

/* Looks, compares, changes, and looks again: what it says is what the token says. */
static CK_RV
look_and_swap(
    CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, const struct kmn_guard_object *o, uint8_t *value, size_t *len_out)
{
	CK_OBJECT_HANDLE object;
	CK_RV rv = find(m, session, o->label, &object);

	if (rv == CKR_OK && object != CK_INVALID_HANDLE)
		rv = read_value(m, session, object, value, len_out);
	if (rv != CKR_OK || !o->swap || *len_out != o->expected_len ||
	    (*len_out > 0 && memcmp(value, o->expected, *len_out) != 0))
		return rv;
	if ((rv = change(m, session, object, o)) == CKR_OK && (rv = find(m, session, o->label, &object)) == CKR_OK)
		rv = object == CK_INVALID_HANDLE ? CKR_DEVICE_ERROR : read_value(m, session, object, value, len_out);
	return rv;
}

CK_RV
kmn_guard_object(CK_FUNCTION_LIST *m, const struct kmn_guard_object *object, uint8_t *value_out, size_t *len_out)
{
	CK_SESSION_HANDLE session;
	CK_RV rv = open_session(m, object->token, &session);

	*len_out = 0;
	if (rv != CKR_OK)
		return rv;
	rv = look_and_swap(m, session, object, value_out, len_out);
	(void)m->C_CloseSession(session);
	return rv;
}
