/* What the files of asynchronous sessions (async.h) share. */
#ifndef KANMON_PROVIDER_ASYNC_PARTS_H
#define KANMON_PROVIDER_ASYNC_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "provider/async.h"
#include "provider/call.h"
#include "provider/recipe.h"

/* A call that has no answer yet, or whose answer was not asked for yet. */
struct kmn_pending {
	enum kmn_call_id id;
	struct kmn_parked *parked; /* NULL: it was over at once, when it was joined */
	bool over;                 /* `rv` and `out` are what it came to */
	CK_RV rv;
	struct kmn_parked_outputs out;
	uint64_t recipe; /* that it was joined by; 0: none */
};

struct kmn_async_session {
	CK_SESSION_HANDLE handle;
	CK_SLOT_ID slot;
	CK_FLAGS flags;
	unsigned users; /* inside; the last frees it once it is closed */
	bool closed, busy;
	/* what is below belongs to who made it busy */
	struct kmn_pending *pending;
	/* the operation that was begun last, and its parts: requests, as in a recipe */
	unsigned operation; /* KMN_OP_*; 0: none, or nobody could make it again */
	size_t steps;
	struct kmn_recipe_part step[KMN_RECIPE_STEPS_MAX];
	uint64_t begun; /* the recipe by which an operation was begun that still waits for its call */
	struct kmn_async_session *next;
};

/* A recipe where there is no folder. */
struct kmn_kept {
	uint64_t request;
	struct kmn_writer w;
	struct kmn_kept *next;
};

struct kmn_async {
	pthread_mutex_t lock; /* guards the list, and users, closed and busy of its sessions */
	pthread_cond_t idle;
	struct kmn_async_session *sessions;
	atomic_uint count;
	const struct kmn_client_settings *settings;
	struct kmn_heads *heads; /* the folder, once somebody needs it; NULL with `state = none`: then */
	struct kmn_kept *kept;   /* recipes are here, until C_Finalize; guarded by the lock */
};

/* ---- async_sessions.c -------------------------------------------------------------------------------------------- */

CK_RV kmn_async_open(struct kmn_async *async, struct kmn_application *app, struct kmn_arg *arg) KMN_MUST_CHECK;
/* NULL: it is none of ours. Waits for who is busy with it, unless that is not worth it: *busy_out, and NULL. */
struct kmn_async_session *kmn_async_take(
    struct kmn_async *async, CK_SESSION_HANDLE handle, bool waits, bool *busy_out) KMN_MUST_CHECK;
void kmn_async_put(struct kmn_async *async, struct kmn_async_session *s);
/* The session is gone; it is freed when it is put. */
void kmn_async_forget(struct kmn_async *async, struct kmn_async_session *gone);
/* Is it one of ours? */
bool kmn_async_has(struct kmn_async *async, CK_SESSION_HANDLE handle);
/* A session of the slot, 0: there is none. */
CK_SESSION_HANDLE kmn_async_any(struct kmn_async *async, CK_SLOT_ID slot);
/* NULL is fine. */
void kmn_pending_free(struct kmn_pending *p);

/* ---- async_steps.c: what a recipe is made of, and where it is ---------------------------------------------------- */

/* A call that came to CKR_OK in the session: it may have begun an operation, gone on with it, or ended it. */
void kmn_steps_note(struct kmn_async_session *s, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count);
void kmn_steps_clear(struct kmn_async_session *s);
/* In the folder of `state`, or else in memory; errors as of kmn_recipe_store and kmn_recipe_load. */
kmn_err kmn_async_keep(struct kmn_async *async, const struct kmn_recipe *recipe) KMN_MUST_CHECK;
kmn_err kmn_async_recall(struct kmn_async *async, uint64_t request, struct kmn_recipe *recipe_out) KMN_MUST_CHECK;
void kmn_async_drop(struct kmn_async *async, uint64_t request);
/* When no call is under way. */
void kmn_async_drop_all(struct kmn_async *async);

/* ---- async.c: of a session that was taken ------------------------------------------------------------------------ */

/* The argument that says where bytes go; NULL: there is none. */
const struct kmn_arg *kmn_async_room(const struct kmn_call *row, const struct kmn_arg *arg);
/* A buffer that is too small is said at once, never when people have approved: CKR_OK, it is large enough. */
CK_RV kmn_async_check_room(
    struct kmn_application *app, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count) KMN_MUST_CHECK;
/* Ends a pending call, and its request if nobody else waits for it. */
void kmn_async_withdraw(struct kmn_async_session *s);
bool kmn_async_is_pending(const struct kmn_async_session *s, const CK_UTF8CHAR *function);

#endif
