/*
 * The interface "Vendor kanmon", version 1.0, of kanmon-pkcs11.so: what the
 * gateway's ledger says of the last call of a session. It comes from
 * C_GetInterface or C_GetInterfaceList like any other; include a pkcs11.h
 * before this file.
 *
 *   CK_VERSION version = {1, 0};
 *   CK_INTERFACE *interface;
 *   KMN_FUNCTION_LIST_1_0 *kanmon;
 *
 *   C_GetInterface((CK_UTF8CHAR *)KMN_INTERFACE_NAME, &version, &interface, 0);
 *   kanmon = interface->pFunctionList;
 *   kanmon->GetLastReceipt(session, NULL, &length);
 */
#ifndef KANMON_VENDOR_H
#define KANMON_VENDOR_H

#include <stdint.h>

#define KMN_INTERFACE_NAME "Vendor kanmon"

typedef struct KMN_FUNCTION_LIST_1_0 {
	CK_VERSION version; /* 1.0; later minor versions add members at the end */

	/*
	 * The proof that the session's last recorded call is in the ledger, as the text of c2sp.org/tlog-proof@v1 (no NUL
	 * at its end); `extra` is the base64 of the record's line. It was verified; with receipts=batch it is that of the
	 * last call whose receipt was.
	 *
	 * proof NULL: *proof_len becomes its length. Too little room: that too, and CKR_BUFFER_TOO_SMALL.
	 * CKR_OPERATION_NOT_INITIALIZED: the session made no recorded call yet, or receipts are off.
	 */
	CK_RV (*GetLastReceipt)(CK_SESSION_HANDLE session, CK_BYTE *proof, CK_ULONG *proof_len);

	/*
	 * The request that the session's last call was: the number that custodians and `kanmon audit request` know it
	 * by. Of a call that is or was held for approval also without a receipt: CKR_FUNCTION_CANCELED leaves it open.
	 * CKR_OPERATION_NOT_INITIALIZED: none yet.
	 */
	CK_RV (*GetLastRequest)(CK_SESSION_HANDLE session, uint64_t *request);
} KMN_FUNCTION_LIST_1_0;

#endif
