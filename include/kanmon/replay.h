/*
 * The replay guard of one instance: a sliding window over request numbers, as
 * in RFC 6479. Numbers start at 1 and are dense, but several connections
 * deliver them out of order. Pure: no clock, no allocation, no lock.
 *
 *        1 .. highest - width | ........ window ........ highest | .. highest + width | ..
 *              BEHIND                 SEEN or NEW                        NEW             TOO_FAR
 *
 * Invariants: a number is NEW at most once over the guard's life, provided each
 * NEW one is committed; judging changes nothing.
 */
#ifndef KANMON_REPLAY_H
#define KANMON_REPLAY_H

#include "kanmon/frame.h"

enum kmn_replay_verdict {
	KMN_REPLAY_NEW,    /* never committed: run it, commit first */
	KMN_REPLAY_SEEN,   /* committed and inside the window: look up the kept outcome */
	KMN_REPLAY_BEHIND, /* left of the window, or 0: refuse */
	KMN_REPLAY_TOO_FAR /* more than the window's width ahead: refuse */
};

struct kmn_replay {
	uint64_t highest;                        /* highest number committed, 0 at first */
	uint32_t width;                          /* set once */
	uint64_t seen[KMN_WINDOW_NUMBERS / 64u]; /* bit (number mod width), valid inside the window */
};

/* An empty guard. `width` is KMN_WINDOW_NUMBERS; tests take 1 .. KMN_WINDOW_NUMBERS. */
void kmn_replay_init(struct kmn_replay *guard, uint32_t width);

/* What this number is now. */
enum kmn_replay_verdict kmn_replay_judge(const struct kmn_replay *guard, uint64_t number);

/* Notes a number that was just judged NEW; any other is KMN_E_REPLAY and changes nothing. */
kmn_err kmn_replay_commit(struct kmn_replay *guard, uint64_t number) KMN_MUST_CHECK;

#endif
