/*
 * A key is read once, and what OpenSSL prepares to verify by it is used again:
 * for ECDSA that is the twentieth part of a verification. Who verifies takes a
 * prepared context out of its place and puts it back; two threads never have
 * one at a time.
 */
#include "config.h"

#include "server/quorum/pubkey.h"

#include <openssl/ec.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#define IDLE_MAX 8 /* contexts kept; with more threads at once, some make their own */

struct kmn_public_key {
	EVP_PKEY *pkey;
	bool ec;
	_Atomic(EVP_PKEY_CTX *) idle[IDLE_MAX];
};

kmn_err
kmn_operation_read_key(const uint8_t *spki, size_t spki_len, struct kmn_public_key **key_out)
{
	struct kmn_public_key *key = calloc(1, sizeof(*key));
	const uint8_t *at = spki;

	*key_out = NULL;
	if (key == NULL)
		return KMN_E_NO_MEMORY;
	key->pkey = d2i_PUBKEY_ex(NULL, &at, (long)spki_len, NULL, NULL);
	if (key->pkey == NULL || at != spki + spki_len) {
		kmn_operation_free_key(key);
		return KMN_E_MALFORMED;
	}
	key->ec = EVP_PKEY_is_a(key->pkey, "EC") == 1;
	*key_out = key;
	return KMN_OK;
}

void
kmn_operation_free_key(struct kmn_public_key *key)
{
	if (key == NULL)
		return;
	for (size_t n = 0; n < IDLE_MAX; n++)
		EVP_PKEY_CTX_free(atomic_load(&key->idle[n]));
	EVP_PKEY_free(key->pkey);
	free(key);
}

EVP_PKEY *
public_key_peek(const struct kmn_public_key *key)
{
	return key->pkey;
}

/* One that is ready to verify; NULL: out of memory, or a key that cannot. */
static EVP_PKEY_CTX *
take_context(struct kmn_public_key *key)
{
	EVP_PKEY_CTX *ctx;

	for (size_t n = 0; n < IDLE_MAX; n++)
		if ((ctx = atomic_exchange(&key->idle[n], NULL)) != NULL)
			return ctx;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	if (ctx != NULL && EVP_PKEY_verify_init(ctx) == 1)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

static void
put_context(struct kmn_public_key *key, EVP_PKEY_CTX *ctx)
{
	for (size_t n = 0; n < IDLE_MAX; n++) {
		EVP_PKEY_CTX *none = NULL;

		if (atomic_compare_exchange_strong(&key->idle[n], &none, ctx))
			return;
	}
	EVP_PKEY_CTX_free(ctx);
}

/* r || s of PKCS#11 as the DER that OpenSSL reads. */
static int
ecdsa_der(const uint8_t *rs, size_t len, uint8_t **der_out)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(rs, (int)(len / 2), NULL), *s = BN_bin2bn(rs + len / 2, (int)(len / 2), NULL);
	int n = -1;

	*der_out = NULL;
	if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s)) {
		r = s = NULL;
		n = i2d_ECDSA_SIG(sig, der_out);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return n;
}

kmn_err
public_key_verify_ecdsa(
    struct kmn_public_key *key, const uint8_t *digest, size_t digest_len, const uint8_t *sig, size_t sig_len)
{
	EVP_PKEY_CTX *ctx;
	uint8_t *der = NULL;
	bool good;
	int n;

	if (!key->ec || sig_len == 0 || sig_len % 2 != 0 || sig_len > 512)
		return KMN_E_SIGNATURE;
	if ((ctx = take_context(key)) == NULL)
		return KMN_E_NO_MEMORY;
	n = ecdsa_der(sig, sig_len, &der);
	good = n > 0 && EVP_PKEY_verify(ctx, der, (size_t)n, digest, digest_len) == 1;
	OPENSSL_free(der);
	if (good)
		put_context(key, ctx);
	else
		EVP_PKEY_CTX_free(ctx); /* what a failure leaves in one is not for the next */
	return good ? KMN_OK : KMN_E_SIGNATURE;
}

kmn_err
public_key_verify_eddsa(
    const struct kmn_public_key *key, const uint8_t *data, size_t len, const uint8_t *sig, size_t sig_len)
{
	uint8_t pub[crypto_sign_PUBLICKEYBYTES];
	size_t pub_len = sizeof(pub);
	EVP_MD_CTX *ctx;
	bool good;

	if (EVP_PKEY_is_a(key->pkey, "ED25519")) {
		if (!EVP_PKEY_get_raw_public_key(key->pkey, pub, &pub_len) || sig_len != crypto_sign_BYTES)
			return KMN_E_SIGNATURE;
		return crypto_sign_verify_detached(sig, data, len, pub) == 0 ? KMN_OK : KMN_E_SIGNATURE;
	}
	ctx = EVP_MD_CTX_new();
	good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
	       EVP_DigestVerify(ctx, sig, sig_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	return good ? KMN_OK : KMN_E_SIGNATURE;
}
