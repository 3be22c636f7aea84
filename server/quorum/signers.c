/* Who signed a note, by the keys of the policy, and about which ledger. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/evidence.h"
#include "server/quorum/quorum.h"

kmn_err
quorum_signers_find(
    const struct kmn_policy *policy, const struct kmn_note *note, struct quorum_signers *out, struct kmn_why *why)
{
	struct kmn_evidence_said *said = NULL;
	const struct kmn_policy_custodian *c;
	size_t count = 0;
	kmn_err e = kmn_evidence_verify_note(policy, note, &said, &count, why);

	memset(out, 0, sizeof(*out));
	for (size_t n = 0; e == KMN_OK && (c = kmn_policy_custodian_at(policy, n)) != NULL; n++) {
		struct quorum_signer *signer = &out->who[out->count];

		if (!said[n].signed_it || out->count == KMN_COUNT_OF(out->who))
			continue;
		*signer = (struct quorum_signer){.name = c->name,
		    .person = c->person,
		    .place = said[n].place,
		    .independent = said[n].independent,
		    .has_counter = said[n].has_count,
		    .counter = said[n].count};
		memcpy(signer->spki_sha256, c->key->spki_sha256, KMN_HASH_BYTES);
		out->count++;
	}
	free(said);
	return e;
}

bool
quorum_is_about(const struct kmn_policy *policy, const struct kmn_signed *said)
{
	const struct kmn_signed_line *origin = kmn_signed_line(said, "origin", 0);
	const char *own = kmn_policy_origin(policy);

	return origin != NULL && strlen(own) == origin->len && memcmp(own, origin->value, origin->len) == 0;
}
