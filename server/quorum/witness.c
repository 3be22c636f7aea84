/*
 * How fresh the witnesses' cosignatures are, from records alone. A witness of
 * the policy counts from the time of a `cosign` record with its line, if the
 * head that it cosigned holds its cosignature before: a gateway that has one
 * old head cosigned again and again gains nothing by it. The limit asks when
 * the K-th newest of them was.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/note.h"
#include "kanmon/witness.h"
#include "server/quorum/policy.h"
#include "server/quorum/quorum.h"

static struct quorum_witness *
find(struct kmn_quorum *q, const uint8_t pub[KMN_ED25519_PUBLIC_BYTES])
{
	for (size_t n = 0; n < q->witnesses; n++)
		if (memcmp(q->witness[n].pub, pub, KMN_ED25519_PUBLIC_BYTES) == 0)
			return &q->witness[n];
	return NULL;
}

/* Those of an earlier policy are forgotten. */
static void
keep_named(struct kmn_quorum *q, const struct kmn_policy *policy)
{
	size_t kept = 0;

	for (size_t n = 0; n < q->witnesses; n++)
		for (size_t i = 0; i < policy->witnesses.count; i++) {
			const struct witness *w = policy->witnesses.items[i];

			if (memcmp(w->key.pub, q->witness[n].pub, sizeof(w->key.pub)) == 0)
				q->witness[kept++] = q->witness[n];
		}
	q->witnesses = kept;
}

static void
take(struct kmn_quorum *q, const struct kmn_record *record, const struct kmn_vkey *key, uint64_t size)
{
	struct quorum_witness *w = find(q, key->pub);

	if (w == NULL) { /* no more than the policy names, which is no more than there is room for */
		w = &q->witness[q->witnesses++];
		memcpy(w->pub, key->pub, sizeof(w->pub));
	} else if (size <= w->i) {
		return;
	}
	w->i = record->i;
	w->t = record->t;
}

static kmn_err
take_cosign(struct kmn_quorum *q, const struct kmn_policy *policy, const struct kmn_record *record, struct kmn_why *why)
{
	struct kmn_head head;
	struct kmn_note note;
	char *bytes = NULL;
	size_t len;
	kmn_err e = kmn_cosign_note(record->body, policy->origin, &head, &bytes, &len, why);

	if (e == KMN_OK)
		e = kmn_note_parse(bytes, len, &note, why);
	if (e == KMN_OK && head.size > record->i) {
		kmn_why_set(why, "a head that holds the record itself");
		e = KMN_E_MALFORMED;
	}
	for (size_t i = 0; e == KMN_OK && i < policy->witnesses.count; i++) {
		const struct witness *w = policy->witnesses.items[i];
		size_t count;
		bool verified;

		/* A line of its name and key id that it did not make says nothing: four bytes of key id are imitated at little cost. */
		if (kmn_note_verify(&note, &w->key, 1, &verified, &count, NULL) == KMN_OK && verified &&
		    (q->settings.head == NULL || q->settings.head(q->settings.cookie, &head)))
			take(q, record, &w->key, head.size);
	}
	free(bytes);
	return e == KMN_OK || e == KMN_E_NO_MEMORY ? e : KMN_E_CORRUPT;
}

/* When the K-th newest was; 0: there are fewer. */
static uint64_t
kth_newest(const struct kmn_quorum *q, uint32_t k)
{
	uint64_t best = 0;

	for (size_t n = 0; n < q->witnesses; n++) {
		uint32_t as_new = 0;

		for (size_t m = 0; m < q->witnesses; m++)
			as_new += q->witness[m].t >= q->witness[n].t;
		if (as_new >= k && q->witness[n].t > best)
			best = q->witness[n].t;
	}
	return best;
}

kmn_err
quorum_witness_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	kmn_err e = KMN_OK;

	if (policy == NULL ||
	    (record->kind != KMN_R_GENESIS && record->kind != KMN_R_POLICY && record->kind != KMN_R_COSIGN))
		return KMN_OK;
	if (record->kind == KMN_R_COSIGN)
		e = take_cosign(q, policy, record, why);
	else
		keep_named(q, policy);
	q->fresh.last_t[KMN_LIMIT_WITNESSES] = kth_newest(q, policy->limit[KMN_LIMIT_WITNESSES].need);
	return e;
}
