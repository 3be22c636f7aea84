/* Two tapes of the same trace, side by side. */
#ifndef KANMON_TESTS_CONFORMANCE_COMPARE_H
#define KANMON_TESTS_CONFORMANCE_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One row of the allow-list: globs, and why. */
struct allowed {
	char *text[5]; /* module, function, item, direct, remote */
	char *reason;
	unsigned line;
	unsigned long matched;
};

struct allow_list {
	struct allowed *rows;
	size_t count;
};

/* Reads the file; ends the program if it cannot. */
void allow_list_read(struct allow_list *list, const char *path);
bool allow_list_has(struct allow_list *list, const char *module, const char *function, const char *item,
    const char *direct, const char *remote);

enum verdict {
	VERDICT_SAME,
	VERDICT_DIFFERENT,
	VERDICT_UNSTEADY, /* the module itself does not do the same twice */
};

struct comparison {
	unsigned line;       /* of the trace, where they differ */
	char function[64];   /* which call that is */
	unsigned long calls; /* that were compared */
	unsigned long ok;    /* of those: CKR_OK */
	unsigned long masked;
	bool lost;  /* the gateway gave up the instance, as the allow-list lets it */
	char *text; /* what differs, malloc()ed; NULL if nothing does */
};

/*
 * Compares the remote tape with two direct ones. What differs between the two
 * direct ones is random, and only its presence counts.
 */
enum verdict compare_tapes(const char *direct, const char *again, const char *remote, const char *module,
    struct allow_list *allowed, struct comparison *out);

#endif
