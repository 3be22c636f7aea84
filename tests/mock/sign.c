/* Mechanisms and signatures. */
#include "config.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <string.h>
#include <time.h>

#include "tests/mock/mock.h"

#define SIGNATURE_MAX_BYTES 1024u
#define OVERRUN_BYTES 16u

static const struct mechanism {
	CK_MECHANISM_TYPE type;
	CK_ULONG least_bits, most_bits;
	CK_FLAGS flags;
	CK_KEY_TYPE key_type;
	const char *hash; /* NULL: none, "" : signs what it gets */
} mechanisms[] = {
    {CKM_RSA_PKCS_KEY_PAIR_GEN, 1024, 4096, CKF_GENERATE_KEY_PAIR, CKK_RSA, NULL},
    {CKM_EC_KEY_PAIR_GEN, 256, 521, CKF_GENERATE_KEY_PAIR | CKF_EC_NAMEDCURVE, CKK_EC, NULL},
    {CKM_RSA_PKCS, 1024, 4096, CKF_SIGN, CKK_RSA, ""},
    {CKM_SHA256_RSA_PKCS, 1024, 4096, CKF_SIGN, CKK_RSA, "SHA256"},
    {CKM_ECDSA, 256, 521, CKF_SIGN, CKK_EC, ""},
    {CKM_ECDSA_SHA256, 256, 521, CKF_SIGN, CKK_EC, "SHA256"},
    {CKM_ECDSA_SHA384, 256, 521, CKF_SIGN, CKK_EC, "SHA384"},
};

static const struct mechanism *
mechanism_of(CK_MECHANISM_TYPE type)
{
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms); i++)
		if (mechanisms[i].type == type)
			return &mechanisms[i];
	return NULL;
}

CK_RV
mock_C_GetMechanismList(CK_SLOT_ID id, CK_MECHANISM_TYPE_PTR out, CK_ULONG_PTR count)
{
	CK_ULONG room = *count;
	unsigned slot;

	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	*count = KMN_COUNT_OF(mechanisms);
	if (out == NULL)
		return CKR_OK;
	if (room < KMN_COUNT_OF(mechanisms))
		return CKR_BUFFER_TOO_SMALL;
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms); i++)
		out[i] = mechanisms[i].type;
	return CKR_OK;
}

CK_RV
mock_C_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
	const struct mechanism *m = mechanism_of(type);
	unsigned slot;

	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	if (m == NULL)
		return CKR_MECHANISM_INVALID;
	*info = (CK_MECHANISM_INFO){.ulMinKeySize = m->least_bits, .ulMaxKeySize = m->most_bits, .flags = m->flags};
	return CKR_OK;
}

void
mock_sign_clear(struct mock_sign *sign)
{
	EVP_PKEY_free(sign->key);
	EVP_MD_CTX_free(sign->digest);
	memset(sign, 0, sizeof(*sign));
}

static bool
label_is(const struct mock_object *o, const char *label)
{
	const struct mock_row *r = mock_row(o, CKA_LABEL);

	return r != NULL && r->len == strlen(label) && memcmp(r->value, label, r->len) == 0;
}

static CK_RV
sign_init(CK_SESSION_HANDLE session, const CK_MECHANISM *m, CK_OBJECT_HANDLE object)
{
	struct mock_session *s = mock_session(session);
	const struct mechanism *known;
	const struct mock_object *o;
	const struct mock_row *class;
	CK_OBJECT_CLASS private = CKO_PRIVATE_KEY;

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (m == NULL)
		return CKR_ARGUMENTS_BAD;
	if (s->sign.active)
		return CKR_OPERATION_ACTIVE;
	if ((known = mechanism_of(m->mechanism)) == NULL || known->hash == NULL)
		return CKR_MECHANISM_INVALID;
	if ((o = mock_object(s, object)) == NULL || (class = mock_row(o, CKA_CLASS)) == NULL || o->key == NULL ||
	    class->len != sizeof(private) || memcmp(class->value, &private, sizeof(private)) != 0)
		return CKR_KEY_HANDLE_INVALID;
	if (EVP_PKEY_is_a(o->key, known->key_type == CKK_RSA ? "RSA" : "EC") != 1)
		return CKR_KEY_TYPE_INCONSISTENT;
	s->sign = (struct mock_sign){.active = true,
	    .mechanism = m->mechanism,
	    .object = object,
	    .always_authenticate = mock_flag(o, CKA_ALWAYS_AUTHENTICATE),
	    .crash = label_is(o, "crash") && strcmp(mock.settings.crash, "never") != 0};
	if (EVP_PKEY_up_ref(o->key) == 1)
		s->sign.key = o->key;
	return CKR_OK;
}

CK_RV
mock_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE object)
{
	CK_RV rv;

	pthread_mutex_lock(&mock.lock);
	rv = sign_init(session, mechanism, object);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

static size_t
signature_size(const struct mock_sign *sign)
{
	size_t bits = (size_t)EVP_PKEY_get_bits(sign->key);

	return mechanism_of(sign->mechanism)->key_type == CKK_RSA ? bits / 8 : 2 * ((bits + 7) / 8);
}

/* DER of OpenSSL to r | s of PKCS#11. */
static bool
flatten(uint8_t *signature, size_t *len, size_t size)
{
	const uint8_t *at = signature;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)*len);
	bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, (int)(size / 2)) > 0 &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + size / 2, (int)(size / 2)) > 0;

	ECDSA_SIG_free(sig);
	*len = size;
	return ok;
}

/* Signs data that is hashed already where the mechanism hashes. */
static bool
make_signature(const struct mock_sign *sign, const uint8_t *data, size_t len, uint8_t *out, size_t *out_len)
{
	const struct mechanism *m = mechanism_of(sign->mechanism);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(sign->key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1;

	if (ok && m->key_type == CKK_RSA)
		ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
	if (ok && m->hash[0] != '\0')
		ok = EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbyname(m->hash)) == 1;
	*out_len = SIGNATURE_MAX_BYTES;
	ok = ok && EVP_PKEY_sign(ctx, out, out_len, data, len) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok && (m->key_type == CKK_RSA || flatten(out, out_len, signature_size(sign)));
}

static void
delay(void)
{
	struct timespec t = {
	    .tv_sec = mock.settings.delay_ms / 1000, .tv_nsec = (long)(mock.settings.delay_ms % 1000) * 1000000L};

	if (mock.settings.delay_ms > 0)
		(void)nanosleep(&t, NULL);
}

static void
give(const uint8_t *signature, size_t len, CK_BYTE *out, CK_ULONG *out_len)
{
	memcpy(out, signature, len);
	if ((mock.settings.overrun & MOCK_OVER_SIGNATURE) != 0)
		memset(out + len, 0xee, OVERRUN_BYTES);
	*out_len = (CK_ULONG)len;
}

/* The operation leaves the session and is made without the lock: sessions sign side by side. */
static CK_RV
finish(struct mock_sign *sign, const uint8_t *data, size_t len, CK_BYTE *out, CK_ULONG *out_len)
{
	uint8_t signature[SIGNATURE_MAX_BYTES], hash[EVP_MAX_MD_SIZE];
	const struct mechanism *m = mechanism_of(sign->mechanism);
	CK_RV rv = CKR_OK;
	unsigned hash_len = sizeof(hash);
	size_t n;

	if (sign->crash)
		mock_crash("C_Sign");
	delay();
	if (sign->digest != NULL && EVP_DigestFinal_ex(sign->digest, hash, &hash_len) == 1) {
		data = hash;
		len = hash_len;
	} else if (m->hash[0] != '\0' &&
		   EVP_Digest(data, len, hash, &hash_len, EVP_get_digestbyname(m->hash), NULL) == 1) {
		data = hash;
		len = hash_len;
	}
	if (make_signature(sign, data, len, signature, &n))
		give(signature, n, out, out_len);
	else
		rv = CKR_DATA_LEN_RANGE;
	mock_sign_clear(sign);
	return rv;
}

/* What C_Sign and C_SignFinal have in common; with the lock held. CKR_OK and *taken active: go on without the lock. */
static CK_RV
answer(CK_SESSION_HANDLE session, const CK_BYTE *out, CK_ULONG *out_len, struct mock_sign *taken)
{
	struct mock_session *s = mock_session(session);
	size_t size;

	memset(taken, 0, sizeof(*taken));
	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (!s->sign.active)
		return CKR_OPERATION_NOT_INITIALIZED;
	if (s->sign.always_authenticate && !s->sign.logged_in) {
		mock_sign_clear(&s->sign);
		return CKR_USER_NOT_LOGGED_IN;
	}
	size = signature_size(&s->sign);
	if (out == NULL || *out_len < size) {
		*out_len = (CK_ULONG)size;
		return out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
	}
	*taken = s->sign;
	memset(&s->sign, 0, sizeof(s->sign));
	return CKR_OK;
}

CK_RV
mock_C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
	struct mock_sign sign;
	CK_RV rv;

	if (data == NULL && len > 0)
		return CKR_ARGUMENTS_BAD;
	pthread_mutex_lock(&mock.lock);
	rv = answer(session, out, out_len, &sign);
	pthread_mutex_unlock(&mock.lock);
	return rv == CKR_OK && sign.active ? finish(&sign, data, len, out, out_len) : rv;
}

CK_RV
mock_C_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
	struct mock_session *s;
	CK_RV rv = CKR_OK;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(session)) == NULL)
		rv = CKR_SESSION_HANDLE_INVALID;
	else if (part == NULL && len > 0)
		rv = CKR_ARGUMENTS_BAD;
	else if (!s->sign.active || mechanism_of(s->sign.mechanism)->hash[0] == '\0')
		rv = CKR_OPERATION_NOT_INITIALIZED;
	if (rv == CKR_OK && s->sign.digest == NULL &&
	    ((s->sign.digest = EVP_MD_CTX_new()) == NULL ||
		EVP_DigestInit_ex(s->sign.digest, EVP_get_digestbyname(mechanism_of(s->sign.mechanism)->hash), NULL) !=
		    1))
		rv = CKR_HOST_MEMORY;
	if (rv == CKR_OK && EVP_DigestUpdate(s->sign.digest, part, len) != 1)
		rv = CKR_FUNCTION_FAILED;
	if (rv != CKR_OK && s != NULL)
		mock_sign_clear(&s->sign);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_SignFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
	struct mock_sign sign;
	CK_RV rv;

	pthread_mutex_lock(&mock.lock);
	rv = answer(session, out, out_len, &sign);
	pthread_mutex_unlock(&mock.lock);
	return rv == CKR_OK && sign.active ? finish(&sign, NULL, 0, out, out_len) : rv;
}
