/*
 * Calls by a rule that is `per window`. The first one asks for the window and waits as any held call; once people have
 * opened it, calls run as free ones do: intent and decision, and nobody is asked. What a window is, and how often it
 * was used, is the quorum's state (server/quorum/window.c); nothing here counts.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <string.h>

/* The intent of the request for a window: the call's who and when, its key, and none of its data. */
static json_t *
opening_body(const struct kmn_call_state *call, int64_t expires)
{
	static const char *const kept[] = {"chan", "sess", "seq", "key", "req_sha256", "nonce_req", "requester"};
	json_t *body = json_pack("{s:s, s:{}, s:o, s:I}", "op", "window", "mech", "window",
	    kmn_window_json(&call->verdict), "expires", (json_int_t)expires);

	for (size_t i = 0; i < KMN_COUNT_OF(kept); i++)
		if (json_object_set(body, kept[i], json_object_get(call->intent, kept[i])) != 0)
			KMN_BUG("out of memory");
	return body;
}

static void
ask_for_one(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	int64_t expires = kmn_clock_record_ms(k) + 1000 * (int64_t)call->verdict.lifetime_s;
	const struct kmn_request *w;

	if (!kmn_hold_has_room(k, call->instance->spki_sha256)) {
		call->why = KMN_E_TOO_MANY;
		kmn_hold_refuse(call, "too many open requests: let some be decided or withdraw them");
		return;
	}
	if (kmn_keeper_append(k, KMN_R_INTENT, opening_body(call, expires), &call->request) != KMN_OK)
		return;
	if ((w = kmn_quorum_request(k->quorum, call->request.i)) == NULL || !w->held) {
		kmn_call_deny(call);
		return;
	}
	k->statements_due++;
	kmn_say(KMN_SAY_INFO, "request %llu: %s of %s asks for a window of rule %s", (unsigned long long)w->i,
	    call->view.call->name, call->peer_name, call->verdict.rule);
	kmn_hold_park(call);
}

static void
use(struct kmn_call_state *call, const struct kmn_request *window)
{
	struct kmn_keeper *k = call->keeper;

	call->window = window->i + 1;
	if (call->verdict.content_seen && kmn_hold_keep_data(call) != KMN_OK)
		kmn_keeper_ledger_lost(k, "what a rule was decided on cannot be kept");
	else if (kmn_keeper_append(k, KMN_R_INTENT, json_incref(call->intent), &call->request) == KMN_OK)
		kmn_call_decide_and_run(call);
}

void
kmn_window_start(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *w = kmn_quorum_window(k->quorum, call->instance->spki_sha256, call->verdict.rule,
	    json_object_get(call->intent, "key"), kmn_keeper_now_ms());

	if (w == NULL) {
		ask_for_one(call);
	} else if (w->state == KMN_REQUEST_WINDOW) {
		use(call, w);
	} else {
		call->request = (struct kmn_ref){.i = w->i};
		memcpy(call->request.leaf, w->leaf, sizeof(call->request.leaf));
		kmn_hold_park(call);
	}
}

kmn_err
kmn_window_use_body(struct kmn_call_state *call, const struct kmn_request *request, json_t **body_out)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *w = kmn_quorum_request(k->quorum, call->window - 1);

	*body_out = NULL;
	if (w == NULL)
		return KMN_E_DENIED;
	call->use = w->used + 1;
	return kmn_quorum_use_body(k->quorum, request, w, k->clock.now, body_out);
}

kmn_err
kmn_window_open(struct kmn_keeper *k, const struct kmn_request *request)
{
	uint64_t i = request->i;
	json_t *body;
	kmn_err e;

	if ((e = kmn_quorum_decision_body(k->quorum, request, "open", &body)) != KMN_OK ||
	    (e = kmn_keeper_append(k, KMN_R_DECISION, body, NULL)) != KMN_OK)
		return e;
	kmn_say(KMN_SAY_INFO, "request %llu: its window is open", (unsigned long long)i);
	return KMN_OK;
}

void
kmn_window_ran(const struct kmn_call_state *call)
{
	const struct kmn_request *w =
	    call->window == 0 ? NULL : kmn_quorum_request(call->keeper->quorum, call->window - 1);

	if (w != NULL && w->state == KMN_REQUEST_WINDOW && w->used >= w->uses)
		kmn_hold_advance(call->keeper, w->i);
}

/* ---- for the kanmon tool ----------------------------------------------------------------------------------------- */

void
kmn_window_put(const struct kmn_keeper *k, const char *rule, json_t *body)
{
	struct kmn_verdict verdict;

	kmn_policy_rule_verdict(kmn_keeper_policy(k), rule, &verdict);
	verdict.rule = rule; /* also of one that is not there */
	if (json_object_set_new(body, "op", json_string("window")) != 0 ||
	    json_object_set_new(body, "window", kmn_window_json(&verdict)) != 0)
		KMN_BUG("out of memory");
}

json_t *
kmn_window_answer(const struct kmn_request *r)
{
	if (!r->window)
		return NULL;
	return json_pack("{s:I, s:i, s:i, s:I}", "seconds", (json_int_t)r->verdict.window_s, "uses", (int)r->uses,
	    "used", (int)r->used, "until", (json_int_t)r->until);
}
