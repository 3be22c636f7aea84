/* Of the report: what was found, what was checked, and what of the demands is evidenced where. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "tools/kanmon/report_cells.h"
#include "tools/kanmon/report_sections.h"

void
kmn_report_findings(const struct kmn_html *p, const json_t *report)
{
	const json_t *findings = json_object_get(json_object_get(report, "verdict"), "findings"), *row;
	size_t n;

	kmn_put_heading(p, "findings");
	if (json_array_size(findings) == 0) {
		kmn_put_nothing(p);
		return;
	}
	KMN_TABLE(p, "severity", "check", "place", "text");
	json_array_foreach(findings, n, row)
	{
		kmn_put(p, strcmp(kmn_said(row, "severity"), "note") == 0 ? "<tr><td>" : "<tr><td class=\"bad\">");
		kmn_put_name(p, kmn_said(row, "severity"));
		(void)fprintf(p->out, "</td><td>V%" JSON_INTEGER_FORMAT "</td><td>", kmn_counted(row, "check"));
		kmn_put_text(p, kmn_said(row, "file"));
		if (kmn_counted(row, "line") > 0) {
			kmn_put(p, " ");
			kmn_put_name(p, "line");
			kmn_put(p, " ");
			kmn_put_number(p, kmn_counted(row, "line"));
		}
		if (json_object_get(row, "index") != NULL) {
			kmn_put(p, " ");
			kmn_put_name(p, "record");
			kmn_put(p, " ");
			kmn_put_number(p, kmn_counted(row, "index"));
		}
		kmn_put(p, "</td>");
		kmn_cell(p, kmn_said(row, "text"));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

void
kmn_report_checks(const struct kmn_html *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	kmn_put_heading(p, "checks");
	KMN_TABLE(p, "check", "check_says", "outcome", "findings_no");
	json_array_foreach(json_object_get(json_object_get(report, "verdict"), "checks"), n, row)
	{
		const char *result = kmn_said(row, "result");
		char name[24];

		(void)snprintf(name, sizeof(name), "V%" JSON_INTEGER_FORMAT, kmn_counted(row, "check"));
		kmn_put(p, "<tr><td class=\"n\">");
		kmn_put_text(p, name);
		kmn_put(p, "</td><td>");
		kmn_put_name(p, name);
		kmn_put(p, strcmp(result, "ok") == 0       ? "</td><td class=\"good\">"
			   : strcmp(result, "FAILED") == 0 ? "</td><td class=\"bad\">"
							   : "</td><td class=\"dim\">");
		kmn_put_name(p, result);
		kmn_put(p, "</td>");
		kmn_number_cell(p, kmn_counted(row, "findings"));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

static void
put_evidence(const struct kmn_html *p, const json_t *evidence)
{
	const json_t *records = json_object_get(evidence, "records"), *index;
	size_t n;

	kmn_put(p, "<li>");
	kmn_put_name(p, kmn_said(evidence, "name"));
	kmn_put(p, ": ");
	if (kmn_counted(evidence, "count") == 0) {
		kmn_put(p, "<span class=\"dim\">");
		kmn_put_name(p, "not_in_ledger");
		kmn_put(p, "</span></li>");
		return;
	}
	kmn_put(p, "<b class=\"n\">");
	kmn_put_number(p, kmn_counted(evidence, "count"));
	kmn_put(p, "</b> <small>(");
	json_array_foreach(records, n, index)
	{
		kmn_put(p, n > 0 ? ", " : "");
		kmn_put_number(p, json_integer_value(index));
	}
	kmn_put(p, kmn_counted(evidence, "count") > (json_int_t)json_array_size(records) ? " ..)</small></li>"
											 : ")</small></li>");
}

void
kmn_report_requirements(const struct kmn_html *p, const json_t *report)
{
	const json_t *row, *evidence;
	size_t n, m;

	kmn_put_heading(p, "requirements");
	KMN_TABLE(p, "id", "requirement", "evidence");
	json_array_foreach(json_object_get(report, "requirements"), n, row)
	{
		kmn_put(p, "<tr><td class=\"n\"><b>");
		kmn_put_text(p, kmn_said(row, "id"));
		kmn_put(p, "</b></td><td>");
		kmn_put_name(p, kmn_said(row, "id"));
		kmn_put(p, "</td><td><ul>");
		json_array_foreach(json_object_get(row, "evidence"), m, evidence) put_evidence(p, evidence);
		kmn_put(p, "</ul></td></tr>\n");
	}
	kmn_end_table(p);
}
