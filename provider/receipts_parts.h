/* What receipts.c, keep.c, evidence.c, accounts.c and proofs.c share. */
#ifndef KANMON_PROVIDER_RECEIPTS_PARTS_H
#define KANMON_PROVIDER_RECEIPTS_PARTS_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "provider/receipts.h"

#define KMN_ACCOUNT_BUCKETS 64u

struct kmn_trail {
	atomic_uint users;
	uint64_t channel;       /* set once, by kmn_receipts_greet */
	struct kmn_seen before; /* see above for whose it is */
};

/* A key with which accepted heads are cosigned. */
struct kmn_cosigner {
	struct kmn_vkey vkey;
	uint8_t *secret; /* sodium_malloc, KMN_ED25519_SECRET_BYTES, no access while idle */
};

/* What the gateway is told of a receipt that did not hold: once, for after the first nothing more is judged. */
struct kmn_complaint {
	enum { KMN_COMPLAINT_NONE, KMN_COMPLAINT_DUE, KMN_COMPLAINT_MADE } step;
	unsigned tries;
	uint64_t number; /* of the call */
	enum kmn_receipt_fault fault;
	uint8_t req_sha256[KMN_HASH_BYTES], resp_sha256[KMN_HASH_BYTES];
};

struct kmn_account;
struct kmn_known_key;

/* One answer that waits for its judgement. */
struct kmn_pending {
	STAILQ_ENTRY(kmn_pending) link;
	struct kmn_trail *trail; /* with a use of it */
	struct kmn_claim claim;
	uint64_t since_ms;
	size_t receipt_len, len;
	uint8_t bytes[]; /* the receipt, then the values of the claim */
};

struct kmn_book {
	uint8_t mode;                                  /* set once */
	const char *origin;                            /* set once, the settings' */
	char *spool;                                   /* set once: $KANMON_RECEIPT_DIR, or NULL */
	struct kmn_heads *heads;                       /* set once; NULL: stateless */
	struct kmn_vkey keys[KMN_CLIENT_LOG_KEYS_MAX]; /* set once */
	size_t key_count;                              /* set once */
	struct kmn_cosigner *cosigner;                 /* set once; NULL: none */
	atomic_bool failed;
	atomic_int fault;    /* enum kmn_receipt_fault, of the first that failed */
	atomic_uint waiting; /* in the queue */

	pthread_mutex_t lock; /* guards what is below */
	struct kmn_complaint complaint;
	struct kmn_seen accepted, kept;
	bool keeping;         /* a thread writes */
	bool draining;        /* a thread judges the queue */
	bool cosigning;       /* a thread hands in a cosignature */
	uint64_t tokens_ms;   /* how much keeping is saved up, see keep.c */
	uint64_t filled_ms;   /* when that was last counted */
	uint64_t cosigned_ms; /* when */
	uint64_t cosigned_size;
	STAILQ_HEAD(, kmn_pending) queue; /* in the order in which they came */
	size_t queued_bytes;
	LIST_HEAD(, kmn_account) accounts[KMN_ACCOUNT_BUCKETS];    /* by session */
	LIST_HEAD(, kmn_known_key) keys_seen[KMN_ACCOUNT_BUCKETS]; /* by handle */
};

/* What was found wrong, for the evidence. NULL: not there. */
struct kmn_finding {
	enum kmn_receipt_fault fault;
	const char *why;
	const struct kmn_claim *claim;
	const struct kmn_seen *mine; /* the head that it is held against */
	const struct kmn_seen *theirs;
	const struct kmn_path *proof;
	uint64_t proof_from, proof_to;
	const void *receipt;
	size_t receipt_len;
};

/* The receipt of this call is the one that did not hold. Only the first counts. */
void kmn_complaint_note(struct kmn_book *receipts, const struct kmn_claim *claim);

/* Writes the evidence and fails for good; KMN_E_RECEIPT. */
kmn_err kmn_receipts_fail(struct kmn_book *receipts, const struct kmn_finding *finding);

/*
 * `seen` was proven to continue `linked` (NULL: nothing). Proves what it has to do with `accepted`, and makes it that
 * if it is newer. KMN_E_RECEIPT; others: the connection broke.
 */
kmn_err kmn_receipts_accept(struct kmn_book *receipts, const struct kmn_seen *seen, const struct kmn_head *linked,
    const struct kmn_wire *wire) KMN_MUST_CHECK;

/* Keeps what is accepted, if it is time or `now`; hands in a cosignature, likewise. */
kmn_err kmn_receipts_keep(struct kmn_book *receipts, const struct kmn_wire *wire, bool now) KMN_MUST_CHECK;
kmn_err kmn_receipts_cosign(struct kmn_book *receipts, const struct kmn_wire *wire, bool now) KMN_MUST_CHECK;

kmn_err kmn_cosigner_load(const char *path, struct kmn_cosigner **cosigner_out) KMN_MUST_CHECK;
void kmn_cosigner_free(struct kmn_cosigner *cosigner);
/* A proof as c2sp.org/tlog-proof@v1; free(). */
kmn_err kmn_proof_text(const struct kmn_receipt *receipt, uint64_t index, const char *note, size_t note_len,
    char **text_out, size_t *len_out) KMN_MUST_CHECK;
/* Puts the proof of a record that is worth keeping into the spool, if there is one. */
void kmn_proof_spool(const struct kmn_book *book, const struct kmn_claim *claim, const struct kmn_receipt *receipt,
    const struct kmn_receipt_found *found, const struct kmn_seen *seen);

/* A call of which no receipt comes: it may have begun an operation, with a key that the ledger will name. */
void kmn_accounts_begun(struct kmn_book *book, const struct kmn_claim *claim);
/* The key with which the operation of a call was begun. 0: not known, or there is none. */
uint64_t kmn_accounts_key(struct kmn_book *book, const struct kmn_claim *claim);
/* Which public half the ledger named for that key before; false if it never did. */
bool kmn_accounts_spki(struct kmn_book *book, uint64_t handle, uint8_t spki_sha256_out[KMN_HASH_BYTES]);
/* A receipt that held. */
void kmn_accounts_note(struct kmn_book *book, const struct kmn_claim *claim, const struct kmn_receipt_found *found,
    const struct kmn_seen *seen, const uint8_t *bytes, size_t len);
void kmn_accounts_clear(struct kmn_book *book);

#endif
