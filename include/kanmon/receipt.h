/*
 * Receipts: the proof, with an answer, that its record is in the ledger
 * (docs/receipts.md). The gateway makes one, the provider checks it, the
 * auditor may check it again: this is the code of all three.
 *
 *   receipt = *(u16 type | u32 length | content), types ascending, each once but the openings
 *
 *   1 line        the raw record line, without LF
 *   2 size        u64: the tree that path and consistency end in
 *   3 path        u8 n, n * hash: inclusion of the line in that tree
 *   4 note        its checkpoint; left out where the receipt before on the connection had the same
 *   5 consistency u64 from, u8 n, n * hash: the tree of `from` leaves is a beginning of this one
 *   6 opening     u8 n, n bytes of field name, salt[32]: of a commitment in line or request
 *   8 request     the raw line of the intent that a `result` names
 *   9 result      the raw line of the result that a `redelivery` names
 *
 * A receipt of a head (ATTACHED, JOINED) has no line, path, openings, request, result.
 */
#ifndef KANMON_RECEIPT_H
#define KANMON_RECEIPT_H

#include "kanmon/codec.h"
#include "kanmon/note.h"
#include "kanmon/record.h"

#define KMN_RECEIPT_MAX_BYTES (128u << 10)
#define KMN_RECEIPT_NOTE_MAX_BYTES 4096u /* as KMN_FRAME_HEAD_MAX_BYTES */
#define KMN_RECEIPT_OPENINGS_MAX 16u
#define KMN_OPENING_FIELD_MAX_BYTES 64u
#define KMN_OPENING_SALT_BYTES 32u

/* The salt of one commitment. */
struct kmn_opening {
	const char *field; /* "in", "out", ..: view, no NUL */
	size_t field_len;
	const uint8_t *salt; /* KMN_OPENING_SALT_BYTES; view */
};

/* What a receipt says; views into its bytes, or into what the writer was given. */
struct kmn_receipt {
	const char *line; /* NULL: a receipt of a head */
	size_t line_len;
	uint64_t size;
	struct kmn_path path;
	const char *note; /* NULL: the checkpoint of the receipt before */
	size_t note_len;
	bool has_consistency;
	uint64_t from;
	struct kmn_path consistency;
	size_t opening_count;
	struct kmn_opening opening[KMN_RECEIPT_OPENINGS_MAX];
	const char *request; /* NULL: none */
	size_t request_len;
	const char *result; /* NULL: none */
	size_t result_len;
};

/* Appends it. */
void kmn_receipt_put(const struct kmn_receipt *receipt, struct kmn_writer *w);
/* KMN_OK only for what kmn_receipt_put() could have written, byte for byte. */
kmn_err kmn_receipt_decode(const void *bytes, size_t len_bytes, struct kmn_receipt *receipt_out) KMN_MUST_CHECK;

/* ---- which answers have one ------------------------------------------------------------------------------------ */

enum kmn_receipt_due {
	KMN_RECEIPT_NEVER, /* class C: no record of its own, so a receipt is one too many */
	KMN_RECEIPT_MAY, /* it did not succeed: refusals before the module are told apart from it in the ledger alone */
	KMN_RECEIPT_MUST,
};
/* By the call and the CK_RV of its answer. A pure function of both: gateway and provider ask the same. */
enum kmn_receipt_due kmn_receipt_due(const struct kmn_call_view *view, uint64_t rv);
/* Whether the outcome of such a call can be told by a record of that kind. */
bool kmn_receipt_kind_fits(const struct kmn_call *row, enum kmn_record_kind kind);

/* ---- the check ------------------------------------------------------------------------------------------------- */

/* What can be wrong, in the order in which it is looked for.
 *   fault            text for people */
#define KMN_RECEIPT_ROWS(ROW) \
	ROW(NONE, "the receipt holds") \
	ROW(MISSING, "an answer that must have a receipt has none") \
	ROW(FORM, "not in the form of a receipt") \
	ROW(NOTE, "the checkpoint is not signed by the log key of the configuration") \
	ROW(ORIGIN, "the checkpoint is of another origin than the configuration's") \
	ROW(ROLLBACK, "the ledger is smaller than it was") \
	ROW(FORK, "the ledger has another history than it had") \
	ROW(LINE, "the record is not one line of a ledger") \
	ROW(INCLUSION, "the record is not proven to be in the ledger") \
	ROW(KIND, "the record is not one that tells the outcome of this call") \
	ROW(CALL, "the record is of another call") \
	ROW(ANSWER, "the record is of another answer") \
	ROW(REQUEST, "the intent or result is not the one that the record names, or is of another operation") \
	ROW(KEY, "the record is of another key") \
	ROW(INPUT, "the record is of other data") \
	ROW(OPENING, "a commitment is not opened by what was sent and received")

#define KMN_RECEIPT_ENUM(fault, text) KMN_RECEIPT_##fault,
enum kmn_receipt_fault { KMN_RECEIPT_ROWS(KMN_RECEIPT_ENUM) KMN_RECEIPT_FAULTS };
#undef KMN_RECEIPT_ENUM
/* Never NULL, static. */
const char *kmn_receipt_fault_name(enum kmn_receipt_fault fault); /* "FORK" */
const char *kmn_receipt_fault_text(enum kmn_receipt_fault fault);

/* A value of the caller's, by the field that the record shows it under. */
struct kmn_receipt_value {
	const char *field;  /* "in", "out" */
	enum kmn_show show; /* how the record has to show it */
	const void *bytes;
	size_t len;
};

/*
 * The values that the record of such a call shows, as the two messages have them: how many. What a call only ends
 * (C_SignFinal, C_SignMessageNext) is shown with all that came before, and not among them.
 */
#define KMN_RECEIPT_VALUES_MAX 2u
size_t kmn_receipt_values(const struct kmn_call_view *request, const struct kmn_response_view *response,
    struct kmn_receipt_value value_out[KMN_RECEIPT_VALUES_MAX]);

/* What the client knows, and holds the receipt against. Everything is borrowed. */
struct kmn_receipt_expect {
	const struct kmn_vkey *log; /* pinned keys of the log: one must have signed, and none wrongly */
	size_t log_count;
	const char *origin; /* as configured, never as the gateway says */
	struct kmn_head
	    before; /* of the receipt before on this connection, first what ATTACH or JOIN named; size 0: none */
	struct kmn_head accepted;   /* newest head that was accepted on any connection; size 0: none */
	const struct kmn_call *row; /* NULL: a receipt of a head */
	const uint64_t *chan; /* numbers of the application's channels in the ledger; any of them may have run it */
	size_t chan_count;    /* 0: not looked at */
	uint64_t number;      /* of the call */
	uint64_t rv;
	uint8_t req_sha256[KMN_HASH_BYTES];    /* SHA-256(u64 number || request payload) */
	uint8_t resp_sha256[KMN_HASH_BYTES];   /* SHA-256(response payload) */
	const uint8_t *key_spki_sha256;        /* KMN_HASH_BYTES; NULL: not known */
	const struct kmn_receipt_value *value; /* those that are known: compared with digests, commitments, bytes */
	size_t value_count;
};

struct kmn_receipt_found {
	struct kmn_head head;
	/*
	 * `accepted` and `head` are proven to be of one history. False: `accepted` came from another connection. Then
	 * PROVE asks for the proof, and kmn_receipt_link() judges it; only after that may the answer count.
	 */
	bool linked;
	struct kmn_record record;  /* type NULL: a receipt of a head */
	struct kmn_record request; /* the intent; type NULL: none came */
	struct kmn_record result;  /* that was handed out again; type NULL: none came */
};

/*
 * The checks of docs/receipts.md, in their order. Pure. *found_out is filled
 * as far as it went and is the caller's to clear, whatever the result.
 */
enum kmn_receipt_fault kmn_receipt_check(const struct kmn_receipt_expect *expect, const struct kmn_receipt *receipt,
    struct kmn_receipt_found *found_out, struct kmn_why *why) KMN_MUST_CHECK;
void kmn_receipt_found_clear(struct kmn_receipt_found *found);

/* Whether one of two heads, whichever is smaller, is proven to be a beginning of the other. */
enum kmn_receipt_fault kmn_receipt_link(
    const struct kmn_head *a, const struct kmn_head *b, const struct kmn_path *path) KMN_MUST_CHECK;
/* The content of PROVEN: hashes one after the other. */
kmn_err kmn_receipt_path_decode(const void *bytes, size_t len_bytes, struct kmn_path *path_out) KMN_MUST_CHECK;

/* H("kanmon/commit/v1" 00 u8(len field) field salt u64(len value) value), the commitment to a value in a record. */
void kmn_commitment(const char *field, const uint8_t salt[KMN_OPENING_SALT_BYTES], const void *value, size_t len,
    uint8_t out[KMN_HASH_BYTES]);

#endif
