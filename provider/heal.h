/*
 * What the provider knows of the application so that it can be built up again
 * on a new link: open sessions, the login of each slot with its PIN, and who
 * the keys were that have been used. Kept only with heal=on or fork=inherit.
 *
 *   a session, login or key is of the link's era in which it was made or last built up
 *   kmn_heal_prepare, before a call: what the call names and is of another era is built up
 *   kmn_heal_note, after its answer: what the answer changes is written down
 *
 * All that is built up is built up by ordinary calls, which policy judges and
 * the ledger shows, and by ALIAS, which gives the new session or object its old
 * handle. A key comes back only if exactly one proves to be it (identity.h). A
 * PIN that is refused is wiped: it is never tried twice.
 *
 * Threads: any. One builds up, the others that need it wait; tables are locked
 * for moments only.
 * Fork: with fork=inherit the tables are locked while the process forks
 * (kmn_heal_lock, kmn_heal_unlock) and go to the child; otherwise the child
 * wipes the PINs.
 */
#ifndef KANMON_PROVIDER_HEAL_H
#define KANMON_PROVIDER_HEAL_H

#include "kanmon/codec.h"

struct kmn_application;
struct kmn_heal;
struct kmn_link;

/* `always`: on every link (heal=on); else only on a child's first one, for what its parent had. */
kmn_err kmn_heal_new(bool always, struct kmn_heal **heal_out) KMN_MUST_CHECK;
/* Wipes the PINs. NULL is fine, here and below. */
void kmn_heal_free(struct kmn_heal *heal);

void kmn_heal_lock(struct kmn_heal *heal);
void kmn_heal_unlock(struct kmn_heal *heal);
/* In the child that goes on with it, unlocked: its first link is of that era. */
void kmn_heal_after_fork(struct kmn_heal *heal, uint32_t era);
/* In the child that does not: wipes the PINs. No lock is taken. */
void kmn_heal_wipe(struct kmn_heal *heal);

/*
 * Makes the link know what the call names. *stale_out: its session is of a link
 * before and stays gone: the gateway need not be asked.
 * Errors: KMN_E_INSTANCE (the link is lost), and those of kmn_call_on.
 */
kmn_err kmn_heal_prepare(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link,
    const struct kmn_call_view *call, bool *stale_out) KMN_MUST_CHECK;

/* The call was answered by the link with `rv`; arg[] has what it gave. May ask the gateway who a key is. */
void kmn_heal_note(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link,
    const struct kmn_call_view *call, const struct kmn_arg *arg, CK_RV rv);
/*
 * C_FindObjectsInit went well with that template; C_FindObjects gave those handles. Of a search for private or secret
 * keys the gateway is asked who the first few are: a server finds its key, forks, and only its children use it.
 */
void kmn_heal_searches(struct kmn_heal *heal, CK_SESSION_HANDLE session, const CK_ATTRIBUTE *row, CK_ULONG rows);
void kmn_heal_found(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link,
    CK_SESSION_HANDLE session, const CK_OBJECT_HANDLE *found, CK_ULONG count);
/* C_CloseSession or C_CloseAllSessions of what was gone already. */
void kmn_heal_forget(struct kmn_heal *heal, const struct kmn_call_view *call);

/* Whether a session call may go to a new link when the one it was meant for is lost. */
bool kmn_heal_may(const struct kmn_heal *heal, const struct kmn_link *lost);

#endif
