/* Decisions: whether the votes, the time and the policy say what the record says. */
#include "config.h"

#include "server/quorum/apply.h"

#include "server/quorum/window.h"

#include <string.h>

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
			apply_found(s, "V6", "%s are not those that are recorded", name);
	}
	if (json_array_size(list) != n)
		apply_found(s, "V6", "%s lists votes that do not count", name);
}

static void
check_all_votes(struct step *s, const struct request *r)
{
	check_votes(s, r, "approvals", KMN_APPROVE);
	check_votes(s, r, "rejections", KMN_REJECT);
	check_votes(s, r, "vetoes", KMN_VETO);
}

/* A window lets it run, or nothing does. */
static void
check_use(struct step *s, struct request *r, struct request *window)
{
	struct kmn_why why = {""};

	if (window == NULL && s->q->choosing) /* it is forgotten; this was judged when it came */
		return;
	if (window == NULL) {
		apply_found(s, "V6", "allowed, but rule %s lets it run in a window only", r->seen.verdict.rule);
		return;
	}
	r->seen.window_i = window->seen.i;
	s->q->counts.uses++;
	if (quorum_window_use(s->q, r, window, s->record, &why) != KMN_OK)
		apply_found(s, "V6", "%.250s", why.text);
}

static void
check_allow(struct step *s, struct request *r, struct request *window)
{
	uint64_t use = 0;

	if (quorum_needs_window(r))
		check_use(s, r, window);
	else if (r->seen.window || json_object_get(s->record->body, "window") != NULL)
		apply_found(s, "V6", "a window is opened once, and used by what its rule holds: not by this");
	else if (!quorum_get_number(s->record, "use", &use) || use != r->seen.used + 1 || use > r->seen.uses)
		apply_found(s, "V6", "use %llu of %u", (unsigned long long)use, r->seen.uses);
	if (r->seen.held && !quorum_needs_window(r) && !quorum_votes_meet(s->q, &r->seen, apply_judged_at(s)))
		apply_found(
		    s, "V6", "allowed, but rule %s is not met (votes, expiry, veto or policy)", r->seen.verdict.rule);
	if (r->seen.held && quorum_needs_window(r) && apply_judged_at(s) > r->seen.not_after)
		apply_found(s, "V6", "allowed in a window, but the request has expired");
	if (r->seen.verdict.answer == KMN_ANSWER_REFUSED)
		apply_found(s, "V6", "allowed, but: %s", r->seen.verdict.reason);
	if ((!r->seen.held || quorum_needs_window(r)) && !quorum_is_current(s->q, r))
		apply_found(s, "V6", "allowed under a policy that has changed since the intent");
	apply_check_fresh(s, 'A', (int64_t)s->record->t, QUORUM_GRACE_MS);
	apply_check_stance(s, r->intent, 'A', quorum_needs_window(r), INT64_MAX);
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
	before = kmn_quorum_deny_reason(s->q, &r->seen, apply_judged_at(s));
	if (strcmp(verdict, "deny") != 0)
		apply_found(s, "V6", "'%.20s' has no reason but its votes and the time", verdict);
	else if (strcmp(reason, due) != 0 && strcmp(reason, before) != 0 &&
		 (strcmp(due, "stale") != 0 || strcmp(reason, "call") != 0))
		apply_found(s, "V6", "denied for the reason '%.20s', and it is '%s'", reason, due);
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
			apply_found(s, "V6", "decided '%s', but the votes and the time say '%s'", verdict,
			    due == NULL ? "open" : due);
		apply_end_request(s, r, ends[i].state);
		return;
	}
	apply_found(s, "V6", "'%.40s' is no verdict", verdict);
}

/* The quorum is met for a window: its time begins. */
static void
apply_open(struct step *s, struct request *r)
{
	struct kmn_why why = {""};

	if (quorum_window_open(s->q, r, s->record, &why) != KMN_OK)
		apply_found(s, "V6", "%.250s", why.text);
	apply_check_fresh(s, 'A', (int64_t)s->record->t, QUORUM_GRACE_MS);
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

/* It could still be decided; a finding where it could not. */
static bool
is_open(struct step *s, const struct request *r)
{
	if (r->seen.state == KMN_REQUEST_OPEN || r->seen.state == KMN_REQUEST_OFFERED ||
	    r->seen.state == KMN_REQUEST_WINDOW)
		return true;
	apply_found(s, "V6", "request %llu is %s already", (unsigned long long)r->seen.i,
	    kmn_request_state_name(r->seen.state));
	return false;
}

/* The verdict, if there is one; the rule, the time and the policy that the record names are those of the request. */
static const char *
verdict_of(struct step *s, const struct request *r)
{
	const char *verdict = NULL;
	uint64_t not_after;

	if (s->record->body == NULL) /* of the form of one that allowed a call at once, without votes */
		verdict = "allow";
	else if (!kmn_json_get_text(s->record->body, "verdict", &verdict))
		verdict = NULL;
	if (verdict == NULL ||
	    (!quorum_says(s->record, "rule", r->seen.verdict.rule) && !was_denied_unseen(s, r, verdict)))
		apply_found(s, "V6", "the rule that decides is %s", r->seen.verdict.rule);
	else if (!quorum_get_number(s->record, "not_after", &not_after) || (int64_t)not_after != r->seen.not_after)
		apply_found(s, "V6", "not_after is not that of the request");
	(void)apply_policy_named(s);
	return verdict;
}

/* What an operator wanted at the console again, while the request waited. */
static void
apply_met(struct step *s, struct request *r, struct request *window)
{
	struct kmn_why why = {""};
	kmn_err e = KMN_OK;

	if (s->record->body != NULL && window == NULL)
		e = quorum_instruct_met(s->q, r, s->record->body, s->record->t, &why);
	if (e == KMN_E_DENIED)
		apply_found(s, "V6", "%.200s", why.text);
	else if (e != KMN_OK)
		apply_trouble(s, e);
}

static void
apply_allow(struct step *s, struct request *r, struct request *window)
{
	check_allow(s, r, window);
	apply_met(s, r, window);
	if (s->err == KMN_OK && s->bare->body == NULL && s->record->body != NULL && r->seen.vote_count == 0 &&
	    window == NULL)
		quorum_plain_keep(s->q, s->bare, NULL);
	r->seen.state = KMN_REQUEST_RUNNING;
	r->seen.used++;
	s->q->counts.allowed++;
}

void
apply_decision(struct step *s)
{
	struct request *window = quorum_window_named(s->q, s->record), *r;
	const char *verdict;

	if (quorum_window_recall(s->q, s->record) || (r = apply_request_of(s, "request")) == NULL || !is_open(s, r))
		return;
	verdict = verdict_of(s, r);
	if (window != NULL || !s->q->choosing || !quorum_needs_window(r))
		check_all_votes(s, window != NULL ? window : r);
	if (verdict == NULL)
		return;
	if (s->record->body != NULL)
		check_reason(s, r, verdict);
	if (json_object_get(s->record->body, "application") != NULL &&
	    (window != NULL || strcmp(verdict, "allow") != 0))
		apply_found(s, "V6", "a decision names an instruction, and lets no call of it run");
	r->seen.decision_i = s->record->i;
	memcpy(r->decision_leaf, s->record->leaf, sizeof(r->decision_leaf));
	if (strcmp(verdict, "open") == 0 && r->seen.state == KMN_REQUEST_OFFERED)
		apply_open(s, r);
	else if (strcmp(verdict, "allow") == 0)
		apply_allow(s, r, window);
	else
		apply_end(s, r, verdict);
}
