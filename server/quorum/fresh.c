/*
 * What must be fresh for calls to go on: time stamps, and a clock that does not
 * lag. Judged from records and the time of the judgement alone, so keeper and
 * auditor say the same. A row of limits[] is a line of the policy and the type
 * of record that answers it.
 */
#include "config.h"

#include "server/quorum/quorum.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/quorum/policy.h"

static const struct {
	enum kmn_record_kind answers;
	const char *check, *what;
} limits[KMN_LIMIT_COUNT] = {
    [KMN_LIMIT_ANCHORS] = {KMN_R_ANCHOR, "V9", "time stamp"},
    [KMN_LIMIT_WITNESSES] = {KMN_R_UNKNOWN, "V4", "head cosigned by the witnesses that it takes"}, /* witness.c */
};

struct kmn_policy_limit
kmn_policy_limit(const struct kmn_policy *policy, enum kmn_policy_limit_kind kind)
{
	return policy->limit[kind];
}

void
quorum_fresh_apply(struct kmn_quorum *q, const struct kmn_record *record)
{
	uint64_t after;

	q->fresh.t = record->t;
	for (unsigned kind = 0; kind < KMN_LIMIT_COUNT; kind++)
		if (record->kind == limits[kind].answers && record->kind != KMN_R_UNKNOWN)
			q->fresh.last_t[kind] = record->t;
	if (record->kind == KMN_R_GENESIS || record->kind == KMN_R_POLICY)
		q->fresh.policy_t = record->t;
	else if (record->kind == KMN_R_CLOCK && kmn_json_get_number(record->body, "after", &after))
		q->fresh.behind_t = after < record->t ? record->t : 0;
}

bool
kmn_quorum_is_closed(const struct kmn_quorum *q)
{
	return q->last[KMN_R_CLOSED] != 0;
}

static bool
is_over(const struct kmn_quorum *q, enum kmn_policy_limit_kind kind, char durability, int64_t now,
    struct kmn_stale *stale_out)
{
	struct kmn_policy_limit limit = kmn_policy_limit(kmn_quorum_policy(q), kind);
	uint64_t last = q->fresh.last_t[kind];
	uint64_t since = last > q->fresh.policy_t ? last : q->fresh.policy_t;

	if (limit.within_ms == 0 || limit.refuse == 'N' || (durability == 'B' && limit.refuse != 'B') ||
	    now <= (int64_t)since || (uint64_t)now - since <= limit.within_ms)
		return false;
	stale_out->check = limits[kind].check;
	snprintf(stale_out->reason, sizeof(stale_out->reason),
	    "no %s for %" PRIu64 " s, and the policy asks for one within %" PRIu64 " s", limits[kind].what,
	    ((uint64_t)now - since) / 1000, limit.within_ms / 1000);
	return true;
}

bool
kmn_quorum_is_stale(const struct kmn_quorum *q, char durability, int64_t now, struct kmn_stale *stale_out)
{
	*stale_out = (struct kmn_stale){"", ""};
	if (kmn_quorum_policy(q) == NULL || q->choosing)
		return false;
	if (durability == 'A' && q->fresh.behind_t != 0 && now <= (int64_t)q->fresh.behind_t) {
		stale_out->check = "V10";
		snprintf(stale_out->reason, sizeof(stale_out->reason),
		    "the clock went back, and is %" PRIu64 " s behind what the ledger says already",
		    (q->fresh.behind_t - (uint64_t)(now < 0 ? 0 : now)) / 1000 + 1);
		return true;
	}
	for (unsigned kind = 0; kind < KMN_LIMIT_COUNT; kind++)
		if (is_over(q, kind, durability, now, stale_out))
			return true;
	return false;
}

int64_t
kmn_quorum_record_ms(const struct kmn_quorum *q, int64_t now)
{
	int64_t behind = (int64_t)q->fresh.behind_t;

	return now > behind ? now : behind;
}

bool
kmn_quorum_has_limits(const struct kmn_quorum *q)
{
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	bool any = q->fresh.behind_t != 0;

	for (unsigned kind = 0; policy != NULL && kind < KMN_LIMIT_COUNT; kind++)
		any = any || (policy->limit[kind].within_ms != 0 && policy->limit[kind].refuse != 'N');
	return any;
}
