/*
 * What of a ledger belongs into the bundle of one request, or of an `op`
 * (docs/ledger.md, Bundles): told record by record, by whoever reads them, and
 * then put together from lines, proofs and blobs. `kanmon audit bundle` and
 * the gateway make the same.
 */
#ifndef KANMON_GATHER_H
#define KANMON_GATHER_H

#include "kanmon/bundle.h"
#include "kanmon/record.h"

struct kmn_gather {
	uint64_t request;  /* index of the intent, or of the op */
	uint64_t window;   /* the request of the window that let it run; KMN_GATHER_NONE: none did */
	uint64_t decision; /* that says so: of the window, only what came before belongs here */
	uint64_t part[KMN_BUNDLE_RECORDS_MAX];
	size_t count;
	size_t said[3];  /* of what may be said any number of times: redeliveries, screens, votes that do not count */
	uint64_t last;   /* of what is about the request */
	uint64_t anchor; /* the first one that covers all of it; KMN_GATHER_NONE: none */
	uint64_t instruction[2]; /* the actions that the request, and that of its window, were asked for by */
	size_t instructions;
	json_t *cosigns; /* bodies of `cosign` records that may be of the checkpoint's size */
	uint64_t size;   /* of the checkpoint */
};
#define KMN_GATHER_NONE UINT64_MAX
#define KMN_GATHER_SAID_MAX 1024u /* of each of these: who says more leaves room for what decides */

/* Heap; NULL without memory. kmn_gather_free(NULL) is fine. */
struct kmn_gather *kmn_gather_new(uint64_t size);
void kmn_gather_free(struct kmn_gather *g);

/* Types of which a record can belong to a bundle (KMN_R_COSIGN: only its lines, under the checkpoint). */
bool kmn_gather_takes(enum kmn_record_kind kind);

/*
 * The request or op that a record is about: itself, or by what it refers to. *next_out is the record to ask about next,
 * the record's own index when it is the one; KMN_E_NOT_FOUND: it is about none.
 */
kmn_err kmn_gather_subject(const struct kmn_record *record, uint64_t *next_out) KMN_MUST_CHECK;
/* First pass, of the records from the request on: which window its decision names. */
void kmn_gather_window(struct kmn_gather *g, const struct kmn_record *record);
/* Second pass, of all records in order. KMN_E_TOO_BIG: more than a bundle may have. */
kmn_err kmn_gather_record(struct kmn_gather *g, const struct kmn_record *record) KMN_MUST_CHECK;

/* Where the parts come from: functions of a ledger. Results as those of kanmon/tiles.h and kmn_blob_read(). */
struct kmn_gather_source {
	void *cookie;
	const char *origin;
	const char *note; /* checkpoint of `size` records */
	kmn_err (*line)(void *cookie, uint64_t index, char **line_out, size_t *len_out);
	kmn_err (*inclusion)(void *cookie, uint64_t index, uint64_t size, struct kmn_path *path_out);
	kmn_err (*consistency)(void *cookie, uint64_t from, uint64_t to, struct kmn_path *path_out);
	kmn_err (*blob)(void *cookie, const uint8_t sha256[KMN_HASH_BYTES], uint8_t **bytes_out, size_t *len_out);
};
/* The bundle of what was gathered; *bundle_out: kmn_bundle_free(). */
kmn_err kmn_gather_bundle(
    struct kmn_gather *g, const struct kmn_gather_source *source, struct kmn_bundle **bundle_out) KMN_MUST_CHECK;

#endif
