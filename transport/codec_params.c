/*
 * Mechanisms and their parameters.
 *
 *   mechanism = u8 form, then
 *     NULL          nothing
 *     BARE, LENGTH  u64 type, u64 ulParameterLen
 *     BYTES         u64 type, bytes
 *     STRUCT        u64 type, u8 layout, bytes: its fields in order, those of inner structures in their place
 *   field    = scalars u64, BYTE u8, INLINE raw; BYTES u8 null, then for what goes in: bytes, or if null the u64
 *              stated length; for what only comes out: u64 length; TEXT as bytes; POINTER u8 null
 *   write-back = u16 n, n * (u16 ordinal of the field, u64 number, bytes)
 *
 * Nothing that could hold a pointer ever crosses as bytes: a mechanism whose
 * parameter is a structure is taken in the form STRUCT or not at all.
 */
#define _GNU_SOURCE /* process_vm_readv */
#include "transport/codec_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FIELDS_MAX 16u     /* of one structure */
#define GUARDED_MAX 256u   /* bytes of an IV or a nonce */
#define TEXT_MAX 256u      /* bytes of a NUL-terminated string */
#define WRITE_BACK_MAX 64u /* fields that one call can change */

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
	unsigned ordinal, next;
	unsigned left; /* entries of the write-back still to come */
};

/* Visits each field once, depth first, in the order of kmn_mech_next(). */
static void
visit(struct visitor *v, const struct kmn_layout *layout, const struct place *at)
{
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct kmn_field *f = &layout->fields[i];
		struct place inner = {at->base + f->at, at};

		v->field(v, f, at);
		v->ordinal++;
		if (f->kind == KMN_FIELD_POINTER)
			inner.base = load_pointer(inner.base);
		if ((f->kind == KMN_FIELD_POINTER && inner.base != NULL) || f->kind == KMN_FIELD_STRUCT)
			visit(v, f->inner, &inner);
	}
}

/* How many bytes a KMN_FIELD_BYTES points to, by its caller's own words. */
static CK_ULONG
stated_length(const struct kmn_field *f, const struct place *at)
{
	const uint8_t *length = at->base + f->len_at;
	CK_ULONG bits;

	switch (f->unit) {
	case KMN_UNIT_OWN:
	case KMN_UNIT_FIELD:
		return load_ulong(length);
	case KMN_UNIT_OWN_PTR:
		length = load_pointer(length);
		return length != NULL ? load_ulong(length) : 0;
	case KMN_UNIT_BITS_OUT:
		bits = at->outer != NULL ? load_ulong(at->outer->base + f->len_at) : 0;
		return bits / 8 + (bits % 8 != 0);
	case KMN_UNIT_FIXED:
		return f->size;
	}
	return 0;
}

/*
 * Copies what a careless length may have made too long: the kernel says when
 * the memory ends. Where it will not copy for us the length has to be believed.
 */
static bool
careful_copy(uint8_t *to, const void *from, size_t n)
{
	struct iovec local = {to, n}, remote;
	ssize_t got;

	memcpy(&remote.iov_base, &from, sizeof(from));
	remote.iov_len = n;
	if ((got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0)) == (ssize_t)n)
		return true;
	if (got >= 0 || errno == EFAULT)
		return false;
	memcpy(to, from, n);
	return true;
}

static void
put_guarded(struct kmn_writer *w, const void *bytes, CK_ULONG n)
{
	uint8_t copy[GUARDED_MAX];

	if (n > sizeof(copy) || !careful_copy(copy, bytes, n)) {
		if (w->err == KMN_OK)
			w->err = KMN_E_MECHANISM_PARAM;
		return;
	}
	kmn_writer_bytes(w, copy, n);
}

static void
put_bytes(struct kmn_writer *w, const struct kmn_field *f, const struct place *at)
{
	const void *bytes = load_pointer(at->base + f->at);
	CK_ULONG n = stated_length(f, at);

	kmn_writer_bool(w, bytes == NULL);
	if (bytes == NULL || f->way == KMN_WAY_OUT)
		kmn_length_put(w, n);
	else if (f->guarded)
		put_guarded(w, bytes, n);
	else if (n > KMN_PARAM_MAX_FIELD_BYTES)
		w->err = w->err != KMN_OK ? w->err : KMN_E_MECHANISM_PARAM;
	else
		kmn_writer_bytes(w, bytes, n);
}

static void
put_field(struct visitor *v, const struct kmn_field *f, const struct place *at)
{
	const uint8_t *member = at->base + f->at;
	const char *text;

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
		text = load_pointer(member);
		kmn_writer_bool(v->w, text == NULL);
		if (text != NULL)
			kmn_writer_bytes(v->w, text, strnlen(text, TEXT_MAX));
		return;
	case KMN_FIELD_POINTER:
		kmn_writer_bool(v->w, load_pointer(member) == NULL);
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

	kmn_writer_u8(w, layout->id);
	hole = kmn_writer_hole_u32(w);
	visit(&v, layout, &at);
	kmn_writer_patch_u32(w, hole, (uint32_t)(w->len - hole - 4));
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
	if (row == NULL)
		return m->mechanism >= CKM_VENDOR_DEFINED ? KMN_MECH_BYTES
		       : m->ulParameterLen == 0           ? KMN_MECH_LENGTH
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
		w->err = w->err != KMN_OK ? w->err : KMN_E_MECHANISM_PARAM;
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

enum kmn_param_family
kmn_call_family(const struct kmn_call *call)
{
	if (strcmp(call->name, "C_WrapKeyAuthenticated") == 0 || strcmp(call->name, "C_UnwrapKeyAuthenticated") == 0)
		return KMN_FAMILY_WRAP_AUTHENTICATED;
	if (call->effect == KMN_EFFECT_STARTS && (call->operations & (KMN_OP_SIGN | KMN_OP_SIGN_RECOVER)) != 0)
		return KMN_FAMILY_SIGN;
	return KMN_FAMILY_INIT;
}

/* ---- views --------------------------------------------------------------------------------------------------- */

static void
get_bytes(struct kmn_reader *r, const struct kmn_field *f, struct kmn_field_view *out)
{
	out->null = kmn_reader_bool(r);
	if (out->null || f->way == KMN_WAY_OUT) {
		out->number = kmn_reader_u64(r);
		if (!out->null && out->number > KMN_PARAM_MAX_FIELD_BYTES)
			kmn_reader_fail(r, KMN_E_TOO_BIG);
		return;
	}
	out->len = kmn_reader_bytes(r, f->guarded ? GUARDED_MAX : KMN_PARAM_MAX_FIELD_BYTES, &out->bytes);
	out->number = out->len;
}

static void
get_text(struct kmn_reader *r, struct kmn_field_view *out)
{
	out->null = kmn_reader_bool(r);
	if (out->null)
		return;
	out->len = kmn_reader_bytes(r, TEXT_MAX, &out->bytes);
	if (out->len > 0 && memchr(out->bytes, 0, out->len) != NULL)
		kmn_reader_fail(r, KMN_E_MALFORMED);
}

static void
get_field(struct kmn_reader *r, const struct kmn_field *f, struct kmn_field_view *out)
{
	switch (f->kind) {
	case KMN_FIELD_ULONG:
	case KMN_FIELD_MECH:
	case KMN_FIELD_MGF:
	case KMN_FIELD_HANDLE:
		out->number = kmn_reader_u64(r);
		return;
	case KMN_FIELD_BYTE:
		out->number = kmn_reader_u8(r);
		return;
	case KMN_FIELD_INLINE:
		out->bytes = r->at;
		out->len = f->size;
		if (f->size > (size_t)(r->end - r->at))
			kmn_reader_fail(r, KMN_E_TRUNCATED);
		else
			r->at += f->size;
		return;
	case KMN_FIELD_BYTES:
		get_bytes(r, f, out);
		return;
	case KMN_FIELD_TEXT:
		get_text(r, out);
		return;
	case KMN_FIELD_POINTER:
		out->null = kmn_reader_bool(r);
		return;
	case KMN_FIELD_STRUCT:
	case KMN_FIELD_NEW_OBJECT:
	case KMN_FIELD_KIND_COUNT:
		return;
	}
}

/* One field further; false at the end or on a failure, which is in r. */
static bool
next_field(struct kmn_reader *r, const struct kmn_layout *outer, struct kmn_field_cursor *c, struct kmn_field_view *out)
{
	const struct kmn_field *f;

	memset(out, 0, sizeof(*out));
	if (c->level[0].layout == NULL)
		c->level[0].layout = outer;
	while (c->depth > 0 && c->level[c->depth].next == c->level[c->depth].layout->field_count)
		c->depth--;
	if (r->err != KMN_OK || c->level[c->depth].next == c->level[c->depth].layout->field_count)
		return false;
	f = &c->level[c->depth].layout->fields[c->level[c->depth].next++];
	out->field = f;
	out->depth = c->depth;
	out->ordinal = c->ordinal++;
	get_field(r, f, out);
	if (f->kind == KMN_FIELD_STRUCT || (f->kind == KMN_FIELD_POINTER && !out->null)) {
		c->depth++;
		c->level[c->depth].layout = f->inner;
		c->level[c->depth].next = 0;
	}
	return r->err == KMN_OK;
}

/* The number that came with the field at that offset of the structure at that depth. */
static uint64_t
number_at(const struct kmn_layout *layout, const uint64_t *numbers, uint16_t at)
{
	for (size_t i = 0; i < layout->field_count; i++)
		if (layout->fields[i].at == at)
			return numbers[i];
	return 0;
}

/* Whether the length of a BYTES is the one that the other fields say. */
static bool
length_fits(const struct kmn_field_cursor *c, uint64_t numbers[][FIELDS_MAX], const struct kmn_field_view *v)
{
	const struct kmn_field *f = v->field;
	uint64_t want;

	if (f->kind != KMN_FIELD_BYTES || v->null)
		return true;
	if (f->unit == KMN_UNIT_FIXED)
		want = f->size;
	else if (f->unit == KMN_UNIT_FIELD)
		want = number_at(c->level[v->depth].layout, numbers[v->depth], f->len_at);
	else if (f->unit == KMN_UNIT_BITS_OUT && v->depth > 0) {
		want = number_at(c->level[v->depth - 1].layout, numbers[v->depth - 1], f->len_at);
		want = want / 8 + (want % 8 != 0);
	} else
		return true;
	return v->number == want;
}

static void
check_fields(struct kmn_reader *r, const struct kmn_layout *layout)
{
	uint64_t numbers[KMN_PARAM_MAX_DEPTH][FIELDS_MAX] = {{0}};
	struct kmn_field_cursor c = {0};
	struct kmn_field_view v;

	while (next_field(r, layout, &c, &v)) {
		const struct kmn_layout *in = c.level[v.depth].layout;

		numbers[v.depth][v.field - in->fields] = v.number;
		if (!length_fits(&c, numbers, &v))
			kmn_reader_fail(r, KMN_E_MALFORMED);
	}
}

/* Whether a mechanism may come in that form: the other half of form_of(), for those who trust no sender. */
static bool
form_allowed(const struct kmn_mech_view *m)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(m->type);
	enum kmn_mech_takes takes = row != NULL ? kmn_mechanism_takes(row, m->family) : KMN_TAKES_NOTHING;

	if (m->family == KMN_FAMILY_MESSAGE && m->type == KMN_UNAVAILABLE)
		return m->form == KMN_MECH_BARE || (m->form == KMN_MECH_LENGTH && m->len <= KMN_MECH_PARAM_MAX_BYTES);
	if (takes == KMN_TAKES_REFUSED)
		return false;
	switch (m->form) {
	case KMN_MECH_BARE:
		return true;
	case KMN_MECH_LENGTH:
		return m->len <= KMN_MECH_PARAM_MAX_BYTES && (row != NULL ? takes == KMN_TAKES_NOTHING : m->len == 0);
	case KMN_MECH_BYTES:
		return row != NULL ? takes == KMN_TAKES_BYTES : m->type >= CKM_VENDOR_DEFINED;
	case KMN_MECH_STRUCT:
		return row != NULL && m->layout != NULL && kmn_mechanism_has_layout(row, m->family, m->layout);
	case KMN_MECH_NULL:
	case KMN_MECH_FORM_COUNT:
		return false;
	}
	return false;
}

void
kmn_mech_get(struct kmn_reader *r, enum kmn_param_family family, struct kmn_mech_view *m)
{
	struct kmn_reader fields;
	uint8_t form = kmn_reader_u8(r);

	memset(m, 0, sizeof(*m));
	m->family = family;
	if (form >= KMN_MECH_FORM_COUNT)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err != KMN_OK || form == KMN_MECH_NULL)
		return;
	m->form = (enum kmn_mech_form)form;
	m->type = kmn_reader_u64(r);
	if (form == KMN_MECH_STRUCT)
		m->layout = kmn_layout_of(kmn_reader_u8(r));
	if (form == KMN_MECH_BARE || form == KMN_MECH_LENGTH)
		m->len = kmn_reader_u64(r);
	else
		m->len = m->size = kmn_reader_bytes(r, KMN_MECH_PARAM_MAX_BYTES * 2, &m->bytes);
	if (r->err == KMN_OK && !form_allowed(m))
		kmn_reader_fail(r, KMN_E_MECHANISM_PARAM);
	if (r->err != KMN_OK || form != KMN_MECH_STRUCT)
		return;
	kmn_reader_init(&fields, m->bytes, m->size);
	check_fields(&fields, m->layout);
	kmn_reader_fail(r, kmn_reader_end(&fields));
}

bool
kmn_mech_next(const struct kmn_mech_view *m, struct kmn_field_cursor *c, struct kmn_field_view *out)
{
	struct kmn_reader r;
	bool more;

	memset(out, 0, sizeof(*out));
	if (m->form != KMN_MECH_STRUCT)
		return false;
	kmn_reader_init(&r, m->bytes, m->size);
	r.at += c->at;
	more = next_field(&r, m->layout, c, out);
	c->at = (size_t)(r.at - m->bytes);
	return more;
}

static bool
find_field(const struct kmn_mech_view *m, const char *name, struct kmn_field_view *out)
{
	struct kmn_field_cursor c = {0};

	while (kmn_mech_next(m, &c, out))
		if (strcmp(out->field->name, name) == 0)
			return true;
	return false;
}

bool
kmn_mech_number(const struct kmn_mech_view *m, const char *field, uint64_t *number_out)
{
	struct kmn_field_view v;
	bool found = find_field(m, field, &v) && v.field->kind <= KMN_FIELD_BYTE;

	*number_out = found ? v.number : 0;
	return found;
}

bool
kmn_mech_bytes(const struct kmn_mech_view *m, const char *field, const uint8_t **bytes_out, size_t *len_out)
{
	struct kmn_field_view v;
	bool found = find_field(m, field, &v) && v.bytes != NULL;

	*bytes_out = found ? v.bytes : NULL;
	*len_out = found ? v.len : 0;
	return found;
}

size_t
kmn_mech_handles(const struct kmn_mech_view *m, uint64_t *out, size_t max)
{
	struct kmn_field_cursor c = {0};
	struct kmn_field_view v;
	size_t n = 0;

	while (kmn_mech_next(m, &c, &v)) {
		if (v.field->kind != KMN_FIELD_HANDLE)
			continue;
		if (n < max)
			out[n] = v.number;
		n++;
	}
	return n;
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

static void
apply_bytes(struct visitor *v, const struct kmn_field *f, const struct place *at, CK_ULONG number, const uint8_t *bytes,
    size_t n)
{
	uint8_t *to = load_pointer(at->base + f->at);
	CK_ULONG room = stated_length(f, at);

	if (f->way == KMN_WAY_IN || to == NULL || n > room || (n > 0 && bytes == NULL)) {
		kmn_reader_fail(v->r, KMN_E_MALFORMED);
		return;
	}
	if (!v->write)
		return;
	if (n > 0)
		memcpy(to, bytes, n);
	if (f->unit == KMN_UNIT_OWN_PTR)
		memcpy(load_pointer(at->base + f->len_at), &number, sizeof(number));
}

static void
apply_field(struct visitor *v, const struct kmn_field *f, const struct place *at)
{
	const uint8_t *bytes;
	CK_ULONG number;
	size_t n;

	if (v->ordinal != v->next || v->r->err != KMN_OK)
		return;
	number = kmn_length_get(v->r);
	n = kmn_reader_bytes(v->r, KMN_PARAM_MAX_FIELD_BYTES, &bytes);
	if (f->kind == KMN_FIELD_BYTES)
		apply_bytes(v, f, at, number, bytes, n);
	else if (f->kind != KMN_FIELD_NEW_OBJECT || n > 0)
		kmn_reader_fail(v->r, KMN_E_MALFORMED);
	else if (v->write && v->r->err == KMN_OK)
		memcpy(at->base + f->at, &number, sizeof(number));
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
		(void)kmn_reader_bytes(r, KMN_PARAM_MAX_FIELD_BYTES, &bytes);
	}
}

void
kmn_mech_apply(struct kmn_reader *r, CK_MECHANISM *m, enum kmn_param_family family, bool write)
{
	struct visitor v = {.field = apply_field, .r = r, .write = write, .next = UINT16_MAX + 1u};
	const struct kmn_layout *layout = NULL;
	struct place at = {m != NULL ? m->pParameter : NULL, NULL};

	v.left = kmn_reader_u16(r);
	if (v.left > WRITE_BACK_MAX)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	if (m == NULL) {
		skip_entries(r, v.left);
		return;
	}
	if (v.left == 0 || r->err != KMN_OK)
		return;
	if (form_of(m, family, &layout) != KMN_MECH_STRUCT) {
		kmn_reader_fail(r, KMN_E_MALFORMED);
		return;
	}
	next_entry(&v);
	visit(&v, layout, &at);
	if (v.next != UINT16_MAX + 1u || v.left != 0)
		kmn_reader_fail(r, KMN_E_MALFORMED);
}
