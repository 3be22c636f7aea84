/*
 * What a ledger says that the HSM did, for holding an HSM's own log against it: as a file beside the ledger (kanmon audit
 * reconcile --hsm-log), and as rows that stand in `hsm.log` records (kanmon hsm-log submit; V11). Both judge by what is
 * here, and by hsmlog.h.
 *
 * A source is what a format names; one use of the HSM answers for one row of a source, whichever records they stand in.
 */
#ifndef KANMON_TOOLS_HSM_BOOK_H
#define KANMON_TOOLS_HSM_BOOK_H

#include "kanmon/admin.h"
#include "kanmon/record.h"
#include "tools/kanmon/hsmlog.h"

/*
 * Room for one more: `list` of `count` items of `size` bytes, moved if need be, and *room raised; NULL without memory, and
 * the old list is as it was.
 */
void *kmn_hsm_grow(void *list, size_t count, size_t *room, size_t size);

struct kmn_hsm_book;
kmn_err kmn_hsm_book_new(struct kmn_hsm_book **book_out) KMN_MUST_CHECK;
void kmn_hsm_book_free(struct kmn_hsm_book *book);

/* The next record, whatever its type. */
kmn_err kmn_hsm_book_take(struct kmn_hsm_book *book, const struct kmn_record *record) KMN_MUST_CHECK;

/* All uses that were taken; the book's. */
struct kmn_hsm_use *kmn_hsm_book_uses(struct kmn_hsm_book *book, size_t *count_out);
const struct kmn_hsm_crash *kmn_hsm_book_crashes(const struct kmn_hsm_book *book, size_t *count_out);

/* The lines of a chunk, each ending in LF: a row for each, of those too that the format skips or cannot read. */
kmn_err kmn_hsm_rows_read(const struct kmn_hsmlog_format *format, const char *text, size_t len, uint64_t first,
    struct kmn_hsmlog_row **rows_out, size_t *count_out) KMN_MUST_CHECK;

/*
 * Judges rows of a source by the first `size` records, of which nothing was used up by earlier rows of this source. `judged` has room for each.
 */
kmn_err kmn_hsm_book_judge(struct kmn_hsm_book *book, const struct kmn_hsmlog_format *format, const char *source,
    uint64_t size, const struct kmn_hsmlog_row *rows, size_t count, uint64_t tolerance_ms,
    struct kmn_hsm_judged *judged) KMN_MUST_CHECK;

/* What KMN_ADMIN_HSM_LOG says of a row: the record that was met, or UINT64_MAX less a word of enum kmn_hsm_log_word. */
uint64_t kmn_hsm_match_entry(const struct kmn_hsm_judged *judged);

#endif
