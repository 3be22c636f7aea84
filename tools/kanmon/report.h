/*
 * The auditor's report. What it says is one JSON value (kmn_report_gather),
 * which `--json` writes as it is; the page is made of nothing else
 * (kmn_report_html), so the two cannot differ.
 *
 *	origin, ledger, made        of what, and when the report was made (ms)
 *	verdict    {exit, checks: [{check, result, findings}], findings: [{severity, check, file?, line?, index?, text}]}
 *	period     {first, last (ms), records, segments, head, signed_size, anchored_size?, anchored_ms?}
 *	keys       [{label, id, token, spki, origin?, made?, operations: [{function, mechanism, what: [text], what_more,
 *	             client, approvers, rule, outcome, count, first, last (ms), records: [index]}]}]
 *	policies   [{version, record, t, sha256, signers}]
 *	persons    [{name, person, keys, auditor, groups, roles, rules, approvals, rejections, vetoes, last}]
 *	clients    [{name, role, channels, calls: {function: n}, refused}]
 *	refusals   [{i, t, type, client, function, key, rule, outcome, reason}], refusals_more, refused
 *	open       [index], events [{i, t, type, detail}]
 *	witnesses  [{name, count, size, record}], anchors [{tsa, count, gen_time, size, record}]
 *	windows    [{i, rule, client, key, approvers, opened, until (ms), uses, uses_most, ended, ended_at?}]
 *	anomalies  [{i, t, type, anomaly_token, stance, detail, signers, reopened?}], attestations [{i, t, signers, document_*}]
 *	tokens     [{token_name, label, model, serial, level?, level_by, stance}]
 *	certificates [rows of audit_finished.h], certificates_more
 *	requirements [{id, evidence: [{name, count, records: [index]}]}]
 */
#ifndef KANMON_TOOLS_REPORT_H
#define KANMON_TOOLS_REPORT_H

#include <stdio.h>

#include "kanmon/verify.h"
#include "tools/kanmon/words.h"

/* The text of that name in the table; the name itself if there is none (a PKCS#11 function, say). Never NULL. */
const char *kmn_report_text(enum kmn_language language, const char *name);

/* Reads and verifies. Errors: those that make a report impossible; findings are none. *report_out: json_decref. */
kmn_err kmn_report_gather(struct kmn_store *store, const char *ledger, const struct kmn_trust *trust,
    json_t **report_out, struct kmn_why *why) KMN_MUST_CHECK;

/* One page with no script and nothing from elsewhere. */
void kmn_report_html(FILE *out, const json_t *report, enum kmn_language language);

/* Text inside an element or an attribute: &, <, >, quotes and control characters cannot become anything else. */
void kmn_html_text(FILE *out, const char *text);

#endif
