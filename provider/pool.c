#include "config.h"

#include "provider/pool.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <unistd.h>

#include "kanmon/reader.h"
#include "kanmon/writer.h"
#include "provider/debug.h"
#include "provider/wire.h"

#define SLOTS (KMN_CLIENT_CONNECTIONS_MAX + 2) /* and the one that watches, and a last one that says goodbye */
#define CONNECT_MS 5000u                       /* one attempt */
#define AFTER_LEASE_MS 1000u /* one attempt when the lease is over: nobody waits long for what is gone */
#define ANSWER_MS 10000u     /* ATTACHED and JOINED */
#define GOODBYE_MS 2000u
#define NAME_BYTES sodium_base64_ENCODED_LEN(KMN_INSTANCE_ID_BYTES, sodium_base64_VARIANT_ORIGINAL)
#define PAUSE_LEAST_MS 50u
#define PAUSE_MOST_MS 2000u

/* A thread that waits for a connection; on its stack. Served in the order of arrival. */
struct waiter {
	TAILQ_ENTRY(waiter) link;
	pthread_cond_t news;
	struct kmn_channel *channel; /* what it was given; NULL: the right to make one */
	bool has_room;               /* it counts as busy already: only a connection helps it */
	bool served;                 /* and is in the list no more */
};

struct kmn_pool {
	const struct kmn_client_settings *settings; /* set once */
	const struct kmn_wake *ending;              /* set once */
	struct kmn_channel_identity *identity;      /* set once, borrowed */
	struct kmn_book *receipts;                  /* set once, borrowed */
	uint8_t instance[KMN_INSTANCE_ID_BYTES];    /* set by attach */
	char name[NAME_BYTES];                      /* the same as the ledger writes it */
	uint8_t *secret;                            /* sodium_malloc; set by attach */
	uint32_t lease_ms;                          /* set by attach */
	_Atomic(struct kmn_channel *) open[SLOTS];  /* all there are, for a forked child to close */
	struct kmn_trail *trail[SLOTS];             /* of each, with the thread that has it */
	atomic_uint notices[KMN_NOTICE_STATE + 1];  /* by kind: how many came */
	atomic_uint_fast64_t heard_ms;              /* last frame of the gateway */
	pthread_mutex_t lock;                       /* guards what is below */
	TAILQ_HEAD(, waiter) waiters;
	struct kmn_channel *idle[KMN_CLIENT_CONNECTIONS_MAX];
	size_t idle_count;
	size_t busy; /* taken or being made, for calls; busy + idle_count <= connections */
	bool lost;
	bool ended;
	uint64_t down_since_ms; /* first failure to connect since the last success; 0: none */
};

kmn_err
kmn_pool_new(const struct kmn_pool_parts *parts, struct kmn_pool **pool_out)
{
	struct kmn_pool *pool = calloc(1, sizeof(*pool));
	kmn_err e = KMN_E_NO_MEMORY;

	*pool_out = NULL;
	if (pool == NULL)
		return e;
	pool->settings = parts->settings;
	pool->identity = parts->identity;
	pool->receipts = parts->receipts;
	pool->ending = parts->ending;
	TAILQ_INIT(&pool->waiters);
	(void)pthread_mutex_init(&pool->lock, NULL);
	if (sodium_init() < 0 || (pool->secret = sodium_malloc(KMN_INSTANCE_SECRET_BYTES)) == NULL) {
		kmn_pool_free(pool);
		return e;
	}
	*pool_out = pool;
	return KMN_OK;
}

/* ---- one connection ---------------------------------------------------------------------------------------------- */

static void
enlist(struct kmn_pool *pool, struct kmn_channel *channel, struct kmn_trail *trail)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct kmn_channel *none = NULL;

		if (atomic_compare_exchange_strong(&pool->open[i], &none, channel)) {
			pool->trail[i] = trail;
			return;
		}
	}
}

struct kmn_trail *
kmn_pool_trail(struct kmn_pool *pool, const struct kmn_channel *channel)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (atomic_load(&pool->open[i]) == channel)
			return pool->trail[i];
	return NULL;
}

/* Out of the list first: a child forked in between leaves a descriptor open, but never touches freed memory. */
static void
discard(struct kmn_pool *pool, struct kmn_channel *channel)
{
	struct kmn_trail *trail = NULL;

	for (size_t i = 0; i < SLOTS; i++) {
		if (atomic_load(&pool->open[i]) != channel)
			continue;
		trail = pool->trail[i];
		pool->trail[i] = NULL; /* before the slot is another's */
		atomic_store(&pool->open[i], NULL);
		break;
	}
	kmn_trail_unref(trail);
	kmn_channel_close(channel);
}

/* Connects; the failure is told to those who debug. */
static kmn_err
connect_one(struct kmn_pool *pool, uint32_t timeout_ms, int interrupt_fd, struct kmn_channel **channel_out)
{
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	struct kmn_trail *trail = kmn_trail_new();
	kmn_err e = KMN_E_NO_MEMORY;

	*channel_out = NULL;
	if (trail != NULL)
		e = kmn_channel_open(pool->identity, timeout_ms, interrupt_fd, why, channel_out);
	if (e == KMN_OK)
		enlist(pool, *channel_out, trail);
	else
		kmn_trail_unref(trail);
	if (e != KMN_OK && e != KMN_E_CANCELED)
		kmn_debug(KMN_TOPIC_CHANNEL, "%s: %s", kmn_err_text(e), why);
	return e;
}

/* Counts a NOTICE. */
static void
note(struct kmn_pool *pool, const struct kmn_channel_frame *frame)
{
	struct kmn_reader r;
	uint64_t slot;
	uint8_t kind;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	kind = kmn_reader_u8(&r);
	slot = kmn_reader_u64(&r);
	kmn_debug(KMN_TOPIC_CHANNEL, "notice %u of slot %lld", kind, (long long)slot);
	if (kind < KMN_COUNT_OF(pool->notices)) /* a kind that a later gateway knows */
		atomic_fetch_add(&pool->notices[kind], 1);
}

kmn_err
kmn_pool_hear(struct kmn_pool *pool, struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd,
    struct kmn_channel_frame *frame_out)
{
	kmn_err e = kmn_channel_receive(channel, timeout_ms, interrupt_fd, frame_out);

	if (e == KMN_OK)
		atomic_store(&pool->heard_ms, kmn_now_ms());
	if (e == KMN_OK && frame_out->type == KMN_F_NOTICE)
		note(pool, frame_out);
	return e;
}

kmn_err
kmn_pool_receive(struct kmn_pool *pool, struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd,
    struct kmn_channel_frame *frame_out)
{
	uint64_t until_ms = kmn_now_ms() + timeout_ms, now;
	kmn_err e;

	do {
		now = kmn_now_ms();
		if (timeout_ms != UINT32_MAX)
			timeout_ms = now < until_ms ? (uint32_t)(until_ms - now) : 0;
		e = kmn_pool_hear(pool, channel, timeout_ms, interrupt_fd, frame_out);
	} while (e == KMN_OK && frame_out->type == KMN_F_NOTICE);
	return e;
}

unsigned
kmn_pool_notices(struct kmn_pool *pool, enum kmn_notice kind)
{
	return atomic_load(&pool->notices[kind]);
}

/* Whether an idle connection can be used: nothing waits in it, or nothing but notices. */
static bool
is_usable(struct kmn_pool *pool, struct kmn_channel *channel)
{
	struct kmn_channel_frame frame;

	return kmn_channel_alive(channel) || kmn_pool_receive(pool, channel, 0, -1, &frame) == KMN_E_TIMEOUT;
}

/* What a REFUSED frame says, told to those who debug. */
static kmn_err
refusal(const struct kmn_channel_frame *frame)
{
	struct kmn_reader r;
	char reason[KMN_FRAME_TEXT_MAX_BYTES + 1];
	uint32_t code;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	(void)kmn_reader_u64(&r);
	code = kmn_reader_u32(&r);
	(void)kmn_reader_u64(&r);
	kmn_reader_text(&r, reason, sizeof(reason));
	if (kmn_reader_end(&r) != KMN_OK || code == KMN_OK || code >= KMN_ERR_COUNT)
		return KMN_E_MALFORMED;
	kmn_debug(KMN_TOPIC_CHANNEL, "the gateway refuses: %s", reason);
	return (kmn_err)code;
}

/* Sends the first frame of a connection and takes its answer, which must be of the type `want`. */
static kmn_err
introduce(struct kmn_pool *pool, struct kmn_channel *channel, uint8_t type, const struct kmn_writer *w,
    int interrupt_fd, uint8_t want, uint32_t timeout_ms, struct kmn_channel_frame *frame_out)
{
	kmn_err e = w->err;

	if (e == KMN_OK)
		e = kmn_channel_send(channel, type, w->bytes, w->len, timeout_ms);
	if (e == KMN_OK)
		e = kmn_pool_receive(pool, channel, timeout_ms, interrupt_fd, frame_out);
	if (e == KMN_OK && frame_out->type == KMN_F_REFUSED)
		return refusal(frame_out);
	if (e == KMN_OK && frame_out->type != want)
		e = KMN_E_MALFORMED;
	if (e != KMN_OK && e != KMN_E_CANCELED)
		kmn_debug(KMN_TOPIC_CHANNEL, "%s: %s: %s", kmn_channel_peer(channel), kmn_err_text(e),
		    kmn_channel_why(channel));
	return e;
}

/* ---- attach ------------------------------------------------------------------------------------------------------ */

/* What this process knows of the ledger: the head that it names, and for ATTACH its own signature over that. */
static void
put_head(struct kmn_pool *pool, const struct kmn_channel *channel, struct kmn_writer *w, bool attaches)
{
	char line[KMN_FRAME_TEXT_MAX_BYTES], vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_seen named;

	kmn_receipts_name(pool->receipts, kmn_pool_trail(pool, channel), &named);
	if (attaches)
		kmn_writer_u8(w, kmn_receipts_mode(pool->receipts));
	kmn_writer_bytes(w, named.note, named.note_len);
	if (!attaches)
		return;
	kmn_receipts_cosignature(pool->receipts, &named, line, sizeof(line), vkey);
	kmn_writer_text(w, line);
	kmn_writer_text(w, vkey);
}

/* The end of ATTACHED and JOINED: the connection's number in the ledger, and the head it begins with. */
static kmn_err
take_head(struct kmn_pool *pool, const struct kmn_channel *channel, struct kmn_reader *r)
{
	uint64_t number = kmn_reader_u64(r);
	const uint8_t *receipt;
	size_t len = kmn_reader_bytes(r, KMN_RECEIPT_MAX_BYTES, &receipt);
	kmn_err e = kmn_reader_end(r);

	if (e == KMN_OK)
		e = kmn_receipts_greet(pool->receipts, kmn_pool_trail(pool, channel), number, receipt, len);
	return e;
}

static void
put_attach(struct kmn_writer *w, const uint8_t client_random[32], uint64_t first_handle)
{
	static const uint16_t one = 1;
	char host[256] = "";
	uint8_t little_endian;

	memcpy(&little_endian, &one, 1);
	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	kmn_writer_u16(w, KMN_FRAME_VERSION);
	kmn_writer_u8(w, sizeof(CK_ULONG));
	kmn_writer_u8(w, little_endian);
	kmn_writer_u8(w, sizeof(CK_MECHANISM) != 3 * sizeof(CK_ULONG) ? 1 : 0);
	kmn_writer_text(w, PACKAGE_STRING);
	kmn_writer_text(w, host);
	kmn_writer_raw(w, client_random, 32);
	kmn_writer_u64(w, first_handle);
}

static kmn_err
take_attached(struct kmn_pool *pool, struct kmn_channel *channel, const struct kmn_channel_frame *frame,
    const uint8_t client_random[32])
{
	struct kmn_reader r;
	uint8_t gateway_random[32];
	char origin[KMN_FRAME_TEXT_MAX_BYTES + 1];
	uint16_t version;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	version = kmn_reader_u16(&r);
	kmn_reader_raw(&r, pool->instance, sizeof(pool->instance));
	kmn_reader_raw(&r, gateway_random, sizeof(gateway_random));
	pool->lease_ms = kmn_reader_u32(&r);
	kmn_reader_text(&r, origin, sizeof(origin));
	if (r.err != KMN_OK)
		return r.err;
	if (version != KMN_FRAME_VERSION || strcmp(origin, pool->settings->origin) != 0) {
		kmn_debug(KMN_TOPIC_CONFIG, "the gateway's origin is %s, the configuration says %s", origin,
		    pool->settings->origin);
		return KMN_E_PEER;
	}
	kmn_instance_secret(gateway_random, client_random, kmn_channel_exporter(channel), pool->secret);
	return take_head(pool, channel, &r);
}

static kmn_err
attach_once(struct kmn_pool *pool, uint64_t first_handle, uint32_t connect_ms, uint32_t answer_ms)
{
	int interrupt_fd = kmn_wake_fd(pool->ending);
	uint8_t client_random[32];
	struct kmn_channel_frame frame;
	struct kmn_channel *channel = NULL;
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	if (getrandom(client_random, sizeof(client_random), 0) != (ssize_t)sizeof(client_random)) {
		e = KMN_E_INTERNAL;
		goto done;
	}
	if ((e = connect_one(pool, connect_ms, interrupt_fd, &channel)) != KMN_OK)
		goto done;
	put_attach(&w, client_random, first_handle);
	put_head(pool, channel, &w, true);
	if ((e = introduce(pool, channel, KMN_F_ATTACH, &w, interrupt_fd, KMN_F_ATTACHED, answer_ms, &frame)) !=
		KMN_OK ||
	    (e = take_attached(pool, channel, &frame, client_random)) != KMN_OK)
		goto done;
	(void)sodium_bin2base64(
	    pool->name, sizeof(pool->name), pool->instance, sizeof(pool->instance), sodium_base64_VARIANT_ORIGINAL);
	kmn_debug(KMN_TOPIC_CHANNEL, "attached at %s, instance %s", kmn_channel_peer(channel), pool->name);
	pool->idle[pool->idle_count++] = channel;
	channel = NULL;
done:
	if (channel != NULL)
		discard(pool, channel);
	kmn_writer_clear(&w);
	return e;
}

static uint32_t
least_u32(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

/* A failure that another attempt may not meet. */
static bool
is_passing(kmn_err e)
{
	return e == KMN_E_UNREACHABLE || e == KMN_E_CLOSED || e == KMN_E_TIMEOUT || e == KMN_E_IO || e == KMN_E_BUSY;
}

kmn_err
kmn_pool_attach(struct kmn_pool *pool, uint64_t first_handle)
{
	uint64_t start = kmn_now_ms(), wait_ms = (uint64_t)pool->settings->init_wait_s * 1000u, gone = 0;
	uint32_t pause_ms = PAUSE_LEAST_MS;
	kmn_err e;

	for (;;) {
		uint64_t left = wait_ms - gone;

		/* a short init-wait is for a gateway that is not there; one that is may need to start its worker */
		e = attach_once(pool, first_handle,
		    left < AFTER_LEASE_MS ? AFTER_LEASE_MS : least_u32(left, CONNECT_MS),
		    left < ANSWER_MS ? ANSWER_MS : (uint32_t)left);
		gone = kmn_now_ms() - start;
		if (!is_passing(e) || gone + pause_ms > wait_ms)
			return e;
		kmn_wake_pause(pool->ending, pause_ms);
		gone = kmn_now_ms() - start;
		if (gone > wait_ms)
			return e;
		pause_ms = least_u32(pause_ms * 2u, PAUSE_MOST_MS);
	}
}

/* ---- waiting for one's turn -------------------------------------------------------------------------------------- */

/* Hands out what there is, first come first served. The lock is taken, here and below. */
static void
serve(struct kmn_pool *pool)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&pool->waiters); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (pool->idle_count == 0 &&
		    (w->has_room || pool->busy + pool->idle_count >= pool->settings->connections))
			continue;
		if (pool->idle_count > 0)
			w->channel = pool->idle[--pool->idle_count];
		if (!w->has_room)
			pool->busy++;
		w->served = true;
		TAILQ_REMOVE(&pool->waiters, w, link);
		(void)pthread_cond_signal(&w->news);
	}
}

/* Lost or ended: nobody needs to wait any more. */
static void
tell_all(struct kmn_pool *pool)
{
	struct waiter *w;

	TAILQ_FOREACH(w, &pool->waiters, link)
	(void)pthread_cond_signal(&w->news);
}

/* True when it was served; false when all is over, or it is `until_ms`. */
static bool
await(struct kmn_pool *pool, struct waiter *w, uint64_t until_ms)
{
	if (pool->ended || pool->lost || kmn_cond_init(&w->news) != KMN_OK)
		return false;
	TAILQ_INSERT_TAIL(&pool->waiters, w, link);
	serve(pool);
	while (!w->served && !pool->ended && !pool->lost && kmn_now_ms() < until_ms) {
		if (until_ms == UINT64_MAX)
			(void)pthread_cond_wait(&w->news, &pool->lock);
		else
			kmn_cond_wait_until(&w->news, &pool->lock, until_ms);
	}
	if (!w->served)
		TAILQ_REMOVE(&pool->waiters, w, link);
	(void)pthread_cond_destroy(&w->news);
	return w->served;
}

/* ---- join -------------------------------------------------------------------------------------------------------- */

static kmn_err
join_once(struct kmn_pool *pool, uint32_t timeout_ms, int interrupt_fd, struct kmn_channel **channel_out)
{
	uint8_t proof[KMN_HASH_BYTES];
	struct kmn_channel_frame frame;
	struct kmn_channel *channel;
	struct kmn_writer w;
	struct kmn_reader r;
	kmn_err e;

	*channel_out = NULL;
	if ((e = connect_one(pool, timeout_ms, interrupt_fd, &channel)) != KMN_OK)
		return e;
	kmn_join_proof(pool->secret, kmn_channel_exporter(channel), proof);
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, pool->instance, sizeof(pool->instance));
	kmn_writer_raw(&w, proof, sizeof(proof));
	put_head(pool, channel, &w, false);
	e = introduce(pool, channel, KMN_F_JOIN, &w, interrupt_fd, KMN_F_JOINED, ANSWER_MS, &frame);
	kmn_writer_clear(&w);
	if (e == KMN_OK) {
		kmn_reader_init(&r, frame.body, frame.len_bytes);
		(void)kmn_reader_u64(&r); /* the highest number seen */
		e = take_head(pool, channel, &r);
	}
	if (e != KMN_OK) {
		discard(pool, channel);
		return e;
	}
	kmn_debug(KMN_TOPIC_CHANNEL, "joined at %s", kmn_channel_peer(channel));
	*channel_out = channel;
	return KMN_OK;
}

/*
 * Notes how an attempt ended. True when the caller shall try again: it failed,
 * and the lease, counted from the first failure, is not over.
 */
static bool
judge(struct kmn_pool *pool, kmn_err *e)
{
	uint64_t now;
	bool again = false;

	(void)pthread_mutex_lock(&pool->lock);
	now = kmn_now_ms(); /* under the lock: not before what another thread noted */
	if (*e == KMN_OK) {
		pool->down_since_ms = 0;
	} else if (*e == KMN_E_INSTANCE) {
		pool->lost = true;
		tell_all(pool);
	} else if (*e != KMN_E_CANCELED && *e != KMN_E_NO_MEMORY && *e != KMN_E_RECEIPT) {
		if (pool->down_since_ms == 0)
			pool->down_since_ms = now;
		again = !pool->ended && now - pool->down_since_ms < pool->lease_ms;
		*e = pool->ended ? KMN_E_CANCELED : KMN_E_UNREACHABLE;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return again;
}

static uint32_t
attempt_ms(struct kmn_pool *pool)
{
	uint32_t ms = CONNECT_MS;

	(void)pthread_mutex_lock(&pool->lock);
	if (pool->down_since_ms != 0 && kmn_now_ms() - pool->down_since_ms >= pool->lease_ms)
		ms = AFTER_LEASE_MS;
	(void)pthread_mutex_unlock(&pool->lock);
	return ms;
}

/* Lets some time go by; true with a connection that was given back meanwhile. */
static bool
pause_for_idle(struct kmn_pool *pool, uint32_t pause_ms, struct kmn_channel **channel_out)
{
	struct waiter w = {.has_room = true};

	(void)pthread_mutex_lock(&pool->lock);
	(void)await(pool, &w, kmn_now_ms() + pause_ms);
	(void)pthread_mutex_unlock(&pool->lock);
	*channel_out = w.channel;
	return w.channel != NULL;
}

/* A new connection, or one that comes back meanwhile, tried for within the lease. */
static kmn_err
join(struct kmn_pool *pool, struct kmn_channel **channel_out)
{
	uint32_t pause_ms = PAUSE_LEAST_MS;
	kmn_err e;

	for (;;) {
		e = join_once(pool, attempt_ms(pool), kmn_wake_fd(pool->ending), channel_out);
		if (!judge(pool, &e))
			return e;
		if (pause_for_idle(pool, pause_ms, channel_out)) {
			if (is_usable(pool, *channel_out))
				return KMN_OK;
			discard(pool, *channel_out);
		}
		pause_ms = least_u32(pause_ms * 2u, PAUSE_MOST_MS);
	}
}

/* ---- take and give ----------------------------------------------------------------------------------------------- */

/*
 * Waits for an idle connection or for the right to make one: KMN_OK with
 * *channel_out, or without it when a new one is due. Either way it counts as
 * busy from here on.
 */
static kmn_err
reserve(struct kmn_pool *pool, struct kmn_channel **channel_out)
{
	struct waiter w = {0};
	kmn_err e = KMN_OK;

	(void)pthread_mutex_lock(&pool->lock);
	if (!await(pool, &w, UINT64_MAX))
		e = pool->ended ? KMN_E_CANCELED : pool->lost ? KMN_E_INSTANCE : KMN_E_NO_MEMORY;
	(void)pthread_mutex_unlock(&pool->lock);
	*channel_out = w.channel;
	return e;
}

static void
release(struct kmn_pool *pool, struct kmn_channel *idle)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->busy--;
	if (idle != NULL) {
		pool->idle[pool->idle_count++] = idle;
		pool->down_since_ms = 0; /* it answered just now */
	}
	serve(pool);
	(void)pthread_mutex_unlock(&pool->lock);
}

kmn_err
kmn_pool_take(struct kmn_pool *pool, struct kmn_channel **channel_out)
{
	kmn_err e;

	while ((e = reserve(pool, channel_out)) == KMN_OK) {
		if (*channel_out == NULL) {
			if ((e = join(pool, channel_out)) != KMN_OK)
				release(pool, NULL);
			return e;
		}
		if (is_usable(pool, *channel_out))
			return KMN_OK;
		kmn_debug(KMN_TOPIC_CHANNEL, "an idle connection is gone");
		kmn_pool_drop(pool, *channel_out);
	}
	return e;
}

void
kmn_pool_give(struct kmn_pool *pool, struct kmn_channel *channel)
{
	release(pool, channel);
}

void
kmn_pool_drop(struct kmn_pool *pool, struct kmn_channel *channel)
{
	discard(pool, channel);
	release(pool, NULL);
}

bool
kmn_pool_look(struct kmn_pool *pool, unsigned notices_out[KMN_NOTICE_STATE + 1])
{
	struct kmn_channel *idle = NULL;
	bool over, quiet;

	(void)pthread_mutex_lock(&pool->lock);
	over = pool->lost || pool->ended;
	if (!over && pool->idle_count > 0) {
		idle = pool->idle[--pool->idle_count];
		pool->busy++;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	quiet = !over &&
		(idle != NULL ? is_usable(pool, idle) : kmn_now_ms() - atomic_load(&pool->heard_ms) <= KMN_HEARD_MS);
	if (idle != NULL && quiet)
		kmn_pool_give(pool, idle);
	else if (idle != NULL)
		kmn_pool_drop(pool, idle);
	for (unsigned i = 0; i <= KMN_NOTICE_STATE; i++)
		notices_out[i] = atomic_load(&pool->notices[i]);
	return quiet;
}

kmn_err
kmn_pool_watch(struct kmn_pool *pool, uint64_t timeout_ms, struct kmn_channel **channel_out)
{
	kmn_err e;

	*channel_out = NULL;
	e = join_once(pool, least_u32(timeout_ms, CONNECT_MS), kmn_wake_fd(pool->ending), channel_out);
	if (e == KMN_E_INSTANCE)
		kmn_pool_lose(pool);
	if (e == KMN_OK && (e = kmn_channel_send(*channel_out, KMN_F_WATCH, NULL, 0, CONNECT_MS)) != KMN_OK) {
		discard(pool, *channel_out);
		*channel_out = NULL;
	}
	return e == KMN_OK || e == KMN_E_INSTANCE || e == KMN_E_CANCELED || e == KMN_E_RECEIPT || e == KMN_E_NO_MEMORY
		   ? e
		   : KMN_E_AGAIN;
}

void
kmn_pool_unwatch(struct kmn_pool *pool, struct kmn_channel *channel)
{
	if (channel != NULL)
		discard(pool, channel);
}

void
kmn_pool_end(struct kmn_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->ended = true;
	tell_all(pool);
	(void)pthread_mutex_unlock(&pool->lock);
}

void
kmn_pool_lose(struct kmn_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->lost = true;
	tell_all(pool);
	(void)pthread_mutex_unlock(&pool->lock);
}

bool
kmn_pool_is_lost(struct kmn_pool *pool)
{
	bool lost;

	(void)pthread_mutex_lock(&pool->lock);
	lost = pool->lost;
	(void)pthread_mutex_unlock(&pool->lock);
	return lost;
}

const char *
kmn_pool_name(const struct kmn_pool *pool)
{
	return pool->name;
}

uint32_t
kmn_pool_lease_ms(const struct kmn_pool *pool)
{
	return pool->lease_ms;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* The last connection: one that is there, or where it can be had at once another. NULL: none. */
static struct kmn_channel *
last_channel(struct kmn_pool *pool)
{
	struct kmn_channel *channel = NULL;

	while (channel == NULL && pool->idle_count > 0) {
		channel = pool->idle[--pool->idle_count];
		if (!is_usable(pool, channel)) {
			discard(pool, channel);
			channel = NULL;
		}
	}
	if (channel == NULL && !pool->lost && pool->down_since_ms == 0 &&
	    join_once(pool, GOODBYE_MS, -1, &channel) != KMN_OK)
		channel = NULL;
	return channel;
}

kmn_err
kmn_pool_detach(struct kmn_pool *pool)
{
	struct kmn_channel *channel = last_channel(pool);
	struct kmn_wire wire = {.pool = pool, .channel = channel, .interrupt_fd = -1};
	kmn_err settled = kmn_receipts_finish(pool->receipts, channel != NULL ? &wire : NULL), e;
	struct kmn_channel_frame frame;

	if (channel == NULL)
		return settled;
	e = kmn_receipts_complain(pool->receipts, &wire);
	if (e == KMN_OK)
		e = kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, GOODBYE_MS);
	if (e == KMN_OK)
		e = kmn_pool_receive(pool, channel, GOODBYE_MS, -1, &frame);
	if (e != KMN_OK)
		kmn_debug(KMN_TOPIC_CHANNEL, "detach: %s", kmn_err_text(e));
	discard(pool, channel);
	return settled;
}

void
kmn_pool_free(struct kmn_pool *pool)
{
	if (pool == NULL)
		return;
	while (pool->idle_count > 0)
		discard(pool, pool->idle[--pool->idle_count]);
	sodium_free(pool->secret);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void
kmn_pool_abandon(struct kmn_pool *pool)
{
	for (size_t i = 0; i < SLOTS; i++)
		kmn_channel_abandon(atomic_exchange(&pool->open[i], NULL));
	sodium_memzero(pool->secret, KMN_INSTANCE_SECRET_BYTES);
}
