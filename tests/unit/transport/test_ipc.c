#include "kanmon/ipc.h"
#include "tests/unit/run.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_BYTES (8u << 20)

struct ends {
	struct kmn_ipc *a, *b;
};

static void
open_ends(struct ends *p)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(fd[0], QUEUE_BYTES, &p->a), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(fd[1], QUEUE_BYTES, &p->b), KMN_OK);
}

static void
close_ends(struct ends *p)
{
	kmn_ipc_free(p->a);
	kmn_ipc_free(p->b);
}

static void
test_there_and_back(void)
{
	struct kmn_ipc_message m;
	struct kmn_writer w;
	struct ends p;

	open_ends(&p);
	CU_ASSERT_EQUAL(kmn_ipc_poll(p.b, &m), KMN_E_AGAIN);
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 7, "hello", 5, -1), KMN_OK);
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 8, NULL, 0, -1), KMN_OK);
	kmn_writer_init(&w, 16);
	kmn_writer_u32(&w, 1);
	CU_ASSERT_EQUAL(kmn_ipc_queue_writer(p.a, 9, &w), KMN_OK);
	CU_ASSERT_EQUAL(w.len, 0);
	kmn_writer_clear(&w);

	CU_ASSERT_EQUAL(kmn_ipc_receive(p.b, &m), KMN_OK);
	CU_ASSERT(m.kind == 7 && m.len_bytes == 5 && memcmp(m.body, "hello", 5) == 0 && m.fd == -1);
	CU_ASSERT_EQUAL(kmn_ipc_poll(p.b, &m), KMN_OK);
	CU_ASSERT(m.kind == 8 && m.len_bytes == 0 && m.body != NULL);
	CU_ASSERT_EQUAL(kmn_ipc_poll(p.b, &m), KMN_OK);
	CU_ASSERT(m.kind == 9 && m.len_bytes == 4 && m.body[3] == 1);
	CU_ASSERT_EQUAL(kmn_ipc_poll(p.b, &m), KMN_E_AGAIN);
	close_ends(&p);
}

static void
test_writer_failure(void)
{
	struct kmn_ipc_message m;
	struct kmn_writer w;
	struct ends p;

	open_ends(&p);
	kmn_writer_init(&w, 2);
	kmn_writer_u32(&w, 1);
	CU_ASSERT_EQUAL(kmn_ipc_send_writer(p.a, 9, &w), KMN_E_TOO_BIG);
	CU_ASSERT_EQUAL(kmn_ipc_poll(p.b, &m), KMN_E_AGAIN);
	kmn_writer_clear(&w);
	close_ends(&p);
}

/* Three long messages are queued while nobody reads, then read while the queue is flushed. */
static void
test_queue(void)
{
	size_t n = 2u << 20, got = 0, wrong = 0;
	uint8_t *bytes = malloc(n);
	struct kmn_ipc_message m;
	struct ends p;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	open_ends(&p);
	for (uint8_t i = 0; i < 3; i++) {
		memset(bytes, i + 1, n);
		CU_ASSERT_EQUAL(kmn_ipc_queue(p.a, i, bytes, n), KMN_OK);
	}
	CU_ASSERT(kmn_ipc_queued_bytes(p.a) > n);
	CU_ASSERT_EQUAL(kmn_ipc_queue(p.a, 3, bytes, n), KMN_OK);
	CU_ASSERT_EQUAL(kmn_ipc_queue(p.a, 4, bytes, n), KMN_E_TOO_BIG);
	for (int turn = 0; got < 4 && turn < 100000; turn++) {
		kmn_err e = kmn_ipc_poll(p.b, &m);

		CU_ASSERT_FATAL(e == KMN_OK || e == KMN_E_AGAIN);
		if (e == KMN_OK) {
			wrong += m.kind != got || m.len_bytes != n || (got < 3 && m.body[n - 1] != got + 1);
			got++;
		}
		CU_ASSERT_EQUAL_FATAL(kmn_ipc_flush(p.a), KMN_OK);
	}
	CU_ASSERT_EQUAL(got, 4);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(kmn_ipc_queued_bytes(p.a), 0);
	close_ends(&p);
	free(bytes);
}

static void *
send_long(void *cookie)
{
	size_t n = KMN_MESSAGE_MAX_BYTES - 1;
	uint8_t *bytes = calloc(1, n);
	kmn_err e = KMN_E_NO_MEMORY;

	if (bytes != NULL)
		for (int i = 0; i < 3 && (i == 0 || e == KMN_OK); i++)
			e = kmn_ipc_send(cookie, (uint8_t)i, bytes, n, -1);
	free(bytes);
	return e == KMN_OK ? cookie : NULL;
}

static void
test_blocking_sender(void)
{
	struct kmn_ipc_message m;
	pthread_t sender;
	struct ends p;
	void *result = NULL;

	open_ends(&p);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&sender, NULL, send_long, p.a), 0);
	for (uint8_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(kmn_ipc_receive(p.b, &m), KMN_OK);
		CU_ASSERT(m.kind == i && m.len_bytes == KMN_MESSAGE_MAX_BYTES - 1);
	}
	pthread_join(sender, &result);
	CU_ASSERT_PTR_EQUAL(result, p.a);
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 1, "", KMN_MESSAGE_MAX_BYTES, -1), KMN_E_TOO_BIG);
	close_ends(&p);
}

static const struct {
	const char *says;
	uint8_t bytes[8];
	size_t n;
	kmn_err want;
} raw_cases[] = {
    {"the end between two messages", {0}, 0, KMN_E_CLOSED},
    {"the end inside a length", {0, 0}, 2, KMN_E_TRUNCATED},
    {"the end inside a body", {0, 0, 0, 4, 1, 2}, 6, KMN_E_TRUNCATED},
    {"a length of nothing", {0, 0, 0, 0, 1}, 5, KMN_E_MALFORMED},
    {"a length over the limit", {0, 0x50, 0, 1, 1}, 5, KMN_E_TOO_BIG},
    {"a length of all ones", {0xff, 0xff, 0xff, 0xff, 1}, 5, KMN_E_TOO_BIG},
};

static void
test_raw(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(raw_cases); i++) {
		struct kmn_ipc_message m;
		struct kmn_ipc *ipc;
		int fd[2];

		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(fd[0], 0, &ipc), KMN_OK);
		CU_ASSERT_EQUAL(write(fd[1], raw_cases[i].bytes, raw_cases[i].n), (ssize_t)raw_cases[i].n);
		close(fd[1]);
		CU_ASSERT_EQUAL(kmn_ipc_receive(ipc, &m), raw_cases[i].want);
		kmn_ipc_free(ipc);
	}
}

static void
test_peer_gone(void)
{
	struct ends p;

	open_ends(&p);
	kmn_ipc_free(p.b);
	p.b = NULL;
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 1, "x", 1, -1), KMN_E_CLOSED);
	CU_ASSERT_EQUAL(kmn_ipc_queue(p.a, 1, "x", 1), KMN_E_CLOSED);
	close_ends(&p);
}

/* The descriptor arrives with its own message, not with the one before or after, and is the same file. */
static void
test_descriptor(void)
{
	struct kmn_ipc_message m;
	struct ends p;
	int pipe_fd[2];
	char byte = 0;

	open_ends(&p);
	kmn_ipc_take_fds(p.b);
	CU_ASSERT_EQUAL_FATAL(pipe(pipe_fd), 0);
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 1, "before", 6, -1), KMN_OK);
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 2, "with", 4, pipe_fd[0]), KMN_OK);
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 3, "after", 5, -1), KMN_OK);
	close(pipe_fd[0]);
	CU_ASSERT(kmn_ipc_receive(p.b, &m) == KMN_OK && m.kind == 1 && m.fd == -1);
	CU_ASSERT_FATAL(kmn_ipc_receive(p.b, &m) == KMN_OK && m.kind == 2 && m.fd >= 0);
	CU_ASSERT((fcntl(m.fd, F_GETFD) & FD_CLOEXEC) != 0);
	CU_ASSERT_EQUAL(write(pipe_fd[1], "k", 1), 1);
	CU_ASSERT(read(m.fd, &byte, 1) == 1 && byte == 'k');
	close(m.fd);
	close(pipe_fd[1]);
	CU_ASSERT(kmn_ipc_receive(p.b, &m) == KMN_OK && m.kind == 3 && m.fd == -1);
	close_ends(&p);
}

static void
test_descriptor_not_wanted(void)
{
	struct kmn_ipc_message m;
	struct ends p;

	open_ends(&p);
	CU_ASSERT_EQUAL(kmn_ipc_send(p.a, 2, "with", 4, STDIN_FILENO), KMN_OK);
	CU_ASSERT_EQUAL(kmn_ipc_receive(p.b, &m), KMN_E_MALFORMED);
	close_ends(&p);
}

static CU_TestInfo tests[] = {
    {"messages come out as they went in", test_there_and_back},
    {"a writer that failed sends nothing", test_writer_failure},
    {"what does not go out at once is queued, up to the bound", test_queue},
    {"a blocking sender waits for its reader, the longest message passes", test_blocking_sender},
    {"ends and lengths that are wrong are told apart", test_raw},
    {"a peer that is gone is an error, not a signal", test_peer_gone},
    {"a descriptor travels with its message", test_descriptor},
    {"a descriptor that nobody asked for is refused", test_descriptor_not_wanted},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"transport/ipc", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
