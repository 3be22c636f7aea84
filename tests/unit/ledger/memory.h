/* A read-only store in memory: a whole ledger, to be bent byte by byte without touching a disk. */
#ifndef KANMON_TESTS_LEDGER_MEMORY_H
#define KANMON_TESTS_LEDGER_MEMORY_H

#include "kanmon/store.h"

#define MEMORY_FILES_MAX 64

struct memory_file {
	char name[128];
	char *bytes;
	size_t len;
};

struct memory {
	struct kmn_store store; /* first: the two are one address */
	struct memory_file file[MEMORY_FILES_MAX];
	size_t count;
};

/* Copies the ledger's files (seg, blobs, state, checkpoint) out of another store. */
void memory_load(struct memory *memory, struct kmn_store *from);
void memory_clear(struct memory *memory);
struct memory_file *memory_get(struct memory *memory, const char *name);
void memory_put(struct memory *memory, const char *name, const void *bytes, size_t len);
void memory_drop(struct memory *memory, const char *name);

#endif
