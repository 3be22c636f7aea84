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

/* The line of the first security key that the assertion verifies by; NULL: of none. */
static const struct kmn_evidence_key *
find_key(const struct kmn_policy *policy, const char *text, size_t len, const uint8_t *assertion, size_t assertion_len,
    const struct kmn_evidence_place *places, struct kmn_why *why)
{
	struct kmn_evidence_said said;

	for (size_t i = 0; i < policy->custodians.count; i++) {
		const struct custodian *c = policy->custodians.items[i];

		if (kmn_evidence_is_webauthn(c->key.kind) &&
		    kmn_evidence_verify(text, len, assertion, assertion_len, &c->key, places, policy->webauthn.count,
			&said, why) == KMN_OK)
			return &c->key;
	}
	return NULL;
}

kmn_err
kmn_evidence_assertion_note(const struct kmn_policy *policy, const char *bytes, size_t len, const uint8_t *assertion,
    size_t assertion_len, char **note_out, size_t *len_out, struct kmn_why *why)
{
	struct kmn_evidence_place *places = places_of(policy);
	const struct kmn_evidence_key *key;
	struct kmn_note before;
	char *line = NULL;
	kmn_err e = KMN_E_NO_MEMORY;

	*note_out = NULL;
	*len_out = 0;
	if (places == NULL)
		return e;
	kmn_why_set(why, "no line of policy version %llu is a security key", (unsigned long long)policy->version);
	key = find_key(policy, bytes, kmn_note_parse(bytes, len, &before, NULL) == KMN_OK ? before.text_len : len,
	    assertion, assertion_len, places, why);
	free(places);
	if (key == NULL)
		return KMN_E_SIGNATURE;
	if ((e = kmn_note_line_make(key->name, key->id, assertion, assertion_len, &line)) == KMN_OK)
		e = kmn_note_add_line(bytes, len, line, note_out, len_out);
	free(line);
	return e;
}
