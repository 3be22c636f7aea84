/* Reading the words of a trace: README.md has the grammar. */
#ifndef KANMON_TESTS_CONFORMANCE_WORDS_H
#define KANMON_TESTS_CONFORMANCE_WORDS_H

#include "kanmon/calls.h"

/* What a trace calls by name: handles, and bytes that a call gave. */
struct reg {
	char name[40];
	bool is_set, dead;
	CK_ULONG value;
	size_t len;
	uint8_t bytes[4096];
};

#define REGS_MAX 192

struct words {
	const char *at; /* what is still to be read */
	struct reg *regs;
	size_t reg_count;
	CK_SLOT_ID slot[2];
	CK_ULONG last_room; /* what `e` means: the last length that was answered here */
	CK_ULONG (*attribute_length)(CK_ATTRIBUTE_TYPE type);
};

/* The register of that name, made if it is not there. */
struct reg *words_reg(struct words *w, const char *name, size_t n);

bool words_take(struct words *w, const char *literal);        /* steps over it if it comes next */
CK_ULONG words_number(struct words *w);                       /* 12, 0x1f, ~0, CKM_X, CKA_X, slot, a register */
CK_ULONG words_plain(struct words *w);                        /* digits only */
struct reg *words_name(struct words *w);                      /* a register's name */
size_t words_bytes(struct words *w, uint8_t *to, size_t max); /* x: s: r: or a register with bytes */
bool words_begins_bytes(const struct words *w);
/* `e`, `e+1`, `e-1` or a number. */
CK_ULONG words_room(struct words *w, CK_ULONG exact);
/* A pseudo-random byte stream. */
uint8_t words_noise(uint64_t seed, size_t i);

#endif
