#include "config.h"

#include "kanmon/whole.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/reader.h"
#include "kanmon/writer.h"

#define TAG_INTEGER 0x02u
#define TAG_BITS 0x03u
#define TAG_SEQUENCE 0x30u
#define DEPTH_ELEMENTS 4u /* the algorithm is among the first of a certificate's or a CRL's */

/* ---- mechanisms --------------------------------------------------------------------------------------------------- */

/* clang-format off */
#define DER_RSA(last) 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last, 0x05, 0x00
#define DER_ECDSA(last) 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last
#define DER_HASH(last) 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00
#define DER_PSS(hash, salt) 0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, \
	0xa0, 0x0f, DER_HASH(hash), 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, \
	DER_HASH(hash), 0xa2, 0x03, 0x02, 0x01, salt
static const uint8_t rsa256[] = {DER_RSA(0x0b)}, rsa384[] = {DER_RSA(0x0c)}, rsa512[] = {DER_RSA(0x0d)};
static const uint8_t pss256[] = {DER_PSS(0x01, 32)}, pss384[] = {DER_PSS(0x02, 48)}, pss512[] = {DER_PSS(0x03, 64)};
static const uint8_t ecdsa256[] = {DER_ECDSA(0x02)}, ecdsa384[] = {DER_ECDSA(0x03)}, ecdsa512[] = {DER_ECDSA(0x04)};
static const uint8_t ed25519[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};

static const struct signer {
	const char *mechanism;
	bool pair;          /* r and s, one behind the other */
	int algorithm;      /* NID */
	int hash, salt_len; /* of PSS */
	const uint8_t *der; /* AlgorithmIdentifier */
	size_t der_len;
} signers[] = {
/*	mechanism                   pair   algorithm                    hash        salt  */
	{"CKM_SHA256_RSA_PKCS",     false, NID_sha256WithRSAEncryption, 0,          0,    rsa256, sizeof(rsa256)},
	{"CKM_SHA384_RSA_PKCS",     false, NID_sha384WithRSAEncryption, 0,          0,    rsa384, sizeof(rsa384)},
	{"CKM_SHA512_RSA_PKCS",     false, NID_sha512WithRSAEncryption, 0,          0,    rsa512, sizeof(rsa512)},
	{"CKM_SHA256_RSA_PKCS_PSS", false, NID_rsassaPss,               NID_sha256, 32,   pss256, sizeof(pss256)},
	{"CKM_SHA384_RSA_PKCS_PSS", false, NID_rsassaPss,               NID_sha384, 48,   pss384, sizeof(pss384)},
	{"CKM_SHA512_RSA_PKCS_PSS", false, NID_rsassaPss,               NID_sha512, 64,   pss512, sizeof(pss512)},
	{"CKM_ECDSA_SHA256",        true,  NID_ecdsa_with_SHA256,       0,          0,    ecdsa256, sizeof(ecdsa256)},
	{"CKM_ECDSA_SHA384",        true,  NID_ecdsa_with_SHA384,       0,          0,    ecdsa384, sizeof(ecdsa384)},
	{"CKM_ECDSA_SHA512",        true,  NID_ecdsa_with_SHA512,       0,          0,    ecdsa512, sizeof(ecdsa512)},
	{"CKM_EDDSA",               false, NID_ED25519,                 0,          0,    ed25519, sizeof(ed25519)},
};
/* clang-format on */

static const struct signer *
find_signer(const char *mechanism)
{
	for (size_t n = 0; n < KMN_COUNT_OF(signers); n++)
		if (strcmp(signers[n].mechanism, mechanism) == 0)
			return &signers[n];
	return NULL;
}

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

static bool
is_pss(const struct signer *signer, const X509_ALGOR *read)
{
	const ASN1_OBJECT *hash = NULL, *mask = NULL;
	const ASN1_TYPE *value = read->parameter;
	RSA_PSS_PARAMS *pss = value == NULL ? NULL : ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), value);
	X509_ALGOR *inner = NULL;
	bool is = false;

	if (pss != NULL && pss->hashAlgorithm != NULL && pss->maskGenAlgorithm != NULL &&
	    pss->maskGenAlgorithm->parameter != NULL && pss->saltLength != NULL && pss->trailerField == NULL) {
		inner = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR), pss->maskGenAlgorithm->parameter);
		X509_ALGOR_get0(&hash, NULL, NULL, pss->hashAlgorithm);
		X509_ALGOR_get0(&mask, NULL, NULL, pss->maskGenAlgorithm);
		is = inner != NULL && OBJ_obj2nid(hash) == signer->hash && OBJ_obj2nid(mask) == NID_mgf1 &&
		     OBJ_obj2nid(inner->algorithm) == signer->hash &&
		     ASN1_INTEGER_get(pss->saltLength) == signer->salt_len;
	}
	X509_ALGOR_free(inner);
	RSA_PSS_PARAMS_free(pss);
	return is;
}

static bool
is_algorithm(const struct signer *signer, const struct element *own)
{
	const uint8_t *at = own->whole;
	X509_ALGOR *read = d2i_X509_ALGOR(NULL, &at, (long)own->whole_len);
	bool is = read != NULL && OBJ_obj2nid(read->algorithm) == signer->algorithm &&
		  (signer->hash == 0 || is_pss(signer, read));

	X509_ALGOR_free(read);
	return is;
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

/* As X.509 has it: of a pair, two numbers. */
static void
put_signature(struct kmn_writer *w, bool pair, const uint8_t *signature, size_t len)
{
	struct kmn_writer numbers;

	if (!pair) {
		kmn_writer_raw(w, signature, len);
		return;
	}
	kmn_writer_init(&numbers, 2 * KMN_WHOLE_SIGNATURE_MAX_BYTES);
	put_integer(&numbers, signature, len / 2);
	put_integer(&numbers, signature + len / 2, len - len / 2);
	put(w, TAG_SEQUENCE, numbers.bytes, numbers.len, NULL, 0);
	if (numbers.err != KMN_OK)
		w->err = numbers.err;
	kmn_writer_clear(&numbers);
}

/* SEQUENCE { what was signed, algorithm, BIT STRING signature } */
static void
put_whole(struct kmn_writer *w, const uint8_t *bytes, size_t len, const uint8_t *algorithm, size_t algorithm_len,
    const struct kmn_writer *signature)
{
	static const uint8_t unused_bits[1];
	struct kmn_writer inside;

	kmn_writer_init(&inside, KMN_WHOLE_MAX_BYTES);
	kmn_writer_raw(&inside, bytes, len);
	kmn_writer_raw(&inside, algorithm, algorithm_len);
	put(&inside, TAG_BITS, unused_bits, 1, signature->bytes, signature->len);
	put(w, TAG_SEQUENCE, inside.bytes, inside.len, NULL, 0);
	if (inside.err != KMN_OK)
		w->err = inside.err;
	kmn_writer_clear(&inside);
}

/* ---- what a whole is ---------------------------------------------------------------------------------------------- */

static bool
is_certificate(const uint8_t *at, size_t len, bool made)
{
	const uint8_t *end = at + len;
	X509 *read = d2i_X509(NULL, &at, (long)len);

	(void)made;
	X509_free(read);
	return read != NULL && at == end;
}

static bool
is_crl(const uint8_t *at, size_t len, bool made)
{
	const uint8_t *end = at + len;
	X509_CRL *read = d2i_X509_CRL(NULL, &at, (long)len);

	(void)made;
	X509_CRL_free(read);
	return read != NULL && at == end;
}

/* A request proves that who asks has the key: one that another key signed is none. */
static bool
is_request(const uint8_t *at, size_t len, bool made)
{
	const uint8_t *end = at + len;
	X509_REQ *read = d2i_X509_REQ(NULL, &at, (long)len);
	bool is = read != NULL && at == end;

	if (is && made)
		is = X509_REQ_get0_pubkey(read) != NULL && X509_REQ_verify(read, X509_REQ_get0_pubkey(read)) == 1;
	X509_REQ_free(read);
	return is;
}

static const struct kind {
	const char *form, *words;
	bool names_algorithm;
	bool (*is)(const uint8_t *bytes, size_t len, bool made);
} kinds[] = {{"certificate", "certificate", true, is_certificate}, {"crl", "CRL", true, is_crl},
#define REQUEST 2
    {"certificate-request", "certificate request", false, is_request}};

/* Completed to that kind of whole, by this algorithm and signature; `out` is empty where it is not that kind. */
static kmn_err
complete(const struct kind *kind, const uint8_t *bytes, size_t len, const struct element *algorithm,
    const struct kmn_writer *signature, bool made, struct kmn_whole *out)
{
	struct kmn_writer w;
	kmn_err e = KMN_OK;

	*out = (struct kmn_whole){.form = kind->form};
	if (algorithm->whole_len == 0)
		return KMN_OK;
	kmn_writer_init(&w, KMN_WHOLE_MAX_BYTES);
	put_whole(&w, bytes, len, algorithm->whole, algorithm->whole_len, signature);
	if (w.err != KMN_OK || kind->is(w.bytes, w.len, made))
		e = kmn_writer_take(&w, &out->bytes, &out->len);
	kmn_writer_clear(&w);
	ERR_clear_error();
	return e;
}

/* Bytes that are the first part of that kind of whole: that with a signature of nothing; empty where they are not. */
static struct kmn_whole
first_part(const struct kind *kind, const uint8_t *bytes, size_t len, const struct element *own)
{
	static const uint8_t nothing[1];
	const struct element any = {.whole = ed25519, .whole_len = sizeof(ed25519)};
	struct kmn_writer signature;
	struct kmn_whole whole;

	kmn_writer_init(&signature, sizeof(nothing));
	kmn_writer_raw(&signature, nothing, sizeof(nothing));
	if (complete(kind, bytes, len, kind->names_algorithm ? own : &any, &signature, false, &whole) != KMN_OK)
		whole = (struct kmn_whole){.form = NULL};
	kmn_writer_clear(&signature);
	return whole;
}

/* ---- the questions ------------------------------------------------------------------------------------------------ */

static bool
names_another(const struct kind *kind, const struct signer *signer, const uint8_t *bytes, size_t len)
{
	const struct element own = own_algorithm(bytes, len);
	struct kmn_whole part = {.form = NULL};
	bool another;

	if (kind->names_algorithm)
		part = first_part(kind, bytes, len, &own);
	another = part.bytes != NULL && !is_algorithm(signer, &own);
	free(part.bytes);
	return another;
}

static kmn_err
check_as(const struct kind *kind, const struct signer *signer, const uint8_t *bytes, size_t len, struct kmn_why *why)
{
	if (kind->is(bytes, len, false)) {
		kmn_why_set(why,
		    "the file is a whole %s, which has its signature: what is to be signed is its first part (openssl "
		    "asn1parse -strparse 4 -out PART)",
		    kind->words);
		return KMN_E_ARGUMENTS;
	}
	if (!names_another(kind, signer, bytes, len))
		return KMN_OK;
	kmn_why_set(
	    why, "the %s to be signed names another signature algorithm than %s", kind->words, signer->mechanism);
	return KMN_E_ARGUMENTS;
}

kmn_err
kmn_whole_check(const char *mechanism, const uint8_t *bytes, size_t len, struct kmn_why *why)
{
	const struct signer *signer = find_signer(mechanism);
	kmn_err e = KMN_OK;

	if (signer == NULL) {
		kmn_why_set(why, "%.80s is none of the mechanisms that sign a file", mechanism);
		return KMN_E_ARGUMENTS;
	}
	for (size_t n = 0; n < KMN_COUNT_OF(kinds) && e == KMN_OK; n++)
		e = check_as(&kinds[n], signer, bytes, len, why);
	ERR_clear_error();
	return e;
}

kmn_err
kmn_whole_make(const char *mechanism, const uint8_t *bytes, size_t len, const uint8_t *signature, size_t signature_len,
    struct kmn_whole *out)
{
	const struct signer *signer = find_signer(mechanism);
	const struct element own = own_algorithm(bytes, len);
	struct element known = {.tag = 0};
	struct kmn_writer w;
	kmn_err e;

	*out = (struct kmn_whole){.form = NULL};
	if (signature_len > KMN_WHOLE_SIGNATURE_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if (signer != NULL)
		known = (struct element){.whole = signer->der, .whole_len = signer->der_len};
	kmn_writer_init(&w, 2 * KMN_WHOLE_SIGNATURE_MAX_BYTES);
	put_signature(&w, signer != NULL && signer->pair, signature, signature_len);
	e = w.err;
	for (size_t n = 0; n < KMN_COUNT_OF(kinds) && signer != NULL && e == KMN_OK && out->bytes == NULL; n++)
		e = complete(&kinds[n], bytes, len, kinds[n].names_algorithm ? &own : &known, &w, true, out);
	kmn_writer_clear(&w);
	if (e != KMN_OK || out->bytes != NULL)
		return e;
	out->form = "signature";
	kmn_writer_init(&w, KMN_WHOLE_SIGNATURE_MAX_BYTES);
	kmn_writer_raw(&w, signature, signature_len);
	e = kmn_writer_take(&w, &out->bytes, &out->len);
	kmn_writer_clear(&w);
	return e;
}

bool
kmn_whole_request_key(const uint8_t *bytes, size_t len, uint8_t **spki_out, size_t *spki_len_out)
{
	struct kmn_whole whole = first_part(&kinds[REQUEST], bytes, len, NULL);
	const uint8_t *at = whole.bytes;
	X509_REQ *read = whole.bytes == NULL ? NULL : d2i_X509_REQ(NULL, &at, (long)whole.len);
	uint8_t *der = NULL;
	int size = read == NULL ? -1 : i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(read), &der);

	*spki_out = size > 0 ? malloc((size_t)size) : NULL;
	*spki_len_out = *spki_out != NULL ? (size_t)size : 0;
	if (*spki_out != NULL)
		memcpy(*spki_out, der, (size_t)size);
	OPENSSL_free(der);
	X509_REQ_free(read);
	free(whole.bytes);
	ERR_clear_error();
	return *spki_out != NULL;
}
