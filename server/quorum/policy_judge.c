/* Question -> verdict: the first rule that fits decides. */
#include "config.h"

#include "server/quorum/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
policy_object_fits(const struct object *o, const struct kmn_question *q, const struct kmn_policy_token *token)
{
	if (o->token != NULL && (token == NULL || strcmp(o->token, token->name) != 0))
		return false;
	if ((o->label != NULL || o->id != NULL || o->class != NULL) && !q->has_object)
		return false;
	if (o->label != NULL && (q->label == NULL || strcmp(o->label, q->label) != 0))
		return false;
	if (o->class != NULL && (q->object_class == NULL || strcmp(o->class, q->object_class) != 0))
		return false;
	return o->id == NULL || (q->id != NULL && q->id_len == o->id_len && memcmp(q->id, o->id, o->id_len) == 0);
}

static bool
calls_fit(const struct rule *r, const struct kmn_call *call)
{
	return r->class[call->policy] || policy_has(r->calls, call->name);
}

bool
policy_mechanisms_fit(const struct rule *r, const struct kmn_question *q)
{
	if (r->mechanisms == NULL)
		return true;
	for (char **m = r->mechanisms; *m != NULL; m++)
		if (kmn_operation_mechanism_fits(*m, q->mechanism, q->norm))
			return true;
	return false;
}

bool
policy_key_fits(const struct rule *r, const struct kmn_question *q)
{
	for (size_t i = 0; i < r->key_count; i++)
		if (q->key_spki_sha256 != NULL && memcmp(r->keys[i], q->key_spki_sha256, KMN_HASH_BYTES) == 0)
			return true;
	return r->key_count == 0;
}

void
policy_say(struct kmn_verdict *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->reason, sizeof(v->reason), format, args);
	va_end(args);
}

void
policy_decide(const struct kmn_policy *policy, const struct rule *r, struct kmn_verdict *v)
{
	v->rule = r->name;
	v->durability = r->durability;
	v->lifetime_s = r->lifetime_s;
	v->selfcheck = r->durability == 'A' ? 1 : r->selfcheck;
	v->independent = r->independent;
	v->per = r->per;
	v->window_s = r->window_s;
	v->window_uses = r->window_uses;
	memcpy(v->allow, r->allow, sizeof(v->allow));
	v->origin_local = r->origin_local;
	switch (r->need) {
	case NEED_NONE:
		v->answer = KMN_ANSWER_FREE;
		policy_say(v, "rule %s admits it", r->name);
		return;
	case NEED_GROUPS:
		v->answer = KMN_ANSWER_HELD;
		for (char **name = r->groups; *name != NULL; name++) {
			const struct group *g = policy_group(policy, *name, false);

			v->need[v->needs++] = (struct kmn_need){g->name, g->least, g->count};
		}
		policy_say(v, "rule %s asks for a quorum", r->name);
		return;
	case NEED_DENY:
	case NEED_UNSAID:
		policy_say(v, "rule %s denies it", r->name);
	}
}

/* Who asks, on which token, under a policy in force: false with the reason said. */
static bool
is_in_place(const struct kmn_policy *policy, const struct kmn_question *q, const struct kmn_call *call,
    const struct kmn_policy_peer **peer, const struct kmn_policy_token **token, struct kmn_verdict *v)
{
	*token = NULL;
	*peer = q->client_spki_sha256 == NULL ? NULL : kmn_policy_peer_get(policy, q->client_spki_sha256);
	if (*peer == NULL || (*peer)->terminal)
		policy_say(v, "the caller is no client of policy version %llu", (unsigned long long)policy->version);
	else if ((q->now < policy->not_before || q->now >= policy->expires) && call->durability != KMN_DURABILITY_C)
		policy_say(v, "policy version %llu is %s: a new one must be signed",
		    (unsigned long long)policy->version, q->now < policy->not_before ? "not yet in force" : "expired");
	else if (q->token != NULL && (*token = kmn_policy_token_get(policy, q->token)) == NULL)
		policy_say(v, "no token line fits the token %s", q->token->label == NULL ? "" : q->token->label);
	else if (*token != NULL && !policy_has(((const struct peer *)(const void *)*peer)->tokens, (*token)->name))
		policy_say(v, "token %s is not among those of client %s", (*token)->name, (*peer)->name);
	else
		return true;
	return false;
}

/* Client, call, object and key fit; mechanism and content are looked at next. */
bool
policy_rest_fits(const struct rule *r, const struct kmn_question *q, const struct kmn_call *call,
    const struct kmn_policy_peer *peer, const struct kmn_policy_token *token)
{
	bool object = r->objects.count == 0;

	for (size_t k = 0; k < r->objects.count && !object; k++)
		object = policy_object_fits(r->objects.items[k], q, token);
	return object && policy_has(r->clients, peer->name) && calls_fit(r, call);
}

/*
 * A rule that fits in all but its pinned public key: no laxer rule may decide, when nobody knows the public half (its
 * object was deleted), or when the rule names this very object (somebody changed what shows its public half).
 */
bool
policy_pins(const struct rule *r, const struct kmn_question *q)
{
	if (!q->has_object || q->made || q->object_class == NULL || strcmp(q->object_class, "private-key") != 0)
		return false;
	for (size_t i = 0; i < r->objects.count; i++) {
		const struct object *o = r->objects.items[i];

		if (o->label != NULL || o->id != NULL)
			return true;
	}
	return q->key_spki_sha256 == NULL;
}

bool
policy_rule_is_limited(const struct rule *r)
{
	return r->mechanisms == NULL && !r->any_mechanism && r->need != NEED_DENY;
}

/*
 * A rule that fits but for what is approved, or for where the key comes from: no laxer rule may decide either, so it
 * refuses here.
 */
static bool
refuses_by_itself(const struct rule *r, const struct kmn_question *q, struct kmn_verdict *v)
{
	if (policy_rule_is_limited(r) && !policy_use_is_approved(q, kmn_call_by_name(q->call)))
		policy_say(v, "rule %s admits approved mechanisms, and %s%s is none: a rule before it must name it",
		    r->name, q->mechanism, q->norm != NULL ? " of this hash" : "");
	else if (r->origin_local && r->need != NEED_DENY && q->has_object && policy_is_secret_class(q->object_class) &&
		 q->origin == KMN_ORIGIN_UNKNOWN)
		policy_say(v,
		    "rule %s is for keys that were made inside and never could leave, and this one is not known to be",
		    r->name);
	else
		return false;
	v->rule = r->name;
	return true;
}

/* False: the rule decides nothing here, the next one is asked. */
static bool
rule_decides(const struct kmn_policy *policy, const struct rule *r, const struct kmn_question *q, struct kmn_verdict *v)
{
	if (!policy_mechanisms_fit(r, q))
		return false;
	if (refuses_by_itself(r, q, v))
		return true;
	if (policy_content_is_missing(r, q)) {
		v->rule = r->name;
		v->content_missing = true;
		v->lifetime_s = r->lifetime_s;
		v->per = r->per;
		policy_say(v,
		    "rule %s wants to see a %s and got a digest only: attach it, or make a request with it ahead",
		    r->name, kmn_content_kind_name(r->content));
		return true;
	}
	v->content_seen = v->content_seen || r->content_asked;
	if (r->content_asked && q->content == NULL) {
		v->rule = r->name;
		policy_say(v, "rule %s wants to see a %s, and the data is nothing that can be shown in words", r->name,
		    kmn_content_kind_name(r->content));
		return true;
	}
	if (r->content_asked && !policy_content_fits(r, q))
		return false;
	policy_decide(policy, r, v);
	return true;
}

static bool
is_related(const struct rule *r, const char *mechanism)
{
	for (char **m = r->mechanisms; m != NULL && *m != NULL && mechanism != NULL; m++)
		if (kmn_operation_mechanism_related(*m, mechanism))
			return true;
	return false;
}

/*
 * At C_SignInit and its kin the data is still to come: a rule of a related mechanism may come to decide. What could be
 * held counts as held, so that the operation starts where it can be stopped; a denial that is not certain waits.
 */
static bool
start_decides(const struct kmn_policy *policy, const struct rule *r, const struct kmn_question *q,
    struct kmn_verdict *v, bool *free)
{
	struct kmn_verdict fresh = *v;

	if (policy_mechanisms_fit(r, q)) {
		if (!rule_decides(policy, r, q, &fresh))
			return false;
		if (*free && fresh.answer == KMN_ANSWER_REFUSED && !fresh.content_missing)
			return true;
		*v = fresh;
		return true;
	}
	if (!is_related(r, q->mechanism) || r->need == NEED_DENY)
		return false;
	policy_decide(policy, r, &fresh);
	if (*free && fresh.answer == KMN_ANSWER_FREE)
		return false;
	fresh.content_missing = r->content_asked;
	*free = fresh.answer == KMN_ANSWER_FREE && !r->content_asked;
	fresh.answer = r->content_asked ? KMN_ANSWER_REFUSED : fresh.answer;
	*v = fresh;
	return !*free;
}

static void
judge_by_rules(
    const struct kmn_policy *policy, const struct kmn_question *q, const struct kmn_call *call, struct kmn_verdict *v)
{
	const struct kmn_policy_peer *peer;
	const struct kmn_policy_token *token;
	const struct rule *pinned = NULL;
	bool starts, free = false;

	if (!is_in_place(policy, q, call, &peer, &token, v))
		return;
	starts = call->effect == KMN_EFFECT_STARTS && call->policy == KMN_POLICY_KEY_USE;
	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];

		if (!policy_rest_fits(r, q, call, peer, token) || (pinned != NULL && r->key_count == 0))
			continue;
		if (!policy_key_fits(r, q)) {
			pinned = pinned == NULL && policy_pins(r, q) ? r : pinned;
			continue;
		}
		if (starts ? start_decides(policy, r, q, v, &free) : rule_decides(policy, r, q, v))
			return;
	}
	if (free)
		return;
	if (pinned != NULL) {
		policy_say(v, "rule %s pins a public key, and this key does not show it", pinned->name);
		return;
	}
	policy_say(v, "no rule admits %s%s%s by %s on token %s, object %s", q->call,
	    q->mechanism != NULL ? " with " : "", q->mechanism != NULL ? q->mechanism : "", peer->name,
	    token == NULL ? "none" : token->name,
	    !q->has_object     ? "none"
	    : q->label == NULL ? "without label"
			       : q->label);
}

void
kmn_policy_judge(const struct kmn_policy *policy, const struct kmn_question *q, struct kmn_verdict *v)
{
	const struct kmn_call *call = q->call == NULL ? NULL : kmn_call_by_name(q->call);

	*v = (struct kmn_verdict){.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A', .selfcheck = 1};
	if (call == NULL) {
		policy_say(v, "%s is not in the table of calls", q->call == NULL ? "the call" : q->call);
		return;
	}
	judge_by_rules(policy, q, call, v);
	if (v->answer == KMN_ANSWER_FREE && policy_is_equivalent(q, call))
		policy_keep_guard(policy, q, v);
}

void
kmn_policy_rule_verdict(const struct kmn_policy *policy, const char *rule, struct kmn_verdict *v)
{
	const struct rule *r = policy_rule(policy, rule);

	*v = (struct kmn_verdict){.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A', .selfcheck = 1};
	if (r != NULL)
		policy_decide(policy, r, v);
	else
		policy_say(v, "there is no rule of that name");
}
