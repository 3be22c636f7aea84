#include "config.h"

#include "server/hsm/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define NO_LANE UINT64_C(0)

/* What is not "set once" is guarded by `lock`. */
struct kmn_pool {
	struct kmn_pool_settings settings; /* set once */
	pthread_mutex_t lock;
	pthread_cond_t work;  /* a task may have become runnable, or the pool stops */
	pthread_cond_t moved; /* a task left the queue, or a thread ended */
	struct kmn_task *first, **last;
	unsigned queued, idle, alive;
	bool stopping;
	unsigned threads; /* ever started; entries of thread[] and lane[] in use */
	pthread_t *thread;
	uint64_t *lane; /* what the thread of that number runs; NO_LANE if it blocks nobody */
};

struct start {
	struct kmn_pool *pool;
	unsigned number;
};

static bool
lane_is_busy(const struct kmn_pool *p, uint64_t lane)
{
	for (unsigned i = 0; lane != NO_LANE && i < p->threads; i++)
		if (p->lane[i] == lane)
			return true;
	return false;
}

/* Takes the oldest task that may run now, or NULL. */
static struct kmn_task *
take(struct kmn_pool *p)
{
	for (struct kmn_task **at = &p->first, *task; (task = *at) != NULL; at = &task->next) {
		if (lane_is_busy(p, task->lane))
			continue;
		*at = task->next;
		if (task->next == NULL)
			p->last = at;
		p->queued--;
		pthread_cond_broadcast(&p->moved);
		return task;
	}
	return NULL;
}

/* Waits for a task and marks its lane; NULL when the pool stops. */
static struct kmn_task *
next_task(struct kmn_pool *p, unsigned number)
{
	struct kmn_task *task;

	while (!p->stopping && (task = take(p)) == NULL) {
		p->idle++;
		pthread_cond_wait(&p->work, &p->lock);
		p->idle--;
	}
	if (p->stopping)
		return NULL;
	p->lane[number] = task->lane;
	return task;
}

static void *
thread_main(void *argument)
{
	struct start start = *(struct start *)argument;
	struct kmn_pool *p = start.pool;
	struct kmn_task *task;

	free(argument);
	pthread_mutex_lock(&p->lock);
	while ((task = next_task(p, start.number)) != NULL) {
		pthread_mutex_unlock(&p->lock);
		p->settings.run(p->settings.cookie, task);
		pthread_mutex_lock(&p->lock);
		p->lane[start.number] = NO_LANE;
	}
	p->alive--;
	pthread_cond_broadcast(&p->moved);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static kmn_err
start_thread(struct kmn_pool *p)
{
	struct start *start = malloc(sizeof(*start));

	if (start == NULL)
		return KMN_E_NO_MEMORY;
	*start = (struct start){.pool = p, .number = p->threads};
	if (pthread_create(&p->thread[p->threads], NULL, thread_main, start) != 0) {
		free(start);
		return KMN_E_NO_MEMORY;
	}
	p->threads++;
	p->alive++;
	return KMN_OK;
}

kmn_err
kmn_pool_new(const struct kmn_pool_settings *settings, struct kmn_pool **pool_out)
{
	struct kmn_pool *p = calloc(1, sizeof(*p));
	pthread_condattr_t monotonic;

	*pool_out = NULL;
	if (p == NULL)
		return KMN_E_NO_MEMORY;
	p->settings = *settings;
	p->last = &p->first;
	p->thread = calloc(settings->threads_max, sizeof(*p->thread));
	p->lane = calloc(settings->threads_max, sizeof(*p->lane));
	if (p->thread == NULL || p->lane == NULL || pthread_condattr_init(&monotonic) != 0) {
		free(p->thread);
		free(p->lane);
		free(p);
		return KMN_E_NO_MEMORY;
	}
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*pool_out = p;
	return KMN_OK;
}

kmn_err
kmn_pool_put(struct kmn_pool *p, struct kmn_task *task)
{
	kmn_err e = KMN_OK;

	pthread_mutex_lock(&p->lock);
	while (p->queued >= p->settings.queue_max)
		pthread_cond_wait(&p->moved, &p->lock);
	/* A thread that was woken for an earlier task still counts as idle: count tasks, not only threads. */
	if (p->idle <= p->queued && p->threads < p->settings.threads_max)
		e = start_thread(p);
	if (e == KMN_OK || p->threads > 0) {
		e = KMN_OK;
		task->next = NULL;
		*p->last = task;
		p->last = &task->next;
		p->queued++;
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return e;
}

static void
discard_all(struct kmn_pool *p)
{
	struct kmn_task *task;

	while ((task = p->first) != NULL) {
		p->first = task->next;
		p->settings.discard(p->settings.cookie, task);
	}
	p->last = &p->first;
	p->queued = 0;
}

static struct timespec
after(unsigned wait_ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += wait_ms / 1000;
	t.tv_nsec += (long)(wait_ms % 1000) * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

bool
kmn_pool_stop(struct kmn_pool *p, unsigned wait_ms)
{
	struct timespec deadline = after(wait_ms);
	bool ended;

	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	discard_all(p);
	pthread_cond_broadcast(&p->work);
	while (p->alive > 0 && pthread_cond_timedwait(&p->moved, &p->lock, &deadline) == 0)
		;
	ended = p->alive == 0;
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; ended && i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	return ended;
}

void
kmn_pool_free(struct kmn_pool *p)
{
	if (p == NULL)
		return;
	pthread_cond_destroy(&p->moved);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p->thread);
	free(p->lane);
	free(p);
}
