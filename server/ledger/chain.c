#include "server/ledger/chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_START "#kanmon-ledger v1 "

void
kmn_chain_init(struct kmn_chain *chain, const char *origin, uint64_t max_records, uint64_t max_bytes)
{
	memset(chain, 0, sizeof(*chain));
	(void)snprintf(chain->origin, sizeof(chain->origin), "%s", origin == NULL ? "" : origin);
	chain->max_records = max_records == 0 ? KMN_LOG_SEGMENT_RECORDS : max_records;
	chain->max_bytes = max_bytes == 0 ? KMN_LOG_SEGMENT_BYTES : max_bytes;
	chain->last = KMN_R_UNKNOWN;
}

bool
kmn_chain_full(const struct kmn_chain *chain)
{
	return chain->front.size - chain->segment >= chain->max_records || chain->bytes >= chain->max_bytes;
}

void
kmn_chain_turn(struct kmn_chain *chain)
{
	chain->segment = chain->front.size;
	chain->bytes = 0;
	chain->header = false;
}

bool
kmn_chain_in_batch(const struct kmn_chain *chain)
{
	return chain->front.size > chain->commit;
}

bool
kmn_chain_needs_mark(const struct kmn_chain *chain)
{
	return chain->last == KMN_R_GATEWAY_STOP ||
	       chain->front.size / KMN_LOG_MARK_RECORDS > chain->commit / KMN_LOG_MARK_RECORDS;
}

/* " b64" for each hash of the frontier, then LF. */
static size_t
put_frontier(const struct kmn_frontier *front, char *out)
{
	uint8_t list[KMN_TREE_LEVELS][KMN_HASH_BYTES];
	size_t count = kmn_frontier_list(front, list), at = 0;

	for (size_t n = 0; n < count; n++) {
		out[at++] = ' ';
		kmn_b64(list[n], KMN_HASH_BYTES, out + at);
		at += KMN_B64_LEN(KMN_HASH_BYTES);
	}
	out[at++] = '\n';
	return at;
}

size_t
kmn_chain_header(const struct kmn_chain *chain, char out[KMN_FRAMING_MAX_BYTES])
{
	char prev[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	int len;

	kmn_b64(chain->prev, KMN_HASH_BYTES, prev);
	len = snprintf(
	    out, KMN_FRAMING_MAX_BYTES, HEADER_START "%s %" PRIu64 " %s", chain->origin, chain->front.size, prev);
	return (size_t)len + put_frontier(&chain->front, out + len);
}

size_t
kmn_chain_mark(const struct kmn_chain *chain, char out[KMN_FRAMING_MAX_BYTES])
{
	int len = snprintf(out, KMN_FRAMING_MAX_BYTES, "#mark %" PRIu64, chain->front.size);

	return (size_t)len + put_frontier(&chain->front, out + len);
}

size_t
kmn_chain_commit(const struct kmn_chain *chain, char out[KMN_FRAMING_MAX_BYTES])
{
	char root[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_head head;

	kmn_frontier_head(&chain->front, &head);
	kmn_b64(head.root, KMN_HASH_BYTES, root);
	return (size_t)snprintf(out, KMN_FRAMING_MAX_BYTES, "#commit %" PRIu64 " %s\n", head.size, root);
}

void
kmn_chain_wrote_header(struct kmn_chain *chain, size_t len)
{
	chain->bytes += len;
	chain->header = true;
}

void
kmn_chain_wrote_record(struct kmn_chain *chain, const struct kmn_record *record, size_t len)
{
	kmn_frontier_add(&chain->front, record->leaf);
	memcpy(chain->prev, record->leaf, KMN_HASH_BYTES);
	chain->t = record->t;
	chain->m = record->m;
	chain->last = record->kind;
	chain->bytes += len;
}

void
kmn_chain_wrote_commit(struct kmn_chain *chain, size_t len)
{
	chain->bytes += len;
	chain->commit = chain->front.size;
	chain->marked = false;
}

static kmn_err
refuse(struct kmn_why *why, const char *text)
{
	kmn_why_set(why, "%s", text);
	return KMN_E_CORRUPT;
}

/* `len` counts without LF, `want_len` with it. */
static bool
same_line(const char *line, size_t len, const char *want, size_t want_len)
{
	return len + 1 == want_len && memcmp(line, want, len) == 0;
}

static kmn_err
feed_header(struct kmn_chain *chain, const char *line, size_t len, struct kmn_why *why)
{
	char want[KMN_FRAMING_MAX_BYTES];
	struct kmn_chain named = *chain;
	size_t origin = sizeof(HEADER_START) - 1, want_len;
	const char *space;

	if (named.origin[0] == '\0' && len > origin && (space = memchr(line + origin, ' ', len - origin)) != NULL &&
	    (size_t)(space - line) - origin < sizeof(named.origin))
		memcpy(named.origin, line + origin, (size_t)(space - line) - origin);
	want_len = kmn_chain_header(&named, want);
	if (!same_line(line, len, want, want_len))
		return refuse(why, "not the header of a segment that begins here");
	*chain = named;
	kmn_chain_wrote_header(chain, want_len);
	return KMN_OK;
}

static kmn_err
feed_mark(struct kmn_chain *chain, const char *line, size_t len, struct kmn_why *why)
{
	char want[KMN_FRAMING_MAX_BYTES];
	size_t want_len = kmn_chain_mark(chain, want);

	if (!kmn_chain_in_batch(chain) || chain->marked || !kmn_chain_needs_mark(chain))
		return refuse(why, "a mark where none can stand");
	if (!same_line(line, len, want, want_len))
		return refuse(why, "the mark is not the frontier of the records before it");
	chain->bytes += want_len;
	chain->marked = true;
	return KMN_OK;
}

static kmn_err
feed_commit(struct kmn_chain *chain, const char *line, size_t len, struct kmn_why *why)
{
	char want[KMN_FRAMING_MAX_BYTES];
	size_t want_len = kmn_chain_commit(chain, want);

	if (!kmn_chain_in_batch(chain))
		return refuse(why, "a commit of no record");
	if (kmn_chain_needs_mark(chain) && !chain->marked)
		return refuse(why, "a commit without the mark that this batch must have");
	if (!same_line(line, len, want, want_len)) {
		kmn_why_set(why,
		    "the commit is not size and root of the records before it: it was changed, or one of %" PRIu64
		    " to %" PRIu64 " in its batch",
		    chain->commit, chain->front.size - 1);
		return KMN_E_CORRUPT;
	}
	kmn_chain_wrote_commit(chain, want_len);
	return KMN_OK;
}

static kmn_err
check_genesis(const struct kmn_chain *chain, const struct kmn_record *record, struct kmn_why *why)
{
	const char *origin;

	if ((record->i == 0) != (record->kind == KMN_R_GENESIS))
		return refuse(why, "genesis is record 0 and no other");
	if (record->i == 0 &&
	    (!kmn_json_get_text(record->body, "origin", &origin) || strcmp(origin, chain->origin) != 0))
		return refuse(why, "the origin in genesis is not that of the segment's header");
	return KMN_OK;
}

static kmn_err
check_record(const struct kmn_chain *chain, const struct kmn_record *record, struct kmn_why *why)
{
	bool restart = record->kind == KMN_R_GATEWAY_START || record->kind == KMN_R_RECOVERY;

	if (record->i != chain->front.size) {
		kmn_why_set(
		    why, "the record says index %" PRIu64 ", its place is %" PRIu64, record->i, chain->front.size);
		return KMN_E_CORRUPT;
	}
	if (memcmp(record->prev, chain->prev, KMN_HASH_BYTES) != 0)
		return refuse(why, "prev is not the leaf hash of the record before: one of the two was changed");
	if (record->t < chain->t)
		return refuse(why, "t is before that of the record before");
	if (record->m < chain->m && !restart)
		return refuse(why, "m is before that of the record before, without a start of the gateway");
	return check_genesis(chain, record, why);
}

static kmn_err
take_record(struct kmn_chain *chain, const struct kmn_record *record, size_t len, struct kmn_why *why)
{
	kmn_err e;

	if (chain->marked)
		return refuse(why, "a record between mark and commit");
	if (chain->front.size - chain->commit >= KMN_LOG_BATCH_MAX_RECORDS)
		return refuse(why, "more records than a batch can have");
	if ((e = check_record(chain, record, why)) == KMN_OK)
		kmn_chain_wrote_record(chain, record, len + 1);
	return e;
}

static kmn_err
feed_record(struct kmn_chain *chain, const char *line, size_t len, struct kmn_record *record_out, kmn_err *body_out,
    struct kmn_why *why)
{
	kmn_err e;

	if ((e = kmn_record_parse(line, len, record_out, why)) != KMN_OK)
		return e == KMN_E_NO_MEMORY ? e : KMN_E_CORRUPT;
	if ((e = take_record(chain, record_out, len, why)) != KMN_OK) {
		kmn_record_clear(record_out);
		return e;
	}
	*body_out = kmn_record_check(record_out->kind, record_out->body, why);
	return KMN_OK;
}

static bool
starts(const char *line, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

static bool
is_over(const struct kmn_chain *chain)
{
	return !kmn_chain_in_batch(chain) && chain->front.size > chain->segment && kmn_chain_full(chain);
}

kmn_err
kmn_chain_take(
    struct kmn_chain *chain, const struct kmn_record *record, size_t len, enum kmn_line *kind_out, struct kmn_why *why)
{
	*kind_out = KMN_LINE_HEADER;
	if (!chain->header)
		return refuse(why, "not the header of a segment that begins here");
	if (is_over(chain))
		return refuse(why, "the segment goes on although it is full");
	*kind_out = KMN_LINE_RECORD;
	return take_record(chain, record, len, why);
}

kmn_err
kmn_chain_feed(struct kmn_chain *chain, const char *line, size_t len, enum kmn_line *kind_out,
    struct kmn_record *record_out, kmn_err *body_out, struct kmn_why *why)
{
	*body_out = KMN_OK;
	*kind_out = KMN_LINE_HEADER;
	if (!chain->header)
		return feed_header(chain, line, len, why);
	if (is_over(chain))
		return refuse(why, "the segment goes on although it is full");
	if (starts(line, len, "#mark ")) {
		*kind_out = KMN_LINE_MARK;
		return feed_mark(chain, line, len, why);
	}
	if (starts(line, len, "#commit ")) {
		*kind_out = KMN_LINE_COMMIT;
		return feed_commit(chain, line, len, why);
	}
	*kind_out = KMN_LINE_RECORD;
	return feed_record(chain, line, len, record_out, body_out, why);
}
