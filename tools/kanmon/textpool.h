/* Texts that come again and again (names, labels, mechanisms), each kept once. */
#ifndef KANMON_TOOLS_TEXTPOOL_H
#define KANMON_TOOLS_TEXTPOOL_H

#include <stddef.h>

struct kmn_textpool { /* all zero: empty */
	char **text;
	size_t count, room; /* room is a power of two */
};

/* The one copy of this text, until the pool is cleared; NULL: out of memory. */
const char *kmn_textpool_keep(struct kmn_textpool *pool, const char *text);
void kmn_textpool_clear(struct kmn_textpool *pool);

#endif
