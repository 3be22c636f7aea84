/*
 * Our header of PKCS#11 3.x against NSS' of 3.0: every constant that both have,
 * and the sizes and members of the structures. Names come from the header
 * itself (pkcs11_names.h, made by the build).
 */
#include "tests/unit/run.h"
#include "tests/unit/transport/test_pkcs11.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/calls.h"

/* NSS had its own numbers for these before 3.2 gave them ours, and still has. */
static const char *const others[] = {"CKA_TRUST_SERVER_AUTH", "CKA_TRUST_CLIENT_AUTH", "CKA_TRUST_CODE_SIGNING",
    "CKA_TRUST_EMAIL_PROTECTION", "CKA_TRUST_TIME_STAMPING"};

#define NAME(name) {#name, name},
static const struct nss_constant ours[] = {
#include "tests/unit/transport/pkcs11_names.h"
};
#undef NAME

static bool
is_other(const char *name)
{
	for (size_t i = 0; i < KMN_COUNT_OF(others); i++)
		if (strcmp(others[i], name) == 0)
			return true;
	return false;
}

static void
test_constants(void)
{
	unsigned both = 0, different = 0;

	CU_ASSERT_TRUE(KMN_COUNT_OF(ours) > 300);
	for (size_t i = 0; i < KMN_COUNT_OF(ours); i++) {
		const struct nss_constant *theirs = nss_constant(ours[i].name);

		both += theirs != NULL;
		if (theirs == NULL || theirs->value == ours[i].value || is_other(ours[i].name))
			continue;
		different++;
		printf("# %s is 0x%lx, NSS has 0x%lx\n", ours[i].name, ours[i].value, theirs->value);
	}
	CU_ASSERT_EQUAL(different, 0);
	CU_ASSERT_TRUE(both > 200);
}

#define SIZE(type, last) {#type, sizeof(type), offsetof(type, last)},
static const struct nss_struct structs[] = {NSS_STRUCTS(SIZE)};
#undef SIZE

static void
test_structures(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(structs); i++) {
		CU_ASSERT_STRING_EQUAL(nss_structs[i].name, structs[i].name);
		CU_ASSERT_EQUAL(nss_structs[i].size, structs[i].size);
		CU_ASSERT_EQUAL(nss_structs[i].last, structs[i].last);
	}
}

#define MEMBER NSS_MEMBER
static const struct nss_member param_members[] = {
#include "tests/unit/transport/nss_members.inc"
};
#undef MEMBER

/* Each member of each parameter, of 2.40 and the historical ones too. */
static void
test_members(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(param_members); i++) {
		const struct nss_member *mine = &param_members[i], *theirs = &nss_param_members[i];

		if (mine->size != theirs->size || mine->at != theirs->at || mine->bytes != theirs->bytes) {
			printf(
			    "# %s: %s is at %zu, NSS has it at %zu\n", mine->type, mine->member, mine->at, theirs->at);
			CU_FAIL("a member is not where NSS has it");
		}
	}
}

/* The order of the functions is the interface. */
#define AT_0x0228(symbol) offsetof(CK_FUNCTION_LIST_3_0, symbol),
#define AT_0x0300(symbol) offsetof(CK_FUNCTION_LIST_3_0, symbol),
#define AT_0x0302(symbol)
static const size_t members[] = {
#define KMN_CALL(symbol, since, ...) AT_##since(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};

static void
test_function_list(void)
{
	CU_ASSERT_EQUAL(nss_function_list_bytes, sizeof(CK_FUNCTION_LIST_3_0));
	CU_ASSERT_EQUAL(nss_member_count, KMN_COUNT_OF(members));
	for (size_t i = 0; i < KMN_COUNT_OF(members); i++)
		CU_ASSERT_EQUAL(nss_members[i], members[i]);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"constants are those of NSS' header", test_constants},
	    {"structures have the layout of NSS' header", test_structures},
	    {"every member of every parameter is where NSS has it", test_members},
	    {"the function list of 3.0 has the order of NSS' header", test_function_list},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"transport/pkcs11", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
