#include "kanmon/keyfile.h"
#include "kanmon/note.h"
#include "tests/unit/run.h"

#include <stdlib.h>
#include <string.h>

static char *
seal(const char *name, const char *passphrase)
{
	uint8_t random[KMN_KEYFILE_RANDOM_BYTES], zero[KMN_KEYFILE_RANDOM_BYTES] = {0};
	char *text = NULL;

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)i;
	CU_ASSERT_EQUAL(
	    kmn_keyfile_seal(name, random, passphrase, strlen(passphrase), KMN_KEYFILE_TESTING, &text), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(random, zero, sizeof(random)), 0);
	return text;
}

static void
test_round(void)
{
	char *text = seal("kanmon.example/sato", "correct horse"), *vkey = NULL, *note = NULL, *more = NULL;
	struct kmn_keyfile *key = NULL;
	struct kmn_vkey parsed;
	struct kmn_note read;
	bool verified = false;
	size_t count = 0;

	CU_ASSERT_EQUAL(kmn_keyfile_public(text, strlen(text), &vkey), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_keyfile_open(text, strlen(text), "correct horse", 13, &key), KMN_OK);
	CU_ASSERT_STRING_EQUAL(kmn_keyfile_vkey(key), vkey);
	CU_ASSERT_STRING_EQUAL(kmn_keyfile_name(key), "kanmon.example/sato");
	CU_ASSERT_EQUAL(kmn_keyfile_sign(key, "a text\n", 7, &note), KMN_OK);
	CU_ASSERT_EQUAL(kmn_vkey_parse(vkey, strlen(vkey), &parsed), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_parse(note, strlen(note), &read, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_verify(&read, &parsed, 1, &verified, &count, NULL), KMN_OK);
	CU_ASSERT_TRUE(verified);
	CU_ASSERT_EQUAL(kmn_keyfile_sign(key, note, strlen(note), &more), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_parse(more, strlen(more), &read, NULL), KMN_OK);
	CU_ASSERT_EQUAL(read.count, 2);
	CU_ASSERT_EQUAL(read.text_len, 7);
	kmn_keyfile_free(key);
	free(text);
	free(vkey);
	free(note);
	free(more);
}

static void
test_passphrase(void)
{
	char *text = seal("kanmon.example/sato", "correct horse");
	struct kmn_keyfile *key = NULL;

	CU_ASSERT_EQUAL(kmn_keyfile_open(text, strlen(text), "correct horsf", 13, &key), KMN_E_PASSPHRASE);
	CU_ASSERT_EQUAL(kmn_keyfile_open(text, strlen(text), "", 0, &key), KMN_E_PASSPHRASE);
	CU_ASSERT_PTR_NULL(key);
	CU_ASSERT_PTR_NULL(strstr(text, "horse"));
	free(text);
}

/* Any byte changed: malformed, or it does not open. Costs are changed upwards by no test: a file may ask for 1 GiB. */
static void
test_changed(void)
{
	char *text = seal("kanmon.example/sato", "correct horse");
	size_t kdf = (size_t)(strstr(text, "kdf ") - text), salt = (size_t)(strstr(text, "salt ") - text);

	for (size_t i = 0; text[i] != 0; i++) {
		struct kmn_keyfile *key = NULL;
		char was = text[i];

		if (i >= kdf && i < salt)
			continue;
		text[i] = was == 'A' ? 'B' : 'A';
		CU_ASSERT_NOT_EQUAL(kmn_keyfile_open(text, strlen(text), "correct horse", 13, &key), KMN_OK);
		text[i] = was;
	}
	for (size_t cut = 0; cut < strlen(text); cut++) {
		struct kmn_keyfile *key = NULL;

		CU_ASSERT_NOT_EQUAL(kmn_keyfile_open(text, cut, "correct horse", 13, &key), KMN_OK);
	}
	free(text);
}

static void
test_cost_limits(void)
{
	static const char *const costs[] = {"kdf argon2id 0 8192", "kdf argon2id 1 1", "kdf argon2id 99 8192",
	    "kdf argon2id 1 99999999999", "kdf argon2id 1 8192 ", "kdf argon2i 1 8192", "kdf argon2id 1 +8192"};
	char *text = seal("kanmon.example/sato", "correct horse"), *at = strstr(text, "kdf ");

	for (size_t i = 0; i < KMN_COUNT_OF(costs); i++) {
		char other[KMN_KEYFILE_MAX_BYTES];
		struct kmn_keyfile *key = NULL;

		snprintf(other, sizeof(other), "%.*s%s%s", (int)(at - text), text, costs[i], strchr(at, '\n'));
		CU_ASSERT_EQUAL(kmn_keyfile_open(other, strlen(other), "correct horse", 13, &key), KMN_E_MALFORMED);
	}
	free(text);
}

static void
test_arguments(void)
{
	uint8_t random[KMN_KEYFILE_RANDOM_BYTES] = {1};
	char *text = NULL;

	CU_ASSERT_EQUAL(kmn_keyfile_seal("two words", random, "x", 1, KMN_KEYFILE_TESTING, &text), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_keyfile_seal("a+b", random, "x", 1, KMN_KEYFILE_TESTING, &text), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_keyfile_seal("a", random, "", 0, KMN_KEYFILE_TESTING, &text), KMN_E_ARGUMENTS);
	CU_ASSERT_PTR_NULL(text);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"what is sealed opens, signs and countersigns", test_round},
	    {"another passphrase does not open it", test_passphrase},
	    {"a changed or cut file does not open", test_changed},
	    {"costs outside the limits are refused before they are paid", test_cost_limits},
	    {"names and passphrases that cannot be", test_arguments},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/keyfile", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
