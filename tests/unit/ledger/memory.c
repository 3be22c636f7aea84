#include "config.h"

#include "tests/unit/ledger/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct memory *
memory_of(struct kmn_store *store)
{
	return (struct memory *)store;
}

struct memory_file *
memory_get(struct memory *memory, const char *name)
{
	for (size_t n = 0; n < memory->count; n++)
		if (strcmp(memory->file[n].name, name) == 0)
			return &memory->file[n];
	return NULL;
}

static int
memory_open(struct kmn_store *store, const char *name, int flags)
{
	struct memory_file *file = memory_get(memory_of(store), name);

	if (flags != O_RDONLY)
		return -EROFS;
	return file == NULL ? -ENOENT : (int)(file - memory_of(store)->file);
}

static int
memory_close(struct kmn_store *store, int fd)
{
	(void)store;
	(void)fd;
	return 0;
}

static ssize_t
memory_pread(struct kmn_store *store, int fd, void *out, size_t len, uint64_t offset)
{
	const struct memory_file *file = &memory_of(store)->file[fd];

	if (offset >= file->len)
		return 0;
	if (len > file->len - offset)
		len = file->len - offset;
	memcpy(out, file->bytes + offset, len);
	return (ssize_t)len;
}

static int64_t
memory_size(struct kmn_store *store, int fd)
{
	return (int64_t)memory_of(store)->file[fd].len;
}

static int
memory_list(struct kmn_store *store, const char *folder, int (*each)(void *cookie, const char *name), void *cookie)
{
	size_t len = strlen(folder);
	int ended = 0;

	for (size_t n = 0; ended == 0 && n < memory_of(store)->count; n++) {
		const char *name = memory_of(store)->file[n].name;

		if (strncmp(name, folder, len) == 0 && name[len] == '/')
			ended = each(cookie, name + len + 1);
	}
	return ended;
}

void
memory_put(struct memory *memory, const char *name, const void *bytes, size_t len)
{
	struct memory_file *file = memory_get(memory, name);
	char *copy = malloc(len + 1);

	if (copy == NULL || (file == NULL && memory->count == MEMORY_FILES_MAX))
		abort();
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	if (file == NULL) {
		file = &memory->file[memory->count++];
		(void)snprintf(file->name, sizeof(file->name), "%s", name);
		file->bytes = NULL;
	}
	free(file->bytes);
	file->bytes = copy;
	file->len = len;
}

void
memory_drop(struct memory *memory, const char *name)
{
	struct memory_file *file = memory_get(memory, name);

	if (file == NULL)
		return;
	free(file->bytes);
	*file = memory->file[--memory->count];
}

struct loading {
	struct memory *memory;
	struct kmn_store *from;
	const char *folder;
};

static void
load_file(struct memory *memory, struct kmn_store *from, const char *name)
{
	char *bytes;
	size_t len;

	if (kmn_store_read(from, name, SIZE_MAX / 2, &bytes, &len) != KMN_OK)
		return;
	memory_put(memory, name, bytes, len);
	free(bytes);
}

static int
load_one(void *cookie, const char *name)
{
	struct loading *loading = cookie;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%.100s", loading->folder, name);
	load_file(loading->memory, loading->from, path);
	return 0;
}

void
memory_load(struct memory *memory, struct kmn_store *from)
{
	static const char *const folders[] = {"seg", "blobs", "state"};

	memset(memory, 0, sizeof(*memory));
	memory->store.open = memory_open;
	memory->store.close = memory_close;
	memory->store.pread = memory_pread;
	memory->store.size = memory_size;
	memory->store.list = memory_list;
	for (size_t n = 0; n < sizeof(folders) / sizeof(folders[0]); n++) {
		struct loading loading = {memory, from, folders[n]};

		(void)from->list(from, folders[n], load_one, &loading);
	}
	load_file(memory, from, "checkpoint");
}

void
memory_clear(struct memory *memory)
{
	while (memory->count > 0)
		free(memory->file[--memory->count].bytes);
}
