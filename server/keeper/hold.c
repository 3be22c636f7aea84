/*
 * Calls that a quorum holds. The request lives in the ledger and in the quorum
 * state, and outlives the call, its process and this one; a call only waits
 * for it, runs when it is met, or gives up waiting.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdio.h>
#include <string.h>

void
kmn_hold_forget(struct kmn_call_state *call)
{
	if (!call->in_held)
		return;
	call->in_held = false;
	LIST_REMOVE(call, held);
}

/* Tells the client that its call waits, and for which request; the connection is free again. */
void
kmn_hold_tell(struct kmn_call_state *call)
{
	struct kmn_writer w;

	call->parked = true;
	if (call->conn == NULL)
		return;
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, call->number);
	kmn_writer_u64(&w, call->request.i);
	kmn_gatelink_send(call->keeper, call->conn, KMN_F_HELD, &w);
	call->conn = NULL;
}

/* Its outcome is there: the client is told on the connections that watch, and asks for it. */
void
kmn_hold_ready(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	struct kmn_conn *conn;

	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++)
		LIST_FOREACH(conn, &k->conns[i], link)
		{
			struct kmn_writer w;

			if (conn->instance != call->instance || !conn->watching)
				continue;
			kmn_writer_init(&w, 64);
			kmn_writer_u64(&w, call->number);
			kmn_gatelink_send(k, conn, KMN_F_READY, &w);
		}
}

static void
hold(struct kmn_call_state *call)
{
	kmn_turn_leave(call);
	call->step = KMN_STEP_HELD;
	call->in_held = true;
	LIST_INSERT_HEAD(&call->keeper->held, call, held);
}

static void
parked(struct kmn_call_state *call)
{
	uint64_t request = call->request.i;
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *r;

	hold(call);
	kmn_hold_tell(call);
	/* It may have ended before the call came to wait: by a new policy, or because another ran it. */
	r = kmn_quorum_request(k->quorum, request);
	if (r == NULL || r->state <= KMN_REQUEST_RUNNING)
		kmn_hold_advance(k, request);
	else if (r->state == KMN_REQUEST_DONE || r->state == KMN_REQUEST_FAILED)
		kmn_hold_start_over(call);
	else
		kmn_hold_end_waiting(k, request, KMN_E_WITHDRAWN);
}

void
kmn_hold_park(struct kmn_call_state *call)
{
	kmn_keeper_when_durable(call, parked);
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

/* Data is kept where a person will read it: what the statement says of it must be derivable for ever. */
kmn_err
kmn_hold_keep_data(struct kmn_call_state *call)
{
	uint8_t sha256[KMN_HASH_BYTES];
	kmn_err e;

	if (!call->has_data || call->data_len > KMN_CONTENT_MAX_BYTES)
		return KMN_OK;
	if ((e = kmn_log_blob_put(call->keeper->log, call->data, call->data_len, sha256)) != KMN_OK)
		return e;
	return kmn_attach_keep(call->keeper, &call->attached);
}

static unsigned
open_requests(const struct kmn_keeper *k, const uint8_t *client_spki_sha256)
{
	const struct kmn_request *r = NULL;
	unsigned n = 0;

	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL)
		n += r->held && r->state != KMN_REQUEST_WINDOW &&
		     (client_spki_sha256 == NULL ||
			 memcmp(r->client_spki_sha256, client_spki_sha256, KMN_HASH_BYTES) == 0);
	return n;
}

bool
kmn_hold_has_room(const struct kmn_keeper *k, const uint8_t client_spki_sha256[KMN_HASH_BYTES])
{
	return open_requests(k, NULL) < k->setup->limits.requests &&
	       open_requests(k, client_spki_sha256) < k->setup->limits.requests_per_client;
}

void
kmn_hold_refuse(struct kmn_call_state *call, const char *reason)
{
	call->verdict.answer = KMN_ANSWER_REFUSED;
	snprintf(call->verdict.reason, sizeof(call->verdict.reason), "rule %.60s: %s", call->verdict.rule, reason);
	kmn_call_refuse(call);
}

/* A signature that cannot be checked against a public key must not be made under a quorum (fail closed). */
static bool
checkable(const struct kmn_call_state *call)
{
	const struct kmn_operation *op = call->operation;

	return op == NULL || !op->known || op->key.class != CKO_PRIVATE_KEY || (op->kind & KMN_SIGN_OPERATIONS) == 0 ||
	       (op->key.spki_len > 0 && call->has_norm);
}

static void
new_request(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *request;
	int64_t expires =
	    kmn_clock_record_ms(k) +
	    1000 * (int64_t)(call->verdict.lifetime_s > 0 ? call->verdict.lifetime_s : k->setup->request_lifetime_s);

	if (!kmn_hold_has_room(k, call->instance->spki_sha256)) {
		call->why = KMN_E_TOO_MANY;
		kmn_hold_refuse(call, "too many open requests: let some be decided or withdraw them");
		return;
	}
	if (kmn_hold_keep_data(call) != KMN_OK) {
		kmn_keeper_ledger_lost(k, "what is to be approved cannot be kept");
		return;
	}
	if (json_object_set_new(call->intent, "expires", json_integer((json_int_t)expires)) != 0)
		KMN_BUG("out of memory");
	if (!kmn_attach_is_instructed(call)) {
		kmn_call_refuse(call);
		return;
	}
	if (kmn_keeper_append(k, KMN_R_INTENT, json_incref(call->intent), &call->request) != KMN_OK)
		return;
	if ((request = kmn_quorum_request(k->quorum, call->request.i)) == NULL || !request->held) {
		kmn_call_deny(call); /* a bound of content in time was passed between judging and writing */
		return;
	}
	k->statements_due += !request->awaits;
	kmn_say(KMN_SAY_INFO, "request %llu: %s of %s waits for %s under rule %s", (unsigned long long)call->request.i,
	    call->view.call->name, call->peer_name, request->awaits ? "its content (kanmon attach)" : "approval",
	    call->verdict.rule);
	kmn_hold_park(call);
}

/*
 * A call that brings a digest only, and a request made ahead that showed the content: with this content the rule that
 * holds the call's own key must be the one that the request was approved under. The request's key was found by the
 * names of a public key object, which anybody may make.
 */
static bool
decided_alike(struct kmn_call_state *call, const struct kmn_request *r)
{
	struct kmn_keeper *k = call->keeper;
	struct kmn_attached shown;
	struct kmn_material material;
	struct kmn_verdict verdict;
	bool alike;

	if (r->awaits) /* both wait for it */
		return strcmp(call->verdict.rule, r->verdict.rule) == 0;
	kmn_attach_load(k, r->intent, &shown);
	material = (struct kmn_material){shown.data, shown.data_len, shown.econtent, shown.econtent_len};
	alike = shown.data != NULL &&
		kmn_policy_judge_intent(kmn_keeper_policy(k), call->intent, &material, kmn_keeper_now_ms(), &verdict) ==
		    KMN_OK &&
		verdict.answer == r->verdict.answer && strcmp(verdict.rule, r->verdict.rule) == 0;
	kmn_attached_clear(&shown);
	return alike;
}

/* Also what is committed to: a salt makes it another value each time. */
static bool
has_redacted(json_t *value)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_object_get(value, "redacted") != NULL || json_object_get(value, "commit") != NULL)
		return true;
	json_object_foreach(value, name, member) if (has_redacted(member)) return true;
	json_array_foreach(value, i, member) if (has_redacted(member)) return true;
	return false;
}

/*
 * Does the call carry what no record may hold, not even as a hash: a PIN, a key value? Then its digest does not bind
 * all of it, and people approve this very call: no other may meet the approval, and the request ends with its wait.
 */
static bool
is_blind(const struct kmn_call_state *call)
{
	const struct kmn_value *pin = kmn_view_nth(&call->view, KMN_KIND_PIN, 0);

	/* A login's PIN goes nowhere where the gateway has its own, and where there is none all is said. */
	if (call->view.id == KMN_C_Login && (call->has_login || pin->null))
		return false;
	return pin != NULL || has_redacted(call->intent);
}

void
kmn_hold_start(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	uint8_t operation[KMN_HASH_BYTES];
	const struct kmn_request *r;

	if (!checkable(call)) {
		kmn_hold_refuse(call, "no public key is known that its signature could be checked with");
		return;
	}
	if (call->verdict.per == KMN_PER_WINDOW && !call->verdict.content_missing) {
		kmn_window_start(call);
		return;
	}
	if (call->verdict.content_missing && (!call->has_norm || call->verdict.per == KMN_PER_LOGIN)) {
		kmn_hold_refuse(call, "what this call works on cannot be shown as content");
		return;
	}
	if (kmn_operation_digest(call->intent, operation) != KMN_OK)
		KMN_BUG("an intent without an operation digest");
	if ((call->blind = is_blind(call))) {
		new_request(call);
		return;
	}
	r = kmn_quorum_find(k->quorum, call->instance->spki_sha256, operation,
	    call->verdict.content_missing ? NULL : call->verdict.rule, kmn_keeper_now_ms());
	if (r != NULL && call->verdict.content_missing && !decided_alike(call, r))
		r = NULL;
	if (r != NULL && r->state != KMN_REQUEST_RUNNING) {
		call->request.i = r->i;
		memcpy(call->request.leaf, r->leaf, sizeof(call->request.leaf));
		kmn_hold_park(call);
		return;
	}
	if ((r = kmn_hold_find_undelivered(call, operation)) != NULL && kmn_hold_redeliver(call, r))
		return;
	new_request(call);
}
