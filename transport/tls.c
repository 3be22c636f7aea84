#include "kanmon/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define SUITES "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define PEM_MAX_BYTES (64u << 10)

/* not const: OpenSSL's macros cast it away, though nothing is written */
static char signatures[] = "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519";
static char groups[] = "X25519:P-256:P-384";
static const uint8_t alpn[] = "\x08" KMN_FRAME_ALPN; /* length byte, name */
_Static_assert(sizeof(KMN_FRAME_ALPN) - 1 == 8, "the length byte of the ALPN list");

OSSL_LIB_CTX *
kmn_tls_libctx_new(void)
{
	OSSL_LIB_CTX *libctx;

	/*
	 * Without this the first SSL_CTX of a process loads openssl.cnf into the
	 * host's default context, and that file may name the very provider that
	 * has loaded us.
	 */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
	/* the default provider comes by itself; one that is loaded by name outlives its context unless it is unloaded */
	if ((libctx = OSSL_LIB_CTX_new()) != NULL && OSSL_PROVIDER_available(libctx, "default") != 1) {
		OSSL_LIB_CTX_free(libctx);
		libctx = NULL;
	}
	ERR_clear_error();
	return libctx;
}

kmn_err
kmn_tls_spki_sha256(const X509 *certificate, uint8_t hash_out[KMN_HASH_BYTES])
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	unsigned long long len = n > 0 ? (unsigned long long)n : 0;

	memset(hash_out, 0, KMN_HASH_BYTES);
	if (len == 0) {
		ERR_clear_error();
		return KMN_E_MALFORMED;
	}
	crypto_hash_sha256(hash_out, der, len);
	OPENSSL_free(der);
	return KMN_OK;
}

int
kmn_tls_validity(const X509 *certificate, time_t now)
{
	/* -1 before, 1 after, -2 unreadable */
	int since = ASN1_TIME_cmp_time_t(X509_get0_notBefore(certificate), now);
	int until = ASN1_TIME_cmp_time_t(X509_get0_notAfter(certificate), now);

	ERR_clear_error();
	if (since == -2)
		return X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD;
	if (until == -2)
		return X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD;
	if (since > 0)
		return X509_V_ERR_CERT_NOT_YET_VALID;
	return until < 0 ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_OK;
}

kmn_err
kmn_tls_socket_init(struct kmn_tls_socket *socket, int fd, bool guarded)
{
	struct stat st;

	*socket = (struct kmn_tls_socket){.fd = fd, .guarded = guarded};
	if (!guarded)
		return KMN_OK;
	if (fstat(fd, &st) != 0)
		return KMN_E_IO;
	socket->dev = st.st_dev;
	socket->ino = st.st_ino;
	return KMN_OK;
}

bool
kmn_tls_socket_is_ours(const struct kmn_tls_socket *socket)
{
	struct stat st;

	if (!socket->guarded)
		return true;
	return fstat(socket->fd, &st) == 0 && st.st_dev == socket->dev && st.st_ino == socket->ino;
}

/* The BIO: recv and send, never SIGPIPE, never a wait. */

static bool
usable(BIO *bio, const struct kmn_tls_socket *socket)
{
	BIO_clear_retry_flags(bio);
	if (kmn_tls_socket_is_ours(socket))
		return true;
	errno = EBADF;
	return false;
}

static int
bio_read(BIO *bio, char *out, int room)
{
	const struct kmn_tls_socket *socket = BIO_get_data(bio);
	ssize_t n;

	if (room <= 0 || !usable(bio, socket))
		return -1;
	do
		n = recv(socket->fd, out, (size_t)room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(bio);
	return (int)n;
}

static int
bio_write(BIO *bio, const char *bytes, int len)
{
	const struct kmn_tls_socket *socket = BIO_get_data(bio);
	ssize_t n;

	if (len <= 0 || !usable(bio, socket))
		return -1;
	do
		n = send(socket->fd, bytes, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_write(bio);
	return (int)n;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *
bio_method_new(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "kanmon socket");

	if (m != NULL && (BIO_meth_set_read(m, bio_read) != 1 || BIO_meth_set_write(m, bio_write) != 1 ||
			     BIO_meth_set_ctrl(m, bio_ctrl) != 1)) {
		BIO_meth_free(m);
		m = NULL;
	}
	return m;
}

static int
select_alpn(
    SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *cookie)
{
	(void)ssl;
	(void)cookie;
	for (unsigned i = 0; i < in_len && in[i] < in_len - i; i += in[i] + 1u)
		if (in_len - i >= sizeof(alpn) - 1 && memcmp(in + i, alpn, sizeof(alpn) - 1) == 0) {
			*out = in + i + 1;
			*out_len = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A client that offers no ALPN at all never reaches select_alpn. */
static int
want_alpn(SSL *ssl, int *alert, void *cookie)
{
	const unsigned char *extension;
	size_t n;

	(void)cookie;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension, &n) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static bool
configure(SSL_CTX *ctx, bool server)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
				     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_mode(
	    ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_quiet_shutdown(ctx, 0);
	if (server) {
		SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
		SSL_CTX_set_client_hello_cb(ctx, want_alpn, NULL);
	} else if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0) { /* here 0 is success */
		return false;
	}
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
	       SSL_CTX_set_max_early_data(ctx, 0) == 1 && SSL_CTX_set_ciphersuites(ctx, SUITES) == 1 &&
	       SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1 && SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

kmn_err
kmn_tls_init(struct kmn_tls *tls, bool server)
{
	kmn_err e = KMN_E_NO_MEMORY;

	*tls = (struct kmn_tls){0};
	if ((tls->libctx = kmn_tls_libctx_new()) == NULL || (tls->bio = bio_method_new()) == NULL ||
	    (tls->ctx = SSL_CTX_new_ex(tls->libctx, NULL, server ? TLS_server_method() : TLS_client_method())) == NULL)
		goto done;
	e = configure(tls->ctx, server) ? KMN_OK : KMN_E_TLS;
done:
	ERR_clear_error();
	if (e != KMN_OK)
		kmn_tls_clear(tls);
	return e;
}

void
kmn_tls_clear(struct kmn_tls *tls)
{
	SSL_CTX_free(tls->ctx);
	BIO_meth_free(tls->bio);
	OSSL_LIB_CTX_free(tls->libctx);
	*tls = (struct kmn_tls){0};
}

/* OpenSSL asks for a passphrase: there is none, and nobody is asked. */
static int
no_passphrase(char *out, int room, int writing, void *cookie)
{
	(void)out;
	(void)room;
	(void)writing;
	(void)cookie;
	return -1;
}

static bool
is_good_key(EVP_PKEY *key)
{
	char group[32] = "";

	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0);
}

static void
say(char *why_out, const char *text)
{
	if (why_out != NULL)
		snprintf(why_out, KMN_TLS_WHY_BYTES, "%s", text);
}

static X509 *
read_certificate(OSSL_LIB_CTX *libctx, const void *pem, size_t len_bytes)
{
	BIO *in = BIO_new_mem_buf(pem, (int)len_bytes);
	X509 *x = X509_new_ex(libctx, NULL);

	if (in == NULL || x == NULL || PEM_read_bio_X509(in, &x, no_passphrase, NULL) == NULL) {
		X509_free(x);
		x = NULL;
	}
	BIO_free(in);
	return x;
}

static EVP_PKEY *
read_key(OSSL_LIB_CTX *libctx, const void *pem, size_t len_bytes)
{
	BIO *in = BIO_new_mem_buf(pem, (int)len_bytes);
	EVP_PKEY *key = in == NULL ? NULL : PEM_read_bio_PrivateKey_ex(in, NULL, no_passphrase, NULL, libctx, NULL);

	BIO_free(in);
	return key;
}

kmn_err
kmn_tls_use_pem(struct kmn_tls *tls, const void *certificate, size_t certificate_bytes, const void *key,
    size_t key_bytes, char *why_out)
{
	kmn_err e = KMN_E_CONFIG;
	EVP_PKEY *pkey = NULL;
	X509 *x = NULL;

	if (certificate_bytes > PEM_MAX_BYTES || key_bytes > PEM_MAX_BYTES)
		say(why_out, "certificate or key is too long");
	else if ((x = read_certificate(tls->libctx, certificate, certificate_bytes)) == NULL)
		say(why_out, "no PEM certificate can be read");
	else if ((pkey = read_key(tls->libctx, key, key_bytes)) == NULL)
		say(why_out, "no PEM private key without a passphrase can be read");
	else if (!is_good_key(pkey))
		say(why_out, "the key is not P-256, P-384 or Ed25519");
	else if (X509_check_private_key(x, pkey) != 1)
		say(why_out, "the private key is not the certificate's");
	else if (SSL_CTX_use_certificate(tls->ctx, x) != 1 || SSL_CTX_use_PrivateKey(tls->ctx, pkey) != 1)
		say(why_out, "OpenSSL does not take the certificate or its key");
	else
		e = KMN_OK;
	EVP_PKEY_free(pkey);
	X509_free(x);
	ERR_clear_error();
	return e;
}

kmn_err
kmn_tls_ssl_new(const struct kmn_tls *tls, struct kmn_tls_socket *socket, SSL **ssl_out)
{
	SSL *ssl = SSL_new(tls->ctx);
	BIO *bio = BIO_new(tls->bio);
	kmn_err e = KMN_OK;

	if (ssl == NULL || bio == NULL) {
		SSL_free(ssl);
		BIO_free(bio);
		ssl = NULL;
		e = KMN_E_NO_MEMORY;
	} else {
		BIO_set_data(bio, socket);
		BIO_set_init(bio, 1);
		SSL_set_bio(ssl, bio, bio); /* takes the BIO */
	}
	ERR_clear_error();
	*ssl_out = ssl;
	return e;
}

/* Whether the peer's alert is about our certificate. */
static bool
is_about_certificate(int alert)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

/* A failure that OpenSSL noted in its queue. */
static kmn_err
noted_failure(SSL *ssl, unsigned long noted, char *why_out)
{
	int reason = ERR_GET_REASON(noted);
	const char *text = ERR_reason_error_string(noted);
	char line[KMN_TLS_WHY_BYTES];

	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		say(why_out, X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
		return KMN_E_PEER;
	}
	if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
		int alert = reason - SSL_AD_REASON_OFFSET;

		snprintf(line, sizeof(line), "the peer %s: %s",
		    is_about_certificate(alert) ? "does not accept the certificate it was shown" : "gave up",
		    SSL_alert_desc_string_long(alert));
		say(why_out, line);
		return is_about_certificate(alert) ? KMN_E_PEER : KMN_E_TLS;
	}
	say(why_out, text != NULL ? text : "TLS failed");
	return KMN_E_TLS;
}

kmn_err
kmn_tls_result(SSL *ssl, int ret, char *why_out)
{
	int saved_errno = errno;
	unsigned long noted;
	kmn_err e;

	switch (SSL_get_error(ssl, ret)) {
	case SSL_ERROR_NONE:
		return KMN_OK;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		e = KMN_E_AGAIN;
		break;
	case SSL_ERROR_ZERO_RETURN:
		say(why_out, "the peer ended the connection");
		e = KMN_E_CLOSED;
		break;
	case SSL_ERROR_SYSCALL:
		/* An end without a goodbye has as many faces as there are moments for it. */
		if (ret == 0 || saved_errno == 0 || saved_errno == ECONNRESET || saved_errno == EPIPE)
			say(why_out, "the peer broke the connection");
		else
			say(why_out, strerror(saved_errno));
		e = KMN_E_CLOSED;
		break;
	default:
		noted = ERR_peek_error();
		if (ERR_GET_REASON(noted) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
			say(why_out, "the peer broke the connection");
			e = KMN_E_CLOSED;
		} else {
			e = noted_failure(ssl, noted, why_out);
		}
	}
	ERR_clear_error();
	return e;
}

kmn_err
kmn_tls_check_alpn(SSL *ssl)
{
	const unsigned char *name;
	unsigned n;

	SSL_get0_alpn_selected(ssl, &name, &n);
	return n == sizeof(alpn) - 2 && memcmp(name, alpn + 1, n) == 0 ? KMN_OK : KMN_E_TLS;
}

kmn_err
kmn_tls_exporter(SSL *ssl, uint8_t exporter_out[KMN_EXPORTER_BYTES])
{
	int ok = SSL_export_keying_material(
	    ssl, exporter_out, KMN_EXPORTER_BYTES, KMN_EXPORTER_LABEL, sizeof(KMN_EXPORTER_LABEL) - 1, NULL, 0, 0);

	ERR_clear_error();
	return ok == 1 ? KMN_OK : KMN_E_TLS;
}

void
kmn_tls_keep_alive(int fd, const struct kmn_keep_alive *when)
{
	const struct {
		int level, name, value;
	} options[] = {
	    {IPPROTO_TCP, TCP_NODELAY, 1},
	    {SOL_SOCKET, SO_KEEPALIVE, 1},
	    {IPPROTO_TCP, TCP_KEEPIDLE, when->idle_s},
	    {IPPROTO_TCP, TCP_KEEPINTVL, when->step_s},
	    {IPPROTO_TCP, TCP_KEEPCNT, when->steps},
	    {IPPROTO_TCP, TCP_USER_TIMEOUT, when->unanswered_ms},
	};

	/* a kernel that lacks one still carries the connection */
	for (size_t i = 0; i < KMN_COUNT_OF(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}
