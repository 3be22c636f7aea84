/*
 * Attributes of an object, read from a module that is not trusted: every
 * length is asked first, every buffer is larger than was said, and what comes
 * back is checked against what was asked.
 */
#ifndef KANMON_HSM_ATTRIBUTES_H
#define KANMON_HSM_ATTRIBUTES_H

#include "kanmon/err.h"

/* One attribute to read. The caller sets type, at and max. */
struct kmn_read {
	CK_ATTRIBUTE_TYPE type;
	void *at;
	size_t max; /* bytes; a longer value is taken for unknown */
	size_t len; /* bytes that came */
	bool known; /* the module gave a value (which may be empty) */
};

#define KMN_READ_MAX_ROWS 24

/*
 * Reads all rows in two calls of the module, or a few more where it stops at
 * the first attribute that it does not have. CKR_OK: the object is there, and
 * rows say for themselves whether they are known. Anything else is the
 * module's answer (or CKR_HOST_MEMORY) and no row is known.
 */
CK_RV kmn_attributes_read(
    CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct kmn_read *rows, size_t count);

/* A row that holds a CK_ULONG: its value, or CK_UNAVAILABLE_INFORMATION. */
CK_ULONG kmn_read_ulong(const struct kmn_read *row);

#endif
