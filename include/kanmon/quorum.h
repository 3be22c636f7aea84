/*
 * The quorum: what the ledger's records, applied in order, say about each
 * request. The keeper applies what it appends, the auditor what it reads;
 * both run this code, so they cannot judge differently.
 *
 *   (waits for its content: open; attachment judges it anew)
 *   intent ──────────▶ open ──statement──▶ offered ──approvals──▶ (met) ──decision allow──▶ running
 *   (not held: open)    │                    │                                              │ result
 *                       └─ decision deny, rejected, vetoed, expired, withdrawn ──▶ ended ◀──┘ done, failed
 *                                                          CKR_BUFFER_TOO_SMALL: back to offered (open)
 *
 * Invariants
 *  Q1 a decision `allow` stands on the policy in force, and, where a rule needs groups, on votes that are earlier
 *     in the ledger, valid, of distinct persons and keys, none of them the requester's.
 *  Q2 a vote is a signature over exactly the statement that is recorded, and that is the one made again here.
 *  Q3 a decision is used by one result; uses never exceed what was approved.
 *  Q4 rejected, vetoed, expired and withdrawn requests stay so.
 */
#ifndef KANMON_QUORUM_H
#define KANMON_QUORUM_H

#include "kanmon/operation.h"
#include "kanmon/policy.h"
#include "kanmon/signed.h"
#include "kanmon/statement.h"

struct kmn_record;
struct kmn_head;
struct kmn_quorum;

struct kmn_ref;

/*
 * Bytes of a blob by SHA-256 (free()d by the caller), KMN_E_NOT_FOUND when it is not kept. Blobs are: data to be
 * signed that was stored (its in.sha256), what CMS attributes are over (econtent.sha256), and the DER SubjectPublicKeyInfo of each key (its spki_sha256).
 */
typedef kmn_err (*kmn_blob_fn)(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out);

/* Is this the root of the ledger's first `size` records? NULL in the settings: not asked. */
typedef bool (*kmn_head_fn)(void *cookie, const struct kmn_head *head);

/*
 * A signature that a result brought, with all that it must verify by (V7). What comes of it changes no state, so it
 * may be verified elsewhere and later. Each part is the struct's own.
 */
struct kmn_signature {
	uint64_t request; /* index of its intent */
	struct kmn_norm norm;
	struct kmn_pss pss;
	bool has_pss;
	uint8_t *spki, *data, *bytes; /* data: NULL where it is not kept */
	size_t spki_len, data_len, len;
	uint8_t spki_sha256[32];
};
#define KMN_SIGNATURE_FINDING "it is no signature of the key over what record %llu says"
void kmn_signature_free(struct kmn_signature *signature);
/* Takes a signature over. NULL in the settings: it is verified where it is met. */
typedef void (*kmn_signature_fn)(void *cookie, const struct kmn_record *record, struct kmn_signature *signature);

struct kmn_quorum_settings {
	kmn_blob_fn blob; /* may be NULL: no blob is kept */
	kmn_head_fn head; /* may be NULL: the keeper made the head itself */
	void *cookie;
	kmn_signature_fn signature; /* may be NULL; signatures given to it are in no count */
};

/* A record that says what must not be. In the keeper a broken invariant, for the auditor exit 1. */
struct kmn_finding {
	char check[8]; /* "V5".."V8" of docs/ledger.md 8 */
	uint64_t i;    /* the record at fault */
	char text[320];
};

/* Of an empty ledger. `settings` are copied, what they point to outlives it. kmn_quorum_free(NULL) is fine. */
kmn_err kmn_quorum_new(const struct kmn_quorum_settings *settings, struct kmn_quorum **quorum_out) KMN_MUST_CHECK;
void kmn_quorum_free(struct kmn_quorum *quorum);

/*
 * Take the next record, of any type, in order. Types without meaning here are passed over.
 * KMN_E_CORRUPT: a finding, *finding_out filled; the state has taken what could be taken and goes on.
 */
kmn_err kmn_quorum_apply(
    struct kmn_quorum *quorum, const struct kmn_record *record, struct kmn_finding *finding_out) KMN_MUST_CHECK;

/*
 * The records that, applied in order to a new quorum, make one that answers every question as this one does
 * (kmn_quorum_counts aside: those count what was applied). Ascending; free().
 */
kmn_err kmn_quorum_records(const struct kmn_quorum *quorum, uint64_t **index_out, size_t *count_out) KMN_MUST_CHECK;
/* Said to a new quorum first: records below `size` are such a choice. What they say of requests that are not among
 * them is passed over, and no finding. */
void kmn_quorum_resume(struct kmn_quorum *quorum, uint64_t size);

/* The ledger was closed: nothing comes after it but its successor. */
bool kmn_quorum_is_closed(const struct kmn_quorum *quorum);

/* The policy in force; NULL before genesis. Borrowed until the next `policy` record. */
const struct kmn_policy *kmn_quorum_policy(const struct kmn_quorum *quorum);
/* The record that brought a version which was or is in force (`genesis` or `policy`). False: there is none. */
bool kmn_quorum_policy_record(const struct kmn_quorum *quorum, uint64_t version, uint64_t *i_out) KMN_MUST_CHECK;

/*
 * May a `policy` record with this signed note be written now: is it the next version, of this origin, signed by the
 * quorums of both versions, and in force at `now`? Errors as kmn_policy_accept().
 */
kmn_err kmn_quorum_check_policy(const struct kmn_quorum *quorum, const char *note, size_t len, int64_t now,
    struct kmn_policy_error *error_out) KMN_MUST_CHECK;

/* The same of a `policy.proposal` that the recovery role signed; *effective_at_out: when its delay will be over. */
kmn_err kmn_quorum_check_proposal(const struct kmn_quorum *quorum, const char *note, size_t len, int64_t now,
    int64_t *effective_at_out, struct kmn_policy_error *error_out) KMN_MUST_CHECK;
/* A policy of the recovery role that waits. Borrowed until the next kmn_quorum_apply. */
struct kmn_waiting_policy {
	uint64_t version;
	const uint8_t *sha256; /* of its text */
	const char *note;
	struct kmn_ref ref; /* its `policy.proposal` */
	int64_t left_ms;    /* of its delay; 0: it may take effect */
};
/* `now` and `boot`: the wall clock and CLOCK_BOOTTIME, in ms. False: none waits. */
bool kmn_quorum_waiting(
    const struct kmn_quorum *quorum, int64_t now, int64_t boot, struct kmn_waiting_policy *waiting_out);

/* What stands against a token, and what becomes of it (docs/policy.md, Stances). */
struct kmn_anomaly {
	struct kmn_ref ref; /* the record */
	int64_t t;
	char reason[KMN_POLICY_REASON_BYTES];
};
/* Of a token line's name. KMN_STANCE_NONE: nothing, or the policy has no stance for it. */
enum kmn_stance kmn_quorum_stance(const struct kmn_quorum *quorum, const char *token, struct kmn_anomaly *anomaly_out);
/*
 * Must a call be refused for what stands against its token since `since` (ms) at the latest? `body`: of its intent or
 * op; durability 'A' or 'B'; `windowed`: by an approval for a window.
 */
bool kmn_quorum_token_stops(const struct kmn_quorum *quorum, const json_t *body, char durability, bool windowed,
    int64_t since, struct kmn_anomaly *anomaly_out) KMN_MUST_CHECK;

/*
 * A note of one of the kinds of signed.h, judged before it is recorded as {"note"} of the type of its kind; changes
 * nothing. KMN_E_NOT_FOUND with `why` empty: it is of none of them. `names`: persons who signed it.
 */
#define KMN_SIGNED_PERSONS_MAX 32
struct kmn_signed_check {
	enum kmn_signed_kind kind;
	size_t persons;
	const char *names[KMN_SIGNED_PERSONS_MAX]; /* borrowed from the policy */
};
kmn_err kmn_quorum_check_signed(const struct kmn_quorum *quorum, const char *note, size_t len,
    struct kmn_signed_check *check_out, struct kmn_why *why) KMN_MUST_CHECK;

enum kmn_request_state {
	KMN_REQUEST_OPEN,    /* intent recorded; where it is held, its statement comes next */
	KMN_REQUEST_OFFERED, /* custodians may vote; met or not: kmn_quorum_is_met */
	KMN_REQUEST_WINDOW,  /* decision open: calls use it, until its time or its uses end */
	KMN_REQUEST_RUNNING, /* decision allow, no result yet */
	KMN_REQUEST_DONE,    /* result CKR_OK */
	KMN_REQUEST_FAILED,  /* result with another return value */
	KMN_REQUEST_DENIED,  /* decision deny */
	KMN_REQUEST_REJECTED,
	KMN_REQUEST_VETOED,
	KMN_REQUEST_EXPIRED,
	KMN_REQUEST_WITHDRAWN,
	KMN_REQUEST_UNDECIDED, /* allowed, and a crash took the result */
	KMN_REQUEST_UNSTARTED, /* a crash came before the decision */
	KMN_REQUEST_SPENT,     /* a window whose uses are used up */
};

/* "offered", "running".. for people and JSON. */
const char *kmn_request_state_name(enum kmn_request_state state);

/* One signature that counts. */
struct kmn_vote {
	enum kmn_decision decision;
	const char *name;   /* of the person, in the policy */
	const char *person; /* person:ID */
	uint64_t i;         /* record */
	uint8_t leaf[32];
	int64_t t;
	bool independent;   /* of a tool that made the statement again by itself */
	const char *reason; /* "" for an approval */
};

/* What is known of a request. Borrowed until the next kmn_quorum_apply. */
struct kmn_request {
	uint64_t i; /* index and leaf hash of the intent */
	uint8_t leaf[32];
	int64_t t;
	enum kmn_request_state state;
	bool held;             /* by a quorum rule */
	bool awaits;           /* its content: held until an attachment brings it; only then there is a verdict */
	const json_t *intent;  /* body; with what was attached, as kmn_intent_attach() makes it */
	uint64_t attachment_i; /* of the record, 0: none */
	uint8_t client_spki_sha256[32];
	uint8_t operation[32];      /* kmn_operation_digest; zero where `intent` is NULL */
	struct kmn_verdict verdict; /* of the policy in force at the intent */
	uint64_t policy_version;
	int64_t not_after;     /* ms */
	const char *statement; /* text, NULL before its record */
	uint64_t statement_i;
	const struct kmn_vote *votes;
	size_t vote_count;
	bool window;         /* it asks for one: kmn_window_json() is in its intent */
	unsigned uses, used; /* of a window, by all its calls */
	int64_t until;       /* ms: end of a window's time, 0: it was not opened */
	uint64_t window_i;   /* of a call that a window let run: the window's request, 0: none did */
	uint64_t decision_i; /* of the last decision, 0: none */
	uint64_t result_i;   /* of the last result, 0: none */
	int64_t ended_t;     /* 0: has not ended */
	uint64_t rv;         /* of the last result */
};

/* By index; NULL: there is none, or it ended so long ago that it is forgotten. */
const struct kmn_request *kmn_quorum_request(const struct kmn_quorum *quorum, uint64_t i);

/*
 * The request of this client for this operation that is held (by that rule; NULL: by any), has not ended and has not
 * expired: the oldest that is approved, else the oldest. A call that waited in vain and a request made ahead may stand
 * side by side. One key may bear two names: what one rule's persons approved is not what another rule asks for.
 */
const struct kmn_request *kmn_quorum_find(const struct kmn_quorum *quorum, const uint8_t client_spki_sha256[32],
    const uint8_t operation[32], const char *rule, int64_t now);

/*
 * The client's window of that rule for that key (member `key` of an intent): the oldest that can be used now, else the
 * oldest request for one that is still open. NULL: neither.
 */
const struct kmn_request *kmn_quorum_window(const struct kmn_quorum *quorum, const uint8_t client_spki_sha256[32],
    const char *rule, const json_t *key, int64_t now);

/* Nobody votes on it: it runs in a window of its rule, or not at all. */
bool kmn_quorum_needs_window(const struct kmn_request *request);

/* Walk from the oldest kept, `after` NULL first; `ended` also those that ended. */
const struct kmn_request *kmn_quorum_next(const struct kmn_quorum *quorum, const struct kmn_request *after, bool ended);

struct kmn_why;

/*
 * May this body of a record `attachment` be written for a request that waits for its content? `ref` is the record's own
 * (in the keeper, before it is written: any), its blobs are kept. True: *verdict_out is that of the content (free, or
 * held) and *whole_out the body of the intent with it (json_decref). False: *why says the reason, and what it hashes to
 * or what the rules say of it. Changes nothing.
 */
bool kmn_quorum_check_attachment(const struct kmn_quorum *quorum, const struct kmn_request *request, const json_t *body,
    const struct kmn_ref *ref, int64_t now, struct kmn_verdict *verdict_out, json_t **whole_out, struct kmn_why *why);

/* May a decision `allow`, or of a request for a window `open`, be written now? */
bool kmn_quorum_is_met(const struct kmn_quorum *quorum, const struct kmn_request *request, int64_t now);

/* Why calls of a class are refused for now. */
struct kmn_stale {
	const char *check; /* "V9", "V10": of docs/ledger.md 8 */
	char reason[KMN_POLICY_REASON_BYTES];
};

/*
 * Must calls of class `durability` ('A' or 'B') be refused now, whatever their rule says? So it is while the newest
 * time stamp is older than the policy lets it be, and while the clock is behind what the ledger has said already.
 */
bool kmn_quorum_is_stale(
    const struct kmn_quorum *quorum, char durability, int64_t now, struct kmn_stale *stale_out) KMN_MUST_CHECK;

/* The time that the next record will say: later than `now` where the clock went back behind the ledger. */
int64_t kmn_quorum_record_ms(const struct kmn_quorum *quorum, int64_t now);

/* Whether the policy, or the clock, may stop calls by kmn_quorum_is_stale() that their rule lets run. */
bool kmn_quorum_has_limits(const struct kmn_quorum *quorum);

/*
 * The verdict that ends the request now, as written in a decision ("rejected", "vetoed", "expired"); NULL: none.
 * To be asked after each vote and when not_after has passed. A policy change ends what is open: "withdrawn".
 */
const char *kmn_quorum_ends(const struct kmn_quorum *quorum, const struct kmn_request *request, int64_t now);

/* What a received note is worth. */
struct kmn_note_check {
	const struct kmn_request *request; /* NULL: about no request that is known; then there is nothing to record */
	enum kmn_decision decision;
	char check[KMN_POLICY_REASON_BYTES]; /* "ok", or why it does not count */
};

/* Judge a note before it is recorded; changes nothing. True: it counts. */
bool kmn_quorum_check_note(
    const struct kmn_quorum *quorum, const char *note, size_t len, int64_t now, struct kmn_note_check *check_out);

/*
 * Bodies of records, to be appended (kmn_log_append steals them) and then applied. *body_out: json_decref.
 * The statement is made and put in the body; the vote's record type is that of its decision
 * (kmn_quorum_vote_type: "approval", "rejection", "veto").
 */
kmn_err kmn_quorum_statement_text(const struct kmn_quorum *quorum, const struct kmn_request *request,
    const struct kmn_head *head, char **text_out) KMN_MUST_CHECK;
kmn_err kmn_quorum_statement_body(const struct kmn_quorum *quorum, const struct kmn_request *request,
    const struct kmn_head *head, json_t **body_out) KMN_MUST_CHECK;
kmn_err kmn_quorum_vote_body(
    const struct kmn_note_check *check, const char *note, size_t len, json_t **body_out) KMN_MUST_CHECK;
const char *kmn_quorum_vote_type(enum kmn_decision decision);
/*
 * Why a request is denied at this moment, as `reason` of the decision has it: a word that the auditor finds by the same
 * function; static. "rule": its rule refuses it. "seal": an anomaly closed its token. "stale": a limit of the policy is
 * past, or the clock lags. "call": something that the policy does not see, such as a window that ended in between.
 */
const char *kmn_quorum_deny_reason(const struct kmn_quorum *quorum, const struct kmn_request *request, int64_t now_ms);
kmn_err kmn_quorum_decision_body(const struct kmn_quorum *quorum, const struct kmn_request *request,
    const char *verdict, json_t **body_out) KMN_MUST_CHECK;

/*
 * Windows. Member `window` of the intent that asks for one: what the rule gives (a verdict with KMN_PER_WINDOW), and
 * the decision `allow` of a call that uses one. KMN_E_DENIED: it cannot be used now, or not for that.
 */
json_t *kmn_window_json(const struct kmn_verdict *verdict) KMN_MUST_CHECK;
kmn_err kmn_quorum_use_body(const struct kmn_quorum *quorum, const struct kmn_request *request,
    const struct kmn_request *window, int64_t now, json_t **body_out) KMN_MUST_CHECK;

/*
 * Member open_requests of a `recovery` record: what a crash left undecided: decisions without result
 * ({"i","leaf","state":"unknown"}) and requests not held without decision ("not-started").
 */
kmn_err kmn_quorum_open_requests(const struct kmn_quorum *quorum, json_t **array_out) KMN_MUST_CHECK;

/* What the auditor reports at the end of the ledger. */
struct kmn_quorum_counts {
	uint64_t requests, held, allowed, results;
	uint64_t signatures_verified; /* V7 */
	uint64_t signatures_skipped;  /* only a digest of EdDSA, no public key kept, no normal form */
	uint64_t statements_verified; /* V6 */
	uint64_t counters_back;       /* votes by security keys whose counter did not grow: a copy, perhaps; fails nothing */
	uint64_t counter_back_i;      /* the record of the last of them */
	uint64_t windows, uses;       /* opened; decisions that used one */
	uint64_t open;                /* at the head, not expired: fails nothing */
	uint64_t unfinished;          /* decisions allow without result, intents not held without decision: V8 */
};
void kmn_quorum_counts(const struct kmn_quorum *quorum, struct kmn_quorum_counts *counts_out);

/* V5-V7 for the verifier's table (kanmon/checker.h). */
struct kmn_checker;
extern const struct kmn_checker kmn_quorum_checker;

#endif
