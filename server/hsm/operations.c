#include "config.h"

#include "server/hsm/operations.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 1024u /* a power of two */

struct active {
	struct kmn_operation op; /* set once */
	unsigned refs;           /* guarded by the lock; the list holds one */
	bool close;              /* the side session, with the last reference; guarded by the lock, as `lost` */
	bool lost;               /* the module does not know it any more */
	struct active *next;
};

struct kmn_operations {
	CK_FUNCTION_LIST *module; /* set once */
	pthread_mutex_t lock;
	struct active *bucket[BUCKETS]; /* newest first; guarded by the lock */
};

kmn_err
kmn_operations_new(CK_FUNCTION_LIST *module, struct kmn_operations **ops_out)
{
	struct kmn_operations *o = calloc(1, sizeof(*o));

	*ops_out = NULL;
	if (o == NULL)
		return KMN_E_NO_MEMORY;
	o->module = module;
	pthread_mutex_init(&o->lock, NULL);
	*ops_out = o;
	return KMN_OK;
}

static struct active **
bucket_of(struct kmn_operations *o, uint64_t session)
{
	return &o->bucket[session & (BUCKETS - 1)];
}

static void
destroy(struct kmn_operations *o, struct active *a)
{
	if (a->close && !a->lost)
		(void)o->module->C_CloseSession(a->op.vendor);
	kmn_arena_free(a->op.arena);
	if (a->op.history != NULL)
		kmn_writer_clear(a->op.history);
	free(a->op.history);
	free(a);
}

void
kmn_operations_free(struct kmn_operations *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct active *a = o->bucket[i], *next; a != NULL; a = next) {
			next = a->next;
			destroy(o, a);
		}
	pthread_mutex_destroy(&o->lock);
	free(o);
}

/* The first of the chain that the question fits, with one more reference. */
static const struct kmn_operation *
get(struct kmn_operations *o, uint64_t session, unsigned kinds, bool side_only)
{
	struct active *a;

	pthread_mutex_lock(&o->lock);
	for (a = *bucket_of(o, session); a != NULL; a = a->next)
		if (a->op.session == session && (a->op.kind & kinds) != 0 && (a->op.side || !side_only))
			break;
	if (a != NULL)
		a->refs++;
	pthread_mutex_unlock(&o->lock);
	return a == NULL ? NULL : &a->op;
}

const struct kmn_operation *
kmn_operations_get(struct kmn_operations *o, uint64_t session, unsigned kind)
{
	return get(o, session, kind, false);
}

const struct kmn_operation *
kmn_operations_get_side(struct kmn_operations *o, uint64_t session)
{
	return get(o, session, KMN_OP_EVERY, true);
}

static void
unref(struct kmn_operations *o, struct active *a)
{
	bool last;

	pthread_mutex_lock(&o->lock);
	last = --a->refs == 0;
	pthread_mutex_unlock(&o->lock);
	if (last)
		destroy(o, a);
}

void
kmn_operation_unref(struct kmn_operations *o, const struct kmn_operation *op)
{
	if (op == NULL)
		return;
	/* `op` is the first member of what get() found; only the constness of the view is taken off. */
	union {
		const struct kmn_operation *view;
		struct active *owned;
	} u = {.view = op};
	unref(o, u.owned);
}

bool
kmn_operations_any_own(struct kmn_operations *o, uint64_t session)
{
	bool any = false;

	pthread_mutex_lock(&o->lock);
	for (struct active *a = *bucket_of(o, session); a != NULL && !any; a = a->next)
		any = a->op.session == session && !a->op.side;
	pthread_mutex_unlock(&o->lock);
	return any;
}

void
kmn_operations_lost(struct kmn_operations *o, CK_SESSION_HANDLE vendor)
{
	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct active *a = o->bucket[i]; a != NULL; a = a->next)
			a->lost = a->lost || (a->op.side && a->op.vendor == vendor);
	pthread_mutex_unlock(&o->lock);
}

size_t
kmn_operations_with_sides(struct kmn_operations *o, uint64_t *sessions_out, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct active *a = o->bucket[i]; a != NULL && n < max; a = a->next)
			if (a->op.side && (n == 0 || sessions_out[n - 1] != a->op.session))
				sessions_out[n++] = a->op.session;
	pthread_mutex_unlock(&o->lock);
	return n;
}

/* Takes one that fits out of its chain, or gives NULL. */
static struct active *
take(struct kmn_operations *o, uint64_t session, unsigned kinds, bool side_only)
{
	struct active *a = NULL;

	pthread_mutex_lock(&o->lock);
	for (struct active **at = bucket_of(o, session); *at != NULL; at = &(*at)->next) {
		a = *at;
		if (a->op.session == session && (a->op.kind & kinds) != 0 && (a->op.side || !side_only)) {
			*at = a->next;
			break;
		}
		a = NULL;
	}
	pthread_mutex_unlock(&o->lock);
	return a;
}

/* Ends those that fit; the session where `successor` begins, if it is given, stays open. */
static void
end_all(
    struct kmn_operations *o, uint64_t session, unsigned kinds, bool side_only, const struct kmn_operation *successor)
{
	struct active *a;

	while ((a = take(o, session, kinds, side_only)) != NULL) {
		pthread_mutex_lock(&o->lock);
		a->close = a->op.side && (successor == NULL || successor->vendor != a->op.vendor);
		pthread_mutex_unlock(&o->lock);
		unref(o, a);
	}
}

kmn_err
kmn_operations_add(struct kmn_operations *o, const struct kmn_operation *op)
{
	struct active *a = malloc(sizeof(*a)), **chain;

	if (a == NULL)
		return KMN_E_NO_MEMORY;
	end_all(o, op->session, op->kind, false, op);
	*a = (struct active){.op = *op, .refs = 1};
	chain = bucket_of(o, op->session);
	pthread_mutex_lock(&o->lock);
	a->next = *chain;
	*chain = a;
	pthread_mutex_unlock(&o->lock);
	return KMN_OK;
}

void
kmn_operations_end(struct kmn_operations *o, uint64_t session, unsigned kinds)
{
	end_all(o, session, kinds, false, NULL);
}

void
kmn_operations_end_side(struct kmn_operations *o, uint64_t session, unsigned kinds)
{
	end_all(o, session, kinds, true, NULL);
}

/* Takes one of that slot out of a chain, or gives NULL. */
static struct active *
take_of_slot(struct kmn_operations *o, size_t bucket, CK_SLOT_ID slot)
{
	struct active *a = NULL, **at;

	pthread_mutex_lock(&o->lock);
	for (at = &o->bucket[bucket]; *at != NULL && (*at)->op.slot != slot; at = &(*at)->next)
		;
	if ((a = *at) != NULL)
		*at = a->next;
	pthread_mutex_unlock(&o->lock);
	return a;
}

void
kmn_operations_forget(struct kmn_operations *o, CK_SLOT_ID slot)
{
	struct active *a;

	for (size_t i = 0; i < BUCKETS; i++)
		while ((a = take_of_slot(o, i, slot)) != NULL)
			unref(o, a);
}
