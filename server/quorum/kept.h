/*
 * Which blobs a ledger has, listed once: most data that calls name is not kept, and asking the file system each time
 * costs more than all else that is looked at in such a call.
 */
#ifndef KANMON_SERVER_QUORUM_KEPT_H
#define KANMON_SERVER_QUORUM_KEPT_H

#include "kanmon/store.h"
#include "kanmon/tree.h"

struct kept;

kmn_err kept_new(struct kmn_store *store, struct kept **kept_out) KMN_MUST_CHECK;
void kept_free(struct kept *kept);
/*
 * True: there is no such blob for a record of this segment ("seg/..kl"). False: ask. A blob is there before a record
 * names it, so the list holds for the segments that were full before it was made; in the last one a gateway may write.
 */
bool kept_lacks(const struct kept *kept, const char *segment, const uint8_t sha256[KMN_HASH_BYTES]);

#endif
