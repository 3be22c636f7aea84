/*
 * A few threads for work that touches nothing but itself. Who gave a task
 * waits for it, and does what else is queued meanwhile, so a pool of one
 * thread is the caller's own and needs no other.
 */
#ifndef KANMON_POOL_H
#define KANMON_POOL_H

#include "kanmon/err.h"

struct kmn_pool;

/* Lives in what it works on; the pool's from give to the end of wait. */
struct kmn_task {
	void (*run)(struct kmn_task *task);
	struct kmn_task *next; /* guarded by the pool */
	bool done;             /* guarded by the pool */
};

/* `threads` counts the caller's; fewer are there where the system gives no more. */
kmn_err kmn_pool_new(unsigned threads, struct kmn_pool **pool_out) KMN_MUST_CHECK;
/* No task may be left that was not waited for. */
void kmn_pool_free(struct kmn_pool *pool);

void kmn_pool_give(struct kmn_pool *pool, struct kmn_task *task);
bool kmn_pool_is_done(struct kmn_pool *pool, const struct kmn_task *task);
void kmn_pool_wait(struct kmn_pool *pool, struct kmn_task *task);

#endif
