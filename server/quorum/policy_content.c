/* `content KIND [BOUND...]`: the line, and whether what is to be signed is within it. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
add_bound(struct parser *p, const char *word)
{
	struct bound parsed, *b;
	char why[200];

	if (!bound_parse(word, p->rule->content, &parsed, why, sizeof(why)))
		fail(p, "%s", why);
	else if ((b = policy_list_add(p, &p->rule->bounds, calloc(1, sizeof(*b)))) != NULL)
		*b = (struct bound){parsed.form, policy_keep(p, parsed.text), parsed.number};
}

void
policy_rule_content(struct parser *p)
{
	struct rule *r = p->rule;
	char names[200] = "any";

	for (int k = 0; k < KMN_CONTENT_COUNT; k++) {
		const char *name = kmn_content_kind_name((enum kmn_content_kind)k);
		size_t n = strlen(names);

		snprintf(names + n, sizeof(names) - n, ", %s", name);
		if (strcmp(p->word[1], name) != 0)
			continue;
		r->content_asked = true;
		r->content = (enum kmn_content_kind)k;
	}
	if (!r->content_asked && strcmp(p->word[1], "any") != 0)
		fail(p, "'%.40s' is no kind of content: %s", p->word[1], names);
	else if (!r->content_asked && p->words > 2)
		fail(p, "`content any` has no bounds");
	for (size_t i = 2; i < p->words && p->err == KMN_OK; i++)
		add_bound(p, p->word[i]);
}

/* Only a digest came; or a time stamp's attributes did, which hold no more than the hash of the time stamp. */
bool
policy_content_is_missing(const struct rule *r, const struct kmn_question *q)
{
	const struct kmn_content_facts *f = q->content == NULL ? NULL : kmn_content_facts(q->content);

	if (!r->content_asked)
		return false;
	return !q->has_data ||
	       (f != NULL && r->content == KMN_CONTENT_TST_INFO && f->kind == KMN_CONTENT_CMS_SIGNED_ATTRIBUTES &&
		   !f->has_econtent && strcmp(f->content_type, "tst-info") == 0);
}

bool
policy_content_fits(const struct rule *r, const struct kmn_question *q)
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

bool
kmn_policy_content_of(const struct kmn_policy *policy, const char *rule, enum kmn_content_kind *kind_out)
{
	const struct rule *r = policy_rule(policy, rule);

	*kind_out = r == NULL ? KMN_CONTENT_COUNT : r->content;
	return r != NULL && r->content_asked;
}
