/*
 * The courier as a process of its own, confined as in the gateway: the test
 * is its keeper, and the HTTP server that it asks.
 */
#include "config.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/ipc.h"
#include "kanmon/reader.h"
#include "kanmon/roles.h"
#include "server/confine.h"
#include "tests/unit/run.h"

#define COURIER_USER 61004u
#define LIMIT 1000u
#define WAIT_MS 5000
#define HANG_MS 300

static struct kmn_ipc *courier;
static pid_t courier_pid;
static int server = -1;
static unsigned port;
static pthread_t server_thread;

/* ---- the server: the path says how it behaves --------------------------------------------------------------------- */

static void
say_ok(int fd, const char *type, const char *body, size_t len)
{
	char head[256];
	int n = snprintf(
	    head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, len);

	(void)!write(fd, head, (size_t)n);
	(void)!write(fd, body, len);
}

static void
answer(int fd, const char *request)
{
	static char big[4096];
	const char *body = strstr(request, "\r\n\r\n");

	if (strncmp(request, "POST /echo ", 11) == 0 && strstr(request, "Content-Type: text/x.some\r\n") != NULL)
		say_ok(fd, "text/x.other", body + 4, strlen(body + 4));
	else if (strncmp(request, "GET /get ", 9) == 0)
		say_ok(fd, "text/plain", "got", 3);
	else if (strncmp(request, "GET /limit ", 11) == 0)
		say_ok(fd, "text/plain", big, LIMIT);
	else if (strncmp(request, "GET /big ", 9) == 0)
		say_ok(fd, "text/plain", big, LIMIT + 1);
	else if (strncmp(request, "GET /endless ", 13) == 0) {
		dprintf(fd, "HTTP/1.1 200 OK\r\n\r\n");
		while (send(fd, big, sizeof(big), MSG_NOSIGNAL) > 0)
			;
	} else if (strncmp(request, "GET /headers ", 13) == 0) {
		dprintf(fd, "HTTP/1.1 200 OK\r\n");
		while (send(fd, "X-Much: ", 8, MSG_NOSIGNAL) == 8 && send(fd, big, 0, MSG_NOSIGNAL) == 0 &&
		       dprintf(fd, "%0500d\r\n", 0) > 0)
			;
	} else if (strncmp(request, "GET /elsewhere ", 15) == 0) {
		dprintf(
		    fd, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/get\r\nContent-Length: 0\r\n\r\n", port);
	} else if (strncmp(request, "GET /hang ", 10) == 0) {
		char byte;

		while (read(fd, &byte, 1) > 0)
			;
	}
}

static void *
serve_one(void *cookie)
{
	int fd = (int)(intptr_t)cookie;
	char request[4096] = "";
	ssize_t n, len = 0;

	while ((n = read(fd, request + len, sizeof(request) - 1 - (size_t)len)) > 0) {
		len += n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n") != NULL &&
		    (strstr(request, "POST") != request || strstr(request, "END") != NULL))
			break;
	}
	answer(fd, request);
	(void)close(fd);
	return NULL;
}

static void *
serve(void *cookie)
{
	int fd;

	while ((fd = accept(server, NULL, NULL)) >= 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0)
			(void)pthread_detach(thread);
	}
	return cookie;
}

/* ---- the keeper's side -------------------------------------------------------------------------------------------- */

static void
be_courier(int fd, pid_t parent)
{
	const struct kmn_courier_setup setup = {.keeper = fd};
	const struct kmn_confine c = {.role = KMN_ROLE_COURIER,
	    .drop = geteuid() == 0,
	    .uid = COURIER_USER,
	    .gid = COURIER_USER,
	    .parent = parent,
	    .ledger = -1,
	    .files = 256};
	char why[KMN_SETTINGS_WHY_BYTES];

	kmn_say_init("courier", STDERR_FILENO, KMN_SAY_WARNING);
	_exit(kmn_courier_prepare() && kmn_confine(&c, why) == KMN_OK ? kmn_courier_main(&setup) : 99);
}

static int
set_up(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	pid_t parent = getpid();
	socklen_t len = sizeof(at);
	int ends[2];

	(void)signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0 || (server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
	    bind(server, (const void *)&at, sizeof(at)) != 0 || listen(server, 16) != 0 ||
	    getsockname(server, (void *)&at, &len) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return 1;
	port = ntohs(at.sin_port);
	(void)fflush(stdout);
	if ((courier_pid = fork()) == 0) {
		(void)close(ends[0]);
		(void)close(server);
		be_courier(ends[1], parent);
	}
	(void)close(ends[1]);
	return kmn_ipc_new(ends[0], 0, &courier) != KMN_OK || pthread_create(&server_thread, NULL, serve, NULL) != 0;
}

static int
tear_down(void)
{
	(void)shutdown(server, SHUT_RDWR);
	(void)pthread_join(server_thread, NULL);
	return close(server);
}

struct got {
	uint64_t tag;
	unsigned err, status;
	char type[KMN_COURIER_TYPE_MAX_BYTES + 1], body[LIMIT + 1];
	size_t len;
};

static void
ask(uint64_t tag, const char *path, const char *type, const char *body, uint32_t timeout_ms)
{
	struct kmn_writer w;
	char url[256];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
	kmn_writer_init(&w, 4096);
	kmn_writer_u64(&w, tag);
	kmn_writer_u32(&w, LIMIT);
	kmn_writer_u32(&w, timeout_ms);
	kmn_writer_text(&w, path[0] == '/' ? url : path);
	kmn_writer_text(&w, type);
	kmn_writer_text(&w, body);
	CU_ASSERT_EQUAL(kmn_ipc_send_writer(courier, KMN_COURIER_ASK, &w), KMN_OK);
	kmn_writer_clear(&w);
}

static bool
hear(struct got *got)
{
	struct pollfd p = {.fd = kmn_ipc_fd(courier), .events = POLLIN};
	struct kmn_ipc_message m;
	const uint8_t *body;
	struct kmn_reader r;
	kmn_err e;

	memset(got, 0, sizeof(*got));
	while ((e = kmn_ipc_poll(courier, &m)) == KMN_E_AGAIN)
		if (poll(&p, 1, WAIT_MS) != 1)
			return false;
	if (e != KMN_OK || m.kind != KMN_COURIER_ANSWER)
		return false;
	kmn_reader_init(&r, m.body, m.len_bytes);
	got->tag = kmn_reader_u64(&r);
	got->err = kmn_reader_u16(&r);
	got->status = kmn_reader_u16(&r);
	kmn_reader_text(&r, got->type, sizeof(got->type));
	got->len = kmn_reader_bytes(&r, LIMIT, &body);
	if (kmn_reader_end(&r) != KMN_OK)
		return false;
	memcpy(got->body, body, got->len);
	return true;
}

/* clang-format off */
static const struct { const char *says, *path, *type, *body; kmn_err err; unsigned status; size_t len; const char *want; } cases[] = {
	{ "a POST and its answer",          "/echo",      "text/x.some", "some END", KMN_OK,            200, 8, "some END" },
	{ "a GET and its answer",           "/get",       "",            "",         KMN_OK,            200, 3, "got" },
	{ "an answer as long as allowed",   "/limit",     "",            "",         KMN_OK,            200, LIMIT, "" },
	{ "an answer one byte longer",      "/big",       "",            "",         KMN_E_TOO_BIG,     200, 0, "" },
	{ "an answer without an end",       "/endless",   "",            "",         KMN_E_TOO_BIG,     200, 0, "" },
	{ "headers without an end",         "/headers",   "",            "",         KMN_E_TOO_BIG,     200, 0, "" },
	{ "a redirect is not followed",     "/elsewhere", "",            "",         KMN_OK,            302, 0, "" },
	{ "a server that closes",           "/close",     "",            "",         KMN_E_UNREACHABLE, 0,   0, "" },
	{ "another protocol",               "file:///etc/hosts", "",     "",         KMN_E_UNREACHABLE, 0,   0, "" },
	{ "a name that there is not",       "http://no-such-name.invalid/", "", "",  KMN_E_UNREACHABLE, 0,   0, "" },
};
/* clang-format on */

static void
test_answers(void)
{
	struct got got;

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		ask(i, cases[i].path, cases[i].type, cases[i].body, WAIT_MS);
		CU_ASSERT_TRUE_FATAL(hear(&got));
		if (got.err != (unsigned)cases[i].err || got.status != cases[i].status || got.len != cases[i].len ||
		    strncmp(got.body, cases[i].want, strlen(cases[i].want)) != 0) {
			printf("# %s: %s, status %u, %zu bytes\n", cases[i].says, kmn_err_text((kmn_err)got.err),
			    got.status, got.len);
			CU_ASSERT_TRUE(false);
		}
		CU_ASSERT_EQUAL(got.tag, i);
	}
}

static void
test_hang(void)
{
	struct got got;

	ask(1, "/hang", "", "", HANG_MS);
	ask(2, "/get", "", "", WAIT_MS);
	CU_ASSERT_TRUE_FATAL(hear(&got));
	CU_ASSERT_TRUE(got.tag == 2 && got.err == KMN_OK);
	CU_ASSERT_TRUE_FATAL(hear(&got));
	CU_ASSERT_TRUE(got.tag == 1 && got.err == KMN_E_TIMEOUT);
}

static void
test_too_many(void)
{
	unsigned refused = 0;
	struct got got;

	for (uint64_t tag = 0; tag < 70; tag++)
		ask(tag, "/hang", "", "", HANG_MS);
	for (unsigned i = 0; i < 70; i++) {
		CU_ASSERT_TRUE_FATAL(hear(&got));
		refused += got.err == KMN_E_TOO_MANY;
	}
	CU_ASSERT_EQUAL(refused, 6);
}

/* Last: it ends by itself when the keeper is gone, in the middle of what it asks. */
static void
test_end(void)
{
	int status = -1;

	ask(1, "/hang", "", "", WAIT_MS);
	kmn_ipc_free(courier);
	CU_ASSERT_EQUAL(waitpid(courier_pid, &status, 0), courier_pid);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static CU_TestInfo courier_tests[] = {
    {"what is asked is answered, and what comes beyond the limits is cut", test_answers},
    {"a server that hangs delays no other question", test_hang},
    {"too many questions at a time are refused, not kept", test_too_many},
    {"it ends with the keeper", test_end},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"server/courier", set_up, tear_down, NULL, NULL, courier_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
