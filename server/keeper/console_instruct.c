/*
 * What an operator wants to be done: a text to be signed, and its record. What comes of it is a call of the console's
 * own client, which names the record and is judged like any other.
 */
#include "config.h"

#include "server/keeper/runner.h"

#include "kanmon/say.h"
#include "kanmon/whole.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS 7u
#define PAIRS 14u

/* The text's lines: `pair` in its order, `owned` what is to be freed. */
struct lines {
	struct kmn_signed_pair pair[PAIRS];
	size_t count;
	char *owned[TEXTS];
	size_t owned_count;
	char nonce[KMN_B64_LEN(KMN_HASH_BYTES) + 1], file[KMN_B64_LEN(KMN_HASH_BYTES) + 1], len[24],
	    time[KMN_TIME_TEXT_BYTES];
};

static void
add(struct lines *lines, const char *key, const char *value)
{
	lines->pair[lines->count++] = (struct kmn_signed_pair){key, value};
}

/* Text that a person typed; one that is empty is not said, unless it must stand. */
static kmn_err
add_value(struct lines *lines, const char *key, const char *text, bool must)
{
	char *value;

	if (text[0] == '\0' && !must)
		return KMN_OK;
	if ((value = kmn_signed_value(text)) == NULL)
		return KMN_E_TOO_BIG;
	lines->owned[lines->owned_count++] = value;
	add(lines, key, value);
	return KMN_OK;
}

static void
clear(struct lines *lines)
{
	for (size_t n = 0; n < lines->owned_count; n++)
		free(lines->owned[n]);
}

/* As they were asked for. */
struct wanted {
	char page[KMN_UI_NAMED_MAX_BYTES + 1], what[16], token[KMN_POLICY_NAME_MAX_BYTES + 1],
	    rule[KMN_POLICY_NAME_MAX_BYTES + 1], label[KMN_KEY_LABEL_MAX_BYTES], id[2 * KMN_KEY_ID_MAX_BYTES + 1],
	    mechanism[KMN_POLICY_NAME_MAX_BYTES + 1], parameters[512], purpose[512];
	uint64_t file_len;
	uint8_t file[KMN_HASH_BYTES];
};

static kmn_err
read_wanted(struct kmn_reader *r, struct wanted *w)
{
	kmn_reader_text(r, w->page, sizeof(w->page));
	kmn_reader_text(r, w->what, sizeof(w->what));
	kmn_reader_text(r, w->token, sizeof(w->token));
	kmn_reader_text(r, w->rule, sizeof(w->rule));
	kmn_reader_text(r, w->label, sizeof(w->label));
	kmn_reader_text(r, w->id, sizeof(w->id));
	kmn_reader_text(r, w->mechanism, sizeof(w->mechanism));
	kmn_reader_text(r, w->parameters, sizeof(w->parameters));
	w->file_len = kmn_reader_u64(r);
	kmn_reader_raw(r, w->file, sizeof(w->file));
	kmn_reader_text(r, w->purpose, sizeof(w->purpose));
	return kmn_reader_end(r);
}

static kmn_err
make_text(struct kmn_keeper *k, const struct wanted *w, char **text_out, struct kmn_why *why)
{
	static const uint8_t none[KMN_HASH_BYTES];
	struct lines lines = {.count = 0};
	uint8_t nonce[KMN_HASH_BYTES];
	kmn_err e;

	add(&lines, "origin", kmn_log_origin(k->log));
	add(&lines, "client", k->setup->console_client);
	add(&lines, "what", w->what);
	add(&lines, "token", w->token);
	if (w->rule[0] != '\0')
		add(&lines, "rule", w->rule);
	if ((e = add_value(&lines, "key-label", w->label, false)) == KMN_OK)
		e = add_value(&lines, "key-id", w->id, false);
	if (w->mechanism[0] != '\0')
		add(&lines, "mechanism", w->mechanism);
	if (e == KMN_OK)
		e = add_value(&lines, "parameters", w->parameters, false);
	if (memcmp(w->file, none, sizeof(none)) != 0) {
		(void)snprintf(lines.len, sizeof(lines.len), "%llu", (unsigned long long)w->file_len);
		kmn_b64(w->file, sizeof(w->file), lines.file);
		add(&lines, "file-len", lines.len);
		add(&lines, "file-sha256", lines.file);
	}
	if (e == KMN_OK)
		e = add_value(&lines, "purpose", w->purpose, true);
	kmn_keeper_random(nonce, sizeof(nonce));
	kmn_b64(nonce, sizeof(nonce), lines.nonce);
	kmn_time_text(kmn_clock_record_ms(k), lines.time);
	add(&lines, "nonce", lines.nonce);
	add(&lines, "time", lines.time);
	if (e == KMN_OK)
		e = kmn_signed_make(KMN_SIGNED_INSTRUCTION, lines.pair, lines.count, text_out, why);
	clear(&lines);
	return e;
}

static bool
has_rule(const struct kmn_policy *policy, const char *rule)
{
	const char *name;

	for (size_t n = 0; (name = kmn_policy_rule_at(policy, n)) != NULL; n++)
		if (strcmp(name, rule) == 0)
			return true;
	return false;
}

void
kmn_ui_instruction_text(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct wanted wanted = {.file_len = 0};
	struct kmn_why why = {""};
	char *text;
	kmn_err e = read_wanted(r, &wanted);

	if (e == KMN_OK && wanted.rule[0] != '\0' && !has_rule(kmn_keeper_policy(ask->keeper), wanted.rule)) {
		kmn_why_set(&why, "the policy has no rule %s: the Policy page lists its rules", wanted.rule);
		e = KMN_E_DENIED;
	}
	if (e == KMN_OK)
		e = make_text(ask->keeper, &wanted, &text, &why);
	if (e == KMN_OK &&
	    (e = kmn_action_check_text(kmn_keeper_policy(ask->keeper), text, ask->session->name, &why)) != KMN_OK)
		free(text);
	if (e != KMN_OK)
		kmn_ui_refuse_why(ask, e, &why);
	else
		kmn_ui_text_offer(ask, text, wanted.page);
}

/* The file that the text names, and no other; it is kept, for it is what will be signed. */
static kmn_err
keep_file(struct kmn_keeper *k, const struct kmn_signed *said, const uint8_t *file, size_t len, struct kmn_why *why)
{
	const struct kmn_signed_line *hash = kmn_signed_line(said, "file-sha256", 0);
	const struct kmn_signed_line *said_len = kmn_signed_line(said, "file-len", 0);
	uint8_t sha256[KMN_HASH_BYTES];

	if (hash == NULL && len == 0)
		return KMN_OK;
	kmn_sha256(file, len, sha256);
	if (hash == NULL || memcmp(hash->hash, sha256, sizeof(sha256)) != 0 ||
	    (said_len != NULL && said_len->number != len)) {
		kmn_why_set(why, "these %zu bytes are not the file that was signed for", len);
		return KMN_E_ARGUMENTS;
	}
	if (kmn_log_blob_put(k->log, file, len, sha256) == KMN_OK)
		return KMN_OK;
	kmn_keeper_ledger_lost(k, "what is to be done cannot be kept");
	return KMN_E_LEDGER;
}

/* A file that the runner could make nothing of is refused before anything is recorded. */
static kmn_err
check_file(
    const struct kmn_keeper *k, const struct kmn_signed *said, const uint8_t *file, size_t len, struct kmn_why *why)
{
	const struct kmn_signed_line *mechanism = kmn_signed_line(said, "mechanism", 0);
	char name[KMN_POLICY_NAME_MAX_BYTES + 1];

	if (!k->has_runners || kmn_signed_line(said, "file-sha256", 0) == NULL || mechanism == NULL)
		return KMN_OK;
	(void)snprintf(name, sizeof(name), "%.*s", (int)mechanism->len, mechanism->value);
	return kmn_whole_check(name, file, len, why);
}

/* What is asked for, and the user PIN that its call logs in with; views. */
struct order {
	const uint8_t *file, *pin;
	size_t file_len, pin_len;
};

static kmn_err
instruct(const struct kmn_ui_ask *ask, const char *bytes, size_t len, const struct order *order, struct kmn_ref *ref,
    struct kmn_why *why)
{
	struct kmn_keeper *k = ask->keeper;
	struct kmn_action_signer signer;
	struct kmn_signed said;
	struct kmn_note note;
	kmn_err e = kmn_note_parse(bytes, len, &note, why);

	if (e != KMN_OK)
		return e;
	if (!kmn_ui_text_use(k, note.text, note.text_len)) {
		kmn_why_set(why, "the text that was signed is none of this gateway's, too old, or was used");
		return KMN_E_EXPIRED;
	}
	if ((e = kmn_action_judge_note(kmn_keeper_policy(k), KMN_SIGNED_INSTRUCTION, bytes, len,
		 (uint64_t)kmn_clock_record_ms(k), &signer, why)) != KMN_OK ||
	    (e = kmn_signed_read(note.text, note.text_len, &said, why)) != KMN_OK)
		return e;
	if (strcmp(signer.name, ask->session->name) != 0) {
		kmn_why_set(why, "it was signed by another person than the one who is signed in");
		return KMN_E_DENIED;
	}
	if ((e = kmn_job_room(k, why)) != KMN_OK ||
	    (e = check_file(k, &said, order->file, order->file_len, why)) != KMN_OK ||
	    (e = keep_file(k, &said, order->file, order->file_len, why)) != KMN_OK ||
	    (e = kmn_ui_action(ask, KMN_ACTION_INSTRUCT, json_pack("{s:{s:s}}", "auth", "note", bytes), ref, why)) !=
		KMN_OK)
		return e;
	return kmn_job_new(ask, ref, &said, order->file, order->file_len, order->pin, order->pin_len, why);
}

void
kmn_ui_instruct(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_why why = {""};
	struct kmn_ref ref;
	struct order order = {.pin = NULL};
	size_t len;
	char *note = NULL, application[40];
	kmn_err e = kmn_ui_signed_get(ask->keeper, r, &note, &len, &why);

	if (e == KMN_OK) {
		order.file_len = kmn_reader_bytes(r, KMN_UI_FILE_MAX_BYTES, &order.file);
		if (r->at != r->end)
			order.pin_len = kmn_reader_bytes(r, KMN_RUNNER_PIN_MAX_BYTES, &order.pin);
		e = kmn_reader_end(r);
	}
	if (e == KMN_OK)
		e = instruct(ask, note, len, &order, &ref, &why);
	free(note);
	if (e != KMN_OK) {
		kmn_ui_refuse_why(ask, e, &why);
		return;
	}
	(void)snprintf(application, sizeof(application), "action %llu", (unsigned long long)ref.i);
	kmn_say(KMN_SAY_INFO, "console: %s instructs: %s", ask->session->name, application);
	kmn_ui_answer_when_durable(
	    ask, json_pack("{s:I, s:s}", "record", (json_int_t)ref.i, "application", application));
}
