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
#include "kanmon/messages.h"
#include "server/hsm/facts.h"
#include "server/hsm/guard.h"
#include "server/hsm/handles.h"
#include "server/hsm/vendor.h"

struct kmn_dispatch;

struct kmn_dispatch_settings {
	const struct kmn_vendor *vendor; /* initialised; outlives the dispatch */
	uint64_t first_handle, handle_step;
};

/* `maker` outlives the dispatch. KMN_E_TOO_BIG: there are no handles in that range. */
kmn_err kmn_dispatch_new(const struct kmn_dispatch_settings *settings, struct kmn_spki_maker *maker,
    struct kmn_dispatch **dispatch_out) KMN_MUST_CHECK;
/* When no request runs any more. Closes no session: C_Finalize does. */
void kmn_dispatch_free(struct kmn_dispatch *dispatch);

/* Object handles of a call that the module is to refuse, whatever they may mean by now. */
struct kmn_nobody {
	size_t count;
	uint64_t handle[KMN_NOBODY_MAX];
};

/* A request, decoded, with the bytes that it was decoded from; NULL: it is not kept to be made again. */
struct kmn_dispatch_request {
	const struct kmn_call_view *view;
	const uint8_t *payload;
	size_t len;
	uint8_t flags;                   /* KMN_WF_* */
	const struct kmn_nobody *nobody; /* or NULL */
};

/* Appends the response payload to w, always a whole one. */
void kmn_dispatch_call(struct kmn_dispatch *dispatch, const struct kmn_dispatch_request *request, struct kmn_writer *w);

/* Sessions with side sessions that wait, for kmn_dispatch_keep_warm in the lane of each. */
size_t kmn_dispatch_waiting(struct kmn_dispatch *dispatch, uint64_t *sessions_out, size_t max);
/* Says a word to each side session of that session, so that a device does not drop it for silence. */
void kmn_dispatch_keep_warm(struct kmn_dispatch *dispatch, uint64_t session);

/* Closes the side session of an operation (one bit of enum kmn_operation_kind); an unknown one is left alone. */
void kmn_dispatch_drop(struct kmn_dispatch *dispatch, uint64_t session, unsigned kind);

/* An object or session goes by an older number too. CKR_OK, or what KMN_W_ALIASED says. */
CK_RV kmn_dispatch_alias(struct kmn_dispatch *dispatch, uint64_t old, uint64_t now);

/* One number for all names of a session: its calls run in order whatever name they use. */
uint64_t kmn_dispatch_lane(struct kmn_dispatch *dispatch, uint64_t session);

/* facts.h, kept apart from calls that close every session of a slot. */
CK_RV kmn_dispatch_describe(
    struct kmn_dispatch *dispatch, uint64_t session, uint64_t object, struct kmn_key_facts *facts_out);
CK_RV kmn_dispatch_find_key(struct kmn_dispatch *dispatch, const char *token_label, const char *key_label,
    const void *id, size_t id_len, struct kmn_key_facts *facts_out);
/* guard.h */
CK_RV kmn_dispatch_guard(
    struct kmn_dispatch *dispatch, const struct kmn_guard_object *object, uint8_t *value_out, size_t *len_out);
CK_RV kmn_dispatch_token(struct kmn_dispatch *dispatch, uint64_t slot, struct kmn_token_facts *facts_out);

#endif
