#include "config.h"

#include "tools/kanmon/audit_bundle_judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/action.h"
#include "tools/kanmon/audit_bundle_inner.h"

static kmn_err
get_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	const struct kmn_judging *j = cookie;
	const struct kmn_bundle_blob *blob = kmn_bundle_blob(j->bundle, sha256);

	if (blob == NULL)
		return KMN_E_NOT_FOUND;
	if ((*bytes_out = malloc(blob->len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(*bytes_out, blob->bytes, blob->len);
	*len_out = blob->len;
	return KMN_OK;
}

static enum kmn_topic
topic_of(const struct kmn_record *record, const char *check)
{
	if (strcmp(check, "V5") == 0)
		return KMN_ASK_POLICY;
	if (strcmp(check, "V7") == 0)
		return KMN_ASK_HSM;
	if (record->kind == KMN_R_DECISION || record->kind == KMN_R_OP)
		return KMN_ASK_DECIDED;
	return record->kind == KMN_R_RESULT ? KMN_ASK_HSM : KMN_ASK_SIGNED;
}

static void
take_action(struct kmn_judging *j, const struct kmn_record *record)
{
	uint8_t shown[KMN_HASH_BYTES];
	const char *what;

	if (kmn_json_get_text(record->body, "what", &what) && kmn_action_of(what) == KMN_ACTION_WITHDRAW)
		return; /* nothing was on a screen */
	if (kmn_json_get_text(record->body, "what", &what) && kmn_action_of(what) == KMN_ACTION_INSTRUCT) {
		kmn_judge_instruct(j, record);
		return;
	}
	j->actions++;
	if (!kmn_json_get_b64(record->body, "shown_sha256", shown, sizeof(shown)) || !j->statement ||
	    memcmp(shown, j->shown, sizeof(shown)) != 0)
		kmn_judge_note(j, KMN_ASK_SCREEN, KMN_SAYS_FAILED,
		    "record %" PRIu64 ": the screen showed another text than the statement", record->i);
}

/* What quorum does not look at: screens, references of redelivered answers, the last decision and result. */
static void
take_record(struct kmn_judging *j, const struct kmn_record *record)
{
	const struct kmn_record *to;
	const char *text;

	switch (record->kind) {
	case KMN_R_STATEMENT:
		if (kmn_json_get_text(record->body, "text", &text)) {
			kmn_sha256(text, strlen(text), j->shown);
			j->statement = true;
		}
		break;
	case KMN_R_ACTION:
		take_action(j, record);
		break;
	case KMN_R_INTENT:
		kmn_judge_instructed(j, record);
		break;
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
		j->votes++;
		break;
	case KMN_R_DECISION:
		if ((to = kmn_judge_referred(j, record, "request")) == NULL || to->i != j->bundle->request)
			break; /* the window's */
		j->decided = true;
		j->allowed = kmn_json_get_text(record->body, "verdict", &text) && strcmp(text, "allow") == 0;
		break;
	case KMN_R_RESULT:
		j->result = record->i;
		break;
	default:
		break;
	}
}

static kmn_err
judge_records(struct kmn_judging *j)
{
	struct kmn_quorum_settings settings = {.blob = get_blob, .head = kmn_judge_is_head, .cookie = j};
	struct kmn_finding finding;
	kmn_err e = kmn_quorum_new(&settings, &j->quorum);

	if (e == KMN_OK)
		kmn_quorum_resume(j->quorum, UINT64_MAX); /* how often a window was used, only the whole ledger says */
	for (size_t n = 0; e == KMN_OK && n < j->records; n++) {
		const struct kmn_record *record = &j->record[n];

		if (record->owner == NULL)
			continue; /* no record: said */
		take_record(j, record);
		e = kmn_quorum_apply(j->quorum, record, &finding);
		/* how fresh stamps and cosignatures were then, only the whole ledger says */
		if (e == KMN_E_CORRUPT && strcmp(finding.check, "V4") != 0 && strcmp(finding.check, "V9") != 0 &&
		    strcmp(finding.check, "V10") != 0)
			kmn_judge_note(j, topic_of(record, finding.check), KMN_SAYS_FAILED, "record %" PRIu64 ": %s",
			    record->i, finding.text);
		else if (e == KMN_E_NOT_FOUND)
			kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_MISSING,
			    "record %" PRIu64 ": the public key is not in the bundle", record->i);
		e = e == KMN_E_CORRUPT || e == KMN_E_NOT_FOUND ? KMN_OK : e;
		if (record->i == 0 && e == KMN_OK &&
		    (kmn_quorum_policy(j->quorum) == NULL || memcmp(kmn_policy_sha256(kmn_quorum_policy(j->quorum)),
								 j->trust->policy_sha256, KMN_HASH_BYTES) != 0))
			kmn_judge_note(
			    j, KMN_ASK_POLICY, KMN_SAYS_FAILED, "policy 1 is not the one that the trust file pins");
	}
	return e;
}

static void
judge_signature(struct kmn_judging *j, const struct kmn_request *request)
{
	struct kmn_quorum_counts counts;

	kmn_quorum_counts(j->quorum, &counts);
	if (!j->decided)
		kmn_judge_note(j, KMN_ASK_DECIDED, KMN_SAYS_MISSING, "no decision");
	else
		kmn_judge_note(j, KMN_ASK_DECIDED, KMN_SAYS_OK, "%s by rule %s, as the votes and the policy demand",
		    kmn_request_state_name(request->state), request->verdict.rule);
	if (!j->allowed)
		kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_NOT_ASKED, "not allowed: the HSM was not asked");
	else if (j->result == 0)
		kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_MISSING, "no result");
	else if (request->rv != 0)
		kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_OK, "the HSM answered with an error, 0x%" PRIx64, request->rv);
	else if (counts.signatures_verified > 0)
		kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_OK,
		    "the signature verifies under the key of the statement over what was asked");
	else
		kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_OK,
		    "the answer is recorded; it is no signature, or not one that can be verified again");
}

/* One record is request, decision and result: nobody had to be asked, or it was refused. */
static void
judge_op(struct kmn_judging *j, const struct kmn_record *op)
{
	struct kmn_quorum_counts counts;
	const char *rule = "";
	uint64_t rv = 0, version = 0;

	kmn_quorum_counts(j->quorum, &counts);
	if (!kmn_json_get_text(op->body, "rule", &rule) || !kmn_json_get_number(op->body, "rv", &rv) ||
	    !kmn_json_get_number(json_object_get(op->body, "policy"), "version", &version))
		return; /* no op: said */
	kmn_judge_note(j, KMN_ASK_POLICY, KMN_SAYS_OK,
	    "version %" PRIu64 " was in force, signed by the quorums from version 1 on", version);
	kmn_judge_note(j, KMN_ASK_DECIDED, KMN_SAYS_OK, "by rule %s, as the policy demands", rule);
	kmn_judge_note(j, KMN_ASK_SCREEN, KMN_SAYS_NOT_ASKED, "nobody had to be asked");
	kmn_judge_note(
	    j, KMN_ASK_SIGNED, KMN_SAYS_NOT_ASKED, "rule %s holds no such call: no approval was needed", rule);
	if (rv != 0)
		kmn_judge_note(
		    j, KMN_ASK_HSM, KMN_SAYS_OK, "it was refused, or the HSM answered with an error, 0x%" PRIx64, rv);
	else if (counts.signatures_verified > 0)
		kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_OK,
		    "the signature verifies under the key of the record over what was asked");
	else
		kmn_judge_note(j, KMN_ASK_HSM, KMN_SAYS_OK,
		    "the answer is recorded; it is no signature, or not one that can be verified again");
}

static const struct kmn_record *
op_of(const struct kmn_judging *j)
{
	for (size_t n = 0; n < j->records; n++)
		if (j->record[n].kind == KMN_R_OP && j->record[n].i == j->bundle->request && j->record[n].owner != NULL)
			return &j->record[n];
	return NULL;
}

/* A window let it run: without that one's records nobody can say who approved it. */
static bool
was_windowed(const struct kmn_judging *j, const struct kmn_request *request)
{
	return j->allowed && !request->window && request->verdict.answer == KMN_ANSWER_HELD &&
	       request->verdict.per == KMN_PER_WINDOW;
}

static void
judge_request(struct kmn_judging *j)
{
	const struct kmn_request *request = kmn_quorum_request(j->quorum, j->bundle->request);
	const struct kmn_policy *policy = kmn_quorum_policy(j->quorum);
	const struct kmn_record *op = op_of(j);

	if (op != NULL && policy != NULL) {
		judge_op(j, op);
		return;
	}
	if (request == NULL || policy == NULL) {
		kmn_judge_note(j, KMN_ASK_POLICY, KMN_SAYS_MISSING, "no genesis, or no intent");
		kmn_judge_note(j, KMN_ASK_DECIDED, KMN_SAYS_MISSING, "no request");
		return;
	}
	kmn_judge_note(j, KMN_ASK_POLICY, KMN_SAYS_OK,
	    "version %" PRIu64 " was in force, signed by the quorums from version 1 on", request->policy_version);
	judge_signature(j, request);
	if (was_windowed(j, request) &&
	    (request->window_i == 0 || (request = kmn_quorum_request(j->quorum, request->window_i)) == NULL)) {
		kmn_judge_note(j, KMN_ASK_SIGNED, KMN_SAYS_MISSING, "the window is not in the bundle");
		return;
	}
	if (!request->held) {
		kmn_judge_note(j, KMN_ASK_SCREEN, KMN_SAYS_NOT_ASKED, "nobody had to be asked");
		kmn_judge_note(j, KMN_ASK_SIGNED, KMN_SAYS_NOT_ASKED, "rule %s holds no call: no approval was needed",
		    request->verdict.rule);
		return;
	}
	if (!j->statement)
		kmn_judge_note(j, KMN_ASK_SIGNED, KMN_SAYS_MISSING, "the statement is not in the bundle");
	kmn_judge_note(j, KMN_ASK_SIGNED, KMN_SAYS_OK,
	    "the statement is made again from the request; %zu of %u notes over it count", request->vote_count,
	    j->votes);
	if (j->actions == 0)
		kmn_judge_note(j, KMN_ASK_SCREEN, KMN_SAYS_NOT_ASKED, "what screens showed is not recorded");
	else
		kmn_judge_note(
		    j, KMN_ASK_SCREEN, KMN_SAYS_OK, "%u records of screens show the text that was signed", j->actions);
}

int
kmn_bundle_judge(const struct kmn_bundle *bundle, const struct kmn_trust *trust, FILE *out, bool json)
{
	struct kmn_judging *j = calloc(1, sizeof(*j));
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e = KMN_E_NO_MEMORY;

	if (j != NULL) {
		j->bundle = bundle;
		j->trust = trust;
		kmn_judge_checkpoint(j);
		if ((e = kmn_judge_lines(j)) == KMN_OK && (e = judge_records(j)) == KMN_OK) {
			judge_request(j);
			kmn_judge_note(j, KMN_ASK_INSTRUCTED, KMN_SAYS_NOT_ASKED,
			    "it names no instruction of an operator at the console");
			e = kmn_judge_time(j);
		}
	}
	if (e == KMN_OK) {
		exit_code = kmn_judged_exit(j);
		if (out != NULL)
			kmn_judged_print(j, out, exit_code, json);
	} else {
		(void)fprintf(stderr, "kanmon audit: %s\n", kmn_err_text(e));
	}
	for (size_t n = 0; j != NULL && n < j->records; n++)
		kmn_record_clear(&j->record[n]);
	if (j != NULL) {
		free(j->record);
		kmn_quorum_free(j->quorum);
	}
	free(j);
	return exit_code;
}
