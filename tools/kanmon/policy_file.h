/* A policy as people have it: the text alone, or a note that some have signed already. */
#ifndef KANMON_TOOLS_POLICY_FILE_H
#define KANMON_TOOLS_POLICY_FILE_H

#include "kanmon/note.h"
#include "kanmon/policy.h"

struct kmn_policy_file {
	char *bytes; /* the whole, NUL-terminated */
	size_t len;
	bool is_note;
	struct kmn_note note; /* views into `bytes`; empty unless is_note */
	struct kmn_policy *policy;
};

/* Failures are said on stderr, with file and line. *file_out is freed by kmn_policy_file_free. */
kmn_err kmn_policy_file_read(const char *path, struct kmn_policy_file **file_out) KMN_MUST_CHECK;
/* The policy in force, asked of the gateway as custodian `as` (gateway.h). */
kmn_err kmn_policy_file_ask(const char *as, struct kmn_policy_file **file_out) KMN_MUST_CHECK;
/* `bytes` is taken, also on failure; `from` is said when something is wrong with it. */
kmn_err kmn_policy_file_take(
    const char *from, char *bytes, size_t len, struct kmn_policy_file **file_out) KMN_MUST_CHECK;
void kmn_policy_file_free(struct kmn_policy_file *file);

/* Is the end within KMN_POLICY_WARN_MS of `now` (ms), or past? Then the line that says it, and words for people. */
bool kmn_policy_file_ending(
    const struct kmn_policy_file *file, int64_t now, unsigned *line_out, char *text_out, size_t room);

/* The policy's text without signatures. */
const char *kmn_policy_file_text(const struct kmn_policy_file *file, size_t *len_out);

#endif
