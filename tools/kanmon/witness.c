/* kanmon witness: new, serve, sign, request, import. */
#include "config.h"

#include "tools/kanmon/witness.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/tiles.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/terminal.h"

#define ASK ".add-checkpoint"
#define COSIG ".cosig"
#define COSIG_MAX_BYTES 16384u

/* ---- new ----------------------------------------------------------------------------------------------------------- */

static kmn_err
make_key(const char *name, const char *dir, char vkey_text[KMN_VKEY_MAX_BYTES])
{
	uint8_t pub[crypto_sign_PUBLICKEYBYTES], *secret = sodium_malloc(crypto_sign_SECRETKEYBYTES);
	char *seed = sodium_malloc(KMN_B64_LEN(crypto_sign_SEEDBYTES) + 2);
	char key[KMN_PATH_MAX_BYTES], vkey[KMN_PATH_MAX_BYTES], line[KMN_VKEY_MAX_BYTES + 1];
	struct kmn_vkey made;
	kmn_err e = KMN_E_NO_MEMORY;

	if (secret == NULL || seed == NULL)
		goto done;
	(void)crypto_sign_keypair(pub, secret);
	kmn_b64(secret, crypto_sign_SEEDBYTES, seed); /* libsodium's secret key begins with the seed */
	strcat(seed, "\n");
	if ((e = kmn_vkey_make_cosigner(name, pub, &made)) != KMN_OK) {
		kmn_fail("'%s' cannot be a witness' name: no blank, no '+'; like witness.example/w1", name);
		goto done;
	}
	kmn_vkey_format(&made, vkey_text);
	(void)snprintf(line, sizeof(line), "%s\n", vkey_text);
	if ((e = kmn_folder_make(dir)) != KMN_OK || (e = kmn_path(key, dir, "witness", ".key")) != KMN_OK ||
	    (e = kmn_path(vkey, dir, "witness", ".vkey")) != KMN_OK ||
	    (e = kmn_file_create(key, seed, strlen(seed), 0600)) != KMN_OK)
		goto done;
	if ((e = kmn_file_create(vkey, line, strlen(line), 0644)) != KMN_OK)
		(void)unlink(key);
done:
	sodium_free(secret);
	sodium_free(seed);
	return e;
}

int
kmn_cmd_witness_new(int argc, char **argv)
{
	char vkey[KMN_VKEY_MAX_BYTES];
	const char *name, *dir = NULL;
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("out", "DIR", "the witness' folder", &dir),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "witness new", options, KMN_COUNT_OF(options), &name, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (dir == NULL)
		return kmn_usage("witness new", "--out is needed");
	if (make_key(name, dir, vkey) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (json)
		kmn_print_json(json_pack("{s:s, s:s}", "dir", dir, "vkey", vkey));
	else
		printf("%s\n", vkey);
	return KMN_EXIT_OK;
}

/* ---- serve, sign --------------------------------------------------------------------------------------------------- */

int
kmn_cmd_witness_serve(int argc, char **argv)
{
	struct kmn_option_list logs = {.n = 0};
	const char *dir, *listen = NULL;
	struct kmn_cosigner *cosigner;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT(
		"listen", "ADDRESS:PORT", "where logs ask (plain HTTP; a proxy before it may do TLS)", &listen),
	    KMN_OPTION_LIST("log", "FILE", "vkeys of logs, or a tlog-policy; may be repeated", &logs),
	};
	int verdict = kmn_options_parse(argc, argv, "witness serve", options, KMN_COUNT_OF(options), &dir, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (listen == NULL || logs.n == 0)
		return kmn_usage("witness serve", "--listen and --log are needed");
	if (kmn_cosigner_open(dir, &logs, &cosigner) != KMN_OK)
		return KMN_EXIT_FAILED;
	verdict = kmn_witness_serve_http(cosigner, listen);
	kmn_cosigner_free(cosigner);
	return verdict;
}

/* "12.add-checkpoint" and "12.cosig"; false: the name does not end so. */
static bool
other_name(const char *name, const char *from, const char *to, char out[KMN_PATH_MAX_BYTES])
{
	size_t len = strlen(name), end = strlen(from);

	if (len <= end || strcmp(name + len - end, from) != 0)
		return false;
	return snprintf(out, KMN_PATH_MAX_BYTES, "%.*s%s", (int)(len - end), name, to) < KMN_PATH_MAX_BYTES;
}

static kmn_err
sign_file(struct kmn_cosigner *cosigner, const char *name)
{
	struct kmn_cosigner_answer answer;
	char cosig[KMN_PATH_MAX_BYTES], *body;
	size_t len;
	kmn_err e;

	if (!other_name(name, ASK, COSIG, cosig)) {
		kmn_fail("%s: the name does not end with " ASK, name);
		return KMN_E_ARGUMENTS;
	}
	if ((e = kmn_file_read_or_say(name, KMN_WITNESS_ASK_MAX_BYTES, &body, &len)) != KMN_OK)
		return e;
	kmn_cosigner_answer(cosigner, body, len, &answer);
	free(body);
	if (answer.status != 200) {
		answer.body[strcspn(answer.body, "\n")] = '\0';
		kmn_fail("%s: %u: %s%s", name, answer.status, answer.status == 409 ? "the last size cosigned is " : "",
		    answer.body);
		return KMN_E_DENIED;
	}
	if ((e = kmn_file_replace(cosig, answer.body, strlen(answer.body), 0644)) == KMN_OK)
		printf("%s: %s, %" PRIu64 " records\n", cosig, answer.origin, answer.size);
	return e;
}

int
kmn_cmd_witness_sign(int argc, char **argv)
{
	const char *words[KMN_OPTION_LIST_MAX + 1];
	struct kmn_option_list logs = {.n = 0};
	struct kmn_cosigner *cosigner;
	kmn_err e = KMN_OK;
	const struct kmn_option options[] = {
	    KMN_OPTION_LIST("log", "FILE", "vkeys of logs, or a tlog-policy; may be repeated", &logs),
	};
	int verdict = kmn_options_parse(
	    argc, argv, "witness sign", options, KMN_COUNT_OF(options), words, 2, KMN_COUNT_OF(words));

	if (verdict != KMN_GO_ON)
		return verdict;
	if (logs.n == 0)
		return kmn_usage("witness sign", "--log is needed");
	if (kmn_cosigner_open(words[0], &logs, &cosigner) != KMN_OK)
		return KMN_EXIT_FAILED;
	for (size_t i = 1; e == KMN_OK && i < KMN_COUNT_OF(words) && words[i] != NULL; i++)
		e = sign_file(cosigner, words[i]);
	kmn_cosigner_free(cosigner);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}

/* ---- request ------------------------------------------------------------------------------------------------------- */

/* The origin is whose line the checkpoint's is: who asks needs no trust, the witness judges. */
static kmn_err
read_head(const char *note, size_t len, struct kmn_head *head_out, struct kmn_why *why)
{
	char origin[KMN_WITNESS_ORIGIN_MAX_BYTES + 1];
	struct kmn_note parsed;
	kmn_err e;

	if ((e = kmn_note_parse(note, len, &parsed, why)) != KMN_OK)
		return e;
	(void)snprintf(origin, sizeof(origin), "%.*s", (int)strcspn(parsed.text, "\n"), parsed.text);
	return kmn_checkpoint_parse(&parsed, origin, head_out, why);
}

static kmn_err
make_question(struct kmn_store *store, uint64_t old_size, char **body_out, size_t *len_out, struct kmn_why *why)
{
	struct kmn_path path = {.count = 0};
	struct kmn_tiles *tiles = NULL;
	struct kmn_head head;
	char *note = NULL;
	size_t note_len;
	kmn_err e;

	if ((e = kmn_store_read(store, "checkpoint", KMN_NOTE_MAX_BYTES, &note, &note_len)) != KMN_OK ||
	    (e = read_head(note, note_len, &head, why)) != KMN_OK)
		goto done;
	if (old_size > head.size) {
		kmn_why_set(why, "the checkpoint has %" PRIu64 " records, which is less than --old", head.size);
		e = KMN_E_ARGUMENTS;
		goto done;
	}
	if (old_size > 0 && old_size < head.size &&
	    ((e = kmn_tiles_open(store, &head, &tiles, why)) != KMN_OK ||
		(e = kmn_tiles_consistency(tiles, old_size, head.size, &path)) != KMN_OK))
		goto done;
	e = kmn_witness_ask_make(old_size, &path, note, note_len, body_out, len_out);
done:
	kmn_tiles_free(tiles);
	free(note);
	return e;
}

int
kmn_cmd_witness_request(int argc, char **argv)
{
	const char *ledger, *out = NULL;
	struct kmn_store *store = NULL;
	struct kmn_why why = {""};
	unsigned long old_size = 0;
	char *body = NULL;
	size_t len;
	kmn_err e;
	const struct kmn_option options[] = {
	    KMN_OPTION_NUMBER("old", "N", "size that the witness cosigned last (0: none)", &old_size),
	    KMN_OPTION_TEXT("out", "FILE", "NAME" ASK " (default: standard output)", &out),
	};
	int verdict = kmn_options_parse(argc, argv, "witness request", options, KMN_COUNT_OF(options), &ledger, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_audit_open(ledger, &store) != KMN_OK)
		return KMN_EXIT_FAILED;
	if ((e = make_question(store, old_size, &body, &len, &why)) != KMN_OK)
		kmn_fail("%s: %s", ledger, why.text[0] != '\0' ? why.text : kmn_err_text(e));
	else if (out == NULL)
		e = fwrite(body, 1, len, stdout) == len && fflush(stdout) == 0 ? KMN_OK : KMN_E_IO;
	else
		e = kmn_file_replace(out, body, len, 0644);
	free(body);
	kmn_store_files_free(store);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}

/* ---- import -------------------------------------------------------------------------------------------------------- */

/* The question's checkpoint with the answer's lines behind it. */
static kmn_err
join(const char *cosig_name, char **note_out, size_t *len_out)
{
	char ask_name[KMN_PATH_MAX_BYTES], *cosig = NULL, *body = NULL;
	struct kmn_witness_ask ask;
	struct kmn_why why = {""};
	size_t cosig_len, body_len;
	kmn_err e;

	*note_out = NULL;
	if (!other_name(cosig_name, COSIG, ASK, ask_name)) {
		kmn_fail("%s: the name does not end with " COSIG, cosig_name);
		return KMN_E_ARGUMENTS;
	}
	if ((e = kmn_file_read_or_say(cosig_name, COSIG_MAX_BYTES, &cosig, &cosig_len)) != KMN_OK ||
	    (e = kmn_file_read_or_say(ask_name, KMN_WITNESS_ASK_MAX_BYTES, &body, &body_len)) != KMN_OK)
		goto done;
	if ((e = kmn_witness_ask_parse(body, body_len, &ask, &why)) != KMN_OK) {
		kmn_fail("%s: %s", ask_name, why.text);
		goto done;
	}
	*len_out = ask.note_len + cosig_len;
	if ((*note_out = malloc(*len_out + 1)) == NULL) {
		e = KMN_E_NO_MEMORY;
		goto done;
	}
	memcpy(*note_out, ask.note, ask.note_len);
	memcpy(*note_out + ask.note_len, cosig, cosig_len + 1);
done:
	free(cosig);
	free(body);
	return e;
}

int
kmn_cmd_witness_import(int argc, char **argv)
{
	const char *file, *as = NULL;
	struct kmn_writer fields;
	json_t *answer;
	bool json = false;
	char *note;
	size_t len;
	kmn_err e;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who brings it (default: KANMON_CUSTODIAN)", &as),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "witness import", options, KMN_COUNT_OF(options), &file, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (join(file, &note, &len) != KMN_OK)
		return KMN_EXIT_FAILED;
	kmn_writer_init(&fields, KMN_ADMIN_NOTE_MAX_BYTES + 64);
	kmn_writer_bytes(&fields, note, len);
	e = kmn_gateway_ask_once(kmn_custodian(as), KMN_ADMIN_COSIGN, &fields, &answer);
	kmn_writer_clear(&fields);
	free(note);
	if (e != KMN_OK)
		return KMN_EXIT_FAILED;
	if (json) {
		kmn_print_json(answer);
		return KMN_EXIT_OK;
	}
	printf("record %" JSON_INTEGER_FORMAT ": %" JSON_INTEGER_FORMAT " cosignatures\n",
	    json_integer_value(json_object_get(answer, "record")),
	    json_integer_value(json_object_get(answer, "lines")));
	json_decref(answer);
	return KMN_EXIT_OK;
}
