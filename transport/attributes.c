/*
 * Attribute types as data, in order of their numbers. Only what is `public`
 * may stand in clear in the ledger: CKA_VALUE is a certificate here and a
 * secret key there, so it never does.
 */
#include "kanmon/params.h"

#include "kanmon/calls.h"

/* clang-format off */
/*  ROW(type, kind, public) */
#define ROW(type, kind, public) {CKA_##type, "CKA_" #type, KMN_ATTRIBUTE_##kind, public},
static const struct kmn_attribute attributes[] = {
	ROW(CLASS, ULONG, true)
	ROW(TOKEN, BOOL, true)
	ROW(PRIVATE, BOOL, true)
	ROW(LABEL, TEXT, true)
	ROW(APPLICATION, TEXT, true)
	ROW(VALUE, BYTES, false)
	ROW(OBJECT_ID, BYTES, true)
	ROW(CERTIFICATE_TYPE, ULONG, true)
	ROW(ISSUER, BYTES, true)
	ROW(SERIAL_NUMBER, BYTES, true)
	ROW(AC_ISSUER, BYTES, true)
	ROW(OWNER, BYTES, true)
	ROW(ATTR_TYPES, BYTES, true)
	ROW(TRUSTED, BOOL, true)
	ROW(CERTIFICATE_CATEGORY, ULONG, true)
	ROW(JAVA_MIDP_SECURITY_DOMAIN, ULONG, true)
	ROW(URL, TEXT, true)
	ROW(HASH_OF_SUBJECT_PUBLIC_KEY, BYTES, true)
	ROW(HASH_OF_ISSUER_PUBLIC_KEY, BYTES, true)
	ROW(NAME_HASH_ALGORITHM, ULONG, true)
	ROW(CHECK_VALUE, BYTES, true)
	ROW(KEY_TYPE, ULONG, true)
	ROW(SUBJECT, BYTES, true)
	ROW(ID, BYTES, true)
	ROW(SENSITIVE, BOOL, true)
	ROW(ENCRYPT, BOOL, true)
	ROW(DECRYPT, BOOL, true)
	ROW(WRAP, BOOL, true)
	ROW(UNWRAP, BOOL, true)
	ROW(SIGN, BOOL, true)
	ROW(SIGN_RECOVER, BOOL, true)
	ROW(VERIFY, BOOL, true)
	ROW(VERIFY_RECOVER, BOOL, true)
	ROW(DERIVE, BOOL, true)
	ROW(START_DATE, BYTES, true)
	ROW(END_DATE, BYTES, true)
	ROW(MODULUS, BYTES, true)
	ROW(MODULUS_BITS, ULONG, true)
	ROW(PUBLIC_EXPONENT, BYTES, true)
	ROW(PRIVATE_EXPONENT, BYTES, false)
	ROW(PRIME_1, BYTES, false)
	ROW(PRIME_2, BYTES, false)
	ROW(EXPONENT_1, BYTES, false)
	ROW(EXPONENT_2, BYTES, false)
	ROW(COEFFICIENT, BYTES, false)
	ROW(PUBLIC_KEY_INFO, BYTES, true)
	ROW(PRIME, BYTES, true)
	ROW(SUBPRIME, BYTES, true)
	ROW(BASE, BYTES, true)
	ROW(PRIME_BITS, ULONG, true)
	ROW(SUB_PRIME_BITS, ULONG, true)
	ROW(VALUE_BITS, ULONG, true)
	ROW(VALUE_LEN, ULONG, true)
	ROW(EXTRACTABLE, BOOL, true)
	ROW(LOCAL, BOOL, true)
	ROW(NEVER_EXTRACTABLE, BOOL, true)
	ROW(ALWAYS_SENSITIVE, BOOL, true)
	ROW(KEY_GEN_MECHANISM, ULONG, true)
	ROW(MODIFIABLE, BOOL, true)
	ROW(COPYABLE, BOOL, true)
	ROW(DESTROYABLE, BOOL, true)
	ROW(EC_PARAMS, BYTES, true)
	ROW(EC_POINT, BYTES, true)
	ROW(SECONDARY_AUTH, BOOL, true)
	ROW(AUTH_PIN_FLAGS, ULONG, true)
	ROW(ALWAYS_AUTHENTICATE, BOOL, true)
	ROW(WRAP_WITH_TRUSTED, BOOL, true)
	ROW(OTP_FORMAT, ULONG, true)
	ROW(OTP_LENGTH, ULONG, true)
	ROW(OTP_TIME_INTERVAL, ULONG, true)
	ROW(OTP_USER_FRIENDLY_MODE, BOOL, true)
	ROW(OTP_CHALLENGE_REQUIREMENT, ULONG, true)
	ROW(OTP_TIME_REQUIREMENT, ULONG, true)
	ROW(OTP_COUNTER_REQUIREMENT, ULONG, true)
	ROW(OTP_PIN_REQUIREMENT, ULONG, true)
	ROW(OTP_USER_IDENTIFIER, TEXT, false)
	ROW(OTP_SERVICE_IDENTIFIER, TEXT, false)
	ROW(OTP_SERVICE_LOGO, BYTES, false)
	ROW(OTP_SERVICE_LOGO_TYPE, TEXT, false)
	ROW(OTP_COUNTER, BYTES, false)
	ROW(OTP_TIME, BYTES, false)
	ROW(GOSTR3410_PARAMS, BYTES, true)
	ROW(GOSTR3411_PARAMS, BYTES, true)
	ROW(GOST28147_PARAMS, BYTES, true)
	ROW(HW_FEATURE_TYPE, ULONG, true)
	ROW(RESET_ON_INIT, BOOL, true)
	ROW(HAS_RESET, BOOL, true)
	ROW(PIXEL_X, ULONG, false)
	ROW(PIXEL_Y, ULONG, false)
	ROW(RESOLUTION, ULONG, false)
	ROW(CHAR_ROWS, ULONG, false)
	ROW(CHAR_COLUMNS, ULONG, false)
	ROW(COLOR, BOOL, false)
	ROW(BITS_PER_PIXEL, ULONG, false)
	ROW(CHAR_SETS, TEXT, false)
	ROW(ENCODING_METHODS, TEXT, false)
	ROW(MIME_TYPES, TEXT, false)
	ROW(MECHANISM_TYPE, ULONG, true)
	ROW(REQUIRED_CMS_ATTRIBUTES, BYTES, false)
	ROW(DEFAULT_CMS_ATTRIBUTES, BYTES, false)
	ROW(SUPPORTED_CMS_ATTRIBUTES, BYTES, false)
	ROW(WRAP_TEMPLATE, TEMPLATE, true)
	ROW(UNWRAP_TEMPLATE, TEMPLATE, true)
	ROW(DERIVE_TEMPLATE, TEMPLATE, true)
	ROW(ALLOWED_MECHANISMS, ULONGS, true)
};
#undef ROW
/* clang-format on */

const struct kmn_attribute *
kmn_attribute_at(size_t i)
{
	return i < KMN_COUNT_OF(attributes) ? &attributes[i] : NULL;
}

const struct kmn_attribute *
kmn_attribute_row(uint64_t type)
{
	size_t low = 0, high = KMN_COUNT_OF(attributes);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (attributes[middle].type == type)
			return &attributes[middle];
		if (attributes[middle].type < type)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const char *
kmn_attribute_name(uint64_t type)
{
	const struct kmn_attribute *row = kmn_attribute_row(type);

	return row != NULL ? row->name : NULL;
}
