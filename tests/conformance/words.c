#define _GNU_SOURCE
#include "tests/conformance/words.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/params.h"

#define NEVER_A_HANDLE 0x7ffffff1u /* what a register means that was never set */

struct reg *
words_reg(struct words *w, const char *name, size_t n)
{
	struct reg *r;

	if (n >= sizeof(r->name))
		n = sizeof(r->name) - 1;
	for (size_t i = 0; i < w->reg_count; i++)
		if (strlen(w->regs[i].name) == n && memcmp(w->regs[i].name, name, n) == 0)
			return &w->regs[i];
	r = &w->regs[w->reg_count < REGS_MAX - 1 ? w->reg_count++ : REGS_MAX - 1];
	memset(r, 0, sizeof(*r));
	memcpy(r->name, name, n);
	r->value = NEVER_A_HANDLE;
	return r;
}

bool
words_take(struct words *w, const char *literal)
{
	size_t n = strlen(literal);

	if (strncmp(w->at, literal, n) != 0)
		return false;
	w->at += n;
	return true;
}

CK_ULONG
words_plain(struct words *w)
{
	char *end;
	CK_ULONG n = strtoul(w->at, &end, 0);

	w->at = end;
	return n;
}

static size_t
name_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == ':' || p[n] == '_' ||
	       (p[n] == '-' && islower((unsigned char)p[n + 1])))
		n++;
	return n;
}

struct reg *
words_name(struct words *w)
{
	size_t n = name_length(w->at);
	struct reg *r = words_reg(w, w->at, n);

	w->at += n;
	return r;
}

static CK_ULONG
constant(const char *name)
{
	const struct kmn_attribute *row;
	uint64_t type;

	if (kmn_mechanism_of(name, &type))
		return (CK_ULONG)type;
	for (size_t i = 0; (row = kmn_attribute_at(i)) != NULL; i++)
		if (strcmp(row->name, name) == 0)
			return (CK_ULONG)row->type;
	fprintf(stderr, "no constant %s\n", name);
	exit(70);
}

CK_ULONG
words_number(struct words *w)
{
	char name[64];
	size_t n;

	if (isdigit((unsigned char)*w->at))
		return words_plain(w);
	if (words_take(w, "~"))
		return ~words_plain(w);
	if (words_take(w, "slot2"))
		return w->slot[1];
	if (words_take(w, "slot"))
		return w->slot[0];
	if (*w->at != 'C')
		return words_name(w)->value;
	n = name_length(w->at);
	if (n >= sizeof(name))
		n = sizeof(name) - 1;
	memcpy(name, w->at, n);
	name[n] = '\0';
	w->at += n;
	return constant(name);
}

uint8_t
words_noise(uint64_t seed, size_t i)
{
	uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u;

	x ^= x >> 29;
	x *= 0x94d049bb133111ebu;
	return (uint8_t)(x >> 40);
}

static unsigned
hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

bool
words_begins_bytes(const struct words *w)
{
	return strncmp(w->at, "x:", 2) == 0 || strncmp(w->at, "s:", 2) == 0 || strncmp(w->at, "r:", 2) == 0 ||
	       (*w->at == 'b' && isdigit((unsigned char)w->at[1]));
}

/* A register's bytes, as they are, without the last, or with a bit changed. */
static size_t
register_bytes(struct words *w, uint8_t *to, size_t max)
{
	const struct reg *r = words_name(w);
	size_t n = r->len < max ? r->len : max;

	memcpy(to, r->bytes, n);
	if (words_take(w, "-1"))
		return n > 0 ? n - 1 : 0;
	if (words_take(w, "^") && n > 0)
		to[0] ^= 1;
	return n;
}

size_t
words_bytes(struct words *w, uint8_t *to, size_t max)
{
	size_t n = 0, count;
	uint64_t seed;

	if (words_take(w, "x:")) {
		for (; isxdigit((unsigned char)w->at[0]) && isxdigit((unsigned char)w->at[1]) && n < max; w->at += 2)
			to[n++] = (uint8_t)(hex_digit(w->at[0]) << 4 | hex_digit(w->at[1]));
	} else if (words_take(w, "s:")) {
		while (*w->at != '\0' && strchr(" ,}]\n", *w->at) == NULL && n < max)
			to[n++] = (uint8_t)*w->at++;
	} else if (words_take(w, "r:")) {
		seed = words_plain(w);
		count = words_take(w, ":") ? words_plain(w) : 0;
		for (; n < count && n < max; n++)
			to[n] = words_noise(seed, n);
	} else {
		return register_bytes(w, to, max);
	}
	return n;
}

CK_ULONG
words_room(struct words *w, CK_ULONG exact)
{
	if (!words_take(w, "e"))
		return words_number(w);
	if (words_take(w, "+"))
		return exact + words_plain(w);
	if (words_take(w, "-")) {
		CK_ULONG less = words_plain(w);

		return exact > less ? exact - less : 0;
	}
	return exact;
}
