/*
 * The console's own parts. One thread, one loop: libmicrohttpd's sockets and the keeper's.
 *
 *	request ---> entry.c ---> pages.c, or api.c ---> link.c ===> keeper
 *	browser <--- headers.c <--- handle.c <---------- link.c <=== keeper        stream.c: what it tells unasked
 *
 * A request that waits for the keeper is suspended: the loop goes on. Whoever sends or takes too slowly is closed at a
 * deadline that no byte puts off.
 */
#ifndef KANMON_SERVER_CONSOLE_CONSOLE_H
#define KANMON_SERVER_CONSOLE_CONSOLE_H

#include <netinet/in.h>
#include <sys/queue.h>

#include "kanmon/ipc.h"
#include "kanmon/roles.h"
#include "server/console/api.h"
#include "server/console/libraries.h"
#include "server/console/pages.h"
#include "server/console/rates.h"

#define KMN_CONSOLE_PATH_MAX_BYTES 255u
#define KMN_CONSOLE_BODIES_MAX_BYTES (32u << 20) /* of all requests together */
#define KMN_CONSOLE_IDLE_MS 60000                /* a connection without a request */
#define KMN_CONSOLE_COOKIE "__Host-kanmon"
#define KMN_CONSOLE_NEVER INT64_MAX

/* A connection. */
struct kmn_client {
	LIST_ENTRY(kmn_client) link;
	int fd;
	int64_t deadline_ms;
	char address[INET6_ADDRSTRLEN];
	uint8_t rate_key[KMN_RATES_KEY_BYTES];
};

/* One HTTP request. */
struct kmn_question {
	struct kmn_console *console;
	struct MHD_Connection *connection;
	struct kmn_client *client;
	char path[KMN_CONSOLE_PATH_MAX_BYTES + 1]; /* as it came; "": too long, or escaped */
	bool begun, too_big;
	const struct kmn_api_row *row; /* NULL: not of the API */
	struct kmn_api_input input;
	struct kmn_api_arg args[KMN_API_ARGS_MAX];
	uint8_t session[KMN_UI_SESSION_BYTES], csrf[KMN_UI_CSRF_BYTES], spki_sha256[KMN_HASH_BYTES];
	bool has_session;
	char *body; /* owned; grows with what comes */
	size_t body_len, body_room;
	struct kmn_ask *ask; /* suspended until it is answered; NULL: it is not */
	bool answered;
	kmn_err e;
	char *text; /* of the answer, owned */
	size_t text_len;
	uint8_t new_session[KMN_UI_SESSION_BYTES];
};

/* What the keeper was asked. */
struct kmn_ask {
	uint32_t tag;
	bool used;
	struct kmn_question *question; /* NULL: nobody waits any more */
	int64_t due_ms;
};

#define KMN_CONSOLE_ENDED_KEPT 128u /* more than the keeper has sessions: an answer under way may be of one */

/* A page that listens. */
struct kmn_stream {
	LIST_ENTRY(kmn_stream) link;
	struct kmn_console *console;
	struct MHD_Connection *connection;
	struct kmn_client *client;
	uint8_t session[KMN_UI_SESSION_BYTES];
	char *queue; /* owned */
	size_t queued, room;
	bool suspended, ended;
};

struct kmn_console {
	const struct kmn_console_setup *setup;
	const struct kmn_pages *pages;
	const char *host; /* of the origin, with its port */
	struct kmn_ipc *keeper;
	struct MHD_Daemon *http;
	int64_t now_ms, beat_ms;
	LIST_HEAD(, kmn_client) clients;
	LIST_HEAD(, kmn_stream) streams;
	size_t stream_count;
	uint8_t ended[KMN_CONSOLE_ENDED_KEPT][KMN_UI_SESSION_BYTES]; /* sessions, the last ones */
	size_t next_ended;
	struct kmn_ask *asks; /* ask_count places */
	size_t ask_count;
	uint32_t last_tag;
	struct kmn_rates addresses, sessions;
	size_t body_bytes; /* held by all questions */
	bool failed;
};

/* ---- entry.c: may this request be looked at? --------------------------------------------------------------------- */

/* KMN_OK, or *reason (static) says why not and *status what it costs. Method, Host, Origin, and where it comes from. */
kmn_err kmn_entry_request(
    const struct kmn_question *q, const char *method, unsigned *status_out, const char **reason_out) KMN_MUST_CHECK;
/* How often: false when the address or the session has asked too much, or the address is shut out. */
bool kmn_entry_rate(const struct kmn_question *q) KMN_MUST_CHECK;
/* The outcome of a sign-in, for the next one. */
void kmn_entry_signed_in(const struct kmn_question *q, kmn_err e);
/* Cookie, CSRF value, certificate and query, into the question. False: the query is not one. */
bool kmn_entry_read(struct kmn_question *q) KMN_MUST_CHECK;

/* ---- headers.c ----------------------------------------------------------------------------------------------------- */

struct kmn_header {
	const char *name, *value; /* value NULL: left out */
};
#define KMN_REPLY_HEADERS_MAX 4u

struct kmn_reply {
	unsigned status;
	const char *type; /* NULL: no body */
	const char *cache;
	const void *bytes; /* copied unless `lasting` */
	size_t len;
	bool lasting; /* the bytes live as long as the process */
	struct kmn_header more[KMN_REPLY_HEADERS_MAX];
};

/* Queues an answer with all headers that every answer has. */
enum MHD_Result kmn_reply_send(struct kmn_question *q, const struct kmn_reply *reply);
/* An error of the API; any other path gets the same words as text. */
enum MHD_Result kmn_reply_error(struct kmn_question *q, unsigned status, kmn_err e, const char *reason);
/* A response under way, whose body comes later. False: no memory. */
bool kmn_reply_decorate(struct MHD_Response *response, const char *type, const char *cache) KMN_MUST_CHECK;

/* ---- handle.c ------------------------------------------------------------------------------------------------------- */

void *kmn_handle_uri(void *cookie, const char *uri, struct MHD_Connection *connection);
enum MHD_Result kmn_handle(void *cookie, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *part, size_t *part_len, void **state);
void kmn_handle_completed(
    void *cookie, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode how);

/* ---- link.c --------------------------------------------------------------------------------------------------------- */

/*
 * Asks the keeper; `fields` holds the question's, is reset. With a question its request is suspended, and resumed with
 * `answered` set. KMN_E_BUSY: too much is being asked.
 */
kmn_err kmn_link_ask(
    struct kmn_console *c, enum kmn_ui_op op, struct kmn_question *q, const struct kmn_writer *fields) KMN_MUST_CHECK;
/* Everything that came; KMN_OK, KMN_E_CLOSED, or what was wrong with it. */
kmn_err kmn_link_hear(struct kmn_console *c) KMN_MUST_CHECK;
/* Who waited too long is told so. */
void kmn_link_tick(struct kmn_console *c);
/* The request is gone: nobody waits for its answer. */
void kmn_link_forget(struct kmn_question *q);
/* The end of the process: everybody is told that there is no keeper. */
void kmn_link_end(struct kmn_console *c);

/* ---- stream.c ------------------------------------------------------------------------------------------------------- */

enum MHD_Result kmn_stream_begin(struct kmn_question *q);
void kmn_stream_tell(struct kmn_console *c, const char *text, size_t len);
/* The streams of a session; NULL: all. */
void kmn_stream_end(struct kmn_console *c, const uint8_t *session);
void kmn_stream_tick(struct kmn_console *c);

#endif
