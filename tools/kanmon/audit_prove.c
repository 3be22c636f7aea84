/* kanmon audit prove: one record, its place in the tree, and the checkpoint that signs the tree. */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_proof.h"
#include "tools/kanmon/options.h"

static kmn_err
print_json(const char *line, size_t len, uint64_t index, const struct kmn_path *path, const struct kmn_head *head,
    const char *note)
{
	json_t *proof = json_pack("{s:I, s:o, s:s%, s:[], s:s}", "index", (json_int_t)index, "head",
	    kmn_head_json(head), "line", line, len, "path", "checkpoint", note);
	json_t *hashes = json_object_get(proof, "path");

	for (size_t n = 0; n < path->count; n++)
		(void)json_array_append_new(hashes, kmn_json_b64(path->hash[n], KMN_HASH_BYTES));
	if (proof == NULL)
		return KMN_E_NO_MEMORY;
	(void)json_dumpf(proof, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
	(void)printf("\n");
	json_decref(proof);
	return KMN_OK;
}

/* c2sp.org/tlog-proof: `extra` is the record's own line. */
static kmn_err
print_proof(const char *line, size_t len, uint64_t index, const struct kmn_path *path, const char *note)
{
	char *b64 = malloc(KMN_B64_LEN(KMN_LINE_MAX_BYTES) + 1);

	if (b64 == NULL)
		return KMN_E_NO_MEMORY;
	kmn_b64(line, len, b64);
	(void)printf("c2sp.org/tlog-proof@v1\nextra %s\nindex %" PRIu64 "\n", b64, index);
	for (size_t n = 0; n < path->count; n++) {
		kmn_b64(path->hash[n], KMN_HASH_BYTES, b64);
		(void)printf("%s\n", b64);
	}
	(void)printf("\n%s", note);
	free(b64);
	return KMN_OK;
}

static kmn_err
prove(struct kmn_store *store, uint64_t index, bool json, struct kmn_why *why)
{
	struct kmn_audit_proof proof;
	struct kmn_path path;
	char *line = NULL;
	size_t len;
	kmn_err e;

	if ((e = kmn_audit_proof_open(store, index, &proof, why)) != KMN_OK)
		return e;
	if ((e = kmn_tiles_inclusion(proof.tiles, index, proof.head.size, &path)) == KMN_OK &&
	    (e = kmn_tiles_line(proof.tiles, index, &line, &len)) == KMN_OK)
		e = json ? print_json(line, len, index, &path, &proof.head, proof.note)
			 : print_proof(line, len, index, &path, proof.note);
	free(line);
	kmn_audit_proof_clear(&proof);
	return e;
}

int
kmn_cmd_audit_prove(int argc, char **argv)
{
	bool json = false;
	struct kmn_store *store = NULL;
	struct kmn_why why = {""};
	const char *words[2];
	char *end;
	uint64_t index;
	const struct kmn_option options[] = {KMN_OPTION_JSON(&json)};
	int parsed = kmn_options_parse(argc, argv, "audit prove", options, KMN_COUNT_OF(options), words, 2, 2);
	kmn_err e;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	index = strtoull(words[1], &end, 10);
	if (words[1][0] < '0' || words[1][0] > '9' || *end != '\0') {
		(void)kmn_usage("audit prove", "%s is not the index of a record", words[1]);
		return KMN_AUDIT_INCOMPLETE;
	}
	if (sodium_init() < 0 || kmn_audit_open(words[0], &store) != KMN_OK)
		return KMN_AUDIT_INCOMPLETE;
	e = prove(store, index, json, &why);
	if (e != KMN_OK)
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", words[0], why.text[0] == '\0' ? kmn_err_text(e) : why.text);
	kmn_store_files_free(store);
	return e == KMN_OK ? KMN_AUDIT_VERIFIED : e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
}
