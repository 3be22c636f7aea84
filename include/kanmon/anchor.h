/*
 * Time stamps in the ledger: bodies of `anchor`, `renewal` and `rehash`
 * records, the texts that their tokens go over (docs/ledger.md, Time stamps),
 * and between which two tokens a record came to be. Pure.
 */
#ifndef KANMON_ANCHOR_H
#define KANMON_ANCHOR_H

#include "kanmon/record.h"
#include "kanmon/stamp.h"
#include "kanmon/store.h"

#define KMN_SHA512_BYTES 64

/* A token that was judged good, as it goes into a record. */
struct kmn_anchor_made {
	const char *tsa; /* name in kanmond.conf */
	const struct kmn_stamp_want *want;
	const uint8_t *token;
	size_t token_len;
	const struct kmn_stamp *stamp;
	uint8_t chain_sha256[KMN_HASH_BYTES]; /* of stamp->chain, which is kept as a blob */
};

/* Puts the members that all three types have into `body`; false without memory. */
bool kmn_anchor_put(json_t *body, const struct kmn_anchor_made *made) KMN_MUST_CHECK;
/* Body of `anchor`: the token goes over the bytes of `note`, a checkpoint of `size` records. NULL without memory. */
json_t *kmn_anchor_body(const struct kmn_anchor_made *made, uint64_t size, const char *note) KMN_MUST_CHECK;

/* The same read back: all three types have it. */
struct kmn_anchor_said {
	const char *tsa; /* views into the body */
	const char *policy_oid;
	struct kmn_stamp_want want; /* its imprint is not there yet: what the token goes over is the type's */
	uint8_t token[KMN_STAMP_TOKEN_MAX_BYTES];
	size_t token_len;
	uint64_t gen_time;
	uint8_t chain_sha256[KMN_HASH_BYTES];
};
bool kmn_anchor_read(const json_t *body, struct kmn_anchor_said *said_out) KMN_MUST_CHECK;

/* One record whose token a renewal covers. */
struct kmn_renewal_item {
	struct kmn_ref ref;
	const char *type;
	const uint8_t *token, *chain; /* its token, its chain's blob */
	size_t token_len, chain_len;
};
/* The text that the token of a `renewal` goes over; hashes in it are by `alg`. free(). */
kmn_err kmn_renewal_text(const char *origin, const char *alg, const struct kmn_renewal_item *items, size_t count,
    char **text_out) KMN_MUST_CHECK;

/* The tree of the same lines by SHA-512: leaf = H(0 || line), node = H(1 || left || right). */
struct kmn_wide_tree {
	uint64_t size;
	uint8_t hash[KMN_TREE_LEVELS][KMN_SHA512_BYTES]; /* of perfect subtrees, as in struct kmn_frontier */
};
void kmn_wide_add(struct kmn_wide_tree *tree, const char *line, size_t len);
void kmn_wide_root(const struct kmn_wide_tree *tree, uint8_t out[KMN_SHA512_BYTES]);
/* The root of the first `size` records of a ledger, read line by line; KMN_E_NOT_FOUND: it has fewer. */
kmn_err kmn_wide_read(struct kmn_store *store, uint64_t size, uint8_t root_out[KMN_SHA512_BYTES]) KMN_MUST_CHECK;
/* "kanmon/manifest/v1", then a line for each blob that is kept: hex of its SHA-256, hex of its SHA-512. free(). */
kmn_err kmn_manifest_make(struct kmn_store *store, char **text_out, size_t *len_out) KMN_MUST_CHECK;
/* The text that the token of a `rehash` goes over; `manifest` lists the blobs by both hashes. free(). */
kmn_err kmn_rehash_text(const char *origin, const struct kmn_head *old, const uint8_t root[KMN_SHA512_BYTES],
    const uint8_t manifest_sha512[KMN_SHA512_BYTES], char **text_out) KMN_MUST_CHECK;

/* Between which time stamps records came to be, as the anchors say it (V9 says whether they are worth it). */
struct kmn_brackets;
struct kmn_brackets *kmn_brackets_new(void);
void kmn_brackets_free(struct kmn_brackets *brackets);
/* Takes the next record, of any type. */
kmn_err kmn_brackets_add(struct kmn_brackets *brackets, const struct kmn_record *record) KMN_MUST_CHECK;
/* The record did not exist before *lower_out, and did at *upper_out (ms; 0: no time stamp says). */
void kmn_brackets_get(const struct kmn_brackets *brackets, uint64_t index, uint64_t *lower_out, uint64_t *upper_out);

#endif
