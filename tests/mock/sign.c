/* C_Sign and its kin. */
#include "config.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <string.h>
#include <time.h>

#include "tests/mock/mechanisms.h"
#include "tests/mock/mock.h"

#define SIGNATURE_MAX_BYTES 1024u

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

static bool
is_secret(const struct mock_mechanism *m)
{
	return m->key_type == CKK_GENERIC_SECRET;
}

/* What a vendor's parameter adds to the key. */
static CK_RV
take_parameter(struct mock_session *s, const CK_MECHANISM *m)
{
	struct mock_sign_params *p = m->pParameter;
	const struct mock_object *other = NULL;
	uint8_t other_key[32] = {0};

	if (m->mechanism == CKM_MOCK_FLAT && m->pParameter != NULL)
		MOCK_HASH(s->sign.secret, {s->sign.secret, 32}, {m->pParameter, m->ulParameterLen});
	if (m->mechanism != CKM_MOCK_SIGN)
		return CKR_OK;
	if (p == NULL || m->ulParameterLen != sizeof(*p) || (p->pContext == NULL && p->ulContextLen > 0))
		return CKR_MECHANISM_PARAM_INVALID;
	if (p->hOther != 0) {
		if ((other = mock_object(s, p->hOther)) == NULL)
			return CKR_KEY_HANDLE_INVALID;
		mock_key_digest(other, other_key);
	}
	MOCK_HASH(s->sign.secret, {s->sign.secret, 32}, {&p->ulMode, sizeof(p->ulMode)}, {p->pContext, p->ulContextLen},
	    {other_key, sizeof(other_key)});
	s->sign.late = p;
	return CKR_OK;
}

static CK_RV
sign_init(struct mock_session *s, const CK_MECHANISM *m, CK_OBJECT_HANDLE object)
{
	const struct mock_mechanism *known;
	const struct mock_object *o;
	CK_RV rv;

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (m == NULL)
		return CKR_ARGUMENTS_BAD;
	if (s->sign.active)
		return CKR_OPERATION_ACTIVE;
	if ((known = mock_mechanism(m->mechanism)) == NULL || known->hash == NULL)
		return CKR_MECHANISM_INVALID;
	if ((o = mock_object(s, object)) == NULL ||
	    mock_class(o) != (CK_ULONG)(is_secret(known) ? CKO_SECRET_KEY : CKO_PRIVATE_KEY) ||
	    (o->key == NULL) != is_secret(known))
		return CKR_KEY_HANDLE_INVALID;
	if (!is_secret(known) && EVP_PKEY_is_a(o->key, known->key_type == CKK_RSA ? "RSA" : "EC") != 1)
		return CKR_KEY_TYPE_INCONSISTENT;
	s->sign = (struct mock_sign){.active = true,
	    .mechanism = m->mechanism,
	    .object = object,
	    .always_authenticate = mock_flag(o, CKA_ALWAYS_AUTHENTICATE),
	    .crash = label_is(o, "crash") && strcmp(mock.settings.crash, "never") != 0};
	mock_key_digest(o, s->sign.secret);
	if (o->key != NULL && EVP_PKEY_up_ref(o->key) == 1)
		s->sign.key = o->key;
	if ((rv = take_parameter(s, m)) != CKR_OK)
		mock_sign_clear(&s->sign);
	return rv;
}

CK_RV
mock_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE object)
{
	return mock_leave(sign_init(mock_enter(session), mechanism, object));
}

static size_t
key_signature_bytes(CK_MECHANISM_TYPE type, EVP_PKEY *key)
{
	size_t bits = key == NULL ? 0 : (size_t)EVP_PKEY_get_bits(key);

	if (key == NULL)
		return 32;
	return mock_mechanism(type)->key_type == CKK_RSA ? bits / 8 : 2 * ((bits + 7) / 8);
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

static EVP_PKEY_CTX *
key_context(CK_MECHANISM_TYPE type, EVP_PKEY *key, int (*init)(EVP_PKEY_CTX *))
{
	const struct mock_mechanism *m = mock_mechanism(type);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

	if (ctx != NULL && init(ctx) == 1 &&
	    (m->key_type != CKK_RSA || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1) &&
	    (m->hash[0] == '\0' || EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbyname(m->hash)) == 1))
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

bool
mock_sign_digest(
    CK_MECHANISM_TYPE type, EVP_PKEY *key, const uint8_t *digest, size_t len, uint8_t *out, size_t *out_len)
{
	EVP_PKEY_CTX *ctx = key_context(type, key, EVP_PKEY_sign_init);
	bool ok;

	*out_len = SIGNATURE_MAX_BYTES;
	ok = ctx != NULL && EVP_PKEY_sign(ctx, out, out_len, digest, len) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok &&
	       (mock_mechanism(type)->key_type == CKK_RSA || flatten(out, out_len, key_signature_bytes(type, key)));
}

/* ---- the same for operations that keep their data ---- */

size_t
mock_signature_bytes(const struct mock_op *op)
{
	return key_signature_bytes(op->mechanism, op->key);
}

/* What the key signs: the data, or its digest. */
static size_t
to_be_signed(const struct mock_op *op, const uint8_t **at, uint8_t digest[EVP_MAX_MD_SIZE])
{
	const struct mock_mechanism *m = mock_mechanism(op->mechanism);
	unsigned n = 0;

	*at = op->data;
	if (m->hash[0] == '\0')
		return op->len;
	*at = digest;
	return EVP_Digest(op->len > 0 ? op->data : (const uint8_t *)"", op->len, digest, &n,
		   EVP_get_digestbyname(m->hash), NULL) == 1
		   ? n
		   : 0;
}

/* A secret key's tag, as C_Sign makes it. */
static bool
make_tag(const uint8_t secret[32], const uint8_t *data, size_t len, uint8_t out[32])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(ctx, secret, 32) == 1 && EVP_DigestUpdate(ctx, data, len) == 1 &&
		  EVP_DigestFinal_ex(ctx, out, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool
mock_make_signature(const struct mock_op *op, uint8_t *out, size_t *len)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	const uint8_t *at;
	size_t n = to_be_signed(op, &at, digest);

	*len = 32;
	return op->key == NULL ? make_tag(op->secret, op->len > 0 ? op->data : (const uint8_t *)"", op->len, out)
			       : mock_sign_digest(op->mechanism, op->key, at, n, out, len);
}

CK_RV
mock_verify(const struct mock_op *op, const uint8_t *signature, size_t len)
{
	uint8_t digest[EVP_MAX_MD_SIZE], expected[32], *der = NULL;
	EVP_PKEY_CTX *ctx;
	const uint8_t *at;
	size_t n, expected_len;
	ECDSA_SIG *sig = NULL;
	bool ok;

	if (len != mock_signature_bytes(op))
		return CKR_SIGNATURE_LEN_RANGE;
	if (op->key == NULL) {
		ok = mock_make_signature(op, expected, &expected_len) && memcmp(expected, signature, len) == 0;
		return ok ? CKR_OK : CKR_SIGNATURE_INVALID;
	}
	n = to_be_signed(op, &at, digest);
	if (mock_mechanism(op->mechanism)->key_type == CKK_EC && (sig = ECDSA_SIG_new()) != NULL &&
	    ECDSA_SIG_set0(sig, BN_bin2bn(signature, (int)(len / 2), NULL),
		BN_bin2bn(signature + len / 2, (int)(len / 2), NULL)) == 1) {
		len = (size_t)i2d_ECDSA_SIG(sig, &der);
		signature = der;
	}
	ctx = key_context(op->mechanism, op->key, EVP_PKEY_verify_init);
	ok = ctx != NULL && EVP_PKEY_verify(ctx, signature, len, at, n) == 1;
	EVP_PKEY_CTX_free(ctx);
	ECDSA_SIG_free(sig);
	OPENSSL_free(der);
	return ok ? CKR_OK : CKR_SIGNATURE_INVALID;
}

static void
delay(void)
{
	struct timespec t = {
	    .tv_sec = mock.settings.delay_ms / 1000, .tv_nsec = (long)(mock.settings.delay_ms % 1000) * 1000000L};

	if (mock.settings.delay_ms == 0)
		return;
	mock_note("signing");
	(void)nanosleep(&t, NULL);
}

static void
write_late(const struct mock_sign *sign)
{
	if (sign->late != NULL && sign->late->pNonce != NULL)
		memset(sign->late->pNonce, (int)sign->late->ulMode, sign->late->ulNonceLen);
}

/* The operation leaves the session and is made without the lock: sessions sign side by side. */
static CK_RV
finish(struct mock_sign *sign, const uint8_t *data, size_t len, CK_BYTE *out, CK_ULONG *out_len)
{
	uint8_t signature[SIGNATURE_MAX_BYTES], hash[EVP_MAX_MD_SIZE];
	const struct mock_mechanism *m = mock_mechanism(sign->mechanism);
	CK_RV rv = CKR_OK;
	unsigned hash_len = sizeof(hash);
	bool made;
	size_t n = 32;

	if (sign->crash)
		mock_crash("C_Sign");
	delay();
	if (sign->digest != NULL && EVP_DigestFinal_ex(sign->digest, hash, &hash_len) == 1) {
		data = hash;
		len = hash_len;
	} else if (sign->key != NULL && m->hash[0] != '\0' &&
		   EVP_Digest(data, len, hash, &hash_len, EVP_get_digestbyname(m->hash), NULL) == 1) {
		data = hash;
		len = hash_len;
	}
	if (sign->key != NULL) {
		made = mock_sign_digest(sign->mechanism, sign->key, data, len, signature, &n);
	} else if ((made = sign->digest != NULL)) {
		memcpy(signature, hash, n);
	} else {
		made = make_tag(sign->secret, data, len, signature);
	}
	if (made)
		mock_give(signature, n, MOCK_OVER_SIGNATURE, out, out_len);
	else
		rv = CKR_DATA_LEN_RANGE;
	write_late(sign);
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
	size = key_signature_bytes(s->sign.mechanism, s->sign.key);
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
	else if (!s->sign.active || mock_mechanism(s->sign.mechanism)->hash[0] == '\0')
		rv = CKR_OPERATION_NOT_INITIALIZED;
	if (rv == CKR_OK && s->sign.digest == NULL &&
	    ((s->sign.digest = EVP_MD_CTX_new()) == NULL ||
		EVP_DigestInit_ex(
		    s->sign.digest, EVP_get_digestbyname(mock_mechanism(s->sign.mechanism)->hash), NULL) != 1 ||
		(s->sign.key == NULL && EVP_DigestUpdate(s->sign.digest, s->sign.secret, sizeof(s->sign.secret)) != 1)))
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
