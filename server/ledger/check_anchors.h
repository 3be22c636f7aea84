/* Between the files of V9: tokens (check_anchors.c) and the second tree (check_rehash.c). */
#ifndef KANMON_LEDGER_CHECK_ANCHORS_H
#define KANMON_LEDGER_CHECK_ANCHORS_H

#include "kanmon/anchor.h"
#include "server/ledger/verify.h"

/*
 * Makes the text that the token of a `rehash` goes over from the lines and blobs themselves; says what differs from the
 * record. KMN_E_CORRUPT: said, there is nothing to judge. *text_out: free().
 */
kmn_err kmn_rehash_check(const struct kmn_checking *checking, const json_t *body, const struct kmn_place *place,
    char **text_out) KMN_MUST_CHECK;

#endif
