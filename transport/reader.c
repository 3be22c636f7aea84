#include "kanmon/reader.h"

#include <string.h>

void
kmn_reader_init(struct kmn_reader *r, const void *bytes, size_t len_bytes)
{
	r->at = bytes;
	r->end = r->at == NULL ? NULL : r->at + len_bytes;
	r->err = KMN_OK;
}

void
kmn_reader_fail(struct kmn_reader *r, kmn_err e)
{
	if (r->err == KMN_OK)
		r->err = e;
}

/* The next `n` bytes, or NULL and a failure. */
static const uint8_t *
take(struct kmn_reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (r->err == KMN_OK && n > (size_t)(r->end - r->at))
		r->err = KMN_E_TRUNCATED;
	if (r->err != KMN_OK)
		return NULL;
	if (n > 0)
		r->at += n;
	return at;
}

static uint64_t
take_uint(struct kmn_reader *r, size_t n)
{
	const uint8_t *b = take(r, n);
	uint64_t v = 0;

	for (size_t i = 0; b != NULL && i < n; i++)
		v = v << 8 | b[i];
	return v;
}

uint8_t
kmn_reader_u8(struct kmn_reader *r)
{
	return (uint8_t)take_uint(r, 1);
}

uint16_t
kmn_reader_u16(struct kmn_reader *r)
{
	return (uint16_t)take_uint(r, 2);
}

uint32_t
kmn_reader_u32(struct kmn_reader *r)
{
	return (uint32_t)take_uint(r, 4);
}

uint64_t
kmn_reader_u64(struct kmn_reader *r)
{
	return take_uint(r, 8);
}

bool
kmn_reader_bool(struct kmn_reader *r)
{
	uint8_t v = kmn_reader_u8(r);

	if (v > 1)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return r->err == KMN_OK && v == 1;
}

void
kmn_reader_raw(struct kmn_reader *r, void *out, size_t len_bytes)
{
	const uint8_t *b = take(r, len_bytes);

	if (len_bytes == 0)
		return;
	if (b != NULL)
		memcpy(out, b, len_bytes);
	else
		memset(out, 0, len_bytes);
}

size_t
kmn_reader_bytes(struct kmn_reader *r, size_t max_bytes, const uint8_t **view_out)
{
	uint32_t n = kmn_reader_u32(r);

	*view_out = NULL;
	if (r->err == KMN_OK && n > max_bytes)
		r->err = KMN_E_TOO_BIG;
	*view_out = take(r, n);
	return r->err == KMN_OK ? n : 0;
}

void
kmn_reader_text(struct kmn_reader *r, char *out, size_t size_bytes)
{
	const uint8_t *view;
	size_t n = kmn_reader_bytes(r, size_bytes - 1, &view);

	for (size_t i = 0; i < n; i++)
		if (view[i] < 0x20 || view[i] == 0x7f)
			kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err != KMN_OK)
		n = 0;
	if (n > 0)
		memcpy(out, view, n);
	out[n] = '\0';
}

uint32_t
kmn_reader_count(struct kmn_reader *r, uint32_t max, size_t least_bytes_each)
{
	uint32_t n = kmn_reader_u32(r);

	if (r->err == KMN_OK && (n > max || (least_bytes_each > 0 && n > (size_t)(r->end - r->at) / least_bytes_each)))
		r->err = KMN_E_TOO_BIG;
	return r->err == KMN_OK ? n : 0;
}

size_t
kmn_reader_rest(struct kmn_reader *r, const uint8_t **view_out)
{
	size_t n = r->err == KMN_OK ? (size_t)(r->end - r->at) : 0;

	*view_out = take(r, n);
	return n;
}

kmn_err
kmn_reader_end(struct kmn_reader *r)
{
	if (r->err == KMN_OK && r->at != r->end)
		r->err = KMN_E_TRAILING;
	return r->err;
}
