/* Tokens of which something is wrong: sealed, or degraded, until the policy's quorum reopens them. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define MINUTES UINT64_C(60000)
#define SEAL "stance root seal\nstance spare degrade\n" WORLD_RULES
#define OCSP "rule ocsp\n  client other\n  calls key-use\n  need none\n  class B\n"

static struct world w;

static kmn_err
anomaly(const char *token)
{
	json_t *body = json_pack("{s:s,s:s}", "what", "what the HSM shows is another", "detail", "serial 43");

	if (token != NULL)
		json_object_set_new(body, "token", json_string(token));
	return world_append(&w, KMN_R_ANOMALY, body);
}

static enum kmn_stance
stance(const char *token)
{
	struct kmn_anomaly out;

	return kmn_quorum_stance(w.quorum, token, &out);
}

static bool
is_met(uint64_t request)
{
	return kmn_quorum_is_met(w.quorum, kmn_quorum_request(w.quorum, request), (int64_t)w.t);
}

static kmn_err
reopen(const char *token, size_t i, const char *names)
{
	const struct kmn_policy *policy = kmn_quorum_policy(w.quorum);
	char named[KMN_SIGNED_PAIR_BYTES], at[KMN_SIGNED_PAIR_BYTES];
	struct kmn_signed_pair pair[] = {{"origin", "kanmon.example/gw1/2026"}, {"policy", named}, {"token", token},
	    {"anomaly", at}, {"reason", "looked at"}};

	kmn_signed_number_hash(kmn_policy_version(policy), kmn_policy_sha256(policy), named);
	kmn_signed_number_hash(i, w.ref[i].leaf, at);
	return world_signed(&w, KMN_SIGNED_REOPEN, pair, KMN_COUNT_OF(pair), names);
}

static void
test_seal(void)
{
	uint64_t r;
	size_t first, second;

	world_init(&w, SEAL);
	r = world_request(&w, "ca", "x");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL));
	CU_ASSERT_TRUE(is_met(r));
	CU_ASSERT_EQUAL(anomaly("spare"), KMN_OK); /* another token's */
	CU_ASSERT_TRUE(is_met(r));
	first = w.count;
	CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_SEAL);
	CU_ASSERT_FALSE(is_met(r));
	second = w.count;
	CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
	CU_ASSERT_EQUAL(reopen("root", first, "sato suzuki"), KMN_E_CORRUPT); /* another came since */
	CU_ASSERT_EQUAL(reopen("root", second, "sato"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(reopen("root", second, "sato sato2"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(reopen("root", second, "mori kato"), KMN_E_CORRUPT); /* not of role policy */
	CU_ASSERT_EQUAL(reopen("spare", second, "sato suzuki"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_SEAL);
	CU_ASSERT_EQUAL(reopen("root", second, "sato tanaka"), KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_NONE);
	CU_ASSERT_EQUAL(stance("spare"), KMN_STANCE_DEGRADE);
	CU_ASSERT_TRUE(is_met(r));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(world_result(&w, r, 5), KMN_OK);
	CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_SEAL);
	world_clear(&w);
}

/* What a gateway that goes on all the same would write. */
static void
test_found(void)
{
	uint64_t r;

	world_init(&w, SEAL);
	r = world_request(&w, "ca", "x");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL));
	CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_E_CORRUPT);
	CU_ASSERT_STRING_EQUAL(w.finding.check, "V6");
	CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "sealed"));
	world_clear(&w);
}

static kmn_err
complaint(const char *cause, const char *client, const char *token)
{
	static const uint8_t hash[KMN_HASH_BYTES];
	json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:i,s:i,s:o,s:o}", "what", "a client refused a receipt", "detail",
	    "C_Sign", "cause", cause, "client", client, "chan", 1, "seq", 4, "req_sha256",
	    kmn_json_b64(hash, sizeof(hash)), "resp_sha256", kmn_json_b64(hash, sizeof(hash)));
	kmn_err e;

	if (token != NULL)
		json_object_set_new(body, "token", json_string(token));
	if ((e = world_append(&w, KMN_R_ANOMALY, body)) != KMN_OK)
		CU_ASSERT_STRING_EQUAL(w.finding.check, "V6");
	return e;
}

static void
test_complaint(void)
{
	json_t *half = json_pack("{s:s,s:s,s:s,s:s}", "what", "x", "detail", "y", "token", "root", "client", "ca");

	world_init(&w, SEAL);
	CU_ASSERT_EQUAL(complaint("receipt", "ca", "root"), KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_SEAL);
	CU_ASSERT_EQUAL(stance("spare"), KMN_STANCE_NONE);
	CU_ASSERT_EQUAL(complaint("receipt", "ca", NULL), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(complaint("receipt", "nobody", "root"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(complaint("receipt", "ca", "nowhere"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(complaint("a rumour", "ca", "root"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_ANOMALY, half), KMN_E_CORRUPT);
	world_clear(&w);
}

static kmn_err
deny(uint64_t request, const char *verdict, const char *reason)
{
	json_t *body;

	CU_ASSERT_EQUAL_FATAL(
	    kmn_quorum_decision_body(w.quorum, kmn_quorum_request(w.quorum, request), verdict, &body), KMN_OK);
	if (reason != NULL)
		json_object_set_new(body, "reason", json_string(reason));
	return world_append(&w, KMN_R_DECISION, body);
}

/* The reason of a denial is what the records say it is; one that nobody gave stays valid. */
static void
test_reason(void)
{
	static const char *const wrong[] = {"rule", "stale", "call", "a word of its own", ""};

	for (size_t n = 0; n < KMN_COUNT_OF(wrong); n++) {
		world_init(&w, SEAL);
		CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
		CU_ASSERT_EQUAL(deny(world_request(&w, "ca", "x"), "deny", wrong[n]), KMN_E_CORRUPT);
		CU_ASSERT_STRING_EQUAL(w.finding.check, "V6");
		world_clear(&w);
	}
	world_init(&w, SEAL);
	CU_ASSERT_EQUAL(deny(world_request(&w, "ca", "x"), "deny", "seal"), KMN_E_CORRUPT); /* nothing is wrong yet */
	world_clear(&w);
	world_init(&w, SEAL);
	CU_ASSERT_EQUAL(deny(world_request(&w, "ca", "x"), "withdrawn", "call"), KMN_E_CORRUPT);
	world_clear(&w);
	world_init(&w, SEAL);
	CU_ASSERT_EQUAL(deny(world_request(&w, "ca", "x"), "deny", "call"), KMN_OK);
	CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
	CU_ASSERT_EQUAL(deny(world_request(&w, "ca", "y"), "deny", "seal"), KMN_OK);
	CU_ASSERT_EQUAL(deny(world_request(&w, "ca", "z"), "deny", NULL), KMN_OK);
	world_clear(&w);
}

static kmn_err
op_on(const char *token_label, uint64_t dur_ms)
{
	uint8_t zero[32] = {0};

	return world_append(&w, KMN_R_OP,
	    json_pack("{s:i,s:i,s:i,s:{s:s,s:s,s:s},s:s,s:{},s:s,s:{s:i,s:o},s:I,s:s,s:{},s:I,s:o,s:o}", "chan", 1,
		"sess", 1, "seq", 1, "key", "class", "private-key", "label", "ocsp", "token", token_label, "op",
		"C_Sign", "mech", "rule", "ocsp", "policy", "version", 1, "sha256",
		kmn_json_b64(kmn_policy_sha256(kmn_quorum_policy(w.quorum)), KMN_HASH_BYTES), "rv", (json_int_t)0,
		"rv_name", "CKR_OK", "hsm", "dur_us", (json_int_t)dur_ms * 1000, "req_sha256",
		kmn_json_b64(zero, sizeof(zero)), "resp_sha256", kmn_json_b64(zero, sizeof(zero))));
}

static void
test_degrade(void)
{
	uint64_t r;

	world_init(&w, "stance root degrade\n" WORLD_RULES OCSP);
	CU_ASSERT_EQUAL(op_on("Root token", 1), KMN_OK);
	CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_DEGRADE);
	CU_ASSERT_EQUAL(op_on("Root token", 1), KMN_OK); /* it may have begun before */
	/* What is approved and recorded as class A goes on. */
	r = world_request(&w, "ca", "x");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL));
	CU_ASSERT_TRUE(is_met(r));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	w.t += 2 * MINUTES;
	CU_ASSERT_EQUAL(op_on("Root token", 3 * MINUTES), KMN_OK);
	CU_ASSERT_EQUAL(op_on("Root token", 1), KMN_E_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "degraded"));
	world_clear(&w);
}

static void
test_causes(void)
{
	size_t i;

	world_init(&w, SEAL);
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_CLOCK,
			    json_pack("{s:I,s:I,s:s,s:s}", "before", (json_int_t)w.t, "after", (json_int_t)w.t + 5000,
				"source", "CLOCK_BOOTTIME", "reason", "set forward")),
	    KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_NONE);
	i = w.count;
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_CLOCK,
			    json_pack("{s:I,s:I,s:s,s:s}", "before", (json_int_t)w.t, "after", (json_int_t)w.t - 5000,
				"source", "CLOCK_BOOTTIME", "reason", "set back")),
	    KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_SEAL);
	CU_ASSERT_EQUAL(stance("spare"), KMN_STANCE_DEGRADE);
	CU_ASSERT_EQUAL(reopen("root", i, "sato suzuki"), KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_NONE);
	CU_ASSERT_EQUAL(stance("spare"), KMN_STANCE_DEGRADE); /* each token for itself */
	world_clear(&w);

	/* A policy without the lines is told, and nothing follows. */
	world_init(&w, WORLD_RULES);
	CU_ASSERT_EQUAL(anomaly("root"), KMN_OK);
	CU_ASSERT_EQUAL(anomaly(NULL), KMN_OK);
	CU_ASSERT_EQUAL(stance("root"), KMN_STANCE_NONE);
	world_clear(&w);
}

int
main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
	    {"a sealed token waits until the policy's quorum reopens it, by its last anomaly", test_seal},
	    {"a call on a sealed token is found in the ledger", test_found},
	    {"a degraded token goes on as class A, and as nothing else", test_degrade},
	    {"causes of all tokens, and a policy without stances", test_causes},
	    {"a complaint about a token that the client may not use is found in the ledger", test_complaint},
	    {"the reason of a denial is the one that the records give", test_reason},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"quorum/stance", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
