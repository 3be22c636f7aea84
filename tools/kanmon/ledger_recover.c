/* kanmon ledger recover, ledger sign: what lets a ledger go on behind a guard (docs/ledger.md, Authorised recovery). */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/note.h"
#include "kanmon/rescue.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/signer.h"
#include "tools/kanmon/terminal.h"

/* The gateway's own words, with the reason of the people and a number that is used once. */
static int
make(const char *ledger, const char *reason, const char *out)
{
	char path[KMN_PATH_MAX_BYTES], *proposal = NULL, *text = NULL;
	uint8_t nonce[32];
	size_t len;
	int verdict = KMN_EXIT_FAILED;

	if (kmn_path(path, ledger, "state/recovery", ".proposal") != KMN_OK ||
	    kmn_file_read_or_say(path, KMN_RESCUE_MAX_BYTES, &proposal, &len) != KMN_OK)
		return kmn_fail("a gateway that halts at a guard leaves its proposal there: start it first");
	randombytes_buf(nonce, sizeof(nonce));
	if (kmn_rescue_complete(proposal, reason, nonce, &text) != KMN_OK)
		kmn_fail("%s is no proposal, or the reason is not one line of 1 to %d bytes", path,
		    KMN_RESCUE_REASON_MAX_BYTES);
	else if (kmn_file_create(out, text, strlen(text), 0644) == KMN_OK)
		verdict = KMN_EXIT_OK;
	if (verdict == KMN_EXIT_OK) {
		kmn_print_safe(text);
		printf("Written to %s. Each person of the policy's quorum signs it: kanmon ledger sign %s --key "
		       "NAME.key\n",
		    out, out);
	}
	free(proposal);
	free(text);
	return verdict;
}

int
kmn_cmd_ledger_recover(int argc, char **argv)
{
	const char *ledger, *reason = NULL, *out = NULL;
	bool accept = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_FLAG("accept-head", "go on from the head that the ledger has now", &accept),
	    KMN_OPTION_TEXT("reason", "TEXT", "why the later head is given up", &reason),
	    KMN_OPTION_TEXT("out", "FILE", "where the text to be signed is written", &out),
	};
	int verdict = kmn_options_parse(argc, argv, "ledger recover", options, KMN_COUNT_OF(options), &ledger, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (!accept || reason == NULL || out == NULL)
		return kmn_usage("ledger recover", "--accept-head, --reason and --out are needed");
	return make(ledger, reason, out);
}

/* The text of the file, which may have signatures already: is it what it must be? */
static bool
is_recovery(const char *bytes, size_t len)
{
	struct kmn_rescue rescue;
	struct kmn_note note;

	if (kmn_rescue_read(bytes, len, &rescue, NULL) == KMN_OK)
		return true;
	return kmn_note_parse(bytes, len, &note, NULL) == KMN_OK &&
	       kmn_rescue_read(note.text, note.text_len, &rescue, NULL) == KMN_OK;
}

/* Shows, asks, signs, and puts the note in the place of the file. */
static int
sign(const char *path, const struct kmn_signer_place *place, bool yes)
{
	struct kmn_signer *signer = NULL;
	char *bytes = NULL;
	size_t len;
	int verdict = KMN_EXIT_FAILED;

	if (kmn_file_read_or_say(path, KMN_RESCUE_MAX_BYTES, &bytes, &len) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (!is_recovery(bytes, len)) {
		kmn_fail("%s is not the text of a recovery: kanmon ledger recover makes it", path);
		goto done;
	}
	if (!yes) {
		kmn_print_safe(bytes);
		fflush(stdout);
		if (!kmn_terminal_confirm("The heads of the guards are given up for good. Sign this?")) {
			kmn_fail("not signed");
			goto done;
		}
	}
	if (kmn_signer_open(place, NULL, NULL, &signer) != KMN_OK)
		goto done;
	if (kmn_signer_sign_file(signer, path, bytes, len))
		verdict = KMN_EXIT_OK;
done:
	kmn_signer_free(signer);
	free(bytes);
	return verdict;
}

int
kmn_cmd_ledger_sign(int argc, char **argv)
{
	struct kmn_signer_place place = {NULL, NULL, NULL, NULL, NULL};
	const char *path, *missing;
	bool yes = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "whose key file or card", &place.as),
	    KMN_SIGNER_OPTIONS(&place),
	    KMN_OPTION_FLAG("yes", "sign without showing and asking", &yes),
	};
	int verdict = kmn_options_parse(argc, argv, "ledger sign", options, KMN_COUNT_OF(options), &path, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if ((missing = kmn_signer_missing(&place)) != NULL)
		return kmn_usage("ledger sign", "%s", missing);
	verdict = sign(path, &place, yes);
	if (verdict == KMN_EXIT_OK)
		printf("Signed %s.\n", path);
	return verdict;
}
