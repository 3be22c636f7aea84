/*
 * A few threads for work that touches nothing but itself. Who gave a task
 * waits for it, and does what else is queued meanwhile, so a crew of one
 * thread is the caller's own and needs no other.
 */
#ifndef KANMON_CREW_H
#define KANMON_CREW_H

#include "kanmon/err.h"

struct kmn_crew;

/* Lives in what it works on; the crew's from give to the end of wait. */
struct kmn_task {
	void (*run)(struct kmn_task *task);
	struct kmn_task *next; /* guarded by the crew */
	bool done;             /* guarded by the crew */
};

/* `threads` counts the caller's; fewer are there where the system gives no more. */
kmn_err kmn_crew_new(unsigned threads, struct kmn_crew **crew_out) KMN_MUST_CHECK;
/* No task may be left that was not waited for. */
void kmn_crew_free(struct kmn_crew *crew);

/* Queues the task: some thread runs it once, perhaps the one that waits. */
void kmn_crew_give(struct kmn_crew *crew, struct kmn_task *task);
/* Whether it was run to its end; waits for nothing. */
bool kmn_crew_is_done(struct kmn_crew *crew, const struct kmn_task *task);
/* Runs what is queued until this task is done. */
void kmn_crew_wait(struct kmn_crew *crew, struct kmn_task *task);

#endif
