/*
 * The runner: does what an operator's signed instruction says, one job at a
 * time, and tells what came of it. There are several such processes, so that
 * jobs that wait for their quorum do not wait for each other; each is its own
 * application at the gateway, and so is each job: login, sessions and the
 * user PIN end with it.
 */
#include "config.h"

#include "server/runner/runner.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/ipc.h"
#include "kanmon/reader.h"
#include "kanmon/say.h"
#include "kanmon/tls.h"

/* The PIN is a view into the message, which is wiped with it. */
static kmn_err
read_job(const struct kmn_ipc_message *m, struct runner_job *job)
{
	struct kmn_reader r;

	if (m->kind != KMN_RUNNER_DO)
		return KMN_E_MALFORMED;
	kmn_reader_init(&r, m->body, m->len_bytes);
	job->record = kmn_reader_u64(&r);
	kmn_reader_text(&r, job->what, sizeof(job->what));
	kmn_reader_text(&r, job->token, sizeof(job->token));
	kmn_reader_text(&r, job->serial, sizeof(job->serial));
	kmn_reader_text(&r, job->rule, sizeof(job->rule));
	kmn_reader_text(&r, job->label, sizeof(job->label));
	job->id_len = kmn_reader_bytes(&r, RUNNER_NAME_BYTES, &job->id);
	kmn_reader_text(&r, job->mechanism, sizeof(job->mechanism));
	kmn_reader_text(&r, job->parameters, sizeof(job->parameters));
	kmn_reader_text(&r, job->purpose, sizeof(job->purpose));
	job->wait_s = kmn_reader_u32(&r);
	job->file_len = kmn_reader_bytes(&r, KMN_RUNNER_FILE_MAX_BYTES, &job->file);
	job->pin_len = kmn_reader_bytes(&r, KMN_RUNNER_PIN_MAX_BYTES, &job->pin);
	return kmn_reader_end(&r);
}

static kmn_err
tell(struct kmn_ipc *keeper, const struct runner_job *job, const struct runner_outcome *outcome)
{
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, 1024);
	kmn_writer_u64(&w, job->record);
	kmn_writer_text(&w, outcome->why);
	kmn_writer_u64(&w, outcome->request);
	e = kmn_ipc_send_writer(keeper, KMN_RUNNER_DONE, &w);
	kmn_writer_clear(&w);
	return e;
}

static kmn_err
work(struct kmn_ipc *keeper, const struct runner_job *job)
{
	struct runner_outcome outcome = {.why = ""};

	kmn_say(KMN_SAY_INFO, "action %llu: %s", (unsigned long long)job->record, job->what);
	runner_settings_wait(job->wait_s);
	if (strcmp(job->what, "window") == 0)
		runner_window(job, &outcome);
	else
		runner_work(job, &outcome);
	kmn_say(outcome.why[0] == '\0' ? KMN_SAY_INFO : KMN_SAY_WARNING, "action %llu: %s",
	    (unsigned long long)job->record, outcome.why[0] == '\0' ? "done" : outcome.why);
	return tell(keeper, job, &outcome);
}

int
kmn_runner_main(const struct kmn_runner_setup *setup)
{
	struct kmn_ipc *keeper = NULL;
	struct kmn_ipc_message m;
	struct runner_job job;
	kmn_err e = sodium_init() < 0 ? KMN_E_INTERNAL : kmn_ipc_new(setup->keeper, 0, &keeper);

	if (e != KMN_OK || !runner_settings_take(setup))
		return EXIT_FAILURE;
	while ((e = kmn_ipc_receive(keeper, &m)) == KMN_OK)
		if ((e = read_job(&m, &job)) != KMN_OK || (e = work(keeper, &job)) != KMN_OK)
			break;
	kmn_ipc_free(keeper);
	if (e == KMN_E_CLOSED)
		return EXIT_SUCCESS;
	kmn_say(KMN_SAY_ERROR, "the keeper: %s", kmn_err_text(e));
	return EXIT_FAILURE;
}
