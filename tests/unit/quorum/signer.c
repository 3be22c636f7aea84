#include "config.h"

#include "tests/unit/quorum/signer.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct signer_says signer_honest = {.rp_id = SIGNER_RP,
    .type = "webauthn.get",
    .origin = SIGNER_ORIGIN,
    .cross = "false",
    .rest = "}",
    .flags = 0x05,
    .count = 41};

/* RSA keys take long to make: one of each length is enough for a process. */
static EVP_PKEY *
rsa(unsigned bits)
{
	static EVP_PKEY *made;
	static unsigned made_bits;

	if (made_bits != bits) {
		EVP_PKEY_free(made);
		made = EVP_RSA_gen(bits);
		made_bits = bits;
	}
	EVP_PKEY_up_ref(made);
	return made;
}

static EVP_PKEY *
make(enum kmn_evidence_kind kind, unsigned bits)
{
	switch (kind) {
	case KMN_EVIDENCE_P256:
	case KMN_EVIDENCE_WEBAUTHN_ES256:
		return EVP_EC_gen("P-256");
	case KMN_EVIDENCE_P384:
		return EVP_EC_gen("P-384");
	case KMN_EVIDENCE_PSS:
	case KMN_EVIDENCE_PKCS1:
		return rsa(bits);
	default:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	}
}

static void
name_it(struct signer *s, const char *name, enum kmn_evidence_kind kind)
{
	uint8_t raw[KMN_ED25519_PUBLIC_BYTES], *der = NULL, *pub = raw;
	size_t len = sizeof(raw);
	struct kmn_why why = {""};

	if (kind == KMN_EVIDENCE_ED25519) {
		if (EVP_PKEY_get_raw_public_key(s->secret, raw, &len) != 1)
			KMN_BUG("a test key");
	} else {
		len = (size_t)i2d_PUBKEY(s->secret, &der);
		pub = der;
	}
	if (kmn_evidence_key_make(name, kind, pub, len, &s->key, &why) != KMN_OK)
		KMN_BUG(why.text);
	OPENSSL_free(der);
	kmn_evidence_key_format(&s->key, s->vkey);
}

void
signer_init(struct signer *s, const char *name, enum kmn_evidence_kind kind, unsigned bits)
{
	if ((s->secret = make(kind, bits)) == NULL)
		KMN_BUG("a test key");
	name_it(s, name, kind);
}

void
signer_wrap(struct signer *s, const struct signer *of, const char *name, enum kmn_evidence_kind kind)
{
	s->secret = of->secret;
	EVP_PKEY_up_ref(s->secret);
	name_it(s, name, kind);
}

void
signer_clear(struct signer *s)
{
	EVP_PKEY_free(s->secret);
}

/* DER to r || s. */
static size_t
flatten(const uint8_t *der, size_t len, int half, uint8_t *out)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	if (sig == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, half) != half ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, half) != half)
		KMN_BUG("a test signature");
	ECDSA_SIG_free(sig);
	return (size_t)half * 2;
}

static size_t
sign(const struct signer *s, const uint8_t *message, size_t len, uint8_t *out)
{
	static const int half[KMN_EVIDENCE_KIND_COUNT] = {[KMN_EVIDENCE_P256] = 32, [KMN_EVIDENCE_P384] = 48};
	const char *digest = EVP_PKEY_is_a(s->secret, "ED25519") ? NULL
			     : s->key.kind == KMN_EVIDENCE_P384  ? "SHA384"
								 : "SHA256";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey;
	uint8_t der[KMN_NOTE_SIG_MAX_BYTES];
	size_t n = sizeof(der);

	if (EVP_DigestSignInit_ex(ctx, &pkey, digest, NULL, NULL, s->secret, NULL) != 1 ||
	    (s->key.kind == KMN_EVIDENCE_PSS && (EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) != 1 ||
						    EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, 32) != 1)) ||
	    EVP_DigestSign(ctx, der, &n, message, len) != 1)
		KMN_BUG("a test signature");
	EVP_MD_CTX_free(ctx);
	if (half[s->key.kind] != 0)
		return flatten(der, n, half[s->key.kind], out);
	memcpy(out, der, n);
	return n;
}

/* As a client and an authenticator do it together. */
static size_t
answer(const struct signer *s, const char *text, const struct signer_says *says, uint8_t *out)
{
	char client[2048], challenge[KMN_EVIDENCE_CHALLENGE_BYTES];
	uint8_t message[512], sig[KMN_NOTE_SIG_MAX_BYTES];
	const char *of = says->challenge_of != NULL ? says->challenge_of : text;
	size_t data_len = 37 + says->more_len, sig_len, len;

	kmn_evidence_challenge(of, strlen(of), challenge);
	snprintf(client, sizeof(client), "{\"type\":\"%s\",\"challenge\":\"%s\",\"origin\":\"%s\",\"crossOrigin\":%s%s",
	    says->type, challenge, says->origin, says->cross, says->rest);
	if (says->client != NULL)
		snprintf(client, sizeof(client), "%s", says->client);
	kmn_sha256(says->rp_id, strlen(says->rp_id), message);
	message[32] = says->flags;
	for (int i = 0; i < 4; i++)
		message[33 + i] = (uint8_t)(says->count >> (24 - 8 * i));
	if (says->more_len > 0)
		memcpy(message + 37, says->more, says->more_len);
	kmn_sha256(client, strlen(client), message + data_len);
	sig_len = sign(s, message, data_len + 32, sig);
	if (kmn_evidence_assertion(message, data_len, (const uint8_t *)client, strlen(client), sig, sig_len, out,
		KMN_NOTE_SIG_MAX_BYTES, &len) != KMN_OK)
		KMN_BUG("a test assertion");
	return len;
}

size_t
signer_sign(
    const struct signer *s, const char *text, const struct signer_says *says, uint8_t out[KMN_NOTE_SIG_MAX_BYTES])
{
	if (kmn_evidence_is_webauthn(s->key.kind))
		return answer(s, text, says != NULL ? says : &signer_honest, out);
	return sign(s, (const uint8_t *)text, strlen(text), out);
}

char *
signer_note(const struct signer *s, const char *bytes, const struct signer_says *says)
{
	uint8_t sig[KMN_NOTE_SIG_MAX_BYTES];
	char *line, *note, *text = strdup(bytes);
	struct kmn_note parsed;
	size_t len;

	if (kmn_note_parse(bytes, strlen(bytes), &parsed, NULL) == KMN_OK)
		text[parsed.text_len] = '\0';
	len = signer_sign(s, text, says, sig);
	if (kmn_note_line_make(s->key.name, s->key.id, sig, len, &line) != KMN_OK ||
	    kmn_note_add_line(bytes, strlen(bytes), line, &note, &len) != KMN_OK)
		KMN_BUG("a test note");
	free(text);
	free(line);
	return note;
}
