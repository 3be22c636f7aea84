#include "config.h"

#include "tools/kanmon/shown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/statement.h"
#include "tools/kanmon/lint.h"
#include "tools/kanmon/page.h"

#define RULE "----------------------------------------------------------------\n"

/* What the keys of the lines mean, each once, for who does not read them as they are. */
static void
print_keys(FILE *to, const struct kmn_shown_as *as, const char *text)
{
	const char *before = "", *means;
	size_t before_len = 0;

	if (kmn_key_text(as->language, "origin", strlen("origin")) == NULL)
		return;
	fprintf(to, "%s\n", kmn_word_text(as->language, KMN_W_KEYS));
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
		size_t len = strcspn(line, " \n");

		if (len == before_len && memcmp(line, before, len) == 0)
			continue;
		if ((means = kmn_key_text(as->language, line, len)) != NULL)
			fprintf(to, "  %-16.*s %s\n", (int)len, line, means);
		before = line;
		before_len = len;
	}
}

static void
print_remarks(FILE *to, enum kmn_language language, enum kmn_word title, const struct kmn_remark *list, size_t count)
{
	char text[512];

	for (size_t i = 0; i < count; i++) {
		kmn_word(language, list[i].word, list[i].value, text, sizeof(text));
		fprintf(to, "%s%s\n", kmn_word_text(language, title), text);
	}
}

/* The whole text, then what it stands on. */
static void
print(FILE *to, const struct kmn_shown_as *as, const struct kmn_examined *x, const char *text)
{
	char code[KMN_DISPLAY_CODE_BYTES];

	print_keys(to, as, text);
	kmn_statement_code(text, strlen(text), code);
	fprintf(to, RULE "%s" RULE "%s %s\n", text, kmn_word_text(as->language, KMN_W_CODE), code);
	print_remarks(to, as->language, KMN_W_VERIFIED, x->verified, x->verified_count);
	print_remarks(to, as->language, KMN_W_OPEN, x->open, x->open_count);
	if (as->offline)
		fprintf(
		    to, "%s%s\n", kmn_word_text(as->language, KMN_W_OPEN), kmn_word_text(as->language, KMN_W_OFFLINE));
}

kmn_err
kmn_shown(const struct kmn_shown_as *as, const struct kmn_examined *x, const char *text)
{
	char *all = NULL;
	size_t len;
	FILE *to = open_memstream(&all, &len);
	kmn_err e;

	if (to == NULL)
		return KMN_E_NO_MEMORY;
	print(to, as, x, text);
	e = kmn_lint_print(to, &x->material, as->issuer, as->language);
	if (fclose(to) != 0)
		e = KMN_E_NO_MEMORY;
	if (e != KMN_OK) {
		free(all);
		return e;
	}
	if (as->aside)
		fputs(all, stderr);
	else
		kmn_page(all, as->stops, as->language);
	free(all);
	return KMN_OK;
}
