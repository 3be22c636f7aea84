/* kanmon policy submit: brings the next version of the policy to a gateway that runs. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "kanmon/statement.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

static void
tell(const json_t *answer)
{
	const json_t *at = json_object_get(answer, "effective_at");
	char when[KMN_TIME_TEXT_BYTES];

	printf("Policy version %" JSON_INTEGER_FORMAT " is record %" JSON_INTEGER_FORMAT " of the ledger",
	    json_integer_value(json_object_get(answer, "version")),
	    json_integer_value(json_object_get(answer, "record")));
	if (at == NULL) {
		printf(", and in force.\n");
		return;
	}
	kmn_time_text(json_integer_value(at), when);
	printf(".\nIt takes effect at %s, unless it is stopped (kanmon policy veto).\n", when);
}

static int
submit(const struct kmn_policy_file *file, bool recovery, const char *as, bool json)
{
	struct kmn_writer fields;
	json_t *answer;
	kmn_err e;

	kmn_writer_init(&fields, KMN_ADMIN_NOTE_MAX_BYTES + 64);
	kmn_writer_u8(&fields, recovery);
	kmn_writer_bytes(&fields, file->bytes, file->len);
	e = kmn_gateway_ask_once(kmn_custodian(as), KMN_ADMIN_POLICY_SUBMIT, &fields, &answer);
	kmn_writer_clear(&fields);
	if (e != KMN_OK)
		return KMN_EXIT_FAILED;
	if (json) {
		kmn_print_json(answer);
		return KMN_EXIT_OK;
	}
	tell(answer);
	json_decref(answer);
	return KMN_EXIT_OK;
}

int
kmn_cmd_policy_submit(int argc, char **argv)
{
	const char *path, *as = NULL;
	struct kmn_policy_file *file;
	bool json = false, recovery = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "whose terminal brings it (default: KANMON_CUSTODIAN)", &as),
	    KMN_OPTION_FLAG("recovery", "the role recovery signed it: it waits for that role's delay", &recovery),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "policy submit", options, KMN_COUNT_OF(options), &path, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_policy_file_read(path, &file) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (!file->is_note)
		verdict = kmn_fail("%s: nobody signed it yet: kanmon policy sign", path);
	else if (file->len > KMN_ADMIN_NOTE_MAX_BYTES)
		verdict = kmn_fail("%s: longer than a record of the ledger holds", path);
	else
		verdict = submit(file, recovery, as, json);
	kmn_policy_file_free(file);
	return verdict;
}
