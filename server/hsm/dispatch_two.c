/* Calls that belong to two sessions of the module, for one of their operations is in a side session. */
#include "config.h"

#include "server/hsm/dispatch_parts.h"

/* ---- functions of two operations ---- */

/*
 * A dual function wants both operations in one session. Where one of them may
 * be held they are not, and the call is made in two halves: the cipher, and
 * the other operation with the plain text.
 */
static const struct kmn_dual {
	enum kmn_call_id call, cipher, other;
	bool decrypts;
} duals[] = {
    {KMN_C_DigestEncryptUpdate, KMN_C_EncryptUpdate, KMN_C_DigestUpdate, false},
    {KMN_C_SignEncryptUpdate, KMN_C_EncryptUpdate, KMN_C_SignUpdate, false},
    {KMN_C_DecryptDigestUpdate, KMN_C_DecryptUpdate, KMN_C_DigestUpdate, true},
    {KMN_C_DecryptVerifyUpdate, KMN_C_DecryptUpdate, KMN_C_VerifyUpdate, true},
};

const struct kmn_dual *
kmn_run_dual_of(const struct kmn_run *r)
{
	if (r->held[1] == NULL || r->held[0] == NULL || !(r->held[0]->side || r->held[1]->side))
		return NULL;
	for (size_t i = 0; i < KMN_COUNT_OF(duals); i++)
		if (duals[i].call == r->view->id)
			return &duals[i];
	return NULL;
}

/* The arguments of the halves are the first ones of the whole, and of the same kinds. */
static void
half_of(const struct kmn_call_view *whole, enum kmn_call_id id, struct kmn_call_view *half_out)
{
	*half_out = *whole;
	half_out->id = id;
	half_out->call = kmn_call_row(id);
	for (size_t i = 0; i < half_out->call->param_count; i++)
		half_out->value[i].param = &half_out->call->param[i];
}

void
kmn_run_dual(struct kmn_run *r, const struct kmn_dual *dual, struct kmn_writer *w)
{
	struct kmn_call_view cipher, other;
	struct kmn_response_view response;
	const struct kmn_result *plain;
	struct kmn_writer answer;
	size_t from = w->len;
	CK_RV rv = CKR_OK;

	half_of(r->view, dual->cipher, &cipher);
	half_of(r->view, dual->other, &other);
	kmn_dispatch_call(r->d, &(const struct kmn_dispatch_request){.view = &cipher, .nobody = r->request->nobody}, w);
	if (w->err != KMN_OK || kmn_response_view_decode(w->bytes + from, w->len - from, &response) != KMN_OK) {
		kmn_run_put_error(r, from, CKR_HOST_MEMORY, w);
		return;
	}
	w->bytes[from] = (uint8_t)(r->view->id >> 8);
	w->bytes[from + 1] = (uint8_t)r->view->id;
	if (response.rv != CKR_OK || kmn_view_is_length_query(r->view))
		return;
	if (dual->decrypts && (plain = kmn_response_bytes(&response)) != NULL) {
		other.value[1] = (struct kmn_value){
		    .param = other.value[1].param, .number = plain->len, .bytes = plain->bytes, .len = plain->len};
	}
	kmn_writer_init(&answer, KMN_RUN_ANSWER_MAX_BYTES);
	kmn_dispatch_call(
	    r->d, &(const struct kmn_dispatch_request){.view = &other, .nobody = r->request->nobody}, &answer);
	if (answer.err != KMN_OK || kmn_response_view_decode(answer.bytes, answer.len, &response) != KMN_OK)
		rv = CKR_HOST_MEMORY;
	else
		rv = (CK_RV)response.rv;
	kmn_writer_clear(&answer);
	if (rv != CKR_OK)
		kmn_run_put_error(r, from, rv, w);
}

/* ---- C_SessionCancel ---- */

/* Cancels what is in a side session there, and nowhere else; the module's word decides whether it is gone. */
static CK_RV
cancel_side(struct kmn_run *r, const struct kmn_operation *op)
{
	const CK_FUNCTION_LIST_3_2 *m = &r->d->functions.v3_2;
	const struct kmn_value *flags = kmn_view_nth(r->view, KMN_KIND_FLAGS, 0);
	CK_RV rv = m->C_SessionCancel == NULL ? CKR_FUNCTION_NOT_SUPPORTED
					      : m->C_SessionCancel(op->vendor, (CK_FLAGS)flags->number);

	if (rv == CKR_OK)
		kmn_operations_end_side(r->d->operations, r->session, op->kind);
	return rv;
}

/* The flags of C_SessionCancel without those that name an operation of `kinds`. */
static uint64_t
flags_without(uint64_t flags, unsigned kinds)
{
	for (uint64_t bit = 1; bit != 0; bit <<= 1)
		if ((kmn_cancelled_operations(flags & bit) & kinds) != 0)
			flags &= ~bit;
	return flags;
}

void
kmn_run_cancel(struct kmn_run *r, struct kmn_writer *w)
{
	unsigned kinds = kmn_view_cancels(r->view), sides = 0;
	struct kmn_call_view own = *r->view;
	const struct kmn_operation *op;
	size_t from = w->len;
	CK_RV rv = CKR_OK, side_rv;

	for (unsigned bit = 1; bit != 0 && bit <= kinds; bit <<= 1) {
		op = (kinds & bit) != 0 ? kmn_operations_get(r->d->operations, r->session, bit) : NULL;
		if (op != NULL && op->side) {
			sides |= bit;
			if ((side_rv = cancel_side(r, op)) != CKR_OK)
				rv = side_rv;
		}
		kmn_operation_unref(r->d->operations, op);
	}
	own.value[1].number = flags_without(own.value[1].number, sides);
	r->view = &own;
	if (sides == 0 || own.value[1].number != 0)
		(void)kmn_run_invoke(r, w);
	else
		kmn_run_put_error(r, from, rv, w);
	if (rv != CKR_OK)
		kmn_run_put_error(r, from, rv, w);
}
