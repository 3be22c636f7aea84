/* One client: what it waits for, what happens to it, how it ends. */
#include "config.h"

#include "server/gate/connection.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MAX_BYTES (4u << 20)

static uint32_t
slot_of(const struct kmn_gate *gate, uint32_t id)
{
	return id % gate->setup->limits.connections;
}

struct kmn_connection *
kmn_connection_find(struct kmn_gate *gate, uint32_t id)
{
	struct kmn_connection *c = gate->slots[slot_of(gate, id)].connection;

	return c != NULL && c->id == id ? c : NULL;
}

const uint8_t *
kmn_connection_spki(const struct kmn_connection *c)
{
	return c->state == OPEN ? c->spki : NULL;
}

void
kmn_connection_wait(struct kmn_connection *c, enum kmn_connection_wait wait, int64_t deadline_ms)
{
	c->wait = wait;
	c->deadline_ms = deadline_ms;
}

bool
kmn_connection_may_read(const struct kmn_gate *gate, const struct kmn_connection *c)
{
	return c->state == OPEN && !c->awaiting && !gate->stalled;
}

void
kmn_connection_update(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint32_t events = EPOLLIN;

	if (c->state == SHAKING)
		events = SSL_want_write(c->ssl) ? EPOLLOUT : EPOLLIN;
	else if (c->state != LINGERING)
		events = EPOLLRDHUP | (kmn_connection_may_read(gate, c) ? EPOLLIN : 0u) |
			 (c->out_end > c->out_at || c->read_wants_out ? EPOLLOUT : 0u);
	kmn_gate_watch(gate, c->socket.fd, &c->events, events, (uint64_t)KMN_TAG_CONNECTION << 32 | c->id);
}

/* ---- how it ends ------------------------------------------------------------------------------------------------- */

static void
tell_closed(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	struct kmn_writer w;

	if (!c->told)
		return;
	c->told = false;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, c->id);
	kmn_writer_text(&w, reason);
	kmn_gate_tell(gate, KMN_G_CLOSED, &w);
	kmn_writer_clear(&w);
}

/* Gives back all but the descriptor. */
static void
release(struct kmn_connection *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	ERR_clear_error();
	kmn_inbox_clear(&c->in);
	if (c->out != NULL)
		sodium_memzero(c->out, c->out_room);
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_end = c->out_room = 0;
}

void
kmn_connection_free(struct kmn_gate *gate, struct kmn_connection *c)
{
	gate->slots[slot_of(gate, c->id)].connection = NULL;
	gate->open_count--;
	release(c);
	close(c->socket.fd); /* leaves the epoll set by that */
	free(c);
}

void
kmn_connection_drop(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	tell_closed(gate, c, reason);
	kmn_connection_free(gate, c);
}

void
kmn_connection_part(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	tell_closed(gate, c, reason);
	if (!c->tls_failed && c->state != SHAKING) {
		ERR_clear_error();
		(void)SSL_shutdown(c->ssl);
	}
	(void)shutdown(c->socket.fd, SHUT_WR);
	release(c);
	c->state = LINGERING;
	c->out_deadline_ms = 0;
	kmn_connection_wait(c, WAIT_LINGER, gate->now_ms + gate->times->linger_ms);
	kmn_connection_update(gate, c);
}

void
kmn_connection_violate(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	kmn_gate_reject(gate, c->spki, c->address, reason);
	kmn_connection_part(gate, c, reason);
}

void
kmn_connection_refuse(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	c->tls_failed = true;
	kmn_connection_violate(gate, c, reason);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* Throws away what a client still says after it was shown the door. */
static void
linger(struct kmn_gate *gate, struct kmn_connection *c)
{
	uint8_t junk[4096];
	ssize_t n;

	while ((n = recv(c->socket.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
		if ((c->lingered_bytes += (size_t)n) > LINGER_MAX_BYTES)
			break;
	if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		kmn_connection_drop(gate, c, "");
}

void
kmn_connection_event(struct kmn_gate *gate, struct kmn_connection *c, uint32_t events)
{
	uint32_t id = c->id;

	if (c->state == SHAKING) {
		kmn_connection_shake(gate, c);
		return;
	}
	if (c->state == LINGERING) {
		linger(gate, c);
		return;
	}
	if (!kmn_connection_write(gate, c))
		return;
	if (c->state == FINISHING && c->out_at == c->out_end) {
		kmn_connection_part(gate, c, "closed by the gateway");
		return;
	}
	if (!kmn_connection_read(gate, c))
		return;
	/* after what it had said before it left; it may have been closed by that */
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && (c = kmn_connection_find(gate, id)) != NULL &&
	    c->state != LINGERING)
		kmn_connection_drop(gate, c, "the client hung up");
}

void
kmn_connection_put(struct kmn_gate *gate, struct kmn_connection *c, uint8_t type, const void *body, size_t n)
{
	if (c->state != OPEN)
		return;
	if (!kmn_connection_queue(c, type, body, n)) {
		kmn_connection_violate(gate, c, "does not take its answers");
		return;
	}
	if (type == KMN_F_ATTACHED || type == KMN_F_JOINED)
		c->phase = KMN_PHASE_ATTACHED;
	else if (type == KMN_F_DETACHED)
		c->phase = KMN_PHASE_FIRST;
	if (type != KMN_F_READY && type != KMN_F_NOTICE) /* these answer nothing */
		c->awaiting = false;
	if (kmn_connection_write(gate, c))
		(void)kmn_connection_read(gate, c);
}

void
kmn_connection_finish(struct kmn_gate *gate, struct kmn_connection *c, const char *reason)
{
	if (c->state != OPEN)
		return;
	c->state = FINISHING;
	kmn_connection_wait(c, WAIT_NOTHING, 0);
	if (!kmn_connection_write(gate, c))
		return;
	if (c->out_at == c->out_end)
		kmn_connection_part(gate, c, reason);
	else
		kmn_connection_update(gate, c);
}

void
kmn_connection_resume(struct kmn_gate *gate, struct kmn_connection *c)
{
	if (c->state == OPEN)
		(void)kmn_connection_read(gate, c);
}

void
kmn_connection_recheck(struct kmn_gate *gate, struct kmn_connection *c)
{
	if (c->state == OPEN && !kmn_gate_is_pinned(gate, c->spki))
		kmn_connection_violate(gate, c, "certificate is not known any more");
}

/* What a deadline that has passed means. */
static void
overdue(struct kmn_gate *gate, struct kmn_connection *c)
{
	switch (c->wait) {
	case WAIT_FIRST_FRAME:
		c->tls_failed = c->state == SHAKING;
		kmn_connection_violate(
		    gate, c, c->state == SHAKING ? "handshake takes too long" : "no first frame in time");
		break;
	case WAIT_FRAME:
		kmn_connection_violate(gate, c, "frame takes too long");
		break;
	case WAIT_IDLE:
		kmn_connection_part(gate, c, "idle");
		break;
	default:
		kmn_connection_drop(gate, c, "");
	}
}

void
kmn_connection_tick(struct kmn_gate *gate, struct kmn_connection *c, bool look_at_dates)
{
	bool ours_to_wait = gate->stalled && c->state == OPEN; /* it is not read, so it cannot be late */
	int verdict;

	if (c->wait != WAIT_NOTHING && gate->now_ms >= c->deadline_ms && !ours_to_wait) {
		overdue(gate, c);
	} else if (c->out_deadline_ms != 0 && gate->now_ms >= c->out_deadline_ms) {
		kmn_connection_violate(gate, c, "does not take its answers");
	} else if (look_at_dates && c->state == OPEN) {
		verdict = kmn_tls_validity(SSL_get0_peer_certificate(c->ssl), time(NULL));
		if (verdict != X509_V_OK)
			kmn_connection_violate(gate, c, kmn_connection_certificate_reason(verdict));
	}
}
