/* How a card looks inside: card.c opens it, card_key.c reads its public key, card_sign.c signs. */
#ifndef KANMON_TOOLS_CARD_INNER_H
#define KANMON_TOOLS_CARD_INNER_H

#include <p11-kit/pkcs11.h>

#include "tools/kanmon/card.h"

#define CARD_VALUE_MAX_BYTES 8192 /* of one attribute: a certificate */

struct kmn_card {
	CK_FUNCTION_LIST *module;
	bool initialized;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	char token[64]; /* its label, for people */
	char *pin;      /* guarded; NULL: the card asks by itself */
	bool asks_each; /* CKA_ALWAYS_AUTHENTICATE: the PIN is given for each signature */
	uint8_t spki[KMN_EVIDENCE_PUB_MAX_BYTES];
	size_t spki_len;
};

/* Says what the card refused, in words of its own; KMN_E_MODULE. */
kmn_err card_failed(const struct kmn_card *card, const char *what, CK_RV rv);
/* The PIN to the card, once; `user` CKU_USER or CKU_CONTEXT_SPECIFIC. */
kmn_err card_login(struct kmn_card *card, CK_USER_TYPE user) KMN_MUST_CHECK;
/* The only object that the template fits; KMN_E_NOT_FOUND: none, KMN_E_EXISTS: several. Silent. */
kmn_err card_find(
    struct kmn_card *card, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object_out) KMN_MUST_CHECK;
/* One attribute's value; KMN_E_NOT_FOUND: the object has none. */
kmn_err card_value(struct kmn_card *card, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
    uint8_t out[CARD_VALUE_MAX_BYTES], size_t *len_out) KMN_MUST_CHECK;
/* card->spki of card->key: from its public half, a certificate beside it, or what it shows itself. */
kmn_err card_read_key(struct kmn_card *card, const char *label) KMN_MUST_CHECK;

#endif
