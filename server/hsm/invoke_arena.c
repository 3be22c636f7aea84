/* Memory of one call: see invoke.h. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */
#include "server/hsm/invoke_parts.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WIPE_BY_HAND_BYTES 65536u /* above this giving the pages back is cheaper */

#define GUARDS_MAX 64u
#define LOOK_BEHIND_BYTES 64u

struct kmn_arena {
	uint8_t *map; /* guard page, max bytes, guard page */
	size_t map_bytes, page;
	size_t max, used;
	unsigned outs;
	size_t end_of[GUARDS_MAX]; /* of each of the first outputs: where its slack begins, from the first byte */
	bool guarded;              /* some pages in between are closed */
};

struct kmn_arena *
kmn_arena_new(size_t max_bytes)
{
	struct kmn_arena *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->page = (size_t)sysconf(_SC_PAGESIZE);
	a->max = (max_bytes + a->page - 1) / a->page * a->page;
	a->map_bytes = a->max + 2 * a->page;
	a->map = mmap(NULL, a->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->map == MAP_FAILED) {
		free(a);
		return NULL;
	}
	/* It will hold PINs: not in a core dump, should there ever be one. */
	(void)madvise(a->map, a->map_bytes, MADV_DONTDUMP);
	if (mprotect(a->map + a->page, a->max, PROT_READ | PROT_WRITE) != 0) {
		kmn_arena_free(a);
		return NULL;
	}
	return a;
}

void *
kmn_arena_take(struct kmn_arena *a, size_t bytes, size_t slack)
{
	size_t need = bytes + slack;
	uint8_t *at = a->map + a->page + a->used;

	if (bytes > a->max || slack > a->max || need > a->max - a->used)
		return NULL;
	need = (need + 15) / 16 * 16;
	a->used = need > a->max - a->used ? a->max : a->used + need;
	return at;
}

void *
kmn_arena_take_out(struct kmn_arena *a, size_t bytes, size_t slack)
{
	uint8_t *base = a->map + a->page, *at = kmn_arena_take(a, bytes, slack);
	size_t guard;

	if (at == NULL || a->outs == GUARDS_MAX)
		return at;
	a->end_of[a->outs++] = (size_t)(at - base) + bytes;
	guard = (a->used + a->page - 1) / a->page * a->page;
	/* Without one more page, or one more mapping, the slack alone must do. */
	if (guard + a->page <= a->max && mprotect(base + guard, a->page, PROT_NONE) == 0) {
		a->guarded = true;
		a->used = guard + a->page;
	}
	return at;
}

bool
kmn_arena_overran(const struct kmn_arena *a)
{
	const uint8_t *base = a->map + a->page;

	for (unsigned i = 0; i < a->outs; i++)
		for (size_t k = 0; k < LOOK_BEHIND_BYTES; k++)
			if (base[a->end_of[i] + k] != 0)
				return true;
	return false;
}

void
kmn_arena_reset(struct kmn_arena *a)
{
	uint8_t *base = a->map + a->page;

	/* Nothing else could be done with an arena that has holes. */
	if (a->guarded && mprotect(base, a->max, PROT_READ | PROT_WRITE) != 0)
		abort();
	a->guarded = false;
	a->outs = 0;
	if (a->used <= WIPE_BY_HAND_BYTES || madvise(base, a->max, MADV_DONTNEED) != 0)
		OPENSSL_cleanse(base, a->used);
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
