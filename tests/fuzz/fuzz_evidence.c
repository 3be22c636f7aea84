/* What persons sign with, from bytes that nobody vouches for: vkeys, assertions of security keys, registrations. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct kmn_evidence_place place = {"page", "https://example.org", "example.org", true};

/* A vkey that is read is written again as it was. */
static void
take_vkey(const char *text, size_t len)
{
	char again[KMN_EVIDENCE_VKEY_MAX_BYTES];
	struct kmn_evidence_key key;

	if (kmn_evidence_key_parse(text, len, &key, NULL) != KMN_OK)
		return;
	kmn_evidence_key_format(&key, again);
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		abort();
}

/* The point of W3C's vectors: nobody has signed this text by it. */
static void
take_assertion(const uint8_t *sig, size_t len)
{
	static const uint8_t point[64] = {0xaf, 0xef, 0xa1, 0x6f, 0x97, 0xca, 0x9b, 0x2d, 0x23, 0xeb, 0x86, 0xcc, 0xb6,
	    0x40, 0x98, 0xd2, 0x0d, 0xb9, 0x08, 0x56, 0x06, 0x2e, 0xb2, 0x49, 0xc3, 0x3a, 0x9b, 0x67, 0x2f, 0x26, 0xdf,
	    0x61, 0x93, 0x0a, 0x56, 0xb8, 0x7a, 0x2f, 0xca, 0x66, 0x33, 0x4b, 0x03, 0x45, 0x8a, 0xbf, 0x87, 0x97, 0x17,
	    0xc1, 0x2c, 0xc6, 0x8e, 0xd7, 0x32, 0x90, 0xaf, 0x2e, 0x26, 0x64, 0x79, 0x6b, 0x92, 0x20};
	uint8_t spki[KMN_EVIDENCE_PUB_MAX_BYTES];
	struct kmn_evidence_said said;
	struct kmn_evidence_key key;
	size_t spki_len;

	if (kmn_evidence_spki(KMN_EVIDENCE_WEBAUTHN_ES256, point, sizeof(point), spki, &spki_len) != KMN_OK ||
	    kmn_evidence_key_make("sato", KMN_EVIDENCE_WEBAUTHN_ES256, spki, spki_len, &key, NULL) != KMN_OK ||
	    kmn_evidence_verify("a text\n", 7, sig, len, &key, &place, 1, &said, NULL) == KMN_OK || said.signed_it)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_evidence_key key;

	if (len == 0)
		return 0;
	switch (bytes[0]) {
	case 'v':
		take_vkey((const char *)bytes + 1, len - 1);
		break;
	case 'a':
		take_assertion(bytes + 1, len - 1);
		break;
	default:
		if (kmn_evidence_registration("sato", "example.org", bytes + 1, len - 1, &key, NULL) == KMN_OK &&
		    key.pub_len == 0)
			abort();
	}
	return 0;
}
