/* Which clients have to reckon with a quorum at all, before they make any call. */
#include "config.h"

#include "server/quorum/policy.h"

#include <string.h>

static bool
is_of_token(const struct rule *r, const struct kmn_policy_token *token)
{
	for (size_t i = 0; i < r->objects.count; i++) {
		const struct object *o = r->objects.items[i];

		if (o->token == NULL || token == NULL || strcmp(o->token, token->name) == 0)
			return true;
	}
	return r->objects.count == 0;
}

bool
kmn_policy_may_hold(const struct kmn_policy *policy, const uint8_t client_spki_sha256[KMN_HASH_BYTES],
    const struct kmn_policy_token_facts *token)
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, client_spki_sha256);
	const struct kmn_policy_token *named = token != NULL ? kmn_policy_token_get(policy, token) : NULL;

	if (peer == NULL || peer->terminal || (token != NULL && named == NULL))
		return false;
	if (named != NULL && !policy_has(((const struct peer *)(const void *)peer)->tokens, named->name))
		return false;
	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];

		if (r->need == NEED_GROUPS && policy_has(r->clients, peer->name) && is_of_token(r, named))
			return true;
	}
	return false;
}
