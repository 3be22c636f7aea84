/*
 * What this process knows of the ledger, and the judgement on each receipt
 * that comes with an answer (docs/receipts.md).
 *
 *   accepted   the newest head that was proven to continue all heads before it, whichever connection brought it.
 *              Read from `kept` at the start; named by ATTACH and JOIN; only grows.
 *   kept       the head in the file that all processes share. Lags behind `accepted` by a moment (decision 0029).
 *   trail      one connection's last head: the next receipt on it continues that one.
 *
 *   receipt --kmn_receipt_check--> its head continues the trail's, its record is of this call
 *           --linked, or PROVE---> its head is of one history with `accepted`  --> kept, cosigned, spooled
 *           --anything else------> evidence, and `failed`: for good. A ledger that was found wrong is not used again
 *
 * With receipts=batch they wait in a queue, in the order in which they came,
 * and are judged by the next call after KMN_RECEIPTS_BATCH_MS, or by C_Finalize.
 *
 * Threads: any. A trail belongs to the thread that has the connection (with
 * batch: to the thread that drains the queue). No lock is held while a thread
 * waits for the network or for a disk.
 */
#ifndef KANMON_PROVIDER_RECEIPTS_H
#define KANMON_PROVIDER_RECEIPTS_H

#include <pthread.h>

#include "kanmon/frame.h"
#include "provider/heads.h"

#define KMN_RECEIPTS_BATCH_MS 1000u
#define KMN_RECEIPTS_CHANNELS 16u

struct kmn_book;
struct kmn_wire;

/* KMN_E_CONFIG (no log key, or none that is one), and what kmn_heads_new and kmn_heads_load fail with. */
kmn_err kmn_receipts_new(const struct kmn_client_settings *settings, struct kmn_book **receipts_out) KMN_MUST_CHECK;
void kmn_receipts_free(struct kmn_book *receipts);
/* In a forked child: the key is wiped, nothing is freed. Async-signal-safe. */
void kmn_receipts_abandon(struct kmn_book *receipts);

/* Around a fork whose child inherits; the child takes over what its parent had accepted. */
void kmn_receipts_lock(struct kmn_book *receipts);
void kmn_receipts_unlock(struct kmn_book *receipts);
void kmn_receipts_inherit(struct kmn_book *receipts, struct kmn_book *parent);

/* KMN_RECEIPTS_* for ATTACH. */
uint8_t kmn_receipts_mode(const struct kmn_book *receipts);
/* A receipt did not hold. From then on nothing that the ledger has to answer for is asked any more. */
bool kmn_receipts_failed(struct kmn_book *receipts);

/* ---- connections ------------------------------------------------------------------------------------------------- */

struct kmn_trail;
struct kmn_trail *kmn_trail_new(void);
void kmn_trail_unref(struct kmn_trail *trail);
/* Number of the connection in the ledger. */
uint64_t kmn_trail_channel(const struct kmn_trail *trail);

/*
 * What ATTACH or JOIN names: accepted, which also becomes the trail's beginning. For ATTACH the cosignature line over
 * it and its vkey, "" without a key or where the head is not kept yet.
 */
void kmn_receipts_name(struct kmn_book *receipts, struct kmn_trail *trail, struct kmn_seen *named_out);
void kmn_receipts_cosignature(struct kmn_book *receipts, const struct kmn_seen *named, char *line_out, size_t line_size,
    char vkey_out[KMN_VKEY_MAX_BYTES]);
/* What ATTACHED or JOINED brought. KMN_E_RECEIPT: it failed. */
kmn_err kmn_receipts_greet(struct kmn_book *receipts, struct kmn_trail *trail, uint64_t channel, const uint8_t *bytes,
    size_t len) KMN_MUST_CHECK;

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* What is known of a call whose answer came. */
struct kmn_claim {
	const struct kmn_call *row;
	enum kmn_receipt_due due;
	uint64_t channel[KMN_RECEIPTS_CHANNELS]; /* that carried it */
	size_t channel_count;                    /* 0: too many to tell */
	uint64_t number, rv;
	uint64_t session; /* 0: none */
	uint64_t key;     /* handle, 0: none; kmn_receipts_take finds that of the session's operation */
	uint8_t req_sha256[KMN_HASH_BYTES], resp_sha256[KMN_HASH_BYTES];
	struct kmn_receipt_value value[KMN_RECEIPT_VALUES_MAX]; /* views */
	size_t value_count;
};

/*
 * Of call `number`: views point into request and response payload. The channels are the caller's to fill in. Errors:
 * of payloads that cannot be read.
 */
kmn_err kmn_claim_make(uint64_t number, const uint8_t *request, size_t request_len, const uint8_t *payload,
    size_t payload_len, struct kmn_claim *claim_out) KMN_MUST_CHECK;

/*
 * The receipt of an answer. KMN_OK: the answer may be given (with batch: may be, so far). KMN_E_RECEIPT: not. Others:
 * the connection broke under a question, or the head cannot be kept; the call may be asked for again.
 */
kmn_err kmn_receipts_take(struct kmn_book *receipts, struct kmn_trail *trail, struct kmn_claim *claim,
    const uint8_t *bytes, size_t len, const struct kmn_wire *wire) KMN_MUST_CHECK;

/* Before a call is sent: judges the queue if it is time. At the end: the queue, what is to be kept, a cosignature. */
kmn_err kmn_receipts_settle(struct kmn_book *receipts, const struct kmn_wire *wire) KMN_MUST_CHECK;
kmn_err kmn_receipts_finish(struct kmn_book *receipts, const struct kmn_wire *wire) KMN_MUST_CHECK;

/*
 * Tells the gateway of a receipt that did not hold, if there is one to tell of and nothing else is under way on the
 * connection. Errors: the connection is not to be used again; whoever asks next tries again, a few times.
 */
kmn_err kmn_receipts_complain(struct kmn_book *receipts, const struct kmn_wire *wire) KMN_MUST_CHECK;

/* ---- what is remembered of sessions ------------------------------------------------------------------------------ */

/* A call of the session is held. */
void kmn_receipts_held(struct kmn_book *receipts, uint64_t session, uint64_t request);
/* The last proof that held, as bytes of c2sp.org/tlog-proof@v1; free(). KMN_E_NOT_FOUND: none yet. */
kmn_err kmn_receipts_last_proof(
    struct kmn_book *receipts, uint64_t session, char **proof_out, size_t *len_out) KMN_MUST_CHECK;
/* The request (index of a record) that the session's last recorded or held call was. KMN_E_NOT_FOUND: none yet. */
kmn_err kmn_receipts_last_request(struct kmn_book *receipts, uint64_t session, uint64_t *request_out) KMN_MUST_CHECK;
/* The session is closed; 0: all are. */
void kmn_receipts_forget(struct kmn_book *receipts, uint64_t session);

#endif
