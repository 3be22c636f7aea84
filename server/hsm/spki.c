#include "server/hsm/spki.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define CKK_EC_EDWARDS_V3 0x40u /* CKK_EC_EDWARDS of PKCS#11 3.0 */
#define ED25519_BYTES 32u
#define ED448_BYTES 57u

struct kmn_spki_maker {
	OSSL_LIB_CTX *context;
	OSSL_PROVIDER *provider;
};

kmn_err
kmn_spki_maker_new(struct kmn_spki_maker **maker_out)
{
	struct kmn_spki_maker *m = calloc(1, sizeof(*m));

	*maker_out = NULL;
	if (m == NULL)
		return KMN_E_NO_MEMORY;
	if ((m->context = OSSL_LIB_CTX_new()) == NULL ||
	    (m->provider = OSSL_PROVIDER_load(m->context, "default")) == NULL) {
		kmn_spki_maker_free(m);
		return KMN_E_NO_MEMORY;
	}
	*maker_out = m;
	return KMN_OK;
}

void
kmn_spki_maker_free(struct kmn_spki_maker *m)
{
	if (m == NULL)
		return;
	if (m->provider != NULL)
		OSSL_PROVIDER_unload(m->provider);
	OSSL_LIB_CTX_free(m->context);
	free(m);
}

/* The DER of a key that OpenSSL holds. */
static void
put_key(EVP_PKEY *key, struct kmn_spki *out)
{
	uint8_t *der = NULL;
	int n = key == NULL ? 0 : i2d_PUBKEY(key, &der);

	out->len = 0;
	if (n > 0 && (size_t)n <= sizeof(out->der)) {
		memcpy(out->der, der, (size_t)n);
		out->len = (size_t)n;
	}
	OPENSSL_free(der);
	ERR_clear_error();
}

/* Reads a SubjectPublicKeyInfo; every byte must be used. NULL if it is none. */
static EVP_PKEY *
read_key(struct kmn_spki_maker *m, const uint8_t *der, size_t len)
{
	const uint8_t *at = der;
	EVP_PKEY *key =
	    len == 0 || len > KMN_KEY_SPKI_MAX_BYTES ? NULL : d2i_PUBKEY_ex(NULL, &at, (long)len, m->context, NULL);

	if (key != NULL && at != der + len) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

void
kmn_spki_of_info(struct kmn_spki_maker *m, struct kmn_bytes_view info, struct kmn_spki *out)
{
	EVP_PKEY *key = read_key(m, info.bytes, info.len);

	put_key(key, out);
	EVP_PKEY_free(key);
}

void
kmn_spki_of_rsa(
    struct kmn_spki_maker *m, struct kmn_bytes_view modulus, struct kmn_bytes_view exponent, struct kmn_spki *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(m->context, "RSA", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = NULL, *e = NULL;
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	out->len = 0;
	if (modulus.len == 0 || exponent.len == 0 || modulus.len > KMN_KEY_SPKI_MAX_BYTES ||
	    exponent.len > KMN_KEY_SPKI_MAX_BYTES || ctx == NULL || build == NULL ||
	    (n = BN_bin2bn(modulus.bytes, (int)modulus.len, NULL)) == NULL ||
	    (e = BN_bin2bn(exponent.bytes, (int)exponent.len, NULL)) == NULL || BN_is_zero(n) || BN_is_zero(e) ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1 ||
	    (params = OSSL_PARAM_BLD_to_param(build)) == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		goto done;
	put_key(key, out);
done:
	EVP_PKEY_free(key);
	OSSL_PARAM_free(params);
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
}

/* The content, if the bytes are one whole OCTET STRING and nothing else; else length 0. */
static struct kmn_bytes_view
unwrap(struct kmn_bytes_view wrapped)
{
	const uint8_t *at = wrapped.bytes;
	struct kmn_bytes_view inner = {NULL, 0};
	int tag, class;
	long len;

	if (wrapped.len == 0 || wrapped.len > KMN_KEY_SPKI_MAX_BYTES)
		return inner;
	if ((ASN1_get_object(&at, &len, &tag, &class, (long)wrapped.len) & 0xa1) == 0 && tag == V_ASN1_OCTET_STRING &&
	    class == V_ASN1_UNIVERSAL && len > 0 && at + len == wrapped.bytes + wrapped.len)
		inner = (struct kmn_bytes_view){at, (size_t)len};
	ERR_clear_error();
	return inner;
}

/* A named curve, or one spelt out. */
static bool
is_curve(int asn1_type)
{
	return asn1_type == V_ASN1_OBJECT || asn1_type == V_ASN1_SEQUENCE;
}

/* One way to read the point; OpenSSL says whether it lies on the curve. */
static void
ec_try(struct kmn_spki_maker *m, struct kmn_bytes_view params, struct kmn_bytes_view point, struct kmn_spki *out)
{
	const uint8_t *at = params.bytes;
	X509_PUBKEY *info = X509_PUBKEY_new();
	ASN1_TYPE *curve = NULL;
	uint8_t *copy = NULL, *der = NULL;
	EVP_PKEY *key = NULL;
	int n;

	out->len = 0;
	if (point.len == 0 || point.len > KMN_KEY_SPKI_MAX_BYTES || params.len == 0 ||
	    params.len > KMN_KEY_SPKI_MAX_BYTES || info == NULL ||
	    (curve = d2i_ASN1_TYPE(NULL, &at, (long)params.len)) == NULL || at != params.bytes + params.len ||
	    !is_curve(curve->type) || (copy = OPENSSL_memdup(point.bytes, point.len)) == NULL ||
	    X509_PUBKEY_set0_param(
		info, OBJ_nid2obj(NID_X9_62_id_ecPublicKey), curve->type, curve->value.ptr, copy, (int)point.len) != 1)
		goto done;
	copy = NULL; /* both belong to info now */
	curve->value.ptr = NULL;
	if ((n = i2d_X509_PUBKEY(info, &der)) > 0)
		key = read_key(m, der, (size_t)n);
	put_key(key, out);
done:
	EVP_PKEY_free(key);
	OPENSSL_free(der);
	OPENSSL_free(copy);
	ASN1_TYPE_free(curve);
	X509_PUBKEY_free(info);
	ERR_clear_error();
}

void
kmn_spki_of_ec(
    struct kmn_spki_maker *m, struct kmn_bytes_view params, struct kmn_bytes_view point, struct kmn_spki *out)
{
	ec_try(m, params, unwrap(point), out);
	if (out->len == 0)
		ec_try(m, params, point, out);
}

void
kmn_spki_of_edwards(struct kmn_spki_maker *m, struct kmn_bytes_view point, struct kmn_spki *out)
{
	struct kmn_bytes_view raw = point;
	EVP_PKEY *key = NULL;

	if (raw.len != ED25519_BYTES && raw.len != ED448_BYTES)
		raw = unwrap(point);
	if (raw.len == ED25519_BYTES || raw.len == ED448_BYTES)
		key = EVP_PKEY_new_raw_public_key_ex(
		    m->context, raw.len == ED25519_BYTES ? "ED25519" : "ED448", NULL, raw.bytes, raw.len);
	put_key(key, out);
	EVP_PKEY_free(key);
}

void
kmn_spki_of_certificate(struct kmn_spki_maker *m, struct kmn_bytes_view certificate, struct kmn_spki *out)
{
	const uint8_t *at = certificate.bytes;
	X509 *x = X509_new_ex(m->context, NULL);
	uint8_t *der = NULL;
	int n = 0;

	out->len = 0;
	if (x != NULL && certificate.len > 0 && d2i_X509(&x, &at, (long)certificate.len) != NULL &&
	    (n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der)) > 0)
		kmn_spki_of_info(m, (struct kmn_bytes_view){der, (size_t)n}, out);
	OPENSSL_free(der);
	X509_free(x);
	ERR_clear_error();
}

static bool
rsa_fits(EVP_PKEY *key, struct kmn_bytes_view modulus)
{
	BIGNUM *n = NULL, *wanted = BN_bin2bn(modulus.bytes, (int)modulus.len, NULL);
	bool fits = EVP_PKEY_is_a(key, "RSA") && wanted != NULL && modulus.len > 0 &&
		    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 && BN_cmp(n, wanted) == 0;

	BN_free(n);
	BN_free(wanted);
	return fits;
}

/* The curve stands in the SubjectPublicKeyInfo byte for byte as in CKA_EC_PARAMS. */
static bool
ec_fits(const struct kmn_spki *spki, struct kmn_bytes_view params)
{
	const uint8_t *at = spki->der;
	X509_PUBKEY *info = d2i_X509_PUBKEY(NULL, &at, (long)spki->len);
	const ASN1_OBJECT *oid;
	X509_ALGOR *algor = NULL;
	const void *value;
	ASN1_TYPE *curve;
	uint8_t *der = NULL;
	int n, type;
	bool fits = false;

	if (info != NULL && X509_PUBKEY_get0_param(NULL, NULL, NULL, &algor, info) == 1) {
		X509_ALGOR_get0(&oid, &type, &value, algor);
		curve = ASN1_TYPE_new();
		if (OBJ_obj2nid(oid) == NID_X9_62_id_ecPublicKey && is_curve(type) && curve != NULL &&
		    ASN1_TYPE_set1(curve, type, value) == 1 && (n = i2d_ASN1_TYPE(curve, &der)) > 0)
			fits = (size_t)n == params.len && memcmp(der, params.bytes, params.len) == 0;
		ASN1_TYPE_free(curve);
	}
	OPENSSL_free(der);
	X509_PUBKEY_free(info);
	return fits;
}

bool
kmn_spki_fits(struct kmn_spki_maker *m, const struct kmn_spki *spki, uint64_t key_type, struct kmn_bytes_view modulus,
    struct kmn_bytes_view ec_params)
{
	EVP_PKEY *key = read_key(m, spki->der, spki->len);
	bool fits = false;

	if (key != NULL && key_type == CKK_RSA)
		fits = rsa_fits(key, modulus);
	else if (key != NULL && key_type == CKK_EC)
		fits = ec_fits(spki, ec_params);
	else if (key != NULL && key_type == CKK_EC_EDWARDS_V3)
		fits = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");
	EVP_PKEY_free(key);
	ERR_clear_error();
	return fits;
}
