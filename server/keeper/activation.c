#include "config.h"

#include "server/keeper/activation.h"

#include "kanmon/admin.h"
#include "kanmon/say.h"
#include "kanmon/sealedpin.h"
#include "kanmon/view.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_AT 96u /* of CK_TOKEN_INFO on the wire: behind label, manufacturer, model and serial number */

/* A key pair in a worker, for one login. */
struct kmn_login {
	LIST_ENTRY(kmn_login) link;
	uint32_t worker; /* its id */
	uint64_t slot;   /* the module's */
	uint64_t user;
	uint8_t key[KMN_SHARE_KEY_BYTES];
	unsigned sealed; /* index in setup->activations */
	char *text;      /* of the sealed PIN that it is for: another may have taken its place since */
	unsigned shares; /* that are there */
};

/* ---- which PIN ---------------------------------------------------------------------------------------------------- */

/* The number of the sealed PIN of this token line; false: the gateway has none. */
static bool
sealed_of(const struct kmn_keeper *k, const char *token, unsigned *number_out)
{
	for (unsigned i = 0; i < k->setup->activation_count; i++)
		if (strcmp(k->setup->activations[i].token, token) == 0) {
			*number_out = i;
			return true;
		}
	return false;
}

bool
kmn_activation_has(const struct kmn_keeper *k, const char *token)
{
	unsigned number;

	return sealed_of(k, token, &number);
}

/* The text of a sealed PIN that holds now. */
static const char *
sealed_text(const struct kmn_keeper *k, unsigned number)
{
	return k->sealed_anew[number] != NULL ? k->sealed_anew[number] : k->setup->activations[number].text;
}

static char *
copy(const char *text, size_t len)
{
	char *copy = strndup(text, len);

	if (copy == NULL)
		KMN_BUG("out of memory");
	return copy;
}

/* The same of a call's token. */
static bool
sealed_for(const struct kmn_call_state *call, unsigned *number_out)
{
	const struct kmn_policy_token *token =
	    call->token != NULL ? kmn_policy_token_get(kmn_keeper_policy(call->keeper), &call->token->facts) : NULL;

	return token != NULL && sealed_of(call->keeper, token->name, number_out);
}

static uint64_t
user_of(const struct kmn_call_state *call)
{
	const struct kmn_value *user = kmn_view_nth(&call->view, KMN_KIND_ULONG, 0);

	return user != NULL ? user->number : KMN_UNAVAILABLE;
}

/* ---- key pairs in workers ----------------------------------------------------------------------------------------- */

static struct kmn_worker *
worker_of(const struct kmn_keeper *k, const struct kmn_login *login)
{
	struct kmn_worker *worker = kmn_worker_by_id((struct kmn_keeper *)(uintptr_t)k, login->worker);

	return worker != NULL && worker->branch != NULL && worker->step == KMN_WORKER_READY ? worker : NULL;
}

static struct kmn_login *
login_by_key(const struct kmn_keeper *k, const uint8_t key[KMN_SHARE_KEY_BYTES])
{
	struct kmn_login *login;

	LIST_FOREACH(login, &k->fresh, link)
	if (memcmp(login->key, key, KMN_SHARE_KEY_BYTES) == 0)
		return login;
	return NULL;
}

const json_t *
kmn_activation_login(const struct kmn_request *request)
{
	return json_object_get(request->intent, "login");
}

/* Whether the request is one for a sealed PIN, and which key its statement names. */
static bool
key_of(const struct kmn_request *request, uint8_t key_out[KMN_SHARE_KEY_BYTES])
{
	return kmn_json_get_b64(kmn_activation_login(request), "key", key_out, KMN_SHARE_KEY_BYTES);
}

static const struct kmn_request *
request_with(const struct kmn_keeper *k, const uint8_t key[KMN_SHARE_KEY_BYTES])
{
	const struct kmn_request *r = NULL;
	uint8_t named[KMN_SHARE_KEY_BYTES];

	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL)
		if (key_of(r, named) && memcmp(named, key, sizeof(named)) == 0)
			return r;
	return NULL;
}

static void
login_free(struct kmn_login *login)
{
	LIST_REMOVE(login, link);
	free(login->text);
	free(login);
}

static void
forget(struct kmn_keeper *k, struct kmn_login *login)
{
	struct kmn_worker *worker = worker_of(k, login);

	if (worker != NULL &&
	    kmn_worker_ask(k, worker, KMN_W_FORGET, login->key, sizeof(login->key), NULL, NULL) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "a worker does not listen: shares that it has stay in its memory until it ends");
	login_free(login);
}

void
kmn_activation_tick(struct kmn_keeper *k)
{
	struct kmn_login *login = LIST_FIRST(&k->fresh), *next;

	for (; login != NULL; login = next) {
		next = LIST_NEXT(login, link);
		if (worker_of(k, login) == NULL || request_with(k, login->key) == NULL)
			forget(k, login);
	}
}

void
kmn_activation_clear(struct kmn_keeper *k)
{
	while (!LIST_EMPTY(&k->fresh))
		login_free(LIST_FIRST(&k->fresh));
	for (unsigned i = 0; i < KMN_ACTIVATIONS_MAX; i++) {
		free(k->sealed_anew[i]);
		k->sealed_anew[i] = NULL;
	}
}

/* One of the supervisor's texts, which it has checked. */
static void
take_anew(struct kmn_keeper *k, unsigned number, const char *text, size_t len)
{
	const char *before = sealed_text(k, number);

	if (strlen(before) == len && memcmp(before, text, len) == 0)
		return;
	free(k->sealed_anew[number]);
	k->sealed_anew[number] = copy(text, len);
	k->sealed_refused[number] = false;
	kmn_say(KMN_SAY_INFO, "token %s: another sealed PIN from now on", k->setup->activations[number].token);
}

void
kmn_activation_anew(struct kmn_keeper *k, struct kmn_reader *r)
{
	for (unsigned i = 0; i < k->setup->activation_count && r->err == KMN_OK; i++) {
		const uint8_t *text;
		size_t len = kmn_reader_bytes(r, KMN_SEALED_PIN_MAX_BYTES, &text);

		if (r->err == KMN_OK)
			take_anew(k, i, (const char *)text, len);
	}
	if (kmn_reader_end(r) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor's sealed PINs cannot be read");
}

/* The pair of a login that this application asked for before, and that is still open. */
static struct kmn_login *
open_login(const struct kmn_call_state *call)
{
	struct kmn_login *login;

	LIST_FOREACH(login, &call->keeper->fresh, link)
	if (call->branch->worker != NULL && login->worker == call->branch->worker->id &&
	    login->slot == call->vendor_slot && login->user == user_of(call) &&
	    request_with(call->keeper, login->key) != NULL)
		return login;
	return NULL;
}

bool
kmn_activation_is_ready(const struct kmn_keeper *k, const struct kmn_request *request)
{
	uint8_t key[KMN_SHARE_KEY_BYTES];
	const struct kmn_login *login;
	uint64_t least;

	if (!key_of(request, key))
		return true;
	login = login_by_key(k, key);
	return login != NULL && kmn_json_get_number(kmn_activation_login(request), "least", &least) &&
	       login->shares >= least;
}

bool
kmn_activation_is_orphan(const struct kmn_keeper *k, const struct kmn_request *request)
{
	uint8_t key[KMN_SHARE_KEY_BYTES];
	const struct kmn_login *login;

	if (!key_of(request, key))
		return false;
	login = login_by_key(k, key);
	return login == NULL || worker_of(k, login) == NULL;
}

/* ---- answers without a quorum ------------------------------------------------------------------------------------- */

static void
refuse(struct kmn_call_state *call, const char *reason)
{
	call->durability = 'B';
	call->verdict.answer = KMN_ANSWER_REFUSED;
	snprintf(call->verdict.reason, sizeof(call->verdict.reason), "rule %.60s: %s", call->verdict.rule, reason);
	kmn_call_refuse_op(call, kmn_call_refusal_rv(call));
}

/* The module's own word, or what it would say: recorded as any login is. */
static void
answer(struct kmn_call_state *call, CK_RV rv)
{
	uint8_t *reply;
	size_t len;

	call->durability = 'B';
	call->started_us = kmn_keeper_now_us();
	if (kmn_call_reply_error(call, rv, &reply, &len) != KMN_OK)
		KMN_BUG("out of memory");
	kmn_call_take_reply(call, reply, len);
}

/* ---- holding ------------------------------------------------------------------------------------------------------ */

static void
put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) != 0)
		KMN_BUG("out of memory");
}

/* Member `login` of the intent; `login` NULL: the PIN is not the gateway's. */
static json_t *
login_json(const struct kmn_call_state *call, const struct kmn_login *login)
{
	static const char *const users[] = {"CKU_SO", "CKU_USER", "CKU_CONTEXT_SPECIFIC"};
	const struct kmn_value *pin = kmn_view_nth(&call->view, KMN_KIND_PIN, 0);
	json_t *body = json_object();
	struct kmn_sealed_pin *sealed;
	const char *text;
	unsigned of = 0;

	put(body, "user", json_string(users[user_of(call)]));
	if (login == NULL) {
		put(body, "pin", json_string(pin->null ? "protected-path" : "supplied"));
		return body;
	}
	text = login->text;
	if (kmn_sealed_pin_parse(text, strlen(text), &sealed) != KMN_OK)
		KMN_BUG("a sealed PIN that could be read at the start");
	while (kmn_sealed_pin_share_at(sealed, of) != NULL)
		of++;
	put(body, "pin", json_string("sealed"));
	put(body, "sealed_sha256", kmn_json_b64(kmn_sealed_pin_sha256(sealed), KMN_HASH_BYTES));
	put(body, "least", json_integer((json_int_t)kmn_sealed_pin_least(sealed)));
	put(body, "of", json_integer((json_int_t)of));
	put(body, "key", kmn_json_b64(login->key, sizeof(login->key)));
	kmn_sealed_pin_free(sealed);
	return body;
}

/* What the caller gave for a PIN goes nowhere: nor is it kept while the call waits. */
static void
drop_pin(const struct kmn_call_state *call)
{
	const struct kmn_value *pin = kmn_view_nth(&call->view, KMN_KIND_PIN, 0);

	if (pin->len > 0)
		OPENSSL_cleanse(call->bytes + (pin->bytes - call->bytes), pin->len);
}

/* What custodians will be shown is known: the call becomes a request, or joins the one that is open. */
static void
hold(struct kmn_call_state *call, const struct kmn_login *login)
{
	struct kmn_keeper *k = call->keeper;

	if (kmn_record_intent(call, &call->intent) != KMN_OK) {
		refuse(call, "its arguments cannot be put into a record");
		return;
	}
	put(call->intent, "login", login_json(call, login));
	if (kmn_policy_judge_intent(kmn_keeper_policy(k), call->intent, NULL, kmn_keeper_now_ms(), &call->verdict) !=
	    KMN_OK)
		KMN_BUG("an intent that cannot be judged");
	call->durability = 'A';
	call->has_login = login != NULL;
	if (login != NULL) {
		memcpy(call->login, login->key, sizeof(call->login));
		drop_pin(call);
	}
	if (call->verdict.answer == KMN_ANSWER_HELD)
		kmn_hold_start(call);
	else
		kmn_call_refuse(call);
}

static void
pair_made(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_login *login, *before;
	unsigned sealed;
	kmn_err e;

	if (r == NULL)
		return; /* its branch ends, and with it this call */
	if ((login = calloc(1, sizeof(*login))) == NULL)
		KMN_BUG("out of memory");
	e = (kmn_err)kmn_reader_u32(r);
	kmn_reader_raw(r, login->key, sizeof(login->key));
	(void)kmn_reader_u8(r);
	if (kmn_reader_end(r) != KMN_OK || e != KMN_OK || !sealed_for(call, &sealed)) {
		free(login);
		call->why = KMN_E_TOO_MANY;
		refuse(call, "no key pair can be made for it now: too many logins are open");
		return;
	}
	before = open_login(call); /* another thread of the application asked at the same time */
	login->worker = call->branch->worker->id;
	login->slot = call->vendor_slot;
	login->user = user_of(call);
	login->sealed = sealed;
	login->text = call->sealed_text;
	call->sealed_text = NULL;
	LIST_INSERT_HEAD(&k->fresh, login, link);
	if (before != NULL)
		forget(k, login);
	hold(call, before != NULL ? before : login);
}

static void
make_pair(struct kmn_call_state *call, unsigned sealed)
{
	const char *text = sealed_text(call->keeper, sealed);
	struct kmn_writer w;

	free(call->sealed_text);
	call->sealed_text = copy(text, strlen(text));
	kmn_writer_init(&w, KMN_SEALED_PIN_MAX_BYTES + 64);
	kmn_writer_bytes(&w, text, strlen(text));
	if (kmn_branch_ask(call->keeper, call->branch, KMN_W_LOGIN, &w, pair_made, call) != KMN_OK)
		kmn_branch_lost(call->keeper, call->branch, "its worker does not listen");
	kmn_writer_clear(&w);
}

/* Nobody is logged in, as far as the module says. */
static void
begin(struct kmn_call_state *call)
{
	struct kmn_login *login;
	unsigned sealed;

	if (!sealed_for(call, &sealed))
		hold(call, NULL);
	else if (user_of(call) == CKU_SO)
		refuse(call, "the PIN that is sealed is the user's, not the security officer's");
	else if (call->keeper->sealed_refused[sealed])
		refuse(call, "the HSM has refused the sealed PIN: seal the right one, and send the gateway SIGHUP");
	else if ((login = open_login(call)) != NULL)
		hold(call, login);
	else
		make_pair(call, sealed);
}

/* Who is logged in already is told so by the module's rules, and nobody is asked. */
static CK_RV
rv_of_state(const struct kmn_call_state *call, uint64_t state)
{
	bool so = state == CKS_RW_SO_FUNCTIONS, user = state == CKS_RO_USER_FUNCTIONS || state == CKS_RW_USER_FUNCTIONS;

	if (user_of(call) == CKU_CONTEXT_SPECIFIC || (!so && !user))
		return CKR_OK;
	return so == (user_of(call) == CKU_SO) ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
}

static void
state_told(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_response_view response;
	const struct kmn_result *info;
	const uint8_t *payload;
	size_t len;
	CK_RV rv;

	if (r == NULL)
		return; /* its branch ends, and with it this call */
	len = kmn_reader_rest(r, &payload);
	if (kmn_response_view_decode(payload, len, &response) != KMN_OK || response.id != KMN_C_GetSessionInfo) {
		kmn_branch_lost(k, call->branch, "its worker answers in a shape that cannot be");
		return;
	}
	info = kmn_response_nth(&response, KMN_KIND_SESSION_INFO, 0);
	rv = (CK_RV)response.rv;
	if (rv == CKR_OK && (info == NULL || info->len < 2 * sizeof(uint64_t)))
		rv = CKR_DEVICE_ERROR;
	if (rv == CKR_OK)
		rv = rv_of_state(call, kmn_result_item(info, 1));
	if (rv == CKR_OK)
		begin(call);
	else
		answer(call, rv);
}

static void
ask_state(struct kmn_call_state *call)
{
	CK_SESSION_INFO room;
	struct kmn_arg arg[] = {{.u = (CK_ULONG)call->session_handle}, {.p = &room}};
	struct kmn_writer w;

	kmn_writer_init(&w, 256);
	kmn_writer_u8(&w, 0);
	if (kmn_request_encode(KMN_C_GetSessionInfo, arg, KMN_COUNT_OF(arg), &w) != KMN_OK)
		KMN_BUG("a question for a session's state cannot be put");
	if (kmn_branch_ask(call->keeper, call->branch, KMN_W_CALL, &w, state_told, call) != KMN_OK)
		kmn_branch_lost(call->keeper, call->branch, "its worker does not listen");
	kmn_writer_clear(&w);
}

void
kmn_activation_start(struct kmn_call_state *call)
{
	if (call->verdict.per != KMN_PER_LOGIN)
		refuse(call, "a login is approved as such: the rule must say `per login`");
	else if (call->view.id != KMN_C_Login)
		refuse(call, "only C_Login is approved `per login`");
	else if (call->session == NULL || user_of(call) > CKU_CONTEXT_SPECIFIC)
		kmn_call_send_in_turn(call); /* the module says what is wrong with it */
	else
		ask_state(call);
}

void
kmn_activation_again(struct kmn_call_state *call)
{
	json_decref(call->intent);
	call->intent = NULL;
	call->has_login = false;
	call->step = KMN_STEP_FACTS;
	kmn_activation_start(call);
}

/* ---- what came of it ---------------------------------------------------------------------------------------------- */

/* Who is logged in, and when, is read from `session` records, whatever let them in. */
static void
note_session(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	json_t *body;

	if (kmn_record_session(call, response, &body) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "a login has no record of its own");
		return;
	}
	put(body, "request", kmn_ref_json(&call->request));
	if (kmn_keeper_append(call->keeper, KMN_R_SESSION, body, NULL) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "a login has no record of its own");
}

void
kmn_activation_ran(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	struct kmn_login *login;

	if (call->view.id != KMN_C_Login || call->durability != 'A')
		return;
	note_session(call, response);
	if (!call->has_login || (login = login_by_key(call->keeper, call->login)) == NULL)
		return;
	/* Once is enough to know: each further try would bring the HSM nearer to locking the token. */
	if (response->rv == CKR_PIN_INCORRECT || response->rv == CKR_PIN_LOCKED || response->rv == CKR_PIN_EXPIRED ||
	    response->rv == CKR_PIN_INVALID || response->rv == CKR_PIN_LEN_RANGE) {
		call->keeper->sealed_refused[login->sealed] =
		    strcmp(login->text, sealed_text(call->keeper, login->sealed)) == 0;
		kmn_say(KMN_SAY_ERROR, "token %s: the HSM refuses the PIN that is sealed: seal the right one",
		    call->keeper->setup->activations[login->sealed].token);
	}
	login_free(login); /* the worker has wiped what it had */
}

void
kmn_activation_mark(const struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply)
{
	const struct kmn_result *info = kmn_response_nth(response, KMN_KIND_TOKEN_INFO, 0);
	struct kmn_question q = {
	    .client_spki_sha256 = call->instance->spki_sha256, .call = "C_Login", .now = kmn_keeper_now_ms()};
	struct kmn_verdict verdict;
	unsigned sealed;

	if (response->rv != CKR_OK || info == NULL || info->len < FLAGS_AT + sizeof(uint64_t) ||
	    !sealed_for(call, &sealed))
		return;
	q.token = &call->token->facts;
	kmn_policy_judge(kmn_keeper_policy(call->keeper), &q, &verdict);
	if (verdict.answer == KMN_ANSWER_HELD && verdict.per == KMN_PER_LOGIN)
		reply[(size_t)(info->bytes - reply) + FLAGS_AT + 6] |= CKF_PROTECTED_AUTHENTICATION_PATH >> 8;
}

/* ---- shares ------------------------------------------------------------------------------------------------------- */

/* A share that the worker looks at. */
struct passing {
	uint32_t conn;
	uint64_t request;
};

static const struct {
	kmn_err e;
	const char *text;
} wrong[] = {
    {KMN_E_NOT_FOUND, "the process that asked for the login is gone: a new request follows"},
    {KMN_E_PASSPHRASE, "the share was not sealed to the key that the statement names"},
    {KMN_E_CORRUPT, "it is not a share of the PIN that the gateway has"},
};

static void
share_taken(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct passing *passing = cookie;
	struct kmn_conn *conn = kmn_conn_get(k, passing->conn);
	uint64_t request = passing->request;
	uint8_t key[KMN_SHARE_KEY_BYTES] = {0};
	kmn_err e = KMN_E_NOT_FOUND;
	struct kmn_login *login;
	unsigned shares = 0;

	free(passing);
	if (r != NULL) {
		e = (kmn_err)kmn_reader_u32(r);
		kmn_reader_raw(r, key, sizeof(key));
		shares = kmn_reader_u8(r);
		if (kmn_reader_end(r) != KMN_OK)
			e = KMN_E_WORKER;
	}
	if ((login = login_by_key(k, key)) == NULL && e == KMN_OK)
		e = KMN_E_NOT_FOUND;
	if (e != KMN_OK) {
		for (size_t i = 0; i < KMN_COUNT_OF(wrong); i++)
			if (wrong[i].e == e)
				kmn_admin_refuse(k, conn, e, wrong[i].text);
		if (e != KMN_E_NOT_FOUND && e != KMN_E_PASSPHRASE && e != KMN_E_CORRUPT)
			kmn_admin_refuse(k, conn, KMN_E_WORKER, "the share was not taken");
		return;
	}
	login->shares = shares;
	kmn_admin_answer(k, conn, json_pack("{s:I, s:i}", "request", (json_int_t)request, "shares", (int)shares));
	kmn_hold_advance(k, request);
}

/* Passes a box on, which only the worker opens. */
static kmn_err
pass_on(struct kmn_keeper *k, const struct kmn_conn *conn, const struct kmn_request *request, const uint8_t *box,
    size_t len)
{
	struct passing *passing = NULL;
	uint8_t key[KMN_SHARE_KEY_BYTES];
	struct kmn_worker *worker;
	struct kmn_login *login;
	struct kmn_writer w;
	kmn_err e;

	if (!key_of(request, key) || (login = login_by_key(k, key)) == NULL || (worker = worker_of(k, login)) == NULL)
		return KMN_E_NOT_FOUND;
	if ((passing = calloc(1, sizeof(*passing))) == NULL)
		return KMN_E_NO_MEMORY;
	*passing = (struct passing){.conn = conn->id, .request = request->i};
	kmn_writer_init(&w, 512);
	kmn_writer_raw(&w, key, sizeof(key));
	kmn_writer_bytes(&w, box, len);
	if ((e = w.err) == KMN_OK)
		e = kmn_worker_ask(k, worker, KMN_W_SHARE, w.bytes, w.len, share_taken, passing);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		free(passing);
	return e;
}

void
kmn_activation_share(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	const struct kmn_request *request = kmn_quorum_request(k->quorum, kmn_reader_u64(r));
	const uint8_t *box;
	size_t len = kmn_reader_bytes(r, KMN_SHARE_BOX_BYTES, &box);
	kmn_err e;

	if (kmn_reader_end(r) != KMN_OK) {
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
		return;
	}
	if (request == NULL || request->state != KMN_REQUEST_OFFERED)
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND, "the request waits for no shares");
	else if ((e = pass_on(k, conn, request, box, len)) != KMN_OK)
		kmn_admin_refuse(k, conn, e, "the process that asked for the login is gone: a new request follows");
}

void
kmn_activation_show(const struct kmn_keeper *k, const struct kmn_request *request, json_t *answer)
{
	uint8_t key[KMN_SHARE_KEY_BYTES];
	const struct kmn_login *login;

	if (key_of(request, key) && (login = login_by_key(k, key)) != NULL)
		put(answer, "sealed_pin", json_string(login->text));
}
