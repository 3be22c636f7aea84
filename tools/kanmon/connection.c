#include "config.h"

#include "tools/kanmon/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/json.h"
#include "kanmon/note.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/terminal.h"

#define SPKI_FILE_MAX_BYTES 256
#define SETTINGS_MAX_BYTES 16384

/* The one line of gateway.spki: base64 of a SHA-256. */
static kmn_err
read_spki(const char *path, char b64_out[KMN_B64_LEN(KMN_HASH_BYTES) + 1])
{
	uint8_t hash[KMN_HASH_BYTES];
	char *text;
	size_t len, hash_len = 0;
	kmn_err e = kmn_file_read_or_say(path, SPKI_FILE_MAX_BYTES, &text, &len);

	if (e != KMN_OK)
		return e;
	text[strcspn(text, "\r\n")] = '\0';
	e = kmn_b64_parse(text, strlen(text), hash, sizeof(hash), &hash_len);
	if (e != KMN_OK || hash_len != sizeof(hash)) {
		kmn_fail("%s is not a SHA-256 in base64", path);
		e = KMN_E_MALFORMED;
	} else {
		kmn_b64(hash, sizeof(hash), b64_out);
	}
	free(text);
	return e;
}

/* The lines of a log.vkey file: one vkey each, as many as the log has keys. */
static kmn_err
read_log_keys(const char *path, char *text_out, size_t size)
{
	char *file, *rest, *line;
	struct kmn_vkey vkey;
	size_t len, n = 0;
	kmn_err e = kmn_file_read_or_say(path, SETTINGS_MAX_BYTES / 2, &file, &len);

	if (e != KMN_OK)
		return e;
	text_out[0] = '\0';
	for (line = strtok_r(file, "\r\n", &rest); e == KMN_OK && line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
		e = kmn_vkey_parse(line, strlen(line), &vkey);
		if (e == KMN_OK && strlen(text_out) + strlen(line) + 5 > size)
			e = KMN_E_TOO_BIG;
		if (e == KMN_OK)
			sprintf(text_out + strlen(text_out), "%s\"%s\"", n++ > 0 ? ", " : "", line);
	}
	if (e == KMN_OK && n == 0)
		e = KMN_E_MALFORMED;
	if (e != KMN_OK)
		kmn_fail("%s has not a vkey in each line", path);
	free(file);
	return e;
}

/* What the provider needs of the ledger. */
static kmn_err
put_receipts(const struct kmn_connection *c, char *text, size_t size)
{
	char keys[SETTINGS_MAX_BYTES / 2];
	size_t n = strlen(text);
	kmn_err e;

	if (c->log_file != NULL && (e = read_log_keys(c->log_file, keys, sizeof(keys))) != KMN_OK)
		return e;
	if (c->log_file != NULL)
		n += (size_t)snprintf(text + n, size - n, "log-key = {%s}\n", keys);
	if (c->receipts != NULL && n < size)
		n += (size_t)snprintf(text + n, size - n, "receipts = %s\n", c->receipts);
	if (c->state != NULL && n < size)
		n += (size_t)snprintf(text + n, size - n, "state = \"%s\"\n", c->state);
	if (c->more != NULL && n < size)
		n += (size_t)snprintf(text + n, size - n, "%s", c->more);
	if (c->cosign_key != NULL && n < size)
		n += (size_t)snprintf(text + n, size - n, "cosign-key = \"%s\"\n", c->cosign_key);
	return n < size ? KMN_OK : KMN_E_TOO_BIG;
}

static kmn_err
write_settings(const struct kmn_connection *c, const char *spki, const char *path)
{
	char text[SETTINGS_MAX_BYTES];
	int n = snprintf(text, sizeof(text), "gateway = {");
	kmn_err e;

	for (size_t i = 0; i < c->gateways.n && n < (int)sizeof(text); i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s\"%s\"", i > 0 ? ", " : "", c->gateways.text[i]);
	if (n < (int)sizeof(text))
		n += snprintf(text + n, sizeof(text) - (size_t)n,
		    "}\ngateway-spki = \"%s\"\norigin = \"%s\"\ncertificate = \"%s\"\nkey = \"%s\"\n", spki, c->origin,
		    c->certificate, c->key);
	if (c->quorum_wait_s > 0 && n < (int)sizeof(text))
		n += snprintf(text + n, sizeof(text) - (size_t)n, "quorum-wait = %lu\n", c->quorum_wait_s);
	if (n >= (int)sizeof(text))
		return KMN_E_TOO_BIG;
	if ((e = put_receipts(c, text, sizeof(text))) != KMN_OK)
		return e;
	return kmn_file_replace(path, text, strlen(text), 0644);
}

int
kmn_connection_write(const char *command, const struct kmn_connection *c, const char *path)
{
	char spki[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	kmn_err e;

	if (c->gateways.n == 0 || c->spki_file == NULL || c->origin == NULL)
		return kmn_usage(command, "--gateway, --spki and --origin are needed");
	if (c->receipts != NULL && strcmp(c->receipts, "each") != 0 && strcmp(c->receipts, "batch") != 0 &&
	    strcmp(c->receipts, "off") != 0)
		return kmn_usage(command, "--receipts is each, batch or off");
	if (!kmn_settings_can_hold(c->origin) || !kmn_settings_can_hold(c->certificate) ||
	    (c->state != NULL && !kmn_settings_can_hold(c->state)))
		return kmn_usage(command, "a quotation mark, '$' or backslash cannot stand in a name");
	for (size_t i = 0; i < c->gateways.n; i++)
		if (!kmn_settings_can_hold(c->gateways.text[i]))
			return kmn_usage(command, "'%s' is no address", c->gateways.text[i]);
	if ((e = read_spki(c->spki_file, spki)) != KMN_OK || (e = write_settings(c, spki, path)) != KMN_OK)
		return kmn_fail("%s was not written: %s", path, kmn_err_text(e));
	if (c->json)
		kmn_print_json(json_pack("{s:s, s:s}", "written", path, "gateway_spki", spki));
	else
		printf("Wrote %s.\n", path);
	return KMN_EXIT_OK;
}
