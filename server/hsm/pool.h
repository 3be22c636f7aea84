/*
 * A bounded pool of threads. Tasks of one lane run one after another in the
 * order they came; lanes run side by side; lane 0 promises no order at all.
 *
 * No task waits for another one here, so nothing can deadlock: a task runs
 * whenever a thread is free and no task of its lane runs.
 */
#ifndef KANMON_HSM_POOL_H
#define KANMON_HSM_POOL_H

#include "kanmon/err.h"

struct kmn_pool;

/* First member of what the user queues. */
struct kmn_task {
	struct kmn_task *next; /* the pool's */
	uint64_t lane;
};

struct kmn_pool_settings {
	unsigned threads_max;
	unsigned queue_max;                                   /* kmn_pool_put waits while that many are queued */
	void (*run)(void *cookie, struct kmn_task *task);     /* on a thread of the pool; owns the task */
	void (*discard)(void *cookie, struct kmn_task *task); /* a task that will not run; owns it */
	void *cookie;
};

kmn_err kmn_pool_new(const struct kmn_pool_settings *settings, struct kmn_pool **pool_out) KMN_MUST_CHECK;

/* Queues a task. On a failure (no thread can be had) it is still the caller's. */
kmn_err kmn_pool_put(struct kmn_pool *pool, struct kmn_task *task) KMN_MUST_CHECK;

/*
 * Discards what is queued and waits for what runs, at most `wait_ms`. False if
 * something still runs then: its thread lives, and the pool must not be freed.
 */
bool kmn_pool_stop(struct kmn_pool *pool, unsigned wait_ms);

/* After kmn_pool_stop said true. NULL is fine. */
void kmn_pool_free(struct kmn_pool *pool);

#endif
