/*
 * TLS identities: a fresh P-256 key and a self-signed certificate over it.
 * Peers pin the public key, so the certificate carries only a name and dates.
 */
#ifndef KANMON_TOOLS_CERTIFICATE_H
#define KANMON_TOOLS_CERTIFICATE_H

#include "kanmon/err.h"

#define KMN_CERTIFICATE_DAYS 730ul

struct kmn_certificate {
	char *pem;         /* the certificate */
	char *key_pem;     /* its private key, PKCS#8; wiped by clear */
	char spki_b64[64]; /* base64 of the SHA-256 of the SubjectPublicKeyInfo */
};

/* KMN_E_TLS where OpenSSL refuses. */
kmn_err kmn_certificate_new(const char *name, unsigned long days, struct kmn_certificate *out) KMN_MUST_CHECK;
void kmn_certificate_clear(struct kmn_certificate *certificate);

#endif
