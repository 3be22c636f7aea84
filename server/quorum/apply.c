/* Records into the state: what is done for each kind of record, and what all of that needs. */
#include "config.h"

#include "server/quorum/apply.h"

#include "kanmon/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
apply_found(struct step *s, const char *check, const char *format, ...)
{
	va_list args;

	if (s->err != KMN_OK)
		return;
	s->err = KMN_E_CORRUPT;
	s->finding->i = s->record->i;
	snprintf(s->finding->check, sizeof(s->finding->check), "%s", check);
	va_start(args, format);
	vsnprintf(s->finding->text, sizeof(s->finding->text), format, args);
	va_end(args);
}

void
apply_trouble(struct step *s, kmn_err e)
{
	if (s->err == KMN_OK)
		s->err = e;
}

int64_t
apply_judged_at(const struct step *s)
{
	return (int64_t)s->record->t - QUORUM_GRACE_MS;
}

const struct kmn_policy *
apply_policy_named(struct step *s)
{
	/* Without a tree, one of its form named the policy in force. */
	const struct kmn_policy *policy =
	    s->record->body == NULL ? kmn_quorum_policy(s->q) : quorum_named_policy(s->q, s->record);

	if (policy == NULL)
		apply_found(s, "V6", "it names a policy that is not in force");
	return policy;
}

void
apply_check_fresh(struct step *s, char durability, int64_t t, int64_t grace)
{
	struct kmn_stale stale;

	if (kmn_quorum_is_stale(s->q, durability, t, &stale) &&
	    kmn_quorum_is_stale(s->q, durability, t - grace, &stale))
		apply_found(s, stale.check, "class %c went on: %.250s", durability, stale.reason);
}

void
apply_check_stance(struct step *s, const json_t *body, char durability, bool windowed, int64_t since)
{
	struct kmn_anomaly anomaly;

	if (kmn_quorum_token_stops(s->q, body, durability, windowed, since, &anomaly))
		apply_found(s, "V6", "class %c went on: %.250s", durability, anomaly.reason);
}

/* What another file makes of a record. */
typedef kmn_err take_fn(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why);

static void
apply_pure(struct step *s, const char *check, const char *prefix, take_fn *take)
{
	struct kmn_why why = {""};
	kmn_err e = take(s->q, s->record, &why);

	if (e == KMN_E_CORRUPT)
		apply_found(s, check, "%s%.300s", prefix, why.text);
	else if (e != KMN_OK)
		apply_trouble(s, e);
}

/* What is done for a record of each kind, in this order; a kind that is not here changes nothing of the state. */
static const struct {
	enum kmn_record_kind kind;
	void (*apply)(struct step *s);
	take_fn *take;     /* in place of apply */
	const char *check; /* that take's findings fall under */
} rows[] = {
    {KMN_R_GENESIS, .take = quorum_rotation_apply, .check = "V5"},
    {KMN_R_POLICY, .take = quorum_rotation_apply, .check = "V5"},
    {KMN_R_POLICY_PROPOSAL, .take = quorum_rotation_apply, .check = "V5"},
    {KMN_R_GATEWAY_START, .take = quorum_rotation_apply, .check = "V5"},
    {KMN_R_GATEWAY_START, .take = quorum_action_apply, .check = "V6"},
    {KMN_R_ACTION, .take = quorum_action_apply, .check = "V6"},
    {KMN_R_POLICY_VETO, .take = quorum_signed_apply, .check = "V6"},
    {KMN_R_ATTESTATION, .take = quorum_signed_apply, .check = "V6"},
    {KMN_R_REOPEN, .take = quorum_signed_apply, .check = "V6"},
    {KMN_R_ANOMALY, .take = quorum_anomaly_check, .check = "V6"},
    {KMN_R_INTENT, .apply = apply_intent},
    {KMN_R_ATTACHMENT, .apply = apply_attachment},
    {KMN_R_STATEMENT, .apply = apply_statement},
    {KMN_R_APPROVAL, .apply = apply_vote},
    {KMN_R_REJECTION, .apply = apply_vote},
    {KMN_R_VETO, .apply = apply_vote},
    {KMN_R_DECISION, .apply = apply_decision},
    {KMN_R_RESULT, .apply = apply_result},
    {KMN_R_OP, .apply = apply_op},
    {KMN_R_SESSION, .apply = apply_session},
    {KMN_R_RECOVERY, .apply = apply_recovery},
};

static void
apply(struct step *s)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		if (rows[i].kind != s->record->kind)
			continue;
		if (rows[i].apply != NULL)
			rows[i].apply(s);
		else
			apply_pure(s, rows[i].check, "", rows[i].take);
	}
}

kmn_err
kmn_quorum_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_finding *finding_out)
{
	struct quorum_judged judged;
	struct kmn_record whole = *record;
	struct step s = {q, record, record, &judged, finding_out, KMN_OK};
	json_t *owner = NULL;

	memset(finding_out, 0, sizeof(*finding_out));
	if (record->body == NULL && !quorum_is_plain(q, record, &judged)) {
		if ((owner = json_loadb(record->scan->body, record->scan->body_len, 0, NULL)) == NULL)
			return KMN_E_NO_MEMORY;
		whole.body = owner;
		s.record = &whole;
	}
	q->choosing = record->i < q->resumed;
	apply(&s);
	if (record->kind != KMN_R_UNKNOWN)
		q->last[record->kind] = record->i + 1;
	apply_pure(&s, "V4", "cosignatures: ", quorum_witness_apply);
	quorum_fresh_apply(q, s.record);
	quorum_stance_apply(q, s.record);
	json_decref(owner);
	q->choosing = false;
	if (record->i < q->resumed) /* a choice holds what is kept and nothing else */
		return s.err;
	if (q->ended_held > QUORUM_HELD_KEPT)
		apply_forget_oldest(q, true);
	if (q->ended_free > QUORUM_FREE_KEPT)
		apply_forget_oldest(q, false);
	return s.err;
}
