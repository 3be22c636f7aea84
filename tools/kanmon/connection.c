#include "config.h"

#include "tools/kanmon/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/json.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/terminal.h"

#define SPKI_FILE_MAX_BYTES 256
#define SETTINGS_MAX_BYTES 8192

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

static kmn_err
write_settings(const struct kmn_connection *c, const char *spki, const char *path)
{
	char text[SETTINGS_MAX_BYTES];
	int n = snprintf(text, sizeof(text), "gateway = {");

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
	return kmn_file_replace(path, text, (size_t)n, 0644);
}

int
kmn_connection_write(const char *command, const struct kmn_connection *c, const char *path)
{
	char spki[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	kmn_err e;

	if (c->gateways.n == 0 || c->spki_file == NULL || c->origin == NULL)
		return kmn_usage(command, "--gateway, --spki and --origin are needed");
	if (!kmn_settings_can_hold(c->origin) || !kmn_settings_can_hold(c->certificate))
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
