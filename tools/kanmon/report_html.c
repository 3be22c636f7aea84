/* The page: what was done, by whom, with which key comes first; one table after another; no script, nothing loaded. */
#include "config.h"

#include "tools/kanmon/report.h"

#include <inttypes.h>
#include <string.h>

#include "tools/kanmon/audit_rows.h"
#include "tools/kanmon/report_texts.h"

static const struct {
	const char *name, *text[KMN_LANGUAGE_COUNT];
} texts[] = {
#define TEXT(name, en, ja) {(name), {(en), (ja)}},
    KMN_REPORT_TEXTS(TEXT)
#undef TEXT
};

const char *
kmn_report_text(enum kmn_language language, const char *name)
{
	for (size_t n = 0; n < KMN_COUNT_OF(texts); n++)
		if (strcmp(texts[n].name, name) == 0)
			return texts[n].text[language];
	return name;
}

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

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

struct page {
	FILE *out;
	enum kmn_language language;
};

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

static json_int_t
number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void
put(const struct page *p, const char *html)
{
	(void)fputs(html, p->out);
}

static void
put_text(const struct page *p, const char *text)
{
	kmn_html_text(p->out, text);
}

static void
put_name(const struct page *p, const char *name)
{
	put_text(p, kmn_report_text(p->language, name));
}

static void
put_number(const struct page *p, json_int_t number)
{
	(void)fprintf(p->out, "%" JSON_INTEGER_FORMAT, number);
}

/* "2026-11-23 18:13:33" */
static void
put_time(const struct page *p, json_int_t ms)
{
	char text[KMN_MS_TEXT_BYTES];

	if (ms <= 0)
		return;
	kmn_ms_text((uint64_t)ms, text);
	(void)fprintf(p->out, "<span class=\"n\">%.10s %.8s</span>", text, text + 11);
}

/* The hash in full, in a small face, where it may break. */
static void
put_hash(const struct page *p, const char *hash)
{
	put(p, "<code>");
	put_text(p, hash);
	put(p, "</code>");
}

static void
heading(const struct page *p, const char *name)
{
	put(p, "<section><h2>");
	put_name(p, name);
	put(p, "</h2>\n");
}

static void
nothing(const struct page *p)
{
	put(p, "<p class=\"none\">");
	put_name(p, "none");
	put(p, "</p></section>\n");
}

/* Names of columns, ends with NULL. */
static void
columns_of(const struct page *p, const char *const *columns)
{
	put(p, "<thead><tr>");
	for (; *columns != NULL; columns++) {
		put(p, "<th scope=\"col\">");
		put_name(p, *columns);
		put(p, "</th>");
	}
	put(p, "</tr></thead><tbody>\n");
}
#define COLUMNS(p, ...) columns_of((p), (const char *const[]){__VA_ARGS__, NULL})
#define TABLE(p, ...) (put((p), "<table>"), COLUMNS((p), __VA_ARGS__))

static void
cell(const struct page *p, const char *text)
{
	put(p, "<td>");
	put_text(p, text);
	put(p, "</td>");
}

static void
number_cell(const struct page *p, json_int_t number)
{
	put(p, "<td class=\"n\">");
	put_number(p, number);
	put(p, "</td>");
}

static void
time_cell(const struct page *p, json_int_t ms)
{
	put(p, "<td>");
	put_time(p, ms);
	put(p, "</td>");
}

static void
list_cell(const struct page *p, const json_t *list)
{
	const json_t *item;
	size_t n;

	put(p, "<td>");
	json_array_foreach(list, n, item)
	{
		put(p, n > 0 ? ", " : "");
		if (json_is_integer(item))
			put_number(p, json_integer_value(item));
		else
			put_text(p, json_string_value(item) != NULL ? json_string_value(item) : "");
	}
	put(p, "</td>");
}

static void
more_row(const struct page *p, json_int_t more, unsigned columns)
{
	if (more <= 0)
		return;
	(void)fprintf(p->out, "<tr><td colspan=\"%u\">%" JSON_INTEGER_FORMAT " ", columns, more);
	put_name(p, "more");
	put(p, "</td></tr>\n");
}

static void
end_table(const struct page *p)
{
	put(p, "</tbody></table></section>\n");
}

/* ---- the first page ---------------------------------------------------------------------------------------------- */

static const char style[] =
    "@page{size:A4 landscape;margin:12mm}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:1180px;padding:22px 28px;color:#1c2733;background:#fff;"
    "font:14px/1.45 system-ui,'Segoe UI','Noto Sans','Noto Sans CJK JP','Hiragino Sans','Yu Gothic',sans-serif}"
    "h1{font-size:24px;margin:0}h1 small{display:block;font-size:14px;font-weight:400;color:#55636f}"
    "h2{font-size:17px;margin:26px 0 8px;padding-bottom:4px;border-bottom:2px solid #22507a;color:#143a5c}"
    "header{display:flex;justify-content:space-between;align-items:flex-start;gap:24px}"
    ".verdict{padding:10px 18px;border:2px solid;border-radius:6px;text-align:center;min-width:230px}"
    ".verdict b{display:block;font-size:20px}"
    ".e0{color:#0b5d2e;background:#eaf6ee}.e1{color:#8c1515;background:#fdeeee}.e2,.e3{color:#7a4b00;background:#"
    "fff6e0}"
    ".says{margin:10px 0 12px;max-width:100ch}"
    "dl{display:grid;grid-template-columns:max-content 1fr max-content 1fr;gap:2px 14px;margin:0}"
    "dt{color:#55636f}dd{margin:0;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;width:100%;font-size:13px}"
    "th,td{text-align:left;vertical-align:top;padding:5px 8px;border:1px solid #c9d3dc}"
    "thead th{background:#e9eff5;color:#143a5c;font-weight:600}"
    "thead th{white-space:nowrap}tbody th{font-weight:400;background:#f7f9fb}"
    ".ops{table-layout:fixed}.ops td,.ops th{overflow-wrap:anywhere;white-space:normal}.ops td .n{white-space:normal}"
    ".ops col:nth-child(1){width:19%}.ops col:nth-child(2){width:15%}.ops col:nth-child(4){width:9%}"
    ".ops col:nth-child(5){width:12%}.ops col:nth-child(6){width:7.5%}.ops col:nth-child(7){width:5.5%}"
    ".ops col:nth-child(8){width:8.5%}.ops col:nth-child(9){width:6.5%}"
    "tr{break-inside:avoid}thead{display:table-header-group}"
    "code{font:11px/1.4 ui-monospace,'DejaVu Sans Mono',monospace;overflow-wrap:anywhere;color:#44525f}"
    ".n{font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".key{font-size:15px;font-weight:700;color:#143a5c;display:block}"
    ".by{font-weight:600}.good{color:#0b5d2e;font-weight:600}.bad{color:#8c1515;font-weight:600}"
    ".dim,.none{color:#66737f}small{font-size:12px;color:#55636f}ul{margin:0;padding-left:16px}"
    "footer{margin-top:26px;padding-top:8px;border-top:1px solid #c9d3dc;color:#55636f;font-size:12px}"
    ".rest{break-before:page}"
    "@media screen and (max-width:1180px){.ops{table-layout:auto}.ops td,.ops th{overflow-wrap:break-word}}"
    "@media "
    "print{body{max-width:none;padding:0;font-size:11px}table{font-size:10px}h1{font-size:19px}h2{font-size:13px}}";

static void
meta(const struct page *p, const char *name)
{
	put(p, "</dd><dt>");
	put_name(p, name);
	put(p, "</dt><dd>");
}

static void
put_reach(const struct page *p, const json_t *period, const char *name, const char *member)
{
	meta(p, name);
	if (number_of(period, member) > 0)
		put_number(p, number_of(period, member));
	else
		put_name(p, "nobody");
}

static size_t
count_findings(const json_t *verdict)
{
	const json_t *findings = json_object_get(verdict, "findings"), *finding;
	size_t n, count = 0;

	json_array_foreach(findings, n, finding) count += strcmp(text_of(finding, "severity"), "note") != 0;
	return count;
}

static void
put_meta(const struct page *p, const json_t *report)
{
	const json_t *period = json_object_get(report, "period"), *hsm;
	size_t n, findings = count_findings(json_object_get(report, "verdict"));

	put(p, "<dl><dt>");
	put_name(p, "origin");
	put(p, "</dt><dd>");
	put_text(p, text_of(report, "origin"));
	meta(p, "period");
	put_time(p, number_of(period, "first"));
	put(p, " ");
	put_name(p, "to");
	put(p, " ");
	put_time(p, number_of(period, "last"));
	meta(p, "records");
	put_number(p, number_of(period, "records"));
	put(p, " (");
	put_number(p, number_of(period, "segments"));
	put(p, " ");
	put_name(p, "segments");
	put(p, ")");
	put_reach(p, period, "signed_to", "signed_size");
	put_reach(p, period, "witnessed_to", "witnessed_size");
	put_reach(p, period, "anchored_to", "anchored_size");
	meta(p, "hsm");
	json_array_foreach(json_object_get(report, "hsms"), n, hsm)
	{
		put(p, n > 0 ? "; " : "");
		put_text(p, text_of(hsm, "model"));
		put(p, ", ");
		put_name(p, "serial_no");
		put(p, " ");
		put_text(p, text_of(hsm, "serial"));
		put(p, ", ");
		put_name(p, "firmware");
		put(p, " ");
		put_text(p, text_of(hsm, "fw"));
	}
	meta(p, "findings_no");
	if (findings == 0)
		put_name(p, "none");
	else
		put_number(p, (json_int_t)findings);
	meta(p, "signatures");
	put_number(p, number_of(json_object_get(report, "verdict"), "signatures_verified"));
	if (number_of(json_object_get(report, "verdict"), "signatures_skipped") > 0) {
		put(p, " (");
		put_number(p, number_of(json_object_get(report, "verdict"), "signatures_skipped"));
		put(p, " ");
		put_name(p, "signatures_skipped");
		put(p, ")");
	}
	meta(p, "refused_open");
	put_number(p, number_of(report, "refused"));
	put(p, " / ");
	put_number(p, (json_int_t)json_array_size(json_object_get(report, "open")));
	meta(p, "head");
	put_hash(p, text_of(json_object_get(period, "head"), "root"));
	meta(p, "made");
	put_time(p, number_of(report, "made"));
	put(p, "</dd></dl>\n");
}

static void
put_head(const struct page *p, const json_t *report)
{
	int verdict = (int)number_of(json_object_get(report, "verdict"), "exit");
	char name[32];

	put(p, "<!DOCTYPE html>\n<html lang=\"");
	put(p, p->language == KMN_JA ? "ja" : "en");
	put(p, "\"><head><meta charset=\"utf-8\">"
	       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
	       "<meta name=\"viewport\" content=\"width=device-width\"><title>");
	put_name(p, "title");
	put(p, ": ");
	put_text(p, text_of(report, "origin"));
	put(p, "</title><style>");
	put(p, style);
	put(p, "</style></head><body>\n<header><h1>");
	put_name(p, "title");
	put(p, "<small>");
	put_name(p, "subtitle");
	(void)fprintf(p->out, "</small></h1><div class=\"verdict e%d\"><b>", verdict);
	(void)snprintf(name, sizeof(name), "verdict_%d", verdict);
	put_name(p, name);
	put(p, "</b></div></header>\n<p class=\"says\">");
	(void)snprintf(name, sizeof(name), "verdict_says_%d", verdict);
	put_name(p, name);
	put(p, "</p>\n");
}

static void
put_key(const struct page *p, const json_t *key, size_t rows)
{
	const json_t *origin = json_object_get(key, "origin");

	(void)fprintf(p->out, "<th scope=\"rowgroup\" rowspan=\"%zu\"><span class=\"key\">", rows);
	put_text(p, text_of(key, "label")[0] != '\0' ? text_of(key, "label") : "-");
	put(p, "</span>");
	put_name(p, "token");
	put(p, " ");
	put_text(p, text_of(key, "token"));
	if (text_of(key, "id")[0] != '\0') {
		put(p, ", ");
		put_name(p, "id");
		put(p, " ");
		put_text(p, text_of(key, "id"));
	}
	if (origin != NULL) {
		bool local = json_is_true(json_object_get(origin, "CKA_LOCAL"));

		put(p, local ? "<br><small>" : "<br><small class=\"bad\">");
		put_name(p, !local                                                           ? "origin_outside"
			    : json_is_true(json_object_get(origin, "CKA_NEVER_EXTRACTABLE")) ? "origin_local"
											     : "origin_inside");
		put(p, "</small>");
	}
	if (text_of(key, "spki")[0] != '\0') {
		put(p, "<br><small>");
		put_name(p, "public_key");
		put(p, "</small> ");
		put_hash(p, text_of(key, "spki"));
	}
	put(p, "</th>");
}

/* "certificate CN=www.example.jp": the kind in the page's language. */
static void
put_content(const struct page *p, const char *content)
{
	char kind[32];
	size_t len = strcspn(content, " ");

	(void)snprintf(kind, sizeof(kind), "%.*s", (int)(len < sizeof(kind) ? len : sizeof(kind) - 1), content);
	put_name(p, kind);
	put_text(p, content + len);
}

static void
put_contents(const struct page *p, const json_t *operation)
{
	const json_t *what;
	size_t n;

	put(p, "<td>");
	json_array_foreach(json_object_get(operation, "what"), n, what)
	{
		put(p, n > 0 ? "<br>" : "");
		put_content(p, json_string_value(what));
	}
	if (number_of(operation, "what_more") > 0) {
		put(p, "<br>");
		put_number(p, number_of(operation, "what_more"));
		put(p, " ");
		put_name(p, "more");
	}
	put(p, "</td>");
}

/* "sato, suzuki", or that nobody had to. */
static void
put_approvers(const struct page *p, const json_t *operation)
{
	const char *names = text_of(operation, "approvers");

	put(p, "<td>");
	if (names[0] == '\0') {
		char says[256];
		const char *form = kmn_report_text(p->language, "no_approval"), *at = strstr(form, "%s");

		(void)snprintf(
		    says, sizeof(says), "%.*s%s%s", (int)(at - form), form, text_of(operation, "rule"), at + 2);
		put(p, "<span class=\"dim\">");
		put_text(p, says);
		put(p, "</span></td>");
		return;
	}
	put(p, "<span class=\"by\">");
	for (; *names != '\0'; names++) {
		char one[2] = {*names};

		if (*names == ' ')
			put(p, ", ");
		else
			put_text(p, one);
	}
	put(p, "</span><br><small>");
	put_name(p, "by_rule");
	put(p, " ");
	put_text(p, text_of(operation, "rule"));
	put(p, "</small></td>");
}

static void
put_operation(const struct page *p, const json_t *operation)
{
	const char *outcome = text_of(operation, "outcome");

	put(p, "<td>");
	put_name(p, text_of(operation, "function"));
	put(p, "<br><small>");
	put_text(p, text_of(operation, "mechanism"));
	put(p, "</small></td>");
	put_contents(p, operation);
	put(p, "<td><span class=\"by\">");
	put_text(p, text_of(operation, "client"));
	put(p, "</span></td>");
	put_approvers(p, operation);
	put(p, strcmp(outcome, "CKR_OK") == 0 ? "<td class=\"good\">" : "<td class=\"bad\">");
	put_text(p, outcome);
	put(p, "</td>");
	number_cell(p, number_of(operation, "count"));
	put(p, "<td>");
	put_time(p, number_of(operation, "first"));
	if (number_of(operation, "last") != number_of(operation, "first")) {
		put(p, "<br>");
		put_time(p, number_of(operation, "last"));
	}
	put(p, "</td>");
	list_cell(p, json_object_get(operation, "records"));
	put(p, "</tr>\n");
}

static void
put_operations(const struct page *p, const json_t *report)
{
	const json_t *keys = json_object_get(report, "keys"), *key, *operation;
	size_t n, m;

	heading(p, "operations");
	if (json_array_size(keys) == 0) {
		put(p, "<p class=\"none\">");
		put_name(p, "no_operations");
		put(p, "</p></section>\n");
		return;
	}
	put(p, "<table class=\"ops\"><colgroup>");
	for (n = 0; n < 9; n++)
		put(p, "<col>");
	put(p, "</colgroup>");
	COLUMNS(p, "key", "operation", "content", "requested_by", "approved_by", "result", "times", "when", "record");
	json_array_foreach(keys, n, key)
	{
		const json_t *operations = json_object_get(key, "operations");

		json_array_foreach(operations, m, operation)
		{
			put(p, "<tr>");
			if (m == 0)
				put_key(p, key, json_array_size(operations));
			put_operation(p, operation);
		}
	}
	end_table(p);
}

/* ---- the other pages --------------------------------------------------------------------------------------------- */

static void
put_findings(const struct page *p, const json_t *report)
{
	const json_t *findings = json_object_get(json_object_get(report, "verdict"), "findings"), *row;
	size_t n;

	heading(p, "findings");
	if (json_array_size(findings) == 0) {
		nothing(p);
		return;
	}
	TABLE(p, "severity", "check", "place", "text");
	json_array_foreach(findings, n, row)
	{
		put(p, strcmp(text_of(row, "severity"), "note") == 0 ? "<tr><td>" : "<tr><td class=\"bad\">");
		put_name(p, text_of(row, "severity"));
		(void)fprintf(p->out, "</td><td>V%" JSON_INTEGER_FORMAT "</td><td>", number_of(row, "check"));
		put_text(p, text_of(row, "file"));
		if (number_of(row, "line") > 0) {
			put(p, " ");
			put_name(p, "line");
			put(p, " ");
			put_number(p, number_of(row, "line"));
		}
		if (json_object_get(row, "index") != NULL) {
			put(p, " ");
			put_name(p, "record");
			put(p, " ");
			put_number(p, number_of(row, "index"));
		}
		put(p, "</td>");
		cell(p, text_of(row, "text"));
		put(p, "</tr>\n");
	}
	end_table(p);
}

static void
put_checks(const struct page *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	heading(p, "checks");
	TABLE(p, "check", "check_says", "outcome", "findings_no");
	json_array_foreach(json_object_get(json_object_get(report, "verdict"), "checks"), n, row)
	{
		const char *result = text_of(row, "result");
		char name[24];

		(void)snprintf(name, sizeof(name), "V%" JSON_INTEGER_FORMAT, number_of(row, "check"));
		put(p, "<tr><td class=\"n\">");
		put_text(p, name);
		put(p, "</td><td>");
		put_name(p, name);
		put(p, strcmp(result, "ok") == 0       ? "</td><td class=\"good\">"
		       : strcmp(result, "FAILED") == 0 ? "</td><td class=\"bad\">"
						       : "</td><td class=\"dim\">");
		put_name(p, result);
		put(p, "</td>");
		number_cell(p, number_of(row, "findings"));
		put(p, "</tr>\n");
	}
	end_table(p);
}

static void
put_policies(const struct page *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	heading(p, "policies");
	TABLE(p, "version", "signers", "when", "record", "sha256");
	json_array_foreach(json_object_get(report, "policies"), n, row)
	{
		put(p, "<tr>");
		number_cell(p, number_of(row, "version"));
		cell(p, text_of(row, "signers"));
		time_cell(p, number_of(row, "t"));
		number_cell(p, number_of(row, "i"));
		put(p, "<td>");
		put_hash(p, text_of(row, "sha256"));
		put(p, "</td></tr>\n");
	}
	end_table(p);
}

static void
put_persons(const struct page *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	heading(p, "persons");
	TABLE(p, "name", "person", "keys_no", "groups", "roles", "may_approve", "approvals", "rejections", "vetoes",
	    "last");
	json_array_foreach(json_object_get(report, "persons"), n, row)
	{
		put(p, "<tr><td><span class=\"by\">");
		put_text(p, text_of(row, "name"));
		put(p, "</span>");
		if (json_is_true(json_object_get(row, "auditor"))) {
			put(p, "<br><small>");
			put_name(p, "auditor");
			put(p, "</small>");
		}
		put(p, "</td><td>");
		if (text_of(row, "person")[0] != '\0')
			put_text(p, text_of(row, "person"));
		else
			put_name(p, "not_in_policy");
		put(p, "</td>");
		number_cell(p, number_of(row, "keys"));
		list_cell(p, json_object_get(row, "groups"));
		list_cell(p, json_object_get(row, "roles"));
		list_cell(p, json_object_get(row, "rules"));
		number_cell(p, number_of(row, "approvals"));
		number_cell(p, number_of(row, "rejections"));
		number_cell(p, number_of(row, "vetoes"));
		time_cell(p, number_of(row, "last"));
		put(p, "</tr>\n");
	}
	end_table(p);
}

/* "Sign 4, Generate key pair 1": a map of counts. */
static void
counts_cell(const struct page *p, const json_t *map)
{
	const char *name;
	json_t *count;
	bool more = false;

	put(p, "<td>");
	json_object_foreach((json_t *)(uintptr_t)map, name, count)
	{
		put(p, more ? ", " : "");
		put_name(p, name);
		put(p, " ");
		put_number(p, json_integer_value(count));
		more = true;
	}
	put(p, "</td>");
}

static void
put_clients(const struct page *p, const json_t *report)
{
	const json_t *row;
	size_t n;

	heading(p, "clients");
	TABLE(p, "client", "channels", "protection", "calls", "refused");
	json_array_foreach(json_object_get(report, "clients"), n, row)
	{
		put(p, "<tr><td><span class=\"by\">");
		put_text(p, text_of(row, "name"));
		put(p, "</span> ");
		put_text(p, text_of(row, "role"));
		put(p, "<br>");
		put_hash(p, text_of(row, "spki"));
		put(p, "</td>");
		number_cell(p, number_of(row, "channels"));
		counts_cell(p, json_object_get(row, "tls"));
		counts_cell(p, json_object_get(row, "calls"));
		number_cell(p, number_of(row, "refused"));
		put(p, "</tr>\n");
	}
	end_table(p);
}

static void
put_refusals(const struct page *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "refusals"), *row;
	size_t n;

	heading(p, "refusals");
	if (json_array_size(rows) == 0) {
		nothing(p);
		return;
	}
	TABLE(p, "when", "record", "type", "client", "operation", "key", "rule", "outcome", "detail");
	json_array_foreach(rows, n, row)
	{
		put(p, "<tr>");
		time_cell(p, number_of(row, "t"));
		number_cell(p, number_of(row, "i"));
		cell(p, text_of(row, "type"));
		cell(p, text_of(row, "client"));
		put(p, "<td>");
		put_name(p, text_of(row, "function"));
		put(p, "</td>");
		cell(p, text_of(row, "key"));
		cell(p, text_of(row, "rule"));
		cell(p, text_of(row, "outcome"));
		put(p, "<td>");
		put_text(p, text_of(row, "detail"));
		if (text_of(row, "custodians")[0] != '\0') {
			put(p, " ");
			put_text(p, text_of(row, "custodians"));
		}
		put(p, "</td></tr>\n");
	}
	more_row(p, number_of(report, "refusals_more"), 9);
	end_table(p);
}

/* Rows of time, record, type and more columns of text. */
static void
put_lines(const struct page *p, const char *name, const json_t *rows, const char *const *columns)
{
	const json_t *row;
	size_t n;

	heading(p, name);
	if (json_array_size(rows) == 0) {
		nothing(p);
		return;
	}
	put(p, "<table><thead><tr><th scope=\"col\">");
	put_name(p, "when");
	put(p, "</th><th scope=\"col\">");
	put_name(p, "record");
	for (size_t m = 0; columns[m] != NULL; m++) {
		put(p, "</th><th scope=\"col\">");
		put_name(p, columns[m]);
	}
	put(p, "</th></tr></thead><tbody>\n");
	json_array_foreach(rows, n, row)
	{
		put(p, "<tr>");
		time_cell(p, number_of(row, "t"));
		number_cell(p, number_of(row, "i"));
		for (size_t m = 0; columns[m] != NULL; m++)
			cell(p, text_of(row, columns[m]));
		put(p, "</tr>\n");
	}
	end_table(p);
}
#define LINES(p, name, rows, ...) put_lines((p), (name), (rows), (const char *const[]){__VA_ARGS__, NULL})

/* A text that is a name of the table, in words. */
static void
name_cell(const struct page *p, const char *name)
{
	put(p, "<td>");
	put_name(p, name);
	put(p, "</td>");
}

static void
put_windows(const struct page *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "windows"), *row;
	size_t n;

	heading(p, "windows");
	if (json_array_size(rows) == 0) {
		nothing(p);
		return;
	}
	TABLE(p, "record", "rule", "client", "key", "approved_by", "window_opened", "window_until", "window_uses",
	    "window_most", "window_ended", "when");
	json_array_foreach(rows, n, row)
	{
		put(p, "<tr>");
		number_cell(p, number_of(row, "i"));
		cell(p, text_of(row, "rule"));
		cell(p, text_of(row, "client"));
		cell(p, text_of(row, "key"));
		cell(p, text_of(row, "approvers"));
		time_cell(p, number_of(row, "opened"));
		time_cell(p, number_of(row, "until"));
		number_cell(p, number_of(row, "uses"));
		number_cell(p, number_of(row, "uses_most"));
		name_cell(p, text_of(row, "ended"));
		time_cell(p, number_of(row, "ended_at"));
		put(p, "</tr>\n");
	}
	end_table(p);
}

static void
put_anomalies(const struct page *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "anomalies"), *row;
	size_t n;

	heading(p, "anomalies");
	if (json_array_size(rows) == 0) {
		nothing(p);
		return;
	}
	TABLE(p, "when", "record", "type", "anomaly_token", "stance", "detail", "signers", "anomaly_reopened");
	json_array_foreach(rows, n, row)
	{
		put(p, "<tr>");
		time_cell(p, number_of(row, "t"));
		number_cell(p, number_of(row, "i"));
		cell(p, text_of(row, "type"));
		name_cell(p, text_of(row, "anomaly_token"));
		name_cell(p, text_of(row, "stance"));
		cell(p, text_of(row, "detail"));
		cell(p, text_of(row, "signers"));
		if (json_object_get(row, "reopened") != NULL)
			number_cell(p, number_of(row, "reopened"));
		else
			put(p, "<td></td>");
		put(p, "</tr>\n");
	}
	end_table(p);
}

static void
put_tokens(const struct page *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "tokens"), *row;
	size_t n;

	heading(p, "tokens");
	if (json_array_size(rows) == 0) {
		nothing(p);
		return;
	}
	TABLE(p, "token_name", "model", "serial_no", "level", "level_by", "stance");
	json_array_foreach(rows, n, row)
	{
		put(p, "<tr>");
		cell(p, text_of(row, "token_name"));
		cell(p, text_of(row, "model"));
		cell(p, text_of(row, "serial"));
		number_cell(p, number_of(row, "level"));
		name_cell(p, text_of(row, "level_by"));
		name_cell(p, text_of(row, "stance"));
		put(p, "</tr>\n");
	}
	end_table(p);
}

static void
put_witnesses(const struct page *p, const json_t *report)
{
	const json_t *witnesses = json_object_get(report, "witnesses"), *anchors = json_object_get(report, "anchors"),
		     *row;
	size_t n;

	heading(p, "witnesses");
	if (json_array_size(witnesses) == 0) {
		nothing(p);
	} else {
		TABLE(p, "name", "times", "covers", "record");
		json_array_foreach(witnesses, n, row)
		{
			put(p, "<tr>");
			cell(p, text_of(row, "name"));
			number_cell(p, number_of(row, "count"));
			number_cell(p, number_of(row, "size"));
			number_cell(p, number_of(row, "record"));
			put(p, "</tr>\n");
		}
		end_table(p);
	}
	heading(p, "anchors");
	if (json_array_size(anchors) == 0) {
		nothing(p);
		return;
	}
	TABLE(p, "tsa", "times", "last_time", "covers", "record");
	json_array_foreach(anchors, n, row)
	{
		put(p, "<tr>");
		cell(p, text_of(row, "tsa"));
		number_cell(p, number_of(row, "count"));
		time_cell(p, number_of(row, "gen_time"));
		number_cell(p, number_of(row, "size"));
		number_cell(p, number_of(row, "record"));
		put(p, "</tr>\n");
	}
	end_table(p);
}

static void
put_certificates(const struct page *p, const json_t *report)
{
	const json_t *rows = json_object_get(report, "certificates"), *row;
	size_t n;

	heading(p, "certificates");
	if (json_array_size(rows) == 0) {
		nothing(p);
		return;
	}
	TABLE(p, "kind", "subject", "serial", "validity", "key", "approved_by", "record", "fingerprints");
	json_array_foreach(rows, n, row)
	{
		put(p, "<tr><td>");
		put_name(p, text_of(row, "kind"));
		put(p, "</td>");
		cell(p, text_of(row, "subject")[0] != '\0' ? text_of(row, "subject") : text_of(row, "issuer"));
		put(p, "<td>");
		put_hash(p, text_of(row, "serial"));
		put(p, "</td><td><span class=\"n\">");
		put_text(p, text_of(row, "not_before"));
		put(p, "</span><br><span class=\"n\">");
		put_text(p, text_of(row, "not_after"));
		put(p, "</span></td>");
		cell(p, text_of(row, "key"));
		cell(p, text_of(row, "approvers"));
		cell(p, text_of(row, "record"));
		put(p, "<td>");
		put_hash(p, text_of(row, "sha256"));
		put(p, "</td></tr>\n");
	}
	more_row(p, number_of(report, "certificates_more"), 8);
	end_table(p);
}

static void
put_evidence(const struct page *p, const json_t *evidence)
{
	const json_t *records = json_object_get(evidence, "records"), *index;
	size_t n;

	put(p, "<li>");
	put_name(p, text_of(evidence, "name"));
	put(p, ": ");
	if (number_of(evidence, "count") == 0) {
		put(p, "<span class=\"dim\">");
		put_name(p, "not_in_ledger");
		put(p, "</span></li>");
		return;
	}
	put(p, "<b class=\"n\">");
	put_number(p, number_of(evidence, "count"));
	put(p, "</b> <small>(");
	json_array_foreach(records, n, index)
	{
		put(p, n > 0 ? ", " : "");
		put_number(p, json_integer_value(index));
	}
	put(p, number_of(evidence, "count") > (json_int_t)json_array_size(records) ? " ..)</small></li>"
										   : ")</small></li>");
}

static void
put_requirements(const struct page *p, const json_t *report)
{
	const json_t *row, *evidence;
	size_t n, m;

	heading(p, "requirements");
	TABLE(p, "id", "requirement", "evidence");
	json_array_foreach(json_object_get(report, "requirements"), n, row)
	{
		put(p, "<tr><td class=\"n\"><b>");
		put_text(p, text_of(row, "id"));
		put(p, "</b></td><td>");
		put_name(p, text_of(row, "id"));
		put(p, "</td><td><ul>");
		json_array_foreach(json_object_get(row, "evidence"), m, evidence) put_evidence(p, evidence);
		put(p, "</ul></td></tr>\n");
	}
	end_table(p);
}

void
kmn_report_html(FILE *out, const json_t *report, enum kmn_language language)
{
	const struct page page = {out, language}, *p = &page;

	put_head(p, report);
	put_meta(p, report);
	put_operations(p, report);
	put(p, "<div class=\"rest\">\n");
	put_findings(p, report);
	put_checks(p, report);
	put_policies(p, report);
	put_tokens(p, report);
	LINES(p, "attestations", json_object_get(report, "attestations"), "document_kind", "document_title",
	    "document_len", "document_sha256", "signers");
	put_windows(p, report);
	put_anomalies(p, report);
	put_persons(p, report);
	put_clients(p, report);
	put_refusals(p, report);
	LINES(p, "open", json_object_get(report, "open"), "client", "function", "key", "detail");
	LINES(p, "events", json_object_get(report, "events"), "type", "detail");
	put_witnesses(p, report);
	put_certificates(p, report);
	put_requirements(p, report);
	put(p, "</div>\n<footer>");
	put_name(p, "footer");
	put(p, "</footer>\n</body></html>\n");
}
