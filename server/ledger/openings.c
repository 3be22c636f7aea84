/* The form of a file of openings. Whether they open anything is check_openings.c. */
#include "config.h"

#include "kanmon/openings.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST "kanmon/openings/v1"
#define WORDS 5

struct word {
	const char *at;
	size_t len;
};

/* The words of a line, one blank between two; false: not that many. */
static bool
split(const char *line, size_t len, struct word word[WORDS])
{
	const char *end = line + len;

	for (size_t n = 0; n < WORDS; n++) {
		const char *blank = n + 1 < WORDS ? memchr(line, ' ', (size_t)(end - line)) : end;

		if (blank == NULL)
			return false;
		word[n] = (struct word){line, (size_t)(blank - line)};
		line = blank + 1;
	}
	return true;
}

static bool
read_index(const struct word *word, uint64_t *index_out)
{
	uint64_t index = 0;

	if (word->len == 0 || word->len > 16 || (word->at[0] == '0' && word->len > 1))
		return false;
	for (size_t n = 0; n < word->len; n++) {
		if (word->at[n] < '0' || word->at[n] > '9')
			return false;
		index = index * 10 + (uint64_t)(word->at[n] - '0');
	}
	*index_out = index;
	return index <= KMN_JSON_INT_MAX;
}

static bool
read_field(const struct word *word, char field[KMN_OPENING_FIELD_MAX_BYTES + 1])
{
	if (word->len == 0 || word->len > KMN_OPENING_FIELD_MAX_BYTES || !kmn_json_text_ok(word->at, word->len, false))
		return false;
	memcpy(field, word->at, word->len);
	field[word->len] = '\0';
	return true;
}

static kmn_err
read_line(const char *line, size_t len, struct kmn_opened *opened)
{
	struct word word[WORDS];
	size_t salt_len, room;

	if (!split(line, len, word) || word[0].len != strlen("opening") ||
	    memcmp(word[0].at, "opening", word[0].len) != 0 || !read_index(&word[1], &opened->index) ||
	    !read_field(&word[2], opened->field) ||
	    kmn_b64_parse(word[3].at, word[3].len, opened->salt, sizeof(opened->salt), &salt_len) != KMN_OK ||
	    salt_len != sizeof(opened->salt))
		return KMN_E_MALFORMED;
	room = word[4].len / 4 * 3 + 1;
	if ((opened->value = malloc(room)) == NULL)
		return KMN_E_NO_MEMORY;
	return kmn_b64_parse(word[4].at, word[4].len, opened->value, room, &opened->len);
}

static kmn_err
add_line(struct kmn_openings *openings, const char *line, size_t len)
{
	struct kmn_opened *more;

	if ((openings->count & (openings->count - 1)) == 0) {
		size_t room = openings->count == 0 ? 1 : 2 * openings->count;

		if ((more = realloc(openings->opened, room * sizeof(*more))) == NULL)
			return KMN_E_NO_MEMORY;
		openings->opened = more;
	}
	memset(&openings->opened[openings->count], 0, sizeof(*openings->opened));
	openings->count++; /* also what fails is there to be cleared */
	return read_line(line, len, &openings->opened[openings->count - 1]);
}

static int
by_index(const void *a, const void *b)
{
	const struct kmn_opened *x = a, *y = b;

	return (x->index > y->index) - (x->index < y->index);
}

kmn_err
kmn_openings_parse(const char *text, size_t len, struct kmn_openings *openings_out, struct kmn_why *why)
{
	const char *at = text, *end = text + len;
	unsigned number = 0;
	kmn_err e = KMN_OK;

	memset(openings_out, 0, sizeof(*openings_out));
	if (len > KMN_OPENINGS_MAX_BYTES) {
		kmn_why_set(why, "a file of openings has at most %u bytes", KMN_OPENINGS_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	while (e == KMN_OK && at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t line_len = lf == NULL ? 0 : (size_t)(lf - at);

		number++;
		if (lf == NULL)
			e = KMN_E_MALFORMED;
		else if (number == 1)
			e = line_len == strlen(FIRST) && memcmp(at, FIRST, line_len) == 0 ? KMN_OK : KMN_E_MALFORMED;
		else
			e = add_line(openings_out, at, line_len);
		at = lf == NULL ? end : lf + 1;
	}
	if (e == KMN_OK && number == 0)
		e = KMN_E_MALFORMED;
	if (e == KMN_OK && openings_out->count > 0)
		qsort(openings_out->opened, openings_out->count, sizeof(*openings_out->opened), by_index);
	if (e != KMN_OK)
		kmn_why_set(why,
		    "line %u: openings are a line " FIRST
		    ", then lines of opening, index, field, salt and value in base64",
		    number);
	return e;
}

void
kmn_openings_clear(struct kmn_openings *openings)
{
	for (size_t i = 0; i < openings->count; i++) {
		if (openings->opened[i].value != NULL)
			sodium_memzero(openings->opened[i].value, openings->opened[i].len);
		free(openings->opened[i].value);
	}
	free(openings->opened);
	memset(openings, 0, sizeof(*openings));
}
