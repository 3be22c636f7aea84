/*
 * What both ends of the channel and the tools share of TLS: a library context
 * that reads no openssl.cnf, the settings of either end, the pin of a
 * certificate and its validity. OpenSSL's errors are turned into kmn_err here
 * and its error queue is left empty.
 */
#ifndef KANMON_TLS_H
#define KANMON_TLS_H

#include <openssl/ssl.h>
#include <sys/stat.h>
#include <time.h>

#include "kanmon/frame.h"

#define KMN_TLS_WHY_BYTES 256 /* room for one line that says what failed; every `why_out` may be NULL */

/*
 * A library context of one's own with only OpenSSL's default provider; NULL
 * without memory. The first use of OpenSSL in a process decides for all of it:
 * where that is here, no openssl.cnf is read and no exit handler installed.
 */
OSSL_LIB_CTX *kmn_tls_libctx_new(void);

/* SHA-256 of the DER SubjectPublicKeyInfo: the name by which either end is pinned. */
kmn_err kmn_tls_spki_sha256(const X509 *certificate, uint8_t hash_out[KMN_HASH_BYTES]) KMN_MUST_CHECK;

/* X509_V_OK if `now` is within notBefore .. notAfter, else the X509_V_ERR_* that says on which side. */
int kmn_tls_validity(const X509 *certificate, time_t now);

/* When either end takes a TCP connection for dead. */
struct kmn_keep_alive {
	int idle_s, step_s, steps; /* probes of an idle connection */
	int unanswered_ms;         /* sent bytes without an acknowledgement */
};
/* Sets these, and TCP_NODELAY; what a kernel does not know it does without. */
void kmn_tls_keep_alive(int fd, const struct kmn_keep_alive *when);

/* One end: what all its connections share. Storage of the caller. */
struct kmn_tls {
	OSSL_LIB_CTX *libctx;
	SSL_CTX *ctx;
	BIO_METHOD *bio;
};

/* TLS 1.3 only, no tickets, no early data, no compression, peer's certificate required, ALPN KMN_FRAME_ALPN. */
kmn_err kmn_tls_init(struct kmn_tls *tls, bool server) KMN_MUST_CHECK;
void kmn_tls_clear(struct kmn_tls *tls);

/*
 * The end's own certificate and private key, both PEM: they must belong
 * together, the key be P-256, P-384 or Ed25519, else KMN_E_CONFIG. A key under
 * a passphrase is KMN_E_CONFIG, never a prompt.
 */
kmn_err kmn_tls_use_pem(struct kmn_tls *tls, const void *certificate, size_t certificate_bytes, const void *key,
    size_t key_bytes, char *why_out) KMN_MUST_CHECK;

/*
 * A socket under an SSL. `fd` is non-blocking and stays the caller's. With
 * `guarded` each read and write first checks that the descriptor is still the
 * socket that it was (EBADF otherwise): the provider's host may have closed
 * it and got the number again for something of its own.
 */
struct kmn_tls_socket {
	int fd;
	bool guarded;
	dev_t dev;
	ino_t ino;
};

/* KMN_E_IO: a guarded descriptor is not open. */
kmn_err kmn_tls_socket_init(struct kmn_tls_socket *socket, int fd, bool guarded) KMN_MUST_CHECK;
/* Whether a guarded descriptor is still the same socket; true for one that is not guarded. */
bool kmn_tls_socket_is_ours(const struct kmn_tls_socket *socket);

/* An SSL over `socket`, which must outlive it. Nothing it does raises SIGPIPE. */
kmn_err kmn_tls_ssl_new(const struct kmn_tls *tls, struct kmn_tls_socket *socket, SSL **ssl_out) KMN_MUST_CHECK;

/*
 * What an SSL_* call that returned `ret` means: KMN_OK (ret > 0), KMN_E_AGAIN
 * (wait as SSL_want_write() says, else to read), KMN_E_CLOSED, KMN_E_PEER (a
 * certificate was refused, here or there), KMN_E_TLS. Call ERR_clear_error()
 * before each SSL_* call: the host may have left something in the queue.
 */
kmn_err kmn_tls_result(SSL *ssl, int ret, char *why_out) KMN_MUST_CHECK;

/* After the handshake: KMN_E_TLS unless the peer agreed to KMN_FRAME_ALPN. */
kmn_err kmn_tls_check_alpn(SSL *ssl) KMN_MUST_CHECK;

/* The exporter value of a finished handshake (frame.h). */
kmn_err kmn_tls_exporter(SSL *ssl, uint8_t exporter_out[KMN_EXPORTER_BYTES]) KMN_MUST_CHECK;

#endif
