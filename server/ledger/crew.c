#include "kanmon/crew.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 64

struct kmn_crew {
	pthread_t thread[THREADS_MAX];
	unsigned count;        /* beside the caller's; set once */
	pthread_mutex_t mutex; /* guards the rest, and what the header says */
	pthread_cond_t work, done;
	struct kmn_task *first, *last;
	bool closing;
};

/* With the mutex held: takes the next task, runs it with the mutex let go of. False: there is none. */
static bool
run_next(struct kmn_crew *crew)
{
	struct kmn_task *task = crew->first;

	if (task == NULL)
		return false;
	crew->first = task->next;
	if (crew->first == NULL)
		crew->last = NULL;
	(void)pthread_mutex_unlock(&crew->mutex);
	task->run(task);
	(void)pthread_mutex_lock(&crew->mutex);
	task->done = true;
	(void)pthread_cond_broadcast(&crew->done);
	return true;
}

static void *
worker(void *cookie)
{
	struct kmn_crew *crew = cookie;

	(void)pthread_mutex_lock(&crew->mutex);
	for (;;) {
		if (run_next(crew))
			continue;
		if (crew->closing)
			break;
		(void)pthread_cond_wait(&crew->work, &crew->mutex);
	}
	(void)pthread_mutex_unlock(&crew->mutex);
	return NULL;
}

kmn_err
kmn_crew_new(unsigned threads, struct kmn_crew **crew_out)
{
	struct kmn_crew *crew = calloc(1, sizeof(*crew));

	if ((*crew_out = crew) == NULL)
		return KMN_E_NO_MEMORY;
	(void)pthread_mutex_init(&crew->mutex, NULL);
	(void)pthread_cond_init(&crew->work, NULL);
	(void)pthread_cond_init(&crew->done, NULL);
	while (crew->count + 1 < threads && crew->count < THREADS_MAX &&
	       pthread_create(&crew->thread[crew->count], NULL, worker, crew) == 0)
		crew->count++;
	return KMN_OK;
}

void
kmn_crew_free(struct kmn_crew *crew)
{
	if (crew == NULL)
		return;
	(void)pthread_mutex_lock(&crew->mutex);
	crew->closing = true;
	(void)pthread_cond_broadcast(&crew->work);
	(void)pthread_mutex_unlock(&crew->mutex);
	for (unsigned n = 0; n < crew->count; n++)
		(void)pthread_join(crew->thread[n], NULL);
	(void)pthread_cond_destroy(&crew->work);
	(void)pthread_cond_destroy(&crew->done);
	(void)pthread_mutex_destroy(&crew->mutex);
	free(crew);
}

void
kmn_crew_give(struct kmn_crew *crew, struct kmn_task *task)
{
	task->next = NULL;
	task->done = false;
	(void)pthread_mutex_lock(&crew->mutex);
	if (crew->last == NULL)
		crew->first = task;
	else
		crew->last->next = task;
	crew->last = task;
	(void)pthread_cond_signal(&crew->work);
	(void)pthread_mutex_unlock(&crew->mutex);
}

bool
kmn_crew_is_done(struct kmn_crew *crew, const struct kmn_task *task)
{
	bool done;

	(void)pthread_mutex_lock(&crew->mutex);
	done = task->done;
	(void)pthread_mutex_unlock(&crew->mutex);
	return done;
}

void
kmn_crew_wait(struct kmn_crew *crew, struct kmn_task *task)
{
	(void)pthread_mutex_lock(&crew->mutex);
	while (!task->done)
		if (!run_next(crew) && !task->done)
			(void)pthread_cond_wait(&crew->done, &crew->mutex);
	(void)pthread_mutex_unlock(&crew->mutex);
}
