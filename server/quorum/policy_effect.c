/* What two policies' rules say differently, and which calls they would decide otherwise. */
#include "config.h"

#include "server/quorum/policy_diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rules --------------------------------------------------------------------------------------------------------- */

/* The lines of a rule as words, in one order: two rules are the same if these are. */
static void
put_names(struct text *t, const char *key, char *const *names)
{
	for (; names != NULL && *names != NULL; names++)
		text_printf(t, "%s %s\n", key, *names);
}

static void
put_object(struct text *t, const struct object *o)
{
	text_printf(t, "object token=%s label=%s class=%s id=", o->token != NULL ? o->token : "any",
	    o->label != NULL ? o->label : "any", o->class != NULL ? o->class : "any");
	if (o->id != NULL)
		text_hex(t, o->id, o->id_len);
	text_put(t, "\n");
}

static void
put_need(struct text *t, const struct rule *r)
{
	static const char *const words[] = {[NEED_NONE] = "none", [NEED_DENY] = "deny", [NEED_GROUPS] = "groups"};

	text_printf(t, "need%s%s", r->need == NEED_GROUPS ? "" : " ", r->need == NEED_GROUPS ? "" : words[r->need]);
	for (char **g = r->groups; g != NULL && *g != NULL; g++)
		text_printf(t, "%s %s", g == r->groups ? "" : " and", *g);
	text_put(t, "\n");
	text_printf(t, "independent %u\n", r->independent);
	if (r->per == KMN_PER_WINDOW)
		text_printf(t, "per window %us uses %u\n", r->window_s, r->window_uses);
	else
		text_printf(t, "per %s\n", r->per == KMN_PER_LOGIN ? "login" : "operation");
	text_printf(t, "expires %us\nclass %c\nselfcheck %u\n", r->lifetime_s, r->durability, r->selfcheck);
}

static void
put_rule(struct text *t, const struct rule *r)
{
	put_names(t, "client", r->clients);
	put_names(t, "calls", r->calls);
	for (size_t i = 0; i < r->objects.count; i++)
		put_object(t, r->objects.items[i]);
	for (size_t i = 0; i < r->key_count; i++) {
		text_put(t, "key spki:");
		text_b64(t, r->keys[i], KMN_HASH_BYTES);
		text_put(t, "\n");
	}
	put_names(t, "mechanisms", r->mechanisms);
	if (r->any_mechanism)
		text_put(t, "mechanisms any\n");
	text_printf(t, "%s%s%s", r->allow[KMN_ALLOW_IMPORT] ? "allow import\n" : "",
	    r->allow[KMN_ALLOW_EXTRACTABLE] ? "allow extractable\n" : "", r->origin_local ? "origin local\n" : "");
	if (r->content_asked)
		text_printf(t, "content %s\n", kmn_content_kind_name(r->content));
	for (size_t i = 0; i < r->bounds.count; i++) {
		text_put(t, "bound ");
		bound_put(t, r->bounds.items[i]);
		text_put(t, "\n");
	}
	put_need(t, r);
}

static bool
has_line(const char *text, const char *line, size_t len)
{
	for (const char *at = text; at != NULL && *at != 0; at = strchr(at, '\n') + 1)
		if (strncmp(at, line, len) == 0 && at[len] == '\n')
			return true;
	return false;
}

static void
say_lines(struct policy_diff *d, const char *whose, const char *of, const char *in, const char *what)
{
	for (const char *at = of; *at != 0;) {
		size_t n = strcspn(at, "\n");

		if (!has_line(in, at, n))
			policy_diff_say(d, whose, "%s: %.*s", what, (int)n, at);
		at += n + 1;
	}
}

static void
diff_rule(struct policy_diff *d, const char *whose, const struct rule *was, const struct rule *is)
{
	struct text a, b;

	text_init(&a, KMN_POLICY_MAX_BYTES);
	text_init(&b, KMN_POLICY_MAX_BYTES);
	put_rule(&a, was);
	put_rule(&b, is);
	if (a.err == KMN_OK && b.err == KMN_OK) {
		say_lines(d, whose, b.bytes, a.bytes, "says now");
		say_lines(d, whose, a.bytes, b.bytes, "does not say any more");
	} else {
		policy_diff_say(d, whose, "may differ, and is too long to be compared");
	}
	text_clear(&a);
	text_clear(&b);
}

/* The rule of both policies that stands before this one, for who asks whether it moved. */
static const char *
common_before(const struct kmn_policy *in, const struct kmn_policy *other, const struct rule *r)
{
	const char *before = "";

	for (size_t i = 0; i < in->rules.count && in->rules.items[i] != r; i++) {
		const struct rule *at = in->rules.items[i];

		if (policy_rule(other, at->name) != NULL)
			before = at->name;
	}
	return before;
}

void
policy_diff_rules(struct policy_diff *d)
{
	for (size_t i = 0; i < d->after->rules.count; i++) {
		const struct rule *is = d->after->rules.items[i], *was = policy_rule(d->before, is->name);
		char whose[KMN_POLICY_NAME_MAX_BYTES + 8];
		const char *behind;

		snprintf(whose, sizeof(whose), "rule %s", is->name);
		if (was == NULL) {
			policy_diff_say(d, whose, "is new");
			continue;
		}
		diff_rule(d, whose, was, is);
		behind = common_before(d->after, d->before, is);
		if (strcmp(behind, common_before(d->before, d->after, was)) != 0)
			policy_diff_say(d, whose, "stands %s%s now", behind[0] != 0 ? "behind rule " : "first", behind);
	}
	for (size_t i = 0; i < d->before->rules.count; i++) {
		const struct rule *was = d->before->rules.items[i];
		char whose[KMN_POLICY_NAME_MAX_BYTES + 8];

		snprintf(whose, sizeof(whose), "rule %s", was->name);
		if (policy_rule(d->after, was->name) == NULL)
			policy_diff_say(d, whose, "is gone");
	}
}

/* ---- effects ------------------------------------------------------------------------------------------------------- */

#define CALLS_MAX 128
#define OBJECTS_MAX 64
#define MECHANISMS_MAX 64
#define TRIES_MAX 400000u
#define COMPARISONS_MAX 40000000u /* of calls with rules */

/* All that either policy names, each once; what neither names stands for itself at the end. */
struct tries {
	const char *client[POLICY_WORDS_MAX], *token[POLICY_WORDS_MAX];
	const char *call[CALLS_MAX], *call_says[CALLS_MAX];
	const char *mechanism[MECHANISMS_MAX];
	struct object object[OBJECTS_MAX];
	size_t clients, tokens, calls, mechanisms, objects;
	bool cut; /* there was more than is tried */
};

static void
add(struct tries *t, const char **names, size_t *count, size_t max, const char *name)
{
	for (size_t i = 0; i < *count; i++)
		if (strcmp(names[i], name) == 0)
			return;
	if (*count == max)
		t->cut = true;
	else
		names[(*count)++] = name;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
add_object(struct tries *t, const struct object *o)
{
	for (size_t i = 0; i < t->objects; i++) {
		const struct object *other = &t->object[i];

		if (same_text(other->label, o->label) && same_text(other->class, o->class) &&
		    other->id_len == o->id_len && (o->id == NULL) == (other->id == NULL) &&
		    (o->id == NULL || memcmp(other->id, o->id, o->id_len) == 0))
			return;
	}
	if (t->objects == OBJECTS_MAX)
		t->cut = true;
	else
		t->object[t->objects++] = *o;
}

static void
gather_rule(struct tries *t, const struct rule *r)
{
	for (char **c = r->calls; *c != NULL; c++)
		if (kmn_call_by_name(*c) != NULL)
			add(t, t->call, &t->calls, CALLS_MAX, *c);
	for (char **m = r->mechanisms; m != NULL && *m != NULL; m++)
		add(t, t->mechanism, &t->mechanisms, MECHANISMS_MAX, *m);
	for (size_t i = 0; i < r->objects.count; i++) {
		const struct object *o = r->objects.items[i];

		if (o->label != NULL || o->id != NULL || o->class != NULL)
			add_object(t, o);
	}
}

/* One function for each class of calls: what is said of it is said of the class. */
static const struct {
	enum kmn_policy_class class;
	const char *call;
} classes[] = {{KMN_POLICY_LOGIN, "C_Login"}, {KMN_POLICY_SESSION, "C_OpenSession"},
    {KMN_POLICY_QUERY, "C_FindObjects"}, {KMN_POLICY_KEY_USE, "C_Sign"}, {KMN_POLICY_KEY_MANAGEMENT, "C_GenerateKey"},
    {KMN_POLICY_TOKEN_MANAGEMENT, "C_InitPIN"}, {KMN_POLICY_RANDOM, "C_GenerateRandom"}};

static void
gather(struct tries *t, const struct kmn_policy *policy)
{
	for (size_t i = 0; i < policy->peers.count; i++) {
		const struct peer *peer = policy->peers.items[i];

		if (!peer->seen.terminal)
			add(t, t->client, &t->clients, POLICY_WORDS_MAX, peer->seen.name);
	}
	for (size_t i = 0; i < policy->tokens.count; i++)
		add(t, t->token, &t->tokens, POLICY_WORDS_MAX,
		    ((const struct token *)policy->tokens.items[i])->seen.name);
	for (size_t i = 0; i < policy->rules.count; i++)
		gather_rule(t, policy->rules.items[i]);
}

static const struct peer *
client_named(const struct kmn_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->peers.count; i++) {
		const struct peer *peer = policy->peers.items[i];

		if (!peer->seen.terminal && strcmp(peer->seen.name, name) == 0)
			return peer;
	}
	return NULL;
}

/* One function of one client on one token, by these mechanisms. */
struct attempt {
	const char *client, *token, *call, *says;
	const char *mechanism[MECHANISMS_MAX + 2];
	size_t mechanisms, objects;
	bool no_object;
};

struct effect {
	enum kmn_answer answer;
	char needs[256];
	char rule[KMN_POLICY_NAME_MAX_BYTES + 1];
};

/* What the policy makes of the call, with the token as its line says it is. */
static void
find_effect(const struct kmn_policy *policy, const struct attempt *at, const struct object *o, const char *mechanism,
    struct effect *out)
{
	const struct kmn_policy_token *line = kmn_policy_token_named(policy, at->token);
	const struct peer *peer = client_named(policy, at->client);
	struct kmn_policy_token_facts facts;
	struct kmn_question q = {.call = at->call, .mechanism = mechanism, .now = policy->not_before};
	struct kmn_verdict v;
	size_t n = 0;

	*out = (struct effect){.answer = KMN_ANSWER_REFUSED};
	if (line == NULL || peer == NULL)
		return;
	facts = (struct kmn_policy_token_facts){.label = line->label,
	    .module = line->module,
	    .serial = line->serial,
	    .model = line->model,
	    .manufacturer = line->manufacturer};
	q.token = &facts;
	q.client_spki_sha256 = peer->seen.spki_sha256;
	q.has_object = o != NULL;
	q.origin = KMN_ORIGIN_LOCAL;
	if (o != NULL) {
		q.object_class = o->class != NULL ? o->class : "private-key";
		q.label = o->label;
		q.id = o->id;
		q.id_len = o->id_len;
	}
	kmn_policy_judge(policy, &q, &v);
	out->answer = v.content_missing ? KMN_ANSWER_HELD : v.answer;
	snprintf(out->rule, sizeof(out->rule), "%s", v.rule);
	if (v.content_missing)
		n = (size_t)snprintf(out->needs, sizeof(out->needs), "its content is seen first, ");
	for (size_t i = 0; i < v.needs && n < sizeof(out->needs); i++)
		n += (size_t)snprintf(
		    out->needs + n, sizeof(out->needs) - n, "%s%s", i > 0 ? " and " : "", v.need[i].group);
}

static bool
same_effect(const struct effect *a, const struct effect *b)
{
	return a->answer == b->answer && strcmp(a->needs, b->needs) == 0;
}

static void
put_effect(struct text *t, const struct effect *e)
{
	switch (e->answer) {
	case KMN_ANSWER_FREE:
		text_printf(t, "runs by rule %s", e->rule);
		return;
	case KMN_ANSWER_HELD:
		text_printf(t, "asks for %s by rule %s", e->needs[0] != 0 ? e->needs : "approval", e->rule);
		return;
	case KMN_ANSWER_REFUSED:
		text_put(t, "is refused");
	}
}

static void
put_object_name(struct text *t, const struct object *o)
{
	if (o == NULL)
		return;
	text_printf(t, " with %s", o->class != NULL ? o->class : "a key");
	if (o->label != NULL)
		text_printf(t, " %s", o->label);
	if (o->id != NULL) {
		text_put(t, " id ");
		text_hex(t, o->id, o->id_len);
	}
	if (o->label == NULL && o->id == NULL)
		text_put(t, " that no rule names");
}

static void
say_effect(struct policy_diff *d, const struct attempt *at, const struct object *o, const char *mechanism,
    const struct effect *was, const struct effect *is)
{
	char whose[KMN_POLICY_NAME_MAX_BYTES + 8];
	struct text t;

	snprintf(whose, sizeof(whose), "client %s", at->client);
	text_init(&t, POLICY_DIFF_LINE_MAX);
	text_printf(&t, "%s on %s", at->says, at->token);
	put_object_name(&t, o);
	text_printf(&t, "%s%s ", mechanism != NULL ? " by " : "", mechanism != NULL ? mechanism : "");
	put_effect(&t, is);
	text_put(&t, ", and before ");
	put_effect(&t, was);
	policy_diff_say(d, whose, "%s", t.err == KMN_OK ? t.bytes : "a call is decided otherwise");
	text_clear(&t);
}

/* The mechanisms to try with a function: those that are named, and one for each kind of others. */
static size_t
mechanisms_for(const struct tries *t, const struct kmn_call *row, const char *names[MECHANISMS_MAX + 2])
{
	bool takes = row->policy == KMN_POLICY_KEY_USE;
	size_t n = 0;

	names[0] = NULL;
	for (size_t i = 0; i < row->param_count && !takes; i++)
		takes = row->param[i].kind == KMN_KIND_MECHANISM && row->policy != KMN_POLICY_QUERY;
	if (!takes)
		return 1;
	for (; n < t->mechanisms; n++)
		names[n] = t->mechanism[n];
	names[n++] = "CKM_SHA512_256_HMAC"; /* approved, and hardly named */
	names[n++] = "CKM_RC4";             /* neither */
	return n;
}

/* Is the change the same for all objects and mechanisms? *was, *is: of the first. */
static bool
is_uniform(
    const struct policy_diff *d, const struct tries *t, const struct attempt *at, struct effect *was, struct effect *is)
{
	for (size_t o = 0; o < at->objects; o++) {
		for (size_t m = 0; m < at->mechanisms; m++) {
			struct effect a, b;

			find_effect(d->before, at, at->no_object ? NULL : &t->object[o], at->mechanism[m], &a);
			find_effect(d->after, at, at->no_object ? NULL : &t->object[o], at->mechanism[m], &b);
			if (o == 0 && m == 0) {
				*was = a;
				*is = b;
			} else if (!same_effect(&a, was) || !same_effect(&b, is)) {
				return false;
			}
		}
	}
	return true;
}

/* One function on one object by every mechanism: one line where all of them changed alike. */
static void
try_mechanisms(struct policy_diff *d, const struct tries *t, const struct attempt *at, const struct object *o)
{
	struct effect was[MECHANISMS_MAX + 2], is[MECHANISMS_MAX + 2];
	bool alike = true;

	for (size_t i = 0; i < at->mechanisms; i++) {
		find_effect(d->before, at, o, at->mechanism[i], &was[i]);
		find_effect(d->after, at, o, at->mechanism[i], &is[i]);
		alike = alike && same_effect(&was[i], &was[0]) && same_effect(&is[i], &is[0]);
	}
	for (size_t i = 0; i < (alike ? 1 : at->mechanisms); i++) {
		const char *name = i < t->mechanisms    ? at->mechanism[i]
				   : i == t->mechanisms ? "other approved mechanisms"
							: "mechanisms that are not approved";

		if (!same_effect(&was[i], &is[i]))
			say_effect(d, at, o, alike ? NULL : name, &was[i], &is[i]);
	}
}

static void
try_call(struct policy_diff *d, const struct tries *t, struct attempt *at)
{
	const struct kmn_call *row = kmn_call_by_name(at->call);
	struct effect was, is;

	at->mechanisms = mechanisms_for(t, row, at->mechanism);
	at->no_object = row->policy != KMN_POLICY_QUERY && row->policy != KMN_POLICY_KEY_USE &&
			row->policy != KMN_POLICY_KEY_MANAGEMENT;
	at->objects = at->no_object ? 1 : t->objects;
	if (is_uniform(d, t, at, &was, &is)) {
		if (!same_effect(&was, &is))
			say_effect(d, at, NULL, NULL, &was, &is);
		return;
	}
	for (size_t o = 0; o < at->objects; o++)
		try_mechanisms(d, t, at, &t->object[o]);
}

static void
try_all(struct policy_diff *d, const struct tries *t)
{
	size_t tries = 0, each = t->calls * (t->objects + 1) * (t->mechanisms + 2);
	size_t rules = d->before->rules.count + d->after->rules.count;

	for (size_t c = 0; c < t->clients; c++) {
		for (size_t k = 0; k < t->tokens; k++) {
			tries += each;
			if (tries > TRIES_MAX || tries * rules > COMPARISONS_MAX) {
				policy_diff_say(
				    d, "client", "not every call was tried: the policies name too many things");
				return;
			}
			for (size_t f = 0; f < t->calls; f++) {
				struct attempt at = {
				    t->client[c], t->token[k], t->call[f], t->call_says[f], {NULL}, 0, 0, false};

				try_call(d, t, &at);
			}
		}
	}
	if (t->cut)
		policy_diff_say(d, "client", "not every call was tried: the policies name too many things");
}

void
policy_diff_effects(struct policy_diff *d)
{
	static const struct object unnamed = {.token = NULL};
	struct tries *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		policy_diff_say(d, "client", "no memory to try calls");
		return;
	}
	gather(t, d->before);
	gather(t, d->after);
	add_object(t, &unnamed);
	for (size_t i = 0; i < t->calls; i++)
		t->call_says[i] = t->call[i];
	for (size_t i = 0; i < KMN_COUNT_OF(classes) && t->calls < CALLS_MAX; i++) {
		t->call_says[t->calls] = kmn_policy_class_word(classes[i].class);
		t->call[t->calls++] = classes[i].call;
	}
	try_all(d, t);
	free(t);
}
