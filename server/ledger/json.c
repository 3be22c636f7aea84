#include "kanmon/json.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
kmn_why_set(struct kmn_why *why, const char *format, ...)
{
	va_list ap;

	if (why == NULL)
		return;
	va_start(ap, format);
	(void)vsnprintf(why->text, sizeof(why->text), format, ap);
	va_end(ap);
}

/*
 * The next code point of UTF-8 text, by the table of well-formed sequences
 * (Unicode 3.9, table 3-7): no overlong form, no surrogate. 0 bytes: bad.
 */
static size_t
utf8_next(const uint8_t *at, size_t left, uint32_t *point_out)
{
	static const struct {
		uint8_t mask, lead, more;
		uint32_t least;
	} forms[] = {{0x80, 0x00, 0, 0}, {0xe0, 0xc0, 1, 0x80}, {0xf0, 0xe0, 2, 0x800}, {0xf8, 0xf0, 3, 0x10000}};
	uint32_t point;

	for (size_t f = 0; f < KMN_COUNT_OF(forms); f++) {
		if ((at[0] & forms[f].mask) != forms[f].lead)
			continue;
		if (forms[f].more >= left)
			return 0;
		point = at[0] & (uint32_t)(uint8_t)~forms[f].mask;
		for (size_t n = 1; n <= forms[f].more; n++) {
			if ((at[n] & 0xc0) != 0x80)
				return 0;
			point = point << 6 | (at[n] & 0x3f);
		}
		if (point < forms[f].least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
			return 0;
		*point_out = point;
		return (size_t)forms[f].more + 1;
	}
	return 0;
}

/* Controls, and what makes text look like other text: zero-width and bidirectional marks. */
static bool
point_ok(uint32_t point, bool lf)
{
	return !((point < 0x20 && !(lf && point == '\n')) || point == 0x7f || (point >= 0x200b && point <= 0x200f) ||
		 (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) || point == 0xfeff);
}

bool
kmn_json_text_ok(const char *text, size_t len, bool lf)
{
	const uint8_t *at = (const uint8_t *)text;
	uint32_t point = 0;
	size_t step;

	for (; len > 0; at += step, len -= step)
		if ((step = utf8_next(at, len, &point)) == 0 || !point_ok(point, lf))
			return false;
	return true;
}

json_t *
kmn_json_label(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint32_t point = 0;
	char *text, *put;
	json_t *string;

	if ((text = put = malloc(len + 1)) == NULL)
		return NULL;
	while (len > 0) {
		size_t step = utf8_next(at, len, &point);

		if (step == 0 || !point_ok(point, false)) {
			*put++ = '?';
			step = step == 0 ? 1 : step;
		} else {
			memcpy(put, at, step);
			put += step;
		}
		at += step;
		len -= step;
	}
	string = json_stringn(text, (size_t)(put - text));
	free(text);
	return string;
}

static bool
name_ok(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len <= KMN_JSON_NAME_MAX_BYTES && name[len] == '\0';
}

static bool profile_ok(const json_t *value, unsigned depth, struct kmn_why *why);

static bool
object_ok(const json_t *value, unsigned depth, struct kmn_why *why)
{
	json_t *object = json_incref((json_t *)(uintptr_t)value); /* jansson's iterators take no const */
	bool ok = true;

	for (void *it = json_object_iter(object); ok && it != NULL; it = json_object_iter_next(object, it)) {
		const char *name = json_object_iter_key(it);

		if (!(ok = name_ok(name)))
			kmn_why_set(why, "a member's name is not [A-Za-z0-9_]{1,32}");
		else
			ok = profile_ok(json_object_iter_value(it), depth, why);
	}
	json_decref(object);
	return ok;
}

static bool
list_ok(const json_t *value, unsigned depth, struct kmn_why *why)
{
	for (size_t n = 0; n < json_array_size(value); n++)
		if (!profile_ok(json_array_get(value, n), depth, why))
			return false;
	return true;
}

/* `depth`: levels of objects and lists around this value. */
static bool
profile_ok(const json_t *value, unsigned depth, struct kmn_why *why)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		if (depth >= KMN_JSON_DEPTH_MAX) {
			kmn_why_set(why, "deeper than %d levels", KMN_JSON_DEPTH_MAX);
			return false;
		}
		return json_is_object(value) ? object_ok(value, depth + 1, why) : list_ok(value, depth + 1, why);
	case JSON_STRING:
		if (kmn_json_text_ok(json_string_value(value), json_string_length(value), true))
			return true;
		kmn_why_set(why, "a string has a character that is not allowed");
		return false;
	case JSON_INTEGER:
		if (json_integer_value(value) >= 0 && (uint64_t)json_integer_value(value) <= KMN_JSON_INT_MAX)
			return true;
		kmn_why_set(why, "a number is not in 0..2^53-1");
		return false;
	case JSON_TRUE:
	case JSON_FALSE:
		return true;
	default:
		kmn_why_set(why, "null and fractions are not allowed");
		return false;
	}
}

kmn_err
kmn_json_emit(const json_t *value, char **line_out, size_t *len_out, struct kmn_why *why)
{
	char *line;

	*line_out = NULL;
	*len_out = 0;
	if (!json_is_object(value)) {
		kmn_why_set(why, "not an object");
		return KMN_E_MALFORMED;
	}
	if (!profile_ok(value, 0, why))
		return KMN_E_MALFORMED;
	if ((line = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS)) == NULL)
		return KMN_E_NO_MEMORY;
	if (strlen(line) > KMN_LINE_MAX_BYTES) {
		kmn_why_set(why, "the line has %zu bytes, more than %d", strlen(line), KMN_LINE_MAX_BYTES);
		free(line);
		return KMN_E_TOO_BIG;
	}
	*line_out = line;
	*len_out = strlen(line);
	return KMN_OK;
}

kmn_err
kmn_json_parse(const char *line, size_t len, json_t **value_out, struct kmn_why *why)
{
	json_error_t error;
	json_t *value = NULL;
	char *again = NULL;
	size_t again_len;
	kmn_err e;

	*value_out = NULL;
	if (len > KMN_LINE_MAX_BYTES) {
		kmn_why_set(why, "the line has %zu bytes, more than %d", len, KMN_LINE_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if ((value = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error)) == NULL) {
		kmn_why_set(why, "not JSON: %s", error.text);
		return json_error_code(&error) == json_error_out_of_memory ? KMN_E_NO_MEMORY : KMN_E_MALFORMED;
	}
	if ((e = kmn_json_emit(value, &again, &again_len, why)) != KMN_OK)
		goto done;
	if (again_len != len || memcmp(again, line, len) != 0) {
		kmn_why_set(why, "not in canonical form");
		e = KMN_E_MALFORMED;
		goto done;
	}
	*value_out = value;
	value = NULL;
done:
	free(again);
	json_decref(value);
	return e;
}

void
kmn_b64(const void *bytes, size_t len, char *out)
{
	(void)sodium_bin2base64(out, KMN_B64_LEN(len) + 1, bytes, len, sodium_base64_VARIANT_ORIGINAL);
}

kmn_err
kmn_b64_parse(const char *text, size_t text_len, void *out, size_t max, size_t *len_out)
{
	const char *end = NULL;
	size_t padding = 0;

	*len_out = 0;
	if (text_len % 4 != 0)
		return KMN_E_MALFORMED;
	while (padding < 2 && padding < text_len && text[text_len - 1 - padding] == '=')
		padding++;
	if (text_len / 4 * 3 - padding > max)
		return KMN_E_TOO_BIG;
	/* libsodium 1.0.18 takes every byte from 0x80 on for a '/'. */
	for (size_t n = 0; n < text_len; n++)
		if ((uint8_t)text[n] >= 0x80)
			return KMN_E_MALFORMED;
	/* libsodium refuses trailing bits that are not zero and padding that is not whole. */
	if (sodium_base642bin(out, max, text, text_len, NULL, len_out, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    end != text + text_len) {
		*len_out = 0;
		return KMN_E_MALFORMED;
	}
	return KMN_OK;
}

json_t *
kmn_json_b64(const void *bytes, size_t len)
{
	char *text = malloc(KMN_B64_LEN(len) + 1);
	json_t *string;

	if (text == NULL)
		return NULL;
	kmn_b64(bytes, len, text);
	string = json_string(text);
	free(text);
	return string;
}

bool
kmn_json_get_b64(const json_t *object, const char *name, void *out, size_t len)
{
	const json_t *string = json_object_get(object, name);
	size_t got;

	memset(out, 0, len);
	return json_is_string(string) &&
	       kmn_b64_parse(json_string_value(string), json_string_length(string), out, len, &got) == KMN_OK &&
	       got == len;
}

bool
kmn_json_get_number(const json_t *object, const char *name, uint64_t *out)
{
	const json_t *number = json_object_get(object, name);

	*out = 0;
	if (!json_is_integer(number) || json_integer_value(number) < 0)
		return false;
	*out = (uint64_t)json_integer_value(number);
	return true;
}

bool
kmn_json_get_text(const json_t *object, const char *name, const char **out)
{
	const json_t *string = json_object_get(object, name);

	*out = NULL;
	if (!json_is_string(string))
		return false;
	*out = json_string_value(string);
	return true;
}

uint64_t
kmn_json_number(const json_t *object, const char *name)
{
	uint64_t number;

	return kmn_json_get_number(object, name, &number) ? number : 0;
}

const char *
kmn_json_text(const json_t *object, const char *name)
{
	const char *text;

	return kmn_json_get_text(object, name, &text) ? text : "";
}
