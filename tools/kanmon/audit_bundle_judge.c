#include "config.h"

#include "tools/kanmon/audit_bundle_judge.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/anchor.h"
#include "kanmon/quorum.h"
#include "kanmon/record.h"
#include "tools/kanmon/audit.h"

/* The questions, in the order of the answer. */
enum topic { PLACE, WITNESSES, POLICY, SCREEN, SIGNED, DECIDED, HSM, TIME, TOPICS };

static const char *const topics[TOPICS] = {
    [PLACE] = "place",
    [WITNESSES] = "witnesses",
    [POLICY] = "policy",
    [SCREEN] = "screen",
    [SIGNED] = "signed",
    [DECIDED] = "decided",
    [HSM] = "HSM",
    [TIME] = "time",
};

static const char *const not_checked[] = {
    "use count not checked: that the approvals were used nowhere else only the whole ledger shows",
    "nor that nothing was left out of the bundle (a veto that came too late, a later policy)",
};

enum answer { NOT_ASKED, OK, SHORT, MISSING, FAILED };
static const char *const answers[] = {"-", "ok", "short", "missing", "FAILED"};

struct judging {
	const struct kmn_bundle *bundle;
	const struct kmn_trust *trust;
	struct kmn_quorum *quorum;
	uint64_t window;      /* the request of the window that let it run; else the request itself */
	struct kmn_head head; /* of the checkpoint */
	struct kmn_record *record;
	size_t records;
	struct {
		enum answer answer;
		char text[640];
	} row[TOPICS];
	unsigned actions, votes;
	uint64_t t, result; /* of the record before; index of the last result, 0: none */
	uint8_t shown[KMN_HASH_BYTES];
	bool statement, decided, allowed;
};

static void note(struct judging *j, enum topic topic, enum answer answer, const char *format, ...) KMN_PRINTF(4, 5);

/* The worst answer stands; of several as bad the first. */
static void
note(struct judging *j, enum topic topic, enum answer answer, const char *format, ...)
{
	va_list args;

	if (j->row[topic].text[0] != '\0' && answer <= j->row[topic].answer)
		return;
	j->row[topic].answer = answer;
	va_start(args, format);
	(void)vsnprintf(j->row[topic].text, sizeof(j->row[topic].text), format, args);
	va_end(args);
}

/* ---- the checkpoint, and every line under it --------------------------------------------------------------------- */

static void
judge_checkpoint(struct judging *j)
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
		note(j, PLACE, FAILED, "the bundle is of another origin than the trust file");
	if ((e = kmn_note_parse(b->note, b->note_len, &parsed, &why)) == KMN_OK &&
	    (e = kmn_checkpoint_parse(&parsed, j->trust->origin, &j->head, &why)) == KMN_OK)
		e = kmn_note_verify(&parsed, &j->trust->log, 1, &log, &count, &why);
	if (e != KMN_OK || !log) {
		note(j, PLACE, FAILED, "the checkpoint is not signed by the pinned log key: %s",
		    e == KMN_OK ? "its line is not there" : why.text);
		return;
	}
	if (kmn_note_verify(&parsed, policy->witness, policy->witnesses, witness, &cosigned, &why) != KMN_OK)
		note(j, WITNESSES, FAILED, "%s", why.text);
	for (uint32_t w = 0; w < policy->witnesses; w++)
		bits |= (uint32_t)witness[w] << w;
	if (policy->quorum == KMN_TLOG_NONE)
		note(j, WITNESSES, NOT_ASKED, "the trust file asks for none; %zu cosigned", cosigned);
	else if (kmn_tlog_policy_is_met(policy, bits))
		note(j, WITNESSES, OK, "the quorum of the trust file cosigned (%zu witnesses)", cosigned);
	else
		note(j, WITNESSES, SHORT, "%zu cosigned, which is no quorum of the trust file", cosigned);
}

static bool
belongs(const struct kmn_record *record)
{
	switch (record->kind) {
	case KMN_R_GENESIS:
	case KMN_R_POLICY:
	case KMN_R_INTENT:
	case KMN_R_ATTACHMENT:
	case KMN_R_STATEMENT:
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
	case KMN_R_DECISION:
	case KMN_R_RESULT:
	case KMN_R_OP:
	case KMN_R_REDELIVER:
	case KMN_R_REDELIVERY:
	case KMN_R_ACTION:
	case KMN_R_ANCHOR:
	case KMN_R_SESSION: /* of a login that the request let in */
		return true;
	default:
		return false;
	}
}

/* A reference of a record to another one of the bundle, by index and leaf; NULL: it is to none. */
static const struct kmn_record *
referred(const struct judging *j, const struct kmn_record *record, const char *name)
{
	struct kmn_ref ref;

	if (!kmn_ref_get(record->body, name, &ref) || ref.i >= record->i)
		return NULL;
	for (size_t n = 0; n < j->records; n++)
		if (j->record[n].i == ref.i && memcmp(j->record[n].leaf, ref.leaf, KMN_HASH_BYTES) == 0)
			return &j->record[n];
	return NULL;
}

/* A record that is about a request is about this one, and names what is here. */
static bool
is_about(const struct judging *j, const struct kmn_record *record)
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
		return (to = referred(j, record, "result")) != NULL &&
		       (to->kind == KMN_R_RESULT || to->kind == KMN_R_OP);
	case KMN_R_ACTION:
		return (to = referred(j, record, "subject")) != NULL &&
		       (to->i == j->bundle->request || to->i == j->window);
	default:
		return (to = referred(j, record, "request")) != NULL &&
		       (to->i == j->bundle->request || to->i == j->window);
	}
}

static kmn_err
judge_line(struct judging *j, const struct kmn_bundle_record *part)
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
		note(j, PLACE, FAILED, "record %" PRIu64 ": %s", part->index, why.text);
	else if (record->i != part->index)
		note(j, PLACE, FAILED, "record %" PRIu64 " says of itself that it is %" PRIu64, part->index, record->i);
	else if (kmn_inclusion_verify(record->leaf, part->index, &j->head, &part->path) != KMN_OK)
		note(j, PLACE, FAILED, "record %" PRIu64 " is not in the tree of the checkpoint", part->index);
	else if (record->t < j->t)
		note(j, PLACE, FAILED, "record %" PRIu64 " is older than the one before it", part->index);
	else if (!belongs(record) || !is_about(j, record))
		note(j, PLACE, FAILED, "record %" PRIu64 " (%s) is not about request %" PRIu64, part->index,
		    record->type, j->bundle->request);
	j->t = record->t;
	return KMN_OK;
}

/* The window that the decision about the request names: it belongs to it, and comes before it. */
static void
find_window(struct judging *j)
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

static kmn_err
judge_lines(struct judging *j)
{
	kmn_err e = KMN_OK;

	find_window(j);
	if ((j->record = calloc(j->bundle->records + 1, sizeof(*j->record))) == NULL)
		return KMN_E_NO_MEMORY;
	for (size_t n = 0; e == KMN_OK && n < j->bundle->records; n++)
		e = judge_line(j, &j->bundle->record[n]);
	note(j, PLACE, OK, "%zu records, each in the tree of %" PRIu64 " that the log key signed", j->records,
	    j->head.size);
	return e;
}

/* A head that a record states is one of the checkpoint's tree. */
static bool
is_head(void *cookie, const struct kmn_head *head)
{
	const struct judging *j = cookie;

	for (size_t n = 0; n < j->bundle->consistencies; n++)
		if (j->bundle->consistency[n].size == head->size)
			return kmn_consistency_verify(head, &j->head, &j->bundle->consistency[n].path) == KMN_OK;
	return false;
}

static kmn_err
get_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	const struct judging *j = cookie;
	const struct kmn_bundle_blob *blob = kmn_bundle_blob(j->bundle, sha256);

	if (blob == NULL)
		return KMN_E_NOT_FOUND;
	if ((*bytes_out = malloc(blob->len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(*bytes_out, blob->bytes, blob->len);
	*len_out = blob->len;
	return KMN_OK;
}

/* ---- what the records say ---------------------------------------------------------------------------------------- */

static enum topic
topic_of(const struct kmn_record *record, const char *check)
{
	if (strcmp(check, "V5") == 0)
		return POLICY;
	if (strcmp(check, "V7") == 0)
		return HSM;
	if (record->kind == KMN_R_DECISION || record->kind == KMN_R_OP)
		return DECIDED;
	return record->kind == KMN_R_RESULT ? HSM : SIGNED;
}

static void
take_action(struct judging *j, const struct kmn_record *record)
{
	uint8_t shown[KMN_HASH_BYTES];

	j->actions++;
	if (!kmn_json_get_b64(record->body, "shown_sha256", shown, sizeof(shown)) || !j->statement ||
	    memcmp(shown, j->shown, sizeof(shown)) != 0)
		note(j, SCREEN, FAILED, "record %" PRIu64 ": the screen showed another text than the statement",
		    record->i);
}

/* What quorum does not look at: screens, references of redelivered answers, the last decision and result. */
static void
take_record(struct judging *j, const struct kmn_record *record)
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
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
		j->votes++;
		break;
	case KMN_R_DECISION:
		if ((to = referred(j, record, "request")) == NULL || to->i != j->bundle->request)
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
judge_records(struct judging *j)
{
	struct kmn_quorum_settings settings = {.blob = get_blob, .head = is_head, .cookie = j};
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
			note(j, topic_of(record, finding.check), FAILED, "record %" PRIu64 ": %s", record->i,
			    finding.text);
		else if (e == KMN_E_NOT_FOUND)
			note(j, HSM, MISSING, "record %" PRIu64 ": the public key is not in the bundle", record->i);
		e = e == KMN_E_CORRUPT || e == KMN_E_NOT_FOUND ? KMN_OK : e;
		if (record->i == 0 && e == KMN_OK &&
		    (kmn_quorum_policy(j->quorum) == NULL || memcmp(kmn_policy_sha256(kmn_quorum_policy(j->quorum)),
								 j->trust->policy_sha256, KMN_HASH_BYTES) != 0))
			note(j, POLICY, FAILED, "policy 1 is not the one that the trust file pins");
	}
	return e;
}

static void
judge_signature(struct judging *j, const struct kmn_request *request)
{
	struct kmn_quorum_counts counts;

	kmn_quorum_counts(j->quorum, &counts);
	if (!j->decided)
		note(j, DECIDED, MISSING, "no decision");
	else
		note(j, DECIDED, OK, "%s by rule %s, as the votes and the policy demand",
		    kmn_request_state_name(request->state), request->verdict.rule);
	if (!j->allowed)
		note(j, HSM, NOT_ASKED, "not allowed: the HSM was not asked");
	else if (j->result == 0)
		note(j, HSM, MISSING, "no result");
	else if (request->rv != 0)
		note(j, HSM, OK, "the HSM answered with an error, 0x%" PRIx64, request->rv);
	else if (counts.signatures_verified > 0)
		note(j, HSM, OK, "the signature verifies under the key of the statement over what was asked");
	else
		note(j, HSM, OK, "the answer is recorded; it is no signature, or not one that can be verified again");
}

/* One record is request, decision and result: nobody had to be asked, or it was refused. */
static void
judge_op(struct judging *j, const struct kmn_record *op)
{
	struct kmn_quorum_counts counts;
	const char *rule = "";
	uint64_t rv = 0, version = 0;

	kmn_quorum_counts(j->quorum, &counts);
	if (!kmn_json_get_text(op->body, "rule", &rule) || !kmn_json_get_number(op->body, "rv", &rv) ||
	    !kmn_json_get_number(json_object_get(op->body, "policy"), "version", &version))
		return; /* no op: said */
	note(j, POLICY, OK, "version %" PRIu64 " was in force, signed by the quorums from version 1 on", version);
	note(j, DECIDED, OK, "by rule %s, as the policy demands", rule);
	note(j, SCREEN, NOT_ASKED, "nobody had to be asked");
	note(j, SIGNED, NOT_ASKED, "rule %s holds no such call: no approval was needed", rule);
	if (rv != 0)
		note(j, HSM, OK, "it was refused, or the HSM answered with an error, 0x%" PRIx64, rv);
	else if (counts.signatures_verified > 0)
		note(j, HSM, OK, "the signature verifies under the key of the record over what was asked");
	else
		note(j, HSM, OK, "the answer is recorded; it is no signature, or not one that can be verified again");
}

static const struct kmn_record *
op_of(const struct judging *j)
{
	for (size_t n = 0; n < j->records; n++)
		if (j->record[n].kind == KMN_R_OP && j->record[n].i == j->bundle->request && j->record[n].owner != NULL)
			return &j->record[n];
	return NULL;
}

static void
judge_request(struct judging *j)
{
	const struct kmn_request *request = kmn_quorum_request(j->quorum, j->bundle->request);
	const struct kmn_policy *policy = kmn_quorum_policy(j->quorum);
	const struct kmn_record *op = op_of(j);

	if (op != NULL && policy != NULL) {
		judge_op(j, op);
		return;
	}
	if (request == NULL || policy == NULL) {
		note(j, POLICY, MISSING, "no genesis, or no intent");
		note(j, DECIDED, MISSING, "no request");
		return;
	}
	note(j, POLICY, OK, "version %" PRIu64 " was in force, signed by the quorums from version 1 on",
	    request->policy_version);
	judge_signature(j, request);
	if (request->window_i != 0 && (request = kmn_quorum_request(j->quorum, request->window_i)) == NULL) {
		note(j, SIGNED, MISSING, "the window is not in the bundle");
		return;
	}
	if (!request->held) {
		note(j, SCREEN, NOT_ASKED, "nobody had to be asked");
		note(j, SIGNED, NOT_ASKED, "rule %s holds no call: no approval was needed", request->verdict.rule);
		return;
	}
	if (!j->statement)
		note(j, SIGNED, MISSING, "the statement is not in the bundle");
	note(j, SIGNED, OK, "the statement is made again from the request; %zu of %u notes over it count",
	    request->vote_count, j->votes);
	if (j->actions == 0)
		note(j, SCREEN, NOT_ASKED, "what screens showed is not recorded");
	else
		note(j, SCREEN, OK, "%u records of screens show the text that was signed", j->actions);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

/* An anchor's token goes over a checkpoint of this very tree that covers the request; judged at its own time. */
static kmn_err
judge_token(struct judging *j, const struct kmn_record *record, const struct kmn_anchor_said *said, struct kmn_why *why,
    struct kmn_stamp *stamp)
{
	const struct kmn_bundle_blob *chain = kmn_bundle_blob(j->bundle, said->chain_sha256);
	uint8_t pins[KMN_TRUST_TSA_MAX][KMN_HASH_BYTES];
	struct kmn_stamp_roots *roots = NULL;
	struct kmn_stamp_want want = said->want;
	const char *text;
	kmn_err e;

	if (chain == NULL || !kmn_json_get_text(record->body, "note", &text)) {
		kmn_why_set(why, "its certificates are not in the bundle");
		return KMN_E_SIGNATURE;
	}
	for (size_t n = 0; n < j->trust->tsa_count; n++)
		memcpy(pins[n], j->trust->tsa[n].root_sha256, KMN_HASH_BYTES);
	if (!kmn_stamp_imprint(&want, want.alg, text, strlen(text)))
		return KMN_E_MALFORMED;
	e = kmn_stamp_roots_pinned((const char *)chain->bytes, chain->len, pins, j->trust->tsa_count, &roots, why);
	if (e == KMN_OK)
		e = kmn_stamp_verify(said->token, said->token_len, &want, roots, 0, stamp, why);
	kmn_stamp_roots_free(roots);
	if (e != KMN_OK || (stamp->gen_time == said->gen_time && strcmp(stamp->policy, said->policy_oid) == 0))
		return e;
	kmn_why_set(why, "it says another time or policy than the record");
	return KMN_E_SIGNATURE;
}

/* A record that the token covers existed then; only the whole ledger says whether a clock was put back since. */
static void
judge_order(struct judging *j, const struct kmn_record *anchor, uint64_t size, uint64_t gen_time)
{
	for (size_t n = 0; n < j->records && j->record[n].i < size; n++)
		if (j->record[n].t > gen_time + KMN_ANCHOR_SKEW_MS)
			note(j, TIME, MISSING,
			    "record %" PRIu64 " says a later time than the time stamp of record %" PRIu64
			    " that covers it: whether a clock was put back, kanmon audit verify says",
			    j->record[n].i, anchor->i);
}

/* The head that the token of an anchor goes over: a checkpoint of the pinned log key, of this tree. */
static bool
read_anchor(
    const struct judging *j, const struct kmn_record *record, struct kmn_anchor_said *said, struct kmn_head *head)
{
	struct kmn_note parsed;
	const char *text;
	uint64_t size;
	size_t count;
	bool log = false;

	return kmn_anchor_read(record->body, said) && kmn_json_get_text(record->body, "note", &text) &&
	       kmn_json_get_number(record->body, "size", &size) &&
	       kmn_note_parse(text, strlen(text), &parsed, NULL) == KMN_OK &&
	       kmn_checkpoint_parse(&parsed, j->trust->origin, head, NULL) == KMN_OK &&
	       kmn_note_verify(&parsed, &j->trust->log, 1, &log, &count, NULL) == KMN_OK && log && head->size == size &&
	       size <= record->i && is_head((void *)(uintptr_t)j, head);
}

static kmn_err
judge_anchor(struct judging *j, const struct kmn_record *record)
{
	struct kmn_anchor_said *said = calloc(1, sizeof(*said));
	struct kmn_stamp stamp = {0};
	struct kmn_why why = {""};
	struct kmn_head head = {0};
	kmn_err e = KMN_OK;

	if (said == NULL)
		return KMN_E_NO_MEMORY;
	if (!read_anchor(j, record, said, &head)) {
		note(j, TIME, FAILED, "record %" PRIu64 " is no time stamp over a head of this ledger", record->i);
	} else if (head.size <= j->bundle->request || head.size <= j->result) {
		note(j, TIME, FAILED, "the time stamp of record %" PRIu64 " does not cover the request", record->i);
	} else if ((e = judge_token(j, record, said, &why, &stamp)) != KMN_OK && e != KMN_E_NO_MEMORY) {
		note(j, TIME, FAILED, "the time stamp of record %" PRIu64 ": %s", record->i, why.text);
	} else if (e == KMN_OK) {
		judge_order(j, record, head.size, stamp.gen_time);
		note(j, TIME, OK, "all of it existed at %" PRIu64 " ms since 1970 by %s", stamp.gen_time, said->tsa);
	}
	kmn_stamp_clear(&stamp);
	free(said);
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

static kmn_err
judge_time(struct judging *j)
{
	bool found = false;
	kmn_err e = KMN_OK;

	if (j->trust->tsa_count == 0) {
		note(j, TIME, NOT_ASKED, "the trust file names no authority for time stamps");
		return KMN_OK;
	}
	for (size_t n = 0; e == KMN_OK && n < j->records; n++) {
		if (j->record[n].kind != KMN_R_ANCHOR || j->record[n].owner == NULL)
			continue;
		found = true;
		e = judge_anchor(j, &j->record[n]);
	}
	if (!found)
		note(j, TIME, SHORT, "no time stamp covers the request");
	return e;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static int
exit_code_of(const struct judging *j)
{
	enum answer worst = OK;

	for (unsigned n = 0; n < TOPICS; n++)
		worst = j->row[n].answer > worst ? j->row[n].answer : worst;
	return worst == FAILED    ? KMN_AUDIT_FAILED
	       : worst == MISSING ? KMN_AUDIT_INCOMPLETE
	       : worst == SHORT   ? KMN_AUDIT_SHORT
				  : KMN_AUDIT_VERIFIED;
}

static const char *const verdicts[] = {
    [KMN_AUDIT_VERIFIED] = "AGREES: what was signed, what policy demanded and what the HSM returned are one",
    [KMN_AUDIT_FAILED] = "FAILED",
    [KMN_AUDIT_SHORT] = "AGREES, BUT SHORT of the witnesses or time stamps that the trust file asks for",
    [KMN_AUDIT_INCOMPLETE] = "INCOMPLETE: what a question needs is not in the bundle",
};

static void
print_human(const struct judging *j, FILE *out, int exit_code)
{
	(void)fprintf(out, "origin     ");
	kmn_audit_text(out, j->bundle->origin, 0);
	(void)fprintf(out, "\nrequest    %" PRIu64 "\nhead       %" PRIu64 "\n", j->bundle->request, j->head.size);
	for (unsigned n = 0; n < TOPICS; n++) {
		(void)fprintf(out, "%-10s %-8s ", topics[n], answers[j->row[n].answer]);
		kmn_audit_text(out, j->row[n].text, 0);
		(void)fprintf(out, "\n");
	}
	for (size_t n = 0; n < KMN_COUNT_OF(not_checked); n++)
		(void)fprintf(out, "%-10s %s\n", n == 0 ? "beyond" : "", not_checked[n]);
	(void)fprintf(out, "%s\n", verdicts[exit_code]);
}

static void
print_json(const struct judging *j, FILE *out, int exit_code)
{
	json_t *rows = json_array(), *beyond = json_array(), *all;

	for (unsigned n = 0; n < TOPICS; n++)
		(void)json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "topic", topics[n], "answer",
						      answers[j->row[n].answer], "text", j->row[n].text));
	for (size_t n = 0; n < KMN_COUNT_OF(not_checked); n++)
		(void)json_array_append_new(beyond, json_string(not_checked[n]));
	all = json_pack("{s:s, s:I, s:o, s:i, s:s, s:o, s:o}", "origin", j->bundle->origin, "request",
	    (json_int_t)j->bundle->request, "head", kmn_head_json(&j->head), "exit", exit_code, "verdict",
	    verdicts[exit_code], "answers", rows, "not_checked", beyond);
	(void)json_dumpf(all, out, JSON_INDENT(2) | JSON_SORT_KEYS);
	(void)fprintf(out, "\n");
	json_decref(all);
}

int
kmn_bundle_judge(const struct kmn_bundle *bundle, const struct kmn_trust *trust, FILE *out, bool json)
{
	struct judging *j = calloc(1, sizeof(*j));
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e = KMN_E_NO_MEMORY;

	if (j != NULL) {
		j->bundle = bundle;
		j->trust = trust;
		judge_checkpoint(j);
		if ((e = judge_lines(j)) == KMN_OK && (e = judge_records(j)) == KMN_OK) {
			judge_request(j);
			e = judge_time(j);
		}
	}
	if (e == KMN_OK) {
		exit_code = exit_code_of(j);
		if (out != NULL)
			(json ? print_json : print_human)(j, out, exit_code);
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
