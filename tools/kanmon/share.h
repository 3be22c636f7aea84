/* A custodian's share of a sealed PIN, on its way to the login that they approve (docs/activation.md). */
#ifndef KANMON_TOOLS_SHARE_H
#define KANMON_TOOLS_SHARE_H

#include "tools/kanmon/examine.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/signer.h"

/*
 * Where the statement is of a login by a sealed PIN: opens the custodian's share with their share key, seals it to the
 * key that the statement names, and sends it. The share key goes with the signer's key file, or, with a card, with the
 * one at `share_key` (may be NULL). `shown` is the gateway's answer that was examined. KMN_OK too where there is nothing
 * to do, or no share for this person (which is said). Failures are said on stderr: then nothing is signed.
 */
kmn_err kmn_share_send(struct kmn_gateway *gateway, uint64_t id, const json_t *shown,
    const struct kmn_examined *examined, const struct kmn_signer *signer, const char *share_key) KMN_MUST_CHECK;

#endif
