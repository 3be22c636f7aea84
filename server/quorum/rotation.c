/*
 * Which policy is in force, from records alone. A version follows the one
 * before when the quorums of both signed it; where the first is lost, the
 * recovery role of the one before signs instead, and the version waits: for a
 * delay in which one veto stops it.
 *
 *   policy (N and N+1 signed) ─────────────────────────────────────▶ in force
 *   policy.proposal (recovery of N, and N+1) ─▶ waits ─delay over─▶ policy (names the proposal) ─▶ in force
 *                                                 └─ policy.veto, or another version N+1 ─▶ gone
 *
 * The delay passes by the wall clock and by the boot clock: who moves the one
 * shortens nothing. The boot clock tells nothing of the time before a reboot,
 * so the delay begins anew with the first gateway.start after one.
 */
#include "config.h"

#include "server/quorum/quorum.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- versions ---------------------------------------------------------------------------------------------------- */

/* It takes effect with a record of time t, or would. */
static kmn_err
check_validity(const struct kmn_policy *policy, int64_t t, int64_t grace, struct kmn_policy_error *error)
{
	if (t - grace >= policy->expires)
		snprintf(error->text, sizeof(error->text), "it has expired when it would take effect");
	else if (t < policy->not_before)
		snprintf(error->text, sizeof(error->text), "its not-before is later than when it would take effect");
	else
		return KMN_OK;
	return KMN_E_MALFORMED;
}

/* A note as the version after the one in force; `role` of that one signed it. */
static kmn_err
accept_note(const struct kmn_quorum *q, const char *note, size_t len, const char *role, int64_t t, int64_t grace,
    struct kmn_policy **policy_out, struct kmn_policy_error *error)
{
	const struct kmn_policy *before = kmn_quorum_policy(q);
	kmn_err e = policy_accept(note, len, before, role, policy_out, error);

	if (e == KMN_OK && before != NULL && (e = check_validity(*policy_out, t, grace, error)) != KMN_OK) {
		kmn_policy_free(*policy_out);
		*policy_out = NULL;
	}
	return e;
}

/* One whose term is over before it takes effect waits for nothing. */
static bool
is_waiting(const struct kmn_quorum *q, int64_t t)
{
	return q->waiting.policy != NULL && t < q->waiting.policy->expires;
}

/* Records' times never go back: a clock that did says nothing of the next one's. */
static int64_t
not_before_ledger(const struct kmn_quorum *q, int64_t now)
{
	return now > (int64_t)q->fresh.t ? now : (int64_t)q->fresh.t;
}

kmn_err
kmn_quorum_check_policy(
    const struct kmn_quorum *q, const char *note, size_t len, int64_t now, struct kmn_policy_error *error)
{
	struct kmn_policy *policy = NULL;
	kmn_err e = accept_note(q, note, len, "policy", not_before_ledger(q, now), 0, &policy, error);

	kmn_policy_free(policy);
	return e;
}

kmn_err
kmn_quorum_check_proposal(const struct kmn_quorum *q, const char *note, size_t len, int64_t now,
    int64_t *effective_at_out, struct kmn_policy_error *error)
{
	struct kmn_policy *policy = NULL;
	int64_t at = not_before_ledger(q, now) + (int64_t)kmn_policy_recovery_delay_ms(kmn_quorum_policy(q));
	kmn_err e = accept_note(q, note, len, "recovery", at, 0, &policy, error);

	kmn_policy_free(policy);
	*effective_at_out = at;
	if (e == KMN_OK && is_waiting(q, now)) {
		snprintf(error->text, sizeof(error->text),
		    "another policy of the recovery role waits (record %" PRIu64 "): it is vetoed first",
		    q->waiting.ref.i);
		return KMN_E_BUSY;
	}
	return e;
}

/* ---- what waits -------------------------------------------------------------------------------------------------- */

static void
forget_waiting(struct kmn_quorum *q)
{
	kmn_policy_free(q->waiting.policy);
	free(q->waiting.note);
	memset(&q->waiting, 0, sizeof(q->waiting));
}

void
quorum_rotation_free(struct kmn_quorum *q)
{
	forget_waiting(q);
}

/* How long it still waits, by whichever clock says more. */
static int64_t
left_ms(const struct kmn_quorum *q, int64_t t, int64_t m)
{
	int64_t delay = (int64_t)kmn_policy_recovery_delay_ms(kmn_quorum_policy(q));
	int64_t since = q->boot.i > q->waiting.ref.i ? q->boot.m : q->waiting.m;
	int64_t wall = q->waiting.t + delay - t, boot = since + delay - m;
	int64_t left = wall > boot ? wall : boot;

	return left > 0 ? left : 0;
}

bool
kmn_quorum_waiting(const struct kmn_quorum *q, int64_t now, int64_t boot, struct kmn_waiting_policy *out)
{
	memset(out, 0, sizeof(*out));
	if (!is_waiting(q, now))
		return false;
	*out = (struct kmn_waiting_policy){.version = q->waiting.policy->version,
	    .sha256 = q->waiting.policy->sha256,
	    .note = q->waiting.note,
	    .ref = q->waiting.ref,
	    .left_ms = left_ms(q, now, boot)};
	return true;
}

kmn_err
quorum_veto_check(const struct kmn_quorum *q, const struct kmn_signed *said, const struct quorum_signers *signers,
    struct kmn_why *why)
{
	const struct kmn_signed_line *line = kmn_signed_line(said, "policy", 0);
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	const char *role = policy_group(policy, "veto", true) != NULL ? "veto" : "policy";

	if (q->waiting.policy == NULL || line->number != q->waiting.policy->version ||
	    memcmp(line->hash, q->waiting.policy->sha256, KMN_HASH_BYTES) != 0) {
		kmn_why_set(why, "no such policy waits");
		return KMN_E_NOT_FOUND;
	}
	for (size_t n = 0; n < signers->count; n++)
		if (policy_is_in_role(policy, role, signers->who[n].name))
			return KMN_OK;
	kmn_why_set(why, "nobody of role %s of policy version %" PRIu64 " signed it", role, policy->version);
	return KMN_E_SIGNATURE;
}

void
quorum_veto_apply(struct kmn_quorum *q, const struct kmn_record *record, const struct kmn_signed *said)
{
	(void)record;
	(void)said;
	forget_waiting(q);
}

/* ---- taking it in ------------------------------------------------------------------------------------------------ */

static kmn_err
found(struct kmn_why *why, const char *where, const struct kmn_policy_error *error)
{
	kmn_why_set(why, "the policy in %s is not valid: line %u: %s", where, error->line, error->text);
	return KMN_E_CORRUPT;
}

/* It is in force from this record on. Takes it. */
static kmn_err
put_in_force(struct kmn_quorum *q, struct kmn_policy *policy, uint64_t i)
{
	struct kmn_policy **more;
	uint64_t *more_i;

	if ((more = realloc(q->policies, (q->policy_count + 1) * sizeof(*more))) != NULL)
		q->policies = more;
	if ((more_i = realloc(q->policy_i, (q->policy_count + 1) * sizeof(*more_i))) != NULL)
		q->policy_i = more_i;
	if (more == NULL || more_i == NULL) {
		kmn_policy_free(policy);
		return KMN_E_NO_MEMORY;
	}
	q->policy_i[q->policy_count] = i;
	q->policies[q->policy_count++] = policy;
	forget_waiting(q); /* it followed the one before */
	return KMN_OK;
}

static kmn_err
take_genesis(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_policy *policy = NULL;
	const char *note, *origin;
	kmn_err e;

	if (q->policy_count > 0) {
		kmn_why_set(why, "a second genesis");
		return KMN_E_CORRUPT;
	}
	if (!kmn_json_get_text(record->body, "policy", &note) || !kmn_json_get_text(record->body, "origin", &origin)) {
		kmn_why_set(why, "genesis without policy or origin");
		return KMN_E_CORRUPT;
	}
	if ((e = accept_note(q, note, strlen(note), "policy", 0, 0, &policy, &error)) != KMN_OK)
		return e == KMN_E_NO_MEMORY ? e : found(why, "genesis", &error);
	if ((e = put_in_force(q, policy, record->i)) != KMN_OK || strcmp(policy->origin, origin) == 0)
		return e;
	kmn_why_set(why, "the policy is for origin %s", policy->origin);
	return KMN_E_CORRUPT;
}

/* What the recovery role brought takes effect: it is what waited, nobody stopped it, and its delay is over. */
static kmn_err
check_waited(const struct kmn_quorum *q, const struct kmn_record *record, const char *note, struct kmn_why *why)
{
	struct kmn_ref ref;
	int64_t left;

	if (!kmn_ref_get(record->body, "proposal", &ref) || q->waiting.policy == NULL || ref.i != q->waiting.ref.i ||
	    memcmp(ref.leaf, q->waiting.ref.leaf, sizeof(ref.leaf)) != 0 || strcmp(note, q->waiting.note) != 0) {
		kmn_why_set(why, "the record names a proposal that does not wait: it was stopped, or never was");
		return KMN_E_CORRUPT;
	}
	if ((left = left_ms(q, (int64_t)record->t, (int64_t)record->m)) == 0)
		return KMN_OK;
	kmn_why_set(why, "the policy of the recovery role takes effect %" PRId64 " ms before its delay is over", left);
	return KMN_E_CORRUPT;
}

static kmn_err
take_proposal(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_policy *policy = NULL;
	uint64_t version, at;
	int64_t due;
	const char *note;
	kmn_err e;

	if (q->policy_count == 0 || !kmn_json_get_text(record->body, "note", &note) ||
	    !kmn_json_get_number(record->body, "version", &version) ||
	    !kmn_json_get_number(record->body, "effective_at", &at)) {
		kmn_why_set(why, "a proposal without note, version or time, or before any policy");
		return KMN_E_CORRUPT;
	}
	due = (int64_t)record->t + (int64_t)kmn_policy_recovery_delay_ms(kmn_quorum_policy(q));
	if (is_waiting(q, (int64_t)record->t)) {
		kmn_why_set(why, "a proposal, and another one waits");
		return KMN_E_CORRUPT;
	}
	if ((e = accept_note(q, note, strlen(note), "recovery", due, QUORUM_GRACE_MS, &policy, &error)) != KMN_OK)
		return e == KMN_E_NO_MEMORY ? e : found(why, "the proposal", &error);
	forget_waiting(q);
	q->waiting.policy = policy;
	q->waiting.ref.i = record->i;
	memcpy(q->waiting.ref.leaf, record->leaf, sizeof(record->leaf));
	q->waiting.t = (int64_t)record->t;
	q->waiting.m = (int64_t)record->m;
	if ((q->waiting.note = strdup(note)) == NULL)
		return KMN_E_NO_MEMORY;
	if (policy->version == version && (int64_t)at <= due)
		return KMN_OK;
	kmn_why_set(why, "the proposal names another version, or a later time than its delay makes");
	return KMN_E_CORRUPT;
}

/* The boot clock of two boots says nothing of the time between them. */
static kmn_err
take_start(struct kmn_quorum *q, const struct kmn_record *record)
{
	const char *id;

	if (!kmn_json_get_text(record->body, "boot_id", &id) || (q->boot.i != 0 && strcmp(id, q->boot.id) == 0))
		return KMN_OK;
	q->boot.i = record->i;
	q->boot.m = (int64_t)record->m;
	(void)snprintf(q->boot.id, sizeof(q->boot.id), "%s", id);
	return KMN_OK;
}

static kmn_err
take_policy(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_policy *policy = NULL;
	bool waited = json_object_get(record->body, "proposal") != NULL;
	const char *note;
	uint64_t version;
	kmn_err e;

	if (!kmn_json_get_text(record->body, "note", &note) ||
	    !kmn_json_get_number(record->body, "version", &version)) {
		kmn_why_set(why, "a policy record without note or version");
		return KMN_E_CORRUPT;
	}
	/* Of chosen records the proposal is not one any more: it was held against it when both were read. */
	if (waited && !q->choosing && (e = check_waited(q, record, note, why)) != KMN_OK)
		return e;
	if (q->policy_count == 0) {
		kmn_why_set(why, "a policy record, and no genesis");
		return KMN_E_CORRUPT;
	}
	e = accept_note(q, note, strlen(note), waited ? "recovery" : "policy", (int64_t)record->t, QUORUM_GRACE_MS,
	    &policy, &error);
	if (e != KMN_OK)
		return e == KMN_E_NO_MEMORY ? e : found(why, "the record", &error);
	if ((e = put_in_force(q, policy, record->i)) != KMN_OK || policy->version == version)
		return e;
	kmn_why_set(why, "the record names another version than its policy");
	return KMN_E_CORRUPT;
}

kmn_err
quorum_rotation_apply(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	switch (record->kind) {
	case KMN_R_GENESIS:
		return take_genesis(q, record, why);
	case KMN_R_POLICY:
		return take_policy(q, record, why);
	case KMN_R_POLICY_PROPOSAL:
		return take_proposal(q, record, why);
	case KMN_R_GATEWAY_START:
		return take_start(q, record);
	default:
		return KMN_OK;
	}
}

/* ---- calls under the version before ------------------------------------------------------------------------------ */

static bool
is_named(const struct kmn_policy *policy, const json_t *named)
{
	uint8_t sha256[KMN_HASH_BYTES];
	uint64_t version;

	return kmn_json_get_number(named, "version", &version) && version == policy->version &&
	       kmn_json_get_b64(named, "sha256", sha256, sizeof(sha256)) &&
	       memcmp(sha256, policy->sha256, sizeof(sha256)) == 0;
}

const struct kmn_policy *
quorum_named_policy(const struct kmn_quorum *q, const struct kmn_record *record)
{
	const json_t *named = json_object_get(record->body, "policy");
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	uint64_t took_us;

	if (policy == NULL || is_named(policy, named))
		return policy;
	/* The one record of a class B call comes after the module's answer: the policy may have changed meanwhile. */
	if (record->kind == KMN_R_OP && q->policy_count > 1 && is_named(q->policies[q->policy_count - 2], named) &&
	    kmn_json_get_number(record->body, "dur_us", &took_us) &&
	    (int64_t)record->t - (int64_t)(took_us / 1000) - QUORUM_OP_GRACE_MS <= (int64_t)q->fresh.policy_t)
		return q->policies[q->policy_count - 2];
	return NULL;
}
