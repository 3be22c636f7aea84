/*
 * What the files of the pool share: pool_connection.c one connection and its frames, pool_attach.c how it introduces itself,
 * pool.c who gets one.
 */
#ifndef KANMON_PROVIDER_POOL_PARTS_H
#define KANMON_PROVIDER_POOL_PARTS_H

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "kanmon/writer.h"
#include "provider/pool.h"

#define KMN_POOL_SLOTS (KMN_CLIENT_CONNECTIONS_MAX + 2) /* and the one that watches, and a last one that says goodbye */
#define KMN_POOL_CONNECT_MS 5000u                       /* one attempt */
#define KMN_POOL_AFTER_LEASE_MS 1000u /* one attempt when the lease is over: nobody waits long for what is gone */
#define KMN_POOL_ANSWER_MS 10000u     /* ATTACHED and JOINED */
#define KMN_POOL_NAME_BYTES sodium_base64_ENCODED_LEN(KMN_INSTANCE_ID_BYTES, sodium_base64_VARIANT_ORIGINAL)
#define KMN_POOL_PAUSE_LEAST_MS 50u
#define KMN_POOL_PAUSE_MOST_MS 2000u

struct kmn_pool_waiter;

struct kmn_pool {
	const struct kmn_client_settings *settings;         /* set once */
	const struct kmn_wake *ending;                      /* set once */
	struct kmn_channel_identity *identity;              /* set once, borrowed */
	struct kmn_book *receipts;                          /* set once, borrowed */
	uint8_t instance[KMN_INSTANCE_ID_BYTES];            /* set by attach */
	char name[KMN_POOL_NAME_BYTES];                     /* the same as the ledger writes it */
	uint8_t *secret;                                    /* sodium_malloc; set by attach */
	uint32_t lease_ms;                                  /* set by attach */
	_Atomic(struct kmn_channel *) open[KMN_POOL_SLOTS]; /* all there are, for a forked child to close */
	struct kmn_trail *trail[KMN_POOL_SLOTS];            /* of each, with the thread that has it */
	atomic_uint notices[KMN_NOTICE_STATE + 1];          /* by kind: how many came */
	atomic_uint_fast64_t heard_ms;                      /* last frame of the gateway */
	pthread_mutex_t lock;                               /* guards what is below */
	TAILQ_HEAD(, kmn_pool_waiter) waiters;
	struct kmn_channel *idle[KMN_CLIENT_CONNECTIONS_MAX];
	size_t idle_count;
	size_t busy; /* taken or being made, for calls; busy + idle_count <= connections */
	bool lost;
	bool ended;
	uint64_t down_since_ms; /* first failure to connect since the last success; 0: none */
};

static inline uint32_t
kmn_least_u32(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

/* ---- pool_connection.c ------------------------------------------------------------------------------------------- */

/* Connects; the failure is told to those who debug. */
kmn_err kmn_pool_connect(
    struct kmn_pool *pool, uint32_t timeout_ms, int interrupt_fd, struct kmn_channel **channel_out);
/* Out of the list first: a child forked in between leaves a descriptor open, but never touches freed memory. */
void kmn_pool_discard(struct kmn_pool *pool, struct kmn_channel *channel);
/* Whether an idle connection can be used: nothing waits in it, or nothing but notices. */
bool kmn_pool_is_usable(struct kmn_pool *pool, struct kmn_channel *channel);
/* Sends the first frame of a connection and takes its answer, which must be of the type `want`. */
kmn_err kmn_pool_introduce(struct kmn_pool *pool, struct kmn_channel *channel, uint8_t type, const struct kmn_writer *w,
    int interrupt_fd, uint8_t want, uint32_t timeout_ms, struct kmn_channel_frame *frame_out);

/* ---- pool_attach.c ----------------------------------------------------------------------------------------------- */

/* One connection more for an application that is attached: one attempt. Nothing is taken or counted. */
kmn_err kmn_pool_join_once(
    struct kmn_pool *pool, uint32_t timeout_ms, int interrupt_fd, struct kmn_channel **channel_out);

#endif
