/*
 * A session of an application, and the operations that are active in it.
 */
#ifndef KANMON_KEEPER_SESSION_H
#define KANMON_KEEPER_SESSION_H

#include <jansson.h>
#include <openssl/evp.h>
#include <sys/queue.h>

#include "kanmon/attach.h"
#include "kanmon/base.h"
#include "kanmon/calls.h"
#include "kanmon/err.h"
#include "kanmon/key.h"
#include "kanmon/operation.h"

struct kmn_branch;
struct kmn_call_state;
struct kmn_instance;
struct kmn_keeper;
struct kmn_response_view;

#define KMN_KEEPER_SPOOL_MAX (1u << 20) /* bytes of a multi-part signature kept for its content */

/* Operations that a secret or private key takes part in (C_Encrypt also a public one). */
#define KMN_SIGN_OPERATIONS (KMN_OP_SIGN | KMN_OP_SIGN_RECOVER | KMN_OP_MESSAGE_SIGN)
#define KMN_KEY_OPERATIONS \
	(KMN_OP_ENCRYPT | KMN_OP_DECRYPT | KMN_SIGN_OPERATIONS | KMN_OP_MESSAGE_ENCRYPT | KMN_OP_MESSAGE_DECRYPT)
#define KMN_OPERATION_KINDS 13u /* bits of enum kmn_operation_kind */

/* An operation of a session that a key takes part in, or one that may be active. */
struct kmn_operation {
	unsigned kind;   /* one bit of enum kmn_operation_kind */
	bool active;     /* false: none was started */
	bool in_message; /* parts of a message went to the module, and its last did not */
	bool side;       /* runs on its own vendor session, for a quorum may hold it */
	bool known;      /* key and mechanism are known (not after C_SetOperationState) */
	uint64_t serial; /* tells it from every other, and from itself with more parts; 0: none was started */
	struct kmn_key_facts key;
	uint64_t mechanism;
	bool has_pss;
	struct kmn_pss pss;
	json_t *mech_view;  /* as the ledger shows it; owned */
	EVP_MD_CTX *sha256; /* of all parts so far; NULL before the first */
	EVP_MD_CTX *scheme; /* the mechanism's own hash of all parts; NULL if it has none */
	uint64_t parts_len; /* bytes */
	uint8_t *spool;     /* the parts while they are at most KMN_KEEPER_SPOOL_MAX; owned */
	size_t spool_len;
	bool spool_full;
};

struct kmn_session {
	LIST_ENTRY(kmn_session) link;
	uint64_t handle;           /* virtual */
	struct kmn_branch *branch; /* whose session it is */
	uint64_t slot;             /* as the client sees it */
	uint64_t vendor_slot;      /* as the module does */
	uint64_t flags;
	uint64_t device_error; /* why the last call that was not the module's to answer ended: a kmn_err, 0: none did */
	struct kmn_operation operation[KMN_OPERATION_KINDS]; /* by bit number of enum kmn_operation_kind */
	struct kmn_call_state *turn;                         /* the one call that is at work in it (turn.c) */
	TAILQ_HEAD(, kmn_call_state) waiting;                /* for their turn */
	struct kmn_attached attached;                        /* for its next signature, or any call that it is for */
};

/* ---- session.c ------------------------------------------------------------------------------------------------- */

struct kmn_session *kmn_session_get(struct kmn_instance *instance, uint64_t handle);
/* The session that this C_OpenSession opened. */
kmn_err kmn_session_add(const struct kmn_call_state *call, uint64_t handle, uint64_t flags) KMN_MUST_CHECK;
/* Goes by another number from now on; nothing where there is no such session. */
void kmn_session_rename(struct kmn_instance *instance, uint64_t from, uint64_t to);
void kmn_session_remove(struct kmn_instance *instance, uint64_t handle);
void kmn_session_remove_slot(struct kmn_instance *instance, uint64_t slot);
void kmn_session_remove_all(struct kmn_instance *instance);
void kmn_session_remove_branch(struct kmn_branch *branch);
/* The operation of that kind (one bit). */
struct kmn_operation *kmn_session_operation(struct kmn_session *session, unsigned kind);
void kmn_operation_begin(struct kmn_operation *op, struct kmn_call_state *call);
void kmn_operation_end(struct kmn_operation *op);
/* A message ended, or another begins: its parts are forgotten. */
void kmn_operation_next_message(struct kmn_operation *op, struct kmn_keeper *k);
/* Takes a part into the digests and the spool. */
kmn_err kmn_operation_feed(struct kmn_operation *op, const uint8_t *part, size_t len) KMN_MUST_CHECK;

/* ---- track.c: what the outcome of a call changes ----------------------------------------------------------------- */

void kmn_track_session(struct kmn_call_state *call, const struct kmn_response_view *response);
void kmn_track_operation(struct kmn_call_state *call, const struct kmn_response_view *response);

/* ---- turn.c ----------------------------------------------------------------------------------------------------- */

/* True: it is this call's turn in its session. False: it waits, and kmn_call_begin() is called when it is. */
bool kmn_turn_take(struct kmn_call_state *call);
bool kmn_turn_is_free(const struct kmn_call_state *call);
void kmn_turn_leave(struct kmn_call_state *call);
/* The call, or its session, goes away. */
void kmn_turn_forget(struct kmn_call_state *call);
void kmn_turn_end_session(struct kmn_keeper *k, struct kmn_session *session);
/* Begins it from the loop. */
void kmn_turn_make_ready(struct kmn_keeper *k, struct kmn_call_state *call);
/* Begins what has its turn. */
void kmn_turn_run(struct kmn_keeper *k);

#endif
