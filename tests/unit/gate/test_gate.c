#define _GNU_SOURCE 1 /* usleep, mkdtemp */

/*
 * The gate as a process of its own, between this process as its keeper and
 * this process as its clients: kmn_channel where they behave, raw TLS where
 * they do not. After each thing that was refused, a good client is served.
 */
#include "kanmon/channel.h"
#include "kanmon/codec.h"
#include "kanmon/ipc.h"
#include "kanmon/reader.h"
#include "kanmon/say.h"
#include "server/gate/gate.h"
#include "tests/unit/run.h"
#include "tests/unit/transport/certs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 5000
#define CONNECTIONS 24u
#define PER_PEER 4u

static struct {
	struct test_certificate gateway, good, second, unknown, expired, future, rsa;
	pid_t pid;
	struct kmn_ipc *keeper; /* our end */
	uint16_t port;
	char address[32];
	char dir[64];
	struct kmn_channel_identity *identity;
	uint32_t idle_ms;
} t;

/* The gate and its keeper */

static void
run_gate(int listener, int socket_fd)
{
	static const struct kmn_gate_times times = {.frame_ms = 400, .stall_ms = 600, .linger_ms = 300, .tick_ms = 50};
	struct kmn_gate_setup setup = {.listeners = &listener,
	    .listener_count = 1,
	    .keeper = socket_fd,
	    .certificate = t.gateway.certificate,
	    .certificate_bytes = strlen(t.gateway.certificate),
	    .key = t.gateway.key,
	    .key_bytes = strlen(t.gateway.key),
	    .limits = {.connections = CONNECTIONS,
		.connections_per_peer = PER_PEER,
		.handshake_ms = 500,
		.idle_ms = t.idle_ms}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	kmn_say_init("gate", STDERR_FILENO, KMN_SAY_ERROR);
	_exit(kmn_gate_run(&setup, &times));
}

static int
make_listener(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &n) != 0)
		return -1;
	t.port = ntohs(at.sin_port);
	snprintf(t.address, sizeof(t.address), "127.0.0.1:%u", t.port);
	return fd;
}

static void
send_pins(const uint8_t *const *pins, uint32_t n)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 4096);
	kmn_writer_u32(&w, n);
	for (uint32_t i = 0; i < n; i++)
		kmn_writer_raw(&w, pins[i], KMN_HASH_BYTES);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_send_writer(t.keeper, KMN_K_PINS, &w), KMN_OK);
	kmn_writer_clear(&w);
}

static void
send_usual_pins(void)
{
	const uint8_t *pins[] = {t.good.spki, t.second.spki, t.expired.spki, t.future.spki, t.rsa.spki};

	send_pins(pins, KMN_COUNT_OF(pins));
}

static void
start_gate_without_pins(void)
{
	int listener = make_listener(), fd[2];

	CU_ASSERT_FATAL(listener >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
	fflush(stdout);
	if ((t.pid = fork()) == 0) {
		close(fd[0]);
		run_gate(listener, fd[1]);
	}
	close(fd[1]);
	close(listener);
	CU_ASSERT_FATAL(t.pid > 0 && kmn_ipc_new(fd[0], 1u << 20, &t.keeper) == KMN_OK);
}

static void
start_gate(void)
{
	start_gate_without_pins();
	send_usual_pins();
}

static void
load_identity(const struct test_certificate *who)
{
	const char *gateways[] = {t.address};
	char certificate[128], key[128], why[KMN_CHANNEL_WHY_BYTES] = "";
	struct kmn_channel_settings settings = {
	    .certificate_path = certificate, .key_path = key, .gateways = gateways, .gateway_count = 1};

	snprintf(certificate, sizeof(certificate), "%s/c.pem", t.dir);
	snprintf(key, sizeof(key), "%s/k.pem", t.dir);
	CU_ASSERT(test_file_write(t.dir, "c.pem", who->certificate, 0644));
	CU_ASSERT(test_file_write(t.dir, "k.pem", who->key, 0600));
	memcpy(settings.gateway_spki_sha256, t.gateway.spki, KMN_HASH_BYTES);
	kmn_channel_identity_free(t.identity);
	CU_ASSERT_EQUAL_FATAL(kmn_channel_identity_load(&settings, why, &t.identity), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(kmn_channel_identity_spki(t.identity), who->spki, KMN_HASH_BYTES), 0);
}

static int
stop_gate(void)
{
	int status = -1;

	kmn_ipc_free(t.keeper);
	t.keeper = NULL;
	for (int i = 0; i < 100 && waitpid(t.pid, &status, WNOHANG) == 0; i++)
		usleep(50000);
	if (status == -1) {
		kill(t.pid, SIGKILL);
		waitpid(t.pid, &status, 0);
	}
	return status;
}

/* The next message from the gate within our patience; its kind, or 0. */
static uint8_t
next_message(struct kmn_ipc_message *m)
{
	for (int waited = 0; waited < PATIENCE_MS; waited += 50) {
		struct pollfd p = {.fd = kmn_ipc_fd(t.keeper), .events = POLLIN};
		kmn_err e = kmn_ipc_poll(t.keeper, m);

		if (e == KMN_OK)
			return m->kind;
		if (e != KMN_E_AGAIN)
			return 0;
		poll(&p, 1, 50);
	}
	return 0;
}

/* A client's connection as the keeper got to know it. */
struct opened {
	uint32_t id;
	uint8_t exporter[KMN_EXPORTER_BYTES];
	uint8_t spki[KMN_HASH_BYTES];
	char version[16], suite[64], peer[80];
};

static bool
expect_open(struct opened *o)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	const uint8_t *der;
	size_t n;
	X509 *x;

	if (next_message(&m) != KMN_G_OPEN)
		return false;
	kmn_reader_init(&r, m.body, m.len_bytes);
	o->id = kmn_reader_u32(&r);
	n = kmn_reader_bytes(&r, 65536, &der);
	kmn_reader_text(&r, o->version, sizeof(o->version));
	kmn_reader_text(&r, o->suite, sizeof(o->suite));
	kmn_reader_raw(&r, o->exporter, sizeof(o->exporter));
	kmn_reader_text(&r, o->peer, sizeof(o->peer));
	if (kmn_reader_end(&r) != KMN_OK || (x = d2i_X509(NULL, &der, (long)n)) == NULL)
		return false;
	n = kmn_tls_spki_sha256(x, o->spki) == KMN_OK;
	X509_free(x);
	return n == 1;
}

static bool
expect_frame(uint32_t id, uint8_t type, const void *body, size_t len)
{
	struct kmn_ipc_message m;

	return next_message(&m) == KMN_G_FRAME && m.len_bytes == len + 5 && m.body[0] == (uint8_t)(id >> 24) &&
	       m.body[1] == (uint8_t)(id >> 16) && m.body[2] == (uint8_t)(id >> 8) && m.body[3] == (uint8_t)id &&
	       m.body[4] == type && (len == 0 || memcmp(m.body + 5, body, len) == 0);
}

static bool
expect_closed(uint32_t id)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	char reason[128];

	if (next_message(&m) != KMN_G_CLOSED)
		return false;
	kmn_reader_init(&r, m.body, m.len_bytes);
	if (kmn_reader_u32(&r) != id)
		return false;
	kmn_reader_text(&r, reason, sizeof(reason));
	return kmn_reader_end(&r) == KMN_OK;
}

/* The reason of the next message, which is a refusal; says it in the test's output when it is another. */
static bool
expect_reject(const char *want)
{
	char address[64] = "", reason[128] = "";
	struct kmn_ipc_message m = {0};
	struct kmn_reader r;
	uint8_t spki[KMN_HASH_BYTES];
	uint8_t kind = next_message(&m);

	kmn_reader_init(&r, m.body, m.len_bytes);
	kmn_reader_raw(&r, spki, sizeof(spki));
	kmn_reader_text(&r, address, sizeof(address));
	kmn_reader_text(&r, reason, sizeof(reason));
	if (kind == KMN_G_REJECT && kmn_reader_u32(&r) == 1 && kmn_reader_end(&r) == KMN_OK &&
	    strcmp(address, "127.0.0.1") == 0 && strcmp(reason, want) == 0)
		return true;
	printf("# wanted refusal \"%s\", got message %u \"%s\" from %s\n", want, kind, reason, address);
	return false;
}

static void
send_frame(uint32_t id, uint8_t type, const void *body, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, id);
	kmn_writer_u8(&w, type);
	kmn_writer_raw(&w, body, len);
	CU_ASSERT_EQUAL(kmn_ipc_send_writer(t.keeper, KMN_K_FRAME, &w), KMN_OK);
	kmn_writer_clear(&w);
}

static void
send_close(uint32_t id)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, id);
	kmn_writer_text(&w, "test");
	CU_ASSERT_EQUAL(kmn_ipc_send_writer(t.keeper, KMN_K_CLOSE, &w), KMN_OK);
	kmn_writer_clear(&w);
}

/* What a client says and hears */

static const uint8_t zeros[64];

static void
put_attach(struct kmn_writer *w)
{
	kmn_writer_u16(w, KMN_FRAME_VERSION);
	kmn_writer_u8(w, 8);
	kmn_writer_u8(w, 1);
	kmn_writer_u8(w, 0);
	kmn_writer_text(w, "test");
	kmn_writer_text(w, "host");
	kmn_writer_raw(w, zeros, 32);
	kmn_writer_u64(w, 0);
	kmn_writer_u8(w, KMN_RECEIPTS_OFF);
	kmn_writer_text(w, "");
	kmn_writer_text(w, "");
	kmn_writer_text(w, "");
}

/* A CALL's body, C_Logout; `w` is made here. */
static void
put_call(struct kmn_writer *w, uint64_t number)
{
	kmn_writer_init(w, 4096);
	kmn_writer_u64(w, number);
	kmn_writer_u64(w, number);
	kmn_request_put_scalar(KMN_C_Logout, 1, w);
	CU_ASSERT_EQUAL(w->err, KMN_OK);
}

/* The keeper's side of an ATTACH that is on its way. */
static void
answer_attach(uint32_t id)
{
	struct kmn_writer body, answer;

	kmn_writer_init(&body, 4096);
	kmn_writer_init(&answer, 4096);
	put_attach(&body);
	CU_ASSERT(expect_frame(id, KMN_F_ATTACH, body.bytes, body.len));
	kmn_writer_u16(&answer, KMN_FRAME_VERSION);
	kmn_writer_raw(&answer, zeros, 16);
	kmn_writer_raw(&answer, zeros, 32);
	kmn_writer_u32(&answer, 60000);
	kmn_writer_text(&answer, "origin");
	kmn_writer_u64(&answer, 0);
	kmn_writer_text(&answer, "");
	send_frame(id, KMN_F_ATTACHED, answer.bytes, answer.len);
	kmn_writer_clear(&body);
	kmn_writer_clear(&answer);
}

static bool
open_channel(struct kmn_channel **channel, struct opened *o)
{
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	kmn_err e = kmn_channel_open(t.identity, PATIENCE_MS, -1, why, channel);

	if (e != KMN_OK)
		printf("# %s: %s\n", kmn_err_name(e), why);
	return e == KMN_OK && expect_open(o);
}

static bool
attach(struct kmn_channel *channel, uint32_t id)
{
	struct kmn_channel_frame f;
	struct kmn_writer w;
	bool ok;

	kmn_writer_init(&w, 4096);
	put_attach(&w);
	ok = kmn_channel_send(channel, KMN_F_ATTACH, w.bytes, w.len, PATIENCE_MS) == KMN_OK;
	kmn_writer_clear(&w);
	answer_attach(id);
	return ok && kmn_channel_receive(channel, PATIENCE_MS, -1, &f) == KMN_OK && f.type == KMN_F_ATTACHED;
}

/* Connect, attach, one call and its answer, detach. */
static void
check_good_client(void)
{
	static const uint8_t reply[15] = "\0\0\0\0\0\0\0\1\0\0\0\0you";
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame f;
	struct kmn_writer call;
	struct opened o = {0};

	CU_ASSERT_FATAL(open_channel(&channel, &o));
	CU_ASSERT_EQUAL(memcmp(o.exporter, kmn_channel_exporter(channel), KMN_EXPORTER_BYTES), 0);
	CU_ASSERT_EQUAL(memcmp(o.spki, kmn_channel_identity_spki(t.identity), KMN_HASH_BYTES), 0);
	CU_ASSERT_STRING_EQUAL(o.version, "TLSv1.3");
	CU_ASSERT(strncmp(o.suite, "TLS_", 4) == 0 && strncmp(o.peer, "127.0.0.1:", 10) == 0);
	CU_ASSERT(attach(channel, o.id));
	CU_ASSERT(kmn_channel_alive(channel));
	put_call(&call, 1);
	CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_CALL, call.bytes, call.len, PATIENCE_MS), KMN_OK);
	CU_ASSERT(expect_frame(o.id, KMN_F_CALL, call.bytes, call.len));
	kmn_writer_clear(&call);
	send_frame(o.id, KMN_F_REPLY, reply, sizeof(reply));
	CU_ASSERT(kmn_channel_receive(channel, PATIENCE_MS, -1, &f) == KMN_OK && f.type == KMN_F_REPLY &&
		  f.len_bytes == sizeof(reply) && memcmp(f.body, reply, sizeof(reply)) == 0);
	CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, PATIENCE_MS), KMN_OK);
	CU_ASSERT(expect_frame(o.id, KMN_F_DETACH, NULL, 0));
	send_frame(o.id, KMN_F_DETACHED, NULL, 0);
	CU_ASSERT(kmn_channel_receive(channel, PATIENCE_MS, -1, &f) == KMN_OK && f.type == KMN_F_DETACHED);
	kmn_channel_close(channel);
	CU_ASSERT(expect_closed(o.id));
}

/* A raw client: TLS through memory, so that what goes over TCP can be seen, kept and sent again */

struct raw {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
	uint8_t sent[8192]; /* the last flight */
	size_t sent_bytes;
	int alert; /* with which the gate answered, or 0 */
};

struct manner {
	const struct test_certificate *certificate; /* NULL: none */
	int max_version;
	bool no_alpn;
	const char *alpn;
};

static int
connect_tcp(void)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(t.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void
use_certificate(SSL_CTX *ctx, const struct test_certificate *who)
{
	BIO *c = BIO_new_mem_buf(who->certificate, -1), *k = BIO_new_mem_buf(who->key, -1);
	X509 *x = PEM_read_bio_X509(c, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);

	CU_ASSERT_EQUAL_FATAL(SSL_CTX_use_certificate(ctx, x), 1);
	CU_ASSERT_EQUAL_FATAL(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	BIO_free(c);
	BIO_free(k);
}

static void
raw_open(struct raw *raw, const struct manner *m)
{
	const char *alpn = m->alpn != NULL ? m->alpn : "\x08kanmon/1";

	*raw = (struct raw){.fd = connect_tcp(), .ctx = SSL_CTX_new(TLS_client_method())};
	CU_ASSERT_PTR_NOT_NULL_FATAL(raw->ctx);
	SSL_CTX_set_verify(raw->ctx, SSL_VERIFY_NONE, NULL);
	if (m->max_version != 0)
		SSL_CTX_set_max_proto_version(raw->ctx, m->max_version);
	if (!m->no_alpn)
		SSL_CTX_set_alpn_protos(raw->ctx, (const unsigned char *)alpn, (unsigned)strlen(alpn));
	if (m->certificate != NULL)
		use_certificate(raw->ctx, m->certificate);
	raw->ssl = SSL_new(raw->ctx);
	raw->in = BIO_new(BIO_s_mem());
	raw->out = BIO_new(BIO_s_mem());
	SSL_set_bio(raw->ssl, raw->in, raw->out);
	SSL_set_connect_state(raw->ssl);
}

static void
raw_close(struct raw *raw)
{
	SSL_free(raw->ssl);
	SSL_CTX_free(raw->ctx);
	close(raw->fd);
	ERR_clear_error();
}

/* Sends what TLS has to say. */
static void
raw_flush(struct raw *raw)
{
	int n = BIO_read(raw->out, raw->sent, sizeof(raw->sent));

	raw->sent_bytes = n > 0 ? (size_t)n : 0;
	if (n > 0)
		(void)send(raw->fd, raw->sent, raw->sent_bytes, MSG_NOSIGNAL);
}

/* Takes what the gate says; false at the end or when it says nothing. */
static bool
raw_fill(struct raw *raw, int timeout_ms)
{
	struct pollfd p = {.fd = raw->fd, .events = POLLIN};
	uint8_t bytes[8192];
	ssize_t n = poll(&p, 1, timeout_ms) == 1 ? recv(raw->fd, bytes, sizeof(bytes), 0) : -1;

	if (n > 0)
		BIO_write(raw->in, bytes, (int)n);
	return n > 0;
}

static void
raw_note_alert(struct raw *raw)
{
	int reason = ERR_GET_REASON(ERR_peek_error());

	if (reason > SSL_AD_REASON_OFFSET)
		raw->alert = reason - SSL_AD_REASON_OFFSET;
}

static bool
raw_handshake(struct raw *raw)
{
	for (int i = 0; i < 20; i++) {
		int ret;

		ERR_clear_error();
		ret = SSL_do_handshake(raw->ssl);
		raw_flush(raw);
		if (ret == 1)
			return true;
		raw_note_alert(raw);
		if (SSL_get_error(raw->ssl, ret) != SSL_ERROR_WANT_READ || !raw_fill(raw, PATIENCE_MS))
			return false;
	}
	return false;
}

/* Reads until the gate's alert or the end. */
static void
raw_read_alert(struct raw *raw)
{
	uint8_t byte;
	size_t n;

	while (raw->alert == 0) {
		ERR_clear_error();
		if (SSL_read_ex(raw->ssl, &byte, 1, &n) == 1)
			continue;
		raw_note_alert(raw);
		if (raw->alert == 0 && !raw_fill(raw, PATIENCE_MS))
			return;
	}
}

static void
raw_send(struct raw *raw, const void *bytes, size_t n)
{
	size_t done = 0;

	CU_ASSERT(SSL_write_ex(raw->ssl, bytes, n, &done) == 1 && done == n);
	raw_flush(raw);
}

static void
raw_send_frame(struct raw *raw, uint8_t type, const void *body, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u32(&w, (uint32_t)len + 1);
	kmn_writer_u8(&w, type);
	kmn_writer_raw(&w, body, len);
	raw_send(raw, w.bytes, w.len);
	kmn_writer_clear(&w);
}

/* Whether the gate hangs up within our patience. */
static bool
raw_is_closed(struct raw *raw)
{
	for (int i = 0; i < 100; i++)
		if (!raw_fill(raw, PATIENCE_MS))
			return true;
	return false;
}

/* Reads one frame and says whether it is of that type. */
static bool
raw_read_frame(struct raw *raw, uint8_t type)
{
	uint8_t frame[4096];
	size_t have = 0, n = 0;

	while (have < 5 || have < 4 + ((size_t)frame[2] << 8 | frame[3])) {
		ERR_clear_error();
		if (SSL_read_ex(raw->ssl, frame + have, sizeof(frame) - have, &n) == 1)
			have += n;
		else if (!raw_fill(raw, PATIENCE_MS))
			return false;
	}
	return frame[4] == type;
}

static const struct manner good_manner = {.certificate = &t.good};

static void
raw_open_attached(struct raw *raw, struct opened *o)
{
	struct kmn_writer w;

	raw_open(raw, &good_manner);
	CU_ASSERT_FATAL(raw_handshake(raw) && expect_open(o));
	kmn_writer_init(&w, 4096);
	put_attach(&w);
	raw_send_frame(raw, KMN_F_ATTACH, w.bytes, w.len);
	kmn_writer_clear(&w);
	answer_attach(o->id);
	CU_ASSERT(raw_read_frame(raw, KMN_F_ATTACHED));
}

/* A CALL that reaches the keeper. */
static void
raw_call(struct raw *raw, uint32_t id, uint64_t number)
{
	struct kmn_writer w;

	put_call(&w, number);
	raw_send_frame(raw, KMN_F_CALL, w.bytes, w.len);
	CU_ASSERT(expect_frame(id, KMN_F_CALL, w.bytes, w.len));
	kmn_writer_clear(&w);
}

/* The cases */

static void
test_good_client(void)
{
	check_good_client();
	check_good_client();
}

static void
test_ed25519_client(void)
{
	load_identity(&t.second);
	check_good_client();
	load_identity(&t.good);
}

static const struct {
	const char *says;
	struct manner manner;
	const char *want;
	int alert;
} handshake_cases[] = {
    {"an unknown client", {.certificate = &t.unknown}, "unknown certificate", SSL_AD_UNKNOWN_CA},
    {"an expired certificate", {.certificate = &t.expired}, "expired certificate", SSL_AD_CERTIFICATE_EXPIRED},
    {"a certificate of tomorrow", {.certificate = &t.future}, "certificate not yet valid", SSL_AD_BAD_CERTIFICATE},
    {"no certificate", {0}, "no certificate", SSL_AD_CERTIFICATE_REQUIRED},
    {"an RSA key", {.certificate = &t.rsa}, "no certificate", SSL_AD_CERTIFICATE_REQUIRED},
    {"TLS 1.2", {.certificate = &t.good, .max_version = TLS1_2_VERSION}, "TLS version is not 1.3",
	SSL_AD_PROTOCOL_VERSION},
    {"no ALPN", {.certificate = &t.good, .no_alpn = true}, "does not offer kanmon/1", SSL_AD_NO_APPLICATION_PROTOCOL},
    {"another ALPN", {.certificate = &t.good, .alpn = "\x02h2"}, "does not offer kanmon/1",
	SSL_AD_NO_APPLICATION_PROTOCOL},
};

static void
test_handshakes(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(handshake_cases); i++) {
		struct raw raw;

		raw_open(&raw, &handshake_cases[i].manner);
		if (raw_handshake(&raw))
			raw_read_alert(&raw);
		if (!expect_reject(handshake_cases[i].want) || raw.alert != handshake_cases[i].alert) {
			printf("# %s: alert %d\n", handshake_cases[i].says, raw.alert);
			CU_FAIL("refused with the right word and alert");
		}
		raw_close(&raw);
		check_good_client();
	}
}

static const struct {
	const char *says, *bytes, *want;
} garbage_cases[] = {
    {"HTTP", "GET / HTTP/1.1\r\nHost: gateway\r\n\r\n", "not TLS"},
    {"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "not TLS"},
    {"a broken ClientHello", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "TLS: length too short"},
    {"a frame without TLS", "\x00\x00\x00\x01\x04", "not TLS"},
};

static void
test_garbage(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(garbage_cases); i++) {
		size_t n = strlen(garbage_cases[i].bytes);
		int fd = connect_tcp();

		n = garbage_cases[i].bytes[0] == '\x16' ? 10 : n == 0 ? 5 : n;
		CU_ASSERT_EQUAL(send(fd, garbage_cases[i].bytes, n, MSG_NOSIGNAL), (ssize_t)n);
		shutdown(fd, SHUT_WR);
		if (!expect_reject(garbage_cases[i].want))
			CU_FAIL("refused with the right word");
		close(fd);
		check_good_client();
	}
}

static const struct {
	const char *says;
	bool attached;
	uint8_t bytes[48];
	size_t n;
	bool then_end; /* the client hangs up after that */
	const char *want;
} frame_cases[] = {
    {"a CALL before ATTACH", false, {0, 0, 0, 17, KMN_F_CALL}, 22, false,
	"KMN_F_CALL: message is not in the form of its kind"},
    {"a frame of the gateway's", false, {0, 0, 0, 9, KMN_F_READY}, 13, false,
	"KMN_F_READY: message is not in the form of its kind"},
    {"a type that is none", false, {0, 0, 0, 1, 99}, 5, false, "unknown: message is not in the form of its kind"},
    {"an ATTACH that claims too much", false, {0, 0, 0x20, 1, KMN_F_ATTACH}, 5, false,
	"KMN_F_ATTACH: length is over its limit"},
    {"a claim over every limit", true, {0x7f, 0xff, 0xff, 0xff, KMN_F_CALL}, 5, false,
	"KMN_F_CALL: length is over its limit"},
    {"a length of nothing", true, {0, 0, 0, 0, KMN_F_CALL}, 5, false,
	"KMN_F_CALL: message is not in the form of its kind"},
    {"a CALL of no function", true, {0, 0, 0, 19 + KMN_SALT_BYTES, KMN_F_CALL, [21] = 0xff, [22] = 0xff},
	23 + KMN_SALT_BYTES, false, "KMN_F_CALL: message is not in the form of its kind"},
    {"a CALL without its arguments", true, {0, 0, 0, 19 + KMN_SALT_BYTES, KMN_F_CALL, [22] = KMN_C_Logout},
	23 + KMN_SALT_BYTES, false, "KMN_F_CALL: message ends early"},
    {"a JOIN that is short", false, {0, 0, 0, 3, KMN_F_JOIN, 0, 1}, 7, false, "KMN_F_JOIN: message ends early"},
    {"a WATCH with a body", true, {0, 0, 0, 2, KMN_F_WATCH, 1}, 6, false, "KMN_F_WATCH: message has bytes left over"},
    {"an ATTACH twice", true, {0, 0, 0, 51, KMN_F_ATTACH}, 5, false,
	"KMN_F_ATTACH: message is not in the form of its kind"},
    {"an end inside a frame", true, {0, 0, 0, 50, KMN_F_CALL, 0, 0}, 7, true, "KMN_F_CALL: message ends early"},
};

static void
test_frames(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(frame_cases); i++) {
		struct opened o = {0};
		struct raw raw;

		if (frame_cases[i].attached) {
			raw_open_attached(&raw, &o);
		} else {
			raw_open(&raw, &good_manner);
			CU_ASSERT(raw_handshake(&raw) && expect_open(&o));
		}
		raw_send(&raw, frame_cases[i].bytes, frame_cases[i].n);
		if (frame_cases[i].then_end)
			shutdown(raw.fd, SHUT_WR);
		if (!expect_reject(frame_cases[i].want)) {
			printf("# %s\n", frame_cases[i].says);
			CU_FAIL("refused with the right word");
		}
		CU_ASSERT(expect_closed(o.id));
		CU_ASSERT(raw_is_closed(&raw));
		raw_close(&raw);
		check_good_client();
	}
}

/* A CALL's bytes, kept off the wire and sent once more: TLS does not take them twice. */
static void
test_record_replay(void)
{
	struct opened o = {0};
	struct raw raw;

	raw_open_attached(&raw, &o);
	raw_call(&raw, o.id, 1);
	send_frame(o.id, KMN_F_REPLY, zeros, 12);
	CU_ASSERT_FATAL(raw.sent_bytes > 0);
	CU_ASSERT(send(raw.fd, raw.sent, raw.sent_bytes, MSG_NOSIGNAL) == (ssize_t)raw.sent_bytes);
	CU_ASSERT(expect_reject("TLS: decryption failed or bad record mac"));
	CU_ASSERT(expect_closed(o.id));
	raw_close(&raw);
	check_good_client();
}

/* The same bytes on another connection, before and after its handshake. */
static void
test_record_replay_elsewhere(void)
{
	struct raw raw, other;
	struct opened o = {0}, p = {0};

	raw_open_attached(&raw, &o);
	raw_call(&raw, o.id, 1);
	raw_open_attached(&other, &p);
	CU_ASSERT(send(other.fd, raw.sent, raw.sent_bytes, MSG_NOSIGNAL) == (ssize_t)raw.sent_bytes);
	CU_ASSERT(expect_reject("TLS: decryption failed or bad record mac"));
	CU_ASSERT(expect_closed(p.id));
	raw_close(&other);
	raw_close(&raw);
	CU_ASSERT(expect_closed(o.id));
	check_good_client();
}

/* One bit changed on the way. */
static void
test_changed_record(void)
{
	uint8_t call[18] = {0};
	struct opened o = {0};
	struct raw raw;
	size_t n = 0;
	int got;

	raw_open_attached(&raw, &o);
	CU_ASSERT(SSL_write_ex(raw.ssl, "\0\0\0\x13\x03", 5, &n) == 1 && SSL_write_ex(raw.ssl, call, 18, &n) == 1);
	got = BIO_read(raw.out, raw.sent, sizeof(raw.sent));
	CU_ASSERT_FATAL(got > 0);
	raw.sent[got - 20] ^= 1;
	CU_ASSERT(send(raw.fd, raw.sent, (size_t)got, MSG_NOSIGNAL) == got);
	CU_ASSERT(expect_reject("TLS: decryption failed or bad record mac"));
	CU_ASSERT(expect_closed(o.id));
	raw_close(&raw);
	check_good_client();
}

static void
test_slow_clients(void)
{
	struct opened o = {0};
	struct raw raw;
	int fd = connect_tcp();

	CU_ASSERT_EQUAL(send(fd, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3);
	CU_ASSERT(expect_reject("handshake takes too long"));
	close(fd);

	raw_open(&raw, &good_manner);
	CU_ASSERT(raw_handshake(&raw) && expect_open(&o));
	CU_ASSERT(expect_reject("no first frame in time"));
	CU_ASSERT(expect_closed(o.id));
	raw_close(&raw);

	raw_open_attached(&raw, &o);
	raw_send(&raw, "\0\0\0\x20\x03", 5);
	CU_ASSERT(expect_reject("frame takes too long"));
	CU_ASSERT(expect_closed(o.id));
	raw_close(&raw);
	check_good_client();
}

/* Answers that a client does not read are kept up to a bound and a time. */
static void
test_deaf_client(void)
{
	size_t n = KMN_FRAME_MAX_BYTES - 1;
	uint8_t *reply = calloc(1, n);
	struct opened o = {0};
	struct raw raw;
	int small = 4096;

	CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
	raw_open_attached(&raw, &o);
	CU_ASSERT_EQUAL(setsockopt(raw.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	raw_call(&raw, o.id, 1);
	for (int i = 0; i < 4; i++)
		send_frame(o.id, KMN_F_REPLY, reply, n);
	CU_ASSERT(expect_reject("does not take its answers"));
	CU_ASSERT(expect_closed(o.id));
	raw_close(&raw);
	free(reply);
	check_good_client();
}

/* A second CALL waits in the socket until the first is answered. */
static void
test_one_at_a_time(void)
{
	struct kmn_writer first, second;
	struct opened o = {0};
	struct raw raw;
	struct pollfd p = {.fd = kmn_ipc_fd(t.keeper), .events = POLLIN};

	raw_open_attached(&raw, &o);
	put_call(&first, 1);
	put_call(&second, 2);
	raw_send_frame(&raw, KMN_F_CALL, first.bytes, first.len);
	raw_send_frame(&raw, KMN_F_CALL, second.bytes, second.len);
	CU_ASSERT(expect_frame(o.id, KMN_F_CALL, first.bytes, first.len));
	CU_ASSERT_EQUAL(poll(&p, 1, 100), 0);
	send_frame(o.id, KMN_F_HELD, zeros, 16);
	CU_ASSERT(expect_frame(o.id, KMN_F_CALL, second.bytes, second.len));
	kmn_writer_clear(&first);
	kmn_writer_clear(&second);
	raw_close(&raw);
	CU_ASSERT(expect_closed(o.id));
}

static void
test_watch(void)
{
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame f;
	struct opened o = {0};

	CU_ASSERT_FATAL(open_channel(&channel, &o));
	CU_ASSERT(attach(channel, o.id));
	CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_WATCH, NULL, 0, PATIENCE_MS), KMN_OK);
	CU_ASSERT(expect_frame(o.id, KMN_F_WATCH, NULL, 0));
	send_frame(o.id, KMN_F_READY, "\0\0\0\0\0\0\0\5", 8);
	send_frame(o.id, KMN_F_READY, "\0\0\0\0\0\0\0\6", 8);
	for (int i = 0; i < 2; i++)
		CU_ASSERT(kmn_channel_receive(channel, PATIENCE_MS, -1, &f) == KMN_OK && f.type == KMN_F_READY &&
			  f.body[7] == 5 + i);
	kmn_channel_close(channel);
	CU_ASSERT(expect_closed(o.id));
}

/* Long frames both ways, and the connection closed by the keeper after its last word. */
static void
test_long_frames_and_close(void)
{
	size_t n = KMN_FRAME_MAX_BYTES - 1;
	uint8_t *bytes = malloc(n);
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame f;
	struct kmn_ipc_message m;
	struct opened o = {0};

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = i < 12 ? 0 : (uint8_t)(i * 31 >> 3); /* no receipt */
	CU_ASSERT_FATAL(open_channel(&channel, &o));
	CU_ASSERT_EQUAL(kmn_channel_send(channel, KMN_F_ADMIN, bytes, n / 2, PATIENCE_MS), KMN_OK);
	CU_ASSERT(next_message(&m) == KMN_G_FRAME && m.len_bytes == n / 2 + 5 && memcmp(m.body + 5, bytes, n / 2) == 0);
	send_frame(o.id, KMN_F_REPLY, bytes, n);
	send_close(o.id);
	CU_ASSERT(kmn_channel_receive(channel, PATIENCE_MS, -1, &f) == KMN_OK && f.len_bytes == n &&
		  memcmp(f.body, bytes, n) == 0);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, PATIENCE_MS, -1, &f), KMN_E_CLOSED);
	CU_ASSERT(!kmn_channel_alive(channel));
	kmn_channel_close(channel);
	CU_ASSERT(expect_closed(o.id));
	free(bytes);
}

/* The client that is refused is told so in words at its first receive. */
static void
test_client_is_told(void)
{
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame f;
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	kmn_err e;

	load_identity(&t.unknown);
	e = kmn_channel_open(t.identity, PATIENCE_MS, -1, why, &channel);
	if (e == KMN_OK) {
		e = kmn_channel_send(channel, KMN_F_DETACH, NULL, 0, PATIENCE_MS);
		CU_ASSERT(e == KMN_OK || e == KMN_E_CLOSED);
		if (e == KMN_OK)
			e = kmn_channel_receive(channel, PATIENCE_MS, -1, &f);
		CU_ASSERT_PTR_NOT_NULL(strstr(kmn_channel_why(channel), "unknown CA"));
	}
	CU_ASSERT_EQUAL(e, KMN_E_PEER);
	CU_ASSERT(expect_reject("unknown certificate"));
	kmn_channel_close(channel);
	load_identity(&t.good);
	check_good_client();
}

static void
test_pins_change(void)
{
	const uint8_t *only_second[] = {t.second.spki};
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame f;
	struct opened o = {0};

	CU_ASSERT_FATAL(open_channel(&channel, &o));
	CU_ASSERT(attach(channel, o.id));
	send_pins(only_second, 1);
	CU_ASSERT(expect_reject("certificate is not known any more"));
	CU_ASSERT(expect_closed(o.id));
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, PATIENCE_MS, -1, &f), KMN_E_CLOSED);
	kmn_channel_close(channel);
	send_usual_pins();
	usleep(50000); /* the next client must not meet the old set */
	check_good_client();
}

static void
test_limits(void)
{
	struct kmn_channel *channel[PER_PEER] = {NULL};
	struct opened o[PER_PEER] = {{0}};
	int fd[CONNECTIONS + 8];
	struct raw raw;

	for (size_t i = 0; i < PER_PEER; i++)
		CU_ASSERT(open_channel(&channel[i], &o[i]) && attach(channel[i], o[i].id));
	raw_open(&raw, &good_manner);
	(void)raw_handshake(&raw);
	CU_ASSERT(expect_reject("too many connections of this client"));
	raw_close(&raw);
	for (size_t i = 0; i < PER_PEER; i++) {
		kmn_channel_close(channel[i]);
		CU_ASSERT(expect_closed(o[i].id));
	}

	/* handshakes that never end do not keep a good client out */
	for (size_t i = 0; i < KMN_COUNT_OF(fd); i++)
		fd[i] = connect_tcp();
	CU_ASSERT_EQUAL(kmn_channel_open(t.identity, PATIENCE_MS, -1, NULL, &channel[0]), KMN_OK);
	for (size_t i = 0; i < KMN_COUNT_OF(fd); i++)
		close(fd[i]);
	kmn_channel_close(channel[0]);
}

static void
test_no_pins_no_clients(void)
{
	struct kmn_channel *channel = NULL;
	struct opened o = {0};

	start_gate_without_pins();
	load_identity(&t.good);
	CU_ASSERT_EQUAL(kmn_channel_open(t.identity, 300, -1, NULL, &channel), KMN_E_TIMEOUT);
	send_usual_pins();
	CU_ASSERT(expect_reject("connection ended in the handshake")); /* the one that gave up */
	CU_ASSERT(open_channel(&channel, &o));
	kmn_channel_close(channel);
	CU_ASSERT_EQUAL(stop_gate(), 0);
}

static void
test_keeper_gone(void)
{
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame f;
	struct opened o = {0};

	start_gate();
	load_identity(&t.good);
	CU_ASSERT_FATAL(open_channel(&channel, &o));
	CU_ASSERT_EQUAL(stop_gate(), 0);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, PATIENCE_MS, -1, &f), KMN_E_CLOSED);
	kmn_channel_close(channel);
}

static void
test_idle(void)
{
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame f;
	struct opened o = {0};

	t.idle_ms = 200;
	start_gate();
	t.idle_ms = 0;
	load_identity(&t.good);
	CU_ASSERT_FATAL(open_channel(&channel, &o));
	CU_ASSERT(attach(channel, o.id));
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, 50, -1, &f), KMN_E_TIMEOUT);
	CU_ASSERT_EQUAL(kmn_channel_receive(channel, PATIENCE_MS, -1, &f), KMN_E_CLOSED);
	CU_ASSERT(expect_closed(o.id));
	kmn_channel_close(channel);
	CU_ASSERT_EQUAL(stop_gate(), 0);
}

struct long_sender {
	pthread_t thread;
	struct kmn_channel *channel;
	struct opened o;
	uint8_t *bytes;
	kmn_err e;
};

static void *
send_long(void *cookie)
{
	struct long_sender *s = cookie;

	s->e = kmn_channel_send(s->channel, KMN_F_ADMIN, s->bytes, KMN_FRAME_MAX_BYTES - 1, PATIENCE_MS);
	return NULL;
}

/* More than the gate keeps for a keeper that does not read: clients wait, and nothing is lost. */
static void
test_keeper_behind(void)
{
	struct long_sender s[2 * PER_PEER] = {{0}};
	struct kmn_channel_identity *first = NULL; /* lives as long as the channels that were opened with it */
	uint8_t *bytes = calloc(1, KMN_FRAME_MAX_BYTES);
	struct kmn_ipc_message m;
	size_t whole = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	for (size_t i = 0; i < KMN_COUNT_OF(s); i++) {
		if (i == PER_PEER) {
			first = t.identity;
			t.identity = NULL;
			load_identity(&t.second);
		}
		CU_ASSERT_FATAL(open_channel(&s[i].channel, &s[i].o));
		s[i].bytes = bytes;
	}
	for (size_t i = 0; i < KMN_COUNT_OF(s); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&s[i].thread, NULL, send_long, &s[i]), 0);
	usleep(500000);
	for (size_t i = 0; i < KMN_COUNT_OF(s); i++)
		whole += next_message(&m) == KMN_G_FRAME && m.len_bytes == KMN_FRAME_MAX_BYTES + 4;
	CU_ASSERT_EQUAL(whole, KMN_COUNT_OF(s));
	for (size_t i = 0; i < KMN_COUNT_OF(s); i++) {
		pthread_join(s[i].thread, NULL);
		CU_ASSERT_EQUAL(s[i].e, KMN_OK);
		kmn_channel_close(s[i].channel);
		CU_ASSERT(expect_closed(s[i].o.id));
	}
	free(bytes);
	kmn_channel_identity_free(first);
	load_identity(&t.good);
	check_good_client();
}

/* Suites */

static int
set_up(void)
{
	const long day = 86400;

	snprintf(t.dir, sizeof(t.dir), "/tmp/kanmon-gate-XXXXXX");
	return mkdtemp(t.dir) != NULL && test_certificate_make(&t.gateway, "P-256", -day, day) &&
		       test_certificate_make(&t.good, "P-256", -day, day) &&
		       test_certificate_make(&t.second, "ED25519", -day, day) &&
		       test_certificate_make(&t.unknown, "P-256", -day, day) &&
		       test_certificate_make(&t.expired, "P-256", -2 * day, -day) &&
		       test_certificate_make(&t.future, "P-256", day, 2 * day) &&
		       test_certificate_make(&t.rsa, "RSA", -day, day)
		   ? 0
		   : 1;
}

static int
tear_down(void)
{
	char path[128];

	kmn_channel_identity_free(t.identity);
	t.identity = NULL;
	snprintf(path, sizeof(path), "%s/c.pem", t.dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/k.pem", t.dir);
	unlink(path);
	return rmdir(t.dir);
}

/* Each case has a gate of its own: what one leaves in the book of refusals is not in the next one's way. */
static void
before_case(void)
{
	start_gate();
	load_identity(&t.good);
}

static void
after_case(void)
{
	CU_ASSERT_EQUAL(stop_gate(), 0);
}

static CU_TestInfo tests[] = {
    {"a pinned client is served", test_good_client},
    {"an Ed25519 certificate is as good", test_ed25519_client},
    {"handshakes that are not right are refused by alert, told, and survived", test_handshakes},
    {"what is not TLS is refused, told, and survived", test_garbage},
    {"frames that are not right end their connection, are told, and survived", test_frames},
    {"captured bytes sent again on the same connection are refused", test_record_replay},
    {"captured bytes sent on another connection are refused", test_record_replay_elsewhere},
    {"a bit changed on the way is noticed", test_changed_record},
    {"clients that take their time are cut off", test_slow_clients},
    {"a client that does not read is cut off", test_deaf_client},
    {"a connection has one frame at the keeper", test_one_at_a_time},
    {"a watching connection carries READY", test_watch},
    {"long frames pass, and a close comes after the last word", test_long_frames_and_close},
    {"a refused client learns why", test_client_is_told},
    {"a key that leaves the pins loses its connections", test_pins_change},
    {"a keeper that is behind holds clients up, and gets all in the end", test_keeper_behind},
    {"connections are limited, unfinished ones give way", test_limits},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo life_tests[] = {
    {"an idle connection is closed where the settings say so", test_idle},
    {"before the first pins nobody is let in", test_no_pins_no_clients},
    {"when the keeper is gone the gate ends", test_keeper_gone},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"gate/clients", set_up, tear_down, before_case, after_case, tests},
	    {"gate/life", set_up, tear_down, NULL, NULL, life_tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
