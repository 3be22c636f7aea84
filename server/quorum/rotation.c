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

kmn_err
kmn_quorum_check_policy(
    const struct kmn_quorum *q, const char *note, size_t len, int64_t now, struct kmn_policy_error *error)
{
	struct kmn_policy *policy = NULL;
	kmn_err e = accept_note(q, note, len, "policy", now, 0, &policy, error);

	kmn_policy_free(policy);
	return e;
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

static kmn_err
take_policy(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_policy *policy = NULL;
	const char *note;
	uint64_t version;
	kmn_err e;

	if (!kmn_json_get_text(record->body, "note", &note) ||
	    !kmn_json_get_number(record->body, "version", &version)) {
		kmn_why_set(why, "a policy record without note or version");
		return KMN_E_CORRUPT;
	}
	if (q->policy_count == 0) {
		kmn_why_set(why, "a policy record, and no genesis");
		return KMN_E_CORRUPT;
	}
	e = accept_note(q, note, strlen(note), "policy", (int64_t)record->t, QUORUM_GRACE_MS, &policy, &error);
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
