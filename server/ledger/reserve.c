/*
 * Disk space that is taken before it is needed: ahead of the end of the open
 * segment, and as the file that becomes the next one. What a call needs for its
 * records is then there when the call begins. The size of a file stays where
 * its bytes end, so readers see nothing of it.
 *
 * A file system that cannot do this (it says EOPNOTSUPP) is left alone; one
 * that is full is told to the owner, who lets no new call begin.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>

#include "server/ledger/inner.h"

static const char next_name[] = "seg/next.tmp";
static const char emergency_name[] = "state/emergency";

static bool
is_on(const struct kmn_log *log)
{
	return log->reserve_bytes > 0 && log->store->allocate != NULL && !log->reserve_off;
}

static void
take_result(struct kmn_log *log, int failed)
{
	if (failed == -EOPNOTSUPP || failed == -ENOSYS || failed == -EPERM)
		log->reserve_off = true;
	atomic_store(&log->reserve_short, failed == -ENOSPC || failed == -EDQUOT);
}

void
kmn_reserve_ahead(struct kmn_log *log, size_t len)
{
	uint64_t end = log->disk_offset + len, wanted = end + log->reserve_bytes;
	int failed;

	if (!is_on(log) || end + log->reserve_bytes / 2 <= log->reserved_to)
		return;
	failed = log->store->allocate(log->store, log->segment_fd, log->disk_offset, wanted - log->disk_offset);
	if (failed == 0)
		log->reserved_to = wanted;
	take_result(log, failed);
}

/* Made while there is time, at the first batch after a segment began. */
void
kmn_reserve_next(struct kmn_log *log)
{
	int fd, failed;

	if (!is_on(log) || log->next_ready)
		return;
	if ((fd = log->store->open(log->store, next_name, O_WRONLY | O_CREAT | O_TRUNC)) < 0)
		return;
	failed = log->store->allocate(log->store, fd, 0, log->reserve_bytes);
	(void)log->store->close(log->store, fd);
	log->next_ready = failed == 0;
	take_result(log, failed);
}

bool
kmn_reserve_take_next(struct kmn_log *log, const char *name)
{
	if (!log->next_ready)
		return false;
	log->next_ready = false;
	log->reserved_to = log->reserve_bytes;
	return log->store->rename(log->store, next_name, name) == 0;
}

/* What a sealed segment took and did not need. */
void
kmn_reserve_give_back(struct kmn_log *log)
{
	if (is_on(log) && log->reserved_to > log->disk_offset)
		(void)log->store->truncate(log->store, log->segment_fd, log->disk_offset);
	log->reserved_to = 0;
}

bool
kmn_log_is_short(struct kmn_log *log)
{
	return atomic_load(&log->reserve_short);
}

bool
kmn_log_starved(struct kmn_log *log)
{
	bool starved;

	pthread_mutex_lock(&log->mutex);
	starved = log->starved;
	pthread_mutex_unlock(&log->mutex);
	return starved;
}

void
kmn_log_emergency(struct kmn_store *store, bool keep)
{
	int fd;

	if (!keep) {
		if (store->remove != NULL)
			(void)store->remove(store, emergency_name);
		return;
	}
	if (store->allocate == NULL || (fd = store->open(store, emergency_name, O_WRONLY | O_CREAT)) < 0)
		return;
	(void)store->allocate(store, fd, 0, KMN_LOG_EMERGENCY_BYTES);
	(void)store->close(store, fd);
}
