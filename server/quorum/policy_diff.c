/* What the lines of two policies say differently, as rights of persons, programs, tokens and rules. */
#include "config.h"

#include "server/quorum/policy_diff.h"

#include "kanmon/statement.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
policy_diff_say(struct policy_diff *d, const char *whose, const char *format, ...)
{
	char line[POLICY_DIFF_LINE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	d->count++;
	d->fn(d->cookie, whose, line);
}

#define say policy_diff_say

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Names that are in `of` and not in `in`. */
static void
say_missing(struct policy_diff *d, const char *whose, char *const *of, char *const *in, const char *format_end)
{
	for (; of != NULL && *of != NULL; of++)
		if (!policy_has(in, *of))
			say(d, whose, "%s %s", *of, format_end);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static void
diff_head(struct policy_diff *d)
{
	const struct kmn_policy *a = d->before, *b = d->after;
	char was[KMN_TIME_TEXT_BYTES], is[KMN_TIME_TEXT_BYTES];

	if (strcmp(a->origin, b->origin) != 0)
		say(d, "everybody", "is under another origin: %.100s instead of %.100s", b->origin, a->origin);
	if (a->not_before != b->not_before) {
		kmn_time_text(a->not_before, was);
		kmn_time_text(b->not_before, is);
		say(d, "everybody", "calls are judged from %s on (before: from %s)", is, was);
	}
	if (a->expires != b->expires) {
		kmn_time_text(a->expires, was);
		kmn_time_text(b->expires, is);
		say(d, "everybody", "calls are judged until %s (before: until %s)", is, was);
	}
}

static void
say_limit(
    struct policy_diff *d, const char *what, const struct kmn_policy_limit *was, const struct kmn_policy_limit *is)
{
	if (was->within_ms == is->within_ms && was->refuse == is->refuse && was->need == is->need)
		return;
	if (is->within_ms == 0)
		say(d, "everybody", "no fresh %s are asked for any more", what);
	else
		say(d, "everybody", "%u fresh %s within %llu s %s (before: %u within %llu s)", is->need, what,
		    (unsigned long long)is->within_ms / 1000,
		    is->refuse == 'A'   ? "are needed for calls of class A"
		    : is->refuse == 'B' ? "are needed for calls of classes A and B"
					: "are watched",
		    was->within_ms == 0 ? 0 : was->need, (unsigned long long)was->within_ms / 1000);
}

static void
diff_limits(struct policy_diff *d)
{
	static const char *const what[] = {[KMN_LIMIT_ANCHORS] = "time stamps", [KMN_LIMIT_WITNESSES] = "cosignatures"};

	for (int i = 0; i < KMN_LIMIT_COUNT; i++)
		say_limit(d, what[i], &d->before->limit[i], &d->after->limit[i]);
}

static const struct witness *
witness_of(const struct kmn_policy *policy, const struct witness *w)
{
	for (size_t i = 0; i < policy->witnesses.count; i++) {
		const struct witness *other = policy->witnesses.items[i];

		if (same(other->seen.name, w->seen.name) && same(other->seen.vkey, w->seen.vkey))
			return other;
	}
	return NULL;
}

static void
diff_witnesses(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->witnesses.count; i++) {
		const struct witness *w = d->after->witnesses.items[i];

		if (witness_of(d->before, w) == NULL)
			say(d, w->seen.name, "may witness by the key %.100s", w->seen.vkey);
	}
	for (size_t i = 0; i < d->before->witnesses.count; i++) {
		const struct witness *w = d->before->witnesses.items[i];

		if (witness_of(d->after, w) == NULL)
			say(d, w->seen.name, "is no witness any more by the key %.100s", w->seen.vkey);
	}
}

static const struct webauthn *
webauthn_of(const struct kmn_policy *policy, const struct webauthn *w)
{
	for (size_t i = 0; i < policy->webauthn.count; i++) {
		const struct webauthn *other = policy->webauthn.items[i];

		if (same(other->seen.origin, w->seen.origin) && same(other->seen.rp_id, w->seen.rp_id) &&
		    other->seen.independent == w->seen.independent)
			return other;
	}
	return NULL;
}

static void
diff_webauthn(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->webauthn.count; i++) {
		const struct webauthn *w = d->after->webauthn.items[i];

		if (webauthn_of(d->before, w) == NULL)
			say(d, "security keys", "count at %s for %s%s", w->seen.origin, w->seen.rp_id,
			    w->seen.independent ? ", as independent" : "");
	}
	for (size_t i = 0; i < d->before->webauthn.count; i++) {
		const struct webauthn *w = d->before->webauthn.items[i];

		if (webauthn_of(d->after, w) == NULL)
			say(d, "security keys", "do not count any more at %s for %s%s", w->seen.origin, w->seen.rp_id,
			    w->seen.independent ? ", as independent" : "");
	}
}

/* ---- persons ------------------------------------------------------------------------------------------------------ */

static const struct custodian *
key_of(const struct kmn_policy *policy, const char *vkey)
{
	for (size_t i = 0; i < policy->custodians.count; i++) {
		const struct custodian *c = policy->custodians.items[i];

		if (strcmp(c->seen.vkey, vkey) == 0)
			return c;
	}
	return NULL;
}

static bool
same_person(const struct custodian *a, const struct custodian *b)
{
	return a != NULL && b != NULL && same(a->seen.name, b->seen.name) && same(a->seen.person, b->seen.person);
}

static void
diff_persons(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->custodians.count; i++) {
		const struct custodian *c = d->after->custodians.items[i],
				       *was = policy_person(d->before, c->seen.name);
		const struct custodian *key = key_of(d->before, c->seen.vkey);

		if (was == NULL && policy_person(d->after, c->seen.name) == c)
			say(d, c->seen.name, "is new, as %s person:%s", c->seen.auditor ? "auditor" : "custodian",
			    c->seen.person);
		else if (was != NULL && strcmp(was->seen.person, c->seen.person) != 0)
			say(d, c->seen.name, "is another person: person:%s, before person:%s", c->seen.person,
			    was->seen.person);
		if (was != NULL && was->seen.auditor != c->seen.auditor && policy_person(d->after, c->seen.name) == c)
			say(d, c->seen.name,
			    c->seen.auditor ? "is an auditor now, and may approve nothing"
					    : "is a custodian now, and may be asked to approve");
		if (!same_person(key, c))
			say(d, c->seen.name, "signs by the key %.160s%s%s", c->seen.vkey,
			    key != NULL ? ", before that of " : "", key != NULL ? key->seen.name : "");
	}
	for (size_t i = 0; i < d->before->custodians.count; i++) {
		const struct custodian *c = d->before->custodians.items[i];

		if (policy_person(d->after, c->seen.name) == NULL && policy_person(d->before, c->seen.name) == c)
			say(d, c->seen.name, "is gone: no vote of theirs counts");
		else if (policy_person(d->after, c->seen.name) != NULL &&
			 !same_person(key_of(d->after, c->seen.vkey), c))
			say(d, c->seen.name, "does not sign any more by the key %.160s", c->seen.vkey);
	}
}

/* To which key a person's share of a PIN is dealt. */
static void
diff_share_keys(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->share_keys.count; i++) {
		const struct share_key *s = d->after->share_keys.items[i];
		const uint8_t *was = kmn_policy_share_key(d->before, s->name);

		if (was == NULL || memcmp(was, s->key, sizeof(s->key)) != 0)
			say(d, s->name,
			    was == NULL ? "may be dealt shares of PINs now" : "is dealt shares of PINs to another key");
	}
	for (size_t i = 0; i < d->before->share_keys.count; i++) {
		const struct share_key *s = d->before->share_keys.items[i];

		if (kmn_policy_share_key(d->after, s->name) == NULL)
			say(d, s->name, "is dealt no shares of PINs any more");
	}
}

static void
diff_group(struct policy_diff *d, const struct group *was, const struct group *is)
{
	const struct group *g = is != NULL ? is : was;
	const char *kind = g->role ? "role" : "group";
	char whose[KMN_POLICY_NAME_MAX_BYTES + 8];

	snprintf(whose, sizeof(whose), "%s %s", kind, g->name);
	if (was == NULL || is == NULL) {
		say(d, whose, is == NULL ? "is gone" : "is new: %u of %u", g->least, g->count);
	} else {
		if (was->least != is->least || was->count != is->count)
			say(d, whose, "%u of %u are needed (before: %u of %u)", is->least, is->count, was->least,
			    was->count);
		if (was->delay_s != is->delay_s)
			say(d, whose, "a policy by it waits %llu h (before: %llu h)",
			    (unsigned long long)is->delay_s / 3600, (unsigned long long)was->delay_s / 3600);
	}
	say_missing(d, whose, is != NULL ? is->members : NULL, was != NULL ? was->members : NULL, "counts in it now");
	say_missing(d, whose, was != NULL ? was->members : NULL, is != NULL ? is->members : NULL,
	    "does not count in it any more");
}

static void
diff_groups(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->groups.count; i++) {
		const struct group *g = d->after->groups.items[i];

		diff_group(d, policy_group(d->before, g->name, g->role), g);
	}
	for (size_t i = 0; i < d->before->groups.count; i++) {
		const struct group *g = d->before->groups.items[i];

		if (policy_group(d->after, g->name, g->role) == NULL)
			diff_group(d, g, NULL);
	}
}

/* ---- programs ------------------------------------------------------------------------------------------------------ */

static const struct peer *
peer_named(const struct kmn_policy *policy, const struct peer *like)
{
	for (size_t i = 0; i < policy->peers.count; i++) {
		const struct peer *peer = policy->peers.items[i];

		if (peer->seen.terminal == like->seen.terminal && strcmp(peer->seen.name, like->seen.name) == 0)
			return peer;
	}
	return NULL;
}

static bool
same_slots(const struct peer *a, const struct peer *b)
{
	size_t i = 0;

	if (a->slots == NULL || b->slots == NULL)
		return a->slots == b->slots;
	for (; a->tokens[i] != NULL && b->tokens[i] != NULL; i++)
		if (strcmp(a->tokens[i], b->tokens[i]) != 0 || a->slots[i] != b->slots[i])
			return false;
	return a->tokens[i] == b->tokens[i];
}

static void
diff_peer(struct policy_diff *d, const struct peer *was, const struct peer *is)
{
	const struct peer *peer = is != NULL ? is : was;
	char whose[KMN_POLICY_NAME_MAX_BYTES + 16];

	snprintf(whose, sizeof(whose), "%s %s", peer->seen.terminal ? "terminal" : "client", peer->seen.name);
	if (is == NULL) {
		say(d, whose, "is gone, and is let in no more");
		return;
	}
	if (was == NULL)
		say(d, whose, "is new, and is let in%s%s", is->seen.terminal ? " for person:" : "",
		    is->seen.terminal ? is->seen.person : "");
	else if (memcmp(was->seen.spki_sha256, is->seen.spki_sha256, KMN_HASH_BYTES) != 0)
		say(d, whose, "is known by another key; the one before is let in no more");
	if (was != NULL && is->seen.terminal && strcmp(was->seen.person, is->seen.person) != 0)
		say(d, whose, "is person:%s's, before person:%s's", is->seen.person, was->seen.person);
	say_missing(d, whose, is->tokens, was != NULL ? was->tokens : NULL, "is a token that it sees now");
	say_missing(d, whose, was != NULL ? was->tokens : NULL, is->tokens, "is a token that it does not see any more");
	say_missing(d, whose, is->operators, was != NULL ? was->operators : NULL,
	    "runs it now, and may not approve what it asks");
	say_missing(d, whose, was != NULL ? was->operators : NULL, is->operators,
	    "does not run it any more, and may approve what it asks");
	if (was != NULL && !same_slots(was, is))
		say(d, whose, "its slots have other numbers");
}

static void
diff_peers(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->peers.count; i++)
		diff_peer(d, peer_named(d->before, d->after->peers.items[i]), d->after->peers.items[i]);
	for (size_t i = 0; i < d->before->peers.count; i++)
		if (peer_named(d->after, d->before->peers.items[i]) == NULL)
			diff_peer(d, d->before->peers.items[i], NULL);
}

static void
diff_tokens(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->tokens.count; i++) {
		const struct kmn_policy_token *is = &((const struct token *)d->after->tokens.items[i])->seen, *was;
		char whose[KMN_POLICY_NAME_MAX_BYTES + 8];

		snprintf(whose, sizeof(whose), "token %s", is->name);
		was = kmn_policy_token_named(d->before, is->name);
		if (was == NULL) {
			say(d, whose, "is new: %s", is->label);
			continue;
		}
		{
			const char *const facts[][3] = {{"label", was->label, is->label},
			    {"module", was->module, is->module}, {"serial number", was->serial, is->serial},
			    {"model", was->model, is->model}, {"manufacturer", was->manufacturer, is->manufacturer},
			    {"firmware", was->firmware, is->firmware}};

			for (size_t k = 0; k < KMN_COUNT_OF(facts); k++)
				if (!same(facts[k][1], facts[k][2]))
					say(d, whose, "its %s must be %.80s (before: %.80s)", facts[k][0],
					    facts[k][2] != NULL ? facts[k][2] : "nothing in particular",
					    facts[k][1] != NULL ? facts[k][1] : "nothing in particular");
		}
		if (was->level != is->level)
			say(d, whose, "its certification is level %u (before: %u)", is->level, was->level);
		if (kmn_policy_stance(d->before, is->name) != kmn_policy_stance(d->after, is->name))
			say(d, whose, "another stance: what becomes of it when something is wrong");
	}
	for (size_t i = 0; i < d->before->tokens.count; i++) {
		const struct token *t = d->before->tokens.items[i];
		char whose[KMN_POLICY_NAME_MAX_BYTES + 8];

		snprintf(whose, sizeof(whose), "token %s", t->seen.name);
		if (policy_token(d->after, t->seen.name) == NULL)
			say(d, whose, "is gone: nothing is let through to it");
	}
}

size_t
kmn_policy_diff(const struct kmn_policy *before, const struct kmn_policy *after, kmn_policy_diff_fn fn, void *cookie)
{
	struct policy_diff d = {before, after, fn, cookie, 0};

	diff_head(&d);
	diff_persons(&d);
	diff_share_keys(&d);
	diff_groups(&d);
	diff_peers(&d);
	diff_tokens(&d);
	diff_webauthn(&d);
	diff_limits(&d);
	diff_witnesses(&d);
	policy_diff_rules(&d);
	policy_diff_effects(&d);
	return d.count;
}
