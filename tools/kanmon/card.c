#include "config.h"

#include "tools/kanmon/card_inner.h"

#include <p11-kit/p11-kit.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/kanmon/terminal.h"

#define SLOTS_MAX 64
#define LABEL_BYTES 32 /* of CK_TOKEN_INFO, padded with blanks */

static const struct {
	CK_RV rv;
	const char *words;
} known[] = {
    {CKR_PIN_INCORRECT, "the PIN is wrong. It was tried once and not again: the card counts"},
    {CKR_PIN_LEN_RANGE, "the PIN is wrong. It was tried once and not again: the card counts"},
    {CKR_PIN_LOCKED, "its PIN is locked"},
    {CKR_PIN_EXPIRED, "its PIN has expired"},
    {CKR_TOKEN_NOT_PRESENT, "the card was taken out"},
    {CKR_DEVICE_REMOVED, "the card was taken out"},
    {CKR_SESSION_HANDLE_INVALID, "the card was taken out"},
    {CKR_FUNCTION_CANCELED, "it was cancelled at the card reader"},
};

kmn_err
card_failed(const struct kmn_card *card, const char *what, CK_RV rv)
{
	const char *words = NULL;

	for (size_t i = 0; i < KMN_COUNT_OF(known); i++)
		if (known[i].rv == rv)
			words = known[i].words;
	kmn_fail("card %s, %s: %s (0x%lx)", card->token, what, words != NULL ? words : p11_kit_strerror(rv), rv);
	return KMN_E_MODULE;
}

/* ---- module and token -------------------------------------------------------------------------------------------- */

/* Nothing is looked for along a search path: what is loaded here sees the PIN. */
static kmn_err
load(struct kmn_card *card, const char *path)
{
	struct stat st;
	CK_RV rv;

	if (path[0] != '/' || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
		kmn_fail("%s: the card's module is a file, by its whole path", path);
		return KMN_E_CONFIG;
	}
	if ((card->module = p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED)) == NULL) {
		kmn_fail("%s is no PKCS#11 module: %s", path, p11_kit_message() != NULL ? p11_kit_message() : "?");
		return KMN_E_MODULE;
	}
	if ((rv = p11_kit_module_initialize(card->module)) != CKR_OK)
		return card_failed(card, "the module does not start", rv);
	card->initialized = true;
	return KMN_OK;
}

/* "label" of a blank-padded field. */
static bool
is_label(const CK_UTF8CHAR field[LABEL_BYTES], const char *label)
{
	size_t len = LABEL_BYTES;

	while (len > 0 && field[len - 1] == ' ')
		len--;
	return strlen(label) == len && memcmp(field, label, len) == 0;
}

static kmn_err
find_token(struct kmn_card *card, const char *label)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX, found = 0;
	CK_TOKEN_INFO info;
	CK_RV rv = card->module->C_GetSlotList(CK_TRUE, slots, &n);

	if (rv != CKR_OK)
		return card_failed(card, "its slots cannot be listed", rv);
	for (CK_ULONG i = 0; i < n && i < SLOTS_MAX; i++) {
		if (card->module->C_GetTokenInfo(slots[i], &info) != CKR_OK || !is_label(info.label, label))
			continue;
		card->slot = slots[i];
		found++;
	}
	if (found != 1) {
		kmn_fail(found == 0 ? "no card called %s is there" : "more than one card is called %s", label);
		return KMN_E_NOT_FOUND;
	}
	if ((rv = card->module->C_OpenSession(card->slot, CKF_SERIAL_SESSION, NULL, NULL, &card->session)) != CKR_OK)
		return card_failed(card, "no session can be opened", rv);
	return KMN_OK;
}

/* ---- PIN --------------------------------------------------------------------------------------------------------- */

/* What the card says of its PIN, before another try could cost it. */
static kmn_err
warn_of_tries(const struct kmn_card *card, CK_FLAGS flags)
{
	if ((flags & CKF_USER_PIN_LOCKED) != 0) {
		kmn_fail("the PIN of card %s is locked: nothing was tried", card->token);
		return KMN_E_PASSPHRASE;
	}
	if ((flags & CKF_USER_PIN_FINAL_TRY) != 0)
		fprintf(stderr, "The next wrong PIN locks card %s.\n", card->token);
	else if ((flags & CKF_USER_PIN_COUNT_LOW) != 0)
		fprintf(stderr, "A wrong PIN was given to card %s before.\n", card->token);
	return KMN_OK;
}

kmn_err
card_login(struct kmn_card *card, CK_USER_TYPE user)
{
	CK_RV rv;

	if (card->pin == NULL)
		fprintf(stderr, "Give the PIN of card %s at its reader.\n", card->token);
	rv = card->module->C_Login(
	    card->session, user, (CK_UTF8CHAR_PTR)card->pin, card->pin != NULL ? (CK_ULONG)strlen(card->pin) : 0);
	return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? KMN_OK : card_failed(card, "login", rv);
}

static kmn_err
ask_and_login(struct kmn_card *card, const char *pin_file)
{
	char prompt[96];
	CK_TOKEN_INFO info;
	CK_RV rv = card->module->C_GetTokenInfo(card->slot, &info);
	kmn_err e;

	if (rv != CKR_OK)
		return card_failed(card, "the token", rv);
	if ((info.flags & CKF_LOGIN_REQUIRED) == 0)
		return KMN_OK;
	if ((e = warn_of_tries(card, info.flags)) != KMN_OK)
		return e;
	(void)snprintf(prompt, sizeof(prompt), "PIN of card %s", card->token);
	if ((info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) == 0 &&
	    (e = kmn_passphrase_get(prompt, pin_file, false, &card->pin)) != KMN_OK)
		return e;
	return card_login(card, CKU_USER);
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

kmn_err
card_find(struct kmn_card *card, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object_out)
{
	CK_OBJECT_HANDLE found[2];
	CK_ULONG n = 0;
	CK_RV rv = card->module->C_FindObjectsInit(card->session, template, count);

	*object_out = 0;
	if (rv == CKR_OK) {
		rv = card->module->C_FindObjects(card->session, found, KMN_COUNT_OF(found), &n);
		(void)card->module->C_FindObjectsFinal(card->session);
	}
	if (rv != CKR_OK)
		return KMN_E_MODULE;
	if (n == 1)
		*object_out = found[0];
	return n == 1 ? KMN_OK : n == 0 ? KMN_E_NOT_FOUND : KMN_E_EXISTS;
}

kmn_err
card_value(struct kmn_card *card, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, uint8_t out[CARD_VALUE_MAX_BYTES],
    size_t *len_out)
{
	CK_ATTRIBUTE attribute = {type, out, CARD_VALUE_MAX_BYTES};
	CK_RV rv = card->module->C_GetAttributeValue(card->session, object, &attribute, 1);

	*len_out = 0;
	if (rv != CKR_OK || attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION || attribute.ulValueLen == 0 ||
	    attribute.ulValueLen > CARD_VALUE_MAX_BYTES)
		return KMN_E_NOT_FOUND;
	*len_out = attribute.ulValueLen;
	return KMN_OK;
}

/* The private key of that label, and what is to be known of it. */
static kmn_err
find_key(struct kmn_card *card, const char *label)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template[] = {
	    {CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	uint8_t value[CARD_VALUE_MAX_BYTES];
	size_t len;
	kmn_err e = card_find(card, template, KMN_COUNT_OF(template), &card->key);

	if (e != KMN_OK) {
		kmn_fail(e == KMN_E_EXISTS ? "card %s has more than one key %s" : "card %s has no private key %s",
		    card->token, label);
		return e;
	}
	card->asks_each =
	    card_value(card, card->key, CKA_ALWAYS_AUTHENTICATE, value, &len) == KMN_OK && len == 1 && value[0] != 0;
	return card_read_key(card, label);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

kmn_err
kmn_card_open(const struct kmn_card_place *place, const char *pin_file, struct kmn_card **card_out)
{
	struct kmn_card *card = calloc(1, sizeof(*card));
	kmn_err e = KMN_E_NO_MEMORY;

	*card_out = NULL;
	if (card == NULL)
		return e;
	(void)snprintf(card->token, sizeof(card->token), "%s", place->token);
	if ((e = load(card, place->module)) != KMN_OK || (e = find_token(card, place->token)) != KMN_OK ||
	    (e = ask_and_login(card, pin_file)) != KMN_OK || (e = find_key(card, place->key)) != KMN_OK)
		goto done;
	*card_out = card;
	card = NULL;
done:
	kmn_card_close(card);
	return e;
}

void
kmn_card_close(struct kmn_card *card)
{
	if (card == NULL)
		return;
	if (card->session != 0) {
		(void)card->module->C_Logout(card->session);
		(void)card->module->C_CloseSession(card->session);
	}
	if (card->initialized)
		(void)p11_kit_module_finalize(card->module);
	if (card->module != NULL)
		p11_kit_module_release(card->module);
	sodium_free(card->pin);
	free(card);
}

const uint8_t *
kmn_card_spki(const struct kmn_card *card, size_t *len_out)
{
	*len_out = card->spki_len;
	return card->spki;
}
