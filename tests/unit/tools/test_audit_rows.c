/* The auditor's rows: spreadsheets, times, filters. */
#include "config.h"

#include "tools/kanmon/audit_refusal.h"
#include "tools/kanmon/audit_rows.h"
#include "tools/kanmon/csv.h"

#include "tests/unit/run.h"

#include <stdlib.h>
#include <string.h>

static void
test_csv(void)
{
	static const struct {
		const char *text, *field;
	} cases[] = {
	    {"", ""},
	    {"root-ca", "root-ca"},
	    {"two words", "\"two words\""},
	    {"a,b", "\"a,b\""},
	    {"say \"yes\"", "\"say \"\"yes\"\"\""},
	    {"two\nlines", "\"two\nlines\""},
	    {"=1+1", "\"'=1+1\""},
	    {"=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""},
	    {"+1", "\"'+1\""},
	    {"-1", "\"'-1\""},
	    {"@SUM(A1)", "\"'@SUM(A1)\""},
	    {"\t=1", "\"'\t=1\""},
	    {"  =1", "\"'  =1\""},
	    {"\xef\xbc\x9d"
	     "1",
		"\"'\xef\xbc\x9d"
		"1\""},
	    {"a=b", "a=b"},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		char *field = kmn_csv_field(cases[n].text);

		CU_ASSERT_PTR_NOT_NULL_FATAL(field);
		CU_ASSERT_STRING_EQUAL(field, cases[n].field);
		free(field);
	}
}

static void
test_refusals(void)
{
	static const struct {
		const char *says;
		enum kmn_record_kind kind;
		const char *body, *reason, *words;
	} cases[] = {
	    {"a denial says its reason", KMN_R_DECISION, "{\"verdict\":\"deny\",\"reason\":\"seal\"}", "seal",
		"an anomaly closed its token"},
	    {"an older one does not", KMN_R_DECISION, "{\"verdict\":\"deny\"}", "not recorded", "why is not recorded"},
	    {"what expired was not refused", KMN_R_DECISION, "{\"verdict\":\"expired\"}", "", ""},
	    {"a call that never reached the HSM was refused", KMN_R_OP, "{\"rv\":5,\"dur_us\":0,\"reason\":\"rule\"}",
		"rule", "its rule refuses it"},
	    {"also in an older ledger", KMN_R_OP, "{\"rv\":5,\"dur_us\":0}", "not recorded", "why is not recorded"},
	    {"an HSM's error is no refusal", KMN_R_OP, "{\"rv\":5,\"dur_us\":12}", "", ""},
	    {"nor is success", KMN_R_OP, "{\"rv\":0,\"dur_us\":12}", "", ""},
	    {"a word that comes later is shown as it is", KMN_R_OP, "{\"rv\":5,\"dur_us\":0,\"reason\":\"new\"}", "new",
		"new"},
	    {"a result is the HSM's", KMN_R_RESULT, "{\"rv\":5,\"dur_us\":0}", "", ""},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		json_t *body = json_loads(cases[n].body, 0, NULL);
		struct kmn_record record = {.kind = cases[n].kind, .body = body};
		const char *reason = kmn_refusal(&record);

		CU_ASSERT_PTR_NOT_NULL_FATAL(body);
		CU_ASSERT_STRING_EQUAL(reason, cases[n].reason);
		CU_ASSERT_STRING_EQUAL(kmn_refusal_words(reason), cases[n].words);
		json_decref(body);
	}
}

static void
test_times(void)
{
	static const struct {
		const char *text;
		uint64_t from, before; /* seconds; before 0: refused */
	} cases[] = {
	    {"2026", 1767225600, 1798761600},
	    {"2026-11", 1793491200, 1796083200},
	    {"2026-11-23", 1795392000, 1795478400},
	    {"2026-11-23T18", 1795456800, 1795460400},
	    {"2026-11-23T18:13", 1795457580, 1795457640},
	    {"2026-11-23T18:13:33Z", 1795457613, 1795457614},
	    {"2026-11-23 18:13:33", 1795457613, 1795457614},
	    {"2024-02-29", 1709164800, 1709251200},
	    {"2026-02-29", 0, 0},
	    {"2026-13", 0, 0},
	    {"2026-11-23T24", 0, 0},
	    {"2026-11-2", 0, 0},
	    {"2026-11-23T18:13:33+09:00", 0, 0},
	    {"yesterday", 0, 0},
	    {"2026/11/23", 0, 0},
	    {"", 0, 0},
	    {"Z", 0, 0},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		uint64_t from = 0, before = 0;
		bool is = kmn_when_parse(cases[n].text, &from, &before);

		CU_ASSERT_EQUAL(is, cases[n].before != 0);
		if (is && cases[n].before != 0) {
			CU_ASSERT_EQUAL(from, cases[n].from * 1000);
			CU_ASSERT_EQUAL(before, cases[n].before * 1000);
		}
	}
}

static struct kmn_row
a_row(void)
{
	struct kmn_row row = {.request = 7};

	for (size_t n = 0; n < KMN_COLUMN_COUNT; n++)
		row.value[n] = "";
	row.value[KMN_COL_TYPE] = "result";
	row.value[KMN_COL_CLIENT] = "ca-prod";
	row.value[KMN_COL_CUSTODIANS] = "sato suzuki";
	row.value[KMN_COL_KEY] = "root-ca";
	row.value[KMN_COL_KEY_ID] = "0a";
	row.value[KMN_COL_KEY_SPKI] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
	row.value[KMN_COL_FUNCTION] = "C_Sign";
	return row;
}

#define ANY .to = UINT64_MAX, .request = UINT64_MAX

static void
test_filter(void)
{
	static const struct {
		struct kmn_row_filter filter;
		bool wanted;
	} cases[] = {
	    {{ANY}, true},
	    {{ANY, .type = "result"}, true},
	    {{ANY, .type = "intent"}, false},
	    {{ANY, .client = "ca-prod", .custodian = "suzuki"}, true},
	    {{ANY, .client = "ca-prod", .custodian = "tanaka"}, false},
	    {{ANY, .custodian = "sat"}, false},
	    {{ANY, .custodian = "sato suzuki"}, true},
	    {{ANY, .custodian = ""}, false},
	    {{ANY, .key = "root-ca"}, true},
	    {{ANY, .key = "0a"}, true},
	    {{ANY, .key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}, true},
	    {{ANY, .key = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"}, true},
	    {{ANY, .key = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E00"}, false},
	    {{ANY, .key = "0001"}, false},
	    {{ANY, .function = "C_Decrypt"}, false},
	    {{.to = UINT64_MAX, .request = 7}, true},
	    {{.to = UINT64_MAX, .request = 8}, false},
	    {{ANY, .since = 1000, .before = 1001}, true},
	    {{ANY, .since = 1001}, false},
	    {{ANY, .before = 1000}, false},
	    {{.from = 9, .to = 9, .request = UINT64_MAX}, true},
	    {{.from = 10, .to = 11, .request = UINT64_MAX}, false},
	    {{.from = 0, .to = 8, .request = UINT64_MAX}, false},
	};
	struct kmn_record record = {.i = 9, .t = 1000};
	struct kmn_row row = a_row();

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++)
		CU_ASSERT_EQUAL(kmn_row_wanted(&cases[n].filter, &record, &row), cases[n].wanted);
}

static CU_TestInfo tests[] = {
    {"a field of a CSV line is quoted, and is never a formula", test_csv},
    {"a time that a person writes names a span, to its end", test_times},
    {"filters join by and; names are whole words", test_filter},
    {"a refusal says why, as its record does; older ones say that it is not recorded", test_refusals},
    CU_TEST_INFO_NULL,
};
static CU_SuiteInfo suites[] = {{"tools/audit_rows", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

int
main(int argc, char **argv)
{
	return kmn_test_main(argc, argv, suites);
}
