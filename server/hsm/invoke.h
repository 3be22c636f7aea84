/*
 * The worker's side of the table: a decoded request becomes a call of the
 * vendor module and its outcome a response. The thunks grow from calls.def.
 *
 * Neither end is trusted with bounds: capacities of the client are cut to what
 * a response can carry, and the vendor gets more room than it was told of, so
 * that the overruns known of real modules hit nothing.
 */
#ifndef KANMON_HSM_INVOKE_H
#define KANMON_HSM_INVOKE_H

#include "kanmon/codec.h"

/*
 * Memory of one call: native structures, copies of inputs, room for outputs.
 * One mapping between guard pages; its pages cost nothing until they are used.
 * reset wipes what was used and begins again. A parameter that a module may
 * read until its operation ends lives as long as the
 * arena of its *Init call: give each started operation an arena of its own.
 */
struct kmn_arena;
struct kmn_arena *kmn_arena_new(size_t max_bytes); /* NULL: out of memory */
void kmn_arena_reset(struct kmn_arena *a);
void kmn_arena_free(struct kmn_arena *a);
#define KMN_ARENA_BYTES (64u << 20) /* enough for every request that the decoder lets pass */

/*
 * Virtual handles are the worker's. The *_in functions give the vendor's handle,
 * or CK_INVALID_HANDLE for one that is not known, so that the vendor gives its
 * own error; the *_out functions give the virtual handle of a vendor's, making
 * one for a new one. CK_INVALID_HANDLE is never asked about.
 */
struct kmn_handles {
	void *cookie;
	CK_SESSION_HANDLE (*session_in)(void *cookie, uint64_t session);
	CK_OBJECT_HANDLE (*object_in)(void *cookie, uint64_t object);
	uint64_t (*session_out)(void *cookie, const struct kmn_call_view *call, CK_SESSION_HANDLE session);
	uint64_t (*object_out)(void *cookie, const struct kmn_call_view *call, CK_OBJECT_HANDLE object);
};

/*
 * Parameters that a module may still write to: in the arenas of the *Init
 * calls they came with, and as long as those. What it wrote goes out with the
 * response to the call in which it did.
 */
struct kmn_param_native;
struct kmn_kept {
	struct {
		unsigned operation; /* bit of enum kmn_operation_kind */
		struct kmn_param_native *param;
	} active[2]; /* in: of the operations that this call belongs to */
	size_t count;
	struct kmn_param_native *made; /* out: this call's own parameter; NULL: it has none */
};

/*
 * Calls the module and appends the response payload to w. A function that it
 * does not have is NULL in the list, and is answered as not supported. The result is KMN_OK
 * whenever a response was written, whatever its CK_RV, which *rv_out repeats.
 * A request that cannot be turned into a call (arena too small, layout of
 * another ABI) gets a response too, with a CK_RV and no outputs. Errors:
 * KMN_E_NO_MEMORY, KMN_E_TOO_BIG of the writer only.
 */
kmn_err kmn_invoke(const struct kmn_call_view *v, const CK_FUNCTION_LIST_3_2 *module, const struct kmn_handles *handles,
    struct kmn_arena *arena, struct kmn_kept *kept, struct kmn_writer *w, CK_RV *rv_out) KMN_MUST_CHECK;

#endif
