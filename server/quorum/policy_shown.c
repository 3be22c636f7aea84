/* What a client is shown: objects, mechanisms, the way to log in. */
#include "config.h"

#include "server/quorum/policy.h"

#include <string.h>

bool
kmn_policy_has_login_quorum(const struct kmn_policy *policy, const char *token)
{
	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];
		bool here = r->objects.count == 0;

		for (size_t k = 0; k < r->objects.count; k++) {
			const struct object *o = r->objects.items[k];

			here = here || o->token == NULL || strcmp(o->token, token) == 0;
		}
		if (here && r->per == KMN_PER_LOGIN)
			return true;
	}
	return false;
}

bool
kmn_policy_limits_queries(const struct kmn_policy *policy, const uint8_t client_spki_sha256[32])
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, client_spki_sha256);

	for (size_t i = 0; peer != NULL && i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];
		bool narrow = r->key_count > 0;

		/* Of a token all objects or none: its sessions, and so its handles, are judged by that already. */
		for (size_t k = 0; k < r->objects.count; k++) {
			const struct object *o = r->objects.items[k];

			narrow = narrow || o->label != NULL || o->id != NULL || o->class != NULL;
		}
		if (narrow && policy_has(r->clients, peer->name) &&
		    (r->class[KMN_POLICY_QUERY] || policy_has(r->calls, "C_GetAttributeValue")))
			return true;
	}
	return false;
}

/* Mechanisms that use no key: functions of class query take them. */
static bool
is_hash(const char *mechanism)
{
	static const char *const names[] = {"CKM_MD2", "CKM_MD5", "CKM_SHA_1", "CKM_SHA224", "CKM_SHA256", "CKM_SHA384",
	    "CKM_SHA512", "CKM_SHA512_224", "CKM_SHA512_256", "CKM_SHA512_T", "CKM_SHA3_224", "CKM_SHA3_256",
	    "CKM_SHA3_384", "CKM_SHA3_512", "CKM_RIPEMD128", "CKM_RIPEMD160", "CKM_BLAKE2B_160", "CKM_BLAKE2B_256",
	    "CKM_BLAKE2B_384", "CKM_BLAKE2B_512", "CKM_GOSTR3411"};

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
		if (strcmp(names[i], mechanism) == 0)
			return true;
	return false;
}

/* Does the rule say anything of functions that use or make a key by a mechanism? */
static bool
is_about_mechanisms(const struct rule *r)
{
	if (r->class[KMN_POLICY_KEY_USE] || r->class[KMN_POLICY_KEY_MANAGEMENT])
		return true;
	for (char **name = r->calls; name != NULL && *name != NULL; name++) {
		const struct kmn_call *call = kmn_call_by_name(*name);

		if (call != NULL && call->policy == KMN_POLICY_KEY_USE)
			return true;
		for (size_t i = 0; call != NULL && call->policy == KMN_POLICY_KEY_MANAGEMENT && i < call->param_count;
		     i++)
			if (call->param[i].kind == KMN_KIND_MECHANISM)
				return true;
	}
	return false;
}

bool
kmn_policy_mechanism_possible(
    const struct kmn_policy *policy, const uint8_t client_spki_sha256[32], const char *token, const char *mechanism)
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, client_spki_sha256);

	if (peer == NULL || peer->terminal || !policy_has(((const struct peer *)(const void *)peer)->tokens, token))
		return false;
	if (is_hash(mechanism))
		return true;
	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];
		bool here = r->objects.count == 0,
		     named = r->mechanisms == NULL &&
			     (!policy_rule_is_limited(r) || policy_mechanism_is_approved(mechanism));

		for (size_t k = 0; k < r->objects.count; k++) {
			const struct object *o = r->objects.items[k];

			here = here || o->token == NULL || strcmp(o->token, token) == 0;
		}
		for (char **m = r->mechanisms; m != NULL && *m != NULL; m++)
			named = named || kmn_operation_mechanism_related(*m, mechanism);
		if (here && named && is_about_mechanisms(r) && r->need != NEED_DENY &&
		    policy_has(r->clients, peer->name))
			return true;
	}
	return false;
}

bool
kmn_policy_asks_origin(const struct kmn_policy *policy)
{
	for (size_t i = 0; i < policy->rules.count; i++)
		if (((const struct rule *)policy->rules.items[i])->origin_local)
			return true;
	return false;
}
