/* Rights by person, out of the text of the policy in force at the end (docs/policy.md). */
#include "config.h"

#include "tools/kanmon/report_gather.h"

#include <stdlib.h>
#include <string.h>

#define WORD_MAX_BYTES 512

/* The next word of a line; false at its end. */
static bool
next_word(const char **at, const char *end, char out[WORD_MAX_BYTES])
{
	size_t len;

	while (*at < end && **at == ' ')
		++*at;
	for (len = 0; *at + len < end && (*at)[len] != ' ';)
		len++;
	if (len == 0 || len >= WORD_MAX_BYTES)
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len;
	return true;
}

static void
add_word(json_t *object, const char *name, const char *word)
{
	json_t *list = json_object_get(object, name), *there;
	size_t n;

	if (list == NULL) {
		list = json_array();
		(void)json_object_set_new(object, name, list);
	}
	json_array_foreach(list, n, there) if (strcmp(json_string_value(there), word) == 0) return;
	(void)json_array_append_new(list, json_string(word));
}

/* "custodian sato person:0017 VKEY" and "auditor ..". */
static void
take_person(json_t *persons, const char *at, const char *end, bool auditor)
{
	char name[WORD_MAX_BYTES], id[WORD_MAX_BYTES], vkey[WORD_MAX_BYTES];
	json_t *person;

	if (!next_word(&at, end, name) || !next_word(&at, end, id) || !next_word(&at, end, vkey))
		return;
	person = kmn_gather_of(persons, name);
	kmn_gather_text(person, "name", name);
	kmn_gather_text(person, "person", strncmp(id, "person:", 7) == 0 ? id + 7 : id);
	(void)json_object_set_new(person, "auditor", json_boolean(auditor));
	kmn_gather_count(person, "keys", 1);
}

/* "group NAME K MEMBER.." and "role NAME K MEMBER..". */
static void
take_members(json_t *persons, const char *at, const char *end, const char *list)
{
	char name[WORD_MAX_BYTES], least[WORD_MAX_BYTES], member[WORD_MAX_BYTES];

	if (!next_word(&at, end, name) || !next_word(&at, end, least))
		return;
	while (next_word(&at, end, member))
		if (json_object_get(persons, member) != NULL)
			add_word(json_object_get(persons, member), list, name);
}

/* "  need GROUP [and GROUP].." of a rule: who may approve under it. */
static void
take_need(json_t *persons, const char *at, const char *end, const char *rule)
{
	char group[WORD_MAX_BYTES];
	const char *name;
	json_t *person, *in;
	size_t n;

	while (next_word(&at, end, group))
		json_object_foreach(persons, name, person) json_array_foreach(json_object_get(person, "groups"), n,
		    in) if (strcmp(json_string_value(in), group) == 0) add_word(person, "rules", rule);
}

static void
take_line(json_t *persons, const char *line, const char *end, char rule[WORD_MAX_BYTES])
{
	char word[WORD_MAX_BYTES];
	const char *at = line;

	if (!next_word(&at, end, word))
		return;
	if (strcmp(word, "custodian") == 0 || strcmp(word, "auditor") == 0)
		take_person(persons, at, end, word[0] == 'a');
	else if (strcmp(word, "group") == 0)
		take_members(persons, at, end, "groups");
	else if (strcmp(word, "role") == 0)
		take_members(persons, at, end, "roles");
	else if (strcmp(word, "rule") == 0 && !next_word(&at, end, rule))
		rule[0] = '\0';
	else if (strcmp(word, "need") == 0)
		take_need(persons, at, end, rule);
}

json_t *
kmn_gather_persons(const struct kmn_gather *g)
{
	json_t *persons = json_object(), *list = json_array(), *person, *votes;
	char rule[WORD_MAX_BYTES] = "";
	const char *name;

	for (const char *line = g->policy; line != NULL && *line != '\0';) {
		size_t len = strcspn(line, "\n");

		take_line(persons, line, line + len, rule);
		line += len + (line[len] == '\n');
	}
	/* who voted once and is in the policy no more stands here too */
	json_object_foreach(g->votes, name, votes)
	{
		person = kmn_gather_of(persons, name);
		kmn_gather_text(person, "name", name);
		(void)json_object_update_missing(person, votes);
	}
	json_object_foreach(persons, name, person)(void) json_array_append(list, person);
	json_decref(persons);
	return list;
}
