/*
 * The client's channel against gateways that do not behave: each is a thread
 * with a script. What a good gateway does is tested in tests/unit/gate.
 */
#define _GNU_SOURCE 1 /* mkdtemp */

#include "kanmon/channel.h"
#include "kanmon/writer.h"
#include "tests/unit/run.h"
#include "tests/unit/transport/certs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 5000

static struct test_certificate gateway_p256, gateway_ed25519, gateway_expired, gateway_future, client, other, rsa;
static char dir[64];

/* A gateway in a thread */

struct fake {
	const struct test_certificate *certificate;
	void (*act)(struct fake *, SSL *, int fd); /* once per connection; NULL: hangs up after the handshake */
	void (*before)(struct fake *, int fd);     /* instead of TLS */
	bool no_alpn;
	int connections; /* to take, one after the other */
	struct kmn_tls tls;
	int listener;
	char address[32];
	uint8_t exporter[KMN_EXPORTER_BYTES];
	int go[2]; /* the test writes a byte to let a script go on */
	pthread_t thread;
};

static int
take_any(X509_STORE_CTX *store, void *cookie)
{
	(void)store;
	(void)cookie;
	return 1;
}

static int
select_nothing(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned in_n, void *c)
{
	(void)ssl;
	(void)out;
	(void)n;
	(void)in;
	(void)in_n;
	(void)c;
	return SSL_TLSEXT_ERR_NOACK;
}

/* Repeats an SSL call until it needs no more waiting. */
#define UNTIL_DONE(ssl, fd, call) \
	do { \
		struct pollfd p_ = {.fd = (fd), .events = POLLIN}; \
		ERR_clear_error(); \
		if (kmn_tls_result(ssl, call, NULL) != KMN_E_AGAIN) \
			break; \
		p_.events = SSL_want_write(ssl) ? POLLOUT : POLLIN; \
		if (poll(&p_, 1, PATIENCE_MS) != 1) \
			break; \
	} while (true)

static void
say_bytes(SSL *ssl, int fd, const void *bytes, size_t n)
{
	size_t done;

	UNTIL_DONE(ssl, fd, SSL_write_ex(ssl, bytes, n, &done));
}

static void
wait_go(struct fake *f)
{
	struct pollfd p = {.fd = f->go[0], .events = POLLIN};
	char byte;

	if (poll(&p, 1, PATIENCE_MS) == 1)
		(void)!read(f->go[0], &byte, 1);
}

static void
let_go(struct fake *f)
{
	CU_ASSERT_EQUAL(write(f->go[1], "g", 1), 1);
}

static void
serve_one(struct fake *f, int fd)
{
	struct kmn_tls_socket socket;
	SSL *ssl;

	if (kmn_tls_socket_init(&socket, fd, false) != KMN_OK || kmn_tls_ssl_new(&f->tls, &socket, &ssl) != KMN_OK)
		return;
	UNTIL_DONE(ssl, fd, SSL_accept(ssl));
	if (SSL_is_init_finished(ssl) && kmn_tls_exporter(ssl, f->exporter) == KMN_OK && f->act != NULL)
		f->act(f, ssl, fd);
	ERR_clear_error();
	if (SSL_is_init_finished(ssl))
		SSL_shutdown(ssl);
	SSL_free(ssl);
}

static void *
serve(void *cookie)
{
	struct fake *f = cookie;

	for (int i = 0; i < f->connections; i++) {
		struct pollfd p = {.fd = f->listener, .events = POLLIN};
		int fd = poll(&p, 1, PATIENCE_MS) == 1 ? accept(f->listener, NULL, NULL) : -1;

		if (fd < 0)
			break;
		if (f->before != NULL)
			f->before(f, fd);
		else
			serve_one(f, fd);
		close(fd);
	}
	return NULL;
}

static int
make_listener(char address[32])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 16) == 0 &&
			getsockname(fd, (struct sockaddr *)&at, &n) == 0);
	snprintf(address, 32, "127.0.0.1:%u", ntohs(at.sin_port));
	return fd;
}

static void
start(struct fake *f)
{
	const struct test_certificate *c = f->certificate != NULL ? f->certificate : &gateway_p256;

	if (f->connections == 0)
		f->connections = 1;
	f->listener = make_listener(f->address);
	CU_ASSERT_EQUAL_FATAL(pipe(f->go), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_tls_init(&f->tls, true), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(
	    kmn_tls_use_pem(&f->tls, c->certificate, strlen(c->certificate), c->key, strlen(c->key), NULL), KMN_OK);
	SSL_CTX_set_cert_verify_callback(f->tls.ctx, take_any, NULL);
	if (f->no_alpn)
		SSL_CTX_set_alpn_select_cb(f->tls.ctx, select_nothing, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void
stop(struct fake *f)
{
	pthread_join(f->thread, NULL);
	kmn_tls_clear(&f->tls);
	close(f->listener);
	close(f->go[0]);
	close(f->go[1]);
}

/* The client */

static kmn_err
load(const struct test_certificate *own, const char *key, unsigned key_mode, const uint8_t *pin,
    const char *const *gateways, size_t n, struct kmn_channel_identity **identity)
{
	char certificate_path[128], key_path[128], why[KMN_CHANNEL_WHY_BYTES] = "";
	struct kmn_channel_settings settings = {
	    .certificate_path = certificate_path, .key_path = key_path, .gateways = gateways, .gateway_count = n};
	kmn_err e;

	snprintf(certificate_path, sizeof(certificate_path), "%s/c.pem", dir);
	snprintf(key_path, sizeof(key_path), "%s/k.pem", dir);
	CU_ASSERT(test_file_write(dir, "c.pem", own->certificate, 0644));
	CU_ASSERT(test_file_write(dir, "k.pem", key, key_mode));
	memcpy(settings.gateway_spki_sha256, pin, KMN_HASH_BYTES);
	e = kmn_channel_identity_load(&settings, why, identity);
	CU_ASSERT_EQUAL(e == KMN_OK, why[0] == '\0');
	return e;
}

/* An identity that trusts the fake's certificate. */
static struct kmn_channel_identity *
identity_for(const struct fake *f)
{
	const struct test_certificate *c = f->certificate != NULL ? f->certificate : &gateway_p256;
	const char *gateways[] = {f->address};
	struct kmn_channel_identity *identity = NULL;

	CU_ASSERT_EQUAL_FATAL(load(&client, client.key, 0600, c->spki, gateways, 1, &identity), KMN_OK);
	return identity;
}

static struct kmn_channel *
open_to(struct kmn_channel_identity *identity)
{
	struct kmn_channel *channel = NULL;
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	kmn_err e = kmn_channel_open(identity, PATIENCE_MS, -1, why, &channel);

	if (e != KMN_OK)
		printf("# %s: %s\n", kmn_err_name(e), why);
	CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
	return channel;
}

/* The cases */

static void
act_echo(struct fake *f, SSL *ssl, int fd)
{
	uint8_t bytes[64];
	size_t n = 0;

	(void)f;
	UNTIL_DONE(ssl, fd, SSL_read_ex(ssl, bytes, sizeof(bytes), &n));
	say_bytes(ssl, fd, "\0\0\0\x0f\x82\0\0\0\0\0\0\0\7\0\0\0\0hi", 19);
}

static void
test_there_and_back(void)
{
	const struct test_certificate *kinds[] = {&gateway_p256, &gateway_ed25519};

	for (size_t i = 0; i < KMN_COUNT_OF(kinds); i++) {
		struct fake f = {.certificate = kinds[i], .act = act_echo};
		struct kmn_channel_identity *identity;
		struct kmn_channel_frame frame;
		struct kmn_channel *channel;

		start(&f);
		identity = identity_for(&f);
		channel = open_to(identity);
		CU_ASSERT_STRING_EQUAL(kmn_channel_peer(channel), f.address);
		CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, PATIENCE_MS), KMN_OK);
		CU_ASSERT_EQUAL(kmn_channel_receive(channel, PATIENCE_MS, -1, &frame), KMN_OK);
		CU_ASSERT(frame.type == KMN_F_REPLY && frame.len_bytes == 14 && memcmp(frame.body + 12, "hi", 2) == 0);
		CU_ASSERT_EQUAL(memcmp(kmn_channel_exporter(channel), f.exporter, KMN_EXPORTER_BYTES), 0);
		kmn_channel_close(channel);
		kmn_channel_identity_free(identity);
		stop(&f);
	}
}

static void
before_http(struct fake *f, int fd)
{
	(void)f;
	(void)!write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void
before_silence(struct fake *f, int fd)
{
	(void)fd;
	wait_go(f);
}

/* What came is read first: closing over unread bytes would be a reset, and that is said in other words. */
static void
before_hang_up(struct fake *f, int fd)
{
	char hello[16384];

	(void)f;
	(void)!read(fd, hello, sizeof(hello));
}

static const struct {
	const char *says;
	struct fake fake;
	const struct test_certificate *pin; /* NULL: the fake's own */
	uint32_t timeout_ms;
	kmn_err want;
	const char *why;
} open_cases[] = {
    {"another key than the pinned one", {0}, &other, PATIENCE_MS, KMN_E_PEER, "not the pinned one"},
    {"a certificate that has expired", {.certificate = &gateway_expired}, NULL, PATIENCE_MS, KMN_E_PEER, "expired"},
    {"a certificate of tomorrow", {.certificate = &gateway_future}, NULL, PATIENCE_MS, KMN_E_PEER, "not valid yet"},
    {"no ALPN", {.no_alpn = true}, NULL, PATIENCE_MS, KMN_E_TLS, "does not speak"},
    {"no TLS", {.before = before_http}, NULL, PATIENCE_MS, KMN_E_TLS, "wrong version number"},
    {"a gateway that hangs up", {.before = before_hang_up}, NULL, PATIENCE_MS, KMN_E_CLOSED, "broke the connection"},
    {"a gateway that says nothing", {.before = before_silence}, NULL, 200, KMN_E_TIMEOUT, "time is over"},
};

static void
test_open(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(open_cases); i++) {
		struct fake f = open_cases[i].fake;
		const struct test_certificate *pin = open_cases[i].pin;
		struct kmn_channel_identity *identity = NULL;
		struct kmn_channel *channel = NULL;
		char why[KMN_CHANNEL_WHY_BYTES] = "";
		const char *gateways[] = {f.address};
		kmn_err e;

		start(&f);
		if (pin == NULL)
			pin = f.certificate != NULL ? f.certificate : &gateway_p256;
		CU_ASSERT_EQUAL(load(&client, client.key, 0600, pin->spki, gateways, 1, &identity), KMN_OK);
		e = kmn_channel_open(identity, open_cases[i].timeout_ms, -1, why, &channel);
		if (e != open_cases[i].want || strstr(why, open_cases[i].why) == NULL) {
			printf("# %s: %s, %s\n", open_cases[i].says, kmn_err_name(e), why);
			CU_FAIL("refused in the right words");
		}
		CU_ASSERT_PTR_NULL(channel);
		let_go(&f);
		kmn_channel_identity_free(identity);
		stop(&f);
	}
}

static void
test_several_addresses(void)
{
	struct fake f = {.act = act_echo};
	struct kmn_channel_identity *identity = NULL;
	char nobody[32], silent[32];
	int closed = make_listener(nobody), mute = make_listener(silent);
	const char *gateways[] = {nobody, silent, f.address};
	struct kmn_channel *channel = NULL;
	char why[KMN_CHANNEL_WHY_BYTES] = "";

	close(closed);
	start(&f);
	CU_ASSERT_EQUAL(load(&client, client.key, 0600, gateway_p256.spki, gateways, 3, &identity), KMN_OK);
	CU_ASSERT_EQUAL(kmn_channel_open(identity, 1500, -1, why, &channel), KMN_OK);
	CU_ASSERT_STRING_EQUAL(kmn_channel_peer(channel), f.address);
	kmn_channel_close(channel);
	kmn_channel_identity_free(identity);
	stop(&f);

	CU_ASSERT_EQUAL(load(&client, client.key, 0600, gateway_p256.spki, gateways, 1, &identity), KMN_OK);
	CU_ASSERT_EQUAL(kmn_channel_open(identity, 1500, -1, why, &channel), KMN_E_UNREACHABLE);
	CU_ASSERT(strstr(why, nobody) != NULL && strstr(why, "refused") != NULL);
	kmn_channel_identity_free(identity);
	close(mute);
}

/* Half of a frame, and the rest when it is let go. */
static void
act_halves(struct fake *f, SSL *ssl, int fd)
{
	say_bytes(ssl, fd, "\0\0\0\x09\x85\0\0", 7);
	wait_go(f);
	say_bytes(ssl, fd, "\0\0\0\0\0\5", 6);
	wait_go(f);
}

static void
test_waits_lose_nothing(void)
{
	struct fake f = {.act = act_halves};
	struct kmn_channel_identity *identity;
	struct kmn_channel_frame frame;
	struct kmn_channel *channel, *none = NULL;
	int interrupt[2];

	start(&f);
	identity = identity_for(&f);
	CU_ASSERT_EQUAL_FATAL(pipe(interrupt), 0);
	channel = open_to(identity);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, 0, -1, &frame), KMN_E_TIMEOUT);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, 50, -1, &frame), KMN_E_TIMEOUT);
	CU_ASSERT_EQUAL(write(interrupt[1], "x", 1), 1);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, UINT32_MAX, interrupt[0], &frame), KMN_E_CANCELED);
	let_go(&f);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, PATIENCE_MS, -1, &frame), KMN_OK);
	CU_ASSERT(frame.type == KMN_F_READY && frame.body[7] == 5);
	/* nobody takes a second connection: the wait for its handshake can be ended too */
	CU_ASSERT_EQUAL(kmn_channel_open(identity, UINT32_MAX, interrupt[0], NULL, &none), KMN_E_CANCELED);
	let_go(&f);
	kmn_channel_close(channel);
	kmn_channel_identity_free(identity);
	close(interrupt[0]);
	close(interrupt[1]);
	stop(&f);
}

static const struct {
	const char *says;
	uint8_t bytes[16];
	size_t n;
	kmn_err want;
} frame_cases[] = {
    {"nothing but goodbye", {0}, 0, KMN_E_CLOSED},
    {"an end inside a frame", {0, 0, 0, 9, KMN_F_READY, 0}, 6, KMN_E_TRUNCATED},
    {"a claim over the limit", {0, 0x20, 0, 1, KMN_F_REPLY}, 5, KMN_E_TOO_BIG},
    {"a length of nothing", {0, 0, 0, 0, KMN_F_REPLY}, 5, KMN_E_MALFORMED},
    {"a frame of the client's", {0, 0, 0, 1, KMN_F_WATCH}, 5, KMN_E_MALFORMED},
    {"a type that is none", {0, 0, 0, 1, 77}, 5, KMN_E_MALFORMED},
    {"a READY that is short", {0, 0, 0, 3, KMN_F_READY, 0, 0}, 7, KMN_E_TRUNCATED},
    {"a DETACHED with a body", {0, 0, 0, 2, KMN_F_DETACHED, 0}, 6, KMN_E_TRAILING},
};

static size_t frame_case; /* which one act_frame plays; set before the thread starts */

static void
act_frame(struct fake *f, SSL *ssl, int fd)
{
	(void)f;
	if (frame_cases[frame_case].n > 0)
		say_bytes(ssl, fd, frame_cases[frame_case].bytes, frame_cases[frame_case].n);
}

static void
test_frames(void)
{
	for (frame_case = 0; frame_case < KMN_COUNT_OF(frame_cases); frame_case++) {
		struct fake f = {.act = act_frame};
		struct kmn_channel_identity *identity;
		struct kmn_channel_frame frame;
		struct kmn_channel *channel;
		kmn_err e;

		start(&f);
		identity = identity_for(&f);
		channel = open_to(identity);
		e = kmn_channel_receive(channel, PATIENCE_MS, -1, &frame);
		if (e != frame_cases[frame_case].want) {
			printf("# %s: %s\n", frame_cases[frame_case].says, kmn_err_name(e));
			CU_FAIL("refused with the right error");
		}
		CU_ASSERT(kmn_channel_why(channel)[0] != '\0');
		CU_ASSERT_EQUAL(kmn_channel_receive(channel, 0, -1, &frame), KMN_E_CLOSED);
		CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, 0), KMN_E_CLOSED);
		kmn_channel_close(channel);
		kmn_channel_identity_free(identity);
		stop(&f);
	}
}

static void
act_wait_then_speak(struct fake *f, SSL *ssl, int fd)
{
	wait_go(f);
	say_bytes(ssl, fd, "\0\0\0\1\x86", 5);
	wait_go(f);
}

static void
act_wait(struct fake *f, SSL *ssl, int fd)
{
	(void)ssl;
	(void)fd;
	wait_go(f);
}

/* After a key update there is something to read, but nothing was said. */
static void
act_key_update(struct fake *f, SSL *ssl, int fd)
{
	SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
	UNTIL_DONE(ssl, fd, SSL_do_handshake(ssl));
	wait_go(f);
}

static bool
readable(const struct kmn_channel *channel)
{
	struct pollfd p = {.fd = kmn_channel_fd(channel), .events = POLLIN};

	return poll(&p, 1, PATIENCE_MS) == 1;
}

static void
test_alive(void)
{
	void (*acts[])(struct fake *, SSL *, int) = {act_wait, act_wait_then_speak};

	for (size_t i = 0; i < KMN_COUNT_OF(acts); i++) {
		struct fake f = {.act = acts[i]};
		struct kmn_channel_identity *identity;
		struct kmn_channel *channel;

		start(&f);
		identity = identity_for(&f);
		channel = open_to(identity);
		CU_ASSERT(kmn_channel_alive(channel));
		let_go(&f);
		CU_ASSERT(readable(channel));
		CU_ASSERT(!kmn_channel_alive(channel));
		let_go(&f);
		kmn_channel_close(channel);
		kmn_channel_identity_free(identity);
		stop(&f);
	}
}

static void
test_alive_after_key_update(void)
{
	struct fake f = {.act = act_key_update};
	struct kmn_channel_identity *identity;
	struct kmn_channel *channel;

	start(&f);
	identity = identity_for(&f);
	channel = open_to(identity);
	CU_ASSERT(readable(channel));
	CU_ASSERT(kmn_channel_alive(channel));
	let_go(&f);
	kmn_channel_close(channel);
	kmn_channel_identity_free(identity);
	stop(&f);
}

/* A child may not use what its parent opened, and the parent does not notice. */
static void
test_fork(void)
{
	struct fake f = {.act = act_echo};
	struct kmn_channel_identity *identity;
	struct kmn_channel_frame frame;
	struct kmn_channel *channel;
	int status = -1;
	pid_t pid;

	start(&f);
	identity = identity_for(&f);
	channel = open_to(identity);
	fflush(stdout);
	if ((pid = fork()) == 0) {
		bool ok = kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, 100) == KMN_E_CLOSED &&
			  kmn_channel_receive(channel, 100, -1, &frame) == KMN_E_CLOSED && !kmn_channel_alive(channel);
		int fd = kmn_channel_fd(channel);

		kmn_channel_abandon(channel);
		kmn_channel_abandon(channel); /* the number may be somebody else's by now: nothing happens */
		_exit(ok && fcntl(fd, F_GETFD) == -1 ? 0 : 1);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
	CU_ASSERT(kmn_channel_alive(channel));
	CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, PATIENCE_MS), KMN_OK);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, PATIENCE_MS, -1, &frame), KMN_OK);
	kmn_channel_close(channel);
	kmn_channel_identity_free(identity);
	stop(&f);
}

/* The host closed all descriptors and got ours again for a file of its own. */
static void
test_stolen_descriptor(void)
{
	struct fake f = {.act = act_wait};
	struct kmn_channel_identity *identity;
	struct kmn_channel_frame frame;
	struct kmn_channel *channel;
	int host[2], fd;
	char byte;

	start(&f);
	identity = identity_for(&f);
	channel = open_to(identity);
	fd = kmn_channel_fd(channel);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, host), 0);
	CU_ASSERT_EQUAL(dup2(host[0], fd), fd);
	close(host[0]);
	CU_ASSERT(!kmn_channel_alive(channel));
	CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, 100), KMN_E_CLOSED);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, 100, -1, &frame), KMN_E_CLOSED);
	kmn_channel_close(channel);
	CU_ASSERT_EQUAL(recv(host[1], &byte, 1, MSG_DONTWAIT), -1); /* nothing written, not closed */
	CU_ASSERT_EQUAL(errno, EAGAIN);
	close(host[1]);
	close(fd);
	let_go(&f);
	kmn_channel_identity_free(identity);
	stop(&f);
}

/* Writing to a gateway that is gone is an error and never a signal. */
static void
test_no_sigpipe(void)
{
	struct fake f = {0};
	struct kmn_channel_identity *identity;
	struct kmn_channel *channel;
	static const uint8_t bytes[65536];
	kmn_err e = KMN_OK;

	start(&f);
	identity = identity_for(&f);
	channel = open_to(identity);
	pthread_join(f.thread, NULL);
	for (int i = 0; i < 100 && e == KMN_OK; i++)
		e = kmn_channel_send(channel, KMN_F_CALL, bytes, sizeof(bytes), 1000);
	CU_ASSERT_EQUAL(e, KMN_E_CLOSED);
	kmn_channel_close(channel);
	kmn_channel_identity_free(identity);
	f.thread = pthread_self();
	kmn_tls_clear(&f.tls);
	close(f.listener);
	close(f.go[0]);
	close(f.go[1]);
}

#define THREADS 4
#define ROUNDS 4

static void *
open_and_ask(void *cookie)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct kmn_channel *channel = NULL;
		struct kmn_channel_frame frame;
		bool ok = kmn_channel_open(cookie, PATIENCE_MS, -1, NULL, &channel) == KMN_OK &&
			  kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, PATIENCE_MS) == KMN_OK &&
			  kmn_channel_receive(channel, PATIENCE_MS, -1, &frame) == KMN_OK;

		kmn_channel_close(channel);
		if (!ok)
			return NULL;
	}
	return cookie;
}

static void
test_shared_identity(void)
{
	struct fake f = {.act = act_echo, .connections = THREADS * ROUNDS};
	struct kmn_channel_identity *identity;
	pthread_t threads[THREADS];

	start(&f);
	identity = identity_for(&f);
	for (size_t i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, open_and_ask, identity), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *result = NULL;

		pthread_join(threads[i], &result);
		CU_ASSERT_PTR_NOT_NULL(result);
	}
	kmn_channel_identity_free(identity);
	stop(&f);
}

/* Identity */

static const char *sealed_key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
				"MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAAAAAAAAAAAAAAAAAA\n"
				"-----END ENCRYPTED PRIVATE KEY-----\n";

static void
test_identity(void)
{
	const char *good[] = {"127.0.0.1:1"};
	const char *v6[] = {"[::1]:1", "gateway.example:7443"};
	const char *bad[] = {"127.0.0.1", ":7443", "host:", "::1:7443", "[::1]", "[::1]7443"};
	const uint8_t *pin = gateway_p256.spki;
	struct kmn_channel_identity *identity = NULL;
	struct kmn_channel_settings nowhere = {
	    .certificate_path = "/nonexistent", .key_path = "/nonexistent", .gateways = good, .gateway_count = 1};

	CU_ASSERT_EQUAL(kmn_channel_identity_load(&nowhere, NULL, &identity), KMN_E_IO);
	CU_ASSERT_EQUAL(load(&client, client.key, 0604, pin, good, 1, &identity), KMN_E_CONFIG);
	CU_ASSERT_EQUAL(load(&client, other.key, 0600, pin, good, 1, &identity), KMN_E_CONFIG);
	CU_ASSERT_EQUAL(load(&client, sealed_key, 0600, pin, good, 1, &identity), KMN_E_CONFIG);
	CU_ASSERT_EQUAL(load(&client, "", 0600, pin, good, 1, &identity), KMN_E_CONFIG);
	CU_ASSERT_EQUAL(load(&rsa, rsa.key, 0600, pin, good, 1, &identity), KMN_E_CONFIG);
	CU_ASSERT_EQUAL(load(&client, client.key, 0600, pin, good, 0, &identity), KMN_E_CONFIG);
	for (size_t i = 0; i < KMN_COUNT_OF(bad); i++)
		CU_ASSERT_EQUAL(load(&client, client.key, 0600, pin, &bad[i], 1, &identity), KMN_E_CONFIG);
	CU_ASSERT_PTR_NULL(identity);
	CU_ASSERT_EQUAL(load(&client, client.key, 0640, pin, v6, 2, &identity), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(kmn_channel_identity_spki(identity), client.spki, KMN_HASH_BYTES), 0);
	kmn_channel_identity_free(identity);
}

static const char *hostile_cnf =
    "openssl_conf = init\n[init]\nalg_section = algs\n[algs]\ndefault_properties = fips=yes\n";

/*
 * From here on an openssl.cnf would make every fetch in the default context
 * fail, and so the making of the certificates: that they are made shows that
 * nothing of ours has read it.
 */
static int
set_up(void)
{
	const long day = 86400;
	char path[128];
	OSSL_LIB_CTX *libctx;

	snprintf(dir, sizeof(dir), "/tmp/kanmon-channel-XXXXXX");
	if (mkdtemp(dir) == NULL || !test_file_write(dir, "openssl.cnf", hostile_cnf, 0600))
		return 1;
	snprintf(path, sizeof(path), "%s/openssl.cnf", dir);
	setenv("OPENSSL_CONF", path, 1);
	if ((libctx = kmn_tls_libctx_new()) == NULL)
		return 1;
	OSSL_LIB_CTX_free(libctx);
	return test_certificate_make(&gateway_p256, "P-256", -day, day) &&
		       test_certificate_make(&gateway_ed25519, "ED25519", -day, day) &&
		       test_certificate_make(&gateway_expired, "P-256", -2 * day, -day) &&
		       test_certificate_make(&gateway_future, "P-256", day, 2 * day) &&
		       test_certificate_make(&client, "P-256", -day, day) &&
		       test_certificate_make(&other, "P-256", -day, day) &&
		       test_certificate_make(&rsa, "RSA", -day, day)
		   ? 0
		   : 1;
}

static int
tear_down(void)
{
	static const char *const names[] = {"c.pem", "k.pem", "openssl.cnf"};
	char path[128];

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static CU_TestInfo tests[] = {
    {"frames there and back, exporters agree", test_there_and_back},
    {"gateways that are not the right one are refused in plain words", test_open},
    {"several addresses are tried in order", test_several_addresses},
    {"a wait that ends early loses nothing", test_waits_lose_nothing},
    {"frames that are not right end the channel", test_frames},
    {"an idle connection is alive until the gateway hangs up or speaks", test_alive},
    {"a key update is not taken for speech", test_alive_after_key_update},
    {"a forked child cannot use it and its parent does not notice", test_fork},
    {"a descriptor that became the host's is not touched", test_stolen_descriptor},
    {"no SIGPIPE", test_no_sigpipe},
    {"threads share an identity", test_shared_identity},
    {"what an identity is not made of", test_identity},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"transport/channel", set_up, tear_down, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
