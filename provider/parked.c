/*
 * Calls that do not wait when they are held.
 *
 * Such a call asks to be left aside (PARK): then its number is out of the window, and others go on. Where too many are
 * aside already (`crowded`) its number stays in the window, and it is asked for as any call is. Either way it keeps its
 * link, and each question of it (kmn_parked_ask()) brings CKR_PENDING or its end.
 */
#include "config.h"

#include "provider/carriage.h"

#include <stdlib.h>
#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"

struct kmn_parked {
	struct kmn_carriage c;
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	CK_ULONG length;          /* of the output, instead of the caller's, which may be gone when it comes */
	CK_OBJECT_HANDLE made[2]; /* the same of handles */
	uint64_t aside;           /* its number, if the gateway left it aside; 0: it did not */
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
	p->c = (struct kmn_carriage){
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
	struct kmn_carriage *c = &p->c;
	uint64_t number = p->aside;

	if (e == KMN_E_AGAIN) {
		kmn_cache_return(c->app->cache, c->link->era, c->passage, CKR_PENDING, c->broke);
		c->passage = NULL;
		return CKR_PENDING;
	}
	p->aside = 0;
	if (number != 0 && e == KMN_OK && kmn_forget_on(c->app, c->link, number) != KMN_OK)
		kmn_debug(KMN_TOPIC_WAIT, "call %llu: the gateway keeps its answer", (unsigned long long)number);
	rv = kmn_call_conclude(c, view, e, rv, false);
	c->passage = NULL;
	kmn_writer_clear(&c->w);
	return rv;
}

CK_RV
kmn_parked_start(struct kmn_parked *p)
{
	CK_RV rv = kmn_call_answer(&p->c);

	if (p->c.link != NULL)
		rv = kmn_parked_ask(p);
	if (rv == CKR_PENDING)
		own_outputs(p);
	return rv;
}

CK_RV
kmn_parked_ask(struct kmn_parked *p)
{
	struct kmn_carriage *c = &p->c;
	struct kmn_call_view view = {0};
	struct kmn_passage passage;
	CK_RV rv = CKR_GENERAL_ERROR;
	kmn_err e;

	if (c->link == NULL ||
	    kmn_call_view_decode(c->w.bytes + KMN_CALL_HEAD_BYTES, c->w.len - KMN_CALL_HEAD_BYTES, &view) != KMN_OK)
		return CKR_GENERAL_ERROR;
	kmn_cache_begin(c->app->cache, &passage, c->id, c->arg, c->arg_count, c->w.bytes + KMN_CALL_HEAD_BYTES,
	    c->w.len - KMN_CALL_HEAD_BYTES);
	kmn_cache_leave(c->app->cache, &passage);
	c->passage = &passage;
	c->parking = p->aside == 0 && !c->ending_wait; /* asks, too */
	c->crowded = false;
	e = kmn_carry_whole(c, &rv);
	if (e == KMN_E_AGAIN && c->parking && !c->crowded) {
		p->aside = c->flight.number;
		kmn_flights_set_aside(&c->link->flights, &c->flight);
	}
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
	*len_out = p->c.w.len - KMN_CALL_HEAD_BYTES;
	return p->c.w.bytes + KMN_CALL_HEAD_BYTES;
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
