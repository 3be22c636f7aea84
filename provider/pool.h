/*
 * The connections of one attached application. Each carries one call at a
 * time; there are as many as calls run at the same time, up to `connections`,
 * and one more that only listens for READY.
 *
 *   new --kmn_pool_attach--> attached --JOIN refused: KMN_E_INSTANCE--> lost
 *   attached --kmn_pool_detach--> nothing but kmn_pool_free is left
 *
 * The gateway keeps a lost application for a lease. Within it a failure to
 * connect is only latency: take tries again, and is as content with a connection
 * that another thread gives back (a gateway may give one client only so many).
 * Who waits is served in the order of arrival.
 * After it take tries once, shortly, and answers KMN_E_UNREACHABLE.
 *
 * Invariants: a channel that was taken belongs to its thread until it is given
 * back or dropped; a lost instance is never joined again (its handles mean
 * nothing to a new one).
 * Threads: all functions may be called by any thread, but attach, detach, free
 * and abandon only when no other is inside.
 */
#ifndef KANMON_PROVIDER_POOL_H
#define KANMON_PROVIDER_POOL_H

#include "kanmon/channel.h"
#include "kanmon/client_settings.h"
#include "kanmon/frame.h"
#include "provider/receipts.h"
#include "provider/wake.h"

struct kmn_pool;

/* What all pools of an application are made from; it outlives them. */
struct kmn_pool_parts {
	const struct kmn_client_settings *settings;
	struct kmn_channel_identity *identity;
	struct kmn_book *receipts;
	const struct kmn_wake *ending; /* raised when C_Finalize begins */
};

/* Connects nothing. */
kmn_err kmn_pool_new(const struct kmn_pool_parts *parts, struct kmn_pool **pool_out) KMN_MUST_CHECK;
/* Closes all connections that are not taken. NULL is fine. */
void kmn_pool_free(struct kmn_pool *pool);

/* Makes this process an application of the gateway, whose handles begin at `first_handle`; tries for init-wait. */
kmn_err kmn_pool_attach(struct kmn_pool *pool, uint64_t first_handle) KMN_MUST_CHECK;
/*
 * Settles what is open with the ledger and says that the application is finished, if that needs no long wait.
 * KMN_E_RECEIPT: something that was given to the application was not proven.
 */
kmn_err kmn_pool_detach(struct kmn_pool *pool) KMN_MUST_CHECK;

/*
 * A connection for one call: an idle one that is still alive, or a new one.
 * Errors: KMN_E_INSTANCE (lost), KMN_E_UNREACHABLE (the lease is over),
 * KMN_E_CANCELED (C_Finalize), KMN_E_RECEIPT (the ledger is another), KMN_E_NO_MEMORY.
 */
kmn_err kmn_pool_take(struct kmn_pool *pool, struct kmn_channel **channel_out) KMN_MUST_CHECK;
void kmn_pool_give(struct kmn_pool *pool, struct kmn_channel *channel);
/* For a channel that failed. */
void kmn_pool_drop(struct kmn_pool *pool, struct kmn_channel *channel);

/*
 * The connection that listens for READY, in one attempt of at most timeout_ms.
 * Errors: KMN_E_INSTANCE, KMN_E_CANCELED, KMN_E_RECEIPT, KMN_E_NO_MEMORY; all others are KMN_E_AGAIN.
 */
kmn_err kmn_pool_watch(struct kmn_pool *pool, uint64_t timeout_ms, struct kmn_channel **channel_out) KMN_MUST_CHECK;
/* Closes it. NULL is fine. */
void kmn_pool_unwatch(struct kmn_pool *pool, struct kmn_channel *channel);

/*
 * The next frame, as kmn_channel_receive; every frame of an attached
 * connection is read here, for a NOTICE may come between any two: it is
 * counted. kmn_pool_receive gives the next one that is no NOTICE.
 */
kmn_err kmn_pool_hear(struct kmn_pool *pool, struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd,
    struct kmn_channel_frame *frame_out) KMN_MUST_CHECK;
kmn_err kmn_pool_receive(struct kmn_pool *pool, struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd,
    struct kmn_channel_frame *frame_out) KMN_MUST_CHECK;
/*
 * How many notices of that kind have come, over whichever connection: the
 * gateway sends each to all of them. Who keeps an answer compares.
 */
unsigned kmn_pool_notices(struct kmn_pool *pool, enum kmn_notice kind);

/*
 * Looks at the line without asking: an idle connection, or where all are at
 * work, whether one was heard KMN_HEARD_MS ago. False: nobody can say that it is
 * as it was. notices_out has the counts as they are after that look.
 */
#define KMN_HEARD_MS 50u
bool kmn_pool_look(struct kmn_pool *pool, unsigned notices_out[KMN_NOTICE_STATE + 1]);

/* The receipts of a connection that was taken. */
struct kmn_trail *kmn_pool_trail(struct kmn_pool *pool, const struct kmn_channel *channel);

/* C_Finalize has begun and raised `ending`: whoever wants or waits for a connection gets KMN_E_CANCELED. */
void kmn_pool_end(struct kmn_pool *pool);

/* The gateway said that it does not know this application any more. */
void kmn_pool_lose(struct kmn_pool *pool);
bool kmn_pool_is_lost(struct kmn_pool *pool);
/* The instance as the ledger writes it, for people who look there for a call. "" before it is attached. */
const char *kmn_pool_name(const struct kmn_pool *pool);
uint32_t kmn_pool_lease_ms(const struct kmn_pool *pool);

/*
 * In a forked child: closes its copies of the sockets, says nothing, frees
 * nothing, wipes the instance's secret. Async-signal-safe.
 */
void kmn_pool_abandon(struct kmn_pool *pool);

#endif
