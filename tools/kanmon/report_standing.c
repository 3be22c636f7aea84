/* What a report says of windows, attestations, anomalies with what became of them, and the level of tokens. */
#include "config.h"

#include "tools/kanmon/report_gather.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/policy.h"
#include "kanmon/signed.h"

static const char *const stances[] = {
    [KMN_STANCE_NONE] = "stance_none",
    [KMN_STANCE_SEAL] = "seal",
    [KMN_STANCE_DEGRADE] = "degrade",
};

static json_t *
new_row(json_t *list, const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *line = json_pack("{s:I, s:I, s:s, s:s}", "i", (json_int_t)record->i, "t", (json_int_t)record->t, "type",
	    record->type, "signers", row->value[KMN_COL_CUSTODIANS]);

	if (line == NULL || json_array_append_new(list, line) != 0)
		KMN_BUG("out of memory");
	return line;
}

/* ---- windows ----------------------------------------------------------------------------------------------------- */

static json_t *
window_of(const struct kmn_gather *g, uint64_t request)
{
	char name[24];

	(void)snprintf(name, sizeof(name), "%" PRIu64, request);
	return json_object_get(g->windows, name);
}

static void
open_window(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	char name[24];
	json_t *window, *asked = json_object_get(g->asked_windows, row->value[KMN_COL_REQUEST]);
	uint64_t seconds, uses;

	if (!kmn_json_get_number(asked, "seconds", &seconds) || !kmn_json_get_number(asked, "uses", &uses))
		return; /* the verdict says that it may not be */
	(void)snprintf(name, sizeof(name), "%" PRIu64, row->request);
	window = kmn_gather_of(g->windows, name);
	kmn_gather_number(window, "i", row->request);
	kmn_gather_number(window, "opened", record->t);
	kmn_gather_number(window, "until", record->t + 1000 * seconds);
	kmn_gather_number(window, "uses_most", uses);
	kmn_gather_number(window, "uses", 0);
	kmn_gather_text(window, "client", row->value[KMN_COL_CLIENT]);
	kmn_gather_text(window, "rule", row->value[KMN_COL_RULE]);
	kmn_gather_text(window, "key", row->value[KMN_COL_KEY]);
	kmn_gather_text(window, "approvers", row->value[KMN_COL_CUSTODIANS]);
	kmn_gather_text(window, "ended", "window_open");
}

void
kmn_gather_intent_window(struct kmn_gather *g, const struct kmn_record *record)
{
	const json_t *asked = json_object_get(record->body, "window");
	char name[24];

	(void)snprintf(name, sizeof(name), "%" PRIu64, record->i);
	if (asked != NULL)
		(void)json_object_set(g->asked_windows, name, (json_t *)(uintptr_t)asked);
}

bool
kmn_gather_use_of_window(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const char *verdict = kmn_json_text(record->body, "verdict");
	struct kmn_ref of;
	json_t *window;

	if (strcmp(verdict, "open") == 0) {
		open_window(g, record, row);
		return true;
	}
	if (strcmp(verdict, "allow") == 0) {
		if (kmn_ref_get(record->body, "window", &of) && (window = window_of(g, of.i)) != NULL)
			kmn_gather_count(window, "uses", 1);
		return false;
	}
	if ((window = window_of(g, row->request)) == NULL)
		return false;
	kmn_gather_text(window, "ended", verdict);
	kmn_gather_number(window, "ended_at", record->t);
	return true;
}

/* ---- what people signed, and anomalies --------------------------------------------------------------------------- */

/* Copies a line of what was signed into the row, under the line's own name. */
static void
put_line(json_t *to, const struct kmn_signed *said, const char *key, const char *name)
{
	const struct kmn_signed_line *line = kmn_signed_line(said, key, 0);
	char value[1100];

	(void)snprintf(
	    value, sizeof(value), "%.*s", line == NULL ? 0 : (int)line->len, line == NULL ? "" : line->value);
	kmn_gather_text(to, name, value);
}

static bool
read_note(const struct kmn_record *record, struct kmn_signed *said)
{
	const char *bytes = kmn_json_text(record->body, "note");
	struct kmn_note note;

	return kmn_note_parse(bytes, strlen(bytes), &note, NULL) == KMN_OK &&
	       kmn_signed_read(note.text, note.text_len, said, NULL) == KMN_OK;
}

static void
take_attestation(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	struct kmn_signed said;
	json_t *line;

	if (!read_note(record, &said))
		return;
	line = new_row(g->attestations, record, row);
	put_line(line, &said, "kind", "document_kind");
	put_line(line, &said, "title", "document_title");
	put_line(line, &said, "document-len", "document_len");
	put_line(line, &said, "document-sha256", "document_sha256");
}

/* The stance of the policy in force for the token that it is about; of one of all tokens none is named. */
static const char *
stance_for(const struct kmn_gather *g, const char *token)
{
	struct kmn_policy_error error;
	struct kmn_policy *policy;
	enum kmn_stance stance;

	if (token[0] == '\0' || g->policy == NULL ||
	    kmn_policy_parse(g->policy, strlen(g->policy), &policy, &error) != KMN_OK)
		return "";
	stance = kmn_policy_stance(policy, token);
	kmn_policy_free(policy);
	return stances[stance];
}

static void
take_anomaly(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	json_t *line = new_row(g->anomalies, record, row);
	const char *token = kmn_json_text(record->body, "token");

	kmn_gather_text(line, "anomaly_token", token[0] != '\0' ? token : "all_tokens");
	kmn_gather_text(line, "stance", stance_for(g, token));
	kmn_gather_text(line, "detail", row->value[KMN_COL_DETAIL]);
}

static void
take_reopen(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	const struct kmn_signed_line *of;
	struct kmn_signed said;
	json_t *line, *at;
	size_t n;

	if (!read_note(record, &said) || (of = kmn_signed_line(&said, "anomaly", 0)) == NULL)
		return;
	json_array_foreach(g->anomalies, n, at) if ((uint64_t)json_integer_value(json_object_get(at, "i")) ==
						    of->number) kmn_gather_number(at, "reopened", record->i);
	line = new_row(g->anomalies, record, row);
	put_line(line, &said, "token", "anomaly_token");
	put_line(line, &said, "reason", "detail");
	kmn_gather_text(line, "stance", "");
}

void
kmn_gather_standing(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row)
{
	uint64_t before = 0, after = 0, unmatched = 0;

	switch (record->kind) {
	case KMN_R_ATTESTATION:
		take_attestation(g, record, row);
		break;
	case KMN_R_ANOMALY:
		take_anomaly(g, record, row);
		break;
	case KMN_R_CLOCK: /* as docs/ledger.md 4 has it: these two are anomalies of all tokens */
		if (kmn_json_get_number(record->body, "before", &before) &&
		    kmn_json_get_number(record->body, "after", &after) && after < before)
			take_anomaly(g, record, row);
		break;
	case KMN_R_HSM_LOG:
		if (kmn_json_get_number(record->body, "unmatched", &unmatched) && unmatched > 0)
			take_anomaly(g, record, row);
		break;
	case KMN_R_REOPEN:
		take_reopen(g, record, row);
		break;
	default:
		break;
	}
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* No record has what validation objects say: a level in a report is the word of those who signed the policy. */
json_t *
kmn_gather_tokens(const struct kmn_gather *g)
{
	const struct kmn_policy_token *token;
	struct kmn_policy_error error;
	struct kmn_policy *policy;
	json_t *rows = json_array();

	if (g->policy == NULL || kmn_policy_parse(g->policy, strlen(g->policy), &policy, &error) != KMN_OK)
		return rows;
	for (size_t n = 0; (token = kmn_policy_token_at(policy, n)) != NULL; n++) {
		json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "token_name", token->name, "label",
		    token->label, "model", token->model != NULL ? token->model : "", "serial",
		    token->serial != NULL ? token->serial : "", "level_by",
		    token->level > 0 ? "level_word" : "level_none", "stance",
		    stances[kmn_policy_stance(policy, token->name)]);

		if (token->level > 0)
			kmn_gather_number(row, "level", token->level);
		(void)json_array_append_new(rows, row);
	}
	kmn_policy_free(policy);
	return rows;
}
