/*
 * Responses: into the caller's arguments, and as views. Each output starts
 * with a u8 (enum kmn_output), then
 *
 *   ROOM, MAYBE_ROOM    NUMBER: u64 length; WHOLE: u64 length, bytes
 *   FILL                WHOLE: bytes
 *   SLOTS, MECH_TYPES   NUMBER: u64 count; WHOLE: u64 count, count * u64
 *   OBJECTS             WHOLE: u64 count, count * u64
 *   NEW_*, *_OUT        WHOLE: u64
 *   structures          WHOLE: their fields
 *   MECHANISM, MESSAGE_PARAM   WHOLE: write-back (codec_params.c)
 *   VALUES              WHOLE: rows (codec_template.c)
 */
#include "transport/codec_parts.h"

#include <string.h>

/* ---- responses, into the caller's arguments ------------------------------------------------------------------ */

static void
apply_room(struct kmn_reader *r, const struct kmn_arg *a, enum kmn_output output, bool write)
{
	CK_ULONG n = kmn_length_get(r);
	const uint8_t *bytes;
	size_t len;

	if (a->n == NULL) { /* MAYBE_ROOM: nothing was to come out */
		kmn_reader_fail(r, KMN_E_MALFORMED);
		return;
	}
	if (output == KMN_OUTPUT_WHOLE) {
		len = kmn_reader_bytes(r, KMN_OUT_MAX_BYTES, &bytes);
		if (len != n || a->p == NULL || len > *a->n)
			kmn_reader_fail(r, KMN_E_MALFORMED);
		else if (write && r->err == KMN_OK && len > 0)
			memcpy(a->p, bytes, len);
	}
	if (write && r->err == KMN_OK)
		*a->n = n;
}

static void
apply_fill(struct kmn_reader *r, const struct kmn_arg *a, bool write)
{
	const uint8_t *bytes;
	size_t len = kmn_reader_bytes(r, KMN_OUT_MAX_BYTES, &bytes);

	if (len != a->u || (a->p == NULL && len > 0))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	else if (write && r->err == KMN_OK && len > 0)
		memcpy(a->p, bytes, len);
}

/* Slots, mechanisms and handles are all CK_ULONGs. */
static void
apply_list(struct kmn_reader *r, const struct kmn_arg *a, CK_ULONG capacity, enum kmn_output output, bool write)
{
	CK_ULONG *items = a->p, n = kmn_length_get(r);

	if (output == KMN_OUTPUT_WHOLE && (n > KMN_LIST_MAX_ITEMS || n > capacity || (items == NULL && n > 0)))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	for (CK_ULONG i = 0; output == KMN_OUTPUT_WHOLE && i < n && r->err == KMN_OK; i++) {
		CK_ULONG item = kmn_ulong_get(r);

		if (write && items != NULL && r->err == KMN_OK)
			items[i] = item;
	}
	if (write && r->err == KMN_OK)
		*a->n = n;
}

static void
apply_scalar(struct kmn_reader *r, const struct kmn_arg *a, bool length, bool write)
{
	CK_ULONG value = length ? kmn_length_get(r) : kmn_ulong_get(r);

	if (a->p == NULL)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	else if (write && r->err == KMN_OK)
		memcpy(a->p, &value, sizeof(value));
}

static bool
comes_back(enum kmn_kind kind)
{
	return kmn_kind_is_out(kind) || kmn_kind_is_param(kind);
}

/* The u8 before each output; a length or count alone is only for those that have one. */
static enum kmn_output
get_output(struct kmn_reader *r, enum kmn_kind kind)
{
	uint8_t output = kmn_reader_u8(r);

	if (output > KMN_OUTPUT_WHOLE ||
	    (output == KMN_OUTPUT_NUMBER && kind != KMN_KIND_ROOM && kind != KMN_KIND_MAYBE_ROOM &&
		kind != KMN_KIND_SLOTS && kind != KMN_KIND_MECH_TYPES))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return r->err == KMN_OK ? (enum kmn_output)output : KMN_OUTPUT_NONE;
}

static void
apply_param(struct kmn_reader *r, enum kmn_param_family family, const struct kmn_arg *a, bool write)
{
	CK_MECHANISM m;

	if (family != KMN_FAMILY_MESSAGE) {
		kmn_mech_apply(r, a->p, family, write);
		return;
	}
	m = kmn_message_mechanism(a);
	kmn_mech_apply(r, &m, family, write);
}

static void
apply_output(struct kmn_reader *r, const struct kmn_call *call, enum kmn_kind kind, const struct kmn_arg *a, bool write)
{
	enum kmn_output output = get_output(r, kind);

	if (output == KMN_OUTPUT_NONE)
		return;
	switch (kind) {
	case KMN_KIND_MECHANISM:
	case KMN_KIND_MESSAGE_PARAM:
		apply_param(r, kind == KMN_KIND_MESSAGE_PARAM ? KMN_FAMILY_MESSAGE : kmn_call_family(call), a, write);
		return;
	case KMN_KIND_VALUES:
		kmn_values_apply(r, a->p, a->u, write);
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_MAYBE_ROOM:
		apply_room(r, a, output, write);
		return;
	case KMN_KIND_FILL:
		apply_fill(r, a, write);
		return;
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		apply_list(r, a, *a->n, output, write);
		return;
	case KMN_KIND_OBJECTS:
		apply_list(r, a, a->u, output, write);
		return;
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_MAYBE_OBJECT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
		apply_scalar(r, a, false, write);
		return;
	case KMN_KIND_ULONG_OUT:
		apply_scalar(r, a, true, write);
		return;
	default:
		kmn_struct_apply(r, kind, a->p, write);
		return;
	}
}

static kmn_err
apply_response(
    const struct kmn_call *call, const struct kmn_arg *arg, const void *bytes, size_t len, bool write, CK_RV *rv_out)
{
	uint8_t salt[KMN_SALT_BYTES];
	const uint8_t *late;
	unsigned late_count;
	struct kmn_reader r;
	size_t late_len;

	kmn_reader_init(&r, bytes, len);
	if (kmn_reader_u16(&r) != kmn_call_id_of(call))
		kmn_reader_fail(&r, KMN_E_MALFORMED);
	kmn_reader_raw(&r, salt, sizeof(salt));
	*rv_out = kmn_ulong_get(&r);
	for (size_t i = 0; i < call->param_count && r.err == KMN_OK; i++)
		if (comes_back(call->param[i].kind))
			apply_output(&r, call, call->param[i].kind, &arg[i], write);
	kmn_late_get(&r, &late_count, &late, &late_len); /* the session's to write, not this call's */
	return kmn_reader_end(&r);
}

kmn_err
kmn_response_decode(enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count, const void *bytes,
    size_t len_bytes, CK_RV *rv_out)
{
	const struct kmn_call *call = kmn_call_row(id);
	CK_RV rv;
	kmn_err e;

	*rv_out = CKR_GENERAL_ERROR;
	if (call == NULL || call->param_count != arg_count)
		return KMN_E_INTERNAL;
	if ((e = apply_response(call, arg, bytes, len_bytes, false, &rv)) != KMN_OK)
		return e;
	return apply_response(call, arg, bytes, len_bytes, true, rv_out);
}

/* ---- views of responses -------------------------------------------------------------------------------------- */

static void
get_items(struct kmn_reader *r, struct kmn_result *result)
{
	if (result->number > KMN_LIST_MAX_ITEMS || result->number > (size_t)(r->end - r->at) / 8)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	if (r->err != KMN_OK)
		return;
	result->bytes = r->at;
	result->len = (size_t)result->number * 8;
	r->at += result->len;
}

/* Content that is looked at by others, as a view. */
static void
get_struct(struct kmn_reader *r, enum kmn_kind kind, struct kmn_result *result)
{
	result->len = kmn_struct_wire_bytes(kind);
	if (result->len > (size_t)(r->end - r->at)) {
		kmn_reader_fail(r, KMN_E_TRUNCATED);
		return;
	}
	result->bytes = r->at;
	r->at += result->len;
}

/* The length there is, and the bytes where they came. */
static void
get_room(struct kmn_reader *r, enum kmn_output output, struct kmn_result *result)
{
	result->number = kmn_reader_u64(r);
	if (output != KMN_OUTPUT_WHOLE)
		return;
	result->len = kmn_reader_bytes(r, KMN_OUT_MAX_BYTES, &result->bytes);
	if (result->len != result->number)
		kmn_reader_fail(r, KMN_E_MALFORMED);
}

static void
get_result(struct kmn_reader *r, struct kmn_result *result)
{
	enum kmn_kind kind = result->param->kind;
	enum kmn_output output = get_output(r, kind);

	result->given = output != KMN_OUTPUT_NONE;
	result->null = output != KMN_OUTPUT_WHOLE;
	if (!result->given || r->err != KMN_OK)
		return;
	switch (kind) {
	case KMN_KIND_MECHANISM:
	case KMN_KIND_MESSAGE_PARAM:
		kmn_mech_apply(r, NULL, KMN_FAMILY_INIT, false);
		return;
	case KMN_KIND_VALUES:
		result->len = kmn_values_get(r, &result->bytes, &result->number);
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_MAYBE_ROOM:
		get_room(r, output, result);
		return;
	case KMN_KIND_FILL:
		result->len = kmn_reader_bytes(r, KMN_OUT_MAX_BYTES, &result->bytes);
		result->number = result->len;
		return;
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
	case KMN_KIND_OBJECTS:
		result->number = kmn_reader_u64(r);
		if (output == KMN_OUTPUT_WHOLE)
			get_items(r, result);
		return;
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_MAYBE_OBJECT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
	case KMN_KIND_ULONG_OUT:
		result->number = kmn_reader_u64(r);
		return;
	default:
		get_struct(r, kind, result);
		return;
	}
}

kmn_err
kmn_response_view_decode(const void *bytes, size_t len_bytes, struct kmn_response_view *v)
{
	const struct kmn_call *call;
	struct kmn_reader r;
	uint8_t salt[KMN_SALT_BYTES];
	uint16_t id;

	memset(v, 0, sizeof(*v));
	kmn_reader_init(&r, bytes, len_bytes);
	id = kmn_reader_u16(&r);
	kmn_reader_raw(&r, salt, sizeof(salt));
	v->rv = kmn_reader_u64(&r);
	call = kmn_call_row(id);
	if (call == NULL || call->policy == KMN_POLICY_LOCAL) {
		kmn_reader_fail(&r, KMN_E_MALFORMED);
		goto refused;
	}
	for (size_t i = 0; r.err == KMN_OK && i < call->param_count; i++) {
		if (!comes_back(call->param[i].kind))
			continue;
		v->result[i].param = &call->param[i];
		get_result(&r, &v->result[i]);
	}
	kmn_late_get(&r, &v->late_count, &v->late, &v->late_len);
	if (kmn_reader_end(&r) != KMN_OK)
		goto refused;
	v->id = (enum kmn_call_id)id;
	v->call = call;
	return KMN_OK;
refused:
	memset(v, 0, sizeof(*v));
	return r.err;
}

const struct kmn_result *
kmn_response_nth(const struct kmn_response_view *v, enum kmn_kind kind, size_t nth)
{
	for (size_t i = 0; v->call != NULL && i < v->call->param_count; i++) {
		const struct kmn_result *result = &v->result[i];

		if (result->param == NULL || result->param->kind != kind || nth-- != 0)
			continue;
		return result->given && !result->null ? result : NULL;
	}
	return NULL;
}

const struct kmn_result *
kmn_response_bytes(const struct kmn_response_view *v)
{
	const struct kmn_result *room = kmn_response_nth(v, KMN_KIND_ROOM, 0);

	if (room == NULL)
		room = kmn_response_nth(v, KMN_KIND_MAYBE_ROOM, 0);
	return room != NULL ? room : kmn_response_nth(v, KMN_KIND_FILL, 0);
}

bool
kmn_response_object(const struct kmn_response_view *v, size_t nth, uint64_t *object_out)
{
	const struct kmn_result *result = kmn_response_nth(v, KMN_KIND_NEW_OBJECT, nth);

	if (result == NULL)
		result = kmn_response_nth(v, KMN_KIND_MAYBE_OBJECT, nth);
	*object_out = result != NULL ? result->number : 0;
	return result != NULL;
}

bool
kmn_response_session(const struct kmn_response_view *v, uint64_t *session_out)
{
	const struct kmn_result *result = kmn_response_nth(v, KMN_KIND_NEW_SESSION, 0);

	*session_out = result != NULL ? result->number : 0;
	return result != NULL;
}

uint64_t
kmn_result_item(const struct kmn_result *result, size_t i)
{
	struct kmn_reader r;

	if (i >= result->len / 8)
		return 0;
	kmn_reader_init(&r, result->bytes + i * 8, 8);
	return kmn_reader_u64(&r);
}

void
kmn_response_put_error(enum kmn_call_id id, uint64_t rv, struct kmn_writer *w)
{
	const struct kmn_call *call = kmn_call_row(id);

	kmn_message_begin(w, id);
	kmn_writer_u64(w, rv);
	for (size_t i = 0; call != NULL && i < call->param_count; i++)
		if (comes_back(call->param[i].kind))
			kmn_writer_u8(w, KMN_OUTPUT_NONE);
}

void
kmn_response_put_bytes(enum kmn_call_id id, const void *bytes, size_t len, uint64_t capacity, struct kmn_writer *w)
{
	const struct kmn_call *call = kmn_call_row(id);
	bool fits = len <= capacity;

	kmn_message_begin(w, id);
	kmn_writer_u64(w, fits ? CKR_OK : CKR_BUFFER_TOO_SMALL);
	for (size_t i = 0; call != NULL && i < call->param_count; i++) {
		if (!comes_back(call->param[i].kind))
			continue;
		if (call->param[i].kind != KMN_KIND_ROOM && call->param[i].kind != KMN_KIND_MAYBE_ROOM) {
			kmn_writer_u8(w, KMN_OUTPUT_NONE);
			continue;
		}
		kmn_writer_u8(w, fits ? KMN_OUTPUT_WHOLE : KMN_OUTPUT_NUMBER);
		kmn_writer_u64(w, len);
		if (fits)
			kmn_writer_bytes(w, bytes, len);
	}
}
