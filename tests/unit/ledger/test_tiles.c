/* Tiles, their edge, and lines by number: held against the tree that has everything in memory. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/chain.h"
#include "server/ledger/tiles.h"
#include "tests/unit/ledger/fixture.h"
#include "tests/unit/run.h"

static struct fixture f;

static void
up(void)
{
	fixture_up(&f);
}

static void
down(void)
{
	fixture_down(&f);
}

/* A leaf is any 32 bytes to the tree. */
static void
leaf_of(uint64_t n, uint8_t out[KMN_HASH_BYTES])
{
	kmn_sha256(&n, sizeof(n), out);
}

static kmn_err
edge_node(void *cookie, unsigned level, uint64_t n, uint8_t out[KMN_HASH_BYTES])
{
	const uint8_t *node = kmn_edge_node(cookie, level, n);

	if (node == NULL)
		return KMN_E_NOT_FOUND;
	memcpy(out, node, KMN_HASH_BYTES);
	return KMN_OK;
}

static void
test_names(void)
{
	static const struct {
		unsigned level;
		uint64_t n;
		const char *name;
	} rows[] = {
	    {0, 0, "tile/0/000"},
	    {0, 7, "tile/0/007"},
	    {1, 999, "tile/1/999"},
	    {0, 1000, "tile/0/x001/000"},
	    {0, 1234067, "tile/0/x001/x234/067"},
	    {6, 1, "tile/6/001"},
	    {0, (UINT64_C(1) << 45) - 1, "tile/0/x035/x184/x372/x088/831"},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(rows); n++) {
		char name[KMN_TILE_NAME_BYTES];

		kmn_tile_name(rows[n].level, rows[n].n, name);
		CU_ASSERT_STRING_EQUAL(name, rows[n].name);
	}
}

/* The root at every size, and again from the edge as it is written and read. */
static void
test_edge_is_the_frontier(void)
{
	struct kmn_frontier front;
	struct kmn_edge edge;
	uint64_t whole = 0;

	kmn_frontier_init(&front);
	kmn_edge_init(&edge);
	for (uint64_t size = 1; size <= 70000; size++) {
		uint8_t leaf[KMN_HASH_BYTES], *bytes;
		struct kmn_head want, here;
		struct kmn_edge again;
		size_t len;

		leaf_of(size, leaf);
		kmn_frontier_add(&front, leaf);
		CU_ASSERT_EQUAL_FATAL(kmn_edge_add(&edge, leaf), KMN_OK);
		for (struct kmn_tile *tile; (tile = kmn_edge_take(&edge)) != NULL; free(tile), whole++)
			CU_ASSERT_EQUAL(kmn_tile_end(tile), size);
		if (size % 509 != 0 && size % 256 > 2 && size != 65536)
			continue;
		kmn_frontier_head(&front, &want);
		CU_ASSERT_EQUAL_FATAL(kmn_edge_write(&edge, &bytes, &len), KMN_OK);
		CU_ASSERT_EQUAL_FATAL(kmn_edge_read(&again, bytes, len), KMN_OK);
		for (int n = 0; n < 2; n++) {
			struct kmn_nodes nodes = {edge_node, n == 0 ? &edge : &again, size};

			CU_ASSERT_EQUAL(kmn_nodes_head(&nodes, size, &here), KMN_OK);
			CU_ASSERT_EQUAL(memcmp(&here, &want, sizeof(want)), 0);
		}
		kmn_edge_clear(&again);
		CU_ASSERT_EQUAL(kmn_edge_read(&again, bytes, len - 1), KMN_E_MALFORMED);
		free(bytes);
	}
	CU_ASSERT_EQUAL(whole, 70000 / 256 + 1);
	kmn_edge_clear(&edge);
}

/* A ledger of many small segments: records as they were appended. */
static uint64_t
grow(uint64_t records)
{
	struct kmn_head head;
	struct kmn_log *log;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	while (kmn_log_size(log) < records)
		fixture_batch(log, (unsigned)(records - kmn_log_size(log) > 50 ? 50 : records - kmn_log_size(log)));
	kmn_log_durable(log, &head);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	return head.size;
}

static kmn_err
add_leaf(void *cookie, uint64_t index, const char *line, size_t len)
{
	uint8_t leaf[KMN_HASH_BYTES];

	(void)index;
	kmn_leaf_hash(line, len, leaf);
	return kmn_tree_add(cookie, leaf);
}

static struct kmn_tree *
tree_of(uint64_t size)
{
	struct kmn_tree *tree = kmn_tree_new();
	struct kmn_lines lines;

	kmn_lines_init(&lines, &f.disk.store);
	CU_ASSERT_EQUAL_FATAL(kmn_lines_each(&lines, 0, size, add_leaf, tree), KMN_OK);
	kmn_lines_clear(&lines);
	return tree;
}

static kmn_err
check_number(void *cookie, uint64_t index, const char *line, size_t len)
{
	struct kmn_record record;
	uint64_t *next = cookie;

	CU_ASSERT_EQUAL(index, (*next)++);
	CU_ASSERT_EQUAL_FATAL(kmn_record_parse(line, len, &record, NULL), KMN_OK);
	CU_ASSERT_EQUAL(record.i, index);
	kmn_record_clear(&record);
	return KMN_OK;
}

/* With offsets and without, in segments of every length and across them. */
static void
test_lines(void)
{
	struct kmn_lines lines;
	uint64_t size;

	f.settings.segment_records = 700;
	size = grow(1500);
	for (int n = 0; n < 2; n++) {
		kmn_lines_init(&lines, &f.disk.store);
		for (uint64_t from = 0; from < size; from += 13) {
			uint64_t count = from % 3 == 0 ? 1 : size - from < 800 ? size - from : 800, next = from;

			CU_ASSERT_EQUAL(kmn_lines_each(&lines, from, count, check_number, &next), KMN_OK);
			CU_ASSERT_EQUAL(next, from + count);
		}
		CU_ASSERT_EQUAL(kmn_lines_each(&lines, size, 1, check_number, NULL), KMN_E_NOT_FOUND);
		kmn_lines_clear(&lines);
		fixture_unlink(&f, "seg/00000000000000000000.kl.off");
	}
}

/* Offsets that lead elsewhere are found out, and the line is found all the same. */
static void
test_wrong_offsets(void)
{
	size_t len;
	char *off;
	uint64_t next = 300;
	struct kmn_lines lines;

	f.settings.segment_records = 700;
	(void)grow(1000);
	off = fixture_read(&f, "seg/00000000000000000000.kl.off", &len);
	memmove(off, off + 4, len - 4); /* each says the place of the record behind it */
	fixture_write(&f, "seg/00000000000000000000.kl.off", off, len);
	free(off);
	kmn_lines_init(&lines, &f.disk.store);
	CU_ASSERT_EQUAL(kmn_lines_each(&lines, 300, 1, check_number, &next), KMN_OK);
	kmn_lines_clear(&lines);
}

static void
assert_proofs(struct kmn_tiles *tiles, const struct kmn_tree *tree, uint64_t size)
{
	struct kmn_head want, here;
	struct kmn_path path, same;

	for (uint64_t n = 1; n <= size; n += 1 + n / 3) {
		CU_ASSERT_EQUAL(kmn_tree_head(tree, n, &want), KMN_OK);
		CU_ASSERT_EQUAL(kmn_tiles_head(tiles, n, &here), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(&want, &here, sizeof(want)), 0);
		for (uint64_t i = 0; i < n; i += 1 + n / 7) {
			CU_ASSERT_EQUAL(kmn_tree_inclusion(tree, i, n, &path), KMN_OK);
			CU_ASSERT_EQUAL(kmn_tiles_inclusion(tiles, i, n, &same), KMN_OK);
			CU_ASSERT_TRUE(
			    path.count == same.count && memcmp(path.hash, same.hash, path.count * KMN_HASH_BYTES) == 0);
			CU_ASSERT_EQUAL(kmn_tree_consistency(tree, i, n, &path), KMN_OK);
			CU_ASSERT_EQUAL(kmn_tiles_consistency(tiles, i, n, &same), KMN_OK);
			CU_ASSERT_TRUE(
			    path.count == same.count && memcmp(path.hash, same.hash, path.count * KMN_HASH_BYTES) == 0);
		}
	}
	CU_ASSERT_EQUAL(kmn_tiles_head(tiles, size + 1, &here), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_tiles_inclusion(tiles, size, size, &path), KMN_E_NOT_FOUND);
}

/* At heads of any size, with whatever files there are. */
static void
test_proofs(void)
{
	static const uint64_t sizes[] = {1, 2, 255, 256, 257, 700, 1024, 1500};
	struct kmn_tree *tree;
	uint64_t size;

	f.settings.segment_records = 700;
	size = grow(1500);
	tree = tree_of(size);
	for (size_t n = 0; n < KMN_COUNT_OF(sizes); n++) {
		struct kmn_tiles *tiles;
		struct kmn_head head;
		char *line;
		size_t len;

		CU_ASSERT_EQUAL(kmn_tree_head(tree, sizes[n], &head), KMN_OK);
		CU_ASSERT_EQUAL_FATAL(kmn_tiles_open(&f.disk.store, &head, &tiles, NULL), KMN_OK);
		assert_proofs(tiles, tree, sizes[n]);
		CU_ASSERT_EQUAL(kmn_tiles_line(tiles, sizes[n] - 1, &line, &len), KMN_OK);
		free(line);
		kmn_tiles_free(tiles);
	}
	kmn_tree_free(tree);
}

/* A root that the segments do not have is refused, whatever the tiles say. */
static void
test_wrong_head(void)
{
	struct kmn_tiles *tiles;
	struct kmn_tree *tree;
	struct kmn_head head;
	struct kmn_why why;

	(void)grow(600);
	tree = tree_of(600);
	CU_ASSERT_EQUAL(kmn_tree_head(tree, 600, &head), KMN_OK);
	head.root[0] ^= 1;
	CU_ASSERT_EQUAL(kmn_tiles_open(&f.disk.store, &head, &tiles, &why), KMN_E_CORRUPT);
	head.size = 601;
	CU_ASSERT_EQUAL(kmn_tiles_open(&f.disk.store, &head, &tiles, &why), KMN_E_NOT_FOUND);
	kmn_tree_free(tree);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"tiles are named as tlog-tiles says", test_names},
	    {"the edge of a tree has its root at every size, also written and read again", test_edge_is_the_frontier},
	    {"every line is found by its number, with offsets and without", test_lines},
	    {"offsets that lead elsewhere are found out, and the line all the same", test_wrong_offsets},
	    {"proofs from tiles are those of the whole tree, at every size", test_proofs},
	    {"a head that the segments do not have is refused", test_wrong_head},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/tiles", NULL, NULL, up, down, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
