/* kanmon audit reconcile --hsm-log: the HSM's own log or counters against what the ledger says the HSM did. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_reconcile.h"
#include "tools/kanmon/audit_rows.h"
#include "tools/kanmon/hsm_book.h"
#include "tools/kanmon/terminal.h"

#define LOG_MAX_BYTES (256u << 20)

struct reconciling {
	struct kmn_hsmlog_format *format;
	struct kmn_hsm_book *book;
	struct kmn_hsmlog_row *log;
	struct kmn_hsm_judged *judged;
	size_t log_count, log_room;
	json_t *findings;
	uint64_t met, maybe, crash, ignored, unread, uncovered;
};

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct reconciling *r = cookie;

	(void)place;
	return kmn_hsm_book_take(r->book, record);
}

/* ---- the HSM's side ---------------------------------------------------------------------------------------------- */

static kmn_err
take_line(struct reconciling *r, uint64_t number, const char *line)
{
	struct kmn_hsmlog_row *more = kmn_hsm_grow(r->log, r->log_count, &r->log_room, sizeof(*more));
	kmn_err e;

	if (more == NULL)
		return KMN_E_NO_MEMORY;
	r->log = more;
	e = kmn_hsmlog_line(r->format, line, &more[r->log_count]);
	more[r->log_count].line = number;
	if (e == KMN_OK) {
		r->log_count++;
	} else if (e == KMN_E_MALFORMED) {
		r->unread++;
		(void)fprintf(stderr,
		    "kanmon audit: line %" PRIu64 " of the HSM's log: the format does not explain it\n", number);
	}
	return KMN_OK;
}

static kmn_err
read_log(struct reconciling *r, const char *path)
{
	char *bytes, *at, *end;
	size_t len;
	uint64_t number = 0;
	kmn_err e = kmn_audit_file(path, LOG_MAX_BYTES, &bytes, &len);

	if (e != KMN_OK)
		return e;
	for (at = bytes; e == KMN_OK && at < bytes + len; at = end + 1) {
		if ((end = memchr(at, '\n', (size_t)(bytes + len - at))) == NULL)
			end = bytes + len;
		*end = '\0';
		if (end > at && end[-1] == '\r')
			end[-1] = '\0';
		e = take_line(r, ++number, at);
	}
	free(bytes);
	return e;
}

static kmn_err
read_format(struct reconciling *r, const char *path)
{
	struct kmn_why why = {""};
	char *text;
	size_t len;
	kmn_err e = kmn_audit_file(path, KMN_HSMLOG_FORMAT_MAX_BYTES, &text, &len);

	if (e != KMN_OK)
		return e;
	if ((e = kmn_hsmlog_format_parse(text, len, &r->format, &why)) != KMN_OK)
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, why.text);
	free(text);
	return e;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static void
find(struct reconciling *r, const struct kmn_hsmlog_row *row, const char *text, uint64_t record)
{
	json_t *finding = json_pack("{s:I, s:s, s:s, s:s}", "line", (json_int_t)row->line, "operation", row->operation,
	    "key", row->key, "text", text);

	if (row->t != 0) {
		char when[KMN_MS_TEXT_BYTES];

		kmn_ms_text(row->t, when);
		(void)json_object_set_new(finding, "time", json_string(when));
	}
	if (record != UINT64_MAX)
		(void)json_object_set_new(finding, "record", json_integer((json_int_t)record));
	if (finding == NULL || json_array_append_new(r->findings, finding) != 0)
		KMN_BUG("out of memory");
}

static void
judge_rows(struct reconciling *r, uint64_t tolerance_ms, unsigned *unmatched)
{
	size_t use_count, crash_count;
	struct kmn_hsm_use *uses = kmn_hsm_book_uses(r->book, &use_count);
	const struct kmn_hsm_crash *crashes = kmn_hsm_book_crashes(r->book, &crash_count);

	kmn_hsmlog_match(r->log, r->log_count, uses, use_count, crashes, crash_count, tolerance_ms, r->judged);
	for (size_t n = 0; n < r->log_count; n++) {
		const struct kmn_hsm_judged *judged = &r->judged[n];

		r->met += judged->verdict == KMN_HSM_MET;
		r->maybe += judged->verdict == KMN_HSM_MET_MAYBE;
		r->crash += judged->verdict == KMN_HSM_CRASH;
		r->ignored += judged->verdict == KMN_HSM_IGNORED;
		*unmatched += judged->verdict == KMN_HSM_UNMATCHED;
		if (judged->verdict == KMN_HSM_UNMATCHED)
			find(r, &r->log[n],
			    r->log[n].class == KMN_HSM_CLASS_COUNT
				? "UNMATCHED: the format does not say what this operation is"
				: "UNMATCHED: the HSM was used and no record says so",
			    UINT64_MAX);
		else if (judged->verdict == KMN_HSM_CRASH)
			find(r, &r->log[n],
			    "no record; it lies in the window of a crash, where records of class B were lost",
			    judged->record);
		else if (judged->verdict == KMN_HSM_MET_MAYBE)
			find(r, &r->log[n], "the call whose result a crash took: the HSM did run it", judged->record);
	}
	for (size_t n = 0; n < use_count; n++)
		r->uncovered +=
		    kmn_hsmlog_covers(r->format, uses[n].class) && !uses[n].met && !uses[n].failed && !uses[n].unknown;
}

static void
judge_counters(struct reconciling *r, unsigned *unmatched)
{
	size_t use_count;
	const struct kmn_hsm_use *uses = kmn_hsm_book_uses(r->book, &use_count);

	for (size_t n = 0; n < r->log_count; n++) {
		const struct kmn_hsmlog_row *row = &r->log[n];
		uint64_t certain, most;
		char text[200];

		kmn_hsmlog_count(r->format, row, uses, use_count, &certain, &most);
		(void)snprintf(text, sizeof(text),
		    "%s: the counter says %" PRIu64 ", the ledger %" PRIu64 " (and %" PRIu64
		    " whose result a crash took)",
		    row->counter > most      ? "UNMATCHED, the HSM was used and no record says so"
		    : row->counter < certain ? "UNMATCHED, the ledger has more than the HSM counted"
					     : "equal",
		    row->counter, certain, most - certain);
		if (row->counter > most || row->counter < certain) {
			++*unmatched;
			find(r, row, text, UINT64_MAX);
		} else {
			r->met++;
		}
	}
}

static void
print_human(const struct reconciling *r, unsigned unmatched)
{
	const json_t *finding;
	size_t n;

	json_array_foreach(r->findings, n, finding)
	{
		(void)printf(
		    "V11 line %" JSON_INTEGER_FORMAT ": ", json_integer_value(json_object_get(finding, "line")));
		kmn_audit_text(stdout, kmn_json_text(finding, "operation"), 0);
		(void)printf(" with ");
		kmn_audit_text(stdout, kmn_json_text(finding, "key"), 0);
		(void)printf("%s%s: ", kmn_json_text(finding, "time")[0] != '\0' ? " at " : "", kmn_json_text(finding, "time"));
		kmn_audit_text(stdout, kmn_json_text(finding, "text"), 0);
		if (json_object_get(finding, "record") != NULL)
			(void)printf(" (record %" JSON_INTEGER_FORMAT ")",
			    json_integer_value(json_object_get(finding, "record")));
		(void)printf("\n");
	}
	kmn_audit_text(stdout, kmn_hsmlog_name(r->format), 0);
	(void)printf(": %" PRIu64 " matched, %u UNMATCHED, %" PRIu64 " of calls that a crash left undecided, %" PRIu64
		     " in a crash window, %" PRIu64 " that use no key\n",
	    r->met, unmatched, r->maybe, r->crash, r->ignored);
	if (r->uncovered > 0)
		(void)printf("%" PRIu64 " uses in the ledger have no row: the HSM's log begins later, ends earlier, or "
			     "lost them\n",
		    r->uncovered);
}

static void
print_json(struct reconciling *r, unsigned unmatched)
{
	kmn_print_json(json_pack("{s:s, s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "format", kmn_hsmlog_name(r->format),
	    "rows", r->findings, "matched", (json_int_t)r->met, "unmatched", (json_int_t)unmatched, "undecided",
	    (json_int_t)r->maybe, "crash_window", (json_int_t)r->crash, "ignored", (json_int_t)r->ignored, "unread",
	    (json_int_t)r->unread, "ledger_only", (json_int_t)r->uncovered));
}

static void
clear(struct reconciling *r)
{
	free(r->log);
	free(r->judged);
	json_decref(r->findings);
	kmn_hsm_book_free(r->book);
	kmn_hsmlog_format_free(r->format);
}

int
kmn_reconcile_hsm_log(struct kmn_store *store, const char *ledger, const char *log, const char *format,
    unsigned long tolerance_s, bool json)
{
	struct reconciling r = {.findings = json_array()};
	struct kmn_why why = {""};
	unsigned unmatched = 0;
	kmn_err e;

	if ((e = read_format(&r, format)) == KMN_OK && (e = read_log(&r, log)) == KMN_OK &&
	    (e = kmn_hsm_book_new(&r.book)) == KMN_OK && (e = kmn_ledger_read(store, each_record, &r, &why)) != KMN_OK)
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", ledger, why.text[0] == '\0' ? kmn_err_text(e) : why.text);
	if (e == KMN_OK && (r.judged = calloc(r.log_count + 1, sizeof(*r.judged))) == NULL)
		e = KMN_E_NO_MEMORY;
	if (e == KMN_OK) {
		if (kmn_hsmlog_is_counters(r.format))
			judge_counters(&r, &unmatched);
		else
			judge_rows(&r, tolerance_s * 1000, &unmatched);
		if (json)
			print_json(&r, unmatched);
		else
			print_human(&r, unmatched);
	}
	e = e == KMN_OK && r.unread > 0 && unmatched == 0 ? KMN_E_MALFORMED : e;
	clear(&r);
	if (e != KMN_OK)
		return e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
	return unmatched > 0 ? KMN_AUDIT_FAILED : KMN_AUDIT_VERIFIED;
}
