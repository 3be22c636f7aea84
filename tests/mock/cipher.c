/*
 * C_Encrypt, C_Decrypt, C_Digest and their kin. Ciphers are a stream that
 * depends on key and IV, and a tag over everything; lengths are those of the
 * mechanism that gives the name.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/mock/mock.h"

#define BLOCK 16u

static CK_RV
take_iv(struct mock_op *op, const CK_MECHANISM *m, size_t len)
{
	if (m->pParameter == NULL || m->ulParameterLen != len)
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(op->iv, m->pParameter, len);
	op->iv_len = len;
	return CKR_OK;
}

static CK_RV
take_gcm(struct mock_op *op, const CK_MECHANISM *m)
{
	const CK_GCM_PARAMS *p = m->pParameter;

	if (p == NULL || m->ulParameterLen != sizeof(*p) || p->ulIvLen > sizeof(op->iv) || p->pIv == NULL ||
	    p->ulTagBits > 128 || (p->pAAD == NULL && p->ulAADLen > 0))
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(op->iv, p->pIv, p->ulIvLen);
	op->iv_len = p->ulIvLen;
	op->tag_len = (p->ulTagBits + 7) / 8;
	if (p->ulAADLen > 0 && (op->aad = malloc(p->ulAADLen)) != NULL) {
		memcpy(op->aad, p->pAAD, p->ulAADLen);
		op->aad_len = p->ulAADLen;
	}
	op->late = mock.settings.late ? p->pIv : NULL;
	return CKR_OK;
}

static CK_RV
init(struct mock_session *s, enum mock_op_kind kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_FLAGS flag)
{
	struct mock_op *op;
	CK_RV rv = mock_op_begin(s, kind, m, key, flag, &op);

	if (op == NULL)
		return rv;
	if (m->mechanism == CKM_AES_GCM)
		rv = take_gcm(op, m);
	else if (m->mechanism == CKM_AES_CBC || m->mechanism == CKM_AES_CBC_PAD)
		rv = take_iv(op, m, BLOCK);
	if (rv != CKR_OK)
		mock_op_clear(op);
	/* A module that makes the IV itself, and tells it when the data is encrypted (AWS CloudHSM). */
	if (rv == CKR_OK && kind == MOCK_ENCRYPT && op->late != NULL)
		memset(op->iv, 0xc3, op->iv_len);
	return rv;
}

CK_RV
mock_C_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	return mock_leave(init(mock_enter(session), MOCK_ENCRYPT, m, key, CKF_ENCRYPT));
}

CK_RV
mock_C_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	return mock_leave(init(mock_enter(session), MOCK_DECRYPT, m, key, CKF_DECRYPT));
}

CK_RV
mock_C_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m)
{
	return mock_leave(init(mock_enter(session), MOCK_DIGEST, m, 0, CKF_DIGEST));
}

static void
tag_of(const struct mock_op *op, const uint8_t *plain, size_t len, uint8_t tag[32])
{
	MOCK_HASH(tag, {"tag", 3}, {op->secret, 32}, {op->iv, op->iv_len}, {op->aad, op->aad_len}, {plain, len});
}

/* ---- whole results, of all the data so far ---- */

/* *out_out: malloc. `last`: no more data comes. */
static CK_RV
encrypt_all(const struct mock_op *op, bool last, uint8_t **out_out, size_t *len_out)
{
	size_t n = op->len, pad = 0;
	uint8_t *out = malloc(op->len + 2 * BLOCK + 32);

	*out_out = out;
	if (out == NULL)
		return CKR_HOST_MEMORY;
	if (n > 0)
		memcpy(out, op->data, n);
	if (op->mechanism == CKM_AES_CBC_PAD && last) {
		pad = BLOCK - n % BLOCK;
		memset(out + n, (int)pad, pad);
		n += pad;
	} else if (op->mechanism != CKM_AES_GCM) {
		if (last && n % BLOCK != 0)
			return CKR_DATA_LEN_RANGE;
		n -= n % BLOCK;
	}
	mock_stream(op->secret, op->iv, op->iv_len, 0, out, n, out);
	if (op->mechanism == CKM_AES_GCM && last) {
		tag_of(op, op->data, op->len, out + n);
		n += op->tag_len;
	}
	*len_out = n;
	return CKR_OK;
}

static CK_RV
finish_decrypt(const struct mock_op *op, uint8_t *out, size_t *n)
{
	uint8_t tag[32];

	if (op->mechanism == CKM_AES_GCM) {
		tag_of(op, out, *n, tag);
		return memcmp(tag, op->data + *n, op->tag_len) == 0 ? CKR_OK : CKR_ENCRYPTED_DATA_INVALID;
	}
	if (op->mechanism != CKM_AES_CBC_PAD)
		return CKR_OK;
	if (*n == 0 || out[*n - 1] == 0 || out[*n - 1] > BLOCK)
		return CKR_ENCRYPTED_DATA_INVALID;
	*n -= out[*n - 1];
	return CKR_OK;
}

static CK_RV
decrypt_all(const struct mock_op *op, bool last, uint8_t **out_out, size_t *len_out)
{
	uint8_t *out = malloc(op->len + 1);
	size_t n = op->len;

	*out_out = out;
	if (out == NULL)
		return CKR_HOST_MEMORY;
	if (op->mechanism == CKM_AES_GCM) {
		if (last && n < op->tag_len)
			return CKR_ENCRYPTED_DATA_LEN_RANGE;
		n = last ? n - op->tag_len : 0;
	} else {
		if (last && n % BLOCK != 0)
			return CKR_ENCRYPTED_DATA_LEN_RANGE;
		n -= n % BLOCK;
		if (!last && op->mechanism == CKM_AES_CBC_PAD && n == op->len && n > 0)
			n -= BLOCK; /* it may be the padding */
	}
	mock_stream(op->secret, op->iv, op->iv_len, 0, op->data, n, out);
	*len_out = n;
	return last ? finish_decrypt(op, out, len_out) : CKR_OK;
}

static CK_RV
result(const struct mock_op *op, enum mock_op_kind kind, bool last, uint8_t **out, size_t *len)
{
	*out = NULL;
	*len = 0;
	if (kind == MOCK_ENCRYPT)
		return encrypt_all(op, last, out, len);
	if (kind == MOCK_DECRYPT)
		return decrypt_all(op, last, out, len);
	if (!last)
		return CKR_OK;
	if ((*out = malloc(32)) == NULL ||
	    EVP_Digest(op->len > 0 ? op->data : (const uint8_t *)"", op->len, *out, NULL, EVP_sha256(), NULL) != 1)
		return CKR_HOST_MEMORY;
	*len = 32;
	return CKR_OK;
}

struct step {
	enum mock_op_kind kind;
	const CK_BYTE *in;
	CK_ULONG in_len;
	bool last;
	CK_BYTE *out;
	CK_ULONG *out_len;
};

static bool
is_digest_update(const struct step *step)
{
	return step->kind == MOCK_DIGEST && !step->last;
}

/* One call: its data is taken back where the answer is a length alone. */
static CK_RV
run(struct mock_session *s, const struct step *step)
{
	struct mock_op *op;
	CK_RV rv = mock_op_of(s, step->kind, &op);
	uint8_t *all = NULL;
	size_t n = 0, before;

	if (op == NULL)
		return rv;
	if (step->out_len == NULL || (step->in == NULL && step->in_len > 0)) {
		mock_op_clear(op);
		return CKR_ARGUMENTS_BAD;
	}
	before = op->len;
	rv =
	    mock_op_append(op, step->in, step->in_len) ? result(op, step->kind, step->last, &all, &n) : CKR_HOST_MEMORY;
	if (rv == CKR_OK && n >= op->given)
		rv = mock_answer(all + op->given, n - op->given, MOCK_OVER_OUTPUT, step->out, step->out_len);
	free(all);
	if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && step->out == NULL && !is_digest_update(step))) {
		op->len = before;
		return rv;
	}
	if (rv == CKR_OK && step->last && op->late != NULL && step->kind == MOCK_ENCRYPT)
		memcpy(op->late, op->iv, op->iv_len);
	if (rv != CKR_OK || step->last)
		mock_op_clear(op);
	else
		op->given = n;
	return rv;
}

#define ONE_SHOT(name, op) \
	CK_RV mock_C_##name(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR n) \
	{ \
		const struct step step = {op, in, len, true, out, n}; \
		return mock_leave(run(mock_enter(session), &step)); \
	}
#define UPDATE(name, op) \
	CK_RV mock_C_##name(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR n) \
	{ \
		const struct step step = {op, in, len, false, out, n}; \
		return mock_leave(run(mock_enter(session), &step)); \
	}
#define FINAL(name, op) \
	CK_RV mock_C_##name(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR n) \
	{ \
		const struct step step = {op, NULL, 0, true, out, n}; \
		return mock_leave(run(mock_enter(session), &step)); \
	}
ONE_SHOT(Encrypt, MOCK_ENCRYPT)
ONE_SHOT(Decrypt, MOCK_DECRYPT)
ONE_SHOT(Digest, MOCK_DIGEST)
UPDATE(EncryptUpdate, MOCK_ENCRYPT)
UPDATE(DecryptUpdate, MOCK_DECRYPT)
FINAL(EncryptFinal, MOCK_ENCRYPT)
FINAL(DecryptFinal, MOCK_DECRYPT)
FINAL(DigestFinal, MOCK_DIGEST)

CK_RV
mock_C_DigestUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
	CK_ULONG none = 0;
	const struct step step = {MOCK_DIGEST, part, len, false, NULL, &none};

	return mock_leave(run(mock_enter(session), &step));
}

static CK_RV
digest_key(struct mock_session *s, CK_OBJECT_HANDLE key)
{
	const struct mock_object *o;
	struct mock_op *op;
	CK_RV rv = mock_op_of(s, MOCK_DIGEST, &op);
	uint8_t digest[32];

	if (op == NULL)
		return rv;
	if ((o = mock_object(s, key)) == NULL || mock_class(o) != CKO_SECRET_KEY) {
		mock_op_clear(op);
		return o == NULL ? CKR_KEY_HANDLE_INVALID : CKR_KEY_INDIGESTIBLE;
	}
	mock_key_digest(o, digest);
	return mock_op_append(op, digest, sizeof(digest)) ? CKR_OK : CKR_HOST_MEMORY;
}

CK_RV
mock_C_DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	return mock_leave(digest_key(mock_enter(session), key));
}

/* ---- dual functions: the other half gets the plain data, once the first has taken it ---- */

CK_RV
mock_C_DigestEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	CK_RV rv = mock_C_EncryptUpdate(session, part, len, out, n);

	return rv == CKR_OK && out != NULL ? mock_C_DigestUpdate(session, part, len) : rv;
}

CK_RV
mock_C_SignEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	CK_RV rv = mock_C_EncryptUpdate(session, part, len, out, n);

	return rv == CKR_OK && out != NULL ? mock_C_SignUpdate(session, part, len) : rv;
}

CK_RV
mock_C_DecryptDigestUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	CK_RV rv = mock_C_DecryptUpdate(session, part, len, out, n);

	return rv == CKR_OK && out != NULL ? mock_C_DigestUpdate(session, out, *n) : rv;
}

CK_RV
mock_C_DecryptVerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	CK_RV rv = mock_C_DecryptUpdate(session, part, len, out, n);

	return rv == CKR_OK && out != NULL ? mock_C_VerifyUpdate(session, out, *n) : rv;
}

/* ---- operation state: of a digest, and of a tag that is verified ---- */

static CK_RV
get_state(struct mock_session *s, CK_BYTE *out, CK_ULONG *n)
{
	static const enum mock_op_kind kinds[] = {MOCK_DIGEST, MOCK_VERIFY};
	uint8_t state[4096];

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (s->sign.active)
		return CKR_STATE_UNSAVEABLE;
	for (size_t i = 0; i < KMN_COUNT_OF(kinds); i++) {
		const struct mock_op *op = &s->op[kinds[i]];

		if (!op->active || op->key != NULL)
			continue;
		if (op->len + 1 + sizeof(op->mechanism) > sizeof(state))
			return CKR_STATE_UNSAVEABLE;
		state[0] = (uint8_t)kinds[i];
		memcpy(state + 1, &op->mechanism, sizeof(op->mechanism));
		if (op->len > 0)
			memcpy(state + 1 + sizeof(op->mechanism), op->data, op->len);
		return mock_answer(state, 1 + sizeof(op->mechanism) + op->len, MOCK_OVER_OUTPUT, out, n);
	}
	return CKR_OPERATION_NOT_INITIALIZED;
}

CK_RV
mock_C_GetOperationState(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	return mock_leave(get_state(mock_enter(session), out, n));
}

static CK_RV
set_state(struct mock_session *s, const CK_BYTE *state, CK_ULONG len, CK_OBJECT_HANDLE key)
{
	struct mock_op *op;
	CK_MECHANISM m = {0};
	CK_RV rv;

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (state == NULL || len < 1 + sizeof(m.mechanism) || (state[0] != MOCK_DIGEST && state[0] != MOCK_VERIFY))
		return CKR_SAVED_STATE_INVALID;
	if (state[0] == MOCK_VERIFY && key == 0)
		return CKR_KEY_NEEDED;
	memcpy(&m.mechanism, state + 1, sizeof(m.mechanism));
	mock_op_clear(&s->op[state[0]]);
	rv = mock_op_begin(
	    s, (enum mock_op_kind)state[0], &m, key, state[0] == MOCK_DIGEST ? CKF_DIGEST : CKF_VERIFY, &op);
	if (op == NULL)
		return rv;
	return mock_op_append(op, state + 1 + sizeof(m.mechanism), len - 1 - sizeof(m.mechanism)) ? CKR_OK
												  : CKR_HOST_MEMORY;
}

CK_RV
mock_C_SetOperationState(CK_SESSION_HANDLE session, CK_BYTE_PTR state, CK_ULONG len, CK_OBJECT_HANDLE encryption,
    CK_OBJECT_HANDLE authentication)
{
	(void)encryption;
	return mock_leave(set_state(mock_enter(session), state, len, authentication));
}

/* ---- C_SessionCancel ---- */

static CK_RV
cancel(struct mock_session *s, CK_FLAGS flags)
{
	static const struct {
		CK_FLAGS flag;
		enum mock_op_kind kind;
	} rows[] = {{CKF_ENCRYPT, MOCK_ENCRYPT}, {CKF_DECRYPT, MOCK_DECRYPT}, {CKF_DIGEST, MOCK_DIGEST},
	    {CKF_SIGN_RECOVER, MOCK_SIGN_RECOVER}, {CKF_VERIFY, MOCK_VERIFY}, {CKF_VERIFY_RECOVER, MOCK_VERIFY_RECOVER},
	    {CKF_MESSAGE_ENCRYPT, MOCK_MESSAGE_ENCRYPT}, {CKF_MESSAGE_DECRYPT, MOCK_MESSAGE_DECRYPT},
	    {CKF_MESSAGE_SIGN, MOCK_MESSAGE_SIGN}, {CKF_MESSAGE_VERIFY, MOCK_MESSAGE_VERIFY},
	    {CKF_VERIFY, MOCK_VERIFY_SIGNATURE}};

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (mock.settings.sticky) /* as NSS with a signature */
		return CKR_OPERATION_CANCEL_FAILED;
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if ((flags & rows[i].flag) != 0)
			mock_op_clear(&s->op[rows[i].kind]);
	if ((flags & CKF_SIGN) != 0)
		mock_sign_clear(&s->sign);
	if ((flags & CKF_FIND_OBJECTS) != 0)
		s->finding = false;
	return CKR_OK;
}

CK_RV
mock_C_SessionCancel(CK_SESSION_HANDLE session, CK_FLAGS flags)
{
	return mock_leave(cancel(mock_enter(session), flags));
}
