/* The public data object that holds the ledger's last head (KMN_W_GUARD). */
#ifndef KANMON_HSM_GUARD_H
#define KANMON_HSM_GUARD_H

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

#define KMN_GUARD_VALUE_MAX_BYTES 4096u

struct kmn_guard_object {
	const char *token, *label;
	bool swap;
	const uint8_t *expected, *next; /* values; none: length 0 */
	size_t expected_len, next_len;
};

/*
 * The value of the token's public CKO_DATA object with that label, for which nobody logs in. With `swap` it becomes
 * `next` if it is `expected`, and is made if there is none and none is expected. value_out (KMN_GUARD_VALUE_MAX_BYTES of room)
 * is what stands there now. CKR_TOKEN_NOT_PRESENT; CKR_ATTRIBUTE_VALUE_INVALID: longer than a guard can be.
 */
CK_RV kmn_guard_object(
    CK_FUNCTION_LIST *module, const struct kmn_guard_object *object, uint8_t *value_out, size_t *len_out);

#endif
