/* The ledger's key as kanmond takes it: one line with the base64 of its seed. */
#ifndef KANMON_TOOLS_LOG_KEY_H
#define KANMON_TOOLS_LOG_KEY_H

#include "kanmon/err.h"

/* Into `secret`, KMN_ED25519_SECRET_BYTES of guarded memory; what is wrong is said on stderr. */
kmn_err kmn_log_key_read(const char *path, uint8_t *secret) KMN_MUST_CHECK;

#endif
