/*
 * What checkers may look back at: the leaves and heads of the records read so
 * far. 32 bytes a record, and the roots of subtrees of 256 leaves and more:
 * what is below them is made again from the leaves when it is asked for.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

#define BLOCK_LEVEL 8
#define BLOCK_LEAVES (1u << BLOCK_LEVEL)

struct level {
	uint8_t (*hash)[KMN_HASH_BYTES];
	size_t count, room;
};

struct kmn_past {
	uint64_t size;
	uint8_t (**block)[KMN_HASH_BYTES]; /* each of BLOCK_LEAVES leaves */
	size_t blocks, room;
	struct level level[KMN_TREE_LEVELS]; /* from BLOCK_LEVEL on: roots of perfect subtrees, left to right */
};

kmn_err
kmn_past_new(struct kmn_past **past_out)
{
	*past_out = calloc(1, sizeof(**past_out));
	return *past_out == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

void
kmn_past_free(struct kmn_past *past)
{
	if (past == NULL)
		return;
	for (size_t n = 0; n < past->blocks; n++)
		free(past->block[n]);
	for (unsigned n = 0; n < KMN_TREE_LEVELS; n++)
		free(past->level[n].hash);
	free(past->block);
	free(past);
}

static kmn_err
new_block(struct kmn_past *past)
{
	uint8_t(**grown)[KMN_HASH_BYTES];

	if (past->blocks == past->room) {
		past->room = past->room * 2 + 64;
		if ((grown = realloc(past->block, past->room * sizeof(*grown))) == NULL)
			return KMN_E_NO_MEMORY;
		past->block = grown;
	}
	if ((past->block[past->blocks] = malloc(BLOCK_LEAVES * KMN_HASH_BYTES)) == NULL)
		return KMN_E_NO_MEMORY;
	past->blocks++;
	return KMN_OK;
}

static kmn_err
push(struct level *level, const uint8_t hash[KMN_HASH_BYTES])
{
	uint8_t(*grown)[KMN_HASH_BYTES];

	if (level->count == level->room) {
		level->room = level->room * 2 + 16;
		if ((grown = realloc(level->hash, level->room * sizeof(*grown))) == NULL)
			return KMN_E_NO_MEMORY;
		level->hash = grown;
	}
	memcpy(level->hash[level->count++], hash, KMN_HASH_BYTES);
	return KMN_OK;
}

/* The first `count` leaves of a block. */
static void
fold(const struct kmn_past *past, uint64_t block, unsigned count, struct kmn_frontier *out)
{
	kmn_frontier_init(out);
	for (unsigned n = 0; n < count; n++)
		kmn_frontier_add(out, past->block[block][n]);
}

/* A block is full: its root, and those of the subtrees that it completes. */
static kmn_err
close_block(struct kmn_past *past)
{
	struct kmn_frontier front;
	uint8_t hash[KMN_HASH_BYTES];
	kmn_err e;

	fold(past, past->size / BLOCK_LEAVES - 1, BLOCK_LEAVES, &front);
	memcpy(hash, front.hash[BLOCK_LEVEL], sizeof(hash));
	for (unsigned level = BLOCK_LEVEL;; level++) {
		struct level *row = &past->level[level];

		if ((e = push(row, hash)) != KMN_OK || row->count % 2 != 0)
			return e;
		kmn_node_hash(row->hash[row->count - 2], row->hash[row->count - 1], hash);
	}
}

kmn_err
kmn_past_add(struct kmn_past *past, const uint8_t leaf[KMN_HASH_BYTES])
{
	kmn_err e;

	if (past->size % BLOCK_LEAVES == 0 && (e = new_block(past)) != KMN_OK)
		return e;
	memcpy(past->block[past->size / BLOCK_LEAVES][past->size % BLOCK_LEAVES], leaf, KMN_HASH_BYTES);
	past->size++;
	return past->size % BLOCK_LEAVES == 0 ? close_block(past) : KMN_OK;
}

uint64_t
kmn_past_size(const struct kmn_past *past)
{
	return past->size;
}

kmn_err
kmn_past_leaf(struct kmn_past *past, uint64_t index, uint8_t out[KMN_HASH_BYTES])
{
	if (index >= past->size)
		return KMN_E_NOT_FOUND;
	memcpy(out, past->block[index / BLOCK_LEAVES][index % BLOCK_LEAVES], KMN_HASH_BYTES);
	return KMN_OK;
}

kmn_err
kmn_past_head(struct kmn_past *past, uint64_t size, struct kmn_head *head_out)
{
	struct kmn_frontier front;

	if (size > past->size)
		return KMN_E_NOT_FOUND;
	fold(past, size / BLOCK_LEAVES, (unsigned)(size % BLOCK_LEAVES), &front);
	for (unsigned level = BLOCK_LEVEL; level < KMN_TREE_LEVELS; level++)
		if (size >> level & 1)
			memcpy(front.hash[level], past->level[level].hash[(size >> level) - 1], KMN_HASH_BYTES);
	front.size = size;
	kmn_frontier_head(&front, head_out);
	return KMN_OK;
}

bool
kmn_past_is_head(struct kmn_past *past, const struct kmn_head *head)
{
	struct kmn_head here;

	return kmn_past_head(past, head->size, &here) == KMN_OK && memcmp(here.root, head->root, KMN_HASH_BYTES) == 0;
}
