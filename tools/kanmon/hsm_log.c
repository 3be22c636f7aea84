/* What an `hsm.log` record says, and whether it is so. */
#include "config.h"

#include "tools/kanmon/hsm_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/log.h"

kmn_err
kmn_hsm_form_parse(const char *text, size_t len, struct kmn_hsm_form *form, struct kmn_why *why)
{
	kmn_sha256(text, len, form->sha256);
	return kmn_hsmlog_format_parse(text, len, &form->format, why);
}

void
kmn_hsm_form_clear(struct kmn_hsm_form *form)
{
	kmn_hsmlog_format_free(form->format);
	form->format = NULL;
}

bool
kmn_hsm_log_get(const struct kmn_record *record, struct kmn_hsm_log *log)
{
	const json_t *rows = json_object_get(record->body, "rows");

	*log = (struct kmn_hsm_log){.matches = json_object_get(record->body, "matches")};
	return json_object_size(rows) == 6 && kmn_json_get_b64(rows, "sha256", log->lines_sha256, KMN_HASH_BYTES) &&
	       kmn_json_get_b64(rows, "format_sha256", log->format_sha256, KMN_HASH_BYTES) &&
	       kmn_json_get_number(rows, "len", &log->len) && kmn_json_get_number(rows, "lines", &log->lines) &&
	       kmn_json_get_number(rows, "size", &log->size) &&
	       kmn_json_get_number(rows, "tolerance_ms", &log->tolerance_ms) &&
	       kmn_json_get_text(record->body, "source", &log->source) &&
	       kmn_json_get_number(record->body, "unmatched", &log->unmatched) && log->size <= record->i &&
	       log->lines <= KMN_ADMIN_HSM_LINES_MAX && json_array_size(log->matches) == log->lines &&
	       log->tolerance_ms <= KMN_ADMIN_HSM_TOLERANCE_MAX_MS;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

/* What is told of a record's rows. */
struct telling {
	const struct kmn_record *record;
	kmn_hsm_log_say *say;
	void *cookie;
};

static void
tell(const struct telling *t, const struct kmn_hsmlog_row *row, const char *text)
{
	if (t->say != NULL)
		t->say(t->cookie, t->record, row, text);
}

static bool
is_entry(const json_t *entry, const struct kmn_hsm_judged *judged)
{
	static const char *const words[] = {
	    [KMN_HSM_LOG_NONE] = "none",
	    [KMN_HSM_LOG_CRASH] = "crash",
	    [KMN_HSM_LOG_IGNORED] = "ignored",
	    [KMN_HSM_LOG_EQUAL] = "equal",
	};
	uint64_t want = kmn_hsm_match_entry(judged), word = UINT64_MAX - want;

	if (word < KMN_COUNT_OF(words))
		return json_is_string(entry) && strcmp(json_string_value(entry), words[word]) == 0;
	return json_is_integer(entry) && (uint64_t)json_integer_value(entry) == want;
}

static void
compare(const struct telling *t, const struct kmn_hsm_log *log, const struct kmn_hsmlog_row *rows, size_t count,
    const struct kmn_hsm_judged *judged)
{
	uint64_t unmatched = 0;
	char text[200];

	for (size_t n = 0; n < count; n++) {
		unmatched += judged[n].verdict == KMN_HSM_UNMATCHED;
		if (judged[n].verdict == KMN_HSM_UNMATCHED)
			tell(t, &rows[n], "UNMATCHED: the HSM was used and no record says so");
		if (!is_entry(json_array_get(log->matches, n), &judged[n]))
			tell(t, &rows[n], "what the record says it matches is not what it matches");
	}
	if (unmatched == log->unmatched)
		return;
	(void)snprintf(text, sizeof(text), "the record counts %" PRIu64 " rows as unmatched, and %" PRIu64 " are",
	    log->unmatched, unmatched);
	tell(t, &rows[0], text);
}

/* The lines that the record names; KMN_E_IO: they are not kept. */
static kmn_err
read_lines(struct kmn_store *store, const struct kmn_hsm_log *log, const struct kmn_hsm_form *form,
    struct kmn_hsmlog_row **rows_out, size_t *count_out)
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	kmn_err e = kmn_blob_read(store, log->lines_sha256, &bytes, &len);

	*rows_out = NULL;
	if (e != KMN_OK)
		return e == KMN_E_NO_MEMORY ? e : KMN_E_IO;
	e = len == log->len ? kmn_hsm_rows_read(form->format, (const char *)bytes, len, 1, rows_out, count_out)
			    : KMN_E_MALFORMED;
	free(bytes);
	if (e == KMN_OK && *count_out != log->lines)
		e = KMN_E_MALFORMED;
	return e;
}

kmn_err
kmn_hsm_log_judge(struct kmn_hsm_book *book, const struct kmn_hsm_form *form, struct kmn_store *store,
    const struct kmn_record *record, kmn_hsm_log_say *say, void *cookie)
{
	const struct telling t = {record, say, cookie};
	struct kmn_hsm_judged *judged = NULL;
	struct kmn_hsmlog_row *rows = NULL;
	struct kmn_hsm_log log;
	size_t count;
	kmn_err e;

	if (!kmn_hsm_log_get(record, &log))
		return KMN_E_MALFORMED;
	if (memcmp(log.format_sha256, form->sha256, KMN_HASH_BYTES) != 0)
		return KMN_E_NOT_FOUND;
	if (strcmp(log.source, kmn_hsmlog_name(form->format)) != 0)
		return KMN_E_MALFORMED;
	if ((e = read_lines(store, &log, form, &rows, &count)) == KMN_OK &&
	    (judged = calloc(count + 1, sizeof(*judged))) == NULL)
		e = KMN_E_NO_MEMORY;
	if (e == KMN_OK && (e = kmn_hsm_book_judge(book, form->format, log.source, log.size, rows, count,
				log.tolerance_ms, judged)) == KMN_OK)
		compare(&t, &log, rows, count, judged);
	free(judged);
	free(rows);
	return e;
}
