/*
 * kanmon ledger renew: a new time stamp over the newest one of a stopped
 * ledger, before the certificates or the hash under it grow old; with --rehash
 * over a second tree of all records and blobs by SHA-512. How the TSA is
 * reached is a command's business, so that it works without a network too.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/anchor.h"
#include "kanmon/log.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/log_key.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/terminal.h"

struct renewing {
	const char *ledger, *key_path, *tsa, *roots_path, *ask;
	bool rehash;
	struct kmn_store *store;
	struct kmn_stamp_roots *roots;
	uint8_t *secret; /* guarded */
	struct kmn_log *log;
	/* of the ledger */
	char origin[KMN_NOTE_NAME_MAX_BYTES + 1];
	bool stopped;        /* its last record is gateway.stop */
	struct kmn_ref last; /* newest time stamp */
	enum kmn_record_kind last_kind;
	json_t *last_body; /* NULL: there is none */
};

static kmn_err
replay(void *cookie, const struct kmn_record *record)
{
	struct renewing *r = cookie;
	const char *origin;

	if (record->kind == KMN_R_GENESIS && kmn_json_get_text(record->body, "origin", &origin))
		(void)snprintf(r->origin, sizeof(r->origin), "%s", origin);
	r->stopped = record->kind == KMN_R_GATEWAY_STOP;
	if (record->kind != KMN_R_ANCHOR && record->kind != KMN_R_RENEWAL && record->kind != KMN_R_REHASH)
		return KMN_OK;
	json_decref(r->last_body);
	if ((r->last_body = json_deep_copy(record->body)) == NULL)
		return KMN_E_NO_MEMORY;
	r->last_kind = record->kind;
	r->last.i = record->i;
	memcpy(r->last.leaf, record->leaf, sizeof(r->last.leaf));
	return KMN_OK;
}

/* ---- what is stamped ---------------------------------------------------------------------------------------------- */

/* Over the newest token and its certificates; *body gets what the record says beside the token. */
static kmn_err
renewal_text(struct renewing *r, json_t *body, char **text_out)
{
	struct kmn_anchor_said *said = calloc(1, sizeof(*said));
	struct kmn_renewal_item item = {.ref = r->last, .type = kmn_record_name(r->last_kind)};
	uint8_t *chain = NULL;
	kmn_err e = said == NULL ? KMN_E_NO_MEMORY : KMN_E_CORRUPT;

	if (said != NULL && kmn_anchor_read(r->last_body, said) &&
	    (e = kmn_blob_read(r->store, said->chain_sha256, &chain, &item.chain_len)) == KMN_OK) {
		item.token = said->token;
		item.token_len = said->token_len;
		item.chain = chain;
		e = kmn_renewal_text(r->origin, "sha256", &item, 1, text_out);
	}
	if (e == KMN_OK && json_object_set_new(body, "covers", json_pack("[o]", kmn_ref_json(&r->last))) != 0)
		e = KMN_E_NO_MEMORY;
	if (e != KMN_OK)
		kmn_fail("the time stamp in record %" PRIu64 ": %s", r->last.i, kmn_err_text(e));
	free(chain);
	free(said);
	return e;
}

/* Over all lines and blobs, by their second hash. */
static kmn_err
rehash_text(struct renewing *r, json_t *body, char **text_out)
{
	uint8_t root[KMN_SHA512_BYTES], manifest_sha512[KMN_SHA512_BYTES], manifest_sha256[KMN_HASH_BYTES];
	struct kmn_head old;
	char *manifest = NULL;
	size_t len = 0;
	kmn_err e;

	kmn_log_durable(r->log, &old);
	if ((e = kmn_wide_read(r->store, old.size, root)) == KMN_OK &&
	    (e = kmn_manifest_make(r->store, &manifest, &len)) == KMN_OK &&
	    (e = kmn_log_blob_put(r->log, manifest, len, manifest_sha256)) == KMN_OK) {
		(void)crypto_hash_sha512(manifest_sha512, (const unsigned char *)manifest, len);
		e = kmn_rehash_text(r->origin, &old, root, manifest_sha512, text_out);
	}
	free(manifest);
	if (e == KMN_OK && (json_object_set_new(body, "alg", json_string("sha512")) != 0 ||
			       json_object_set_new(body, "size", json_integer((json_int_t)old.size)) != 0 ||
			       json_object_set_new(body, "old_root", kmn_json_b64(old.root, sizeof(old.root))) != 0 ||
			       json_object_set_new(body, "new_root", kmn_json_b64(root, sizeof(root))) != 0 ||
			       json_object_set_new(body, "manifest_sha256",
				   kmn_json_b64(manifest_sha256, sizeof(manifest_sha256))) != 0))
		e = KMN_E_NO_MEMORY;
	if (e != KMN_OK)
		kmn_fail("%s: %s", r->ledger, kmn_err_text(e));
	return e;
}

/* ---- the TSA ------------------------------------------------------------------------------------------------------ */

/* The command reads the TimeStampReq and writes the TimeStampResp. */
static kmn_err
ask_tsa(const struct renewing *r, const uint8_t *request, size_t len, char **answer_out, size_t *answer_len_out)
{
	char dir[] = "/tmp/kanmon-renew.XXXXXX", query[64], answer[64], *command = NULL;
	kmn_err e = KMN_E_IO;

	if (mkdtemp(dir) == NULL) {
		kmn_fail("%s: %s", dir, strerror(errno));
		return KMN_E_IO;
	}
	(void)snprintf(query, sizeof(query), "%s/query", dir);
	(void)snprintf(answer, sizeof(answer), "%s/answer", dir);
	if (asprintf(&command, "{ %s\n} <%s >%s", r->ask, query, answer) < 0)
		e = KMN_E_NO_MEMORY;
	else if ((e = kmn_file_create(query, request, len, 0600)) == KMN_OK && system(command) != 0) {
		kmn_fail("the command of --ask failed");
		e = KMN_E_DENIED;
	} else if (e == KMN_OK) {
		e = kmn_file_read_or_say(answer, KMN_STAMP_RESPONSE_MAX_BYTES, answer_out, answer_len_out);
	}
	free(command);
	(void)unlink(query);
	(void)unlink(answer);
	(void)rmdir(dir);
	return e;
}

/* A token over the text, good now by the roots that were given; it joins the body. */
static kmn_err
stamp(struct renewing *r, const char *text, const char *alg, json_t *body)
{
	struct kmn_anchor_made made = {.tsa = r->tsa};
	struct kmn_stamp_want want = {0};
	struct kmn_stamp good = {0};
	struct kmn_why why = {""};
	uint8_t *request = NULL, *token = NULL;
	char *answer = NULL;
	size_t len, answer_len = 0, token_len = 0;
	kmn_err e;

	if (!kmn_stamp_imprint(&want, alg, text, strlen(text)))
		return KMN_E_INTERNAL;
	do
		randombytes_buf(&want.nonce, sizeof(want.nonce));
	while (want.nonce == 0);
	if ((e = kmn_stamp_request(&want, &request, &len)) == KMN_OK)
		e = ask_tsa(r, request, len, &answer, &answer_len);
	if (e == KMN_OK &&
	    ((e = kmn_stamp_token((const uint8_t *)answer, answer_len, &token, &token_len, &why)) != KMN_OK ||
		(e = kmn_stamp_verify(token, token_len, &want, r->roots, 0, &good, &why)) != KMN_OK))
		kmn_fail("no time stamp: %s", why.text[0] != '\0' ? why.text : kmn_err_text(e));
	if (e == KMN_OK && (e = kmn_log_blob_put(r->log, good.chain, good.chain_len, made.chain_sha256)) == KMN_OK) {
		made.want = &want;
		made.token = token;
		made.token_len = token_len;
		made.stamp = &good;
		e = kmn_anchor_put(body, &made) ? KMN_OK : KMN_E_NO_MEMORY;
	}
	kmn_stamp_clear(&good);
	free(request);
	free(answer);
	free(token);
	return e;
}

/* ---- the ledger --------------------------------------------------------------------------------------------------- */

static kmn_err
renew(struct renewing *r)
{
	enum kmn_record_kind kind = r->rehash ? KMN_R_REHASH : KMN_R_RENEWAL;
	json_t *body = json_object();
	struct kmn_why why = {""};
	char *text = NULL;
	struct kmn_ref ref;
	kmn_err e;

	if (body == NULL)
		return KMN_E_NO_MEMORY;
	e = r->rehash ? rehash_text(r, body, &text) : renewal_text(r, body, &text);
	if (e == KMN_OK)
		e = stamp(r, text, r->rehash ? "sha512" : "sha256", body);
	free(text);
	if (e != KMN_OK) {
		json_decref(body);
		return e;
	}
	/* gateway.stop once more: the next start finds a ledger that ended in order. */
	if ((e = kmn_log_append(r->log, kind, body, &ref, NULL, &why)) != KMN_OK ||
	    (e = kmn_log_append(r->log, KMN_R_GATEWAY_STOP, json_pack("{s:s}", "reason", "kanmon ledger renew"), NULL,
		 NULL, &why)) != KMN_OK ||
	    (e = kmn_log_wait(r->log)) != KMN_OK)
		kmn_fail("%s: %s %s", r->ledger, kmn_err_text(e), why.text);
	else if (r->rehash)
		printf("record %" PRIu64 ": a time stamp by SHA-512 over all records and blobs\n", ref.i);
	else
		printf("record %" PRIu64 ": a time stamp over that of record %" PRIu64 "\n", ref.i, r->last.i);
	return e;
}

static kmn_err
open_and_renew(struct renewing *r)
{
	struct kmn_log_settings settings = {.secret = r->secret, .store = r->store};
	struct kmn_recovery recovery;
	struct kmn_why why = {""};
	kmn_err e;

	kmn_log_sources_system(&settings.sources);
	if ((e = kmn_ledger_owner(r->ledger)) != KMN_OK)
		return e;
	if ((e = kmn_log_open(&settings, replay, r, &recovery, &r->log, &why)) != KMN_OK) {
		kmn_fail("%s: %s: %s", r->ledger, kmn_err_text(e), why.text);
		return e;
	}
	if (!r->stopped) {
		kmn_fail("the gateway did not end in order, or the ledger is closed: start it once more and stop it");
		e = KMN_E_ARGUMENTS;
	} else if (!r->rehash && r->last_body == NULL) {
		kmn_fail("the ledger has no time stamp that could be renewed");
		e = KMN_E_ARGUMENTS;
	} else {
		e = renew(r);
	}
	if (kmn_log_close(r->log) != KMN_OK && e == KMN_OK)
		e = KMN_E_LEDGER;
	if (kmn_ledger_give(r->ledger) != KMN_OK && e == KMN_OK)
		e = KMN_E_IO;
	return e;
}

int
kmn_cmd_ledger_renew(int argc, char **argv)
{
	struct renewing r = {0};
	const char *words[1];
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("log-key", "FILE", "the ledger's key", &r.key_path),
	    KMN_OPTION_TEXT("tsa", "NAME", "what the record calls the time-stamping authority", &r.tsa),
	    KMN_OPTION_TEXT("roots", "FILE", "PEM of its root, and of what stands between", &r.roots_path),
	    KMN_OPTION_TEXT("ask", "COMMAND", "reads the request, writes the answer (RFC 3161, DER)", &r.ask),
	    KMN_OPTION_FLAG("rehash", "over a second tree by SHA-512, not over the newest token", &r.rehash),
	};
	int parsed = kmn_options_parse(argc, argv, "ledger renew", options, KMN_COUNT_OF(options), words, 1, 1);
	struct kmn_why why = {""};
	char *pem = NULL;
	size_t len;
	kmn_err e = KMN_E_NO_MEMORY;

	if (parsed != KMN_GO_ON)
		return parsed;
	if (r.key_path == NULL || r.tsa == NULL || r.roots_path == NULL || r.ask == NULL)
		return kmn_usage("ledger renew", "--log-key, --tsa, --roots and --ask are needed");
	r.ledger = words[0];
	if (sodium_init() >= 0 && (r.secret = sodium_malloc(crypto_sign_SECRETKEYBYTES)) != NULL &&
	    (e = kmn_log_key_read(r.key_path, r.secret)) == KMN_OK &&
	    (e = kmn_file_read_or_say(r.roots_path, KMN_STAMP_ROOTS_MAX_BYTES, &pem, &len)) == KMN_OK) {
		if ((e = kmn_stamp_roots_load(pem, len, &r.roots, &why)) != KMN_OK)
			kmn_fail("%s: %s", r.roots_path, why.text);
		else if ((e = kmn_store_files(r.ledger, &r.store)) != KMN_OK)
			kmn_fail("%s: %s", r.ledger, kmn_err_text(e));
		else
			e = open_and_renew(&r);
	}
	free(pem);
	json_decref(r.last_body);
	kmn_stamp_roots_free(r.roots);
	if (r.store != NULL)
		kmn_store_files_free(r.store);
	sodium_free(r.secret);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}
