#include "kanmon/view.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/json.h"
#include "kanmon/receipt.h"

#define CLEAR_MAX_BYTES 1024u     /* a longer public attribute stands by its hash */
#define OUT_CLEAR_MAX_BYTES 5120u /* a longer signature likewise */
#define NAME_ROOM (KMN_JSON_NAME_MAX_BYTES + 1)

/* ---- parts --------------------------------------------------------------------------------------------------- */

static json_t *
number(uint64_t value)
{
	char text[24];

	if (value <= KMN_JSON_INT_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

/* The name that a table has for a number, or the number in hex behind a prefix. */
static json_t *
named(const char *name, const char *prefix, uint64_t value)
{
	char text[40];

	if (name != NULL)
		return json_string(name);
	snprintf(text, sizeof(text), "%s0x%" PRIx64, prefix, value);
	return json_string(text);
}

/* Sets a member whose name may be there already: the second is NAME_2, so that nothing is shown twice and nothing
 * hidden. Takes the value. */
static bool
set(json_t *object, const char *name, json_t *value)
{
	char other[NAME_ROOM];

	if (value == NULL)
		return false;
	snprintf(other, sizeof(other), "%.*s", KMN_JSON_NAME_MAX_BYTES, name);
	for (unsigned i = 2; json_object_get(object, other) != NULL; i++)
		snprintf(other, sizeof(other), "%.*s_%u", KMN_JSON_NAME_MAX_BYTES - 5, name, i);
	return json_object_set_new(object, other, value) == 0;
}

static json_t *
hash_of(crypto_hash_sha256_state *sha)
{
	uint8_t hash[KMN_HASH_BYTES];

	crypto_hash_sha256_final(sha, hash);
	return kmn_json_b64(hash, sizeof(hash));
}

static json_t *
sha256_of(const void *bytes, size_t len)
{
	crypto_hash_sha256_state sha;

	crypto_hash_sha256_init(&sha);
	if (len > 0)
		crypto_hash_sha256_update(&sha, bytes, len);
	return hash_of(&sha);
}

json_t *
kmn_ledger_digest(const void *bytes, size_t len_bytes)
{
	return json_pack("{s:o, s:o}", "sha256", sha256_of(bytes, len_bytes), "len", number(len_bytes));
}

json_t *
kmn_ledger_redacted(const char *what, uint64_t len)
{
	return json_pack("{s:s, s:o}", "redacted", what, "len", number(len));
}

json_t *
kmn_ledger_rv_name(uint64_t rv)
{
	return named(kmn_rv_name(rv), "CKR_", rv);
}

static json_t *
in_clear(const void *bytes, size_t len, size_t max)
{
	return len <= max ? json_pack("{s:o}", "b64", kmn_json_b64(bytes, len)) : kmn_ledger_digest(bytes, len);
}

static json_t *
committed(const char *field, const uint8_t *salt, const void *bytes, size_t len)
{
	uint8_t commitment[KMN_HASH_BYTES];

	kmn_commitment(field, salt, bytes, len, commitment);
	return json_pack("{s:o, s:o}", "commit", kmn_json_b64(commitment, sizeof(commitment)), "len", number(len));
}

/* Bytes as a row says they are shown, under the member `field`. */
static json_t *
shown(const struct kmn_param *param, const char *field, const uint8_t *salt, const void *bytes, size_t len)
{
	switch (param->show) {
	case KMN_SHOW_VALUE:
		return in_clear(bytes, len, OUT_CLEAR_MAX_BYTES);
	case KMN_SHOW_DIGEST:
		return kmn_ledger_digest(bytes, len);
	case KMN_SHOW_COMMITMENT:
		if (salt != NULL)
			return committed(field, salt, bytes, len);
		return kmn_ledger_redacted(param->name, len);
	case KMN_SHOW_NOTHING:
		return kmn_ledger_redacted(param->name, len);
	}
	return NULL;
}

/* ---- mechanisms ---------------------------------------------------------------------------------------------- */

static const struct {
	uint64_t type;
	const char *name;
} mgfs[] = {
    {CKG_MGF1_SHA1, "CKG_MGF1_SHA1"},
    {CKG_MGF1_SHA224, "CKG_MGF1_SHA224"},
    {CKG_MGF1_SHA256, "CKG_MGF1_SHA256"},
    {CKG_MGF1_SHA384, "CKG_MGF1_SHA384"},
    {CKG_MGF1_SHA512, "CKG_MGF1_SHA512"},
};

static const char *
mgf_name(uint64_t type)
{
	for (size_t i = 0; i < KMN_COUNT_OF(mgfs); i++)
		if (mgfs[i].type == type)
			return mgfs[i].name;
	return NULL;
}

static json_t *template_json(const struct kmn_template_view *t, unsigned depth);

/* One field in clear: numbers and names as they are, byte strings by their hash. */
static json_t *
field_json(const struct kmn_field_view *v)
{
	switch (v->kind) {
	case KMN_FIELD_MECH:
	case KMN_FIELD_MECHANISM:
		return named(kmn_mechanism_name(v->number), "", v->number);
	case KMN_FIELD_MGF:
		return named(mgf_name(v->number), "", v->number);
	case KMN_FIELD_INLINE:
	case KMN_FIELD_TEXT:
	case KMN_FIELD_BYTES:
		return kmn_ledger_digest(v->bytes, v->len);
	case KMN_FIELD_TEMPLATE:
		return template_json(&v->template, 2); /* templates inside it stand by their hash: a line is so deep */
	default:
		return number(v->number);
	}
}

/* What a field adds to params_sha256: its name in the ledger, its number, its bytes. */
static void
hash_field(crypto_hash_sha256_state *sha, const struct kmn_field_view *v)
{
	uint8_t words[16];

	for (unsigned i = 0; i < 8; i++) {
		words[i] = (uint8_t)(v->number >> (56 - 8 * i));
		words[8 + i] = (uint8_t)((uint64_t)v->len >> (56 - 8 * i));
	}
	crypto_hash_sha256_update(sha, (const uint8_t *)v->field->shown, strlen(v->field->shown) + 1);
	crypto_hash_sha256_update(sha, words, sizeof(words));
	if (v->len > 0)
		crypto_hash_sha256_update(sha, v->bytes, v->len);
}

static bool
is_hidden(const struct kmn_field_view *v)
{
	return v->field->shown == NULL && v->kind == KMN_FIELD_BYTES && v->field->way != KMN_WAY_OUT;
}

/* Fields of a structure. A hidden one (a password) is in no hash either: it would be a dictionary away. */
static bool
put_fields(json_t *params, const struct kmn_mech_view *m, crypto_hash_sha256_state *sha)
{
	struct kmn_field_cursor c = {0};
	struct kmn_field_view v;

	while (kmn_mech_next(m, &c, &v)) {
		if (is_hidden(&v) && !set(params, v.field->name, kmn_ledger_redacted(v.field->name, v.len)))
			return false;
		if (v.field->shown == NULL)
			continue;
		hash_field(sha, &v);
		if (!v.null && !set(params, v.field->shown, field_json(&v)))
			return false;
	}
	return true;
}

json_t *
kmn_ledger_mechanism(const struct kmn_mech_view *m)
{
	json_t *params = json_object();
	crypto_hash_sha256_state sha;
	bool ok = params != NULL, none = m == NULL || m->form == KMN_MECH_NULL;

	crypto_hash_sha256_init(&sha);
	if (ok && !none && m->form == KMN_MECH_STRUCT)
		ok = put_fields(params, m, &sha);
	/* Bytes of a vendor's that no table knows may be anything: a PIN, a seed. */
	if (ok && !none && m->form == KMN_MECH_BYTES && kmn_mechanism_row(m->type) == NULL)
		ok = set(params, "parameter", kmn_ledger_redacted("parameter", m->size));
	else if (ok && !none && m->form == KMN_MECH_BYTES) {
		if (m->len > 0)
			crypto_hash_sha256_update(&sha, m->bytes, m->size);
		ok = set(params, "parameter", kmn_ledger_digest(m->bytes, m->size));
	}
	if (ok && !none && m->form == KMN_MECH_UNKNOWN)
		ok = set(params, "parameter", kmn_ledger_redacted("not carried", m->len));
	if (!ok) {
		json_decref(params);
		return NULL;
	}
	return json_pack("{s:o, s:o, s:o}", "name",
	    none ? json_string("") : named(kmn_mechanism_name(m->type), "", m->type), "params", params, "params_sha256",
	    hash_of(&sha));
}

/* ---- templates ----------------------------------------------------------------------------------------------- */

static json_t *
ulong_json(uint64_t type, uint64_t value)
{
	const struct kmn_attribute *known = kmn_attribute_row(type);

	if (known != NULL && (known->kind == KMN_ATTRIBUTE_MECH || known->kind == KMN_ATTRIBUTE_MECHS))
		return named(kmn_mechanism_name(value), "", value);
	return number(value);
}

static json_t *
ulongs_json(const struct kmn_attribute_view *a)
{
	json_t *list;

	if (a->len > 64)
		return json_pack("{s:o, s:o}", "count", number(a->len), "sha256", sha256_of(a->bytes, a->len * 8));
	if ((list = json_array()) == NULL)
		return NULL;
	for (size_t i = 0; i < a->len; i++) {
		if (json_array_append_new(list, ulong_json(a->type, kmn_attribute_number(a, i))) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *
bytes_json(const struct kmn_attribute *known, const struct kmn_attribute_view *a)
{
	bool value;

	if (known->kind == KMN_ATTRIBUTE_BOOL && kmn_attribute_bool(a, &value))
		return json_boolean(value);
	if (known->kind == KMN_ATTRIBUTE_TEXT && a->len <= CLEAR_MAX_BYTES &&
	    kmn_json_text_ok((const char *)a->bytes, a->len, false))
		return json_stringn((const char *)a->bytes, a->len);
	return in_clear(a->bytes, a->len, CLEAR_MAX_BYTES);
}

/* Whether any attribute inside, at whatever depth, is one that must not be shown. */
static bool
holds_hidden(const struct kmn_template_view *t)
{
	struct kmn_attribute_view a;
	size_t at = 0;

	while (kmn_template_next(t, &at, &a)) {
		const struct kmn_attribute *known = kmn_attribute_row(a.type);

		if (known == NULL || !known->public)
			return true;
		if ((a.form == KMN_VALUE_TEMPLATE || a.form == KMN_ROOM_TEMPLATE) && holds_hidden(&a.nested))
			return true;
	}
	return false;
}

/* One level fits the depth of a ledger line; the deeper ones stand by their hash, if nothing in them is hidden. */
static json_t *
nested_json(const struct kmn_attribute_view *a, const char *name, unsigned depth)
{
	if (depth <= 1)
		return template_json(&a->nested, depth + 1);
	if (holds_hidden(&a->nested))
		return kmn_ledger_redacted(name, a->nested.size);
	return json_pack(
	    "{s:o, s:o}", "count", number(a->nested.count), "sha256", sha256_of(a->nested.rows, a->nested.size));
}

static json_t *
attribute_json(const struct kmn_attribute_view *a, const char *name, unsigned depth)
{
	const struct kmn_attribute *known = kmn_attribute_row(a->type);

	if (known == NULL || !known->public)
		return kmn_ledger_redacted(name, a->len);
	switch (a->form) {
	case KMN_VALUE_BYTES:
		return bytes_json(known, a);
	case KMN_VALUE_ULONG:
		return ulong_json(a->type, a->number);
	case KMN_VALUE_ULONGS:
		return ulongs_json(a);
	case KMN_VALUE_TEMPLATE:
	case KMN_ROOM_TEMPLATE:
		return nested_json(a, name, depth);
	default:
		return json_pack("{s:o}", "len", number(a->len));
	}
}

static json_t *
template_json(const struct kmn_template_view *t, unsigned depth)
{
	struct kmn_attribute_view a;
	json_t *object = json_object();
	size_t at = 0;

	while (object != NULL && kmn_template_next(t, &at, &a)) {
		const char *known = kmn_attribute_name(a.type);
		char name[NAME_ROOM];

		if (known != NULL)
			snprintf(name, sizeof(name), "%.*s", KMN_JSON_NAME_MAX_BYTES, known);
		else
			snprintf(name, sizeof(name), "CKA_0x%" PRIx64, a.type);
		if (!set(object, name, attribute_json(&a, name, depth))) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

json_t *
kmn_ledger_template(const struct kmn_template_view *t)
{
	return template_json(t, 1);
}

/* ---- whole calls --------------------------------------------------------------------------------------------- */

json_t *
kmn_ledger_in(const struct kmn_call_view *v, const uint8_t *salt, bool *has_out)
{
	const struct kmn_value *data = kmn_view_shown(v);

	*has_out = data != NULL;
	return data != NULL ? shown(data->param, "in", salt, data->bytes, data->len) : NULL;
}

json_t *
kmn_ledger_templates(const struct kmn_call_view *v, bool *has_out)
{
	const struct kmn_value *first = kmn_view_nth(v, KMN_KIND_TEMPLATE, 0);
	const struct kmn_value *second = kmn_view_nth(v, KMN_KIND_TEMPLATE, 1);

	*has_out = first != NULL;
	if (first == NULL)
		return NULL;
	if (second == NULL)
		return kmn_ledger_template(&first->template);
	return json_pack("{s:o, s:o}", first->param->name, kmn_ledger_template(&first->template), second->param->name,
	    kmn_ledger_template(&second->template));
}

json_t *
kmn_ledger_out(const struct kmn_response_view *v, const uint8_t *salt, bool *has_out)
{
	static const enum kmn_kind lists[] = {KMN_KIND_SLOTS, KMN_KIND_MECH_TYPES, KMN_KIND_OBJECTS};
	const struct kmn_result *r = kmn_response_bytes(v);

	*has_out = true;
	if (r != NULL)
		return shown(r->param, "out", salt, r->bytes, r->len);
	for (size_t i = 0; i < KMN_COUNT_OF(lists); i++)
		if ((r = kmn_response_nth(v, lists[i], 0)) != NULL)
			return json_pack(
			    "{s:o, s:o}", "count", number(r->number), "sha256", sha256_of(r->bytes, r->len));
	*has_out = false;
	return NULL;
}

/* One argument for people who look at a trace. */
static json_t *
argument_json(const struct kmn_value *v)
{
	switch (v->param->kind) {
	case KMN_KIND_MECHANISM:
	case KMN_KIND_MESSAGE_PARAM:
		return kmn_ledger_mechanism(&v->mech);
	case KMN_KIND_MECH_TYPE:
		return named(kmn_mechanism_name(v->number), "", v->number);
	case KMN_KIND_TEMPLATE:
	case KMN_KIND_VALUES:
		return v->null ? json_string("NULL") : kmn_ledger_template(&v->template);
	case KMN_KIND_DATA:
	case KMN_KIND_AAD:
		return v->null ? json_string("NULL") : shown(v->param, v->param->name, NULL, v->bytes, v->len);
	case KMN_KIND_PIN:
		return json_string(v->null ? "NULL" : "given");
	case KMN_KIND_LABEL:
	case KMN_KIND_USERNAME:
		return v->null ? json_string("NULL") : kmn_json_label(v->bytes, v->len);
	case KMN_KIND_BOOL:
		return json_boolean(v->number != CK_FALSE);
	case KMN_KIND_ROOM:
	case KMN_KIND_MAYBE_ROOM:
	case KMN_KIND_FILL:
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
	case KMN_KIND_OBJECTS:
		return v->null ? json_string("NULL") : json_pack("{s:o}", "room", number(v->number));
	default:
		return kmn_kind_is_out(v->param->kind) ? json_string(v->null ? "NULL" : "out") : number(v->number);
	}
}

json_t *
kmn_ledger_arguments(const struct kmn_call_view *v)
{
	json_t *object = json_object();

	for (size_t i = 0; object != NULL && v->call != NULL && i < v->call->param_count; i++) {
		if (v->value[i].param->kind == KMN_KIND_NOTIFY || v->value[i].param->kind == KMN_KIND_LOCAL)
			continue;
		if (!set(object, v->value[i].param->name, argument_json(&v->value[i]))) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}
