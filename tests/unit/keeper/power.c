#include "config.h"

#include "tests/unit/keeper/power.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kanmon/store.h"

#define NAME_BYTES 128
#define FDS 64
#define ENTRIES 4096
#define POOL_BYTES (48u << 20)
#define SECTOR 512u

enum kind { WROTE, RENAMED, MADE };

/* Something that the disk does not have for sure. */
struct entry {
	enum kind kind;
	bool gone;   /* synced: it counts no more */
	bool sticky; /* lost in a failed sync: no later one brings it to the disk */
	char name[NAME_BYTES], from[NAME_BYTES];
	uint64_t offset, len;
	int64_t old_size;     /* of the file; -1: RENAMED to a name that was free */
	uint64_t pool, saved; /* where the old bytes are in the pool, and how many there are */
};

struct power {
	pthread_mutex_t mutex; /* shared between the keeper's threads; a process that is gone holds it no more */
	enum power_fault fault;
	uint32_t after, seed;
	bool struck, overflow;
	size_t entries;
	uint64_t pooled;
	struct entry entry[ENTRIES];
	uint8_t pool[POOL_BYTES];
};

struct disk {
	struct kmn_store store; /* first */
	struct kmn_store *real;
	struct power *power;
	struct {
		bool open, direct;
		char name[NAME_BYTES];
	} fd[FDS];
};

static struct power *used; /* by this process */

struct power *
power_new(void)
{
	struct power *power =
	    mmap(NULL, sizeof(*power), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return power == MAP_FAILED ? NULL : power;
}

void
power_free(struct power *power)
{
	(void)munmap(power, sizeof(*power));
}

void
power_arm(struct power *power, enum power_fault fault, uint32_t after, uint32_t seed)
{
	power->fault = fault;
	power->after = after;
	power->seed = seed;
	power->struck = false;
}

void
power_disarm(struct power *power)
{
	power_arm(power, POWER_NONE, 0, 0);
}

bool
power_struck(const struct power *power)
{
	return power->struck;
}

void
power_use(struct power *power)
{
	pthread_mutexattr_t shared;

	(void)pthread_mutexattr_init(&shared);
	(void)pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutex_init(&power->mutex, &shared);
	(void)pthread_mutexattr_destroy(&shared);
	used = power;
}

static uint32_t
chance(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* ---- what is not on the disk yet --------------------------------------------------------------------------------- */

static struct entry *
note(struct power *power, enum kind kind, const char *name)
{
	struct entry *e;

	if (power->entries == ENTRIES) {
		power->overflow = true;
		return NULL;
	}
	e = &power->entry[power->entries++];
	memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->pool = power->pooled;
	snprintf(e->name, sizeof(e->name), "%s", name);
	return e;
}

/* The old bytes of a range, as far as there were any. */
static void
save(struct disk *disk, struct entry *e, const char *name, uint64_t offset, uint64_t len)
{
	struct power *power = disk->power;
	int fd = disk->real->open(disk->real, name, O_RDONLY);
	ssize_t n;

	e->old_size = fd < 0 ? -1 : disk->real->size(disk->real, fd);
	e->offset = offset;
	e->len = len;
	e->pool = power->pooled;
	if (e->old_size > (int64_t)offset) {
		if (len > (uint64_t)e->old_size - offset)
			len = (uint64_t)e->old_size - offset;
		if (power->pooled + len > POOL_BYTES)
			power->overflow = true;
		else if ((n = disk->real->pread(disk->real, fd, power->pool + power->pooled, len, offset)) > 0)
			power->pooled += e->saved = (uint64_t)n;
	}
	if (fd >= 0)
		(void)disk->real->close(disk->real, fd);
}

static void
forget(struct power *power, const char *name, bool folder)
{
	for (size_t i = 0; i < power->entries; i++) {
		struct entry *e = &power->entry[i];
		size_t len = strlen(name);

		if (e->gone || e->sticky)
			continue;
		if (!folder)
			e->gone = e->kind == WROTE && strcmp(e->name, name) == 0;
		else if (e->kind != WROTE)
			e->gone = strcmp(name, ".") == 0
				      ? strchr(e->name, '/') == NULL || strncmp(e->name, "./", 2) == 0
				      : strncmp(e->name, name, len) == 0 && e->name[len] == '/' &&
					    strchr(e->name + len + 1, '/') == NULL;
	}
	while (power->entries > 0 && power->entry[power->entries - 1].gone)
		power->pooled = power->entry[--power->entries].pool;
}

static void
replaced(struct power *power, const char *name)
{
	for (size_t i = 0; i < power->entries; i++)
		if (power->entry[i].kind == WROTE && power->entry[i].sticky && strcmp(power->entry[i].name, name) == 0)
			power->entry[i].gone = true;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

enum moment { READS, WRITES, SYNCS, OTHER };

static _Noreturn void
die(struct power *power)
{
	power->struck = true;
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}

/* 0: go on. -errno: the call fails. 1: it is to be done in part. */
static int
strike(struct power *power, enum moment moment)
{
	if (power->fault == POWER_NONE || (power->after > 1 && power->after-- > 1))
		return 0;
	switch (power->fault) {
	case POWER_CUT:
		if (moment == WRITES)
			return 1;
		die(power);
	case POWER_SHORT:
		if (moment != WRITES)
			return 0;
		break;
	case POWER_EIO:
		break;
	case POWER_FULL:
		if (moment != WRITES)
			return 0;
		power->struck = true;
		return -ENOSPC;
	default:
		if (moment != SYNCS)
			return 0;
	}
	power->struck = true;
	if (power->fault == POWER_SHORT || power->fault == POWER_FSYNC) {
		power->fault = POWER_NONE;
		return 1;
	}
	power->fault = POWER_NONE;
	return -EIO;
}

/* ---- the store --------------------------------------------------------------------------------------------------- */

static struct disk *
of(struct kmn_store *store)
{
	return (struct disk *)store;
}

#define LOCKED(disk, what) \
	do { \
		(void)pthread_mutex_lock(&(disk)->power->mutex); \
		what; \
		(void)pthread_mutex_unlock(&(disk)->power->mutex); \
	} while (0)

static int
disk_open(struct kmn_store *store, const char *name, int flags)
{
	struct disk *disk = of(store);
	int fd = 0, there;
	struct entry *e;

	LOCKED(disk, {
		if ((fd = strike(disk->power, (flags & O_CREAT) != 0 ? WRITES : READS)) == 0 || fd == 1) {
			if (fd == 1 && disk->power->fault == POWER_CUT)
				die(disk->power);
			there = disk->real->open(disk->real, name, O_RDONLY);
			if (there >= 0)
				(void)disk->real->close(disk->real, there);
			if (there >= 0 && (flags & O_TRUNC) != 0) /* what was clean and not there goes with the pages */
				replaced(disk->power, name);
			if (there >= 0 && (flags & O_TRUNC) != 0 && (e = note(disk->power, WROTE, name)) != NULL)
				save(disk, e, name, 0, UINT32_MAX);
			if (there < 0 && (flags & O_CREAT) != 0)
				(void)note(disk->power, MADE, name);
			fd = disk->real->open(disk->real, name, flags & ~O_DIRECT);
			if (fd >= 0 && fd < FDS) {
				disk->fd[fd].open = true;
				disk->fd[fd].direct = (flags & O_DIRECT) != 0;
				snprintf(disk->fd[fd].name, NAME_BYTES, "%s", name);
			}
		}
	});
	return fd;
}

static int
disk_close(struct kmn_store *store, int fd)
{
	struct disk *disk = of(store);
	int rc = -EBADF;

	LOCKED(disk, {
		if (fd >= 0 && fd < FDS)
			disk->fd[fd].open = false;
		rc = disk->real->close(disk->real, fd);
	});
	return rc;
}

/* What the disk has there, where that is not what the kernel remembers: only after a failed sync. */
static void
see_disk(const struct power *power, const char *name, uint8_t *out, size_t *len, uint64_t offset)
{
	for (size_t i = power->entries; i-- > 0;) {
		const struct entry *e = &power->entry[i];
		uint64_t from = e->offset > offset ? e->offset : offset;

		if (!e->sticky || e->kind != WROTE || strcmp(e->name, name) != 0)
			continue;
		for (; from < e->offset + e->saved && from < offset + *len; from++)
			out[from - offset] = power->pool[e->pool + from - e->offset];
		if ((int64_t)(offset + *len) > e->old_size)
			*len = e->old_size > (int64_t)offset ? (size_t)(e->old_size - (int64_t)offset) : 0;
	}
}

static ssize_t
disk_pread(struct kmn_store *store, int fd, void *out, size_t len, uint64_t offset)
{
	struct disk *disk = of(store);
	ssize_t n = disk->real->pread(disk->real, fd, out, len, offset);
	size_t got;

	if (n > 0 && fd < FDS && disk->fd[fd].direct) {
		got = (size_t)n;
		LOCKED(disk, see_disk(disk->power, disk->fd[fd].name, out, &got, offset));
		n = (ssize_t)got;
	}
	return n;
}

static ssize_t
disk_pwrite(struct kmn_store *store, int fd, const void *bytes, size_t len, uint64_t offset)
{
	struct disk *disk = of(store);
	struct power *power = disk->power;
	struct entry *e;
	ssize_t n = 0;
	int what;

	LOCKED(disk, {
		if ((what = strike(power, WRITES)) >= 0) {
			size_t part = what == 1 && len > 1 ? 1 + chance(&power->seed) % (len - 1) : len;

			if (fd < FDS && (e = note(power, WROTE, disk->fd[fd].name)) != NULL)
				save(disk, e, disk->fd[fd].name, offset, part);
			n = disk->real->pwrite(disk->real, fd, bytes, part, offset);
			if (what == 1 && power->fault == POWER_CUT)
				die(power);
		} else {
			n = what;
		}
	});
	return n;
}

static int
do_sync(struct disk *disk, int fd)
{
	struct power *power = disk->power;
	const char *name = fd < FDS ? disk->fd[fd].name : "";
	int what, fd_is = 0;

	LOCKED(disk, {
		if ((what = strike(power, SYNCS)) == 0) {
			fd_is = fcntl(fd, F_GETFL);
			forget(power, name, (fd_is & O_DIRECTORY) != 0);
		} else if (what == 1) {
			for (size_t i = 0; i < power->entries; i++)
				if (power->entry[i].kind == WROTE && strcmp(power->entry[i].name, name) == 0 &&
				    !power->entry[i].gone)
					power->entry[i].sticky = true;
			what = -EIO;
		}
	});
	return what;
}

static int
disk_sync(struct kmn_store *store, int fd)
{
	return do_sync(of(store), fd);
}

static int
disk_truncate(struct kmn_store *store, int fd, uint64_t len)
{
	struct disk *disk = of(store);
	struct entry *e;
	int result;

	LOCKED(disk, {
		if ((result = strike(disk->power, OTHER)) == 0) {
			if (fd < FDS && (e = note(disk->power, WROTE, disk->fd[fd].name)) != NULL)
				save(disk, e, disk->fd[fd].name, len, UINT32_MAX);
			result = disk->real->truncate(disk->real, fd, len);
		} else if (result == 1) {
			result = -EIO;
		}
	});
	return result;
}

static int64_t
disk_size(struct kmn_store *store, int fd)
{
	return of(store)->real->size(of(store)->real, fd);
}

/* Names of what was written and not synced move with the file. The bytes that go away are kept as those of `to`. */
static int
disk_rename(struct kmn_store *store, const char *from, const char *to)
{
	struct disk *disk = of(store);
	struct power *power = disk->power;
	struct entry *e;
	int result;

	LOCKED(disk, {
		if ((result = strike(power, OTHER)) == 0) {
			for (size_t i = 0; i < power->entries; i++)
				if (!power->entry[i].gone && strcmp(power->entry[i].name, from) == 0)
					snprintf(power->entry[i].name, NAME_BYTES, "%s", to);
				else if (!power->entry[i].gone && strcmp(power->entry[i].name, to) == 0)
					power->entry[i].gone = true;
			if ((e = note(power, RENAMED, to)) != NULL) {
				snprintf(e->from, sizeof(e->from), "%s", from);
				save(disk, e, to, 0, UINT32_MAX);
			}
			result = disk->real->rename(disk->real, from, to);
		} else if (result == 1) {
			result = -EIO;
		}
	});
	return result;
}

static int
disk_mkdir(struct kmn_store *store, const char *name)
{
	return of(store)->real->mkdir(of(store)->real, name);
}

static int
disk_lock(struct kmn_store *store, int fd)
{
	return of(store)->real->lock(of(store)->real, fd);
}

static int
disk_list(struct kmn_store *store, const char *folder, int (*each)(void *cookie, const char *name), void *cookie)
{
	return of(store)->real->list(of(store)->real, folder, each, cookie);
}

static int
disk_allocate(struct kmn_store *store, int fd, uint64_t offset, uint64_t len)
{
	struct disk *disk = of(store);
	int what;

	(void)fd;
	(void)offset;
	(void)len;
	LOCKED(disk, what = disk->power->fault == POWER_FULL ? strike(disk->power, WRITES) : 0);
	return what;
}

static int
disk_remove(struct kmn_store *store, const char *name)
{
	return of(store)->real->remove(of(store)->real, name);
}

kmn_err __real_kmn_store_files_at(int dirfd, struct kmn_store **store_out);
kmn_err __wrap_kmn_store_files_at(int dirfd, struct kmn_store **store_out);
void __real_kmn_store_files_free(struct kmn_store *store);
void __wrap_kmn_store_files_free(struct kmn_store *store);

kmn_err
__wrap_kmn_store_files_at(int dirfd, struct kmn_store **store_out)
{
	struct disk *disk;
	kmn_err e;

	if (used == NULL)
		return __real_kmn_store_files_at(dirfd, store_out);
	*store_out = NULL;
	if ((disk = calloc(1, sizeof(*disk))) == NULL)
		return KMN_E_NO_MEMORY;
	disk->power = used;
	if ((e = __real_kmn_store_files_at(dirfd, &disk->real)) != KMN_OK) {
		free(disk);
		return e;
	}
	disk->store = (struct kmn_store){disk_open, disk_close, disk_pread, disk_pwrite, disk_sync, disk_sync,
	    disk_truncate, disk_size, disk_rename, disk_mkdir, disk_lock, disk_list, disk_allocate, disk_remove};
	*store_out = &disk->store;
	return KMN_OK;
}

void
__wrap_kmn_store_files_free(struct kmn_store *store)
{
	if (store == NULL || store->open != disk_open) {
		__real_kmn_store_files_free(store);
		return;
	}
	__real_kmn_store_files_free(of(store)->real);
	free(store);
}

/* ---- the cut ----------------------------------------------------------------------------------------------------- */

/* Each sector of the range is the new one, the old one, or, where the file was not so long, zeros. */
static void
lose_sectors(const struct power *power, const struct entry *e, const char *path, uint32_t *seed)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t size = fd < 0 ? 0 : (uint64_t)lseek(fd, 0, SEEK_END), end = e->offset + e->len;
	uint8_t zeros[SECTOR] = {0};

	if (fd < 0)
		return;
	if (end > size)
		end = size;
	for (uint64_t at = e->offset; at < end;) {
		uint64_t next = (at / SECTOR + 1) * SECTOR;
		uint64_t len = (next < end ? next : end) - at, old = at - e->offset;

		if (e->sticky || chance(seed) % 2 == 0) {
			uint64_t kept = old < e->saved ? e->saved - old : 0;

			if (kept > len)
				kept = len;
			if (pwrite(fd, power->pool + e->pool + old, kept, (off_t)at) < 0 ||
			    pwrite(fd, zeros, len - kept, (off_t)(at + kept)) < 0)
				abort();
		}
		at = next;
	}
	if (e->old_size >= 0 && (uint64_t)e->old_size < size) { /* the new length may not have come to the disk */
		uint64_t grown = size - (uint64_t)e->old_size;

		if (e->sticky || chance(seed) % 3 == 0)
			grown = 0;
		else if (chance(seed) % 2 == 0)
			grown = chance(seed) % (grown + 1) / SECTOR * SECTOR;
		if ((uint64_t)e->old_size + grown < size && ftruncate(fd, (off_t)((uint64_t)e->old_size + grown)) != 0)
			abort();
	} else if (e->old_size > 0 && (uint64_t)e->old_size > size &&
		   chance(seed) % 2 == 0) { /* nor that it is shorter */
		if (pwrite(fd, power->pool + e->pool, e->saved, (off_t)e->offset) < 0)
			abort();
	}
	(void)close(fd);
}

/* What was written under the new name before goes with the file. */
static void
take_name_back(struct power *power, const struct entry *e, size_t before, const char *folder)
{
	char path[300], from[300];
	int fd;

	for (size_t i = 0; i < before && e->kind == RENAMED; i++)
		if (strcmp(power->entry[i].name, e->name) == 0)
			snprintf(power->entry[i].name, NAME_BYTES, "%s", e->from);

	snprintf(path, sizeof(path), "%s/%s", folder, e->name);
	snprintf(from, sizeof(from), "%s/%s", folder, e->from);
	if (e->kind == MADE) {
		(void)unlink(path);
		return;
	}
	if (rename(path, from) != 0 || e->old_size < 0)
		return;
	if ((fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)) < 0 ||
	    write(fd, power->pool + e->pool, e->saved) < 0)
		abort();
	(void)close(fd);
}

void
power_cut(struct power *power, const char *folder, uint32_t seed)
{
	size_t names = chance(&seed) % (power->entries + 1); /* names reach the disk in their order, up to here */
	char path[300];

	if (power->overflow) {
		fputs("power: more was not synced than there is room for\n", stderr);
		abort();
	}
	for (size_t i = power->entries; i-- > 0;) {
		const struct entry *e = &power->entry[i];

		if (e->gone)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->name);
		if (e->kind == WROTE)
			lose_sectors(power, e, path, &seed);
		else if (i >= names)
			take_name_back(power, e, i, folder);
	}
	power->entries = 0;
	power->pooled = 0;
}
