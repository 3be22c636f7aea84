/*
 * Operations by filters, newest first: read backward in the ledger, some of it for each question. An operation stands
 * where it ended: at its result, at the decision that let nothing run, or at its `op` record.
 */
#include "config.h"

#include "server/keeper/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 64u          /* records read together */
#define SCANNED_MAX 4096u  /* of one question */
#define BUDGET_US 3000u    /* likewise; what is left is for the next question */
#define CHANNELS_KNOWN 16u /* names of clients, of one question */

struct filter {
	char client[KMN_POLICY_NAME_MAX_BYTES + 1], function[64], key[KMN_KEY_LABEL_MAX_BYTES + 1], result[64];
	uint64_t since, until;
};

struct finding {
	struct kmn_keeper *keeper;
	struct filter filter;
	uint32_t count;
	json_t *found;
	json_t *chunk; /* lines of interest, ascending */
	struct {
		uint64_t chan; /* 1 more; 0: none */
		char name[KMN_POLICY_NAME_MAX_BYTES + 1];
	} channel[CHANNELS_KNOWN];
	size_t next_channel;
};

/* ---- reading ---------------------------------------------------------------------------------------------------- */

enum kmn_record_kind
kmn_ui_line_kind(const char *line, size_t len)
{
	static const char mark[] = ",\"type\":\"";
	const char *at = len > 80 ? memmem(line + len - 80, 80, mark, sizeof(mark) - 1) : NULL;
	char name[32] = "";
	size_t n = 0;

	for (at = at != NULL ? at + sizeof(mark) - 1 : NULL; at != NULL && at < line + len && *at != '"'; at++)
		if (n < sizeof(name) - 1)
			name[n++] = *at;
	return kmn_record_kind(name);
}

static kmn_err
keep_ends(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct finding *f = cookie;
	enum kmn_record_kind kind = kmn_ui_line_kind(line, len);
	json_t *record;

	(void)index;
	if (kind != KMN_R_OP && kind != KMN_R_RESULT && kind != KMN_R_DECISION)
		return KMN_OK;
	if ((record = json_loadb(line, len, 0, NULL)) == NULL)
		return KMN_E_CORRUPT;
	return json_array_append_new(f->chunk, record) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

static json_t *
body_of(struct kmn_keeper *k, uint64_t index)
{
	json_t *record = NULL, *body;
	char *line;
	size_t len;

	if (kmn_log_line(k->log, index, &line, &len) == KMN_OK) {
		record = json_loadb(line, len, 0, NULL);
		free(line);
	}
	body = json_incref(json_object_get(record, "body"));
	json_decref(record);
	return body;
}

/* Whose channel that was. */
static const char *
client_of(struct finding *f, uint64_t chan)
{
	json_t *body;
	const char *name;
	size_t n = 0;

	while (n < CHANNELS_KNOWN && f->channel[n].chan != chan + 1)
		n++;
	if (n < CHANNELS_KNOWN)
		return f->channel[n].name;
	n = f->next_channel++ % CHANNELS_KNOWN;
	body = body_of(f->keeper, chan);
	if (!kmn_json_get_text(json_object_get(body, "peer"), "name", &name))
		name = "";
	f->channel[n].chan = chan + 1;
	(void)snprintf(f->channel[n].name, sizeof(f->channel[n].name), "%s", name);
	json_decref(body);
	return f->channel[n].name;
}

/* ---- one operation ---------------------------------------------------------------------------------------------- */

static void
copy(json_t *to, const char *name, const json_t *from, const char *member)
{
	json_t *value = json_object_get(from, member);

	if (value != NULL)
		(void)json_object_set(to, name, value);
}

static const char *
outcome_of(const json_t *body, bool of_decision)
{
	uint64_t rv = 0, took = 0;

	if (of_decision)
		return "refused";
	if (kmn_json_get_number(body, "rv", &rv) && rv == 0)
		return "ok";
	return kmn_json_get_number(body, "dur_us", &took) && took == 0 ? "refused" : "failed";
}

/* A key that is made has its name in the template. */
static void
put_made(json_t *o, const json_t *template)
{
	static const char *const members[] = {"pPrivateKeyTemplate", "pTemplate"};
	json_t *key = json_object_get(o, "key"), *named;

	for (size_t n = 0; n < KMN_COUNT_OF(members); n++) {
		const json_t *label = json_object_get(json_object_get(template, members[n]), "CKA_LABEL");

		if (!json_is_string(label) || json_object_get(key, "label") != NULL)
			continue;
		named = json_copy(key);
		copy(named, "label", json_object_get(template, members[n]), "CKA_LABEL");
		(void)json_object_set_new(o, "key", named);
		return;
	}
}

/* What the call was: of the intent, or of the `op` itself. */
static void
put_call(json_t *o, const json_t *of)
{
	copy(o, "op", of, "op");
	copy(o, "mech", json_object_get(of, "mech"), "name");
	copy(o, "key", of, "key");
	copy(o, "in", of, "in");
	copy(o, "norm", of, "norm");
	copy(o, "purpose", of, "purpose");
	copy(o, "application", json_object_get(of, "application"), "id");
	copy(o, "window", of, "window");
	put_made(o, json_object_get(of, "template"));
}

static json_t *
operation_json(struct finding *f, const json_t *record)
{
	const json_t *body = json_object_get(record, "body");
	const char *type = json_string_value(json_object_get(record, "type")), *verdict = "";
	bool decision = strcmp(type, "decision") == 0;
	uint64_t chan = 0;
	struct kmn_ref ref;
	json_t *intent, *o;

	if (decision && (!kmn_json_get_text(body, "verdict", &verdict) || strcmp(verdict, "allow") == 0 ||
			    strcmp(verdict, "open") == 0))
		return NULL; /* its result says more */
	o = json_object();
	copy(o, "record", record, "i");
	copy(o, "t", record, "t");
	(void)json_object_set_new(o, "result", json_string(outcome_of(body, decision)));
	copy(o, "rv", body, "rv_name");
	copy(o, "verdict", body, "verdict");
	copy(o, "selfcheck", body, "selfcheck");
	copy(o, "took_us", body, "dur_us");
	copy(o, "hsm", body, "hsm");
	if (!kmn_ref_get(body, "request", &ref)) { /* op */
		copy(o, "request", record, "i");
		copy(o, "rule", body, "rule");
		copy(o, "policy", json_object_get(body, "policy"), "version");
		(void)json_object_set_new(o, "class", json_string("B"));
		if (!kmn_json_get_number(body, "chan", &chan))
			chan = UINT64_MAX - 1; /* nobody's */
		(void)json_object_set_new(o, "client", json_string(client_of(f, chan)));
		put_call(o, body);
		return o;
	}
	(void)json_object_set_new(o, "request", json_integer((json_int_t)ref.i));
	(void)json_object_set_new(o, "class", json_string("A"));
	intent = body_of(f->keeper, ref.i);
	copy(o, "client", json_object_get(intent, "requester"), "name");
	put_call(o, intent);
	json_decref(intent);
	return o;
}

static bool
is_text(const json_t *o, const char *name, const char *wanted)
{
	const char *text;

	return wanted[0] == '\0' || (kmn_json_get_text(o, name, &text) && strcmp(text, wanted) == 0);
}

static bool
fits(const struct filter *filter, const json_t *o)
{
	uint64_t t = 0;

	return kmn_json_get_number(o, "t", &t) && t >= filter->since && (filter->until == 0 || t <= filter->until) &&
	       is_text(o, "client", filter->client) && is_text(o, "op", filter->function) &&
	       is_text(json_object_get(o, "key"), "label", filter->key) &&
	       (is_text(o, "result", filter->result) || is_text(o, "rv", filter->result));
}

/* ---- the question ----------------------------------------------------------------------------------------------- */

/* Records from `before` down; *next_out from where to go on, 0: all were looked at. What cannot be read is no end. */
static kmn_err
find(struct finding *f, uint64_t before, uint64_t *next_out)
{
	uint64_t end = kmn_keeper_now_us() + BUDGET_US, scanned = 0;
	kmn_err e;

	while (before > 0 && scanned < SCANNED_MAX && kmn_keeper_now_us() < end) {
		uint64_t from = before > CHUNK ? before - CHUNK : 0;

		json_array_clear(f->chunk);
		if ((e = kmn_log_each(f->keeper->log, from, before - from, keep_ends, f)) != KMN_OK)
			return e;
		for (size_t n = json_array_size(f->chunk); n-- > 0;) {
			const json_t *record = json_array_get(f->chunk, n);
			json_t *o = operation_json(f, record);
			uint64_t i = (uint64_t)json_integer_value(json_object_get(record, "i"));

			if (o == NULL || !fits(&f->filter, o))
				json_decref(o);
			else
				(void)json_array_append_new(f->found, o);
			if (json_array_size(f->found) == f->count || kmn_keeper_now_us() > end) {
				*next_out = i;
				return KMN_OK;
			}
		}
		scanned += before - from;
		before = from;
	}
	*next_out = before;
	return KMN_OK;
}

void
kmn_ui_find(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct finding f = {.keeper = ask->keeper};
	uint64_t before = kmn_reader_u64(r), next = 0;
	struct kmn_head head;
	json_t *answer;
	kmn_err e;

	f.count = kmn_reader_u32(r);
	kmn_reader_text(r, f.filter.client, sizeof(f.filter.client));
	kmn_reader_text(r, f.filter.function, sizeof(f.filter.function));
	kmn_reader_text(r, f.filter.key, sizeof(f.filter.key));
	kmn_reader_text(r, f.filter.result, sizeof(f.filter.result));
	f.filter.since = kmn_reader_u64(r);
	f.filter.until = kmn_reader_u64(r);
	if ((e = kmn_reader_end(r)) != KMN_OK) {
		kmn_ui_refuse(ask, e, kmn_err_text(e));
		return;
	}
	kmn_log_durable(ask->keeper->log, &head);
	if (f.count == 0 || f.count > KMN_UI_FIND_MAX)
		f.count = KMN_UI_FIND_MAX;
	f.found = json_array();
	f.chunk = json_array();
	e = find(&f, before == 0 || before > head.size ? head.size : before, &next);
	json_decref(f.chunk);
	if (e != KMN_OK) {
		json_decref(f.found);
		kmn_ui_refuse(ask, KMN_E_LEDGER, "records cannot be read: see the gateway's log");
		return;
	}
	answer = json_pack("{s:o, s:I}", "operations", f.found, "size", (json_int_t)head.size);
	if (next > 0)
		(void)json_object_set_new(answer, "next", json_integer((json_int_t)next));
	kmn_ui_answer(ask, answer);
}
