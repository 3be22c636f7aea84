/* One ledger after another: what the record `closed` and the next one's genesis say of each other (docs/ledger.md 7b). */
#ifndef KANMON_SUCCESSION_H
#define KANMON_SUCCESSION_H

#include "kanmon/note.h"
#include "kanmon/record.h"

#define KMN_ORIGIN_MAX_BYTES KMN_NOTE_NAME_MAX_BYTES

/* What the record `closed` says of the ledger that comes next (docs/ledger.md, Succession). */
struct kmn_successor {
	bool there;
	char origin[KMN_ORIGIN_MAX_BYTES + 1];
	uint8_t policy_sha256[KMN_HASH_BYTES]; /* of the text of its policy version 1 */
	struct kmn_vkey log;
};
/* The ledger before, as its successor must know it. */
struct kmn_predecessor {
	char origin[KMN_ORIGIN_MAX_BYTES + 1];
	struct kmn_vkey log;  /* type 0: not known */
	struct kmn_head head; /* the last: with the record that closed it */
};
json_t *kmn_successor_body(const struct kmn_successor *successor) KMN_MUST_CHECK; /* of `closed` */
bool kmn_successor_read(const json_t *object, struct kmn_successor *out) KMN_MUST_CHECK;
/* genesis.predecessor; `note` is the checkpoint of that head. */
json_t *kmn_predecessor_body(const struct kmn_predecessor *predecessor, const char *note) KMN_MUST_CHECK;
/* What a genesis says of it. Whether a key that is named signed the note is asked here, whether it is the right one not. */
bool kmn_predecessor_read(const json_t *object, struct kmn_predecessor *out) KMN_MUST_CHECK;
/* Whether the note is its log key's, over its last head. */
bool kmn_predecessor_signed(const struct kmn_predecessor *predecessor, const char *note) KMN_MUST_CHECK;

#endif
