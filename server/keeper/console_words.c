/*
 * A policy in words, as `kanmon policy check` and `policy diff` say them: what is hardly meant in it, and whose rights
 * change. The difference is tried with every client, token, object and function: of long policies it is not made here.
 */
#include "config.h"

#include "server/keeper/admin.h"
#include "server/keeper/console.h"

#include <stdlib.h>
#include <string.h>

#define COMPARED_MAX_BYTES (24u << 10) /* of a policy that is compared in the gateway */
#define LINES_MAX 400u
#define SPELL_MS 2000 /* in which so much time goes into words, and then none until it is over: */
#define SPENT_MAX_US 400000u

static void
add_line(void *cookie, unsigned line, const char *text)
{
	if (json_array_size(cookie) < LINES_MAX)
		(void)json_array_append_new(
		    cookie, json_pack("{s:i, s:o}", "line", (int)line, "text", kmn_json_label(text, strlen(text))));
}

static void
add_change(void *cookie, const char *whose, const char *text)
{
	if (json_array_size(cookie) < LINES_MAX)
		(void)json_array_append_new(
		    cookie, json_pack("{s:o, s:o}", "whose", kmn_json_label(whose, strlen(whose)), "text",
				kmn_json_label(text, strlen(text))));
}

static bool
is_short(const struct kmn_policy *policy)
{
	size_t len;

	(void)kmn_policy_text(policy, &len);
	return len <= COMPARED_MAX_BYTES;
}

static void
put_changes(json_t *answer, const struct kmn_policy *before, const struct kmn_policy *after)
{
	json_t *changes = json_array();

	if (is_short(before) && is_short(after))
		(void)kmn_policy_diff(before, after, add_change, changes);
	else
		add_change(changes, "policy", "too long to be compared here: kanmon policy diff OLD NEW");
	(void)json_object_set_new(answer, "changes", changes);
}

static void
put_lines(json_t *answer, const struct kmn_policy *policy)
{
	json_t *lines = json_array();

	(void)kmn_policy_lint(policy, add_line, lines);
	(void)json_object_set_new(answer, "lines", lines);
}

/* A version of this ledger; kmn_policy_free(). NULL: there is none. */
static struct kmn_policy *
version_of(struct kmn_keeper *k, uint64_t version)
{
	struct kmn_policy_error error;
	struct kmn_policy *policy = NULL;
	json_t *note = kmn_admin_policy_note(k, version);
	struct kmn_note parsed;
	const char *bytes = json_string_value(note);

	if (bytes != NULL && kmn_note_parse(bytes, strlen(bytes), &parsed, NULL) == KMN_OK &&
	    kmn_policy_parse(parsed.text, parsed.text_len, &policy, &error) != KMN_OK)
		policy = NULL;
	json_decref(note);
	return policy;
}

static json_t *
explain(struct kmn_keeper *k, uint64_t version)
{
	struct kmn_policy *policy = version_of(k, version), *before = version > 1 ? version_of(k, version - 1) : NULL;
	json_t *answer = NULL;

	if (policy != NULL) {
		answer = json_object();
		put_lines(answer, policy);
		if (before != NULL)
			put_changes(answer, before, policy);
	}
	kmn_policy_free(before);
	kmn_policy_free(policy);
	return answer;
}

static json_t *
compare(struct kmn_keeper *k, uint64_t from, uint64_t to)
{
	struct kmn_policy *before = version_of(k, from), *after = version_of(k, to);
	json_t *answer = NULL;

	if (before != NULL && after != NULL) {
		answer = json_object();
		put_changes(answer, before, after);
	}
	kmn_policy_free(before);
	kmn_policy_free(after);
	return answer;
}

static json_t *
check(struct kmn_keeper *k, const char *draft, size_t len)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_policy *policy = NULL;
	kmn_err e = kmn_policy_parse(draft, len, &policy, &error);
	json_t *answer = json_pack("{s:b}", "ok", e == KMN_OK);

	if (e == KMN_OK) {
		put_lines(answer, policy);
		put_changes(answer, kmn_keeper_policy(k), policy);
		kmn_policy_free(policy);
	} else {
		(void)json_object_set_new(answer, "error",
		    json_pack(
			"{s:i, s:o}", "line", (int)error.line, "text", kmn_json_label(error.text, strlen(error.text))));
	}
	return answer;
}

/* Long policies take a quarter of a second: applications come first, however many pages ask. */
static bool
is_spent(struct kmn_consoling *c)
{
	int64_t now = kmn_keeper_boot_ms();

	if (now - c->words_ms >= SPELL_MS) {
		c->words_ms = now;
		c->words_us = 0;
	}
	return c->words_us >= SPENT_MAX_US;
}

void
kmn_ui_policy_words(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	uint8_t what = kmn_reader_u8(r);
	uint64_t one = kmn_reader_u64(r), other = kmn_reader_u64(r);
	const uint8_t *draft;
	size_t len = kmn_reader_bytes(r, KMN_UI_POLICY_MAX_BYTES, &draft);
	kmn_err e = kmn_reader_end(r);
	uint64_t begun_us = kmn_keeper_now_us();
	json_t *answer = NULL;

	if (e == KMN_OK && (what < 1 || what > 3))
		e = KMN_E_MALFORMED;
	if (e != KMN_OK) {
		kmn_ui_refuse(ask, e, kmn_err_text(e));
		return;
	}
	if (is_spent(k->consoling)) {
		kmn_ui_refuse(ask, KMN_E_BUSY, "others have policies put into words: try again");
		return;
	}
	if (what == 1)
		answer = explain(k, one == 0 ? kmn_policy_version(kmn_keeper_policy(k)) : one);
	else
		answer = what == 2 ? compare(k, one, other) : check(k, (const char *)draft, len);
	k->consoling->words_us += kmn_keeper_now_us() - begun_us;
	if (answer == NULL)
		kmn_ui_refuse(ask, KMN_E_NOT_FOUND, "no such version of the policy");
	else
		kmn_ui_answer(ask, answer);
}
