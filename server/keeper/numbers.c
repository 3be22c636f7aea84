/*
 * Numbers that are used once (R1, rule 4): a call runs at most once, and its
 * outcome is kept until the client said that it has it.
 *
 *   new --CALL--> in the window --acknowledged--> forgotten
 *                      +--PARK, while it is held--> aside --FORGET, once it is done--> forgotten
 */
#include "config.h"

#include "server/keeper/state.h"

#include <string.h>

#define NO_REQUEST UINT64_MAX

static struct kmn_call_state **
place(struct kmn_instance *instance, uint64_t number)
{
	return &instance->call[number % KMN_WINDOW_NUMBERS];
}

static struct kmn_call_state *
in_window(struct kmn_instance *instance, uint64_t number)
{
	struct kmn_call_state *call = *place(instance, number);

	return call != NULL && call->number == number ? call : NULL;
}

/* Where a call is that was left aside; number 0: a place for one more. NULL: there is none. */
static struct kmn_call_state **
place_aside(struct kmn_instance *instance, uint64_t number)
{
	for (size_t i = KMN_WINDOW_NUMBERS; i < KMN_INSTANCE_CALLS; i++) {
		const struct kmn_call_state *call = instance->call[i];

		if ((call != NULL ? call->number : 0) == number)
			return &instance->call[i];
	}
	return NULL;
}

static struct kmn_call_state *
kept(struct kmn_instance *instance, uint64_t number)
{
	struct kmn_call_state *call = in_window(instance, number), **aside;

	if (call == NULL && number != 0 && (aside = place_aside(instance, number)) != NULL)
		call = *aside;
	return call;
}

/* The client has every answer below this number: they need not be kept. */
static void
acknowledge(struct kmn_keeper *k, struct kmn_instance *instance, uint64_t acknowledged)
{
	if (acknowledged > instance->guard.highest + 1)
		acknowledged = instance->guard.highest + 1;
	for (; instance->acknowledged < acknowledged; instance->acknowledged++) {
		struct kmn_call_state *call = in_window(instance, instance->acknowledged);

		if (call == NULL || call->step != KMN_STEP_DONE)
			continue;
		kmn_hold_delivered(k, call);
		*place(instance, call->number) = NULL;
		kmn_call_free(call);
	}
}

/* How it stands with a call that is known: now, or when there is something to tell. */
static void
tell(struct kmn_conn *conn, struct kmn_call_state *call)
{
	call->conn = conn;
	if (call->step == KMN_STEP_DONE)
		kmn_call_answer(call);
	else if ((call->step == KMN_STEP_HELD || call->step == KMN_STEP_EVENT) && call->parked)
		kmn_hold_tell(call);
}

/* The same number again: the same outcome, if it carries the same bytes. */
static void
again(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_call_state *call, const uint8_t sha256[KMN_HASH_BYTES])
{
	if (call == NULL || memcmp(call->payload_sha256, sha256, KMN_HASH_BYTES) != 0) {
		kmn_gatelink_replayed(k, conn, call == NULL ? 0 : call->number,
		    call == NULL ? "a request number whose answer was acknowledged"
				 : "a request number with other bytes");
		return;
	}
	tell(conn, call);
}

static void
begin(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, const uint8_t *payload, size_t len)
{
	struct kmn_instance *instance = conn->instance;
	struct kmn_call_state **at = place(instance, number), *call;

	if (*at != NULL) { /* left of the window now, and nobody can ask for it any more */
		kmn_hold_delivered(k, *at);
		kmn_call_free(*at);
		*at = NULL;
	}
	if ((call = kmn_call_new(k, conn, number, payload, len)) == NULL) {
		kmn_gatelink_refuse(k, conn, number, KMN_E_NO_MEMORY, NO_REQUEST, "out of memory");
		return;
	}
	*at = call;
	kmn_call_start(k, call);
}

void
kmn_instance_call(struct kmn_keeper *k, struct kmn_conn *conn, const uint8_t *body, size_t len)
{
	struct kmn_instance *instance = conn->instance;
	uint8_t sha256[KMN_HASH_BYTES];
	uint64_t number, acknowledged;
	enum kmn_replay_verdict verdict;
	struct kmn_call_state *known;
	const uint8_t *payload;
	struct kmn_reader r;
	size_t payload_len;

	kmn_reader_init(&r, body, len);
	number = kmn_reader_u64(&r);
	acknowledged = kmn_reader_u64(&r);
	payload_len = kmn_reader_rest(&r, &payload);
	if (kmn_reader_end(&r) != KMN_OK)
		return; /* kmn_frame_check() has seen its shape */
	verdict = kmn_replay_judge(&instance->guard, number);
	known = kept(instance, number);
	if (verdict == KMN_REPLAY_SEEN || known != NULL) {
		kmn_sha256(payload, payload_len, sha256);
		again(k, conn, known, sha256);
		return;
	}
	if (verdict != KMN_REPLAY_NEW) {
		kmn_gatelink_replayed(k, conn, number, "a request number outside the window");
		return;
	}
	if (*place(instance, number) != NULL && (*place(instance, number))->step != KMN_STEP_DONE) {
		kmn_gatelink_refuse(k, conn, number, KMN_E_BUSY, NO_REQUEST, "too many calls in flight");
		return;
	}
	if (kmn_replay_commit(&instance->guard, number) != KMN_OK)
		KMN_BUG("a new number cannot be committed");
	acknowledge(k, instance, acknowledged);
	begin(k, conn, number, payload, payload_len);
}

void
kmn_instance_end_wait(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, bool withdraw)
{
	struct kmn_call_state *call = kept(conn->instance, number);

	if (call == NULL) {
		kmn_gatelink_refuse(k, conn, number, KMN_E_NOT_FOUND, NO_REQUEST, "no such call");
		return;
	}
	call->conn = conn;
	if (call->step == KMN_STEP_DONE)
		kmn_call_answer(call);
	else if (call->step == KMN_STEP_HELD && withdraw)
		kmn_hold_withdraw(call);
	else if (call->step == KMN_STEP_HELD)
		kmn_hold_end_wait(call);
	else if (call->step == KMN_STEP_EVENT)
		kmn_call_finish_rv(call, CKR_FUNCTION_CANCELED);
	/* else it runs already: its own outcome comes */
}

/* A held call is left aside: the window goes on without it, and it is known by its number until the client forgets it. */
void
kmn_instance_park(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number)
{
	struct kmn_instance *instance = conn->instance;
	struct kmn_call_state *call = kept(instance, number), **aside;

	if (call == NULL || call->step == KMN_STEP_EVENT) {
		kmn_gatelink_refuse(k, conn, number, KMN_E_NOT_FOUND, NO_REQUEST, "no such call");
		return;
	}
	if (call->step == KMN_STEP_HELD && in_window(instance, number) != NULL) {
		if ((aside = place_aside(instance, 0)) == NULL) {
			kmn_gatelink_refuse(k, conn, number, KMN_E_BUSY, NO_REQUEST, "too many calls are left aside");
			return;
		}
		*place(instance, number) = NULL;
		*aside = call;
	}
	tell(conn, call);
}

/* The client has the answer of a call that was left aside. Said again it is as true. */
void
kmn_instance_forget(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number)
{
	struct kmn_call_state **aside = number != 0 ? place_aside(conn->instance, number) : NULL;
	struct kmn_writer w;

	if (aside != NULL && (*aside)->step != KMN_STEP_DONE) {
		kmn_gatelink_refuse(k, conn, number, KMN_E_ARGUMENTS, NO_REQUEST, "this call has no answer yet");
		return;
	}
	if (aside != NULL) {
		kmn_hold_delivered(k, *aside);
		kmn_call_free(*aside);
		*aside = NULL;
	}
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, number);
	kmn_gatelink_send(k, conn, KMN_F_FORGOTTEN, &w);
}

void
kmn_instance_watch(struct kmn_instance *instance)
{
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		struct kmn_call_state *call = instance->call[i];

		if (call != NULL && call->step == KMN_STEP_DONE && call->parked)
			kmn_hold_ready(call);
	}
}
