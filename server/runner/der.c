/*
 * DER: the public half of a key, as a token tells it. What an HSM says is read
 * with bounds, and OpenSSL reads the whole again before it is believed.
 */
#include "config.h"

#include "server/runner/runner.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "kanmon/reader.h"
#include "kanmon/writer.h"

#define TAG_INTEGER 0x02u
#define TAG_BITS 0x03u
#define TAG_OCTETS 0x04u
#define TAG_SEQUENCE 0x30u
#define SPKI_MAX_BYTES 4096u

/* ---- reading ------------------------------------------------------------------------------------------------------ */

struct element {
	uint8_t tag;
	const uint8_t *whole, *content;
	size_t whole_len, len;
};

/* The next element; its failure stays in `r`. */
static struct element
next(struct kmn_reader *r)
{
	struct element e = {.whole = r->at};
	size_t len, octets;

	e.tag = kmn_reader_u8(r);
	len = kmn_reader_u8(r);
	if (len >= 0x80) {
		octets = len & 0x7fu;
		if (octets == 0 || octets > 4)
			kmn_reader_fail(r, KMN_E_MALFORMED);
		for (len = 0; octets > 0 && r->err == KMN_OK; octets--)
			len = len << 8 | kmn_reader_u8(r);
	}
	if (r->err == KMN_OK && len > (size_t)(r->end - r->at))
		kmn_reader_fail(r, KMN_E_TRUNCATED);
	if (r->err != KMN_OK)
		return (struct element){.tag = 0};
	e.content = r->at;
	e.len = len;
	r->at += len;
	e.whole_len = (size_t)(r->at - e.whole);
	return e;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void
put(struct kmn_writer *w, uint8_t tag, const uint8_t *first, size_t first_len, const uint8_t *second, size_t second_len)
{
	size_t len = first_len + second_len;
	unsigned octets = len < 0x80 ? 0 : len < 0x100 ? 1 : len < 0x10000 ? 2 : len < 0x1000000 ? 3 : 4;

	kmn_writer_u8(w, tag);
	kmn_writer_u8(w, octets == 0 ? (uint8_t)len : (uint8_t)(0x80u | octets));
	while (octets > 0)
		kmn_writer_u8(w, (uint8_t)(len >> (8 * --octets)));
	kmn_writer_raw(w, first, first_len);
	kmn_writer_raw(w, second, second_len);
}

static void
put_integer(struct kmn_writer *w, const uint8_t *bytes, size_t len)
{
	static const uint8_t zero[1];

	while (len > 1 && bytes[0] == 0) {
		bytes++;
		len--;
	}
	put(w, TAG_INTEGER, zero, len == 0 || (bytes[0] & 0x80u) != 0 ? 1 : 0, bytes, len);
}

/* ---- a public key ------------------------------------------------------------------------------------------------- */

/* CKA_EC_POINT: an OCTET STRING around the point; some tokens leave it out. */
static struct element
point_of(const uint8_t *bytes, size_t len)
{
	struct kmn_reader r;
	struct element e;

	kmn_reader_init(&r, bytes, len);
	e = next(&r);
	if (kmn_reader_end(&r) == KMN_OK && e.tag == TAG_OCTETS)
		return e;
	return (struct element){.content = bytes, .len = len};
}

static void
put_spki(struct kmn_writer *w, const uint8_t *oid, size_t oid_len, const uint8_t *parameters, size_t parameters_len,
    const uint8_t *key, size_t key_len)
{
	static const uint8_t unused_bits[1];
	struct kmn_writer inside;

	kmn_writer_init(&inside, SPKI_MAX_BYTES);
	put(&inside, TAG_SEQUENCE, oid, oid_len, parameters, parameters_len);
	put(&inside, TAG_BITS, unused_bits, 1, key, key_len);
	put(w, TAG_SEQUENCE, inside.bytes, inside.len, NULL, 0);
	if (inside.err != KMN_OK)
		w->err = inside.err;
	kmn_writer_clear(&inside);
}

static void
put_rsa(struct kmn_writer *w, const uint8_t *modulus, size_t modulus_len, const uint8_t *exponent, size_t exponent_len)
{
	static const uint8_t oid[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
	static const uint8_t null[] = {0x05, 0x00};
	struct kmn_writer numbers, key;

	kmn_writer_init(&numbers, SPKI_MAX_BYTES);
	kmn_writer_init(&key, SPKI_MAX_BYTES);
	put_integer(&numbers, modulus, modulus_len);
	put_integer(&numbers, exponent, exponent_len);
	put(&key, TAG_SEQUENCE, numbers.bytes, numbers.len, NULL, 0);
	put_spki(w, oid, sizeof(oid), null, sizeof(null), key.bytes, key.len);
	if (numbers.err != KMN_OK || key.err != KMN_OK)
		w->err = KMN_E_NO_MEMORY;
	kmn_writer_clear(&numbers);
	kmn_writer_clear(&key);
}

kmn_err
runner_spki(enum runner_key key, const uint8_t *first, size_t first_len, const uint8_t *second, size_t second_len,
    uint8_t **spki_out, size_t *len_out)
{
	static const uint8_t ec[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
	static const uint8_t edwards[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
	struct element point = point_of(second, second_len);
	struct kmn_writer w;
	const uint8_t *at;
	EVP_PKEY *read;
	kmn_err e = KMN_E_MALFORMED;

	*spki_out = NULL;
	*len_out = 0;
	kmn_writer_init(&w, SPKI_MAX_BYTES);
	if (key == RUNNER_RSA)
		put_rsa(&w, first, first_len, second, second_len);
	else if (key == RUNNER_EC)
		put_spki(&w, ec, sizeof(ec), first, first_len, point.content, point.len);
	else
		put_spki(&w, edwards, sizeof(edwards), NULL, 0, point.content, point.len);
	at = w.bytes;
	read = w.err == KMN_OK ? d2i_PUBKEY(NULL, &at, (long)w.len) : NULL;
	if (read != NULL && at == w.bytes + w.len)
		e = kmn_writer_take(&w, spki_out, len_out);
	EVP_PKEY_free(read);
	ERR_clear_error();
	kmn_writer_clear(&w);
	return e;
}
