/*
 * What the gateway does for asynchronous sessions (PKCS#11 3.2): it says where
 * there is something to wait for, and withdraws what a client leaves behind.
 * The rest is the client's: a request outlives its call in any case.
 */
#include "config.h"

#include "server/keeper/state.h"

#define FLAGS_AT 96u /* of CK_TOKEN_INFO on the wire: behind label, manufacturer, model and serial number */
#define FLAG_BYTE 4u /* of the eight, big-endian: bits 24 to 31 */

void
kmn_async_mark(const struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply)
{
	const struct kmn_result *info = kmn_response_nth(response, KMN_KIND_TOKEN_INFO, 0);
	uint8_t *flags;

	if (response->rv != CKR_OK || info == NULL || info->len < FLAGS_AT + sizeof(uint64_t) || call->view.v2_40 ||
	    call->token == NULL)
		return;
	flags = reply + (info->bytes - reply) + FLAGS_AT;
	/* The module's own do not cross: what is pending there nobody could ask for. */
	flags[FLAG_BYTE] &= (uint8_t) ~(CKF_ASYNC_SESSION_SUPPORTED >> 24);
	if (kmn_policy_may_hold(kmn_keeper_policy(call->keeper), call->instance->spki_sha256, &call->token->facts))
		flags[FLAG_BYTE] |= CKF_ASYNC_SESSION_SUPPORTED >> 24;
}
