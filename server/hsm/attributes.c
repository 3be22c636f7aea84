#include "server/hsm/attributes.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SLACK_BYTES 4096u                  /* a module may write beyond what it said */
#define UNTOUCHED ((CK_ULONG)0x5a5a5a5aUL) /* a length that no module gives: the row was not looked at */

/* CK_RVs with which a module may still have filled rows (PKCS#11 2.40, C_GetAttributeValue). */
static bool
rows_count(CK_RV rv)
{
	return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
	       rv == CKR_BUFFER_TOO_SMALL;
}

/* Asks for lengths. A row that the module left untouched is asked for by itself. */
static CK_RV
probe(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t, size_t count)
{
	CK_RV rv;

	for (size_t i = 0; i < count; i++)
		t[i].ulValueLen = UNTOUCHED;
	rv = m->C_GetAttributeValue(session, object, t, (CK_ULONG)count);
	if (!rows_count(rv))
		return rv;
	for (size_t i = 0; rv != CKR_OK && i < count; i++) {
		if (t[i].ulValueLen != UNTOUCHED)
			continue;
		t[i].pValue = NULL;
		if (m->C_GetAttributeValue(session, object, &t[i], 1) != CKR_OK)
			t[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
	}
	return CKR_OK;
}

/* Reads the values whose lengths are known into one block, which has room after each. */
static CK_RV
fetch(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct kmn_read *rows,
    const CK_ATTRIBUTE *probed, size_t count)
{
	CK_ATTRIBUTE t[KMN_READ_MAX_ROWS];
	size_t row_of[KMN_READ_MAX_ROWS], wanted = 0, room = 0;
	uint8_t *block, *at;
	CK_RV rv;

	for (size_t i = 0; i < count; i++) {
		if (probed[i].ulValueLen > rows[i].max)
			continue;
		row_of[wanted] = i;
		t[wanted++] = (CK_ATTRIBUTE){.type = rows[i].type, .ulValueLen = probed[i].ulValueLen};
		room += probed[i].ulValueLen + SLACK_BYTES;
	}
	if (wanted == 0)
		return CKR_OK;
	if ((block = at = calloc(1, room)) == NULL)
		return CKR_HOST_MEMORY;
	for (size_t i = 0; i < wanted; at += t[i++].ulValueLen + SLACK_BYTES)
		t[i].pValue = at;
	rv = m->C_GetAttributeValue(session, object, t, (CK_ULONG)wanted);
	at = block;
	for (size_t i = 0; rows_count(rv) && i < wanted; i++) {
		struct kmn_read *row = &rows[row_of[i]];

		/* The pointer and the length are the module's word now: only ours count. */
		if (t[i].ulValueLen <= probed[row_of[i]].ulValueLen) {
			row->known = true;
			row->len = t[i].ulValueLen;
			memcpy(row->at, at, row->len);
		}
		at += probed[row_of[i]].ulValueLen + SLACK_BYTES;
	}
	sodium_memzero(block, room);
	free(block);
	return rows_count(rv) ? CKR_OK : rv;
}

CK_RV
kmn_attributes_read(
    CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct kmn_read *rows, size_t count)
{
	CK_ATTRIBUTE t[KMN_READ_MAX_ROWS] = {0};
	CK_RV rv;

	if (count > KMN_READ_MAX_ROWS)
		KMN_BUG("too many attributes to read");
	for (size_t i = 0; i < count; i++) {
		rows[i].len = 0;
		rows[i].known = false;
		t[i].type = rows[i].type;
	}
	rv = probe(m, session, object, t, count);
	return rv == CKR_OK ? fetch(m, session, object, rows, t, count) : rv;
}

CK_ULONG
kmn_read_ulong(const struct kmn_read *row)
{
	CK_ULONG value = CK_UNAVAILABLE_INFORMATION;

	if (row->known && row->len == sizeof(value))
		memcpy(&value, row->at, sizeof(value));
	return value;
}
