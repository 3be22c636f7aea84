/*
 * The keeper's state, shared by the files of this room and by nobody else.
 *
 * One thread, one epoll loop: no field here has a lock. The ledger's committer
 * is the only other thread and is reached through log.h alone.
 *
 *   connection (gate)  n ── 1  instance (application)  1 ── n  branch ── worker (HSM module)
 *                                 │ 1 ── n session ── n operation
 *                                 │ 1 ── n call (by number, inside the replay window)
 *
 * A call's life, and the function that makes each step:
 *
 *   kmn_call_start ──▶ FACTS ──judge──▶ RUNNING ──reply──▶ RELEASE ──durable──▶ DONE
 *                        │ describe      ▲   (class C: no record; B: op; A: result)
 *                        │               │ durable(decision)
 *                        ├─ class A ──▶ START
 *                        │               ▲ kmn_hold_advance: the quorum is met
 *                        └─ held ─────▶ HELD ──rejected, expired, wait over──▶ RELEASE
 *
 * Invariants:
 *  K1 a request payload of class A reaches a worker only from run() of call.c, after its decision is durable.
 *  K2 a reply reaches the gate only from kmn_call_answer(), in state DONE; for classes A and B that is after its
 *     record is durable.
 *  K3 a number is looked at once (replay.h); its outcome is kept until the client acknowledged it.
 *  K4 every record that is appended is applied to the quorum state at once, by kmn_keeper_append() alone.
 *  K5 in a session one call is at work at a time, from its judgement to the module's reply (turn.c): what was judged
 *     about an operation is true when the module gets the call. C_SessionCancel alone overtakes: it starts nothing.
 */
#ifndef KANMON_KEEPER_STATE_H
#define KANMON_KEEPER_STATE_H

#include <openssl/evp.h>
#include <sys/queue.h>

#include "kanmon/action.h"
#include "kanmon/attach.h"
#include "kanmon/codec.h"
#include "kanmon/frame.h"
#include "kanmon/ipc.h"
#include "kanmon/key.h"
#include "kanmon/log.h"
#include "kanmon/quorum.h"
#include "kanmon/receipt.h"
#include "kanmon/replay.h"
#include "kanmon/roles.h"
#include "kanmon/sealedpin.h"

#define KMN_PARKED_MAX 256u             /* calls of an application that are left aside */
#define KMN_INSTANCE_CALLS (KMN_WINDOW_NUMBERS + KMN_PARKED_MAX)
#define KMN_KEEPER_BUCKETS 256u         /* of each table below */
#define KMN_KEEPER_SPOOL_MAX (1u << 20) /* bytes of a multi-part signature kept for its content */
#define KMN_KEEPER_KEYS_MAX 6           /* key or object handles that one call is judged by */
#define KMN_KEEPER_SLOTS_MAX 256u       /* of one module, that a map looks at */

/* Operations that a secret or private key takes part in (C_Encrypt also a public one). */
#define KMN_SIGN_OPERATIONS (KMN_OP_SIGN | KMN_OP_SIGN_RECOVER | KMN_OP_MESSAGE_SIGN)
#define KMN_KEY_OPERATIONS \
	(KMN_OP_ENCRYPT | KMN_OP_DECRYPT | KMN_SIGN_OPERATIONS | KMN_OP_MESSAGE_ENCRYPT | KMN_OP_MESSAGE_DECRYPT)
#define KMN_OPERATION_KINDS 13u /* bits of enum kmn_operation_kind */

struct kmn_keeper;
struct kmn_call_state;
struct kmn_claim;
struct kmn_admin_wait;
struct kmn_find;

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

/* Token of a slot, as the module told it last. */
struct kmn_token {
	LIST_ENTRY(kmn_token) link;
	uint64_t slot;
	char label[64], manufacturer[64], model[32], serial[32], firmware[16];
	const char *module;                  /* its name, NULL where the gateway has one module only */
	struct kmn_policy_token_facts facts; /* points above */
};

/* One module's part of an application: the worker that holds it. The application lives while one part does. */
struct kmn_branch {
	struct kmn_instance *instance;
	unsigned index;            /* in the application: its handles are first_handle + index, by steps of all */
	unsigned module;           /* index in setup->modules */
	struct kmn_worker *worker; /* NULL: it did not start, or died */
};

/* A slot as a client sees it where the policy maps its tokens (docs/policy.md, Slots). */
struct kmn_place {
	uint64_t number;
	char token[KMN_POLICY_NAME_MAX_BYTES + 1]; /* name of the token line */
	struct kmn_branch *branch;                 /* that holds the token; NULL: an empty slot */
	uint64_t vendor;                           /* the module's number */
};

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
	kmn_err why;             /* of a refusal: KMN_OK stands for KMN_E_DENIED */
	json_t *intent;          /* body as this call would have it; owned */
	bool has_norm, has_data; /* of a signature */
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
	bool blind; /* held, and carries what no record holds: only this very call meets its approval */
	bool in_logins, in_held;
	void (*in_turn)(struct kmn_call_state *call); /* what it does when its turn in keeper->logins comes */
	uint64_t turn_us;                             /* when that was; 0: it waits for it */
	struct kmn_ref request, decision;             /* class A */
	struct kmn_ref outcome;                       /* the record that tells the answer */
	struct kmn_ref again;                         /* of a redelivery, the result it hands out */
	struct kmn_salts *salts;                      /* of its commitments, until the client has them; NULL: none */
	enum kmn_record_kind told_by; /* kind of outcome; KMN_R_UNKNOWN: the answer has no record of its own */
	unsigned use;
	uint64_t window;  /* 1 more than the index of the window that it uses, 0: none */
	uint64_t opening; /* 1 more than that of the request for one which its recorded use waits for, 0: for none yet */
	bool handed;  /* a recorded result is its answer, whole */
	bool decided; /* a decision allow stands and no result yet */

	size_t waits_for;                          /* ledger size that must be durable, 0: nothing */
	void (*then)(struct kmn_call_state *call); /* what goes on then */
	uint8_t *reply;                            /* response payload, owned, wiped */
	size_t reply_len;
};

struct kmn_instance {
	LIST_ENTRY(kmn_instance) link;
	struct kmn_keeper *keeper;
	uint8_t id[KMN_INSTANCE_ID_BYTES];
	uint8_t secret[KMN_INSTANCE_SECRET_BYTES];
	uint8_t gateway_random[32]; /* until ATTACHED is sent */
	uint8_t spki_sha256[KMN_HASH_BYTES];
	char provider[KMN_FRAME_TEXT_MAX_BYTES + 1], host[KMN_FRAME_TEXT_MAX_BYTES + 1];
	struct kmn_branch branch[KMN_MODULES_MAX];
	unsigned branches, starting; /* starting: whose worker is not there yet */
	struct kmn_place *place;     /* NULL: one module, and its own slots as they are */
	unsigned places;
	bool place_known;                     /* it was made once */
	bool place_stale;                     /* a token may have come or gone since the map was made */
	struct kmn_survey *survey;            /* makes the map anew */
	TAILQ_HEAD(, kmn_call_state) mapping; /* calls that wait for it */
	uint64_t event[64];                   /* slots of which an event is still to be told, as the client sees them */
	unsigned events;
	bool has_given; /* its own worker told of one in slot `given`: the watching one will, too */
	uint64_t given;
	struct kmn_conn *attaching; /* waits for ATTACHED */
	struct kmn_replay guard;
	uint64_t acknowledged;
	struct kmn_call_state *call[KMN_INSTANCE_CALLS]; /* by number modulo the window; then those left aside */
	LIST_HEAD(, kmn_session) sessions[64];
	LIST_HEAD(, kmn_token) tokens;
	uint64_t first_handle; /* what it is given begins here */
	uint8_t receipts;      /* KMN_RECEIPTS_* */
	bool cosigns;          /* it has a key to cosign heads with */
	struct kmn_vkey cosigner;
	int64_t cosigned_ms; /* boot time of its last `cosign` record; 0: none */
	struct kmn_receipted *receipted; /* answers that it may complain of (complaint.c); NULL: none yet */
	bool same_abi;       /* bytes in the client's layout may go to a worker of this machine */
	uint64_t signatures; /* class B, for selfcheck by sample */
	unsigned connections;
	int64_t alone_since_ms; /* boot time when the last connection went, 0: has one */
};

/* Function lists of a module, as a worker told with its first words. */
#define KMN_LISTS_MAX 8u
struct kmn_lists {
	unsigned count; /* 0: none has told yet */
	uint16_t version[KMN_LISTS_MAX];
	uint64_t flags[KMN_LISTS_MAX];
};

enum kmn_worker_step { KMN_WORKER_ASKED, KMN_WORKER_STARTING, KMN_WORKER_READY, KMN_WORKER_ENDING };

enum kmn_worker_use {
	KMN_WORKER_CALLS,   /* an application's */
	KMN_WORKER_HOUSE,   /* the keeper's own: public keys and token facts, never logs in */
	KMN_WORKER_WATCHES, /* the keeper's own: waits for slot events */
};

struct kmn_pending {
	TAILQ_ENTRY(kmn_pending) link;
	uint64_t tag;
	uint8_t answer;                                                              /* KMN_W_REPLY.. that is due */
	void (*done)(struct kmn_keeper *keeper, void *cookie, struct kmn_reader *r); /* r is NULL: the worker died */
	void *cookie;
};

struct kmn_worker {
	LIST_ENTRY(kmn_worker) link;
	TAILQ_ENTRY(kmn_worker) start; /* in keeper->starting until READY */
	uint32_t id;
	enum kmn_worker_step step;
	enum kmn_worker_use use;
	unsigned module;           /* index in setup->modules */
	struct kmn_ipc *ipc;       /* NULL until SPAWNED */
	struct kmn_branch *branch; /* NULL: the keeper's own, or its application is gone */
	int64_t ending_since_ms;
	TAILQ_HEAD(, kmn_pending) pending;
	uint16_t version; /* of Cryptoki, as C_GetInfo of the module says; 0 until READY */
	char manufacturer[64], description[64];
};

/* Slot events of one module. */
struct kmn_watch {
	struct kmn_worker *worker; /* NULL: nobody asked yet, it died, or it gave up */
	bool works;                /* it has told of one */
	CK_RV rv;                  /* not CKR_OK: what the module answered for good */
	int64_t not_before_ms;     /* boot time: not started again earlier */
};

struct kmn_keeper {
	const struct kmn_keeper_setup *setup;
	int epoll;
	bool stopping;
	char stop_reason[128];
	bool failed;                   /* no service any more */
	bool unrecorded;               /* the ledger takes no records (unrecorded.c) */
	int64_t stop_at_ms, ticked_ms; /* boot time */
	struct kmn_ipc *supervisor, *gate;
	struct kmn_ipc *courier;          /* NULL: none, or none now */
	TAILQ_HEAD(, kmn_errand) errands; /* what the courier owes an answer to */
	uint64_t next_errand;
	struct kmn_ipc *console;          /* NULL: none, or none now */
	struct kmn_consoling *consoling;  /* console.h; NULL: there never was one */
	struct kmn_runner {
		struct kmn_ipc *ipc; /* NULL: none, or none now */
		uint64_t job;        /* record of the instruction that it is at; 0: none */
	} runners[KMN_RUNNERS];
	bool has_runners;                 /* there was one, so there will be one */
	TAILQ_HEAD(kmn_jobs, kmn_job) jobs; /* runner.h; oldest first */
	size_t job_count;
	struct kmn_hooking *hooking;      /* NULL: no hook is configured */
	struct kmn_witnessing *witnessing; /* NULL: no witness is configured */
	struct kmn_store *store;
	struct kmn_log *log;
	struct kmn_guards *guards; /* guard.c */
	bool begun;                /* the guards fit: gateway.start is written */
	bool restart;              /* it ends to be started again, and that is no death (KMN_EXIT_RESTART) */
	struct {                   /* space.c */
		bool low;
		uint64_t looked_us, free_mib;
		int64_t starved_ms; /* boot time when the disk was full */
	} space;
	struct {              /* space.c */
		bool damaged; /* a sealed segment is not what it was */
		bool inside;  /* one is being read */
		int64_t next_ms;
	} scrub;
	struct kmn_recovery found; /* what opening the ledger found, until then */
	struct kmn_quorum *quorum;
	bool resumed;           /* it was made of chosen records (snapshot.c) */
	uint64_t replayed;      /* how many */
	uint64_t snapshot_size; /* of the ledger, when records were chosen last */
	char *policy_note;      /* of the policy in force, as people signed it */
	int64_t policy_warned_ms; /* when the log was told last that it expires; 0: not yet */
	int64_t started_ms;
	uint64_t next_tag;
	uint32_t next_worker;
	LIST_HEAD(, kmn_conn) conns[KMN_KEEPER_BUCKETS];
	uint32_t conn_count;
	LIST_HEAD(, kmn_instance) instances;
	LIST_HEAD(, kmn_worker) workers;
	TAILQ_HEAD(, kmn_worker) starting;    /* one start at a time: SoftHSM fails at random otherwise */
	TAILQ_HEAD(, kmn_call_state) durable; /* in the order of waits_for */
	TAILQ_HEAD(, kmn_call_state) logins;  /* one C_Login at a time, for the same reason; head runs */
	LIST_HEAD(, kmn_call_state) held;
	LIST_HEAD(, kmn_login) fresh;             /* key pairs in workers (activation.c) */
	bool sealed_refused[KMN_ACTIVATIONS_MAX]; /* the HSM did not take that sealed PIN: not tried again */
	char *sealed_anew[KMN_ACTIVATIONS_MAX];   /* texts that came after the start; NULL: the setup's holds */
	TAILQ_HEAD(, kmn_call_state) ready; /* have their turn, and start when the loop comes by */
	uint64_t operations;                /* serial of the last one */
	bool login_due;                     /* the head of logins may run */
	bool start_due;                     /* the head of starting may be asked for */
	int64_t starting_since_ms;          /* boot time when the supervisor was asked for the head of starting */
	bool held_due;                      /* a session became free: who is approved may run */
	struct kmn_lists lists[KMN_MODULES_MAX];
	struct kmn_worker *house[KMN_MODULES_MAX]; /* NULL: it died; started again when it is needed */
	struct kmn_watch watch[KMN_MODULES_MAX];
	TAILQ_HEAD(, kmn_admin_wait) admin_waits;
	uint64_t delivered[1024]; /* requests + 1 whose answer the client has, a ring */
	unsigned delivered_next;
	uint8_t spki_stored[64][KMN_HASH_BYTES]; /* public keys whose blob is known to be kept, a ring */
	unsigned spki_stored_next;
	LIST_HEAD(, kmn_salt_page) salts;
	struct kmn_head signed_head; /* that signed_note is of; size 0: none yet */
	char *signed_note;
	size_t signed_note_len;
	struct {
		int64_t now, boot; /* of the record that is made now */
		int64_t offset;    /* of the wall clock from the boot clock, as records have it */
		bool running;      /* gateway.start is written */
		bool held;         /* the next record has the sample that was judged by */
	} clock;
	struct kmn_stamping *stamping;      /* one for each TSA; NULL: there is none */
	uint64_t told;                      /* records that are not about the ledger itself */
	uint8_t chain_kept[KMN_HASH_BYTES]; /* blob with the certificates of the last time stamp */
	int64_t stamp_until_ms;             /* boot time: how long the end waits for a time stamp; 0: not asked */
	LIST_HEAD(, kmn_complainer) complainers; /* complaint.c */
	uint64_t statements_due;            /* intents whose statement record is still to be written */
};

/* ---- keeper.c: the loop, and what everybody needs ------------------------------------------------------------- */

int64_t kmn_keeper_now_ms(void);  /* wall clock */
int64_t kmn_keeper_boot_ms(void); /* CLOCK_BOOTTIME */
uint64_t kmn_keeper_now_us(void); /* CLOCK_MONOTONIC */
void kmn_keeper_random(void *out, size_t len);
const struct kmn_policy *kmn_keeper_policy(const struct kmn_keeper *k);
kmn_err kmn_keeper_watch(struct kmn_keeper *k, int fd, void *what) KMN_MUST_CHECK;

/*
 * Append a record and apply it to the quorum state. The body is stolen. A
 * failure is final: the keeper stops (fail closed), and the result only tells
 * the caller to go no further.
 */
kmn_err kmn_keeper_append(
    struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref_out) KMN_MUST_CHECK;
/* The same of a record whose member `own` is its own index. */
kmn_err kmn_keeper_append_named(struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, const char *own,
    struct kmn_ref *ref_out) KMN_MUST_CHECK;
/* Says of these requests (`open_requests` of a recovery record, taken over) that nothing more comes of them. */
void kmn_keeper_record_open(struct kmn_keeper *k, const char *reason, json_t *open);
/* No service from here on: says why, and the loop ends. */
void kmn_keeper_fail(struct kmn_keeper *k, const char *why);
/* The ledger could not be written: what needs a record is refused from here on. Another failure ends the service. */
void kmn_keeper_ledger_lost(struct kmn_keeper *k, const char *why);
/* Go on with `then` when everything appended so far is durable. */
void kmn_keeper_when_durable(struct kmn_call_state *call, void (*then)(struct kmn_call_state *call));

/* ---- clock.c: the wall clock against the boot clock -------------------------------------------------------------- */

void kmn_clock_init(struct kmn_keeper *k);
/* What the ledger takes its times from: the sample of the record that is being made. */
void kmn_clock_log_sources(struct kmn_keeper *k, struct kmn_log_sources *out);
void kmn_clock_sample(struct kmn_keeper *k);
/* The body of a `clock` record that must come first, NULL: none. After kmn_clock_sample(). */
json_t *kmn_clock_step(struct kmn_keeper *k) KMN_MUST_CHECK;
/* The time of the record that comes next: what expires is counted from it, for the wall clock may be behind it. */
int64_t kmn_clock_record_ms(struct kmn_keeper *k);
/* The same after gateway.start, whose time came to be `t`. */
json_t *kmn_clock_start(struct kmn_keeper *k, uint64_t t) KMN_MUST_CHECK;
void kmn_clock_tick(struct kmn_keeper *k);

/* ---- anchor.c: time stamps ---------------------------------------------------------------------------------------- */

kmn_err kmn_anchor_start(struct kmn_keeper *k) KMN_MUST_CHECK;
void kmn_anchor_clear(struct kmn_keeper *k);
void kmn_anchor_note_record(struct kmn_keeper *k, enum kmn_record_kind kind);
void kmn_anchor_tick(struct kmn_keeper *k);
/* Nothing runs any more: asks for a last time stamp, once; whether one is still to be waited for. */
bool kmn_anchor_stopping(struct kmn_keeper *k);
json_t *kmn_anchor_status(const struct kmn_keeper *k) KMN_MUST_CHECK;

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

/* ---- consolelink.c: the console (console.h) ------------------------------------------------------------------------ */

void kmn_consolelink_take(struct kmn_keeper *k, struct kmn_ipc *console, const char *why);
void kmn_consolelink_lost(struct kmn_keeper *k);
void kmn_consolelink_readable(struct kmn_keeper *k);
/* The first `size` records are durable. */
void kmn_consolelink_durable(struct kmn_keeper *k, size_t size);
void kmn_consolelink_tick(struct kmn_keeper *k);
/* A record was applied: who is signed in hears of it when it is durable. */
void kmn_console_note(struct kmn_keeper *k, const struct kmn_record *record);
/* Does what the loop has time for; whether there is more of it. */
bool kmn_consolelink_work(struct kmn_keeper *k);
void kmn_consolelink_clear(struct kmn_keeper *k);

/* ---- runnerlink.c: the console's own application (runner.h) ------------------------------------------------------- */

/* `place` is below KMN_RUNNERS. */
void kmn_runnerlink_take(struct kmn_keeper *k, unsigned place, struct kmn_ipc *runner, const char *why);
void kmn_runnerlink_lost(struct kmn_keeper *k, unsigned place);
void kmn_runnerlink_readable(struct kmn_keeper *k, unsigned place);
/* The first `size` records are durable. */
void kmn_runnerlink_durable(struct kmn_keeper *k, size_t size);
void kmn_runnerlink_clear(struct kmn_keeper *k);

/* ---- hooks.c: who is told what happened --------------------------------------------------------------------------- */

kmn_err kmn_hooks_start(struct kmn_keeper *k) KMN_MUST_CHECK;
void kmn_hooks_clear(struct kmn_keeper *k);
/* A record was applied: what hooks are told of it waits until it is durable. */
void kmn_hooks_note(struct kmn_keeper *k, const struct kmn_record *record);
/* The first `size` records are durable. */
void kmn_hooks_durable(struct kmn_keeper *k, size_t size);

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

/* ---- async.c --------------------------------------------------------------------------------------------------- */

/* In an answer to C_GetTokenInfo: CKF_ASYNC_SESSION_SUPPORTED, where a rule can hold calls of the client. */
void kmn_async_mark(const struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply);

/* ---- instance.c ------------------------------------------------------------------------------------------------ */

void kmn_instance_attach(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_instance_join(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
void kmn_instance_ready(struct kmn_keeper *k, struct kmn_instance *instance); /* its workers are */
void kmn_instance_call(struct kmn_keeper *k, struct kmn_conn *conn, const uint8_t *body, size_t len);
/* `withdraw`: with the last that waits for it the request ends too. */
void kmn_instance_end_wait(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, bool withdraw);
/* A connection watches from now on: what became ready before is said again. */
void kmn_instance_watch(struct kmn_instance *instance);
void kmn_instance_park(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number);
void kmn_instance_forget(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number);
void kmn_instance_conn_gone(struct kmn_keeper *k, struct kmn_conn *conn);
/* Ends the application: calls in flight become undecided in the ledger, the worker is told to go. */
void kmn_instance_end(struct kmn_keeper *k, struct kmn_instance *instance, const char *reason);
void kmn_instance_tick(struct kmn_keeper *k);
/* By its id; NULL: there is none. */
struct kmn_instance *kmn_instance_get(struct kmn_keeper *k, const uint8_t id[KMN_INSTANCE_ID_BYTES]);
unsigned kmn_instance_count(const struct kmn_keeper *k);

/* ---- branch.c: an application's part in each module ------------------------------------------------------------- */

/* Asks for the worker of each module whose tokens the client may see. False: there is no memory. */
/* Whether a client may see a token of this module: a line of its own names it, or names none. */
bool kmn_branch_may_see(const struct kmn_keeper *k, const struct kmn_policy_peer *peer, unsigned module);
/* Whether this client would be given the branches that the application has. */
bool kmn_branch_fits(
    const struct kmn_keeper *k, const struct kmn_instance *instance, const struct kmn_policy_peer *peer);
bool kmn_branch_start_all(struct kmn_keeper *k, struct kmn_instance *instance) KMN_MUST_CHECK;
void kmn_branch_ready(struct kmn_keeper *k, struct kmn_branch *branch); /* its worker is */
/*
 * Its worker does not start, died, or says what cannot be: its calls end, its sessions and tokens are gone, the other
 * branches go on. The last one takes the application with it.
 */
void kmn_branch_lost(struct kmn_keeper *k, struct kmn_branch *branch, const char *reason);
/* The branch that gave this handle, by its number; never NULL. */
struct kmn_branch *kmn_branch_of_handle(struct kmn_instance *instance, uint64_t handle);
/* Asks a branch's worker; KMN_E_WORKER where it has none. */
kmn_err kmn_branch_ask(struct kmn_keeper *k, struct kmn_branch *branch, uint8_t kind, const struct kmn_writer *body,
    void (*done)(struct kmn_keeper *, void *, struct kmn_reader *), void *cookie) KMN_MUST_CHECK;
/* Whether a worker still owes an answer for `cookie`. */
bool kmn_branch_is_asked(const struct kmn_instance *instance, const void *cookie);
/* Nothing that a worker of this application still says is for `cookie` any more. */
void kmn_branch_forget(struct kmn_instance *instance, const void *cookie);

/* ---- slots.c: slots as a client sees them ----------------------------------------------------------------------- */

/* From the policy's client line; before kmn_branch_start_all(). False: there is no memory. */
bool kmn_slots_init(struct kmn_keeper *k, struct kmn_instance *instance) KMN_MUST_CHECK;
void kmn_slots_clear(struct kmn_instance *instance);
/* Whether this client's line gives the application the slots that it has. */
bool kmn_slots_fit(const struct kmn_instance *instance, const struct kmn_policy_peer *peer);
/*
 * Finds where a call that names a slot, or asks for the list, goes. False: the map is being made anew, and
 * kmn_call_ready() is called when it is.
 */
bool kmn_slots_route(struct kmn_call_state *call) KMN_MUST_CHECK;
/* Where it goes by the map as it is. */
void kmn_slots_settle(struct kmn_call_state *call);
void kmn_slots_forget_call(struct kmn_call_state *call);
/* The client's number of a module's slot; false: it sees no such slot. */
bool kmn_slots_number(const struct kmn_branch *branch, uint64_t vendor, uint64_t *number_out);
/* Tokens may have come or gone. */
void kmn_slots_changed(struct kmn_instance *instance);
/* A branch has no worker any more. */
void kmn_slots_lost(struct kmn_branch *branch);

/* ---- event.c: slot events --------------------------------------------------------------------------------------- */

/* Something happened in a slot, as the client numbers it: its flag is set, and who waits or keeps facts is told. */
void kmn_event_raise(struct kmn_keeper *k, struct kmn_instance *instance, uint64_t slot);
/* C_WaitForSlotEvent: answers it, or parks it. False: it is the module's own to answer. */
bool kmn_event_wait(struct kmn_call_state *call) KMN_MUST_CHECK;
/* The module answered it. */
void kmn_event_given(struct kmn_call_state *call, const struct kmn_response_view *response);
/* KMN_W_EVENT; false: not what it must be. The worker may be gone after it. */
bool kmn_event_told(struct kmn_keeper *k, struct kmn_worker *worker, struct kmn_reader *r);
/* A watching worker that died is started again where somebody waits. */
void kmn_event_tick(struct kmn_keeper *k);

/* ---- local.c: answers that no module gives ---------------------------------------------------------------------- */

/* The response with a list of slots or mechanisms, as much of it as the caller asked for. */
void kmn_local_put_list(const struct kmn_call_state *call, const uint64_t *items, size_t n, struct kmn_writer *w);
/* Appends the response of a call whose branch is NULL. */
void kmn_local_answer(const struct kmn_call_state *call, struct kmn_writer *w);

/* ---- alias.c --------------------------------------------------------------------------------------------------- */

/* The frame ALIAS: answered when the worker has done it. */
void kmn_alias_take(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t old, uint64_t new);

/* ---- interfaces.c ---------------------------------------------------------------------------------------------- */

/* The end of KMN_W_READY; a failure is kept in r. */
void kmn_lists_read(struct kmn_lists *lists, struct kmn_reader *r);
/* Answers INTERFACES. */
void kmn_interfaces_take(struct kmn_keeper *k, struct kmn_conn *conn, uint16_t version);

/* ---- receipt.c -------------------------------------------------------------------------------------------------- */

/* The frame PROVE: answered with a consistency proof between two durable heads. */
void kmn_receipts_prove(struct kmn_keeper *k, const struct kmn_conn *conn, uint64_t from, uint64_t to);
/* Appends the receipt of the durable head, as bytes of the frame; empty where no receipts are asked for. */
kmn_err kmn_receipts_put_head(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_writer *w) KMN_MUST_CHECK;
/* The same of an answer's record; empty where the answer has none of its own. */
kmn_err kmn_receipts_put_answer(const struct kmn_call_state *call, struct kmn_writer *w) KMN_MUST_CHECK;
void kmn_receipts_clear(struct kmn_keeper *k);

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

/* ---- space.c ---------------------------------------------------------------------------------------------------- */

/* Free space is under the low-water mark. */
bool kmn_space_is_low(struct kmn_keeper *k);
/* Each second; also when the ledger takes nothing any more. */
void kmn_space_tick(struct kmn_keeper *k);
/* Reads a part of a sealed segment again, when it is time; each second. */
void kmn_scrub_tick(struct kmn_keeper *k);
/* Why no call of class A or B may begin now; KMN_OK: it may. */
kmn_err kmn_keeper_holds_back(struct kmn_keeper *k);

/* ---- snapshot.c: a start that does not grow with the ledger ------------------------------------------------------ */

/* The log's settings.resume. */
kmn_err kmn_keeper_resume(void *cookie, uint64_t size) KMN_MUST_CHECK;
/* Names the records of the state as it is now; the tick does so every few thousand records. */
void kmn_keeper_snapshot(struct kmn_keeper *k);
void kmn_keeper_snapshot_tick(struct kmn_keeper *k);

/* ---- unrecorded.c: when the ledger takes no records -------------------------------------------------------------- */

/* Ends a call that would need one; false: it may go on. */
bool kmn_unrecorded_refuses(struct kmn_call_state *call);
/* Ends what waits for a record, or stopped where one could not be written. */
void kmn_unrecorded_sweep(struct kmn_keeper *k);

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

/* ---- workerlink.c ---------------------------------------------------------------------------------------------- */

/* `branch` NULL: one of the keeper's own. NULL: no memory. */
struct kmn_worker *kmn_worker_new(
    struct kmn_keeper *k, enum kmn_worker_use use, unsigned module, struct kmn_branch *branch);
void kmn_worker_release(struct kmn_keeper *k, struct kmn_worker *worker); /* its instance is gone: end it */
/* A worker is being started: not for longer than KMN_TURN_MAX_MS. */
bool kmn_worker_starts(const struct kmn_keeper *k);
/* The next of keeper->starting is asked for, unless somebody logs in. */
void kmn_worker_start_next(struct kmn_keeper *k);
void kmn_workerlink_tick(struct kmn_keeper *k);
/* At the keeper's end: frees what is left, says nothing to anybody. */
void kmn_workerlink_clear(struct kmn_keeper *k);
void kmn_workerlink_spawned(struct kmn_keeper *k, uint32_t id, int fd);
void kmn_workerlink_exited(struct kmn_keeper *k, uint32_t id, const char *how);
void kmn_workerlink_readable(struct kmn_keeper *k, struct kmn_worker *worker);
struct kmn_worker *kmn_worker_by_id(struct kmn_keeper *k, uint32_t id);
/*
 * Sends a message that begins with a tag (written here) and calls `done` with
 * what comes back after the tag; with a NULL reader if the worker dies.
 */
kmn_err kmn_worker_ask(struct kmn_keeper *k, struct kmn_worker *worker, uint8_t kind, const void *body, size_t len,
    void (*done)(struct kmn_keeper *, void *, struct kmn_reader *), void *cookie) KMN_MUST_CHECK;
/* Forget what this cookie asked: its owner is going away. The answers are dropped. */
void kmn_worker_forget(struct kmn_worker *worker, const void *cookie);

/* ---- call.c ---------------------------------------------------------------------------------------------------- */

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

/* ---- objects.c: objects that the policy hides -------------------------------------------------------------------- */

/* Whether the client's rules on queries name objects: then the objects of its calls are asked for. */
bool kmn_objects_are_limited(const struct kmn_call_state *call);
/* Whether the call uses one that the client may not even ask about; after the facts are there. */
bool kmn_objects_hide(const struct kmn_call_state *call);
/* C_FindObjects: takes hidden ones out of what the module found. True: kmn_call_take_reply() is called again, later. */
bool kmn_objects_look_through(struct kmn_call_state *call, const struct kmn_response_view *response);
void kmn_objects_forget_call(struct kmn_call_state *call);

/* ---- reason.c: what PKCS#11 says of what the module did not ------------------------------------------------------ */

CK_RV kmn_reason_rv(const struct kmn_call_state *call, kmn_err reason);
/* Remembers it with the session, for ulDeviceError. */
void kmn_reason_note(struct kmn_call_state *call, kmn_err reason);
/* Both. */
CK_RV kmn_reason_end(struct kmn_call_state *call, kmn_err reason);

/* ---- begin.c ---------------------------------------------------------------------------------------------------- */

/* Looks at a call that came, and begins it when its session is free. */
void kmn_call_start(struct kmn_keeper *k, struct kmn_call_state *call);
/* It is known where it goes: begins, from the loop. */
void kmn_call_ready(struct kmn_call_state *call);
/* It is its turn: asks for facts, judges. */
void kmn_call_begin(struct kmn_call_state *call);

/* ---- judge.c ---------------------------------------------------------------------------------------------------- */

struct kmn_token *kmn_token_get(struct kmn_instance *instance, uint64_t slot);
void kmn_token_forget(struct kmn_instance *instance, uint64_t slot);
/* Reads KMN_W_TOKEN_FACTS after its tag; false: there is none to speak of. */
bool kmn_token_read(struct kmn_reader *r, const char *module, struct kmn_token *token_out);
struct kmn_token *kmn_token_take(struct kmn_branch *branch, uint64_t slot, struct kmn_reader *r);
/* The name of a module as policy and records have it: NULL where the gateway has one only. */
const char *kmn_token_module(const struct kmn_keeper *k, unsigned module);
const char *kmn_object_class_name(uint64_t class);
/* Asks the policy about a call that has no intent. */
void kmn_judge_question(struct kmn_call_state *call, struct kmn_verdict *verdict);
/* Asks the policy whether the client may ask about this object. */
void kmn_judge_query(const struct kmn_call_state *call, const struct kmn_key_facts *facts, struct kmn_verdict *verdict);
/* Refuses a call if any key but the first is not free for it. */
void kmn_judge_others(struct kmn_call_state *call);
/* Refuses to tell the secret of a key whose uses are not free. */
void kmn_judge_reading(struct kmn_call_state *call);
/* Verifies a signature before it is released; *selfcheck_out is what the record says of it. */
kmn_err kmn_check_signature(
    struct kmn_call_state *call, const struct kmn_response_view *response, const char **selfcheck_out) KMN_MUST_CHECK;

/* ---- hold.c: calls that wait for a quorum ----------------------------------------------------------------------- */

/* Find or create the request of a call that a rule holds, and park the call. */
void kmn_hold_start(struct kmn_call_state *call);
kmn_err kmn_hold_keep_data(struct kmn_call_state *call) KMN_MUST_CHECK;
void kmn_hold_tell(struct kmn_call_state *call);
void kmn_hold_ready(struct kmn_call_state *call);
/* After a vote, a statement or a tick: run or end what waits for this request. */
void kmn_hold_advance(struct kmn_keeper *k, uint64_t request);
/* Write the decision that ends a request, and let its callers go. */
kmn_err kmn_hold_end(struct kmn_keeper *k, uint64_t request, const char *verdict) KMN_MUST_CHECK;
/* A held call whose module is gone. */
void kmn_hold_lost(struct kmn_call_state *call);
/* A held call's result is recorded. */
void kmn_hold_ran(struct kmn_call_state *call);
/* The client has the answer of this call. */
void kmn_hold_delivered(struct kmn_keeper *k, const struct kmn_call_state *call);
/* A call goes away that alone could meet its approval: its request is withdrawn. Nothing for others. */
void kmn_hold_withdraw_blind(struct kmn_call_state *call);
/* C_SessionCancel: calls that wait in operations of these kinds end, and with the last that waits for it the request. */
void kmn_hold_cancel(struct kmn_session *session, unsigned kinds);
/* The client ends its wait. */
void kmn_hold_end_wait(struct kmn_call_state *call);
/* The same, and with the last that waits for it the request ends. */
void kmn_hold_withdraw(struct kmn_call_state *call);
void kmn_hold_forget(struct kmn_call_state *call);
bool kmn_hold_has_room(const struct kmn_keeper *k, const uint8_t client_spki_sha256[KMN_HASH_BYTES]);
/* Writes the statements that are due, now that their intents are durable. */
void kmn_hold_statements(struct kmn_keeper *k);
void kmn_hold_tick(struct kmn_keeper *k);

/* The call waits for call->request. */
void kmn_hold_park(struct kmn_call_state *call);
/* Refused, for a reason that the rule is named with. */
void kmn_hold_refuse(struct kmn_call_state *call, const char *reason);

/* ---- window.c: one approval for many calls ----------------------------------------------------------------------- */

/* Uses the window of the call's rule and key, or waits for it, or asks for one. */
void kmn_window_start(struct kmn_call_state *call);
/*
 * Of a call whose request is a use (kmn_quorum_needs_window): runs it, waits on, asks for a window, or ends it with the
 * request for one that came to nothing.
 */
void kmn_window_advance(struct kmn_call_state *call);
/* The decision `allow` of a call that uses a window; KMN_E_DENIED: it ended. */
kmn_err kmn_window_use_body(
    struct kmn_call_state *call, const struct kmn_request *request, json_t **body_out) KMN_MUST_CHECK;
/* A call's result is recorded: the window that it used may be used up. */
void kmn_window_ran(const struct kmn_call_state *call);
/* The intent that asks for a window of that rule, from `body` with who asks and about which key. */
void kmn_window_put(const struct kmn_keeper *k, const char *rule, json_t *body);
/* `window` of a request in answers: NULL where it is none. */
json_t *kmn_window_answer(const struct kmn_request *request);
/* The quorum is met: from here on calls use it. */
kmn_err kmn_window_open(struct kmn_keeper *k, const struct kmn_request *request) KMN_MUST_CHECK;

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

/* ---- admin.c ---------------------------------------------------------------------------------------------------- */

/* ---- attach.c: what the CA side hands in beside a call ----------------------------------------------------------- */

/* Blobs are kept for as long as the ledger. */
kmn_err kmn_attach_keep(struct kmn_keeper *k, const struct kmn_attached *attached) KMN_MUST_CHECK;
/* Data and econtent that an intent names, where they are kept; kmn_attached_clear. */
void kmn_attach_load(struct kmn_keeper *k, const json_t *intent, struct kmn_attached *out);
/*
 * A signature takes what was attached for it: into its intent, data and material. False: it is not what is signed, and
 * the call is refused (verdict).
 */
bool kmn_attach_take(struct kmn_call_state *call);
/*
 * Whether the instruction that its intent names, if it does, still wants just this call: to be asked right before the
 * intent is recorded. False: it is refused (verdict), and its intent names none any more.
 */
bool kmn_attach_is_instructed(struct kmn_call_state *call);
/* The two questions of admin.h; an error says why where there is more to say than its text. */
kmn_err kmn_attach_next(
    struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r, struct kmn_why *why) KMN_MUST_CHECK;
kmn_err kmn_attach_request(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r, uint64_t *request_out,
    struct kmn_why *why) KMN_MUST_CHECK;

void kmn_admin_take(struct kmn_keeper *k, struct kmn_conn *conn, const uint8_t *body, size_t len);
void kmn_admin_conn_gone(struct kmn_keeper *k, const struct kmn_conn *conn);
void kmn_admin_clear(struct kmn_keeper *k);
/* The first `size` records are durable. */
void kmn_admin_durable(struct kmn_keeper *k, size_t size);
/* The ledger takes no more records: what waits for one is refused. */
void kmn_admin_unrecorded(struct kmn_keeper *k);
/* For questions that other files answer; `conn` NULL: who asked is gone. `value` is taken over. */
void kmn_admin_answer(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value);
void kmn_admin_refuse(struct kmn_keeper *k, struct kmn_conn *conn, kmn_err error, const char *reason);
/* Takes `value`; sent when all that was appended so far is durable. */
void kmn_admin_answer_when_durable(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value);

/* ---- stance.c: anomalies of tokens ------------------------------------------------------------------------------- */

/* What stands against the token of the call. */
enum kmn_stance kmn_stance_of(const struct kmn_call_state *call, struct kmn_anomaly *anomaly_out);
/* On a degraded token nothing is of class B, and every signature is verified. */
void kmn_stance_degrade(struct kmn_call_state *call);
/* The module gave a signature that its public key does not confirm. */
void kmn_anomaly_signature(const struct kmn_call_state *call);
/* A token was asked what it is. */
void kmn_anomaly_token(struct kmn_keeper *k, const struct kmn_token *token);
/*
 * Records an anomaly of a token (the name of its line); `more` are further members of its body, or NULL; it is taken
 * over. False: one stands against the token already, which closed it: the same says nothing new.
 */
bool kmn_anomaly_record(
    struct kmn_keeper *k, const char *what, const char *token, const char *detail, json_t *more);
/* {token line: {"state", "anomaly", "leaf"}} of those that are not as they should be. */
json_t *kmn_stance_status(const struct kmn_keeper *k) KMN_MUST_CHECK;

/* ---- complaint.c: receipts that clients refuse --------------------------------------------------------------------- */

/* An answer went out with its receipt: the client may complain of it. */
void kmn_complaint_note(const struct kmn_call_state *call);
/* KMN_ADMIN_BAD_RECEIPT. */
void kmn_complaint_take(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
/* Of an application that ends; of the keeper. */
void kmn_complaint_forget(struct kmn_instance *instance);
void kmn_complaint_clear(struct kmn_keeper *k);

/* ---- note.c: what people sign ------------------------------------------------------------------------------------- */

/*
 * A vote, or a text of signed.h, whoever brings it: recorded, or refused with *why. *answer_out is for when all that was
 * appended is durable.
 */
kmn_err kmn_note_take(struct kmn_keeper *k, const char *by, const char *note, size_t len, json_t **answer_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* ---- policy.c: versions of the policy ----------------------------------------------------------------------------- */

/* KMN_ADMIN_POLICY_SUBMIT: the next version, signed by the quorums of both. */
void kmn_policy_submit(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
/*
 * The same, whoever brings it (`by`, for the log): *answer_out is for when all that was appended is durable. Peers and
 * sessions may be gone afterwards.
 */
kmn_err kmn_policy_take(struct kmn_keeper *k, const char *by, bool recovery, const char *note, size_t len,
    json_t **answer_out, struct kmn_policy_error *error) KMN_MUST_CHECK;
/* Says when it is about to expire; puts in force what the recovery role brought, when it is time. */
void kmn_policy_tick(struct kmn_keeper *k);
/* {"expires", "warning", "waiting"?: {"version", "sha256", "record", "left_s"}} */
json_t *kmn_policy_status(const struct kmn_keeper *k) KMN_MUST_CHECK;
/* {"note": of the policy in force, "waiting"?: of the one that the recovery role brought} */
json_t *kmn_policy_notes(const struct kmn_keeper *k) KMN_MUST_CHECK;

#endif
