/* What came of a call: results, calls of class B, sessions that a quorum let in. */
#include "config.h"

#include "server/quorum/apply.h"

#include <string.h>

#define RV_OK 0u
#define RV_BUFFER_TOO_SMALL 0x150u

void
apply_result(struct step *s)
{
	struct request *r = apply_request_of(s, "request");
	struct kmn_ref decision;
	uint64_t rv;

	if (r == NULL)
		return;
	if (!quorum_get_ref(s->record, "decision", &decision) || r->seen.state != KMN_REQUEST_RUNNING ||
	    decision.i != r->seen.decision_i || memcmp(decision.leaf, r->decision_leaf, sizeof(decision.leaf)) != 0 ||
	    !quorum_get_number(s->record, "rv", &rv)) {
		apply_found(
		    s, "V8", "no decision of request %llu waits for this result", (unsigned long long)r->seen.i);
		return;
	}
	s->q->counts.results++;
	r->answered_i = r->seen.decision_i;
	r->seen.result_i = s->record->i;
	r->seen.rv = rv;
	if (rv == RV_OK)
		apply_check_signature(s, &(struct quorum_asked){r->seen.i, r->intent, &r->signing});
	if (rv == RV_BUFFER_TOO_SMALL && r->seen.held) {
		r->seen.used--;
		r->seen.state = r->statement != NULL ? KMN_REQUEST_OFFERED : KMN_REQUEST_OPEN;
	} else {
		apply_end_request(s, r, rv == RV_OK ? KMN_REQUEST_DONE : KMN_REQUEST_FAILED);
	}
}

/* The signature that an op asked for and has. */
static void
check_op_signature(struct step *s, const struct quorum_signing *signing)
{
	apply_check_signature(s, &(struct quorum_asked){s->record->i, s->record->body, signing});
}

/* As one of its form that was right: what is left is when, and what was signed. */
static void
apply_op_alike(struct step *s)
{
	uint64_t rv;

	if (!quorum_get_number(s->record, "rv", &rv) || rv != RV_OK)
		return;
	apply_check_fresh(s, 'B', (int64_t)s->record->t, QUORUM_OP_GRACE_MS);
	if (s->err == KMN_OK)
		check_op_signature(s, &s->judged->signing);
}

void
apply_op(struct step *s)
{
	struct quorum_judged judged = {.signing = {.asked = false}};
	const struct kmn_policy *policy = apply_policy_named(s);
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
		apply_found(s, "V6", "an op without rule, function or return value that is known");
	else if (rv == RV_OK && ((r = policy_rule(policy, name)) == NULL || r->need != NEED_NONE))
		apply_found(s, "V6", "%.40s ran, and rule %.64s does not let it run at once", op, name);
	else if (rv == RV_OK && call->durability == KMN_DURABILITY_A &&
		 (call->policy != KMN_POLICY_KEY_USE || policy_rule(policy, name)->durability != 'B'))
		apply_found(s, "V6", "%.40s is class A under rule %.64s: it needs an intent before it runs", op, name);
	else if (rv == RV_OK && call->policy == KMN_POLICY_KEY_USE &&
		 !policy_may_decide(policy, policy_rule(policy, name), call, json_object_get(s->record->body, "key")))
		apply_found(s, "V6", "%.40s ran with a key of which rule %.64s does not decide", op, name);
	else if (rv == RV_OK)
		apply_check_fresh(s, 'B', (int64_t)s->record->t, QUORUM_OP_GRACE_MS);
	if (s->err == KMN_OK && rv == RV_OK) {
		uint64_t took_us = 0;

		if (!kmn_json_get_number(s->record->body, "dur_us", &took_us))
			took_us = 0;
		apply_check_stance(s, s->record->body, call->policy == KMN_POLICY_KEY_USE ? 'B' : 'A', false,
		    (int64_t)s->record->t - (int64_t)(took_us / 1000) - QUORUM_OP_GRACE_MS);
	}
	if (s->err != KMN_OK)
		return;
	apply_read_signing(s->record->body, &judged.signing);
	if (s->bare->body == NULL && policy == kmn_quorum_policy(s->q))
		quorum_plain_keep(s->q, s->bare, &judged);
	if (rv == RV_OK)
		check_op_signature(s, &judged.signing);
}

void
apply_session(struct step *s)
{
	const struct request *r;
	struct kmn_ref ref;
	const char *op;
	uint64_t rv;

	if (!quorum_get_ref(s->record, "request", &ref) || (r = apply_request_of(s, "request")) == NULL)
		return;
	if (!r->seen.held || r->seen.result_i == 0 || !kmn_json_get_text(r->intent, "op", &op) ||
	    strcmp(op, "C_Login") != 0 || !quorum_get_number(s->record, "rv", &rv) || rv != r->seen.rv)
		apply_found(s, "V6", "request %llu did not let anybody in so", (unsigned long long)r->seen.i);
}
