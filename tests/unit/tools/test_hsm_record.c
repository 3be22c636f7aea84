/* Records `hsm.log`, judged again: what they say they match, against what they do match. */
#define _GNU_SOURCE 1 /* mkdtemp */
#include "config.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/run.h"
#include "tools/kanmon/hsm_log.h"

static const char rows_form[] = "kanmon/hsm-log/v1\nname test\nkind rows\nline ^([^ ]+) ([^ ]+)$\nfield operation 1\n"
				"field key 2\noperation C_Sign sign\noperation PING ignore\n";
static const char counters_form[] = "kanmon/hsm-log/v1\nname counts\nkind counters\nline ^([^ ]+) ([0-9]+)$\nfield key "
				    "1\nfield counter 2\ncounts sign\n";

static char folder[64];
static struct kmn_store *store;
static struct kmn_hsm_book *book;
static uint64_t next_i;
static unsigned said;
static char last[200];

static void
say(void *cookie, const struct kmn_record *record, const struct kmn_hsmlog_row *row, const char *text)
{
	(void)cookie;
	(void)record;
	said++;
	(void)snprintf(last, sizeof(last), "%llu: %s", (unsigned long long)row->line, text);
}

static kmn_err
take(enum kmn_record_kind kind, json_t *body, struct kmn_record *record)
{
	uint64_t i = next_i++;

	*record = (struct kmn_record){
	    .kind = kind, .type = kmn_record_name(kind), .i = i, .t = 1000 * (i + 1), .body = body};
	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	return kmn_hsm_book_take(book, record);
}

/* A signature, as class B records it. */
static void
use(const char *label)
{
	struct kmn_record record;
	json_t *body = json_pack("{s:s, s:{s:s}, s:i, s:s, s:i, s:{}, s:s, s:i}", "op", "C_Sign", "key", "label", label,
	    "rv", 0, "rv_name", "CKR_OK", "dur_us", 1000, "hsm", "rule", "all", "chan", 1);

	CU_ASSERT_EQUAL(take(KMN_R_OP, body, &record), KMN_OK);
	json_decref(body);
}

/* The blob that holds these lines. */
static void
keep(const char *lines, uint8_t sha256[KMN_HASH_BYTES])
{
	char path[160];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s/blobs/", folder);
	FILE *file;

	kmn_sha256(lines, strlen(lines), sha256);
	for (size_t i = 0; i < KMN_HASH_BYTES; i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "%02x", sha256[i]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file = fopen(path, "w"));
	CU_ASSERT_EQUAL(fwrite(lines, 1, strlen(lines), file), strlen(lines));
	CU_ASSERT_EQUAL(fclose(file), 0);
}

/* A record of these lines, by `form`, that says it matches `matches`. */
static kmn_err
judge(const char *form_text, const char *name, const char *lines, size_t count, const char *matches, int unmatched)
{
	uint8_t lines_sha256[KMN_HASH_BYTES], form_sha256[KMN_HASH_BYTES];
	struct kmn_hsm_form form = {0};
	struct kmn_record record;
	struct kmn_why why = {""};
	json_t *body;
	kmn_err e;

	said = 0;
	last[0] = '\0';
	keep(lines, lines_sha256);
	kmn_sha256(form_text, strlen(form_text), form_sha256);
	body = json_pack("{s:s, s:{s:o, s:o, s:I, s:I, s:I, s:i}, s:o, s:i}", "source", name, "rows", "sha256",
	    kmn_json_b64(lines_sha256, KMN_HASH_BYTES), "format_sha256", kmn_json_b64(form_sha256, KMN_HASH_BYTES),
	    "len", (json_int_t)strlen(lines), "lines", (json_int_t)count, "size", (json_int_t)next_i, "tolerance_ms",
	    5000, "matches", json_loads(matches, 0, NULL), "unmatched", unmatched);
	CU_ASSERT_EQUAL(take(KMN_R_HSM_LOG, body, &record), KMN_OK);
	form_text = strcmp(name, "counts") == 0 ? counters_form : rows_form;
	CU_ASSERT_EQUAL_FATAL(kmn_hsm_form_parse(form_text, strlen(form_text), &form, &why), KMN_OK);
	e = kmn_hsm_log_judge(book, &form, store, &record, say, NULL);
	kmn_hsm_form_clear(&form);
	json_decref(body);
	return e;
}

static void
set_up(void)
{
	char path[80];

	(void)snprintf(folder, sizeof(folder), "/tmp/kanmon-hsm.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/blobs", folder);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(folder, &store), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_hsm_book_new(&book), KMN_OK);
	next_i = 0;
	use("root");    /* 0 */
	use("issuing"); /* 1 */
	use("root");    /* 2 */
}

static int
remove_one(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
	(void)stat;
	(void)kind;
	(void)where;
	return remove(path);
}

static void
tear_down(void)
{
	kmn_hsm_book_free(book);
	kmn_store_files_free(store);
	(void)nftw(folder, remove_one, 8, FTW_PHYS | FTW_DEPTH);
}

static void
test_right(void)
{
	CU_ASSERT_EQUAL(
	    judge(rows_form, "test", "C_Sign root\nPING -\nC_Sign issuing\n", 3, "[0,\"ignored\",1]", 0), KMN_OK);
	CU_ASSERT_EQUAL(said, 0);
}

static void
test_other_matches(void)
{
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign root\nC_Sign issuing\n", 2, "[2,1]", 0), KMN_OK);
	CU_ASSERT_EQUAL(said, 1);
	CU_ASSERT_STRING_EQUAL(last, "1: what the record says it matches is not what it matches");
}

static void
test_ignored(void)
{
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign root\n", 1, "[\"ignored\"]", 0), KMN_OK);
	CU_ASSERT_EQUAL(said, 1);
}

static void
test_unmatched(void)
{
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign other\n", 1, "[\"none\"]", 1), KMN_OK);
	CU_ASSERT_STRING_EQUAL(last, "1: UNMATCHED: the HSM was used and no record says so");
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign other\n", 1, "[\"none\"]", 0), KMN_OK);
	CU_ASSERT_STRING_EQUAL(last, "1: the record counts 0 rows as unmatched, and 1 are");
	CU_ASSERT_EQUAL(judge(rows_form, "test", "nonsense\n", 1, "[\"ignored\"]", 0), KMN_OK);
	CU_ASSERT_EQUAL(said, 3);
}

/* A use answers once, whichever record the row stands in. */
static void
test_twice(void)
{
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign issuing\n", 1, "[1]", 0), KMN_OK);
	CU_ASSERT_EQUAL(said, 0);
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign issuing\n", 1, "[1]", 0), KMN_OK);
	CU_ASSERT_TRUE(said > 0);
}

static void
test_counters(void)
{
	CU_ASSERT_EQUAL(judge(counters_form, "counts", "root 2\nissuing 1\n", 2, "[\"equal\",\"equal\"]", 0), KMN_OK);
	CU_ASSERT_EQUAL(said, 0);
	CU_ASSERT_EQUAL(judge(counters_form, "counts", "root 3\n", 1, "[\"equal\"]", 0), KMN_OK);
	CU_ASSERT_EQUAL(said, 3);
	CU_ASSERT_EQUAL(judge(counters_form, "counts", "nonsense\n", 1, "[\"none\"]", 1), KMN_OK);
	CU_ASSERT_STRING_EQUAL(last, "1: UNMATCHED: the HSM was used and no record says so");
}

static void
test_malformed(void)
{
	CU_ASSERT_EQUAL(judge(counters_form, "test", "C_Sign root\n", 1, "[0]", 0), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(judge(rows_form, "other", "C_Sign root\n", 1, "[0]", 0), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign root\n", 2, "[0,1]", 0), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign root\n", 1, "[0,1]", 0), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(judge(rows_form, "test", "C_Sign root", 1, "[0]", 0), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(said, 0);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a record that is right is silent", test_right},
	    {"a record that names other uses than its rows met is found", test_other_matches},
	    {"a row of a use that is called ignored is found", test_ignored},
	    {"a row that no record explains is found, whatever the record counts", test_unmatched},
	    {"one use answers for one row, over all records of a log", test_twice},
	    {"a counter that is ahead is found, and one that cannot be read", test_counters},
	    {"a record by another form, or not of its own lines, is not judged", test_malformed},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
	    {"tools/hsm record", NULL, NULL, set_up, tear_down, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
