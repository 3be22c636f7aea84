/*
 * Requests that a client makes ahead of its call. What its intent says of the key and the token is asked of the HSM by
 * a worker of the house, one question after the other; the connection waits.
 */
#include "config.h"

#include "server/keeper/admin.h"

#include "kanmon/say.h"
#include "kanmon/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP_BYTES 2 /* the question's number, before its fields: hashed with them */

struct kmn_ahead {
	char rule[KMN_POLICY_NAME_MAX_BYTES + 1]; /* a window of it; "": one signature */
	char token[64], label[KMN_KEY_LABEL_MAX_BYTES], mechanism[64], purpose[512];
	uint8_t id[KMN_KEY_ID_MAX_BYTES], nonce[KMN_HASH_BYTES], req_sha256[KMN_HASH_BYTES];
	size_t id_len, data_len;
	uint8_t *data;                /* owned */
	struct kmn_attached attached; /* beside the data; owned */
	uint32_t lifetime_s;
	unsigned module; /* that is asked for the key */
	bool not_ready;  /* one of them could not be asked */
	struct kmn_key_facts key;
};

void
kmn_ahead_free(struct kmn_ahead *ahead)
{
	if (ahead == NULL)
		return;
	free(ahead->data);
	kmn_attached_clear(&ahead->attached);
	free(ahead);
}

static void
fail_ahead(struct kmn_admin_wait *wait, kmn_err error, const char *reason)
{
	kmn_admin_refuse(wait->keeper, wait->conn, error, reason);
	kmn_admin_wait_free(wait);
}

/* What is to be done: a signature over the data. */
static kmn_err
put_signature(struct kmn_admin_wait *wait, json_t *body)
{
	struct kmn_mech_view mech = {.form = KMN_MECH_BARE};
	struct kmn_norm norm;
	kmn_err e;

	if (!kmn_mechanism_of(wait->ahead->mechanism, &mech.type))
		return KMN_E_NOT_FOUND;
	if ((e = kmn_operation_normalise(mech.type, NULL, wait->ahead->data, wait->ahead->data_len, &norm)) != KMN_OK)
		return e;
	return json_object_update_new(body,
		   json_pack("{s:s, s:o, s:o, s:o}", "op", "C_Sign", "mech", kmn_ledger_mechanism(&mech), "in",
		       kmn_ledger_digest(wait->ahead->data, wait->ahead->data_len), "norm", kmn_norm_json(&norm))) == 0
		   ? KMN_OK
		   : KMN_E_NO_MEMORY;
}

static kmn_err
ahead_body(struct kmn_admin_wait *wait, const struct kmn_token *token, json_t **body_out)
{
	const struct kmn_conn *conn = wait->conn;
	kmn_err e = KMN_OK;
	json_t *body;

	*body_out = NULL;
	wait->ahead->key.class = CKO_PRIVATE_KEY; /* what will be used; its public half is what was found */
	body = json_pack("{s:I, s:i, s:I, s:{}, s:o, s:o, s:o, s:{s:o, s:s}, s:I}", "chan", (json_int_t)conn->chan,
	    "sess", 0, "seq", (json_int_t)conn->admin_calls, "mech", "key", kmn_record_key(&wait->ahead->key, token),
	    "req_sha256", kmn_json_b64(wait->ahead->req_sha256, KMN_HASH_BYTES), "nonce_req",
	    kmn_json_b64(wait->ahead->nonce, KMN_HASH_BYTES), "requester", "spki_sha256",
	    kmn_json_b64(conn->spki_sha256, KMN_HASH_BYTES), "name", conn->peer->name, "expires", (json_int_t)0);
	if (body == NULL)
		return KMN_E_NO_MEMORY;
	if (wait->ahead->rule[0] != '\0')
		kmn_window_put(wait->keeper, wait->ahead->rule, body);
	else
		e = put_signature(wait, body);
	if (e != KMN_OK) {
		json_decref(body);
		return e;
	}
	if (wait->ahead->purpose[0] != '\0' &&
	    json_object_set_new(body, "purpose", kmn_json_label(wait->ahead->purpose, strlen(wait->ahead->purpose))) !=
		0)
		KMN_BUG("out of memory");
	if (kmn_attached_to_json(&wait->ahead->attached, body) != KMN_OK)
		KMN_BUG("out of memory");
	*body_out = body;
	return KMN_OK;
}

/* Why no request can be made of it; NULL: it can. */
static const char *
refuses_ahead(const struct kmn_ahead *ahead, const struct kmn_verdict *verdict)
{
	if (verdict->answer == KMN_ANSWER_HELD)
		return verdict->per == KMN_PER_WINDOW && ahead->rule[0] == '\0'
			   ? "the rule gives a window: kanmon request new --window RULE"
			   : NULL;
	return verdict->answer == KMN_ANSWER_FREE ? "no rule asks for an approval of this: the call runs without"
						  : verdict->reason;
}

/* Judges it and says until when it stands. False: it was refused. */
static bool
judge_ahead(struct kmn_admin_wait *wait, json_t *body, struct kmn_verdict *verdict)
{
	const struct kmn_ahead *ahead = wait->ahead;
	const struct kmn_material material = {
	    ahead->data, ahead->data_len, ahead->attached.econtent, ahead->attached.econtent_len};
	struct kmn_keeper *k = wait->keeper;
	struct kmn_why why = {""};
	const char *reason;
	uint32_t lifetime;

	if (kmn_policy_judge_intent(kmn_keeper_policy(k), body, &material, kmn_keeper_now_ms(), verdict) != KMN_OK)
		KMN_BUG("an intent that cannot be judged");
	if ((reason = refuses_ahead(ahead, verdict)) != NULL) {
		fail_ahead(wait, KMN_E_DENIED, reason);
		return false;
	}
	lifetime = verdict->lifetime_s > 0 ? verdict->lifetime_s : k->setup->request_lifetime_s;
	if (ahead->lifetime_s > 0 && ahead->lifetime_s < lifetime)
		lifetime = ahead->lifetime_s;
	if (json_object_set_new(body, "expires", json_integer(kmn_clock_record_ms(k) + 1000 * (int64_t)lifetime)) != 0)
		KMN_BUG("out of memory");
	if (!kmn_record_fits(body) || !kmn_hold_has_room(k, wait->conn->spki_sha256)) {
		fail_ahead(wait, KMN_E_BUSY, "too many open requests, or too long a request");
		return false;
	}
	if (kmn_quorum_check_instructed(k->quorum, body, (uint64_t)kmn_clock_record_ms(k), &why) != KMN_OK) {
		fail_ahead(wait, KMN_E_DENIED, why.text);
		return false;
	}
	return true;
}

/* What people will be shown is kept; false: the ledger takes nothing any more. */
static bool
keep_ahead(struct kmn_keeper *k, const struct kmn_ahead *ahead)
{
	uint8_t sha256[KMN_HASH_BYTES];

	if (kmn_record_keep_spki(k, &ahead->key) != KMN_OK)
		return false;
	if ((ahead->data == NULL || kmn_log_blob_put(k->log, ahead->data, ahead->data_len, sha256) == KMN_OK) &&
	    kmn_attach_keep(k, &ahead->attached) == KMN_OK)
		return true;
	kmn_keeper_ledger_lost(k, "what is to be approved cannot be kept");
	return false;
}

/* Judges and records the request; its statement comes when the intent is durable, as with a call. Takes `body`. */
static void
open_ahead(struct kmn_admin_wait *wait, json_t *body)
{
	struct kmn_keeper *k = wait->keeper;
	struct kmn_verdict verdict;
	struct kmn_ref ref;

	if (!judge_ahead(wait, body, &verdict)) {
		json_decref(body);
		return;
	}
	if (!keep_ahead(k, wait->ahead) || kmn_keeper_append(k, KMN_R_INTENT, body, &ref) != KMN_OK)
		return;
	k->statements_due++;
	kmn_say(KMN_SAY_INFO, "request %llu: made ahead by %s under rule %s%s", (unsigned long long)ref.i,
	    wait->conn->peer->name, verdict.rule, wait->ahead->rule[0] != '\0' ? ", for its window" : "");
	kmn_admin_wait_for_ledger(wait, json_pack("{s:I}", "id", (json_int_t)ref.i));
}

static void
ahead_token(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_admin_wait *wait = cookie;
	struct kmn_token token = {0};
	json_t *body;
	kmn_err e;

	if (wait->conn == NULL) {
		kmn_admin_wait_free(wait);
		return;
	}
	if (r == NULL || !kmn_token_read(r, kmn_token_module(k, wait->ahead->module), &token)) {
		fail_ahead(wait, KMN_E_WORKER, "the HSM does not say which token that is");
		return;
	}
	if ((e = ahead_body(wait, &token, &body)) != KMN_OK)
		fail_ahead(wait, e,
		    e == KMN_E_NOT_FOUND
			? "mechanism: not one that signs data by itself (CKM_SHA256_RSA_PKCS, CKM_ECDSA_SHA384..)"
			: kmn_err_text(e));
	else
		open_ahead(wait, body);
}

static void ahead_key(struct kmn_keeper *k, void *cookie, struct kmn_reader *r);

static kmn_err
ask_house(struct kmn_admin_wait *wait)
{
	struct kmn_keeper *k = wait->keeper;
	struct kmn_worker **house = &k->house[wait->ahead->module];
	struct kmn_writer w;
	kmn_err e;

	if (*house == NULL)
		*house = kmn_worker_new(k, KMN_WORKER_HOUSE, wait->ahead->module, NULL);
	kmn_writer_init(&w, 1024);
	kmn_writer_text(&w, wait->ahead->token);
	kmn_writer_text(&w, wait->ahead->label);
	kmn_writer_bytes(&w, wait->ahead->id, wait->ahead->id_len);
	e = w.err;
	if (e == KMN_OK)
		e = kmn_worker_ask(k, *house, KMN_W_FIND_KEY, w.bytes, w.len, ahead_key, wait);
	kmn_writer_clear(&w);
	return e;
}

/* Asks one module after the other for the key, from wait->ahead->module on; what is not ready is passed over. */
static void
find_ahead(struct kmn_admin_wait *wait)
{
	for (; wait->ahead->module < wait->keeper->setup->module_count; wait->ahead->module++) {
		if (ask_house(wait) == KMN_OK)
			return;
		wait->ahead->not_ready = true;
	}
	fail_ahead(wait, wait->ahead->not_ready ? KMN_E_WORKER : KMN_E_NOT_FOUND,
	    wait->ahead->not_ready ? "the HSM module is not ready: try again"
				   : "no public key with that label and id is on that token");
}

static void
ahead_key(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_admin_wait *wait = cookie;
	struct kmn_writer w;
	bool found = false;

	if (wait->conn == NULL) {
		kmn_admin_wait_free(wait);
		return;
	}
	if (r != NULL && kmn_reader_u64(r) == CKR_OK) {
		kmn_key_facts_get(r, &wait->ahead->key);
		found = kmn_reader_end(r) == KMN_OK && wait->ahead->key.spki_len > 0;
	}
	if (!found) {
		wait->ahead->module++;
		find_ahead(wait);
		return;
	}
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, wait->ahead->key.slot);
	if (w.err != KMN_OK ||
	    kmn_worker_ask(k, k->house[wait->ahead->module], KMN_W_TOKEN, w.bytes, w.len, ahead_token, wait) != KMN_OK)
		fail_ahead(wait, KMN_E_WORKER, "the HSM module is not ready: try again");
	kmn_writer_clear(&w);
}

static void
read_ahead(struct kmn_ahead *a, struct kmn_reader *r)
{
	struct kmn_why why;
	const uint8_t *id, *data;

	kmn_reader_text(r, a->token, sizeof(a->token));
	kmn_reader_text(r, a->label, sizeof(a->label));
	a->id_len = kmn_reader_bytes(r, sizeof(a->id), &id);
	if (a->id_len > 0)
		memcpy(a->id, id, a->id_len);
	kmn_reader_text(r, a->mechanism, sizeof(a->mechanism));
	a->data_len = kmn_reader_bytes(r, KMN_ADMIN_DATA_MAX_BYTES, &data);
	kmn_reader_text(r, a->purpose, sizeof(a->purpose));
	a->lifetime_s = kmn_reader_u32(r);
	kmn_reader_raw(r, a->nonce, sizeof(a->nonce));
	kmn_attached_get(r, &a->attached);
	if (kmn_reader_end(r) != KMN_OK)
		return;
	if (kmn_attach_is_lookalike(a->attached.application, &why) || a->attached.data != NULL || a->data_len == 0 ||
	    (a->data = malloc(a->data_len)) == NULL)
		kmn_reader_fail(r, KMN_E_ARGUMENTS);
	else
		memcpy(a->data, data, a->data_len);
}

static void
read_window(struct kmn_ahead *a, struct kmn_reader *r)
{
	const uint8_t *id;

	kmn_reader_text(r, a->rule, sizeof(a->rule));
	kmn_reader_text(r, a->token, sizeof(a->token));
	kmn_reader_text(r, a->label, sizeof(a->label));
	a->id_len = kmn_reader_bytes(r, sizeof(a->id), &id);
	if (a->id_len > 0)
		memcpy(a->id, id, a->id_len);
	kmn_reader_text(r, a->purpose, sizeof(a->purpose));
	a->lifetime_s = kmn_reader_u32(r);
	kmn_reader_raw(r, a->nonce, sizeof(a->nonce));
	if (r->err == KMN_OK && r->at < r->end)
		(void)snprintf(a->attached.application, sizeof(a->attached.application), "action %llu",
		    (unsigned long long)kmn_reader_u64(r));
	if (kmn_reader_end(r) == KMN_OK && a->rule[0] == '\0')
		kmn_reader_fail(r, KMN_E_ARGUMENTS);
}

static struct kmn_admin_wait *
begin_ahead(struct kmn_keeper *k, struct kmn_conn *conn, const struct kmn_reader *r)
{
	struct kmn_admin_wait *wait = kmn_admin_wait_new(k, conn);

	if ((wait->ahead = calloc(1, sizeof(*wait->ahead))) == NULL)
		KMN_BUG("out of memory");
	kmn_sha256(r->at - OP_BYTES, (size_t)(r->end - r->at) + OP_BYTES, wait->ahead->req_sha256);
	return wait;
}

static void
make_ahead(struct kmn_admin_wait *wait, const struct kmn_reader *r)
{
	if (r->err != KMN_OK)
		fail_ahead(wait, r->err, kmn_err_text(r->err));
	else if (!kmn_hold_has_room(wait->keeper, wait->conn->spki_sha256))
		fail_ahead(wait, KMN_E_BUSY, "too many open requests: let some be decided or withdraw them");
	else
		find_ahead(wait);
}

void
kmn_admin_request_new(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_admin_wait *wait = begin_ahead(k, conn, r);

	read_ahead(wait->ahead, r);
	make_ahead(wait, r);
}

void
kmn_admin_window_new(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_admin_wait *wait = begin_ahead(k, conn, r);

	read_window(wait->ahead, r);
	make_ahead(wait, r);
}
