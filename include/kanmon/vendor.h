/*
 * The interface "Vendor kanmon", version 1.1, of kanmon-pkcs11.so: what the
 * gateway's ledger says of the last call of a session, and what its next
 * signature is over. It comes from
 * C_GetInterface or C_GetInterfaceList like any other; include a pkcs11.h
 * before this file.
 *
 *   CK_VERSION version = {1, 1}; // {1, 0} gives the same list
 *   CK_INTERFACE *interface;
 *   KMN_FUNCTION_LIST_1_1 *kanmon;
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

/* Lengths in bytes; NULL and 0: there is none. */
typedef struct KMN_ATTACHMENT {
	const CK_BYTE *data; /* whose hash is signed: a TBSCertificate, the SET of CMS attributes */
	CK_ULONG data_len;
	const CK_BYTE *econtent; /* what CMS attributes are over; of a time stamp, its TSTInfo */
	CK_ULONG econtent_len;
	const CK_UTF8CHAR *application; /* the application's id, at most 256 bytes */
	CK_ULONG application_len;
	const CK_BYTE *applicant_key; /* DER of its SubjectPublicKeyInfo, or the SHA-256 of it (32 bytes) */
	CK_ULONG applicant_key_len;
} KMN_ATTACHMENT;

/* Begins as KMN_FUNCTION_LIST_1_0. */
typedef struct KMN_FUNCTION_LIST_1_1 {
	CK_VERSION version; /* 1.1 */
	CK_RV (*GetLastReceipt)(CK_SESSION_HANDLE session, CK_BYTE *proof, CK_ULONG *proof_len);
	CK_RV (*GetLastRequest)(CK_SESSION_HANDLE session, uint64_t *request);

	/*
	 * What the next signature of this session is over, for a program that hashes before it calls: called between
	 * C_SignInit and C_Sign (or before both), in place of what was attached before. The gateway refuses the signature
	 * (CKR_FUNCTION_REJECTED) if it is over something else, or the certificate's key is not the applicant's.
	 * CKR_SESSION_HANDLE_INVALID: the gateway does not know the session. CKR_ARGUMENTS_BAD: too long, or an id that
	 * holds what no line may.
	 */
	CK_RV (*AttachNext)(CK_SESSION_HANDLE session, const KMN_ATTACHMENT *attachment);
} KMN_FUNCTION_LIST_1_1;

#endif
