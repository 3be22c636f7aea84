#include "config.h"

#include "server/gate/gate.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/reader.h"
#include "kanmon/say.h"

#define EVENTS_AT_ONCE 64
#define PINS_MAX 4096u
#define ACCEPTS_AT_ONCE 32
#define KEEPER_QUEUE_BYTES (32u << 20)
#define KEEPER_BEHIND_BYTES (8u << 20) /* more waiting than this: clients are not read */
#define KEEPER_CAUGHT_UP_BYTES (1u << 20)
#define DATES_EVERY_MS 30000

static const struct kmn_gate_times default_times = {
    .frame_ms = 60000, .stall_ms = 60000, .linger_ms = 2000, .tick_ms = 500};

static int64_t
clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t
tag(enum kmn_gate_tag kind, uint32_t which)
{
	return (uint64_t)kind << 32 | which;
}

static void
give_up(struct kmn_gate *gate, const char *what, kmn_err e)
{
	if (!gate->failed)
		kmn_say(KMN_SAY_ERROR, "%s: %s", what, kmn_err_text(e));
	gate->failed = true;
}

void
kmn_gate_watch(struct kmn_gate *gate, int fd, uint32_t *current, uint32_t events, uint64_t what)
{
	struct epoll_event event = {.events = events, .data.u64 = what};
	int op = *current == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

	if (*current == events)
		return;
	if (epoll_ctl(gate->epoll, op, fd, &event) != 0)
		give_up(gate, "epoll_ctl", KMN_E_IO);
	*current = events;
}

/* Pins */

static int
compare_pins(const void *a, const void *b)
{
	return memcmp(a, b, KMN_HASH_BYTES);
}

bool
kmn_gate_is_pinned(const struct kmn_gate *gate, const uint8_t spki[KMN_HASH_BYTES])
{
	return gate->pin_count > 0 && bsearch(spki, gate->pins, gate->pin_count, KMN_HASH_BYTES, compare_pins) != NULL;
}

size_t
kmn_gate_connections_of(const struct kmn_gate *gate, const uint8_t spki[KMN_HASH_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < gate->setup->limits.connections; i++) {
		const uint8_t *other =
		    gate->slots[i].connection == NULL ? NULL : kmn_connection_spki(gate->slots[i].connection);

		n += other != NULL && memcmp(other, spki, KMN_HASH_BYTES) == 0;
	}
	return n;
}

static void
listen_now(struct kmn_gate *gate, bool on)
{
	for (unsigned i = 0; i < gate->setup->listener_count; i++) {
		uint32_t current = on ? 0 : EPOLLIN;

		kmn_gate_watch(gate, gate->setup->listeners[i], &current, on ? EPOLLIN : 0, tag(KMN_TAG_LISTENER, i));
	}
}

static kmn_err
take_pins(struct kmn_gate *gate, struct kmn_reader *r)
{
	uint32_t n = kmn_reader_count(r, PINS_MAX, KMN_HASH_BYTES);
	uint8_t(*pins)[KMN_HASH_BYTES] = calloc(n > 0 ? n : 1, KMN_HASH_BYTES);
	kmn_err e;

	if (pins == NULL)
		return KMN_E_NO_MEMORY;
	for (uint32_t i = 0; i < n; i++)
		kmn_reader_raw(r, pins[i], KMN_HASH_BYTES);
	if ((e = kmn_reader_end(r)) != KMN_OK) {
		free(pins);
		return e;
	}
	qsort(pins, n, KMN_HASH_BYTES, compare_pins);
	free(gate->pins);
	gate->pins = pins;
	gate->pin_count = n;
	if (!gate->listening)
		listen_now(gate, true);
	gate->listening = true;
	for (size_t i = 0; i < gate->setup->limits.connections; i++)
		if (gate->slots[i].connection != NULL)
			kmn_connection_recheck(gate, gate->slots[i].connection);
	return KMN_OK;
}

/* The keeper */

void
kmn_gate_tell(struct kmn_gate *gate, uint8_t kind, struct kmn_writer *w)
{
	kmn_err e = kmn_ipc_queue_writer(gate->keeper, kind, w);

	if (e != KMN_OK && e != KMN_E_CLOSED)
		give_up(gate, "keeper", e); /* its end is seen when it is read */
	if (kmn_ipc_queued_bytes(gate->keeper) > KEEPER_BEHIND_BYTES)
		gate->stalled = true;
}

static void
tell_reject(const struct kmn_reject *reject, void *cookie)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_raw(&w, reject->spki, sizeof(reject->spki));
	kmn_writer_text(&w, reject->address);
	kmn_writer_text(&w, reject->reason);
	kmn_writer_u32(&w, reject->count);
	kmn_gate_tell(cookie, KMN_G_REJECT, &w);
	kmn_writer_clear(&w);
}

void
kmn_gate_reject(struct kmn_gate *gate, const uint8_t spki[KMN_HASH_BYTES], const char *address, const char *reason)
{
	kmn_reject_note(&gate->rejects, spki, address, reason, tell_reject, gate);
}

static kmn_err
take_frame(struct kmn_gate *gate, struct kmn_reader *r)
{
	uint32_t id = kmn_reader_u32(r);
	uint8_t type = kmn_reader_u8(r);
	const uint8_t *body;
	size_t n = kmn_reader_rest(r, &body);
	struct kmn_connection *c = kmn_connection_find(gate, id);
	kmn_err e = kmn_reader_end(r);

	if (e == KMN_OK)
		e = kmn_frame_check(KMN_SENDER_GATEWAY, KMN_PHASE_ANY, type, body, n);
	if (e == KMN_OK && c != NULL) /* else it is gone, and the keeper will read so */
		kmn_connection_put(gate, c, type, body, n);
	return e;
}

static kmn_err
take_close(struct kmn_gate *gate, struct kmn_reader *r)
{
	char reason[KMN_REJECT_REASON_BYTES];
	uint32_t id = kmn_reader_u32(r);
	struct kmn_connection *c = kmn_connection_find(gate, id);
	kmn_err e;

	kmn_reader_text(r, reason, sizeof(reason));
	e = kmn_reader_end(r);
	if (e == KMN_OK && c != NULL)
		kmn_connection_finish(gate, c, reason);
	return e;
}

static kmn_err
take_message(struct kmn_gate *gate, const struct kmn_ipc_message *m)
{
	struct kmn_reader r;

	kmn_reader_init(&r, m->body, m->len_bytes);
	switch (m->kind) {
	case KMN_K_PINS:
		return take_pins(gate, &r);
	case KMN_K_FRAME:
		return take_frame(gate, &r);
	case KMN_K_CLOSE:
		return take_close(gate, &r);
	default:
		return KMN_E_MALFORMED;
	}
}

/* Reads all that the keeper has sent; false at its end. */
static bool
read_keeper(struct kmn_gate *gate)
{
	struct kmn_ipc_message m;
	kmn_err e = KMN_E_AGAIN;

	while (!gate->failed && (e = kmn_ipc_poll(gate->keeper, &m)) == KMN_OK)
		if ((e = take_message(gate, &m)) != KMN_OK)
			give_up(gate, "message from the keeper", e);
	if (gate->failed || e == KMN_E_AGAIN)
		return true;
	if (e != KMN_E_CLOSED)
		give_up(gate, "keeper", e);
	return false;
}

static void
flush_keeper(struct kmn_gate *gate)
{
	kmn_err e = kmn_ipc_flush(gate->keeper);

	if (e != KMN_OK && e != KMN_E_CLOSED)
		give_up(gate, "keeper", e);
	if (!gate->stalled || kmn_ipc_queued_bytes(gate->keeper) > KEEPER_CAUGHT_UP_BYTES)
		return;
	gate->stalled = false;
	for (size_t i = 0; i < gate->setup->limits.connections && !gate->stalled; i++)
		if (gate->slots[i].connection != NULL)
			kmn_connection_resume(gate, gate->slots[i].connection);
}

/* The loop */

static void
tick(struct kmn_gate *gate)
{
	bool look_at_dates = gate->now_ms >= gate->dates_at_ms;

	if (look_at_dates)
		gate->dates_at_ms = gate->now_ms + DATES_EVERY_MS;
	kmn_reject_tick(&gate->rejects, gate->now_ms, tell_reject, gate);
	for (size_t i = 0; i < gate->setup->limits.connections; i++)
		if (gate->slots[i].connection != NULL)
			kmn_connection_tick(gate, gate->slots[i].connection, look_at_dates);
	if (gate->accept_paused) {
		gate->accept_paused = false;
		listen_now(gate, true);
	}
}

static void
take_clients(struct kmn_gate *gate, int listener)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++)
		if (!kmn_connection_accept(gate, listener)) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return;
			/* out of descriptors or memory: look again at the next tick, not at once */
			if (!gate->accept_paused)
				listen_now(gate, false);
			gate->accept_paused = true;
			return;
		}
}

/* One event; false when the keeper is gone. */
static bool
handle(struct kmn_gate *gate, const struct epoll_event *event)
{
	uint32_t which = (uint32_t)event->data.u64;
	struct kmn_connection *c;

	switch (event->data.u64 >> 32) {
	case KMN_TAG_LISTENER:
		if (!gate->accept_paused)
			take_clients(gate, gate->setup->listeners[which]);
		return true;
	case KMN_TAG_KEEPER:
		if ((event->events & EPOLLOUT) != 0)
			flush_keeper(gate);
		return (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || read_keeper(gate);
	default:
		if ((c = kmn_connection_find(gate, which)) != NULL)
			kmn_connection_event(gate, c, event->events);
		return true;
	}
}

static int
loop(struct kmn_gate *gate)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	uint32_t keeper_events = 0;
	int64_t tick_at = 0;

	while (!gate->failed) {
		bool behind = kmn_ipc_queued_bytes(gate->keeper) > 0;
		int n;

		kmn_gate_watch(gate, kmn_ipc_fd(gate->keeper), &keeper_events, EPOLLIN | (behind ? EPOLLOUT : 0u),
		    tag(KMN_TAG_KEEPER, 0));
		n = epoll_wait(gate->epoll, events, EVENTS_AT_ONCE, gate->times->tick_ms);
		if (n < 0 && errno != EINTR)
			give_up(gate, "epoll_wait", KMN_E_IO);
		gate->now_ms = clock_ms();
		for (int i = 0; i < n && !gate->failed; i++)
			if (!handle(gate, &events[i]))
				return 0;
		if (gate->now_ms >= tick_at) {
			tick_at = gate->now_ms + gate->times->tick_ms;
			tick(gate);
		}
	}
	return 1;
}

static kmn_err
start(struct kmn_gate *gate, char *why_out)
{
	const struct kmn_gate_setup *setup = gate->setup;
	kmn_err e;

	gate->now_ms = clock_ms();
	kmn_reject_book_init(&gate->rejects, gate->now_ms);
	if (sodium_init() < 0 || setup->limits.connections == 0)
		return KMN_E_ARGUMENTS;
	if ((e = kmn_ipc_new(setup->keeper, KEEPER_QUEUE_BYTES, &gate->keeper)) != KMN_OK)
		return e;
	gate->slots = calloc(setup->limits.connections, sizeof(*gate->slots));
	if (gate->slots == NULL)
		return KMN_E_NO_MEMORY;
	if ((gate->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return KMN_E_IO;
	if ((e = kmn_tls_init(&gate->tls, true)) != KMN_OK)
		return e;
	kmn_connection_prepare(gate);
	return kmn_tls_use_pem(
	    &gate->tls, setup->certificate, setup->certificate_bytes, setup->key, setup->key_bytes, why_out);
}

static void
stop(struct kmn_gate *gate)
{
	for (size_t i = 0; gate->slots != NULL && i < gate->setup->limits.connections; i++)
		if (gate->slots[i].connection != NULL)
			kmn_connection_free(gate, gate->slots[i].connection);
	free(gate->slots);
	free(gate->pins);
	kmn_ipc_free(gate->keeper);
	kmn_tls_clear(&gate->tls);
	if (gate->epoll >= 0)
		close(gate->epoll);
}

int
kmn_gate_run(const struct kmn_gate_setup *setup, const struct kmn_gate_times *times)
{
	struct kmn_gate gate = {.setup = setup, .times = times, .epoll = -1};
	char why[KMN_TLS_WHY_BYTES] = "";
	kmn_err e = start(&gate, why);
	int status = 1;

	if (e == KMN_OK)
		status = loop(&gate);
	else
		kmn_say(KMN_SAY_ERROR, "cannot start: %s%s%s", kmn_err_text(e), why[0] != '\0' ? ": " : "", why);
	stop(&gate);
	return status;
}

int
kmn_gate_main(const struct kmn_gate_setup *setup)
{
	return kmn_gate_run(setup, &default_times);
}
