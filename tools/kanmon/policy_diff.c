/* kanmon policy diff: whose rights change from one policy to another, in words. */
#include "config.h"

#include <stdio.h>

#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

static void
take_change(void *cookie, const char *whose, const char *text)
{
	json_array_append_new(cookie, json_pack("{s:s, s:s}", "whose", whose, "text", text));
}

int
kmn_cmd_policy_diff(int argc, char **argv)
{
	struct kmn_policy_file *before = NULL, *after = NULL;
	const char *paths[2];
	json_t *changes, *at;
	bool json = false;
	size_t i;
	const struct kmn_option options[] = {
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "policy diff", options, KMN_COUNT_OF(options), paths, 2, 2);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_policy_file_read(paths[0], &before) != KMN_OK || kmn_policy_file_read(paths[1], &after) != KMN_OK) {
		kmn_policy_file_free(before);
		return KMN_EXIT_FAILED;
	}
	changes = json_array();
	kmn_policy_diff(before->policy, after->policy, take_change, changes);
	if (json) {
		kmn_print_json(changes);
	} else {
		json_array_foreach(changes, i, at) printf("%s: %s\n", json_string_value(json_object_get(at, "whose")),
		    json_string_value(json_object_get(at, "text")));
		if (json_array_size(changes) == 0)
			puts("Nobody's rights change.");
		json_decref(changes);
	}
	kmn_policy_file_free(before);
	kmn_policy_file_free(after);
	return KMN_EXIT_OK;
}
