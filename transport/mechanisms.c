/*
 * Mechanisms and their parameters as data. A layout says where the fields of
 * a C structure are and how they cross: from these rows the provider reads the
 * caller's structure, the worker builds the module's, and the ledger shows
 * what it may. A mechanism without a row crosses if it has no parameter.
 */
#include "kanmon/params.h"

#include <string.h>

#include "kanmon/calls.h"
#include "kanmon/types.h"

/* clang-format off */

/* Fields of structure T, which each block below defines. `shown` is a string, or NULL for what the ledger redacts. */
#define AT(member) .name = #member, .at = offsetof(T, member)
#define LENGTH_AT(member) .len_at = offsetof(T, member), .len_name = #member
#define ULONG(member, label) {AT(member), .kind = KMN_FIELD_ULONG, .shown = (label)}
#define MECH(member, label) {AT(member), .kind = KMN_FIELD_MECH, .shown = (label)}
#define MGF(member, label) {AT(member), .kind = KMN_FIELD_MGF, .shown = (label)}
#define HANDLE(member) {AT(member), .kind = KMN_FIELD_HANDLE, .shown = #member}
#define BYTE(member, label) {AT(member), .kind = KMN_FIELD_BYTE, .shown = (label)}
#define INLINE(member, label) \
	{AT(member), .kind = KMN_FIELD_INLINE, .size = sizeof(((T *)0)->member), .shown = (label)}
#define BYTES(member, length, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .unit = KMN_UNIT_OWN, LENGTH_AT(length), .shown = (label)}
#define BYTES_INOUT(member, length, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_INOUT, .unit = KMN_UNIT_OWN, LENGTH_AT(length), \
	 .shown = (label)}
#define NONCE(member, length, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .unit = KMN_UNIT_OWN, LENGTH_AT(length), .guarded = true, \
	 .shown = (label)}
#define NONCE_INOUT(member, length, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_INOUT, .unit = KMN_UNIT_OWN, LENGTH_AT(length), \
	 .guarded = true, .shown = (label)}
#define BYTES_OF(member, field, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .unit = KMN_UNIT_FIELD, .len_at = offsetof(T, field), .shown = (label)}
#define BYTES_BEHIND(member, pointer) \
	{AT(member), .kind = KMN_FIELD_BYTES, .unit = KMN_UNIT_OWN_PTR, LENGTH_AT(pointer)}
#define OUT_BEHIND(member, pointer) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_OUT, .unit = KMN_UNIT_OWN_PTR, LENGTH_AT(pointer)}
#define OUT_BITS(member, outer, field) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_OUT, .unit = KMN_UNIT_BITS_OUT, \
	 .len_at = offsetof(outer, field), .len_name = #field}
#define OUT_FIXED(member, bytes) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_OUT, .unit = KMN_UNIT_FIXED, .size = (bytes)}
#define INOUT_FIXED(member, bytes, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_INOUT, .unit = KMN_UNIT_FIXED, .size = (bytes), \
	 .shown = (label)}
#define TEXT(member, label) {AT(member), .kind = KMN_FIELD_TEXT, .shown = (label)}
#define STRUCT(member, layout) {AT(member), .kind = KMN_FIELD_STRUCT, .inner = &layouts[LAYOUT_##layout]}
#define POINTER(member, layout) {AT(member), .kind = KMN_FIELD_POINTER, .inner = &layouts[LAYOUT_##layout]}
#define NONCE_BITS(member, field, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .unit = KMN_UNIT_BITS, .len_at = offsetof(T, field), .guarded = true, \
	 .shown = (label)}
#define TAG_BITS(member, field, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_INOUT, .unit = KMN_UNIT_BITS, .len_at = offsetof(T, field), \
	 .guarded = true, .shown = (label)}
#define TAG(member, field, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .way = KMN_WAY_INOUT, .unit = KMN_UNIT_FIELD, .len_at = offsetof(T, field), \
	 .guarded = true, .shown = (label)}
#define IN_FIXED(member, bytes, label) \
	{AT(member), .kind = KMN_FIELD_BYTES, .unit = KMN_UNIT_FIXED, .size = (bytes), .shown = (label)}
#define ARRAY(member, count, layout, label) \
	{AT(member), .kind = KMN_FIELD_ARRAY, LENGTH_AT(count), .inner = &layouts[LAYOUT_##layout], \
	 .shown = (label)}
#define TEMPLATE(member, count, label) \
	{AT(member), .kind = KMN_FIELD_TEMPLATE, LENGTH_AT(count), .shown = (label)}
#define CHOICE(member, length, by, rows, label) \
	{AT(member), .kind = KMN_FIELD_CHOICE, LENGTH_AT(length), .by_at = offsetof(T, by), .choices = (rows), \
	 .choice_count = KMN_COUNT_OF(rows), .shown = (label)}
#define NEW_OBJECT_AT(member) {AT(member), .kind = KMN_FIELD_NEW_OBJECT_AT, .way = KMN_WAY_OUT}
#define MECHANISM(member, label) {AT(member), .kind = KMN_FIELD_MECHANISM, .shown = (label)}
#define NEW_OBJECT(member) {AT(member), .kind = KMN_FIELD_NEW_OBJECT, .way = KMN_WAY_OUT}

/* The number of a layout is its number on the wire: new ones go to the end. ROW(name, C type) */
#define LAYOUT_ROWS(ROW) \
	ROW(CK_MAC_GENERAL_PARAMS, kmn_ulong_params) \
	ROW(CK_EXTRACT_PARAMS, kmn_ulong_params) \
	ROW(CK_RC2_PARAMS, kmn_ulong_params) \
	ROW(CK_OBJECT_HANDLE, kmn_handle_params) \
	ROW(CK_RSA_PKCS_PSS_PARAMS, CK_RSA_PKCS_PSS_PARAMS) \
	ROW(CK_RSA_PKCS_OAEP_PARAMS, CK_RSA_PKCS_OAEP_PARAMS) \
	ROW(CK_AES_CTR_PARAMS, CK_AES_CTR_PARAMS) \
	ROW(CK_GCM_PARAMS, CK_GCM_PARAMS) \
	ROW(CK_CCM_PARAMS, CK_CCM_PARAMS) \
	ROW(CK_RC2_CBC_PARAMS, CK_RC2_CBC_PARAMS) \
	ROW(CK_RC2_MAC_GENERAL_PARAMS, CK_RC2_MAC_GENERAL_PARAMS) \
	ROW(CK_RC5_PARAMS, CK_RC5_PARAMS) \
	ROW(CK_RC5_CBC_PARAMS, CK_RC5_CBC_PARAMS) \
	ROW(CK_RC5_MAC_GENERAL_PARAMS, CK_RC5_MAC_GENERAL_PARAMS) \
	ROW(CK_DES_CBC_ENCRYPT_DATA_PARAMS, CK_DES_CBC_ENCRYPT_DATA_PARAMS) \
	ROW(CK_AES_CBC_ENCRYPT_DATA_PARAMS, CK_AES_CBC_ENCRYPT_DATA_PARAMS) \
	ROW(CK_KEY_DERIVATION_STRING_DATA, CK_KEY_DERIVATION_STRING_DATA) \
	ROW(CK_ECDH1_DERIVE_PARAMS, CK_ECDH1_DERIVE_PARAMS) \
	ROW(CK_ECMQV_DERIVE_PARAMS, CK_ECMQV_DERIVE_PARAMS) \
	ROW(CK_X9_42_DH1_DERIVE_PARAMS, CK_X9_42_DH1_DERIVE_PARAMS) \
	ROW(CK_X9_42_DH2_DERIVE_PARAMS, CK_X9_42_DH2_DERIVE_PARAMS) \
	ROW(CK_X9_42_MQV_DERIVE_PARAMS, CK_X9_42_MQV_DERIVE_PARAMS) \
	ROW(CK_ECDH_AES_KEY_WRAP_PARAMS, CK_ECDH_AES_KEY_WRAP_PARAMS) \
	ROW(CK_RSA_AES_KEY_WRAP_PARAMS, CK_RSA_AES_KEY_WRAP_PARAMS) \
	ROW(CK_KEA_DERIVE_PARAMS, CK_KEA_DERIVE_PARAMS) \
	ROW(CK_SKIPJACK_PRIVATE_WRAP_PARAMS, CK_SKIPJACK_PRIVATE_WRAP_PARAMS) \
	ROW(CK_SKIPJACK_RELAYX_PARAMS, CK_SKIPJACK_RELAYX_PARAMS) \
	ROW(CK_PBE_PARAMS, CK_PBE_PARAMS) \
	ROW(CK_PKCS5_PBKD2_PARAMS, CK_PKCS5_PBKD2_PARAMS) \
	ROW(CK_PKCS5_PBKD2_PARAMS2, CK_PKCS5_PBKD2_PARAMS2) \
	ROW(CK_KEY_WRAP_SET_OAEP_PARAMS, CK_KEY_WRAP_SET_OAEP_PARAMS) \
	ROW(CK_SSL3_RANDOM_DATA, CK_SSL3_RANDOM_DATA) \
	ROW(CK_SSL3_MASTER_KEY_DERIVE_PARAMS, CK_SSL3_MASTER_KEY_DERIVE_PARAMS) \
	ROW(CK_SSL3_KEY_MAT_OUT, CK_SSL3_KEY_MAT_OUT) \
	ROW(CK_SSL3_KEY_MAT_PARAMS, CK_SSL3_KEY_MAT_PARAMS) \
	ROW(CK_TLS12_MASTER_KEY_DERIVE_PARAMS, CK_TLS12_MASTER_KEY_DERIVE_PARAMS) \
	ROW(CK_TLS12_KEY_MAT_PARAMS, CK_TLS12_KEY_MAT_PARAMS) \
	ROW(CK_TLS_PRF_PARAMS, CK_TLS_PRF_PARAMS) \
	ROW(CK_TLS_KDF_PARAMS, CK_TLS_KDF_PARAMS) \
	ROW(CK_TLS_MAC_PARAMS, CK_TLS_MAC_PARAMS) \
	ROW(CK_WTLS_RANDOM_DATA, CK_WTLS_RANDOM_DATA) \
	ROW(CK_WTLS_MASTER_KEY_DERIVE_PARAMS, CK_WTLS_MASTER_KEY_DERIVE_PARAMS) \
	ROW(CK_WTLS_PRF_PARAMS, CK_WTLS_PRF_PARAMS) \
	ROW(CK_WTLS_KEY_MAT_OUT, CK_WTLS_KEY_MAT_OUT) \
	ROW(CK_WTLS_KEY_MAT_PARAMS, CK_WTLS_KEY_MAT_PARAMS) \
	ROW(CK_CMS_SIG_PARAMS, CK_CMS_SIG_PARAMS) \
	ROW(CK_KIP_PARAMS, CK_KIP_PARAMS) \
	ROW(CK_DSA_PARAMETER_GEN_PARAM, CK_DSA_PARAMETER_GEN_PARAM) \
	ROW(CK_GOSTR3410_DERIVE_PARAMS, CK_GOSTR3410_DERIVE_PARAMS) \
	ROW(CK_GOSTR3410_KEY_WRAP_PARAMS, CK_GOSTR3410_KEY_WRAP_PARAMS) \
	ROW(CK_EDDSA_PARAMS, CK_EDDSA_PARAMS) \
	ROW(CK_ECDH2_DERIVE_PARAMS, CK_ECDH2_DERIVE_PARAMS) \
	ROW(CK_NSS_GCM_PARAMS, CK_NSS_GCM_PARAMS) \
	ROW(CK_GCM_MESSAGE_PARAMS, CK_GCM_MESSAGE_PARAMS) \
	ROW(CK_GCM_WRAP_PARAMS, CK_GCM_WRAP_PARAMS) \
	ROW(CK_CCM_MESSAGE_PARAMS, CK_CCM_MESSAGE_PARAMS) \
	ROW(CK_CCM_WRAP_PARAMS, CK_CCM_WRAP_PARAMS) \
	ROW(CK_CHACHA20_PARAMS, CK_CHACHA20_PARAMS) \
	ROW(CK_SALSA20_PARAMS, CK_SALSA20_PARAMS) \
	ROW(CK_SALSA20_CHACHA20_POLY1305_PARAMS, CK_SALSA20_CHACHA20_POLY1305_PARAMS) \
	ROW(CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS, CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS) \
	ROW(CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS, CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS) \
	ROW(CK_SP800_108_COUNTER_FORMAT, CK_SP800_108_COUNTER_FORMAT) \
	ROW(CK_SP800_108_DKM_LENGTH_FORMAT, CK_SP800_108_DKM_LENGTH_FORMAT) \
	ROW(CK_PRF_DATA_PARAM, CK_PRF_DATA_PARAM) \
	ROW(CK_DERIVED_KEY, CK_DERIVED_KEY) \
	ROW(CK_SP800_108_KDF_PARAMS, CK_SP800_108_KDF_PARAMS) \
	ROW(CK_SP800_108_FEEDBACK_KDF_PARAMS, CK_SP800_108_FEEDBACK_KDF_PARAMS) \
	ROW(CK_HKDF_PARAMS, CK_HKDF_PARAMS) \
	ROW(CK_IKE2_PRF_PLUS_DERIVE_PARAMS, CK_IKE2_PRF_PLUS_DERIVE_PARAMS) \
	ROW(CK_IKE_PRF_DERIVE_PARAMS, CK_IKE_PRF_DERIVE_PARAMS) \
	ROW(CK_IKE1_PRF_DERIVE_PARAMS, CK_IKE1_PRF_DERIVE_PARAMS) \
	ROW(CK_IKE1_EXTENDED_DERIVE_PARAMS, CK_IKE1_EXTENDED_DERIVE_PARAMS) \
	ROW(CK_SIGN_ADDITIONAL_CONTEXT, CK_SIGN_ADDITIONAL_CONTEXT) \
	ROW(CK_HASH_SIGN_ADDITIONAL_CONTEXT, CK_HASH_SIGN_ADDITIONAL_CONTEXT) \
	ROW(CK_XEDDSA_PARAMS, CK_XEDDSA_PARAMS) \
	ROW(CK_OTP_PARAM, CK_OTP_PARAM) \
	ROW(CK_OTP_PARAMS, CK_OTP_PARAMS)

#define LAYOUT_ENUM(layout, type) LAYOUT_##layout,
enum { LAYOUT_ROWS(LAYOUT_ENUM) LAYOUT_COUNT };
#undef LAYOUT_ENUM

static const struct kmn_layout layouts[LAYOUT_COUNT];

#define T kmn_ulong_params
static const struct kmn_field fields_of_CK_MAC_GENERAL_PARAMS[] = {
	ULONG(value, "mac_len"),
};
#undef T

#define T kmn_ulong_params
static const struct kmn_field fields_of_CK_EXTRACT_PARAMS[] = {
	ULONG(value, "bit"),
};
#undef T

#define T kmn_ulong_params
static const struct kmn_field fields_of_CK_RC2_PARAMS[] = {
	ULONG(value, "effective_bits"),
};
#undef T

#define T kmn_handle_params
static const struct kmn_field fields_of_CK_OBJECT_HANDLE[] = {
	HANDLE(hKey),
};
#undef T

#define T CK_RSA_PKCS_PSS_PARAMS
static const struct kmn_field fields_of_CK_RSA_PKCS_PSS_PARAMS[] = {
	MECH(hashAlg, "hash"),
	MGF(mgf, "mgf"),
	ULONG(sLen, "salt_len"),
};
#undef T

#define T CK_RSA_PKCS_OAEP_PARAMS
static const struct kmn_field fields_of_CK_RSA_PKCS_OAEP_PARAMS[] = {
	MECH(hashAlg, "hash"),
	MGF(mgf, "mgf"),
	ULONG(source, "source"),
	BYTES(pSourceData, ulSourceDataLen, "label"),
};
#undef T

#define T CK_AES_CTR_PARAMS
static const struct kmn_field fields_of_CK_AES_CTR_PARAMS[] = {
	ULONG(ulCounterBits, "counter_bits"),
	INLINE(cb, "counter"),
};
#undef T

#define T CK_GCM_PARAMS
static const struct kmn_field fields_of_CK_GCM_PARAMS[] = {
	NONCE_INOUT(pIv, ulIvLen, "iv"),
	ULONG(ulIvBits, "iv_bits"),
	BYTES(pAAD, ulAADLen, "aad"),
	ULONG(ulTagBits, "tag_bits"),
};
#undef T

#define T CK_CCM_PARAMS
static const struct kmn_field fields_of_CK_CCM_PARAMS[] = {
	ULONG(ulDataLen, "data_len"),
	NONCE(pNonce, ulNonceLen, "nonce"),
	BYTES(pAAD, ulAADLen, "aad"),
	ULONG(ulMACLen, "mac_len"),
};
#undef T

#define T CK_RC2_CBC_PARAMS
static const struct kmn_field fields_of_CK_RC2_CBC_PARAMS[] = {
	ULONG(ulEffectiveBits, "effective_bits"),
	INLINE(iv, "iv"),
};
#undef T

#define T CK_RC2_MAC_GENERAL_PARAMS
static const struct kmn_field fields_of_CK_RC2_MAC_GENERAL_PARAMS[] = {
	ULONG(ulEffectiveBits, "effective_bits"),
	ULONG(ulMacLength, "mac_len"),
};
#undef T

#define T CK_RC5_PARAMS
static const struct kmn_field fields_of_CK_RC5_PARAMS[] = {
	ULONG(ulWordsize, "word_size"),
	ULONG(ulRounds, "rounds"),
};
#undef T

#define T CK_RC5_CBC_PARAMS
static const struct kmn_field fields_of_CK_RC5_CBC_PARAMS[] = {
	ULONG(ulWordsize, "word_size"),
	ULONG(ulRounds, "rounds"),
	NONCE(pIv, ulIvLen, "iv"),
};
#undef T

#define T CK_RC5_MAC_GENERAL_PARAMS
static const struct kmn_field fields_of_CK_RC5_MAC_GENERAL_PARAMS[] = {
	ULONG(ulWordsize, "word_size"),
	ULONG(ulRounds, "rounds"),
	ULONG(ulMacLength, "mac_len"),
};
#undef T

#define T CK_DES_CBC_ENCRYPT_DATA_PARAMS
static const struct kmn_field fields_of_CK_DES_CBC_ENCRYPT_DATA_PARAMS[] = {
	INLINE(iv, "iv"),
	BYTES(pData, length, NULL),
};
#undef T

#define T CK_AES_CBC_ENCRYPT_DATA_PARAMS
static const struct kmn_field fields_of_CK_AES_CBC_ENCRYPT_DATA_PARAMS[] = {
	INLINE(iv, "iv"),
	BYTES(pData, length, NULL),
};
#undef T

#define T CK_KEY_DERIVATION_STRING_DATA
static const struct kmn_field fields_of_CK_KEY_DERIVATION_STRING_DATA[] = {
	BYTES(pData, ulLen, NULL),
};
#undef T

#define T CK_ECDH1_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_ECDH1_DERIVE_PARAMS[] = {
	ULONG(kdf, "kdf"),
	BYTES(pSharedData, ulSharedDataLen, "shared"),
	BYTES(pPublicData, ulPublicDataLen, "public"),
};
#undef T

#define T CK_ECMQV_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_ECMQV_DERIVE_PARAMS[] = {
	ULONG(kdf, "kdf"),
	BYTES(pSharedData, ulSharedDataLen, "shared"),
	BYTES(pPublicData, ulPublicDataLen, "public"),
	ULONG(ulPrivateDataLen, "private_len"),
	HANDLE(hPrivateData),
	BYTES(pPublicData2, ulPublicDataLen2, "public2"),
	HANDLE(publicKey),
};
#undef T

#define T CK_X9_42_DH1_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_X9_42_DH1_DERIVE_PARAMS[] = {
	ULONG(kdf, "kdf"),
	BYTES(pOtherInfo, ulOtherInfoLen, "shared"),
	BYTES(pPublicData, ulPublicDataLen, "public"),
};
#undef T

#define T CK_X9_42_DH2_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_X9_42_DH2_DERIVE_PARAMS[] = {
	ULONG(kdf, "kdf"),
	BYTES(pOtherInfo, ulOtherInfoLen, "shared"),
	BYTES(pPublicData, ulPublicDataLen, "public"),
	ULONG(ulPrivateDataLen, "private_len"),
	HANDLE(hPrivateData),
	BYTES(pPublicData2, ulPublicDataLen2, "public2"),
};
#undef T

#define T CK_X9_42_MQV_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_X9_42_MQV_DERIVE_PARAMS[] = {
	ULONG(kdf, "kdf"),
	BYTES(pOtherInfo, ulOtherInfoLen, "shared"),
	BYTES(pPublicData, ulPublicDataLen, "public"),
	ULONG(ulPrivateDataLen, "private_len"),
	HANDLE(hPrivateData),
	BYTES(pPublicData2, ulPublicDataLen2, "public2"),
	HANDLE(publicKey),
};
#undef T

#define T CK_ECDH_AES_KEY_WRAP_PARAMS
static const struct kmn_field fields_of_CK_ECDH_AES_KEY_WRAP_PARAMS[] = {
	ULONG(ulAESKeyBits, "aes_bits"),
	ULONG(kdf, "kdf"),
	BYTES(pSharedData, ulSharedDataLen, "shared"),
};
#undef T

#define T CK_RSA_AES_KEY_WRAP_PARAMS
static const struct kmn_field fields_of_CK_RSA_AES_KEY_WRAP_PARAMS[] = {
	ULONG(ulAESKeyBits, "aes_bits"),
	POINTER(pOAEPParams, CK_RSA_PKCS_OAEP_PARAMS),
};
#undef T

#define T CK_KEA_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_KEA_DERIVE_PARAMS[] = {
	BYTE(isSender, "sender"),
	ULONG(ulRandomLen, "random_len"),
	BYTES_OF(pRandomA, ulRandomLen, NULL),
	BYTES_OF(pRandomB, ulRandomLen, NULL),
	BYTES(pPublicData, ulPublicDataLen, "public"),
};
#undef T

#define T CK_SKIPJACK_PRIVATE_WRAP_PARAMS
static const struct kmn_field fields_of_CK_SKIPJACK_PRIVATE_WRAP_PARAMS[] = {
	BYTES(pPassword, ulPasswordLen, NULL),
	BYTES(pPublicData, ulPublicDataLen, "public"),
	ULONG(ulPAndGLen, "prime_len"),
	ULONG(ulQLen, "subprime_len"),
	ULONG(ulRandomLen, "random_len"),
	BYTES_OF(pRandomA, ulRandomLen, NULL),
	BYTES_OF(pPrimeP, ulPAndGLen, "prime"),
	BYTES_OF(pBaseG, ulPAndGLen, "base"),
	BYTES_OF(pSubprimeQ, ulQLen, "subprime"),
};
#undef T

#define T CK_SKIPJACK_RELAYX_PARAMS
static const struct kmn_field fields_of_CK_SKIPJACK_RELAYX_PARAMS[] = {
	BYTES(pOldWrappedX, ulOldWrappedXLen, NULL),
	BYTES(pOldPassword, ulOldPasswordLen, NULL),
	BYTES(pOldPublicData, ulOldPublicDataLen, "old_public"),
	BYTES(pOldRandomA, ulOldRandomLen, NULL),
	BYTES(pNewPassword, ulNewPasswordLen, NULL),
	BYTES(pNewPublicData, ulNewPublicDataLen, "new_public"),
	BYTES(pNewRandomA, ulNewRandomLen, NULL),
};
#undef T

#define T CK_PBE_PARAMS
static const struct kmn_field fields_of_CK_PBE_PARAMS[] = {
	OUT_FIXED(pInitVector, 8),
	BYTES(pPassword, ulPasswordLen, NULL),
	BYTES(pSalt, ulSaltLen, "salt"),
	ULONG(ulIteration, "iterations"),
};
#undef T

#define T CK_PKCS5_PBKD2_PARAMS
static const struct kmn_field fields_of_CK_PKCS5_PBKD2_PARAMS[] = {
	ULONG(saltSource, "salt_source"),
	BYTES(pSaltSourceData, ulSaltSourceDataLen, "salt"),
	ULONG(iterations, "iterations"),
	ULONG(prf, "prf"),
	BYTES(pPrfData, ulPrfDataLen, NULL),
	BYTES_BEHIND(pPassword, ulPasswordLen),
};
#undef T

#define T CK_PKCS5_PBKD2_PARAMS2
static const struct kmn_field fields_of_CK_PKCS5_PBKD2_PARAMS2[] = {
	ULONG(saltSource, "salt_source"),
	BYTES(pSaltSourceData, ulSaltSourceDataLen, "salt"),
	ULONG(iterations, "iterations"),
	ULONG(prf, "prf"),
	BYTES(pPrfData, ulPrfDataLen, NULL),
	BYTES(pPassword, ulPasswordLen, NULL),
};
#undef T

#define T CK_KEY_WRAP_SET_OAEP_PARAMS
static const struct kmn_field fields_of_CK_KEY_WRAP_SET_OAEP_PARAMS[] = {
	BYTE(bBC, "bc"),
	BYTES(pX, ulXLen, NULL),
};
#undef T

#define T CK_SSL3_RANDOM_DATA
static const struct kmn_field fields_of_CK_SSL3_RANDOM_DATA[] = {
	BYTES(pClientRandom, ulClientRandomLen, "client_random"),
	BYTES(pServerRandom, ulServerRandomLen, "server_random"),
};
#undef T

#define T CK_SSL3_MASTER_KEY_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_SSL3_MASTER_KEY_DERIVE_PARAMS[] = {
	STRUCT(RandomInfo, CK_SSL3_RANDOM_DATA),
	INOUT_FIXED(pVersion, 2, "version"),
};
#undef T

#define T CK_SSL3_KEY_MAT_OUT
static const struct kmn_field fields_of_CK_SSL3_KEY_MAT_OUT[] = {
	NEW_OBJECT(hClientMacSecret),
	NEW_OBJECT(hServerMacSecret),
	NEW_OBJECT(hClientKey),
	NEW_OBJECT(hServerKey),
	OUT_BITS(pIVClient, CK_SSL3_KEY_MAT_PARAMS, ulIVSizeInBits),
	OUT_BITS(pIVServer, CK_SSL3_KEY_MAT_PARAMS, ulIVSizeInBits),
};
#undef T

#define T CK_SSL3_KEY_MAT_PARAMS
static const struct kmn_field fields_of_CK_SSL3_KEY_MAT_PARAMS[] = {
	ULONG(ulMacSizeInBits, "mac_bits"),
	ULONG(ulKeySizeInBits, "key_bits"),
	ULONG(ulIVSizeInBits, "iv_bits"),
	BYTE(bIsExport, "export"),
	STRUCT(RandomInfo, CK_SSL3_RANDOM_DATA),
	POINTER(pReturnedKeyMaterial, CK_SSL3_KEY_MAT_OUT),
};
#undef T

#define T CK_TLS12_MASTER_KEY_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_TLS12_MASTER_KEY_DERIVE_PARAMS[] = {
	STRUCT(RandomInfo, CK_SSL3_RANDOM_DATA),
	INOUT_FIXED(pVersion, 2, "version"),
	MECH(prfHashMechanism, "prf_hash"),
};
#undef T

#define T CK_TLS12_KEY_MAT_PARAMS
static const struct kmn_field fields_of_CK_TLS12_KEY_MAT_PARAMS[] = {
	ULONG(ulMacSizeInBits, "mac_bits"),
	ULONG(ulKeySizeInBits, "key_bits"),
	ULONG(ulIVSizeInBits, "iv_bits"),
	BYTE(bIsExport, "export"),
	STRUCT(RandomInfo, CK_SSL3_RANDOM_DATA),
	POINTER(pReturnedKeyMaterial, CK_SSL3_KEY_MAT_OUT),
	MECH(prfHashMechanism, "prf_hash"),
};
#undef T

#define T CK_TLS_PRF_PARAMS
static const struct kmn_field fields_of_CK_TLS_PRF_PARAMS[] = {
	BYTES(pSeed, ulSeedLen, NULL),
	BYTES(pLabel, ulLabelLen, "label"),
	OUT_BEHIND(pOutput, pulOutputLen),
};
#undef T

#define T CK_TLS_KDF_PARAMS
static const struct kmn_field fields_of_CK_TLS_KDF_PARAMS[] = {
	MECH(prfMechanism, "prf"),
	BYTES(pLabel, ulLabelLength, "label"),
	STRUCT(RandomInfo, CK_SSL3_RANDOM_DATA),
	BYTES(pContextData, ulContextDataLength, "context"),
};
#undef T

#define T CK_TLS_MAC_PARAMS
static const struct kmn_field fields_of_CK_TLS_MAC_PARAMS[] = {
	MECH(prfHashMechanism, "prf_hash"),
	ULONG(ulMacLength, "mac_len"),
	ULONG(ulServerOrClient, "side"),
};
#undef T

#define T CK_WTLS_RANDOM_DATA
static const struct kmn_field fields_of_CK_WTLS_RANDOM_DATA[] = {
	BYTES(pClientRandom, ulClientRandomLen, "client_random"),
	BYTES(pServerRandom, ulServerRandomLen, "server_random"),
};
#undef T

#define T CK_WTLS_MASTER_KEY_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_WTLS_MASTER_KEY_DERIVE_PARAMS[] = {
	MECH(DigestMechanism, "hash"),
	STRUCT(RandomInfo, CK_WTLS_RANDOM_DATA),
	INOUT_FIXED(pVersion, 1, "version"),
};
#undef T

#define T CK_WTLS_PRF_PARAMS
static const struct kmn_field fields_of_CK_WTLS_PRF_PARAMS[] = {
	MECH(DigestMechanism, "hash"),
	BYTES(pSeed, ulSeedLen, NULL),
	BYTES(pLabel, ulLabelLen, "label"),
	OUT_BEHIND(pOutput, pulOutputLen),
};
#undef T

#define T CK_WTLS_KEY_MAT_OUT
static const struct kmn_field fields_of_CK_WTLS_KEY_MAT_OUT[] = {
	NEW_OBJECT(hMacSecret),
	NEW_OBJECT(hKey),
	OUT_BITS(pIV, CK_WTLS_KEY_MAT_PARAMS, ulIVSizeInBits),
};
#undef T

#define T CK_WTLS_KEY_MAT_PARAMS
static const struct kmn_field fields_of_CK_WTLS_KEY_MAT_PARAMS[] = {
	MECH(DigestMechanism, "hash"),
	ULONG(ulMacSizeInBits, "mac_bits"),
	ULONG(ulKeySizeInBits, "key_bits"),
	ULONG(ulIVSizeInBits, "iv_bits"),
	ULONG(ulSequenceNumber, "sequence"),
	BYTE(bIsExport, "export"),
	STRUCT(RandomInfo, CK_WTLS_RANDOM_DATA),
	POINTER(pReturnedKeyMaterial, CK_WTLS_KEY_MAT_OUT),
};
#undef T

#define T CK_CMS_SIG_PARAMS
static const struct kmn_field fields_of_CK_CMS_SIG_PARAMS[] = {
	HANDLE(certificateHandle),
	MECHANISM(pSigningMechanism, "signing"),
	MECHANISM(pDigestMechanism, "digest"),
	TEXT(pContentType, "content_type"),
	BYTES(pRequestedAttributes, ulRequestedAttributesLen, "requested"),
	BYTES(pRequiredAttributes, ulRequiredAttributesLen, "required"),
};
#undef T

#define T CK_KIP_PARAMS
static const struct kmn_field fields_of_CK_KIP_PARAMS[] = {
	MECHANISM(pMechanism, "mechanism"),
	HANDLE(hKey),
	BYTES(pSeed, ulSeedLen, NULL),
};
#undef T

#define T CK_DSA_PARAMETER_GEN_PARAM
static const struct kmn_field fields_of_CK_DSA_PARAMETER_GEN_PARAM[] = {
	MECH(hash, "hash"),
	BYTES_INOUT(pSeed, ulSeedLen, "seed"),
	ULONG(ulIndex, "index"),
};
#undef T

#define T CK_GOSTR3410_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_GOSTR3410_DERIVE_PARAMS[] = {
	ULONG(kdf, "kdf"),
	BYTES(pPublicData, ulPublicDataLen, "public"),
	BYTES(pUKM, ulUKMLen, "ukm"),
};
#undef T

#define T CK_GOSTR3410_KEY_WRAP_PARAMS
static const struct kmn_field fields_of_CK_GOSTR3410_KEY_WRAP_PARAMS[] = {
	BYTES(pWrapOID, ulWrapOIDLen, "oid"),
	BYTES(pUKM, ulUKMLen, "ukm"),
	HANDLE(hKey),
};
#undef T

#define T CK_EDDSA_PARAMS
static const struct kmn_field fields_of_CK_EDDSA_PARAMS[] = {
	BYTE(phFlag, "prehash"),
	BYTES(pContextData, ulContextDataLen, "context"),
};
#undef T

#define T CK_ECDH2_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_ECDH2_DERIVE_PARAMS[] = {
	ULONG(kdf, "kdf"),
	BYTES(pSharedData, ulSharedDataLen, "shared"),
	BYTES(pPublicData, ulPublicDataLen, "public"),
	ULONG(ulPrivateDataLen, "private_len"),
	HANDLE(hPrivateData),
	BYTES(pPublicData2, ulPublicDataLen2, "public2"),
};
#undef T

/* GCM as 2.40's text had it, without ulIvBits: NSS and those who followed it. */
#define T CK_NSS_GCM_PARAMS
static const struct kmn_field fields_of_CK_NSS_GCM_PARAMS[] = {
	NONCE_INOUT(pIv, ulIvLen, "iv"),
	BYTES(pAAD, ulAADLen, "aad"),
	ULONG(ulTagBits, "tag_bits"),
};
#undef T

#define T CK_GCM_MESSAGE_PARAMS
static const struct kmn_field fields_of_CK_GCM_MESSAGE_PARAMS[] = {
	NONCE_INOUT(pIv, ulIvLen, "iv"),
	ULONG(ulIvFixedBits, "iv_fixed_bits"),
	ULONG(ivGenerator, "iv_generator"),
	ULONG(ulTagBits, "tag_bits"),
	TAG_BITS(pTag, ulTagBits, "tag"),
};
#undef T

#define T CK_GCM_WRAP_PARAMS
static const struct kmn_field fields_of_CK_GCM_WRAP_PARAMS[] = {
	NONCE_INOUT(pIv, ulIvLen, "iv"),
	ULONG(ulIvFixedBits, "iv_fixed_bits"),
	ULONG(ivGenerator, "iv_generator"),
	BYTES(pAAD, ulAADLen, "aad"),
	ULONG(ulTagBits, "tag_bits"),
};
#undef T

#define T CK_CCM_MESSAGE_PARAMS
static const struct kmn_field fields_of_CK_CCM_MESSAGE_PARAMS[] = {
	ULONG(ulDataLen, "data_len"),
	NONCE_INOUT(pNonce, ulNonceLen, "nonce"),
	ULONG(ulNonceFixedBits, "nonce_fixed_bits"),
	ULONG(nonceGenerator, "nonce_generator"),
	ULONG(ulMACLen, "mac_len"),
	TAG(pMAC, ulMACLen, "mac"),
};
#undef T

#define T CK_CCM_WRAP_PARAMS
static const struct kmn_field fields_of_CK_CCM_WRAP_PARAMS[] = {
	ULONG(ulDataLen, "data_len"),
	NONCE_INOUT(pNonce, ulNonceLen, "nonce"),
	ULONG(ulNonceFixedBits, "nonce_fixed_bits"),
	ULONG(nonceGenerator, "nonce_generator"),
	BYTES(pAAD, ulAADLen, "aad"),
	ULONG(ulMACLen, "mac_len"),
};
#undef T

#define T CK_CHACHA20_PARAMS
static const struct kmn_field fields_of_CK_CHACHA20_PARAMS[] = {
	ULONG(blockCounterBits, "counter_bits"),
	NONCE_BITS(pBlockCounter, blockCounterBits, "counter"),
	ULONG(ulNonceBits, "nonce_bits"),
	NONCE_BITS(pNonce, ulNonceBits, "nonce"),
};
#undef T

#define T CK_SALSA20_PARAMS
static const struct kmn_field fields_of_CK_SALSA20_PARAMS[] = {
	IN_FIXED(pBlockCounter, 8, "counter"),
	ULONG(ulNonceBits, "nonce_bits"),
	NONCE_BITS(pNonce, ulNonceBits, "nonce"),
};
#undef T

#define T CK_SALSA20_CHACHA20_POLY1305_PARAMS
static const struct kmn_field fields_of_CK_SALSA20_CHACHA20_POLY1305_PARAMS[] = {
	NONCE(pNonce, ulNonceLen, "nonce"),
	BYTES(pAAD, ulAADLen, "aad"),
};
#undef T

#define T CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS
static const struct kmn_field fields_of_CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS[] = {
	NONCE_INOUT(pNonce, ulNonceLen, "nonce"),
	INOUT_FIXED(pTag, 16, "tag"),
};
#undef T

#define T CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS[] = {
	MECH(prfHashMechanism, "prf_hash"),
	BYTES(pSessionHash, ulSessionHashLen, "session_hash"),
	INOUT_FIXED(pVersion, 2, "version"),
};
#undef T

#define T CK_SP800_108_COUNTER_FORMAT
static const struct kmn_field fields_of_CK_SP800_108_COUNTER_FORMAT[] = {
	BYTE(bLittleEndian, "little_endian"),
	ULONG(ulWidthInBits, "width_bits"),
};
#undef T

#define T CK_SP800_108_DKM_LENGTH_FORMAT
static const struct kmn_field fields_of_CK_SP800_108_DKM_LENGTH_FORMAT[] = {
	ULONG(dkmLengthMethod, "length_method"),
	BYTE(bLittleEndian, "little_endian"),
	ULONG(ulWidthInBits, "width_bits"),
};
#undef T

static const struct kmn_choice prf_data[] = {
	{CK_SP800_108_ITERATION_VARIABLE, KMN_FIELD_STRUCT, &layouts[LAYOUT_CK_SP800_108_COUNTER_FORMAT]},
	{CK_SP800_108_COUNTER, KMN_FIELD_STRUCT, &layouts[LAYOUT_CK_SP800_108_COUNTER_FORMAT]},
	{CK_SP800_108_DKM_LENGTH, KMN_FIELD_STRUCT, &layouts[LAYOUT_CK_SP800_108_DKM_LENGTH_FORMAT]},
	{CK_SP800_108_BYTE_ARRAY, KMN_FIELD_BYTES, NULL},
	{CK_SP800_108_KEY_HANDLE, KMN_FIELD_HANDLE, NULL},
};

#define T CK_PRF_DATA_PARAM
static const struct kmn_field fields_of_CK_PRF_DATA_PARAM[] = {
	ULONG(type, "type"),
	CHOICE(pValue, ulValueLen, type, prf_data, "value"),
};
#undef T

#define T CK_DERIVED_KEY
static const struct kmn_field fields_of_CK_DERIVED_KEY[] = {
	TEMPLATE(pTemplate, ulAttributeCount, "template"),
	NEW_OBJECT_AT(phKey),
};
#undef T

#define T CK_SP800_108_KDF_PARAMS
static const struct kmn_field fields_of_CK_SP800_108_KDF_PARAMS[] = {
	MECH(prfType, "prf"),
	ARRAY(pDataParams, ulNumberOfDataParams, CK_PRF_DATA_PARAM, "data_params"),
	ARRAY(pAdditionalDerivedKeys, ulAdditionalDerivedKeys, CK_DERIVED_KEY, "additional_keys"),
};
#undef T

#define T CK_SP800_108_FEEDBACK_KDF_PARAMS
static const struct kmn_field fields_of_CK_SP800_108_FEEDBACK_KDF_PARAMS[] = {
	MECH(prfType, "prf"),
	ARRAY(pDataParams, ulNumberOfDataParams, CK_PRF_DATA_PARAM, "data_params"),
	NONCE(pIV, ulIVLen, "iv"),
	ARRAY(pAdditionalDerivedKeys, ulAdditionalDerivedKeys, CK_DERIVED_KEY, "additional_keys"),
};
#undef T

#define T CK_HKDF_PARAMS
static const struct kmn_field fields_of_CK_HKDF_PARAMS[] = {
	BYTE(bExtract, "extract"),
	BYTE(bExpand, "expand"),
	MECH(prfHashMechanism, "prf_hash"),
	ULONG(ulSaltType, "salt_type"),
	BYTES(pSalt, ulSaltLen, "salt"),
	HANDLE(hSaltKey),
	BYTES(pInfo, ulInfoLen, "info"),
};
#undef T

#define T CK_IKE2_PRF_PLUS_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_IKE2_PRF_PLUS_DERIVE_PARAMS[] = {
	MECH(prfMechanism, "prf"),
	BYTE(bHasSeedKey, "has_seed_key"),
	HANDLE(hSeedKey),
	BYTES(pSeedData, ulSeedDataLen, "seed"),
};
#undef T

#define T CK_IKE_PRF_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_IKE_PRF_DERIVE_PARAMS[] = {
	MECH(prfMechanism, "prf"),
	BYTE(bDataAsKey, "data_as_key"),
	BYTE(bRekey, "rekey"),
	BYTES(pNi, ulNiLen, "ni"),
	BYTES(pNr, ulNrLen, "nr"),
	HANDLE(hNewKey),
};
#undef T

#define T CK_IKE1_PRF_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_IKE1_PRF_DERIVE_PARAMS[] = {
	MECH(prfMechanism, "prf"),
	BYTE(bHasPrevKey, "has_prev_key"),
	HANDLE(hKeygxy),
	HANDLE(hPrevKey),
	BYTES(pCKYi, ulCKYiLen, "cky_i"),
	BYTES(pCKYr, ulCKYrLen, "cky_r"),
	BYTE(keyNumber, "key_number"),
};
#undef T

#define T CK_IKE1_EXTENDED_DERIVE_PARAMS
static const struct kmn_field fields_of_CK_IKE1_EXTENDED_DERIVE_PARAMS[] = {
	MECH(prfMechanism, "prf"),
	BYTE(bHasKeygxy, "has_keygxy"),
	HANDLE(hKeygxy),
	BYTES(pExtraData, ulExtraDataLen, "extra"),
};
#undef T

#define T CK_SIGN_ADDITIONAL_CONTEXT
static const struct kmn_field fields_of_CK_SIGN_ADDITIONAL_CONTEXT[] = {
	ULONG(hedgeVariant, "hedge"),
	BYTES(pContext, ulContextLen, "context"),
};
#undef T

#define T CK_HASH_SIGN_ADDITIONAL_CONTEXT
static const struct kmn_field fields_of_CK_HASH_SIGN_ADDITIONAL_CONTEXT[] = {
	ULONG(hedgeVariant, "hedge"),
	BYTES(pContext, ulContextLen, "context"),
	MECH(hash, "hash"),
};
#undef T

#define T CK_XEDDSA_PARAMS
static const struct kmn_field fields_of_CK_XEDDSA_PARAMS[] = {
	ULONG(hash, "hash"),
};
#undef T

static const struct kmn_choice otp_values[] = {
	{CK_OTP_VALUE, KMN_FIELD_BYTES, NULL},
	{CK_OTP_PIN, KMN_FIELD_BYTES, NULL},
	{CK_OTP_CHALLENGE, KMN_FIELD_BYTES, NULL},
	{CK_OTP_TIME, KMN_FIELD_BYTES, NULL},
	{CK_OTP_COUNTER, KMN_FIELD_BYTES, NULL},
	{CK_OTP_FLAGS, KMN_FIELD_ULONG, NULL},
	{CK_OTP_OUTPUT_LENGTH, KMN_FIELD_ULONG, NULL},
	{CK_OTP_OUTPUT_FORMAT, KMN_FIELD_ULONG, NULL},
};

#define T CK_OTP_PARAM
static const struct kmn_field fields_of_CK_OTP_PARAM[] = {
	ULONG(type, "type"),
	CHOICE(pValue, ulValueLen, type, otp_values, NULL),
};
#undef T

#define T CK_OTP_PARAMS
static const struct kmn_field fields_of_CK_OTP_PARAMS[] = {
	ARRAY(pParams, ulCount, CK_OTP_PARAM, "params"),
};
#undef T

#define LAYOUT(layout, type) \
	[LAYOUT_##layout] = {.id = LAYOUT_##layout, .name = #layout, .size = sizeof(type), .fields = fields_of_##layout, \
	    .field_count = KMN_COUNT_OF(fields_of_##layout)},
static const struct kmn_layout layouts[LAYOUT_COUNT] = {LAYOUT_ROWS(LAYOUT)};
#undef LAYOUT

/* Mechanisms of 2.40 to 3.2 in order of their numbers. */
#define NAMED(mechanism) .type = CKM_##mechanism, .name = "CKM_" #mechanism
#define NOTHING(name) {NAMED(name), .takes = KMN_TAKES_NOTHING},
#define BYTES_AS_IS(name) {NAMED(name), .takes = KMN_TAKES_BYTES},
#define REFUSED(name) {NAMED(name), .takes = KMN_TAKES_REFUSED},
#define TAKES(name, one) {NAMED(name), .takes = KMN_TAKES_STRUCT, .layout = {&layouts[LAYOUT_##one], NULL}},
#define TAKES_EITHER(name, one, two) \
	{NAMED(name), .takes = KMN_TAKES_STRUCT, .layout = {&layouts[LAYOUT_##one], &layouts[LAYOUT_##two]}},
#define TAKES_AND_MESSAGE(name, one, per_message) \
	{NAMED(name), .takes = KMN_TAKES_STRUCT, .layout = {&layouts[LAYOUT_##one], NULL}, \
	 .message = &layouts[LAYOUT_##per_message]},
#define AEAD_ONE(name, one, per_message, authenticated) \
	{NAMED(name), .takes = KMN_TAKES_STRUCT, .layout = {&layouts[LAYOUT_##one], NULL}, \
	 .message = &layouts[LAYOUT_##per_message], .wrap = &layouts[LAYOUT_##authenticated]},
#define AEAD(name, one, two, per_message, authenticated) \
	{NAMED(name), .takes = KMN_TAKES_STRUCT, .layout = {&layouts[LAYOUT_##one], &layouts[LAYOUT_##two]}, \
	 .message = &layouts[LAYOUT_##per_message], .wrap = &layouts[LAYOUT_##authenticated]},
#define NO_SIGNATURE(name, one) \
	{NAMED(name), .takes = KMN_TAKES_STRUCT, .layout = {&layouts[LAYOUT_##one], NULL}, .no_signature = true},
static const struct kmn_mechanism mechanisms[] = {
	NOTHING(RSA_PKCS_KEY_PAIR_GEN)
	NOTHING(RSA_PKCS)
	NOTHING(RSA_9796)
	NOTHING(RSA_X_509)
	NOTHING(MD2_RSA_PKCS)
	NOTHING(MD5_RSA_PKCS)
	NOTHING(SHA1_RSA_PKCS)
	NOTHING(RIPEMD128_RSA_PKCS)
	NOTHING(RIPEMD160_RSA_PKCS)
	TAKES(RSA_PKCS_OAEP, CK_RSA_PKCS_OAEP_PARAMS)
	NOTHING(RSA_X9_31_KEY_PAIR_GEN)
	NOTHING(RSA_X9_31)
	NOTHING(SHA1_RSA_X9_31)
	TAKES(RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	TAKES(SHA1_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	NOTHING(ML_KEM_KEY_PAIR_GEN)
	NOTHING(DSA_KEY_PAIR_GEN)
	NOTHING(DSA)
	NOTHING(DSA_SHA1)
	NOTHING(DSA_SHA224)
	NOTHING(DSA_SHA256)
	NOTHING(DSA_SHA384)
	NOTHING(DSA_SHA512)
	NOTHING(ML_KEM)
	NOTHING(DSA_SHA3_224)
	NOTHING(DSA_SHA3_256)
	NOTHING(DSA_SHA3_384)
	NOTHING(DSA_SHA3_512)
	NOTHING(ML_DSA_KEY_PAIR_GEN)
	TAKES(ML_DSA, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA, CK_HASH_SIGN_ADDITIONAL_CONTEXT)
	NOTHING(DH_PKCS_KEY_PAIR_GEN)
	BYTES_AS_IS(DH_PKCS_DERIVE)
	TAKES(HASH_ML_DSA_SHA224, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHA256, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHA384, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHA512, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHA3_224, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHA3_256, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHA3_384, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHA3_512, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHAKE128, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_ML_DSA_SHAKE256, CK_SIGN_ADDITIONAL_CONTEXT)
	NOTHING(SLH_DSA_KEY_PAIR_GEN)
	TAKES(SLH_DSA, CK_SIGN_ADDITIONAL_CONTEXT)
	NOTHING(X9_42_DH_KEY_PAIR_GEN)
	TAKES(X9_42_DH_DERIVE, CK_X9_42_DH1_DERIVE_PARAMS)
	TAKES(X9_42_DH_HYBRID_DERIVE, CK_X9_42_DH2_DERIVE_PARAMS)
	TAKES_EITHER(X9_42_MQV_DERIVE, CK_X9_42_MQV_DERIVE_PARAMS, CK_X9_42_DH2_DERIVE_PARAMS)
	TAKES(HASH_SLH_DSA, CK_HASH_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA224, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA256, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA384, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA512, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA3_224, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA3_256, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA3_384, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHA3_512, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHAKE128, CK_SIGN_ADDITIONAL_CONTEXT)
	TAKES(HASH_SLH_DSA_SHAKE256, CK_SIGN_ADDITIONAL_CONTEXT)
	NOTHING(SHA256_RSA_PKCS)
	NOTHING(SHA384_RSA_PKCS)
	NOTHING(SHA512_RSA_PKCS)
	TAKES(SHA256_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	TAKES(SHA384_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	TAKES(SHA512_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	NOTHING(SHA224_RSA_PKCS)
	TAKES(SHA224_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	NOTHING(SHA512_224)
	NOTHING(SHA512_224_HMAC)
	TAKES(SHA512_224_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA512_224_KEY_DERIVATION)
	NOTHING(SHA512_256)
	NOTHING(SHA512_256_HMAC)
	TAKES(SHA512_256_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA512_256_KEY_DERIVATION)
	TAKES(SHA512_T, CK_MAC_GENERAL_PARAMS)
	TAKES(SHA512_T_HMAC, CK_MAC_GENERAL_PARAMS)
	TAKES(SHA512_T_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	TAKES(SHA512_T_KEY_DERIVATION, CK_MAC_GENERAL_PARAMS)
	TAKES(TLS12_EXTENDED_MASTER_KEY_DERIVE, CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS)
	TAKES(TLS12_EXTENDED_MASTER_KEY_DERIVE_DH, CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS)
	NOTHING(SHA3_256_RSA_PKCS)
	NOTHING(SHA3_384_RSA_PKCS)
	NOTHING(SHA3_512_RSA_PKCS)
	TAKES(SHA3_256_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	TAKES(SHA3_384_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	TAKES(SHA3_512_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	NOTHING(SHA3_224_RSA_PKCS)
	TAKES(SHA3_224_RSA_PKCS_PSS, CK_RSA_PKCS_PSS_PARAMS)
	NOTHING(RC2_KEY_GEN)
	TAKES(RC2_ECB, CK_RC2_PARAMS)
	TAKES(RC2_CBC, CK_RC2_CBC_PARAMS)
	TAKES(RC2_MAC, CK_RC2_PARAMS)
	TAKES(RC2_MAC_GENERAL, CK_RC2_MAC_GENERAL_PARAMS)
	TAKES(RC2_CBC_PAD, CK_RC2_CBC_PARAMS)
	NOTHING(RC4_KEY_GEN)
	NOTHING(RC4)
	NOTHING(DES_KEY_GEN)
	NOTHING(DES_ECB)
	BYTES_AS_IS(DES_CBC)
	NOTHING(DES_MAC)
	TAKES(DES_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(DES_CBC_PAD)
	NOTHING(DES2_KEY_GEN)
	NOTHING(DES3_KEY_GEN)
	NOTHING(DES3_ECB)
	BYTES_AS_IS(DES3_CBC)
	NOTHING(DES3_MAC)
	TAKES(DES3_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(DES3_CBC_PAD)
	TAKES(DES3_CMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(DES3_CMAC)
	NOTHING(CDMF_KEY_GEN)
	NOTHING(CDMF_ECB)
	BYTES_AS_IS(CDMF_CBC)
	NOTHING(CDMF_MAC)
	TAKES(CDMF_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(CDMF_CBC_PAD)
	BYTES_AS_IS(DES_OFB64)
	BYTES_AS_IS(DES_OFB8)
	BYTES_AS_IS(DES_CFB64)
	BYTES_AS_IS(DES_CFB8)
	NOTHING(MD2)
	NOTHING(MD2_HMAC)
	TAKES(MD2_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(MD5)
	NOTHING(MD5_HMAC)
	TAKES(MD5_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA_1)
	NOTHING(SHA_1_HMAC)
	TAKES(SHA_1_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(RIPEMD128)
	NOTHING(RIPEMD128_HMAC)
	TAKES(RIPEMD128_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(RIPEMD160)
	NOTHING(RIPEMD160_HMAC)
	TAKES(RIPEMD160_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA256)
	NOTHING(SHA256_HMAC)
	TAKES(SHA256_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA224)
	NOTHING(SHA224_HMAC)
	TAKES(SHA224_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA384)
	NOTHING(SHA384_HMAC)
	TAKES(SHA384_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA512)
	NOTHING(SHA512_HMAC)
	TAKES(SHA512_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SECURID_KEY_GEN)
	NO_SIGNATURE(SECURID, CK_OTP_PARAMS)
	NOTHING(HOTP_KEY_GEN)
	NO_SIGNATURE(HOTP, CK_OTP_PARAMS)
	NO_SIGNATURE(ACTI, CK_OTP_PARAMS)
	NOTHING(ACTI_KEY_GEN)
	NOTHING(SHA3_256)
	NOTHING(SHA3_256_HMAC)
	TAKES(SHA3_256_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA3_256_KEY_GEN)
	NOTHING(SHA3_224)
	NOTHING(SHA3_224_HMAC)
	TAKES(SHA3_224_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA3_224_KEY_GEN)
	NOTHING(SHA3_384)
	NOTHING(SHA3_384_HMAC)
	TAKES(SHA3_384_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA3_384_KEY_GEN)
	NOTHING(SHA3_512)
	NOTHING(SHA3_512_HMAC)
	TAKES(SHA3_512_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(SHA3_512_KEY_GEN)
	NOTHING(CAST_KEY_GEN)
	NOTHING(CAST_ECB)
	BYTES_AS_IS(CAST_CBC)
	NOTHING(CAST_MAC)
	TAKES(CAST_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(CAST_CBC_PAD)
	NOTHING(CAST3_KEY_GEN)
	NOTHING(CAST3_ECB)
	BYTES_AS_IS(CAST3_CBC)
	NOTHING(CAST3_MAC)
	TAKES(CAST3_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(CAST3_CBC_PAD)
	NOTHING(CAST128_KEY_GEN)
	NOTHING(CAST128_ECB)
	BYTES_AS_IS(CAST128_CBC)
	NOTHING(CAST128_MAC)
	TAKES(CAST128_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(CAST128_CBC_PAD)
	NOTHING(RC5_KEY_GEN)
	TAKES(RC5_ECB, CK_RC5_PARAMS)
	TAKES(RC5_CBC, CK_RC5_CBC_PARAMS)
	TAKES(RC5_MAC, CK_RC5_PARAMS)
	TAKES(RC5_MAC_GENERAL, CK_RC5_MAC_GENERAL_PARAMS)
	TAKES(RC5_CBC_PAD, CK_RC5_CBC_PARAMS)
	NOTHING(IDEA_KEY_GEN)
	NOTHING(IDEA_ECB)
	BYTES_AS_IS(IDEA_CBC)
	NOTHING(IDEA_MAC)
	TAKES(IDEA_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(IDEA_CBC_PAD)
	NOTHING(GENERIC_SECRET_KEY_GEN)
	TAKES(CONCATENATE_BASE_AND_KEY, CK_OBJECT_HANDLE)
	TAKES(CONCATENATE_BASE_AND_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(CONCATENATE_DATA_AND_BASE, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(XOR_BASE_AND_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(EXTRACT_KEY_FROM_KEY, CK_EXTRACT_PARAMS)
	BYTES_AS_IS(SSL3_PRE_MASTER_KEY_GEN)
	TAKES(SSL3_MASTER_KEY_DERIVE, CK_SSL3_MASTER_KEY_DERIVE_PARAMS)
	TAKES(SSL3_KEY_AND_MAC_DERIVE, CK_SSL3_KEY_MAT_PARAMS)
	TAKES(SSL3_MASTER_KEY_DERIVE_DH, CK_SSL3_MASTER_KEY_DERIVE_PARAMS)
	BYTES_AS_IS(TLS_PRE_MASTER_KEY_GEN)
	TAKES(TLS_MASTER_KEY_DERIVE, CK_SSL3_MASTER_KEY_DERIVE_PARAMS)
	TAKES(TLS_KEY_AND_MAC_DERIVE, CK_SSL3_KEY_MAT_PARAMS)
	TAKES(TLS_MASTER_KEY_DERIVE_DH, CK_SSL3_MASTER_KEY_DERIVE_PARAMS)
	TAKES(TLS_PRF, CK_TLS_PRF_PARAMS)
	TAKES(SSL3_MD5_MAC, CK_MAC_GENERAL_PARAMS)
	TAKES(SSL3_SHA1_MAC, CK_MAC_GENERAL_PARAMS)
	NOTHING(MD5_KEY_DERIVATION)
	NOTHING(MD2_KEY_DERIVATION)
	NOTHING(SHA1_KEY_DERIVATION)
	NOTHING(SHA256_KEY_DERIVATION)
	NOTHING(SHA384_KEY_DERIVATION)
	NOTHING(SHA512_KEY_DERIVATION)
	NOTHING(SHA224_KEY_DERIVATION)
	NOTHING(SHA3_256_KEY_DERIVATION)
	NOTHING(SHA3_224_KEY_DERIVATION)
	NOTHING(SHA3_384_KEY_DERIVATION)
	NOTHING(SHA3_512_KEY_DERIVATION)
	NOTHING(SHAKE_128_KEY_DERIVATION)
	NOTHING(SHAKE_256_KEY_DERIVATION)
	TAKES(PBE_MD2_DES_CBC, CK_PBE_PARAMS)
	TAKES(PBE_MD5_DES_CBC, CK_PBE_PARAMS)
	TAKES(PBE_MD5_CAST_CBC, CK_PBE_PARAMS)
	TAKES(PBE_MD5_CAST3_CBC, CK_PBE_PARAMS)
	TAKES(PBE_MD5_CAST128_CBC, CK_PBE_PARAMS)
	TAKES(PBE_SHA1_CAST128_CBC, CK_PBE_PARAMS)
	TAKES(PBE_SHA1_RC4_128, CK_PBE_PARAMS)
	TAKES(PBE_SHA1_RC4_40, CK_PBE_PARAMS)
	TAKES(PBE_SHA1_DES3_EDE_CBC, CK_PBE_PARAMS)
	TAKES(PBE_SHA1_DES2_EDE_CBC, CK_PBE_PARAMS)
	TAKES(PBE_SHA1_RC2_128_CBC, CK_PBE_PARAMS)
	TAKES(PBE_SHA1_RC2_40_CBC, CK_PBE_PARAMS)
	TAKES(SP800_108_COUNTER_KDF, CK_SP800_108_KDF_PARAMS)
	TAKES(SP800_108_FEEDBACK_KDF, CK_SP800_108_FEEDBACK_KDF_PARAMS)
	TAKES(SP800_108_DOUBLE_PIPELINE_KDF, CK_SP800_108_KDF_PARAMS)
	TAKES_EITHER(PKCS5_PBKD2, CK_PKCS5_PBKD2_PARAMS, CK_PKCS5_PBKD2_PARAMS2)
	TAKES(PBA_SHA1_WITH_SHA1_HMAC, CK_PBE_PARAMS)
	BYTES_AS_IS(WTLS_PRE_MASTER_KEY_GEN)
	TAKES(WTLS_MASTER_KEY_DERIVE, CK_WTLS_MASTER_KEY_DERIVE_PARAMS)
	TAKES(WTLS_MASTER_KEY_DERIVE_DH_ECC, CK_WTLS_MASTER_KEY_DERIVE_PARAMS)
	TAKES(WTLS_PRF, CK_WTLS_PRF_PARAMS)
	TAKES(WTLS_SERVER_KEY_AND_MAC_DERIVE, CK_WTLS_KEY_MAT_PARAMS)
	TAKES(WTLS_CLIENT_KEY_AND_MAC_DERIVE, CK_WTLS_KEY_MAT_PARAMS)
	NOTHING(TLS10_MAC_SERVER)
	NOTHING(TLS10_MAC_CLIENT)
	TAKES(TLS12_MAC, CK_TLS_MAC_PARAMS)
	TAKES(TLS12_KDF, CK_TLS_KDF_PARAMS)
	TAKES(TLS12_MASTER_KEY_DERIVE, CK_TLS12_MASTER_KEY_DERIVE_PARAMS)
	TAKES(TLS12_KEY_AND_MAC_DERIVE, CK_TLS12_KEY_MAT_PARAMS)
	TAKES(TLS12_MASTER_KEY_DERIVE_DH, CK_TLS12_MASTER_KEY_DERIVE_PARAMS)
	TAKES(TLS12_KEY_SAFE_DERIVE, CK_TLS12_KEY_MAT_PARAMS)
	TAKES(TLS_MAC, CK_TLS_MAC_PARAMS)
	TAKES(TLS_KDF, CK_TLS_KDF_PARAMS)
	NOTHING(KEY_WRAP_LYNKS)
	TAKES(KEY_WRAP_SET_OAEP, CK_KEY_WRAP_SET_OAEP_PARAMS)
	TAKES(CMS_SIG, CK_CMS_SIG_PARAMS)
	TAKES(KIP_DERIVE, CK_KIP_PARAMS)
	TAKES(KIP_WRAP, CK_KIP_PARAMS)
	TAKES(KIP_MAC, CK_KIP_PARAMS)
	NOTHING(CAMELLIA_KEY_GEN)
	NOTHING(CAMELLIA_ECB)
	BYTES_AS_IS(CAMELLIA_CBC)
	NOTHING(CAMELLIA_MAC)
	TAKES(CAMELLIA_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(CAMELLIA_CBC_PAD)
	TAKES(CAMELLIA_ECB_ENCRYPT_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(CAMELLIA_CBC_ENCRYPT_DATA, CK_AES_CBC_ENCRYPT_DATA_PARAMS)
	TAKES(CAMELLIA_CTR, CK_AES_CTR_PARAMS)
	NOTHING(ARIA_KEY_GEN)
	NOTHING(ARIA_ECB)
	BYTES_AS_IS(ARIA_CBC)
	NOTHING(ARIA_MAC)
	TAKES(ARIA_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(ARIA_CBC_PAD)
	TAKES(ARIA_ECB_ENCRYPT_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(ARIA_CBC_ENCRYPT_DATA, CK_AES_CBC_ENCRYPT_DATA_PARAMS)
	NOTHING(SEED_KEY_GEN)
	NOTHING(SEED_ECB)
	BYTES_AS_IS(SEED_CBC)
	NOTHING(SEED_MAC)
	TAKES(SEED_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(SEED_CBC_PAD)
	TAKES(SEED_ECB_ENCRYPT_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(SEED_CBC_ENCRYPT_DATA, CK_AES_CBC_ENCRYPT_DATA_PARAMS)
	NOTHING(SKIPJACK_KEY_GEN)
	BYTES_AS_IS(SKIPJACK_ECB64)
	BYTES_AS_IS(SKIPJACK_CBC64)
	BYTES_AS_IS(SKIPJACK_OFB64)
	BYTES_AS_IS(SKIPJACK_CFB64)
	BYTES_AS_IS(SKIPJACK_CFB32)
	BYTES_AS_IS(SKIPJACK_CFB16)
	BYTES_AS_IS(SKIPJACK_CFB8)
	NOTHING(SKIPJACK_WRAP)
	TAKES(SKIPJACK_PRIVATE_WRAP, CK_SKIPJACK_PRIVATE_WRAP_PARAMS)
	TAKES(SKIPJACK_RELAYX, CK_SKIPJACK_RELAYX_PARAMS)
	NOTHING(KEA_KEY_PAIR_GEN)
	TAKES(KEA_KEY_DERIVE, CK_KEA_DERIVE_PARAMS)
	TAKES(KEA_DERIVE, CK_KEA_DERIVE_PARAMS)
	NOTHING(FORTEZZA_TIMESTAMP)
	NOTHING(BATON_KEY_GEN)
	BYTES_AS_IS(BATON_ECB128)
	BYTES_AS_IS(BATON_ECB96)
	BYTES_AS_IS(BATON_CBC128)
	BYTES_AS_IS(BATON_COUNTER)
	BYTES_AS_IS(BATON_SHUFFLE)
	NOTHING(BATON_WRAP)
	NOTHING(EC_KEY_PAIR_GEN)
	NOTHING(ECDSA)
	NOTHING(ECDSA_SHA1)
	NOTHING(ECDSA_SHA224)
	NOTHING(ECDSA_SHA256)
	NOTHING(ECDSA_SHA384)
	NOTHING(ECDSA_SHA512)
	NOTHING(ECDSA_SHA3_224)
	NOTHING(ECDSA_SHA3_256)
	NOTHING(ECDSA_SHA3_384)
	NOTHING(ECDSA_SHA3_512)
	TAKES(ECDH1_DERIVE, CK_ECDH1_DERIVE_PARAMS)
	TAKES(ECDH1_COFACTOR_DERIVE, CK_ECDH1_DERIVE_PARAMS)
	TAKES_EITHER(ECMQV_DERIVE, CK_ECMQV_DERIVE_PARAMS, CK_ECDH2_DERIVE_PARAMS)
	TAKES(ECDH_AES_KEY_WRAP, CK_ECDH_AES_KEY_WRAP_PARAMS)
	TAKES(RSA_AES_KEY_WRAP, CK_RSA_AES_KEY_WRAP_PARAMS)
	NOTHING(EC_EDWARDS_KEY_PAIR_GEN)
	NOTHING(EC_MONTGOMERY_KEY_PAIR_GEN)
	TAKES(EDDSA, CK_EDDSA_PARAMS)
	NOTHING(JUNIPER_KEY_GEN)
	BYTES_AS_IS(JUNIPER_ECB128)
	BYTES_AS_IS(JUNIPER_CBC128)
	BYTES_AS_IS(JUNIPER_COUNTER)
	BYTES_AS_IS(JUNIPER_SHUFFLE)
	NOTHING(JUNIPER_WRAP)
	NOTHING(FASTHASH)
	BYTES_AS_IS(AES_XTS)
	NOTHING(AES_XTS_KEY_GEN)
	NOTHING(AES_KEY_GEN)
	NOTHING(AES_ECB)
	BYTES_AS_IS(AES_CBC)
	NOTHING(AES_MAC)
	TAKES(AES_MAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	BYTES_AS_IS(AES_CBC_PAD)
	TAKES(AES_CTR, CK_AES_CTR_PARAMS)
	AEAD(AES_GCM, CK_GCM_PARAMS, CK_NSS_GCM_PARAMS, CK_GCM_MESSAGE_PARAMS, CK_GCM_WRAP_PARAMS)
	AEAD_ONE(AES_CCM, CK_CCM_PARAMS, CK_CCM_MESSAGE_PARAMS, CK_CCM_WRAP_PARAMS)
	BYTES_AS_IS(AES_CTS)
	NOTHING(AES_CMAC)
	TAKES(AES_CMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(AES_XCBC_MAC)
	NOTHING(AES_XCBC_MAC_96)
	BYTES_AS_IS(AES_GMAC)
	NOTHING(BLOWFISH_KEY_GEN)
	BYTES_AS_IS(BLOWFISH_CBC)
	NOTHING(TWOFISH_KEY_GEN)
	BYTES_AS_IS(TWOFISH_CBC)
	BYTES_AS_IS(BLOWFISH_CBC_PAD)
	BYTES_AS_IS(TWOFISH_CBC_PAD)
	TAKES(DES_ECB_ENCRYPT_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(DES_CBC_ENCRYPT_DATA, CK_DES_CBC_ENCRYPT_DATA_PARAMS)
	TAKES(DES3_ECB_ENCRYPT_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(DES3_CBC_ENCRYPT_DATA, CK_DES_CBC_ENCRYPT_DATA_PARAMS)
	TAKES(AES_ECB_ENCRYPT_DATA, CK_KEY_DERIVATION_STRING_DATA)
	TAKES(AES_CBC_ENCRYPT_DATA, CK_AES_CBC_ENCRYPT_DATA_PARAMS)
	NOTHING(GOSTR3410_KEY_PAIR_GEN)
	NOTHING(GOSTR3410)
	BYTES_AS_IS(GOSTR3410_WITH_GOSTR3411)
	TAKES(GOSTR3410_KEY_WRAP, CK_GOSTR3410_KEY_WRAP_PARAMS)
	TAKES(GOSTR3410_DERIVE, CK_GOSTR3410_DERIVE_PARAMS)
	NOTHING(GOSTR3411)
	BYTES_AS_IS(GOSTR3411_HMAC)
	NOTHING(GOST28147_KEY_GEN)
	NOTHING(GOST28147_ECB)
	BYTES_AS_IS(GOST28147)
	BYTES_AS_IS(GOST28147_MAC)
	BYTES_AS_IS(GOST28147_KEY_WRAP)
	NOTHING(CHACHA20_KEY_GEN)
	TAKES(CHACHA20, CK_CHACHA20_PARAMS)
	NOTHING(POLY1305_KEY_GEN)
	NOTHING(POLY1305)
	NOTHING(EC_KEY_PAIR_GEN_W_EXTRA_BITS)
	NOTHING(DSA_PARAMETER_GEN)
	NOTHING(DH_PKCS_PARAMETER_GEN)
	NOTHING(X9_42_DH_PARAMETER_GEN)
	TAKES(DSA_PROBABLISTIC_PARAMETER_GEN, CK_DSA_PARAMETER_GEN_PARAM)
	TAKES(DSA_SHAWE_TAYLOR_PARAMETER_GEN, CK_DSA_PARAMETER_GEN_PARAM)
	TAKES(DSA_FIPS_G_GEN, CK_DSA_PARAMETER_GEN_PARAM)
	BYTES_AS_IS(AES_OFB)
	BYTES_AS_IS(AES_CFB64)
	BYTES_AS_IS(AES_CFB8)
	BYTES_AS_IS(AES_CFB128)
	BYTES_AS_IS(AES_CFB1)
	BYTES_AS_IS(AES_KEY_WRAP)
	BYTES_AS_IS(AES_KEY_WRAP_PAD)
	BYTES_AS_IS(AES_KEY_WRAP_KWP)
	BYTES_AS_IS(AES_KEY_WRAP_PKCS7)
	NOTHING(RSA_PKCS_TPM_1_1)
	NOTHING(RSA_PKCS_OAEP_TPM_1_1)
	NOTHING(SHA_1_KEY_GEN)
	NOTHING(SHA224_KEY_GEN)
	NOTHING(SHA256_KEY_GEN)
	NOTHING(SHA384_KEY_GEN)
	NOTHING(SHA512_KEY_GEN)
	NOTHING(SHA512_224_KEY_GEN)
	NOTHING(SHA512_256_KEY_GEN)
	NOTHING(SHA512_T_KEY_GEN)
	{.type = CKM_NULL, .name = "CKM_NULL", .takes = KMN_TAKES_NOTHING}, /* NULL is a macro */
	NOTHING(BLAKE2B_160)
	NOTHING(BLAKE2B_160_HMAC)
	TAKES(BLAKE2B_160_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(BLAKE2B_160_KEY_DERIVE)
	NOTHING(BLAKE2B_160_KEY_GEN)
	NOTHING(BLAKE2B_256)
	NOTHING(BLAKE2B_256_HMAC)
	TAKES(BLAKE2B_256_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(BLAKE2B_256_KEY_DERIVE)
	NOTHING(BLAKE2B_256_KEY_GEN)
	NOTHING(BLAKE2B_384)
	NOTHING(BLAKE2B_384_HMAC)
	TAKES(BLAKE2B_384_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(BLAKE2B_384_KEY_DERIVE)
	NOTHING(BLAKE2B_384_KEY_GEN)
	NOTHING(BLAKE2B_512)
	NOTHING(BLAKE2B_512_HMAC)
	TAKES(BLAKE2B_512_HMAC_GENERAL, CK_MAC_GENERAL_PARAMS)
	NOTHING(BLAKE2B_512_KEY_DERIVE)
	NOTHING(BLAKE2B_512_KEY_GEN)
	TAKES(SALSA20, CK_SALSA20_PARAMS)
	TAKES_AND_MESSAGE(CHACHA20_POLY1305, CK_SALSA20_CHACHA20_POLY1305_PARAMS, CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS)
	TAKES_AND_MESSAGE(SALSA20_POLY1305, CK_SALSA20_CHACHA20_POLY1305_PARAMS, CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS)
	REFUSED(X3DH_INITIALIZE)
	REFUSED(X3DH_RESPOND)
	REFUSED(X2RATCHET_INITIALIZE)
	REFUSED(X2RATCHET_RESPOND)
	NOTHING(X2RATCHET_ENCRYPT)
	NOTHING(X2RATCHET_DECRYPT)
	TAKES(XEDDSA, CK_XEDDSA_PARAMS)
	TAKES(HKDF_DERIVE, CK_HKDF_PARAMS)
	TAKES(HKDF_DATA, CK_HKDF_PARAMS)
	NOTHING(HKDF_KEY_GEN)
	NOTHING(SALSA20_KEY_GEN)
	TAKES(IKE2_PRF_PLUS_DERIVE, CK_IKE2_PRF_PLUS_DERIVE_PARAMS)
	TAKES(IKE_PRF_DERIVE, CK_IKE_PRF_DERIVE_PARAMS)
	TAKES(IKE1_PRF_DERIVE, CK_IKE1_PRF_DERIVE_PARAMS)
	TAKES(IKE1_EXTENDED_DERIVE, CK_IKE1_EXTENDED_DERIVE_PARAMS)
	NOTHING(HSS_KEY_PAIR_GEN)
	NOTHING(HSS)
	NOTHING(XMSS_KEY_PAIR_GEN)
	NOTHING(XMSSMT_KEY_PAIR_GEN)
	NOTHING(XMSS)
	NOTHING(XMSSMT)
	TAKES(ECDH_X_AES_KEY_WRAP, CK_ECDH_AES_KEY_WRAP_PARAMS)
	TAKES(ECDH_COF_AES_KEY_WRAP, CK_ECDH_AES_KEY_WRAP_PARAMS)
	NOTHING(PUB_KEY_FROM_PRIV_KEY)
};

/* Second names of the standard for a number that has a row above. */
static const struct {
	const char *name;
	uint64_t type;
} aliases[] = {
	{"CKM_ECDSA_KEY_PAIR_GEN", CKM_EC_KEY_PAIR_GEN},
	{"CKM_CAST5_KEY_GEN", CKM_CAST128_KEY_GEN},
	{"CKM_CAST5_ECB", CKM_CAST128_ECB},
	{"CKM_CAST5_CBC", CKM_CAST128_CBC},
	{"CKM_CAST5_MAC", CKM_CAST128_MAC},
	{"CKM_CAST5_MAC_GENERAL", CKM_CAST128_MAC_GENERAL},
	{"CKM_CAST5_CBC_PAD", CKM_CAST128_CBC_PAD},
	{"CKM_PBE_MD5_CAST5_CBC", CKM_PBE_MD5_CAST128_CBC},
	{"CKM_PBE_SHA1_CAST5_CBC", CKM_PBE_SHA1_CAST128_CBC},
	{"CKM_DSA_PROBABILISTIC_PARAMETER_GEN", CKM_DSA_PROBABLISTIC_PARAMETER_GEN},
	{"CKM_SHA3_224_KEY_DERIVE", CKM_SHA3_224_KEY_DERIVATION},
	{"CKM_SHA3_256_KEY_DERIVE", CKM_SHA3_256_KEY_DERIVATION},
	{"CKM_SHA3_384_KEY_DERIVE", CKM_SHA3_384_KEY_DERIVATION},
	{"CKM_SHA3_512_KEY_DERIVE", CKM_SHA3_512_KEY_DERIVATION},
	{"CKM_SHAKE_128_KEY_DERIVE", CKM_SHAKE_128_KEY_DERIVATION},
	{"CKM_SHAKE_256_KEY_DERIVE", CKM_SHAKE_256_KEY_DERIVATION},
};
/* clang-format on */

const struct kmn_mechanism *
kmn_mechanism_at(size_t i)
{
	return i < KMN_COUNT_OF(mechanisms) ? &mechanisms[i] : NULL;
}

const struct kmn_mechanism *
kmn_mechanism_row(uint64_t type)
{
	size_t low = 0, high = KMN_COUNT_OF(mechanisms);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mechanisms[middle].type == type)
			return &mechanisms[middle];
		if (mechanisms[middle].type < type)
			low = middle + 1;
		else
			high = middle;
	}
	return kmn_types_mechanism_row(type, 0);
}

const char *
kmn_mechanism_name(uint64_t type)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(type);

	return row != NULL ? row->name : NULL;
}

bool
kmn_mechanism_of(const char *name, uint64_t *type_out)
{
	const struct kmn_mechanism *described;

	*type_out = 0;
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms); i++) {
		if (strcmp(mechanisms[i].name, name) != 0)
			continue;
		*type_out = mechanisms[i].type;
		return true;
	}
	for (size_t i = 0; i < KMN_COUNT_OF(aliases); i++) {
		if (strcmp(aliases[i].name, name) != 0)
			continue;
		*type_out = aliases[i].type;
		return true;
	}
	if ((described = kmn_types_mechanism_of(name)) != NULL)
		*type_out = described->type;
	return described != NULL;
}

enum kmn_mech_takes
kmn_mechanism_takes(const struct kmn_mechanism *row, enum kmn_param_family family)
{
	if (family == KMN_FAMILY_SIGN && row->no_signature)
		return KMN_TAKES_REFUSED;
	if (family == KMN_FAMILY_MESSAGE && row->takes != KMN_TAKES_REFUSED)
		return row->message != NULL ? KMN_TAKES_STRUCT : KMN_TAKES_NOTHING;
	return family == KMN_FAMILY_WRAP_AUTHENTICATED && row->wrap != NULL ? KMN_TAKES_STRUCT : row->takes;
}

bool
kmn_mechanism_has_layout(const struct kmn_mechanism *row, enum kmn_param_family family, const struct kmn_layout *layout)
{
	if (layout == NULL)
		return false;
	if (family == KMN_FAMILY_MESSAGE)
		return layout == row->message;
	if (family == KMN_FAMILY_WRAP_AUTHENTICATED && row->wrap != NULL)
		return layout == row->wrap;
	return layout == row->layout[0] || layout == row->layout[1];
}

/* CKM_PKCS5_PBKD2: the last length is a number, or a pointer to one; no password is longer than 8192, no pointer less. */
static bool
is_number_and_no_pointer(const struct kmn_layout *layout, const uint8_t *parameter)
{
	CK_ULONG value;

	memcpy(&value, parameter + layout->fields[layout->field_count - 1].len_at, sizeof(value));
	return value <= 8192;
}

const struct kmn_layout *
kmn_mechanism_layout(
    const struct kmn_mechanism *row, enum kmn_param_family family, const void *parameter, size_t len_bytes)
{
	const struct kmn_layout *first = row->layout[0], *second = row->layout[1];

	if (family == KMN_FAMILY_MESSAGE)
		first = row->message;
	else if (family == KMN_FAMILY_WRAP_AUTHENTICATED && row->wrap != NULL)
		first = row->wrap;
	if (first != row->layout[0])
		return first != NULL && first->size == len_bytes ? first : NULL;
	if (first != NULL && first->size == len_bytes && second != NULL && second->size == len_bytes)
		return is_number_and_no_pointer(second, parameter) ? second : first;
	if (first != NULL && first->size == len_bytes)
		return first;
	return second != NULL && second->size == len_bytes ? second : NULL;
}

const struct kmn_layout *
kmn_layout_of(uint8_t id)
{
	return id < LAYOUT_COUNT ? &layouts[id] : NULL;
}
