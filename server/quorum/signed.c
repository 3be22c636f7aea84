/*
 * What the texts of signed.h mean, and who must have signed them: a row of
 * judges[] for each kind. Gateway and auditor ask the same rows. A note that is
 * a record was judged right before it; here it is judged again.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/evidence.h"
#include "server/quorum/quorum.h"

/* Whoever has a key of the policy may attest a document: the signature says who it was. */
static kmn_err
attestation_check(const struct kmn_quorum *q, const struct kmn_signed *said, const struct quorum_signers *signers,
    struct kmn_why *why)
{
	static const char *const kinds[] = {"risk-review", "ceremony-script", "entry-log", "other"};
	const struct kmn_signed_line *kind = kmn_signed_line(said, "kind", 0);

	(void)q;
	(void)signers;
	for (size_t n = 0; n < KMN_COUNT_OF(kinds); n++)
		if (strlen(kinds[n]) == kind->len && memcmp(kinds[n], kind->value, kind->len) == 0)
			return KMN_OK;
	kmn_why_set(why, "kind is risk-review, ceremony-script, entry-log or other");
	return KMN_E_MALFORMED;
}

static const struct {
	/* NULL: an action's, see action.c. */
	kmn_err (*check)(const struct kmn_quorum *q, const struct kmn_signed *said,
	    const struct quorum_signers *signers, struct kmn_why *why);
	/* What it changes; NULL: nothing. */
	void (*apply)(struct kmn_quorum *q, const struct kmn_record *record, const struct kmn_signed *said);
} judges[KMN_SIGNED_COUNT] = {
    [KMN_SIGNED_ATTESTATION] = {attestation_check, NULL},
    [KMN_SIGNED_VETO] = {quorum_veto_check, quorum_veto_apply},
    [KMN_SIGNED_REOPEN] = {quorum_reopen_check, quorum_reopen_apply},
};

/* The persons of the policy in force whose keys signed it, each once. */
static kmn_err
find_persons(
    const struct kmn_policy *policy, const struct kmn_note *note, struct quorum_signers *signers, struct kmn_why *why)
{
	kmn_err e = quorum_signers_find(policy, note, signers, why);
	size_t keys = signers->count;

	if (e == KMN_OK && keys == 0) {
		kmn_why_set(why, "no signature by a key of policy version %" PRIu64, kmn_policy_version(policy));
		return KMN_E_SIGNATURE;
	}
	signers->count = 0;
	for (size_t n = 0; n < keys; n++) {
		bool again = false;

		for (size_t i = 0; i < signers->count && !again; i++)
			again = strcmp(signers->who[i].name, signers->who[n].name) == 0;
		if (!again)
			signers->who[signers->count++] = signers->who[n];
	}
	return e;
}

/* KMN_E_NOT_FOUND with `why` empty: it is none of these. */
static kmn_err
judge(const struct kmn_quorum *q, const struct kmn_note *note, struct kmn_signed *said, struct quorum_signers *signers,
    struct kmn_why *why)
{
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	kmn_err e = kmn_signed_read(note->text, note->text_len, said, why);

	if (e == KMN_E_NOT_FOUND)
		*why = (struct kmn_why){""};
	if (e != KMN_OK)
		return e;
	if (policy == NULL || !quorum_is_about(policy, said)) {
		kmn_why_set(why, "it is about another ledger");
		return KMN_E_MALFORMED;
	}
	if (judges[said->kind].check == NULL) {
		kmn_why_set(why, "it is signed for the console, and counts nowhere else");
		return KMN_E_DENIED;
	}
	if ((e = find_persons(policy, note, signers, why)) != KMN_OK)
		return e;
	return judges[said->kind].check(q, said, signers, why);
}

kmn_err
kmn_quorum_check_signed(
    const struct kmn_quorum *q, const char *bytes, size_t len, struct kmn_signed_check *check, struct kmn_why *why)
{
	struct quorum_signers signers;
	struct kmn_signed said;
	struct kmn_note note;
	kmn_err e;

	memset(check, 0, sizeof(*check));
	*why = (struct kmn_why){""};
	if (len > KMN_NOTE_IN_RECORD_MAX_BYTES) {
		kmn_why_set(why, "the note is longer than %d bytes", KMN_NOTE_IN_RECORD_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if ((e = kmn_note_parse(bytes, len, &note, why)) != KMN_OK ||
	    (e = judge(q, &note, &said, &signers, why)) != KMN_OK)
		return e;
	check->kind = said.kind;
	for (size_t n = 0; n < signers.count; n++)
		check->names[check->persons++] = signers.who[n].name;
	return KMN_OK;
}

kmn_err
quorum_signed_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	struct quorum_signers signers;
	struct kmn_signed said;
	struct kmn_note note;
	const char *bytes;
	kmn_err e;

	if (!kmn_json_get_text(record->body, "note", &bytes)) {
		kmn_why_set(why, "a record without its note");
		return KMN_E_CORRUPT;
	}
	if ((e = kmn_note_parse(bytes, strlen(bytes), &note, why)) == KMN_OK)
		e = judge(q, &note, &said, &signers, why);
	if (e == KMN_E_NO_MEMORY)
		return e;
	if (e == KMN_OK && kmn_signed_record(said.kind) != record->kind)
		e = KMN_E_NOT_FOUND;
	if (e == KMN_E_NOT_FOUND && why->text[0] == '\0')
		kmn_why_set(why, "the note is of another kind than the record");
	if (e != KMN_OK)
		return KMN_E_CORRUPT;
	if (judges[said.kind].apply != NULL)
		judges[said.kind].apply(q, record, &said);
	return KMN_OK;
}
