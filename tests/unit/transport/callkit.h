/*
 * Random calls for tests: arguments of every row as an application could give
 * them, and a module that answers any of them. Everything an application owns
 * lies in one block, so that "the same call made directly and made remotely
 * leave the same memory" is one memcmp().
 */
#ifndef KANMON_TESTS_CALLKIT_H
#define KANMON_TESTS_CALLKIT_H

#include "server/hsm/invoke.h"

#define KIT_BLOCK_BYTES (1u << 17)
#define KIT_UNTOUCHED 0xc5 /* what memory is that nobody wrote to */

struct kit {
	uint64_t seed;
	CK_RV rv;                  /* what the module answers */
	uint64_t inputs;           /* hash of all that the module got */
	unsigned calls;            /* how often it was called */
	enum kmn_call_id id;       /* with which function */
	CK_MECHANISM_TYPE message; /* mechanism that the parameters of messages belong to */
	bool wraps;                /* mechanisms are made for the authenticated wrapping of 3.2 */
	size_t used;
	_Alignas(16) uint8_t block[KIT_BLOCK_BYTES];
};

/* Begins anew: the same seed makes the same call in the same memory. */
void kit_begin(struct kit *k, uint64_t seed);
uint32_t kit_random(struct kit *k, uint32_t below);
void *kit_take(struct kit *k, size_t bytes);
void kit_args(struct kit *k, const struct kmn_call *call, struct kmn_arg *arg);
/* A mechanism of that type with a parameter as its row says. */
void kit_mechanism(struct kit *k, const struct kmn_mechanism *row, CK_MECHANISM *m);

/* The module. It answers for the kit set here, with its rv. */
extern struct kit *kit_module_kit;
extern CK_FUNCTION_LIST_3_2 kit_module;
/* What every function of the module does. */
CK_RV kit_answer(enum kmn_call_id id, struct kmn_arg *arg, size_t n);

/* Handles that are the same on both sides. */
extern const struct kmn_handles kit_handles;

#endif
