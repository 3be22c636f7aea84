/* Attributes for the module: built from a view, read back after the call. */
#include "server/hsm/invoke_parts.h"

#include <string.h>

bool
kmn_native_ulong(uint64_t wire, CK_ULONG *value_out)
{
	*value_out = (CK_ULONG)wire;
	return *value_out == wire;
}

CK_ULONG
kmn_native_length(uint64_t wire)
{
	return wire >= CK_UNAVAILABLE_INFORMATION ? CK_UNAVAILABLE_INFORMATION : (CK_ULONG)wire;
}

static bool
row_agrees(const struct kmn_attribute_view *a)
{
	enum kmn_attribute_shape shape = kmn_attribute_shape(a->type);

	switch (a->form) {
	case KMN_VALUE_NULL:
		return true;
	case KMN_VALUE_BYTES:
		return shape != KMN_SHAPE_TEMPLATE;
	case KMN_ROOM_BYTES: /* room that holds no whole rows is room for bytes at both ends */
		return shape != KMN_SHAPE_TEMPLATE || a->len % sizeof(CK_ATTRIBUTE) != 0;
	case KMN_VALUE_ULONG:
		return shape == KMN_SHAPE_ULONG;
	case KMN_VALUE_ULONGS:
		return shape == KMN_SHAPE_ULONGS;
	case KMN_ROOM_ULONGS:
		return shape == KMN_SHAPE_ULONG || shape == KMN_SHAPE_ULONGS;
	case KMN_VALUE_TEMPLATE:
	case KMN_ROOM_TEMPLATE:
		return shape == KMN_SHAPE_TEMPLATE && kmn_template_agrees(&a->nested);
	case KMN_VALUE_FORM_COUNT:
		return false;
	}
	return false;
}

bool
kmn_template_agrees(const struct kmn_template_view *t)
{
	struct kmn_attribute_view a;
	size_t at = 0;

	while (kmn_template_next(t, &at, &a))
		if (!row_agrees(&a))
			return false;
	return true;
}

/* What the module is told of the room for a value: no more than a response can carry. */
static CK_ULONG
room_of(const struct kmn_attribute_view *a)
{
	switch (a->form) {
	case KMN_ROOM_BYTES:
		return a->len > KMN_OUT_MAX_BYTES ? KMN_OUT_MAX_BYTES : (CK_ULONG)a->len;
	case KMN_ROOM_ULONGS:
		return (CK_ULONG)(a->len > KMN_LIST_MAX_ITEMS ? KMN_LIST_MAX_ITEMS : a->len) * sizeof(CK_ULONG);
	case KMN_ROOM_TEMPLATE:
		return (CK_ULONG)a->nested.count * sizeof(CK_ATTRIBUTE);
	default:
		return kmn_native_length(a->len);
	}
}

static bool
build_ulongs(const struct kmn_attribute_view *a, CK_ULONG *to)
{
	for (size_t i = 0; i < a->len; i++)
		if (!kmn_native_ulong(kmn_attribute_number(a, i), &to[i]))
			return false;
	return true;
}

/* pValue and ulValueLen of one row. */
static bool
build_row(const struct kmn_attribute_view *a, struct kmn_arena *arena, CK_ATTRIBUTE *row)
{
	bool failed = false;

	if (!kmn_native_ulong(a->type, &row->type))
		return false;
	switch (a->form) {
	case KMN_VALUE_NULL:
		row->ulValueLen = room_of(a);
		return true;
	case KMN_VALUE_BYTES:
		row->ulValueLen = (CK_ULONG)a->len;
		if ((row->pValue = kmn_arena_take(arena, a->len, 0)) != NULL && a->len > 0)
			memcpy(row->pValue, a->bytes, a->len);
		return row->pValue != NULL;
	case KMN_VALUE_ULONG:
		row->ulValueLen = sizeof(CK_ULONG);
		row->pValue = kmn_arena_take(arena, sizeof(CK_ULONG), 0);
		return row->pValue != NULL && kmn_native_ulong(a->number, row->pValue);
	case KMN_VALUE_ULONGS:
		row->ulValueLen = (CK_ULONG)(a->len * sizeof(CK_ULONG));
		row->pValue = kmn_arena_take(arena, a->len * sizeof(CK_ULONG), 0);
		return row->pValue != NULL && build_ulongs(a, row->pValue);
	case KMN_VALUE_TEMPLATE:
	case KMN_ROOM_TEMPLATE:
		row->ulValueLen = (CK_ULONG)a->nested.count * sizeof(CK_ATTRIBUTE);
		row->pValue = kmn_template_build(&a->nested, arena, &failed);
		return !failed;
	case KMN_ROOM_BYTES:
	case KMN_ROOM_ULONGS:
		row->ulValueLen = room_of(a);
		row->pValue = kmn_arena_take_out(arena, row->ulValueLen, KMN_SLACK_VALUE_BYTES);
		return row->pValue != NULL;
	case KMN_VALUE_FORM_COUNT:
		return false;
	}
	return false;
}

CK_ATTRIBUTE *
kmn_template_build(const struct kmn_template_view *t, struct kmn_arena *arena, bool *failed)
{
	struct kmn_attribute_view a;
	CK_ATTRIBUTE *rows;
	size_t at = 0, i = 0;

	*failed = false;
	if (t->null)
		return NULL;
	rows = kmn_arena_take(arena, (size_t)t->count * sizeof(*rows), KMN_SLACK_NUMBER_BYTES);
	*failed = rows == NULL;
	while (!*failed && i < t->count && kmn_template_next(t, &at, &a))
		*failed = !build_row(&a, arena, &rows[i++]);
	return *failed ? NULL : rows;
}

bool
kmn_values_make_room(
    const struct kmn_template_view *t, CK_ATTRIBUTE *rows, const CK_ATTRIBUTE *lengths, struct kmn_arena *arena)
{
	struct kmn_attribute_view a;
	size_t at = 0;

	for (size_t i = 0; kmn_template_next(t, &at, &a); i++) {
		CK_ULONG n = lengths[i].ulValueLen;

		if ((a.form != KMN_ROOM_BYTES && a.form != KMN_ROOM_ULONGS) || n <= rows[i].ulValueLen ||
		    n > KMN_OUT_MAX_BYTES)
			continue;
		if ((rows[i].pValue = kmn_arena_take_out(arena, n, KMN_SLACK_VALUE_BYTES)) == NULL)
			return false;
	}
	return true;
}

/* ---- after the call ---- */

static bool
row_overran(const struct kmn_attribute_view *a, const CK_ATTRIBUTE *row)
{
	return row->pValue != NULL && row->ulValueLen != CK_UNAVAILABLE_INFORMATION && row->ulValueLen > room_of(a);
}

bool
kmn_values_overran(const struct kmn_template_view *t, const CK_ATTRIBUTE *rows)
{
	struct kmn_attribute_view a;
	size_t at = 0;

	for (size_t i = 0; rows != NULL && kmn_template_next(t, &at, &a); i++)
		if (row_overran(&a, &rows[i]))
			return true;
	return false;
}

/* The size of what a value is counted in, and how it is written. */
static size_t
unit_of(const CK_ATTRIBUTE *row)
{
	enum kmn_attribute_shape shape = kmn_attribute_shape(row->type);
	size_t unit = shape == KMN_SHAPE_TEMPLATE ? sizeof(CK_ATTRIBUTE)
		      : shape == KMN_SHAPE_BYTES  ? 1
						  : sizeof(CK_ULONG);

	return row->ulValueLen % unit == 0 ? unit : 1;
}

static void
put_length(const CK_ATTRIBUTE *row, struct kmn_writer *w)
{
	size_t unit = unit_of(row);

	kmn_writer_u8(w, unit == sizeof(CK_ATTRIBUTE) ? KMN_GOT_LENGTH_ROWS
			 : unit == sizeof(CK_ULONG)   ? KMN_GOT_LENGTH_ULONGS
						      : KMN_GOT_LENGTH_BYTES);
	kmn_writer_u64(w, row->ulValueLen / unit);
}

static void put_row(const struct kmn_attribute_view *a, const CK_ATTRIBUTE *row, bool nested, struct kmn_writer *w);

static void
put_nested(const struct kmn_attribute_view *a, const CK_ATTRIBUTE *row, struct kmn_writer *w)
{
	const CK_ATTRIBUTE *inner = row->pValue;
	CK_ULONG n = row->ulValueLen / sizeof(*inner);
	struct kmn_attribute_view row_view;
	size_t at = 0;

	kmn_writer_u8(w, KMN_GOT_ROWS);
	kmn_writer_u32(w, (uint32_t)n);
	for (CK_ULONG i = 0; i < n && kmn_template_next(&a->nested, &at, &row_view); i++)
		put_row(&row_view, &inner[i], true, w);
}

static void
put_ulongs(const CK_ATTRIBUTE *row, struct kmn_writer *w)
{
	const CK_ULONG *values = row->pValue;
	CK_ULONG n = row->ulValueLen / sizeof(*values);

	kmn_writer_u8(w, KMN_GOT_ULONGS);
	kmn_writer_u32(w, (uint32_t)n);
	for (CK_ULONG i = 0; i < n; i++)
		kmn_ulong_put(w, values[i]);
}

/* `a` says what room the row had; the type of inner rows is the module's word. A template in room for bytes would be
 * pointers: its length is all that goes out. */
static void
put_row(const struct kmn_attribute_view *a, const CK_ATTRIBUTE *row, bool nested, struct kmn_writer *w)
{
	kmn_writer_u64(w, nested ? row->type : a->type);
	if (row->ulValueLen == CK_UNAVAILABLE_INFORMATION || row_overran(a, row)) {
		kmn_writer_u8(w, KMN_GOT_UNAVAILABLE);
	} else if (row->pValue == NULL || (a->form != KMN_ROOM_TEMPLATE && unit_of(row) == sizeof(CK_ATTRIBUTE))) {
		put_length(row, w);
	} else if (a->form == KMN_ROOM_TEMPLATE) {
		put_nested(a, row, w);
	} else if (a->form == KMN_ROOM_ULONGS && row->ulValueLen % sizeof(CK_ULONG) == 0) {
		put_ulongs(row, w);
	} else {
		kmn_writer_u8(w, KMN_GOT_BYTES);
		kmn_writer_bytes(w, row->pValue, row->ulValueLen);
	}
}

void
kmn_values_put(const struct kmn_template_view *t, const CK_ATTRIBUTE *rows, struct kmn_writer *w)
{
	struct kmn_attribute_view a;
	size_t at = 0;

	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_writer_u32(w, (uint32_t)t->count);
	for (size_t i = 0; kmn_template_next(t, &at, &a); i++)
		put_row(&a, &rows[i], false, w);
}
