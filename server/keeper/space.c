/*
 * Whether a call that needs a record may begin: not without disk space for it,
 * and not while a guard cannot follow. What asks only, the audit's reading and
 * a clean stop go on, and calls begin again by themselves when it is mended.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"
#include "server/keeper/guard.h"

#include <stdio.h>
#include <sys/statvfs.h>

#define LOOK_US 200000u        /* the disk is asked no more often */
#define STARVED_LEAST_MS 10000 /* a ledger that stopped on a full disk is started again no sooner */

/* In MiB; a disk that does not say is as large as one can be. */
static uint64_t
free_mib(const struct kmn_keeper *k)
{
	struct statvfs disk;

	return fstatvfs(k->setup->ledger, &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize >> 20 : UINT64_MAX;
}

static void
set_low(struct kmn_keeper *k, bool low, uint64_t mib)
{
	if (k->space.low == low)
		return;
	k->space.low = low;
	if (low)
		kmn_say(KMN_SAY_ERROR,
		    "the ledger's disk is nearly full: %llu MiB are free, low-water is %u; calls that need a record "
		    "are "
		    "refused until there is space (docs/operator.md)",
		    (unsigned long long)mib, k->setup->low_water_mib);
	else
		kmn_say(KMN_SAY_INFO, "the ledger's disk has space again: %llu MiB", (unsigned long long)mib);
}

static void
look(struct kmn_keeper *k)
{
	uint64_t now = kmn_keeper_now_us(), mib;

	if (k->space.looked_us != 0 && now - k->space.looked_us < LOOK_US)
		return;
	k->space.looked_us = now;
	mib = free_mib(k);
	k->space.free_mib = mib;
	set_low(k, mib < k->setup->low_water_mib || (k->log != NULL && kmn_log_is_short(k->log)), mib);
}

bool
kmn_space_is_low(struct kmn_keeper *k)
{
	look(k);
	return k->space.low;
}

kmn_err
kmn_keeper_holds_back(struct kmn_keeper *k)
{
	const char *guard;

	if (k->unrecorded)
		return KMN_E_LEDGER;
	if (k->scrub.damaged)
		return KMN_E_CORRUPT;
	if (kmn_guards_fail(k->guards, &guard))
		return KMN_E_GUARD;
	return kmn_space_is_low(k) ? KMN_E_SPACE : KMN_OK;
}

void
kmn_space_tick(struct kmn_keeper *k)
{
	bool was = k->space.low, low = kmn_space_is_low(k);

	if (was && !low) {
		kmn_log_emergency(k->store, true);
		k->held_due = true;
	}
	/* Nothing is doubted of a ledger that only found no room: a new keeper goes on where it ends. */
	if (k->unrecorded && kmn_log_starved(k->log) && !low &&
	    kmn_keeper_boot_ms() - k->space.starved_ms >= STARVED_LEAST_MS) {
		k->restart = true;
		kmn_keeper_fail(k, "there is space again for the ledger: the keeper starts anew");
	}
}

void
kmn_scrub_tick(struct kmn_keeper *k)
{
	int64_t now = kmn_keeper_boot_ms();
	bool between = true;
	uint64_t index = 0;
	kmn_err e;

	if (k->setup->scrub_ms == 0 || k->scrub.damaged || (!k->scrub.inside && now < k->scrub.next_ms))
		return;
	if (!k->scrub.inside)
		k->scrub.next_ms = now + k->setup->scrub_ms;
	e = kmn_log_scrub(k->log, &between, &index);
	k->scrub.inside = e == KMN_OK && !between;
	if (e != KMN_E_CORRUPT)
		return;
	k->scrub.damaged = true;
	kmn_say(KMN_SAY_ERROR,
	    "the ledger is damaged from record %llu on: calls that need a record are refused; kanmon audit verify says "
	    "where, a copy has the right bytes (docs/operator.md)",
	    (unsigned long long)index);
}
