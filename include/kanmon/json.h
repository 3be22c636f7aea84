/*
 * JSON as the ledger writes it: each line is exactly its own canonical form,
 * so hashing raw bytes and reading values can never disagree.
 *
 * The profile (docs/ledger.md 2): RFC 8785 with less. UTF-8, no space outside
 * strings; names [A-Za-z0-9_]{1,32}, sorted, unique; integers 0 <= n < 2^53;
 * no float, no null; strings without U+0000-001F except LF, U+007F,
 * U+200B-200F, U+202A-202E, U+2066-2069, U+FEFF; depth <= 6; a line is at most
 * 32,768 bytes. Where LF may stand is the record table's business (record.h).
 */
#ifndef KANMON_JSON_H
#define KANMON_JSON_H

#include <jansson.h>

#include "kanmon/err.h"

#define KMN_LINE_MAX_BYTES 32768
#define KMN_JSON_DEPTH_MAX 6
#define KMN_JSON_NAME_MAX_BYTES 32
#define KMN_JSON_INT_MAX ((UINT64_C(1) << 53) - 1)

/* Why something was refused, for people. Functions that take one accept NULL. */
struct kmn_why {
	char text[240];
};
void kmn_why_set(struct kmn_why *why, const char *format, ...) KMN_PRINTF(2, 3);

/*
 * Reads one line (without its LF). KMN_OK only if the line is byte for byte
 * what kmn_json_emit() makes of the value. *value_out is the caller's.
 */
kmn_err kmn_json_parse(const char *line, size_t len, json_t **value_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Writes `value` in canonical form; a value outside the profile is KMN_E_MALFORMED, a line that is too long
 * KMN_E_TOO_BIG. *line_out has a NUL after `*len_out` bytes and is the caller's to free(). */
kmn_err kmn_json_emit(const json_t *value, char **line_out, size_t *len_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Whether a string fits the profile; `lf` says if LF may stand in it. */
bool kmn_json_text_ok(const char *text, size_t len, bool lf);

/* A new JSON string of bytes that nobody vouches for (a token's label, a peer's name): what the profile refuses,
 * LF too, becomes '?'. NULL only without memory. */
json_t *kmn_json_label(const void *bytes, size_t len) KMN_MUST_CHECK;

/* Standard base64 with padding, as everywhere in the ledger. */
#define KMN_B64_LEN(bytes) (((size_t)(bytes) + 2) / 3 * 4)
/* `out` has room for KMN_B64_LEN(len) + 1 bytes. */
void kmn_b64(const void *bytes, size_t len, char *out);
/* Strict: exact alphabet, padding and zero trailing bits. More than `max` bytes is KMN_E_TOO_BIG. */
kmn_err kmn_b64_parse(const char *text, size_t text_len, void *out, size_t max, size_t *len_out) KMN_MUST_CHECK;

/* A new JSON string with the base64 of the bytes. NULL only without memory. */
json_t *kmn_json_b64(const void *bytes, size_t len) KMN_MUST_CHECK;
/* The member `name` as base64 of exactly `len` bytes. */
bool kmn_json_get_b64(const json_t *object, const char *name, void *out, size_t len) KMN_MUST_CHECK;
/* The member `name` as a number, or as text; false (and 0, NULL) if it is not there or not of the kind. */
bool kmn_json_get_number(const json_t *object, const char *name, uint64_t *out) KMN_MUST_CHECK;
bool kmn_json_get_text(const json_t *object, const char *name, const char **out) KMN_MUST_CHECK;
/* The same for showing: 0 or "" where it is not there or not of the kind. The text is the object's. */
uint64_t kmn_json_number(const json_t *object, const char *name);
const char *kmn_json_text(const json_t *object, const char *name);

#endif
