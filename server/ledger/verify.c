/* The offline verifier's reading: V1-V3 while segments are walked; what records say is the checkers'. */
#include "config.h"

#include "kanmon/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

#define CHECKERS_MAX 16

/* One verification, while it lasts. */
struct verify {
	const struct kmn_verify_settings *settings;
	struct kmn_verify_report *report;
	struct kmn_checking checking; /* what checkers see of this */
	struct kmn_verify_files files;
	struct kmn_sweep sweep;
	struct kmn_crew *crew;
	uint64_t bytes, before;            /* of all segments; of those before the one being read */
	char file[KMN_SEGMENT_NAME_BYTES]; /* the segment being read */
	struct {
		const struct kmn_checker *row;
		void *state;
	} checker[CHECKERS_MAX];
	size_t checker_count; /* of them have begun */
	bool fatal;
};

static void
count_and_tell(
    void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	struct verify *v = cookie;

	if (severity == KMN_FINDING || severity == KMN_FATAL) {
		v->report->count[check]++;
		v->report->failed = true;
	}
	v->fatal = v->fatal || severity == KMN_FATAL;
	v->report->missing = v->report->missing || severity == KMN_MISSING;
	kmn_telling_say(v->checking.telling, check, severity, place, text);
}

static void say(struct verify *v, enum kmn_check check, enum kmn_severity severity, const char *file, uint64_t line,
    uint64_t index, const char *format, ...) KMN_PRINTF(7, 8);

static void
say(struct verify *v, enum kmn_check check, enum kmn_severity severity, const char *file, uint64_t line, uint64_t index,
    const char *format, ...)
{
	struct kmn_place place = {file, line, index};
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	count_and_tell(v, check, severity, &place, text);
}

/* ---- checkers ---------------------------------------------------------------------------------------------------- */

static kmn_err
begin_table(struct verify *v, const struct kmn_checker *const *table)
{
	kmn_err e = KMN_OK;

	for (; e == KMN_OK && table != NULL && *table != NULL; table++) {
		if (v->checker_count == CHECKERS_MAX)
			KMN_BUG("more checkers than there is room for");
		v->checker[v->checker_count].row = *table;
		v->sweep.bodies |= (*table)->kinds & (*table)->bodies;
		if ((e = (*table)->begin(&v->checking, &v->checker[v->checker_count].state)) == KMN_OK)
			v->checker_count++;
	}
	return e;
}

static kmn_err
check_record(struct verify *v, const struct kmn_record *record, const struct kmn_place *place)
{
	kmn_err e = KMN_OK;

	for (size_t n = 0; e == KMN_OK && n < v->checker_count; n++)
		if ((v->checker[n].row->kinds & UINT64_C(1) << record->kind) != 0)
			e = v->checker[n].row->record(v->checker[n].state, record, place);
	return e;
}

static kmn_err
end_checkers(struct verify *v)
{
	kmn_err e = KMN_OK;

	for (size_t n = 0; e == KMN_OK && n < v->checker_count; n++)
		e = v->checker[n].row->end(v->checker[n].state);
	return e;
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

static kmn_err
each_record(
    void *cookie, const struct kmn_record *record, kmn_err body, uint64_t line, uint64_t offset, struct kmn_why *why)
{
	struct verify *v = cookie;
	struct kmn_place place = {v->file, line, record->i};
	kmn_err e;

	if ((e = kmn_past_add(v->checking.past, record->leaf)) != KMN_OK ||
	    (e = kmn_files_record(&v->files, offset)) != KMN_OK)
		return e;
	v->report->records++;
	if (body == KMN_E_NOT_FOUND)
		say(v, KMN_V2, KMN_FINDING, v->file, line, record->i, "unknown type \"%.100s\"", record->type);
	else if (body != KMN_OK)
		say(v, KMN_V2, KMN_FINDING, v->file, line, record->i, "%s", why->text);
	return check_record(v, record, &place);
}

static void
each_commit(void *cookie, const struct kmn_head *head, uint64_t offset)
{
	struct verify *v = cookie;

	v->report->head = *head;
	kmn_files_commit(&v->files, v->file, head, offset);
}

static void
each_chunk(void *cookie, uint64_t offset)
{
	struct verify *v = cookie;

	if (v->settings->progress != NULL)
		v->settings->progress(v->settings->cookie, v->before + offset, v->bytes);
}

static void
say_bad_line(struct verify *v)
{
	static const enum kmn_check checks[] = {[KMN_LINE_HEADER] = KMN_V1,
	    [KMN_LINE_RECORD] = KMN_V2,
	    [KMN_LINE_MARK] = KMN_V1,
	    [KMN_LINE_COMMIT] = KMN_V3};

	say(v, checks[v->sweep.kind], KMN_FATAL, v->file, v->sweep.line, v->sweep.chain.front.size, "%s",
	    v->sweep.why.text);
}

/* Whether a gateway has this ledger open now. Asked only about a tail, and the lock is let go of at once. */
static bool
is_being_written(struct kmn_store *store)
{
	int fd = store->open(store, "lock", O_RDONLY), locked;

	if (fd < 0)
		return false;
	locked = store->lock(store, fd);
	(void)store->close(store, fd);
	return locked == -EWOULDBLOCK;
}

/* What stands after the last commit was never released; a gateway that starts moves it aside and says so. */
static void
say_tail(struct verify *v, bool last)
{
	struct kmn_sweep *sweep = &v->sweep;

	if (!last)
		say(v, KMN_V1, KMN_FATAL, v->file, sweep->line, sweep->good.front.size,
		    "the segment does not end with a commit, and another follows");
	else if (sweep->good.front.size == 0)
		say(v, KMN_V1, KMN_FATAL, v->file, sweep->line, UINT64_MAX, "no committed record at all");
	else if (is_being_written(v->settings->store))
		say(v, KMN_V1, KMN_INFO, v->file, sweep->line, sweep->good.front.size,
		    "a gateway is writing here: %" PRIu64 " bytes after the last commit are not judged",
		    sweep->size - sweep->good.bytes);
	else
		say(v, KMN_V1, KMN_FINDING, v->file, sweep->line, sweep->good.front.size,
		    "unrecovered tail: %" PRIu64 " bytes after the last commit, from offset %" PRIu64,
		    sweep->size - sweep->good.bytes, sweep->good.bytes);
}

static kmn_err
verify_segment(struct verify *v, uint64_t first, bool begins, bool last)
{
	struct kmn_sweep *sweep = &v->sweep;
	kmn_err e;

	(void)snprintf(v->file, sizeof(v->file), KMN_SEGMENT_NAME, first);
	if (first != sweep->chain.front.size || (!begins && !kmn_chain_full(&sweep->chain))) {
		say(v, KMN_V1, KMN_FATAL, v->file, 0, sweep->chain.front.size,
		    "the segments before end with record %" PRIu64 ": one is missing, repeated or cut off",
		    sweep->chain.front.size);
		return KMN_OK;
	}
	kmn_chain_turn(&sweep->chain);
	if ((e = kmn_sweep_file(sweep, first)) != KMN_OK) {
		say(v, KMN_V1, KMN_MISSING, v->file, 0, first, "cannot be read");
		return e;
	}
	if (sweep->end == KMN_WALK_STOPPED)
		return sweep->error;
	if (sweep->end == KMN_WALK_BAD)
		say_bad_line(v);
	else if (sweep->end == KMN_WALK_TAIL)
		say_tail(v, last);
	kmn_files_segment(&v->files, v->file, !v->fatal && kmn_chain_full(&sweep->good));
	sweep->chain = sweep->good;
	v->before += sweep->size;
	return KMN_OK;
}

/* For the progress that is shown: a segment that cannot be read is said when its turn comes. */
static void
sum_sizes(struct verify *v, const uint64_t *first, size_t count)
{
	struct kmn_store *store = v->settings->store;

	for (size_t n = 0; v->settings->progress != NULL && n < count; n++) {
		char name[KMN_SEGMENT_NAME_BYTES];
		int64_t size = 0;
		int fd;

		(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, first[n]);
		if ((fd = store->open(store, name, O_RDONLY)) < 0)
			continue;
		size = store->size(store, fd);
		(void)store->close(store, fd);
		v->bytes += size > 0 ? (uint64_t)size : 0;
	}
}

static kmn_err
verify_segments(struct verify *v)
{
	struct kmn_why why = {""};
	uint64_t *first;
	size_t count;
	kmn_err e = kmn_segments(v->settings->store, &first, &count, &why);

	if (e == KMN_E_CORRUPT) {
		say(v, KMN_V1, KMN_FATAL, NULL, 0, UINT64_MAX, "%s", why.text);
		return KMN_OK;
	}
	if (e != KMN_OK) {
		say(v, KMN_V1, KMN_MISSING, "seg", 0, UINT64_MAX, "no segments: %s", kmn_err_text(e));
		return e;
	}
	sum_sizes(v, first, count);
	for (size_t n = 0; e == KMN_OK && !v->fatal && n < count; n++, v->report->segments += !v->fatal)
		e = verify_segment(v, first[n], n == 0, n + 1 == count);
	free(first);
	return e;
}

static kmn_err
verify_all(struct verify *v)
{
	bool *done = v->report->done;
	kmn_err e;

	if ((e = begin_table(v, kmn_ledger_checkers)) != KMN_OK || (e = begin_table(v, v->settings->more)) != KMN_OK)
		return e;
	kmn_files_begin(&v->files, &v->checking);
	if ((e = verify_segments(v)) != KMN_OK || v->fatal)
		return e;
	kmn_files_end(&v->files);
	done[KMN_V1] = done[KMN_V2] = done[KMN_V3] = true;
	kmn_telling_flush(v->checking.telling); /* counts of what was deferred are for `end` */
	return end_checkers(v);
}

kmn_err
kmn_verify(const struct kmn_verify_settings *settings, struct kmn_verify_report *report_out)
{
	struct verify v = {.settings = settings, .report = report_out};
	struct kmn_verify_report *r = report_out;
	kmn_err e;

	memset(r, 0, sizeof(*r));
	v.checking.settings = settings;
	v.checking.report = r;
	v.checking.sink = (struct kmn_verify_sink){count_and_tell, &v};
	v.sweep = (struct kmn_sweep){.store = settings->store,
	    .ahead = 2 * settings->threads + 1,
	    .bodies = KMN_KIND(GENESIS) | UINT64_C(1) << KMN_R_UNKNOWN,
	    .record = each_record,
	    .commit = each_commit,
	    .progress = each_chunk,
	    .cookie = &v};
	kmn_chain_init(&v.sweep.chain, settings->trust->origin, settings->segment_records, settings->segment_bytes);
	if ((e = kmn_past_new(&v.checking.past)) == KMN_OK &&
	    (e = kmn_crew_new(settings->threads, &v.crew)) == KMN_OK &&
	    (e = kmn_telling_new(&settings->sink, v.crew, &v.checking.telling)) == KMN_OK) {
		v.sweep.crew = v.crew;
		e = verify_all(&v);
		kmn_telling_flush(v.checking.telling);
	}
	r->exit_code = r->failed ? 1 : r->missing || e != KMN_OK ? 3 : r->unwitnessed || r->unanchored ? 2 : 0;
	for (size_t n = 0; n < v.checker_count; n++)
		v.checker[n].row->free(v.checker[n].state);
	kmn_files_clear(&v.files);
	kmn_telling_free(v.checking.telling);
	kmn_crew_free(v.crew);
	kmn_past_free(v.checking.past);
	return e == KMN_E_NO_MEMORY || e == KMN_E_INTERNAL ? e : KMN_OK;
}
