/* Which records a bundle takes, told one by one. */
#include "config.h"

#include "kanmon/gather.h"
#include "tests/unit/run.h"

#define REQUEST 10u
#define SAYS 5000u /* more than a bundle holds */

static kmn_err
tell(struct kmn_gather *g, enum kmn_record_kind kind, uint64_t i, const char *member, const char *check)
{
	const struct kmn_ref request = {.i = REQUEST};
	struct kmn_record record = {.kind = kind, .i = i};
	json_t *body = json_pack("{s:o, s:s}", member, kmn_ref_json(&request), "check", check);
	kmn_err e;

	record.body = body;
	e = kmn_gather_record(g, &record);
	json_decref(body);
	return e;
}

/* Who can say something about a request again and again leaves room for its decision and result. */
static void
test_said_again(void)
{
	struct kmn_gather *g = kmn_gather_new(1000000);
	uint64_t i = REQUEST;

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	g->request = REQUEST;
	CU_ASSERT_EQUAL(tell(g, KMN_R_INTENT, i, "none", ""), KMN_OK);
	for (unsigned n = 0; n < SAYS; n++) {
		CU_ASSERT_EQUAL(tell(g, KMN_R_ACTION, ++i, "subject", ""), KMN_OK);
		CU_ASSERT_EQUAL(tell(g, KMN_R_APPROVAL, ++i, "request", "no signature"), KMN_OK);
	}
	CU_ASSERT_EQUAL(tell(g, KMN_R_APPROVAL, ++i, "request", "ok"), KMN_OK);
	CU_ASSERT_EQUAL(tell(g, KMN_R_DECISION, ++i, "request", ""), KMN_OK);
	CU_ASSERT_EQUAL(g->count, 3 + 2 * KMN_GATHER_SAID_MAX);
	CU_ASSERT_EQUAL(g->part[g->count - 2], i - 1);
	CU_ASSERT_EQUAL(g->last, i);
	kmn_gather_free(g);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"what is said again and again about a request makes its bundle no longer than it may be", test_said_again},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"ledger/gather", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
