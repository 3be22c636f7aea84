/*
 * One request's evidence in one text file, kanmon/bundle/v1 (docs/ledger.md,
 * Bundles): raw lines with a path each, one checkpoint over all of them, and
 * the bytes that they name. Here is its form; what it proves is judged by
 * `kanmon audit bundle verify`.
 */
#ifndef KANMON_BUNDLE_H
#define KANMON_BUNDLE_H

#include "kanmon/note.h"
#include "kanmon/tree.h"

#define KMN_BUNDLE_MAX_BYTES (64u << 20)
#define KMN_BUNDLE_RECORDS_MAX 4096
#define KMN_BUNDLE_CONSISTENCY_MAX 64
#define KMN_BUNDLE_BLOBS_MAX 64

struct kmn_bundle {
	char origin[KMN_NOTE_NAME_MAX_BYTES + 1];
	uint64_t request; /* index of the intent */
	char *note;       /* checkpoint, NUL-terminated */
	size_t note_len;
	/* by index, ascending */
	struct kmn_bundle_record {
		uint64_t index;
		char *line; /* without LF, NUL-terminated */
		size_t len;
		struct kmn_path path;
	} * record;
	size_t records;
	/* by size, ascending: that a head of this size is one of the checkpoint's tree */
	struct kmn_bundle_consistency {
		uint64_t size;
		struct kmn_path path;
	} * consistency;
	size_t consistencies;
	/* by hash, ascending */
	struct kmn_bundle_blob {
		uint8_t sha256[KMN_HASH_BYTES];
		uint8_t *bytes;
		size_t len;
	} * blob;
	size_t blobs;
};

/* An empty one, to be filled; NULL without memory. kmn_bundle_free(NULL) is fine. */
struct kmn_bundle *kmn_bundle_new(void);
void kmn_bundle_free(struct kmn_bundle *bundle);
/* Put parts in, in any order; bytes are copied. KMN_E_TOO_BIG: more than a bundle may have. Twice is once. */
kmn_err kmn_bundle_put_record(struct kmn_bundle *bundle, uint64_t index, const char *line, size_t len,
    const struct kmn_path *path) KMN_MUST_CHECK;
kmn_err kmn_bundle_put_consistency(
    struct kmn_bundle *bundle, uint64_t size, const struct kmn_path *path) KMN_MUST_CHECK;
kmn_err kmn_bundle_put_blob(struct kmn_bundle *bundle, const void *bytes, size_t len) KMN_MUST_CHECK;

/* The part by its index or hash, the bundle's own; NULL: it has none such. */
const struct kmn_bundle_record *kmn_bundle_record(const struct kmn_bundle *bundle, uint64_t index);
const struct kmn_bundle_blob *kmn_bundle_blob(const struct kmn_bundle *bundle, const uint8_t sha256[KMN_HASH_BYTES]);

/* KMN_OK only if the text is byte for byte what kmn_bundle_format() makes of it; `why` names the line. */
kmn_err kmn_bundle_parse(
    const char *text, size_t len, struct kmn_bundle **bundle_out, struct kmn_why *why) KMN_MUST_CHECK;
/* The caller's to free(). */
kmn_err kmn_bundle_format(const struct kmn_bundle *bundle, char **text_out, size_t *len_out) KMN_MUST_CHECK;

#endif
