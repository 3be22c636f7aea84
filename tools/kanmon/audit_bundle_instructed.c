/* Who asked for a call at the console: the instruction that its intent names, signed by an operator of that client. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "kanmon/action.h"
#include "tools/kanmon/audit_bundle_inner.h"

void
kmn_judge_instruct(struct kmn_judging *j, const struct kmn_record *action)
{
	const struct kmn_policy *policy = kmn_quorum_policy(j->quorum);
	struct kmn_why why = {"no policy stands before it"};

	if (policy == NULL || kmn_action_judge_instruct(policy, action->body, action->t, &why) != KMN_OK)
		kmn_judge_note(j, KMN_ASK_INSTRUCTED, KMN_SAYS_FAILED, "record %" PRIu64 ": %s", action->i, why.text);
}

void
kmn_judge_instructed(struct kmn_judging *j, const struct kmn_record *intent)
{
	const struct kmn_record *action = NULL;
	struct kmn_why why = {""};
	const char *name = "";
	uint64_t i;

	if (!kmn_instruction_named(intent->body, &i))
		return;
	for (size_t n = 0; n < j->records; n++)
		if (j->record[n].i == i && j->record[n].kind == KMN_R_ACTION && j->record[n].owner != NULL)
			action = &j->record[n];
	if (action == NULL) {
		kmn_judge_note(j, KMN_ASK_INSTRUCTED, KMN_SAYS_MISSING,
		    "action %" PRIu64 ", which record %" PRIu64 " names, is not in the bundle", i, intent->i);
		return;
	}
	if (kmn_quorum_judge_instructed(j->quorum, intent->body, intent->t, &why) != KMN_OK)
		kmn_judge_note(j, KMN_ASK_INSTRUCTED, KMN_SAYS_FAILED, "record %" PRIu64 ": %s", intent->i, why.text);
	else if (kmn_json_get_text(json_object_get(action->body, "actor"), "name", &name)) {
		if (j->row[KMN_ASK_INSTRUCTED].answer == KMN_SAYS_OK)
			j->row[KMN_ASK_INSTRUCTED].text[0] = '\0'; /* that of its window: the call's own says more */
		kmn_judge_note(j, KMN_ASK_INSTRUCTED, KMN_SAYS_OK,
		    "action %" PRIu64 ", signed by %s, wants just what record %" PRIu64 " asks for", i, name,
		    intent->i);
	}
}
