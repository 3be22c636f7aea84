/* The table of return codes: docs/calls.md has the same rows, and errors=device touches the starred ones only. */
#include "config.h"

#include "provider/fate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/run.h"

/* One function of each column. */
static const enum kmn_call_id columns[] = {
    KMN_C_GetTokenInfo, KMN_C_Sign, KMN_C_Login, KMN_C_OpenSession, KMN_C_CloseSession};

static void
read_manual(char *text, size_t size)
{
	const char *top = getenv("srcdir");
	char path[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/docs/calls.md", top != NULL ? top : ".");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f = fopen(path, "r"));
	text[fread(text, 1, size - 1, f)] = '\0';
	CU_ASSERT_EQUAL(fclose(f), 0);
}

static void
test_manual(void)
{
	static char text[65536];
	size_t rows = 0;

	read_manual(text, sizeof(text));
	for (enum kmn_fate fate = 0; fate < KMN_FATE_COUNT; fate++) {
		bool starred = kmn_fate_rv(fate, KMN_C_Sign, KMN_CLIENT_ERRORS_DEVICE) !=
			       kmn_fate_rv(fate, KMN_C_Sign, KMN_CLIENT_ERRORS_STANDARD);
		char row[512];
		int n = snprintf(row, sizeof(row), "\n| %s%s |", kmn_fate_text(fate), starred ? " *" : "");

		for (size_t i = 0; i < KMN_COUNT_OF(columns); i++)
			n += snprintf(row + n, sizeof(row) - (size_t)n, " %s |",
			    kmn_rv_name(kmn_fate_rv(fate, columns[i], KMN_CLIENT_ERRORS_STANDARD)) + strlen("CKR_"));
		if (strstr(text, row) == NULL) {
			printf("# docs/calls.md lacks%s\n", row);
			CU_FAIL("see the line above");
		}
		rows++;
	}
	CU_ASSERT_EQUAL(rows, KMN_FATE_COUNT);
}

static void
test_device(void)
{
	for (enum kmn_fate fate = 0; fate < KMN_FATE_COUNT; fate++) {
		for (size_t i = 0; i < KMN_COUNT_OF(columns); i++) {
			CK_RV standard = kmn_fate_rv(fate, columns[i], KMN_CLIENT_ERRORS_STANDARD);
			CK_RV device = kmn_fate_rv(fate, columns[i], KMN_CLIENT_ERRORS_DEVICE);

			if (standard == CKR_FUNCTION_REJECTED || standard == CKR_FUNCTION_CANCELED)
				CU_ASSERT_EQUAL(device, CKR_DEVICE_ERROR)
			else
				CU_ASSERT_EQUAL(device, standard);
		}
	}
}

static void
test_kin(void)
{
	for (enum kmn_fate fate = 0; fate < KMN_FATE_COUNT; fate++) {
		CU_ASSERT_EQUAL(kmn_fate_rv(fate, KMN_C_LoginUser, KMN_CLIENT_ERRORS_STANDARD),
		    kmn_fate_rv(fate, KMN_C_Login, KMN_CLIENT_ERRORS_STANDARD));
		CU_ASSERT_EQUAL(kmn_fate_rv(fate, KMN_C_CloseAllSessions, KMN_CLIENT_ERRORS_STANDARD),
		    kmn_fate_rv(fate, KMN_C_CloseSession, KMN_CLIENT_ERRORS_STANDARD));
		CU_ASSERT_EQUAL(kmn_fate_rv(fate, KMN_C_SignMessage, KMN_CLIENT_ERRORS_STANDARD),
		    kmn_fate_rv(fate, KMN_C_Sign, KMN_CLIENT_ERRORS_STANDARD));
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"the manual has each row", test_manual},
	    {"errors=device collapses refusals and nothing else", test_device},
	    {"functions of one kind are told the same", test_kin},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"provider/fate", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
