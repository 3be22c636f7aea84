/*
 * What the committer writes beside the segments when it publishes: tiles, the
 * edge, the owner's snapshot. All of it is about durable records, and none of
 * it is believed when it is read.
 */
#include "config.h"

#include <stdlib.h>

#include "server/ledger/inner.h"

/* Before `checkpoint`: who reads that finds the tree that goes with it, or a later one. */
kmn_err
kmn_log_write_tree(struct kmn_log *log)
{
	uint8_t *bytes;
	size_t len;
	kmn_err e = KMN_OK;

	/* One that does not fit on the disk now stays, and is written at the next time. */
	while (log->disk_edge.whole != NULL && (e = kmn_tile_write(log->store, log->disk_edge.whole)) == KMN_OK)
		free(kmn_edge_take(&log->disk_edge));
	if (e != KMN_OK || (e = kmn_edge_write(&log->disk_edge, &bytes, &len)) != KMN_OK)
		return e;
	e = kmn_store_put(log->store, "state/tree", bytes, len);
	free(bytes);
	if (e != KMN_OK)
		return e == KMN_E_SPACE ? e : KMN_E_IO;
	pthread_mutex_lock(&log->mutex);
	log->tiled = log->disk_edge.size;
	pthread_mutex_unlock(&log->mutex);
	return KMN_OK;
}

/* The mutex is held. */
bool
kmn_log_snapshot_is_due(const struct kmn_log *log)
{
	return log->snapshot != NULL && log->snapshot_size <= log->durable.size;
}

/* The mutex is held, but not while the disk works. */
kmn_err
kmn_log_write_snapshot(struct kmn_log *log)
{
	char *bytes = log->snapshot;
	size_t len = log->snapshot_len;
	kmn_err e;

	log->snapshot = NULL;
	pthread_mutex_unlock(&log->mutex);
	e = kmn_store_replace(log->store, "state", "snapshot", bytes, len);
	free(bytes);
	pthread_mutex_lock(&log->mutex);
	return e;
}
