/*
 * What people do at the console: votes and other signed texts, a statement that was displayed, a request that is taken
 * back. What is signed goes the way that it goes from a terminal.
 */
#include "config.h"

#include "server/keeper/admin.h"
#include "server/keeper/console.h"

#include "kanmon/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- records of what is done ------------------------------------------------------------------------------------ */

kmn_err
kmn_ui_record(struct kmn_keeper *k, json_t *body, struct kmn_ref *ref, struct kmn_why *why)
{
	kmn_err e;

	k->clock.held = true; /* it is judged for the time that it will say */
	e = kmn_quorum_check_action(k->quorum, body, kmn_log_size(k->log), (uint64_t)kmn_clock_record_ms(k), why);
	if (e == KMN_OK && !kmn_record_fits(body)) {
		kmn_why_set(why, "what was signed is too long for a record of the ledger");
		e = KMN_E_TOO_BIG;
	}
	if (e == KMN_OK)
		e = kmn_keeper_append(k, KMN_R_ACTION, body, ref);
	else
		json_decref(body);
	k->clock.held = false;
	return e;
}

kmn_err
kmn_ui_action(
    const struct kmn_ui_ask *ask, enum kmn_action what, json_t *more, struct kmn_ref *ref, struct kmn_why *why)
{
	json_t *body = json_pack("{s:I, s:o, s:s}", "ui_sess", (json_int_t)ask->session->ui_sess, "actor",
	    kmn_ui_actor(ask->session), "what", kmn_action_word(what));

	if (body == NULL || more == NULL || json_object_update(body, more) != 0)
		KMN_BUG("out of memory");
	json_decref(more);
	kmn_clock_tick(ask->keeper);
	return kmn_ui_record(ask->keeper, body, ref, why);
}

/* A page that says the same again says nothing new: the record of the first time, NULL if it is the first. */
static const struct kmn_ui_shown *
shown_before(const struct kmn_ui_session *session, uint64_t request, const uint8_t sha256[KMN_HASH_BYTES])
{
	for (size_t n = 0; n < KMN_UI_SHOWN_KEPT; n++)
		if (session->shown[n].record != 0 && session->shown[n].request == request &&
		    memcmp(session->shown[n].sha256, sha256, KMN_HASH_BYTES) == 0)
			return &session->shown[n];
	return NULL;
}

static void
keep_shown(struct kmn_ui_session *session, uint64_t request, const uint8_t sha256[KMN_HASH_BYTES], uint64_t record)
{
	struct kmn_ui_shown *kept = &session->shown[session->next_shown++ % KMN_UI_SHOWN_KEPT];

	kept->record = record;
	kept->request = request;
	memcpy(kept->sha256, sha256, KMN_HASH_BYTES);
}

void
kmn_ui_shown(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	const struct kmn_request *request = kmn_quorum_request(k->quorum, kmn_reader_u64(r));
	uint8_t shown[KMN_HASH_BYTES], statement[KMN_HASH_BYTES];
	const struct kmn_ui_shown *before;
	struct kmn_why why = {""};
	struct kmn_ref subject, ref;
	bool agrees;
	kmn_err e;

	kmn_reader_raw(r, shown, sizeof(shown));
	if ((e = kmn_reader_end(r)) != KMN_OK) {
		kmn_ui_refuse(ask, e, kmn_err_text(e));
		return;
	}
	if (request == NULL || request->statement == NULL) {
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "no such request, or it has no statement (yet)");
		return;
	}
	kmn_sha256(request->statement, strlen(request->statement), statement);
	agrees = memcmp(statement, shown, sizeof(shown)) == 0;
	if ((before = shown_before(ask->session, request->i, shown)) != NULL) {
		kmn_ui_answer_when_durable(
		    ask, json_pack("{s:I, s:b}", "record", (json_int_t)before->record, "agrees", agrees));
		return;
	}
	subject.i = request->i;
	memcpy(subject.leaf, request->leaf, sizeof(subject.leaf));
	if (!agrees)
		kmn_say(KMN_SAY_ERROR,
		    "console: the screen of %s showed something else than the statement of request %llu",
		    ask->session->name, (unsigned long long)request->i);
	e = kmn_ui_action(ask, KMN_ACTION_SHOW,
	    json_pack(
		"{s:o, s:o}", "subject", kmn_ref_json(&subject), "shown_sha256", kmn_json_b64(shown, sizeof(shown))),
	    &ref, &why);
	if (e != KMN_OK) {
		kmn_ui_refuse_why(ask, e, &why);
		return;
	}
	keep_shown(ask->session, subject.i, shown, ref.i);
	kmn_ui_answer_when_durable(ask, json_pack("{s:I, s:b}", "record", (json_int_t)ref.i, "agrees", agrees));
}

/* ---- what is signed --------------------------------------------------------------------------------------------- */

bool
kmn_ui_is_policy(const char *bytes, size_t len)
{
	static const char first[] = "kanmon/policy/v";

	return len >= sizeof(first) - 1 && memcmp(bytes, first, sizeof(first) - 1) == 0;
}

/* By both quorums, or by the recovery role: a page does not know by whose keys it was signed so far. */
static kmn_err
take_policy(const struct kmn_ui_ask *ask, const char *note, size_t len, json_t **answer_out, struct kmn_why *why)
{
	struct kmn_policy_error error, again;
	const char *name = ask->session->name;
	kmn_err e = kmn_policy_take(ask->keeper, name, false, note, len, answer_out, &error);

	if (e == KMN_E_SIGNATURE && kmn_policy_take(ask->keeper, name, true, note, len, answer_out, &again) == KMN_OK)
		return KMN_OK;
	if (e != KMN_OK && error.text[0] != '\0')
		kmn_why_set(why, "line %u: %s", error.line, error.text);
	return e;
}

void
kmn_ui_note(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	json_t *answer = NULL;
	char *note = NULL;
	size_t len;
	kmn_err e = kmn_ui_signed_get(ask->keeper, r, &note, &len, &why);

	if (e == KMN_OK)
		e = kmn_reader_end(r);
	if (e == KMN_OK)
		e = kmn_ui_is_policy(note, len)
			? take_policy(ask, note, len, &answer, &why)
			: kmn_note_take(ask->keeper, ask->session->name, note, len, &answer, &why);
	if (e == KMN_OK)
		kmn_ui_answer_when_durable(ask, answer);
	else
		kmn_ui_refuse_why(ask, e, &why);
	free(note);
}

/* One more line under what several people sign, before it is handed in. */
void
kmn_ui_line(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	char *note = NULL;
	size_t len;
	kmn_err e = kmn_ui_signed_get(ask->keeper, r, &note, &len, &why);

	if (e == KMN_OK)
		e = kmn_reader_end(r);
	if (e == KMN_OK)
		kmn_ui_answer(ask, json_pack("{s:s%}", "note", note, len));
	else
		kmn_ui_refuse_why(ask, e, &why);
	free(note);
}

/* ---- taken back ------------------------------------------------------------------------------------------------- */

static bool
is_of_console(const struct kmn_keeper *k, const struct kmn_request *request)
{
	const char *client;

	return k->setup->console_client != NULL &&
	       kmn_json_get_text(json_object_get(request->intent, "requester"), "name", &client) &&
	       strcmp(client, k->setup->console_client) == 0;
}

/* Who takes it back, and why, and then its end. */
static kmn_err
withdraw(const struct kmn_ui_ask *ask, const struct kmn_request *request, const char *reason, struct kmn_why *why)
{
	struct kmn_ref subject = {.i = request->i}, ref;
	kmn_err e;

	memcpy(subject.leaf, request->leaf, sizeof(subject.leaf));
	kmn_say(KMN_SAY_INFO, "request %llu: withdrawn by %s at the console: %s", (unsigned long long)subject.i,
	    ask->session->name, reason);
	e = kmn_ui_action(ask, KMN_ACTION_WITHDRAW,
	    json_pack(
		"{s:o, s:o}", "subject", kmn_ref_json(&subject), "reason", kmn_json_label(reason, strlen(reason))),
	    &ref, why);
	return e == KMN_OK ? kmn_hold_end(ask->keeper, subject.i, "withdrawn") : e;
}

void
kmn_ui_withdraw(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	uint64_t id = kmn_reader_u64(r);
	const struct kmn_request *request = kmn_quorum_request(k->quorum, id);
	struct kmn_why why = {""};
	char reason[512];
	kmn_err e;

	kmn_reader_text(r, reason, sizeof(reason));
	if ((e = kmn_reader_end(r)) != KMN_OK)
		kmn_ui_refuse(ask, e, kmn_err_text(e));
	else if (request == NULL || !request->held || !is_of_console(k, request))
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "no such request of the console: only who asked withdraws");
	else if (!kmn_admin_may_withdraw(request))
		kmn_ui_refuse(ask, KMN_E_DENIED, "the request has ended or runs already");
	else if ((e = withdraw(ask, request, reason, &why)) != KMN_OK)
		kmn_ui_refuse_why(ask, e, &why);
	else
		kmn_ui_answer_when_durable(
		    ask, json_pack("{s:I, s:s}", "request", (json_int_t)id, "state", "withdrawn"));
}
