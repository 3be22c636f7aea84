/* The public half of a card's key. Cards differ in where they show it; what is read is only trusted once it verifies. */
#include "config.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#include "tools/kanmon/card_inner.h"
#include "tools/kanmon/terminal.h"

static kmn_err
keep(struct kmn_card *card, EVP_PKEY *key)
{
	uint8_t *at = card->spki;
	int len = key == NULL ? 0 : i2d_PUBKEY(key, NULL);

	if (len <= 0 || len > (int)sizeof(card->spki))
		return KMN_E_NOT_FOUND;
	card->spki_len = (size_t)i2d_PUBKEY(key, &at);
	return KMN_OK;
}

/* Modulus and exponent, of a public key or of a private one that shows them. */
static kmn_err
from_rsa(struct kmn_card *card, CK_OBJECT_HANDLE object)
{
	uint8_t modulus[CARD_VALUE_MAX_BYTES], exponent[CARD_VALUE_MAX_BYTES];
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *n = NULL, *e = NULL;
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;
	size_t n_len, e_len;
	kmn_err result = KMN_E_NOT_FOUND;

	if (card_value(card, object, CKA_MODULUS, modulus, &n_len) == KMN_OK &&
	    card_value(card, object, CKA_PUBLIC_EXPONENT, exponent, &e_len) == KMN_OK &&
	    (n = BN_bin2bn(modulus, (int)n_len, NULL)) != NULL && (e = BN_bin2bn(exponent, (int)e_len, NULL)) != NULL &&
	    build != NULL && ctx != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) &&
	    (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1)
		result = keep(card, key);
	EVP_PKEY_free(key);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	return result;
}

/* The point, in the OCTET STRING of the specification or, as older modules have it, bare. */
static kmn_err
from_ec(struct kmn_card *card, CK_OBJECT_HANDLE object)
{
	static const struct {
		const char *params;
		size_t params_len, point_len;
		enum kmn_evidence_kind kind;
	} curves[] = {
	    {"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10, 65, KMN_EVIDENCE_P256},
	    {"\x06\x05\x2b\x81\x04\x00\x22", 7, 97, KMN_EVIDENCE_P384},
	};
	uint8_t params[CARD_VALUE_MAX_BYTES], point[CARD_VALUE_MAX_BYTES];
	size_t params_len, len;

	if (card_value(card, object, CKA_EC_PARAMS, params, &params_len) != KMN_OK ||
	    card_value(card, object, CKA_EC_POINT, point, &len) != KMN_OK)
		return KMN_E_NOT_FOUND;
	for (size_t i = 0; i < KMN_COUNT_OF(curves); i++) {
		const uint8_t *at = point;

		if (params_len != curves[i].params_len || memcmp(params, curves[i].params, params_len) != 0)
			continue;
		if (len == curves[i].point_len + 2 && at[0] == 0x04 && at[1] == curves[i].point_len)
			at += 2;
		else if (len != curves[i].point_len)
			break;
		return at[0] == 0x04 ? kmn_evidence_spki(
					   curves[i].kind, at + 1, curves[i].point_len - 1, card->spki, &card->spki_len)
				     : KMN_E_NOT_FOUND;
	}
	return KMN_E_NOT_FOUND;
}

static kmn_err
from_certificate(struct kmn_card *card, CK_OBJECT_HANDLE object)
{
	uint8_t der[CARD_VALUE_MAX_BYTES];
	const uint8_t *at = der;
	X509 *certificate;
	size_t len;
	kmn_err e;

	if (card_value(card, object, CKA_VALUE, der, &len) != KMN_OK ||
	    (certificate = d2i_X509(NULL, &at, (long)len)) == NULL)
		return KMN_E_NOT_FOUND;
	e = keep(card, X509_get0_pubkey(certificate));
	X509_free(certificate);
	return e;
}

kmn_err
card_read_key(struct kmn_card *card, const char *label)
{
	static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_CERTIFICATE};
	uint8_t id[CARD_VALUE_MAX_BYTES];
	size_t id_len;
	bool has_id = card_value(card, card->key, CKA_ID, id, &id_len) == KMN_OK;

	for (size_t i = 0; i < KMN_COUNT_OF(classes) * 2; i++) {
		CK_OBJECT_CLASS class = classes[i / 2];
		CK_ATTRIBUTE by_id[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_ID, id, id_len}};
		CK_ATTRIBUTE by_label[] = {
		    {CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
		CK_OBJECT_HANDLE object;

		if ((i % 2 == 0 && !has_id) || card_find(card, i % 2 == 0 ? by_id : by_label, 2, &object) != KMN_OK)
			continue;
		if ((class == CKO_CERTIFICATE && from_certificate(card, object) == KMN_OK) ||
		    (class == CKO_PUBLIC_KEY && (from_rsa(card, object) == KMN_OK || from_ec(card, object) == KMN_OK)))
			return KMN_OK;
	}
	if (from_rsa(card, card->key) == KMN_OK)
		return KMN_OK;
	kmn_fail("card %s shows no public half of key %s that can be used: RSA, P-256 or P-384, as key or certificate",
	    card->token, label);
	return KMN_E_NOT_FOUND;
}
