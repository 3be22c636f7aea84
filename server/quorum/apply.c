#include "config.h"

#include "server/quorum/quorum.h"

#include "kanmon/rescue.h"
#include "kanmon/scan.h"

#include "server/quorum/policy.h"
#include "server/quorum/window.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RV_OK 0u
#define RV_BUFFER_TOO_SMALL 0x150u
#define SIGNATURE_MAX_BYTES 8192

/*
 * One record being taken in: what is found wrong first is kept. For the auditor, decisions, results and class B calls,
 * and intents like one before, have no tree (body NULL): what is read of them is read by quorum_get_..() and listed
 * in plain.c.
 */
struct step {
	struct kmn_quorum *q;
	const struct kmn_record *record;
	const struct kmn_record *bare;      /* the record as it came, perhaps without a body */
	const struct quorum_judged *judged; /* of an intent without one */
	struct kmn_finding *finding;
	kmn_err err; /* KMN_E_CORRUPT: a finding; anything else: could not be judged */
};

static void found(struct step *s, const char *check, const char *format, ...) KMN_PRINTF(3, 4);

static void
found(struct step *s, const char *check, const char *format, ...)
{
	va_list args;

	if (s->err != KMN_OK)
		return;
	s->err = KMN_E_CORRUPT;
	s->finding->i = s->record->i;
	snprintf(s->finding->check, sizeof(s->finding->check), "%s", check);
	va_start(args, format);
	vsnprintf(s->finding->text, sizeof(s->finding->text), format, args);
	va_end(args);
}

static void
trouble(struct step *s, kmn_err e)
{
	if (s->err == KMN_OK)
		s->err = e;
}

/* The latest moment at which the record was decided upon, seen generously. */
static int64_t
judged_at(const struct step *s)
{
	return (int64_t)s->record->t - QUORUM_GRACE_MS;
}

/* ---- policy ------------------------------------------------------------------------------------------------------ */

/* What another file makes of the record. */
static void
apply_pure(struct step *s, const char *check,
    kmn_err (*take)(struct kmn_quorum *, const struct kmn_record *, struct kmn_why *))
{
	struct kmn_why why = {""};
	kmn_err e = take(s->q, s->record, &why);

	if (e == KMN_E_CORRUPT)
		found(s, check, "%.300s", why.text);
	else if (e != KMN_OK)
		trouble(s, e);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* The oldest of those that ended and were held, or were not. */
static void
forget_oldest(struct kmn_quorum *q, bool held)
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

static void
end_request(struct step *s, struct request *r, enum kmn_request_state state)
{
	r->seen.state = state;
	r->seen.ended_t = (int64_t)s->record->t;
	r->ended_i = s->record->i;
	*(r->seen.held ? &s->q->ended_held : &s->q->ended_free) += 1;
}

/* The request that member `name` of the body points to, by index and leaf. */
static struct request *
request_of(struct step *s, const char *name)
{
	struct request *r = NULL;
	struct kmn_ref ref;

	if (!quorum_get_ref(s->record, name, &ref))
		found(s, "V6", "no reference to a request");
	else if ((r = quorum_request(s->q, ref.i)) == NULL)
		found(s, "V6", "record %llu is no request that could still be decided", (unsigned long long)ref.i);
	else if (memcmp(r->seen.leaf, ref.leaf, sizeof(ref.leaf)) != 0)
		found(s, "V6", "the leaf hash is not that of request %llu", (unsigned long long)ref.i);
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
	    kmn_policy_judge_intent(r->policy, s->record->body, m, judged_at(s), &before) == KMN_OK &&
	    before.answer != KMN_ANSWER_REFUSED)
		r->seen.verdict = before;
	return true;
}

static void
read_signing(const json_t *intent, struct quorum_signing *out)
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
		found(s, "V6", "the blob of the data is not what its name says");
	else if (e != KMN_OK)
		trouble(s, e);
	if (s->err == KMN_OK &&
	    (kmn_operation_digest(body, r->seen.operation) != KMN_OK ||
		!kmn_json_get_b64(json_object_get(body, "requester"), "spki_sha256", r->seen.client_spki_sha256, 32) ||
		!kmn_json_get_number(body, "expires", &expires) || !judge_twice(s, r, &m.seen)))
		found(s, "V6", "the intent cannot be judged: a member is missing or malformed");
	read_signing(body, &r->signing);
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
		found(s, "V6", "it expires later than rule %s lets it", r->seen.verdict.rule);
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
		found(s, "V6", "%.200s", why.text);
	else if (e != KMN_OK)
		trouble(s, e);
}

static void
apply_intent(struct step *s)
{
	struct request *r;

	if (kmn_quorum_policy(s->q) == NULL) {
		found(s, "V5", "an intent, and no policy is in force");
		return;
	}
	if ((r = calloc(1, sizeof(*r))) == NULL || !add_request(s->q, r)) {
		free(r);
		trouble(s, KMN_E_NO_MEMORY);
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

/* ---- statement and votes ----------------------------------------------------------------------------------------- */

static void
check_statement(struct step *s, struct request *r, const char *text)
{
	uint8_t sha256[KMN_HASH_BYTES], named[KMN_HASH_BYTES];
	struct kmn_head head;
	char *again = NULL;
	kmn_err e;

	kmn_sha256(text, strlen(text), sha256);
	if (!kmn_json_get_b64(s->record->body, "sha256", named, sizeof(named)) ||
	    memcmp(sha256, named, sizeof(named)) != 0)
		found(s, "V6", "sha256 is not that of the text");
	if (!kmn_head_get(s->record->body, "head", &head) || head.size <= r->seen.i ||
	    head.size <= r->seen.attachment_i || head.size > s->record->i)
		found(s, "V6", "the head does not hold the request");
	else if (s->q->settings.head != NULL && !s->q->settings.head(s->q->settings.cookie, &head))
		found(s, "V6", "the head is not one of this ledger");
	if (s->err != KMN_OK)
		return;
	if ((e = kmn_quorum_statement_text(s->q, &r->seen, &head, &again)) == KMN_E_NO_MEMORY)
		trouble(s, e);
	else if (e != KMN_OK || strcmp(again, text) != 0)
		found(s, "V6", "the text is not the statement of request %llu as it is made again",
		    (unsigned long long)r->seen.i);
	free(again);
}

static void
apply_attachment(struct step *s)
{
	struct request *r = request_of(s, "request");
	struct kmn_why why = {""};
	kmn_err e;

	if (r == NULL)
		return;
	if ((e = quorum_attach_apply(s->q, r, s->record, &why)) == KMN_E_CORRUPT)
		found(s, "V6", "attachment: %.200s", why.text);
	else if (e != KMN_OK)
		trouble(s, e);
}

static void
apply_statement(struct step *s)
{
	struct request *r = request_of(s, "request");
	const char *text = NULL;

	if (r == NULL)
		return;
	if (!quorum_asks_votes(r) || r->seen.state != KMN_REQUEST_OPEN ||
	    !kmn_json_get_text(s->record->body, "text", &text)) {
		found(s, "V6", "no statement is due for request %llu", (unsigned long long)r->seen.i);
		return;
	}
	check_statement(s, r, text);
	if (s->err != KMN_OK && s->err != KMN_E_CORRUPT)
		return;
	if ((r->statement = strdup(text)) == NULL) {
		trouble(s, KMN_E_NO_MEMORY);
		return;
	}
	s->q->counts.statements_verified += s->err == KMN_OK;
	r->seen.statement = r->statement;
	r->seen.statement_i = s->record->i;
	r->seen.state = KMN_REQUEST_OFFERED;
}

static void
add_votes(
    struct step *s, struct request *r, const struct kmn_statement_said *said, const struct quorum_signers *signers)
{
	struct kmn_vote *more = realloc(r->votes, (r->seen.vote_count + signers->count) * sizeof(*more));

	if (more == NULL) {
		trouble(s, KMN_E_NO_MEMORY);
		return;
	}
	r->seen.votes = r->votes = more;
	for (size_t i = 0; i < signers->count; i++) {
		struct kmn_vote *v = &r->votes[r->seen.vote_count];

		*v = (struct kmn_vote){.decision = said->decision,
		    .name = signers->who[i].name,
		    .person = signers->who[i].person,
		    .i = s->record->i,
		    .t = (int64_t)s->record->t,
		    .independent = signers->who[i].independent};
		memcpy(v->leaf, s->record->leaf, sizeof(v->leaf));
		if ((v->reason = strdup(said->reason)) == NULL) {
			trouble(s, KMN_E_NO_MEMORY);
			return;
		}
		r->seen.vote_count++;
	}
}

static void
apply_vote(struct step *s)
{
	struct request *r = request_of(s, "request");
	struct kmn_statement_said said;
	struct quorum_signers signers;
	struct kmn_note_check check;
	const char *note, *said_check;
	bool good, said_good;

	if (r == NULL)
		return;
	if (!kmn_json_get_text(s->record->body, "note", &note) ||
	    !kmn_json_get_text(s->record->body, "check", &said_check)) {
		found(s, "V6", "a vote without note or check");
		return;
	}
	said_good = strcmp(said_check, "ok") == 0;
	good = quorum_check_note(
	    s->q, note, strlen(note), said_good ? judged_at(s) : (int64_t)s->record->t, &check, &said, &signers);
	if (good != said_good)
		found(s, "V6", "recorded as '%.80s', but it is: %.160s", said_check, good ? "ok" : check.check);
	else if (good && (check.request != &r->seen ||
			     strcmp(kmn_quorum_vote_type(said.decision), kmn_record_name(s->record->kind)) != 0))
		found(s, "V6", "the note is about another request, or of another kind, than the record says");
	if (s->err == KMN_OK && good && quorum_counters_take(s->q, &signers, s->record->i) != KMN_OK)
		trouble(s, KMN_E_NO_MEMORY);
	if (s->err == KMN_OK && good)
		add_votes(s, r, &said, &signers);
}

/* ---- decision and result ----------------------------------------------------------------------------------------- */

/* The lists of a decision are all votes of their kind that came before it, in order. */
static void
check_votes(struct step *s, const struct request *r, const char *name, enum kmn_decision decision)
{
	const json_t *list = json_object_get(s->record->body, name);
	size_t n = 0;

	for (size_t i = 0; i < r->seen.vote_count; i++) {
		const struct kmn_vote *v = &r->votes[i];
		struct kmn_ref ref;

		if (v->decision != decision || (i > 0 && r->votes[i - 1].i == v->i))
			continue;
		if (!kmn_ref_parse(json_array_get(list, n++), &ref) || ref.i != v->i ||
		    memcmp(ref.leaf, v->leaf, sizeof(v->leaf)) != 0)
			found(s, "V6", "%s are not those that are recorded", name);
	}
	if (json_array_size(list) != n)
		found(s, "V6", "%s lists votes that do not count", name);
}

static void
check_all_votes(struct step *s, const struct request *r)
{
	check_votes(s, r, "approvals", KMN_APPROVE);
	check_votes(s, r, "rejections", KMN_REJECT);
	check_votes(s, r, "vetoes", KMN_VETO);
}

/* The policy that the record names; NULL, and a finding, where it may not decide here. */
static const struct kmn_policy *
policy_named(struct step *s)
{
	/* Without a tree, one of its form named the policy in force. */
	const struct kmn_policy *policy =
	    s->record->body == NULL ? kmn_quorum_policy(s->q) : quorum_named_policy(s->q, s->record);

	if (policy == NULL)
		found(s, "V6", "it names a policy that is not in force");
	return policy;
}

/* Whether calls of this class went on when they must not; `grace`: from the judgement to the record. */
static void
check_fresh(struct step *s, char durability, int64_t t, int64_t grace)
{
	struct kmn_stale stale;

	if (kmn_quorum_is_stale(s->q, durability, t, &stale) &&
	    kmn_quorum_is_stale(s->q, durability, t - grace, &stale))
		found(s, stale.check, "class %c went on: %.250s", durability, stale.reason);
}

/* A window lets it run, or nothing does. */
static void
check_use(struct step *s, struct request *r, struct request *window)
{
	struct kmn_why why = {""};

	if (window == NULL && s->q->choosing) /* it is forgotten; this was judged when it came */
		return;
	if (window == NULL) {
		found(s, "V6", "allowed, but rule %s lets it run in a window only", r->seen.verdict.rule);
		return;
	}
	r->seen.window_i = window->seen.i;
	s->q->counts.uses++;
	if (quorum_window_use(s->q, r, window, s->record, &why) != KMN_OK)
		found(s, "V6", "%.250s", why.text);
}

/* A token that an anomaly sealed or degraded, and a call on it all the same; `since`: it had to be known by then. */
static void
check_stance(struct step *s, const json_t *body, char durability, bool windowed, int64_t since)
{
	struct kmn_anomaly anomaly;

	if (kmn_quorum_token_stops(s->q, body, durability, windowed, since, &anomaly))
		found(s, "V6", "class %c went on: %.250s", durability, anomaly.reason);
}

static void
check_allow(struct step *s, struct request *r, struct request *window)
{
	uint64_t use = 0;

	if (quorum_needs_window(r))
		check_use(s, r, window);
	else if (r->seen.window || json_object_get(s->record->body, "window") != NULL)
		found(s, "V6", "a window is opened once, and used by what its rule holds: not by this");
	else if (!quorum_get_number(s->record, "use", &use) || use != r->seen.used + 1 || use > r->seen.uses)
		found(s, "V6", "use %llu of %u", (unsigned long long)use, r->seen.uses);
	if (r->seen.held && !quorum_needs_window(r) && !quorum_votes_meet(s->q, &r->seen, judged_at(s)))
		found(s, "V6", "allowed, but rule %s is not met (votes, expiry, veto or policy)", r->seen.verdict.rule);
	if (r->seen.held && quorum_needs_window(r) && judged_at(s) > r->seen.not_after)
		found(s, "V6", "allowed in a window, but the request has expired");
	if (r->seen.verdict.answer == KMN_ANSWER_REFUSED)
		found(s, "V6", "allowed, but: %s", r->seen.verdict.reason);
	if ((!r->seen.held || quorum_needs_window(r)) && !quorum_is_current(s->q, r))
		found(s, "V6", "allowed under a policy that has changed since the intent");
	check_fresh(s, 'A', (int64_t)s->record->t, QUORUM_GRACE_MS);
	check_stance(s, r->intent, 'A', quorum_needs_window(r), INT64_MAX);
}

static const struct {
	const char *verdict;
	enum kmn_request_state state;
	bool computed; /* must be what kmn_quorum_ends says */
} ends[] = {
    {"deny", KMN_REQUEST_DENIED, false},
    {"rejected", KMN_REQUEST_REJECTED, true},
    {"vetoed", KMN_REQUEST_VETOED, true},
    {"expired", KMN_REQUEST_EXPIRED, true},
    {"withdrawn", KMN_REQUEST_WITHDRAWN, false},
    {"spent", KMN_REQUEST_SPENT, true},
};

/* What is said of a denial is what the policy, the token's anomalies and its limits say; a limit as seen generously. */
static void
check_reason(struct step *s, const struct request *r, const char *verdict)
{
	const char *reason, *due, *before;

	if (s->q->choosing || !kmn_json_get_text(s->record->body, "reason", &reason))
		return; /* records from before it was said have none */
	due = kmn_quorum_deny_reason(s->q, &r->seen, (int64_t)s->record->t);
	before = kmn_quorum_deny_reason(s->q, &r->seen, judged_at(s));
	if (strcmp(verdict, "deny") != 0)
		found(s, "V6", "'%.20s' has no reason but its votes and the time", verdict);
	else if (strcmp(reason, due) != 0 && strcmp(reason, before) != 0 &&
		 (strcmp(due, "stale") != 0 || strcmp(reason, "call") != 0))
		found(s, "V6", "denied for the reason '%.20s', and it is '%s'", reason, due);
}

static void
apply_end(struct step *s, struct request *r, const char *verdict)
{
	for (size_t i = 0; i < KMN_COUNT_OF(ends); i++) {
		const char *due;

		if (strcmp(ends[i].verdict, verdict) != 0)
			continue;
		due = kmn_quorum_ends(s->q, &r->seen, (int64_t)s->record->t);
		/* Among chosen records not all uses of a window are there. */
		if (ends[i].computed && !(s->q->choosing && ends[i].state == KMN_REQUEST_SPENT) &&
		    (due == NULL || strcmp(due, verdict) != 0))
			found(s, "V6", "decided '%s', but the votes and the time say '%s'", verdict,
			    due == NULL ? "open" : due);
		end_request(s, r, ends[i].state);
		return;
	}
	found(s, "V6", "'%.40s' is no verdict", verdict);
}

/* The quorum is met for a window: its time begins. */
static void
apply_open(struct step *s, struct request *r)
{
	struct kmn_why why = {""};

	if (quorum_window_open(s->q, r, s->record, &why) != KMN_OK)
		found(s, "V6", "%.250s", why.text);
	check_fresh(s, 'A', (int64_t)s->record->t, QUORUM_GRACE_MS);
	r->opened_i = s->record->i;
	s->q->counts.windows++;
}

/*
 * What is refused is not kept; the same bytes may be, for a later call. When it was refused nothing but their hash was
 * there, and the rule was that of the hash.
 */
static bool
was_denied_unseen(const struct step *s, const struct request *r, const char *verdict)
{
	struct kmn_verdict unseen;

	return strcmp(verdict, "deny") == 0 &&
	       kmn_policy_judge_intent(r->policy, r->intent, NULL, r->seen.t, &unseen) == KMN_OK &&
	       unseen.content_missing && quorum_says(s->record, "rule", unseen.rule);
}

static void
apply_decision(struct step *s)
{
	struct request *window = quorum_window_named(s->q, s->record), *r;
	const char *verdict = NULL;
	uint64_t not_after;

	if (quorum_window_recall(s->q, s->record) || (r = request_of(s, "request")) == NULL)
		return;
	if (r->seen.state != KMN_REQUEST_OPEN && r->seen.state != KMN_REQUEST_OFFERED &&
	    r->seen.state != KMN_REQUEST_WINDOW) {
		found(s, "V6", "request %llu is %s already", (unsigned long long)r->seen.i,
		    kmn_request_state_name(r->seen.state));
		return;
	}
	if (s->record->body == NULL) /* of the form of one that allowed a call at once, without votes */
		verdict = "allow";
	else if (!kmn_json_get_text(s->record->body, "verdict", &verdict))
		verdict = NULL;
	if (verdict == NULL ||
	    (!quorum_says(s->record, "rule", r->seen.verdict.rule) && !was_denied_unseen(s, r, verdict)))
		found(s, "V6", "the rule that decides is %s", r->seen.verdict.rule);
	else if (!quorum_get_number(s->record, "not_after", &not_after) || (int64_t)not_after != r->seen.not_after)
		found(s, "V6", "not_after is not that of the request");
	(void)policy_named(s);
	if (window != NULL || !s->q->choosing || !quorum_needs_window(r))
		check_all_votes(s, window != NULL ? window : r);
	if (verdict == NULL)
		return;
	if (s->record->body != NULL)
		check_reason(s, r, verdict);
	r->seen.decision_i = s->record->i;
	memcpy(r->decision_leaf, s->record->leaf, sizeof(r->decision_leaf));
	if (strcmp(verdict, "open") == 0 && r->seen.state == KMN_REQUEST_OFFERED) {
		apply_open(s, r);
		return;
	}
	if (strcmp(verdict, "allow") != 0) {
		apply_end(s, r, verdict);
		return;
	}
	check_allow(s, r, window);
	if (s->err == KMN_OK && s->bare->body == NULL && s->record->body != NULL && r->seen.vote_count == 0 &&
	    window == NULL)
		quorum_plain_keep(s->q, s->bare, NULL);
	r->seen.state = KMN_REQUEST_RUNNING;
	r->seen.used++;
	s->q->counts.allowed++;
}

/* What a signature was asked for by. */
struct quorum_asked {
	uint64_t i;         /* index of the intent, or of the op */
	const json_t *body; /* of it; NULL: of a form that was judged before, whose data is not kept */
	const struct quorum_signing *signing;
};

/* The public key that an intent or op names, as it was kept; NULL where it names none. */
static uint8_t *
key_of(struct step *s, const struct quorum_signing *signing, size_t *len_out)
{
	const uint8_t *sha256 = signing->spki_sha256;
	uint8_t again[KMN_HASH_BYTES], *spki = NULL;
	kmn_err e;

	*len_out = 0;
	if (s->q->settings.blob == NULL || !signing->has_key)
		return NULL;
	e = s->q->settings.blob(s->q->settings.cookie, sha256, &spki, len_out);
	if (e == KMN_OK) {
		kmn_sha256(spki, *len_out, again);
		if (memcmp(again, sha256, sizeof(again)) == 0)
			return spki;
		e = KMN_E_CORRUPT;
	}
	if (e == KMN_E_CORRUPT)
		found(s, "V7", "the blob of the public key is not what its name says");
	else
		trouble(s, e); /* missing: the auditor's input is not complete */
	free(spki);
	return NULL;
}

void
kmn_signature_free(struct kmn_signature *signature)
{
	if (signature == NULL)
		return;
	free(signature->spki);
	free(signature->data);
	free(signature->bytes);
	free(signature);
}

/* All that a signature is to be verified by; NULL: it cannot be, which is said or counted. */
static struct kmn_signature *
gather_signature(struct step *s, const struct quorum_asked *asked, const char *b64, size_t len)
{
	struct kmn_signature *sig = calloc(1, sizeof(*sig));
	kmn_err e;

	if (sig == NULL || (sig->bytes = malloc(len + 1)) == NULL) {
		trouble(s, KMN_E_NO_MEMORY);
		goto failed;
	}
	sig->request = asked->i;
	sig->has_pss = asked->signing->has_pss;
	sig->pss = asked->signing->pss;
	sig->norm = asked->signing->norm;
	memcpy(sig->spki_sha256, asked->signing->spki_sha256, sizeof(sig->spki_sha256));
	if (asked->signing->malformed ||
	    kmn_b64_parse(b64, len, sig->bytes, SIGNATURE_MAX_BYTES, &sig->len) != KMN_OK) {
		found(s, "V7", "the signature or its normal form is malformed");
		goto failed;
	}
	sig->spki = key_of(s, asked->signing, &sig->spki_len);
	if (sig->spki == NULL || (strcmp(sig->norm.scheme, "rsa-pss") == 0 && !sig->has_pss)) {
		s->q->counts.signatures_skipped++;
		goto failed;
	}
	if ((e = quorum_data(s->q, asked->body, &sig->data, &sig->data_len)) == KMN_OK)
		return sig;
	if (e == KMN_E_NOT_FOUND)
		s->q->counts.signatures_skipped++;
	else
		found(s, "V7", "the blob of the data is not what its name says");
failed:
	kmn_signature_free(sig);
	return NULL;
}

/* V7: what came back verifies under the key that the intent or op names, over what that says was signed. */
static void
check_signature(struct step *s, const struct quorum_asked *asked)
{
	struct kmn_signature *sig;
	const char *b64;
	size_t len;
	kmn_err e;

	if (!asked->signing->asked)
		return;
	if ((b64 = quorum_get_out(s->record, &len)) == NULL) {
		found(s, "V7", "a signature was made, and the record does not have it");
		return;
	}
	if ((sig = gather_signature(s, asked, b64, len)) == NULL)
		return;
	if (s->q->settings.signature != NULL) {
		s->q->settings.signature(s->q->settings.cookie, s->record, sig);
		return;
	}
	e = kmn_operation_verify_signature(sig->spki, sig->spki_len, &sig->norm, sig->has_pss ? &sig->pss : NULL,
	    sig->data, sig->data_len, sig->bytes, sig->len);
	kmn_signature_free(sig);
	if (e == KMN_E_NOT_FOUND)
		s->q->counts.signatures_skipped++;
	else if (e == KMN_OK)
		s->q->counts.signatures_verified++;
	else
		found(s, "V7", KMN_SIGNATURE_FINDING, (unsigned long long)asked->i);
}

static void
apply_result(struct step *s)
{
	struct request *r = request_of(s, "request");
	struct kmn_ref decision;
	uint64_t rv;

	if (r == NULL)
		return;
	if (!quorum_get_ref(s->record, "decision", &decision) || r->seen.state != KMN_REQUEST_RUNNING ||
	    decision.i != r->seen.decision_i || memcmp(decision.leaf, r->decision_leaf, sizeof(decision.leaf)) != 0 ||
	    !quorum_get_number(s->record, "rv", &rv)) {
		found(s, "V8", "no decision of request %llu waits for this result", (unsigned long long)r->seen.i);
		return;
	}
	s->q->counts.results++;
	r->answered_i = r->seen.decision_i;
	r->seen.result_i = s->record->i;
	r->seen.rv = rv;
	if (rv == RV_OK)
		check_signature(s, &(struct quorum_asked){r->seen.i, r->intent, &r->signing});
	if (rv == RV_BUFFER_TOO_SMALL && r->seen.held) {
		r->seen.used--;
		r->seen.state = r->statement != NULL ? KMN_REQUEST_OFFERED : KMN_REQUEST_OPEN;
	} else {
		end_request(s, r, rv == RV_OK ? KMN_REQUEST_DONE : KMN_REQUEST_FAILED);
	}
}

/* The signature that an op asked for and has. */
static void
check_op_signature(struct step *s, const struct quorum_signing *signing)
{
	check_signature(s, &(struct quorum_asked){s->record->i, s->record->body, signing});
}

/* As one of its form that was right: what is left is when, and what was signed. */
static void
apply_op_alike(struct step *s)
{
	uint64_t rv;

	if (!quorum_get_number(s->record, "rv", &rv) || rv != RV_OK)
		return;
	check_fresh(s, 'B', (int64_t)s->record->t, QUORUM_OP_GRACE_MS);
	if (s->err == KMN_OK)
		check_op_signature(s, &s->judged->signing);
}

/* A class B call has no intent: at least its rule must have let it run at once, in that class. */
static void
apply_op(struct step *s)
{
	struct quorum_judged judged = {.signing = {.asked = false}};
	const struct kmn_policy *policy = policy_named(s);
	const struct kmn_call *call;
	const struct rule *r;
	const char *name, *op;
	uint64_t rv;

	if (s->record->body == NULL) {
		apply_op_alike(s);
		return;
	}
	if (policy == NULL)
		return;
	if (!kmn_json_get_text(s->record->body, "rule", &name) || !kmn_json_get_text(s->record->body, "op", &op) ||
	    !kmn_json_get_number(s->record->body, "rv", &rv) || (call = kmn_call_by_name(op)) == NULL)
		found(s, "V6", "an op without rule, function or return value that is known");
	else if (rv == RV_OK && ((r = policy_rule(policy, name)) == NULL || r->need != NEED_NONE))
		found(s, "V6", "%.40s ran, and rule %.64s does not let it run at once", op, name);
	else if (rv == RV_OK && call->durability == KMN_DURABILITY_A &&
		 (call->policy != KMN_POLICY_KEY_USE || policy_rule(policy, name)->durability != 'B'))
		found(s, "V6", "%.40s is class A under rule %.64s: it needs an intent before it runs", op, name);
	else if (rv == RV_OK && call->policy == KMN_POLICY_KEY_USE &&
		 !policy_may_decide(policy, policy_rule(policy, name), call, json_object_get(s->record->body, "key")))
		found(s, "V6", "%.40s ran with a key of which rule %.64s does not decide", op, name);
	else if (rv == RV_OK)
		check_fresh(s, 'B', (int64_t)s->record->t, QUORUM_OP_GRACE_MS);
	if (s->err == KMN_OK && rv == RV_OK) {
		uint64_t took_us = 0;

		if (!kmn_json_get_number(s->record->body, "dur_us", &took_us))
			took_us = 0;
		check_stance(s, s->record->body, call->policy == KMN_POLICY_KEY_USE ? 'B' : 'A', false,
		    (int64_t)s->record->t - (int64_t)(took_us / 1000) - QUORUM_OP_GRACE_MS);
	}
	if (s->err != KMN_OK)
		return;
	read_signing(s->record->body, &judged.signing);
	if (s->bare->body == NULL && policy == kmn_quorum_policy(s->q))
		quorum_plain_keep(s->q, s->bare, &judged);
	if (rv == RV_OK)
		check_op_signature(s, &judged.signing);
}

/* Who was let in by a quorum was let in by that request: its result says the same. */
static void
apply_session(struct step *s)
{
	const struct request *r;
	struct kmn_ref ref;
	const char *op;
	uint64_t rv;

	if (!quorum_get_ref(s->record, "request", &ref) || (r = request_of(s, "request")) == NULL)
		return;
	if (!r->seen.held || r->seen.result_i == 0 || !kmn_json_get_text(r->intent, "op", &op) ||
	    strcmp(op, "C_Login") != 0 || !quorum_get_number(s->record, "rv", &rv) || rv != r->seen.rv)
		found(s, "V6", "request %llu did not let anybody in so", (unsigned long long)r->seen.i);
}

/* A guard that was overruled stands, with its head, in a note of the quorum about this very ledger. */
static void
check_overruled(struct step *s, const struct kmn_rescue *rescue, const json_t *guard)
{
	const char *name, *verdict;
	struct kmn_head head;
	bool named = false;

	if (!kmn_json_get_text(guard, "verdict", &verdict) || !kmn_json_get_text(guard, "name", &name) ||
	    !kmn_json_get_number(guard, "size", &head.size) ||
	    !kmn_json_get_b64(guard, "root", head.root, KMN_HASH_BYTES)) {
		found(s, "V10", "recovery: a guard without name, verdict, size or root");
		return;
	}
	if (strcmp(verdict, "overruled") != 0)
		return;
	for (unsigned i = 0; i < rescue->guards; i++)
		named = named || (strcmp(rescue->guard[i].name, name) == 0 && rescue->guard[i].head.size == head.size &&
				     memcmp(rescue->guard[i].head.root, head.root, KMN_HASH_BYTES) == 0);
	if (!named)
		found(s, "V10", "recovery overrules guard '%.64s' with %llu records, and nobody authorised that", name,
		    (unsigned long long)head.size);
}

/* The ledger goes on though a guard held another head: only by the policy's quorum. */
static void
check_authorised(struct step *s)
{
	const json_t *guards = json_object_get(s->record->body, "guards"), *guard;
	struct kmn_rescue rescue = {.guards = 0};
	struct kmn_why why = {""};
	const char *note = NULL;
	size_t n;

	if (json_object_get(s->record->body, "authorised") != NULL) {
		if (!kmn_json_get_text(s->record->body, "authorised", &note) || kmn_quorum_policy(s->q) == NULL ||
		    kmn_rescue_accept(kmn_quorum_policy(s->q), note, strlen(note), &rescue, &why) != KMN_OK) {
			found(s, "V10", "recovery: the note that authorises it does not count: %.200s", why.text);
			return;
		}
		if (rescue.ledger.size > s->record->i ||
		    (s->q->settings.head != NULL && !s->q->settings.head(s->q->settings.cookie, &rescue.ledger)))
			found(s, "V10", "recovery: the note that authorises it is about another ledger");
	}
	json_array_foreach(guards, n, guard) check_overruled(s, &rescue, guard);
}

/* What a crash left open is said once, at the next start. */
static void
apply_recovery(struct step *s)
{
	const json_t *list = json_object_get(s->record->body, "open_requests");
	json_t *item;
	size_t n;

	check_authorised(s);
	json_array_foreach(list, n, item)
	{
		struct kmn_ref ref = {.i = 0};
		struct request *r = NULL;
		const char *state = "";
		json_t *bare = json_copy(item);
		bool unknown;

		json_object_del(bare, "state");
		if (kmn_ref_parse(bare, &ref))
			r = quorum_request(s->q, ref.i);
		json_decref(bare);
		if (r == NULL && s->record->i < s->q->resumed) /* ended since, and forgotten when the choice was made */
			continue;
		unknown = kmn_json_get_text(item, "state", &state) && strcmp(state, "unknown") == 0;
		if (r == NULL || memcmp(ref.leaf, r->seen.leaf, sizeof(ref.leaf)) != 0 ||
		    (!unknown && strcmp(state, "not-started") != 0) ||
		    (r->seen.state != (unknown ? KMN_REQUEST_RUNNING : KMN_REQUEST_OPEN))) {
			found(s, "V8", "recovery calls record %llu '%.20s', and it is not", (unsigned long long)ref.i,
			    state);
			continue;
		}
		end_request(s, r, unknown ? KMN_REQUEST_UNDECIDED : KMN_REQUEST_UNSTARTED);
	}
}

static void
apply_witness(struct step *s)
{
	struct kmn_why why = {""};
	kmn_err e = quorum_witness_apply(s->q, s->record, &why);

	if (e == KMN_E_CORRUPT)
		found(s, "V4", "cosignatures: %.200s", why.text);
	else if (e != KMN_OK)
		trouble(s, e);
}

static void
apply(struct step *s)
{
	switch (s->record->kind) {
	case KMN_R_GENESIS:
	case KMN_R_POLICY:
	case KMN_R_POLICY_PROPOSAL:
		apply_pure(s, "V5", quorum_rotation_apply);
		break;
	case KMN_R_GATEWAY_START:
		apply_pure(s, "V5", quorum_rotation_apply);
		apply_pure(s, "V6", quorum_action_apply);
		break;
	case KMN_R_ACTION:
		apply_pure(s, "V6", quorum_action_apply);
		break;
	case KMN_R_POLICY_VETO:
	case KMN_R_ATTESTATION:
	case KMN_R_REOPEN:
		apply_pure(s, "V6", quorum_signed_apply);
		break;
	case KMN_R_ANOMALY:
		apply_pure(s, "V6", quorum_anomaly_check);
		break;
	case KMN_R_INTENT:
		apply_intent(s);
		break;
	case KMN_R_ATTACHMENT:
		apply_attachment(s);
		break;
	case KMN_R_STATEMENT:
		apply_statement(s);
		break;
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
		apply_vote(s);
		break;
	case KMN_R_DECISION:
		apply_decision(s);
		break;
	case KMN_R_RESULT:
		apply_result(s);
		break;
	case KMN_R_OP:
		apply_op(s);
		break;
	case KMN_R_SESSION:
		apply_session(s);
		break;
	case KMN_R_RECOVERY:
		apply_recovery(s);
		break;
	default:
		break;
	}
}

kmn_err
kmn_quorum_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_finding *finding_out)
{
	struct quorum_judged judged;
	struct kmn_record whole = *record;
	struct step s = {q, record, record, &judged, finding_out, KMN_OK};
	json_t *owner = NULL;

	memset(finding_out, 0, sizeof(*finding_out));
	if (record->body == NULL && !quorum_is_plain(q, record, &judged)) {
		if ((owner = json_loadb(record->scan->body, record->scan->body_len, 0, NULL)) == NULL)
			return KMN_E_NO_MEMORY;
		whole.body = owner;
		s.record = &whole;
	}
	q->choosing = record->i < q->resumed;
	apply(&s);
	if (record->kind != KMN_R_UNKNOWN)
		q->last[record->kind] = record->i + 1;
	apply_witness(&s);
	quorum_fresh_apply(q, s.record);
	quorum_stance_apply(q, s.record);
	json_decref(owner);
	q->choosing = false;
	if (record->i < q->resumed) /* a choice holds what is kept and nothing else */
		return s.err;
	if (q->ended_held > QUORUM_HELD_KEPT)
		forget_oldest(q, true);
	if (q->ended_free > QUORUM_FREE_KEPT)
		forget_oldest(q, false);
	return s.err;
}
