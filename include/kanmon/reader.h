/*
 * Bytes in. A reader keeps its first failure; later reads give zero and move
 * nothing. Code reads like the layout of the message and asks once, at the
 * end: values are acted on only after kmn_reader_end() said KMN_OK.
 */
#ifndef KANMON_READER_H
#define KANMON_READER_H

#include "kanmon/err.h"

struct kmn_reader {
	const uint8_t *at;  /* next unread byte */
	const uint8_t *end; /* one past the last byte */
	kmn_err err;        /* first failure, kept */
};

/* Reads from `len_bytes` bytes at `bytes`, which must outlive the reader and its views. */
void kmn_reader_init(struct kmn_reader *r, const void *bytes, size_t len_bytes);

/* Big-endian integers. */
uint8_t kmn_reader_u8(struct kmn_reader *r);
uint16_t kmn_reader_u16(struct kmn_reader *r);
uint32_t kmn_reader_u32(struct kmn_reader *r);
uint64_t kmn_reader_u64(struct kmn_reader *r);

/* One byte that must be 0 or 1; anything else is KMN_E_MALFORMED. */
bool kmn_reader_bool(struct kmn_reader *r);

/* Exactly `len_bytes` bytes, copied to `out`, which is zeroed on failure. */
void kmn_reader_raw(struct kmn_reader *r, void *out, size_t len_bytes);

/*
 * Take the next byte string out of a message without copying it.
 *
 * Wire:     u32 length in bytes, big-endian, then that many bytes.
 * Limit:    max_bytes; more is KMN_E_TOO_BIG.
 * Lifetime: *view_out points into the message, valid until that is cleared.
 * Errors:   kept in r->err; *view_out is then NULL and the result 0.
 */
size_t kmn_reader_bytes(struct kmn_reader *r, size_t max_bytes, const uint8_t **view_out);

/*
 * A byte string that must be printable UTF-8-agnostic text: no byte below 0x20
 * and no 0x7f. Copied to `out` with a NUL; `size_bytes` includes the NUL, a
 * longer string is KMN_E_TOO_BIG.
 */
void kmn_reader_text(struct kmn_reader *r, char *out, size_t size_bytes);

/* A count is a claim: bound it by its limit and by the bytes that are left. */
uint32_t kmn_reader_count(struct kmn_reader *r, uint32_t max, size_t least_bytes_each);

/* All that is left, as a view. */
size_t kmn_reader_rest(struct kmn_reader *r, const uint8_t **view_out);

/* Notes a failure found by the caller; the first one stays. */
void kmn_reader_fail(struct kmn_reader *r, kmn_err e);

/* The first failure, or KMN_E_TRAILING unless every byte was used. */
kmn_err kmn_reader_end(struct kmn_reader *r) KMN_MUST_CHECK;

#endif
