#include "config.h"

#include "server/quorum/kept.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kept {
	char last[32]; /* name of the last segment; all before it are full */
	uint8_t (*hash)[KMN_HASH_BYTES];
	size_t count, room;
	bool listed;
};

static int
each_segment(void *cookie, const char *name)
{
	struct kept *kept = cookie;
	size_t len = strlen(name);

	if (len == 23 && strcmp(name + 20, ".kl") == 0 && strcmp(name, kept->last) > 0)
		(void)snprintf(kept->last, sizeof(kept->last), "%s", name);
	return 0;
}

static int
each_blob(void *cookie, const char *name)
{
	struct kept *kept = cookie;
	uint8_t(*grown)[KMN_HASH_BYTES];
	size_t len;

	if (kept->count == kept->room) {
		kept->room = kept->room * 2 + 64;
		if ((grown = realloc(kept->hash, kept->room * sizeof(*grown))) == NULL)
			return 1;
		kept->hash = grown;
	}
	if (sodium_hex2bin(kept->hash[kept->count], KMN_HASH_BYTES, name, strlen(name), NULL, &len, NULL) == 0 &&
	    len == KMN_HASH_BYTES)
		kept->count++;
	return 0;
}

static int
by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, KMN_HASH_BYTES);
}

kmn_err
kept_new(struct kmn_store *store, struct kept **kept_out)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if ((*kept_out = kept) == NULL)
		return KMN_E_NO_MEMORY;
	/* segments first: what is written meanwhile is in one that is the last, or comes after it */
	kept->listed =
	    store->list(store, "seg", each_segment, kept) == 0 && store->list(store, "blobs", each_blob, kept) == 0;
	if (kept->count > 0)
		qsort(kept->hash, kept->count, sizeof(*kept->hash), by_bytes);
	return KMN_OK;
}

void
kept_free(struct kept *kept)
{
	if (kept != NULL)
		free(kept->hash);
	free(kept);
}

bool
kept_lacks(const struct kept *kept, const char *segment, const uint8_t sha256[KMN_HASH_BYTES])
{
	if (!kept->listed || segment == NULL || strncmp(segment, "seg/", 4) != 0 ||
	    strcmp(segment + 4, kept->last) >= 0)
		return false;
	return kept->count == 0 || bsearch(sha256, kept->hash, kept->count, sizeof(*kept->hash), by_bytes) == NULL;
}
