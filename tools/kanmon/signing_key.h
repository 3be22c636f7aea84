/* A custodian's sealed key, opened with the passphrase of the one who sits there. */
#ifndef KANMON_TOOLS_SIGNING_KEY_H
#define KANMON_TOOLS_SIGNING_KEY_H

#include "kanmon/keyfile.h"

/* The key in the file at `path`; `passphrase_file` as kmn_passphrase_get. Failures are said on stderr. */
kmn_err kmn_signing_key_open(
    const char *path, const char *passphrase_file, struct kmn_keyfile **key_out) KMN_MUST_CHECK;

#endif
