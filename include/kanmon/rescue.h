/*
 * What lets a ledger go on though a guard holds another head (docs/ledger.md, Authorised recovery): a signed note whose
 * text is
 *
 *	kanmon/recovery/v1
 *	origin ORIGIN
 *	policy VERSION SHA256
 *	ledger SIZE ROOT		the head that the ledger goes on from
 *	guard SIZE ROOT NAME		1 to 8 lines: the heads that are given up
 *	reason TEXT
 *	nonce B64			of 32 bytes
 *
 * signed by the persons of `role recovery`, or, where the policy has none, of `role policy`, of the policy in force at
 * SIZE. Pure: bytes in, answer out.
 */
#ifndef KANMON_RESCUE_H
#define KANMON_RESCUE_H

#include "kanmon/policy.h"
#include "kanmon/roles.h"
#include "kanmon/tree.h"

struct kmn_why;

#define KMN_RESCUE_MAX_BYTES (20u << 10) /* of the signed note: it stands in a record */
#define KMN_RESCUE_REASON_MAX_BYTES 512

struct kmn_rescue {
	struct kmn_head ledger;
	unsigned guards;
	struct {
		char name[KMN_GUARD_NAME_MAX_BYTES + 1];
		struct kmn_head head;
	} guard[KMN_GUARDS_MAX];
};

/* The lines from the first to the last `guard`: what the gateway knows. The caller's to free(). */
kmn_err kmn_rescue_propose(
    const struct kmn_policy *policy, const struct kmn_rescue *rescue, char **text_out) KMN_MUST_CHECK;
/* A proposal with reason and nonce: the text that is signed. KMN_E_MALFORMED: no proposal, or no reason. */
kmn_err kmn_rescue_complete(
    const char *proposal, const char *reason, const uint8_t nonce[32], char **text_out) KMN_MUST_CHECK;

/* Reads the text of a note, whoever signed it. */
kmn_err kmn_rescue_read(
    const char *text, size_t len, struct kmn_rescue *rescue_out, struct kmn_why *why) KMN_MUST_CHECK;
/* The note is about this policy, and its quorum signed it. KMN_E_MALFORMED, KMN_E_SIGNATURE. */
kmn_err kmn_rescue_accept(const struct kmn_policy *policy, const char *note, size_t len, struct kmn_rescue *rescue_out,
    struct kmn_why *why) KMN_MUST_CHECK;

#endif
