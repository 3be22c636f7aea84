/*
 * Requests as the kanmon tool shows them: a list, and one in full with what is needed to check it.
 */
#include "config.h"

#include "server/keeper/admin.h"

#include "kanmon/say.h"
#include "server/keeper/activation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const char *
kmn_admin_state(struct kmn_keeper *k, const struct kmn_request *r)
{
	if (r == NULL)
		return "ended"; /* so long ago that it is not shown any more */
	if (r->state == KMN_REQUEST_OPEN && r->awaits)
		return "waits for its content";
	if (r->state == KMN_REQUEST_OPEN && kmn_quorum_needs_window(r))
		return "waits for its window";
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

json_t *
kmn_admin_request_json(struct kmn_keeper *k, const struct kmn_request *r)
{
	json_t *o = json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:I}", "id", (json_int_t)r->i, "state",
	    kmn_admin_state(k, r), "rule", r->verdict.rule, "need", needs_json(&r->verdict), "have",
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

void
kmn_admin_list(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
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
			(void)json_array_append_new(requests, kmn_admin_request_json(k, request));
	kmn_admin_answer_when_durable(k, conn, json_pack("{s:o}", "requests", requests));
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

json_t *
kmn_admin_request_full_json(struct kmn_keeper *k, const struct kmn_request *request)
{
	json_t *o = json_pack("{s:o, s:o, s:o}", "request", kmn_admin_request_json(k, request), "approvals",
	    names_json(request, KMN_APPROVE), "rejections", names_json(request, KMN_REJECT));

	if (request->statement != NULL)
		(void)json_object_set_new(o, "statement", json_string(request->statement));
	(void)json_object_set_new(o, "policy", json_string(k->policy_note));
	put_intent(k, o, request);
	put_head(k, o, request);
	put_blob(k, o, request);
	kmn_activation_show(k, request, o);
	return o;
}

void
kmn_admin_show(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	uint64_t id = kmn_reader_u64(r);
	const struct kmn_request *request = kmn_quorum_request(k->quorum, id);

	if (kmn_reader_end(r) != KMN_OK)
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
	else if (request == NULL || !request->held || !may_see(conn, request))
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND,
		    "no such request: `kanmon request list --all` shows those that are known");
	else
		kmn_admin_answer_when_durable(k, conn, kmn_admin_request_full_json(k, request));
}
