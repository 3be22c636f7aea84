/* kanmon policy: what a person does with a policy before it is in force. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/evidence.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/signer.h"
#include "tools/kanmon/terminal.h"

/* Names of those whose signature over the policy verifies; KMN_E_SIGNATURE when one of a known key does not. */
static kmn_err
signers(const struct kmn_policy_file *file, json_t *names)
{
	struct kmn_evidence_said *said;
	struct kmn_why why = {{0}};
	const struct kmn_policy_custodian *at;
	size_t count;
	kmn_err e;

	if (!file->is_note)
		return KMN_OK;
	if ((e = kmn_evidence_verify_note(file->policy, &file->note, &said, &count, &why)) != KMN_OK) {
		kmn_fail("a signature under the policy: %s", why.text);
		return e;
	}
	for (size_t i = 0; (at = kmn_policy_custodian_at(file->policy, i)) != NULL; i++)
		if (said[i].signed_it)
			json_array_append_new(names, json_string(at->name));
	free(said);
	return KMN_OK;
}

static void
take_doubt(void *cookie, unsigned line, const char *text)
{
	json_array_append_new(cookie, json_pack("{s:i, s:s}", "line", (int)line, "text", text));
}

/* Whether the note is complete as version 1; later versions need the version before, which only the gateway has. */
static json_t *
completeness(const struct kmn_policy_file *file)
{
	struct kmn_policy_error error = {0};
	struct kmn_policy *policy = NULL;
	json_t *said;

	if (!file->is_note)
		return json_string("nobody signed it yet");
	if (kmn_policy_version(file->policy) != 1)
		return json_string("not judged here: it follows an earlier version");
	if (kmn_policy_accept(file->bytes, file->len, NULL, &policy, &error) == KMN_OK)
		said = json_true();
	else
		said = json_string(error.text);
	kmn_policy_free(policy);
	return said;
}

static json_t *
facts_json(const struct kmn_policy_file *file, json_t *names, json_t *doubts)
{
	char hash[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	kmn_b64(kmn_policy_sha256(file->policy), KMN_HASH_BYTES, hash);
	return json_pack("{s:s, s:I, s:s, s:O, s:O, s:o}", "origin", kmn_policy_origin(file->policy), "version",
	    (json_int_t)kmn_policy_version(file->policy), "sha256", hash, "signed_by", names, "doubts", doubts,
	    "complete", completeness(file));
}

static void
print_facts(const json_t *facts)
{
	const json_t *complete = json_object_get(facts, "complete"), *at;
	size_t i;

	printf("policy %" JSON_INTEGER_FORMAT " of %s\nsha256 %s\n",
	    json_integer_value(json_object_get(facts, "version")), json_string_value(json_object_get(facts, "origin")),
	    json_string_value(json_object_get(facts, "sha256")));
	json_array_foreach(json_object_get(facts, "signed_by"), i, at) printf("signed by %s\n", json_string_value(at));
	printf("complete: %s\n", json_is_true(complete) ? "yes" : json_string_value(complete));
	json_array_foreach(json_object_get(facts, "doubts"), i, at) printf("line %" JSON_INTEGER_FORMAT ": %s\n",
	    json_integer_value(json_object_get(at, "line")), json_string_value(json_object_get(at, "text")));
}

/* What is known of a policy, as JSON; NULL when a signature under it is bad. */
static json_t *
examine(const struct kmn_policy_file *file)
{
	json_t *names = json_array(), *doubts = json_array(), *facts = NULL;
	char ending[128];
	unsigned line;

	if (signers(file, names) == KMN_OK) {
		if (kmn_policy_file_ending(file, (int64_t)time(NULL) * 1000, &line, ending, sizeof(ending)))
			take_doubt(doubts, line, ending);
		kmn_policy_lint(file->policy, take_doubt, doubts);
		facts = facts_json(file, names, doubts);
	}
	json_decref(names);
	json_decref(doubts);
	return facts;
}

int
kmn_cmd_policy_check(int argc, char **argv)
{
	struct kmn_policy_file *file;
	const char *path;
	bool json = false, want_complete = false;
	json_t *facts;
	const struct kmn_option options[] = {
	    KMN_OPTION_FLAG("complete", "fail unless its own policy quorum signed it (version 1)", &want_complete),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "policy check", options, KMN_COUNT_OF(options), &path, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_policy_file_read(path, &file) != KMN_OK)
		return KMN_EXIT_FAILED;
	facts = examine(file);
	verdict = facts != NULL && (!want_complete || json_is_true(json_object_get(facts, "complete")))
		      ? KMN_EXIT_OK
		      : KMN_EXIT_FAILED;
	if (facts != NULL && json)
		kmn_print_json(json_incref(facts));
	else if (facts != NULL)
		print_facts(facts);
	json_decref(facts);
	kmn_policy_file_free(file);
	return verdict;
}

int
kmn_cmd_policy_show(int argc, char **argv)
{
	struct kmn_policy_file *file;
	const char *path, *as = NULL, *out = NULL;
	bool json = false;
	json_t *facts;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "whose files to use (default: KANMON_CUSTODIAN)", &as),
	    KMN_OPTION_TEXT("out", "FILE", "write the policy with its signatures there, too", &out),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "policy show", options, KMN_COUNT_OF(options), &path, 0, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if ((path != NULL ? kmn_policy_file_read(path, &file) : kmn_policy_file_ask(as, &file)) != KMN_OK)
		return KMN_EXIT_FAILED;
	facts = examine(file);
	if (facts != NULL && json) {
		json_object_set_new(facts, "note", json_string(file->bytes));
		kmn_print_json(json_incref(facts));
	} else if (facts != NULL) {
		kmn_print_safe(file->bytes);
		putchar('\n');
		print_facts(facts);
	}
	verdict = facts != NULL ? KMN_EXIT_OK : KMN_EXIT_FAILED;
	if (facts != NULL && out != NULL && kmn_file_create(out, file->bytes, strlen(file->bytes), 0644) != KMN_OK)
		verdict = KMN_EXIT_FAILED;
	json_decref(facts);
	kmn_policy_file_free(file);
	return verdict;
}

/* Shows, asks, signs, and puts the note in the place of the file. `before`: the version that it follows, or NULL. */
static int
sign(const struct kmn_policy_file *file, const struct kmn_policy_file *before, const char *path,
    const struct kmn_signer_place *place, bool yes)
{
	struct kmn_signer *signer = NULL;
	int verdict = KMN_EXIT_FAILED;

	if (!yes) {
		kmn_print_safe(file->bytes);
		fflush(stdout);
		if (!kmn_terminal_confirm("Sign this policy?"))
			return kmn_fail("not signed");
	}
	if (kmn_signer_open(place, file->policy, before != NULL ? before->policy : NULL, &signer) != KMN_OK)
		goto done;
	if (kmn_signer_sign_file(signer, path, file->bytes, file->len))
		verdict = KMN_EXIT_OK;
done:
	kmn_signer_free(signer);
	return verdict;
}

int
kmn_cmd_policy_sign(int argc, char **argv)
{
	struct kmn_signer_place place = {NULL, NULL, NULL, NULL, NULL};
	const char *path, *previous = NULL, *missing;
	struct kmn_policy_file *file, *before = NULL;
	bool json = false, yes = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT(
		"previous", "FILE", "the version that it follows: who is a custodian there signs too", &previous),
	    KMN_SIGNER_OPTIONS(&place),
	    KMN_OPTION_FLAG("yes", "sign without showing and asking", &yes),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "policy sign", options, KMN_COUNT_OF(options), &path, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if ((missing = kmn_signer_missing(&place)) != NULL)
		return kmn_usage("policy sign", "%s", missing);
	if (kmn_policy_file_read(path, &file) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (previous != NULL && kmn_policy_file_read(previous, &before) != KMN_OK) {
		kmn_policy_file_free(file);
		return KMN_EXIT_FAILED;
	}
	verdict = sign(file, before, path, &place, yes);
	kmn_policy_file_free(before);
	if (verdict == KMN_EXIT_OK && json)
		kmn_print_json(json_pack("{s:s}", "signed", path));
	else if (verdict == KMN_EXIT_OK)
		printf("Signed %s.\n", path);
	kmn_policy_file_free(file);
	return verdict;
}
