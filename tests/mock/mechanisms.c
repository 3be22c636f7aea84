/* Mechanisms, and the simple computations that stand in for their cryptography. */
#include "config.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mock/mechanisms.h"
#include "tests/mock/mock.h"

#define CIPHER (CKF_ENCRYPT | CKF_DECRYPT)
#define MESSAGES (CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT)
#define SIGNS (CKF_SIGN | CKF_VERIFY | CKF_MESSAGE_SIGN | CKF_MESSAGE_VERIFY)
#define RECOVERS (CKF_SIGN_RECOVER | CKF_VERIFY_RECOVER)
#define WRAPS (CKF_WRAP | CKF_UNWRAP)
#define NO_KEY MOCK_NO_KEY_TYPE

static const struct mock_mechanism mechanisms[] = {
    {CKM_RSA_PKCS_KEY_PAIR_GEN, 1024, 4096, CKF_GENERATE_KEY_PAIR, CKK_RSA, NULL},
    {CKM_EC_KEY_PAIR_GEN, 256, 521, CKF_GENERATE_KEY_PAIR | CKF_EC_NAMEDCURVE, CKK_EC, NULL},
    {CKM_RSA_PKCS, 1024, 4096, SIGNS | RECOVERS, CKK_RSA, ""},
    {CKM_SHA256_RSA_PKCS, 1024, 4096, SIGNS, CKK_RSA, "SHA256"},
    {CKM_ECDSA, 256, 521, SIGNS, CKK_EC, ""},
    {CKM_ECDSA_SHA256, 256, 521, SIGNS, CKK_EC, "SHA256"},
    {CKM_ECDSA_SHA384, 256, 521, SIGNS, CKK_EC, "SHA384"},
    {CKM_SHA256_HMAC, 16, 256, SIGNS, CKK_GENERIC_SECRET, "SHA256"},
    {CKM_MOCK_SIGN, 16, 256, CKF_SIGN | CKF_VERIFY, CKK_GENERIC_SECRET, "SHA256"},
    {CKM_MOCK_FLAT, 16, 256, CKF_SIGN | CKF_VERIFY, CKK_GENERIC_SECRET, "SHA256"},
    {CKM_SHA256, 0, 0, CKF_DIGEST, NO_KEY, NULL},
    {CKM_AES_KEY_GEN, 16, 32, CKF_GENERATE, CKK_AES, NULL},
    {CKM_GENERIC_SECRET_KEY_GEN, 16, 256, CKF_GENERATE, CKK_GENERIC_SECRET, NULL},
    {CKM_AES_ECB, 16, 32, CIPHER, CKK_AES, NULL},
    {CKM_AES_CBC, 16, 32, CIPHER, CKK_AES, NULL},
    {CKM_AES_CBC_PAD, 16, 32, CIPHER | WRAPS, CKK_AES, NULL},
    {CKM_AES_GCM, 16, 32, CIPHER | MESSAGES | CKF_MULTI_MESSAGE | WRAPS, CKK_AES, NULL},
    {CKM_AES_CCM, 16, 32, MESSAGES | WRAPS, CKK_AES, NULL},
    {CKM_CHACHA20_POLY1305, 32, 32, MESSAGES | CKF_MULTI_MESSAGE, CKK_AES, NULL},
    {CKM_AES_KEY_WRAP, 16, 32, WRAPS, CKK_AES, NULL},
    {CKM_CONCATENATE_BASE_AND_KEY, 16, 256, CKF_DERIVE, CKK_GENERIC_SECRET, NULL},
    {CKM_ECDH1_DERIVE, 256, 521, CKF_DERIVE, CKK_EC, NULL},
    {CKM_SP800_108_COUNTER_KDF, 16, 256, CKF_DERIVE, CKK_GENERIC_SECRET, NULL},
    {CKM_TLS12_KEY_AND_MAC_DERIVE, 48, 48, CKF_DERIVE, CKK_GENERIC_SECRET, NULL},
    {CKM_ML_KEM_KEY_PAIR_GEN, 512, 1024, CKF_GENERATE_KEY_PAIR, CKK_ML_KEM, NULL},
    {CKM_ML_KEM, 512, 1024, CKF_ENCAPSULATE | CKF_DECAPSULATE, CKK_ML_KEM, NULL},
};

const struct mock_mechanism *
mock_mechanism(CK_MECHANISM_TYPE type)
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
	if (room < KMN_COUNT_OF(mechanisms) && (mock.settings.overrun & MOCK_OVER_MECHANISMS) == 0)
		return CKR_BUFFER_TOO_SMALL;
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms); i++)
		out[i] = mechanisms[i].type;
	return CKR_OK;
}

CK_RV
mock_C_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
	const struct mock_mechanism *m = mock_mechanism(type);
	unsigned slot;

	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	if (m == NULL)
		return CKR_MECHANISM_INVALID;
	*info = (CK_MECHANISM_INFO){.ulMinKeySize = m->least, .ulMaxKeySize = m->most, .flags = m->flags};
	return CKR_OK;
}

struct mock_session *
mock_enter(CK_SESSION_HANDLE handle)
{
	pthread_mutex_lock(&mock.lock);
	return mock_session(handle);
}

CK_RV
mock_leave(CK_RV rv)
{
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

/* ---- computations ---- */

void
mock_hash(const struct mock_part *parts, size_t count, uint8_t out[32])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; ok && i < count; i++) {
		uint64_t len = parts[i].len;

		ok = EVP_DigestUpdate(ctx, &len, sizeof(len)) == 1 &&
		     EVP_DigestUpdate(ctx, len == 0 ? "" : parts[i].bytes, parts[i].len) == 1;
	}
	if (!ok || EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
}

void
mock_stream(
    const uint8_t key[32], const uint8_t *iv, size_t iv_len, size_t from, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t block[32];
	uint64_t number = ~UINT64_C(0);

	for (size_t i = 0; i < len; i++) {
		if ((from + i) / sizeof(block) != number) {
			number = (from + i) / sizeof(block);
			MOCK_HASH(block, {"stream", 6}, {key, 32}, {iv, iv_len}, {&number, sizeof(number)});
		}
		out[i] = in[i] ^ block[(from + i) % sizeof(block)];
	}
}

CK_ULONG
mock_class(const struct mock_object *o)
{
	const struct mock_row *r = mock_row(o, CKA_CLASS);
	CK_ULONG class = CK_UNAVAILABLE_INFORMATION;

	if (r != NULL && r->len == sizeof(class))
		memcpy(&class, r->value, sizeof(class));
	return class;
}

void
mock_key_digest(const struct mock_object *o, uint8_t out[32])
{
	const struct mock_row *value = mock_row(o, CKA_VALUE);
	uint8_t *der = NULL;
	int n = 0;

	if (o->key != NULL)
		n = i2d_PUBKEY(o->key, &der);
	if (n > 0)
		MOCK_HASH(out, {der, (size_t)n});
	else
		MOCK_HASH(out, {value == NULL ? NULL : value->value, value == NULL ? 0 : value->len});
	OPENSSL_free(der);
}

/* ---- what comes out ---- */

#define OVERRUN_BYTES 16u
#define FAR_BYTES 0x200000u

void
mock_give(const uint8_t *bytes, size_t len, unsigned overrun, CK_BYTE *out, CK_ULONG *out_len)
{
	if (len > 0)
		memcpy(out, bytes, len);
	if ((mock.settings.overrun & overrun) != 0)
		memset(out + len, 0xee, OVERRUN_BYTES);
	if ((mock.settings.overrun & MOCK_OVER_FAR) != 0)
		memset(out + len, 0xee, FAR_BYTES);
	*out_len = (CK_ULONG)len;
}

CK_RV
mock_answer(const uint8_t *bytes, size_t len, unsigned overrun, CK_BYTE *out, CK_ULONG *out_len)
{
	if (out == NULL || *out_len < len) {
		*out_len = (CK_ULONG)len;
		return out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
	}
	mock_give(bytes, len, overrun, out, out_len);
	return CKR_OK;
}

/* ---- operations ---- */

void
mock_op_clear(struct mock_op *op)
{
	EVP_PKEY_free(op->key);
	free(op->data);
	free(op->aad);
	free(op->signature);
	memset(op, 0, sizeof(*op));
}

bool
mock_op_append(struct mock_op *op, const void *bytes, size_t len)
{
	uint8_t *more;

	if (len == 0)
		return true;
	if ((more = realloc(op->data, op->len + len)) == NULL)
		return false;
	memcpy(more + op->len, bytes, len);
	op->data = more;
	op->len += len;
	return true;
}

CK_RV
mock_op_of(struct mock_session *s, enum mock_op_kind kind, struct mock_op **op_out)
{
	*op_out = NULL;
	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (!s->op[kind].active)
		return CKR_OPERATION_NOT_INITIALIZED;
	*op_out = &s->op[kind];
	return CKR_OK;
}

static bool
fits(const struct mock_mechanism *m, const struct mock_object *o)
{
	CK_ULONG class = mock_class(o);

	if (m->key_type == CKK_RSA || m->key_type == CKK_EC || m->key_type == CKK_ML_KEM)
		return o->key != NULL && EVP_PKEY_is_a(o->key, m->key_type == CKK_RSA ? "RSA" : "EC") == 1;
	return class == CKO_SECRET_KEY;
}

CK_RV
mock_op_begin(struct mock_session *s, enum mock_op_kind kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key,
    CK_FLAGS flag, struct mock_op **op_out)
{
	const struct mock_mechanism *known;
	const struct mock_object *o = NULL;
	struct mock_op *op;

	*op_out = NULL;
	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	op = &s->op[kind];
	if (m == NULL) {
		bool active = op->active;

		mock_op_clear(op);
		return active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
	}
	if (op->active)
		return CKR_OPERATION_ACTIVE;
	if ((known = mock_mechanism(m->mechanism)) == NULL || (known->flags & flag) == 0)
		return CKR_MECHANISM_INVALID;
	if (known->key_type != MOCK_NO_KEY_TYPE) {
		if ((o = mock_object(s, key)) == NULL)
			return CKR_KEY_HANDLE_INVALID;
		if (!fits(known, o))
			return CKR_KEY_TYPE_INCONSISTENT;
		mock_key_digest(o, op->secret);
		if (o->key != NULL && EVP_PKEY_up_ref(o->key) == 1)
			op->key = o->key;
	}
	op->active = true;
	op->mechanism = m->mechanism;
	*op_out = op;
	return CKR_OK;
}
