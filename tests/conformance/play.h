/*
 * A trace is text, one call a line (README.md says its words). A player makes
 * the calls of a trace in one PKCS#11 module and writes down what a caller
 * could see of each: the return value and every byte that changed in memory
 * that lies, in every player's process, at the same addresses.
 */
#ifndef KANMON_TESTS_CONFORMANCE_PLAY_H
#define KANMON_TESTS_CONFORMANCE_PLAY_H

#include "kanmon/calls.h"

#define PLAY_CASE_BYTES (1u << 16)
#define PLAY_TAPE_BYTES (1u << 20)

/* Shared between the driver and its players; a player that dies leaves its tape as it was. */
struct tape {
	size_t len;
	unsigned line; /* the line that is being played */
	char text[PLAY_TAPE_BYTES];
};

/* What a player is to load, and what it is told of the token. */
struct stage {
	const char *module;
	const char *init_args; /* pReserved of C_Initialize, or NULL */
	const char *label;     /* of the token that `slot` means */
	const char *prologue;  /* trace that is played once, before the first case; "" for none */
};

/*
 * The process of a player: loads the module, initialises it, plays the
 * prologue, then one case from `text` for each byte 'c' that comes on fd,
 * answering a byte to each and one at the start. Ends at end of file.
 * Never returns.
 */
_Noreturn void play_process(const struct stage *stage, const char *text, struct tape *tape, int fd);

#endif
