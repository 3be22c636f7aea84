/*
 * What the provider tells, and only if it is asked to: KMN_DEBUG names topics
 * ("call,wait", or "all"), read with secure_getenv at C_Initialize. Lines go to
 * stderr, each with one write(2). Never a PIN, never data, never a key.
 */
#ifndef KANMON_PROVIDER_DEBUG_H
#define KANMON_PROVIDER_DEBUG_H

#include "kanmon/base.h"

enum kmn_topic {
	KMN_TOPIC_CONFIG,  /* which file, and what is wrong with it */
	KMN_TOPIC_CHANNEL, /* connections made, lost, and why */
	KMN_TOPIC_CALL,    /* number, function, result; refusals with their reason */
	KMN_TOPIC_WAIT,    /* calls held for approval, with the id of the request */
	KMN_TOPIC_HEAL,    /* what is built up again, and what is not */
	KMN_TOPIC_RECEIPT, /* what does not hold, and where the evidence is */
	KMN_TOPIC_COUNT
};

/* Reads the environment anew. Any thread; called by C_Initialize. */
void kmn_debug_init(void);
bool kmn_debug_on(enum kmn_topic topic);
void kmn_debug(enum kmn_topic topic, const char *text, ...) KMN_PRINTF(2, 3);

#endif
