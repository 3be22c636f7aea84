#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/evidence.h"
#include "server/quorum/policy.h"

/* All lines of one key under a note; it signed independently if one of its signatures was made so. */
static kmn_err
verify_key(const struct kmn_note *note, const struct kmn_evidence_key *key, const struct kmn_evidence_place *places,
    size_t place_count, struct kmn_evidence_said *said, struct kmn_why *why)
{
	uint8_t raw[4 + KMN_NOTE_SIG_MAX_BYTES];
	struct kmn_evidence_said by_line;
	size_t len;
	kmn_err e = KMN_OK;

	for (size_t n = 0; e == KMN_OK && n < note->count; n++) {
		if (!kmn_note_line_is_by(&note->line[n], key->name, key->id))
			continue;
		if ((e = kmn_b64_parse(note->line[n].b64, note->line[n].b64_len, raw, sizeof(raw), &len)) != KMN_OK ||
		    (e = kmn_evidence_verify(note->text, note->text_len, raw + 4, len - 4, key, places, place_count,
			 &by_line, why)) != KMN_OK)
			break;
		by_line.independent = by_line.independent || said->independent;
		*said = by_line;
	}
	return e;
}

/* The places that the policy names; free(). */
static struct kmn_evidence_place *
places_of(const struct kmn_policy *policy)
{
	struct kmn_evidence_place *places = calloc(policy->webauthn.count + 1, sizeof(*places));

	for (size_t i = 0; places != NULL && i < policy->webauthn.count; i++) {
		const struct kmn_policy_webauthn *w = &((const struct webauthn *)policy->webauthn.items[i])->seen;

		places[i] = (struct kmn_evidence_place){w->name, w->origin, w->rp_id, w->independent};
	}
	return places;
}

kmn_err
kmn_evidence_verify_note(const struct kmn_policy *policy, const struct kmn_note *note,
    struct kmn_evidence_said **said_out, size_t *count_out, struct kmn_why *why)
{
	size_t n = policy->custodians.count;
	struct kmn_evidence_place *places = places_of(policy);
	struct kmn_evidence_said *said = calloc(n + 1, sizeof(*said));
	kmn_err e = said == NULL || places == NULL ? KMN_E_NO_MEMORY : KMN_OK;

	*said_out = NULL;
	*count_out = 0;
	if (e != KMN_OK)
		kmn_why_set(why, "out of memory");
	for (size_t i = 0; e == KMN_OK && i < n; i++) {
		const struct custodian *c = policy->custodians.items[i];

		e = verify_key(note, &c->key, places, policy->webauthn.count, &said[i], why);
		*count_out += said[i].signed_it;
	}
	free(places);
	if (e == KMN_OK) {
		*said_out = said;
		return KMN_OK;
	}
	*count_out = 0;
	free(said);
	return e;
}
