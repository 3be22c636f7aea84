#include "kanmon/pool.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 64

struct kmn_pool {
	pthread_t thread[THREADS_MAX];
	unsigned count;        /* beside the caller's; set once */
	pthread_mutex_t mutex; /* guards the rest, and what the header says */
	pthread_cond_t work, done;
	struct kmn_task *first, *last;
	bool closing;
};

/* With the mutex held: takes the next task, runs it with the mutex let go of. False: there is none. */
static bool
run_next(struct kmn_pool *pool)
{
	struct kmn_task *task = pool->first;

	if (task == NULL)
		return false;
	pool->first = task->next;
	if (pool->first == NULL)
		pool->last = NULL;
	(void)pthread_mutex_unlock(&pool->mutex);
	task->run(task);
	(void)pthread_mutex_lock(&pool->mutex);
	task->done = true;
	(void)pthread_cond_broadcast(&pool->done);
	return true;
}

static void *
worker(void *cookie)
{
	struct kmn_pool *pool = cookie;

	(void)pthread_mutex_lock(&pool->mutex);
	for (;;) {
		if (run_next(pool))
			continue;
		if (pool->closing)
			break;
		(void)pthread_cond_wait(&pool->work, &pool->mutex);
	}
	(void)pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

kmn_err
kmn_pool_new(unsigned threads, struct kmn_pool **pool_out)
{
	struct kmn_pool *pool = calloc(1, sizeof(*pool));

	if ((*pool_out = pool) == NULL)
		return KMN_E_NO_MEMORY;
	(void)pthread_mutex_init(&pool->mutex, NULL);
	(void)pthread_cond_init(&pool->work, NULL);
	(void)pthread_cond_init(&pool->done, NULL);
	while (pool->count + 1 < threads && pool->count < THREADS_MAX &&
	       pthread_create(&pool->thread[pool->count], NULL, worker, pool) == 0)
		pool->count++;
	return KMN_OK;
}

void
kmn_pool_free(struct kmn_pool *pool)
{
	if (pool == NULL)
		return;
	(void)pthread_mutex_lock(&pool->mutex);
	pool->closing = true;
	(void)pthread_cond_broadcast(&pool->work);
	(void)pthread_mutex_unlock(&pool->mutex);
	for (unsigned n = 0; n < pool->count; n++)
		(void)pthread_join(pool->thread[n], NULL);
	(void)pthread_cond_destroy(&pool->work);
	(void)pthread_cond_destroy(&pool->done);
	(void)pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

void
kmn_pool_give(struct kmn_pool *pool, struct kmn_task *task)
{
	task->next = NULL;
	task->done = false;
	(void)pthread_mutex_lock(&pool->mutex);
	if (pool->last == NULL)
		pool->first = task;
	else
		pool->last->next = task;
	pool->last = task;
	(void)pthread_cond_signal(&pool->work);
	(void)pthread_mutex_unlock(&pool->mutex);
}

bool
kmn_pool_is_done(struct kmn_pool *pool, const struct kmn_task *task)
{
	bool done;

	(void)pthread_mutex_lock(&pool->mutex);
	done = task->done;
	(void)pthread_mutex_unlock(&pool->mutex);
	return done;
}

void
kmn_pool_wait(struct kmn_pool *pool, struct kmn_task *task)
{
	(void)pthread_mutex_lock(&pool->mutex);
	while (!task->done)
		if (!run_next(pool) && !task->done)
			(void)pthread_cond_wait(&pool->done, &pool->mutex);
	(void)pthread_mutex_unlock(&pool->mutex);
}
