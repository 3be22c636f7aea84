/* Memory of one call: see invoke.h. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */
#include "server/hsm/invoke_parts.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WIPE_BY_HAND_BYTES 65536u /* above this giving the pages back is cheaper */
#define LOOK_BEHIND_BYTES 64u

/*
 * Outputs stand in slots, each before a guard page that is closed when the slot
 * is used first and stays so: closing a page costs more than most calls. An
 * output too large for a slot has a guard page of its own, for this call.
 */
#define SLOTS 64u
#define SLOT_BYTES (128u << 10)

struct kmn_arena {
	uint8_t *map;  /* guard page, slots with their guard pages, max bytes, guard page */
	uint8_t *base; /* of the max bytes */
	size_t map_bytes, page;
	size_t max, used;
	unsigned slots, closed;       /* slots in use; with a closed guard page */
	size_t slot_bytes[SLOTS];     /* what was asked for, without slack */
	unsigned outs;                /* outputs in this call */
	const uint8_t *end_of[SLOTS]; /* of each: where its slack begins */
	bool guarded;                 /* some of the max bytes are closed */
};

struct kmn_arena *
kmn_arena_new(size_t max_bytes)
{
	struct kmn_arena *a = calloc(1, sizeof(*a));
	size_t slots;

	if (a == NULL)
		return NULL;
	a->page = (size_t)sysconf(_SC_PAGESIZE);
	a->max = (max_bytes + a->page - 1) / a->page * a->page;
	slots = SLOTS * (SLOT_BYTES + a->page);
	a->map_bytes = slots + a->max + 2 * a->page;
	a->map = mmap(NULL, a->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->map == MAP_FAILED) {
		free(a);
		return NULL;
	}
	a->base = a->map + a->page + slots;
	/* It will hold PINs: not in a core dump, should there ever be one. */
	(void)madvise(a->map, a->map_bytes, MADV_DONTDUMP);
	if (mprotect(a->map + a->page, slots + a->max, PROT_READ | PROT_WRITE) != 0) {
		kmn_arena_free(a);
		return NULL;
	}
	return a;
}

void *
kmn_arena_take(struct kmn_arena *a, size_t bytes, size_t slack)
{
	size_t need = bytes + slack;
	uint8_t *at = a->base + a->used;

	if (bytes > a->max || slack > a->max || need > a->max - a->used)
		return NULL;
	need = (need + 15) / 16 * 16;
	a->used = need > a->max - a->used ? a->max : a->used + need;
	return at;
}

static uint8_t *
slot_of(const struct kmn_arena *a, unsigned slot)
{
	return a->map + a->page + slot * (SLOT_BYTES + a->page);
}

static void *
take_slot(struct kmn_arena *a, size_t bytes)
{
	uint8_t *at = slot_of(a, a->slots);

	if (a->slots == a->closed) {
		if (mprotect(at + SLOT_BYTES, a->page, PROT_NONE) != 0)
			return NULL;
		a->closed++;
	}
	a->slot_bytes[a->slots++] = bytes;
	return at;
}

/* Behind what was taken just now; without one more page, or one more mapping, the slack alone must do. */
static void
close_page(struct kmn_arena *a)
{
	size_t guard = (a->used + a->page - 1) / a->page * a->page;

	if (guard + a->page > a->max || mprotect(a->base + guard, a->page, PROT_NONE) != 0)
		return;
	a->guarded = true;
	a->used = guard + a->page;
}

void *
kmn_arena_take_out(struct kmn_arena *a, size_t bytes, size_t slack)
{
	uint8_t *at = NULL;

	if (a->outs < SLOTS && bytes <= SLOT_BYTES && slack <= SLOT_BYTES - bytes)
		at = take_slot(a, bytes);
	if (at == NULL && (at = kmn_arena_take(a, bytes, slack)) != NULL && a->outs < SLOTS)
		close_page(a);
	if (at != NULL && a->outs < SLOTS)
		a->end_of[a->outs++] = at + bytes;
	return at;
}

bool
kmn_arena_overran(const struct kmn_arena *a)
{
	for (unsigned i = 0; i < a->outs; i++)
		for (size_t k = 0; k < LOOK_BEHIND_BYTES; k++)
			if (a->end_of[i][k] != 0)
				return true;
	return false;
}

static void
wipe(uint8_t *at, size_t n, size_t all)
{
	if (n <= WIPE_BY_HAND_BYTES || madvise(at, all, MADV_DONTNEED) != 0)
		OPENSSL_cleanse(at, n);
}

void
kmn_arena_reset(struct kmn_arena *a)
{
	bool overran = kmn_arena_overran(a);

	/* Nothing else could be done with an arena that has holes. */
	if (a->guarded && mprotect(a->base, a->max, PROT_READ | PROT_WRITE) != 0)
		abort();
	a->guarded = false;
	for (unsigned i = 0; i < a->slots; i++)
		wipe(slot_of(a, i), overran ? SLOT_BYTES : a->slot_bytes[i], SLOT_BYTES);
	a->slots = a->outs = 0;
	wipe(a->base, a->used, a->max);
	a->used = 0;
}

void
kmn_arena_free(struct kmn_arena *a)
{
	if (a == NULL)
		return;
	munmap(a->map, a->map_bytes);
	free(a);
}
