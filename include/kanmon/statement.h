/*
 * The statement: what custodians read and sign (docs/statements.md).
 *
 * A function of the recorded intent, the policy, the rule and a tree head,
 * and of nothing else, so that anybody can make it again and compare.
 */
#ifndef KANMON_STATEMENT_H
#define KANMON_STATEMENT_H

#include "kanmon/policy.h"

struct kmn_record;
struct kmn_head;

#define KMN_STATEMENT_MAX_BYTES (20u << 10) /* fits, with signatures and escapes, in a record line */
#define KMN_STATEMENT_REASON_MAX_BYTES 1024
#define KMN_DISPLAY_CODE_BYTES 30 /* six groups of four with '-', and NUL */

enum kmn_decision { KMN_APPROVE, KMN_REJECT, KMN_VETO };

/*
 * Write the statement of an intent under the rule that holds it (`verdict` of kmn_policy_judge_intent).
 * `material`: what is to be signed, for the decoded `input` lines; NULL when it is not known. Where something was
 * attached, the intent's body is that of kmn_intent_attach().
 * Errors: KMN_E_MALFORMED (not an intent), KMN_E_TOO_BIG, KMN_E_NO_MEMORY. *text_out: free().
 */
kmn_err kmn_statement_make(const struct kmn_record *intent, const struct kmn_policy *policy,
    const struct kmn_verdict *verdict, const struct kmn_head *head, const struct kmn_material *material,
    char **text_out) KMN_MUST_CHECK;

/*
 * The text to sign for a rejection or a veto: the statement with `decision reject|veto` and a `reason` line before
 * `nonce`. With KMN_APPROVE a copy. Errors: KMN_E_MALFORMED (no statement, or a reason that a line cannot hold).
 */
kmn_err kmn_statement_turn(
    const char *statement, enum kmn_decision decision, const char *reason, char **text_out) KMN_MUST_CHECK;

struct kmn_statement_said {
	enum kmn_decision decision;
	char reason[KMN_STATEMENT_REASON_MAX_BYTES + 1]; /* "" for an approval */
	uint64_t request;                                /* index of the intent */
	uint8_t request_leaf[32];
};

/* What a received text says. It is only trusted once it equals kmn_statement_turn() of our own. */
kmn_err kmn_statement_read(const char *text, size_t len, struct kmn_statement_said *said_out) KMN_MUST_CHECK;

/* The value of the first line with this key ("not-after"), up to LF; NULL: no such line. */
const char *kmn_statement_value(const char *text, const char *key, size_t *len_out);

/* A name to find the same request on two devices; proves nothing (ledger.md 4.3). */
void kmn_statement_code(const char *text, size_t len, char code_out[KMN_DISPLAY_CODE_BYTES]);

/* "2026-11-23T00:00:00Z" of ms since the epoch, rounded down to the second; and back. */
#define KMN_TIME_TEXT_BYTES 24
void kmn_time_text(int64_t ms, char text_out[KMN_TIME_TEXT_BYTES]);
kmn_err kmn_time_parse(const char *text, size_t len, int64_t *ms_out) KMN_MUST_CHECK;

#endif
