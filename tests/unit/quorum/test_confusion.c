/* What a custodian's key signed for one purpose or place is worth nothing for another. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/log.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define ORIGIN "kanmon.example/gw1/2026"

static struct world w;
static uint64_t request;
static char *statement; /* what custodians are to sign */

static void
set_up(void)
{
	char *text;

	world_init(&w, WORLD_RULES);
	request = world_request(&w, "ca", "the certificate of a root");
	CU_ASSERT_PTR_NOT_NULL_FATAL(kmn_quorum_request(w.quorum, request));
	CU_ASSERT_EQUAL_FATAL(
	    kmn_statement_turn(kmn_quorum_request(w.quorum, request)->statement, KMN_APPROVE, "", &text), KMN_OK);
	statement = text;
}

static void
tear_down(void)
{
	free(statement);
	world_clear(&w);
}

/* Whether a note over this text, by three who together may approve, counts. */
static bool
counts(const char *text)
{
	char *note = world_sign(text, "sato suzuki mori");
	struct kmn_note_check check;
	bool good = kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.t, &check);

	free(note);
	return good;
}

/* The statement with one string in the place of another; free(). */
static char *
with(const char *old, const char *new)
{
	const char *at = strstr(statement, old);
	char *text = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	if (asprintf(&text, "%.*s%s%s", (int)(at - statement), statement, new, at + strlen(old)) < 0)
		abort();
	return text;
}

static void
test_other_origins(void)
{
	static const char *const origins[] = {
	    "kanmon.example/gw2/2026", "kanmon.example/gw1/2025", "kanmon.example/test", "kanmon.example/gw1/2026/x"};

	set_up();
	CU_ASSERT_TRUE(counts(statement));
	for (size_t n = 0; n < KMN_COUNT_OF(origins); n++) {
		char line[64], *text;

		(void)snprintf(line, sizeof(line), "origin %s\n", origins[n]);
		text = with("origin " ORIGIN "\n", line);
		CU_ASSERT_FALSE(counts(text));
		free(text);
	}
	tear_down();
}

/* The whole note of another gateway, for the same call by the same client under the same policy rules. */
static void
test_note_of_another_gateway(void)
{
	char *there, *note;
	struct kmn_note_check check;

	set_up();
	there = with("origin " ORIGIN "\n", "origin kanmon.example/gw2/2026\n");
	note = world_sign(there, "sato suzuki mori");
	CU_ASSERT_FALSE(kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.t, &check));
	CU_ASSERT_FALSE(kmn_quorum_is_met(w.quorum, kmn_quorum_request(w.quorum, request), (int64_t)w.t));
	free(there);
	free(note);
	tear_down();
}

/* Texts that a key signs elsewhere, or that a dialogue might offer it. */
static const struct {
	const char *says, *text;
} others[] = {
    {"a checkpoint", ORIGIN "\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"},
    {"a checkpoint whose origin is a statement's header", "kanmon/approval/v1\n3\nAAAA\n"},
    {"a cosigned text",
	"cosignature/v1\ntime 1793000000\n" ORIGIN "\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"},
    {"the challenge of a login", "0f9a1c72e4\n"},
    {"a file's name", "approval.txt\n"},
    {"an empty line and a statement", "\nkanmon/approval/v1\norigin " ORIGIN "\n"},
    {"another version of statements", "kanmon/approval/v2\norigin " ORIGIN "\n"},
};

static void
test_other_texts(void)
{
	char *policy = world_policy(2, NULL, WORLD_RULES), *late;

	set_up();
	for (size_t n = 0; n < KMN_COUNT_OF(others); n++)
		if (counts(others[n].text)) {
			(void)printf("# %s\n", others[n].says);
			CU_FAIL("counts as an approval");
		}
	CU_ASSERT_FALSE(counts(policy));
	/* the statement under another first line, or behind something else */
	late = with("kanmon/approval/v1\n", "kanmon/policy/v1\n");
	CU_ASSERT_FALSE(counts(late));
	free(late);
	free(policy);
	tear_down();
}

static void
test_statement_elsewhere(void)
{
	struct kmn_policy_error error;
	struct kmn_policy *policy;
	struct kmn_note parsed;
	struct kmn_head head;
	char *note;

	set_up();
	note = world_sign(statement, "sato suzuki ito");
	CU_ASSERT_EQUAL_FATAL(kmn_note_parse(note, strlen(note), &parsed, NULL), KMN_OK);
	CU_ASSERT_NOT_EQUAL(kmn_checkpoint_parse(&parsed, ORIGIN, &head, NULL), KMN_OK);
	CU_ASSERT_NOT_EQUAL(kmn_checkpoint_parse(&parsed, "kanmon/approval/v1", &head, NULL), KMN_OK);
	CU_ASSERT_NOT_EQUAL(
	    kmn_policy_accept(note, strlen(note), kmn_quorum_policy(w.quorum), &policy, &error), KMN_OK);
	free(note);
	tear_down();
}

/* No log is called like the header of something that is signed. */
static void
test_reserved_origins(void)
{
	static const char *const origins[] = {"kanmon/approval/v1", "kanmon/policy/v1", "kanmon/"};

	for (size_t n = 0; n < KMN_COUNT_OF(origins); n++) {
		char *policy = world_policy(1, NULL, WORLD_RULES), *bent = NULL, *note;
		const char *at = strstr(policy, ORIGIN);
		struct kmn_policy_error error;
		struct kmn_policy *accepted;

		if (asprintf(&bent, "%.*s%s%s", (int)(at - policy), policy, origins[n], at + strlen(ORIGIN)) < 0)
			abort();
		note = world_sign(bent, "sato suzuki");
		CU_ASSERT_NOT_EQUAL(kmn_policy_accept(note, strlen(note), NULL, &accepted, &error), KMN_OK);
		free(note);
		free(bent);
		free(policy);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"an approval for another origin is none", test_other_origins},
	    {"nor is the complete note of another gateway", test_note_of_another_gateway},
	    {"what a custodian's key signed as anything else is no approval", test_other_texts},
	    {"an approval is no checkpoint and no policy", test_statement_elsewhere},
	    {"no origin begins like the header of what is signed", test_reserved_origins},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"quorum/confusion", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
