/*
 * Starting in time that does not grow with the ledger: now and then, and at a
 * clean stop, the log is told which records make up the present state; its
 * next opening replays those and what came after. Nothing here is state.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>

#define SNAPSHOT_RECORDS 4096

kmn_err
kmn_keeper_resume(void *cookie, uint64_t size)
{
	struct kmn_keeper *k = cookie;

	kmn_quorum_resume(k->quorum, size);
	k->resumed = true;
	k->snapshot_size = size;
	return KMN_OK;
}

void
kmn_keeper_snapshot(struct kmn_keeper *k)
{
	uint64_t *index;
	size_t count;
	kmn_err e;

	if (k->failed || k->unrecorded || !k->begun) /* before the guards fit nothing is written */
		return;
	if ((e = kmn_quorum_records(k->quorum, &index, &count)) == KMN_OK)
		e = kmn_log_snapshot(k->log, index, count);
	free(index);
	if (e != KMN_OK) /* the next start reads more: no reason to end this one */
		kmn_say(KMN_SAY_WARNING, "no snapshot for the next start: %s", kmn_err_text(e));
	k->snapshot_size = kmn_log_size(k->log);
}

void
kmn_keeper_snapshot_tick(struct kmn_keeper *k)
{
	if (kmn_log_size(k->log) - k->snapshot_size >= SNAPSHOT_RECORDS)
		kmn_keeper_snapshot(k);
}
