/*
 * One call, from the caller's memory to the gateway and back.
 *
 * Whatever breaks, the request keeps its number and its bytes: the gateway
 * runs a number once and keeps its outcome until it is acknowledged, so asking
 * again is safe, and not asking again would lose an outcome.
 */
#include "config.h"

#include "provider/provider.h"

#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"
#include "provider/host.h"

#define NUMBER_BYTES 8u
#define HEAD_BYTES 16u /* number, acknowledged */
#define SEND_MS 60000u /* a gateway that takes nothing for this long is gone */
#define BREAKS_MAX 8u  /* each within a lease of the one before: a call that breaks the gateway is not sent for ever */
#define PAUSE_MS 50u
#define RENUMBER_MAX 3u

struct carriage {
	struct kmn_application *app;
	enum kmn_call_id id;
	enum kmn_list list;
	struct kmn_arg *arg;
	size_t arg_count;
	struct kmn_writer w; /* number, acknowledged, request */
	struct kmn_flight flight;
	bool sent;            /* the gateway may know it */
	bool held;            /* HELD was answered */
	bool ending_wait;     /* quorum-wait is over: END_WAIT is due */
	uint64_t deadline_ms; /* of the wait, from the first HELD */
	uint64_t request;     /* id of the request, when held */
	unsigned breaks;
	uint64_t broken_ms; /* last break */
	unsigned renumbered;
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

/* ---- one exchange ------------------------------------------------------------------------------------------------ */

/* What came for the call. */
enum outcome { ANSWERED, HELD, REFUSED, BROKEN };

static enum outcome
take_reply(struct carriage *c, const struct kmn_channel_frame *frame, CK_RV *rv_out)
{
	kmn_err e = kmn_response_decode(
	    c->id, c->arg, c->arg_count, frame->body + NUMBER_BYTES, frame->len_bytes - NUMBER_BYTES, rv_out);

	if (e != KMN_OK) {
		kmn_debug(KMN_TOPIC_CALL, "%s: call %llu: the reply cannot be read: %s", name_of(c),
		    (unsigned long long)c->flight.number, kmn_err_text(e));
		*rv_out = kmn_err_ckr(e);
	}
	return ANSWERED;
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

/* Sends CALL or END_WAIT and takes the answer. *rv_out is set by ANSWERED, *e_out by REFUSED and BROKEN. */
static enum outcome
exchange(struct carriage *c, struct kmn_channel *channel, CK_RV *rv_out, kmn_err *e_out)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;
	uint64_t acknowledged = kmn_flights_ask(&c->app->flights, &c->flight), number;

	put_u64(&c->w, 0, c->flight.number);
	put_u64(&c->w, NUMBER_BYTES, acknowledged);
	if (c->ending_wait)
		*e_out = kmn_channel_send(channel, KMN_F_END_WAIT, c->w.bytes, NUMBER_BYTES, SEND_MS);
	else
		*e_out = kmn_channel_send(channel, KMN_F_CALL, c->w.bytes, c->w.len, SEND_MS);
	if (*e_out == KMN_OK)
		*e_out = kmn_channel_receive(channel, UINT32_MAX, kmn_wake_fd(&c->app->quitting), &frame);
	if (*e_out != KMN_OK) {
		kmn_debug(KMN_TOPIC_CHANNEL, "%s: call %llu: %s: %s", name_of(c), (unsigned long long)c->flight.number,
		    kmn_err_text(*e_out), kmn_channel_why(channel));
		return BROKEN;
	}
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	number = kmn_reader_u64(&r);
	if (frame.type == KMN_F_REFUSED && (number == c->flight.number || number == 0))
		return take_refused(c, &r, e_out);
	if (number == c->flight.number && frame.type == KMN_F_REPLY)
		return take_reply(c, &frame, rv_out);
	if (number == c->flight.number && frame.type == KMN_F_HELD && !c->ending_wait)
		return take_held(c, &r);
	kmn_debug(KMN_TOPIC_CHANNEL, "%s: call %llu: the gateway answered %s for call %llu", name_of(c),
	    (unsigned long long)c->flight.number, kmn_frame_name(frame.type), (unsigned long long)number);
	*e_out = KMN_E_MALFORMED;
	return BROKEN;
}

/* ---- until there is an answer ------------------------------------------------------------------------------------ */

/* After a break: KMN_OK to try again. */
static kmn_err
after_break(struct carriage *c, kmn_err e)
{
	uint64_t now = kmn_now_ms();

	if (e == KMN_E_CANCELED || e == KMN_E_MALFORMED || e == KMN_E_TOO_BIG || e == KMN_E_NO_MEMORY)
		return e;
	if (now - c->broken_ms > kmn_pool_lease_ms(c->app->pool))
		c->breaks = 0;
	c->broken_ms = now;
	if (++c->breaks > BREAKS_MAX)
		return KMN_E_UNREACHABLE;
	if (c->breaks > 1)
		kmn_wake_pause(&c->app->ending, PAUSE_MS * c->breaks);
	return KMN_OK;
}

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
	kmn_flights_finish(&c->app->flights, &c->flight);
	c->sent = false;
	return true;
}

/* After HELD: KMN_OK to ask again, or to end the wait. */
static kmn_err
wait_held(struct carriage *c)
{
	kmn_err e = kmn_flights_wait(&c->app->flights, c->app->pool, &c->app->ending, &c->flight, c->deadline_ms);

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
		if (c->flight.number == 0 && (e = kmn_flights_admit(&c->app->flights, &c->flight)) != KMN_OK)
			return e;
		if ((e = kmn_pool_take(c->app->pool, &channel)) != KMN_OK)
			return e;
		first = !c->sent;
		outcome = exchange(c, channel, rv_out, &e);
		c->sent = true;
		if (outcome == BROKEN)
			kmn_pool_drop(c->app->pool, channel);
		else
			kmn_pool_give(c->app->pool, channel);
		if (outcome == ANSWERED)
			return KMN_OK;
		if (outcome == REFUSED && !take_new_number(c, e, first)) {
			c->sent = !first; /* refused at once: it was never under way */
			return e;
		}
		if (outcome == HELD)
			e = wait_held(c);
		else if (outcome == BROKEN)
			e = after_break(c, e);
		else
			e = KMN_OK;
		if (e != KMN_OK)
			return e;
	}
}

/* ---- what the application sees ----------------------------------------------------------------------------------- */

static bool
is_session_call(const struct carriage *c)
{
	return kmn_call_row(c->id)->param[0].kind == KMN_KIND_SESSION;
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

/* The slot as it was, with its token gone. */
static CK_RV
recall_slot(struct kmn_application *app, CK_SLOT_ID id, CK_SLOT_INFO *info)
{
	CK_RV rv = CKR_DEVICE_ERROR;

	(void)pthread_mutex_lock(&app->slots_lock);
	for (size_t i = 0; i < app->slot_count; i++) {
		if (app->slot_id[i] != id)
			continue;
		*info = app->slot_info[i];
		info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
		rv = CKR_OK;
	}
	(void)pthread_mutex_unlock(&app->slots_lock);
	return rv;
}

/* The gateway is gone for longer than its lease, and the call was never sent. */
static CK_RV
rv_of_absence(struct carriage *c)
{
	if (c->id == KMN_C_GetSlotInfo)
		return recall_slot(c->app, c->arg[0].u, c->arg[1].p);
	return c->id == KMN_C_OpenSession ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_ERROR;
}

/* The gateway does not know the application any more: its sessions are closed, so closing one succeeds. */
static CK_RV
rv_of_loss(const struct carriage *c)
{
	if (c->id == KMN_C_CloseSession || c->id == KMN_C_CloseAllSessions)
		return CKR_OK;
	return !c->sent && is_session_call(c) ? CKR_SESSION_HANDLE_INVALID : CKR_DEVICE_ERROR;
}

static CK_RV
rv_of_failure(struct carriage *c, kmn_err e)
{
	switch (e) {
	case KMN_E_WORKER:
		kmn_pool_lose(c->app->pool);
		c->sent = true;
		return rv_of_loss(c);
	case KMN_E_INSTANCE:
		kmn_pool_lose(c->app->pool);
		return rv_of_loss(c);
	case KMN_E_UNREACHABLE:
		return c->sent ? CKR_DEVICE_ERROR : rv_of_absence(c);
	case KMN_E_CANCELED:
		if (c->held)
			return CKR_FUNCTION_CANCELED;
		return c->sent ? CKR_DEVICE_ERROR : CKR_CRYPTOKI_NOT_INITIALIZED;
	default:
		return kmn_err_ckr(e);
	}
}

/* How a refusal by policy or custodians is put, by function and by the setting `errors`. */
static CK_RV
rv_for_caller(const struct carriage *c, CK_RV rv)
{
	if (c->id == KMN_C_Login && rv == CKR_FUNCTION_REJECTED)
		rv = CKR_FUNCTION_CANCELED;
	if (c->app->settings->errors == KMN_CLIENT_ERRORS_DEVICE &&
	    (rv == CKR_FUNCTION_REJECTED || rv == CKR_FUNCTION_CANCELED))
		rv = CKR_DEVICE_ERROR;
	return rv;
}

static CK_RV
run(struct carriage *c)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e;

	kmn_sessions_fill(&c->app->sessions, c->id, c->arg);
	kmn_writer_u64(&c->w, 0); /* number and acknowledged: known when it is sent */
	kmn_writer_u64(&c->w, 0);
	if ((e = kmn_request_encode(c->id, c->arg, c->arg_count, &c->w)) != KMN_OK || (e = c->w.err) != KMN_OK) {
		kmn_debug(KMN_TOPIC_CALL, "%s: %s", name_of(c), kmn_err_text(e));
		return kmn_err_ckr(e);
	}
	if (c->list == KMN_LIST_2_40)
		kmn_request_mark_2_40(&c->w, HEAD_BYTES);
	if ((e = carry(c, &rv)) != KMN_OK)
		rv = rv_of_failure(c, e);
	else if (rv == CKR_OK && c->id == KMN_C_GetSlotInfo)
		remember_slot(c->app, c->arg[0].u, c->arg[1].p);
	kmn_debug(KMN_TOPIC_CALL, "%s: call %llu: 0x%lx%s%s", name_of(c), (unsigned long long)c->flight.number, rv,
	    e != KMN_OK ? ": " : "", e != KMN_OK ? kmn_err_text(e) : "");
	kmn_flights_finish(&c->app->flights, &c->flight);
	kmn_sessions_learn(&c->app->sessions, c->id, c->arg, rv);
	return rv_for_caller(c, rv);
}

CK_RV
kmn_provider_call(enum kmn_call_id id, enum kmn_list list, struct kmn_arg *arg, size_t arg_count)
{
	struct carriage c = {.id = id, .list = list, .arg = arg, .arg_count = arg_count};
	struct kmn_host_errors errors;
	CK_RV rv;

	if ((c.app = kmn_application_enter()) == NULL)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	kmn_host_errors_take(&errors);
	kmn_writer_init(&c.w, KMN_FRAME_MAX_BYTES - 1);
	rv = run(&c);
	kmn_writer_clear(&c.w); /* wipes: it may have held a PIN */
	kmn_host_errors_return(&errors);
	kmn_application_leave(c.app);
	return rv;
}
