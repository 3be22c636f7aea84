/* Mechanism parameters for the module: built from a view, compared after the call. */
#include "server/hsm/invoke_parts.h"

#include <string.h>

struct build {
	const struct kmn_handles *handles;
	struct kmn_arena *arena;
	struct kmn_param_native *native;
	uint8_t *base[KMN_PARAM_MAX_DEPTH]; /* the structure at each depth */
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

static bool
note_out(struct build *b, const struct kmn_field_view *v, uint8_t *bytes, size_t room, CK_ULONG *length)
{
	struct kmn_param_native *native = b->native;

	if (native->outs == KMN_PARAM_OUTS_MAX)
		return false;
	native->out[native->outs++] = (struct kmn_param_out){v->ordinal, v->field, bytes, room, v->bytes, length};
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

static bool
build_bytes(struct build *b, const struct kmn_field_view *v, uint8_t *base)
{
	CK_ULONG n = kmn_native_length(v->number), *length;
	uint8_t *bytes;

	if (!store_length(b, v, base, n, &length))
		return false;
	if (v->null)
		return true;
	if ((bytes = kmn_arena_take(b->arena, n, KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	if (v->len > 0)
		memcpy(bytes, v->bytes, v->len);
	store_pointer(base + v->field->at, bytes);
	return v->field->way == KMN_WAY_IN || note_out(b, v, bytes, n, length);
}

static bool
build_text(struct build *b, const struct kmn_field_view *v, uint8_t *base)
{
	char *text;

	if (v->null)
		return true;
	if ((text = kmn_arena_take(b->arena, v->len + 1, 0)) == NULL)
		return false;
	if (v->len > 0)
		memcpy(text, v->bytes, v->len);
	store_pointer(base + v->field->at, text);
	return true;
}

static bool
build_pointer(struct build *b, const struct kmn_field_view *v, uint8_t *base)
{
	uint8_t *inner;

	if (v->null)
		return true;
	if ((inner = kmn_arena_take(b->arena, v->field->inner->size, KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	store_pointer(base + v->field->at, inner);
	b->base[v->depth + 1] = inner;
	return true;
}

static bool
build_field(struct build *b, const struct kmn_field_view *v)
{
	uint8_t *base = b->base[v->depth], *member = base + v->field->at;

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
		return build_text(b, v, base);
	case KMN_FIELD_STRUCT:
		b->base[v->depth + 1] = member;
		return true;
	case KMN_FIELD_POINTER:
		return build_pointer(b, v, base);
	case KMN_FIELD_NEW_OBJECT:
		return note_out(b, v, member, sizeof(CK_OBJECT_HANDLE), NULL);
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

bool
kmn_param_build(
    const struct kmn_mech_view *m, const struct kmn_handles *handles, struct kmn_arena *a, struct kmn_param_native *out)
{
	struct build b = {.handles = handles, .arena = a, .native = out};
	CK_MECHANISM *native = &out->mechanism;

	memset(out, 0, sizeof(*out));
	if (m->form == KMN_MECH_NULL)
		return true;
	if (!kmn_native_ulong(m->type, &native->mechanism))
		return false;
	if (m->form == KMN_MECH_STRUCT)
		return build_struct(m, &b);
	native->ulParameterLen = kmn_native_length(m->len);
	if (m->form == KMN_MECH_BARE)
		return true;
	native->pParameter = kmn_arena_take(a, m->len, KMN_SLACK_NUMBER_BYTES);
	if (native->pParameter == NULL)
		return false;
	if (m->form == KMN_MECH_BYTES && m->len > 0)
		memcpy(native->pParameter, m->bytes, m->len);
	return true;
}

/* ---- after the call ---- */

static bool
all_zero(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool
changed(const struct kmn_param_out *o)
{
	if (o->before != NULL)
		return memcmp(o->bytes, o->before, o->room) != 0;
	return !all_zero(o->bytes, o->room) || (o->length != NULL && *o->length != o->room);
}

static void
put_change(const struct kmn_param_out *o, const struct kmn_handles *handles, const struct kmn_call_view *v,
    struct kmn_writer *w)
{
	CK_OBJECT_HANDLE object;
	CK_ULONG n = (CK_ULONG)o->room;

	kmn_writer_u16(w, (uint16_t)o->ordinal);
	if (o->field->kind == KMN_FIELD_NEW_OBJECT) {
		memcpy(&object, o->bytes, sizeof(object));
		kmn_writer_u64(w, handles->object_out(handles->cookie, v, object));
		kmn_writer_bytes(w, NULL, 0);
		return;
	}
	if (o->length != NULL)
		n = *o->length;
	kmn_length_put(w, n);
	kmn_writer_bytes(w, o->bytes, n < o->room ? n : o->room);
}

void
kmn_param_put_changes(const struct kmn_param_native *native, const struct kmn_handles *handles,
    const struct kmn_call_view *v, struct kmn_writer *w)
{
	uint16_t n = 0;

	for (size_t i = 0; i < native->outs; i++)
		n = (uint16_t)(n + (changed(&native->out[i]) ? 1 : 0));
	kmn_writer_u8(w, n > 0 ? KMN_OUTPUT_WHOLE : KMN_OUTPUT_NONE);
	if (n == 0)
		return;
	kmn_writer_u16(w, n);
	for (size_t i = 0; i < native->outs; i++)
		if (changed(&native->out[i]))
			put_change(&native->out[i], handles, v, w);
}
