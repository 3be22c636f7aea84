#define _GNU_SOURCE /* FNM_EXTMATCH */
#include "tests/conformance/compare.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 1024

/* ---- the allow-list ------------------------------------------------------------------------------------------ */

static char *
trimmed(char *text)
{
	size_t n;

	text += strspn(text, " \t");
	for (n = strlen(text); n > 0 && strchr(" \t\n", text[n - 1]) != NULL;)
		text[--n] = '\0';
	return text;
}

/* module | function | item | direct | remote | reason */
static void
read_row(struct allow_list *list, char *line, unsigned number, const char *path)
{
	struct allowed *row;
	char *rest = line, *part;

	list->rows = realloc(list->rows, (list->count + 1) * sizeof(*row));
	if (list->rows == NULL)
		exit(70);
	row = memset(&list->rows[list->count++], 0, sizeof(*row));
	row->line = number;
	for (size_t i = 0; i < 5; i++) {
		part = rest; /* a bar between spaces; others belong to globs */
		if ((rest = strstr(rest, " | ")) == NULL) {
			fprintf(stderr, "%s:%u: six parts are needed\n", path, number);
			exit(70);
		}
		*rest = '\0';
		rest += 3;
		row->text[i] = strdup(trimmed(part));
	}
	row->reason = strdup(trimmed(rest));
	if (*row->reason == '\0') {
		fprintf(stderr, "%s:%u: a reason is needed\n", path, number);
		exit(70);
	}
}

void
allow_list_read(struct allow_list *list, const char *path)
{
	FILE *file = fopen(path, "r");
	char line[2048];
	unsigned number = 0;

	list->rows = NULL;
	list->count = 0;
	if (file == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(70);
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		number++;
		if (*trimmed(line) != '\0' && *line != '#')
			read_row(list, line, number, path);
	}
	fclose(file);
}

bool
allow_list_has(struct allow_list *list, const char *module, const char *function, const char *item, const char *direct,
    const char *remote)
{
	const char *text[] = {module, function, item, direct, remote};

	for (size_t i = 0; i < list->count; i++) {
		size_t k = 0;

		while (k < 5 && fnmatch(list->rows[i].text[k], text[k], FNM_EXTMATCH) == 0)
			k++;
		if (k < 5)
			continue;
		list->rows[i].matched++;
		return true;
	}
	return false;
}

/* ---- tapes --------------------------------------------------------------------------------------------------- */

/* A call on a tape: its head "12 C_Sign" and its items "name=value". */
struct call {
	unsigned line;
	char function[64];
	size_t count;
	struct item {
		const char *name, *value;
		size_t name_len, value_len;
	} item[ITEMS_MAX];
};

/* The next call; false at the end. What comes before the first head is a call without a name. */
static bool
next_call(const char **at, struct call *c)
{
	const char *p = *at;

	c->count = 0;
	c->line = 0;
	c->function[0] = '\0';
	if (*p == '\0')
		return false;
	if (*p >= '0' && *p <= '9' && sscanf(p, "%u %63s", &c->line, c->function) == 2)
		p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n');
	while (*p != '\0' && !(*p >= '0' && *p <= '9')) {
		size_t n = strcspn(p, "\n");
		const char *equals = memchr(p, '=', n);

		if (equals != NULL && c->count < ITEMS_MAX) {
			struct item *i = &c->item[c->count++];

			i->name = p;
			i->name_len = (size_t)(equals - p);
			i->value = equals + 1;
			i->value_len = n - i->name_len - 1;
		}
		p += n + (p[n] == '\n');
	}
	*at = p;
	return true;
}

static const struct item *
item_of(const struct call *c, const struct item *like)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->item[i].name_len == like->name_len && memcmp(c->item[i].name, like->name, like->name_len) == 0)
			return &c->item[i];
	return NULL;
}

static bool
same_value(const struct item *a, const struct item *b)
{
	return a != NULL && b != NULL && a->value_len == b->value_len && memcmp(a->value, b->value, a->value_len) == 0;
}

/* ---- comparing ----------------------------------------------------------------------------------------------- */

static const char *
value_text(const struct item *i)
{
	static char text[2][512];
	static unsigned turn;
	char *to = text[turn++ % 2];

	if (i == NULL)
		return "-";
	snprintf(to, sizeof(text[0]), "%.*s", (int)(i->value_len < 500 ? i->value_len : 500), i->value);
	return to;
}

static void
add_text(struct comparison *out, const char *name, size_t name_len, const char *direct, const char *remote)
{
	size_t old = out->text != NULL ? strlen(out->text) : 0;
	char *grown = realloc(out->text, old + name_len + strlen(direct) + strlen(remote) + 64);

	if (grown == NULL)
		exit(70);
	out->text = grown;
	sprintf(grown + old, "  %.*s: direct %s, remote %s\n", (int)name_len, name, direct, remote);
}

static const struct item rv_item = {"rv", NULL, 2, 0};

/* Differences of one item; `is` tells whose item is at hand when the others may lack it. */
static void
compare_item(const struct item *is, const struct call *direct, const struct call *again, const struct call *remote,
    const char *module, struct allow_list *allowed, struct comparison *out)
{
	const struct item *d = item_of(direct, is), *a = item_of(again, is), *r = item_of(remote, is);
	const struct item *rv = item_of(remote, &rv_item);
	char name[160];

	if (d == r || same_value(d, r))
		return;
	if (!same_value(d, a) && (d == NULL) == (r == NULL)) {
		out->masked++;
		return;
	}
	if ((d == NULL) != (a == NULL)) { /* random whether it is there at all */
		out->masked++;
		return;
	}
	snprintf(name, sizeof(name), "%.*s%s%.*s", (int)is->name_len, is->name, is->name_len == 2 ? "" : "@",
	    rv == NULL || is->name_len == 2 ? 0 : (int)rv->value_len, rv == NULL ? "" : rv->value);
	if (!allow_list_has(allowed, module, direct->function, name, value_text(d), value_text(r)))
		add_text(out, is->name, is->name_len, value_text(d), value_text(r));
}

static bool
rv_is(const struct call *c, const char *word)
{
	const struct item *i = item_of(c, &rv_item);

	return i != NULL && i->value_len == strlen(word) && memcmp(i->value, word, i->value_len) == 0;
}

static bool
same_rv(const struct call *a, const struct call *b)
{
	return item_of(a, &rv_item) == item_of(b, &rv_item) || same_value(item_of(a, &rv_item), item_of(b, &rv_item));
}

enum verdict
compare_tapes(const char *direct, const char *again, const char *remote, const char *module, struct allow_list *allowed,
    struct comparison *out)
{
	static struct call d, a, r;

	memset(out, 0, sizeof(*out));
	for (;;) {
		bool has_d = next_call(&direct, &d), has_a = next_call(&again, &a), has_r = next_call(&remote, &r);

		if (!has_d && !has_r)
			return VERDICT_SAME;
		out->line = d.line;
		memcpy(out->function, d.function, sizeof(d.function));
		if (has_d != has_a || strcmp(d.function, a.function) != 0 || !same_rv(&d, &a))
			return VERDICT_UNSTEADY;
		if (has_d != has_r || strcmp(d.function, r.function) != 0) {
			add_text(out, "calls", 5, has_d ? d.function : "ended", has_r ? r.function : "ended");
			return VERDICT_DIFFERENT;
		}
		out->calls++;
		out->ok += rv_is(&d, "CKR_OK");
		compare_item(&rv_item, &d, &a, &r, module, allowed, out);
		/* A return value that may differ: what came with it may, too. */
		for (size_t i = 0; i < d.count && same_rv(&d, &r); i++)
			compare_item(&d.item[i], &d, &a, &r, module, allowed, out);
		for (size_t i = 0; i < r.count && same_rv(&d, &r); i++)
			if (item_of(&d, &r.item[i]) == NULL)
				compare_item(&r.item[i], &d, &a, &r, module, allowed, out);
		if (out->text != NULL)
			return VERDICT_DIFFERENT;
		out->lost = !same_rv(&d, &r) && rv_is(&r, "CKR_DEVICE_ERROR");
		/* Where the allow-list lets them answer differently, their states may differ from then on; but both refused
		 * what only the provider refuses sooner. */
		if (!same_rv(&d, &r) && (!rv_is(&r, "CKR_MECHANISM_PARAM_INVALID") || rv_is(&d, "CKR_OK")))
			return VERDICT_SAME;
		if (rv_is(&d, "crash") || rv_is(&d, "hang"))
			return VERDICT_SAME;
	}
}
