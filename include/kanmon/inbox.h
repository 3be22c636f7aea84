/*
 * Puts together one message of the form u32 length | u8 type | body, which
 * frames and messages share, from bytes as they come. It never asks for bytes
 * of the next message, and makes room only as bytes arrive, so that a length
 * is never more than a claim. Pure.
 *
 *	do {
 *		kmn_inbox_space(inbox, &at, &n)      how much may be read, and where to
 *		got = read(.., at, n)
 *		kmn_inbox_add(inbox, got)            when have == KMN_INBOX_HEAD_BYTES: judge
 *	} while (!kmn_inbox_complete(inbox))         type and length before going on
 *	... use type, body, length ...
 *	kmn_inbox_reset(inbox)
 */
#ifndef KANMON_INBOX_H
#define KANMON_INBOX_H

#include "kanmon/err.h"

#define KMN_INBOX_HEAD_BYTES 5u

struct kmn_inbox {
	uint8_t *bytes; /* owned, wiped */
	size_t have;    /* bytes that came: head and body */
	size_t room;    /* bytes allocated */
	size_t max;     /* most that the length may claim (type and body) */
};

/* Allocates nothing yet. `max_bytes`: the most that a length may claim, type and body together. */
void kmn_inbox_init(struct kmn_inbox *inbox, size_t max_bytes);
/* Wipes and frees. */
void kmn_inbox_clear(struct kmn_inbox *inbox);
/* Wipes the message and is ready for the next; room that was unusually large is given back. */
void kmn_inbox_reset(struct kmn_inbox *inbox);

/* Where the next bytes of this message go: at least 1, never past its end. Not to be called when complete. */
kmn_err kmn_inbox_space(struct kmn_inbox *inbox, uint8_t **at_out, size_t *len_out) KMN_MUST_CHECK;
/* `len_bytes` bytes were put there. KMN_E_TOO_BIG or KMN_E_MALFORMED (length 0) when the head says so. */
kmn_err kmn_inbox_add(struct kmn_inbox *inbox, size_t len_bytes) KMN_MUST_CHECK;
bool kmn_inbox_complete(const struct kmn_inbox *inbox);

/* Valid once the head is there. */
uint8_t kmn_inbox_type(const struct kmn_inbox *inbox);
size_t kmn_inbox_body_bytes(const struct kmn_inbox *inbox);
/* Valid until reset, once complete. */
const uint8_t *kmn_inbox_body(const struct kmn_inbox *inbox);

#endif
