#include "config.h"

#include "tools/kanmon/audit_refusal.h"

#include <string.h>

static const struct {
	const char *reason, *words;
} reasons[] = {
    {"rule", "its rule refuses it"},
    {"seal", "an anomaly closed its token"},
    {"stale", "a limit of the policy is past, or the clock lags"},
    {"call", "something that no record shows"},
    {KMN_REFUSAL_UNKNOWN, "why is not recorded"},
};

static bool
is_refused(const struct kmn_record *record)
{
	uint64_t rv, took_us;
	const char *verdict;

	switch (record->kind) {
	case KMN_R_DECISION:
		return kmn_json_get_text(record->body, "verdict", &verdict) && strcmp(verdict, "deny") == 0;
	case KMN_R_OP:
		return kmn_json_get_number(record->body, "rv", &rv) && rv != 0 &&
		       kmn_json_get_number(record->body, "dur_us", &took_us) && took_us == 0;
	default:
		return false;
	}
}

const char *
kmn_refusal(const struct kmn_record *record)
{
	const char *reason;

	if (!is_refused(record))
		return "";
	return kmn_json_get_text(record->body, "reason", &reason) ? reason : KMN_REFUSAL_UNKNOWN;
}

const char *
kmn_refusal_words(const char *reason)
{
	for (size_t n = 0; n < KMN_COUNT_OF(reasons); n++)
		if (strcmp(reasons[n].reason, reason) == 0)
			return reasons[n].words;
	return reason;
}
