/*
 * The whole story of one request, out of a ledger's records alone: its
 * records in order, who voted and whether each signature verifies, and every
 * digest that must be the same beside each of its appearances.
 *
 * The story is JSON; `kanmon audit request` prints it as text or as it is:
 *
 *	request, state, held, key, function, mechanism, client
 *	records     [{i, t, time, type, who, what, outcome, reason?}]
 *	votes       [{i, custodian, person, key_id, verifies, check, reason?}]
 *	statement   the text that custodians signed
 *	compared    [{name, rows: [{what, where?, value, is: "reference"|"equal"|"DIFFERENT"|"not kept"}]}]
 *	findings    [{check, i, text}], what the judgement of the records found
 *	bracket     {not_before, not_after}: between which time stamps it lies
 *	different   how many rows are DIFFERENT, and findings
 */
#ifndef KANMON_TOOLS_AUDIT_STORY_H
#define KANMON_TOOLS_AUDIT_STORY_H

#include "kanmon/verify.h"

/*
 * Errors: KMN_E_NOT_FOUND, `why` says so: no record of that index, or one that is about no request; KMN_E_CORRUPT: the
 * ledger is damaged. `i` may be the index of the intent or of any record that refers to it. *story_out: json_decref.
 */
kmn_err kmn_story_read(struct kmn_store *store, uint64_t i, json_t **story_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Names for what is the same in several places, gathered row by row. */
struct kmn_compared {
	json_t *groups; /* list */
	json_t *rows;   /* of the group that is open, borrowed */
	char first[128];
	unsigned different;
};
void kmn_compare_begin(struct kmn_compared *c, const char *name);
/* One appearance: the first of a group is what the others are held against. NULL value: it is not kept anywhere. */
void kmn_compare(struct kmn_compared *c, const char *what, uint64_t where, const char *value);
void kmn_compare_hash(struct kmn_compared *c, const char *what, uint64_t where, const void *hash, size_t len);
/* A judgement instead of a value: what must be so, and is or is not. */
void kmn_compare_holds(struct kmn_compared *c, const char *what, uint64_t where, bool holds, const char *says);

#define KMN_NOWHERE UINT64_MAX

#endif
