/* kanmon audit request: the whole story of one request, from screen to HSM result. */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_refusal.h"
#include "tools/kanmon/audit_rows.h"
#include "tools/kanmon/audit_story.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/terminal.h"

static void
print_field(const char *name, const char *value)
{
	(void)printf("%-10s ", name);
	kmn_audit_text(stdout, value[0] == '\0' ? "-" : value, 0);
	(void)printf("\n");
}

static void
print_heading(const char *heading)
{
	(void)printf("\n%s%s%s\n", kmn_bold(), heading, kmn_plain());
}

static void
print_time(const char *name, const json_t *story, const char *member, const char *none)
{
	char text[KMN_MS_TEXT_BYTES];
	uint64_t ms;

	if (kmn_json_get_number(story, member, &ms))
		kmn_ms_text(ms, text);
	print_field(name, kmn_json_get_number(story, member, &ms) ? text : none);
}

static void
print_window(const json_t *window)
{
	char words[160], until[KMN_MS_TEXT_BYTES];
	uint64_t use, uses = 0, other;

	if (!kmn_json_get_number(window, "uses", &uses))
		return;
	if (kmn_json_get_number(window, "use", &use) && kmn_json_get_number(window, "request", &other)) {
		(void)snprintf(words, sizeof(words), "use %" PRIu64 " of %" PRIu64 " of the window of request %" PRIu64,
		    use, uses, other);
	} else if (kmn_json_get_number(window, "until", &other) && other > 0 &&
		   kmn_json_get_number(window, "used", &use)) {
		kmn_ms_text(other, until);
		(void)snprintf(
		    words, sizeof(words), "%" PRIu64 " of %" PRIu64 " uses, open until %s", use, uses, until);
	} else {
		(void)snprintf(words, sizeof(words), "of %" PRIu64 " uses; it was not opened", uses);
	}
	print_field("window", words);
}

static void
print_head(const json_t *story)
{
	const json_t *key = json_object_get(story, "key");
	char words[256];

	(void)snprintf(words, sizeof(words), "%" JSON_INTEGER_FORMAT ", %s%s",
	    json_integer_value(json_object_get(story, "request")), kmn_json_text(story, "state"),
	    json_is_true(json_object_get(story, "held")) ? ""
	    : json_object_get(story, "window") != NULL   ? " (its window was approved)"
							 : " (no approval was needed)");
	print_field("request", words);
	(void)snprintf(words, sizeof(words), "%s %s", kmn_json_text(story, "function"), kmn_json_text(story, "mechanism"));
	print_field("operation", words);
	print_window(json_object_get(story, "window"));
	(void)snprintf(words, sizeof(words), "%s (id %s) on token %s", kmn_json_text(key, "label"), kmn_json_text(key, "id"),
	    kmn_json_text(key, "token"));
	print_field("key", words);
	print_field("asked by", kmn_json_text(story, "client"));
	print_field("purpose", kmn_json_text(story, "purpose"));
	(void)snprintf(words, sizeof(words), "%s of policy version %" JSON_INTEGER_FORMAT, kmn_json_text(story, "rule"),
	    json_integer_value(json_object_get(story, "policy_version")));
	print_field("rule", words);
	print_time("not before", story, "not_before", "no time stamp before it");
	print_time("not after", story, "not_after", "no time stamp after it");
}

static void
print_records(const json_t *story)
{
	const json_t *record;
	size_t n;

	print_heading("WHAT HAPPENED (gateway's clock, UTC)");
	json_array_foreach(json_object_get(story, "records"), n, record)
	{
		(void)printf("%.10s %.12s %6" JSON_INTEGER_FORMAT " %-11s ", kmn_json_text(record, "time"),
		    kmn_json_text(record, "time") + 11, json_integer_value(json_object_get(record, "i")),
		    kmn_json_text(record, "type"));
		kmn_audit_text(stdout, kmn_json_text(record, "who"), 0);
		if (kmn_json_text(record, "rule")[0] != '\0')
			(void)printf(" by rule %s", kmn_json_text(record, "rule"));
		if (kmn_json_text(record, "detail")[0] != '\0') {
			(void)printf(" ");
			kmn_audit_text(stdout, kmn_json_text(record, "detail"), 0);
		}
		if (kmn_json_text(record, "outcome")[0] != '\0') {
			(void)printf(" -> ");
			kmn_audit_text(stdout, kmn_json_text(record, "outcome"), 0);
		}
		if (kmn_json_text(record, "reason")[0] != '\0') {
			(void)printf(", because: ");
			kmn_audit_text(stdout, kmn_refusal_words(kmn_json_text(record, "reason")), 0);
		}
		(void)printf("\n");
		if (kmn_json_text(json_object_get(record, "hsm"), "serial")[0] != '\0') {
			(void)printf("%43s", "by HSM ");
			kmn_audit_text(stdout, kmn_json_text(json_object_get(record, "hsm"), "model"), 0);
			(void)printf(", serial ");
			kmn_audit_text(stdout, kmn_json_text(json_object_get(record, "hsm"), "serial"), 0);
			(void)printf(", firmware ");
			kmn_audit_text(stdout, kmn_json_text(json_object_get(record, "hsm"), "fw"), 0);
			(void)printf("\n");
		}
	}
}

static void
print_votes(const json_t *story)
{
	const json_t *votes = json_object_get(story, "votes"), *vote;
	size_t n;

	if (json_array_size(votes) == 0)
		return;
	print_heading("VOTES");
	json_array_foreach(votes, n, vote)
	{
		(void)printf("%6" JSON_INTEGER_FORMAT " %-9s ", json_integer_value(json_object_get(vote, "i")),
		    kmn_json_text(vote, "type"));
		kmn_audit_text(stdout, kmn_json_text(vote, "custodian"), 0);
		(void)printf(" (");
		kmn_audit_text(stdout, kmn_json_text(vote, "person"), 0);
		(void)printf(", key %s): signature %s; recorded as '", kmn_json_text(vote, "key_id"),
		    json_is_true(json_object_get(vote, "verifies")) ? "verifies" : "DOES NOT VERIFY");
		kmn_audit_text(stdout, kmn_json_text(vote, "check"), 0);
		(void)printf("'\n");
		if (kmn_json_text(vote, "reason")[0] != '\0') {
			(void)printf("       reason: ");
			kmn_audit_text(stdout, kmn_json_text(vote, "reason"), 0);
			(void)printf("\n");
		}
	}
}

static void
print_statement(const json_t *story)
{
	const char *text = kmn_json_text(story, "statement");

	if (text[0] == '\0')
		return;
	print_heading("THE STATEMENT THAT CUSTODIANS SIGNED");
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);

		if (line == NULL)
			KMN_BUG("out of memory");
		(void)printf("  | ");
		kmn_audit_text(stdout, line, 0);
		(void)printf("\n");
		free(line);
		text += len + (text[len] == '\n');
	}
}

static void
print_compared(const json_t *story)
{
	const json_t *group, *row;
	size_t n, m;

	print_heading("SIDE BY SIDE");
	json_array_foreach(json_object_get(story, "compared"), n, group)
	{
		(void)printf("%s\n", kmn_json_text(group, "name"));
		json_array_foreach(json_object_get(group, "rows"), m, row)
		{
			const char *is = kmn_json_text(row, "is");
			bool reference = strcmp(is, "reference") == 0;

			(void)printf("  %-9s ", reference ? "" : is);
			kmn_audit_text(stdout, kmn_json_text(row, "value"), 0);
			(void)printf("%s", kmn_json_text(row, "value")[0] == '\0' ? "" : "\n            ");
			kmn_audit_text(stdout, kmn_json_text(row, "what"), 0);
			if (json_object_get(row, "where") != NULL)
				(void)printf(", record %" JSON_INTEGER_FORMAT,
				    json_integer_value(json_object_get(row, "where")));
			(void)printf("\n");
		}
	}
}

static void
print_findings(const json_t *story)
{
	const json_t *findings = json_object_get(story, "findings"), *finding;
	size_t n;

	(void)printf("\n");
	json_array_foreach(findings, n, finding)
	{
		(void)printf("finding  %-3s record %" JSON_INTEGER_FORMAT ": ", kmn_json_text(finding, "check"),
		    json_integer_value(json_object_get(finding, "i")));
		kmn_audit_text(stdout, kmn_json_text(finding, "text"), 0);
		(void)printf("\n");
	}
	if (json_integer_value(json_object_get(story, "different")) == 0)
		(void)printf("EQUAL: what was shown, signed, decided, asked of the HSM and answered is the same.\n"
			     "That the ledger itself is whole and signed is for kanmon audit verify to say.\n");
	else
		(void)printf("DIFFERENT: %" JSON_INTEGER_FORMAT " of what must agree does not.\n",
		    json_integer_value(json_object_get(story, "different")));
}

int
kmn_cmd_audit_request(int argc, char **argv)
{
	bool json = false;
	const char *words[2];
	const struct kmn_option options[] = {KMN_OPTION_JSON(&json)};
	struct kmn_store *store = NULL;
	struct kmn_why why = {""};
	json_t *story = NULL;
	char *end;
	uint64_t i;
	int parsed = kmn_options_parse(argc, argv, "audit request", options, KMN_COUNT_OF(options), words, 2, 2);
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	i = strtoull(words[1], &end, 10);
	if (words[1][0] < '0' || words[1][0] > '9' || *end != '\0') {
		(void)kmn_usage("audit request", "%s is not the index of a record", words[1]);
		return KMN_AUDIT_INCOMPLETE;
	}
	if (sodium_init() < 0 || kmn_audit_open(words[0], &store) != KMN_OK)
		return KMN_AUDIT_INCOMPLETE;
	if ((e = kmn_story_read(store, i, &story, &why)) != KMN_OK) {
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", words[0], why.text[0] == '\0' ? kmn_err_text(e) : why.text);
		exit_code = e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
	} else {
		exit_code = json_integer_value(json_object_get(story, "different")) == 0 ? KMN_AUDIT_VERIFIED
											 : KMN_AUDIT_FAILED;
		if (json) {
			kmn_print_json(json_incref(story));
		} else {
			print_head(story);
			print_records(story);
			print_votes(story);
			print_statement(story);
			print_compared(story);
			print_findings(story);
		}
	}
	json_decref(story);
	kmn_store_files_free(store);
	return exit_code;
}
