/* Keys that come from other keys: generated, wrapped, derived, encapsulated. */
#include "config.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mock/mock.h"

/* The same numbers in every process that makes the same calls. */
static void
fill(const char *what, uint8_t *out, size_t len)
{
	static const uint8_t zeros[MOCK_CK_BYTES_MAX];
	uint8_t key[32];
	CK_ULONG n = ++mock.made;

	MOCK_HASH(key, {what, strlen(what)}, {&n, sizeof(n)});
	mock_stream(key, NULL, 0, 0, zeros, len, out);
}

CK_RV
mock_C_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG len)
{
	if (mock_enter(session) == NULL)
		return mock_leave(CKR_SESSION_HANDLE_INVALID);
	for (CK_ULONG at = 0; at < len; at += MOCK_CK_BYTES_MAX)
		fill("random", out + at, len - at < MOCK_CK_BYTES_MAX ? len - at : MOCK_CK_BYTES_MAX);
	if ((mock.settings.overrun & MOCK_OVER_OUTPUT) != 0)
		memset(out + len, 0xee, 16);
	return mock_leave(CKR_OK);
}

CK_RV
mock_C_SeedRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR seed, CK_ULONG len)
{
	CK_RV rv = mock_enter(session) == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_OK;

	return mock_leave(rv == CKR_OK && seed == NULL && len > 0 ? CKR_ARGUMENTS_BAD : rv);
}

static CK_ULONG
number_in(const CK_ATTRIBUTE *t, CK_ULONG count, CK_ATTRIBUTE_TYPE type, CK_ULONG otherwise)
{
	CK_ULONG value;

	for (CK_ULONG i = 0; t != NULL && i < count; i++)
		if (t[i].type == type && t[i].pValue != NULL && t[i].ulValueLen == sizeof(value)) {
			memcpy(&value, t[i].pValue, sizeof(value));
			return value;
		}
	return otherwise;
}

static CK_RV
known_for(const CK_MECHANISM *m, CK_FLAGS flag)
{
	const struct mock_mechanism *known = m == NULL ? NULL : mock_mechanism(m->mechanism);

	if (m == NULL)
		return CKR_ARGUMENTS_BAD;
	return known == NULL || (known->flags & flag) == 0 ? CKR_MECHANISM_INVALID : CKR_OK;
}

static CK_RV
key_of(struct mock_session *s, CK_OBJECT_HANDLE handle, const struct mock_object **out)
{
	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	*out = mock_object(s, handle);
	return *out == NULL ? CKR_KEY_HANDLE_INVALID : CKR_OK;
}

CK_RV
mock_C_GenerateKey(
    CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
	CK_ULONG len = number_in(t, count, CKA_VALUE_LEN, 0);
	CK_RV rv = known_for(m, CKF_GENERATE);
	uint8_t value[256];

	if (rv != CKR_OK)
		return rv;
	if (mock_enter(session) == NULL)
		return mock_leave(CKR_SESSION_HANDLE_INVALID);
	if (len == 0)
		return mock_leave(CKR_TEMPLATE_INCOMPLETE);
	if (len < mock_mechanism(m->mechanism)->least || len > mock_mechanism(m->mechanism)->most)
		return mock_leave(CKR_KEY_SIZE_RANGE);
	fill("key", value, len);
	return mock_leave(mock_make_key(session, t, count, CKO_SECRET_KEY, value, len, out));
}

/* ---- wrapping: the value under the stream, eight bytes of a tag behind it ---- */

#define WRAP_TAG_BYTES 8u

struct wrapping {
	uint8_t secret[32], iv[64];
	size_t iv_len, tag_len;
	const CK_BYTE *aad[2];
	CK_ULONG aad_len[2];
	CK_BYTE *make_iv; /* where a generated IV goes */
};

static void
wrap_tag(const struct wrapping *w, const uint8_t *value, size_t len, uint8_t tag[32])
{
	MOCK_HASH(tag, {"wrap", 4}, {w->secret, 32}, {w->iv, w->iv_len}, {w->aad[0], w->aad_len[0]},
	    {w->aad[1], w->aad_len[1]}, {value, len});
}

static CK_RV
exportable(const struct mock_object *o)
{
	const struct mock_row *r = mock_row(o, CKA_EXTRACTABLE);

	return r != NULL && r->len == 1 && r->value[0] == CK_FALSE ? CKR_KEY_UNEXTRACTABLE : CKR_OK;
}

static CK_RV
wrap(const struct wrapping *w, const struct mock_object *key, CK_BYTE *out, CK_ULONG *out_len)
{
	uint8_t value[MOCK_CK_BYTES_MAX], tag[32];
	CK_RV rv = exportable(key);
	size_t n = 0;

	if (rv == CKR_OK)
		rv = mock_key_bytes(key, value, sizeof(value) - sizeof(tag), &n);
	if (rv != CKR_OK)
		return rv;
	wrap_tag(w, value, n, tag);
	mock_stream(w->secret, w->iv, w->iv_len, 0, value, n, value);
	memcpy(value + n, tag, w->tag_len);
	rv = mock_answer(value, n + w->tag_len, MOCK_OVER_OUTPUT, out, out_len);
	if (rv == CKR_OK && out != NULL && w->make_iv != NULL)
		memcpy(w->make_iv, w->iv, w->iv_len);
	return rv;
}

struct unwrapped {
	CK_SESSION_HANDLE session;
	const CK_BYTE *in;
	CK_ULONG len;
	const CK_ATTRIBUTE *t;
	CK_ULONG count;
};

static CK_RV
unwrap(const struct wrapping *w, const struct unwrapped *u, CK_OBJECT_HANDLE *out)
{
	uint8_t value[MOCK_CK_BYTES_MAX], tag[32];
	size_t n;

	if (u->in == NULL || u->len < w->tag_len || u->len > sizeof(value))
		return CKR_WRAPPED_KEY_LEN_RANGE;
	n = u->len - w->tag_len;
	mock_stream(w->secret, w->iv, w->iv_len, 0, u->in, n, value);
	wrap_tag(w, value, n, tag);
	if (memcmp(tag, u->in + n, w->tag_len) != 0)
		return CKR_WRAPPED_KEY_INVALID;
	return mock_make_key(
	    u->session, u->t, u->count, number_in(u->t, u->count, CKA_CLASS, CKO_SECRET_KEY), value, n, out);
}

/* The mechanism's parameter of C_WrapKey: an IV, CK_GCM_PARAMS, or nothing. */
static CK_RV
plain_wrapping(const struct mock_object *key, const CK_MECHANISM *m, struct wrapping *w)
{
	const CK_GCM_PARAMS *p = m->pParameter;
	CK_RV rv = known_for(m, CKF_WRAP);

	memset(w, 0, sizeof(*w));
	w->tag_len = WRAP_TAG_BYTES;
	mock_key_digest(key, w->secret);
	if (rv != CKR_OK)
		return rv;
	if (m->mechanism == CKM_AES_GCM) {
		if (p == NULL || m->ulParameterLen != sizeof(*p) || p->pIv == NULL || p->ulIvLen > sizeof(w->iv))
			return CKR_MECHANISM_PARAM_INVALID;
		memcpy(w->iv, p->pIv, w->iv_len = p->ulIvLen);
		w->aad[0] = p->pAAD;
		w->aad_len[0] = p->ulAADLen;
	} else if (m->pParameter != NULL && m->ulParameterLen <= sizeof(w->iv)) {
		memcpy(w->iv, m->pParameter, w->iv_len = m->ulParameterLen);
	} else if (m->mechanism == CKM_AES_CBC_PAD) {
		return CKR_MECHANISM_PARAM_INVALID;
	}
	return CKR_OK;
}

CK_RV
mock_C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key,
    CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
	struct mock_session *s = mock_enter(session);
	const struct mock_object *with, *what;
	struct wrapping w;
	CK_RV rv;

	if ((rv = key_of(s, wrapping, &with)) == CKR_KEY_HANDLE_INVALID)
		rv = CKR_WRAPPING_KEY_HANDLE_INVALID;
	if (rv == CKR_OK && (rv = key_of(s, key, &what)) == CKR_OK && m == NULL)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK && (rv = plain_wrapping(with, m, &w)) == CKR_OK)
		rv = wrap(&w, what, out, out_len);
	return mock_leave(rv);
}

CK_RV
mock_C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE unwrapping, CK_BYTE_PTR in,
    CK_ULONG len, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
	const struct unwrapped u = {session, in, len, t, count};
	struct mock_session *s = mock_enter(session);
	const struct mock_object *with;
	struct wrapping w;
	CK_RV rv;

	if ((rv = key_of(s, unwrapping, &with)) == CKR_KEY_HANDLE_INVALID)
		rv = CKR_UNWRAPPING_KEY_HANDLE_INVALID;
	if (rv == CKR_OK && m == NULL)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK && (rv = plain_wrapping(with, m, &w)) == CKR_OK)
		rv = unwrap(&w, &u, out);
	return mock_leave(rv);
}

/* CK_GCM_WRAP_PARAMS or CK_CCM_WRAP_PARAMS; both may ask for an IV to be made. */
static CK_RV
authenticated(const struct mock_object *key, const CK_MECHANISM *m, bool wraps, const CK_BYTE *aad, CK_ULONG aad_len,
    struct wrapping *w)
{
	const CK_GCM_WRAP_PARAMS *gcm = m->pParameter;
	const CK_CCM_WRAP_PARAMS *ccm = m->pParameter;
	CK_GENERATOR_FUNCTION generator;
	CK_BYTE *iv;
	CK_RV rv = known_for(m, CKF_WRAP);

	memset(w, 0, sizeof(*w));
	mock_key_digest(key, w->secret);
	if (rv != CKR_OK)
		return rv;
	if (m->mechanism == CKM_AES_GCM && gcm != NULL && m->ulParameterLen == sizeof(*gcm)) {
		*w = (struct wrapping){.iv_len = gcm->ulIvLen,
		    .tag_len = gcm->ulTagBits / 8,
		    .aad = {gcm->pAAD, aad},
		    .aad_len = {gcm->ulAADLen, aad_len}};
		iv = gcm->pIv;
		generator = gcm->ivGenerator;
	} else if (m->mechanism == CKM_AES_CCM && ccm != NULL && m->ulParameterLen == sizeof(*ccm)) {
		*w = (struct wrapping){.iv_len = ccm->ulNonceLen,
		    .tag_len = ccm->ulMACLen,
		    .aad = {ccm->pAAD, aad},
		    .aad_len = {ccm->ulAADLen, aad_len}};
		iv = ccm->pNonce;
		generator = ccm->nonceGenerator;
	} else {
		return CKR_MECHANISM_PARAM_INVALID;
	}
	mock_key_digest(key, w->secret);
	if (iv == NULL || w->iv_len > sizeof(w->iv) || w->tag_len > 32)
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(w->iv, iv, w->iv_len);
	if (wraps && generator != CKG_NO_GENERATE) {
		w->make_iv = iv;
		memset(w->iv, 0xa5, w->iv_len);
	}
	return CKR_OK;
}

CK_RV
mock_C_WrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE wrapping,
    CK_OBJECT_HANDLE key, CK_BYTE_PTR aad, CK_ULONG aad_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
	struct mock_session *s = mock_enter(session);
	const struct mock_object *with, *what;
	struct wrapping w;
	CK_RV rv;

	if ((rv = key_of(s, wrapping, &with)) == CKR_KEY_HANDLE_INVALID)
		rv = CKR_WRAPPING_KEY_HANDLE_INVALID;
	if (rv == CKR_OK && (rv = key_of(s, key, &what)) == CKR_OK && m == NULL)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK && (rv = authenticated(with, m, true, aad, aad_len, &w)) == CKR_OK)
		rv = wrap(&w, what, out, out_len);
	return mock_leave(rv);
}

CK_RV
mock_C_UnwrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE unwrapping,
    CK_BYTE_PTR in, CK_ULONG len, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_BYTE_PTR aad, CK_ULONG aad_len,
    CK_OBJECT_HANDLE_PTR out)
{
	const struct unwrapped u = {session, in, len, t, count};
	struct mock_session *s = mock_enter(session);
	const struct mock_object *with;
	struct wrapping w;
	CK_RV rv;

	if ((rv = key_of(s, unwrapping, &with)) == CKR_KEY_HANDLE_INVALID)
		rv = CKR_UNWRAPPING_KEY_HANDLE_INVALID;
	if (rv == CKR_OK && m == NULL)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK && (rv = authenticated(with, m, false, aad, aad_len, &w)) == CKR_OK)
		rv = unwrap(&w, &u, out);
	return mock_leave(rv);
}

/* ---- derivation ---- */

struct derivation {
	CK_SESSION_HANDLE session;
	struct mock_session *s;
	const CK_MECHANISM *m;
	const struct mock_object *base;
	const CK_ATTRIBUTE *t;
	CK_ULONG count;
};

static CK_RV
derive_to(
    const struct derivation *d, const uint8_t seed[32], const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	static const uint8_t zeros[256];
	CK_ULONG len = number_in(t, count, CKA_VALUE_LEN, 32);
	uint8_t value[256];

	if (len > sizeof(value))
		return CKR_KEY_SIZE_RANGE;
	mock_stream(seed, NULL, 0, 0, zeros, len, value);
	return mock_make_key(d->session, t, count, CKO_SECRET_KEY, value, len, out);
}

/* The parameter is a handle and nothing else. */
static CK_RV
concatenate(const struct derivation *d, CK_OBJECT_HANDLE *out)
{
	uint8_t value[MOCK_CK_BYTES_MAX];
	const struct mock_object *other;
	CK_OBJECT_HANDLE handle;
	size_t n, more;
	CK_RV rv;

	if (d->m->pParameter == NULL || d->m->ulParameterLen != sizeof(handle))
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(&handle, d->m->pParameter, sizeof(handle));
	if ((rv = key_of(d->s, handle, &other)) != CKR_OK ||
	    (rv = mock_key_bytes(d->base, value, sizeof(value), &n)) != CKR_OK ||
	    (rv = mock_key_bytes(other, value + n, sizeof(value) - n, &more)) != CKR_OK)
		return rv;
	return mock_make_key(d->session, d->t, d->count, CKO_SECRET_KEY, value, n + more, out);
}

static CK_RV
ecdh(const struct derivation *d, CK_OBJECT_HANDLE *out)
{
	const CK_ECDH1_DERIVE_PARAMS *p = d->m->pParameter;
	uint8_t seed[32];

	if (p == NULL || d->m->ulParameterLen != sizeof(*p) || p->pPublicData == NULL)
		return CKR_MECHANISM_PARAM_INVALID;
	mock_key_digest(d->base, seed);
	MOCK_HASH(seed, {seed, 32}, {p->pPublicData, p->ulPublicDataLen}, {p->pSharedData, p->ulSharedDataLen});
	return derive_to(d, seed, d->t, d->count, out);
}

/* One key of the call's template, and one for each additional one; a bad template is marked by an invalid handle. */
static CK_RV
counter_kdf(const struct derivation *d, CK_OBJECT_HANDLE *out)
{
	const CK_SP800_108_KDF_PARAMS *p = d->m->pParameter;
	uint8_t seed[32];
	CK_RV rv;

	if (p == NULL || d->m->ulParameterLen != sizeof(*p))
		return CKR_MECHANISM_PARAM_INVALID;
	mock_key_digest(d->base, seed);
	for (CK_ULONG i = 0; i < p->ulNumberOfDataParams; i++) {
		const CK_PRF_DATA_PARAM *data = &p->pDataParams[i];
		const struct mock_object *key;
		uint8_t digest[32] = {0};
		CK_OBJECT_HANDLE handle;

		if (data->type == CK_SP800_108_KEY_HANDLE && data->ulValueLen == sizeof(handle)) {
			memcpy(&handle, data->pValue, sizeof(handle));
			if ((rv = key_of(d->s, handle, &key)) != CKR_OK)
				return rv;
			mock_key_digest(key, digest);
			MOCK_HASH(seed, {seed, 32}, {digest, 32});
		} else if (data->type == CK_SP800_108_BYTE_ARRAY) {
			MOCK_HASH(seed, {seed, 32}, {data->pValue, data->ulValueLen});
		}
	}
	if ((rv = derive_to(d, seed, d->t, d->count, out)) != CKR_OK)
		return rv;
	for (CK_ULONG i = 0; i < p->ulAdditionalDerivedKeys; i++) {
		const CK_DERIVED_KEY *key = &p->pAdditionalDerivedKeys[i];

		MOCK_HASH(seed, {seed, 32}, {&i, sizeof(i)});
		if (derive_to(d, seed, key->pTemplate, key->ulAttributeCount, key->phKey) != CKR_OK) {
			*key->phKey = CK_INVALID_HANDLE;
			return CKR_TEMPLATE_INCONSISTENT;
		}
	}
	return CKR_OK;
}

/* Four keys and two IVs come back in the parameter; there is no other key. */
static CK_RV
key_material(const struct derivation *d)
{
	const CK_TLS12_KEY_MAT_PARAMS *p = d->m->pParameter;
	CK_SSL3_KEY_MAT_OUT *to;
	CK_OBJECT_HANDLE *handle[4];
	uint8_t seed[32];
	CK_RV rv = CKR_OK;

	if (p == NULL || d->m->ulParameterLen != sizeof(*p) || (to = p->pReturnedKeyMaterial) == NULL)
		return CKR_MECHANISM_PARAM_INVALID;
	handle[0] = &to->hClientMacSecret;
	handle[1] = &to->hServerMacSecret;
	handle[2] = &to->hClientKey;
	handle[3] = &to->hServerKey;
	mock_key_digest(d->base, seed);
	MOCK_HASH(seed, {seed, 32}, {p->RandomInfo.pClientRandom, p->RandomInfo.ulClientRandomLen},
	    {p->RandomInfo.pServerRandom, p->RandomInfo.ulServerRandomLen});
	for (CK_ULONG i = 0; rv == CKR_OK && i < KMN_COUNT_OF(handle); i++) {
		MOCK_HASH(seed, {seed, 32}, {&i, sizeof(i)});
		rv = derive_to(d, seed, d->t, d->count, handle[i]);
	}
	if (rv == CKR_OK && to->pIVClient != NULL)
		memset(to->pIVClient, 0xc1, p->ulIVSizeInBits / 8);
	if (rv == CKR_OK && to->pIVServer != NULL)
		memset(to->pIVServer, 0x5e, p->ulIVSizeInBits / 8);
	return rv;
}

static CK_RV
derive(struct derivation *d, CK_OBJECT_HANDLE base, CK_OBJECT_HANDLE *out)
{
	CK_RV rv = known_for(d->m, CKF_DERIVE);

	if (rv == CKR_OK)
		rv = key_of(d->s, base, &d->base);
	if (rv != CKR_OK)
		return rv;
	if (d->m->mechanism == CKM_TLS12_KEY_AND_MAC_DERIVE)
		return key_material(d);
	if (out == NULL)
		return CKR_ARGUMENTS_BAD;
	switch (d->m->mechanism) {
	case CKM_CONCATENATE_BASE_AND_KEY:
		return concatenate(d, out);
	case CKM_ECDH1_DERIVE:
		return ecdh(d, out);
	default:
		return counter_kdf(d, out);
	}
}

CK_RV
mock_C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE base, CK_ATTRIBUTE_PTR t,
    CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
	struct derivation d = {.session = session, .m = m, .t = t, .count = count};

	d.s = mock_enter(session);
	return mock_leave(derive(&d, base, out));
}

/* ---- encapsulation: the secret is a function of the public half and the ciphertext ---- */

#define CIPHERTEXT_BYTES 48u

static CK_RV
encapsulated_key(CK_SESSION_HANDLE session, const struct mock_object *pair, const CK_BYTE *ciphertext,
    const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	uint8_t secret[32];

	mock_key_digest(pair, secret);
	MOCK_HASH(secret, {secret, 32}, {ciphertext, CIPHERTEXT_BYTES});
	return mock_make_key(session, t, count, CKO_SECRET_KEY, secret, sizeof(secret), out);
}

static CK_RV
kem_key(struct mock_session *s, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_OBJECT_CLASS class,
    const struct mock_object **out)
{
	CK_RV rv = known_for(m, CKF_ENCAPSULATE);

	if (rv == CKR_OK && (rv = key_of(s, key, out)) == CKR_OK && mock_class(*out) != class)
		rv = CKR_KEY_TYPE_INCONSISTENT;
	return rv;
}

CK_RV
mock_C_EncapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_PTR t,
    CK_ULONG count, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_OBJECT_HANDLE_PTR new_key)
{
	struct mock_session *s = mock_enter(session);
	const struct mock_object *pair = NULL;
	uint8_t ciphertext[CIPHERTEXT_BYTES];
	CK_RV rv = kem_key(s, m, key, CKO_PUBLIC_KEY, &pair);

	if (rv != CKR_OK)
		return mock_leave(rv);
	if (out == NULL || *out_len < sizeof(ciphertext)) {
		*out_len = sizeof(ciphertext);
		return mock_leave(out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL);
	}
	fill("ciphertext", ciphertext, sizeof(ciphertext));
	if ((rv = encapsulated_key(session, pair, ciphertext, t, count, new_key)) == CKR_OK)
		mock_give(ciphertext, sizeof(ciphertext), MOCK_OVER_OUTPUT, out, out_len);
	return mock_leave(rv);
}

CK_RV
mock_C_DecapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_PTR t,
    CK_ULONG count, CK_BYTE_PTR in, CK_ULONG len, CK_OBJECT_HANDLE_PTR new_key)
{
	struct mock_session *s = mock_enter(session);
	const struct mock_object *pair = NULL;
	CK_RV rv = kem_key(s, m, key, CKO_PRIVATE_KEY, &pair);

	if (rv == CKR_OK && (in == NULL || len != CIPHERTEXT_BYTES))
		rv = CKR_WRAPPED_KEY_LEN_RANGE;
	if (rv == CKR_OK)
		rv = encapsulated_key(session, pair, in, t, count, new_key);
	return mock_leave(rv);
}
