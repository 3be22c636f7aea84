/*
 * One table of failures: what the code says, what people read, and what a
 * PKCS#11 caller sees (docs/channel.md, "Return values").
 */
#ifndef KANMON_ERR_H
#define KANMON_ERR_H

#include <p11-kit/pkcs11.h>

#include "kanmon/base.h"

/*   code                  text for people                                     what a PKCS#11 caller sees  */
#define KMN_ERR_ROWS(ROW) \
	ROW(KMN_OK, "success", CKR_OK) \
	ROW(KMN_E_TRUNCATED, "message ends early", CKR_DEVICE_ERROR) \
	ROW(KMN_E_TRAILING, "message has bytes left over", CKR_DEVICE_ERROR) \
	ROW(KMN_E_TOO_BIG, "length is over its limit", CKR_DEVICE_ERROR) \
	ROW(KMN_E_MALFORMED, "message is not in the form of its kind", CKR_DEVICE_ERROR) \
	ROW(KMN_E_NO_MEMORY, "out of memory", CKR_HOST_MEMORY) \
	ROW(KMN_E_ARGUMENTS, "an argument cannot be right", CKR_ARGUMENTS_BAD) \
	ROW(KMN_E_MECHANISM_PARAM, "mechanism parameter has no known layout", CKR_MECHANISM_PARAM_INVALID) \
	ROW(KMN_E_CONFIG, "configuration is missing or wrong", CKR_FUNCTION_FAILED) \
	ROW(KMN_E_UNREACHABLE, "the gateway does not answer", CKR_DEVICE_ERROR) \
	ROW(KMN_E_TLS, "the secure channel failed", CKR_DEVICE_ERROR) \
	ROW(KMN_E_PEER, "one end does not accept the other", CKR_DEVICE_ERROR) \
	ROW(KMN_E_CLOSED, "the connection is closed", CKR_DEVICE_ERROR) \
	ROW(KMN_E_TIMEOUT, "time is over", CKR_FUNCTION_CANCELED) \
	ROW(KMN_E_REPLAY, "a request number was used before or is behind the window", CKR_DEVICE_ERROR) \
	ROW(KMN_E_INSTANCE, "the gateway does not know this application any more", CKR_SESSION_HANDLE_INVALID) \
	ROW(KMN_E_UNDECIDED, "the outcome of the call is unknown", CKR_DEVICE_ERROR) \
	ROW(KMN_E_DENIED, "policy refuses the call", CKR_FUNCTION_REJECTED) \
	ROW(KMN_E_REJECTED, "custodians rejected the request", CKR_FUNCTION_REJECTED) \
	ROW(KMN_E_EXPIRED, "the request expired", CKR_FUNCTION_CANCELED) \
	ROW(KMN_E_WITHDRAWN, "the request was withdrawn", CKR_FUNCTION_CANCELED) \
	ROW(KMN_E_CANCELED, "the wait was ended", CKR_FUNCTION_CANCELED) \
	ROW(KMN_E_LEDGER, "the ledger cannot be written", CKR_DEVICE_ERROR) \
	ROW(KMN_E_CORRUPT, "stored bytes are not what they must be", CKR_DEVICE_ERROR) \
	ROW(KMN_E_SIGNATURE, "a signature does not verify", CKR_DEVICE_ERROR) \
	ROW(KMN_E_WORKER, "the process that holds the HSM module died", CKR_DEVICE_ERROR) \
	ROW(KMN_E_MODULE, "the HSM module refused", CKR_DEVICE_ERROR) \
	ROW(KMN_E_NOT_FOUND, "there is no such thing", CKR_DEVICE_ERROR) \
	ROW(KMN_E_EXISTS, "it is there already", CKR_DEVICE_ERROR) \
	ROW(KMN_E_PASSPHRASE, "the passphrase does not open the key", CKR_DEVICE_ERROR) \
	ROW(KMN_E_IO, "reading or writing failed", CKR_DEVICE_ERROR) \
	ROW(KMN_E_BUSY, "another process holds the lock", CKR_DEVICE_ERROR) \
	ROW(KMN_E_INTERNAL, "an invariant is broken", CKR_GENERAL_ERROR) \
	ROW(KMN_E_AGAIN, "nothing yet, ask again", CKR_GENERAL_ERROR) \
	ROW(KMN_E_LIMIT, "more than one call can carry", CKR_DATA_LEN_RANGE) \
	ROW(KMN_E_MECHANISM, "policy admits no use of the mechanism", CKR_MECHANISM_INVALID) \
	ROW(KMN_E_HIDDEN, "policy hides the object", CKR_OBJECT_HANDLE_INVALID) \
	ROW(KMN_E_TOO_MANY, "too many requests wait", CKR_DEVICE_ERROR) \
	ROW(KMN_E_STALE, "time stamps, witnesses or the clock lag behind what policy asks for, or an anomaly closed the token", CKR_DEVICE_ERROR) \
	ROW(KMN_E_SPACE, "the ledger's disk is nearly full", CKR_DEVICE_ERROR) \
	ROW(KMN_E_ROLLBACK, "a guard holds a later head than this ledger, or another one", CKR_DEVICE_ERROR) \
	ROW(KMN_E_GUARD, "a guard of the ledger cannot be written", CKR_DEVICE_ERROR) \
	ROW(KMN_E_RECEIPT, "the ledger does not prove what it must", CKR_DEVICE_ERROR)

#define KMN_ERR_NAME(code, text, ckr) code,
typedef enum { KMN_ERR_ROWS(KMN_ERR_NAME) KMN_ERR_COUNT } kmn_err;
#undef KMN_ERR_NAME

/* The text of an error for people; never NULL, static. */
const char *kmn_err_text(kmn_err e);

/* The name of an error, as in the table ("KMN_E_DENIED"); never NULL, static. */
const char *kmn_err_name(kmn_err e);

/* What a PKCS#11 caller sees of an error. */
CK_RV kmn_err_ckr(kmn_err e);

#endif
