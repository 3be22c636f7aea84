/* Reading a ledger for its own sake: what show, prove and late proofs need. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kanmon/verify.h"
#include "server/ledger/chain.h"

struct reading {
	kmn_ledger_record *record;
	void *cookie;
	char file[KMN_SEGMENT_NAME_BYTES];
};

static kmn_err
each_record(
    void *cookie, const struct kmn_record *record, kmn_err body, uint64_t line, uint64_t offset, struct kmn_why *why)
{
	struct reading *reading = cookie;
	struct kmn_place place = {reading->file, line, record->i};

	(void)body; /* whether the type is known is for those who judge */
	(void)offset;
	(void)why;
	return reading->record(reading->cookie, record, &place);
}

/* The tail after the last commit of the last segment is not part of the ledger, and no damage. */
static kmn_err
read_segment(struct reading *reading, struct kmn_walk *walk, uint64_t first, bool last, struct kmn_why *why)
{
	kmn_err e;

	(void)snprintf(reading->file, sizeof(reading->file), KMN_SEGMENT_NAME, first);
	if (first != walk->chain.front.size) {
		kmn_why_set(why, "%s does not follow the segment before it", reading->file);
		return KMN_E_CORRUPT;
	}
	kmn_chain_turn(&walk->chain);
	if ((e = kmn_walk_file(walk, first, 0)) != KMN_OK)
		return e;
	if (walk->end == KMN_WALK_STOPPED)
		return walk->error;
	if (walk->end == KMN_WALK_BAD || (walk->end == KMN_WALK_TAIL && !last)) {
		kmn_why_set(why, "%s line %" PRIu64 ": %.160s", reading->file, walk->line, walk->why.text);
		return KMN_E_CORRUPT;
	}
	walk->chain = walk->good;
	return KMN_OK;
}

kmn_err
kmn_ledger_read(struct kmn_store *store, kmn_ledger_record *record, void *cookie, struct kmn_why *why)
{
	struct reading reading = {.record = record, .cookie = cookie};
	struct kmn_walk walk = {.store = store, .record = each_record, .cookie = &reading};
	uint64_t *first;
	size_t count;
	kmn_err e;

	kmn_why_set(why, "%s", "");
	/* How full a segment must be is the verifier's question: any length is read. */
	kmn_chain_init(&walk.chain, NULL, UINT64_MAX, UINT64_MAX);
	if ((e = kmn_segments(store, &first, &count, why)) != KMN_OK)
		return e;
	for (size_t n = 0; e == KMN_OK && n < count; n++)
		e = read_segment(&reading, &walk, first[n], n + 1 == count, why);
	free(first);
	kmn_walk_clear(&walk);
	return e;
}
