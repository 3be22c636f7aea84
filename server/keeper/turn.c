/*
 * One call at a time in a session, as PKCS#11 asks of its callers (K5). A call
 * has the turn from its judgement until the module replied or a quorum holds
 * it: a client that sends C_SignInit of one key and C_Sign for another at the
 * same moment, over two connections, gets them one after the other, so that
 * the mirror in session.c and the module never differ.
 */
#include "config.h"

#include "server/keeper/state.h"

static void
give(struct kmn_session *session, struct kmn_call_state *call)
{
	session->turn = call;
	call->has_turn = true;
}

bool
kmn_turn_is_free(const struct kmn_call_state *call)
{
	return call->session == NULL || call->session->turn == NULL;
}

bool
kmn_turn_take(struct kmn_call_state *call)
{
	if (call->session == NULL)
		return true;
	if (call->session->turn == NULL) {
		give(call->session, call);
		return true;
	}
	call->in_waiting = true;
	TAILQ_INSERT_TAIL(&call->session->waiting, call, queue);
	return false;
}

void
kmn_turn_make_ready(struct kmn_keeper *k, struct kmn_call_state *call)
{
	call->in_ready = true;
	TAILQ_INSERT_TAIL(&k->ready, call, queue);
}

/* The next one begins from the loop: nobody who leaves a turn expects calls to run, or applications to end, under it. */
void
kmn_turn_leave(struct kmn_call_state *call)
{
	struct kmn_session *session = call->session;
	struct kmn_call_state *next;

	if (!call->has_turn)
		return;
	call->has_turn = false;
	session->turn = NULL;
	call->keeper->held_due = call->keeper->held_due || !LIST_EMPTY(&call->keeper->held);
	if ((next = TAILQ_FIRST(&session->waiting)) == NULL)
		return;
	TAILQ_REMOVE(&session->waiting, next, queue);
	next->in_waiting = false;
	give(session, next);
	kmn_turn_make_ready(call->keeper, next);
}

void
kmn_turn_forget(struct kmn_call_state *call)
{
	if (call->in_waiting)
		TAILQ_REMOVE(&call->session->waiting, call, queue);
	if (call->in_ready)
		TAILQ_REMOVE(&call->keeper->ready, call, queue);
	call->in_waiting = call->in_ready = false;
	kmn_turn_leave(call);
}

/* Who still waits goes on without a session: the module says what is wrong with its handle. */
void
kmn_turn_end_session(struct kmn_keeper *k, struct kmn_session *session)
{
	struct kmn_call_state *call;

	if (session->turn != NULL)
		session->turn->has_turn = false;
	session->turn = NULL;
	while ((call = TAILQ_FIRST(&session->waiting)) != NULL) {
		TAILQ_REMOVE(&session->waiting, call, queue);
		call->in_waiting = false;
		kmn_turn_make_ready(k, call);
	}
}

void
kmn_turn_run(struct kmn_keeper *k)
{
	struct kmn_call_state *call;

	while (!k->failed && (call = TAILQ_FIRST(&k->ready)) != NULL) {
		TAILQ_REMOVE(&k->ready, call, queue);
		call->in_ready = false;
		kmn_call_begin(call);
	}
}
