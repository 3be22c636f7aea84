/*
 * Jobs: what operators instructed, on its way to a runner and back (runnerlink.c). A job lives in memory only: what was
 * instructed is an `action` record, what came of it the records of the call (instructed.c), and a job that a restart
 * took is neither done nor forgotten: its request stays as it is.
 */
#ifndef KANMON_KEEPER_RUNNER_H
#define KANMON_KEEPER_RUNNER_H

#include "server/keeper/console.h"

#include "kanmon/signed.h"

#define KMN_JOBS_MAX 128u        /* that are remembered */
#define KMN_JOBS_WAITING_MAX 32u /* for a runner, or at one */

enum kmn_job_state { KMN_JOB_WAITS, KMN_JOB_RUNS, KMN_JOB_DONE, KMN_JOB_FAILED, KMN_JOB_LOST };

struct kmn_job {
	TAILQ_ENTRY(kmn_job) link;
	uint64_t record; /* of the instruction */
	int64_t t;       /* of it, wall clock */
	char operator[KMN_POLICY_NAME_MAX_BYTES + 1];
	enum kmn_job_state state;
	struct kmn_writer order; /* body of KMN_RUNNER_DO without the PIN; empty once it is out */
	uint8_t *pin;            /* guarded; NULL: none, or it is out */
	size_t pin_len;
	char what[16], why[512];
	char refused[400]; /* why the gateway refused a call for it; "": it did not */
	uint64_t request;  /* that a runner tells of; 0: none */
};

/*
 * KMN_E_ARGUMENTS: *why. The job waits for its record to be durable. A gateway that has no runners makes none: then the
 * console's client is a program elsewhere, and makes its calls itself.
 */
kmn_err kmn_job_new(const struct kmn_ui_ask *ask, const struct kmn_ref *ref, const struct kmn_signed *said,
    const uint8_t *file, size_t file_len, const uint8_t *pin, size_t pin_len, struct kmn_why *why) KMN_MUST_CHECK;
/* NULL: there is none (any more). */
struct kmn_job *kmn_job_find(const struct kmn_keeper *k, uint64_t record);
/* Before the record is made: KMN_E_TOO_MANY, *why. */
kmn_err kmn_job_room(const struct kmn_keeper *k, struct kmn_why *why) KMN_MUST_CHECK;

/* ---- instructed.c: what records say of instructions ------------------------------------------------------------- */

/* Takes a record into the console's view, whose `parts` have "instructions" and "instructed". */
void kmn_instructed_take(json_t *parts, enum kmn_record_kind kind, const json_t *record, const json_t *body);
void kmn_ui_instructions(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_instruction(const struct kmn_ui_ask *ask, struct kmn_reader *r);

#endif
