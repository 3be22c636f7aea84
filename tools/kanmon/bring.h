/* A note that is complete goes to the gateway. */
#ifndef KANMON_TOOLS_BRING_H
#define KANMON_TOOLS_BRING_H

#include <stdbool.h>

#include "kanmon/err.h"

/* Brings a note of a kind of signed.h as custodian `as`, and says, or prints as JSON, which record it is now. */
kmn_err kmn_signed_bring(const char *as, const char *note, bool json) KMN_MUST_CHECK;

#endif
