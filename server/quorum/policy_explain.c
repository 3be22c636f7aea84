/* Which rule decides a call, and why none before it does: the judge's own comparisons, in words. */
#include "config.h"

#include "server/quorum/policy.h"
#include "server/quorum/text.h"

#include <string.h>

#define EXPLANATION_MAX_BYTES 4096

static void
put_list(struct text *w, char *const *names)
{
	for (; names != NULL && *names != NULL; names++)
		text_printf(w, " %s", *names);
}

/* The first part of an object that is another's. */
static const char *
other_part(const struct object *o, const struct kmn_question *q, const struct kmn_policy_token *token)
{
	if (o->token != NULL && (token == NULL || strcmp(o->token, token->name) != 0))
		return "is on another token";
	if (!q->has_object)
		return "is an object, and the call names none";
	if (o->label != NULL && (q->label == NULL || strcmp(o->label, q->label) != 0))
		return "has another label";
	if (o->class != NULL && (q->object_class == NULL || strcmp(o->class, q->object_class) != 0))
		return "is of another type";
	return "has another id";
}

static void
put_objects(struct text *w, const struct rule *r, const struct kmn_question *q, const struct kmn_policy_token *token)
{
	text_printf(w, "it is for other objects:");
	for (size_t i = 0; i < r->objects.count; i++) {
		const struct object *o = r->objects.items[i];

		text_printf(w, "%s %s%s %s", i == 0 ? "" : ";", o->label != NULL ? o->label : "one",
		    o->token != NULL && o->label == NULL ? " of the URI" : "", other_part(o, q, token));
	}
}

static void
put_content(struct text *w, const struct rule *r, const struct kmn_question *q)
{
	const struct kmn_content_facts *facts = kmn_content_facts(q->content);

	if (facts->kind != r->content) {
		text_printf(w, "it is for a %s, and this is a %s", kmn_content_kind_name(r->content),
		    kmn_content_kind_name(facts->kind));
		return;
	}
	for (size_t i = 0; i < r->bounds.count; i++) {
		if (bound_holds(r->bounds.items[i], facts, q->now))
			continue;
		text_put(w, "the content is outside its bound ");
		bound_put(w, r->bounds.items[i]);
		return;
	}
}

/* Why the rule does not fit; empty: it does. In the order of the judge. */
static void
put_misfit(struct text *w, const struct rule *r, const struct kmn_question *q, const struct kmn_call *call,
    const struct kmn_policy_peer *peer, const struct kmn_policy_token *token)
{
	struct rule any_call = *r;

	any_call.class[call->policy] = true;
	if (!policy_has(r->clients, peer->name)) {
		text_printf(w, "it is for other clients:");
		put_list(w, r->clients);
	} else if (!policy_rest_fits(&any_call, q, call, peer, token)) {
		put_objects(w, r, q, token);
	} else if (!policy_rest_fits(r, q, call, peer, token)) {
		text_printf(w, "it is not about %s, but about:", call->name);
		put_list(w, r->calls);
	} else if (!policy_key_fits(r, q)) {
		text_printf(w, policy_pins(r, q)
				   ? "it pins another public key, and leaves this one to no rule without `key`"
				   : "it is for other public keys");
	} else if (!policy_mechanisms_fit(r, q)) {
		text_printf(w, "%s is not among its mechanisms:", q->mechanism != NULL ? q->mechanism : "no mechanism");
		put_list(w, r->mechanisms);
	} else if (r->content_asked && q->content != NULL && !policy_content_fits(r, q)) {
		put_content(w, r, q);
	}
}

void
kmn_policy_explain(const struct kmn_policy *policy, const struct kmn_question *q, const struct kmn_verdict *verdict,
    kmn_policy_explain_fn fn, void *cookie)
{
	const struct kmn_call *call = q->call == NULL ? NULL : kmn_call_by_name(q->call);
	const struct kmn_policy_peer *peer =
	    q->client_spki_sha256 == NULL ? NULL : kmn_policy_peer_get(policy, q->client_spki_sha256);
	const struct kmn_policy_token *token = q->token == NULL ? NULL : kmn_policy_token_get(policy, q->token);

	for (size_t i = 0; call != NULL && peer != NULL && i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];
		bool decides = strcmp(r->name, verdict->rule) == 0;
		struct text w;

		text_init(&w, EXPLANATION_MAX_BYTES);
		put_misfit(&w, r, q, call, peer, token);
		if (w.len == 0)
			text_put(&w, decides ? "decides" : "fits, and a stricter one decides");
		else if (decides)
			text_put(&w,
			    ". It decides all the same: it keeps uses of this key from being free, and the call does "
			    "the same another way");
		fn(cookie, r->line, r->name, w.err == KMN_OK ? w.bytes : "too long to be told");
		text_clear(&w);
		if (decides)
			return;
	}
}
