/* What the commands on a stopped ledger share: its key as kanmond takes it (base64 of the seed), and its owner. */
#ifndef KANMON_TOOLS_LOG_KEY_H
#define KANMON_TOOLS_LOG_KEY_H

#include "kanmon/err.h"

/* Into `secret`, KMN_ED25519_SECRET_BYTES of guarded memory; what is wrong is said on stderr. */
kmn_err kmn_log_key_read(const char *path, uint8_t *secret) KMN_MUST_CHECK;

/* Whose the ledger is; and what a tool wrote there becomes theirs, so that root's errand locks no keeper out. */
kmn_err kmn_ledger_owner(const char *path) KMN_MUST_CHECK;
kmn_err kmn_ledger_give(const char *path) KMN_MUST_CHECK;

#endif
