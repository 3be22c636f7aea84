/* Runs CUnit suites and reports each case in TAP, which make check counts. */
#ifndef KANMON_TESTS_RUN_H
#define KANMON_TESTS_RUN_H

#include <CUnit/CUnit.h>

/* The main() of a test program; `suites` ends with CU_SUITE_INFO_NULL. With arguments, only cases whose
 * "suite: case" contains one of them run. */
int kmn_test_main(int argc, char **argv, CU_SuiteInfo *suites);

#endif
