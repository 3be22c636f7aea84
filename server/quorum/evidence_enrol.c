/* The public key of a security key, out of what it answered when it was made. */
#include "config.h"

#include <string.h>

#include "kanmon/reader.h"
#include "server/quorum/evidence.h"

#define HEAD_BYTES 37 /* RP id hash, flags, count */
#define AAGUID_BYTES 16
#define CREDENTIAL_ID_MAX_BYTES 1023
#define COSE_MAX_BYTES 77
#define ED 0x80 /* extensions follow the key */

/*
 * COSE_Key in CTAP2's canonical form has one form only for each algorithm: these bytes, x, and for P-256 three more and
 * y. So no CBOR is parsed.
 */
static const struct {
	enum kmn_evidence_kind kind;
	const char *head;
	size_t head_len, len; /* of the whole */
} forms[] = {
    {KMN_EVIDENCE_WEBAUTHN_ES256, "\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20", 10, 77}, /* -7 */
    {KMN_EVIDENCE_WEBAUTHN_ES256, "\xa5\x01\x02\x03\x28\x20\x01\x21\x58\x20", 10, 77}, /* -9 */
    {KMN_EVIDENCE_WEBAUTHN_EDDSA, "\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20", 10, 42}, /* -8 */
    {KMN_EVIDENCE_WEBAUTHN_EDDSA, "\xa4\x01\x01\x03\x32\x20\x06\x21\x58\x20", 10, 42}, /* -19 */
};
static const char between[] = "\x22\x58\x20"; /* x and y */

/* Bare key material out of a COSE_Key at the start of `cose`; false: it is none of these forms. */
static bool
read_cose(
    const uint8_t *cose, size_t len, bool more, enum kmn_evidence_kind *kind_out, uint8_t bare[64], size_t *bare_len)
{
	for (size_t i = 0; i < KMN_COUNT_OF(forms); i++) {
		bool two = forms[i].len == COSE_MAX_BYTES;
		const uint8_t *x;

		if (len < forms[i].len || (len > forms[i].len) != more ||
		    memcmp(cose, forms[i].head, forms[i].head_len) != 0)
			continue;
		x = cose + forms[i].head_len;
		if (two && memcmp(x + 32, between, sizeof(between) - 1) != 0)
			continue;
		memcpy(bare, x, 32);
		if (two)
			memcpy(bare + 32, x + 32 + sizeof(between) - 1, 32);
		*kind_out = forms[i].kind;
		*bare_len = two ? 64 : 32;
		return true;
	}
	return false;
}

kmn_err
kmn_evidence_registration(const char *name, const char *rp_id, const uint8_t *data, size_t len,
    struct kmn_evidence_key *key_out, struct kmn_why *why)
{
	const char *wrong = evidence_data_wrong(data, len, rp_id, true);
	uint8_t skipped[CREDENTIAL_ID_MAX_BYTES], bare[64], spki[KMN_EVIDENCE_PUB_MAX_BYTES];
	enum kmn_evidence_kind kind;
	const uint8_t *cose;
	size_t id_len, cose_len, bare_len, spki_len;
	struct kmn_reader r;
	kmn_err e;

	memset(key_out, 0, sizeof(*key_out));
	if (wrong != NULL) {
		kmn_why_set(why, "the registration: %s", wrong);
		return KMN_E_MALFORMED;
	}
	kmn_reader_init(&r, data + HEAD_BYTES, len - HEAD_BYTES);
	kmn_reader_raw(&r, skipped, AAGUID_BYTES);
	id_len = kmn_reader_u16(&r);
	if (r.err == KMN_OK && id_len <= sizeof(skipped))
		kmn_reader_raw(&r, skipped, id_len);
	else
		kmn_reader_fail(&r, KMN_E_TOO_BIG);
	cose_len = kmn_reader_rest(&r, &cose);
	if (kmn_reader_end(&r) != KMN_OK ||
	    !read_cose(cose, cose_len, (data[KMN_HASH_BYTES] & ED) != 0, &kind, bare, &bare_len)) {
		kmn_why_set(why, "the registration holds no key of ES256 or EdDSA");
		return KMN_E_MALFORMED;
	}
	if ((e = kmn_evidence_spki(kind, bare, bare_len, spki, &spki_len)) != KMN_OK)
		return e;
	return kmn_evidence_key_make(name, kind, spki, spki_len, key_out, why);
}
