/* Is a need met? Each person counts in one place only; a group of groups may be met in several ways. */
#include "config.h"

#include "server/quorum/policy.h"

#include <string.h>

#define PLACES_MAX (KMN_POLICY_NEEDS_MAX * POLICY_TREE_MAX) /* groups that are asked at once */
#define SLOTS_MAX (KMN_POLICY_NEEDS_MAX * POLICY_WORDS_MAX) /* persons that are asked at once */

struct search {
	const char *names[POLICY_NAMES_MAX];
	size_t names_count;
	const struct group *place[PLACES_MAX]; /* that must be met, in the way that is tried */
	unsigned direct[PLACES_MAX];           /* persons of its own that it needs in that way */
	size_t places;
	short place_of[SLOTS_MAX];
	short slot_of[POLICY_NAMES_MAX]; /* of each person, -1: none */
	bool seen[POLICY_NAMES_MAX];
};

/* Find a person for a slot, moving others to other slots where that helps (augmenting path). */
static bool
fill(struct search *s, short slot)
{
	for (size_t i = 0; i < s->names_count; i++) {
		if (s->seen[i] || !policy_has(s->place[s->place_of[slot]]->persons, s->names[i]))
			continue;
		s->seen[i] = true;
		if (s->slot_of[i] < 0 || fill(s, s->slot_of[i])) {
			s->slot_of[i] = slot;
			return true;
		}
	}
	return false;
}

static bool
is_filled(struct search *s)
{
	short slots = 0;

	for (size_t g = 0; g < s->places; g++) {
		for (unsigned k = 0; k < s->direct[g]; k++) {
			if (slots == SLOTS_MAX)
				return false;
			s->place_of[slots++] = (short)g;
		}
	}
	memset(s->slot_of, -1, sizeof(s->slot_of));
	for (short slot = 0; slot < slots; slot++) {
		memset(s->seen, 0, sizeof(s->seen));
		if (!fill(s, slot))
			return false;
	}
	return slots > 0;
}

/*
 * Choose the groups that are to count in place `at`, from the one numbered `sub` on; persons do the rest. Every path ends
 * in a way that is tried, so there are no more of them than POLICY_WAYS_MAX.
 */
static bool
try_ways(struct search *s, size_t at, unsigned sub, unsigned chosen)
{
	const struct group *g;

	if (at == s->places)
		return is_filled(s);
	g = s->place[at];
	if (sub == g->group_count) {
		s->direct[at] = g->least - chosen;
		return try_ways(s, at + 1, 0, 0);
	}
	if (chosen < g->least && s->places < PLACES_MAX) {
		s->place[s->places++] = g->groups[sub];
		if (try_ways(s, at, sub + 1, chosen + 1))
			return true;
		s->places--;
	}
	return chosen + (g->group_count - sub - 1) + g->person_count >= g->least && try_ways(s, at, sub + 1, chosen);
}

static size_t
add_name(const char **names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return count;
	if (count < POLICY_NAMES_MAX)
		names[count++] = name;
	return count;
}

bool
kmn_policy_is_met(
    const struct kmn_policy *policy, const struct kmn_verdict *verdict, const char *const *names, size_t count)
{
	struct search s = {.places = 0};

	for (size_t i = 0; i < count; i++)
		s.names_count = add_name(s.names, s.names_count, names[i]);
	for (size_t i = 0; i < verdict->needs; i++)
		if ((s.place[s.places++] = policy_group(policy, verdict->need[i].group, false)) == NULL)
			return false;
	return try_ways(&s, 0, 0, 0);
}

size_t
policy_rule_persons(
    const struct kmn_policy *policy, const struct rule *r, char *const *but, const char *names_out[POLICY_NAMES_MAX])
{
	size_t count = 0;

	for (char **name = r->groups; name != NULL && *name != NULL; name++) {
		const struct group *g = policy_group(policy, *name, false);

		for (char **m = g->all_persons; *m != NULL; m++)
			if (!policy_has(but, *m))
				count = add_name(names_out, count, *m);
	}
	return count;
}
