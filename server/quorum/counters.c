/*
 * Counters of security keys: each signature is to have a greater one than the last. One that has not may be of a copy,
 * or of a key that was reset: a signal and no proof, so it is counted and refuses nothing (docs/statements.md, Evidence).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "server/quorum/quorum.h"

static kmn_err
take(struct kmn_quorum *q, const struct quorum_signer *signer, uint64_t i)
{
	struct quorum_counter *more;

	for (size_t n = 0; n < q->counters.count; n++) {
		struct quorum_counter *c = &q->counters.of[n];

		if (memcmp(c->spki_sha256, signer->spki_sha256, KMN_HASH_BYTES) != 0)
			continue;
		if (signer->counter <= c->last) {
			q->counts.counters_back++;
			q->counts.counter_back_i = i;
		}
		c->last = signer->counter;
		return KMN_OK;
	}
	if ((more = realloc(q->counters.of, (q->counters.count + 1) * sizeof(*more))) == NULL)
		return KMN_E_NO_MEMORY;
	q->counters.of = more;
	more += q->counters.count++;
	memcpy(more->spki_sha256, signer->spki_sha256, KMN_HASH_BYTES);
	more->last = signer->counter;
	return KMN_OK;
}

kmn_err
quorum_counters_take(struct kmn_quorum *q, const struct quorum_signers *signers, uint64_t i)
{
	kmn_err e = KMN_OK;

	for (size_t n = 0; e == KMN_OK && n < signers->count; n++)
		if (signers->who[n].has_counter)
			e = take(q, &signers->who[n], i);
	return e;
}
