/*
 * kanmon attest, kanmon policy veto: texts of signed.h that one person signs and brings. Of a document only length and
 * hash leave this machine.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/signed.h"
#include "tools/kanmon/bring.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/signer.h"
#include "tools/kanmon/terminal.h"

#define DOCUMENT_MAX_BYTES (256u << 20)

struct signing {
	struct kmn_signer_place place;
	bool yes, json;
};

/* The command line, and who signs. */
static int
read_options(
    int argc, char **argv, const char *command, const struct kmn_option *options, size_t count, struct signing *s)
{
	int verdict = kmn_options_parse(argc, argv, command, options, count, NULL, 0, 0);
	const char *missing;

	if (verdict != KMN_GO_ON)
		return verdict;
	s->place.as = kmn_custodian(s->place.as);
	if ((missing = kmn_signer_missing(&s->place)) != NULL)
		return kmn_usage(command, "%s", missing);
	return KMN_GO_ON;
}

static void
tell(const json_t *answer)
{
	const json_t *name;
	size_t i;

	printf("Record %" JSON_INTEGER_FORMAT " of the ledger, signed by",
	    json_integer_value(json_object_get(answer, "record")));
	json_array_foreach(json_object_get(answer, "signed_by"), i, name) printf(" %s", json_string_value(name));
	printf(".\n");
}

kmn_err
kmn_signed_bring(const char *as, const char *note, bool json)
{
	struct kmn_writer fields;
	json_t *answer;
	kmn_err e;

	kmn_writer_init(&fields, KMN_ADMIN_NOTE_MAX_BYTES + 64);
	kmn_writer_text(&fields, note);
	e = kmn_gateway_ask_once(as, KMN_ADMIN_NOTE_SUBMIT, &fields, &answer);
	kmn_writer_clear(&fields);
	if (e != KMN_OK)
		return e;
	if (json) {
		kmn_print_json(answer);
		return KMN_OK;
	}
	tell(answer);
	json_decref(answer);
	return KMN_OK;
}

/* Shows, asks, signs, brings. */
static int
sign_and_bring(const struct signing *s, const struct kmn_policy *policy, const char *text)
{
	struct kmn_signer *signer = NULL;
	char *note = NULL;
	int verdict = KMN_EXIT_FAILED;

	if (!s->yes) {
		kmn_print_safe(text);
		fflush(stdout);
		if (!kmn_terminal_confirm("Sign this?"))
			return kmn_fail("nothing was signed");
	}
	if (kmn_signer_open(&s->place, policy, NULL, &signer) != KMN_OK)
		goto done;
	if (kmn_signer_sign(signer, text, strlen(text), &note) != KMN_OK)
		kmn_fail("the statement was not signed");
	else if (kmn_signed_bring(s->place.as, note, s->json) == KMN_OK)
		verdict = KMN_EXIT_OK;
done:
	kmn_signer_free(signer);
	free(note);
	return verdict;
}

static int
make_and_bring(const struct signing *s, const struct kmn_policy *policy, enum kmn_signed_kind kind,
    const struct kmn_signed_pair *pair, size_t count)
{
	struct kmn_why why = {""};
	char *text = NULL;
	int verdict;

	if (kmn_signed_make(kind, pair, count, &text, &why) != KMN_OK)
		return kmn_fail("that cannot be signed: %s", why.text);
	verdict = sign_and_bring(s, policy, text);
	free(text);
	return verdict;
}

/* ---- attest ------------------------------------------------------------------------------------------------------ */

static int
attest(const struct signing *s, const char *path, const char *title, const char *kind)
{
	char hash[KMN_B64_LEN(KMN_HASH_BYTES) + 1], length[24], *bytes;
	uint8_t sha256[KMN_HASH_BYTES];
	struct kmn_policy_file *policy;
	size_t len;
	int verdict;

	if (kmn_file_read_or_say(path, DOCUMENT_MAX_BYTES, &bytes, &len) != KMN_OK)
		return KMN_EXIT_FAILED;
	kmn_sha256(bytes, len, sha256);
	free(bytes);
	kmn_b64(sha256, sizeof(sha256), hash);
	(void)snprintf(length, sizeof(length), "%zu", len);
	if (kmn_policy_file_ask(s->place.as, &policy) != KMN_OK)
		return KMN_EXIT_FAILED;
	const struct kmn_signed_pair pair[] = {{"origin", kmn_policy_origin(policy->policy)}, {"kind", kind},
	    {"title", title}, {"document-len", length}, {"document-sha256", hash}};
	verdict = make_and_bring(s, policy->policy, KMN_SIGNED_ATTESTATION, pair, KMN_COUNT_OF(pair));
	kmn_policy_file_free(policy);
	return verdict;
}

int
kmn_cmd_attest(int argc, char **argv)
{
	struct signing s = {.yes = false};
	const char *file = NULL, *title = NULL, *kind = "other";
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("file", "FILE", "the document; it stays here", &file),
	    KMN_OPTION_TEXT("title", "TEXT", "what it is, in words", &title),
	    KMN_OPTION_TEXT("kind", "WORD", "risk-review, ceremony-script, entry-log or other (default)", &kind),
	    KMN_OPTION_TEXT("as", "DIR/NAME", "who attests (default: KANMON_CUSTODIAN)", &s.place.as),
	    KMN_SIGNER_OPTIONS(&s.place),
	    KMN_OPTION_FLAG("yes", "sign without showing and asking", &s.yes),
	    KMN_OPTION_JSON(&s.json),
	};
	int verdict = read_options(argc, argv, "attest", options, KMN_COUNT_OF(options), &s);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (file == NULL || title == NULL)
		return kmn_usage("attest", "--file and --title are needed");
	return attest(&s, file, title, kind);
}

/* ---- policy veto ------------------------------------------------------------------------------------------------- */

static int
veto(const struct signing *s, const struct kmn_policy *in_force, const char *waiting, const char *reason)
{
	char *copy = strdup(waiting), named[KMN_SIGNED_PAIR_BYTES];
	const struct kmn_signed_pair pair[] = {
	    {"origin", kmn_policy_origin(in_force)}, {"policy", named}, {"reason", reason}};
	struct kmn_policy_file *file;
	int verdict;

	if (copy == NULL || kmn_policy_file_take("the policy that waits", copy, strlen(copy), &file) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (!s->yes)
		kmn_print_safe(waiting);
	kmn_signed_number_hash(kmn_policy_version(file->policy), kmn_policy_sha256(file->policy), named);
	verdict = make_and_bring(s, in_force, KMN_SIGNED_VETO, pair, KMN_COUNT_OF(pair));
	kmn_policy_file_free(file);
	return verdict;
}

int
kmn_cmd_policy_veto(int argc, char **argv)
{
	struct signing s = {.yes = false};
	const char *reason = NULL, *waiting, *note;
	struct kmn_policy_file *in_force = NULL;
	json_t *answer;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("reason", "TEXT", "why; it becomes part of what is signed", &reason),
	    KMN_OPTION_TEXT("as", "DIR/NAME", "who vetoes (default: KANMON_CUSTODIAN)", &s.place.as),
	    KMN_SIGNER_OPTIONS(&s.place),
	    KMN_OPTION_FLAG("yes", "sign without showing and asking", &s.yes),
	    KMN_OPTION_JSON(&s.json),
	};
	int verdict = read_options(argc, argv, "policy veto", options, KMN_COUNT_OF(options), &s);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (reason == NULL)
		return kmn_usage("policy veto", "--reason is needed");
	if (kmn_gateway_ask_once(s.place.as, KMN_ADMIN_POLICY, NULL, &answer) != KMN_OK)
		return KMN_EXIT_FAILED;
	note = json_string_value(json_object_get(answer, "note"));
	waiting = json_string_value(json_object_get(answer, "waiting"));
	verdict = KMN_EXIT_FAILED;
	if (note == NULL || waiting == NULL)
		kmn_fail("no policy of the recovery role waits");
	else if (kmn_policy_file_take("the gateway's policy", strdup(note), strlen(note), &in_force) == KMN_OK)
		verdict = veto(&s, in_force->policy, waiting, reason);
	kmn_policy_file_free(in_force);
	json_decref(answer);
	return verdict;
}
