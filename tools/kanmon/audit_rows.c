#include "config.h"

#include "tools/kanmon/audit_rows.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/signed.h"
#include "tools/kanmon/audit_refusal.h"
#include "tools/kanmon/textpool.h"

/* What the rows remember of a request, or of a channel (then only the client). */
struct asked {
	uint64_t i; /* index of the intent, or number of the channel */
	const char *client, *key, *key_id, *key_spki, *token, *function, *mechanism, *custodians, *rule;
};

struct asked_list { /* by i, growing */
	struct asked *row;
	size_t count, room;
};

struct answered { /* a result and its request, for `redeliver` */
	uint64_t result, request;
};

struct kmn_rows {
	struct kmn_textpool pool;
	struct asked_list requests, channels;
	struct answered *answered;
	size_t answered_count, answered_room;
};

#define COLUMN_NAME(id, name, says) [KMN_COL_##id] = (name),
static const char *const names[] = {KMN_COLUMN_ROWS(COLUMN_NAME)};
#undef COLUMN_NAME

const char *
kmn_column_name(enum kmn_column column)
{
	return names[column];
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

void
kmn_ms_text(uint64_t ms, char out[KMN_MS_TEXT_BYTES])
{
	time_t seconds = (time_t)(ms / 1000);
	char when[24] = "?";
	struct tm utc;

	if (gmtime_r(&seconds, &utc) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(out, KMN_MS_TEXT_BYTES, "%s.%03uZ", when, (unsigned)(ms % 1000));
}

void
kmn_note_signers(const char *bytes, char *out, size_t size)
{
	struct kmn_note note;
	size_t used = 0;

	out[0] = '\0';
	if (kmn_note_parse(bytes, strlen(bytes), &note, NULL) != KMN_OK)
		return;
	for (size_t n = 0; n < note.count && used < size; n++)
		used += (size_t)snprintf(out + used, size - used, "%s%.*s", n == 0 ? "" : " ",
		    (int)note.line[n].name_len, note.line[n].name);
}

/* ---- what is remembered ------------------------------------------------------------------------------------------ */

static int
by_index(const void *key, const void *row)
{
	uint64_t i = *(const uint64_t *)key, at = ((const struct asked *)row)->i;

	return (i > at) - (i < at);
}

static struct asked *
find(const struct asked_list *list, uint64_t i)
{
	return list->count == 0 ? NULL : bsearch(&i, list->row, list->count, sizeof(*list->row), by_index);
}

/* A new entry; *out stays NULL in a ledger that does not count up: then nothing is looked up. */
static kmn_err
add(struct asked_list *list, uint64_t i, struct asked **out)
{
	struct asked *more;

	*out = NULL;
	if (list->count > 0 && i <= list->row[list->count - 1].i)
		return KMN_OK;
	if (list->count == list->room) {
		list->room = list->room * 2 + 64;
		if ((more = realloc(list->row, list->room * sizeof(*more))) == NULL)
			return KMN_E_NO_MEMORY;
		list->row = more;
	}
	*out = &list->row[list->count++];
	**out = (struct asked){i, "", "", "", "", "", "", "", "", ""};
	return KMN_OK;
}

/* The label of the key that a call uses, or would give to the key that it makes. */
static const char *
label_of(const json_t *body)
{
	static const char *const templates[] = {"pPrivateKeyTemplate", "pTemplate", "pPublicKeyTemplate"};
	const char *label = kmn_json_text(json_object_get(body, "key"), "label");

	for (size_t n = 0; label[0] == '\0' && n < KMN_COUNT_OF(templates); n++)
		label = kmn_json_text(json_object_get(json_object_get(body, "template"), templates[n]), "CKA_LABEL");
	return label;
}

static kmn_err
keep_intent(struct kmn_rows *rows, const struct kmn_record *record)
{
	const json_t *key = json_object_get(record->body, "key");
	struct asked *asked;
	kmn_err e = add(&rows->requests, record->i, &asked);
	const struct {
		const char **to, *text;
	} texts[] = {
	    {&asked->client, kmn_json_text(json_object_get(record->body, "requester"), "name")},
	    {&asked->key, label_of(record->body)},
	    {&asked->key_id, kmn_json_text(key, "id")},
	    {&asked->key_spki, kmn_json_text(key, "spki_sha256")},
	    {&asked->token, kmn_json_text(key, "token")},
	    {&asked->function, kmn_json_text(record->body, "op")},
	    {&asked->mechanism, kmn_json_text(json_object_get(record->body, "mech"), "name")},
	};

	if (e != KMN_OK || asked == NULL)
		return e;
	for (size_t n = 0; n < KMN_COUNT_OF(texts); n++)
		if ((*texts[n].to = kmn_textpool_keep(&rows->pool, texts[n].text)) == NULL)
			return KMN_E_NO_MEMORY;
	return KMN_OK;
}

static kmn_err
keep_channel(struct kmn_rows *rows, const struct kmn_record *record)
{
	struct asked *asked;
	kmn_err e = add(&rows->channels, kmn_json_number(record->body, "chan"), &asked);

	if (e != KMN_OK || asked == NULL)
		return e;
	asked->client = kmn_textpool_keep(&rows->pool, kmn_json_text(json_object_get(record->body, "peer"), "name"));
	return asked->client == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

/* A vote that counts: its signers stand behind what comes of the request. */
static kmn_err
keep_vote(struct kmn_rows *rows, const struct kmn_record *record, struct asked *asked, const char *signers)
{
	char all[KMN_ROW_NAMES_BYTES];

	if (asked == NULL || strcmp(kmn_json_text(record->body, "check"), "ok") != 0)
		return KMN_OK;
	(void)snprintf(
	    all, sizeof(all), "%s%s%.*s", asked->custodians, asked->custodians[0] == '\0' ? "" : " ", 250, signers);
	asked->custodians = kmn_textpool_keep(&rows->pool, all);
	return asked->custodians == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

static kmn_err
keep_answer(struct kmn_rows *rows, uint64_t result, uint64_t request)
{
	struct answered *more;

	if (rows->answered_count == rows->answered_room) {
		rows->answered_room = rows->answered_room * 2 + 64;
		if ((more = realloc(rows->answered, rows->answered_room * sizeof(*more))) == NULL)
			return KMN_E_NO_MEMORY;
		rows->answered = more;
	}
	rows->answered[rows->answered_count++] = (struct answered){result, request};
	return KMN_OK;
}

static uint64_t
request_of_result(const struct kmn_rows *rows, uint64_t result)
{
	size_t low = 0, high = rows->answered_count;

	while (low < high) {
		size_t at = low + (high - low) / 2;

		if (rows->answered[at].result == result)
			return rows->answered[at].request;
		if (rows->answered[at].result < result)
			low = at + 1;
		else
			high = at;
	}
	return UINT64_MAX;
}

/* ---- one row ----------------------------------------------------------------------------------------------------- */

/* The members of each type that say more, and the one that says what became of it. */
static const struct {
	enum kmn_record_kind kind;
	const char *detail[3];
	const char *outcome;
} members[] = {
    {KMN_R_GENESIS, {"origin"}, "suite"},
    {KMN_R_GATEWAY_STOP, {"reason"}, NULL},
    {KMN_R_CHANNEL_OPEN, {"mode"}, NULL},
    {KMN_R_CHANNEL_COUNTS, {"counts"}, NULL},
    {KMN_R_CHANNEL_CLOSE, {"reason"}, NULL},
    {KMN_R_CHANNEL_REJECT, {"reason", "count"}, NULL},
    {KMN_R_SESSION, {"event", "slot", "user"}, "rv_name"},
    {KMN_R_INTENT, {"purpose"}, NULL},
    {KMN_R_ATTACHMENT, {"in", "econtent", "application"}, NULL},
    {KMN_R_STATEMENT, {"sha256"}, NULL},
    {KMN_R_ACTION, {"what", "reason"}, NULL},
    {KMN_R_APPROVAL, {NULL}, "check"},
    {KMN_R_REJECTION, {NULL}, "check"},
    {KMN_R_VETO, {NULL}, "check"},
    {KMN_R_DECISION, {NULL}, "verdict"},
    {KMN_R_RESULT, {"selfcheck"}, "rv_name"},
    {KMN_R_OP, {"selfcheck"}, "rv_name"},
    {KMN_R_POLICY, {"version"}, NULL},
    {KMN_R_LOG_KEY, {"event", "vkey"}, NULL},
    {KMN_R_CUSTODIAN_CREDENTIAL, {"custodian"}, NULL},
    {KMN_R_COSIGN, {"size"}, NULL},
    {KMN_R_PEER, {"origin"}, NULL},
    {KMN_R_ANCHOR, {"tsa", "size", "gen_time"}, NULL},
    {KMN_R_CLOCK, {"reason", "before", "after"}, NULL},
    {KMN_R_HSM_LOG, {"source", "unmatched"}, NULL},
    {KMN_R_POLICY_PROPOSAL, {"version"}, NULL},
    {KMN_R_ANOMALY, {"what", "token", "detail"}, NULL},
    {KMN_R_RECOVERY, {"reason"}, NULL},
    {KMN_R_RENEWAL, {"tsa", "gen_time"}, NULL},
    {KMN_R_REHASH, {"alg", "size"}, NULL},
};

static void
add_detail(struct kmn_row *row, const json_t *value)
{
	size_t used = strlen(row->detail);
	char *dumped = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	const char *text = json_is_string(value) ? json_string_value(value) : dumped;

	if (text != NULL)
		(void)snprintf(row->detail + used, sizeof(row->detail) - used, "%s%s", used == 0 ? "" : " ", text);
	free(dumped);
}

static void
put_members(struct kmn_row *row, const struct kmn_record *record)
{
	for (size_t n = 0; n < KMN_COUNT_OF(members); n++) {
		if (members[n].kind != record->kind)
			continue;
		for (size_t m = 0; m < KMN_COUNT_OF(members[n].detail) && members[n].detail[m] != NULL; m++)
			if (json_object_get(record->body, members[n].detail[m]) != NULL)
				add_detail(row, json_object_get(record->body, members[n].detail[m]));
		if (members[n].outcome != NULL)
			row->value[KMN_COL_OUTCOME] = kmn_json_text(record->body, members[n].outcome);
	}
}

/* What people signed beside votes and policies: its lines but for those that name the ledger. */
static void
put_signed(struct kmn_row *row, const struct kmn_record *record)
{
	struct kmn_signed said;
	struct kmn_note note;
	const char *bytes = kmn_json_text(record->body, "note");

	if (kmn_signed_of_record(record->kind) == KMN_SIGNED_COUNT ||
	    kmn_note_parse(bytes, strlen(bytes), &note, NULL) != KMN_OK ||
	    kmn_signed_read(note.text, note.text_len, &said, NULL) != KMN_OK)
		return;
	for (size_t n = 1; n < said.count; n++) {
		size_t used = strlen(row->detail);

		(void)snprintf(row->detail + used, sizeof(row->detail) - used, "%s%.*s", used == 0 ? "" : " ",
		    (int)said.line[n].len, said.line[n].value);
	}
}

static void
put_asked(struct kmn_row *row, const struct asked *asked)
{
	row->value[KMN_COL_CLIENT] = asked->client;
	row->value[KMN_COL_CUSTODIANS] = asked->custodians;
	row->value[KMN_COL_KEY] = asked->key;
	row->value[KMN_COL_KEY_ID] = asked->key_id;
	row->value[KMN_COL_KEY_SPKI] = asked->key_spki;
	row->value[KMN_COL_TOKEN] = asked->token;
	row->value[KMN_COL_FUNCTION] = asked->function;
	row->value[KMN_COL_MECHANISM] = asked->mechanism;
	row->value[KMN_COL_RULE] = asked->rule;
}

/* What the record itself says goes before what is remembered: a result names the key that was made. */
static void
put_own(struct kmn_row *row, const struct kmn_record *record)
{
	const json_t *key = json_object_get(record->body, "key");
	const struct {
		enum kmn_column column;
		const char *text;
	} texts[] = {
	    {KMN_COL_KEY, kmn_json_text(key, "label")},
	    {KMN_COL_KEY_ID, kmn_json_text(key, "id")},
	    {KMN_COL_KEY_SPKI, kmn_json_text(key, "spki_sha256")},
	    {KMN_COL_TOKEN, kmn_json_text(key, "token")},
	    {KMN_COL_FUNCTION, kmn_json_text(record->body, "op")},
	    {KMN_COL_MECHANISM, kmn_json_text(json_object_get(record->body, "mech"), "name")},
	    {KMN_COL_RULE, kmn_json_text(record->body, "rule")},
	    {KMN_COL_CLIENT, kmn_json_text(json_object_get(record->body, "peer"), "name")},
	    {KMN_COL_CLIENT, kmn_json_text(json_object_get(record->body, "actor"), "id")},
	    {KMN_COL_CLIENT, kmn_json_text(json_object_get(record->body, "actor"), "address")},
	    {KMN_COL_CLIENT, kmn_json_text(json_object_get(record->body, "actor"), "name")},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(texts); n++)
		if (texts[n].text[0] != '\0')
			row->value[texts[n].column] = texts[n].text;
}

static void
put_channel(const struct kmn_rows *rows, struct kmn_row *row, const struct kmn_record *record)
{
	const json_t *chan = json_object_get(record->body, "chan");
	const struct asked *channel;

	if (chan == NULL || row->value[KMN_COL_CLIENT][0] != '\0')
		return;
	if ((channel = find(&rows->channels, kmn_json_number(record->body, "chan"))) != NULL &&
	    channel->client[0] != '\0') {
		row->value[KMN_COL_CLIENT] = channel->client;
		return;
	}
	(void)snprintf(row->peer, sizeof(row->peer), "channel %" PRIu64, kmn_json_number(record->body, "chan"));
	row->value[KMN_COL_CLIENT] = row->peer;
}

static uint64_t
request_of(const struct kmn_rows *rows, const struct kmn_record *record)
{
	struct kmn_ref ref;

	if (record->kind == KMN_R_INTENT)
		return record->i;
	if (record->kind == KMN_R_REDELIVER && kmn_ref_get(record->body, "result", &ref))
		return request_of_result(rows, ref.i);
	if (record->kind == KMN_R_ACTION && kmn_ref_get(record->body, "subject", &ref))
		return ref.i;
	return kmn_ref_get(record->body, "request", &ref) ? ref.i : UINT64_MAX;
}

/* Which member of a record is a note that people signed. */
static const char *
signed_note(const struct kmn_record *record)
{
	switch (record->kind) {
	case KMN_R_GENESIS:
		return kmn_json_text(record->body, "policy");
	case KMN_R_RECOVERY:
		return json_object_get(record->body, "authorised") == NULL ? NULL
									   : kmn_json_text(record->body, "authorised");
	case KMN_R_POLICY:
	case KMN_R_POLICY_PROPOSAL:
	case KMN_R_POLICY_VETO:
	case KMN_R_ATTESTATION:
	case KMN_R_REOPEN:
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
		return kmn_json_text(record->body, "note");
	default:
		return NULL;
	}
}

static kmn_err
remember(struct kmn_rows *rows, const struct kmn_record *record, struct asked *asked, const struct kmn_row *row)
{
	switch (record->kind) {
	case KMN_R_INTENT:
		return keep_intent(rows, record);
	case KMN_R_CHANNEL_OPEN:
		return keep_channel(rows, record);
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
		return keep_vote(rows, record, asked, row->signers);
	case KMN_R_DECISION:
		if (asked != NULL &&
		    (asked->rule = kmn_textpool_keep(&rows->pool, kmn_json_text(record->body, "rule"))) == NULL)
			return KMN_E_NO_MEMORY;
		return KMN_OK;
	case KMN_R_RESULT:
		return keep_answer(rows, record->i, row->request);
	default:
		return KMN_OK;
	}
}

kmn_err
kmn_rows_new(struct kmn_rows **rows_out)
{
	return (*rows_out = calloc(1, sizeof(**rows_out))) == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

void
kmn_rows_free(struct kmn_rows *rows)
{
	if (rows == NULL)
		return;
	kmn_textpool_clear(&rows->pool);
	free(rows->requests.row);
	free(rows->channels.row);
	free(rows->answered);
	free(rows);
}

kmn_err
kmn_rows_take(struct kmn_rows *rows, const struct kmn_record *record, struct kmn_row *row)
{
	const char *note = signed_note(record);
	struct asked *asked;
	kmn_err e;

	memset(row, 0, sizeof(*row));
	for (size_t n = 0; n < KMN_COLUMN_COUNT; n++)
		row->value[n] = "";
	row->request = request_of(rows, record);
	if (note != NULL)
		kmn_note_signers(note, row->signers, sizeof(row->signers));
	asked = find(&rows->requests, row->request);
	if ((e = remember(rows, record, asked, row)) != KMN_OK)
		return e;
	if ((asked = find(&rows->requests, row->request)) != NULL)
		put_asked(row, asked);
	put_own(row, record);
	put_channel(rows, row, record);
	put_members(row, record);
	put_signed(row, record);
	kmn_ms_text(record->t, row->time);
	(void)snprintf(row->index, sizeof(row->index), "%" PRIu64, record->i);
	if (row->request != UINT64_MAX)
		(void)snprintf(row->about, sizeof(row->about), "%" PRIu64, row->request);
	row->value[KMN_COL_TIME] = row->time;
	row->value[KMN_COL_INDEX] = row->index;
	row->value[KMN_COL_TYPE] = record->type;
	row->value[KMN_COL_REQUEST] = row->about;
	row->value[KMN_COL_DETAIL] = row->detail;
	row->value[KMN_COL_REASON] = kmn_refusal(record);
	if (note != NULL)
		row->value[KMN_COL_CUSTODIANS] = row->signers;
	return KMN_OK;
}
