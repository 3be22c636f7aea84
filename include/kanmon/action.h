/*
 * What people do at the console, as `action` records (docs/ledger.md, Actions).
 * The keeper asks before it writes one, the auditor asks of what was written:
 * the same rules.
 */
#ifndef KANMON_ACTION_H
#define KANMON_ACTION_H

#include "kanmon/policy.h"
#include "kanmon/signed.h"

struct kmn_quorum;
struct kmn_request;

#define KMN_ACTION_TEXT_LIFE_MS (5 * 60 * 1000)           /* a text to be signed at the console, from its `time` */
#define KMN_ACTION_SESSION_MS (8 * 3600 * 1000)           /* the longest session */
#define KMN_ACTION_INSTRUCTION_LIFE_MS (24 * 3600 * 1000) /* the call that an instruction leads to comes within it */

/*   what             for people */
#define KMN_ACTION_ROWS(ROW) \
	ROW(KMN_ACTION_SIGN_IN, "sign-in", "a session begins; its name is the index of this record") \
	ROW(KMN_ACTION_SIGN_OUT, "sign-out", "a session ends") \
	ROW(KMN_ACTION_LOCKOUT, "lockout", "an address is shut out for a while") \
	ROW(KMN_ACTION_REFUSED, "refused", "sign-ins that failed, counted") \
	ROW(KMN_ACTION_SHOW, "show", "a statement was displayed") \
	ROW(KMN_ACTION_INSTRUCT, "instruct", "an operator wants a call to be made") \
	ROW(KMN_ACTION_WITHDRAW, "withdraw", "an operator takes a request of that client back")

#define KMN_ACTION_ENUM(symbol, what, words) symbol,
enum kmn_action { KMN_ACTION_ROWS(KMN_ACTION_ENUM) KMN_ACTION_COUNT };
#undef KMN_ACTION_ENUM

/* `what` of the record; KMN_ACTION_COUNT: no such. */
const char *kmn_action_word(enum kmn_action action);
enum kmn_action kmn_action_of(const char *what);

/* Who signed a text at the console: one person, by one key. Borrowed from the policy. */
struct kmn_action_signer {
	const char *name, *person;
	uint8_t spki_sha256[KMN_HASH_BYTES];
	const char *place; /* `webauthn` place that it was signed at; NULL: a card or a key file */
};

/*
 * Judges a note with a text of that kind (KMN_SIGNED_SIGN_IN or KMN_SIGNED_INSTRUCTION) under the policy in force, at
 * the time `t` of its record: the lines, its age, the signer. Whether its nonce was used is kmn_quorum_check_action()'s.
 * Errors: KMN_E_MALFORMED, KMN_E_SIGNATURE, KMN_E_DENIED, KMN_E_REPLAYED, with *why.
 */
kmn_err kmn_action_judge_note(const struct kmn_policy *policy, enum kmn_signed_kind kind, const char *note, size_t len,
    uint64_t t, struct kmn_action_signer *signer_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Would this text of an instruction stand, signed by that person under the policy? KMN_E_DENIED: *why says why not. */
kmn_err kmn_action_check_text(
    const struct kmn_policy *policy, const char *text, const char *name, struct kmn_why *why) KMN_MUST_CHECK;

/* May an `action` record with this body be written, with this index and time? Changes nothing. */
kmn_err kmn_quorum_check_action(
    const struct kmn_quorum *quorum, const json_t *body, uint64_t i, uint64_t t, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * Does this body of an intent, to be written at `t`, name an instruction ("action N" as the id of its application)?
 * Then that must stand, be of this client, and want just this: else KMN_E_DENIED with *why. KMN_OK where it names none.
 */
kmn_err kmn_quorum_check_instructed(
    const struct kmn_quorum *quorum, const json_t *intent, uint64_t t, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * The same of records that stand, with the moment between a judgement and the time of its record: did the person that
 * the body of an `instruct` action names sign it, under that policy; does an intent want just what an instruction says.
 */
kmn_err kmn_action_judge_instruct(
    const struct kmn_policy *policy, const json_t *body, uint64_t t, struct kmn_why *why) KMN_MUST_CHECK;
kmn_err kmn_quorum_judge_instructed(
    const struct kmn_quorum *quorum, const json_t *intent, uint64_t t, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * The same of `application` of a decision `allow` at `t`: the call that runs was made for another instruction than the
 * request. KMN_OK where there is none.
 */
kmn_err kmn_quorum_check_met(const struct kmn_quorum *quorum, const struct kmn_request *request, const json_t *decision,
    uint64_t t, struct kmn_why *why) KMN_MUST_CHECK;

#endif
