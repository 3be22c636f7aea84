/*
 * tlog-witness over HTTP. libmicrohttpd is opened when a witness begins to
 * serve, so that the custodians' command does not carry an HTTP server.
 */
#include "config.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/terminal.h"
#include "tools/kanmon/witness.h"

#define LIBRARY "libmicrohttpd.so.12"
#define CONNECTIONS_MAX 64u
#define CONNECTION_IDLE_S 10u
#define PATH "/add-checkpoint"

/* clang-format off */
/*  function of libmicrohttpd, without MHD_ */
#define ROWS(ROW) \
	ROW(start_daemon) \
	ROW(stop_daemon) \
	ROW(get_daemon_info) ROW(create_response_from_buffer) ROW(add_response_header) ROW(queue_response) \
	    ROW(destroy_response)
/* clang-format on */

#define POINTER(name) __typeof__(&MHD_##name) name;
static struct {
	ROWS(POINTER)
} mhd;
#undef POINTER

static bool
load(void)
{
#define ROW(name) {"MHD_" #name, (void **)(void *)&mhd.name},
	const struct {
		const char *name;
		void **at;
	} functions[] = {ROWS(ROW)};
#undef ROW
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; library != NULL && i < KMN_COUNT_OF(functions); i++)
		if ((*functions[i].at = dlsym(library, functions[i].name)) == NULL)
			library = NULL;
	if (library == NULL)
		kmn_fail("a witness that serves needs libmicrohttpd: %s", dlerror());
	return library != NULL;
}

/* ---- one question --------------------------------------------------------------------------------------------------- */

struct question {
	char *bytes; /* grows with what comes */
	size_t len, room;
	bool too_big;
};

static void
take_part(struct question *q, const char *part, size_t len)
{
	if (len > KMN_WITNESS_ASK_MAX_BYTES - q->len) {
		q->too_big = true;
		return;
	}
	if (q->len + len > q->room) {
		size_t room = q->room == 0 ? 4096 : q->room;
		char *more;

		while (room < q->len + len)
			room *= 2;
		if ((more = realloc(q->bytes, room)) == NULL) {
			q->too_big = true;
			return;
		}
		q->bytes = more;
		q->room = room;
	}
	memcpy(q->bytes + q->len, part, len);
	q->len += len;
}

static enum MHD_Result
reply(struct MHD_Connection *connection, unsigned status, const char *type, const char *body)
{
	struct MHD_Response *response =
	    mhd.create_response_from_buffer(strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (response == NULL)
		return MHD_NO;
	if (mhd.add_response_header(response, "Content-Type", type) == MHD_YES)
		result = mhd.queue_response(connection, status, response);
	mhd.destroy_response(response);
	return result;
}

static enum MHD_Result
answer(struct kmn_cosigner *cosigner, struct MHD_Connection *connection, const struct question *q)
{
	struct kmn_cosigner_answer a;

	if (q->too_big)
		return reply(connection, 413, "text/plain", "longer than any question\n");
	kmn_cosigner_answer(cosigner, q->bytes != NULL ? q->bytes : "", q->len, &a);
	if (a.origin[0] != '\0') /* whoever asks about logs that nobody knows fills no log of ours */
		fprintf(stderr, "kanmon witness: %s size %" PRIu64 ": %u %s", a.origin, a.size, a.status,
		    a.status == 200 ? "cosigned\n" : a.body);
	return reply(connection, a.status, a.type, a.body);
}

static enum MHD_Result
handle(void *cookie, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
    const char *part, size_t *part_len, void **state)
{
	struct question *q = *state;

	(void)version;
	if (q == NULL) {
		*state = q = calloc(1, sizeof(*q));
		return q != NULL ? MHD_YES : MHD_NO;
	}
	if (*part_len > 0) {
		take_part(q, part, *part_len);
		*part_len = 0;
		return MHD_YES;
	}
	if (strcmp(url, PATH) != 0)
		return reply(connection, 404, "text/plain", "POST " PATH "\n");
	if (strcmp(method, "POST") != 0)
		return reply(connection, 405, "text/plain", "POST " PATH "\n");
	return answer(cookie, connection, q);
}

static void
completed(void *cookie, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode how)
{
	struct question *q = *state;

	(void)cookie;
	(void)connection;
	(void)how;
	if (q != NULL)
		free(q->bytes);
	free(q);
	*state = NULL;
}

/* ---- the service ---------------------------------------------------------------------------------------------------- */

/* ADDRESS:PORT or [ADDRESS]:PORT, numbers both. */
static bool
read_address(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};
	const char *colon = strrchr(text, ':');
	char address[INET6_ADDRSTRLEN + 2];
	bool v6 = text[0] == '[';
	unsigned long port;
	char *end;

	memset(out, 0, sizeof(*out));
	if (colon == NULL || (size_t)(colon - text) >= sizeof(address) || colon - text < 2 || (v6 && colon[-1] != ']'))
		return false;
	(void)snprintf(address, sizeof(address), "%.*s", (int)(colon - text - (v6 ? 2 : 0)), text + v6);
	port = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port > 65535)
		return false;
	four.sin_port = six.sin6_port = htons((uint16_t)port);
	if (inet_pton(v6 ? AF_INET6 : AF_INET, address, v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr) != 1)
		return false;
	memcpy(out, v6 ? (void *)&six : (void *)&four, v6 ? sizeof(six) : sizeof(four));
	return true;
}

static void
wait_for_end(void)
{
	sigset_t set;
	int number;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigwait(&set, &number);
}

/* Before the server's thread is there, which is not to be interrupted by them. */
static void
block_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

int
kmn_witness_serve_http(struct kmn_cosigner *cosigner, const char *listen)
{
	struct sockaddr_storage at;
	const union MHD_DaemonInfo *info;
	struct MHD_Daemon *daemon;
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD; /* one thread: one question at a time */

	if (!read_address(listen, &at))
		return kmn_usage(
		    "witness serve", "'%s' is not a numeric address and a port, as 127.0.0.1:8080", listen);
	if (!load())
		return KMN_EXIT_FAILED;
	block_signals();
	if (at.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	daemon = mhd.start_daemon(flags, 0, NULL, NULL, handle, cosigner, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
	    MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
	    MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768,
	    MHD_OPTION_END);
	if (daemon == NULL) {
		kmn_fail("%s cannot be listened on: %s", listen, strerror(errno));
		return KMN_EXIT_FAILED;
	}
	info = mhd.get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
	printf("%s serves %zu logs at port %u\n", kmn_cosigner_key(cosigner)->name, kmn_cosigner_logs(cosigner),
	    info != NULL ? (unsigned)info->port : 0);
	(void)fflush(stdout);
	wait_for_end();
	mhd.stop_daemon(daemon);
	return KMN_EXIT_OK;
}
