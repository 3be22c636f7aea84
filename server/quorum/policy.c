#include "config.h"

#include "server/quorum/policy.h"

#include "kanmon/record.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
		bool fits = true;

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

	return g != NULL && policy_has(g->members, name);
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

/* ---- quorum: each person in one place ---------------------------------------------------------------------------- */

#define SLOTS_MAX 512 /* KMN_POLICY_NEEDS_MAX groups of at most 64 */

struct matching {
	const struct kmn_policy *policy;
	const struct kmn_verdict *verdict;
	const char *const *names;
	size_t count;
	short slot_of[POLICY_WORDS_MAX * 2]; /* of each person, -1: none */
	bool seen[POLICY_WORDS_MAX * 2];
};

/* Find a person for a group, moving others to other places where that helps (augmenting path). */
static bool
place(struct matching *m, short slot, const short *group_of)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->seen[i] || !kmn_policy_is_member(m->policy, m->verdict->need[group_of[slot]].group, m->names[i]))
			continue;
		m->seen[i] = true;
		if (m->slot_of[i] < 0 || place(m, m->slot_of[i], group_of)) {
			m->slot_of[i] = slot;
			return true;
		}
	}
	return false;
}

bool
kmn_policy_is_met(
    const struct kmn_policy *policy, const struct kmn_verdict *verdict, const char *const *names, size_t count)
{
	const char *distinct[POLICY_WORDS_MAX * 2];
	struct matching m = {policy, verdict, distinct, 0, {0}, {false}};
	short group_of[SLOTS_MAX], slots = 0;

	for (size_t i = 0; i < count && m.count < KMN_COUNT_OF(distinct); i++) {
		bool before = false;

		for (size_t k = 0; k < m.count && !before; k++)
			before = strcmp(distinct[k], names[i]) == 0;
		if (!before)
			distinct[m.count++] = names[i];
	}
	for (size_t g = 0; g < verdict->needs; g++)
		for (unsigned k = 0; k < verdict->need[g].least && slots < SLOTS_MAX; k++)
			group_of[slots++] = (short)g;
	memset(m.slot_of, -1, sizeof(m.slot_of));
	for (short slot = 0; slot < slots; slot++) {
		memset(m.seen, 0, sizeof(m.seen));
		if (!place(&m, slot, group_of))
			return false;
	}
	return slots > 0;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static bool
object_fits(const struct object *o, const struct kmn_question *q, const struct kmn_policy_token *token)
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

static bool
mechanisms_fit(const struct rule *r, const struct kmn_question *q)
{
	if (r->mechanisms == NULL)
		return true;
	for (char **m = r->mechanisms; *m != NULL; m++)
		if (kmn_operation_mechanism_fits(*m, q->mechanism, q->norm))
			return true;
	return false;
}

static bool
key_fits(const struct rule *r, const struct kmn_question *q)
{
	for (size_t i = 0; i < r->key_count; i++)
		if (q->key_spki_sha256 != NULL && memcmp(r->keys[i], q->key_spki_sha256, KMN_HASH_BYTES) == 0)
			return true;
	return r->key_count == 0;
}

static bool
content_fits(const struct rule *r, const struct kmn_question *q)
{
	const struct kmn_content_facts *f;

	if (q->content == NULL)
		return false;
	f = kmn_content_facts(q->content);
	if (f->kind != r->content)
		return false;
	for (size_t i = 0; i < r->bounds.count; i++)
		if (!bound_holds(r->bounds.items[i], f, q->now))
			return false;
	return true;
}

static void say(struct kmn_verdict *v, const char *format, ...) KMN_PRINTF(2, 3);

static void
say(struct kmn_verdict *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->reason, sizeof(v->reason), format, args);
	va_end(args);
}

static void
decide(const struct kmn_policy *policy, const struct rule *r, struct kmn_verdict *v)
{
	v->rule = r->name;
	v->durability = r->durability;
	v->lifetime_s = r->lifetime_s;
	v->selfcheck = r->durability == 'A' ? 1 : r->selfcheck;
	v->independent = r->independent;
	switch (r->need) {
	case NEED_NONE:
		v->answer = KMN_ANSWER_FREE;
		say(v, "rule %s admits it", r->name);
		return;
	case NEED_GROUPS:
		v->answer = KMN_ANSWER_HELD;
		for (char **name = r->groups; *name != NULL; name++) {
			const struct group *g = policy_group(policy, *name, false);

			v->need[v->needs++] = (struct kmn_need){g->name, g->least, g->persons};
		}
		say(v, "rule %s asks for a quorum", r->name);
		return;
	case NEED_DENY:
	case NEED_UNSAID:
		say(v, "rule %s denies it", r->name);
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
		say(v, "the caller is no client of policy version %llu", (unsigned long long)policy->version);
	else if ((q->now < policy->not_before || q->now >= policy->expires) && call->durability != KMN_DURABILITY_C)
		say(v, "policy version %llu is %s: a new one must be signed", (unsigned long long)policy->version,
		    q->now < policy->not_before ? "not yet in force" : "expired");
	else if (q->token != NULL && (*token = kmn_policy_token_get(policy, q->token)) == NULL)
		say(v, "no token line fits the token %s", q->token->label == NULL ? "" : q->token->label);
	else if (*token != NULL && !policy_has(((const struct peer *)(const void *)*peer)->tokens, (*token)->name))
		say(v, "token %s is not among those of client %s", (*token)->name, (*peer)->name);
	else
		return true;
	return false;
}

/* Client, call, object and key fit; mechanism and content are looked at next. */
static bool
rest_fits(const struct rule *r, const struct kmn_question *q, const struct kmn_call *call,
    const struct kmn_policy_peer *peer, const struct kmn_policy_token *token)
{
	bool object = r->objects.count == 0;

	for (size_t k = 0; k < r->objects.count && !object; k++)
		object = object_fits(r->objects.items[k], q, token);
	return object && policy_has(r->clients, peer->name) && calls_fit(r, call);
}

/*
 * A rule that fits in all but its pinned public key: no laxer rule may decide, when nobody knows the public half (its
 * object was deleted), or when the rule names this very object (somebody changed what shows its public half).
 */
static bool
pins(const struct rule *r, const struct kmn_question *q)
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

/* False: the rule decides nothing here, the next one is asked. */
static bool
rule_decides(const struct kmn_policy *policy, const struct rule *r, const struct kmn_question *q, struct kmn_verdict *v)
{
	if (!mechanisms_fit(r, q))
		return false;
	if (r->content_asked && !q->has_data) {
		v->rule = r->name;
		v->content_missing = true;
		say(v, "rule %s wants to see a %s and got a digest only: make a request with the content ahead",
		    r->name, kmn_content_kind_name(r->content));
		return true;
	}
	v->content_seen = v->content_seen || r->content_asked;
	if (r->content_asked && q->content == NULL) {
		v->rule = r->name;
		say(v, "rule %s wants to see a %s, and the data is nothing that can be shown in words", r->name,
		    kmn_content_kind_name(r->content));
		return true;
	}
	if (r->content_asked && !content_fits(r, q))
		return false;
	decide(policy, r, v);
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

	if (mechanisms_fit(r, q)) {
		if (!rule_decides(policy, r, q, &fresh))
			return false;
		if (*free && fresh.answer == KMN_ANSWER_REFUSED && !fresh.content_missing)
			return true;
		*v = fresh;
		return true;
	}
	if (!is_related(r, q->mechanism) || r->need == NEED_DENY)
		return false;
	decide(policy, r, &fresh);
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

		if (!rest_fits(r, q, call, peer, token) || (pinned != NULL && r->key_count == 0))
			continue;
		if (!key_fits(r, q)) {
			pinned = pinned == NULL && pins(r, q) ? r : pinned;
			continue;
		}
		if (starts ? start_decides(policy, r, q, v, &free) : rule_decides(policy, r, q, v))
			return;
	}
	if (free)
		return;
	if (pinned != NULL) {
		say(v, "rule %s pins a public key, and this key does not show it", pinned->name);
		return;
	}
	say(v, "no rule admits %s%s%s by %s on token %s, object %s", q->call, q->mechanism != NULL ? " with " : "",
	    q->mechanism != NULL ? q->mechanism : "", peer->name, token == NULL ? "none" : token->name,
	    !q->has_object     ? "none"
	    : q->label == NULL ? "without label"
			       : q->label);
}

/* ---- equivalent operations --------------------------------------------------------------------------------------- */

/* Does a call do with a private or secret key what another function is named for, a signature above all? */
static bool
is_equivalent(const struct kmn_question *q, const struct kmn_call *call)
{
	static const char *const uses[] = {"C_WrapKey", "C_UnwrapKey", "C_DeriveKey", "C_DecapsulateKey",
	    "C_WrapKeyAuthenticated", "C_UnwrapKeyAuthenticated"};
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
static void
keep_guard(const struct kmn_policy *policy, const struct kmn_question *q, struct kmn_verdict *v)
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
			object = object_fits(r->objects.items[k], q, token);
		if (r->need == NEED_NONE || !object || !policy_has(r->clients, peer->name) || !is_about_use(r) ||
		    (!key_fits(r, q) && !pins(r, q)))
			continue;
		decide(policy, r, &fresh);
		if (r->content_asked) {
			fresh.answer = KMN_ANSWER_REFUSED;
			say(&fresh, "rule %s wants to see a %s, and %s shows none", r->name,
			    kmn_content_kind_name(r->content), q->call);
		}
		*v = fresh;
		return;
	}
}

void
kmn_policy_judge(const struct kmn_policy *policy, const struct kmn_question *q, struct kmn_verdict *v)
{
	const struct kmn_call *call = q->call == NULL ? NULL : kmn_call_by_name(q->call);

	*v = (struct kmn_verdict){.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A', .selfcheck = 1};
	if (call == NULL) {
		say(v, "%s is not in the table of calls", q->call == NULL ? "the call" : q->call);
		return;
	}
	judge_by_rules(policy, q, call, v);
	if (v->answer == KMN_ANSWER_FREE && is_equivalent(q, call))
		keep_guard(policy, q, v);
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
			object = object_fits(r->objects.items[k], q, token);
		if (!object || !policy_has(r->clients, peer->name) || !is_about_keys(r, false) ||
		    (!key_fits(r, q) && !pins(r, q)))
			continue;
		if (r->need != NEED_NONE)
			return true;
		if (is_about_keys(r, true))
			return false;
	}
	return true;
}

/* ---- calls that name an object ----------------------------------------------------------------------------------- */

/* Label and id that a template gives to an object. */
struct name {
	const char *label; /* NULL: says none, or none that is text */
	bool has_label, has_id;
	uint8_t id[256];
	size_t id_len;
	json_t *made; /* owns the label where it had to be made readable */
};

/* As a key's label is shown when it is asked for, so that both are compared in one form. */
static void
read_label(const json_t *value, struct name *n)
{
	uint8_t bytes[1024];
	const char *b64;
	size_t len;

	n->has_label = value != NULL;
	if (json_is_string(value))
		n->label = json_string_value(value);
	else if (kmn_json_get_text(value, "b64", &b64) &&
		 kmn_b64_parse(b64, strlen(b64), bytes, sizeof(bytes), &len) == KMN_OK &&
		 (n->made = kmn_json_label(bytes, len)) != NULL)
		n->label = json_string_value(n->made);
}

static void
read_name(const json_t *template, struct name *n)
{
	const json_t *id = json_object_get(template, "CKA_ID");
	const char *b64;

	*n = (struct name){.label = NULL};
	read_label(json_object_get(template, "CKA_LABEL"), n);
	n->has_id = id != NULL;
	if (kmn_json_get_text(id, "b64", &b64) &&
	    kmn_b64_parse(b64, strlen(b64), n->id, sizeof(n->id), &n->id_len) != KMN_OK)
		n->id_len = 0;
}

/* A module takes the first of two labels or the last: nobody could say by which it will be known. */
static bool
named_twice(const json_t *template)
{
	return json_object_get(template, "CKA_LABEL_2") != NULL || json_object_get(template, "CKA_ID_2") != NULL;
}

static const char *
class_in(const json_t *template, const char *otherwise)
{
	static const char *const names[] = {"data", "certificate", "public-key", "private-key", "secret-key"};
	uint64_t class;

	if (!kmn_json_get_number(template, "CKA_CLASS", &class))
		return otherwise;
	return class < KMN_COUNT_OF(names) ? names[class] : "other";
}

/* Both verdicts must be satisfied; of two quorums only one can be asked. */
static void
join_verdicts(struct kmn_verdict *v, const struct kmn_verdict *other)
{
	if (v->answer == KMN_ANSWER_REFUSED)
		return;
	if (v->answer == KMN_ANSWER_HELD && other->answer == KMN_ANSWER_HELD && strcmp(v->rule, other->rule) != 0) {
		v->answer = KMN_ANSWER_REFUSED;
		say(v,
		    "rule %.64s holds the object as it is and rule %.64s as it will be: a rule for both must "
		    "come first",
		    v->rule, other->rule);
	} else if (other->answer == KMN_ANSWER_REFUSED || other->answer == KMN_ANSWER_HELD) {
		*v = *other;
	}
}

static bool
names_it(const struct rule *r, const struct kmn_question *q, const struct kmn_policy_token *token)
{
	for (size_t i = 0; i < r->objects.count; i++)
		if (object_fits(r->objects.items[i], q, token))
			return true;
	return false;
}

/* A key that a rule names keeps a name by which the rule knows it: else its quorum could be gone round. */
static void
refuse_escape(const struct kmn_policy *policy, const struct kmn_question *q, const struct kmn_question *after,
    struct kmn_verdict *v)
{
	const struct kmn_policy_token *token = q->token == NULL ? NULL : kmn_policy_token_get(policy, q->token);

	if (q->object_class == NULL ||
	    (strcmp(q->object_class, "private-key") != 0 && strcmp(q->object_class, "secret-key") != 0))
		return;
	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];

		if (!names_it(r, q, token) || names_it(r, after, token))
			continue;
		v->answer = KMN_ANSWER_REFUSED;
		v->rule = r->name;
		say(v, "rule %s would not know the key by its new label or id", r->name);
		return;
	}
}

/* Judges the call by the name that a template gives: also by it if it uses an object, else by it alone. */
static void
judge_name(const struct kmn_policy *policy, const struct kmn_question *q, const json_t *template, const char *class,
    bool renames, struct kmn_verdict *v)
{
	struct kmn_question after = *q;
	struct kmn_verdict other;
	struct name n;

	read_name(template, &n);
	after.has_object = after.made = true;
	after.key_spki_sha256 = NULL;
	after.object_class = class_in(template, class);
	if (n.has_label || !renames)
		after.label = n.label;
	if (n.has_id || !renames) {
		after.id = n.id;
		after.id_len = n.id_len;
	}
	kmn_policy_judge(policy, &after, &other);
	if (q->has_object)
		join_verdicts(v, &other);
	else
		*v = other;
	if (renames)
		refuse_escape(policy, q, &after, v);
	if (named_twice(template)) {
		v->answer = KMN_ANSWER_REFUSED;
		say(v, "a template with two labels or two ids: nobody can say which will be the object's name");
	}
	json_decref(n.made);
}

/* A call that makes or renames an object is judged by the name it will have; of a pair, by the private half's. */
static void
judge_names(
    const struct kmn_policy *policy, const struct kmn_question *q, const json_t *template, struct kmn_verdict *v)
{
	const json_t *private = json_object_get(template, "pPrivateKeyTemplate");
	bool renames = strcmp(q->call, "C_SetAttributeValue") == 0 || strcmp(q->call, "C_CopyObject") == 0;
	bool names = named_twice(template) || json_object_get(template, "CKA_LABEL") != NULL ||
		     json_object_get(template, "CKA_ID") != NULL;

	if (strcmp(q->call, "C_GenerateKeyPair") == 0)
		judge_name(policy, q, private, "private-key", false, v);
	else if (renames && names)
		judge_name(policy, q, template, q->object_class, true, v);
	else if (!renames)
		judge_name(
		    policy, q, template, strcmp(q->call, "C_CreateObject") == 0 ? "other" : "secret-key", false, v);
}

/* The object of a recorded call, as a question has it. The storage lives as long as the question. */
struct recorded_key {
	struct kmn_policy_token_facts token;
	uint8_t spki_sha256[KMN_HASH_BYTES], id[256];
};

static kmn_err
read_key(const json_t *key, struct kmn_question *q, struct recorded_key *storage)
{
	const char *hex;

	*storage = (struct recorded_key){.token = {.label = NULL}};
	if (kmn_json_get_text(key, "token", &storage->token.label))
		q->token = &storage->token;
	if (!kmn_json_get_text(key, "serial", &storage->token.serial))
		storage->token.serial = NULL;
	if (!kmn_json_get_text(key, "module", &storage->token.module))
		storage->token.module = NULL;
	q->has_object = kmn_json_get_text(key, "class", &q->object_class);
	if (!kmn_json_get_text(key, "label", &q->label))
		q->label = NULL;
	if (kmn_json_get_text(key, "id", &hex) && hex[0] != 0) {
		if (sodium_hex2bin(storage->id, sizeof(storage->id), hex, strlen(hex), NULL, &q->id_len, NULL) != 0)
			return KMN_E_MALFORMED;
		q->id = storage->id;
	}
	if (kmn_json_get_b64(key, "spki_sha256", storage->spki_sha256, sizeof(storage->spki_sha256)))
		q->key_spki_sha256 = storage->spki_sha256;
	return KMN_OK;
}

/* Whether a rule before this one decides for that client, whatever mechanism and content are. */
static bool
is_preceded(const struct kmn_policy *policy, const struct rule *rule, const char *client, const struct kmn_call *call,
    const struct kmn_question *q, const struct kmn_policy_token *token)
{
	struct kmn_policy_peer peer = {.name = client};

	for (size_t i = 0; i < policy->rules.count && policy->rules.items[i] != rule; i++) {
		const struct rule *r = policy->rules.items[i];

		if (r->mechanisms == NULL && !r->content_asked && key_fits(r, q) && rest_fits(r, q, call, &peer, token))
			return true;
	}
	return false;
}

bool
policy_may_decide(
    const struct kmn_policy *policy, const struct rule *rule, const struct kmn_call *call, const json_t *key)
{
	const struct kmn_policy_token *token;
	struct kmn_question q = {.now = 0};
	struct recorded_key storage;

	if (read_key(key, &q, &storage) != KMN_OK)
		return false;
	token = q.token == NULL ? NULL : kmn_policy_token_get(policy, q.token);
	for (char **client = rule->clients; *client != NULL; client++) {
		struct kmn_policy_peer peer = {.name = *client};

		if (key_fits(rule, &q) && rest_fits(rule, &q, call, &peer, token) &&
		    !is_preceded(policy, rule, *client, call, &q, token))
			return true;
	}
	return false;
}

kmn_err
kmn_policy_judge_intent(const struct kmn_policy *policy, const json_t *intent, const uint8_t *data, size_t len,
    int64_t now, struct kmn_verdict *v)
{
	const json_t *key = json_object_get(intent, "key"), *norm_json = json_object_get(intent, "norm");
	const json_t *requester = json_object_get(intent, "requester");
	struct kmn_question q = {.now = now};
	struct kmn_content *content = NULL;
	uint8_t client[KMN_HASH_BYTES];
	struct recorded_key storage;
	struct kmn_norm norm;
	kmn_err e = KMN_OK;

	*v = (struct kmn_verdict){.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A'};
	if (!json_is_object(key) || !kmn_json_get_b64(requester, "spki_sha256", client, sizeof(client)) ||
	    !kmn_json_get_text(intent, "op", &q.call))
		return KMN_E_MALFORMED;
	q.client_spki_sha256 = client;
	if ((e = read_key(key, &q, &storage)) != KMN_OK)
		return e;
	if (!kmn_json_get_text(json_object_get(intent, "mech"), "name", &q.mechanism) || q.mechanism[0] == 0)
		q.mechanism = NULL;
	if (norm_json != NULL && (e = kmn_norm_from_json(norm_json, &norm)) != KMN_OK)
		return e;
	q.norm = norm_json == NULL ? NULL : &norm;
	q.has_data = data != NULL && q.norm != NULL && kmn_norm_is_of(q.norm, data, len);
	if (q.has_data && (e = kmn_content_decode(data, len, &content)) == KMN_E_NO_MEMORY)
		return e;
	q.content = content;
	kmn_policy_judge(policy, &q, v);
	if (json_object_get(intent, "template") != NULL)
		judge_names(policy, &q, json_object_get(intent, "template"), v);
	kmn_content_free(content);
	return KMN_OK;
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
		bool here = r->objects.count == 0, named = r->mechanisms == NULL;

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

/* ---- versions ---------------------------------------------------------------------------------------------------- */

kmn_err
policy_check_signed(const struct kmn_note *note, const struct kmn_policy *policy, const char *role_name,
    struct kmn_policy_error *error)
{
	size_t n = policy->custodians.count, count = 0, persons = 0;
	const struct group *role = policy_group(policy, role_name, true);
	struct kmn_vkey *known = calloc(n + 1, sizeof(*known));
	bool *verified = calloc(n + 1, sizeof(*verified));
	struct kmn_why why = {""};
	kmn_err e = KMN_E_NO_MEMORY;

	if (known == NULL || verified == NULL)
		goto done;
	for (size_t i = 0; i < n; i++)
		known[i] = ((const struct custodian *)policy->custodians.items[i])->key;
	if ((e = kmn_note_verify(note, known, n, verified, &count, &why)) != KMN_OK) {
		snprintf(error->text, sizeof(error->text), "%s", why.text);
		goto done;
	}
	for (char **m = role->members; *m != NULL; m++) {
		bool signed_it = false;

		for (size_t i = 0; i < n; i++)
			signed_it =
			    signed_it ||
			    (verified[i] &&
				strcmp(((const struct custodian *)policy->custodians.items[i])->seen.name, *m) == 0);
		persons += signed_it;
	}
	if (persons < role->least) {
		snprintf(error->text, sizeof(error->text),
		    "signed by %zu of the %u persons that role %s of version %llu asks for", persons, role->least,
		    role_name, (unsigned long long)policy->version);
		e = KMN_E_SIGNATURE;
	}
done:
	free(known);
	free(verified);
	return e;
}

static kmn_err
check_follows(const struct kmn_policy *policy, const struct kmn_policy *before, struct kmn_policy_error *error)
{
	const char *wrong = NULL;

	if (policy->version != (before == NULL ? 1 : before->version + 1))
		wrong = "the version is not the one after the policy in force";
	else if (before != NULL && memcmp(policy->previous, before->sha256, KMN_HASH_BYTES) != 0)
		wrong = "`previous` is not the hash of the policy in force";
	else if (before != NULL && strcmp(policy->origin, before->origin) != 0)
		wrong = "the origin is another one";
	if (wrong != NULL)
		snprintf(error->text, sizeof(error->text), "%s", wrong);
	return wrong == NULL ? KMN_OK : KMN_E_MALFORMED;
}

kmn_err
kmn_policy_accept(const char *bytes, size_t len, const struct kmn_policy *before, struct kmn_policy **policy_out,
    struct kmn_policy_error *error)
{
	struct kmn_policy *policy = NULL;
	struct kmn_note note;
	struct kmn_why why = {""};
	kmn_err e;

	*policy_out = NULL;
	*error = (struct kmn_policy_error){0, ""};
	if ((e = kmn_note_parse(bytes, len, &note, &why)) != KMN_OK) {
		snprintf(error->text, sizeof(error->text), "%s", why.text);
		return e;
	}
	if ((e = kmn_policy_parse(note.text, note.text_len, &policy, error)) != KMN_OK ||
	    (e = check_follows(policy, before, error)) != KMN_OK ||
	    (e = policy_check_signed(&note, policy, "policy", error)) != KMN_OK ||
	    (before != NULL && (e = policy_check_signed(&note, before, "policy", error)) != KMN_OK))
		goto done;
	*policy_out = policy;
	policy = NULL;
done:
	kmn_policy_free(policy);
	return e;
}
