/*
 * V10 of channels: every client says with which head it comes, and the ledger
 * keeps it. A head that the log key signed and that is not one of this ledger
 * is the proof of a second one: whoever made both shows each to somebody.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

struct views {
	const struct kmn_checking *checking;
	uint64_t earlier; /* heads of the ledger before this one */
	uint64_t foreign; /* heads that neither log key signed: they say nothing of this ledger */
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct views *views = calloc(1, sizeof(*views));

	if ((*state_out = views) == NULL)
		return KMN_E_NO_MEMORY;
	views->checking = checking;
	return KMN_OK;
}

static void
check_view(const struct views *views, const struct kmn_place *place, const struct kmn_head *head)
{
	char theirs[KMN_B64_LEN(KMN_HASH_BYTES) + 1], ours[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_head here;

	kmn_b64(head->root, KMN_HASH_BYTES, theirs);
	if (kmn_past_head(views->checking->past, head->size, &here) != KMN_OK) {
		kmn_checker_say(views->checking, KMN_V10, KMN_FINDING, place,
		    "SPLIT VIEW: the client came with a head of %" PRIu64
		    " records, root %s, signed by the log key, when this "
		    "ledger had %" PRIu64 ": its client_head and `checkpoint` are the evidence",
		    head->size, theirs, place->index);
		return;
	}
	kmn_b64(here.root, KMN_HASH_BYTES, ours);
	if (memcmp(here.root, head->root, KMN_HASH_BYTES) != 0)
		kmn_checker_say(views->checking, KMN_V10, KMN_FINDING, place,
		    "SPLIT VIEW: of %" PRIu64
		    " records the log key signed root %s for the client, and this ledger has %s: "
		    "its client_head and `checkpoint` are the evidence",
		    head->size, theirs, ours);
}

/* The cosignature that came with the head is over it, by the key that the client named. */
static void
check_cosignature(const struct views *views, const struct kmn_record *record, const struct kmn_place *place,
    const struct kmn_note *note)
{
	const char *line, *key;
	struct kmn_vkey vkey;
	struct kmn_note again;
	char *whole = NULL;
	bool verified;
	size_t count = 0;
	int len;

	if (!kmn_json_get_text(record->body, "client_cosig", &line))
		return;
	if (kmn_json_get_text(json_object_get(record->body, "provider"), "cosigner", &key) &&
	    kmn_vkey_parse(key, strlen(key), &vkey) == KMN_OK && vkey.type == KMN_NOTE_COSIGNATURE &&
	    (len = asprintf(&whole, "%.*s\n%s\n", (int)note->text_len, note->text, line)) > 0 &&
	    (kmn_note_parse(whole, (size_t)len, &again, NULL) != KMN_OK ||
		kmn_note_verify(&again, &vkey, 1, &verified, &count, NULL) != KMN_OK))
		count = 0;
	if (count != 1)
		kmn_checker_say(views->checking, KMN_V10, KMN_FINDING, place,
		    "client_cosig is no cosignature over client_head by the key that the client named");
	free(whole);
}

/*
 * A head of the ledger before, where that was given: with more records than it ended with, or with as many and another
 * root, it was rolled back or cut before it was closed.
 */
static bool
take_earlier(struct views *views, const struct kmn_note *note, const struct kmn_place *place)
{
	const struct kmn_predecessor *before = views->checking->settings->before;
	struct kmn_head head;
	bool verified;
	size_t count;

	if (before == NULL || kmn_note_verify(note, &before->log, 1, &verified, &count, NULL) != KMN_OK || count != 1 ||
	    kmn_checkpoint_parse(note, before->origin, &head, NULL) != KMN_OK)
		return false;
	views->earlier++;
	if (head.size > before->head.size ||
	    (head.size == before->head.size && memcmp(head.root, before->head.root, KMN_HASH_BYTES) != 0))
		kmn_checker_say(views->checking, KMN_V10, KMN_FINDING, place,
		    "SPLIT VIEW: the client came with a head of %" PRIu64
		    " records of %.100s, signed by its log key, and that ledger ended with %" PRIu64
		    ": client_head is the evidence",
		    head.size, before->origin, before->head.size);
	return true;
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct views *views = state;
	const struct kmn_trust *trust = views->checking->settings->trust;
	struct kmn_note note;
	struct kmn_head head;
	const char *text;
	bool verified;
	size_t count;

	if (!kmn_json_get_text(record->body, "client_head", &text) || strcmp(text, "none") == 0)
		return KMN_OK;
	if (kmn_note_parse(text, strlen(text), &note, NULL) != KMN_OK) {
		views->foreign++;
		return KMN_OK;
	}
	if (kmn_note_verify(&note, &trust->log, 1, &verified, &count, NULL) != KMN_OK || count != 1 ||
	    kmn_checkpoint_parse(&note, trust->origin, &head, NULL) != KMN_OK) {
		views->foreign += !take_earlier(views, &note, place);
		return KMN_OK;
	}
	check_view(views, place, &head);
	check_cosignature(views, record, place, &note);
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	const struct views *views = state;
	struct kmn_place nowhere = {NULL, 0, UINT64_MAX};

	if (views->earlier > 0)
		kmn_checker_say(views->checking, KMN_V10, KMN_INFO, &nowhere,
		    "%" PRIu64 " clients came with a head of the ledger before this one", views->earlier);
	if (views->foreign > 0)
		kmn_checker_say(views->checking, KMN_V10, KMN_INFO, &nowhere,
		    "%" PRIu64
		    " clients came with a head that the pinned log key did not sign: of another log, or of an "
		    "earlier key",
		    views->foreign);
	views->checking->report->done[KMN_V10] = true;
	return KMN_OK;
}

#define KINDS KMN_KIND(CHANNEL_OPEN)

const struct kmn_checker kmn_views_checker = {"views", KINDS, KINDS, begin, take_record, end, free};
