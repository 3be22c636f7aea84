/*
 * A switch that threads blocked in poll() notice: off at first, on for good
 * once it is raised. The host may close descriptors that it does not know and
 * get the same number for something of its own, so each use checks that the
 * descriptor is still this pipe.
 *
 * Threads: any; fields are set once.
 */
#ifndef KANMON_PROVIDER_WAKE_H
#define KANMON_PROVIDER_WAKE_H

#include <pthread.h>
#include <sys/types.h>

#include "kanmon/err.h"

struct kmn_wake {
	int fd[2]; /* reading, writing end */
	ino_t ino[2];
	dev_t dev[2];
};

kmn_err kmn_wake_init(struct kmn_wake *wake) KMN_MUST_CHECK;
/* Closes what is still ours; async-signal-safe, so a forked child may call it. */
void kmn_wake_clear(struct kmn_wake *wake);
/* The descriptor to poll for reading, or -1 when the host took it. */
int kmn_wake_fd(const struct kmn_wake *wake);
void kmn_wake_raise(struct kmn_wake *wake);
/* Sleeps for `timeout_ms` or until the switch is raised. */
void kmn_wake_pause(const struct kmn_wake *wake, uint32_t timeout_ms);

/* CLOCK_MONOTONIC, in milliseconds: all waits of the provider count by it. */
uint64_t kmn_now_ms(void);

/* A condition variable whose timed waits count by kmn_now_ms. */
kmn_err kmn_cond_init(pthread_cond_t *cond) KMN_MUST_CHECK;
void kmn_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ms);

#endif
