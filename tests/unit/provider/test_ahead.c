/* Handles that came along with C_FindObjectsInit, given out as the module would have given them. */
#include <string.h>

#include "provider/ahead.h"
#include "tests/unit/run.h"

static struct kmn_ahead_reply reply[KMN_AHEAD_CALLS];
static struct kmn_ahead ahead;
static CK_OBJECT_HANDLE got[256];
static CK_ULONG given, rest;
static CK_RV rv;

/* What came: handles count from 1 through both. */
static void
came(CK_ULONG first, CK_ULONG second)
{
	CK_ULONG n[KMN_AHEAD_CALLS] = {first, second}, next = 0;

	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++) {
		reply[i] = (struct kmn_ahead_reply){.asked = true, .rv = CKR_OK, .count = n[i]};
		for (CK_ULONG k = 0; k < n[i]; k++)
			reply[i].handle[k] = ++next;
	}
}

/* Asks for `max`; true if it came to this state and so many, the first of which is number `from`. */
static bool
gives(CK_ULONG max, enum kmn_ahead_state state, CK_ULONG n, CK_ULONG from)
{
	enum kmn_ahead_state was;

	memset(got, 0, sizeof(got));
	was = kmn_ahead_give(&ahead, got, max, &rv, &given, &rest);
	return was == state && given == n && (n == 0 || (got[0] == from && got[n - 1] == from + n - 1)) && got[n] == 0;
}

static void
test_few(void)
{
	came(3, 0);
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(1, KMN_AHEAD_GIVEN, 1, 1) && rv == CKR_OK);
	CU_ASSERT_TRUE(gives(10, KMN_AHEAD_GIVEN, 2, 2) && rv == CKR_OK);
	CU_ASSERT_TRUE(gives(10, KMN_AHEAD_GIVEN, 0, 0) && rv == CKR_OK);
	CU_ASSERT_TRUE(gives(10, KMN_AHEAD_NONE, 0, 0)); /* it has said so once: the module is asked */
}

static void
test_many(void)
{
	came(KMN_AHEAD_HANDLES, 10);
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(70, KMN_AHEAD_GIVEN, 70, 1));
	CU_ASSERT_TRUE(gives(70, KMN_AHEAD_PART, 4, 71) && rest == 66);
	CU_ASSERT_TRUE(gives(70, KMN_AHEAD_NONE, 0, 0) && rest == 70);
	came(KMN_AHEAD_HANDLES, KMN_AHEAD_HANDLES);
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(200, KMN_AHEAD_PART, 2 * KMN_AHEAD_HANDLES, 1) && rest == 200 - 2 * KMN_AHEAD_HANDLES);
}

static void
test_batches(void)
{
	came(10, 10); /* it was asked for more, gave 10, and had more: no caller gets more than 10 at once from it */
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(64, KMN_AHEAD_GIVEN, 10, 1));
	CU_ASSERT_TRUE(gives(4, KMN_AHEAD_GIVEN, 4, 11));
	CU_ASSERT_TRUE(gives(64, KMN_AHEAD_PART, 6, 15) && rest == 4);
	CU_ASSERT_TRUE(gives(64, KMN_AHEAD_NONE, 0, 0));
}

static void
test_errors(void)
{
	came(2, 0);
	reply[1].rv = CKR_DEVICE_MEMORY;
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(1, KMN_AHEAD_GIVEN, 1, 1) && rv == CKR_OK);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_GIVEN, 1, 2) && rv == CKR_OK);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_GIVEN, 0, 0) && rv == CKR_DEVICE_MEMORY);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_NONE, 0, 0));
	reply[0].rv = CKR_DEVICE_REMOVED;
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_GIVEN, 0, 0) && rv == CKR_DEVICE_REMOVED);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_NONE, 0, 0));
}

static void
test_search_that_did_not_begin(void)
{
	came(2, 0); /* of one that was active before */
	kmn_ahead_begin(&ahead, false, reply);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_PART, 2, 1) && rest == 7);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_NONE, 0, 0));
	reply[0].rv = reply[1].rv = CKR_OPERATION_NOT_INITIALIZED;
	kmn_ahead_begin(&ahead, false, reply);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_NONE, 0, 0));
}

static void
test_not_asked(void)
{
	came(KMN_AHEAD_HANDLES, 5);
	reply[1].asked = false;
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(100, KMN_AHEAD_PART, KMN_AHEAD_HANDLES, 1));
	came(3, 5);
	reply[1].asked = false;
	kmn_ahead_begin(&ahead, true, reply);
	CU_ASSERT_TRUE(gives(9, KMN_AHEAD_PART, 3, 1) && rest == 6);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a few: up to the room, then no more, then the module is asked", test_few},
	    {"many: filled up from the module", test_many},
	    {"a module that gives no more than so many at once does so here", test_batches},
	    {"an error comes when it is its turn, once", test_errors},
	    {"handles of an older search are not lost when a new one fails to begin", test_search_that_did_not_begin},
	    {"a call that never ran says nothing", test_not_asked},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {.pName = "provider/ahead", .pTests = tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
