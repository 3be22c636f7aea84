/*
 * What a person signed, whoever brings it and from where: a vote, or a text of signed.h. Nothing here decides: the
 * quorum's own rules judge each.
 */
#include "config.h"

#include "server/keeper/admin.h"

#include "kanmon/say.h"

static json_t *
names_json(const struct kmn_signed_check *check)
{
	json_t *names = json_array();

	for (size_t n = 0; n < check->persons; n++)
		(void)json_array_append_new(names, json_string(check->names[n]));
	return names;
}

/* KMN_E_NOT_FOUND with `why` empty: it is none of these. */
static kmn_err
take_signed(
    struct kmn_keeper *k, const char *by, const char *note, size_t len, json_t **answer_out, struct kmn_why *why)
{
	struct kmn_signed_check check;
	struct kmn_ref ref;
	json_t *body, *names;
	kmn_err e = kmn_quorum_check_signed(k->quorum, note, len, &check, why);

	if (e != KMN_OK)
		return e;
	body = json_pack("{s:s%}", "note", note, len);
	if (body == NULL || !kmn_record_fits(body)) {
		json_decref(body);
		kmn_why_set(why, "what was signed is too long for a record of the ledger");
		return KMN_E_TOO_BIG;
	}
	names = names_json(&check); /* before the record, which may be a policy's end */
	kmn_say(KMN_SAY_INFO, "%s brought by %s", kmn_signed_first_line(check.kind), by);
	e = kmn_keeper_append(k, kmn_signed_record(check.kind), body, &ref);
	if (e == KMN_OK)
		*answer_out = json_pack("{s:I, s:s, s:O}", "record", (json_int_t)ref.i, "kind",
		    kmn_signed_first_line(check.kind), "signed_by", names);
	json_decref(names);
	return e;
}

static kmn_err
take_vote(struct kmn_keeper *k, const char *by, const char *note, size_t len, json_t **answer_out, struct kmn_why *why)
{
	struct kmn_note_check check;
	bool counts = kmn_quorum_check_note(k->quorum, note, len, kmn_keeper_now_ms(), &check);
	uint64_t request;
	json_t *body;
	kmn_err e;

	if (check.request == NULL) {
		kmn_why_set(why, "%s", check.check[0] != '\0' ? check.check : "the note is about no known request");
		return KMN_E_NOT_FOUND;
	}
	request = check.request->i;
	kmn_say(KMN_SAY_INFO, "request %llu: %s brought by %s: %s", (unsigned long long)request,
	    kmn_quorum_vote_type(check.decision), by, check.check);
	if (kmn_quorum_vote_body(&check, note, len, &body) != KMN_OK) {
		kmn_why_set(why, "the note cannot be put into a record");
		return KMN_E_MALFORMED;
	}
	e = kmn_keeper_append(k, kmn_record_kind(kmn_quorum_vote_type(check.decision)), body, NULL);
	if (e != KMN_OK)
		return e;
	if (counts)
		kmn_hold_advance(k, request);
	*answer_out = json_pack("{s:I, s:s, s:s}", "request", (json_int_t)request, "check", check.check, "state",
	    kmn_admin_state(k, kmn_quorum_request(k->quorum, request)));
	return KMN_OK;
}

kmn_err
kmn_note_take(
    struct kmn_keeper *k, const char *by, const char *note, size_t len, json_t **answer_out, struct kmn_why *why)
{
	kmn_err e;

	*answer_out = NULL;
	*why = (struct kmn_why){""};
	e = take_signed(k, by, note, len, answer_out, why);
	return e == KMN_E_NOT_FOUND && why->text[0] == '\0' ? take_vote(k, by, note, len, answer_out, why) : e;
}
