/* The ledger's side of an HSM's own log. */
#include "config.h"

#include "tools/kanmon/hsm_book.h"

#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit_rows.h"

/* A source, as far as it was judged. */
struct source {
	char *name;
	bool *met; /* by use: it has its row; as many as `known` */
	size_t known;
};

struct kmn_hsm_book {
	struct kmn_rows *rows;
	struct kmn_hsm_use *uses;
	struct kmn_hsm_crash *crashes;
	size_t use_count, use_room, crash_count;
	uint64_t *intent_t; /* when each request came: by its intent, growing; pairs of index and time */
	size_t intent_count, intent_room;
	uint64_t last_t;
	struct source *sources;
	size_t source_count;
};

void *
kmn_hsm_grow(void *list, size_t count, size_t *room, size_t size)
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
keep_intent(struct kmn_hsm_book *b, const struct kmn_record *record)
{
	uint64_t *more = kmn_hsm_grow(b->intent_t, b->intent_count, &b->intent_room, 2 * sizeof(*more));

	if (more == NULL)
		return KMN_E_NO_MEMORY;
	b->intent_t = more;
	more[2 * b->intent_count] = record->i;
	more[2 * b->intent_count++ + 1] = record->t;
	return KMN_OK;
}

static uint64_t
intent_time(const struct kmn_hsm_book *b, uint64_t i, uint64_t otherwise)
{
	size_t low = 0, high = b->intent_count;

	while (low < high) {
		size_t at = low + (high - low) / 2;

		if (b->intent_t[2 * at] == i)
			return b->intent_t[2 * at + 1];
		if (b->intent_t[2 * at] < i)
			low = at + 1;
		else
			high = at;
	}
	return otherwise;
}

/* Texts of rows are the rows' own copies; a label that a result brings for a key it made is not. */
static kmn_err
keep_use(
    struct kmn_hsm_book *b, const struct kmn_record *record, const struct kmn_row *row, uint64_t from, bool unknown)
{
	const char *serial = "", *event = "";
	struct kmn_hsm_use *more, use = {.record = record->i, .from = from, .to = record->t, .unknown = unknown};
	uint64_t rv = 0;

	if (!kmn_json_get_text(record->body, "event", &event))
		event = "";
	use.class = kmn_hsm_class_of(event[0] != '\0' ? event : row->value[KMN_COL_FUNCTION]);
	if (use.class == KMN_HSM_IGNORE)
		return KMN_OK;
	if (!unknown && !kmn_json_get_number(record->body, "rv", &rv))
		return KMN_OK;
	if (!kmn_json_get_text(json_object_get(record->body, "hsm"), "serial", &serial))
		serial = "";
	use.failed = rv != 0;
	if ((use.label = strdup(row->value[KMN_COL_KEY])) == NULL ||
	    (use.id = strdup(row->value[KMN_COL_KEY_ID])) == NULL ||
	    (use.spki = strdup(row->value[KMN_COL_KEY_SPKI])) == NULL || (use.serial = strdup(serial)) == NULL ||
	    (more = kmn_hsm_grow(b->uses, b->use_count, &b->use_room, sizeof(*more))) == NULL)
		KMN_BUG("out of memory");
	b->uses = more;
	more[b->use_count++] = use;
	return KMN_OK;
}

/* A recovery: what was allowed may have run; and what class B records a crash lost nobody knows. */
static kmn_err
keep_recovery(struct kmn_hsm_book *b, const struct kmn_record *record)
{
	struct kmn_hsm_crash *more = realloc(b->crashes, (b->crash_count + 1) * sizeof(*more));
	const json_t *open = json_object_get(record->body, "open_requests");
	const char *state;
	uint64_t i;

	if (more == NULL)
		return KMN_E_NO_MEMORY;
	b->crashes = more;
	more[b->crash_count++] = (struct kmn_hsm_crash){record->i, b->last_t, record->t};
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
		if ((e = kmn_rows_take(b->rows, &about, &row)) == KMN_OK)
			e = keep_use(b, &about, &row, intent_time(b, i, b->last_t), true);
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

kmn_err
kmn_hsm_book_take(struct kmn_hsm_book *b, const struct kmn_record *record)
{
	struct kmn_row row;
	uint64_t took = 0;
	kmn_err e = kmn_rows_take(b->rows, record, &row);

	if (e != KMN_OK)
		return e;
	switch (record->kind) {
	case KMN_R_INTENT:
		e = keep_intent(b, record);
		break;
	case KMN_R_RESULT:
		if (!kmn_json_get_number(record->body, "dur_us", &took))
			took = 0;
		/* it ran within its duration before the record, which is a commit later */
		e = keep_use(b, record, &row, record->t - (took / 1000 < record->t ? took / 1000 : record->t), false);
		break;
	case KMN_R_OP:
		if (!is_refusal(record) && kmn_json_get_number(record->body, "dur_us", &took))
			e = keep_use(
			    b, record, &row, record->t - (took / 1000 < record->t ? took / 1000 : record->t), false);
		break;
	case KMN_R_SESSION:
		if (json_object_get(record->body, "request") == NULL) /* else its result is the use */
			e = keep_use(b, record, &row, record->t, false);
		break;
	case KMN_R_RECOVERY:
		e = keep_recovery(b, record);
		break;
	default:
		break;
	}
	b->last_t = record->t;
	return e;
}

struct kmn_hsm_use *
kmn_hsm_book_uses(struct kmn_hsm_book *b, size_t *count_out)
{
	*count_out = b->use_count;
	return b->uses;
}

const struct kmn_hsm_crash *
kmn_hsm_book_crashes(const struct kmn_hsm_book *b, size_t *count_out)
{
	*count_out = b->crash_count;
	return b->crashes;
}

kmn_err
kmn_hsm_book_new(struct kmn_hsm_book **book_out)
{
	struct kmn_hsm_book *b = calloc(1, sizeof(*b));
	kmn_err e = b == NULL ? KMN_E_NO_MEMORY : kmn_rows_new(&b->rows);

	if (e != KMN_OK) {
		free(b);
		b = NULL;
	}
	*book_out = b;
	return e;
}

void
kmn_hsm_book_free(struct kmn_hsm_book *b)
{
	if (b == NULL)
		return;
	for (size_t n = 0; n < b->use_count; n++) {
		free((char *)(uintptr_t)b->uses[n].label);
		free((char *)(uintptr_t)b->uses[n].id);
		free((char *)(uintptr_t)b->uses[n].spki);
		free((char *)(uintptr_t)b->uses[n].serial);
	}
	for (size_t n = 0; n < b->source_count; n++) {
		free(b->sources[n].name);
		free(b->sources[n].met);
	}
	free(b->sources);
	free(b->uses);
	free(b->crashes);
	free(b->intent_t);
	kmn_rows_free(b->rows);
	free(b);
}

/* ---- rows of a source -------------------------------------------------------------------------------------------- */

kmn_err
kmn_hsm_rows_read(const struct kmn_hsmlog_format *format, const char *text, size_t len, uint64_t first,
    struct kmn_hsmlog_row **rows_out, size_t *count_out)
{
	struct kmn_hsmlog_row *rows = calloc(KMN_ADMIN_HSM_LINES_MAX, sizeof(*rows));
	char line[KMN_HSMLOG_LINE_MAX_BYTES + 1];
	kmn_err e = rows == NULL ? KMN_E_NO_MEMORY : KMN_OK;
	size_t count = 0;

	while (e == KMN_OK && len > 0) {
		const char *lf = memchr(text, '\n', len);
		size_t size = lf == NULL ? 0 : (size_t)(lf - text);

		if (lf == NULL || size > KMN_HSMLOG_LINE_MAX_BYTES || memchr(text, '\0', size) != NULL ||
		    count == KMN_ADMIN_HSM_LINES_MAX) {
			e = KMN_E_MALFORMED;
			break;
		}
		memcpy(line, text, size);
		line[size > 0 && line[size - 1] == '\r' ? size - 1 : size] = '\0';
		e = kmn_hsmlog_line(format, line, &rows[count]);
		if (e == KMN_E_NOT_FOUND) {
			rows[count].class = KMN_HSM_IGNORE;
		} else if (e == KMN_E_MALFORMED) { /* no use and no count fits it */
			rows[count].class = KMN_HSM_CLASS_COUNT;
			rows[count].counter = UINT64_MAX;
		}
		e = e == KMN_E_NOT_FOUND || e == KMN_E_MALFORMED ? KMN_OK : e;
		rows[count].line = first + count;
		count++;
		text += size + 1;
		len -= size + 1;
	}
	*count_out = e == KMN_OK ? count : 0;
	*rows_out = e == KMN_OK ? rows : NULL;
	if (e != KMN_OK)
		free(rows);
	return e;
}

static struct source *
find_source(const struct kmn_hsm_book *b, const char *name)
{
	for (size_t n = 0; n < b->source_count; n++)
		if (strcmp(b->sources[n].name, name) == 0)
			return &b->sources[n];
	return NULL;
}

static struct source *
make_source(struct kmn_hsm_book *b, const char *name)
{
	struct source *s = find_source(b, name);

	if (s != NULL)
		return s;
	if ((s = realloc(b->sources, (b->source_count + 1) * sizeof(*s))) == NULL)
		return NULL;
	b->sources = s;
	s = &b->sources[b->source_count];
	*s = (struct source){.name = strdup(name)};
	if (s->name == NULL)
		return NULL;
	b->source_count++;
	return s;
}

/* A counter that lies between the uses that are certain and those that are possible. */
static struct kmn_hsm_judged
judge_counter(const struct kmn_hsmlog_format *format, const struct kmn_hsmlog_row *row, const struct kmn_hsm_use *uses,
    size_t count)
{
	uint64_t certain, most;

	if (row->class == KMN_HSM_IGNORE)
		return (struct kmn_hsm_judged){KMN_HSM_IGNORED, UINT64_MAX};
	kmn_hsmlog_count(format, row, uses, count, &certain, &most);
	return (struct kmn_hsm_judged){
	    row->counter >= certain && row->counter <= most ? KMN_HSM_MET : KMN_HSM_UNMATCHED, UINT64_MAX};
}

kmn_err
kmn_hsm_book_judge(struct kmn_hsm_book *b, const struct kmn_hsmlog_format *format, const char *source, uint64_t size,
    const struct kmn_hsmlog_row *rows, size_t count, uint64_t tolerance_ms, struct kmn_hsm_judged *judged)
{
	struct source *s = make_source(b, source);
	size_t uses = 0, crashes = 0;
	bool *met;

	while (uses < b->use_count && b->uses[uses].record < size)
		uses++;
	while (crashes < b->crash_count && b->crashes[crashes].record < size)
		crashes++;
	if (s == NULL || (met = calloc(b->use_count + 1, sizeof(*met))) == NULL)
		return KMN_E_NO_MEMORY;
	for (size_t n = 0; n < b->use_count; n++)
		b->uses[n].met = n < s->known && s->met[n];
	if (kmn_hsmlog_is_counters(format))
		for (size_t n = 0; n < count; n++)
			judged[n] = judge_counter(format, &rows[n], b->uses, uses);
	else
		kmn_hsmlog_match(rows, count, b->uses, uses, b->crashes, crashes, tolerance_ms, judged);
	for (size_t n = 0; n < b->use_count; n++)
		met[n] = b->uses[n].met;
	free(s->met);
	s->met = met;
	s->known = b->use_count;
	return KMN_OK;
}

uint64_t
kmn_hsm_match_entry(const struct kmn_hsm_judged *judged)
{
	switch (judged->verdict) {
	case KMN_HSM_MET:
	case KMN_HSM_MET_MAYBE:
		return judged->record == UINT64_MAX ? UINT64_MAX - KMN_HSM_LOG_EQUAL : judged->record;
	case KMN_HSM_CRASH:
		return UINT64_MAX - KMN_HSM_LOG_CRASH;
	case KMN_HSM_IGNORED:
		return UINT64_MAX - KMN_HSM_LOG_IGNORED;
	default:
		return UINT64_MAX - KMN_HSM_LOG_NONE;
	}
}
