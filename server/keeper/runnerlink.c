/*
 * The keeper's end of the runners: each instruction of an operator is one job for one of them, when its record is on
 * the disk. What a runner then does it does as a client, and is judged there; here is only told what it says came of it.
 */
#include "config.h"

#include "server/keeper/runner.h"

#include "kanmon/say.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 1024u
#define WAIT_MAX_S (30u * 24u * 3600u)

static const char *const state_words[] = {[KMN_JOB_WAITS] = "waiting",
    [KMN_JOB_RUNS] = "running",
    [KMN_JOB_DONE] = "done",
    [KMN_JOB_FAILED] = "failed",
    [KMN_JOB_LOST] = "lost"};
/* ---- jobs --------------------------------------------------------------------------------------------------------- */

static void
forget_order(struct kmn_job *job)
{
	kmn_writer_clear(&job->order);
	sodium_free(job->pin);
	job->pin = NULL;
	job->pin_len = 0;
}

static void
job_free(struct kmn_keeper *k, struct kmn_job *job)
{
	TAILQ_REMOVE(&k->jobs, job, link);
	k->job_count--;
	forget_order(job);
	free(job);
}

static bool
is_over(const struct kmn_job *job)
{
	return job->state != KMN_JOB_WAITS && job->state != KMN_JOB_RUNS;
}

struct kmn_job *
kmn_job_find(const struct kmn_keeper *k, uint64_t record)
{
	struct kmn_job *job;

	TAILQ_FOREACH(job, &k->jobs, link)
	if (job->record == record)
		return job;
	return NULL;
}

static void
end_job(struct kmn_keeper *k, struct kmn_job *job, enum kmn_job_state state, const char *why)
{
	forget_order(job);
	job->state = state;
	(void)snprintf(job->why, sizeof(job->why), "%s", why);
	if (k->console != NULL)
		kmn_ui_tell(k, json_pack("{s:s, s:I, s:s}", "event", "instruction", "record", (json_int_t)job->record,
				   "state", state_words[state]));
}

kmn_err
kmn_job_room(const struct kmn_keeper *k, struct kmn_why *why)
{
	const struct kmn_job *job;
	unsigned open = 0;

	TAILQ_FOREACH(job, &k->jobs, link)
	open += !is_over(job);
	if (open < KMN_JOBS_WAITING_MAX)
		return KMN_OK;
	kmn_why_set(why, "%u instructions are at work: let some be decided, or withdraw them", open);
	return KMN_E_TOO_MANY;
}

/* ---- what is asked for --------------------------------------------------------------------------------------------- */

/* A line's value as the bytes that it stands for; what the line had to write in another way than as itself is refused. */
static bool
value_of(const struct kmn_signed *said, const char *key, char out[NAME_BYTES])
{
	const struct kmn_signed_line *line = kmn_signed_line(said, key, 0);
	size_t n = 0;

	for (size_t at = 0; line != NULL && at < line->len; at++) {
		if (line->value[at] == '\\' && (++at == line->len || line->value[at] != '\\'))
			return false;
		if (n + 1 == NAME_BYTES)
			return false;
		out[n++] = line->value[at];
	}
	out[n] = '\0';
	return true;
}

static bool
put_value(struct kmn_writer *w, const struct kmn_signed *said, const char *key)
{
	char value[NAME_BYTES];

	if (!value_of(said, key, value))
		return false;
	kmn_writer_text(w, value);
	return true;
}

static bool
put_id(struct kmn_writer *w, const struct kmn_signed *said)
{
	uint8_t id[KMN_KEY_ID_MAX_BYTES];
	char hex[NAME_BYTES];
	size_t len = 0;

	if (!value_of(said, "key-id", hex) || sodium_hex2bin(id, sizeof(id), hex, strlen(hex), NULL, &len, NULL) != 0 ||
	    2 * len != strlen(hex))
		return false;
	kmn_writer_bytes(w, id, len);
	return true;
}

/* The fields of KMN_RUNNER_DO up to the PIN. */
static bool
put_order(struct kmn_keeper *k, struct kmn_job *job, const struct kmn_signed *said, const uint8_t *file, size_t len)
{
	const struct kmn_policy_token *token;
	struct kmn_writer *w = &job->order;
	char name[NAME_BYTES], what[NAME_BYTES];
	bool done;

	if (!value_of(said, "token", name) || !value_of(said, "what", what) ||
	    (token = kmn_policy_token_named(kmn_keeper_policy(k), name)) == NULL)
		return false;
	(void)snprintf(job->what, sizeof(job->what), "%.15s", what);
	kmn_writer_u64(w, job->record);
	kmn_writer_text(w, job->what);
	kmn_writer_text(w, token->label);
	kmn_writer_text(w, token->serial != NULL ? token->serial : "");
	done = put_value(w, said, "rule") && put_value(w, said, "key-label") && put_id(w, said) &&
	       put_value(w, said, "mechanism") && put_value(w, said, "parameters") && put_value(w, said, "purpose");
	kmn_writer_u32(w, WAIT_MAX_S);
	kmn_writer_bytes(w, file, len);
	return done && w->err == KMN_OK;
}

static void
make_room(struct kmn_keeper *k)
{
	struct kmn_job *job;

	if (k->job_count < KMN_JOBS_MAX)
		return;
	TAILQ_FOREACH(job, &k->jobs, link)
	if (is_over(job))
		break;
	if (job != NULL)
		job_free(k, job);
}

kmn_err
kmn_job_new(const struct kmn_ui_ask *ask, const struct kmn_ref *ref, const struct kmn_signed *said, const uint8_t *file,
    size_t file_len, const uint8_t *pin, size_t pin_len, struct kmn_why *why)
{
	struct kmn_keeper *k = ask->keeper;
	struct kmn_job *job;

	if (!k->has_runners)
		return KMN_OK;
	if ((job = calloc(1, sizeof(*job))) == NULL || (pin_len > 0 && (job->pin = sodium_malloc(pin_len)) == NULL))
		KMN_BUG("out of memory");
	make_room(k);
	if (pin_len > 0)
		memcpy(job->pin, pin, pin_len);
	job->pin_len = pin_len;
	job->record = ref->i;
	job->t = kmn_clock_record_ms(k);
	(void)snprintf(job->operator, sizeof(job->operator), "%s", ask->session->name);
	kmn_writer_init(&job->order, KMN_MESSAGE_MAX_BYTES);
	TAILQ_INSERT_TAIL(&k->jobs, job, link);
	k->job_count++;
	if (put_order(k, job, said, file, file_len))
		return KMN_OK;
	job_free(k, job);
	kmn_why_set(why, "a name in the instruction holds what no name of a key can, or there is no such token");
	return KMN_E_ARGUMENTS;
}

/* ---- to the runners ------------------------------------------------------------------------------------------------ */

static void
give(struct kmn_keeper *k, struct kmn_runner *runner, struct kmn_job *job)
{
	kmn_writer_bytes(&job->order, job->pin, job->pin_len);
	if (kmn_ipc_queue_writer(runner->ipc, KMN_RUNNER_DO, &job->order) != KMN_OK) {
		end_job(k, job, KMN_JOB_FAILED, "the runner does not listen");
		return;
	}
	forget_order(job);
	runner->job = job->record;
	job->state = KMN_JOB_RUNS;
}

static struct kmn_runner *
free_runner(struct kmn_keeper *k)
{
	for (unsigned n = 0; n < KMN_RUNNERS; n++)
		if (k->runners[n].ipc != NULL && k->runners[n].job == 0)
			return &k->runners[n];
	return NULL;
}

void
kmn_runnerlink_durable(struct kmn_keeper *k, size_t size)
{
	struct kmn_runner *runner;
	struct kmn_job *job;

	TAILQ_FOREACH(job, &k->jobs, link)
	if (job->state == KMN_JOB_WAITS && job->record < size && (runner = free_runner(k)) != NULL)
		give(k, runner, job);
}

static void
next_job(struct kmn_keeper *k)
{
	struct kmn_head head;

	kmn_log_durable(k->log, &head);
	kmn_runnerlink_durable(k, head.size);
}

void
kmn_runnerlink_take(struct kmn_keeper *k, unsigned place, struct kmn_ipc *runner, const char *why)
{
	kmn_runnerlink_lost(k, place);
	k->runners[place].ipc = runner;
	k->has_runners = true;
	if (kmn_keeper_watch(k, kmn_ipc_fd(runner), &k->runners[place]) != KMN_OK)
		kmn_keeper_fail(k, "the runner's socket cannot be watched");
	kmn_say(KMN_SAY_INFO, "runner %u (%s)", place, why);
	next_job(k);
}

void
kmn_runnerlink_lost(struct kmn_keeper *k, unsigned place)
{
	struct kmn_runner *runner = &k->runners[place];
	struct kmn_job *job = runner->job != 0 ? kmn_job_find(k, runner->job) : NULL;

	kmn_ipc_free(runner->ipc);
	*runner = (struct kmn_runner){.ipc = NULL};
	if (job != NULL)
		end_job(k, job, KMN_JOB_LOST, "");
}

/* Which instruction a call of the console's client is for, before and after it was taken from the session. */
void
kmn_job_refused(const struct kmn_call_state *call)
{
	const struct kmn_keeper *k = call->keeper;
	struct kmn_job *job;
	char id[40];

	if (!k->has_runners || k->setup->console_client == NULL ||
	    strcmp(call->peer_name, k->setup->console_client) != 0)
		return;
	TAILQ_FOREACH(job, &k->jobs, link)
	{
		(void)snprintf(id, sizeof(id), "action %" PRIu64, job->record);
		if (strcmp(call->attached.application, id) == 0 ||
		    (call->session != NULL && strcmp(call->session->attached.application, id) == 0))
			(void)snprintf(job->refused, sizeof(job->refused), "%s", call->verdict.reason);
	}
}

/* ---- from them ----------------------------------------------------------------------------------------------------- */

static kmn_err
take_done(struct kmn_keeper *k, struct kmn_runner *runner, const struct kmn_ipc_message *m)
{
	struct kmn_job *job;
	struct kmn_reader r;
	char why[sizeof(job->why)];
	kmn_err e;

	kmn_reader_init(&r, m->body, m->len_bytes);
	if (m->kind != KMN_RUNNER_DONE || kmn_reader_u64(&r) != runner->job || runner->job == 0 ||
	    (job = kmn_job_find(k, runner->job)) == NULL)
		return KMN_E_MALFORMED;
	kmn_reader_text(&r, why, sizeof(why));
	job->request = kmn_reader_u64(&r);
	if ((e = kmn_reader_end(&r)) != KMN_OK)
		return e;
	if (why[0] != '\0' && job->refused[0] != '\0')
		(void)snprintf(why + strlen(why), sizeof(why) - strlen(why), " (%s)", job->refused);
	runner->job = 0;
	end_job(k, job, why[0] == '\0' ? KMN_JOB_DONE : KMN_JOB_FAILED, why);
	next_job(k);
	return KMN_OK;
}

void
kmn_runnerlink_readable(struct kmn_keeper *k, unsigned place)
{
	struct kmn_runner *runner = &k->runners[place];
	struct kmn_ipc *ipc = runner->ipc;
	struct kmn_ipc_message m;
	kmn_err e = KMN_E_AGAIN;

	while (ipc != NULL && runner->ipc == ipc && (e = kmn_ipc_poll(ipc, &m)) == KMN_OK)
		if ((e = take_done(k, runner, &m)) != KMN_OK)
			break;
	if (ipc == NULL || runner->ipc != ipc || e == KMN_E_AGAIN)
		return;
	if (e != KMN_E_CLOSED)
		kmn_say(KMN_SAY_ERROR, "runner %u says what nobody asked: %s", place, kmn_err_text(e));
	kmn_runnerlink_lost(k, place);
}

void
kmn_runnerlink_clear(struct kmn_keeper *k)
{
	struct kmn_job *job;

	for (unsigned n = 0; n < KMN_RUNNERS; n++)
		kmn_runnerlink_lost(k, n);
	while ((job = TAILQ_FIRST(&k->jobs)) != NULL)
		job_free(k, job);
}
