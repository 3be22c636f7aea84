/*
 * Heads and proofs from tiles. Trust goes down from the edge, which gives the
 * root of a head that is known: a tile is taken if it has the hash that the
 * tile over it has for it, or it is made again from the segments.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/record.h"
#include "server/ledger/chain.h"
#include "server/ledger/tiles.h"

#define CACHED 32 /* 16 KiB each */

struct kmn_tiles {
	struct kmn_store *store;
	struct kmn_edge edge; /* its whole tiles are those that are not in files yet */
	struct kmn_lines lines;
	struct kmn_lines leaves;        /* of tiles that are made again, maybe while a line of `lines` is looked at */
	struct kmn_tile *cache[CACHED]; /* newest first */
};

/* How much of what is in files the opening believes, until the root says otherwise. */
enum faith { FAITH_NONE, FAITH_TILES, FAITH_EDGE };

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A whole tile as its file has it: whether it is the right one is the caller's question. */
static bool
read_tile(struct kmn_store *store, unsigned level, uint64_t n, struct kmn_tile *tile)
{
	char name[KMN_TILE_NAME_BYTES];
	uint8_t bytes[KMN_TILE_BYTES + 1];
	ssize_t got;
	int fd;

	kmn_tile_name(level, n, name);
	if ((fd = store->open(store, name, O_RDONLY)) < 0)
		return false;
	got = store->pread(store, fd, bytes, sizeof(bytes), 0);
	(void)store->close(store, fd);
	*tile = (struct kmn_tile){.level = level, .n = n};
	for (size_t at = 0; got == KMN_TILE_BYTES && at < KMN_TILE_BYTES; at += KMN_HASH_BYTES)
		kmn_tile_put(tile, bytes + at);
	return got == KMN_TILE_BYTES;
}

/* The folders of a path, those that are not there. */
static kmn_err
make_folders(struct kmn_store *store, const char *name)
{
	char folder[KMN_TILE_NAME_BYTES];

	for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		int failed;

		memcpy(folder, name, (size_t)(slash - name));
		folder[slash - name] = '\0';
		failed = store->mkdir(store, folder);
		if (failed < 0 && failed != -EEXIST)
			return KMN_E_IO;
	}
	return KMN_OK;
}

kmn_err
kmn_tile_write(struct kmn_store *store, const struct kmn_tile *tile)
{
	char name[KMN_TILE_NAME_BYTES];
	kmn_err e;

	kmn_tile_name(tile->level, tile->n, name);
	e = kmn_store_put(store, name, tile->node, KMN_TILE_BYTES);
	if (e != KMN_E_NOT_FOUND) /* the first of a folder finds it missing */
		return e;
	return (e = make_folders(store, name)) == KMN_OK ? kmn_store_put(store, name, tile->node, KMN_TILE_BYTES) : e;
}

kmn_err
kmn_tile_mend(struct kmn_store *store, const struct kmn_tile *tile)
{
	struct kmn_tile there;

	if (read_tile(store, tile->level, tile->n, &there) && memcmp(there.node, tile->node, KMN_TILE_BYTES) == 0)
		return KMN_OK;
	return kmn_tile_write(store, tile);
}

/* ---- making tiles again ------------------------------------------------------------------------------------------ */

struct hashes {
	uint8_t *out;
	unsigned count;
};

static kmn_err
take_leaf(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct hashes *hashes = cookie;

	(void)index;
	kmn_leaf_hash(line, len, hashes->out + (size_t)hashes->count++ * KMN_HASH_BYTES);
	return KMN_OK;
}

static kmn_err make_tile(struct kmn_tiles *t, unsigned level, uint64_t n, enum faith faith, struct kmn_tile *tile);

/* Hashes of a tile level from the level below: unverified, for who holds them against something. */
static kmn_err
make_hashes(struct kmn_tiles *t, unsigned level, uint64_t from, unsigned count, enum faith faith, uint8_t *out)
{
	struct hashes leaves = {out, 0};
	struct kmn_tile *below;
	kmn_err e = KMN_OK;

	if (level == 0)
		return kmn_lines_each(&t->leaves, from, count, take_leaf, &leaves);
	if ((below = malloc(sizeof(*below))) == NULL)
		return KMN_E_NO_MEMORY;
	for (unsigned i = 0; e == KMN_OK && i < count; i++) {
		if (faith == FAITH_NONE || !read_tile(t->store, level - 1, from + i, below))
			e = make_tile(t, level - 1, from + i, faith, below);
		if (e == KMN_OK)
			memcpy(out + (size_t)i * KMN_HASH_BYTES, kmn_tile_root(below), KMN_HASH_BYTES);
	}
	free(below);
	return e;
}

static kmn_err
make_tile(struct kmn_tiles *t, unsigned level, uint64_t n, enum faith faith, struct kmn_tile *tile)
{
	uint8_t hashes[KMN_TILE_BYTES];
	kmn_err e = make_hashes(t, level, n * KMN_TILE_HASHES, KMN_TILE_HASHES, faith, hashes);

	*tile = (struct kmn_tile){.level = level, .n = n};
	for (size_t at = 0; e == KMN_OK && at < KMN_TILE_BYTES; at += KMN_HASH_BYTES)
		kmn_tile_put(tile, hashes + at);
	return e;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static kmn_err node_of(void *cookie, unsigned level, uint64_t n, uint8_t out[KMN_HASH_BYTES]);

/* Reads or makes the tile that has this root. */
static kmn_err
fetch(struct kmn_tiles *t, unsigned level, uint64_t n, const uint8_t root[KMN_HASH_BYTES], struct kmn_tile *tile)
{
	kmn_err e;

	if (read_tile(t->store, level, n, tile) && memcmp(kmn_tile_root(tile), root, KMN_HASH_BYTES) == 0)
		return KMN_OK;
	for (enum faith faith = level == 0 ? FAITH_NONE : FAITH_TILES;; faith = FAITH_NONE) {
		e = make_tile(t, level, n, faith, tile);
		if (e == KMN_OK && memcmp(kmn_tile_root(tile), root, KMN_HASH_BYTES) == 0)
			return KMN_OK;
		if (e == KMN_E_NO_MEMORY || faith == FAITH_NONE)
			return e == KMN_OK || e == KMN_E_NOT_FOUND ? KMN_E_CORRUPT : e;
	}
}

static const struct kmn_tile *
cached(struct kmn_tiles *t, unsigned level, uint64_t n)
{
	for (const struct kmn_tile *whole = t->edge.whole; whole != NULL; whole = whole->next)
		if (whole->level == level && whole->n == n)
			return whole;
	for (size_t i = 0; i < CACHED && t->cache[i] != NULL; i++) {
		struct kmn_tile *tile = t->cache[i];

		if (tile->level != level || tile->n != n)
			continue;
		memmove(t->cache + 1, t->cache, i * sizeof(t->cache[0]));
		return t->cache[0] = tile;
	}
	return NULL;
}

/* A whole tile, right by its root; lives until the next call. */
static kmn_err
tile_of(struct kmn_tiles *t, unsigned level, uint64_t n, const struct kmn_tile **tile_out)
{
	uint8_t root[KMN_HASH_BYTES];
	struct kmn_tile *tile;
	kmn_err e;

	if ((*tile_out = cached(t, level, n)) != NULL)
		return KMN_OK;
	if ((e = node_of(t, 8 * (level + 1), n, root)) != KMN_OK)
		return e;
	if ((tile = malloc(sizeof(*tile))) == NULL)
		return KMN_E_NO_MEMORY;
	if ((e = fetch(t, level, n, root, tile)) != KMN_OK) {
		free(tile);
		return e;
	}
	free(t->cache[CACHED - 1]);
	memmove(t->cache + 1, t->cache, (CACHED - 1) * sizeof(t->cache[0]));
	*tile_out = t->cache[0] = tile;
	return KMN_OK;
}

static kmn_err
node_of(void *cookie, unsigned level, uint64_t n, uint8_t out[KMN_HASH_BYTES])
{
	struct kmn_tiles *t = cookie;
	const uint8_t *node = kmn_edge_node(&t->edge, level, n);
	const struct kmn_tile *tile;
	kmn_err e;

	if (node == NULL) {
		if ((e = tile_of(t, level / 8, n >> (8 - level % 8), &tile)) != KMN_OK)
			return e;
		node = kmn_tile_node(tile, level % 8, n);
	}
	memcpy(out, node, KMN_HASH_BYTES);
	return KMN_OK;
}

static struct kmn_nodes
nodes_of(struct kmn_tiles *t)
{
	return (struct kmn_nodes){node_of, t, t->edge.size};
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

struct opening {
	struct kmn_tiles *tiles;
	const struct kmn_edge *saved;
	enum faith faith;
};

/* One row of the edge: from state/tree as far as it goes, a tile that is whole by now, or what it is made of. */
static kmn_err
edge_row(void *cookie, unsigned level, uint64_t from, unsigned count, uint8_t *out)
{
	struct opening *o = cookie;
	struct kmn_tile tile;
	unsigned have = 0;

	if (o->faith == FAITH_EDGE)
		for (const uint8_t *node;
		     have < count && (node = kmn_edge_node(o->saved, 8 * level, from + have)) != NULL; have++)
			memcpy(out + (size_t)have * KMN_HASH_BYTES, node, KMN_HASH_BYTES);
	if (have < count && o->faith != FAITH_NONE &&
	    read_tile(o->tiles->store, level, from / KMN_TILE_HASHES, &tile)) {
		memcpy(out, tile.node, (size_t)count * KMN_HASH_BYTES);
		have = count;
	}
	return have == count ? KMN_OK
			     : make_hashes(o->tiles, level, from + have, count - have, o->faith,
				   out + (size_t)have * KMN_HASH_BYTES);
}

static kmn_err
edge_for(struct kmn_tiles *t, const struct kmn_edge *saved, const struct kmn_head *head, enum faith faith)
{
	struct opening o = {t, saved, faith};
	struct kmn_nodes nodes;
	struct kmn_head here;
	kmn_err e = kmn_edge_load(&t->edge, head->size, edge_row, &o);

	nodes = nodes_of(t);
	if (e == KMN_OK && (e = kmn_nodes_head(&nodes, head->size, &here)) == KMN_OK &&
	    memcmp(here.root, head->root, KMN_HASH_BYTES) != 0)
		e = KMN_E_CORRUPT;
	if (e != KMN_OK)
		kmn_edge_clear(&t->edge);
	return e;
}

static void
read_saved(struct kmn_store *store, struct kmn_edge *saved)
{
	char *bytes = NULL;
	size_t len;

	kmn_edge_init(saved);
	if (kmn_store_read(store, "state/tree", KMN_EDGE_MAX_BYTES, &bytes, &len) == KMN_OK &&
	    kmn_edge_read(saved, (const uint8_t *)bytes, len) != KMN_OK)
		kmn_edge_clear(saved);
	free(bytes);
}

kmn_err
kmn_tiles_open(struct kmn_store *store, const struct kmn_head *head, struct kmn_tiles **tiles_out, struct kmn_why *why)
{
	struct kmn_tiles *t = calloc(1, sizeof(*t));
	struct kmn_edge saved;
	kmn_err e = KMN_E_CORRUPT;

	*tiles_out = NULL;
	if (t == NULL)
		return KMN_E_NO_MEMORY;
	t->store = store;
	kmn_lines_init(&t->lines, store);
	kmn_lines_init(&t->leaves, store);
	read_saved(store, &saved);
	for (int faith = FAITH_EDGE; faith >= (int)FAITH_NONE && e != KMN_OK && e != KMN_E_NO_MEMORY; faith--)
		e = edge_for(t, &saved, head, (enum faith)faith);
	kmn_edge_clear(&saved);
	if (e == KMN_OK) {
		*tiles_out = t;
		return KMN_OK;
	}
	kmn_why_set(why,
	    e == KMN_E_CORRUPT ? "the segments do not have this root at size %llu"
			       : "the segments cannot be read up to size %llu",
	    (unsigned long long)head->size);
	kmn_tiles_free(t);
	return e;
}

void
kmn_tiles_free(struct kmn_tiles *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < CACHED; i++)
		free(t->cache[i]);
	kmn_edge_clear(&t->edge);
	kmn_lines_clear(&t->lines);
	kmn_lines_clear(&t->leaves);
	free(t);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

uint64_t
kmn_tiles_size(const struct kmn_tiles *t)
{
	return t->edge.size;
}

kmn_err
kmn_tiles_leaf(struct kmn_tiles *t, uint64_t index, uint8_t out[KMN_HASH_BYTES])
{
	memset(out, 0, KMN_HASH_BYTES);
	return index < t->edge.size ? node_of(t, 0, index, out) : KMN_E_NOT_FOUND;
}

kmn_err
kmn_tiles_head(struct kmn_tiles *t, uint64_t size, struct kmn_head *head_out)
{
	struct kmn_nodes nodes = nodes_of(t);

	return kmn_nodes_head(&nodes, size, head_out);
}

kmn_err
kmn_tiles_inclusion(struct kmn_tiles *t, uint64_t index, uint64_t size, struct kmn_path *path_out)
{
	struct kmn_nodes nodes = nodes_of(t);

	return kmn_nodes_inclusion(&nodes, index, size, path_out);
}

kmn_err
kmn_tiles_consistency(struct kmn_tiles *t, uint64_t from, uint64_t to, struct kmn_path *path_out)
{
	struct kmn_nodes nodes = nodes_of(t);

	return kmn_nodes_consistency(&nodes, from, to, path_out);
}

struct checked {
	struct kmn_tiles *tiles;
	kmn_line_fn *each;
	void *cookie;
};

static kmn_err
check_line(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct checked *checked = cookie;
	uint8_t leaf[KMN_HASH_BYTES], is[KMN_HASH_BYTES];
	kmn_err e = kmn_tiles_leaf(checked->tiles, index, leaf);

	if (e != KMN_OK)
		return e;
	kmn_leaf_hash(line, len, is);
	return memcmp(is, leaf, sizeof(is)) == 0 ? checked->each(checked->cookie, index, line, len) : KMN_E_CORRUPT;
}

kmn_err
kmn_tiles_each(struct kmn_tiles *t, uint64_t from, uint64_t count, kmn_line_fn *each, void *cookie)
{
	struct checked checked = {t, each, cookie};
	kmn_err e;

	if (from > t->edge.size || count > t->edge.size - from)
		return KMN_E_NOT_FOUND;
	e = kmn_lines_each(&t->lines, from, count, check_line, &checked);
	return e == KMN_E_NOT_FOUND ? KMN_E_CORRUPT : e; /* the tree has it, the segments do not */
}

kmn_err
kmn_tiles_line(struct kmn_tiles *t, uint64_t index, char **line_out, size_t *len_out)
{
	struct kmn_line_copy one = {NULL, 0};
	kmn_err e = kmn_tiles_each(t, index, 1, kmn_line_copy, &one);

	*line_out = one.line;
	*len_out = one.len;
	return e;
}

/* ---- the writer's ------------------------------------------------------------------------------------------------ */

kmn_err
kmn_tiles_add(struct kmn_tiles *t, const uint8_t leaf[KMN_HASH_BYTES])
{
	return kmn_edge_add(&t->edge, leaf);
}

void
kmn_tiles_written(struct kmn_tiles *t, uint64_t size)
{
	while (t->edge.whole != NULL && kmn_tile_end(t->edge.whole) <= size)
		free(kmn_edge_take(&t->edge));
}

const struct kmn_edge *
kmn_tiles_edge(const struct kmn_tiles *t)
{
	return &t->edge;
}

/* By its size alone: what is in it is looked at when it is used. */
static bool
is_there(struct kmn_store *store, unsigned level, uint64_t n)
{
	char name[KMN_TILE_NAME_BYTES];
	int64_t size;
	int fd;

	kmn_tile_name(level, n, name);
	if ((fd = store->open(store, name, O_RDONLY)) < 0)
		return false;
	size = store->size(store, fd);
	(void)store->close(store, fd);
	return size == KMN_TILE_BYTES;
}

kmn_err
kmn_tiles_mend(struct kmn_tiles *t, uint64_t from)
{
	const struct kmn_tile *tile;
	kmn_err e = KMN_OK;

	for (unsigned level = 0; e == KMN_OK && level < KMN_TILE_LEVELS; level++)
		for (uint64_t n = from >> 8 * (level + 1); e == KMN_OK && n < t->edge.size >> 8 * (level + 1); n++)
			if (!is_there(t->store, level, n) && (e = tile_of(t, level, n, &tile)) == KMN_OK)
				e = kmn_tile_write(t->store, tile);
	return e;
}
