/*
 * The ledger's tree in files, c2sp.org/tlog-tiles: tile/<L>/<N> has the 256
 * hashes N * 256 .. of level 8 * L, written once all of them are there. What
 * is not a whole tile yet, at any level, is the tree's edge: state/tree.
 *
 *	level 16	[ edge 2 ]
 *	level  8	[ 1/000 ][ 1/001 ][ edge 1 ]
 *	leaves		[0/000][0/001] .. [0/x001/234][ edge 0 ]
 *
 * All of it is derived, and nothing of it is believed: the edge must give the
 * root of a head that is known, each tile the hash that the one above it has
 * for it. What is missing or wrong is made again from the segments.
 */
#ifndef KANMON_TILES_H
#define KANMON_TILES_H

#include "kanmon/json.h"
#include "kanmon/store.h"
#include "kanmon/tree.h"

#define KMN_TILE_HASHES 256u
#define KMN_TILE_BYTES (KMN_TILE_HASHES * KMN_HASH_BYTES)
#define KMN_TILE_LEVELS 7      /* of 8 levels of the tree each */
#define KMN_TILE_NAME_BYTES 40 /* "tile/0/x035/x184/x372/x088/x831" and its NUL */

/* One tile with the nodes over it; count < KMN_TILE_HASHES: a tile of the edge. */
struct kmn_tile {
	struct kmn_tile *next;
	unsigned level;
	uint64_t n;
	unsigned count;
	uint8_t node[2 * KMN_TILE_HASHES - 1][KMN_HASH_BYTES]; /* 256 hashes, 128 over them, .. 1 */
};

/* A growing tree's edge, and the tiles that became whole and were not taken yet, in order. */
struct kmn_edge {
	uint64_t size;
	struct kmn_tile *tile[KMN_TILE_LEVELS]; /* NULL: empty */
	struct kmn_tile *whole, **whole_end;
};
void kmn_edge_init(struct kmn_edge *edge);
void kmn_edge_clear(struct kmn_edge *edge);
/* KMN_E_NO_MEMORY leaves it as it was. */
kmn_err kmn_edge_add(struct kmn_edge *edge, const uint8_t leaf[KMN_HASH_BYTES]) KMN_MUST_CHECK;
/* The next whole tile, free()d by the caller; NULL: none. */
struct kmn_tile *kmn_edge_take(struct kmn_edge *edge);
/* Size that the tree had when the tile became whole. */
uint64_t kmn_tile_end(const struct kmn_tile *tile);
void kmn_tile_name(unsigned level, uint64_t n, char out[KMN_TILE_NAME_BYTES]);

/*
 * Heads and proofs at any size up to head->size, with at most a few tiles in
 * memory: what `kanmon audit prove` stands on. The store is borrowed and only
 * read. KMN_E_CORRUPT: the segments themselves do not give this head;
 * KMN_E_NOT_FOUND: they do not reach it.
 */
struct kmn_tiles;
kmn_err kmn_tiles_open(struct kmn_store *store, const struct kmn_head *head, struct kmn_tiles **tiles_out,
    struct kmn_why *why) KMN_MUST_CHECK;
void kmn_tiles_free(struct kmn_tiles *tiles);
uint64_t kmn_tiles_size(const struct kmn_tiles *tiles);
/* KMN_E_NOT_FOUND past the size; KMN_E_CORRUPT: tile and segment both differ from what the head stands on. */
kmn_err kmn_tiles_leaf(struct kmn_tiles *tiles, uint64_t index, uint8_t out[KMN_HASH_BYTES]) KMN_MUST_CHECK;
kmn_err kmn_tiles_head(struct kmn_tiles *tiles, uint64_t size, struct kmn_head *head_out) KMN_MUST_CHECK;
kmn_err kmn_tiles_inclusion(
    struct kmn_tiles *tiles, uint64_t index, uint64_t size, struct kmn_path *path_out) KMN_MUST_CHECK;
kmn_err kmn_tiles_consistency(
    struct kmn_tiles *tiles, uint64_t from, uint64_t to, struct kmn_path *path_out) KMN_MUST_CHECK;
/* The raw line of a record, held against its leaf in the tree; the caller's to free(). */
kmn_err kmn_tiles_line(struct kmn_tiles *tiles, uint64_t index, char **line_out, size_t *len_out) KMN_MUST_CHECK;

#endif
