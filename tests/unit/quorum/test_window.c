/* Windows, from records alone: who opens one, who may use it, how uses are counted, what ends it. */
#include "config.h"

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES \
	"rule standing\n" \
	"  client ca\n" \
	"  # what follows bounds each use\n" \
	"  object pkcs11:token=root;object=root-ca\n" \
	"\n" \
	"  calls key-use   # signatures, for the most part\n" \
	"  mechanisms CKM_ECDSA_SHA256 \"CKM_ECDSA_SHA384\"\n" \
	"  need keepers\n" \
	"  independent 2\n" \
	"  expires 4h\n" \
	"  per window 2h uses 3\n" \
	"rule single\n" \
	"  client ca\n" \
	"  object pkcs11:token=root;object=root-ca\n" \
	"  calls key-management\n" \
	"  need keepers\n" \
	"rule other\n" \
	"  client ca other\n" \
	"  calls session query login random key-management\n" \
	"  need none\n"

#define HOUR 3600000

static json_t *
opening_of(struct world *w, const char *client, const char *rule, int seconds, int uses)
{
	json_t *body = world_intent(w, client, (const uint8_t *)"x", 1);

	json_object_del(body, "in");
	json_object_del(body, "norm");
	json_object_set_new(body, "mech", json_object());
	json_object_set_new(body, "op", json_string("window"));
	json_object_set_new(
	    body, "window", json_pack("{s:s, s:i, s:i}", "rule", rule, "seconds", seconds, "uses", uses));
	return body;
}

static const struct kmn_request *
get(const struct world *w, uint64_t i)
{
	return kmn_quorum_request(w->quorum, i);
}

static bool
has_ended(const struct world *w, uint64_t i, const char *state)
{
	return strcmp(kmn_request_state_name(get(w, i)->state), state) == 0 && get(w, i)->ended_t != 0;
}

/* The request for a window, with its statement. */
static uint64_t
ask(struct world *w)
{
	uint64_t i = w->count;
	struct kmn_head head;
	json_t *body = NULL;

	CU_ASSERT_EQUAL_FATAL(world_append(w, KMN_R_INTENT, opening_of(w, "ca", "standing", 7200, 3)), KMN_OK);
	CU_ASSERT_TRUE(get(w, i)->held && get(w, i)->window);
	world_head(w, &head);
	CU_ASSERT_EQUAL_FATAL(kmn_quorum_statement_body(w->quorum, get(w, i), &head, &body), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(world_append(w, KMN_R_STATEMENT, body), KMN_OK);
	return i;
}

static uint64_t
open_window(struct world *w)
{
	uint64_t i = ask(w);

	CU_ASSERT_TRUE(world_vote(w, i, "sato suzuki", KMN_APPROVE, NULL));
	CU_ASSERT_EQUAL(world_decide(w, i, "open"), KMN_OK);
	return i;
}

static uint64_t
intend(struct world *w, const char *data)
{
	CU_ASSERT_EQUAL(
	    world_append(w, KMN_R_INTENT, world_intent(w, "ca", (const uint8_t *)data, strlen(data))), KMN_OK);
	return w->count - 1;
}

/* The decision of a use, as the keeper makes it; NULL: the window gives none. */
static json_t *
use_body(struct world *w, uint64_t request, uint64_t window)
{
	json_t *body = NULL;
	kmn_err e = kmn_quorum_use_body(w->quorum, get(w, request), get(w, window), (int64_t)w->t, &body);

	CU_ASSERT_TRUE(e == KMN_OK || e == KMN_E_DENIED);
	return body;
}

static bool
use(struct world *w, uint64_t window)
{
	uint64_t i = intend(w, "data");
	json_t *body = use_body(w, i, window);

	if (body == NULL) {
		CU_ASSERT_EQUAL(world_decide(w, i, "deny"), KMN_OK);
		return false;
	}
	CU_ASSERT_EQUAL(world_append(w, KMN_R_DECISION, body), KMN_OK);
	CU_ASSERT_EQUAL(get(w, i)->window_i, window);
	CU_ASSERT_EQUAL(world_result(w, i, 0), KMN_OK);
	return true;
}

/* What an auditor says of the whole ledger: "" for nothing. */
static const char *
audited(struct world *w)
{
	static struct kmn_finding finding;

	memset(&finding, 0, sizeof(finding));
	(void)world_replay(w, &finding, NULL);
	return finding.text;
}

static void
test_life(void)
{
	struct kmn_quorum_counts counts;
	struct world w;
	uint64_t i;

	world_init(&w, RULES);
	i = open_window(&w);
	CU_ASSERT_EQUAL(get(&w, i)->until, (int64_t)w.t + 2 * HOUR);
	CU_ASSERT_PTR_NULL(kmn_quorum_ends(w.quorum, get(&w, i), (int64_t)w.t));
	for (unsigned n = 1; n <= 3; n++) {
		CU_ASSERT_TRUE(use(&w, i));
		CU_ASSERT_EQUAL(get(&w, i)->used, n);
	}
	CU_ASSERT_STRING_EQUAL(kmn_quorum_ends(w.quorum, get(&w, i), (int64_t)w.t), "spent");
	CU_ASSERT_FALSE(use(&w, i));
	CU_ASSERT_EQUAL(world_decide(&w, i, "spent"), KMN_OK);
	CU_ASSERT_TRUE(has_ended(&w, i, "spent"));
	CU_ASSERT_FALSE(use(&w, i));
	kmn_quorum_counts(w.quorum, &counts);
	CU_ASSERT_TRUE(counts.windows == 1 && counts.uses == 3 && counts.open == 0 && counts.unfinished == 0);
	CU_ASSERT_STRING_EQUAL(audited(&w), "");
	world_clear(&w);
}

static void
test_statement(void)
{
	static const char *const wanted[] = {
	    "\nindependent 2\nper window 2h uses 3\ndecision approve\noperation window\n"
	    "mechanism none\nparams none\ntoken Root token 0123ABCD\n",
	    "\ninput-len none\ninput-sha256 none\ninput-kind none\nrequester ca ",
	    "\npurpose Monthly CRL\nconstraint object pkcs11:token=root;object=root-ca\nconstraint calls key-use\n"
	    "constraint mechanisms CKM_ECDSA_SHA256 \"CKM_ECDSA_SHA384\"\nuses 3\nnot-before "};
	struct world w;
	uint64_t i;

	world_init(&w, RULES);
	i = ask(&w);
	for (size_t n = 0; n < KMN_COUNT_OF(wanted); n++) {
		if (strstr(get(&w, i)->statement, wanted[n]) == NULL)
			printf("# %s\n", get(&w, i)->statement);
		CU_ASSERT_PTR_NOT_NULL(strstr(get(&w, i)->statement, wanted[n]));
	}
	world_clear(&w);
}

static const struct {
	const char *says, *client, *rule;
	int seconds, uses;
	const char *why;
} openings[] = {
    {"as the rule says", "ca", "standing", 7200, 3, NULL},
    {"longer", "ca", "standing", 7201, 3, "a window of rule standing is 7200 s and 3 uses"},
    {"more", "ca", "standing", 7200, 4, "a window of rule standing is 7200 s and 3 uses"},
    {"of a rule per operation", "ca", "single", 7200, 3,
	"rule single has no window: what it holds is approved one by one"},
    {"of a free rule", "ca", "other", 7200, 3, "rule other asks for no approval: there is nothing to open"},
    {"of no rule", "ca", "none", 7200, 3, "the policy has no such rule for client ca"},
    {"of another's rule", "other", "standing", 7200, 3, "the policy has no such rule for client other"},
    {"of a stranger", "nobody", "standing", 7200, 3, "the caller is no client of policy version 1"},
};

static void
test_openings(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(openings); n++) {
		const char *why = openings[n].why;
		struct world w;

		world_init(&w, RULES);
		CU_ASSERT_EQUAL(
		    world_append(&w, KMN_R_INTENT,
			opening_of(&w, openings[n].client, openings[n].rule, openings[n].seconds, openings[n].uses)),
		    KMN_OK);
		CU_ASSERT_EQUAL(get(&w, w.count - 1)->held, why == NULL);
		if (why != NULL && strcmp(get(&w, w.count - 1)->verdict.reason, why) != 0)
			printf("# %s: %s\n", openings[n].says, get(&w, w.count - 1)->verdict.reason);
		if (why != NULL)
			CU_ASSERT_STRING_EQUAL(get(&w, w.count - 1)->verdict.reason, why);
		world_clear(&w);
	}
}

/* Where the ledger says what no window gives, the auditor finds it. */
static void
refused(struct world *w, json_t *body, const char *why)
{
	CU_ASSERT_EQUAL(world_append(w, KMN_R_DECISION, body), KMN_E_CORRUPT);
	if (strstr(w->finding.text, why) == NULL)
		printf("# %s\n", w->finding.text);
	CU_ASSERT_PTR_NOT_NULL(strstr(w->finding.text, why));
	CU_ASSERT_STRING_EQUAL(audited(w), w->finding.text);
}

static void
test_not_opened(void)
{
	struct world w;
	uint64_t i;

	world_init(&w, RULES);
	i = ask(&w);
	CU_ASSERT_FALSE(use(&w, i));
	CU_ASSERT_TRUE(world_vote(&w, i, "sato", KMN_APPROVE, NULL));
	CU_ASSERT_EQUAL(world_decide(&w, i, "open"), KMN_E_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "rule standing is not met"));
	world_clear(&w);
	world_init(&w, RULES);
	i = ask(&w);
	CU_ASSERT_TRUE(world_vote(&w, i, "sato suzuki", KMN_APPROVE, NULL));
	CU_ASSERT_EQUAL(world_decide(&w, i, "allow"), KMN_E_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "a window is opened once"));
	world_clear(&w);
}

/* Uses as numbered by somebody who wants one more, or one twice. */
static void
test_counted(void)
{
	static const int wrong[] = {0, 1, 3, 4, 1000};

	for (size_t n = 0; n < KMN_COUNT_OF(wrong); n++) {
		struct world w;
		uint64_t i;
		json_t *body;

		world_init(&w, RULES);
		i = open_window(&w);
		CU_ASSERT_TRUE(use(&w, i));
		body = use_body(&w, intend(&w, "two"), i);
		json_object_set_new(body, "use", json_integer(wrong[n]));
		refused(&w, body, "and use 2 is due");
		world_clear(&w);
	}
}

static void
test_one_too_many(void)
{
	struct world w;
	uint64_t i;
	json_t *body;

	world_init(&w, RULES);
	i = open_window(&w);
	CU_ASSERT_TRUE(use(&w, i) && use(&w, i));
	body = use_body(&w, intend(&w, "forced"), i);
	CU_ASSERT_TRUE(use(&w, i));
	json_object_set_new(body, "use", json_integer(4));
	refused(&w, body, "was not open (time, uses, veto or policy)");
	world_clear(&w);
}

static void
test_forced(void)
{
	for (size_t n = 0; n < 2; n++) {
		struct world w;
		json_t *body;
		uint64_t i;

		world_init(&w, RULES);
		i = open_window(&w);
		body = use_body(&w, intend(&w, "data"), i);
		if (n == 0)
			json_object_del(body, "window");
		else
			json_array_append(json_object_get(body, "approvals"), json_object_get(body, "request"));
		CU_ASSERT_EQUAL(world_append(&w, KMN_R_DECISION, body), KMN_E_CORRUPT);
		CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "approvals"));
		CU_ASSERT_STRING_EQUAL(audited(&w), w.finding.text);
		world_clear(&w);
	}
}

/* Another key, though by the same rule; and a call that no window is for. */
static void
test_other_key(void)
{
	struct world w;
	json_t *intent, *body, *window;
	uint64_t i, r;

	world_init(&w, RULES);
	i = open_window(&w);
	body = use_body(&w, intend(&w, "data"), i);
	window = json_incref(json_object_get(body, "window"));
	json_decref(body);
	intent = world_intent(&w, "ca", (const uint8_t *)"data", 4);
	json_object_set_new(json_object_get(intent, "key"), "serial", json_string("0123ABCE"));
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, intent), KMN_OK);
	r = w.count - 1;
	CU_ASSERT_PTR_NULL(use_body(&w, r, i));
	CU_ASSERT_PTR_NULL(kmn_quorum_window(w.quorum, get(&w, r)->client_spki_sha256, "standing",
	    json_object_get(get(&w, r)->intent, "key"), (int64_t)w.t));
	CU_ASSERT_EQUAL(kmn_quorum_decision_body(w.quorum, get(&w, r), "allow", &body), KMN_OK);
	json_object_set(body, "window", window);
	json_object_set_new(body, "approvals", json_array());
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_DECISION, body), KMN_E_CORRUPT);
	json_decref(window);
	world_clear(&w);
}

static void
test_time(void)
{
	struct world w;
	json_t *body;
	uint64_t i, r;

	world_init(&w, RULES);
	i = open_window(&w);
	w.t = (uint64_t)get(&w, i)->until - 100;
	CU_ASSERT_TRUE(use(&w, i));
	r = intend(&w, "late");
	body = use_body(&w, r, i);
	w.t = (uint64_t)get(&w, i)->until + 3000;
	CU_ASSERT_FALSE(use(&w, i));
	CU_ASSERT_STRING_EQUAL(kmn_quorum_ends(w.quorum, get(&w, i), (int64_t)w.t), "expired");
	refused(&w, body, "was not open");
	world_clear(&w);
	world_init(&w, RULES);
	i = open_window(&w);
	CU_ASSERT_EQUAL(world_decide(&w, i, "expired"), KMN_E_CORRUPT);
	world_clear(&w);
	world_init(&w, RULES);
	i = open_window(&w);
	w.t = (uint64_t)get(&w, i)->until;
	CU_ASSERT_EQUAL(world_decide(&w, i, "expired"), KMN_OK);
	CU_ASSERT_TRUE(has_ended(&w, i, "expired"));
	CU_ASSERT_STRING_EQUAL(audited(&w), "");
	world_clear(&w);
}

static void
test_stopped(void)
{
	const char *why = NULL;
	struct world w;
	uint64_t i;

	world_init(&w, RULES);
	i = open_window(&w);
	CU_ASSERT_TRUE(use(&w, i));
	CU_ASSERT_FALSE(world_vote(&w, i, "tanaka", KMN_REJECT, &why));
	CU_ASSERT_STRING_EQUAL(why, "the request is window");
	CU_ASSERT_FALSE(world_vote(&w, i, "tanaka", KMN_VETO, &why));
	CU_ASSERT_TRUE(use(&w, i));
	CU_ASSERT_TRUE(world_vote(&w, i, "ito", KMN_VETO, &why));
	CU_ASSERT_STRING_EQUAL(kmn_quorum_ends(w.quorum, get(&w, i), (int64_t)w.t), "vetoed");
	CU_ASSERT_FALSE(use(&w, i));
	CU_ASSERT_EQUAL(world_decide(&w, i, "vetoed"), KMN_OK);
	CU_ASSERT_TRUE(has_ended(&w, i, "vetoed"));
	i = open_window(&w);
	CU_ASSERT_TRUE(use(&w, i));
	CU_ASSERT_EQUAL(world_decide(&w, i, "withdrawn"), KMN_OK);
	CU_ASSERT_FALSE(use(&w, i));
	CU_ASSERT_STRING_EQUAL(audited(&w), "");
	world_clear(&w);
}

static void
test_new_policy(void)
{
	char *text, *note;
	struct world w;
	uint64_t i;

	world_init(&w, RULES);
	i = open_window(&w);
	CU_ASSERT_TRUE(use(&w, i));
	text = world_policy(2, kmn_policy_sha256(kmn_quorum_policy(w.quorum)), RULES);
	note = world_sign(text, "sato suzuki");
	CU_ASSERT_EQUAL(
	    world_append(&w, KMN_R_POLICY,
		json_pack("{s:i, s:s, s:I}", "version", 2, "note", note, "effective_after", (json_int_t)w.t)),
	    KMN_OK);
	CU_ASSERT_STRING_EQUAL(kmn_quorum_ends(w.quorum, get(&w, i), (int64_t)w.t), "withdrawn");
	CU_ASSERT_FALSE(use(&w, i));
	CU_ASSERT_EQUAL(world_decide(&w, i, "withdrawn"), KMN_OK);
	CU_ASSERT_TRUE(use(&w, open_window(&w)));
	CU_ASSERT_STRING_EQUAL(audited(&w), "");
	free(text);
	free(note);
	world_clear(&w);
}

/* A crash between decision and result: nobody knows whether the HSM acted, so the use is gone. */
static void
test_crash(void)
{
	struct world w;
	json_t *open = NULL;
	uint64_t i, r;

	world_init(&w, RULES);
	i = open_window(&w);
	r = intend(&w, "data");
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_DECISION, use_body(&w, r, i)), KMN_OK);
	CU_ASSERT_EQUAL(kmn_quorum_open_requests(w.quorum, &open), KMN_OK);
	CU_ASSERT_EQUAL(json_array_size(open), 1);
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_RECOVERY,
			    json_pack("{s:s, s:{}, s:o, s:[]}", "reason", "killed", "last_commit", "open_requests",
				open, "guards")),
	    KMN_OK);
	CU_ASSERT_EQUAL(get(&w, r)->state, KMN_REQUEST_UNDECIDED);
	CU_ASSERT_EQUAL(get(&w, i)->used, 1);
	CU_ASSERT_TRUE(use(&w, i) && use(&w, i));
	CU_ASSERT_FALSE(use(&w, i));
	CU_ASSERT_STRING_EQUAL(audited(&w), "");
	world_clear(&w);
}

/* Several at once: each use is one number, whatever the order of results. */
static void
test_together(void)
{
	struct world w;
	uint64_t i, r[3];

	world_init(&w, RULES);
	i = open_window(&w);
	for (unsigned n = 0; n < 3; n++) {
		r[n] = intend(&w, "data");
		CU_ASSERT_EQUAL(world_append(&w, KMN_R_DECISION, use_body(&w, r[n], i)), KMN_OK);
	}
	CU_ASSERT_FALSE(use(&w, i));
	for (unsigned n = 3; n-- > 0;)
		CU_ASSERT_EQUAL(world_result(&w, r[n], 0), KMN_OK);
	CU_ASSERT_EQUAL(get(&w, i)->used, 3);
	CU_ASSERT_STRING_EQUAL(audited(&w), "");
	world_clear(&w);
}

/* The older is used up first; one that is asked for meanwhile waits for its own votes. */
static void
test_two(void)
{
	struct world w;
	const struct kmn_request *found;
	const json_t *key;
	uint64_t i, next;

	world_init(&w, RULES);
	i = open_window(&w);
	next = ask(&w);
	key = json_object_get(get(&w, i)->intent, "key");
	found = kmn_quorum_window(w.quorum, get(&w, i)->client_spki_sha256, "standing", key, (int64_t)w.t);
	CU_ASSERT_TRUE(found != NULL && found->i == i);
	CU_ASSERT_EQUAL(world_decide(&w, i, "withdrawn"), KMN_OK);
	key = json_object_get(get(&w, i)->intent, "key");
	found = kmn_quorum_window(w.quorum, get(&w, i)->client_spki_sha256, "standing", key, (int64_t)w.t);
	CU_ASSERT_TRUE(found != NULL && found->i == next && found->state == KMN_REQUEST_OFFERED);
	world_clear(&w);
}

int
main(int argc, char **argv)
{
	CU_TestInfo cases[] = {
	    {"opened by its quorum, used to its end", test_life},
	    {"the statement has the rule's bounds", test_statement},
	    {"only what the rule gives is asked for", test_openings},
	    {"nothing runs before it is opened", test_not_opened},
	    {"uses are counted without gap or repetition", test_counted},
	    {"no use beyond the last", test_one_too_many},
	    {"a decision without its window or with other votes", test_forced},
	    {"a window is for one key", test_other_key},
	    {"its time ends it", test_time},
	    {"veto and withdrawal end it", test_stopped},
	    {"a new policy ends it", test_new_policy},
	    {"a crash after the decision uses it", test_crash},
	    {"uses at once", test_together},
	    {"two for the same", test_two},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"window", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
