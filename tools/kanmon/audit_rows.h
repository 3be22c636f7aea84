/*
 * A ledger as one table: a row for each record, the same columns as text, JSON
 * and CSV. A record that only refers to a request shows whose it is, with
 * which key and by whose votes, for the rows remember the records before it.
 */
#ifndef KANMON_TOOLS_AUDIT_ROWS_H
#define KANMON_TOOLS_AUDIT_ROWS_H

#include "kanmon/record.h"

/*   id          name in CSV and JSON, what stands there */
/* clang-format off */
#define KMN_COLUMN_ROWS(ROW) \
ROW(TIME,       "time",       "UTC, RFC 3339 with milliseconds") \
ROW(INDEX,      "i",          "index of the record") \
ROW(TYPE,       "type",       "its type") \
ROW(REQUEST,    "request",    "index of the intent that it is about") \
ROW(CLIENT,     "client",     "who asked: name of the application or terminal") \
ROW(CUSTODIANS, "custodians", "who signed it; of decisions and results: whose votes they stand on") \
ROW(KEY,        "key",        "label of the key") \
ROW(KEY_ID,     "key_id",     "CKA_ID, hexadecimal") \
ROW(KEY_SPKI,   "key_spki",   "SHA-256 of the public key, base64") \
ROW(TOKEN,      "token",      "label of the token") \
ROW(FUNCTION,   "function",   "PKCS#11 function") \
ROW(MECHANISM,  "mechanism",  "PKCS#11 mechanism") \
ROW(RULE,       "rule",       "rule of the policy that decided") \
ROW(DETAIL,     "detail",     "what else the type says") \
ROW(OUTCOME,    "outcome",    "verdict, return value, or whether a vote counts") \
ROW(REASON,     "reason",     "why the gateway refused (audit_refusal.h)")
/* clang-format on */

#define KMN_COLUMN_ENUM(id, name, says) KMN_COL_##id,
enum kmn_column { KMN_COLUMN_ROWS(KMN_COLUMN_ENUM) KMN_COLUMN_COUNT };
#undef KMN_COLUMN_ENUM

const char *kmn_column_name(enum kmn_column column);

#define KMN_ROW_NAMES_BYTES 512
#define KMN_ROW_DETAIL_BYTES 512

/* One row. Values are never NULL, "" where a record has none; they live until the next row is taken. */
struct kmn_row {
	const char *value[KMN_COLUMN_COUNT];
	uint64_t request; /* UINT64_MAX: about none */
	char time[32], index[24], about[24], signers[KMN_ROW_NAMES_BYTES], detail[KMN_ROW_DETAIL_BYTES], peer[40];
};

struct kmn_rows;
kmn_err kmn_rows_new(struct kmn_rows **rows_out) KMN_MUST_CHECK;
void kmn_rows_free(struct kmn_rows *rows);

/* Takes the next record, of any type, in order, and fills its row. */
kmn_err kmn_rows_take(struct kmn_rows *rows, const struct kmn_record *record, struct kmn_row *row_out) KMN_MUST_CHECK;

/* Names of those who signed a note, as its lines say, with a space between; whether they did is the verifier's word. */
void kmn_note_signers(const char *note, char *out, size_t size);

/* "2026-11-23T18:13:33.123Z" of ms since the epoch. */
#define KMN_MS_TEXT_BYTES 32
void kmn_ms_text(uint64_t ms, char out[KMN_MS_TEXT_BYTES]);

/* Which rows are wanted; NULL, 0 and UINT64_MAX: all. */
struct kmn_row_filter {
	const char *type, *client, *custodian, *function;
	const char *key;        /* label, id, or SPKI hash in base64 or hexadecimal */
	uint64_t since, before; /* ms: since <= t < before; before 0: no end */
	uint64_t from, to;      /* indexes, both included; to UINT64_MAX: no end */
	uint64_t request;
};
bool kmn_row_wanted(const struct kmn_row_filter *filter, const struct kmn_record *record, const struct kmn_row *row);

/*
 * A time that a person gives: 2026, 2026-11, 2026-11-23, 2026-11-23T18, ..T18:13, ..T18:13:33, with or without Z, space
 * or T; UTC. *from_out is its first ms, *before_out the first ms after it.
 */
bool kmn_when_parse(const char *text, uint64_t *from_out, uint64_t *before_out) KMN_MUST_CHECK;

#endif
