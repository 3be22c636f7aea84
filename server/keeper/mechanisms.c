/*
 * Mechanisms as a client sees them: what no rule of the policy could admit on
 * the token is absent from the list and from C_GetMechanismInfo, and refused
 * as CKR_MECHANISM_INVALID, so that callers take one that is admitted.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <stdio.h>
#include <stdlib.h>

#define LIST_MAX 4096u /* mechanisms of one token that are looked at */

/* Is it one that the policy admits in no use of a key on this token? Where the token is not known nothing is hidden. */
static bool
is_hidden(const struct kmn_call_state *call, uint64_t mechanism)
{
	const struct kmn_policy *policy = kmn_keeper_policy(call->keeper);
	const struct kmn_policy_token *token =
	    call->token != NULL ? kmn_policy_token_get(policy, &call->token->facts) : NULL;
	const char *name = kmn_mechanism_name(mechanism);

	/* One without a name is in no rule's list: only a rule without list admits it. */
	return token != NULL && !kmn_policy_mechanism_possible(
				    policy, call->instance->spki_sha256, token->name, name != NULL ? name : "");
}

bool
kmn_mechanisms_hide(const struct kmn_call_state *call)
{
	const struct kmn_value *type = kmn_view_nth(&call->view, KMN_KIND_MECH_TYPE, 0);
	const struct kmn_mech_view *mech = kmn_view_mechanism(&call->view);

	if (type != NULL)
		return is_hidden(call, type->number);
	return mech != NULL && mech->form != KMN_MECH_NULL && is_hidden(call, mech->type);
}

bool
kmn_mechanisms_are_limited(const struct kmn_call_state *call)
{
	return is_hidden(call, KMN_UNAVAILABLE); /* admitted is this one only where every one is */
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void
put_visible(const struct kmn_call_state *call, const struct kmn_result *all, struct kmn_writer *w)
{
	uint64_t items[LIST_MAX];
	size_t n = 0;

	for (size_t i = 0; i < all->len / sizeof(uint64_t) && n < LIST_MAX; i++)
		if (!is_hidden(call, kmn_result_item(all, i)))
			items[n++] = kmn_result_item(all, i);
	kmn_local_put_list(call, items, n, w);
}

static void
listed(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_response_view response;
	const struct kmn_result *all;
	const uint8_t *payload;
	struct kmn_writer w;
	uint8_t *reply;
	size_t len;

	if (r == NULL)
		return; /* its branch ends, and with it this call */
	len = kmn_reader_rest(r, &payload);
	if (kmn_response_view_decode(payload, len, &response) != KMN_OK || response.id != call->view.id) {
		kmn_branch_lost(k, call->branch, "its worker answers in a shape that cannot be");
		return;
	}
	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	if (response.rv == CKR_OK && (all = kmn_response_nth(&response, KMN_KIND_MECH_TYPES, 0)) != NULL)
		put_visible(call, all, &w);
	else
		kmn_response_put_error(call->view.id, response.rv, &w);
	if (kmn_writer_take(&w, &reply, &len) != KMN_OK)
		KMN_BUG("out of memory");
	kmn_writer_clear(&w);
	kmn_call_take_reply(call, reply, len);
}

/* The module is asked for the whole list, whatever room the caller has: what is left of it is what counts. */
void
kmn_mechanisms_list(struct kmn_call_state *call)
{
	static CK_MECHANISM_TYPE room[LIST_MAX];
	CK_ULONG n = LIST_MAX;
	struct kmn_arg arg[] = {{.u = (CK_ULONG)call->vendor_slot}, {.p = room, .n = &n}};
	struct kmn_writer w;

	kmn_writer_init(&w, 256);
	kmn_writer_u8(&w, 0);
	if (kmn_request_encode(KMN_C_GetMechanismList, arg, KMN_COUNT_OF(arg), &w) != KMN_OK)
		KMN_BUG("a question for mechanisms cannot be put");
	if (call->view.v2_40)
		kmn_request_mark_2_40(&w, 1);
	if (kmn_branch_ask(call->keeper, call->branch, KMN_W_CALL, &w, listed, call) != KMN_OK)
		kmn_branch_lost(call->keeper, call->branch, "its worker does not listen");
	kmn_writer_clear(&w);
}
