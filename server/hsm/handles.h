/*
 * Virtual handles: the numbers that an application sees for the sessions and
 * objects of the vendor module. Below 2^31, never used twice in the life of a
 * worker, one counter for both kinds; 0 (CK_INVALID_HANDLE) is 0 on both sides.
 * The counter has a first number and a step, so that several workers of one
 * application never give out the same number, nor one that an earlier worker
 * of that application gave out.
 *
 * An unknown virtual handle becomes a number that the vendor never gave out,
 * so that the vendor answers with its own error.
 *
 * Threads: every function may be called from any thread.
 *
 * Objects are named by slot: two tokens may use one number for two objects.
 * The same vendor object keeps its virtual handle until it is destroyed, its
 * session object's session is closed, its token initialised, or the vendor
 * uses the number for a new object.
 */
#ifndef KANMON_HSM_HANDLES_H
#define KANMON_HSM_HANDLES_H

#include "kanmon/err.h"

#define KMN_HANDLE_END (UINT64_C(1) << 31) /* one past the last virtual handle */
/* Told to a vendor for one that is not known, or the next below that it never gave. (softokn takes every number with bit
 * 31 for an object of its token.) */
#define KMN_HANDLE_REFUSED ((CK_ULONG)0x7ffffffe)

struct kmn_virtual;

/* What an open session is to the vendor. */
struct kmn_session {
	uint64_t number; /* the virtual handle that it was given, whatever other name it was asked for by */
	CK_SESSION_HANDLE vendor;
	CK_SLOT_ID slot;
	CK_FLAGS flags; /* as it was opened */
};

/* Numbers are first, first + step, ...; 0 is taken as 1. KMN_E_TOO_BIG: none of them is below KMN_HANDLE_END. */
kmn_err kmn_virtual_new(uint64_t first, uint64_t step, struct kmn_virtual **table_out) KMN_MUST_CHECK;
void kmn_virtual_free(struct kmn_virtual *table);

/*
 * A session that the vendor just opened. *virtual_out is 0 on failure.
 * KMN_E_TOO_BIG: every virtual handle was used, or 65536 sessions are open.
 */
kmn_err kmn_virtual_session_add(
    struct kmn_virtual *table, const struct kmn_session *session, uint64_t *virtual_out) KMN_MUST_CHECK;

/* The session behind a virtual handle; if there is none, false, and a vendor handle that the vendor refuses. */
bool kmn_virtual_session(struct kmn_virtual *table, uint64_t virtual, struct kmn_session *session_out);

/* C_CloseSession succeeded: the session's handle dies, and those of the session objects made in it. */
void kmn_virtual_session_drop(struct kmn_virtual *table, uint64_t virtual);

/* C_CloseAllSessions succeeded: all sessions of that slot and the objects made in them die. Not sessions: all objects,
 * for C_InitToken did, which a module that still had sessions should have refused and may have kept. */
void kmn_virtual_slot_drop(struct kmn_virtual *table, CK_SLOT_ID slot, bool sessions);

/* A mark that says "from now on" to kmn_virtual_object_made; take it before the vendor is called. */
uint64_t kmn_virtual_mark(struct kmn_virtual *table);

/*
 * The vendor said that it made this object: a handle left over from an object
 * that had the number before `mark` dies. `session` is the virtual session of
 * a session object, or 0 for a token object. CK_INVALID_HANDLE gives 0.
 * KMN_E_TOO_BIG: every virtual handle was used, or 2^20 objects are known.
 */
kmn_err kmn_virtual_object_made(struct kmn_virtual *table, CK_SLOT_ID slot, CK_OBJECT_HANDLE vendor, uint64_t mark,
    uint64_t session, uint64_t *virtual_out) KMN_MUST_CHECK;

/* The vendor named this object: the virtual handle that it has, or a new one. Errors as above. */
kmn_err kmn_virtual_object_found(
    struct kmn_virtual *table, CK_SLOT_ID slot, CK_OBJECT_HANDLE vendor, uint64_t *virtual_out) KMN_MUST_CHECK;

/* The vendor's number of a virtual object handle on that slot; an unknown one gives a number that the vendor refuses. */
CK_OBJECT_HANDLE kmn_virtual_object(struct kmn_virtual *table, CK_SLOT_ID slot, uint64_t virtual);

/* The session that keeps a session object alive (virtual), or 0: token object or unknown. */
uint64_t kmn_virtual_object_session(struct kmn_virtual *table, CK_SLOT_ID slot, uint64_t virtual);

/* C_DestroyObject succeeded. */
void kmn_virtual_object_drop(struct kmn_virtual *table, CK_SLOT_ID slot, uint64_t virtual);

/*
 * An object or session goes by an older name too: `old`, a number that an
 * earlier worker of the application gave out, from now on means what `now`
 * means, and is what is given out for that object. KMN_E_NOT_FOUND: `now`
 * means nothing. KMN_E_EXISTS: `old` means something, or is one of the numbers
 * that this table gives out.
 */
kmn_err kmn_virtual_alias(struct kmn_virtual *table, uint64_t old, uint64_t now) KMN_MUST_CHECK;

/* The number that a session was given when it was opened, for any of its names; an unknown name is its own. */
uint64_t kmn_virtual_session_number(struct kmn_virtual *table, uint64_t virtual);

#endif
