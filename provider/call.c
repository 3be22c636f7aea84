/*
 * One call, from the caller's memory to the gateway and back.
 *
 * Whatever breaks, the request keeps its number and its bytes: the gateway
 * runs a number once and keeps its outcome until it is acknowledged, so asking
 * again is safe, and not asking again would lose an outcome.
 */
#include "config.h"

#include "provider/call.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/reader.h"
#include "provider/application.h"
#include "provider/async.h"
#include "provider/debug.h"
#include "provider/fate.h"
#include "provider/host.h"
#include "provider/provider.h"
#include "provider/wire.h"

#define NUMBER_BYTES 8u
#define HEAD_BYTES 16u /* number, acknowledged */
#define SEND_MS 60000u /* a gateway that takes nothing for this long is gone */
#define BREAKS_MAX 8u  /* each within a lease of the one before: a call that breaks the gateway is not sent for ever */
#define PAUSE_MS 50u
#define RENUMBER_MAX 3u
#define RENEWALS_MAX 3u /* links that one call may wear out before it was sent */

/* How often the connection broke under one question. */
struct breaks {
	unsigned count;
	uint64_t last_ms;
};

struct company;

struct carriage {
	struct kmn_application *app;
	struct kmn_link *link;
	enum kmn_call_id id;
	enum kmn_list list;
	struct kmn_arg *arg;
	size_t arg_count;
	struct kmn_writer w; /* number, acknowledged, request */
	struct kmn_flight flight;
	bool sent;            /* the gateway may know it */
	bool held;            /* HELD was answered */
	bool ending_wait;     /* quorum-wait is over: END_WAIT is due */
	bool waits;           /* a C_WaitForSlotEvent that blocks */
	bool parks;           /* HELD ends it for now: CKR_PENDING */
	bool withdrawing;     /* ending_wait says so with WITHDRAW */
	kmn_err ended;        /* what it came to, before that is put into the words of PKCS#11: an error, */
	CK_RV answered;       /* or an answer */
	uint64_t deadline_ms; /* of the wait, from the first HELD */
	uint64_t request;     /* id of the request, when held */
	struct breaks breaks;
	unsigned renumbered;
	uint64_t channel[KMN_RECEIPTS_CHANNELS]; /* that it was sent on, as the ledger numbers them */
	size_t channels;                         /* how many; more than there is room for: not all are known */
	bool broke;                              /* a connection did, somewhere on the way */
	const uint8_t *request_bytes;            /* encoded already; NULL: to be made of arg[] */
	size_t request_len;
	const struct kmn_passage *passage; /* past the cache; NULL for the provider's own calls */
	struct company *company;           /* calls that go along with it */
};

/* The C_FindObjects that go along with a C_FindObjectsInit, unasked: see ahead.h. */
struct company {
	struct carriage call[KMN_AHEAD_CALLS];
	struct kmn_arg arg[KMN_AHEAD_CALLS][3];
	struct kmn_ahead_reply reply[KMN_AHEAD_CALLS];
	bool settled[KMN_AHEAD_CALLS]; /* it has its answer, or will never have one */
	struct kmn_ahead *ahead;       /* where it all goes */
	bool line_broke;               /* under one of them, after the call that they go along with was answered */
};

static const char *
name_of(const struct carriage *c)
{
	return kmn_call_row(c->id)->name;
}

static void
put_u64(struct kmn_writer *w, size_t place, uint64_t value)
{
	kmn_writer_patch_u32(w, place, (uint32_t)(value >> 32));
	kmn_writer_patch_u32(w, place + 4, (uint32_t)value);
}

static bool
is_session_call(enum kmn_call_id id)
{
	return kmn_call_row(id)->param[0].kind == KMN_KIND_SESSION;
}

/* ---- one exchange ------------------------------------------------------------------------------------------------ */

/* What came for the call. */
enum outcome { ANSWERED, HELD, REFUSED, BROKEN };

/* A connection that carries the call: the record of its outcome may name any of them. */
static void
note_channel(struct carriage *c, struct kmn_channel *channel)
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
judge_receipt(struct carriage *c, struct kmn_channel *channel, const uint8_t *receipt, size_t receipt_len,
    const uint8_t *payload, size_t payload_len)
{
	const struct kmn_wire wire = {
	    .pool = c->link->pool, .channel = channel, .interrupt_fd = kmn_wake_fd(&c->app->quitting)};
	struct kmn_claim claim;
	kmn_err e = kmn_claim_make(
	    c->flight.number, c->w.bytes + HEAD_BYTES, c->w.len - HEAD_BYTES, payload, payload_len, &claim);

	if (e != KMN_OK)
		return e;
	claim.channel_count = c->channels <= KMN_RECEIPTS_CHANNELS ? c->channels : 0;
	memcpy(claim.channel, c->channel, claim.channel_count * sizeof(claim.channel[0]));
	return kmn_receipts_take(
	    c->app->receipts, kmn_pool_trail(c->link->pool, channel), &claim, receipt, receipt_len, &wire);
}

/* What the ledger stands for goes into the caller's memory. */
static void
give_reply(struct carriage *c, const uint8_t *payload, size_t payload_len, CK_RV *rv_out)
{
	kmn_err e = kmn_response_decode(c->id, c->arg, c->arg_count, payload, payload_len, rv_out);

	if (e != KMN_OK) {
		kmn_debug(KMN_TOPIC_CALL, "%s: call %llu: the reply cannot be read: %s", name_of(c),
		    (unsigned long long)c->flight.number, kmn_err_text(e));
		*rv_out = kmn_err_ckr(e);
	} else {
		kmn_sessions_late(&c->app->sessions, c->id, c->arg, payload, payload_len);
		if (c->passage != NULL)
			kmn_cache_learn(c->app->cache, c->link->era, c->passage, payload, payload_len, *rv_out);
	}
}

/* The frame is copied: to ask for a proof takes another one, which wipes it. */
static enum outcome
take_reply(struct carriage *c, struct kmn_channel *channel, struct kmn_reader *r, CK_RV *rv_out, kmn_err *e_out)
{
	const uint8_t *receipt, *payload;
	size_t receipt_len = kmn_reader_bytes(r, KMN_RECEIPT_MAX_BYTES, &receipt),
	       payload_len = kmn_reader_rest(r, &payload);
	uint8_t *copy;

	if ((*e_out = kmn_reader_end(r)) != KMN_OK)
		return BROKEN;
	if (kmn_receipts_mode(c->app->receipts) == KMN_RECEIPTS_OFF) {
		give_reply(c, payload, payload_len, rv_out);
		return ANSWERED;
	}
	if ((copy = malloc(receipt_len + payload_len + 1)) == NULL) {
		*e_out = KMN_E_NO_MEMORY;
		return BROKEN;
	}
	memcpy(copy, receipt, receipt_len);
	memcpy(copy + receipt_len, payload, payload_len);
	*e_out = judge_receipt(c, channel, copy, receipt_len, copy + receipt_len, payload_len);
	if (*e_out == KMN_OK)
		give_reply(c, copy + receipt_len, payload_len, rv_out);
	sodium_memzero(copy, receipt_len + payload_len);
	free(copy);
	return *e_out == KMN_OK ? ANSWERED : *e_out == KMN_E_RECEIPT || *e_out == KMN_E_IO ? REFUSED : BROKEN;
}

static enum outcome
take_held(struct carriage *c, struct kmn_reader *r)
{
	uint64_t request = kmn_reader_u64(r);

	if (!c->held || c->request != request)
		kmn_debug(KMN_TOPIC_WAIT, "%s: call %llu is held for approval, request %llu", name_of(c),
		    (unsigned long long)c->flight.number, (unsigned long long)request);
	if (!c->held)
		c->deadline_ms = kmn_now_ms() + (uint64_t)c->app->settings->quorum_wait_s * 1000u;
	c->held = true;
	c->request = request;
	if (is_session_call(c->id))
		kmn_receipts_held(c->app->receipts, c->arg[0].u, request);
	return HELD;
}

static enum outcome
take_refused(struct carriage *c, struct kmn_reader *r, kmn_err *e_out)
{
	uint32_t code = kmn_reader_u32(r);
	uint64_t request = kmn_reader_u64(r);
	char reason[KMN_FRAME_TEXT_MAX_BYTES + 1];

	kmn_reader_text(r, reason, sizeof(reason));
	*e_out =
	    kmn_reader_end(r) == KMN_OK && code != KMN_OK && code < KMN_ERR_COUNT ? (kmn_err)code : KMN_E_MALFORMED;
	kmn_debug(KMN_TOPIC_CALL, "%s: call %llu is refused (request %lld): %s: %s", name_of(c),
	    (unsigned long long)c->flight.number, (long long)request, kmn_err_name(*e_out), reason);
	return REFUSED;
}

static kmn_err
ask(struct carriage *c, struct kmn_channel *channel)
{
	uint64_t acknowledged = kmn_flights_ask(&c->link->flights, &c->flight);

	note_channel(c, channel);
	put_u64(&c->w, 0, c->flight.number);
	put_u64(&c->w, NUMBER_BYTES, acknowledged);
	if (c->ending_wait)
		return kmn_channel_send(
		    channel, c->withdrawing ? KMN_F_WITHDRAW : KMN_F_END_WAIT, c->w.bytes, NUMBER_BYTES, SEND_MS);
	return kmn_channel_send(channel, KMN_F_CALL, c->w.bytes, c->w.len, SEND_MS);
}

/* Takes the answer. *rv_out is set by ANSWERED, *e_out by REFUSED and BROKEN. */
static enum outcome
hear(struct carriage *c, struct kmn_channel *channel, CK_RV *rv_out, kmn_err *e_out)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;
	uint64_t number;

	*e_out = kmn_pool_receive(c->link->pool, channel, UINT32_MAX, kmn_wake_fd(&c->app->quitting), &frame);
	if (*e_out != KMN_OK)
		return BROKEN;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	number = kmn_reader_u64(&r);
	if (frame.type == KMN_F_REFUSED && (number == c->flight.number || number == 0))
		return take_refused(c, &r, e_out);
	if (number == c->flight.number && frame.type == KMN_F_REPLY)
		return take_reply(c, channel, &r, rv_out, e_out);
	if (number == c->flight.number && frame.type == KMN_F_HELD && !c->ending_wait)
		return take_held(c, &r);
	kmn_debug(KMN_TOPIC_CHANNEL, "%s: call %llu: the gateway answered %s for call %llu", name_of(c),
	    (unsigned long long)c->flight.number, kmn_frame_name(frame.type), (unsigned long long)number);
	*e_out = KMN_E_MALFORMED;
	return BROKEN;
}

static kmn_err ask_company(struct company *company, struct kmn_channel *channel);
static void hear_company(struct company *company, struct kmn_channel *channel);

/* Sends CALL or END_WAIT and takes the answer: see hear(). */
static enum outcome
exchange(struct carriage *c, struct kmn_channel *channel, CK_RV *rv_out, kmn_err *e_out)
{
	const struct kmn_wire wire = {
	    .pool = c->link->pool, .channel = channel, .interrupt_fd = kmn_wake_fd(&c->app->quitting)};
	enum outcome outcome = BROKEN;

	*e_out = kmn_receipts_settle(c->app->receipts, &wire);
	if (*e_out == KMN_E_RECEIPT)
		return REFUSED;
	if (*e_out == KMN_OK)
		*e_out = ask(c, channel);
	if (*e_out == KMN_OK && c->company != NULL)
		*e_out = ask_company(c->company, channel);
	if (*e_out == KMN_OK)
		outcome = hear(c, channel, rv_out, e_out);
	if (outcome == BROKEN)
		kmn_debug(KMN_TOPIC_CHANNEL, "%s: call %llu: %s: %s", name_of(c), (unsigned long long)c->flight.number,
		    kmn_err_text(*e_out), kmn_channel_why(channel));
	else if (c->company != NULL)
		hear_company(c->company, channel);
	return outcome;
}

/* ---- until there is an answer ------------------------------------------------------------------------------------ */

/* After a break: KMN_OK to try again. */
static kmn_err
after_break(struct kmn_application *app, struct kmn_link *link, struct breaks *breaks, kmn_err e)
{
	uint64_t now = kmn_now_ms();

	if (e == KMN_E_CANCELED || e == KMN_E_MALFORMED || e == KMN_E_TOO_BIG || e == KMN_E_NO_MEMORY)
		return e;
	if (now - breaks->last_ms > kmn_pool_lease_ms(link->pool))
		breaks->count = 0;
	breaks->last_ms = now;
	if (++breaks->count > BREAKS_MAX)
		return KMN_E_UNREACHABLE;
	if (breaks->count > 1)
		kmn_wake_pause(&app->ending, PAUSE_MS * breaks->count);
	return KMN_OK;
}

static void leave_company(struct carriage *c);

/*
 * A number that the gateway calls stale although it was sent once: threads of
 * this process overtook it by a whole window before it arrived. It did not run
 * and never will, so the request may have another one.
 */
static bool
take_new_number(struct carriage *c, kmn_err e, bool first)
{
	if (e != KMN_E_REPLAY || !first || ++c->renumbered > RENUMBER_MAX)
		return false;
	kmn_flights_finish(&c->link->flights, &c->flight);
	c->sent = false;
	leave_company(c); /* it ran before what it was to follow */
	return true;
}

/*
 * After HELD: KMN_OK to ask again, or to end the wait. That for a slot event may
 * last for ever, which a number may not: it is ended at once, and goes on
 * without a number (carry_event).
 */
static kmn_err
wait_held(struct carriage *c)
{
	kmn_err e;

	if (c->waits) {
		c->ending_wait = true;
		return KMN_OK;
	}
	if (c->parks)
		return KMN_E_AGAIN;
	e = kmn_flights_wait(&c->link->flights, c->link->pool, &c->app->ending, &c->flight, c->deadline_ms);
	if (e != KMN_E_TIMEOUT)
		return e;
	kmn_debug(KMN_TOPIC_WAIT, "%s: call %llu waited long enough; request %llu stays open", name_of(c),
	    (unsigned long long)c->flight.number, (unsigned long long)c->request);
	c->ending_wait = true;
	return KMN_OK;
}

/* KMN_OK: *rv_out is what the gateway answered. */
static kmn_err
carry(struct carriage *c, CK_RV *rv_out)
{
	struct kmn_channel *channel;
	enum outcome outcome;
	kmn_err e = KMN_OK;
	bool first;

	for (;;) {
		if (c->flight.number == 0 && (e = kmn_flights_admit(&c->link->flights, &c->flight)) != KMN_OK)
			return e;
		if ((e = kmn_pool_take(c->link->pool, &channel)) != KMN_OK)
			return e;
		first = !c->sent;
		outcome = exchange(c, channel, rv_out, &e);
		c->sent = true;
		if (outcome == BROKEN || (c->company != NULL && c->company->line_broke)) {
			kmn_pool_drop(c->link->pool, channel);
			c->broke = true;
		} else {
			kmn_pool_give(c->link->pool, channel);
		}
		if (outcome == ANSWERED)
			return KMN_OK;
		if (outcome == REFUSED && !take_new_number(c, e, first)) {
			c->sent = !first; /* refused at once: it was never under way */
			return e;
		}
		if (outcome == HELD)
			e = wait_held(c);
		else if (outcome == BROKEN)
			e = after_break(c->app, c->link, &c->breaks, e);
		else
			e = KMN_OK;
		if (e != KMN_OK)
			return e;
	}
}

/* ---- on one link ------------------------------------------------------------------------------------------------- */

/* Handles that came: the next link's begin above them. */
static void
see_handles(struct carriage *c)
{
	const struct kmn_call *row = kmn_call_row(c->id);

	for (size_t i = 0; i < row->param_count; i++) {
		const struct kmn_arg *a = &c->arg[i];
		const CK_ULONG *handle = a->p;

		switch (row->param[i].kind) {
		case KMN_KIND_NEW_SESSION:
		case KMN_KIND_NEW_OBJECT:
		case KMN_KIND_MAYBE_OBJECT:
			if (handle != NULL)
				kmn_links_saw(&c->app->links, *handle);
			break;
		case KMN_KIND_OBJECTS:
			for (CK_ULONG k = 0; handle != NULL && a->n != NULL && k < *a->n && k < a->u; k++)
				kmn_links_saw(&c->app->links, handle[k]);
			break;
		default:
			break;
		}
	}
}

static kmn_err
encode(struct carriage *c)
{
	kmn_err e;

	kmn_writer_init(&c->w, KMN_FRAME_MAX_BYTES - 1);
	kmn_writer_u64(&c->w, 0); /* number and acknowledged: known when it is sent */
	kmn_writer_u64(&c->w, 0);
	if (c->request_bytes != NULL) {
		kmn_writer_raw(&c->w, c->request_bytes, c->request_len);
		return c->w.err;
	}
	e = kmn_request_encode(c->id, c->arg, c->arg_count, &c->w);
	if (e == KMN_E_MECHANISM_PARAM) { /* refused here, and there: so that it is in the ledger */
		kmn_debug(KMN_TOPIC_CALL,
		    "%s: a mechanism's parameter cannot be carried; the setting `types` can describe it", name_of(c));
		kmn_writer_reset(&c->w);
		kmn_writer_u64(&c->w, 0);
		kmn_writer_u64(&c->w, 0);
		e = kmn_request_encode_unknown(c->id, c->arg, c->arg_count, &c->w);
	}
	if (e == KMN_OK && c->w.err == KMN_OK && c->list == KMN_LIST_2_40)
		kmn_request_mark_2_40(&c->w, HEAD_BYTES);
	return e != KMN_OK ? e : c->w.err;
}

/* ---- what goes along --------------------------------------------------------------------------------------------- */

/* Calls for which there is no memory or no number at once are left out. */
static void
begin_company(struct carriage *c)
{
	struct company *company = c->company;
	bool all = true;

	company->line_broke = false;
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++) {
		struct carriage *m = &company->call[i];

		m->link = c->link;
		company->reply[i].asked = false;
		all = all && m->w.err == KMN_OK && kmn_flights_try_admit(&c->link->flights, &m->flight);
		company->settled[i] = !all;
	}
}

static kmn_err
ask_company(struct company *company, struct kmn_channel *channel)
{
	kmn_err e = KMN_OK;

	for (unsigned i = 0; e == KMN_OK && i < KMN_AHEAD_CALLS; i++) {
		if (company->settled[i])
			continue;
		e = ask(&company->call[i], channel);
		company->call[i].sent = true;
	}
	return e;
}

/* What one of them came to. */
static void
settle(struct company *company, unsigned i, kmn_err e, CK_RV rv)
{
	struct carriage *m = &company->call[i];

	company->settled[i] = true;
	company->reply[i].asked = e != KMN_E_REPLAY; /* a stale number: it never runs */
	company->reply[i].rv = e == KMN_OK ? rv : kmn_err_ckr(e);
	if (e == KMN_OK && rv == CKR_OK)
		see_handles(m);
	kmn_debug(KMN_TOPIC_CALL, "%s: call %llu of %s, sent along: 0x%lx", name_of(m),
	    (unsigned long long)m->flight.number, kmn_pool_name(m->link->pool), company->reply[i].rv);
}

static void
hear_company(struct company *company, struct kmn_channel *channel)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e;

	for (unsigned i = 0; !company->line_broke && i < KMN_AHEAD_CALLS; i++) {
		if (company->settled[i])
			continue;
		switch (hear(&company->call[i], channel, &rv, &e)) {
		case ANSWERED:
			settle(company, i, KMN_OK, rv);
			break;
		case REFUSED:
			settle(company, i, e, rv);
			break;
		case HELD: /* no search is */
		case BROKEN:
			company->line_broke = true;
		}
	}
}

/* The outcome of what was sent is fetched: it must not be lost, for the module has moved on. */
static void
end_company(struct carriage *c, kmn_err e)
{
	struct company *company = c->company;
	CK_RV rv = CKR_GENERAL_ERROR;

	if (company == NULL)
		return;
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++) {
		struct carriage *m = &company->call[i];

		if (!company->settled[i] && m->sent && e == KMN_OK) {
			kmn_err last = carry(m, &rv);

			settle(company, i, last, rv);
		}
		kmn_flights_finish(&c->link->flights, &m->flight);
		m->sent = false;
	}
}

static void
leave_company(struct carriage *c)
{
	end_company(c, KMN_E_CANCELED);
	c->company = NULL;
}

/* ---- on one link, whole ------------------------------------------------------------------------------------------ */

/* Carries the call over its link, once that is known to have what the call names. */
static kmn_err
carry_whole(struct carriage *c, CK_RV *rv_out)
{
	kmn_err e;

	if (c->company != NULL)
		begin_company(c);
	e = carry(c, rv_out);
	if (e == KMN_E_AGAIN)
		return e; /* parked: the number stays its own */
	if (c->company != NULL)
		end_company(c, e);
	if (e == KMN_OK && *rv_out == CKR_OK)
		see_handles(c);
	if (e == KMN_E_WORKER || e == KMN_E_INSTANCE)
		kmn_pool_lose(c->link->pool);
	kmn_debug(KMN_TOPIC_CALL, "%s: call %llu of %s: 0x%lx%s%s", name_of(c), (unsigned long long)c->flight.number,
	    kmn_pool_name(c->link->pool), *rv_out, e != KMN_OK ? ": " : "", e != KMN_OK ? kmn_err_text(e) : "");
	kmn_flights_finish(&c->link->flights, &c->flight);
	return e;
}

/* Asks, and if the gateway lets it wait, again after each notice, as the caller asked: modules answer by the flag. */
static kmn_err
carry_event(struct carriage *c, CK_RV *rv_out)
{
	struct kmn_event_mark mark;
	kmn_err e;

	for (;;) {
		c->held = c->ending_wait = false;
		mark = kmn_flights_mark(&c->link->flights, c->link->pool);
		e = carry_whole(c, rv_out);
		c->sent = false; /* whatever became of it: to ask again does no harm */
		if (e != KMN_OK || !c->ending_wait || *rv_out != CKR_FUNCTION_CANCELED)
			return e;
		e = kmn_flights_wait_event(&c->link->flights, c->link->pool, &c->app->ending, &mark);
		if (e != KMN_OK)
			return e;
		kmn_writer_clear(&c->w);
		if ((e = encode(c)) != KMN_OK)
			return e;
	}
}

kmn_err
kmn_call_on(struct kmn_application *app, struct kmn_link *link, enum kmn_call_id id, struct kmn_arg *arg,
    size_t arg_count, CK_RV *rv_out)
{
	struct carriage c = {
	    .app = app, .link = link, .id = id, .list = KMN_LIST_NEWEST, .arg = arg, .arg_count = arg_count};
	kmn_err e;

	*rv_out = CKR_GENERAL_ERROR;
	if ((e = encode(&c)) == KMN_OK)
		e = carry_whole(&c, rv_out);
	kmn_writer_clear(&c.w); /* wipes: it may have held a PIN */
	if (e == KMN_E_INSTANCE && c.sent)
		e = KMN_E_UNDECIDED;
	return e;
}

/* Sends ALIAS and takes its answer. */
static enum outcome
exchange_alias(struct carriage *c, struct kmn_channel *channel, uint64_t old, kmn_err *e_out)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;

	*e_out = kmn_channel_send(channel, KMN_F_ALIAS, c->w.bytes, c->w.len, SEND_MS);
	if (*e_out == KMN_OK)
		*e_out = kmn_pool_receive(c->link->pool, channel, UINT32_MAX, kmn_wake_fd(&c->app->quitting), &frame);
	if (*e_out != KMN_OK)
		return BROKEN;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	if (kmn_reader_u64(&r) == old && frame.type == KMN_F_ALIASED)
		return ANSWERED;
	if (frame.type == KMN_F_REFUSED)
		return take_refused(c, &r, e_out);
	*e_out = KMN_E_MALFORMED;
	return BROKEN;
}

kmn_err
kmn_alias_on(struct kmn_application *app, struct kmn_link *link, uint64_t old, uint64_t fresh)
{
	struct carriage c = {.app = app, .link = link, .id = KMN_C_OpenSession};
	struct kmn_channel *channel;
	enum outcome outcome = BROKEN;
	bool again = false;
	kmn_err e = KMN_OK;

	kmn_writer_init(&c.w, 16);
	kmn_writer_u64(&c.w, old);
	kmn_writer_u64(&c.w, fresh);
	while (outcome == BROKEN && (e = kmn_pool_take(link->pool, &channel)) == KMN_OK) {
		outcome = exchange_alias(&c, channel, old, &e);
		if (outcome != BROKEN) {
			kmn_pool_give(link->pool, channel);
			break;
		}
		kmn_pool_drop(link->pool, channel);
		if ((e = after_break(app, link, &c.breaks, e)) != KMN_OK)
			break;
		again = true;
	}
	kmn_writer_clear(&c.w);
	/* the one before was heard, though its answer was not: that is what a second one is refused for */
	return again && (e == KMN_E_EXISTS || e == KMN_E_NOT_FOUND) ? KMN_OK : e;
}

/* ---- what the application sees ----------------------------------------------------------------------------------- */

static bool
is_close(enum kmn_call_id id)
{
	return id == KMN_C_CloseSession || id == KMN_C_CloseAllSessions;
}

static void
remember_slot(struct kmn_application *app, CK_SLOT_ID id, const CK_SLOT_INFO *info)
{
	size_t i;

	(void)pthread_mutex_lock(&app->slots_lock);
	for (i = 0; i < app->slot_count && app->slot_id[i] != id; i++)
		;
	if (i < KMN_KNOWN_SLOTS) {
		app->slot_id[i] = id;
		app->slot_info[i] = *info;
		if (i == app->slot_count)
			app->slot_count++;
	}
	(void)pthread_mutex_unlock(&app->slots_lock);
}

/* The slot as it was, with its token gone; false if it is not known. */
static bool
recall_slot(struct kmn_application *app, CK_SLOT_ID id, CK_SLOT_INFO *info)
{
	bool known = false;

	(void)pthread_mutex_lock(&app->slots_lock);
	for (size_t i = 0; i < app->slot_count; i++) {
		if (app->slot_id[i] != id)
			continue;
		*info = app->slot_info[i];
		info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
		known = true;
	}
	(void)pthread_mutex_unlock(&app->slots_lock);
	return known;
}

/* What a failure came to; false if it is one of those that err.h says all about. */
static bool
fate_of(const struct carriage *c, kmn_err e, enum kmn_fate *fate_out)
{
	switch (e) {
	case KMN_E_WORKER:
		*fate_out = KMN_FATE_BROKEN;
		return true;
	case KMN_E_INSTANCE:
		*fate_out = c->sent ? KMN_FATE_BROKEN : KMN_FATE_STALE;
		return true;
	case KMN_E_UNREACHABLE:
	case KMN_E_BUSY:
		*fate_out = c->sent ? KMN_FATE_UNDECIDED : KMN_FATE_ABSENT;
		return true;
	case KMN_E_DENIED:
	case KMN_E_REJECTED:
		*fate_out = KMN_FATE_REJECTED;
		return true;
	case KMN_E_CANCELED:
		*fate_out = c->id == KMN_C_WaitForSlotEvent ? KMN_FATE_FINISHED
			    : c->held                       ? KMN_FATE_UNANSWERED
			    : c->sent                       ? KMN_FATE_UNDECIDED
							    : KMN_FATE_FINISHED;
		return true;
	case KMN_E_EXPIRED:
	case KMN_E_WITHDRAWN:
	case KMN_E_TIMEOUT:
		*fate_out = KMN_FATE_UNANSWERED;
		return true;
	default:
		return false;
	}
}

static CK_RV
rv_of_fate(struct carriage *c, enum kmn_fate fate)
{
	kmn_debug(KMN_TOPIC_CALL, "%s: %s", name_of(c), kmn_fate_text(fate));
	if (fate == KMN_FATE_ABSENT && c->id == KMN_C_GetSlotInfo && recall_slot(c->app, c->arg[0].u, c->arg[1].p))
		return CKR_OK;
	return kmn_fate_rv(fate, c->id, c->app->settings->errors);
}

/* A refusal comes as an answer too. */
static CK_RV
rv_of_answer(struct carriage *c, CK_RV rv)
{
	if (rv == CKR_FUNCTION_REJECTED)
		return kmn_fate_rv(KMN_FATE_REJECTED, c->id, c->app->settings->errors);
	if (rv == CKR_FUNCTION_CANCELED)
		return kmn_fate_rv(KMN_FATE_UNANSWERED, c->id, c->app->settings->errors);
	if (rv == CKR_OK && c->id == KMN_C_GetSlotInfo)
		remember_slot(c->app, c->arg[0].u, c->arg[1].p);
	return rv;
}

/* ---- a ledger that was found wrong ------------------------------------------------------------------------------- */

/* What the ledger has nothing to say about; all else ends with CKR_DEVICE_ERROR from then on. */
static bool
is_harmless(enum kmn_call_id id)
{
	switch (id) {
	case KMN_C_GetInfo:
	case KMN_C_GetSlotList:
	case KMN_C_GetSlotInfo:
	case KMN_C_GetTokenInfo:
	case KMN_C_GetMechanismList:
	case KMN_C_GetMechanismInfo:
	case KMN_C_GetSessionInfo:
	case KMN_C_WaitForSlotEvent:
		return true;
	default:
		return is_close(id);
	}
}

/* The token is there all the same: what is wrong is not the HSM. */
static CK_RV
rv_of_wrong_ledger(struct carriage *c)
{
	CK_SLOT_INFO *info = c->arg[1].p;

	if (c->id != KMN_C_GetSlotInfo || !recall_slot(c->app, c->arg[0].u, info))
		return kmn_err_ckr(KMN_E_RECEIPT);
	info->flags |= CKF_TOKEN_PRESENT;
	return CKR_OK;
}

/* ---- on whichever link there is ---------------------------------------------------------------------------------- */

/* Whether the link can know what the call names. *stale_out: it cannot, and the gateway need not be asked. */
static kmn_err
prepare(struct carriage *c, const struct kmn_call_view *view, bool *stale_out)
{
	*stale_out = false;
	if (c->app->heal != NULL)
		return kmn_heal_prepare(c->app->heal, c->app, c->link, view, stale_out);
	*stale_out = is_session_call(c->id) && c->arg[0].u < c->link->first_handle && c->arg[0].u != CK_INVALID_HANDLE;
	return KMN_OK;
}

/* Whether a call that its link lost before it was sent may go to a new one. */
static bool
may_renew(const struct carriage *c, kmn_err e)
{
	if (e != KMN_E_INSTANCE || c->sent || is_close(c->id))
		return false;
	return !is_session_call(c->id) || kmn_heal_may(c->app->heal, c->link);
}

/* KMN_OK: *rv_out is what the gateway answered. *stale_out: it was not asked, see prepare(). */
static kmn_err
carry_anywhere(struct carriage *c, const struct kmn_call_view *view, CK_RV *rv_out, bool *stale_out)
{
	kmn_err e;

	for (unsigned renewals = 0;; renewals++) {
		c->link = kmn_links_take(&c->app->links);
		e = c->link != NULL ? prepare(c, view, stale_out) : KMN_E_INSTANCE;
		if (e == KMN_OK && *stale_out)
			return KMN_OK;
		if (e == KMN_OK)
			e = c->waits ? carry_event(c, rv_out) : carry_whole(c, rv_out);
		if (renewals >= RENEWALS_MAX || !may_renew(c, e))
			return e;
		e = kmn_links_renew(&c->app->links, c->link);
		kmn_links_put(&c->app->links, c->link);
		c->link = NULL;
		if (e != KMN_OK)
			return e;
	}
}

/* What came along with C_FindObjectsInit, which came to `rv`. Handles are kept, whatever that is. */
static void
keep_ahead(struct carriage *c, CK_RV rv)
{
	struct company *company = c->company;

	if (c->link == NULL || !company->reply[0].asked)
		return;
	kmn_ahead_begin(company->ahead, rv == CKR_OK, company->reply);
	if (rv != CKR_OK && company->ahead->count == 0)
		return;
	kmn_cache_saw_ahead(c->app->cache, c->link->era, c->arg[0].u, company->ahead);
	company->ahead = NULL;
}

/* What the application sees of what it came to; the link is put back. */
static CK_RV
conclude(struct carriage *c, const struct kmn_call_view *view, kmn_err e, CK_RV rv, bool stale)
{
	enum kmn_fate fate = KMN_FATE_STALE;

	c->ended = e;
	c->answered = rv;
	if (e == KMN_OK && !stale) {
		rv = rv_of_answer(c, rv);
		if (c->app->heal != NULL)
			kmn_heal_note(c->app->heal, c->app, c->link, view, c->arg, rv);
	} else if (stale || fate_of(c, e, &fate)) {
		rv = rv_of_fate(c, fate);
		if (c->app->heal != NULL && rv == CKR_OK)
			kmn_heal_forget(c->app->heal, view);
	} else {
		rv = e == KMN_E_RECEIPT ? rv_of_wrong_ledger(c) : kmn_err_ckr(e);
	}
	kmn_sessions_learn(&c->app->sessions, c->id, c->arg, rv);
	kmn_cache_return(c->app->cache, c->link != NULL ? c->link->era : 0, c->passage, rv, c->broke);
	if (c->company != NULL)
		keep_ahead(c, rv);
	kmn_links_put(&c->app->links, c->link);
	c->link = NULL;
	return rv;
}

static CK_RV
run(struct carriage *c, const struct kmn_call_view *view)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	bool stale = false;
	kmn_err e = carry_anywhere(c, view, &rv, &stale);

	if (e != KMN_E_AGAIN)
		return conclude(c, view, e, rv, stale);
	kmn_cache_return(c->app->cache, c->link->era, c->passage, CKR_PENDING, c->broke);
	c->passage = NULL;
	return CKR_PENDING;
}

/* The answer without the gateway, if that can be had. */
static bool
answer_here(struct carriage *c, struct kmn_passage *passage, CK_RV *rv_out)
{
	struct kmn_link *link = kmn_links_take(&c->app->links);
	bool here = link != NULL && kmn_cache_answer(c->app->cache, link->pool, link->era, passage, rv_out);

	kmn_links_put(&c->app->links, link);
	if (here)
		kmn_debug(KMN_TOPIC_CALL, "%s: answered here: 0x%lx", name_of(c), *rv_out);
	return here;
}

/* Here, or by the gateway. */
static CK_RV
answer(struct carriage *c)
{
	struct kmn_call_view view = {0};
	struct kmn_passage passage;
	CK_RV rv;
	kmn_err e;

	c->waits = c->id == KMN_C_WaitForSlotEvent && (c->arg[0].u & CKF_DONT_BLOCK) == 0;
	e = c->id == KMN_C_WaitForSlotEvent && c->arg[2].p != NULL ? KMN_E_ARGUMENTS : encode(c); /* pReserved */
	if (e == KMN_OK && c->app->heal != NULL) /* healing looks at calls as the gateway does */
		e = kmn_call_view_decode(c->w.bytes + HEAD_BYTES, c->w.len - HEAD_BYTES, &view);
	if (e != KMN_OK) {
		kmn_debug(KMN_TOPIC_CALL, "%s: %s", name_of(c), kmn_err_text(e));
		rv = kmn_err_ckr(e);
	} else {
		kmn_cache_begin(c->app->cache, &passage, c->id, c->arg, c->arg_count, c->w.bytes + HEAD_BYTES,
		    c->w.len - HEAD_BYTES);
		if (!answer_here(c, &passage, &rv)) {
			kmn_cache_leave(c->app->cache, &passage);
			c->passage = &passage;
			rv = run(c, &view);
		}
	}
	if (c->link == NULL)             /* else it is parked */
		kmn_writer_clear(&c->w); /* wipes: it may have held a PIN */
	return rv;
}

/* ---- searches ---------------------------------------------------------------------------------------------------- */

static CK_RV
find_begun(struct carriage *c)
{
	struct company company = {0};
	CK_RV rv;

	if ((company.ahead = kmn_cache_look_ahead(c->app->cache, c->arg[0].u)) == NULL)
		return answer(c);
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++) {
		struct kmn_ahead_reply *reply = &company.reply[i];
		struct kmn_arg arg[] = {
		    {.u = c->arg[0].u}, {.p = reply->handle, .u = KMN_AHEAD_HANDLES, .n = &reply->count}};
		struct carriage *m = &company.call[i];

		memcpy(company.arg[i], arg, sizeof(arg));
		*m = (struct carriage){.app = c->app,
		    .id = KMN_C_FindObjects,
		    .list = c->list,
		    .arg = company.arg[i],
		    .arg_count = KMN_COUNT_OF(arg)};
		if (encode(m) != KMN_OK)
			m->w.err = KMN_E_NO_MEMORY; /* left out */
	}
	c->company = &company;
	rv = answer(c);
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++)
		kmn_writer_clear(&company.call[i].w);
	free(company.ahead);
	return rv;
}

/* As find_begun(), and whoever heals knows what is searched for. */
static CK_RV
find_init(struct carriage *c)
{
	CK_RV rv = find_begun(c);

	if (rv == CKR_OK && c->app->heal != NULL)
		kmn_heal_searches(c->app->heal, c->arg[0].u, c->arg[1].p, c->arg[1].u);
	return rv;
}

static struct kmn_find_answer
find_here(struct carriage *c, bool proved)
{
	struct kmn_link *link = kmn_links_take(&c->app->links);
	struct kmn_find_answer found = {.state = KMN_AHEAD_NONE};

	if (link != NULL)
		found = kmn_cache_find(c->app->cache, link->pool, link->era, c->arg, proved);
	kmn_links_put(&c->app->links, link);
	return found;
}

/* A call of the session that changes nothing. */
static CK_RV
prove_session(struct carriage *c)
{
	CK_SESSION_INFO info;
	struct kmn_arg arg[] = {{.u = c->arg[0].u}, {.p = &info}};
	struct carriage proof = {
	    .app = c->app, .id = KMN_C_GetSessionInfo, .list = c->list, .arg = arg, .arg_count = 2};

	return answer(&proof);
}

static CK_RV
find_some(struct carriage *c)
{
	struct kmn_find_answer found = find_here(c, false);
	CK_RV rv;

	if (found.doubt) {
		if ((rv = prove_session(c)) != CKR_OK)
			return rv;
		found = find_here(c, true);
	}
	if (found.state == KMN_AHEAD_GIVEN) {
		kmn_debug(KMN_TOPIC_CALL, "%s: answered here: 0x%lx", name_of(c), found.rv);
		if (found.rv == CKR_OK)
			*c->arg[1].n = found.given;
		return found.rv;
	}
	if (found.state == KMN_AHEAD_PART) {
		c->arg[1].p = (CK_OBJECT_HANDLE *)c->arg[1].p + found.given;
		c->arg[1].u = found.rest;
	}
	rv = answer(c);
	if (rv == CKR_OK && found.state == KMN_AHEAD_PART)
		*c->arg[1].n += found.given;
	return rv;
}

static CK_RV
find(struct carriage *c)
{
	const CK_OBJECT_HANDLE *out = c->arg[1].p;
	CK_RV rv = find_some(c);
	struct kmn_link *link;

	if (rv != CKR_OK || c->app->heal == NULL)
		return rv;
	if ((link = kmn_links_take(&c->app->links)) != NULL)
		kmn_heal_found(c->app->heal, c->app, link, c->arg[0].u, out, *c->arg[1].n);
	kmn_links_put(&c->app->links, link);
	return rv;
}

static void
after_call(struct carriage *c, CK_RV rv)
{
	if (rv != CKR_OK)
		return;
	if (is_close(c->id))
		kmn_receipts_forget(c->app->receipts, c->id == KMN_C_CloseSession ? c->arg[0].u : 0);
	if (c->id == KMN_C_GetSessionInfo && kmn_receipts_failed(c->app->receipts))
		((CK_SESSION_INFO *)c->arg[1].p)->ulDeviceError = KMN_E_RECEIPT;
}

CK_RV
kmn_call_whole(
    struct kmn_application *app, enum kmn_list list, enum kmn_call_id id, struct kmn_arg *arg, size_t arg_count)
{
	struct carriage c = {.app = app, .id = id, .list = list, .arg = arg, .arg_count = arg_count};
	CK_RV rv;

	if (id == KMN_C_FindObjectsInit)
		rv = find_init(&c);
	else if (id == KMN_C_FindObjects)
		rv = find(&c);
	else
		rv = answer(&c);
	after_call(&c, rv);
	return rv;
}

CK_RV
kmn_provider_call(enum kmn_call_id id, enum kmn_list list, struct kmn_arg *arg, size_t arg_count)
{
	struct kmn_application *app = kmn_application_enter();
	struct kmn_host_errors errors;
	CK_RV rv;

	if (app == NULL)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	kmn_host_errors_take(&errors);
	kmn_sessions_fill(&app->sessions, id, arg);
	if (kmn_receipts_failed(app->receipts) && !is_harmless(id))
		rv = kmn_err_ckr(KMN_E_RECEIPT);
	else if (kmn_async_takes(app->async, id, list, arg))
		rv = kmn_async_call(app->async, app, id, arg, arg_count);
	else
		rv = kmn_call_whole(app, list, id, arg, arg_count);
	kmn_host_errors_return(&errors);
	kmn_application_leave(app);
	return rv;
}

/* ---- calls that are parked --------------------------------------------------------------------------------------- */

struct kmn_parked {
	struct carriage c;
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	CK_ULONG length;          /* of the output, instead of the caller's, which may be gone when it comes */
	CK_OBJECT_HANDLE made[2]; /* the same of handles */
};

/* Outputs go to memory that lives as long as the call; the caller's buffer does, by PKCS#11. */
static void
own_outputs(struct kmn_parked *p)
{
	const struct kmn_call *row = kmn_call_row(p->c.id);
	size_t made = 0;

	for (size_t i = 0; i < p->c.arg_count; i++) {
		struct kmn_arg *a = &p->arg[i];

		switch (row->param[i].kind) {
		case KMN_KIND_ROOM:
		case KMN_KIND_MAYBE_ROOM:
			if (a->n == NULL)
				break;
			p->length = *a->n;
			a->n = &p->length;
			break;
		case KMN_KIND_NEW_OBJECT:
		case KMN_KIND_MAYBE_OBJECT:
			if (a->p != NULL && made < KMN_COUNT_OF(p->made))
				a->p = &p->made[made++];
			break;
		case KMN_KIND_MECHANISM: /* what a module changes in it goes back to nobody */
			a->p = NULL;
			break;
		default:
			break;
		}
	}
}

struct kmn_parked *
kmn_parked_new(struct kmn_application *app, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count)
{
	struct kmn_parked *p = calloc(1, sizeof(*p));

	if (p == NULL || arg_count > KMN_COUNT_OF(p->arg)) {
		free(p);
		return NULL;
	}
	p->c = (struct carriage){
	    .app = app, .id = id, .list = KMN_LIST_NEWEST, .arg = p->arg, .arg_count = arg_count, .parks = true};
	memcpy(p->arg, arg, arg_count * sizeof(arg[0]));
	return p;
}

void
kmn_parked_encoded(struct kmn_parked *p, const uint8_t *request, size_t len)
{
	p->c.request_bytes = request;
	p->c.request_len = len;
}

/* Parked again, or over. */
static CK_RV
settle_parked(struct kmn_parked *p, const struct kmn_call_view *view, kmn_err e, CK_RV rv)
{
	struct carriage *c = &p->c;

	if (e == KMN_E_AGAIN) {
		kmn_cache_return(c->app->cache, c->link->era, c->passage, CKR_PENDING, c->broke);
		c->passage = NULL;
		return CKR_PENDING;
	}
	rv = conclude(c, view, e, rv, false);
	c->passage = NULL;
	kmn_writer_clear(&c->w);
	return rv;
}

CK_RV
kmn_parked_start(struct kmn_parked *p)
{
	CK_RV rv = answer(&p->c);

	if (p->c.link != NULL)
		own_outputs(p);
	return rv;
}

CK_RV
kmn_parked_ask(struct kmn_parked *p)
{
	struct carriage *c = &p->c;
	struct kmn_call_view view = {0};
	struct kmn_passage passage;
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e;

	if (c->link == NULL || kmn_call_view_decode(c->w.bytes + HEAD_BYTES, c->w.len - HEAD_BYTES, &view) != KMN_OK)
		return CKR_GENERAL_ERROR;
	kmn_cache_begin(
	    c->app->cache, &passage, c->id, c->arg, c->arg_count, c->w.bytes + HEAD_BYTES, c->w.len - HEAD_BYTES);
	kmn_cache_leave(c->app->cache, &passage);
	c->passage = &passage;
	e = carry_whole(c, &rv);
	return settle_parked(p, &view, e, rv);
}

CK_RV
kmn_parked_leave(struct kmn_parked *p, bool withdraw)
{
	p->c.ending_wait = true;
	p->c.withdrawing = withdraw;
	return kmn_parked_ask(p);
}

bool
kmn_parked_is_unanswered(const struct kmn_parked *p)
{
	return p->c.ended == KMN_OK && p->c.answered == CKR_FUNCTION_CANCELED;
}

bool
kmn_parked_is_lost(const struct kmn_parked *p)
{
	return p->c.ended != KMN_OK && p->c.ended != KMN_E_DENIED && p->c.ended != KMN_E_REJECTED &&
	       p->c.ended != KMN_E_EXPIRED && p->c.ended != KMN_E_WITHDRAWN;
}

uint64_t
kmn_parked_request(const struct kmn_parked *p)
{
	return p->c.request;
}

const uint8_t *
kmn_parked_bytes(const struct kmn_parked *p, size_t *len_out)
{
	*len_out = p->c.w.len - HEAD_BYTES;
	return p->c.w.bytes + HEAD_BYTES;
}

void
kmn_parked_outputs(const struct kmn_parked *p, struct kmn_parked_outputs *out)
{
	const struct kmn_call *row = kmn_call_row(p->c.id);

	*out = (struct kmn_parked_outputs){.made = {p->made[0], p->made[1]}};
	for (size_t i = 0; i < p->c.arg_count; i++)
		if (row->param[i].kind == KMN_KIND_ROOM || row->param[i].kind == KMN_KIND_MAYBE_ROOM) {
			out->buffer = p->arg[i].p;
			out->length = p->length;
		}
}

void
kmn_parked_free(struct kmn_parked *p)
{
	if (p == NULL)
		return;
	if (p->c.link != NULL) {
		kmn_flights_finish(&p->c.link->flights, &p->c.flight);
		kmn_links_put(&p->c.app->links, p->c.link);
	}
	kmn_writer_clear(&p->c.w);
	free(p);
}
