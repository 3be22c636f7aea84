/*
 * What every folder may assume: size of an array, results that must not be
 * dropped, and the one way to stop on a broken invariant.
 */
#ifndef KANMON_BASE_H
#define KANMON_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KMN_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define KMN_MUST_CHECK __attribute__((warn_unused_result))
#define KMN_PRINTF(at, first) __attribute__((format(printf, at, first)))
#define KMN_HASH_BYTES 32 /* SHA-256, everywhere in the tree and the statements */

/*
 * A broken invariant of a gateway process or a tool: says where, then aborts.
 * Never called in the provider, whose process is not ours to end.
 */
#define KMN_BUG(what) kmn_bug(__FILE__, __LINE__, (what))
_Noreturn void kmn_bug(const char *file, int line, const char *what);

#endif
