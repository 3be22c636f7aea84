/*
 * The keeper's connections: one for each TLS connection that the gate holds, what it carried, and the frames that the
 * keeper sends on it.
 */
#ifndef KANMON_KEEPER_GATELINK_H
#define KANMON_KEEPER_GATELINK_H

#include <sys/queue.h>

#include "kanmon/base.h"
#include "kanmon/calls.h"
#include "kanmon/err.h"
#include "kanmon/frame.h"
#include "kanmon/tree.h"

struct kmn_claim;
struct kmn_instance;
struct kmn_ipc;
struct kmn_ipc_message;
struct kmn_keeper;
struct kmn_policy_peer;
struct kmn_writer;

/* One TLS connection, as the gate reported it. */
struct kmn_conn {
	LIST_ENTRY(kmn_conn) link;
	uint32_t id;   /* the gate's */
	uint64_t chan; /* index of its channel.open record, its name in the ledger */
	uint8_t spki_sha256[KMN_HASH_BYTES];
	uint8_t cert_sha256[KMN_HASH_BYTES];
	uint8_t exporter[KMN_EXPORTER_BYTES];
	char address[128], tls[16], suite[64];
	const struct kmn_policy_peer *peer; /* the policy's; never NULL */
	struct kmn_instance *instance;      /* NULL until ATTACH or JOIN */
	struct kmn_head sent;               /* the last head that it got, first the one it named; size 0: none */
	bool opened;                        /* channel.open is written */
	bool watching;
	uint64_t admin_calls;
	uint64_t counts[KMN_CALL_COUNT];  /* class C calls, all */
	uint64_t counted[KMN_CALL_COUNT]; /* of these, already in a channel.counts record */
};

/* ---- gatelink.c: connections and frames ----------------------------------------------------------------------- */

void kmn_gatelink_take(struct kmn_keeper *k, struct kmn_ipc *gate, const char *why);
void kmn_gatelink_lost(struct kmn_keeper *k);
void kmn_gatelink_message(struct kmn_keeper *k, const struct kmn_ipc_message *message);
void kmn_gatelink_send(struct kmn_keeper *k, const struct kmn_conn *conn, uint8_t type, struct kmn_writer *body);
void kmn_gatelink_refuse(struct kmn_keeper *k, const struct kmn_conn *conn, uint64_t number, kmn_err e,
    uint64_t request, const char *reason);
/* A peer that broke a rule of the channel: recorded, and its connection closed (freed). */
void kmn_gatelink_reject(struct kmn_keeper *k, struct kmn_conn *conn, const char *reason);
/* A number that may not be used: recorded and refused, the connection stays. */
void kmn_gatelink_replayed(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, const char *reason);
void kmn_gatelink_close(struct kmn_keeper *k, struct kmn_conn *conn, const char *reason);
kmn_err kmn_gatelink_send_pins(struct kmn_keeper *k) KMN_MUST_CHECK;
/* On every connection of the application: what it may have kept of the slot (UINT64_MAX: of every one) has changed. */
void kmn_gatelink_notice(const struct kmn_instance *instance, enum kmn_notice kind, uint64_t slot);
/* Write what class C calls were counted since the last time. */
void kmn_gatelink_write_counts(struct kmn_keeper *k);
/* NULL: it is gone. */
struct kmn_conn *kmn_conn_get(struct kmn_keeper *k, uint32_t id);
/* channel.open of a connection, once. `claim` NULL: it names no head. */
kmn_err kmn_conn_open_record(struct kmn_keeper *k, struct kmn_conn *conn, const struct kmn_claim *claim) KMN_MUST_CHECK;
/* channel.reject, and nothing else. */
kmn_err kmn_conn_record_reject(struct kmn_keeper *k, const struct kmn_conn *conn, const char *reason) KMN_MUST_CHECK;

/* ---- alias.c --------------------------------------------------------------------------------------------------- */

/* The frame ALIAS: answered when the worker has done it. */
void kmn_alias_take(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t old, uint64_t new);

#endif
