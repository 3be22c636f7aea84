/*
 * The gate's insides, shared by gate.c (the loop, the keeper) and connection*.c
 * (one client; more in connection.h). Outside of this folder only kmn_gate_main (kanmon/roles.h) and,
 * for tests with shorter times, kmn_gate_run are called.
 */
#ifndef KANMON_GATE_H
#define KANMON_GATE_H

#include "kanmon/frame.h"
#include "kanmon/ipc.h"
#include "kanmon/roles.h"
#include "kanmon/tls.h"
#include "server/gate/reject.h"

/* Times that are not settings. */
struct kmn_gate_times {
	int64_t frame_ms;  /* a frame that has begun must be complete */
	int64_t stall_ms;  /* a client must take some of what waits for it */
	int64_t linger_ms; /* after the last word, until the client hangs up */
	int tick_ms;
};

/* Runs until the keeper is gone (0) or something cannot be helped (1). */
int kmn_gate_run(const struct kmn_gate_setup *setup, const struct kmn_gate_times *times);

struct kmn_connection;

/* A place for one connection, which has id = serial * number of slots + slot. */
struct kmn_gate_slot {
	struct kmn_connection *connection; /* NULL: free */
	uint32_t serial;                   /* of the last one here */
};

struct kmn_gate {
	const struct kmn_gate_setup *setup;
	const struct kmn_gate_times *times;
	int epoll;
	struct kmn_tls tls;
	struct kmn_ipc *keeper;
	uint8_t (*pins)[KMN_HASH_BYTES]; /* sorted; whole set */
	size_t pin_count;
	bool listening; /* the first pins have come: listeners are in the epoll set */
	bool accept_paused;
	bool stalled;                /* the keeper is behind: no client is read */
	bool failed;                 /* a failure that ends the process */
	struct kmn_gate_slot *slots; /* [setup->limits.connections] */
	size_t open_count;
	int64_t now_ms;      /* of this turn of the loop */
	int64_t dates_at_ms; /* when certificates' dates are looked at next */
	struct kmn_reject_book rejects;
};

/* What an epoll event is about: kind in the upper half, which one in the lower. */
enum kmn_gate_tag { KMN_TAG_LISTENER = 1, KMN_TAG_KEEPER, KMN_TAG_CONNECTION };

bool kmn_gate_is_pinned(const struct kmn_gate *gate, const uint8_t spki[KMN_HASH_BYTES]);
/* How many finished connections that key has. */
size_t kmn_gate_connections_of(const struct kmn_gate *gate, const uint8_t spki[KMN_HASH_BYTES]);
/* Sends `w` (reset) to the keeper. */
void kmn_gate_tell(struct kmn_gate *gate, uint8_t kind, struct kmn_writer *w);
/* A refusal, for the ledger; `address` without its port. */
void kmn_gate_reject(
    struct kmn_gate *gate, const uint8_t spki[KMN_HASH_BYTES], const char *address, const char *reason);
/* Adds, changes or (events 0) removes a descriptor. */
void kmn_gate_watch(struct kmn_gate *gate, int fd, uint32_t *current, uint32_t events, uint64_t tag);

/* Sets what all connections share in gate->tls.ctx. */
void kmn_connection_prepare(struct kmn_gate *gate);
/* Takes one client off a listener; false when there is none left (for now). */
bool kmn_connection_accept(struct kmn_gate *gate, int listener);
struct kmn_connection *kmn_connection_find(struct kmn_gate *gate, uint32_t id);
void kmn_connection_event(struct kmn_gate *gate, struct kmn_connection *c, uint32_t events);
/* A frame from the keeper. */
void kmn_connection_put(struct kmn_gate *gate, struct kmn_connection *c, uint8_t type, const void *body, size_t n);
/* The keeper is done with it: closed once everything is out. */
void kmn_connection_finish(struct kmn_gate *gate, struct kmn_connection *c, const char *reason);
/* Deadlines, the certificate's end. May free it. */
void kmn_connection_tick(struct kmn_gate *gate, struct kmn_connection *c, bool look_at_dates);
/* The pins have changed, or the keeper can take frames again. May free it. */
void kmn_connection_recheck(struct kmn_gate *gate, struct kmn_connection *c);
void kmn_connection_resume(struct kmn_gate *gate, struct kmn_connection *c);
/* At the end of the process: closes and frees without a word to anybody. */
void kmn_connection_free(struct kmn_gate *gate, struct kmn_connection *c);
/* The pinned key of a finished connection, or NULL. */
const uint8_t *kmn_connection_spki(const struct kmn_connection *c);

#endif
