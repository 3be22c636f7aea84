/*
 * Salts of commitments (docs/ledger.md 5). They belong to the client: it gets
 * them with the answer, and the gateway forgets them when it has. Until then
 * they are in guarded memory, many to a page.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <sodium.h>

#define ROWS 32u

struct kmn_salt_page {
	LIST_ENTRY(kmn_salt_page) link;
	uint32_t used; /* bit n: row[n] is somebody's */
	struct kmn_salts row[ROWS];
};

static struct kmn_salt_page *
page_with_room(struct kmn_keeper *k)
{
	struct kmn_salt_page *page;

	LIST_FOREACH(page, &k->salts, link)
	if (page->used != UINT32_MAX)
		return page;
	if ((page = sodium_malloc(sizeof(*page))) == NULL)
		KMN_BUG("out of memory");
	sodium_memzero(page, sizeof(*page));
	LIST_INSERT_HEAD(&k->salts, page, link);
	return page;
}

static struct kmn_salts *
salts_of(struct kmn_call_state *call)
{
	struct kmn_salt_page *page;
	unsigned n = 0;

	if (call->salts != NULL)
		return call->salts;
	page = page_with_room(call->keeper);
	while ((page->used & 1u << n) != 0)
		n++;
	page->used |= 1u << n;
	call->salts = &page->row[n];
	return call->salts;
}

const uint8_t *
kmn_salts_draw(struct kmn_call_state *call, enum kmn_salt which)
{
	struct kmn_salts *salts = salts_of(call);

	if (!salts->drawn[which])
		kmn_keeper_random(salts->salt[which], sizeof(salts->salt[which]));
	salts->drawn[which] = true;
	return salts->salt[which];
}

void
kmn_salts_forget(struct kmn_call_state *call)
{
	struct kmn_salt_page *page;

	if (call->salts == NULL)
		return;
	LIST_FOREACH(page, &call->keeper->salts, link)
	if (call->salts >= page->row && call->salts < page->row + ROWS)
		break;
	if (page == NULL)
		KMN_BUG("salts that are on no page");
	page->used &= ~(1u << (call->salts - page->row));
	sodium_memzero(call->salts, sizeof(*call->salts));
	call->salts = NULL;
	if (page->used == 0) {
		LIST_REMOVE(page, link);
		sodium_free(page);
	}
}
