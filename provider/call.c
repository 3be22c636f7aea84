/*
 * One call, from the caller's memory to the gateway and back.
 *
 * Whatever breaks, the request keeps its number and its bytes: the gateway
 * runs a number once and keeps its outcome until it is acknowledged, so asking
 * again is safe, and not asking again would lose an outcome.
 */
#include "config.h"

#include "provider/carriage.h"

#include "provider/application.h"
#include "provider/async.h"
#include "provider/debug.h"
#include "provider/host.h"

#define RENEWALS_MAX 3u /* links that one call may wear out before it was sent */

/* ---- on whichever link there is ---------------------------------------------------------------------------------- */

/* Whether the link can know what the call names. *stale_out: it cannot, and the gateway need not be asked. */
static kmn_err
prepare(struct kmn_carriage *c, const struct kmn_call_view *view, bool *stale_out)
{
	*stale_out = false;
	if (c->app->heal != NULL)
		return kmn_heal_prepare(c->app->heal, c->app, c->link, view, stale_out);
	*stale_out =
	    kmn_is_session_call(c->id) && c->arg[0].u < c->link->first_handle && c->arg[0].u != CK_INVALID_HANDLE;
	return KMN_OK;
}

/* Whether a call that its link lost before it was sent may go to a new one. */
static bool
may_renew(const struct kmn_carriage *c, kmn_err e)
{
	if (e != KMN_E_INSTANCE || c->sent || kmn_is_close(c->id))
		return false;
	return !kmn_is_session_call(c->id) || kmn_heal_may(c->app->heal, c->link);
}

/* KMN_OK: *rv_out is what the gateway answered. *stale_out: it was not asked, see prepare(). */
static kmn_err
carry_anywhere(struct kmn_carriage *c, const struct kmn_call_view *view, CK_RV *rv_out, bool *stale_out)
{
	kmn_err e;

	for (unsigned renewals = 0;; renewals++) {
		c->link = kmn_links_take(&c->app->links);
		e = c->link != NULL ? prepare(c, view, stale_out) : KMN_E_INSTANCE;
		if (e == KMN_OK && *stale_out)
			return KMN_OK;
		if (e == KMN_OK)
			e = c->waits ? kmn_carry_event(c, rv_out) : kmn_carry_whole(c, rv_out);
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
keep_ahead(struct kmn_carriage *c, CK_RV rv)
{
	struct kmn_company *company = c->company;

	if (c->link == NULL || !company->reply[0].asked)
		return;
	kmn_ahead_begin(company->ahead, rv == CKR_OK, company->reply);
	if (rv != CKR_OK && company->ahead->count == 0)
		return;
	kmn_cache_saw_ahead(c->app->cache, c->link->era, c->arg[0].u, company->ahead);
	company->ahead = NULL;
}

CK_RV
kmn_call_conclude(struct kmn_carriage *c, const struct kmn_call_view *view, kmn_err e, CK_RV rv, bool stale)
{
	enum kmn_fate fate = KMN_FATE_STALE;

	c->ended = e;
	c->answered = rv;
	if (e == KMN_OK && !stale) {
		rv = kmn_outcome_of_answer(c, rv);
		if (c->app->heal != NULL)
			kmn_heal_note(c->app->heal, c->app, c->link, view, c->arg, rv);
	} else if (stale || kmn_outcome_fate(c, e, &fate)) {
		rv = kmn_outcome_of_fate(c, fate);
		if (c->app->heal != NULL && rv == CKR_OK)
			kmn_heal_forget(c->app->heal, view);
	} else {
		rv = e == KMN_E_RECEIPT ? kmn_outcome_of_wrong_ledger(c) : kmn_err_ckr(e);
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
run(struct kmn_carriage *c, const struct kmn_call_view *view)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	bool stale = false;
	kmn_err e = carry_anywhere(c, view, &rv, &stale);

	if (e != KMN_E_AGAIN)
		return kmn_call_conclude(c, view, e, rv, stale);
	kmn_cache_return(c->app->cache, c->link->era, c->passage, CKR_PENDING, c->broke);
	c->passage = NULL;
	return CKR_PENDING;
}

/* The answer without the gateway, if that can be had. */
static bool
answer_here(struct kmn_carriage *c, struct kmn_passage *passage, CK_RV *rv_out)
{
	struct kmn_link *link = kmn_links_take(&c->app->links);
	bool here = link != NULL && kmn_cache_answer(c->app->cache, link->pool, link->era, passage, rv_out);

	kmn_links_put(&c->app->links, link);
	if (here)
		kmn_debug(KMN_TOPIC_CALL, "%s: answered here: 0x%lx", kmn_carriage_name(c), *rv_out);
	return here;
}

CK_RV
kmn_call_answer(struct kmn_carriage *c)
{
	struct kmn_call_view view = {0};
	struct kmn_passage passage;
	CK_RV rv;
	kmn_err e;

	c->waits = c->id == KMN_C_WaitForSlotEvent && (c->arg[0].u & CKF_DONT_BLOCK) == 0;
	e = c->id == KMN_C_WaitForSlotEvent && c->arg[2].p != NULL ? KMN_E_ARGUMENTS
								   : kmn_carriage_encode(c); /* pReserved */
	if (e == KMN_OK && c->app->heal != NULL) /* healing looks at calls as the gateway does */
		e = kmn_call_view_decode(c->w.bytes + KMN_CALL_HEAD_BYTES, c->w.len - KMN_CALL_HEAD_BYTES, &view);
	if (e != KMN_OK) {
		kmn_debug(KMN_TOPIC_CALL, "%s: %s", kmn_carriage_name(c), kmn_err_text(e));
		rv = kmn_err_ckr(e);
	} else {
		kmn_cache_begin(c->app->cache, &passage, c->id, c->arg, c->arg_count, c->w.bytes + KMN_CALL_HEAD_BYTES,
		    c->w.len - KMN_CALL_HEAD_BYTES);
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

/* ---- calls of the application ------------------------------------------------------------------------------------ */

static void
after_call(struct kmn_carriage *c, CK_RV rv)
{
	if (rv != CKR_OK)
		return;
	if (kmn_is_close(c->id))
		kmn_receipts_forget(c->app->receipts, c->id == KMN_C_CloseSession ? c->arg[0].u : 0);
	if (c->id == KMN_C_GetSessionInfo && kmn_receipts_failed(c->app->receipts))
		((CK_SESSION_INFO *)c->arg[1].p)->ulDeviceError = KMN_E_RECEIPT;
}

CK_RV
kmn_call_whole(
    struct kmn_application *app, enum kmn_list list, enum kmn_call_id id, struct kmn_arg *arg, size_t arg_count)
{
	struct kmn_carriage c = {.app = app, .id = id, .list = list, .arg = arg, .arg_count = arg_count};
	CK_RV rv;

	if (id == KMN_C_FindObjectsInit)
		rv = kmn_search_begin(&c);
	else if (id == KMN_C_FindObjects)
		rv = kmn_search_next(&c);
	else
		rv = kmn_call_answer(&c);
	after_call(&c, rv);
	return rv;
}

CK_RV
kmn_provider_call(enum kmn_call_id id, enum kmn_list list, struct kmn_arg *arg, size_t arg_count)
{
	struct kmn_visit visit;
	CK_RV rv;

	if (!kmn_visit_begin(&visit))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	kmn_sessions_fill(&visit.app->sessions, id, arg);
	if (kmn_receipts_failed(visit.app->receipts) && !kmn_is_harmless(id))
		rv = kmn_err_ckr(KMN_E_RECEIPT);
	else if (kmn_async_takes(visit.app->async, id, list, arg))
		rv = kmn_async_call(visit.app->async, visit.app, id, arg, arg_count);
	else
		rv = kmn_call_whole(visit.app, list, id, arg, arg_count);
	kmn_visit_end(&visit);
	return rv;
}
