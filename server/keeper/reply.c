/* The module's answer: what it changed is noted, what must be is recorded, and then it is the client's. */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void
kmn_call_copy_reply(struct kmn_reader *r, uint8_t **reply_out, size_t *len_out)
{
	const uint8_t *payload;

	*len_out = kmn_reader_rest(r, &payload);
	if ((*reply_out = malloc(*len_out > 0 ? *len_out : 1)) == NULL)
		KMN_BUG("out of memory");
	memcpy(*reply_out, payload, *len_out);
}

/* Record what came back, then answer when that is durable. */
static void
finish_recorded(struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply, size_t len)
{
	enum kmn_record_kind kind = call->durability == 'A'                       ? KMN_R_RESULT
				    : call->view.call->policy == KMN_POLICY_LOGIN ? KMN_R_SESSION
										  : KMN_R_OP;
	const char *selfcheck = NULL;
	json_t *body = NULL;
	kmn_err e;

	if (kmn_check_signature(call, response, &selfcheck) != KMN_OK) {
		/* A signature that the public key does not confirm is never released (R2, docs/threat-model.md). */
		kmn_say(KMN_SAY_ERROR, "%s: the HSM's signature does not verify: not released", call->view.call->name);
		kmn_anomaly_signature(call);
		OPENSSL_cleanse(reply, len);
		free(reply);
		if (kmn_call_reply_error(call, kmn_reason_end(call, KMN_E_SIGNATURE), &reply, &len) != KMN_OK ||
		    kmn_response_view_decode(reply, len, &call->own_response) != KMN_OK)
			KMN_BUG("out of memory");
		response = &call->own_response;
	}
	call->selfcheck = selfcheck;
	kmn_sha256(reply, len, call->resp_sha256);
	e = kind == KMN_R_RESULT ? kmn_record_result(call, response, selfcheck, &body)
	    : kind == KMN_R_OP   ? kmn_record_op(call, response, &body)
				 : kmn_record_session(call, response, &body);
	if (e != KMN_OK)
		kmn_keeper_fail(call->keeper, "a result cannot be put into words");
	if (e != KMN_OK || kmn_keeper_append(call->keeper, kind, body, &call->outcome) != KMN_OK) {
		free(reply);
		return;
	}
	call->told_by = kind;
	call->decided = false;
	kmn_activation_ran(call, response);
	kmn_track_operation(call, response);
	kmn_call_finish(call, reply, len);
	kmn_hold_ran(call);
}

/* A key that the call made is described before its record is written. */
static void
made_described(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_response_view response;
	uint8_t *reply = call->reply;
	size_t len = call->reply_len;

	if (r == NULL)
		return; /* the worker died: its instance ends */
	if (kmn_reader_u64(r) == CKR_OK) {
		kmn_key_facts_get(r, &call->made);
		call->has_made = r->err == KMN_OK;
	}
	if (call->has_made && kmn_record_keep_spki(k, &call->made) != KMN_OK)
		return;
	call->reply = NULL;
	call->reply_len = 0;
	if (kmn_response_view_decode(reply, len, &response) != KMN_OK)
		KMN_BUG("an answer that was read cannot be read again");
	finish_recorded(call, &response, reply, len);
}

/* Asks about the key a call made: the private half of a pair, for the last handle is the one that matters. */
static bool
describe_made(struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply, size_t len)
{
	struct kmn_writer w;
	uint64_t object;
	kmn_err e;

	if (response->rv != CKR_OK || call->view.call->policy != KMN_POLICY_KEY_MANAGEMENT ||
	    (!kmn_response_object(response, 1, &object) && !kmn_response_object(response, 0, &object)))
		return false;
	call->reply = reply;
	call->reply_len = len;
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, call->session_handle);
	kmn_writer_u64(&w, object);
	e = kmn_branch_ask(call->keeper, call->branch, KMN_W_DESCRIBE, &w, made_described, call);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		call->reply = NULL;
	return e == KMN_OK;
}

static void
put_u64(uint8_t *at, uint64_t value)
{
	for (size_t i = 0; i < sizeof(value); i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* CK_SESSION_INFO: the slot by the client's number, and ulDeviceError where the gateway has a reason to tell. */
static void
translate(const struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply)
{
	const struct kmn_result *info = kmn_response_nth(response, KMN_KIND_SESSION_INFO, 0);
	uint8_t *fields;

	if (info == NULL || info->len < 4 * sizeof(uint64_t) || call->session == NULL)
		return;
	fields = reply + (info->bytes - reply);
	put_u64(fields, call->slot);
	if (call->session->device_error != 0)
		put_u64(fields + 3 * sizeof(uint64_t), call->session->device_error);
}

void
kmn_call_take_reply(struct kmn_call_state *call, uint8_t *reply, size_t len)
{
	struct kmn_response_view response;

	if (kmn_response_view_decode(reply, len, &response) != KMN_OK || response.id != call->view.id) {
		free(reply);
		kmn_branch_lost(call->keeper, call->branch, "its worker answers in a shape that cannot be");
		return;
	}
	if (kmn_objects_look_through(call, &response)) {
		free(reply);
		return;
	}
	translate(call, &response, reply);
	kmn_activation_mark(call, &response, reply);
	kmn_async_mark(call, &response, reply);
	call->took_us = kmn_keeper_now_us() - call->started_us;
	kmn_track_session(call, &response);
	kmn_event_given(call, &response);
	if (call->durability == 'C') {
		kmn_call_count(call);
		kmn_track_operation(call, &response);
		kmn_call_finish(call, reply, len);
	} else if (!describe_made(call, &response, reply, len)) {
		finish_recorded(call, &response, reply, len);
	}
}
