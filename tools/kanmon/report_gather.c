/* What a report says, gathered from a ledger in three readings: verified, its signatures, its records. */
#include "config.h"

#include "tools/kanmon/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/checker.h"
#include "kanmon/note.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_finished.h"
#include "tools/kanmon/report_gather.h"

#define CERTIFICATES_MAX 2000
#define WHAT_MAX 4     /* contents that an operation names */
#define ALONE_MAX 60   /* rows of one key */
#define RECORDS_MAX 12 /* indexes that a row names */

void
kmn_gather_count(json_t *object, const char *name, json_int_t by)
{
	(void)json_object_set_new(object, name, json_integer(json_integer_value(json_object_get(object, name)) + by));
}

void
kmn_gather_index(json_t *object, const char *name, uint64_t i, size_t max)
{
	json_t *list = json_object_get(object, name);

	if (list == NULL) {
		list = json_array();
		(void)json_object_set_new(object, name, list);
	}
	if (json_array_size(list) < max)
		(void)json_array_append_new(list, json_integer((json_int_t)i));
}

json_t *
kmn_gather_of(json_t *map, const char *key)
{
	json_t *object = json_object_get(map, key);

	if (object == NULL) {
		object = json_object();
		if (json_object_set_new(map, key, object) != 0)
			KMN_BUG("out of memory");
	}
	return object;
}

void
kmn_gather_text(json_t *object, const char *name, const char *text)
{
	(void)json_object_set_new(object, name, json_string(text));
}

void
kmn_gather_number(json_t *object, const char *name, uint64_t number)
{
	(void)json_object_set_new(object, name, json_integer((json_int_t)number));
}

/* ---- certificates ------------------------------------------------------------------------------------------------ */

/* "certificate CN=www.example.jp", to stand at the operation that signed it. */
static void
keep_content(struct kmn_gather *g, uint64_t record, const json_t *row)
{
	char index[24], what[600];
	const char *name = kmn_json_text(row, "subject")[0] != '\0' ? "subject" : "issuer";
	const char *application = kmn_json_text(row, "application");

	(void)snprintf(index, sizeof(index), "%" PRIu64, record);
	(void)snprintf(what, sizeof(what), "%s %.256s%s%s", kmn_json_text(row, "kind"), kmn_json_text(row, name),
	    application[0] != '\0' ? ", application " : "", application);
	kmn_gather_text(g->contents, index, what);
}

static kmn_err
take_signed(void *cookie, const struct kmn_signed_certificate *made)
{
	struct kmn_gather *g = cookie;
	enum kmn_finished_kind kind;
	uint8_t *der = NULL;
	size_t len;
	json_t *row;
	kmn_err e = kmn_finished_row(g->store, made, &row, &kind, &der, &len);

	free(der);
	if (e != KMN_OK || row == NULL)
		return e;
	if (strcmp(kmn_json_text(row, "kind"), "unknown") != 0) {
		kmn_gather_evidence(g, "certificates_rebuilt", made->record);
		keep_content(g, made->record, row);
		if (json_array_size(g->certificates) < CERTIFICATES_MAX)
			(void)json_array_append(g->certificates, row);
		else
			g->certificates_more++;
	} else {
		kmn_gather_evidence(g, "certificates_unknown", made->record);
	}
	json_decref(row);
	return KMN_OK;
}

/* ---- operations by key ------------------------------------------------------------------------------------------- */

/* One row for what is the same in all but time and content. */
void
kmn_gather_operation(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	char name[1400], index[24];
	json_t *key, *operations, *operation, *what;
	const char *content;
	bool alone; /* what persons approved stands in a row of its own, as long as a page can bear it */

	(void)snprintf(index, sizeof(index), "%" PRIu64, record->i);
	content = kmn_json_text(g->contents, index);
	(void)snprintf(name, sizeof(name), "%s\n%s", row->value[KMN_COL_TOKEN],
	    row->value[KMN_COL_KEY_SPKI][0] != '\0' ? row->value[KMN_COL_KEY_SPKI] : row->value[KMN_COL_KEY]);
	key = kmn_gather_of(g->keys, name);
	kmn_gather_text(key, "label", row->value[KMN_COL_KEY]);
	kmn_gather_text(key, "id", row->value[KMN_COL_KEY_ID]);
	kmn_gather_text(key, "token", row->value[KMN_COL_TOKEN]);
	kmn_gather_text(key, "spki", row->value[KMN_COL_KEY_SPKI]);
	operations = kmn_gather_of(key, "operations");
	alone = row->value[KMN_COL_CUSTODIANS][0] != '\0' && json_object_size(operations) < ALONE_MAX;
	(void)snprintf(name, sizeof(name), "%s\n%s\n%s\n%s\n%s\n%s\n%s", row->value[KMN_COL_FUNCTION],
	    row->value[KMN_COL_MECHANISM], row->value[KMN_COL_CLIENT], row->value[KMN_COL_CUSTODIANS],
	    row->value[KMN_COL_RULE], row->value[KMN_COL_OUTCOME], alone ? content : "");
	operation = kmn_gather_of(operations, name);
	kmn_gather_text(operation, "function", row->value[KMN_COL_FUNCTION]);
	kmn_gather_text(operation, "mechanism", row->value[KMN_COL_MECHANISM]);
	kmn_gather_text(operation, "client", row->value[KMN_COL_CLIENT]);
	kmn_gather_text(operation, "approvers", row->value[KMN_COL_CUSTODIANS]);
	kmn_gather_text(operation, "rule", row->value[KMN_COL_RULE]);
	kmn_gather_text(operation, "outcome", row->value[KMN_COL_OUTCOME]);
	if (json_object_get(operation, "count") == NULL)
		kmn_gather_number(operation, "first", record->t);
	kmn_gather_number(operation, "last", record->t);
	kmn_gather_count(operation, "count", 1);
	kmn_gather_index(operation, "records", record->i, RECORDS_MAX);
	if (content[0] == '\0')
		return;
	if ((what = json_object_get(operation, "what")) == NULL) {
		what = json_array();
		(void)json_object_set_new(operation, "what", what);
	}
	if (json_array_size(what) < WHAT_MAX)
		(void)json_array_append_new(what, json_string(content));
	else
		kmn_gather_count(operation, "what_more", 1);
}

/* ---- evidence ---------------------------------------------------------------------------------------------------- */

void
kmn_gather_evidence(struct kmn_gather *g, const char *name, uint64_t i)
{
	json_t *evidence = kmn_gather_of(g->evidence, name);

	kmn_gather_count(evidence, "count", 1);
	kmn_gather_index(evidence, "records", i, 5);
}

/* Which records bear on which requirement (R1-R13): names of evidence, each with its text in the table of texts. */
static const struct {
	const char *id;
	const char *evidence[8];
} requirements[] = {
    {"R1", {"channels", "channels_rejected", "client_heads", "cosignatures"}},
    {"R2", {"statements", "actions", "approvals", "results_verified", "redelivered"}},
    {"R3", {"decided_deny", "decided_expired", "refused_calls", "recoveries"}},
    {"R4", {"keys_made", "approved_operations", "approvals", "rejections", "vetoes"}},
    {"R5", {"records", "intents", "results", "single_records", "anchors"}},
    {"R6", {"hsm_named", "policies"}},
    {"R7", {"keys_local", "keys_never_extractable", "keys_imported"}},
    {"R8", {"policies", "credentials", "log_keys"}},
    {"R9", {"channels_rejected", "logins_failed", "refused_calls", "votes_refused"}},
    {"R10", {"gateway_starts", "hsm_logs", "records"}},
    {"R11", {"certificates_rebuilt", "certificates_unknown", "purposes"}},
    {"R12", {"approvals", "approved_operations", "votes_refused"}},
    {"R13", {"gateway_starts", "clocks", "recoveries", "results_verified"}},
};

static json_t *
requirement_rows(const struct kmn_gather *g)
{
	json_t *rows = json_array();

	for (size_t n = 0; n < KMN_COUNT_OF(requirements); n++) {
		json_t *row = json_pack("{s:s, s:[]}", "id", requirements[n].id, "evidence");

		for (size_t m = 0; m < KMN_COUNT_OF(requirements[n].evidence); m++) {
			const char *name = requirements[n].evidence[m];
			json_t *found = name == NULL ? NULL : json_object_get(g->evidence, name), *entry;

			if (name == NULL)
				break;
			entry = found != NULL ? json_copy(found) : json_pack("{s:i, s:[]}", "count", 0, "records");
			kmn_gather_text(entry, "name", name);
			(void)json_array_append_new(json_object_get(row, "evidence"), entry);
		}
		(void)json_array_append_new(rows, row);
	}
	return rows;
}

/* ---- the verifier ------------------------------------------------------------------------------------------------ */

static void
say(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	static const char *const severities[] = {"note", "finding", "FATAL", "missing"};
	json_t *findings = cookie;
	json_t *row = json_pack("{s:s, s:i, s:s}", "severity", severities[severity], "check", (int)check, "text", text);

	if (place->file != NULL)
		kmn_gather_text(row, "file", place->file);
	if (place->line != 0)
		kmn_gather_number(row, "line", place->line);
	if (place->index != UINT64_MAX)
		kmn_gather_number(row, "index", place->index);
	(void)json_array_append_new(findings, row);
}

static kmn_err
verify(struct kmn_gather *g, const struct kmn_trust *trust, json_t *report)
{
	json_t *findings = json_array(), *checks = json_array();
	struct kmn_verify_settings settings = {
	    .store = g->store, .trust = trust, .more = kmn_audit_checkers, .sink = {say, findings}, .threads = 2};
	struct kmn_verify_report v;
	kmn_err e = kmn_verify(&settings, &v);

	if (e != KMN_OK) {
		json_decref(findings);
		json_decref(checks);
		return e;
	}
	for (enum kmn_check check = KMN_V1; check < KMN_CHECK_COUNT; check++)
		(void)json_array_append_new(
		    checks, json_pack("{s:i, s:s, s:i}", "check", (int)check, "result", kmn_audit_check_word(&v, check),
				"findings", (int)v.count[check]));
	(void)json_object_set_new(report, "verdict",
	    json_pack("{s:i, s:o, s:o, s:I, s:I, s:I}", "exit", v.exit_code, "checks", checks, "findings", findings,
		"statements_verified", (json_int_t)v.statements_verified, "signatures_verified",
		(json_int_t)v.signatures_verified, "signatures_skipped", (json_int_t)v.signatures_skipped));
	(void)json_object_set_new(report, "period",
	    json_pack("{s:I, s:I, s:I, s:o}", "records", (json_int_t)v.records, "segments", (json_int_t)v.segments,
		"signed_size", (json_int_t)v.signed_size, "head", kmn_head_json(&v.head)));
	if (v.anchored_size > 0) {
		kmn_gather_number(json_object_get(report, "period"), "anchored_size", v.anchored_size);
		kmn_gather_number(json_object_get(report, "period"), "anchored_ms", v.anchored_ms);
	}
	if (v.witnessed_size > 0)
		kmn_gather_number(json_object_get(report, "period"), "witnessed_size", v.witnessed_size);
	return KMN_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* The values of a map as a list, in the order in which they came. */
static json_t *
values_of(json_t *map)
{
	json_t *list = json_array(), *value;
	const char *name;

	json_object_foreach(map, name, value)(void) json_array_append(list, value);
	return list;
}

static json_t *
key_rows(struct kmn_gather *g)
{
	json_t *rows = values_of(g->keys), *row;
	size_t n;

	json_array_foreach(rows, n, row)
	{
		(void)json_object_set_new(row, "operations", values_of(json_object_get(row, "operations")));
		if (json_object_get(g->origins, kmn_json_text(row, "spki")) != NULL)
			(void)json_object_set(row, "origin", json_object_get(g->origins, kmn_json_text(row, "spki")));
	}
	return rows;
}

static json_t *
open_rows(struct kmn_gather *g)
{
	json_t *list = json_array(), *value;
	const char *name;

	json_object_foreach(g->open, name, value)(void) json_array_append(list, value);
	return list;
}

static void
finish(struct kmn_gather *g, json_t *report)
{
	json_t *period = json_object_get(report, "period");

	kmn_gather_number(period, "first", g->first_t);
	kmn_gather_number(period, "last", g->last_t);
	(void)json_object_set_new(report, "keys", key_rows(g));
	(void)json_object_set(report, "policies", g->policies);
	(void)json_object_set_new(report, "persons", kmn_gather_persons(g));
	(void)json_object_set_new(report, "clients", values_of(g->clients));
	(void)json_object_set(report, "refusals", g->refusals);
	kmn_gather_number(report, "refusals_more", g->refusals_more);
	kmn_gather_number(report, "refused", g->refused);
	(void)json_object_set_new(report, "open", open_rows(g));
	(void)json_object_set(report, "events", g->events);
	(void)json_object_set_new(report, "windows", values_of(g->windows));
	(void)json_object_set(report, "attestations", g->attestations);
	(void)json_object_set(report, "anomalies", g->anomalies);
	(void)json_object_set_new(report, "tokens", kmn_gather_tokens(g));
	(void)json_object_set_new(report, "witnesses", values_of(g->witnesses));
	(void)json_object_set_new(report, "anchors", values_of(g->anchors));
	(void)json_object_set_new(report, "hsms", values_of(g->hsms));
	(void)json_object_set(report, "certificates", g->certificates);
	kmn_gather_number(report, "certificates_more", g->certificates_more);
	(void)json_object_set_new(report, "requirements", requirement_rows(g));
}

kmn_err
kmn_report_gather(struct kmn_store *store, const char *ledger, const struct kmn_trust *trust, json_t **report_out,
    struct kmn_why *why)
{
	struct kmn_gather g = {.store = store};
	json_t **const maps[] = {&g.contents, &g.keys, &g.origins, &g.evidence, &g.clients, &g.votes, &g.open,
	    &g.witnesses, &g.anchors, &g.hsms, &g.asked_windows, &g.windows};
	json_t **const lists[] = {&g.certificates, &g.policies, &g.refusals, &g.events, &g.attestations, &g.anomalies};
	json_t *report = json_pack(
	    "{s:s, s:s, s:I}", "origin", trust->origin, "ledger", ledger, "made", (json_int_t)time(NULL) * 1000);
	kmn_err e;

	for (size_t n = 0; n < KMN_COUNT_OF(maps); n++)
		*maps[n] = json_object();
	for (size_t n = 0; n < KMN_COUNT_OF(lists); n++)
		*lists[n] = json_array();
	if ((e = verify(&g, trust, report)) == KMN_OK) {
		/* of a damaged ledger as much is shown as can be read: the verdict says where it ends */
		e = kmn_signed_certificate_read(store, take_signed, NULL, &g, why);
		if (e == KMN_OK || e == KMN_E_CORRUPT)
			e = kmn_gather_records(&g, why);
		if (e == KMN_OK || e == KMN_E_CORRUPT) {
			finish(&g, report);
			e = KMN_OK;
		}
	}
	for (size_t n = 0; n < KMN_COUNT_OF(maps); n++)
		json_decref(*maps[n]);
	for (size_t n = 0; n < KMN_COUNT_OF(lists); n++)
		json_decref(*lists[n]);
	free(g.policy);
	if (e != KMN_OK) {
		json_decref(report);
		report = NULL;
	}
	*report_out = report;
	return e;
}
