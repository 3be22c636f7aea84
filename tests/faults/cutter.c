#include "config.h"

#include "tests/faults/cutter.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_HEADER_BYTES 5
#define TLS_RECORD_MAX_BYTES (TLS_HEADER_BYTES + 16384 + 256)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cut plan[CUTS_MAX]; /* guarded by lock, as are the next two lines */
static unsigned planned, done;
static unsigned connections;
static int listener = -1; /* set once */
static uint16_t target_port;

struct link {
	int client, gateway;
	unsigned number; /* of the connection under its plan */
	unsigned records[2];
};

static bool
write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
read_all(int fd, uint8_t *bytes, size_t len)
{
	return len == 0 || recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

/* How much of this record goes through; *end_out: the connection is cut after that. */
static size_t
pass(const struct link *l, enum cut_way way, size_t len, bool *end_out)
{
	size_t let = len;

	(void)pthread_mutex_lock(&lock);
	*end_out = done < planned && l->number == plan[done].connection && way == plan[done].way &&
		   l->records[way] == plan[done].record;
	if (*end_out) {
		let = plan[done].place == CUT_BEFORE ? 0 : plan[done].place == CUT_INSIDE ? len / 2 : len;
		done++;
	}
	(void)pthread_mutex_unlock(&lock);
	return let;
}

/* Carries one TLS record; false: the connection is over. */
static bool
carry(struct link *l, enum cut_way way)
{
	static _Thread_local uint8_t record[TLS_RECORD_MAX_BYTES];
	int from = way == TO_GATEWAY ? l->client : l->gateway, to = way == TO_GATEWAY ? l->gateway : l->client;
	size_t len, let;
	bool end;

	if (!read_all(from, record, TLS_HEADER_BYTES))
		return false;
	len = TLS_HEADER_BYTES + ((size_t)record[3] << 8 | record[4]);
	if (len > sizeof(record) || !read_all(from, record + TLS_HEADER_BYTES, len - TLS_HEADER_BYTES))
		return false;
	l->records[way]++;
	let = pass(l, way, len, &end);
	return write_all(to, record, let) && !end;
}

static void *
run_link(void *cookie)
{
	struct link *l = cookie;
	struct pollfd p[2] = {{.fd = l->client, .events = POLLIN}, {.fd = l->gateway, .events = POLLIN}};
	bool going = true;

	while (going && poll(p, 2, -1) > 0) {
		if (p[0].revents != 0)
			going = carry(l, TO_GATEWAY);
		if (going && p[1].revents != 0)
			going = carry(l, TO_CLIENT);
	}
	(void)close(l->client);
	(void)close(l->gateway);
	free(l);
	return NULL;
}

static struct sockaddr_in
loopback(uint16_t port)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return a;
}

static void
take_connection(int client)
{
	struct sockaddr_in to = loopback(target_port);
	struct link *l = calloc(1, sizeof(*l));
	const int on = 1;
	pthread_t thread;

	if (l == NULL)
		abort();
	l->client = client;
	l->gateway = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(l->gateway, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(l->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)pthread_mutex_lock(&lock);
	l->number = ++connections;
	(void)pthread_mutex_unlock(&lock);
	if (connect(l->gateway, (const void *)&to, sizeof(to)) == 0 &&
	    pthread_create(&thread, NULL, run_link, l) == 0) {
		(void)pthread_detach(thread);
		return;
	}
	(void)close(l->client);
	(void)close(l->gateway);
	free(l);
}

static void *
run_listener(void *cookie)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		take_connection(fd);
	return cookie;
}

int
cutter_start(uint16_t target, uint16_t *port_out)
{
	struct sockaddr_in at = loopback(0);
	socklen_t len = sizeof(at);
	pthread_t thread;

	target_port = target;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (const void *)&at, sizeof(at)) != 0 || listen(listener, 16) != 0 ||
	    getsockname(listener, (void *)&at, &len) != 0 || pthread_create(&thread, NULL, run_listener, NULL) != 0)
		return -1;
	(void)pthread_detach(thread);
	*port_out = ntohs(at.sin_port);
	return 0;
}

void
cutter_plan(const struct cut *cuts, unsigned count)
{
	(void)pthread_mutex_lock(&lock);
	planned = count;
	done = connections = 0;
	for (unsigned i = 0; i < count; i++)
		plan[i] = cuts[i];
	(void)pthread_mutex_unlock(&lock);
}

bool
cutter_did_cut(void)
{
	bool did;

	(void)pthread_mutex_lock(&lock);
	did = done == planned;
	(void)pthread_mutex_unlock(&lock);
	return did;
}

unsigned
cutter_connections(void)
{
	unsigned n;

	(void)pthread_mutex_lock(&lock);
	n = connections;
	(void)pthread_mutex_unlock(&lock);
	return n;
}
