/* What test_pkcs11_nss.c, which alone sees NSS' headers, tells of them. */
#ifndef KANMON_TESTS_PKCS11_H
#define KANMON_TESTS_PKCS11_H

#include <stddef.h>

struct nss_constant {
	const char *name;
	unsigned long value;
};
/* NULL where NSS has no such name. */
const struct nss_constant *nss_constant(const char *name);

struct nss_struct {
	const char *name;
	size_t size, last; /* offset of its last member */
};

#define NSS_STRUCTS(ROW) \
	ROW(CK_INTERFACE, flags) \
	ROW(CK_GCM_MESSAGE_PARAMS, ulTagBits) \
	ROW(CK_CCM_MESSAGE_PARAMS, ulMACLen) \
	ROW(CK_SALSA20_CHACHA20_POLY1305_PARAMS, ulAADLen) \
	ROW(CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS, pTag) \
	ROW(CK_CHACHA20_PARAMS, ulNonceBits) \
	ROW(CK_SALSA20_PARAMS, ulNonceBits) \
	ROW(CK_PRF_DATA_PARAM, ulValueLen) \
	ROW(CK_SP800_108_COUNTER_FORMAT, ulWidthInBits) \
	ROW(CK_SP800_108_DKM_LENGTH_FORMAT, ulWidthInBits) \
	ROW(CK_DERIVED_KEY, phKey) \
	ROW(CK_SP800_108_KDF_PARAMS, pAdditionalDerivedKeys) \
	ROW(CK_SP800_108_FEEDBACK_KDF_PARAMS, pAdditionalDerivedKeys) \
	ROW(CK_EDDSA_PARAMS, pContextData) \
	ROW(CK_HKDF_PARAMS, ulInfoLen) \
	ROW(CK_X3DH_INITIATE_PARAMS, pOwn_ephemeral) \
	ROW(CK_X3DH_RESPOND_PARAMS, pInitiator_ephemeral) \
	ROW(CK_X2RATCHET_INITIALIZE_PARAMS, kdfMechanism) \
	ROW(CK_X2RATCHET_RESPOND_PARAMS, kdfMechanism) \
	ROW(CK_XEDDSA_PARAMS, hash)
extern const struct nss_struct nss_structs[];

/* Members of parameters, in the order of nss_members.inc. */
struct nss_member {
	const char *type, *member;
	size_t size, at, bytes; /* of the structure; where the member is in it, and how long */
};
extern const struct nss_member nss_param_members[];
#define NSS_MEMBER(type, member) {#type, #member, sizeof(type), offsetof(type, member), sizeof(((type *)0)->member)},

extern const size_t nss_function_list_bytes, nss_member_count, nss_members[];

#endif
