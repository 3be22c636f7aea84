#include "config.h"

#include "provider/wait.h"

#include "kanmon/reader.h"
#include "provider/debug.h"

kmn_err
kmn_flights_init(struct kmn_flights *f)
{
	*f = (struct kmn_flights){0};
	if (pthread_mutex_init(&f->lock, NULL) != 0)
		return KMN_E_NO_MEMORY;
	if (pthread_cond_init(&f->room, NULL) != 0)
		return KMN_E_NO_MEMORY;
	return kmn_cond_init(&f->news);
}

void
kmn_flights_clear(struct kmn_flights *f, struct kmn_pool *pool)
{
	kmn_pool_unwatch(pool, f->watch);
	f->watch = NULL;
	(void)pthread_cond_destroy(&f->news);
	(void)pthread_cond_destroy(&f->room);
	(void)pthread_mutex_destroy(&f->lock);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static bool
has_room(const struct kmn_flights *f, uint64_t numbers)
{
	uint64_t base = f->lowest != NULL ? f->lowest->number : f->last + 1;

	return f->last + f->admitted + 1 < base + numbers;
}

kmn_err
kmn_flights_admit(struct kmn_flights *f, struct kmn_flight *flight)
{
	kmn_err e;

	(void)pthread_mutex_lock(&f->lock);
	f->queued++;
	while (!f->ended && !has_room(f, KMN_WINDOW_NUMBERS))
		(void)pthread_cond_wait(&f->room, &f->lock);
	f->queued--;
	e = f->ended ? KMN_E_CANCELED : KMN_OK;
	if (e == KMN_OK) {
		flight->admitted = true;
		f->admitted++;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return e;
}

bool
kmn_flights_try_admit(struct kmn_flights *f, struct kmn_flight *flight)
{
	(void)pthread_mutex_lock(&f->lock);
	flight->admitted = !f->ended && has_room(f, KMN_WINDOW_NUMBERS / 2);
	f->admitted += flight->admitted;
	(void)pthread_mutex_unlock(&f->lock);
	return flight->admitted;
}

/* The lock is taken. */
static void
give_up_admission(struct kmn_flights *f, struct kmn_flight *flight)
{
	if (flight->admitted)
		f->admitted--;
	flight->admitted = false;
}

uint64_t
kmn_flights_ask(struct kmn_flights *f, struct kmn_flight *flight)
{
	uint64_t acknowledged;

	(void)pthread_mutex_lock(&f->lock);
	if (flight->number == 0) {
		give_up_admission(f, flight);
		flight->number = ++f->last;
		flight->before = f->highest;
		flight->after = NULL;
		if (f->highest != NULL)
			f->highest->after = flight;
		else
			f->lowest = flight;
		f->highest = flight;
	}
	flight->ready = false;
	flight->generation = f->generation;
	acknowledged = flight->aside ? flight->number : f->lowest->number;
	(void)pthread_mutex_unlock(&f->lock);
	return acknowledged;
}

static void
leave_list(struct kmn_flights *f, struct kmn_flight *flight)
{
	if (flight->before != NULL)
		flight->before->after = flight->after;
	else
		f->lowest = flight->after;
	if (flight->after != NULL)
		flight->after->before = flight->before;
	else
		f->highest = flight->before;
}

/* The lock is taken. */
static void
leave_window(struct kmn_flights *f, struct kmn_flight *flight)
{
	give_up_admission(f, flight);
	if (flight->number != 0 && !flight->aside)
		leave_list(f, flight);
	if (f->queued > 0)
		(void)pthread_cond_broadcast(&f->room);
}

void
kmn_flights_set_aside(struct kmn_flights *f, struct kmn_flight *flight)
{
	(void)pthread_mutex_lock(&f->lock);
	leave_window(f, flight);
	flight->aside = true;
	(void)pthread_mutex_unlock(&f->lock);
}

void
kmn_flights_finish(struct kmn_flights *f, struct kmn_flight *flight)
{
	(void)pthread_mutex_lock(&f->lock);
	leave_window(f, flight);
	(void)pthread_mutex_unlock(&f->lock);
	flight->number = 0;
	flight->aside = false;
}

static void
note_ready(struct kmn_flights *f, uint64_t number)
{
	(void)pthread_mutex_lock(&f->lock);
	for (struct kmn_flight *flight = f->lowest; flight != NULL; flight = flight->after) {
		if (flight->number == number)
			flight->ready = true;
	}
	(void)pthread_mutex_unlock(&f->lock);
	kmn_debug(KMN_TOPIC_WAIT, "call %llu is decided", (unsigned long long)number);
}

/* ---- the leader -------------------------------------------------------------------------------------------------- */

/* KMN_E_AGAIN: there is no watch to be had now, and some time went by. */
static kmn_err
begin_watch(struct kmn_flights *f, struct kmn_pool *pool, const struct kmn_wake *ending, uint64_t until_ms)
{
	uint64_t now = kmn_now_ms(), pause_ms = KMN_ASK_UNWATCHED_MS;
	kmn_err e = kmn_pool_watch(pool, now < until_ms ? until_ms - now : 0, &f->watch);

	if (e == KMN_E_AGAIN) {
		now = kmn_now_ms();
		if (now + pause_ms > until_ms)
			pause_ms = now < until_ms ? until_ms - now : 0;
		kmn_wake_pause(ending, (uint32_t)pause_ms);
	}
	if (e != KMN_OK)
		return e;
	(void)pthread_mutex_lock(&f->lock);
	f->generation++;
	(void)pthread_mutex_unlock(&f->lock);
	return KMN_OK;
}

/* One step: makes the watch, or takes one frame from it. KMN_OK also when time is over. */
static kmn_err
lead(struct kmn_flights *f, struct kmn_pool *pool, const struct kmn_wake *ending, uint64_t until_ms)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;
	uint64_t now = kmn_now_ms(), number = 0;
	kmn_err e;

	if (f->watch == NULL)
		return begin_watch(f, pool, ending, until_ms);
	e = kmn_pool_hear(pool, f->watch, now < until_ms ? (uint32_t)(until_ms - now) : 0, kmn_wake_fd(ending), &frame);
	if (e == KMN_OK && frame.type == KMN_F_NOTICE)
		return KMN_OK;
	if (e == KMN_E_TIMEOUT || e == KMN_E_CANCELED)
		return KMN_OK;
	if (e == KMN_OK && frame.type != KMN_F_READY)
		e = KMN_E_MALFORMED;
	if (e == KMN_OK) {
		kmn_reader_init(&r, frame.body, frame.len_bytes);
		number = kmn_reader_u64(&r);
		e = kmn_reader_end(&r);
	}
	if (e == KMN_OK) {
		note_ready(f, number);
		return KMN_OK;
	}
	kmn_debug(KMN_TOPIC_CHANNEL, "the watching connection broke: %s", kmn_err_text(e));
	kmn_pool_unwatch(pool, f->watch);
	f->watch = NULL;
	return KMN_OK;
}

/* What a thread waits for. */
struct wish {
	const struct kmn_flight *flight; /* NULL: a slot event */
	struct kmn_event_mark mark;
	uint64_t again_ms, deadline_ms;
};

/* Why it need not sleep any more; KMN_E_BUSY when it must. */
static kmn_err
state_of(const struct kmn_flights *f, struct kmn_pool *pool, const struct wish *wish)
{
	uint64_t now = kmn_now_ms();

	if (f->ended)
		return KMN_E_CANCELED;
	if (wish->flight != NULL ? wish->flight->ready || wish->flight->generation != f->generation
				 : wish->mark.generation != f->generation ||
				       wish->mark.events != kmn_pool_notices(pool, KMN_NOTICE_SLOT))
		return KMN_OK;
	if (now >= wish->deadline_ms)
		return KMN_E_TIMEOUT;
	return now >= wish->again_ms ? KMN_OK : KMN_E_BUSY;
}

static kmn_err
wait_for(struct kmn_flights *f, struct kmn_pool *pool, const struct kmn_wake *ending, const struct wish *wish)
{
	uint64_t until_ms = wish->again_ms < wish->deadline_ms ? wish->again_ms : wish->deadline_ms;
	kmn_err e;

	(void)pthread_mutex_lock(&f->lock);
	while ((e = state_of(f, pool, wish)) == KMN_E_BUSY) {
		if (f->leading) {
			kmn_cond_wait_until(&f->news, &f->lock, until_ms);
			continue;
		}
		f->leading = true;
		(void)pthread_mutex_unlock(&f->lock);
		e = lead(f, pool, ending, until_ms);
		(void)pthread_mutex_lock(&f->lock);
		f->leading = false;
		(void)pthread_cond_broadcast(&f->news);
		if (e != KMN_OK)
			break;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return e == KMN_E_AGAIN ? KMN_OK : e;
}

kmn_err
kmn_flights_wait(struct kmn_flights *f, struct kmn_pool *pool, const struct kmn_wake *ending,
    const struct kmn_flight *flight, uint64_t deadline_ms)
{
	struct wish wish = {.flight = flight, .again_ms = kmn_now_ms() + KMN_ASK_EVERY_MS, .deadline_ms = deadline_ms};

	return wait_for(f, pool, ending, &wish);
}

struct kmn_event_mark
kmn_flights_mark(struct kmn_flights *f, struct kmn_pool *pool)
{
	struct kmn_event_mark mark;

	(void)pthread_mutex_lock(&f->lock);
	mark.generation = f->generation;
	(void)pthread_mutex_unlock(&f->lock);
	mark.events = kmn_pool_notices(pool, KMN_NOTICE_SLOT);
	return mark;
}

kmn_err
kmn_flights_wait_event(
    struct kmn_flights *f, struct kmn_pool *pool, const struct kmn_wake *ending, const struct kmn_event_mark *mark)
{
	struct wish wish = {.mark = *mark, .again_ms = kmn_now_ms() + KMN_ASK_EVERY_MS, .deadline_ms = UINT64_MAX};

	return wait_for(f, pool, ending, &wish);
}

void
kmn_flights_end(struct kmn_flights *f)
{
	(void)pthread_mutex_lock(&f->lock);
	f->ended = true;
	(void)pthread_cond_broadcast(&f->news);
	(void)pthread_cond_broadcast(&f->room);
	(void)pthread_mutex_unlock(&f->lock);
}
