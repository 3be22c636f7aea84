#include "config.h"

#include "server/quorum/quorum.h"

#include "server/quorum/policy.h"
#include "server/quorum/window.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

kmn_err
kmn_quorum_new(const struct kmn_quorum_settings *settings, struct kmn_quorum **quorum_out)
{
	struct kmn_quorum *q = calloc(1, sizeof(*q));

	*quorum_out = q;
	if (q == NULL)
		return KMN_E_NO_MEMORY;
	q->settings = *settings;
	return KMN_OK;
}

void
quorum_request_free(struct request *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->seen.vote_count; i++)
		free((char *)(uintptr_t)r->votes[i].reason);
	free(r->votes);
	free(r->statement);
	json_decref(r->intent);
	free(r);
}

void
kmn_quorum_free(struct kmn_quorum *q)
{
	if (q == NULL)
		return;
	for (size_t i = 0; i < q->count; i++)
		quorum_request_free(q->requests[i]);
	for (size_t i = 0; i < q->policy_count; i++)
		kmn_policy_free(q->policies[i]);
	free(q->requests);
	quorum_rotation_free(q);
	quorum_actions_free(q);
	free(q->policies);
	free(q->policy_i);
	free(q->counters.of);
	quorum_plain_free(q->plain);
	free(q);
}

const struct kmn_policy *
kmn_quorum_policy(const struct kmn_quorum *q)
{
	return q->policy_count == 0 ? NULL : q->policies[q->policy_count - 1];
}

bool
kmn_quorum_policy_record(const struct kmn_quorum *q, uint64_t version, uint64_t *i_out)
{
	*i_out = 0;
	for (size_t n = 0; n < q->policy_count; n++) {
		if (q->policies[n]->version != version)
			continue;
		*i_out = q->policy_i[n];
		return true;
	}
	return false;
}

const char *
kmn_request_state_name(enum kmn_request_state state)
{
	static const char *const names[] = {
	    [KMN_REQUEST_OPEN] = "open",
	    [KMN_REQUEST_OFFERED] = "offered",
	    [KMN_REQUEST_WINDOW] = "window",
	    [KMN_REQUEST_RUNNING] = "running",
	    [KMN_REQUEST_DONE] = "done",
	    [KMN_REQUEST_FAILED] = "failed",
	    [KMN_REQUEST_DENIED] = "denied",
	    [KMN_REQUEST_REJECTED] = "rejected",
	    [KMN_REQUEST_VETOED] = "vetoed",
	    [KMN_REQUEST_EXPIRED] = "expired",
	    [KMN_REQUEST_WITHDRAWN] = "withdrawn",
	    [KMN_REQUEST_UNDECIDED] = "undecided",
	    [KMN_REQUEST_UNSTARTED] = "not-started",
	    [KMN_REQUEST_SPENT] = "spent",
	};

	return names[state];
}

bool
quorum_has_ended(const struct request *r)
{
	return r->seen.state > KMN_REQUEST_RUNNING;
}

/* Where the first request with this index or a later one stands. */
static size_t
position(const struct kmn_quorum *q, uint64_t i)
{
	size_t low = 0, high = q->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (q->requests[middle]->seen.i < i)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct request *
quorum_request(const struct kmn_quorum *q, uint64_t i)
{
	size_t at = position(q, i);

	return at < q->count && q->requests[at]->seen.i == i ? q->requests[at] : NULL;
}

const struct kmn_request *
kmn_quorum_request(const struct kmn_quorum *q, uint64_t i)
{
	const struct request *r = quorum_request(q, i);

	return r == NULL ? NULL : &r->seen;
}

static const struct request *
whole(const struct kmn_request *request)
{
	return (const struct request *)(const void *)request;
}

const struct kmn_request *
kmn_quorum_find(const struct kmn_quorum *q, const uint8_t client_spki_sha256[32], const uint8_t operation[32],
    const char *rule, int64_t now)
{
	const struct kmn_request *oldest = NULL;

	for (size_t i = 0; i < q->count; i++) {
		const struct request *r = q->requests[i];

		if (!r->seen.held || quorum_has_ended(r) || now > r->seen.not_after || !quorum_is_current(q, r) ||
		    memcmp(r->seen.client_spki_sha256, client_spki_sha256, KMN_HASH_BYTES) != 0 ||
		    memcmp(r->seen.operation, operation, KMN_HASH_BYTES) != 0 ||
		    (rule != NULL && (r->seen.awaits || strcmp(r->seen.verdict.rule, rule) != 0)))
			continue;
		if (kmn_quorum_is_met(q, &r->seen, now))
			return &r->seen;
		if (oldest == NULL)
			oldest = &r->seen;
	}
	return oldest;
}

const struct kmn_request *
kmn_quorum_next(const struct kmn_quorum *q, const struct kmn_request *after, bool ended)
{
	for (size_t i = after == NULL ? 0 : position(q, after->i + 1); i < q->count; i++)
		if (ended || !quorum_has_ended(q->requests[i]))
			return &q->requests[i]->seen;
	return NULL;
}

static kmn_err
blob_of(const struct kmn_quorum *q, const json_t *named, uint8_t **data_out, size_t *len_out)
{
	uint8_t sha256[KMN_HASH_BYTES], again[KMN_HASH_BYTES];
	kmn_err e;

	*data_out = NULL;
	*len_out = 0;
	if (q->settings.blob == NULL || !kmn_json_get_b64(named, "sha256", sha256, sizeof(sha256)))
		return KMN_OK;
	e = q->settings.blob(q->settings.cookie, sha256, data_out, len_out);
	if (e == KMN_E_NOT_FOUND)
		return KMN_OK;
	if (e != KMN_OK)
		return e;
	kmn_sha256(*data_out, *len_out, again);
	if (memcmp(sha256, again, sizeof(sha256)) == 0)
		return KMN_OK;
	free(*data_out);
	*data_out = NULL;
	*len_out = 0;
	return KMN_E_CORRUPT;
}

kmn_err
quorum_data(const struct kmn_quorum *q, const json_t *intent, uint8_t **data_out, size_t *len_out)
{
	return blob_of(q, json_object_get(intent, "in"), data_out, len_out);
}

kmn_err
quorum_material(const struct kmn_quorum *q, const json_t *intent, struct quorum_material *out)
{
	kmn_err e;

	*out = (struct quorum_material){.data = NULL};
	if ((e = quorum_data(q, intent, &out->data, &out->seen.len)) == KMN_OK)
		e = blob_of(q, json_object_get(intent, "econtent"), &out->econtent, &out->seen.econtent_len);
	out->seen.data = out->data;
	out->seen.econtent = out->econtent;
	return e;
}

void
quorum_material_clear(struct quorum_material *m)
{
	free(m->data);
	free(m->econtent);
	*m = (struct quorum_material){.data = NULL};
}

/* ---- votes ------------------------------------------------------------------------------------------------------- */

bool
quorum_is_current(const struct kmn_quorum *q, const struct request *r)
{
	return r->policy == kmn_quorum_policy(q);
}

static size_t
voters(const struct request *r, enum kmn_decision decision, const char **names, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < r->seen.vote_count && n < max; i++)
		if (r->votes[i].decision == decision)
			names[n++] = r->votes[i].name;
	return n;
}

bool
quorum_is_vetoed(const struct kmn_quorum *q, const struct request *r)
{
	const char *names[POLICY_WORDS_MAX];
	unsigned least = policy_role_least(kmn_quorum_policy(q), "veto");

	return least > 0 && voters(r, KMN_VETO, names, KMN_COUNT_OF(names)) >= least;
}

bool
kmn_quorum_is_met(const struct kmn_quorum *q, const struct kmn_request *request, int64_t now)
{
	struct kmn_anomaly anomaly;
	struct kmn_stale stale;

	return !kmn_quorum_is_stale(q, 'A', now, &stale) && quorum_votes_meet(q, request, now) &&
	       !kmn_quorum_token_stops(q, whole(request)->intent, 'A', false, INT64_MAX, &anomaly);
}

bool
quorum_votes_meet(const struct kmn_quorum *q, const struct kmn_request *request, int64_t now)
{
	const struct request *r = whole(request);
	const char *names[POLICY_WORDS_MAX];
	size_t n = voters(r, KMN_APPROVE, names, KMN_COUNT_OF(names)), independent = 0;

	for (size_t i = 0; i < r->seen.vote_count; i++)
		independent += r->votes[i].decision == KMN_APPROVE && r->votes[i].independent;

	if (!r->seen.held || !quorum_is_current(q, r) || now > r->seen.not_after || now >= r->policy->expires ||
	    r->seen.used >= r->seen.uses)
		return false;
	if (r->seen.verdict.answer == KMN_ANSWER_FREE) /* it waited for its content only */
		return r->seen.state == KMN_REQUEST_OPEN;
	return r->seen.state == KMN_REQUEST_OFFERED && !quorum_is_vetoed(q, r) &&
	       independent >= r->seen.verdict.independent && kmn_policy_is_met(r->policy, &r->seen.verdict, names, n);
}

/* The client whose request it is; NULL when it left the policy. */
static const struct kmn_policy_peer *
client_of(const struct request *r)
{
	return kmn_policy_peer_get(r->policy, r->seen.client_spki_sha256);
}

static bool
is_operator(const struct request *r, const char *name)
{
	const struct kmn_policy_peer *client = client_of(r);

	for (const char *const *o = client == NULL ? NULL : client->operators; o != NULL && *o != NULL; o++)
		if (strcmp(*o, name) == 0)
			return true;
	return false;
}

static bool
has_voted(const struct request *r, const char *name, bool veto)
{
	for (size_t i = 0; i < r->seen.vote_count; i++)
		if ((r->votes[i].decision == KMN_VETO) == veto && strcmp(r->votes[i].name, name) == 0)
			return true;
	return false;
}

/* Could those who have not rejected, all approving, still meet the need? */
static bool
can_be_met(const struct request *r)
{
	const char *names[POLICY_WORDS_MAX], *rejected[POLICY_WORDS_MAX];
	size_t n = 0, rejections = voters(r, KMN_REJECT, rejected, KMN_COUNT_OF(rejected));
	const struct kmn_policy_custodian *c;

	for (size_t i = 0; (c = kmn_policy_custodian_at(r->policy, i)) != NULL && n < KMN_COUNT_OF(names); i++) {
		bool out = is_operator(r, c->name);

		for (size_t k = 0; k < rejections && !out; k++)
			out = strcmp(rejected[k], c->name) == 0;
		if (!out)
			names[n++] = c->name;
	}
	return kmn_policy_is_met(r->policy, &r->seen.verdict, names, n);
}

const char *
kmn_quorum_ends(const struct kmn_quorum *q, const struct kmn_request *request, int64_t now)
{
	const struct request *r = whole(request);

	if (r->seen.state == KMN_REQUEST_WINDOW)
		return quorum_window_ends(q, r, now);
	if (!r->seen.held || (r->seen.state != KMN_REQUEST_OFFERED && r->seen.state != KMN_REQUEST_OPEN))
		return NULL;
	if (quorum_is_vetoed(q, r))
		return "vetoed";
	if (r->seen.verdict.answer == KMN_ANSWER_HELD && !can_be_met(r))
		return "rejected";
	if (now > r->seen.not_after)
		return "expired";
	return quorum_is_current(q, r) ? NULL : "withdrawn";
}

static bool refuse(struct kmn_note_check *check, const char *format, ...) KMN_PRINTF(2, 3);

static bool
refuse(struct kmn_note_check *check, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(check->check, sizeof(check->check), format, args);
	va_end(args);
	return false;
}

/* The custodians of the policy in force whose signatures stand under the note and verify. */
static bool
find_signers(const struct kmn_policy *policy, const struct kmn_note *note, struct kmn_note_check *check,
    struct quorum_signers *signers)
{
	struct kmn_why why = {""};

	if (quorum_signers_find(policy, note, signers, &why) != KMN_OK)
		return refuse(check, "%.200s", why.text);
	return signers->count > 0 ||
	       refuse(check, "no signature by a key of policy version %llu", (unsigned long long)policy->version);
}

static bool
may_vote(const struct request *r, enum kmn_decision decision, const char *name, struct kmn_note_check *check)
{
	bool member = false;

	if (has_voted(r, name, decision == KMN_VETO))
		return refuse(check, "%s has voted already", name);
	if (decision == KMN_VETO)
		return policy_is_in_role(r->policy, "veto", name) || refuse(check, "%s may not veto", name);
	if (is_operator(r, name))
		return refuse(check, "%s operates the client that asks", name);
	for (size_t i = 0; i < r->seen.verdict.needs; i++)
		member = member || kmn_policy_is_member(r->policy, r->seen.verdict.need[i].group, name);
	return member || refuse(check, "%s is in none of the groups that are asked", name);
}

/* One line for each person, whatever the number of keys under the note. */
static bool
check_signers(const struct request *r, enum kmn_decision decision, const struct quorum_signers *signers,
    struct kmn_note_check *check)
{
	for (size_t i = 0; i < signers->count; i++) {
		for (size_t k = 0; k < i; k++)
			if (strcmp(signers->who[i].name, signers->who[k].name) == 0)
				return refuse(check, "two keys of %s: one person, one vote", signers->who[i].name);
		if (!may_vote(r, decision, signers->who[i].name, check))
			return false;
	}
	return true;
}

static bool
check_text(const struct request *r, const struct kmn_note *note, const struct kmn_statement_said *said,
    struct kmn_note_check *check)
{
	char *want = NULL;
	bool same;

	if (kmn_statement_turn(r->statement, said->decision, said->reason, &want) != KMN_OK)
		return refuse(check, "the text is no statement");
	same = strlen(want) == note->text_len && memcmp(want, note->text, note->text_len) == 0;
	free(want);
	return same || refuse(check, "the text is not the statement of request %llu", (unsigned long long)r->seen.i);
}

bool
quorum_check_note(const struct kmn_quorum *q, const char *bytes, size_t len, int64_t now, struct kmn_note_check *check,
    struct kmn_statement_said *said, struct quorum_signers *signers)
{
	struct kmn_why why = {""};
	struct kmn_note note;
	const struct request *r;

	*check = (struct kmn_note_check){.request = NULL};
	memset(signers, 0, sizeof(*signers));
	if (len > KMN_NOTE_IN_RECORD_MAX_BYTES)
		return refuse(check, "the note is longer than %d bytes", KMN_NOTE_IN_RECORD_MAX_BYTES);
	if (kmn_note_parse(bytes, len, &note, &why) != KMN_OK)
		return refuse(check, "%.200s", why.text);
	if (kmn_statement_read(note.text, note.text_len, said) != KMN_OK)
		return refuse(check, "the text is no statement");
	r = quorum_request(q, said->request);
	if (r == NULL || !r->seen.held || memcmp(r->seen.leaf, said->request_leaf, KMN_HASH_BYTES) != 0)
		return refuse(check, "there is no such request");
	check->request = &r->seen;
	check->decision = said->decision;
	if (r->seen.state != KMN_REQUEST_OFFERED && (r->seen.state != KMN_REQUEST_WINDOW || said->decision != KMN_VETO))
		return refuse(check, "the request is %s", kmn_request_state_name(r->seen.state));
	if (!check_text(r, &note, said, check))
		return false;
	if (!quorum_is_current(q, r))
		return refuse(check, "the policy has changed since");
	if (now > quorum_deadline(r))
		return refuse(check, "the request has expired");
	return find_signers(r->policy, &note, check, signers) && check_signers(r, said->decision, signers, check);
}

bool
kmn_quorum_check_note(
    const struct kmn_quorum *q, const char *note, size_t len, int64_t now, struct kmn_note_check *check)
{
	struct kmn_statement_said said;
	struct quorum_signers signers;

	if (!quorum_check_note(q, note, len, now, check, &said, &signers))
		return false;
	strcpy(check->check, "ok");
	return true;
}

/* ---- bodies ------------------------------------------------------------------------------------------------------ */

static json_t *
ref_of(uint64_t i, const uint8_t leaf[32])
{
	struct kmn_ref ref = {.i = i};

	memcpy(ref.leaf, leaf, sizeof(ref.leaf));
	return kmn_ref_json(&ref);
}

kmn_err
kmn_quorum_statement_text(
    const struct kmn_quorum *q, const struct kmn_request *request, const struct kmn_head *head, char **text_out)
{
	const struct request *r = whole(request);
	struct kmn_record intent = {.i = r->seen.i, .t = (uint64_t)r->seen.t, .body = r->intent};
	struct quorum_material m;
	kmn_err e;

	*text_out = NULL;
	memcpy(intent.leaf, r->seen.leaf, sizeof(intent.leaf));
	if ((e = quorum_material(q, r->intent, &m)) == KMN_OK)
		e = kmn_statement_make(&intent, r->policy, &r->seen.verdict, head, &m.seen, text_out);
	quorum_material_clear(&m);
	return e;
}

static kmn_err
give(json_t *body, json_t **body_out)
{
	*body_out = body;
	return body == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

kmn_err
kmn_quorum_statement_body(
    const struct kmn_quorum *q, const struct kmn_request *request, const struct kmn_head *head, json_t **body_out)
{
	uint8_t sha256[KMN_HASH_BYTES];
	char *text = NULL;
	kmn_err e;

	*body_out = NULL;
	if ((e = kmn_quorum_statement_text(q, request, head, &text)) != KMN_OK)
		return e;
	kmn_sha256(text, strlen(text), sha256);
	e = give(json_pack("{s:o,s:o,s:o,s:s}", "request", ref_of(request->i, request->leaf), "head",
		     kmn_head_json(head), "sha256", kmn_json_b64(sha256, sizeof(sha256)), "text", text),
	    body_out);
	free(text);
	if (e != KMN_OK || kmn_record_fits(*body_out))
		return e;
	json_decref(*body_out);
	*body_out = NULL;
	return KMN_E_TOO_BIG;
}

kmn_err
kmn_quorum_vote_body(const struct kmn_note_check *check, const char *note, size_t len, json_t **body_out)
{
	*body_out = NULL;
	if (check->request == NULL)
		return KMN_E_NOT_FOUND;
	*body_out = json_pack("{s:o,s:s%,s:s}", "request", ref_of(check->request->i, check->request->leaf), "note",
	    note, len, "check", check->check);
	if (*body_out != NULL && kmn_record_fits(*body_out))
		return KMN_OK;
	json_decref(*body_out);
	*body_out = NULL;
	return KMN_E_TOO_BIG;
}

const char *
kmn_quorum_vote_type(enum kmn_decision decision)
{
	return decision == KMN_APPROVE ? "approval" : decision == KMN_REJECT ? "rejection" : "veto";
}

/* The records of the votes of one kind; a note that several persons signed stands once. */
static json_t *
vote_refs(const struct request *r, enum kmn_decision decision)
{
	json_t *refs = json_array();

	for (size_t i = 0; i < r->seen.vote_count; i++) {
		const struct kmn_vote *v = &r->votes[i];

		if (v->decision == decision && (i == 0 || r->votes[i - 1].i != v->i))
			json_array_append_new(refs, ref_of(v->i, v->leaf));
	}
	return refs;
}

kmn_err
kmn_quorum_decision_body(
    const struct kmn_quorum *q, const struct kmn_request *request, const char *verdict, json_t **body_out)
{
	const struct request *r = whole(request);
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	unsigned use = strcmp(verdict, "allow") == 0 ? r->seen.used + 1 : r->seen.used;

	return give(json_pack("{s:o,s:s,s:s,s:{s:I,s:o},s:o,s:o,s:o,s:I,s:I}", "request",
			ref_of(r->seen.i, r->seen.leaf), "verdict", verdict, "rule", r->seen.verdict.rule, "policy",
			"version", (json_int_t)policy->version, "sha256", kmn_json_b64(policy->sha256, KMN_HASH_BYTES),
			"approvals", vote_refs(r, KMN_APPROVE), "rejections", vote_refs(r, KMN_REJECT), "vetoes",
			vote_refs(r, KMN_VETO), "use", (json_int_t)use, "not_after", (json_int_t)r->seen.not_after),
	    body_out);
}

const char *
kmn_quorum_deny_reason(const struct kmn_quorum *q, const struct kmn_request *request, int64_t now_ms)
{
	struct kmn_anomaly anomaly;
	struct kmn_stale stale;

	if (request->verdict.answer == KMN_ANSWER_REFUSED)
		return "rule";
	if (kmn_quorum_token_stops(
		q, whole(request)->intent, 'A', kmn_quorum_needs_window(request), INT64_MAX, &anomaly))
		return "seal";
	return kmn_quorum_is_stale(q, 'A', now_ms, &stale) ? "stale" : "call";
}

kmn_err
kmn_quorum_open_requests(const struct kmn_quorum *q, json_t **array_out)
{
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < q->count; i++) {
		const struct request *r = q->requests[i];
		bool running = r->seen.state == KMN_REQUEST_RUNNING;
		json_t *item;

		if (!running && (r->seen.held || r->seen.state != KMN_REQUEST_OPEN))
			continue;
		if ((item = ref_of(r->seen.i, r->seen.leaf)) == NULL ||
		    json_object_set_new(item, "state", json_string(running ? "unknown" : "not-started")) != 0 ||
		    json_array_append_new(array, item) != 0) {
			json_decref(array);
			array = NULL;
		}
	}
	return give(array, array_out);
}

void
kmn_quorum_counts(const struct kmn_quorum *q, struct kmn_quorum_counts *counts)
{
	*counts = q->counts;
	for (size_t i = 0; i < q->count; i++) {
		const struct request *r = q->requests[i];

		if (quorum_has_ended(r))
			continue;
		if (r->seen.state == KMN_REQUEST_RUNNING || !r->seen.held)
			counts->unfinished++;
		else
			counts->open++;
	}
}
