#include "config.h"

#include "provider/pool_parts.h"

#include <stdlib.h>

#include "provider/debug.h"
#include "provider/wire.h"

#define GOODBYE_MS 2000u

/* A thread that waits for a connection; on its stack. Served in the order of arrival. */
struct kmn_pool_waiter {
	TAILQ_ENTRY(kmn_pool_waiter) link;
	pthread_cond_t news;
	struct kmn_channel *channel; /* what it was given; NULL: the right to make one */
	bool has_room;               /* it counts as busy already: only a connection helps it */
	bool served;                 /* and is in the list no more */
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

/* ---- waiting for one's turn -------------------------------------------------------------------------------------- */

/* Hands out what there is, first come first served. The lock is taken, here and below. */
static void
serve(struct kmn_pool *pool)
{
	struct kmn_pool_waiter *w, *next;

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
	struct kmn_pool_waiter *w;

	TAILQ_FOREACH(w, &pool->waiters, link)
	(void)pthread_cond_signal(&w->news);
}

/* True when it was served; false when all is over, or it is `until_ms`. */
static bool
await(struct kmn_pool *pool, struct kmn_pool_waiter *w, uint64_t until_ms)
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

/* ---- a new one, within the lease --------------------------------------------------------------------------------- */

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
	uint32_t ms = KMN_POOL_CONNECT_MS;

	(void)pthread_mutex_lock(&pool->lock);
	if (pool->down_since_ms != 0 && kmn_now_ms() - pool->down_since_ms >= pool->lease_ms)
		ms = KMN_POOL_AFTER_LEASE_MS;
	(void)pthread_mutex_unlock(&pool->lock);
	return ms;
}

/* Lets some time go by; true with a connection that was given back meanwhile. */
static bool
pause_for_idle(struct kmn_pool *pool, uint32_t pause_ms, struct kmn_channel **channel_out)
{
	struct kmn_pool_waiter w = {.has_room = true};

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
	uint32_t pause_ms = KMN_POOL_PAUSE_LEAST_MS;
	kmn_err e;

	for (;;) {
		e = kmn_pool_join_once(pool, attempt_ms(pool), kmn_wake_fd(pool->ending), channel_out);
		if (!judge(pool, &e))
			return e;
		if (pause_for_idle(pool, pause_ms, channel_out)) {
			if (kmn_pool_is_usable(pool, *channel_out))
				return KMN_OK;
			kmn_pool_discard(pool, *channel_out);
		}
		pause_ms = kmn_least_u32(pause_ms * 2u, KMN_POOL_PAUSE_MOST_MS);
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
	struct kmn_pool_waiter w = {0};
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
		if (kmn_pool_is_usable(pool, *channel_out))
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
	kmn_pool_discard(pool, channel);
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
	quiet = !over && (idle != NULL ? kmn_pool_is_usable(pool, idle)
				       : kmn_now_ms() - atomic_load(&pool->heard_ms) <= KMN_HEARD_MS);
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
	e = kmn_pool_join_once(
	    pool, kmn_least_u32(timeout_ms, KMN_POOL_CONNECT_MS), kmn_wake_fd(pool->ending), channel_out);
	if (e == KMN_E_INSTANCE)
		kmn_pool_lose(pool);
	if (e == KMN_OK && (e = kmn_channel_send(*channel_out, KMN_F_WATCH, NULL, 0, KMN_POOL_CONNECT_MS)) != KMN_OK) {
		kmn_pool_discard(pool, *channel_out);
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
		kmn_pool_discard(pool, channel);
}

/* ---- what is known of it ----------------------------------------------------------------------------------------- */

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
		if (!kmn_pool_is_usable(pool, channel)) {
			kmn_pool_discard(pool, channel);
			channel = NULL;
		}
	}
	if (channel == NULL && !pool->lost && pool->down_since_ms == 0 &&
	    kmn_pool_join_once(pool, GOODBYE_MS, -1, &channel) != KMN_OK)
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
	kmn_pool_discard(pool, channel);
	return settled;
}

void
kmn_pool_free(struct kmn_pool *pool)
{
	if (pool == NULL)
		return;
	while (pool->idle_count > 0)
		kmn_pool_discard(pool, pool->idle[--pool->idle_count]);
	sodium_free(pool->secret);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void
kmn_pool_abandon(struct kmn_pool *pool)
{
	for (size_t i = 0; i < KMN_POOL_SLOTS; i++)
		kmn_channel_abandon(atomic_exchange(&pool->open[i], NULL));
	sodium_memzero(pool->secret, KMN_INSTANCE_SECRET_BYTES);
}
