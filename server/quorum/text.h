/* Text that grows to a limit and keeps its first failure; the one place where foreign bytes become readable. */
#ifndef KANMON_SERVER_QUORUM_TEXT_H
#define KANMON_SERVER_QUORUM_TEXT_H

#include "kanmon/err.h"

struct text {
	char *bytes; /* NUL-terminated once anything was added */
	size_t len, size, max;
	kmn_err err;
};

void text_init(struct text *t, size_t max_bytes);
void text_clear(struct text *t);
void text_add(struct text *t, const char *bytes, size_t len);
void text_put(struct text *t, const char *string);
void text_printf(struct text *t, const char *format, ...) KMN_PRINTF(2, 3);
void text_hex(struct text *t, const uint8_t *bytes, size_t len);
void text_b64(struct text *t, const uint8_t *bytes, size_t len);
/*
 * Foreign bytes: UTF-8 stays, what a reader could not see or would be misled by becomes \u{..}, bytes that are no
 * UTF-8 \x{..}, a backslash and each character of `specials` get a backslash before them. A space at either end is
 * \u{20}.
 */
void text_escaped(struct text *t, const char *bytes, size_t len, const char *specials);
/* Is this already what text_escaped makes, at least one byte and no more than `max`? A backslash is taken as it is. */
bool text_is_value(const char *bytes, size_t len, size_t max);
/* The text, the caller's to free(); the struct is cleared. On failure *out is NULL. */
kmn_err text_take(struct text *t, char **out) KMN_MUST_CHECK;

/* The value of the next line, which must be "KEY VALUE"; it is cut out of the text. NULL: it is not, and *at stays. */
char *text_next_value(char **at, const char *key);

#endif
