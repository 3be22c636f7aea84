/*
 * The calls under way: their numbers, and the waiting of those that are held
 * until a quorum has decided.
 *
 * A held call occupies no connection. Its thread waits for READY on one
 * connection that all waiting threads share: one of them (the leader) reads
 * it, the others sleep; when the leader's wait is over another one leads.
 * Nobody else reads it, so the provider needs no thread of its own.
 *
 *   started --CALL sent--> asked --HELD--> waiting --READY, or a newer watch--> asked ...
 *                            |                |
 *                            +--REPLY,        +--quorum-wait is over: END_WAIT--> REPLY --> ended
 *                               REFUSED--> ended
 *
 * A READY may be sent while nobody watches. So a call may sleep only if it was
 * asked for after the watch began (`generation`); otherwise it asks again. The
 * same, every KMN_ASK_EVERY_MS, makes up for a READY that was lost any other way;
 * and every KMN_ASK_UNWATCHED_MS for a watch that cannot be had, be it that the
 * gateway is gone, which the asking finds out, or that it gives no more connections.
 *
 * C_WaitForSlotEvent waits by the same watch, for a NOTICE, and without a number
 * of its own: it may wait for ever, and the window below would wait with it.
 *
 * The gateway's replay window is KMN_WINDOW_NUMBERS wide: a number that falls
 * behind it cannot be asked for again. So a new call is admitted only while its
 * number stays within the window of the lowest one without answer. It is
 * admitted before it takes a connection, which the lowest may need.
 *
 * Invariants: a number is given once, and stands for one request's bytes; the
 * list is in order of numbers, so its head is the lowest number without answer
 * but for those that were set aside;
 * last + admitted < head + KMN_WINDOW_NUMBERS; only the leader reads, opens or
 * closes the watch.
 */
#ifndef KANMON_PROVIDER_WAIT_H
#define KANMON_PROVIDER_WAIT_H

#include <pthread.h>

#include "provider/pool.h"

#define KMN_ASK_EVERY_MS 20000u
#define KMN_ASK_UNWATCHED_MS 1000u

/* One call under way; on the stack of its thread. */
struct kmn_flight {
	bool admitted;       /* and has no number yet */
	uint64_t number;     /* 0 before it has one */
	bool aside;          /* the gateway left it aside (PARK): in no list, and no number waits for it */
	uint64_t generation; /* of the watch when its CALL was last sent */
	bool ready;          /* READY came since then */
	struct kmn_flight *before, *after; /* lower and higher numbers */
};

struct kmn_flights {
	pthread_mutex_t lock; /* guards all but watch, and the flights in the list */
	pthread_cond_t news;  /* something came for a waiting call, or the leader left */
	pthread_cond_t room;  /* the window may have moved */
	uint64_t last;        /* highest number given */
	uint64_t admitted;    /* calls that will take a number */
	size_t queued;        /* threads that wait to be admitted */
	struct kmn_flight *lowest, *highest;
	uint64_t generation; /* watches made so far */
	bool leading;        /* a thread is the leader */
	bool ended;
	struct kmn_channel *watch; /* the leader's */
};

kmn_err kmn_flights_init(struct kmn_flights *f) KMN_MUST_CHECK;
/* When no call is under way. */
void kmn_flights_clear(struct kmn_flights *f, struct kmn_pool *pool);

/* Before a connection is taken for a call without a number: waits for its place in the window, or KMN_E_CANCELED. */
kmn_err kmn_flights_admit(struct kmn_flights *f, struct kmn_flight *flight) KMN_MUST_CHECK;
/* The same without waiting, for a call that may be left out: false when the window is half full. */
bool kmn_flights_try_admit(struct kmn_flights *f, struct kmn_flight *flight) KMN_MUST_CHECK;
/* Before CALL is sent, each time: gives a number to a flight without one, and the `acknowledged` that goes with it. */
uint64_t kmn_flights_ask(struct kmn_flights *f, struct kmn_flight *flight);
/* The gateway knows the call apart from the window: others need not wait for it. */
void kmn_flights_set_aside(struct kmn_flights *f, struct kmn_flight *flight);
/* The call has its answer, or never will. */
void kmn_flights_finish(struct kmn_flights *f, struct kmn_flight *flight);

/*
 * Waits after HELD. KMN_OK: send CALL again; KMN_E_TIMEOUT: `deadline_ms` is
 * over; KMN_E_CANCELED: C_Finalize; KMN_E_INSTANCE, KMN_E_NO_MEMORY.
 */
kmn_err kmn_flights_wait(struct kmn_flights *f, struct kmn_pool *pool, const struct kmn_wake *ending,
    const struct kmn_flight *flight, uint64_t deadline_ms) KMN_MUST_CHECK;

/*
 * A point in time that a question about slot events is asked after: take the
 * mark, ask, and if there was none wait from the mark on. KMN_OK: ask again.
 * KMN_E_CANCELED: C_Finalize; KMN_E_INSTANCE, KMN_E_NO_MEMORY.
 */
struct kmn_event_mark {
	uint64_t generation; /* of the watch: a new one may have missed a notice */
	unsigned events;
};
struct kmn_event_mark kmn_flights_mark(struct kmn_flights *f, struct kmn_pool *pool);
kmn_err kmn_flights_wait_event(struct kmn_flights *f, struct kmn_pool *pool, const struct kmn_wake *ending,
    const struct kmn_event_mark *mark) KMN_MUST_CHECK;

/* C_Finalize: ends all waits. `ending` was raised before, so that the leader notices. */
void kmn_flights_end(struct kmn_flights *f);

#endif
