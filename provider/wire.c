#include "config.h"

#include "provider/wire.h"

#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/reader.h"
#include "kanmon/receipt.h"
#include "kanmon/writer.h"
#include "provider/debug.h"

#define ANSWER_MS 10000u

/* Sends a frame and takes its answer, which is of type `want` or a refusal. */
static kmn_err
ask(const struct kmn_wire *wire, uint8_t type, const struct kmn_writer *w, uint8_t want,
    struct kmn_channel_frame *frame)
{
	struct kmn_reader r;
	uint32_t code;
	kmn_err e = w->err;

	if (e == KMN_OK)
		e = kmn_channel_send(wire->channel, type, w->bytes, w->len, ANSWER_MS);
	if (e == KMN_OK)
		e = kmn_pool_receive(wire->pool, wire->channel, ANSWER_MS, wire->interrupt_fd, frame);
	if (e != KMN_OK || frame->type == want)
		return e == KMN_E_TIMEOUT ? KMN_E_CLOSED : e;
	if (frame->type != KMN_F_REFUSED)
		return KMN_E_CLOSED;
	kmn_reader_init(&r, frame->body, frame->len_bytes);
	(void)kmn_reader_u64(&r);
	code = kmn_reader_u32(&r);
	kmn_debug(KMN_TOPIC_RECEIPT, "%s is refused: %s", kmn_frame_name(type),
	    code < KMN_ERR_COUNT ? kmn_err_text((kmn_err)code) : "?");
	return code == KMN_E_NOT_FOUND ? KMN_E_NOT_FOUND : KMN_E_LEDGER;
}

kmn_err
kmn_wire_prove(const struct kmn_wire *wire, uint64_t smaller, uint64_t larger, struct kmn_path *path_out)
{
	struct kmn_channel_frame frame;
	struct kmn_writer w;
	struct kmn_reader r;
	const uint8_t *hashes;
	size_t len;
	kmn_err e;

	path_out->count = 0;
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, smaller);
	kmn_writer_u64(&w, larger);
	e = ask(wire, KMN_F_PROVE, &w, KMN_F_PROVEN, &frame);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		return e;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	if (kmn_reader_u64(&r) != smaller || kmn_reader_u64(&r) != larger)
		return KMN_E_CLOSED;
	len = kmn_reader_bytes(&r, KMN_PATH_MAX_HASHES * KMN_HASH_BYTES, &hashes);
	if (kmn_reader_end(&r) != KMN_OK || kmn_receipt_path_decode(hashes, len, path_out) != KMN_OK)
		return KMN_E_CLOSED;
	return KMN_OK;
}

kmn_err
kmn_wire_cosign(const struct kmn_wire *wire, uint64_t size, const char *line)
{
	struct kmn_channel_frame frame;
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u64(&w, size);
	kmn_writer_text(&w, line);
	e = ask(wire, KMN_F_COSIGN, &w, KMN_F_COSIGNED, &frame);
	kmn_writer_clear(&w);
	return e;
}

kmn_err
kmn_wire_admin(const struct kmn_wire *wire, const struct kmn_writer *question)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;
	uint32_t code;
	kmn_err e;

	if ((e = ask(wire, KMN_F_ADMIN, question, KMN_F_ADMIN_REPLY, &frame)) != KMN_OK)
		return e;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	code = kmn_reader_u32(&r);
	if (r.err != KMN_OK || code >= KMN_ERR_COUNT)
		return KMN_E_CLOSED;
	/* Of what the gateway says this only: the arguments were no good, or there is no such session. */
	return code == KMN_OK || code == KMN_E_NOT_FOUND ? (kmn_err)code : KMN_E_ARGUMENTS;
}

/*
 * Of the JSON that REQUEST_SHOW answers, in which one member is called so. Quotation marks inside of texts have a
 * backslash before them, so no text can look like it.
 */
static kmn_err
read_state(const uint8_t *text, size_t len, char state_out[KMN_WIRE_STATE_BYTES])
{
	static const char name[] = "\"state\":\"";
	const uint8_t *at = memmem(text, len, name, sizeof(name) - 1), *end;
	size_t n;

	if (at == NULL)
		return KMN_E_CLOSED;
	at += sizeof(name) - 1;
	if ((end = memchr(at, '"', len - (size_t)(at - text))) == NULL ||
	    (n = (size_t)(end - at)) >= KMN_WIRE_STATE_BYTES)
		return KMN_E_CLOSED;
	memcpy(state_out, at, n);
	state_out[n] = '\0';
	return KMN_OK;
}

static kmn_err
ask_state(const struct kmn_wire *wire, uint64_t request, char state_out[KMN_WIRE_STATE_BYTES])
{
	struct kmn_channel_frame frame;
	const uint8_t *text;
	struct kmn_writer w;
	struct kmn_reader r;
	uint32_t code;
	size_t len;
	kmn_err e;

	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_SHOW);
	kmn_writer_u64(&w, request);
	e = ask(wire, KMN_F_ADMIN, &w, KMN_F_ADMIN_REPLY, &frame);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		return e;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	code = kmn_reader_u32(&r);
	len = kmn_reader_bytes(&r, KMN_ADMIN_REPLY_MAX_BYTES, &text);
	if (kmn_reader_end(&r) != KMN_OK || code >= KMN_ERR_COUNT)
		return KMN_E_CLOSED;
	return code == KMN_OK ? read_state(text, len, state_out) : (kmn_err)code;
}

kmn_err
kmn_wire_request_state(struct kmn_pool *pool, int interrupt_fd, uint64_t request, char state_out[KMN_WIRE_STATE_BYTES])
{
	struct kmn_wire wire = {.pool = pool, .interrupt_fd = interrupt_fd};
	struct kmn_channel *channel;
	kmn_err e = kmn_pool_take(pool, &channel);

	if (e != KMN_OK)
		return e;
	wire.channel = channel;
	if ((e = ask_state(&wire, request, state_out)) == KMN_E_CLOSED)
		kmn_pool_drop(pool, channel);
	else
		kmn_pool_give(pool, channel);
	return e;
}
