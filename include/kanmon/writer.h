/*
 * Bytes out: the mirror of the reader. The limit is fixed at init, the error
 * is sticky, and clear wipes what was written, which may have held a PIN.
 */
#ifndef KANMON_WRITER_H
#define KANMON_WRITER_H

#include "kanmon/err.h"

struct kmn_writer {
	uint8_t *bytes; /* owned, grows */
	size_t len;     /* bytes written */
	size_t room;    /* bytes allocated */
	size_t max;     /* bytes that may ever be written */
	kmn_err err;    /* first failure, kept */
};

/* Allocates nothing yet; more than `max_bytes` in all becomes KMN_E_TOO_BIG in w->err. */
void kmn_writer_init(struct kmn_writer *w, size_t max_bytes);
/* Wipes and frees; the writer may be initialised again. */
void kmn_writer_clear(struct kmn_writer *w);
/* Wipes the bytes and starts over with the same limit and storage. */
void kmn_writer_reset(struct kmn_writer *w);

/* Big-endian integers; a bool is one byte, 0 or 1. */
void kmn_writer_u8(struct kmn_writer *w, uint8_t value);
void kmn_writer_u16(struct kmn_writer *w, uint16_t value);
void kmn_writer_u32(struct kmn_writer *w, uint32_t value);
void kmn_writer_u64(struct kmn_writer *w, uint64_t value);
void kmn_writer_bool(struct kmn_writer *w, bool value);
/* `len_bytes` bytes as they are, without a length before them. */
void kmn_writer_raw(struct kmn_writer *w, const void *bytes, size_t len_bytes);
/* u32 length, then the bytes. */
void kmn_writer_bytes(struct kmn_writer *w, const void *bytes, size_t len_bytes);
/* A NUL-terminated string as kmn_writer_bytes, without its NUL. */
void kmn_writer_text(struct kmn_writer *w, const char *text);
/* Leaves room for a u32 that is known later; gives its place for kmn_writer_patch_u32. */
size_t kmn_writer_hole_u32(struct kmn_writer *w);
void kmn_writer_patch_u32(struct kmn_writer *w, size_t place, uint32_t value);

/*
 * Hands the bytes over: *bytes_out is the caller's to wipe and free(); the
 * writer is empty afterwards. On a failure *bytes_out is NULL and the first
 * failure is the result.
 */
kmn_err kmn_writer_take(struct kmn_writer *w, uint8_t **bytes_out, size_t *len_out) KMN_MUST_CHECK;

#endif
