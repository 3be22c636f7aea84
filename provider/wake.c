#include "config.h"

#include "provider/wake.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool
is_ours(const struct kmn_wake *wake, int end)
{
	struct stat st;

	return wake->fd[end] >= 0 && fstat(wake->fd[end], &st) == 0 && st.st_ino == wake->ino[end] &&
	       st.st_dev == wake->dev[end];
}

kmn_err
kmn_wake_init(struct kmn_wake *wake)
{
	*wake = (struct kmn_wake){.fd = {-1, -1}};
	if (pipe2(wake->fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return KMN_E_NO_MEMORY;
	for (int end = 0; end < 2; end++) {
		struct stat st;

		if (fstat(wake->fd[end], &st) != 0)
			return KMN_E_INTERNAL;
		wake->ino[end] = st.st_ino;
		wake->dev[end] = st.st_dev;
	}
	return KMN_OK;
}

void
kmn_wake_clear(struct kmn_wake *wake)
{
	for (int end = 0; end < 2; end++) {
		if (is_ours(wake, end))
			(void)close(wake->fd[end]);
		wake->fd[end] = -1;
	}
}

int
kmn_wake_fd(const struct kmn_wake *wake)
{
	return is_ours(wake, 0) ? wake->fd[0] : -1;
}

void
kmn_wake_raise(struct kmn_wake *wake)
{
	/* one byte, never read: the pipe stays readable for all who poll it */
	if (is_ours(wake, 1) && write(wake->fd[1], "", 1) < 0)
		return; /* full: raised already */
}

void
kmn_wake_pause(const struct kmn_wake *wake, uint32_t timeout_ms)
{
	struct pollfd p = {.fd = kmn_wake_fd(wake), .events = POLLIN};

	(void)poll(&p, 1, (int)timeout_ms); /* a signal only makes the pause shorter */
}

uint64_t
kmn_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

kmn_err
kmn_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int failed;

	if (pthread_condattr_init(&attr) != 0)
		return KMN_E_NO_MEMORY;
	failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (failed == 0)
		failed = pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	return failed == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

void
kmn_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ms)
{
	struct timespec t = {
	    .tv_sec = (time_t)(until_ms / 1000u),
	    .tv_nsec = (long)(until_ms % 1000u) * 1000000L,
	};

	(void)pthread_cond_timedwait(cond, lock, &t); /* callers look at their condition, not at the result */
}
