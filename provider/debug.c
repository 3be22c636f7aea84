#include "config.h"

#include "provider/debug.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *const words[KMN_TOPIC_COUNT] = {
    [KMN_TOPIC_CONFIG] = "config",
    [KMN_TOPIC_CHANNEL] = "channel",
    [KMN_TOPIC_CALL] = "call",
    [KMN_TOPIC_WAIT] = "wait",
    [KMN_TOPIC_HEAL] = "heal",
    [KMN_TOPIC_RECEIPT] = "receipt",
};

static atomic_uint topics; /* a bit for each topic */

void
kmn_debug_init(void)
{
	const char *asked = secure_getenv("KMN_DEBUG");
	unsigned chosen = 0;

	while (asked != NULL && *asked != '\0') {
		size_t len = strcspn(asked, ",");

		for (unsigned i = 0; i < KMN_TOPIC_COUNT; i++) {
			bool all = len == strlen("all") && memcmp(asked, "all", len) == 0;

			if (all || (len == strlen(words[i]) && memcmp(asked, words[i], len) == 0))
				chosen |= 1u << i;
		}
		asked += len + (asked[len] == ',' ? 1 : 0);
	}
	atomic_store(&topics, chosen);
}

bool
kmn_debug_on(enum kmn_topic topic)
{
	return (atomic_load_explicit(&topics, memory_order_relaxed) & 1u << topic) != 0;
}

void
kmn_debug(enum kmn_topic topic, const char *text, ...)
{
	char line[LINE_MAX_BYTES];
	size_t len;
	va_list ap;

	if (!kmn_debug_on(topic))
		return;
	(void)snprintf(line, sizeof(line), "kanmon[%ld] %s: ", (long)getpid(), words[topic]);
	len = strlen(line);
	va_start(ap, text);
	(void)vsnprintf(line + len, sizeof(line) - len - 1, text, ap);
	va_end(ap);
	len = strlen(line);
	for (size_t i = 0; i < len; i++) { /* reasons come from the other end: no control characters onto a terminal */
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	/* stderr may be closed or full: a debug line is never worth an error */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
