/* What does the same under another name: a rule with a quorum is not gone round. */
#include "config.h"

#include "server/quorum/policy.h"

#include <string.h>

/* Does a call do with a private or secret key what another function is named for, a signature above all? */
bool
policy_is_equivalent(const struct kmn_question *q, const struct kmn_call *call)
{
	static const char *const uses[] = {"C_WrapKey", "C_UnwrapKey", "C_DeriveKey", "C_DecapsulateKey",
	    "C_WrapKeyAuthenticated", "C_UnwrapKeyAuthenticated", "C_DigestKey"};
	const unsigned signs = KMN_OP_SIGN | KMN_OP_SIGN_RECOVER | KMN_OP_MESSAGE_SIGN;
	bool raw = q->mechanism != NULL && strcmp(q->mechanism, "CKM_RSA_X_509") == 0;

	if (!q->has_object || q->made || q->object_class == NULL ||
	    (strcmp(q->object_class, "private-key") != 0 && strcmp(q->object_class, "secret-key") != 0))
		return false;
	for (size_t i = 0; i < KMN_COUNT_OF(uses); i++)
		if (strcmp(call->name, uses[i]) == 0)
			return true;
	/* What is signed by CKM_RSA_PKCS has a normal form, and is compared by that. */
	raw = raw ||
	      (q->mechanism != NULL && strcmp(q->mechanism, "CKM_RSA_PKCS") == 0 && (call->operations & signs) == 0);
	return call->policy == KMN_POLICY_KEY_USE && raw;
}

static bool
is_about_use(const struct rule *r)
{
	if (r->class[KMN_POLICY_KEY_USE])
		return true;
	for (char **name = r->calls; name != NULL && *name != NULL; name++) {
		const struct kmn_call *call = kmn_call_by_name(*name);

		if (call != NULL && call->policy == KMN_POLICY_KEY_USE)
			return true;
	}
	return false;
}

/*
 * A rule that keeps uses of this key from being free is not gone round by a function or raw mechanism that it does not
 * name: where a later rule would let the call run freely, the earlier one decides. Who means it says so before it.
 */
void
policy_keep_guard(const struct kmn_policy *policy, const struct kmn_question *q, struct kmn_verdict *v)
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, q->client_spki_sha256);
	const struct kmn_policy_token *token = q->token == NULL ? NULL : kmn_policy_token_get(policy, q->token);
	struct kmn_verdict fresh = {.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A', .selfcheck = 1};

	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];
		bool object = r->objects.count == 0;

		if (r->name == v->rule)
			return;
		for (size_t k = 0; k < r->objects.count && !object; k++)
			object = policy_object_fits(r->objects.items[k], q, token);
		if (r->need == NEED_NONE || !object || !policy_has(r->clients, peer->name) || !is_about_use(r) ||
		    (!policy_key_fits(r, q) && !policy_pins(r, q)))
			continue;
		policy_decide(policy, r, &fresh);
		if (r->content_asked) {
			fresh.answer = KMN_ANSWER_REFUSED;
			policy_say(&fresh, "rule %s wants to see a %s, and %s shows none", r->name,
			    kmn_content_kind_name(r->content), q->call);
		}
		*v = fresh;
		return;
	}
}

/* Whether a rule is about uses of keys, all of them or some. */
static bool
is_about_keys(const struct rule *r, bool all)
{
	bool some = r->class[KMN_POLICY_KEY_USE] || r->class[KMN_POLICY_KEY_MANAGEMENT];

	if (all)
		return r->class[KMN_POLICY_KEY_USE] && r->mechanisms == NULL && !r->content_asked;
	for (char **name = r->calls; name != NULL && *name != NULL && !some; name++) {
		const struct kmn_call *call = kmn_call_by_name(*name);

		some =
		    call != NULL && (call->policy == KMN_POLICY_KEY_USE || call->policy == KMN_POLICY_KEY_MANAGEMENT);
	}
	return some;
}

bool
kmn_policy_guards(const struct kmn_policy *policy, const struct kmn_question *q)
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, q->client_spki_sha256);
	const struct kmn_policy_token *token = q->token == NULL ? NULL : kmn_policy_token_get(policy, q->token);

	for (size_t i = 0; peer != NULL && i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];
		bool object = r->objects.count == 0;

		for (size_t k = 0; k < r->objects.count && !object; k++)
			object = policy_object_fits(r->objects.items[k], q, token);
		if (!object || !policy_has(r->clients, peer->name) || !is_about_keys(r, false) ||
		    (!policy_key_fits(r, q) && !policy_pins(r, q)))
			continue;
		if (r->need != NEED_NONE)
			return true;
		if (is_about_keys(r, true))
			return false;
	}
	return true;
}
