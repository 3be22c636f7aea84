/*
 * Texts that several people sign, one after the other, each at their own screen: the next version of the policy, the
 * reopening of a token, a veto. The keeper collects the lines that verify, and takes the text in when the quorum's own
 * rules say that it is complete. Nothing rests on what is kept here: what was collected is judged whole when it is taken,
 * as if somebody had brought it in a file. What the recovery role alone signed is never taken so: it is brought by NOTE.
 */
#include "config.h"

#include "server/keeper/admin.h"
#include "server/keeper/console.h"

#include "kanmon/evidence.h"
#include "kanmon/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_NAME "console.drafts"
#define STATE_MAX_BYTES (4u << 20)
#define LIFE_MS (INT64_C(14) * 24 * 3600 * 1000) /* since the last signature */
#define NAMES_MAX 64u

/* ---- who signed -------------------------------------------------------------------------------------------------- */

/* The versions whose keys may sign a text: that in force, and of a policy the one that it is. */
struct judges {
	const struct kmn_policy *policy[2];
	struct kmn_policy *next; /* owned; NULL: the text is no policy */
};

static kmn_err
judges_init(struct kmn_keeper *k, const struct kmn_note *note, struct judges *judges, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	kmn_err e;

	*judges = (struct judges){.policy = {kmn_keeper_policy(k)}};
	if (!kmn_ui_is_policy(note->text, note->text_len))
		return KMN_OK;
	if ((e = kmn_policy_parse(note->text, note->text_len, &judges->next, &error)) != KMN_OK)
		kmn_why_set(why, "line %u: %s", error.line, error.text);
	judges->policy[1] = judges->next;
	return e;
}

static void
judges_clear(struct judges *judges)
{
	kmn_policy_free(judges->next);
}

static void
add_name(json_t *names, const char *name)
{
	const json_t *there;
	size_t n;

	json_array_foreach(names, n, there)
	{
		if (strcmp(json_string_value(there), name) == 0)
			return;
	}
	if (json_array_size(names) < NAMES_MAX)
		(void)json_array_append_new(names, json_string(name));
}

/* Names of those whose lines verify. KMN_E_SIGNATURE: a line of a known key does not, or there is none. */
static kmn_err
find_names(const struct judges *judges, const struct kmn_note *note, json_t *names, struct kmn_why *why)
{
	kmn_err e = KMN_OK;

	for (size_t j = 0; e == KMN_OK && j < KMN_COUNT_OF(judges->policy) && judges->policy[j] != NULL; j++) {
		const struct kmn_policy_custodian *c;
		struct kmn_evidence_said *said = NULL;
		size_t count;

		e = kmn_evidence_verify_note(judges->policy[j], note, &said, &count, why);
		for (size_t n = 0; e == KMN_OK && (c = kmn_policy_custodian_at(judges->policy[j], n)) != NULL; n++)
			if (said[n].signed_it)
				add_name(names, c->name);
		free(said);
	}
	if (e == KMN_OK && json_array_size(names) == 0) {
		kmn_why_set(why, "nobody whom the policy knows has signed it");
		e = KMN_E_SIGNATURE;
	}
	return e;
}

static bool
is_known_line(const struct judges *judges, const struct kmn_note_line *line)
{
	const struct kmn_policy_custodian *c;

	for (size_t j = 0; j < KMN_COUNT_OF(judges->policy) && judges->policy[j] != NULL; j++)
		for (size_t n = 0; (c = kmn_policy_custodian_at(judges->policy[j], n)) != NULL; n++)
			if (kmn_note_line_is_by(line, c->key->name, c->key->id))
				return true;
	return false;
}

static bool
has_line(const char *bytes, size_t len, const struct kmn_note_line *line)
{
	struct kmn_note note;

	if (kmn_note_parse(bytes, len, &note, NULL) != KMN_OK)
		return false;
	for (size_t n = 0; n < note.count; n++)
		if (note.line[n].name_len == line->name_len &&
		    memcmp(note.line[n].id, line->id, sizeof(line->id)) == 0 &&
		    memcmp(note.line[n].name, line->name, line->name_len) == 0)
			return true;
	return false;
}

/*
 * What is kept (a note; NULL: nothing yet) with the lines of another note over the same text, by keys that are known:
 * both verified before. *note_out: free().
 */
static kmn_err
merge(const struct judges *judges, const struct kmn_ui_draft *kept, const struct kmn_note *note, char **note_out,
    size_t *len_out)
{
	const char *bytes = kept != NULL ? kept->note : note->text;
	size_t len = kept != NULL ? kept->len : note->text_len;
	char *merged = strndup(bytes, len);
	kmn_err e = merged != NULL ? KMN_OK : KMN_E_NO_MEMORY;

	for (size_t n = 0; e == KMN_OK && n < note->count; n++) {
		const struct kmn_note_line *line = &note->line[n];
		char *text = NULL, *longer = NULL;

		if (!is_known_line(judges, line) || has_line(merged, len, line))
			continue;
		if (asprintf(&text, "\xe2\x80\x94 %.*s %.*s\n", (int)line->name_len, line->name, (int)line->b64_len,
			line->b64) < 0)
			KMN_BUG("out of memory");
		e = kmn_note_add_line(merged, len, text, &longer, &len);
		free(text);
		free(merged);
		merged = longer;
	}
	if (e == KMN_OK && len > KMN_NOTE_MAX_BYTES)
		e = KMN_E_TOO_BIG;
	*note_out = e == KMN_OK ? merged : NULL;
	*len_out = e == KMN_OK ? len : 0;
	if (e != KMN_OK)
		free(merged);
	return e;
}

/* ---- what it lacks ----------------------------------------------------------------------------------------------- */

/* KMN_OK: it is complete. KMN_E_SIGNATURE, KMN_E_BUSY: not yet, *why says what it lacks. Else it never will be. */
static kmn_err
check(struct kmn_keeper *k, const char *note, size_t len, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_signed_check signed_check;
	kmn_err e;

	*why = (struct kmn_why){""};
	if (!kmn_ui_is_policy(note, len)) {
		e = kmn_quorum_check_signed(k->quorum, note, len, &signed_check, why);
		if (e == KMN_E_NOT_FOUND && why->text[0] == '\0')
			kmn_why_set(why,
			    "signatures are collected for policies, reopenings and vetoes: a vote is given at once");
		return e;
	}
	e = kmn_quorum_check_policy(k->quorum, note, len, kmn_keeper_now_ms(), &error);
	if (e != KMN_OK && error.line > 0)
		kmn_why_set(why, "line %u: %s", error.line, error.text);
	else if (e != KMN_OK)
		kmn_why_set(why, "%s", error.text);
	return e;
}

static bool
may_still_come(kmn_err e)
{
	return e == KMN_OK || e == KMN_E_SIGNATURE || e == KMN_E_BUSY;
}

/* The quorum's own way in: what is complete is a record. */
static kmn_err
take(struct kmn_keeper *k, const char *by, const char *note, size_t len, json_t **answer_out, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	kmn_err e;

	if (!kmn_ui_is_policy(note, len))
		return kmn_note_take(k, by, note, len, answer_out, why);
	if ((e = kmn_policy_take(k, by, false, note, len, answer_out, &error)) != KMN_OK)
		kmn_why_set(why, "%s", error.text);
	return e;
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

static struct kmn_ui_draft *
find(struct kmn_consoling *c, const uint8_t sha256[KMN_HASH_BYTES])
{
	struct kmn_ui_draft *d;

	TAILQ_FOREACH(d, &c->drafts, link)
	if (memcmp(d->sha256, sha256, KMN_HASH_BYTES) == 0)
		return d;
	return NULL;
}

static void
draft_free(struct kmn_consoling *c, struct kmn_ui_draft *d)
{
	TAILQ_REMOVE(&c->drafts, d, link);
	free(d->note);
	free(d);
}

void
kmn_ui_drafts_free(struct kmn_consoling *c)
{
	struct kmn_ui_draft *d;

	while ((d = TAILQ_FIRST(&c->drafts)) != NULL)
		draft_free(c, d);
}

/* In state/, for the next life of the gateway; and pages are told. */
static void
drafts_changed(struct kmn_keeper *k)
{
	const struct kmn_ui_draft *d;
	json_t *list = json_array();
	char *text;

	TAILQ_FOREACH(d, &k->consoling->drafts, link)
	(void)json_array_append_new(list,
	    json_pack("{s:s%, s:s, s:I}", "note", d->note, d->len, "begun_by", d->begun_by, "t", (json_int_t)d->t));
	if ((text = json_dumps(list, JSON_COMPACT)) == NULL)
		KMN_BUG("out of memory");
	json_decref(list);
	if (kmn_log_keep_state(k->log, STATE_NAME, text, strlen(text)) != KMN_OK)
		kmn_say(KMN_SAY_WARNING,
		    "state/" STATE_NAME " cannot be written: collected signatures end with the process");
	free(text);
	kmn_ui_tell(k, json_pack("{s:s}", "event", "drafts"));
}

static json_t *
draft_json(struct kmn_keeper *k, const struct kmn_ui_draft *d)
{
	struct kmn_why why;
	struct kmn_note note;
	struct judges judges = {.next = NULL};
	json_t *names = json_array(), *o;
	const char *end = strchr(d->note, '\n');

	if (kmn_note_parse(d->note, d->len, &note, NULL) == KMN_OK && judges_init(k, &note, &judges, &why) == KMN_OK)
		(void)find_names(&judges, &note, names, &why);
	o = json_pack("{s:o, s:o, s:s%, s:o, s:s, s:I, s:o}", "draft", kmn_json_b64(d->sha256, KMN_HASH_BYTES), "kind",
	    kmn_json_label(d->note, end != NULL ? (size_t)(end - d->note) : 0), "note", d->note, d->len, "signed_by",
	    names, "begun_by", d->begun_by, "t", (json_int_t)d->t, "lacks",
	    kmn_json_label(d->lacks.text, strlen(d->lacks.text)));
	if (judges.next != NULL)
		(void)json_object_set_new(o, "version", json_integer((json_int_t)kmn_policy_version(judges.next)));
	judges_clear(&judges);
	return o;
}

/* Room for one more of that person. */
static kmn_err
make_room(struct kmn_consoling *c, const char *name, struct kmn_why *why)
{
	const struct kmn_ui_draft *d;
	unsigned all = 0, own = 0;

	TAILQ_FOREACH(d, &c->drafts, link)
	{
		all++;
		own += strcmp(d->begun_by, name) == 0;
	}
	if (all < KMN_UI_DRAFTS_MAX && own < KMN_UI_DRAFTS_OF_ONE_MAX)
		return KMN_OK;
	kmn_why_set(why, "too many texts wait for signatures: let one be taken back first");
	return KMN_E_TOO_MANY;
}

/* Takes the note. */
static struct kmn_ui_draft *
keep(struct kmn_consoling *c, struct kmn_ui_draft *d, const uint8_t sha256[KMN_HASH_BYTES], const char *name,
    char *note, size_t len, int64_t t)
{
	if (d == NULL) {
		if ((d = calloc(1, sizeof(*d))) == NULL)
			KMN_BUG("out of memory");
		memcpy(d->sha256, sha256, KMN_HASH_BYTES);
		(void)snprintf(d->begun_by, sizeof(d->begun_by), "%s", name);
		TAILQ_INSERT_HEAD(&c->drafts, d, link);
	}
	free(d->note);
	d->note = note;
	d->len = len;
	d->t = t;
	return d;
}

/*
 * Some lines more for a text: *draft_out is what is kept of it now, and the answer of what it came to when it was
 * complete (then it is not kept). KMN_E_SIGNATURE: a line that does not verify, or none of anybody who is known.
 */
static kmn_err
bring(struct kmn_keeper *k, const char *by, const char *bytes, size_t len, json_t **answer_out, struct kmn_why *why)
{
	struct kmn_consoling *c = k->consoling;
	struct judges judges = {.next = NULL};
	struct kmn_ui_draft *d = NULL;
	uint8_t sha256[KMN_HASH_BYTES];
	json_t *names = json_array();
	struct kmn_note note;
	size_t merged_len;
	char *merged = NULL;
	kmn_err e = kmn_note_parse(bytes, len, &note, why);

	if (e == KMN_OK)
		e = judges_init(k, &note, &judges, why);
	if (e == KMN_OK)
		e = find_names(&judges, &note, names, why);
	if (e != KMN_OK)
		goto done;
	kmn_sha256(note.text, note.text_len, sha256);
	if ((d = find(c, sha256)) == NULL && (e = make_room(c, by, why)) != KMN_OK)
		goto done;
	if ((e = merge(&judges, d, &note, &merged, &merged_len)) != KMN_OK)
		goto done;
	e = check(k, merged, merged_len, why);
	if (!may_still_come(e))
		goto done;
	d = keep(c, d, sha256, by, merged, merged_len, kmn_keeper_now_ms());
	merged = NULL;
	if (e == KMN_OK && (e = take(k, by, d->note, d->len, answer_out, why)) == KMN_OK)
		(void)json_object_set_new(*answer_out, "draft", kmn_json_b64(sha256, sizeof(sha256)));
	if (e == KMN_OK || !may_still_come(e)) {
		draft_free(c, d);
	} else {
		d->lacks = *why;
		*answer_out = draft_json(k, d);
		e = KMN_OK;
	}
	drafts_changed(k);
done:
	json_decref(names);
	judges_clear(&judges);
	free(merged);
	return e;
}

static void
load_one(struct kmn_keeper *k, const json_t *entry)
{
	uint8_t sha256[KMN_HASH_BYTES];
	const char *bytes, *by;
	struct kmn_ui_draft *d;
	struct kmn_note note;
	struct kmn_why why;
	uint64_t t;
	size_t len;

	if (!kmn_json_get_text(entry, "note", &bytes) || !kmn_json_get_text(entry, "begun_by", &by) ||
	    !kmn_json_get_number(entry, "t", &t) || (len = strlen(bytes)) > KMN_NOTE_MAX_BYTES ||
	    kmn_note_parse(bytes, len, &note, NULL) != KMN_OK || !may_still_come(check(k, bytes, len, &why)))
		return;
	kmn_sha256(note.text, note.text_len, sha256);
	if (find(k->consoling, sha256) != NULL)
		return;
	d = keep(k->consoling, NULL, sha256, by, strndup(bytes, len), len, (int64_t)t);
	TAILQ_REMOVE(&k->consoling->drafts, d, link); /* the file has the newest first, too */
	TAILQ_INSERT_TAIL(&k->consoling->drafts, d, link);
	d->lacks = why;
}

void
kmn_ui_drafts_load(struct kmn_keeper *k)
{
	json_t *list = NULL, *entry;
	char *text = NULL;
	size_t len, n;

	if (kmn_log_kept_state(k->log, STATE_NAME, STATE_MAX_BYTES, &text, &len) == KMN_OK)
		list = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_array_foreach(list, n, entry)
	{
		if (n < KMN_UI_DRAFTS_MAX)
			load_one(k, entry);
	}
	json_decref(list);
	free(text);
}

void
kmn_ui_drafts_tick(struct kmn_keeper *k)
{
	struct kmn_consoling *c = k->consoling;
	struct kmn_ui_draft *d, *after;
	int64_t now = kmn_keeper_now_ms();
	bool changed = false;

	for (d = TAILQ_FIRST(&c->drafts); d != NULL; d = after) {
		struct kmn_why why = {"nobody signed it for two weeks"};

		after = TAILQ_NEXT(d, link);
		if (now - d->t <= LIFE_MS && (!c->judge_drafts || may_still_come(check(k, d->note, d->len, &why))))
			continue;
		kmn_say(KMN_SAY_INFO, "a text of %s that waited for signatures is over: %s", d->begun_by, why.text);
		draft_free(c, d);
		changed = true;
	}
	c->judge_drafts = false;
	if (changed)
		drafts_changed(k);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

void
kmn_ui_drafts(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	const struct kmn_ui_draft *d;
	kmn_err e = kmn_reader_end(r);
	json_t *list;

	if (e != KMN_OK) {
		kmn_ui_refuse(ask, e, kmn_err_text(e));
		return;
	}
	list = json_array();
	TAILQ_FOREACH(d, &ask->keeper->consoling->drafts, link)
	(void)json_array_append_new(list, draft_json(ask->keeper, d));
	kmn_ui_answer(ask, json_pack("{s:o}", "drafts", list));
}

void
kmn_ui_draft(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	char by[KMN_POLICY_NAME_MAX_BYTES + 1];
	struct kmn_why why = {""};
	json_t *answer = NULL;
	char *note = NULL;
	size_t len;
	kmn_err e = kmn_ui_signed_get(ask->keeper, r, &note, &len, &why);

	(void)snprintf(by, sizeof(by), "%s", ask->session->name);
	if (e == KMN_OK)
		e = kmn_reader_end(r);
	if (e == KMN_OK)
		e = bring(ask->keeper, by, note, len, &answer, &why);
	if (e == KMN_OK)
		kmn_ui_answer_when_durable(ask, answer);
	else
		kmn_ui_refuse_why(ask, e, &why);
	free(note);
}

/* Who began it, or whose signature it carries. */
static bool
may_drop(struct kmn_keeper *k, const struct kmn_ui_draft *d, const char *name)
{
	json_t *shown = draft_json(k, d), *one;
	bool may = strcmp(d->begun_by, name) == 0;
	size_t n;

	json_array_foreach(json_object_get(shown, "signed_by"), n, one)
	{
		may = may || strcmp(json_string_value(one), name) == 0;
	}
	json_decref(shown);
	return may;
}

void
kmn_ui_draft_drop(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	uint8_t sha256[KMN_HASH_BYTES];
	struct kmn_ui_draft *d;
	kmn_err e;

	kmn_reader_raw(r, sha256, sizeof(sha256));
	if ((e = kmn_reader_end(r)) != KMN_OK) {
		kmn_ui_refuse(ask, e, kmn_err_text(e));
	} else if ((d = find(k->consoling, sha256)) == NULL) {
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "no such text waits for signatures");
	} else if (!may_drop(k, d, ask->session->name)) {
		kmn_ui_refuse(ask, KMN_E_DENIED, "it is taken back by who began it, or signed it");
	} else {
		kmn_say(KMN_SAY_INFO, "a text of %s that waited for signatures is taken back by %s", d->begun_by,
		    ask->session->name);
		draft_free(k->consoling, d);
		drafts_changed(k);
		kmn_ui_answer(ask, json_pack("{s:o}", "draft", kmn_json_b64(sha256, sizeof(sha256))));
	}
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

/* What stands against the token, as `kanmon reopen` puts it into words. */
static kmn_err
reopen_text(struct kmn_keeper *k, const char *token, const char *reason, char **text_out, struct kmn_why *why)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	char named[KMN_SIGNED_PAIR_BYTES], against[KMN_SIGNED_PAIR_BYTES];
	const struct kmn_signed_pair pair[] = {{"origin", kmn_policy_origin(policy)}, {"policy", named},
	    {"token", token}, {"anomaly", against}, {"reason", reason}};
	struct kmn_anomaly anomaly;

	if (kmn_quorum_stance(k->quorum, token, &anomaly) == KMN_STANCE_NONE) {
		kmn_why_set(why, "nothing stands against that token");
		return KMN_E_NOT_FOUND;
	}
	kmn_signed_number_hash(kmn_policy_version(policy), kmn_policy_sha256(policy), named);
	kmn_signed_number_hash(anomaly.ref.i, anomaly.ref.leaf, against);
	return kmn_signed_make(KMN_SIGNED_REOPEN, pair, KMN_COUNT_OF(pair), text_out, why);
}

static kmn_err
veto_text(struct kmn_keeper *k, const char *reason, char **text_out, struct kmn_why *why)
{
	struct kmn_waiting_policy waiting;
	char named[KMN_SIGNED_PAIR_BYTES];
	const struct kmn_signed_pair pair[] = {
	    {"origin", kmn_policy_origin(kmn_keeper_policy(k))}, {"policy", named}, {"reason", reason}};

	if (!kmn_quorum_waiting(k->quorum, kmn_keeper_now_ms(), kmn_keeper_boot_ms(), &waiting)) {
		kmn_why_set(why, "no policy waits");
		return KMN_E_NOT_FOUND;
	}
	kmn_signed_number_hash(waiting.version, waiting.sha256, named);
	return kmn_signed_make(KMN_SIGNED_VETO, pair, KMN_COUNT_OF(pair), text_out, why);
}

void
kmn_ui_text(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	char page[KMN_UI_NAMED_MAX_BYTES + 1], what[16], token[KMN_POLICY_NAME_MAX_BYTES + 1], reason[512];
	struct kmn_why why = {""};
	char *value = NULL, *text = NULL;
	kmn_err e;

	kmn_reader_text(r, page, sizeof(page));
	kmn_reader_text(r, what, sizeof(what));
	kmn_reader_text(r, token, sizeof(token));
	kmn_reader_text(r, reason, sizeof(reason));
	if ((e = kmn_reader_end(r)) == KMN_OK && (value = kmn_signed_value(reason)) == NULL)
		e = KMN_E_TOO_BIG;
	if (e == KMN_OK && reason[0] == '\0') {
		kmn_why_set(&why, "a reason is given, in words that the auditor reads");
		e = KMN_E_MALFORMED;
	}
	if (e == KMN_OK && strcmp(what, "reopen") == 0) {
		e = reopen_text(ask->keeper, token, value, &text, &why);
	} else if (e == KMN_OK && strcmp(what, "veto") == 0) {
		e = veto_text(ask->keeper, value, &text, &why);
	} else if (e == KMN_OK) {
		kmn_why_set(&why, "what is reopen or veto");
		e = KMN_E_MALFORMED;
	}
	if (e == KMN_OK)
		kmn_ui_text_answer(ask, text, page);
	else
		kmn_ui_refuse_why(ask, e, &why);
	free(value);
}
