/*
 * The policy: who is who, and what each client may do (docs/policy.md).
 *
 * A policy is parsed from its text once and never changes. The text's hash is
 * what people pin and what records name; nothing here is decided on anything
 * else than the text and the question.
 */
#ifndef KANMON_POLICY_H
#define KANMON_POLICY_H

#include <jansson.h>

#include "kanmon/content.h"
#include "kanmon/err.h"
#include "kanmon/operation.h"

#define KMN_POLICY_MAX_BYTES (256u << 10)
#define KMN_POLICY_NAME_MAX_BYTES 64
#define KMN_POLICY_ORIGIN_MAX_BYTES 255
#define KMN_POLICY_NEEDS_MAX 8 /* groups that one rule may join with `and` */
#define KMN_POLICY_REASON_BYTES 256
#define KMN_POLICY_WARN_MS (INT64_C(30) * 24 * 3600 * 1000) /* before it expires: people are told */

struct kmn_policy;
struct kmn_evidence_key;

/* Where a text is not a policy: its line, from 1 (0: the text as a whole), and what is wrong with it, in words. */
struct kmn_policy_error {
	unsigned line;
	char text[KMN_POLICY_REASON_BYTES];
};

/* A key that may sign for a person. A person has as many as they have lines, and one vote. */
struct kmn_policy_custodian {
	const char *name;   /* of the person, in groups */
	const char *person; /* what follows `person:` */
	const char *vkey;   /* as in the line */
	bool auditor;       /* an `auditor` line: no member of a group, only of roles */
	const struct kmn_evidence_key *key;
};

/* Where custodians use security keys: `webauthn NAME origin URL rp-id ID [independent]`. */
struct kmn_policy_webauthn {
	const char *name;
	const char *origin; /* "https://console.example.jp", as a browser writes it */
	const char *rp_id;
	bool independent; /* evidence from there counts for `independent`: a tool that makes the statement again */
};

/* A TLS identity: an application's (client) or that of a person's tool (terminal). */
struct kmn_policy_peer {
	const char *name;
	uint8_t spki_sha256[KMN_HASH_BYTES];
	bool terminal;
	const char *person;           /* terminal: what follows `person:` */
	const char *const *tokens;    /* client: names of token lines, ends with NULL */
	const uint64_t *slots;        /* client: the slot number it sees for each of them; NULL: the line gives none */
	const char *const *operators; /* client: names of persons that may not approve its requests, ends with NULL */
};

/* A witness of this ledger: `witness NAME VKEY`. */
struct kmn_policy_witness {
	const char *name; /* of its section in kanmond.conf */
	const char *vkey; /* as in the line; type 0x04 */
};

/* A token line: what the HSM must show to be this token. NULL: not said, so not compared. */
struct kmn_policy_token {
	const char *name;
	const char *label;  /* the line's, or its name */
	const char *module; /* of kanmond.conf */
	const char *serial;
	const char *model;
	const char *manufacturer;
	const char *firmware; /* "7.7" or with * for any rest: "7.*" */
	unsigned level;       /* of certification (FIPS 140), 1 to 4; 0: not said */
};

/* What becomes of a token of which something is wrong: `stance TOKEN seal|degrade`. */
enum kmn_stance { KMN_STANCE_NONE, KMN_STANCE_SEAL, KMN_STANCE_DEGRADE };

/* What the HSM shows of a token; NULL: not known here, then a line that asks for it is compared without it. */
struct kmn_policy_token_facts {
	const char *label;
	const char *module; /* NULL too where the gateway has one module only */
	const char *serial;
	const char *model;
	const char *manufacturer;
	const char *firmware;
	unsigned level; /* of its own validation objects (PKCS#11 3.2); 0: it has none, and the line's word is taken */
};

/*
 * Read a policy text (without signature lines).
 *
 * Errors: KMN_E_MALFORMED with *error_out filled, KMN_E_TOO_BIG, KMN_E_NO_MEMORY.
 */
kmn_err kmn_policy_parse(
    const char *text, size_t len, struct kmn_policy **policy_out, struct kmn_policy_error *error_out) KMN_MUST_CHECK;

/*
 * Read a complete signed note and accept it as the policy that follows `before` (NULL: as version 1).
 * Version 1 must be signed by its own `role policy`; version N+1 by that of N and by its own, with `previous` the
 * hash of N's text. The caller compares the hash of version 1 with the pinned one.
 *
 * Errors: KMN_E_MALFORMED or KMN_E_SIGNATURE with *error_out filled.
 */
kmn_err kmn_policy_accept(const char *note, size_t len, const struct kmn_policy *before, struct kmn_policy **policy_out,
    struct kmn_policy_error *error_out) KMN_MUST_CHECK;

/* NULL is fine. */
void kmn_policy_free(struct kmn_policy *policy);

/* Its text and what stands in it; live as long as the policy. */
const char *kmn_policy_text(const struct kmn_policy *policy, size_t *len_out);
const uint8_t *kmn_policy_sha256(const struct kmn_policy *policy);
const char *kmn_policy_origin(const struct kmn_policy *policy);
uint64_t kmn_policy_version(const struct kmn_policy *policy);
const uint8_t *kmn_policy_previous(const struct kmn_policy *policy); /* NULL for version 1 */
int64_t kmn_policy_not_before(const struct kmn_policy *policy);      /* ms since the epoch */
int64_t kmn_policy_expires(const struct kmn_policy *policy);         /* ms since the epoch */

/* Walk the lines of each kind from 0; NULL after the last. */
const struct kmn_policy_custodian *kmn_policy_custodian_at(const struct kmn_policy *policy, size_t n);
const struct kmn_policy_peer *kmn_policy_peer_at(const struct kmn_policy *policy, size_t n);
const struct kmn_policy_token *kmn_policy_token_at(const struct kmn_policy *policy, size_t n);
const struct kmn_policy_witness *kmn_policy_witness_at(const struct kmn_policy *policy, size_t n);
const struct kmn_policy_webauthn *kmn_policy_webauthn_at(const struct kmn_policy *policy, size_t n);
/* The share key (X25519, kanmon/sealedpin.h) of the person of that name; NULL: there is none. */
const uint8_t *kmn_policy_share_key(const struct kmn_policy *policy, const char *name);
const char *kmn_policy_rule_at(const struct kmn_policy *policy, size_t n);

/* The stance for a token (a token line's name); KMN_STANCE_NONE too where there is no such line. */
enum kmn_stance kmn_policy_stance(const struct kmn_policy *policy, const char *token);

/* Does any rule for that token ask `per login`: is its PIN in the gateway's care? */
bool kmn_policy_has_login_quorum(const struct kmn_policy *policy, const char *token);

/* Does any rule ask `origin local`? Then intents say of keys whether they are (docs/ledger.md). */
bool kmn_policy_asks_origin(const struct kmn_policy *policy);

/* How long a policy signed by `role recovery` of this one waits before it takes effect; 0: there is no such role. */
uint64_t kmn_policy_recovery_delay_ms(const struct kmn_policy *policy);

/* The kind of content a rule asks for; false: any. */
bool kmn_policy_content_of(const struct kmn_policy *policy, const char *rule, enum kmn_content_kind *kind_out);

/* The client or terminal that shows this SPKI hash; NULL: nobody. */
const struct kmn_policy_peer *kmn_policy_peer_get(const struct kmn_policy *policy, const uint8_t spki_sha256[32]);

/* The token line of that name; NULL: there is none. */
const struct kmn_policy_token *kmn_policy_token_named(const struct kmn_policy *policy, const char *name);

/* The first token line that fits what the HSM shows; NULL: a token that the policy does not know. */
const struct kmn_policy_token *kmn_policy_token_get(
    const struct kmn_policy *policy, const struct kmn_policy_token_facts *facts);

/* Where a key comes from: for rules with `origin local`. */
enum kmn_origin {
	KMN_ORIGIN_UNKNOWN, /* or known not to be */
	KMN_ORIGIN_LOCAL,   /* CKA_LOCAL and CKA_NEVER_EXTRACTABLE, or what is made will have them */
	KMN_ORIGIN_UNASKED, /* of a request made ahead only the public half is seen: the call that meets it is asked */
};

/* What is asked of the policy. Borrowed pointers; NULL or 0: there is none. */
struct kmn_question {
	const uint8_t *client_spki_sha256;
	const struct kmn_policy_token_facts *token; /* NULL: the call names no token (C_GetInfo) */
	const char *call;                           /* "C_Sign" */
	const char *mechanism;                      /* "CKM_ECDSA_SHA384", or NULL */
	const struct kmn_norm *norm;                /* the normalised signature, or NULL */
	bool has_object;                            /* an object is used or made; what follows describes it */
	const char *object_class; /* "private-key", "public-key", "secret-key", "certificate", "data" */
	const char *label;
	const uint8_t *id;
	size_t id_len;
	const uint8_t *key_spki_sha256;
	enum kmn_origin origin;
	bool made;                         /* the object is made by the call, or gets this name by it */
	bool has_data;                     /* the data itself is known, not its digest only */
	const struct kmn_content *content; /* what the data decodes to; NULL: to nothing that is known */
	int64_t now;                       /* ms since the epoch: validity of the policy, bounds on content */
};

enum kmn_answer {
	KMN_ANSWER_REFUSED, /* `need deny`, no rule, unknown client or token, policy not in force */
	KMN_ANSWER_FREE,    /* `need none` */
	KMN_ANSWER_HELD,    /* by quorum */
};

/* How long an approval holds: for one call, for uses within a time, or for the time that a token is logged in. */
enum kmn_per { KMN_PER_OPERATION, KMN_PER_WINDOW, KMN_PER_LOGIN };

/* What a rule admits beside the generation of keys that never leave: `allow import extractable`. */
enum kmn_allow { KMN_ALLOW_IMPORT, KMN_ALLOW_EXTRACTABLE, KMN_ALLOW_COUNT };

struct kmn_need {
	const char *group;
	unsigned least;   /* of its members that are needed */
	unsigned persons; /* its members: persons, or groups that count when they are met themselves */
};

struct kmn_verdict {
	enum kmn_answer answer;
	const char *rule; /* that decided; "none" where no rule did */
	char durability;  /* 'A' or 'B' (ledger.md 2.3), for calls that the table puts in A or B */
	struct kmn_need need[KMN_POLICY_NEEDS_MAX];
	size_t needs;
	unsigned independent;
	uint32_t lifetime_s; /* how long a request stays open */
	enum kmn_per per;
	uint32_t window_s, window_uses; /* KMN_PER_WINDOW: its bounds */
	bool allow[KMN_ALLOW_COUNT];
	bool origin_local;    /* the rule asks for a key that was generated inside and never could leave */
	unsigned selfcheck;   /* verify one signature of how many; 1: all */
	bool content_missing; /* refused because only a digest came: a request made ahead, or attaching it, helps */
	bool content_seen;    /* a rule looked at the data: it must be kept, for the auditor looks again */
	char reason[KMN_POLICY_REASON_BYTES]; /* one line for operators: which rule, why, and the way out */
};

/*
 * Judge one call: the first rule that fits decides, no rule refuses. Strings in the verdict belong to the policy.
 * A rule with `content` that fits in all else refuses where it sees a digest only, or data that decodes to nothing:
 * neither slips past it to a laxer rule. Content of another kind, or outside the bounds, goes on to the next rule.
 */
void kmn_policy_judge(
    const struct kmn_policy *policy, const struct kmn_question *question, struct kmn_verdict *verdict_out);

/*
 * Is this private or secret key one whose uses this client does not have freely, whatever the mechanism? Then what it is
 * made of is not read out by a query either. `call` and what follows the object are not looked at.
 */
bool kmn_policy_guards(const struct kmn_policy *policy, const struct kmn_question *question);

/* Is there a rule by which a quorum may hold a call of this client on this token (NULL: on any)? */
bool kmn_policy_may_hold(const struct kmn_policy *policy, const uint8_t client_spki_sha256[KMN_HASH_BYTES],
    const struct kmn_policy_token_facts *token);

/*
 * kmn_policy_judge() from the body of an intent (and the data, if it is kept): what keeper and auditor both go by.
 * `material` may be NULL. Errors: KMN_E_MALFORMED when the body is not that of an intent.
 */
kmn_err kmn_policy_judge_intent(const struct kmn_policy *policy, const json_t *intent,
    const struct kmn_material *material, int64_t now, struct kmn_verdict *verdict_out) KMN_MUST_CHECK;

/*
 * Do the client's rules on queries name objects or keys? Then an object of which no rule admits C_GetAttributeValue is
 * hidden: not found, and its handle is none.
 */
bool kmn_policy_limits_queries(const struct kmn_policy *policy, const uint8_t client_spki_sha256[32]);

/*
 * Could any rule admit a use of a key by this mechanism, for that client on that token (a token line's name)? Else it is
 * hidden. Those that only hash use no key, and are admitted. "" is a mechanism without a name here.
 */
bool kmn_policy_mechanism_possible(
    const struct kmn_policy *policy, const uint8_t client_spki_sha256[32], const char *token, const char *mechanism);

/* What must be fresh for calls to go on: `anchors within 1h refuse A`. One line of each kind at most. */
enum kmn_policy_limit_kind { KMN_LIMIT_ANCHORS, KMN_LIMIT_WITNESSES, KMN_LIMIT_COUNT };
struct kmn_policy_limit {
	uint64_t within_ms; /* 0: the policy has no such line */
	char refuse;        /* 'A': class A, 'B': classes A and B, 'N': none, the limit is only watched */
	uint32_t need;      /* of witnesses: so many; else 1 */
};
struct kmn_policy_limit kmn_policy_limit(const struct kmn_policy *policy, enum kmn_policy_limit_kind kind);

/*
 * The verdict that this rule gives where it decides; KMN_ANSWER_REFUSED with a reason when there is none of that name.
 * For who looks a rule up by its name (a window made ahead); a call is judged by kmn_policy_judge().
 */
void kmn_policy_rule_verdict(const struct kmn_policy *policy, const char *rule, struct kmn_verdict *verdict_out);

/* Is the named person a member of the group, or of one of its groups? */
bool kmn_policy_is_member(const struct kmn_policy *policy, const char *group, const char *name);

/*
 * Can these approvals, each person counted in one group only, meet the needs? `names` are persons' names.
 * The same function says whether those who are left could still meet them.
 */
bool kmn_policy_is_met(
    const struct kmn_policy *policy, const struct kmn_verdict *verdict, const char *const *names, size_t count);

/*
 * Why the call is decided as `verdict` says: called for each rule up to the one that decided, with why it does not fit, or
 * that it decides. Lines count from 1.
 */
typedef void (*kmn_policy_explain_fn)(void *cookie, unsigned line, const char *rule, const char *why);
void kmn_policy_explain(const struct kmn_policy *policy, const struct kmn_question *question,
    const struct kmn_verdict *verdict, kmn_policy_explain_fn fn, void *cookie);

/*
 * Whose rights change from one policy to the other, in words, one line each: persons and their keys, groups and roles,
 * clients, tokens, rules, limits; then what calls would be decided otherwise, tried with every client, token, object,
 * function and mechanism that either policy names. Returns how many lines there were.
 */
typedef void (*kmn_policy_diff_fn)(void *cookie, const char *whose, const char *text);
size_t kmn_policy_diff(
    const struct kmn_policy *before, const struct kmn_policy *after, kmn_policy_diff_fn fn, void *cookie);

/* What is allowed but hardly meant (`kanmon policy check`): called once for each line; returns how many. */
typedef void (*kmn_policy_lint_fn)(void *cookie, unsigned line, const char *text);
size_t kmn_policy_lint(const struct kmn_policy *policy, kmn_policy_lint_fn fn, void *cookie);

#endif
