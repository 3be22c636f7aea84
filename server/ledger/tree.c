#include "kanmon/tree.h"

#include <stdlib.h>
#include <string.h>

void
kmn_frontier_init(struct kmn_frontier *f)
{
	memset(f, 0, sizeof(*f));
}

void
kmn_frontier_add(struct kmn_frontier *f, const uint8_t leaf[KMN_HASH_BYTES])
{
	uint8_t carry[KMN_HASH_BYTES];
	unsigned level = 0;

	memcpy(carry, leaf, KMN_HASH_BYTES);
	for (; f->size >> level & 1; level++)
		kmn_node_hash(f->hash[level], carry, carry);
	if (level >= KMN_TREE_LEVELS)
		KMN_BUG("a tree of 2^53 leaves");
	memcpy(f->hash[level], carry, KMN_HASH_BYTES);
	f->size++;
}

void
kmn_frontier_head(const struct kmn_frontier *f, struct kmn_head *head_out)
{
	bool first = true;

	head_out->size = f->size;
	kmn_sha256("", 0, head_out->root);
	for (unsigned level = 0; level < KMN_TREE_LEVELS; level++) {
		if (!(f->size >> level & 1))
			continue;
		if (first)
			memcpy(head_out->root, f->hash[level], KMN_HASH_BYTES);
		else
			kmn_node_hash(f->hash[level], head_out->root, head_out->root);
		first = false;
	}
}

size_t
kmn_frontier_list(const struct kmn_frontier *f, uint8_t out[KMN_TREE_LEVELS][KMN_HASH_BYTES])
{
	size_t n = 0;

	for (unsigned level = KMN_TREE_LEVELS; level-- > 0;)
		if (f->size >> level & 1)
			memcpy(out[n++], f->hash[level], KMN_HASH_BYTES);
	return n;
}

kmn_err
kmn_frontier_load(struct kmn_frontier *f, uint64_t size, uint8_t hashes[][KMN_HASH_BYTES], size_t count)
{
	size_t n = 0;

	kmn_frontier_init(f);
	if (size >> KMN_TREE_LEVELS != 0 || count != (size_t)__builtin_popcountll(size))
		return KMN_E_MALFORMED;
	f->size = size;
	for (unsigned level = KMN_TREE_LEVELS; level-- > 0;)
		if (size >> level & 1)
			memcpy(f->hash[level], hashes[n++], KMN_HASH_BYTES);
	return KMN_OK;
}

/* level[L].hash[n] is the root of leaves n * 2^L .. (n + 1) * 2^L - 1, kept once all of them are there. */
struct kmn_tree {
	struct level {
		uint8_t (*hash)[KMN_HASH_BYTES];
		uint64_t count, room;
	} level[KMN_TREE_LEVELS];
};

struct kmn_tree *
kmn_tree_new(void)
{
	return calloc(1, sizeof(struct kmn_tree));
}

void
kmn_tree_free(struct kmn_tree *tree)
{
	if (tree == NULL)
		return;
	for (unsigned n = 0; n < KMN_TREE_LEVELS; n++)
		free(tree->level[n].hash);
	free(tree);
}

uint64_t
kmn_tree_size(const struct kmn_tree *tree)
{
	return tree->level[0].count;
}

static kmn_err
level_push(struct level *level, const uint8_t hash[KMN_HASH_BYTES])
{
	if (level->count == level->room) {
		uint64_t room = level->room == 0 ? 16 : level->room * 2;
		void *grown =
		    room > SIZE_MAX / KMN_HASH_BYTES ? NULL : realloc(level->hash, (size_t)room * KMN_HASH_BYTES);

		if (grown == NULL)
			return KMN_E_NO_MEMORY;
		level->hash = grown;
		level->room = room;
	}
	memcpy(level->hash[level->count++], hash, KMN_HASH_BYTES);
	return KMN_OK;
}

kmn_err
kmn_tree_add(struct kmn_tree *tree, const uint8_t leaf[KMN_HASH_BYTES])
{
	uint8_t node[KMN_HASH_BYTES];
	kmn_err e;

	if (tree->level[0].count >> (KMN_TREE_LEVELS - 1) != 0)
		return KMN_E_TOO_BIG;
	memcpy(node, leaf, KMN_HASH_BYTES);
	for (unsigned n = 0; (e = level_push(&tree->level[n], node)) == KMN_OK; n++) {
		uint64_t count = tree->level[n].count;

		if (count % 2 != 0)
			break;
		kmn_node_hash(tree->level[n].hash[count - 2], tree->level[n].hash[count - 1], node);
	}
	return e;
}

kmn_err
kmn_tree_leaf(const struct kmn_tree *tree, uint64_t index, uint8_t out[KMN_HASH_BYTES])
{
	memset(out, 0, KMN_HASH_BYTES);
	if (index >= kmn_tree_size(tree))
		return KMN_E_NOT_FOUND;
	memcpy(out, tree->level[0].hash[index], KMN_HASH_BYTES);
	return KMN_OK;
}

/* Largest power of two below n, for n > 1: where RFC 6962 splits n leaves. */
static unsigned
split_level(uint64_t n)
{
	return 63u - (unsigned)__builtin_clzll(n - 1);
}

/* MTH of leaves from..to-1, where `from` is a multiple of the power of two that spans to - from. */
static kmn_err
range_root(const struct kmn_nodes *nodes, uint64_t from, uint64_t to, uint8_t out[KMN_HASH_BYTES])
{
	uint64_t n = to - from;
	uint8_t right[KMN_HASH_BYTES];
	unsigned level;
	kmn_err e;

	if (n == 0) {
		kmn_sha256("", 0, out);
		return KMN_OK;
	}
	if ((n & (n - 1)) == 0) {
		level = (unsigned)__builtin_ctzll(n);
		return nodes->get(nodes->cookie, level, from >> level, out);
	}
	level = split_level(n);
	if ((e = range_root(nodes, from, from + (UINT64_C(1) << level), out)) != KMN_OK ||
	    (e = range_root(nodes, from + (UINT64_C(1) << level), to, right)) != KMN_OK)
		return e;
	kmn_node_hash(out, right, out);
	return KMN_OK;
}

kmn_err
kmn_nodes_head(const struct kmn_nodes *nodes, uint64_t size, struct kmn_head *head_out)
{
	memset(head_out, 0, sizeof(*head_out));
	if (size > nodes->size)
		return KMN_E_NOT_FOUND;
	head_out->size = size;
	return range_root(nodes, 0, size, head_out->root);
}

static kmn_err
path_push(const struct kmn_nodes *nodes, uint64_t from, uint64_t to, struct kmn_path *path)
{
	if (path->count == KMN_PATH_MAX_HASHES)
		KMN_BUG("a path of more than 63 hashes");
	return range_root(nodes, from, to, path->hash[path->count++]);
}

static void
path_reverse(struct kmn_path *path)
{
	uint8_t swap[KMN_HASH_BYTES];

	for (size_t n = 0; n < path->count / 2; n++) {
		uint8_t *left = path->hash[n], *right = path->hash[path->count - 1 - n];

		memcpy(swap, left, KMN_HASH_BYTES);
		memcpy(left, right, KMN_HASH_BYTES);
		memcpy(right, swap, KMN_HASH_BYTES);
	}
}

/* PATH of RFC 6962 2.1.1, walked from the root down and then turned round. */
kmn_err
kmn_nodes_inclusion(const struct kmn_nodes *nodes, uint64_t index, uint64_t size, struct kmn_path *path_out)
{
	uint64_t from = 0, to = size;
	kmn_err e = KMN_OK;

	path_out->count = 0;
	if (size > nodes->size || index >= size)
		return KMN_E_NOT_FOUND;
	while (e == KMN_OK && to - from > 1) {
		uint64_t middle = from + (UINT64_C(1) << split_level(to - from));

		if (index < middle) {
			e = path_push(nodes, middle, to, path_out);
			to = middle;
		} else {
			e = path_push(nodes, from, middle, path_out);
			from = middle;
		}
	}
	path_reverse(path_out);
	return e;
}

/* SUBPROOF of RFC 6962 2.1.2, walked from the root down and then turned round. */
kmn_err
kmn_nodes_consistency(const struct kmn_nodes *nodes, uint64_t from, uint64_t to, struct kmn_path *path_out)
{
	uint64_t left = 0, right = to, size = from;
	bool whole = true; /* the old tree's root is what the walk ends at: the verifier has it */
	kmn_err e = KMN_OK;

	path_out->count = 0;
	if (to > nodes->size || from > to)
		return KMN_E_NOT_FOUND;
	if (from == 0 || from == to)
		return KMN_OK;
	while (e == KMN_OK && size != right - left) {
		uint64_t half = UINT64_C(1) << split_level(right - left);

		if (size <= half) {
			e = path_push(nodes, left + half, right, path_out);
			right = left + half;
		} else {
			e = path_push(nodes, left, left + half, path_out);
			left += half;
			size -= half;
			whole = false;
		}
	}
	if (e == KMN_OK && !whole)
		e = path_push(nodes, left, right, path_out);
	path_reverse(path_out);
	return e;
}

static kmn_err
tree_node(void *cookie, unsigned level, uint64_t n, uint8_t out[KMN_HASH_BYTES])
{
	const struct kmn_tree *tree = cookie;

	memcpy(out, tree->level[level].hash[n], KMN_HASH_BYTES);
	return KMN_OK;
}

static struct kmn_nodes
tree_nodes(const struct kmn_tree *tree)
{
	return (struct kmn_nodes){tree_node, (void *)(uintptr_t)tree, kmn_tree_size(tree)};
}

kmn_err
kmn_tree_head(const struct kmn_tree *tree, uint64_t size, struct kmn_head *head_out)
{
	struct kmn_nodes nodes = tree_nodes(tree);

	return kmn_nodes_head(&nodes, size, head_out);
}

kmn_err
kmn_tree_inclusion(const struct kmn_tree *tree, uint64_t index, uint64_t size, struct kmn_path *path_out)
{
	struct kmn_nodes nodes = tree_nodes(tree);

	return kmn_nodes_inclusion(&nodes, index, size, path_out);
}

kmn_err
kmn_tree_consistency(const struct kmn_tree *tree, uint64_t from, uint64_t to, struct kmn_path *path_out)
{
	struct kmn_nodes nodes = tree_nodes(tree);

	return kmn_nodes_consistency(&nodes, from, to, path_out);
}

kmn_err
kmn_inclusion_verify(
    const uint8_t leaf[KMN_HASH_BYTES], uint64_t index, const struct kmn_head *head, const struct kmn_path *path)
{
	uint64_t fn = index, sn;
	uint8_t r[KMN_HASH_BYTES];

	if (index >= head->size || path->count > KMN_PATH_MAX_HASHES)
		return KMN_E_SIGNATURE;
	sn = head->size - 1;
	memcpy(r, leaf, KMN_HASH_BYTES);
	for (size_t n = 0; n < path->count; n++) {
		if (sn == 0)
			return KMN_E_SIGNATURE;
		if (fn % 2 == 1 || fn == sn) {
			kmn_node_hash(path->hash[n], r, r);
			while (fn % 2 == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			kmn_node_hash(r, path->hash[n], r);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && memcmp(r, head->root, KMN_HASH_BYTES) == 0 ? KMN_OK : KMN_E_SIGNATURE;
}

/* Steps 4-8 of RFC 9162 2.1.4.2: folds the path into the old root `fr` and the new root `sr`; false if it is too
 * long or too short for the two sizes. */
static bool
consistency_fold(uint64_t fn, uint64_t sn, const struct kmn_path *path, size_t n, uint8_t fr[KMN_HASH_BYTES],
    uint8_t sr[KMN_HASH_BYTES])
{
	for (; n < path->count; n++) {
		if (sn == 0)
			return false;
		if (fn % 2 == 1 || fn == sn) {
			kmn_node_hash(path->hash[n], fr, fr);
			kmn_node_hash(path->hash[n], sr, sr);
			while (fn % 2 == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			kmn_node_hash(sr, path->hash[n], sr);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0;
}

kmn_err
kmn_consistency_verify(const struct kmn_head *from, const struct kmn_head *to, const struct kmn_path *path)
{
	uint8_t fr[KMN_HASH_BYTES], sr[KMN_HASH_BYTES];
	bool power = (from->size & (from->size - 1)) == 0;
	uint64_t fn, sn;
	struct kmn_head nothing;
	struct kmn_frontier empty;

	if (from->size > to->size || path->count > KMN_PATH_MAX_HASHES)
		return KMN_E_SIGNATURE;
	if (from->size == 0) { /* everything grows from the empty tree, whose root is known */
		kmn_frontier_init(&empty);
		kmn_frontier_head(&empty, &nothing);
		return path->count == 0 && memcmp(from->root, nothing.root, KMN_HASH_BYTES) == 0 ? KMN_OK
												 : KMN_E_SIGNATURE;
	}
	if (from->size == to->size)
		return path->count == 0 && memcmp(from->root, to->root, KMN_HASH_BYTES) == 0 ? KMN_OK : KMN_E_SIGNATURE;
	if (!power && path->count == 0)
		return KMN_E_SIGNATURE;
	fn = from->size - 1;
	sn = to->size - 1;
	while (fn % 2 == 1) {
		fn >>= 1;
		sn >>= 1;
	}
	memcpy(fr, power ? from->root : path->hash[0], KMN_HASH_BYTES);
	memcpy(sr, fr, KMN_HASH_BYTES);
	if (!consistency_fold(fn, sn, path, power ? 0 : 1, fr, sr))
		return KMN_E_SIGNATURE;
	return memcmp(fr, from->root, KMN_HASH_BYTES) == 0 && memcmp(sr, to->root, KMN_HASH_BYTES) == 0
		   ? KMN_OK
		   : KMN_E_SIGNATURE;
}
