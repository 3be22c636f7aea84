/* What prove and bundle share: a signed head of a ledger, and the tree under it. */
#ifndef KANMON_TOOLS_AUDIT_PROOF_H
#define KANMON_TOOLS_AUDIT_PROOF_H

#include "kanmon/note.h"
#include "kanmon/tiles.h"

struct kmn_audit_proof {
	char origin[KMN_NOTE_NAME_MAX_BYTES + 1];
	char *note; /* the newest checkpoint with cosignatures that covers the record, else the newest */
	size_t note_len;
	struct kmn_head head;
	struct kmn_tiles *tiles;
};

/*
 * `index`: a record that the checkpoint must cover (KMN_E_NOT_FOUND otherwise). Nothing here verifies signatures: who
 * receives the proof does that.
 */
kmn_err kmn_audit_proof_open(
    struct kmn_store *store, uint64_t index, struct kmn_audit_proof *proof_out, struct kmn_why *why) KMN_MUST_CHECK;
void kmn_audit_proof_clear(struct kmn_audit_proof *proof);

#endif
