/*
 * The power is cut at random calls to the disk, the keeper is killed, the disk fails or is full (ledger.md 2.4, 2.5). A
 * real keeper runs over a disk that loses what was not synced (power.h); a client notes every answer that it was given.
 * After each round a keeper starts again, and:
 *
 *	P1  every answer that was given has its record, and that is durable
 *	P2  the auditor finds nothing: no damage is accepted, none is made
 *	P3  an unclean end is explained by a `recovery` record
 *	P4  a keeper whose disk failed answers CKR_DEVICE_ERROR, and asks the module nothing more
 *
 * 200 rounds; KMN_TEST_LONG=1: 2,400. KMN_TEST_SEED=N: other ones.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/json.h"
#include "kanmon/store.h"
#include "kanmon/tree.h"
#include "tests/unit/keeper/power.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define LEDGER_ROUNDS 100 /* then a new ledger, so that reading it stays quick */
#define CALLS 6
#define GIVEN_MAX (LEDGER_ROUNDS * CALLS * 2)

static const struct rig_module mock = {.name = "mock", .environment = {"KMN_MOCK_SECRETS=1"}};
static const char rules[] = "rule free\n  client ca other\n  calls login session query random key-use key-management\n "
			    " mechanisms any\n  allow import extractable\n  need none\n";

struct scene {
	struct rig rig;
	struct rig_app app;
	struct power *power;
	CK_OBJECT_HANDLE key;
	uint8_t given[GIVEN_MAX][KMN_HASH_BYTES]; /* of the response payloads that came */
	size_t givens;
	uint32_t seed;
	unsigned struck[POWER_FAULTS], recoveries;
};

static uint32_t
chance(struct scene *s, uint32_t below)
{
	s->seed = s->seed * 1664525u + 1013904223u;
	return (s->seed >> 8) % below;
}

static void
adapt(struct kmn_keeper_setup *setup, void *cookie)
{
	setup->reserve_mib = 1;
	power_use(((struct scene *)cookie)->power);
}

static void
heard(struct rig_app *app, const struct rig_answer *answer)
{
	struct scene *s = app->cookie;

	if (answer->rv == CKR_OK && (answer->id == KMN_C_Encrypt || answer->id == KMN_C_GenerateRandom) &&
	    s->givens < GIVEN_MAX)
		kmn_sha256(answer->response, answer->response_len, s->given[s->givens++]);
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

static CK_RV
call(struct scene *s, enum kmn_call_id id, struct kmn_arg *arg, size_t n)
{
	return rig_call(&s->rig, &s->app, id, arg, n);
}

static void
find_key(struct scene *s)
{
	char label[] = "secret-1";
	CK_ATTRIBUTE t[] = {{CKA_LABEL, label, sizeof(label) - 1}};
	CK_ULONG n = 0;
	struct kmn_arg init[] = {{.u = s->app.session}, {.p = t, .u = 1}};
	struct kmn_arg next[] = {{.u = s->app.session}, {.p = &s->key, .u = 1, .n = &n}};
	struct kmn_arg final[] = {{.u = s->app.session}};

	CU_ASSERT_EQUAL_FATAL(call(s, KMN_C_FindObjectsInit, init, 2), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(call(s, KMN_C_FindObjects, next, 2), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(n, 1);
	CU_ASSERT_EQUAL_FATAL(call(s, KMN_C_FindObjectsFinal, final, 1), CKR_OK);
}

static void
attach(struct scene *s)
{
	memset(&s->app, 0, sizeof(s->app));
	rig_attach(&s->rig, &s->app, 1, &s->rig.ca);
	s->app.heard = heard;
	s->app.cookie = s;
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&s->rig, &s->app), CKR_OK);
	find_key(s);
}

/* A use of a key: class A. */
static CK_RV
encrypt(struct scene *s)
{
	uint8_t iv[16] = {1}, data[32], out[64];
	CK_MECHANISM mechanism = {CKM_AES_CBC, iv, sizeof(iv)};
	CK_ULONG len = sizeof(out);
	struct kmn_arg init[] = {{.u = s->app.session}, {.p = &mechanism}, {.u = s->key}};
	struct kmn_arg run[] = {{.u = s->app.session}, {.p = data, .u = sizeof(data)}, {.p = out, .n = &len}};
	CK_RV rv;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)chance(s, 256);
	rv = call(s, KMN_C_EncryptInit, init, 3);
	return rv != CKR_OK ? rv : call(s, KMN_C_Encrypt, run, 3);
}

/* Class B. */
static CK_RV
random_bytes(struct scene *s)
{
	uint8_t out[32];
	struct kmn_arg arg[] = {{.u = s->app.session}, {.p = out, .u = sizeof(out)}};

	return call(s, KMN_C_GenerateRandom, arg, 2);
}

/* ---- what must hold ---------------------------------------------------------------------------------------------- */

static bool
has_hash(const char *ledger, const uint8_t hash[KMN_HASH_BYTES])
{
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1], member[80];

	kmn_b64(hash, KMN_HASH_BYTES, b64);
	snprintf(member, sizeof(member), "\"resp_sha256\":\"%s\"", b64);
	return strstr(ledger, member) != NULL;
}

static char *
ledger_text(const struct scene *s)
{
	char path[128], *text;
	struct kmn_store *store;
	size_t len;

	snprintf(path, sizeof(path), "%s/ledger", s->rig.dir);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(path, &store), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_store_read(store, "seg/00000000000000000000.kl", SIZE_MAX / 2, &text, &len), KMN_OK);
	kmn_store_files_free(store);
	return text;
}

/* The last record is gateway.stop, and nothing follows its commit: whoever ended there had no more to say. */
static bool
ends_in_order(const struct scene *s)
{
	char *text = ledger_text(s), *last = NULL, *commit = NULL;
	bool in_order;

	for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n') + 1) {
		if (strchr(line, '\n') == NULL) {
			commit = NULL; /* a cut line */
			break;
		}
		commit = strncmp(line, "#commit ", 8) == 0 ? line : NULL;
		last = *line == '{' ? line : last;
	}
	in_order = commit != NULL && last != NULL && strstr(last, "\"type\":\"gateway.stop\"") != NULL;
	free(text);
	return in_order;
}

/* P1: the keeper is up, and its ledger ends with a commit, so that what is in the file is what counts. */
static void
check_given(struct scene *s)
{
	char *text = ledger_text(s);
	size_t missing = 0;

	for (size_t i = 0; i < s->givens; i++)
		missing += !has_hash(text, s->given[i]);
	CU_ASSERT_EQUAL(missing, 0);
	free(text);
}

/* P2, P3 */
static bool
recovered(struct scene *s, bool unclean, unsigned round)
{
	unsigned before = s->recoveries;
	bool good;

	unclean = unclean && !ends_in_order(s);
	good = rig_try(&s->rig);
	CU_ASSERT_TRUE(good);
	if (good) {
		rig_pump(&s->rig, 1);
		s->recoveries = rig_records(&s->rig, "recovery", NULL);
		CU_ASSERT_TRUE(!unclean || s->recoveries > before);
		good = rig_verify(&s->rig) == 0 && (!unclean || s->recoveries > before);
		CU_ASSERT_TRUE(good);
		check_given(s);
	}
	if (!good)
		printf("# round %u, seed %u, ledger %s\n", round, s->seed, s->rig.dir);
	return good;
}

/* ---- a round ----------------------------------------------------------------------------------------------------- */

static void
use(struct scene *s)
{
	bool failed = false;

	for (int i = 0; i < CALLS && !(failed && s->app.session == 0); i++) {
		unsigned asked = rig_mock_calls(&s->rig, "C_Encrypt");
		CK_RV rv = chance(s, 3) == 0 ? random_bytes(s) : encrypt(s);

		if (rv == CKR_VENDOR_DEFINED) /* nobody answers any more */
			return;
		if (failed) { /* P4 */
			CU_ASSERT_EQUAL(rv, CKR_DEVICE_ERROR);
			CU_ASSERT_EQUAL(rig_mock_calls(&s->rig, "C_Encrypt"), asked);
		}
		failed = failed || rv == CKR_DEVICE_ERROR;
	}
}

/* Ends the keeper, if it still lives. True: in order, its last record says so. */
static bool
end_keeper(struct scene *s)
{
	if (rig_gone(&s->rig))
		return rig_wait(&s->rig) == 0;
	if (chance(s, 3) > 0) {
		rig_kill(&s->rig);
		return false;
	}
	return rig_stop(&s->rig) == 0;
}

static void
after_end(struct scene *s)
{
	char folder[128];

	snprintf(folder, sizeof(folder), "%s/ledger", s->rig.dir);
	if (power_struck(s->power))
		s->struck[0]++;
	power_disarm(s->power);
	if (chance(s, 3) > 0)
		power_cut(s->power, folder, s->seed);
}

static bool
round_of(struct scene *s, unsigned round)
{
	static const enum power_fault faults[] = {
	    POWER_NONE, POWER_CUT, POWER_CUT, POWER_CUT, POWER_SHORT, POWER_EIO, POWER_FULL, POWER_FSYNC, POWER_FSYNC};
	enum power_fault fault = faults[chance(s, KMN_COUNT_OF(faults))];
	bool clean;

	attach(s);
	power_arm(s->power, fault, 1 + chance(s, 30), s->seed);
	use(s);
	s->struck[fault] += power_struck(s->power);
	clean = end_keeper(s);
	after_end(s);
	if (chance(s, 4) == 0) { /* and again, while it recovers */
		power_arm(s->power, POWER_CUT + chance(s, POWER_FAULTS - POWER_CUT), 1 + chance(s, 40), s->seed);
		if (rig_try(&s->rig))
			clean = end_keeper(s);
		else
			clean = clean && s->rig.ended == 0;
		after_end(s);
	}
	return recovered(s, !clean, round);
}

static void
begin(struct scene *s)
{
	struct rig_plan plan = {.modules = &mock,
	    .module_count = 1,
	    .tokens = "mock-1",
	    .token_lines = "token mock-1\n",
	    .adapt = adapt,
	    .adapt_cookie = s};

	s->givens = 0;
	s->recoveries = 0;
	power_disarm(s->power);
	rig_start_with(&s->rig, &plan, rules);
	s->rig.verified_often = true;
}

static void
test_rounds(void)
{
	static struct scene s;
	const char *seed = getenv("KMN_TEST_SEED");
	unsigned rounds = getenv("KMN_TEST_LONG") != NULL ? 2400 : 200;
	bool good = true;

	CU_ASSERT_PTR_NOT_NULL_FATAL(s.power = power_new());
	s.seed = seed != NULL ? (uint32_t)strtoul(seed, NULL, 10) : 20261123;
	for (unsigned round = 0; good && round < rounds; round++) {
		if (round % LEDGER_ROUNDS == 0)
			begin(&s);
		good = round_of(&s, round);
		if (good && (round + 1) % LEDGER_ROUNDS == 0) {
			CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
			rig_end(&s.rig);
		}
	}
	printf("# struck: cut %u, short %u, EIO %u, full %u, fsync %u\n", s.struck[POWER_CUT], s.struck[POWER_SHORT],
	    s.struck[POWER_EIO], s.struck[POWER_FULL], s.struck[POWER_FSYNC]);
	for (int fault = POWER_CUT; good && fault < POWER_FAULTS; fault++)
		CU_ASSERT_TRUE(s.struck[fault] > 0);
	power_free(s.power);
}

static CU_TestInfo tests[] = {
    {"cut, killed, full and failing at random: nothing released is lost, no damage is accepted", test_rounds},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"keeper/power", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
