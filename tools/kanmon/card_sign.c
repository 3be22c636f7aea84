/* Signatures by a card: the card is given a digest, or a DigestInfo, which every card takes; else the text. */
#include "config.h"

#include <openssl/evp.h>
#include <string.h>

#include "kanmon/pkcs11.h"
#include "tools/kanmon/card_inner.h"
#include "tools/kanmon/terminal.h"

#define INPUT_MAX_BYTES 128

/* How a card may be asked for each kind, in the order of preference. */
static const struct way {
	enum kmn_evidence_kind kind;
	CK_MECHANISM_TYPE mechanism;
	const char *digest; /* made here; NULL: the card makes it of the text */
	const char *prefix; /* of a DigestInfo */
	size_t prefix_len;
	bool pss;
} ways[] = {
    {KMN_EVIDENCE_P256, CKM_ECDSA, "SHA256", "", 0, false},
    {KMN_EVIDENCE_P256, CKM_ECDSA_SHA256, NULL, "", 0, false},
    {KMN_EVIDENCE_P384, CKM_ECDSA, "SHA384", "", 0, false},
    {KMN_EVIDENCE_P384, CKM_ECDSA_SHA384, NULL, "", 0, false},
    {KMN_EVIDENCE_PSS, CKM_RSA_PKCS_PSS, "SHA256", "", 0, true},
    {KMN_EVIDENCE_PSS, CKM_SHA256_RSA_PKCS_PSS, NULL, "", 0, true},
    {KMN_EVIDENCE_PKCS1, CKM_RSA_PKCS, "SHA256",
	"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19, false},
    {KMN_EVIDENCE_PKCS1, CKM_SHA256_RSA_PKCS, NULL, "", 0, false},
};

static const struct way *
way_of(const struct kmn_card *card, enum kmn_evidence_kind kind)
{
	CK_MECHANISM_INFO info;

	for (size_t i = 0; i < KMN_COUNT_OF(ways); i++)
		if (ways[i].kind == kind &&
		    card->module->C_GetMechanismInfo(card->slot, ways[i].mechanism, &info) == CKR_OK &&
		    (info.flags & CKF_SIGN) != 0)
			return &ways[i];
	return NULL;
}

kmn_err
kmn_card_kind(const struct kmn_card *card, bool pkcs1, enum kmn_evidence_kind *kind_out)
{
	static const enum kmn_evidence_kind order[] = {
	    KMN_EVIDENCE_P256, KMN_EVIDENCE_P384, KMN_EVIDENCE_PSS, KMN_EVIDENCE_PKCS1};
	struct kmn_evidence_key key;

	for (size_t i = 0; i < KMN_COUNT_OF(order); i++) {
		*kind_out = order[i];
		if ((order[i] != KMN_EVIDENCE_PSS || !pkcs1) && way_of(card, order[i]) != NULL &&
		    kmn_evidence_key_make("card", order[i], card->spki, card->spki_len, &key, NULL) == KMN_OK)
			return KMN_OK;
	}
	kmn_fail("card %s: the key is none that can sign here: P-256, P-384, or RSA from 2,048 bits", card->token);
	return KMN_E_MALFORMED;
}

/* What the card is given: prefix and digest, or the text as it is. */
static kmn_err
input_of(const struct way *way, const char *text, size_t len, uint8_t out[INPUT_MAX_BYTES], CK_BYTE_PTR *input_out,
    CK_ULONG *len_out)
{
	size_t digest_len;

	*input_out = (CK_BYTE_PTR)(uintptr_t)text;
	*len_out = len;
	if (way->digest == NULL)
		return KMN_OK;
	memcpy(out, way->prefix, way->prefix_len);
	if (!EVP_Q_digest(NULL, way->digest, NULL, text, len, out + way->prefix_len, &digest_len))
		return KMN_E_INTERNAL;
	*input_out = out;
	*len_out = way->prefix_len + digest_len;
	return KMN_OK;
}

kmn_err
kmn_card_sign(struct kmn_card *card, enum kmn_evidence_kind kind, const char *text, size_t len,
    uint8_t sig[KMN_NOTE_SIG_MAX_BYTES], size_t *len_out)
{
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
	const struct way *way = way_of(card, kind);
	CK_ULONG input_len, sig_len = KMN_NOTE_SIG_MAX_BYTES;
	uint8_t made[INPUT_MAX_BYTES];
	CK_BYTE_PTR input;
	CK_MECHANISM mechanism = {0};
	CK_RV rv;
	kmn_err e;

	*len_out = 0;
	if (way == NULL) {
		kmn_fail("card %s cannot sign as the policy says (%s)", card->token, kmn_evidence_words(kind));
		return KMN_E_MODULE;
	}
	mechanism.mechanism = way->mechanism;
	mechanism.pParameter = way->pss ? &pss : NULL;
	mechanism.ulParameterLen = way->pss ? sizeof(pss) : 0;
	if ((e = input_of(way, text, len, made, &input, &input_len)) != KMN_OK)
		return e;
	if ((rv = card->module->C_SignInit(card->session, &mechanism, card->key)) != CKR_OK)
		return card_failed(card, "signing", rv);
	if (card->asks_each && (e = card_login(card, CKU_CONTEXT_SPECIFIC)) != KMN_OK)
		return e;
	if ((rv = card->module->C_Sign(card->session, input, input_len, sig, &sig_len)) != CKR_OK)
		return card_failed(card, "signing", rv);
	*len_out = sig_len;
	return KMN_OK;
}
