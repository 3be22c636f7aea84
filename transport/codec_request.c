/*
 * Requests: from the caller's arguments, and as views. calls.h says what each
 * kind of argument is on the wire; what belongs to a pointer starts with a u8
 * that says whether it was NULL:
 *
 *   DATA, AAD, PIN, USERNAME   NULL: u64 stated length; else bytes
 *   LABEL                      else 32 bytes
 *   ROOM, FILL and lists       u64 capacity, either way
 *   MAYBE_ROOM                 u8 whether the length's pointer was NULL, u64 capacity
 *   MAYBE_OBJECT               nothing more
 *   MECHANISM, MESSAGE_PARAM   codec_params.c
 *   TEMPLATE                   codec_template.c
 */
#define _DEFAULT_SOURCE /* getentropy */
#include "transport/codec_parts.h"

#include <string.h>
#include <unistd.h>

/* ---- requests, from the caller's arguments ------------------------------------------------------------------- */

static void
fail(struct kmn_writer *w, kmn_err e)
{
	if (w->err == KMN_OK)
		w->err = e;
}

/* Bytes in: where the pointer is NULL the stated length crosses alone. */
static void
put_data(struct kmn_writer *w, const struct kmn_arg *a, size_t max)
{
	kmn_writer_bool(w, a->p == NULL);
	if (a->p == NULL)
		kmn_length_put(w, a->u);
	else if (a->u > max)
		fail(w, KMN_E_LIMIT);
	else
		kmn_writer_bytes(w, a->p, a->u);
}

/* Room for an output: whether the pointer is NULL, and the capacity, apart from each other. */
static void
put_room(struct kmn_writer *w, const struct kmn_arg *a, CK_ULONG capacity)
{
	kmn_writer_bool(w, a->p == NULL);
	kmn_length_put(w, capacity);
}

CK_MECHANISM
kmn_message_mechanism(const struct kmn_arg *a)
{
	return (CK_MECHANISM){a->type, a->p, a->u};
}

static void
put_param(struct kmn_writer *w, enum kmn_param_family family, const struct kmn_arg *a, bool unknown)
{
	CK_MECHANISM message = kmn_message_mechanism(a);
	const CK_MECHANISM *m = family == KMN_FAMILY_MESSAGE ? &message : a->p;

	if (unknown)
		kmn_mech_put_unknown(w, m);
	else
		kmn_mech_put(w, m, family);
}

static void
put_arg(struct kmn_writer *w, const struct kmn_call *call, enum kmn_kind kind, const struct kmn_arg *a, bool unknown)
{
	switch (kind) {
	case KMN_KIND_SESSION:
	case KMN_KIND_SLOT:
	case KMN_KIND_OBJECT:
	case KMN_KIND_KEY:
	case KMN_KIND_ULONG:
	case KMN_KIND_FLAGS:
	case KMN_KIND_MECH_TYPE:
		kmn_ulong_put(w, a->u);
		return;
	case KMN_KIND_BOOL:
		kmn_writer_u8(w, (uint8_t)a->u);
		return;
	case KMN_KIND_MECHANISM:
	case KMN_KIND_MESSAGE_PARAM:
		put_param(w, kind == KMN_KIND_MESSAGE_PARAM ? KMN_FAMILY_MESSAGE : kmn_call_family(call), a, unknown);
		return;
	case KMN_KIND_DATA:
	case KMN_KIND_AAD:
		put_data(w, a, KMN_DATA_MAX_BYTES);
		return;
	case KMN_KIND_PIN:
	case KMN_KIND_USERNAME:
		put_data(w, a, KMN_PIN_MAX_BYTES);
		return;
	case KMN_KIND_LABEL:
		kmn_writer_bool(w, a->p == NULL);
		if (a->p != NULL)
			kmn_writer_raw(w, a->p, KMN_LABEL_BYTES);
		return;
	case KMN_KIND_TEMPLATE:
		kmn_template_put(w, a->p, a->u, KMN_TEMPLATE_IN);
		return;
	case KMN_KIND_VALUES:
		kmn_template_put(w, a->p, a->u, KMN_TEMPLATE_ROOM);
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		put_room(w, a, *a->n);
		return;
	case KMN_KIND_MAYBE_ROOM:
		kmn_writer_bool(w, a->n == NULL);
		put_room(w, a, a->n != NULL ? *a->n : 0);
		return;
	case KMN_KIND_FILL:
	case KMN_KIND_OBJECTS:
		put_room(w, a, a->u);
		return;
	case KMN_KIND_MAYBE_OBJECT:
		kmn_writer_bool(w, a->p == NULL);
		return;
	case KMN_KIND_NOTIFY:
	case KMN_KIND_LOCAL:
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
	case KMN_KIND_ULONG_OUT:
	case KMN_KIND_INFO:
	case KMN_KIND_SLOT_INFO:
	case KMN_KIND_TOKEN_INFO:
	case KMN_KIND_MECH_INFO:
	case KMN_KIND_SESSION_INFO:
	case KMN_KIND_COUNT:
		return;
	}
}

/* The one thing refused without asking the module: nowhere to put what must come back. */
static bool
outputs_are_there(const struct kmn_param *p, const struct kmn_arg *a)
{
	switch (p->kind) {
	case KMN_KIND_ROOM:
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
	case KMN_KIND_OBJECTS:
		return a->n != NULL;
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
	case KMN_KIND_ULONG_OUT:
	case KMN_KIND_INFO:
	case KMN_KIND_SLOT_INFO:
	case KMN_KIND_TOKEN_INFO:
	case KMN_KIND_MECH_INFO:
	case KMN_KIND_SESSION_INFO:
		return a->p != NULL;
	default:
		return true;
	}
}

void
kmn_message_begin(struct kmn_writer *w, enum kmn_call_id id)
{
	uint8_t salt[KMN_SALT_BYTES];

	if (getentropy(salt, sizeof(salt)) != 0)
		fail(w, KMN_E_INTERNAL);
	kmn_writer_u16(w, (uint16_t)id);
	kmn_writer_raw(w, salt, sizeof(salt));
}

static kmn_err
encode(enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count, bool unknown, struct kmn_writer *w)
{
	const struct kmn_call *call = kmn_call_row(id);

	if (call == NULL || call->param_count != arg_count || call->policy == KMN_POLICY_LOCAL)
		return KMN_E_INTERNAL;
	for (size_t i = 0; i < arg_count; i++)
		if (!outputs_are_there(&call->param[i], &arg[i]))
			return KMN_E_ARGUMENTS;
	kmn_message_begin(w, id);
	for (size_t i = 0; i < arg_count; i++)
		put_arg(w, call, call->param[i].kind, &arg[i], unknown);
	return w->err == KMN_E_TOO_BIG ? KMN_E_LIMIT : w->err;
}

kmn_err
kmn_request_encode(enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count, struct kmn_writer *w)
{
	return encode(id, arg, arg_count, false, w);
}

kmn_err
kmn_request_encode_unknown(enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count, struct kmn_writer *w)
{
	return encode(id, arg, arg_count, true, w);
}

void
kmn_request_mark_2_40(struct kmn_writer *w, size_t at)
{
	if (w->err == KMN_OK)
		w->bytes[at] |= KMN_CALL_2_40 >> 8;
}

const struct kmn_call *
kmn_request_row(const void *bytes, size_t len_bytes)
{
	struct kmn_reader r;
	uint16_t call;

	kmn_reader_init(&r, bytes, len_bytes);
	call = kmn_reader_u16(&r);
	return r.err == KMN_OK ? kmn_call_row(call & ~KMN_CALL_2_40) : NULL;
}

void
kmn_request_put_scalar(enum kmn_call_id id, uint64_t value, struct kmn_writer *w)
{
	kmn_message_begin(w, id);
	kmn_writer_u64(w, value);
}

/* ---- views of requests --------------------------------------------------------------------------------------- */

static void
get_data(struct kmn_reader *r, size_t max, struct kmn_value *v)
{
	v->null = kmn_reader_bool(r);
	if (v->null) {
		v->number = kmn_reader_u64(r);
		return;
	}
	v->len = kmn_reader_bytes(r, max, &v->bytes);
	v->number = v->len;
}

static void
get_label(struct kmn_reader *r, struct kmn_value *v)
{
	v->null = kmn_reader_bool(r);
	if (v->null || r->err != KMN_OK)
		return;
	if ((size_t)(r->end - r->at) < KMN_LABEL_BYTES) {
		kmn_reader_fail(r, KMN_E_TRUNCATED);
		return;
	}
	v->bytes = r->at;
	v->len = KMN_LABEL_BYTES;
	r->at += KMN_LABEL_BYTES;
}

static void
get_room(struct kmn_reader *r, struct kmn_value *v)
{
	v->null = kmn_reader_bool(r);
	v->number = kmn_reader_u64(r);
}

static void
get_arg(struct kmn_reader *r, const struct kmn_call *call, struct kmn_value *v)
{
	switch (v->param->kind) {
	case KMN_KIND_SESSION:
	case KMN_KIND_SLOT:
	case KMN_KIND_OBJECT:
	case KMN_KIND_KEY:
	case KMN_KIND_ULONG:
	case KMN_KIND_FLAGS:
	case KMN_KIND_MECH_TYPE:
		v->number = kmn_reader_u64(r);
		return;
	case KMN_KIND_BOOL:
		v->number = kmn_reader_u8(r);
		return;
	case KMN_KIND_MECHANISM:
		kmn_mech_get(r, kmn_call_family(call), &v->mech);
		v->null = v->mech.form == KMN_MECH_NULL;
		return;
	case KMN_KIND_MESSAGE_PARAM:
		kmn_mech_get(r, KMN_FAMILY_MESSAGE, &v->mech);
		v->null = v->mech.form == KMN_MECH_BARE;
		if (v->mech.form == KMN_MECH_NULL)
			kmn_reader_fail(r, KMN_E_MALFORMED);
		return;
	case KMN_KIND_DATA:
	case KMN_KIND_AAD:
		get_data(r, KMN_DATA_MAX_BYTES, v);
		return;
	case KMN_KIND_PIN:
	case KMN_KIND_USERNAME:
		get_data(r, KMN_PIN_MAX_BYTES, v);
		return;
	case KMN_KIND_LABEL:
		get_label(r, v);
		return;
	case KMN_KIND_TEMPLATE:
	case KMN_KIND_VALUES:
		kmn_template_get(
		    r, v->param->kind == KMN_KIND_VALUES ? KMN_TEMPLATE_ROOM : KMN_TEMPLATE_IN, &v->template);
		v->null = v->template.null;
		v->number = v->template.count;
		return;
	case KMN_KIND_MAYBE_ROOM:
		v->uncounted = kmn_reader_bool(r);
		get_room(r, v);
		if (v->uncounted && v->number != 0)
			kmn_reader_fail(r, KMN_E_MALFORMED);
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
	case KMN_KIND_FILL:
	case KMN_KIND_OBJECTS:
		get_room(r, v);
		return;
	case KMN_KIND_MAYBE_OBJECT:
		v->null = kmn_reader_bool(r);
		return;
	case KMN_KIND_NOTIFY:
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
	case KMN_KIND_ULONG_OUT:
	case KMN_KIND_INFO:
	case KMN_KIND_SLOT_INFO:
	case KMN_KIND_TOKEN_INFO:
	case KMN_KIND_MECH_INFO:
	case KMN_KIND_SESSION_INFO:
	case KMN_KIND_LOCAL:
		return;
	case KMN_KIND_COUNT:
		kmn_reader_fail(r, KMN_E_MALFORMED);
		return;
	}
}

kmn_err
kmn_call_view_decode(const void *bytes, size_t len_bytes, struct kmn_call_view *v)
{
	struct kmn_reader r;
	const struct kmn_call *call;
	uint8_t salt[KMN_SALT_BYTES];
	uint16_t id;

	memset(v, 0, sizeof(*v));
	kmn_reader_init(&r, bytes, len_bytes);
	id = kmn_reader_u16(&r);
	kmn_reader_raw(&r, salt, sizeof(salt));
	v->v2_40 = (id & KMN_CALL_2_40) != 0;
	id &= (uint16_t)~KMN_CALL_2_40;
	call = kmn_call_row(id);
	if (call == NULL || call->policy == KMN_POLICY_LOCAL || (v->v2_40 && call->since > 0x0228)) {
		kmn_reader_fail(&r, KMN_E_MALFORMED);
		goto refused;
	}
	for (size_t i = 0; r.err == KMN_OK && i < call->param_count; i++) {
		v->value[i].param = &call->param[i];
		v->value[i].at = (size_t)(r.at - (const uint8_t *)bytes);
		get_arg(&r, call, &v->value[i]);
	}
	if (kmn_reader_end(&r) != KMN_OK)
		goto refused;
	v->id = (enum kmn_call_id)id;
	v->call = call;
	for (size_t i = 0; i < call->param_count; i++)
		if (v->value[i].mech.form == KMN_MECH_BYTES && kmn_mechanism_row(v->value[i].mech.type) == NULL)
			v->abi_bound = true;
	return KMN_OK;
refused:
	memset(v, 0, sizeof(*v));
	return r.err;
}

const struct kmn_value *
kmn_view_nth(const struct kmn_call_view *v, enum kmn_kind kind, size_t nth)
{
	for (size_t i = 0; v->call != NULL && i < v->call->param_count; i++)
		if (v->value[i].param->kind == kind && nth-- == 0)
			return &v->value[i];
	return NULL;
}

static bool
number_of(const struct kmn_call_view *v, enum kmn_kind kind, size_t nth, uint64_t *number_out)
{
	const struct kmn_value *value = kmn_view_nth(v, kind, nth);

	*number_out = value != NULL ? value->number : 0;
	return value != NULL;
}

bool
kmn_view_session(const struct kmn_call_view *v, uint64_t *session_out)
{
	return number_of(v, KMN_KIND_SESSION, 0, session_out);
}

bool
kmn_view_slot(const struct kmn_call_view *v, uint64_t *slot_out)
{
	return number_of(v, KMN_KIND_SLOT, 0, slot_out);
}

bool
kmn_view_key(const struct kmn_call_view *v, size_t nth, uint64_t *key_out)
{
	return number_of(v, KMN_KIND_KEY, nth, key_out);
}

bool
kmn_view_object(const struct kmn_call_view *v, size_t nth, uint64_t *object_out)
{
	return number_of(v, KMN_KIND_OBJECT, nth, object_out);
}

const struct kmn_mech_view *
kmn_view_mechanism(const struct kmn_call_view *v)
{
	const struct kmn_value *value = kmn_view_nth(v, KMN_KIND_MECHANISM, 0);

	return value != NULL ? &value->mech : NULL;
}

const struct kmn_mech_view *
kmn_view_message_param(const struct kmn_call_view *v)
{
	const struct kmn_value *value = kmn_view_nth(v, KMN_KIND_MESSAGE_PARAM, 0);

	return value != NULL ? &value->mech : NULL;
}

const struct kmn_value *
kmn_view_data(const struct kmn_call_view *v, size_t nth)
{
	return kmn_view_nth(v, KMN_KIND_DATA, nth);
}

const struct kmn_template_view *
kmn_view_template(const struct kmn_call_view *v, size_t nth)
{
	const struct kmn_value *value = kmn_view_nth(v, KMN_KIND_TEMPLATE, nth);

	return value != NULL ? &value->template : NULL;
}

const struct kmn_value *
kmn_view_room(const struct kmn_call_view *v)
{
	const struct kmn_value *room = kmn_view_nth(v, KMN_KIND_ROOM, 0);

	return room != NULL ? room : kmn_view_nth(v, KMN_KIND_MAYBE_ROOM, 0);
}

bool
kmn_view_is_length_query(const struct kmn_call_view *v)
{
	const struct kmn_value *room = kmn_view_room(v);

	return room != NULL && room->null && !room->uncounted;
}

const struct kmn_value *
kmn_view_shown(const struct kmn_call_view *v)
{
	const struct kmn_value *data;

	for (size_t i = 0; (data = kmn_view_data(v, i)) != NULL; i++)
		if (data->param->show != KMN_SHOW_NOTHING)
			return data;
	return NULL;
}

bool
kmn_view_is_part(const struct kmn_call_view *view)
{
	const struct kmn_value *room = kmn_view_nth(view, KMN_KIND_MAYBE_ROOM, 0);

	switch (view->id) {
	case KMN_C_SignUpdate:
	case KMN_C_SignMessageBegin:
	case KMN_C_EncryptMessageBegin:
	case KMN_C_DecryptMessageBegin:
		return true;
	case KMN_C_SignMessageNext: /* the last part is the one that a signature is asked for with */
		return room != NULL && room->uncounted;
	default: /* C_MessageSignFinal and its kin end an operation that has given what it had to give */
		return view->call->effect == KMN_EFFECT_ENDS;
	}
}

bool
kmn_view_is_counted(const struct kmn_call_view *view)
{
	const struct kmn_call *row = view->call;

	return row->durability == KMN_DURABILITY_C ||
	       (row->policy == KMN_POLICY_KEY_USE && row->effect == KMN_EFFECT_STARTS) || kmn_view_is_part(view) ||
	       kmn_view_is_length_query(view);
}

bool
kmn_view_ends_operation(const struct kmn_call_view *v, uint64_t rv)
{
	switch (v->call->effect) {
	case KMN_EFFECT_NONE:
	case KMN_EFFECT_STARTS:
	case KMN_EFFECT_BELONGS:
		return false;
	case KMN_EFFECT_CONTINUES:
		return rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL;
	case KMN_EFFECT_ANSWERS:
		return rv != CKR_BUFFER_TOO_SMALL && !(rv == CKR_OK && kmn_view_is_length_query(v));
	case KMN_EFFECT_ENDS:
		return true;
	}
	return true;
}

unsigned
kmn_cancelled_operations(uint64_t flags)
{
	static const struct {
		CK_FLAGS flag;
		unsigned operations;
	} names[] = {
	    {CKF_FIND_OBJECTS, KMN_OP_FIND},
	    {CKF_ENCRYPT, KMN_OP_ENCRYPT},
	    {CKF_DECRYPT, KMN_OP_DECRYPT},
	    {CKF_DIGEST, KMN_OP_DIGEST},
	    {CKF_SIGN, KMN_OP_SIGN},
	    {CKF_SIGN_RECOVER, KMN_OP_SIGN_RECOVER},
	    {CKF_VERIFY, KMN_OP_VERIFY | KMN_OP_VERIFY_SIGNATURE},
	    {CKF_VERIFY_RECOVER, KMN_OP_VERIFY_RECOVER},
	    {CKF_MESSAGE_ENCRYPT, KMN_OP_MESSAGE_ENCRYPT},
	    {CKF_MESSAGE_DECRYPT, KMN_OP_MESSAGE_DECRYPT},
	    {CKF_MESSAGE_SIGN, KMN_OP_MESSAGE_SIGN},
	    {CKF_MESSAGE_VERIFY, KMN_OP_MESSAGE_VERIFY},
	};
	unsigned operations = 0;

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
		if ((flags & names[i].flag) != 0)
			operations |= names[i].operations;
	return operations;
}

unsigned
kmn_view_cancels(const struct kmn_call_view *v)
{
	const struct kmn_value *flags = kmn_view_nth(v, KMN_KIND_FLAGS, 0);

	return v->call != NULL && v->id == KMN_C_SessionCancel ? kmn_cancelled_operations(flags->number) : 0;
}
