/*
 * A disk that can lose power, between a real keeper and its files. Every call goes through to real files; what was not
 * synced yet is written down beside them, in memory that the test shares, so that the test can take it back when the
 * power is "cut". One call can be made to fail, to write only a part, or to be the last one.
 *
 * The keeper's process: kmn_store_files_at() is wrapped by the linker (--wrap), so that the keeper's own code opens this
 * disk and knows nothing of it.
 */
#ifndef KANMON_TESTS_KEEPER_POWER_H
#define KANMON_TESTS_KEEPER_POWER_H

#include <stdint.h>

#include "kanmon/base.h"

enum power_fault {
	POWER_NONE,
	POWER_CUT,   /* the process dies in the call, which is done in part */
	POWER_SHORT, /* the next write takes only a part and says so */
	POWER_EIO,   /* the call fails, and nothing is done */
	POWER_FULL,  /* writes and what takes space fail with ENOSPC, from here on */
	POWER_FSYNC, /* the next sync fails; the kernel keeps the bytes as clean, and the disk never gets them */
	POWER_FAULTS
};

struct power;

/* Memory shared with the processes that are forked later. */
struct power *power_new(void);
void power_free(struct power *power);

/* From the `after`-th call on (1: the next one), which is counted over reading calls too. */
void power_arm(struct power *power, enum power_fault fault, uint32_t after, uint32_t seed);
void power_disarm(struct power *power);
/* Whether it happened. */
bool power_struck(const struct power *power);

/*
 * The power is gone: of what was not synced in `folder` some sectors are lost, some are zeros, and names may be the old
 * ones. Only when no process uses the disk.
 */
void power_cut(struct power *power, const char *folder, uint32_t seed);

/* In the keeper's process: the disk that its store stands on from here on. */
void power_use(struct power *power);

#endif
