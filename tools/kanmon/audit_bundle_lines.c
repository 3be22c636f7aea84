#include "config.h"

#include "tools/kanmon/audit_bundle_inner.h"

#include "kanmon/gather.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void
kmn_judge_checkpoint(struct kmn_judging *j)
{
	const struct kmn_bundle *b = j->bundle;
	const struct kmn_tlog_policy *policy = &j->trust->policy;
	bool log = false, witness[KMN_TLOG_WITNESSES_MAX] = {false};
	uint32_t bits = 0;
	struct kmn_why why = {""};
	struct kmn_note parsed;
	size_t count = 0, cosigned = 0;
	kmn_err e;

	if (strcmp(b->origin, j->trust->origin) != 0)
		kmn_judge_note(
		    j, KMN_ASK_PLACE, KMN_SAYS_FAILED, "the bundle is of another origin than the trust file");
	if ((e = kmn_note_parse(b->note, b->note_len, &parsed, &why)) == KMN_OK &&
	    (e = kmn_checkpoint_parse(&parsed, j->trust->origin, &j->head, &why)) == KMN_OK)
		e = kmn_note_verify(&parsed, &j->trust->log, 1, &log, &count, &why);
	if (e != KMN_OK || !log) {
		kmn_judge_note(j, KMN_ASK_PLACE, KMN_SAYS_FAILED,
		    "the checkpoint is not signed by the pinned log key: %s",
		    e == KMN_OK ? "its line is not there" : why.text);
		return;
	}
	if (kmn_note_verify(&parsed, policy->witness, policy->witnesses, witness, &cosigned, &why) != KMN_OK)
		kmn_judge_note(j, KMN_ASK_WITNESSES, KMN_SAYS_FAILED, "%s", why.text);
	for (uint32_t w = 0; w < policy->witnesses; w++)
		bits |= (uint32_t)witness[w] << w;
	if (policy->quorum == KMN_TLOG_NONE)
		kmn_judge_note(
		    j, KMN_ASK_WITNESSES, KMN_SAYS_NOT_ASKED, "the trust file asks for none; %zu cosigned", cosigned);
	else if (kmn_tlog_policy_is_met(policy, bits))
		kmn_judge_note(j, KMN_ASK_WITNESSES, KMN_SAYS_OK,
		    "the quorum of the trust file cosigned (%zu witnesses)", cosigned);
	else
		kmn_judge_note(j, KMN_ASK_WITNESSES, KMN_SAYS_SHORT,
		    "%zu cosigned, which is no quorum of the trust file", cosigned);
}

/* A reference of a record to another one of the bundle, by index and leaf; NULL: it is to none. */
const struct kmn_record *
kmn_judge_referred(const struct kmn_judging *j, const struct kmn_record *record, const char *name)
{
	struct kmn_ref ref;

	if (!kmn_ref_get(record->body, name, &ref) || ref.i >= record->i)
		return NULL;
	for (size_t n = 0; n < j->records; n++)
		if (j->record[n].i == ref.i && memcmp(j->record[n].leaf, ref.leaf, KMN_HASH_BYTES) == 0)
			return &j->record[n];
	return NULL;
}

/* An instruction stands before the call that it is for, which names it. */
static bool
is_instruction(const struct kmn_judging *j, const struct kmn_record *action)
{
	bool named = false;

	for (size_t n = 0; !named && n < j->bundle->records; n++) {
		const struct kmn_bundle_record *part = &j->bundle->record[n];
		struct kmn_record record = {0};
		uint64_t i;

		if (part->index != j->bundle->request && part->index != j->window)
			continue;
		named = kmn_record_parse(part->line, part->len, &record, NULL) == KMN_OK &&
			record.kind == KMN_R_INTENT && action->i < record.i && kmn_instruction_named(record.body, &i) &&
			i == action->i;
		kmn_record_clear(&record);
	}
	return named;
}

/* A record that is about a request is about this one, and names what is here. */
static bool
is_about(const struct kmn_judging *j, const struct kmn_record *record)
{
	const struct kmn_record *to;

	switch (record->kind) {
	case KMN_R_GENESIS:
		return record->i == 0;
	case KMN_R_POLICY:
	case KMN_R_ANCHOR:
		return true;
	case KMN_R_INTENT:
	case KMN_R_OP:
		return record->i == j->bundle->request || record->i == j->window;
	case KMN_R_REDELIVER:
	case KMN_R_REDELIVERY:
		return (to = kmn_judge_referred(j, record, "result")) != NULL &&
		       (to->kind == KMN_R_RESULT || to->kind == KMN_R_OP);
	case KMN_R_ACTION:
		if (is_instruction(j, record))
			return true;
		return (to = kmn_judge_referred(j, record, "subject")) != NULL &&
		       (to->i == j->bundle->request || to->i == j->window);
	default:
		return (to = kmn_judge_referred(j, record, "request")) != NULL &&
		       (to->i == j->bundle->request || to->i == j->window);
	}
}

static kmn_err
judge_line(struct kmn_judging *j, const struct kmn_bundle_record *part)
{
	struct kmn_record *record = &j->record[j->records];
	struct kmn_why why = {""};
	kmn_err e = kmn_record_parse(part->line, part->len, record, &why);

	if (e == KMN_E_NO_MEMORY)
		return e;
	j->records++;
	if (e == KMN_OK)
		e = kmn_record_check(record->kind, record->body, &why);
	if (e != KMN_OK)
		kmn_judge_note(j, KMN_ASK_PLACE, KMN_SAYS_FAILED, "record %" PRIu64 ": %s", part->index, why.text);
	else if (record->i != part->index)
		kmn_judge_note(j, KMN_ASK_PLACE, KMN_SAYS_FAILED,
		    "record %" PRIu64 " says of itself that it is %" PRIu64, part->index, record->i);
	else if (kmn_inclusion_verify(record->leaf, part->index, &j->head, &part->path) != KMN_OK)
		kmn_judge_note(j, KMN_ASK_PLACE, KMN_SAYS_FAILED,
		    "record %" PRIu64 " is not in the tree of the checkpoint", part->index);
	else if (record->t < j->t)
		kmn_judge_note(j, KMN_ASK_PLACE, KMN_SAYS_FAILED, "record %" PRIu64 " is older than the one before it",
		    part->index);
	else if (!kmn_gather_takes(record->kind) || !is_about(j, record))
		kmn_judge_note(j, KMN_ASK_PLACE, KMN_SAYS_FAILED,
		    "record %" PRIu64 " (%s) is not about request %" PRIu64, part->index, record->type,
		    j->bundle->request);
	j->t = record->t;
	return KMN_OK;
}

/* The window that the decision about the request names: it belongs to it, and comes before it. */
static void
find_window(struct kmn_judging *j)
{
	j->window = j->bundle->request;
	for (size_t n = 0; n < j->bundle->records; n++) {
		const struct kmn_bundle_record *part = &j->bundle->record[n];
		struct kmn_record record = {0};
		struct kmn_ref ref;

		if (kmn_record_parse(part->line, part->len, &record, NULL) == KMN_OK && record.kind == KMN_R_DECISION &&
		    kmn_ref_get(record.body, "request", &ref) && ref.i == j->bundle->request &&
		    kmn_ref_get(record.body, "window", &ref))
			j->window = ref.i;
		kmn_record_clear(&record);
	}
}

kmn_err
kmn_judge_lines(struct kmn_judging *j)
{
	kmn_err e = KMN_OK;

	find_window(j);
	if ((j->record = calloc(j->bundle->records + 1, sizeof(*j->record))) == NULL)
		return KMN_E_NO_MEMORY;
	for (size_t n = 0; e == KMN_OK && n < j->bundle->records; n++)
		e = judge_line(j, &j->bundle->record[n]);
	kmn_judge_note(j, KMN_ASK_PLACE, KMN_SAYS_OK,
	    "%zu records, each in the tree of %" PRIu64 " that the log key signed", j->records, j->head.size);
	return e;
}

/* A head that a record states is one of the checkpoint's tree. */
bool
kmn_judge_is_head(void *cookie, const struct kmn_head *head)
{
	const struct kmn_judging *j = cookie;

	for (size_t n = 0; n < j->bundle->consistencies; n++)
		if (j->bundle->consistency[n].size == head->size)
			return kmn_consistency_verify(head, &j->head, &j->bundle->consistency[n].path) == KMN_OK;
	return false;
}
