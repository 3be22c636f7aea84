#include "config.h"

#include "tools/kanmon/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/shown.h"
#include "tools/kanmon/terminal.h"

static const struct {
	const char *noun;
	enum kmn_word question;
} kinds[] = {
    [KMN_APPROVE] = {"approval", KMN_W_APPROVE},
    [KMN_REJECT] = {"rejection", KMN_W_REJECT},
    [KMN_VETO] = {"veto", KMN_W_VETO},
};

const char *
kmn_answer_noun(enum kmn_decision decision)
{
	return kinds[decision].noun;
}

static kmn_err
ask(const struct kmn_answering *a)
{
	char prompt[256];

	if (a->yes)
		return KMN_OK;
	kmn_word(
	    a->language, KMN_W_YES_NO, kmn_word_text(a->language, kinds[a->decision].question), prompt, sizeof(prompt));
	if (kmn_terminal_yes(prompt))
		return KMN_OK;
	kmn_fail("%s", kmn_word_text(a->language, KMN_W_UNSIGNED));
	return KMN_E_CANCELED;
}

/* ---- signing ----------------------------------------------------------------------------------------------------- */

/* What was signed is what must never be contradicted: it is remembered before the signature leaves. */
static kmn_err
remember(const struct kmn_answering *a, const struct kmn_examined *x, const struct kmn_seen *seen, const char *origin)
{
	struct kmn_seen now = {.head = x->head, .policy_version = kmn_policy_version(x->policy)};

	if (a->place.as == NULL)
		return KMN_OK;
	memcpy(now.policy_sha256, kmn_policy_sha256(x->policy), KMN_HASH_BYTES);
	if (now.head.size < seen->head.size)
		now.head = seen->head; /* an older request, approved later */
	return kmn_seen_store(a->place.as, origin, &now);
}

static kmn_err
sign(const struct kmn_answering *a, const struct kmn_examined *x, const char *text, char **note_out)
{
	struct kmn_signer *signer = NULL;
	kmn_err e;

	if ((e = kmn_signer_open(&a->place, x->policy, NULL, &signer)) != KMN_OK)
		return e;
	if ((e = kmn_signer_sign(signer, text, strlen(text), note_out)) != KMN_OK)
		kmn_fail("the statement was not signed: %s", kmn_err_text(e));
	else if (a->also != NULL)
		e = a->also(a->cookie, x, signer);
	kmn_signer_free(signer);
	return e;
}

kmn_err
kmn_answer_sign(const struct kmn_answering *a, const json_t *shown, uint64_t id, const char *origin, char **note_out)
{
	const struct kmn_shown_as shown_as = {
	    .language = a->language, .issuer = a->issuer, .aside = a->json, .offline = a->offline, .stops = !a->yes};
	struct kmn_seen seen = {.policy_version = 0};
	struct kmn_examined x = {.statement = NULL};
	char *text = NULL;
	kmn_err e;

	*note_out = NULL;
	if ((a->place.as != NULL && (e = kmn_seen_load(a->place.as, origin, &seen)) != KMN_OK) ||
	    (e = kmn_examine(shown, id, origin, &seen, a->language, &x)) != KMN_OK)
		goto done;
	if ((e = kmn_statement_turn(x.statement, a->decision, a->reason, &text)) != KMN_OK) {
		kmn_fail("the reason cannot stand in a statement");
		goto done;
	}
	if ((e = kmn_shown(&shown_as, &x, text)) == KMN_OK && (e = ask(a)) == KMN_OK &&
	    (e = sign(a, &x, text, note_out)) == KMN_OK)
		e = remember(a, &x, &seen, origin);
done:
	if (e != KMN_OK) {
		free(*note_out);
		*note_out = NULL;
	}
	free(text);
	kmn_examined_clear(&x);
	return e;
}
