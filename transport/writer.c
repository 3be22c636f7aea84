#include "kanmon/writer.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void
kmn_writer_init(struct kmn_writer *w, size_t max_bytes)
{
	*w = (struct kmn_writer){.max = max_bytes, .err = KMN_OK};
}

void
kmn_writer_clear(struct kmn_writer *w)
{
	if (w->bytes != NULL)
		OPENSSL_cleanse(w->bytes, w->room);
	free(w->bytes);
	kmn_writer_init(w, w->max);
}

void
kmn_writer_reset(struct kmn_writer *w)
{
	if (w->bytes != NULL)
		OPENSSL_cleanse(w->bytes, w->len);
	w->len = 0;
	w->err = KMN_OK;
}

/* Moves to a larger block by hand: realloc() would leave the old bytes unwiped. */
static bool
grow(struct kmn_writer *w, size_t need)
{
	size_t room = w->room < 256 ? 256 : w->room;
	uint8_t *bytes;

	while (room < need)
		room *= 2;
	if ((bytes = malloc(room)) == NULL)
		return false;
	if (w->bytes != NULL) {
		memcpy(bytes, w->bytes, w->len);
		OPENSSL_cleanse(w->bytes, w->room);
	}
	free(w->bytes);
	w->bytes = bytes;
	w->room = room;
	return true;
}

/* Where the next `n` bytes go, or NULL and a failure. */
static uint8_t *
place(struct kmn_writer *w, size_t n)
{
	uint8_t *at;

	if (w->err == KMN_OK && n > w->max - w->len)
		w->err = KMN_E_TOO_BIG;
	if (w->err == KMN_OK && n > w->room - w->len && !grow(w, w->len + n))
		w->err = KMN_E_NO_MEMORY;
	if (w->err != KMN_OK)
		return NULL;
	at = w->bytes + w->len;
	w->len += n;
	return at;
}

static void
put_uint(uint8_t *at, uint64_t value, size_t n)
{
	for (size_t i = n; at != NULL && i-- > 0; value >>= 8)
		at[i] = (uint8_t)value;
}

void
kmn_writer_u8(struct kmn_writer *w, uint8_t value)
{
	put_uint(place(w, 1), value, 1);
}

void
kmn_writer_u16(struct kmn_writer *w, uint16_t value)
{
	put_uint(place(w, 2), value, 2);
}

void
kmn_writer_u32(struct kmn_writer *w, uint32_t value)
{
	put_uint(place(w, 4), value, 4);
}

void
kmn_writer_u64(struct kmn_writer *w, uint64_t value)
{
	put_uint(place(w, 8), value, 8);
}

void
kmn_writer_bool(struct kmn_writer *w, bool value)
{
	kmn_writer_u8(w, value ? 1 : 0);
}

void
kmn_writer_raw(struct kmn_writer *w, const void *bytes, size_t len_bytes)
{
	uint8_t *at = len_bytes > 0 ? place(w, len_bytes) : NULL;

	if (at != NULL)
		memcpy(at, bytes, len_bytes);
}

void
kmn_writer_bytes(struct kmn_writer *w, const void *bytes, size_t len_bytes)
{
	if (len_bytes > UINT32_MAX) {
		if (w->err == KMN_OK)
			w->err = KMN_E_TOO_BIG;
		return;
	}
	kmn_writer_u32(w, (uint32_t)len_bytes);
	kmn_writer_raw(w, bytes, len_bytes);
}

void
kmn_writer_text(struct kmn_writer *w, const char *text)
{
	kmn_writer_bytes(w, text, strlen(text));
}

size_t
kmn_writer_hole_u32(struct kmn_writer *w)
{
	size_t at = w->len;

	kmn_writer_u32(w, 0);
	return at;
}

void
kmn_writer_patch_u32(struct kmn_writer *w, size_t at, uint32_t value)
{
	if (w->err == KMN_OK)
		put_uint(w->bytes + at, value, 4);
}

kmn_err
kmn_writer_take(struct kmn_writer *w, uint8_t **bytes_out, size_t *len_out)
{
	kmn_err e = w->err;

	*bytes_out = NULL;
	*len_out = 0;
	if (e == KMN_OK) {
		*bytes_out = w->bytes;
		*len_out = w->len;
		kmn_writer_init(w, w->max);
	}
	return e;
}
