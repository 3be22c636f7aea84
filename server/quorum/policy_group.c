/* Groups and roles: their lines, and what a group of groups comes to. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include <stdlib.h>
#include <string.h>

static void
check_role(struct parser *p, const char *name)
{
	static const char *const roles[] = {"policy", "veto", "recovery"};

	for (size_t i = 0; i < KMN_COUNT_OF(roles); i++)
		if (strcmp(roles[i], name) == 0)
			return;
	fail(p, "'%.40s' is no role: policy, veto, recovery", name);
}

/* `delay TIME` at the end of `role recovery`, taken off; else what holds without it. */
static uint64_t
take_delay(struct parser *p)
{
	bool recovery = strcmp(p->word[0], "role") == 0 && strcmp(p->word[1], "recovery") == 0;
	uint64_t delay = recovery ? POLICY_RECOVERY_DELAY_S : 0;

	if (strcmp(p->word[0], "role") != 0 || p->words <= 5 || strcmp(p->word[p->words - 2], "delay") != 0)
		return delay;
	if (!recovery)
		fail(p, "only `role recovery` has a delay");
	policy_duration(p, p->word[p->words - 1], POLICY_LIFETIME_MAX_S, &delay);
	p->words -= 2;
	return delay;
}

void
policy_line_group(struct parser *p)
{
	bool role = strcmp(p->word[0], "role") == 0;
	uint64_t least, delay;
	struct group *g;

	if (!policy_count_words(p, 4, POLICY_WORDS_MAX,
		role ? "role policy|veto|recovery COUNT PERSON... [delay TIME]" : "group NAME COUNT MEMBER..."))
		return;
	if (role)
		check_role(p, p->word[1]);
	else
		policy_check_name(p, "group", p->word[1]);
	if (policy_group(p->policy, p->word[1], role) != NULL)
		fail(p, "%s %s is in line %u already", p->word[0], p->word[1],
		    policy_group(p->policy, p->word[1], role)->line);
	if (!policy_number(p, p->word[2], 64, &least))
		return;
	delay = take_delay(p);
	if (p->err != KMN_OK || (g = policy_list_add(p, &p->policy->groups, calloc(1, sizeof(*g)))) == NULL)
		return;
	*g = (struct group){.name = policy_keep(p, p->word[1]),
	    .least = (unsigned)least,
	    .members = policy_keep_words(p, 3),
	    .count = (unsigned)(p->words - 3),
	    .line = p->line,
	    .role = role,
	    .delay_s = delay};
	for (size_t i = 3; i < p->words; i++)
		for (size_t k = 3; k < i; k++)
			if (strcmp(p->word[i], p->word[k]) == 0)
				fail(p, "%s stands twice", p->word[i]);
	if (least == 0)
		fail(p, "a count of 0 asks nobody");
	else if (least > g->count)
		fail(p, "%llu of %u %s cannot be met", (unsigned long long)least, g->count,
		    role ? "persons" : "members");
}

/* A group of the lines before: so that none is in itself. */
static const struct group *
group_before(const struct kmn_policy *policy, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		const struct group *g = policy->groups.items[i];

		if (!g->role && strcmp(g->name, name) == 0)
			return g;
	}
	return NULL;
}

/* Each person once in the tree of a group, so that nobody meets two parts of it. */
static void
add_persons(struct parser *p, struct group *g, char *const *names, size_t *count)
{
	for (; *names != NULL && p->err == KMN_OK; names++) {
		if (*count == POLICY_WORDS_MAX) {
			policy_fail_at(
			    p, g->line, "more than %d persons, those of its groups counted", POLICY_WORDS_MAX);
			return;
		}
		if (policy_has(g->all_persons, *names))
			policy_fail_at(p, g->line, "%s stands twice in %s and its groups", *names, g->name);
		g->all_persons[(*count)++] = *names;
	}
}

static void
resolve_members(struct parser *p, struct group *g, size_t before)
{
	for (char **m = g->members; *m != NULL; m++) {
		const struct group *sub = g->role ? NULL : group_before(p->policy, before, *m);
		const struct custodian *c = policy_person(p->policy, *m);

		if (sub != NULL && c != NULL)
			policy_fail_at(p, g->line, "%s is a person and a group: who is meant?", *m);
		else if (sub != NULL && g->group_count == POLICY_SUBGROUPS_MAX)
			policy_fail_at(p, g->line, "more than %d groups in one", POLICY_SUBGROUPS_MAX);
		else if (sub != NULL)
			g->groups[g->group_count++] = sub;
		else if (c == NULL)
			policy_fail_at(p, g->line,
			    !g->role && policy_group(p->policy, *m, false) != NULL
				? "group %s stands after the group that names it"
				: "nobody is called %s",
			    *m);
		else if (c->seen.auditor && !g->role)
			policy_fail_at(p, g->line, "%s is an auditor, and auditors approve nothing", *m);
		else
			g->persons[g->person_count++] = *m;
	}
}

/* The fewest persons that meet it: as many persons as it has, then the groups that ask for fewest. */
static unsigned
count_votes(const struct group *g)
{
	unsigned votes = g->least < g->person_count ? g->least : g->person_count, left = g->least - votes;
	bool taken[POLICY_SUBGROUPS_MAX] = {false};

	while (left-- > 0) {
		unsigned best = g->group_count;

		for (unsigned i = 0; i < g->group_count; i++)
			if (!taken[i] && (best == g->group_count || g->groups[i]->votes < g->groups[best]->votes))
				best = i;
		if (best == g->group_count)
			break;
		taken[best] = true;
		votes += g->groups[best]->votes;
	}
	return votes;
}

/* In how many ways can groups be chosen so that they and persons meet it? ways[k]: with k groups. */
static unsigned
count_ways(const struct group *g)
{
	uint64_t ways[POLICY_SUBGROUPS_MAX + 1] = {1}, sum = 0;

	for (unsigned i = 0; i < g->group_count; i++) {
		for (unsigned k = i + 1; k > 0; k--) {
			ways[k] += ways[k - 1] * g->groups[i]->ways;
			if (ways[k] > POLICY_WAYS_MAX)
				ways[k] = POLICY_WAYS_MAX + 1;
		}
	}
	for (unsigned k = 0; k <= g->group_count && k <= g->least; k++)
		if (g->least - k <= g->person_count)
			sum += ways[k];
	return sum > POLICY_WAYS_MAX ? POLICY_WAYS_MAX + 1 : (unsigned)sum;
}

/* Members become persons and groups; only custodians may be among those that approve. */
void
policy_check_groups(struct parser *p)
{
	for (size_t i = 0; i < p->policy->groups.count && p->err == KMN_OK; i++) {
		struct group *g = p->policy->groups.items[i];
		size_t count = 0;

		g->persons = policy_new_block(p, (g->count + 1) * sizeof(*g->persons));
		g->all_persons = policy_new_block(p, (POLICY_WORDS_MAX + 1) * sizeof(*g->all_persons));
		if (p->err != KMN_OK)
			return;
		resolve_members(p, g, i);
		add_persons(p, g, g->persons, &count);
		g->tree = 1;
		for (unsigned k = 0; k < g->group_count; k++) {
			add_persons(p, g, g->groups[k]->all_persons, &count);
			g->tree += g->groups[k]->tree;
		}
		if (g->tree > POLICY_TREE_MAX)
			policy_fail_at(p, g->line, "more than %d groups, those of its groups counted", POLICY_TREE_MAX);
		g->votes = count_votes(g);
		g->ways = count_ways(g);
		if (g->ways > POLICY_WAYS_MAX)
			policy_fail_at(p, g->line, "more than %d ways to choose among its groups", POLICY_WAYS_MAX);
	}
}
