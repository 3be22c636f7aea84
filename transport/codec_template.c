/*
 * Attributes.
 *
 *   template = u8 null; if null u64 ulCount, else rows
 *   rows     = u32 n, bytes that hold n rows
 *   row      = u64 type, u8 form (enum kmn_value_form), then
 *     NULL, ROOM_BYTES  u64 ulValueLen
 *     ROOM_ULONGS       u64 how many CK_ULONGs
 *     BYTES             bytes
 *     ULONG             u64
 *     ULONGS            u32 n, n * u64
 *     TEMPLATE, ROOM_TEMPLATE  rows
 *
 * An attribute that is known to be a CK_ULONG but has another size travels as
 * bytes, so that the module gives its own error. One that is known to be a
 * template never travels as bytes: those would be pointers. Room for one that
 * is no room for whole rows is room for bytes: the module says so, and what it
 * writes there never comes back.
 *
 * Where a number may be CK_UNAVAILABLE_INFORMATION, which is ~0 in every ABI,
 * it goes by value, as 2^64-1. Elsewhere 0xffffffff is a number like others.
 */
#include "transport/codec_parts.h"

#include <string.h>

#include "kanmon/types.h"

#define ROW_LEAST_BYTES 13u /* of a row: type, form, and the shortest rest (u32) */

static void
fail(struct kmn_writer *w, kmn_err e)
{
	if (w->err == KMN_OK)
		w->err = e;
}

/* Lengths, and the mechanism of a key that was not generated: PKCS#11 lets these be unknown. */
static bool
may_be_unavailable(uint64_t type)
{
	switch (type) {
	case CKA_KEY_GEN_MECHANISM:
	case CKA_MODULUS_BITS:
	case CKA_PRIME_BITS:
	case CKA_SUB_PRIME_BITS:
	case CKA_VALUE_BITS:
	case CKA_VALUE_LEN:
		return true;
	default:
		return false;
	}
}

static void
put_number(struct kmn_writer *w, uint64_t type, CK_ULONG value)
{
	if (may_be_unavailable(type))
		kmn_length_put(w, value);
	else
		kmn_ulong_put(w, value);
}

static CK_ULONG
get_number(struct kmn_reader *r, uint64_t type)
{
	return may_be_unavailable(type) ? kmn_length_get(r) : kmn_ulong_get(r);
}

/* ---- the caller's rows --------------------------------------------------------------------------------------- */

static enum kmn_value_form
form_in(const CK_ATTRIBUTE *a, enum kmn_attribute_shape shape)
{
	if (a->pValue == NULL)
		return KMN_VALUE_NULL;
	if (shape == KMN_SHAPE_TEMPLATE)
		return a->ulValueLen % sizeof(CK_ATTRIBUTE) == 0 ? KMN_VALUE_TEMPLATE : KMN_VALUE_FORM_COUNT;
	if (shape == KMN_SHAPE_ULONG && a->ulValueLen == sizeof(CK_ULONG))
		return KMN_VALUE_ULONG;
	if (shape == KMN_SHAPE_ULONGS && a->ulValueLen % sizeof(CK_ULONG) == 0)
		return KMN_VALUE_ULONGS;
	return KMN_VALUE_BYTES;
}

static enum kmn_value_form
form_room(const CK_ATTRIBUTE *a, enum kmn_attribute_shape shape)
{
	if (a->pValue == NULL)
		return KMN_VALUE_NULL;
	if (shape == KMN_SHAPE_TEMPLATE)
		return a->ulValueLen % sizeof(CK_ATTRIBUTE) == 0 ? KMN_ROOM_TEMPLATE : KMN_ROOM_BYTES;
	if ((shape == KMN_SHAPE_ULONG || shape == KMN_SHAPE_ULONGS) && a->ulValueLen % sizeof(CK_ULONG) == 0)
		return KMN_ROOM_ULONGS;
	return KMN_ROOM_BYTES;
}

static void put_rows(
    struct kmn_writer *w, const uint8_t *rows, CK_ULONG count, enum kmn_template_use use, unsigned depth);

static void
put_ulongs(struct kmn_writer *w, const uint8_t *from, CK_ULONG n)
{
	CK_ULONG value;

	if (n > KMN_LIST_MAX_ITEMS) {
		fail(w, KMN_E_LIMIT);
		return;
	}
	kmn_writer_u32(w, (uint32_t)n);
	for (CK_ULONG i = 0; i < n; i++) {
		memcpy(&value, from + i * sizeof(value), sizeof(value));
		kmn_ulong_put(w, value);
	}
}

static void
put_row(struct kmn_writer *w, const CK_ATTRIBUTE *a, enum kmn_template_use use, unsigned depth)
{
	enum kmn_attribute_shape shape = kmn_attribute_shape(a->type);
	enum kmn_value_form form = use == KMN_TEMPLATE_IN ? form_in(a, shape) : form_room(a, shape);
	CK_ULONG value;

	kmn_ulong_put(w, a->type);
	kmn_writer_u8(w, (uint8_t)form);
	switch (form) {
	case KMN_VALUE_NULL:
	case KMN_ROOM_BYTES:
		kmn_length_put(w, a->ulValueLen);
		return;
	case KMN_ROOM_ULONGS:
		kmn_writer_u64(w, a->ulValueLen / sizeof(CK_ULONG));
		return;
	case KMN_VALUE_BYTES:
		if (a->ulValueLen > KMN_DATA_MAX_BYTES)
			fail(w, KMN_E_LIMIT);
		else
			kmn_writer_bytes(w, a->pValue, a->ulValueLen);
		return;
	case KMN_VALUE_ULONG:
		memcpy(&value, a->pValue, sizeof(value));
		put_number(w, a->type, value);
		return;
	case KMN_VALUE_ULONGS:
		put_ulongs(w, a->pValue, a->ulValueLen / sizeof(CK_ULONG));
		return;
	case KMN_VALUE_TEMPLATE:
	case KMN_ROOM_TEMPLATE:
		put_rows(w, a->pValue, a->ulValueLen / sizeof(CK_ATTRIBUTE), use, depth + 1);
		return;
	case KMN_VALUE_FORM_COUNT:
		fail(w, KMN_E_ARGUMENTS);
		return;
	}
}

static void
put_rows(struct kmn_writer *w, const uint8_t *rows, CK_ULONG count, enum kmn_template_use use, unsigned depth)
{
	CK_ATTRIBUTE row;
	size_t hole;

	if (depth > KMN_TEMPLATE_MAX_DEPTH || count > KMN_TEMPLATE_MAX_ROWS) {
		fail(w, KMN_E_LIMIT);
		return;
	}
	kmn_writer_u32(w, (uint32_t)count);
	hole = kmn_writer_hole_u32(w);
	for (CK_ULONG i = 0; i < count && w->err == KMN_OK; i++) {
		memcpy(&row, rows + i * sizeof(row), sizeof(row));
		put_row(w, &row, use, depth);
	}
	kmn_writer_patch_u32(w, hole, (uint32_t)(w->len - hole - 4));
}

void
kmn_template_put(struct kmn_writer *w, const void *rows, CK_ULONG count, enum kmn_template_use use)
{
	kmn_writer_bool(w, rows == NULL);
	if (rows == NULL)
		kmn_length_put(w, count);
	else
		put_rows(w, rows, count, use, 1);
}

/* ---- views --------------------------------------------------------------------------------------------------- */

/* Which forms a row may have; a template whose value came as bytes would be pointers. */
static bool
form_allowed(const struct kmn_attribute_view *a, enum kmn_template_use use)
{
	enum kmn_attribute_shape shape = kmn_attribute_shape(a->type);
	bool in = use == KMN_TEMPLATE_IN;
	/* Described in a types file, at one end or the other: the worker compares before the module hears of it. */
	bool any = kmn_attribute_row(a->type) == NULL || kmn_types_attribute_row(a->type) != NULL;

	switch (a->form) {
	case KMN_VALUE_NULL:
		return true;
	case KMN_VALUE_BYTES:
		return in && (any || shape != KMN_SHAPE_TEMPLATE);
	case KMN_ROOM_BYTES: /* also of a template: room that holds no whole rows, for the module to judge */
		return !in;
	case KMN_VALUE_ULONG:
		return in && (any || shape == KMN_SHAPE_ULONG);
	case KMN_VALUE_ULONGS:
		return in && (any || shape == KMN_SHAPE_ULONGS);
	case KMN_ROOM_ULONGS:
		return !in && (any || shape == KMN_SHAPE_ULONG || shape == KMN_SHAPE_ULONGS);
	case KMN_VALUE_TEMPLATE:
	case KMN_ROOM_TEMPLATE:
		return in == (a->form == KMN_VALUE_TEMPLATE) && (any || shape == KMN_SHAPE_TEMPLATE);
	case KMN_VALUE_FORM_COUNT:
		return false;
	}
	return false;
}

static void
get_rows_view(struct kmn_reader *r, struct kmn_template_view *t)
{
	const uint8_t *before = r->at;
	uint32_t count = kmn_reader_u32(r);

	if (r->err == KMN_OK && count > KMN_TEMPLATE_MAX_ROWS)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	t->size = kmn_reader_bytes(r, SIZE_MAX, &t->rows);
	if (r->err == KMN_OK && count > t->size / ROW_LEAST_BYTES)
		kmn_reader_fail(r, KMN_E_TRUNCATED);
	t->count = r->err == KMN_OK && before != NULL ? count : 0;
}

/* One row; what it nests is a view that is not yet looked into. */
static void
get_row(struct kmn_reader *r, struct kmn_attribute_view *a)
{
	uint8_t form;

	memset(a, 0, sizeof(*a));
	a->type = kmn_reader_u64(r);
	form = kmn_reader_u8(r);
	if (form >= KMN_VALUE_FORM_COUNT)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err != KMN_OK)
		return;
	a->form = (enum kmn_value_form)form;
	switch (a->form) {
	case KMN_VALUE_NULL:
	case KMN_ROOM_BYTES:
	case KMN_ROOM_ULONGS:
		a->len = kmn_reader_u64(r);
		return;
	case KMN_VALUE_BYTES:
		a->len = kmn_reader_bytes(r, KMN_DATA_MAX_BYTES, &a->bytes);
		return;
	case KMN_VALUE_ULONG:
		a->number = kmn_reader_u64(r);
		return;
	case KMN_VALUE_ULONGS:
		a->len = kmn_reader_count(r, KMN_LIST_MAX_ITEMS, 8);
		a->bytes = r->at;
		r->at += a->len * 8;
		return;
	case KMN_VALUE_TEMPLATE:
	case KMN_ROOM_TEMPLATE:
		get_rows_view(r, &a->nested);
		a->len = a->nested.count;
		return;
	case KMN_VALUE_FORM_COUNT:
		return;
	}
}

static void
check_rows(struct kmn_reader *r, const struct kmn_template_view *t, enum kmn_template_use use, unsigned depth)
{
	struct kmn_attribute_view row;
	struct kmn_reader rows;

	if (depth > KMN_TEMPLATE_MAX_DEPTH)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	if (r->err != KMN_OK)
		return;
	kmn_reader_init(&rows, t->rows, t->size);
	for (uint64_t i = 0; i < t->count && rows.err == KMN_OK; i++) {
		get_row(&rows, &row);
		if (rows.err == KMN_OK && !form_allowed(&row, use))
			kmn_reader_fail(&rows, KMN_E_MALFORMED);
		if (row.form == KMN_VALUE_TEMPLATE || row.form == KMN_ROOM_TEMPLATE)
			check_rows(&rows, &row.nested, use, depth + 1);
	}
	kmn_reader_fail(r, kmn_reader_end(&rows));
}

void
kmn_template_get(struct kmn_reader *r, enum kmn_template_use use, struct kmn_template_view *t)
{
	memset(t, 0, sizeof(*t));
	t->null = kmn_reader_bool(r);
	if (t->null) {
		t->count = kmn_reader_u64(r);
		return;
	}
	get_rows_view(r, t);
	check_rows(r, t, use, 1);
}

bool
kmn_template_next(const struct kmn_template_view *t, size_t *at, struct kmn_attribute_view *row_out)
{
	struct kmn_reader r;

	memset(row_out, 0, sizeof(*row_out));
	if (t->null || *at >= t->size)
		return false;
	kmn_reader_init(&r, t->rows, t->size);
	r.at += *at;
	get_row(&r, row_out);
	*at = (size_t)(r.at - t->rows);
	return r.err == KMN_OK;
}

bool
kmn_template_find(const struct kmn_template_view *t, uint64_t type, struct kmn_attribute_view *row_out)
{
	size_t at = 0;

	while (kmn_template_next(t, &at, row_out))
		if (row_out->type == type)
			return true;
	memset(row_out, 0, sizeof(*row_out));
	return false;
}

uint64_t
kmn_attribute_number(const struct kmn_attribute_view *a, size_t i)
{
	struct kmn_reader r;

	if (a->form != KMN_VALUE_ULONGS || i >= a->len)
		return 0;
	kmn_reader_init(&r, a->bytes + i * 8, 8);
	return kmn_reader_u64(&r);
}

bool
kmn_attribute_bool(const struct kmn_attribute_view *a, bool *value_out)
{
	*value_out = a->form == KMN_VALUE_BYTES && a->len == 1 && a->bytes[0] != CK_FALSE;
	return a->form == KMN_VALUE_BYTES && a->len == 1;
}

/* ---- values that come back ----------------------------------------------------------------------------------- */

static void apply_rows(struct kmn_reader *r, uint8_t *rows, CK_ULONG count, bool nested, bool write, unsigned depth);

/* A length in units of `each` bytes. */
static CK_ULONG
get_units(struct kmn_reader *r, size_t each)
{
	uint64_t n = kmn_reader_u64(r);

	if (n >= CK_UNAVAILABLE_INFORMATION / each)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return r->err == KMN_OK ? (CK_ULONG)n * (CK_ULONG)each : 0;
}

/* Content may only come where there is room for it, as the row said when the request was made. */
static bool
has_room(struct kmn_reader *r, const CK_ATTRIBUTE *a, size_t n)
{
	if (r->err == KMN_OK && (a->pValue == NULL || n > a->ulValueLen))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return r->err == KMN_OK;
}

static CK_ULONG
apply_ulongs(struct kmn_reader *r, uint64_t type, const CK_ATTRIBUTE *a, bool write)
{
	uint32_t n = kmn_reader_count(r, KMN_LIST_MAX_ITEMS, 8);
	bool room = has_room(r, a, n * sizeof(CK_ULONG));

	for (uint32_t i = 0; i < n && r->err == KMN_OK; i++) {
		CK_ULONG value = get_number(r, type);

		if (write && room && r->err == KMN_OK)
			memcpy((uint8_t *)a->pValue + i * sizeof(value), &value, sizeof(value));
	}
	return n * sizeof(CK_ULONG);
}

static void
apply_row(struct kmn_reader *r, CK_ATTRIBUTE *a, bool nested, bool write, unsigned depth)
{
	uint64_t type = kmn_ulong_get(r);
	uint8_t form = kmn_reader_u8(r);
	CK_ULONG len = CK_UNAVAILABLE_INFORMATION;
	const uint8_t *bytes;

	if (!nested && r->err == KMN_OK && type != a->type)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err != KMN_OK)
		return;
	switch (form) {
	case KMN_GOT_UNAVAILABLE:
		break;
	case KMN_GOT_LENGTH_BYTES:
		len = get_units(r, 1);
		break;
	case KMN_GOT_LENGTH_ULONGS:
		len = get_units(r, sizeof(CK_ULONG));
		break;
	case KMN_GOT_LENGTH_ROWS:
		len = get_units(r, sizeof(CK_ATTRIBUTE));
		break;
	case KMN_GOT_BYTES:
		len = (CK_ULONG)kmn_reader_bytes(r, KMN_OUT_MAX_BYTES, &bytes);
		if (has_room(r, a, len) && write && len > 0 && bytes != NULL)
			memcpy(a->pValue, bytes, len);
		break;
	case KMN_GOT_ULONGS:
		len = apply_ulongs(r, type, a, write);
		break;
	case KMN_GOT_ROWS:
		len = kmn_reader_count(r, KMN_TEMPLATE_MAX_ROWS, 9);
		if (has_room(r, a, len * sizeof(CK_ATTRIBUTE)))
			apply_rows(r, a->pValue, len, true, write, depth + 1);
		len *= sizeof(CK_ATTRIBUTE);
		break;
	default:
		kmn_reader_fail(r, KMN_E_MALFORMED);
	}
	a->type = (CK_ATTRIBUTE_TYPE)type;
	a->ulValueLen = len;
}

static void
apply_rows(struct kmn_reader *r, uint8_t *rows, CK_ULONG count, bool nested, bool write, unsigned depth)
{
	CK_ATTRIBUTE row;

	if (depth > KMN_TEMPLATE_MAX_DEPTH)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	for (CK_ULONG i = 0; rows != NULL && i < count && r->err == KMN_OK; i++) {
		memcpy(&row, rows + i * sizeof(row), sizeof(row));
		apply_row(r, &row, nested, write, depth);
		if (write && r->err == KMN_OK)
			memcpy(rows + i * sizeof(row), &row, sizeof(row));
	}
}

void
kmn_values_apply(struct kmn_reader *r, void *rows, CK_ULONG count, bool write)
{
	uint32_t n = kmn_reader_count(r, KMN_TEMPLATE_MAX_ROWS, 9);

	if (r->err == KMN_OK && (rows == NULL || n != count))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err == KMN_OK)
		apply_rows(r, rows, count, false, write, 1);
}

static void
skip_values(struct kmn_reader *r, uint32_t count, unsigned depth)
{
	const uint8_t *bytes;

	if (depth > KMN_TEMPLATE_MAX_DEPTH)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	for (uint32_t i = 0; i < count && r->err == KMN_OK; i++) {
		(void)kmn_reader_u64(r);
		switch (kmn_reader_u8(r)) {
		case KMN_GOT_UNAVAILABLE:
			break;
		case KMN_GOT_LENGTH_BYTES:
		case KMN_GOT_LENGTH_ULONGS:
		case KMN_GOT_LENGTH_ROWS:
			(void)kmn_reader_u64(r);
			break;
		case KMN_GOT_BYTES:
			(void)kmn_reader_bytes(r, KMN_OUT_MAX_BYTES, &bytes);
			break;
		case KMN_GOT_ULONGS:
			r->at += 8 * (size_t)kmn_reader_count(r, KMN_LIST_MAX_ITEMS, 8);
			break;
		case KMN_GOT_ROWS:
			skip_values(r, kmn_reader_count(r, KMN_TEMPLATE_MAX_ROWS, 9), depth + 1);
			break;
		default:
			kmn_reader_fail(r, KMN_E_MALFORMED);
		}
	}
}

size_t
kmn_values_get(struct kmn_reader *r, const uint8_t **rows_out, uint64_t *count_out)
{
	uint32_t n = kmn_reader_count(r, KMN_TEMPLATE_MAX_ROWS, 9);

	*count_out = n;
	*rows_out = r->at;
	skip_values(r, n, 1);
	return r->err == KMN_OK ? (size_t)(r->at - *rows_out) : 0;
}
