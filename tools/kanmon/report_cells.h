/*
 * Pieces of the report's page: texts, tables, cells. Whatever came from a ledger goes through kmn_put_text or
 * kmn_put_hash; kmn_put takes HTML of our own only.
 */
#ifndef KANMON_TOOLS_REPORT_CELLS_H
#define KANMON_TOOLS_REPORT_CELLS_H

#include "tools/kanmon/report.h"

struct kmn_html {
	FILE *out;
	enum kmn_language language;
};

void kmn_put(const struct kmn_html *p, const char *html);
void kmn_put_text(const struct kmn_html *p, const char *text);
/* The text of that name in the page's language. */
void kmn_put_name(const struct kmn_html *p, const char *name);
void kmn_put_number(const struct kmn_html *p, json_int_t number);
/* "2026-11-23 18:13:33"; nothing for 0. */
void kmn_put_time(const struct kmn_html *p, json_int_t ms);
/* The hash in full, in a small face, where it may break. */
void kmn_put_hash(const struct kmn_html *p, const char *hash);

/* A section begins with its heading, and ends with its table or with the word that there is nothing. */
void kmn_put_heading(const struct kmn_html *p, const char *name);
void kmn_put_nothing(const struct kmn_html *p);
/* Names of columns, ends with NULL. */
void kmn_put_columns(const struct kmn_html *p, const char *const *columns);
#define KMN_COLUMNS(p, ...) kmn_put_columns((p), (const char *const[]){__VA_ARGS__, NULL})
#define KMN_TABLE(p, ...) (kmn_put((p), "<table>"), KMN_COLUMNS((p), __VA_ARGS__))
/* That there are `more` rows than are shown; nothing for 0. */
void kmn_more_row(const struct kmn_html *p, json_int_t more, unsigned columns);
void kmn_end_table(const struct kmn_html *p);

void kmn_cell(const struct kmn_html *p, const char *text);
/* A text that is a name of the table, in words. */
void kmn_name_cell(const struct kmn_html *p, const char *name);
void kmn_number_cell(const struct kmn_html *p, json_int_t number);
void kmn_time_cell(const struct kmn_html *p, json_int_t ms);
/* Texts and numbers, with commas. */
void kmn_list_cell(const struct kmn_html *p, const json_t *list);

/* A member of the report: "" or 0 where it is not there. */
static inline const char *
kmn_said(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

static inline json_int_t
kmn_counted(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

#endif
