#include "config.h"

#include "tools/kanmon/audit_bundle_inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/anchor.h"

/* An anchor's token goes over a checkpoint of this very tree that covers the request; judged at its own time. */
static kmn_err
judge_token(struct kmn_judging *j, const struct kmn_record *record, const struct kmn_anchor_said *said,
    struct kmn_why *why, struct kmn_stamp *stamp)
{
	const struct kmn_bundle_blob *chain = kmn_bundle_blob(j->bundle, said->chain_sha256);
	uint8_t pins[KMN_TRUST_TSA_MAX][KMN_HASH_BYTES];
	struct kmn_stamp_roots *roots = NULL;
	struct kmn_stamp_want want = said->want;
	const char *text;
	kmn_err e;

	if (chain == NULL || !kmn_json_get_text(record->body, "note", &text)) {
		kmn_why_set(why, "its certificates are not in the bundle");
		return KMN_E_SIGNATURE;
	}
	for (size_t n = 0; n < j->trust->tsa_count; n++)
		memcpy(pins[n], j->trust->tsa[n].root_sha256, KMN_HASH_BYTES);
	if (!kmn_stamp_imprint(&want, want.alg, text, strlen(text)))
		return KMN_E_MALFORMED;
	e = kmn_stamp_roots_pinned((const char *)chain->bytes, chain->len, pins, j->trust->tsa_count, &roots, why);
	if (e == KMN_OK)
		e = kmn_stamp_verify(said->token, said->token_len, &want, roots, 0, stamp, why);
	kmn_stamp_roots_free(roots);
	if (e != KMN_OK || (stamp->gen_time == said->gen_time && strcmp(stamp->policy, said->policy_oid) == 0))
		return e;
	kmn_why_set(why, "it says another time or policy than the record");
	return KMN_E_SIGNATURE;
}

/* A record that the token covers existed then; only the whole ledger says whether a clock was put back since. */
static void
judge_order(struct kmn_judging *j, const struct kmn_record *anchor, uint64_t size, uint64_t gen_time)
{
	for (size_t n = 0; n < j->records && j->record[n].i < size; n++)
		if (j->record[n].t > gen_time + KMN_ANCHOR_SKEW_MS)
			kmn_judge_note(j, KMN_ASK_TIME, KMN_SAYS_MISSING,
			    "record %" PRIu64 " says a later time than the time stamp of record %" PRIu64
			    " that covers it: whether a clock was put back, kanmon audit verify says",
			    j->record[n].i, anchor->i);
}

/* The head that the token of an anchor goes over: a checkpoint of the pinned log key, of this tree. */
static bool
read_anchor(
    const struct kmn_judging *j, const struct kmn_record *record, struct kmn_anchor_said *said, struct kmn_head *head)
{
	struct kmn_note parsed;
	const char *text;
	uint64_t size;
	size_t count;
	bool log = false;

	return kmn_anchor_read(record->body, said) && kmn_json_get_text(record->body, "note", &text) &&
	       kmn_json_get_number(record->body, "size", &size) &&
	       kmn_note_parse(text, strlen(text), &parsed, NULL) == KMN_OK &&
	       kmn_checkpoint_parse(&parsed, j->trust->origin, head, NULL) == KMN_OK &&
	       kmn_note_verify(&parsed, &j->trust->log, 1, &log, &count, NULL) == KMN_OK && log && head->size == size &&
	       size <= record->i && kmn_judge_is_head((void *)(uintptr_t)j, head);
}

static kmn_err
judge_anchor(struct kmn_judging *j, const struct kmn_record *record)
{
	struct kmn_anchor_said *said = calloc(1, sizeof(*said));
	struct kmn_stamp stamp = {0};
	struct kmn_why why = {""};
	struct kmn_head head = {0};
	kmn_err e = KMN_OK;

	if (said == NULL)
		return KMN_E_NO_MEMORY;
	if (!read_anchor(j, record, said, &head)) {
		kmn_judge_note(j, KMN_ASK_TIME, KMN_SAYS_FAILED,
		    "record %" PRIu64 " is no time stamp over a head of this ledger", record->i);
	} else if (head.size <= j->bundle->request || head.size <= j->result) {
		kmn_judge_note(j, KMN_ASK_TIME, KMN_SAYS_FAILED,
		    "the time stamp of record %" PRIu64 " does not cover the request", record->i);
	} else if ((e = judge_token(j, record, said, &why, &stamp)) != KMN_OK && e != KMN_E_NO_MEMORY) {
		kmn_judge_note(
		    j, KMN_ASK_TIME, KMN_SAYS_FAILED, "the time stamp of record %" PRIu64 ": %s", record->i, why.text);
	} else if (e == KMN_OK) {
		judge_order(j, record, head.size, stamp.gen_time);
		kmn_judge_note(j, KMN_ASK_TIME, KMN_SAYS_OK, "all of it existed at %" PRIu64 " ms since 1970 by %s",
		    stamp.gen_time, said->tsa);
	}
	kmn_stamp_clear(&stamp);
	free(said);
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

kmn_err
kmn_judge_time(struct kmn_judging *j)
{
	bool found = false;
	kmn_err e = KMN_OK;

	if (j->trust->tsa_count == 0) {
		kmn_judge_note(
		    j, KMN_ASK_TIME, KMN_SAYS_NOT_ASKED, "the trust file names no authority for time stamps");
		return KMN_OK;
	}
	for (size_t n = 0; e == KMN_OK && n < j->records; n++) {
		if (j->record[n].kind != KMN_R_ANCHOR || j->record[n].owner == NULL)
			continue;
		found = true;
		e = judge_anchor(j, &j->record[n]);
	}
	if (!found)
		kmn_judge_note(j, KMN_ASK_TIME, KMN_SAYS_SHORT, "no time stamp covers the request");
	return e;
}
