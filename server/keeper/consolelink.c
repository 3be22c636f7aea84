/*
 * The keeper's end of the console: questions by tag, answers by tag, and what everybody who is signed in hears. Which
 * question goes where, and who may ask it, is the table of kanmon/console.h.
 */
#include "config.h"

#include "server/keeper/runner.h"

#include "kanmon/say.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_US 5000u /* after which no other question is begun before applications are heard */

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static void
send_answer(struct kmn_keeper *k, uint32_t tag, kmn_err e, const uint8_t session[KMN_UI_SESSION_BYTES],
    const char *text, size_t len)
{
	struct kmn_writer w;

	if (k->console == NULL)
		return;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, tag);
	kmn_writer_u32(&w, (uint32_t)e);
	kmn_writer_raw(&w, session, KMN_UI_SESSION_BYTES);
	kmn_writer_bytes(&w, text, len);
	if (kmn_ipc_queue_writer(k->console, KMN_CONSOLE_ANSWER, &w) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "the console does not take its answers");
		kmn_consolelink_lost(k);
	}
	kmn_writer_clear(&w);
}

static const uint8_t no_session[KMN_UI_SESSION_BYTES];

static void
send_json(struct kmn_keeper *k, uint32_t tag, const uint8_t session[KMN_UI_SESSION_BYTES], json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	static const char too_long[] = "the answer is longer than the link takes: ask for less";

	json_decref(value);
	if (text == NULL || strlen(text) > KMN_UI_ANSWER_MAX_BYTES)
		send_answer(k, tag, KMN_E_TOO_BIG, no_session, too_long, strlen(too_long));
	else
		send_answer(k, tag, KMN_OK, session, text, strlen(text));
	free(text);
}

void
kmn_ui_answer(const struct kmn_ui_ask *ask, json_t *value)
{
	send_json(ask->keeper, ask->tag, no_session, value);
}

void
kmn_ui_refuse(const struct kmn_ui_ask *ask, kmn_err e, const char *reason)
{
	send_answer(ask->keeper, ask->tag, e, no_session, reason, strlen(reason));
}

bool
kmn_ui_read_all(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	kmn_err e = kmn_reader_end(r);

	if (e != KMN_OK)
		kmn_ui_refuse(ask, e, kmn_err_text(e));
	return e == KMN_OK;
}

void
kmn_ui_refuse_why(const struct kmn_ui_ask *ask, kmn_err e, const struct kmn_why *why)
{
	kmn_ui_refuse(ask, e, why->text[0] != '\0' ? why->text : kmn_err_text(e));
}

static struct kmn_ui_wait *
wait_new(const struct kmn_ui_ask *ask, json_t *value)
{
	struct kmn_ui_wait *wait = calloc(1, sizeof(*wait));

	if (wait == NULL)
		KMN_BUG("out of memory");
	wait->tag = ask->tag;
	wait->waits_for = kmn_log_size(ask->keeper->log);
	wait->answer = value;
	TAILQ_INSERT_TAIL(&ask->keeper->consoling->waits, wait, link);
	return wait;
}

void
kmn_ui_answer_when_durable(const struct kmn_ui_ask *ask, json_t *value)
{
	(void)wait_new(ask, value);
}

void
kmn_ui_begin_when_durable(const struct kmn_ui_ask *ask, const uint8_t session[KMN_UI_SESSION_BYTES], json_t *value)
{
	memcpy(wait_new(ask, value)->session, session, KMN_UI_SESSION_BYTES);
}

static void
wait_free(struct kmn_consoling *c, struct kmn_ui_wait *wait)
{
	TAILQ_REMOVE(&c->waits, wait, link);
	json_decref(wait->answer);
	sodium_memzero(wait, sizeof(*wait));
	free(wait);
}

void
kmn_consolelink_durable(struct kmn_keeper *k, size_t size)
{
	struct kmn_ui_wait *wait;

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not see that TAILQ_REMOVE took the freed one out */
	while (k->consoling != NULL && (wait = TAILQ_FIRST(&k->consoling->waits)) != NULL && wait->waits_for <= size) {
		send_json(k, wait->tag, wait->session, json_incref(wait->answer));
		if (wait == TAILQ_FIRST(&k->consoling->waits)) /* the console may be gone since */
			wait_free(k->consoling, wait);
	}
	if (k->consoling != NULL)
		kmn_ui_events_durable(k, size);
}

void
kmn_ui_tell(struct kmn_keeper *k, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	struct kmn_writer w;

	json_decref(value);
	if (text != NULL && k->console != NULL) {
		kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
		kmn_writer_text(&w, text);
		if (kmn_ipc_queue_writer(k->console, KMN_CONSOLE_EVENT, &w) != KMN_OK)
			kmn_consolelink_lost(k);
		kmn_writer_clear(&w);
	}
	free(text);
}

void
kmn_ui_tell_ended(struct kmn_keeper *k, const uint8_t session[KMN_UI_SESSION_BYTES])
{
	if (k->console != NULL && kmn_ipc_queue(k->console, KMN_CONSOLE_ENDED, session, KMN_UI_SESSION_BYTES) != KMN_OK)
		kmn_consolelink_lost(k);
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

#define ROLE(symbol, value, role, changes, fields, answer) {symbol, role, changes},
static const struct {
	enum kmn_ui_op op;
	enum kmn_ui_role role;
	bool changes;
} rules[] = {KMN_UI_ROWS(ROLE)};
#undef ROLE

static const struct {
	enum kmn_ui_op op;
	void (*answer)(const struct kmn_ui_ask *ask, struct kmn_reader *r);
} questions[] = {
    {KMN_UI_SIGN_IN_TEXT, kmn_ui_sign_in_text},
    {KMN_UI_SIGN_IN, kmn_ui_sign_in},
    {KMN_UI_SIGN_IN_TLS, kmn_ui_sign_in_tls},
    {KMN_UI_FAILED, kmn_ui_failed},
    {KMN_UI_SESSION, kmn_ui_session},
    {KMN_UI_SIGN_OUT, kmn_ui_sign_out},
    {KMN_UI_HEALTH, kmn_ui_health},
    {KMN_UI_REQUEST_LIST, kmn_ui_request_list},
    {KMN_UI_REQUEST_SHOW, kmn_ui_request_show},
    {KMN_UI_SHOWN, kmn_ui_shown},
    {KMN_UI_NOTE, kmn_ui_note},
    {KMN_UI_LINE, kmn_ui_line},
    {KMN_UI_WITHDRAW, kmn_ui_withdraw},
    {KMN_UI_TEXT, kmn_ui_text},
    {KMN_UI_DRAFTS, kmn_ui_drafts},
    {KMN_UI_DRAFT, kmn_ui_draft},
    {KMN_UI_DRAFT_DROP, kmn_ui_draft_drop},
    {KMN_UI_CHECKPOINT, kmn_ui_checkpoint},
    {KMN_UI_RECORDS, kmn_ui_records},
    {KMN_UI_PROOF, kmn_ui_proof},
    {KMN_UI_CONSISTENCY, kmn_ui_consistency},
    {KMN_UI_BLOB, kmn_ui_blob},
    {KMN_UI_POLICY, kmn_ui_policy},
    {KMN_UI_FIND, kmn_ui_find},
    {KMN_UI_BUNDLE, kmn_ui_bundle},
    {KMN_UI_POLICY_WORDS, kmn_ui_policy_words},
    {KMN_UI_KEYS, kmn_ui_keys},
    {KMN_UI_TOKENS, kmn_ui_tokens},
    {KMN_UI_CUSTODIANS, kmn_ui_custodians},
    {KMN_UI_WINDOWS, kmn_ui_windows},
    {KMN_UI_INSTRUCTION_TEXT, kmn_ui_instruction_text},
    {KMN_UI_INSTRUCT, kmn_ui_instruct},
    {KMN_UI_INSTRUCTIONS, kmn_ui_instructions},
    {KMN_UI_INSTRUCTION, kmn_ui_instruction},
};

/* NULL: may ask. */
static const char *
refusal(const struct kmn_ui_ask *ask, size_t rule, const uint8_t csrf[KMN_UI_CSRF_BYTES])
{
	if (rules[rule].role == KMN_UI_ANYBODY)
		return NULL;
	if (ask->session == NULL)
		return "nobody is signed in: sign in again";
	if ((ask->roles & (unsigned)rules[rule].role) == 0)
		return "the policy gives this person no role that may ask this";
	if (rules[rule].changes && sodium_memcmp(csrf, ask->session->csrf, KMN_UI_CSRF_BYTES) != 0)
		return "the question does not bring what the session's page was given (CSRF)";
	return NULL;
}

static void
answer(struct kmn_ui_ask *ask, uint8_t op, const uint8_t csrf[KMN_UI_CSRF_BYTES], struct kmn_reader *r)
{
	const char *why = "this gateway does not know that question";

	for (size_t i = 0; i < KMN_COUNT_OF(rules); i++) {
		if (rules[i].op != op)
			continue;
		if ((why = refusal(ask, i, csrf)) != NULL) {
			kmn_ui_refuse(ask, ask->session == NULL ? KMN_E_PEER : KMN_E_DENIED, why);
			return;
		}
		why = "this gateway does not answer that question";
	}
	for (size_t i = 0; i < KMN_COUNT_OF(questions); i++)
		if (questions[i].op == op) {
			questions[i].answer(ask, r);
			return;
		}
	kmn_ui_refuse(ask, KMN_E_NOT_FOUND, why);
}

/* False: not what a console says. */
static bool
take(struct kmn_keeper *k, const struct kmn_ipc_message *m)
{
	uint8_t id[KMN_UI_SESSION_BYTES], csrf[KMN_UI_CSRF_BYTES], op;
	struct kmn_ui_ask ask = {.keeper = k};
	struct kmn_reader r;

	kmn_reader_init(&r, m->body, m->len_bytes);
	ask.tag = kmn_reader_u32(&r);
	op = kmn_reader_u8(&r);
	kmn_reader_raw(&r, id, sizeof(id));
	kmn_reader_raw(&r, csrf, sizeof(csrf));
	if (m->kind != KMN_CONSOLE_ASK || r.err != KMN_OK)
		return false;
	if (k->unrecorded) {
		kmn_ui_refuse(&ask, KMN_E_LEDGER, "the ledger cannot be written: see the gateway's log");
		return true;
	}
	if ((ask.session = kmn_ui_session_get(k, id)) != NULL)
		ask.roles = kmn_ui_roles(k, ask.session->name);
	answer(&ask, op, csrf, &r);
	return true;
}

/* ---- the link ---------------------------------------------------------------------------------------------------- */

void
kmn_consolelink_take(struct kmn_keeper *k, struct kmn_ipc *console, const char *why)
{
	kmn_consolelink_lost(k);
	if (k->consoling == NULL) {
		if ((k->consoling = calloc(1, sizeof(*k->consoling))) == NULL)
			KMN_BUG("out of memory");
		kmn_keeper_random(k->consoling->text_key, sizeof(k->consoling->text_key));
		TAILQ_INIT(&k->consoling->waits);
		TAILQ_INIT(&k->consoling->bundles);
		TAILQ_INIT(&k->consoling->drafts);
		kmn_ui_view_begin(k);
		kmn_ui_hsm_begin(k);
		kmn_ui_drafts_load(k);
	}
	k->console = console;
	if (kmn_keeper_watch(k, kmn_ipc_fd(console), &k->console) != KMN_OK)
		kmn_keeper_fail(k, "the console's socket cannot be watched");
	kmn_say(KMN_SAY_INFO, "a console (%s)", why);
}

/* Sessions stay: the browsers' cookies are as good with the console that comes after it. */
void
kmn_consolelink_lost(struct kmn_keeper *k)
{
	struct kmn_ui_wait *wait;

	kmn_ipc_free(k->console);
	k->console = NULL;
	while (k->consoling != NULL && (wait = TAILQ_FIRST(&k->consoling->waits)) != NULL)
		wait_free(k->consoling, wait); /* NOLINT(clang-analyzer-unix.Malloc): as above */
	if (k->consoling != NULL)
		kmn_ui_bundles_drop(k);
}

void
kmn_consolelink_readable(struct kmn_keeper *k)
{
	struct kmn_ipc *console = k->console;
	uint64_t end = kmn_keeper_now_us() + SLICE_US;
	struct kmn_ipc_message m;
	unsigned heard = 0;
	kmn_err e = KMN_OK;

	while (k->console == console && console != NULL && heard++ < KMN_KEEPER_HEARD_MAX &&
	       kmn_keeper_now_us() < end && (e = kmn_ipc_poll(console, &m)) == KMN_OK)
		if (!take(k, &m)) {
			kmn_say(KMN_SAY_ERROR, "the console says what no console says");
			e = KMN_E_MALFORMED;
			break;
		}
	if (k->console == console && e != KMN_OK && e != KMN_E_AGAIN)
		kmn_consolelink_lost(k);
}

void
kmn_consolelink_tick(struct kmn_keeper *k)
{
	if (k->consoling == NULL)
		return;
	kmn_ui_sessions_tick(k);
	kmn_ui_drafts_tick(k);
	kmn_ui_hsm_tick(k);
}

bool
kmn_consolelink_work(struct kmn_keeper *k)
{
	bool more;

	if (k->consoling == NULL || k->console == NULL || k->unrecorded)
		return false;
	more = kmn_ui_bundles_work(k);
	return kmn_ui_view_work(k) || more;
}

void
kmn_consolelink_clear(struct kmn_keeper *k)
{
	kmn_consolelink_lost(k);
	if (k->consoling != NULL) {
		kmn_ui_view_free(k->consoling->view);
		kmn_ui_drafts_free(k->consoling);
		kmn_ui_hsm_free(k->consoling->hsm);
		sodium_memzero(k->consoling, sizeof(*k->consoling));
	}
	free(k->consoling);
	k->consoling = NULL;
}
