/*
 * What the kanmon tool asks (admin.h). Clients see and make their own
 * requests; terminals see all and hand in what people signed. Nothing here
 * decides: a signed note is judged by the quorum's own rules, whoever brings it.
 */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#include "kanmon/admin.h"
#include "kanmon/say.h"
#include "kanmon/view.h"
#include "kanmon/witness.h"
#include "server/keeper/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A question that cannot be answered at once. */
struct kmn_admin_wait {
	TAILQ_ENTRY(kmn_admin_wait) link;
	struct kmn_keeper *keeper;
	struct kmn_conn *conn; /* NULL: it went away */
	size_t waits_for;      /* ledger size, 0: something else */
	json_t *answer;        /* to be sent then; owned */
	uint64_t request;      /* to be advanced then, or UINT64_MAX */
	/* of a request made ahead */
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

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static void
send_answer(struct kmn_keeper *k, struct kmn_conn *conn, kmn_err error, const char *text, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u32(&w, (uint32_t)error);
	kmn_writer_bytes(&w, text, len);
	kmn_gatelink_send(k, conn, KMN_F_ADMIN_REPLY, &w);
}

void
kmn_admin_refuse(struct kmn_keeper *k, struct kmn_conn *conn, kmn_err error, const char *reason)
{
	if (conn != NULL)
		send_answer(k, conn, error, reason, strlen(reason));
}

static void
answer(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(value);
	if (text == NULL || strlen(text) > KMN_ADMIN_REPLY_MAX_BYTES)
		kmn_admin_refuse(k, conn, KMN_E_TOO_BIG, "the answer is longer than a frame: ask for less");
	else if (conn != NULL)
		send_answer(k, conn, KMN_OK, text, strlen(text));
	free(text);
}

void
kmn_admin_answer(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value)
{
	answer(k, conn, value);
}

static void
wait_free(struct kmn_admin_wait *wait)
{
	TAILQ_REMOVE(&wait->keeper->admin_waits, wait, link);
	json_decref(wait->answer);
	free(wait->data);
	kmn_attached_clear(&wait->attached);
	free(wait);
}

static struct kmn_admin_wait *
wait_new(struct kmn_keeper *k, struct kmn_conn *conn)
{
	struct kmn_admin_wait *wait = calloc(1, sizeof(*wait));

	if (wait == NULL)
		KMN_BUG("out of memory");
	wait->keeper = k;
	wait->conn = conn;
	wait->request = UINT64_MAX;
	TAILQ_INSERT_TAIL(&k->admin_waits, wait, link);
	return wait;
}

void
kmn_admin_conn_gone(struct kmn_keeper *k, const struct kmn_conn *conn)
{
	struct kmn_admin_wait *wait;

	TAILQ_FOREACH(wait, &k->admin_waits, link)
	if (wait->conn == conn)
		wait->conn = NULL;
}

void
kmn_admin_clear(struct kmn_keeper *k)
{
	struct kmn_admin_wait *wait = TAILQ_FIRST(&k->admin_waits), *next;

	for (; wait != NULL; wait = next) {
		next = TAILQ_NEXT(wait, link);
		wait_free(wait);
	}
}

/* Records are durable: what was promised on them may be said. */
void
kmn_admin_durable(struct kmn_keeper *k, size_t size)
{
	struct kmn_admin_wait *wait = TAILQ_FIRST(&k->admin_waits), *next;

	for (; wait != NULL; wait = next) {
		next = TAILQ_NEXT(wait, link);
		if (wait->waits_for == 0 || wait->waits_for > size)
			continue;
		answer(k, wait->conn, json_incref(wait->answer));
		wait_free(wait);
	}
}

static void
answer_when_durable(struct kmn_admin_wait *wait, json_t *value)
{
	wait->answer = value;
	wait->waits_for = kmn_log_size(wait->keeper->log);
}

void
kmn_admin_answer_when_durable(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value)
{
	answer_when_durable(wait_new(k, conn), value);
}

/* ---- requests as JSON ------------------------------------------------------------------------------------------- */

static json_t *
needs_json(const struct kmn_verdict *v)
{
	char text[512] = "";
	size_t n = 0;

	for (size_t i = 0; i < v->needs && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %u of %u", i > 0 ? " and " : "",
		    v->need[i].group, v->need[i].least, v->need[i].persons);
	return json_string(text);
}

static json_t *
names_json(const struct kmn_request *r, enum kmn_decision decision)
{
	json_t *names = json_array();

	for (size_t i = 0; i < r->vote_count; i++)
		if (r->votes[i].decision == decision)
			(void)json_array_append_new(names, json_string(r->votes[i].name));
	return names;
}

static const char *
state_name(struct kmn_keeper *k, const struct kmn_request *r)
{
	if (r == NULL)
		return "ended"; /* so long ago that it is not shown any more */
	if (r->state == KMN_REQUEST_OPEN && r->awaits)
		return "waits for its content";
	if (r->state == KMN_REQUEST_OPEN || r->state == KMN_REQUEST_OFFERED)
		return kmn_quorum_is_met(k->quorum, r, kmn_keeper_now_ms()) ? "approved" : "open";
	return kmn_request_state_name(r->state);
}

/* One line for a person who looks through a list: what is to be signed, or made. */
static json_t *
summary_json(const struct kmn_request *r)
{
	static const struct {
		const char *line, *word;
	} wanted[] = {
	    {"\nuser ", "login as"},
	    {"\ninput subject ", "subject"},
	    {"\ninput issuer ", "issuer"},
	    {"\ninput crl-number ", "crl-number"},
	    {"\ninput pPublicKeyTemplate.CKA_LABEL ", "label"},
	    {"\ninput pTemplate.CKA_LABEL ", "label"},
	};
	char text[400] = "";
	size_t n = 0;

	for (size_t i = 0; r->statement != NULL && i < KMN_COUNT_OF(wanted); i++) {
		const char *at = strstr(r->statement, wanted[i].line), *end;

		if (at == NULL || n >= sizeof(text) - 1)
			continue;
		at += strlen(wanted[i].line);
		end = strchr(at, '\n');
		n += (size_t)snprintf(
		    text + n, sizeof(text) - n, "%s%s %.*s", n > 0 ? ", " : "", wanted[i].word, (int)(end - at), at);
	}
	return kmn_json_label(text, strlen(text));
}

static void
put_text(json_t *object, const char *name, const json_t *from, const char *member)
{
	const char *text;

	if (!kmn_json_get_text(from, member, &text))
		text = "";
	if (json_object_set_new(object, name, json_string(text)) != 0)
		KMN_BUG("out of memory");
}

static json_t *
request_json(struct kmn_keeper *k, const struct kmn_request *r)
{
	json_t *o = json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:I}", "id", (json_int_t)r->i, "state",
	    state_name(k, r), "rule", r->verdict.rule, "need", needs_json(&r->verdict), "have",
	    names_json(r, KMN_APPROVE), "rejected_by", names_json(r, KMN_REJECT), "summary", summary_json(r), "created",
	    (json_int_t)r->t, "expires", (json_int_t)r->not_after);
	const char *kind = NULL;
	size_t len;

	if (o == NULL)
		KMN_BUG("out of memory");
	put_text(o, "client", json_object_get(r->intent, "requester"), "name");
	put_text(o, "op", r->intent, "op");
	put_text(o, "mech", json_object_get(r->intent, "mech"), "name");
	put_text(o, "key", json_object_get(r->intent, "key"), "label");
	put_text(o, "purpose", r->intent, "purpose");
	put_text(o, "application", json_object_get(r->intent, "application"), "id");
	if (r->statement != NULL && (kind = kmn_statement_value(r->statement, "input-kind", &len)) != NULL)
		(void)json_object_set_new(o, "input_kind", json_stringn(kind, len));
	if (r->window)
		(void)json_object_set_new(o, "window", kmn_window_answer(r));
	if (r->result_i != 0) {
		char storage[32];

		(void)json_object_set_new(o, "result", json_integer((json_int_t)r->result_i));
		(void)json_object_set_new(o, "rv", json_string(kmn_record_rv_name(r->rv, storage)));
	}
	return o;
}

/* A client's own requests, everybody's for a terminal. */
static bool
may_see(const struct kmn_conn *conn, const struct kmn_request *r)
{
	return conn->peer->terminal || memcmp(conn->spki_sha256, r->client_spki_sha256, KMN_HASH_BYTES) == 0;
}

static void
list(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	bool ended = kmn_reader_bool(r);
	const struct kmn_request *request = NULL;
	json_t *requests = json_array();

	if (kmn_reader_end(r) != KMN_OK) {
		json_decref(requests);
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
		return;
	}
	while ((request = kmn_quorum_next(k->quorum, request, ended)) != NULL)
		if (request->held && may_see(conn, request))
			(void)json_array_append_new(requests, request_json(k, request));
	answer(k, conn, json_pack("{s:o}", "requests", requests));
}

/* ---- one request in full, with what is needed to check it ------------------------------------------------------- */

static json_t *
path_json(struct kmn_keeper *k, uint64_t index, uint64_t size)
{
	json_t *path = json_array();
	struct kmn_path proof;

	if (index < size && kmn_log_inclusion(k->log, index, size, &proof) == KMN_OK)
		for (size_t i = 0; i < proof.count; i++)
			(void)json_array_append_new(path, kmn_json_b64(proof.hash[i], KMN_HASH_BYTES));
	return path;
}

static void
put_line(struct kmn_keeper *k, json_t *o, const char *name, uint64_t i, const uint8_t leaf[KMN_HASH_BYTES])
{
	char *line;
	size_t len;

	if (kmn_log_line(k->log, i, &line, &len) != KMN_OK)
		return;
	(void)json_object_set_new(o, name,
	    json_pack("{s:I, s:o, s:o}", "i", (json_int_t)i, "leaf", kmn_json_b64(leaf, KMN_HASH_BYTES), "line",
		json_stringn(line, len)));
	free(line);
}

/* The intent, and what was attached to it later. */
static void
put_intent(struct kmn_keeper *k, json_t *o, const struct kmn_request *request)
{
	struct kmn_ref attachment;

	put_line(k, o, "intent", request->i, request->leaf);
	if (kmn_ref_get(request->intent, "attachment", &attachment))
		put_line(k, o, "attachment", attachment.i, attachment.leaf);
}

static void
put_blob(struct kmn_keeper *k, json_t *o, const struct kmn_request *request)
{
	struct kmn_attached kept;

	kmn_attach_load(k, request->intent, &kept);
	if (kept.data != NULL)
		(void)json_object_set_new(o, "blob", kmn_json_b64(kept.data, kept.data_len));
	if (kept.econtent != NULL)
		(void)json_object_set_new(o, "econtent", kmn_json_b64(kept.econtent, kept.econtent_len));
	kmn_attached_clear(&kept);
}

/* The head that the statement names, where there is one: that is the head custodians sign. */
static void
statement_head(struct kmn_keeper *k, const struct kmn_request *request, struct kmn_head *head)
{
	const char *value;
	size_t len;
	uint64_t size;

	if (request->statement == NULL || (value = kmn_statement_value(request->statement, "head", &len)) == NULL)
		return;
	size = strtoull(value, NULL, 10); /* our own text: "<size> <root>" */
	if (kmn_log_head_at(k->log, size, head) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "request %llu: its head is not in this ledger", (unsigned long long)request->i);
}

static void
put_head(struct kmn_keeper *k, json_t *o, const struct kmn_request *request)
{
	struct kmn_head head;
	size_t len;
	char *note;

	if (kmn_log_checkpoint(k->log, &head, &note, &len) != KMN_OK)
		return;
	(void)json_object_set_new(o, "checkpoint", json_stringn(note, len));
	free(note);
	statement_head(k, request, &head);
	(void)json_object_set_new(o, "head", kmn_head_json(&head));
	(void)json_object_set_new(o, "proof", path_json(k, request->i, head.size));
}

static void
show(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	uint64_t id = kmn_reader_u64(r);
	const struct kmn_request *request = kmn_quorum_request(k->quorum, id);
	json_t *o;

	if (kmn_reader_end(r) != KMN_OK) {
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
		return;
	}
	if (request == NULL || !request->held || !may_see(conn, request)) {
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND,
		    "no such request: `kanmon request list --all` shows those that are known");
		return;
	}
	o = json_pack("{s:o, s:o, s:o}", "request", request_json(k, request), "approvals",
	    names_json(request, KMN_APPROVE), "rejections", names_json(request, KMN_REJECT));
	if (request->statement != NULL)
		(void)json_object_set_new(o, "statement", json_string(request->statement));
	(void)json_object_set_new(o, "policy", json_string(k->policy_note));
	put_intent(k, o, request);
	put_head(k, o, request);
	put_blob(k, o, request);
	kmn_activation_show(k, request, o);
	answer(k, conn, o);
}

/* ---- votes ------------------------------------------------------------------------------------------------------ */

static void
submit(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	const uint8_t *note;
	size_t len = kmn_reader_bytes(r, KMN_ADMIN_NOTE_MAX_BYTES, &note);
	struct kmn_note_check check;
	struct kmn_admin_wait *wait;
	uint64_t request;
	json_t *body;
	bool counts;

	if (kmn_reader_end(r) != KMN_OK) {
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
		return;
	}
	if (kmn_signed_submit(k, conn, (const char *)note, len))
		return;
	counts = kmn_quorum_check_note(k->quorum, (const char *)note, len, kmn_keeper_now_ms(), &check);
	if (check.request == NULL) {
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND,
		    check.check[0] != '\0' ? check.check : "the note is about no known request");
		return;
	}
	request = check.request->i;
	kmn_say(KMN_SAY_INFO, "request %llu: %s brought by %s: %s", (unsigned long long)request,
	    kmn_quorum_vote_type(check.decision), conn->peer->name, check.check);
	if (kmn_quorum_vote_body(&check, (const char *)note, len, &body) != KMN_OK) {
		kmn_admin_refuse(k, conn, KMN_E_MALFORMED, "the note cannot be put into a record");
		return;
	}
	if (kmn_keeper_append(k, kmn_record_kind(kmn_quorum_vote_type(check.decision)), body, NULL) != KMN_OK)
		return;
	if (counts)
		kmn_hold_advance(k, request);
	wait = wait_new(k, conn);
	answer_when_durable(wait, json_pack("{s:I, s:s, s:s}", "request", (json_int_t)request, "check", check.check,
				      "state", state_name(k, kmn_quorum_request(k->quorum, request))));
}

static void
attach(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	uint64_t id;
	kmn_err e = kmn_attach_request(k, conn, r, &id, &why);

	if (e != KMN_OK)
		kmn_admin_refuse(k, conn, e, why.text[0] != '\0' ? why.text : kmn_err_text(e));
	else
		answer_when_durable(wait_new(k, conn), json_pack("{s:I, s:s}", "request", (json_int_t)id, "state",
							   state_name(k, kmn_quorum_request(k->quorum, id))));
}

static void
attach_next(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	kmn_err e = kmn_attach_next(k, conn, r, &why);

	if (e != KMN_OK)
		kmn_admin_refuse(k, conn, e, why.text[0] != '\0' ? why.text : kmn_err_text(e));
	else
		answer(k, conn, json_object());
}

static void
withdraw(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
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
	} else if (request->state != KMN_REQUEST_OPEN && request->state != KMN_REQUEST_OFFERED &&
		   request->state != KMN_REQUEST_WINDOW) {
		kmn_admin_refuse(k, conn, KMN_E_DENIED, "the request has ended or runs already");
	} else {
		kmn_say(KMN_SAY_INFO, "request %llu: withdrawn by %s: %s", (unsigned long long)id, conn->peer->name,
		    reason);
		if (kmn_hold_end(k, id, "withdrawn") == KMN_OK)
			answer_when_durable(wait_new(k, conn),
			    json_pack("{s:I, s:s}", "request", (json_int_t)id, "state", "withdrawn"));
	}
}

/* ---- requests made ahead ---------------------------------------------------------------------------------------- */

static void
fail_ahead(struct kmn_admin_wait *wait, kmn_err error, const char *reason)
{
	kmn_admin_refuse(wait->keeper, wait->conn, error, reason);
	wait_free(wait);
}

/* What is to be done: a signature over the data. */
static kmn_err
put_signature(struct kmn_admin_wait *wait, json_t *body)
{
	struct kmn_mech_view mech = {.form = KMN_MECH_BARE};
	struct kmn_norm norm;
	kmn_err e;

	if (!kmn_mechanism_of(wait->mechanism, &mech.type))
		return KMN_E_NOT_FOUND;
	if ((e = kmn_operation_normalise(mech.type, NULL, wait->data, wait->data_len, &norm)) != KMN_OK)
		return e;
	return json_object_update_new(
		   body, json_pack("{s:s, s:o, s:o, s:o}", "op", "C_Sign", "mech", kmn_ledger_mechanism(&mech), "in",
			     kmn_ledger_digest(wait->data, wait->data_len), "norm", kmn_norm_json(&norm))) == 0
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
	wait->key.class = CKO_PRIVATE_KEY; /* what will be used; its public half is what was found */
	body = json_pack("{s:I, s:i, s:I, s:{}, s:o, s:o, s:o, s:{s:o, s:s}, s:I}", "chan", (json_int_t)conn->chan,
	    "sess", 0, "seq", (json_int_t)conn->admin_calls, "mech", "key", kmn_record_key(&wait->key, token),
	    "req_sha256", kmn_json_b64(wait->req_sha256, KMN_HASH_BYTES), "nonce_req",
	    kmn_json_b64(wait->nonce, KMN_HASH_BYTES), "requester", "spki_sha256",
	    kmn_json_b64(conn->spki_sha256, KMN_HASH_BYTES), "name", conn->peer->name, "expires", (json_int_t)0);
	if (body == NULL)
		return KMN_E_NO_MEMORY;
	if (wait->rule[0] != '\0')
		kmn_window_put(wait->keeper, wait->rule, body);
	else
		e = put_signature(wait, body);
	if (e != KMN_OK) {
		json_decref(body);
		return e;
	}
	if (wait->purpose[0] != '\0' &&
	    json_object_set_new(body, "purpose", kmn_json_label(wait->purpose, strlen(wait->purpose))) != 0)
		KMN_BUG("out of memory");
	if (kmn_attached_to_json(&wait->attached, body) != KMN_OK)
		KMN_BUG("out of memory");
	*body_out = body;
	return KMN_OK;
}

/* Judges and records the request; its statement comes when the intent is durable, as with a call. */
static void
open_ahead(struct kmn_admin_wait *wait, json_t *body)
{
	struct kmn_keeper *k = wait->keeper;
	struct kmn_verdict verdict;
	struct kmn_ref ref;
	uint8_t sha256[KMN_HASH_BYTES];
	struct kmn_material material = {
	    wait->data, wait->data_len, wait->attached.econtent, wait->attached.econtent_len};
	int64_t now = kmn_keeper_now_ms();
	uint32_t lifetime;

	if (kmn_policy_judge_intent(kmn_keeper_policy(k), body, &material, now, &verdict) != KMN_OK)
		KMN_BUG("an intent that cannot be judged");
	if (verdict.answer == KMN_ANSWER_HELD && verdict.per == KMN_PER_WINDOW && wait->rule[0] == '\0') {
		json_decref(body);
		fail_ahead(wait, KMN_E_DENIED, "the rule gives a window: kanmon request new --window RULE");
		return;
	}
	if (verdict.answer != KMN_ANSWER_HELD) {
		json_decref(body);
		fail_ahead(wait, KMN_E_DENIED,
		    verdict.answer == KMN_ANSWER_FREE ? "no rule asks for an approval of this: the call runs without"
						      : verdict.reason);
		return;
	}
	lifetime = verdict.lifetime_s > 0 ? verdict.lifetime_s : k->setup->request_lifetime_s;
	if (wait->lifetime_s > 0 && wait->lifetime_s < lifetime)
		lifetime = wait->lifetime_s;
	if (json_object_set_new(body, "expires", json_integer(kmn_clock_record_ms(k) + 1000 * (int64_t)lifetime)) != 0)
		KMN_BUG("out of memory");
	if (!kmn_record_fits(body) || !kmn_hold_has_room(k, wait->conn->spki_sha256)) {
		json_decref(body);
		fail_ahead(wait, KMN_E_BUSY, "too many open requests, or too long a request");
		return;
	}
	if (kmn_record_keep_spki(k, &wait->key) != KMN_OK)
		return;
	if ((wait->data != NULL && kmn_log_blob_put(k->log, wait->data, wait->data_len, sha256) != KMN_OK) ||
	    kmn_attach_keep(k, &wait->attached) != KMN_OK) {
		kmn_keeper_ledger_lost(k, "what is to be approved cannot be kept");
		return;
	}
	if (kmn_keeper_append(k, KMN_R_INTENT, body, &ref) != KMN_OK)
		return;
	k->statements_due++;
	kmn_say(KMN_SAY_INFO, "request %llu: made ahead by %s under rule %s%s", (unsigned long long)ref.i,
	    wait->conn->peer->name, verdict.rule, wait->rule[0] != '\0' ? ", for its window" : "");
	answer_when_durable(wait, json_pack("{s:I}", "id", (json_int_t)ref.i));
}

static void
ahead_token(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_admin_wait *wait = cookie;
	struct kmn_token token = {0};
	json_t *body;
	kmn_err e;

	if (wait->conn == NULL) {
		wait_free(wait);
		return;
	}
	if (r == NULL || !kmn_token_read(r, kmn_token_module(k, wait->module), &token)) {
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
	struct kmn_worker **house = &k->house[wait->module];
	struct kmn_writer w;
	kmn_err e;

	if (*house == NULL)
		*house = kmn_worker_new(k, KMN_WORKER_HOUSE, wait->module, NULL);
	kmn_writer_init(&w, 1024);
	kmn_writer_text(&w, wait->token);
	kmn_writer_text(&w, wait->label);
	kmn_writer_bytes(&w, wait->id, wait->id_len);
	e = w.err;
	if (e == KMN_OK)
		e = kmn_worker_ask(k, *house, KMN_W_FIND_KEY, w.bytes, w.len, ahead_key, wait);
	kmn_writer_clear(&w);
	return e;
}

/* Asks one module after the other for the key, from wait->module on; what is not ready is passed over. */
static void
find_ahead(struct kmn_admin_wait *wait)
{
	for (; wait->module < wait->keeper->setup->module_count; wait->module++) {
		if (ask_house(wait) == KMN_OK)
			return;
		wait->not_ready = true;
	}
	fail_ahead(wait, wait->not_ready ? KMN_E_WORKER : KMN_E_NOT_FOUND,
	    wait->not_ready ? "the HSM module is not ready: try again"
			    : "no public key with that label and id is on that token");
}

static void
ahead_key(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_admin_wait *wait = cookie;
	struct kmn_writer w;
	bool found = false;

	if (wait->conn == NULL) {
		wait_free(wait);
		return;
	}
	if (r != NULL && kmn_reader_u64(r) == CKR_OK) {
		kmn_key_facts_get(r, &wait->key);
		found = kmn_reader_end(r) == KMN_OK && wait->key.spki_len > 0;
	}
	if (!found) {
		wait->module++;
		find_ahead(wait);
		return;
	}
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, wait->key.slot);
	if (w.err != KMN_OK ||
	    kmn_worker_ask(k, k->house[wait->module], KMN_W_TOKEN, w.bytes, w.len, ahead_token, wait) != KMN_OK)
		fail_ahead(wait, KMN_E_WORKER, "the HSM module is not ready: try again");
	kmn_writer_clear(&w);
}

static void
read_ahead(struct kmn_admin_wait *wait, struct kmn_reader *r)
{
	const uint8_t *id, *data;

	kmn_reader_text(r, wait->token, sizeof(wait->token));
	kmn_reader_text(r, wait->label, sizeof(wait->label));
	wait->id_len = kmn_reader_bytes(r, sizeof(wait->id), &id);
	if (wait->id_len > 0)
		memcpy(wait->id, id, wait->id_len);
	kmn_reader_text(r, wait->mechanism, sizeof(wait->mechanism));
	wait->data_len = kmn_reader_bytes(r, KMN_ADMIN_DATA_MAX_BYTES, &data);
	kmn_reader_text(r, wait->purpose, sizeof(wait->purpose));
	wait->lifetime_s = kmn_reader_u32(r);
	kmn_reader_raw(r, wait->nonce, sizeof(wait->nonce));
	kmn_attached_get(r, &wait->attached);
	if (kmn_reader_end(r) != KMN_OK)
		return;
	if (wait->attached.data != NULL || wait->data_len == 0 || (wait->data = malloc(wait->data_len)) == NULL)
		kmn_reader_fail(r, KMN_E_ARGUMENTS);
	else
		memcpy(wait->data, data, wait->data_len);
}

static void
read_window(struct kmn_admin_wait *wait, struct kmn_reader *r)
{
	const uint8_t *id;

	kmn_reader_text(r, wait->rule, sizeof(wait->rule));
	kmn_reader_text(r, wait->token, sizeof(wait->token));
	kmn_reader_text(r, wait->label, sizeof(wait->label));
	wait->id_len = kmn_reader_bytes(r, sizeof(wait->id), &id);
	if (wait->id_len > 0)
		memcpy(wait->id, id, wait->id_len);
	kmn_reader_text(r, wait->purpose, sizeof(wait->purpose));
	wait->lifetime_s = kmn_reader_u32(r);
	kmn_reader_raw(r, wait->nonce, sizeof(wait->nonce));
	if (kmn_reader_end(r) == KMN_OK && wait->rule[0] == '\0')
		kmn_reader_fail(r, KMN_E_ARGUMENTS);
}

static void
make_ahead(
    struct kmn_keeper *k, struct kmn_conn *conn, bool window, struct kmn_reader *r, const uint8_t *body, size_t len)
{
	struct kmn_admin_wait *wait = wait_new(k, conn);

	kmn_sha256(body, len, wait->req_sha256);
	if (window)
		read_window(wait, r);
	else
		read_ahead(wait, r);
	if (r->err != KMN_OK) {
		fail_ahead(wait, r->err, kmn_err_text(r->err));
		return;
	}
	if (!kmn_hold_has_room(k, conn->spki_sha256)) {
		fail_ahead(wait, KMN_E_BUSY, "too many open requests: let some be decided or withdraw them");
		return;
	}
	find_ahead(wait);
}

/* ---- cosignatures --------------------------------------------------------------------------------------------------- */

static void
take_cosignatures(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
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
		answer_when_durable(wait_new(k, conn),
		    json_pack("{s:I, s:I}", "record", (json_int_t)ref.i, "lines", (json_int_t)count));
}

/* ---- the HSM's own log ---------------------------------------------------------------------------------------------- */

static void
take_hsm_log(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
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
		answer_when_durable(wait_new(k, conn),
		    json_pack("{s:I, s:I}", "record", (json_int_t)ref.i, "unmatched", (json_int_t)unmatched));
}

/* ---- status ----------------------------------------------------------------------------------------------------- */

static json_t *
status_json(struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_request *r = NULL;
	const struct kmn_worker *worker;
	struct kmn_stale stale;
	struct kmn_head head;
	int open = 0, workers = 0;
	json_t *hsm = json_object();
	kmn_err held_back = kmn_keeper_holds_back(k);

	kmn_log_durable(k->log, &head);
	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL)
		open += r->held;
	LIST_FOREACH(worker, &k->workers, link)
	workers += worker->step == KMN_WORKER_READY;
	if (k->house[0] != NULL) {
		const struct kmn_worker *first = k->house[0];

		json_object_update_new(
		    hsm, json_pack("{s:o, s:o}", "manufacturer",
			     kmn_json_label(first->manufacturer, strlen(first->manufacturer)), "library",
			     kmn_json_label(first->description, strlen(first->description))));
	}
	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:I, s:o, s:i, s:i, s:i, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}",
	    "origin", kmn_log_origin(k->log), "version", k->setup->build.version, "started", (json_int_t)k->started_ms,
	    "size", (json_int_t)head.size, "root", kmn_json_b64(head.root, KMN_HASH_BYTES), "policy_version",
	    (json_int_t)kmn_policy_version(policy), "policy_sha256",
	    kmn_json_b64(kmn_policy_sha256(policy), KMN_HASH_BYTES), "requests_open", open, "instances",
	    (int)kmn_instance_count(k), "workers", workers, "hsm", hsm, "time_stamps", kmn_anchor_status(k), "class_a",
	    kmn_quorum_is_stale(k->quorum, 'A', kmn_keeper_now_ms(), &stale) ? stale.reason : "open", "service",
	    held_back == KMN_OK ? "all calls" : kmn_err_text(held_back), "guards", kmn_guards_status(k->guards),
	    "witness", kmn_witness_status(k), "policy", kmn_policy_status(k), "stances",
	    kmn_stance_status(k));
}

static void
checkpoint(struct kmn_keeper *k, struct kmn_conn *conn)
{
	struct kmn_head head;
	size_t len;
	char *note;

	if (kmn_log_checkpoint(k->log, &head, &note, &len) != KMN_OK) {
		kmn_admin_refuse(k, conn, KMN_E_LEDGER, "there is no checkpoint");
		return;
	}
	answer(k, conn, json_pack("{s:o}", "note", json_stringn(note, len)));
	free(note);
}

/* The note of a version, from the record that brought it. */
static json_t *
policy_note(struct kmn_keeper *k, uint64_t version)
{
	struct kmn_record record = {.owner = NULL};
	json_t *note = NULL;
	uint64_t i;
	char *line;
	size_t len;

	if (!kmn_quorum_policy_record(k->quorum, version, &i) || kmn_log_line(k->log, i, &line, &len) != KMN_OK)
		return NULL;
	if (kmn_record_parse(line, len, &record, NULL) == KMN_OK)
		note = json_incref(json_object_get(record.body, record.kind == KMN_R_GENESIS ? "policy" : "note"));
	kmn_record_clear(&record);
	free(line);
	return note;
}

static void
show_policy(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	bool any = r->at == r->end;
	uint64_t version = any ? 0 : kmn_reader_u64(r);
	json_t *note = NULL;

	if (kmn_reader_end(r) != KMN_OK)
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
	else if (any)
		answer(k, conn, kmn_policy_notes(k));
	else if ((note = policy_note(k, version)) == NULL)
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND, "no such version of the policy");
	else
		answer(k, conn, json_pack("{s:o}", "note", note));
}

void
kmn_admin_take(struct kmn_keeper *k, struct kmn_conn *conn, const uint8_t *body, size_t len)
{
	struct kmn_reader r;
	uint16_t op;

	conn->admin_calls++;
	if (k->unrecorded) {
		kmn_admin_refuse(k, conn, KMN_E_LEDGER, "the ledger cannot be written: see the gateway's log");
		return;
	}
	if (kmn_conn_open_record(k, conn, NULL) != KMN_OK)
		return;
	kmn_reader_init(&r, body, len);
	op = kmn_reader_u16(&r);
	switch (op) {
	case KMN_ADMIN_STATUS:
		answer(k, conn, status_json(k));
		break;
	case KMN_ADMIN_REQUEST_LIST:
		list(k, conn, &r);
		break;
	case KMN_ADMIN_REQUEST_SHOW:
		show(k, conn, &r);
		break;
	case KMN_ADMIN_CHECKPOINT:
		checkpoint(k, conn);
		break;
	case KMN_ADMIN_POLICY:
		show_policy(k, conn, &r);
		break;
	case KMN_ADMIN_POLICY_SUBMIT:
		if (conn->peer->terminal)
			kmn_policy_submit(k, conn, &r);
		else
			kmn_admin_refuse(k, conn, KMN_E_DENIED, "a policy is brought by a person, from a terminal");
		break;
	case KMN_ADMIN_COSIGN:
		if (conn->peer->terminal)
			take_cosignatures(k, conn, &r);
		else
			kmn_admin_refuse(
			    k, conn, KMN_E_DENIED, "cosignatures are brought by a person, from a terminal");
		break;
	case KMN_ADMIN_HSM_LOG:
		if (conn->peer->terminal)
			take_hsm_log(k, conn, &r);
		else
			kmn_admin_refuse(
			    k, conn, KMN_E_DENIED, "the HSM's own log is brought by a person, from a terminal");
		break;
	case KMN_ADMIN_SHARE:
		if (conn->peer->terminal)
			kmn_activation_share(k, conn, &r);
		else
			kmn_admin_refuse(
			    k, conn, KMN_E_DENIED, "shares come from a person's terminal, not from a client");
		break;
	case KMN_ADMIN_NOTE_SUBMIT:
		if (conn->peer->terminal)
			submit(k, conn, &r);
		else
			kmn_admin_refuse(
			    k, conn, KMN_E_DENIED, "votes come from a person's terminal, not from a client");
		break;
	case KMN_ADMIN_ATTACH:
	case KMN_ADMIN_ATTACH_NEXT:
		if (conn->peer->terminal)
			kmn_admin_refuse(
			    k, conn, KMN_E_DENIED, "content is attached by the client that asks for the signature");
		else if (op == KMN_ADMIN_ATTACH)
			attach(k, conn, &r);
		else
			attach_next(k, conn, &r);
		break;
	case KMN_ADMIN_REQUEST_NEW:
	case KMN_ADMIN_WINDOW_NEW:
	case KMN_ADMIN_REQUEST_WITHDRAW:
		if (conn->peer->terminal)
			kmn_admin_refuse(
			    k, conn, KMN_E_DENIED, "a request is made and withdrawn by the client that will run it");
		else if (op == KMN_ADMIN_REQUEST_WITHDRAW)
			withdraw(k, conn, &r);
		else
			make_ahead(k, conn, op == KMN_ADMIN_WINDOW_NEW, &r, body, len);
		break;
	default:
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND, "this gateway does not know that question");
	}
}
