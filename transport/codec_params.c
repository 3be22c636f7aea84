/*
 * Mechanisms and their parameters, from the caller's memory and back into it.
 * codec_mech.c has the other end.
 *
 *   mechanism = u8 form, then
 *     NULL                   nothing
 *     BARE, LENGTH, UNKNOWN  u64 type, u64 ulParameterLen
 *     BYTES                  u64 type, bytes
 *     STRUCT                 u64 type, layout, bytes: its fields in order, those of inner structures in their place
 *   layout   = u8 number; of one that a types file describes 255, u64 digest
 *   field    = scalars u64, BYTE u8, INLINE raw; BYTES u8 null, then for what goes in: bytes, or if null the u64
 *              stated length; for what only comes out: u64 length; TEXT as bytes; POINTER, NEW_OBJECT_AT u8 null;
 *              ARRAY u8 null, then u32 count, or if null the u64 stated count; TEMPLATE as codec_template.c says;
 *              MECHANISM u8 null, u64 type, u8 form, then u64 length, or bytes, or layout and fields;
 *              CHOICE u8 form (enum kmn_choice_form), then u64 stated length, bytes, u64, or fields
 *   write-back = u16 n, n * (u16 ordinal of the field, u64 number, u32 offset, bytes)
 *   late     = u8 n, n * (u16 operation, write-back): at the end of a response, if there is any
 *
 * Nothing that could hold a pointer ever crosses as bytes: a mechanism whose
 * parameter is a structure is taken in the form STRUCT or not at all, and a
 * vendor's parameter without a description only if no word of it is an address.
 */
#define _GNU_SOURCE /* process_vm_readv, pipe2 */
#include "transport/codec_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define LATE_OPERATIONS_MAX 2u /* that one call belongs to */
#define WRITE_BACK_MAX 256u    /* fields that one call can change */
#define LOWEST_ADDRESS 4096u   /* no mapping begins below */

/* ---- structures of this ABI ---------------------------------------------------------------------------------- */

static CK_ULONG
load_ulong(const uint8_t *at)
{
	CK_ULONG value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void *
load_pointer(const uint8_t *at)
{
	void *p;

	memcpy(&p, at, sizeof(p));
	return p;
}

/* A structure in memory, and the one that points to it. */
struct place {
	uint8_t *base;
	const struct place *outer;
};

struct visitor {
	void (*field)(struct visitor *v, const struct kmn_field *f, const struct place *at);
	struct kmn_writer *w; /* put */
	struct kmn_reader *r; /* apply */
	bool write;
	unsigned next, left;           /* ordinal of the next entry, and how many come after it */
	struct kmn_param_place *place; /* collect: places[max], of which `count` are used */
	size_t max, count;
	bool too_deep;
	unsigned ordinal;
};

const struct kmn_choice *
kmn_field_choice(const struct kmn_field *f, uint64_t value)
{
	for (size_t i = 0; i < f->choice_count; i++)
		if (f->choices[i].value == value)
			return &f->choices[i];
	return NULL;
}

static enum kmn_mech_form form_of(
    const CK_MECHANISM *m, enum kmn_param_family family, const struct kmn_layout **layout_out);

/* What a field leads to: `count` structures one after the other, or NULL. */
static const struct kmn_layout *
inner_of(const struct kmn_field *f, const struct place *at, uint8_t **base_out, CK_ULONG *count_out)
{
	const struct kmn_choice *choice;
	const struct kmn_layout *layout;
	CK_MECHANISM m;

	*count_out = 1;
	*base_out = NULL;
	switch (f->kind) {
	case KMN_FIELD_STRUCT:
		*base_out = at->base + f->at;
		break;
	case KMN_FIELD_POINTER:
		*base_out = load_pointer(at->base + f->at);
		break;
	case KMN_FIELD_ARRAY:
		*base_out = load_pointer(at->base + f->at);
		*count_out = load_ulong(at->base + f->len_at);
		break;
	case KMN_FIELD_CHOICE:
		*base_out = load_pointer(at->base + f->at);
		choice = kmn_field_choice(f, load_ulong(at->base + f->by_at));
		return *base_out != NULL && choice != NULL ? choice->inner : NULL;
	case KMN_FIELD_MECHANISM:
		if ((*base_out = load_pointer(at->base + f->at)) == NULL)
			return NULL;
		memcpy(&m, *base_out, sizeof(m));
		*base_out = m.pParameter;
		return form_of(&m, KMN_FAMILY_INIT, &layout) == KMN_MECH_STRUCT ? layout : NULL;
	default:
		return NULL;
	}
	return *base_out != NULL && *count_out <= KMN_PARAM_MAX_ELEMENTS ? f->inner : NULL;
}

/* Visits each field once, depth first, in the order of kmn_mech_next(). */
static void
visit(struct visitor *v, const struct kmn_layout *layout, const struct place *at, unsigned depth)
{
	if (depth >= KMN_PARAM_MAX_DEPTH) {
		v->too_deep = true;
		return;
	}
	for (size_t i = 0; i < layout->field_count && !v->too_deep; i++) {
		const struct kmn_field *f = &layout->fields[i];
		const struct kmn_layout *inner;
		struct place place = {NULL, at};
		CK_ULONG count;

		v->field(v, f, at);
		v->ordinal++;
		if ((inner = inner_of(f, at, &place.base, &count)) == NULL)
			continue;
		for (; count > 0; count--, place.base += inner->size)
			visit(v, inner, &place, depth + 1);
	}
}

static CK_ULONG
bytes_of_bits(CK_ULONG bits)
{
	return bits / 8 + (bits % 8 != 0);
}

/* How many bytes a KMN_FIELD_BYTES points to, by its caller's own words. */
static CK_ULONG
stated_length(const struct kmn_field *f, const struct place *at)
{
	const uint8_t *length = at->base + f->len_at;

	switch (f->unit) {
	case KMN_UNIT_OWN:
	case KMN_UNIT_FIELD:
		return load_ulong(length);
	case KMN_UNIT_BITS:
		return bytes_of_bits(load_ulong(length));
	case KMN_UNIT_OWN_PTR:
		length = load_pointer(length);
		return length != NULL ? load_ulong(length) : 0;
	case KMN_UNIT_BITS_OUT:
		return at->outer != NULL ? bytes_of_bits(load_ulong(at->outer->base + f->len_at)) : 0;
	case KMN_UNIT_FIXED:
		return f->size;
	}
	return 0;
}

/* ---- memory that may not be what its owner says -------------------------------------------------------------- */

/* The same where process_vm_readv() is not allowed: the kernel reads for write(2) too, and says EFAULT. */
static bool
copy_through_pipe(uint8_t *to, const void *from, size_t n)
{
	bool copied = false;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	if (write(ends[1], from, n) == (ssize_t)n)
		copied = read(ends[0], to, n) == (ssize_t)n;
	(void)close(ends[0]);
	(void)close(ends[1]);
	return copied;
}

/* Copies what a careless length may have made too long, n <= KMN_PARAM_MAX_NONCE_BYTES: the kernel says when the
 * memory ends. */
static bool
careful_copy(uint8_t *to, const void *from, size_t n)
{
	struct iovec local = {to, n}, remote = {.iov_len = n};
	ssize_t got;

	if (n == 0)
		return true;
	memcpy(&remote.iov_base, &from, sizeof(from));
	if ((got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0)) == (ssize_t)n)
		return true;
	if (got >= 0 || errno == EFAULT)
		return false;
	return copy_through_pipe(to, from, n);
}

/* Whether one of its words is an address of this process. */
static bool
has_pointers(const void *parameter, size_t n)
{
	uint8_t byte;

	for (size_t i = 0; n >= sizeof(void *) && i <= n - sizeof(void *); i += sizeof(void *)) {
		const void *p = load_pointer((const uint8_t *)parameter + i);

		if ((uintptr_t)p >= LOWEST_ADDRESS && careful_copy(&byte, p, 1))
			return true;
	}
	return false;
}

/* ---- out of the caller's memory ------------------------------------------------------------------------------ */

static void
refuse(struct kmn_writer *w)
{
	if (w->err == KMN_OK)
		w->err = KMN_E_MECHANISM_PARAM;
}

static void
put_guarded(struct kmn_writer *w, const void *bytes, CK_ULONG n)
{
	uint8_t copy[KMN_PARAM_MAX_NONCE_BYTES];

	if (n > sizeof(copy) || !careful_copy(copy, bytes, n))
		refuse(w);
	else
		kmn_writer_bytes(w, copy, n);
}

static void
put_bytes(struct kmn_writer *w, const struct kmn_field *f, const struct place *at)
{
	const void *bytes = load_pointer(at->base + f->at);
	CK_ULONG n = stated_length(f, at);

	kmn_writer_bool(w, bytes == NULL);
	if (bytes == NULL)
		kmn_length_put(w, n);
	else if (n > KMN_PARAM_MAX_FIELD_BYTES)
		refuse(w);
	else if (f->way == KMN_WAY_OUT)
		kmn_length_put(w, n);
	else if (f->guarded)
		put_guarded(w, bytes, n);
	else
		kmn_writer_bytes(w, bytes, n);
}

static void
put_text(struct kmn_writer *w, const char *text)
{
	size_t n = text != NULL ? strnlen(text, KMN_PARAM_MAX_TEXT_BYTES + 1) : 0;

	kmn_writer_bool(w, text == NULL);
	if (n > KMN_PARAM_MAX_TEXT_BYTES)
		refuse(w);
	else if (text != NULL)
		kmn_writer_bytes(w, text, n);
}

static void
put_count(struct kmn_writer *w, const void *array, CK_ULONG n)
{
	kmn_writer_bool(w, array == NULL);
	if (array == NULL)
		kmn_length_put(w, n);
	else if (n > KMN_PARAM_MAX_ELEMENTS)
		refuse(w);
	else
		kmn_writer_u32(w, (uint32_t)n);
}

static void
put_choice(struct kmn_writer *w, const struct kmn_field *f, const struct place *at)
{
	const struct kmn_choice *choice = kmn_field_choice(f, load_ulong(at->base + f->by_at));
	const void *p = load_pointer(at->base + f->at);
	CK_ULONG n = load_ulong(at->base + f->len_at);

	if (p == NULL) {
		kmn_writer_u8(w, KMN_CHOICE_NULL);
		kmn_length_put(w, n);
	} else if (choice == NULL || n > KMN_PARAM_MAX_FIELD_BYTES) {
		refuse(w);
	} else if (choice->kind == KMN_FIELD_STRUCT && n == choice->inner->size) {
		kmn_writer_u8(w, KMN_CHOICE_STRUCT);
	} else if ((choice->kind == KMN_FIELD_ULONG || choice->kind == KMN_FIELD_HANDLE) && n == sizeof(CK_ULONG)) {
		kmn_writer_u8(w, KMN_CHOICE_NUMBER);
		kmn_ulong_put(w, load_ulong(p));
	} else if (choice->kind == KMN_FIELD_BYTES || choice->kind == KMN_FIELD_ULONG) {
		kmn_writer_u8(w, KMN_CHOICE_BYTES);
		kmn_writer_bytes(w, p, n);
	} else {
		refuse(w); /* a handle or structure of a wrong size: it could not be translated */
	}
}

static void
put_layout(struct kmn_writer *w, const struct kmn_layout *layout)
{
	kmn_writer_u8(w, layout->id);
	if (layout->id == KMN_LAYOUT_DESCRIBED)
		kmn_writer_u64(w, layout->digest);
}

/* A mechanism inside a parameter; its fields come after it. */
static void
put_inner_mechanism(struct kmn_writer *w, const void *p)
{
	const struct kmn_layout *layout;
	enum kmn_mech_form form;
	CK_MECHANISM m;

	kmn_writer_bool(w, p == NULL);
	if (p == NULL)
		return;
	memcpy(&m, p, sizeof(m));
	form = form_of(&m, KMN_FAMILY_INIT, &layout);
	if (form == KMN_MECH_FORM_COUNT || (form != KMN_MECH_BARE && m.ulParameterLen > KMN_MECH_PARAM_MAX_BYTES)) {
		refuse(w);
		return;
	}
	kmn_ulong_put(w, m.mechanism);
	kmn_writer_u8(w, (uint8_t)form);
	if (form == KMN_MECH_STRUCT)
		put_layout(w, layout);
	else if (form == KMN_MECH_BYTES)
		kmn_writer_bytes(w, m.pParameter, m.ulParameterLen);
	else
		kmn_length_put(w, m.ulParameterLen);
}

static void
put_field(struct visitor *v, const struct kmn_field *f, const struct place *at)
{
	const uint8_t *member = at->base + f->at;

	switch (f->kind) {
	case KMN_FIELD_ULONG:
	case KMN_FIELD_MECH:
	case KMN_FIELD_MGF:
	case KMN_FIELD_HANDLE:
		kmn_ulong_put(v->w, load_ulong(member));
		return;
	case KMN_FIELD_BYTE:
		kmn_writer_u8(v->w, *member);
		return;
	case KMN_FIELD_INLINE:
		kmn_writer_raw(v->w, member, f->size);
		return;
	case KMN_FIELD_BYTES:
		put_bytes(v->w, f, at);
		return;
	case KMN_FIELD_TEXT:
		put_text(v->w, load_pointer(member));
		return;
	case KMN_FIELD_POINTER:
	case KMN_FIELD_NEW_OBJECT_AT:
		kmn_writer_bool(v->w, load_pointer(member) == NULL);
		return;
	case KMN_FIELD_ARRAY:
		put_count(v->w, load_pointer(member), load_ulong(at->base + f->len_at));
		return;
	case KMN_FIELD_TEMPLATE:
		kmn_template_put(v->w, load_pointer(member), load_ulong(at->base + f->len_at), KMN_TEMPLATE_IN);
		return;
	case KMN_FIELD_MECHANISM:
		put_inner_mechanism(v->w, load_pointer(member));
		return;
	case KMN_FIELD_CHOICE:
		put_choice(v->w, f, at);
		return;
	case KMN_FIELD_STRUCT:
	case KMN_FIELD_NEW_OBJECT:
	case KMN_FIELD_KIND_COUNT:
		return;
	}
}

static void
put_struct(struct kmn_writer *w, const struct kmn_layout *layout, const CK_MECHANISM *m)
{
	struct visitor v = {.field = put_field, .w = w};
	struct place at = {m->pParameter, NULL};
	size_t hole;

	put_layout(w, layout);
	hole = kmn_writer_hole_u32(w);
	visit(&v, layout, &at, 0);
	kmn_writer_patch_u32(w, hole, (uint32_t)(w->len - hole - 4));
	if (v.too_deep || w->len - hole > KMN_MECH_FIELDS_MAX_BYTES)
		refuse(w);
}

/* The parameter of a message without an operation: the module will say so, and nobody knows what it is. */
static bool
is_of_no_operation(enum kmn_param_family family, uint64_t type)
{
	return family == KMN_FAMILY_MESSAGE && type == CK_UNAVAILABLE_INFORMATION;
}

/* In which form this mechanism crosses; KMN_MECH_FORM_COUNT: not at all. */
static enum kmn_mech_form
form_of(const CK_MECHANISM *m, enum kmn_param_family family, const struct kmn_layout **layout_out)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(m->mechanism);
	enum kmn_mech_takes takes = row != NULL ? kmn_mechanism_takes(row, family) : KMN_TAKES_NOTHING;

	*layout_out = NULL;
	if (is_of_no_operation(family, m->mechanism))
		return m->pParameter == NULL ? KMN_MECH_BARE : KMN_MECH_LENGTH;
	if (takes == KMN_TAKES_REFUSED)
		return KMN_MECH_FORM_COUNT;
	if (m->pParameter == NULL)
		return KMN_MECH_BARE;
	if (row == NULL && m->ulParameterLen > 0)
		return m->mechanism >= CKM_VENDOR_DEFINED && m->ulParameterLen <= KMN_MECH_PARAM_MAX_BYTES &&
			       !has_pointers(m->pParameter, m->ulParameterLen)
			   ? KMN_MECH_BYTES
			   : KMN_MECH_FORM_COUNT;
	if (takes == KMN_TAKES_BYTES)
		return KMN_MECH_BYTES;
	if (takes == KMN_TAKES_NOTHING)
		return KMN_MECH_LENGTH;
	*layout_out = kmn_mechanism_layout(row, family, m->pParameter, m->ulParameterLen);
	return *layout_out != NULL ? KMN_MECH_STRUCT : KMN_MECH_FORM_COUNT;
}

void
kmn_mech_put(struct kmn_writer *w, const CK_MECHANISM *m, enum kmn_param_family family)
{
	const struct kmn_layout *layout = NULL;
	enum kmn_mech_form form = m == NULL ? KMN_MECH_NULL : form_of(m, family, &layout);

	if (form == KMN_MECH_FORM_COUNT ||
	    (form != KMN_MECH_NULL && form != KMN_MECH_BARE && m->ulParameterLen > KMN_MECH_PARAM_MAX_BYTES)) {
		refuse(w);
		return;
	}
	kmn_writer_u8(w, (uint8_t)form);
	if (form == KMN_MECH_NULL)
		return;
	if (is_of_no_operation(family, m->mechanism))
		kmn_writer_u64(w, KMN_UNAVAILABLE);
	else
		kmn_ulong_put(w, m->mechanism);
	if (form == KMN_MECH_BYTES)
		kmn_writer_bytes(w, m->pParameter, m->ulParameterLen);
	else if (form == KMN_MECH_STRUCT)
		put_struct(w, layout, m);
	else
		kmn_length_put(w, m->ulParameterLen);
}

void
kmn_mech_put_unknown(struct kmn_writer *w, const CK_MECHANISM *m)
{
	kmn_writer_u8(w, m == NULL ? KMN_MECH_NULL : KMN_MECH_UNKNOWN);
	if (m == NULL)
		return;
	kmn_ulong_put(w, m->mechanism);
	kmn_length_put(w, m->ulParameterLen);
}

enum kmn_param_family
kmn_call_family(const struct kmn_call *call)
{
	enum kmn_call_id id = kmn_call_id_of(call);

	if (id == KMN_C_WrapKeyAuthenticated || id == KMN_C_UnwrapKeyAuthenticated)
		return KMN_FAMILY_WRAP_AUTHENTICATED;
	if (call->effect == KMN_EFFECT_STARTS &&
	    (call->operations & (KMN_OP_SIGN | KMN_OP_SIGN_RECOVER | KMN_OP_MESSAGE_SIGN)) != 0)
		return KMN_FAMILY_SIGN;
	return KMN_FAMILY_INIT;
}

/* ---- write-back ---------------------------------------------------------------------------------------------- */

/* The number of the field that the next entry is about, or one that no field has. */
static void
next_entry(struct visitor *v)
{
	unsigned last = v->next;

	v->next = UINT16_MAX + 1u;
	if (v->left == 0)
		return;
	v->left--;
	v->next = kmn_reader_u16(v->r);
	if (v->r->err == KMN_OK && last != UINT16_MAX + 1u && v->next <= last)
		kmn_reader_fail(v->r, KMN_E_MALFORMED);
}

/* What may come back of a field: where it is in the caller's memory, and how much of it there is. */
static bool
out_of(const struct kmn_field *f, const struct place *at, struct kmn_param_place *out)
{
	memset(out, 0, sizeof(*out));
	if (f->kind == KMN_FIELD_NEW_OBJECT || f->kind == KMN_FIELD_NEW_OBJECT_AT) {
		out->bytes = f->kind == KMN_FIELD_NEW_OBJECT ? at->base + f->at : load_pointer(at->base + f->at);
		out->is_handle = true;
		return out->bytes != NULL;
	}
	if (f->kind != KMN_FIELD_BYTES || f->way == KMN_WAY_IN)
		return false;
	out->bytes = load_pointer(at->base + f->at);
	out->room = stated_length(f, at);
	out->length = f->unit == KMN_UNIT_OWN_PTR ? load_pointer(at->base + f->len_at) : NULL;
	return out->bytes != NULL;
}

/* Long after the call that named it, memory may be gone: a module that writes there all the same would have crashed its
 * caller, and we need not. */
static void
careful_write(void *to, const void *from, size_t n)
{
	struct iovec local = {.iov_len = n}, remote = {to, n};

	memcpy(&local.iov_base, &from, sizeof(from));
	if (process_vm_writev(getpid(), &local, 1, &remote, 1, 0) < 0 && errno != EFAULT)
		memcpy(to, from, n);
}

/* One change: u64 number, u32 offset, bytes. */
static void
apply_change(struct kmn_reader *r, const struct kmn_param_place *out, bool write)
{
	CK_ULONG number = out->is_handle ? kmn_ulong_get(r) : kmn_length_get(r);
	uint32_t offset = kmn_reader_u32(r);
	const uint8_t *bytes;
	size_t n = kmn_reader_bytes(r, KMN_PARAM_MAX_FIELD_BYTES, &bytes);

	if (r->err == KMN_OK && (out->is_handle ? n > 0 || offset > 0 : offset > out->room || n > out->room - offset))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (!write || r->err != KMN_OK)
		return;
	if (out->is_handle)
		careful_write(out->bytes, &number, sizeof(number));
	else if (n > 0)
		careful_write(out->bytes + offset, bytes, n);
	if (out->length != NULL)
		careful_write(out->length, &number, sizeof(number));
}

static void
apply_field(struct visitor *v, const struct kmn_field *f, const struct place *at)
{
	struct kmn_param_place out;

	if (v->ordinal != v->next || v->r->err != KMN_OK)
		return;
	if (out_of(f, at, &out))
		apply_change(v->r, &out, v->write);
	else
		kmn_reader_fail(v->r, KMN_E_MALFORMED);
	next_entry(v);
}

/* Without a parameter at hand: entries must still be entries. */
static void
skip_entries(struct kmn_reader *r, unsigned count)
{
	const uint8_t *bytes;

	for (unsigned i = 0; i < count && r->err == KMN_OK; i++) {
		(void)kmn_reader_u16(r);
		(void)kmn_reader_u64(r);
		(void)kmn_reader_u32(r);
		(void)kmn_reader_bytes(r, KMN_PARAM_MAX_FIELD_BYTES, &bytes);
	}
}

/* A parameter that is bytes may come back changed as a whole: it counts as one field. */
static bool
place_of_bytes(const CK_MECHANISM *m, struct kmn_param_place *out)
{
	*out = (struct kmn_param_place){.bytes = m->pParameter, .room = m->ulParameterLen};
	return m->ulParameterLen > 0;
}

void
kmn_mech_apply(struct kmn_reader *r, CK_MECHANISM *m, enum kmn_param_family family, bool write)
{
	struct visitor v = {.field = apply_field, .r = r, .write = write, .next = UINT16_MAX + 1u};
	const struct kmn_layout *layout = NULL;
	struct place at = {m != NULL ? m->pParameter : NULL, NULL};
	struct kmn_param_place whole;
	enum kmn_mech_form form;

	v.left = kmn_reader_u16(r);
	if (v.left > WRITE_BACK_MAX)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	if (m == NULL) {
		skip_entries(r, v.left);
		return;
	}
	if (v.left == 0 || r->err != KMN_OK)
		return;
	form = form_of(m, family, &layout);
	next_entry(&v);
	if (form == KMN_MECH_STRUCT) {
		visit(&v, layout, &at, 0);
	} else if (form == KMN_MECH_BYTES && v.next == 0 && place_of_bytes(m, &whole)) {
		apply_change(r, &whole, write);
		next_entry(&v);
	}
	if (v.next != UINT16_MAX + 1u || v.left != 0)
		kmn_reader_fail(r, KMN_E_MALFORMED);
}

/* ---- write-back after the call ------------------------------------------------------------------------------- */

static void
collect_field(struct visitor *v, const struct kmn_field *f, const struct place *at)
{
	struct kmn_param_place out;

	if (v->count == v->max || !out_of(f, at, &out))
		return;
	out.ordinal = v->ordinal;
	v->place[v->count++] = out;
}

size_t
kmn_arg_places(enum kmn_call_id id, const struct kmn_arg *arg, struct kmn_param_place *places, size_t max)
{
	const struct kmn_call *call = kmn_call_row(id);
	struct visitor v = {.field = collect_field, .place = places, .max = max};
	const struct kmn_layout *layout;
	const CK_MECHANISM *m = NULL;
	struct place at;

	for (size_t i = 0; call->effect == KMN_EFFECT_STARTS && i < call->param_count; i++)
		if (call->param[i].kind == KMN_KIND_MECHANISM)
			m = arg[i].p;
	if (m == NULL || max == 0)
		return 0;
	at = (struct place){m->pParameter, NULL};
	switch (form_of(m, kmn_call_family(call), &layout)) {
	case KMN_MECH_STRUCT:
		visit(&v, layout, &at, 0);
		return v.count;
	case KMN_MECH_BYTES:
		return place_of_bytes(m, places) ? 1 : 0;
	default:
		return 0;
	}
}

unsigned
kmn_late_operation(struct kmn_reader *r)
{
	return kmn_reader_u16(r);
}

void
kmn_late_apply(struct kmn_reader *r, const struct kmn_param_place *places, size_t count)
{
	unsigned n = kmn_reader_u16(r);

	if (n > WRITE_BACK_MAX)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	if (places == NULL) {
		skip_entries(r, n);
		return;
	}
	for (; n > 0 && r->err == KMN_OK; n--) {
		unsigned ordinal = kmn_reader_u16(r);
		size_t i = 0;

		while (i < count && places[i].ordinal != ordinal)
			i++;
		if (i < count)
			apply_change(r, &places[i], true);
		else
			kmn_reader_fail(r, KMN_E_MALFORMED);
	}
}

void
kmn_late_get(struct kmn_reader *r, unsigned *count_out, const uint8_t **bytes_out, size_t *len_out)
{
	*count_out = 0;
	*bytes_out = r->at;
	*len_out = 0;
	if (r->err != KMN_OK || r->at == r->end)
		return;
	*count_out = kmn_reader_u8(r);
	*bytes_out = r->at;
	if (*count_out == 0 || *count_out > LATE_OPERATIONS_MAX)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	for (unsigned i = 0; r->err == KMN_OK && i < *count_out; i++) {
		(void)kmn_late_operation(r);
		kmn_late_apply(r, NULL, 0);
	}
	*len_out = r->err == KMN_OK ? (size_t)(r->at - *bytes_out) : 0;
}
