/*
 * Asynchronous sessions (PKCS#11 3.2). In one of them a call that a quorum
 * must approve answers CKR_PENDING; C_AsyncComplete asks what became of it.
 *
 *   none --CKR_PENDING--> pending --C_AsyncComplete, C_SessionCancel--> none
 *            ^               +--C_AsyncGetID--> (a recipe, and the request stays open) none
 *            |               +--C_CloseSession--> (the request is withdrawn)
 *            +--C_AsyncJoin, by the recipe, in any process of the client
 *   pending --C_Finalize, end of the process--> (the request stays open)
 *
 * What waits is the request at the gateway. Here is the call that waits for it
 * (call.h), or what it takes to make the call once more (recipe.h).
 *
 * Threads: any; one asks for a pending call at a time, others are told that it
 * is pending. Fork: the child has none of its parent's sessions.
 */
#ifndef KANMON_PROVIDER_ASYNC_H
#define KANMON_PROVIDER_ASYNC_H

#include "provider/provider.h"

struct kmn_application;
struct kmn_client_settings;
struct kmn_async;

kmn_err kmn_async_new(const struct kmn_client_settings *settings, struct kmn_async **async_out) KMN_MUST_CHECK;
/* No call is under way; before the links go. NULL is fine. */
void kmn_async_free(struct kmn_async *async);

/* Is the call about an asynchronous session, or to open one? */
bool kmn_async_takes(struct kmn_async *async, enum kmn_call_id id, enum kmn_list list, const struct kmn_arg *arg);
/* Such a call, as kmn_call_whole. */
CK_RV kmn_async_call(struct kmn_async *async, struct kmn_application *app, enum kmn_call_id id, struct kmn_arg *arg,
    size_t arg_count) KMN_MUST_CHECK;

/* The functions of 3.2, inside an application. */
CK_RV kmn_async_complete(
    struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ASYNC_DATA *result);
CK_RV kmn_async_get_id(
    struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ULONG *id);
CK_RV kmn_async_join(struct kmn_application *app, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_ULONG id,
    CK_BYTE *data, CK_ULONG len);

#endif
