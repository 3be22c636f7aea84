/*
 * A guard: the last head of the ledger, kept outside its folder, so that an
 * older copy of the folder is noticed when it is started again, and so that of
 * two gateways with the same key one stops.
 *
 * A file holds two slots of KMN_GUARD_SLOT_BYTES. Each is a checkpoint note of
 * the ledger, filled up with LF; the newer one counts. An update is written
 * over the older slot, so that a crash in the middle of it leaves the other.
 * An object (server/keeper/guard.c) holds one such note.
 *
 *	read ──▶ is it what was last seen here? ──no──▶ KMN_E_BUSY: another writer was here
 *	             │ yes
 *	             ▼
 *	        write the older slot ──▶ fdatasync
 *
 * The whole is done under flock(), which a gateway holds as long as it runs.
 * What stands in a slot is foreign: only a note that the log key signed counts.
 */
#ifndef KANMON_GUARD_H
#define KANMON_GUARD_H

#include "kanmon/note.h"

#define KMN_GUARD_SLOT_BYTES 4096
#define KMN_GUARD_FILE_BYTES (2 * KMN_GUARD_SLOT_BYTES)

/* What stands in a guard. */
struct kmn_guard_seen {
	bool fresh;           /* nothing yet: it was never used */
	struct kmn_head head; /* size 0 if fresh */
	unsigned slot;        /* the one that counts */
};

/*
 * Reads the bytes of a guard file (or of an object: at most one slot). KMN_E_CORRUPT: there is something, and none of
 * it is a note of this ledger.
 */
kmn_err kmn_guard_parse(const char *bytes, size_t len, const struct kmn_vkey *log, struct kmn_guard_seen *seen_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* Takes the lock: KMN_E_BUSY if another process has it. */
kmn_err kmn_guard_lock(int fd) KMN_MUST_CHECK;
kmn_err kmn_guard_read(
    int fd, const struct kmn_vkey *log, struct kmn_guard_seen *seen_out, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * Puts `note`, of the head `next`, in the place of what was last seen there. KMN_E_BUSY: something else stands there
 * now; *seen is as it was. KMN_E_IO: it cannot be written; to be tried again.
 * A head that is no longer than the one before (an authorised recovery) goes into both slots.
 */
kmn_err kmn_guard_swap(int fd, const struct kmn_vkey *log, struct kmn_guard_seen *seen, const struct kmn_head *next,
    const char *note, size_t len, struct kmn_why *why) KMN_MUST_CHECK;

/* Whether two guards' states are the same. */
bool kmn_guard_same(const struct kmn_guard_seen *a, const struct kmn_guard_seen *b);

#endif
