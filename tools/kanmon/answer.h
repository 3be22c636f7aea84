/* A custodian's answer to a request: examined, shown whole, asked for, signed. Online or from a file, the same way. */
#ifndef KANMON_TOOLS_ANSWER_H
#define KANMON_TOOLS_ANSWER_H

#include "kanmon/statement.h"
#include "tools/kanmon/examine.h"
#include "tools/kanmon/signer.h"

struct kmn_answering {
	enum kmn_decision decision;
	struct kmn_signer_place place; /* place.as NULL: nothing is remembered from one answer to the next */
	const char *reason;            /* "" for an approval */
	const char *issuer;            /* file of the issuer's certificate, for warnings; NULL: not known */
	bool yes, json, offline;
	enum kmn_language language;
	/* Called once it is signed, before the note is given out; NULL: there is nothing more to do. */
	kmn_err (*also)(void *cookie, const struct kmn_examined *examined, const struct kmn_signer *signer);
	void *cookie;
};

/* "approval", "rejection", "veto". */
const char *kmn_answer_noun(enum kmn_decision decision);

/*
 * Examines what the gateway said of request `id` (`shown`, as REQUEST_SHOW answers), shows it, asks, signs. What was
 * signed is remembered before the note is given out. *note_out: free(). Every failure is said on stderr.
 */
kmn_err kmn_answer_sign(const struct kmn_answering *answering, const json_t *shown, uint64_t id, const char *origin,
    char **note_out) KMN_MUST_CHECK;

/* Prints what the gateway made of a note; KMN_EXIT_FAILED where it does not count. */
int kmn_answer_report(uint64_t id, enum kmn_decision decision, const json_t *answer, bool json);

#endif
