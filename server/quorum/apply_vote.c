/* What people are offered to sign, made again, and what they signed. */
#include "config.h"

#include "server/quorum/apply.h"

#include "server/quorum/window.h"

#include <stdlib.h>
#include <string.h>

static void
check_statement(struct step *s, struct request *r, const char *text)
{
	uint8_t sha256[KMN_HASH_BYTES], named[KMN_HASH_BYTES];
	struct kmn_head head;
	char *again = NULL;
	kmn_err e;

	kmn_sha256(text, strlen(text), sha256);
	if (!kmn_json_get_b64(s->record->body, "sha256", named, sizeof(named)) ||
	    memcmp(sha256, named, sizeof(named)) != 0)
		apply_found(s, "V6", "sha256 is not that of the text");
	if (!kmn_head_get(s->record->body, "head", &head) || head.size <= r->seen.i ||
	    head.size <= r->seen.attachment_i || head.size > s->record->i)
		apply_found(s, "V6", "the head does not hold the request");
	else if (s->q->settings.head != NULL && !s->q->settings.head(s->q->settings.cookie, &head))
		apply_found(s, "V6", "the head is not one of this ledger");
	if (s->err != KMN_OK)
		return;
	if ((e = kmn_quorum_statement_text(s->q, &r->seen, &head, &again)) == KMN_E_NO_MEMORY)
		apply_trouble(s, e);
	else if (e != KMN_OK || strcmp(again, text) != 0)
		apply_found(s, "V6", "the text is not the statement of request %llu as it is made again",
		    (unsigned long long)r->seen.i);
	free(again);
}

void
apply_statement(struct step *s)
{
	struct request *r = apply_request_of(s, "request");
	const char *text = NULL;

	if (r == NULL)
		return;
	if (!quorum_asks_votes(r) || r->seen.state != KMN_REQUEST_OPEN ||
	    !kmn_json_get_text(s->record->body, "text", &text)) {
		apply_found(s, "V6", "no statement is due for request %llu", (unsigned long long)r->seen.i);
		return;
	}
	check_statement(s, r, text);
	if (s->err != KMN_OK && s->err != KMN_E_CORRUPT)
		return;
	if ((r->statement = strdup(text)) == NULL) {
		apply_trouble(s, KMN_E_NO_MEMORY);
		return;
	}
	s->q->counts.statements_verified += s->err == KMN_OK;
	r->seen.statement = r->statement;
	r->seen.statement_i = s->record->i;
	r->seen.state = KMN_REQUEST_OFFERED;
}

static void
add_votes(
    struct step *s, struct request *r, const struct kmn_statement_said *said, const struct quorum_signers *signers)
{
	struct kmn_vote *more = realloc(r->votes, (r->seen.vote_count + signers->count) * sizeof(*more));

	if (more == NULL) {
		apply_trouble(s, KMN_E_NO_MEMORY);
		return;
	}
	r->seen.votes = r->votes = more;
	for (size_t i = 0; i < signers->count; i++) {
		struct kmn_vote *v = &r->votes[r->seen.vote_count];

		*v = (struct kmn_vote){.decision = said->decision,
		    .name = signers->who[i].name,
		    .person = signers->who[i].person,
		    .i = s->record->i,
		    .t = (int64_t)s->record->t,
		    .independent = signers->who[i].independent};
		memcpy(v->leaf, s->record->leaf, sizeof(v->leaf));
		if ((v->reason = strdup(said->reason)) == NULL) {
			apply_trouble(s, KMN_E_NO_MEMORY);
			return;
		}
		r->seen.vote_count++;
	}
}

void
apply_vote(struct step *s)
{
	struct request *r = apply_request_of(s, "request");
	struct kmn_statement_said said;
	struct quorum_signers signers;
	struct kmn_note_check check;
	const char *note, *said_check;
	bool good, said_good;

	if (r == NULL)
		return;
	if (!kmn_json_get_text(s->record->body, "note", &note) ||
	    !kmn_json_get_text(s->record->body, "check", &said_check)) {
		apply_found(s, "V6", "a vote without note or check");
		return;
	}
	said_good = strcmp(said_check, "ok") == 0;
	good = quorum_check_note(
	    s->q, note, strlen(note), said_good ? apply_judged_at(s) : (int64_t)s->record->t, &check, &said, &signers);
	if (good != said_good)
		apply_found(s, "V6", "recorded as '%.80s', but it is: %.160s", said_check, good ? "ok" : check.check);
	else if (good && (check.request != &r->seen ||
			     strcmp(kmn_quorum_vote_type(said.decision), kmn_record_name(s->record->kind)) != 0))
		apply_found(s, "V6", "the note is about another request, or of another kind, than the record says");
	if (s->err == KMN_OK && good && quorum_counters_take(s->q, &signers, s->record->i) != KMN_OK)
		apply_trouble(s, KMN_E_NO_MEMORY);
	if (s->err == KMN_OK && good)
		add_votes(s, r, &said, &signers);
}
