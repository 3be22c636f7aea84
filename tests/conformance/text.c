#include "tests/conformance/text.h"

#include <stdarg.h>
#include <stdio.h>

void
text_begin(struct text *t, char *to, size_t max, uint64_t seed)
{
	t->at = to;
	t->left = max;
	t->state = (seed + 1) * 0x9e3779b97f4a7c15u;
	*to = '\0';
}

void
text_inside(struct text *inner, const struct text *outer, char *to, size_t max)
{
	inner->at = to;
	inner->left = max;
	inner->state = outer->state;
	*to = '\0';
}

void
text_back(struct text *outer, const struct text *inner)
{
	outer->state = inner->state;
}

void
put(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->at, t->left, format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < t->left) {
		t->at += n;
		t->left -= (size_t)n;
	}
}

uint32_t
chance(struct text *t, uint32_t below)
{
	uint64_t x;

	t->state += 0x9e3779b97f4a7c15u;
	x = t->state;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return below > 0 ? (uint32_t)((x ^ (x >> 31)) >> 32) % below : 0;
}
