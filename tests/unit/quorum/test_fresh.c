/* Limits of a policy on time stamps, and a clock that lags: what is refused, and found when it was not. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define FREE_RULES \
	"rule free\n  client ca\n  object pkcs11:token=root;object=root-ca\n  calls key-use\n  need none\n" \
	"rule other\n  client ca\n  calls session query login random key-management\n  need none\n"
#define HOUR UINT64_C(3600000)

static bool
is_stale(const struct world *w, char durability)
{
	struct kmn_stale stale;
	bool is = kmn_quorum_is_stale(w->quorum, durability, (int64_t)w->t, &stale);

	CU_ASSERT_EQUAL(is, stale.reason[0] != '\0');
	return is;
}

static void
put_anchor(struct world *w)
{
	uint8_t hash[KMN_HASH_BYTES] = {1};

	CU_ASSERT_EQUAL(world_append(w, KMN_R_ANCHOR,
			    json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:s}", "size", 1, "note", "n", "tsa",
				"one", "imprint_alg", "sha256", "nonce_tsa", "00", "token", "AA==", "chain_sha256",
				kmn_json_b64(hash, sizeof(hash)), "gen_time", (json_int_t)w->t, "policy_oid", "1.2.3")),
	    KMN_OK);
}

/* An intent and the decision `allow`, at once. */
static kmn_err
run(struct world *w)
{
	static uint8_t n;
	kmn_err e = world_append(w, KMN_R_INTENT, world_intent(w, "ca", &n, 1));
	uint64_t i = w->count - 1;

	n++;
	return e != KMN_OK ? e : world_decide(w, i, "allow");
}

static void
test_class_a(void)
{
	struct world w;

	world_init(&w, "anchors within 1h refuse A\n" FREE_RULES);
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	w.t += HOUR - 1000;
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	put_anchor(&w);
	w.t += HOUR - 1000;
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	w.t += 6000;
	CU_ASSERT_TRUE(is_stale(&w, 'A'));
	CU_ASSERT_FALSE(is_stale(&w, 'B'));
	CU_ASSERT_EQUAL(run(&w), KMN_E_CORRUPT);
	CU_ASSERT_STRING_EQUAL(w.finding.check, "V9");
	put_anchor(&w);
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	world_clear(&w);
}

static void
test_classes(void)
{
	static const struct {
		const char *line;
		bool a, b;
	} cases[] = {
	    {"", false, false},
	    {"anchors within 1h refuse none\n", false, false},
	    {"anchors within 1h refuse A\n", true, false},
	    {"anchors within 1h refuse AB\n", true, true},
	    {"anchors within 2d refuse AB\n", false, false},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		char rules[512];
		struct world w;

		strcpy(rules, cases[n].line);
		strcat(rules, FREE_RULES);
		world_init(&w, rules);
		w.t += 2 * HOUR;
		CU_ASSERT_EQUAL(is_stale(&w, 'A'), cases[n].a);
		CU_ASSERT_EQUAL(is_stale(&w, 'B'), cases[n].b);
		world_clear(&w);
	}
}

static void
test_held(void)
{
	struct world w;
	const char *why;
	uint64_t r;

	world_init(&w, "anchors within 1h refuse A\n" WORLD_RULES);
	w.t += 2 * HOUR;
	r = world_request(&w, "ca", "x");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, &why));
	CU_ASSERT_FALSE(kmn_quorum_is_met(w.quorum, kmn_quorum_request(w.quorum, r), (int64_t)w.t));
	put_anchor(&w);
	CU_ASSERT_TRUE(kmn_quorum_is_met(w.quorum, kmn_quorum_request(w.quorum, r), (int64_t)w.t));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	world_clear(&w);
}

static void
put_clock(struct world *w, uint64_t before, uint64_t after)
{
	CU_ASSERT_EQUAL(world_append(w, KMN_R_CLOCK,
			    json_pack("{s:I, s:I, s:s, s:s}", "before", (json_int_t)before, "after", (json_int_t)after,
				"source", "CLOCK_BOOTTIME", "reason", "step")),
	    KMN_OK);
}

static void
test_clock(void)
{
	struct world w;
	uint64_t t;

	world_init(&w, FREE_RULES);
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	put_clock(&w, w.t, w.t + HOUR); /* forward stops nobody */
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	t = w.t;
	put_clock(&w, t, t - HOUR); /* the ledger's time stands still until the clock is there again */
	CU_ASSERT_TRUE(is_stale(&w, 'A'));
	CU_ASSERT_FALSE(is_stale(&w, 'B'));
	w.t = t - 10; /* a ledger does not count on while its clock lags */
	CU_ASSERT_EQUAL(run(&w), KMN_E_CORRUPT);
	CU_ASSERT_STRING_EQUAL(w.finding.check, "V10");
	w.t = t + 3000;
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	world_clear(&w);
}

static CU_TestInfo tests[] = {
    {"past the limit class A is refused until the next time stamp, and a decision that went on is found", test_class_a},
    {"a limit refuses the classes that its line names", test_classes},
    {"a request that is approved waits for the time stamp", test_held},
    {"a clock that went back stops class A until it has caught up", test_clock},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"quorum/fresh", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
