/* What a custodian sees: nothing is cut, lines fit, and a continued line is never taken for one that is signed. */
#include "config.h"

#include "kanmon/lint.h"
#include "tests/unit/run.h"
#include "tools/kanmon/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *says, *text;
	unsigned columns;
	const char *want;
} cases[] = {
    {"a line that fits stays", "need cards 2 of 3\n", 20, "need cards 2 of 3\n"},
    {"exactly as wide as the screen", "12345678901234567890\n", 20, "12345678901234567890\n"},
    {"one more goes on behind the mark", "123456789012345678901\n", 20, "12345678901234567890\n  > 1\n"},
    {"and again", "12345678901234567890abcdefghijklmnopq\n", 20, "12345678901234567890\n  > abcdefghijklmnop\n  > q\n"},
    {"blanks stay where they are", "1234567890123456789  x\n", 20, "1234567890123456789 \n  >  x\n"},
    {"wide characters take two columns", "目的目的目的目的目的x\n", 20, "目的目的目的目的目的\n  > x\n"},
    {"and are not cut in two", "1目的目的目的目的目的\n", 20, "1目的目的目的目的目\n  > 的\n"},
    {"ambiguous ones count as two", "ΩΩΩΩΩΩΩΩΩΩx\n", 20, "ΩΩΩΩΩΩΩΩΩΩ\n  > x\n"},
    {"bytes that are no characters count one by one", "\xff\xfe\xe3\x81", 16, "\xff\xfe\xe3\x81"},
    {"a screen that is too narrow wraps by itself", "1234567890123456789\n", 10, "1234567890123456789\n"},
    {"an empty text is one", "", 80, ""},
};

static void
test_wrap(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		char *got = NULL;

		CU_ASSERT_EQUAL_FATAL(kmn_page_wrap(cases[i].text, cases[i].columns, &got), KMN_OK);
		if (strcmp(got, cases[i].want) != 0)
			fprintf(stderr, "# %s: %s\n", cases[i].says, got);
		CU_ASSERT_STRING_EQUAL(got, cases[i].want);
		free(got);
	}
}

/* Every text that the tool says has both languages, and its `$` in both or in none. */
static void
test_words(void)
{
	for (unsigned word = 0; word < KMN_WORD_COUNT; word++) {
		const char *en = kmn_word_text(KMN_ENGLISH, word), *ja = kmn_word_text(KMN_JAPANESE, word);
		char out[512];

		CU_ASSERT_TRUE(en[0] != '\0' && ja[0] != '\0' && strcmp(en, ja) != 0);
		CU_ASSERT_EQUAL(strchr(en, '$') != NULL, strchr(ja, '$') != NULL);
		for (unsigned language = 0; language < KMN_LANGUAGE_COUNT; language++) {
			kmn_word(language, word, "4711", out, sizeof(out));
			CU_ASSERT_PTR_NULL(strchr(out, '$'));
			CU_ASSERT_EQUAL(strstr(out, "4711") != NULL, strchr(en, '$') != NULL);
		}
	}
}

static unsigned
columns_of(const char *text)
{
	unsigned columns = 0;
	size_t len;

	for (; *text != '\0'; text += len)
		columns += kmn_columns_of(text, &len);
	return columns;
}

/* Each warning about what is signed, too; in Japanese wide characters, no more than fit on two lines of 80 columns. */
static void
test_warnings(void)
{
	static const char *const english[] = {
#define ROW(id, name, en, ja) en,
	    KMN_LINT_ROWS(ROW)
#undef ROW
	};
	static const char *const japanese[] = {
#define ROW(id, name, en, ja) ja,
	    KMN_LINT_ROWS(ROW)
#undef ROW
	};

	for (size_t i = 0; i < KMN_LINT_COUNT; i++) {
		CU_ASSERT_TRUE(columns_of(japanese[i]) > strlen(japanese[i]) / 2);
		CU_ASSERT_TRUE(columns_of(japanese[i]) <= 120);
		CU_ASSERT_STRING_NOT_EQUAL(english[i], japanese[i]);
		for (size_t k = 0; k < i; k++)
			CU_ASSERT_STRING_NOT_EQUAL(japanese[k], japanese[i]);
	}
}

static void
test_language(void)
{
	enum kmn_language language;

	setenv("LC_ALL", "", 1);
	unsetenv("LC_MESSAGES");
	setenv("LANG", "ja_JP.UTF-8", 1);
	CU_ASSERT_TRUE(kmn_language_get(NULL, &language) && language == KMN_JAPANESE);
	setenv("LC_ALL", "C.UTF-8", 1);
	CU_ASSERT_TRUE(kmn_language_get(NULL, &language) && language == KMN_ENGLISH);
	CU_ASSERT_TRUE(kmn_language_get("ja", &language) && language == KMN_JAPANESE);
	CU_ASSERT_FALSE(kmn_language_get("fr", &language));
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"lines are wrapped, and nothing is lost", test_wrap},
	    {"every text is there in English and Japanese", test_words},
	    {"every warning, too", test_warnings},
	    {"the option chooses the language, else the environment", test_language},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"tools/page", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
