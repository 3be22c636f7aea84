/*
 * The newest head of the ledger that this client accepted, kept in a file that
 * all its processes share, and what lies beside it as evidence.
 *
 *   STATE/SHA-256 of the configured origin in hex/head      the signed note, byte for byte
 *                                                 /lock      flock of who writes
 *                                                 /evidence-TIME-PID.txt
 *
 * The folder is named by the configuration and never by what a gateway says:
 * one that calls itself by another name does not find an empty memory.
 *
 * Threads: any. Nothing is open between two calls, so a fork shares nothing.
 */
#ifndef KANMON_PROVIDER_HEADS_H
#define KANMON_PROVIDER_HEADS_H

#include "kanmon/client_settings.h"
#include "kanmon/receipt.h"

/* A head and the note that says so. */
struct kmn_seen {
	struct kmn_head head; /* size 0: none */
	size_t note_len;
	char note[KMN_RECEIPT_NOTE_MAX_BYTES];
};

/* Whether two are the same head. */
bool kmn_seen_same(const struct kmn_head *a, const struct kmn_head *b);

struct kmn_heads;

/* Finds the folder and makes what is missing of it. *heads_out is NULL with `state = none`. KMN_E_CONFIG, KMN_E_IO. */
kmn_err kmn_heads_new(const struct kmn_client_settings *settings, struct kmn_heads **heads_out) KMN_MUST_CHECK;
/* NULL is fine, here and below: nothing is kept then. */
void kmn_heads_free(struct kmn_heads *heads);

/*
 * The head that is kept, verified by one of the keys; size 0 when there is none. KMN_E_CORRUPT: no checkpoint of
 * the origin; KMN_E_SIGNATURE: of another log with the same name; KMN_E_IO.
 */
kmn_err kmn_heads_load(const struct kmn_heads *heads, const char *origin, const struct kmn_vkey *keys, size_t key_count,
    struct kmn_seen *seen_out) KMN_MUST_CHECK;

/*
 * Puts `next` in the place of `before` (size 0: of nothing), durable when it returns. KMN_E_AGAIN: another process
 * has put one there; load it, prove what it has to do with ours, and try again. KMN_E_IO.
 */
kmn_err kmn_heads_store(
    const struct kmn_heads *heads, const struct kmn_seen *before, const struct kmn_seen *next) KMN_MUST_CHECK;

/* A new evidence file with this text; its path goes to `path_out` for people. KMN_E_LIMIT: there are 64 already. */
kmn_err kmn_heads_evidence(
    const struct kmn_heads *heads, const char *text, size_t len, char path_out[4096]) KMN_MUST_CHECK;

/*
 * Other small files in the folder of the origin, mode 0600, whole or not at all. `name` is ours. KMN_E_NOT_FOUND (of
 * `heads` NULL too), KMN_E_IO, KMN_E_TOO_BIG: more than max_bytes. The bytes that were read are freed by the caller.
 */
kmn_err kmn_heads_put_file(
    const struct kmn_heads *heads, const char *name, const uint8_t *bytes, size_t len) KMN_MUST_CHECK;
kmn_err kmn_heads_get_file(const struct kmn_heads *heads, const char *name, size_t max_bytes, uint8_t **bytes_out,
    size_t *len_out) KMN_MUST_CHECK;
void kmn_heads_remove_file(const struct kmn_heads *heads, const char *name);

#endif
