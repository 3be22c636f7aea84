/* Texts that people sign beside approvals and policies: rows of signed.h, one reader and one writer for all. */
#include "config.h"

#include "kanmon/signed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/policy.h"
#include "kanmon/statement.h"
#include "server/quorum/text.h"

#define B64_MAX_BYTES 768

static const struct {
	const char *first;
	enum kmn_record_kind record;
	const char *lines;
} rows[] = {
#define ROW(id, first, record, lines) [KMN_SIGNED_##id] = {first, KMN_R_##record, lines},
    KMN_SIGNED_ROWS(ROW)
#undef ROW
};

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool
is_origin(struct kmn_signed_line *line)
{
	return line->len <= KMN_NOTE_NAME_MAX_BYTES && memchr(line->value, ' ', line->len) == NULL &&
	       memchr(line->value, '+', line->len) == NULL;
}

static bool
read_number(const char *at, size_t len, uint64_t *number_out)
{
	uint64_t number = 0;

	if (len == 0 || len > 16 || (at[0] == '0' && len > 1))
		return false;
	for (size_t n = 0; n < len; n++) {
		if (at[n] < '0' || at[n] > '9')
			return false;
		number = number * 10 + (uint64_t)(at[n] - '0');
	}
	*number_out = number;
	return number <= KMN_JSON_INT_MAX;
}

static bool
is_number(struct kmn_signed_line *line)
{
	return read_number(line->value, line->len, &line->number);
}

static bool
read_hash(const char *at, size_t len, uint8_t hash[KMN_HASH_BYTES])
{
	size_t bytes;

	return kmn_b64_parse(at, len, hash, KMN_HASH_BYTES, &bytes) == KMN_OK && bytes == KMN_HASH_BYTES;
}

static bool
is_hash(struct kmn_signed_line *line)
{
	return read_hash(line->value, line->len, line->hash);
}

static bool
is_number_hash(struct kmn_signed_line *line)
{
	const char *space = memchr(line->value, ' ', line->len);
	size_t first = space == NULL ? 0 : (size_t)(space - line->value);

	return space != NULL && read_number(line->value, first, &line->number) &&
	       read_hash(space + 1, line->len - first - 1, line->hash);
}

static bool
is_b64(struct kmn_signed_line *line)
{
	uint8_t bytes[B64_MAX_BYTES];
	size_t len;

	return kmn_b64_parse(line->value, line->len, bytes, sizeof(bytes), &len) == KMN_OK && len > 0;
}

static bool
is_time(struct kmn_signed_line *line)
{
	int64_t ms;

	if (kmn_time_parse(line->value, line->len, &ms) != KMN_OK || ms < 0)
		return false;
	line->number = (uint64_t)ms;
	return true;
}

static bool
is_word(struct kmn_signed_line *line)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	for (size_t n = 0; n < line->len; n++)
		if (strchr(letters, line->value[n]) == NULL)
			return false;
	return line->len <= KMN_POLICY_NAME_MAX_BYTES;
}

static bool
is_value(struct kmn_signed_line *line)
{
	(void)line; /* as every line is */
	return true;
}

static const struct {
	const char *name;
	bool (*is)(struct kmn_signed_line *line);
} kinds[] = {
    {"origin", is_origin},
    {"policy", is_number_hash},
    {"ref", is_number_hash},
    {"head", is_number_hash},
    {"hash", is_hash},
    {"b64", is_b64},
    {"number", is_number},
    {"time", is_time},
    {"word", is_word},
    {"value", is_value},
};

static bool
kind_fits(const char *kind, size_t len, struct kmn_signed_line *line)
{
	for (size_t n = 0; n < KMN_COUNT_OF(kinds); n++)
		if (strlen(kinds[n].name) == len && memcmp(kinds[n].name, kind, len) == 0)
			return kinds[n].is(line);
	KMN_BUG("a row of signed.h names a kind that does not exist");
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* A part `key=kind` of a row, `key?=kind`, `key*=kind`. */
struct part {
	const char *key, *kind;
	size_t key_len, kind_len;
	char times; /* '1', '?', '*' */
};

static bool
next_part(const char **at, struct part *part)
{
	const char *equal;

	*at += strspn(*at, " ");
	if (**at == '\0')
		return false;
	if ((equal = strchr(*at, '=')) == NULL || equal == *at)
		KMN_BUG("a row of signed.h is malformed");
	part->key = *at;
	part->times = equal[-1] == '?' || equal[-1] == '*' ? equal[-1] : '1';
	part->key_len = (size_t)(equal - *at) - (part->times != '1');
	part->kind = equal + 1;
	part->kind_len = strcspn(part->kind, " ");
	*at = part->kind + part->kind_len;
	return true;
}

/* What is left of a text. */
struct rest {
	const char *at, *end;
};

/* Takes the next line if it has this key; false: another comes, or it is no line. */
static bool
take_line(struct rest *rest, const struct part *part, struct kmn_signed *said)
{
	struct kmn_signed_line *line = &said->line[said->count];
	size_t left = (size_t)(rest->end - rest->at);
	const char *lf;

	if (said->count == KMN_SIGNED_LINES_MAX || left <= part->key_len ||
	    memcmp(rest->at, part->key, part->key_len) != 0 || rest->at[part->key_len] != ' ' ||
	    (lf = memchr(rest->at, '\n', left)) == NULL)
		return false;
	*line = (struct kmn_signed_line){.key = part->key, .key_len = part->key_len};
	line->value = rest->at + part->key_len + 1;
	line->len = (size_t)(lf - line->value);
	if (!text_is_value(line->value, line->len, KMN_SIGNED_VALUE_MAX_BYTES) ||
	    !kind_fits(part->kind, part->kind_len, line))
		return false;
	rest->at = lf + 1;
	said->count++;
	return true;
}

static kmn_err
bad_line(const struct kmn_signed *said, const struct part *part, struct kmn_why *why)
{
	kmn_why_set(why, "%s: line %zu is no '%.*s' as it must stand there", rows[said->kind].first, said->count + 2,
	    (int)part->key_len, part->key);
	return KMN_E_MALFORMED;
}

static bool
begins(const char *text, size_t len, const char *first)
{
	size_t n = strlen(first);

	return len > n && memcmp(text, first, n) == 0 && text[n] == '\n';
}

kmn_err
kmn_signed_read(const char *text, size_t len, struct kmn_signed *said, struct kmn_why *why)
{
	struct rest rest = {text, text + len};
	struct part part;
	const char *at;
	unsigned kind = 0;

	*said = (struct kmn_signed){.text = text, .len = len};
	while (kind < KMN_SIGNED_COUNT && !begins(text, len, rows[kind].first))
		kind++;
	if (kind == KMN_SIGNED_COUNT) {
		kmn_why_set(why, "its first line is that of nothing that is signed here");
		return KMN_E_NOT_FOUND;
	}
	said->kind = (enum kmn_signed_kind)kind;
	if (len > KMN_SIGNED_MAX_BYTES) {
		kmn_why_set(why, "%s: longer than %u bytes", rows[kind].first, KMN_SIGNED_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	rest.at += strlen(rows[kind].first) + 1;
	for (at = rows[kind].lines; next_part(&at, &part);) {
		bool took = take_line(&rest, &part, said);

		if (!took && part.times == '1')
			return bad_line(said, &part, why);
		while (took && part.times == '*')
			took = take_line(&rest, &part, said);
	}
	if (rest.at == rest.end)
		return KMN_OK;
	kmn_why_set(why, "%s: line %zu must not stand there", rows[kind].first, said->count + 2);
	return KMN_E_MALFORMED;
}

const struct kmn_signed_line *
kmn_signed_line(const struct kmn_signed *said, const char *key, size_t n)
{
	for (size_t i = 0; i < said->count; i++)
		if (strlen(key) == said->line[i].key_len && memcmp(key, said->line[i].key, strlen(key)) == 0 &&
		    n-- == 0)
			return &said->line[i];
	return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

kmn_err
kmn_signed_make(
    enum kmn_signed_kind kind, const struct kmn_signed_pair *pair, size_t count, char **text_out, struct kmn_why *why)
{
	struct kmn_signed said;
	struct text t;
	kmn_err e;

	text_init(&t, KMN_SIGNED_MAX_BYTES);
	text_printf(&t, "%s\n", rows[kind].first);
	for (size_t n = 0; n < count; n++)
		text_printf(&t, "%s %s\n", pair[n].key, pair[n].value);
	if ((e = text_take(&t, text_out)) == KMN_OK &&
	    (e = kmn_signed_read(*text_out, strlen(*text_out), &said, why)) != KMN_OK) {
		free(*text_out);
		*text_out = NULL;
	}
	return e;
}

char *
kmn_signed_value(const char *text)
{
	char *value = NULL;
	struct text t;

	text_init(&t, KMN_SIGNED_VALUE_MAX_BYTES);
	text_escaped(&t, text[0] != '\0' ? text : "none", text[0] != '\0' ? strlen(text) : 4, "");
	return text_take(&t, &value) == KMN_OK ? value : NULL;
}

void
kmn_signed_number_hash(uint64_t number, const uint8_t hash[KMN_HASH_BYTES], char out[KMN_SIGNED_PAIR_BYTES])
{
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	kmn_b64(hash, KMN_HASH_BYTES, b64);
	(void)snprintf(out, KMN_SIGNED_PAIR_BYTES, "%" PRIu64 " %s", number, b64);
}

const char *
kmn_signed_first_line(enum kmn_signed_kind kind)
{
	return rows[kind].first;
}

enum kmn_record_kind
kmn_signed_record(enum kmn_signed_kind kind)
{
	return rows[kind].record;
}

enum kmn_signed_kind
kmn_signed_of_record(enum kmn_record_kind record)
{
	unsigned kind = 0;

	while (kind < KMN_SIGNED_COUNT && (rows[kind].record != record || record == KMN_R_ACTION))
		kind++;
	return (enum kmn_signed_kind)kind;
}
