/* Calls that go along with another one, unasked: see ahead.h. */
#include "config.h"

#include "provider/carriage.h"

#include "provider/application.h"
#include "provider/debug.h"

/* Calls for which there is no memory or no number at once are left out. */
void
kmn_company_begin(struct kmn_carriage *c)
{
	struct kmn_company *company = c->company;
	bool all = true;

	company->line_broke = false;
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++) {
		struct kmn_carriage *m = &company->call[i];

		m->link = c->link;
		company->reply[i].asked = false;
		all = all && m->w.err == KMN_OK && kmn_flights_try_admit(&c->link->flights, &m->flight);
		company->settled[i] = !all;
	}
}

kmn_err
kmn_company_ask(struct kmn_company *company, struct kmn_channel *channel)
{
	kmn_err e = KMN_OK;

	for (unsigned i = 0; e == KMN_OK && i < KMN_AHEAD_CALLS; i++) {
		if (company->settled[i])
			continue;
		e = kmn_exchange_ask(&company->call[i], channel);
		company->call[i].sent = true;
	}
	return e;
}

/* What one of them came to. */
static void
settle(struct kmn_company *company, unsigned i, kmn_err e, CK_RV rv)
{
	struct kmn_carriage *m = &company->call[i];

	company->settled[i] = true;
	company->reply[i].asked = e != KMN_E_REPLAY; /* a stale number: it never runs */
	company->reply[i].rv = e == KMN_OK ? rv : kmn_err_ckr(e);
	if (e == KMN_OK && rv == CKR_OK)
		kmn_carriage_saw(m);
	kmn_debug(KMN_TOPIC_CALL, "%s: call %llu of %s, sent along: 0x%lx", kmn_carriage_name(m),
	    (unsigned long long)m->flight.number, kmn_pool_name(m->link->pool), company->reply[i].rv);
}

void
kmn_company_hear(struct kmn_company *company, struct kmn_channel *channel)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e;

	for (unsigned i = 0; !company->line_broke && i < KMN_AHEAD_CALLS; i++) {
		if (company->settled[i])
			continue;
		switch (kmn_exchange_hear(&company->call[i], channel, &rv, &e)) {
		case KMN_HEARD_ANSWER:
			settle(company, i, KMN_OK, rv);
			break;
		case KMN_HEARD_REFUSAL:
			settle(company, i, e, rv);
			break;
		case KMN_HEARD_HELD: /* no search is */
		case KMN_HEARD_NOTHING:
			company->line_broke = true;
		}
	}
}

/* The outcome of what was sent is fetched: it must not be lost, for the module has moved on. */
void
kmn_company_end(struct kmn_carriage *c, kmn_err e)
{
	struct kmn_company *company = c->company;
	CK_RV rv = CKR_GENERAL_ERROR;

	if (company == NULL)
		return;
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++) {
		struct kmn_carriage *m = &company->call[i];

		if (!company->settled[i] && m->sent && e == KMN_OK) {
			kmn_err last = kmn_carry(m, &rv);

			settle(company, i, last, rv);
		}
		kmn_flights_finish(&c->link->flights, &m->flight);
		m->sent = false;
	}
}

void
kmn_company_leave(struct kmn_carriage *c)
{
	kmn_company_end(c, KMN_E_CANCELED);
	c->company = NULL;
}
