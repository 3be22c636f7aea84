#include "tests/fuzz/one_file.h"

#include <errno.h>
#include <string.h>

static int
one_open(struct kmn_store *store, const char *name, int flags)
{
	(void)store;
	(void)flags;
	return strcmp(name, "seg/00000000000000000000.kl") == 0 ? 1 : -ENOENT;
}

static int
one_close(struct kmn_store *store, int fd)
{
	(void)store;
	(void)fd;
	return 0;
}

static ssize_t
one_pread(struct kmn_store *store, int fd, void *out, size_t len, uint64_t offset)
{
	const struct one_file *file = (struct one_file *)store;

	(void)fd;
	if (offset >= file->len)
		return 0;
	if (len > file->len - offset)
		len = file->len - offset;
	memcpy(out, file->bytes + offset, len);
	return (ssize_t)len;
}

static int64_t
one_size(struct kmn_store *store, int fd)
{
	(void)fd;
	return (int64_t)((struct one_file *)store)->len;
}

static int
one_list(struct kmn_store *store, const char *folder, int (*each)(void *cookie, const char *name), void *cookie)
{
	(void)store;
	return strcmp(folder, "seg") == 0 ? each(cookie, "00000000000000000000.kl") : 0;
}

struct one_file
one_file(const uint8_t *bytes, size_t len)
{
	struct one_file file = {.bytes = bytes, .len = len};

	file.store.open = one_open;
	file.store.close = one_close;
	file.store.pread = one_pread;
	file.store.size = one_size;
	file.store.list = one_list;
	return file;
}
