/*
 * V2, nonces: 128 random bits in each record hide what a neighbour's proof
 * would let somebody guess. That they were random nobody can show; that they
 * were not shows in a nonce that comes twice, and in a bit that is set far
 * too often or too seldom (counters, clocks, constants).
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

#define BITS (8 * KMN_NONCE_BYTES)
#define LEAST_RECORDS 256 /* before that a bit may well lean to one side */
#define SIGMAS_SQUARED 64 /* eight standard deviations: one random ledger in 10^12 has such a bit */

/* Nonces seen, by open addressing; a place is used if index is not 0. */
struct place_of {
	uint8_t nonce[KMN_NONCE_BYTES];
	uint64_t index; /* of the record, plus 1 */
};

struct nonces {
	const struct kmn_checking *checking;
	struct place_of *place;
	uint64_t room, count; /* room: a power of 2, at most three quarters used */
	uint64_t set[BITS];   /* how often each bit was 1 */
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct nonces *nonces = calloc(1, sizeof(*nonces));

	if ((*state_out = nonces) == NULL)
		return KMN_E_NO_MEMORY;
	nonces->checking = checking;
	return KMN_OK;
}

/* Where a nonce is, or would be. */
static struct place_of *
find(struct place_of *place, uint64_t room, const uint8_t nonce[KMN_NONCE_BYTES])
{
	uint64_t at, low, high;

	memcpy(&low, nonce, sizeof(low));
	memcpy(&high, nonce + sizeof(low), sizeof(high));
	at = (low ^ high) * UINT64_C(0x9e3779b97f4a7c15);
	for (at ^= at >> 32;; at++) {
		struct place_of *p = &place[at & (room - 1)];

		if (p->index == 0 || memcmp(p->nonce, nonce, sizeof(p->nonce)) == 0)
			return p;
	}
}

static kmn_err
grow(struct nonces *nonces)
{
	uint64_t room = nonces->room == 0 ? 1024 : 2 * nonces->room;
	struct place_of *larger = calloc(room, sizeof(*larger));

	if (larger == NULL)
		return KMN_E_NO_MEMORY;
	for (uint64_t i = 0; i < nonces->room; i++)
		if (nonces->place[i].index != 0)
			*find(larger, room, nonces->place[i].nonce) = nonces->place[i];
	free(nonces->place);
	nonces->place = larger;
	nonces->room = room;
	return KMN_OK;
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct nonces *nonces = state;
	struct place_of *p;
	kmn_err e;

	if (4 * (nonces->count + 1) > 3 * nonces->room && (e = grow(nonces)) != KMN_OK)
		return e;
	p = find(nonces->place, nonces->room, record->nonce);
	if (p->index != 0) {
		kmn_checker_say(nonces->checking, KMN_V2, KMN_FINDING, place,
		    "the nonce of record %" PRIu64 " once more: nonces are not random", p->index - 1);
		return KMN_OK;
	}
	memcpy(p->nonce, record->nonce, sizeof(p->nonce));
	p->index = record->i + 1;
	nonces->count++;
	for (unsigned bit = 0; bit < BITS; bit++)
		nonces->set[bit] += record->nonce[bit / 8] >> (7 - bit % 8) & 1;
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	const struct nonces *nonces = state;
	const struct kmn_place whole = {NULL, 0, UINT64_MAX};
	unsigned leaning = 0;

	for (unsigned bit = 0; nonces->count >= LEAST_RECORDS && bit < BITS; bit++) {
		/* Of n random bits n/2 are set, with a standard deviation of sqrt(n)/2. */
		int64_t twice_off = 2 * (int64_t)nonces->set[bit] - (int64_t)nonces->count;

		leaning += (double)twice_off * (double)twice_off > SIGMAS_SQUARED * (double)nonces->count;
	}
	if (leaning > 0)
		kmn_checker_say(nonces->checking, KMN_V2, KMN_FINDING, &whole,
		    "%u of the %u bits of nonces are not random: what proofs hide can be guessed", leaning, BITS);
	return KMN_OK;
}

static void
clear(void *state)
{
	struct nonces *nonces = state;

	free(nonces->place);
	free(nonces);
}

const struct kmn_checker kmn_nonces_checker = {"nonces", KMN_KINDS_ALL, 0, begin, take_record, end, clear};
