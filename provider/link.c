#include "config.h"

#include "provider/link.h"

#include <stdlib.h>

#include "provider/debug.h"

/* Handles that came with no call's plain outputs (in a parameter, say) are fewer than this, ahead of those that did. */
#define HANDLES_APART UINT64_C(0x10000)

kmn_err
kmn_links_init(struct kmn_links *links, const struct kmn_pool_parts *parts)
{
	links->parts = *parts;
	if (pthread_mutex_init(&links->lock, NULL) != 0)
		return KMN_E_NO_MEMORY;
	return kmn_cond_init(&links->changed);
}

static void
link_free(struct kmn_link *link)
{
	if (link == NULL)
		return;
	if (link->pool != NULL)
		kmn_flights_clear(&link->flights, link->pool);
	kmn_pool_free(link->pool);
	free(link);
}

/* Takes a link out of the list; the lock is taken. The link itself still points on, for who walks just now. */
static void
unlist(struct kmn_links *links, struct kmn_link *link)
{
	_Atomic(struct kmn_link *) *at = &links->newest;

	while (atomic_load(at) != link)
		at = &atomic_load(at)->older;
	atomic_store(at, atomic_load(&link->older));
}

void
kmn_links_clear(struct kmn_links *links)
{
	struct kmn_link *link;

	while ((link = atomic_load(&links->newest)) != NULL) {
		unlist(links, link);
		link_free(link);
	}
	(void)pthread_cond_destroy(&links->changed);
	(void)pthread_mutex_destroy(&links->lock);
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

struct kmn_link *
kmn_links_take(struct kmn_links *links)
{
	struct kmn_link *link;

	(void)pthread_mutex_lock(&links->lock);
	link = links->current;
	if (link != NULL)
		link->users++;
	(void)pthread_mutex_unlock(&links->lock);
	return link;
}

void
kmn_links_put(struct kmn_links *links, struct kmn_link *link)
{
	if (link == NULL)
		return;
	(void)pthread_mutex_lock(&links->lock);
	if (--link->users == 0)
		unlist(links, link);
	else
		link = NULL;
	(void)pthread_mutex_unlock(&links->lock);
	link_free(link);
}

void
kmn_links_saw(struct kmn_links *links, uint64_t handle)
{
	uint_fast64_t highest = atomic_load(&links->highest);

	while (handle > highest && !atomic_compare_exchange_weak(&links->highest, &highest, handle))
		;
}

/* ---- renew ------------------------------------------------------------------------------------------------------- */

/* Where the next link's handles begin; KMN_FIRST_HANDLE_MAX and more when none are left. */
static uint64_t
next_first_handle(struct kmn_links *links)
{
	uint64_t highest = atomic_load(&links->highest);

	return highest == 0 ? 1 : (highest / HANDLES_APART + 1) * HANDLES_APART;
}

/* It is in the list before it has a descriptor: a child that is forked meanwhile closes that too. */
static kmn_err
link_new(struct kmn_links *links, struct kmn_link **link_out)
{
	struct kmn_link *link = calloc(1, sizeof(*link));
	kmn_err e = KMN_E_NO_MEMORY;

	*link_out = NULL;
	if (link == NULL)
		return e;
	link->users = 1;
	link->first_handle = next_first_handle(links);
	if ((e = kmn_flights_init(&link->flights)) != KMN_OK ||
	    (e = kmn_pool_new(&links->parts, &link->pool)) != KMN_OK) {
		link_free(link);
		return e;
	}
	(void)pthread_mutex_lock(&links->lock);
	link->era = links->era + 1;
	atomic_store(&link->older, atomic_load(&links->newest));
	atomic_store(&links->newest, link);
	(void)pthread_mutex_unlock(&links->lock);
	*link_out = link;
	return KMN_OK;
}

static kmn_err
attach(struct kmn_links *links, struct kmn_link **link_out)
{
	kmn_err e;

	*link_out = NULL;
	if (next_first_handle(links) >= KMN_FIRST_HANDLE_MAX)
		return KMN_E_INSTANCE;
	if ((e = link_new(links, link_out)) != KMN_OK)
		return e;
	if ((e = kmn_pool_attach((*link_out)->pool, (*link_out)->first_handle)) != KMN_OK) {
		kmn_debug(KMN_TOPIC_CHANNEL, "cannot attach: %s", kmn_err_text(e));
		kmn_links_put(links, *link_out);
		*link_out = NULL;
	}
	return e;
}

/* Waits out another thread's attempt; true when it is this thread's turn. Otherwise *e_out is the other's result. */
static bool
begin_renewal(struct kmn_links *links, const struct kmn_link *lost, kmn_err *e_out)
{
	unsigned tried = links->renewals;

	while (!links->ended && links->renewing)
		(void)pthread_cond_wait(&links->changed, &links->lock);
	if (links->ended)
		*e_out = KMN_E_CANCELED;
	else if (links->current != lost)
		*e_out = KMN_OK;
	else if (links->renewals != tried)
		*e_out = links->last;
	else
		return true;
	return false;
}

kmn_err
kmn_links_renew(struct kmn_links *links, const struct kmn_link *lost)
{
	struct kmn_link *fresh = NULL, *before = NULL;
	kmn_err e = KMN_OK;
	bool mine;

	(void)pthread_mutex_lock(&links->lock);
	mine = begin_renewal(links, lost, &e);
	if (mine)
		links->renewing = true;
	(void)pthread_mutex_unlock(&links->lock);
	if (!mine)
		return e;
	e = attach(links, &fresh);
	(void)pthread_mutex_lock(&links->lock);
	links->renewing = false;
	links->renewals++;
	links->last = e;
	if (e == KMN_OK) {
		before = links->current;
		links->current = fresh;
		links->era = fresh->era;
	}
	if (e == KMN_OK && links->ended) { /* C_Finalize has begun: it will say goodbye for this one too */
		kmn_flights_end(&fresh->flights);
		kmn_pool_end(fresh->pool);
		e = KMN_E_CANCELED;
	}
	(void)pthread_cond_broadcast(&links->changed);
	(void)pthread_mutex_unlock(&links->lock);
	kmn_links_put(links, before);
	return e;
}

void
kmn_links_inherit(struct kmn_links *links, struct kmn_links *parent)
{
	links->era = parent->era;
	atomic_store(&links->highest, atomic_load(&parent->highest));
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void
kmn_links_end(struct kmn_links *links)
{
	(void)pthread_mutex_lock(&links->lock);
	links->ended = true;
	for (struct kmn_link *link = atomic_load(&links->newest); link != NULL; link = atomic_load(&link->older)) {
		kmn_flights_end(&link->flights);
		kmn_pool_end(link->pool);
	}
	(void)pthread_cond_broadcast(&links->changed);
	(void)pthread_mutex_unlock(&links->lock);
}

kmn_err
kmn_links_detach(struct kmn_links *links)
{
	return links->current != NULL ? kmn_pool_detach(links->current->pool)
				      : kmn_receipts_finish(links->parts.receipts, NULL);
}

void
kmn_links_abandon(struct kmn_links *links)
{
	for (struct kmn_link *link = atomic_load(&links->newest); link != NULL; link = atomic_load(&link->older))
		kmn_pool_abandon(link->pool);
}
