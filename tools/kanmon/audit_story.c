#include "config.h"

#include "tools/kanmon/audit_story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/action.h"
#include "kanmon/evidence.h"
#include "kanmon/log.h"
#include "tools/kanmon/audit_story_inner.h"

#define RECORDS_MAX 4096 /* of one story; more is a ledger that no gateway wrote */

static void
put(json_t *object, const char *name, const char *text)
{
	(void)json_object_set_new(object, name, json_string(text));
}

/* ---- what the quorum asks -------------------------------------------------------------------------------------- */

static kmn_err
get_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	struct kmn_story *story = cookie;

	return kmn_blob_read(story->store, sha256, bytes_out, len_out);
}

static bool
is_head(void *cookie, const struct kmn_head *head)
{
	struct kmn_story *story = cookie;
	struct kmn_head here;

	return kmn_tree_head(story->tree, head->size, &here) == KMN_OK &&
	       memcmp(here.root, head->root, KMN_HASH_BYTES) == 0;
}

/* ---- votes ------------------------------------------------------------------------------------------------------- */

/* The custodian's key that a signature line names, in the policy in force; whether the line verifies by it. */
static const struct kmn_policy_custodian *
signer_of(const struct kmn_policy *policy, const struct kmn_note *note, size_t n, struct kmn_evidence_said *said_out)
{
	const struct kmn_policy_custodian *c;
	struct kmn_note alone = *note;
	struct kmn_evidence_said *said = NULL;
	size_t count;

	memset(said_out, 0, sizeof(*said_out));
	alone.count = 1;
	alone.line[0] = note->line[n];
	for (size_t i = 0; policy != NULL && (c = kmn_policy_custodian_at(policy, i)) != NULL; i++) {
		if (!kmn_note_line_is_by(&note->line[n], c->key->name, c->key->id))
			continue;
		if (kmn_evidence_verify_note(policy, &alone, &said, &count, NULL) == KMN_OK)
			*said_out = said[i];
		free(said);
		return c;
	}
	return NULL;
}

static void
add_vote(struct kmn_story *story, const struct kmn_record *record, const struct kmn_note *note, size_t n)
{
	const struct kmn_note_line *line = &note->line[n];
	const struct kmn_policy_custodian *signer;
	struct kmn_statement_said said;
	struct kmn_evidence_said evidence;
	char key_id[9], name[KMN_NOTE_NAME_MAX_BYTES + 1];
	json_t *vote;

	signer = signer_of(kmn_quorum_policy(story->quorum), note, n, &evidence);
	(void)snprintf(key_id, sizeof(key_id), "%02x%02x%02x%02x", line->id[0], line->id[1], line->id[2], line->id[3]);
	(void)snprintf(name, sizeof(name), "%.*s", (int)line->name_len, line->name);
	vote = json_pack("{s:I, s:s, s:s, s:s, s:s, s:b, s:s}", "i", (json_int_t)record->i, "type", record->type,
	    "custodian", signer != NULL ? signer->name : name, "person",
	    signer != NULL ? signer->person : "not in the policy", "key_id", key_id, "verifies",
	    (int)evidence.signed_it, "check", kmn_json_text(record->body, "check"));
	if (kmn_statement_read(note->text, note->text_len, &said) == KMN_OK && said.reason[0] != '\0')
		put(vote, "reason", said.reason);
	(void)json_array_append_new(story->votes, vote);
	if (strcmp(kmn_json_text(record->body, "check"), "ok") == 0 && !evidence.signed_it)
		story->compared.different++; /* it counted, and does not verify: said in its row */
}

static void
take_vote(struct kmn_story *story, const struct kmn_record *record)
{
	const char *bytes = kmn_json_text(record->body, "note");
	struct kmn_note note;

	if (kmn_note_parse(bytes, strlen(bytes), &note, NULL) != KMN_OK)
		return;
	for (size_t n = 0; n < note.count; n++)
		add_vote(story, record, &note, n);
	if (strcmp(kmn_json_text(record->body, "check"), "ok") == 0)
		(void)json_array_append_new(story->notes, json_pack("{s:I, s:s, s:s%}", "i", (json_int_t)record->i,
							      "type", record->type, "text", note.text, note.text_len));
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void
own(struct kmn_record *to, const struct kmn_record *record)
{
	kmn_record_clear(to);
	*to = *record;
	(void)json_incref(to->owner);
}

static void
take_statement(struct kmn_story *story, const struct kmn_record *record)
{
	const struct kmn_request *request = kmn_quorum_request(story->quorum, story->i);
	struct kmn_head head;

	own(&story->statement, record);
	if (request == NULL || !kmn_head_get(record->body, "head", &head))
		return;
	free(story->again);
	if (kmn_quorum_statement_text(story->quorum, request, &head, &story->again) != KMN_OK)
		story->again = NULL;
}

/* An action says what was shown on a screen. */
static void
take_action(struct kmn_story *story, const struct kmn_record *record)
{
	const json_t *actor = json_object_get(record->body, "actor");
	const char *name = kmn_json_text(actor, "name");

	if (kmn_action_of(kmn_json_text(record->body, "what")) == KMN_ACTION_WITHDRAW)
		return; /* nothing was on a screen: the list of records has it */
	(void)json_array_append_new(
	    story->notes, json_pack("{s:I, s:s, s:s, s:s}", "i", (json_int_t)record->i, "type", "action", "actor",
			      name[0] != '\0' ? name : kmn_json_text(actor, "id"), "shown",
			      kmn_json_text(record->body, "shown_sha256")));
}

static void
add_record(struct kmn_story *story, const struct kmn_record *record, const struct kmn_row *row)
{
	bool vote = record->kind == KMN_R_APPROVAL || record->kind == KMN_R_REJECTION || record->kind == KMN_R_VETO;
	json_t *line = json_pack("{s:I, s:I, s:s, s:s, s:s, s:s}", "i", (json_int_t)record->i, "t",
	    (json_int_t)record->t, "time", row->time, "type", record->type, "who",
	    vote ? row->value[KMN_COL_CUSTODIANS]
	    : record->kind == KMN_R_DECISION || record->kind == KMN_R_STATEMENT || record->kind == KMN_R_RECOVERY
		? "gateway"
		: row->value[KMN_COL_CLIENT],
	    "outcome", row->value[KMN_COL_OUTCOME]);

	if (record->kind != KMN_R_STATEMENT && row->value[KMN_COL_DETAIL][0] != '\0')
		put(line, "detail", row->value[KMN_COL_DETAIL]);
	if (row->value[KMN_COL_REASON][0] != '\0')
		put(line, "reason", row->value[KMN_COL_REASON]);
	if (record->kind == KMN_R_DECISION)
		put(line, "rule", kmn_json_text(record->body, "rule"));
	if (record->kind == KMN_R_RESULT)
		(void)json_object_set(line, "hsm", json_object_get(record->body, "hsm"));
	(void)json_array_append_new(story->records, line);
	story->last = record->i;
}

static void
take_own(struct kmn_story *story, const struct kmn_record *record, const struct kmn_row *row)
{
	add_record(story, record, row);
	switch (record->kind) {
	case KMN_R_INTENT:
		own(&story->intent, record);
		story->policy = kmn_quorum_policy(story->quorum);
		break;
	case KMN_R_STATEMENT:
		take_statement(story, record);
		break;
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
		take_vote(story, record);
		break;
	case KMN_R_ACTION:
		take_action(story, record);
		break;
	case KMN_R_DECISION:
		own(&story->decision, record);
		break;
	case KMN_R_RESULT:
		own(&story->result, record);
		break;
	default:
		break;
	}
}

/* Does a recovery name this request, by its intent or its decision? */
static bool
is_recovered(const struct kmn_story *story, const struct kmn_record *record)
{
	const json_t *open = json_object_get(record->body, "open_requests");
	uint64_t i;

	for (size_t n = 0; n < json_array_size(open); n++)
		if (kmn_json_get_number(json_array_get(open, n), "i", &i) &&
		    (i == story->i || (story->decision.owner != NULL && i == story->decision.i)))
			return true;
	return false;
}

static void
take_anchor(struct kmn_story *story, const struct kmn_record *record)
{
	uint64_t size, gen_time;

	if (!kmn_json_get_number(record->body, "size", &size) ||
	    !kmn_json_get_number(record->body, "gen_time", &gen_time))
		return;
	if (record->i < story->i)
		story->not_before = gen_time;
	else if (story->not_after == 0 && story->last != 0 && size > story->last)
		story->not_after = gen_time;
}

static kmn_err
apply(struct kmn_story *story, const struct kmn_record *record, bool mine)
{
	struct kmn_finding finding;
	kmn_err e = kmn_quorum_apply(story->quorum, record, &finding);

	if (e == KMN_E_CORRUPT && mine)
		(void)json_array_append_new(story->findings, json_pack("{s:s, s:I, s:s}", "check", finding.check, "i",
								 (json_int_t)finding.i, "text", finding.text));
	else if (e == KMN_E_NOT_FOUND && mine)
		(void)json_array_append_new(
		    story->findings, json_pack("{s:s, s:I, s:s}", "check", "V7", "i", (json_int_t)record->i, "text",
					 "a blob that is needed to judge it is not in this copy of the ledger"));
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

/* The channel by which the request came: the last one of that number before it. */
static void
take_channel(struct kmn_story *story, const struct kmn_record *record)
{
	uint64_t chan;

	if (record->i < story->i && kmn_json_get_number(record->body, "chan", &chan) && chan == story->chan &&
	    kmn_json_get_b64(
		json_object_get(record->body, "peer"), "spki_sha256", story->peer_spki, sizeof(story->peer_spki)))
		story->channel = record->i;
}

/* What this request may run by, though it is about another: a window, what people said to it, that it was used. */
static kmn_err
look_for_window(struct kmn_story *story, const struct kmn_record *record, uint64_t request, bool *is_one)
{
	uint64_t *more;

	*is_one = record->kind == KMN_R_DECISION && json_object_get(record->body, "window") != NULL;
	if (record->kind == KMN_R_INTENT && json_object_get(record->body, "window") != NULL) {
		if ((more = realloc(story->window, (story->windows + 1) * sizeof(*more))) == NULL)
			return KMN_E_NO_MEMORY;
		story->window = more;
		story->window[story->windows++] = record->i;
	}
	for (size_t n = 0; n < story->windows && !*is_one; n++)
		*is_one = story->window[n] == request || story->window[n] == record->i;
	return KMN_OK;
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct kmn_story *story = cookie;
	struct kmn_row row;
	bool mine, others, window;
	kmn_err e;

	(void)place;
	if ((e = kmn_tree_add(story->tree, record->leaf)) != KMN_OK ||
	    (e = kmn_rows_take(story->rows, record, &row)) != KMN_OK ||
	    (e = look_for_window(story, record, row.request, &window)) != KMN_OK)
		return e;
	mine = row.request == story->i;
	others = (row.request != UINT64_MAX && !mine && !window) || record->kind == KMN_R_OP;
	if (record->kind == KMN_R_ANCHOR)
		take_anchor(story, record);
	if (record->kind == KMN_R_CHANNEL_OPEN)
		take_channel(story, record);
	if (!others && (e = apply(story, record, mine)) != KMN_OK)
		return e;
	if (mine || (record->kind == KMN_R_RECOVERY && is_recovered(story, record))) {
		if (json_array_size(story->records) == RECORDS_MAX)
			return KMN_E_TOO_BIG;
		take_own(story, record, &row);
	}
	return KMN_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The intent that record `i` is, or is about. */
static kmn_err
resolve(struct kmn_story *story, uint64_t i, struct kmn_why *why)
{
	struct kmn_record record = {0};
	struct kmn_ref ref = {.i = UINT64_MAX};
	char *line;
	size_t len;
	kmn_err e = kmn_store_line(story->store, i, &line, &len);

	if (e != KMN_OK) {
		kmn_why_set(why, "the ledger has no record %" PRIu64, i);
		return e;
	}
	e = kmn_record_parse(line, len, &record, why);
	free(line);
	if (e != KMN_OK)
		return KMN_E_CORRUPT;
	story->i = i;
	if (record.kind == KMN_R_INTENT) {
		if (!kmn_json_get_number(record.body, "chan", &story->chan))
			story->chan = 0; /* no channel has that number: nothing to compare with */
	} else if ((kmn_ref_get(record.body, "request", &ref) || kmn_ref_get(record.body, "result", &ref)) &&
		   ref.i < i) {
		e = resolve(story, ref.i, why);
	} else {
		kmn_why_set(why,
		    "record %" PRIu64 " (%s) is about no request; kanmon audit show --from %" PRIu64 " --to %" PRIu64
		    " shows it",
		    i, record.type, i, i);
		e = KMN_E_NOT_FOUND;
	}
	kmn_record_clear(&record);
	return e;
}

/* Of a window what was used of it; of a call that used one, which use of which. */
static void
put_window(json_t *whole, const struct kmn_story *story, const struct kmn_request *request)
{
	uint64_t use = 0;

	if (request->window)
		(void)json_object_set_new(whole, "window",
		    json_pack("{s:I, s:i, s:i, s:I}", "seconds", (json_int_t)request->verdict.window_s, "uses",
			(int)request->uses, "used", (int)request->used, "until", (json_int_t)request->until));
	else if (kmn_json_get_number(story->decision.body, "use", &use))
		(void)json_object_set_new(whole, "window",
		    json_pack("{s:I, s:I, s:i}", "request", (json_int_t)request->window_i, "use", (json_int_t)use,
			"uses", (int)request->verdict.window_uses));
}

static json_t *
finish(struct kmn_story *story)
{
	const struct kmn_request *request = kmn_quorum_request(story->quorum, story->i);
	const json_t *body = story->intent.body;
	json_t *whole = json_pack("{s:I, s:s, s:b, s:s, s:s, s:s, s:O?, s:O, s:O, s:O, s:O, s:I}", "request",
	    (json_int_t)story->i, "state", request != NULL ? kmn_request_state_name(request->state) : "unknown", "held",
	    request != NULL && request->held, "function", kmn_json_text(body, "op"), "mechanism",
	    kmn_json_text(json_object_get(body, "mech"), "name"), "client",
	    kmn_json_text(json_object_get(body, "requester"), "name"), "key", json_object_get(body, "key"), "records",
	    story->records, "votes", story->votes, "compared", story->compared.groups, "findings", story->findings,
	    "different", (json_int_t)(story->compared.different + json_array_size(story->findings)));

	if (kmn_json_text(body, "purpose")[0] != '\0')
		put(whole, "purpose", kmn_json_text(body, "purpose"));
	if (request != NULL)
		put(whole, "rule", request->verdict.rule);
	if (request != NULL && (request->window || request->window_i != 0))
		put_window(whole, story, request);
	if (story->policy != NULL)
		(void)json_object_set_new(
		    whole, "policy_version", json_integer((json_int_t)kmn_policy_version(story->policy)));
	if (story->statement.owner != NULL)
		put(whole, "statement", kmn_json_text(story->statement.body, "text"));
	if (story->not_before != 0)
		(void)json_object_set_new(whole, "not_before", json_integer((json_int_t)story->not_before));
	if (story->not_after != 0)
		(void)json_object_set_new(whole, "not_after", json_integer((json_int_t)story->not_after));
	return whole;
}

static void
clear(struct kmn_story *story)
{
	struct kmn_record *const records[] = {&story->intent, &story->statement, &story->decision, &story->result};

	for (size_t n = 0; n < KMN_COUNT_OF(records); n++)
		kmn_record_clear(records[n]);
	json_decref(story->records);
	json_decref(story->votes);
	json_decref(story->findings);
	json_decref(story->notes);
	json_decref(story->compared.groups);
	free(story->again);
	free(story->window);
	kmn_rows_free(story->rows);
	kmn_quorum_free(story->quorum);
	kmn_tree_free(story->tree);
}

kmn_err
kmn_story_read(struct kmn_store *store, uint64_t i, json_t **story_out, struct kmn_why *why)
{
	struct kmn_story story = {.store = store,
	    .records = json_array(),
	    .votes = json_array(),
	    .findings = json_array(),
	    .notes = json_array(),
	    .compared = {.groups = json_array()}};
	struct kmn_quorum_settings settings = {.blob = get_blob, .head = is_head, .cookie = &story};
	kmn_err e = resolve(&story, i, why);

	*story_out = NULL;
	if (e == KMN_OK && (story.tree = kmn_tree_new()) == NULL)
		e = KMN_E_NO_MEMORY;
	if (e == KMN_OK && (e = kmn_rows_new(&story.rows)) == KMN_OK &&
	    (e = kmn_quorum_new(&settings, &story.quorum)) == KMN_OK) {
		kmn_quorum_resume(story.quorum, UINT64_MAX); /* only what is about this request is judged */
		e = kmn_ledger_read(store, each_record, &story, why);
	}
	if (e == KMN_OK && story.intent.owner == NULL)
		e = KMN_E_CORRUPT;
	if (e == KMN_OK) {
		kmn_story_compare(&story);
		*story_out = finish(&story);
		e = *story_out == NULL ? KMN_E_NO_MEMORY : KMN_OK;
	}
	clear(&story);
	return e;
}
