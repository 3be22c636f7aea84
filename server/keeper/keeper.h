/*
 * The keeper itself: what there is once, the loop, and the ledger as the keeper writes it.
 */
#ifndef KANMON_KEEPER_KEEPER_H
#define KANMON_KEEPER_KEEPER_H

#include <jansson.h>
#include <sys/queue.h>

#include "server/keeper/workerlink.h"

#include "kanmon/base.h"
#include "kanmon/err.h"
#include "kanmon/log.h"
#include "kanmon/messages.h"
#include "kanmon/record.h"
#include "kanmon/roles.h"
#include "kanmon/tree.h"

struct kmn_admin_wait;
struct kmn_call_state;
struct kmn_complainer;
struct kmn_conn;
struct kmn_consoling;
struct kmn_errand;
struct kmn_finding;
struct kmn_guards;
struct kmn_hooking;
struct kmn_instance;
struct kmn_ipc;
struct kmn_job;
struct kmn_log;
struct kmn_login;
struct kmn_policy;
struct kmn_quorum;
struct kmn_salt_page;
struct kmn_stamping;
struct kmn_store;
struct kmn_witnessing;

#define KMN_KEEPER_BUCKETS 256u /* of each table below */

struct kmn_keeper {
	const struct kmn_keeper_setup *setup;

	/* The loop, and how it ends. */
	int epoll;
	int64_t started_ms;
	int64_t stop_at_ms, ticked_ms; /* boot time */
	bool stopping;
	char stop_reason[128];
	bool failed;     /* no service any more */
	bool unrecorded; /* the ledger takes no records (unrecorded.c) */
	bool begun;      /* the guards fit: gateway.start is written */
	bool restart;    /* it ends to be started again, and that is no death (KMN_EXIT_RESTART) */
	uint64_t next_tag;

	/* The other processes; workers are below. */
	struct kmn_ipc *supervisor, *gate;
	struct kmn_ipc *courier;          /* NULL: none, or none now */
	TAILQ_HEAD(, kmn_errand) errands; /* what the courier owes an answer to */
	uint64_t next_errand;
	struct kmn_ipc *console;         /* NULL: none, or none now */
	struct kmn_consoling *consoling; /* console.h; NULL: there never was one */
	struct kmn_runner {
		struct kmn_ipc *ipc; /* NULL: none, or none now */
		uint64_t job;        /* record of the instruction that it is at; 0: none */
	} runners[KMN_RUNNERS];
	bool has_runners;                   /* there was one, so there will be one */
	TAILQ_HEAD(kmn_jobs, kmn_job) jobs; /* runner.h; oldest first */
	size_t job_count;

	/* The ledger. */
	struct kmn_store *store;
	struct kmn_log *log;
	struct kmn_guards *guards;   /* guard.c */
	struct kmn_recovery found;   /* what opening the ledger found, until then */
	bool resumed;                /* the state was made of chosen records (snapshot.c) */
	uint64_t replayed;           /* how many */
	uint64_t snapshot_size;      /* of the ledger, when records were chosen last */
	struct kmn_head signed_head; /* that signed_note is of; size 0: none yet */
	char *signed_note;
	size_t signed_note_len;
	uint8_t spki_stored[64][KMN_HASH_BYTES]; /* public keys whose blob is known to be kept, a ring */
	unsigned spki_stored_next;
	LIST_HEAD(, kmn_salt_page) salts;
	LIST_HEAD(, kmn_complainer) complainers; /* complaint.c */
	struct {                                 /* space.c */
		bool low;
		uint64_t looked_us, free_mib;
		int64_t starved_ms; /* boot time when the disk was full */
	} space;
	struct {              /* space.c */
		bool damaged; /* a sealed segment is not what it was */
		bool inside;  /* one is being read */
		int64_t next_ms;
	} scrub;

	/* Time, and what others say of the ledger and are told of it. */
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
	struct kmn_witnessing *witnessing;  /* NULL: no witness is configured */
	struct kmn_hooking *hooking;        /* NULL: no hook is configured */

	/* Policy and people. */
	struct kmn_quorum *quorum;
	char *policy_note;        /* of the policy in force, as people signed it */
	int64_t policy_warned_ms; /* when the log was told last that it expires; 0: not yet */
	uint64_t statements_due;  /* intents whose statement record is still to be written */
	uint64_t delivered[1024]; /* requests + 1 whose answer the client has, a ring */
	unsigned delivered_next;
	TAILQ_HEAD(, kmn_admin_wait) admin_waits;

	/* Clients and their calls. */
	LIST_HEAD(, kmn_conn) conns[KMN_KEEPER_BUCKETS];
	uint32_t conn_count;
	LIST_HEAD(, kmn_instance) instances;
	uint64_t operations;                  /* serial of the last one */
	TAILQ_HEAD(, kmn_call_state) durable; /* in the order of waits_for */
	TAILQ_HEAD(, kmn_call_state) ready;   /* have their turn, and start when the loop comes by */
	LIST_HEAD(, kmn_call_state) held;
	bool held_due;                            /* a session became free: who is approved may run */
	TAILQ_HEAD(, kmn_call_state) logins;      /* one C_Login at a time, as with starting below; head runs */
	bool login_due;                           /* the head of logins may run */
	LIST_HEAD(, kmn_login) fresh;             /* key pairs in workers (activation.c) */
	bool sealed_refused[KMN_ACTIVATIONS_MAX]; /* the HSM did not take that sealed PIN: not tried again */
	char *sealed_anew[KMN_ACTIVATIONS_MAX];   /* texts that came after the start; NULL: the setup's holds */

	/* Workers, and the modules in them. */
	LIST_HEAD(, kmn_worker) workers;
	uint32_t next_worker;
	TAILQ_HEAD(, kmn_worker) starting; /* one start at a time: SoftHSM fails at random otherwise */
	bool start_due;                    /* the head of starting may be asked for */
	int64_t starting_since_ms;         /* boot time when the supervisor was asked for the head of starting */
	struct kmn_lists lists[KMN_MODULES_MAX];
	struct kmn_worker *house[KMN_MODULES_MAX]; /* NULL: it died; started again when it is needed */
	struct kmn_watch watch[KMN_MODULES_MAX];
};

/* ---- keeper.c: the loop, time and chance ------------------------------------------------------------------------ */

int64_t kmn_keeper_now_ms(void);  /* wall clock */
int64_t kmn_keeper_boot_ms(void); /* CLOCK_BOOTTIME */
uint64_t kmn_keeper_now_us(void); /* CLOCK_MONOTONIC */
void kmn_keeper_random(void *out, size_t len);
kmn_err kmn_keeper_watch(struct kmn_keeper *k, int fd, void *what) KMN_MUST_CHECK;
/* Messages of one peer that are heard before the others are again: who never stops is not the only one. */
#define KMN_KEEPER_HEARD_MAX 256u

/* ---- append.c: records ------------------------------------------------------------------------------------------ */

#define KMN_OPEN_IN_A_RECORD 200u /* open requests; a line holds no more than some 300 */

/* The one in force; never NULL. */
const struct kmn_policy *kmn_keeper_policy(const struct kmn_keeper *k);
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
/* The state that records make: the quorum's, and the text of the policy for those who ask. */
kmn_err kmn_keeper_apply(
    struct kmn_keeper *k, const struct kmn_record *record, struct kmn_finding *finding) KMN_MUST_CHECK;
/* Lets go on what waited for records that are on disk now. */
void kmn_keeper_release_durable(struct kmn_keeper *k);

/* ---- start.c ---------------------------------------------------------------------------------------------------- */

/* Opens and reads the ledger; service begins at once, or when the guards were asked. */
kmn_err kmn_keeper_start(struct kmn_keeper *k) KMN_MUST_CHECK;
/* Guards in a module are asked while the loop runs; there is no gate yet, so nothing else happens in it. */
void kmn_keeper_begin(struct kmn_keeper *k);

/* ---- supervisorlink.c ------------------------------------------------------------------------------------------- */

void kmn_supervisorlink_readable(struct kmn_keeper *k);

/* ---- clock.c: the wall clock against the boot clock ------------------------------------------------------------- */

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

/* ---- space.c ---------------------------------------------------------------------------------------------------- */

/* Free space is under the low-water mark. */
bool kmn_space_is_low(struct kmn_keeper *k);
/* Each second; also when the ledger takes nothing any more. */
void kmn_space_tick(struct kmn_keeper *k);
/* Reads a part of a sealed segment again, when it is time; each second. */
void kmn_scrub_tick(struct kmn_keeper *k);
/* Why no call of class A or B may begin now; KMN_OK: it may. */
kmn_err kmn_keeper_holds_back(struct kmn_keeper *k);

/* ---- snapshot.c: a start that does not grow with the ledger ----------------------------------------------------- */

/* The log's settings.resume. */
kmn_err kmn_keeper_resume(void *cookie, uint64_t size) KMN_MUST_CHECK;
/* Names the records of the state as it is now; the tick does so every few thousand records. */
void kmn_keeper_snapshot(struct kmn_keeper *k);
void kmn_keeper_snapshot_tick(struct kmn_keeper *k);

/* ---- unrecorded.c: when the ledger takes no records ------------------------------------------------------------- */

/* Ends a call that would need one; false: it may go on. */
bool kmn_unrecorded_refuses(struct kmn_call_state *call);
/* Ends what waits for a record, or stopped where one could not be written. */
void kmn_unrecorded_sweep(struct kmn_keeper *k);

#endif
