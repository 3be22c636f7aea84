/* Of the report: who: persons and their votes, clients and their calls, and who was refused what. */
#include "config.h"

#include <stdio.h>

#include "tools/kanmon/report_cells.h"
#include "tools/kanmon/report_sections.h"

void
kmn_report_persons(const struct kmn_html *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	kmn_put_heading(p, "persons");
	KMN_TABLE(p, "name", "person", "keys_no", "groups", "roles", "may_approve", "approvals", "rejections", "vetoes",
	    "last");
	json_array_foreach(json_object_get(report, "persons"), n, row)
	{
		kmn_put(p, "<tr><td><span class=\"by\">");
		kmn_put_text(p, kmn_said(row, "name"));
		kmn_put(p, "</span>");
		if (json_is_true(json_object_get(row, "auditor"))) {
			kmn_put(p, "<br><small>");
			kmn_put_name(p, "auditor");
			kmn_put(p, "</small>");
		}
		kmn_put(p, "</td><td>");
		if (kmn_said(row, "person")[0] != '\0')
			kmn_put_text(p, kmn_said(row, "person"));
		else
			kmn_put_name(p, "not_in_policy");
		kmn_put(p, "</td>");
		kmn_number_cell(p, kmn_counted(row, "keys"));
		kmn_list_cell(p, json_object_get(row, "groups"));
		kmn_list_cell(p, json_object_get(row, "roles"));
		kmn_list_cell(p, json_object_get(row, "rules"));
		kmn_number_cell(p, kmn_counted(row, "approvals"));
		kmn_number_cell(p, kmn_counted(row, "rejections"));
		kmn_number_cell(p, kmn_counted(row, "vetoes"));
		kmn_time_cell(p, kmn_counted(row, "last"));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

/* "Sign 4, Generate key pair 1": a map of counts. */
static void
counts_cell(const struct kmn_html *p, const json_t *map)
{
	const char *name;
	json_t *count;
	bool more = false;

	kmn_put(p, "<td>");
	json_object_foreach((json_t *)(uintptr_t)map, name, count)
	{
		kmn_put(p, more ? ", " : "");
		kmn_put_name(p, name);
		kmn_put(p, " ");
		kmn_put_number(p, json_integer_value(count));
		more = true;
	}
	kmn_put(p, "</td>");
}

void
kmn_report_clients(const struct kmn_html *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	kmn_put_heading(p, "clients");
	KMN_TABLE(p, "client", "channels", "protection", "calls", "refused");
	json_array_foreach(json_object_get(report, "clients"), n, row)
	{
		kmn_put(p, "<tr><td><span class=\"by\">");
		kmn_put_text(p, kmn_said(row, "name"));
		kmn_put(p, "</span> ");
		kmn_put_text(p, kmn_said(row, "role"));
		kmn_put(p, "<br>");
		kmn_put_hash(p, kmn_said(row, "spki"));
		kmn_put(p, "</td>");
		kmn_number_cell(p, kmn_counted(row, "channels"));
		counts_cell(p, json_object_get(row, "tls"));
		counts_cell(p, json_object_get(row, "calls"));
		kmn_number_cell(p, kmn_counted(row, "refused"));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

/* The record's word for why, in the page's language. */
static void
refusal_cell(const struct kmn_html *p, const char *reason)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "refused: %s", reason);
	kmn_name_cell(p, reason[0] == '\0' || kmn_report_text(p->language, name) == name ? reason : name);
}

void
kmn_report_refusals(const struct kmn_html *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "refusals"), *row;
	size_t n;

	kmn_put_heading(p, "refusals");
	if (json_array_size(rows) == 0) {
		kmn_put_nothing(p);
		return;
	}
	KMN_TABLE(p, "when", "record", "type", "client", "operation", "key", "rule", "outcome", "refusal", "detail");
	json_array_foreach(rows, n, row)
	{
		kmn_put(p, "<tr>");
		kmn_time_cell(p, kmn_counted(row, "t"));
		kmn_number_cell(p, kmn_counted(row, "i"));
		kmn_cell(p, kmn_said(row, "type"));
		kmn_cell(p, kmn_said(row, "client"));
		kmn_put(p, "<td>");
		kmn_put_name(p, kmn_said(row, "function"));
		kmn_put(p, "</td>");
		kmn_cell(p, kmn_said(row, "key"));
		kmn_cell(p, kmn_said(row, "rule"));
		kmn_cell(p, kmn_said(row, "outcome"));
		refusal_cell(p, kmn_said(row, "reason"));
		kmn_put(p, "<td>");
		kmn_put_text(p, kmn_said(row, "detail"));
		if (kmn_said(row, "custodians")[0] != '\0') {
			kmn_put(p, " ");
			kmn_put_text(p, kmn_said(row, "custodians"));
		}
		kmn_put(p, "</td></tr>\n");
	}
	kmn_more_row(p, kmn_counted(report, "refusals_more"), 10);
	kmn_end_table(p);
}
