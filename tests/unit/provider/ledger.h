/*
 * The ledger of the fake gateway: real lines, a real tree, real signatures, and
 * lies where a test asks for them. Its lines are in a file, so that a test can
 * cut it, change it or take it away while the gateway is stopped.
 */
#ifndef KANMON_TESTS_PROVIDER_LEDGER_H
#define KANMON_TESTS_PROVIDER_LEDGER_H

#include "kanmon/receipt.h"
#include "kanmon/writer.h"

#define LEDGER_ORIGIN "kanmon.example/test"

enum lie {
	LIE_NONE,
	LIE_OTHER_LOG_KEY,
	LIE_ORIGIN_IN_NOTE,
	LIE_ORIGIN_IN_HELLO,
	LIE_INPUT,          /* in.sha256 is of other data */
	LIE_KEY,            /* the record is of another key than the ones before */
	LIE_OUTPUT,         /* another signature than the one that was given */
	LIE_OTHER_CALL,     /* the receipt of the call before */
	LIE_OTHER_FUNCTION, /* a record of this call, as another function */
	LIE_OTHER_RV,
	LIE_MISSING,
	LIE_UNASKED, /* a receipt for an answer that has no record */
	LIE_PATH,
	LIE_STALE_CONSISTENCY, /* from a smaller head than the one before */
	LIE_NO_CONSISTENCY,
	LIE_SHRUNK, /* the head before the last, with its own good proof */
	LIE_SPLIT,  /* connections that joined see another branch */
	LIE_GARBAGE,
};

/* One call, for its record. */
struct ledger_call {
	enum kmn_call_id id;
	uint64_t chan, number, session, rv;
	const uint8_t *request; /* number and request payload, as they are hashed */
	size_t request_len;
	const uint8_t *in; /* data, or NULL */
	size_t in_len;
	const uint8_t *out; /* signature, or NULL */
	size_t out_len;
	const uint8_t *response;
	size_t response_len;
};

/* What a connection was sent last. */
struct ledger_reader {
	uint64_t from; /* size of the head that it has; 0: none */
	bool joined;
};

/* Reads the file or begins one; false on a failure. `seed` has 32 bytes. */
bool ledger_open(const char *file, const uint8_t *seed);
/* The vkey of the log for that seed. */
bool ledger_vkey(const uint8_t *seed, char out[KMN_VKEY_MAX_BYTES]);
/* `bytes` with the receipt of the head. */
void ledger_put_head(enum lie lie, struct ledger_reader *reader, struct kmn_writer *w);
/* Writes the record of a call, and `bytes` with its receipt. */
void ledger_put_answer(
    enum lie lie, struct ledger_reader *reader, const struct ledger_call *call, struct kmn_writer *w);
/* `bytes` with no receipt, or one that nobody asked for. */
void ledger_put_none(enum lie lie, struct ledger_reader *reader, struct kmn_writer *w);
/* `bytes` of PROVEN; false: there is no such proof. */
bool ledger_put_proof(enum lie lie, uint64_t from, uint64_t to, struct kmn_writer *w);

/* For the test, while the gateway is stopped: keeps the first `n` lines; all_but_last changes the last one. */
bool ledger_cut(const char *file, size_t n);
bool ledger_bend_last(const char *file);

#endif
