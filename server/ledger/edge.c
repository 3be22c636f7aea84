/* Tiles and the edge of a growing tree. Pure. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/tiles.h"

/* Where the hashes of depth d begin in a tile: 256 of depth 0, 128 of depth 1, .. */
static unsigned
row(unsigned depth)
{
	return 2 * KMN_TILE_HASHES - (2 * KMN_TILE_HASHES >> depth);
}

void
kmn_tile_put(struct kmn_tile *tile, const uint8_t hash[KMN_HASH_BYTES])
{
	unsigned at = tile->count++;

	memcpy(tile->node[at], hash, KMN_HASH_BYTES);
	for (unsigned depth = 0; at % 2 == 1; depth++, at /= 2)
		kmn_node_hash(
		    tile->node[row(depth) + at - 1], tile->node[row(depth) + at], tile->node[row(depth + 1) + at / 2]);
}

const uint8_t *
kmn_tile_root(const struct kmn_tile *tile)
{
	return tile->node[row(8)];
}

const uint8_t *
kmn_tile_node(const struct kmn_tile *tile, unsigned depth, uint64_t n)
{
	unsigned at = (unsigned)(n & ((KMN_TILE_HASHES >> depth) - 1));

	return (at + 1) << depth <= tile->count ? tile->node[row(depth) + at] : NULL;
}

uint64_t
kmn_tile_end(const struct kmn_tile *tile)
{
	return (tile->n + 1) << (8 * (tile->level + 1));
}

/* The path element of c2sp.org/tlog-tiles: three digits a folder, all but the last after an "x". */
void
kmn_tile_name(unsigned level, uint64_t n, char out[KMN_TILE_NAME_BYTES])
{
	size_t len = (size_t)snprintf(out, KMN_TILE_NAME_BYTES, "tile/%u/", level);
	uint64_t unit = 1;

	while (n / unit >= 1000)
		unit *= 1000;
	for (; unit > 1; unit /= 1000)
		len += (size_t)snprintf(out + len, KMN_TILE_NAME_BYTES - len, "x%03u/", (unsigned)(n / unit % 1000));
	(void)snprintf(out + len, KMN_TILE_NAME_BYTES - len, "%03u", (unsigned)(n % 1000));
}

void
kmn_edge_init(struct kmn_edge *edge)
{
	memset(edge, 0, sizeof(*edge));
}

void
kmn_edge_clear(struct kmn_edge *edge)
{
	for (unsigned level = 0; level < KMN_TILE_LEVELS; level++)
		free(edge->tile[level]);
	for (struct kmn_tile *tile; (tile = kmn_edge_take(edge)) != NULL;)
		free(tile);
	kmn_edge_init(edge);
}

struct kmn_tile *
kmn_edge_take(struct kmn_edge *edge)
{
	struct kmn_tile *tile = edge->whole;

	if (tile != NULL && (edge->whole = tile->next) == NULL)
		edge->whole_end = NULL;
	return tile;
}

static void
queue(struct kmn_edge *edge, struct kmn_tile *tile)
{
	tile->next = NULL;
	if (edge->whole_end == NULL)
		edge->whole = tile;
	else
		*edge->whole_end = tile;
	edge->whole_end = &tile->next;
}

/* An empty one at the edge of its level, in its place; NULL: there is no memory. */
static struct kmn_tile *
new_tile(struct kmn_edge *edge, unsigned level)
{
	struct kmn_tile *tile = edge->tile[level] = malloc(sizeof(*tile));

	if (tile == NULL)
		return NULL;
	tile->level = level;
	tile->n = edge->size >> 8 * (level + 1);
	tile->count = 0;
	tile->next = NULL;
	return tile;
}

/* Tiles for every level that the next leaf touches: after this, adding cannot fail. */
static kmn_err
make_room(struct kmn_edge *edge)
{
	for (unsigned level = 0; level < KMN_TILE_LEVELS; level++) {
		struct kmn_tile *tile = edge->tile[level];

		if (tile == NULL && (tile = new_tile(edge, level)) == NULL)
			return KMN_E_NO_MEMORY;
		if (tile->count + 1 < KMN_TILE_HASHES)
			break;
	}
	return KMN_OK;
}

kmn_err
kmn_edge_add(struct kmn_edge *edge, const uint8_t leaf[KMN_HASH_BYTES])
{
	const uint8_t *hash = leaf;
	kmn_err e;

	if (edge->size >> (KMN_TREE_LEVELS - 1) != 0)
		return KMN_E_TOO_BIG;
	if ((e = make_room(edge)) != KMN_OK)
		return e;
	for (unsigned level = 0; level < KMN_TILE_LEVELS && hash != NULL; level++) {
		struct kmn_tile *tile = edge->tile[level];

		kmn_tile_put(tile, hash);
		hash = NULL;
		if (tile->count == KMN_TILE_HASHES) {
			edge->tile[level] = NULL;
			queue(edge, tile);
			hash = kmn_tile_root(tile);
		}
	}
	edge->size++;
	return KMN_OK;
}

const uint8_t *
kmn_edge_node(const struct kmn_edge *edge, unsigned level, uint64_t n)
{
	const struct kmn_tile *tile = edge->tile[level / 8];

	return tile != NULL && tile->n == n >> (8 - level % 8) ? kmn_tile_node(tile, level % 8, n) : NULL;
}

kmn_err
kmn_edge_copy(struct kmn_edge *to, const struct kmn_edge *from)
{
	struct kmn_tile *tile;

	kmn_edge_init(to);
	for (unsigned level = 0; level < KMN_TILE_LEVELS; level++) {
		if (from->tile[level] == NULL)
			continue;
		if ((tile = to->tile[level] = malloc(sizeof(*tile))) == NULL)
			return KMN_E_NO_MEMORY;
		*tile = *from->tile[level];
	}
	for (const struct kmn_tile *whole = from->whole; whole != NULL; whole = whole->next) {
		if ((tile = malloc(sizeof(*tile))) == NULL)
			return KMN_E_NO_MEMORY;
		*tile = *whole;
		queue(to, tile);
	}
	to->size = from->size;
	return KMN_OK;
}

/* How many hashes of a level are in the edge of a tree of this size. */
unsigned
kmn_edge_count(uint64_t size, unsigned level)
{
	return (unsigned)(size >> 8 * level) & (KMN_TILE_HASHES - 1);
}

kmn_err
kmn_edge_write(const struct kmn_edge *edge, uint8_t **bytes_out, size_t *len_out)
{
	size_t len = 8;
	uint8_t *at;

	for (unsigned level = 0; level < KMN_TILE_LEVELS; level++)
		len += (size_t)kmn_edge_count(edge->size, level) * KMN_HASH_BYTES;
	if ((at = *bytes_out = malloc(len)) == NULL)
		return KMN_E_NO_MEMORY;
	*len_out = len;
	for (unsigned n = 0; n < 8; n++)
		*at++ = (uint8_t)(edge->size >> (56 - 8 * n));
	for (unsigned level = 0; level < KMN_TILE_LEVELS; level++) {
		size_t part = (size_t)kmn_edge_count(edge->size, level) * KMN_HASH_BYTES;

		if (part > 0)
			memcpy(at, edge->tile[level]->node, part);
		at += part;
	}
	return KMN_OK;
}

/* One tile of an edge; `hash` has kmn_edge_count() hashes. */
static kmn_err
fill(struct kmn_edge *edge, unsigned level, const uint8_t *hash)
{
	struct kmn_tile *tile;

	if ((tile = new_tile(edge, level)) == NULL)
		return KMN_E_NO_MEMORY;
	for (unsigned n = 0; n < kmn_edge_count(edge->size, level); n++)
		kmn_tile_put(tile, hash + (size_t)n * KMN_HASH_BYTES);
	return KMN_OK;
}

kmn_err
kmn_edge_load(struct kmn_edge *edge, uint64_t size, kmn_edge_hashes *hashes, void *cookie)
{
	uint8_t row_of[KMN_TILE_BYTES];
	kmn_err e = KMN_OK;

	kmn_edge_init(edge);
	edge->size = size;
	for (unsigned level = 0; e == KMN_OK && level < KMN_TILE_LEVELS; level++) {
		unsigned count = kmn_edge_count(size, level);

		if (count == 0)
			continue;
		e = hashes(cookie, level, (size >> 8 * (level + 1)) << 8, count, row_of);
		if (e == KMN_OK)
			e = fill(edge, level, row_of);
	}
	if (e != KMN_OK)
		kmn_edge_clear(edge);
	return e;
}

struct written {
	const uint8_t *at;
};

static kmn_err
next_row(void *cookie, unsigned level, uint64_t from, unsigned count, uint8_t *out)
{
	struct written *written = cookie;

	(void)level;
	(void)from;
	memcpy(out, written->at, (size_t)count * KMN_HASH_BYTES);
	written->at += (size_t)count * KMN_HASH_BYTES;
	return KMN_OK;
}

kmn_err
kmn_edge_read(struct kmn_edge *edge, const uint8_t *bytes, size_t len)
{
	struct written written = {bytes + 8};
	uint64_t size = 0;
	size_t want = 8;

	kmn_edge_init(edge);
	if (len < want)
		return KMN_E_MALFORMED;
	for (unsigned n = 0; n < 8; n++)
		size = size << 8 | bytes[n];
	if (size >> KMN_TREE_LEVELS != 0)
		return KMN_E_MALFORMED;
	for (unsigned level = 0; level < KMN_TILE_LEVELS; level++)
		want += (size_t)kmn_edge_count(size, level) * KMN_HASH_BYTES;
	return len == want ? kmn_edge_load(edge, size, next_row, &written) : KMN_E_MALFORMED;
}
