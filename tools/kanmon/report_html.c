/* The page: what was done, by whom, with which key comes first; one table after another; no script, nothing loaded. */
#include "config.h"

#include "tools/kanmon/report.h"

#include <inttypes.h>
#include <string.h>

#include "tools/kanmon/report_sections.h"
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
meta(const struct kmn_html *p, const char *name)
{
	kmn_put(p, "</dd><dt>");
	kmn_put_name(p, name);
	kmn_put(p, "</dt><dd>");
}

static void
put_reach(const struct kmn_html *p, const json_t *period, const char *name, const char *member)
{
	meta(p, name);
	if (kmn_counted(period, member) > 0)
		kmn_put_number(p, kmn_counted(period, member));
	else
		kmn_put_name(p, "nobody");
}

static size_t
count_findings(const json_t *verdict)
{
	const json_t *findings = json_object_get(verdict, "findings"), *finding;
	size_t n, count = 0;

	json_array_foreach(findings, n, finding) count += strcmp(kmn_said(finding, "severity"), "note") != 0;
	return count;
}

static void
put_hsms(const struct kmn_html *p, const json_t *hsms)
{
	const json_t *hsm;
	size_t n;

	meta(p, "hsm");
	json_array_foreach(hsms, n, hsm)
	{
		kmn_put(p, n > 0 ? "; " : "");
		kmn_put_text(p, kmn_said(hsm, "model"));
		kmn_put(p, ", ");
		kmn_put_name(p, "serial_no");
		kmn_put(p, " ");
		kmn_put_text(p, kmn_said(hsm, "serial"));
		kmn_put(p, ", ");
		kmn_put_name(p, "firmware");
		kmn_put(p, " ");
		kmn_put_text(p, kmn_said(hsm, "fw"));
	}
}

static void
put_signatures(const struct kmn_html *p, const json_t *verdict)
{
	meta(p, "signatures");
	kmn_put_number(p, kmn_counted(verdict, "signatures_verified"));
	if (kmn_counted(verdict, "signatures_skipped") == 0)
		return;
	kmn_put(p, " (");
	kmn_put_number(p, kmn_counted(verdict, "signatures_skipped"));
	kmn_put(p, " ");
	kmn_put_name(p, "signatures_skipped");
	kmn_put(p, ")");
}

static void
put_meta(const struct kmn_html *p, const json_t *report)
{
	const json_t *period = json_object_get(report, "period");
	size_t findings = count_findings(json_object_get(report, "verdict"));

	kmn_put(p, "<dl><dt>");
	kmn_put_name(p, "origin");
	kmn_put(p, "</dt><dd>");
	kmn_put_text(p, kmn_said(report, "origin"));
	meta(p, "period");
	kmn_put_time(p, kmn_counted(period, "first"));
	kmn_put(p, " ");
	kmn_put_name(p, "to");
	kmn_put(p, " ");
	kmn_put_time(p, kmn_counted(period, "last"));
	meta(p, "records");
	kmn_put_number(p, kmn_counted(period, "records"));
	kmn_put(p, " (");
	kmn_put_number(p, kmn_counted(period, "segments"));
	kmn_put(p, " ");
	kmn_put_name(p, "segments");
	kmn_put(p, ")");
	put_reach(p, period, "signed_to", "signed_size");
	put_reach(p, period, "witnessed_to", "witnessed_size");
	put_reach(p, period, "anchored_to", "anchored_size");
	put_hsms(p, json_object_get(report, "hsms"));
	meta(p, "findings_no");
	if (findings == 0)
		kmn_put_name(p, "none");
	else
		kmn_put_number(p, (json_int_t)findings);
	put_signatures(p, json_object_get(report, "verdict"));
	meta(p, "refused_open");
	kmn_put_number(p, kmn_counted(report, "refused"));
	kmn_put(p, " / ");
	kmn_put_number(p, (json_int_t)json_array_size(json_object_get(report, "open")));
	meta(p, "head");
	kmn_put_hash(p, kmn_said(json_object_get(period, "head"), "root"));
	meta(p, "made");
	kmn_put_time(p, kmn_counted(report, "made"));
	kmn_put(p, "</dd></dl>\n");
}

static void
put_head(const struct kmn_html *p, const json_t *report)
{
	int verdict = (int)kmn_counted(json_object_get(report, "verdict"), "exit");
	char name[32];

	kmn_put(p, "<!DOCTYPE html>\n<html lang=\"");
	kmn_put(p, p->language == KMN_JAPANESE ? "ja" : "en");
	kmn_put(p,
	    "\"><head><meta charset=\"utf-8\">"
	    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
	    "<meta name=\"viewport\" content=\"width=device-width\"><title>");
	kmn_put_name(p, "title");
	kmn_put(p, ": ");
	kmn_put_text(p, kmn_said(report, "origin"));
	kmn_put(p, "</title><style>");
	kmn_put(p, style);
	kmn_put(p, "</style></head><body>\n<header><h1>");
	kmn_put_name(p, "title");
	kmn_put(p, "<small>");
	kmn_put_name(p, "subtitle");
	(void)fprintf(p->out, "</small></h1><div class=\"verdict e%d\"><b>", verdict);
	(void)snprintf(name, sizeof(name), "verdict_%d", verdict);
	kmn_put_name(p, name);
	kmn_put(p, "</b></div></header>\n<p class=\"says\">");
	(void)snprintf(name, sizeof(name), "verdict_says_%d", verdict);
	kmn_put_name(p, name);
	kmn_put(p, "</p>\n");
}

#define SECTION(name) kmn_report_##name,
static void (*const sections[])(const struct kmn_html *p, const json_t *report) = {KMN_REPORT_SECTIONS(SECTION)};
#undef SECTION

void
kmn_report_html(FILE *out, const json_t *report, enum kmn_language language)
{
	const struct kmn_html page = {out, language}, *p = &page;

	put_head(p, report);
	put_meta(p, report);
	kmn_report_operations(p, report);
	kmn_put(p, "<div class=\"rest\">\n");
	for (size_t n = 0; n < KMN_COUNT_OF(sections); n++)
		sections[n](p, report);
	kmn_put(p, "</div>\n<footer>");
	kmn_put_name(p, "footer");
	kmn_put(p, "</footer>\n</body></html>\n");
}
