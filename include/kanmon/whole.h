/*
 * What a key signed and its signature, put together: a certificate, a CRL, a
 * certificate request. Signed bytes, mechanism and signature stand in records,
 * so whoever has these has the whole, and the same one. Pure.
 */
#ifndef KANMON_WHOLE_H
#define KANMON_WHOLE_H

#include "kanmon/json.h"

#define KMN_WHOLE_SIGNATURE_MAX_BYTES 1024u /* RSA of 8192 bits */
#define KMN_WHOLE_MAX_BYTES ((1u << 20) + (64u << 10))

/* "certificate", "crl" or "certificate-request", DER; or "signature", as the mechanism makes it. */
struct kmn_whole {
	const char *form; /* static */
	uint8_t *bytes;   /* free() */
	size_t len;
};

/*
 * May these bytes be signed by that mechanism (its name, CKM_..)? KMN_E_ARGUMENTS, *why: the mechanism is none of those
 * that sign whole texts; the bytes are a certificate, CRL or request that has its signature already; they are one to be
 * signed that names another algorithm. What is none of these may be signed.
 */
kmn_err kmn_whole_check(const char *mechanism, const uint8_t *bytes, size_t len, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * The whole; of bytes that are not the first part of one, of a request that its own key did not sign, and by a mechanism
 * that is not among those above, the signature. KMN_E_NO_MEMORY, KMN_E_TOO_BIG.
 */
kmn_err kmn_whole_make(const char *mechanism, const uint8_t *bytes, size_t len, const uint8_t *signature,
    size_t signature_len, struct kmn_whole *out) KMN_MUST_CHECK;

/* The key that a CertificationRequestInfo is for, SubjectPublicKeyInfo in DER (free()); false: it is none. */
bool kmn_whole_request_key(const uint8_t *bytes, size_t len, uint8_t **spki_out, size_t *spki_len_out) KMN_MUST_CHECK;

#endif
