#include "config.h"

#include "tools/kanmon/signing_key.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/files.h"
#include "tools/kanmon/terminal.h"

kmn_err
kmn_signing_key_open(const char *path, const char *passphrase_file, struct kmn_keyfile **key_out)
{
	char *text = NULL, *passphrase = NULL;
	size_t len;
	kmn_err e;

	*key_out = NULL;
	if ((e = kmn_file_read_or_say(path, KMN_KEYFILE_MAX_BYTES, &text, &len)) != KMN_OK)
		return e;
	if ((e = kmn_passphrase_get("Passphrase of the signing key", passphrase_file, false, &passphrase)) == KMN_OK &&
	    (e = kmn_keyfile_open(text, len, passphrase, strlen(passphrase), key_out)) != KMN_OK)
		kmn_fail("%s: %s", path, kmn_err_text(e));
	sodium_free(passphrase);
	free(text);
	return e;
}
