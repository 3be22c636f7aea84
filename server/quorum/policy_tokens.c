/* Lines about tokens. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include <stdlib.h>
#include <string.h>

/* "NAME VALUE" pairs after the token's name; `level` is a number, all others are texts. */
static void
take_fact(struct parser *p, struct token *t, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **value;
	} keys[] = {{"label", &t->seen.label}, {"module", &t->seen.module}, {"serial", &t->seen.serial},
	    {"model", &t->seen.model}, {"manufacturer", &t->seen.manufacturer}, {"firmware", &t->seen.firmware}};
	uint64_t level;

	for (size_t k = 0; k < KMN_COUNT_OF(keys); k++) {
		if (strcmp(keys[k].key, key) != 0)
			continue;
		if (*keys[k].value != NULL)
			fail(p, "`%s` stands twice", key);
		*keys[k].value = policy_keep(p, value);
		return;
	}
	if (strcmp(key, "level") != 0) {
		fail(p, "'%.40s' is not known of a token", key);
	} else if (policy_number(p, value, POLICY_LEVEL_MAX, &level)) {
		if (level == 0 || t->seen.level != 0)
			fail(p, level == 0 ? "levels count from 1" : "`level` stands twice");
		t->seen.level = (unsigned)level;
	}
}

void
policy_line_token(struct parser *p)
{
	struct token *t;

	if (!policy_count_words(p, 2, 32,
		"token NAME [label LABEL] [module NAME] [serial S] [model M] [manufacturer M] [firmware F] "
		"[level N]") ||
	    !policy_check_name(p, "token", p->word[1]))
		return;
	if (policy_token(p->policy, p->word[1]) != NULL)
		fail(p, "token %s is in line %u already", p->word[1], policy_token(p->policy, p->word[1])->line);
	if (p->words % 2 != 0)
		fail(p, "'%.40s' has no value", p->word[p->words - 1]);
	if (p->err != KMN_OK || (t = policy_list_add(p, &p->policy->tokens, calloc(1, sizeof(*t)))) == NULL)
		return;
	t->line = p->line;
	t->seen.name = policy_keep(p, p->word[1]);
	for (size_t i = 2; i + 1 < p->words; i += 2)
		take_fact(p, t, p->word[i], p->word[i + 1]);
	if (t->seen.label == NULL)
		t->seen.label = t->seen.name;
}

/* The token's own line may come later: the stance is kept until all lines are read. */
void
policy_line_stance(struct parser *p)
{
	struct stance *s;

	if (!policy_count_words(p, 3, 3, "stance TOKEN seal|degrade") ||
	    (s = policy_list_add(p, &p->policy->stances, calloc(1, sizeof(*s)))) == NULL)
		return;
	s->token = policy_keep(p, p->word[1]);
	s->line = p->line;
	s->stance = strcmp(p->word[2], "seal") == 0 ? KMN_STANCE_SEAL : KMN_STANCE_DEGRADE;
	if (s->stance == KMN_STANCE_DEGRADE && strcmp(p->word[2], "degrade") != 0)
		fail(p, "expected: stance TOKEN seal|degrade");
	for (size_t i = 0; i + 1 < p->policy->stances.count; i++) {
		const struct stance *other = p->policy->stances.items[i];

		if (strcmp(other->token, s->token) == 0)
			fail(p, "the stance of %s is in line %u already", s->token, other->line);
	}
}

void
policy_check_stances(struct parser *p)
{
	for (size_t i = 0; i < p->policy->stances.count; i++) {
		const struct stance *s = p->policy->stances.items[i];

		if (policy_token(p->policy, s->token) == NULL)
			policy_fail_at(p, s->line, "no token line is called %s", s->token);
	}
}
