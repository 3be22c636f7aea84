/* Of the report: what stood over the time of the ledger: policies, tokens, windows, anomalies, witnesses, certificates. */
#include "config.h"

#include "tools/kanmon/report_cells.h"
#include "tools/kanmon/report_sections.h"

void
kmn_report_policies(const struct kmn_html *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	kmn_put_heading(p, "policies");
	KMN_TABLE(p, "version", "signers", "when", "record", "sha256");
	json_array_foreach(json_object_get(report, "policies"), n, row)
	{
		kmn_put(p, "<tr>");
		kmn_number_cell(p, kmn_counted(row, "version"));
		kmn_cell(p, kmn_said(row, "signers"));
		kmn_time_cell(p, kmn_counted(row, "t"));
		kmn_number_cell(p, kmn_counted(row, "i"));
		kmn_put(p, "<td>");
		kmn_put_hash(p, kmn_said(row, "sha256"));
		kmn_put(p, "</td></tr>\n");
	}
	kmn_end_table(p);
}

/* Rows of time, record, type and more columns of text. */
static void
put_lines(const struct kmn_html *p, const char *name, const json_t *rows, const char *const *columns)
{
	const json_t *row;
	size_t n;

	kmn_put_heading(p, name);
	if (json_array_size(rows) == 0) {
		kmn_put_nothing(p);
		return;
	}
	kmn_put(p, "<table><thead><tr><th scope=\"col\">");
	kmn_put_name(p, "when");
	kmn_put(p, "</th><th scope=\"col\">");
	kmn_put_name(p, "record");
	for (size_t m = 0; columns[m] != NULL; m++) {
		kmn_put(p, "</th><th scope=\"col\">");
		kmn_put_name(p, columns[m]);
	}
	kmn_put(p, "</th></tr></thead><tbody>\n");
	json_array_foreach(rows, n, row)
	{
		kmn_put(p, "<tr>");
		kmn_time_cell(p, kmn_counted(row, "t"));
		kmn_number_cell(p, kmn_counted(row, "i"));
		for (size_t m = 0; columns[m] != NULL; m++)
			kmn_cell(p, kmn_said(row, columns[m]));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}
#define LINES(p, name, rows, ...) put_lines((p), (name), (rows), (const char *const[]){__VA_ARGS__, NULL})

void
kmn_report_attestations(const struct kmn_html *p, const json_t *report)
{
	LINES(p, "attestations", json_object_get(report, "attestations"), "document_kind", "document_title",
	    "document_len", "document_sha256", "signers");
}

void
kmn_report_open(const struct kmn_html *p, const json_t *report)
{
	LINES(p, "open", json_object_get(report, "open"), "client", "function", "key", "detail");
}

void
kmn_report_events(const struct kmn_html *p, const json_t *report)
{
	LINES(p, "events", json_object_get(report, "events"), "type", "detail");
}

void
kmn_report_windows(const struct kmn_html *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "windows"), *row;
	size_t n;

	kmn_put_heading(p, "windows");
	if (json_array_size(rows) == 0) {
		kmn_put_nothing(p);
		return;
	}
	KMN_TABLE(p, "record", "rule", "client", "key", "approved_by", "window_opened", "window_until", "window_uses",
	    "window_most", "window_ended", "when");
	json_array_foreach(rows, n, row)
	{
		kmn_put(p, "<tr>");
		kmn_number_cell(p, kmn_counted(row, "i"));
		kmn_cell(p, kmn_said(row, "rule"));
		kmn_cell(p, kmn_said(row, "client"));
		kmn_cell(p, kmn_said(row, "key"));
		kmn_cell(p, kmn_said(row, "approvers"));
		kmn_time_cell(p, kmn_counted(row, "opened"));
		kmn_time_cell(p, kmn_counted(row, "until"));
		kmn_number_cell(p, kmn_counted(row, "uses"));
		kmn_number_cell(p, kmn_counted(row, "uses_most"));
		kmn_name_cell(p, kmn_said(row, "ended"));
		kmn_time_cell(p, kmn_counted(row, "ended_at"));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

void
kmn_report_anomalies(const struct kmn_html *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "anomalies"), *row;
	size_t n;

	kmn_put_heading(p, "anomalies");
	if (json_array_size(rows) == 0) {
		kmn_put_nothing(p);
		return;
	}
	KMN_TABLE(p, "when", "record", "type", "anomaly_token", "stance", "detail", "signers", "anomaly_reopened");
	json_array_foreach(rows, n, row)
	{
		kmn_put(p, "<tr>");
		kmn_time_cell(p, kmn_counted(row, "t"));
		kmn_number_cell(p, kmn_counted(row, "i"));
		kmn_cell(p, kmn_said(row, "type"));
		kmn_name_cell(p, kmn_said(row, "anomaly_token"));
		kmn_name_cell(p, kmn_said(row, "stance"));
		kmn_cell(p, kmn_said(row, "detail"));
		kmn_cell(p, kmn_said(row, "signers"));
		if (json_object_get(row, "reopened") != NULL)
			kmn_number_cell(p, kmn_counted(row, "reopened"));
		else
			kmn_put(p, "<td></td>");
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

void
kmn_report_tokens(const struct kmn_html *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "tokens"), *row;
	size_t n;

	kmn_put_heading(p, "tokens");
	if (json_array_size(rows) == 0) {
		kmn_put_nothing(p);
		return;
	}
	KMN_TABLE(p, "token_name", "model", "serial_no", "level", "level_by", "stance");
	json_array_foreach(rows, n, row)
	{
		kmn_put(p, "<tr>");
		kmn_cell(p, kmn_said(row, "token_name"));
		kmn_cell(p, kmn_said(row, "model"));
		kmn_cell(p, kmn_said(row, "serial"));
		kmn_number_cell(p, kmn_counted(row, "level"));
		kmn_name_cell(p, kmn_said(row, "level_by"));
		kmn_name_cell(p, kmn_said(row, "stance"));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

void
kmn_report_witnesses(const struct kmn_html *p, const json_t *report)
{
	const json_t *witnesses = json_object_get(report, "witnesses"), *anchors = json_object_get(report, "anchors"),
		     *row;
	size_t n;

	kmn_put_heading(p, "witnesses");
	if (json_array_size(witnesses) == 0) {
		kmn_put_nothing(p);
	} else {
		KMN_TABLE(p, "name", "times", "covers", "record");
		json_array_foreach(witnesses, n, row)
		{
			kmn_put(p, "<tr>");
			kmn_cell(p, kmn_said(row, "name"));
			kmn_number_cell(p, kmn_counted(row, "count"));
			kmn_number_cell(p, kmn_counted(row, "size"));
			kmn_number_cell(p, kmn_counted(row, "record"));
			kmn_put(p, "</tr>\n");
		}
		kmn_end_table(p);
	}
	kmn_put_heading(p, "anchors");
	if (json_array_size(anchors) == 0) {
		kmn_put_nothing(p);
		return;
	}
	KMN_TABLE(p, "tsa", "times", "last_time", "covers", "record");
	json_array_foreach(anchors, n, row)
	{
		kmn_put(p, "<tr>");
		kmn_cell(p, kmn_said(row, "tsa"));
		kmn_number_cell(p, kmn_counted(row, "count"));
		kmn_time_cell(p, kmn_counted(row, "gen_time"));
		kmn_number_cell(p, kmn_counted(row, "size"));
		kmn_number_cell(p, kmn_counted(row, "record"));
		kmn_put(p, "</tr>\n");
	}
	kmn_end_table(p);
}

void
kmn_report_certificates(const struct kmn_html *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "certificates"), *row;
	size_t n;

	kmn_put_heading(p, "certificates");
	if (json_array_size(rows) == 0) {
		kmn_put_nothing(p);
		return;
	}
	KMN_TABLE(p, "kind", "subject", "serial", "validity", "key", "approved_by", "record", "fingerprints");
	json_array_foreach(rows, n, row)
	{
		kmn_put(p, "<tr><td>");
		kmn_put_name(p, kmn_said(row, "kind"));
		kmn_put(p, "</td>");
		kmn_cell(p, kmn_said(row, "subject")[0] != '\0' ? kmn_said(row, "subject") : kmn_said(row, "issuer"));
		kmn_put(p, "<td>");
		kmn_put_hash(p, kmn_said(row, "serial"));
		kmn_put(p, "</td><td><span class=\"n\">");
		kmn_put_text(p, kmn_said(row, "not_before"));
		kmn_put(p, "</span><br><span class=\"n\">");
		kmn_put_text(p, kmn_said(row, "not_after"));
		kmn_put(p, "</span></td>");
		kmn_cell(p, kmn_said(row, "key"));
		kmn_cell(p, kmn_said(row, "approvers"));
		kmn_cell(p, kmn_said(row, "record"));
		kmn_put(p, "<td>");
		kmn_put_hash(p, kmn_said(row, "sha256"));
		kmn_put(p, "</td></tr>\n");
	}
	kmn_more_row(p, kmn_counted(report, "certificates_more"), 8);
	kmn_end_table(p);
}
