/*
 * One client, as the files connection*.c see it: connection.c how it lives and ends, connection_shake.c how it comes,
 * connection_frames.c what goes in and out.
 *
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
#ifndef KANMON_GATE_CONNECTION_H
#define KANMON_GATE_CONNECTION_H

#include <openssl/ssl.h>

#include "kanmon/inbox.h"
#include "server/gate/gate.h"

enum kmn_connection_state { SHAKING, OPEN, FINISHING, LINGERING };

/* What `deadline_ms` ends. */
enum kmn_connection_wait { WAIT_NOTHING, WAIT_FIRST_FRAME, WAIT_FRAME, WAIT_IDLE, WAIT_LINGER };

struct kmn_connection {
	uint32_t id;
	enum kmn_connection_state state;
	enum kmn_connection_wait wait;
	int64_t deadline_ms;
	int64_t out_deadline_ms; /* 0: nothing waits to go out */
	struct kmn_tls_socket socket;
	SSL *ssl;
	uint32_t events; /* in the epoll set */
	char address[KMN_REJECT_ADDRESS_BYTES];
	char peer[KMN_REJECT_ADDRESS_BYTES + 8]; /* with its port */
	uint8_t spki[KMN_HASH_BYTES];            /* zeros until a certificate was shown */
	int verdict;                             /* X509_V_*, of the certificate shown */
	bool told;                               /* the keeper knows of it */
	bool tls_failed;                         /* no goodbye is possible */
	bool read_wants_out;
	bool had_frame;
	bool awaiting;  /* the keeper has a frame of it that is not answered */
	unsigned phase; /* KMN_PHASE_* */
	struct kmn_inbox in;
	uint8_t *out; /* what waits to go out is out[out_at .. out_end) */
	size_t out_at, out_end, out_room;
	size_t lingered_bytes;
};

/* ---- connection.c ------------------------------------------------------------------------------------------------ */

void kmn_connection_wait(struct kmn_connection *c, enum kmn_connection_wait wait, int64_t deadline_ms);
bool kmn_connection_may_read(const struct kmn_gate *gate, const struct kmn_connection *c);
/* Tells epoll what this connection waits for now. */
void kmn_connection_update(struct kmn_gate *gate, struct kmn_connection *c);
void kmn_connection_drop(struct kmn_gate *gate, struct kmn_connection *c, const char *reason);
/* Says goodbye, and waits a little for the client to hang up. */
void kmn_connection_part(struct kmn_gate *gate, struct kmn_connection *c, const char *reason);
/* It did what no client of ours does: recorded, and over. */
void kmn_connection_violate(struct kmn_gate *gate, struct kmn_connection *c, const char *reason);
/* The handshake failed. */
void kmn_connection_refuse(struct kmn_gate *gate, struct kmn_connection *c, const char *reason);

/* ---- connection_frames.c ----------------------------------------------------------------------------------------- */

/* Sends what goes; false when the connection is over (and maybe freed). */
bool kmn_connection_write(struct kmn_gate *gate, struct kmn_connection *c);
/* Behind what waits to go out already; false: there is no room for that much. */
bool kmn_connection_queue(struct kmn_connection *c, uint8_t type, const void *body, size_t n);
/* Reads frames until there is nothing or the keeper is to answer; false when the connection is over. */
bool kmn_connection_read(struct kmn_gate *gate, struct kmn_connection *c);

/* ---- connection_shake.c ------------------------------------------------------------------------------------------ */

/* Goes on with the handshake; may free it. */
void kmn_connection_shake(struct kmn_gate *gate, struct kmn_connection *c);
/* The word for a certificate that is not taken. */
const char *kmn_connection_certificate_reason(int verdict);

#endif
