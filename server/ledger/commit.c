/* The committer: batches to disk, checkpoints after them. Nothing here knows what a record means. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/ledger/inner.h"

void
kmn_batch_free(struct kmn_batch *batch)
{
	if (batch == NULL)
		return;
	free(batch->bytes);
	free(batch);
}

/* The offsets of a sealed segment's records, u32 each: derived, for readers that seek. */
static kmn_err
write_offsets(struct kmn_log *log, uint64_t first)
{
	char name[KMN_SEGMENT_NAME_BYTES], off[KMN_SEGMENT_NAME_BYTES + 4], *bytes = NULL;
	uint8_t *table = NULL;
	size_t len, count = 0;
	kmn_err e;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, first);
	(void)snprintf(off, sizeof(off), "%s.off", name + 4);
	if ((e = kmn_store_read(log->store, name, log->disk_offset, &bytes, &len)) != KMN_OK)
		return e;
	if ((table = malloc((log->disk.front.size - first) * 4)) == NULL) {
		free(bytes);
		return KMN_E_NO_MEMORY;
	}
	for (size_t at = 0; at < len;) {
		const char *lf = memchr(bytes + at, '\n', len - at);

		if (lf == NULL || count > log->disk.front.size - first) {
			e = KMN_E_CORRUPT;
			break;
		}
		if (bytes[at] != '#') {
			for (unsigned n = 0; n < 4; n++)
				table[count * 4 + n] = (uint8_t)(at >> (24 - 8 * n));
			count++;
		}
		at = (size_t)(lf - bytes) + 1;
	}
	if (e == KMN_OK)
		e = kmn_store_replace(log->store, "seg", off, table, count * 4);
	free(table);
	free(bytes);
	return e;
}

static kmn_err
open_segment(struct kmn_log *log)
{
	char name[KMN_SEGMENT_NAME_BYTES];

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, log->disk.segment);
	if (!log->disk.header)
		(void)kmn_reserve_take_next(log, name);
	log->segment_fd = log->store->open(log->store, name, O_WRONLY | (log->disk.header ? 0 : O_CREAT));
	return log->segment_fd < 0 ? KMN_E_IO : KMN_OK;
}

/* A new file with its header, durable with its name before the first batch goes in. */
static kmn_err
begin_segment(struct kmn_log *log)
{
	char header[KMN_FRAMING_MAX_BYTES];
	size_t len;
	kmn_err e;

	if ((e = open_segment(log)) != KMN_OK)
		return e;
	len = kmn_chain_header(&log->disk, header);
	if ((e = kmn_store_write(log->store, log->segment_fd, header, len, 0)) != KMN_OK)
		return e;
	if (log->store->sync(log->store, log->segment_fd) < 0)
		return KMN_E_IO;
	kmn_chain_wrote_header(&log->disk, len);
	log->disk_offset = len;
	return kmn_store_sync_folder(log->store, "seg");
}

static kmn_err
ready_segment(struct kmn_log *log)
{
	kmn_err e;

	if (log->disk.header && log->disk.front.size > log->disk.segment && kmn_chain_full(&log->disk)) {
		if (log->segment_fd >= 0) {
			kmn_reserve_give_back(log);
			if (log->store->close(log->store, log->segment_fd) < 0)
				return KMN_E_IO;
		}
		log->segment_fd = -1;
		if ((e = write_offsets(log, log->disk.segment)) != KMN_OK)
			return e;
		kmn_chain_turn(&log->disk);
	}
	if (!log->disk.header)
		return begin_segment(log);
	return log->segment_fd >= 0 ? KMN_OK : open_segment(log);
}

/*
 * What the batch's own bytes lead to, computed a second time, and the
 * framing lines that close it. The owner computed the same when it queued the
 * records; a flipped bit in memory between the two ends here, not in the tree.
 */
static kmn_err
close_batch(struct kmn_batch *batch, struct kmn_chain *chain, struct kmn_edge *edge)
{
	struct kmn_record record = {.t = batch->after.t, .m = batch->after.m, .kind = batch->after.last};
	struct kmn_head here, there;
	kmn_err e;

	for (size_t at = 0; at < batch->len;) {
		const char *lf = memchr(batch->bytes + at, '\n', batch->len - at);

		if (lf == NULL)
			return KMN_E_CORRUPT;
		kmn_leaf_hash(batch->bytes + at, (size_t)(lf - batch->bytes) - at, record.leaf);
		kmn_chain_wrote_record(chain, &record, (size_t)(lf - batch->bytes) + 1 - at);
		if ((e = kmn_edge_add(edge, record.leaf)) != KMN_OK)
			return e;
		at = (size_t)(lf - batch->bytes) + 1;
	}
	kmn_frontier_head(&chain->front, &here);
	kmn_frontier_head(&batch->after.front, &there);
	if (here.size != batch->end || there.size != batch->end || memcmp(here.root, there.root, KMN_HASH_BYTES) != 0)
		return KMN_E_CORRUPT;
	if (kmn_chain_needs_mark(chain)) {
		size_t len = kmn_chain_mark(chain, batch->bytes + batch->len);

		batch->len += len;
		chain->bytes += len;
	}
	batch->len += kmn_chain_commit(chain, batch->bytes + batch->len);
	return KMN_OK;
}

kmn_err
kmn_log_commit(struct kmn_log *log, struct kmn_batch *batch)
{
	struct kmn_chain after;
	char *grown;
	kmn_err e;

	if ((grown = realloc(batch->bytes, batch->len + 2 * (size_t)KMN_FRAMING_MAX_BYTES)) == NULL)
		return KMN_E_NO_MEMORY;
	batch->bytes = grown;
	if ((e = ready_segment(log)) != KMN_OK)
		return e;
	after = log->disk;
	if ((e = close_batch(batch, &after, &log->disk_edge)) != KMN_OK)
		return e;
	kmn_reserve_ahead(log, batch->len);
	if ((e = kmn_store_write(log->store, log->segment_fd, batch->bytes, batch->len, log->disk_offset)) != KMN_OK)
		return e;
	if (log->store->datasync(log->store, log->segment_fd) < 0)
		return KMN_E_IO;
	log->disk_offset += batch->len;
	after.bytes = log->disk_offset;
	kmn_chain_wrote_commit(&after, 0);
	log->disk = after;
	kmn_reserve_next(log);
	return KMN_OK;
}

/* `checkpoint` is what the world sees; state/head says where in the files it is. */
kmn_err
kmn_log_publish(struct kmn_log *log, const struct kmn_head *head)
{
	char state[160], root[KMN_B64_LEN(KMN_HASH_BYTES) + 1], *note;
	size_t len;
	int state_len;
	kmn_err e;

	if ((e = kmn_log_write_tree(log)) != KMN_OK ||
	    (e = kmn_checkpoint_sign(log->vkey.name, head, &log->vkey, log->secret, &note, &len)) != KMN_OK)
		return e;
	if (log->publish != NULL) /* guards first: a head that the world sees must not be lost sight of */
		e = log->publish(log->publish_cookie, head, note, len);
	if (e == KMN_OK)
		e = kmn_store_replace(log->store, ".", "checkpoint", note, len);
	free(note);
	if (e != KMN_OK)
		return e;
	kmn_b64(head->root, KMN_HASH_BYTES, root);
	state_len = snprintf(state, sizeof(state), KMN_SEGMENT_NAME " %" PRIu64 " %" PRIu64 " %s\n", log->disk.segment,
	    log->disk_offset, head->size, root);
	if ((e = kmn_store_replace(log->store, "state", "head", state, (size_t)state_len)) == KMN_OK)
		log->published = head->size;
	return e;
}

/* Tells the owner's loop; the counter cannot be full in practice, and a full one is readable all the same. */
static void
ring(struct kmn_log *log)
{
	static const uint64_t one = 1;
	ssize_t wrote;

	do
		wrote = write(log->event_fd, &one, sizeof(one));
	while (wrote < 0 && errno == EINTR);
}

/* What the disk said, for all to know. The mutex is held. */
static void
settle(struct kmn_log *log, kmn_err e)
{
	if (e != KMN_OK) {
		log->poisoned = true;
		log->starved = e == KMN_E_SPACE;
	} else if (!log->poisoned) { /* a blob may have failed meanwhile: then nothing more is released */
		kmn_frontier_head(&log->disk.front, &log->durable);
	}
	ring(log);
	pthread_cond_broadcast(&log->done);
}

static struct kmn_batch *
pop(struct kmn_log *log)
{
	struct kmn_batch *batch = log->first;

	if (batch == NULL || log->durable.size >= log->flush_to)
		return NULL;
	log->first = batch->next;
	log->queued--;
	if (log->first == NULL)
		log->last = NULL;
	batch->next = NULL;
	return batch;
}

static void
deadline_after(struct timespec *at, uint32_t ms)
{
	(void)clock_gettime(CLOCK_MONOTONIC, at);
	at->tv_sec += ms / 1000;
	at->tv_nsec += (long)(ms % 1000) * 1000000;
	if (at->tv_nsec >= 1000000000) {
		at->tv_nsec -= 1000000000;
		at->tv_sec++;
	}
}

static bool
is_due(const struct timespec *at)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > at->tv_sec || (now.tv_sec == at->tv_sec && now.tv_nsec >= at->tv_nsec);
}

/* Something that is durable is not published. The mutex is held. */
static bool
has_news(const struct kmn_log *log)
{
	return log->durable.size != log->published || kmn_log_snapshot_is_due(log);
}

/* The next batch to write, or NULL when it is time to publish or to end. The mutex is held. */
static struct kmn_batch *
next_work(struct kmn_log *log, const struct timespec *publish_at)
{
	struct kmn_batch *batch = NULL;
	int timed_out = 0;

	while (timed_out == 0 && !log->poisoned && (batch = pop(log)) == NULL && !log->closing) {
		if (!has_news(log))
			(void)pthread_cond_wait(&log->work, &log->mutex);
		else
			timed_out = pthread_cond_timedwait(&log->work, &log->mutex, publish_at);
	}
	return batch;
}

/* The mutex is held, but not while the disk works. */
static void
run_commit(struct kmn_log *log, struct kmn_batch *batch)
{
	kmn_err e;

	pthread_mutex_unlock(&log->mutex);
	e = kmn_log_commit(log, batch);
	kmn_batch_free(batch);
	pthread_mutex_lock(&log->mutex);
	settle(log, e);
}

static void
run_publish(struct kmn_log *log)
{
	struct kmn_head durable = log->durable;
	kmn_err e = KMN_OK;

	if (durable.size != log->published) {
		pthread_mutex_unlock(&log->mutex);
		e = kmn_log_publish(log, &durable);
		pthread_mutex_lock(&log->mutex);
	}
	if (e == KMN_OK && kmn_log_snapshot_is_due(log))
		e = kmn_log_write_snapshot(log);
	/* Published files are derived: what does not fit on the disk now is written when there is space. */
	if (e != KMN_OK && e != KMN_E_AGAIN && e != KMN_E_SPACE)
		settle(log, e);
}

void *
kmn_log_committer(void *cookie)
{
	struct kmn_log *log = cookie;
	struct timespec publish_at;
	struct kmn_batch *batch;
	bool ended = false;

	deadline_after(&publish_at, 0);
	pthread_mutex_lock(&log->mutex);
	while (!ended && !log->poisoned) {
		batch = next_work(log, &publish_at);
		ended = batch == NULL && log->closing;
		if (batch != NULL)
			run_commit(log, batch);
		if (!log->poisoned && has_news(log) && (ended || is_due(&publish_at))) {
			run_publish(log);
			deadline_after(&publish_at, log->publish_ms);
		}
	}
	pthread_mutex_unlock(&log->mutex);
	return NULL;
}
