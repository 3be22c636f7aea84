/*
 * What a key signed, made whole again: the DER of a certificate, CRL,
 * certificate request or OCSP response out of the data that was signed and the
 * signature in the ledger. Byte for byte what the CA has, so its fingerprints
 * are those of the certificate in the field. Pure.
 */
#ifndef KANMON_TOOLS_REBUILD_H
#define KANMON_TOOLS_REBUILD_H

#include <jansson.h>

#include "kanmon/operation.h"

enum kmn_finished_kind {
	KMN_FINISHED_CERTIFICATE,
	KMN_FINISHED_CRL,
	KMN_FINISHED_CSR,
	KMN_FINISHED_OCSP, /* BasicOCSPResponse without the certificates that a responder may add */
	KMN_FINISHED_COUNT
};
/* "certificate", "crl", "csr", "ocsp". */
const char *kmn_finished_name(enum kmn_finished_kind kind);
/* "CERTIFICATE", "X509 CRL", "CERTIFICATE REQUEST", "OCSP RESPONSE": of PEM. */
const char *kmn_finished_pem(enum kmn_finished_kind kind);

/* Which of the four the data to be signed is. Errors: KMN_E_NOT_FOUND: none. */
kmn_err kmn_finished_kind_of(const uint8_t *tbs, size_t len, enum kmn_finished_kind *kind_out) KMN_MUST_CHECK;

/*
 * SEQUENCE { data, AlgorithmIdentifier, BIT STRING }. Certificates and CRLs bring the identifier in their data; for
 * the others it is that of the normal form. `signature` as PKCS#11 returns it: of ECDSA r and s, which become DER.
 * Errors: KMN_E_MALFORMED: the data has another form; KMN_E_NOT_FOUND: no identifier is known (PSS of a CSR).
 * *der_out: free().
 */
kmn_err kmn_finished_make(enum kmn_finished_kind kind, const uint8_t *tbs, size_t len, const struct kmn_norm *norm,
    const uint8_t *signature, size_t signature_len, uint8_t **der_out, size_t *der_len_out) KMN_MUST_CHECK;

/*
 * What a finished thing says, for the auditor's table: subject, issuer, serial, not_before, not_after (CRL: this and
 * next update; OCSP: produced at), public_key (SHA-256 of the SubjectPublicKeyInfo, as openssl prints fingerprints),
 * algorithm; sha256, sha384, sha512 (not of OCSP, whose finished form is not known). NULL: it cannot be read.
 */
json_t *kmn_finished_facts(enum kmn_finished_kind kind, const uint8_t *der, size_t len);

/*
 * A certificate or CRL from outside, taken apart: the data that was signed, the signature as PKCS#11 would return it
 * for a key of this ledger, and whether that key signed it.
 */
struct kmn_issued {
	const uint8_t *tbs; /* view into the DER */
	size_t tbs_len;
	const uint8_t *signature; /* view: the BIT STRING's bytes */
	size_t signature_len;
	const uint8_t *algorithm; /* view: the AlgorithmIdentifier */
	size_t algorithm_len;
};
kmn_err kmn_issued_read(const uint8_t *der, size_t len, struct kmn_issued *issued_out) KMN_MUST_CHECK;
/* Did this key (DER SubjectPublicKeyInfo) sign it? */
bool kmn_issued_is_by(const struct kmn_issued *issued, const uint8_t *spki, size_t spki_len);
/* The digest that the signature is over, by the hash that the identifier names ("sha384"); EdDSA: the SHA-256 of the
 * data, as in the ledger's normal form. KMN_E_NOT_FOUND: an algorithm without one that is known. */
kmn_err kmn_issued_digest(
    const struct kmn_issued *issued, char hash_out[12], uint8_t digest_out[64], size_t *len_out) KMN_MUST_CHECK;
/* Is this the signature that a PKCS#11 call returned? (ECDSA: r and s against their DER.) */
bool kmn_issued_has_signature(const struct kmn_issued *issued, const uint8_t *signature, size_t len);

/* "AB:CD:.." of bytes; room for 3 * len. */
void kmn_fingerprint_text(const uint8_t *bytes, size_t len, char *out);

#endif
