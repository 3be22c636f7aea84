/*
 * What the parts of the judgement of a bundle share: audit_bundle_lines.c (the checkpoint, and every line under it),
 * audit_bundle_judge.c (what the records say), audit_bundle_instructed.c (who asked for it at the
 * console), audit_bundle_time.c (time stamps), audit_bundle_answer.c (the answer).
 */
#ifndef KANMON_TOOLS_AUDIT_BUNDLE_INNER_H
#define KANMON_TOOLS_AUDIT_BUNDLE_INNER_H

#include "kanmon/quorum.h"
#include "kanmon/record.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_bundle_judge.h"

/* The questions, in the order of the answer. */
enum kmn_topic {
	KMN_ASK_PLACE,
	KMN_ASK_WITNESSES,
	KMN_ASK_POLICY,
	KMN_ASK_INSTRUCTED,
	KMN_ASK_SCREEN,
	KMN_ASK_SIGNED,
	KMN_ASK_DECIDED,
	KMN_ASK_HSM,
	KMN_ASK_TIME,
	KMN_TOPICS
};
enum kmn_judged { KMN_SAYS_NOT_ASKED, KMN_SAYS_OK, KMN_SAYS_SHORT, KMN_SAYS_MISSING, KMN_SAYS_FAILED };

struct kmn_judging {
	const struct kmn_bundle *bundle;
	const struct kmn_trust *trust;
	struct kmn_quorum *quorum;
	uint64_t window;      /* the request of the window that let it run; else the request itself */
	struct kmn_head head; /* of the checkpoint */
	struct kmn_record *record;
	size_t records;
	struct {
		enum kmn_judged answer;
		char text[640];
	} row[KMN_TOPICS];
	unsigned actions, votes;
	uint64_t t, result; /* of the record before; index of the last result, 0: none */
	uint8_t shown[KMN_HASH_BYTES];
	bool statement, decided, allowed;
};

/* The worst answer to a question stands; of several as bad the first. */
void kmn_judge_note(struct kmn_judging *j, enum kmn_topic topic, enum kmn_judged answer, const char *format, ...)
    KMN_PRINTF(4, 5);

/* The checkpoint by the trust file's keys; then each record's own form, its place in the tree, and that it belongs here. */
void kmn_judge_checkpoint(struct kmn_judging *j);
kmn_err kmn_judge_lines(struct kmn_judging *j) KMN_MUST_CHECK;
/* The record that this one refers to under `name`, by index and leaf; NULL: none that is here. */
const struct kmn_record *kmn_judge_referred(
    const struct kmn_judging *j, const struct kmn_record *record, const char *name);
/* Is this head, which a record states, one of the checkpoint's tree? `cookie` is the judging. */
bool kmn_judge_is_head(void *cookie, const struct kmn_head *head);

kmn_err kmn_judge_time(struct kmn_judging *j) KMN_MUST_CHECK;
/*
 * Of an operator's instruction, before quorum takes the record: of an `instruct` action its signature, of an intent that
 * names one that it wants just that.
 */
void kmn_judge_instruct(struct kmn_judging *j, const struct kmn_record *action);
void kmn_judge_instructed(struct kmn_judging *j, const struct kmn_record *intent);

/* KMN_AUDIT_*: the worst of the answers. */
int kmn_judged_exit(const struct kmn_judging *j);
void kmn_judged_print(const struct kmn_judging *j, FILE *out, int exit_code, bool json);

#endif
