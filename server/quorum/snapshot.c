/*
 * Which records make up the present state. The quorum is what records make of
 * it, so a short cut to it is no other form of it but fewer of them: those
 * that shaped what is still kept. Who adds state to apply*.c adds a row to
 * parts[] or last_of[], or says with a test that its records are among these.
 */
#include "config.h"

#include <stdlib.h>

#include "server/quorum/quorum.h"

struct choice {
	uint64_t *index;
	size_t count, room;
	bool failed;
};

static void
choose(struct choice *c, uint64_t i)
{
	if (c->count == c->room && !c->failed) {
		size_t room = c->room == 0 ? 64 : c->room * 2;
		uint64_t *more = realloc(c->index, room * sizeof(*more));

		if (more == NULL)
			c->failed = true;
		else
			c->index = more, c->room = room;
	}
	if (!c->failed)
		c->index[c->count++] = i;
}

/* Genesis and every later policy: each is accepted by the one before it, and requests are judged by theirs. */
static void
choose_policies(const struct kmn_quorum *q, struct choice *c)
{
	for (size_t n = 0; n < q->policy_count; n++)
		choose(c, q->policy_i[n]);
}

/* What waits to be one, and where its delay is counted from. */
static void
choose_waiting(const struct kmn_quorum *q, struct choice *c)
{
	if (q->boot.i != 0)
		choose(c, q->boot.i);
	if (q->waiting.policy != NULL)
		choose(c, q->waiting.ref.i);
}

/* What stands against tokens, and what has been reopened. */
static void
choose_marks(const struct kmn_quorum *q, struct choice *c)
{
	for (size_t n = 0; n < q->stance.anomalies; n++)
		choose(c, q->stance.anomaly[n].ref.i);
	for (size_t n = 0; n < q->stance.reopenings; n++)
		choose(c, q->stance.reopened[n].ref.i);
}

/* Of decisions and results that went nowhere (CKR_BUFFER_TOO_SMALL) only the last pair counts. */
static void
choose_requests(const struct kmn_quorum *q, struct choice *c)
{
	for (size_t n = 0; n < q->count; n++) {
		const struct request *r = q->requests[n];

		choose(c, r->seen.i);
		if (r->seen.attachment_i != 0)
			choose(c, r->seen.attachment_i);
		if (r->seen.statement != NULL)
			choose(c, r->seen.statement_i);
		for (size_t v = 0; v < r->seen.vote_count; v++)
			choose(c, r->votes[v].i);
		if (r->seen.result_i != 0) {
			choose(c, r->answered_i);
			choose(c, r->seen.result_i);
		}
		if (r->seen.decision_i != 0)
			choose(c, r->seen.decision_i);
		if (r->ended_i != 0)
			choose(c, r->ended_i);
		if (r->opened_i != 0)
			choose(c, r->opened_i);
		if (r->instruct_i != 0)
			choose(c, r->instruct_i);
		if (r->met_i != 0)
			choose(c, r->met_i);
		if (r->last_use_i != 0) /* what it was for may be forgotten: that it was counts */
			choose(c, r->last_use_i);
	}
}

/* Types of which the last record alone is state. */
static const enum kmn_record_kind last_of[] = {KMN_R_ANCHOR, KMN_R_CLOCK, KMN_R_CLOSED};

static void
choose_last(const struct kmn_quorum *q, struct choice *c)
{
	for (size_t n = 0; n < KMN_COUNT_OF(last_of); n++)
		if (q->last[last_of[n]] != 0)
			choose(c, q->last[last_of[n]] - 1);
}

/* What each witness' last cosignature stands in. */
static void
choose_cosignatures(const struct kmn_quorum *q, struct choice *c)
{
	for (size_t n = 0; n < q->witnesses; n++)
		choose(c, q->witness[n].i);
}

/* Sign-ins that stand, texts that were used a moment ago, instructions that nothing came of yet. */
static void
choose_actions(const struct kmn_quorum *q, struct choice *c)
{
	for (size_t n = 0; n < q->actions.sessions; n++)
		choose(c, q->actions.session[n].i);
	for (size_t n = 0; n < q->actions.nonces; n++) {
		choose(c, q->actions.nonce[n].i);
		if (q->actions.nonce[n].ended_i != 0)
			choose(c, q->actions.nonce[n].ended_i);
	}
	for (size_t n = 0; n < q->actions.instructions; n++)
		choose(c, q->actions.instruction[n].i);
}

static void (*const parts[])(const struct kmn_quorum *, struct choice *) = {
    choose_policies,
    choose_waiting,
    choose_marks,
    choose_requests,
    choose_last,
    choose_cosignatures,
    choose_actions,
};

static int
by_index(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

kmn_err
kmn_quorum_records(const struct kmn_quorum *quorum, uint64_t **index_out, size_t *count_out)
{
	struct choice c = {.index = NULL};
	size_t kept = 0;

	*index_out = NULL;
	*count_out = 0;
	for (size_t n = 0; n < KMN_COUNT_OF(parts); n++)
		parts[n](quorum, &c);
	if (c.failed) {
		free(c.index);
		return KMN_E_NO_MEMORY;
	}
	if (c.count > 0)
		qsort(c.index, c.count, sizeof(*c.index), by_index);
	for (size_t n = 0; n < c.count; n++)
		if (n == 0 || c.index[n] != c.index[n - 1])
			c.index[kept++] = c.index[n];
	*index_out = c.index;
	*count_out = kept;
	return KMN_OK;
}

void
kmn_quorum_resume(struct kmn_quorum *quorum, uint64_t size)
{
	quorum->resumed = size;
}
