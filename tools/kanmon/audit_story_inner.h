/* What the two halves of a story share: audit_story.c reads it out of a ledger, audit_story_digests.c compares. */
#ifndef KANMON_TOOLS_AUDIT_STORY_INNER_H
#define KANMON_TOOLS_AUDIT_STORY_INNER_H

#include "kanmon/quorum.h"
#include "tools/kanmon/audit_rows.h"
#include "tools/kanmon/audit_story.h"

/* One reading of a ledger for one request. */
struct kmn_story {
	struct kmn_store *store;
	struct kmn_rows *rows;
	struct kmn_quorum *quorum;
	struct kmn_tree *tree;
	uint64_t i;    /* the intent */
	uint64_t chan; /* by which it came */
	struct kmn_record intent, statement, decision,
	    result;                      /* owners of our own; owner NULL: none. The last of each */
	const struct kmn_policy *policy; /* in force at the intent */
	char *again;                     /* the statement made again */
	json_t *records, *votes, *findings;
	json_t *notes; /* [index, text] of every valid note, for the comparison */
	struct kmn_compared compared;
	uint64_t not_before, not_after; /* ms, of time stamps around it; 0: none */
	uint64_t last;                  /* last record of the story */
	uint8_t peer_spki[KMN_HASH_BYTES];
	uint64_t channel; /* record of the channel that asked, 0: not seen */
	uint64_t *window; /* requests for windows: their votes let others run */
	size_t windows;
};

/* Every digest that must be the same beside each of its appearances, into story->compared; once all is read. */
void kmn_story_compare(struct kmn_story *story);

#endif
