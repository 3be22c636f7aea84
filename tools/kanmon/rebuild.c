#include "config.h"

#include "tools/kanmon/rebuild.h"

#include <openssl/asn1.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/content.h"

static const struct {
	const char *name, *pem;
} kinds[KMN_FINISHED_COUNT] = {
    [KMN_FINISHED_CERTIFICATE] = {"certificate", "CERTIFICATE"},
    [KMN_FINISHED_CRL] = {"crl", "X509 CRL"},
    [KMN_FINISHED_CSR] = {"csr", "CERTIFICATE REQUEST"},
    [KMN_FINISHED_OCSP] = {"ocsp", "OCSP RESPONSE"},
};

const char *
kmn_finished_name(enum kmn_finished_kind kind)
{
	return kinds[kind].name;
}

const char *
kmn_finished_pem(enum kmn_finished_kind kind)
{
	return kinds[kind].pem;
}

/* ---- DER --------------------------------------------------------------------------------------------------------- */

/* One element: where it begins, where its content is, where it ends. */
struct element {
	const uint8_t *start, *content, *end;
	int tag, class;
	bool constructed;
};

static bool
next_element(const uint8_t **at, const uint8_t *end, struct element *out)
{
	const unsigned char *p = *at;
	long len;
	int status;

	if (p >= end)
		return false;
	status = ASN1_get_object(&p, &len, &out->tag, &out->class, end - p);
	if ((status & 0x81) != 0 || len < 0 || len > end - p) /* malformed, or of no definite length */
		return false;
	out->constructed = (status & V_ASN1_CONSTRUCTED) != 0;
	out->start = *at;
	out->content = p;
	out->end = *at = p + len;
	return true;
}

static bool
is_sequence(const struct element *e)
{
	return e->class == V_ASN1_UNIVERSAL && e->tag == V_ASN1_SEQUENCE && e->constructed;
}

/* The signature's AlgorithmIdentifier inside a TBSCertificate or TBSCertList: the first SEQUENCE in it. */
static bool
inner_algorithm(const uint8_t *tbs, size_t len, struct element *out)
{
	struct element outer;
	const uint8_t *at = tbs;

	if (!next_element(&at, tbs + len, &outer) || !is_sequence(&outer) || outer.end != tbs + len)
		return false;
	at = outer.content;
	while (next_element(&at, outer.end, out)) {
		bool version = out->class == V_ASN1_CONTEXT_SPECIFIC && out->tag == 0;

		if (is_sequence(out))
			return true;
		if (!version && !(out->class == V_ASN1_UNIVERSAL && out->tag == V_ASN1_INTEGER))
			return false;
	}
	return false;
}

static bool
is_ocsp_response_data(const uint8_t *tbs, size_t len)
{
	const unsigned char *at = tbs;
	OCSP_RESPDATA *data = d2i_OCSP_RESPDATA(NULL, &at, (long)len);
	bool is = data != NULL && at == tbs + len;

	OCSP_RESPDATA_free(data);
	return is;
}

kmn_err
kmn_finished_kind_of(const uint8_t *tbs, size_t len, enum kmn_finished_kind *kind_out)
{
	static const enum kmn_finished_kind of[] = {
	    [KMN_CONTENT_TBS_CERTIFICATE] = KMN_FINISHED_CERTIFICATE,
	    [KMN_CONTENT_TBS_CRL] = KMN_FINISHED_CRL,
	    [KMN_CONTENT_CSR] = KMN_FINISHED_CSR,
	    [KMN_CONTENT_OCSP_RESPONSE] = KMN_FINISHED_OCSP,
	};
	struct kmn_content *content;
	kmn_err e = kmn_content_decode(&(struct kmn_material){.data = tbs, .len = len}, &content);

	if (e == KMN_OK) {
		enum kmn_content_kind kind = kmn_content_facts(content)->kind;

		kmn_content_free(content);
		if (kind >= KMN_COUNT_OF(of))
			return KMN_E_NOT_FOUND; /* CMS: what becomes of it is no file of these kinds */
		*kind_out = of[kind];
		return KMN_OK;
	}
	if (e == KMN_E_NO_MEMORY)
		return e;
	*kind_out = KMN_FINISHED_OCSP;
	return is_ocsp_response_data(tbs, len) ? KMN_OK : KMN_E_NOT_FOUND;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* The identifier that goes with a normal form; NULL: none is known. OPENSSL_free(). */
static uint8_t *
outer_algorithm(const struct kmn_norm *norm, int *len_out)
{
	static const struct {
		const char *scheme;
		int key;
		bool null; /* RSA's parameters are NULL, the others' absent */
	} schemes[] = {
	    {"rsa-pkcs1", NID_rsaEncryption, true},
	    {"ecdsa", NID_X9_62_id_ecPublicKey, false},
	};
	X509_ALGOR *algorithm = X509_ALGOR_new();
	uint8_t *der = NULL;
	const EVP_MD *md = EVP_get_digestbyname(norm->hash);
	int nid = NID_undef;

	*len_out = 0;
	for (size_t n = 0; md != NULL && algorithm != NULL && n < KMN_COUNT_OF(schemes); n++)
		if (strcmp(schemes[n].scheme, norm->scheme) == 0 &&
		    OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(md), schemes[n].key) == 1 &&
		    X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), schemes[n].null ? V_ASN1_NULL : V_ASN1_UNDEF, NULL) ==
			1)
			*len_out = i2d_X509_ALGOR(algorithm, &der);
	X509_ALGOR_free(algorithm);
	return *len_out > 0 ? der : NULL;
}

/* r and s side by side to their SEQUENCE. OPENSSL_free(); NULL: no memory, or an odd length. */
static uint8_t *
ecdsa_der(const uint8_t *signature, size_t len, int *len_out)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, (int)(len / 2), NULL);
	BIGNUM *s = BN_bin2bn(signature + len / 2, (int)(len / 2), NULL);
	uint8_t *der = NULL;

	*len_out = 0;
	if (sig != NULL && r != NULL && s != NULL && len % 2 == 0 && len > 0 && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		*len_out = i2d_ECDSA_SIG(sig, &der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return *len_out > 0 ? der : NULL;
}

static kmn_err
join(const uint8_t *tbs, size_t tbs_len, const uint8_t *algorithm, size_t algorithm_len, const uint8_t *signature,
    size_t signature_len, uint8_t **der_out, size_t *der_len_out)
{
	int bits = (int)signature_len + 1, bits_whole = ASN1_object_size(0, bits, V_ASN1_BIT_STRING);
	int content = (int)tbs_len + (int)algorithm_len + bits_whole;
	int whole = ASN1_object_size(1, content, V_ASN1_SEQUENCE);
	uint8_t *der, *at;

	if (bits_whole < 0 || whole < 0 || (der = malloc((size_t)whole)) == NULL)
		return KMN_E_NO_MEMORY;
	at = der;
	ASN1_put_object(&at, 1, content, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	memcpy(at, tbs, tbs_len);
	at += tbs_len;
	memcpy(at, algorithm, algorithm_len);
	at += algorithm_len;
	ASN1_put_object(&at, 0, bits, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL);
	*at++ = 0; /* no bits of the last byte are unused */
	memcpy(at, signature, signature_len);
	*der_out = der;
	*der_len_out = (size_t)whole;
	return KMN_OK;
}

kmn_err
kmn_finished_make(enum kmn_finished_kind kind, const uint8_t *tbs, size_t len, const struct kmn_norm *norm,
    const uint8_t *signature, size_t signature_len, uint8_t **der_out, size_t *der_len_out)
{
	bool inside = kind == KMN_FINISHED_CERTIFICATE || kind == KMN_FINISHED_CRL;
	uint8_t *algorithm = NULL, *sig = NULL;
	int algorithm_len = 0, sig_len = 0;
	struct element found = {0};
	kmn_err e;

	*der_out = NULL;
	*der_len_out = 0;
	if (len > KMN_CONTENT_MAX_BYTES || signature_len > 65536 || (inside && !inner_algorithm(tbs, len, &found)))
		return KMN_E_MALFORMED;
	if (!inside && (algorithm = outer_algorithm(norm, &algorithm_len)) == NULL)
		return KMN_E_NOT_FOUND;
	if (strcmp(norm->scheme, "ecdsa") == 0 && (sig = ecdsa_der(signature, signature_len, &sig_len)) == NULL)
		e = KMN_E_MALFORMED;
	else
		e = join(tbs, len, inside ? found.start : algorithm,
		    inside ? (size_t)(found.end - found.start) : (size_t)algorithm_len, sig != NULL ? sig : signature,
		    sig != NULL ? (size_t)sig_len : signature_len, der_out, der_len_out);
	OPENSSL_free(algorithm);
	OPENSSL_free(sig);
	return e;
}

/* ---- what comes from outside ------------------------------------------------------------------------------------- */

kmn_err
kmn_issued_read(const uint8_t *der, size_t len, struct kmn_issued *out)
{
	struct element outer, tbs, algorithm, bits;
	const uint8_t *at = der;

	if (!next_element(&at, der + len, &outer) || !is_sequence(&outer) || outer.end != der + len)
		return KMN_E_MALFORMED;
	at = outer.content;
	if (!next_element(&at, outer.end, &tbs) || !is_sequence(&tbs) || !next_element(&at, outer.end, &algorithm) ||
	    !is_sequence(&algorithm) || !next_element(&at, outer.end, &bits) || bits.class != V_ASN1_UNIVERSAL ||
	    bits.tag != V_ASN1_BIT_STRING || bits.constructed || bits.content == bits.end || bits.content[0] != 0 ||
	    at != outer.end)
		return KMN_E_MALFORMED;
	*out = (struct kmn_issued){.tbs = tbs.start,
	    .tbs_len = (size_t)(tbs.end - tbs.start),
	    .signature = bits.content + 1,
	    .signature_len = (size_t)(bits.end - bits.content - 1),
	    .algorithm = algorithm.start,
	    .algorithm_len = (size_t)(algorithm.end - algorithm.start)};
	return KMN_OK;
}

static X509_ALGOR *
algorithm_of(const struct kmn_issued *issued)
{
	const unsigned char *at = issued->algorithm;

	return d2i_X509_ALGOR(NULL, &at, (long)issued->algorithm_len);
}

bool
kmn_issued_is_by(const struct kmn_issued *issued, const uint8_t *spki, size_t spki_len)
{
	const unsigned char *at = spki;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki_len);
	X509_ALGOR *algorithm = algorithm_of(issued);
	ASN1_BIT_STRING *signature = ASN1_BIT_STRING_new();
	/* ASN1_item_verify() encodes what it is given: bytes that are to stay as they are go in as one opaque element */
	ASN1_TYPE *tbs = NULL;
	const unsigned char *tbs_at = issued->tbs;
	bool is = false;

	if (key != NULL && algorithm != NULL && signature != NULL &&
	    (tbs = d2i_ASN1_TYPE(NULL, &tbs_at, (long)issued->tbs_len)) != NULL &&
	    ASN1_BIT_STRING_set(signature, (unsigned char *)(uintptr_t)issued->signature, (int)issued->signature_len) ==
		1) {
		signature->flags = (signature->flags & ~0x0fL) | ASN1_STRING_FLAG_BITS_LEFT;
		is = ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), algorithm, signature, tbs, key) == 1;
	}
	ASN1_TYPE_free(tbs);
	ASN1_BIT_STRING_free(signature);
	X509_ALGOR_free(algorithm);
	EVP_PKEY_free(key);
	return is;
}

/* The hash of a signature algorithm; PSS has it in its parameters. NULL: none that is known. */
static const EVP_MD *
hash_of(const X509_ALGOR *algorithm)
{
	const ASN1_OBJECT *object;
	const void *value;
	int type, md = NID_undef, key, nid;

	X509_ALGOR_get0(&object, &type, &value, algorithm);
	nid = OBJ_obj2nid(object);
	if (nid == NID_ED25519 || nid == NID_ED448)
		return EVP_sha256();
	if (nid == NID_rsassaPss && type == V_ASN1_SEQUENCE) {
		const ASN1_STRING *params = value;
		const unsigned char *at = ASN1_STRING_get0_data(params);
		RSA_PSS_PARAMS *pss = d2i_RSA_PSS_PARAMS(NULL, &at, ASN1_STRING_length(params));

		if (pss != NULL && pss->hashAlgorithm != NULL) {
			X509_ALGOR_get0(&object, NULL, NULL, pss->hashAlgorithm);
			md = OBJ_obj2nid(object);
		} else if (pss != NULL) {
			md = NID_sha1; /* the default of RFC 4055 */
		}
		RSA_PSS_PARAMS_free(pss);
	} else if (OBJ_find_sigid_algs(nid, &md, &key) != 1) {
		md = NID_undef;
	}
	return md == NID_undef ? NULL : EVP_get_digestbynid(md);
}

kmn_err
kmn_issued_digest(const struct kmn_issued *issued, char hash_out[12], uint8_t digest_out[64], size_t *len_out)
{
	/* as kmn_operation_normalise names them */
	static const struct {
		int nid;
		const char *name;
	} names[] = {{NID_sha1, "sha1"}, {NID_sha224, "sha224"}, {NID_sha256, "sha256"}, {NID_sha384, "sha384"},
	    {NID_sha512, "sha512"}, {NID_sha3_224, "sha3-224"}, {NID_sha3_256, "sha3-256"}, {NID_sha3_384, "sha3-384"},
	    {NID_sha3_512, "sha3-512"}};
	X509_ALGOR *algorithm = algorithm_of(issued);
	const EVP_MD *md = algorithm == NULL ? NULL : hash_of(algorithm);
	unsigned len = 0;

	X509_ALGOR_free(algorithm);
	*len_out = 0;
	for (size_t n = 0; md != NULL && n < KMN_COUNT_OF(names); n++) {
		if (names[n].nid != EVP_MD_get_type(md))
			continue;
		memcpy(hash_out, names[n].name, strlen(names[n].name) + 1);
		if (EVP_Digest(issued->tbs, issued->tbs_len, digest_out, &len, md, NULL) == 1)
			*len_out = len;
	}
	return *len_out > 0 ? KMN_OK : KMN_E_NOT_FOUND;
}

bool
kmn_issued_has_signature(const struct kmn_issued *issued, const uint8_t *signature, size_t len)
{
	uint8_t *der;
	int der_len;
	bool same;

	if (issued->signature_len == len && memcmp(issued->signature, signature, len) == 0)
		return true;
	if ((der = ecdsa_der(signature, len, &der_len)) == NULL)
		return false;
	same = issued->signature_len == (size_t)der_len && memcmp(issued->signature, der, (size_t)der_len) == 0;
	OPENSSL_free(der);
	return same;
}
