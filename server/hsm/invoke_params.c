/* Mechanism parameters for the module: built from a view, compared after each call. */
#include "server/hsm/invoke_parts.h"

#include <string.h>
#include <sys/random.h>

struct build {
	const struct kmn_handles *handles;
	struct kmn_arena *arena;
	struct kmn_param_native *native;
	uint8_t *base[KMN_PARAM_MAX_DEPTH]; /* the structures at each depth, one after the other */
};

static void
store_pointer(uint8_t *at, void *p)
{
	memcpy(at, &p, sizeof(p));
}

static bool
store_ulong(uint8_t *at, uint64_t wire)
{
	CK_ULONG value;

	if (!kmn_native_ulong(wire, &value))
		return false;
	memcpy(at, &value, sizeof(value));
	return true;
}

#define TELLING_BYTES 8u /* so many random bytes are not written again by chance */

static bool
fill_random(uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i += 256)
		if (getrandom(bytes + i, n - i < 256 ? n - i : 256, 0) < 0)
			return false;
	return true;
}

/*
 * Memory that the module may write to. What it holds before is kept; where
 * nothing came for it that is chance, so that zeros written into it show too.
 */
static bool
note_out(
    struct build *b, unsigned ordinal, uint8_t *bytes, size_t room, bool is_handle, bool is_given, CK_ULONG *length)
{
	struct kmn_param_native *native = b->native;
	struct kmn_param_out *out;

	if (native->out == NULL &&
	    (native->out = kmn_arena_take(b->arena, KMN_PARAM_OUTS_MAX * sizeof(*native->out), 0)) == NULL)
		return false;
	if (native->outs == KMN_PARAM_OUTS_MAX)
		return false;
	out = &native->out[native->outs++];
	*out = (struct kmn_param_out){.ordinal = ordinal,
	    .is_handle = is_handle,
	    .bytes = bytes,
	    .room = room,
	    .length = length,
	    .length_before = length != NULL ? *length : 0};
	if ((out->before = kmn_arena_take(b->arena, room, 0)) == NULL)
		return false;
	if (!is_given && room >= TELLING_BYTES && !fill_random(bytes, room))
		return false;
	if (room > 0)
		memcpy(out->before, bytes, room);
	return true;
}

/* The length of a BYTES where the structure wants it. */
static bool
store_length(struct build *b, const struct kmn_field_view *v, uint8_t *base, CK_ULONG n, CK_ULONG **length_out)
{
	*length_out = NULL;
	if (v->field->unit == KMN_UNIT_OWN)
		memcpy(base + v->field->len_at, &n, sizeof(n));
	if (v->field->unit != KMN_UNIT_OWN_PTR)
		return true;
	if ((*length_out = kmn_arena_take(b->arena, sizeof(n), KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	**length_out = n;
	store_pointer(base + v->field->len_at, *length_out);
	return true;
}

/* Memory for what a pointer of the structure points to. */
static uint8_t *
point_at(struct build *b, uint8_t *member, size_t n, size_t slack)
{
	uint8_t *bytes = kmn_arena_take(b->arena, n, slack);

	if (bytes != NULL)
		store_pointer(member, bytes);
	return bytes;
}

static uint8_t *
point_at_copy(struct build *b, uint8_t *member, const void *from, size_t len, size_t n)
{
	uint8_t *bytes = point_at(b, member, n, KMN_SLACK_NUMBER_BYTES);

	if (bytes != NULL && len > 0)
		memcpy(bytes, from, len);
	return bytes;
}

static bool
build_bytes(struct build *b, const struct kmn_field_view *v, uint8_t *base)
{
	CK_ULONG n = kmn_native_length(v->number), *length;
	uint8_t *bytes;

	if (!store_length(b, v, base, n, &length))
		return false;
	if (v->null)
		return true;
	if (v->field->way == KMN_WAY_IN)
		return point_at_copy(b, base + v->field->at, v->bytes, v->len, n) != NULL;
	if ((bytes = kmn_arena_take_out(b->arena, n, KMN_SLACK_BYTES)) == NULL)
		return false;
	store_pointer(base + v->field->at, bytes);
	if (v->len > 0)
		memcpy(bytes, v->bytes, v->len);
	return note_out(b, v->ordinal, bytes, n, false, v->field->way == KMN_WAY_INOUT, length);
}

/* Structures that the fields to come are for. */
static bool
build_inner(struct build *b, const struct kmn_field_view *v, uint8_t *member, size_t count)
{
	uint8_t *inner;

	if (v->inner == NULL)
		return v->null || point_at(b, member, 0, KMN_SLACK_NUMBER_BYTES) != NULL;
	if ((inner = point_at(b, member, v->inner->size * count, KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	b->base[v->depth + 1] = inner;
	return true;
}

static bool
build_array(struct build *b, const struct kmn_field_view *v, uint8_t *base)
{
	CK_ULONG n = kmn_native_length(v->number);

	memcpy(base + v->field->len_at, &n, sizeof(n));
	return build_inner(b, v, base + v->field->at, v->null ? 0 : n);
}

static bool
build_template(struct build *b, const struct kmn_field_view *v, uint8_t *base)
{
	CK_ULONG n = kmn_native_length(v->number);
	bool failed;

	memcpy(base + v->field->len_at, &n, sizeof(n));
	if (!kmn_template_agrees(&v->template))
		return false;
	store_pointer(base + v->field->at, kmn_template_build(&v->template, b->arena, &failed));
	return !failed;
}

static bool
build_choice(struct build *b, const struct kmn_field_view *v, uint8_t *base)
{
	uint8_t *member = base + v->field->at, *to;
	CK_ULONG n = kmn_native_length(v->number);
	uint64_t number = v->number;

	if (v->kind == KMN_FIELD_STRUCT)
		n = v->inner->size;
	else if (v->kind != KMN_FIELD_BYTES)
		n = sizeof(CK_ULONG);
	memcpy(base + v->field->len_at, &n, sizeof(n));
	if (v->null)
		return true;
	if (v->kind == KMN_FIELD_STRUCT)
		return build_inner(b, v, member, 1);
	if (v->kind == KMN_FIELD_BYTES)
		return point_at_copy(b, member, v->bytes, v->len, v->len) != NULL;
	if (v->kind == KMN_FIELD_HANDLE)
		number = b->handles->object_in(b->handles->cookie, number);
	return (to = point_at(b, member, sizeof(CK_ULONG), KMN_SLACK_NUMBER_BYTES)) != NULL && store_ulong(to, number);
}

/* A CK_MECHANISM with a parameter of one of the simple forms; a structure's fields come after it. */
static bool
build_inner_mechanism(struct build *b, const struct kmn_field_view *v, uint8_t *member)
{
	CK_MECHANISM m = {.ulParameterLen = kmn_native_length(v->len)};
	uint8_t *to;

	if (v->null)
		return true;
	if (!kmn_native_ulong(v->number, &m.mechanism) ||
	    (to = point_at(b, member, sizeof(m), KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	if (v->form == KMN_MECH_STRUCT)
		m.ulParameterLen = v->inner->size;
	if (v->form != KMN_MECH_BARE &&
	    (m.pParameter = kmn_arena_take(b->arena, m.ulParameterLen, KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	if (v->form == KMN_MECH_BYTES && v->len > 0)
		memcpy(m.pParameter, v->bytes, v->len);
	if (v->form == KMN_MECH_STRUCT)
		b->base[v->depth + 1] = m.pParameter;
	memcpy(to, &m, sizeof(m));
	return true;
}

static bool
build_new_object(struct build *b, const struct kmn_field_view *v, uint8_t *member)
{
	if (v->null)
		return true;
	if (v->field->kind == KMN_FIELD_NEW_OBJECT_AT &&
	    (member = point_at(b, member, sizeof(CK_OBJECT_HANDLE), KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	return note_out(b, v->ordinal, member, sizeof(CK_OBJECT_HANDLE), true, false, NULL);
}

static bool
build_field(struct build *b, const struct kmn_field_view *v)
{
	uint8_t *base = b->base[v->depth] + v->element * (size_t)v->in->size, *member = base + v->field->at;

	switch (v->field->kind) {
	case KMN_FIELD_ULONG:
	case KMN_FIELD_MECH:
	case KMN_FIELD_MGF:
		return store_ulong(member, v->number);
	case KMN_FIELD_HANDLE:
		return store_ulong(member, b->handles->object_in(b->handles->cookie, v->number));
	case KMN_FIELD_BYTE:
		*member = (uint8_t)v->number;
		return true;
	case KMN_FIELD_INLINE:
		memcpy(member, v->bytes, v->len);
		return true;
	case KMN_FIELD_BYTES:
		return build_bytes(b, v, base);
	case KMN_FIELD_TEXT:
		return v->null || point_at_copy(b, member, v->bytes, v->len, v->len + 1) != NULL;
	case KMN_FIELD_STRUCT:
		b->base[v->depth + 1] = member;
		return true;
	case KMN_FIELD_POINTER:
		return build_inner(b, v, member, 1);
	case KMN_FIELD_ARRAY:
		return build_array(b, v, base);
	case KMN_FIELD_TEMPLATE:
		return build_template(b, v, base);
	case KMN_FIELD_MECHANISM:
		return build_inner_mechanism(b, v, member);
	case KMN_FIELD_CHOICE:
		return build_choice(b, v, base);
	case KMN_FIELD_NEW_OBJECT:
	case KMN_FIELD_NEW_OBJECT_AT:
		return build_new_object(b, v, member);
	case KMN_FIELD_KIND_COUNT:
		return false;
	}
	return false;
}

static bool
build_struct(const struct kmn_mech_view *m, struct build *b)
{
	CK_MECHANISM *native = &b->native->mechanism;
	struct kmn_field_cursor c = {0};
	struct kmn_field_view v;

	native->ulParameterLen = m->layout->size;
	native->pParameter = kmn_arena_take(b->arena, m->layout->size, KMN_SLACK_NUMBER_BYTES);
	if ((b->base[0] = native->pParameter) == NULL)
		return false;
	while (kmn_mech_next(m, &c, &v))
		if (!build_field(b, &v))
			return false;
	return true;
}

static bool
build_flat(const struct kmn_mech_view *m, struct build *b)
{
	CK_MECHANISM *native = &b->native->mechanism;

	native->ulParameterLen = kmn_native_length(m->len);
	if (m->form == KMN_MECH_BARE)
		return true;
	if (m->form == KMN_MECH_UNKNOWN ||
	    (native->pParameter = kmn_arena_take(b->arena, m->len, KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	if (m->form != KMN_MECH_BYTES)
		return true;
	if (m->len > 0)
		memcpy(native->pParameter, m->bytes, m->len);
	return note_out(b, 0, native->pParameter, m->len, false, true, NULL);
}

struct kmn_param_native *
kmn_param_build(const struct kmn_mech_view *m, const struct kmn_handles *handles, struct kmn_arena *a)
{
	struct build b = {.handles = handles, .arena = a, .native = kmn_arena_take(a, sizeof(*b.native), 0)};

	if (b.native == NULL || m->form == KMN_MECH_NULL)
		return b.native;
	b.native->mechanism.mechanism = kmn_native_length(m->type); /* of a message for which none is known */
	if (m->family != KMN_FAMILY_MESSAGE && !kmn_native_ulong(m->type, &b.native->mechanism.mechanism))
		return NULL;
	return (m->form == KMN_MECH_STRUCT ? build_struct(m, &b) : build_flat(m, &b)) ? b.native : NULL;
}

/* ---- after the call ---- */

/* Room too small to tell is taken for written by a call that succeeded. */
static bool
changed(const struct kmn_param_native *native, const struct kmn_param_out *o)
{
	if (!o->is_given && o->room > 0 && o->room < TELLING_BYTES && native->succeeded)
		return true;
	return memcmp(o->bytes, o->before, o->room) != 0 || (o->length != NULL && *o->length != o->length_before);
}

static void
put_handle(const struct kmn_param_out *o, const struct kmn_handles *handles, const struct kmn_call_view *v,
    struct kmn_writer *w)
{
	CK_OBJECT_HANDLE object;

	memcpy(&object, o->bytes, sizeof(object));
	kmn_writer_u64(
	    w, object == CK_INVALID_HANDLE ? CK_INVALID_HANDLE : handles->object_out(handles->cookie, v, object));
	kmn_writer_u32(w, 0);
	kmn_writer_bytes(w, NULL, 0);
}

/* Of what the caller gave, from the first byte that changed to the last: the rest stays as it is at the caller's. */
static void
put_bytes(const struct kmn_param_out *o, struct kmn_writer *w)
{
	size_t first = 0, end = o->room;

	if (o->length != NULL && *o->length < end)
		end = *o->length;
	while (o->is_given && end > 0 && o->bytes[end - 1] == o->before[end - 1])
		end--;
	while (o->is_given && first < end && o->bytes[first] == o->before[first])
		first++;
	kmn_length_put(w, o->length != NULL ? *o->length : (CK_ULONG)o->room);
	kmn_writer_u32(w, (uint32_t)first);
	kmn_writer_bytes(w, o->bytes + first, end - first);
}

bool
kmn_param_is_changed(const struct kmn_param_native *native)
{
	for (size_t i = 0; i < native->outs; i++)
		if (changed(native, &native->out[i]))
			return true;
	return false;
}

void
kmn_param_put_changes(struct kmn_param_native *native, const struct kmn_handles *handles, const struct kmn_call_view *v,
    struct kmn_writer *w)
{
	uint16_t n = 0;

	for (size_t i = 0; i < native->outs; i++)
		n = (uint16_t)(n + (changed(native, &native->out[i]) ? 1 : 0));
	kmn_writer_u16(w, n);
	for (size_t i = 0; i < native->outs; i++) {
		struct kmn_param_out *o = &native->out[i];

		if (!changed(native, o))
			continue;
		kmn_writer_u16(w, (uint16_t)o->ordinal);
		if (o->is_handle)
			put_handle(o, handles, v, w);
		else
			put_bytes(o, w);
		memcpy(o->before, o->bytes, o->room);
		o->length_before = o->length != NULL ? *o->length : 0;
		o->is_given = true; /* from now on what comes is compared with what the caller has */
	}
}
