/*
 * The hsm worker: the one process that holds the vendor's module, for one
 * application. The main thread reads the keeper's messages, a pool of threads
 * does what they ask, answers go out whole under a lock.
 */
#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/ipc.h"
#include "kanmon/roles.h"
#include "kanmon/say.h"
#include "server/hsm/dispatch.h"
#include "server/hsm/logins.h"
#include "server/hsm/pool.h"
#include "server/hsm/vendor.h"

#define THREADS_MAX 64u /* calls that run in the module at once */
#define QUEUE_MAX 1024u /* messages read and not begun; more stay in the socket */
#define KEEP_WARM_MS 10000
#define WAITING_MAX 1024u /* sessions that are kept warm */
#define EVENT_PAUSE_MS 20u
#define END_WAIT_MS 30000u /* for calls that run when the keeper is gone */

struct worker {
	struct kmn_ipc *ipc; /* received from by the main thread alone, sent to under the lock */
	pthread_mutex_t send_lock;
	struct kmn_dispatch *dispatch; /* set once */
	struct kmn_logins *logins;     /* set once */
	int64_t warm_at_ms;            /* the main thread's */
	int warm_every_ms;             /* set once */
};

struct watch {
	struct worker *worker;
	CK_FUNCTION_LIST *module;
};

/* A message on its way to a thread. Its body follows, in guarded memory if it may hold a secret. */
struct job {
	struct kmn_task task; /* first */
	bool guarded;
	uint8_t kind;
	uint8_t flags;                      /* CALL: KMN_WF_* */
	struct kmn_nobody nobody;           /* CALL */
	uint8_t login[KMN_SHARE_KEY_BYTES]; /* CALL with KMN_WF_SHARES */
	uint64_t tag;                       /* every message begins with it */
	kmn_err bad;                        /* CALL: why the payload is no request */
	struct kmn_call_view view;          /* CALL: points into body */
	size_t len;
	uint8_t body[];
};

static void
job_free(struct job *j)
{
	if (j->guarded) {
		sodium_free(j);
		return;
	}
	sodium_memzero(j, sizeof(*j) + j->len);
	free(j);
}

static void
discard(void *cookie, struct kmn_task *task)
{
	(void)cookie;
	job_free((struct job *)task);
}

/* ---- answers ---- */

/* A keeper that is gone needs no answer; the main thread learns of it by itself. */
static void
answer(struct worker *w, uint8_t kind, struct kmn_writer *body)
{
	pthread_mutex_lock(&w->send_lock);
	(void)!kmn_ipc_send_writer(w->ipc, kind, body);
	pthread_mutex_unlock(&w->send_lock);
}

/* A C_Login by the PIN that custodians' shares open; the caller's, if there is one, goes nowhere. */
static void
run_login(struct worker *w, struct job *j, struct kmn_writer *out)
{
	struct kmn_value *value = NULL;
	uint8_t *pin = NULL;
	size_t len = 0;
	kmn_err e = KMN_E_ARGUMENTS;

	for (size_t i = 0; j->view.id == KMN_C_Login && i < j->view.call->param_count; i++)
		if (j->view.call->param[i].kind == KMN_KIND_PIN)
			value = &j->view.value[i];
	if (value == NULL || (e = kmn_logins_use(w->logins, j->login, &pin, &len)) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "the sealed PIN was not opened: %s", kmn_err_text(e));
		kmn_response_put_error(j->view.id, CKR_DEVICE_ERROR, out);
		return;
	}
	*value = (struct kmn_value){.param = value->param, .number = len, .bytes = pin, .len = len};
	kmn_dispatch_call(
	    w->dispatch, &(const struct kmn_dispatch_request){.view = &j->view, .nobody = &j->nobody}, out);
	*value = (struct kmn_value){.param = value->param, .null = true};
	sodium_free(pin);
}

static void
run_call(struct worker *w, struct job *j, struct kmn_writer *out)
{
	const struct kmn_call *row;

	kmn_writer_u64(out, j->tag);
	if (j->bad == KMN_OK && (j->flags & KMN_WF_SHARES) != 0) {
		run_login(w, j, out);
	} else if (j->bad == KMN_OK) {
		kmn_dispatch_call(w->dispatch,
		    &(const struct kmn_dispatch_request){
			.view = &j->view, .payload = j->body, .len = j->len, .flags = j->flags, .nobody = &j->nobody},
		    out);
	} else { /* the keeper decodes each request before it sends it on: one of us is broken, and the call does not run */
		row = kmn_request_row(j->body, j->len);
		kmn_response_put_error(row != NULL ? kmn_call_id_of(row) : KMN_CALL_COUNT, CKR_DEVICE_ERROR, out);
		kmn_say(KMN_SAY_ERROR, "request that cannot be read: %s", kmn_err_text(j->bad));
	}
	answer(w, KMN_W_REPLY, out);
}

static void
run_drop(struct worker *w, struct job *j, struct kmn_writer *out)
{
	struct kmn_reader r;
	uint64_t session;
	uint32_t kind;

	kmn_reader_init(&r, j->body, j->len);
	session = kmn_reader_u64(&r);
	kind = kmn_reader_u32(&r);
	if (kmn_reader_end(&r) == KMN_OK)
		kmn_dispatch_drop(w->dispatch, session, kind);
	kmn_writer_u64(out, j->tag);
	answer(w, KMN_W_REPLY, out);
}

static void
run_alias(struct worker *w, struct job *j, struct kmn_writer *out)
{
	struct kmn_reader r;
	uint64_t old, now;
	CK_RV rv = CKR_ARGUMENTS_BAD;

	kmn_reader_init(&r, j->body, j->len);
	old = kmn_reader_u64(&r);
	now = kmn_reader_u64(&r);
	if (kmn_reader_end(&r) == KMN_OK)
		rv = kmn_dispatch_alias(w->dispatch, old, now);
	kmn_writer_u64(out, j->tag);
	kmn_writer_u64(out, rv);
	answer(w, KMN_W_ALIASED, out);
}

static void
answer_description(
    struct worker *w, const struct job *j, CK_RV rv, const struct kmn_key_facts *facts, struct kmn_writer *out)
{
	kmn_writer_u64(out, j->tag);
	kmn_writer_u64(out, rv);
	if (rv == CKR_OK)
		kmn_key_facts_put(out, facts);
	answer(w, KMN_W_DESCRIPTION, out);
}

static void
run_describe(struct worker *w, struct job *j, struct kmn_writer *out)
{
	struct kmn_key_facts facts;
	struct kmn_reader r;
	uint64_t session, object;
	CK_RV rv = CKR_ARGUMENTS_BAD;

	kmn_reader_init(&r, j->body, j->len);
	session = kmn_reader_u64(&r);
	object = kmn_reader_u64(&r);
	if (kmn_reader_end(&r) == KMN_OK)
		rv = kmn_dispatch_describe(w->dispatch, session, object, &facts);
	answer_description(w, j, rv, &facts, out);
}

static void
run_find_key(struct worker *w, struct job *j, struct kmn_writer *out)
{
	char token[64], label[KMN_KEY_LABEL_MAX_BYTES];
	struct kmn_key_facts facts;
	struct kmn_reader r;
	const uint8_t *id;
	size_t id_len;
	CK_RV rv = CKR_ARGUMENTS_BAD;

	kmn_reader_init(&r, j->body, j->len);
	kmn_reader_text(&r, token, sizeof(token));
	kmn_reader_text(&r, label, sizeof(label));
	id_len = kmn_reader_bytes(&r, KMN_KEY_ID_MAX_BYTES, &id);
	if (kmn_reader_end(&r) == KMN_OK)
		rv = kmn_dispatch_find_key(w->dispatch, token, label, id, id_len, &facts);
	answer_description(w, j, rv, &facts, out);
}

static void
run_guard(struct worker *w, struct job *j, struct kmn_writer *out)
{
	char token[64], label[512];
	struct kmn_guard_object object = {.token = token, .label = label};
	uint8_t value[KMN_GUARD_VALUE_MAX_BYTES];
	struct kmn_reader r;
	size_t len = 0;
	CK_RV rv = CKR_ARGUMENTS_BAD;

	kmn_reader_init(&r, j->body, j->len);
	kmn_reader_text(&r, token, sizeof(token));
	kmn_reader_text(&r, label, sizeof(label));
	object.swap = kmn_reader_bool(&r);
	object.expected_len = kmn_reader_bytes(&r, KMN_GUARD_VALUE_MAX_BYTES, &object.expected);
	object.next_len = kmn_reader_bytes(&r, KMN_GUARD_VALUE_MAX_BYTES, &object.next);
	if (kmn_reader_end(&r) == KMN_OK)
		rv = kmn_dispatch_guard(w->dispatch, &object, value, &len);
	kmn_writer_u64(out, j->tag);
	kmn_writer_u64(out, rv);
	kmn_writer_bytes(out, value, rv == CKR_OK ? len : 0);
	answer(w, KMN_W_GUARDED, out);
}

static void
run_token(struct worker *w, struct job *j, struct kmn_writer *out)
{
	struct kmn_token_facts facts;
	struct kmn_reader r;
	uint64_t slot;
	CK_RV rv = CKR_ARGUMENTS_BAD;

	kmn_reader_init(&r, j->body, j->len);
	slot = kmn_reader_u64(&r);
	if (kmn_reader_end(&r) == KMN_OK)
		rv = kmn_dispatch_token(w->dispatch, slot, &facts);
	kmn_writer_u64(out, j->tag);
	kmn_writer_u64(out, rv);
	if (rv == CKR_OK) {
		kmn_writer_text(out, facts.label);
		kmn_writer_text(out, facts.manufacturer);
		kmn_writer_text(out, facts.model);
		kmn_writer_text(out, facts.serial);
		kmn_writer_u16(out, facts.firmware);
		kmn_writer_u16(out, facts.hardware);
		kmn_writer_u64(out, facts.flags);
		kmn_writer_u8(out, facts.level);
	}
	answer(w, KMN_W_TOKEN_FACTS, out);
}

static void
answer_login(struct worker *w, const struct job *j, kmn_err e, const uint8_t key[KMN_SHARE_KEY_BYTES], unsigned shares,
    struct kmn_writer *out)
{
	kmn_writer_u64(out, j->tag);
	kmn_writer_u32(out, (uint32_t)e);
	kmn_writer_raw(out, key, KMN_SHARE_KEY_BYTES);
	kmn_writer_u8(out, (uint8_t)shares);
	answer(w, KMN_W_LOGIN_STATE, out);
}

static void
run_begin_login(struct worker *w, struct job *j, struct kmn_writer *out)
{
	uint8_t key[KMN_SHARE_KEY_BYTES] = {0};
	const uint8_t *text;
	struct kmn_reader r;
	size_t len;
	kmn_err e;

	kmn_reader_init(&r, j->body, j->len);
	len = kmn_reader_bytes(&r, KMN_SEALED_PIN_MAX_BYTES, &text);
	if ((e = kmn_reader_end(&r)) == KMN_OK)
		e = kmn_logins_begin(w->logins, (const char *)text, len, key);
	answer_login(w, j, e, key, 0, out);
}

static void
run_share(struct worker *w, struct job *j, struct kmn_writer *out)
{
	uint8_t key[KMN_SHARE_KEY_BYTES] = {0};
	unsigned count = 0;
	const uint8_t *box;
	struct kmn_reader r;
	size_t len;
	kmn_err e;

	kmn_reader_init(&r, j->body, j->len);
	kmn_reader_raw(&r, key, sizeof(key));
	len = kmn_reader_bytes(&r, KMN_SHARE_BOX_BYTES, &box);
	if ((e = kmn_reader_end(&r)) == KMN_OK)
		e = kmn_logins_share(w->logins, key, box, len, &count);
	answer_login(w, j, e, key, count, out);
}

static void
run_forget(struct worker *w, struct job *j, struct kmn_writer *out)
{
	uint8_t key[KMN_SHARE_KEY_BYTES] = {0};
	struct kmn_reader r;
	kmn_err e;

	kmn_reader_init(&r, j->body, j->len);
	kmn_reader_raw(&r, key, sizeof(key));
	if ((e = kmn_reader_end(&r)) == KMN_OK)
		kmn_logins_forget(w->logins, key);
	answer_login(w, j, e, key, 0, out);
}

static void
run_keep_warm(struct worker *w, struct job *j, struct kmn_writer *out)
{
	(void)out;
	kmn_dispatch_keep_warm(w->dispatch, j->task.lane);
}

/* ---- the messages, as a table ---- */

#define OWN_KEEP_WARM 0u /* of our own: no keeper sends it */

static const struct message {
	uint8_t kind;
	bool lane; /* the body begins with the session whose calls it must not overtake */
	void (*run)(struct worker *, struct job *, struct kmn_writer *);
} messages[] = {
    {KMN_W_CALL, false, run_call}, /* its lane stands in the request */
    {KMN_W_DESCRIBE, true, run_describe},
    {KMN_W_FIND_KEY, false, run_find_key},
    {KMN_W_DROP, true, run_drop},
    {KMN_W_TOKEN, false, run_token},
    {KMN_W_ALIAS, false, run_alias},
    {KMN_W_GUARD, false, run_guard},
    {KMN_W_LOGIN, false, run_begin_login},
    {KMN_W_SHARE, false, run_share},
    {KMN_W_FORGET, false, run_forget},
    {OWN_KEEP_WARM, false, run_keep_warm},
};

static const struct message *
message_of(uint8_t kind)
{
	for (size_t i = 0; i < KMN_COUNT_OF(messages); i++)
		if (messages[i].kind == kind)
			return &messages[i];
	return NULL;
}

static void
run(void *cookie, struct kmn_task *task)
{
	struct worker *w = cookie;
	struct job *j = (struct job *)task;
	struct kmn_writer out;

	kmn_writer_init(&out, KMN_MESSAGE_MAX_BYTES - 1); /* its kind comes before it */
	message_of(j->kind)->run(w, j, &out);
	kmn_writer_clear(&out);
	job_free(j);
}

/* ---- reading ---- */

/* Whether a request's memory must be guarded: it has a PIN, or a template that may hold a key's value. */
static bool
may_hold_secret(const uint8_t *payload, size_t len)
{
	const struct kmn_call *row = kmn_request_row(payload, len);

	for (size_t i = 0; row != NULL && i < row->param_count; i++)
		if (row->param[i].kind == KMN_KIND_PIN || row->param[i].kind == KMN_KIND_TEMPLATE)
			return true;
	return false;
}

static struct job *
job_new(const struct kmn_ipc_message *message, const uint8_t *body, size_t len)
{
	bool guarded = message->kind == KMN_W_CALL && may_hold_secret(body, len);
	size_t size = sizeof(struct job) + len;
	struct job *j;

	/* sodium_malloc() puts the end of what it gives before a guard page, so alignment needs whole units. */
	size = (size + 15) & ~(size_t)15;
	if ((j = guarded ? sodium_malloc(size) : malloc(size)) == NULL)
		return NULL;
	memset(j, 0, sizeof(*j));
	j->guarded = guarded;
	j->kind = message->kind;
	j->len = len;
	if (len > 0)
		memcpy(j->body, body, len);
	return j;
}

static void
read_nobody(struct kmn_reader *r, struct kmn_nobody *nobody)
{
	nobody->count = kmn_reader_u8(r);
	if (nobody->count > KMN_NOBODY_MAX) {
		kmn_reader_fail(r, KMN_E_TOO_BIG);
		nobody->count = 0;
	}
	for (size_t i = 0; i < nobody->count; i++)
		nobody->handle[i] = kmn_reader_u64(r);
}

/* A message of the keeper becomes a job with its lane. KMN_E_MALFORMED: no message of ours at all. */
static kmn_err
read_message(const struct kmn_ipc_message *message, struct job **job_out)
{
	const struct message *m = message_of(message->kind);
	struct kmn_nobody nobody = {.count = 0};
	uint8_t flags = 0, login[KMN_SHARE_KEY_BYTES] = {0};
	const uint8_t *body;
	struct kmn_reader r;
	uint64_t tag;
	size_t len;

	*job_out = NULL;
	if (m == NULL || m->kind == OWN_KEEP_WARM)
		return KMN_E_MALFORMED;
	kmn_reader_init(&r, message->body, message->len_bytes);
	tag = kmn_reader_u64(&r);
	if (m->kind == KMN_W_CALL)
		flags = kmn_reader_u8(&r);
	if ((flags & KMN_WF_NOBODY) != 0)
		read_nobody(&r, &nobody);
	if ((flags & KMN_WF_SHARES) != 0)
		kmn_reader_raw(&r, login, sizeof(login));
	len = kmn_reader_rest(&r, &body);
	if (r.err != KMN_OK)
		return r.err;
	if ((*job_out = job_new(message, body, len)) == NULL)
		return KMN_E_NO_MEMORY;
	(*job_out)->tag = tag;
	(*job_out)->flags = flags;
	(*job_out)->nobody = nobody;
	memcpy((*job_out)->login, login, sizeof(login));
	return KMN_OK;
}

/* Sessions' lanes are their virtual handles, which are never 0; all names of a session are one lane. */
static void
find_lane(struct worker *w, struct job *j)
{
	struct kmn_reader r;

	if (j->kind == KMN_W_CALL) {
		j->bad = kmn_call_view_decode(j->body, j->len, &j->view);
		/* C_SessionCancel overtakes what it cancels. */
		if (j->bad != KMN_OK || j->view.id == KMN_C_SessionCancel || !kmn_view_session(&j->view, &j->task.lane))
			j->task.lane = 0;
	} else if (message_of(j->kind)->lane) {
		kmn_reader_init(&r, j->body, j->len);
		j->task.lane = kmn_reader_u64(&r);
	}
	j->task.lane = kmn_dispatch_lane(w->dispatch, j->task.lane);
}

/* Queues a word to the module for each session that waits; one that cannot be queued now is passed over. */
static void
keep_warm(struct worker *w, struct kmn_pool *pool)
{
	const struct kmn_ipc_message own = {.kind = OWN_KEEP_WARM};
	uint64_t session[WAITING_MAX];
	size_t n = kmn_dispatch_waiting(w->dispatch, session, KMN_COUNT_OF(session));
	struct job *j;

	for (size_t i = 0; i < n; i++) {
		if ((j = job_new(&own, NULL, 0)) == NULL)
			return;
		j->task.lane = session[i];
		if (kmn_pool_put(pool, &j->task) != KMN_OK)
			job_free(j);
	}
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* The next message; while there is none, and in between, waiting sessions are kept warm. */
static kmn_err
next_message(struct worker *w, struct kmn_pool *pool, struct kmn_ipc_message *message)
{
	struct pollfd p = {.fd = kmn_ipc_fd(w->ipc), .events = POLLIN};
	kmn_err e;

	do {
		if (now_ms() >= w->warm_at_ms) {
			keep_warm(w, pool);
			w->warm_at_ms = now_ms() + w->warm_every_ms;
		}
		if ((e = kmn_ipc_poll(w->ipc, message)) == KMN_E_AGAIN)
			(void)poll(&p, 1, w->warm_every_ms);
	} while (e == KMN_E_AGAIN);
	return e;
}

/* Reads until the keeper is gone, which is the good end, or says something that cannot be understood. */
static kmn_err
serve(struct worker *w, struct kmn_pool *pool)
{
	struct kmn_ipc_message message;
	struct job *j;
	kmn_err e;

	while ((e = next_message(w, pool, &message)) == KMN_OK) {
		if (message.fd >= 0)
			close(message.fd); /* none of our messages brings one */
		if ((e = read_message(&message, &j)) != KMN_OK)
			return e;
		find_lane(w, j);
		if ((e = kmn_pool_put(pool, &j->task)) != KMN_OK) {
			job_free(j);
			return e;
		}
	}
	return e == KMN_E_CLOSED ? KMN_OK : e;
}

static kmn_err
work(struct worker *w, const struct kmn_worker_setup *setup, const struct kmn_vendor *vendor)
{
	/* A module that is not safe with threads is called from one: held calls are not here, so nothing is held up. */
	const struct kmn_pool_settings settings = {.threads_max = setup->module.serial ? 1 : THREADS_MAX,
	    .queue_max = QUEUE_MAX,
	    .run = run,
	    .discard = discard,
	    .cookie = w};
	const struct kmn_dispatch_settings dispatch = {
	    .vendor = vendor, .first_handle = setup->first_handle, .handle_step = setup->handle_step};
	struct kmn_spki_maker *maker = NULL;
	struct kmn_pool *pool = NULL;
	kmn_err e;

	if ((e = kmn_spki_maker_new(&maker)) == KMN_OK && (e = kmn_logins_new(&w->logins)) == KMN_OK &&
	    (e = kmn_dispatch_new(&dispatch, maker, &w->dispatch)) == KMN_OK &&
	    (e = kmn_pool_new(&settings, &pool)) == KMN_OK)
		e = serve(w, pool);
	if (pool != NULL && !kmn_pool_stop(pool, END_WAIT_MS)) {
		kmn_say(KMN_SAY_ERROR, "a call of the module does not end: the process ends without it");
		_exit(1);
	}
	kmn_pool_free(pool);
	kmn_dispatch_free(w->dispatch);
	kmn_logins_free(w->logins);
	kmn_spki_maker_free(maker);
	return e;
}

/* ---- watching for slot events ---- */

/*
 * A thread, for the module may block as long as it likes; the process ends
 * without it when the keeper is gone. A module that gives events without end
 * is asked less often.
 */
static void *
wait_for_events(void *cookie)
{
	const struct watch *watch = cookie;
	const struct timespec pause = {.tv_nsec = EVENT_PAUSE_MS * 1000000L};
	struct kmn_writer body;
	CK_SLOT_ID slot;
	CK_RV rv;

	do {
		slot = 0;
		rv = watch->module->C_WaitForSlotEvent == NULL ? CKR_FUNCTION_NOT_SUPPORTED
							       : watch->module->C_WaitForSlotEvent(0, &slot, NULL);
		kmn_writer_init(&body, 64);
		kmn_writer_u64(&body, rv);
		kmn_writer_u64(&body, slot);
		answer(watch->worker, KMN_W_EVENT, &body);
		kmn_writer_clear(&body);
		(void)nanosleep(&pause, NULL);
	} while (rv == CKR_OK);
	return NULL;
}

/* Until the keeper is gone; it has nothing to say to a watching worker. */
static _Noreturn void
watch(struct worker *w, CK_FUNCTION_LIST *module)
{
	struct watch watch = {w, module};
	struct kmn_ipc_message message;
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_for_events, &watch) != 0 || pthread_detach(thread) != 0)
		_exit(1);
	_exit(kmn_ipc_receive(w->ipc, &message) == KMN_E_CLOSED ? 0 : 1);
}

int
kmn_worker_main(const struct kmn_worker_setup *setup)
{
	struct worker w = {.ipc = NULL};
	struct kmn_vendor vendor;
	struct kmn_writer ready;
	kmn_err e;

	if (sodium_init() < 0 || kmn_ipc_new(setup->keeper, 0, &w.ipc) != KMN_OK)
		return 1;
	w.warm_every_ms = setup->keep_warm_ms == 0 ? KEEP_WARM_MS : (int)setup->keep_warm_ms;
	pthread_mutex_init(&w.send_lock, NULL);
	kmn_vendor_open(&setup->module, &vendor);
	kmn_writer_init(&ready, KMN_MESSAGE_MAX_BYTES - 1);
	kmn_vendor_put_ready(&vendor, &ready);
	answer(&w, KMN_W_READY, &ready);
	kmn_writer_clear(&ready);
	if (vendor.ready && setup->watching)
		watch(&w, &vendor.newest.v2_40);
	e = vendor.ready ? work(&w, setup, &vendor) : KMN_E_MODULE;
	if (e != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "%s: %s", kmn_err_text(e), vendor.ready ? "ends" : vendor.description);
	kmn_vendor_close(&vendor);
	pthread_mutex_destroy(&w.send_lock);
	kmn_ipc_free(w.ipc);
	return e == KMN_OK ? 0 : 1;
}
