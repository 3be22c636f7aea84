#include "config.h"

#include "tools/kanmon/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[KMN_WORD_COUNT][KMN_LANGUAGE_COUNT] = {
#define ROW(id, en, ja) [id] = {en, ja},
    KMN_WORD_ROWS(ROW)
#undef ROW
};

static const struct {
	const char *key, *ja;
} keys[] = {
#define ROW(key, ja) {key, ja},
    KMN_KEY_ROWS(ROW)
#undef ROW
};

bool
kmn_language_get(const char *option, enum kmn_language *language_out)
{
	static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
	const char *value = option;

	*language_out = KMN_ENGLISH;
	for (size_t i = 0; value == NULL && i < KMN_COUNT_OF(variables); i++) {
		value = getenv(variables[i]);
		if (value != NULL && value[0] == '\0')
			value = NULL;
	}
	if (value != NULL && strncmp(value, "ja", 2) == 0)
		*language_out = KMN_JAPANESE;
	return option == NULL || strcmp(option, "en") == 0 || strcmp(option, "ja") == 0;
}

const char *
kmn_word_text(enum kmn_language language, enum kmn_word word)
{
	return words[word][language];
}

void
kmn_word(enum kmn_language language, enum kmn_word word, const char *value, char *out, size_t room)
{
	const char *text = words[word][language], *at = strchr(text, '$');

	if (at == NULL)
		(void)snprintf(out, room, "%s", text);
	else
		(void)snprintf(out, room, "%.*s%s%s", (int)(at - text), text, value != NULL ? value : "", at + 1);
}

const char *
kmn_key_text(enum kmn_language language, const char *key, size_t len)
{
	for (size_t i = 0; language == KMN_JAPANESE && i < KMN_COUNT_OF(keys); i++)
		if (strlen(keys[i].key) == len && memcmp(keys[i].key, key, len) == 0)
			return keys[i].ja;
	return NULL;
}

/*
 * East Asian Width W and F take two columns. Ambiguous ones (Greek, Cyrillic, box drawings..) take one or two, as the
 * terminal likes: counted as two, so that no line is longer than was thought.
 */
static bool
is_wide(unsigned long c)
{
	static const unsigned long ranges[][2] = {{0xa1, 0xff}, {0x391, 0x451}, {0x1100, 0x115f}, {0x2010, 0x2027},
	    {0x2030, 0x205e}, {0x2070, 0x27ff}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xa960, 0xa97c}, {0xac00, 0xd7a3},
	    {0xf900, 0xfaff}, {0xfe10, 0xfe19}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6},
	    {0x16fe0, 0x18aff}, {0x1b000, 0x1b2ff}, {0x1f000, 0x1faff}, {0x20000, 0x3fffd}};

	for (size_t i = 0; i < KMN_COUNT_OF(ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return false;
}

unsigned
kmn_columns_of(const char *text, size_t *len_out)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	unsigned long c = len == 1 ? at[0] : at[0] & (0x7fu >> len);

	*len_out = 1;
	for (size_t i = 1; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 1; /* no UTF-8: byte by byte */
		c = c << 6 | (at[i] & 0x3f);
	}
	*len_out = len;
	return is_wide(c) ? 2 : 1;
}
