/* kanmon audit show: a ledger as lines for people, or as the raw lines for other tools. */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/note.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/options.h"

#define NAME_WIDTH 16

/* Who asked with which key: kept of each intent, for the lines that only refer to it; who came: of each channel. */
struct asked {
	uint64_t i; /* of the intent, or number of the channel */
	char who[48], key[48];
};

struct asked_list { /* by i, growing */
	struct asked *row;
	size_t count, room;
};

struct showing {
	const char *type;  /* NULL: all */
	uint64_t from, to; /* indexes, both included */
	uint64_t request;  /* UINT64_MAX: all */
	bool json;
	struct asked_list requests, channels;
};

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text;

	return kmn_json_get_text(object, name, &text) ? text : "";
}

static uint64_t
number_of(const json_t *object, const char *name)
{
	uint64_t number;

	return kmn_json_get_number(object, name, &number) ? number : 0;
}

static int
by_index(const void *key, const void *row)
{
	uint64_t i = *(const uint64_t *)key, at = ((const struct asked *)row)->i;

	return (i > at) - (i < at);
}

/* Which request a record is about: itself, or what it refers to. UINT64_MAX: none. */
static uint64_t
request_of(const struct kmn_record *record)
{
	struct kmn_ref ref;

	if (record->kind == KMN_R_INTENT)
		return record->i;
	return kmn_ref_get(record->body, "request", &ref) ? ref.i : UINT64_MAX;
}

static const struct asked *
find(const struct asked_list *list, uint64_t i)
{
	return list->count == 0 ? NULL : bsearch(&i, list->row, list->count, sizeof(*list->row), by_index);
}

static kmn_err
keep(struct asked_list *list, uint64_t i, const char *who, const char *key)
{
	struct asked *at;

	if (list->count > 0 && i <= list->row[list->count - 1].i) /* a ledger that does not count up: not looked up */
		return KMN_OK;
	if (list->count == list->room) {
		list->room = list->room * 2 + 64;
		if ((at = realloc(list->row, list->room * sizeof(*at))) == NULL)
			return KMN_E_NO_MEMORY;
		list->row = at;
	}
	at = &list->row[list->count++];
	at->i = i;
	(void)snprintf(at->who, sizeof(at->who), "%s", who);
	(void)snprintf(at->key, sizeof(at->key), "%s", key);
	return KMN_OK;
}

static kmn_err
remember(struct showing *showing, const struct kmn_record *record)
{
	const json_t *body = record->body;

	if (record->kind == KMN_R_INTENT)
		return keep(&showing->requests, record->i, text_of(json_object_get(body, "requester"), "name"),
		    text_of(json_object_get(body, "key"), "label"));
	if (record->kind == KMN_R_CHANNEL_OPEN)
		return keep(
		    &showing->channels, number_of(body, "chan"), text_of(json_object_get(body, "peer"), "name"), "");
	return KMN_OK;
}

/* Names of those who signed a note, as its lines say; whether they did is `check`'s and the verifier's word. */
static void
signers(const char *bytes, char *out, size_t size)
{
	struct kmn_note note;
	size_t used = 0;

	out[0] = '\0';
	if (kmn_note_parse(bytes, strlen(bytes), &note, NULL) != KMN_OK)
		return;
	for (size_t n = 0; n < note.count && used < size; n++)
		used += (size_t)snprintf(out + used, size - used, "%s%.*s", n == 0 ? "" : ",",
		    (int)note.line[n].name_len, note.line[n].name);
}

static void
who_of(const struct showing *showing, const struct kmn_record *record, char *out, size_t size)
{
	const struct asked *asked = find(&showing->requests, request_of(record));

	if (asked == NULL && json_object_get(record->body, "chan") != NULL)
		asked = find(&showing->channels, number_of(record->body, "chan"));
	if (record->kind == KMN_R_APPROVAL || record->kind == KMN_R_REJECTION || record->kind == KMN_R_VETO)
		signers(text_of(record->body, "note"), out, size);
	else if (record->kind == KMN_R_DECISION)
		(void)snprintf(out, size, "gateway");
	else if (asked != NULL)
		(void)snprintf(out, size, "%s", asked->who);
	else if (json_is_object(json_object_get(record->body, "peer")))
		(void)snprintf(out, size, "%s", text_of(json_object_get(record->body, "peer"), "name"));
	else if (json_object_get(record->body, "chan") != NULL)
		(void)snprintf(out, size, "channel %" PRIu64, number_of(record->body, "chan"));
	else
		(void)snprintf(out, size, "gateway");
}

static const char *
key_of(const struct showing *showing, const struct kmn_record *record)
{
	const json_t *key = json_object_get(record->body, "key");
	const struct asked *asked = find(&showing->requests, request_of(record));

	if (json_is_object(key) && text_of(key, "label")[0] != '\0')
		return text_of(key, "label");
	return asked != NULL && asked->key[0] != '\0' ? asked->key : "-";
}

/* The members of each type that say what it is about, and the one that says what became of it. */
static const struct {
	enum kmn_record_kind kind;
	const char *what[2]; /* members */
	const char *verdict; /* member */
} columns[] = {
    {KMN_R_GENESIS, {"origin", NULL}, "suite"},
    {KMN_R_GATEWAY_STOP, {"reason", NULL}, NULL},
    {KMN_R_CHANNEL_COUNTS, {"counts", NULL}, NULL},
    {KMN_R_CHANNEL_CLOSE, {"reason", NULL}, NULL},
    {KMN_R_CHANNEL_REJECT, {"reason", "count"}, NULL},
    {KMN_R_SESSION, {"event", "slot"}, "rv_name"},
    {KMN_R_INTENT, {"op", "purpose"}, NULL},
    {KMN_R_STATEMENT, {"sha256", NULL}, NULL},
    {KMN_R_APPROVAL, {NULL, NULL}, "check"},
    {KMN_R_REJECTION, {NULL, NULL}, "check"},
    {KMN_R_VETO, {NULL, NULL}, "check"},
    {KMN_R_DECISION, {"rule", NULL}, "verdict"},
    {KMN_R_RESULT, {"selfcheck", NULL}, "rv_name"},
    {KMN_R_OP, {"op", "rule"}, "rv_name"},
    {KMN_R_POLICY, {"version", NULL}, NULL},
    {KMN_R_CLOCK, {"reason", NULL}, NULL},
    {KMN_R_RECOVERY, {"reason", NULL}, NULL},
};

static void
print_member(const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		kmn_audit_text(stdout, json_string_value(value), 80);
	} else if (value != NULL && (text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY)) != NULL) {
		kmn_audit_text(stdout, text, 80);
		free(text);
	}
}

static void
print_what(const struct kmn_record *record)
{
	const json_t *mech = json_object_get(record->body, "mech");
	uint64_t request = request_of(record);

	if (request != UINT64_MAX && request != record->i)
		(void)printf(" of %" PRIu64, request);
	for (size_t n = 0; n < KMN_COUNT_OF(columns); n++) {
		if (columns[n].kind != record->kind)
			continue;
		for (size_t m = 0; m < KMN_COUNT_OF(columns[n].what) && columns[n].what[m] != NULL; m++) {
			const json_t *value = json_object_get(record->body, columns[n].what[m]);

			(void)printf("%s", value == NULL ? "" : " ");
			print_member(value);
			if (m == 0 && text_of(mech, "name")[0] != '\0') {
				(void)printf(" ");
				kmn_audit_text(stdout, text_of(mech, "name"), 40);
			}
		}
		if (columns[n].verdict != NULL) {
			(void)printf(" -> ");
			print_member(json_object_get(record->body, columns[n].verdict));
		}
	}
}

static void
print_padded(const char *text, size_t width)
{
	size_t shown = 0;

	for (const char *at = text; *at != '\0'; at++)
		shown += ((unsigned char)*at & 0xc0) != 0x80;
	kmn_audit_text(stdout, text, width);
	(void)printf("%*s ", shown < width ? (int)(width - shown) : 0, "");
}

static void
print_human(const struct showing *showing, const struct kmn_record *record)
{
	time_t seconds = (time_t)(record->t / 1000);
	char when[32] = "?", who[128];
	struct tm utc;

	if (gmtime_r(&seconds, &utc) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
	who_of(showing, record, who, sizeof(who));
	(void)printf("%s.%03uZ %7" PRIu64 " ", when, (unsigned)(record->t % 1000), record->i);
	print_padded(record->type, 14);
	print_padded(who, NAME_WIDTH);
	print_padded(key_of(showing, record), NAME_WIDTH);
	print_what(record);
	(void)printf("\n");
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct showing *showing = cookie;
	kmn_err e;

	(void)place;
	if ((e = remember(showing, record)) != KMN_OK)
		return e;
	if (record->i < showing->from || record->i > showing->to ||
	    (showing->type != NULL && strcmp(showing->type, record->type) != 0) ||
	    (showing->request != UINT64_MAX && showing->request != request_of(record)))
		return KMN_OK;
	if (showing->json) {
		(void)json_dumpf(record->owner, stdout, JSON_COMPACT | JSON_SORT_KEYS); /* canonical: the raw line */
		(void)printf("\n");
	} else {
		print_human(showing, record);
	}
	return ferror(stdout) ? KMN_E_IO : KMN_OK;
}

/* An index option; `out` stays as it is where it was not given. */
static bool
index_of(const char *option, const char *text, uint64_t *out)
{
	char *end;

	if (text == NULL)
		return true;
	if (text[0] >= '0' && text[0] <= '9') {
		*out = strtoull(text, &end, 10);
		if (*end == '\0')
			return true;
	}
	(void)kmn_usage("audit show", "--%s %s is not the index of a record", option, text);
	return false;
}

int
kmn_cmd_audit_show(int argc, char **argv)
{
	const char *from = NULL, *to = NULL, *request = NULL, *words[1];
	struct showing showing = {.to = UINT64_MAX, .request = UINT64_MAX};
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("type", "TYPE", "only records of this type: intent, approval, result ..", &showing.type),
	    KMN_OPTION_TEXT("from", "INDEX", "from this record on", &from),
	    KMN_OPTION_TEXT("to", "INDEX", "to this record", &to),
	    KMN_OPTION_TEXT("request", "INDEX", "only this request and what refers to it", &request),
	    KMN_OPTION_FLAG("json", "print the raw lines", &showing.json),
	};
	struct kmn_store *store = NULL;
	struct kmn_why why = {""};
	int parsed = kmn_options_parse(argc, argv, "audit show", options, KMN_COUNT_OF(options), words, 1, 1);
	kmn_err e;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	if (!index_of("from", from, &showing.from) || !index_of("to", to, &showing.to) ||
	    !index_of("request", request, &showing.request))
		return KMN_AUDIT_INCOMPLETE;
	if (sodium_init() < 0 || kmn_audit_open(words[0], &store) != KMN_OK)
		return KMN_AUDIT_INCOMPLETE;
	e = kmn_ledger_read(store, each_record, &showing, &why);
	if (e != KMN_OK)
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", words[0], why.text[0] == '\0' ? kmn_err_text(e) : why.text);
	free(showing.requests.row);
	free(showing.channels.row);
	kmn_store_files_free(store);
	return e == KMN_OK ? KMN_AUDIT_VERIFIED : e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
}
