/* What a policy says, looked up by name. */
#include "config.h"

#include "server/quorum/policy.h"

#include <string.h>

const char *
kmn_policy_text(const struct kmn_policy *policy, size_t *len_out)
{
	*len_out = policy->len;
	return policy->text;
}

const uint8_t *
kmn_policy_sha256(const struct kmn_policy *policy)
{
	return policy->sha256;
}

const char *
kmn_policy_origin(const struct kmn_policy *policy)
{
	return policy->origin;
}

uint64_t
kmn_policy_version(const struct kmn_policy *policy)
{
	return policy->version;
}

const uint8_t *
kmn_policy_previous(const struct kmn_policy *policy)
{
	return policy->version == 1 ? NULL : policy->previous;
}

int64_t
kmn_policy_not_before(const struct kmn_policy *policy)
{
	return policy->not_before;
}

int64_t
kmn_policy_expires(const struct kmn_policy *policy)
{
	return policy->expires;
}

const struct kmn_policy_custodian *
kmn_policy_custodian_at(const struct kmn_policy *policy, size_t n)
{
	return n < policy->custodians.count ? &((const struct custodian *)policy->custodians.items[n])->seen : NULL;
}

const struct kmn_policy_peer *
kmn_policy_peer_at(const struct kmn_policy *policy, size_t n)
{
	return n < policy->peers.count ? &((const struct peer *)policy->peers.items[n])->seen : NULL;
}

const struct kmn_policy_token *
kmn_policy_token_at(const struct kmn_policy *policy, size_t n)
{
	return n < policy->tokens.count ? &((const struct token *)policy->tokens.items[n])->seen : NULL;
}

const struct kmn_policy_witness *
kmn_policy_witness_at(const struct kmn_policy *policy, size_t n)
{
	return n < policy->witnesses.count ? &((const struct witness *)policy->witnesses.items[n])->seen : NULL;
}

const char *
kmn_policy_rule_at(const struct kmn_policy *policy, size_t n)
{
	return n < policy->rules.count ? ((const struct rule *)policy->rules.items[n])->name : NULL;
}

const struct kmn_policy_webauthn *
kmn_policy_webauthn_at(const struct kmn_policy *policy, size_t n)
{
	return n < policy->webauthn.count ? &((const struct webauthn *)policy->webauthn.items[n])->seen : NULL;
}

enum kmn_stance
kmn_policy_stance(const struct kmn_policy *policy, const char *token)
{
	for (size_t i = 0; i < policy->stances.count; i++) {
		const struct stance *s = policy->stances.items[i];

		if (strcmp(s->token, token) == 0)
			return s->stance;
	}
	return KMN_STANCE_NONE;
}

uint64_t
kmn_policy_recovery_delay_ms(const struct kmn_policy *policy)
{
	const struct group *g = policy_group(policy, "recovery", true);

	return g == NULL ? 0 : g->delay_s * 1000;
}

const struct group *
policy_group(const struct kmn_policy *policy, const char *name, bool role)
{
	for (size_t i = 0; i < policy->groups.count; i++) {
		const struct group *g = policy->groups.items[i];

		if (g->role == role && strcmp(g->name, name) == 0)
			return g;
	}
	return NULL;
}

const struct rule *
policy_rule(const struct kmn_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];

		if (strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

const struct custodian *
policy_person(const struct kmn_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->custodians.count; i++) {
		const struct custodian *c = policy->custodians.items[i];

		if (strcmp(c->seen.name, name) == 0)
			return c;
	}
	return NULL;
}

const struct token *
policy_token(const struct kmn_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->tokens.count; i++) {
		const struct token *t = policy->tokens.items[i];

		if (strcmp(t->seen.name, name) == 0)
			return t;
	}
	return NULL;
}

const struct kmn_policy_token *
kmn_policy_token_named(const struct kmn_policy *policy, const char *name)
{
	const struct token *t = policy_token(policy, name);

	return t == NULL ? NULL : &t->seen;
}

bool
policy_has(char *const *names, const char *name)
{
	for (; names != NULL && *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

const struct kmn_policy_peer *
kmn_policy_peer_get(const struct kmn_policy *policy, const uint8_t spki_sha256[32])
{
	for (size_t i = 0; i < policy->peers.count; i++) {
		const struct peer *peer = policy->peers.items[i];

		if (memcmp(peer->seen.spki_sha256, spki_sha256, KMN_HASH_BYTES) == 0)
			return &peer->seen;
	}
	return NULL;
}

/* "7.7.*" fits "7.7.3"; without a star the texts are equal. */
static bool
fits_pattern(const char *pattern, const char *text)
{
	size_t n = strcspn(pattern, "*");

	return strncmp(pattern, text, n) == 0 && (pattern[n] == '*' ? pattern[n + 1] == 0 : text[n] == 0);
}

const struct kmn_policy_token *
kmn_policy_token_get(const struct kmn_policy *policy, const struct kmn_policy_token_facts *facts)
{
	for (size_t i = 0; i < policy->tokens.count; i++) {
		const struct kmn_policy_token *t = &((const struct token *)policy->tokens.items[i])->seen;
		const char *const pairs[][2] = {{t->label, facts->label}, {t->module, facts->module},
		    {t->serial, facts->serial}, {t->model, facts->model}, {t->manufacturer, facts->manufacturer}};
		bool fits = t->level == 0 || facts->level == 0 || facts->level >= t->level;

		for (size_t k = 0; k < KMN_COUNT_OF(pairs); k++)
			fits = fits &&
			       (pairs[k][0] == NULL || pairs[k][1] == NULL || strcmp(pairs[k][0], pairs[k][1]) == 0);
		if (fits &&
		    (t->firmware == NULL || facts->firmware == NULL || fits_pattern(t->firmware, facts->firmware)))
			return t;
	}
	return NULL;
}

bool
kmn_policy_is_member(const struct kmn_policy *policy, const char *group, const char *name)
{
	const struct group *g = policy_group(policy, group, false);

	return g != NULL && policy_has(g->all_persons, name);
}

bool
policy_is_in_role(const struct kmn_policy *policy, const char *role, const char *name)
{
	const struct group *g = policy_group(policy, role, true);

	return g != NULL && policy_has(g->members, name);
}

unsigned
policy_role_least(const struct kmn_policy *policy, const char *role)
{
	const struct group *g = policy_group(policy, role, true);

	return g == NULL ? 0 : g->least;
}
