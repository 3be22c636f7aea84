/*
 * DER: what was signed with its signature as one whole, and the public half of
 * a new key. What comes in is an operator's file and what an HSM says; both
 * are read with bounds, and OpenSSL reads the whole again before it goes out.
 */
#include "config.h"

#include "server/runner/runner.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/reader.h"
#include "kanmon/writer.h"

#define TAG_INTEGER 0x02u
#define TAG_BITS 0x03u
#define TAG_OCTETS 0x04u
#define TAG_SEQUENCE 0x30u
#define DEPTH_ELEMENTS 4u /* the algorithm is among the first of a certificate's or a CRL's */

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

/* One SEQUENCE and nothing behind it. */
static bool
open_sequence(const uint8_t *bytes, size_t len, struct kmn_reader *inside)
{
	struct kmn_reader r;
	struct element e;

	kmn_reader_init(&r, bytes, len);
	e = next(&r);
	if (kmn_reader_end(&r) != KMN_OK || e.tag != TAG_SEQUENCE)
		return false;
	kmn_reader_init(inside, e.content, e.len);
	return true;
}

/* TBSCertificate and TBSCertList name their algorithm: the first SEQUENCE in them. */
static struct element
own_algorithm(const uint8_t *bytes, size_t len)
{
	struct kmn_reader inside;
	struct element e = {.tag = 0};

	if (!open_sequence(bytes, len, &inside))
		return e;
	for (unsigned n = 0; n < DEPTH_ELEMENTS && inside.err == KMN_OK && e.tag != TAG_SEQUENCE; n++)
		e = next(&inside);
	return e.tag == TAG_SEQUENCE ? e : (struct element){.tag = 0};
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

static kmn_err
give(struct kmn_writer *w, const char *form, struct runner_outcome *outcome)
{
	kmn_err e = kmn_writer_take(w, &outcome->result, &outcome->result_len);

	if (e == KMN_OK)
		(void)snprintf(outcome->form, sizeof(outcome->form), "%s", form);
	return e;
}

/* r and s, one behind the other, as X.509 has them. */
static void
put_signature(struct kmn_writer *w, const struct runner_signer *signer, const uint8_t *signature, size_t len)
{
	struct kmn_writer pair;

	if (signer->key != RUNNER_EC) {
		kmn_writer_raw(w, signature, len);
		return;
	}
	kmn_writer_init(&pair, 2 * RUNNER_SIGNATURE_MAX_BYTES);
	put_integer(&pair, signature, len / 2);
	put_integer(&pair, signature + len / 2, len - len / 2);
	put(w, TAG_SEQUENCE, pair.bytes, pair.len, NULL, 0);
	if (pair.err != KMN_OK)
		w->err = pair.err;
	kmn_writer_clear(&pair);
}

/* ---- a whole ------------------------------------------------------------------------------------------------------ */

static bool
is_certificate(const uint8_t *at, size_t len)
{
	const uint8_t *end = at + len;
	X509 *read = d2i_X509(NULL, &at, (long)len);

	X509_free(read);
	return read != NULL && at == end;
}

static bool
is_crl(const uint8_t *at, size_t len)
{
	const uint8_t *end = at + len;
	X509_CRL *read = d2i_X509_CRL(NULL, &at, (long)len);

	X509_CRL_free(read);
	return read != NULL && at == end;
}

static bool
is_request(const uint8_t *at, size_t len)
{
	const uint8_t *end = at + len;
	X509_REQ *read = d2i_X509_REQ(NULL, &at, (long)len);

	X509_REQ_free(read);
	return read != NULL && at == end;
}

static const struct {
	const char *form;
	bool names_algorithm;
	bool (*is)(const uint8_t *bytes, size_t len);
} wholes[] = {{"certificate", true, is_certificate}, {"crl", true, is_crl}, {"certificate-request", false, is_request}};

/* SEQUENCE { what was signed, algorithm, BIT STRING signature } */
static void
put_whole(struct kmn_writer *w, const uint8_t *body, size_t len, const uint8_t *algorithm, size_t algorithm_len,
    const struct kmn_writer *signature)
{
	static const uint8_t unused_bits[1];
	struct kmn_writer inside;

	kmn_writer_init(&inside, KMN_RUNNER_RESULT_MAX_BYTES);
	kmn_writer_raw(&inside, body, len);
	kmn_writer_raw(&inside, algorithm, algorithm_len);
	put(&inside, TAG_BITS, unused_bits, 1, signature->bytes, signature->len);
	put(w, TAG_SEQUENCE, inside.bytes, inside.len, NULL, 0);
	if (inside.err != KMN_OK)
		w->err = inside.err;
	kmn_writer_clear(&inside);
}

kmn_err
runner_assemble(const struct runner_signer *signer, const uint8_t *signed_bytes, size_t len, const uint8_t *signature,
    size_t signature_len, struct runner_outcome *outcome)
{
	const struct element own = own_algorithm(signed_bytes, len);
	struct kmn_writer w, sig;
	kmn_err e = KMN_E_NOT_FOUND;

	kmn_writer_init(&sig, 2 * RUNNER_SIGNATURE_MAX_BYTES);
	put_signature(&sig, signer, signature, signature_len);
	for (size_t n = 0; n < KMN_COUNT_OF(wholes) && e == KMN_E_NOT_FOUND; n++) {
		const uint8_t *algorithm = wholes[n].names_algorithm ? own.whole : signer->algorithm;
		size_t algorithm_len = wholes[n].names_algorithm ? own.whole_len : signer->algorithm_len;

		if (algorithm_len == 0)
			continue;
		kmn_writer_init(&w, KMN_RUNNER_RESULT_MAX_BYTES);
		put_whole(&w, signed_bytes, len, algorithm, algorithm_len, &sig);
		if (w.err != KMN_OK || wholes[n].is(w.bytes, w.len))
			e = give(&w, wholes[n].form, outcome);
		kmn_writer_clear(&w);
	}
	ERR_clear_error();
	kmn_writer_clear(&sig);
	if (e != KMN_E_NOT_FOUND)
		return e;
	kmn_writer_init(&w, RUNNER_SIGNATURE_MAX_BYTES);
	kmn_writer_raw(&w, signature, signature_len);
	e = give(&w, "signature", outcome);
	kmn_writer_clear(&w);
	return e;
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

	kmn_writer_init(&inside, KMN_RUNNER_RESULT_MAX_BYTES);
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

	kmn_writer_init(&numbers, KMN_RUNNER_RESULT_MAX_BYTES);
	kmn_writer_init(&key, KMN_RUNNER_RESULT_MAX_BYTES);
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
    struct runner_outcome *outcome)
{
	static const uint8_t ec[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
	static const uint8_t edwards[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
	struct element point = point_of(second, second_len);
	struct kmn_writer w;
	const uint8_t *at;
	EVP_PKEY *read;
	kmn_err e = KMN_E_MALFORMED;

	kmn_writer_init(&w, KMN_RUNNER_RESULT_MAX_BYTES);
	if (key == RUNNER_RSA)
		put_rsa(&w, first, first_len, second, second_len);
	else if (key == RUNNER_EC)
		put_spki(&w, ec, sizeof(ec), first, first_len, point.content, point.len);
	else
		put_spki(&w, edwards, sizeof(edwards), NULL, 0, point.content, point.len);
	at = w.bytes;
	read = w.err == KMN_OK ? d2i_PUBKEY(NULL, &at, (long)w.len) : NULL;
	if (read != NULL && at == w.bytes + w.len)
		e = give(&w, "public-key", outcome);
	EVP_PKEY_free(read);
	ERR_clear_error();
	kmn_writer_clear(&w);
	return e;
}
