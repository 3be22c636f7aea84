/* A store of one segment, for the targets that read segments. */
#ifndef KANMON_TESTS_FUZZ_ONE_FILE_H
#define KANMON_TESTS_FUZZ_ONE_FILE_H

#include "kanmon/store.h"

struct one_file {
	struct kmn_store store; /* first: the two are one address */
	const uint8_t *bytes;
	size_t len;
};

/* The bytes stay the caller's. */
struct one_file one_file(const uint8_t *bytes, size_t len);

#endif
