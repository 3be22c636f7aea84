/*
 * SubjectPublicKeyInfo (DER) out of what a PKCS#11 module says of a key.
 * OpenSSL checks each: what it cannot read back is no public key here.
 * Bytes in, bytes out; no module is called.
 */
#ifndef KANMON_HSM_SPKI_H
#define KANMON_HSM_SPKI_H

#include "kanmon/err.h"
#include "kanmon/key.h"

/* A library context of its own: the module may use OpenSSL's default one, and end it. Any thread. */
struct kmn_spki_maker;
kmn_err kmn_spki_maker_new(struct kmn_spki_maker **maker_out) KMN_MUST_CHECK;
void kmn_spki_maker_free(struct kmn_spki_maker *maker);

struct kmn_bytes_view {
	const uint8_t *bytes;
	size_t len;
};

/* An answer; len is 0 where there is no public key. */
struct kmn_spki {
	uint8_t der[KMN_KEY_SPKI_MAX_BYTES];
	size_t len;
};

/* CKA_MODULUS and CKA_PUBLIC_EXPONENT. */
void kmn_spki_of_rsa(
    struct kmn_spki_maker *maker, struct kmn_bytes_view modulus, struct kmn_bytes_view exponent, struct kmn_spki *out);

/* CKA_EC_PARAMS and CKA_EC_POINT, the point as it is or wrapped in an OCTET STRING. */
void kmn_spki_of_ec(
    struct kmn_spki_maker *maker, struct kmn_bytes_view params, struct kmn_bytes_view point, struct kmn_spki *out);

/* CKA_EC_POINT of a CKK_EC_EDWARDS key, as it is or wrapped; Ed25519 and Ed448 differ in length. */
void kmn_spki_of_edwards(struct kmn_spki_maker *maker, struct kmn_bytes_view point, struct kmn_spki *out);

/* CKA_PUBLIC_KEY_INFO: read and written again. */
void kmn_spki_of_info(struct kmn_spki_maker *maker, struct kmn_bytes_view info, struct kmn_spki *out);

/* CKA_VALUE of an X.509 certificate. */
void kmn_spki_of_certificate(struct kmn_spki_maker *maker, struct kmn_bytes_view certificate, struct kmn_spki *out);

/*
 * Whether a public key can be the other half of a private key of that
 * CKA_KEY_TYPE with that CKA_MODULUS (RSA) or CKA_EC_PARAMS (EC).
 */
bool kmn_spki_fits(struct kmn_spki_maker *maker, const struct kmn_spki *spki, uint64_t key_type,
    struct kmn_bytes_view modulus, struct kmn_bytes_view ec_params);

#endif
