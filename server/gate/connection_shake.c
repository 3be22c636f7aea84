/* How a client comes: accepted into a free place, its certificate looked at, its handshake ended by a word of ours. */
#include "config.h"

#include "server/gate/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct kmn_keep_alive keep_alive = {.idle_s = 30, .step_s = 10, .steps = 3, .unanswered_ms = 60000};
static const uint8_t no_spki[KMN_HASH_BYTES];

/* ---- the handshake ----------------------------------------------------------------------------------------------- */

/* Whose certificate is taken: a pinned key within its dates. No chain is built; TLS proves possession of the key. */
static int
verify_client(X509_STORE_CTX *store, void *cookie)
{
	struct kmn_gate *gate = cookie;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct kmn_connection *c = SSL_get_app_data(ssl);
	const X509 *certificate = X509_STORE_CTX_get0_cert(store);

	/* of the errors OpenSSL knows, this one becomes the alert unknown_ca */
	c->verdict = X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
	if (certificate != NULL && kmn_tls_spki_sha256(certificate, c->spki) == KMN_OK &&
	    kmn_gate_is_pinned(gate, c->spki))
		c->verdict = kmn_tls_validity(certificate, time(NULL));
	X509_STORE_CTX_set_error(store, c->verdict);
	return c->verdict == X509_V_OK;
}

void
kmn_connection_prepare(struct kmn_gate *gate)
{
	SSL_CTX_set_cert_verify_callback(gate->tls.ctx, verify_client, gate);
}

const char *
kmn_connection_certificate_reason(int verdict)
{
	switch (verdict) {
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "certificate not yet valid";
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "expired certificate";
	case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
	case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
		return "certificate without readable dates";
	default:
		return "unknown certificate";
	}
}

/* The word that the ledger has for a failed handshake. */
static void
explain(const struct kmn_connection *c, kmn_err e, int noted, const char *why, char *reason_out, size_t room)
{
	switch (noted) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		snprintf(reason_out, room, "%s", kmn_connection_certificate_reason(c->verdict));
		return;
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		snprintf(reason_out, room, "%s", "no certificate");
		return;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_WRONG_SSL_VERSION:
		snprintf(reason_out, room, "%s", "TLS version is not 1.3");
		return;
	case SSL_R_CALLBACK_FAILED: /* want_alpn, the one callback of a ClientHello */
	case SSL_R_NO_APPLICATION_PROTOCOL:
		snprintf(reason_out, room, "%s", "does not offer " KMN_FRAME_ALPN);
		return;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		snprintf(reason_out, room, "%s", "not TLS");
		return;
	default:
		if (e == KMN_E_CLOSED)
			snprintf(reason_out, room, "%s", "connection ended in the handshake");
		else
			snprintf(reason_out, room, "TLS: %.100s", why);
	}
}

static void
tell_open(struct kmn_gate *gate, struct kmn_connection *c, const uint8_t exporter[KMN_EXPORTER_BYTES])
{
	unsigned char *der = NULL;
	int n = i2d_X509(SSL_get0_peer_certificate(c->ssl), &der);
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, c->id);
	kmn_writer_bytes(&w, der, n > 0 ? (size_t)n : 0);
	kmn_writer_text(&w, SSL_get_version(c->ssl));
	kmn_writer_text(&w, SSL_get_cipher_name(c->ssl));
	kmn_writer_raw(&w, exporter, KMN_EXPORTER_BYTES);
	kmn_writer_text(&w, c->peer);
	kmn_gate_tell(gate, KMN_G_OPEN, &w);
	kmn_writer_clear(&w);
	OPENSSL_free(der);
	c->told = true;
}

static void
open_now(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint8_t exporter[KMN_EXPORTER_BYTES];

	if (kmn_tls_check_alpn(c->ssl) != KMN_OK || kmn_tls_exporter(c->ssl, exporter) != KMN_OK) {
		kmn_connection_refuse(gate, c, "does not offer " KMN_FRAME_ALPN);
		return;
	}
	if (!kmn_gate_is_pinned(gate, c->spki)) { /* the set has changed meanwhile */
		kmn_connection_refuse(gate, c, kmn_connection_certificate_reason(c->verdict));
		return;
	}
	if (kmn_gate_connections_of(gate, c->spki) >= gate->setup->limits.connections_per_peer) {
		kmn_connection_refuse(gate, c, "too many connections of this client");
		return;
	}
	c->state = OPEN;
	c->phase = KMN_PHASE_FIRST;
	tell_open(gate, c, exporter);
	sodium_memzero(exporter, sizeof(exporter));
	(void)kmn_connection_read(gate, c);
}

void
kmn_connection_shake(struct kmn_gate *gate, struct kmn_connection *c)
{
	char why[KMN_TLS_WHY_BYTES] = "", reason[KMN_REJECT_REASON_BYTES];
	int ret, noted;
	kmn_err e;

	ERR_clear_error();
	ret = SSL_accept(c->ssl);
	noted = ERR_GET_REASON(ERR_peek_error());
	if ((e = kmn_tls_result(c->ssl, ret, why)) == KMN_E_AGAIN) {
		kmn_connection_update(gate, c);
	} else if (e != KMN_OK) {
		explain(c, e, noted, why, reason, sizeof(reason));
		kmn_connection_refuse(gate, c, reason);
	} else {
		open_now(gate, c);
	}
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

static void
name_peer(struct kmn_connection *c, const struct sockaddr_storage *from)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
	char text[INET6_ADDRSTRLEN] = "?";
	unsigned port = 0;

	if (from->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		port = ntohs(v4->sin_port);
	} else if (from->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
		port = ntohs(v6->sin6_port);
	}
	snprintf(c->address, sizeof(c->address), "%s", text);
	snprintf(c->peer, sizeof(c->peer), strchr(text, ':') != NULL ? "[%s]:%u" : "%s:%u", text, port);
}

/* The unfinished handshake that is oldest, or NULL. */
static struct kmn_connection *
oldest_handshake(const struct kmn_gate *gate)
{
	struct kmn_connection *oldest = NULL;

	for (size_t i = 0; i < gate->setup->limits.connections; i++) {
		struct kmn_connection *c = gate->slots[i].connection;

		if (c != NULL && (c->state == SHAKING || c->state == LINGERING) &&
		    (oldest == NULL || c->deadline_ms < oldest->deadline_ms))
			oldest = c;
	}
	return oldest;
}

/* A free slot, made by pushing out the oldest unfinished handshake if need be; -1 when all are in use. */
static int64_t
free_slot(struct kmn_gate *gate)
{
	struct kmn_connection *old;

	if (gate->open_count == gate->setup->limits.connections) {
		if ((old = oldest_handshake(gate)) == NULL)
			return -1;
		if (old->state == SHAKING)
			kmn_gate_reject(gate, old->spki, old->address, "handshake pushed out by newer ones");
		kmn_connection_drop(gate, old, "");
	}
	for (uint32_t i = 0; i < gate->setup->limits.connections; i++)
		if (gate->slots[i].connection == NULL)
			return i;
	return -1;
}

static kmn_err
begin(struct kmn_gate *gate, struct kmn_connection *c, int fd, uint32_t slot)
{
	uint32_t slots = gate->setup->limits.connections;
	struct kmn_gate_slot *at = &gate->slots[slot];
	kmn_err e;

	if ((e = kmn_tls_socket_init(&c->socket, fd, false)) != KMN_OK ||
	    (e = kmn_tls_ssl_new(&gate->tls, &c->socket, &c->ssl)) != KMN_OK)
		return e;
	SSL_set_app_data(c->ssl, c);
	SSL_set_accept_state(c->ssl);
	kmn_inbox_init(&c->in, KMN_FRAME_MAX_BYTES);
	at->serial = at->serial % (UINT32_MAX / slots - 1) + 1;
	c->id = at->serial * slots + slot;
	at->connection = c;
	gate->open_count++;
	kmn_tls_keep_alive(fd, &keep_alive);
	kmn_connection_wait(c, WAIT_FIRST_FRAME, gate->now_ms + gate->setup->limits.handshake_ms);
	kmn_connection_update(gate, c);
	return KMN_OK;
}

bool
kmn_connection_accept(struct kmn_gate *gate, int listener)
{
	struct sockaddr_storage from = {0};
	socklen_t n = sizeof(from);
	int fd = accept4(listener, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct kmn_connection *c;
	int64_t slot;

	if (fd < 0) /* a client that left again, or a signal, is no reason to stop */
		return errno == EINTR || errno == ECONNABORTED || errno == EPROTO;
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		close(fd);
		return true;
	}
	name_peer(c, &from);
	if ((slot = free_slot(gate)) < 0) {
		kmn_gate_reject(gate, no_spki, c->address, "too many connections");
	} else if (begin(gate, c, fd, (uint32_t)slot) == KMN_OK) {
		return true;
	}
	close(fd);
	free(c);
	return true;
}
