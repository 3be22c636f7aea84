/*
 * Workers: asked of the supervisor one after the other (SoftHSM processes that
 * initialise at the same moment fail at random), spoken to by tagged messages.
 * What a worker says is bounded and checked like a stranger's words.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX_BYTES (32u << 20)
#define ENDING_MS 5000 /* for the module's C_Finalize; then the worker is killed */

static kmn_err
tell_supervisor(struct kmn_keeper *k, uint8_t kind, uint32_t id)
{
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, 64);
	kmn_writer_u32(&w, id);
	e = kmn_ipc_queue_writer(k->supervisor, kind, &w);
	kmn_writer_clear(&w);
	return e;
}

static kmn_err
ask_spawn(struct kmn_keeper *k, const struct kmn_worker *worker)
{
	const struct kmn_branch *branch = worker->branch;
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, 128);
	kmn_writer_u32(&w, worker->id);
	kmn_writer_text(&w, k->setup->modules[worker->module].name);
	kmn_writer_bool(&w, worker->use == KMN_WORKER_WATCHES);
	kmn_writer_u64(&w, branch != NULL ? branch->instance->first_handle + branch->index : 1);
	kmn_writer_u64(&w, branch != NULL ? branch->instance->branches : 1);
	e = kmn_ipc_queue_writer(k->supervisor, KMN_S_SPAWN, &w);
	kmn_writer_clear(&w);
	return e;
}

/*
 * Starts and logins take turns, one by one: a login that waits comes before the next start, and a start that waits
 * before the next login.
 */
static void
start_next(struct kmn_keeper *k)
{
	struct kmn_worker *first = TAILQ_FIRST(&k->starting);

	if (first == NULL || first->step != KMN_WORKER_ASKED || first->ipc != NULL || kmn_call_login_runs(k))
		return;
	first->step = KMN_WORKER_STARTING;
	k->starting_since_ms = kmn_keeper_boot_ms();
	if (ask_spawn(k, first) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor does not listen");
}

void
kmn_worker_start_next(struct kmn_keeper *k)
{
	k->start_due = false;
	start_next(k);
}

bool
kmn_worker_starts(const struct kmn_keeper *k)
{
	const struct kmn_worker *first = TAILQ_FIRST(&k->starting);

	return first != NULL && first->step == KMN_WORKER_STARTING &&
	       kmn_keeper_boot_ms() - k->starting_since_ms < KMN_TURN_MAX_MS;
}

/* One start is over. */
static void
started(struct kmn_keeper *k)
{
	if (TAILQ_EMPTY(&k->logins))
		start_next(k);
	else
		k->login_due = true;
}

struct kmn_worker *
kmn_worker_new(struct kmn_keeper *k, enum kmn_worker_use use, unsigned module, struct kmn_branch *branch)
{
	struct kmn_worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL)
		return NULL;
	worker->id = k->next_worker++;
	worker->use = use;
	worker->module = module;
	worker->branch = branch;
	worker->step = KMN_WORKER_ASKED;
	TAILQ_INIT(&worker->pending);
	LIST_INSERT_HEAD(&k->workers, worker, link);
	TAILQ_INSERT_TAIL(&k->starting, worker, start);
	start_next(k);
	return worker;
}

struct kmn_worker *
kmn_worker_by_id(struct kmn_keeper *k, uint32_t id)
{
	struct kmn_worker *worker;

	LIST_FOREACH(worker, &k->workers, link)
	if (worker->id == id)
		return worker;
	return NULL;
}

/* Tells everybody who waits for this worker that nothing comes any more. */
static void
fail_pending(struct kmn_keeper *k, struct kmn_worker *worker)
{
	struct kmn_pending *p;

	while ((p = TAILQ_FIRST(&worker->pending)) != NULL) {
		TAILQ_REMOVE(&worker->pending, p, link);
		if (p->done != NULL)
			p->done(k, p->cookie, NULL);
		free(p);
	}
}

static void
worker_free(struct kmn_keeper *k, struct kmn_worker *worker)
{
	bool was_starting = worker->step == KMN_WORKER_ASKED || worker->step == KMN_WORKER_STARTING;

	if (was_starting)
		TAILQ_REMOVE(&k->starting, worker, start);
	LIST_REMOVE(worker, link);
	if (k->house[worker->module] == worker)
		k->house[worker->module] = NULL;
	if (k->watch[worker->module].worker == worker)
		k->watch[worker->module].worker = NULL;
	fail_pending(k, worker);
	kmn_ipc_free(worker->ipc);
	free(worker);
	if (was_starting)
		started(k);
}

/*
 * Closes its socket: the worker finalizes its module and exits by itself, and is killed if it does not in time. One
 * that is still being started is ended when its socket comes.
 */
static void
end_worker(struct kmn_keeper *k, struct kmn_worker *worker)
{
	if (worker->step == KMN_WORKER_ASKED || worker->step == KMN_WORKER_STARTING) {
		TAILQ_REMOVE(&k->starting, worker, start);
		started(k);
	}
	worker->step = KMN_WORKER_ENDING;
	worker->ending_since_ms = kmn_keeper_boot_ms();
	if (k->watch[worker->module].worker == worker)
		k->watch[worker->module].worker = NULL;
	fail_pending(k, worker);
	kmn_ipc_free(worker->ipc);
	worker->ipc = NULL;
}

/* Its application is gone, or it has nothing to watch any more: nobody misses it. */
static bool
is_released(const struct kmn_worker *worker)
{
	return worker->step == KMN_WORKER_ENDING || (worker->use == KMN_WORKER_CALLS && worker->branch == NULL);
}

void
kmn_worker_release(struct kmn_keeper *k, struct kmn_worker *worker)
{
	worker->branch = NULL;
	if (worker->step == KMN_WORKER_ASKED) /* nobody was asked for it yet */
		worker_free(k, worker);
	else if (worker->ipc != NULL)
		end_worker(k, worker);
}

void
kmn_workerlink_clear(struct kmn_keeper *k)
{
	struct kmn_worker *worker;

	while ((worker = LIST_FIRST(&k->workers)) != NULL) {
		if (worker->step == KMN_WORKER_ASKED || worker->step == KMN_WORKER_STARTING)
			TAILQ_REMOVE(&k->starting, worker, start);
		worker->step = KMN_WORKER_ENDING; /* nobody is started after it */
		worker_free(k, worker);
	}
}

void
kmn_workerlink_tick(struct kmn_keeper *k)
{
	struct kmn_worker *worker;
	int64_t now = kmn_keeper_boot_ms();

	k->login_due = k->start_due = true; /* somebody's turn may have lasted for too long */
	LIST_FOREACH(worker, &k->workers, link)
	{
		if (worker->step != KMN_WORKER_ENDING || now - worker->ending_since_ms < ENDING_MS)
			continue;
		worker->ending_since_ms = now;
		if (tell_supervisor(k, KMN_S_KILL, worker->id) != KMN_OK)
			kmn_keeper_fail(k, "the supervisor does not listen");
	}
}

void
kmn_workerlink_spawned(struct kmn_keeper *k, uint32_t id, int fd)
{
	struct kmn_worker *worker = kmn_worker_by_id(k, id);

	if (worker == NULL || worker->step != KMN_WORKER_STARTING || worker->ipc != NULL ||
	    kmn_ipc_new(fd, QUEUE_MAX_BYTES, &worker->ipc) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "worker %u has no place here", id);
		return;
	}
	if (kmn_keeper_watch(k, kmn_ipc_fd(worker->ipc), worker) != KMN_OK)
		kmn_keeper_fail(k, "a worker's socket cannot be watched");
	if (is_released(worker))
		kmn_worker_release(k, worker);
}

static void
lost(struct kmn_keeper *k, struct kmn_worker *worker, const char *how)
{
	if (is_released(worker)) {
		worker_free(k, worker);
		return;
	}
	kmn_say(KMN_SAY_WARNING, "worker %u (%s): %s", worker->id, k->setup->modules[worker->module].name, how);
	if (worker->branch != NULL)
		kmn_branch_lost(k, worker->branch, how); /* releases the worker */
	else
		worker_free(k, worker);
}

void
kmn_workerlink_exited(struct kmn_keeper *k, uint32_t id, const char *how)
{
	struct kmn_worker *worker = kmn_worker_by_id(k, id);

	if (worker == NULL)
		return;
	lost(k, worker, how);
	if ((worker = kmn_worker_by_id(k, id)) != NULL) /* it was still listed as ending */
		worker_free(k, worker);
}

static void
became_ready(struct kmn_keeper *k, struct kmn_worker *worker, struct kmn_reader *r)
{
	uint64_t rv = kmn_reader_u64(r);
	struct kmn_lists lists;

	worker->version = kmn_reader_u16(r);
	kmn_reader_text(r, worker->manufacturer, sizeof(worker->manufacturer));
	kmn_reader_text(r, worker->description, sizeof(worker->description));
	(void)kmn_reader_u16(r);
	kmn_lists_read(&lists, r);
	if (kmn_reader_end(r) != KMN_OK || worker->step != KMN_WORKER_STARTING) {
		lost(k, worker, "its first words are not what they must be");
		return;
	}
	if (rv != CKR_OK) {
		char name[32];

		kmn_say(KMN_SAY_ERROR, "the HSM module does not start: %s", kmn_record_rv_name(rv, name));
		lost(k, worker, "the HSM module does not start");
		return;
	}
	k->lists[worker->module] = lists;
	worker->step = KMN_WORKER_READY;
	TAILQ_REMOVE(&k->starting, worker, start);
	if (worker->branch != NULL)
		kmn_branch_ready(k, worker->branch);
	started(k);
}

/* True if the message was the answer to something that was asked. */
static bool
answered(struct kmn_keeper *k, struct kmn_worker *worker, uint8_t kind, struct kmn_reader *r)
{
	uint64_t tag = kmn_reader_u64(r);
	struct kmn_pending *p;

	TAILQ_FOREACH(p, &worker->pending, link)
	if (p->tag == tag)
		break;
	if (r->err != KMN_OK || p == NULL || p->answer != kind)
		return false;
	TAILQ_REMOVE(&worker->pending, p, link);
	if (p->done != NULL)
		p->done(k, p->cookie, r);
	free(p);
	return true;
}

void
kmn_workerlink_readable(struct kmn_keeper *k, struct kmn_worker *worker)
{
	uint32_t id = worker->id;
	struct kmn_ipc_message m;
	struct kmn_reader r;
	kmn_err e;

	while ((e = kmn_ipc_poll(worker->ipc, &m)) == KMN_OK) {
		kmn_reader_init(&r, m.body, m.len_bytes);
		if (m.kind == KMN_W_READY) {
			became_ready(k, worker, &r);
		} else if (m.kind == KMN_W_EVENT && kmn_event_told(k, worker, &r)) {
			; /* it has gone to whom it concerns */
		} else if (!answered(k, worker, m.kind, &r)) {
			lost(k, worker, "it says what nobody asked");
			return;
		}
		/* Whatever was done may have ended this worker. */
		if ((worker = kmn_worker_by_id(k, id)) == NULL || worker->ipc == NULL)
			return;
	}
	if (e != KMN_E_AGAIN)
		lost(k, worker, "its socket is closed");
}

static uint8_t
answer_of(uint8_t kind)
{
	switch (kind) {
	case KMN_W_CALL:
	case KMN_W_DROP:
		return KMN_W_REPLY;
	case KMN_W_TOKEN:
		return KMN_W_TOKEN_FACTS;
	case KMN_W_ALIAS:
		return KMN_W_ALIASED;
	case KMN_W_GUARD:
		return KMN_W_GUARDED;
	case KMN_W_LOGIN:
	case KMN_W_SHARE:
	case KMN_W_FORGET:
		return KMN_W_LOGIN_STATE;
	default:
		return KMN_W_DESCRIPTION;
	}
}

kmn_err
kmn_worker_ask(struct kmn_keeper *k, struct kmn_worker *worker, uint8_t kind, const void *body, size_t len,
    void (*done)(struct kmn_keeper *, void *, struct kmn_reader *), void *cookie)
{
	struct kmn_pending *p;
	struct kmn_writer w;
	kmn_err e;

	if (worker == NULL || worker->ipc == NULL || worker->step != KMN_WORKER_READY)
		return KMN_E_WORKER;
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return KMN_E_NO_MEMORY;
	p->tag = ++k->next_tag;
	p->answer = answer_of(kind);
	p->done = done;
	p->cookie = cookie;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u64(&w, p->tag);
	kmn_writer_raw(&w, body, len);
	e = kmn_ipc_queue_writer(worker->ipc, kind, &w);
	kmn_writer_clear(&w);
	if (e != KMN_OK) {
		free(p);
		return e;
	}
	TAILQ_INSERT_TAIL(&worker->pending, p, link);
	return KMN_OK;
}

void
kmn_worker_forget(struct kmn_worker *worker, const void *cookie)
{
	struct kmn_pending *p;

	TAILQ_FOREACH(p, &worker->pending, link)
	if (p->cookie == cookie)
		p->done = NULL;
}
