/* Windows as records make them: who may use one, how often it was used, what ends it. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/quorum/window.h"

static kmn_err wrong(struct kmn_why *why, const char *format, ...) KMN_PRINTF(2, 3);

static kmn_err
wrong(struct kmn_why *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return KMN_E_CORRUPT;
}

static const struct request *
whole(const struct kmn_request *request)
{
	return (const struct request *)(const void *)request;
}

bool
quorum_is_opening(const struct request *r)
{
	return json_object_get(r->intent, "window") != NULL;
}

bool
quorum_needs_window(const struct request *r)
{
	return r->seen.verdict.answer == KMN_ANSWER_HELD && r->seen.verdict.per == KMN_PER_WINDOW &&
	       !quorum_is_opening(r);
}

bool
quorum_asks_votes(const struct request *r)
{
	return r->seen.verdict.answer == KMN_ANSWER_HELD && !quorum_needs_window(r);
}

bool
kmn_quorum_needs_window(const struct kmn_request *request)
{
	return quorum_needs_window(whole(request));
}

int64_t
quorum_deadline(const struct request *r)
{
	return r->seen.state == KMN_REQUEST_WINDOW ? r->seen.until : r->seen.not_after;
}

const char *
quorum_window_ends(const struct kmn_quorum *q, const struct request *r, int64_t now)
{
	if (quorum_is_vetoed(q, r))
		return "vetoed";
	if (r->seen.used >= r->seen.uses)
		return "spent";
	if (now > r->seen.until)
		return "expired";
	return quorum_is_current(q, r) ? NULL : "withdrawn";
}

static bool
is_usable(const struct kmn_quorum *q, const struct request *w, int64_t now)
{
	return w->seen.state == KMN_REQUEST_WINDOW && quorum_window_ends(q, w, now) == NULL && now < w->policy->expires;
}

static bool
is_about(const struct request *w, const uint8_t client_spki_sha256[KMN_HASH_BYTES], const char *rule, const json_t *key)
{
	return memcmp(w->seen.client_spki_sha256, client_spki_sha256, KMN_HASH_BYTES) == 0 &&
	       strcmp(w->seen.verdict.rule, rule) == 0 &&
	       kmn_operation_same_key(json_object_get(w->intent, "key"), key);
}

const struct kmn_request *
kmn_quorum_window(const struct kmn_quorum *q, const uint8_t client_spki_sha256[KMN_HASH_BYTES], const char *rule,
    const json_t *key, int64_t now)
{
	const struct kmn_request *asked = NULL;

	for (size_t i = 0; i < q->count; i++) {
		const struct request *w = q->requests[i];

		if (!w->seen.window || !w->seen.held || quorum_has_ended(w) || !quorum_is_current(q, w) ||
		    !is_about(w, client_spki_sha256, rule, key))
			continue;
		if (is_usable(q, w, now))
			return &w->seen;
		if (asked == NULL && w->seen.state != KMN_REQUEST_WINDOW && now <= w->seen.not_after)
			asked = &w->seen;
	}
	return asked;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

struct request *
quorum_window_named(const struct kmn_quorum *q, const struct kmn_record *record)
{
	struct request *w;
	struct kmn_ref ref;

	if (!kmn_ref_get(record->body, "window", &ref) || (w = quorum_request(q, ref.i)) == NULL ||
	    memcmp(ref.leaf, w->seen.leaf, sizeof(ref.leaf)) != 0 || !w->seen.window)
		return NULL;
	return w;
}

kmn_err
quorum_window_open(struct kmn_quorum *q, struct request *r, const struct kmn_record *record, struct kmn_why *why)
{
	kmn_err e = KMN_OK;

	if (!r->seen.window || !r->seen.held)
		e = wrong(why, "request %llu asks for no window", (unsigned long long)r->seen.i);
	else if (!quorum_votes_meet(q, &r->seen, (int64_t)record->t - QUORUM_GRACE_MS))
		e = wrong(why, "opened, but rule %s is not met (votes, expiry, veto or policy)", r->seen.verdict.rule);
	r->seen.state = KMN_REQUEST_WINDOW;
	r->seen.until = (int64_t)record->t + (int64_t)r->seen.verdict.window_s * 1000;
	return e;
}

kmn_err
quorum_window_use(const struct kmn_quorum *q, const struct request *r, struct request *w,
    const struct kmn_record *record, struct kmn_why *why)
{
	uint64_t use = 0, due = w->seen.used + 1;
	bool said = kmn_json_get_number(record->body, "use", &use) &&
		    (use == due || (q->choosing && use > 0 && use <= w->seen.uses)),
	     usable;

	/* Among chosen records the uses before are not all here. */
	w->seen.used = (unsigned)(q->choosing && said ? use - 1 : due - 1);
	usable = is_usable(q, w, (int64_t)record->t - QUORUM_GRACE_MS);
	w->seen.used++;
	w->last_use_i = record->i;
	if (!said)
		return wrong(why, "use %llu of window %llu, and use %llu is due", (unsigned long long)use,
		    (unsigned long long)w->seen.i, (unsigned long long)due);
	if (!is_about(w, r->seen.client_spki_sha256, r->seen.verdict.rule, json_object_get(r->intent, "key")))
		return wrong(why, "window %llu is for another client, rule or key", (unsigned long long)w->seen.i);
	if (!usable)
		return wrong(
		    why, "window %llu was not open (time, uses, veto or policy)", (unsigned long long)w->seen.i);
	return KMN_OK;
}

bool
quorum_window_recall(const struct kmn_quorum *q, const struct kmn_record *record)
{
	struct request *w = q->choosing ? quorum_window_named(q, record) : NULL;
	struct kmn_ref request;
	uint64_t use;

	if (w == NULL || !kmn_ref_get(record->body, "request", &request) || quorum_request(q, request.i) != NULL ||
	    !kmn_json_get_number(record->body, "use", &use) || use > w->seen.uses)
		return false;
	w->seen.used = (unsigned)use;
	w->last_use_i = record->i;
	return true;
}

/* ---- bodies ------------------------------------------------------------------------------------------------------- */

json_t *
kmn_window_json(const struct kmn_verdict *verdict)
{
	return json_pack("{s:s, s:I, s:I}", "rule", verdict->rule, "seconds", (json_int_t)verdict->window_s, "uses",
	    (json_int_t)verdict->window_uses);
}

kmn_err
kmn_quorum_use_body(const struct kmn_quorum *q, const struct kmn_request *request, const struct kmn_request *window,
    int64_t now, json_t **body_out)
{
	const struct request *r = whole(request), *w = whole(window);
	struct kmn_ref ref = {.i = request->i};
	json_t *body, *about;
	kmn_err e;

	*body_out = NULL;
	if (!quorum_needs_window(r) || !is_usable(q, w, now) || (r->seen.held && now > r->seen.not_after) ||
	    !is_about(w, r->seen.client_spki_sha256, r->seen.verdict.rule, json_object_get(r->intent, "key")))
		return KMN_E_DENIED;
	/* The window's decision, with its votes: but about this request. */
	if ((e = kmn_quorum_decision_body(q, window, "allow", &body)) != KMN_OK)
		return e;
	about = json_incref(json_object_get(body, "request"));
	memcpy(ref.leaf, request->leaf, sizeof(ref.leaf));
	if (json_object_set_new(body, "window", about) != 0 ||
	    json_object_set_new(body, "request", kmn_ref_json(&ref)) != 0 ||
	    json_object_set_new(body, "not_after", json_integer((json_int_t)request->not_after)) != 0) {
		json_decref(body);
		return KMN_E_NO_MEMORY;
	}
	*body_out = body;
	return KMN_OK;
}
