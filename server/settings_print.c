/* Settings as they are in force, in the form of the file. */
#include "config.h"

#include "server/settings_rows.h"

#include <string.h>

static void
print_text(FILE *to, const char *text)
{
	putc('"', to);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\' || (text[0] == '$' && text[1] == '{'))
			putc('\\', to);
		putc(*text, to);
	}
	putc('"', to);
}

static void
print_word(FILE *to, const char *words, uint32_t number)
{
	while (number-- > 0)
		words += strcspn(words, " ") + 1;
	fprintf(to, "\"%.*s\"", (int)strcspn(words, " "), words);
}

static void
print_texts(FILE *to, const struct kmn_texts *texts)
{
	fputs("{ ", to);
	for (unsigned i = 0; i < texts->count; i++) {
		if (i > 0)
			fputs(", ", to);
		print_text(to, texts->at[i]);
	}
	fputs(" }", to);
}

/* The text of a row's field; NULL: it is not set. */
static const char *
text_of(const struct setting *row, const void *at)
{
	if (row->type == USER)
		return ((const struct kmn_user *)at)->text;
	if (row->type == LOG && *(char *const *)at == NULL)
		return "stderr";
	return *(char *const *)at;
}

static void
print_row(const void *fields, const struct setting *row, FILE *to)
{
	const void *at = (const char *)fields + row->offset;
	bool list = row->type == LIST || row->type == ENVIRONMENT;
	bool number = row->type == NUMBER || row->type == SECONDS || row->type == WORD;

	if (!list && !number && text_of(row, at) == NULL)
		return;
	fprintf(to, "%s%s = ", row->section[0] != '\0' ? "\t" : "", row->name);
	if (list)
		print_texts(to, at);
	else if (!number)
		print_text(to, text_of(row, at));
	else if (row->type == WORD)
		print_word(to, row->words, *(const uint32_t *)at);
	else
		fprintf(to, "%u", *(const uint32_t *)at / (row->type == SECONDS ? 1000u : 1u));
	putc('\n', to);
}

/* The rows of a section; "" is the file itself. */
static void
print_rows(const void *fields, const char *section, FILE *to)
{
	for (size_t i = 0; i < settings_row_count; i++)
		if (strcmp(settings_rows[i].section, section) == 0)
			print_row(fields, &settings_rows[i], to);
}

void
kmn_settings_print(const struct kmn_settings *settings, FILE *to)
{
	static const char *const sections[] = {"users", "limits", CONSOLE};
	size_t count = KMN_COUNT_OF(sections) - (settings->console.listen == NULL);

	print_rows(settings, "", to);
	for (size_t i = 0; i < SETTING_LISTS; i++) {
		for (unsigned n = 0; n < *setting_list_count(settings, &setting_lists[i]); n++) {
			void *item = setting_list_item(settings, &setting_lists[i], n);

			fprintf(to, "%s ", setting_lists[i].section);
			print_text(to, *setting_item_name(item));
			fputs(" {\n", to);
			print_rows(item, setting_lists[i].section, to);
			fputs("}\n", to);
		}
	}
	for (size_t i = 0; i < count; i++) {
		fprintf(to, "%s {\n", sections[i]);
		print_rows(settings, sections[i], to);
		fputs("}\n", to);
	}
}
