#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kanmon/codec.h"
#include "kanmon/inbox.h"
#include "server/gate/gate.h"

/*
 *            accept            handshake done           K_CLOSE            all is out
 *   (none) ----------> SHAKING ---------------> OPEN ------------> FINISHING ---------> LINGERING --> freed
 *      kmn_connection_accept   open_now           kmn_connection_finish     part             drop
 *                         \__ refuse __________________ violate _________________________^
 *
 * LINGERING reads and throws away: closing at once would make the kernel send
 * a reset, which can overtake the alert that tells the client why.
 *
 * Invariants
 * 1. KMN_G_OPEN and KMN_G_CLOSED are told once each, in this order (`told`).
 * 2. A frame reaches the keeper only from an OPEN connection, whole, in the
 *    shape of its row, and while no earlier one of it is unanswered.
 * 3. No room is made for bytes that have not come.
 */
enum state { SHAKING, OPEN, FINISHING, LINGERING };

/* What `deadline_ms` ends. */
enum wait { WAIT_NOTHING, WAIT_FIRST_FRAME, WAIT_FRAME, WAIT_IDLE, WAIT_LINGER };

#define ADDRESS_BYTES KMN_REJECT_ADDRESS_BYTES
#define OUT_MAX_BYTES (2u * KMN_FRAME_MAX_BYTES + 65536u) /* an answer, and READYs beside it */
#define LINGER_MAX_BYTES (4u << 20)
#define CALL_HEAD_BYTES 16u /* number, acknowledged; the request payload follows */

static const struct kmn_keep_alive keep_alive = {.idle_s = 30, .step_s = 10, .steps = 3, .unanswered_ms = 60000};

struct kmn_connection {
	uint32_t id;
	enum state state;
	enum wait wait;
	int64_t deadline_ms;
	int64_t out_deadline_ms; /* 0: nothing waits to go out */
	struct kmn_tls_socket socket;
	SSL *ssl;
	uint32_t events; /* in the epoll set */
	char address[ADDRESS_BYTES];
	char peer[ADDRESS_BYTES + 8]; /* with its port */
	uint8_t spki[KMN_HASH_BYTES]; /* zeros until a certificate was shown */
	int verdict;                  /* X509_V_*, of the certificate shown */
	bool told;                    /* the keeper knows of it */
	bool tls_failed;              /* no goodbye is possible */
	bool read_wants_out;
	bool had_frame;
	bool awaiting;  /* the keeper has a frame of it that is not answered */
	unsigned phase; /* KMN_PHASE_* */
	struct kmn_inbox in;
	uint8_t *out; /* what waits to go out is out[out_at .. out_end) */
	size_t out_at, out_end, out_room;
	size_t lingered_bytes;
};

static const uint8_t no_spki[KMN_HASH_BYTES];

static uint32_t
slot_of(const struct kmn_gate *gate, uint32_t id)
{
	return id % gate->setup->limits.connections;
}

struct kmn_connection *
kmn_connection_find(struct kmn_gate *gate, uint32_t id)
{
	struct kmn_connection *c = gate->slots[slot_of(gate, id)].connection;

	return c != NULL && c->id == id ? c : NULL;
}

const uint8_t *
kmn_connection_spki(const struct kmn_connection *c)
{
	return c->state == OPEN ? c->spki : NULL;
}

static void
wait_until(struct kmn_connection *c, enum wait wait, int64_t deadline_ms)
{
	c->wait = wait;
	c->deadline_ms = deadline_ms;
}

static bool
may_read(const struct kmn_gate *gate, const struct kmn_connection *c)
{
	return c->state == OPEN && !c->awaiting && !gate->stalled;
}

/* Tells epoll what this connection waits for now. */
static void
update(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint32_t events = EPOLLIN;

	if (c->state == SHAKING)
		events = SSL_want_write(c->ssl) ? EPOLLOUT : EPOLLIN;
	else if (c->state != LINGERING)
		events = EPOLLRDHUP | (may_read(gate, c) ? EPOLLIN : 0u) |
			 (c->out_end > c->out_at || c->read_wants_out ? EPOLLOUT : 0u);
	kmn_gate_watch(gate, c->socket.fd, &c->events, events, (uint64_t)KMN_TAG_CONNECTION << 32 | c->id);
}

/* How it ends */

static void
tell_closed(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	struct kmn_writer w;

	if (!c->told)
		return;
	c->told = false;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, c->id);
	kmn_writer_text(&w, reason);
	kmn_gate_tell(gate, KMN_G_CLOSED, &w);
	kmn_writer_clear(&w);
}

/* Gives back all but the descriptor. */
static void
release(struct kmn_connection *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	ERR_clear_error();
	kmn_inbox_clear(&c->in);
	if (c->out != NULL)
		sodium_memzero(c->out, c->out_room);
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_end = c->out_room = 0;
}

void
kmn_connection_free(struct kmn_gate *gate, struct kmn_connection *c)
{
	gate->slots[slot_of(gate, c->id)].connection = NULL;
	gate->open_count--;
	release(c);
	close(c->socket.fd); /* leaves the epoll set by that */
	free(c);
}

static void
drop(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	tell_closed(gate, c, reason);
	kmn_connection_free(gate, c);
}

/* Says goodbye, and waits a little for the client to hang up. */
static void
part(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	tell_closed(gate, c, reason);
	if (!c->tls_failed && c->state != SHAKING) {
		ERR_clear_error();
		(void)SSL_shutdown(c->ssl);
	}
	(void)shutdown(c->socket.fd, SHUT_WR);
	release(c);
	c->state = LINGERING;
	c->out_deadline_ms = 0;
	wait_until(c, WAIT_LINGER, gate->now_ms + gate->times->linger_ms);
	update(gate, c);
}

/* It did what no client of ours does: recorded, and over. */
static void
violate(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	kmn_gate_reject(gate, c->spki, c->address, reason);
	part(gate, c, reason);
}

/* The handshake failed. */
static void
refuse(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	c->tls_failed = true;
	violate(gate, c, reason);
}

/* Writing */

/* Sends what goes; false when the connection is over (and maybe freed). */
static bool
write_out(struct kmn_gate *gate, struct kmn_connection *c)
{
	bool moved = false;
	kmn_err e = KMN_OK;

	while (e == KMN_OK && c->out_end > c->out_at) {
		size_t n = 0;

		ERR_clear_error();
		e = kmn_tls_result(c->ssl, SSL_write_ex(c->ssl, c->out + c->out_at, c->out_end - c->out_at, &n), NULL);
		sodium_memzero(c->out + c->out_at, n);
		c->out_at += n;
		moved = moved || n > 0;
	}
	if (e != KMN_OK && e != KMN_E_AGAIN) {
		drop(gate, c, "the client is gone");
		return false;
	}
	if (c->out_at == c->out_end) {
		c->out_at = c->out_end = 0;
		c->out_deadline_ms = 0;
	} else if (moved || c->out_deadline_ms == 0) {
		c->out_deadline_ms = gate->now_ms + gate->times->stall_ms;
	}
	return true;
}

/* Room for `need` more bytes, by hand: realloc() would leave the old bytes unwiped. */
static bool
make_room(struct kmn_connection *c, size_t need)
{
	size_t have = c->out_end - c->out_at, room = 4096;
	uint8_t *out;

	if (need <= c->out_room - c->out_end)
		return true;
	if (have + need > OUT_MAX_BYTES)
		return false;
	while (room < have + need)
		room *= 2;
	if ((out = malloc(room)) == NULL)
		return false;
	if (have > 0)
		memcpy(out, c->out + c->out_at, have);
	if (c->out != NULL)
		sodium_memzero(c->out, c->out_room);
	free(c->out);
	c->out = out;
	c->out_room = room;
	c->out_at = 0;
	c->out_end = have;
	return true;
}

static void
append(struct kmn_connection *c, uint8_t type, const void *body, size_t n)
{
	uint8_t *at = c->out + c->out_end;

	for (size_t i = 0; i < 4; i++)
		at[i] = (uint8_t)((n + 1) >> (24 - 8 * i));
	at[4] = type;
	if (n > 0)
		memcpy(at + KMN_INBOX_HEAD_BYTES, body, n);
	c->out_end += KMN_INBOX_HEAD_BYTES + n;
}

/* Reading */

/* Sets the deadline that fits what the connection is doing. */
static void
expect_next(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint32_t idle_ms = gate->setup->limits.idle_ms;

	if (c->state != OPEN || !c->had_frame)
		return; /* the first frame has the handshake's deadline */
	if (c->in.have > 0) {
		if (c->wait != WAIT_FRAME)
			wait_until(c, WAIT_FRAME, gate->now_ms + gate->times->frame_ms);
	} else if (c->awaiting || c->phase == KMN_PHASE_WATCHING || idle_ms == 0) {
		wait_until(c, WAIT_NOTHING, 0);
	} else {
		wait_until(c, WAIT_IDLE, gate->now_ms + idle_ms);
	}
}

/* The payload of a CALL, looked at down to its last argument: the keeper sees none that the table does not know. */
static kmn_err
check_call(const uint8_t *payload, size_t n)
{
	struct kmn_call_view view;
	kmn_err e = kmn_call_view_decode(payload, n, &view);

	/* a parameter without a known layout is refused, and recorded, by the keeper as a call */
	return e == KMN_E_MECHANISM_PARAM ? KMN_OK : e;
}

static kmn_err
check_frame(const struct kmn_connection *c)
{
	uint8_t type = kmn_inbox_type(&c->in);
	const uint8_t *body = kmn_inbox_body(&c->in);
	size_t n = kmn_inbox_body_bytes(&c->in);
	kmn_err e = kmn_frame_check(KMN_SENDER_CLIENT, c->phase, type, body, n);

	return e == KMN_OK && type == KMN_F_CALL ? check_call(body + CALL_HEAD_BYTES, n - CALL_HEAD_BYTES) : e;
}

/* Hands a complete frame to the keeper. */
static void
pass_frame(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint8_t type = kmn_inbox_type(&c->in);
	struct kmn_writer w;

	c->had_frame = true;
	if (type == KMN_F_WATCH)
		c->phase = KMN_PHASE_WATCHING;
	else
		c->awaiting = true;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, c->id);
	kmn_writer_u8(&w, type);
	kmn_writer_raw(&w, kmn_inbox_body(&c->in), kmn_inbox_body_bytes(&c->in));
	kmn_inbox_reset(&c->in);
	kmn_gate_tell(gate, KMN_G_FRAME, &w);
	kmn_writer_clear(&w);
}

/* Reads once: KMN_E_AGAIN when nothing is there. `why` is for failures of TLS. */
static kmn_err
read_some(struct kmn_connection *c, char *why)
{
	bool had_head = c->in.have >= KMN_INBOX_HEAD_BYTES;
	size_t room, n = 0;
	uint8_t *at;
	kmn_err e;

	if ((e = kmn_inbox_space(&c->in, &at, &room)) != KMN_OK)
		return e;
	ERR_clear_error();
	e = kmn_tls_result(c->ssl, SSL_read_ex(c->ssl, at, room, &n), why);
	c->read_wants_out = e == KMN_E_AGAIN && SSL_want_write(c->ssl);
	if (e == KMN_E_CLOSED && c->in.have > 0)
		e = KMN_E_TRUNCATED;
	if (e != KMN_OK || (e = kmn_inbox_add(&c->in, n)) != KMN_OK)
		return e;
	if (!had_head && c->in.have >= KMN_INBOX_HEAD_BYTES)
		e = kmn_frame_check_head(
		    KMN_SENDER_CLIENT, c->phase, kmn_inbox_type(&c->in), kmn_inbox_body_bytes(&c->in));
	return e != KMN_OK || !kmn_inbox_complete(&c->in) ? e : check_frame(c);
}

/* Ends a connection whose bytes were not right. */
static void
end_reading(struct kmn_gate *gate, struct kmn_connection *c, kmn_err e, const char *why)
{
	char reason[KMN_REJECT_REASON_BYTES];
	const char *name = c->in.have >= KMN_INBOX_HEAD_BYTES ? kmn_frame_name(kmn_inbox_type(&c->in)) : "frame";

	if (e == KMN_E_CLOSED) {
		drop(gate, c, "the client hung up");
		return;
	}
	if (e == KMN_E_TLS || e == KMN_E_PEER) {
		c->tls_failed = true;
		snprintf(reason, sizeof(reason), "TLS: %.100s", why);
	} else {
		snprintf(reason, sizeof(reason), "%s: %s", name, kmn_err_text(e));
	}
	violate(gate, c, reason);
}

/* Reads frames until there is nothing or the keeper is to answer; false when the connection is over. */
static bool
read_frames(struct kmn_gate *gate, struct kmn_connection *c)
{
	char why[KMN_TLS_WHY_BYTES] = "";

	while (may_read(gate, c)) {
		kmn_err e = read_some(c, why);

		if (e == KMN_E_AGAIN)
			break;
		if (e != KMN_OK) {
			end_reading(gate, c, e, why);
			return false;
		}
		if (kmn_inbox_complete(&c->in))
			pass_frame(gate, c);
	}
	expect_next(gate, c);
	update(gate, c);
	return true;
}

/* The handshake */

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

static const char *
certificate_reason(int verdict)
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
		snprintf(reason_out, room, "%s", certificate_reason(c->verdict));
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
		refuse(gate, c, "does not offer " KMN_FRAME_ALPN);
		return;
	}
	if (!kmn_gate_is_pinned(gate, c->spki)) { /* the set has changed meanwhile */
		refuse(gate, c, certificate_reason(c->verdict));
		return;
	}
	if (kmn_gate_connections_of(gate, c->spki) >= gate->setup->limits.connections_per_peer) {
		refuse(gate, c, "too many connections of this client");
		return;
	}
	c->state = OPEN;
	c->phase = KMN_PHASE_FIRST;
	tell_open(gate, c, exporter);
	sodium_memzero(exporter, sizeof(exporter));
	(void)read_frames(gate, c);
}

static void
shake(struct kmn_gate *gate, struct kmn_connection *c)
{
	char why[KMN_TLS_WHY_BYTES] = "", reason[KMN_REJECT_REASON_BYTES];
	int ret, noted;
	kmn_err e;

	ERR_clear_error();
	ret = SSL_accept(c->ssl);
	noted = ERR_GET_REASON(ERR_peek_error());
	if ((e = kmn_tls_result(c->ssl, ret, why)) == KMN_E_AGAIN) {
		update(gate, c);
	} else if (e != KMN_OK) {
		explain(c, e, noted, why, reason, sizeof(reason));
		refuse(gate, c, reason);
	} else {
		open_now(gate, c);
	}
}

/* Accepting */

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
		drop(gate, old, "");
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
	wait_until(c, WAIT_FIRST_FRAME, gate->now_ms + gate->setup->limits.handshake_ms);
	update(gate, c);
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

/* Events */

/* Throws away what a client still says after it was shown the door. */
static void
linger(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint8_t junk[4096];
	ssize_t n;

	while ((n = recv(c->socket.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
		if ((c->lingered_bytes += (size_t)n) > LINGER_MAX_BYTES)
			break;
	if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		drop(gate, c, "");
}

void
kmn_connection_event(struct kmn_gate *gate, struct kmn_connection *c, uint32_t events)
{
	uint32_t id = c->id;

	if (c->state == SHAKING) {
		shake(gate, c);
		return;
	}
	if (c->state == LINGERING) {
		linger(gate, c);
		return;
	}
	if (!write_out(gate, c))
		return;
	if (c->state == FINISHING && c->out_at == c->out_end) {
		part(gate, c, "closed by the gateway");
		return;
	}
	if (!read_frames(gate, c))
		return;
	/* after what it had said before it left; it may have been closed by that */
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && (c = kmn_connection_find(gate, id)) != NULL &&
	    c->state != LINGERING)
		drop(gate, c, "the client hung up");
}

void
kmn_connection_put(struct kmn_gate *gate, struct kmn_connection *c, uint8_t type, const void *body, size_t n)
{
	if (c->state != OPEN)
		return;
	if (!make_room(c, KMN_INBOX_HEAD_BYTES + n)) {
		violate(gate, c, "does not take its answers");
		return;
	}
	append(c, type, body, n);
	if (type == KMN_F_ATTACHED || type == KMN_F_JOINED)
		c->phase = KMN_PHASE_ATTACHED;
	else if (type == KMN_F_DETACHED)
		c->phase = KMN_PHASE_FIRST;
	if (type != KMN_F_READY && type != KMN_F_NOTICE) /* these answer nothing */
		c->awaiting = false;
	if (write_out(gate, c))
		(void)read_frames(gate, c);
}

void
kmn_connection_finish(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	if (c->state != OPEN)
		return;
	c->state = FINISHING;
	wait_until(c, WAIT_NOTHING, 0);
	if (!write_out(gate, c))
		return;
	if (c->out_at == c->out_end)
		part(gate, c, reason);
	else
		update(gate, c);
}

void
kmn_connection_resume(struct kmn_gate *gate, struct kmn_connection *c)
{
	if (c->state == OPEN)
		(void)read_frames(gate, c);
}

void
kmn_connection_recheck(struct kmn_gate *gate, struct kmn_connection *c)
{
	if (c->state == OPEN && !kmn_gate_is_pinned(gate, c->spki))
		violate(gate, c, "certificate is not known any more");
}

/* What a deadline that has passed means. */
static void
overdue(struct kmn_gate *gate, struct kmn_connection *c)
{
	switch (c->wait) {
	case WAIT_FIRST_FRAME:
		c->tls_failed = c->state == SHAKING;
		violate(gate, c, c->state == SHAKING ? "handshake takes too long" : "no first frame in time");
		break;
	case WAIT_FRAME:
		violate(gate, c, "frame takes too long");
		break;
	case WAIT_IDLE:
		part(gate, c, "idle");
		break;
	default:
		drop(gate, c, "");
	}
}

void
kmn_connection_tick(struct kmn_gate *gate, struct kmn_connection *c, bool look_at_dates)
{
	bool ours_to_wait = gate->stalled && c->state == OPEN; /* it is not read, so it cannot be late */
	int verdict;

	if (c->wait != WAIT_NOTHING && gate->now_ms >= c->deadline_ms && !ours_to_wait) {
		overdue(gate, c);
	} else if (c->out_deadline_ms != 0 && gate->now_ms >= c->out_deadline_ms) {
		violate(gate, c, "does not take its answers");
	} else if (look_at_dates && c->state == OPEN) {
		verdict = kmn_tls_validity(SSL_get0_peer_certificate(c->ssl), time(NULL));
		if (verdict != X509_V_OK)
			violate(gate, c, certificate_reason(verdict));
	}
}
