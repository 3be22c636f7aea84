/*
 * Who is at the console: sessions, and what is counted of sign-ins that fail. A session is in the keeper's memory and in
 * the ledger; the console only carries its bytes.
 */
#include "config.h"

#include "server/keeper/console.h"

#include "kanmon/evidence.h"
#include "kanmon/say.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED_EVERY_MS 60000

/* ---- what is signed --------------------------------------------------------------------------------------------- */

/* By the keys of the policy in force; a version that is proposed is signed by those that it brings, too. */
static kmn_err
assertion_note(struct kmn_keeper *k, const char *bytes, size_t len, const uint8_t *packed, size_t packed_len,
    char **note_out, size_t *len_out, struct kmn_why *why)
{
	kmn_err e =
	    kmn_evidence_assertion_note(kmn_keeper_policy(k), bytes, len, packed, packed_len, note_out, len_out, why);
	struct kmn_policy_error error;
	struct kmn_policy *next;
	struct kmn_note note;
	bool signed_already;

	if (e != KMN_E_SIGNATURE || !kmn_ui_is_policy(bytes, len))
		return e;
	signed_already = kmn_note_parse(bytes, len, &note, NULL) == KMN_OK;
	if (kmn_policy_parse(bytes, signed_already ? note.text_len : len, &next, &error) != KMN_OK)
		return e;
	e = kmn_evidence_assertion_note(next, bytes, len, packed, packed_len, note_out, len_out, why);
	kmn_policy_free(next);
	return e;
}

/* An assertion of a browser, made into the note that it is evidence for. */
static kmn_err
assertion_get(struct kmn_keeper *k, struct kmn_reader *r, char **note_out, size_t *len_out, struct kmn_why *why)
{
	const uint8_t *text, *data, *client, *sig;
	uint8_t packed[KMN_NOTE_SIG_MAX_BYTES];
	size_t len = kmn_reader_bytes(r, KMN_NOTE_MAX_BYTES, &text), packed_len;
	size_t data_len = kmn_reader_bytes(r, KMN_NOTE_SIG_MAX_BYTES, &data);
	size_t client_len = kmn_reader_bytes(r, KMN_NOTE_SIG_MAX_BYTES, &client);
	size_t sig_len = kmn_reader_bytes(r, KMN_NOTE_SIG_MAX_BYTES, &sig);
	kmn_err e;

	if (r->err != KMN_OK)
		return r->err;
	if ((e = kmn_evidence_assertion(
		 data, data_len, client, client_len, sig, sig_len, packed, sizeof(packed), &packed_len)) != KMN_OK) {
		kmn_why_set(why, "the assertion is longer than a signature line holds");
		return e;
	}
	return assertion_note(k, (const char *)text, len, packed, packed_len, note_out, len_out, why);
}

kmn_err
kmn_ui_signed_get(struct kmn_keeper *k, struct kmn_reader *r, char **note_out, size_t *len_out, struct kmn_why *why)
{
	const uint8_t *note;
	uint8_t form = kmn_reader_u8(r);

	*note_out = NULL;
	*len_out = 0;
	if (form == 1)
		return assertion_get(k, r, note_out, len_out, why);
	*len_out = kmn_reader_bytes(r, KMN_NOTE_MAX_BYTES, &note);
	if (form != 0)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err != KMN_OK)
		return r->err;
	*note_out = strndup((const char *)note, *len_out);
	return *note_out != NULL && strlen(*note_out) == *len_out ? KMN_OK : KMN_E_MALFORMED;
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

unsigned
kmn_ui_roles(const struct kmn_keeper *k, const char *name)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_policy_custodian *c;
	const struct kmn_policy_peer *peer;
	unsigned roles = 0;

	for (size_t n = 0; (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (strcmp(c->name, name) == 0)
			roles |= c->auditor ? KMN_UI_AUDITOR : KMN_UI_CUSTODIAN;
	for (size_t n = 0; k->setup->console_client != NULL && (peer = kmn_policy_peer_at(policy, n)) != NULL; n++)
		if (!peer->terminal && strcmp(peer->name, k->setup->console_client) == 0)
			for (const char *const *o = peer->operators; o != NULL && *o != NULL; o++)
				roles |= strcmp(*o, name) == 0 ? KMN_UI_OPERATOR : 0;
	return roles;
}

/* The name that signs of the person whose terminal shows this key; NULL: no terminal's. */
static const struct kmn_policy_custodian *
person_of_terminal(const struct kmn_policy *policy, const uint8_t spki_sha256[KMN_HASH_BYTES])
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, spki_sha256);
	const struct kmn_policy_custodian *c;

	for (size_t n = 0; peer != NULL && peer->terminal && (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (strcmp(c->person, peer->person) == 0)
			return c;
	return NULL;
}

/* Does the policy in force still know what the person came in with? */
static bool
is_known(const struct kmn_keeper *k, const struct kmn_ui_session *session)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_policy_custodian *c;

	if (session->by_certificate) {
		c = person_of_terminal(policy, session->spki_sha256);
		return c != NULL && strcmp(c->name, session->name) == 0;
	}
	for (size_t n = 0; (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (strcmp(c->name, session->name) == 0 &&
		    memcmp(c->key->spki_sha256, session->spki_sha256, KMN_HASH_BYTES) == 0)
			return true;
	return false;
}

json_t *
kmn_ui_actor(const struct kmn_ui_session *session)
{
	return json_pack("{s:s, s:o, s:s, s:o}", "name", session->name, "address",
	    kmn_json_label(session->address, strlen(session->address)), "by",
	    session->by_certificate ? "certificate" : "key", "spki_sha256",
	    kmn_json_b64(session->spki_sha256, KMN_HASH_BYTES));
}

static json_t *
tls_json(const struct kmn_ui_session *session)
{
	return json_pack("{s:o, s:o}", "ver", kmn_json_label(session->ver, strlen(session->ver)), "suite",
	    kmn_json_label(session->suite, strlen(session->suite)));
}

json_t *
kmn_ui_sessions_json(const struct kmn_keeper *k)
{
	json_t *all = json_array();

	for (size_t n = 0; n < k->consoling->sessions; n++) {
		const struct kmn_ui_session *one = &k->consoling->session[n];
		json_t *actor = kmn_ui_actor(one);

		(void)json_object_set_new(actor, "tls", tls_json(one));
		(void)json_object_set_new(actor, "ui_sess", json_integer((json_int_t)one->ui_sess));
		(void)json_object_set_new(actor, "since", json_integer((json_int_t)one->since_ms));
		(void)json_array_append_new(all, actor);
	}
	return all;
}

void
kmn_ui_session_end(struct kmn_keeper *k, struct kmn_ui_session *session, const char *reason)
{
	struct kmn_consoling *c = k->consoling;
	struct kmn_why why = {""};
	json_t *body = json_pack("{s:I, s:o, s:s, s:s}", "ui_sess", (json_int_t)session->ui_sess, "actor",
	    kmn_ui_actor(session), "what", kmn_action_word(KMN_ACTION_SIGN_OUT), "reason", reason);

	kmn_say(KMN_SAY_INFO, "console: %s is signed out: %s", session->name, reason);
	kmn_clock_tick(k);
	/* The clock may have gone ahead so far that the ledger has forgotten it. */
	if (kmn_ui_record(k, body, NULL, &why) == KMN_E_LEDGER)
		kmn_say(KMN_SAY_ERROR, "console: a session ends without its record");
	kmn_ui_tell_ended(k, session->id);
	*session = c->session[--c->sessions];
	sodium_memzero(&c->session[c->sessions], sizeof(c->session[0]));
}

/* NULL: it goes on. */
static const char *
why_over(struct kmn_keeper *k, const struct kmn_ui_session *session, int64_t now)
{
	if (now - session->asked_ms > KMN_UI_IDLE_MS)
		return "idle";
	if (now - session->begun_ms > KMN_ACTION_SESSION_MS ||
	    kmn_clock_record_ms(k) - session->since_ms > KMN_ACTION_SESSION_MS)
		return "over";
	return is_known(k, session) ? NULL : "policy";
}

void
kmn_ui_sessions_tick(struct kmn_keeper *k)
{
	struct kmn_consoling *c = k->consoling;
	int64_t now = kmn_keeper_boot_ms();
	const char *why;

	for (size_t n = 0; n < c->sessions;)
		if ((why = why_over(k, &c->session[n], now)) != NULL)
			kmn_ui_session_end(k, &c->session[n], why);
		else
			n++;
	kmn_ui_refused_tick(k);
}

struct kmn_ui_session *
kmn_ui_session_get(struct kmn_keeper *k, const uint8_t id[KMN_UI_SESSION_BYTES])
{
	struct kmn_consoling *c = k->consoling;
	struct kmn_ui_session *found = NULL;
	int64_t now = kmn_keeper_boot_ms();
	const char *why;

	for (size_t n = 0; n < c->sessions; n++)
		if (sodium_memcmp(c->session[n].id, id, KMN_UI_SESSION_BYTES) == 0)
			found = &c->session[n];
	if (found == NULL)
		return NULL;
	if ((why = why_over(k, found, now)) != NULL) {
		kmn_ui_session_end(k, found, why);
		return NULL;
	}
	found->asked_ms = now;
	return found;
}

/* Room for one more of that person: who asked nothing for the longest time goes. */
static void
make_room(struct kmn_keeper *k, const char *name)
{
	struct kmn_consoling *c = k->consoling;
	struct kmn_ui_session *oldest = NULL, *own = NULL;
	size_t of_one = 0;

	for (size_t n = 0; n < c->sessions; n++) {
		struct kmn_ui_session *session = &c->session[n];

		if (oldest == NULL || session->asked_ms < oldest->asked_ms)
			oldest = session;
		if (strcmp(session->name, name) != 0)
			continue;
		of_one++;
		if (own == NULL || session->asked_ms < own->asked_ms)
			own = session;
	}
	if (of_one >= KMN_UI_SESSIONS_OF_ONE_MAX)
		kmn_ui_session_end(k, own, "signed in elsewhere");
	else if (c->sessions == KMN_UI_SESSIONS_MAX)
		kmn_ui_session_end(k, oldest, "too many are signed in");
}

static json_t *
session_json(struct kmn_keeper *k, const struct kmn_ui_session *session)
{
	static const struct {
		enum kmn_ui_role role;
		const char *word;
	} words[] = {{KMN_UI_CUSTODIAN, "custodian"}, {KMN_UI_AUDITOR, "auditor"}, {KMN_UI_OPERATOR, "operator"}};
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_policy_custodian *c;
	int64_t now = kmn_keeper_now_ms(), boot = kmn_keeper_boot_ms();
	unsigned roles = kmn_ui_roles(k, session->name);
	char csrf[sodium_base64_ENCODED_LEN(KMN_UI_CSRF_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
	const char *person = "";
	json_t *names = json_array();

	for (size_t n = 0; n < KMN_COUNT_OF(words); n++)
		if ((roles & (unsigned)words[n].role) != 0)
			(void)json_array_append_new(names, json_string(words[n].word));
	for (size_t n = 0; (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (strcmp(c->name, session->name) == 0)
			person = c->person;
	sodium_bin2base64(
	    csrf, sizeof(csrf), session->csrf, KMN_UI_CSRF_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:I, s:s, s:I, s:I, s:I, s:I}", "origin", kmn_log_origin(k->log),
	    "name", session->name, "person", person, "roles", names, "csrf", csrf, "ui_sess",
	    (json_int_t)session->ui_sess, "by", session->by_certificate ? "certificate" : "key", "since",
	    (json_int_t)session->since_ms, "idle_at", (json_int_t)(now + KMN_UI_IDLE_MS - (boot - session->asked_ms)),
	    "ends_at", (json_int_t)(now + KMN_ACTION_SESSION_MS - (boot - session->begun_ms)), "policy_version",
	    (json_int_t)kmn_policy_version(policy));
}

/* A session of that person, whose record is `body` but for the members that all have. Takes `auth`. */
static kmn_err
begin(const struct kmn_ui_ask *ask, struct kmn_ui_session *session, json_t *auth, struct kmn_why *why)
{
	struct kmn_keeper *k = ask->keeper;
	json_t *body, *actor;
	kmn_err e;

	make_room(k, session->name);
	session->since_ms = kmn_clock_record_ms(k);
	session->ui_sess = kmn_log_size(k->log); /* the number this very record gets */
	session->begun_ms = session->asked_ms = kmn_keeper_boot_ms();
	actor = kmn_ui_actor(session);
	(void)json_object_set_new(actor, "tls", tls_json(session));
	body = json_pack("{s:I, s:o, s:s, s:o}", "ui_sess", (json_int_t)session->ui_sess, "actor", actor, "what",
	    kmn_action_word(KMN_ACTION_SIGN_IN), "auth", auth);
	if (body == NULL)
		KMN_BUG("out of memory");
	if ((e = kmn_ui_record(k, body, NULL, why)) != KMN_OK)
		return e;
	kmn_keeper_random(session->id, sizeof(session->id));
	kmn_keeper_random(session->csrf, sizeof(session->csrf));
	k->consoling->session[k->consoling->sessions++] = *session;
	kmn_say(KMN_SAY_INFO, "console: %s is signed in from %s", session->name, session->address);
	kmn_ui_begin_when_durable(ask, session->id, session_json(k, session));
	return KMN_OK;
}

/* ---- sign-ins that fail ----------------------------------------------------------------------------------------- */

static void
count_refused(struct kmn_keeper *k, const char *address)
{
	struct kmn_consoling *c = k->consoling;
	size_t n = 0;

	while (n < c->refused_count && strcmp(c->refused[n].address, address) != 0)
		n++;
	if (n == KMN_UI_ADDRESSES_MAX) {
		c->refused_others++;
		return;
	}
	if (n == c->refused_count) {
		c->refused_count++;
		snprintf(c->refused[n].address, sizeof(c->refused[n].address), "%s", address);
	}
	c->refused[n].count++;
}

static kmn_err
record_shut_out(struct kmn_keeper *k, enum kmn_action what, const char *address, uint32_t count, const char *reason)
{
	return kmn_keeper_append(k, KMN_R_ACTION,
	    json_pack("{s:i, s:{s:o}, s:s, s:I, s:o}", "ui_sess", 0, "actor", "address",
		kmn_json_label(address, strlen(address)), "what", kmn_action_word(what), "count", (json_int_t)count,
		"reason", kmn_json_label(reason, strlen(reason))),
	    NULL);
}

void
kmn_ui_refused_tick(struct kmn_keeper *k)
{
	struct kmn_consoling *c = k->consoling;
	int64_t now = kmn_keeper_boot_ms();

	if (now - c->refused_ms < REFUSED_EVERY_MS)
		return;
	c->refused_ms = now;
	c->lockouts = 0;
	for (size_t n = 0; n < c->refused_count; n++)
		if (record_shut_out(k, KMN_ACTION_REFUSED, c->refused[n].address, c->refused[n].count, "sign-ins") !=
		    KMN_OK)
			return;
	if (c->refused_others > 0 &&
	    record_shut_out(k, KMN_ACTION_REFUSED, "others", c->refused_others, "sign-ins") != KMN_OK)
		return;
	c->refused_count = 0;
	c->refused_others = 0;
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

/* The note's text is one of ours, and not used before: then whose it is. */
static kmn_err
judge_sign_in(
    struct kmn_keeper *k, const char *bytes, size_t len, struct kmn_action_signer *signer, struct kmn_why *why)
{
	struct kmn_note note;
	kmn_err e = kmn_note_parse(bytes, len, &note, why);

	if (e == KMN_OK && !kmn_ui_sign_in_is_ours(k, note.text, note.text_len)) {
		kmn_why_set(
		    why, "the text that was signed is none of this gateway's, too old, or was used: sign in anew");
		e = KMN_E_EXPIRED;
	}
	if (e == KMN_OK)
		e = kmn_action_judge_note(kmn_keeper_policy(k), KMN_SIGNED_SIGN_IN, bytes, len,
		    (uint64_t)kmn_clock_record_ms(k), signer, why);
	if (e == KMN_OK)
		kmn_ui_sign_in_used(k, note.text, note.text_len);
	return e;
}

static void
refuse_sign_in(const struct kmn_ui_ask *ask, const char *address, kmn_err e, const struct kmn_why *why)
{
	kmn_say(KMN_SAY_WARNING, "console: a sign-in from %s is refused: %s", address,
	    why->text[0] != '\0' ? why->text : kmn_err_text(e));
	count_refused(ask->keeper, address);
	kmn_ui_refuse_why(ask, e, why);
}

void
kmn_ui_sign_in(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_ui_session session = {.by_certificate = false};
	struct kmn_action_signer signer = {0};
	struct kmn_why why = {""};
	char *note = NULL;
	size_t len;
	kmn_err e;

	kmn_reader_text(r, session.address, sizeof(session.address));
	kmn_reader_text(r, session.ver, sizeof(session.ver));
	kmn_reader_text(r, session.suite, sizeof(session.suite));
	e = kmn_ui_signed_get(ask->keeper, r, &note, &len, &why);
	if (e == KMN_OK)
		e = kmn_reader_end(r);
	if (e == KMN_OK)
		e = judge_sign_in(ask->keeper, note, len, &signer, &why);
	if (e == KMN_OK) {
		snprintf(session.name, sizeof(session.name), "%s", signer.name);
		memcpy(session.spki_sha256, signer.spki_sha256, KMN_HASH_BYTES);
		e = begin(ask, &session, json_pack("{s:s}", "note", note), &why);
	}
	if (e != KMN_OK)
		refuse_sign_in(ask, session.address, e, &why);
	free(note);
	sodium_memzero(&session, sizeof(session));
}

void
kmn_ui_sign_in_tls(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_ui_session session = {.by_certificate = true};
	const struct kmn_policy_custodian *person;
	struct kmn_why why = {""};
	kmn_err e;

	kmn_reader_text(r, session.address, sizeof(session.address));
	kmn_reader_text(r, session.ver, sizeof(session.ver));
	kmn_reader_text(r, session.suite, sizeof(session.suite));
	kmn_reader_raw(r, session.spki_sha256, sizeof(session.spki_sha256));
	e = kmn_reader_end(r);
	person = person_of_terminal(kmn_keeper_policy(ask->keeper), session.spki_sha256);
	if (e == KMN_OK && person == NULL) {
		kmn_why_set(&why, "the certificate's key is on no `terminal` line of the policy");
		e = KMN_E_DENIED;
	}
	if (e == KMN_OK) {
		snprintf(session.name, sizeof(session.name), "%s", person->name);
		e = begin(
		    ask, &session, json_pack("{s:o}", "tls", kmn_json_b64(session.spki_sha256, KMN_HASH_BYTES)), &why);
	}
	if (e != KMN_OK)
		refuse_sign_in(ask, session.address, e, &why);
	sodium_memzero(&session, sizeof(session));
}

void
kmn_ui_failed(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_consoling *c = ask->keeper->consoling;
	char address[KMN_UI_NAMED_MAX_BYTES + 1], reason[KMN_UI_NAMED_MAX_BYTES + 1];
	uint64_t i = kmn_log_size(ask->keeper->log);
	uint32_t count;

	kmn_reader_text(r, address, sizeof(address));
	kmn_reader_text(r, reason, sizeof(reason));
	count = kmn_reader_u32(r);
	if (kmn_reader_end(r) != KMN_OK) {
		kmn_ui_refuse(ask, r->err, kmn_err_text(r->err));
	} else if (c->lockouts == KMN_UI_LOCKOUTS_MAX) {
		kmn_ui_refuse(ask, KMN_E_TOO_MANY, "more are shut out in this minute than are recorded");
	} else if (record_shut_out(ask->keeper, KMN_ACTION_LOCKOUT, address, count, reason) != KMN_OK) {
		kmn_ui_refuse(ask, KMN_E_LEDGER, kmn_err_text(KMN_E_LEDGER));
	} else {
		c->lockouts++;
		kmn_ui_answer_when_durable(ask, json_pack("{s:I}", "record", (json_int_t)i));
	}
}

void
kmn_ui_session(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	if (kmn_reader_end(r) != KMN_OK)
		kmn_ui_refuse(ask, r->err, kmn_err_text(r->err));
	else
		kmn_ui_answer(ask, session_json(ask->keeper, ask->session));
}

void
kmn_ui_sign_out(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	if (kmn_reader_end(r) != KMN_OK) {
		kmn_ui_refuse(ask, r->err, kmn_err_text(r->err));
		return;
	}
	kmn_ui_session_end(ask->keeper, ask->session, "asked");
	kmn_ui_answer_when_durable(ask, json_object());
}
