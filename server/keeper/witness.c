/*
 * The gateway as a log that is witnessed (c2sp.org/tlog-witness): at an
 * interval each witness that the policy and the configuration both name is
 * asked to cosign the head of now; what they say is verified here and becomes
 * one `cosign` record. Nothing waits for any of it: what happens when
 * cosignatures are too old is the quorum's to judge, from records.
 *
 *   due ──ask all──▶ ROUND ──all have answered, or 3 s have passed──▶ cosign record ──▶ (late ones: a record more)
 *                      │ 409: ask again with the size it holds, once
 *
 * Who has not answered when the next round comes is passed over in it.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"
#include "kanmon/witness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX_BYTES (16u << 10)
#define TIMEOUT_LEAST_MS 2000u
#define TIMEOUT_MOST_MS 10000u
#define GATHER_MS 3000 /* after the first question, a record is written with the answers that are there */
#define RETRY_MS 1000  /* while there is no courier, and while nobody has answered yet */

/* A head and its checkpoint. */
struct signed_head {
	struct kmn_head head;
	char *note; /* owned */
	size_t note_len;
};

struct asked {
	const char *name, *url; /* the configuration's */
	struct kmn_vkey key;    /* the policy's, when it was asked */
	struct signed_head of;  /* what it was asked to cosign */
	uint64_t size;          /* that it cosigned last, as far as we know */
	uint64_t cosigned;      /* the same, of what it has cosigned for us since the start; 0: nothing */
	bool pending, again;    /* again: asked a second time for the same head */
	char trouble[160];      /* "": its last answer was a cosignature */
};

struct kmn_witnessing {
	struct asked asked[KMN_WITNESSES_MAX];
	unsigned count;
	int64_t due_ms, gather_ms; /* boot time; gather_ms 0: no round gathers */
	struct signed_head round;
	json_t *lines; /* over the round's head that are not recorded yet; owned */
};

static void answered(struct kmn_keeper *k, void *cookie, const struct kmn_courier_answer *answer);

/* ---- what came ------------------------------------------------------------------------------------------------------ */

static void
trouble(struct asked *a, const char *text)
{
	if (strcmp(a->trouble, text) == 0) /* said already */
		return;
	snprintf(a->trouble, sizeof(a->trouble), "%s", text);
	kmn_say(KMN_SAY_WARNING, "witness %s: %s", a->name, text);
}

/* A checkpoint with these lines behind it; free(). */
static char *
with_lines(const struct signed_head *of, const uint8_t *lines, size_t len, size_t *len_out)
{
	char *note = malloc(of->note_len + len + 1);

	*len_out = of->note_len + len;
	if (note == NULL)
		return NULL;
	memcpy(note, of->note, of->note_len);
	memcpy(note + of->note_len, lines, len);
	note[*len_out] = '\0';
	return note;
}

/* Lines of one key out of a verified note, as the record has them. */
static kmn_err
add_lines(json_t *to, const struct kmn_note *note, const struct kmn_vkey *key)
{
	for (size_t n = 0; n < note->count; n++) {
		const struct kmn_note_line *line = &note->line[n];
		const char *dash = line->name - 4; /* em dash, space */

		if (line->name_len != strlen(key->name) || memcmp(line->name, key->name, line->name_len) != 0 ||
		    memcmp(line->id, key->id, sizeof(key->id)) != 0)
			continue;
		if (json_array_append_new(to, json_stringn(dash, (size_t)(line->b64 + line->b64_len - dash))) != 0)
			return KMN_E_NO_MEMORY;
	}
	return KMN_OK;
}

/* As long as from one round to the next, within reason. */
static uint32_t
timeout_ms(const struct kmn_keeper *k)
{
	uint32_t ms = k->setup->witness_ms;

	return ms < TIMEOUT_LEAST_MS ? TIMEOUT_LEAST_MS : ms > TIMEOUT_MOST_MS ? TIMEOUT_MOST_MS : ms;
}

static kmn_err
ask(struct kmn_keeper *k, struct asked *a)
{
	char url[KMN_COURIER_URL_MAX_BYTES + 1], *body = NULL;
	struct kmn_path path = {.count = 0};
	size_t len, url_len = strlen(a->url);
	kmn_err e;

	while (url_len > 0 && a->url[url_len - 1] == '/')
		url_len--;
	if (snprintf(url, sizeof(url), "%.*s/add-checkpoint", (int)url_len, a->url) >= (int)sizeof(url))
		return KMN_E_TOO_BIG;
	if (a->size > 0 && a->size < a->of.head.size &&
	    (e = kmn_log_consistency(k->log, a->size, a->of.head.size, &path)) != KMN_OK)
		return e;
	if ((e = kmn_witness_ask_make(a->size, &path, a->of.note, a->of.note_len, &body, &len)) == KMN_OK)
		e = kmn_courier_post(
		    k, url, "text/plain; charset=utf-8", body, len, ANSWER_MAX_BYTES, timeout_ms(k), answered, a);
	free(body);
	a->pending = e == KMN_OK;
	return e;
}

/* It holds another size than we thought. That is no signature of anybody's: it is said, and proves nothing. */
static void
take_conflict(struct kmn_keeper *k, struct asked *a, const struct kmn_courier_answer *answer)
{
	char text[24] = "", what[160];
	unsigned long long size;
	char *end;

	if (answer->len > 0 && answer->len < sizeof(text))
		memcpy(text, answer->body, answer->len);
	size = strtoull(text, &end, 10);
	if (strcmp(answer->type, "text/x.tlog.size") != 0 || end == text || *end != '\n' || end[1] != '\0') {
		trouble(a, "it answers 409 without a size");
	} else if (size > kmn_log_size(k->log)) {
		snprintf(what, sizeof(what),
		    "it says that it cosigned %llu records, and this ledger has %" PRIu64
		    ": was the ledger ROLLED BACK?",
		    size, kmn_log_size(k->log));
		trouble(a, what);
	} else if (size == a->size || a->again) {
		trouble(a, "it says that it cosigned another head of this size: a SPLIT VIEW?");
	} else {
		a->size = size;
		a->again = true;
		if (size <= a->of.head.size && ask(k, a) != KMN_OK)
			trouble(a, "it cannot be asked again");
	}
}

/* ---- records -------------------------------------------------------------------------------------------------------- */

/* For whoever takes the ledger's files away: the checkpoint with these lines. */
static void
export_cosigned(struct kmn_keeper *k, const struct signed_head *of, const json_t *lines)
{
	const json_t *line;
	char *bytes = NULL;
	size_t len = 0, n;
	FILE *to = open_memstream(&bytes, &len);

	if (to == NULL)
		return;
	(void)fwrite(of->note, 1, of->note_len, to);
	json_array_foreach(lines, n, line) fprintf(to, "%s\n", json_string_value(line));
	if (fclose(to) == 0 && kmn_store_replace(k->store, ".", "checkpoint.cosigned", bytes, len) != KMN_OK)
		kmn_say(KMN_SAY_WARNING, "checkpoint.cosigned cannot be written");
	free(bytes);
}

/* The lines are stolen. */
static void
record(struct kmn_keeper *k, const struct signed_head *of, json_t *lines)
{
	if (json_array_size(lines) == 0) {
		json_decref(lines);
		return;
	}
	export_cosigned(k, of, lines);
	/* A failure is the ledger's, and said. */
	(void)!kmn_keeper_append(k, KMN_R_COSIGN, kmn_cosign_body(&of->head, lines), NULL);
	k->held_due = k->held_due || !LIST_EMPTY(&k->held);
}

/* What this round has brought so far. */
static void
record_round(struct kmn_keeper *k)
{
	struct kmn_witnessing *s = k->witnessing;
	json_t *lines = s->lines;

	if ((s->lines = json_array()) == NULL)
		KMN_BUG("out of memory");
	record(k, &s->round, lines);
}

/* A line over the round's head waits for the others', a late one does not. */
static void
take_cosignature(struct kmn_keeper *k, struct asked *a, const struct kmn_courier_answer *answer)
{
	struct kmn_witnessing *s = k->witnessing;
	bool late = a->of.head.size != s->round.head.size;
	json_t *lines = late ? json_array() : json_incref(s->lines);
	struct kmn_why why = {"no line of its key"};
	struct kmn_note note;
	size_t len, count = 0;
	bool verified;
	char *bytes = with_lines(&a->of, answer->body, answer->len, &len);

	if (bytes == NULL || kmn_note_parse(bytes, len, &note, &why) != KMN_OK ||
	    kmn_note_verify(&note, &a->key, 1, &verified, &count, &why) != KMN_OK || count == 0) {
		trouble(a, why.text);
	} else if (add_lines(lines, &note, &a->key) == KMN_OK) {
		if (a->trouble[0] != '\0')
			kmn_say(KMN_SAY_INFO, "witness %s cosigns", a->name);
		a->trouble[0] = '\0';
		a->size = a->cosigned = a->of.head.size;
	}
	if (late)
		record(k, &a->of, lines);
	else
		json_decref(lines);
	free(bytes);
}

static bool
round_is_over(const struct kmn_witnessing *s)
{
	for (unsigned n = 0; n < s->count; n++)
		if (s->asked[n].pending && s->asked[n].of.head.size == s->round.head.size)
			return false;
	return true;
}

static void
answered(struct kmn_keeper *k, void *cookie, const struct kmn_courier_answer *answer)
{
	struct kmn_witnessing *s = k->witnessing;
	struct asked *a = cookie;
	char what[160];

	a->pending = false;
	if (k->failed || k->unrecorded)
		return;
	if (answer->err != KMN_OK) {
		trouble(a, kmn_err_text(answer->err));
	} else if (answer->status == 200) {
		take_cosignature(k, a, answer);
	} else if (answer->status == 409) {
		take_conflict(k, a, answer);
	} else {
		snprintf(what, sizeof(what), "it answers %u: %.*s", answer->status,
		    (int)(answer->len < 80 ? answer->len : 80), (const char *)answer->body);
		for (char *at = what; *at != '\0'; at++)
			if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
				*at = ' ';
		trouble(a, what);
	}
	if (s->gather_ms != 0 && round_is_over(s)) {
		s->gather_ms = 0;
		record_round(k);
	}
}

/* ---- rounds --------------------------------------------------------------------------------------------------------- */

/* The key that the policy has for it; false: the policy does not name it. */
static bool
find_key(const struct kmn_keeper *k, struct asked *a)
{
	const struct kmn_policy_witness *w;

	for (size_t n = 0; (w = kmn_policy_witness_at(kmn_keeper_policy(k), n)) != NULL; n++)
		if (strcmp(w->name, a->name) == 0)
			return kmn_vkey_parse(w->vkey, strlen(w->vkey), &a->key) == KMN_OK;
	trouble(a, "the policy names no witness of this name");
	return false;
}

static bool
ask_about(struct kmn_keeper *k, struct asked *a, const struct signed_head *of)
{
	char *copy = malloc(of->note_len + 1);
	kmn_err e;

	if (copy == NULL)
		return false;
	memcpy(copy, of->note, of->note_len + 1);
	free(a->of.note);
	a->of = *of;
	a->of.note = copy;
	a->again = false;
	if ((e = ask(k, a)) != KMN_OK)
		trouble(a, kmn_err_text(e));
	return e == KMN_OK;
}

static void
begin_round(struct kmn_keeper *k, int64_t now)
{
	struct kmn_witnessing *s = k->witnessing;
	bool any = false;

	free(s->round.note);
	s->round.note = NULL;
	if (kmn_log_checkpoint(k->log, &s->round.head, &s->round.note, &s->round.note_len) != KMN_OK)
		return;
	for (unsigned n = 0; n < s->count; n++)
		if (!s->asked[n].pending && find_key(k, &s->asked[n]))
			any = ask_about(k, &s->asked[n], &s->round) || any;
	s->due_ms = now + (any ? (int64_t)k->setup->witness_ms : RETRY_MS);
	s->gather_ms = any ? now + GATHER_MS : 0;
}

void
kmn_witness_tick(struct kmn_keeper *k)
{
	struct kmn_witnessing *s = k->witnessing;
	int64_t now = kmn_keeper_boot_ms();

	if (s == NULL)
		return;
	if (s->gather_ms != 0 && now >= s->gather_ms) {
		s->gather_ms = 0;
		record_round(k);
	}
	if (now < s->due_ms || k->courier == NULL)
		return;
	record_round(k);
	begin_round(k, now);
}

bool
kmn_witness_start(struct kmn_keeper *k)
{
	struct kmn_witnessing *s;

	if (k->setup->witness_count == 0)
		return true;
	if ((s = k->witnessing = calloc(1, sizeof(*s))) == NULL || (s->lines = json_array()) == NULL)
		return false;
	for (; s->count < k->setup->witness_count; s->count++) {
		s->asked[s->count].name = k->setup->witnesses[s->count].name;
		s->asked[s->count].url = k->setup->witnesses[s->count].url;
	}
	return true;
}

void
kmn_witness_clear(struct kmn_keeper *k)
{
	if (k->witnessing == NULL)
		return;
	for (unsigned n = 0; n < k->witnessing->count; n++)
		free(k->witnessing->asked[n].of.note);
	free(k->witnessing->round.note);
	json_decref(k->witnessing->lines);
	free(k->witnessing);
	k->witnessing = NULL;
}

/* ---- brought by hand, and asked about ------------------------------------------------------------------------------- */

/* The head that a note is over, if it is one of this ledger's. */
static kmn_err
own_head(struct kmn_keeper *k, const struct kmn_note *note, struct kmn_head *head_out, struct kmn_why *why)
{
	struct kmn_head here, durable;
	kmn_err e;

	if ((e = kmn_checkpoint_parse(note, kmn_log_origin(k->log), head_out, why)) != KMN_OK)
		return e;
	kmn_log_durable(k->log, &durable);
	if (head_out->size == 0 || head_out->size > durable.size ||
	    kmn_log_head_at(k->log, head_out->size, &here) != KMN_OK ||
	    memcmp(here.root, head_out->root, KMN_HASH_BYTES) != 0) {
		kmn_why_set(why, "the checkpoint is none of this ledger's");
		return KMN_E_MALFORMED;
	}
	return KMN_OK;
}

kmn_err
kmn_witness_import(struct kmn_keeper *k, const char *bytes, size_t len, json_t **lines_out, struct kmn_head *head_out,
    struct kmn_why *why)
{
	const struct kmn_policy_witness *w;
	struct kmn_note note;
	json_t *lines;
	kmn_err e;

	*lines_out = NULL;
	if ((e = kmn_note_parse(bytes, len, &note, why)) != KMN_OK || (e = own_head(k, &note, head_out, why)) != KMN_OK)
		return e;
	if ((lines = json_array()) == NULL)
		return KMN_E_NO_MEMORY;
	for (size_t n = 0; e == KMN_OK && (w = kmn_policy_witness_at(kmn_keeper_policy(k), n)) != NULL; n++) {
		struct kmn_vkey key;
		size_t count;
		bool verified;

		if ((e = kmn_vkey_parse(w->vkey, strlen(w->vkey), &key)) == KMN_OK &&
		    (e = kmn_note_verify(&note, &key, 1, &verified, &count, why)) == KMN_OK && verified)
			e = add_lines(lines, &note, &key);
	}
	if (e == KMN_OK && json_array_size(lines) == 0) {
		kmn_why_set(why, "no cosignature of a witness that the policy names");
		e = KMN_E_SIGNATURE;
	}
	if (e == KMN_OK)
		*lines_out = lines;
	else
		json_decref(lines);
	return e;
}

json_t *
kmn_witness_status(const struct kmn_keeper *k)
{
	const struct kmn_witnessing *s = k->witnessing;
	json_t *all = json_object();

	for (unsigned n = 0; s != NULL && n < s->count; n++) {
		const struct asked *a = &s->asked[n];
		const char *state = a->trouble[0] != '\0' ? a->trouble : a->cosigned > 0 ? "cosigns" : "not asked yet";

		if (json_object_set_new(all, a->name,
			json_pack("{s:I, s:o}", "size", (json_int_t)a->cosigned, "state",
			    kmn_json_label(state, strlen(state)))) != 0)
			KMN_BUG("out of memory");
	}
	return all;
}
