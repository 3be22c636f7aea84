/*
 * What leaves the machine, by the courier: time stamps, cosignatures of witnesses, hooks.
 */
#ifndef KANMON_KEEPER_COURIERLINK_H
#define KANMON_KEEPER_COURIERLINK_H

#include <jansson.h>

#include "kanmon/base.h"
#include "kanmon/err.h"
#include "kanmon/record.h"

struct kmn_head;
struct kmn_ipc;
struct kmn_keeper;
struct kmn_why;

/* ---- courierlink.c: what is asked over the network ---------------------------------------------------------------- */

/* What came: `err` is KMN_OK where there was an answer, whatever its status. Views, valid during the call. */
struct kmn_courier_answer {
	kmn_err err;
	unsigned status; /* of HTTP; 0: none came */
	const char *type;
	const uint8_t *body;
	size_t len;
};
typedef void kmn_courier_done(struct kmn_keeper *k, void *cookie, const struct kmn_courier_answer *answer);

/*
 * Has the courier ask: a POST with this content type and body, or a GET where
 * `type` is "". `url` comes from the configuration and from nowhere else.
 * `done` is called once, later, unless kmn_courier_forget() comes before; an
 * answer of more than `limit_bytes` is KMN_E_TOO_BIG. Both sizes are at most
 * KMN_COURIER_BODY_MAX_BYTES. Fails at once (and then `done` is not called)
 * where there is no courier now: KMN_E_UNREACHABLE; ask again later.
 */
kmn_err kmn_courier_post(struct kmn_keeper *k, const char *url, const char *type, const void *body, size_t len,
    uint32_t limit_bytes, uint32_t timeout_ms, kmn_courier_done *done, void *cookie) KMN_MUST_CHECK;
/* The answers to what this cookie asked are dropped. */
void kmn_courier_forget(struct kmn_keeper *k, const void *cookie);
void kmn_courierlink_take(struct kmn_keeper *k, struct kmn_ipc *courier, const char *why);
void kmn_courierlink_lost(struct kmn_keeper *k);
void kmn_courierlink_readable(struct kmn_keeper *k);
void kmn_courierlink_tick(struct kmn_keeper *k);
/* At the keeper's end: nobody is told anything. */
void kmn_courierlink_clear(struct kmn_keeper *k);

/* ---- anchor.c: time stamps ---------------------------------------------------------------------------------------- */

kmn_err kmn_anchor_start(struct kmn_keeper *k) KMN_MUST_CHECK;
void kmn_anchor_clear(struct kmn_keeper *k);
void kmn_anchor_note_record(struct kmn_keeper *k, enum kmn_record_kind kind);
void kmn_anchor_tick(struct kmn_keeper *k);
/* Nothing runs any more: asks for a last time stamp, once; whether one is still to be waited for. */
bool kmn_anchor_stopping(struct kmn_keeper *k);
json_t *kmn_anchor_status(const struct kmn_keeper *k) KMN_MUST_CHECK;

/* ---- witness.c: heads that others cosign -------------------------------------------------------------------------- */

/* False: there is no memory. */
bool kmn_witness_start(struct kmn_keeper *k) KMN_MUST_CHECK;
void kmn_witness_tick(struct kmn_keeper *k);
void kmn_witness_clear(struct kmn_keeper *k);
/*
 * Cosignatures that somebody brought: a checkpoint of this ledger with lines of the policy's witnesses. *lines_out is
 * for kmn_cosign_body(); `why` says what is wrong.
 */
kmn_err kmn_witness_import(struct kmn_keeper *k, const char *bytes, size_t len, json_t **lines_out,
    struct kmn_head *head_out, struct kmn_why *why) KMN_MUST_CHECK;
/* {"name": {"size", "state"}}, of those in the configuration. */
json_t *kmn_witness_status(const struct kmn_keeper *k);

/* ---- hooks.c: who is told what happened --------------------------------------------------------------------------- */

kmn_err kmn_hooks_start(struct kmn_keeper *k) KMN_MUST_CHECK;
void kmn_hooks_clear(struct kmn_keeper *k);
/* A record was applied: what hooks are told of it waits until it is durable. */
void kmn_hooks_note(struct kmn_keeper *k, const struct kmn_record *record);
/* The first `size` records are durable. */
void kmn_hooks_durable(struct kmn_keeper *k, size_t size);

#endif
