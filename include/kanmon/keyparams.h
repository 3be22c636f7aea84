/*
 * Sizes and curves of the keys that an operator's instruction can ask for (docs/statements.md 8, `parameters`): what the
 * gateway makes them by, and what it and the auditor hold the call against.
 */
#ifndef KANMON_KEYPARAMS_H
#define KANMON_KEYPARAMS_H

/*	kind     mechanism                        parameters  CKA_MODULUS_BITS  CKA_EC_PARAMS, DER */
/* clang-format off */
#define KMN_KEY_PARAMETERS(ROW) \
	ROW(RSA,     "CKM_RSA_PKCS_KEY_PAIR_GEN",   "2048",     2048,             "") \
	ROW(RSA,     "CKM_RSA_PKCS_KEY_PAIR_GEN",   "3072",     3072,             "") \
	ROW(RSA,     "CKM_RSA_PKCS_KEY_PAIR_GEN",   "4096",     4096,             "") \
	ROW(EC,      "CKM_EC_KEY_PAIR_GEN",         "P-256",    0,                "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07") \
	ROW(EC,      "CKM_EC_KEY_PAIR_GEN",         "P-384",    0,                "\x06\x05\x2b\x81\x04\x00\x22") \
	ROW(EC,      "CKM_EC_KEY_PAIR_GEN",         "P-521",    0,                "\x06\x05\x2b\x81\x04\x00\x23") \
	ROW(EDWARDS, "CKM_EC_EDWARDS_KEY_PAIR_GEN", "Ed25519",  0,                "\x13\x0c" "edwards25519")
/* clang-format on */

#endif
