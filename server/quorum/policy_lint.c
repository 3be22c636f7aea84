#include "server/quorum/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct linter {
	const struct kmn_policy *policy;
	kmn_policy_lint_fn fn;
	void *cookie;
	size_t count;
};

static void say(struct linter *l, unsigned line, const char *format, ...) KMN_PRINTF(3, 4);

static void
say(struct linter *l, unsigned line, const char *format, ...)
{
	char text[KMN_POLICY_REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	l->count++;
	if (l->fn != NULL)
		l->fn(l->cookie, line, text);
}

static bool
is_in(const struct group *outer, const struct group *g)
{
	for (unsigned i = 0; i < outer->group_count; i++)
		if (outer->groups[i] == g)
			return true;
	return false;
}

static void
lint_groups(struct linter *l)
{
	for (size_t i = 0; i < l->policy->groups.count; i++) {
		const struct group *g = l->policy->groups.items[i];
		bool used = g->role;

		for (size_t k = 0; k < l->policy->rules.count; k++)
			used = used || policy_has(((const struct rule *)l->policy->rules.items[k])->groups, g->name);
		for (size_t k = i + 1; k < l->policy->groups.count; k++)
			used = used || is_in(l->policy->groups.items[k], g);
		if (!used)
			say(l, g->line, "no rule asks group %s", g->name);
		if (g->count == 1 && g->group_count == 0)
			say(l, g->line, "%s %s is one person: without them nothing goes on", g->role ? "role" : "group",
			    g->name);
		else if (g->votes == 1 && strcmp(g->name, "veto") != 0)
			say(l, g->line, "%s %s: any one of %u %s decides alone", g->role ? "role" : "group", g->name,
			    g->count, g->group_count == 0 ? "persons" : "members");
	}
	if (policy_group(l->policy, "veto", true) == NULL)
		say(l, 0, "no `role veto` line: nobody can stop a request that has its approvals");
}

static void
lint_peers(struct linter *l)
{
	for (size_t i = 0; i < l->policy->peers.count; i++) {
		const struct peer *peer = l->policy->peers.items[i];
		bool used = peer->seen.terminal;

		for (size_t k = 0; k < l->policy->rules.count; k++)
			used = used ||
			       policy_has(((const struct rule *)l->policy->rules.items[k])->clients, peer->seen.name);
		if (!used)
			say(l, peer->line, "no rule names client %s: it may do nothing", peer->seen.name);
	}
}

/* Without numbers a client that sees several modules gets positions in its list, which shift when the list grows. */
static void
lint_slots(struct linter *l)
{
	for (size_t i = 0; i < l->policy->peers.count; i++) {
		const struct peer *peer = l->policy->peers.items[i];
		const char *module = NULL;
		bool several = false;

		for (char **name = peer->tokens; peer->slots == NULL && name != NULL && *name != NULL; name++) {
			const struct token *t = policy_token(l->policy, *name);

			if (t == NULL || t->seen.module == NULL)
				continue;
			several = several || (module != NULL && strcmp(module, t->seen.module) != 0);
			module = t->seen.module;
		}
		if (several)
			say(l, peer->line,
			    "client %s sees tokens of several modules without slot numbers: another order of its list "
			    "is "
			    "another number; write NAME=SLOT",
			    peer->seen.name);
	}
}

static bool
is_subset(char *const *of, char *const *in)
{
	for (; of != NULL && *of != NULL; of++)
		if (!policy_has(in, *of))
			return false;
	return true;
}

static bool
calls_cover(const struct rule *a, const struct rule *b)
{
	for (char **c = b->calls; *c != NULL; c++) {
		const struct kmn_call *call = kmn_call_by_name(*c);

		if (!policy_has(a->calls, *c) && (call == NULL || !a->class[call->policy]))
			return false;
	}
	return true;
}

/* Everything that b fits, a fits too: then b, which is later, never decides. */
static bool
covers(const struct rule *a, const struct rule *b)
{
	return is_subset(b->clients, a->clients) && calls_cover(a, b) && a->objects.count == 0 && a->key_count == 0 &&
	       !a->content_asked &&
	       (a->mechanisms == NULL || (b->mechanisms != NULL && is_subset(b->mechanisms, a->mechanisms)));
}

/* A client whose operators are among those who approve: are there enough others? */
static void
lint_operators(struct linter *l, const struct rule *r)
{
	for (size_t i = 0; i < l->policy->peers.count; i++) {
		const struct peer *peer = l->policy->peers.items[i];
		struct kmn_verdict v = {.answer = KMN_ANSWER_HELD};
		const char *names[POLICY_NAMES_MAX];

		if (peer->seen.terminal || peer->operators == NULL || !policy_has(r->clients, peer->seen.name))
			continue;
		policy_decide(l->policy, r, &v);
		if (!kmn_policy_is_met(l->policy, &v, names, policy_rule_persons(l->policy, r, peer->operators, names)))
			say(l, r->line, "rule %s cannot be met for client %s: its operators may not approve", r->name,
			    peer->seen.name);
	}
}

static bool
names_object(const struct rule *r)
{
	for (size_t i = 0; i < r->objects.count; i++) {
		const struct object *o = r->objects.items[i];

		if (o->label != NULL || o->id != NULL)
			return true;
	}
	return r->key_count > 0;
}

/* Could one object be both? What one of them does not say, it may be. */
static bool
may_be_same(const struct object *a, const struct object *b)
{
	return (a->token == NULL || b->token == NULL || strcmp(a->token, b->token) == 0) &&
	       (a->label == NULL || b->label == NULL || strcmp(a->label, b->label) == 0) &&
	       (a->class == NULL || b->class == NULL || strcmp(a->class, b->class) == 0) &&
	       (a->id == NULL || b->id == NULL || (a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0));
}

static bool
share_objects(const struct rule *a, const struct rule *b)
{
	for (size_t i = 0; i < a->objects.count; i++)
		for (size_t k = 0; k < b->objects.count; k++)
			if (may_be_same(a->objects.items[i], b->objects.items[k]))
				return true;
	return a->objects.count == 0 || b->objects.count == 0;
}

static bool
share_clients(const struct rule *a, const struct rule *b)
{
	for (char **c = a->clients; *c != NULL; c++)
		if (policy_has(b->clients, *c))
			return true;
	return false;
}

/*
 * A key that one rule guards for some mechanisms, and another lets be used freely by others or before it: each guards
 * less than it seems to.
 */
static void
lint_guards(struct linter *l, const struct rule *guard)
{
	if (guard->need == NEED_NONE || !guard->class[KMN_POLICY_KEY_USE] || !names_object(guard))
		return;
	for (size_t i = 0; i < l->policy->rules.count; i++) {
		const struct rule *r = l->policy->rules.items[i];

		if (r->need == NEED_NONE && r->class[KMN_POLICY_KEY_USE] && !r->content_asked &&
		    share_clients(guard, r) && share_objects(guard, r) &&
		    (r->line < guard->line || (guard->mechanisms != NULL && r->key_count == 0)))
			say(l, guard->line, "the key of rule %s is guarded in part: rule %s lets it be used by %s",
			    guard->name, r->name, r->line < guard->line ? "what it admits before" : "other mechanisms");
	}
}

/* Mechanisms that are admitted although they are not approved: each was meant, or was not seen. */
static void
lint_mechanisms(struct linter *l, const struct rule *r)
{
	if (r->need == NEED_DENY)
		return;
	if (r->any_mechanism)
		say(l, r->line, "rule %s admits every mechanism, those that are not approved too", r->name);
	for (char **m = r->mechanisms; m != NULL && *m != NULL; m++)
		if (!policy_mechanism_is_approved(*m))
			say(l, r->line, "rule %s admits %s, which is not approved", r->name, *m);
}

static void
lint_rules(struct linter *l)
{
	for (size_t i = 0; i < l->policy->rules.count; i++) {
		const struct rule *r = l->policy->rules.items[i];
		bool uses_keys = r->class[KMN_POLICY_KEY_USE] || r->class[KMN_POLICY_KEY_MANAGEMENT];

		for (size_t k = 0; k < i; k++) {
			const struct rule *before = l->policy->rules.items[k];

			if (covers(before, r)) {
				say(l, r->line, "rule %s is never reached: rule %s decides before it", r->name,
				    before->name);
				break;
			}
		}
		if (r->need == NEED_NONE && uses_keys && !r->content_asked)
			say(l, r->line, "rule %s lets keys be used or changed without anyone's approval", r->name);
		for (size_t k = 0; k < i && r->need == NEED_NONE && uses_keys && !r->content_asked; k++) {
			const struct rule *before = l->policy->rules.items[k];

			if (before->content_asked && before->bounds.count > 0)
				say(l, r->line, "what is outside the bounds of rule %s may run by rule %s",
				    before->name, r->name);
		}
		if (r->need == NEED_GROUPS)
			lint_operators(l, r);
		lint_guards(l, r);
		lint_mechanisms(l, r);
	}
	if (l->policy->rules.count == 0)
		say(l, 0, "no rule: every call is refused");
}

size_t
kmn_policy_lint(const struct kmn_policy *policy, kmn_policy_lint_fn fn, void *cookie)
{
	struct linter l = {policy, fn, cookie, 0};

	lint_groups(&l);
	lint_peers(&l);
	lint_slots(&l);
	lint_rules(&l);
	return l.count;
}
