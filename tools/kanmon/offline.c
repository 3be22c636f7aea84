#include "config.h"

#include "tools/kanmon/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/request.h"
#include "tools/kanmon/terminal.h"

/* ---- out --------------------------------------------------------------------------------------------------------- */

static int
export_request(const char *as, uint64_t id, const char *out)
{
	struct kmn_gateway *gateway;
	json_t *shown = NULL, *whole = NULL;
	char *text = NULL;
	int verdict = KMN_EXIT_FAILED;

	if (kmn_gateway_open(as, &gateway) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (kmn_request_fetch_all(gateway, id, &shown) != KMN_OK)
		goto done;
	if (json_object_get(shown, "statement") == NULL) {
		kmn_fail("request %" PRIu64 " has no statement: it waits for nobody's answer", id);
		goto done;
	}
	whole = json_pack("{s:s, s:I, s:s, s:O}", "export", "kanmon/request-export/v1", "id", (json_int_t)id, "origin",
	    kmn_gateway_origin(gateway), "shown", shown);
	if ((text = json_dumps(whole, JSON_INDENT(1) | JSON_SORT_KEYS)) == NULL || strlen(text) > KMN_EXPORT_MAX_BYTES)
		kmn_fail("request %" PRIu64 " is too large for a file", id);
	else if (kmn_file_create(out, text, strlen(text), 0644) == KMN_OK)
		verdict = KMN_EXIT_OK;
done:
	kmn_gateway_close(gateway);
	free(text);
	json_decref(whole);
	json_decref(shown);
	return verdict;
}

int
kmn_cmd_request_export(int argc, char **argv)
{
	const char *as = NULL, *out = NULL, *word;
	uint64_t id;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who asks (default: KANMON_CUSTODIAN; else the client)", &as),
	    KMN_OPTION_TEXT("out", "FILE", "the new file", &out),
	};
	int verdict = kmn_options_parse(argc, argv, "request export", options, KMN_COUNT_OF(options), &word, 1, 1);

	if (verdict != KMN_GO_ON || (verdict = kmn_request_number("request export", word, &id)) != KMN_GO_ON)
		return verdict;
	if (out == NULL)
		return kmn_usage("request export", "--out is needed");
	verdict = export_request(kmn_custodian(as), id, out);
	if (verdict == KMN_EXIT_OK)
		printf("Wrote %s. Answer it with: kanmon approve --offline %s\n", out, out);
	return verdict;
}

/* ---- there ------------------------------------------------------------------------------------------------------- */

/* A login by a sealed PIN takes the custodian's share along, and shares go to a gateway only. */
static bool
can_be_offline(const struct kmn_answering *a, const json_t *shown)
{
	const char *statement;
	size_t len;

	if (a->decision != KMN_APPROVE || !kmn_json_get_text(shown, "statement", &statement) ||
	    kmn_statement_value(statement, "activation-key", &len) == NULL)
		return true;
	kmn_fail("this is a login that asks for your share of the PIN: it is approved at a gateway, not offline");
	return false;
}

int
kmn_offline_answer(const struct kmn_answering *a, const char *file)
{
	char path[KMN_PATH_MAX_BYTES], ending[16], *bytes = NULL, *note = NULL;
	struct kmn_export export;
	size_t len;
	int verdict = KMN_EXIT_FAILED;

	(void)snprintf(ending, sizeof(ending), ".%s", kmn_answer_noun(a->decision));
	if (kmn_path(path, NULL, file, ending) != KMN_OK ||
	    kmn_file_read_or_say(file, KMN_EXPORT_MAX_BYTES, &bytes, &len) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (kmn_export_read(bytes, len, &export) == KMN_OK) {
		if (can_be_offline(a, export.shown) &&
		    kmn_answer_sign(a, export.shown, export.id, export.origin, &note) == KMN_OK &&
		    kmn_file_create(path, note, strlen(note), 0644) == KMN_OK)
			verdict = KMN_EXIT_OK;
		kmn_export_clear(&export);
	}
	if (verdict == KMN_EXIT_OK && a->json)
		kmn_print_json(json_pack("{s:s}", "written", path));
	else if (verdict == KMN_EXIT_OK)
		printf("Wrote %s. Bring it back with: kanmon approval import %s\n", path, path);
	free(bytes);
	free(note);
	return verdict;
}

/* ---- back -------------------------------------------------------------------------------------------------------- */

static int
import(const char *as, const char *bytes, size_t len, bool json)
{
	struct kmn_statement_said said;
	struct kmn_gateway *gateway;
	struct kmn_why why = {""};
	struct kmn_note note;
	json_t *answer = NULL;
	int verdict = KMN_EXIT_FAILED;

	if (kmn_note_parse(bytes, len, &note, &why) != KMN_OK)
		return kmn_fail("this is no signed answer: %s", why.text);
	if (kmn_statement_read(note.text, note.text_len, &said) != KMN_OK)
		return kmn_fail("this is no signed answer to a request");
	if (kmn_gateway_open(as, &gateway) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (kmn_request_submit(gateway, bytes, len, &answer) == KMN_OK)
		verdict = kmn_answer_report(said.request, said.decision, answer, json);
	kmn_gateway_close(gateway);
	json_decref(answer);
	return verdict;
}

int
kmn_cmd_approval_import(int argc, char **argv)
{
	const char *as = NULL, *file;
	bool json = false;
	char *bytes;
	size_t len;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "whose terminal brings it (default: KANMON_CUSTODIAN)", &as),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "approval import", options, KMN_COUNT_OF(options), &file, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_file_read_or_say(file, KMN_ADMIN_NOTE_MAX_BYTES, &bytes, &len) != KMN_OK)
		return KMN_EXIT_FAILED;
	verdict = import(kmn_custodian(as), bytes, len, json);
	free(bytes);
	return verdict;
}
