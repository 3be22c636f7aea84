/*
 * The functions of each class of a policy's `calls` line (docs/policy.md), as the gateway's table of calls has them; a
 * test compares both.
 */
export const CLASSES = {
	'session': `C_OpenSession C_CloseSession C_CloseAllSessions C_SessionCancel`,
	'login': `C_Login C_Logout C_LoginUser`,
	'query': `C_GetInfo C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo
C_GetSessionInfo C_GetObjectSize C_GetAttributeValue C_FindObjectsInit C_FindObjects
C_FindObjectsFinal C_DigestInit C_Digest C_DigestUpdate C_DigestFinal C_VerifyInit C_Verify
C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_GetFunctionStatus
C_CancelFunction C_WaitForSlotEvent C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin
C_VerifyMessageNext C_MessageVerifyFinal C_VerifySignatureInit C_VerifySignature
C_VerifySignatureUpdate C_VerifySignatureFinal C_GetSessionValidationFlags`,
	'key-use': `C_GetOperationState C_SetOperationState C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal
C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestKey C_SignInit C_Sign C_SignUpdate
C_SignFinal C_SignRecoverInit C_SignRecover C_DigestEncryptUpdate C_DecryptDigestUpdate
C_SignEncryptUpdate C_DecryptVerifyUpdate C_MessageEncryptInit C_EncryptMessage
C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal C_MessageDecryptInit
C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal C_MessageSignInit
C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal`,
	'key-management': `C_CreateObject C_CopyObject C_DestroyObject C_SetAttributeValue C_GenerateKey C_GenerateKeyPair
C_WrapKey C_UnwrapKey C_DeriveKey C_EncapsulateKey C_DecapsulateKey C_WrapKeyAuthenticated
C_UnwrapKeyAuthenticated`,
	'token-management': `C_InitToken C_InitPIN C_SetPIN`,
	'random': `C_SeedRandom C_GenerateRandom`,
};

/* Those that begin an operation whose data comes later: which rule will decide is not certain yet. */
export const STARTS = new Set(`C_EncryptInit C_DecryptInit C_SignInit C_SignRecoverInit C_MessageEncryptInit C_MessageDecryptInit
C_MessageSignInit`.split(/\s+/));

const classes = new Map(Object.entries(CLASSES).flatMap(([name, calls]) => calls.split(/\s+/).map((call) => [call, name])));

/** The class of a function; undefined: it is none that crosses the channel. */
export const classOf = (call) => classes.get(call);

/** Whether calls of a class use or change keys, so that a record comes before they run (class A, docs/architecture.md). */
export const isDurable = (name) => ['key-use', 'key-management', 'token-management'].includes(name);
