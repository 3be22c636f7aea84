/*
 * The memory that a trace's calls see: one mapping at one address in every
 * player, so that pointers inside of it are the same bytes everywhere. It is
 * made of named pieces between gaps that nobody may write to.
 */
#ifndef KANMON_TESTS_CONFORMANCE_MEMORY_H
#define KANMON_TESTS_CONFORMANCE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_BYTES (4u << 20)
#define MEMORY_PIECES_MAX 4096
#define MEMORY_UNTOUCHED 0xc5 /* what nobody wrote to */

enum piece_kind {
	PIECE_BYTES,
	PIECE_ULONG,
	PIECE_SESSION, /* CK_ULONGs that are handles */
	PIECE_OBJECT,
};

struct piece {
	char name[72];
	size_t at, size;
	enum piece_kind kind;
	bool quiet; /* its changes are recorded by whoever made it */
};

/* Maps it; false if the address is taken. */
bool memory_map(void);
/* Begins a case: everything untouched, no pieces. */
void memory_begin(void);
/* A piece between gaps. The module may write past it, into the gap: that is seen. Never NULL. */
void *memory_take(size_t size, enum piece_kind kind, const char *name);
/* Leaves so many bytes after the last piece alone, for a module that writes more than it was told of. */
void memory_skip(size_t bytes);
/* The piece that begins at p. */
struct piece *memory_piece(const void *p);
/* Names a part of the piece that was taken last; parts of a piece are recorded instead of it. */
void memory_part(void *p, size_t size, enum piece_kind kind, const char *name);

/* Remembers all bytes as they are now. */
void memory_mark(void);
/* Was this byte range written since the mark? */
bool memory_changed(const void *p, size_t size);
/* Index of the last byte of the range that changed, plus 1; 0 if none did. */
size_t memory_changed_until(const void *p, size_t size);
/* Calls back for each piece that changed and is not quiet, then for each run of bytes outside all pieces. */
void memory_changes(void (*piece)(void *cookie, const struct piece *p, const uint8_t *bytes),
    void (*stray)(void *cookie, const char *after, size_t offset, const uint8_t *bytes, size_t n), void *cookie);

#endif
