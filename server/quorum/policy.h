/* How a policy looks inside: read by policy_parse.c, judged by policy.c, criticised by policy_lint.c. */
#ifndef KANMON_SERVER_QUORUM_POLICY_H
#define KANMON_SERVER_QUORUM_POLICY_H

#include "kanmon/calls.h"
#include "kanmon/note.h"
#include "kanmon/policy.h"
#include "server/quorum/bounds.h"

#define POLICY_WORDS_MAX 256
#define POLICY_LINES_MAX 8192
#define POLICY_SLOT_MAX 2147483647u          /* that a client sees */
#define POLICY_LIFETIME_S 86400u             /* of a request where a rule says nothing */
#define POLICY_LIFETIME_MAX_S (90u * 86400u) /* nobody remembers longer what they approved */

/* A growing array of pointers, each its own block, so that addresses of items stay. */
struct list {
	void **items;
	size_t count, size;
};

struct custodian {
	struct kmn_policy_custodian seen;
	struct kmn_vkey key;
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

/* A group, or the persons of a role. */
struct group {
	char *name;
	unsigned least;
	char **members;
	unsigned persons;
	unsigned line;
	bool role;
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
	char **mechanisms;
	enum need_kind need;
	char **groups;
	unsigned independent, selfcheck;
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
	struct list custodians, peers, tokens, groups, rules, witnesses;
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
/* Could the rule have decided this call with a recorded key, for any client it names? False: another decides before. */
bool policy_may_decide(
    const struct kmn_policy *policy, const struct rule *rule, const struct kmn_call *call, const json_t *key);
bool policy_has(char *const *names, const char *name);

#endif
