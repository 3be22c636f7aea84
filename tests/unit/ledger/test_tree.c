/* Exhaustive over small trees, against the recursive definitions of RFC 6962 written down once more. */
#include "kanmon/tree.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <string.h>

#define MAX 130

static uint8_t leaves[MAX][KMN_HASH_BYTES];
static struct kmn_tree *tree;

static int
set_up(void)
{
	if ((tree = kmn_tree_new()) == NULL)
		return -1;
	for (unsigned n = 0; n < MAX; n++) {
		char line[16];

		(void)snprintf(line, sizeof(line), "leaf %u", n);
		kmn_leaf_hash(line, strlen(line), leaves[n]);
		if (kmn_tree_add(tree, leaves[n]) != KMN_OK)
			return -1;
	}
	return 0;
}

static int
tear_down(void)
{
	kmn_tree_free(tree);
	return 0;
}

static size_t
half_of(size_t n)
{
	size_t k = 1;

	while (k * 2 < n)
		k *= 2;
	return k;
}

/* MTH(D[from:to]) */
static void
naive_root(size_t from, size_t to, uint8_t out[KMN_HASH_BYTES])
{
	uint8_t left[KMN_HASH_BYTES], right[KMN_HASH_BYTES];

	if (from == to) {
		kmn_sha256("", 0, out);
	} else if (to - from == 1) {
		memcpy(out, leaves[from], KMN_HASH_BYTES);
	} else {
		size_t k = from + half_of(to - from);

		naive_root(from, k, left);
		naive_root(k, to, right);
		kmn_node_hash(left, right, out);
	}
}

/* PATH(m, D[from:to]) */
static void
naive_path(size_t m, size_t from, size_t to, struct kmn_path *path)
{
	size_t k;

	if (to - from <= 1)
		return;
	k = half_of(to - from);
	if (m < k) {
		naive_path(m, from, from + k, path);
		naive_root(from + k, to, path->hash[path->count++]);
	} else {
		naive_path(m - k, from + k, to, path);
		naive_root(from, from + k, path->hash[path->count++]);
	}
}

/* SUBPROOF(m, D[from:to], whole) */
static void
naive_subproof(size_t m, size_t from, size_t to, bool whole, struct kmn_path *path)
{
	size_t k;

	if (m == to - from) {
		if (!whole)
			naive_root(from, to, path->hash[path->count++]);
		return;
	}
	k = half_of(to - from);
	if (m <= k) {
		naive_subproof(m, from, from + k, whole, path);
		naive_root(from + k, to, path->hash[path->count++]);
	} else {
		naive_subproof(m - k, from + k, to, false, path);
		naive_root(from, from + k, path->hash[path->count++]);
	}
}

static bool
paths_equal(const struct kmn_path *a, const struct kmn_path *b)
{
	return a->count == b->count && memcmp(a->hash, b->hash, a->count * KMN_HASH_BYTES) == 0;
}

static void
test_heads(void)
{
	uint8_t list[KMN_TREE_LEVELS][KMN_HASH_BYTES];
	struct kmn_frontier f, again;
	struct kmn_head head, naive;

	kmn_frontier_init(&f);
	for (size_t n = 0; n <= MAX; n++) {
		size_t count = kmn_frontier_list(&f, list);

		naive.size = n;
		naive_root(0, n, naive.root);
		kmn_frontier_head(&f, &head);
		CU_ASSERT_EQUAL(memcmp(head.root, naive.root, KMN_HASH_BYTES), 0);
		CU_ASSERT_EQUAL(kmn_tree_head(tree, n, &head), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(head.root, naive.root, KMN_HASH_BYTES), 0);
		CU_ASSERT_EQUAL(kmn_frontier_load(&again, n, list, count), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(&again.size, &f.size, sizeof(f.size)), 0);
		kmn_frontier_head(&again, &head);
		CU_ASSERT_EQUAL(memcmp(head.root, naive.root, KMN_HASH_BYTES), 0);
		CU_ASSERT_EQUAL(kmn_frontier_load(&again, n, list, count + 1), KMN_E_MALFORMED);
		if (n < MAX)
			kmn_frontier_add(&f, leaves[n]);
	}
	CU_ASSERT_EQUAL(kmn_tree_head(tree, MAX + 1, &head), KMN_E_NOT_FOUND);
}

/* What a path must not survive: a hash less, a hash more, one bit, another place, another size. */
static void
inclusion_refusals(size_t index, const struct kmn_head *head, const struct kmn_path *path)
{
	struct kmn_path bent = *path;
	struct kmn_head other = *head;

	for (size_t n = 0; n < path->count; n++) {
		bent.hash[n][n % KMN_HASH_BYTES] ^= 1;
		CU_ASSERT_EQUAL(kmn_inclusion_verify(leaves[index], index, head, &bent), KMN_E_SIGNATURE);
		bent.hash[n][n % KMN_HASH_BYTES] ^= 1;
	}
	memset(bent.hash[bent.count], 0, KMN_HASH_BYTES);
	bent.count++;
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaves[index], index, head, &bent), KMN_E_SIGNATURE);
	if (path->count > 0) {
		bent.count = path->count - 1;
		CU_ASSERT_EQUAL(kmn_inclusion_verify(leaves[index], index, head, &bent), KMN_E_SIGNATURE);
		CU_ASSERT_EQUAL(kmn_inclusion_verify(leaves[index], index ^ 1, head, path), KMN_E_SIGNATURE);
	}
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaves[index], head->size, head, path), KMN_E_SIGNATURE);
	other.root[0] ^= 1;
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaves[index], index, &other, path), KMN_E_SIGNATURE);
}

static void
test_inclusion(void)
{
	struct kmn_path path, naive;
	struct kmn_head head;

	for (size_t size = 1; size <= MAX; size++) {
		CU_ASSERT_EQUAL(kmn_tree_head(tree, size, &head), KMN_OK);
		for (size_t index = 0; index < size; index++) {
			naive.count = 0;
			naive_path(index, 0, size, &naive);
			CU_ASSERT_EQUAL(kmn_tree_inclusion(tree, index, size, &path), KMN_OK);
			CU_ASSERT_TRUE(paths_equal(&path, &naive));
			CU_ASSERT_EQUAL(kmn_inclusion_verify(leaves[index], index, &head, &path), KMN_OK);
			inclusion_refusals(index, &head, &path);
		}
		CU_ASSERT_EQUAL(kmn_tree_inclusion(tree, size, size, &path), KMN_E_NOT_FOUND);
	}
	CU_ASSERT_EQUAL(kmn_tree_inclusion(tree, 0, MAX + 1, &path), KMN_E_NOT_FOUND);
}

static void
consistency_refusals(const struct kmn_head *from, const struct kmn_head *to, const struct kmn_path *path)
{
	struct kmn_path bent = *path;
	struct kmn_head other = *from;

	for (size_t n = 0; n < path->count; n++) {
		bent.hash[n][0] ^= 0x80;
		CU_ASSERT_EQUAL(kmn_consistency_verify(from, to, &bent), KMN_E_SIGNATURE);
		bent.hash[n][0] ^= 0x80;
	}
	memset(bent.hash[bent.count], 0, KMN_HASH_BYTES);
	bent.count++;
	CU_ASSERT_EQUAL(kmn_consistency_verify(from, to, &bent), KMN_E_SIGNATURE);
	if (path->count > 0) {
		bent.count = path->count - 1;
		CU_ASSERT_EQUAL(kmn_consistency_verify(from, to, &bent), KMN_E_SIGNATURE);
	}
	other.root[31] ^= 1;
	CU_ASSERT_EQUAL(kmn_consistency_verify(&other, to, path), KMN_E_SIGNATURE);
	if (from->size < to->size)
		CU_ASSERT_EQUAL(kmn_consistency_verify(to, from, path), KMN_E_SIGNATURE);
	other = *to;
	other.root[31] ^= 1;
	if (from->size > 0)
		CU_ASSERT_EQUAL(kmn_consistency_verify(from, &other, path), KMN_E_SIGNATURE);
}

static void
test_consistency(void)
{
	struct kmn_path path, naive;
	struct kmn_head from, to;

	for (size_t n = 0; n <= MAX; n++) {
		CU_ASSERT_EQUAL(kmn_tree_head(tree, n, &to), KMN_OK);
		for (size_t m = 0; m <= n; m++) {
			naive.count = 0;
			if (m > 0)
				naive_subproof(m, 0, n, true, &naive);
			CU_ASSERT_EQUAL(kmn_tree_head(tree, m, &from), KMN_OK);
			CU_ASSERT_EQUAL(kmn_tree_consistency(tree, m, n, &path), KMN_OK);
			CU_ASSERT_TRUE(paths_equal(&path, &naive));
			CU_ASSERT_EQUAL(kmn_consistency_verify(&from, &to, &path), KMN_OK);
			consistency_refusals(&from, &to, &path);
		}
	}
	CU_ASSERT_EQUAL(kmn_tree_consistency(tree, 2, 1, &path), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_tree_consistency(tree, 1, MAX + 1, &path), KMN_E_NOT_FOUND);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"heads and frontiers of all sizes to 130", test_heads},
	    {"inclusion: all leaves of all sizes to 130, and what must not pass", test_inclusion},
	    {"consistency: all pairs of sizes to 130, and what must not pass", test_consistency},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/tree", set_up, tear_down, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
