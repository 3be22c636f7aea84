/*
 * V4, as far as witnesses go: whose cosignatures stand in the ledger, at its
 * `checkpoint` files and at the head that the auditor brought, and which size
 * the quorum of the trust file vouches for.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/witness.h"
#include "server/ledger/verify.h"

struct witnesses {
	const struct kmn_checking *checking;
	uint64_t size[KMN_TLOG_WITNESSES_MAX]; /* the largest that each cosigned of this very tree */
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct witnesses *s = calloc(1, sizeof(*s));

	if ((*state_out = s) == NULL)
		return KMN_E_NO_MEMORY;
	s->checking = checking;
	return KMN_OK;
}

/*
 * A note over a head: who signed it, if it is of this tree. That it is not is said by those who check heads. A line by a
 * witness' name and key id that does not verify gives nothing, and is no finding: four bytes of key id are imitated at
 * little cost, and any client's line comes to stand in a record.
 */
static void
take_note(struct witnesses *s, const struct kmn_place *place, const char *bytes, size_t len)
{
	const struct kmn_tlog_policy *policy = &s->checking->settings->trust->policy;
	struct kmn_why why = {""};
	struct kmn_note note;
	struct kmn_head head;

	if (kmn_note_parse(bytes, len, &note, &why) != KMN_OK) {
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place, "cosignatures: %s", why.text);
		return;
	}
	if (kmn_checkpoint_parse(&note, s->checking->settings->trust->origin, &head, NULL) != KMN_OK ||
	    !kmn_past_is_head(s->checking->past, &head))
		return;
	for (uint32_t w = 0; w < policy->witnesses; w++) {
		size_t count;
		bool verified;

		if (kmn_note_verify(&note, &policy->witness[w], 1, &verified, &count, &why) != KMN_OK)
			kmn_checker_say(s->checking, KMN_V4, KMN_INFO, place, "not counted: %s", why.text);
		else if (verified && head.size > s->size[w])
			s->size[w] = head.size;
	}
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct witnesses *s = state;
	struct kmn_why why = {""};
	struct kmn_head head;
	char *note;
	size_t len;
	kmn_err e;

	e = kmn_cosign_note(record->body, s->checking->settings->trust->origin, &head, &note, &len, &why);
	if (e == KMN_OK)
		take_note(s, place, note, len);
	else if (e == KMN_E_MALFORMED)
		kmn_checker_say(s->checking, KMN_V4, KMN_FINDING, place, "cosignatures: %s", why.text);
	free(note);
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

static kmn_err
take_file(struct witnesses *s, const char *name)
{
	struct kmn_place place = {name, 0, UINT64_MAX};
	char *bytes;
	size_t len;
	kmn_err e = kmn_store_read(s->checking->settings->store, name, KMN_NOTE_MAX_BYTES, &bytes, &len);

	if (e == KMN_OK)
		take_note(s, &place, bytes, len);
	free(bytes);
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

static kmn_err
end(void *state)
{
	struct witnesses *s = state;
	const struct kmn_checking *checking = s->checking;
	const struct kmn_verify_settings *settings = checking->settings;
	struct kmn_place nowhere = {NULL, 0, UINT64_MAX}, brought = {"--head", 0, UINT64_MAX};
	uint64_t records = kmn_past_size(checking->past);
	kmn_err e;

	if (settings->trust->policy.quorum == KMN_TLOG_NONE)
		return KMN_OK;
	if ((e = take_file(s, "checkpoint.cosigned")) != KMN_OK)
		return e;
	if (settings->head != NULL)
		take_note(s, &brought, settings->head, settings->head_len);
	checking->report->witnessed_size = kmn_tlog_policy_size(&settings->trust->policy, s->size);
	checking->report->unwitnessed = checking->report->witnessed_size == 0;
	if (checking->report->unwitnessed)
		kmn_checker_say(checking, KMN_V4, KMN_INFO, &nowhere,
		    "no quorum of the trust file's witnesses cosigned any head of this ledger");
	else
		kmn_checker_say(checking, KMN_V4, KMN_INFO, &nowhere,
		    "the quorum of witnesses vouches for the first %" PRIu64 " records; %" PRIu64 " came after",
		    checking->report->witnessed_size, records - checking->report->witnessed_size);
	return KMN_OK;
}

#define KINDS KMN_KIND(COSIGN)

const struct kmn_checker kmn_witness_checker = {"witness", KINDS, KINDS, begin, take_record, end, free};
