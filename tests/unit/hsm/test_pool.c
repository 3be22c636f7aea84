#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "server/hsm/pool.h"
#include "tests/unit/run.h"

#define LANES 8
#define PER_LANE 200

/* What the tasks write down; guarded by the lock. */
struct book {
	pthread_mutex_t lock;
	unsigned next[LANES + 1]; /* number expected next in each lane */
	unsigned running[LANES + 1];
	unsigned done, discarded, wrong, side_by_side, most;
	unsigned pause_us;
};

struct item {
	struct kmn_task task; /* first */
	unsigned number;
};

static void
pause_us(unsigned us)
{
	struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000L};

	if (us > 0)
		(void)nanosleep(&t, NULL);
}

static void
run(void *cookie, struct kmn_task *task)
{
	struct item *i = (struct item *)task;
	struct book *b = cookie;

	pthread_mutex_lock(&b->lock);
	if (task->lane != 0) {
		b->wrong += b->next[task->lane]++ != i->number;
		b->wrong += b->running[task->lane]++ != 0;
	}
	if (++b->side_by_side > b->most)
		b->most = b->side_by_side;
	pthread_mutex_unlock(&b->lock);
	pause_us(b->pause_us);
	pthread_mutex_lock(&b->lock);
	b->running[task->lane]--;
	b->side_by_side--;
	b->done++;
	pthread_mutex_unlock(&b->lock);
	free(i);
}

static void
discard(void *cookie, struct kmn_task *task)
{
	struct book *b = cookie;

	b->discarded++;
	free(task);
}

static struct kmn_pool *
pool(struct book *b, unsigned threads, unsigned queue)
{
	const struct kmn_pool_settings settings = {threads, queue, run, discard, b};
	struct kmn_pool *p;

	*b = (struct book){.lock = PTHREAD_MUTEX_INITIALIZER};
	CU_ASSERT_EQUAL_FATAL(kmn_pool_new(&settings, &p), KMN_OK);
	return p;
}

static void
put(struct kmn_pool *p, uint64_t lane, unsigned number)
{
	struct item *i = calloc(1, sizeof(*i));

	CU_ASSERT_PTR_NOT_NULL_FATAL(i);
	i->task.lane = lane;
	i->number = number;
	CU_ASSERT_EQUAL(kmn_pool_put(p, &i->task), KMN_OK);
}

static void
wait_for(struct book *b, unsigned done)
{
	unsigned now = 0;

	for (unsigned i = 0; now < done && i < 20000; i++) {
		pthread_mutex_lock(&b->lock);
		now = b->done;
		pthread_mutex_unlock(&b->lock);
		pause_us(1000);
	}
	CU_ASSERT_EQUAL(now, done);
}

static void
test_lanes(void)
{
	struct book b;
	struct kmn_pool *p = pool(&b, 4, 64);

	for (unsigned n = 0; n < PER_LANE; n++)
		for (uint64_t lane = 1; lane <= LANES; lane++)
			put(p, lane, n);
	wait_for(&b, LANES * PER_LANE);
	CU_ASSERT_TRUE(kmn_pool_stop(p, 1000));
	CU_ASSERT_EQUAL(b.wrong, 0);
	kmn_pool_free(p);
}

static void
test_side_by_side(void)
{
	struct book b;
	struct kmn_pool *p = pool(&b, 4, 64);

	b.pause_us = 100000;
	put(p, 1, 0);
	put(p, 1, 1); /* waits for the first, and holds up nobody else */
	put(p, 2, 0);
	put(p, 0, 0);
	put(p, 0, 0);
	wait_for(&b, 5);
	CU_ASSERT_EQUAL(b.most, 4);
	CU_ASSERT_EQUAL(b.wrong, 0);
	CU_ASSERT_TRUE(kmn_pool_stop(p, 1000));
	kmn_pool_free(p);
}

static void
test_stop(void)
{
	struct book b;
	struct kmn_pool *p = pool(&b, 1, 64);

	b.pause_us = 50000;
	for (unsigned n = 0; n < 10; n++)
		put(p, 1, n);
	pause_us(10000);
	CU_ASSERT_TRUE(kmn_pool_stop(p, 5000));
	CU_ASSERT_EQUAL(b.done, 1);
	CU_ASSERT_EQUAL(b.discarded, 9);
	kmn_pool_free(p);
}

static void
test_stop_in_vain(void)
{
	struct book b;
	struct kmn_pool *p = pool(&b, 1, 64);

	b.pause_us = 300000;
	put(p, 1, 0);
	pause_us(50000);
	CU_ASSERT_FALSE(kmn_pool_stop(p, 20));
	CU_ASSERT_TRUE(kmn_pool_stop(p, 5000));
	kmn_pool_free(p);
}

static CU_TestInfo tests[] = {
    {"a lane keeps its order, whatever runs beside it", test_lanes},
    {"lanes run side by side, and a busy lane holds up nobody", test_side_by_side},
    {"what has not begun when the pool stops never runs", test_stop},
    {"a task that does not end is told to the one who waits", test_stop_in_vain},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{.pName = "hsm/pool", .pTests = tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
