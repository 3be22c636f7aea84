/*
 * The keeper's loop: does one thing at a time. Between two waits everything appended is handed to the committer as one
 * batch (group commit).
 */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/say.h"
#include "server/keeper/guard.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 1000

/* ---- time and chance -------------------------------------------------------------------------------------------- */

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
gate_readable(struct kmn_keeper *k)
{
	struct kmn_ipc *gate = k->gate;
	struct kmn_ipc_message m;
	unsigned heard = 0;
	kmn_err e = KMN_OK;

	while (
	    k->gate == gate && gate != NULL && heard++ < KMN_KEEPER_HEARD_MAX && (e = kmn_ipc_poll(gate, &m)) == KMN_OK)
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
		kmn_supervisorlink_readable(k);
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
		kmn_keeper_begin(k);
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
		kmn_keeper_release_durable(k);
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

/* ---- end -------------------------------------------------------------------------------------------------------- */

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
	if ((e = kmn_keeper_start(k)) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "the keeper does not start: %s", kmn_err_text(e));
		return 1;
	}
	loop(k);
	status = finish(k);
	free_all(k);
	return status;
}
