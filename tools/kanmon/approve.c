/* kanmon approve, reject, veto: a custodian's answer to a request, signed with the custodian's own key. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/answer.h"
#include "tools/kanmon/offline.h"
#include "tools/kanmon/request.h"
#include "tools/kanmon/share.h"
#include "tools/kanmon/terminal.h"

static const char *const commands[] = {[KMN_APPROVE] = "approve", [KMN_REJECT] = "reject", [KMN_VETO] = "veto"};

/* A state in a sentence: "The request is ... now." */
static const char *
state_words(const char *state)
{
	if (state == NULL)
		return "?";
	return strcmp(state, "window") == 0 ? "an open window" : state;
}

/* Prints what the gateway made of the note; an approval that does not count is a failure. */
int
kmn_answer_report(uint64_t id, enum kmn_decision decision, const json_t *answer, bool json)
{
	const char *check = json_string_value(json_object_get(answer, "check"));
	const char *state = json_string_value(json_object_get(answer, "state"));
	bool counts = check != NULL && strcmp(check, "ok") == 0;

	if (json) {
		json_t *copy = json_deep_copy(answer);

		kmn_print_json(copy);
	} else if (counts) {
		printf("Recorded: %s of request %" PRIu64 ". The request is %s now.\n", kmn_answer_noun(decision), id,
		    state_words(state));
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
	if (strcmp(state, "waits for its window") == 0)
		kmn_fail(
		    "request %" PRIu64 " is a use of a window: the request for the window is what is approved", id);
	else if (strcmp(state, "waits for its content") == 0)
		kmn_fail("request %" PRIu64 " waits for its content: the client that asks attaches it first", id);
	else
		kmn_fail("request %" PRIu64 " is %s: it waits for no answer any more", id, state_words(state));
	return false;
}

/* What goes with an approval of a login by a sealed PIN. */
struct share {
	struct kmn_gateway *gateway;
	uint64_t id;
	const json_t *shown;
	const char *key;
};

static kmn_err
send_share(void *cookie, const struct kmn_examined *x, const struct kmn_signer *signer)
{
	const struct share *s = cookie;

	return kmn_share_send(s->gateway, s->id, s->shown, x, signer, s->key);
}

static int
answer_online(struct kmn_answering *a, uint64_t id, const char *share_key)
{
	struct share share = {.id = id, .key = share_key};
	struct kmn_gateway *gateway;
	json_t *shown = NULL, *answer = NULL;
	char *note = NULL;
	int verdict = KMN_EXIT_FAILED;

	if (kmn_gateway_open(a->place.as, &gateway) != KMN_OK)
		return KMN_EXIT_FAILED;
	share.gateway = gateway;
	a->also = a->decision == KMN_APPROVE ? send_share : NULL;
	a->cookie = &share;
	if (kmn_request_fetch_all(gateway, id, &shown) == KMN_OK && still_waits(id, shown) &&
	    (share.shown = shown) != NULL &&
	    kmn_answer_sign(a, shown, id, kmn_gateway_origin(gateway), &note) == KMN_OK &&
	    kmn_request_submit(gateway, note, strlen(note), &answer) == KMN_OK)
		verdict = kmn_answer_report(id, a->decision, answer, a->json);
	kmn_gateway_close(gateway);
	free(note);
	json_decref(answer);
	json_decref(shown);
	return verdict;
}

/* Which request, and by whom: NULL, or what is missing. */
static const char *
what_is_missing(const struct kmn_answering *a, const char *word, const char *file)
{
	if ((word != NULL) == (file != NULL))
		return "the number of a request is needed, or --offline FILE";
	if (file == NULL && a->place.as == NULL)
		return "who are you? --as DIR/NAME or KANMON_CUSTODIAN says it";
	if (a->decision != KMN_APPROVE && a->reason[0] == '\0')
		return "--reason is needed";
	return kmn_signer_missing(&a->place);
}

static int
run(int argc, char **argv, enum kmn_decision decision)
{
	const char *command = commands[decision], *word, *file = NULL, *language = NULL, *share_key = NULL, *missing;
	struct kmn_answering a = {.decision = decision, .reason = ""};
	uint64_t id;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who answers (default: KANMON_CUSTODIAN)", &a.place.as),
	    KMN_SIGNER_OPTIONS(&a.place),
	    KMN_OPTION_TEXT("share-key", "FILE", "with a card: the key file whose share key opens one's share of a PIN",
		&share_key),
	    KMN_OPTION_TEXT("issuer", "CERT", "certificate of the issuer, which warnings compare with", &a.issuer),
	    KMN_OPTION_TEXT(
		"offline", "FILE", "answer what `request export` wrote; nothing is asked of a gateway", &file),
	    KMN_OPTION_TEXT("language", "en|ja", "of what is said around the text (default: that of LANG)", &language),
	    KMN_OPTION_FLAG("yes", "sign after showing, without asking", &a.yes),
	    KMN_OPTION_JSON(&a.json),
	    KMN_OPTION_TEXT("reason", "TEXT", "why; it becomes part of what is signed", &a.reason),
	};
	size_t n = KMN_COUNT_OF(options) - (decision == KMN_APPROVE ? 1 : 0); /* an approval has no reason */
	int verdict = kmn_options_parse(argc, argv, command, options, n, &word, 0, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	a.place.as = kmn_custodian(a.place.as);
	a.offline = file != NULL;
	if ((missing = what_is_missing(&a, word, file)) != NULL)
		return kmn_usage(command, "%s", missing);
	if (!kmn_language_get(language, &a.language))
		return kmn_usage(command, "--language is en or ja");
	if (file != NULL)
		return kmn_offline_answer(&a, file);
	verdict = kmn_request_number(command, word, &id);
	return verdict != KMN_GO_ON ? verdict : answer_online(&a, id, share_key);
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
