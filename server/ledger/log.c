/* The owner's half of the writer: numbers, queue, answers. */
#include "config.h"

#include "kanmon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "server/ledger/inner.h"

static uint64_t
clock_ms(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		KMN_BUG("no clock");
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t
system_now(void *cookie)
{
	(void)cookie;
	return clock_ms(CLOCK_REALTIME);
}

static uint64_t
system_boot(void *cookie)
{
	(void)cookie;
	return clock_ms(CLOCK_BOOTTIME);
}

static void
system_random(void *cookie, void *out, size_t len)
{
	(void)cookie;
	randombytes_buf(out, len);
}

void
kmn_log_sources_system(struct kmn_log_sources *out)
{
	*out = (struct kmn_log_sources){system_now, system_boot, system_random, NULL};
}

static void
log_free(struct kmn_log *log)
{
	if (log == NULL)
		return;
	while (log->first != NULL) {
		struct kmn_batch *next = log->first->next;

		kmn_batch_free(log->first);
		log->first = next;
	}
	if (log->segment_fd >= 0)
		(void)log->store->close(log->store, log->segment_fd);
	if (log->lock_fd >= 0) /* lets go of the lock */
		(void)log->store->close(log->store, log->lock_fd);
	if (log->event_fd >= 0)
		(void)close(log->event_fd);
	kmn_tiles_free(log->tiles);
	kmn_edge_clear(&log->disk_edge);
	free(log->snapshot);
	sodium_free(log->secret);
	(void)pthread_cond_destroy(&log->work);
	(void)pthread_cond_destroy(&log->done);
	(void)pthread_mutex_destroy(&log->mutex);
	free(log);
}

static kmn_err
conds_init(struct kmn_log *log)
{
	pthread_condattr_t monotonic;
	int failed;

	if (pthread_mutex_init(&log->mutex, NULL) != 0 || pthread_cond_init(&log->done, NULL) != 0 ||
	    pthread_condattr_init(&monotonic) != 0)
		return KMN_E_NO_MEMORY;
	failed = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	if (failed == 0)
		failed = pthread_cond_init(&log->work, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	return failed == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

static kmn_err
log_new(const struct kmn_log_settings *settings, struct kmn_log **log_out)
{
	struct kmn_log *log;
	kmn_err e;

	*log_out = NULL;
	if (sodium_init() < 0)
		return KMN_E_INTERNAL;
	if ((log = calloc(1, sizeof(*log))) == NULL)
		return KMN_E_NO_MEMORY;
	log->store = settings->store;
	log->from = settings->sources;
	log->publish_ms = settings->publish_ms == 0 ? 1000 : settings->publish_ms;
	memcpy(log->snapshot_by, settings->snapshot_by, sizeof(log->snapshot_by));
	log->reserve_bytes = settings->reserve_bytes;
	log->publish = settings->publish;
	log->publish_cookie = settings->publish_cookie;
	log->lock_fd = log->segment_fd = log->event_fd = -1;
	memcpy(log->vkey.pub, settings->secret + KMN_ED25519_SECRET_BYTES - KMN_ED25519_PUBLIC_BYTES,
	    KMN_ED25519_PUBLIC_BYTES);
	e = conds_init(log);
	if (e == KMN_OK && ((log->secret = sodium_malloc(KMN_ED25519_SECRET_BYTES)) == NULL ||
			       (log->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0))
		e = KMN_E_NO_MEMORY;
	if (e != KMN_OK) {
		log_free(log);
		return e;
	}
	memcpy(log->secret, settings->secret, KMN_ED25519_SECRET_BYTES);
	(void)sodium_mprotect_readonly(log->secret);
	*log_out = log;
	return KMN_OK;
}

static kmn_err
take_lock(struct kmn_log *log, struct kmn_why *why)
{
	int failed;

	if ((log->lock_fd = log->store->open(log->store, "lock", O_RDWR | O_CREAT)) < 0) {
		kmn_why_set(why, "lock: %s", strerror(-log->lock_fd));
		return KMN_E_IO;
	}
	failed = log->store->lock(log->store, log->lock_fd);
	if (failed == -EWOULDBLOCK) {
		kmn_why_set(why, "another process writes this ledger");
		return KMN_E_BUSY;
	}
	return failed < 0 ? KMN_E_IO : KMN_OK;
}

/* `fresh`: of an empty ledger, for an existing seg/ means that there is a ledger, or was one. Else those that a copy lost
 * because they were empty. */
static kmn_err
make_folders(struct kmn_store *store, bool fresh)
{
	static const char *const folders[] = {"seg", "blobs", "quarantine", "state"};

	for (size_t n = 0; n < KMN_COUNT_OF(folders); n++) {
		int failed = store->mkdir(store, folders[n]);

		if (failed == -EEXIST && fresh)
			return KMN_E_EXISTS;
		if (failed < 0 && failed != -EEXIST)
			return KMN_E_IO;
	}
	return fresh ? kmn_store_sync_folder(store, ".") : KMN_OK;
}

kmn_err
kmn_log_open(const struct kmn_log_settings *settings, kmn_log_replay *replay, void *cookie,
    struct kmn_recovery *recovery_out, struct kmn_log **log_out, struct kmn_why *why)
{
	struct kmn_log *log;
	uint64_t *first;
	size_t count;
	kmn_err e;

	*log_out = NULL;
	memset(recovery_out, 0, sizeof(*recovery_out));
	kmn_why_set(why, "%s", "");
	/* Before the lock: where there is no ledger, none must seem to begin. */
	if ((e = kmn_segments(settings->store, &first, &count, why)) != KMN_OK)
		return e;
	free(first);
	if ((e = log_new(settings, &log)) != KMN_OK)
		return e;
	if ((e = take_lock(log, why)) != KMN_OK || (e = make_folders(log->store, false)) != KMN_OK ||
	    (e = kmn_log_recover(log, settings, replay, cookie, recovery_out, why)) != KMN_OK)
		goto done;
	if (pthread_create(&log->thread, NULL, kmn_log_committer, log) != 0) {
		e = KMN_E_NO_MEMORY;
		goto done;
	}
	log->running = true;
	*log_out = log;
	log = NULL;
done:
	log_free(log);
	return e;
}

kmn_err
kmn_log_close(struct kmn_log *log)
{
	bool whole;

	if (log == NULL)
		return KMN_OK;
	pthread_mutex_lock(&log->mutex);
	log->flush_to = log->ahead.front.size;
	log->closing = true;
	pthread_cond_broadcast(&log->work);
	pthread_mutex_unlock(&log->mutex);
	(void)pthread_join(log->thread, NULL);
	whole = !log->poisoned;
	log_free(log);
	return whole ? KMN_OK : KMN_E_LEDGER;
}

/* The batch that the next record goes to: the last of the queue while it has room. NULL: none can be had. */
static struct kmn_batch *
batch_for(struct kmn_log *log, size_t len)
{
	struct kmn_batch *batch = log->last;

	if (batch != NULL && batch->end - batch->begin < KMN_LOG_BATCH_MAX_RECORDS &&
	    batch->len + len <= KMN_LOG_BATCH_MAX_BYTES)
		return batch;
	if (log->queued == KMN_LOG_QUEUE_MAX_BATCHES || (batch = calloc(1, sizeof(*batch))) == NULL)
		return NULL;
	batch->begin = batch->end = log->ahead.front.size;
	if (log->last == NULL)
		log->first = batch;
	else
		log->last->next = batch;
	log->last = batch;
	log->queued++;
	return batch;
}

static bool
batch_room(struct kmn_batch *batch, size_t len)
{
	size_t room = batch->room == 0 ? 16384 : batch->room;
	char *grown;

	while (room < batch->len + len)
		room *= 2;
	if (room == batch->room)
		return true;
	if ((grown = realloc(batch->bytes, room)) == NULL)
		return false;
	batch->bytes = grown;
	batch->room = room;
	return true;
}

/* Under the mutex: the line joins the queue and the owner's state moves on, or neither. */
static kmn_err
enqueue(struct kmn_log *log, const struct kmn_record *record, const char *line, size_t len)
{
	struct kmn_batch *batch;
	kmn_err e;

	if (log->poisoned || (batch = batch_for(log, len + 1)) == NULL || !batch_room(batch, len + 1))
		return KMN_E_LEDGER;
	if ((e = kmn_tiles_add(log->tiles, record->leaf)) != KMN_OK)
		return e;
	kmn_tiles_written(log->tiles, log->tiled);
	memcpy(batch->bytes + batch->len, line, len);
	batch->bytes[batch->len + len] = '\n';
	batch->len += len + 1;
	kmn_chain_wrote_record(&log->ahead, record, len + 1);
	batch->end = log->ahead.front.size;
	batch->after = log->ahead;
	return KMN_OK;
}

static uint64_t
later(uint64_t now, uint64_t last)
{
	return now > last ? now : last;
}

static void
number(struct kmn_log *log, enum kmn_record_kind kind, struct kmn_record *record)
{
	bool restart = kind == KMN_R_GATEWAY_START || kind == KMN_R_RECOVERY;

	record->i = log->ahead.front.size;
	record->t = later(log->from.now_ms(log->from.cookie), log->ahead.t);
	record->m = later(log->from.boot_ms(log->from.cookie), restart ? 0 : log->ahead.m);
	memcpy(record->prev, log->ahead.prev, KMN_HASH_BYTES);
	log->from.random(log->from.cookie, record->nonce, KMN_NONCE_BYTES);
	record->kind = kind;
	record->type = kmn_record_name(kind);
}

kmn_err
kmn_log_append(struct kmn_log *log, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref_out,
    struct kmn_record *record_out, struct kmn_why *why)
{
	struct kmn_record record = {.body = body, .owner = body};
	char *line = NULL;
	size_t len;
	kmn_err e;

	if (ref_out != NULL)
		memset(ref_out, 0, sizeof(*ref_out));
	if (record_out != NULL)
		memset(record_out, 0, sizeof(*record_out));
	kmn_why_set(why, "%s", "");
	if (kind == KMN_R_GENESIS) {
		e = KMN_E_ARGUMENTS;
		goto done;
	}
	if ((e = kmn_record_check(kind, body, why)) != KMN_OK)
		goto done;
	number(log, kind, &record);
	if ((e = kmn_record_emit(&record, &line, &len, why)) != KMN_OK)
		goto done;
	pthread_mutex_lock(&log->mutex);
	e = enqueue(log, &record, line, len);
	pthread_mutex_unlock(&log->mutex);
	if (e != KMN_OK)
		goto done;
	if (ref_out != NULL) {
		ref_out->i = record.i;
		memcpy(ref_out->leaf, record.leaf, KMN_HASH_BYTES);
	}
	if (record_out != NULL) {
		*record_out = record;
		record.owner = NULL;
	}
done:
	free(line);
	json_decref(record.owner);
	return e;
}

void
kmn_log_flush(struct kmn_log *log)
{
	pthread_mutex_lock(&log->mutex);
	log->flush_to = log->ahead.front.size;
	pthread_cond_signal(&log->work);
	pthread_mutex_unlock(&log->mutex);
}

kmn_err
kmn_log_wait(struct kmn_log *log)
{
	bool poisoned;

	kmn_log_flush(log);
	pthread_mutex_lock(&log->mutex);
	while (!log->poisoned && log->durable.size < log->ahead.front.size)
		(void)pthread_cond_wait(&log->done, &log->mutex);
	poisoned = log->poisoned;
	pthread_mutex_unlock(&log->mutex);
	return poisoned ? KMN_E_LEDGER : KMN_OK;
}

int
kmn_log_eventfd(const struct kmn_log *log)
{
	return log->event_fd;
}

void
kmn_log_durable(struct kmn_log *log, struct kmn_head *head_out)
{
	pthread_mutex_lock(&log->mutex);
	*head_out = log->durable;
	pthread_mutex_unlock(&log->mutex);
}

bool
kmn_log_poisoned(struct kmn_log *log)
{
	bool poisoned;

	pthread_mutex_lock(&log->mutex);
	poisoned = log->poisoned;
	pthread_mutex_unlock(&log->mutex);
	return poisoned;
}

uint64_t
kmn_log_size(const struct kmn_log *log)
{
	return log->ahead.front.size;
}

const struct kmn_vkey *
kmn_log_vkey(const struct kmn_log *log)
{
	return &log->vkey;
}

const char *
kmn_log_origin(const struct kmn_log *log)
{
	return log->ahead.origin;
}

kmn_err
kmn_log_checkpoint(struct kmn_log *log, struct kmn_head *head_out, char **note_out, size_t *len_out)
{
	*note_out = NULL;
	*len_out = 0;
	kmn_log_durable(log, head_out);
	if (kmn_log_poisoned(log))
		return KMN_E_LEDGER;
	return kmn_checkpoint_sign(log->vkey.name, head_out, &log->vkey, log->secret, note_out, len_out);
}

/* Proofs are about durable records only: what is not durable may never have been. */
static bool
is_durable(struct kmn_log *log, uint64_t size)
{
	struct kmn_head durable;

	kmn_log_durable(log, &durable);
	return size <= durable.size;
}

kmn_err
kmn_log_head_at(struct kmn_log *log, uint64_t size, struct kmn_head *head_out)
{
	memset(head_out, 0, sizeof(*head_out));
	return is_durable(log, size) ? kmn_tiles_head(log->tiles, size, head_out) : KMN_E_NOT_FOUND;
}

kmn_err
kmn_log_inclusion(struct kmn_log *log, uint64_t index, uint64_t size, struct kmn_path *path_out)
{
	path_out->count = 0;
	return is_durable(log, size) ? kmn_tiles_inclusion(log->tiles, index, size, path_out) : KMN_E_NOT_FOUND;
}

kmn_err
kmn_log_consistency(struct kmn_log *log, uint64_t from, uint64_t to, struct kmn_path *path_out)
{
	path_out->count = 0;
	return is_durable(log, to) ? kmn_tiles_consistency(log->tiles, from, to, path_out) : KMN_E_NOT_FOUND;
}

kmn_err
kmn_log_each(struct kmn_log *log, uint64_t from, uint64_t count, kmn_line_fn *each, void *cookie)
{
	return is_durable(log, from + count) ? kmn_tiles_each(log->tiles, from, count, each, cookie) : KMN_E_NOT_FOUND;
}

kmn_err
kmn_log_line(struct kmn_log *log, uint64_t index, char **line_out, size_t *len_out)
{
	*line_out = NULL;
	*len_out = 0;
	return is_durable(log, index + 1) ? kmn_tiles_line(log->tiles, index, line_out, len_out) : KMN_E_NOT_FOUND;
}

kmn_err
kmn_log_keep_state(struct kmn_log *log, const char *name, const void *bytes, size_t len)
{
	return kmn_store_replace(log->store, "state", name, bytes, len);
}

kmn_err
kmn_log_kept_state(struct kmn_log *log, const char *name, size_t max, char **bytes_out, size_t *len_out)
{
	char path[64];

	*bytes_out = NULL;
	*len_out = 0;
	if ((size_t)snprintf(path, sizeof(path), "state/%s", name) >= sizeof(path))
		return KMN_E_ARGUMENTS;
	return kmn_store_read(log->store, path, max, bytes_out, len_out);
}

static void
blob_name(const uint8_t sha256[KMN_HASH_BYTES], char out[2 * KMN_HASH_BYTES + 1])
{
	(void)sodium_bin2hex(out, 2 * KMN_HASH_BYTES + 1, sha256, KMN_HASH_BYTES);
}

kmn_err
kmn_blob_read(struct kmn_store *store, const uint8_t sha256[KMN_HASH_BYTES], uint8_t **bytes_out, size_t *len_out)
{
	char name[6 + 2 * KMN_HASH_BYTES + 1] = "blobs/", *bytes;
	uint8_t is[KMN_HASH_BYTES];
	kmn_err e;

	*bytes_out = NULL;
	blob_name(sha256, name + 6);
	if ((e = kmn_store_read(store, name, KMN_BLOB_MAX_BYTES, &bytes, len_out)) != KMN_OK)
		return e;
	kmn_sha256(bytes, *len_out, is);
	if (memcmp(is, sha256, sizeof(is)) != 0) {
		free(bytes);
		*len_out = 0;
		return KMN_E_CORRUPT;
	}
	*bytes_out = (uint8_t *)bytes;
	return KMN_OK;
}

static void
poison(struct kmn_log *log)
{
	static const uint64_t one = 1;

	pthread_mutex_lock(&log->mutex);
	log->poisoned = true;
	pthread_cond_broadcast(&log->work);
	pthread_mutex_unlock(&log->mutex);
	if (write(log->event_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		KMN_BUG("eventfd");
}

kmn_err
kmn_log_blob_put(struct kmn_log *log, const void *bytes, size_t len, uint8_t sha256_out[KMN_HASH_BYTES])
{
	char name[2 * KMN_HASH_BYTES + 1];
	uint8_t *there;
	size_t there_len;
	kmn_err e;

	kmn_sha256(bytes, len, sha256_out);
	if (len > KMN_BLOB_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if (kmn_log_poisoned(log))
		return KMN_E_LEDGER;
	e = kmn_blob_read(log->store, sha256_out, &there, &there_len);
	free(there);
	if (e == KMN_OK || e == KMN_E_NO_MEMORY)
		return e;
	blob_name(sha256_out, name);
	if (e == KMN_E_NOT_FOUND)
		e = kmn_store_replace(log->store, "blobs", name, bytes, len);
	if (e == KMN_OK)
		return KMN_OK;
	poison(log); /* the disk failed, or holds other bytes under this name */
	return KMN_E_LEDGER;
}

kmn_err
kmn_log_blob_get(struct kmn_log *log, const uint8_t sha256[KMN_HASH_BYTES], uint8_t **bytes_out, size_t *len_out)
{
	return kmn_blob_read(log->store, sha256, bytes_out, len_out);
}

json_t *
kmn_recovery_dropped(const struct kmn_recovery *recovery)
{
	if (!recovery->torn)
		return NULL;
	return json_pack("{s:s, s:I, s:I, s:o, s:s}", "segment", recovery->segment, "offset",
	    (json_int_t)recovery->offset, "bytes", (json_int_t)recovery->bytes, "sha256",
	    kmn_json_b64(recovery->sha256, KMN_HASH_BYTES), "quarantine", recovery->quarantine);
}

/* Genesis goes the way of every record, but for its number 0 and its own checks. */
static kmn_err
write_genesis(struct kmn_log *log, json_t *genesis, struct kmn_why *why)
{
	struct kmn_record record = {.body = genesis};
	char vkey[KMN_VKEY_MAX_BYTES], *line = NULL;
	const char *origin, *written;
	struct kmn_head head;
	size_t len;
	kmn_err e;

	if ((e = kmn_record_check(KMN_R_GENESIS, genesis, why)) != KMN_OK)
		return e;
	if (!kmn_json_get_text(genesis, "origin", &origin) || !kmn_json_get_text(genesis, "vkey", &written) ||
	    (log->ahead.origin[0] != '\0' && strcmp(origin, log->ahead.origin) != 0) ||
	    strncmp(origin, "kanmon/", 7) == 0 || kmn_vkey_make(origin, log->vkey.pub, &log->vkey) != KMN_OK) {
		kmn_why_set(why, "genesis: the origin is not one, or not the one of the settings");
		return KMN_E_ARGUMENTS;
	}
	kmn_vkey_format(&log->vkey, vkey);
	if (strcmp(vkey, written) != 0) {
		kmn_why_set(why, "genesis: vkey is not that of the log key, %s", vkey);
		return KMN_E_ARGUMENTS;
	}
	(void)snprintf(log->ahead.origin, sizeof(log->ahead.origin), "%s", origin);
	log->disk = log->ahead;
	number(log, KMN_R_GENESIS, &record);
	if ((e = kmn_record_emit(&record, &line, &len, why)) != KMN_OK)
		return e;
	if ((e = make_folders(log->store, true)) == KMN_OK && (e = take_lock(log, why)) == KMN_OK &&
	    (e = enqueue(log, &record, line, len)) == KMN_OK && (e = kmn_log_commit(log, log->first)) == KMN_OK) {
		kmn_frontier_head(&log->disk.front, &head);
		e = kmn_log_publish(log, &head);
	}
	free(line);
	return e;
}

kmn_err
kmn_log_create(const struct kmn_log_settings *settings, json_t *genesis, struct kmn_why *why)
{
	struct kmn_log *log = NULL;
	struct kmn_head nothing;
	kmn_err e = log_new(settings, &log);

	kmn_why_set(why, "%s", "");
	if (e == KMN_OK) {
		kmn_chain_init(&log->ahead, settings->origin, settings->segment_records, settings->segment_bytes);
		kmn_frontier_head(&log->ahead.front, &nothing);
		if ((e = kmn_tiles_open(log->store, &nothing, &log->tiles, why)) == KMN_OK)
			e = write_genesis(log, genesis, why);
	}
	log_free(log);
	json_decref(genesis);
	return e;
}
