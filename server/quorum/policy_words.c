/* Words of a line, and the values that they are. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
policy_fail_at(struct parser *p, unsigned line, const char *format, ...)
{
	va_list args;

	if (p->err != KMN_OK)
		return;
	p->err = KMN_E_MALFORMED;
	p->error->line = line;
	va_start(args, format);
	vsnprintf(p->error->text, sizeof(p->error->text), format, args);
	va_end(args);
}

void
policy_no_memory(struct parser *p)
{
	if (p->err == KMN_OK)
		p->err = KMN_E_NO_MEMORY;
}

void *
policy_list_add(struct parser *p, struct list *list, void *item)
{
	if (item != NULL && list->count == list->size) {
		size_t size = list->size == 0 ? 8 : list->size * 2;
		void **items = realloc(list->items, size * sizeof(*items));

		if (items == NULL) {
			free(item);
			item = NULL;
		} else {
			list->items = items;
			list->size = size;
		}
	}
	if (item == NULL)
		policy_no_memory(p);
	else
		list->items[list->count++] = item;
	return item;
}

void *
policy_new_block(struct parser *p, size_t size)
{
	return policy_list_add(p, &p->policy->owned, calloc(1, size));
}

char *
policy_keep(struct parser *p, const char *string)
{
	char *copy = policy_new_block(p, strlen(string) + 1);

	if (copy == NULL)
		return p->nothing;
	return strcpy(copy, string);
}

/* Words from `from` on as a list that ends with NULL. */
char **
policy_keep_words(struct parser *p, size_t from)
{
	char **list = policy_new_block(p, (p->words - from + 1) * sizeof(*list));

	for (size_t i = from; list != NULL && i < p->words; i++)
		list[i - from] = policy_keep(p, p->word[i]);
	return list;
}

/* Splits a line in place: spaces part words, "..." joins them, # at the start of a word ends the line. */
void
policy_split(struct parser *p, char *line)
{
	char *at = line, *to;

	p->words = 0;
	p->indented = line[0] == ' ';
	for (;;) {
		bool quoted = false;

		while (*at == ' ')
			at++;
		if (*at == 0 || *at == '#')
			return;
		if (p->words == POLICY_WORDS_MAX) {
			fail(p, "more than %d words", POLICY_WORDS_MAX);
			return;
		}
		p->word[p->words++] = to = at;
		for (; *at != 0 && (quoted || *at != ' '); at++) {
			if (*at == '"')
				quoted = !quoted;
			else
				*to++ = *at;
		}
		if (quoted)
			fail(p, "a quotation mark is not closed");
		if (*at != 0)
			at++;
		*to = 0;
	}
}

bool
policy_is_name(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return n > 0 && n <= KMN_POLICY_NAME_MAX_BYTES && s[n] == 0;
}

bool
policy_check_name(struct parser *p, const char *what, const char *name)
{
	static const char *const reserved[] = {"and", "none", "deny", "of", "any", "all"};

	if (!policy_is_name(name)) {
		fail(p, "'%.80s' cannot name a %s: letters, digits, '.', '_' and '-', at most %d", name, what,
		    KMN_POLICY_NAME_MAX_BYTES);
		return false;
	}
	for (size_t i = 0; i < KMN_COUNT_OF(reserved); i++)
		if (strcmp(reserved[i], name) == 0)
			fail(p, "'%s' is a word of the grammar and cannot name a %s", name, what);
	return p->err == KMN_OK;
}

bool
policy_count_words(struct parser *p, size_t least, size_t most, const char *form)
{
	if (p->words < least || p->words > most)
		fail(p, "expected: %s", form);
	return p->err == KMN_OK;
}

bool
policy_number(struct parser *p, const char *s, uint64_t most, uint64_t *out)
{
	size_t n = strspn(s, "0123456789");

	*out = 0;
	if (n == 0 || n > 15 || s[n] != 0 || (s[0] == '0' && n > 1)) {
		fail(p, "'%.40s' is not a number", s);
		return false;
	}
	*out = strtoull(s, NULL, 10);
	if (*out > most)
		fail(p, "%s is more than %llu", s, (unsigned long long)most);
	return p->err == KMN_OK;
}

/* "4h", "90d" in seconds. */
bool
policy_duration(struct parser *p, const char *s, uint64_t most_s, uint64_t *out)
{
	size_t n = strlen(s);
	uint64_t unit = n == 0            ? 0
			: s[n - 1] == 's' ? 1
			: s[n - 1] == 'm' ? 60
			: s[n - 1] == 'h' ? 3600
			: s[n - 1] == 'd' ? 86400
					  : 0;
	char digits[16] = "";

	*out = 0;
	if (unit == 0 || n < 2 || n - 1 >= sizeof(digits)) {
		fail(p, "'%.40s' is not a duration (30s, 15m, 4h, 90d)", s);
		return false;
	}
	memcpy(digits, s, n - 1);
	if (!policy_number(p, digits, 1000000000, out))
		return false;
	*out *= unit;
	if (*out == 0 || *out > most_s)
		fail(p, "%s is outside 1s..%llud", s, (unsigned long long)(most_s / 86400));
	return p->err == KMN_OK;
}

bool
policy_hash(struct parser *p, const char *b64, uint8_t out[KMN_HASH_BYTES])
{
	size_t n = 0;

	if (kmn_b64_parse(b64, strlen(b64), out, KMN_HASH_BYTES, &n) == KMN_OK && n == KMN_HASH_BYTES)
		return true;
	fail(p, "'%.60s' is not the base64 of a SHA-256", b64);
	return false;
}

/* What follows "spki:" or "person:". */
const char *
policy_prefixed(struct parser *p, const char *prefix, const char *word)
{
	size_t n = strlen(prefix);

	if (strncmp(word, prefix, n) == 0)
		return word + n;
	fail(p, "expected %s..., found '%.60s'", prefix, word);
	return NULL;
}

bool
policy_person_id(struct parser *p, const char *word, const char **out)
{
	const char *person = policy_prefixed(p, "person:", word);

	if (person == NULL)
		return false;
	if (!policy_is_name(person))
		fail(p, "'%.60s' cannot be a person's number: letters, digits, '.', '_' and '-'", person);
	else
		*out = policy_keep(p, person);
	return p->err == KMN_OK;
}
