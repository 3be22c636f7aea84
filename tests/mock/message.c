/* The message functions of 3.0: one C_Message*Init, any number of messages, each with a parameter of its own. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/mock/mock.h"

/* What the three layouts have in common; the pointers are the caller's. */
struct message {
	CK_BYTE *iv, *tag;
	size_t iv_len, tag_len, fixed; /* fixed: bytes of the IV that the caller chose */
	bool generate;
};

static CK_RV
read_param(const struct mock_op *op, const void *param, CK_ULONG len, struct message *out)
{
	const CK_GCM_MESSAGE_PARAMS *gcm = param;
	const CK_CCM_MESSAGE_PARAMS *ccm = param;
	const CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS *poly = param;

	if (param == NULL)
		return CKR_MECHANISM_PARAM_INVALID;
	if (op->mechanism == CKM_AES_GCM && len == sizeof(*gcm))
		*out = (struct message){gcm->pIv, gcm->pTag, gcm->ulIvLen, (gcm->ulTagBits + 7) / 8,
		    gcm->ulIvFixedBits / 8, gcm->ivGenerator != CKG_NO_GENERATE};
	else if (op->mechanism == CKM_AES_CCM && len == sizeof(*ccm))
		*out = (struct message){ccm->pNonce, ccm->pMAC, ccm->ulNonceLen, ccm->ulMACLen,
		    ccm->ulNonceFixedBits / 8, ccm->nonceGenerator != CKG_NO_GENERATE};
	else if (op->mechanism == CKM_CHACHA20_POLY1305 && len == sizeof(*poly))
		*out = (struct message){poly->pNonce, poly->pTag, poly->ulNonceLen, 16, poly->ulNonceLen, false};
	else
		return CKR_MECHANISM_PARAM_INVALID;
	if (out->iv == NULL || out->tag == NULL || out->iv_len > sizeof(op->iv) || out->tag_len > 32 ||
	    out->fixed > out->iv_len)
		return CKR_MECHANISM_PARAM_INVALID;
	return CKR_OK;
}

/* The rest of the IV counts messages, from the right. */
static void
generate_iv(struct mock_op *op, const struct message *m)
{
	CK_ULONG count = ++op->count;

	for (size_t i = m->iv_len; i > m->fixed; i--, count >>= 8)
		m->iv[i - 1] = (CK_BYTE)count;
}

static void
end_message(struct mock_op *op)
{
	free(op->data);
	free(op->aad);
	op->data = op->aad = NULL;
	op->len = op->aad_len = op->given = 0;
	op->begun = false;
}

static CK_RV
begin_message(struct mock_op *op, bool encrypt, const struct message *m, const CK_BYTE *aad, CK_ULONG aad_len)
{
	if (aad == NULL && aad_len > 0)
		return CKR_ARGUMENTS_BAD;
	end_message(op);
	if (encrypt && m->generate)
		generate_iv(op, m);
	memcpy(op->iv, m->iv, m->iv_len);
	op->iv_len = m->iv_len;
	op->tag_len = m->tag_len;
	if (aad_len > 0) {
		if ((op->aad = malloc(aad_len)) == NULL)
			return CKR_HOST_MEMORY;
		memcpy(op->aad, aad, aad_len);
		op->aad_len = aad_len;
	}
	return CKR_OK;
}

static void
tag_of(const struct mock_op *op, const uint8_t *plain, size_t len, uint8_t tag[32])
{
	MOCK_HASH(tag, {"message", 7}, {op->secret, 32}, {op->iv, op->iv_len}, {op->aad, op->aad_len}, {plain, len});
}

/* Data of a message; the tag is over the plain text, which is kept. */
static CK_RV
crypt(struct mock_op *op, bool encrypt, const CK_BYTE *in, CK_ULONG len, CK_BYTE *out, CK_ULONG *out_len)
{
	uint8_t *text = malloc(len + 1);
	CK_RV rv = CKR_HOST_MEMORY;

	if (text == NULL)
		return rv;
	mock_stream(op->secret, op->iv, op->iv_len, op->len, in, len, text);
	if (mock_op_append(op, encrypt ? in : text, len)) {
		mock_give(text, len, MOCK_OVER_OUTPUT, out, out_len);
		rv = CKR_OK;
	}
	free(text);
	return rv;
}

static CK_RV
finish(struct mock_op *op, bool encrypt, const struct message *m)
{
	uint8_t tag[32];
	CK_RV rv = CKR_OK;

	tag_of(op, op->data, op->len, tag);
	if (encrypt)
		memcpy(m->tag, tag, m->tag_len);
	else if (memcmp(m->tag, tag, m->tag_len) != 0)
		rv = CKR_AEAD_DECRYPT_FAILED;
	if (encrypt && (mock.settings.overrun & MOCK_OVER_PARAMS) != 0)
		memset(m->tag + m->tag_len, 0xee, 16);
	end_message(op);
	return rv;
}

struct call {
	enum mock_op_kind kind;
	const void *param;
	CK_ULONG param_len;
	const CK_BYTE *aad, *in;
	CK_ULONG aad_len, in_len;
	CK_BYTE *out;
	CK_ULONG *out_len;
};

/* What all calls of a message begin with. */
static CK_RV
enter(struct mock_session *s, const struct call *c, struct mock_op **op, struct message *m)
{
	CK_RV rv = mock_op_of(s, c->kind, op);

	return *op == NULL ? rv : read_param(*op, c->param, c->param_len, m);
}

/* A length query, or too little room: nothing happens but the answer. */
static bool
is_settled(const struct call *c, CK_RV *rv)
{
	if (c->in == NULL && c->in_len > 0)
		*rv = CKR_ARGUMENTS_BAD;
	else if (c->out == NULL || *c->out_len < c->in_len) {
		*rv = c->out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
		*c->out_len = c->in_len;
	} else {
		return false;
	}
	return true;
}

static CK_RV
whole(struct mock_session *s, const struct call *c)
{
	bool encrypt = c->kind == MOCK_MESSAGE_ENCRYPT;
	struct mock_op *op;
	struct message m;
	CK_RV rv = enter(s, c, &op, &m);

	if (rv != CKR_OK || is_settled(c, &rv))
		return rv;
	if (op->begun)
		return CKR_OPERATION_ACTIVE;
	if ((rv = begin_message(op, encrypt, &m, c->aad, c->aad_len)) == CKR_OK &&
	    (rv = crypt(op, encrypt, c->in, c->in_len, c->out, c->out_len)) == CKR_OK)
		rv = finish(op, encrypt, &m);
	return rv;
}

static CK_RV
begin(struct mock_session *s, const struct call *c)
{
	struct mock_op *op;
	struct message m;
	CK_RV rv = enter(s, c, &op, &m);

	if (rv == CKR_OK && op->begun)
		return CKR_OPERATION_ACTIVE;
	if (rv == CKR_OK && (rv = begin_message(op, c->kind == MOCK_MESSAGE_ENCRYPT, &m, c->aad, c->aad_len)) == CKR_OK)
		op->begun = true;
	return rv;
}

static CK_RV
next(struct mock_session *s, const struct call *c, CK_FLAGS flags)
{
	bool encrypt = c->kind == MOCK_MESSAGE_ENCRYPT;
	struct mock_op *op;
	struct message m;
	CK_RV rv = enter(s, c, &op, &m);

	if (rv != CKR_OK)
		return rv;
	if (!op->begun)
		return CKR_OPERATION_NOT_INITIALIZED;
	if (is_settled(c, &rv))
		return rv;
	if ((rv = crypt(op, encrypt, c->in, c->in_len, c->out, c->out_len)) == CKR_OK &&
	    (flags & CKF_END_OF_MESSAGE) != 0)
		rv = finish(op, encrypt, &m);
	if (rv != CKR_OK)
		end_message(op);
	return rv;
}

static CK_RV
message_init(struct mock_session *s, enum mock_op_kind kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_FLAGS flag)
{
	struct mock_op *op;

	return mock_op_begin(s, kind, m, key, flag, &op);
}

static CK_RV
message_final(struct mock_session *s, enum mock_op_kind kind)
{
	struct mock_op *op;
	CK_RV rv = mock_op_of(s, kind, &op);

	if (op == NULL)
		return rv;
	if (op->begun)
		rv = CKR_OPERATION_ACTIVE;
	else
		mock_op_clear(op);
	return rv;
}

#define CIPHER(Name, NAME, kind) \
	CK_RV mock_C_Message##Name##Init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key) \
	{ \
		return mock_leave(message_init(mock_enter(session), kind, m, key, CKF_MESSAGE_##NAME)); \
	} \
	CK_RV mock_C_Message##Name##Final(CK_SESSION_HANDLE session) \
	{ \
		return mock_leave(message_final(mock_enter(session), kind)); \
	} \
	CK_RV mock_C_##Name##Message(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len, \
	    CK_BYTE_PTR aad, CK_ULONG aad_len, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len) \
	{ \
		const struct call c = {kind, param, param_len, aad, in, aad_len, in_len, out, out_len}; \
		return mock_leave(whole(mock_enter(session), &c)); \
	} \
	CK_RV mock_C_##Name##MessageBegin( \
	    CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len, CK_BYTE_PTR aad, CK_ULONG aad_len) \
	{ \
		const struct call c = {kind, param, param_len, aad, NULL, aad_len, 0, NULL, NULL}; \
		return mock_leave(begin(mock_enter(session), &c)); \
	} \
	CK_RV mock_C_##Name##MessageNext(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len, \
	    CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_FLAGS flags) \
	{ \
		const struct call c = {kind, param, param_len, NULL, in, 0, in_len, out, out_len}; \
		return mock_leave(next(mock_enter(session), &c, flags)); \
	}
CIPHER(Encrypt, ENCRYPT, MOCK_MESSAGE_ENCRYPT)
CIPHER(Decrypt, DECRYPT, MOCK_MESSAGE_DECRYPT)

/* ---- signatures: mechanisms without a parameter per message ---- */

CK_RV
mock_C_MessageSignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	return mock_leave(message_init(mock_enter(session), MOCK_MESSAGE_SIGN, m, key, CKF_MESSAGE_SIGN));
}

CK_RV
mock_C_MessageVerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	return mock_leave(message_init(mock_enter(session), MOCK_MESSAGE_VERIFY, m, key, CKF_MESSAGE_VERIFY));
}

CK_RV
mock_C_MessageSignFinal(CK_SESSION_HANDLE session)
{
	return mock_leave(message_final(mock_enter(session), MOCK_MESSAGE_SIGN));
}

CK_RV
mock_C_MessageVerifyFinal(CK_SESSION_HANDLE session)
{
	return mock_leave(message_final(mock_enter(session), MOCK_MESSAGE_VERIFY));
}

/* `begun`: the call needs a message that was begun, or that was not. */
static CK_RV
enter_signature(struct mock_session *s, enum mock_op_kind kind, CK_ULONG param_len, bool begun, struct mock_op **op)
{
	CK_RV rv = mock_op_of(s, kind, op);

	if (*op == NULL)
		return rv;
	if (param_len > 0)
		return CKR_MECHANISM_PARAM_INVALID;
	if ((*op)->begun != begun)
		return begun ? CKR_OPERATION_NOT_INITIALIZED : CKR_OPERATION_ACTIVE;
	return CKR_OK;
}

/* The end of a message: data is taken back where the answer is a length alone. */
static CK_RV
sign(struct mock_op *op, const CK_BYTE *data, CK_ULONG len, CK_BYTE *out, CK_ULONG *out_len)
{
	size_t need = mock_signature_bytes(op), n = 0;
	uint8_t bytes[1024];
	CK_RV rv = CKR_OK;

	if (data == NULL && len > 0)
		return CKR_ARGUMENTS_BAD;
	if (out == NULL || *out_len < need) {
		*out_len = (CK_ULONG)need;
		return out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
	}
	if (!mock_op_append(op, data, len) || !mock_make_signature(op, bytes, &n))
		rv = CKR_DATA_LEN_RANGE;
	else
		mock_give(bytes, n, MOCK_OVER_SIGNATURE, out, out_len);
	end_message(op);
	return rv;
}

static CK_RV
sign_whole(struct mock_session *s, CK_ULONG param_len, const CK_BYTE *data, CK_ULONG len, CK_BYTE *out, CK_ULONG *n)
{
	struct mock_op *op;
	CK_RV rv = enter_signature(s, MOCK_MESSAGE_SIGN, param_len, false, &op);

	return rv == CKR_OK ? sign(op, data, len, out, n) : rv;
}

CK_RV
mock_C_SignMessage(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len, CK_BYTE_PTR data, CK_ULONG len,
    CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	(void)param;
	return mock_leave(sign_whole(mock_enter(session), param_len, data, len, out, n));
}

static CK_RV
begin_signature(struct mock_session *s, enum mock_op_kind kind, CK_ULONG param_len)
{
	struct mock_op *op;
	CK_RV rv = enter_signature(s, kind, param_len, false, &op);

	if (rv == CKR_OK)
		op->begun = true;
	return rv;
}

CK_RV
mock_C_SignMessageBegin(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len)
{
	(void)param;
	return mock_leave(begin_signature(mock_enter(session), MOCK_MESSAGE_SIGN, param_len));
}

CK_RV
mock_C_VerifyMessageBegin(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len)
{
	(void)param;
	return mock_leave(begin_signature(mock_enter(session), MOCK_MESSAGE_VERIFY, param_len));
}

/* More data: no signature is wanted, or there is none yet. */
static CK_RV
more(struct mock_op *op, const CK_BYTE *data, CK_ULONG len)
{
	if (data == NULL && len > 0)
		return CKR_ARGUMENTS_BAD;
	return mock_op_append(op, data, len) ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV
sign_next(struct mock_session *s, CK_ULONG param_len, const CK_BYTE *data, CK_ULONG len, CK_BYTE *out, CK_ULONG *n)
{
	struct mock_op *op;
	CK_RV rv = enter_signature(s, MOCK_MESSAGE_SIGN, param_len, true, &op);

	if (rv != CKR_OK)
		return rv;
	return n == NULL ? more(op, data, len) : sign(op, data, len, out, n);
}

CK_RV
mock_C_SignMessageNext(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len, CK_BYTE_PTR data, CK_ULONG len,
    CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	(void)param;
	return mock_leave(sign_next(mock_enter(session), param_len, data, len, out, n));
}

struct verified {
	CK_ULONG param_len;
	const CK_BYTE *data, *signature;
	CK_ULONG len, signature_len;
	bool begun;
};

static CK_RV
verify(struct mock_session *s, const struct verified *v)
{
	struct mock_op *op;
	CK_RV rv = enter_signature(s, MOCK_MESSAGE_VERIFY, v->param_len, v->begun, &op);

	if (rv != CKR_OK || (rv = more(op, v->data, v->len)) != CKR_OK)
		return rv;
	if (v->begun && (v->signature == NULL || v->signature_len == 0))
		return CKR_OK;
	rv = v->signature == NULL ? CKR_ARGUMENTS_BAD : mock_verify(op, v->signature, v->signature_len);
	end_message(op);
	return rv;
}

CK_RV
mock_C_VerifyMessage(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len, CK_BYTE_PTR data, CK_ULONG len,
    CK_BYTE_PTR signature, CK_ULONG signature_len)
{
	const struct verified v = {param_len, data, signature, len, signature_len, false};

	(void)param;
	return mock_leave(verify(mock_enter(session), &v));
}

CK_RV
mock_C_VerifyMessageNext(CK_SESSION_HANDLE session, CK_VOID_PTR param, CK_ULONG param_len, CK_BYTE_PTR data,
    CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
	const struct verified v = {param_len, data, signature, len, signature_len, true};

	(void)param;
	return mock_leave(verify(mock_enter(session), &v));
}
