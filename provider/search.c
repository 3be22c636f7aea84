/* Searches: what came along with one is not asked for again. */
#include "config.h"

#include "provider/carriage.h"

#include <string.h>

#include "provider/application.h"
#include "provider/debug.h"

static CK_RV
find_begun(struct kmn_carriage *c)
{
	struct kmn_company company = {0};
	CK_RV rv;

	if ((company.ahead = kmn_cache_look_ahead(c->app->cache, c->arg[0].u)) == NULL)
		return kmn_call_answer(c);
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++) {
		struct kmn_ahead_reply *reply = &company.reply[i];
		struct kmn_arg arg[] = {
		    {.u = c->arg[0].u}, {.p = reply->handle, .u = KMN_AHEAD_HANDLES, .n = &reply->count}};
		struct kmn_carriage *m = &company.call[i];

		memcpy(company.arg[i], arg, sizeof(arg));
		*m = (struct kmn_carriage){.app = c->app,
		    .id = KMN_C_FindObjects,
		    .list = c->list,
		    .arg = company.arg[i],
		    .arg_count = KMN_COUNT_OF(arg)};
		if (kmn_carriage_encode(m) != KMN_OK)
			m->w.err = KMN_E_NO_MEMORY; /* left out */
	}
	c->company = &company;
	rv = kmn_call_answer(c);
	for (unsigned i = 0; i < KMN_AHEAD_CALLS; i++)
		kmn_writer_clear(&company.call[i].w);
	free(company.ahead);
	return rv;
}

/* As find_begun(), and whoever heals knows what is searched for. */
CK_RV
kmn_search_begin(struct kmn_carriage *c)
{
	CK_RV rv = find_begun(c);

	if (rv == CKR_OK && c->app->heal != NULL)
		kmn_heal_searches(c->app->heal, c->arg[0].u, c->arg[1].p, c->arg[1].u);
	return rv;
}

static struct kmn_find_answer
find_here(struct kmn_carriage *c, bool proved)
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
prove_session(struct kmn_carriage *c)
{
	CK_SESSION_INFO info;
	struct kmn_arg arg[] = {{.u = c->arg[0].u}, {.p = &info}};
	struct kmn_carriage proof = {
	    .app = c->app, .id = KMN_C_GetSessionInfo, .list = c->list, .arg = arg, .arg_count = 2};

	return kmn_call_answer(&proof);
}

static CK_RV
find_some(struct kmn_carriage *c)
{
	struct kmn_find_answer found = find_here(c, false);
	CK_RV rv;

	if (found.doubt) {
		if ((rv = prove_session(c)) != CKR_OK)
			return rv;
		found = find_here(c, true);
	}
	if (found.state == KMN_AHEAD_GIVEN) {
		kmn_debug(KMN_TOPIC_CALL, "%s: answered here: 0x%lx", kmn_carriage_name(c), found.rv);
		if (found.rv == CKR_OK)
			*c->arg[1].n = found.given;
		return found.rv;
	}
	if (found.state == KMN_AHEAD_PART) {
		c->arg[1].p = (CK_OBJECT_HANDLE *)c->arg[1].p + found.given;
		c->arg[1].u = found.rest;
	}
	rv = kmn_call_answer(c);
	if (rv == CKR_OK && found.state == KMN_AHEAD_PART)
		*c->arg[1].n += found.given;
	return rv;
}

CK_RV
kmn_search_next(struct kmn_carriage *c)
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
