#include "config.h"

#include "tools/kanmon/report_cells.h"

#include <inttypes.h>

#include "tools/kanmon/audit_rows.h"

void
kmn_html_text(FILE *out, const char *text)
{
	static const struct {
		char c;
		const char *entity;
	} entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};

	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
		const char *entity = NULL;

		for (size_t n = 0; n < KMN_COUNT_OF(entities); n++)
			if (*at == (unsigned char)entities[n].c)
				entity = entities[n].entity;
		if (entity != NULL)
			(void)fputs(entity, out);
		else if ((*at < 0x20 && *at != '\n') || *at == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0))
			(void)fputs("\xef\xbf\xbd", out);
		else
			(void)fputc(*at, out);
		at += at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
	}
}

void
kmn_put(const struct kmn_html *p, const char *html)
{
	(void)fputs(html, p->out);
}

void
kmn_put_text(const struct kmn_html *p, const char *text)
{
	kmn_html_text(p->out, text);
}

void
kmn_put_name(const struct kmn_html *p, const char *name)
{
	kmn_put_text(p, kmn_report_text(p->language, name));
}

void
kmn_put_number(const struct kmn_html *p, json_int_t number)
{
	(void)fprintf(p->out, "%" JSON_INTEGER_FORMAT, number);
}

void
kmn_put_time(const struct kmn_html *p, json_int_t ms)
{
	char text[KMN_MS_TEXT_BYTES];

	if (ms <= 0)
		return;
	kmn_ms_text((uint64_t)ms, text);
	(void)fprintf(p->out, "<span class=\"n\">%.10s %.8s</span>", text, text + 11);
}

void
kmn_put_hash(const struct kmn_html *p, const char *hash)
{
	kmn_put(p, "<code>");
	kmn_put_text(p, hash);
	kmn_put(p, "</code>");
}

void
kmn_put_heading(const struct kmn_html *p, const char *name)
{
	kmn_put(p, "<section><h2>");
	kmn_put_name(p, name);
	kmn_put(p, "</h2>\n");
}

void
kmn_put_nothing(const struct kmn_html *p)
{
	kmn_put(p, "<p class=\"none\">");
	kmn_put_name(p, "none");
	kmn_put(p, "</p></section>\n");
}

void
kmn_put_columns(const struct kmn_html *p, const char *const *columns)
{
	kmn_put(p, "<thead><tr>");
	for (; *columns != NULL; columns++) {
		kmn_put(p, "<th scope=\"col\">");
		kmn_put_name(p, *columns);
		kmn_put(p, "</th>");
	}
	kmn_put(p, "</tr></thead><tbody>\n");
}
void
kmn_cell(const struct kmn_html *p, const char *text)
{
	kmn_put(p, "<td>");
	kmn_put_text(p, text);
	kmn_put(p, "</td>");
}

void
kmn_number_cell(const struct kmn_html *p, json_int_t number)
{
	kmn_put(p, "<td class=\"n\">");
	kmn_put_number(p, number);
	kmn_put(p, "</td>");
}

void
kmn_time_cell(const struct kmn_html *p, json_int_t ms)
{
	kmn_put(p, "<td>");
	kmn_put_time(p, ms);
	kmn_put(p, "</td>");
}

void
kmn_list_cell(const struct kmn_html *p, const json_t *list)
{
	const json_t *item;
	size_t n;

	kmn_put(p, "<td>");
	json_array_foreach(list, n, item)
	{
		kmn_put(p, n > 0 ? ", " : "");
		if (json_is_integer(item))
			kmn_put_number(p, json_integer_value(item));
		else
			kmn_put_text(p, json_string_value(item) != NULL ? json_string_value(item) : "");
	}
	kmn_put(p, "</td>");
}

void
kmn_more_row(const struct kmn_html *p, json_int_t more, unsigned columns)
{
	if (more <= 0)
		return;
	(void)fprintf(p->out, "<tr><td colspan=\"%u\">%" JSON_INTEGER_FORMAT " ", columns, more);
	kmn_put_name(p, "more");
	kmn_put(p, "</td></tr>\n");
}

void
kmn_end_table(const struct kmn_html *p)
{
	kmn_put(p, "</tbody></table></section>\n");
}

void
kmn_name_cell(const struct kmn_html *p, const char *name)
{
	kmn_put(p, "<td>");
	kmn_put_name(p, name);
	kmn_put(p, "</td>");
}
