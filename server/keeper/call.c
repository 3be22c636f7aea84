/*
 * One call: made, answered, freed. The steps are drawn in state.h; to the module it goes by send.c, its outcome comes by
 * reply.c, its refusal by refuse.c.
 *
 * Three ways through, chosen by the row of the call and the policy:
 *   counted   queries, sessions, and the parts of an operation that give nothing away: forwarded, counted (class C)
 *   once      one record after the fact, durable before the answer (class B, logins)
 *   fully     intent and decision durable before the module sees the call, result before the answer (class A)
 */
#include "config.h"

#include "server/keeper/state.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct kmn_call_state *
kmn_call_new(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, const uint8_t *payload, size_t len)
{
	struct kmn_call_state *call = calloc(1, sizeof(*call));
	uint8_t be[8];
	EVP_MD_CTX *md;

	if (call == NULL || (call->bytes = malloc(len > 0 ? len : 1)) == NULL) {
		free(call);
		return NULL;
	}
	call->keeper = k;
	call->told_by = KMN_R_UNKNOWN;
	call->instance = conn->instance;
	call->conn = conn;
	call->chan = conn->chan;
	call->number = number;
	memcpy(call->bytes, payload, len);
	call->len = len;
	call->received_us = (int64_t)kmn_keeper_now_us();
	kmn_sha256(payload, len, call->payload_sha256);
	for (size_t i = 0; i < sizeof(be); i++)
		be[i] = (uint8_t)(number >> (56 - 8 * i));
	if ((md = EVP_MD_CTX_new()) == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(md, be, sizeof(be)) != 1 || EVP_DigestUpdate(md, payload, len) != 1 ||
	    EVP_DigestFinal_ex(md, call->req_sha256, NULL) != 1)
		KMN_BUG("SHA-256 fails");
	EVP_MD_CTX_free(md);
	return call;
}

void
kmn_call_free(struct kmn_call_state *call)
{
	if (call == NULL)
		return;
	if (call->waits_for > 0)
		TAILQ_REMOVE(&call->keeper->durable, call, durable);
	kmn_hold_forget(call);
	kmn_turn_forget(call);
	kmn_slots_forget_call(call);
	kmn_objects_forget_call(call);
	kmn_branch_forget(call->instance, call);
	kmn_call_leave_turn(call);
	kmn_salts_forget(call);
	json_decref(call->intent);
	free(call->sealed_text);
	kmn_attached_clear(&call->attached);
	if (call->joined != NULL)
		OPENSSL_clear_free(call->joined, KMN_KEEPER_SPOOL_MAX);
	if (call->reply != NULL)
		OPENSSL_cleanse(call->reply, call->reply_len);
	free(call->reply);
	OPENSSL_cleanse(call->bytes, call->len);
	free(call->bytes);
	OPENSSL_cleanse(call, sizeof(*call));
	free(call);
}

void
kmn_call_add_undecided(const struct kmn_call_state *call, json_t *open)
{
	json_t *ref = kmn_ref_json(&call->request);

	(void)json_object_set_new(ref, "state", json_string("unknown"));
	(void)json_array_append_new(open, ref);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

/* A caller that sees CKR_DEVICE_ERROR must be able to find out what closed the token, and the way out. */
static void
refuse_closed(struct kmn_call_state *call)
{
	bool denied = call->durability == 'A' && call->intent != NULL && call->told_by == KMN_R_UNKNOWN;

	kmn_gatelink_refuse(call->keeper, call->conn, call->number, call->why, denied ? call->request.i : UINT64_MAX,
	    call->verdict.reason);
	call->conn = NULL;
}

/* K2: the only way of a reply to the gate. */
void
kmn_call_answer(struct kmn_call_state *call)
{
	struct kmn_keeper *k = call->keeper;
	struct kmn_writer w;

	if (call->step != KMN_STEP_DONE)
		KMN_BUG("an answer before its record");
	if (call->conn == NULL) {
		if (call->parked)
			kmn_hold_ready(call);
		return;
	}
	if (call->why == KMN_E_STALE) {
		refuse_closed(call);
		return;
	}
	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u64(&w, call->number);
	if (kmn_receipts_put_answer(call, &w) != KMN_OK) {
		/* Without its proof the answer would be refused, and for another reason than the true one. */
		kmn_writer_clear(&w);
		kmn_gatelink_refuse(k, call->conn, call->number, KMN_E_LEDGER, UINT64_MAX, "no receipt can be made");
		call->conn = NULL;
		return;
	}
	kmn_writer_raw(&w, call->reply, call->reply_len);
	kmn_gatelink_send(k, call->conn, KMN_F_REPLY, &w);
	call->conn = NULL;
}

static void
release(struct kmn_call_state *call)
{
	call->step = KMN_STEP_DONE;
	/* The request may have carried a PIN: from here on only its outcome is needed. */
	OPENSSL_cleanse(call->bytes, call->len);
	if (call->instance->receipts == KMN_RECEIPTS_OFF)
		kmn_salts_forget(call); /* nobody will ask for them */
	kmn_call_answer(call);
	kmn_call_leave_turn(call);
}

void
kmn_call_finish(struct kmn_call_state *call, uint8_t *reply, size_t len)
{
	kmn_turn_leave(call);
	if (call->keeper->unrecorded && call->durability != 'C') {
		/* What it is cannot be written down, so it is not told (K2). */
		OPENSSL_cleanse(reply, len);
		free(reply);
		call->durability = 'C';
		call->told_by = KMN_R_UNKNOWN;
		if (kmn_call_reply_error(call, kmn_reason_end(call, KMN_E_LEDGER), &reply, &len) != KMN_OK)
			KMN_BUG("out of memory");
	}
	call->reply = reply;
	call->reply_len = len;
	call->step = KMN_STEP_RELEASE;
	if (call->durability == 'C')
		release(call);
	else
		kmn_keeper_when_durable(call, release);
}

void
kmn_call_lost(struct kmn_call_state *call, kmn_err reason)
{
	if (call->waits_for > 0)
		TAILQ_REMOVE(&call->keeper->durable, call, durable);
	call->waits_for = 0;
	call->told_by = KMN_R_UNKNOWN;
	kmn_objects_forget_call(call);
	kmn_turn_forget(call);
	if (call->reply != NULL)
		OPENSSL_cleanse(call->reply, call->reply_len);
	free(call->reply);
	call->reply = NULL;
	call->operation = NULL;
	call->data = NULL; /* may be a view into the spool */
	call->data_len = 0;
	kmn_call_finish_rv(call, kmn_reason_end(call, reason));
}

kmn_err
kmn_call_reply_error(const struct kmn_call_state *call, CK_RV rv, uint8_t **reply_out, size_t *len_out)
{
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_response_put_error(call->view.id, rv, &w);
	e = kmn_writer_take(&w, reply_out, len_out);
	kmn_writer_clear(&w);
	return e;
}

void
kmn_call_finish_rv(struct kmn_call_state *call, CK_RV rv)
{
	uint8_t *reply;
	size_t len;

	if (kmn_call_reply_error(call, rv, &reply, &len) != KMN_OK)
		KMN_BUG("out of memory");
	kmn_call_finish(call, reply, len);
}

bool
kmn_call_lost_operation(const struct kmn_call_state *call)
{
	return call->operation_serial != 0 &&
	       (call->operation == NULL || call->operation->serial != call->operation_serial);
}

void
kmn_call_count(struct kmn_call_state *call)
{
	if (call->conn != NULL)
		call->conn->counts[call->view.id]++;
}
