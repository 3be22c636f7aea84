/*
 * One request while it runs, and what the files dispatch*.c do about it: dispatch.c from its start to its end,
 * dispatch_invoke.c the vendor's function and what its outcome changes, dispatch_side.c side sessions, dispatch_two.c calls
 * that belong to two sessions, dispatch_facts.c what the keeper asks.
 */
#ifndef KANMON_HSM_DISPATCH_PARTS_H
#define KANMON_HSM_DISPATCH_PARTS_H

#include <pthread.h>

#include "server/hsm/dispatch.h"
#include "server/hsm/operations.h"

#define KMN_SPARE_ARENAS 16u
#define KMN_RUN_ANSWER_MAX_BYTES 1024u /* without outputs */

struct kmn_dispatch {
	union kmn_functions functions; /* set once, as all but the spare arenas */
	union kmn_functions v2_40;     /* as they are in the module's list of 2.40 */
	CK_FUNCTION_LIST *module;      /* in it */
	struct kmn_virtual *handles;
	struct kmn_operations *operations;
	struct kmn_spki_maker *maker;
	/* Written by calls that close every session of a slot, read by those that open one of ours or the caller's. */
	pthread_rwlock_t slot_wide;
	/* Read while a session of our own looks around, which keeps a login alive; written by C_CloseSession. */
	pthread_rwlock_t visits;
	pthread_mutex_t lock; /* guards the spare arenas */
	struct kmn_arena *spare[KMN_SPARE_ARENAS];
	unsigned spares;
};

/* One request while it runs. */
struct kmn_run {
	struct kmn_dispatch *d;
	const struct kmn_dispatch_request *request;
	const struct kmn_call_view *view;    /* of the request, or a part of it */
	uint64_t session;                    /* virtual */
	struct kmn_session target;           /* where the call goes */
	bool side;                           /* target is a side session, found or opened for this call */
	bool fresh;                          /* ... opened for this call */
	const struct kmn_operation *held[2]; /* that the call belongs to: stay whole while it runs */
	uint64_t mark;                       /* from before the vendor was called */
	size_t made;                         /* objects that the vendor made in this call */
	kmn_err failed;                      /* a handle could not be given */
};

/* ---- dispatch_invoke.c ---- */

/* Calls the vendor's function and writes the answer; does what the outcome changes. The function's value. */
CK_RV kmn_run_invoke(struct kmn_run *r, struct kmn_writer *w);
/* The answer, from `from`, is this error. */
void kmn_run_put_error(struct kmn_run *r, size_t from, CK_RV rv, struct kmn_writer *w);
/* The module's word that a session is not there any more. */
bool kmn_run_is_gone(CK_RV rv);

/* ---- dispatch_side.c ---- */

/* Opens a side session for the operation that this call starts. */
CK_RV kmn_run_start_side(struct kmn_run *r);
bool kmn_run_is_context_login(const struct kmn_call_view *view);
bool kmn_run_starts_something(const struct kmn_call_view *view);
/* The requests of an operation in a side session, from its first one. */
struct kmn_writer *kmn_run_new_history(const struct kmn_run *r);
/*
 * A request of an operation in a side session is kept while it can be made
 * again: nothing came out so far, and no PIN was needed. Whole messages leave
 * no trace; the parts of one are not kept.
 */
void kmn_run_remember(const struct kmn_run *r, CK_RV rv, const struct kmn_writer *w, size_t from);
/* Begins the operation again in a new side session; the call goes there then. Once for a call. */
bool kmn_run_begin_again(struct kmn_run *r);

/* ---- dispatch_two.c ---- */

struct kmn_dual;
/* NULL: the call is made as it is. */
const struct kmn_dual *kmn_run_dual_of(const struct kmn_run *r);
void kmn_run_dual(struct kmn_run *r, const struct kmn_dual *dual, struct kmn_writer *w);
/* C_SessionCancel. */
void kmn_run_cancel(struct kmn_run *r, struct kmn_writer *w);

#endif
