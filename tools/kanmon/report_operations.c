/* The first table of the report: what keys did, one row for each kind of thing they did. */
#include "config.h"

#include <string.h>

#include "tools/kanmon/report_cells.h"
#include "tools/kanmon/report_sections.h"

static void
put_key(const struct kmn_html *p, const json_t *key, size_t rows)
{
	const json_t *origin = json_object_get(key, "origin");

	(void)fprintf(p->out, "<th scope=\"rowgroup\" rowspan=\"%zu\"><span class=\"key\">", rows);
	kmn_put_text(p, kmn_said(key, "label")[0] != '\0' ? kmn_said(key, "label") : "-");
	kmn_put(p, "</span>");
	kmn_put_name(p, "token");
	kmn_put(p, " ");
	kmn_put_text(p, kmn_said(key, "token"));
	if (kmn_said(key, "id")[0] != '\0') {
		kmn_put(p, ", ");
		kmn_put_name(p, "id");
		kmn_put(p, " ");
		kmn_put_text(p, kmn_said(key, "id"));
	}
	if (origin != NULL) {
		bool local = json_is_true(json_object_get(origin, "CKA_LOCAL"));

		kmn_put(p, local ? "<br><small>" : "<br><small class=\"bad\">");
		kmn_put_name(p, !local                                                           ? "origin_outside"
				: json_is_true(json_object_get(origin, "CKA_NEVER_EXTRACTABLE")) ? "origin_local"
												 : "origin_inside");
		kmn_put(p, "</small>");
	}
	if (kmn_said(key, "spki")[0] != '\0') {
		kmn_put(p, "<br><small>");
		kmn_put_name(p, "public_key");
		kmn_put(p, "</small> ");
		kmn_put_hash(p, kmn_said(key, "spki"));
	}
	kmn_put(p, "</th>");
}

/* "certificate CN=www.example.jp": the kind in the page's language. */
static void
put_content(const struct kmn_html *p, const char *content)
{
	char kind[32];
	size_t len = strcspn(content, " ");

	(void)snprintf(kind, sizeof(kind), "%.*s", (int)(len < sizeof(kind) ? len : sizeof(kind) - 1), content);
	kmn_put_name(p, kind);
	kmn_put_text(p, content + len);
}

static void
put_contents(const struct kmn_html *p, const json_t *operation)
{
	const json_t *what;
	size_t n;

	kmn_put(p, "<td>");
	json_array_foreach(json_object_get(operation, "what"), n, what)
	{
		kmn_put(p, n > 0 ? "<br>" : "");
		put_content(p, json_string_value(what));
	}
	if (kmn_counted(operation, "what_more") > 0) {
		kmn_put(p, "<br>");
		kmn_put_number(p, kmn_counted(operation, "what_more"));
		kmn_put(p, " ");
		kmn_put_name(p, "more");
	}
	kmn_put(p, "</td>");
}

/* "sato, suzuki", or that nobody had to. */
static void
put_approvers(const struct kmn_html *p, const json_t *operation)
{
	const char *names = kmn_said(operation, "approvers");

	kmn_put(p, "<td>");
	if (names[0] == '\0') {
		char says[256];
		const char *form = kmn_report_text(p->language, "no_approval"), *at = strstr(form, "%s");

		(void)snprintf(
		    says, sizeof(says), "%.*s%s%s", (int)(at - form), form, kmn_said(operation, "rule"), at + 2);
		kmn_put(p, "<span class=\"dim\">");
		kmn_put_text(p, says);
		kmn_put(p, "</span></td>");
		return;
	}
	kmn_put(p, "<span class=\"by\">");
	for (; *names != '\0'; names++) {
		char one[2] = {*names};

		if (*names == ' ')
			kmn_put(p, ", ");
		else
			kmn_put_text(p, one);
	}
	kmn_put(p, "</span><br><small>");
	kmn_put_name(p, "by_rule");
	kmn_put(p, " ");
	kmn_put_text(p, kmn_said(operation, "rule"));
	kmn_put(p, "</small></td>");
}

static void
put_operation(const struct kmn_html *p, const json_t *operation)
{
	const char *outcome = kmn_said(operation, "outcome");

	kmn_put(p, "<td>");
	kmn_put_name(p, kmn_said(operation, "function"));
	kmn_put(p, "<br><small>");
	kmn_put_text(p, kmn_said(operation, "mechanism"));
	kmn_put(p, "</small></td>");
	put_contents(p, operation);
	kmn_put(p, "<td><span class=\"by\">");
	kmn_put_text(p, kmn_said(operation, "client"));
	kmn_put(p, "</span></td>");
	put_approvers(p, operation);
	kmn_put(p, strcmp(outcome, "CKR_OK") == 0 ? "<td class=\"good\">" : "<td class=\"bad\">");
	kmn_put_text(p, outcome);
	kmn_put(p, "</td>");
	kmn_number_cell(p, kmn_counted(operation, "count"));
	kmn_put(p, "<td>");
	kmn_put_time(p, kmn_counted(operation, "first"));
	if (kmn_counted(operation, "last") != kmn_counted(operation, "first")) {
		kmn_put(p, "<br>");
		kmn_put_time(p, kmn_counted(operation, "last"));
	}
	kmn_put(p, "</td>");
	kmn_list_cell(p, json_object_get(operation, "records"));
	kmn_put(p, "</tr>\n");
}

void
kmn_report_operations(const struct kmn_html *p, const json_t *report)
{
	const json_t *keys = json_object_get(report, "keys"), *key, *operation;
	size_t n, m;

	kmn_put_heading(p, "operations");
	if (json_array_size(keys) == 0) {
		kmn_put(p, "<p class=\"none\">");
		kmn_put_name(p, "no_operations");
		kmn_put(p, "</p></section>\n");
		return;
	}
	kmn_put(p, "<table class=\"ops\"><colgroup>");
	for (n = 0; n < 9; n++)
		kmn_put(p, "<col>");
	kmn_put(p, "</colgroup>");
	KMN_COLUMNS(
	    p, "key", "operation", "content", "requested_by", "approved_by", "result", "times", "when", "record");
	json_array_foreach(keys, n, key)
	{
		const json_t *operations = json_object_get(key, "operations");

		json_array_foreach(operations, m, operation)
		{
			kmn_put(p, "<tr>");
			if (m == 0)
				put_key(p, key, json_array_size(operations));
			put_operation(p, operation);
		}
	}
	kmn_end_table(p);
}
