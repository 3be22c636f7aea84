/*
 * What the ledger says of operators' instructions: who wanted what, which request came of it, how it ended, what the
 * HSM gave. All of it is in records, so it is the same after a restart and for whoever signs in; of a runner's word
 * nothing is shown but why no call came.
 */
#include "config.h"

#include "server/keeper/runner.h"

#include "kanmon/whole.h"

#include <inttypes.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMED "action "
#define INSTRUCTIONS_MAX 4096u
#define LISTED_MAX 256u

/* Parts of the view: by the index of the instruct record, what is known of it; by the request's, that index. */
static const char by_record[] = "instructions", by_request[] = "instructed";

static void
index_name(uint64_t i, char out[24])
{
	(void)snprintf(out, 24, "%" PRIu64, i);
}

static void
put_text(json_t *to, const char *name, const char *text)
{
	(void)json_object_set_new(to, name, json_string(text));
}

static void
put_number(json_t *to, const char *name, uint64_t value)
{
	(void)json_object_set_new(to, name, json_integer((json_int_t)value));
}

static const char *
text_of(const json_t *of, const char *name)
{
	const char *text;

	return kmn_json_get_text(of, name, &text) ? text : "";
}

static bool
is_true(const json_t *of, const char *name)
{
	return json_is_true(json_object_get(of, name));
}

/* ---- from records ------------------------------------------------------------------------------------------------- */

static void
forget_oldest(json_t *parts)
{
	json_t *all = json_object_get(parts, by_record);
	const char *oldest = json_object_iter_key(json_object_iter(all));
	char request[24];
	uint64_t i;

	if (kmn_json_get_number(json_object_get(all, oldest), "request", &i)) {
		index_name(i, request);
		(void)json_object_del(json_object_get(parts, by_request), request);
	}
	(void)json_object_del(all, oldest);
}

/* Lines of the text, as they stand there. */
static void
take_lines(json_t *one, const char *note)
{
	static const struct {
		const char *key, *name;
	} rows[] = {{"what", "what"}, {"token", "token"}, {"rule", "rule"}, {"key-label", "key"}, {"key-id", "id"},
	    {"mechanism", "mechanism"}, {"purpose", "purpose"}, {"file-sha256", "file_sha256"}};
	struct kmn_signed said;
	struct kmn_note parsed;

	if (kmn_note_parse(note, strlen(note), &parsed, NULL) != KMN_OK ||
	    kmn_signed_read(parsed.text, parsed.text_len, &said, NULL) != KMN_OK)
		return;
	for (size_t n = 0; n < KMN_COUNT_OF(rows); n++) {
		const struct kmn_signed_line *line = kmn_signed_line(&said, rows[n].key, 0);

		if (line != NULL)
			(void)json_object_set_new(one, rows[n].name, json_stringn(line->value, line->len));
	}
}

static void
take_action(json_t *parts, const json_t *record, const json_t *body)
{
	json_t *all = json_object_get(parts, by_record), *one;
	const char *note;
	char name[24];

	if (strcmp(text_of(body, "what"), kmn_action_word(KMN_ACTION_INSTRUCT)) != 0 ||
	    !kmn_json_get_text(json_object_get(body, "auth"), "note", &note))
		return;
	if (json_object_size(all) >= INSTRUCTIONS_MAX)
		forget_oldest(parts);
	one = json_object();
	(void)json_object_set(one, "record", json_object_get(record, "i"));
	(void)json_object_set(one, "t", json_object_get(record, "t"));
	put_text(one, "operator", text_of(json_object_get(body, "actor"), "name"));
	take_lines(one, note);
	index_name((uint64_t)json_integer_value(json_object_get(record, "i")), name);
	(void)json_object_set_new(all, name, one);
}

/* The one instruction that it names; it names no other one (kmn_quorum_check_instructed). */
static void
take_intent(json_t *parts, const json_t *record, const json_t *body)
{
	const char *id = text_of(json_object_get(body, "application"), "id");
	json_t *one;
	char name[24];

	if (strncmp(id, NAMED, strlen(NAMED)) != 0 ||
	    (one = json_object_get(json_object_get(parts, by_record), id + strlen(NAMED))) == NULL)
		return;
	(void)json_object_set(one, "request", json_object_get(record, "i"));
	put_text(one, "op", text_of(body, "op"));
	index_name((uint64_t)json_integer_value(json_object_get(record, "i")), name);
	(void)json_object_set_new(json_object_get(parts, by_request), name, json_string(id + strlen(NAMED)));
}

static json_t *
one_of_request(json_t *parts, const json_t *body)
{
	struct kmn_ref ref;
	char name[24];

	if (!kmn_ref_get(body, "request", &ref))
		return NULL;
	index_name(ref.i, name);
	return json_object_get(json_object_get(parts, by_record), text_of(json_object_get(parts, by_request), name));
}

/* The call that runs was made for a later instruction: its request is the earlier one's. */
static void
take_met(json_t *parts, const json_t *body)
{
	const char *id = text_of(json_object_get(body, "application"), "id");
	json_t *one;
	struct kmn_ref ref;

	if (strncmp(id, NAMED, strlen(NAMED)) == 0 && kmn_ref_get(body, "request", &ref) &&
	    (one = json_object_get(json_object_get(parts, by_record), id + strlen(NAMED))) != NULL)
		put_number(one, "met", ref.i);
}

static void
take_decision(json_t *parts, const json_t *record, const json_t *body)
{
	json_t *one = one_of_request(parts, body);
	const char *verdict = text_of(body, "verdict");

	take_met(parts, body);
	if (one == NULL || json_object_get(one, "operation") != NULL) /* the end of a window that was opened */
		return;
	put_text(one, "verdict", verdict);
	put_text(one, "by_rule", text_of(body, "rule"));
	put_text(one, "reason", text_of(body, "reason"));
	if (strcmp(verdict, "open") == 0) {
		(void)json_object_set(one, "operation", json_object_get(record, "i"));
		(void)json_object_set_new(one, "ok", json_true());
	}
}

static void
take_result(json_t *parts, const json_t *record, const json_t *body)
{
	json_t *one = one_of_request(parts, body);

	if (one == NULL)
		return;
	(void)json_object_set(one, "operation", json_object_get(record, "i"));
	(void)json_object_set_new(one, "ok", json_boolean(json_integer_value(json_object_get(body, "rv")) == 0));
	put_text(one, "rv_name", text_of(body, "rv_name"));
}

void
kmn_instructed_take(json_t *parts, enum kmn_record_kind kind, const json_t *record, const json_t *body)
{
	static const struct {
		enum kmn_record_kind kind;
		void (*take)(json_t *parts, const json_t *record, const json_t *body);
	} takers[] = {{KMN_R_ACTION, take_action}, {KMN_R_INTENT, take_intent}, {KMN_R_DECISION, take_decision},
	    {KMN_R_RESULT, take_result}};

	for (size_t n = 0; n < KMN_COUNT_OF(takers); n++)
		if (takers[n].kind == kind)
			takers[n].take(parts, record, body);
}

/* ---- how it ended ------------------------------------------------------------------------------------------------- */

/* By the verdict, and of `deny` its reason: what happened, and what an operator does next. */
static const struct {
	const char *verdict, *reason, *what, *next;
} ends[] = {
    {"deny", "rule", "a rule refuses it", "ask for what a rule allows, or have the policy changed, and sign a new one"},
    {"deny", "seal", "an anomaly closed the token", "when that is reopened (kanmon reopen), sign a new one"},
    {"deny", "stale", "a limit of the policy is past, or the gateway's clock lags",
	"when that is mended, sign a new one"},
    {"deny", "", "the gateway refused it", "sign a new one"},
    {"rejected", "", "custodians rejected it", "ask them why before you sign a new one"},
    {"vetoed", "", "it was vetoed", "ask why before you sign a new one"},
    {"expired", "", "nobody approved it in time", "sign a new one"},
    {"withdrawn", "", "its request was withdrawn", "sign a new one if it is wanted after all"},
};

static const char pending_words[] =
    "the gateway was started again, or its runner ended, while the request waited: it is still open, and nothing of it "
    "ran. Sign the same instruction again: it meets the approvals that there are. Or withdraw the request";
static const char unknown_words[] =
    "the HSM was asked, and the gateway ended before the answer was recorded: look on the HSM itself what became of it";
static const char nothing_words[] =
    "the gateway was started again, or its runner ended, before a call came of it: nothing was done. Sign it again";
static const char lie_words[] = "the runner says that it is done, and the ledger has no such call: nothing was done";

/* True: records say how it ended; *state_out, and why where it did not end well. */
static bool
has_ended(const json_t *one, const char **state_out, char *why, size_t room)
{
	const char *verdict = text_of(one, "verdict"), *reason = text_of(one, "reason");

	*state_out = "failed";
	if (json_object_get(one, "operation") != NULL) {
		if (is_true(one, "ok"))
			*state_out = "done";
		else
			(void)snprintf(why, room, "%s: %s", text_of(one, "op"), text_of(one, "rv_name"));
		return true;
	}
	for (size_t n = 0; n < KMN_COUNT_OF(ends); n++)
		if (strcmp(ends[n].verdict, verdict) == 0 &&
		    (ends[n].reason[0] == '\0' || strcmp(ends[n].reason, reason) == 0)) {
			(void)snprintf(why, room, "%s (rule %s). The instruction is used up: %s", ends[n].what,
			    text_of(one, "by_rule"), ends[n].next);
			return true;
		}
	return false;
}

/* Without an end in records: what the job knows, and where there is none, or its runner took it along, what is left. */
static const char *
not_ended(const json_t *one, const struct kmn_job *job, bool complete, char *why, size_t room)
{
	bool asked = json_object_get(one, "request") != NULL;
	enum kmn_job_state state = job != NULL ? job->state : KMN_JOB_LOST;
	const char *words;

	if (state == KMN_JOB_WAITS)
		return "waiting";
	if (state == KMN_JOB_RUNS || !complete || (asked && strcmp(text_of(one, "what"), "window") == 0))
		return "running";
	if (state == KMN_JOB_FAILED) {
		(void)snprintf(why, room, "%s", job->why);
		return "failed";
	}
	words = state == KMN_JOB_DONE                           ? lie_words
		: strcmp(text_of(one, "verdict"), "allow") == 0 ? unknown_words
		: asked                                         ? pending_words
								: nothing_words;
	(void)snprintf(why, room, "%s", words);
	return state == KMN_JOB_DONE ? "failed" : "lost";
}

/* ---- the result --------------------------------------------------------------------------------------------------- */

static void
put_result(json_t *o, const char *form, const uint8_t *bytes, size_t len)
{
	static const struct {
		const char *form, *label;
	} rows[] = {{"certificate", PEM_STRING_X509}, {"crl", PEM_STRING_X509_CRL},
	    {"certificate-request", PEM_STRING_X509_REQ}, {"public-key", PEM_STRING_PUBLIC}};
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long size;

	put_text(o, "form", form);
	(void)json_object_set_new(o, "result", kmn_json_b64(bytes, len));
	for (size_t n = 0; bio != NULL && n < KMN_COUNT_OF(rows); n++)
		if (strcmp(rows[n].form, form) == 0 && PEM_write_bio(bio, rows[n].label, "", bytes, (long)len) > 0 &&
		    (size = BIO_get_mem_data(bio, &text)) > 0)
			(void)json_object_set_new(o, "pem", json_stringn(text, (size_t)size));
	BIO_free(bio);
}

static void
put_whole(struct kmn_keeper *k, const json_t *one, const json_t *body, json_t *o)
{
	uint8_t sha256[KMN_HASH_BYTES], signature[KMN_WHOLE_SIGNATURE_MAX_BYTES], *file = NULL;
	struct kmn_whole whole = {.form = NULL};
	size_t len, signature_len;
	const char *b64;

	if (!kmn_json_get_text(json_object_get(body, "out"), "b64", &b64) ||
	    kmn_b64_parse(b64, strlen(b64), signature, sizeof(signature), &signature_len) != KMN_OK ||
	    !kmn_json_get_b64(one, "file_sha256", sha256, sizeof(sha256)) ||
	    kmn_log_blob_get(k->log, sha256, &file, &len) != KMN_OK)
		return;
	if (kmn_whole_make(text_of(one, "mechanism"), file, len, signature, signature_len, &whole) == KMN_OK)
		put_result(o, whole.form, whole.bytes, whole.len);
	free(whole.bytes);
	free(file);
}

static void
put_public(struct kmn_keeper *k, const json_t *body, json_t *o)
{
	uint8_t sha256[KMN_HASH_BYTES], *spki = NULL;
	size_t len;

	if (!kmn_json_get_b64(json_object_get(body, "key"), "spki_sha256", sha256, sizeof(sha256)) ||
	    kmn_log_blob_get(k->log, sha256, &spki, &len) != KMN_OK)
		return;
	put_result(o, "public-key", spki, len);
	free(spki);
}

/* c2sp.org/tlog-proof@v1 of the record, under the newest checkpoint; NULL: there is none yet. */
static char *
proof_of(struct kmn_keeper *k, uint64_t index, const char *line, size_t len)
{
	char *note = NULL, *text = NULL, *b64 = malloc(KMN_B64_LEN(len) + 1), hash[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_path path;
	struct kmn_head head;
	size_t note_len, size;
	FILE *to = NULL;

	if (b64 == NULL || kmn_log_checkpoint(k->log, &head, &note, &note_len) != KMN_OK || index >= head.size ||
	    kmn_log_inclusion(k->log, index, head.size, &path) != KMN_OK || (to = open_memstream(&text, &size)) == NULL)
		goto done;
	kmn_b64((const uint8_t *)line, len, b64);
	(void)fprintf(to, "c2sp.org/tlog-proof@v1\nextra %s\nindex %" PRIu64 "\n", b64, index);
	for (size_t n = 0; n < path.count; n++) {
		kmn_b64(path.hash[n], KMN_HASH_BYTES, hash);
		(void)fprintf(to, "%s\n", hash);
	}
	(void)fprintf(to, "\n%.*s", (int)note_len, note);
	if (fclose(to) != 0)
		KMN_BUG("out of memory");
done:
	free(b64);
	free(note);
	return text;
}

/* What the HSM gave, and the proof that its record is in the ledger. */
static void
put_outcome(struct kmn_keeper *k, const json_t *one, json_t *o)
{
	const char *what = text_of(one, "what");
	struct kmn_record record = {0};
	uint64_t index;
	char *line, *proof;
	size_t len;

	if (!kmn_json_get_number(one, "operation", &index) || kmn_log_line(k->log, index, &line, &len) != KMN_OK)
		return;
	if ((proof = proof_of(k, index, line, len)) != NULL)
		put_text(o, "proof", proof);
	free(proof);
	if (is_true(one, "ok") && kmn_record_parse(line, len, &record, NULL) == KMN_OK) {
		if (strcmp(what, "sign") == 0)
			put_whole(k, one, record.body, o);
		else if (strcmp(what, "generate") == 0)
			put_public(k, record.body, o);
		else
			put_text(o, "form", strcmp(what, "destroy") == 0 ? "destroyed" : "window");
	}
	kmn_record_clear(&record);
	free(line);
}

/* ---- to the console ------------------------------------------------------------------------------------------------ */

/* The request of its call, also one that was made for an earlier instruction of the same; 0: none is known. */
static uint64_t
request_of(const struct kmn_keeper *k, const json_t *one, const struct kmn_job *job)
{
	const struct kmn_call_state *call;
	char id[40];
	const char *named;
	uint64_t request;

	if (kmn_json_get_number(one, "request", &request) || kmn_json_get_number(one, "met", &request))
		return request;
	if (job == NULL)
		return 0;
	(void)snprintf(id, sizeof(id), NAMED "%" PRIu64, job->record);
	LIST_FOREACH(call, &k->held, held)
	if (kmn_json_get_text(json_object_get(call->intent, "application"), "id", &named) && strcmp(named, id) == 0)
		return call->request.i;
	return job->request;
}

/* As it is known: from records, or of a job whose record is not read yet, that alone. */
static json_t *
known_of(const struct kmn_keeper *k, uint64_t record, const struct kmn_job *job)
{
	char name[24];
	json_t *one;

	index_name(record, name);
	if ((one = json_incref(json_object_get(kmn_ui_view_part(k, by_record), name))) != NULL || job == NULL)
		return one;
	return json_pack("{s:I, s:I, s:s, s:s}", "record", (json_int_t)job->record, "t", (json_int_t)job->t, "operator",
	    job->operator, "what", job->what);
}

/* One that met the request of an earlier instruction ends as that did. */
static const json_t *
ended_with(const struct kmn_keeper *k, const json_t *one, uint64_t request)
{
	const char *earlier;
	char name[24];

	index_name(request, name);
	if (json_object_get(one, "request") != NULL || request == 0 ||
	    !kmn_json_get_text(kmn_ui_view_part(k, by_request), name, &earlier))
		return one;
	return json_object_get(kmn_ui_view_part(k, by_record), earlier);
}

static json_t *
answer_of(struct kmn_keeper *k, const json_t *one, const struct kmn_job *job, bool whole)
{
	static const char *const members[] = {
	    "record", "t", "operator", "what", "token", "key", "id", "rule", "purpose"};
	uint64_t request = request_of(k, one, job);
	const json_t *end = ended_with(k, one, request);
	bool complete = kmn_ui_view_is_complete(k);
	json_t *o = json_object();
	const char *state;
	char why[600] = "";

	for (size_t n = 0; n < KMN_COUNT_OF(members); n++)
		if (json_object_get(one, members[n]) != NULL)
			(void)json_object_set(o, members[n], json_object_get(one, members[n]));
	if (!has_ended(end, &state, why, sizeof(why)))
		state = not_ended(end, job, complete, why, sizeof(why));
	put_text(o, "state", state);
	if (why[0] != '\0')
		put_text(o, "why", why);
	if (request != 0)
		put_number(o, "request", request);
	if (json_object_get(end, "operation") != NULL)
		(void)json_object_set(o, "operation", json_object_get(end, "operation"));
	if (!complete)
		(void)json_object_set_new(o, "complete", json_false());
	if (whole)
		put_outcome(k, end, o);
	return o;
}

/* A moment at most: what a call that just ended added is read, a long ledger goes on in its own time. */
static void
catch_up(struct kmn_keeper *k)
{
	for (unsigned n = 0; n < 10 && kmn_ui_view_work(k); n++)
		;
}

void
kmn_ui_instruction(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	uint64_t record = kmn_reader_u64(r);
	const struct kmn_job *job = kmn_job_find(k, record);
	kmn_err e = kmn_reader_end(r);
	json_t *one = NULL;

	catch_up(k);
	if (e != KMN_OK)
		kmn_ui_refuse(ask, e, kmn_err_text(e));
	else if ((one = known_of(k, record, job)) != NULL)
		kmn_ui_answer(ask, answer_of(k, one, job, true));
	else if (!kmn_ui_view_is_complete(k))
		kmn_ui_refuse(ask, KMN_E_BUSY, "the ledger is still being read: ask again");
	else
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "no such instruction among the last of this ledger");
	json_decref(one);
}

static bool
is_listed(const struct kmn_keeper *k, uint64_t record)
{
	char name[24];

	index_name(record, name);
	return json_object_get(kmn_ui_view_part(k, by_record), name) != NULL;
}

void
kmn_ui_instructions(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	kmn_err e = kmn_reader_end(r);
	const struct kmn_job *job;
	json_t *list, *known, *one;
	const char *name;
	size_t older;

	if (e != KMN_OK) {
		kmn_ui_refuse(ask, e, kmn_err_text(e));
		return;
	}
	catch_up(k);
	list = json_array();
	known = (json_t *)(uintptr_t)kmn_ui_view_part(k, by_record);
	older = json_object_size(known) > LISTED_MAX ? json_object_size(known) - LISTED_MAX : 0;
	json_object_foreach(known, name, one)
	{
		if (older > 0) {
			older--;
			continue;
		}
		job = kmn_job_find(k, strtoull(name, NULL, 10));
		(void)json_array_insert_new(list, 0, answer_of(k, one, job, false));
	}
	TAILQ_FOREACH(job, &k->jobs, link)
	if (!is_listed(k, job->record)) {
		one = known_of(k, job->record, job);
		(void)json_array_insert_new(list, 0, answer_of(k, one, job, false));
		json_decref(one);
	}
	kmn_ui_answer(ask, json_pack("{s:o}", "instructions", list));
}
