/* kanmon request show: what a request asks for, as the gateway lists it and as this machine derives it. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/statement.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/request.h"
#include "tools/kanmon/shown.h"
#include "tools/kanmon/terminal.h"

static json_int_t
number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void
print_names(const char *title, const json_t *names)
{
	const json_t *at;
	size_t i;

	if (json_array_size(names) == 0)
		return;
	printf("%-12s", title);
	json_array_foreach(names, i, at)
	{
		printf("%s", i > 0 ? ", " : "");
		kmn_print_safe(json_string_value(at) != NULL ? json_string_value(at) : "?");
	}
	putchar('\n');
}

static void
print_field(const char *title, const char *value)
{
	if (value[0] == '\0')
		return;
	printf("%-12s", title);
	kmn_print_safe(value);
	putchar('\n');
}

/* A window: what is left of it. */
static void
print_window(const json_t *window)
{
	char until[KMN_TIME_TEXT_BYTES];
	json_int_t uses = number_of(window, "uses"), used = number_of(window, "used"), end = number_of(window, "until");

	if (window == NULL)
		return;
	kmn_time_text(end, until);
	printf("%-12s", "window");
	if (end == 0)
		printf("%" JSON_INTEGER_FORMAT " uses in %" JSON_INTEGER_FORMAT " s, once it is open\n", uses,
		    number_of(window, "seconds"));
	else
		printf("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " uses left, until %s\n", uses - used, uses,
		    until);
}

void
kmn_request_print(const json_t *request)
{
	char created[KMN_TIME_TEXT_BYTES], expires[KMN_TIME_TEXT_BYTES];
	const json_t *have = json_object_get(request, "have");

	kmn_time_text(number_of(request, "created"), created);
	kmn_time_text(number_of(request, "expires"), expires);
	printf("%srequest %" JSON_INTEGER_FORMAT "%s  ", kmn_bold(), number_of(request, "id"), kmn_plain());
	kmn_print_safe(kmn_json_text(request, "state"));
	putchar('\n');
	print_field("asked by", kmn_json_text(request, "client"));
	print_field("operation", kmn_json_text(request, "op"));
	print_field("mechanism", kmn_json_text(request, "mech"));
	print_field("key", kmn_json_text(request, "key"));
	print_field("input", kmn_json_text(request, "input_kind"));
	print_field("summary", kmn_json_text(request, "summary"));
	print_field("purpose", kmn_json_text(request, "purpose"));
	print_window(json_object_get(request, "window"));
	print_field("application", kmn_json_text(request, "application"));
	print_field("needs", kmn_json_text(request, "need"));
	if (json_array_size(have) == 0 && strcmp(kmn_json_text(request, "state"), "open") == 0)
		print_field("approved by", "nobody yet");
	print_names("approved by", have);
	print_names("rejected by", json_object_get(request, "rejected_by"));
	printf("%-12s%s\n%-12s%s\n", "created", created, "expires", expires);
	if (json_is_integer(json_object_get(request, "result")))
		printf("%-12srecord %" JSON_INTEGER_FORMAT "\n", "result", number_of(request, "result"));
}

static bool
is_over(const json_t *shown)
{
	const char *state = kmn_json_text(json_object_get(shown, "request"), "state");

	return strcmp(state, "open") != 0 && strcmp(state, "approved") != 0;
}

/* What is over was judged by the policy that its statement names, not by the one that is in force now. */
static void
use_policy_of_its_time(json_t *shown, struct kmn_seen *seen)
{
	json_t *before = json_object_get(shown, "policies"), *note;
	size_t len;
	const char *value = kmn_statement_value(kmn_json_text(shown, "statement"), "policy", &len);
	uint64_t version = value == NULL ? 0 : strtoull(value, NULL, 10);

	if (version > 0 && (note = json_array_get(before, version - 1)) != NULL) {
		(void)json_object_set(shown, "policy", note);
		while (json_array_size(before) >= version)
			(void)json_array_remove(before, json_array_size(before) - 1);
	}
	if (version < seen->policy_version)
		seen->policy_version = 0;
}

/* The text as `approve` would show it, from this machine's own derivation; a contradiction shows none. */
static kmn_err
show_statement(const struct kmn_shown_as *how, json_t *shown, uint64_t id, const char *as, const char *origin)
{
	struct kmn_seen seen = {.policy_version = 0};
	struct kmn_examined x = {.statement = NULL};
	kmn_err e;

	if (as != NULL && (e = kmn_seen_load(as, origin, &seen)) != KMN_OK)
		return e;
	if (is_over(shown))
		use_policy_of_its_time(shown, &seen);
	if ((e = kmn_examine(shown, id, origin, &seen, how->language, &x)) == KMN_OK)
		e = kmn_shown(how, &x, x.statement);
	kmn_examined_clear(&x);
	return e;
}

/* The gateway's own answer, and the code to compare. */
static void
print_answer(json_t *answer)
{
	const char *text = kmn_json_text(answer, "statement");
	char code[KMN_DISPLAY_CODE_BYTES];

	if (text[0] != '\0') {
		kmn_statement_code(text, strlen(text), code);
		(void)json_object_set_new(answer, "code", json_string(code));
	}
	kmn_print_json(answer);
}

static int
show(const struct kmn_shown_as *how, const char *as, uint64_t id, bool json)
{
	struct kmn_gateway *gateway;
	json_t *answer = NULL;
	kmn_err e;

	if (kmn_gateway_open(as, &gateway) != KMN_OK)
		return KMN_EXIT_FAILED;
	e = json ? kmn_request_fetch(gateway, id, &answer) : kmn_request_fetch_all(gateway, id, &answer);
	if (e == KMN_OK && json) {
		print_answer(json_incref(answer));
	} else if (e == KMN_OK) {
		kmn_request_print(json_object_get(answer, "request"));
		putchar('\n');
		fflush(stdout);
		if (json_object_get(answer, "statement") != NULL)
			e = show_statement(how, answer, id, as, kmn_gateway_origin(gateway));
	}
	kmn_gateway_close(gateway);
	json_decref(answer);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}

int
kmn_cmd_request_show(int argc, char **argv)
{
	const char *as = NULL, *language = NULL, *word;
	struct kmn_shown_as how = {.issuer = NULL};
	bool json = false;
	uint64_t id;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who asks (default: KANMON_CUSTODIAN; else the client)", &as),
	    KMN_OPTION_TEXT("issuer", "CERT", "certificate of the issuer, which warnings compare with", &how.issuer),
	    KMN_OPTION_TEXT("language", "en|ja", "of what is said around the text (default: that of LANG)", &language),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "request show", options, KMN_COUNT_OF(options), &word, 1, 1);

	if (verdict != KMN_GO_ON || (verdict = kmn_request_number("request show", word, &id)) != KMN_GO_ON)
		return verdict;
	if (!kmn_language_get(language, &how.language))
		return kmn_usage("request show", "--language is en or ja");
	return show(&how, kmn_custodian(as), id, json);
}
