/*
 * What was approved, and then is used as something else: each is refused before it becomes a record, and found by whoever
 * replays the records where somebody forced it into a ledger that says that it counted.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

static struct world w;

/* The text that is signed to approve a request; free(). */
static char *
approval_of(uint64_t request)
{
	char *text;

	CU_ASSERT_EQUAL_FATAL(
	    kmn_statement_turn(kmn_quorum_request(w.quorum, request)->statement, KMN_APPROVE, "", &text), KMN_OK);
	return text;
}

/* The gateway does not take this note for that request. */
static bool
is_refused(const char *note, uint64_t request)
{
	struct kmn_note_check check;

	return !kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.t, &check) || check.request == NULL ||
	       check.request->i != request;
}

/* A ledger in which it stands as counted: the auditor's replay says which record is wrong. */
static bool
is_found(const char *note, uint64_t request)
{
	struct kmn_finding finding = {{0}, 0, {0}};
	bool found;

	found = world_append(&w, KMN_R_APPROVAL,
		    json_pack("{s:o,s:s,s:s}", "request", kmn_ref_json(&w.ref[request]), "note", note, "check",
			"ok")) == KMN_E_CORRUPT &&
		world_replay(&w, &finding, NULL) == KMN_E_CORRUPT && finding.i == w.count - 1 &&
		strcmp(finding.check, "V6") == 0;
	return found;
}

/* Refused and found; the world is made anew by the caller, for its quorum has seen a ledger that must not be. */
static void
judge(const char *says, const char *text, const char *names, uint64_t request)
{
	char *note = world_sign(text, names);
	bool refused = is_refused(note, request), found = is_found(note, request);

	CU_ASSERT_TRUE(refused);
	CU_ASSERT_TRUE(found);
	if (!refused || !found)
		printf("# %s: %s%s\n", says, refused ? "" : "not refused ", found ? "" : "not found");
	free(note);
}

/* ---- each line of a statement --------------------------------------------------------------------------------------- */

static char *
without_line(const char *text, const char *at, size_t len)
{
	char *out = NULL;

	if (asprintf(&out, "%.*s%s", (int)(at - text), text, at + len + 1) < 0)
		abort();
	return out;
}

static char *
with_line_changed(const char *text, const char *at, size_t len)
{
	char *out = strdup(text);

	out[(size_t)(at - text) + len - 1] ^= 1;
	return out;
}

static char *
with_line_twice(const char *text, const char *at, size_t len)
{
	char *out = NULL;

	if (asprintf(&out, "%.*s%.*s\n%s", (int)(at - text), text, (int)len, at, at) < 0)
		abort();
	return out;
}

static void
each_line(char *(*bend)(const char *text, const char *at, size_t len))
{
	unsigned lines = 0;

	for (unsigned n = 0;; n++) {
		char *text, *bent, *at, says[80];
		uint64_t r;

		world_init(&w, WORLD_RULES);
		r = world_request(&w, "ca", "to be signed");
		at = text = approval_of(r);
		for (unsigned skip = 0; skip < n && at != NULL; skip++)
			at = (at = strchr(at, '\n')) == NULL ? NULL : at + 1;
		if (at == NULL || *at == '\0') {
			free(text);
			world_clear(&w);
			break;
		}
		snprintf(says, sizeof(says), "line %u: %.*s", n, (int)strcspn(at, " \n"), at);
		bent = bend(text, at, strcspn(at, "\n"));
		judge(says, bent, "sato", r);
		free(bent);
		free(text);
		world_clear(&w);
		lines++;
	}
	CU_ASSERT_TRUE(lines > 15);
}

static void
test_changed(void)
{
	each_line(with_line_changed);
}

static void
test_left_out(void)
{
	each_line(without_line);
}

static void
test_twice(void)
{
	each_line(with_line_twice);
}

/* ---- replays -------------------------------------------------------------------------------------------------------- */

static void
test_other_request(void)
{
	uint64_t a, b;
	char *text;

	world_init(&w, WORLD_RULES);
	a = world_request(&w, "ca", "the same");
	b = world_request(&w, "ca", "the same");
	text = approval_of(a);
	judge("another request for the same", text, "sato", b);
	free(text);
	world_clear(&w);
}

static void
test_other_origin(void)
{
	char *text, *bent = NULL, *at;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	text = approval_of(r);
	at = strstr(text, "/gw1/");
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	CU_ASSERT_TRUE(asprintf(&bent, "%.*s/gw2/%s", (int)(at - text), text, at + 5) > 0);
	judge("another gateway", bent, "sato", r);
	free(bent);
	free(text);
	world_clear(&w);
}

static void
new_policy(void)
{
	char *text = world_policy(2, kmn_policy_sha256(kmn_quorum_policy(w.quorum)), WORLD_RULES);
	char *note = world_sign(text, "tanaka ito");

	CU_ASSERT_EQUAL(
	    world_append(&w, KMN_R_POLICY,
		json_pack("{s:i,s:s,s:I}", "version", 2, "note", note, "effective_after", (json_int_t)w.count)),
	    KMN_OK);
	free(text);
	free(note);
}

static void
test_other_version(void)
{
	char *text;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	text = approval_of(r);
	new_policy();
	judge("under the version before", text, "sato", r);
	free(text);
	world_clear(&w);

	/* And of a request that was asked anew under the new version. */
	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	text = approval_of(r);
	new_policy();
	r = world_request(&w, "ca", "x");
	judge("for the same call under the next version", text, "sato", r);
	free(text);
	world_clear(&w);
}

static void
test_second_use(void)
{
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(world_result(&w, r, 0), KMN_OK);
	CU_ASSERT_FALSE(kmn_quorum_is_met(w.quorum, kmn_quorum_request(w.quorum, r), (int64_t)w.t));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_E_CORRUPT);
	CU_ASSERT_STRING_EQUAL(w.finding.check, "V6");
	world_clear(&w);
}

/* ---- persons -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *says, *first, *second;
} persons[] = {
    {"one person by a second key", "sato", "sato2"},
    {"one person by the second key first", "sato2", "sato"},
    {"one person by one key again", "suzuki", "suzuki"},
    {"two keys of one person on one note", NULL, "sato sato2"},
    {"who operates the client that asks", NULL, "kato"},
    {"an auditor, who is in no group", NULL, "ito"},
    {"a key that the policy does not know", NULL, "nobody"},
};

static void
test_persons(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(persons); n++) {
		char *text;
		uint64_t r;

		world_init(&w, WORLD_RULES);
		r = world_request(&w, "ca", "x");
		text = approval_of(r);
		if (persons[n].first != NULL)
			CU_ASSERT_TRUE(world_vote(&w, r, persons[n].first, KMN_APPROVE, NULL));
		judge(persons[n].says, text, persons[n].second, r);
		free(text);
		world_clear(&w);
	}
}

/* The decision that such votes would carry. */
static void
test_decision(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(persons); n++) {
		uint64_t r;

		world_init(&w, WORLD_RULES);
		r = world_request(&w, "ca", "x");
		CU_ASSERT_TRUE(world_vote(&w, r, "mori", KMN_APPROVE, NULL));
		if (persons[n].first != NULL)
			CU_ASSERT_TRUE(world_vote(&w, r, persons[n].first, KMN_APPROVE, NULL));
		CU_ASSERT_FALSE(world_vote(&w, r, persons[n].second, KMN_APPROVE, NULL));
		CU_ASSERT_FALSE(kmn_quorum_is_met(w.quorum, kmn_quorum_request(w.quorum, r), (int64_t)w.t));
		CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_E_CORRUPT);
		if (strcmp(w.finding.check, "V6") != 0)
			printf("# %s\n", persons[n].says);
		CU_ASSERT_STRING_EQUAL(w.finding.check, "V6");
		world_clear(&w);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo cases[] = {
	    {"a statement with any line changed is refused, and found where it was forced in", test_changed},
	    {"the same with any line left out", test_left_out},
	    {"the same with any line twice", test_twice},
	    {"an approval of another request is refused, and found", test_other_request},
	    {"an approval of another gateway is refused, and found", test_other_origin},
	    {"an approval under another version of the policy is refused, and found", test_other_version},
	    {"an approval that was used is not used again", test_second_use},
	    {"one person as two, and who may not approve, are refused, and found", test_persons},
	    {"a decision on such votes is found", test_decision},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"quorum/mutation", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
