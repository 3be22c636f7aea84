/* Warnings about what will be signed, for people. */
#ifndef KANMON_TOOLS_LINT_H
#define KANMON_TOOLS_LINT_H

#include <stdio.h>

#include "kanmon/lint.h"
#include "tools/kanmon/words.h"

/* One line for each; `issuer`: file of the issuer's certificate (PEM or DER), or NULL. Failures are said on stderr. */
kmn_err kmn_lint_print(
    FILE *to, const struct kmn_material *material, const char *issuer, enum kmn_language language) KMN_MUST_CHECK;

#endif
