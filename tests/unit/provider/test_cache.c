/* What is kept is given out only while nothing happened: each thing that can happen makes the next call cross. */
#include "config.h"

#include <stdlib.h>

#include "provider/cache.h"
#include "tests/unit/provider/module.h"
#include "tests/unit/run.h"

#define SESSION 7u

static struct gateway *g;

/* How many of two calls crossed. */
static unsigned
info(CK_SESSION_HANDLE session)
{
	unsigned before = atomic_load(&g->runs);
	CK_SESSION_INFO i;

	CU_ASSERT_EQUAL(p11->C_GetSessionInfo(session, &i), atomic_load(&g->rv));
	CU_ASSERT_EQUAL(p11->C_GetSessionInfo(session, &i), atomic_load(&g->rv));
	return atomic_load(&g->runs) - before;
}

static unsigned
mechanisms(CK_SLOT_ID slot)
{
	unsigned before = atomic_load(&g->runs);
	CK_ULONG n = 0;

	CU_ASSERT_EQUAL(p11->C_GetMechanismList(slot, NULL, &n), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_GetMechanismList(slot, NULL, &n), CKR_OK);
	return atomic_load(&g->runs) - before;
}

static void
test_same_question(void)
{
	CK_ULONG n = 0;

	g = begin("");
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(info(SESSION), 0);
	CU_ASSERT_EQUAL(info(SESSION + 1), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 0);
	CU_ASSERT_EQUAL(mechanisms(2), 1);
	n = 5; /* another room is another question */
	CU_ASSERT_EQUAL(p11->C_GetMechanismList(1, NULL, &n), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 5);
	end(g);
}

static void
test_none(void)
{
	g = begin("savings = \"none\"\n");
	CU_ASSERT_EQUAL(info(SESSION), 2);
	CU_ASSERT_EQUAL(info(SESSION), 2);
	CU_ASSERT_EQUAL(mechanisms(1), 2);
	end(g);
}

static void
test_calls_that_change(void)
{
	CK_UTF8CHAR pin[] = "1234", label[] = "a token with a label of 32 bytes";

	g = begin("");
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(plain_call(SESSION, 1), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 0); /* that one changes nothing */
	CU_ASSERT_EQUAL(p11->C_Login(SESSION + 1, CKU_USER, pin, 4), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1); /* a login is every session's */
	CU_ASSERT_EQUAL(p11->C_Logout(SESSION), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(p11->C_CloseSession(SESSION + 1), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(p11->C_CloseAllSessions(3), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(p11->C_InitPIN(SESSION, pin, 4), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(p11->C_SetPIN(SESSION, pin, 4, pin, 4), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 1);
	CU_ASSERT_EQUAL(p11->C_InitToken(1, pin, 4, label), CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 1);
	end(g);
}

static void
test_failures(void)
{
	g = begin("");
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 1);
	atomic_store(&g->rv, CKR_DATA_LEN_RANGE);
	CU_ASSERT_EQUAL(plain_call(SESSION + 1, 1), CKR_DATA_LEN_RANGE);
	CU_ASSERT_EQUAL(info(SESSION), 2); /* ulDeviceError may tell why; and a failure is not kept */
	atomic_store(&g->rv, CKR_OK);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 0);
	atomic_store(&g->rv, CKR_DEVICE_REMOVED);
	CU_ASSERT_EQUAL(plain_call(SESSION + 1, 1), CKR_DEVICE_REMOVED);
	atomic_store(&g->rv, CKR_OK);
	CU_ASSERT_EQUAL(mechanisms(1), 1);
	end(g);
}

static void
test_the_line(void)
{
	g = begin("");
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 1);
	atomic_store(&g->chatter, 1); /* a notice of a slot waits on the idle connection */
	CU_ASSERT_EQUAL(plain_call(SESSION, 1), CKR_OK);
	atomic_store(&g->chatter, 0);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 1);
	CU_ASSERT_EQUAL(mechanisms(1), 0);
	atomic_store(
	    &g->idle_cut, 1); /* each connection is gone after its answer: nobody can say that all is as it was */
	CU_ASSERT_EQUAL(plain_call(SESSION, 2), CKR_OK);
	pause_ms(KMN_HEARD_MS + 50);
	CU_ASSERT_TRUE(mechanisms(1) >= 1); /* the second may be before the line is cut again */
	atomic_store(&g->idle_cut, 0);
	end(g);
}

static void
test_time(void)
{
	g = begin("");
	CU_ASSERT_EQUAL(info(SESSION), 1);
	pause_ms(KMN_FRESH_MS + 50);
	CU_ASSERT_EQUAL(info(SESSION), 1);
	end(g);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"the same question crosses once, another one by itself", test_same_question},
	    {"with savings = none every call crosses", test_none},
	    {"after login, logout, close, PIN calls and C_InitToken the state is asked for again",
		test_calls_that_change},
	    {"after a call that failed too, and after trouble everything", test_failures},
	    {"a notice on an idle connection, and one that is gone, are seen before anything is given out",
		test_the_line},
	    {"the state of a session is believed for a second", test_time},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {.pName = "provider/cache", .pTests = tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
