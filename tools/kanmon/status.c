/* kanmon status: how the gateway is, and the head of its ledger. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "kanmon/statement.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/terminal.h"

/* Words for the members that do not say by themselves what they are; --json has the members' names. */
static const struct {
	const char *member, *title;
} titles[] = {
    {"size", "ledger.records"},
    {"root", "ledger.root"},
    {"started", "running.since"},
    {"instances", "applications"},
    {"workers", "hsm.workers"},
    {"requests_open", "requests.open"},
    {"policy_version", "policy"},
    {"policy_sha256", "policy.sha256"},
};

static const char *
title_of(const char *member)
{
	for (size_t i = 0; i < KMN_COUNT_OF(titles); i++)
		if (strcmp(titles[i].member, member) == 0)
			return titles[i].title;
	return member;
}

/* One line per member, nested members with a dot; whatever the gateway tells is shown. */
static void
print_members(const char *prefix, const json_t *object)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		char full[128];

		snprintf(full, sizeof(full), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "",
		    prefix[0] != '\0' ? name : title_of(name));
		if (json_is_object(value)) {
			print_members(full, value);
		} else if (json_is_string(value)) {
			printf("%-20s ", full);
			kmn_print_safe(json_string_value(value));
			putchar('\n');
		} else if (strcmp(name, "started") == 0 || strcmp(name, "expires") == 0) {
			char text[KMN_TIME_TEXT_BYTES];

			kmn_time_text(json_integer_value(value), text);
			printf("%-20s %s\n", full, text);
		} else if (json_is_integer(value)) {
			printf("%-20s %" JSON_INTEGER_FORMAT "\n", full, json_integer_value(value));
		}
	}
}

int
kmn_cmd_status(int argc, char **argv)
{
	const char *as = NULL;
	json_t *answer;
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who asks (default: KANMON_CUSTODIAN; else the client)", &as),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "status", options, KMN_COUNT_OF(options), NULL, 0, 0);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_gateway_ask_once(kmn_custodian(as), KMN_ADMIN_STATUS, NULL, &answer) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (json) {
		kmn_print_json(answer);
		return KMN_EXIT_OK;
	}
	print_members("", answer);
	json_decref(answer);
	return KMN_EXIT_OK;
}
