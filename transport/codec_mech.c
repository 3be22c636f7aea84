/*
 * Mechanisms and their parameters in a message: the views that gate, keeper
 * and worker look through. The form is drawn in codec_params.c. Nothing here
 * looks at memory other than the message's.
 */
#include "transport/codec_parts.h"

#include <string.h>

#include "kanmon/types.h"

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
	out->len = kmn_reader_bytes(r, f->guarded ? KMN_PARAM_MAX_NONCE_BYTES : KMN_PARAM_MAX_FIELD_BYTES, &out->bytes);
	out->number = out->len;
}

static void
get_text(struct kmn_reader *r, struct kmn_field_view *out)
{
	out->null = kmn_reader_bool(r);
	if (out->null)
		return;
	out->len = kmn_reader_bytes(r, KMN_PARAM_MAX_TEXT_BYTES, &out->bytes);
	if (out->len > 0 && memchr(out->bytes, 0, out->len) != NULL)
		kmn_reader_fail(r, KMN_E_MALFORMED);
}

static void
get_inline(struct kmn_reader *r, size_t n, struct kmn_field_view *out)
{
	out->bytes = r->at;
	out->len = n;
	if (n > (size_t)(r->end - r->at))
		kmn_reader_fail(r, KMN_E_TRUNCATED);
	else
		r->at += n;
}

static void
get_template(struct kmn_reader *r, struct kmn_field_view *out)
{
	kmn_template_get(r, KMN_TEMPLATE_IN, &out->template);
	out->null = out->template.null;
	out->number = out->template.count;
	out->bytes = out->template.rows;
	out->len = out->template.size;
}

/* A layout by its number, or by its digest; NULL: this end has none such. */
static const struct kmn_layout *
get_layout(struct kmn_reader *r, uint64_t type)
{
	uint8_t id = kmn_reader_u8(r);

	return id == KMN_LAYOUT_DESCRIBED ? kmn_layout_described(type, kmn_reader_u64(r)) : kmn_layout_of(id);
}

static bool
form_fits_row(const struct kmn_mech_view *m, const struct kmn_mechanism *row)
{
	enum kmn_mech_takes takes = kmn_mechanism_takes(row, m->family);

	switch (m->form) {
	case KMN_MECH_BARE:
		return takes != KMN_TAKES_REFUSED;
	case KMN_MECH_LENGTH:
		return takes == KMN_TAKES_NOTHING && m->len <= KMN_MECH_PARAM_MAX_BYTES;
	case KMN_MECH_BYTES:
		return takes == KMN_TAKES_BYTES;
	case KMN_MECH_STRUCT:
		return takes == KMN_TAKES_STRUCT && kmn_mechanism_has_layout(row, m->family, m->layout);
	default:
		return false;
	}
}

/* Whether a mechanism may come in that form: the other half of form_of(), for those who trust no sender. */
static bool
form_allowed(const struct kmn_mech_view *m)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(m->type);

	if (m->form == KMN_MECH_UNKNOWN)
		return true;
	if (m->family == KMN_FAMILY_MESSAGE && m->type == KMN_UNAVAILABLE)
		return m->form == KMN_MECH_BARE || (m->form == KMN_MECH_LENGTH && m->len <= KMN_MECH_PARAM_MAX_BYTES);
	if (row == NULL)
		return m->form == KMN_MECH_BARE || (m->form == KMN_MECH_LENGTH && m->len == 0) ||
		       (m->form == KMN_MECH_BYTES && m->type >= CKM_VENDOR_DEFINED);
	if (form_fits_row(m, row))
		return true;
	/* Modules that one gateway serves may have described the same number differently. */
	for (size_t i = 0; (row = kmn_types_mechanism_row(m->type, i)) != NULL; i++)
		if (form_fits_row(m, row))
			return true;
	return false;
}

/* Described by a vendor's file at one end, or at both: what does not fit is a disagreement, and no forgery. */
static bool
may_disagree(uint64_t type)
{
	return (type >= CKM_VENDOR_DEFINED && type != KMN_UNAVAILABLE) || kmn_types_mechanism_row(type, 0) != NULL;
}

/* A mechanism inside a parameter. */
static void
get_inner_mechanism(struct kmn_reader *r, struct kmn_field_view *out)
{
	struct kmn_mech_view m = {.family = KMN_FAMILY_INIT};
	uint8_t form;

	out->null = kmn_reader_bool(r);
	if (out->null)
		return;
	out->number = m.type = kmn_reader_u64(r);
	form = kmn_reader_u8(r);
	if (form == KMN_MECH_NULL || form == KMN_MECH_UNKNOWN || form >= KMN_MECH_FORM_COUNT)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err != KMN_OK)
		return;
	m.form = out->form = (enum kmn_mech_form)form;
	if (form == KMN_MECH_STRUCT)
		m.layout = out->inner = get_layout(r, m.type);
	else if (form == KMN_MECH_BYTES)
		m.len = out->len = kmn_reader_bytes(r, KMN_MECH_PARAM_MAX_BYTES, &out->bytes);
	else
		m.len = out->len = (size_t)kmn_reader_u64(r);
	if (r->err == KMN_OK && !form_allowed(&m))
		kmn_reader_fail(r, KMN_E_MECHANISM_PARAM);
}

static void
get_choice(struct kmn_reader *r, const struct kmn_choice *choice, struct kmn_field_view *out)
{
	uint8_t form = kmn_reader_u8(r);

	out->kind = KMN_FIELD_BYTES;
	if (form == KMN_CHOICE_NULL) {
		out->null = true;
		out->number = kmn_reader_u64(r);
	} else if (choice == NULL) {
		kmn_reader_fail(r, KMN_E_MALFORMED);
	} else if (form == KMN_CHOICE_BYTES && (choice->kind == KMN_FIELD_BYTES || choice->kind == KMN_FIELD_ULONG)) {
		out->number = out->len = kmn_reader_bytes(r, KMN_PARAM_MAX_FIELD_BYTES, &out->bytes);
	} else if (form == KMN_CHOICE_NUMBER && (choice->kind == KMN_FIELD_ULONG || choice->kind == KMN_FIELD_HANDLE)) {
		out->kind = choice->kind;
		out->number = kmn_reader_u64(r);
	} else if (form == KMN_CHOICE_STRUCT && choice->kind == KMN_FIELD_STRUCT) {
		out->kind = choice->kind;
		out->inner = choice->inner;
	} else {
		kmn_reader_fail(r, KMN_E_MALFORMED);
	}
}

/* The number that came with the field at that offset of the structure at that depth. */
static uint64_t
number_at(const struct kmn_field_cursor *c, unsigned depth, uint16_t at)
{
	const struct kmn_layout *layout = c->level[depth].layout;

	for (size_t i = 0; i < layout->field_count; i++)
		if (layout->fields[i].at == at)
			return c->level[depth].number[i];
	return 0;
}

/* How many elements follow. */
static unsigned
get_array(struct kmn_reader *r, const struct kmn_field *f, struct kmn_field_view *out)
{
	unsigned count;

	out->null = kmn_reader_bool(r);
	out->number = out->null ? kmn_reader_u64(r) : kmn_reader_count(r, KMN_PARAM_MAX_ELEMENTS, 0);
	count = out->null ? 0 : (unsigned)out->number;
	out->inner = count > 0 ? f->inner : NULL;
	return count;
}

/* One field; elements of *count_out structures out->inner follow. */
static void
get_field(struct kmn_reader *r, const struct kmn_field_cursor *c, const struct kmn_field *f, struct kmn_field_view *out,
    unsigned *count_out)
{
	*count_out = 1;
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
		get_inline(r, f->size, out);
		return;
	case KMN_FIELD_BYTES:
		get_bytes(r, f, out);
		return;
	case KMN_FIELD_TEXT:
		get_text(r, out);
		return;
	case KMN_FIELD_STRUCT:
		out->inner = f->inner;
		return;
	case KMN_FIELD_NEW_OBJECT_AT:
		out->null = kmn_reader_bool(r);
		return;
	case KMN_FIELD_POINTER:
		out->null = kmn_reader_bool(r);
		out->inner = out->null ? NULL : f->inner;
		return;
	case KMN_FIELD_ARRAY:
		*count_out = get_array(r, f, out);
		return;
	case KMN_FIELD_TEMPLATE:
		get_template(r, out);
		return;
	case KMN_FIELD_MECHANISM:
		get_inner_mechanism(r, out);
		return;
	case KMN_FIELD_CHOICE:
		get_choice(r, kmn_field_choice(f, number_at(c, out->depth, f->by_at)), out);
		return;
	case KMN_FIELD_NEW_OBJECT:
	case KMN_FIELD_KIND_COUNT:
		return;
	}
}

/* Whether the length of a BYTES is the one that the other fields say. */
static bool
length_fits(const struct kmn_field_cursor *c, const struct kmn_field_view *v)
{
	const struct kmn_field *f = v->field;
	uint64_t want;

	if (f->kind != KMN_FIELD_BYTES || v->null)
		return true;
	switch (f->unit) {
	case KMN_UNIT_FIXED:
		return v->number == f->size;
	case KMN_UNIT_FIELD:
		return v->number == number_at(c, v->depth, f->len_at);
	case KMN_UNIT_BITS:
		want = number_at(c, v->depth, f->len_at);
		return v->number == want / 8 + (want % 8 != 0);
	case KMN_UNIT_BITS_OUT:
		want = v->depth > 0 ? number_at(c, v->depth - 1, f->len_at) : 0;
		return v->number == want / 8 + (want % 8 != 0);
	default:
		return true;
	}
}

static void
descend(struct kmn_reader *r, struct kmn_field_cursor *c, const struct kmn_layout *inner, unsigned count)
{
	if (c->depth + 1 == KMN_PARAM_MAX_DEPTH) {
		kmn_reader_fail(r, KMN_E_TOO_BIG);
		return;
	}
	c->depth++;
	memset(&c->level[c->depth], 0, sizeof(c->level[0]));
	c->level[c->depth].layout = inner;
	c->level[c->depth].elements = count;
}

/* To the structure that has the next field; false: there is none. */
static bool
find_next(struct kmn_field_cursor *c)
{
	while (c->level[c->depth].next == c->level[c->depth].layout->field_count) {
		if (c->level[c->depth].element + 1 < c->level[c->depth].elements) {
			c->level[c->depth].element++;
			c->level[c->depth].next = 0;
		} else if (c->depth > 0) {
			c->depth--;
		} else {
			return false;
		}
	}
	return true;
}

/* One field further; false at the end or on a failure, which is in r. */
static bool
next_field(struct kmn_reader *r, const struct kmn_layout *outer, struct kmn_field_cursor *c, struct kmn_field_view *out)
{
	const struct kmn_field *f;
	unsigned count;
	size_t index;

	memset(out, 0, sizeof(*out));
	if (c->level[0].layout == NULL)
		c->level[0].layout = outer;
	if (r->err != KMN_OK || !find_next(c))
		return false;
	index = c->level[c->depth].next++;
	f = &c->level[c->depth].layout->fields[index];
	out->field = f;
	out->kind = f->kind;
	out->in = c->level[c->depth].layout;
	out->depth = c->depth;
	out->element = c->level[c->depth].element;
	out->ordinal = c->ordinal++;
	get_field(r, c, f, out, &count);
	if (r->err == KMN_OK && !length_fits(c, out))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	c->level[c->depth].number[index] = out->number;
	if (r->err == KMN_OK && out->inner != NULL)
		descend(r, c, out->inner, count);
	return r->err == KMN_OK;
}

static void
get_struct(struct kmn_reader *r, struct kmn_mech_view *m)
{
	struct kmn_field_cursor c = {0};
	struct kmn_reader fields;
	struct kmn_field_view v;

	kmn_reader_init(&fields, m->bytes, m->size);
	while (next_field(&fields, m->layout, &c, &v))
		;
	if (fields.err == KMN_E_MECHANISM_PARAM) { /* a mechanism inside */
		m->form = KMN_MECH_UNKNOWN;
		m->disagreed = true;
		return;
	}
	kmn_reader_fail(r, kmn_reader_end(&fields));
}

void
kmn_mech_get(struct kmn_reader *r, enum kmn_param_family family, struct kmn_mech_view *m)
{
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
		m->layout = get_layout(r, m->type);
	if (form == KMN_MECH_BARE || form == KMN_MECH_LENGTH || form == KMN_MECH_UNKNOWN)
		m->len = kmn_reader_u64(r);
	else
		m->len = m->size = kmn_reader_bytes(r, KMN_MECH_FIELDS_MAX_BYTES, &m->bytes);
	if (r->err == KMN_OK && !form_allowed(m)) {
		/* Then the call is refused, and the connection stays. */
		m->disagreed = may_disagree(m->type);
		m->form = KMN_MECH_UNKNOWN;
		if (!m->disagreed)
			kmn_reader_fail(r, KMN_E_MECHANISM_PARAM);
	}
	if (r->err == KMN_OK && m->form == KMN_MECH_STRUCT)
		get_struct(r, m);
}

const struct kmn_mech_view *
kmn_view_uncarried(const struct kmn_call_view *v)
{
	for (size_t i = 0; v->call != NULL && i < v->call->param_count; i++)
		if (v->value[i].mech.form == KMN_MECH_UNKNOWN)
			return &v->value[i].mech;
	return NULL;
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
	bool found = find_field(m, field, &v) && v.kind <= KMN_FIELD_BYTE;

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
		if (v.kind != KMN_FIELD_HANDLE)
			continue;
		if (n < max)
			out[n] = v.number;
		n++;
	}
	return n;
}
