/*
 * V3 of guards: what a start says that its guards held is a head of the records before it. A guard that holds another
 * one stops the gateway, or is overruled by the quorum (the quorum's checker): who edits a ledger and lets it start
 * again must write down here what the guard really held, or be found.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

struct guards {
	const struct kmn_checking *checking;
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct guards *guards = malloc(sizeof(*guards));

	if ((*state_out = guards) == NULL)
		return KMN_E_NO_MEMORY;
	guards->checking = checking;
	return KMN_OK;
}

/* A guard that was empty: size 0, and 32 zero bytes for a root. */
static bool
is_new(const struct kmn_head *head)
{
	static const uint8_t zeros[KMN_HASH_BYTES];

	return head->size == 0 && memcmp(head->root, zeros, sizeof(zeros)) == 0;
}

static void
check_guard(const struct kmn_checking *checking, const struct kmn_record *record, const struct kmn_place *place,
    const json_t *guard)
{
	const char *name, *kind, *verdict = NULL;
	struct kmn_head head;

	if (!kmn_json_get_text(guard, "name", &name) || !kmn_json_get_text(guard, "kind", &kind) ||
	    !kmn_json_get_number(guard, "size", &head.size) ||
	    !kmn_json_get_b64(guard, "root", head.root, KMN_HASH_BYTES) ||
	    (record->kind == KMN_R_RECOVERY && !kmn_json_get_text(guard, "verdict", &verdict))) {
		kmn_checker_say(checking, KMN_V3, KMN_FINDING, place, "a guard without kind, name, size and root");
		return;
	}
	if (verdict != NULL && strcmp(verdict, "overruled") == 0)
		return; /* by the quorum: V10 */
	if (verdict != NULL && strcmp(verdict, is_new(&head) ? "new" : "fits") != 0)
		kmn_checker_say(
		    checking, KMN_V3, KMN_FINDING, place, "guard '%.64s': no such verdict as '%.20s'", name, verdict);
	if (is_new(&head))
		return;
	if (head.size > record->i)
		kmn_checker_say(checking, KMN_V3, KMN_FINDING, place,
		    "guard '%.64s' held a head of %" PRIu64 " records, and only %" PRIu64
		    " were there: the ledger was cut off",
		    name, head.size, record->i);
	else if (!kmn_past_is_head(checking->past, &head))
		kmn_checker_say(checking, KMN_V3, KMN_FINDING, place,
		    "guard '%.64s' held another root at size %" PRIu64 ": this is not the ledger that it knew", name,
		    head.size);
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	const struct guards *guards = state;
	const json_t *list = json_object_get(record->body, "guards"), *guard;
	size_t n;

	json_array_foreach(list, n, guard) check_guard(guards->checking, record, place, guard);
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	(void)state;
	return KMN_OK;
}

#define KINDS (KMN_KIND(GATEWAY_START) | KMN_KIND(RECOVERY))

const struct kmn_checker kmn_guards_checker = {"guards", KINDS, KINDS, begin, take_record, end, free};
