/*
 * A structure as one line of text, both ways. Members stand in the order of
 * the C structure, each as name:type:
 *
 *   u m g h b       CK_ULONG, mechanism type, MGF, object handle, one byte
 *   b[N]            N bytes inside the structure
 *   n, *n           length or count, or pointer to one, that belongs to one pointer only
 *   *d(L)           pointer to bytes, given; *o(L) the module fills them in; *x(L) both
 *   *z              pointer to a NUL-terminated string
 *   *M              pointer to a CK_MECHANISM with its own parameter
 *   *t(NAME)        pointer to attributes, as many as the n of that name says
 *   S(STRUCT)       a structure inside; *S(STRUCT) pointer to one; *S(STRUCT)[NAME] to as many as NAME says
 *   >h, *>h         object handle that the module fills in, or pointer to one
 *   *?(BY,NAME:V=T,...)  pointer to what the u of name BY chooses; T is d, u, h or S(STRUCT); the n NAME is its bytes
 *
 * L, how many bytes: a number; NAME of an n or u; *NAME of a *n; NAME/8 of a u that counts bits; ^NAME/8 the same in
 * the structure around this one (of the standard only). After d, o, x, z and ?: `-` never shown in the ledger; `!` read with
 * care and at most 256 bytes, for callers are known to state it wrong.
 */
#include "transport/types_parts.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct kmn_abi kmn_abi_own = {sizeof(CK_ULONG), sizeof(void *), sizeof(struct {
					    char a;
					    CK_ULONG b;
				    }) == 1 + sizeof(CK_ULONG)};

/* ---- to text ------------------------------------------------------------------------------------------------- */

struct text {
	char *at;
	size_t room, len;
	bool full;
};

static void KMN_PRINTF(2, 3) add(struct text *t, const char *format, ...)
{
	va_list list;
	int n;

	va_start(list, format);
	n = vsnprintf(t->full ? NULL : t->at + t->len, t->full ? 0 : t->room - t->len, format, list);
	va_end(list);
	if (n < 0 || t->full || (size_t)n >= t->room - t->len)
		t->full = true;
	else
		t->len += (size_t)n;
}

static const char *
name_at(const struct kmn_layout *layout, uint16_t at)
{
	for (size_t i = 0; i < layout->field_count; i++)
		if (layout->fields[i].at == at)
			return layout->fields[i].name;
	return "?";
}

static void
add_length(struct text *t, const struct kmn_layout *layout, const struct kmn_field *f)
{
	switch (f->unit) {
	case KMN_UNIT_OWN:
		add(t, "(%s)", f->len_name);
		return;
	case KMN_UNIT_OWN_PTR:
		add(t, "(*%s)", f->len_name);
		return;
	case KMN_UNIT_FIELD:
		add(t, "(%s)", name_at(layout, f->len_at));
		return;
	case KMN_UNIT_BITS:
		add(t, "(%s/8)", name_at(layout, f->len_at));
		return;
	case KMN_UNIT_BITS_OUT:
		add(t, "(^%s/8)", f->len_name);
		return;
	case KMN_UNIT_FIXED:
		add(t, "(%u)", f->size);
		return;
	}
}

static void
add_choices(struct text *t, const struct kmn_layout *layout, const struct kmn_field *f)
{
	add(t, "*?%s(%s,%s:", f->shown == NULL ? "-" : "", name_at(layout, f->by_at), f->len_name);
	for (size_t i = 0; i < f->choice_count; i++) {
		const struct kmn_choice *c = &f->choices[i];

		add(t, "%s%llu=", i > 0 ? "," : "", (unsigned long long)c->value);
		if (c->kind == KMN_FIELD_STRUCT)
			add(t, "S(%s)", c->inner->name);
		else
			add(t, "%s", c->kind == KMN_FIELD_BYTES ? "d" : c->kind == KMN_FIELD_HANDLE ? "h" : "u");
	}
	add(t, ")");
}

static void
add_field(struct text *t, const struct kmn_layout *layout, const struct kmn_field *f)
{
	static const char *const fixed[] = {[KMN_FIELD_ULONG] = "u",
	    [KMN_FIELD_MECH] = "m",
	    [KMN_FIELD_MGF] = "g",
	    [KMN_FIELD_HANDLE] = "h",
	    [KMN_FIELD_BYTE] = "b",
	    [KMN_FIELD_MECHANISM] = "*M",
	    [KMN_FIELD_NEW_OBJECT] = ">h",
	    [KMN_FIELD_NEW_OBJECT_AT] = "*>h"};
	static const char way[] = {[KMN_WAY_IN] = 'd', [KMN_WAY_OUT] = 'o', [KMN_WAY_INOUT] = 'x'};

	add(t, "%s:", f->name);
	switch (f->kind) {
	case KMN_FIELD_ULONG:
	case KMN_FIELD_MECH:
	case KMN_FIELD_MGF:
	case KMN_FIELD_HANDLE:
	case KMN_FIELD_BYTE:
	case KMN_FIELD_MECHANISM:
	case KMN_FIELD_NEW_OBJECT:
	case KMN_FIELD_NEW_OBJECT_AT:
		add(t, "%s", fixed[f->kind]);
		return;
	case KMN_FIELD_INLINE:
		add(t, "b[%u]", f->size);
		return;
	case KMN_FIELD_BYTES:
		add(t, "*%c%s%s", way[f->way], f->shown == NULL && f->way != KMN_WAY_OUT ? "-" : "",
		    f->guarded ? "!" : "");
		add_length(t, layout, f);
		return;
	case KMN_FIELD_TEXT:
		add(t, "*z%s", f->shown == NULL ? "-" : "");
		return;
	case KMN_FIELD_STRUCT:
		add(t, "S(%s)", f->inner->name);
		return;
	case KMN_FIELD_POINTER:
		add(t, "*S(%s)", f->inner->name);
		return;
	case KMN_FIELD_ARRAY:
		add(t, "*S(%s)[%s]", f->inner->name, f->len_name);
		return;
	case KMN_FIELD_TEMPLATE:
		add(t, "*t(%s)", f->len_name);
		return;
	case KMN_FIELD_CHOICE:
		add_choices(t, layout, f);
		return;
	case KMN_FIELD_KIND_COUNT:
		return;
	}
}

/* Whether the length at len_at is a member of its own, which no field stands for. */
static bool
has_own_length(const struct kmn_field *f)
{
	return f->kind == KMN_FIELD_ARRAY || f->kind == KMN_FIELD_TEMPLATE || f->kind == KMN_FIELD_CHOICE ||
	       (f->kind == KMN_FIELD_BYTES && (f->unit == KMN_UNIT_OWN || f->unit == KMN_UNIT_OWN_PTR));
}

/* The member that begins at an offset; false: there is none. */
static bool
add_member_at(struct text *t, const struct kmn_layout *layout, size_t at)
{
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct kmn_field *f = &layout->fields[i];
		bool is_length = has_own_length(f) && f->len_at == at;

		if (f->at != at && !is_length)
			continue;
		if (t->len > 0)
			add(t, " ");
		if (f->at == at)
			add_field(t, layout, f);
		else
			add(t, "%s:%s", f->len_name, f->unit == KMN_UNIT_OWN_PTR ? "*n" : "n");
		return true;
	}
	return false;
}

size_t
kmn_layout_describe(const struct kmn_layout *layout, char *out, size_t room)
{
	struct text t = {.at = out, .room = room};

	for (size_t at = 0; at < layout->size; at++)
		(void)add_member_at(&t, layout, at);
	return t.full ? 0 : t.len;
}

/* ---- from text ----------------------------------------------------------------------------------------------- */

enum refers { REFERS_TO_NOTHING, REFERS_TO_LENGTH, REFERS_BEHIND, REFERS_IN_BITS };

struct member {
	char name[KMN_TYPES_NAME_MAX_BYTES + 1];
	struct kmn_field field;
	bool is_length, is_length_pointer; /* n, *n: no field by itself */
	bool used;                         /* a length that a pointer has, or a field that others need before them */
	size_t size, align;
	enum refers refers;
	char length[KMN_TYPES_NAME_MAX_BYTES + 1], by[KMN_TYPES_NAME_MAX_BYTES + 1];
};

struct parse {
	struct kmn_types *types;
	const struct kmn_abi *abi;
	const char *at; /* rest of the member's type */
	char *why;
	kmn_err err;
	struct member member[2 * KMN_PARAM_MAX_FIELDS];
	size_t count;
};

static void KMN_PRINTF(2, 3) complain(struct parse *p, const char *format, ...)
{
	va_list list;

	if (p->err != KMN_OK)
		return;
	p->err = KMN_E_CONFIG;
	va_start(list, format);
	(void)vsnprintf(p->why, KMN_TYPES_WHY_BYTES, format, list);
	va_end(list);
}

static bool
skip(struct parse *p, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(p->at, word, n) != 0)
		return false;
	p->at += n;
	return true;
}

static void
expect(struct parse *p, const char *word)
{
	if (!skip(p, word))
		complain(p, "\"%s\" is expected before \"%.60s\"", word, p->at);
}

static void
get_name(struct parse *p, char out[KMN_TYPES_NAME_MAX_BYTES + 1])
{
	size_t n = 0;

	while (isalnum((unsigned char)p->at[n]) || p->at[n] == '_')
		n++;
	if (n == 0 || n > KMN_TYPES_NAME_MAX_BYTES)
		complain(p, "a name is expected before \"%.60s\"", p->at);
	else
		memcpy(out, p->at, n);
	out[p->err == KMN_OK ? n : 0] = '\0';
	p->at += n;
}

static unsigned long
get_number(struct parse *p, unsigned long most)
{
	char *end = NULL;
	unsigned long n = isdigit((unsigned char)p->at[0]) ? strtoul(p->at, &end, 0) : 0;

	if (end == NULL || n > most)
		complain(p, "a number of at most %lu is expected before \"%.60s\"", most, p->at);
	else
		p->at = end;
	return p->err == KMN_OK ? n : 0;
}

static const struct kmn_layout *
get_struct(struct parse *p)
{
	char name[KMN_TYPES_NAME_MAX_BYTES + 1];
	const struct kmn_layout *layout;

	expect(p, "(");
	get_name(p, name);
	expect(p, ")");
	if (p->err != KMN_OK)
		return NULL;
	if ((layout = kmn_types_find(p->types, name)) == NULL)
		complain(p, "there is no structure %s before this line, nor in the standard", name);
	return layout;
}

/* (L) of *d, *o, *x. */
static void
get_length(struct parse *p, struct member *m)
{
	expect(p, "(");
	if (isdigit((unsigned char)p->at[0])) {
		m->field.unit = KMN_UNIT_FIXED;
		m->field.size = (uint16_t)get_number(p, KMN_PARAM_MAX_FIELD_BYTES - 1);
	} else {
		m->refers = skip(p, "*") ? REFERS_BEHIND : REFERS_TO_LENGTH;
		get_name(p, m->length);
		if (m->refers == REFERS_TO_LENGTH && skip(p, "/8"))
			m->refers = REFERS_IN_BITS;
	}
	expect(p, ")");
}

static void
get_marks(struct parse *p, struct member *m)
{
	m->field.shown = skip(p, "-") || m->field.way == KMN_WAY_OUT ? NULL : m->field.name;
	m->field.guarded = skip(p, "!");
}

/* The last of m's choices. */
static void
get_choice(struct parse *p, struct member *m, struct kmn_choice *choice)
{
	choice->value = get_number(p, UINT32_MAX);
	expect(p, "=");
	choice->kind = KMN_FIELD_BYTES;
	if (skip(p, "u"))
		choice->kind = KMN_FIELD_ULONG;
	else if (skip(p, "h"))
		choice->kind = KMN_FIELD_HANDLE;
	else if (skip(p, "S")) {
		choice->kind = KMN_FIELD_STRUCT;
		choice->inner = get_struct(p);
	} else {
		expect(p, "d");
	}
	for (size_t i = 0; i + 1 < m->field.choice_count; i++)
		if (m->field.choices[i].value == choice->value)
			complain(p, "%s: %llu is chosen twice", m->name, (unsigned long long)choice->value);
}

/* *?(BY,NAME:V=T,...) */
static void
get_choices(struct parse *p, struct member *m)
{
	struct kmn_choice *choices = kmn_types_take(p->types, KMN_PARAM_MAX_FIELDS * sizeof(*choices));

	if (choices == NULL) {
		p->err = KMN_E_NO_MEMORY;
		return;
	}
	get_marks(p, m);
	m->field.kind = KMN_FIELD_CHOICE;
	m->field.choices = choices;
	expect(p, "(");
	get_name(p, m->by);
	expect(p, ",");
	get_name(p, m->length);
	expect(p, ":");
	m->refers = REFERS_TO_LENGTH;
	do {
		if (m->field.choice_count == KMN_PARAM_MAX_FIELDS)
			complain(p, "%s: more than %u choices", m->name, KMN_PARAM_MAX_FIELDS);
		else
			get_choice(p, m, &choices[m->field.choice_count++]);
	} while (p->err == KMN_OK && skip(p, ","));
	expect(p, ")");
}

static void
get_bytes(struct parse *p, struct member *m, enum kmn_field_way way)
{
	m->field.kind = KMN_FIELD_BYTES;
	m->field.way = way;
	get_marks(p, m);
	get_length(p, m);
}

/* *S(STRUCT), *S(STRUCT)[NAME] */
static void
get_pointer_to_struct(struct parse *p, struct member *m)
{
	m->field.kind = KMN_FIELD_POINTER;
	m->field.inner = get_struct(p);
	if (!skip(p, "["))
		return;
	m->field.kind = KMN_FIELD_ARRAY;
	m->field.shown = m->field.name;
	m->refers = REFERS_TO_LENGTH;
	get_name(p, m->length);
	expect(p, "]");
}

static void
get_pointer(struct parse *p, struct member *m)
{
	m->size = m->align = p->abi->pointer_bytes;
	if (skip(p, "d")) {
		get_bytes(p, m, KMN_WAY_IN);
	} else if (skip(p, "o")) {
		get_bytes(p, m, KMN_WAY_OUT);
	} else if (skip(p, "x")) {
		get_bytes(p, m, KMN_WAY_INOUT);
	} else if (skip(p, "z")) {
		m->field.kind = KMN_FIELD_TEXT;
		get_marks(p, m);
	} else if (skip(p, "S")) {
		get_pointer_to_struct(p, m);
	} else if (skip(p, "M")) {
		m->field.kind = KMN_FIELD_MECHANISM;
		m->field.shown = m->field.name;
	} else if (skip(p, "t(")) {
		m->field.kind = KMN_FIELD_TEMPLATE;
		m->field.shown = m->field.name;
		m->refers = REFERS_TO_LENGTH;
		get_name(p, m->length);
		expect(p, ")");
	} else if (skip(p, ">h")) {
		m->field.kind = KMN_FIELD_NEW_OBJECT_AT;
		m->field.way = KMN_WAY_OUT;
	} else if (skip(p, "n")) {
		m->is_length = m->is_length_pointer = true;
	} else if (skip(p, "?")) {
		get_choices(p, m);
	} else {
		complain(p, "%s: there is no type *%.40s", m->name, p->at);
	}
}

static size_t
align_of(const struct kmn_layout *layout, const struct kmn_abi *abi)
{
	size_t align = 1;

	for (size_t i = 0; i < layout->field_count && !abi->packed; i++) {
		const struct kmn_field *f = &layout->fields[i];
		size_t own = f->kind == KMN_FIELD_BYTE || f->kind == KMN_FIELD_INLINE         ? 1
			     : f->kind == KMN_FIELD_STRUCT                                    ? align_of(f->inner, abi)
			     : f->kind <= KMN_FIELD_HANDLE || f->kind == KMN_FIELD_NEW_OBJECT ? abi->ulong_bytes
											      : abi->pointer_bytes;

		align = own > align ? own : align;
	}
	return align;
}

static void
get_scalar(struct parse *p, struct member *m, enum kmn_field_kind kind)
{
	m->field.kind = kind;
	m->field.shown = m->field.name;
	m->size = m->align = p->abi->ulong_bytes;
}

static void
get_byte(struct parse *p, struct member *m)
{
	m->field.kind = KMN_FIELD_BYTE;
	m->field.shown = m->field.name;
	m->size = m->align = 1;
	if (!skip(p, "["))
		return;
	m->field.kind = KMN_FIELD_INLINE;
	m->size = get_number(p, 4096);
	m->field.size = (uint16_t)m->size;
	if (m->size == 0)
		complain(p, "%s: no bytes at all", m->name);
	expect(p, "]");
}

static void
get_type(struct parse *p, struct member *m)
{
	if (skip(p, "*")) {
		get_pointer(p, m);
	} else if (skip(p, "u")) {
		get_scalar(p, m, KMN_FIELD_ULONG);
	} else if (skip(p, "m")) {
		get_scalar(p, m, KMN_FIELD_MECH);
	} else if (skip(p, "g")) {
		get_scalar(p, m, KMN_FIELD_MGF);
	} else if (skip(p, "h")) {
		get_scalar(p, m, KMN_FIELD_HANDLE);
	} else if (skip(p, "b")) {
		get_byte(p, m);
	} else if (skip(p, "n")) {
		get_scalar(p, m, KMN_FIELD_ULONG);
		m->is_length = true;
	} else if (skip(p, ">h")) {
		get_scalar(p, m, KMN_FIELD_NEW_OBJECT);
		m->field.way = KMN_WAY_OUT;
		m->field.shown = NULL;
	} else if (skip(p, "S")) {
		m->field.kind = KMN_FIELD_STRUCT;
		if ((m->field.inner = get_struct(p)) == NULL)
			return;
		m->size = m->field.inner->size;
		m->align = align_of(m->field.inner, p->abi);
	} else {
		complain(p, "%s: there is no type %.40s", m->name, p->at);
	}
}

static struct member *
find_member(struct parse *p, const char *name)
{
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->member[i].name, name) == 0)
			return &p->member[i];
	return NULL;
}

static void
get_member(struct parse *p, const char *text)
{
	struct member *m = &p->member[p->count];

	if (p->count == KMN_COUNT_OF(p->member)) {
		complain(p, "more than %zu members", KMN_COUNT_OF(p->member));
		return;
	}
	memset(m, 0, sizeof(*m));
	p->at = text;
	get_name(p, m->name);
	if (p->err == KMN_OK && find_member(p, m->name) != NULL)
		complain(p, "%s is there twice", m->name);
	if ((m->field.name = kmn_types_keep(p->types, m->name)) == NULL)
		p->err = KMN_E_NO_MEMORY;
	expect(p, ":");
	if (p->err == KMN_OK)
		get_type(p, m);
	if (p->err == KMN_OK && *p->at != '\0')
		complain(p, "%s: \"%.60s\" is too much", m->name, p->at);
	p->count++;
}

/* Offsets as a compiler of that ABI gives them; the size of the whole. */
static size_t
place_members(struct parse *p)
{
	size_t at = 0, most = 1;

	for (size_t i = 0; i < p->count; i++) {
		struct member *m = &p->member[i];
		size_t align = p->abi->packed ? 1 : m->align;

		at = (at + align - 1) / align * align;
		m->field.at = (uint16_t)at;
		at += m->size;
		most = align > most ? align : most;
		if (at > UINT16_MAX)
			complain(p, "the structure is too large");
	}
	return (at + most - 1) / most * most;
}

/* The length that a pointer has. */
static void
resolve_length(struct parse *p, struct member *m)
{
	struct member *length = find_member(p, m->length);

	if (length == NULL) {
		complain(p, "%s: there is no member %s", m->name, m->length);
		return;
	}
	m->field.len_at = length->field.at;
	if (m->refers == REFERS_BEHIND ? !length->is_length_pointer : length->is_length_pointer)
		complain(p, "%s: a length behind a pointer is *n, and named *%s", m->name, m->length);
	else if (length->is_length && length->used)
		complain(p, "%s: %s is the length of another pointer too: make it a u", m->name, m->length);
	else if (!length->is_length && (length->field.kind != KMN_FIELD_ULONG || m->field.kind != KMN_FIELD_BYTES))
		complain(p, "%s: %s is not its length", m->name, m->length);
	else if (m->refers == REFERS_IN_BITS && length->is_length)
		complain(p, "%s: %s counts bits, so it must be a u", m->name, m->length);
	if (length->is_length)
		m->field.len_name = length->field.name;
	if (m->field.kind == KMN_FIELD_BYTES)
		m->field.unit = m->refers == REFERS_BEHIND    ? KMN_UNIT_OWN_PTR
				: m->refers == REFERS_IN_BITS ? KMN_UNIT_BITS
				: length->is_length           ? KMN_UNIT_OWN
							      : KMN_UNIT_FIELD;
	length->used = true;
}

static void
resolve(struct parse *p, struct member *m)
{
	struct member *by;

	if (m->refers != REFERS_TO_NOTHING)
		resolve_length(p, m);
	if (m->field.kind != KMN_FIELD_CHOICE || m->is_length || p->err != KMN_OK)
		return;
	if ((by = find_member(p, m->by)) == NULL || by->is_length || by->field.kind != KMN_FIELD_ULONG) {
		complain(p, "%s: %s is no u of this structure", m->name, m->by);
		return;
	}
	m->field.by_at = by->field.at;
	by->used = true;
}

/* Those that others need come first, as on the wire. */
static size_t
take_fields(const struct parse *p, struct kmn_field *fields, size_t n, bool used)
{
	for (size_t i = 0; i < p->count; i++)
		if (!p->member[i].is_length && p->member[i].used == used && n < KMN_PARAM_MAX_FIELDS)
			fields[n++] = p->member[i].field;
	return n;
}

static void
check_members(struct parse *p)
{
	size_t fields = 0;

	for (size_t i = 0; i < p->count; i++) {
		if (p->member[i].is_length && !p->member[i].used)
			complain(p, "%s is the length of nothing: make it a u", p->member[i].name);
		fields += p->member[i].is_length ? 0 : 1;
	}
	if (fields == 0)
		complain(p, "a structure has members");
	if (fields > KMN_PARAM_MAX_FIELDS)
		complain(p, "more than %u members that are no lengths", KMN_PARAM_MAX_FIELDS);
}

kmn_err
kmn_layout_parse(struct kmn_types *types, const struct kmn_abi *abi, const char *name, char *const *member,
    size_t count, char *why_out, const struct kmn_layout **layout_out)
{
	struct parse *p = calloc(1, sizeof(*p));
	struct kmn_layout *layout = kmn_types_take(types, sizeof(*layout));
	struct kmn_field *fields = kmn_types_take(types, KMN_PARAM_MAX_FIELDS * sizeof(*fields));
	kmn_err e = KMN_E_NO_MEMORY;
	size_t size;

	*layout_out = NULL;
	if (p == NULL || layout == NULL || fields == NULL)
		goto done;
	p->types = types;
	p->abi = abi;
	p->why = why_out;
	for (size_t i = 0; i < count && p->err == KMN_OK; i++)
		get_member(p, member[i]);
	size = p->err == KMN_OK ? place_members(p) : 0;
	for (size_t i = 0; i < p->count && p->err == KMN_OK; i++)
		resolve(p, &p->member[i]);
	if (p->err == KMN_OK)
		check_members(p);
	if ((e = p->err) != KMN_OK)
		goto done;
	*layout =
	    (struct kmn_layout){.id = KMN_LAYOUT_DESCRIBED, .name = name, .size = (uint16_t)size, .fields = fields};
	layout->field_count = take_fields(p, fields, take_fields(p, fields, 0, true), false);
	*layout_out = layout;
done:
	free(p);
	return e;
}
