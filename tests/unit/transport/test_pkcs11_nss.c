/* NSS' headers, and no other PKCS#11: both define the same names. */
#include "tests/unit/transport/test_pkcs11.h"

#include <pkcs11.h>
#include <pkcs11n.h>
#include <string.h>

static const struct nss_constant constants[] = {
#include "tests/unit/transport/pkcs11_nss_names.h"
};

const struct nss_constant *
nss_constant(const char *name)
{
	for (size_t i = 0; i < sizeof(constants) / sizeof(*constants); i++)
		if (strcmp(constants[i].name, name) == 0)
			return &constants[i];
	return NULL;
}

#define SIZE(type, last) {#type, sizeof(type), offsetof(type, last)},
const struct nss_struct nss_structs[] = {NSS_STRUCTS(SIZE)};

#define MEMBER NSS_MEMBER
const struct nss_member nss_param_members[] = {
#include "tests/unit/transport/nss_members.inc"
};

#define AT_0x0228(symbol) offsetof(CK_FUNCTION_LIST_3_0, symbol),
#define AT_0x0300(symbol) offsetof(CK_FUNCTION_LIST_3_0, symbol),
#define AT_0x0302(symbol)
const size_t nss_members[] = {
#define KMN_CALL(symbol, since, ...) AT_##since(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};
const size_t nss_member_count = sizeof(nss_members) / sizeof(*nss_members);
const size_t nss_function_list_bytes = sizeof(CK_FUNCTION_LIST_3_0);
