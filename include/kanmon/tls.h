/*
 * What both ends of the channel and the tools share of TLS: a library context
 * that reads no openssl.cnf and touches nothing global, the pin of a
 * certificate, and its validity. OpenSSL's errors are turned into kmn_err here.
 */
#ifndef KANMON_TLS_H
#define KANMON_TLS_H

#include <openssl/ssl.h>
#include <time.h>

#include "kanmon/err.h"

/* A library context of one's own with only OpenSSL's default provider; NULL without memory. */
OSSL_LIB_CTX *kmn_tls_libctx_new(void);

/* SHA-256 of the DER SubjectPublicKeyInfo: the name by which either end is pinned. */
kmn_err kmn_tls_spki_sha256(const X509 *certificate, uint8_t hash_out[KMN_HASH_BYTES]) KMN_MUST_CHECK;

enum kmn_tls_validity { KMN_TLS_VALID, KMN_TLS_NOT_YET_VALID, KMN_TLS_EXPIRED };
/* Whether `now` is within notBefore .. notAfter; dates that cannot be read are EXPIRED. */
enum kmn_tls_validity kmn_tls_validity(const X509 *certificate, time_t now);

/*
 * Puts certificate and private key, both PEM, into `ctx` and checks that they
 * belong together and that the key is P-256, P-384 or Ed25519; else
 * KMN_E_CONFIG. A key under a passphrase is KMN_E_CONFIG, never a prompt.
 */
kmn_err kmn_tls_use_pem(OSSL_LIB_CTX *libctx, SSL_CTX *ctx, const void *certificate, size_t certificate_bytes,
    const void *key, size_t key_bytes) KMN_MUST_CHECK;

/* The settings of either end: TLS 1.3 only, no tickets, no compression, no renegotiation, peer's certificate wanted. */
kmn_err kmn_tls_context_new(OSSL_LIB_CTX *libctx, const SSL_METHOD *method, SSL_CTX **ctx_out) KMN_MUST_CHECK;

/* Lets `ssl` read and write `fd` through a BIO that never raises SIGPIPE nor waits; `fd` stays the caller's. */
kmn_err kmn_tls_attach_fd(SSL *ssl, int fd) KMN_MUST_CHECK;

/* The exporter value of a finished handshake (frame.h). */
kmn_err kmn_tls_exporter(SSL *ssl, uint8_t exporter_out[32]) KMN_MUST_CHECK;

#endif
