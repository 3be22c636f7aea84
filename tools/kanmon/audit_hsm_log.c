/* kanmon audit reconcile --hsm-log: the HSM's own log or counters against what the ledger says the HSM did. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_reconcile.h"
#include "tools/kanmon/audit_rows.h"
#include "tools/kanmon/hsmlog.h"
#include "tools/kanmon/terminal.h"

#define LOG_MAX_BYTES (256u << 20)

struct reconciling {
	struct kmn_hsmlog_format *format;
	struct kmn_rows *rows;
	struct kmn_hsm_use *uses;
	struct kmn_hsm_crash *crashes;
	struct kmn_hsmlog_row *log;
	struct kmn_hsm_judged *judged;
	size_t use_count, use_room, crash_count, log_count, log_room;
	uint64_t *intent_t; /* when each request came: by its intent, growing; pairs of index and time */
	size_t intent_count, intent_room;
	uint64_t last_t;
	json_t *findings;
	uint64_t met, maybe, crash, ignored, unread, uncovered;
};

static void *
grow(void *list, size_t count, size_t *room, size_t size)
{
	void *more;

	if (count < *room)
		return list;
	if ((more = realloc(list, (*room * 2 + 256) * size)) != NULL)
		*room = *room * 2 + 256;
	return more;
}

/* ---- the ledger's side ------------------------------------------------------------------------------------------- */

static kmn_err
keep_intent(struct reconciling *r, const struct kmn_record *record)
{
	uint64_t *more = grow(r->intent_t, r->intent_count, &r->intent_room, 2 * sizeof(*more));

	if (more == NULL)
		return KMN_E_NO_MEMORY;
	r->intent_t = more;
	more[2 * r->intent_count] = record->i;
	more[2 * r->intent_count++ + 1] = record->t;
	return KMN_OK;
}

static uint64_t
intent_time(const struct reconciling *r, uint64_t i, uint64_t otherwise)
{
	size_t low = 0, high = r->intent_count;

	while (low < high) {
		size_t at = low + (high - low) / 2;

		if (r->intent_t[2 * at] == i)
			return r->intent_t[2 * at + 1];
		if (r->intent_t[2 * at] < i)
			low = at + 1;
		else
			high = at;
	}
	return otherwise;
}

/* Texts of rows are the rows' own copies; a label that a result brings for a key it made is not. */
static kmn_err
keep_use(struct reconciling *r, const struct kmn_record *record, const struct kmn_row *row, uint64_t from, bool unknown)
{
	const char *serial = "", *event = "";
	struct kmn_hsm_use *more, use = {.record = record->i, .from = from, .to = record->t, .unknown = unknown};
	uint64_t rv = 0;

	if (!kmn_json_get_text(record->body, "event", &event))
		event = "";
	use.class = kmn_hsm_class_of(event[0] != '\0' ? event : row->value[KMN_COL_FUNCTION]);
	if (!kmn_hsmlog_covers(r->format, use.class))
		return KMN_OK;
	if (!unknown && !kmn_json_get_number(record->body, "rv", &rv))
		return KMN_OK;
	if (!kmn_json_get_text(json_object_get(record->body, "hsm"), "serial", &serial))
		serial = "";
	use.failed = rv != 0;
	if ((use.label = strdup(row->value[KMN_COL_KEY])) == NULL ||
	    (use.id = strdup(row->value[KMN_COL_KEY_ID])) == NULL ||
	    (use.spki = strdup(row->value[KMN_COL_KEY_SPKI])) == NULL || (use.serial = strdup(serial)) == NULL ||
	    (more = grow(r->uses, r->use_count, &r->use_room, sizeof(*more))) == NULL)
		KMN_BUG("out of memory");
	r->uses = more;
	more[r->use_count++] = use;
	return KMN_OK;
}

/* A recovery: what was allowed may have run; and what class B records a crash lost nobody knows. */
static kmn_err
keep_recovery(struct reconciling *r, const struct kmn_record *record)
{
	struct kmn_hsm_crash *more = realloc(r->crashes, (r->crash_count + 1) * sizeof(*more));
	const json_t *open = json_object_get(record->body, "open_requests");
	const char *state;
	uint64_t i;

	if (more == NULL)
		return KMN_E_NO_MEMORY;
	r->crashes = more;
	more[r->crash_count++] = (struct kmn_hsm_crash){record->i, r->last_t, record->t};
	for (size_t n = 0; n < json_array_size(open); n++) {
		struct kmn_row row;
		struct kmn_record about = {.kind = KMN_R_UNKNOWN, .i = record->i, .t = record->t, .type = ""};
		json_t *body;
		kmn_err e;

		if (!kmn_json_get_text(json_array_get(open, n), "state", &state) || strcmp(state, "unknown") != 0 ||
		    !kmn_json_get_number(json_array_get(open, n), "i", &i))
			continue;
		/* a record that only refers to the request: its row is the request's */
		body = json_pack("{s:{s:I, s:O}}", "request", "i", (json_int_t)i, "leaf",
		    json_object_get(json_array_get(open, n), "leaf"));
		about.body = body;
		if ((e = kmn_rows_take(r->rows, &about, &row)) == KMN_OK)
			e = keep_use(r, &about, &row, intent_time(r, i, r->last_t), true);
		json_decref(body);
		if (e != KMN_OK)
			return e;
	}
	return KMN_OK;
}

static bool
is_refusal(const struct kmn_record *record)
{
	uint64_t took;

	/* refused by the gateway: the HSM was not asked */
	return record->kind == KMN_R_OP && kmn_json_get_number(record->body, "dur_us", &took) && took == 0;
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct reconciling *r = cookie;
	struct kmn_row row;
	uint64_t took = 0;
	kmn_err e = kmn_rows_take(r->rows, record, &row);

	(void)place;
	if (e != KMN_OK)
		return e;
	switch (record->kind) {
	case KMN_R_INTENT:
		e = keep_intent(r, record);
		break;
	case KMN_R_RESULT:
		if (!kmn_json_get_number(record->body, "dur_us", &took))
			took = 0;
		/* it ran within its duration before the record, which is a commit later */
		e = keep_use(r, record, &row, record->t - (took / 1000 < record->t ? took / 1000 : record->t), false);
		break;
	case KMN_R_OP:
		if (!is_refusal(record) && kmn_json_get_number(record->body, "dur_us", &took))
			e = keep_use(
			    r, record, &row, record->t - (took / 1000 < record->t ? took / 1000 : record->t), false);
		break;
	case KMN_R_SESSION:
		e = keep_use(r, record, &row, record->t, false);
		break;
	case KMN_R_RECOVERY:
		e = keep_recovery(r, record);
		break;
	default:
		break;
	}
	r->last_t = record->t;
	return e;
}

/* ---- the HSM's side ---------------------------------------------------------------------------------------------- */

static kmn_err
take_line(struct reconciling *r, uint64_t number, const char *line)
{
	struct kmn_hsmlog_row *more = grow(r->log, r->log_count, &r->log_room, sizeof(*more));
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
	kmn_hsmlog_match(
	    r->log, r->log_count, r->uses, r->use_count, r->crashes, r->crash_count, tolerance_ms, r->judged);
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
	for (size_t n = 0; n < r->use_count; n++)
		r->uncovered += !r->uses[n].met && !r->uses[n].failed && !r->uses[n].unknown;
}

static void
judge_counters(struct reconciling *r, unsigned *unmatched)
{
	for (size_t n = 0; n < r->log_count; n++) {
		const struct kmn_hsmlog_row *row = &r->log[n];
		uint64_t certain, most;
		char text[200];

		kmn_hsmlog_count(r->format, row, r->uses, r->use_count, &certain, &most);
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

static const char *
text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text != NULL ? text : "";
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
		kmn_audit_text(stdout, text_of(finding, "operation"), 0);
		(void)printf(" with ");
		kmn_audit_text(stdout, text_of(finding, "key"), 0);
		(void)printf("%s%s: ", text_of(finding, "time")[0] != '\0' ? " at " : "", text_of(finding, "time"));
		kmn_audit_text(stdout, text_of(finding, "text"), 0);
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
	for (size_t n = 0; n < r->use_count; n++) {
		free((char *)(uintptr_t)r->uses[n].label);
		free((char *)(uintptr_t)r->uses[n].id);
		free((char *)(uintptr_t)r->uses[n].spki);
		free((char *)(uintptr_t)r->uses[n].serial);
	}
	free(r->uses);
	free(r->crashes);
	free(r->log);
	free(r->judged);
	free(r->intent_t);
	json_decref(r->findings);
	kmn_rows_free(r->rows);
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
	    (e = kmn_rows_new(&r.rows)) == KMN_OK && (e = kmn_ledger_read(store, each_record, &r, &why)) != KMN_OK)
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
