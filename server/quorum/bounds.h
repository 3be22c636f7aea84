/* What a rule asks of the content beyond its kind: the words after `content KIND` (docs/policy.md, "Bounds"). */
#ifndef KANMON_SERVER_QUORUM_BOUNDS_H
#define KANMON_SERVER_QUORUM_BOUNDS_H

#include "kanmon/content.h"
#include "server/quorum/text.h"

struct bound_form;

struct bound {
	const struct bound_form *form;
	char *text;     /* what stands behind the sign, quotation marks dropped */
	int64_t number; /* seconds, a count, or 0 and 1 */
};

/*
 * Read one word (`validity<=3650d`) of a rule for contents of that kind. out->text points into `word`: keep a copy.
 * False: it is none, and `why` says so in a line for people.
 */
bool bound_parse(const char *word, enum kmn_content_kind kind, struct bound *out, char *why, size_t why_size);

/* Does it hold for this content? `now`: ms since the epoch; bounds in time are measured from it. */
bool bound_holds(const struct bound *bound, const struct kmn_content_facts *facts, int64_t now);

/* The word that it was read from, as in the policy but without quotation marks. */
void bound_put(struct text *t, const struct bound *bound);

#endif
