/* A held call that ran, and whose answer was lost: the recorded bytes are handed out again, and the HSM is not asked. */
#include "config.h"

#include "server/keeper/state.h"

#include <stdlib.h>
#include <string.h>

static bool
was_delivered(const struct kmn_keeper *k, uint64_t request)
{
	for (size_t i = 0; i < KMN_COUNT_OF(k->delivered); i++)
		if (k->delivered[i] == request + 1)
			return true;
	return false;
}

/* The client has acknowledged the answer of this call: the same call made again is a new one. */
void
kmn_hold_delivered(struct kmn_keeper *k, const struct kmn_call_state *call)
{
	if (call->parked || call->handed)
		k->delivered[k->delivered_next++ % KMN_COUNT_OF(k->delivered)] = call->request.i + 1;
}

const struct kmn_request *
kmn_hold_find_undelivered(struct kmn_call_state *call, const uint8_t operation[KMN_HASH_BYTES])
{
	const struct kmn_request *r = NULL;

	if ((call->view.call->operations & KMN_SIGN_OPERATIONS) == 0)
		return NULL; /* handles and plaintexts belong to the process that got them */
	while ((r = kmn_quorum_next(call->keeper->quorum, r, true)) != NULL)
		if (r->state == KMN_REQUEST_DONE && r->held && kmn_keeper_now_ms() < r->not_after &&
		    memcmp(r->operation, operation, KMN_HASH_BYTES) == 0 &&
		    memcmp(r->client_spki_sha256, call->instance->spki_sha256, KMN_HASH_BYTES) == 0 &&
		    !was_delivered(call->keeper, r->i))
			return r;
	return NULL;
}

/* The signature that a result record holds. */
static kmn_err
recorded_signature(struct kmn_keeper *k, const struct kmn_request *request, struct kmn_ref *ref, uint8_t *out,
    size_t max, size_t *len_out)
{
	struct kmn_record record;
	const char *b64;
	char *line;
	size_t len;
	kmn_err e;

	if ((e = kmn_log_line(k->log, request->result_i, &line, &len)) != KMN_OK)
		return e;
	if ((e = kmn_record_parse(line, len, &record, NULL)) != KMN_OK) {
		free(line);
		return e;
	}
	*ref = (struct kmn_ref){.i = record.i};
	memcpy(ref->leaf, record.leaf, sizeof(ref->leaf));
	if (!kmn_json_get_text(json_object_get(record.body, "out"), "b64", &b64))
		e = KMN_E_NOT_FOUND;
	else
		e = kmn_b64_parse(b64, strlen(b64), out, max, len_out);
	kmn_record_clear(&record);
	free(line);
	return e;
}

static kmn_err
append_redelivery(
    struct kmn_call_state *call, const struct kmn_ref *result, CK_RV rv, const uint8_t *reply, size_t reply_len)
{
	char storage[32];

	kmn_sha256(reply, reply_len, call->resp_sha256);
	call->again = *result;
	call->told_by = KMN_R_REDELIVERY;
	return kmn_keeper_append(call->keeper, KMN_R_REDELIVERY,
	    json_pack("{s:o, s:I, s:I, s:I, s:o, s:I, s:s, s:o}", "result", kmn_ref_json(result), "chan",
		(json_int_t)call->chan, "sess", kmn_record_number(call->session_handle), "seq",
		(json_int_t)call->number, "req_sha256", kmn_json_b64(call->req_sha256, KMN_HASH_BYTES), "rv",
		(json_int_t)rv, "rv_name", kmn_record_rv_name(rv, storage), "resp_sha256",
		kmn_json_b64(call->resp_sha256, KMN_HASH_BYTES)),
	    &call->outcome);
}

bool
kmn_hold_redeliver(struct kmn_call_state *call, const struct kmn_request *request)
{
	const struct kmn_value *room = kmn_view_room(&call->view);
	uint8_t signature[KMN_KEY_SPKI_MAX_BYTES], *reply;
	struct kmn_writer w;
	struct kmn_ref ref;
	size_t len, reply_len;
	kmn_err e;

	if (recorded_signature(call->keeper, request, &ref, signature, sizeof(signature), &len) != KMN_OK)
		return false;
	call->request.i = request->i;
	memcpy(call->request.leaf, request->leaf, sizeof(call->request.leaf));
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES + sizeof(signature));
	kmn_response_put_bytes(call->view.id, signature, len, room->number, &w);
	e = kmn_writer_take(&w, &reply, &reply_len);
	kmn_writer_clear(&w);
	if (e == KMN_OK)
		e = append_redelivery(
		    call, &ref, len <= room->number ? CKR_OK : CKR_BUFFER_TOO_SMALL, reply, reply_len);
	if (e != KMN_OK) {
		free(reply);
		return true;
	}
	call->handed = len <= room->number;
	if (call->handed)
		kmn_call_drop_side(call);
	kmn_call_finish(call, reply, reply_len);
	return true;
}
