/* kanmon client: the TLS identity of an application, and the file that tells the provider where the gateway is. */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/note.h"
#include "tools/kanmon/certificate.h"
#include "tools/kanmon/connection.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/terminal.h"

#define POLICY_LINE_MAX_BYTES 4096

/* "a,b" as the policy wants it: "a b". */
static void
words_of_list(char *list)
{
	for (char *at = list; *at != '\0'; at++)
		if (*at == ',')
			*at = ' ';
}

static kmn_err
policy_line(const char *name, const char *spki, const char *tokens, const char *operators, char *out)
{
	char token_words[1024], operator_words[1024] = "";
	int n;

	if (snprintf(token_words, sizeof(token_words), "%s", tokens) >= (int)sizeof(token_words) ||
	    (operators != NULL && snprintf(operator_words, sizeof(operator_words), " operators %s", operators) >=
				      (int)sizeof(operator_words)))
		return KMN_E_TOO_BIG;
	words_of_list(token_words);
	words_of_list(operator_words);
	n = snprintf(
	    out, POLICY_LINE_MAX_BYTES, "client %s spki:%s tokens %s%s\n", name, spki, token_words, operator_words);
	return n > 0 && n < POLICY_LINE_MAX_BYTES ? KMN_OK : KMN_E_TOO_BIG;
}

/* The key with which the client cosigns the heads it accepts, and its public half: client.cosign, client.vkey. */
static kmn_err
write_cosigner(const char *dir, const char *name)
{
	char path[KMN_PATH_MAX_BYTES], public_path[KMN_PATH_MAX_BYTES], vkey_text[KMN_VKEY_MAX_BYTES + 1], id[9];
	uint8_t raw[1 + crypto_sign_SEEDBYTES] = {KMN_NOTE_COSIGNATURE}, pub[crypto_sign_PUBLICKEYBYTES];
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	char b64[KMN_B64_LEN(sizeof(raw)) + 1], text[KMN_VKEY_MAX_BYTES + 32];
	struct kmn_vkey vkey;
	kmn_err e;

	(void)crypto_sign_keypair(pub, secret);
	memcpy(raw + 1, secret, crypto_sign_SEEDBYTES); /* libsodium's secret key begins with the seed */
	kmn_b64(raw, sizeof(raw), b64);
	if ((e = kmn_vkey_make_cosigner(name, pub, &vkey)) == KMN_OK &&
	    (e = kmn_path(path, dir, "client", ".cosign")) == KMN_OK &&
	    (e = kmn_path(public_path, dir, "client", ".vkey")) == KMN_OK) {
		(void)sodium_bin2hex(id, sizeof(id), vkey.id, sizeof(vkey.id));
		(void)snprintf(text, sizeof(text), "PRIVATE+KEY+%s+%s+%s\n", name, id, b64);
		kmn_vkey_format(&vkey, vkey_text);
		strcat(vkey_text, "\n");
		if ((e = kmn_file_create(path, text, strlen(text), 0600)) == KMN_OK &&
		    (e = kmn_file_create(public_path, vkey_text, strlen(vkey_text), 0644)) != KMN_OK)
			unlink(path);
	}
	sodium_memzero(raw, sizeof(raw));
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(b64, sizeof(b64));
	sodium_memzero(text, sizeof(text));
	return e;
}

/* The five files of a new client; all or, with what was made removed, none. */
static kmn_err
write_client(const char *dir, const char *name, const struct kmn_certificate *made, const char *line)
{
	char certificate[KMN_PATH_MAX_BYTES], key[KMN_PATH_MAX_BYTES], policy[KMN_PATH_MAX_BYTES];
	kmn_err e;

	if ((e = kmn_path(certificate, dir, "client", ".crt")) != KMN_OK ||
	    (e = kmn_path(key, dir, "client", ".key")) != KMN_OK ||
	    (e = kmn_path(policy, dir, name, ".policy")) != KMN_OK || (e = kmn_folder_make(dir)) != KMN_OK ||
	    (e = kmn_file_create(key, made->key_pem, strlen(made->key_pem), 0600)) != KMN_OK)
		return e;
	if ((e = kmn_file_create(certificate, made->pem, strlen(made->pem), 0644)) != KMN_OK) {
		unlink(key);
		return e;
	}
	if ((e = kmn_file_create(policy, line, strlen(line), 0644)) == KMN_OK &&
	    (e = write_cosigner(dir, name)) != KMN_OK)
		unlink(policy);
	if (e != KMN_OK) {
		unlink(certificate);
		unlink(key);
	}
	return e;
}

int
kmn_cmd_client_new(int argc, char **argv)
{
	const char *out = NULL, *tokens = NULL, *operators = NULL, *name;
	char line[POLICY_LINE_MAX_BYTES];
	unsigned long days = KMN_CERTIFICATE_DAYS;
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("out", "DIR", "folder for the files; made when it is missing", &out),
	    KMN_OPTION_TEXT("tokens", "NAME,...", "tokens of the policy that it may use", &tokens),
	    KMN_OPTION_TEXT("operators", "NAME,...", "persons who operate it: they cannot approve for it", &operators),
	    KMN_OPTION_NUMBER("days", "N", "how long the certificate is valid (730)", &days),
	    KMN_OPTION_JSON(&json),
	};
	struct kmn_certificate made;
	kmn_err e;
	int verdict = kmn_options_parse(argc, argv, "client new", options, KMN_COUNT_OF(options), &name, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (out == NULL || tokens == NULL || days == 0)
		return kmn_usage("client new", "--out, --tokens and at least one day are needed");
	if ((e = kmn_certificate_new(name, days, &made)) != KMN_OK)
		return kmn_fail("no certificate: %s", kmn_err_text(e));
	if ((e = policy_line(name, made.spki_b64, tokens, operators, line)) == KMN_OK)
		e = write_client(out, name, &made, line);
	if (e == KMN_OK && json)
		kmn_print_json(
		    json_pack("{s:s, s:s, s:s}", "name", name, "spki_sha256", made.spki_b64, "policy", line));
	else if (e == KMN_OK)
		printf("Made %s/client.crt, client.key and client.cosign. The policy needs:\n\n%s", out, line);
	kmn_certificate_clear(&made);
	return e == KMN_OK ? KMN_EXIT_OK : kmn_fail("client %s: %s", name, kmn_err_text(e));
}

/* Whether `client new` made a key for cosigning there. */
static bool
has_cosigner(const char *dir)
{
	char path[KMN_PATH_MAX_BYTES];

	return kmn_path(path, dir, "client", ".cosign") == KMN_OK && access(path, F_OK) == 0;
}

/* Who keeps no head has none to cosign. */
static bool
is_stateless(const struct kmn_connection *c)
{
	return (c->state != NULL && strcmp(c->state, "none") == 0) ||
	       (c->receipts != NULL && strcmp(c->receipts, "off") == 0);
}

int
kmn_cmd_client_config(int argc, char **argv)
{
	char path[KMN_PATH_MAX_BYTES];
	const char *dir;
	struct kmn_connection connection = {.certificate = "client.crt", .key = "client.key"};
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("log", "FILE", "the ledger's public key (log.vkey)", &connection.log_file),
	    KMN_OPTION_TEXT(
		"receipts", "each|batch|off", "how answers' receipts are verified (each)", &connection.receipts),
	    KMN_OPTION_TEXT("state", "DIR", "where the ledger's newest head is kept, or none", &connection.state),
	    KMN_CONNECTION_OPTIONS(&connection),
	};
	int verdict = kmn_options_parse(argc, argv, "client config", options, KMN_COUNT_OF(options), &dir, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (connection.log_file == NULL && (connection.receipts == NULL || strcmp(connection.receipts, "off") != 0))
		return kmn_usage("client config", "--log is needed, or --receipts off");
	if (kmn_path(path, dir, "kanmon", ".conf") != KMN_OK)
		return kmn_usage("client config", "the path is too long");
	connection.cosign_key = has_cosigner(dir) && !is_stateless(&connection) ? "client.cosign" : NULL;
	return kmn_connection_write("client config", &connection, path);
}
