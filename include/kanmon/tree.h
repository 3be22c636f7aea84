/*
 * The Merkle tree of RFC 6962 and RFC 9162 with SHA-256: leaf = H(0 || line),
 * node = H(1 || left || right), root of nothing = H(""). Pure.
 */
#ifndef KANMON_TREE_H
#define KANMON_TREE_H

#include "kanmon/err.h"

#define KMN_TREE_LEVELS 53 /* sizes are < 2^53 */
#define KMN_PATH_MAX_HASHES 63

/* A tree by its size and root: what a checkpoint signs. */
struct kmn_head {
	uint64_t size;
	uint8_t root[KMN_HASH_BYTES];
};

/* Roots of the maximal perfect subtrees: all that is needed to grow a tree. hash[L] counts iff bit L of size is set. */
struct kmn_frontier {
	uint64_t size;
	uint8_t hash[KMN_TREE_LEVELS][KMN_HASH_BYTES];
};

struct kmn_path {
	size_t count;
	uint8_t hash[KMN_PATH_MAX_HASHES][KMN_HASH_BYTES];
};

/* SHA-256 of bytes, of a leaf (0 || line), of a node (1 || left || right). */
void kmn_sha256(const void *bytes, size_t len, uint8_t out[KMN_HASH_BYTES]);
void kmn_leaf_hash(const void *line, size_t len, uint8_t out[KMN_HASH_BYTES]);
void kmn_node_hash(
    const uint8_t left[KMN_HASH_BYTES], const uint8_t right[KMN_HASH_BYTES], uint8_t out[KMN_HASH_BYTES]);

/* The empty tree; one leaf more, by its hash; size and root as they are now. */
void kmn_frontier_init(struct kmn_frontier *f);
void kmn_frontier_add(struct kmn_frontier *f, const uint8_t leaf[KMN_HASH_BYTES]);
void kmn_frontier_head(const struct kmn_frontier *f, struct kmn_head *head_out);
/* The hashes left to right (largest subtree first), as written in `#mark`; gives their count. */
size_t kmn_frontier_list(const struct kmn_frontier *f, uint8_t out[KMN_TREE_LEVELS][KMN_HASH_BYTES]);
/* The reverse; `count` must be the number of bits set in `size`. */
kmn_err kmn_frontier_load(
    struct kmn_frontier *f, uint64_t size, uint8_t hashes[][KMN_HASH_BYTES], size_t count) KMN_MUST_CHECK;

/*
 * Proofs from wherever the nodes are: get() gives the root of the leaves n * 2^level .. (n + 1) * 2^level - 1, all of
 * which are below `size`. Heads and proofs at any size up to that; KMN_E_NOT_FOUND beyond, else what get() says.
 */
struct kmn_nodes {
	kmn_err (*get)(void *cookie, unsigned level, uint64_t n, uint8_t out[KMN_HASH_BYTES]);
	void *cookie;
	uint64_t size;
};
kmn_err kmn_nodes_head(const struct kmn_nodes *nodes, uint64_t size, struct kmn_head *head_out) KMN_MUST_CHECK;
kmn_err kmn_nodes_inclusion(
    const struct kmn_nodes *nodes, uint64_t index, uint64_t size, struct kmn_path *path_out) KMN_MUST_CHECK;
kmn_err kmn_nodes_consistency(
    const struct kmn_nodes *nodes, uint64_t from, uint64_t to, struct kmn_path *path_out) KMN_MUST_CHECK;

/* All leaf hashes and the nodes above them, to make proofs from: 64 bytes of memory a leaf. */
struct kmn_tree;
struct kmn_tree *kmn_tree_new(void);
void kmn_tree_free(struct kmn_tree *tree);
uint64_t kmn_tree_size(const struct kmn_tree *tree);
kmn_err kmn_tree_add(struct kmn_tree *tree, const uint8_t leaf[KMN_HASH_BYTES]) KMN_MUST_CHECK;
/* The hash of leaf `index`; KMN_E_NOT_FOUND past the end. */
kmn_err kmn_tree_leaf(const struct kmn_tree *tree, uint64_t index, uint8_t out[KMN_HASH_BYTES]) KMN_MUST_CHECK;
/* The head, inclusion path or consistency proof at any size up to the tree's; KMN_E_NOT_FOUND beyond. */
kmn_err kmn_tree_head(const struct kmn_tree *tree, uint64_t size, struct kmn_head *head_out) KMN_MUST_CHECK;
kmn_err kmn_tree_inclusion(
    const struct kmn_tree *tree, uint64_t index, uint64_t size, struct kmn_path *path_out) KMN_MUST_CHECK;
kmn_err kmn_tree_consistency(
    const struct kmn_tree *tree, uint64_t from, uint64_t to, struct kmn_path *path_out) KMN_MUST_CHECK;

/* RFC 9162 2.1.3.2: KMN_OK, or KMN_E_SIGNATURE if the leaf is not proven to be at `index` of the tree. */
kmn_err kmn_inclusion_verify(const uint8_t leaf[KMN_HASH_BYTES], uint64_t index, const struct kmn_head *head,
    const struct kmn_path *path) KMN_MUST_CHECK;
/* RFC 9162 2.1.4.2: KMN_OK, or KMN_E_SIGNATURE if `from` is not proven to be a prefix of `to`. */
kmn_err kmn_consistency_verify(
    const struct kmn_head *from, const struct kmn_head *to, const struct kmn_path *path) KMN_MUST_CHECK;

#endif
