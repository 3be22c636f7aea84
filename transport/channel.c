#include "config.h"

#include "kanmon/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/inbox.h"

#define FILE_MAX_BYTES (64u << 10)
#define ADDRESS_MAX_BYTES 300u /* "host:port": a name has at most 255 */

static const struct kmn_keep_alive keep_alive = {.idle_s = 20, .step_s = 5, .steps = 4, .unanswered_ms = 40000};

struct kmn_channel_identity {
	struct kmn_tls tls;
	uint8_t own_spki[KMN_HASH_BYTES];
	uint8_t gateway_spki[KMN_HASH_BYTES];
	char *gateways[KMN_CHANNEL_GATEWAYS_MAX]; /* owned */
	size_t gateway_count;
};

struct kmn_channel {
	SSL *ssl;
	struct kmn_tls_socket socket;
	pid_t pid;   /* of the process that opened it */
	bool broken; /* a failure: nothing more is sent, not even goodbye */
	bool handed_out;
	struct kmn_inbox in;
	uint8_t exporter[KMN_EXPORTER_BYTES];
	char peer[ADDRESS_MAX_BYTES];
	char why[KMN_CHANNEL_WHY_BYTES];
};

KMN_PRINTF(2, 3)
static void
say(char *why_out, const char *fmt, ...)
{
	va_list ap;

	if (why_out == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(why_out, KMN_CHANNEL_WHY_BYTES, fmt, ap);
	va_end(ap);
}

/* Time: a point on the monotonic clock in ms; INT64_MAX is never. */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t
deadline_of(uint32_t timeout_ms)
{
	return timeout_ms == UINT32_MAX ? INT64_MAX : now_ms() + timeout_ms;
}

/* Waits until `fd` can do `events`: KMN_E_TIMEOUT, KMN_E_CANCELED (interrupt_fd), KMN_E_IO. */
static kmn_err
wait_for(int fd, short events, int64_t deadline, int interrupt_fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = interrupt_fd, .events = POLLIN}};

	for (;;) {
		int64_t left = deadline == INT64_MAX ? -1 : deadline - now_ms();
		int n;

		if (deadline != INT64_MAX && left < 0)
			left = 0;
		n = poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n < 0 && errno != EINTR)
			return KMN_E_IO;
		if (n > 0 && p[0].revents != 0)
			return KMN_OK;
		if (n > 0 && p[1].revents != 0)
			return KMN_E_CANCELED;
		if (deadline != INT64_MAX && now_ms() >= deadline)
			return KMN_E_TIMEOUT;
	}
}

/* Identity */

/* The gateway's certificate: its key must be the pinned one and its dates right. No chain is built. */
static int
verify_gateway(X509_STORE_CTX *store, void *cookie)
{
	const struct kmn_channel_identity *identity = cookie;
	const X509 *certificate = X509_STORE_CTX_get0_cert(store);
	uint8_t spki[KMN_HASH_BYTES];
	int verdict = X509_V_ERR_CERT_UNTRUSTED;

	if (certificate != NULL && kmn_tls_spki_sha256(certificate, spki) == KMN_OK &&
	    sodium_memcmp(spki, identity->gateway_spki, sizeof(spki)) == 0)
		verdict = kmn_tls_validity(certificate, time(NULL));
	X509_STORE_CTX_set_error(store, verdict);
	return verdict == X509_V_OK;
}

/* A whole small file. `secret`: nobody but owner and group may have access. */
static kmn_err
read_file(const char *path, bool secret, uint8_t *room, size_t *len_out, char *why_out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n = 0;
	kmn_err e = KMN_OK;

	*len_out = 0;
	if (fd < 0 || fstat(fd, &st) != 0) {
		say(why_out, "%s: %s", path, strerror(errno));
		e = KMN_E_IO;
	} else if (!S_ISREG(st.st_mode) || st.st_size >= (off_t)FILE_MAX_BYTES) {
		say(why_out, "%s: not a file of a certificate or key", path);
		e = KMN_E_CONFIG;
	} else if (secret && (st.st_mode & S_IRWXO) != 0) {
		say(why_out, "%s: others have access to this private key (chmod o= %s)", path, path);
		e = KMN_E_CONFIG;
	}
	while (
	    e == KMN_OK && *len_out < FILE_MAX_BYTES && (n = read(fd, room + *len_out, FILE_MAX_BYTES - *len_out)) > 0)
		*len_out += (size_t)n;
	if (e == KMN_OK && n < 0) {
		say(why_out, "%s: %s", path, strerror(errno));
		e = KMN_E_IO;
	}
	if (fd >= 0)
		close(fd);
	return e;
}

static kmn_err
use_pem(struct kmn_channel_identity *identity, const struct kmn_channel_settings *settings, char *why_out)
{
	char why[KMN_TLS_WHY_BYTES] = "";
	kmn_err e = kmn_tls_use_pem(&identity->tls, settings->certificate_pem, strlen(settings->certificate_pem),
	    settings->key_pem, strlen(settings->key_pem), why);

	if (e == KMN_OK)
		return kmn_tls_spki_sha256(SSL_CTX_get0_certificate(identity->tls.ctx), identity->own_spki);
	say(why_out, "%s", why);
	return e;
}

static kmn_err
load_files(struct kmn_channel_identity *identity, const struct kmn_channel_settings *settings, char *why_out)
{
	uint8_t *certificate = malloc(FILE_MAX_BYTES), *key = sodium_malloc(FILE_MAX_BYTES);
	size_t certificate_bytes = 0, key_bytes = 0;
	char why[KMN_TLS_WHY_BYTES] = "";
	kmn_err e = KMN_E_NO_MEMORY;

	if (certificate == NULL || key == NULL)
		goto done;
	if ((e = read_file(settings->certificate_path, false, certificate, &certificate_bytes, why_out)) != KMN_OK ||
	    (e = read_file(settings->key_path, true, key, &key_bytes, why_out)) != KMN_OK)
		goto done;
	e = kmn_tls_use_pem(&identity->tls, certificate, certificate_bytes, key, key_bytes, why);
	if (e != KMN_OK)
		say(why_out, "%s, %s: %s", settings->certificate_path, settings->key_path, why);
	else
		e = kmn_tls_spki_sha256(SSL_CTX_get0_certificate(identity->tls.ctx), identity->own_spki);
done:
	sodium_free(key); /* wipes */
	free(certificate);
	return e;
}

/* Splits "host:port" or "[v6]:port" in place. */
static bool
split_address(char *address, char **host_out, char **port_out)
{
	char *colon = strrchr(address, ':');

	if (colon == NULL || colon == address || colon[1] == '\0')
		return false;
	*colon = '\0';
	*host_out = address;
	*port_out = colon + 1;
	if (address[0] != '[')
		return strchr(address, ':') == NULL; /* a bare v6 address: which colon is the port's? */
	if (colon[-1] != ']')
		return false;
	colon[-1] = '\0';
	*host_out = address + 1;
	return true;
}

static kmn_err
copy_gateways(struct kmn_channel_identity *identity, const struct kmn_channel_settings *settings, char *why_out)
{
	if (settings->gateway_count < 1 || settings->gateway_count > KMN_CHANNEL_GATEWAYS_MAX) {
		say(why_out, "between 1 and %d gateways can be named", KMN_CHANNEL_GATEWAYS_MAX);
		return KMN_E_CONFIG;
	}
	for (size_t i = 0; i < settings->gateway_count; i++) {
		char trial[ADDRESS_MAX_BYTES], *host, *port;
		size_t n = strlen(settings->gateways[i]);

		if (n >= sizeof(trial) || !split_address(memcpy(trial, settings->gateways[i], n + 1), &host, &port)) {
			say(why_out, "gateway \"%.80s\": must be host:port or [v6]:port", settings->gateways[i]);
			return KMN_E_CONFIG;
		}
		if ((identity->gateways[i] = strdup(settings->gateways[i])) == NULL)
			return KMN_E_NO_MEMORY;
		identity->gateway_count++;
	}
	return KMN_OK;
}

/*
 * A handshake leaves this thread a random generator in the identity's library
 * context, which OpenSSL frees when the thread ends: by then the context may
 * be gone, and the thread is not ours to wait for. Records need no random.
 */
static void
forget_thread(const struct kmn_channel_identity *identity)
{
	OPENSSL_thread_stop_ex(identity->tls.libctx);
}

kmn_err
kmn_channel_identity_load(
    const struct kmn_channel_settings *settings, char *why_out, struct kmn_channel_identity **identity_out)
{
	struct kmn_channel_identity *identity = calloc(1, sizeof(*identity));
	kmn_err e = KMN_E_NO_MEMORY;

	*identity_out = NULL;
	say(why_out, "%s", "");
	if (identity == NULL || sodium_init() < 0 || (e = kmn_tls_init(&identity->tls, false)) != KMN_OK) {
		say(why_out, "%s", kmn_err_text(e));
		goto done;
	}
	memcpy(identity->gateway_spki, settings->gateway_spki_sha256, KMN_HASH_BYTES);
	SSL_CTX_set_cert_verify_callback(identity->tls.ctx, verify_gateway, identity);
	if ((e = copy_gateways(identity, settings, why_out)) != KMN_OK ||
	    (e = settings->certificate_pem != NULL && settings->key_pem != NULL
		     ? use_pem(identity, settings, why_out)
		     : load_files(identity, settings, why_out)) != KMN_OK)
		goto done;

	forget_thread(identity);
	*identity_out = identity;
	identity = NULL;
done:
	kmn_channel_identity_free(identity);
	return e;
}

void
kmn_channel_identity_free(struct kmn_channel_identity *identity)
{
	if (identity == NULL)
		return;
	kmn_tls_clear(&identity->tls);
	for (size_t i = 0; i < identity->gateway_count; i++)
		free(identity->gateways[i]);
	free(identity);
}

const uint8_t *
kmn_channel_identity_spki(const struct kmn_channel_identity *identity)
{
	return identity->own_spki;
}

/* Connecting */

static kmn_err
connect_one(const struct addrinfo *a, int64_t deadline, int interrupt_fd, char *why_out, int *fd_out)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int failed = 0;
	socklen_t n = sizeof(failed);
	kmn_err e = KMN_OK;

	*fd_out = -1;
	if (fd < 0 || (connect(fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS && errno != EINTR)) {
		say(why_out, "%s", strerror(errno));
		e = KMN_E_UNREACHABLE;
	}
	if (e == KMN_OK && (e = wait_for(fd, POLLOUT, deadline, interrupt_fd)) != KMN_OK)
		say(why_out, "%s", kmn_err_text(e));
	if (e == KMN_OK && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0 || failed != 0)) {
		say(why_out, "%s", strerror(failed != 0 ? failed : errno));
		e = KMN_E_UNREACHABLE;
	}
	if (e != KMN_OK) {
		if (fd >= 0)
			close(fd);
		return e;
	}
	kmn_tls_keep_alive(fd, &keep_alive);
	*fd_out = fd;
	return KMN_OK;
}

/* Every address of one gateway in turn. Looking up a name may take its own time; numbers do not. */
static kmn_err
connect_gateway(const char *gateway, int64_t deadline, int interrupt_fd, char *why_out, int *fd_out)
{
	struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
	char address[ADDRESS_MAX_BYTES], *host, *port;
	kmn_err e = KMN_E_UNREACHABLE;
	int r;

	*fd_out = -1;
	snprintf(address, sizeof(address), "%s", gateway);
	if (!split_address(address, &host, &port))
		return KMN_E_CONFIG;
	if ((r = getaddrinfo(host, port, &want, &found)) != 0) {
		say(why_out, "%s", gai_strerror(r));
		return KMN_E_UNREACHABLE;
	}
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		if ((e = connect_one(a, deadline, interrupt_fd, why_out, fd_out)) == KMN_OK || e == KMN_E_CANCELED)
			break;
	freeaddrinfo(found);
	return e;
}

/* Marks the channel as of no more use, unless the failure is one that loses nothing. */
static kmn_err
failed(struct kmn_channel *channel, kmn_err e)
{
	if (e != KMN_OK && channel->why[0] == '\0')
		say(channel->why, "%s", kmn_err_text(e));
	if (e != KMN_OK)
		channel->broken = true;
	return e;
}

static kmn_err
wait_tls(struct kmn_channel *channel, int64_t deadline, int interrupt_fd)
{
	return wait_for(channel->socket.fd, SSL_want_write(channel->ssl) ? POLLOUT : POLLIN, deadline, interrupt_fd);
}

static kmn_err
shake_hands(struct kmn_channel *channel, int64_t deadline, int interrupt_fd)
{
	kmn_err e;

	for (;;) {
		ERR_clear_error();
		e = kmn_tls_result(channel->ssl, SSL_connect(channel->ssl), channel->why);
		if (e == KMN_OK)
			break;
		if (e == KMN_E_AGAIN)
			e = wait_tls(channel, deadline, interrupt_fd);
		if (e != KMN_OK)
			return e;
	}
	if ((e = kmn_tls_check_alpn(channel->ssl)) != KMN_OK)
		say(channel->why, "%s", "the peer does not speak " KMN_FRAME_ALPN);
	return e != KMN_OK ? e : kmn_tls_exporter(channel->ssl, channel->exporter);
}

/* Says in our words why the gateway's certificate was not taken. */
static void
explain_peer(struct kmn_channel *channel)
{
	switch (SSL_get_verify_result(channel->ssl)) {
	case X509_V_OK:
		break; /* the alert came from the gateway and is told already */
	case X509_V_ERR_CERT_UNTRUSTED:
		say(channel->why, "%s", "its public key is not the pinned one");
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		say(channel->why, "%s", "its certificate is not valid yet");
		break;
	default:
		say(channel->why, "%s", "its certificate has expired");
	}
}

/* A channel over a connected socket, which it takes. */
static kmn_err
start(struct kmn_channel_identity *identity, const char *gateway, int fd, int64_t deadline, int interrupt_fd,
    char *why_out, struct kmn_channel **channel_out)
{
	struct kmn_channel *channel = calloc(1, sizeof(*channel));
	kmn_err e = KMN_E_NO_MEMORY;

	*channel_out = NULL;
	if (channel == NULL) {
		close(fd);
		return e;
	}
	channel->pid = getpid();
	kmn_inbox_init(&channel->in, KMN_FRAME_MAX_BYTES);
	snprintf(channel->peer, sizeof(channel->peer), "%s", gateway);
	channel->socket.fd = fd;
	if ((e = kmn_tls_socket_init(&channel->socket, fd, true)) == KMN_OK &&
	    (e = kmn_tls_ssl_new(&identity->tls, &channel->socket, &channel->ssl)) == KMN_OK &&
	    (e = shake_hands(channel, deadline, interrupt_fd)) == KMN_E_PEER)
		explain_peer(channel);
	if (e != KMN_OK) {
		(void)failed(channel, e);
		say(why_out, "%s", channel->why);
		kmn_channel_close(channel);
		return e;
	}
	*channel_out = channel;
	return KMN_OK;
}

/* Of several gateways' failures the one that tells most is kept: that of one that answered. */
static bool
tells_more(kmn_err now, kmn_err before)
{
	return before == KMN_OK || before == KMN_E_UNREACHABLE || before == KMN_E_TIMEOUT || now == KMN_E_PEER;
}

kmn_err
kmn_channel_open(struct kmn_channel_identity *identity, uint32_t timeout_ms, int interrupt_fd, char *why_out,
    struct kmn_channel **channel_out)
{
	int64_t last = deadline_of(timeout_ms);
	kmn_err kept = KMN_OK;

	*channel_out = NULL;
	say(why_out, "%s", "");
	for (size_t i = 0; i < identity->gateway_count; i++) {
		/* one that swallows packets must leave time for the next */
		int64_t share = (last - now_ms()) / (int64_t)(identity->gateway_count - i);
		int64_t deadline = last == INT64_MAX ? last : now_ms() + share;
		char why[KMN_CHANNEL_WHY_BYTES - 64] = "", line[KMN_CHANNEL_WHY_BYTES] = "";
		int fd;
		kmn_err e = connect_gateway(identity->gateways[i], deadline, interrupt_fd, line, &fd);

		if (e == KMN_OK) {
			e = start(identity, identity->gateways[i], fd, deadline, interrupt_fd, line, channel_out);
			forget_thread(identity);
		}
		if (e == KMN_OK || e == KMN_E_CANCELED)
			return e;
		snprintf(why, sizeof(why), "%.190s", line);
		if (tells_more(e, kept)) {
			say(why_out, "gateway %.60s: %s", identity->gateways[i], why);
			kept = e;
		}
	}
	return kept;
}

const uint8_t *
kmn_channel_exporter(const struct kmn_channel *channel)
{
	return channel->exporter;
}

const char *
kmn_channel_peer(const struct kmn_channel *channel)
{
	return channel->peer;
}

int
kmn_channel_fd(const struct kmn_channel *channel)
{
	return channel->socket.fd;
}

const char *
kmn_channel_why(const struct kmn_channel *channel)
{
	return channel->why;
}

/* Whether this process may use the channel at all. */
static kmn_err
usable(struct kmn_channel *channel)
{
	if (channel->pid != getpid() || channel->broken)
		return KMN_E_CLOSED;
	if (kmn_tls_socket_is_ours(&channel->socket))
		return KMN_OK;
	say(channel->why, "%s", "the host process closed the connection's descriptor");
	return failed(channel, KMN_E_CLOSED);
}

static kmn_err
write_all(struct kmn_channel *channel, const uint8_t *bytes, size_t len_bytes, int64_t deadline)
{
	while (len_bytes > 0) {
		size_t n = 0;
		kmn_err e;

		ERR_clear_error();
		e = kmn_tls_result(channel->ssl, SSL_write_ex(channel->ssl, bytes, len_bytes, &n), channel->why);
		if (e == KMN_E_AGAIN)
			e = wait_tls(channel, deadline, -1);
		if (e != KMN_OK)
			return e;
		bytes += n;
		len_bytes -= n;
	}
	return KMN_OK;
}

kmn_err
kmn_channel_send(struct kmn_channel *channel, uint8_t type, const void *body, size_t len_bytes, uint32_t timeout_ms)
{
	uint8_t first[4096]; /* head and start of the body in one record: most frames are one */
	size_t k = len_bytes < sizeof(first) - KMN_INBOX_HEAD_BYTES ? len_bytes : sizeof(first) - KMN_INBOX_HEAD_BYTES;
	int64_t deadline = deadline_of(timeout_ms);
	kmn_err e;

	if ((e = usable(channel)) != KMN_OK)
		return e;
	if (len_bytes >= KMN_FRAME_MAX_BYTES)
		return KMN_E_TOO_BIG;
	for (size_t i = 0; i < 4; i++)
		first[i] = (uint8_t)((len_bytes + 1) >> (24 - 8 * i));
	first[4] = type;
	if (k > 0)
		memcpy(first + KMN_INBOX_HEAD_BYTES, body, k);
	e = write_all(channel, first, KMN_INBOX_HEAD_BYTES + k, deadline);
	sodium_memzero(first, sizeof(first));
	if (e == KMN_OK && len_bytes > k)
		e = write_all(channel, (const uint8_t *)body + k, len_bytes - k, deadline);
	return failed(channel, e);
}

/* Reads once of what is there; KMN_E_AGAIN when that is nothing. */
static kmn_err
read_some(struct kmn_channel *channel)
{
	struct kmn_inbox *in = &channel->in;
	bool had_head = in->have >= KMN_INBOX_HEAD_BYTES;
	size_t room, n = 0;
	uint8_t *at;
	kmn_err e;

	if ((e = kmn_inbox_space(in, &at, &room)) != KMN_OK)
		return e;
	ERR_clear_error();
	e = kmn_tls_result(channel->ssl, SSL_read_ex(channel->ssl, at, room, &n), channel->why);
	if (e == KMN_E_CLOSED && in->have > 0)
		e = KMN_E_TRUNCATED;
	if (e != KMN_OK || (e = kmn_inbox_add(in, n)) != KMN_OK)
		return e;
	if (had_head || in->have < KMN_INBOX_HEAD_BYTES)
		return KMN_OK;
	return kmn_frame_check_head(KMN_SENDER_GATEWAY, KMN_PHASE_ANY, kmn_inbox_type(in), kmn_inbox_body_bytes(in));
}

kmn_err
kmn_channel_receive(
    struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd, struct kmn_channel_frame *frame_out)
{
	int64_t deadline = deadline_of(timeout_ms);
	struct kmn_inbox *in = &channel->in;
	kmn_err e;

	*frame_out = (struct kmn_channel_frame){0};
	if ((e = usable(channel)) != KMN_OK)
		return e;
	if (channel->handed_out) {
		kmn_inbox_reset(in);
		channel->handed_out = false;
	}
	while (!kmn_inbox_complete(in)) {
		if ((e = read_some(channel)) == KMN_E_AGAIN) {
			e = wait_tls(channel, deadline, interrupt_fd);
			if (e == KMN_E_TIMEOUT || e == KMN_E_CANCELED)
				return e; /* what has come stays */
		}
		if (e != KMN_OK)
			return failed(channel, e);
	}
	e = kmn_frame_check(
	    KMN_SENDER_GATEWAY, KMN_PHASE_ANY, kmn_inbox_type(in), kmn_inbox_body(in), kmn_inbox_body_bytes(in));
	if (e != KMN_OK)
		return failed(channel, e);
	*frame_out = (struct kmn_channel_frame){
	    .type = kmn_inbox_type(in), .body = kmn_inbox_body(in), .len_bytes = kmn_inbox_body_bytes(in)};
	channel->handed_out = true;
	return KMN_OK;
}

bool
kmn_channel_alive(struct kmn_channel *channel)
{
	struct pollfd p = {.fd = channel->socket.fd, .events = POLLIN | POLLRDHUP};
	uint8_t byte;
	size_t n;

	if (usable(channel) != KMN_OK || (!channel->handed_out && channel->in.have > 0))
		return false;
	if (poll(&p, 1, 0) < 0 || (p.revents & (POLLERR | POLLHUP | POLLNVAL | POLLRDHUP)) != 0)
		return false;
	if (p.revents == 0 && SSL_has_pending(channel->ssl) == 0)
		return true;
	/* TLS may have something to say to itself (a key update); a frame may not be waiting */
	ERR_clear_error();
	return kmn_tls_result(channel->ssl, SSL_peek_ex(channel->ssl, &byte, 1, &n), channel->why) == KMN_E_AGAIN;
}

void
kmn_channel_close(struct kmn_channel *channel)
{
	if (channel == NULL)
		return;
	if (channel->pid != getpid()) {
		kmn_channel_abandon(channel);
		return;
	}
	if (!channel->broken && channel->ssl != NULL && kmn_tls_socket_is_ours(&channel->socket)) {
		ERR_clear_error();
		(void)SSL_shutdown(channel->ssl);
	}
	SSL_free(channel->ssl);
	ERR_clear_error();
	if (kmn_tls_socket_is_ours(&channel->socket))
		close(channel->socket.fd);
	kmn_inbox_clear(&channel->in);
	sodium_memzero(channel->exporter, sizeof(channel->exporter));
	free(channel);
}

void
kmn_channel_abandon(struct kmn_channel *channel)
{
	if (channel != NULL && kmn_tls_socket_is_ours(&channel->socket))
		close(channel->socket.fd);
}
