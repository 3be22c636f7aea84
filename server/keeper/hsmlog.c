/*
 * Rows of the HSM's own log, which a person brings (docs/ledger.md 7c). The gateway keeps them as they are, with what the
 * person's tool found by them; it looks at form and bounds only. Whether the matching is right the auditor judges again, by
 * a description of the log's form that is his own.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <string.h>

#include "kanmon/admin.h"

static const char *const words[] = {
    [KMN_HSM_LOG_NONE] = "none",
    [KMN_HSM_LOG_CRASH] = "crash",
    [KMN_HSM_LOG_IGNORED] = "ignored",
    [KMN_HSM_LOG_EQUAL] = "equal",
};

/* How many lines; 0: it is no text of lines. */
static size_t
count_lines(const uint8_t *text, size_t len)
{
	size_t lines = 0;

	if (len == 0 || text[len - 1] != '\n')
		return 0;
	for (size_t n = 0; n < len; n++) {
		if (text[n] == '\0')
			return 0;
		lines += text[n] == '\n';
	}
	return lines;
}

/* The entries of `matches`; NULL: one that cannot be. */
static json_t *
read_matches(struct kmn_reader *r, size_t lines, uint64_t size, uint64_t *unmatched)
{
	json_t *list = json_array();

	for (size_t n = 0; n < lines && r->err == KMN_OK; n++) {
		uint64_t entry = kmn_reader_u64(r), word = UINT64_MAX - entry;

		if (entry >= size && word >= KMN_COUNT_OF(words)) {
			kmn_reader_fail(r, KMN_E_ARGUMENTS);
			break;
		}
		*unmatched += entry >= size && word == KMN_HSM_LOG_NONE;
		if (json_array_append_new(
			list, entry < size ? json_integer((json_int_t)entry) : json_string(words[word])) != 0)
			KMN_BUG("out of memory");
	}
	return list;
}

kmn_err
kmn_hsm_log_read(struct kmn_keeper *k, struct kmn_reader *r, json_t **body_out)
{
	uint8_t format_sha256[KMN_HASH_BYTES], lines_sha256[KMN_HASH_BYTES];
	char source[KMN_ADMIN_HSM_SOURCE_MAX_BYTES + 1];
	const uint8_t *format, *lines;
	uint64_t size, unmatched = 0;
	size_t format_len, lines_len, count;
	uint32_t tolerance_ms, entries;
	struct kmn_head durable;
	json_t *matches;
	kmn_err e;

	*body_out = NULL;
	kmn_reader_text(r, source, sizeof(source));
	format_len = kmn_reader_bytes(r, KMN_ADMIN_HSM_FORMAT_MAX_BYTES, &format);
	lines_len = kmn_reader_bytes(r, KMN_ADMIN_HSM_ROWS_MAX_BYTES, &lines);
	size = kmn_reader_u64(r);
	tolerance_ms = kmn_reader_u32(r);
	entries = kmn_reader_count(r, KMN_ADMIN_HSM_LINES_MAX, sizeof(uint64_t));
	if (r->err != KMN_OK)
		return r->err;
	count = count_lines(lines, lines_len);
	kmn_log_durable(k->log, &durable);
	if (source[0] == '\0' || format_len == 0 || count == 0 || count != entries || size > durable.size ||
	    tolerance_ms > KMN_ADMIN_HSM_TOLERANCE_MAX_MS)
		return KMN_E_ARGUMENTS;
	matches = read_matches(r, count, size, &unmatched);
	if ((e = kmn_reader_end(r)) != KMN_OK ||
	    (e = kmn_log_blob_put(k->log, format, format_len, format_sha256)) != KMN_OK ||
	    (e = kmn_log_blob_put(k->log, lines, lines_len, lines_sha256)) != KMN_OK) {
		json_decref(matches);
		return e;
	}
	*body_out = json_pack("{s:o, s:{s:o, s:I, s:I, s:o, s:I, s:I}, s:o, s:I}", "source",
	    kmn_json_label(source, strlen(source)), "rows", "sha256", kmn_json_b64(lines_sha256, KMN_HASH_BYTES), "len",
	    (json_int_t)lines_len, "lines", (json_int_t)count, "format_sha256",
	    kmn_json_b64(format_sha256, KMN_HASH_BYTES), "size", (json_int_t)size, "tolerance_ms",
	    (json_int_t)tolerance_ms, "matches", matches, "unmatched", (json_int_t)unmatched);
	return *body_out == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}
