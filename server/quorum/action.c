/*
 * What people do at the console: sessions begin with evidence, everything else belongs to one that stands. Judged
 * where a record says so by a session that is a number; older ledgers have others, which say nothing that is judged.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/evidence.h"
#include "server/quorum/quorum.h"

#define WORD(symbol, what, words) [symbol] = what,
static const char *const whats[KMN_ACTION_COUNT] = {KMN_ACTION_ROWS(WORD)};
#undef WORD

const char *
kmn_action_word(enum kmn_action action)
{
	return whats[action];
}

enum kmn_action
kmn_action_of(const char *what)
{
	unsigned n = 0;

	while (n < KMN_ACTION_COUNT && strcmp(whats[n], what) != 0)
		n++;
	return (enum kmn_action)n;
}

/* ---- the text and who signed it ---------------------------------------------------------------------------------- */

static const struct kmn_policy_webauthn *
place_of_page(const struct kmn_policy *policy, const struct kmn_signed_line *page)
{
	const struct kmn_policy_webauthn *w = NULL;
	size_t n = 0;

	while ((w = kmn_policy_webauthn_at(policy, n++)) != NULL)
		if (strlen(w->origin) == page->len && memcmp(w->origin, page->value, page->len) == 0)
			return w;
	return NULL;
}

/* One person of the policy, by one key: two would be two who say that they are the one at the screen. */
static kmn_err
find_signer(
    const struct kmn_policy *policy, const struct kmn_note *note, struct kmn_action_signer *signer, struct kmn_why *why)
{
	struct quorum_signers signers;
	const struct quorum_signer *first = &signers.who[0];
	kmn_err e;

	memset(signer, 0, sizeof(*signer));
	if ((e = quorum_signers_find(policy, note, &signers, why)) != KMN_OK)
		return e;
	if (signers.count != 1 || note->count != 1) {
		kmn_why_set(why,
		    "%zu keys of policy version %" PRIu64 " signed it: one signs what is done at the console",
		    signers.count, kmn_policy_version(policy));
		return KMN_E_SIGNATURE;
	}
	*signer = (struct kmn_action_signer){.name = first->name, .person = first->person, .place = first->place};
	memcpy(signer->spki_sha256, first->spki_sha256, KMN_HASH_BYTES);
	return KMN_OK;
}

static kmn_err
judge_age(const struct kmn_signed *said, uint64_t t, struct kmn_why *why)
{
	uint64_t made = kmn_signed_line(said, "time", 0)->number;

	if (t + QUORUM_GRACE_MS < made || t > made + KMN_ACTION_TEXT_LIFE_MS) {
		kmn_why_set(why, "the text to be signed is older than %d s, or of another time: ask for a new one",
		    KMN_ACTION_TEXT_LIFE_MS / 1000);
		return KMN_E_EXPIRED;
	}
	return KMN_OK;
}

static const char *
wrong_sign_in(const struct kmn_policy *policy, const struct kmn_signed *said, const struct kmn_action_signer *signer)
{
	const struct kmn_policy_webauthn *place = place_of_page(policy, kmn_signed_line(said, "page", 0));

	if (place == NULL)
		return "the page is at no `webauthn` place of the policy";
	if (signer->place != NULL && strcmp(signer->place, place->name) != 0)
		return "it was signed at another page than the one it names";
	return NULL;
}

/* A note that is parsed; `said_out` are views into it. */
static kmn_err
judge_note(const struct kmn_policy *policy, enum kmn_signed_kind kind, const struct kmn_note *note, uint64_t t,
    struct kmn_signed *said, struct kmn_action_signer *signer, struct kmn_why *why)
{
	const char *wrong;
	kmn_err e = kmn_signed_read(note->text, note->text_len, said, why);

	if (e == KMN_OK && said->kind != kind) {
		kmn_why_set(why, "not a text of %s", kmn_signed_first_line(kind));
		e = KMN_E_MALFORMED;
	}
	if (e != KMN_OK)
		return e == KMN_E_NOT_FOUND ? KMN_E_MALFORMED : e;
	if (!quorum_is_about(policy, said)) {
		kmn_why_set(why, "it is about another ledger");
		return KMN_E_MALFORMED;
	}
	if ((e = judge_age(said, t, why)) != KMN_OK || (e = find_signer(policy, note, signer, why)) != KMN_OK)
		return e;
	wrong = kind == KMN_SIGNED_SIGN_IN ? wrong_sign_in(policy, said, signer)
					   : quorum_instruct_wrong(policy, said, signer->name);
	if (wrong == NULL)
		return KMN_OK;
	kmn_why_set(why, "%s", wrong);
	return KMN_E_DENIED;
}

kmn_err
kmn_action_judge_note(const struct kmn_policy *policy, enum kmn_signed_kind kind, const char *bytes, size_t len,
    uint64_t t, struct kmn_action_signer *signer, struct kmn_why *why)
{
	struct kmn_signed said;
	struct kmn_note note;
	kmn_err e;

	memset(signer, 0, sizeof(*signer));
	if (len > KMN_NOTE_IN_RECORD_MAX_BYTES) {
		kmn_why_set(why, "the note is longer than %d bytes", KMN_NOTE_IN_RECORD_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if ((e = kmn_note_parse(bytes, len, &note, why)) != KMN_OK)
		return e;
	return judge_note(policy, kind, &note, t, &said, signer, why);
}

/* ---- a record ---------------------------------------------------------------------------------------------------- */

/* What is read of an action's body. Views into it. */
struct act {
	enum kmn_action what;
	uint64_t session;
	const char *name, *note;
	size_t note_len;
	bool has_tls;
	uint8_t tls[KMN_HASH_BYTES];
	/* of the note, once it is judged */
	struct kmn_note parsed;
	struct kmn_signed said;
	struct kmn_action_signer signer;
};

static bool
is_fresh(const struct kmn_quorum *q, const uint8_t nonce[KMN_HASH_BYTES])
{
	for (size_t n = 0; n < q->actions.nonces; n++)
		if (memcmp(q->actions.nonce[n].nonce, nonce, KMN_HASH_BYTES) == 0)
			return false;
	return true;
}

static struct quorum_sign_in *
find_session(const struct kmn_quorum *q, uint64_t i)
{
	for (size_t n = 0; n < q->actions.sessions; n++)
		if (q->actions.session[n].i == i)
			return &q->actions.session[n];
	return NULL;
}

static bool
is_person(const struct kmn_policy *policy, const char *name)
{
	const struct kmn_policy_custodian *c;

	for (size_t n = 0; (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (strcmp(c->name, name) == 0)
			return true;
	return false;
}

/* The person of a terminal's line, by the name that signs. */
static bool
is_terminal_of(const struct kmn_policy *policy, const uint8_t spki_sha256[KMN_HASH_BYTES], const char *name)
{
	const struct kmn_policy_peer *peer = kmn_policy_peer_get(policy, spki_sha256);
	const struct kmn_policy_custodian *c;

	for (size_t n = 0; peer != NULL && peer->terminal && (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (strcmp(c->person, peer->person) == 0 && strcmp(c->name, name) == 0)
			return true;
	return false;
}

static kmn_err
deny(struct kmn_why *why, const char *text)
{
	kmn_why_set(why, "%s", text);
	return KMN_E_DENIED;
}

static kmn_err
check_note(const struct kmn_quorum *q, struct act *act, enum kmn_signed_kind kind, uint64_t t, struct kmn_why *why)
{
	kmn_err e;

	if (act->note == NULL)
		return deny(why, "no note says that the person wanted it");
	if ((e = kmn_note_parse(act->note, act->note_len, &act->parsed, why)) != KMN_OK ||
	    (e = judge_note(kmn_quorum_policy(q), kind, &act->parsed, t, &act->said, &act->signer, why)) != KMN_OK)
		return e;
	if (strcmp(act->signer.name, act->name) != 0)
		return deny(why, "another person signed than the one it names");
	return is_fresh(q, kmn_signed_line(&act->said, "nonce", 0)->hash)
		   ? KMN_OK
		   : deny(why, "its text was used before: each is signed for one thing");
}

static kmn_err
check_sign_in(const struct kmn_quorum *q, struct act *act, uint64_t i, uint64_t t, struct kmn_why *why)
{
	if (act->session != i)
		return deny(why, "a session goes by the index of its own record");
	if (!act->has_tls)
		return check_note(q, act, KMN_SIGNED_SIGN_IN, t, why);
	return is_terminal_of(kmn_quorum_policy(q), act->tls, act->name)
		   ? KMN_OK
		   : deny(why, "its certificate is on no terminal line of that person");
}

/* What is done in a session: it stands, is that person's, and the policy still knows the person. */
static kmn_err
check_session(const struct kmn_quorum *q, const struct act *act, uint64_t t, struct kmn_why *why)
{
	const struct quorum_sign_in *session = find_session(q, act->session);

	if (session == NULL || strcmp(session->name, act->name) != 0)
		return deny(why, "no session of that person stands by this number");
	if (act->what == KMN_ACTION_SIGN_OUT)
		return KMN_OK;
	if (t > session->t + KMN_ACTION_SESSION_MS)
		return deny(why, "the session is over: sign in again");
	return is_person(kmn_quorum_policy(q), act->name) ? KMN_OK : deny(why, "the policy knows the person no more");
}

/* The statement that was shown may be another than was made: that it was is for the auditor to say. */
static kmn_err
check_show(const json_t *body, struct kmn_why *why)
{
	uint8_t shown[KMN_HASH_BYTES];
	struct kmn_ref subject;

	if (kmn_ref_get(body, "subject", &subject) && kmn_json_get_b64(body, "shown_sha256", shown, sizeof(shown)))
		return KMN_OK;
	return deny(why, "it does not say what was shown, of which request");
}

static kmn_err
check_withdraw(const struct kmn_quorum *q, const json_t *body, const struct act *act, struct kmn_why *why)
{
	const struct kmn_policy_peer *client;
	const struct request *r;
	struct kmn_ref subject;

	if (!kmn_ref_get(body, "subject", &subject) || (r = quorum_request(q, subject.i)) == NULL ||
	    memcmp(r->seen.leaf, subject.leaf, sizeof(subject.leaf)) != 0)
		return deny(why, "no such request is there to be taken back");
	client = kmn_policy_peer_get(kmn_quorum_policy(q), r->seen.client_spki_sha256);
	for (const char *const *o = client != NULL ? client->operators : NULL; o != NULL && *o != NULL; o++)
		if (strcmp(*o, act->name) == 0)
			return KMN_OK;
	return deny(why, "who operates another client takes no request of this one back");
}

/* False: of an older ledger. */
static bool
read_act(const json_t *body, struct act *act)
{
	const json_t *auth = json_object_get(body, "auth"), *actor = json_object_get(body, "actor");
	const char *what = "";

	memset(act, 0, sizeof(*act));
	if (!json_is_integer(json_object_get(body, "ui_sess")) ||
	    !kmn_json_get_number(body, "ui_sess", &act->session) || !kmn_json_get_text(body, "what", &what))
		return false;
	act->what = kmn_action_of(what);
	if (!kmn_json_get_text(actor, "name", &act->name))
		act->name = "";
	if (kmn_json_get_text(auth, "note", &act->note))
		act->note_len = strlen(act->note);
	act->has_tls = kmn_json_get_b64(auth, "tls", act->tls, sizeof(act->tls));
	return true;
}

static kmn_err
check(const struct kmn_quorum *q, const json_t *body, struct act *act, uint64_t i, uint64_t t, struct kmn_why *why)
{
	kmn_err e;

	switch (act->what) {
	case KMN_ACTION_SIGN_IN:
		return check_sign_in(q, act, i, t, why);
	case KMN_ACTION_LOCKOUT:
	case KMN_ACTION_REFUSED:
		return act->session == 0 ? KMN_OK : deny(why, "who is shut out has no session");
	case KMN_ACTION_SIGN_OUT:
	case KMN_ACTION_SHOW:
	case KMN_ACTION_INSTRUCT:
	case KMN_ACTION_WITHDRAW:
		break;
	default:
		return deny(why, "nothing that is done at the console is called so");
	}
	if ((e = check_session(q, act, t, why)) != KMN_OK)
		return e;
	if (act->what == KMN_ACTION_SHOW)
		return check_show(body, why);
	if (act->what == KMN_ACTION_WITHDRAW)
		return check_withdraw(q, body, act, why);
	return act->what == KMN_ACTION_INSTRUCT ? check_note(q, act, KMN_SIGNED_INSTRUCTION, t, why) : KMN_OK;
}

kmn_err
kmn_quorum_check_action(const struct kmn_quorum *q, const json_t *body, uint64_t i, uint64_t t, struct kmn_why *why)
{
	struct act act;

	if (!read_act(body, &act)) {
		kmn_why_set(why, "not the body of an action");
		return KMN_E_MALFORMED;
	}
	return check(q, body, &act, i, t, why);
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

/* Room for one more at the end of an array; false: no memory. */
static bool
grow(void **items, size_t count, size_t size)
{
	void *more;

	if (count % 32 != 0)
		return true;
	if ((more = realloc(*items, (count + 32) * size)) == NULL)
		return false;
	*items = more;
	return true;
}

/* What is too old to matter: no text of then can be used any more. */
static void
prune(struct kmn_quorum *q, uint64_t t)
{
	struct quorum_actions *a = &q->actions;
	size_t kept = 0;

	for (size_t n = 0; n < a->nonces; n++)
		if (a->nonce[n].t + KMN_ACTION_TEXT_LIFE_MS + 2 * QUORUM_GRACE_MS >= t)
			a->nonce[kept++] = a->nonce[n];
	a->nonces = kept;
	kept = 0;
	for (size_t n = 0; n < a->sessions; n++)
		if (a->session[n].t + KMN_ACTION_SESSION_MS + KMN_ACTION_TEXT_LIFE_MS >= t)
			a->session[kept++] = a->session[n];
	a->sessions = kept;
	quorum_instruct_prune(q, t);
}

static kmn_err
use_nonce(struct kmn_quorum *q, const struct kmn_record *record, const struct act *act)
{
	struct quorum_actions *a = &q->actions;
	struct quorum_nonce *nonce;

	if (!grow((void **)&a->nonce, a->nonces, sizeof(*a->nonce)))
		return KMN_E_NO_MEMORY;
	nonce = &a->nonce[a->nonces++];
	memset(nonce, 0, sizeof(*nonce));
	nonce->i = record->i;
	nonce->t = record->t;
	memcpy(nonce->nonce, kmn_signed_line(&act->said, "nonce", 0)->hash, KMN_HASH_BYTES);
	return KMN_OK;
}

static kmn_err
begin_session(struct kmn_quorum *q, const struct kmn_record *record, const struct act *act)
{
	struct quorum_actions *a = &q->actions;
	struct quorum_sign_in *session;

	if (!grow((void **)&a->session, a->sessions, sizeof(*a->session)))
		return KMN_E_NO_MEMORY;
	session = &a->session[a->sessions++];
	memset(session, 0, sizeof(*session));
	session->i = record->i;
	session->t = record->t;
	strncpy(session->name, act->name, sizeof(session->name) - 1);
	return KMN_OK;
}

/* By the record `by`. */
static void
end_session(struct kmn_quorum *q, struct quorum_sign_in *session, uint64_t by)
{
	for (size_t n = 0; n < q->actions.nonces; n++)
		if (q->actions.nonce[n].i == session->i)
			q->actions.nonce[n].ended_i = by;
	*session = q->actions.session[--q->actions.sessions];
}

static kmn_err
take(struct kmn_quorum *q, const struct kmn_record *record, const struct act *act, struct kmn_why *why)
{
	struct quorum_sign_in *session = find_session(q, act->session);
	kmn_err e = KMN_OK;

	if (act->said.text != NULL && (e = use_nonce(q, record, act)) != KMN_OK)
		return e;
	switch (act->what) {
	case KMN_ACTION_SIGN_IN:
		return begin_session(q, record, act);
	case KMN_ACTION_SIGN_OUT:
		if (session != NULL)
			end_session(q, session, record->i);
		return KMN_OK;
	case KMN_ACTION_INSTRUCT:
		return quorum_instruct_keep(q, record->i, record->t, act->said.text, act->said.len, why);
	default:
		return KMN_OK;
	}
}

/* Of a choice, the session that an action was done in may be missing, or the policy that knew its key gone. */
static kmn_err
take_chosen(struct kmn_quorum *q, const struct kmn_record *record, struct act *act, struct kmn_why *why)
{
	if (act->note != NULL &&
	    (kmn_note_parse(act->note, act->note_len, &act->parsed, why) != KMN_OK ||
		kmn_signed_read(act->parsed.text, act->parsed.text_len, &act->said, why) != KMN_OK))
		return KMN_E_CORRUPT;
	return take(q, record, act, why);
}

kmn_err
quorum_action_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	uint64_t t = record->t > QUORUM_GRACE_MS ? record->t - QUORUM_GRACE_MS : 0;
	struct act act;
	kmn_err e;

	if (record->kind == KMN_R_GATEWAY_START) {
		while (q->actions.sessions > 0) /* they were in the memory of a keeper that is no more */
			end_session(q, &q->actions.session[0], record->i);
		return KMN_OK;
	}
	if (!read_act(record->body, &act))
		return KMN_OK;
	if (kmn_quorum_policy(q) == NULL) {
		kmn_why_set(why, "something was done at the console, and no policy is in force");
		return KMN_E_CORRUPT;
	}
	if (q->choosing)
		e = take_chosen(q, record, &act, why);
	else if ((e = check(q, record->body, &act, record->i, t, why)) == KMN_OK)
		e = take(q, record, &act, why);
	else if (e != KMN_E_NO_MEMORY)
		e = KMN_E_CORRUPT;
	/* Last: the record is judged by what was asked before it was written (kmn_quorum_check_action()). */
	prune(q, record->t);
	return e;
}

void
quorum_actions_free(struct kmn_quorum *q)
{
	free(q->actions.session);
	free(q->actions.nonce);
	quorum_instruct_prune(q, UINT64_MAX);
	free(q->actions.instruction);
}
