/* Traces from the tables, along the axes of section 9 of the design; README.md names them. */
#ifndef KANMON_TESTS_CONFORMANCE_GENERATE_H
#define KANMON_TESTS_CONFORMANCE_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is known of the module before anything is generated. */
struct subject {
	bool loose;              /* some things are left out that only end its process, or mean two things */
	uint64_t mechanism[512]; /* those it lists */
	uint64_t flags[512];     /* CK_MECHANISM_INFO.flags of each */
	size_t mechanisms;
	unsigned version; /* of its function list */
};

/* Traces that begin without a session come first in a run, in batches of their own. */
enum generate_kind { GENERATE_USER, GENERATE_RAW };

/* How many different traces there are of that kind before only random values change. */
size_t generate_count(const struct subject *s, enum generate_kind kind);

/* Trace number `index` of the run with that seed. The same numbers give the same text. */
void generate(const struct subject *s, enum generate_kind kind, uint64_t seed, uint64_t index, char *text, size_t max);

/* The name of the axis that a trace belongs to. */
const char *generate_axis(const struct subject *s, enum generate_kind kind, uint64_t seed, uint64_t index);

#endif
