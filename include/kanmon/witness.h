/*
 * A witness of logs (c2sp.org/tlog-witness): what it is asked, what it says,
 * and the records that keep it. Pure: the clock, the memory of last heads and
 * the network belong to the caller.
 */
#ifndef KANMON_WITNESS_H
#define KANMON_WITNESS_H

#include "kanmon/note.h"

#define KMN_WITNESS_ASK_MAX_BYTES (KMN_NOTE_MAX_BYTES + 64 + KMN_PATH_MAX_HASHES * (KMN_B64_LEN(KMN_HASH_BYTES) + 1))
#define KMN_WITNESS_ORIGIN_MAX_BYTES KMN_NOTE_NAME_MAX_BYTES

/* The body of add-checkpoint: "old N", lines of a consistency proof, an empty line, a checkpoint note. */
struct kmn_witness_ask {
	uint64_t old_size;
	struct kmn_path path;
	const char *note; /* view into the body */
	size_t note_len;
};
kmn_err kmn_witness_ask_parse(
    const char *body, size_t len, struct kmn_witness_ask *ask_out, struct kmn_why *why) KMN_MUST_CHECK;
/* The caller's to free(). */
kmn_err kmn_witness_ask_make(uint64_t old_size, const struct kmn_path *path, const char *note, size_t note_len,
    char **body_out, size_t *len_out) KMN_MUST_CHECK;

/* What a question is about, once its log has signed for it. */
struct kmn_witness_claim {
	char origin[KMN_WITNESS_ORIGIN_MAX_BYTES + 1];
	struct kmn_head head;
	struct kmn_note note; /* views into the question */
};

/*
 * Whose checkpoint it is, by the keys of the logs that are witnessed (several of one name are keys of one log). 0, or
 * the HTTP status of the refusal: 400, 403, 404. Extension lines of a checkpoint are let through, as the protocol asks.
 */
unsigned kmn_witness_look(const struct kmn_vkey *logs, size_t count, const struct kmn_witness_ask *ask,
    struct kmn_witness_claim *claim_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Held against the head that was cosigned last (size 0: none was). 200, or the status of the refusal: 400, 409, 422. */
unsigned kmn_witness_judge(const struct kmn_witness_claim *claim, const struct kmn_witness_ask *ask,
    const struct kmn_head *last, struct kmn_why *why) KMN_MUST_CHECK;

/* ---- records ------------------------------------------------------------------------------------------------------ */

/* The body of a `cosign` record: lines is a JSON list of signature lines without LF, and is stolen. NULL: no memory. */
json_t *kmn_cosign_body(const struct kmn_head *head, json_t *lines) KMN_MUST_CHECK;
/* The lines of a `cosign` record as a note over the checkpoint that it names; free(). KMN_E_MALFORMED: they are none. */
kmn_err kmn_cosign_note(const json_t *body, const char *origin, struct kmn_head *head_out, char **note_out,
    size_t *len_out, struct kmn_why *why) KMN_MUST_CHECK;

#endif
