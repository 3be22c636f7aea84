#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */
#include "tests/conformance/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ADDRESS ((void *)0x6a0000000000)
#define GAP 64u

static uint8_t *memory, *shadow;
static size_t used, marked;
static struct piece pieces[MEMORY_PIECES_MAX];
static size_t piece_count;

bool
memory_map(void)
{
	memory = mmap(
	    ADDRESS, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	shadow = malloc(MEMORY_BYTES);
	if (memory != ADDRESS || shadow == NULL)
		return false;
	memset(memory, MEMORY_UNTOUCHED, MEMORY_BYTES);
	used = GAP;
	return true;
}

void
memory_begin(void)
{
	size_t until = used + (1u << 16);

	memset(memory, MEMORY_UNTOUCHED, until < MEMORY_BYTES ? until : MEMORY_BYTES);
	used = GAP;
	piece_count = 0;
}

static void
note(void *p, size_t size, enum piece_kind kind, const char *name)
{
	struct piece *piece = &pieces[piece_count];

	if (piece_count + 1 < MEMORY_PIECES_MAX)
		piece_count++;
	snprintf(piece->name, sizeof(piece->name), "%s", name);
	piece->at = (size_t)((uint8_t *)p - memory);
	piece->size = size;
	piece->kind = kind;
	piece->quiet = false;
}

void *
memory_take(size_t size, enum piece_kind kind, const char *name)
{
	uint8_t *p = memory + used;
	size_t need = (size + GAP + 15) / 16 * 16;

	if (need > MEMORY_BYTES - used - GAP) {
		fprintf(stderr, "a case needs more memory than there is\n");
		_Exit(70);
	}
	used += need;
	note(p, size, kind, name);
	return p;
}

void
memory_part(void *p, size_t size, enum piece_kind kind, const char *name)
{
	for (size_t i = piece_count; i-- > 0;) {
		struct piece *whole = &pieces[i];

		if ((uint8_t *)p == memory + whole->at && whole->size > size)
			whole->quiet = true;
	}
	note(p, size, kind, name);
}

void
memory_skip(size_t bytes)
{
	if (bytes < MEMORY_BYTES - used - GAP)
		used += (bytes + 15) / 16 * 16;
}

struct piece *
memory_piece(const void *p)
{
	for (size_t i = piece_count; i-- > 0;)
		if (memory + pieces[i].at == (const uint8_t *)p)
			return &pieces[i];
	return NULL;
}

void
memory_mark(void)
{
	marked = used;
	memcpy(shadow, memory, marked);
}

size_t
memory_changed_until(const void *p, size_t size)
{
	size_t at = (size_t)((const uint8_t *)p - memory);

	while (size > 0 && memory[at + size - 1] == shadow[at + size - 1])
		size--;
	return size;
}

bool
memory_changed(const void *p, size_t size)
{
	return memory_changed_until(p, size) > 0;
}

/* Bytes of pieces are made equal to the shadow's, so that what still differs is stray. */
static void
settle(const struct piece *p)
{
	memcpy(shadow + p->at, memory + p->at, p->size);
}

void
memory_changes(void (*piece)(void *cookie, const struct piece *p, const uint8_t *bytes),
    void (*stray)(void *cookie, const char *after, size_t offset, const uint8_t *bytes, size_t n), void *cookie)
{
	if (memcmp(memory, shadow, marked) == 0)
		return;
	for (size_t i = 0; i < piece_count; i++)
		if (!pieces[i].quiet && memcmp(memory + pieces[i].at, shadow + pieces[i].at, pieces[i].size) != 0)
			piece(cookie, &pieces[i], memory + pieces[i].at);
	for (size_t i = 0; i < piece_count; i++)
		settle(&pieces[i]);
	if (memcmp(memory, shadow, marked) == 0)
		return;
	for (size_t at = 0, end; at < marked; at = end + 1) {
		size_t before = 0;

		for (end = at; end < marked && memory[end] != shadow[end];)
			end++;
		if (end == at)
			continue;
		for (size_t i = 0; i < piece_count; i++)
			if (pieces[i].at <= at && pieces[i].at >= pieces[before].at)
				before = i;
		stray(cookie, pieces[before].name, at - pieces[before].at, memory + at, end - at);
	}
}
