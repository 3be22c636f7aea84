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

/* The genesis and the ledger that was given as the one before. */
static void
compare(const struct succession *s, const json_t *predecessor, const struct kmn_predecessor *named,
    const struct kmn_place *place)
{
	const struct kmn_predecessor *before = s->checking->settings->before;
	const char *note;

	if (strcmp(named->origin, before->origin) != 0 || named->head.size != before->head.size ||
	    memcmp(named->head.root, before->head.root, KMN_HASH_BYTES) != 0)
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
		    "it succeeds %.100s at %" PRIu64 " records; the ledger given before it is %.100s with %" PRIu64
		    ": one is missing, in another place, or was changed",
		    named->origin, named->head.size, before->origin, before->head.size);
	else if (!kmn_json_get_text(predecessor, "note", &note) || !kmn_predecessor_signed(before, note))
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
		    "the last head of its predecessor is not signed by its log key");
	else if (named->log.type != 0 && memcmp(&named->log, &before->log, sizeof(named->log)) != 0)
		kmn_checker_say(
		    s->checking, KMN_V4, KMN_FINDING, place, "it names another log key than its predecessor had");
}

static void
check_genesis(const struct succession *s, const struct kmn_record *record, const struct kmn_place *place)
{
	const struct kmn_predecessor *before = s->checking->settings->before;
	const json_t *predecessor = json_object_get(record->body, "predecessor");
	struct kmn_predecessor named;

	if (predecessor == NULL) {
		if (before != NULL)
			kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
			    "it succeeds no ledger, and %.100s was given as the one before", before->origin);
		return;
	}
	if (!kmn_predecessor_read(predecessor, &named))
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place,
		    "its predecessor is not an origin and a head, signed by the key that it names");
	else if (before == NULL)
		kmn_checker_say(s->checking, KMN_V4, KMN_INFO, place,
		    "it succeeds %.100s, which was not given: what was before is not judged", named.origin);
	else
		compare(s, predecessor, &named, place);
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
