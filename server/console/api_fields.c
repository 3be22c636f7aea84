/* From a request's bytes to the fields of a question: each kind of field has one function that reads it. */
#include "config.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "server/console/api.h"

#define DIGITS_MAX 16u
#define ASSERTION_PART_MAX_BYTES 4096u /* of authenticator data, client data, signature */

struct reading {
	const struct kmn_api_input *in;
	const json_t *body; /* an object, or NULL */
	size_t members;     /* of it that a field has read */
	size_t args;        /* of the query that a field has read */
	struct kmn_writer *w;
	struct kmn_why *why;
};

static kmn_err
refuse(const struct reading *r, kmn_err e, const char *name, const char *what)
{
	kmn_why_set(r->why, "%s%s%s", name, name[0] != '\0' ? " " : "", what);
	return e;
}

/* ---- the body ---------------------------------------------------------------------------------------------------- */

/* Before any parser goes down: how deep the brackets go that stand outside of strings. */
static bool
is_shallow(const char *at, size_t len)
{
	bool string = false;
	unsigned depth = 0;

	for (const char *end = at + len; at < end; at++) {
		if (string && *at == '\\')
			at++;
		else if (*at == '"')
			string = !string;
		else if (!string && (*at == '{' || *at == '['))
			depth++;
		else if (!string && depth > 0 && (*at == '}' || *at == ']'))
			depth--;
		if (depth > KMN_API_DEPTH_MAX)
			return false;
	}
	return true;
}

static kmn_err
parse(struct reading *r, json_t **body_out)
{
	json_error_t error;

	*body_out = NULL;
	if (r->in->body_len == 0)
		return KMN_OK;
	if (!is_shallow(r->in->body, r->in->body_len))
		return refuse(r, KMN_E_MALFORMED, "", "the body's JSON is too deep");
	if ((*body_out = json_loadb(r->in->body, r->in->body_len, JSON_REJECT_DUPLICATES, &error)) == NULL)
		return refuse(r, KMN_E_MALFORMED, "the body is not JSON:", error.text);
	if (!json_is_object(*body_out))
		return refuse(r, KMN_E_MALFORMED, "", "the body is not a JSON object");
	r->body = *body_out;
	return KMN_OK;
}

/* NULL: it is not there, or no text. */
static const char *
text_of(struct reading *r, const json_t *object, const char *name, size_t *len_out)
{
	const json_t *value = json_object_get(object, name);

	*len_out = json_string_length(value);
	if (object == r->body && value != NULL)
		r->members++;
	return json_string_value(value);
}

static kmn_err
read_text(struct reading *r, const struct kmn_api_field *f)
{
	size_t len;
	const char *text = text_of(r, r->body, f->name, &len);

	if (text == NULL && (f->kind != KMN_API_WORDS || json_object_get(r->body, f->name) != NULL))
		return refuse(r, KMN_E_MALFORMED, f->name, "is not there, or is no text");
	if (len > f->most)
		return refuse(r, KMN_E_TOO_BIG, f->name, "is too long");
	kmn_writer_bytes(r->w, text, len);
	return r->w->err;
}

static kmn_err
read_number(struct reading *r, const struct kmn_api_field *f)
{
	const json_t *value = json_object_get(r->body, f->name);

	if (value != NULL) {
		r->members++;
		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		    (uint64_t)json_integer_value(value) > KMN_JSON_INT_MAX)
			return refuse(r, KMN_E_MALFORMED, f->name, "is not a number, or is out of its bounds");
	}
	kmn_writer_u64(r->w, (uint64_t)json_integer_value(value));
	return KMN_OK;
}

/* Room for what the text can hold: a text that came is as long as it is. */
static kmn_err
read_bytes(struct reading *r, const struct kmn_api_field *f)
{
	size_t text_len, len = 0, room;
	const char *text = text_of(r, r->body, f->name, &text_len);
	uint8_t *bytes;
	kmn_err e;

	if (text == NULL && json_object_get(r->body, f->name) != NULL)
		return refuse(r, KMN_E_MALFORMED, f->name, "is no text");
	room = text_len / 4 * 3 + 3;
	if ((bytes = malloc(room)) == NULL)
		return KMN_E_NO_MEMORY;
	e = text == NULL ? KMN_OK : kmn_b64_parse(text, text_len, bytes, room, &len);
	if (e != KMN_OK)
		e = refuse(r, KMN_E_MALFORMED, f->name, "is not base64");
	else if (len > f->most)
		e = refuse(r, KMN_E_TOO_BIG, f->name, "is too long");
	else
		kmn_writer_bytes(r->w, bytes, len);
	free(bytes);
	return e;
}

static kmn_err
read_hash(struct reading *r, const struct kmn_api_field *f)
{
	uint8_t hash[KMN_HASH_BYTES] = {0};
	size_t text_len, len = 0;
	const char *text = text_of(r, r->body, f->name, &text_len);
	bool absent = json_object_get(r->body, f->name) == NULL;

	if (!(absent && f->kind == KMN_API_FILE_HASH) &&
	    (text == NULL || kmn_b64_parse(text, text_len, hash, sizeof(hash), &len) != KMN_OK || len != sizeof(hash)))
		return refuse(r, KMN_E_MALFORMED, f->name, "is not the base64 of 32 bytes");
	kmn_writer_raw(r->w, hash, sizeof(hash));
	return KMN_OK;
}

/* ---- what a person signed ------------------------------------------------------------------------------------------ */

static kmn_err
read_part(struct reading *r, const json_t *assertion, const char *name)
{
	uint8_t bytes[ASSERTION_PART_MAX_BYTES];
	size_t text_len, len = 0;
	const char *text = text_of(r, assertion, name, &text_len);

	if (text == NULL || sodium_base642bin(bytes, sizeof(bytes), text, text_len, NULL, &len, NULL,
				sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return refuse(r, KMN_E_MALFORMED, name, "is not base64url, or is too long");
	kmn_writer_bytes(r->w, bytes, len);
	return KMN_OK;
}

static kmn_err
read_signed(struct reading *r, const struct kmn_api_field *f)
{
	static const char *const parts[] = {"authenticatorData", "clientDataJSON", "signature"};
	const struct kmn_api_field note = {KMN_API_TEXT, "note", f->most}, text = {KMN_API_TEXT, "text", f->most};
	const json_t *assertion = json_object_get(r->body, "assertion");
	kmn_err e;

	kmn_writer_u8(r->w, assertion != NULL ? 1 : 0);
	if (assertion == NULL)
		return read_text(r, &note);
	r->members++;
	if (!json_is_object(assertion) || json_object_size(assertion) != KMN_COUNT_OF(parts))
		return refuse(r, KMN_E_MALFORMED, "assertion", "is not {authenticatorData, clientDataJSON, signature}");
	e = read_text(r, &text);
	for (size_t i = 0; e == KMN_OK && i < KMN_COUNT_OF(parts); i++)
		e = read_part(r, assertion, parts[i]);
	return e;
}

/* ---- the query ----------------------------------------------------------------------------------------------------- */

static const char *
arg_of(struct reading *r, const char *name)
{
	for (size_t i = 0; i < r->in->arg_count; i++)
		if (strcmp(r->in->args[i].name, name) == 0) {
			r->args++; /* a second one of the name stays unread */
			return r->in->args[i].value;
		}
	return NULL;
}

static kmn_err
read_arg_number(struct reading *r, const struct kmn_api_field *f)
{
	const char *text = arg_of(r, f->name);
	uint64_t most = f->kind == KMN_API_ARG_FLAG ? 1 : f->kind == KMN_API_ARG_U32 ? UINT32_MAX : KMN_JSON_INT_MAX;
	uint64_t number = f->most;

	if (text != NULL) {
		size_t n = strspn(text, "0123456789");

		number = n > 0 && n <= DIGITS_MAX && text[n] == '\0' ? strtoull(text, NULL, 10) : UINT64_MAX;
	}
	if (number > most)
		return refuse(r, KMN_E_MALFORMED, f->name, "is not a number, or is out of its bounds");
	if (f->kind == KMN_API_ARG_FLAG)
		kmn_writer_u8(r->w, (uint8_t)number);
	else if (f->kind == KMN_API_ARG_U32)
		kmn_writer_u32(r->w, (uint32_t)number);
	else
		kmn_writer_u64(r->w, number);
	return KMN_OK;
}

static kmn_err
read_arg_text(struct reading *r, const struct kmn_api_field *f)
{
	const char *text = arg_of(r, f->name);

	if (text != NULL && strlen(text) > f->most)
		return refuse(r, KMN_E_TOO_BIG, f->name, "is too long");
	kmn_writer_text(r->w, text != NULL ? text : "");
	return KMN_OK;
}

/* ---- from elsewhere -------------------------------------------------------------------------------------------------- */

static kmn_err
read_own(struct reading *r, const struct kmn_api_field *f)
{
	switch (f->kind) {
	case KMN_API_ORIGIN:
		kmn_writer_text(r->w, r->in->origin);
		break;
	case KMN_API_ADDRESS:
		kmn_writer_text(r->w, r->in->address);
		break;
	case KMN_API_TLS:
		kmn_writer_text(r->w, r->in->tls_ver);
		kmn_writer_text(r->w, r->in->tls_suite);
		break;
	case KMN_API_SPKI:
		if (r->in->spki_sha256 == NULL)
			return refuse(r, KMN_E_PEER, "", "the browser showed no certificate");
		kmn_writer_raw(r->w, r->in->spki_sha256, KMN_HASH_BYTES);
		break;
	case KMN_API_PATH:
		kmn_writer_u64(r->w, r->in->number);
		break;
	case KMN_API_PATH_HASH:
		kmn_writer_raw(r->w, r->in->hash, KMN_HASH_BYTES);
		break;
	case KMN_API_U8:
		kmn_writer_u8(r->w, (uint8_t)f->most);
		break;
	case KMN_API_NO_NUMBER:
		kmn_writer_u64(r->w, 0);
		break;
	default:
		kmn_writer_bytes(r->w, NULL, 0);
	}
	return KMN_OK;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static kmn_err
read_field(struct reading *r, const struct kmn_api_field *f)
{
	static kmn_err (*const readers[])(struct reading *, const struct kmn_api_field *) = {
	    [KMN_API_SIGNED] = read_signed,
	    [KMN_API_ARG_FLAG] = read_arg_number,
	    [KMN_API_ARG_U32] = read_arg_number,
	    [KMN_API_ARG_U64] = read_arg_number,
	    [KMN_API_ARG_TEXT] = read_arg_text,
	    [KMN_API_TEXT] = read_text,
	    [KMN_API_WORDS] = read_text,
	    [KMN_API_NUMBER] = read_number,
	    [KMN_API_BYTES] = read_bytes,
	    [KMN_API_HASH] = read_hash,
	    [KMN_API_FILE_HASH] = read_hash,
	};

	return f->kind < KMN_COUNT_OF(readers) && readers[f->kind] != NULL ? readers[f->kind](r, f) : read_own(r, f);
}

kmn_err
kmn_api_fields(
    const struct kmn_api_row *row, const struct kmn_api_input *input, struct kmn_writer *w, struct kmn_why *why)
{
	struct reading r = {.in = input, .w = w, .why = why};
	json_t *body;
	kmn_err e = parse(&r, &body);

	for (size_t i = 0; e == KMN_OK && i < KMN_API_FIELDS_MAX && row->field[i].kind != KMN_API_END; i++)
		e = read_field(&r, &row->field[i]);
	if (e == KMN_OK && r.members != json_object_size(body))
		e = refuse(&r, KMN_E_MALFORMED, "", "the body has a member that this question does not have");
	if (e == KMN_OK && r.args != input->arg_count)
		e = refuse(&r, KMN_E_MALFORMED, "", "the query has a parameter that this question does not have");
	json_decref(body);
	return e != KMN_OK ? e : w->err;
}
