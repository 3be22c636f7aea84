/* What kmn_policy_diff() is made of. */
#ifndef KANMON_SERVER_QUORUM_POLICY_DIFF_H
#define KANMON_SERVER_QUORUM_POLICY_DIFF_H

#include "server/quorum/policy.h"
#include "server/quorum/text.h"

#define POLICY_DIFF_LINE_MAX 1024

struct policy_diff {
	const struct kmn_policy *before, *after;
	kmn_policy_diff_fn fn;
	void *cookie;
	size_t count;
};

/* Say one line about somebody or something. */
void policy_diff_say(struct policy_diff *d, const char *whose, const char *format, ...) KMN_PRINTF(3, 4);

/* Rules that are new, gone, moved or say something else. */
void policy_diff_rules(struct policy_diff *d);
/* Calls that would be decided otherwise. */
void policy_diff_effects(struct policy_diff *d);

#endif
