/* Why the gateway refused: what records say of it, in a word of theirs and in words for people. */
#ifndef KANMON_TOOLS_AUDIT_REFUSAL_H
#define KANMON_TOOLS_AUDIT_REFUSAL_H

#include "kanmon/record.h"

#define KMN_REFUSAL_UNKNOWN "not recorded" /* a refusal of a ledger from before reasons were recorded */

/*
 * The `reason` of a decision `deny`, or of an `op` that the gateway refused (it took no time in the HSM); "" where nothing
 * was refused: an HSM's own error has its return value. Borrowed from the record, or static.
 */
const char *kmn_refusal(const struct kmn_record *record);

/* Such a reason in English; one that is not known here, as it is. */
const char *kmn_refusal_words(const char *reason);

#endif
