/*
 * Openings that a client gives to an auditor (docs/ledger.md 9a): values, and
 * the salts that came with the receipts, for commitments in a ledger.
 *
 *   kanmon/openings/v1 LF
 *   *("opening" SP index SP field SP b64(salt) SP b64(value) LF)
 */
#ifndef KANMON_OPENINGS_H
#define KANMON_OPENINGS_H

#include "kanmon/receipt.h"

#define KMN_OPENINGS_MAX_BYTES (16u << 20)

struct kmn_opened {
	uint64_t index; /* of the `op` or `result` that the receipt was for, or of the intent itself */
	char field[KMN_OPENING_FIELD_MAX_BYTES + 1];
	uint8_t salt[KMN_OPENING_SALT_BYTES];
	uint8_t *value; /* owned */
	size_t len;     /* of value */
};

/* Sorted by index, as lines of one index stand. */
struct kmn_openings {
	size_t count;
	struct kmn_opened *opened;
};

/* *openings_out is the caller's to clear, also after a failure. KMN_E_MALFORMED, KMN_E_TOO_BIG, KMN_E_NO_MEMORY. */
kmn_err kmn_openings_parse(
    const char *text, size_t len, struct kmn_openings *openings_out, struct kmn_why *why) KMN_MUST_CHECK;
void kmn_openings_clear(struct kmn_openings *openings);

#endif
