/* kanmon audit show: the records of a ledger as one table, for people (text), programs (JSON) and spreadsheets (CSV). */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_refusal.h"
#include "tools/kanmon/audit_rows.h"
#include "tools/kanmon/csv.h"
#include "tools/kanmon/options.h"

#define INDENT 42 /* where the words of a row begin */

enum form { FORM_TEXT, FORM_JSON, FORM_CSV, FORM_RAW };

struct showing {
	struct kmn_rows *rows;
	struct kmn_row row;
	struct kmn_row_filter filter;
	enum form form;
	bool begun;
};

/* ---- text: one record a row, words wrapped at the right edge and never cut --------------------------------------- */

/* What stands before a value, so that a reader knows what it is. */
static const struct {
	enum kmn_column column;
	const char *before;
} words[] = {
    {KMN_COL_KEY, ""},
    {KMN_COL_FUNCTION, ""},
    {KMN_COL_MECHANISM, ""},
    {KMN_COL_RULE, "rule "},
    {KMN_COL_REQUEST, "of "},
    {KMN_COL_DETAIL, ""},
    {KMN_COL_OUTCOME, "-> "},
    {KMN_COL_REASON, "because: "},
};

static size_t
characters(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static void
put_word(const char *word, size_t *at)
{
	size_t width = characters(word);

	if (*at > INDENT && *at + 1 + width > KMN_AUDIT_WIDTH) {
		(void)printf("\n%*s", INDENT, "");
		*at = INDENT;
	} else if (*at > INDENT) {
		(void)printf(" ");
		*at += 1;
	}
	for (; *word != '\0'; word++) { /* one that is wider than a line goes on in the next */
		char character[5] = {*word};

		for (size_t n = 1; n < 4 && ((unsigned char)word[1] & 0xc0) == 0x80; n++)
			character[n] = *++word;
		if (*at == KMN_AUDIT_WIDTH) {
			(void)printf("\n%*s", INDENT, "");
			*at = INDENT;
		}
		kmn_audit_text(stdout, character, 0);
		*at += 1;
	}
}

/* `at` is the column reached. */
static void
put_words(const char *before, const char *text, size_t *at)
{
	char piece[KMN_ROW_DETAIL_BYTES + 16], *rest = piece, *word;

	(void)snprintf(piece, sizeof(piece), "%s%s", before, text);
	while ((word = strsep(&rest, " ")) != NULL)
		put_word(word, at);
}

static const char *
who(const struct kmn_row *row, const struct kmn_record *record)
{
	if (row->signers[0] != '\0') /* the record is a note of theirs */
		return row->value[KMN_COL_CUSTODIANS];
	if (record->kind == KMN_R_DECISION || row->value[KMN_COL_CLIENT][0] == '\0')
		return "gateway";
	return row->value[KMN_COL_CLIENT];
}

/* A line for people leaves out what the request's own line says. */
static bool
is_said(enum kmn_column column, const struct kmn_row *row, const struct kmn_record *record)
{
	switch (column) {
	case KMN_COL_REQUEST:
		return row->request == record->i;
	case KMN_COL_MECHANISM:
		return record->kind != KMN_R_INTENT && record->kind != KMN_R_OP;
	case KMN_COL_FUNCTION:
		return record->kind != KMN_R_INTENT && record->kind != KMN_R_OP && record->kind != KMN_R_RESULT;
	case KMN_COL_RULE:
		return record->kind != KMN_R_DECISION && record->kind != KMN_R_OP;
	case KMN_COL_DETAIL:
		return record->kind == KMN_R_STATEMENT;
	default:
		return false;
	}
}

static void
print_text(struct showing *showing, const struct kmn_record *record)
{
	const struct kmn_row *row = &showing->row;
	size_t at = INDENT;

	if (!showing->begun)
		(void)printf("%-19s %6s %-14s WHO, KEY, WHAT -> OUTCOME\n", "TIME (UTC)", "INDEX", "TYPE");
	(void)printf("%.10s %.8s %6s ", row->time, row->time + 11, row->index);
	kmn_audit_text(stdout, record->type, 40);
	(void)printf("%*s ", characters(record->type) < 14 ? (int)(14 - characters(record->type)) : 0, "");
	put_words("", who(row, record), &at);
	for (size_t n = 0; n < KMN_COUNT_OF(words); n++) {
		const char *value = row->value[words[n].column];

		if (value[0] != '\0' && !is_said(words[n].column, row, record))
			put_words(
			    words[n].before, words[n].column == KMN_COL_REASON ? kmn_refusal_words(value) : value, &at);
	}
	(void)printf("\n");
}

/* ---- the same for programs and spreadsheets ---------------------------------------------------------------------- */

/* The columns, and beside them `body`: all that the record itself says. */
static kmn_err
print_json(const struct kmn_row *row, const struct kmn_record *record)
{
	json_t *object = json_object();

	for (enum kmn_column n = 0; n < KMN_COLUMN_COUNT; n++)
		if (row->value[n][0] != '\0')
			(void)json_object_set_new(object, kmn_column_name(n), json_string(row->value[n]));
	(void)json_object_set_new(object, "i", json_integer((json_int_t)record->i));
	(void)json_object_set_new(object, "t", json_integer((json_int_t)record->t));
	if (row->request != UINT64_MAX)
		(void)json_object_set_new(object, "request", json_integer((json_int_t)row->request));
	(void)json_object_set_new(object, "body", json_incref(json_object_get(record->owner, "body")));
	(void)json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
	(void)printf("\n");
	json_decref(object);
	return object == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

static void
print_csv(const struct showing *showing)
{
	const char *heads[KMN_COLUMN_COUNT];

	for (enum kmn_column n = 0; n < KMN_COLUMN_COUNT; n++)
		heads[n] = kmn_column_name(n);
	if (!showing->begun)
		kmn_csv_line(stdout, heads, KMN_COLUMN_COUNT);
	kmn_csv_line(stdout, showing->row.value, KMN_COLUMN_COUNT);
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct showing *showing = cookie;
	kmn_err e = kmn_rows_take(showing->rows, record, &showing->row);

	(void)place;
	if (e != KMN_OK || !kmn_row_wanted(&showing->filter, record, &showing->row))
		return e;
	switch (showing->form) {
	case FORM_TEXT:
		print_text(showing, record);
		break;
	case FORM_JSON:
		e = print_json(&showing->row, record);
		break;
	case FORM_CSV:
		print_csv(showing);
		break;
	case FORM_RAW:
		(void)json_dumpf(record->owner, stdout, JSON_COMPACT | JSON_SORT_KEYS); /* canonical: the raw line */
		(void)printf("\n");
		break;
	}
	showing->begun = true;
	return ferror(stdout) ? KMN_E_IO : e;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

/* An index option; `out` stays as it is where it was not given. */
static bool
index_of(const char *option, const char *text, uint64_t *out)
{
	char *end;

	if (text == NULL)
		return true;
	if (text[0] >= '0' && text[0] <= '9') {
		*out = strtoull(text, &end, 10);
		if (*end == '\0')
			return true;
	}
	(void)kmn_usage("audit show", "--%s %s is not the index of a record", option, text);
	return false;
}

static bool
time_of(const char *option, const char *text, uint64_t *from, uint64_t *before)
{
	if (text == NULL || kmn_when_parse(text, from, before))
		return true;
	(void)kmn_usage("audit show", "--%s %s is no time: 2026-11-23 or 2026-11-23T18:13:33Z, in UTC", option, text);
	return false;
}

static bool
is_type(const char *type)
{
	if (type == NULL || kmn_record_kind(type) != KMN_R_UNKNOWN)
		return true;
	(void)kmn_usage("audit show", "--type %s is no type of record", type);
	return false;
}

static int
show(const char *dir, struct showing *showing)
{
	struct kmn_store *store = NULL;
	struct kmn_why why = {""};
	kmn_err e;

	if (sodium_init() < 0 || kmn_audit_open(dir, &store) != KMN_OK)
		return KMN_AUDIT_INCOMPLETE;
	e = kmn_rows_new(&showing->rows);
	if (e == KMN_OK)
		e = kmn_ledger_read(store, each_record, showing, &why);
	if (e != KMN_OK)
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", dir, why.text[0] == '\0' ? kmn_err_text(e) : why.text);
	kmn_rows_free(showing->rows);
	kmn_store_files_free(store);
	return e == KMN_OK ? KMN_AUDIT_VERIFIED : e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
}

int
kmn_cmd_audit_show(int argc, char **argv)
{
	const char *from = NULL, *to = NULL, *request = NULL, *since = NULL, *until = NULL, *words_given[1];
	struct showing showing = {.filter = {.to = UINT64_MAX, .request = UINT64_MAX}};
	struct kmn_row_filter *filter = &showing.filter;
	bool json = false, csv = false, raw = false;
	uint64_t unused;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("since", "TIME", "from this time on, UTC: 2026-11-23 or 2026-11-23T18:13:33Z", &since),
	    KMN_OPTION_TEXT("until", "TIME", "to the end of this day, hour, minute or second", &until),
	    KMN_OPTION_TEXT("key", "KEY", "a key's label, id (hex), or the SHA-256 of its public key", &filter->key),
	    KMN_OPTION_TEXT("client", "NAME", "what this application or terminal did", &filter->client),
	    KMN_OPTION_TEXT("custodian", "NAME", "their votes, and what stands on them", &filter->custodian),
	    KMN_OPTION_TEXT("request", "INDEX", "only this request and what refers to it", &request),
	    KMN_OPTION_TEXT("type", "TYPE", "only records of this type: intent, approval, result ..", &filter->type),
	    KMN_OPTION_TEXT("function", "NAME", "only this PKCS#11 function: C_Sign ..", &filter->function),
	    KMN_OPTION_TEXT("from", "INDEX", "from this record on", &from),
	    KMN_OPTION_TEXT("to", "INDEX", "to this record", &to),
	    KMN_OPTION_FLAG("json", "one JSON object a line: the columns, and the record's body", &json),
	    KMN_OPTION_FLAG("csv", "CSV (RFC 4180), safe to open in a spreadsheet", &csv),
	    KMN_OPTION_FLAG("raw", "the lines of the ledger, byte for byte", &raw),
	};
	int parsed = kmn_options_parse(argc, argv, "audit show", options, KMN_COUNT_OF(options), words_given, 1, 1);

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	if (json + csv + raw > 1) {
		(void)kmn_usage("audit show", "only one of --json, --csv and --raw");
		return KMN_AUDIT_INCOMPLETE;
	}
	showing.form = json ? FORM_JSON : csv ? FORM_CSV : raw ? FORM_RAW : FORM_TEXT;
	if (!index_of("from", from, &filter->from) || !index_of("to", to, &filter->to) ||
	    !index_of("request", request, &filter->request) || !is_type(filter->type) ||
	    !time_of("since", since, &filter->since, &unused) || !time_of("until", until, &unused, &filter->before))
		return KMN_AUDIT_INCOMPLETE;
	return show(words_given[0], &showing);
}
