/*
 * What people and clients hand in by the kanmon tool: votes, content, a request's end, cosignatures, rows of the HSM's
 * log. Nothing here decides: a signed note is judged by the quorum's own rules, whoever brings it.
 */
#include "config.h"

#include "server/keeper/admin.h"

#include "kanmon/say.h"
#include "kanmon/witness.h"

#include <string.h>

void
kmn_admin_vote(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	const uint8_t *note;
	size_t len = kmn_reader_bytes(r, KMN_ADMIN_NOTE_MAX_BYTES, &note);
	struct kmn_why why = {""};
	json_t *answer;
	kmn_err e = kmn_reader_end(r);

	if (e == KMN_OK)
		e = kmn_note_take(k, conn->peer->name, (const char *)note, len, &answer, &why);
	if (e == KMN_OK)
		kmn_admin_answer_when_durable(k, conn, answer);
	else
		kmn_admin_refuse(k, conn, e, why.text[0] != '\0' ? why.text : kmn_err_text(e));
}

void
kmn_admin_attach(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	uint64_t id;
	kmn_err e = kmn_attach_request(k, conn, r, &id, &why);

	if (e != KMN_OK)
		kmn_admin_refuse(k, conn, e, why.text[0] != '\0' ? why.text : kmn_err_text(e));
	else
		kmn_admin_answer_when_durable(k, conn,
		    json_pack("{s:I, s:s}", "request", (json_int_t)id, "state",
			kmn_admin_state(k, kmn_quorum_request(k->quorum, id))));
}

void
kmn_admin_attach_next(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	kmn_err e = kmn_attach_next(k, conn, r, &why);

	if (e != KMN_OK)
		kmn_admin_refuse(k, conn, e, why.text[0] != '\0' ? why.text : kmn_err_text(e));
	else
		kmn_admin_answer(k, conn, json_object());
}

bool
kmn_admin_may_withdraw(const struct kmn_request *request)
{
	return request->state == KMN_REQUEST_OPEN || request->state == KMN_REQUEST_OFFERED ||
	       request->state == KMN_REQUEST_WINDOW;
}

void
kmn_admin_withdraw(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	uint64_t id = kmn_reader_u64(r);
	const struct kmn_request *request = kmn_quorum_request(k->quorum, id);
	char reason[512];

	kmn_reader_text(r, reason, sizeof(reason));
	if (kmn_reader_end(r) != KMN_OK) {
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
	} else if (request == NULL || !request->held ||
		   memcmp(request->client_spki_sha256, conn->spki_sha256, KMN_HASH_BYTES) != 0) {
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND, "no such request of this client: only who asked withdraws");
	} else if (!kmn_admin_may_withdraw(request)) {
		kmn_admin_refuse(k, conn, KMN_E_DENIED, "the request has ended or runs already");
	} else {
		kmn_say(KMN_SAY_INFO, "request %llu: withdrawn by %s: %s", (unsigned long long)id, conn->peer->name,
		    reason);
		if (kmn_hold_end(k, id, "withdrawn") == KMN_OK)
			kmn_admin_answer_when_durable(
			    k, conn, json_pack("{s:I, s:s}", "request", (json_int_t)id, "state", "withdrawn"));
	}
}

/* ---- cosignatures --------------------------------------------------------------------------------------------------- */

void
kmn_admin_cosign(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	struct kmn_head head;
	struct kmn_ref ref;
	const uint8_t *note;
	size_t len = kmn_reader_bytes(r, KMN_ADMIN_NOTE_MAX_BYTES, &note), count;
	json_t *lines;
	kmn_err e;

	if ((e = kmn_reader_end(r)) != KMN_OK ||
	    (e = kmn_witness_import(k, (const char *)note, len, &lines, &head, &why)) != KMN_OK) {
		kmn_admin_refuse(k, conn, e, why.text[0] != '\0' ? why.text : kmn_err_text(e));
		return;
	}
	count = json_array_size(lines);
	if (kmn_keeper_append(k, KMN_R_COSIGN, kmn_cosign_body(&head, lines), &ref) == KMN_OK)
		kmn_admin_answer_when_durable(
		    k, conn, json_pack("{s:I, s:I}", "record", (json_int_t)ref.i, "lines", (json_int_t)count));
}

/* ---- the HSM's own log ---------------------------------------------------------------------------------------------- */

void
kmn_admin_hsm_log(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_ref ref;
	uint64_t unmatched;
	json_t *body;
	kmn_err e = kmn_hsm_log_read(k, r, &body);

	if (e != KMN_OK) {
		kmn_admin_refuse(k, conn, e, "rows of an HSM's log, a form, or what they matched, that cannot be");
		return;
	}
	if (!kmn_json_get_number(body, "unmatched", &unmatched))
		unmatched = 0;
	if (kmn_keeper_append(k, KMN_R_HSM_LOG, body, &ref) == KMN_OK)
		kmn_admin_answer_when_durable(
		    k, conn, json_pack("{s:I, s:I}", "record", (json_int_t)ref.i, "unmatched", (json_int_t)unmatched));
}
