/* kanmon audit reconcile: what the ledger says was done against what others hold. */
#ifndef KANMON_TOOLS_AUDIT_RECONCILE_H
#define KANMON_TOOLS_AUDIT_RECONCILE_H

#include "kanmon/verify.h"

/* Both give the exit code. */
int kmn_reconcile_certificates(struct kmn_store *store, const char *ledger, const char *path, bool json);
int kmn_reconcile_hsm_log(struct kmn_store *store, const char *ledger, const char *log, const char *format,
    unsigned long tolerance_s, bool json);

#endif
