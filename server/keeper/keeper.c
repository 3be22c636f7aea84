/*
 * The keeper's loop: opens the ledger, applies all of it, says that it serves,
 * and then does one thing at a time. Between two waits everything appended is
 * handed to the committer as one batch (group commit).
 */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/say.h"
#include "server/keeper/guard.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 1000
#define STOP_WAIT_MS 5000
#define OPEN_IN_A_RECORD 200u /* a line holds no more than some 300 */
#define SUPERVISOR_QUEUE_BYTES (1u << 20)
#define GATE_QUEUE_BYTES (64u << 20)
#define COURIER_QUEUE_BYTES (4u << 20)
#define RUNNER_QUEUE_BYTES (2u << 20) /* one job, with its file */
#define CONSOLE_QUEUE_BYTES (64u << 20)

/* ---- time and chance ------------------------------------------------------------------------------------------ */

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) != 0)
		KMN_BUG("no clock");
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
kmn_keeper_now_us(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000u;
}

void
kmn_keeper_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

const struct kmn_policy *
kmn_keeper_policy(const struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_quorum_policy(k->quorum);

	if (policy == NULL)
		KMN_BUG("a ledger without a policy");
	return policy;
}

void
kmn_keeper_fail(struct kmn_keeper *k, const char *why)
{
	if (!k->failed)
		kmn_say(KMN_SAY_ERROR, "no service any more: %s", why);
	k->failed = true;
}

/* The state that records make: the quorum's, and the text of the policy for those who ask. */
static kmn_err
apply(struct kmn_keeper *k, const struct kmn_record *record, struct kmn_finding *finding)
{
	const char *note = NULL;

	if ((record->kind == KMN_R_GENESIS && kmn_json_get_text(record->body, "policy", &note)) ||
	    (record->kind == KMN_R_POLICY && kmn_json_get_text(record->body, "note", &note))) {
		free(k->policy_note);
		if ((k->policy_note = strdup(note)) == NULL)
			return KMN_E_NO_MEMORY;
	}
	return kmn_quorum_apply(k->quorum, record, finding);
}

/* One record with the time that was sampled. The body is stolen. */
static kmn_err
append_one(struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref_out, uint64_t *t_out)
{
	struct kmn_finding finding;
	struct kmn_record record;
	struct kmn_why why;
	kmn_err e;

	if ((e = kmn_log_append(k->log, kind, body, ref_out, &record, &why)) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "record %s: %s: %s", kmn_record_name(kind), kmn_err_text(e), why.text);
		kmn_keeper_ledger_lost(k, "the ledger takes no records");
		return KMN_E_LEDGER;
	}
	*t_out = record.t;
	e = apply(k, &record, &finding);
	if (e == KMN_OK) {
		kmn_hooks_note(k, &record);
		kmn_console_note(k, &record);
	}
	kmn_record_clear(&record);
	if (e == KMN_E_CORRUPT) {
		kmn_say(
		    KMN_SAY_ERROR, "%s: record %llu: %s", finding.check, (unsigned long long)finding.i, finding.text);
		KMN_BUG("the keeper wrote what an auditor would refuse");
	}
	if (e != KMN_OK)
		kmn_keeper_fail(k, kmn_err_text(e));
	kmn_anchor_note_record(k, kind);
	return e;
}

kmn_err
kmn_keeper_append_named(
    struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, const char *own, struct kmn_ref *ref_out)
{
	json_t *step;
	uint64_t t;
	kmn_err e = KMN_OK;

	if (k->failed || k->unrecorded) {
		json_decref(body);
		return KMN_E_LEDGER;
	}
	kmn_clock_sample(k);
	if ((step = kmn_clock_step(k)) != NULL)
		e = append_one(k, KMN_R_CLOCK, step, NULL, &t);
	if (e != KMN_OK) {
		json_decref(body);
		return e;
	}
	/* not before: the clock's record took an index */
	if (own != NULL && json_object_set_new(body, own, json_integer((json_int_t)kmn_log_size(k->log))) != 0)
		KMN_BUG("out of memory");
	e = append_one(k, kind, body, ref_out, &t);
	if (e == KMN_OK && kind == KMN_R_GATEWAY_START && (step = kmn_clock_start(k, t)) != NULL)
		e = append_one(k, KMN_R_CLOCK, step, NULL, &t);
	return e;
}

kmn_err
kmn_keeper_append(struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref_out)
{
	return kmn_keeper_append_named(k, kind, body, NULL, ref_out);
}

void
kmn_keeper_record_open(struct kmn_keeper *k, const char *reason, json_t *open)
{
	struct kmn_head head;

	kmn_log_durable(k->log, &head);
	while (json_array_size(open) > 0) {
		json_t *some = json_array();

		while (json_array_size(open) > 0 && json_array_size(some) < OPEN_IN_A_RECORD) {
			if (json_array_append(some, json_array_get(open, 0)) != 0)
				KMN_BUG("out of memory");
			(void)json_array_remove(open, 0);
		}
		if (kmn_keeper_append(k, KMN_R_RECOVERY,
			json_pack("{s:o, s:o, s:o, s:[]}", "reason", kmn_json_label(reason, strlen(reason)),
			    "last_commit", kmn_head_json(&head), "open_requests", some, "guards"),
			NULL) != KMN_OK)
			break;
	}
	json_decref(open);
}

void
kmn_keeper_when_durable(struct kmn_call_state *call, void (*then)(struct kmn_call_state *call))
{
	if (call->waits_for > 0)
		KMN_BUG("a call waits twice");
	call->waits_for = kmn_log_size(call->keeper->log);
	call->then = then;
	TAILQ_INSERT_TAIL(&call->keeper->durable, call, durable);
}

/* Lets go on what waited for records that are on disk now. */
static void
release_durable(struct kmn_keeper *k)
{
	struct kmn_call_state *call;
	struct kmn_head head;

	kmn_log_durable(k->log, &head);
	while (!k->failed && (call = TAILQ_FIRST(&k->durable)) != NULL && call->waits_for <= head.size) {
		TAILQ_REMOVE(&k->durable, call, durable);
		call->waits_for = 0;
		call->then(call);
	}
	kmn_admin_durable(k, head.size);
	kmn_consolelink_durable(k, head.size);
	kmn_runnerlink_durable(k, head.size);
	kmn_hooks_durable(k, head.size);
	if (k->unrecorded)
		kmn_unrecorded_sweep(k);
	else
		kmn_hold_statements(k);
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

kmn_err
kmn_keeper_watch(struct kmn_keeper *k, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? KMN_OK : KMN_E_IO;
}

/* Asks for EPOLLOUT exactly while something waits to go out. */
static void
want(struct kmn_keeper *k, struct kmn_ipc *ipc, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	if (kmn_ipc_queued_bytes(ipc) > 0)
		event.events |= EPOLLOUT;
	if (epoll_ctl(k->epoll, EPOLL_CTL_MOD, kmn_ipc_fd(ipc), &event) != 0)
		kmn_keeper_fail(k, "a socket cannot be watched");
}

static void
flush_all(struct kmn_keeper *k)
{
	struct kmn_worker *worker, *next;

	if (kmn_ipc_flush(k->supervisor) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor is gone");
	else
		want(k, k->supervisor, k);
	/* A gate that is gone is the supervisor's to replace: its end is read from its socket. */
	if (k->gate != NULL && kmn_ipc_flush(k->gate) == KMN_OK)
		want(k, k->gate, &k->gate);
	if (k->courier != NULL && kmn_ipc_flush(k->courier) == KMN_OK)
		want(k, k->courier, &k->courier);
	if (k->console != NULL && kmn_ipc_flush(k->console) == KMN_OK)
		want(k, k->console, &k->console);
	for (unsigned n = 0; n < KMN_RUNNERS; n++)
		if (k->runners[n].ipc != NULL && kmn_ipc_flush(k->runners[n].ipc) == KMN_OK)
			want(k, k->runners[n].ipc, &k->runners[n]);
	for (worker = LIST_FIRST(&k->workers); worker != NULL; worker = next) {
		next = LIST_NEXT(worker, link);
		if (worker->ipc != NULL && kmn_ipc_flush(worker->ipc) == KMN_OK)
			want(k, worker->ipc, worker);
	}
}

static void
told_gate(struct kmn_keeper *k, struct kmn_reader *r, int fd)
{
	struct kmn_ipc *gate;
	char why[256];

	kmn_reader_text(r, why, sizeof(why));
	if (kmn_reader_end(r) != KMN_OK || fd < 0 || kmn_ipc_new(fd, GATE_QUEUE_BYTES, &gate) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor brings no gate");
	else
		kmn_gatelink_take(k, gate, why);
}

static void
told_courier(struct kmn_keeper *k, struct kmn_reader *r, int fd)
{
	struct kmn_ipc *courier;
	char why[256];

	kmn_reader_text(r, why, sizeof(why));
	if (kmn_reader_end(r) != KMN_OK || fd < 0 || kmn_ipc_new(fd, COURIER_QUEUE_BYTES, &courier) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor brings no courier");
	else
		kmn_courierlink_take(k, courier, why);
}

static void
told_console(struct kmn_keeper *k, struct kmn_reader *r, int fd)
{
	struct kmn_ipc *console;
	char why[256];

	kmn_reader_text(r, why, sizeof(why));
	if (kmn_reader_end(r) != KMN_OK || fd < 0 || kmn_ipc_new(fd, CONSOLE_QUEUE_BYTES, &console) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor brings no console");
	else
		kmn_consolelink_take(k, console, why);
}

static void
told_runner(struct kmn_keeper *k, struct kmn_reader *r, int fd)
{
	struct kmn_ipc *runner;
	unsigned place;
	char why[256];

	kmn_reader_text(r, why, sizeof(why));
	place = kmn_reader_u8(r);
	if (kmn_reader_end(r) != KMN_OK || fd < 0 || place >= KMN_RUNNERS ||
	    kmn_ipc_new(fd, RUNNER_QUEUE_BYTES, &runner) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor brings no runner");
	else
		kmn_runnerlink_take(k, place, runner, why);
}

static void
told_stop(struct kmn_keeper *k, struct kmn_reader *r)
{
	kmn_reader_text(r, k->stop_reason, sizeof(k->stop_reason));
	k->stopping = true;
	k->stop_at_ms = kmn_keeper_boot_ms() + STOP_WAIT_MS;
}

static void
supervisor_message(struct kmn_keeper *k, const struct kmn_ipc_message *m)
{
	struct kmn_reader r;
	uint32_t id;
	char text[256];

	kmn_reader_init(&r, m->body, m->len_bytes);
	switch (m->kind) {
	case KMN_S_GATE:
		told_gate(k, &r, m->fd);
		return;
	case KMN_S_COURIER:
		told_courier(k, &r, m->fd);
		return;
	case KMN_S_CONSOLE:
		told_console(k, &r, m->fd);
		return;
	case KMN_S_RUNNER:
		told_runner(k, &r, m->fd);
		return;
	case KMN_S_STOP:
		told_stop(k, &r);
		return;
	case KMN_S_SEALED_PINS:
		kmn_activation_anew(k, &r);
		return;
	case KMN_S_SPAWNED:
		kmn_workerlink_spawned(k, kmn_reader_u32(&r), m->fd);
		return;
	default: /* FAILED, EXITED */
		id = kmn_reader_u32(&r);
		kmn_reader_text(&r, text, sizeof(text));
		kmn_workerlink_exited(k, id, text);
	}
}

static void
supervisor_readable(struct kmn_keeper *k)
{
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(k->supervisor, &m)) == KMN_OK)
		supervisor_message(k, &m);
	if (e != KMN_E_AGAIN)
		kmn_keeper_fail(k, "the supervisor is gone");
}

static void
gate_readable(struct kmn_keeper *k)
{
	struct kmn_ipc *gate = k->gate;
	struct kmn_ipc_message m;
	unsigned heard = 0;
	kmn_err e = KMN_OK;

	while (k->gate == gate && gate != NULL && heard++ < KMN_KEEPER_HEARD_MAX &&
	       (e = kmn_ipc_poll(gate, &m)) == KMN_OK)
		kmn_gatelink_message(k, &m);
	if (k->gate == gate && e != KMN_OK && e != KMN_E_AGAIN)
		kmn_gatelink_lost(k);
}

/* A full disk is the usual cause, and the operator's to mend. */
static void
fail_by_disk(struct kmn_keeper *k)
{
	char why[96] = "the ledger cannot be written";
	struct statvfs disk;

	if (fstatvfs(k->setup->ledger, &disk) == 0)
		snprintf(why, sizeof(why), "the ledger cannot be written; %llu KiB are free on its disk",
		    (unsigned long long)disk.f_bavail * disk.f_frsize / 1024);
	kmn_keeper_ledger_lost(k, why);
}

/* KMN_RUNNERS: none of theirs. */
static unsigned
runner_of(const struct kmn_keeper *k, const void *what)
{
	unsigned n = 0;

	while (n < KMN_RUNNERS && what != &k->runners[n])
		n++;
	return n;
}

static void
dispatch(struct kmn_keeper *k, const struct epoll_event *event)
{
	struct kmn_worker *worker;
	char why[256];

	if (event->data.ptr == k) {
		supervisor_readable(k);
	} else if (event->data.ptr == &k->gate) {
		gate_readable(k);
	} else if (event->data.ptr == &k->courier) {
		kmn_courierlink_readable(k);
	} else if (event->data.ptr == &k->console) {
		kmn_consolelink_readable(k);
	} else if (runner_of(k, event->data.ptr) < KMN_RUNNERS) {
		kmn_runnerlink_readable(k, runner_of(k, event->data.ptr));
	} else if (event->data.ptr == k->log) {
		uint64_t n;

		if (read(kmn_log_eventfd(k->log), &n, sizeof(n)) < 0 && errno != EAGAIN)
			kmn_keeper_fail(k, "the committer does not answer");
		if (kmn_guards_halted(k->guards, why, sizeof(why)))
			kmn_keeper_fail(k, why);
		else if (kmn_log_poisoned(k->log))
			fail_by_disk(k);
	} else {
		LIST_FOREACH(worker, &k->workers, link) /* it may have ended in this round */
		if (worker == event->data.ptr) {
			kmn_workerlink_readable(k, worker);
			break;
		}
	}
}

static bool
something_runs(const struct kmn_keeper *k)
{
	const struct kmn_instance *instance;

	LIST_FOREACH(instance, &k->instances, link)
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++)
		if (instance->call[i] != NULL && instance->call[i]->step != KMN_STEP_HELD &&
		    instance->call[i]->step != KMN_STEP_EVENT && instance->call[i]->step != KMN_STEP_DONE)
			return true;
	return false;
}

static void begin_when_guards_fit(struct kmn_keeper *k);

static void
tick(struct kmn_keeper *k)
{
	int64_t now = kmn_keeper_boot_ms();
	char why[256];

	if (now - k->ticked_ms < TICK_MS)
		return;
	k->ticked_ms = now;
	kmn_instance_tick(k);
	kmn_workerlink_tick(k);
	kmn_event_tick(k);
	if (!k->begun) {
		begin_when_guards_fit(k);
		return;
	}
	kmn_courierlink_tick(k);
	kmn_space_tick(k);
	if (k->unrecorded)
		return;
	kmn_guards_tick(k);
	kmn_scrub_tick(k);
	if (kmn_guards_halted(k->guards, why, sizeof(why)))
		kmn_keeper_fail(k, why);
	kmn_clock_tick(k);
	kmn_hold_tick(k);
	kmn_activation_tick(k);
	kmn_gatelink_write_counts(k);
	kmn_anchor_tick(k);
	kmn_witness_tick(k);
	kmn_policy_tick(k);
	kmn_consolelink_tick(k);
}

/* Told to stop, nothing runs (or takes too long), and the last time stamp is there. */
static bool
may_end(struct kmn_keeper *k)
{
	if (!k->stopping || (something_runs(k) && kmn_keeper_boot_ms() < k->stop_at_ms))
		return false;
	return !kmn_anchor_stopping(k);
}

static void
loop(struct kmn_keeper *k)
{
	struct epoll_event events[64];

	while (!k->failed && !may_end(k)) {
		int n;

		kmn_log_flush(k->log);
		flush_all(k);
		n = epoll_wait(k->epoll, events, KMN_COUNT_OF(events), kmn_consolelink_work(k) ? 1 : TICK_MS);
		if (n < 0 && errno != EINTR)
			kmn_keeper_fail(k, "epoll fails");
		for (int i = 0; i < n && !k->failed; i++)
			dispatch(k, &events[i]);
		tick(k);
		release_durable(k);
		kmn_turn_run(k);
		kmn_keeper_snapshot_tick(k);
		if (k->start_due && !k->failed)
			kmn_worker_start_next(k);
		if (k->login_due && !k->failed)
			kmn_call_next_login(k);
		if (k->held_due && k->begun && !k->failed && !k->unrecorded)
			kmn_hold_tick(k);
	}
}

/* ---- start and end ---------------------------------------------------------------------------------------------- */

static kmn_err
replayed(void *cookie, const struct kmn_record *record)
{
	struct kmn_keeper *k = cookie;
	struct kmn_finding finding;
	kmn_err e = apply(k, record, &finding);

	k->replayed++;
	if (e == KMN_E_CORRUPT)
		kmn_say(KMN_SAY_ERROR, "the ledger says what must not be: %s: record %llu: %s", finding.check,
		    (unsigned long long)finding.i, finding.text);
	return e;
}

static kmn_err
blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	struct kmn_keeper *k = cookie;

	return kmn_blob_read(k->store, sha256, bytes_out, len_out);
}

static kmn_err
open_ledger(struct kmn_keeper *k, struct kmn_recovery *recovery)
{
	struct kmn_quorum_settings quorum = {.blob = blob, .cookie = k};
	struct kmn_log_settings settings = {.origin = k->setup->origin,
	    .secret = k->setup->log_key,
	    .reserve_bytes = (uint64_t)k->setup->reserve_mib << 20,
	    .publish = kmn_guards_publish,
	    .publish_cookie = k->guards};
	struct kmn_why why = {""};
	kmn_err e;

	kmn_clock_log_sources(k, &settings.sources);
	kmn_clock_sample(k);
	if ((e = kmn_store_files_at(k->setup->ledger, &k->store)) != KMN_OK)
		return e;
	settings.store = k->store;
	settings.resume = kmn_keeper_resume;
	memcpy(settings.snapshot_by, k->setup->build.binary_sha256, sizeof(settings.snapshot_by));
	if ((e = kmn_quorum_new(&quorum, &k->quorum)) != KMN_OK)
		return e;
	e = kmn_log_open(&settings, replayed, k, recovery, &k->log, &why);
	if (e == KMN_E_CORRUPT && k->resumed) {
		kmn_say(KMN_SAY_WARNING, "the ledger is read as a whole: %s", why.text);
		kmn_quorum_free(k->quorum);
		k->resumed = false;
		k->replayed = 0;
		settings.resume = NULL;
		if ((e = kmn_quorum_new(&quorum, &k->quorum)) == KMN_OK)
			e = kmn_log_open(&settings, replayed, k, recovery, &k->log, &why);
	}
	if (e == KMN_OK)
		kmn_say(KMN_SAY_INFO, "ledger: %llu records; %s %llu of them make up the state",
		    (unsigned long long)kmn_log_size(k->log), k->resumed ? "by its snapshot" : "read as a whole,",
		    (unsigned long long)k->replayed);
	else
		kmn_say(KMN_SAY_ERROR, "ledger %s: %s: %s", k->setup->ledger_path, kmn_err_text(e), why.text);
	return e;
}

/* What an unclean end left behind: said in the ledger before anything else happens. */
static kmn_err
record_recovery(struct kmn_keeper *k, const struct kmn_recovery *recovery)
{
	const char *reason = kmn_guards_overruled(k->guards) ? "the quorum accepts this head"
			     : recovery->distrusted ? "the disk did not hold what an end with an error left in memory"
			     : recovery->torn       ? "torn tail after an unclean end"
						    : "unclean end";
	json_t *open, *body, *dropped;
	bool fits;
	kmn_err e;

	if ((e = kmn_quorum_open_requests(k->quorum, &open)) != KMN_OK)
		return e;
	/* A ledger that was just created has only its genesis: nothing ended uncleanly. */
	if ((recovery->clean || recovery->last_commit.size == 1) && !recovery->torn && !recovery->distrusted &&
	    json_array_size(open) == 0 && !kmn_guards_overruled(k->guards)) {
		json_decref(open);
		return KMN_OK;
	}
	kmn_say(KMN_SAY_WARNING, "recovered: %s%zu calls undecided",
	    recovery->torn ? "a torn tail was moved aside, " : "", json_array_size(open));
	fits = json_array_size(open) <= OPEN_IN_A_RECORD;
	body = json_pack("{s:s, s:o, s:o, s:o}", "reason", reason, "last_commit", kmn_head_json(&recovery->last_commit),
	    "open_requests", fits ? json_incref(open) : json_array(), "guards", kmn_guards_json(k->guards, true));
	if (kmn_guards_overruled(k->guards) &&
	    json_object_set_new(body, "authorised", json_string(k->setup->authorised)) != 0)
		KMN_BUG("out of memory");
	if ((dropped = kmn_recovery_dropped(recovery)) != NULL && json_object_set_new(body, "dropped", dropped) != 0)
		KMN_BUG("out of memory");
	e = kmn_keeper_append(k, KMN_R_RECOVERY, body, NULL);
	if (e == KMN_OK && !fits)
		kmn_keeper_record_open(k, reason, open);
	else
		json_decref(open);
	return k->failed ? KMN_E_LEDGER : e;
}

static kmn_err
record_start(struct kmn_keeper *k)
{
	const struct kmn_build *build = &k->setup->build;

	return kmn_keeper_append(k, KMN_R_GATEWAY_START,
	    json_pack("{s:{s:s, s:o}, s:s, s:o, s:o}", "build", "version", build->version, "binary_sha256",
		kmn_json_b64(build->binary_sha256, KMN_HASH_BYTES), "boot_id", build->boot_id, "config_sha256",
		kmn_json_b64(build->config_sha256, KMN_HASH_BYTES), "guards", kmn_guards_json(k->guards, false)),
	    NULL);
}

static void
count_statements_due(struct kmn_keeper *k)
{
	const struct kmn_request *r = NULL;

	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL)
		k->statements_due += r->held && r->state == KMN_REQUEST_OPEN && r->statement == NULL;
}

/* The first records, and with them the service: nobody has been heard before. */
static kmn_err
begin(struct kmn_keeper *k)
{
	kmn_err e;

	if (kmn_quorum_is_closed(k->quorum)) {
		kmn_say(KMN_SAY_ERROR, "this ledger was closed: its successor is the one to go on with");
		return KMN_E_LEDGER;
	}
	kmn_log_emergency(k->store, !kmn_space_is_low(k));
	if ((e = record_recovery(k, &k->found)) != KMN_OK || (e = record_start(k)) != KMN_OK ||
	    (e = kmn_log_wait(k->log)) != KMN_OK)
		return e;
	if ((e = kmn_anchor_start(k)) != KMN_OK)
		return e;
	count_statements_due(k);
	if (!kmn_witness_start(k) || kmn_hooks_start(k) != KMN_OK)
		return KMN_E_NO_MEMORY;
	k->started_ms = kmn_keeper_now_ms();
	k->begun = true;
	return kmn_ipc_queue(k->supervisor, KMN_S_SERVING, NULL, 0);
}

/* Guards in a module are asked while the loop runs; there is no gate yet, so nothing else happens in it. */
static void
begin_when_guards_fit(struct kmn_keeper *k)
{
	kmn_err e = kmn_guards_look(k);

	if (e == KMN_E_AGAIN)
		return;
	if (e == KMN_OK)
		e = begin(k);
	if (e != KMN_OK)
		kmn_keeper_fail(k, kmn_err_text(e));
}

static kmn_err
start(struct kmn_keeper *k)
{
	kmn_err e;

	if ((e = kmn_guards_new(k)) != KMN_OK || (e = open_ledger(k, &k->found)) != KMN_OK)
		return e;
	if ((k->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return KMN_E_IO;
	if ((e = kmn_ipc_new(k->setup->supervisor, SUPERVISOR_QUEUE_BYTES, &k->supervisor)) != KMN_OK)
		return e;
	kmn_ipc_take_fds(k->supervisor); /* sockets of the gate and the workers */
	if ((e = kmn_keeper_watch(k, kmn_ipc_fd(k->supervisor), k)) != KMN_OK ||
	    (e = kmn_keeper_watch(k, kmn_log_eventfd(k->log), k->log)) != KMN_OK)
		return e;
	for (unsigned m = 0; m < k->setup->module_count; m++)
		if ((k->house[m] = kmn_worker_new(k, KMN_WORKER_HOUSE, m, NULL)) == NULL)
			return KMN_E_NO_MEMORY;
	begin_when_guards_fit(k); /* where they do not, the loop ends before it begins */
	return KMN_OK;
}

/* Nobody is left waiting: who cannot get an answer is told that there is none. */
static void
refuse_waiting(struct kmn_keeper *k)
{
	struct kmn_call_state *call;

	TAILQ_FOREACH(call, &k->durable, durable)
	if (call->conn != NULL)
		kmn_gatelink_refuse(
		    k, call->conn, call->number, KMN_E_LEDGER, UINT64_MAX, "the ledger cannot be written");
	if (k->gate != NULL && kmn_ipc_flush(k->gate) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "the gate is gone");
}

/* What is left when the last record is written. */
static void
free_all(struct kmn_keeper *k)
{
	kmn_workerlink_clear(k);
	kmn_admin_clear(k);
	kmn_activation_clear(k);
	kmn_receipts_clear(k);
	kmn_courierlink_clear(k);
	kmn_runnerlink_clear(k);
	kmn_consolelink_clear(k);
	kmn_anchor_clear(k);
	kmn_witness_clear(k);
	kmn_hooks_clear(k);
	kmn_complaint_clear(k);
	kmn_ipc_free(k->supervisor);
	kmn_quorum_free(k->quorum);
	kmn_guards_free(k->guards);
	free(k->policy_note);
	kmn_store_files_free(k->store);
	if (k->epoll >= 0)
		close(k->epoll);
	free(k);
}

static int
finish(struct kmn_keeper *k)
{
	struct kmn_instance *instance;

	refuse_waiting(k);
	while ((instance = LIST_FIRST(&k->instances)) != NULL)
		kmn_instance_end(k, instance, "the gateway stops");
	if (k->gate != NULL)
		kmn_gatelink_lost(k);
	if (kmn_space_is_low(k))
		kmn_log_emergency(k->store, false);
	if (!k->failed && k->begun &&
	    kmn_keeper_append(k, KMN_R_GATEWAY_STOP, json_pack("{s:s}", "reason", k->stop_reason), NULL) != KMN_OK)
		k->failed = true;
	kmn_keeper_snapshot(k);
	if (kmn_log_close(k->log) != KMN_OK)
		k->failed = true;
	return k->restart ? KMN_EXIT_RESTART : k->failed ? 1 : 0;
}

int
kmn_keeper_main(const struct kmn_keeper_setup *setup)
{
	struct kmn_keeper *k;
	kmn_err e;
	int status;

	if (sodium_init() < 0 || (k = calloc(1, sizeof(*k))) == NULL)
		return 1;
	k->setup = setup;
	kmn_clock_init(k);
	TAILQ_INIT(&k->starting);
	TAILQ_INIT(&k->durable);
	TAILQ_INIT(&k->logins);
	TAILQ_INIT(&k->ready);
	TAILQ_INIT(&k->admin_waits);
	TAILQ_INIT(&k->errands);
	TAILQ_INIT(&k->jobs);
	if ((e = start(k)) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "the keeper does not start: %s", kmn_err_text(e));
		return 1;
	}
	loop(k);
	status = finish(k);
	free_all(k);
	return status;
}
