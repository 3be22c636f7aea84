/* What a token says of a public key: u8 kind, u8 length of the first attribute, both attributes. */
#include <openssl/x509.h>
#include <stdlib.h>

#include "server/runner/runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *at;
	EVP_PKEY *read;
	uint8_t *spki;
	size_t first, spki_len;

	if (len < 2)
		return 0;
	first = bytes[1] < len - 2 ? bytes[1] : len - 2;
	if (runner_spki((enum runner_key)(bytes[0] % 3), bytes + 2, first, bytes + 2 + first, len - 2 - first, &spki,
		&spki_len) != KMN_OK) {
		if (spki != NULL)
			abort();
		return 0;
	}
	at = spki;
	if ((read = d2i_PUBKEY(NULL, &at, (long)spki_len)) == NULL || at != spki + spki_len)
		abort();
	EVP_PKEY_free(read);
	free(spki);
	return 0;
}
