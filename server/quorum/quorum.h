/* How the quorum's state looks inside: quorum.c answers questions about it, apply*.c change it. */
#ifndef KANMON_SERVER_QUORUM_QUORUM_H
#define KANMON_SERVER_QUORUM_QUORUM_H

#include "kanmon/action.h"
#include "kanmon/quorum.h"
#include "kanmon/record.h"
#include "server/quorum/policy.h"

/*
 * A note or an allowed call is judged a moment before its record gets its time. What was right then stays right if
 * the record is not later than this.
 */
#define QUORUM_GRACE_MS 2000
#define QUORUM_OP_GRACE_MS 60000 /* of class B, whose only record comes after the module's answer */
#define QUORUM_MARKS_MAX 64      /* tokens whose anomalies are remembered */
#define QUORUM_HELD_KEPT 1024    /* requests that ended and can still be shown */
#define QUORUM_FREE_KEPT 64      /* the same of those that no rule held */

/* What V7 needs of an intent. */
struct quorum_signing {
	struct kmn_norm norm;
	struct kmn_pss pss;
	uint8_t spki_sha256[KMN_HASH_BYTES];
	bool asked, malformed; /* the intent has a normal form; one that cannot be read */
	bool has_pss, has_key;
};

struct request {
	struct kmn_request seen;
	const struct kmn_policy *policy; /* in force at the intent */
	json_t *intent;                  /* a reference of our own; NULL: a plain one, with nothing else to know */
	struct quorum_signing signing;
	char *statement;
	struct kmn_vote *votes;
	size_t vote_size;
	uint8_t decision_leaf[KMN_HASH_BYTES];
	uint64_t answered_i; /* the decision that the last result answered, 0: none */
	uint64_t ended_i;    /* the record that ended it, 0: it has not */
	uint64_t opened_i;   /* of a window, the decision that opened it, 0: none */
	uint64_t last_use_i; /* of a window, the decision that used it last, 0: none */
	uint64_t instruct_i; /* the action that it was made for, 0: none */
	uint64_t met_i;      /* the later one that the call which ran was made for, 0: none */
};

struct kmn_quorum {
	struct kmn_quorum_settings settings;
	struct kmn_policy **policies; /* all versions, the last in force; kept because requests point into them */
	uint64_t *policy_i;           /* the record of each */
	size_t policy_count;
	struct request **requests; /* by index, ascending */
	size_t count, size;
	size_t ended_held, ended_free; /* of count */
	struct kmn_quorum_counts counts;
	uint64_t resumed;             /* records below it are a choice (kmn_quorum_resume) */
	bool choosing;                /* one of these is being applied: what it was judged by is not all here */
	uint64_t last[KMN_R_UNKNOWN]; /* of each type: 1 more than the index of the last record, 0: none */
	struct {
		struct kmn_policy *policy; /* that the recovery role brought; NULL: none waits */
		char *note;
		struct kmn_ref ref;
		int64_t t, m; /* of its record */
	} waiting;            /* rotation.c */
	struct {
		struct quorum_mark {
			char token[KMN_POLICY_NAME_MAX_BYTES + 1]; /* "": all */
			struct kmn_ref ref;
			int64_t t;
			uint64_t up_to; /* of a reopening: the anomaly that it names */
			char what[64];
		} anomaly[QUORUM_MARKS_MAX], reopened[QUORUM_MARKS_MAX];
		size_t anomalies, reopenings;
		bool any; /* of a token of the policy in force */
	} stance;         /* stance.c */
	struct {
		uint64_t i; /* of the first gateway.start of this boot; 0: none */
		int64_t m;
		char id[64];
	} boot; /* rotation.c */
	struct {
		uint64_t t;        /* of the last record */
		uint64_t policy_t;                /* of the record that brought the policy in force */
		uint64_t last_t[KMN_LIMIT_COUNT]; /* of the last record that answers a limit, 0: none */
		uint64_t behind_t; /* the clock went back when the ledger was here; 0: it did not, or never */
	} fresh;                   /* fresh.c */
	struct quorum_witness {
		uint8_t pub[KMN_ED25519_PUBLIC_BYTES];
		uint64_t i, t; /* of the record whose cosignature counted last */
	} witness[POLICY_WITNESSES_MAX];
	size_t witnesses;           /* witness.c */
	struct {
		struct quorum_counter {
			uint8_t spki_sha256[KMN_HASH_BYTES];
			uint32_t last;
		} * of;
		size_t count;
	} counters;                 /* counters.c */
	struct quorum_plain *plain; /* plain.c; NULL: nothing was remembered */
	struct quorum_actions {
		struct quorum_sign_in {
			uint64_t i, t; /* of its record */
			char name[KMN_POLICY_NAME_MAX_BYTES + 1];
		} * session; /* of the console, that stand */
		struct quorum_nonce {
			uint64_t i, t;    /* of the record that used it */
			uint64_t ended_i; /* of a sign-in: the record that ended its session, 0: none did */
			uint8_t nonce[KMN_HASH_BYTES];
		} * nonce; /* for as long as a text may be used */
		struct quorum_instruction {
			uint64_t i, t;
			char *text;
		} * instruction; /* that no call came of yet */
		size_t sessions, nonces, instructions;
	} actions; /* action.c */
};

void quorum_request_free(struct request *r);
struct request *quorum_request(const struct kmn_quorum *q, uint64_t i);
bool quorum_has_ended(const struct request *r);
bool quorum_is_vetoed(const struct kmn_quorum *q, const struct request *r);
/* kmn_quorum_is_met(), but for what must be fresh. */
bool quorum_votes_meet(const struct kmn_quorum *q, const struct kmn_request *request, int64_t now);
bool quorum_is_current(const struct kmn_quorum *q, const struct request *r);

/* Who signed a note, as far as the policy in force knows them: an entry for each key. */
struct quorum_signers {
	size_t count;
	struct quorum_signer {
		const char *name, *person;
		const char *place; /* `webauthn` place that it was signed at; NULL: a card or a key file */
		bool independent;
		bool has_counter; /* of a security key; then what it says */
		uint8_t spki_sha256[KMN_HASH_BYTES];
		uint32_t counter;
	} who[32];
};
/* signers.c: those of `policy`, perhaps none; KMN_E_SIGNATURE: a line of one of its keys does not verify. */
kmn_err quorum_signers_find(const struct kmn_policy *policy, const struct kmn_note *note, struct quorum_signers *out,
    struct kmn_why *why) KMN_MUST_CHECK;
/* Whether a signed text names the ledger of this policy. */
bool quorum_is_about(const struct kmn_policy *policy, const struct kmn_signed *said);
/* counters.c: of votes that count, in order; what comes of it is in the counts only. */
kmn_err quorum_counters_take(
    struct kmn_quorum *q, const struct quorum_signers *signers, uint64_t i) KMN_MUST_CHECK;
bool quorum_check_note(const struct kmn_quorum *q, const char *note, size_t len, int64_t now,
    struct kmn_note_check *check, struct kmn_statement_said *said, struct quorum_signers *signers);

/* witness.c: takes a record of any kind; KMN_E_CORRUPT: lines of a cosign record that cannot be. */
kmn_err quorum_witness_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;

/* What was found of an intent, as far as those of the same form have it in common. */
struct quorum_judged {
	struct kmn_verdict verdict;
	struct quorum_signing signing; /* but for the digest of the normal form */
	uint8_t client_spki_sha256[KMN_HASH_BYTES];
	uint64_t expires; /* of the one at hand */
};
/*
 * plain.c: whether a record without a tree (record->body NULL) can be applied as it is. True for an intent, a decision
 * or an op: one of the same form was judged under the policy in force, and nothing was wrong; *judged_out is then an
 * intent's. False: its body has to be parsed.
 */
bool quorum_is_plain(struct kmn_quorum *q, const struct kmn_record *record, struct quorum_judged *judged_out);
/* Nothing was wrong with a record that came without a tree and was not plain: the next of its form is. */
void quorum_plain_keep(struct kmn_quorum *q, const struct kmn_record *record, const struct quorum_judged *judged);
void quorum_plain_free(struct quorum_plain *plain);
/* Members of decisions and results, with or without a tree; false (and zero): not there, or of another kind. */
bool quorum_get_ref(const struct kmn_record *record, const char *name, struct kmn_ref *out);
bool quorum_get_number(const struct kmn_record *record, const char *name, uint64_t *out);
bool quorum_says(const struct kmn_record *record, const char *name, const char *text);
const char *quorum_get_out(const struct kmn_record *record, size_t *len_out); /* base64; NULL: none */

/*
 * rotation.c: takes a record of any kind; KMN_E_CORRUPT: a policy that cannot be in force. Which policy a record names
 * that may have decided it: the one in force, or of an `op` whose call began before it the one before; NULL: neither.
 */
void quorum_rotation_free(struct kmn_quorum *q);
kmn_err quorum_rotation_apply(
    struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;
const struct kmn_policy *quorum_named_policy(const struct kmn_quorum *q, const struct kmn_record *record);
kmn_err quorum_veto_check(const struct kmn_quorum *q, const struct kmn_signed *said,
    const struct quorum_signers *signers, struct kmn_why *why) KMN_MUST_CHECK;
void quorum_veto_apply(struct kmn_quorum *q, const struct kmn_record *record, const struct kmn_signed *said);

/* stance.c: takes a record of any kind, with its body; the note of a reopening. */
void quorum_stance_apply(struct kmn_quorum *q, const struct kmn_record *record);
/* A record `anomaly`; KMN_E_CORRUPT: whoever wrote it down must not have. */
kmn_err quorum_anomaly_check(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;
kmn_err quorum_reopen_check(const struct kmn_quorum *q, const struct kmn_signed *said,
    const struct quorum_signers *signers, struct kmn_why *why) KMN_MUST_CHECK;
void quorum_reopen_apply(struct kmn_quorum *q, const struct kmn_record *record, const struct kmn_signed *said);

/* signed.c: takes a record of the kinds of signed.h; KMN_E_CORRUPT: its note does not count. */
kmn_err quorum_signed_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;

/* action.c: takes `action` and `gateway.start`; KMN_E_CORRUPT: an action that must not be there. */
kmn_err quorum_action_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;
void quorum_actions_free(struct kmn_quorum *q);
/* instruct.c: the body of an intent that was applied; what it was made for is done with. */
kmn_err quorum_instruct_apply(struct kmn_quorum *q, struct request *r, const json_t *intent, uint64_t t,
    struct kmn_why *why) KMN_MUST_CHECK;
/* The body of a decision `allow`: another instruction that it names is done with. */
kmn_err quorum_instruct_met(struct kmn_quorum *q, struct request *r, const json_t *decision, uint64_t t,
    struct kmn_why *why) KMN_MUST_CHECK;
/* Keeps the note's text of an instruct action. */
kmn_err quorum_instruct_keep(
    struct kmn_quorum *q, uint64_t i, uint64_t t, const char *text, size_t len, struct kmn_why *why) KMN_MUST_CHECK;
/* NULL, or what is wrong with the text under this policy. */
const char *quorum_instruct_wrong(
    const struct kmn_policy *policy, const struct kmn_signed *said, const char *signer_name);
/* Forgets those that are too old at `t`. */
void quorum_instruct_prune(struct kmn_quorum *q, uint64_t t);

/* fresh.c: takes a record of any kind. */
void quorum_fresh_apply(struct kmn_quorum *q, const struct kmn_record *record);

/* attach.c: takes the record `attachment` of a request that waits for it; KMN_E_CORRUPT: it must not be there. */
kmn_err quorum_attach_apply(
    struct kmn_quorum *q, struct request *r, const struct kmn_record *record, struct kmn_why *why) KMN_MUST_CHECK;

/* What is kept of what an intent wants signed; always to be cleared. KMN_E_CORRUPT: a blob is not what its name says. */
struct quorum_material {
	struct kmn_material seen;
	uint8_t *data, *econtent;
};
kmn_err quorum_material(const struct kmn_quorum *q, const json_t *intent, struct quorum_material *out) KMN_MUST_CHECK;
void quorum_material_clear(struct quorum_material *m);

/* The data of an intent, if it is kept: *data_out (free()) is NULL where it is not. */
kmn_err quorum_data(const struct kmn_quorum *q, const json_t *intent, uint8_t **data_out, size_t *len_out);

#endif
