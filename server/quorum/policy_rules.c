/* The lines of a rule. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include <p11-kit/uri.h>
#include <stdlib.h>
#include <string.h>

static void
rule_client(struct parser *p)
{
	p->rule->clients = policy_keep_words(p, 1);
}

/* As intents and questions name a class. */
static const char *
class_name(CK_OBJECT_CLASS class)
{
	static const char *const names[] = {"data", "certificate", "public-key", "private-key", "secret-key"};

	return class < KMN_COUNT_OF(names) ? names[class] : "other";
}

/* Whether a URI, from its first attribute on, has those of an object and the token's label, and no query. */
static bool
names_object_only(const char *at)
{
	static const char *const names[] = {"token", "object", "id", "type"};

	while (at != NULL && *at != 0) {
		size_t n = strcspn(at, "=");
		bool known = false;

		for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
			known = known || (strlen(names[i]) == n && strncmp(names[i], at, n) == 0);
		if (!known || strchr(at, '?') != NULL)
			return false;
		if ((at = strchr(at, ';')) != NULL)
			at++;
	}
	return true;
}

/* A label as PKCS#11 has it, without the blanks behind it. */
static char *
keep_padded(struct parser *p, const CK_UTF8CHAR *padded, size_t n)
{
	char label[64] = "";

	n = n < sizeof(label) ? n : sizeof(label) - 1;
	memcpy(label, padded, n);
	while (n > 0 && (label[n - 1] == ' ' || label[n - 1] == 0))
		label[--n] = 0;
	return policy_keep(p, label);
}

/* Decoded by p11-kit; only the four attributes that say which object, for the token line says which token. */
static void
add_object(struct parser *p, const char *text)
{
	struct object *o = policy_list_add(p, &p->rule->objects, calloc(1, sizeof(*o)));
	P11KitUri *uri = p11_kit_uri_new();
	const CK_TOKEN_INFO *token;
	CK_ATTRIBUTE *a;

	if (o == NULL || uri == NULL || strncmp(text, "pkcs11:", 7) != 0 ||
	    p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, uri) != P11_KIT_URI_OK ||
	    p11_kit_uri_any_unrecognized(uri)) {
		fail(p, "'%.80s' is not a PKCS#11 URI (RFC 7512)", text);
		goto done;
	}
	if (!names_object_only(text + 7)) {
		fail(p, "an object's URI has token, object, id, type; the rest is the token line's");
		goto done;
	}
	if ((token = p11_kit_uri_get_token_info(uri))->label[0] != 0)
		o->token = keep_padded(p, token->label, sizeof(token->label));
	if ((a = p11_kit_uri_get_attribute(uri, CKA_LABEL)) != NULL &&
	    (o->label = policy_new_block(p, a->ulValueLen + 1)) != NULL)
		memcpy(o->label, a->pValue, a->ulValueLen);
	if ((a = p11_kit_uri_get_attribute(uri, CKA_ID)) != NULL &&
	    (o->id = policy_new_block(p, a->ulValueLen + 1)) != NULL) {
		memcpy(o->id, a->pValue, a->ulValueLen);
		o->id_len = a->ulValueLen;
	}
	if ((a = p11_kit_uri_get_attribute(uri, CKA_CLASS)) != NULL && a->ulValueLen == sizeof(CK_OBJECT_CLASS))
		o->class = policy_keep(p, class_name(*(CK_OBJECT_CLASS *)a->pValue));
done:
	p11_kit_uri_free(uri);
}

static void
rule_object(struct parser *p)
{
	for (size_t i = 1; i < p->words; i++)
		add_object(p, p->word[i]);
}

static void
rule_key(struct parser *p)
{
	struct rule *r = p->rule;

	r->keys = policy_new_block(p, p->words * sizeof(*r->keys));
	for (size_t i = 1; i < p->words && r->keys != NULL; i++) {
		const char *spki = policy_prefixed(p, "spki:", p->word[i]);

		if (spki == NULL || !policy_hash(p, spki, r->keys[r->key_count++]))
			return;
	}
}

static void
rule_calls(struct parser *p)
{
	enum kmn_policy_class class;

	for (size_t i = 1; i < p->words; i++) {
		const struct kmn_call *call = kmn_call_by_name(p->word[i]);

		if (kmn_policy_class_of(p->word[i], &class) && class != KMN_POLICY_LOCAL)
			p->rule->class[class] = true;
		else if (call == NULL || call->policy == KMN_POLICY_LOCAL)
			fail(p,
			    "'%.60s' is no call and no class of calls (login session query key-use key-management "
			    "token-management random)",
			    p->word[i]);
	}
	p->rule->calls = policy_keep_words(p, 1);
}

static void
rule_mechanisms(struct parser *p)
{
	uint64_t type;

	if (p->words == 2 && strcmp(p->word[1], "any") == 0) {
		p->rule->any_mechanism = true;
		return;
	}
	for (size_t i = 1; i < p->words; i++)
		if (!kmn_mechanism_of(p->word[i], &type))
			fail(p, "'%.60s' is no mechanism that is known here", p->word[i]);
	p->rule->mechanisms = policy_keep_words(p, 1);
}

static void
rule_need(struct parser *p)
{
	struct rule *r = p->rule;
	size_t groups = 0;

	r->need_line = p->line;
	if (p->words == 2 && (strcmp(p->word[1], "none") == 0 || strcmp(p->word[1], "deny") == 0)) {
		r->need = p->word[1][0] == 'n' ? NEED_NONE : NEED_DENY;
		return;
	}
	r->need = NEED_GROUPS;
	for (size_t i = 1; i < p->words; i++) {
		if (i % 2 == 0 && strcmp(p->word[i], "and") != 0)
			fail(p, "expected: need none | deny | GROUP [and GROUP]...");
		if (i % 2 == 1)
			p->word[1 + groups++] = p->word[i];
	}
	if (p->words % 2 != 0)
		fail(p, "a group is missing after `and`");
	if (groups > KMN_POLICY_NEEDS_MAX)
		fail(p, "more than %d groups", KMN_POLICY_NEEDS_MAX);
	p->words = 1 + groups;
	r->groups = policy_keep_words(p, 1);
}

static void
rule_independent(struct parser *p)
{
	uint64_t n;

	if (policy_number(p, p->word[1], 64, &n))
		p->rule->independent = (unsigned)n;
}

/* `per operation`, `per window DURATION uses N`, `per login`. */
static void
rule_per(struct parser *p)
{
	struct rule *r = p->rule;
	uint64_t seconds, uses;

	if (strcmp(p->word[1], "operation") == 0 && p->words == 2) {
		r->per = KMN_PER_OPERATION;
	} else if (strcmp(p->word[1], "login") == 0 && p->words == 2) {
		r->per = KMN_PER_LOGIN;
	} else if (strcmp(p->word[1], "window") == 0 && p->words == 5 && strcmp(p->word[3], "uses") == 0) {
		if (!policy_duration(p, p->word[2], POLICY_WINDOW_MAX_S, &seconds) ||
		    !policy_number(p, p->word[4], POLICY_WINDOW_USES_MAX, &uses))
			return;
		if (uses == 0)
			fail(p, "a window of 0 uses lets nothing run");
		r->per = KMN_PER_WINDOW;
		r->window_s = (uint32_t)seconds;
		r->window_uses = (uint32_t)uses;
	} else {
		fail(p, "expected: per operation | per window DURATION uses N | per login");
	}
}

static void
rule_allow(struct parser *p)
{
	static const char *const words[] = {[KMN_ALLOW_IMPORT] = "import", [KMN_ALLOW_EXTRACTABLE] = "extractable"};

	for (size_t i = 1; i < p->words; i++) {
		size_t k = 0;

		while (k < KMN_COUNT_OF(words) && strcmp(words[k], p->word[i]) != 0)
			k++;
		if (k == KMN_COUNT_OF(words) || p->rule->allow[k])
			fail(p, k == KMN_COUNT_OF(words) ? "expected: allow import | extractable" : "`%s` stands twice",
			    p->word[i]);
		else
			p->rule->allow[k] = true;
	}
}

static void
rule_origin(struct parser *p)
{
	if (strcmp(p->word[1], "local") != 0)
		fail(p, "expected: origin local");
	p->rule->origin_local = true;
}

static void
rule_expires(struct parser *p)
{
	uint64_t s;

	if (policy_duration(p, p->word[1], POLICY_LIFETIME_MAX_S, &s))
		p->rule->lifetime_s = (uint32_t)s;
}

static void
rule_class(struct parser *p)
{
	if (strcmp(p->word[1], "A") != 0 && strcmp(p->word[1], "B") != 0)
		fail(p, "expected: class A | B");
	p->rule->durability = p->word[1][0];
}

static void
rule_selfcheck(struct parser *p)
{
	uint64_t n;

	if (p->words == 2 && strcmp(p->word[1], "all") == 0)
		p->rule->selfcheck = 1;
	else if (p->words != 3 || strcmp(p->word[1], "sample") != 0)
		fail(p, "expected: selfcheck all | sample N");
	else if (policy_number(p, p->word[2], 1000000, &n))
		p->rule->selfcheck = n == 0 ? 1 : (unsigned)n;
}

static const struct {
	const char *key;
	size_t most; /* words, the key among them */
	void (*parse)(struct parser *p);
} rule_keys[] = {
    {"client", POLICY_WORDS_MAX, rule_client},
    {"object", 17, rule_object},
    {"key", 65, rule_key},
    {"calls", POLICY_WORDS_MAX, rule_calls},
    {"mechanisms", POLICY_WORDS_MAX, rule_mechanisms},
    {"origin", 2, rule_origin},
    {"allow", 3, rule_allow},
    {"need", POLICY_WORDS_MAX, rule_need},
    {"independent", 2, rule_independent},
    {"per", 5, rule_per},
    {"expires", 2, rule_expires},
    {"class", 2, rule_class},
    {"selfcheck", 3, rule_selfcheck},
    {"content", 32, policy_rule_content},
};

void
policy_line_of_rule(struct parser *p)
{
	if (p->rule == NULL) {
		fail(p, "an indented line belongs to a rule, and there is none above");
		return;
	}
	for (unsigned i = 0; i < KMN_COUNT_OF(rule_keys); i++) {
		if (strcmp(rule_keys[i].key, p->word[0]) != 0)
			continue;
		if ((p->rule->said & 1u << i) != 0)
			fail(p, "`%s` stands twice in rule %s", p->word[0], p->rule->name);
		else if (p->words < 2)
			fail(p, "`%s` says nothing", p->word[0]);
		else if (p->words > rule_keys[i].most)
			fail(p, "`%s` has too many words", p->word[0]);
		else
			rule_keys[i].parse(p);
		p->rule->said |= 1u << i;
		return;
	}
	fail(p, "'%.40s' is no line of a rule", p->word[0]);
}

void
policy_line_rule(struct parser *p)
{
	const struct rule *before;

	if (!policy_count_words(p, 2, 2, "rule NAME") || !policy_check_name(p, "rule", p->word[1]))
		return;
	if ((before = policy_rule(p->policy, p->word[1])) != NULL)
		fail(p, "rule %s is in line %u already", before->name, before->line);
	if ((p->rule = policy_list_add(p, &p->policy->rules, calloc(1, sizeof(*p->rule)))) == NULL)
		return;
	p->rule->name = policy_keep(p, p->word[1]);
	p->rule->line = p->line;
	p->rule->lifetime_s = POLICY_LIFETIME_S;
	p->rule->durability = 'A';
	p->rule->selfcheck = 1;
}

static bool
is_client(const struct kmn_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->peers.count; i++) {
		const struct peer *peer = policy->peers.items[i];

		if (!peer->seen.terminal && strcmp(peer->seen.name, name) == 0)
			return true;
	}
	return false;
}

/* Each asks whether the needs can be met when all their persons approve, and whether the rest of the rule agrees. */
static void
check_rule_needs(struct parser *p, const struct rule *r)
{
	struct kmn_verdict v = {.answer = KMN_ANSWER_HELD};
	const char *names[POLICY_NAMES_MAX];
	unsigned votes = 0, ways = 1;

	for (char **name = r->groups; name != NULL && *name != NULL; name++) {
		const struct group *g = policy_group(p->policy, *name, false);

		if (g == NULL) {
			policy_fail_at(p, r->need_line, "no group is called %s", *name);
			return;
		}
		for (char **other = r->groups; other != name; other++)
			if (strcmp(*other, *name) == 0)
				policy_fail_at(p, r->need_line, "group %s stands twice", g->name);
		votes += g->votes;
		ways = ways > POLICY_WAYS_MAX ? ways : ways * g->ways;
	}
	if (ways > POLICY_WAYS_MAX)
		policy_fail_at(p, r->need_line, "more than %d ways to choose among the groups", POLICY_WAYS_MAX);
	if (r->need == NEED_GROUPS && p->err == KMN_OK) {
		policy_decide(p->policy, r, &v);
		if (!kmn_policy_is_met(p->policy, &v, names, policy_rule_persons(p->policy, r, NULL, names)))
			policy_fail_at(p, r->need_line, "cannot be met: each person counts in one group only");
	}
	if (r->independent > votes)
		policy_fail_at(
		    p, r->need_line, "independent %u, but %u approvals are asked for", r->independent, votes);
}

/* What holds for longer than one call is a quorum's, and of class A like all that needs approval. */
static void
check_rule_times(struct parser *p, const struct rule *r)
{
	enum kmn_policy_class class;

	if (r->durability == 'B' && r->need == NEED_GROUPS)
		policy_fail_at(p, r->line, "rule %s: what needs approval is always class A", r->name);
	if (r->per != KMN_PER_OPERATION && r->need != NEED_GROUPS)
		policy_fail_at(p, r->line, "rule %s: `per %s` is for what needs approval", r->name,
		    r->per == KMN_PER_WINDOW ? "window" : "login");
	for (char **c = r->calls; r->per == KMN_PER_LOGIN && c != NULL && *c != NULL; c++) {
		const struct kmn_call *call = kmn_call_by_name(*c);

		if (call != NULL ? call->policy != KMN_POLICY_LOGIN
				 : !kmn_policy_class_of(*c, &class) || class != KMN_POLICY_LOGIN)
			policy_fail_at(p, r->line, "rule %s: `per login` is for `calls login` alone", r->name);
	}
}

void
policy_check_rules(struct parser *p)
{
	for (size_t i = 0; i < p->policy->rules.count; i++) {
		const struct rule *r = p->policy->rules.items[i];

		if (r->clients == NULL || r->calls == NULL || r->need == NEED_UNSAID)
			policy_fail_at(p, r->line, "rule %s has no `%s` line", r->name,
			    r->clients == NULL ? "client"
			    : r->calls == NULL ? "calls"
					       : "need");
		for (char **c = r->clients; c != NULL && *c != NULL; c++)
			if (!is_client(p->policy, *c))
				policy_fail_at(p, r->line, "rule %s: no client is called %s", r->name, *c);
		for (size_t k = 0; k < r->objects.count; k++) {
			const struct object *o = r->objects.items[k];

			if (o->token != NULL && policy_token(p->policy, o->token) == NULL)
				policy_fail_at(p, r->line,
				    "rule %s: no token line is called %s (the URI's token is that name)", r->name,
				    o->token);
		}
		check_rule_needs(p, r);
		check_rule_times(p, r);
	}
}
