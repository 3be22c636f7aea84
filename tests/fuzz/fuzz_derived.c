/*
 * What a start reads beside the records: the first byte says which. 't' the
 * edge of the tree, 's' a snapshot without its MAC, 'm' the end of a segment
 * in which a mark is looked for, and records by their number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/inner.h"
#include "tests/fuzz/one_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define ORIGIN "kanmon.example/gw1/2026"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* What is read is what is written. */
static void
edge(const uint8_t *bytes, size_t len)
{
	struct kmn_edge edge;
	uint8_t *again;
	size_t again_len;

	if (kmn_edge_read(&edge, bytes, len) != KMN_OK)
		return;
	check(kmn_edge_write(&edge, &again, &again_len) == KMN_OK);
	check(again_len == len && memcmp(again, bytes, len) == 0);
	free(again);
	kmn_edge_clear(&edge);
}

static void
snapshot(const uint8_t *bytes, size_t len)
{
	static const uint8_t secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_snapshot said, same;
	char *again;
	size_t again_len;

	check(kmn_snapshot_read((const char *)bytes, len, ORIGIN, secret, &same) != KMN_OK);
	if (kmn_snapshot_parse((const char *)bytes, len, ORIGIN, &said) != KMN_OK)
		return;
	for (size_t n = 0; n < said.count; n++)
		check(said.index[n] < said.head.size && (n == 0 || said.index[n] > said.index[n - 1]));
	check(kmn_snapshot_write(&said, ORIGIN, secret, &again, &again_len) == KMN_OK);
	check(again_len > len && memcmp(again, bytes, len) == 0);
	check(kmn_snapshot_read(again, again_len, ORIGIN, secret, &same) == KMN_OK && same.count == said.count);
	free(again);
	kmn_snapshot_clear(&said);
	kmn_snapshot_clear(&same);
}

static kmn_err
in_order(void *cookie, uint64_t index, const char *line, size_t len)
{
	uint64_t *next = cookie;

	check(index == (*next)++ && len > 0 && line[0] == '{');
	return KMN_OK;
}

static void
segment(const uint8_t *bytes, size_t len)
{
	struct one_file file = one_file(bytes, len);
	const uint64_t first = 0;
	struct kmn_lines lines;
	struct kmn_chain chain;
	uint64_t offset;

	kmn_chain_init(&chain, ORIGIN, 0, 0);
	if (kmn_tail_find(&file.store, &first, 1, &chain, &offset) == KMN_OK)
		check(offset > 0 && offset <= len && bytes[offset - 1] == '\n');
	kmn_lines_init(&lines, &file.store);
	for (uint64_t i = 0; i < 4; i++) {
		uint64_t next = i;

		if (kmn_lines_each(&lines, i, 3, in_order, &next) == KMN_OK)
			check(next == i + 3);
	}
	kmn_lines_clear(&lines);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len > 0 && bytes[0] == 't')
		edge(bytes + 1, len - 1);
	if (len > 0 && bytes[0] == 's')
		snapshot(bytes + 1, len - 1);
	if (len > 0 && bytes[0] == 'm')
		segment(bytes + 1, len - 1);
	return 0;
}
