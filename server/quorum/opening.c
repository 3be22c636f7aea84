/* The request that opens a window: whether it may be asked for, and what custodians read of it. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/quorum/window.h"

static bool refuse(struct kmn_verdict *v, const char *format, ...) KMN_PRINTF(2, 3);

static bool
refuse(struct kmn_verdict *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->reason, sizeof(v->reason), format, args);
	va_end(args);
	return false;
}

/* Is there a call that the rule could decide, with that key? */
static bool
reaches(const struct kmn_policy *policy, const struct rule *rule, const json_t *key)
{
	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		const struct kmn_call *call = kmn_call_row(id);

		if (call != NULL && call->durability == KMN_DURABILITY_A && policy_may_decide(policy, rule, call, key))
			return true;
	}
	return false;
}

/* Is the key on a token that the client may use? */
static bool
sees_token(const struct kmn_policy *policy, const struct kmn_policy_peer *peer, const json_t *key)
{
	struct kmn_policy_token_facts facts = {.label = NULL};
	const struct kmn_policy_token *token;

	if (!kmn_json_get_text(key, "token", &facts.label))
		return false;
	if (!kmn_json_get_text(key, "serial", &facts.serial))
		facts.serial = NULL;
	if (!kmn_json_get_text(key, "module", &facts.module))
		facts.module = NULL;
	token = kmn_policy_token_get(policy, &facts);
	for (const char *const *name = peer->tokens; token != NULL && *name != NULL; name++)
		if (strcmp(*name, token->name) == 0)
			return true;
	return false;
}

/* Whose window it would be. */
static bool
may_ask(const struct kmn_policy *policy, const struct rule *rule, const uint8_t client[KMN_HASH_BYTES],
    const json_t *key, int64_t now, struct kmn_verdict *v)
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, client);

	if (peer == NULL || peer->terminal)
		return refuse(v, "the caller is no client of policy version %llu", (unsigned long long)policy->version);
	if (now < policy->not_before || now >= policy->expires)
		return refuse(v, "policy version %llu is not in force: a new one must be signed",
		    (unsigned long long)policy->version);
	if (rule == NULL || !policy_has(rule->clients, peer->name))
		return refuse(v, "the policy has no such rule for client %s", peer->name);
	if (!sees_token(policy, peer, key))
		return refuse(v, "the key is on no token of client %s", peer->name);
	return reaches(policy, rule, key) ||
	       refuse(v, "rule %s decides no call with that key: see `kanmon policy check`", rule->name);
}

kmn_err
policy_judge_opening(const struct kmn_policy *policy, const json_t *intent, int64_t now, struct kmn_verdict *v)
{
	const json_t *window = json_object_get(intent, "window"), *key = json_object_get(intent, "key");
	struct kmn_verdict said = {.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A'};
	uint8_t client[KMN_HASH_BYTES];
	const struct rule *rule;
	uint64_t seconds, uses;
	const char *name;

	*v = said;
	if (!kmn_json_get_text(window, "rule", &name) || !kmn_json_get_number(window, "seconds", &seconds) ||
	    !kmn_json_get_number(window, "uses", &uses) || json_object_size(window) != 3 || !json_is_object(key) ||
	    !kmn_json_get_b64(json_object_get(intent, "requester"), "spki_sha256", client, sizeof(client)))
		return KMN_E_MALFORMED;
	rule = policy_rule(policy, name);
	if (!may_ask(policy, rule, client, key, now, v))
		return KMN_OK;
	v->rule = rule->name;
	policy_decide(policy, rule, &said);
	if (said.answer != KMN_ANSWER_HELD)
		refuse(v, "rule %s asks for no approval: there is nothing to open", rule->name);
	else if (said.per != KMN_PER_WINDOW)
		refuse(v, "rule %s has no window: what it holds is approved one by one", rule->name);
	else if (said.window_s != seconds || said.window_uses != uses)
		refuse(v, "a window of rule %s is %u s and %u uses", rule->name, said.window_s, said.window_uses);
	else
		*v = said;
	return KMN_OK;
}

/* ---- in words ----------------------------------------------------------------------------------------------------- */

void
window_put_per(struct text *t, const struct kmn_verdict *v)
{
	static const struct {
		uint32_t s;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	size_t i = 0;

	while (v->window_s % units[i].s != 0)
		i++;
	text_printf(t, "per window %u%c uses %u\n", v->window_s / units[i].s, units[i].unit, v->window_uses);
}

/*
 * The next word of a line: *at is set behind it as it stands, `word` gets it without its quotation marks (cut to its
 * room). False: there is none, or a comment begins.
 */
static bool
next_word(const char **at, const char *end, char *word, size_t size)
{
	const char *s = *at;
	bool quoted = false;
	size_t n = 0;

	while (s < end && *s == ' ')
		s++;
	if (s == end || *s == '#')
		return false;
	for (; s < end && (quoted || *s != ' '); s++) {
		if (*s == '"')
			quoted = !quoted;
		else if (n + 1 < size)
			word[n++] = *s;
	}
	word[n] = 0;
	*at = s;
	return true;
}

/* What stands elsewhere in the statement, or bounds nothing. */
static bool
is_said(const char *key)
{
	static const char *const said[] = {"client", "need", "independent", "per", "expires", "class", "selfcheck"};

	for (size_t i = 0; i < KMN_COUNT_OF(said); i++)
		if (strcmp(said[i], key) == 0)
			return true;
	return false;
}

/* From the first word to the last. False: the line belongs to no rule any more. */
static bool
put_line(struct text *t, const char *line, const char *end)
{
	const char *at = line, *first, *last;
	char word[64], more[64];

	if (!next_word(&at, end, word, sizeof(word)))
		return true; /* a line without words may stand anywhere */
	if (line[0] != ' ')
		return false;
	for (first = line; *first == ' ';)
		first++;
	for (last = at; next_word(&at, end, more, sizeof(more));)
		last = at;
	if (is_said(word))
		return true;
	text_put(t, "constraint ");
	text_escaped(t, first, (size_t)(last - first), "");
	text_put(t, "\n");
	return true;
}

void
window_put_constraints(struct text *t, const struct kmn_policy *policy, const struct rule *rule)
{
	const char *at = policy->text, *end = at + policy->len, *stop;
	unsigned line = 1;

	for (; at < end; at = stop + 1, line++) {
		if ((stop = memchr(at, '\n', (size_t)(end - at))) == NULL)
			stop = end;
		if (line > rule->line && !put_line(t, at, stop))
			return;
	}
}
