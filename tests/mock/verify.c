/* C_Verify, signature-first verification, and recovery. */
#include "config.h"

#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mock/mechanisms.h"
#include "tests/mock/mock.h"

/* The tag of a vendor's mechanism depends on its parameter, as in sign.c. */
static CK_RV
take_parameter(struct mock_session *s, const CK_MECHANISM *m, struct mock_op *op)
{
	const struct mock_sign_params *p = m->pParameter;
	const struct mock_object *other = NULL;
	uint8_t other_key[32] = {0};

	if (m->mechanism == CKM_MOCK_FLAT && m->pParameter != NULL)
		MOCK_HASH(op->secret, {op->secret, 32}, {m->pParameter, m->ulParameterLen});
	if (m->mechanism != CKM_MOCK_SIGN)
		return CKR_OK;
	if (p == NULL || m->ulParameterLen != sizeof(*p) || (p->pContext == NULL && p->ulContextLen > 0))
		return CKR_MECHANISM_PARAM_INVALID;
	if (p->hOther != 0) {
		if ((other = mock_object(s, p->hOther)) == NULL)
			return CKR_KEY_HANDLE_INVALID;
		mock_key_digest(other, other_key);
	}
	MOCK_HASH(op->secret, {op->secret, 32}, {&p->ulMode, sizeof(p->ulMode)}, {p->pContext, p->ulContextLen},
	    {other_key, sizeof(other_key)});
	return CKR_OK;
}

static CK_RV
verify_init(struct mock_session *s, enum mock_op_kind kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key,
    struct mock_op **op_out)
{
	CK_RV rv = mock_op_begin(s, kind, m, key, CKF_VERIFY, op_out);

	if (*op_out != NULL && (rv = take_parameter(s, m, *op_out)) != CKR_OK)
		mock_op_clear(*op_out);
	return rv;
}

CK_RV
mock_C_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	struct mock_op *op;

	return mock_leave(verify_init(mock_enter(session), MOCK_VERIFY, m, key, &op));
}

/* More data, and the end of it if there is a signature; anything but more data ends the operation. */
static CK_RV
verify(struct mock_session *s, enum mock_op_kind kind, const CK_BYTE *data, CK_ULONG len, const CK_BYTE *signature,
    CK_ULONG signature_len)
{
	struct mock_op *op;
	CK_RV rv = mock_op_of(s, kind, &op);

	if (op == NULL)
		return rv;
	rv = data == NULL && len > 0 ? CKR_ARGUMENTS_BAD : mock_op_append(op, data, len) ? CKR_OK : CKR_HOST_MEMORY;
	if (rv == CKR_OK && signature != NULL)
		rv = mock_verify(op, signature, signature_len);
	if (rv != CKR_OK || signature != NULL)
		mock_op_clear(op);
	return rv;
}

CK_RV
mock_C_VerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len)
{
	return mock_leave(verify(mock_enter(session), MOCK_VERIFY, data, len, NULL, 0));
}

CK_RV
mock_C_Verify(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
	if (signature == NULL)
		return CKR_ARGUMENTS_BAD;
	return mock_leave(verify(mock_enter(session), MOCK_VERIFY, data, len, signature, signature_len));
}

CK_RV
mock_C_VerifyFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG len)
{
	if (signature == NULL)
		return CKR_ARGUMENTS_BAD;
	return mock_leave(verify(mock_enter(session), MOCK_VERIFY, NULL, 0, signature, len));
}

/* ---- 3.2: the signature comes first ---- */

static CK_RV
signature_init(
    struct mock_session *s, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, const CK_BYTE *signature, CK_ULONG len)
{
	struct mock_op *op;
	CK_RV rv;

	if (m != NULL && signature == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((rv = verify_init(s, MOCK_VERIFY_SIGNATURE, m, key, &op)) != CKR_OK || op == NULL)
		return rv;
	if ((op->signature = malloc(len + 1)) == NULL) {
		mock_op_clear(op);
		return CKR_HOST_MEMORY;
	}
	memcpy(op->signature, signature, len);
	op->signature_len = len;
	return CKR_OK;
}

CK_RV
mock_C_VerifySignatureInit(
    CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key, CK_BYTE_PTR signature, CK_ULONG len)
{
	return mock_leave(signature_init(mock_enter(session), m, key, signature, len));
}

static CK_RV
signature_end(struct mock_session *s, const CK_BYTE *data, CK_ULONG len, bool last)
{
	struct mock_op *op;
	CK_RV rv = mock_op_of(s, MOCK_VERIFY_SIGNATURE, &op);

	if (op == NULL)
		return rv;
	rv = data == NULL && len > 0 ? CKR_ARGUMENTS_BAD : mock_op_append(op, data, len) ? CKR_OK : CKR_HOST_MEMORY;
	if (rv == CKR_OK && last)
		rv = mock_verify(op, op->signature, op->signature_len);
	if (rv != CKR_OK || last)
		mock_op_clear(op);
	return rv;
}

CK_RV
mock_C_VerifySignature(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len)
{
	return mock_leave(signature_end(mock_enter(session), data, len, true));
}

CK_RV
mock_C_VerifySignatureUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len)
{
	return mock_leave(signature_end(mock_enter(session), data, len, false));
}

CK_RV
mock_C_VerifySignatureFinal(CK_SESSION_HANDLE session)
{
	return mock_leave(signature_end(mock_enter(session), NULL, 0, true));
}

/* ---- recovery: CKM_RSA_PKCS ---- */

static CK_RV
recover_init(struct mock_session *s, enum mock_op_kind kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_FLAGS flag)
{
	struct mock_op *op;

	return mock_op_begin(s, kind, m, key, flag, &op);
}

CK_RV
mock_C_SignRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	return mock_leave(recover_init(mock_enter(session), MOCK_SIGN_RECOVER, m, key, CKF_SIGN_RECOVER));
}

CK_RV
mock_C_VerifyRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	return mock_leave(recover_init(mock_enter(session), MOCK_VERIFY_RECOVER, m, key, CKF_VERIFY_RECOVER));
}

static CK_RV
recover(const struct mock_op *op, const CK_BYTE *in, CK_ULONG len, uint8_t *out, size_t *n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(op->key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_verify_recover_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		  EVP_PKEY_verify_recover(ctx, out, n, in, len) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok ? CKR_OK : CKR_SIGNATURE_INVALID;
}

static CK_RV
recovery(
    struct mock_session *s, enum mock_op_kind kind, const CK_BYTE *in, CK_ULONG len, CK_BYTE *out, CK_ULONG *out_len)
{
	uint8_t bytes[1024];
	struct mock_op *op;
	size_t n = sizeof(bytes);
	CK_RV rv = mock_op_of(s, kind, &op);

	if (op == NULL)
		return rv;
	if (in == NULL && len > 0)
		rv = CKR_ARGUMENTS_BAD;
	else if (kind == MOCK_SIGN_RECOVER)
		rv = mock_sign_digest(op->mechanism, op->key, in, len, bytes, &n) ? CKR_OK : CKR_DATA_LEN_RANGE;
	else
		rv = recover(op, in, len, bytes, &n);
	if (rv == CKR_OK)
		rv = mock_answer(bytes, n, MOCK_OVER_OUTPUT, out, out_len);
	if (rv != CKR_BUFFER_TOO_SMALL && (rv != CKR_OK || out != NULL))
		mock_op_clear(op);
	return rv;
}

CK_RV
mock_C_SignRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
	return mock_leave(recovery(mock_enter(session), MOCK_SIGN_RECOVER, in, len, out, out_len));
}

CK_RV
mock_C_VerifyRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
	return mock_leave(recovery(mock_enter(session), MOCK_VERIFY_RECOVER, in, len, out, out_len));
}
