#include "config.h"

#include "kanmon/evidence.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "server/quorum/evidence.h"

#define PRIVATE_TYPE 0xff /* c2sp.org/signed-note: an identifier follows; here it ends with a zero byte */
#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192
#define ECDSA_MAX_BYTES 96 /* r || s of P-384 */
#define ECDSA_DER_MAX_BYTES 112

/* How a public key of a type is written. A fixed header is all of its DER but the point. */
enum form { ED25519_RAW, ED25519, P256, P384, RSA_KEY };

static const uint8_t ed25519_header[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t p256_header[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
static const uint8_t p384_header[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04};

static const struct {
	const char *words;
	const uint8_t *header;
	size_t header_len, len; /* len 0: as DER says */
} forms[] = {
    [ED25519_RAW] = {"an Ed25519 key", NULL, 0, KMN_ED25519_PUBLIC_BYTES},
    [ED25519] = {"an Ed25519 key", ed25519_header, sizeof(ed25519_header), sizeof(ed25519_header) + 32},
    [P256] = {"a P-256 key", p256_header, sizeof(p256_header), sizeof(p256_header) + 64},
    [P384] = {"a P-384 key", p384_header, sizeof(p384_header), sizeof(p384_header) + 96},
    [RSA_KEY] = {"an RSA key", NULL, 0, 0},
};

enum algorithm { EDDSA, ECDSA_SHA256, ECDSA_SHA256_DER, ECDSA_SHA384, RSA_PSS_SHA256, RSA_PKCS1_SHA256 };

static const struct {
	const char *digest;
	int half;    /* bytes of r and of s; 0: no ECDSA, or DER */
	int padding; /* RSA; 0: none */
} algorithms[] = {
    [EDDSA] = {NULL, 0, 0},
    [ECDSA_SHA256] = {"SHA256", 32, 0},
    [ECDSA_SHA256_DER] = {"SHA256", 0, 0},
    [ECDSA_SHA384] = {"SHA384", 48, 0},
    [RSA_PSS_SHA256] = {"SHA256", 0, RSA_PKCS1_PSS_PADDING},
    [RSA_PKCS1_SHA256] = {"SHA256", 0, RSA_PKCS1_PADDING},
};

struct type {
	const char *id, *words;
	enum algorithm algorithm;
	enum form form;
	bool webauthn;
};

#define TYPE_OF(kind, id, words, algorithm, form, webauthn) [kind] = {id, words, algorithm, form, webauthn},
static const struct type types[KMN_EVIDENCE_KIND_COUNT] = {KMN_EVIDENCE_ROWS(TYPE_OF)};

const char *
kmn_evidence_words(enum kmn_evidence_kind kind)
{
	return types[kind].words;
}

bool
kmn_evidence_is_webauthn(enum kmn_evidence_kind kind)
{
	return types[kind].webauthn;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

void
kmn_evidence_ed25519_spki(const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], uint8_t sha256_out[KMN_HASH_BYTES])
{
	uint8_t spki[sizeof(ed25519_header) + KMN_ED25519_PUBLIC_BYTES];

	memcpy(spki, ed25519_header, sizeof(ed25519_header));
	memcpy(spki + sizeof(ed25519_header), pub, KMN_ED25519_PUBLIC_BYTES);
	kmn_sha256(spki, sizeof(spki), sha256_out);
}

kmn_err
kmn_evidence_spki(enum kmn_evidence_kind kind, const uint8_t *bare, size_t len, uint8_t out[KMN_EVIDENCE_PUB_MAX_BYTES],
    size_t *len_out)
{
	enum form form = types[kind].form;

	*len_out = 0;
	if (forms[form].header_len == 0 || forms[form].len != forms[form].header_len + len)
		return KMN_E_MALFORMED;
	memcpy(out, forms[form].header, forms[form].header_len);
	memcpy(out + forms[form].header_len, bare, len);
	*len_out = forms[form].len;
	return KMN_OK;
}

/* The key of a SubjectPublicKeyInfo that, written again, is the same bytes; EVP_PKEY_free(). */
static EVP_PKEY *
read_spki(const uint8_t *der, size_t len)
{
	const uint8_t *at = der;
	uint8_t *again = NULL;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)len);
	int again_len = key == NULL ? -1 : i2d_PUBKEY(key, &again);

	if (again_len < 0 || (size_t)again_len != len || memcmp(again, der, len) != 0) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	OPENSSL_free(again);
	return key;
}

/* Not short, an exponent that is one: an exponent of 1 would verify anything, small ones make old mistakes costly. */
static bool
rsa_ok(const EVP_PKEY *key)
{
	BIGNUM *n = NULL, *e = NULL;
	int bits = EVP_PKEY_get_bits(key);
	bool ok = EVP_PKEY_is_a(key, "RSA") && bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS && bits % 8 == 0 &&
		  EVP_PKEY_get_bn_param(key, "n", &n) && BN_is_odd(n) && EVP_PKEY_get_bn_param(key, "e", &e) &&
		  BN_is_odd(e) && BN_num_bits(e) >= 17 && BN_num_bits(e) <= 64;

	BN_free(n);
	BN_free(e);
	return ok;
}

static bool
on_curve(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

/* Small-order and non-canonical points are refused here as at every signature: by libsodium. */
static bool
ed25519_ok(const uint8_t pub[KMN_ED25519_PUBLIC_BYTES])
{
	uint8_t unused[crypto_scalarmult_curve25519_BYTES];

	return crypto_sign_ed25519_pk_to_curve25519(unused, pub) == 0;
}

/* The 32 bytes of an Ed25519 key, in whichever of its two forms. */
static const uint8_t *
ed25519_of(const struct kmn_evidence_key *key)
{
	return key->pub + forms[types[key->kind].form].header_len;
}

static bool
pub_ok(enum form form, const uint8_t *pub, size_t len)
{
	EVP_PKEY *key;
	bool ok;

	if ((forms[form].len != 0 && len != forms[form].len) || len < forms[form].header_len ||
	    (forms[form].header_len != 0 && memcmp(pub, forms[form].header, forms[form].header_len) != 0))
		return false;
	if (form == ED25519_RAW || form == ED25519)
		return ed25519_ok(pub + forms[form].header_len);
	if ((key = read_spki(pub, len)) == NULL)
		return false;
	ok = form == RSA_KEY ? rsa_ok(key) : on_curve(key);
	EVP_PKEY_free(key);
	return ok;
}

/* What stands in the vkey before the public key: 0x01, or 0xff, the id, 0x00. */
static size_t
type_prefix(const struct type *type, uint8_t out[2 + KMN_EVIDENCE_ID_MAX_BYTES])
{
	size_t len = strlen(type->id);

	if (len == 0) {
		out[0] = KMN_NOTE_ED25519;
		return 1;
	}
	out[0] = PRIVATE_TYPE;
	memcpy(out + 1, type->id, len + 1);
	return len + 2;
}

/* Type and public key as the vkey's base64 has them. */
static size_t
typed_key(const struct kmn_evidence_key *key, uint8_t out[2 + KMN_EVIDENCE_ID_MAX_BYTES + KMN_EVIDENCE_PUB_MAX_BYTES])
{
	size_t prefix = type_prefix(&types[key->kind], out);

	memcpy(out + prefix, key->pub, key->pub_len);
	return prefix + key->pub_len;
}

kmn_err
kmn_evidence_key_make(const char *name, enum kmn_evidence_kind kind, const uint8_t *pub, size_t pub_len,
    struct kmn_evidence_key *out, struct kmn_why *why)
{
	uint8_t typed[2 + KMN_EVIDENCE_ID_MAX_BYTES + KMN_EVIDENCE_PUB_MAX_BYTES];
	enum form form = types[kind].form;

	memset(out, 0, sizeof(*out));
	if (!kmn_note_name_ok(name, strlen(name))) {
		kmn_why_set(why, "'%.60s' cannot be the name of a key", name);
		return KMN_E_MALFORMED;
	}
	if (pub_len > sizeof(out->pub) || !pub_ok(form, pub, pub_len)) {
		kmn_why_set(why, "not %s that is accepted (weak, off its curve, or not in its one DER form)",
		    forms[form].words);
		return KMN_E_MALFORMED;
	}
	strcpy(out->name, name);
	out->kind = kind;
	out->pub_len = pub_len;
	memcpy(out->pub, pub, pub_len);
	if (form == ED25519_RAW)
		kmn_evidence_ed25519_spki(pub, out->spki_sha256);
	else
		kmn_sha256(pub, pub_len, out->spki_sha256);
	kmn_note_key_id(name, typed, typed_key(out, typed), out->id);
	return KMN_OK;
}

void
kmn_evidence_key_format(const struct kmn_evidence_key *key, char out[KMN_EVIDENCE_VKEY_MAX_BYTES])
{
	uint8_t typed[2 + KMN_EVIDENCE_ID_MAX_BYTES + KMN_EVIDENCE_PUB_MAX_BYTES];
	size_t len = typed_key(key, typed);
	int at = snprintf(out, KMN_EVIDENCE_VKEY_MAX_BYTES, "%s+%02x%02x%02x%02x+", key->name, key->id[0], key->id[1],
	    key->id[2], key->id[3]);

	kmn_b64(typed, len, out + at);
}

/* The type whose prefix the bytes begin with. */
static bool
type_of(const uint8_t *typed, size_t len, enum kmn_evidence_kind *kind_out, size_t *prefix_out)
{
	uint8_t prefix[2 + KMN_EVIDENCE_ID_MAX_BYTES];

	for (unsigned kind = 0; kind < KMN_EVIDENCE_KIND_COUNT; kind++) {
		*prefix_out = type_prefix(&types[kind], prefix);
		*kind_out = kind;
		if (len > *prefix_out && memcmp(typed, prefix, *prefix_out) == 0)
			return true;
	}
	return false;
}

/* Parts at the first two '+', makes the key of them, writes it again: only the one form is a vkey. */
kmn_err
kmn_evidence_key_parse(const char *vkey, size_t len, struct kmn_evidence_key *out, struct kmn_why *why)
{
	uint8_t typed[2 + KMN_EVIDENCE_ID_MAX_BYTES + KMN_EVIDENCE_PUB_MAX_BYTES];
	char name[KMN_NOTE_NAME_MAX_BYTES + 1], again[KMN_EVIDENCE_VKEY_MAX_BYTES];
	const char *plus = memchr(vkey, '+', len), *second;
	size_t name_len = plus == NULL ? 0 : (size_t)(plus - vkey), typed_len, prefix;
	enum kmn_evidence_kind kind;
	kmn_err e;

	memset(out, 0, sizeof(*out));
	second = plus == NULL ? NULL : memchr(plus + 1, '+', len - name_len - 1);
	if (second == NULL || name_len >= sizeof(name) ||
	    kmn_b64_parse(second + 1, len - (size_t)(second + 1 - vkey), typed, sizeof(typed), &typed_len) != KMN_OK) {
		kmn_why_set(why, "not a verifier key (name+id+key)");
		return KMN_E_MALFORMED;
	}
	if (!type_of(typed, typed_len, &kind, &prefix)) {
		kmn_why_set(why, "a verifier key of a type that signs for no person");
		return KMN_E_MALFORMED;
	}
	memcpy(name, vkey, name_len);
	name[name_len] = '\0';
	if ((e = kmn_evidence_key_make(name, kind, typed + prefix, typed_len - prefix, out, why)) != KMN_OK)
		return e;
	kmn_evidence_key_format(out, again);
	if (strlen(again) == len && memcmp(again, vkey, len) == 0)
		return KMN_OK;
	memset(out, 0, sizeof(*out));
	kmn_why_set(why, "the key's id is not that of its name and key");
	return KMN_E_MALFORMED;
}

/* ---- signatures -------------------------------------------------------------------------------------------------- */

/* r || s, as PKCS#11 has it, in DER, as OpenSSL wants it; 0: it cannot be one. */
static size_t
ecdsa_der(const uint8_t *sig, size_t sig_len, int half, uint8_t out[ECDSA_DER_MAX_BYTES])
{
	ECDSA_SIG *parsed = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(sig, half, NULL), *s = BN_bin2bn(sig + half, half, NULL);
	int len = 0;

	if (parsed != NULL && r != NULL && s != NULL && sig_len == (size_t)half * 2 && ECDSA_SIG_set0(parsed, r, s)) {
		r = s = NULL;
		len = i2d_ECDSA_SIG(parsed, NULL);
		len = len > 0 && len <= ECDSA_DER_MAX_BYTES ? i2d_ECDSA_SIG(parsed, &out) : 0;
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(parsed);
	return len > 0 ? (size_t)len : 0;
}

static bool
verify_by(EVP_PKEY *key, enum algorithm a, const uint8_t *message, size_t len, const uint8_t *sig, size_t sig_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey = NULL;
	bool ok = ctx != NULL &&
		  EVP_DigestVerifyInit_ex(ctx, &pkey, algorithms[a].digest, NULL, NULL, key, NULL) == 1 &&
		  (algorithms[a].padding == 0 || (sig_len == (size_t)EVP_PKEY_get_size(key) &&
						     EVP_PKEY_CTX_set_rsa_padding(pkey, algorithms[a].padding) == 1)) &&
		  (algorithms[a].padding != RSA_PKCS1_PSS_PADDING ||
		      (EVP_PKEY_CTX_set_rsa_mgf1_md_name(pkey, algorithms[a].digest, NULL) == 1 &&
			  EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
		  EVP_DigestVerify(ctx, sig, sig_len, message, len) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool
evidence_signature_ok(
    const struct kmn_evidence_key *key, const uint8_t *message, size_t len, const uint8_t *sig, size_t sig_len)
{
	enum algorithm a = types[key->kind].algorithm;
	uint8_t der[ECDSA_DER_MAX_BYTES];
	EVP_PKEY *pkey;
	bool ok;

	if (a == EDDSA)
		return sig_len == crypto_sign_BYTES &&
		       crypto_sign_verify_detached(sig, message, len, ed25519_of(key)) == 0;
	if (algorithms[a].half != 0) {
		if (sig_len != (size_t)algorithms[a].half * 2 ||
		    (sig_len = ecdsa_der(sig, sig_len, algorithms[a].half, der)) == 0)
			return false;
		sig = der;
	}
	pkey = read_spki(key->pub, key->pub_len);
	ok = pkey != NULL && verify_by(pkey, a, message, len, sig, sig_len);
	EVP_PKEY_free(pkey);
	return ok;
}

kmn_err
kmn_evidence_verify(const char *text, size_t len, const uint8_t *sig, size_t sig_len,
    const struct kmn_evidence_key *key, const struct kmn_evidence_place *places, size_t place_count,
    struct kmn_evidence_said *said, struct kmn_why *why)
{
	kmn_err e = KMN_OK;

	memset(said, 0, sizeof(*said));
	if (types[key->kind].webauthn) {
		e = evidence_webauthn_verify(text, len, sig, sig_len, key, places, place_count, said, why);
	} else if (evidence_signature_ok(key, (const uint8_t *)text, len, sig, sig_len)) {
		said->independent = true;
	} else {
		kmn_why_set(why, "the signature of %s does not verify", key->name);
		e = KMN_E_SIGNATURE;
	}
	said->signed_it = e == KMN_OK;
	return e;
}
