/*
 * What the whole ledger says of keys, persons, clients, witnesses and anomalies, for pages that show them. It is read
 * once, a moment at a time while the loop has nothing else to do, and then followed: the keeper's state is made of
 * chosen records, and these are questions about all. Derived, in memory, and nothing is decided on it.
 */
#include "config.h"

#include "server/keeper/runner.h"

#include "kanmon/evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_US 2000u
#define CHUNK 32u
#define KEYS_MAX 2000u  /* the longest names of so many fit into one answer */
#define OPEN_MAX 65536u /* intents without an end */
#define NAMES_MAX 1024u /* clients, persons */
#define ANOMALIES_MAX 64u

struct kmn_ui_view {
	struct kmn_keeper *keeper;
	uint64_t next;
	bool left_out; /* there was more than it has room for */
	json_t *parts; /* {keys, open, persons, clients, anomalies, anchors, cosignatures} */
};

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void
copy(json_t *to, const char *name, const json_t *from, const char *member)
{
	json_t *value = json_object_get(from, member);

	if (value != NULL)
		(void)json_object_set(to, name, value);
}

static void
put_number(json_t *to, const char *name, uint64_t value)
{
	(void)json_object_set_new(to, name, json_integer((json_int_t)value));
}

static void
count(json_t *to, const char *name)
{
	put_number(to, name, (uint64_t)json_integer_value(json_object_get(to, name)) + 1);
}

/* The entry of that name, made when it is not there; NULL: there are too many. */
static json_t *
entry(struct kmn_ui_view *view, const char *of_part, const char *name, size_t max)
{
	json_t *of = json_object_get(view->parts, of_part), *there = json_object_get(of, name);

	if (there != NULL)
		return there;
	if (json_object_size(of) >= max)
		view->left_out = true;
	else if (json_object_set_new(of, name, (there = json_object())) != 0)
		KMN_BUG("out of memory");
	return there;
}

static json_t *
part(const struct kmn_ui_view *view, const char *name)
{
	return json_object_get(view->parts, name);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

bool
kmn_ui_key_name(const json_t *key, char *out, size_t room)
{
	static const char *const by_public[] = {"token", "serial", "spki_sha256"};
	static const char *const by_name[] = {"token", "serial", "class", "label", "id", "kcv"};
	bool has = json_object_get(key, "spki_sha256") != NULL;
	size_t n = 0;

	if (json_object_get(key, "class") == NULL)
		return false;
	for (size_t i = 0; i < (has ? KMN_COUNT_OF(by_public) : KMN_COUNT_OF(by_name)) && n < room; i++) {
		const char *text;

		if (!kmn_json_get_text(key, has ? by_public[i] : by_name[i], &text))
			text = "";
		n += (size_t)snprintf(out + n, room - n, "%s|", text);
	}
	return n < room;
}

static json_t *
key_entry(struct kmn_ui_view *view, const json_t *key)
{
	char name[KMN_UI_KEY_NAME_BYTES];
	const char *class;
	json_t *there;

	if (!kmn_ui_key_name(key, name, sizeof(name)) || (there = entry(view, "keys", name, KEYS_MAX)) == NULL)
		return NULL;
	/* Of a pair the private half is what people know by its name. */
	if (json_object_size(there) == 0 ||
	    (kmn_json_get_text(key, "class", &class) && strcmp(class, "public-key") != 0)) {
		static const char *const members[] = {
		    "token", "serial", "module", "class", "label", "id", "kcv", "spki_sha256"};

		for (size_t n = 0; n < KMN_COUNT_OF(members); n++)
			copy(there, members[n], key, members[n]);
	}
	return there;
}

static void
used(struct kmn_ui_view *view, const json_t *key, const json_t *t)
{
	json_t *there = key_entry(view, key);

	if (there == NULL)
		return;
	count(there, "uses");
	(void)json_object_set(there, "last_use", (json_t *)(uintptr_t)t);
}

static void
made(struct kmn_ui_view *view, const json_t *key, const json_t *record)
{
	json_t *there = key_entry(view, key), *origin = json_object_get(key, "origin");

	if (there == NULL)
		return;
	if (origin != NULL)
		(void)json_object_set(there, "attributes", origin);
	copy(there, "made_by", record, "i");
}

static void
take_op(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	uint64_t rv;

	if (kmn_json_get_number(body, "rv", &rv) && rv == 0 && json_object_get(body, "key") != NULL)
		used(view, json_object_get(body, "key"), json_object_get(record, "t"));
}

static void
index_name(uint64_t i, char out[24])
{
	(void)snprintf(out, 24, "%" PRIu64, i);
}

/* Until its end comes: what it is about. */
static void
take_intent(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	char name[24];
	json_t *open = part(view, "open"), *kept;

	if (json_object_size(open) >= OPEN_MAX) {
		(void)json_object_clear(open);
		view->left_out = true;
	}
	kept = json_object();
	copy(kept, "key", body, "key");
	copy(kept, "op", body, "op");
	index_name((uint64_t)json_integer_value(json_object_get(record, "i")), name);
	(void)json_object_set_new(open, name, kept);
}

static void
take_result(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	json_t *open = part(view, "open"), *kept, *there;
	struct kmn_ref ref;
	const char *op;
	char name[24];
	uint64_t rv;

	if (!kmn_ref_get(body, "request", &ref))
		return;
	index_name(ref.i, name);
	kept = json_object_get(open, name);
	if (!kmn_json_get_text(kept, "op", &op))
		op = "";
	if (kept != NULL && kmn_json_get_number(body, "rv", &rv) && rv == 0) {
		if (json_object_get(body, "key") != NULL)
			made(view, json_object_get(body, "key"), record);
		else if (strcmp(op, "C_DestroyObject") != 0)
			used(view, json_object_get(kept, "key"), json_object_get(record, "t"));
		else if ((there = key_entry(view, json_object_get(kept, "key"))) != NULL)
			copy(there, "destroyed_by", record, "i");
	}
	(void)json_object_del(open, name);
}

/* Nothing comes of it any more. */
static void
take_decision(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	struct kmn_ref ref;
	const char *verdict;
	char name[24];

	(void)record;
	if (!kmn_ref_get(body, "request", &ref) || !kmn_json_get_text(body, "verdict", &verdict) ||
	    strcmp(verdict, "allow") == 0)
		return;
	index_name(ref.i, name);
	(void)json_object_del(part(view, "open"), name);
}

/* ---- persons, clients, witnesses --------------------------------------------------------------------------------- */

static void
take_vote(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	const struct kmn_policy *policy = kmn_keeper_policy(view->keeper);
	const struct kmn_policy_custodian *c;
	const char *note, *check;
	struct kmn_note parsed;
	json_t *there;

	if (!kmn_json_get_text(body, "note", &note) || !kmn_json_get_text(body, "check", &check) ||
	    strcmp(check, "ok") != 0 || kmn_note_parse(note, strlen(note), &parsed, NULL) != KMN_OK)
		return;
	for (size_t n = 0; (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		for (size_t l = 0; l < parsed.count; l++)
			if (kmn_note_line_is_by(&parsed.line[l], c->key->name, c->key->id) &&
			    (there = entry(view, "persons", c->name, NAMES_MAX)) != NULL) {
				count(there, "votes");
				copy(there, "last_vote", record, "t");
			}
}

/* The head that the client holds, by its note: size alone. */
static void
put_claimed(json_t *to, const json_t *body)
{
	const char *note, *size;

	if (kmn_json_get_text(body, "client_head", &note) && strcmp(note, "none") != 0 &&
	    (size = strchr(note, '\n')) != NULL)
		put_number(to, "head", strtoull(size + 1, NULL, 10));
}

static void
take_channel(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	const json_t *peer = json_object_get(body, "peer");
	const char *name;
	json_t *there;

	if (!kmn_json_get_text(peer, "name", &name) || (there = entry(view, "clients", name, NAMES_MAX)) == NULL)
		return;
	copy(there, "channel", record, "i");
	copy(there, "t", record, "t");
	copy(there, "role", peer, "role");
	copy(there, "address", peer, "address");
	copy(there, "spki_sha256", peer, "spki_sha256");
	copy(there, "tls", body, "tls");
	copy(there, "mode", body, "mode");
	(void)json_object_del(there, "closed");
	put_claimed(there, body);
	count(there, "opened");
}

static void
take_closed(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	json_t *clients = part(view, "clients"), *client;
	const char *name;

	json_object_foreach(
	    clients, name, client) if (json_equal(json_object_get(client, "channel"), json_object_get(body, "chan")))
	    copy(client, "closed", record, "t");
}

static void
take_anomaly(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	json_t *list = part(view, "anomalies"), *one = json_object();

	copy(one, "record", record, "i");
	copy(one, "t", record, "t");
	copy(one, "what", body, "what");
	copy(one, "token", body, "token");
	copy(one, "detail", body, "detail");
	if (json_array_size(list) == ANOMALIES_MAX)
		(void)json_array_remove(list, 0);
	(void)json_array_append_new(list, one);
}

static void
take_anchor(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	const char *tsa;
	json_t *there;

	if (!kmn_json_get_text(body, "tsa", &tsa) || (there = entry(view, "anchors", tsa, NAMES_MAX)) == NULL)
		return;
	copy(there, "record", record, "i");
	copy(there, "t", record, "t");
	copy(there, "size", body, "size");
	copy(there, "gen_time", body, "gen_time");
}

/* By the name in front of each line, "- NAME BASE64". */
static void
take_cosign(struct kmn_ui_view *view, const json_t *record, const json_t *body)
{
	const json_t *lines = json_object_get(body, "lines"), *line;
	char name[KMN_NOTE_NAME_MAX_BYTES + 1];
	json_t *there;
	size_t n;

	json_array_foreach(lines, n, line)
	{
		const char *text = json_string_value(line), *at = text != NULL ? strchr(text, ' ') : NULL;
		const char *end = at != NULL ? strchr(at + 1, ' ') : NULL;

		if (end == NULL || (size_t)(end - at) > sizeof(name))
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(end - at - 1), at + 1);
		if ((there = entry(view, "cosignatures", name, NAMES_MAX)) == NULL)
			continue;
		copy(there, "record", record, "i");
		copy(there, "t", record, "t");
		copy(there, "size", body, "size");
	}
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const struct {
	enum kmn_record_kind kind;
	void (*take)(struct kmn_ui_view *view, const json_t *record, const json_t *body);
} takers[] = {
    {KMN_R_OP, take_op},
    {KMN_R_INTENT, take_intent},
    {KMN_R_RESULT, take_result},
    {KMN_R_DECISION, take_decision},
    {KMN_R_APPROVAL, take_vote},
    {KMN_R_REJECTION, take_vote},
    {KMN_R_VETO, take_vote},
    {KMN_R_CHANNEL_OPEN, take_channel},
    {KMN_R_CHANNEL_CLOSE, take_closed},
    {KMN_R_ANOMALY, take_anomaly},
    {KMN_R_ANCHOR, take_anchor},
    {KMN_R_COSIGN, take_cosign},
};

static kmn_err
take_line(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct kmn_ui_view *view = cookie;
	enum kmn_record_kind kind = kmn_ui_line_kind(line, len);
	json_t *record;
	size_t n = 0;

	view->next = index + 1;
	while (n < KMN_COUNT_OF(takers) && takers[n].kind != kind)
		n++;
	if ((n == KMN_COUNT_OF(takers) && kind != KMN_R_ACTION) || (record = json_loadb(line, len, 0, NULL)) == NULL)
		return KMN_OK;
	if (n < KMN_COUNT_OF(takers))
		takers[n].take(view, record, json_object_get(record, "body"));
	kmn_instructed_take(view->parts, kind, record, json_object_get(record, "body"));
	json_decref(record);
	return KMN_OK;
}

void
kmn_ui_view_begin(struct kmn_keeper *k)
{
	struct kmn_ui_view *view = calloc(1, sizeof(*view));

	if (view == NULL)
		KMN_BUG("out of memory");
	view->keeper = k;
	view->parts = json_pack("{s:{}, s:{}, s:{}, s:{}, s:[], s:{}, s:{}, s:{}, s:{}}", "keys", "open", "persons",
	    "clients", "anomalies", "anchors", "cosignatures", "instructions", "instructed");
	if (view->parts == NULL)
		KMN_BUG("out of memory");
	k->consoling->view = view;
}

void
kmn_ui_view_free(struct kmn_ui_view *view)
{
	if (view != NULL)
		json_decref(view->parts);
	free(view);
}

bool
kmn_ui_view_work(struct kmn_keeper *k)
{
	struct kmn_ui_view *view = k->consoling->view;
	uint64_t end = kmn_keeper_now_us() + SLICE_US;
	struct kmn_head head;

	kmn_log_durable(k->log, &head);
	while (view->next < head.size && kmn_keeper_now_us() < end) {
		uint64_t left = head.size - view->next;

		if (kmn_log_each(k->log, view->next, left < CHUNK ? left : CHUNK, take_line, view) != KMN_OK)
			return false; /* it is tried again with the next record */
	}
	return view->next < head.size;
}

bool
kmn_ui_view_is_complete(const struct kmn_keeper *k)
{
	struct kmn_head head;

	kmn_log_durable(k->log, &head);
	return k->consoling->view->next >= head.size && !k->consoling->view->left_out;
}

const json_t *
kmn_ui_view_part(const struct kmn_keeper *k, const char *name)
{
	return part(k->consoling->view, name);
}
