#include "kanmon/inbox.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM_BYTES 4096u
#define KEPT_ROOM_BYTES (256u << 10) /* more than this is not held between messages */

void
kmn_inbox_init(struct kmn_inbox *inbox, size_t max_bytes)
{
	*inbox = (struct kmn_inbox){.max = max_bytes};
}

void
kmn_inbox_clear(struct kmn_inbox *inbox)
{
	if (inbox->bytes != NULL)
		sodium_memzero(inbox->bytes, inbox->have);
	free(inbox->bytes);
	kmn_inbox_init(inbox, inbox->max);
}

void
kmn_inbox_reset(struct kmn_inbox *inbox)
{
	if (inbox->room > KEPT_ROOM_BYTES) {
		kmn_inbox_clear(inbox);
		return;
	}
	if (inbox->bytes != NULL)
		sodium_memzero(inbox->bytes, inbox->have);
	inbox->have = 0;
}

/* What the head claims: bytes after the length field. */
static size_t
claimed(const struct kmn_inbox *inbox)
{
	const uint8_t *b = inbox->bytes;

	return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

/* Bytes of the message in all, as far as is known. */
static size_t
total(const struct kmn_inbox *inbox)
{
	return inbox->have < KMN_INBOX_HEAD_BYTES ? KMN_INBOX_HEAD_BYTES : claimed(inbox) + 4;
}

/* Moves to a block of `room` bytes by hand: realloc() would leave the old bytes unwiped. */
static bool
grow(struct kmn_inbox *inbox, size_t room)
{
	uint8_t *bytes = malloc(room);

	if (bytes == NULL)
		return false;
	if (inbox->bytes != NULL) {
		memcpy(bytes, inbox->bytes, inbox->have);
		sodium_memzero(inbox->bytes, inbox->have);
	}
	free(inbox->bytes);
	inbox->bytes = bytes;
	inbox->room = room;
	return true;
}

kmn_err
kmn_inbox_space(struct kmn_inbox *inbox, uint8_t **at_out, size_t *len_out)
{
	size_t want = total(inbox) - inbox->have;

	*at_out = NULL;
	*len_out = 0;
	if (inbox->have == inbox->room && !grow(inbox, inbox->room == 0 ? FIRST_ROOM_BYTES : inbox->room * 2))
		return KMN_E_NO_MEMORY;
	*at_out = inbox->bytes + inbox->have;
	*len_out = want < inbox->room - inbox->have ? want : inbox->room - inbox->have;
	return KMN_OK;
}

kmn_err
kmn_inbox_add(struct kmn_inbox *inbox, size_t len_bytes)
{
	bool had_head = inbox->have >= KMN_INBOX_HEAD_BYTES;

	if (len_bytes > inbox->room - inbox->have || len_bytes > total(inbox) - inbox->have)
		return KMN_E_INTERNAL;
	inbox->have += len_bytes;
	if (had_head || inbox->have < KMN_INBOX_HEAD_BYTES)
		return KMN_OK;
	if (claimed(inbox) == 0)
		return KMN_E_MALFORMED;
	return claimed(inbox) > inbox->max ? KMN_E_TOO_BIG : KMN_OK;
}

bool
kmn_inbox_complete(const struct kmn_inbox *inbox)
{
	return inbox->have >= KMN_INBOX_HEAD_BYTES && inbox->have == claimed(inbox) + 4;
}

uint8_t
kmn_inbox_type(const struct kmn_inbox *inbox)
{
	return inbox->bytes[4];
}

size_t
kmn_inbox_body_bytes(const struct kmn_inbox *inbox)
{
	return claimed(inbox) - 1;
}

const uint8_t *
kmn_inbox_body(const struct kmn_inbox *inbox)
{
	return inbox->bytes + KMN_INBOX_HEAD_BYTES;
}
