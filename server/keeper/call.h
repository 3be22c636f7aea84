/*
 * A call, from the frame that brought it to the answer that the client acknowledged. state.h draws its life.
 */
#ifndef KANMON_KEEPER_CALL_H
#define KANMON_KEEPER_CALL_H

#include <jansson.h>
#include <sys/queue.h>

#include "kanmon/attach.h"
#include "kanmon/base.h"
#include "kanmon/codec.h"
#include "kanmon/content.h"
#include "kanmon/err.h"
#include "kanmon/key.h"
#include "kanmon/operation.h"
#include "kanmon/policy.h"
#include "kanmon/receipt.h"
#include "kanmon/record.h"
#include "kanmon/sealedpin.h"

struct kmn_branch;
struct kmn_conn;
struct kmn_find;
struct kmn_instance;
struct kmn_keeper;
struct kmn_operation;
struct kmn_policy;
struct kmn_reader;
struct kmn_session;
struct kmn_token;
struct kmn_writer;

#define KMN_KEEPER_KEYS_MAX 6 /* key or object handles that one call is judged by */

enum kmn_call_step {
	KMN_STEP_FACTS,   /* asks the worker what the call is about */
	KMN_STEP_START,   /* decision written, waits until it is durable */
	KMN_STEP_HELD,    /* waits for a quorum */
	KMN_STEP_EVENT,   /* waits for a slot event */
	KMN_STEP_RUNNING, /* the module works */
	KMN_STEP_RELEASE, /* outcome written, waits until it is durable */
	KMN_STEP_DONE,    /* outcome kept for the client */
};

struct kmn_call_state {
	TAILQ_ENTRY(kmn_call_state) durable; /* in keeper->durable while waits_for > 0 */
	TAILQ_ENTRY(kmn_call_state) turn;    /* in keeper->logins while it waits for its turn */
	TAILQ_ENTRY(kmn_call_state) queue;   /* in session->waiting, keeper->ready or instance->mapping */
	LIST_ENTRY(kmn_call_state) held;     /* in keeper->held while HELD */
	struct kmn_keeper *keeper;
	struct kmn_instance *instance;
	struct kmn_conn *conn; /* waits for the answer; NULL: lost, or parked */
	uint64_t chan, number;
	uint8_t *bytes; /* request payload, owned, wiped */
	size_t len;
	uint8_t payload_sha256[KMN_HASH_BYTES]; /* compares repeated numbers */
	uint8_t req_sha256[KMN_HASH_BYTES];     /* number and payload, as the ledger has it */
	struct kmn_call_view view;              /* into bytes */
	enum kmn_call_step step;
	int64_t received_us;
	uint64_t started_us; /* when the module was asked */

	struct kmn_session *session; /* by handle at the start; NULL: none or unknown */
	uint64_t session_handle;
	struct kmn_operation *operation; /* that a key-use data call belongs to; its serial when it was judged: */
	uint64_t operation_serial;
	struct kmn_branch *branch; /* where it goes; NULL: the keeper answers it itself (local.c) */
	CK_RV local_rv;            /* then, if it is not CKR_OK, this */
	bool has_turn, in_waiting, in_ready, in_mapping;
	bool parked; /* HELD was sent */
	bool has_slot;
	uint64_t slot;        /* as the client sees it */
	uint64_t vendor_slot; /* as the branch's module does */
	struct kmn_token *token;
	struct kmn_key_facts key[KMN_KEEPER_KEYS_MAX];
	uint64_t key_handle[KMN_KEEPER_KEYS_MAX];
	unsigned key_count, keys, keys_asked; /* wanted, known, asked for */
	unsigned keys_needed;                 /* the first of those wanted, without which the call comes to nothing */
	bool key_missing;                     /* one of these is not there */
	uint64_t
	    nobody[KMN_KEEPER_KEYS_MAX]; /* handles that name nothing: the module is told none that it could know */
	unsigned nobodies;
	uint64_t key_rv; /* what the module said of one that it does not know */
	bool token_asked;
	bool reads_secrets;    /* C_GetAttributeValue of what may be secret of a key */
	const char *peer_name; /* the policy's */

	char durability; /* 'A', 'B' or 'C' */
	bool starts_side;
	struct kmn_verdict verdict;
	const struct kmn_policy *judged_by; /* it lives as long as the quorum */
	kmn_err why;                        /* of a refusal: KMN_OK stands for KMN_E_DENIED */
	json_t *intent;                     /* body as this call would have it; owned */
	bool has_norm, has_data;            /* of a signature */
	struct kmn_norm norm;
	const uint8_t *data; /* what is signed, view into bytes, joined or the operation's spool */
	size_t data_len;
	struct kmn_material material; /* data, and what was attached: views */
	struct kmn_attached attached; /* owned */
	struct kmn_find *find;        /* C_FindObjects: what is looked through; owned */
	bool looked_through;
	uint8_t *joined;           /* the parts of a message and its last one; owned */
	struct kmn_key_facts made; /* the key that the call made */
	bool has_made;
	const char *selfcheck; /* static, NULL: nothing was signed */
	uint8_t resp_sha256[KMN_HASH_BYTES];
	uint64_t took_us;
	struct kmn_response_view own_response; /* in place of one that is not released */
	bool has_login; /* a C_Login by the PIN that the shares sealed to this key open (activation.h) */
	uint8_t login[KMN_SHARE_KEY_BYTES];
	char *sealed_text; /* of the sealed PIN that its pair is made for; NULL: none is being made */
	bool blind;        /* held, and carries what no record holds: only this very call meets its approval */
	bool in_logins, in_held;
	void (*in_turn)(struct kmn_call_state *call); /* what it does when its turn in keeper->logins comes */
	uint64_t turn_us;                             /* when that was; 0: it waits for it */
	struct kmn_ref request, decision;             /* class A */
	struct kmn_ref outcome;                       /* the record that tells the answer */
	struct kmn_ref again;                         /* of a redelivery, the result it hands out */
	struct kmn_salts *salts;                      /* of its commitments, until the client has them; NULL: none */
	enum kmn_record_kind told_by; /* kind of outcome; KMN_R_UNKNOWN: the answer has no record of its own */
	unsigned use;
	uint64_t window; /* 1 more than the index of the window that it uses, 0: none */
	uint64_t
	    opening;  /* 1 more than that of the request for one which its recorded use waits for, 0: for none yet */
	bool handed;  /* a recorded result is its answer, whole */
	bool decided; /* a decision allow stands and no result yet */

	size_t waits_for;                          /* ledger size that must be durable, 0: nothing */
	void (*then)(struct kmn_call_state *call); /* what goes on then */
	uint8_t *reply;                            /* response payload, owned, wiped */
	size_t reply_len;
};

/* ---- begin.c ---------------------------------------------------------------------------------------------------- */

/* Looks at a call that came, and begins it when its session is free. */
void kmn_call_start(struct kmn_keeper *k, struct kmn_call_state *call);
/* It is known where it goes: begins, from the loop. */
void kmn_call_ready(struct kmn_call_state *call);
/* It is its turn: asks for facts, judges. */
void kmn_call_begin(struct kmn_call_state *call);

/* ---- call.c, send.c, reply.c, refuse.c -------------------------------------------------------------------------- */

struct kmn_call_state *kmn_call_new(
    struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, const uint8_t *payload, size_t len);
/* The operation it was judged by is gone, is another, or has got more parts since. */
bool kmn_call_lost_operation(const struct kmn_call_state *call);
void kmn_call_free(struct kmn_call_state *call);
/* It cannot go on where it is: ends for that reason. */
void kmn_call_lost(struct kmn_call_state *call, kmn_err reason);
/* Names it among the requests of which nobody knows what came (record `recovery`). */
void kmn_call_add_undecided(const struct kmn_call_state *call, json_t *open);
/*
 * Somebody logs in, or the like (takes_turns()). Not for longer than KMN_TURN_MAX_MS: a person at a PIN pad, or a module
 * that takes long to start, keeps nobody else away.
 */
#define KMN_TURN_MAX_MS 3000
bool kmn_call_login_runs(const struct kmn_keeper *k);
/* The next of keeper->logins runs. */
void kmn_call_next_login(struct kmn_keeper *k);
/* In keeper->logins until it leaves, or KMN_TURN_MAX_MS after its turn came; `in_turn` runs when it comes. */
void kmn_call_take_turn(struct kmn_call_state *call, void (*in_turn)(struct kmn_call_state *call));
void kmn_call_leave_turn(struct kmn_call_state *call);
/* To the module: at once, or, for a login, when it is its turn. Only begin.c and run() know what may be sent (K1). */
void kmn_call_send(struct kmn_call_state *call);
/* The request as the module is to see it: a slot by the module's own number, no session that the keeper has not. */
void kmn_call_put_request(const struct kmn_call_state *call, struct kmn_writer *w);
/* What a request for the worker begins with: KMN_WF_*, and the handles that are nobody's. */
void kmn_call_put_flags(const struct kmn_call_state *call, uint8_t flags, struct kmn_writer *w);
void kmn_call_send_in_turn(struct kmn_call_state *call);
/* What PKCS#11 says of it is there: what it changed is noted, what must be is recorded. Takes `reply`. */
void kmn_call_take_reply(struct kmn_call_state *call, uint8_t *reply, size_t len);
/* Counts a class C call of its connection. */
void kmn_call_count(struct kmn_call_state *call);
/* The rest of a worker's answer, as a copy. */
void kmn_call_copy_reply(struct kmn_reader *r, uint8_t **reply_out, size_t *len_out);
/* The refusal of a call without an intent: one `op` record. */
void kmn_call_refuse_op(struct kmn_call_state *call, CK_RV rv);
/* What a refusal looks like to PKCS#11, by call->why; noted with the session. */
CK_RV kmn_call_refusal_rv(struct kmn_call_state *call);
/* Write the decision `allow` (K1: nothing runs before) and run when it is durable. */
void kmn_call_decide_and_run(struct kmn_call_state *call);
/* For the log. */
void kmn_call_say_refused(const struct kmn_call_state *call);
/* Write intent and decision `deny`, and answer what a refusal looks like to PKCS#11. */
void kmn_call_refuse(struct kmn_call_state *call);
/* The same of one whose intent is written. */
void kmn_call_deny(struct kmn_call_state *call);
/* The answer is this response payload (taken over), or an empty one with `rv`, once what is recorded is durable. */
void kmn_call_finish(struct kmn_call_state *call, uint8_t *reply, size_t len);
void kmn_call_finish_rv(struct kmn_call_state *call, CK_RV rv);
void kmn_call_answer(struct kmn_call_state *call);
kmn_err kmn_call_reply_error(
    const struct kmn_call_state *call, CK_RV rv, uint8_t **reply_out, size_t *len_out) KMN_MUST_CHECK;
/* The error of a data call ends its operation in the vendor's module too: its own session is closed. */
void kmn_call_drop_side(struct kmn_call_state *call);

/* ---- mechanisms.c: mechanisms as a client sees them ------------------------------------------------------------- */

/* Whether the call names a mechanism that the client does not see on the token. */
bool kmn_mechanisms_hide(const struct kmn_call_state *call);
/* Whether there may be any such; else C_GetMechanismList goes to the module as it is. */
bool kmn_mechanisms_are_limited(const struct kmn_call_state *call);
/* C_GetMechanismList: asks the module for all, and answers what is left. */
void kmn_mechanisms_list(struct kmn_call_state *call);

/* ---- objects.c: objects that the policy hides ------------------------------------------------------------------- */

/* Whether the client's rules on queries name objects: then the objects of its calls are asked for. */
bool kmn_objects_are_limited(const struct kmn_call_state *call);
/* Whether the call uses one that the client may not even ask about; after the facts are there. */
bool kmn_objects_hide(const struct kmn_call_state *call);
/* C_FindObjects: takes hidden ones out of what the module found. True: kmn_call_take_reply() is called again, later. */
bool kmn_objects_look_through(struct kmn_call_state *call, const struct kmn_response_view *response);
void kmn_objects_forget_call(struct kmn_call_state *call);

/* ---- local.c: answers that no module gives ---------------------------------------------------------------------- */

/* The response with a list of slots or mechanisms, as much of it as the caller asked for. */
void kmn_local_put_list(const struct kmn_call_state *call, const uint64_t *items, size_t n, struct kmn_writer *w);
/* Appends the response of a call whose branch is NULL. */
void kmn_local_answer(const struct kmn_call_state *call, struct kmn_writer *w);

/* ---- async.c ---------------------------------------------------------------------------------------------------- */

/* In an answer to C_GetTokenInfo: CKF_ASYNC_SESSION_SUPPORTED, where a rule can hold calls of the client. */
void kmn_async_mark(const struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply);

/* ---- reason.c: what PKCS#11 says of what the module did not ----------------------------------------------------- */

CK_RV kmn_reason_rv(const struct kmn_call_state *call, kmn_err reason);
/* Remembers it with the session, for ulDeviceError. */
void kmn_reason_note(struct kmn_call_state *call, kmn_err reason);
/* Both. */
CK_RV kmn_reason_end(struct kmn_call_state *call, kmn_err reason);

/* ---- salts.c ---------------------------------------------------------------------------------------------------- */

enum kmn_salt { KMN_SALT_IN, KMN_SALT_OUT, KMN_SALTS };

/* One salt for each value that a call's records commit to. */
struct kmn_salts {
	uint8_t salt[KMN_SALTS][KMN_OPENING_SALT_BYTES];
	bool drawn[KMN_SALTS];
};
/* Fresh at the first asking, then the same; valid until it is forgotten. */
const uint8_t *kmn_salts_draw(struct kmn_call_state *call, enum kmn_salt which);
void kmn_salts_forget(struct kmn_call_state *call);

#endif
