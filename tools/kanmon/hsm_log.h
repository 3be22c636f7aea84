/* Records `hsm.log`, judged again: by the auditor (V11), and by who brings the next rows of the same log. */
#ifndef KANMON_TOOLS_HSM_LOG_H
#define KANMON_TOOLS_HSM_LOG_H

#include "kanmon/store.h"
#include "kanmon/verify.h"
#include "tools/kanmon/hsm_book.h"

/* A description of a log's form, and the hash that records name it by. */
struct kmn_hsm_form {
	struct kmn_hsmlog_format *format;
	uint8_t sha256[KMN_HASH_BYTES];
};
kmn_err kmn_hsm_form_parse(
    const char *text, size_t len, struct kmn_hsm_form *form_out, struct kmn_why *why) KMN_MUST_CHECK;
void kmn_hsm_form_clear(struct kmn_hsm_form *form);

/* What an hsm.log record says; views into its body. */
struct kmn_hsm_log {
	const char *source;
	uint8_t lines_sha256[KMN_HASH_BYTES], format_sha256[KMN_HASH_BYTES];
	uint64_t len, lines, size, tolerance_ms, unmatched;
	const json_t *matches;
};
/* False: it is not of this form. Records that have their rows as a text are of an older one, which says less. */
bool kmn_hsm_log_get(const struct kmn_record *record, struct kmn_hsm_log *log_out);

/*
 * Judges the rows of a record, which was taken into the book before, by a form. KMN_E_NOT_FOUND: by another form;
 * KMN_E_IO: the ledger does not keep its rows; KMN_E_MALFORMED: it is no such record, or its rows are no lines.
 * `say` (may be NULL) is called for each row that no record explains, and for each of which the record says another thing.
 */
typedef void kmn_hsm_log_say(
    void *cookie, const struct kmn_record *record, const struct kmn_hsmlog_row *row, const char *text);
kmn_err kmn_hsm_log_judge(struct kmn_hsm_book *book, const struct kmn_hsm_form *form, struct kmn_store *store,
    const struct kmn_record *record, kmn_hsm_log_say *say, void *cookie) KMN_MUST_CHECK;

/* V11; by struct kmn_verify_settings.hsm_form. */
extern const struct kmn_checker kmn_hsm_log_checker;

#endif
