#include "config.h"

#include "kanmon/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct files {
	struct kmn_store store; /* first: the two are one address */
	int dirfd;
};

static int
files_dir(struct kmn_store *store)
{
	return ((struct files *)store)->dirfd;
}

static int
result(int value)
{
	return value < 0 ? -errno : value;
}

static int
files_open(struct kmn_store *store, const char *name, int flags)
{
	return result(openat(files_dir(store), name, flags | O_CLOEXEC | O_NOFOLLOW, 0640));
}

static int
files_close(struct kmn_store *store, int fd)
{
	(void)store;
	return result(close(fd));
}

static ssize_t
files_pread(struct kmn_store *store, int fd, void *out, size_t len, uint64_t offset)
{
	ssize_t n;

	(void)store;
	do
		n = pread(fd, out, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t
files_pwrite(struct kmn_store *store, int fd, const void *bytes, size_t len, uint64_t offset)
{
	ssize_t n;

	(void)store;
	do
		n = pwrite(fd, bytes, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int
files_sync(struct kmn_store *store, int fd)
{
	(void)store;
	return result(fsync(fd));
}

static int
files_datasync(struct kmn_store *store, int fd)
{
	(void)store;
	return result(fdatasync(fd));
}

static int
files_truncate(struct kmn_store *store, int fd, uint64_t len)
{
	(void)store;
	return result(ftruncate(fd, (off_t)len));
}

static int64_t
files_size(struct kmn_store *store, int fd)
{
	struct stat st;

	(void)store;
	if (fstat(fd, &st) != 0)
		return -errno;
	return S_ISREG(st.st_mode) ? (int64_t)st.st_size : -EINVAL;
}

static int
files_rename(struct kmn_store *store, const char *from, const char *to)
{
	return result(renameat(files_dir(store), from, files_dir(store), to));
}

static int
files_mkdir(struct kmn_store *store, const char *name)
{
	return result(mkdirat(files_dir(store), name, 0750));
}

static int
files_lock(struct kmn_store *store, int fd)
{
	(void)store;
	return result(flock(fd, LOCK_EX | LOCK_NB));
}

static int
files_list(struct kmn_store *store, const char *folder, int (*each)(void *cookie, const char *name), void *cookie)
{
	int fd = openat(files_dir(store), folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ended = 0;
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return -errno;
	if ((dir = fdopendir(fd)) == NULL) {
		(void)close(fd);
		return -ENOMEM;
	}
	while (errno = 0, ended == 0 && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ended = each(cookie, entry->d_name);
	if (ended == 0)
		ended = -errno;
	(void)closedir(dir);
	return ended;
}

static int
files_allocate(struct kmn_store *store, int fd, uint64_t offset, uint64_t len)
{
	(void)store;
	return result(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len));
}

static int
files_remove(struct kmn_store *store, const char *name)
{
	return result(unlinkat(files_dir(store), name, 0));
}

kmn_err
kmn_store_files_at(int dirfd, struct kmn_store **store_out)
{
	struct files *files = calloc(1, sizeof(*files));

	*store_out = NULL;
	if (files == NULL)
		return KMN_E_NO_MEMORY;
	files->dirfd = dirfd;
	files->store = (struct kmn_store){files_open, files_close, files_pread, files_pwrite, files_sync,
	    files_datasync, files_truncate, files_size, files_rename, files_mkdir, files_lock, files_list,
	    files_allocate, files_remove};
	*store_out = &files->store;
	return KMN_OK;
}

kmn_err
kmn_store_files(const char *path, struct kmn_store **store_out)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kmn_err e;

	*store_out = NULL;
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? KMN_E_NOT_FOUND : KMN_E_IO;
	if ((e = kmn_store_files_at(fd, store_out)) != KMN_OK)
		(void)close(fd);
	return e;
}

void
kmn_store_files_free(struct kmn_store *store)
{
	if (store == NULL)
		return;
	(void)close(files_dir(store));
	free(store);
}

kmn_err
kmn_store_read(struct kmn_store *store, const char *name, size_t max, char **bytes_out, size_t *len_out)
{
	int fd = store->open(store, name, O_RDONLY);
	char *bytes = NULL;
	size_t at = 0;
	int64_t size;
	kmn_err e = KMN_E_IO;

	*bytes_out = NULL;
	*len_out = 0;
	if (fd < 0)
		return fd == -ENOENT ? KMN_E_NOT_FOUND : KMN_E_IO;
	if ((size = store->size(store, fd)) < 0)
		goto done;
	if ((uint64_t)size > max) {
		e = KMN_E_TOO_BIG;
		goto done;
	}
	if ((bytes = malloc((size_t)size + 1)) == NULL) {
		e = KMN_E_NO_MEMORY;
		goto done;
	}
	while (at < (size_t)size) {
		ssize_t n = store->pread(store, fd, bytes + at, (size_t)size - at, at);

		if (n <= 0)
			goto done;
		at += (size_t)n;
	}
	bytes[at] = '\0';
	*bytes_out = bytes;
	*len_out = at;
	bytes = NULL;
	e = KMN_OK;
done:
	free(bytes);
	(void)store->close(store, fd);
	return e;
}
