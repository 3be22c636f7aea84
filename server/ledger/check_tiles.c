/* V1 beside the segments: tiles and state/tree, where they are there, are those of the records. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/tiles.h"
#include "server/ledger/verify.h"

struct tiles {
	const struct kmn_checking *checking;
	struct kmn_edge edge;
	char *saved; /* state/tree, read before the segments */
	size_t saved_len;
	uint64_t saved_size;
	bool waits; /* its size was not met yet */
};

static void
say(struct tiles *tiles, const char *file, const char *text)
{
	struct kmn_place place = {file, 0, UINT64_MAX};

	kmn_checker_say(tiles->checking, KMN_V1, KMN_FINDING, &place, "%s", text);
}

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct tiles *tiles = calloc(1, sizeof(*tiles));
	struct kmn_edge saved;
	kmn_err e;

	if ((*state_out = tiles) == NULL)
		return KMN_E_NO_MEMORY;
	tiles->checking = checking;
	kmn_edge_init(&tiles->edge);
	e = kmn_store_read(
	    checking->settings->store, "state/tree", KMN_EDGE_MAX_BYTES, &tiles->saved, &tiles->saved_len);
	/* Not synced: a power cut may leave it empty, and the next start of the gateway writes it again. */
	if (e == KMN_E_NOT_FOUND || (e == KMN_OK && tiles->saved_len == 0))
		return KMN_OK;
	if (e == KMN_OK)
		e = kmn_edge_read(&saved, (const uint8_t *)tiles->saved, tiles->saved_len);
	if (e == KMN_E_NO_MEMORY)
		return e;
	if (e != KMN_OK) {
		say(tiles, "state/tree", "not the form of state/tree");
		return KMN_OK;
	}
	tiles->waits = true;
	tiles->saved_size = saved.size;
	kmn_edge_clear(&saved);
	return KMN_OK;
}

static kmn_err
compare_tile(struct tiles *tiles, const struct kmn_tile *tile)
{
	char name[KMN_TILE_NAME_BYTES], *bytes;
	size_t len;
	kmn_err e;

	kmn_tile_name(tile->level, tile->n, name);
	e = kmn_store_read(tiles->checking->settings->store, name, KMN_TILE_BYTES, &bytes, &len);
	if (e == KMN_E_NOT_FOUND || e == KMN_E_NO_MEMORY)
		return e == KMN_E_NO_MEMORY ? e : KMN_OK;
	if (e != KMN_OK || (len != 0 && (len != KMN_TILE_BYTES || memcmp(bytes, tile->node, len) != 0)))
		say(tiles, name, "not the hashes of the segments' records: one of the two was changed");
	free(bytes);
	return KMN_OK;
}

static kmn_err
compare_edge(struct tiles *tiles)
{
	uint8_t *want;
	size_t len;
	kmn_err e;

	tiles->waits = false;
	if ((e = kmn_edge_write(&tiles->edge, &want, &len)) != KMN_OK)
		return e;
	if (len != tiles->saved_len || memcmp(want, tiles->saved, len) != 0)
		say(tiles, "state/tree", "not the hashes of the segments' records: one of the two was changed");
	free(want);
	return KMN_OK;
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct tiles *tiles = state;
	struct kmn_tile *tile;
	kmn_err e = kmn_edge_add(&tiles->edge, record->leaf);

	(void)place;
	while (e == KMN_OK && (tile = kmn_edge_take(&tiles->edge)) != NULL) {
		e = compare_tile(tiles, tile);
		free(tile);
	}
	if (e == KMN_OK && tiles->waits && tiles->edge.size == tiles->saved_size)
		e = compare_edge(tiles);
	return e;
}

static kmn_err
end(void *state)
{
	struct tiles *tiles = state;

	if (tiles->waits)
		say(tiles, "state/tree", "it is about more records than there are: the ledger was cut off");
	return KMN_OK;
}

static void
clear(void *state)
{
	struct tiles *tiles = state;

	kmn_edge_clear(&tiles->edge);
	free(tiles->saved);
	free(tiles);
}

const struct kmn_checker kmn_tiles_checker = {"tiles", KMN_KINDS_ALL, 0, begin, take_record, end, clear};
