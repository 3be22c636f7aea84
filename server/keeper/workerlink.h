/*
 * HSM workers: processes that hold a vendor's module each, what they were asked, and who watches for slot events.
 */
#ifndef KANMON_KEEPER_WORKERLINK_H
#define KANMON_KEEPER_WORKERLINK_H

#include <sys/queue.h>

#include "kanmon/base.h"
#include "kanmon/err.h"

struct kmn_branch;
struct kmn_conn;
struct kmn_ipc;
struct kmn_keeper;
struct kmn_reader;

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

/* ---- interfaces.c ---------------------------------------------------------------------------------------------- */

/* The end of KMN_W_READY; a failure is kept in r. */
void kmn_lists_read(struct kmn_lists *lists, struct kmn_reader *r);
/* Answers INTERFACES. */
void kmn_interfaces_take(struct kmn_keeper *k, struct kmn_conn *conn, uint16_t version);

#endif
