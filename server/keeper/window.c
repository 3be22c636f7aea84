/*
 * Calls by a rule that is `per window`. The first one asks for the window and waits as any held call; once people have
 * opened it, calls run as free ones do: intent and decision, and nobody is asked. A call that brought a digest only is
 * held until its content is attached, and then waits for a window. What a window is, and how often it was used, is the
 * quorum's state (server/quorum/window.c); nothing here counts.
 *
 * Two requests are about: that for the window (op "window"), and that of the use, which runs under `window` of its call.
 * A call that needs no content waits by the request for the window, and its own intent is written when it is used; one
 * that waited for its content has its intent already, and `opening` is the request for the window that it waits for.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <string.h>

/* The intent of the request for a window: a use's who and when, its key, and none of its data. */
static json_t *
opening_body(const json_t *use, const struct kmn_verdict *verdict, int64_t expires)
{
	static const char *const kept[] = {"chan", "sess", "seq", "key", "req_sha256", "nonce_req", "requester"};
	json_t *body = json_pack("{s:s, s:{}, s:o, s:I}", "op", "window", "mech", "window", kmn_window_json(verdict),
	    "expires", (json_int_t)expires);

	for (size_t i = 0; i < KMN_COUNT_OF(kept); i++)
		if (json_object_set(body, kept[i], json_object_get(use, kept[i])) != 0)
			KMN_BUG("out of memory");
	return body;
}

/* The request for one, in *ref_out. False: the ledger took no record of it, or the quorum holds none such. */
static bool
ask(struct kmn_call_state *call, const struct kmn_verdict *verdict, struct kmn_ref *ref_out)
{
	struct kmn_keeper *k = call->keeper;
	int64_t expires = kmn_clock_record_ms(k) + 1000 * (int64_t)verdict->lifetime_s;
	const struct kmn_request *w;

	if (kmn_keeper_append(k, KMN_R_INTENT, opening_body(call->intent, verdict, expires), ref_out) != KMN_OK ||
	    (w = kmn_quorum_request(k->quorum, ref_out->i)) == NULL || !w->held)
		return false;
	k->statements_due++;
	kmn_say(KMN_SAY_INFO, "request %llu: %s of %s asks for a window of rule %s", (unsigned long long)w->i,
	    call->view.call->name, call->peer_name, verdict->rule);
	return true;
}

static void
ask_for_one(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;

	if (!kmn_hold_has_room(k, call->instance->spki_sha256)) {
		call->why = KMN_E_TOO_MANY;
		kmn_hold_refuse(call, "too many open requests: let some be decided or withdraw them");
	} else if (ask(call, &call->verdict, &call->request)) {
		kmn_hold_park(call);
	} else if (kmn_quorum_request(k->quorum, call->request.i) != NULL) {
		kmn_call_deny(call);
	}
}

static void
use(struct kmn_call_state *call, const struct kmn_request *window)
{
	struct kmn_keeper *k = call->keeper;

	call->window = window->i + 1;
	if (call->verdict.content_seen && kmn_hold_keep_data(call) != KMN_OK)
		kmn_keeper_ledger_lost(k, "what a rule was decided on cannot be kept");
	else if (!kmn_attach_is_instructed(call))
		kmn_call_refuse(call);
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

/* ---- uses that are recorded: their content came when they waited already ------------------------------------------- */

/*
 * No window is there for it, nor a request for one. It asks once; what people refused, and what ended before it was
 * opened, takes the use along.
 */
static void
ask_or_end(struct kmn_call_state *call, const struct kmn_request *use)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *asked = call->opening == 0 ? NULL : kmn_quorum_request(k->quorum, call->opening - 1);
	struct kmn_verdict verdict = use->verdict;
	struct kmn_ref ref = {.i = 0};
	bool refused;

	if (call->opening == 0 || (asked != NULL && asked->until != 0)) {
		if (kmn_hold_has_room(k, call->instance->spki_sha256) && ask(call, &verdict, &ref))
			call->opening = ref.i + 1;
		return;
	}
	refused = asked != NULL && (asked->state == KMN_REQUEST_REJECTED || asked->state == KMN_REQUEST_VETOED);
	if (kmn_hold_end(k, use->i, refused ? "deny" : "withdrawn") != KMN_OK)
		kmn_keeper_ledger_lost(k, "a decision cannot be recorded");
}

static bool
is_stopped(struct kmn_keeper *k, const struct kmn_request *use)
{
	struct kmn_anomaly anomaly;
	struct kmn_stale stale;

	return kmn_keeper_holds_back(k) != KMN_OK || kmn_quorum_is_stale(k->quorum, 'A', kmn_keeper_now_ms(), &stale) ||
	       kmn_quorum_token_stops(k->quorum, use->intent, 'A', true, INT64_MAX, &anomaly);
}

void
kmn_window_advance(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	const struct kmn_request *use = kmn_quorum_request(k->quorum, call->request.i), *w;

	if (use == NULL || is_stopped(k, use))
		return;
	w = kmn_quorum_window(k->quorum, use->client_spki_sha256, use->verdict.rule,
	    json_object_get(use->intent, "key"), kmn_keeper_now_ms());
	if (w == NULL) {
		ask_or_end(call, use);
		return;
	}
	call->opening = w->i + 1;
	if (w->state != KMN_REQUEST_WINDOW || !kmn_turn_take(call))
		return;
	call->window = w->i + 1;
	kmn_hold_forget(call);
	kmn_call_decide_and_run(call);
}

/* ---- records ------------------------------------------------------------------------------------------------------- */

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
	k->held_due = true; /* uses whose content was attached */
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
