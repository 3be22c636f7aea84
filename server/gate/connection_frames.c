/* Frames: bytes of the client become whole ones for the keeper, the keeper's become bytes for the client. */
#include "config.h"

#include "server/gate/connection.h"

#include <openssl/err.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/codec.h"

#define OUT_MAX_BYTES (2u * KMN_FRAME_MAX_BYTES + 65536u) /* an answer, and READYs beside it */
#define CALL_HEAD_BYTES 16u                               /* number, acknowledged; the request payload follows */

/* ---- writing ----------------------------------------------------------------------------------------------------- */

bool
kmn_connection_write(struct kmn_gate *gate, struct kmn_connection *c)
{
	bool moved = false;
	kmn_err e = KMN_OK;

	while (e == KMN_OK && c->out_end > c->out_at) {
		size_t n = 0;

		ERR_clear_error();
		e = kmn_tls_result(c->ssl, SSL_write_ex(c->ssl, c->out + c->out_at, c->out_end - c->out_at, &n), NULL);
		sodium_memzero(c->out + c->out_at, n);
		c->out_at += n;
		moved = moved || n > 0;
	}
	if (e != KMN_OK && e != KMN_E_AGAIN) {
		kmn_connection_drop(gate, c, "the client is gone");
		return false;
	}
	if (c->out_at == c->out_end) {
		c->out_at = c->out_end = 0;
		c->out_deadline_ms = 0;
	} else if (moved || c->out_deadline_ms == 0) {
		c->out_deadline_ms = gate->now_ms + gate->times->stall_ms;
	}
	return true;
}

/* Room for `need` more bytes, by hand: realloc() would leave the old bytes unwiped. */
static bool
make_room(struct kmn_connection *c, size_t need)
{
	size_t have = c->out_end - c->out_at, room = 4096;
	uint8_t *out;

	if (need <= c->out_room - c->out_end)
		return true;
	if (have + need > OUT_MAX_BYTES)
		return false;
	while (room < have + need)
		room *= 2;
	if ((out = malloc(room)) == NULL)
		return false;
	if (have > 0)
		memcpy(out, c->out + c->out_at, have);
	if (c->out != NULL)
		sodium_memzero(c->out, c->out_room);
	free(c->out);
	c->out = out;
	c->out_room = room;
	c->out_at = 0;
	c->out_end = have;
	return true;
}

static void
append(struct kmn_connection *c, uint8_t type, const void *body, size_t n)
{
	uint8_t *at = c->out + c->out_end;

	for (size_t i = 0; i < 4; i++)
		at[i] = (uint8_t)((n + 1) >> (24 - 8 * i));
	at[4] = type;
	if (n > 0)
		memcpy(at + KMN_INBOX_HEAD_BYTES, body, n);
	c->out_end += KMN_INBOX_HEAD_BYTES + n;
}

bool
kmn_connection_queue(struct kmn_connection *c, uint8_t type, const void *body, size_t n)
{
	if (!make_room(c, KMN_INBOX_HEAD_BYTES + n))
		return false;
	append(c, type, body, n);
	return true;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Sets the deadline that fits what the connection is doing. */
static void
expect_next(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint32_t idle_ms = gate->setup->limits.idle_ms;

	if (c->state != OPEN || !c->had_frame)
		return; /* the first frame has the handshake's deadline */
	if (c->in.have > 0) {
		if (c->wait != WAIT_FRAME)
			kmn_connection_wait(c, WAIT_FRAME, gate->now_ms + gate->times->frame_ms);
	} else if (c->awaiting || c->phase == KMN_PHASE_WATCHING || idle_ms == 0) {
		kmn_connection_wait(c, WAIT_NOTHING, 0);
	} else {
		kmn_connection_wait(c, WAIT_IDLE, gate->now_ms + idle_ms);
	}
}

/* The payload of a CALL, looked at down to its last argument: the keeper sees none that the table does not know. */
static kmn_err
check_call(const uint8_t *payload, size_t n)
{
	struct kmn_call_view view;
	kmn_err e = kmn_call_view_decode(payload, n, &view);

	/* a parameter without a known layout is refused, and recorded, by the keeper as a call */
	return e == KMN_E_MECHANISM_PARAM ? KMN_OK : e;
}

static kmn_err
check_frame(const struct kmn_connection *c)
{
	uint8_t type = kmn_inbox_type(&c->in);
	const uint8_t *body = kmn_inbox_body(&c->in);
	size_t n = kmn_inbox_body_bytes(&c->in);
	kmn_err e = kmn_frame_check(KMN_SENDER_CLIENT, c->phase, type, body, n);

	return e == KMN_OK && type == KMN_F_CALL ? check_call(body + CALL_HEAD_BYTES, n - CALL_HEAD_BYTES) : e;
}

/* Hands a complete frame to the keeper. */
static void
pass_frame(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint8_t type = kmn_inbox_type(&c->in);
	struct kmn_writer w;

	c->had_frame = true;
	if (type == KMN_F_WATCH)
		c->phase = KMN_PHASE_WATCHING;
	else
		c->awaiting = true;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, c->id);
	kmn_writer_u8(&w, type);
	kmn_writer_raw(&w, kmn_inbox_body(&c->in), kmn_inbox_body_bytes(&c->in));
	kmn_inbox_reset(&c->in);
	kmn_gate_tell(gate, KMN_G_FRAME, &w);
	kmn_writer_clear(&w);
}

/* Reads once: KMN_E_AGAIN when nothing is there. `why` is for failures of TLS. */
static kmn_err
read_some(struct kmn_connection *c, char *why)
{
	bool had_head = c->in.have >= KMN_INBOX_HEAD_BYTES;
	size_t room, n = 0;
	uint8_t *at;
	kmn_err e;

	if ((e = kmn_inbox_space(&c->in, &at, &room)) != KMN_OK)
		return e;
	ERR_clear_error();
	e = kmn_tls_result(c->ssl, SSL_read_ex(c->ssl, at, room, &n), why);
	c->read_wants_out = e == KMN_E_AGAIN && SSL_want_write(c->ssl);
	if (e == KMN_E_CLOSED && c->in.have > 0)
		e = KMN_E_TRUNCATED;
	if (e != KMN_OK || (e = kmn_inbox_add(&c->in, n)) != KMN_OK)
		return e;
	if (!had_head && c->in.have >= KMN_INBOX_HEAD_BYTES)
		e = kmn_frame_check_head(
		    KMN_SENDER_CLIENT, c->phase, kmn_inbox_type(&c->in), kmn_inbox_body_bytes(&c->in));
	return e != KMN_OK || !kmn_inbox_complete(&c->in) ? e : check_frame(c);
}

/* Ends a connection whose bytes were not right. */
static void
end_reading(struct kmn_gate *gate, struct kmn_connection *c, kmn_err e, const char *why)
{
	char reason[KMN_REJECT_REASON_BYTES];
	const char *name = c->in.have >= KMN_INBOX_HEAD_BYTES ? kmn_frame_name(kmn_inbox_type(&c->in)) : "frame";

	if (e == KMN_E_CLOSED) {
		kmn_connection_drop(gate, c, "the client hung up");
		return;
	}
	if (e == KMN_E_TLS || e == KMN_E_PEER) {
		c->tls_failed = true;
		snprintf(reason, sizeof(reason), "TLS: %.100s", why);
	} else {
		snprintf(reason, sizeof(reason), "%s: %s", name, kmn_err_text(e));
	}
	kmn_connection_violate(gate, c, reason);
}

bool
kmn_connection_read(struct kmn_gate *gate, struct kmn_connection *c)
{
	char why[KMN_TLS_WHY_BYTES] = "";

	while (kmn_connection_may_read(gate, c)) {
		kmn_err e = read_some(c, why);

		if (e == KMN_E_AGAIN)
			break;
		if (e != KMN_OK) {
			end_reading(gate, c, e, why);
			return false;
		}
		if (kmn_inbox_complete(&c->in))
			pass_frame(gate, c);
	}
	expect_next(gate, c);
	kmn_connection_update(gate, c);
	return true;
}
