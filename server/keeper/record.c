/*
 * Bodies of records, as docs/ledger.md lists their members. A record is a
 * function of the call, its facts and its outcome.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTENT_LIFETIME_MS 60000 /* of a call that nobody needs to approve: it runs at once */

static void
put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) != 0)
		KMN_BUG("out of memory");
}

/* A client may say any number for a handle; the largest that a line holds stands for what is beyond. */
json_int_t
kmn_record_number(uint64_t number)
{
	return (json_int_t)(number < KMN_JSON_INT_MAX ? number : KMN_JSON_INT_MAX);
}

static json_t *
hex(const uint8_t *bytes, size_t len)
{
	char text[2 * KMN_KEY_ID_MAX_BYTES + 1];
	size_t i;

	for (i = 0; i < len && i < KMN_KEY_ID_MAX_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	text[2 * i] = '\0';
	return json_string(text);
}

const char *
kmn_record_rv_name(uint64_t rv, char storage[32])
{
	const char *name = kmn_rv_name(rv);

	if (name != NULL)
		return name;
	snprintf(storage, 32, "CKR_0x%08llx", (unsigned long long)rv);
	return storage;
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static void
put_token(json_t *key, const struct kmn_token *token)
{
	if (token == NULL)
		return;
	put(key, "token", kmn_json_label(token->label, strlen(token->label)));
	if (token->module != NULL)
		put(key, "module", json_string(token->module));
	put(key, "serial", kmn_json_label(token->serial, strlen(token->serial)));
}

json_t *
kmn_record_key(const struct kmn_key_facts *facts, const struct kmn_token *token)
{
	json_t *key = json_object();
	uint8_t spki_sha256[KMN_HASH_BYTES];

	if (facts != NULL) {
		put(key, "class", json_string(kmn_object_class_name(facts->class)));
		put(key, "label", kmn_json_label(facts->label, strlen(facts->label)));
		put(key, "id", hex(facts->id, facts->id_len));
		if (facts->spki_len > 0) {
			kmn_sha256(facts->spki, facts->spki_len, spki_sha256);
			put(key, "spki_sha256", kmn_json_b64(spki_sha256, sizeof(spki_sha256)));
		} else if (facts->kcv_len > 0) {
			put(key, "kcv", hex(facts->kcv, facts->kcv_len));
		}
	}
	put_token(key, token);
	return key;
}

void
kmn_record_key_origin(const struct kmn_keeper *k, json_t *key, const struct kmn_key_facts *facts)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} rows[] = {
	    {KMN_KEY_LOCAL, "local"},
	    {KMN_KEY_NEVER_EXTRACTABLE, "never_extractable"},
	    {KMN_KEY_ALWAYS_SENSITIVE, "always_sensitive"},
	};

	if (facts == NULL || (facts->class != CKO_PRIVATE_KEY && facts->class != CKO_SECRET_KEY) ||
	    !kmn_policy_asks_origin(kmn_keeper_policy(k)))
		return;
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		put(key, rows[i].name, json_boolean((facts->known & facts->flags & rows[i].flag) != 0));
}

/* Where a key comes from and what may be done with it, read back after it was made (R7). */
static json_t *
origin_json(const struct kmn_key_facts *facts)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} rows[] = {
	    {KMN_KEY_TOKEN, "CKA_TOKEN"},
	    {KMN_KEY_PRIVATE, "CKA_PRIVATE"},
	    {KMN_KEY_SENSITIVE, "CKA_SENSITIVE"},
	    {KMN_KEY_EXTRACTABLE, "CKA_EXTRACTABLE"},
	    {KMN_KEY_ALWAYS_SENSITIVE, "CKA_ALWAYS_SENSITIVE"},
	    {KMN_KEY_NEVER_EXTRACTABLE, "CKA_NEVER_EXTRACTABLE"},
	    {KMN_KEY_LOCAL, "CKA_LOCAL"},
	    {KMN_KEY_MODIFIABLE, "CKA_MODIFIABLE"},
	    {KMN_KEY_ALWAYS_AUTHENTICATE, "CKA_ALWAYS_AUTHENTICATE"},
	};
	json_t *origin = json_object();

	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (facts->known & rows[i].flag)
			put(origin, rows[i].name, json_boolean((facts->flags & rows[i].flag) != 0));
	if (facts->mechanism != KMN_UNAVAILABLE && kmn_mechanism_name(facts->mechanism) != NULL)
		put(origin, "CKA_KEY_GEN_MECHANISM", json_string(kmn_mechanism_name(facts->mechanism)));
	return origin;
}

json_t *
kmn_record_hsm(const struct kmn_call_state *call)
{
	json_t *hsm = json_object();

	if (call->token != NULL) {
		put(hsm, "serial", kmn_json_label(call->token->serial, strlen(call->token->serial)));
		put(hsm, "model", kmn_json_label(call->token->model, strlen(call->token->model)));
		put(hsm, "fw", kmn_json_label(call->token->firmware, strlen(call->token->firmware)));
	}
	return hsm;
}

/* Member names of what one message brings, beside those of the mechanism. */
static void
put_prefixed(json_t *params, const char *prefix, json_t *members)
{
	const char *name;
	json_t *member;

	json_object_foreach(members, name, member)
	{
		char full[KMN_JSON_NAME_MAX_BYTES + 1];

		snprintf(full, sizeof(full), "%s_%s", prefix, name);
		put(params, full, json_incref(member));
	}
}

/*
 * Parameter and associated data of one message, or of a key that is wrapped: in `params`, and under params_sha256,
 * which then is SHA-256(that of the mechanism | that of the message | that of the associated data), each as base64.
 */
static json_t *
with_message(const struct kmn_call_state *call, json_t *mech)
{
	const struct kmn_mech_view *param = kmn_view_message_param(&call->view);
	const struct kmn_value *aad = kmn_view_nth(&call->view, KMN_KIND_AAD, 0);
	json_t *whole, *message, *data;
	uint8_t sha256[KMN_HASH_BYTES];
	char text[256];

	if (param == NULL && aad == NULL)
		return mech;
	whole = json_deep_copy(mech);
	json_decref(mech);
	message = kmn_ledger_mechanism(param);
	data = aad != NULL ? kmn_ledger_digest(aad->bytes, aad->len) : json_object();
	snprintf(text, sizeof(text), "%s|%s|%s", json_string_value(json_object_get(whole, "params_sha256")),
	    json_string_value(json_object_get(message, "params_sha256")),
	    aad != NULL ? json_string_value(json_object_get(data, "sha256")) : "");
	put_prefixed(json_object_get(whole, "params"), "message", json_object_get(message, "params"));
	if (aad != NULL)
		put_prefixed(json_object_get(whole, "params"), "associated_data", data);
	kmn_sha256(text, strlen(text), sha256);
	put(whole, "params_sha256", kmn_json_b64(sha256, sizeof(sha256)));
	json_decref(message);
	json_decref(data);
	return whole;
}

static json_t *
mechanism_json(const struct kmn_call_state *call)
{
	const struct kmn_mech_view *mech = kmn_view_mechanism(&call->view);
	struct kmn_pss pss;
	json_t *object, *params;

	if (mech == NULL && call->operation != NULL && call->operation->mech_view != NULL)
		return with_message(call, json_incref(call->operation->mech_view));
	object = kmn_ledger_mechanism(mech);
	/* PSS parameters are needed again to verify: their form is the statement's. */
	if (mech != NULL && kmn_mech_number(mech, "hashAlg", &pss.hash) && kmn_mech_number(mech, "mgf", &pss.mgf) &&
	    kmn_mech_number(mech, "sLen", &pss.salt_len) && (params = kmn_pss_json(&pss)) != NULL)
		put(object, "params", params);
	return with_message(call, object);
}

static const struct kmn_key_facts *
first_key(const struct kmn_call_state *call)
{
	if (call->keys > 0)
		return &call->key[0];
	return call->operation != NULL && call->operation->known ? &call->operation->key : NULL;
}

kmn_err
kmn_record_keep_spki(struct kmn_keeper *k, const struct kmn_key_facts *facts)
{
	uint8_t hash[KMN_HASH_BYTES];

	if (facts->spki_len == 0)
		return KMN_OK;
	kmn_sha256(facts->spki, facts->spki_len, hash);
	for (size_t i = 0; i < KMN_COUNT_OF(k->spki_stored); i++)
		if (memcmp(k->spki_stored[i], hash, sizeof(hash)) == 0)
			return KMN_OK;
	if (kmn_log_blob_put(k->log, facts->spki, facts->spki_len, hash) != KMN_OK) {
		kmn_keeper_ledger_lost(k, "a public key cannot be kept");
		return KMN_E_LEDGER;
	}
	memcpy(k->spki_stored[k->spki_stored_next++ % KMN_COUNT_OF(k->spki_stored)], hash, sizeof(hash));
	return KMN_OK;
}

/* ---- what is signed --------------------------------------------------------------------------------------------- */

/* The last part of what is signed, where the call that asks for the signature brings one. */
static const struct kmn_value *
last_part(const struct kmn_call_state *call)
{
	return call->view.id == KMN_C_SignMessageNext ? kmn_view_data(&call->view, 0) : NULL;
}

/* The digests of a multi-part operation with the call's own part; the operation itself goes on as it is. */
static kmn_err
digest_so_far(
    const struct kmn_call_state *call, const EVP_MD_CTX *running, uint8_t out[EVP_MAX_MD_SIZE], size_t *len_out)
{
	const struct kmn_value *part = last_part(call);
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	unsigned len = 0;
	kmn_err e = KMN_E_NO_MEMORY;

	if (copy != NULL && EVP_MD_CTX_copy_ex(copy, running) == 1 &&
	    (part == NULL || part->len == 0 || EVP_DigestUpdate(copy, part->bytes, part->len) == 1) &&
	    EVP_DigestFinal_ex(copy, out, &len) == 1)
		e = KMN_OK;
	EVP_MD_CTX_free(copy);
	*len_out = len;
	return e;
}

/* The normal form of more data than is kept: scheme and hash of the mechanism, digest of the parts. */
static kmn_err
normalise_parts(struct kmn_call_state *call)
{
	const struct kmn_operation *op = call->operation;
	uint8_t digest[EVP_MAX_MD_SIZE];
	size_t len;
	kmn_err e;

	if (op->scheme == NULL)
		return KMN_E_NOT_FOUND;
	if ((e = kmn_operation_normalise(op->mechanism, op->has_pss ? &op->pss : NULL, NULL, 0, &call->norm)) !=
		KMN_OK ||
	    (e = digest_so_far(call, op->scheme, digest, &len)) != KMN_OK)
		return e;
	if (len != call->norm.digest_len)
		return KMN_E_INTERNAL;
	memcpy(call->norm.digest, digest, len);
	return KMN_OK;
}

/* The parts that came before, and the call's own: as one piece while they are few enough to be kept. */
static kmn_err
join_parts(struct kmn_call_state *call)
{
	const struct kmn_operation *op = call->operation;
	const struct kmn_value *part = last_part(call);
	size_t more = part != NULL ? part->len : 0;

	call->has_data = !op->spool_full && op->spool_len + more <= KMN_KEEPER_SPOOL_MAX;
	call->data = call->has_data ? op->spool : NULL;
	call->data_len = call->has_data ? op->spool_len + more : 0;
	if (!call->has_data || more == 0)
		return KMN_OK;
	if (call->joined == NULL && (call->joined = OPENSSL_zalloc(KMN_KEEPER_SPOOL_MAX)) == NULL)
		return KMN_E_NO_MEMORY;
	if (op->spool_len > 0)
		memcpy(call->joined, op->spool, op->spool_len);
	memcpy(call->joined + op->spool_len, part->bytes, more);
	call->data = call->joined;
	return KMN_OK;
}

static kmn_err
take_parts(struct kmn_call_state *call, json_t *intent)
{
	const struct kmn_value *part = last_part(call);
	struct kmn_operation *op = call->operation;
	uint8_t sha256[EVP_MAX_MD_SIZE];
	size_t sha256_len;
	kmn_err e;

	if ((e = kmn_operation_feed(op, NULL, 0)) != KMN_OK ||
	    (e = digest_so_far(call, op->sha256, sha256, &sha256_len)) != KMN_OK)
		return e;
	put(intent, "in",
	    json_pack("{s:o, s:I}", "sha256", kmn_json_b64(sha256, KMN_HASH_BYTES), "len",
		(json_int_t)(op->parts_len + (part != NULL ? part->len : 0))));
	return join_parts(call);
}

/* Finds what a signing call signs: its data, or the parts that came before. Fills data, norm and member `in`. */
static kmn_err
take_signed(struct kmn_call_state *call, json_t *intent)
{
	struct kmn_operation *op = call->operation;
	const struct kmn_value *data = kmn_view_data(&call->view, 0);
	kmn_err e;

	if (call->view.id == KMN_C_SignFinal || last_part(call) != NULL) {
		if ((e = take_parts(call, intent)) != KMN_OK)
			return e;
	} else {
		call->has_data = true;
		call->data = data->bytes != NULL ? data->bytes : (const uint8_t *)"";
		call->data_len = data->len;
		put(intent, "in", kmn_ledger_digest(call->data, call->data_len));
	}
	if (!op->known)
		return KMN_OK;
	e = call->has_data ? kmn_operation_normalise(
				 op->mechanism, op->has_pss ? &op->pss : NULL, call->data, call->data_len, &call->norm)
			   : normalise_parts(call);
	call->has_norm = e == KMN_OK;
	if (call->has_norm)
		put(intent, "norm", kmn_norm_json(&call->norm));
	return KMN_OK; /* without a normal form the call goes by mechanism and data */
}

/* ---- intent ----------------------------------------------------------------------------------------------------- */

static json_t *
requester_json(const struct kmn_call_state *call)
{
	return json_pack("{s:o, s:s}", "spki_sha256", kmn_json_b64(call->instance->spki_sha256, KMN_HASH_BYTES), "name",
	    call->peer_name);
}

/* A salt where the row says that the value is committed to; NULL: it is not. */
static const uint8_t *
salt_for(struct kmn_call_state *call, const struct kmn_param *param, enum kmn_salt which)
{
	return param != NULL && param->show == KMN_SHOW_COMMITMENT ? kmn_salts_draw(call, which) : NULL;
}

static void
put_input(json_t *body, struct kmn_call_state *call)
{
	const struct kmn_value *in = kmn_view_shown(&call->view);
	bool has = false;
	json_t *value;

	if (in == NULL)
		return;
	value = kmn_ledger_in(&call->view, salt_for(call, in->param, KMN_SALT_IN), &has);
	put(body, "in", value);
}

/* Member `template`, and what a call says beside mechanism, key and data. */
static void
put_arguments(json_t *intent, struct kmn_call_state *call)
{
	bool has = false;
	json_t *value = kmn_ledger_templates(&call->view, &has);

	if (has)
		put(intent, "template", value);
	else
		json_decref(value);
	if (json_object_get(intent, "in") == NULL)
		put_input(intent, call);
}

kmn_err
kmn_record_intent(struct kmn_call_state *call, json_t **body_out)
{
	json_int_t expires = kmn_clock_record_ms(call->keeper) + INTENT_LIFETIME_MS;
	uint8_t nonce[KMN_HASH_BYTES];
	json_t *intent;
	kmn_err e = KMN_OK;

	*body_out = NULL;
	kmn_keeper_random(nonce, sizeof(nonce));
	intent = json_pack("{s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:I}", "chan", (json_int_t)call->chan, "sess",
	    kmn_record_number(call->session_handle), "seq", (json_int_t)call->number, "op", call->view.call->name,
	    "mech", mechanism_json(call), "key", kmn_record_key(first_key(call), call->token), "req_sha256",
	    kmn_json_b64(call->req_sha256, KMN_HASH_BYTES), "nonce_req", kmn_json_b64(nonce, sizeof(nonce)),
	    "requester", requester_json(call), "expires", expires);
	if (intent == NULL)
		return KMN_E_NO_MEMORY;
	kmn_record_key_origin(call->keeper, json_object_get(intent, "key"), first_key(call));
	if (call->operation != NULL && (call->operation->kind & KMN_SIGN_OPERATIONS) != 0 &&
	    kmn_view_room(&call->view) != NULL && !kmn_view_is_part(&call->view) &&
	    call->view.call->effect != KMN_EFFECT_CONTINUES)
		e = take_signed(call, intent);
	put_arguments(intent, call);
	if (e == KMN_OK && !kmn_record_fits(intent))
		e = KMN_E_TOO_BIG;
	if (e != KMN_OK) {
		json_decref(intent);
		return e;
	}
	*body_out = intent;
	return KMN_OK;
}

json_t *
kmn_record_policy(const struct kmn_policy *policy)
{
	return json_pack("{s:I, s:o}", "version", (json_int_t)kmn_policy_version(policy), "sha256",
	    kmn_json_b64(kmn_policy_sha256(policy), KMN_HASH_BYTES));
}

/* ---- outcomes --------------------------------------------------------------------------------------------------- */

/* rv, rv_name, out, hsm, dur_us, resp_sha256: what every outcome has. */
static void
put_outcome(json_t *body, struct kmn_call_state *call, const struct kmn_response_view *response)
{
	const struct kmn_result *bytes = kmn_response_bytes(response);
	const uint8_t *salt = bytes != NULL ? salt_for(call, bytes->param, KMN_SALT_OUT) : NULL;
	char storage[32];
	bool has = false;
	json_t *out = kmn_ledger_out(response, salt, &has);

	put(body, "rv", json_integer(kmn_record_number(response->rv)));
	put(body, "rv_name", json_string(kmn_record_rv_name(response->rv, storage)));
	if (has)
		put(body, "out", out);
	else
		json_decref(out);
	put(body, "hsm", kmn_record_hsm(call));
	put(body, "dur_us", json_integer((json_int_t)call->took_us));
	put(body, "resp_sha256", kmn_json_b64(call->resp_sha256, KMN_HASH_BYTES));
}

kmn_err
kmn_record_op(struct kmn_call_state *call, const struct kmn_response_view *response, json_t **body_out)
{
	const struct kmn_policy *policy = call->judged_by != NULL ? call->judged_by : kmn_keeper_policy(call->keeper);
	json_t *body = json_pack("{s:I, s:I, s:I, s:s, s:o, s:s, s:o, s:o}", "chan", (json_int_t)call->chan, "sess",
	    kmn_record_number(call->session_handle), "seq", (json_int_t)call->number, "op", call->view.call->name,
	    "mech", mechanism_json(call), "rule", call->verdict.rule != NULL ? call->verdict.rule : "none", "policy",
	    kmn_record_policy(policy), "req_sha256", kmn_json_b64(call->req_sha256, KMN_HASH_BYTES));
	const json_t *in = call->intent != NULL ? json_object_get(call->intent, "in") : NULL;
	const json_t *norm = call->intent != NULL ? json_object_get(call->intent, "norm") : NULL;
	const struct kmn_key_facts *key = first_key(call);

	if (body == NULL)
		return KMN_E_NO_MEMORY;
	if (key != NULL || call->view.call->policy == KMN_POLICY_KEY_USE)
		put(body, "key", kmn_record_key(key, call->token));
	if (in != NULL)
		put(body, "in", json_deep_copy(in));
	else if (call->intent == NULL && call->durability == 'B')
		put_input(body, call);
	if (norm != NULL)
		put(body, "norm", json_deep_copy(norm));
	if (call->selfcheck != NULL)
		put(body, "selfcheck", json_string(call->selfcheck));
	put_outcome(body, call, response);
	*body_out = body;
	return KMN_OK;
}

kmn_err
kmn_record_result(
    struct kmn_call_state *call, const struct kmn_response_view *response, const char *selfcheck, json_t **body_out)
{
	json_t *body = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "chan", (json_int_t)call->chan, "sess",
	    kmn_record_number(call->session_handle), "seq", (json_int_t)call->number, "req_sha256",
	    kmn_json_b64(call->req_sha256, KMN_HASH_BYTES), "request", kmn_ref_json(&call->request), "decision",
	    kmn_ref_json(&call->decision));
	json_t *made;

	if (body == NULL)
		return KMN_E_NO_MEMORY;
	put_outcome(body, call, response);
	if (selfcheck != NULL)
		put(body, "selfcheck", json_string(selfcheck));
	if (call->has_made) {
		made = kmn_record_key(&call->made, call->token);
		put(made, "origin", origin_json(&call->made));
		put(body, "key", made);
	}
	*body_out = body;
	return KMN_OK;
}

/* What a `session` record says of who logs in; nothing of the PIN but whether there was one. */
static void
put_user(json_t *body, const struct kmn_call_state *call)
{
	static const char *const users[] = {"CKU_SO", "CKU_USER", "CKU_CONTEXT_SPECIFIC"};
	const struct kmn_value *user = kmn_view_nth(&call->view, KMN_KIND_ULONG, 0);
	const struct kmn_value *pin = kmn_view_nth(&call->view, KMN_KIND_PIN, 0);
	const struct kmn_value *name = kmn_view_nth(&call->view, KMN_KIND_USERNAME, 0);

	if (name != NULL && !name->null)
		put(body, "username", kmn_json_label(name->bytes, name->len));
	if (user != NULL && user->number < KMN_COUNT_OF(users))
		put(body, "user", json_string(users[user->number]));
	if (pin != NULL)
		put(body, "pin", json_string(pin->null ? "protected-path" : "supplied"));
}

kmn_err
kmn_record_session(struct kmn_call_state *call, const struct kmn_response_view *response, json_t **body_out)
{
	static const struct {
		enum kmn_call_id id;
		const char *event;
	} events[] = {
	    {KMN_C_OpenSession, "open"},
	    {KMN_C_CloseSession, "close"},
	    {KMN_C_CloseAllSessions, "close-all"},
	    {KMN_C_Login, "login"},
	    {KMN_C_LoginUser, "login"},
	    {KMN_C_SessionCancel, "cancel"},
	    {KMN_C_Logout, "logout"},
	};
	const char *event = "wait-over"; /* a call's wait for its quorum ended */
	uint64_t session = call->session_handle;
	char storage[32];
	json_t *body;

	for (size_t i = 0; i < KMN_COUNT_OF(events); i++)
		if (events[i].id == call->view.id)
			event = events[i].event;
	if (call->view.id == KMN_C_OpenSession)
		(void)kmn_response_session(response, &session);
	body = json_pack("{s:I, s:I, s:s, s:I, s:I, s:s, s:I, s:o}", "chan", (json_int_t)call->chan, "sess",
	    kmn_record_number(session), "event", event, "slot", kmn_record_number(call->has_slot ? call->slot : 0),
	    "rv", kmn_record_number(response->rv), "rv_name", kmn_record_rv_name(response->rv, storage), "seq",
	    (json_int_t)call->number, "req_sha256", kmn_json_b64(call->req_sha256, KMN_HASH_BYTES));
	if (body == NULL)
		return KMN_E_NO_MEMORY;
	if (call->view.call->policy == KMN_POLICY_LOGIN) {
		put(body, "resp_sha256", kmn_json_b64(call->resp_sha256, KMN_HASH_BYTES));
		put_user(body, call);
	}
	*body_out = body;
	return KMN_OK;
}
