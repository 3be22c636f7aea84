/*
 * A second tree over the same lines, and the blobs by their second hash: what
 * a `rehash` record says, made again from the files.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/check_anchors.h"

#define MANIFEST_HEAD "kanmon/manifest/v1\n"
#define MANIFEST_LINE (2 * KMN_HASH_BYTES + 1 + 2 * KMN_SHA512_BYTES + 1)

/* ---- lines -------------------------------------------------------------------------------------------------------- */

/* Adds the records of one segment to the tree until it has `size`. Framing was checked: `#` begins no record. */
static kmn_err
read_segment(struct kmn_store *store, uint64_t first, uint64_t size, struct kmn_wide_tree *tree)
{
	char name[KMN_SEGMENT_NAME_BYTES], *bytes;
	size_t len;
	kmn_err e;

	(void)snprintf(name, sizeof(name), KMN_SEGMENT_NAME, first);
	if ((e = kmn_store_read(store, name, SIZE_MAX / 2, &bytes, &len)) != KMN_OK)
		return e;
	for (char *at = bytes, *lf; tree->size < size; at = lf + 1) {
		if ((lf = memchr(at, '\n', (size_t)(bytes + len - at))) == NULL)
			break;
		if (*at != '#')
			kmn_wide_add(tree, at, (size_t)(lf - at));
	}
	free(bytes);
	return KMN_OK;
}

kmn_err
kmn_wide_read(struct kmn_store *store, uint64_t size, uint8_t root_out[KMN_SHA512_BYTES])
{
	struct kmn_wide_tree *tree = calloc(1, sizeof(*tree));
	uint64_t *first = NULL;
	size_t count = 0;
	kmn_err e = tree == NULL ? KMN_E_NO_MEMORY : kmn_segments(store, &first, &count, NULL);

	for (size_t n = 0; e == KMN_OK && n < count && tree->size < size; n++)
		e = read_segment(store, first[n], size, tree);
	if (e == KMN_OK && tree->size != size)
		e = KMN_E_NOT_FOUND;
	if (e == KMN_OK)
		kmn_wide_root(tree, root_out);
	free(first);
	free(tree);
	return e;
}

/* ---- blobs -------------------------------------------------------------------------------------------------------- */

static bool
hex(const char *text, uint8_t *out, size_t len)
{
	size_t got;

	return sodium_hex2bin(out, len, text, 2 * len, NULL, &got, NULL) == 0 && got == len;
}

/* One line: the blob that has the first hash has the second one too. */
static bool
blob_agrees(struct kmn_store *store, const char *line)
{
	uint8_t sha256[KMN_HASH_BYTES], sha512[KMN_SHA512_BYTES], is[KMN_SHA512_BYTES], *bytes;
	size_t len;

	if (!hex(line, sha256, sizeof(sha256)) || line[2 * KMN_HASH_BYTES] != ' ' ||
	    !hex(line + 2 * KMN_HASH_BYTES + 1, sha512, sizeof(sha512)) || line[MANIFEST_LINE - 1] != '\n' ||
	    kmn_blob_read(store, sha256, &bytes, &len) != KMN_OK)
		return false;
	(void)crypto_hash_sha512(is, bytes, len);
	free(bytes);
	return memcmp(is, sha512, sizeof(is)) == 0;
}

/* Ascending, without repetition, each line true; *bad_out: the first that is not, from 1. */
static bool
manifest_holds(struct kmn_store *store, const char *text, size_t len, size_t *bad_out)
{
	const size_t head = strlen(MANIFEST_HEAD);

	*bad_out = 1;
	if (len < head || memcmp(text, MANIFEST_HEAD, head) != 0 || (len - head) % MANIFEST_LINE != 0)
		return false;
	for (const char *at = text + head; at < text + len; at += MANIFEST_LINE) {
		++*bad_out;
		if (!blob_agrees(store, at) ||
		    (at > text + head && memcmp(at - MANIFEST_LINE, at, 2 * KMN_HASH_BYTES) >= 0))
			return false;
	}
	return true;
}

struct listing {
	struct kmn_store *store;
	char **line;
	size_t count, room;
	kmn_err e;
};

static int
each_blob(void *cookie, const char *name)
{
	struct listing *list = cookie;
	uint8_t sha256[KMN_HASH_BYTES], sha512[KMN_SHA512_BYTES], *bytes;
	char text[2 * KMN_SHA512_BYTES + 1], **grown, *line = malloc(MANIFEST_LINE + 1);
	size_t len;

	if (strlen(name) != 2 * KMN_HASH_BYTES || !hex(name, sha256, sizeof(sha256)) ||
	    kmn_blob_read(list->store, sha256, &bytes, &len) != KMN_OK) {
		free(line);
		return 0; /* half written, or damaged: V1 says so */
	}
	(void)crypto_hash_sha512(sha512, bytes, len);
	free(bytes);
	(void)sodium_bin2hex(text, sizeof(text), sha512, sizeof(sha512));
	if (list->count == list->room) {
		list->room = list->room * 2 + 64;
		if ((grown = realloc(list->line, list->room * sizeof(*grown))) == NULL)
			list->e = KMN_E_NO_MEMORY;
		else
			list->line = grown;
	}
	if (line == NULL || list->e != KMN_OK) {
		list->e = KMN_E_NO_MEMORY;
		free(line);
		return 1;
	}
	(void)snprintf(line, MANIFEST_LINE + 1, "%s %s\n", name, text);
	list->line[list->count++] = line;
	return 0;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

kmn_err
kmn_manifest_make(struct kmn_store *store, char **text_out, size_t *len_out)
{
	struct listing list = {.store = store};
	char *at = NULL;

	*text_out = NULL;
	*len_out = 0;
	(void)store->list(store, "blobs", each_blob, &list); /* a ledger without blobs has no such folder */
	if (list.count > 0)
		qsort(list.line, list.count, sizeof(*list.line), by_text);
	if (list.e == KMN_OK && (at = *text_out = malloc(sizeof(MANIFEST_HEAD) + list.count * MANIFEST_LINE)) == NULL)
		list.e = KMN_E_NO_MEMORY;
	if (list.e == KMN_OK)
		at = stpcpy(at, MANIFEST_HEAD);
	for (size_t n = 0; n < list.count; n++) {
		if (at != NULL)
			at = stpcpy(at, list.line[n]);
		free(list.line[n]);
	}
	free(list.line);
	if (at != NULL)
		*len_out = (size_t)(at - *text_out);
	return list.e;
}

/* ---- the record --------------------------------------------------------------------------------------------------- */

static kmn_err
check_manifest(const struct kmn_checking *checking, const json_t *body, const struct kmn_place *place,
    uint8_t sha512_out[KMN_SHA512_BYTES])
{
	uint8_t sha256[KMN_HASH_BYTES], *text;
	size_t len, bad;
	bool holds;
	kmn_err e;

	if (!kmn_json_get_b64(body, "manifest_sha256", sha256, sizeof(sha256)) ||
	    (e = kmn_blob_read(checking->settings->store, sha256, &text, &len)) == KMN_E_NOT_FOUND) {
		kmn_checker_say(checking, KMN_V9, KMN_MISSING, place, "its list of blobs is not kept");
		return KMN_E_CORRUPT;
	}
	if (e != KMN_OK)
		return e;
	(void)crypto_hash_sha512(sha512_out, text, len);
	holds = manifest_holds(checking->settings->store, (const char *)text, len, &bad);
	free(text);
	if (!holds)
		kmn_checker_say(checking, KMN_V9, KMN_FINDING, place,
		    "line %zu of its list of blobs names none that has both hashes", bad);
	return holds ? KMN_OK : KMN_E_CORRUPT;
}

kmn_err
kmn_rehash_check(
    const struct kmn_checking *checking, const json_t *body, const struct kmn_place *place, char **text_out)
{
	uint8_t said[KMN_SHA512_BYTES], root[KMN_SHA512_BYTES], manifest[KMN_SHA512_BYTES];
	struct kmn_head old, here;
	const char *alg;
	kmn_err e;

	*text_out = NULL;
	if (!kmn_json_get_text(body, "alg", &alg) || strcmp(alg, "sha512") != 0 ||
	    !kmn_json_get_number(body, "size", &old.size) ||
	    !kmn_json_get_b64(body, "old_root", old.root, sizeof(old.root)) ||
	    !kmn_json_get_b64(body, "new_root", said, sizeof(said)) || old.size > place->index ||
	    kmn_past_head(checking->past, old.size, &here) != KMN_OK ||
	    memcmp(here.root, old.root, sizeof(old.root)) != 0) {
		kmn_checker_say(checking, KMN_V9, KMN_FINDING, place, "not a second root beside one of this ledger");
		return KMN_E_CORRUPT;
	}
	if ((e = kmn_wide_read(checking->settings->store, old.size, root)) != KMN_OK)
		return e;
	if (memcmp(root, said, sizeof(root)) != 0) {
		kmn_checker_say(
		    checking, KMN_V9, KMN_FINDING, place, "the SHA-512 tree of these records has another root");
		return KMN_E_CORRUPT;
	}
	if ((e = check_manifest(checking, body, place, manifest)) != KMN_OK)
		return e;
	return kmn_rehash_text(checking->settings->trust->origin, &old, root, manifest, text_out);
}
