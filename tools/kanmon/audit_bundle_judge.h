/*
 * What a bundle is worth, by a trust file and nothing else: does what each
 * custodian's screen showed, what each signed, what policy demanded and what
 * the HSM returned agree? Prints the answer to `out`, if there is one; an enum
 * kmn_audit_exit.
 */
#ifndef KANMON_TOOLS_AUDIT_BUNDLE_JUDGE_H
#define KANMON_TOOLS_AUDIT_BUNDLE_JUDGE_H

#include <stdio.h>

#include "kanmon/bundle.h"
#include "kanmon/verify.h"

int kmn_bundle_judge(const struct kmn_bundle *bundle, const struct kmn_trust *trust, FILE *out, bool json);

#endif
