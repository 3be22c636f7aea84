/* Requests: what an intent asks for and how the policy judges it, what comes to it later, and when it is forgotten. */
#include "config.h"

#include "server/quorum/apply.h"

#include "server/quorum/window.h"

#include <stdlib.h>
#include <string.h>

void
apply_forget_oldest(struct kmn_quorum *q, bool held)
{
	size_t i = 0;

	while (i < q->count && (!quorum_has_ended(q->requests[i]) || q->requests[i]->seen.held != held))
		i++;
	if (i == q->count)
		return;
	quorum_request_free(q->requests[i]);
	memmove(&q->requests[i], &q->requests[i + 1], (q->count - i - 1) * sizeof(*q->requests));
	q->count--;
	*(held ? &q->ended_held : &q->ended_free) -= 1;
}

static bool
add_request(struct kmn_quorum *q, struct request *r)
{
	if (q->count == q->size) {
		size_t size = q->size == 0 ? 64 : q->size * 2;
		struct request **more = realloc(q->requests, size * sizeof(*more));

		if (more == NULL)
			return false;
		q->requests = more;
		q->size = size;
	}
	q->requests[q->count++] = r;
	return true;
}

void
apply_end_request(struct step *s, struct request *r, enum kmn_request_state state)
{
	r->seen.state = state;
	r->seen.ended_t = (int64_t)s->record->t;
	r->ended_i = s->record->i;
	*(r->seen.held ? &s->q->ended_held : &s->q->ended_free) += 1;
}

struct request *
apply_request_of(struct step *s, const char *name)
{
	struct request *r = NULL;
	struct kmn_ref ref;

	if (!quorum_get_ref(s->record, name, &ref))
		apply_found(s, "V6", "no reference to a request");
	else if ((r = quorum_request(s->q, ref.i)) == NULL)
		apply_found(
		    s, "V6", "record %llu is no request that could still be decided", (unsigned long long)ref.i);
	else if (memcmp(r->seen.leaf, ref.leaf, sizeof(ref.leaf)) != 0)
		apply_found(s, "V6", "the leaf hash is not that of request %llu", (unsigned long long)ref.i);
	return s->err == KMN_OK ? r : NULL;
}

/* By the record's time; where that refuses, by the moment before it: a policy may have ended in between. */
static bool
judge_twice(struct step *s, struct request *r, const struct kmn_material *m)
{
	struct kmn_verdict before;

	if (kmn_policy_judge_intent(r->policy, s->record->body, m, r->seen.t, &r->seen.verdict) != KMN_OK)
		return false;
	if (r->seen.verdict.answer == KMN_ANSWER_REFUSED &&
	    kmn_policy_judge_intent(r->policy, s->record->body, m, apply_judged_at(s), &before) == KMN_OK &&
	    before.answer != KMN_ANSWER_REFUSED)
		r->seen.verdict = before;
	return true;
}

void
apply_read_signing(const json_t *intent, struct quorum_signing *out)
{
	const json_t *norm = json_object_get(intent, "norm");
	const json_t *params = json_object_get(json_object_get(intent, "mech"), "params");

	out->asked = norm != NULL;
	out->malformed = norm != NULL && kmn_norm_from_json(norm, &out->norm) != KMN_OK;
	out->has_pss = kmn_pss_from_json(params, &out->pss) == KMN_OK;
	out->has_key =
	    kmn_json_get_b64(json_object_get(intent, "key"), "spki_sha256", out->spki_sha256, sizeof(out->spki_sha256));
}

/* As an intent of its form that was judged before. */
static void
judge_alike(struct step *s, struct request *r)
{
	r->seen.verdict = s->judged->verdict;
	r->seen.not_after = (int64_t)s->judged->expires;
	r->signing = s->judged->signing;
	memcpy(r->seen.client_spki_sha256, s->judged->client_spki_sha256, KMN_HASH_BYTES);
}

/* One that ran at once, whose data is not kept: the next of its form is as good. */
static void
keep_judgement(struct step *s, const struct request *r, bool data)
{
	struct quorum_judged judged = {.verdict = r->seen.verdict, .signing = r->signing};

	if (s->bare->body != NULL || s->err != KMN_OK || data || r->seen.verdict.answer != KMN_ANSWER_FREE)
		return;
	memcpy(judged.client_spki_sha256, r->seen.client_spki_sha256, KMN_HASH_BYTES);
	quorum_plain_keep(s->q, s->bare, &judged);
}

static void
judge_request(struct step *s, struct request *r)
{
	const json_t *body = s->record->body;
	struct quorum_material m;
	uint64_t expires = 0;
	kmn_err e;

	if ((e = quorum_material(s->q, body, &m)) == KMN_E_CORRUPT)
		apply_found(s, "V6", "the blob of the data is not what its name says");
	else if (e != KMN_OK)
		apply_trouble(s, e);
	if (s->err == KMN_OK &&
	    (kmn_operation_digest(body, r->seen.operation) != KMN_OK ||
		!kmn_json_get_b64(json_object_get(body, "requester"), "spki_sha256", r->seen.client_spki_sha256, 32) ||
		!kmn_json_get_number(body, "expires", &expires) || !judge_twice(s, r, &m.seen)))
		apply_found(s, "V6", "the intent cannot be judged: a member is missing or malformed");
	apply_read_signing(body, &r->signing);
	keep_judgement(s, r, m.data != NULL || r->seen.verdict.content_missing);
	quorum_material_clear(&m);
	r->seen.not_after = (int64_t)expires;
	/* What nothing hashes to could wait for ever. */
	r->seen.awaits = r->seen.verdict.answer == KMN_ANSWER_REFUSED && r->seen.verdict.content_missing &&
			 r->seen.verdict.per != KMN_PER_LOGIN && json_object_get(body, "norm") != NULL;
	r->seen.held = r->seen.awaits || (r->seen.verdict.answer == KMN_ANSWER_HELD && !quorum_needs_window(r));
	r->seen.window = quorum_is_opening(r);
	if (r->seen.window)
		r->seen.uses = r->seen.verdict.window_uses;
	if (r->seen.held && !r->seen.awaits && s->err == KMN_OK &&
	    (r->seen.not_after < r->seen.t ||
		r->seen.not_after - r->seen.t > (int64_t)r->seen.verdict.lifetime_s * 1000))
		apply_found(s, "V6", "it expires later than rule %s lets it", r->seen.verdict.rule);
}

/* What an operator wanted at the console, where the intent says so. */
static void
apply_instructed(struct step *s, struct request *r)
{
	struct kmn_why why = {""};
	kmn_err e = KMN_OK;

	if (s->record->body != NULL)
		e = quorum_instruct_apply(s->q, r, s->record->body, s->record->t, &why);
	if (e == KMN_E_DENIED)
		apply_found(s, "V6", "%.200s", why.text);
	else if (e != KMN_OK)
		apply_trouble(s, e);
}

void
apply_intent(struct step *s)
{
	struct request *r;

	if (kmn_quorum_policy(s->q) == NULL) {
		apply_found(s, "V5", "an intent, and no policy is in force");
		return;
	}
	if ((r = calloc(1, sizeof(*r))) == NULL || !add_request(s->q, r)) {
		free(r);
		apply_trouble(s, KMN_E_NO_MEMORY);
		return;
	}
	r->policy = kmn_quorum_policy(s->q);
	r->intent = json_incref((json_t *)(uintptr_t)s->record->body);
	r->seen.i = s->record->i;
	r->seen.t = (int64_t)s->record->t;
	r->seen.intent = r->intent;
	r->seen.uses = 1;
	r->seen.verdict.rule = "none"; /* until it is judged, which a damaged blob prevents */
	r->seen.policy_version = r->policy->version;
	memcpy(r->seen.leaf, s->record->leaf, sizeof(r->seen.leaf));
	if (s->record->body == NULL)
		judge_alike(s, r);
	else
		judge_request(s, r);
	s->q->counts.requests++;
	s->q->counts.held += r->seen.held;
	apply_instructed(s, r);
}

void
apply_attachment(struct step *s)
{
	struct request *r = apply_request_of(s, "request");
	struct kmn_why why = {""};
	kmn_err e;

	if (r == NULL)
		return;
	if ((e = quorum_attach_apply(s->q, r, s->record, &why)) == KMN_E_CORRUPT)
		apply_found(s, "V6", "attachment: %.200s", why.text);
	else if (e != KMN_OK)
		apply_trouble(s, e);
}
