#include "tests/unit/transport/callkit.h"

#include <string.h>

#include "kanmon/calls_entry.h"
#include "server/hsm/invoke.h"
#include "transport/codec_parts.h"

#define GAP 32u /* untouched bytes between any two things */

/* ---- memory and chance --------------------------------------------------------------------------------------- */

void
kit_begin(struct kit *k, uint64_t seed)
{
	memset(k, 0, sizeof(*k));
	memset(k->block, KIT_UNTOUCHED, sizeof(k->block));
	k->seed = seed * 2654435761u + 88172645463325252u;
	k->used = GAP;
}

uint32_t
kit_random(struct kit *k, uint32_t below)
{
	k->seed ^= k->seed << 13;
	k->seed ^= k->seed >> 7;
	k->seed ^= k->seed << 17;
	return below > 0 ? (uint32_t)((k->seed >> 20) % below) : 0;
}

void *
kit_take(struct kit *k, size_t bytes)
{
	uint8_t *at = k->block + k->used;
	size_t need = (bytes + GAP + 15) / 16 * 16;

	if (need > sizeof(k->block) - k->used)
		KMN_BUG("the kit's block is too small");
	k->used += need;
	return at;
}

static void *
random_bytes(struct kit *k, size_t n)
{
	uint8_t *bytes = kit_take(k, n);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)kit_random(k, 256);
	return bytes;
}

static bool
seldom(struct kit *k)
{
	return kit_random(k, 5) == 0;
}

/* ---- mechanisms ---------------------------------------------------------------------------------------------- */

static void
store(uint8_t *at, const void *value, size_t n)
{
	memcpy(at, value, n);
}

static CK_ULONG
load(const uint8_t *at)
{
	CK_ULONG value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint8_t *
load_pointer(const uint8_t *at)
{
	uint8_t *p;

	memcpy(&p, at, sizeof(p));
	return p;
}

static CK_ULONG
length_of(const struct kmn_field *f, const uint8_t *base, const uint8_t *outer)
{
	switch (f->unit) {
	case KMN_UNIT_OWN:
	case KMN_UNIT_FIELD:
		return load(base + f->len_at);
	case KMN_UNIT_OWN_PTR:
		return load(load_pointer(base + f->len_at));
	case KMN_UNIT_BITS:
		return (load(base + f->len_at) + 7) / 8;
	case KMN_UNIT_BITS_OUT:
		return (load(outer + f->len_at) + 7) / 8;
	case KMN_UNIT_FIXED:
		return f->size;
	}
	return 0;
}

static void
make_bytes(struct kit *k, const struct kmn_field *f, uint8_t *base, const uint8_t *outer)
{
	CK_ULONG n = kit_random(k, 24), *length;
	void *bytes = NULL;

	if (f->unit == KMN_UNIT_OWN)
		store(base + f->len_at, &n, sizeof(n));
	if (f->unit == KMN_UNIT_OWN_PTR) {
		length = kit_take(k, sizeof(*length));
		*length = n;
		store(base + f->len_at, &length, sizeof(length));
	}
	if (!seldom(k))
		bytes = random_bytes(k, length_of(f, base, outer));
	store(base + f->at, &bytes, sizeof(bytes));
}

static void make_struct(struct kit *k, const struct kmn_layout *layout, uint8_t *base, const uint8_t *outer);
static void *make_template(struct kit *k, CK_ULONG *count_out, bool room, unsigned depth);

static void *
make_structs(struct kit *k, const struct kmn_layout *layout, CK_ULONG count, const uint8_t *outer)
{
	uint8_t *at = memset(kit_take(k, layout->size * count), 0, layout->size * count);

	for (CK_ULONG i = 0; i < count; i++)
		make_struct(k, layout, at + i * layout->size, outer);
	return at;
}

/* A value that the choosing field, which stands before this one, may have; and what it chooses. */
static void
make_choice(struct kit *k, const struct kmn_field *f, uint8_t *base, const uint8_t *outer)
{
	const struct kmn_choice *choice = &f->choices[kit_random(k, (uint32_t)f->choice_count)];
	CK_ULONG value = (CK_ULONG)choice->value, n = kit_random(k, 24), number = kit_random(k, 60);
	void *p = NULL;

	store(base + f->by_at, &value, sizeof(value));
	if (choice->kind == KMN_FIELD_STRUCT)
		n = choice->inner->size;
	else if (choice->kind != KMN_FIELD_BYTES)
		n = sizeof(CK_ULONG);
	if (!seldom(k) && choice->kind == KMN_FIELD_STRUCT)
		p = make_structs(k, choice->inner, 1, outer);
	else if (!seldom(k))
		p = random_bytes(k, n);
	if (p != NULL && (choice->kind == KMN_FIELD_ULONG || choice->kind == KMN_FIELD_HANDLE))
		store(p, &number, sizeof(number));
	store(base + f->len_at, &n, sizeof(n));
	store(base + f->at, &p, sizeof(p));
}

/* A mechanism that is not nested itself. */
static void *
make_inner_mechanism(struct kit *k)
{
	static const uint64_t types[] = {CKM_SHA256, CKM_RSA_PKCS_PSS, CKM_AES_CBC, CKM_RSA_PKCS_OAEP, CKM_AES_GCM};
	CK_MECHANISM *m = kit_take(k, sizeof(*m));
	bool wraps = k->wraps;

	k->wraps = false;
	kit_mechanism(k, kmn_mechanism_row(types[kit_random(k, KMN_COUNT_OF(types))]), m);
	k->wraps = wraps;
	return m;
}

static void
make_field(struct kit *k, const struct kmn_field *f, uint8_t *base, const uint8_t *outer)
{
	CK_ULONG number = kit_random(k, 60);
	void *inner = NULL;

	switch (f->kind) {
	case KMN_FIELD_ULONG:
	case KMN_FIELD_MECH:
	case KMN_FIELD_MGF:
	case KMN_FIELD_HANDLE:
		store(base + f->at, &number, sizeof(number));
		return;
	case KMN_FIELD_BYTE:
		base[f->at] = (uint8_t)number;
		return;
	case KMN_FIELD_INLINE:
		store(base + f->at, random_bytes(k, f->size), f->size);
		return;
	case KMN_FIELD_BYTES:
		make_bytes(k, f, base, outer);
		return;
	case KMN_FIELD_TEXT:
		inner = kit_take(k, 6);
		store(inner, "1.2.3", 6);
		store(base + f->at, &inner, sizeof(inner));
		return;
	case KMN_FIELD_STRUCT:
		make_struct(k, f->inner, base + f->at, base);
		return;
	case KMN_FIELD_POINTER:
		if (!seldom(k))
			inner = make_structs(k, f->inner, 1, base);
		store(base + f->at, &inner, sizeof(inner));
		return;
	case KMN_FIELD_ARRAY:
		number = kit_random(k, 4);
		if (!seldom(k))
			inner = make_structs(k, f->inner, number, base);
		store(base + f->len_at, &number, sizeof(number));
		store(base + f->at, &inner, sizeof(inner));
		return;
	case KMN_FIELD_TEMPLATE:
		if (!seldom(k))
			inner = make_template(k, &number, false, 1);
		store(base + f->len_at, &number, sizeof(number));
		store(base + f->at, &inner, sizeof(inner));
		return;
	case KMN_FIELD_MECHANISM:
		if (!seldom(k))
			inner = make_inner_mechanism(k);
		store(base + f->at, &inner, sizeof(inner));
		return;
	case KMN_FIELD_CHOICE:
		make_choice(k, f, base, outer);
		return;
	case KMN_FIELD_NEW_OBJECT_AT:
		if (!seldom(k))
			inner = kit_take(k, sizeof(CK_OBJECT_HANDLE));
		store(base + f->at, &inner, sizeof(inner));
		return;
	case KMN_FIELD_NEW_OBJECT:
	case KMN_FIELD_KIND_COUNT:
		return;
	}
}

static void
make_struct(struct kit *k, const struct kmn_layout *layout, uint8_t *base, const uint8_t *outer)
{
	for (size_t i = 0; i < layout->field_count; i++)
		make_field(k, &layout->fields[i], base, outer);
}

void
kit_mechanism(struct kit *k, const struct kmn_mechanism *row, CK_MECHANISM *m)
{
	const struct kmn_layout *layout = row->layout[1] != NULL && seldom(k) ? row->layout[1] : row->layout[0];

	if (k->wraps && row->wrap != NULL)
		layout = row->wrap;
	m->mechanism = (CK_MECHANISM_TYPE)row->type;
	m->ulParameterLen = kit_random(k, 20);
	m->pParameter = NULL;
	if (seldom(k) || row->takes == KMN_TAKES_REFUSED)
		return;
	if (row->takes != KMN_TAKES_STRUCT) {
		m->pParameter = random_bytes(k, m->ulParameterLen);
		return;
	}
	m->ulParameterLen = layout->size;
	m->pParameter = memset(kit_take(k, layout->size), 0, layout->size);
	make_struct(k, layout, m->pParameter, NULL);
}

static void *
make_mechanism(struct kit *k)
{
	const struct kmn_mechanism *row = NULL;
	CK_MECHANISM *m;
	size_t rows = 0;

	if (seldom(k))
		return NULL;
	while (kmn_mechanism_at(rows) != NULL)
		rows++;
	do
		row = kmn_mechanism_at(kit_random(k, (uint32_t)rows));
	while (row->takes == KMN_TAKES_REFUSED || row->no_signature);
	m = kit_take(k, sizeof(*m));
	kit_mechanism(k, row, m);
	return m;
}

/* ---- templates ----------------------------------------------------------------------------------------------- */

static void
make_row(struct kit *k, CK_ATTRIBUTE *a, bool room, unsigned depth)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_CLASS, CKA_LABEL, CKA_TOKEN, CKA_VALUE, CKA_ALLOWED_MECHANISMS,
	    CKA_WRAP_TEMPLATE, CKA_MODULUS_BITS, CKA_START_DATE, CKA_VENDOR_DEFINED | 7};
	enum kmn_attribute_shape shape;

	a->type = types[kit_random(k, KMN_COUNT_OF(types))];
	shape = kmn_attribute_shape(a->type);
	a->pValue = NULL;
	a->ulValueLen = seldom(k) ? CK_UNAVAILABLE_INFORMATION : kit_random(k, 40);
	if (seldom(k))
		return;
	a->ulValueLen = kit_random(k, 40);
	if ((shape == KMN_SHAPE_ULONG && !seldom(k)) || a->type == CKA_TOKEN)
		a->ulValueLen = a->type == CKA_TOKEN ? 1 : sizeof(CK_ULONG);
	if (shape == KMN_SHAPE_TEMPLATE && depth < KMN_TEMPLATE_MAX_DEPTH) {
		a->pValue = make_template(k, &a->ulValueLen, room, depth + 1);
		a->ulValueLen *= sizeof(*a);
	} else if (shape != KMN_SHAPE_TEMPLATE) {
		a->pValue = random_bytes(k, a->ulValueLen);
	}
}

static void *
make_template(struct kit *k, CK_ULONG *count_out, bool room, unsigned depth)
{
	CK_ULONG count = kit_random(k, depth == 1 ? 7 : 3);
	CK_ATTRIBUTE *rows = kit_take(k, count * sizeof(*rows));

	*count_out = count;
	for (CK_ULONG i = 0; i < count; i++)
		make_row(k, &rows[i], room, depth);
	return rows;
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

static void
make_data(struct kit *k, struct kmn_arg *a)
{
	a->u = kit_random(k, 3) == 0 ? 0 : kit_random(k, 200);
	a->p = kit_random(k, 4) == 0 ? NULL : random_bytes(k, a->u);
}

static void
make_room(struct kit *k, struct kmn_arg *a, size_t item)
{
	a->n = kit_take(k, sizeof(*a->n));
	*a->n = a->u = kit_random(k, 3) == 0 ? 0 : kit_random(k, 60);
	a->p = kit_random(k, 4) == 0 ? NULL : kit_take(k, a->u * item);
}

/* The parameter of a message, and the mechanism that its operation was begun with, if one was. */
static void
make_message_param(struct kit *k, struct kmn_arg *a)
{
	CK_MECHANISM *m = make_mechanism(k);
	const struct kmn_layout *layout = m != NULL ? kmn_mechanism_row(m->mechanism)->message : NULL;

	k->message = a->type = m != NULL ? m->mechanism : CK_UNAVAILABLE_INFORMATION;
	a->u = layout != NULL ? layout->size : kit_random(k, 20);
	if (seldom(k))
		return;
	a->p = memset(kit_take(k, a->u), 0, a->u);
	if (layout != NULL)
		make_struct(k, layout, a->p, NULL);
}

static void
make_arg(struct kit *k, enum kmn_kind kind, struct kmn_arg *a)
{
	memset(a, 0, sizeof(*a));
	switch (kind) {
	case KMN_KIND_MECHANISM:
		a->p = make_mechanism(k);
		return;
	case KMN_KIND_MESSAGE_PARAM:
		make_message_param(k, a);
		return;
	case KMN_KIND_DATA:
	case KMN_KIND_AAD:
	case KMN_KIND_PIN:
	case KMN_KIND_USERNAME:
		make_data(k, a);
		return;
	case KMN_KIND_LABEL:
		a->p = seldom(k) ? NULL : random_bytes(k, KMN_LABEL_BYTES);
		return;
	case KMN_KIND_TEMPLATE:
	case KMN_KIND_VALUES:
		a->u = kit_random(k, 5);
		a->p = seldom(k) ? NULL : make_template(k, &a->u, kind == KMN_KIND_VALUES, 1);
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_FILL:
		make_room(k, a, 1);
		return;
	case KMN_KIND_MAYBE_ROOM:
		make_room(k, a, 1);
		if (seldom(k)) {
			a->n = NULL;
			a->u = 0;
		}
		return;
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
	case KMN_KIND_OBJECTS:
		make_room(k, a, sizeof(CK_ULONG));
		return;
	case KMN_KIND_MAYBE_OBJECT:
		a->p = seldom(k) ? NULL : kit_take(k, sizeof(CK_ULONG));
		return;
	case KMN_KIND_BOOL:
		a->u = kit_random(k, 3); /* 2 is no CK_BBOOL, and not our business */
		return;
	default:
		if (kmn_kind_is_out(kind))
			a->p = kit_take(k, sizeof(CK_TOKEN_INFO));
		else if (kind != KMN_KIND_NOTIFY)
			a->u = seldom(k) ? CK_UNAVAILABLE_INFORMATION : kit_random(k, 1000);
		return;
	}
}

void
kit_args(struct kit *k, const struct kmn_call *call, struct kmn_arg *arg)
{
	k->wraps = kmn_call_family(call) == KMN_FAMILY_WRAP_AUTHENTICATED;
	for (size_t i = 0; i < call->param_count; i++)
		make_arg(k, call->param[i].kind, &arg[i]);
	k->wraps = false;
}

/* ---- the module: what it sees -------------------------------------------------------------------------------- */

struct kit *kit_module_kit;

static void
mix(const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < n; i++)
		kit_module_kit->inputs = (kit_module_kit->inputs ^ at[i]) * 1099511628211u;
}

static void
mix_number(uint64_t value)
{
	mix(&value, sizeof(value));
}

static void mix_struct(const struct kmn_layout *layout, const uint8_t *base, const uint8_t *outer);
static void mix_mechanism(const CK_MECHANISM *m);
static void mix_rows(const CK_ATTRIBUTE *rows, CK_ULONG count, bool room);

static bool
is_pointer(const struct kmn_field *f)
{
	return f->kind >= KMN_FIELD_BYTES && f->kind != KMN_FIELD_STRUCT && f->kind != KMN_FIELD_NEW_OBJECT;
}

static const struct kmn_choice *
chosen(const struct kmn_field *f, const uint8_t *base)
{
	return kmn_field_choice(f, load(base + f->by_at));
}

static void
mix_counted(const struct kmn_field *f, const uint8_t *base, const uint8_t *p)
{
	CK_ULONG n = load(base + f->len_at);

	mix_number(n);
	if (f->kind == KMN_FIELD_TEMPLATE)
		mix_rows((const CK_ATTRIBUTE *)(const void *)p, n, false);
	else if (f->kind == KMN_FIELD_ARRAY)
		for (CK_ULONG i = 0; p != NULL && i < n; i++)
			mix_struct(f->inner, p + i * f->inner->size, base);
	else if (p != NULL && chosen(f, base)->kind == KMN_FIELD_STRUCT)
		mix_struct(chosen(f, base)->inner, p, base);
	else if (p != NULL)
		mix(p, n);
}

static void
mix_field(const struct kmn_field *f, const uint8_t *base, const uint8_t *outer)
{
	const uint8_t *p = NULL;

	if (is_pointer(f)) {
		p = load_pointer(base + f->at);
		mix_number(p == NULL);
	}
	if (f->kind == KMN_FIELD_ARRAY || f->kind == KMN_FIELD_TEMPLATE || f->kind == KMN_FIELD_CHOICE)
		mix_counted(f, base, p);
	else if (f->kind == KMN_FIELD_MECHANISM)
		mix_mechanism((const CK_MECHANISM *)(const void *)p);
	if (f->kind <= KMN_FIELD_HANDLE)
		mix_number(load(base + f->at));
	else if (f->kind == KMN_FIELD_BYTE || f->kind == KMN_FIELD_INLINE)
		mix(base + f->at, f->kind == KMN_FIELD_BYTE ? 1 : f->size);
	else if (f->kind == KMN_FIELD_STRUCT)
		mix_struct(f->inner, base + f->at, base);
	else if (f->kind == KMN_FIELD_POINTER && p != NULL)
		mix_struct(f->inner, p, base);
	else if (f->kind == KMN_FIELD_TEXT && p != NULL)
		mix(p, strlen((const char *)p));
	if (f->kind != KMN_FIELD_BYTES)
		return;
	mix_number(length_of(f, base, outer));
	if (p != NULL && f->way != KMN_WAY_OUT)
		mix(p, length_of(f, base, outer));
}

static void
mix_struct(const struct kmn_layout *layout, const uint8_t *base, const uint8_t *outer)
{
	for (size_t i = 0; i < layout->field_count; i++)
		mix_field(&layout->fields[i], base, outer);
}

/* The layout that a module with our tables would see in a parameter. */
static const struct kmn_layout *
layout_of(const CK_MECHANISM *m)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(m->mechanism);

	if (row == NULL || row->takes != KMN_TAKES_STRUCT || m->pParameter == NULL)
		return NULL;
	if (row->wrap != NULL && row->wrap->size == m->ulParameterLen)
		return row->wrap;
	if (row->layout[1] == NULL || row->layout[1]->size != m->ulParameterLen)
		return row->layout[0];
	if (row->layout[0]->size != m->ulParameterLen)
		return row->layout[1];
	return load((const uint8_t *)m->pParameter + row->layout[1]->size - sizeof(CK_ULONG)) <= 8192 ? row->layout[1]
												      : row->layout[0];
}

static void
mix_mechanism(const CK_MECHANISM *m)
{
	const struct kmn_mechanism *row;

	mix_number(m == NULL);
	if (m == NULL)
		return;
	row = kmn_mechanism_row(m->mechanism);
	mix_number(m->mechanism);
	mix_number(m->pParameter == NULL);
	mix_number(m->ulParameterLen);
	if (layout_of(m) != NULL)
		mix_struct(layout_of(m), m->pParameter, NULL);
	else if (m->pParameter != NULL && row->takes == KMN_TAKES_BYTES)
		mix(m->pParameter, m->ulParameterLen);
}

static bool
is_template(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_WRAP_TEMPLATE;
}

static void
mix_rows(const CK_ATTRIBUTE *rows, CK_ULONG count, bool room)
{
	mix_number(rows == NULL);
	mix_number(count);
	for (CK_ULONG i = 0; rows != NULL && i < count; i++) {
		mix_number(rows[i].type);
		mix_number(rows[i].pValue == NULL);
		mix_number(rows[i].ulValueLen);
		if (rows[i].pValue == NULL)
			continue;
		if (is_template(rows[i].type))
			mix_rows(rows[i].pValue, rows[i].ulValueLen / sizeof(*rows), room);
		else if (!room)
			mix(rows[i].pValue, rows[i].ulValueLen);
	}
}

/* The layout that the parameter of a message has, as a module with our tables would see it. */
static const struct kmn_layout *
message_layout(void)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(kit_module_kit->message);

	return row != NULL ? row->message : NULL;
}

static void
mix_arg(enum kmn_kind kind, const struct kmn_arg *a)
{
	switch (kind) {
	case KMN_KIND_MECHANISM:
		mix_mechanism(a->p);
		return;
	case KMN_KIND_TEMPLATE:
	case KMN_KIND_VALUES:
		mix_rows(a->p, a->u, kind == KMN_KIND_VALUES);
		return;
	case KMN_KIND_MESSAGE_PARAM:
		mix_number(a->p == NULL);
		mix_number(a->u);
		if (message_layout() != NULL && a->p != NULL)
			mix_struct(message_layout(), a->p, NULL);
		return;
	case KMN_KIND_DATA:
	case KMN_KIND_AAD:
	case KMN_KIND_PIN:
	case KMN_KIND_USERNAME:
	case KMN_KIND_LABEL:
		mix_number(a->p == NULL);
		mix_number(a->u);
		if (a->p != NULL)
			mix(a->p, kind == KMN_KIND_LABEL ? KMN_LABEL_BYTES : a->u);
		return;
	case KMN_KIND_NOTIFY:
	case KMN_KIND_LOCAL:
		return;
	case KMN_KIND_MAYBE_ROOM:
		mix_number(a->n == NULL);
		if (a->n == NULL) {
			mix_number(a->p == NULL);
			return;
		}
		/* fall through */
	case KMN_KIND_ROOM:
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		mix_number(a->p == NULL);
		mix_number(*a->n);
		return;
	default:
		if (kmn_kind_is_out(kind))
			mix_number(a->p == NULL);
		mix_number(a->u);
		return;
	}
}

/* ---- the module: what it does -------------------------------------------------------------------------------- */

static void
pattern(void *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = (uint8_t)(0x30 + i % 64);
}

static void change_struct(const struct kmn_layout *layout, uint8_t *base, const uint8_t *outer);

static void
change_field(const struct kmn_field *f, uint8_t *base, const uint8_t *outer)
{
	CK_OBJECT_HANDLE made = 0x77;
	uint8_t *p = is_pointer(f) ? load_pointer(base + f->at) : NULL;
	CK_ULONG n;

	if (f->kind == KMN_FIELD_STRUCT)
		change_struct(f->inner, base + f->at, base);
	else if (f->kind == KMN_FIELD_POINTER && p != NULL)
		change_struct(f->inner, p, base);
	else if (f->kind == KMN_FIELD_MECHANISM && p != NULL && layout_of((CK_MECHANISM *)(void *)p) != NULL)
		change_struct(
		    layout_of((CK_MECHANISM *)(void *)p), load_pointer(p + offsetof(CK_MECHANISM, pParameter)), NULL);
	else if (f->kind == KMN_FIELD_ARRAY && p != NULL)
		for (n = 0; n < load(base + f->len_at); n++)
			change_struct(f->inner, p + n * f->inner->size, base);
	else if (f->kind == KMN_FIELD_NEW_OBJECT_AT && p != NULL)
		store(p, &made, sizeof(made));
	else if (f->kind == KMN_FIELD_NEW_OBJECT)
		store(base + f->at, &made, sizeof(made));
	if (f->kind != KMN_FIELD_BYTES || f->way == KMN_WAY_IN || p == NULL)
		return;
	n = length_of(f, base, outer);
	if (f->unit == KMN_UNIT_OWN_PTR) {
		n /= 2;
		store(load_pointer(base + f->len_at), &n, sizeof(n));
	}
	pattern(p, n);
}

static void
change_struct(const struct kmn_layout *layout, uint8_t *base, const uint8_t *outer)
{
	for (size_t i = 0; i < layout->field_count; i++)
		change_field(&layout->fields[i], base, outer);
}

static void
change_mechanism(CK_MECHANISM *m)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(m->mechanism);

	if (layout_of(m) != NULL)
		change_struct(layout_of(m), m->pParameter, NULL);
	else if (m->pParameter != NULL && row != NULL && row->takes == KMN_TAKES_BYTES)
		pattern(m->pParameter, m->ulParameterLen);
}

static void
give_rows(CK_ATTRIBUTE *rows, CK_ULONG count, bool nested)
{
	for (CK_ULONG i = 0; i < count; i++) {
		CK_ATTRIBUTE *a = &rows[i];
		bool number = a->type == CKA_CLASS || a->type == CKA_MODULUS_BITS;

		if (nested && !is_template(a->type))
			a->type = number ? CKA_CLASS : CKA_ID;
		if (a->pValue == NULL) {
			a->ulValueLen = is_template(a->type) ? 2 * sizeof(*a) : 16;
		} else if (is_template(a->type)) {
			give_rows(a->pValue, a->ulValueLen / sizeof(*a), true);
		} else if (i == 1 || (number && a->ulValueLen < sizeof(CK_ULONG))) {
			a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		} else {
			a->ulValueLen = number ? sizeof(CK_ULONG) : a->ulValueLen / 2;
			pattern(a->pValue, a->ulValueLen);
		}
	}
}

static void
give_list(struct kmn_arg *a, CK_ULONG room)
{
	CK_ULONG *items = a->p, n = room < 3 ? room : 3;

	for (CK_ULONG i = 0; items != NULL && i < n; i++)
		items[i] = 0x100 + i;
	*a->n = items != NULL ? n : 11;
}

/* All members, and not what lies between them. */
static void
give_struct(enum kmn_kind kind, void *p)
{
	CK_TOKEN_INFO full; /* the largest of them */
	struct kmn_writer w;
	struct kmn_reader r;

	pattern((uint8_t *)&full, sizeof(full));
	kmn_writer_init(&w, sizeof(full) * 2);
	kmn_struct_put(&w, kind, &full);
	kmn_reader_init(&r, w.bytes, w.len);
	kmn_struct_apply(&r, kind, p, true);
	kmn_writer_clear(&w);
}

static void
give_room(struct kmn_arg *a, CK_RV rv)
{
	if (a->p == NULL || rv == CKR_BUFFER_TOO_SMALL) {
		*a->n = 77;
		return;
	}
	*a->n = *a->n < 40 ? *a->n : 40;
	pattern(a->p, *a->n);
}

/* An answer in full; of failures only those parts that PKCS#11 lets come with them. */
static void
give(enum kmn_kind kind, struct kmn_arg *a, CK_RV rv)
{
	CK_ULONG value = kind == KMN_KIND_ULONG_OUT ? CK_UNAVAILABLE_INFORMATION : 0x55;

	if (kind == KMN_KIND_VALUES && a->p != NULL && rv != CKR_FUNCTION_FAILED)
		give_rows(a->p, a->u, false);
	else if ((kind == KMN_KIND_ROOM || (kind == KMN_KIND_MAYBE_ROOM && a->n != NULL)) &&
		 (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL))
		give_room(a, rv);
	if (rv != CKR_OK)
		return;
	if (kind == KMN_KIND_MECHANISM && a->p != NULL)
		change_mechanism(a->p);
	else if (kind == KMN_KIND_MESSAGE_PARAM && a->p != NULL && message_layout() != NULL)
		change_struct(message_layout(), a->p, NULL);
	else if (kind == KMN_KIND_FILL && a->p != NULL)
		pattern(a->p, a->u);
	else if (kind == KMN_KIND_SLOTS || kind == KMN_KIND_MECH_TYPES)
		give_list(a, *a->n);
	else if (kind == KMN_KIND_OBJECTS && a->p != NULL)
		give_list(a, a->u);
	else if (kind >= KMN_KIND_NEW_SESSION && kind <= KMN_KIND_ULONG_OUT && a->p != NULL)
		store(a->p, &value, sizeof(value));
	else if (kind >= KMN_KIND_INFO)
		give_struct(kind, a->p);
}

CK_RV
kit_answer(enum kmn_call_id id, struct kmn_arg *arg, size_t n)
{
	const struct kmn_call *call = kmn_call_row(id);

	kit_module_kit->id = id;
	kit_module_kit->calls++;
	for (size_t i = 0; i < n; i++)
		mix_arg(call->param[i].kind, &arg[i]);
	for (size_t i = 0; i < n; i++)
		give(call->param[i].kind, &arg[i], kit_module_kit->rv);
	return kit_module_kit->rv;
}

#define ANSWER_LOCAL(symbol, ...)
#define ANSWER_SESSION ANSWER
#define ANSWER_LOGIN ANSWER
#define ANSWER_QUERY ANSWER
#define ANSWER_KEY_USE ANSWER
#define ANSWER_KEY_MANAGEMENT ANSWER
#define ANSWER_TOKEN_MANAGEMENT ANSWER
#define ANSWER_RANDOM ANSWER
#define ANSWER(symbol, ...) \
	static CK_RV answer_##symbol(KMN_LIST(KMN_PROTOTYPE, __VA_ARGS__)) \
	{ \
		struct kmn_arg arg[] = {KMN_LIST(KMN_PACK, __VA_ARGS__)}; \
\
		return kit_answer(KMN_##symbol, arg, KMN_COUNT_OF(arg)); \
	}
#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) ANSWER_##policy(symbol, __VA_ARGS__)
#include "kanmon/calls.def"
#undef KMN_CALL

#define MEMBER_LOCAL(symbol)
#define MEMBER_SESSION MEMBER
#define MEMBER_LOGIN MEMBER
#define MEMBER_QUERY MEMBER
#define MEMBER_KEY_USE MEMBER
#define MEMBER_KEY_MANAGEMENT MEMBER
#define MEMBER_TOKEN_MANAGEMENT MEMBER
#define MEMBER_RANDOM MEMBER
#define MEMBER(symbol) .symbol = answer_##symbol,
CK_FUNCTION_LIST_3_2 kit_module = {
    .version = {3, 2},
#define KMN_CALL(symbol, since, policy, ...) MEMBER_##policy(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};

static CK_ULONG
same_in(void *cookie, uint64_t handle)
{
	(void)cookie;
	return (CK_ULONG)handle;
}

static uint64_t
same_out(void *cookie, const struct kmn_call_view *call, CK_ULONG handle)
{
	(void)cookie;
	(void)call;
	return handle;
}

const struct kmn_handles kit_handles = {NULL, same_in, same_in, same_out, same_out};
