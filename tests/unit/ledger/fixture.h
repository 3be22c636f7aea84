/* A ledger in a folder of its own, a clock and chance that only the test moves, and a disk that fails when told to. */
#ifndef KANMON_TESTS_LEDGER_FIXTURE_H
#define KANMON_TESTS_LEDGER_FIXTURE_H

#include "kanmon/log.h"

#define FIXTURE_ORIGIN "kanmon.example/gw1/2026"

/* What a store may be told to do wrong. Calls that change something are counted from 1. */
struct faulty {
	struct kmn_store store; /* first: the two are one address */
	struct kmn_store *real;
	bool sync;               /* really sync; tests that only cut files need not */
	_Atomic(unsigned) calls; /* that change something, so far; the committer's thread makes some */
	unsigned fail_at;        /* this one fails, 0: none */
	int fail_errno;
	bool short_writes;       /* every write takes half of what it is given */
	_Atomic(unsigned) after; /* calls after the failed one: must stay 0 */
};

struct fixture {
	char path[64];
	struct faulty disk;
	struct kmn_log_settings settings;
	struct kmn_vkey vkey;
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	uint64_t now, boot, dice;
};

/* Makes the folder; fixture_down() removes it and all that is in it. Both abort the test program if they cannot. */
void fixture_up(struct fixture *f);
void fixture_down(struct fixture *f);
/* Forgets faults and counts. */
void fixture_heal(struct fixture *f);

/* The body of a genesis, with a policy that is none. */
json_t *fixture_genesis(const struct fixture *f);
/* The body of a small valid record (kind CLOCK). */
json_t *fixture_clock(unsigned n);

/* kmn_log_create with fixture_genesis. */
void fixture_create(struct fixture *f);
/* kmn_log_open that must work; counts replayed records if asked. */
struct kmn_log *fixture_open(struct fixture *f, uint64_t *replayed_out, struct kmn_recovery *recovery_out);
/* Appends `count` records and waits for them as one batch. */
void fixture_batch(struct kmn_log *log, unsigned count);

/* Reads and writes whole files under the folder. */
char *fixture_read(const struct fixture *f, const char *name, size_t *len_out);
void fixture_write(const struct fixture *f, const char *name, const void *bytes, size_t len);
void fixture_unlink(const struct fixture *f, const char *name);
bool fixture_exists(const struct fixture *f, const char *name);

#endif
