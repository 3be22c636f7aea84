/*
 * Histories of requests in a random order of votes, time, policies, withdrawals, uses of a window, lost answers and
 * crashes. A small model says by rules of docs/policy.md what each request must be after each step; the real keeper must
 * say the same, and in the end the records say it to the auditor. KMN_TEST_LONG=1: 1,200 histories; KMN_TEST_SEED=N: from
 * that one on; a failure prints the seed and all steps of its history.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/quorum.h"
#include "tests/unit/keeper/scene.h"
#include "tests/unit/run.h"

#define HISTORIES 24
#define HISTORIES_LONG 1200
#define PER_KEEPER 8 /* histories, one after the other */
#define STEPS 22
#define MODELS 3 /* requests of a history: a call that waits, one made ahead, a window */
#define LIFE_MS (3600 * 1000)
#define USES 3
#define SETTLE 400

static const char rules[] = "rule guarded\n  client ca\n  object pkcs11:token=mock-1;object=seed\n  calls key-use\n"
			    "  need keepers\n  expires 1h\n"
			    "rule standing\n  client other\n  object pkcs11:token=mock-1;object=seed\n  calls key-use\n"
			    "  need keepers\n  per window 1h uses 3\n  expires 1h\n"
			    "rule rest\n  client ca other\n  calls login session query\n  need none\n# edition 0\n";

static const char *const people[] = {"sato", "suzuki", "tanaka"}; /* the last has a veto */
enum { WAITING_CALL, AHEAD, WINDOW };

struct model {
	struct scene_request *r;
	const char *state;
	char data[32];
	int votes[KMN_COUNT_OF(people)]; /* 0 none, 1 approved, -1 rejected */
	int64_t ends;
	unsigned used;
	bool waits; /* a call stands behind it */
};

static struct scene scene;
static struct model model[MODELS];
static char steps[4096];
static unsigned edition;

/* How requests ended: random histories that never come to one of these would show nothing of it. */
static struct {
	const char *state;
	unsigned times;
} ended[] = {
    {"done", 0}, {"rejected", 0}, {"vetoed", 0}, {"expired", 0}, {"withdrawn", 0}, {"undecided", 0}, {"spent", 0}};

static uint64_t
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static void
note(const char *what, const char *of)
{
	size_t n = strlen(steps);

	snprintf(steps + n, sizeof(steps) - n, "%s %s; ", what, of);
}

/* ---- the model ----------------------------------------------------------------------------------------------------- */

static bool
is(const struct model *m, const char *state)
{
	return strcmp(m->state, state) == 0;
}

static bool
is_open(const struct model *m)
{
	return is(m, "open") || is(m, "approved");
}

static unsigned
votes(const struct model *m, int of)
{
	unsigned n = 0;

	for (size_t i = 0; i < KMN_COUNT_OF(people); i++)
		n += m->votes[i] == of;
	return n;
}

/* The call behind a request comes back with its signature: it is on disk then, and no crash takes it. */
static const char *
take_answer(struct model *m)
{
	struct scene_request *call = scene_request(&scene, m->r->name);

	CU_ASSERT_PTR_NOT_NULL_FATAL(call->payload);
	CU_ASSERT_STRING_EQUAL(scene_again(&scene, call), "ok");
	m->waits = false;
	return "done";
}

/* What follows by itself, of votes and of time. */
static void
settle(struct model *m)
{
	if (is_open(m) && scene_now(&scene) > m->ends) {
		m->state = "expired";
	} else if (is_open(m) && votes(m, -1) > 1) {
		m->state = "rejected";
	} else if (is_open(m) && votes(m, 1) > 1) {
		if (m == &model[WINDOW]) {
			m->state = "window";
			m->ends = scene_now(&scene) + LIFE_MS;
		} else {
			m->state = m->waits ? take_answer(m) : "approved";
		}
	} else if (is(m, "window") && scene_now(&scene) > m->ends) {
		m->state = "expired";
	} else if (is(m, "window") && m->used == USES) {
		m->state = "spent";
	}
}

/* Whether the keeper says so too; what is under way gets a moment. */
static bool
agrees(const struct model *m)
{
	const char *told = scene_state(&scene, m->r);

	for (int i = 0; i < SETTLE && strcmp(told, m->state) != 0; i++) {
		rig_pump(&scene.rig, 10);
		told = scene_state(&scene, m->r);
	}
	if (strcmp(told, m->state) != 0)
		printf("# %s: the model says %s, the keeper says %s\n", m->r->name, m->state, told);
	return strcmp(told, m->state) == 0;
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

static void
step_vote(uint64_t *random, struct model *m)
{
	size_t who = next_random(random) % KMN_COUNT_OF(people), kind = next_random(random) % 10;
	enum kmn_decision decision = kind < 8 ? KMN_APPROVE : kind < 9 ? KMN_REJECT : KMN_VETO;
	bool counts =
	    decision == KMN_VETO ? who == 2 && (is_open(m) || is(m, "window")) : is_open(m) && m->votes[who] == 0;
	const char *check = scene_vote(&scene, m->r, decision, people[who]);

	note(kmn_quorum_vote_type(decision), people[who]);
	note("of", m->r->name);
	/* a window that is open takes approvals no more; what ended takes nothing */
	if (strcmp(check, "ok") != 0 && counts)
		printf("# a vote that must count does not: %s\n", check);
	CU_ASSERT_TRUE((strcmp(check, "ok") == 0) == counts);
	if (!counts)
		return;
	if (decision == KMN_VETO)
		m->state = "vetoed";
	else
		m->votes[who] = decision == KMN_APPROVE ? 1 : -1;
}

static void
step_pass(uint64_t *random)
{
	scene_pass(&scene, (int64_t)(1 + next_random(random) % 40) * 60000 + 1000);
	note("time", "passes");
}

static void
step_policy(void)
{
	char old[32], new[32];
	const char *pairs[] = {old, new, NULL};

	snprintf(old, sizeof(old), "# edition %u\n", edition);
	snprintf(new, sizeof(new), "# edition %u\n", ++edition);
	CU_ASSERT_STRING_EQUAL(scene_submit(&scene, pairs, "sato suzuki"), "ok");
	for (size_t n = 0; n < MODELS; n++)
		if (is_open(&model[n]) || is(&model[n], "window"))
			model[n].state = "withdrawn";
	note("a new", "policy");
}

static void
step_withdraw(struct model *m)
{
	bool may = is_open(m) || is(m, "window");

	CU_ASSERT_EQUAL(strcmp(scene_withdraw(&scene, m->r, m->r->by), "ok") == 0, may);
	if (may)
		m->state = "withdrawn";
	note("withdrawn", m->r->name);
}

static void
attach_both(void)
{
	CU_ASSERT_STRING_EQUAL(scene_attach(&scene, SCENE_CA), "ok");
	CU_ASSERT_STRING_EQUAL(scene_attach(&scene, SCENE_OTHER), "ok");
}

static void
step_crash(bool kill)
{
	if (kill)
		scene_crash(&scene);
	scene_restart(&scene);
	attach_both();
	for (size_t n = 0; n < MODELS; n++)
		model[n].waits = false;
	note(kill ? "killed" : "stopped", "and started");
}

/* The call that a request made ahead, or one whose caller is gone, waits for: it runs at once if it may. */
static void
step_call(struct model *m)
{
	struct scene_signing what = {
	    .name = m->r->name, .key = "seed", .data = m->data, .by = SCENE_CA, .mechanism = CKM_ECDSA_SHA256};
	size_t before = scene.requests;

	if (!is_open(m) || m->waits)
		return;
	CU_ASSERT_STRING_EQUAL(scene_sign(&scene, &what), "held");
	CU_ASSERT_EQUAL(scene.requests, before + 1);
	CU_ASSERT_EQUAL(scene.request[before].id, m->r->id); /* it joins */
	m->waits = true;
	if (is(m, "approved") && scene.lost == NULL)
		m->state = take_answer(m);
	note("a call for", m->r->name);
}

static void
step_use(struct model *m)
{
	struct scene_signing what = {
	    .name = "use", .key = "seed", .data = "of the window", .by = SCENE_OTHER, .mechanism = CKM_ECDSA_SHA256};

	if (!is(m, "window"))
		return;
	CU_ASSERT_STRING_EQUAL(scene_sign(&scene, &what), "ok");
	m->used++;
	note("a use of", m->r->name);
}

/* The HSM signs, and the machine dies before anybody hears of it. */
static void
step_lost(struct model *m)
{
	unsigned before = rig_mock_calls(&scene.rig, "C_Sign");

	if (!is(m, "approved") || m->waits)
		return;
	scene.lost = "C_Sign";
	step_call(m);
	for (int i = 0; i < SETTLE && rig_mock_calls(&scene.rig, "C_Sign") == before; i++)
		rig_pump(&scene.rig, 10);
	CU_ASSERT_EQUAL(rig_mock_calls(&scene.rig, "C_Sign"), before + 1);
	note("and its answer", "is lost");
	m->state = "undecided";
	step_crash(true);
}

static void
step(uint64_t *random)
{
	struct model *m = &model[next_random(random) % MODELS];
	uint64_t what = next_random(random) % 100;

	if (what < 50)
		step_vote(random, m);
	else if (what < 58)
		step_pass(random);
	else if (what < 59)
		step_policy();
	else if (what < 63)
		step_withdraw(m);
	else if (what < 66)
		step_crash(what % 2 == 0);
	else if (what < 76)
		step_lost(&model[what % 2]);
	else if (what < 90)
		step_use(&model[WINDOW]);
	else
		step_call(&model[what % 2]);
}

/* ---- a history ----------------------------------------------------------------------------------------------------- */

static void
begin(unsigned seed)
{
	struct scene_signing call = {.name = "call", .key = "seed", .by = SCENE_CA, .mechanism = CKM_ECDSA_SHA256};
	char name[MODELS][32];

	memset(model, 0, sizeof(model));
	steps[0] = '\0';
	for (size_t n = 0; n < MODELS; n++) {
		snprintf(name[n], sizeof(name[n]), "%s-%u",
		    n == WAITING_CALL ? "call"
		    : n == AHEAD      ? "ahead"
				      : "window",
		    seed);
		memcpy(model[n].data, name[n], sizeof(model[n].data));
		call.name = name[n];
		call.data = model[n].data;
		if (n == WAITING_CALL)
			CU_ASSERT_STRING_EQUAL_FATAL(scene_sign(&scene, &call), "held");
		if (n == AHEAD)
			CU_ASSERT_STRING_EQUAL_FATAL(scene_ahead(&scene, &call), "ok");
		if (n == WINDOW)
			CU_ASSERT_STRING_EQUAL_FATAL(
			    scene_window(&scene, name[n], "standing", "seed", SCENE_OTHER), "ok");
		model[n].r = scene_request(&scene, name[n]);
		model[n].state = "open";
		model[n].ends = scene_now(&scene) + LIFE_MS;
		model[n].waits = n == WAITING_CALL;
	}
}

/* What is still open would be met by the next history's calls: it ends with a new policy. */
static bool
history(unsigned seed)
{
	uint64_t random = seed * 7919u + 1;
	bool good = true;

	begin(seed);
	for (unsigned n = 0; n < STEPS && good; n++) {
		unsigned failures = CU_get_number_of_failures();

		step(&random);
		for (size_t i = 0; i < MODELS; i++) {
			settle(&model[i]);
			good = agrees(&model[i]) && good;
		}
		good = good && CU_get_number_of_failures() == failures;
	}
	step_policy();
	for (size_t i = 0; i < MODELS && good; i++)
		good = agrees(&model[i]);
	for (size_t i = 0; i < MODELS; i++)
		for (size_t n = 0; n < KMN_COUNT_OF(ended); n++)
			ended[n].times += is(&model[i], ended[n].state);
	if (!good)
		printf("# KMN_TEST_SEED=%u: %s\n", seed, steps);
	CU_ASSERT_TRUE(good);
	return good;
}

static void
test_interleavings(void)
{
	const char *from = getenv("KMN_TEST_SEED");
	unsigned seed = from != NULL ? (unsigned)atoi(from) : 1, count;
	bool good = true;

	for (count = getenv("KMN_TEST_LONG") != NULL ? HISTORIES_LONG : HISTORIES; good && count > 0;) {
		scene_start(&scene, NULL, NULL, rules);
		scene.rig.verified_often = true;
		edition = 0;
		attach_both();
		for (unsigned n = 0; n < PER_KEEPER && good && count > 0; n++, count--)
			good = history(seed++);
		scene_end(&scene); /* the auditor, and each request's state from the records alone */
	}
	for (size_t n = 0; n < KMN_COUNT_OF(ended); n++) {
		printf("# %s %u\n", ended[n].state, ended[n].times);
		CU_ASSERT_TRUE(ended[n].times > 0 || !good || from != NULL);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo cases[] = {
	    {"keeper, auditor and model agree on random histories", test_interleavings},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"keeper/interleavings", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	signal(SIGPIPE, SIG_IGN);
	return kmn_test_main(argc, argv, suites);
}
