#define _GNU_SOURCE /* O_CLOEXEC */
/* Files of descriptions, and the sets that are in use. The members of structures are descriptor.c's. */
#include "transport/types_parts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/calls.h"

#define WORDS_MAX 40u

struct block {
	struct block *next;
	_Alignas(16) uint8_t bytes[];
};

struct kmn_types {
	struct block *blocks;
	struct kmn_attribute attribute[KMN_TYPES_MAX_ROWS];
	struct kmn_mechanism mechanism[KMN_TYPES_MAX_ROWS];
	const struct kmn_layout *layout[KMN_TYPES_MAX_ROWS];
	size_t attributes, mechanisms, layouts;
};

void *
kmn_types_take(struct kmn_types *types, size_t bytes)
{
	struct block *b = calloc(1, sizeof(*b) + bytes);

	if (b == NULL)
		return NULL;
	b->next = types->blocks;
	types->blocks = b;
	return b->bytes;
}

const char *
kmn_types_keep(struct kmn_types *types, const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = kmn_types_take(types, n);

	return copy != NULL ? memcpy(copy, text, n) : NULL;
}

void
kmn_types_free(struct kmn_types *types)
{
	if (types == NULL)
		return;
	for (struct block *b = types->blocks, *next; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(types);
}

bool
kmn_types_name_ok(const char *name)
{
	size_t n = 0;

	while (isalnum((unsigned char)name[n]) || name[n] == '_')
		n++;
	return n > 0 && n <= KMN_TYPES_NAME_MAX_BYTES && name[n] == '\0' && !isdigit((unsigned char)name[0]);
}

const struct kmn_layout *
kmn_types_layout(const struct kmn_types *types, const char *name)
{
	for (size_t i = 0; i < types->layouts; i++)
		if (strcmp(types->layout[i]->name, name) == 0)
			return types->layout[i];
	return NULL;
}

const struct kmn_layout *
kmn_types_find(const struct kmn_types *types, const char *name)
{
	const struct kmn_layout *own = kmn_types_layout(types, name), *standard;

	for (uint8_t id = 0; own == NULL && (standard = kmn_layout_of(id)) != NULL; id++)
		if (strcmp(standard->name, name) == 0)
			return standard;
	return own;
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

struct line {
	struct kmn_types *types;
	const struct kmn_abi *abi;
	char *word[WORDS_MAX];
	size_t words;
	char why[KMN_TYPES_WHY_BYTES];
};

static kmn_err KMN_PRINTF(2, 3) complain(struct line *l, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	(void)vsnprintf(l->why, sizeof(l->why), format, list);
	va_end(list);
	return KMN_E_CONFIG;
}

/* Takes the words of a line, which is changed by it; a comment ends it. */
static kmn_err
split(struct line *l, char *text)
{
	char *save = NULL;

	text[strcspn(text, "#")] = '\0';
	for (char *word = strtok_r(text, " \t\r", &save); word != NULL; word = strtok_r(NULL, " \t\r", &save)) {
		if (l->words == WORDS_MAX)
			return complain(l, "more than %u words", WORDS_MAX);
		l->word[l->words++] = word;
	}
	return KMN_OK;
}

/* The standard's name for a number, or NULL: sets in use do not count. */
static const char *
standard_attribute(uint64_t type)
{
	const struct kmn_attribute *row;

	for (size_t i = 0; (row = kmn_attribute_at(i)) != NULL; i++)
		if (row->type == type)
			return row->name;
	return NULL;
}

static const char *
standard_mechanism(uint64_t type)
{
	const struct kmn_mechanism *row;

	for (size_t i = 0; (row = kmn_mechanism_at(i)) != NULL; i++)
		if (row->type == type)
			return row->name;
	return NULL;
}

/* NUMBER NAME of an attribute or mechanism: none of the standard's may be described anew. */
static kmn_err
number_and_name(struct line *l, const char *prefix, uint64_t *number_out)
{
	char *end = NULL;

	if (l->words < 4)
		return complain(l, "%s NUMBER NAME and what it is are needed", l->word[0]);
	errno = 0;
	*number_out = isdigit((unsigned char)l->word[1][0]) ? strtoull(l->word[1], &end, 0) : 0;
	if (end == NULL || *end != '\0' || errno != 0 || *number_out > UINT32_MAX)
		return complain(l, "\"%.60s\" is not a number of 32 bits", l->word[1]);
	if (!kmn_types_name_ok(l->word[2]) || strncmp(l->word[2], prefix, strlen(prefix)) != 0)
		return complain(l, "\"%.60s\" is not a name that begins with %s", l->word[2], prefix);
	return KMN_OK;
}

static bool
kind_of(const char *word, enum kmn_attribute_kind *kind_out)
{
#define WORD(name, text) text,
	static const char *const words[] = {KMN_ATTRIBUTE_KIND_ROWS(WORD)};
#undef WORD

	for (size_t i = 0; i < KMN_COUNT_OF(words); i++) {
		if (strcmp(words[i], word) != 0)
			continue;
		*kind_out = (enum kmn_attribute_kind)i;
		return true;
	}
	return false;
}

/* attribute NUMBER NAME KIND [public] */
static kmn_err
take_attribute(struct line *l)
{
	struct kmn_types *t = l->types;
	struct kmn_attribute row = {0};
	kmn_err e = number_and_name(l, "CKA_", &row.type);

	if (e != KMN_OK)
		return e;
	if (l->words > 5 || (l->words == 5 && strcmp(l->word[4], "public") != 0))
		return complain(l, "after the kind only \"public\" may stand");
	if (!kind_of(l->word[3], &row.kind))
		return complain(l, "there is no kind \"%.60s\"", l->word[3]);
	if (standard_attribute(row.type) != NULL)
		return complain(l, "0x%llx is %s already", (unsigned long long)row.type, standard_attribute(row.type));
	for (size_t i = 0; i < t->attributes; i++)
		if (t->attribute[i].type == row.type)
			return complain(l, "0x%llx is there twice", (unsigned long long)row.type);
	if (t->attributes == KMN_TYPES_MAX_ROWS)
		return complain(l, "more than %u attributes", KMN_TYPES_MAX_ROWS);
	row.public = l->words == 5;
	if ((row.name = kmn_types_keep(t, l->word[2])) == NULL)
		return KMN_E_NO_MEMORY;
	t->attribute[t->attributes++] = row;
	return KMN_OK;
}

static unsigned
depth_of(const struct kmn_layout *layout)
{
	unsigned deepest = 0;

	for (size_t i = 0; i < layout->field_count; i++) {
		const struct kmn_field *f = &layout->fields[i];
		unsigned depth = f->inner != NULL ? depth_of(f->inner) : 0;

		deepest = depth > deepest ? depth : deepest;
		for (size_t j = 0; j < f->choice_count; j++) {
			depth = f->choices[j].inner != NULL ? depth_of(f->choices[j].inner) : 0;
			deepest = depth > deepest ? depth : deepest;
		}
	}
	return deepest + 1;
}

/* What both ends must have alike: the text of a structure, and of those inside it. */
static kmn_err
digest(struct line *l, struct kmn_layout *layout)
{
	char text[KMN_DESCRIPTOR_MAX_BYTES];
	size_t n = kmn_layout_describe(layout, text, sizeof(text));
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state sha;

	if (n == 0)
		return complain(
		    l, "%s: its description is longer than %u bytes", layout->name, KMN_DESCRIPTOR_MAX_BYTES);
	(void)crypto_hash_sha256_init(&sha);
	(void)crypto_hash_sha256_update(&sha, (const uint8_t *)text, n);
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct kmn_field *f = &layout->fields[i];

		for (size_t j = 0; j < f->choice_count + 1; j++) {
			const struct kmn_layout *inner = j < f->choice_count ? f->choices[j].inner : f->inner;
			char digits[24];

			if (inner == NULL || inner->id != KMN_LAYOUT_DESCRIBED)
				continue;
			(void)snprintf(digits, sizeof(digits), "%016llx", (unsigned long long)inner->digest);
			(void)crypto_hash_sha256_update(&sha, (const uint8_t *)digits, 16);
		}
	}
	(void)crypto_hash_sha256_final(&sha, hash);
	for (size_t i = 0; i < 8; i++)
		layout->digest = layout->digest << 8 | hash[i];
	return KMN_OK;
}

/* A structure of the words from `first` on. */
static kmn_err
take_members(struct line *l, const char *name, size_t first, const struct kmn_layout **layout_out)
{
	struct kmn_types *t = l->types;
	const char *kept = kmn_types_keep(t, name);
	kmn_err e;

	*layout_out = NULL;
	if (kept == NULL)
		return KMN_E_NO_MEMORY;
	if (t->layouts == KMN_TYPES_MAX_ROWS)
		return complain(l, "more than %u structures", KMN_TYPES_MAX_ROWS);
	if ((e = kmn_layout_parse(t, l->abi, kept, l->word + first, l->words - first, l->why, layout_out)) != KMN_OK)
		return e;
	if (depth_of(*layout_out) >= KMN_PARAM_MAX_DEPTH)
		return complain(l, "%s: structures inside structures, %u deep", name, depth_of(*layout_out));
	t->layout[t->layouts++] = *layout_out;
	return digest(l, (struct kmn_layout *)(uintptr_t)*layout_out); /* made by us a moment ago */
}

/* struct NAME MEMBER... */
static kmn_err
take_struct(struct line *l)
{
	const struct kmn_layout *layout;

	if (l->words < 3)
		return complain(l, "struct NAME MEMBER... is needed");
	if (!kmn_types_name_ok(l->word[1]))
		return complain(l, "\"%.60s\" is not a name", l->word[1]);
	if (kmn_types_find(l->types, l->word[1]) != NULL)
		return complain(l, "there is a structure %s already", l->word[1]);
	return take_members(l, l->word[1], 2, &layout);
}

/* The row of a mechanism that lines before this one began, or a new one. */
static struct kmn_mechanism *
mechanism_row(struct kmn_types *t, uint64_t type, const char *name)
{
	struct kmn_mechanism *row;

	for (size_t i = 0; i < t->mechanisms; i++)
		if (t->mechanism[i].type == type)
			return &t->mechanism[i];
	if (t->mechanisms == KMN_TYPES_MAX_ROWS || (name = kmn_types_keep(t, name)) == NULL)
		return NULL;
	row = &t->mechanism[t->mechanisms++];
	*row = (struct kmn_mechanism){.type = type, .name = name, .takes = KMN_TAKES_REFUSED};
	return row;
}

/* What stands for a family; false: there is something already, or a structure that cannot be told from it. */
static bool
set_layout(struct kmn_mechanism *row, enum kmn_param_family family, const struct kmn_layout *layout)
{
	const struct kmn_layout **place = family == KMN_FAMILY_MESSAGE              ? &row->message
					  : family == KMN_FAMILY_WRAP_AUTHENTICATED ? &row->wrap
					  : row->layout[0] == NULL                  ? &row->layout[0]
										    : &row->layout[1];

	if (*place != NULL || (place == &row->layout[1] && row->layout[0]->size == layout->size))
		return false;
	*place = layout;
	return true;
}

/* The words after the family: nothing, bytes, a structure's name, or members. */
static kmn_err
take_parameter(struct line *l, struct kmn_mechanism *row, enum kmn_param_family family, size_t first)
{
	bool fresh = row->takes == KMN_TAKES_REFUSED && row->layout[0] == NULL, init = family == KMN_FAMILY_INIT;
	const struct kmn_layout *layout = NULL;
	const char *word = l->word[first];
	kmn_err e = KMN_OK;

	if (l->words == first + 1 && (strcmp(word, "nothing") == 0 || strcmp(word, "bytes") == 0)) {
		if (!init || !fresh)
			return complain(l, "%s: \"%s\" stands alone", row->name, word);
		row->takes = strcmp(word, "bytes") == 0 ? KMN_TAKES_BYTES : KMN_TAKES_NOTHING;
		return KMN_OK;
	}
	if (l->words == first + 1 && strchr(word, ':') == NULL) {
		if ((layout = kmn_types_find(l->types, word)) == NULL)
			e = complain(l, "there is no structure %.60s", word);
	} else {
		e = take_members(l, row->name, first, &layout);
	}
	if (e != KMN_OK)
		return e;
	if ((init && !fresh && row->takes != KMN_TAKES_STRUCT) || !set_layout(row, family, layout))
		return complain(l, "%s has such a parameter already, or one of the same size", row->name);
	if (init)
		row->takes = KMN_TAKES_STRUCT;
	return KMN_OK;
}

/* mechanism NUMBER NAME [message|authenticated] ... */
static kmn_err
take_mechanism(struct line *l)
{
	enum kmn_param_family family = KMN_FAMILY_INIT;
	struct kmn_mechanism *row;
	size_t first = 3;
	uint64_t type;
	kmn_err e = number_and_name(l, "CKM_", &type);

	if (e != KMN_OK)
		return e;
	if (strcmp(l->word[3], "message") == 0)
		family = KMN_FAMILY_MESSAGE;
	else if (strcmp(l->word[3], "authenticated") == 0)
		family = KMN_FAMILY_WRAP_AUTHENTICATED;
	first += family != KMN_FAMILY_INIT ? 1 : 0;
	if (l->words == first)
		return complain(l, "%s: what is its parameter?", l->word[2]);
	if (standard_mechanism(type) != NULL)
		return complain(l, "0x%llx is %s already", (unsigned long long)type, standard_mechanism(type));
	if ((row = mechanism_row(l->types, type, l->word[2])) == NULL)
		return complain(l, "more than %u mechanisms", KMN_TYPES_MAX_ROWS);
	if (strcmp(row->name, l->word[2]) != 0)
		return complain(l, "0x%llx was called %s before", (unsigned long long)type, row->name);
	if (family != KMN_FAMILY_INIT && row->takes == KMN_TAKES_REFUSED)
		return complain(l, "%s: the line without \"%s\" comes first", row->name, l->word[3]);
	return take_parameter(l, row, family, first);
}

static kmn_err
take_line(struct line *l)
{
	static const struct {
		const char *word;
		kmn_err (*take)(struct line *l);
	} kinds[] = {{"attribute", take_attribute}, {"struct", take_struct}, {"mechanism", take_mechanism}};

	if (l->words == 0)
		return KMN_OK;
	for (size_t i = 0; i < KMN_COUNT_OF(kinds); i++)
		if (strcmp(l->word[0], kinds[i].word) == 0)
			return kinds[i].take(l);
	return complain(l, "a line begins with attribute, struct or mechanism, not with \"%.60s\"", l->word[0]);
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static kmn_err
parse_lines(const char *name, char *text, const struct kmn_abi *abi, char *why_out, struct kmn_types *types)
{
	struct line *l = calloc(1, sizeof(*l));
	kmn_err e = l != NULL ? KMN_OK : KMN_E_NO_MEMORY;

	for (unsigned number = 1; e == KMN_OK && text != NULL; number++) {
		char *end = strchr(text, '\n');

		if (end != NULL)
			*end++ = '\0';
		*l = (struct line){.types = types, .abi = abi};
		if ((e = split(l, text)) == KMN_OK)
			e = take_line(l);
		if (e != KMN_OK)
			(void)snprintf(why_out, KMN_TYPES_WHY_BYTES, "%.200s:%u: %.250s", name, number,
			    e == KMN_E_CONFIG ? l->why : kmn_err_text(e));
		text = end;
	}
	free(l);
	return e;
}

kmn_err
kmn_types_parse(const char *name, const char *text, size_t len_bytes, const struct kmn_abi *abi, char *why_out,
    struct kmn_types **types_out)
{
	struct kmn_types *types = calloc(1, sizeof(*types));
	char *copy = malloc(len_bytes + 1);
	kmn_err e = KMN_E_NO_MEMORY;

	*types_out = NULL;
	why_out[0] = '\0';
	if (types == NULL || copy == NULL)
		goto done;
	e = KMN_E_CONFIG;
	if (len_bytes > KMN_TYPES_MAX_BYTES || memchr(text, '\0', len_bytes) != NULL) {
		(void)snprintf(why_out, KMN_TYPES_WHY_BYTES, "%.200s: is longer than %u bytes, or no text", name,
		    KMN_TYPES_MAX_BYTES);
		goto done;
	}
	memcpy(copy, text, len_bytes);
	copy[len_bytes] = '\0';
	if ((e = parse_lines(name, copy, abi, why_out, types)) != KMN_OK)
		goto done;
	*types_out = types;
	types = NULL;
done:
	kmn_types_free(types);
	free(copy);
	return e;
}

kmn_err
kmn_types_load(const char *path, char *why_out, struct kmn_types **types_out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = malloc(KMN_TYPES_MAX_BYTES + 1);
	kmn_err e = KMN_E_NO_MEMORY;
	size_t len = 0;
	ssize_t n = -1;

	*types_out = NULL;
	why_out[0] = '\0';
	while (fd >= 0 && text != NULL && len <= KMN_TYPES_MAX_BYTES &&
	       (n = read(fd, text + len, KMN_TYPES_MAX_BYTES + 1 - len)) > 0)
		len += (size_t)n;
	if (text != NULL && (fd < 0 || n < 0)) {
		e = KMN_E_CONFIG;
		(void)snprintf(why_out, KMN_TYPES_WHY_BYTES, "%.300s: %s", path, strerror(errno));
	} else if (text != NULL) {
		e = kmn_types_parse(path, text, len, &kmn_abi_own, why_out, types_out);
	}
	if (fd >= 0)
		(void)close(fd);
	free(text);
	return e;
}

const struct kmn_attribute *
kmn_types_attribute(const struct kmn_types *types, size_t i)
{
	return i < types->attributes ? &types->attribute[i] : NULL;
}

const struct kmn_mechanism *
kmn_types_mechanism(const struct kmn_types *types, size_t i)
{
	return i < types->mechanisms ? &types->mechanism[i] : NULL;
}

/* ---- sets in use --------------------------------------------------------------------------------------------- */

/* Changed only while no call is under way. */
static const struct kmn_types *used[KMN_TYPES_MAX_SETS];
static size_t used_count;

bool
kmn_types_use(const struct kmn_types *types)
{
	if (used_count == KMN_TYPES_MAX_SETS)
		return false;
	used[used_count++] = types;
	return true;
}

void
kmn_types_drop(const struct kmn_types *types)
{
	size_t i = 0;

	while (i < used_count && used[i] != types)
		i++;
	if (i == used_count)
		return;
	used_count--;
	memmove(&used[i], &used[i + 1], (used_count - i) * sizeof(used[0]));
}

const struct kmn_attribute *
kmn_types_attribute_row(uint64_t type)
{
	for (size_t i = 0; i < used_count; i++)
		for (size_t j = 0; j < used[i]->attributes; j++)
			if (used[i]->attribute[j].type == type)
				return &used[i]->attribute[j];
	return NULL;
}

const struct kmn_mechanism *
kmn_types_mechanism_row(uint64_t type, size_t nth)
{
	for (size_t i = 0; i < used_count; i++)
		for (size_t j = 0; j < used[i]->mechanisms; j++)
			if (used[i]->mechanism[j].type == type && nth-- == 0)
				return &used[i]->mechanism[j];
	return NULL;
}

const struct kmn_mechanism *
kmn_types_mechanism_of(const char *name)
{
	for (size_t i = 0; i < used_count; i++)
		for (size_t j = 0; j < used[i]->mechanisms; j++)
			if (strcmp(used[i]->mechanism[j].name, name) == 0)
				return &used[i]->mechanism[j];
	return NULL;
}

/* The first of that digest among the structures of a mechanism. */
static const struct kmn_layout *
layout_with(const struct kmn_mechanism *row, uint64_t digest_wanted)
{
	const struct kmn_layout *const all[] = {row->layout[0], row->layout[1], row->message, row->wrap};

	for (size_t i = 0; i < KMN_COUNT_OF(all); i++)
		if (all[i] != NULL && all[i]->id == KMN_LAYOUT_DESCRIBED && all[i]->digest == digest_wanted)
			return all[i];
	return NULL;
}

const struct kmn_layout *
kmn_layout_described(uint64_t type, uint64_t digest_wanted)
{
	const struct kmn_mechanism *row;
	const struct kmn_layout *layout = NULL;

	for (size_t i = 0; layout == NULL && (row = kmn_types_mechanism_row(type, i)) != NULL; i++)
		layout = layout_with(row, digest_wanted);
	return layout;
}
