/*
 * What either end of the channel does with a stream: the inbox puts frames
 * together, frame.c judges them, a CALL's payload is decoded.
 *
 *   input = u8: 1 from the gateway, 2.. pieces of that many bytes | stream
 *
 * A break is: room made for bytes that did not come, a frame that passes the
 * whole check but not that of its head, or one that passes although cut.
 */
#include <stdlib.h>
#include <string.h>

#include "kanmon/codec.h"
#include "kanmon/frame.h"
#include "kanmon/inbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define MUST(what) \
	do { \
		if (!(what)) \
			abort(); \
	} while (0)

/* The phase that follows when the gateway agrees to everything. */
static unsigned
next_phase(unsigned phase, uint8_t type)
{
	switch (type) {
	case KMN_F_ATTACH:
	case KMN_F_JOIN:
		return KMN_PHASE_ATTACHED;
	case KMN_F_WATCH:
		return KMN_PHASE_WATCHING;
	case KMN_F_DETACH:
		return KMN_PHASE_FIRST;
	default:
		return phase;
	}
}

/* A complete frame; false when it ends the connection. */
static bool
take(enum kmn_frame_sender sender, unsigned *phase, const struct kmn_inbox *in)
{
	uint8_t type = kmn_inbox_type(in);
	const uint8_t *body = kmn_inbox_body(in);
	size_t n = kmn_inbox_body_bytes(in);
	struct kmn_call_view view;
	kmn_err e = kmn_frame_check(sender, *phase, type, body, n);

	if (e != KMN_OK)
		return false;
	MUST(kmn_frame_check_head(sender, *phase, type, n) == KMN_OK);
	if (type == KMN_F_CALL) {
		MUST(n >= 16);
		if (kmn_call_view_decode(body + 16, n - 16, &view) == KMN_OK)
			MUST(view.call != NULL && view.call->policy != KMN_POLICY_LOCAL);
	}
	if (type == KMN_F_REFUSED || type == KMN_F_ATTACH)
		MUST(kmn_frame_check(sender, *phase, type, body, n - 1) != KMN_OK);
	*phase = next_phase(*phase, type);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	enum kmn_frame_sender sender = len > 0 && bytes[0] == 1 ? KMN_SENDER_GATEWAY : KMN_SENDER_CLIENT;
	size_t step = len > 0 && bytes[0] > 1 ? bytes[0] : len, at = 1, came = 0;
	unsigned phase = KMN_PHASE_FIRST;
	struct kmn_inbox in;
	bool going = true;

	kmn_inbox_init(&in, KMN_FRAME_MAX_BYTES);
	while (going && at < len) {
		uint8_t *room;
		size_t n;

		MUST(kmn_inbox_space(&in, &room, &n) == KMN_OK);
		MUST(n > 0);
		n = n < step ? n : step;
		n = n < len - at ? n : len - at;
		memcpy(room, bytes + at, n);
		at += n;
		came += n;
		going = kmn_inbox_add(&in, n) == KMN_OK;
		MUST(in.room <= 4096 || in.room <= 2 * came);
		if (going && kmn_inbox_complete(&in)) {
			going = take(sender, &phase, &in);
			kmn_inbox_reset(&in);
			came = in.room; /* what was kept from longer frames before */
		}
	}
	kmn_inbox_clear(&in);
	return 0;
}
