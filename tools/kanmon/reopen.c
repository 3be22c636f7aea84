/* kanmon reopen: the policy's quorum signs, one after the other, that a token which an anomaly closed is well again. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/signed.h"
#include "tools/kanmon/bring.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/signer.h"
#include "tools/kanmon/terminal.h"

struct reopening {
	struct kmn_signer_place place;
	const char *token, *reason;
	bool yes, submit, json;
};

/* What stands against the token, as the gateway tells it, put into words to sign. */
static kmn_err
make_text(const struct reopening *r, const struct kmn_policy *policy, char **text_out)
{
	char named[KMN_SIGNED_PAIR_BYTES], anomaly[KMN_SIGNED_PAIR_BYTES];
	const struct kmn_signed_pair pair[] = {{"origin", kmn_policy_origin(policy)}, {"policy", named},
	    {"token", r->token}, {"anomaly", anomaly}, {"reason", r->reason}};
	uint8_t leaf[KMN_HASH_BYTES];
	struct kmn_why why = {""};
	json_t *status, *at;
	uint64_t i;
	kmn_err e;

	*text_out = NULL;
	if ((e = kmn_gateway_ask_once(r->place.as, KMN_ADMIN_STATUS, NULL, &status)) != KMN_OK)
		return e;
	at = json_object_get(json_object_get(status, "stances"), r->token);
	if (!kmn_json_get_number(at, "anomaly", &i) || !kmn_json_get_b64(at, "leaf", leaf, sizeof(leaf))) {
		kmn_fail("nothing stands against token %s", r->token);
		e = KMN_E_NOT_FOUND;
	} else {
		kmn_signed_number_hash(kmn_policy_version(policy), kmn_policy_sha256(policy), named);
		kmn_signed_number_hash(i, leaf, anomaly);
		if ((e = kmn_signed_make(KMN_SIGNED_REOPEN, pair, KMN_COUNT_OF(pair), text_out, &why)) != KMN_OK)
			kmn_fail("that cannot be signed: %s", why.text);
	}
	json_decref(status);
	return e;
}

/* The text that others signed already. */
static kmn_err
read_text(const char *path, char **text_out)
{
	struct kmn_signed said;
	struct kmn_note note;
	size_t len;
	kmn_err e;

	if ((e = kmn_file_read_or_say(path, KMN_NOTE_MAX_BYTES, text_out, &len)) != KMN_OK)
		return e;
	if (kmn_note_parse(*text_out, len, &note, NULL) == KMN_OK &&
	    kmn_signed_read(note.text, note.text_len, &said, NULL) == KMN_OK && said.kind == KMN_SIGNED_REOPEN)
		return KMN_OK;
	kmn_fail("%s is no note about a token: begin with --of and --reason", path);
	free(*text_out);
	*text_out = NULL;
	return KMN_E_MALFORMED;
}

/* Shows, asks, signs, puts the note into the file, and brings it where that is asked. */
static int
sign(const struct reopening *r, const struct kmn_policy *policy, const char *path, const char *bytes)
{
	struct kmn_signer *signer = NULL;
	char *note = NULL;
	int verdict = KMN_EXIT_FAILED;

	if (!r->yes) {
		kmn_print_safe(bytes);
		fflush(stdout);
		if (!kmn_terminal_confirm("The token was looked at, and is well. Sign this?"))
			return kmn_fail("not signed");
	}
	if (kmn_signer_open(&r->place, policy, NULL, &signer) != KMN_OK)
		goto done;
	if (kmn_signer_sign(signer, bytes, strlen(bytes), &note) != KMN_OK ||
	    kmn_file_replace(path, note, strlen(note), 0644) != KMN_OK)
		kmn_fail("%s was not signed", path);
	else if (!r->submit || kmn_signed_bring(r->place.as, note, r->json) == KMN_OK)
		verdict = KMN_EXIT_OK;
	if (verdict == KMN_EXIT_OK && !r->submit)
		printf("Signed %s.\n", path);
done:
	kmn_signer_free(signer);
	free(note);
	return verdict;
}

int
kmn_cmd_reopen(int argc, char **argv)
{
	struct reopening r = {.yes = false};
	const char *path, *missing;
	struct kmn_policy_file *policy;
	char *bytes = NULL;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("of", "NAME", "begin: the token's line in the policy", &r.token),
	    KMN_OPTION_TEXT("reason", "TEXT", "begin: what was found, and why it is well", &r.reason),
	    KMN_OPTION_FLAG("submit", "bring it to the gateway: the quorum is complete", &r.submit),
	    KMN_OPTION_TEXT("as", "DIR/NAME", "who signs (default: KANMON_CUSTODIAN)", &r.place.as),
	    KMN_SIGNER_OPTIONS(&r.place),
	    KMN_OPTION_FLAG("yes", "sign without showing and asking", &r.yes),
	    KMN_OPTION_JSON(&r.json),
	};
	int verdict = kmn_options_parse(argc, argv, "reopen", options, KMN_COUNT_OF(options), &path, 1, 1);
	kmn_err e;

	if (verdict != KMN_GO_ON)
		return verdict;
	r.place.as = kmn_custodian(r.place.as);
	if ((missing = kmn_signer_missing(&r.place)) != NULL)
		return kmn_usage("reopen", "%s", missing);
	if ((r.token == NULL) != (r.reason == NULL))
		return kmn_usage("reopen", "--of and --reason go together");
	if (kmn_policy_file_ask(r.place.as, &policy) != KMN_OK)
		return KMN_EXIT_FAILED;
	e = r.token != NULL ? make_text(&r, policy->policy, &bytes) : read_text(path, &bytes);
	verdict = e == KMN_OK ? sign(&r, policy->policy, path, bytes) : KMN_EXIT_FAILED;
	kmn_policy_file_free(policy);
	free(bytes);
	return verdict;
}
