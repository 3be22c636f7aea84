#include "kanmon/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENVELOPE_MAX_BYTES 512 /* of a line, beside its body: numbers, hashes and names */

static const struct {
	const char *name, *members;
} rows[KMN_R_UNKNOWN] = {
#define ROW(id, name, members) [KMN_R_##id] = {name, members},
    KMN_RECORD_ROWS(ROW)
#undef ROW
};

const char *
kmn_record_name(enum kmn_record_kind kind)
{
	return kind < KMN_R_UNKNOWN ? rows[kind].name : "?";
}

const char *
kmn_record_members(enum kmn_record_kind kind)
{
	return kind < KMN_R_UNKNOWN ? rows[kind].members : "";
}

enum kmn_record_kind
kmn_record_kind(const char *name)
{
	enum kmn_record_kind kind = (enum kmn_record_kind)0;

	while (kind < KMN_R_UNKNOWN && strcmp(rows[kind].name, name) != 0)
		kind++;
	return kind;
}

static bool
has_lf(const json_t *value)
{
	json_t *object = (json_t *)(uintptr_t)value; /* jansson's iterators take no const; nothing is changed */

	if (json_is_string(value))
		return memchr(json_string_value(value), '\n', json_string_length(value)) != NULL;
	for (size_t n = 0; json_is_array(value) && n < json_array_size(value); n++)
		if (has_lf(json_array_get(value, n)))
			return true;
	for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it))
		if (has_lf(json_object_iter_value(it)))
			return true;
	return false;
}

static bool
is_b64(const json_t *value, size_t exact)
{
	uint8_t bytes[KMN_LINE_MAX_BYTES];
	size_t len;

	return json_is_string(value) &&
	       kmn_b64_parse(json_string_value(value), json_string_length(value), bytes, sizeof(bytes), &len) ==
		   KMN_OK &&
	       (exact == 0 || len == exact);
}

static bool
is_text(const json_t *value)
{
	return json_is_string(value) && !has_lf(value);
}

static bool
is_note(const json_t *value)
{
	return json_is_string(value) || json_is_object(value) || json_is_array(value);
}

static bool
is_number(const json_t *value)
{
	return json_is_integer(value);
}

static bool
is_bool(const json_t *value)
{
	return json_is_boolean(value);
}

static bool
is_hash(const json_t *value)
{
	return is_b64(value, KMN_HASH_BYTES);
}

static bool
is_base64(const json_t *value)
{
	return is_b64(value, 0);
}

static bool
is_ref(const json_t *value)
{
	struct kmn_ref ref;

	return kmn_ref_parse(value, &ref);
}

static bool
is_refs(const json_t *value)
{
	struct kmn_ref ref;

	for (size_t n = 0; n < json_array_size(value); n++)
		if (!kmn_ref_parse(json_array_get(value, n), &ref))
			return false;
	return json_is_array(value);
}

static bool
is_object(const json_t *value)
{
	return json_is_object(value) && !has_lf(value);
}

static bool
is_list(const json_t *value)
{
	return json_is_array(value) && !has_lf(value);
}

static bool
is_any(const json_t *value)
{
	return !has_lf(value);
}

static const struct {
	const char *name;
	bool (*is)(const json_t *value);
} kinds[] = {
    {"text", is_text},
    {"note", is_note},
    {"number", is_number},
    {"bool", is_bool},
    {"hash", is_hash},
    {"b64", is_base64},
    {"ref", is_ref},
    {"refs", is_refs},
    {"object", is_object},
    {"list", is_list},
    {"any", is_any},
};

static bool
kind_fits(const char *kind, size_t len, const json_t *value)
{
	for (size_t n = 0; n < KMN_COUNT_OF(kinds); n++)
		if (strlen(kinds[n].name) == len && memcmp(kinds[n].name, kind, len) == 0)
			return kinds[n].is(value);
	KMN_BUG("a row of record types names a kind that does not exist");
}

kmn_err
kmn_record_check(enum kmn_record_kind kind, const json_t *body, struct kmn_why *why)
{
	char name[KMN_JSON_NAME_MAX_BYTES + 1];
	size_t seen = 0;

	if (kind >= KMN_R_UNKNOWN) {
		kmn_why_set(why, "unknown type");
		return KMN_E_NOT_FOUND;
	}
	for (const char *at = rows[kind].members; *at != '\0';) {
		size_t len = strcspn(at, "?="), kind_len;
		bool optional = at[len] == '?';
		const json_t *value;

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, at);
		at += len + (optional ? 2 : 1);
		kind_len = strcspn(at, " ");
		value = json_object_get(body, name);
		if (value == NULL && !optional) {
			kmn_why_set(why, "%s: member \"%s\" is missing", rows[kind].name, name);
			return KMN_E_MALFORMED;
		}
		if (value != NULL && !kind_fits(at, kind_len, value)) {
			kmn_why_set(why, "%s: member \"%s\" is not a %.*s", rows[kind].name, name, (int)kind_len, at);
			return KMN_E_MALFORMED;
		}
		seen += value != NULL;
		at += kind_len + strspn(at + kind_len, " ");
	}
	if (seen != json_object_size(body)) {
		kmn_why_set(why, "%s: a member that its type does not have", rows[kind].name);
		return KMN_E_MALFORMED;
	}
	return KMN_OK;
}

static const char *const envelope[] = {"body", "i", "m", "nonce", "prev", "t", "type", "v"};

static kmn_err
envelope_read(const json_t *line, struct kmn_record *record, struct kmn_why *why)
{
	uint64_t v;
	const char *bad = NULL;

	for (size_t n = 0; n < KMN_COUNT_OF(envelope); n++)
		if (json_object_get(line, envelope[n]) == NULL)
			bad = envelope[n];
	if (bad != NULL || json_object_size(line) != KMN_COUNT_OF(envelope)) {
		kmn_why_set(why, "a record has exactly the members body i m nonce prev t type v");
		return KMN_E_MALFORMED;
	}
	if (!kmn_json_get_number(line, "v", &v) || v != 1)
		bad = "v";
	if (!kmn_json_get_number(line, "i", &record->i))
		bad = "i";
	if (!kmn_json_get_number(line, "t", &record->t))
		bad = "t";
	if (!kmn_json_get_number(line, "m", &record->m))
		bad = "m";
	if (!kmn_json_get_b64(line, "nonce", record->nonce, KMN_NONCE_BYTES))
		bad = "nonce";
	if (!kmn_json_get_b64(line, "prev", record->prev, KMN_HASH_BYTES))
		bad = "prev";
	if (!kmn_json_get_text(line, "type", &record->type) || !is_text(json_object_get(line, "type")))
		bad = "type";
	record->body = json_object_get(line, "body");
	if (!json_is_object(record->body))
		bad = "body";
	if (bad != NULL) {
		kmn_why_set(why, "member \"%s\" of the record is wrong", bad);
		return KMN_E_MALFORMED;
	}
	record->kind = kmn_record_kind(record->type);
	return KMN_OK;
}

kmn_err
kmn_record_parse(const char *line, size_t len, struct kmn_record *record_out, struct kmn_why *why)
{
	struct kmn_record record = {0};
	kmn_err e;

	memset(record_out, 0, sizeof(*record_out));
	if ((e = kmn_json_parse(line, len, &record.owner, why)) != KMN_OK)
		return e;
	if ((e = envelope_read(record.owner, &record, why)) != KMN_OK) {
		kmn_record_clear(&record);
		return e;
	}
	kmn_leaf_hash(line, len, record.leaf);
	*record_out = record;
	return KMN_OK;
}

void
kmn_record_clear(struct kmn_record *record)
{
	json_decref(record->owner);
	memset(record, 0, sizeof(*record));
}

kmn_err
kmn_record_emit(struct kmn_record *record, char **line_out, size_t *len_out, struct kmn_why *why)
{
	json_t *body = (json_t *)(uintptr_t)record->body; /* only its count of owners changes, and back */
	json_t *line;
	kmn_err e;

	*line_out = NULL;
	*len_out = 0;
	line = json_pack("{s:O, s:I, s:I, s:o, s:o, s:I, s:s, s:i}", "body", body, "i", (json_int_t)record->i, "m",
	    (json_int_t)record->m, "nonce", kmn_json_b64(record->nonce, KMN_NONCE_BYTES), "prev",
	    kmn_json_b64(record->prev, KMN_HASH_BYTES), "t", (json_int_t)record->t, "type", record->type, "v", 1);
	if (line == NULL)
		return KMN_E_NO_MEMORY;
	e = kmn_json_emit(line, line_out, len_out, why);
	json_decref(line);
	if (e == KMN_OK)
		kmn_leaf_hash(*line_out, *len_out, record->leaf);
	return e;
}

bool
kmn_record_fits(const json_t *body)
{
	json_t *line = json_pack("{s:O}", "body", (json_t *)(uintptr_t)body); /* only its count of owners changes */
	char *text = NULL;
	size_t len = 0;
	bool fits = line != NULL && kmn_json_emit(line, &text, &len, NULL) == KMN_OK &&
		    len <= KMN_LINE_MAX_BYTES - ENVELOPE_MAX_BYTES;

	json_decref(line);
	free(text);
	return fits;
}

json_t *
kmn_ref_json(const struct kmn_ref *ref)
{
	return json_pack("{s:I, s:o}", "i", (json_int_t)ref->i, "leaf", kmn_json_b64(ref->leaf, KMN_HASH_BYTES));
}

bool
kmn_ref_parse(const json_t *value, struct kmn_ref *out)
{
	memset(out, 0, sizeof(*out));
	return json_object_size(value) == 2 && kmn_json_get_number(value, "i", &out->i) &&
	       kmn_json_get_b64(value, "leaf", out->leaf, KMN_HASH_BYTES);
}

bool
kmn_ref_get(const json_t *object, const char *name, struct kmn_ref *out)
{
	return kmn_ref_parse(json_object_get(object, name), out);
}

json_t *
kmn_head_json(const struct kmn_head *head)
{
	return json_pack(
	    "{s:I, s:o}", "size", (json_int_t)head->size, "root", kmn_json_b64(head->root, KMN_HASH_BYTES));
}

bool
kmn_head_get(const json_t *object, const char *name, struct kmn_head *out)
{
	const json_t *value = json_object_get(object, name);

	memset(out, 0, sizeof(*out));
	return json_object_size(value) == 2 && kmn_json_get_number(value, "size", &out->size) &&
	       kmn_json_get_b64(value, "root", out->root, KMN_HASH_BYTES);
}

#define NAMED "action "

bool
kmn_instruction_named(const json_t *intent, uint64_t *i_out)
{
	char again[40];
	const char *id;

	*i_out = 0;
	if (!kmn_json_get_text(json_object_get(intent, "application"), "id", &id) ||
	    strncmp(id, NAMED, strlen(NAMED)) != 0)
		return false;
	*i_out = strtoull(id + strlen(NAMED), NULL, 10);
	(void)snprintf(again, sizeof(again), NAMED "%" PRIu64, *i_out);
	return strcmp(again, id) == 0;
}
