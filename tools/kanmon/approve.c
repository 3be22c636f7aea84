/* kanmon approve, reject, veto: a custodian's answer to a request, signed with the custodian's own key. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/statement.h"
#include "tools/kanmon/examine.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/request.h"
#include "tools/kanmon/share.h"
#include "tools/kanmon/signer.h"
#include "tools/kanmon/terminal.h"

#define STATEMENT_TRIES 50

static const struct {
	const char *command, *noun, *question;
} words[] = {
    [KMN_APPROVE] = {"approve", "approval", "Approve this?"},
    [KMN_REJECT] = {"reject", "rejection", "Reject this?"},
    [KMN_VETO] = {"veto", "veto", "Veto this?"},
};

struct answering {
	enum kmn_decision decision;
	uint64_t id;
	struct kmn_signer_place place;
	const char *reason, *share_key;
	bool yes, json;
	struct kmn_seen seen;
	struct kmn_examined examined;
};

/* The whole text, then what it stands on. */
static void
print(FILE *to, const struct answering *a, const char *text)
{
	char code[KMN_DISPLAY_CODE_BYTES];

	kmn_statement_code(text, strlen(text), code);
	fprintf(to,
	    "----------------------------------------------------------------\n%s"
	    "----------------------------------------------------------------\ncode %s\n",
	    text, code);
	for (size_t i = 0; i < a->examined.verified_count; i++)
		fprintf(to, "verified here: %s\n", a->examined.verified[i]);
	for (size_t i = 0; i < a->examined.open_count; i++)
		fprintf(to, "NOT verified:  %s\n", a->examined.open[i]);
}

/* Screen by screen to one who is asked afterwards; JSON callers get it on standard error. */
static kmn_err
show(const struct answering *a, const char *text)
{
	char *all = NULL;
	size_t len;
	FILE *to = open_memstream(&all, &len);

	if (to == NULL)
		return KMN_E_NO_MEMORY;
	print(to, a, text);
	if (fclose(to) != 0) {
		free(all);
		return KMN_E_NO_MEMORY;
	}
	if (a->json)
		fputs(all, stderr);
	else
		kmn_terminal_page(all, !a->yes);
	free(all);
	return KMN_OK;
}

static kmn_err
submit(struct kmn_gateway *gateway, const char *note, json_t **answer_out)
{
	struct kmn_writer fields;
	kmn_err e;

	kmn_writer_init(&fields, KMN_ADMIN_NOTE_MAX_BYTES + sizeof(uint32_t));
	kmn_writer_bytes(&fields, note, strlen(note));
	e = kmn_gateway_ask(gateway, KMN_ADMIN_NOTE_SUBMIT, &fields, answer_out);
	kmn_writer_clear(&fields);
	return e;
}

/* What was signed is what must never be contradicted: it is remembered before the signature leaves. */
static kmn_err
remember(struct answering *a, const char *origin)
{
	struct kmn_seen now = {
	    .head = a->examined.head,
	    .policy_version = kmn_policy_version(a->examined.policy),
	};

	memcpy(now.policy_sha256, kmn_policy_sha256(a->examined.policy), KMN_HASH_BYTES);
	if (now.head.size < a->seen.head.size)
		now.head = a->seen.head; /* an older request, approved later */
	return kmn_seen_store(a->place.as, origin, &now);
}

static kmn_err
sign_and_submit(
    struct answering *a, struct kmn_gateway *gateway, const json_t *shown, const char *text, json_t **answer_out)
{
	struct kmn_signer *signer = NULL;
	char *note = NULL;
	kmn_err e;

	if ((e = kmn_signer_open(&a->place, a->examined.policy, NULL, &signer)) != KMN_OK)
		goto done;
	if ((e = kmn_signer_sign(signer, text, strlen(text), &note)) != KMN_OK) {
		kmn_fail("the statement was not signed: %s", kmn_err_text(e));
		goto done;
	}
	if (a->decision == KMN_APPROVE &&
	    (e = kmn_share_send(gateway, a->id, shown, &a->examined, signer, a->share_key)) != KMN_OK)
		goto done;
	if ((e = remember(a, kmn_gateway_origin(gateway))) == KMN_OK)
		e = submit(gateway, note, answer_out);
done:
	kmn_signer_free(signer);
	free(note);
	return e;
}

/* A statement follows its request by a moment: the head in it must be durable first. */
static kmn_err
fetch_with_statement(struct kmn_gateway *gateway, uint64_t id, json_t **answer_out)
{
	static const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
	kmn_err e;

	for (unsigned tries = 0; (e = kmn_request_fetch(gateway, id, answer_out)) == KMN_OK; tries++) {
		const char *state =
		    json_string_value(json_object_get(json_object_get(*answer_out, "request"), "state"));

		if (json_object_get(*answer_out, "statement") != NULL || tries == STATEMENT_TRIES || state == NULL ||
		    strcmp(state, "open") != 0)
			break;
		json_decref(*answer_out);
		nanosleep(&pause, NULL);
	}
	return e;
}

/* Prints what the gateway made of the note; an approval that does not count is a failure. */
static int
report(const struct answering *a, json_t *answer)
{
	const char *check = json_string_value(json_object_get(answer, "check"));
	const char *state = json_string_value(json_object_get(answer, "state"));
	bool counts = check != NULL && strcmp(check, "ok") == 0;

	if (a->json) {
		kmn_print_json(json_incref(answer));
	} else if (counts) {
		printf("Recorded: %s of request %" PRIu64 ". The request is %s now.\n", words[a->decision].noun, a->id,
		    state != NULL ? state : "?");
	}
	if (!counts)
		kmn_fail("recorded, but it does not count: %s", check != NULL ? check : "?");
	return counts ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}

/* What ended waits for nobody: an answer would be recorded and not count. */
static bool
still_waits(uint64_t id, const json_t *shown)
{
	const char *state = json_string_value(json_object_get(json_object_get(shown, "request"), "state"));

	if (state == NULL || strcmp(state, "open") == 0 || strcmp(state, "approved") == 0)
		return true;
	kmn_fail("request %" PRIu64 " is %s: it waits for no answer any more", id, state);
	return false;
}

static int
answer_request(struct answering *a, struct kmn_gateway *gateway)
{
	const char *origin = kmn_gateway_origin(gateway);
	json_t *shown = NULL, *answer = NULL;
	char *text = NULL;
	int verdict = KMN_EXIT_FAILED;

	if (kmn_seen_load(a->place.as, origin, &a->seen) != KMN_OK ||
	    fetch_with_statement(gateway, a->id, &shown) != KMN_OK || !still_waits(a->id, shown) ||
	    kmn_examine(shown, a->id, origin, &a->seen, &a->examined) != KMN_OK)
		goto done;
	if (kmn_statement_turn(a->examined.statement, a->decision, a->reason, &text) != KMN_OK) {
		kmn_fail("the reason cannot stand in a statement");
		goto done;
	}
	if (show(a, text) != KMN_OK)
		goto done;
	if (!a->yes && !kmn_terminal_confirm(words[a->decision].question)) {
		kmn_fail("nothing was signed");
		goto done;
	}
	if (sign_and_submit(a, gateway, shown, text, &answer) == KMN_OK)
		verdict = report(a, answer);
done:
	free(text);
	json_decref(answer);
	kmn_examined_clear(&a->examined);
	json_decref(shown);
	return verdict;
}

static int
run(int argc, char **argv, enum kmn_decision decision)
{
	const char *command = words[decision].command, *word;
	struct answering a = {.decision = decision, .reason = ""};
	struct kmn_gateway *gateway;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who answers (default: KANMON_CUSTODIAN)", &a.place.as),
	    KMN_SIGNER_OPTIONS(&a.place),
	    KMN_OPTION_TEXT("share-key", "FILE", "with a card: the key file whose share key opens one's share of a PIN",
		&a.share_key),
	    KMN_OPTION_FLAG("yes", "sign after showing, without asking", &a.yes),
	    KMN_OPTION_JSON(&a.json),
	    KMN_OPTION_TEXT("reason", "TEXT", "why; it becomes part of what is signed", &a.reason),
	};
	size_t n = KMN_COUNT_OF(options) - (decision == KMN_APPROVE ? 1 : 0); /* an approval has no reason */
	int verdict = kmn_options_parse(argc, argv, command, options, n, &word, 1, 1);

	if (verdict != KMN_GO_ON || (verdict = kmn_request_number(command, word, &a.id)) != KMN_GO_ON)
		return verdict;
	if ((a.place.as = kmn_custodian(a.place.as)) == NULL)
		return kmn_usage(command, "who are you? --as DIR/NAME or KANMON_CUSTODIAN says it");
	if (decision != KMN_APPROVE && a.reason[0] == '\0')
		return kmn_usage(command, "--reason is needed");
	if (kmn_gateway_open(a.place.as, &gateway) != KMN_OK)
		return KMN_EXIT_FAILED;
	verdict = answer_request(&a, gateway);
	kmn_gateway_close(gateway);
	return verdict;
}

int
kmn_cmd_approve(int argc, char **argv)
{
	return run(argc, argv, KMN_APPROVE);
}

int
kmn_cmd_reject(int argc, char **argv)
{
	return run(argc, argv, KMN_REJECT);
}

int
kmn_cmd_veto(int argc, char **argv)
{
	return run(argc, argv, KMN_VETO);
}
