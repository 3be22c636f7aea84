/* What each record of a ledger adds to a report. */
#include "config.h"

#include "tools/kanmon/report_gather.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/note.h"
#include "kanmon/statement.h"

#define REFUSALS_MAX 300

/* ---- what every row may add -------------------------------------------------------------------------------------- */

static json_t *
new_line(const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *line = json_pack("{s:I, s:I, s:s, s:s}", "i", (json_int_t)record->i, "t", (json_int_t)record->t, "type",
	    record->type, "detail", row->value[KMN_COL_DETAIL]);

	if (line == NULL)
		KMN_BUG("out of memory");
	return line;
}

static void
add_event(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	(void)json_array_append_new(g->events, new_line(record, row));
}

static void
add_refusal(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *line;

	g->refused += record->kind != KMN_R_APPROVAL && record->kind != KMN_R_REJECTION && record->kind != KMN_R_VETO;
	if (json_array_size(g->refusals) == REFUSALS_MAX) {
		g->refusals_more++;
		return;
	}
	line = new_line(record, row);
	kmn_gather_text(line, "client", row->value[KMN_COL_CLIENT]);
	kmn_gather_text(line, "function", row->value[KMN_COL_FUNCTION]);
	kmn_gather_text(line, "key", row->value[KMN_COL_KEY]);
	kmn_gather_text(line, "rule", row->value[KMN_COL_RULE]);
	kmn_gather_text(line, "outcome", row->value[KMN_COL_OUTCOME]);
	kmn_gather_text(line, "reason", row->value[KMN_COL_REASON]);
	kmn_gather_text(line, "custodians", row->value[KMN_COL_CUSTODIANS]);
	(void)json_array_append_new(g->refusals, line);
}

static json_t *
client_of(struct kmn_gather *g, const struct kmn_row *row)
{
	const char *name = row->value[KMN_COL_CLIENT][0] != '\0' ? row->value[KMN_COL_CLIENT] : "unknown";
	json_t *client = kmn_gather_of(g->clients, name);

	kmn_gather_text(client, "name", name);
	return client;
}

/* ---- kinds of records -------------------------------------------------------------------------------------------- */

static void
take_policy(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const char *bytes = kmn_json_text(record->body, record->kind == KMN_R_GENESIS ? "policy" : "note");
	uint8_t hash[KMN_HASH_BYTES];
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_note note;
	json_t *line;

	if (kmn_note_parse(bytes, strlen(bytes), &note, NULL) != KMN_OK)
		return;
	kmn_sha256(note.text, note.text_len, hash);
	kmn_b64(hash, sizeof(hash), b64);
	line = new_line(record, row);
	kmn_gather_number(
	    line, "version", record->kind == KMN_R_GENESIS ? 1 : kmn_json_number(record->body, "version"));
	kmn_gather_text(line, "sha256", b64);
	kmn_gather_text(line, "signers", row->value[KMN_COL_CUSTODIANS]);
	(void)json_array_append_new(g->policies, line);
	kmn_gather_evidence(g, "policies", record->i);
	free(g->policy);
	g->policy = strndup(note.text, note.text_len);
}

static void
take_start(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *line = new_line(record, row);
	char detail[256];

	(void)snprintf(detail, sizeof(detail), "%s, config SHA-256 %s",
	    kmn_json_text(json_object_get(record->body, "build"), "version"),
	    kmn_json_text(record->body, "config_sha256"));
	kmn_gather_text(line, "detail", detail);
	(void)json_array_append_new(g->events, line);
	kmn_gather_evidence(g, "gateway_starts", record->i);
}

static void
take_channel(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const json_t *tls = json_object_get(record->body, "tls");
	json_t *client = client_of(g, row);
	char suite[96];

	kmn_gather_evidence(g, "channels", record->i);
	kmn_gather_count(client, "channels", 1);
	kmn_gather_text(client, "role", kmn_json_text(json_object_get(record->body, "peer"), "role"));
	kmn_gather_text(client, "spki", kmn_json_text(json_object_get(record->body, "peer"), "spki_sha256"));
	(void)snprintf(suite, sizeof(suite), "%s %s", kmn_json_text(tls, "ver"), kmn_json_text(tls, "suite"));
	kmn_gather_count(kmn_gather_of(client, "tls"), suite, 1);
	if (strcmp(kmn_json_text(record->body, "client_head"), "none") != 0)
		kmn_gather_evidence(g, "client_heads", record->i);
}

static void
take_session(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	if (strcmp(kmn_json_text(record->body, "event"), "login") != 0)
		return;
	if (kmn_json_number(record->body, "rv") == 0) {
		kmn_gather_evidence(g, "logins", record->i);
		return;
	}
	kmn_gather_evidence(g, "logins_failed", record->i);
	add_refusal(g, record, row);
}

static void
take_intent(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *line = new_line(record, row);
	char name[24];

	kmn_gather_evidence(g, "intents", record->i);
	kmn_gather_intent_window(g, record);
	if (kmn_json_text(record->body, "purpose")[0] != '\0')
		kmn_gather_evidence(g, "purposes", record->i);
	(void)snprintf(name, sizeof(name), "%" PRIu64, record->i);
	kmn_gather_text(line, "client", row->value[KMN_COL_CLIENT]);
	kmn_gather_text(line, "function", row->value[KMN_COL_FUNCTION]);
	kmn_gather_text(line, "key", row->value[KMN_COL_KEY]);
	(void)json_object_set_new(g->open, name, line);
}

/* Why somebody said no, in their words. */
static void
add_reason(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const char *bytes = kmn_json_text(record->body, "note");
	struct kmn_statement_said said;
	struct kmn_row with = *row;
	struct kmn_note note;

	if (kmn_note_parse(bytes, strlen(bytes), &note, NULL) != KMN_OK ||
	    kmn_statement_read(note.text, note.text_len, &said) != KMN_OK)
		said.reason[0] = '\0';
	with.value[KMN_COL_DETAIL] = said.reason;
	add_refusal(g, record, &with);
}

static void
take_vote(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	static const struct {
		enum kmn_record_kind kind;
		const char *name;
	} kinds[] = {{KMN_R_APPROVAL, "approvals"}, {KMN_R_REJECTION, "rejections"}, {KMN_R_VETO, "vetoes"}};
	char names[KMN_ROW_NAMES_BYTES], *rest = names, *name;

	if (strcmp(kmn_json_text(record->body, "check"), "ok") != 0) {
		kmn_gather_evidence(g, "votes_refused", record->i);
		add_refusal(g, record, row);
		return;
	}
	(void)snprintf(names, sizeof(names), "%s", row->value[KMN_COL_CUSTODIANS]);
	for (size_t n = 0; n < KMN_COUNT_OF(kinds); n++) {
		if (kinds[n].kind != record->kind)
			continue;
		kmn_gather_evidence(g, kinds[n].name, record->i);
		if (record->kind != KMN_R_APPROVAL)
			add_reason(g, record, row);
		while ((name = strsep(&rest, " ")) != NULL) {
			json_t *person = kmn_gather_of(g->votes, name);

			kmn_gather_count(person, kinds[n].name, 1);
			kmn_gather_number(person, "last", record->t);
		}
	}
}

static void
close_request(struct kmn_gather *g, const struct kmn_row *row)
{
	char name[24];

	(void)snprintf(name, sizeof(name), "%" PRIu64, row->request);
	(void)json_object_del(g->open, name);
}

static void
take_decision(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const char *verdict = kmn_json_text(record->body, "verdict");
	bool of_window = kmn_gather_use_of_window(g, record, row);
	char name[40];

	if (strcmp(verdict, "open") == 0)
		return;
	if (of_window) {
		close_request(g, row);
		return;
	}
	if (strcmp(verdict, "allow") == 0) {
		if (json_array_size(json_object_get(record->body, "approvals")) > 0)
			kmn_gather_evidence(g, "approved_operations", record->i);
		return;
	}
	(void)snprintf(name, sizeof(name), "decided_%s", verdict);
	kmn_gather_evidence(g, name, record->i);
	add_refusal(g, record, row);
	kmn_gather_count(client_of(g, row), "refused", 1);
	close_request(g, row);
}

static void
take_hsm(struct kmn_gather *g, const struct kmn_record *record)
{
	const json_t *hsm = json_object_get(record->body, "hsm");
	char name[256];
	json_t *entry;

	if (kmn_json_text(hsm, "serial")[0] == '\0')
		return;
	kmn_gather_evidence(g, "hsm_named", record->i);
	(void)snprintf(name, sizeof(name), "%s\n%s\n%s", kmn_json_text(hsm, "model"), kmn_json_text(hsm, "serial"),
	    kmn_json_text(hsm, "fw"));
	entry = kmn_gather_of(g->hsms, name);
	kmn_gather_text(entry, "model", kmn_json_text(hsm, "model"));
	kmn_gather_text(entry, "serial", kmn_json_text(hsm, "serial"));
	kmn_gather_text(entry, "fw", kmn_json_text(hsm, "fw"));
	kmn_gather_count(entry, "count", 1);
}

/* A key that a call made: where it comes from, as read back from the HSM. */
static void
take_made(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const json_t *key = json_object_get(record->body, "key"), *origin = json_object_get(key, "origin");
	const char *function = row->value[KMN_COL_FUNCTION];

	if (kmn_json_number(record->body, "rv") != 0)
		return;
	if (strncmp(function, "C_Generate", 10) == 0)
		kmn_gather_evidence(g, "keys_made", record->i);
	if (strcmp(function, "C_CreateObject") == 0 || strncmp(function, "C_UnwrapKey", 11) == 0)
		kmn_gather_evidence(g, "keys_imported", record->i);
	if (origin == NULL)
		return;
	if (json_is_true(json_object_get(origin, "CKA_LOCAL")))
		kmn_gather_evidence(g, "keys_local", record->i);
	if (json_is_true(json_object_get(origin, "CKA_NEVER_EXTRACTABLE")))
		kmn_gather_evidence(g, "keys_never_extractable", record->i);
	if (kmn_json_text(key, "spki_sha256")[0] != '\0')
		(void)json_object_set(g->origins, kmn_json_text(key, "spki_sha256"), (json_t *)(uintptr_t)origin);
}

static void
take_use(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *client = client_of(g, row);

	kmn_gather_evidence(g, record->kind == KMN_R_RESULT ? "results" : "single_records", record->i);
	if (strcmp(kmn_json_text(record->body, "selfcheck"), "sig-verified") == 0)
		kmn_gather_evidence(g, "results_verified", record->i);
	take_hsm(g, record);
	if (record->kind == KMN_R_RESULT) {
		close_request(g, row);
		take_made(g, record, row);
	}
	if (record->kind == KMN_R_OP && kmn_json_number(record->body, "rv") != 0) {
		kmn_gather_evidence(g, "refused_calls", record->i);
		kmn_gather_count(client, "refused", 1);
		add_refusal(g, record, row);
		return;
	}
	kmn_gather_count(kmn_gather_of(client, "calls"), row->value[KMN_COL_FUNCTION], 1);
	if (json_object_get(record->body, "key") != NULL || record->kind == KMN_R_RESULT)
		kmn_gather_operation(g, record, row);
}

static void
take_cosign(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const json_t *lines = json_object_get(record->body, "lines"), *line;
	size_t n;

	(void)row;
	kmn_gather_evidence(g, "cosignatures", record->i);
	json_array_foreach(lines, n, line)
	{
		const char *text = json_string_value(line);
		char name[KMN_NOTE_NAME_MAX_BYTES + 1];
		json_t *witness;

		/* "— name b64" */
		if (text == NULL || strncmp(text, "\xe2\x80\x94 ", 4) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(text + 4, " "), text + 4);
		witness = kmn_gather_of(g->witnesses, name);
		kmn_gather_text(witness, "name", name);
		kmn_gather_count(witness, "count", 1);
		kmn_gather_number(witness, "size", kmn_json_number(record->body, "size"));
		kmn_gather_number(witness, "record", record->i);
	}
}

static void
take_anchor(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *anchor = kmn_gather_of(g->anchors, kmn_json_text(record->body, "tsa"));

	(void)row;
	kmn_gather_evidence(g, "anchors", record->i);
	kmn_gather_text(anchor, "tsa", kmn_json_text(record->body, "tsa"));
	kmn_gather_count(anchor, "count", 1);
	kmn_gather_number(anchor, "gen_time", kmn_json_number(record->body, "gen_time"));
	kmn_gather_number(anchor, "size", kmn_json_number(record->body, "size"));
	kmn_gather_number(anchor, "record", record->i);
}

/* Kinds that are events, with the name under which they are evidence. */
static const struct {
	enum kmn_record_kind kind;
	const char *evidence;
} events[] = {
    {KMN_R_GATEWAY_STOP, NULL},
    {KMN_R_RECOVERY, "recoveries"},
    {KMN_R_CLOCK, "clocks"},
    {KMN_R_LOG_KEY, "log_keys"},
    {KMN_R_HSM_LOG, "hsm_logs"},
    {KMN_R_POLICY_PROPOSAL, NULL},
    {KMN_R_POLICY_VETO, NULL},
    {KMN_R_ATTESTATION, NULL},
    {KMN_R_ANOMALY, NULL},
    {KMN_R_REOPEN, NULL},
    {KMN_R_RENEWAL, NULL},
    {KMN_R_REHASH, NULL},
    {KMN_R_CLOSED, NULL},
};

static void
take_event(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	for (size_t n = 0; n < KMN_COUNT_OF(events); n++) {
		if (events[n].kind != record->kind)
			continue;
		add_event(g, record, row);
		if (events[n].evidence != NULL)
			kmn_gather_evidence(g, events[n].evidence, record->i);
	}
}

static void
take_reject(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	kmn_gather_evidence(g, "channels_rejected", record->i);
	add_refusal(g, record, row);
}

/* What a record of each type adds: a function, or that it stands among the evidence of this name. */
static const struct {
	enum kmn_record_kind kind;
	void (*take)(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row);
	const char *evidence;
} takers[] = {
    {KMN_R_GENESIS, take_policy, NULL},
    {KMN_R_POLICY, take_policy, NULL},
    {KMN_R_GATEWAY_START, take_start, NULL},
    {KMN_R_CHANNEL_OPEN, take_channel, NULL},
    {KMN_R_CHANNEL_REJECT, take_reject, NULL},
    {KMN_R_SESSION, take_session, NULL},
    {KMN_R_INTENT, take_intent, NULL},
    {KMN_R_STATEMENT, NULL, "statements"},
    {KMN_R_ACTION, NULL, "actions"},
    {KMN_R_APPROVAL, take_vote, NULL},
    {KMN_R_REJECTION, take_vote, NULL},
    {KMN_R_VETO, take_vote, NULL},
    {KMN_R_DECISION, take_decision, NULL},
    {KMN_R_RESULT, take_use, NULL},
    {KMN_R_OP, take_use, NULL},
    {KMN_R_REDELIVER, NULL, "redelivered"},
    {KMN_R_CUSTODIAN_CREDENTIAL, NULL, "credentials"},
    {KMN_R_COSIGN, take_cosign, NULL},
    {KMN_R_ANCHOR, take_anchor, NULL},
};

static void
take(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	size_t n = 0;

	while (n < KMN_COUNT_OF(takers) && takers[n].kind != record->kind)
		n++;
	if (n == KMN_COUNT_OF(takers))
		take_event(g, record, row);
	else if (takers[n].take != NULL)
		takers[n].take(g, record, row);
	else
		kmn_gather_evidence(g, takers[n].evidence, record->i);
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct kmn_gather *g = cookie;
	struct kmn_row row;
	kmn_err e = kmn_rows_take(g->rows, record, &row);

	(void)place;
	if (e != KMN_OK)
		return e;
	if (record->i == 0)
		g->first_t = record->t;
	g->last_t = record->t;
	kmn_gather_evidence(g, "records", record->i);
	kmn_gather_standing(g, record, &row);
	take(g, record, &row);
	return KMN_OK;
}

kmn_err
kmn_gather_records(struct kmn_gather *g, struct kmn_why *why)
{
	kmn_err e = kmn_rows_new(&g->rows);

	if (e == KMN_OK)
		e = kmn_ledger_read(g->store, each_record, g, why);
	kmn_rows_free(g->rows);
	g->rows = NULL;
	return e;
}
