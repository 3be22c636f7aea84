/* Tiles from inside: edge.c makes them, tiles.c reads them, lines.c finds the records that they are made of. */
#ifndef KANMON_LEDGER_TILES_H
#define KANMON_LEDGER_TILES_H

#include "kanmon/tiles.h"

/* ---- edge.c ------------------------------------------------------------------------------------------------------ */

/* The next hash of a tile that is not whole, and the nodes that it completes. */
void kmn_tile_put(struct kmn_tile *tile, const uint8_t hash[KMN_HASH_BYTES]);
const uint8_t *kmn_tile_root(const struct kmn_tile *tile);
/* Node n of level 8 * tile->level + depth, which is this tile's; NULL: not there yet. */
const uint8_t *kmn_tile_node(const struct kmn_tile *tile, unsigned depth, uint64_t n);
const uint8_t *kmn_edge_node(const struct kmn_edge *edge, unsigned level, uint64_t n);
kmn_err kmn_edge_copy(struct kmn_edge *to, const struct kmn_edge *from) KMN_MUST_CHECK;
unsigned kmn_edge_count(uint64_t size, unsigned level);

/* Gives `count` hashes of tile level `level`, from number `from` on. */
typedef kmn_err kmn_edge_hashes(void *cookie, unsigned level, uint64_t from, unsigned count, uint8_t *out);
kmn_err kmn_edge_load(struct kmn_edge *edge, uint64_t size, kmn_edge_hashes *hashes, void *cookie) KMN_MUST_CHECK;

/* state/tree: u64 size, then the hashes of the edge by level, leaves first. */
kmn_err kmn_edge_write(const struct kmn_edge *edge, uint8_t **bytes_out, size_t *len_out) KMN_MUST_CHECK;
kmn_err kmn_edge_read(struct kmn_edge *edge, const uint8_t *bytes, size_t len) KMN_MUST_CHECK;
#define KMN_EDGE_MAX_BYTES (8 + KMN_TILE_LEVELS * KMN_TILE_BYTES)

/* ---- lines.c ----------------------------------------------------------------------------------------------------- */

/* Records by number: by the offsets of a full segment, else by halving the file; every line says its own number. */
struct kmn_lines {
	struct kmn_store *store;
	uint64_t *first; /* segments, as they were listed last */
	size_t count;
	char *window; /* to read in, once it was needed */
};

void kmn_lines_init(struct kmn_lines *lines, struct kmn_store *store);
void kmn_lines_clear(struct kmn_lines *lines);
/* Calls `each` for `count` records from `from` on; KMN_E_NOT_FOUND: they are not all there, or not what they say. */
kmn_err kmn_lines_each(
    struct kmn_lines *lines, uint64_t from, uint64_t count, kmn_line_fn *each, void *cookie) KMN_MUST_CHECK;

/* A kmn_line_fn that keeps the line it is called with last; the cookie is this, line NULL before. Its line: free(). */
struct kmn_line_copy {
	char *line; /* NUL-terminated */
	size_t len;
};
kmn_err kmn_line_copy(void *cookie, uint64_t index, const char *line, size_t len) KMN_MUST_CHECK;

/* ---- tiles.c: the writer's reader -------------------------------------------------------------------------------- */

/* The next record's leaf: the tree grows with the ledger. */
kmn_err kmn_tiles_add(struct kmn_tiles *tiles, const uint8_t leaf[KMN_HASH_BYTES]) KMN_MUST_CHECK;
/* Whole tiles below this size are in files now: they need not be in memory. */
void kmn_tiles_written(struct kmn_tiles *tiles, uint64_t size);
const struct kmn_edge *kmn_tiles_edge(const struct kmn_tiles *tiles);
/* `each` record, held against the tree. */
kmn_err kmn_tiles_each(
    struct kmn_tiles *tiles, uint64_t from, uint64_t count, kmn_line_fn *each, void *cookie) KMN_MUST_CHECK;
/* Writes one whole tile: whole or not at all. Its name may be lost with the power, its bytes not. */
kmn_err kmn_tile_write(struct kmn_store *store, const struct kmn_tile *tile) KMN_MUST_CHECK;
/* The same unless the file has exactly this already. */
kmn_err kmn_tile_mend(struct kmn_store *store, const struct kmn_tile *tile) KMN_MUST_CHECK;
/* Makes tiles of the last records again that a crash took, those that begin at `from` or later. */
kmn_err kmn_tiles_mend(struct kmn_tiles *tiles, uint64_t from) KMN_MUST_CHECK;

#endif
