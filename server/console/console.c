/*
 * The console: what browsers talk to. It serves the pages, and carries questions to the keeper and answers back; it
 * decides nothing and keeps nothing.
 */
#include "config.h"

#include "server/console/console.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <malloc.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "kanmon/say.h"

#define TICK_MS 250
#define HEADERS_MAX_BYTES (32u << 10) /* of a connection: its request's first lines, and room to send */
#define KEEPER_QUEUE_BYTES (16u << 20)
#define SPARE_ASKS 64u /* that nobody waits for any more */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305"

static struct kmn_pages pages; /* set once, before anything comes */

static int64_t
clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool
kmn_console_prepare(const struct kmn_console_setup *setup)
{
	return kmn_libraries_open() && kmn_pages_read(&pages, setup->pages);
}

/* ---- connections --------------------------------------------------------------------------------------------------- */

/* Asked for by TLS, whoever issued it, and not needed: then there is a sign-in with a security key. */
static void
ask_for_certificate(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    kmn_mhd.get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

	if (info == NULL || info->tls_session == NULL)
		return;
	kmn_gnutls.certificate_server_set_request((gnutls_session_t)info->tls_session, GNUTLS_CERT_REQUEST);
	kmn_gnutls.certificate_send_x509_rdn_sequence((gnutls_session_t)info->tls_session, 1);
}

static struct kmn_client *
client_new(struct kmn_console *c, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *address =
	    kmn_mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const union MHD_ConnectionInfo *fd = kmn_mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct kmn_client *client = calloc(1, sizeof(*client));
	const struct sockaddr *from;
	const void *bytes;

	if (client == NULL || address == NULL || fd == NULL) {
		free(client);
		return NULL;
	}
	from = address->client_addr;
	bytes = from->sa_family == AF_INET6
		    ? (const void *)&((const struct sockaddr_in6 *)(const void *)from)->sin6_addr
		    : (const void *)&((const struct sockaddr_in *)(const void *)from)->sin_addr;
	if (inet_ntop(from->sa_family, bytes, client->address, sizeof(client->address)) == NULL)
		(void)snprintf(client->address, sizeof(client->address), "unknown");
	kmn_rates_key(from, client->rate_key);
	client->fd = fd->connect_fd;
	client->deadline_ms = c->now_ms + c->setup->limits.patience_ms;
	LIST_INSERT_HEAD(&c->clients, client, link);
	return client;
}

static void
notice(void *cookie, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode what)
{
	struct kmn_client *client = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		ask_for_certificate(connection);
		*context = client_new(cookie, connection);
	} else if (client != NULL) {
		LIST_REMOVE(client, link);
		free(client);
		*context = NULL;
	}
}

/* The socket is shut, and its owner learns of it: libmicrohttpd knows only of pauses, and a drop at a time is none. */
static void
end_late(struct kmn_console *c)
{
	struct kmn_client *client;

	LIST_FOREACH(client, &c->clients, link)
	if (c->now_ms >= client->deadline_ms) {
		(void)shutdown(client->fd, SHUT_RDWR);
		client->deadline_ms = KMN_CONSOLE_NEVER;
	}
}

/* ---- the loop -------------------------------------------------------------------------------------------------------- */

KMN_PRINTF(2, 0)
static void
note(void *cookie, const char *format, va_list ap)
{
	const struct kmn_console *c = cookie;
	char text[256];

	(void)vsnprintf(text, sizeof(text), format, ap);
	kmn_say(c->http == NULL ? KMN_SAY_ERROR : KMN_SAY_DEBUG, "http: %s", text); /* before: why it does not start */
}

static bool
start(struct kmn_console *c)
{
	const struct kmn_console_setup *s = c->setup;
	const struct kmn_console_limits *l = &s->limits;

	c->now_ms = c->beat_ms = clock_ms();
	c->pages = &pages;
	c->host = s->origin + strlen("https://");
	c->ask_count = l->connections + SPARE_ASKS;
	LIST_INIT(&c->clients);
	LIST_INIT(&c->streams);
	kmn_rates_init(&c->addresses, l->questions, l->attempts, l->lockout_ms);
	kmn_rates_init(&c->sessions, l->questions, l->attempts, l->lockout_ms);
	if (kmn_ipc_new(s->keeper, KEEPER_QUEUE_BYTES, &c->keeper) != KMN_OK ||
	    (c->asks = calloc(c->ask_count, sizeof(*c->asks))) == NULL)
		return false;
	c->http = kmn_mhd.start_daemon(MHD_USE_TLS | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
	    NULL, NULL, kmn_handle, c, MHD_OPTION_EXTERNAL_LOGGER, note, c, MHD_OPTION_LISTEN_SOCKET, s->listener,
	    MHD_OPTION_HTTPS_MEM_CERT, s->certificate, MHD_OPTION_HTTPS_MEM_KEY, s->key, MHD_OPTION_HTTPS_PRIORITIES,
	    TLS_PRIORITIES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT, (unsigned)l->connections,
	    MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)l->connections_per_address,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
	    (unsigned)(KMN_CONSOLE_IDLE_MS / 1000), MHD_OPTION_URI_LOG_CALLBACK, kmn_handle_uri, c,
	    MHD_OPTION_NOTIFY_COMPLETED, kmn_handle_completed, c, MHD_OPTION_NOTIFY_CONNECTION, notice, c,
	    MHD_OPTION_END);
	if (c->http == NULL)
		kmn_say(KMN_SAY_ERROR, "the HTTP server does not start");
	return c->http != NULL;
}

static int
wait_ms(struct kmn_console *c)
{
	MHD_UNSIGNED_LONG_LONG left;

	return kmn_mhd.get_timeout(c->http, &left) == MHD_YES && left < TICK_MS ? (int)left : TICK_MS;
}

static kmn_err
loop(struct kmn_console *c)
{
	const union MHD_DaemonInfo *info = kmn_mhd.get_daemon_info(c->http, MHD_DAEMON_INFO_EPOLL_FD);
	int64_t tick_ms = 0;
	kmn_err e = KMN_OK;

	while (e == KMN_OK) {
		struct pollfd p[2] = {{.fd = info->epoll_fd, .events = POLLIN},
		    {.fd = kmn_ipc_fd(c->keeper),
			.events = (short)(POLLIN | (kmn_ipc_queued_bytes(c->keeper) > 0 ? POLLOUT : 0))}};

		(void)poll(p, KMN_COUNT_OF(p), wait_ms(c));
		c->now_ms = clock_ms();
		if (p[1].revents != 0)
			e = kmn_link_hear(c);
		if (kmn_mhd.run(c->http) != MHD_YES)
			KMN_BUG("the HTTP server does not run");
		if (c->now_ms - tick_ms >= TICK_MS) {
			tick_ms = c->now_ms;
			kmn_link_tick(c);
			kmn_stream_tick(c);
			end_late(c);
		}
	}
	return e;
}

static void
stop(struct kmn_console *c)
{
	if (c->http != NULL) {
		kmn_link_end(c);
		kmn_stream_end(c, NULL);
		kmn_mhd.stop_daemon(c->http);
	}
	kmn_ipc_free(c->keeper);
	free(c->asks);
	kmn_pages_clear(&pages);
}

/* A body may hold a PIN: what the parser of JSON had of it is wiped as it is given back. */
static void
wipe_and_free(void *memory)
{
	if (memory != NULL)
		sodium_memzero(memory, malloc_usable_size(memory));
	free(memory);
}

int
kmn_console_main(const struct kmn_console_setup *setup)
{
	static struct kmn_console c; /* larger than a stack should carry */
	kmn_err e = KMN_E_CONFIG;

	c.setup = setup;
	json_set_alloc_funcs(malloc, wipe_and_free);
	if (start(&c)) {
		kmn_say(KMN_SAY_INFO, "%s: %zu pages, %zu bytes", setup->origin, pages.count, pages.bytes);
		e = loop(&c);
	}
	if (e != KMN_E_CLOSED)
		kmn_say(KMN_SAY_ERROR, "%s", kmn_err_text(e));
	stop(&c);
	return e == KMN_E_CLOSED ? 0 : 1;
}
