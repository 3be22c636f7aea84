/*
 * The evidence of one operation, from this very ledger, as `kanmon audit bundle` makes it. What belongs to it may stand
 * anywhere behind it: the ledger is read on a moment at a time, while the loop has nothing else to do.
 */
#include "config.h"

#include "server/keeper/console.h"

#include "kanmon/gather.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_US 2000u
#define CHUNK 64u
#define JOBS_MAX 8u

/* Two passes: from the request on, for its window; then from the first of both. */
struct kmn_ui_bundle {
	TAILQ_ENTRY(kmn_ui_bundle) link;
	struct kmn_ui_ask ask;
	struct kmn_gather *gather;
	uint64_t next;
	bool second;
	char *note; /* the checkpoint */
};

static void
job_free(struct kmn_keeper *k, struct kmn_ui_bundle *job)
{
	TAILQ_REMOVE(&k->consoling->bundles, job, link);
	kmn_gather_free(job->gather);
	free(job->note);
	free(job);
}

void
kmn_ui_bundles_drop(struct kmn_keeper *k)
{
	struct kmn_ui_bundle *job;

	while ((job = TAILQ_FIRST(&k->consoling->bundles)) != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not see that TAILQ_REMOVE took the freed one out */
		job_free(k, job);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Types of which a line can belong to a bundle; the rest is passed over unread. */
static bool
is_wanted(enum kmn_record_kind kind)
{
	return kmn_gather_takes(kind) || kind == KMN_R_COSIGN; /* whose lines go under the checkpoint */
}

static kmn_err
take_line(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct kmn_ui_bundle *job = cookie;
	struct kmn_record record = {0};
	kmn_err e = KMN_OK;

	job->next = index + 1;
	if (!is_wanted(kmn_ui_line_kind(line, len)))
		return KMN_OK;
	if ((e = kmn_record_parse(line, len, &record, NULL)) == KMN_OK) {
		if (job->second)
			e = kmn_gather_record(job->gather, &record);
		else
			kmn_gather_window(job->gather, &record);
	}
	kmn_record_clear(&record);
	return e;
}

static kmn_err
take_one(struct kmn_keeper *k, struct kmn_ui_bundle *job, uint64_t index)
{
	return kmn_log_each(k->log, index, 1, take_line, job);
}

/* What every bundle has stands before all that is read in order: genesis and the policies before that. */
static kmn_err
begin_second(struct kmn_keeper *k, struct kmn_ui_bundle *job)
{
	struct kmn_gather *g = job->gather;
	uint64_t from = g->window < g->request ? g->window : g->request, i;
	kmn_err e;

	job->second = true;
	if ((e = take_one(k, job, 0)) != KMN_OK)
		return e;
	for (uint64_t version = 2; e == KMN_OK && kmn_quorum_policy_record(k->quorum, version, &i) && i < from;
	     version++)
		e = take_one(k, job, i);
	job->next = from;
	return e;
}

/* ---- the parts --------------------------------------------------------------------------------------------------- */

static kmn_err
get_line(void *cookie, uint64_t index, char **line_out, size_t *len_out)
{
	return kmn_log_line(((struct kmn_keeper *)cookie)->log, index, line_out, len_out);
}

static kmn_err
get_inclusion(void *cookie, uint64_t index, uint64_t size, struct kmn_path *path_out)
{
	return kmn_log_inclusion(((struct kmn_keeper *)cookie)->log, index, size, path_out);
}

static kmn_err
get_consistency(void *cookie, uint64_t from, uint64_t to, struct kmn_path *path_out)
{
	return kmn_log_consistency(((struct kmn_keeper *)cookie)->log, from, to, path_out);
}

static kmn_err
get_blob(void *cookie, const uint8_t sha256[KMN_HASH_BYTES], uint8_t **bytes_out, size_t *len_out)
{
	return kmn_log_blob_get(((struct kmn_keeper *)cookie)->log, sha256, bytes_out, len_out);
}

static kmn_err
answer(struct kmn_keeper *k, struct kmn_ui_bundle *job)
{
	const struct kmn_gather_source source = {.cookie = k,
	    .origin = kmn_log_origin(k->log),
	    .note = job->note,
	    .line = get_line,
	    .inclusion = get_inclusion,
	    .consistency = get_consistency,
	    .blob = get_blob};
	struct kmn_bundle *bundle = NULL;
	char *text = NULL;
	size_t len;
	kmn_err e = kmn_gather_bundle(job->gather, &source, &bundle);

	if (e == KMN_OK)
		e = kmn_bundle_format(bundle, &text, &len);
	if (e == KMN_OK)
		kmn_ui_answer(&job->ask,
		    json_pack("{s:I, s:s%}", "record", (json_int_t)job->gather->request, "bundle", text, len));
	free(text);
	kmn_bundle_free(bundle);
	return e;
}

/* A moment's work on one; true: it is answered. */
static kmn_err
work(struct kmn_keeper *k, struct kmn_ui_bundle *job, bool *done)
{
	uint64_t end = kmn_keeper_now_us() + SLICE_US, size = job->gather->size;
	kmn_err e = KMN_OK;

	while (e == KMN_OK && job->next < size && kmn_keeper_now_us() < end) {
		uint64_t left = size - job->next;

		e = kmn_log_each(k->log, job->next, left < CHUNK ? left : CHUNK, take_line, job);
	}
	if (e != KMN_OK || job->next < size)
		return e;
	if (!job->second)
		return begin_second(k, job);
	*done = true;
	return answer(k, job);
}

bool
kmn_ui_bundles_work(struct kmn_keeper *k)
{
	struct kmn_ui_bundle *job = TAILQ_FIRST(&k->consoling->bundles);
	bool done = false;
	kmn_err e;

	if (job == NULL)
		return false;
	if ((e = work(k, job, &done)) != KMN_OK)
		kmn_ui_refuse(&job->ask, e,
		    e == KMN_E_TOO_BIG ? "more records than a bundle may have" : "the bundle cannot be put together");
	/* What it answered, or could not, may have been the end of the console. */
	if ((done || e != KMN_OK) && job == TAILQ_FIRST(&k->consoling->bundles))
		job_free(k, job);
	return !TAILQ_EMPTY(&k->consoling->bundles);
}

/* ---- the question ------------------------------------------------------------------------------------------------ */

/* The request or op that a durable record is about. */
static kmn_err
subject_of(struct kmn_keeper *k, uint64_t index, uint64_t *request_out)
{
	uint64_t at = index, to = index;
	kmn_err e = KMN_OK;

	for (unsigned steps = 0; e == KMN_OK && steps < 4; steps++, at = to) {
		struct kmn_record record = {0};
		char *line;
		size_t len;

		if ((e = kmn_log_line(k->log, at, &line, &len)) == KMN_OK)
			e = kmn_record_parse(line, len, &record, NULL);
		if (e == KMN_OK)
			e = kmn_gather_subject(&record, &to);
		kmn_record_clear(&record);
		free(line);
		*request_out = to;
		if (e == KMN_OK && to == at)
			return KMN_OK;
	}
	return KMN_E_NOT_FOUND;
}

static size_t
jobs(const struct kmn_keeper *k)
{
	const struct kmn_ui_bundle *job;
	size_t n = 0;

	TAILQ_FOREACH(job, &k->consoling->bundles, link)
	n++;
	return n;
}

void
kmn_ui_bundle(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	uint64_t index = kmn_reader_u64(r), request;
	struct kmn_ui_bundle *job;
	struct kmn_head head;
	size_t len;
	kmn_err e = kmn_reader_end(r);

	if (e == KMN_OK && (e = subject_of(k, index, &request)) != KMN_OK) {
		kmn_ui_refuse(ask, e, "that record is not there, or about no call");
		return;
	}
	if (e == KMN_OK && jobs(k) == JOBS_MAX) {
		kmn_ui_refuse(ask, KMN_E_BUSY, "other bundles are being made: try again");
		return;
	}
	if (e != KMN_OK) {
		kmn_ui_refuse(ask, e, kmn_err_text(e));
		return;
	}
	if ((job = calloc(1, sizeof(*job))) == NULL)
		KMN_BUG("out of memory");
	job->ask = *ask;
	job->ask.session = NULL; /* it may end meanwhile */
	TAILQ_INSERT_TAIL(&k->consoling->bundles, job, link);
	if (kmn_log_checkpoint(k->log, &head, &job->note, &len) != KMN_OK ||
	    (job->gather = kmn_gather_new(head.size)) == NULL || index >= head.size) {
		kmn_ui_refuse(ask, KMN_E_LEDGER, "there is no checkpoint that covers that record");
		job_free(k, job);
		return;
	}
	job->gather->request = request;
	job->next = request;
}
