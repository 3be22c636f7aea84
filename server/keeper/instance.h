/*
 * An application (instance), its part in each module (branch), and the slots and tokens that it sees. It outlives its
 * connections, and goes when the last of them is gone for long enough.
 */
#ifndef KANMON_KEEPER_INSTANCE_H
#define KANMON_KEEPER_INSTANCE_H

#include <sys/queue.h>

#include "kanmon/base.h"
#include "kanmon/err.h"
#include "kanmon/frame.h"
#include "kanmon/note.h"
#include "kanmon/policy.h"
#include "kanmon/replay.h"
#include "kanmon/roles.h"

struct kmn_call_state;
struct kmn_conn;
struct kmn_keeper;
struct kmn_reader;
struct kmn_receipted;
struct kmn_response_view;
struct kmn_session;
struct kmn_survey;
struct kmn_worker;
struct kmn_writer;

#define KMN_PARKED_MAX 256u /* calls of an application that are left aside */
#define KMN_INSTANCE_CALLS (KMN_WINDOW_NUMBERS + KMN_PARKED_MAX)
#define KMN_KEEPER_SLOTS_MAX 256u /* of one module, that a map looks at */

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
	int64_t cosigned_ms;             /* boot time of its last `cosign` record; 0: none */
	struct kmn_receipted *receipted; /* answers that it may complain of (complaint.c); NULL: none yet */
	bool same_abi;                   /* bytes in the client's layout may go to a worker of this machine */
	uint64_t signatures;             /* class B, for selfcheck by sample */
	unsigned connections;
	int64_t alone_since_ms; /* boot time when the last connection went, 0: has one */
};

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

/* Whether a client may see a token of this module: a line of its own names it, or names none. */
bool kmn_branch_may_see(const struct kmn_keeper *k, const struct kmn_policy_peer *peer, unsigned module);
/* Whether this client would be given the branches that the application has. */
bool kmn_branch_fits(
    const struct kmn_keeper *k, const struct kmn_instance *instance, const struct kmn_policy_peer *peer);
/* Asks for the worker of each module whose tokens the client may see. False: there is no memory. */
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

#endif
