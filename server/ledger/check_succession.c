/*
 * V4 across ledgers: a genesis that succeeds another ledger names its last
 * head, and nothing follows the record that closed one. Years of archives are
 * a chain by this: one that is left out, swapped or cut does not fit.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

struct succession {
	const struct kmn_checking *checking;
	bool closed, said;
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct succession *s = calloc(1, sizeof(*s));

	if ((*state_out = s) == NULL)
		return KMN_E_NO_MEMORY;
	s->checking = checking;
	return KMN_OK;
}

/* Whether the note is the old log key's, over this head. */
static bool
is_signed(const struct kmn_predecessor *before, const json_t *predecessor)
{
	struct kmn_note note;
	struct kmn_head head;
	const char *text;
	size_t count;
	bool verified;

	return kmn_json_get_text(predecessor, "note", &text) &&
	       kmn_note_parse(text, strlen(text), &note, NULL) == KMN_OK &&
	       kmn_note_verify(&note, &before->log, 1, &verified, &count, NULL) == KMN_OK && count == 1 &&
	       kmn_checkpoint_parse(&note, before->origin, &head, NULL) == KMN_OK && head.size == before->head.size &&
	       memcmp(head.root, before->head.root, KMN_HASH_BYTES) == 0;
}

static void
check_genesis(const struct succession *s, const struct kmn_record *record, const struct kmn_place *place)
{
	const struct kmn_predecessor *before = s->checking->settings->before;
	const json_t *predecessor = json_object_get(record->body, "predecessor");
	const char *origin = "";
	uint8_t root[KMN_HASH_BYTES];
	uint64_t size = 0;

	if (predecessor == NULL) {
		if (before != NULL)
			kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
			    "it succeeds no ledger, and %.100s was given as the one before", before->origin);
		return;
	}
	if (!kmn_json_get_text(predecessor, "origin", &origin) || !kmn_json_get_number(predecessor, "size", &size) ||
	    !kmn_json_get_b64(predecessor, "root", root, sizeof(root)))
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place, "its predecessor is not an origin and a head");
	else if (before == NULL)
		kmn_checker_say(s->checking, KMN_V4, KMN_INFO, place,
		    "it succeeds %.100s, which was not given: what was before is not judged", origin);
	else if (strcmp(origin, before->origin) != 0 || size != before->head.size ||
		 memcmp(root, before->head.root, sizeof(root)) != 0)
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
		    "it succeeds %.100s at %" PRIu64 " records; the ledger given before it is %.100s with %" PRIu64
		    ": one is missing, in another place, or was changed",
		    origin, size, before->origin, before->head.size);
	else if (!is_signed(before, predecessor))
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
		    "the last head of its predecessor is not signed by its log key");
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct succession *s = state;
	struct kmn_successor *successor = &s->checking->report->successor;

	if (s->closed && !s->said) {
		s->said = true;
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place, "the ledger goes on after it was closed");
	}
	if (record->kind == KMN_R_GENESIS)
		check_genesis(s, record, place);
	if (record->kind == KMN_R_CLOSED) {
		s->closed = true;
		if (!kmn_successor_read(json_object_get(record->body, "successor"), successor))
			kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
			    "successor is not an origin, its log key and the hash of its policy");
	}
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	(void)state;
	return KMN_OK;
}

const struct kmn_checker kmn_succession_checker = {
    "succession", KMN_KINDS_ALL, KMN_KIND(GENESIS) | KMN_KIND(CLOSED), begin, take_record, end, free};
