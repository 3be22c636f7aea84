/* kanmon audit: verify, show and prove share how they open a ledger and how they print. */
#ifndef KANMON_TOOLS_AUDIT_H
#define KANMON_TOOLS_AUDIT_H

#include <stdio.h>

#include "kanmon/verify.h"

#define KMN_AUDIT_WIDTH 80 /* characters of a line for people */

/* An auditor's exit codes (docs/ledger.md 8). A command line that cannot be understood is incomplete input. */
enum kmn_audit_exit {
	KMN_AUDIT_VERIFIED = 0,
	KMN_AUDIT_FAILED = 1,
	KMN_AUDIT_SHORT = 2, /* of the witnesses or anchors that the trust file asks for */
	KMN_AUDIT_INCOMPLETE = 3,
};

/* The folder of a ledger; complains on stderr. */
kmn_err kmn_audit_open(const char *path, struct kmn_store **store_out) KMN_MUST_CHECK;
/* A whole file of at most `max` bytes; complains on stderr; the caller's to free(). */
kmn_err kmn_audit_file(const char *path, size_t max, char **bytes_out, size_t *len_out) KMN_MUST_CHECK;
/* A trust file; complains on stderr. */
kmn_err kmn_audit_trust(const char *path, struct kmn_trust *trust_out) KMN_MUST_CHECK;

/* The checks of `verify` that know what records mean, as kmn_verify_settings.more wants them; the ledger's own are
 * always made. */
struct kmn_checker;
extern const struct kmn_checker *const kmn_audit_checkers[];
/* What became of a check: "ok", "FAILED", "not asked for", "not checked". */
const char *kmn_audit_check_word(const struct kmn_verify_report *report, enum kmn_check check);

/* Text from a ledger to a terminal: what could move a cursor becomes '?'. At most `width` characters, 0: all. */
void kmn_audit_text(FILE *out, const char *text, size_t width);

#endif
