/* kanmon audit bundle: one request's evidence in one file, and what such a file is worth. */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/gather.h"
#include "kanmon/log.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_bundle_judge.h"
#include "tools/kanmon/audit_proof.h"
#include "tools/kanmon/options.h"

/* An answer given twice is about a result, and that about a request. */
static kmn_err
request_of(struct kmn_store *store, uint64_t index, uint64_t *request_out, struct kmn_why *why)
{
	uint64_t at = index, to = index;
	kmn_err e = KMN_OK;

	for (unsigned steps = 0; e == KMN_OK && steps < 4; steps++, at = to) {
		struct kmn_record record = {0};
		char *line;
		size_t len;

		if ((e = kmn_store_line(store, at, &line, &len)) == KMN_OK)
			e = kmn_record_parse(line, len, &record, why);
		if (e == KMN_OK)
			e = kmn_gather_subject(&record, &to);
		kmn_record_clear(&record);
		free(line);
		*request_out = to;
		if (e == KMN_OK && to == at)
			return KMN_OK;
	}
	if (e == KMN_OK || e == KMN_E_NOT_FOUND)
		kmn_why_set(why, "record %" PRIu64 " is not there, or about no call", index);
	return e == KMN_OK ? KMN_E_NOT_FOUND : e;
}

static kmn_err
find_window(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	(void)place;
	kmn_gather_window(cookie, record);
	return KMN_OK;
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	(void)place;
	return kmn_gather_record(cookie, record);
}

/* ---- the parts, from the ledger's files ------------------------------------------------------------------------- */

struct files {
	struct kmn_store *store;
	struct kmn_audit_proof proof;
};

static kmn_err
get_line(void *cookie, uint64_t index, char **line_out, size_t *len_out)
{
	return kmn_tiles_line(((struct files *)cookie)->proof.tiles, index, line_out, len_out);
}

static kmn_err
get_inclusion(void *cookie, uint64_t index, uint64_t size, struct kmn_path *path_out)
{
	return kmn_tiles_inclusion(((struct files *)cookie)->proof.tiles, index, size, path_out);
}

static kmn_err
get_consistency(void *cookie, uint64_t from, uint64_t to, struct kmn_path *path_out)
{
	return kmn_tiles_consistency(((struct files *)cookie)->proof.tiles, from, to, path_out);
}

static kmn_err
get_blob(void *cookie, const uint8_t sha256[KMN_HASH_BYTES], uint8_t **bytes_out, size_t *len_out)
{
	return kmn_blob_read(((struct files *)cookie)->store, sha256, bytes_out, len_out);
}

static kmn_err
make(struct kmn_store *store, uint64_t index, struct kmn_bundle **bundle_out, struct kmn_why *why)
{
	struct files files = {.store = store};
	struct kmn_gather_source source = {.cookie = &files,
	    .line = get_line,
	    .inclusion = get_inclusion,
	    .consistency = get_consistency,
	    .blob = get_blob};
	struct kmn_gather *g;
	uint64_t request;
	kmn_err e;

	*bundle_out = NULL;
	if ((e = request_of(store, index, &request, why)) != KMN_OK ||
	    (e = kmn_audit_proof_open(store, index, &files.proof, why)) != KMN_OK)
		return e;
	source.origin = files.proof.origin;
	source.note = files.proof.note;
	if ((g = kmn_gather_new(files.proof.head.size)) == NULL)
		e = KMN_E_NO_MEMORY;
	else
		g->request = request;
	if (e == KMN_OK && (e = kmn_ledger_read(store, find_window, g, why)) == KMN_OK &&
	    (e = kmn_ledger_read(store, each_record, g, why)) == KMN_OK)
		e = kmn_gather_bundle(g, &source, bundle_out);
	kmn_gather_free(g);
	kmn_audit_proof_clear(&files.proof);
	return e;
}

static int
complain(const char *path, kmn_err e, const struct kmn_why *why)
{
	if (e == KMN_OK)
		return KMN_AUDIT_VERIFIED;
	(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, why->text[0] == '\0' ? kmn_err_text(e) : why->text);
	return e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
}

int
kmn_cmd_audit_bundle(int argc, char **argv)
{
	struct kmn_store *store = NULL;
	struct kmn_bundle *bundle = NULL;
	struct kmn_why why = {""};
	const char *words[2];
	char *end, *text = NULL;
	uint64_t index;
	size_t len = 0;
	int parsed = kmn_options_parse(argc, argv, "audit bundle", NULL, 0, words, 2, 2);
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	index = strtoull(words[1], &end, 10);
	if (words[1][0] < '0' || words[1][0] > '9' || *end != '\0') {
		(void)kmn_usage("audit bundle", "%s is not the index of a record", words[1]);
		return KMN_AUDIT_INCOMPLETE;
	}
	if (sodium_init() < 0 || kmn_audit_open(words[0], &store) != KMN_OK)
		goto done;
	if ((e = make(store, index, &bundle, &why)) == KMN_OK &&
	    (e = kmn_bundle_format(bundle, &text, &len)) == KMN_OK && fwrite(text, 1, len, stdout) != len)
		e = KMN_E_IO;
	exit_code = complain(words[0], e, &why);
done:
	free(text);
	kmn_bundle_free(bundle);
	kmn_store_files_free(store);
	return exit_code;
}

int
kmn_cmd_audit_bundle_verify(int argc, char **argv)
{
	const char *trust_path = NULL, *words[1];
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("trust", "FILE", "what to hold the bundle against", &trust_path),
	    KMN_OPTION_JSON(&json),
	};
	struct kmn_bundle *bundle = NULL;
	struct kmn_trust *trust = calloc(1, sizeof(*trust));
	struct kmn_why why = {""};
	char *text = NULL, *file = NULL;
	size_t len, file_len;
	int parsed = kmn_options_parse(argc, argv, "audit bundle verify", options, KMN_COUNT_OF(options), words, 1, 1);
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e;

	if (parsed != KMN_GO_ON) {
		exit_code = parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
		goto done;
	}
	if (trust_path == NULL) {
		(void)kmn_usage(
		    "audit bundle verify", "bundle verify needs --trust FILE: without it nothing is proven");
		goto done;
	}
	if (trust == NULL || sodium_init() < 0 ||
	    kmn_audit_file(trust_path, KMN_TRUST_MAX_BYTES, &text, &len) != KMN_OK ||
	    kmn_audit_file(words[0], KMN_BUNDLE_MAX_BYTES, &file, &file_len) != KMN_OK)
		goto done;
	if ((e = kmn_trust_parse(text, len, trust, &why)) != KMN_OK) {
		exit_code = complain(trust_path, e, &why);
		goto done;
	}
	e = kmn_bundle_parse(file, file_len, &bundle, &why);
	if (e == KMN_OK)
		exit_code = kmn_bundle_judge(bundle, trust, stdout, json);
	else
		exit_code = complain(words[0], e == KMN_E_MALFORMED || e == KMN_E_TOO_BIG ? KMN_E_CORRUPT : e, &why);
done:
	kmn_bundle_free(bundle);
	free(trust);
	free(file);
	free(text);
	return exit_code;
}
