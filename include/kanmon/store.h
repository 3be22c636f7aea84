/*
 * The ledger's only way to a disk: one row of function pointers, each one
 * system call, so that a test can let any of them fail. Names are relative to
 * the ledger's folder. Functions give -errno on failure. Two threads use a
 * store at once (the owner for blobs and reading, the committer for the rest).
 */
#ifndef KANMON_STORE_H
#define KANMON_STORE_H

#include <sys/types.h>

#include "kanmon/err.h"

/* What is called with one record's line; its result other than KMN_OK ends what calls it. */
typedef kmn_err kmn_line_fn(void *cookie, uint64_t index, const char *line, size_t len);

struct kmn_store {
	int (*open)(struct kmn_store *store, const char *name, int flags); /* as openat(), mode 0640 */
	int (*close)(struct kmn_store *store, int fd);
	ssize_t (*pread)(struct kmn_store *store, int fd, void *out, size_t len, uint64_t offset);
	ssize_t (*pwrite)(struct kmn_store *store, int fd, const void *bytes, size_t len, uint64_t offset);
	int (*sync)(struct kmn_store *store, int fd);     /* fsync, also of folders */
	int (*datasync)(struct kmn_store *store, int fd); /* fdatasync */
	int (*truncate)(struct kmn_store *store, int fd, uint64_t len);
	int64_t (*size)(struct kmn_store *store, int fd);
	int (*rename)(struct kmn_store *store, const char *from, const char *to);
	int (*mkdir)(struct kmn_store *store, const char *name); /* mode 0750 */
	int (*lock)(struct kmn_store *store, int fd);            /* flock LOCK_EX | LOCK_NB; -EWOULDBLOCK */
	/* Calls `each` for every name in a folder except "." and "..", in no order; its result other than 0 ends it. */
	int (*list)(
	    struct kmn_store *store, const char *folder, int (*each)(void *cookie, const char *name), void *cookie);
	/* Takes disk space for bytes of a file without changing its size: fallocate KEEP_SIZE. NULL: it cannot. */
	int (*allocate)(struct kmn_store *store, int fd, uint64_t offset, uint64_t len);
	int (*remove)(struct kmn_store *store, const char *name); /* a file; NULL: it cannot */
};

/* Files under the folder `path`, or under the folder open as `dirfd` (which the store then owns). */
kmn_err kmn_store_files(const char *path, struct kmn_store **store_out) KMN_MUST_CHECK;
kmn_err kmn_store_files_at(int dirfd, struct kmn_store **store_out) KMN_MUST_CHECK;
void kmn_store_files_free(struct kmn_store *store);

/* A whole file, at most `max` bytes, NUL-terminated beyond its length; the caller's to free(). KMN_E_NOT_FOUND,
 * KMN_E_TOO_BIG, KMN_E_IO. */
kmn_err kmn_store_read(
    struct kmn_store *store, const char *name, size_t max, char **bytes_out, size_t *len_out) KMN_MUST_CHECK;

/* A whole file, durable with its name when this returns; a reader sees the old or the new. folder: "." or its name. */
kmn_err kmn_store_replace(
    struct kmn_store *store, const char *folder, const char *name, const void *bytes, size_t len) KMN_MUST_CHECK;

/* The raw line of record `index` out of its segment, without LF; the caller's to free(). KMN_E_NOT_FOUND. */
kmn_err kmn_store_line(struct kmn_store *store, uint64_t index, char **line_out, size_t *len_out) KMN_MUST_CHECK;

#endif
