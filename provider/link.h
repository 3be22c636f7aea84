/*
 * What ties this process to the gateway: an instance there; here its
 * connections (pool.h), its numbers (wait.h) and the handles that are its own.
 *
 *   none --renew--> current --the gateway lost it--> lost --renew--> (a new one is current)
 *
 * A link that is lost stays lost. Calls that are under way on it end with it;
 * it is freed when the last of them has left. The next link names a first
 * handle above all that were seen, so that a handle never means two things.
 *
 * Threads: any. One thread renews, the others who need it wait for its result.
 * Fork: kmn_links_abandon in the child.
 */
#ifndef KANMON_PROVIDER_LINK_H
#define KANMON_PROVIDER_LINK_H

#include <stdatomic.h>

#include "provider/pool.h"
#include "provider/wait.h"

struct kmn_link {
	struct kmn_pool *pool; /* set once */
	struct kmn_flights flights;
	uint64_t first_handle;            /* set once: lower ones are of links before it */
	uint32_t era;                     /* set once: 1 is the first of this process */
	unsigned users;                   /* guarded by the links' lock: calls, and 1 while it is current */
	_Atomic(struct kmn_link *) older; /* for a forked child, which walks without the lock */
};

struct kmn_links {
	struct kmn_pool_parts parts;       /* set once */
	_Atomic(struct kmn_link *) newest; /* all there are; changed under the lock */
	atomic_uint_fast64_t highest;      /* handle that was seen */
	pthread_mutex_t lock;              /* guards what is below */
	pthread_cond_t changed;
	struct kmn_link *current;
	uint32_t era; /* links made so far, here and in a parent */
	bool renewing, ended;
	unsigned renewals; /* tried so far */
	kmn_err last;      /* what the last one came to */
};

/* What the parts point at outlives the links. */
kmn_err kmn_links_init(struct kmn_links *links, const struct kmn_pool_parts *parts) KMN_MUST_CHECK;
/* When no call is under way. */
void kmn_links_clear(struct kmn_links *links);

/* The current link, lost or not, to be put back; NULL when there was none yet. */
struct kmn_link *kmn_links_take(struct kmn_links *links);
void kmn_links_put(struct kmn_links *links, struct kmn_link *link);

/*
 * Attaches anew, unless `lost` (NULL: none) is not current any more; tries for
 * init-wait. Errors: KMN_E_CANCELED (C_Finalize), KMN_E_INSTANCE (no handles
 * are left), and what kmn_pool_attach fails with.
 */
kmn_err kmn_links_renew(struct kmn_links *links, const struct kmn_link *lost) KMN_MUST_CHECK;

/* A handle came from the gateway. */
void kmn_links_saw(struct kmn_links *links, uint64_t handle);

/* In a forked child: eras and handles go on where the parent's were. */
void kmn_links_inherit(struct kmn_links *links, struct kmn_links *parent);

/* C_Finalize, once it has raised `ending`: all waits end. */
void kmn_links_end(struct kmn_links *links);
/* C_Finalize: says goodbye. No call is under way. Errors as of kmn_pool_detach. */
kmn_err kmn_links_detach(struct kmn_links *links) KMN_MUST_CHECK;

/* In a forked child: closes the sockets, says nothing, frees nothing. Async-signal-safe. */
void kmn_links_abandon(struct kmn_links *links);

#endif
