#include "server/quorum/text.h"

#include "kanmon/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
text_init(struct text *t, size_t max_bytes)
{
	memset(t, 0, sizeof(*t));
	t->max = max_bytes;
}

void
text_clear(struct text *t)
{
	free(t->bytes);
	memset(t, 0, sizeof(*t));
}

static bool
reserve(struct text *t, size_t more)
{
	size_t want = t->len + more + 1;
	char *bytes;

	if (t->err != KMN_OK)
		return false;
	if (more > t->max || t->len > t->max - more) {
		t->err = KMN_E_TOO_BIG;
		return false;
	}
	if (want <= t->size)
		return true;
	want = want < 256 ? 256 : want * 2;
	if ((bytes = realloc(t->bytes, want)) == NULL) {
		t->err = KMN_E_NO_MEMORY;
		return false;
	}
	t->bytes = bytes;
	t->size = want;
	return true;
}

void
text_add(struct text *t, const char *bytes, size_t len)
{
	if (!reserve(t, len))
		return;
	if (len > 0)
		memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	t->bytes[t->len] = 0;
}

void
text_put(struct text *t, const char *string)
{
	text_add(t, string, strlen(string));
}

void
text_printf(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0 || !reserve(t, (size_t)n))
		return;
	va_start(args, format);
	vsnprintf(t->bytes + t->len, (size_t)n + 1, format, args);
	va_end(args);
	t->len += (size_t)n;
}

void
text_hex(struct text *t, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text_printf(t, "%02x", bytes[i]);
}

void
text_b64(struct text *t, const uint8_t *bytes, size_t len)
{
	if (!reserve(t, KMN_B64_LEN(len)))
		return;
	kmn_b64(bytes, len, t->bytes + t->len);
	t->len += KMN_B64_LEN(len);
}

/* Length of the well-formed UTF-8 sequence at `s`, its code point in *out; 0 where there is none. */
static size_t
utf8(const uint8_t *s, size_t len, uint32_t *out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));

	if (s[0] >= 0xf5 || n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return 0;
	*out = c;
	return n;
}

/*
 * Characters that are not seen, change the order of others, or join the one before: shown by number. Combining marks
 * are among them, so that a decomposed text never looks like a composed one.
 */
static bool
is_hidden(uint32_t c)
{
	static const uint32_t ranges[][2] = {
	    {0x00, 0x1f},
	    {0x7f, 0xa0},
	    {0xad, 0xad},
	    {0x300, 0x36f},
	    {0x483, 0x489},
	    {0x591, 0x5c7},
	    {0x600, 0x605},
	    {0x610, 0x61c},
	    {0x64b, 0x65f},
	    {0x115f, 0x1160},
	    {0x1680, 0x1680},
	    {0x17b4, 0x17b5},
	    {0x180b, 0x180f},
	    {0x1ab0, 0x1aff},
	    {0x1dc0, 0x1dff},
	    {0x2000, 0x200f},
	    {0x2028, 0x202f},
	    {0x205f, 0x206f},
	    {0x20d0, 0x20ff},
	    {0x3000, 0x3000},
	    {0x302a, 0x302f},
	    {0x3099, 0x309a},
	    {0x3164, 0x3164},
	    {0xd800, 0xf8ff},
	    {0xfdd0, 0xfdef},
	    {0xfe00, 0xfe0f},
	    {0xfe20, 0xfe2f},
	    {0xfeff, 0xfeff},
	    {0xffa0, 0xffa0},
	    {0xfff0, 0xfffb},
	    {0xfffe, 0xffff},
	    {0x1bca0, 0x1bca3},
	    {0x1d173, 0x1d17a},
	    {0xe0000, 0x10ffff},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return (c & 0xfffe) == 0xfffe;
}

void
text_escaped(struct text *t, const char *bytes, size_t len, const char *specials)
{
	const uint8_t *s = (const uint8_t *)bytes;

	for (size_t at = 0; at < len;) {
		uint32_t c = 0;
		size_t n = utf8(s + at, len - at, &c);

		if (n == 0) {
			text_printf(t, "\\x{%02x}", s[at++]);
			continue;
		}
		if (is_hidden(c) || (c == ' ' && (at == 0 || at + n == len)))
			text_printf(t, "\\u{%x}", c);
		else if (c == '\\' || (c < 0x80 && strchr(specials, (int)c) != NULL))
			text_printf(t, "\\%c", (int)c);
		else
			text_add(t, bytes + at, n);
		at += n;
	}
}

bool
text_is_value(const char *bytes, size_t len, size_t max)
{
	const uint8_t *s = (const uint8_t *)bytes;

	if (len == 0 || len > max || bytes[0] == ' ' || bytes[len - 1] == ' ')
		return false;
	for (size_t at = 0, n = 0; at < len; at += n) {
		uint32_t c = 0;

		if ((n = utf8(s + at, len - at, &c)) == 0 || is_hidden(c))
			return false;
	}
	return true;
}

kmn_err
text_take(struct text *t, char **out)
{
	kmn_err e;

	*out = NULL;
	text_add(t, "", 0);
	if ((e = t->err) == KMN_OK) {
		*out = t->bytes;
		t->bytes = NULL;
	}
	text_clear(t);
	return e;
}

char *
text_next_value(char **at, const char *key)
{
	size_t n = strlen(key);
	char *value = *at, *lf = strchr(value, '\n');

	if (lf == NULL || strncmp(value, key, n) != 0 || value[n] != ' ')
		return NULL;
	*lf = '\0';
	*at = lf + 1;
	return value + n + 1;
}
