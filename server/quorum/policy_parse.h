/* The parser of policies: words in policy_words.c, one file for each subject's lines, the table of lines in policy_parse.c. */
#ifndef KANMON_SERVER_QUORUM_POLICY_PARSE_H
#define KANMON_SERVER_QUORUM_POLICY_PARSE_H

#include "server/quorum/policy.h"

struct parser {
	struct kmn_policy *policy;
	struct kmn_policy_error *error;
	kmn_err err;
	unsigned line;
	bool indented;
	char *word[POLICY_WORDS_MAX];
	size_t words;
	struct rule *rule; /* whose block this is */
	unsigned headers;  /* how many of the first five lines are read */
	char nothing[1];   /* in place of a string for which there was no memory; the policy is not handed out then */
};

/* The first failure is kept: its line and words. */
void policy_fail_at(struct parser *p, unsigned line, const char *format, ...) KMN_PRINTF(3, 4);
#define fail(p, ...) policy_fail_at((p), (p)->line, __VA_ARGS__)
void policy_no_memory(struct parser *p);

/* Blocks live as long as the policy. What there was no memory for is NULL (policy_keep: ""), and the failure is kept. */
void *policy_list_add(struct parser *p, struct list *list, void *item);
void *policy_new_block(struct parser *p, size_t size);
char *policy_keep(struct parser *p, const char *string);
char **policy_keep_words(struct parser *p, size_t from); /* the words from there on, ends with NULL */

/* Splits a line in place into p->word: spaces part words, "..." joins them, # at the start of a word ends the line. */
void policy_split(struct parser *p, char *line);

/* Values. False: the failure is said. */
bool policy_is_name(const char *s);
bool policy_check_name(struct parser *p, const char *what, const char *name);
bool policy_count_words(struct parser *p, size_t least, size_t most, const char *form);
bool policy_number(struct parser *p, const char *s, uint64_t most, uint64_t *out);
bool policy_duration(struct parser *p, const char *s, uint64_t most_s, uint64_t *out); /* "4h" in seconds */
bool policy_hash(struct parser *p, const char *b64, uint8_t out[KMN_HASH_BYTES]);
const char *policy_prefixed(struct parser *p, const char *prefix, const char *word); /* what follows it, or NULL */
bool policy_person_id(struct parser *p, const char *word, const char **out);

/* One line each, already split. */
void policy_line_roster(struct parser *p); /* custodian, auditor */
void policy_line_webauthn(struct parser *p);
void policy_line_share_key(struct parser *p);
void policy_line_peer(struct parser *p); /* client, terminal */
void policy_line_token(struct parser *p);
void policy_line_stance(struct parser *p);
void policy_line_group(struct parser *p); /* group, role */
void policy_line_rule(struct parser *p);
void policy_line_of_rule(struct parser *p); /* an indented one */
void policy_rule_content(struct parser *p);
void policy_line_anchors(struct parser *p);
void policy_line_witness(struct parser *p);
void policy_line_witnesses(struct parser *p);

/* What lines say of each other, once all are read. */
void policy_check_groups(struct parser *p);
void policy_check_peers(struct parser *p);
void policy_check_keys(struct parser *p);
void policy_check_stances(struct parser *p);
void policy_check_witnesses(struct parser *p);
void policy_check_rules(struct parser *p);

#endif
