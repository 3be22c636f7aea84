/* Rows of an HSM and uses of the ledger, held against each other. */
#include "config.h"

#include "tools/kanmon/hsmlog.h"

#include <string.h>
#include <strings.h>

/* Functions at which the HSM acts with a key, as an HSM would log them; those that only feed data are not here. */
static const struct {
	const char *function;
	enum kmn_hsm_class class;
} functions[] = {
    {"C_Sign", KMN_HSM_SIGN},
    {"C_SignFinal", KMN_HSM_SIGN},
    {"C_SignRecover", KMN_HSM_SIGN},
    {"C_SignMessage", KMN_HSM_SIGN},
    {"C_SignMessageNext", KMN_HSM_SIGN},
    {"C_Decrypt", KMN_HSM_DECRYPT},
    {"C_DecryptFinal", KMN_HSM_DECRYPT},
    {"C_DecryptMessage", KMN_HSM_DECRYPT},
    {"C_DecryptMessageNext", KMN_HSM_DECRYPT},
    {"C_Encrypt", KMN_HSM_ENCRYPT},
    {"C_EncryptFinal", KMN_HSM_ENCRYPT},
    {"C_EncryptMessage", KMN_HSM_ENCRYPT},
    {"C_EncryptMessageNext", KMN_HSM_ENCRYPT},
    {"C_GenerateKey", KMN_HSM_GENERATE},
    {"C_GenerateKeyPair", KMN_HSM_GENERATE},
    {"C_DeriveKey", KMN_HSM_DERIVE},
    {"C_WrapKey", KMN_HSM_WRAP},
    {"C_WrapKeyAuthenticated", KMN_HSM_WRAP},
    {"C_UnwrapKey", KMN_HSM_UNWRAP},
    {"C_UnwrapKeyAuthenticated", KMN_HSM_UNWRAP},
    {"C_CreateObject", KMN_HSM_IMPORT},
    {"C_CopyObject", KMN_HSM_IMPORT},
    {"C_DestroyObject", KMN_HSM_DESTROY},
    {"C_Login", KMN_HSM_LOGIN},
    {"C_LoginUser", KMN_HSM_LOGIN},
    {"login", KMN_HSM_LOGIN}, /* event of a `session` record */
    {"C_InitToken", KMN_HSM_ADMIN},
    {"C_InitPIN", KMN_HSM_ADMIN},
    {"C_SetPIN", KMN_HSM_ADMIN},
    {"C_SetAttributeValue", KMN_HSM_ADMIN},
};

enum kmn_hsm_class
kmn_hsm_class_of(const char *function)
{
	for (size_t n = 0; n < KMN_COUNT_OF(functions); n++)
		if (strcmp(functions[n].function, function) == 0)
			return functions[n].class;
	return KMN_HSM_IGNORE;
}

static bool
is_key(const char *word, const struct kmn_hsm_use *use)
{
	const char *hex = strncmp(word, "0x", 2) == 0 ? word + 2 : word;

	return word[0] == '\0' || strcmp(word, use->label) == 0 || strcmp(word, use->spki) == 0 ||
	       (use->id[0] != '\0' && strcasecmp(hex, use->id) == 0);
}

static bool
could_be(const struct kmn_hsmlog_row *row, const struct kmn_hsm_use *use, uint64_t tolerance_ms)
{
	return !use->met && use->class == row->class && (use->unknown || use->failed == row->failed) &&
	       is_key(row->key, use) &&
	       (row->serial[0] == '\0' || use->serial[0] == '\0' || strcmp(row->serial, use->serial) == 0) &&
	       (row->t == 0 || (row->t + tolerance_ms >= use->from && row->t <= use->to + tolerance_ms));
}

/* Of those that fit, the one that ends first: then what can only fit later still has its own. */
static struct kmn_hsm_use *
find_use(const struct kmn_hsmlog_row *row, struct kmn_hsm_use *uses, size_t begin, size_t count, bool unknown,
    uint64_t tolerance_ms)
{
	struct kmn_hsm_use *best = NULL;

	for (size_t n = begin; n < count; n++) {
		if (row->t != 0 && best != NULL && uses[n].from > row->t + tolerance_ms)
			break;
		if (uses[n].unknown != unknown || !could_be(row, &uses[n], tolerance_ms))
			continue;
		if (row->t == 0)
			return &uses[n];
		if (best == NULL || uses[n].to < best->to)
			best = &uses[n];
	}
	return best;
}

static struct kmn_hsm_judged
judge(const struct kmn_hsmlog_row *row, struct kmn_hsm_use *uses, size_t begin, size_t use_count,
    const struct kmn_hsm_crash *crashes, size_t crash_count, uint64_t tolerance_ms)
{
	struct kmn_hsm_use *use;

	if (row->class == KMN_HSM_IGNORE)
		return (struct kmn_hsm_judged){KMN_HSM_IGNORED, UINT64_MAX};
	for (int unknown = 0; unknown < 2; unknown++) {
		if ((use = find_use(row, uses, begin, use_count, unknown == 1, tolerance_ms)) == NULL)
			continue;
		use->met = true;
		return (struct kmn_hsm_judged){unknown == 1 ? KMN_HSM_MET_MAYBE : KMN_HSM_MET, use->record};
	}
	for (size_t n = 0; n < crash_count; n++)
		if (row->t != 0 && row->class != KMN_HSM_CLASS_COUNT && row->t + tolerance_ms >= crashes[n].from &&
		    row->t <= crashes[n].to)
			return (struct kmn_hsm_judged){KMN_HSM_CRASH, crashes[n].record};
	return (struct kmn_hsm_judged){KMN_HSM_UNMATCHED, UINT64_MAX};
}

void
kmn_hsmlog_match(const struct kmn_hsmlog_row *rows, size_t row_count, struct kmn_hsm_use *uses, size_t use_count,
    const struct kmn_hsm_crash *crashes, size_t crash_count, uint64_t tolerance_ms, struct kmn_hsm_judged *judged)
{
	size_t begin = 0; /* all uses before it are met */

	for (size_t n = 0; n < row_count; n++) {
		while (begin < use_count && uses[begin].met)
			begin++;
		judged[n] = judge(&rows[n], uses, begin, use_count, crashes, crash_count, tolerance_ms);
	}
}

void
kmn_hsmlog_count(const struct kmn_hsmlog_format *format, const struct kmn_hsmlog_row *row,
    const struct kmn_hsm_use *uses, size_t use_count, uint64_t *certain_out, uint64_t *most_out)
{
	*certain_out = *most_out = 0;
	for (size_t n = 0; n < use_count; n++) {
		if (!kmn_hsmlog_covers(format, uses[n].class) || uses[n].failed || !is_key(row->key, &uses[n]) ||
		    (row->serial[0] != '\0' && uses[n].serial[0] != '\0' && strcmp(row->serial, uses[n].serial) != 0))
			continue;
		*certain_out += !uses[n].unknown;
		++*most_out;
	}
}
