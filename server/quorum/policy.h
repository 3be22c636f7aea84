/* How a policy looks inside: read by policy_parse.c, judged by policy_judge.c, criticised by policy_lint.c. */
#ifndef KANMON_SERVER_QUORUM_POLICY_H
#define KANMON_SERVER_QUORUM_POLICY_H

#include "kanmon/calls.h"
#include "kanmon/evidence.h"
#include "kanmon/policy.h"
#include "server/quorum/bounds.h"

#define POLICY_WORDS_MAX 256
#define POLICY_LINES_MAX 8192
#define POLICY_SLOT_MAX 2147483647u          /* that a client sees */
#define POLICY_LIFETIME_S 86400u             /* of a request where a rule says nothing */
#define POLICY_LIFETIME_MAX_S (90u * 86400u) /* nobody remembers longer what they approved */
#define POLICY_WINDOW_MAX_S (366u * 86400u)
#define POLICY_WINDOW_USES_MAX 1000000u
#define POLICY_RECOVERY_DELAY_S (72u * 3600u) /* where the role says none */
#define POLICY_LEVEL_MAX 4                    /* of FIPS 140 */
#define POLICY_SUBGROUPS_MAX 16               /* groups in one group */
#define POLICY_TREE_MAX 64                    /* groups in one group, theirs counted too */
#define POLICY_NAMES_MAX (2 * POLICY_WORDS_MAX)
#define POLICY_WAYS_MAX 1024 /* to choose the groups that meet one rule */

/* A growing array of pointers, each its own block, so that addresses of items stay. */
struct list {
	void **items;
	size_t count, size;
};

struct custodian {
	struct kmn_policy_custodian seen;
	struct kmn_evidence_key key;
	unsigned line;
};

#define POLICY_WITNESSES_MAX 32
struct witness {
	struct kmn_policy_witness seen;
	struct kmn_vkey key;
	unsigned line;
};

struct peer {
	struct kmn_policy_peer seen;
	char **tokens, **operators;
	uint64_t *slots; /* of each token; NULL: none is given */
	unsigned line;
};

struct token {
	struct kmn_policy_token seen;
	unsigned line;
};

struct stance {
	char *token;
	enum kmn_stance stance;
	unsigned line;
};

/* To which a person's share of a sealed PIN is dealt (X25519). */
struct share_key {
	char *name;
	uint8_t key[KMN_HASH_BYTES];
	unsigned line;
};

struct webauthn {
	struct kmn_policy_webauthn seen;
	unsigned line;
};

/* A group of persons and of groups named before it, or the persons of a role. In a tree of groups each stands once. */
struct group {
	char *name;
	unsigned least;
	char **members;     /* as in the line: persons and groups */
	unsigned count;     /* of them */
	char **persons;     /* those among them */
	char **all_persons; /* those of its groups too */
	const struct group *groups[POLICY_SUBGROUPS_MAX];
	unsigned person_count, group_count;
	unsigned votes; /* the fewest persons that can meet it */
	unsigned tree;  /* groups in it, itself counted */
	unsigned ways;  /* to choose which of its groups are met, theirs counted too; at most POLICY_WAYS_MAX */
	unsigned line;
	bool role;
	uint64_t delay_s; /* of role recovery */
};

/* One pkcs11: URI; what is NULL is not asked. */
struct object {
	char *token, *label, *class;
	uint8_t *id;
	size_t id_len;
};

enum need_kind { NEED_UNSAID, NEED_NONE, NEED_DENY, NEED_GROUPS };

struct rule {
	char *name;
	char **clients;
	struct list objects;             /* struct object */
	uint8_t (*keys)[KMN_HASH_BYTES]; /* pinned public keys */
	size_t key_count;
	bool class[KMN_POLICY_CLASS_COUNT];
	char **calls;
	char **mechanisms; /* NULL: none are named */
	bool any_mechanism;
	enum need_kind need;
	char **groups;
	unsigned independent, selfcheck;
	enum kmn_per per;
	uint32_t window_s, window_uses;
	bool allow[KMN_ALLOW_COUNT], origin_local;
	uint32_t lifetime_s;
	char durability;
	bool content_asked; /* anything but `any` */
	enum kmn_content_kind content;
	struct list bounds; /* struct bound */
	unsigned line;      /* of `rule` */
	unsigned said;      /* bits of the keys that were given, for twice and never */
	unsigned need_line;
};

struct kmn_policy {
	char *text;
	size_t len;
	uint8_t sha256[KMN_HASH_BYTES], previous[KMN_HASH_BYTES];
	char *origin;
	uint64_t version;
	int64_t not_before, expires;
	struct list custodians, peers, tokens, groups, rules, witnesses, webauthn, stances, share_keys;
	unsigned witnesses_line; /* of `witnesses`, 0: there is none */
	struct kmn_policy_limit limit[KMN_LIMIT_COUNT];
	struct list owned; /* every string and small array */
};

const struct group *policy_group(const struct kmn_policy *policy, const char *name, bool role);
const struct rule *policy_rule(const struct kmn_policy *policy, const char *name);
const struct custodian *policy_person(const struct kmn_policy *policy, const char *name);
const struct token *policy_token(const struct kmn_policy *policy, const char *name);
bool policy_is_in_role(const struct kmn_policy *policy, const char *role, const char *name);
unsigned policy_role_least(const struct kmn_policy *policy, const char *role); /* 0: there is no such role */
/* Do enough persons of that role stand under the note? KMN_E_SIGNATURE. */
kmn_err policy_check_signed(const struct kmn_note *note, const struct kmn_policy *policy, const char *role_name,
    struct kmn_policy_error *error) KMN_MUST_CHECK;
/* kmn_policy_accept(), where this role of the version before signed it; of version 1 it is its own role policy. */
kmn_err policy_accept(const char *note, size_t len, const struct kmn_policy *before, const char *role,
    struct kmn_policy **policy_out, struct kmn_policy_error *error) KMN_MUST_CHECK;
/* Could the rule have decided this call with a recorded key, for any client it names? False: another decides before. */
bool policy_may_decide(
    const struct kmn_policy *policy, const struct rule *rule, const struct kmn_call *call, const json_t *key);
/* The persons of all groups that a rule asks, each once, but for those in `but` (NULL: nobody); how many. */
size_t policy_rule_persons(
    const struct kmn_policy *policy, const struct rule *r, char *const *but, const char *names_out[POLICY_NAMES_MAX]);
bool policy_has(char *const *names, const char *name);

/* What a rule says of a question. */
bool policy_object_fits(const struct object *o, const struct kmn_question *q, const struct kmn_policy_token *token);
bool policy_key_fits(const struct rule *r, const struct kmn_question *q);
bool policy_mechanisms_fit(const struct rule *r, const struct kmn_question *q);
bool policy_content_is_missing(const struct rule *r, const struct kmn_question *q);
bool policy_content_fits(const struct rule *r, const struct kmn_question *q);
/* Client, call and object fit; key, mechanism and content are looked at next. */
bool policy_rest_fits(const struct rule *r, const struct kmn_question *q, const struct kmn_call *call,
    const struct kmn_policy_peer *peer, const struct kmn_policy_token *token);
/* Fits it in all but its pinned public key, and must leave the key to no laxer rule? */
bool policy_pins(const struct rule *r, const struct kmn_question *q);
/* Does a call do with a private or secret key what another function is named for, a signature above all? */
bool policy_is_equivalent(const struct kmn_question *q, const struct kmn_call *call);
/* Where a free verdict would go round an earlier rule that guards this key, that rule decides instead. */
void policy_keep_guard(const struct kmn_policy *policy, const struct kmn_question *q, struct kmn_verdict *v);
/* The mechanisms that a rule admits which names none (R6): by name from 0, NULL after the last; in lists; in a call. */
const char *policy_approved_at(size_t n);
bool policy_mechanism_is_approved(const char *mechanism);
bool policy_use_is_approved(const struct kmn_question *q, const struct kmn_call *call);
/* Is what the rule admits limited to approved mechanisms? */
bool policy_rule_is_limited(const struct rule *r);
/* Is this a key, or may it be one? `class` as in questions. */
bool policy_is_secret_class(const char *class);
/* The class that a template gives an object, or else `otherwise`. */
const char *policy_class_in(const json_t *template, const char *otherwise);
/* Does this function generate a key inside the token? */
bool policy_makes_inside(const char *call);
/* Would this template make a key that may leave, or is trusted to take others out? *attribute_out: what says so. */
bool policy_template_leaks(const json_t *template, bool changes, const char **attribute_out);
/* Refuse what brings a key in, or makes one that may leave, where the rule does not allow it (R7). */
void policy_check_origin(const json_t *intent, const struct kmn_question *q, struct kmn_verdict *v);
/* The templates of keys that the parameters of a mechanism make besides (SP 800-108), from 0; NULL after the last. */
const json_t *policy_extra_template(const json_t *intent, size_t n);
/* The verdict that the rule gives where it decides, and its words. */
void policy_decide(const struct kmn_policy *policy, const struct rule *r, struct kmn_verdict *v);
void policy_say(struct kmn_verdict *v, const char *format, ...) KMN_PRINTF(2, 3);

#endif
