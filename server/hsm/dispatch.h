/*
 * One request of the application, from its decoded form to its response: which
 * vendor session it goes to, the vendor's call, and what the outcome does to
 * handles and operations.
 *
 * Threads: any; two requests of one virtual session must not run at once (the
 * pool's lanes see to that).
 */
#ifndef KANMON_HSM_DISPATCH_H
#define KANMON_HSM_DISPATCH_H

#include "kanmon/codec.h"
#include "server/hsm/facts.h"
#include "server/hsm/handles.h"

struct kmn_dispatch;

/* `module`, which is initialised, and `maker` outlive the dispatch. */
kmn_err kmn_dispatch_new(
    CK_FUNCTION_LIST *module, struct kmn_spki_maker *maker, struct kmn_dispatch **dispatch_out) KMN_MUST_CHECK;
/* When no request runs any more. Closes no session: C_Finalize does. */
void kmn_dispatch_free(struct kmn_dispatch *dispatch);

/* Appends the response payload to w, always a whole one. `flags` is KMN_WF_*. */
void kmn_dispatch_call(
    struct kmn_dispatch *dispatch, const struct kmn_call_view *view, uint8_t flags, struct kmn_writer *w);

/* Closes the side session of an operation (one bit of enum kmn_operation_kind); an unknown one is left alone. */
void kmn_dispatch_drop(struct kmn_dispatch *dispatch, uint64_t session, unsigned kind);

/* facts.h, kept apart from calls that close every session of a slot. */
CK_RV kmn_dispatch_describe(
    struct kmn_dispatch *dispatch, uint64_t session, uint64_t object, struct kmn_key_facts *facts_out);
CK_RV kmn_dispatch_find_key(struct kmn_dispatch *dispatch, const char *token_label, const char *key_label,
    const void *id, size_t id_len, struct kmn_key_facts *facts_out);
CK_RV kmn_dispatch_token(struct kmn_dispatch *dispatch, uint64_t slot, struct kmn_token_facts *facts_out);

#endif
