/*
 * A file that an operator wants signed: told what it is, put together with a signature, and the same each time. The first
 * byte chooses the mechanism.
 */
#include "kanmon/whole.h"

#include <stdlib.h>
#include <string.h>

static const char *const mechanisms[] = {
    "CKM_SHA256_RSA_PKCS", "CKM_SHA384_RSA_PKCS_PSS", "CKM_ECDSA_SHA256", "CKM_EDDSA", "CKM_NO_SUCH"};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool
holds(const struct kmn_whole *whole, const uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at + len <= whole->len; at++)
		if (memcmp(whole->bytes + at, bytes, len) == 0)
			return true;
	return false;
}

/* What was signed stands in the whole. */
static void
make(const char *mechanism, const uint8_t *bytes, size_t len)
{
	static const uint8_t signature[64] = {0, 0x80, 1};
	struct kmn_whole whole, again;

	if (kmn_whole_make(mechanism, bytes, len, signature, sizeof(signature), &whole) != KMN_OK ||
	    kmn_whole_make(mechanism, bytes, len, signature, sizeof(signature), &again) != KMN_OK)
		abort();
	if (whole.len != again.len || memcmp(whole.bytes, again.bytes, whole.len) != 0 || whole.form != again.form)
		abort();
	if (strcmp(whole.form, "signature") == 0 ? whole.len != sizeof(signature) : !holds(&whole, bytes, len))
		abort();
	free(whole.bytes);
	free(again.bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *mechanism;
	struct kmn_why why = {""};
	uint8_t *spki;
	size_t spki_len;
	kmn_err e;

	if (len == 0)
		return 0;
	mechanism = mechanisms[bytes[0] % KMN_COUNT_OF(mechanisms)];
	bytes++;
	len--;
	e = kmn_whole_check(mechanism, bytes, len, &why);
	if (e != KMN_OK && (e != KMN_E_ARGUMENTS || why.text[0] == '\0'))
		abort();
	make(mechanism, bytes, len);
	if (kmn_whole_request_key(bytes, len, &spki, &spki_len) != (spki != NULL && spki_len > 0))
		abort();
	free(spki);
	return 0;
}
