/* The sections of the report's page: each makes its heading and its table out of the report's JSON, and nothing else. */
#ifndef KANMON_TOOLS_REPORT_SECTIONS_H
#define KANMON_TOOLS_REPORT_SECTIONS_H

#include "tools/kanmon/report_cells.h"

/* Those behind the first page, in their order. */
#define KMN_REPORT_SECTIONS(ROW) \
	ROW(findings) \
	ROW(checks) \
	ROW(policies) \
	ROW(tokens) \
	ROW(attestations) \
	ROW(windows) \
	ROW(anomalies) \
	ROW(persons) \
	ROW(clients) \
	ROW(refusals) \
	ROW(open) \
	ROW(events) \
	ROW(witnesses) \
	ROW(certificates) \
	ROW(requirements)

#define KMN_REPORT_PROTOTYPE(name) void kmn_report_##name(const struct kmn_html *p, const json_t *report);
KMN_REPORT_PROTOTYPE(operations)
KMN_REPORT_SECTIONS(KMN_REPORT_PROTOTYPE)
#undef KMN_REPORT_PROTOTYPE

#endif
