/*
 * What the caller sees when a call does not get the module's own answer:
 * section 4 of the brief on remoting, one row an event, one column for the
 * functions that are told otherwise than most. docs/calls.md has the same.
 */
#ifndef KANMON_PROVIDER_FATE_H
#define KANMON_PROVIDER_FATE_H

#include "kanmon/calls.h"
#include "kanmon/client_settings.h"

/*
 * symbol, collapses to CKR_DEVICE_ERROR where errors=device: starred or plain,
 * most functions, those of a session, C_Login and C_LoginUser, C_OpenSession,
 * C_CloseSession and C_CloseAllSessions, in words */
/* clang-format off */
#define KMN_FATE_ROWS(ROW) \
	ROW(KMN_FATE_REJECTED, STARRED, \
	    CKR_FUNCTION_REJECTED, CKR_FUNCTION_REJECTED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_REJECTED, \
	    CKR_FUNCTION_REJECTED, "policy or custodians refuse it") \
	ROW(KMN_FATE_UNANSWERED, STARRED, \
	    CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, \
	    CKR_FUNCTION_CANCELED, "the wait is over, or the request expired or was withdrawn") \
	ROW(KMN_FATE_ABSENT, PLAIN, \
	    CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, \
	    CKR_DEVICE_ERROR, "never sent: no gateway for longer than the lease") \
	ROW(KMN_FATE_UNDECIDED, PLAIN, \
	    CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, \
	    CKR_DEVICE_ERROR, "sent, and its outcome cannot be had: the ledger has it") \
	ROW(KMN_FATE_BROKEN, PLAIN, \
	    CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, \
	    CKR_OK, "the instance was lost while it was under way") \
	ROW(KMN_FATE_STALE, PLAIN, \
	    CKR_DEVICE_ERROR, CKR_SESSION_HANDLE_INVALID, CKR_SESSION_HANDLE_INVALID, CKR_DEVICE_ERROR, \
	    CKR_OK, "the instance that its session was of is lost") \
	ROW(KMN_FATE_FINISHED, PLAIN, \
	    CKR_CRYPTOKI_NOT_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, \
	    CKR_CRYPTOKI_NOT_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, "never sent, or waited for an event: C_Finalize")
/* clang-format on */

#define KMN_FATE_ENUM(symbol, ...) symbol,
enum kmn_fate { KMN_FATE_ROWS(KMN_FATE_ENUM) KMN_FATE_COUNT };
#undef KMN_FATE_ENUM

CK_RV kmn_fate_rv(enum kmn_fate fate, enum kmn_call_id id, enum kmn_client_errors errors);
/* For people; static. */
const char *kmn_fate_text(enum kmn_fate fate);

#endif
