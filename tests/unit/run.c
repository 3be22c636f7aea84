#include "tests/unit/run.h"

#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned cases_run, cases_failed;

/* One TAP line for a finished case, and a comment for each check that did not hold. */
static void
report(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
	cases_run++;
	if (failure != NULL)
		cases_failed++;
	printf("%s %u - %s: %s\n", failure == NULL ? "ok" : "not ok", cases_run, suite->pName, test->pName);
	for (CU_pFailureRecord f = failure; f != NULL; f = f->pNext)
		printf("# %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
	fflush(stdout);
}

static bool
wanted(int argc, char **argv, const char *suite, const char *test)
{
	char name[512];

	if (argc < 2)
		return true;
	snprintf(name, sizeof(name), "%s: %s", suite, test);
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]) != NULL)
			return true;
	return false;
}

int
kmn_test_main(int argc, char **argv, CU_SuiteInfo *suites)
{
	unsigned total = 0;

	for (CU_SuiteInfo *s = suites; s->pName != NULL; s++)
		for (CU_TestInfo *t = s->pTests; t->pName != NULL; t++)
			total += wanted(argc, argv, s->pName, t->pName);
	printf("1..%u\n", total);
	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
		printf("Bail out! %s\n", CU_get_error_msg());
		return 1;
	}
	for (CU_pSuite s = CU_get_registry()->pSuite; s != NULL; s = s->pNext)
		for (CU_pTest t = s->pTest; t != NULL; t = t->pNext)
			t->fActive = wanted(argc, argv, s->pName, t->pName) ? CU_TRUE : CU_FALSE;
	CU_set_fail_on_inactive(CU_FALSE);
	CU_set_test_complete_handler(report);
	if (CU_run_all_tests() != CUE_SUCCESS)
		printf("Bail out! %s\n", CU_get_error_msg());
	CU_cleanup_registry();
	return cases_run == total && cases_failed == 0 ? 0 : 1;
}
