/* Questions about the ledger that a thread asks on the connection it has: PROVE and COSIGN. */
#ifndef KANMON_PROVIDER_WIRE_H
#define KANMON_PROVIDER_WIRE_H

#include "kanmon/tree.h"
#include "provider/pool.h"

struct kmn_wire {
	struct kmn_pool *pool;
	struct kmn_channel *channel;
	int interrupt_fd;
};

/* The proof that the head of the smaller size is a beginning of the larger one's. KMN_E_NOT_FOUND: the gateway has none. */
kmn_err kmn_wire_prove(
    const struct kmn_wire *wire, uint64_t smaller, uint64_t larger, struct kmn_path *path_out) KMN_MUST_CHECK;
/* An ADMIN question (kanmon/admin.h), of whose answer only the error matters: KMN_E_CLOSED where there is none. */
kmn_err kmn_wire_admin(const struct kmn_wire *wire, const struct kmn_writer *question) KMN_MUST_CHECK;
/*
 * Where a request of this client stands ("offered", "rejected"..: kmn_request_state_name), asked on a connection of the
 * pool. KMN_E_NOT_FOUND: the gateway knows no such request.
 */
#define KMN_WIRE_STATE_BYTES 32
kmn_err kmn_wire_request_state(
    struct kmn_pool *pool, int interrupt_fd, uint64_t request, char state_out[KMN_WIRE_STATE_BYTES]) KMN_MUST_CHECK;
/* Hands in a cosignature line over the head of that size. */
kmn_err kmn_wire_cosign(const struct kmn_wire *wire, uint64_t size, const char *line) KMN_MUST_CHECK;

#endif
