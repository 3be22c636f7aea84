/*
 * Receipts: what the ledger proves to a client (docs/receipts.md). Of each
 * connection the last head that it got is kept; the next one comes with the
 * proof that it continues that. A head is signed once, however many answers
 * it serves.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/receipt.h"
#include "kanmon/say.h"

#define NO_REQUEST UINT64_MAX

/* ---- heads ----------------------------------------------------------------------------------------------------- */

/* The note of the durable head: signed when it is asked for, and kept until there is a larger one. */
static kmn_err
sign_head(struct kmn_keeper *k)
{
	struct kmn_head durable;
	size_t len;
	char *note;
	kmn_err e;

	kmn_log_durable(k->log, &durable);
	if (k->signed_note != NULL && k->signed_head.size == durable.size)
		return KMN_OK;
	if ((e = kmn_log_checkpoint(k->log, &durable, &note, &len)) != KMN_OK)
		return e;
	kmn_receipts_clear(k);
	k->signed_note = note;
	k->signed_note_len = len;
	k->signed_head = durable;
	return KMN_OK;
}

void
kmn_receipts_clear(struct kmn_keeper *k)
{
	free(k->signed_note);
	k->signed_note = NULL;
	k->signed_head.size = 0;
}

/* Size, and what the connection does not have yet: note and consistency. */
static kmn_err
put_head(struct kmn_keeper *k, const struct kmn_conn *conn, struct kmn_receipt *receipt)
{
	kmn_err e = sign_head(k);

	if (e != KMN_OK)
		return e;
	receipt->size = k->signed_head.size;
	if (conn->sent.size == receipt->size)
		return KMN_OK;
	receipt->note = k->signed_note;
	receipt->note_len = k->signed_note_len;
	if (conn->sent.size == 0 || conn->sent.size > receipt->size)
		return KMN_OK;
	receipt->has_consistency = true;
	receipt->from = conn->sent.size;
	return kmn_log_consistency(k->log, receipt->from, receipt->size, &receipt->consistency);
}

/* As bytes of a frame. */
static void
put_receipt(const struct kmn_receipt *receipt, struct kmn_writer *w)
{
	size_t place = kmn_writer_hole_u32(w);

	kmn_receipt_put(receipt, w);
	if (w->err == KMN_OK)
		kmn_writer_patch_u32(w, place, (uint32_t)(w->len - place - sizeof(uint32_t)));
}

kmn_err
kmn_receipts_put_head(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_writer *w)
{
	struct kmn_receipt receipt = {.line = NULL};
	kmn_err e;

	if (conn->instance->receipts == KMN_RECEIPTS_OFF) {
		kmn_writer_bytes(w, NULL, 0);
		return w->err;
	}
	/* Its checkpoint always, even one that the client has: it says that this is where the ledger stands. */
	if ((e = put_head(k, conn, &receipt)) != KMN_OK)
		return e;
	receipt.note = k->signed_note;
	receipt.note_len = k->signed_note_len;
	put_receipt(&receipt, w);
	if (w->err == KMN_OK)
		conn->sent = k->signed_head;
	return w->err;
}

void
kmn_receipts_prove(struct kmn_keeper *k, const struct kmn_conn *conn, uint64_t from, uint64_t to)
{
	struct kmn_path path;
	struct kmn_head durable;
	struct kmn_writer w;

	kmn_log_durable(k->log, &durable);
	if (from == 0 || from > to || to > durable.size || kmn_log_consistency(k->log, from, to, &path) != KMN_OK) {
		kmn_gatelink_refuse(k, conn, 0, KMN_E_NOT_FOUND, NO_REQUEST, "no such two heads");
		return;
	}
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u64(&w, from);
	kmn_writer_u64(&w, to);
	kmn_writer_bytes(&w, path.hash, path.count * KMN_HASH_BYTES);
	kmn_gatelink_send(k, conn, KMN_F_PROVEN, &w);
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

/* The outcome's line, and those that it names. */
static kmn_err
read_lines(const struct kmn_call_state *call, char *line[3], struct kmn_receipt *receipt)
{
	struct kmn_log *log = call->keeper->log;
	size_t len[3] = {0};
	kmn_err e = kmn_log_line(log, call->outcome.i, &line[0], &len[0]);

	if (e == KMN_OK && (call->told_by == KMN_R_RESULT || call->told_by == KMN_R_REDELIVERY))
		e = kmn_log_line(log, call->request.i, &line[1], &len[1]);
	if (e == KMN_OK && call->told_by == KMN_R_REDELIVERY)
		e = kmn_log_line(log, call->again.i, &line[2], &len[2]);
	receipt->line = line[0];
	receipt->line_len = len[0];
	receipt->request = line[1];
	receipt->request_len = len[1];
	receipt->result = line[2];
	receipt->result_len = len[2];
	return e;
}

static void
put_openings(const struct kmn_call_state *call, struct kmn_receipt *receipt)
{
	static const char *const fields[KMN_SALTS] = {"in", "out"};

	for (size_t i = 0; call->salts != NULL && i < KMN_SALTS; i++)
		if (call->salts->drawn[i])
			receipt->opening[receipt->opening_count++] = (struct kmn_opening){
			    .field = fields[i], .field_len = strlen(fields[i]), .salt = call->salts->salt[i]};
}

kmn_err
kmn_receipts_put_answer(const struct kmn_call_state *call, struct kmn_writer *w)
{
	struct kmn_keeper *k = call->keeper;
	struct kmn_receipt receipt = {.line = NULL};
	char *line[3] = {NULL};
	kmn_err e;

	if (call->told_by == KMN_R_UNKNOWN || call->instance->receipts == KMN_RECEIPTS_OFF) {
		kmn_writer_bytes(w, NULL, 0);
		return w->err;
	}
	if ((e = put_head(k, call->conn, &receipt)) == KMN_OK && (e = read_lines(call, line, &receipt)) == KMN_OK &&
	    (e = kmn_log_inclusion(k->log, call->outcome.i, receipt.size, &receipt.path)) == KMN_OK) {
		put_openings(call, &receipt);
		put_receipt(&receipt, w);
		e = w->err;
	}
	if (e == KMN_OK) {
		call->conn->sent = k->signed_head;
		kmn_complaint_note(call);
	} else {
		kmn_say(KMN_SAY_ERROR, "record %" PRIu64 " has no receipt: %s", call->outcome.i, kmn_err_text(e));
	}
	for (size_t i = 0; i < KMN_COUNT_OF(line); i++)
		free(line[i]);
	return e;
}
