/* V12: openings that a client gives match the commitments of their records. Made only where the auditor was given some. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/openings.h"
#include "kanmon/scan.h"
#include "server/ledger/verify.h"

struct opener {
	const struct kmn_checking *checking;
	const struct kmn_openings *openings; /* NULL: none are given */
	size_t next;                         /* the first that is not yet looked at */
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct opener *opener = calloc(1, sizeof(*opener));

	if ((*state_out = opener) == NULL)
		return KMN_E_NO_MEMORY;
	opener->checking = checking;
	opener->openings = checking->settings->openings;
	return KMN_OK;
}

/* {"commit","len"} against value and salt. */
static bool
opens(const json_t *body, const struct kmn_opened *opened)
{
	const json_t *shown = json_object_get(body, opened->field);
	uint8_t said[KMN_HASH_BYTES], is[KMN_HASH_BYTES];
	uint64_t len;

	if (!kmn_json_get_b64(shown, "commit", said, sizeof(said)) || !kmn_json_get_number(shown, "len", &len))
		return false;
	kmn_commitment(opened->field, opened->salt, opened->value, opened->len, is);
	return len == opened->len && memcmp(said, is, sizeof(is)) == 0;
}

/* The intent that a result names, read once more: by the leaf hash that V8 holds it to. */
static bool
intent_opens(const struct opener *opener, const struct kmn_record *result, const struct kmn_opened *opened)
{
	uint8_t leaf[KMN_HASH_BYTES];
	struct kmn_record intent;
	struct kmn_ref ref;
	bool yes = false;
	char *line;
	size_t len;

	if (!kmn_ref_get(result->body, "request", &ref) || ref.i >= result->i ||
	    kmn_store_line(opener->checking->settings->store, ref.i, &line, &len) != KMN_OK)
		return false;
	if (kmn_record_parse(line, len, &intent, NULL) == KMN_OK) {
		yes = kmn_past_leaf(opener->checking->past, ref.i, leaf) == KMN_OK &&
		      memcmp(leaf, intent.leaf, sizeof(leaf)) == 0 && opens(intent.body, opened);
		kmn_record_clear(&intent);
	}
	free(line);
	return yes;
}

static void
look_at(const struct opener *opener, const struct kmn_record *record, const struct kmn_place *place,
    const struct kmn_opened *opened)
{
	struct kmn_record whole; /* its body too: of the few that openings are given for, not of all */
	bool yes = false;

	if (kmn_record_parse(record->scan->line, record->scan->len, &whole, NULL) == KMN_OK) {
		yes = opens(whole.body, opened) || (whole.kind == KMN_R_RESULT && intent_opens(opener, &whole, opened));
		kmn_record_clear(&whole);
	}
	if (yes)
		opener->checking->report->openings++;
	else
		kmn_checker_say(opener->checking, KMN_V12, KMN_FINDING, place,
		    "no commitment of its is opened by the value and salt given for %s", opened->field);
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct opener *opener = state;
	const struct kmn_openings *all = opener->openings;

	for (; all != NULL && opener->next < all->count && all->opened[opener->next].index <= record->i; opener->next++)
		if (all->opened[opener->next].index == record->i)
			look_at(opener, record, place, &all->opened[opener->next]);
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	struct opener *opener = state;
	struct kmn_verify_report *report = opener->checking->report;

	if (opener->openings == NULL) {
		report->not_asked[KMN_V12] = true;
		return KMN_OK;
	}
	for (; opener->next < opener->openings->count; opener->next++) {
		const struct kmn_place place = {NULL, 0, opener->openings->opened[opener->next].index};

		kmn_checker_say(
		    opener->checking, KMN_V12, KMN_FINDING, &place, "an opening of a record that is not there");
	}
	report->done[KMN_V12] = true;
	return KMN_OK;
}

const struct kmn_checker kmn_openings_checker = {"openings", KMN_KINDS_ALL, 0, begin, take_record, end, free};
