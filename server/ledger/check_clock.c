/*
 * V10, the clock: `t` and `m` go on together within a run of the gateway. Where
 * they part by more than a second, a `clock` record has said so first.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "server/ledger/verify.h"

#define APART_MS 1100 /* a second, and what lies between reading one clock and the other */

struct clock {
	const struct kmn_checking *checking;
	bool running;   /* since the last gateway.start */
	int64_t offset; /* of the wall clock from the boot clock, as the last start or `clock` record has it */
	uint64_t t;     /* of the record before */
	uint64_t said;  /* findings, of which only the first of a run is told */
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct clock *clock = calloc(1, sizeof(*clock));

	if ((*state_out = clock) == NULL)
		return KMN_E_NO_MEMORY;
	clock->checking = checking;
	return KMN_OK;
}

static void
take_step(struct clock *clock, const struct kmn_record *record, const struct kmn_place *place)
{
	uint64_t before, after;

	if (!kmn_json_get_number(record->body, "before", &before) ||
	    !kmn_json_get_number(record->body, "after", &after))
		return; /* a malformed body, said already */
	clock->offset = (int64_t)after - (int64_t)record->m;
	clock->said = 0;
	kmn_checker_say(clock->checking, KMN_V10, KMN_INFO, place, "the clock was set %s by %" PRIu64 " s",
	    after < before ? "back" : "forward", (after < before ? before - after : after - before) / 1000);
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct clock *clock = state;
	int64_t expected, apart;

	switch (record->kind) {
	case KMN_R_GATEWAY_START:
		clock->running = true;
		clock->offset = (int64_t)record->t - (int64_t)record->m;
		clock->said = 0;
		break;
	case KMN_R_CLOCK:
		if (clock->running)
			take_step(clock, record, place);
		break;
	case KMN_R_GATEWAY_STOP:
		clock->running = false;
		break;
	case KMN_R_RECOVERY: /* at a start its `m` may be that of another boot */
		break;
	default:
		if (!clock->running)
			break;
		expected = clock->offset + (int64_t)record->m;
		if (expected < (int64_t)clock->t) /* the ledger's time waits for a clock that was put back */
			expected = (int64_t)clock->t;
		apart = (int64_t)record->t - expected;
		if ((apart > APART_MS || apart < -APART_MS) && clock->said++ == 0)
			kmn_checker_say(clock->checking, KMN_V10, KMN_FINDING, place,
			    "its time is %" PRId64 " ms from where the boot clock has it, and no clock record says why",
			    apart);
	}
	clock->t = record->t;
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	(void)state;
	return KMN_OK;
}

const struct kmn_checker kmn_clock_checker = {"clock", KMN_KINDS_ALL, KMN_KIND(CLOCK), begin, take_record, end, free};
