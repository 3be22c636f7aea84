/* Text that is written with the help of chance, the same for the same seed. */
#ifndef KANMON_TESTS_CONFORMANCE_TEXT_H
#define KANMON_TESTS_CONFORMANCE_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
	char *at;
	size_t left;
	uint64_t state;
};

void text_begin(struct text *t, char *to, size_t max, uint64_t seed);
/* Another text of the same chance; text_back() goes on with the outer one. */
void text_inside(struct text *inner, const struct text *outer, char *to, size_t max);
void text_back(struct text *outer, const struct text *inner);
__attribute__((format(printf, 2, 3))) void put(struct text *t, const char *format, ...);
/* A number below `below`. */
uint32_t chance(struct text *t, uint32_t below);

#endif
