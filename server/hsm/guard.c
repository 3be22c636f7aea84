#include "config.h"

#include "server/hsm/guard.h"

#include <string.h>

#include "server/hsm/facts.h"

#define OBJECTS_MAX 4u

/* Nobody logs in: a public session may read, make and change public objects of the token. */
static CK_RV
open_session(CK_FUNCTION_LIST *m, const char *token, CK_SESSION_HANDLE *session_out)
{
	CK_SLOT_ID slot;
	CK_RV rv = kmn_facts_find_token(m, token, &slot);

	return rv != CKR_OK ? rv : m->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session_out);
}

/* The objects with that label; more than one only after a crash in the middle of a change. */
static CK_RV
find(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, const char *label, CK_OBJECT_HANDLE found[OBJECTS_MAX],
    CK_ULONG *count_out)
{
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, sizeof(yes)},
	    {CKA_LABEL, (void *)(uintptr_t)label, (CK_ULONG)strlen(label)}};
	CK_OBJECT_HANDLE batch[2 * OBJECTS_MAX]; /* twice what is asked for, for modules that write too much */
	CK_RV rv = m->C_FindObjectsInit(session, t, KMN_COUNT_OF(t));

	*count_out = 0;
	if (rv != CKR_OK)
		return rv;
	rv = m->C_FindObjects(session, batch, OBJECTS_MAX, count_out);
	(void)m->C_FindObjectsFinal(session);
	if (rv != CKR_OK || *count_out > OBJECTS_MAX)
		*count_out = 0;
	memcpy(found, batch, *count_out * sizeof(*found));
	return rv;
}

static CK_RV
read_one(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, uint8_t *value, size_t *len_out)
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

/* The number in the second line of a checkpoint: which of two is the newer one. The keeper verifies what it is told. */
static uint64_t
size_in(const uint8_t *value, size_t len)
{
	const uint8_t *at = memchr(value, '\n', len);
	uint64_t size = 0;

	for (at = at != NULL ? at + 1 : value + len; at < value + len && *at >= '0' && *at <= '9'; at++)
		size = size * 10 + (uint64_t)(*at - '0');
	return size;
}

/* The value that counts: none has length 0. */
static CK_RV
read_value(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, const CK_OBJECT_HANDLE *found, CK_ULONG count,
    uint8_t *value, size_t *len_out)
{
	uint8_t one[KMN_GUARD_VALUE_MAX_BYTES];
	CK_RV rv = CKR_OK;
	size_t len;

	*len_out = 0;
	for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
		if ((rv = read_one(m, session, found[i], one, &len)) != CKR_OK ||
		    (*len_out > 0 && size_in(one, len) <= size_in(value, *len_out)))
			continue;
		memcpy(value, one, len);
		*len_out = len;
	}
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

/* Changed where the token lets it be; else made anew, and the old one goes when the new one is there. */
static CK_RV
change(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, const CK_OBJECT_HANDLE *found, CK_ULONG count,
    const struct kmn_guard_object *o)
{
	CK_ATTRIBUTE t = {CKA_VALUE, (void *)(uintptr_t)o->next, (CK_ULONG)o->next_len};
	CK_RV rv = count == 1 ? m->C_SetAttributeValue(session, found[0], &t, 1) : CKR_ATTRIBUTE_READ_ONLY;

	if (rv == CKR_OK || (rv = make(m, session, o)) != CKR_OK)
		return rv;
	for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
		rv = m->C_DestroyObject(session, found[i]);
	return rv;
}

/* Looks, compares, changes, and looks again: what it says is what the token says. */
static CK_RV
look_and_swap(
    CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, const struct kmn_guard_object *o, uint8_t *value, size_t *len_out)
{
	CK_OBJECT_HANDLE found[OBJECTS_MAX];
	CK_ULONG count;
	CK_RV rv = find(m, session, o->label, found, &count);

	if (rv == CKR_OK)
		rv = read_value(m, session, found, count, value, len_out);
	if (rv != CKR_OK || !o->swap || *len_out != o->expected_len ||
	    (*len_out > 0 && memcmp(value, o->expected, *len_out) != 0))
		return rv;
	if ((rv = change(m, session, found, count, o)) == CKR_OK &&
	    (rv = find(m, session, o->label, found, &count)) == CKR_OK)
		rv = read_value(m, session, found, count, value, len_out);
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
