/*
 * What the ledger is told of calls, and what clients hold of the ledger: receipts, and heads that they claim.
 */
#ifndef KANMON_KEEPER_RECORD_H
#define KANMON_KEEPER_RECORD_H

#include <jansson.h>

#include "kanmon/base.h"
#include "kanmon/err.h"
#include "kanmon/frame.h"
#include "kanmon/note.h"
#include "kanmon/tree.h"

struct kmn_call_state;
struct kmn_conn;
struct kmn_instance;
struct kmn_keeper;
struct kmn_key_facts;
struct kmn_policy;
struct kmn_reader;
struct kmn_response_view;
struct kmn_token;
struct kmn_writer;

/* ---- record.c: bodies of records -------------------------------------------------------------------------------- */

/* `facts` NULL: the call names no key; `token` NULL: no token. */
json_t *kmn_record_key(const struct kmn_key_facts *facts, const struct kmn_token *token);
/* Where the policy asks for it: whether the key was generated inside, and could ever leave. */
void kmn_record_key_origin(const struct kmn_keeper *k, json_t *key, const struct kmn_key_facts *facts);
json_t *kmn_record_hsm(const struct kmn_call_state *call);
json_t *kmn_record_policy(const struct kmn_policy *policy);
/* The intent of a call (docs/ledger.md), from its view, facts and data; finds data and norm of a signature. */
kmn_err kmn_record_intent(struct kmn_call_state *call, json_t **body_out) KMN_MUST_CHECK;
kmn_err kmn_record_op(
    struct kmn_call_state *call, const struct kmn_response_view *response, json_t **body_out) KMN_MUST_CHECK;
kmn_err kmn_record_result(struct kmn_call_state *call, const struct kmn_response_view *response, const char *selfcheck,
    json_t **body_out) KMN_MUST_CHECK;
kmn_err kmn_record_session(
    struct kmn_call_state *call, const struct kmn_response_view *response, json_t **body_out) KMN_MUST_CHECK;
const char *kmn_record_rv_name(uint64_t rv, char storage[32]);
/* A number that a client chose, as a line holds it: at most KMN_JSON_INT_MAX. */
json_int_t kmn_record_number(uint64_t number);
/* Keeps the DER public key of a key as a blob, once. */
kmn_err kmn_record_keep_spki(struct kmn_keeper *k, const struct kmn_key_facts *facts) KMN_MUST_CHECK;

/* ---- hsmlog.c ---------------------------------------------------------------------------------------------------- */

/* The body of an `hsm.log` record from the fields of KMN_ADMIN_HSM_LOG; what it names is kept as blobs. */
kmn_err kmn_hsm_log_read(struct kmn_keeper *k, struct kmn_reader *r, json_t **body_out) KMN_MUST_CHECK;

/* ---- receipt.c -------------------------------------------------------------------------------------------------- */

/* The frame PROVE: answered with a consistency proof between two durable heads. */
void kmn_receipts_prove(struct kmn_keeper *k, const struct kmn_conn *conn, uint64_t from, uint64_t to);
/* Appends the receipt of the durable head, as bytes of the frame; empty where no receipts are asked for. */
kmn_err kmn_receipts_put_head(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_writer *w) KMN_MUST_CHECK;
/* The same of an answer's record; empty where the answer has none of its own. */
kmn_err kmn_receipts_put_answer(const struct kmn_call_state *call, struct kmn_writer *w) KMN_MUST_CHECK;
void kmn_receipts_clear(struct kmn_keeper *k);

/* ---- claim.c ---------------------------------------------------------------------------------------------------- */

/* What a client says at ATTACH or JOIN of heads; "" where it says nothing. */
struct kmn_claim {
	const char *note; /* view into the frame */
	size_t note_len;
	char line[KMN_FRAME_TEXT_MAX_BYTES + 1]; /* cosignature over it */
	char vkey[KMN_FRAME_TEXT_MAX_BYTES + 1]; /* of that line, and of later ones */
	struct kmn_vkey cosigner;                /* read; type 0: none */
	struct kmn_head head;                    /* of the note; size 0: none, or not of this log */
	bool outdated;                           /* it is of the ledger before this one */
};
/* Reads the note of a head; a failure is kept in r. */
void kmn_claim_read_head(struct kmn_claim *claim, struct kmn_reader *r);
/* Whether it can be what it says: *reason_out says why not. */
bool kmn_claim_holds(const struct kmn_keeper *k, struct kmn_claim *claim, const char **reason_out) KMN_MUST_CHECK;
/*
 * Begins the connection's chain of heads with the one that the client named, where it is one of this ledger. A head
 * that this log signed and does not have is recorded, and said loudly: either the ledger was rolled back, or its key
 * is somebody else's too.
 */
kmn_err kmn_claim_take(struct kmn_keeper *k, struct kmn_conn *conn, const struct kmn_claim *claim) KMN_MUST_CHECK;
/*
 * A client that still knows the ledger before this one is refused, with the way out: what it holds every answer against
 * has ended. True: so it was; a head that ledger never came to is recorded, and said loudly.
 */
bool kmn_claim_is_outdated(struct kmn_keeper *k, struct kmn_conn *conn, const struct kmn_claim *claim);
/* The frame COSIGN: a `cosign` record, at most one a minute of each client. The connection may be gone after it. */
void kmn_claim_cosigned(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);

/* ---- complaint.c: receipts that clients refuse --------------------------------------------------------------------- */

/* An answer went out with its receipt: the client may complain of it. */
void kmn_complaint_note(const struct kmn_call_state *call);
/* KMN_ADMIN_BAD_RECEIPT. */
void kmn_complaint_take(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
/* Of an application that ends; of the keeper. */
void kmn_complaint_forget(struct kmn_instance *instance);
void kmn_complaint_clear(struct kmn_keeper *k);

#endif
