/* One question to the gateway, and what came for it. */
#include "config.h"

#include "provider/carriage.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/reader.h"
#include "provider/application.h"
#include "provider/debug.h"
#include "provider/wire.h"

const char *
kmn_carriage_name(const struct kmn_carriage *c)
{
	return kmn_call_row(c->id)->name;
}

static void
put_u64(struct kmn_writer *w, size_t place, uint64_t value)
{
	kmn_writer_patch_u32(w, place, (uint32_t)(value >> 32));
	kmn_writer_patch_u32(w, place + 4, (uint32_t)value);
}

bool
kmn_is_session_call(enum kmn_call_id id)
{
	return kmn_call_row(id)->param[0].kind == KMN_KIND_SESSION;
}

/* A connection that carries the call: the record of its outcome may name any of them. */
static void
note_channel(struct kmn_carriage *c, struct kmn_channel *channel)
{
	uint64_t number = kmn_trail_channel(kmn_pool_trail(c->link->pool, channel));

	for (size_t i = 0; i < c->channels && i < KMN_RECEIPTS_CHANNELS; i++)
		if (c->channel[i] == number)
			return;
	if (c->channels < KMN_RECEIPTS_CHANNELS)
		c->channel[c->channels] = number;
	c->channels++;
}

/* Whether the ledger stands for the answer. */
static kmn_err
judge_receipt(struct kmn_carriage *c, struct kmn_channel *channel, const uint8_t *receipt, size_t receipt_len,
    const uint8_t *payload, size_t payload_len)
{
	const struct kmn_wire wire = {
	    .pool = c->link->pool, .channel = channel, .interrupt_fd = kmn_wake_fd(&c->app->quitting)};
	struct kmn_claim claim;
	kmn_err e = kmn_claim_make(c->flight.number, c->w.bytes + KMN_CALL_HEAD_BYTES, c->w.len - KMN_CALL_HEAD_BYTES,
	    payload, payload_len, &claim);

	if (e != KMN_OK)
		return e;
	claim.channel_count = c->channels <= KMN_RECEIPTS_CHANNELS ? c->channels : 0;
	memcpy(claim.channel, c->channel, claim.channel_count * sizeof(claim.channel[0]));
	return kmn_receipts_take(
	    c->app->receipts, kmn_pool_trail(c->link->pool, channel), &claim, receipt, receipt_len, &wire);
}

/* What the ledger stands for goes into the caller's memory. */
static void
give_reply(struct kmn_carriage *c, const uint8_t *payload, size_t payload_len, CK_RV *rv_out)
{
	kmn_err e = kmn_response_decode(c->id, c->arg, c->arg_count, payload, payload_len, rv_out);

	if (e != KMN_OK) {
		kmn_debug(KMN_TOPIC_CALL, "%s: call %llu: the reply cannot be read: %s", kmn_carriage_name(c),
		    (unsigned long long)c->flight.number, kmn_err_text(e));
		*rv_out = kmn_err_ckr(e);
	} else {
		kmn_sessions_late(&c->app->sessions, c->id, c->arg, payload, payload_len);
		if (c->passage != NULL)
			kmn_cache_learn(c->app->cache, c->link->era, c->passage, payload, payload_len, *rv_out);
	}
}

/* The frame is copied: to ask for a proof takes another one, which wipes it. */
static enum kmn_heard
take_reply(struct kmn_carriage *c, struct kmn_channel *channel, struct kmn_reader *r, CK_RV *rv_out, kmn_err *e_out)
{
	const uint8_t *receipt, *payload;
	size_t receipt_len = kmn_reader_bytes(r, KMN_RECEIPT_MAX_BYTES, &receipt),
	       payload_len = kmn_reader_rest(r, &payload);
	uint8_t *copy;

	if ((*e_out = kmn_reader_end(r)) != KMN_OK)
		return KMN_HEARD_NOTHING;
	if (kmn_receipts_mode(c->app->receipts) == KMN_RECEIPTS_OFF) {
		give_reply(c, payload, payload_len, rv_out);
		return KMN_HEARD_ANSWER;
	}
	if ((copy = malloc(receipt_len + payload_len + 1)) == NULL) {
		*e_out = KMN_E_NO_MEMORY;
		return KMN_HEARD_NOTHING;
	}
	memcpy(copy, receipt, receipt_len);
	memcpy(copy + receipt_len, payload, payload_len);
	*e_out = judge_receipt(c, channel, copy, receipt_len, copy + receipt_len, payload_len);
	if (*e_out == KMN_OK)
		give_reply(c, copy + receipt_len, payload_len, rv_out);
	sodium_memzero(copy, receipt_len + payload_len);
	free(copy);
	return *e_out == KMN_OK                                ? KMN_HEARD_ANSWER
	       : *e_out == KMN_E_RECEIPT || *e_out == KMN_E_IO ? KMN_HEARD_REFUSAL
							       : KMN_HEARD_NOTHING;
}

static enum kmn_heard
take_held(struct kmn_carriage *c, struct kmn_reader *r)
{
	uint64_t request = kmn_reader_u64(r);

	if (!c->held || c->request != request)
		kmn_debug(KMN_TOPIC_WAIT, "%s: call %llu is held for approval, request %llu", kmn_carriage_name(c),
		    (unsigned long long)c->flight.number, (unsigned long long)request);
	if (!c->held)
		c->deadline_ms = kmn_now_ms() + (uint64_t)c->app->settings->quorum_wait_s * 1000u;
	c->held = true;
	c->request = request;
	if (kmn_is_session_call(c->id))
		kmn_receipts_held(c->app->receipts, c->arg[0].u, request);
	return KMN_HEARD_HELD;
}

enum kmn_heard
kmn_exchange_refused(struct kmn_carriage *c, struct kmn_reader *r, kmn_err *e_out)
{
	uint32_t code = kmn_reader_u32(r);
	uint64_t request = kmn_reader_u64(r);
	char reason[KMN_FRAME_TEXT_MAX_BYTES + 1];

	kmn_reader_text(r, reason, sizeof(reason));
	*e_out =
	    kmn_reader_end(r) == KMN_OK && code != KMN_OK && code < KMN_ERR_COUNT ? (kmn_err)code : KMN_E_MALFORMED;
	kmn_debug(KMN_TOPIC_CALL, "%s: call %llu is refused (request %lld): %s: %s", kmn_carriage_name(c),
	    (unsigned long long)c->flight.number, (long long)request, kmn_err_name(*e_out), reason);
	return KMN_HEARD_REFUSAL;
}

kmn_err
kmn_exchange_ask(struct kmn_carriage *c, struct kmn_channel *channel)
{
	uint64_t acknowledged = kmn_flights_ask(&c->link->flights, &c->flight);

	note_channel(c, channel);
	put_u64(&c->w, 0, c->flight.number);
	put_u64(&c->w, KMN_CALL_NUMBER_BYTES, acknowledged);
	if (c->ending_wait || c->parking)
		return kmn_channel_send(channel,
		    c->parking       ? KMN_F_PARK
		    : c->withdrawing ? KMN_F_WITHDRAW
				     : KMN_F_END_WAIT,
		    c->w.bytes, KMN_CALL_NUMBER_BYTES, KMN_CALL_SEND_MS);
	return kmn_channel_send(channel, KMN_F_CALL, c->w.bytes, c->w.len, KMN_CALL_SEND_MS);
}

enum kmn_heard
kmn_exchange_hear(struct kmn_carriage *c, struct kmn_channel *channel, CK_RV *rv_out, kmn_err *e_out)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;
	uint64_t number;

	*e_out = kmn_pool_receive(c->link->pool, channel, UINT32_MAX, kmn_wake_fd(&c->app->quitting), &frame);
	if (*e_out != KMN_OK)
		return KMN_HEARD_NOTHING;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	number = kmn_reader_u64(&r);
	if (frame.type == KMN_F_REFUSED && (number == c->flight.number || number == 0))
		return kmn_exchange_refused(c, &r, e_out);
	if (number == c->flight.number && frame.type == KMN_F_REPLY)
		return take_reply(c, channel, &r, rv_out, e_out);
	if (number == c->flight.number && frame.type == KMN_F_HELD && !c->ending_wait)
		return take_held(c, &r);
	kmn_debug(KMN_TOPIC_CHANNEL, "%s: call %llu: the gateway answered %s for call %llu", kmn_carriage_name(c),
	    (unsigned long long)c->flight.number, kmn_frame_name(frame.type), (unsigned long long)number);
	*e_out = KMN_E_MALFORMED;
	return KMN_HEARD_NOTHING;
}

/* Nothing is under way on the connection any more: the gateway may be told of a receipt that did not hold. */
static void
complain(struct kmn_carriage *c, const struct kmn_wire *wire, enum kmn_heard outcome)
{
	if (outcome != KMN_HEARD_NOTHING && (c->company == NULL || !c->company->line_broke) &&
	    kmn_receipts_complain(c->app->receipts, wire) != KMN_OK)
		c->spoilt = true;
}

enum kmn_heard
kmn_exchange(struct kmn_carriage *c, struct kmn_channel *channel, CK_RV *rv_out, kmn_err *e_out)
{
	const struct kmn_wire wire = {
	    .pool = c->link->pool, .channel = channel, .interrupt_fd = kmn_wake_fd(&c->app->quitting)};
	enum kmn_heard outcome = KMN_HEARD_NOTHING;

	c->spoilt = false;
	*e_out = kmn_receipts_settle(c->app->receipts, &wire);
	if (*e_out == KMN_E_RECEIPT) {
		complain(c, &wire, KMN_HEARD_REFUSAL);
		return KMN_HEARD_REFUSAL;
	}
	if (*e_out == KMN_OK)
		*e_out = kmn_exchange_ask(c, channel);
	if (*e_out == KMN_OK && c->company != NULL)
		*e_out = kmn_company_ask(c->company, channel);
	if (*e_out == KMN_OK)
		outcome = kmn_exchange_hear(c, channel, rv_out, e_out);
	if (outcome == KMN_HEARD_NOTHING)
		kmn_debug(KMN_TOPIC_CHANNEL, "%s: call %llu: %s: %s", kmn_carriage_name(c),
		    (unsigned long long)c->flight.number, kmn_err_text(*e_out), kmn_channel_why(channel));
	else if (c->company != NULL)
		kmn_company_hear(c->company, channel);
	complain(c, &wire, outcome);
	return outcome;
}
