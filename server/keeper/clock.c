/*
 * The wall clock against the boot clock. Each record's time is taken once, and
 * compared before it is used: a step of more than a second is a `clock` record
 * of its own, before anything else says the new time. That a clock which went
 * back stops class A is the quorum's to say, from that record.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#define STEP_MS 1000
#define TOGETHER_MS 20 /* the two clocks are read in less than this, or once more */
#define TRIES 100

static struct kmn_log_sources sources; /* set once, before any record */

void
kmn_clock_init(struct kmn_keeper *k)
{
	if (k->setup->sources != NULL)
		sources = *k->setup->sources;
	else
		kmn_log_sources_system(&sources);
}

int64_t
kmn_keeper_now_ms(void)
{
	return (int64_t)sources.now_ms(sources.cookie);
}

int64_t
kmn_keeper_boot_ms(void)
{
	return (int64_t)sources.boot_ms(sources.cookie);
}

static uint64_t
sampled_now(void *cookie)
{
	return (uint64_t)((const struct kmn_keeper *)cookie)->clock.now;
}

static uint64_t
sampled_boot(void *cookie)
{
	return (uint64_t)((const struct kmn_keeper *)cookie)->clock.boot;
}

static void
sampled_random(void *cookie, void *out, size_t len)
{
	(void)cookie;
	sources.random(sources.cookie, out, len);
}

void
kmn_clock_log_sources(struct kmn_keeper *k, struct kmn_log_sources *out)
{
	*out = (struct kmn_log_sources){sampled_now, sampled_boot, sampled_random, k};
}

/* Both clocks at one moment: a process that slept in between would see a step where there is none. */
void
kmn_clock_sample(struct kmn_keeper *k)
{
	for (unsigned n = 0; n < TRIES && !k->clock.held; n++) {
		k->clock.boot = kmn_keeper_boot_ms();
		k->clock.now = kmn_keeper_now_ms();
		if (kmn_keeper_boot_ms() - k->clock.boot < TOGETHER_MS)
			return;
	}
}

static json_t *
step_body(int64_t before, int64_t after)
{
	return json_pack("{s:I, s:I, s:s, s:s}", "before", (json_int_t)before, "after", (json_int_t)after, "source",
	    "CLOCK_BOOTTIME", "reason",
	    after < before ? "the wall clock was set back" : "the wall clock was set forward");
}

json_t *
kmn_clock_step(struct kmn_keeper *k)
{
	int64_t expected = k->clock.boot + k->clock.offset, apart = k->clock.now - expected;

	if (!k->clock.running || (apart <= STEP_MS && apart >= -STEP_MS))
		return NULL;
	kmn_say(KMN_SAY_WARNING, "the wall clock stepped by %lld ms%s", (long long)apart,
	    apart < 0 ? ": calls that need an intent are refused until it has caught up" : "");
	k->clock.offset += apart;
	return step_body(expected, k->clock.now);
}

json_t *
kmn_clock_start(struct kmn_keeper *k, uint64_t t)
{
	k->clock.running = true;
	k->clock.offset = k->clock.now - k->clock.boot;
	if ((int64_t)t <= k->clock.now + STEP_MS)
		return NULL;
	kmn_say(KMN_SAY_WARNING,
	    "the wall clock is %lld ms behind the ledger: calls that need an intent are refused "
	    "until it has caught up",
	    (long long)t - k->clock.now);
	return step_body((int64_t)t, k->clock.now);
}

void
kmn_clock_tick(struct kmn_keeper *k)
{
	json_t *step;

	kmn_clock_sample(k);
	if ((step = kmn_clock_step(k)) != NULL && kmn_keeper_append(k, KMN_R_CLOCK, step, NULL) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "a step of the clock could not be recorded");
}

int64_t
kmn_clock_record_ms(struct kmn_keeper *k)
{
	kmn_clock_tick(k);
	return kmn_quorum_record_ms(k->quorum, k->clock.now);
}
