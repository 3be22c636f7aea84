/* The report's page: what people wrote into a ledger stays text in it, in both languages. */
#include "config.h"

#include "tools/kanmon/report.h"

#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/report_texts.h"

static char *
escaped(const char *text)
{
	char *bytes;
	size_t len;
	FILE *file = open_memstream(&bytes, &len);

	kmn_html_text(file, text);
	fclose(file);
	return bytes;
}

static void
test_escape(void)
{
	static const struct {
		const char *text, *html;
	} cases[] = {
	    {"plain", "plain"},
	    {"<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"},
	    {"a\" onload=\"b", "a&quot; onload=&quot;b"},
	    {"a & b &lt;", "a &amp; b &amp;lt;"},
	    {"a\x1b[2Jb", "a\xef\xbf\xbd[2Jb"},
	    {"a\xc2\x9b"
	     "b",
		"a\xef\xbf\xbd"
		"b"},
	    {"\xe9\x8d\xb5", "\xe9\x8d\xb5"},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		char *html = escaped(cases[n].text);

		CU_ASSERT_STRING_EQUAL(html, cases[n].html);
		free(html);
	}
}

/* Every text of a report is hostile. */
static json_t *
hostile(void)
{
	static const char bad[] = "\"><script src='http://x'>&</script><b onx=";
	json_t *row = json_object(), *operation, *report;
	static const char *const members[] = {"label", "id", "token", "spki", "function", "mechanism", "client",
	    "approvers", "rule", "outcome", "reason", "name", "person", "type", "detail", "key", "custodians", "signers",
	    "sha256", "kind", "subject", "issuer", "serial", "not_before", "not_after", "tsa", "model", "fw",
	    "severity", "file", "text", "result", "role", "record", "ended", "stance", "anomaly_token", "token_name",
	    "level_by", "document_kind", "document_title", "document_len", "document_sha256"};

	for (size_t n = 0; n < KMN_COUNT_OF(members); n++)
		json_object_set_new(row, members[n], json_string(bad));
	operation = json_copy(row);
	json_object_set_new(operation, "what", json_pack("[s]", bad));
	json_object_set_new(row, "operations", json_pack("[o]", operation));
	json_object_set_new(row, "groups", json_pack("[s]", bad));
	json_object_set_new(row, "calls", json_pack("{s:i}", bad, 1));
	json_object_set_new(row, "tls", json_pack("{s:i}", bad, 1));
	json_object_set_new(row, "evidence", json_pack("[{s:s, s:i, s:[i]}]", "name", bad, "count", 1, "records", 1));
	report = json_pack("{s:s, s:{s:i, s:[O], s:[O]}, s:{s:i}}", "origin", bad, "verdict", "exit", 1, "findings",
	    row, "checks", row, "period", "records", 1);
	static const char *const lists[] = {"keys", "policies", "persons", "clients", "refusals", "open", "events",
	    "witnesses", "anchors", "hsms", "certificates", "requirements", "windows", "anomalies", "tokens",
	    "attestations"};
	for (size_t n = 0; n < KMN_COUNT_OF(lists); n++)
		json_object_set_new(report, lists[n], json_pack("[O]", row));
	json_decref(row);
	return report;
}

static char *
page(const json_t *report, enum kmn_language language)
{
	char *bytes;
	size_t len;
	FILE *file = open_memstream(&bytes, &len);

	kmn_report_html(file, report, language);
	fclose(file);
	return bytes;
}

/* Opening and closing tags in balance, each known; how many elements there are. */
static size_t
check_tags(const char *html)
{
	static const char *const empty[] = {"meta", "br", "col", "!DOCTYPE"};
	char stack[64][16];
	size_t depth = 0, count = 0;

	for (const char *at = html; (at = strchr(at, '<')) != NULL; at++) {
		bool closes = at[1] == '/', is_empty = false;
		size_t len = strcspn(at + 1 + closes, " >");
		char name[16];

		snprintf(name, sizeof(name), "%.*s", (int)len, at + 1 + closes);
		for (size_t n = 0; n < KMN_COUNT_OF(empty); n++)
			is_empty = is_empty || strcmp(empty[n], name) == 0;
		count++;
		if (closes) {
			CU_ASSERT_FATAL(depth > 0);
			CU_ASSERT_STRING_EQUAL(stack[--depth], name);
		} else if (!is_empty) {
			CU_ASSERT_FATAL(depth < 64);
			strcpy(stack[depth++], name);
		}
	}
	CU_ASSERT_EQUAL(depth, 0);
	return count;
}

static void
test_hostile(void)
{
	json_t *report = hostile();

	for (enum kmn_language language = 0; language < KMN_LANGUAGE_COUNT; language++) {
		char *html = page(report, language);

		CU_ASSERT(check_tags(html) > 200);
		CU_ASSERT_PTR_NULL(strstr(html, "<script"));
		CU_ASSERT_PTR_NULL(strstr(html, "<b on"));
		CU_ASSERT_PTR_NOT_NULL(strstr(html, "&lt;script src=&#39;http://x&#39;&gt;"));
		free(html);
	}
	json_decref(report);
}

static void
test_empty(void)
{
	json_t *report = json_pack("{s:s, s:{s:i}}", "origin", "x", "verdict", "exit", 3);
	char *html = page(report, KMN_ENGLISH);

	CU_ASSERT(check_tags(html) > 20);
	CU_ASSERT_PTR_NOT_NULL(strstr(html, "INCOMPLETE"));
	free(html);
	json_decref(report);
}

static void
test_texts(void)
{
	static const struct {
		const char *name, *en, *ja;
	} texts[] = {
#define TEXT(name, en, ja) {(name), (en), (ja)},
	    KMN_REPORT_TEXTS(TEXT)
#undef TEXT
	};

	for (size_t n = 0; n < KMN_COUNT_OF(texts); n++) {
		CU_ASSERT(texts[n].en[0] != '\0' && texts[n].ja[0] != '\0');
		for (size_t m = 0; m < n; m++) {
			CU_ASSERT_STRING_NOT_EQUAL(texts[n].name, texts[m].name);
		}
	}
	CU_ASSERT_STRING_EQUAL(kmn_report_text(KMN_ENGLISH, "C_Vendor"), "C_Vendor");
}

static CU_TestInfo tests[] = {
    {"text is text: no mark of HTML and no control character passes", test_escape},
    {"a ledger full of HTML makes a page that holds none of it, and is well formed", test_hostile},
    {"a report of nothing is a page too", test_empty},
    {"every text is there in both languages, once", test_texts},
    CU_TEST_INFO_NULL,
};
static CU_SuiteInfo suites[] = {{"tools/report", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

int
main(int argc, char **argv)
{
	return kmn_test_main(argc, argv, suites);
}
