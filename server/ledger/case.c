/*
 * V8: every call has its story, whole. An intent is decided, given up by a
 * recovery or still open; a decision that allowed has exactly one result, or a
 * recovery that says nobody knows; every reference points at an earlier record
 * of the right kind, by index and by leaf hash.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/scan.h"
#include "server/ledger/verify.h"

/* How long after its time a request may go undecided: the gateway decides when its clock rings, or when it starts. */
#define LATE_MS 60000

enum {
	SETTLED = 1, /* intent: has a decision, or a recovery gave it up */
	ALLOWED = 2, /* decision: allow */
	DONE = 4,    /* decision: has its result */
	UNKNOWN = 8, /* decision: a recovery says that nobody knows */
};

/* 8 bytes for each record of the ledger. */
struct row {
	/* intent: until it is settled, when it expires; then its last decision, 0: none. Decision: its intent. */
	uint64_t value : 53;
	uint64_t kind : 6; /* enum kmn_record_kind */
	uint64_t flags : 4;
};
_Static_assert(sizeof(struct row) == 8 && KMN_R_UNKNOWN < 64, "a row of eight bytes");

struct cases {
	const struct kmn_checking *checking;
	struct row *row;
	uint64_t count, room;
	uint64_t start; /* last gateway.start, 0: none */
	uint64_t t;     /* of the last record */
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct cases *cases = calloc(1, sizeof(*cases));

	if ((*state_out = cases) == NULL)
		return KMN_E_NO_MEMORY;
	cases->checking = checking;
	return KMN_OK;
}

static void
clear(void *state)
{
	struct cases *cases = state;

	free(cases->row);
	free(cases);
}

#define VALUE(n) ((n)&KMN_JSON_INT_MAX) /* numbers of a ledger have 53 bits */
#define say(cases, severity, place, ...) kmn_checker_say((cases)->checking, KMN_V8, severity, place, __VA_ARGS__)

/* What the references of each type must point at; KMN_R_UNKNOWN: at anything. */
static const struct {
	enum kmn_record_kind in;
	const char *member;
	enum kmn_record_kind to;
	bool list;
	bool maybe; /* it need not be there */
} refs[] = {
    {KMN_R_SESSION, "request", KMN_R_INTENT, false, true},
    {KMN_R_ATTACHMENT, "request", KMN_R_INTENT, false, false},
    {KMN_R_STATEMENT, "request", KMN_R_INTENT, false, false},
    {KMN_R_APPROVAL, "request", KMN_R_INTENT, false, false},
    {KMN_R_REJECTION, "request", KMN_R_INTENT, false, false},
    {KMN_R_VETO, "request", KMN_R_INTENT, false, false},
    {KMN_R_DECISION, "request", KMN_R_INTENT, false, false},
    {KMN_R_DECISION, "approvals", KMN_R_APPROVAL, true, false},
    {KMN_R_DECISION, "rejections", KMN_R_REJECTION, true, false},
    {KMN_R_DECISION, "vetoes", KMN_R_VETO, true, false},
    {KMN_R_DECISION, "window", KMN_R_INTENT, false, true},
    {KMN_R_RESULT, "request", KMN_R_INTENT, false, false},
    {KMN_R_RESULT, "decision", KMN_R_DECISION, false, false},
    {KMN_R_REDELIVER, "result", KMN_R_RESULT, false, false},
    {KMN_R_REDELIVERY, "result", KMN_R_RESULT, false, false},
    {KMN_R_ACTION, "subject", KMN_R_UNKNOWN, false, false},
    {KMN_R_LOG_KEY, "approvals", KMN_R_APPROVAL, true, false},
    {KMN_R_CUSTODIAN_CREDENTIAL, "approvals", KMN_R_APPROVAL, true, false},
};

static bool
ref_holds(const struct cases *cases, const struct kmn_ref *ref, enum kmn_record_kind to, uint64_t before)
{
	uint8_t leaf[KMN_HASH_BYTES];

	return ref->i < before && kmn_past_leaf(cases->checking->past, ref->i, leaf) == KMN_OK &&
	       memcmp(leaf, ref->leaf, sizeof(leaf)) == 0 && (to == KMN_R_UNKNOWN || cases->row[ref->i].kind == to);
}

/* The n-th reference that row `at` of the table finds in the record. */
static bool
get_ref(const struct kmn_record *record, size_t at, size_t n, struct kmn_ref *ref)
{
	if (refs[at].list)
		return kmn_scan_ref_at(record->scan, refs[at].member, n, ref);
	return n == 0 && kmn_scan_ref(record->scan, refs[at].member, ref);
}

/* True: all references of the record hold, and may be followed. */
static bool
check_refs(const struct cases *cases, const struct kmn_record *record, const struct kmn_place *place)
{
	struct kmn_ref ref;
	bool hold = true;

	for (size_t at = 0; at < KMN_COUNT_OF(refs); at++) {
		size_t n = 0;

		if (refs[at].in != record->kind)
			continue;
		for (; get_ref(record, at, n, &ref); n++) {
			if (ref_holds(cases, &ref, refs[at].to, record->i))
				continue;
			say(cases, KMN_FINDING, place,
			    "\"%s\" refers to record %" PRIu64 ", which is no earlier %s with that leaf",
			    refs[at].member, ref.i,
			    refs[at].to == KMN_R_UNKNOWN ? "record" : kmn_record_name(refs[at].to));
			hold = false;
		}
		if (n == 0 && !refs[at].list && !refs[at].maybe) /* a malformed body, said already */
			hold = false;
	}
	return hold;
}

static void
take_decision(struct cases *cases, const struct kmn_record *record)
{
	struct kmn_ref request;

	if (!kmn_scan_ref(record->scan, "request", &request) || kmn_scan_member(record->scan, "verdict") == NULL)
		return;
	cases->row[request.i].flags |= SETTLED;
	cases->row[request.i].value = VALUE(record->i);
	cases->row[record->i].value = VALUE(request.i);
	if (kmn_scan_is(record->scan, "verdict", "allow"))
		cases->row[record->i].flags |= ALLOWED;
}

static void
take_result(struct cases *cases, const struct kmn_record *record, const struct kmn_place *place)
{
	struct kmn_ref request, decision;
	struct row *row;

	if (!kmn_scan_ref(record->scan, "request", &request) || !kmn_scan_ref(record->scan, "decision", &decision))
		return;
	row = &cases->row[decision.i];
	if (row->value != request.i)
		say(cases, KMN_FINDING, place, "its decision %" PRIu64 " is about another request", decision.i);
	if (!(row->flags & ALLOWED))
		say(cases, KMN_FINDING, place, "its decision %" PRIu64 " did not allow the call", decision.i);
	if (row->flags & DONE)
		say(cases, KMN_FINDING, place, "a second result for decision %" PRIu64, decision.i);
	if ((row->flags & UNKNOWN) || cases->start > decision.i)
		say(cases, KMN_FINDING, place, "decision %" PRIu64 " was given up when the gateway started again",
		    decision.i);
	row->flags |= DONE;
}

/* open_requests names what was running or not started; by its decision or by its intent. */
static void
take_recovery(struct cases *cases, const struct kmn_record *record, const struct kmn_place *place)
{
	const json_t *open = json_object_get(record->body, "open_requests");
	uint8_t leaf[KMN_HASH_BYTES], here[KMN_HASH_BYTES];
	const char *state;
	uint64_t i;

	for (size_t n = 0; n < json_array_size(open); n++) {
		const json_t *entry = json_array_get(open, n);
		struct row *row;

		if (!kmn_json_get_number(entry, "i", &i) || !kmn_json_get_b64(entry, "leaf", leaf, sizeof(leaf)) ||
		    !kmn_json_get_text(entry, "state", &state) || i >= record->i ||
		    kmn_past_leaf(cases->checking->past, i, here) != KMN_OK || memcmp(leaf, here, sizeof(leaf)) != 0 ||
		    (cases->row[i].kind != KMN_R_INTENT && cases->row[i].kind != KMN_R_DECISION)) {
			say(cases, KMN_FINDING, place,
			    "open_requests[%zu] is no intent or decision of this ledger with its state", n);
			continue;
		}
		row = &cases->row[i];
		if (row->kind == KMN_R_INTENT) {
			if (!(row->flags & SETTLED))
				row->value = 0;
			row->flags |= SETTLED;
			row = &cases->row[row->value];
		}
		if (row->kind == KMN_R_DECISION && strcmp(state, "unknown") == 0)
			row->flags |= UNKNOWN;
	}
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct cases *cases = state;
	struct row *grown, *row;
	uint64_t expires;

	if (cases->count == cases->room) {
		cases->room = cases->room * 2 + 1024;
		if ((grown = realloc(cases->row, cases->room * sizeof(*grown))) == NULL)
			return KMN_E_NO_MEMORY;
		cases->row = grown;
	}
	row = &cases->row[cases->count++];
	*row = (struct row){.kind = record->kind};
	cases->t = record->t;
	if (!check_refs(cases, record, place))
		return KMN_OK;
	switch (record->kind) {
	case KMN_R_INTENT:
		row->value = kmn_scan_number(record->scan, "expires", &expires) ? VALUE(expires) : 0;
		break;
	case KMN_R_DECISION:
		take_decision(cases, record);
		break;
	case KMN_R_RESULT:
		take_result(cases, record, place);
		break;
	case KMN_R_RECOVERY:
		take_recovery(cases, record, place);
		break;
	case KMN_R_GATEWAY_START:
		cases->start = record->i;
		break;
	default:
		break;
	}
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	struct cases *cases = state;
	uint64_t *open_out = &cases->checking->report->open_requests;

	for (uint64_t i = 0; i < cases->count; i++) {
		const struct row *row = &cases->row[i];
		struct kmn_place place = {NULL, 0, i};

		if (row->kind == KMN_R_INTENT && !(row->flags & SETTLED)) {
			if (cases->t > row->value + LATE_MS)
				say(cases, KMN_FINDING, &place,
				    "an intent without decision or recovery, past its time");
			else
				++*open_out;
		}
		if ((row->flags & (ALLOWED | DONE | UNKNOWN)) == ALLOWED) {
			if (cases->start > i)
				say(cases, KMN_FINDING, &place,
				    "a decision that allowed a call, without result or recovery, before the gateway "
				    "started again");
			else
				++*open_out;
		}
	}
	if (*open_out > 0) {
		struct kmn_place place = {NULL, 0, UINT64_MAX};

		say(cases, KMN_INFO, &place, "%" PRIu64 " requests are open at the head", *open_out);
	}
	cases->checking->report->done[KMN_V8] = true;
	return KMN_OK;
}

const struct kmn_checker kmn_cases_checker = {
    "cases", KMN_KINDS_ALL, KMN_KIND(RECOVERY), begin, take_record, end, clear};
