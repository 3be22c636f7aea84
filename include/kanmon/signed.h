/*
 * What people sign beside approvals and policies (docs/statements.md 8): texts
 * of a first line that names their kind and `KEY SP VALUE LF` lines in a fixed
 * order. A kind is a row here: its first line, the type of the record that
 * takes the note, and its lines. One parser and one emitter serve all rows;
 * what a kind means, and who must sign it, is a row of judges[] in
 * server/quorum/signed.c (of an action: server/quorum/action.c).
 *
 * A line is `key=kind`; `key?=kind` may be missing, `key*=kind` may stand any
 * number of times. Kinds of values:
 *
 *	origin   of a ledger
 *	policy   VERSION SP B64: version of a policy and SHA-256 of its text
 *	ref      INDEX SP B64: index and leaf hash of a record
 *	head     SIZE SP B64: a tree head
 *	hash     B64 of 32 bytes
 *	b64      B64 of 1 to 768 bytes
 *	number   decimal, below 2^53
 *	time     2026-11-23T00:00:00Z
 *	word     letters, digits, `.`, `_`, `-`; at most 64 bytes
 *	value    text as statements have it (docs/statements.md 2), at most 1,024 bytes
 */
#ifndef KANMON_SIGNED_H
#define KANMON_SIGNED_H

#include "kanmon/note.h"
#include "kanmon/record.h"

/*   symbol       first line                record type     lines */
/* clang-format off */
#define KMN_SIGNED_ROWS(ROW) \
ROW(ATTESTATION, "kanmon/attestation/v1",   ATTESTATION, \
	"origin=origin kind=word title=value document-len=number document-sha256=hash") \
ROW(VETO,        "kanmon/veto/v1",          POLICY_VETO, \
	"origin=origin policy=policy reason=value") \
ROW(REOPEN,      "kanmon/reopen/v1",        REOPEN, \
	"origin=origin policy=policy token=word anomaly=ref reason=value") \
ROW(SIGN_IN,     "kanmon/sign-in/v1",       ACTION, \
	"origin=origin page=value nonce=hash time=time") \
ROW(INSTRUCTION, "kanmon/instruction/v1",   ACTION, \
	"origin=origin client=word what=word token=word rule?=word key-label?=value key-id?=value mechanism?=word " \
	"parameters?=value file-len?=number file-sha256?=hash purpose=value nonce=hash time=time")
/* clang-format on */

#define KMN_SIGNED_ENUM(id, first, record, lines) KMN_SIGNED_##id,
enum kmn_signed_kind { KMN_SIGNED_ROWS(KMN_SIGNED_ENUM) KMN_SIGNED_COUNT };
#undef KMN_SIGNED_ENUM

#define KMN_SIGNED_MAX_BYTES (20u << 10) /* of the text; fits, with signatures and escapes, in a record */
#define KMN_SIGNED_LINES_MAX 64
#define KMN_SIGNED_VALUE_MAX_BYTES 1024

/* One line that was read. Views into the text. */
struct kmn_signed_line {
	const char *key; /* static: as in the row, NUL-terminated by its length only */
	size_t key_len;
	const char *value;
	size_t len;
	uint64_t number;              /* of a number, policy, ref, head; ms of a time */
	uint8_t hash[KMN_HASH_BYTES]; /* of a hash, policy, ref, head */
};

struct kmn_signed {
	enum kmn_signed_kind kind;
	const char *text;
	size_t len, count;
	struct kmn_signed_line line[KMN_SIGNED_LINES_MAX];
};

/*
 * Read a text (without signatures). KMN_E_NOT_FOUND: its first line is that of no kind; KMN_E_MALFORMED: it is, and the
 * lines are not those of its row, in its order.
 */
kmn_err kmn_signed_read(
    const char *text, size_t len, struct kmn_signed *signed_out, struct kmn_why *why) KMN_MUST_CHECK;

/* The n-th line (from 0) with that key; NULL: there is none. */
const struct kmn_signed_line *kmn_signed_line(const struct kmn_signed *said, const char *key, size_t n);

/* Lines to make a text of: key and value as they are to stand there. */
struct kmn_signed_pair {
	const char *key, *value;
};
/* The text with these lines; KMN_E_MALFORMED where kmn_signed_read() would not take it. *text_out: free(). */
kmn_err kmn_signed_make(enum kmn_signed_kind kind, const struct kmn_signed_pair *pair, size_t count, char **text_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* Foreign text as a `value` has it (docs/statements.md 2), "none" where it is empty; free(). NULL: no memory, or too long. */
char *kmn_signed_value(const char *text);

/* "NUMBER B64": the value of a policy, ref or head line. */
#define KMN_SIGNED_PAIR_BYTES (24 + KMN_B64_LEN(KMN_HASH_BYTES))
void kmn_signed_number_hash(uint64_t number, const uint8_t hash[KMN_HASH_BYTES], char out[KMN_SIGNED_PAIR_BYTES]);

/* Its first line without LF; the type of record that takes a note of it. */
const char *kmn_signed_first_line(enum kmn_signed_kind kind);
enum kmn_record_kind kmn_signed_record(enum kmn_signed_kind kind);
/* By that type; KMN_SIGNED_COUNT: it takes none, or takes one among other things (an action's stands in its `auth`). */
enum kmn_signed_kind kmn_signed_of_record(enum kmn_record_kind record);

#endif
