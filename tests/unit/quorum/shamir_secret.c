/*
 * Splits and combines with secrets that valgrind takes for undefined: a branch or an index that depends on one is an
 * error to it. With the word `leak` one is made, to show that it would be seen.
 */
#include "kanmon/shamir.h"

#include <stdio.h>
#include <string.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(at, len) ((void)(at), (void)(len))
#define RUNNING_ON_VALGRIND 0
#endif

int
main(int argc, char **argv)
{
	uint8_t secret[32], random[64], y[5 * 32], out[32];
	const uint8_t x[] = {2, 3, 5};
	uint8_t some[3 * 32];

	if (!RUNNING_ON_VALGRIND)
		return 77;
	memset(secret, 0x5a, sizeof(secret));
	memset(random, 0xc3, sizeof(random));
	VALGRIND_MAKE_MEM_UNDEFINED(secret, sizeof(secret));
	VALGRIND_MAKE_MEM_UNDEFINED(random, sizeof(random));
	if (kmn_shamir_split(secret, 32, 3, 5, random, y) != KMN_OK)
		return 1;
	for (unsigned i = 0; i < 3; i++)
		memcpy(some + i * 32, y + (x[i] - 1) * 32, 32);
	if (kmn_shamir_combine(x, some, 3, 32, out) != KMN_OK)
		return 1;
	if (argc > 1 && strcmp(argv[1], "leak") == 0)
		puts(out[0] & 1 ? "odd" : "even");
	return 0;
}
