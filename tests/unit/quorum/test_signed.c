/* Texts that people sign beside approvals and policies: what is one, byte by byte. */
#include "config.h"

#include "kanmon/signed.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/run.h"

#define ORIGIN "kanmon.example/gw1/2026"
#define HASH "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static const char *const good[KMN_SIGNED_COUNT] = {
    [KMN_SIGNED_ATTESTATION] = "kanmon/attestation/v1\norigin " ORIGIN "\nkind risk-review\ntitle Risk review\n"
			       "document-len 48211\ndocument-sha256 " HASH "\n",
    [KMN_SIGNED_VETO] = "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 " HASH "\nreason not ours\n",
    [KMN_SIGNED_REOPEN] =
	"kanmon/reopen/v1\norigin " ORIGIN "\npolicy 2 " HASH "\ntoken root\nanomaly 41 " HASH "\nreason looked at\n",
    [KMN_SIGNED_SIGN_IN] = "kanmon/sign-in/v1\norigin " ORIGIN "\npage https://console.example\nnonce " HASH
			   "\ntime 2026-11-23T00:00:00Z\n",
    [KMN_SIGNED_INSTRUCTION] =
	"kanmon/instruction/v1\norigin " ORIGIN "\nclient console\nwhat destroy\ntoken root\npurpose "
	"Monthly CRL\nnonce " HASH "\ntime 2026-11-23T00:00:00Z\n",
};

static kmn_err
read(const char *text)
{
	struct kmn_signed said;

	return kmn_signed_read(text, strlen(text), &said, NULL);
}

static void
test_kinds(void)
{
	for (unsigned kind = 0; kind < KMN_SIGNED_COUNT; kind++) {
		struct kmn_signed said;

		CU_ASSERT_PTR_NOT_NULL_FATAL(good[kind]);
		CU_ASSERT_EQUAL(kmn_signed_read(good[kind], strlen(good[kind]), &said, NULL), KMN_OK);
		CU_ASSERT_EQUAL(said.kind, kind);
		CU_ASSERT_EQUAL(kmn_signed_of_record(kmn_signed_record(said.kind)),
		    kmn_signed_record(said.kind) == KMN_R_ACTION ? KMN_SIGNED_COUNT : kind);
		CU_ASSERT_PTR_NOT_NULL(kmn_signed_line(&said, "origin", 0));
		CU_ASSERT_PTR_NULL(kmn_signed_line(&said, "origin", 1));
		CU_ASSERT_PTR_NULL(kmn_signed_line(&said, "orig", 0));
	}
	CU_ASSERT_EQUAL(kmn_signed_of_record(KMN_R_APPROVAL), KMN_SIGNED_COUNT);
}

static void
test_values(void)
{
	struct kmn_signed said;
	const struct kmn_signed_line *line;

	CU_ASSERT_EQUAL_FATAL(
	    kmn_signed_read(good[KMN_SIGNED_REOPEN], strlen(good[KMN_SIGNED_REOPEN]), &said, NULL), KMN_OK);
	line = kmn_signed_line(&said, "anomaly", 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_EQUAL(line->number, 41);
	CU_ASSERT_EQUAL(line->hash[0], 0);
	line = kmn_signed_line(&said, "token", 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_EQUAL(line->len, 4);
	CU_ASSERT_EQUAL(memcmp(line->value, "root", 4), 0);
}

/* Each line dropped, doubled, or at another place. */
static void
test_order(void)
{
	for (unsigned kind = 0; kind < KMN_SIGNED_COUNT; kind++)
		for (const char *at = strchr(good[kind], '\n') + 1; *at != '\0'; at = strchr(at, '\n') + 1) {
			size_t before = (size_t)(at - good[kind]), line = (size_t)(strchr(at, '\n') + 1 - at);
			size_t after = strlen(good[kind]) - before - line;
			char text[2048];

			memcpy(text, good[kind], before);
			memcpy(text + before, at + line, after + 1);
			CU_ASSERT_EQUAL(read(text), KMN_E_MALFORMED);
			memcpy(text + before + after, at, line);
			text[before + after + line] = '\0';
			CU_ASSERT_EQUAL(read(text), after == 0 ? KMN_OK : KMN_E_MALFORMED);
			memcpy(text, good[kind], before + line);
			memcpy(text + before + line, at, line + after + 1);
			CU_ASSERT_EQUAL(read(text), KMN_E_MALFORMED);
		}
}

static const struct {
	const char *says, *text;
	kmn_err want;
} cases[] = {
    {"no text", "", KMN_E_NOT_FOUND},
    {"an approval", "kanmon/approval/v1\norigin " ORIGIN "\n", KMN_E_NOT_FOUND},
    {"a later version", "kanmon/veto/v2\norigin " ORIGIN "\npolicy 2 " HASH "\nreason no\n", KMN_E_NOT_FOUND},
    {"a first line that goes on", "kanmon/veto/v1 \norigin " ORIGIN "\n", KMN_E_NOT_FOUND},
    {"a first line alone", "kanmon/veto/v1\n", KMN_E_MALFORMED},
    {"a number with a zero before it", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 02 " HASH "\nreason no\n",
	KMN_E_MALFORMED},
    {"a number of 2^53", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 9007199254740992 " HASH "\nreason no\n",
	KMN_E_MALFORMED},
    {"a hash that is short", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 AAAA\nreason no\n", KMN_E_MALFORMED},
    {"two blanks", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2  " HASH "\nreason no\n", KMN_E_MALFORMED},
    {"an empty value", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 " HASH "\nreason \n", KMN_E_MALFORMED},
    {"a blank at the end", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 " HASH "\nreason no \n", KMN_E_MALFORMED},
    {"no LF at the end", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 " HASH "\nreason no", KMN_E_MALFORMED},
    {"a tab", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 " HASH "\nreason n\to\n", KMN_E_MALFORMED},
    {"text that runs backwards", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 " HASH "\nreason \xe2\x80\xaeno\n",
	KMN_E_MALFORMED},
    {"an origin with a blank", "kanmon/veto/v1\norigin kanmon example\npolicy 2 " HASH "\nreason no\n",
	KMN_E_MALFORMED},
    {"a word with a slash",
	"kanmon/reopen/v1\norigin " ORIGIN "\npolicy 2 " HASH "\ntoken a/b\nanomaly 1 " HASH "\nreason no\n",
	KMN_E_MALFORMED},
    {"a line after the last", "kanmon/veto/v1\norigin " ORIGIN "\npolicy 2 " HASH "\nreason no\nmore x\n",
	KMN_E_MALFORMED},
};

static void
test_cases(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++)
		if (read(cases[n].text) != cases[n].want) {
			CU_FAIL("a text is taken for another");
			printf("# %s\n", cases[n].says);
		}
}

static void
test_make(void)
{
	struct kmn_signed_pair pair[] = {{"origin", ORIGIN}, {"policy", "2 " HASH}, {"reason", "not ours"}};
	char *text;

	CU_ASSERT_EQUAL_FATAL(kmn_signed_make(KMN_SIGNED_VETO, pair, 3, &text, NULL), KMN_OK);
	CU_ASSERT_STRING_EQUAL(text, good[KMN_SIGNED_VETO]);
	free(text);
	pair[2].value = "a line\nand another";
	CU_ASSERT_EQUAL(kmn_signed_make(KMN_SIGNED_VETO, pair, 3, &text, NULL), KMN_E_MALFORMED);
	CU_ASSERT_PTR_NULL(text);
}

int
main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
	    {"each kind is read, by its first line, and has a record of its own", test_kinds},
	    {"numbers and hashes are those of the line", test_values},
	    {"a line that is left out, doubled or moved makes it none", test_order},
	    {"what is no such text", test_cases},
	    {"what is written is what is read", test_make},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"quorum/signed", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
