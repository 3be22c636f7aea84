/*
 * Operations that are active in the application's sessions (FindObjects, Sign
 * and their kin), as far as the worker must know them:
 *
 *  - the memory of its mechanism's parameter lives until the operation ends;
 *  - an operation that may be held for a quorum runs in a vendor session of
 *    its own, its side session, because modules cannot be trusted to cancel
 *    one: closing that session is the only way to be sure. Such a session may
 *    wait for hours, and a device may drop it meanwhile: its requests are kept,
 *    so that it can be begun again.
 *
 * Threads: any. An operation that was got stays whole until it is put back,
 * also when it ends meanwhile: the parameter is not freed under a module that
 * still reads it, and the number of a side session means no other session
 * while a call is on its way there.
 */
#ifndef KANMON_HSM_OPERATIONS_H
#define KANMON_HSM_OPERATIONS_H

#include "kanmon/calls.h"
#include "kanmon/err.h"
#include "kanmon/writer.h"
#include "server/hsm/invoke.h"

struct kmn_operations;

struct kmn_operation {
	uint64_t session;   /* virtual */
	unsigned kind;      /* one bit of enum kmn_operation_kind */
	uint64_t mechanism; /* KMN_UNAVAILABLE: begun without one */
	CK_SLOT_ID slot;
	bool side;                      /* `vendor` is a side session, closed with the operation */
	CK_SESSION_HANDLE vendor;       /* where it runs */
	struct kmn_arena *arena;        /* of its *Init call; owned */
	struct kmn_param_native *param; /* in that arena, where the module may write to it; NULL: it has none */
	/* Requests of it so far, each with its length, for a side session; owned. Its error: cannot be begun again. */
	struct kmn_writer *history;
};

#define KMN_HISTORY_MAX_BYTES (1u << 20)

kmn_err kmn_operations_new(CK_FUNCTION_LIST *module, struct kmn_operations **ops_out) KMN_MUST_CHECK;
/* Frees what is still active; closes nothing. */
void kmn_operations_free(struct kmn_operations *ops);

/* The operation of that kind in that session, to be given back with kmn_operation_unref; NULL if there is none. */
const struct kmn_operation *kmn_operations_get(struct kmn_operations *ops, uint64_t session, unsigned kind);
/* The side session that was opened last for that session, likewise: the one a context-specific login is meant for. */
const struct kmn_operation *kmn_operations_get_side(struct kmn_operations *ops, uint64_t session);
void kmn_operation_unref(struct kmn_operations *ops, const struct kmn_operation *op); /* NULL is fine */

/* True if an operation of any kind is active in the application's own session. */
bool kmn_operations_any_own(struct kmn_operations *ops, uint64_t session);

/* An operation began: what was known of that kind in that session ends. Takes the arena and the side session. */
kmn_err kmn_operations_add(struct kmn_operations *ops, const struct kmn_operation *op) KMN_MUST_CHECK;

/* Ends operations of those kinds: closes their side sessions, as soon as nobody has them. */
void kmn_operations_end(struct kmn_operations *ops, uint64_t session, unsigned kinds);
/* Ends those of these kinds that have side sessions, and leaves the others. */
void kmn_operations_end_side(struct kmn_operations *ops, uint64_t session, unsigned kinds);
/* The module does not know that side session any more: its number is not closed, it may be another one's soon. */
void kmn_operations_lost(struct kmn_operations *ops, CK_SESSION_HANDLE vendor);
/* Sessions (virtual) that have side sessions, at most `max`. */
size_t kmn_operations_with_sides(struct kmn_operations *ops, uint64_t *sessions_out, size_t max);
/* The module closed all sessions of that slot: ends their operations and closes nothing. */
void kmn_operations_forget(struct kmn_operations *ops, CK_SLOT_ID slot);

#define KMN_OP_EVERY (~0u)
#define KMN_OP_LAST KMN_OP_VERIFY_SIGNATURE /* the highest bit */

#endif
