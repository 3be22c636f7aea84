/*
 * Responses from a hostile gateway: as a view, and into the memory of a caller
 * who stated little room. Each output lies at the end of its own allocation,
 * so that a sanitizer sees a byte too much.
 */
#include <stdlib.h>
#include <string.h>

#include "kanmon/codec.h"

#define ROOM 24u
#define ROWS 3u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct memory {
	void *block[KMN_CALL_ARGS_MAX];
	CK_ULONG n[KMN_CALL_ARGS_MAX];
	CK_BYTE iv[12];
	CK_GCM_PARAMS gcm;
	CK_GCM_MESSAGE_PARAMS message;
	CK_BYTE tag[16];
	CK_MECHANISM mechanism;
	CK_ATTRIBUTE *rows;
	void *value[ROWS];
};

static void *
take(size_t n)
{
	void *p = calloc(1, n);

	if (p == NULL)
		abort();
	return p;
}

/* A template as C_GetAttributeValue gets it: a number, bytes, and a template of one row. */
static void
make_rows(struct memory *m)
{
	CK_ATTRIBUTE *inner = take(sizeof(*inner));

	m->rows = take(ROWS * sizeof(*m->rows));
	m->value[0] = take(sizeof(CK_ULONG));
	m->value[1] = take(5);
	m->value[2] = inner;
	m->rows[0] = (CK_ATTRIBUTE){CKA_CLASS, m->value[0], sizeof(CK_ULONG)};
	m->rows[1] = (CK_ATTRIBUTE){CKA_LABEL, m->value[1], 5};
	m->rows[2] = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, inner, sizeof(*inner)};
}

static void
make_args(const struct kmn_call *call, struct memory *m, struct kmn_arg *arg)
{
	m->gcm = (CK_GCM_PARAMS){m->iv, sizeof(m->iv), 96, NULL, 0, 128};
	m->message = (CK_GCM_MESSAGE_PARAMS){m->iv, sizeof(m->iv), 0, CKG_GENERATE, m->tag, sizeof(m->tag) * 8};
	m->mechanism = (CK_MECHANISM){CKM_AES_GCM, &m->gcm, sizeof(m->gcm)};
	for (size_t i = 0; i < call->param_count; i++) {
		m->n[i] = ROOM / sizeof(CK_ULONG);
		arg[i] = (struct kmn_arg){.n = &m->n[i], .u = m->n[i]};
		if (call->param[i].kind == KMN_KIND_MECHANISM)
			arg[i].p = &m->mechanism;
		else if (call->param[i].kind == KMN_KIND_MESSAGE_PARAM)
			arg[i] = (struct kmn_arg){.p = &m->message, .u = sizeof(m->message), .type = CKM_AES_GCM};
		else if (call->param[i].kind == KMN_KIND_VALUES)
			arg[i] = (struct kmn_arg){.p = m->rows, .u = ROWS};
		else if (call->param[i].kind >= KMN_KIND_INFO)
			arg[i].p = m->block[i] = take(sizeof(CK_TOKEN_INFO));
		else if (kmn_kind_is_out(call->param[i].kind))
			arg[i].p = m->block[i] = take(ROOM);
	}
}

static void
into_arguments(const struct kmn_call *call, const uint8_t *bytes, size_t len)
{
	struct memory m = {.rows = NULL};
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	CK_RV rv;

	make_rows(&m);
	make_args(call, &m, arg);
	(void)!kmn_response_decode(kmn_call_id_of(call), arg, call->param_count, bytes, len, &rv);
	for (size_t i = 0; i < KMN_CALL_ARGS_MAX; i++)
		free(m.block[i]);
	for (size_t i = 0; i < ROWS; i++)
		free(m.value[i]);
	free(m.rows);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_response_view v;
	const struct kmn_call *call = len >= 2 ? kmn_call_row((uint32_t)bytes[0] << 8 | bytes[1]) : NULL;

	if (kmn_response_view_decode(bytes, len, &v) == KMN_OK && v.call == NULL)
		abort();
	if (call != NULL && call->policy != KMN_POLICY_LOCAL)
		into_arguments(call, bytes, len);
	return 0;
}
