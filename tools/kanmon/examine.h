/*
 * A request, examined on the custodian's own machine: everything in the
 * gateway's answer that can be derived again is derived and compared; what
 * cannot be is said. Nothing here is signed.
 */
#ifndef KANMON_TOOLS_EXAMINE_H
#define KANMON_TOOLS_EXAMINE_H

#include <jansson.h>

#include "kanmon/policy.h"
#include "kanmon/record.h"
#include "kanmon/tree.h"
#include "tools/kanmon/words.h"

#define KMN_REMARKS_MAX 16

/* What a custodian's machine remembers of a gateway from one approval to the next. */
struct kmn_seen {
	struct kmn_head head; /* size 0: nothing yet */
	uint64_t policy_version;
	uint8_t policy_sha256[KMN_HASH_BYTES];
};

/* What was found out, or not: a text of words.h and what stands for its `$`. */
struct kmn_remark {
	enum kmn_word word;
	char value[24];
};

struct kmn_examined {
	enum kmn_language language; /* of what is said */
	const char *statement;      /* what the gateway offered; equal to what was derived here */
	struct kmn_head head;       /* of the statement */
	struct kmn_policy *policy;
	struct kmn_record intent;
	json_t *body;                 /* of the intent, with what was attached to it (kanmon/attach.h) */
	struct kmn_material material; /* what will be signed, as far as the gateway keeps it; owned */
	struct kmn_remark verified[KMN_REMARKS_MAX], open[KMN_REMARKS_MAX];
	size_t verified_count, open_count;
};

/*
 * Examines the answer to REQUEST_SHOW for request `id` of the gateway `origin`.
 * `seen` is what was remembered; it is not changed.
 * Any contradiction is KMN_E_SIGNATURE or KMN_E_MALFORMED, said on stderr: then
 * nothing must be signed. `answer` must outlive *out; kmn_examined_clear always.
 */
kmn_err kmn_examine(const json_t *answer, uint64_t id, const char *origin, const struct kmn_seen *seen,
    enum kmn_language language, struct kmn_examined *out) KMN_MUST_CHECK;
/* Says on stderr that nothing must be signed, and why: `value` for the `$` of `what`, or NULL. KMN_E_SIGNATURE. */
kmn_err kmn_contradiction(enum kmn_language language, enum kmn_word what, const char *value);
void kmn_examined_clear(struct kmn_examined *examined);

/* The memory of one custodian: DIR/NAME.seen, JSON by origin. No file is no memory. */
kmn_err kmn_seen_load(const char *as, const char *origin, struct kmn_seen *out) KMN_MUST_CHECK;
kmn_err kmn_seen_store(const char *as, const char *origin, const struct kmn_seen *seen) KMN_MUST_CHECK;

#endif
