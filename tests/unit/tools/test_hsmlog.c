/* The HSM's own log: formats, lines, and which row meets which record. */
#include "config.h"

#include "tools/kanmon/hsmlog.h"

#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kmn_hsmlog_format *
example(const char *name)
{
	struct kmn_hsmlog_format *format;
	struct kmn_why why = {""};
	const char *srcdir = getenv("srcdir");
	static char text[KMN_HSMLOG_FORMAT_MAX_BYTES];
	char path[512];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "%s/docs/examples/hsm-log.%s", srcdir != NULL ? srcdir : ".", name);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file = fopen(path, "rb"));
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	CU_ASSERT_EQUAL_FATAL(kmn_hsmlog_format_parse(text, len, &format, &why), KMN_OK);
	return format;
}

static void
test_examples(void)
{
	static const struct {
		const char *format, *line;
		kmn_err want;
		enum kmn_hsm_class class;
		const char *key;
		bool failed;
		uint64_t t, counter;
	} cases[] = {
	    {"syslog", "2026-11-23T18:13:33.125Z hsm serial=01ab op=C_Sign key=root ca id=01 rv=0x00000000", KMN_OK,
		KMN_HSM_SIGN, "root ca", false, 1795457613125, 0},
	    {"syslog", "2026-11-23T18:13:33Z hsm serial=01ab op=C_Sign key=a id=01 rv=0x00000054", KMN_OK, KMN_HSM_SIGN,
		"a", true, 1795457613000, 0},
	    {"syslog", "2026-11-23T18:13:33Z hsm serial=01ab op=C_Other key=a id=01 rv=0x00000000", KMN_OK,
		KMN_HSM_CLASS_COUNT, "a", false, 1795457613000, 0},
	    {"syslog", "", KMN_E_NOT_FOUND, KMN_HSM_CLASS_COUNT, "", false, 0, 0},
	    {"syslog", "2026-11-23T18:13:33 hsm serial=01ab op=C_Sign key=a id=01 rv=0x00000000", KMN_E_MALFORMED,
		KMN_HSM_CLASS_COUNT, "", false, 0, 0},
	    {"yubihsm2",
		"item:    12 -- cmd: 0x56 -- length:   37 -- session key: 0x0001 -- target key: 0x1234 -- second key: "
		"0xffff -- result: 0xd6 -- tick: 8812 -- hash: 0123456789abcdef0123456789abcdef",
		KMN_OK, KMN_HSM_SIGN, "0x1234", false, 0, 0},
	    {"yubihsm2",
		"item:    13 -- cmd: 0x47 -- length:   37 -- session key: 0x0001 -- target key: 0x1234 -- second key: "
		"0xffff -- result: 0x7f -- tick: 8812 -- hash: 0123456789abcdef0123456789abcdef",
		KMN_OK, KMN_HSM_SIGN, "0x1234", true, 0, 0},
	    {"yubihsm2", "Found 12 items", KMN_E_NOT_FOUND, KMN_HSM_CLASS_COUNT, "", false, 0, 0},
	    {"counters", "key root-ca uses 17", KMN_OK, KMN_HSM_CLASS_COUNT, "root-ca", false, 0, 17},
	    {"counters", "key root-ca uses many", KMN_E_MALFORMED, KMN_HSM_CLASS_COUNT, "", false, 0, 0},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		struct kmn_hsmlog_format *format = example(cases[n].format);
		struct kmn_hsmlog_row row;

		CU_ASSERT_EQUAL(kmn_hsmlog_line(format, cases[n].line, &row), cases[n].want);
		if (cases[n].want == KMN_OK) {
			CU_ASSERT_EQUAL(row.class, cases[n].class);
			CU_ASSERT_STRING_EQUAL(row.key, cases[n].key);
			CU_ASSERT_EQUAL(row.failed, cases[n].failed);
			CU_ASSERT_EQUAL(row.t, cases[n].t);
			CU_ASSERT_EQUAL(row.counter, cases[n].counter);
		}
		kmn_hsmlog_format_free(format);
	}
}

#define HEAD "kanmon/hsm-log/v1\nname x\n"

static void
test_refused(void)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"", "line 0: it is empty"},
	    {"kanmon/hsm-log/v2\n", "line 1: the first line is kanmon/hsm-log/v1"},
	    {HEAD "kind rows\nline (\n", "line 4: no regular expression"},
	    {HEAD "kind rows\nline (.)\nfield operation 2\noperation a sign\n", "a group that line does not have"},
	    {HEAD "kind rows\nline (.)\nfield operation 1\n", "lines that say what each means"},
	    {HEAD "kind rows\nline (.)\nfield operation 1\noperation a singing\n", "line 6: 'singing' is no class"},
	    {HEAD "kind rows\nline (.)\nfield colour 1\n", "line 5: 'colour' is no field"},
	    {HEAD "kind rows\nline (.)\nline (.)\n", "line 5: there is one already"},
	    {HEAD "kind counters\nline (.)\nfield key 1\n", "counters need the fields key and counter"},
	    {HEAD "kind rows\nline (.)(.)\nfield operation 1\nfield time 2\noperation a sign\n", "go together"},
	    {HEAD "colour red\n", "line 3: 'colour red' is no setting"},
	    {HEAD "kind\n", "line 3: a value is missing"},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		struct kmn_hsmlog_format *format;
		struct kmn_why why = {""};

		CU_ASSERT_EQUAL(
		    kmn_hsmlog_format_parse(cases[n].text, strlen(cases[n].text), &format, &why), KMN_E_MALFORMED);
		CU_ASSERT_PTR_NULL(format);
		CU_ASSERT_PTR_NOT_NULL(strstr(why.text, cases[n].says));
	}
}

/* ---- which row meets which record -------------------------------------------------------------------------------- */

static struct kmn_hsm_use
use(uint64_t record, uint64_t from, uint64_t to, const char *label)
{
	return (struct kmn_hsm_use){.record = record,
	    .from = from,
	    .to = to,
	    .class = KMN_HSM_SIGN,
	    .label = label,
	    .id = "01",
	    .spki = "",
	    .serial = ""};
}

static struct kmn_hsmlog_row
row(uint64_t t, const char *key)
{
	struct kmn_hsmlog_row row = {.t = t, .class = KMN_HSM_SIGN};

	snprintf(row.key, sizeof(row.key), "%s", key);
	return row;
}

static void
test_match(void)
{
	struct kmn_hsm_use uses[] = {
	    use(10, 1000, 9000, "a"), /* long: the short one inside it must get the row that only it fits */
	    use(11, 2000, 2100, "a"),
	    use(12, 5000, 5000, "b"),
	    use(13, 20000, 21000, "a"),
	};
	const struct kmn_hsmlog_row rows[] = {
	    row(2050, "a"), row(8000, "a"), row(5000, "0x01"), row(5000, "a"), row(20500, "a"), row(40000, "a")};
	static const struct kmn_hsm_judged want[] = {{KMN_HSM_MET, 11}, {KMN_HSM_MET, 10}, {KMN_HSM_MET, 12},
	    {KMN_HSM_UNMATCHED, UINT64_MAX}, {KMN_HSM_MET_MAYBE, 13}, {KMN_HSM_CRASH, 99}};
	const struct kmn_hsm_crash crash = {99, 39000, 41000};
	struct kmn_hsm_judged judged[KMN_COUNT_OF(rows)];

	uses[3].unknown = true;
	kmn_hsmlog_match(rows, KMN_COUNT_OF(rows), uses, KMN_COUNT_OF(uses), &crash, 1, 0, judged);
	for (size_t n = 0; n < KMN_COUNT_OF(rows); n++) {
		CU_ASSERT_EQUAL(judged[n].verdict, want[n].verdict);
		CU_ASSERT_EQUAL(judged[n].record, want[n].record);
	}
}

static void
test_tolerance(void)
{
	struct kmn_hsm_use uses[] = {use(10, 10000, 10000, "a")};
	const struct kmn_hsmlog_row early = row(5000, "a"),
				    failed = {.t = 10000, .class = KMN_HSM_SIGN, .failed = true};
	struct kmn_hsm_judged judged;

	kmn_hsmlog_match(&early, 1, uses, 1, NULL, 0, 4999, &judged);
	CU_ASSERT_EQUAL(judged.verdict, KMN_HSM_UNMATCHED);
	kmn_hsmlog_match(&failed, 1, uses, 1, NULL, 0, 0, &judged);
	CU_ASSERT_EQUAL(judged.verdict, KMN_HSM_UNMATCHED);
	kmn_hsmlog_match(&early, 1, uses, 1, NULL, 0, 5000, &judged);
	CU_ASSERT_EQUAL(judged.verdict, KMN_HSM_MET);
	kmn_hsmlog_match(&early, 1, uses, 1, NULL, 0, 5000, &judged);
	CU_ASSERT_EQUAL(judged.verdict, KMN_HSM_UNMATCHED); /* one use, one row */
}

static void
test_counters(void)
{
	struct kmn_hsmlog_format *format = example("counters");
	struct kmn_hsm_use uses[] = {use(1, 0, 0, "a"), use(2, 0, 0, "a"), use(3, 0, 0, "a"), use(4, 0, 0, "b")};
	struct kmn_hsmlog_row a = row(0, "a");
	uint64_t certain, most;

	uses[1].unknown = true;
	uses[2].failed = true;
	kmn_hsmlog_count(format, &a, uses, KMN_COUNT_OF(uses), &certain, &most);
	CU_ASSERT_EQUAL(certain, 1);
	CU_ASSERT_EQUAL(most, 2);
	kmn_hsmlog_format_free(format);
}

static CU_TestInfo tests[] = {
    {"the examples explain the lines that they are for", test_examples},
    {"a format that is none is refused, with line and reason", test_refused},
    {"a row meets the record that it lies in; what is left is undecided, in a crash window, or unmatched", test_match},
    {"clocks may differ by the tolerance, and one record answers for one row", test_tolerance},
    {"a counter is held against the certain and the possible uses of its key", test_counters},
    CU_TEST_INFO_NULL,
};
static CU_SuiteInfo suites[] = {{"tools/hsmlog", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

int
main(int argc, char **argv)
{
	return kmn_test_main(argc, argv, suites);
}
