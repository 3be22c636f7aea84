/*
 * A call on one link, until there is an answer: through breaks, waits and numbers
 * that came too late.
 */
#include "config.h"

#include "provider/carriage.h"

#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"

#define BREAKS_MAX 8u /* each within a lease of the one before: a call that breaks the gateway is not sent for ever */
#define PAUSE_MS 50u
#define RENUMBER_MAX 3u

void
kmn_carriage_saw(struct kmn_carriage *c)
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

kmn_err
kmn_carriage_encode(struct kmn_carriage *c)
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
		    "%s: a mechanism's parameter cannot be carried; the setting `types` can describe it",
		    kmn_carriage_name(c));
		kmn_writer_reset(&c->w);
		kmn_writer_u64(&c->w, 0);
		kmn_writer_u64(&c->w, 0);
		e = kmn_request_encode_unknown(c->id, c->arg, c->arg_count, &c->w);
	}
	if (e == KMN_OK && c->w.err == KMN_OK && c->list == KMN_LIST_2_40)
		kmn_request_mark_2_40(&c->w, KMN_CALL_HEAD_BYTES);
	return e != KMN_OK ? e : c->w.err;
}

/* ---- until there is an answer ------------------------------------------------------------------------------------ */

kmn_err
kmn_carry_after_break(struct kmn_application *app, struct kmn_link *link, struct kmn_breaks *breaks, kmn_err e)
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

/*
 * A number that the gateway calls stale although it was sent once: threads of
 * this process overtook it by a whole window before it arrived. It did not run
 * and never will, so the request may have another one.
 */
static bool
take_new_number(struct kmn_carriage *c, kmn_err e, bool first)
{
	if (e != KMN_E_REPLAY || !first || ++c->renumbered > RENUMBER_MAX)
		return false;
	kmn_flights_finish(&c->link->flights, &c->flight);
	c->sent = false;
	kmn_company_leave(c); /* it ran before what it was to follow */
	return true;
}

/*
 * After HELD: KMN_OK to ask again, or to end the wait. That for a slot event may
 * last for ever, which a number may not: it is ended at once, and goes on
 * without a number (kmn_carry_event).
 */
static kmn_err
wait_held(struct kmn_carriage *c)
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
	kmn_debug(KMN_TOPIC_WAIT, "%s: call %llu waited long enough; request %llu stays open", kmn_carriage_name(c),
	    (unsigned long long)c->flight.number, (unsigned long long)c->request);
	c->ending_wait = true;
	return KMN_OK;
}

kmn_err
kmn_carry(struct kmn_carriage *c, CK_RV *rv_out)
{
	struct kmn_channel *channel;
	enum kmn_heard outcome;
	kmn_err e = KMN_OK;
	bool first;

	for (;;) {
		if (c->flight.number == 0 && (e = kmn_flights_admit(&c->link->flights, &c->flight)) != KMN_OK)
			return e;
		if ((e = kmn_pool_take(c->link->pool, &channel)) != KMN_OK)
			return e;
		first = !c->sent;
		outcome = kmn_exchange(c, channel, rv_out, &e);
		c->sent = true;
		if (outcome == KMN_HEARD_NOTHING || c->spoilt || (c->company != NULL && c->company->line_broke)) {
			kmn_pool_drop(c->link->pool, channel);
			c->broke = true;
		} else {
			kmn_pool_give(c->link->pool, channel);
		}
		if (outcome == KMN_HEARD_ANSWER)
			return KMN_OK;
		if (outcome == KMN_HEARD_REFUSAL && c->parking && e == KMN_E_BUSY) {
			c->crowded = true;
			return KMN_E_AGAIN;
		}
		if (outcome == KMN_HEARD_REFUSAL && !take_new_number(c, e, first)) {
			c->sent = !first; /* refused at once: it was never under way */
			return e;
		}
		if (outcome == KMN_HEARD_HELD)
			e = wait_held(c);
		else if (outcome == KMN_HEARD_NOTHING)
			e = kmn_carry_after_break(c->app, c->link, &c->breaks, e);
		else
			e = KMN_OK;
		if (e != KMN_OK)
			return e;
	}
}

/* ---- on one link, whole ------------------------------------------------------------------------------------------ */

kmn_err
kmn_carry_whole(struct kmn_carriage *c, CK_RV *rv_out)
{
	kmn_err e;

	if (c->company != NULL)
		kmn_company_begin(c);
	e = kmn_carry(c, rv_out);
	if (e == KMN_E_AGAIN)
		return e; /* parked: the number stays its own */
	if (c->company != NULL)
		kmn_company_end(c, e);
	if (e == KMN_OK && *rv_out == CKR_OK)
		kmn_carriage_saw(c);
	if (e == KMN_E_WORKER || e == KMN_E_INSTANCE)
		kmn_pool_lose(c->link->pool);
	kmn_debug(KMN_TOPIC_CALL, "%s: call %llu of %s: 0x%lx%s%s", kmn_carriage_name(c),
	    (unsigned long long)c->flight.number, kmn_pool_name(c->link->pool), *rv_out, e != KMN_OK ? ": " : "",
	    e != KMN_OK ? kmn_err_text(e) : "");
	kmn_flights_finish(&c->link->flights, &c->flight);
	return e;
}

/* Asks, and if the gateway lets it wait, again after each notice, as the caller asked: modules answer by the flag. */
kmn_err
kmn_carry_event(struct kmn_carriage *c, CK_RV *rv_out)
{
	struct kmn_event_mark mark;
	kmn_err e;

	for (;;) {
		c->held = c->ending_wait = false;
		mark = kmn_flights_mark(&c->link->flights, c->link->pool);
		e = kmn_carry_whole(c, rv_out);
		c->sent = false; /* whatever became of it: to ask again does no harm */
		if (e != KMN_OK || !c->ending_wait || *rv_out != CKR_FUNCTION_CANCELED)
			return e;
		e = kmn_flights_wait_event(&c->link->flights, c->link->pool, &c->app->ending, &mark);
		if (e != KMN_OK)
			return e;
		kmn_writer_clear(&c->w);
		if ((e = kmn_carriage_encode(c)) != KMN_OK)
			return e;
	}
}

kmn_err
kmn_call_on(struct kmn_application *app, struct kmn_link *link, enum kmn_call_id id, struct kmn_arg *arg,
    size_t arg_count, CK_RV *rv_out)
{
	struct kmn_carriage c = {
	    .app = app, .link = link, .id = id, .list = KMN_LIST_NEWEST, .arg = arg, .arg_count = arg_count};
	kmn_err e;

	*rv_out = CKR_GENERAL_ERROR;
	if ((e = kmn_carriage_encode(&c)) == KMN_OK)
		e = kmn_carry_whole(&c, rv_out);
	kmn_writer_clear(&c.w); /* wipes: it may have held a PIN */
	if (e == KMN_E_INSTANCE && c.sent)
		e = KMN_E_UNDECIDED;
	return e;
}
