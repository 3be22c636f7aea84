/*
 * A client that speaks the channel by hand to a whole gateway (KANMON_CONFIG as
 * of tools/sandbox) and sends frames again, changed, and out of their place.
 * docs/channel.md, 3 and 4, is what it holds the gateway to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/channel.h"
#include "kanmon/client_settings.h"
#include "kanmon/codec.h"
#include "kanmon/reader.h"

#define PATIENCE_MS 20000
#define RANDOM_BYTES 24

static struct kmn_channel_identity *identity;
static uint8_t instance[KMN_INSTANCE_ID_BYTES], secret[KMN_INSTANCE_SECRET_BYTES];
static unsigned cases, cases_failed;

static void
report(bool ok, const char *says)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++cases, says);
	cases_failed += !ok;
	fflush(stdout);
}

_Noreturn static void
bail_out(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	exit(1);
}

static void
load_identity(void)
{
	char why[KMN_CLIENT_WHY_BYTES] = "";
	struct kmn_client_settings *s = NULL;
	struct kmn_channel_settings settings;

	if (kmn_client_settings_load(NULL, NULL, why, &s) != KMN_OK)
		bail_out("settings", why);
	settings = (struct kmn_channel_settings){.certificate_path = s->certificate,
	    .key_path = s->key,
	    .gateways = (const char *const *)s->gateways,
	    .gateway_count = s->gateway_count};
	memcpy(settings.gateway_spki_sha256, s->gateway_spki, KMN_HASH_BYTES);
	if (kmn_channel_identity_load(&settings, why, &identity) != KMN_OK)
		bail_out("identity", why);
	kmn_client_settings_free(s);
}

static struct kmn_channel *
open_channel(void)
{
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	struct kmn_channel *channel;

	if (kmn_channel_open(identity, PATIENCE_MS, -1, why, &channel) != KMN_OK)
		bail_out("connection", why);
	return channel;
}

/* Sends `w` (cleared) and takes the answer; the frame's type, 0 when the gateway hung up. */
static uint8_t
ask(struct kmn_channel *channel, uint8_t type, struct kmn_writer *w, struct kmn_channel_frame *frame)
{
	kmn_err e = w->err == KMN_OK ? kmn_channel_send(channel, type, w->bytes, w->len, PATIENCE_MS) : w->err;

	kmn_writer_clear(w);
	if (e == KMN_OK)
		e = kmn_channel_receive(channel, PATIENCE_MS, -1, frame);
	return e == KMN_OK ? frame->type : 0;
}

static struct kmn_channel *
attach(void)
{
	struct kmn_channel *channel = open_channel();
	struct kmn_channel_frame frame;
	uint8_t client_random[32] = {1, 2, 3}, gateway_random[32];
	struct kmn_writer w;
	struct kmn_reader r;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_u8(&w, sizeof(CK_ULONG));
	kmn_writer_u8(&w, 1);
	kmn_writer_u8(&w, 0);
	kmn_writer_text(&w, "talk");
	kmn_writer_text(&w, "test");
	kmn_writer_raw(&w, client_random, sizeof(client_random));
	kmn_writer_u64(&w, 0);
	kmn_writer_u8(&w, KMN_RECEIPTS_OFF);
	kmn_writer_text(&w, "");
	kmn_writer_text(&w, "");
	kmn_writer_text(&w, "");
	if (ask(channel, KMN_F_ATTACH, &w, &frame) != KMN_F_ATTACHED)
		bail_out("ATTACH", kmn_channel_why(channel));
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	(void)kmn_reader_u16(&r);
	kmn_reader_raw(&r, instance, sizeof(instance));
	kmn_reader_raw(&r, gateway_random, sizeof(gateway_random));
	kmn_instance_secret(gateway_random, client_random, kmn_channel_exporter(channel), secret);
	return channel;
}

static uint8_t
join_as(struct kmn_channel *channel, const uint8_t id[KMN_INSTANCE_ID_BYTES], const uint8_t proof[KMN_HASH_BYTES],
    struct kmn_channel_frame *frame)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, id, KMN_INSTANCE_ID_BYTES);
	kmn_writer_raw(&w, proof, KMN_HASH_BYTES);
	kmn_writer_text(&w, "");
	return ask(channel, KMN_F_JOIN, &w, frame);
}

/* A request once encoded is the same bytes each time it is sent. */
struct request {
	struct kmn_writer w;
};

static void
encode(struct request *q, enum kmn_call_id id, const struct kmn_arg *arg, size_t n)
{
	kmn_writer_init(&q->w, KMN_FRAME_MAX_BYTES);
	if (kmn_request_encode(id, arg, n, &q->w) != KMN_OK || q->w.err != KMN_OK)
		bail_out("request", "cannot be encoded");
}

static uint8_t
call(struct kmn_channel *channel, uint64_t number, uint64_t acknowledged, const struct request *q,
    struct kmn_channel_frame *frame)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u64(&w, number);
	kmn_writer_u64(&w, acknowledged);
	kmn_writer_raw(&w, q->w.bytes, q->w.len);
	return ask(channel, KMN_F_CALL, &w, frame);
}

static bool
is_refused(uint8_t type, const struct kmn_channel_frame *frame, uint64_t number, kmn_err want)
{
	struct kmn_reader r;

	if (type != KMN_F_REFUSED)
		return false;
	kmn_reader_init(&r, frame->body, frame->len_bytes);
	return kmn_reader_u64(&r) == number && kmn_reader_u32(&r) == (uint32_t)want;
}

/* The first token's slot and a session on it: calls 1 and 2. */
static CK_SESSION_HANDLE
open_session(struct kmn_channel *channel)
{
	CK_SLOT_ID slots[8];
	CK_ULONG n = KMN_COUNT_OF(slots);
	CK_SESSION_HANDLE session = 0;
	CK_RV rv = CKR_GENERAL_ERROR;
	struct kmn_channel_frame frame;
	struct kmn_arg list[] = {{.u = CK_TRUE}, {.p = slots, .n = &n, .u = KMN_COUNT_OF(slots)}};
	struct request q;

	encode(&q, KMN_C_GetSlotList, list, KMN_COUNT_OF(list));
	if (call(channel, 1, 1, &q, &frame) != KMN_F_REPLY ||
	    kmn_response_decode(
		KMN_C_GetSlotList, list, KMN_COUNT_OF(list), frame.body + 12, frame.len_bytes - 12, &rv) != KMN_OK ||
	    rv != CKR_OK)
		bail_out("C_GetSlotList", kmn_channel_why(channel));
	kmn_writer_clear(&q.w);
	{
		struct kmn_arg open[] = {{.u = slots[0]}, {.u = CKF_SERIAL_SESSION}, {.p = NULL}, {.p = &session}};

		encode(&q, KMN_C_OpenSession, open, kmn_call_row(KMN_C_OpenSession)->param_count);
		if (call(channel, 2, 2, &q, &frame) != KMN_F_REPLY ||
		    kmn_response_decode(KMN_C_OpenSession, open, kmn_call_row(KMN_C_OpenSession)->param_count,
			frame.body + 12, frame.len_bytes - 12, &rv) != KMN_OK ||
		    rv != CKR_OK)
			bail_out("C_OpenSession", kmn_channel_why(channel));
	}
	kmn_writer_clear(&q.w);
	return session;
}

/* C_GenerateRandom: its answer tells whether it ran again. */
static void
encode_random(struct request *q, CK_SESSION_HANDLE session, CK_BYTE *room)
{
	struct kmn_arg arg[] = {{.u = session}, {.p = room, .u = RANDOM_BYTES}};

	encode(q, KMN_C_GenerateRandom, arg, KMN_COUNT_OF(arg));
}

static uint8_t first_reply[256];
static size_t first_reply_bytes;

static bool
is_first_reply(uint8_t type, const struct kmn_channel_frame *frame)
{
	return type == KMN_F_REPLY && frame->len_bytes == first_reply_bytes &&
	       memcmp(frame->body, first_reply, first_reply_bytes) == 0;
}

static void
try_numbers(struct kmn_channel *a, struct kmn_channel *b, CK_SESSION_HANDLE session)
{
	CK_BYTE room[RANDOM_BYTES];
	struct request random, other;
	struct kmn_channel_frame frame;
	uint8_t type;

	encode_random(&random, session, room);
	encode_random(&other, session, room); /* another salt, so other bytes */
	type = call(a, 3, 1, &random, &frame);
	first_reply_bytes = frame.len_bytes < sizeof(first_reply) ? frame.len_bytes : 0;
	memcpy(first_reply, frame.body, first_reply_bytes);
	report(type == KMN_F_REPLY && first_reply_bytes > RANDOM_BYTES, "a call runs");
	report(is_first_reply(call(a, 3, 1, &random, &frame), &frame), "the same frame again gets the same answer");
	report(is_first_reply(call(b, 3, 1, &random, &frame), &frame), "on another connection of the instance too");
	report(is_refused(call(a, 3, 1, &other, &frame), &frame, 3, KMN_E_REPLAY),
	    "its number with other bytes is refused");
	report(is_refused(call(a, 0, 1, &random, &frame), &frame, 0, KMN_E_REPLAY), "number 0 is refused");
	report(
	    is_refused(call(a, 5000, 1, &random, &frame), &frame, 5000, KMN_E_REPLAY), "a number far ahead is refused");
	report(call(a, 4, 1, &random, &frame) == KMN_F_REPLY && !is_first_reply(KMN_F_REPLY, &frame),
	    "the same request under a new number is a new call");
	report(call(a, 6, 4, &other, &frame) == KMN_F_REPLY && call(b, 5, 4, &random, &frame) == KMN_F_REPLY,
	    "numbers may overtake each other");
	type = call(a, 3, 4, &random, &frame);
	report(type == KMN_F_REFUSED && kmn_channel_alive(a), "a number whose answer was acknowledged is refused");
	kmn_writer_clear(&random.w);
	kmn_writer_clear(&other.w);
}

static void
try_joins(const struct kmn_channel *joined)
{
	uint8_t proof[KMN_HASH_BYTES], nobody[KMN_INSTANCE_ID_BYTES] = {0};
	struct kmn_channel *channel = open_channel();
	struct kmn_channel_frame frame;

	kmn_join_proof(secret, kmn_channel_exporter(joined), proof);
	report(
	    join_as(channel, instance, proof, &frame) == 0, "a proof made for another connection ends the connection");
	kmn_channel_close(channel);

	channel = open_channel();
	kmn_join_proof(secret, kmn_channel_exporter(channel), proof);
	proof[0] ^= 1;
	report(join_as(channel, instance, proof, &frame) == 0, "a wrong proof ends the connection");
	kmn_channel_close(channel);

	channel = open_channel();
	kmn_join_proof(secret, kmn_channel_exporter(channel), proof);
	report(is_refused(join_as(channel, nobody, proof, &frame), &frame, 0, KMN_E_INSTANCE),
	    "an instance that is not there cannot be joined");
	kmn_channel_close(channel);
}

int
main(void)
{
	struct kmn_channel *a, *b;
	struct kmn_channel_frame frame;
	uint8_t proof[KMN_HASH_BYTES];
	CK_SESSION_HANDLE session;
	struct kmn_writer w;

	load_identity();
	a = attach();
	b = open_channel();
	kmn_join_proof(secret, kmn_channel_exporter(b), proof);
	report(join_as(b, instance, proof, &frame) == KMN_F_JOINED, "a second connection joins by its proof");
	session = open_session(a);
	try_numbers(a, b, session);
	try_joins(a);
	kmn_writer_init(&w, 1);
	report(ask(a, KMN_F_DETACH, &w, &frame) == KMN_F_DETACHED,
	    "the first connection is as good as before, and detaches");
	kmn_channel_close(a);
	kmn_channel_close(b);
	a = open_channel();
	kmn_join_proof(secret, kmn_channel_exporter(a), proof);
	report(is_refused(join_as(a, instance, proof, &frame), &frame, 0, KMN_E_INSTANCE),
	    "after that the instance is gone");
	kmn_channel_close(a);
	kmn_channel_identity_free(identity);
	printf("# cases: %u, failed: %u\n", cases, cases_failed);
	return cases_failed == 0 ? 0 : 1;
}
