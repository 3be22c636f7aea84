/* V5-V7 as a checker of the verifier: the records, applied by the code that the keeper runs. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/checker.h"
#include "kanmon/log.h"
#include "kanmon/quorum.h"
#include "kanmon/record.h"

struct judge {
	const struct kmn_checking *checking;
	struct kmn_quorum *quorum;
};

static kmn_err
get_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	struct judge *judge = cookie;

	return kmn_blob_read(judge->checking->settings->store, sha256, bytes_out, len_out);
}

static bool
is_head(void *cookie, const struct kmn_head *head)
{
	struct judge *judge = cookie;

	return kmn_past_is_head(judge->checking->past, head);
}

static void
clear(void *state)
{
	struct judge *judge = state;

	kmn_quorum_free(judge->quorum);
	free(judge);
}

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct judge *judge = calloc(1, sizeof(*judge));
	struct kmn_quorum_settings settings = {get_blob, is_head, judge};
	kmn_err e;

	*state_out = NULL;
	if (judge == NULL)
		return KMN_E_NO_MEMORY;
	judge->checking = checking;
	if ((e = kmn_quorum_new(&settings, &judge->quorum)) != KMN_OK) {
		free(judge);
		return e;
	}
	*state_out = judge;
	return KMN_OK;
}

static enum kmn_check
check_of(const char *name)
{
	long n = name[0] == 'V' ? strtol(name + 1, NULL, 10) : 0;

	return n >= 1 && n < KMN_CHECK_COUNT ? (enum kmn_check)n : KMN_V6;
}

static void
check_pin(struct judge *judge, const struct kmn_place *place)
{
	const struct kmn_policy *policy = kmn_quorum_policy(judge->quorum);

	if (policy == NULL ||
	    memcmp(kmn_policy_sha256(policy), judge->checking->settings->trust->policy_sha256, KMN_HASH_BYTES) != 0)
		kmn_checker_say(
		    judge->checking, KMN_V5, KMN_FINDING, place, "policy 1 is not the one that the trust file pins");
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct judge *judge = state;
	struct kmn_finding finding;
	kmn_err e = kmn_quorum_apply(judge->quorum, record, &finding);

	if (e == KMN_E_CORRUPT) {
		struct kmn_place at = {
		    finding.i == record->i ? place->file : NULL, finding.i == record->i ? place->line : 0, finding.i};

		kmn_checker_say(judge->checking, check_of(finding.check), KMN_FINDING, &at, "%s", finding.text);
	} else if (e != KMN_OK) {
		kmn_checker_say(judge->checking, KMN_V6, KMN_MISSING, place, "%s", kmn_err_text(e));
	}
	if (record->i == 0)
		check_pin(judge, place);
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	struct judge *judge = state;
	struct kmn_verify_report *report = judge->checking->report;
	struct kmn_quorum_counts counts;

	kmn_quorum_counts(judge->quorum, &counts);
	report->requests = counts.requests;
	report->results = counts.results;
	report->statements_verified = counts.statements_verified;
	report->signatures_verified = counts.signatures_verified;
	report->signatures_skipped = counts.signatures_skipped;
	report->done[KMN_V5] = report->done[KMN_V6] = report->done[KMN_V7] = true;
	return KMN_OK;
}

const struct kmn_checker kmn_quorum_checker = {"quorum", KMN_KINDS_ALL, KMN_KINDS_ALL, begin, take_record, end, clear};
