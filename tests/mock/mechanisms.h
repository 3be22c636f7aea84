/*
 * Mechanisms of the module for tests that no standard has, and their
 * parameters: a structure with a pointer, a handle and a late result, and flat
 * bytes.
 */
#ifndef KANMON_TESTS_MOCK_MECHANISMS_H
#define KANMON_TESTS_MOCK_MECHANISMS_H

#include "kanmon/pkcs11.h"

#define CKM_MOCK_SIGN (CKM_VENDOR_DEFINED | 0x4b4d0001UL) /* secret key; struct mock_sign_params */
#define CKM_MOCK_FLAT (CKM_VENDOR_DEFINED | 0x4b4d0002UL) /* secret key; any bytes, that the tag depends on */

struct mock_sign_params {
	CK_ULONG ulMode;
	CK_BYTE_PTR pContext; /* in: the tag depends on it */
	CK_ULONG ulContextLen;
	CK_OBJECT_HANDLE hOther; /* 0, or a key that the tag depends on */
	CK_BYTE_PTR pNonce;      /* out, written by C_Sign and C_SignFinal: the mode in each byte */
	CK_ULONG ulNonceLen;
};

/* Attributes of no standard: bytes, and a template. */
#define CKA_MOCK_BYTES (CKA_VENDOR_DEFINED | 0x4b4d0001UL)

#endif
